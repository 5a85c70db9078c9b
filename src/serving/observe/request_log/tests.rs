//! Logs in real files, read back.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use arrow::array::{Array, AsArray, RecordBatch, UInt64Array};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimestampMicrosecondType, UInt32Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::super::queue::Worker;
use super::super::record::{Record, Run};
use super::super::tests::{ask, passengers, predictor, servable};
use super::writer::Writer;
use super::{Counters, RequestLog, RequestLogOptions};
use crate::error::ErrorKind;
use crate::schema::{Field, FieldType, Schema};
use crate::serving::Predictor;
use crate::serving::requests::Observation;

/// The files below a directory, sorted; optionally with those whose names start with a dot.
fn files(dir: &Path, hidden: bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let dotted = path.file_name().unwrap().to_str().unwrap().starts_with('.');
        if path.is_dir() {
            found.extend(files(&path, hidden));
        } else if dotted == hidden {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> RecordBatch {
    let file = File::open(path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let schema = Arc::clone(reader.schema());
    let batches: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
    concat_batches(&schema, &batches).unwrap()
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "{what} never came"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn names(batch: &RecordBatch) -> Vec<String> {
    let schema = batch.schema();
    schema
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect()
}

#[test]
fn rows_answers_and_requests_are_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let log = RequestLog::open(dir.path(), RequestLogOptions::default()).unwrap();
    let late = predictor(servable("late"), 7);
    let before = SystemTime::now();
    ask(&log, &late, &passengers([31, 99]), Some("first"));
    ask(&log, &late, &passengers([40]), None);
    log.flush();
    assert_eq!(log.counts().logged_rows, 3);
    assert_eq!(
        (log.counts().dropped_rows, log.counts().failed_rows),
        (0, 0)
    );

    let found = files(dir.path(), false);
    assert_eq!(found.len(), 1, "{found:?}");
    let day = found[0].parent().unwrap();
    let day = day.strip_prefix(dir.path()).unwrap().to_str().unwrap();
    assert!(day.starts_with("late/requested_on=20"), "{day}");
    assert!(files(dir.path(), true).is_empty());

    let rows = read(&found[0]);
    let of_schema = ["age", "fare", "city", "vip", "day", "at"];
    let others = [
        "prediction_class",
        "prediction_probability",
        "request_id",
        "request_row",
        "model",
        "version",
        "requested_at",
    ];
    assert_eq!(names(&rows), [&of_schema[..], &others[..]].concat());
    let column = |name: &str| rows.column_by_name(name).unwrap();
    assert_eq!(
        column("age").as_primitive::<Int64Type>().values(),
        &[31, 99, 40]
    );
    // Columns that no request had are NULL, in the type of the schema.
    assert_eq!(column("day").data_type(), &DataType::Date32);
    assert_eq!(column("day").null_count(), 3);
    assert!(column("fare").is_null(0) && column("fare").is_valid(1));
    let answers = late.predict(&passengers([31, 99])).unwrap();
    let probabilities = column("prediction_probability").as_primitive::<Float64Type>();
    assert_eq!(probabilities.value(1), answers.outputs()[[1, 0]]);
    assert_eq!(
        column("prediction_class").as_string::<i32>().value(1),
        answers.classes()[1]
    );
    let ids = column("request_id").as_string::<i32>();
    assert_eq!(
        (ids.value(0), ids.value(1), ids.is_null(2)),
        ("first", "first", true)
    );
    assert_eq!(
        column("request_row").as_primitive::<UInt32Type>().values(),
        &[0, 1, 0]
    );
    assert_eq!(column("model").as_string::<i32>().value(2), "late");
    assert_eq!(
        column("version")
            .as_any()
            .downcast_ref::<UInt64Array>()
            .unwrap()
            .value(2),
        7
    );
    let times = column("requested_at").as_primitive::<TimestampMicrosecondType>();
    let (from, to) = (
        super::super::record::micros(before),
        super::super::record::micros(SystemTime::now()),
    );
    assert!(times.values().iter().all(|time| (from..=to).contains(time)));
}

#[test]
fn models_and_versions_have_files_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let log = RequestLog::open(dir.path(), RequestLogOptions::default()).unwrap();
    let models = [
        predictor(servable("late"), 1),
        predictor(servable("late"), 2),
        predictor(servable("../other"), 1),
    ];
    for round in 0..10 {
        for model in &models {
            ask(&log, model, &passengers([20 + round]), None);
        }
    }
    drop(log);
    let found = files(dir.path(), false);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found.iter().all(|file| read(file).num_rows() == 10));
    assert!(dir.path().join("%2E.%2Fother").is_dir());
}

#[test]
fn names_that_a_raw_column_has_are_not_taken_twice() {
    let late = predictor(servable("late"), 1);
    let (rows, schema) = (
        passengers([31]),
        Schema::new([
            Field::new("age", FieldType::Integer),
            Field::new("city", FieldType::Text),
        ]),
    );
    let prediction = late.predict(&rows).unwrap();
    let mut record = Record::new(&Observation::new(&late, &rows, &prediction, None));
    let schema = Schema::new(schema.fields.into_iter().chain([
        Field::new("model", FieldType::Text),
        Field::new("model_", FieldType::Text),
    ]));
    record.schema = Arc::new(schema);
    let columns = super::columns::columns(&Run {
        records: vec![record],
    })
    .unwrap();
    let names = names(&columns);
    assert_eq!(&names[..4], ["age", "city", "model", "model_"]);
    assert!(names.contains(&"model__".to_owned()), "{names:?}");
}

#[test]
fn files_are_closed_by_rows_by_bytes_and_by_age() {
    let late = predictor(servable("late"), 1);
    for (options, n_files) in [
        (RequestLogOptions::default().max_file_rows(10), 3),
        (RequestLogOptions::default().max_file_rows(4), 9),
        (RequestLogOptions::default().max_file_bytes(1), 3),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let log = RequestLog::open(dir.path(), options).unwrap();
        for _ in 0..3 {
            ask(&log, &late, &passengers(20..30), None);
            // Each is a run of its own.
            log.queue.flush();
        }
        drop(log);
        let found = files(dir.path(), false);
        assert_eq!(found.len(), n_files);
        let rows: usize = found.iter().map(|file| read(file).num_rows()).sum();
        assert_eq!(rows, 30);
        assert!(found.iter().all(|file| read(file).num_rows() <= 10));
    }
    let dir = tempfile::tempdir().unwrap();
    let age = RequestLogOptions::default().max_file_age(Duration::from_millis(1));
    let log = RequestLog::open(dir.path(), age).unwrap();
    ask(&log, &late, &passengers([30]), None);
    wait_for("the file", || log.counts().files == 1);
    assert_eq!(read(&files(dir.path(), false)[0]).num_rows(), 1);
}

#[test]
fn an_open_file_is_hidden_until_it_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let log = RequestLog::open(dir.path(), RequestLogOptions::default()).unwrap();
    // Enough to be worth a file.
    let rows = passengers((0..20_000).map(|i| i % 90));
    ask(&log, &predictor(servable("late"), 1), &rows, None);
    wait_for("the file", || {
        dir.path().join("late").is_dir() && !files(dir.path(), true).is_empty()
    });
    assert!(files(dir.path(), false).is_empty());
    log.flush();
    assert!(files(dir.path(), true).is_empty());
    assert_eq!(files(dir.path(), false).len(), 1);
}

