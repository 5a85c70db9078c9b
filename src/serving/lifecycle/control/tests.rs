use super::*;

fn control() -> Control {
    let mut control = Control::default();
    control.set_label("stable", 4).unwrap();
    control.set_label("canary", 5).unwrap();
    control
}

#[test]
fn format_1_is_read_and_written_as_it_was() {
    let text = include_str!("../../../../tests/fixtures/serving_v1/serving.json");
    let control = Control::from_json(text).unwrap();
    assert_eq!(control.labels()["stable"], 5);
    assert_eq!(control.shadow(), Some(&"canary".into()));
    assert_eq!(control.rolled_back(), &BTreeSet::from([6]));
    assert_eq!(control.versions(), Some(&VersionPolicy::Latest(3)));
    let traffic = control.traffic().unwrap();
    assert_eq!(traffic.shares()[2].to(), &VersionRef::Number(4));
    assert_eq!(control.to_json().unwrap(), text);
    // Keys keep their versions in later builds.
    let chosen = ["a", "b", "c", "d"].map(|key| traffic.choose(Some(key), 0).to_string());
    let (stable, canary) = ("label `stable`", "label `canary`");
    assert_eq!(chosen, [stable, canary, stable, stable]);
}

#[test]
fn what_is_wrong_is_named() {
    for (text, message) in [
        ("", "EOF while parsing a value at line 1 column 0"),
        ("{}", "missing field `format_version` at line 1 column 2"),
        (
            r#"{"format_version": 1, "lables": {}}"#,
            "unknown field `lables` at line 1 column 30; did you mean `labels`?",
        ),
        (
            r#"{"format_version": 2, "lables": {}}"#,
            "it is of format version 2, this build reads 1",
        ),
        (
            r#"{"format_version": 1, "labels": {"stable": 1}, "shadow": "stabel"}"#,
            "shadow: there is no label `stabel`; did you mean `stable`?",
        ),
        (
            r#"{"format_version": 1, "labels": {"stable": 1}, "rolled_back": [1]}"#,
            "label `stable`: version 1 is rolled back",
        ),
        (
            r#"{"format_version": 1, "labels": {"stable": -1}}"#,
            "invalid value: integer `-1`, expected u64 at line 1 column 45",
        ),
        (
            r#"{"format_version": 1, "labels": {"12": 1}}"#,
            "label \"12\" of version 1 must be a word of at most 128 bytes: not a number, no space, no `/`",
        ),
        (
            r#"{"format_version": 1, "shadow": 1.5}"#,
            "a version number or a label at line 1 column 36",
        ),
        (
            r#"{"format_version": 1, "traffic": {"shares": []}}"#,
            "traffic: at least one share must have a weight above 0 at line 1 column 48",
        ),
        (
            r#"{"format_version": 1, "traffic": {"shares": [{"to": 1, "wieght": 2}]}}"#,
            "unknown field `wieght` at line 1 column 63; did you mean `weight`?",
        ),
        (
            r#"{"format_version": 1, "versions": {"latest": 0}}"#,
            "version policy: `latest` is 0, must be at least 1",
        ),
    ] {
        let error = Control::from_json(text).unwrap_err();
        assert_eq!(error.to_string(), message, "{text}");
    }
}

#[test]
fn what_is_named_is_loaded_too() {
    let mut control = control();
    let latest = VersionPolicy::default();
    let found = [1, 2, 3, 4, 5, 6];
    assert_eq!(control.aspired(&latest, &found), [4, 5, 6]);
    control.set_shadow(Some(1.into())).unwrap();
    let traffic = Traffic::by_weight([(VersionRef::from(2), 1), ("stable".into(), 1)]);
    control.set_traffic(Some(traffic.unwrap())).unwrap();
    assert_eq!(control.aspired(&latest, &found), [1, 2, 4, 5, 6]);
    control.roll_back(6, 3).unwrap();
    assert_eq!(control.aspired(&latest, &found), [1, 2, 4, 5]);
    // Its own policy takes precedence over the server's; a missing version is not loaded.
    let nothing = VersionPolicy::Specific(Vec::new());
    control.set_versions(Some(nothing)).unwrap();
    assert_eq!(control.aspired(&VersionPolicy::All, &[1, 3, 5]), [1, 5]);
    let empty = Control::default();
    assert_eq!(
        empty.aspired(&VersionPolicy::Specific(vec![]), &found),
        [] as [u64; 0]
    );
}

#[test]
fn a_change_that_contradicts_changes_nothing() {
    let mut control = control();
    let traffic = Traffic::by_weight([("stable", 95), ("canary", 5)]).unwrap();
    control.set_traffic(Some(traffic)).unwrap();
    let before = control.clone();
    assert!(control.remove_label("canary").is_err());
    assert!(control.set_shadow(Some("next".into())).is_err());
    assert!(control.set_label("a/b", 1).is_err());
    assert!(control.set_label("", 1).is_err());
    assert!(
        control
            .set_versions(Some(VersionPolicy::Latest(0)))
            .is_err()
    );
    assert!(control.roll_back(5, 5).is_err());
    assert_eq!(control, before);
    assert!(!control.remove_label("missing").unwrap());
}

#[test]
fn rolling_back_moves_what_names_the_version() {
    let mut control = control();
    let shares = [
        (VersionRef::from(5), 10),
        (4.into(), 20),
        ("canary".into(), 70),
    ];
    control
        .set_traffic(Some(Traffic::by_key(shares).unwrap()))
        .unwrap();
    control.set_shadow(Some(5.into())).unwrap();
    let specific = VersionPolicy::Specific(vec![5]);
    control.set_versions(Some(specific)).unwrap();

    let found = [3, 4, 5];
    assert_eq!(
        control.default_version(&found),
        Some(4),
        "the label decides"
    );
    assert_eq!(
        control.default_version(&[3, 5]),
        Some(5),
        "not if it is not there"
    );
    assert_eq!(control.previous_version(&found, 5), Some(4));
    control.roll_back(5, 4).unwrap();
    assert_eq!(control.labels()["canary"], 4);
    assert_eq!(control.shadow(), None);
    assert_eq!(
        control.versions(),
        Some(&VersionPolicy::Specific(vec![5, 4]))
    );
    let shares = control.traffic().unwrap().shares();
    let shares: Vec<_> = shares
        .iter()
        .map(|share| (share.to().clone(), share.weight()))
        .collect();
    assert_eq!(shares, [(4.into(), 30), ("canary".into(), 70)]);
    assert_eq!(control.aspired(&VersionPolicy::All, &found), [4]);

    assert_eq!(control.previous_version(&found, 4), Some(3));
    control.roll_back(4, 3).unwrap();
    assert_eq!(control.previous_version(&found, 3), None);
    assert!(control.set_label("stable", 5).is_err(), "it is rolled back");
    assert!(
        control.roll_back(3, 4).is_err(),
        "that one is rolled back itself"
    );
    assert!(control.restore(5) && !control.restore(5));
    control.set_label("stable", 5).unwrap();
    assert_eq!(
        Control::from_json(&control.to_json().unwrap()).unwrap(),
        control
    );
}
