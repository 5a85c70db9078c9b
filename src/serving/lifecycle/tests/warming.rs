//! Versions answer before they take traffic.

use std::fs;

use super::*;

#[test]
fn rows_are_answered_before_a_version_takes_traffic() {
    let world = World::of(&[("m", 1)]);
    let manager = world
        .builder()
        .warm_up("m", rows(&[1.0, 2.0]))
        .open()
        .unwrap();
    assert_eq!(version(&manager, "m"), 1);
    for (bad, reason) in [
        (
            -0.5,
            "1 end: warming up, row 1: the model failed: it is negative",
        ),
        (-2.0, "1 end: warming up, row 1: the model panicked"),
    ] {
        let manager = world
            .builder()
            .retries(0, Duration::ZERO)
            .warm_up("m", rows(&[1.0, bad]))
            .open()
            .unwrap();
        assert!(
            states(&manager, "m").starts_with(reason),
            "{}",
            states(&manager, "m")
        );
    }
}

#[test]
fn recorded_requests_are_answered_too() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::default();
    let place = dir.path().join("1");
    fs::create_dir(&place).unwrap();
    world.push_found("m", FoundVersion::new(1, &place));
    let try_with = |file: &str, text: &str| {
        let path = dir.path().join(file);
        fs::write(&path, text).unwrap();
        let manager = world.builder().retries(0, Duration::ZERO).open().unwrap();
        let states = states(&manager, "m");
        fs::remove_file(path).unwrap();
        states.replace(&dir.path().display().to_string(), "")
    };
    let fine = "{\"x\": 1}\n\n{\"x\": null, \"more\": [\"a\", null]}\n{}\n";
    assert_eq!(try_with("warmup.jsonl", fine), "1 available");
    assert_eq!(
        try_with("1/warmup.json", "[{\"x\": 1.5}, {\"x\": 2}]"),
        "1 available"
    );
    for (file, text, reason) in [
        (
            "warmup.jsonl",
            "{\"x\": 1}\n{\"x\": -1}",
            "warming up, record 1 of `/warmup.jsonl`: the model failed: it is negative",
        ),
        (
            "1/warmup.json",
            "{\"x\": \"one\"}",
            "warming up, record 0 of `/1/warmup.json`: field `x` is of type text, must be float",
        ),
        (
            "warmup.json",
            "[1]",
            "warming up, record 0 of `/warmup.json`: a record is 1, must be",
        ),
        ("warmup.json", "{", "`/warmup.json` is not JSON"),
        (
            "warmup.jsonl",
            "{}\n{",
            "`/warmup.jsonl`, line 2 is not JSON",
        ),
        (
            "warmup.json",
            "{\"x\": {\"y\": 1}}",
            "warming up, record 0 of `/warmup.json`: column `x`: a value must be",
        ),
    ] {
        let states = try_with(file, text);
        assert!(states.starts_with(&format!("1 end: {reason}")), "{states}");
    }
    // The thousandth record is the last.
    let many = "{\"x\": 1}\n".repeat(1_000);
    assert_eq!(
        try_with("warmup.jsonl", &format!("{many}{{\"x\": -1}}")),
        "1 available"
    );
}

#[cfg(feature = "http")]
#[test]
fn recorded_requests_may_be_those_of_the_open_protocol() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::default();
    world.push_found("m", FoundVersion::new(1, dir.path().join("1")));
    let request = |value: &str| {
        format!(
            r#"{{"inputs": [{{"name": "x", "shape": [1], "datatype": "FP64", "data": [{value}]}}]}}"#
        )
    };
    fs::write(dir.path().join("warmup.jsonl"), request("1.5")).unwrap();
    assert_eq!(states(&world.open(), "m"), "1 available");
    fs::write(dir.path().join("warmup.jsonl"), request("-1")).unwrap();
    let manager = world.builder().retries(0, Duration::ZERO).open().unwrap();
    assert!(states(&manager, "m").contains("record 0 of"));
}

#[cfg(target_os = "linux")]
#[test]
fn threads_that_load_stand_back() {
    let own = nice().unwrap();
    let open = |builder: fn(ManagerBuilder) -> ManagerBuilder| {
        let world = World::of(&[("m", 1)]);
        let manager = builder(world.builder()).open().unwrap();
        assert_eq!(version(&manager, "m"), 1);
        world.0.nices.lock().unwrap().clone()
    };
    assert_eq!(open(|builder| builder), [own.max(10)]);
    assert_eq!(open(|builder| builder.load_niceness(0)), [own]);
    assert_eq!(open(|builder| builder.load_niceness(19)), [19]);
    let bad = World::default().builder().load_niceness(20).open();
    assert!(
        bad.unwrap_err()
            .to_string()
            .contains("`load_niceness` is 20")
    );
}
