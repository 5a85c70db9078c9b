//! What is saved is whole or not there; what was changed is refused.

use std::fs;
use std::path::{Path, PathBuf};

use fourfold::model::Servable;
use fourfold::prelude::*;

use crate::support::parcels;

/// A repository with one model in it.
async fn repository(root: &Path) -> PathBuf {
    let outcome = pipeline(root).run().await.unwrap();
    outcome.endpoint().expect("blessed").path
}

fn pipeline(root: &Path) -> Pipeline<BatchSource, LogisticRegression, Thresholds, ModelRepository> {
    Pipeline::builder("parcels")
        .data(
            BatchSource::new("parcels", vec![parcels(2_000)])
                .label("late")
                .transform(Transform::new().z_score("kilograms").one_hot("road")),
        )
        .train(LogisticRegression::default())
        .evaluate(
            Thresholds::new()
                .at_least("auc", 0.7)
                .no_worse_than_baseline("auc", 0.01),
        )
        .serve(ModelRepository::at(root))
        .build()
        .unwrap()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

#[tokio::test]
async fn a_flipped_byte_in_any_file_is_refused_and_named() {
    let root = tempfile::tempdir().unwrap();
    let place = repository(root.path()).await;
    let loaders = Loaders::default();
    Servable::load(&place, &loaders).unwrap();
    let files = files(&place);
    assert_eq!(files.len(), 6, "{files:?}");
    for path in files {
        let good = fs::read(&path).unwrap();
        for at in [0, good.len() / 2, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 0x20;
            fs::write(&path, &bad).unwrap();
            let error = Servable::load(&place, &loaders).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
        }
        fs::write(&path, &good).unwrap();
    }
    let model = place.join("model").join("linear.json");
    let mut bytes = fs::read(&model).unwrap();
    bytes[10] ^= 1;
    fs::write(&model, bytes).unwrap();
    let error = Servable::load(&place, &loaders).unwrap_err().to_string();
    assert!(error.contains("linear.json"), "{error}");
}

#[tokio::test]
async fn what_an_interrupted_run_leaves_is_read_by_nobody() {
    let root = tempfile::tempdir().unwrap();
    let place = repository(root.path()).await;
    // A writer that was killed leaves its directory aside; one that never wrote its digests leaves no list.
    let aside = place.parent().unwrap().join(".writing-killed");
    fs::create_dir_all(aside.join("model")).unwrap();
    fs::write(aside.join("manifest.json"), "{}").unwrap();
    let half = place.parent().unwrap().join("2");
    fs::create_dir(&half).unwrap();
    fs::copy(place.join("manifest.json"), half.join("manifest.json")).unwrap();

    let manager = Manager::open(ModelRepository::at(root.path()), Loaders::default()).unwrap();
    assert_eq!(manager.get("parcels", None).unwrap().version(), 1);
    let error = manager.get("parcels", Some(2)).unwrap_err().to_string();
    assert!(error.contains("was not written whole"), "{error}");
    assert_eq!(
        ModelRepository::at(root.path())
            .versions("parcels")
            .unwrap(),
        [1, 2]
    );

    // The next push takes the next number and serves.
    fs::remove_dir_all(&half).unwrap();
    let pushed = pipeline(root.path())
        .run()
        .await
        .unwrap()
        .endpoint()
        .unwrap();
    assert_eq!(pushed.version, 2);
    assert!(manager.refresh().unwrap());
    assert_eq!(manager.get("parcels", None).unwrap().version(), 2);
}

#[tokio::test]
async fn a_baseline_that_cannot_be_read_blocks_a_comparison_with_it_and_says_so() {
    let root = tempfile::tempdir().unwrap();
    let place = repository(root.path()).await;
    fs::write(place.join("schema.json"), "{}").unwrap();
    let outcome = pipeline(root.path()).run().await.unwrap();
    assert!(!outcome.is_deployed());
    let reasons = outcome.run().verdict.reasons().join("; ");
    assert!(
        reasons.contains("schema.json") && reasons.contains("cannot be compared"),
        "{reasons}"
    );
}

#[tokio::test]
async fn versions_count_up_and_their_digests_agree_with_sha256sum() {
    let root = tempfile::tempdir().unwrap();
    let first = repository(root.path()).await;
    let second = repository(root.path()).await;
    assert!(first.ends_with("parcels/1") && second.ends_with("parcels/2"));
    let checked = std::process::Command::new("sha256sum")
        .args(["-c", "--quiet", "SHA256SUMS"])
        .current_dir(&second)
        .status();
    if let Ok(status) = checked {
        assert!(status.success());
    }
    // Equal data and configuration make an equal model: every file but none of the clock.
    for file in ["model/linear.json", "transform.json", "schema.json"] {
        assert_eq!(
            fs::read(first.join(file)).unwrap(),
            fs::read(second.join(file)).unwrap()
        );
    }
}
