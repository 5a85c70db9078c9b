//! One model never affects another.

use super::*;

#[test]
fn what_hangs_fails_or_panics_affects_nobody() {
    let world = World::of(&[
        ("fails", 1),
        ("fine", 1),
        ("hangs", 1),
        ("panics", 1),
        ("z", 1),
    ]);
    world.tell("fails", 1, Does::Fails);
    world.tell("hangs", 1, Does::Hangs);
    world.tell("panics", 1, Does::Panics);
    let manager = world
        .builder()
        .retries(0, Duration::ZERO)
        .open_timeout(Duration::from_millis(200))
        .open()
        .unwrap();
    eventually("the others answer", || {
        manager.get("fine", None).is_ok() && manager.get("z", None).is_ok()
    });
    assert_eq!(states(&manager, "fails"), "1 end: a broken model");
    let panicked = "1 end: the model's loader panicked: a bug in a loader";
    eventually("it has panicked", || states(&manager, "panics") == panicked);
    assert_eq!(states(&manager, "hangs"), "1 loading");
    let error = manager.get("hangs", None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("loading"), "{error}");

    // Nor later.
    world.push("fine", 2);
    world.tell("z", 2, Does::Hangs);
    world.push("z", 2);
    manager.refresh().unwrap();
    eventually("the new version answers", || version(&manager, "fine") == 2);
    assert_eq!(version(&manager, "z"), 1);
    world.open_gate();
    eventually("what hung answers", || {
        manager.get("hangs", None).is_ok() && version(&manager, "z") == 2
    });
}

#[test]
fn more_loads_that_hang_than_threads_hold_nobody_up() {
    let world = World::of(&[("a", 1), ("b", 1), ("c", 1), ("fine", 1)]);
    for model in ["a", "b", "c"] {
        world.tell(model, 1, Does::Hangs);
    }
    let manager = world
        .builder()
        .load_threads(1)
        .open_timeout(Duration::from_millis(50))
        .open()
        .unwrap();
    eventually("it answers", || manager.get("fine", None).is_ok());
    world.open_gate();
    eventually("all answer", || {
        manager.states().iter().all(ModelState::is_available)
    });
}

#[test]
fn a_version_that_hangs_does_not_keep_a_newer_one_out() {
    does_not_keep_a_newer_one_out(World::builder);
    does_not_keep_a_newer_one_out(|world| world.builder().transition(ResourcePreserving));
}

fn does_not_keep_a_newer_one_out(builder: fn(&World) -> ManagerBuilder) {
    let world = World::of(&[("m", 1)]);
    world.tell("m", 1, Does::Hangs);
    let manager = builder(&world)
        .open_timeout(Duration::from_millis(50))
        .open()
        .unwrap();
    world.push("m", 2);
    manager.refresh().unwrap();
    eventually("2 answers", || manager.get("m", None).is_ok());
    assert_eq!(version(&manager, "m"), 2);
    world.open_gate();
    eventually("1 comes and goes", || {
        states(&manager, "m") == "2 available"
    });
    assert_eq!(version(&manager, "m"), 2);
}

#[test]
fn a_manager_stops_although_a_loader_hangs() {
    let world = World::of(&[("hangs", 1), ("m", 1)]);
    world.tell("hangs", 1, Does::Hangs);
    let manager = world
        .builder()
        .open_timeout(Duration::from_millis(50))
        .open()
        .unwrap();
    eventually("it answers", || manager.get("m", None).is_ok());
    let held = manager.get("m", None).unwrap();
    drop(manager);
    assert_eq!(answer(&held), 1.0, "a handle outlives its manager");
    world.open_gate();
    eventually("what was loaded too late is dropped", || {
        world.dropped() == [(1, "fourfold-load".to_owned())]
    });
}

#[test]
fn a_source_or_model_that_cannot_be_listed_keeps_what_it_has() {
    let world = World::of(&[("a", 1), ("b", 1)]);
    let manager = world.open();
    world.0.is_down.store(true, Ordering::Relaxed);
    let error = manager.refresh().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!((version(&manager, "a"), version(&manager, "b")), (1, 1));
    assert!(world.builder().open().is_err(), "at the start it is told");
    world.0.is_down.store(false, Ordering::Relaxed);

    world.0.unlistable.lock().unwrap().push("a".to_owned());
    world.push("a", 2);
    world.push("b", 2);
    manager.refresh().unwrap();
    assert_eq!((version(&manager, "a"), version(&manager, "b")), (1, 2));
    let reason = manager.state("a").unwrap().reason;
    assert_eq!(reason.as_deref(), Some("it cannot be listed"));
    let fresh = world.open();
    let error = fresh.get("a", None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("it cannot be listed"), "{error}");

    world.0.unlistable.lock().unwrap().clear();
    manager.refresh().unwrap();
    assert_eq!(version(&manager, "a"), 2);
    assert_eq!(manager.state("a").unwrap().reason, None);
}

