//! Rolling back, labels, traffic, loading and unloading by hand.

use super::*;

#[test]
fn a_rollback_takes_the_version_out_until_a_newer_one_comes() {
    let world = World::of(&[("m", 1), ("m", 2)]);
    let manager = world.open();
    assert_eq!(manager.rollback("m").unwrap(), 1);
    assert_eq!(version(&manager, "m"), 1);
    let rolled_back = "1 available, 2 end: rolled back";
    eventually("2 is gone", || states(&manager, "m") == rolled_back);
    manager.refresh().unwrap();
    assert_eq!(states(&manager, "m"), rolled_back, "it stays out");
    let error = manager.get("m", 2).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("rolled back"), "{error}");
    // A restart remembers.
    assert_eq!(version(&world.open(), "m"), 1);
    let error = manager.rollback("m").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(
        error.to_string().contains("no version older than 1"),
        "{error}"
    );
    assert_eq!(version(&manager, "m"), 1);

    world.push("m", 3);
    manager.refresh().unwrap();
    assert_eq!(version(&manager, "m"), 3);
    assert_eq!(manager.rollback("m").unwrap(), 1, "2 is rolled back still");
}

#[test]
fn a_rollback_to_what_cannot_be_loaded_changes_nothing() {
    let world = World::of(&[("m", 1), ("m", 2)]);
    let manager = world.open();
    world.tell("m", 1, Does::Fails);
    let error = manager.rollback("m").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Model);
    assert!(error.to_string().contains("a broken model"), "{error}");
    assert_eq!(version(&manager, "m"), 2);
    assert!(
        world.0.controls.lock().unwrap().is_empty(),
        "nothing is kept"
    );

    // A version that fails is skipped the next time.
    world.push("m", 3);
    manager.refresh().unwrap();
    world.tell("m", 2, Does::Loads);
    assert_eq!(manager.rollback("m").unwrap(), 2);
    assert!(manager.rollback("nobody").is_err());
}

#[test]
fn a_rollback_is_remembered_here_where_the_source_forgets() {
    let world = World::of(&[("m", 1), ("m", 2)]);
    world.0.forgets.store(true, Ordering::Relaxed);
    let manager = world.open();
    assert_eq!(manager.rollback("m").unwrap(), 1);
    manager.refresh().unwrap();
    assert_eq!(version(&manager, "m"), 1);
    world.push("m", 3);
    manager.refresh().unwrap();
    assert_eq!(version(&manager, "m"), 3);
}

#[test]
fn a_rollback_goes_past_the_policy() {
    let world = World::of(&[("m", 1), ("m", 2)]);
    for transition in [
        Arc::new(AvailabilityPreserving) as Arc<dyn TransitionPolicy>,
        Arc::new(ResourcePreserving),
    ] {
        world.0.controls.lock().unwrap().clear();
        let manager = world
            .builder()
            .transition(ByReference(transition))
            .versions(VersionPolicy::Specific(vec![2]))
            .open()
            .unwrap();
        assert_eq!(manager.rollback("m").unwrap(), 1);
        assert_eq!(version(&manager, "m"), 1);
    }
}

#[derive(Debug)]
struct ByReference(Arc<dyn TransitionPolicy>);

impl TransitionPolicy for ByReference {
    fn next(&self, versions: &[VersionStatus]) -> Option<Transition> {
        self.0.next(versions)
    }
}

