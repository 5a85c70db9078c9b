//! A pipeline that is stopped anywhere, and the forms of what it leaves.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arrow::array::{ArrayRef, Int64Array, RecordBatch};

use super::Pipeline;
use super::facts::TrainFacts;
use crate::blessing::Verdict;
use crate::clock::VirtualClock;
use crate::data::{BatchSource, DataFacts, DataSourceExt, EVAL, TRAIN};
use crate::evaluation::{Findings, Predictions, Thresholds};
use crate::model::{Loaders, Servable, load_json};
use crate::runs::{Keep, Root, State};
use crate::search::{Space, Strategy, Tune};
use crate::serving::{InProcess, ModelRepository};
use crate::store::Fault;
use crate::training::DecisionTree;
use crate::transform::FittedTransform;

/// Eighty rows in which a number determines the label.
fn rows() -> RecordBatch {
    let x: ArrayRef = Arc::new(Int64Array::from_iter_values((0..80).map(|x| x % 16)));
    let y: ArrayRef = Arc::new(Int64Array::from_iter_values(
        (0..80).map(|x| i64::from(x % 16 % 7 > 2)),
    ));
    RecordBatch::try_from_iter([("x", x), ("y", y)]).unwrap()
}

fn pipeline(dir: &Path) -> Pipeline<BatchSource, DecisionTree, Thresholds, ModelRepository> {
    Pipeline::builder("rows")
        .data(BatchSource::new("rows", vec![rows()]).label("y"))
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

/// Stops a run at every `stride` steps, and runs again.
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
        // The guarantees hold, even for a run that could not record its end.
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

#[test]
fn a_disk_that_is_full_or_must_not_be_written_is_an_error_and_nothing_is_lost() {
    let undisturbed = tempfile::tempdir().unwrap();
    let _ = pipeline(undisturbed.path()).run_blocking().unwrap();
    let models = files(&undisturbed.path().join("models"));
    for (kind, first) in [
        (io::ErrorKind::StorageFull, 0),
        (io::ErrorKind::PermissionDenied, 11),
        (io::ErrorKind::ReadOnlyFilesystem, 23),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut at = first;
        loop {
            let fault = Fault::failing(dir.path(), at, kind);
            let disturbed = pipeline(dir.path()).run_blocking();
            let failed = fault.has_stopped();
            drop(fault);
            let Err(error) = disturbed else {
                assert!(!failed, "{kind} at step {at}");
                break;
            };
            let shown = format!("{error:#}");
            assert!(shown.contains(&kind.to_string()), "step {at}: {shown}");
            let root = Root::open(dir.path().join("root")).unwrap();
            assert!(root.verify().unwrap().damaged.is_empty(), "step {at}");
            assert!(root.executions().is_ok(), "step {at}");
            // Existing outputs are reused, so each attempt gets further.
            at += 31;
        }
        let outcome = pipeline(dir.path()).run_blocking().unwrap();
        assert!(outcome.is_deployed());
        assert!(
            files(&dir.path().join("models")) == models,
            "{kind}: other models"
        );
    }
}

/// Writes what a root of this version holds: a run whose records are in segments, and one whose are not.
fn write_root(place: &Path) {
    let _ = fs::remove_dir_all(place);
    let at =
        |hours: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_000 + hours * 3_600);
    let run = |hours: u64, at_least: f64| {
        let space = Space::of(DecisionTree::default()).integer("max_depth", 1, 3);
        let pipeline = Pipeline::builder("rows")
            .data(BatchSource::new("rows", vec![rows()]).label("y"))
            .train(Tune::over(space).strategy(Strategy::Grid(2)))
            .evaluate(Thresholds::new().at_least("accuracy", at_least))
            .serve(InProcess::new())
            .root(Root::from(place).with_clock(VirtualClock::at(at(hours))))
            .tag("kept", "as a fixture")
            .code_version("1");
        let _ = pipeline.build().unwrap().run_blocking().unwrap();
    };
    run(0, 0.0);
    run(1, 0.1);
    for path in files(place)
        .into_keys()
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
    {
        let path = place.join(path);
        let text = fs::read_to_string(&path).unwrap();
        let mut record: serde_json::Value = serde_json::from_str(&text).unwrap();
        if record.get("environment").is_some() {
            record["environment"]["host"] = "machine".into();
            fs::write(&path, serde_json::to_string_pretty(&record).unwrap() + "\n").unwrap();
        }
    }
    let root = Root::open(place)
        .unwrap()
        .with_clock(VirtualClock::at(at(2)));
    assert_eq!(root.compact(Duration::from_secs(5_400)).unwrap().runs, 1);
    for left in ["lock", "segments/lock"] {
        let _ = fs::remove_file(place.join(left));
    }
}

/// All later versions read what this version writes, so rewriting the fixture breaks the format. `FOURFOLD_FREEZE=1`
/// rewrites it.
#[test]
fn a_root_of_format_1_is_read() {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/root_v1");
    if std::env::var_os("FOURFOLD_FREEZE").is_some() {
        write_root(&place);
    }
    let root = Root::open(&place).unwrap();
    let runs = root.runs().unwrap();
    assert_eq!(runs.len(), 2);
    assert_eq!(runs[0].tags["kept"], "as a fixture");
    assert_eq!(
        runs[1].reused().collect::<Vec<_>>(),
        ["prepare", "train", "evaluate"]
    );
    let history = root.history().unwrap();
    let trials = history
        .executions()
        .iter()
        .filter(|execution| execution.stage == "trial");
    assert_eq!(trials.filter(|trial| trial.result.is_some()).count(), 2);
    assert_eq!(root.lineage(&runs[1].id).unwrap().steps.len(), 3);
    let verified = root.verify().unwrap();
    assert!(verified.damaged.is_empty() && verified.whole.len() >= 11);

    let run = &runs[1];
    let output = |kind: &str| run.output(kind).unwrap();
    let findings: Findings = root.get(output("evaluation")).unwrap();
    assert_eq!(findings.metrics.overall, run.metrics);
    assert!(findings.label.is_some());
    let predictions: Predictions = root.get(output("predictions")).unwrap();
    let n_eval = findings.metrics.overall["example_count"].value;
    let verdict: Verdict = root.get(output("verdict")).unwrap();
    assert!(verdict.is_blessed());
    let facts: TrainFacts = root.get(output("training")).unwrap();
    assert_eq!((facts.training.trials.len(), facts.features.len()), (2, 1));
    let dir = root.checked_dir(output("transform")).unwrap();
    let transform: FittedTransform = load_json(&dir, "transform.json").unwrap();
    assert_eq!(transform.features(), facts.features);
    let dir = root.checked_dir(output("model")).unwrap();
    let servable = Servable::load(&dir, &Loaders::default()).unwrap();
    assert_eq!(servable.manifest().model_format, facts.model_format);
    let prepare = run
        .stages
        .iter()
        .find(|stage| stage.stage == "prepare")
        .unwrap();
    let facts = DataFacts::load(&root, &prepare.outputs).unwrap();
    let data = pipeline(&place).data.load(&root, &prepare.outputs).unwrap();
    assert_eq!(
        facts.rows[TRAIN],
        data.split(TRAIN).unwrap().n_rows() as u64
    );
    assert_eq!(data.split(EVAL).unwrap().n_rows() as f64, n_eval);
    assert_eq!(
        (predictions.n_rows() as f64, predictions.target().label()),
        (n_eval, "y")
    );
}
