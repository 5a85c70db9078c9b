//! The data pipeline: who sees which rows, and what stays where it was.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fourfold::Result;
use fourfold::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    UInt32Array,
};
use fourfold::arrow::compute::{concat_batches, take_record_batch};
use fourfold::arrow::datatypes::{Float64Type, Int64Type};
use fourfold::data::PreparedData;
use fourfold::examples::Examples;
use fourfold::model::ConstantModel;
use fourfold::prelude::*;
use fourfold::progress::Progress;
use fourfold::schema::Domain;
use fourfold::transform::ops::{Bucketize, MinMax};

use crate::support::{JANUARY, fitted, parcels, tree, write_csv, write_parquet};

fn by_id() -> Split {
    Split::by_hash(["id"], [("train", 8), ("eval", 1), ("test", 1)])
}

fn in_memory(batch: &RecordBatch) -> DataPipeline<BatchSource> {
    BatchSource::new("parcels", vec![batch.clone()])
        .label("late")
        .split(by_id())
}

async fn prepare<S: DataSource>(data: DataPipeline<S>, dir: &Path) -> Result<PreparedData> {
    data.run(&Engine::new()?, dir, &Progress::default()).await
}

/// The split of every value of a column of whole numbers; fails if one is in two splits.
fn places(prepared: &PreparedData, key: &str) -> BTreeMap<i64, String> {
    let mut places = BTreeMap::new();
    for (name, examples) in prepared.splits() {
        for batch in examples.batches(&[key]) {
            for value in batch
                .unwrap()
                .column(0)
                .as_primitive::<Int64Type>()
                .values()
            {
                let before = places.insert(*value, name.clone());
                assert!(
                    before.is_none_or(|before| before == *name),
                    "key {value} is in two splits"
                );
            }
        }
    }
    places
}