#[test]
fn labels_name_versions() {
    let world = World::of(&[("m", 1), ("m", 2)]);
    let manager = world.open();
    manager.set_label("m", "stable", 1).unwrap();
    assert_eq!(states(&manager, "m"), "1 available stable, 2 available");
    assert_eq!(version(&manager, "m"), 1, "what is stable answers");
    manager.set_label("m", "canary", 2).unwrap();
    let canary = VersionChoice::Label("canary");
    assert_eq!(manager.get("m", canary).unwrap().version(), 2);
    let error = manager.get("m", VersionChoice::Label("canry")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("`canary`"), "{error}");

    world.push("m", 3);
    manager.refresh().unwrap();
    assert_eq!(
        version(&manager, "m"),
        1,
        "a newer version is not stable yet"
    );
    assert_eq!(answer(&manager.get("m", 3).unwrap()), 3.0);

    // A label does not move to a version that does not load.
    world.tell("m", 4, Does::Fails);
    world.push("m", 4);
    manager.refresh().unwrap();
    let error = manager.set_label("m", "stable", 4).unwrap_err();
    assert!(error.to_string().contains("a broken model"), "{error}");
    let error = manager.set_label("m", "stable", 9).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("no version 9"), "{error}");
    assert_eq!(
        manager.set_label("x", "stable", 1).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert_eq!(
        manager.set_label("m", "a/b", 1).unwrap_err().kind(),
        ErrorKind::Config
    );
    assert_eq!(version(&manager, "m"), 1);

    manager.set_label("m", "stable", 3).unwrap();
    assert_eq!(version(&manager, "m"), 3);
    assert!(manager.remove_label("m", "canary").unwrap());
    assert!(!manager.remove_label("m", "canary").unwrap());
    assert!(manager.get("m", canary).is_err());
}

#[test]
fn a_label_that_is_moved_in_the_source_stays_until_its_version_answers() {
    let world = World::of(&[("m", 1), ("m", 2)]);
    let manager = world.open();
    manager.set_label("m", "stable", 1).unwrap();
    manager.set_label("m", "canary", 2).unwrap();
    world.tell("m", 3, Does::Hangs);
    world.push("m", 3);
    let change = |control: &mut Control| control.set_label("stable", 3);
    world.update("m", &mut { change }).unwrap();
    manager.shared.poll().unwrap();
    let stable = VersionChoice::Label("stable");
    assert_eq!(manager.get("m", stable).unwrap().version(), 1);
    assert_eq!(version(&manager, "m"), 1);
    world.open_gate();
    eventually("the label moves", || {
        manager.get("m", stable).unwrap().version() == 3
    });
    assert_eq!(version(&manager, "m"), 3);
}

#[test]
fn traffic_is_split_by_weight_and_by_key() {
    let world = World::of(&[("m", 1), ("m", 2)]);
    let manager = world.open();
    manager.set_label("m", "stable", 1).unwrap();
    let split = Traffic::by_weight([("stable".into(), 3), (VersionRef::Number(2), 1)]).unwrap();
    manager.set_traffic("m", Some(&split)).unwrap();
    let n = 4_000;
    let canaries = (0..n).filter(|_| version(&manager, "m") == 2).count();
    assert!((800..1_200).contains(&canaries), "{canaries} of {n}");
    let explicit = manager.get("m", VersionChoice::Label("stable")).unwrap();
    assert_eq!(
        explicit.version(),
        1,
        "a version that is named is not split"
    );

    let split = Traffic::by_key([(1, 1), (2, 1)]).unwrap();
    manager.set_traffic("m", Some(&split)).unwrap();
    let by_key = |key: &str| {
        let route = manager.route("m", None, Some(key)).unwrap();
        route.predictor().version()
    };
    let keys: Vec<String> = (0..200).map(|key| key.to_string()).collect();
    let first: Vec<u64> = keys.iter().map(|key| by_key(key)).collect();
    let second: Vec<u64> = keys.iter().map(|key| by_key(key)).collect();
    assert_eq!(first, second);
    assert!(first.contains(&1) && first.contains(&2));

    // The share of a missing version goes to the default.
    world.remove("m", 2);
    manager.refresh().unwrap();
    assert!(keys.iter().all(|key| by_key(key) == 1));
    manager.set_traffic("m", None).unwrap();
    assert_eq!(version(&manager, "m"), 1);
}

#[test]
fn shadows_see_what_others_answer() {
    let world = World::of(&[("m", 1), ("m", 2)]);
    let manager = world.open();
    assert!(manager.route("m", None, None).unwrap().shadow().is_none());
    manager
        .set_shadow("m", Some(&VersionRef::Number(1)))
        .unwrap();
    let (predictor, shadow) = manager.route("m", None, None).unwrap().into_parts();
    assert_eq!((predictor.version(), shadow.unwrap().version()), (2, 1));
    let own = manager.route("m", 1, None).unwrap();
    assert!(own.shadow().is_none(), "it is not its own shadow");
    manager.set_shadow("m", None).unwrap();
    assert!(manager.route("m", None, None).unwrap().shadow().is_none());
}

