//! All models: their known versions, and the tasks that are due.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::harness::{Harness, Phase, Retries};
use super::versions::{Changes, Given, ModelVersions};
use super::{
    FoundModel, FoundVersion, State, Transition, TransitionPolicy, VersionPolicy, VersionStatus,
};
use crate::error::chain;
use crate::model::Servable;

/// The interval at which it is checked whether requests still hold a version that is to be dropped.
const REAP_INTERVAL: Duration = Duration::from_millis(20);

/// The settings of a manager.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) versions: VersionPolicy,
    pub(super) model_versions: BTreeMap<String, VersionPolicy>,
    pub(super) transition: Arc<dyn TransitionPolicy>,
    pub(super) n_load_threads: usize,
    pub(super) load_niceness: u8,
    /// A load that takes longer than this no longer holds up others.
    pub(super) slow_after: Duration,
    pub(super) retries: Retries,
    pub(super) memory_budget: Option<u64>,
    pub(super) is_lazy: bool,
}

/// Something for a thread of its own.
#[derive(Debug)]
pub(super) enum Task {
    Load(Job),
    Drop {
        model: Arc<str>,
        version: u64,
        servable: Arc<Servable>,
    },
}

/// A version to load.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) model: Arc<str>,
    pub(super) found: FoundVersion,
}

/// All models. It does nothing on its own: it returns the tasks to run, and receives their outcomes.
#[derive(Debug)]
pub(super) struct Registry {
    pub(super) settings: Settings,
    pub(super) models: BTreeMap<Arc<str>, ModelVersions>,
    /// The versions to load, in the order of the requests.
    pub(super) queue: VecDeque<(Arc<str>, u64)>,
    pub(super) changes: Changes,
    /// Counts what operators say.
    pub(super) epoch: u64,
    pub(super) is_stopping: bool,
    /// True if a version was requested since the last decision on what to do.
    is_asked: bool,
    /// The tasks that are not done.
    pub(super) n_tasks: usize,
    /// The time of the last check for versions that are no longer held.
    pub(super) reaped: Instant,
    /// The time of the last decision on the next steps.
    advanced: Instant,
}

impl Registry {
    pub(super) fn new(settings: Settings) -> Self {
        Registry {
            settings,
            models: BTreeMap::new(),
            queue: VecDeque::new(),
            changes: Changes::default(),
            epoch: 0,
            is_stopping: false,
            is_asked: false,
            n_tasks: 0,
            reaped: Instant::now(),
            advanced: Instant::now(),
        }
    }

    pub(super) fn is_lazy(&self) -> bool {
        self.settings.is_lazy
    }

    pub(super) fn policy_of(&self, model: &str) -> &VersionPolicy {
        let own = self.settings.model_versions.get(model);
        own.unwrap_or(&self.settings.versions)
    }

    /// Returns `true` if the policy loads a new version before the old one is unloaded.
    pub(super) fn loads_first(&self) -> bool {
        let swap = [
            VersionStatus::new(1, State::Available, false),
            VersionStatus::new(2, State::Start, true),
        ];
        let policy = AssertUnwindSafe(&self.settings.transition);
        let next = catch_unwind(|| policy.next(&swap));
        matches!(next, Ok(Some(Transition::Load(_))))
    }

    pub(super) fn harness(&mut self, model: &str, version: u64) -> Option<&mut Harness> {
        self.models.get_mut(model)?.versions.get_mut(&version)
    }

    pub(super) fn harnesses(&self) -> impl Iterator<Item = (&ModelVersions, &Harness)> {
        let models = self.models.values();
        models.flat_map(|model| model.versions.values().map(move |harness| (model, harness)))
    }

    /// Merges the listing of the source; for models that an operator has changed since `epoch`, the control in it
    /// is out of date.
    pub(super) fn merge(&mut self, found: Vec<FoundModel>, epoch: u64) {
        let mut gone: Vec<Arc<str>> = self.models.keys().cloned().collect();
        for found in found {
            let (name, found) = found.into_parts();
            let name: Arc<str> = name.into();
            gone.retain(|gone| *gone != name);
            let model = self
                .models
                .entry(Arc::clone(&name))
                .or_insert_with(|| ModelVersions::new(name));
            let listing = match found {
                Ok(found) => {
                    let warning = found.warning().map(str::to_owned);
                    model.update(found, model.control_epoch > epoch, &mut self.changes);
                    warning
                }
                Err(error) => Some(chain(&error)),
            };
            if model.listing != listing {
                match &listing {
                    Some(reason) => tracing::warn!(
                        model = &*model.name,
                        reason,
                        "a model cannot be read; its last known state stays in use"
                    ),
                    None => tracing::info!(model = &*model.name, "a model can be read again"),
                }
                model.listing = listing;
                self.changes.models.insert(Arc::clone(&model.name));
            }
        }
        for name in gone {
            if let Some(model) = self.models.get_mut(&name) {
                model.listing = None;
                model.update(super::Found::default(), false, &mut self.changes);
            }
        }
    }

