//! Equal inputs give equal results: on any number of threads, and in every run.

use std::path::Path;
use std::sync::Arc;

use fourfold::arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use fourfold::arrow::compute::concat_batches;
use fourfold::data::PreparedData;
use fourfold::prelude::*;
use fourfold::progress::Progress;

use crate::support::{JANUARY, fitted, parcels, write_csv, write_parquet};

/// January in eight files, so that there are parts to merge.
fn cut_january(dir: &Path) {
    let rows = january(usize::MAX);
    let rows = concat_batches(&rows[0].schema(), &rows).unwrap();
    let share = rows.num_rows() / 8 + 1;
    for part in 0..8 {
        let n = share.min(rows.num_rows() - part * share);
        write_parquet(
            &dir.join(format!("{part}.parquet")),
            &[rows.slice(part * share, n)],
        );
    }
}

fn flights(dir: &Path) -> DataPipeline<FileSource> {
    FileSource::parquet(dir)
        .label(Label::at_least("arr_delay", 15.0).named("late"))
        .split(Split::by_hash(
            ["carrier", "flight"],
            [("train", 8), ("eval", 1), ("test", 1)],
        ))
        .transform(
            Transform::new()
                .one_hot("origin")
                .one_hot("carrier")
                .bucketize("sched_dep_time", 8)
                .one_hot("sched_dep_time")
                .clip("distance", 0.01, 0.99)
                .z_score("distance"),
        )
}

/// The statistics, the transform, the outputs bit for bit and the metrics of a run.
fn run_on(threads: usize, dir: &Path) -> [String; 4] {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .unwrap();
    let pipeline = Pipeline::builder("flights")
        .data(flights(dir))
        .train(LogisticRegression::default())
        .evaluate(Thresholds::new().at_least("auc", 0.5))
        .serve(InProcess::new())
        .build()
        .unwrap();
    let outcome = runtime.block_on(pipeline.run()).unwrap();
    let run = outcome.run().clone();
    let predictor = outcome.endpoint().unwrap().predictor().unwrap();
    let predictions: Vec<u64> = january(200)
        .iter()
        .flat_map(|rows| {
            predictor
                .predict(rows)
                .unwrap()
                .outputs()
                .iter()
                .map(|p| p.to_bits())
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(predictions.len() >= 200);
    [
        serde_json::to_string(&run.statistics).unwrap(),
        serde_json::to_string(predictor.servable().transform()).unwrap(),
        format!("{predictions:?}"),
        serde_json::to_string(&(&run.metrics, &run.rows, &run.data_fingerprint)).unwrap(),
    ]
}

fn january(n: usize) -> Vec<RecordBatch> {
    let file = std::fs::File::open(JANUARY).unwrap();
    let reader =
        parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    reader
        .with_limit(n)
        .build()
        .unwrap()
        .map(|batch| batch.unwrap())
        .collect()
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    cut_january(dir.path());
    let one = run_on(1, dir.path());
    for threads in [2, 4] {
        let more = run_on(threads, dir.path());
        for (what, (one, more)) in ["statistics", "transform", "predictions", "metrics"]
            .iter()
            .zip(one.iter().zip(&more))
        {
            assert!(one == more, "{what} differ between 1 and {threads} threads");
        }
    }
}

/// Eight files with other counts of the same categories, and numbers that do not sum to the same in every order.
fn hard_to_add(dir: &Path) {
    for file in 0..8_usize {
        let kind: ArrayRef = Arc::new(StringArray::from_iter_values((0..400).map(|i| {
            format!(
                "k{}",
                if i < 200 {
                    i % 8
                } else {
                    i * (file + 1) % 8 / 2 + file % 5
                }
            )
        })));
        let size =
            (0..400).map(|i| ((i * 7_919 + file * 101) % 1_009) as f64 / 7.0 * (file + 1) as f64);
        let size: ArrayRef = Arc::new(Float64Array::from_iter_values(size));
        let late: ArrayRef = Arc::new(StringArray::from_iter_values(
            (0..400).map(|i| ["no", "yes"][i / 7 % 2]),
        ));
        let rows =
            RecordBatch::try_from_iter([("kind", kind), ("size", size), ("late", late)]).unwrap();
        write_parquet(&dir.join(format!("{file}.parquet")), &[rows]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parts_that_are_merged_in_any_order_give_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    hard_to_add(dir.path());
    let examples = tempfile::tempdir().unwrap();
    let mut first: Option<String> = None;
    for run in 0..6 {
        let data = FileSource::parquet(dir.path())
            .label("late")
            .transform(Transform::new().one_hot("kind").z_score("size"));
        let place = examples.path().join(run.to_string());
        let prepared: PreparedData = data
            .run(&Engine::new().unwrap(), &place, &Progress::default())
            .await
            .unwrap();
        let made = serde_json::to_string(&(
            fitted(&prepared).await.transform().as_ref(),
            prepared.statistics(),
        ))
        .unwrap();
        match &first {
            Some(first) => assert!(&made == first, "run {run} differs:\n{made}\n{first}"),
            None => first = Some(made),
        }
    }
}

#[test]
fn equal_inputs_have_equal_fingerprints_and_different_ones_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("parcels.csv");
    write_csv(&file, &parcels(300));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let fingerprint = |data: DataPipeline<FileSource>| {
        let place = tempfile::tempdir().unwrap();
        let engine = Engine::new().unwrap();
        let prepared = runtime
            .block_on(data.run(&engine, place.path(), &Progress::default()))
            .unwrap();
        prepared.fingerprint().clone()
    };
    let data = || FileSource::csv(&file).label("late");
    let variants = [
        fingerprint(data()),
        fingerprint(data().exclude(["road"])),
        fingerprint(data().task(Task::Binary)),
        fingerprint(data().split(Split::by_hash(
            ["id"],
            [("train", 8), ("eval", 1), ("test", 1)],
        ))),
        fingerprint(data().split(Split::by_row([("train", 7), ("eval", 1), ("test", 1)]))),
        fingerprint(data().transform(Transform::new().z_score("kilograms"))),
        fingerprint(data().transform(Transform::new().min_max("kilograms"))),
        fingerprint(data().transform(AutoTransform::new().max_one_hot(3))),
        fingerprint(FileSource::csv(&file).infer_rows(200).label("late")),
        fingerprint(
            FileSource::csv(&file).label(Label::at_least("kilograms", 60.0).named("heavy")),
        ),
    ];
    assert_eq!(variants[0], fingerprint(data()));
    for (i, one) in variants.iter().enumerate() {
        assert!(
            !variants[i + 1..].contains(one),
            "variant {i} is not told apart"
        );
    }
}