fn with_column(batch: &RecordBatch, name: &str, column: impl Array + 'static) -> RecordBatch {
    let column: ArrayRef = Arc::new(column);
    let schema = batch.schema();
    let columns = schema
        .fields()
        .iter()
        .zip(batch.columns())
        .map(|(field, old)| {
            let column = if field.name() == name { &column } else { old };
            (field.name().clone(), Arc::clone(column), true)
        });
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

#[tokio::test]
async fn the_transform_sees_the_train_split_only() {
    let dir = tempfile::tempdir().unwrap();
    let clean = parcels(1_000);
    let in_eval: Vec<bool> = by_id()
        .assign(&clean)
        .unwrap()
        .iter()
        .map(|split| *split == 1)
        .collect();
    assert!(in_eval.contains(&true));

    // Every row that judges is an outlier.
    let kilograms = clean.column(1).as_primitive::<Float64Type>();
    let kilograms = Float64Array::from_iter(
        kilograms
            .iter()
            .zip(&in_eval)
            .map(|(usual, eval)| if *eval { Some(1e9) } else { usual }),
    );
    let road = clean.column(2).as_string::<i32>();
    let road = StringArray::from_iter(
        road.iter()
            .zip(&in_eval)
            .map(|(usual, eval)| if *eval { Some("zeppelin") } else { usual }),
    );
    let planted = with_column(&clean, "kilograms", kilograms);
    let planted = with_column(&planted, "road", road);

    let transform = || {
        Transform::new()
            .step_to("kilograms", "ranked", MinMax {})
            .step_to("kilograms", "bucket", Bucketize { n_buckets: 5 })
            .impute("kilograms", Fill::Mean)
            .clip("kilograms", 0.0, 1.0)
            .z_score("kilograms")
            .one_hot("road")
    };
    let clean = prepare(in_memory(&clean).transform(transform()), dir.path())
        .await
        .unwrap();
    let seen = prepare(in_memory(&planted).transform(transform()), dir.path())
        .await
        .unwrap();
    let json = serde_json::to_string(fitted(&seen).await.transform().as_ref()).unwrap();
    assert!(!json.contains("zeppelin"), "{json}");
    assert_eq!(
        json,
        serde_json::to_string(fitted(&clean).await.transform().as_ref()).unwrap()
    );

    let eval = &seen.statistics()["eval"];
    assert_eq!(
        eval.column("road").unwrap().top_values,
        [("zeppelin".to_owned(), eval.n_rows)]
    );
    assert_eq!(
        eval.column("kilograms")
            .unwrap()
            .numeric
            .as_ref()
            .unwrap()
            .max,
        Some(1e9)
    );

    let chosen = prepare(in_memory(&planted), dir.path()).await.unwrap();
    let chosen = fitted(&chosen).await;
    let json = serde_json::to_string(&(chosen.transform().as_ref(), chosen.decisions())).unwrap();
    assert!(
        !json.contains("zeppelin") && !json.contains("1000000000"),
        "{json}"
    );
}

#[tokio::test]
async fn rows_that_are_added_anywhere_move_no_old_row() {
    let dir = tempfile::tempdir().unwrap();
    let rows = parcels(900);
    let (old, more) = (rows.slice(0, 600), rows.slice(600, 300));
    let glue = |parts: &[RecordBatch]| concat_batches(&rows.schema(), parts).unwrap();
    let shuffled = UInt32Array::from_iter_values((0..900).map(|i| (i * 577 + 11) % 900));
    let variants = [
        ("alone", vec![old.clone()]),
        ("appended", vec![glue(&[old.clone(), more.clone()])]),
        ("in_front", vec![glue(&[more.clone(), old.clone()])]),
        (
            "between",
            vec![glue(&[
                old.slice(0, 250),
                more.clone(),
                old.slice(250, 350),
            ])],
        ),
        (
            "shuffled",
            vec![take_record_batch(&rows, &shuffled).unwrap()],
        ),
        (
            "three_files",
            vec![
                rows.slice(700, 200),
                rows.slice(0, 333),
                rows.slice(333, 367),
            ],
        ),
    ];
    let mut expected: Option<BTreeMap<i64, String>> = None;
    for (name, parts) in variants {
        let files = dir.path().join(name);
        std::fs::create_dir(&files).unwrap();
        for (number, part) in parts.iter().enumerate() {
            write_parquet(
                &files.join(format!("{number}.parquet")),
                std::slice::from_ref(part),
            );
        }
        let n_rows: usize = parts.iter().map(RecordBatch::num_rows).sum();
        let data = FileSource::parquet(&files).label("late");
        let prepared = prepare(data, &dir.path().join("examples")).await.unwrap();
        let mut places = places(&prepared, "id");
        assert_eq!(places.len(), n_rows, "{name}");
        places.retain(|id, _| *id < 600);
        match &expected {
            Some(expected) => assert_eq!(&places, expected, "{name}"),
            None => expected = Some(places),
        }
    }
}

#[tokio::test]
async fn csv_and_parquet_of_the_same_rows_split_alike() {
    let dir = tempfile::tempdir().unwrap();
    let rows = parcels(600);
    // Whole kilograms read as integers from CSV and as floats from Parquet.
    write_csv(&dir.path().join("rows.csv"), &rows);
    write_parquet(&dir.path().join("rows.parquet"), &[rows]);
    let examples = dir.path().join("examples");
    let csv = prepare(
        FileSource::csv(dir.path().join("rows.csv")).label("late"),
        &examples,
    )
    .await;
    let parquet = prepare(
        FileSource::parquet(dir.path().join("rows.parquet")).label("late"),
        &examples,
    )
    .await;
    assert_eq!(places(&csv.unwrap(), "id"), places(&parquet.unwrap(), "id"));
}

#[tokio::test]
async fn rows_of_one_key_stay_together() {
    let dir = tempfile::tempdir().unwrap();
    let customers: ArrayRef = Arc::new(Int64Array::from_iter_values((0..1_000).map(|i| i % 90)));
    let rows = with_column(&parcels(1_000), "id", customers);
    let prepared = prepare(in_memory(&rows), dir.path()).await.unwrap();
    let places = places(&prepared, "id");
    assert_eq!(places.len(), 90);
    for split in ["train", "eval", "test"] {
        assert!(places.values().any(|place| place == split), "{split}");
    }
}

#[tokio::test]
async fn rows_without_a_label_are_counted_and_in_no_split() {
    let dir = tempfile::tempdir().unwrap();
    let rows = parcels(700);
    let late = rows.column(3).as_string::<i32>();
    let late = StringArray::from_iter(
        late.iter()
            .enumerate()
            .map(|(i, late)| late.filter(|_| i % 7 != 0)),
    );
    let prepared = prepare(in_memory(&with_column(&rows, "late", late)), dir.path())
        .await
        .unwrap();
    assert_eq!(prepared.n_unlabelled(), 100);
    let places = places(&prepared, "id");
    assert_eq!(places.len(), 600);
    assert!(places.keys().all(|id| id % 7 != 0));
    assert!(
        prepared
            .statistics()
            .values()
            .all(|split| split.column("late").unwrap().missing == 0)
    );
}

#[tokio::test]
async fn a_label_that_is_nan_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let minutes = Float64Array::from_iter((0..600).map(|i| match i % 6 {
        0 => Some(f64::NAN),
        1 => None,
        _ => Some(f64::from(i)),
    }));
    let rows = with_column(&parcels(600), "late", minutes);
    let data = BatchSource::new("parcels", vec![rows])
        .label(Label::at_least("late", 300.0).named("very_late"));
    let prepared = prepare(data.split(by_id()), dir.path()).await.unwrap();
    assert_eq!(prepared.n_unlabelled(), 200);
    let n: u64 = prepared
        .statistics()
        .values()
        .map(|split| split.column("very_late").unwrap().count)
        .sum();
    assert_eq!(n, 400);
}

