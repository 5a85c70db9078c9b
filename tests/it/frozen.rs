//! What the built-in stages make of a small input, as it was when their versions were raised last: who changes it raises
//! `version()`, so that nobody is given from a record what the stage would not make any more.
//!
//! `FOURFOLD_FREEZE=1 cargo test --test it frozen` writes `tests/fixtures/stages.json` anew, for stages whose version was
//! raised and new ones.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fourfold::arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use fourfold::arrow::ipc::reader::StreamReader;
use fourfold::arrow::json::LineDelimitedWriter;
use fourfold::prelude::*;
use fourfold::runs::{Execution, Root};
use fourfold::search::{AutoTrainer, Space, Tune};
use fourfold::training::{
    AnyTrainer, Bagged, Calibrated, Conformal, Constant, GeneralizedLinear, StreamingLogistic,
    Thresholded,
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::support::{write_csv, write_parquet};

/// Numbers with gaps, a category, a class and a number to predict. No randomness.
fn rows() -> RecordBatch {
    let n = 160;
    let noise = |i: usize, salt: usize| ((i * 7_919 + salt * 104_729) % 997) as f64 / 997.0;
    let x = (0..n).map(|i| (i % 11 != 3).then(|| (noise(i, 1) * 8.0 - 4.0).round() / 2.0));
    let kind = (0..n).map(|i| ["a", "b", "c"][(noise(i, 2) * 3.0) as usize % 3]);
    let size = |i: usize| 1.0 + (noise(i, 1) * 9.0).round() + f64::from(i.is_multiple_of(2));
    let class = |i: usize| match noise(i, 1) + 0.3 * noise(i, 3) > 0.6 {
        true => "yes",
        false => "no",
    };
    let columns: [(&str, ArrayRef); 5] = [
        ("id", Arc::new(Int64Array::from_iter_values(0..n as i64))),
        ("x", Arc::new(Float64Array::from_iter(x))),
        ("kind", Arc::new(StringArray::from_iter_values(kind))),
        (
            "size",
            Arc::new(Float64Array::from_iter_values((0..n).map(size))),
        ),
        (
            "class",
            Arc::new(StringArray::from_iter_values((0..n).map(class))),
        ),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)))
        .unwrap()
}

fn any<T: Trainer + Serialize>(trainer: T) -> AnyTrainer {
    trainer.erase()
}

/// The trainers, by what they predict.
fn trainers() -> Vec<(&'static str, AnyTrainer)> {
    let boosting = GradientBoosting::default().rounds(8);
    let space = Space::of(DecisionTree::default()).integer("max_depth", 1, 4);
    let classes = [
        any(Constant),
        any(DecisionTree::default()),
        any(boosting.clone()),
        any(RandomForest::default().trees(3)),
        any(LogisticRegression::default()),
        any(Linear::default()),
        any(StreamingLogistic::default()),
        any(Calibrated::new(boosting.clone())),
        any(Thresholded::new(DecisionTree::default()).false_negative(3.0)),
        any(Bagged::new(DecisionTree::default())),
        any(Tune::over(space).trials(3)),
        any(AutoTrainer::default().trials(1)),
    ];
    let numbers = [
        any(Constant),
        any(DecisionTree::default()),
        any(boosting.clone()),
        any(RandomForest::default().trees(3)),
        any(LinearRegression::default()),
        any(Linear::default()),
        any(GeneralizedLinear::poisson()),
        any(Conformal::new(LinearRegression::default(), 0.9)),
    ];
    let classes = classes.into_iter().map(|trainer| ("class", trainer));
    classes
        .chain(numbers.into_iter().map(|trainer| ("size", trainer)))
        .collect()
}

/// What a run over some rows leaves, by its executions.
fn run<S: DataSource>(
    source: S,
    label: &str,
    trainer: AnyTrainer,
) -> (tempfile::TempDir, Root, Vec<Execution>) {
    let dir = tempfile::tempdir().unwrap();
    let other = if label == "class" { "size" } else { "class" };
    let outcome = Pipeline::builder("small")
        .data(DataPipeline::new(source).label(label).exclude([other]))
        .train(TrainingPipeline::new(trainer).seed(3))
        .evaluate(Thresholds::new().at_least("example_count", 1.0))
        .serve(InProcess::new())
        .root(dir.path().join("root"))
        .build()
        .unwrap()
        .run_blocking()
        .unwrap();
    assert!(outcome.is_deployed());
    let root = Root::open(dir.path().join("root")).unwrap();
    let executions = root.executions().unwrap();
    (dir, root, executions)
}

fn read(root: &Root, execution: &Execution, kind: &str, file: &str) -> Value {
    let dir = root.dir_of(execution.output(kind).unwrap());
    serde_json::from_str(&fs::read_to_string(dir.join(file)).unwrap()).unwrap()
}

/// The columns of predictions, row by row.
fn predictions(root: &Root, execution: &Execution) -> Value {
    let dir = root.dir_of(execution.output("predictions").unwrap());
    let file = File::open(dir.join("predictions.arrow")).unwrap();
    let mut writer = LineDelimitedWriter::new(Vec::new());
    for batch in StreamReader::try_new(file, None).unwrap() {
        writer.write(&batch.unwrap()).unwrap();
    }
    writer.finish().unwrap();
    let text = String::from_utf8(writer.into_inner()).unwrap();
    text.lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .collect()
}

