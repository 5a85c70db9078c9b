use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use super::*;
use crate::blessing::{Blessed, Candidate, Verdict};
use crate::error::ErrorKind;
use crate::model::{ConstantModel, Target};
use crate::schema::Schema;
use crate::serving::lifecycle::Traffic;
use crate::transform::FittedTransform;

/// A model that answers the same number for every row.
pub(in crate::serving::lifecycle) fn constant(name: &str, answer: f64) -> Blessed<ConstantModel> {
    constant_with(name, answer, BTreeMap::new())
}

/// The same with what its manifest is to say beside.
pub(in crate::serving::lifecycle) fn constant_with(
    name: &str,
    answer: f64,
    details: BTreeMap<String, serde_json::Value>,
) -> Blessed<ConstantModel> {
    let candidate = Candidate::new(
        name,
        ConstantModel::new(0, vec![answer]),
        Target::regression("price"),
        &Schema::from_json(r#"{"format_version": 2, "fields": []}"#).unwrap(),
        Arc::new(FittedTransform::new(Vec::new(), Vec::new()).unwrap()),
        details,
    );
    Blessed::mint(candidate.unwrap(), Verdict::new().check("test", true, "")).unwrap()
}

fn found(repository: &ModelRepository, name: &str) -> Result<Found> {
    let mut models = repository.poll().unwrap();
    models.retain(|model| model.name() == name);
    models.remove(0).into_parts().1
}

#[test]
fn versions_are_found_where_they_are_written() {
    let root = tempfile::tempdir().unwrap();
    let repository = ModelRepository::at(root.path());
    assert!(repository.poll().unwrap().is_empty());
    for dir in ["a/00017", "a/30", "a/x", "b/3", ".hidden/1", "empty"] {
        fs::create_dir_all(root.path().join(dir)).unwrap();
    }
    fs::write(root.path().join("a/30/SHA256SUMS"), "four").unwrap();
    fs::write(root.path().join("README"), "not a model").unwrap();
    let models = repository.poll().unwrap();
    let names: Vec<&str> = models.iter().map(FoundModel::name).collect();
    assert_eq!(names, ["a", "b", "empty"]);
    let a = models[0].found().unwrap();
    assert_eq!(a.numbers(), [17, 30]);
    assert_eq!(a.version(17).unwrap().path(), root.path().join("a/00017"));
    assert_eq!(a.version(30).unwrap().n_bytes(), 4);
    assert!(
        a.versions()
            .iter()
            .all(|version| version.written().is_some())
    );
    assert_eq!(a.control(), &Control::default());
    assert_eq!(repository.version_dir("a", 17), root.path().join("a/00017"));
    assert_eq!(repository.version_dir("a", 18), root.path().join("a/18"));
    assert!(models[2].found().unwrap().versions().is_empty());
}

#[test]
fn a_missing_root_is_an_error_and_a_missing_version_unloads() {
    let root = tempfile::tempdir().unwrap();
    let missing = ModelRepository::at(root.path().join("none"));
    assert_eq!(missing.poll().unwrap_err().kind(), ErrorKind::NotFound);
    fs::create_dir(root.path().join("a")).unwrap();
    let repository = ModelRepository::at(root.path());
    assert!(found(&repository, "a").unwrap().versions().is_empty());
    // An accident of the storage is not to unload the last version.
    let careful = repository.servable_versions_always_present();
    assert!(found(&careful, "a").is_err());
    fs::create_dir(root.path().join("a/1")).unwrap();
    assert_eq!(found(&careful, "a").unwrap().numbers(), [1]);
}

#[test]
fn a_broken_control_file_is_that_models_error() {
    let root = tempfile::tempdir().unwrap();
    for dir in ["a/1", "b/1", "c/1"] {
        fs::create_dir_all(root.path().join(dir)).unwrap();
    }
    let repository = ModelRepository::at(root.path());
    let text = r#"{"format_version": 1, "trafic": {}}"#;
    fs::write(root.path().join("b").join(CONTROL), text).unwrap();
    fs::create_dir(root.path().join("c").join(CONTROL)).unwrap();
    assert!(found(&repository, "a").is_ok());
    let error = found(&repository, "b").unwrap_err();
    let path = root.path().join("b").join(CONTROL);
    let message = "unknown field `trafic` at line 1 column 30; did you mean `traffic`?";
    assert_eq!(
        error.to_string(),
        format!("`{}`: {message}", path.display())
    );
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(found(&repository, "c").unwrap_err().kind(), ErrorKind::Io);
    // It is not overwritten by the next change either.
    assert!(
        repository
            .change("b", |control| control.set_label("stable", 1))
            .is_err()
    );
    assert_eq!(fs::read_to_string(path).unwrap(), text);
}

#[test]
fn what_an_operator_says_is_remembered() {
    let root = tempfile::tempdir().unwrap();
    let repository = ModelRepository::at(root.path());
    for answer in [1.0, 2.0, 3.0] {
        repository.push(&constant("a", answer)).unwrap();
    }
    repository
        .change("a", |control| control.set_label("stable", 2))
        .unwrap();
    repository
        .change("a", |control| control.set_label("canary", 3))
        .unwrap();
    let traffic = Traffic::by_key([("stable", 9), ("canary", 1)]).unwrap();
    repository
        .change("a", |control| control.set_traffic(Some(traffic.clone())))
        .unwrap();
    repository
        .change("a", |control| control.set_shadow(Some(1.into())))
        .unwrap();
    let control = ModelRepository::at(root.path()).control("a").unwrap();
    assert_eq!(control.labels().len(), 2);
    assert_eq!(found(&repository, "a").unwrap().control(), &control);

    assert_eq!(repository.roll_back("a", 3).unwrap(), 2);
    assert_eq!(repository.roll_back("a", 3).unwrap(), 2, "twice is once");
    assert_eq!(repository.control("a").unwrap().labels()["canary"], 2);
    repository
        .change("a", |control| {
            assert!(control.restore(3));
            Ok(())
        })
        .unwrap();
    repository
        .change("a", |control| control.set_traffic(None))
        .unwrap();
    repository
        .change("a", |control| {
            assert!(control.remove_label("canary")?);
            Ok(())
        })
        .unwrap();
    repository
        .change("a", |control| {
            control.set_versions(Some(VersionPolicy::All))
        })
        .unwrap();
    let control = repository.control("a").unwrap();
    assert_eq!(
        control.labels(),
        &BTreeMap::from([("stable".to_owned(), 2)])
    );

    for error in [
        repository
            .change("a", |control| control.set_label("stable", 9))
            .unwrap_err(),
        repository
            .change("b", |control| control.set_label("stable", 1))
            .unwrap_err(),
        repository
            .change("a", |control| control.set_shadow(Some(9.into())))
            .unwrap_err(),
        repository.roll_back("a", 1).unwrap_err(),
        repository
            .change("../a", |control| control.set_label("stable", 1))
            .unwrap_err(),
        repository
            .change("", |control| control.set_label("stable", 1))
            .unwrap_err(),
        repository.versions("/").unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    }
    assert_eq!(repository.control("a").unwrap(), control);
    // Nothing is left beside it.
    let mut names = store::sub_directories(&root.path().join("a")).unwrap();
    names.sort();
    assert_eq!(names, ["1", "2", "3"]);
}

#[test]
fn editors_at_the_same_time_lose_nothing() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("a/1")).unwrap();
    std::thread::scope(|scope| {
        for editor in 0..4 {
            let repository = ModelRepository::at(root.path());
            scope.spawn(move || {
                for label in 0..10 {
                    let label = format!("l{editor}-{label}");
                    repository
                        .change("a", |control| control.set_label(&label, 1))
                        .unwrap();
                }
            });
        }
    });
    let control = ModelRepository::at(root.path()).control("a").unwrap();
    assert_eq!(control.labels().len(), 40);
}