#[test]
fn data_that_breaks_its_schema_stops_before_training() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let clean = parcels(1_000);
    let prepared = runtime
        .block_on(prepare(in_memory(&clean), dir.path()))
        .unwrap();
    let mut schema = prepared.schema().clone();
    let road = schema
        .fields
        .iter_mut()
        .find(|field| field.name == "road")
        .unwrap();
    assert_eq!(
        road.domain,
        Some(Domain::Values(vec!["air".to_owned(), "road".to_owned()]))
    );

    let in_test: Vec<bool> = by_id()
        .assign(&clean)
        .unwrap()
        .iter()
        .map(|split| *split == 2)
        .collect();
    let road = clean.column(2).as_string::<i32>().iter().zip(&in_test);
    let road =
        StringArray::from_iter(road.map(|(usual, test)| if *test { Some("sea") } else { usual }));
    let dirty = with_column(&clean, "road", road);

    let trained = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&trained);
    let error = Pipeline::builder("parcels")
        .data(in_memory(&dirty).schema(schema))
        .train_with("never", 1, move |args: &TrainArgs| {
            seen.store(true, Ordering::SeqCst);
            Ok(ConstantModel::new(args.train().n_features(), vec![0.5]))
        })
        .evaluate(Thresholds::new().at_least("skill", -1.0))
        .serve(InProcess::new())
        .build()
        .unwrap()
        .run_blocking()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Schema);
    let n = in_test.iter().filter(|test| **test).count();
    assert_eq!(
        error.to_string(),
        format!(
            "validate: the data breaks its schema:\n  column `road`: has values outside of the 2 allowed: \
             `sea` ({n} rows) (split `test`)"
        )
    );
    assert!(!trained.load(Ordering::SeqCst));
}

#[test]
fn a_second_run_reads_the_extraction_of_the_first_and_refuses_it_when_a_byte_is_flipped() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rows.csv");
    write_csv(&file, &parcels(600));
    let pipeline = |seed: u64| {
        Pipeline::builder("parcels")
            .data(FileSource::csv(&file).label("late"))
            .train(TrainingPipeline::new(LogisticRegression::default()).seed(seed))
            .evaluate(Thresholds::new().at_least("skill", -1.0))
            .serve(InProcess::new())
            .root(dir.path().join("root"))
            .build()
            .unwrap()
    };
    let extraction = || tree(&dir.path().join("root/artifacts"));
    let written = |path: &PathBuf| std::fs::metadata(path).unwrap().modified().unwrap();

    let first = pipeline(0).run_blocking().unwrap();
    let files = extraction();
    let times: Vec<_> = files.iter().map(written).collect();
    let second = pipeline(0).run_blocking().unwrap();
    assert_eq!(extraction(), files);
    assert_eq!(files.iter().map(written).collect::<Vec<_>>(), times);
    assert_eq!(second.run().data_fingerprint, first.run().data_fingerprint);
    assert_eq!(second.run().statistics, first.run().statistics);
    assert_eq!(second.run().metrics, first.run().metrics);

    let part = files
        .iter()
        .find(|path| path.ends_with("Split-eval/part-00000.parquet"))
        .unwrap();
    let mut bytes = std::fs::read(part).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(part, bytes).unwrap();
    // Another seed trains anew on the same examples.
    let error = pipeline(1).run_blocking().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(
        error
            .to_string()
            .contains("Split-eval/part-00000.parquet` was changed"),
        "{error}"
    );

    // Other content is another extraction.
    write_csv(&file, &parcels(700));
    assert_ne!(
        pipeline(0).run_blocking().unwrap().run().data_fingerprint,
        first.run().data_fingerprint
    );
}

