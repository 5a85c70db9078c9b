//! Models in a real directory, by the tags of their formats.

use std::fs;
use std::path::Path;

use sha2::Digest as _;

use super::*;
use crate::blessing::Candidate;
use crate::model::{ConstantModel, Loaders, Model};
use crate::serving::ModelRepository;

/// Saves a model that answers a number.
fn save(root: &Path, model: &str, version: u64, number: f64) {
    let target = Target::regression("y");
    let inputs = vec![InputColumn::new("x", FieldType::Float)];
    let steps = vec![FittedStep::new("x", "x", ImputeNumber { value: 0.0 })];
    let candidate = Candidate::new(
        model,
        ConstantModel::new(1, vec![number]),
        target,
        &Schema::new([Field::new("x", FieldType::Float)]),
        Arc::new(FittedTransform::new(inputs, steps).unwrap()),
        BTreeMap::new(),
    );
    let place = root.join(model).join(version.to_string());
    candidate.unwrap().save(&place).unwrap();
}

#[test]
fn tags_say_who_loads() {
    let dir = tempfile::tempdir().unwrap();
    save(dir.path(), "m", 1, 7.0);
    let repository = ModelRepository::at(dir.path());
    let open = |builder: ManagerBuilder| builder.poll_interval(None).open().unwrap();
    let manager = open(Manager::builder(repository.clone()));
    assert_eq!(answer(&manager.get("m", None).unwrap()), 7.0);

    // An adapter takes precedence over the loaders.
    let world = World::default();
    let builder =
        Manager::builder(repository.clone()).adapter(ConstantModel::FORMAT, world.clone());
    let manager = open(builder);
    assert_eq!(answer(&manager.get("m", None).unwrap()), 1.0);
    assert_eq!(world.n_tries("m", 1), 1);

    let builder = Manager::builder(repository)
        .loaders(Loaders::empty())
        .adapter("test.answers.v1", world)
        .retries(0, Duration::ZERO);
    let manager = open(builder);
    assert_eq!(
        states(&manager, "m"),
        "1 end: no loader for models of format `fourfold.constant.v1`; known are test.answers.v1. Add yours with \
         `Loaders::with` or `ManagerBuilder::adapter`"
    );
}

#[test]
fn the_size_of_the_files_is_what_they_take() {
    let dir = tempfile::tempdir().unwrap();
    save(dir.path(), "m", 1, 7.0);
    fn size(dir: &Path) -> u64 {
        let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
        let sizes = entries.map(|entry| match entry.metadata().unwrap() {
            metadata if metadata.is_dir() => size(&entry.path()),
            metadata => metadata.len(),
        });
        sizes.sum()
    }
    let n_bytes = size(&dir.path().join("m/1"));
    let needed = n_bytes + n_bytes / 5;
    let open = |budget: u64| {
        Manager::builder(ModelRepository::at(dir.path()))
            .memory_budget(budget)
            .open()
            .unwrap()
    };
    assert_eq!(states(&open(needed), "m"), "1 available");
    let short = needed - 1;
    assert_eq!(
        states(&open(short), "m"),
        format!("1 end: it needs {needed} bytes of memory, more than the memory budget of {short}")
    );
}

#[test]
fn what_is_said_is_kept_in_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    for version in 1..=3 {
        save(dir.path(), "m", version, version as f64);
    }
    let open = || {
        let repository = ModelRepository::at(dir.path());
        Manager::builder(repository)
            .poll_interval(None)
            .open()
            .unwrap()
    };
    let (here, there) = (open(), open());
    here.set_label("m", "stable", 2).unwrap();
    assert_eq!(here.rollback("m").unwrap(), 1);
    assert_eq!(answer(&here.get("m", None).unwrap()), 1.0);
    there.refresh().unwrap();
    assert_eq!(version(&there, "m"), 1, "others follow");
    let manager = open();
    assert_eq!(version(&manager, "m"), 1, "a restart remembers");
    assert_eq!(
        states(&manager, "m"),
        "1 available stable, 2 end: rolled back, 3 available"
    );
    // The directory's own calls are followed too.
    ModelRepository::at(dir.path())
        .change("m", |control| control.set_label("stable", 3))
        .unwrap();
    for manager in [&here, &there, &manager] {
        manager.refresh().unwrap();
        assert_eq!(version(manager, "m"), 3);
    }
}

#[test]
fn reasons_come_with_their_causes() {
    let dir = tempfile::tempdir().unwrap();
    save(dir.path(), "m", 1, 7.0);
    let place = dir.path().join("m/1");
    let broken = "{\"steps\": 7}";
    fs::write(place.join("transform.json"), broken).unwrap();
    let files = crate::store::files_below(&place).unwrap();
    assert!(files.contains(&"transform.json".to_owned()));
    // As it was written, so that the digests are right.
    let sums = fs::read_to_string(place.join("SHA256SUMS")).unwrap();
    let sums = sums.lines().map(|line| match line.split_once("  ") {
        Some((_, "transform.json")) => {
            format!(
                "{}  transform.json\n",
                crate::fingerprint::hex(&sha2::Sha256::digest(broken))
            )
        }
        _ => format!("{line}\n"),
    });
    fs::write(place.join("SHA256SUMS"), sums.collect::<String>()).unwrap();
    let manager = Manager::builder(ModelRepository::at(dir.path()))
        .poll_interval(None)
        .retries(0, Duration::ZERO)
        .open()
        .unwrap();
    let states = states(&manager, "m");
    assert!(
        states.contains("transform.json` is not what it should be: "),
        "{states}"
    );
    assert!(states.contains("line 1"), "{states}");
}
