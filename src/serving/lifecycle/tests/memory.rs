//! Lazy loading, and eviction when memory is short.

use super::*;

const WAIT: Duration = Duration::from_secs(20);

#[test]
fn what_is_lazy_is_loaded_when_it_is_asked_for() {
    let world = World::of(&[("a", 1), ("b", 1)]);
    let manager = world.builder().lazy().open().unwrap();
    let error = manager.get("a", None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(
        error.to_string().contains("loaded on the first request"),
        "{error}"
    );
    assert_eq!(states(&manager, "a"), "1 start");
    assert_eq!(manager.wait_for("a", None, WAIT).unwrap().version(), 1);
    assert_eq!(version(&manager, "a"), 1);
    assert_eq!(states(&manager, "b"), "1 start", "nobody asked for it");
    manager.load("b").unwrap();
    assert_eq!(version(&manager, "b"), 1);

    // A model in use is swapped as usual; one that is not stays unloaded.
    world.push("a", 2);
    world.push("c", 1);
    manager.refresh().unwrap();
    assert_eq!(version(&manager, "a"), 2);
    assert_eq!(world.n_tries("c", 1), 0);
    for (model, choice) in [
        ("x", VersionChoice::Default),
        ("a", VersionChoice::Number(7)),
    ] {
        let error = manager.wait_for(model, choice, WAIT).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}

#[test]
fn waiting_ends_with_the_failure_or_the_time() {
    let world = World::of(&[("fails", 1), ("fails", 2), ("hangs", 1)]);
    world.tell("fails", 1, Does::Fails);
    world.tell("fails", 2, Does::Fails);
    world.tell("hangs", 1, Does::Hangs);
    let manager = world
        .builder()
        .lazy()
        .retries(0, Duration::ZERO)
        .open()
        .unwrap();
    let error = manager.wait_for("fails", None, WAIT).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("a broken model"), "{error}");
    assert_eq!(world.n_tries("fails", 1), 1, "the older one was tried too");
    let error = manager
        .wait_for("hangs", None, Duration::from_millis(30))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded);
    world.open_gate();
}