fn of<'e>(executions: &'e [Execution], stage: &str) -> &'e Execution {
    executions
        .iter()
        .find(|execution| execution.stage == stage)
        .unwrap()
}

/// Adds what a stage has made under its stage, name and version.
fn add(all: &mut BTreeMap<String, Value>, what: &str, execution: &Execution, made: &Value) {
    let name = format!("{} {}{what}", execution.stage, execution.name);
    all.insert(name, json!({ "version": execution.version, "made": made }));
}

fn made() -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    write_csv(&path("rows.csv"), &rows());
    write_parquet(&path("rows.parquet"), &[rows()]);
    let mut lines = LineDelimitedWriter::new(File::create(path("rows.jsonl")).unwrap());
    lines.write(&rows()).unwrap();
    lines.finish().unwrap();
    let files = [
        ("csv", FileSource::csv(path("rows.csv"))),
        ("json", FileSource::json(path("rows.jsonl"))),
        ("parquet", FileSource::parquet(path("rows.parquet"))),
    ];
    for (form, source) in files {
        let (_dir, root, executions) = run(source, "class", any(Constant));
        let prepare = of(&executions, "prepare");
        let made = json!({
            "rows": read(&root, prepare, "prepared", "prepared.json")["rows"],
            "schema": read(&root, prepare, "schema", "schema.json"),
        });
        add(
            &mut all,
            &format!(" of {form}"),
            of(&executions, "extract"),
            &made,
        );
    }
    for (label, trainer) in trainers() {
        let is_tree = trainer.name() == "decision_tree";
        let (_dir, root, executions) = run(BatchSource::new("rows", vec![rows()]), label, trainer);
        let (prepare, evaluate) = (of(&executions, "prepare"), of(&executions, "evaluate"));
        let train = of(&executions, "train");
        let model = root.dir_of(train.output("model").unwrap());
        let made = json!({
            "transform": read(&root, train, "transform", "transform.json"),
            "predictions": predictions(&root, evaluate),
            "manifest": { "target": manifest(&model)["target"] },
        });
        add(&mut all, &format!(" of {label}"), train, &made);
        if is_tree {
            let made = read(&root, prepare, "statistics", "summary.json");
            add(&mut all, &format!(" of {label}"), prepare, &made);
            let found = read(&root, evaluate, "evaluation", "evaluation.json");
            let made =
                json!({ "overall": found["metrics"]["overall"], "changes": found["changes"] });
            add(&mut all, &format!(" of {label}"), evaluate, &made);
            let verdict = of(&executions, "verdict");
            let checks = read(&root, verdict, "verdict", "verdict.json");
            let own = |check: &&Value| {
                check["name"]
                    .as_str()
                    .is_some_and(|name| name.contains("example_count"))
            };
            let made = checks["checks"]
                .as_array()
                .unwrap()
                .iter()
                .filter(own)
                .cloned()
                .collect();
            add(&mut all, &format!(" of {label}"), verdict, &made);
        }
    }
    all
}

fn manifest(dir: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(dir.join("manifest.json")).unwrap()).unwrap()
}

/// Where two values differ by more than the last digits of floats.
fn difference(path: &str, one: &Value, other: &Value) -> Option<String> {
    match (one, other) {
        (Value::Object(a), Value::Object(b)) if a.len() == b.len() => {
            a.iter().find_map(|(key, one)| {
                let other = b.get(key).unwrap_or(&Value::Null);
                difference(&format!("{path}.{key}"), one, other)
            })
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let pairs = a.iter().zip(b).enumerate();
            let mut found =
                pairs.filter_map(|(at, (a, b))| difference(&format!("{path}[{at}]"), a, b));
            found.next()
        }
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            let near = (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0);
            (!near).then(|| format!("{path} is {b}, it was {a}"))
        }
        (one, other) => (one != other).then(|| format!("{path} is {other}, it was {one}")),
    }
}

#[test]
fn what_stages_make_changes_with_their_version_only() {
    let fixture: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/stages.json");
    let now = made();
    let before: BTreeMap<String, Value> = match fs::read_to_string(&fixture) {
        Ok(text) => serde_json::from_str(&text).unwrap(),
        Err(_) => BTreeMap::new(),
    };
    let mut wrong = Vec::new();
    for (stage, before) in &before {
        match now.get(stage) {
            Some(now) if now["version"] == before["version"] => {
                let changed = difference("", &before["made"], &now["made"]);
                wrong.extend(changed.map(|what| format!("{stage}: {what}; raise its version()")));
            }
            _ if std::env::var_os("FOURFOLD_FREEZE").is_some() => {}
            _ => wrong.push(format!(
                "{stage} is another version, or gone: freeze it anew"
            )),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    if std::env::var_os("FOURFOLD_FREEZE").is_some() {
        fs::write(&fixture, serde_json::to_string(&now).unwrap() + "\n").unwrap();
        return;
    }
    let new: Vec<&String> = now
        .keys()
        .filter(|stage| !before.contains_key(*stage))
        .collect();
    assert!(new.is_empty(), "{new:?} are not frozen yet");
}