#[test]
fn a_sample_is_logged() {
    let dir = tempfile::tempdir().unwrap();
    let options = RequestLogOptions::default()
        .share(0.0)
        .model_share("late", 0.5);
    let log = RequestLog::open(dir.path(), options).unwrap();
    let (late, other) = (
        predictor(servable("late"), 1),
        predictor(servable("other"), 1),
    );
    for i in 0..1_000 {
        let id = format!("request {i}");
        ask(&log, &late, &passengers([30]), Some(&id));
        ask(&log, &other, &passengers([30]), Some(&id));
    }
    log.flush();
    let logged = log.counts().logged_rows + log.counts().dropped_rows;
    assert!((400..600).contains(&logged), "{logged} of 1,000");
    assert!(!dir.path().join("other").exists());
}

#[test]
fn what_there_is_no_room_for_is_counted_and_no_request_waits() {
    let dir = tempfile::tempdir().unwrap();
    let options = RequestLogOptions::default().max_queued_rows(10);
    let counted = Arc::new(AtomicU64::new(0));
    let log = RequestLog::open(dir.path(), options).unwrap().on_dropped({
        let counted = Arc::clone(&counted);
        move |model, rows| {
            assert_eq!(model, "late");
            counted.fetch_add(rows, Ordering::Relaxed);
        }
    });
    let late = predictor(servable("late"), 1);
    for _ in 0..1_000 {
        ask(&log, &late, &passengers(20..26), None);
    }
    log.flush();
    let counts = log.counts();
    assert!(
        counts.dropped_rows > 0 && counts.logged_rows > 0,
        "{counts:?}"
    );
    assert_eq!(counts.dropped_rows + counts.logged_rows, 6_000);
    assert_eq!(counted.load(Ordering::Relaxed), counts.dropped_rows);
    // More rows than may ever wait are logged when nothing else waits.
    ask(&log, &late, &passengers(20..60), None);
    log.flush();
    assert_eq!(log.counts().logged_rows, counts.logged_rows + 40);
}