#[test]
fn a_model_that_is_gone_ends() {
    let world = World::of(&[("a", 1), ("b", 1)]);
    let manager = world.open();
    world.0.models.lock().unwrap().remove("a");
    manager.refresh().unwrap();
    eventually("it is gone", || {
        manager
            .get("a", None)
            .unwrap_err()
            .to_string()
            .contains("no model `a`")
    });
    eventually("nothing is left", || manager.states().len() == 1);
    assert_eq!(version(&manager, "b"), 1);
    world.push("a", 1);
    manager.refresh().unwrap();
    assert_eq!(version(&manager, "a"), 1);
}

#[test]
fn listeners_and_policies_that_panic_stop_nothing() {
    #[derive(Debug)]
    struct Panics;
    impl StateListener for Panics {
        fn changed(&self, _: &StateChange) {
            panic!("a bug in a listener")
        }
    }
    impl TransitionPolicy for Panics {
        fn next(&self, _: &[VersionStatus]) -> Option<Transition> {
            panic!("a bug in a policy")
        }
    }
    #[derive(Debug)]
    struct Endless;
    impl TransitionPolicy for Endless {
        fn next(&self, versions: &[VersionStatus]) -> Option<Transition> {
            let first = versions.first()?.version();
            Some(Transition::Load(first))
        }
    }
    let world = World::of(&[("m", 1)]);
    let manager = world.builder().listener(Arc::new(Panics)).open().unwrap();
    assert_eq!(version(&manager, "m"), 1);
    let manager = world.builder().transition(Panics).open().unwrap();
    let error = manager.get("m", None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let manager = world.builder().transition(Endless).open().unwrap();
    assert_eq!(version(&manager, "m"), 1);
}

#[test]
fn an_operator_of_one_model_holds_up_no_other() {
    let world = World::of(&[("a", 1), ("b", 1), ("b", 2)]);
    world.tell("a", 1, Does::Hangs);
    let manager = world.open();
    assert_eq!(version(&manager, "b"), 2, "what is slow is not waited for");
    std::thread::scope(|scope| {
        let hangs = scope.spawn(|| manager.load("a"));
        eventually("it is being loaded by hand", || {
            manager.shared.operating("a").try_lock().is_err()
        });
        manager.set_label("b", "stable", 2).unwrap();
        assert_eq!(manager.rollback("b").unwrap(), 1);
        manager.unload("b").unwrap();
        manager.load("b").unwrap();
        assert!(!hangs.is_finished());
        world.open_gate();
        hangs.join().unwrap().unwrap();
    });
    assert_eq!(version(&manager, "b"), 1);
}

#[test]
fn a_poll_that_hangs_holds_no_operator_up() {
    let world = World::of(&[("m", 1)]);
    let manager = world
        .builder()
        .open_timeout(Duration::from_millis(50))
        .open()
        .unwrap();
    eventually("it answers", || manager.get("m", None).is_ok());
    world.0.polls_hang.store(true, Ordering::Relaxed);
    let error = manager.refresh().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded);
    manager.unload("m").unwrap();
    // It may take longer to load than this manager waits.
    if let Err(error) = manager.load("m") {
        assert_eq!(error.kind(), ErrorKind::DeadlineExceeded, "{error}");
    }
    eventually("it answers again", || manager.get("m", None).is_ok());
    world.open_gate();
    eventually("the source answers", || manager.refresh().is_ok());
}

#[test]
fn times_may_be_as_long_as_they_like() {
    let world = World::of(&[("m", 1)]);
    let manager = world
        .builder()
        .open_timeout(Duration::MAX)
        .slow_after(Duration::MAX)
        .poll_interval(Duration::MAX)
        .open()
        .unwrap();
    manager.refresh().unwrap();
    manager.set_label("m", "stable", 1).unwrap();
    assert!(manager.wait_for("m", None, Duration::MAX).is_ok());
}
