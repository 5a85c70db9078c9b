//! Versions that come and go.

use super::*;

#[test]
fn the_newest_version_answers_and_the_old_one_goes() {
    let world = World::of(&[("m", 1), ("m", 2)]);
    let manager = world.open();
    assert_eq!(version(&manager, "m"), 2);
    assert_eq!(states(&manager, "m"), "2 available");
    assert_eq!(world.n_tries("m", 1), 0, "it is not wanted");
    assert!(!manager.refresh().unwrap(), "nothing has changed");

    world.push("m", 3);
    assert!(manager.refresh().unwrap());
    assert_eq!(version(&manager, "m"), 3);
    eventually("2 is gone", || states(&manager, "m") == "3 available");
    let error = manager.get("m", 2).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(
        error.to_string().contains("version 2 of model `m`"),
        "{error}"
    );

    // The removal of a newer one restores the older one.
    world.remove("m", 3);
    manager.refresh().unwrap();
    assert_eq!(version(&manager, "m"), 2);
}

#[test]
fn versions_are_dropped_on_an_unloading_thread_after_their_last_request() {
    let world = World::of(&[("m", 1)]);
    let manager = world.open();
    let held = manager.get("m", None).unwrap();
    world.push("m", 2);
    manager.refresh().unwrap();
    assert_eq!(version(&manager, "m"), 2);
    assert_eq!(answer(&held), 1.0, "it goes on");
    let waiting = "1 unloading: replaced by another version, 2 available";
    assert_eq!(states(&manager, "m"), waiting);
    assert_eq!(world.dropped(), []);
    drop(held);
    eventually("1 is dropped", || states(&manager, "m") == "2 available");
    assert_eq!(world.dropped(), [(1, "fourfold-unload".to_owned())]);
    drop(manager);
    assert_eq!(world.dropped()[1], (2, "fourfold-unload".to_owned()));
}

#[test]
fn a_version_that_is_wanted_again_while_it_is_held_answers_at_once() {
    let world = World::of(&[("m", 1)]);
    let manager = world.open();
    let held = manager.get("m", None).unwrap();
    world.push("m", 2);
    manager.refresh().unwrap();
    world.remove("m", 2);
    manager.refresh().unwrap();
    assert_eq!(version(&manager, "m"), 1);
    assert_eq!(world.n_tries("m", 1), 1, "it was never dropped");
    assert_eq!(answer(&held), 1.0);
}

#[test]
fn a_version_that_cannot_be_loaded_leaves_the_old_one() {
    let world = World::of(&[("m", 1)]);
    let manager = world.open();
    world.tell("m", 2, Does::Fails);
    world.push("m", 2);
    manager.refresh().unwrap();
    assert_eq!(version(&manager, "m"), 1);
    // Three more tries, then it is out.
    let out = "1 available, 2 end: a broken model";
    eventually("2 is given up", || states(&manager, "m") == out);
    assert_eq!(world.n_tries("m", 2), 4);
    let error = manager.get("m", 2).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("a broken model"), "{error}");
    manager.refresh().unwrap();
    assert_eq!(world.n_tries("m", 2), 4, "it stays out");

    // Files that are written anew are tried anew.
    world.tell("m", 2, Does::Loads);
    let again = FoundVersion::new(2, "/nowhere/m/2").with_written(time(7));
    world.push_found("m", again);
    manager.refresh().unwrap();
    assert_eq!(version(&manager, "m"), 2);
    assert_eq!(world.n_tries("m", 2), 5);
}

#[test]
fn a_version_that_loads_at_last_takes_its_place() {
    let world = World::of(&[("m", 1), ("m", 2), ("m", 3)]);
    world.tell("m", 3, Does::Fails);
    world.tell("m", 2, Does::Fails);
    let manager = world
        .builder()
        .retries(u32::MAX, Duration::from_millis(2))
        .open()
        .unwrap();
    // The newest that loads answers from the start.
    assert_eq!(version(&manager, "m"), 1);
    let tries = world.n_tries("m", 3);
    eventually("it is tried again", || world.n_tries("m", 3) > tries + 2);
    assert_eq!(version(&manager, "m"), 1);
    world.tell("m", 3, Does::Loads);
    eventually("3 answers", || version(&manager, "m") == 3);
    eventually("1 is gone", || !states(&manager, "m").contains("1 "));
}