#[tokio::test]
async fn the_statistics_of_the_flights_are_the_known_ones() {
    let dir = tempfile::tempdir().unwrap();
    let label = Label::at_least("arr_delay", 15.0).named("late");
    let prepared = prepare(FileSource::parquet(JANUARY).label(label), dir.path())
        .await
        .unwrap();
    assert_eq!(prepared.n_unlabelled(), 606);
    let splits = || prepared.splits().values();
    assert_eq!(splits().map(Examples::n_rows).sum::<usize>(), 27_004 - 606);
    let mut late = 0;
    for examples in splits() {
        for batch in examples.batches(&["late"]) {
            let batch = batch.unwrap();
            let labels: &BooleanArray = batch.column(0).as_boolean();
            assert_eq!(labels.null_count(), 0);
            late += labels.true_count();
        }
    }
    // The README says that 23.49 % are late.
    assert_eq!((late as f64 / 26_398.0 * 1e4).round(), 2_349.0);
    // The column that the label is made from is not there for the features.
    let train = &prepared.statistics()["train"];
    assert!(train.column("arr_delay").is_err());
    assert_eq!(train.column("carrier").unwrap().distinct, 16);
    let airports: Vec<&str> = train
        .column("origin")
        .unwrap()
        .top_values
        .iter()
        .map(|top| top.0.as_str())
        .collect();
    assert_eq!(airports, ["EWR", "JFK", "LGA"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_side_by_side_share_one_extraction() {
    let root = tempfile::tempdir().unwrap();
    let run = || async {
        let engine = Engine::new().unwrap();
        let data = FileSource::parquet(JANUARY).label(Label::at_least("arr_delay", 15.0));
        let data = data.transform(Transform::new().z_score("distance"));
        data.run(&engine, root.path(), &Progress::default())
            .await
            .unwrap()
    };
    let (a, b) = tokio::join!(run(), run());
    assert_eq!(a.fingerprint(), b.fingerprint());
    assert_eq!(a.statistics(), b.statistics());
    assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn marks_for_missing_values_are_null_and_do_not_change_a_type() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("marks.csv");
    let mut text = "miles;carrier;when;late\n".to_owned();
    for i in 0..300 {
        let miles = if i % 9 == 0 {
            "NA".to_owned()
        } else {
            format!("{}", 100 + i)
        };
        let carrier = ["AA", "UA", "?"][i % 3];
        let late = if i % 2 == 0 { "yes" } else { "no" };
        text.push_str(&format!(
            "{miles};{carrier};2013-01-{:02}T05:00:00;{late}\n",
            1 + i % 28
        ));
    }
    std::fs::write(&file, text).unwrap();
    let engine = Engine::new().unwrap();
    let data = FileSource::csv(&file).label("late");
    let data = data
        .run(&engine, dir.path(), &Progress::default())
        .await
        .unwrap();
    let missing = |name: &str| -> u64 {
        let splits = data.statistics().values();
        splits
            .map(|statistics| statistics.column(name).unwrap().missing)
            .sum()
    };
    assert_eq!(
        (missing("miles"), missing("carrier"), missing("when")),
        (34, 100, 0)
    );
    let types: Vec<String> = data
        .schema()
        .fields
        .iter()
        .map(|field| field.field_type.to_string())
        .collect();
    assert_eq!(types, ["integer", "text", "timestamp", "text"]);
}