#[test]
fn garbage_is_what_nobody_needs() {
    let root = tempfile::tempdir().unwrap();
    let repository = ModelRepository::at(root.path());
    for version in 1..=9 {
        fs::create_dir_all(root.path().join(format!("a/{version}"))).unwrap();
    }
    assert!(repository.garbage("a", 9).unwrap().is_empty());
    assert_eq!(repository.garbage("a", 2).unwrap(), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(
        repository.garbage("a", 1).unwrap(),
        [1, 2, 3, 4, 5, 6, 7],
        "the newest could be rolled back"
    );
    assert_eq!(
        repository.garbage("a", 0).unwrap_err().kind(),
        ErrorKind::Config
    );
    repository
        .change("a", |control| control.set_label("stable", 6))
        .unwrap();
    repository
        .change("a", |control| control.set_shadow(Some(2.into())))
        .unwrap();
    repository.roll_back("a", 9).unwrap();
    let versions = VersionPolicy::Specific(vec![3, 8]);
    repository
        .change("a", |control| control.set_versions(Some(versions.clone())))
        .unwrap();
    // 7 and 8 are the newest, 6 is stable and would be rolled back to 5.
    assert_eq!(repository.collect_garbage("a", 2).unwrap(), [1, 4]);
    assert_eq!(repository.versions("a").unwrap(), [2, 3, 5, 6, 7, 8, 9]);
    assert!(repository.collect_garbage("a", 2).unwrap().is_empty());
}

#[test]
fn a_number_that_was_rolled_back_is_not_used_again() {
    let root = tempfile::tempdir().unwrap();
    let repository = ModelRepository::at(root.path());
    for answer in [1.0, 2.0] {
        repository.push(&constant("a", answer)).unwrap();
    }
    repository.roll_back("a", 2).unwrap();
    fs::remove_dir_all(repository.version_dir("a", 2)).unwrap();
    assert_eq!(repository.push(&constant("a", 3.0)).unwrap().version, 3);
}

#[cfg(feature = "notify")]
#[test]
fn a_push_wakes_at_once_and_reading_does_not() {
    use std::sync::mpsc;
    use std::time::Duration;

    let root = tempfile::tempdir().unwrap();
    let repository = ModelRepository::at(root.path());
    let (sender, woken) = mpsc::channel();
    let watch = repository
        .watch(Arc::new(move || sender.send(()).unwrap_or_default()))
        .unwrap();
    assert!(watch.is_active());
    let limit = Duration::from_secs(20);
    repository.push(&constant("a", 1.0)).unwrap();
    woken.recv_timeout(limit).unwrap();
    repository.push(&constant("a", 2.0)).unwrap();
    woken.recv_timeout(limit).unwrap();
    // The same change may have woken twice, but reading ends in silence.
    let mut silent = 0;
    for _ in 0..100 {
        repository.poll().unwrap();
        repository
            .load("a", 1, &crate::model::Loaders::default())
            .unwrap();
        match woken.recv_timeout(Duration::from_millis(50)) {
            Ok(()) => silent = 0,
            Err(_) => silent += 1,
        }
        if silent == 10 {
            break;
        }
    }
    assert_eq!(silent, 10, "reading wakes");
    repository
        .change("a", |control| control.set_label("stable", 1))
        .unwrap();
    woken.recv_timeout(limit).unwrap();
    drop(watch);
    assert!(woken.iter().count() < 5, "the watcher ends with its handle");
}