#[test]
fn the_oldest_files_of_the_largest_model_go_and_those_of_others_stay() {
    let dir = tempfile::tempdir().unwrap();
    let (late, other) = (
        predictor(servable("late"), 1),
        predictor(servable("other"), 1),
    );
    let log = RequestLog::open(dir.path(), RequestLogOptions::default()).unwrap();
    ask(&log, &other, &passengers(20..90), None);
    log.flush();
    for _ in 0..6 {
        ask(&log, &late, &passengers(20..90), None);
        log.flush();
    }
    let before = files(&dir.path().join("late"), false);
    let foreign = before[0].with_file_name("00000000T000000000000Z.parquet");
    fs::write(&foreign, "of somebody else").unwrap();
    let size = fs::metadata(&before[0]).unwrap().len();
    drop(log);

    // Room for four of the seven: three of `late` go when the log is opened, one more when it has written one.
    let options = RequestLogOptions::default().max_bytes(4 * size + size / 2);
    let log = RequestLog::open(dir.path(), options).unwrap();
    assert_eq!(log.counts().removed_files, 3);
    ask(&log, &late, &passengers(20..90), None);
    log.flush();
    assert_eq!(log.counts().removed_files, 4);
    let after = files(&dir.path().join("late"), false);
    assert_eq!(after[1..3], before[4..6]);
    assert_eq!((after.len(), &after[0]), (4, &foreign));
    assert_eq!(files(&dir.path().join("other"), false).len(), 1);
}

#[test]
fn what_a_crash_left_is_passed_over_and_removed_when_it_is_old() {
    let dir = tempfile::tempdir().unwrap();
    let day = dir.path().join("late/requested_on=2026-11-24");
    fs::create_dir_all(&day).unwrap();
    let (old, fresh, foreign) = (
        day.join(".20261124T091500123456Z-v1-0a-1.parquet"),
        day.join(".20261124T091500123457Z-v1-0a-2.parquet"),
        day.join(".hidden"),
    );
    for path in [&old, &fresh, &foreign] {
        fs::write(path, "half").unwrap();
    }
    let long_ago = SystemTime::now() - Duration::from_secs(86_400);
    for path in [&old, &foreign] {
        File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_modified(long_ago)
            .unwrap();
    }
    RequestLog::open(dir.path(), RequestLogOptions::default()).unwrap();
    assert_eq!(
        [old.exists(), fresh.exists(), foreign.exists()],
        [false, true, true]
    );
}

#[test]
fn serving_goes_on_where_nothing_can_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let metrics = crate::serving::metrics::Metrics::new();
    let log = RequestLog::open(dir.path().join("log"), RequestLogOptions::default()).unwrap();
    let log = log.metrics(&metrics);
    let shows = |name: &str, value: &str| {
        let page = metrics.encode();
        let shown = page.lines().any(|line| {
            line.starts_with(&format!("fourfold_request_log_{name}{{log="))
                && line.ends_with(&format!("}} {value}"))
        });
        assert!(shown, "{name} {value} in {page}");
    };
    assert_eq!(log.failure(), None);
    shows("writable", "1.0");
    let late = predictor(servable("late"), 1);
    // A file where the model's folder should be.
    fs::write(dir.path().join("log/late"), "").unwrap();
    ask(&log, &late, &passengers([30, 40]), None);
    ask(&log, &late, &passengers([30]), None);
    log.flush();
    assert_eq!((log.counts().failed_rows, log.counts().logged_rows), (3, 0));
    assert!(
        log.failure().unwrap().contains("late"),
        "{:?}",
        log.failure()
    );
    shows("writable", "0.0");
    shows("failed_rows_total", "3");
    fs::remove_file(dir.path().join("log/late")).unwrap();
    wait_for("a written file", || {
        ask(&log, &late, &passengers([30]), None);
        log.flush();
        log.counts().logged_rows > 0
    });
    assert_eq!(log.failure(), None);
    shows("writable", "1.0");
}