#[test]
fn the_least_recently_used_makes_room() {
    let world = World::of(&[("a", 1), ("b", 1), ("c", 1)]);
    let manager = world.builder().lazy().memory_budget(20).open().unwrap();
    let ask = |model: &str| manager.wait_for(model, None, WAIT).unwrap().version();
    ask("a");
    ask("b");
    // The order of use is the order of requests, as far as the clock can tell.
    let asked = manager.shared.clock();
    eventually("time passes", || manager.shared.clock() > asked);
    manager.get("a", None).unwrap();
    ask("c");
    assert!(manager.get("a", None).is_ok(), "it was used after b");
    let error = manager.get("b", None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    eventually("b is out", || states(&manager, "b") == "1 start");

    // A version that a request holds is waited for.
    let held = manager.get("c", None).unwrap();
    let asked = manager.shared.clock();
    eventually("time passes", || manager.shared.clock() > asked);
    manager.get("a", None).unwrap();
    let waited = manager.wait_for("b", None, Duration::from_millis(50));
    assert_eq!(waited.unwrap_err().kind(), ErrorKind::DeadlineExceeded);
    assert!(states(&manager, "b").contains("waiting for memory"));
    drop(held);
    assert_eq!(ask("b"), 1);
}

#[test]
fn what_does_not_fit_says_so() {
    let world = World::of(&[("a", 1), ("b", 1), ("large", 1), ("large", 2)]);
    world.takes("large", 1, 5);
    world.takes("large", 2, 26);
    let manager = world.builder().memory_budget(25).open().unwrap();
    // It will never fit, so the older one answers.
    assert_eq!(version(&manager, "large"), 1);
    assert_eq!(
        states(&manager, "large"),
        "1 available, 2 end: it needs 26 bytes of memory, more than the memory budget of 25"
    );
    world.push("c", 1);
    manager.refresh().unwrap();
    let error = manager.get("c", None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(
        error
            .to_string()
            .contains("it needs 10 bytes, and 25 of 25 are in use"),
        "{error}"
    );
    manager.unload("a").unwrap();
    eventually("there is room", || manager.get("c", None).is_ok());
    let bad = world.builder().memory_budget(0).open().unwrap_err();
    assert!(bad.to_string().contains("`memory_budget`"), "{bad}");
}

#[test]
fn a_successor_that_fails_is_tried_again_lazily() {
    let world = World::of(&[("m", 1)]);
    world.tell("m", 2, Does::Fails);
    let manager = world
        .builder()
        .lazy()
        .retries(u32::MAX, Duration::from_millis(2))
        .open()
        .unwrap();
    assert_eq!(manager.wait_for("m", None, WAIT).unwrap().version(), 1);
    world.push("m", 2);
    manager.refresh().unwrap();
    eventually("it is tried again", || world.n_tries("m", 2) > 2);
    assert_eq!(version(&manager, "m"), 1);
    world.tell("m", 2, Does::Loads);
    eventually("2 answers", || version(&manager, "m") == 2);
}

/// A version that is requested by its number does not answer for the newest.
#[test]
fn a_lazy_version_stands_in_for_no_other() {
    let world = World::of(&[("m", 1), ("m", 2)]);
    let builder = || world.builder().lazy().versions(VersionPolicy::All);
    let manager = builder().open().unwrap();
    manager.wait_for("m", 1, WAIT).unwrap();
    eventually("the newest answers", || version(&manager, "m") == 2);

    // A canary does not answer for the stable version.
    let mut label = |control: &mut Control| {
        control.set_label("stable", 1)?;
        control.set_label("canary", 2)
    };
    world.update("m", &mut label).unwrap();
    let manager = builder().open().unwrap();
    let canary = VersionChoice::Label("canary");
    manager.wait_for("m", canary, WAIT).unwrap();
    let error = manager.get("m", None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(manager.wait_for("m", None, WAIT).unwrap().version(), 1);
}

#[test]
fn what_a_request_goes_to_beside_is_loaded_lazily() {
    let world = World::of(&[("m", 1), ("m", 2), ("m", 3)]);
    let mut share = |control: &mut Control| {
        control.set_traffic(Some(Traffic::by_key([(3, 1), (2, 1)])?))?;
        control.set_shadow(Some(VersionRef::Number(1)))
    };
    world.update("m", &mut share).unwrap();
    let manager = world.builder().lazy().open().unwrap();
    assert_eq!(manager.wait_for("m", None, WAIT).unwrap().version(), 3);
    eventually("all are asked", || {
        let routes = (0..50).map(|key| {
            let route = manager.route("m", None, Some(&key.to_string())).unwrap();
            let shadow = route.shadow().map(crate::serving::Predictor::version);
            (route.predictor().version(), shadow)
        });
        let routes: Vec<_> = routes.collect();
        routes.contains(&(2, Some(1))) && routes.contains(&(3, Some(1)))
    });
    assert_eq!(
        states(&manager, "m"),
        "1 available, 2 available, 3 available"
    );
}

#[test]
fn a_label_moves_to_a_version_that_made_room() {
    let world = World::of(&[("m", 1), ("m", 2), ("other", 1)]);
    let manager = world
        .builder()
        .lazy()
        .versions(VersionPolicy::All)
        .memory_budget(20)
        .open()
        .unwrap();
    manager.set_label("m", "canary", 2).unwrap();
    manager.wait_for("m", 1, WAIT).unwrap();
    manager.wait_for("other", None, WAIT).unwrap();
    manager.unload("other").unwrap();
    let states = manager.state("m").unwrap().versions;
    let out = states.iter().find(|state| !state.is_available());
    let out = out.unwrap().version;
    manager.set_label("m", "stable", out).unwrap();
    assert_eq!(version(&manager, "m"), out);
}

#[test]
fn what_nobody_asks_for_is_at_rest() {
    let world = World::of(&[("m", 1), ("fails", 1), ("hangs", 1)]);
    world.tell("fails", 1, Does::Fails);
    world.tell("hangs", 1, Does::Hangs);
    let lazy = world.builder().lazy().open().unwrap();
    assert!(lazy.states().iter().all(ModelState::is_at_rest));
    let is_at_rest = |manager: &Manager, model: &str| manager.state(model).unwrap().is_at_rest();
    assert!(lazy.wait_for("fails", None, WAIT).is_err());
    assert!(!is_at_rest(&lazy, "fails"));
    let manager = world.builder().load_threads(1).open().unwrap();
    assert!(manager.states().iter().all(|model| !model.is_at_rest()));
    for model in ["m", "fails"] {
        manager.unload(model).unwrap();
        eventually("it rests", || is_at_rest(&manager, model));
    }
    world.open_gate();
}