#[test]
fn policies_say_which_versions_are_loaded() {
    let world = World::of(&[
        ("a", 1),
        ("a", 2),
        ("a", 3),
        ("b", 1),
        ("b", 2),
        ("c", 1),
        ("c", 2),
    ]);
    let manager = world
        .builder()
        .versions(VersionPolicy::Latest(2))
        .model_versions("b", VersionPolicy::Specific(vec![1]))
        .model_versions("c", VersionPolicy::All)
        .open()
        .unwrap();
    assert_eq!(states(&manager, "a"), "2 available, 3 available");
    assert_eq!(states(&manager, "b"), "1 available");
    assert_eq!(states(&manager, "c"), "1 available, 2 available");
    assert_eq!(answer(&manager.get("a", 2).unwrap()), 2.0);
    assert_eq!(answer(&manager.get("a", None).unwrap()), 3.0);
    let bad = world.builder().versions(VersionPolicy::Latest(0)).open();
    assert_eq!(bad.unwrap_err().kind(), ErrorKind::Config);
    let bad = world.builder().load_threads(0).open().unwrap_err();
    assert!(bad.to_string().contains("`load_threads`"), "{bad}");
    let bad = world.builder().poll_interval(Duration::ZERO).open();
    assert!(bad.unwrap_err().to_string().contains("`poll_interval`"));
}

#[test]
fn resources_are_preserved_where_that_is_the_policy() {
    let world = World::of(&[("m", 1)]);
    let heard = Arc::new(Heard::default());
    let manager = world
        .builder()
        .transition(ResourcePreserving)
        .listener(Arc::clone(&heard) as _)
        .open()
        .unwrap();
    world.push("m", 2);
    manager.refresh().unwrap();
    assert_eq!(version(&manager, "m"), 2);
    let expected = [
        "m 1 start",
        "m 1 loading",
        "m 1 available",
        "m 2 start",
        "m 1 unloading",
        "m 1 end",
        "m 2 loading",
        "m 2 available",
    ];
    assert_eq!(heard.all(), expected);
}

#[test]
fn listeners_hear_every_change_in_order() {
    let world = World::of(&[("m", 1)]);
    let heard = Arc::new(Heard::default());
    let manager = world
        .builder()
        .listener(Arc::clone(&heard) as _)
        .retries(0, Duration::ZERO)
        .open()
        .unwrap();
    world.tell("m", 3, Does::Fails);
    world.push("m", 2);
    manager.refresh().unwrap();
    eventually("1 is gone", || heard.all().len() == 8);
    world.push("m", 3);
    manager.refresh().unwrap();
    let expected = [
        "m 1 start",
        "m 1 loading",
        "m 1 available",
        "m 2 start",
        "m 2 loading",
        "m 2 available",
        "m 1 unloading",
        "m 1 end",
        "m 3 start",
        "m 3 loading",
        "m 3 end",
    ];
    assert_eq!(heard.all(), expected);
    let changes = heard.0.lock().unwrap();
    assert!(changes[2].took.is_some() && changes[1].took.is_none());
    assert_eq!(changes[10].reason.as_deref(), Some("a broken model"));
}

