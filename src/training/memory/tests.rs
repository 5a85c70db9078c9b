//! Rows that memory does not hold.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;

use super::*;
use crate::engine::Engine;
use crate::examples::{ExampleFile, Examples};
use crate::model::Target;
use crate::training::{
    DecisionTree, GradientBoosting, LinearRegression, LogisticRegression, RandomForest,
    StreamingLogistic, Trainer,
};
use crate::transform::Transform;

/// Columns of numbers beside the label.
const COLUMNS: usize = 24;

/// `y` is the difference of the first two columns, `above` whether it is above 0.
fn rows(n: usize) -> RecordBatch {
    let value = |row: usize, column: usize| {
        let mixed = (row * 31 + column + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 40) as f32 / (1_u32 << 24) as f32
    };
    let number = |column: usize| -> ArrayRef {
        Arc::new(Float32Array::from_iter_values(
            (0..n).map(|row| value(row, column)),
        ))
    };
    let difference = |row: usize| value(row, 0) - value(row, 1);
    let y: ArrayRef = Arc::new(Float32Array::from_iter_values((0..n).map(difference)));
    let above = (0..n).map(|row| if difference(row) > 0.0 { "yes" } else { "no" });
    let above: ArrayRef = Arc::new(StringArray::from_iter_values(above));
    let columns = (0..COLUMNS).map(|column| (format!("x{column}"), number(column)));
    let labels = [("y".to_owned(), y), ("above".to_owned(), above)];
    RecordBatch::try_from_iter(columns.chain(labels)).unwrap()
}

fn dataset(examples: Examples, target: Target) -> Dataset {
    let names = (0..COLUMNS).map(|column| format!("x{column}"));
    let transform = names.fold(Transform::new(), |transform, name| transform.number(&name));
    let transform = transform.fit(&[rows(100)]).unwrap();
    Dataset::new(examples, Arc::new(transform), Arc::new(target))
}

fn number() -> Target {
    Target::regression("y")
}

fn classes() -> Target {
    Target::classification("above", ["no", "yes"]).unwrap()
}

#[test]
fn what_is_beyond_the_engines_limit_is_refused_before_it_is_read() {
    let batch = rows(2_000);
    let examples = Examples::from_batches(batch.schema(), vec![batch]).unwrap();
    let args = |target: Target, bytes: usize| {
        let engine = Engine::new().unwrap().with_memory_limit(bytes).unwrap();
        TrainArgs::new(dataset(examples.clone(), target)).with_engine(engine)
    };
    let small = || args(number(), 300_000);
    let errors: [(&str, Result<()>); 4] = [
        (
            "boosting",
            GradientBoosting::default().train(&small()).map(drop),
        ),
        ("forest", RandomForest::default().train(&small()).map(drop)),
        ("tree", DecisionTree::default().train(&small()).map(drop)),
        (
            "logistic",
            LogisticRegression::default()
                .train(&args(classes(), 300_000))
                .map(drop),
        ),
    ];
    for (name, outcome) in errors {
        let error = outcome.expect_err(name);
        assert_eq!(
            error.kind(),
            ErrorKind::ResourceExhausted,
            "{name}: {error}"
        );
        let told = error.to_string();
        let is_told = told.contains("2000 rows of 24 features takes about ")
            && told.contains("the engine's limit is 0.3 MiB");
        assert!(is_told, "{name}: {told}");
    }
    // Those that read batch by batch, and those that have room.
    LinearRegression::default().train(&small()).unwrap();
    StreamingLogistic::default()
        .train(&args(classes(), 300_000))
        .unwrap();
    DecisionTree::default()
        .train(&args(number(), 100 << 20))
        .unwrap();
    let table = dataset(examples, number()).table_bytes(Takes::CODES);
    assert!(
        (2_000 * 24 * 4..2_000 * 24 * 12).contains(&table),
        "{table}"
    );
}

/// The file whose rows a child trains on, so often.
const FILE: &str = "FOURFOLD_ROWS";
const ROWS: usize = 20_000;
const TIMES: usize = 24;
/// The memory that the child may take beyond that of training on a few rows.
const ROOM: usize = 24 << 20;

#[test]
#[ignore = "run by the test below, in a process of its own"]
fn child() {
    let Ok(file) = std::env::var(FILE) else {
        return;
    };
    let of_file = |_| ExampleFile {
        path: PathBuf::from(&file),
        n_rows: ROWS,
    };
    let schema = rows(1).schema();
    let examples = |n| Examples::from_files(Arc::clone(&schema), (0..n).map(of_file).collect());
    let train = |n: usize| {
        let linear = TrainArgs::new(dataset(examples(n), number()));
        LinearRegression::default().train(&linear).unwrap();
        let logistic = TrainArgs::new(dataset(examples(n), classes()));
        let trainer = StreamingLogistic::default().epochs(1);
        trainer.train(&logistic).unwrap();
    };
    train(2);
    let whole = dataset(examples(TIMES), number());
    assert!(whole.n_rows() * COLUMNS * 4 > ROOM);
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let taken = status
        .lines()
        .find_map(|line| line.strip_prefix("VmSize:"))
        .unwrap();
    let taken: usize = taken.trim().trim_end_matches("kB").trim().parse().unwrap();
    let limit = format!("--as={}", taken * 1024 + ROOM);
    let pid = format!("--pid={}", std::process::id());
    assert!(
        Command::new("prlimit")
            .args([pid, limit])
            .status()
            .unwrap()
            .success()
    );
    train(TIMES);
    eprintln!("outcome: trained");
    // The same rows do not fit at once: this ends the process.
    let table = whole.table(Takes::CODES);
    eprintln!("outcome: held {}", table.is_ok());
}

#[test]
#[cfg(target_os = "linux")]
fn rows_beyond_the_processs_limit_train() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rows.parquet");
    let batch = rows(ROWS);
    write(&path, &batch);
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "training::memory::tests::child",
            "--ignored",
            "--nocapture",
        ])
        .arg("--test-threads=1")
        .env(FILE, &path)
        // Unused address space is not what is measured.
        .env("MALLOC_ARENA_MAX", "1")
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("outcome: trained"), "{told}");
    assert!(!told.contains("outcome: held"), "{told}");
    assert!(!output.status.success());
}

fn write(path: &Path, batch: &RecordBatch) {
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn trainings_side_by_side_wait_for_memory() {
    let memory = Arc::new(SharedMemory::default());
    let (first, second) = (memory.lease(), memory.lease());
    first.take(6, 10);
    second.take(4, 10);
    // One that takes anew gives back what it had.
    first.take(5, 10);
    let third = memory.lease();
    let (sender, taken) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            third.take(7, 10);
            sender.send(()).unwrap();
        });
        assert!(taken.try_recv().is_err(), "5 and 4 of 10 are taken");
        drop(first);
        assert!(taken.try_recv().is_err(), "4 of 10 are taken");
        drop(second);
        taken.recv().unwrap();
    });
    drop(third);
    // One alone never waits.
    memory.lease().take(99, 10);
}
