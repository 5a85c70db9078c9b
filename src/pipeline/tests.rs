//! A pipeline that is stopped anywhere.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};

use super::Pipeline;
use crate::data::{BatchSource, DataSourceExt};
use crate::evaluation::Thresholds;
use crate::runs::{Keep, Root, State};
use crate::serving::ModelRepository;
use crate::store::Fault;
use crate::training::DecisionTree;

fn pipeline(dir: &Path) -> Pipeline<BatchSource, DecisionTree, Thresholds, ModelRepository> {
    let x: ArrayRef = Arc::new(Int64Array::from_iter_values((0..80).map(|x| x % 16)));
    let y: ArrayRef = Arc::new(Int64Array::from_iter_values(
        (0..80).map(|x| i64::from(x % 16 % 7 > 2)),
    ));
    let rows = RecordBatch::try_from_iter([("x", x), ("y", y)]).unwrap();
    Pipeline::builder("rows")
        .data(BatchSource::new("rows", vec![rows]).label("y"))
        .train(DecisionTree::default())
        .evaluate(Thresholds::new().at_least("accuracy", 0.0))
        .serve(ModelRepository::at(dir.join("models")))
        .root(dir.join("root"))
        .build()
        .unwrap()
}

/// The files below a directory.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => open.push(path),
                false => {
                    let name = path.strip_prefix(dir).unwrap().to_owned();
                    found.insert(name, fs::read(&path).unwrap());
                }
            }
        }
    }
    found
}

#[test]
fn a_run_that_was_stopped_goes_on_as_if_it_had_not_been() {
    stopped_at_every(17);
}

#[test]
#[ignore = "it runs a pipeline some hundred times"]
fn a_run_that_was_stopped_at_any_step_goes_on_as_if_it_had_not_been() {
    stopped_at_every(1);
}

/// Stops a run at every so many steps, and runs again.
fn stopped_at_every(stride: usize) {
    let undisturbed = tempfile::tempdir().unwrap();
    let outcome = pipeline(undisturbed.path()).run_blocking().unwrap();
    assert!(outcome.is_deployed());
    let models = files(&undisturbed.path().join("models"));
    assert!(models.keys().all(|name| name.starts_with("rows/1")));

    let (mut at, mut reused) = (0, 0);
    loop {
        let dir = tempfile::tempdir().unwrap();
        let fault = Fault::at(dir.path(), at);
        let disturbed = pipeline(dir.path()).run_blocking();
        let stopped = fault.has_stopped();
        drop(fault);
        // What was promised is kept, also by a run that could not note its end.
        assert_eq!(disturbed.is_err(), stopped, "step {at}");
        let outcome = pipeline(dir.path()).run_blocking().unwrap();
        assert!(outcome.is_deployed(), "step {at}");
        reused += outcome.run().reused.len();
        assert!(
            files(&dir.path().join("models")) == models,
            "step {at}: other models"
        );
        let root = Root::open(dir.path().join("root")).unwrap();
        assert!(root.verify().unwrap().damaged.is_empty(), "step {at}");
        assert_eq!(root.runs().unwrap().pop().unwrap().state, State::Done);
        root.collect(&Keep::default().newest(9), false).unwrap();
        let left = files(dir.path());
        let mut left = left
            .keys()
            .filter(|name| name.to_string_lossy().contains(".writing-"));
        assert_eq!(left.next(), None, "step {at}");
        if !stopped {
            break;
        }
        at += stride;
    }
    assert!(at > 60, "{at} steps");
    assert!(reused > at / stride, "what was published is used again");
}