#[test]
fn the_source_is_told_what_is_in_use() {
    let world = World::of(&[("m", 1), ("n", 1)]);
    let manager = world.open();
    world.push("m", 2);
    manager.refresh().unwrap();
    eventually("1 is gone", || states(&manager, "m") == "2 available");
    world.0.models.lock().unwrap().remove("n");
    manager.refresh().unwrap();
    eventually("n is gone", || manager.states().len() == 1);
    manager.refresh().unwrap();
    let told = world.0.retained.lock().unwrap().clone();
    let of = |model: &str| -> Vec<Vec<u64>> {
        let told = told.iter().filter(|(told, _)| told == model);
        told.map(|(_, versions)| versions.clone()).collect()
    };
    assert_eq!(of("m").first(), Some(&vec![1]));
    assert_eq!(of("m").last(), Some(&vec![2]));
    assert_eq!(of("n").last(), Some(&vec![]));
    assert!(told.len() <= 6, "only what has changed: {told:?}");
}

#[derive(Debug, Default)]
struct Heard(Mutex<Vec<StateChange>>);

impl Heard {
    fn all(&self) -> Vec<String> {
        let heard = self.0.lock().unwrap();
        let text =
            |change: &StateChange| format!("{} {} {}", change.model, change.version, change.state);
        heard.iter().map(text).collect()
    }
}

impl StateListener for Heard {
    fn changed(&self, change: &StateChange) {
        self.0.lock().unwrap().push(change.clone());
    }
}

#[test]
fn the_source_is_polled_at_its_interval_and_when_it_calls() {
    let world = World::of(&[("m", 1)]);
    let manager = world
        .builder()
        .poll_interval(Duration::from_millis(5))
        .open()
        .unwrap();
    world.push("m", 2);
    eventually("2 answers", || version(&manager, "m") == 2);

    let called = World::of(&[("m", 1)]);
    let watched = Watched(called.clone(), Arc::default());
    let manager = Manager::builder(watched.clone())
        .source_adapter(called.clone())
        .poll_interval(None)
        .open()
        .unwrap();
    called.push("m", 2);
    assert_eq!(version(&manager, "m"), 1);
    watched.1.lock().unwrap().as_ref().unwrap()();
    eventually("2 answers", || version(&manager, "m") == 2);
    drop(manager);
    watched.1.lock().unwrap().as_ref().unwrap()();
}

/// A source that calls.
#[derive(Clone)]
struct Watched(World, Arc<Mutex<Option<Wake>>>);

type Wake = Arc<dyn Fn() + Send + Sync>;

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watched")
    }
}

impl Source for Watched {
    fn poll(&self) -> Result<Vec<FoundModel>> {
        self.0.poll()
    }

    fn watch(&self, wake: Arc<dyn Fn() + Send + Sync>) -> Result<Watch> {
        *self.1.lock().unwrap() = Some(wake);
        Ok(Watch::new(()))
    }
}

/// Other names are no reason to unload the version that answers.
#[test]
fn a_named_version_takes_nobodys_place() {
    type Name = fn(&Manager);
    let by_shadow: Name = |manager| {
        let one = VersionRef::Number(1);
        manager.set_shadow("m", Some(&one)).unwrap();
    };
    let by_label: Name = |manager| manager.set_label("m", "canary", 1).unwrap();
    for name in [by_shadow, by_label] {
        let world = World::of(&[("m", 1), ("m", 2)]);
        let manager = world.open();
        name(&manager);
        assert_eq!(version(&manager, "m"), 2);
        world.tell("m", 3, Does::Hangs);
        world.push("m", 3);
        manager.shared.poll().unwrap();
        eventually("3 is being loaded", || world.n_tries("m", 3) == 1);
        assert_eq!(version(&manager, "m"), 2);
        assert!(states(&manager, "m").contains("2 available"));
        // One that fails changes nothing.
        world.tell("m", 4, Does::Fails);
        world.push("m", 4);
        manager.shared.poll().unwrap();
        eventually("4 has failed", || world.n_tries("m", 4) == 4);
        assert_eq!(version(&manager, "m"), 2);
        world.open_gate();
        eventually("3 answers", || version(&manager, "m") == 3);
        eventually("2 is gone", || !states(&manager, "m").contains("2 "));
        assert!(states(&manager, "m").starts_with("1 available"));
    }
}