fn writer(dir: &Path) -> (Writer, Arc<Counters>) {
    let counters = Arc::<Counters>::default();
    let options = RequestLogOptions::default();
    let writer = Writer::new(dir.to_owned(), options, Arc::clone(&counters), 1);
    (writer, counters)
}

fn record(model: &Predictor, rows: &RecordBatch) -> Record {
    let prediction = model.predict(rows).unwrap();
    Record::new(&Observation::new(model, rows, &prediction, None))
}

#[test]
fn many_versions_that_take_turns_have_a_file_each() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, counters) = writer(dir.path());
    let late = servable("late");
    let versions: Vec<_> = (1..=100).map(|i| predictor(late.clone(), i)).collect();
    let (few, many) = (passengers([30]), passengers((0..20_000).map(|i| i % 90)));
    for _ in 0..3 {
        let records = versions.iter().map(|version| record(version, &few));
        writer.take(records.collect());
    }
    assert_eq!(counters.files.load(Ordering::Relaxed), 0);
    assert!(files(dir.path(), true).is_empty(), "few rows are kept");
    for version in &versions {
        writer.take(vec![record(version, &many)]);
    }
    // Files that are open have limits, and so has memory.
    assert!(files(dir.path(), true).len() <= 64);
    writer.flush();
    let n_rows = 100 * 20_003;
    assert_eq!(counters.logged.load(Ordering::Relaxed), n_rows);
    assert_eq!(files(dir.path(), false).len(), 100);
    assert!(files(dir.path(), true).is_empty());
}

#[test]
fn rows_that_cannot_be_logged_are_nothing_to_those_of_others() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, counters) = writer(dir.path());
    let (late, other) = (
        predictor(servable("late"), 1),
        predictor(servable("other"), 1),
    );
    let rows = passengers([30, 40]);
    let mut unfit = record(&late, &rows);
    // No number is called Rome.
    let schema = Schema::new([Field::new("city", FieldType::Float)]);
    unfit.schema = Arc::new(schema);
    writer.take(vec![unfit, record(&other, &rows)]);
    writer.flush();
    assert_eq!(counters.failed.load(Ordering::Relaxed), 2);
    assert_eq!(counters.logged.load(Ordering::Relaxed), 2);
}

#[test]
fn few_large_rows_wait() {
    let dir = tempfile::tempdir().unwrap();
    let late = predictor(servable("late"), 1);
    let rows = passengers([30]);
    let one = record(&late, &rows).size();
    let options = RequestLogOptions::default().max_queued_bytes(10 * one.bytes);
    let log = RequestLog::open(dir.path(), options).unwrap();
    for _ in 0..2_000 {
        ask(&log, &late, &rows, None);
    }
    log.flush();
    let counts = log.counts();
    assert!(
        counts.dropped_rows > 0 && counts.logged_rows > 0,
        "{counts:?}"
    );
    assert_eq!(counts.dropped_rows + counts.logged_rows, 2_000);
}

#[test]
fn options_out_of_range_are_errors_that_name_them() {
    let dir = tempfile::tempdir().unwrap();
    let options = RequestLogOptions::default;
    for (options, name) in [
        (options().share(1.5), "share"),
        (options().model_share("late", f64::NAN), "late"),
        (options().max_file_rows(0), "max_file_rows"),
        (options().max_file_bytes(0), "max_file_bytes"),
        (options().max_bytes(0), "max_bytes"),
        (options().max_queued_rows(0), "max_queued_rows"),
        (options().max_queued_bytes(0), "max_queued_bytes"),
        (options().max_file_age(Duration::ZERO), "max_file_seconds"),
    ] {
        let error = RequestLog::open(dir.path(), options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains(name), "{error}");
    }
    let unknown: Result<RequestLogOptions, _> = serde_json::from_str(r#"{"shar": 0.5}"#);
    assert!(unknown.is_err());
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(RequestLog::open(&file, options()).is_err());
}