#[test]
fn a_model_is_unloaded_and_loaded_by_hand() {
    let world = World::of(&[("m", 1), ("other", 1)]);
    let manager = world.open();
    manager.unload("m").unwrap();
    let error = manager.get("m", None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("unloaded"), "{error}");
    assert_eq!(
        manager.get("m", 1).unwrap_err().kind(),
        ErrorKind::Unavailable
    );
    eventually("it is gone", || states(&manager, "m") == "1 end: unloaded");
    world.push("m", 2);
    manager.refresh().unwrap();
    assert_eq!(
        states(&manager, "m"),
        "2 end: unloaded",
        "it stays unloaded"
    );
    let error = manager
        .wait_for("m", None, Duration::from_secs(9))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "nobody waits for it");
    assert_eq!(version(&manager, "other"), 1);
    manager.load("m").unwrap();
    assert_eq!(version(&manager, "m"), 2);
    for error in [manager.load("x"), manager.unload("x")] {
        assert_eq!(error.unwrap_err().kind(), ErrorKind::NotFound);
    }
}

#[test]
fn loading_by_hand_tries_what_was_given_up() {
    let world = World::of(&[("m", 1)]);
    world.tell("m", 1, Does::Fails);
    let manager = world.builder().retries(0, Duration::ZERO).open().unwrap();
    let error = manager.load("m").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Model);
    assert!(error.to_string().contains("a broken model"), "{error}");
    assert_eq!(world.n_tries("m", 1), 2);
    world.tell("m", 1, Does::Loads);
    manager.load("m").unwrap();
    assert_eq!(version(&manager, "m"), 1);

    // Also while an older version answers.
    world.tell("m", 2, Does::Fails);
    world.push("m", 2);
    manager.refresh().unwrap();
    assert_eq!(version(&manager, "m"), 1);
    world.tell("m", 2, Does::Loads);
    manager.load("m").unwrap();
    assert_eq!(version(&manager, "m"), 2);
}

#[test]
fn what_is_labelled_is_tried_although_it_is_named_already() {
    let world = World::of(&[("m", 1), ("m", 2)]);
    world.tell("m", 2, Does::Fails);
    let mut name = |control: &mut Control| control.set_label("canary", 2);
    world.update("m", &mut name).unwrap();
    let manager = world.builder().retries(0, Duration::ZERO).open().unwrap();
    let error = manager.set_label("m", "stable", 2).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Model);
    let kept = world.0.controls.lock().unwrap()["m"].clone();
    assert_eq!(kept.labels().get("stable"), None);
    // Something else may be said.
    manager.set_label("m", "stable", 1).unwrap();
}

#[test]
fn what_is_rolled_back_is_restored() {
    let world = World::of(&[("m", 1), ("m", 2)]);
    let manager = world.open();
    assert_eq!(manager.rollback("m").unwrap(), 1);
    manager.restore("m", 2).unwrap();
    assert_eq!(version(&manager, "m"), 2);
    for (model, version) in [("m", 2), ("m", 1), ("x", 1)] {
        let error = manager.restore(model, version).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    }
}

#[test]
fn versions_are_set_by_hand() {
    let world = World::of(&[("m", 1), ("m", 2), ("m", 3)]);
    let manager = world.open();
    let one = VersionPolicy::Specific(vec![1]);
    manager.set_versions("m", Some(&one)).unwrap();
    assert_eq!(version(&manager, "m"), 1);
    manager
        .set_versions("m", Some(&VersionPolicy::All))
        .unwrap();
    assert_eq!(
        states(&manager, "m"),
        "1 available, 2 available, 3 available"
    );
    manager.set_versions("m", None).unwrap();
    assert_eq!(version(&manager, "m"), 3);
    eventually("the others are gone", || {
        states(&manager, "m") == "3 available"
    });
    let nothing = manager.set_versions("m", Some(&VersionPolicy::Latest(0)));
    assert_eq!(nothing.unwrap_err().kind(), ErrorKind::Config);
    assert!(manager.set_versions("x", None).is_err());
}
