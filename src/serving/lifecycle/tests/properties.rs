//! Whatever happens in whatever order: the registry, without threads.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::harness::Retries;
use super::registry::{Job, Registry, Settings, Task};
use super::*;

/// Something that happens.
#[derive(Clone, Copy, Debug)]
enum Event {
    Push,
    Remove(usize),
    /// A load that is under way ends, well or not.
    Ends(usize, bool),
    /// An hour passes, so that every retry is due.
    Passes,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Push),
        any::<usize>().prop_map(Event::Remove),
        (any::<usize>(), any::<bool>()).prop_map(|(at, well)| Event::Ends(at, well)),
        (any::<usize>(), any::<bool>()).prop_map(|(at, well)| Event::Ends(at, well)),
        Just(Event::Passes),
    ]
}

/// A registry of one model, and its environment.
struct Bench {
    world: World,
    registry: Registry,
    found: Vec<u64>,
    next: u64,
    loading: Vec<Job>,
    now: Instant,
}

impl Bench {
    fn new(versions: VersionPolicy, transition: Arc<dyn TransitionPolicy>) -> Bench {
        let settings = Settings {
            versions,
            model_versions: BTreeMap::new(),
            transition,
            n_load_threads: 2,
            load_niceness: 0,
            slow_after: Duration::from_secs(60),
            retries: Retries {
                n: u32::MAX,
                backoff: Duration::from_secs(1),
            },
            memory_budget: None,
            is_lazy: false,
        };
        Bench {
            world: World::default(),
            registry: Registry::new(settings),
            found: Vec::new(),
            next: 1,
            loading: Vec::new(),
            now: Instant::now(),
        }
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Push => {
                self.found.push(self.next);
                self.next += 1;
            }
            Event::Remove(at) if !self.found.is_empty() => {
                let at = at % self.found.len();
                self.found.remove(at);
            }
            Event::Ends(at, well) if !self.loading.is_empty() => {
                let job = self.loading.remove(at % self.loading.len());
                self.ends(&job, well);
            }
            Event::Remove(_) | Event::Ends(..) => {}
            Event::Passes => self.now += Duration::from_secs(3_600),
        }
        let versions = self
            .found
            .iter()
            .map(|version| FoundVersion::new(*version, ""));
        let found = Found::new(versions.collect(), Control::default());
        self.registry
            .merge(vec![FoundModel::new("m", Ok(found))], 0);
        self.advance();
    }

    fn ends(&mut self, job: &Job, well: bool) {
        let took = Duration::ZERO;
        if well {
            let loader = self.world.adapt("m", &job.found).unwrap();
            let servable = loader.load().unwrap();
            self.registry.loaded(job, servable, 0, took);
        } else {
            let reason = "broken".to_owned();
            self.registry.failed(job, reason, false, self.now, took);
        }
    }

    fn advance(&mut self) {
        loop {
            let tasks = self.registry.advance(self.now);
            if tasks.is_empty() {
                // Or its thread would never sleep.
                let due = self.registry.next_due();
                assert!(due.is_none_or(|due| due > self.now), "it is due for ever");
                return;
            }
            for task in tasks {
                match task {
                    Task::Load(job) => self.loading.push(job),
                    Task::Drop { version, .. } => self.registry.dropped("m", version),
                }
            }
        }
    }

    /// The versions that answer, and whether each is wanted.
    fn available(&self) -> Vec<(u64, bool)> {
        let model = self.registry.models.get("m");
        let versions = model.iter().flat_map(|model| &model.versions);
        let available = versions.filter(|(_, harness)| harness.is_available());
        available
            .map(|(version, harness)| (*version, harness.is_wanted))
            .collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(2_013),
        ..ProptestConfig::default()
    })]

    #[test]
    fn something_answers_as_long_as_something_is_there(
        events in prop::collection::vec(event(), 1..60),
        n in 1..3_usize,
    ) {
        let mut bench = Bench::new(VersionPolicy::Latest(n), Arc::new(AvailabilityPreserving));
        for event in events {
            let before = bench.available();
            bench.happens(event);
            let after = bench.available();
            if !before.is_empty() && !bench.found.is_empty() {
                prop_assert!(!after.is_empty(), "{event:?} left nothing of {before:?}");
            }
            let unwanted = after.iter().filter(|(_, is_wanted)| !is_wanted).count();
            prop_assert!(unwanted <= 1, "{after:?}");
        }
        // In the end everything loads, and only the wanted versions answer.
        for _ in 0..100 {
            bench.happens(Event::Passes);
            while !bench.loading.is_empty() {
                bench.happens(Event::Ends(0, true));
            }
        }
        let newest: Vec<(u64, bool)> = bench
            .found
            .iter()
            .skip(bench.found.len().saturating_sub(n))
            .map(|version| (*version, true))
            .collect();
        prop_assert_eq!(bench.available(), newest);
    }

    #[test]
    fn resources_are_never_taken_twice(events in prop::collection::vec(event(), 1..60)) {
        let mut bench = Bench::new(VersionPolicy::Latest(1), Arc::new(ResourcePreserving));
        // A load that hangs is passed by.
        bench.registry.settings.slow_after = Duration::MAX;
        for event in events {
            // A version that failed is retried beside the older one that answers: that is not tested here.
            let event = match event {
                Event::Ends(at, _) => Event::Ends(at, true),
                other => other,
            };
            bench.happens(event);
            let available = bench.available();
            prop_assert!(available.len() + bench.loading.len() <= 1, "{available:?}");
        }
    }
}