    /// Decides on the tasks that are due.
    pub(super) fn advance(&mut self, now: Instant) -> Vec<Task> {
        if self.is_stopping {
            return Vec::new();
        }
        self.advanced = now;
        self.is_asked = false;
        let loads_first = self.loads_first();
        let Registry {
            settings,
            models,
            queue,
            changes,
            ..
        } = self;
        for model in models.values_mut() {
            let own = settings.model_versions.get(&*model.name);
            model.aspire(own.unwrap_or(&settings.versions), changes);
            // Before the step: what is slow no longer holds others up.
            for harness in model.versions.values_mut() {
                if let Phase::Loading { since, is_slow } = &mut harness.phase {
                    *is_slow |= now.saturating_duration_since(*since) >= settings.slow_after;
                }
            }
            let given = Given {
                policy: &*settings.transition,
                loads_first,
                is_lazy: settings.is_lazy,
                now,
            };
            let to_load = model.step(&given, changes).into_iter();
            queue.extend(to_load.map(|version| (Arc::clone(&model.name), version)));
        }
        models.retain(|name, model| {
            let is_left = !model.is_empty();
            if !is_left {
                changes.models.insert(Arc::clone(name));
            }
            is_left
        });
        let mut tasks = self.start_queued(now);
        tasks.extend(self.reap());
        tasks
    }

    /// Starts what waits for a thread, as far as there are threads and memory. A load that is slow no longer counts: it
    /// must not hold up the other models.
    fn start_queued(&mut self, now: Instant) -> Vec<Task> {
        let mut tasks = Vec::new();
        let mut waiting = VecDeque::new();
        let mut n_loading = self
            .harnesses()
            .filter(|(_, harness)| harness.is_loading_in_time())
            .count();
        while let Some((name, version)) = self.queue.pop_front() {
            let Some(model) = self.models.get(&name) else {
                continue;
            };
            let Some(harness) = model.versions.get(&version) else {
                continue;
            };
            if !matches!(harness.phase, Phase::Queued) {
                continue;
            }
            let is_busy = model.versions.values().any(Harness::is_loading_in_time);
            if is_busy || n_loading >= self.settings.n_load_threads {
                waiting.push_back((name, version));
                continue;
            }
            let needed = match self.settings.memory_budget {
                Some(_) => harness.guess(),
                None => 0,
            };
            if !self.make_room(&name, version, needed) {
                waiting.push_back((name, version));
                continue;
            }
            let Some(harness) = self.harness(&name, version) else {
                continue;
            };
            harness.phase = Phase::Loading {
                since: now,
                is_slow: false,
            };
            harness.is_blocked = false;
            harness.note = None;
            harness.reserved = needed;
            let job = Job {
                model: Arc::clone(&name),
                found: harness.found.clone(),
            };
            if let Some(model) = self.models.get(&name) {
                model.tell(version, State::Loading, None, None, &mut self.changes);
            }
            n_loading += 1;
            self.n_tasks += 1;
            tasks.push(Task::Load(job));
        }
        self.queue = waiting;
        tasks
    }

    /// The versions of each model that are wanted or still there.
    pub(super) fn in_use(&self) -> BTreeMap<Arc<str>, Vec<u64>> {
        let models = self.models.iter().map(|(name, model)| {
            let versions = model.versions.iter();
            let in_use = versions.filter(|(_, harness)| harness.is_wanted || !harness.is_idle());
            (
                Arc::clone(name),
                in_use.map(|(version, _)| *version).collect(),
            )
        });
        models.collect()
    }

    /// Requests a version that is loaded lazily.
    pub(super) fn demand(&mut self, model: &str, version: u64) {
        if let Some(harness) = self.harness(model, version)
            && !harness.is_demanded
        {
            harness.is_demanded = true;
            self.is_asked = true;
            self.changes.models.insert(model.into());
        }
    }

    /// Returns `true` if nothing is under way, for a model or for all, except slow operations.
    pub(super) fn is_settled(&self, model: Option<&str>) -> bool {
        let mut models = self.models.values();
        models.all(|one| model.is_some_and(|model| *one.name != *model) || one.is_settled())
    }

    /// The time at which something is due without an event.
    pub(super) fn next_due(&self) -> Option<Instant> {
        if self.is_asked {
            return Some(self.advanced);
        }
        let due = self
            .harnesses()
            .filter_map(|(_, harness)| match &harness.phase {
                // A retry that was already due and has not been started waits for a change.
                Phase::Idle if harness.is_wanted => {
                    let due = harness.failure.as_ref()?.due;
                    due.filter(|due| *due > self.advanced)
                }
                Phase::Loading {
                    since,
                    is_slow: false,
                } => since.checked_add(self.settings.slow_after),
                Phase::Draining { .. } => self.reaped.checked_add(REAP_INTERVAL),
                _ => None,
            });
        due.min()
    }
}
