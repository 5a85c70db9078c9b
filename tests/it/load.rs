//! What is done to rows on their way to training: divided, sampled, rebalanced, weighted.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use fourfold::Result;
use fourfold::arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch};
use fourfold::arrow::compute::{concat_batches, take_record_batch};
use fourfold::arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use fourfold::data::{PreparedData, Rebalance};
use fourfold::model::ClassWeights;
use fourfold::prelude::*;
use fourfold::progress::Progress;
use fourfold::training::{Constant, Dataset};
use parquet::file::reader::{FileReader, SerializedFileReader};

use crate::support::{JANUARY, fitted, parcels, tree};

async fn prepare<S: DataSource>(data: DataPipeline<S>, dir: &Path) -> Result<PreparedData> {
    data.run(&Engine::new()?, dir, &Progress::default()).await
}

fn in_memory(batch: &RecordBatch) -> DataPipeline<BatchSource> {
    BatchSource::new("parcels", vec![batch.clone()])
        .label("late")
        .split(Split::by_hash(["id"], [("train", 8), ("eval", 2)]))
        .transform(Transform::new().z_score("kilograms").one_hot("road"))
}

fn ids(data: &PreparedData, split: &str) -> Vec<i64> {
    let batches = data.split(split).unwrap().batches(&["id"]);
    batches
        .flat_map(|batch| {
            batch
                .unwrap()
                .column(0)
                .as_primitive::<Int64Type>()
                .values()
                .to_vec()
        })
        .collect()
}

fn classes(data: &PreparedData, split: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for batch in data.split(split).unwrap().batches(&["late"]) {
        for late in batch.unwrap().column(0).as_string::<i32>().iter().flatten() {
            *counts.entry(late.to_owned()).or_default() += 1;
        }
    }
    counts
}

async fn train_set(data: &PreparedData) -> Dataset {
    let transform = Arc::clone(fitted(data).await.transform());
    let target = Arc::new(data.target().clone());
    Dataset::new(data.split("train").unwrap().clone(), transform, target)
        .weighted(data.weighting().clone())
}

#[tokio::test]
async fn flights_divide_by_time() {
    let dir = tempfile::tempdir().unwrap();
    let split = Split::by_time(
        "time_hour",
        [("train", "2013-01-20"), ("eval", "2013-01-25T12:00:00Z")],
        "test",
    );
    let label = Label::at_least("arr_delay", 15.0).named("late");
    let data = FileSource::parquet(JANUARY).label(label).split(split);
    let prepared = prepare(data, dir.path()).await.unwrap();
    let range = |split: &str| {
        let batches = prepared.split(split).unwrap().batches(&["time_hour"]);
        let times: Vec<i64> = batches
            .flat_map(|batch| {
                let batch = batch.unwrap();
                batch
                    .column(0)
                    .as_primitive::<TimestampMicrosecondType>()
                    .values()
                    .to_vec()
            })
            .collect();
        (
            *times.iter().min().unwrap(),
            *times.iter().max().unwrap(),
            times.len(),
        )
    };
    let (train, eval, test) = (range("train"), range("eval"), range("test"));
    let day = |day: i64| (15_706 + day - 1) * 86_400_000_000;
    assert!(train.1 < day(20) && eval.0 >= day(20), "{train:?} {eval:?}");
    assert!(eval.1 < day(25) + 43_200_000_000 && test.0 >= day(25) + 43_200_000_000);
    assert_eq!(train.2 + eval.2 + test.2, 27_004 - 606);
}

#[tokio::test]
async fn a_column_names_the_splits_and_is_no_feature() {
    let dir = tempfile::tempdir().unwrap();
    let batch = parcels(300);
    let split = Split::by_column("road", [("road", "train"), ("air", "eval")]);
    let data = BatchSource::new("parcels", vec![batch.clone()])
        .label("late")
        .split(split);
    let prepared = prepare(data.clone(), dir.path()).await.unwrap();
    let n_air = batch
        .column(2)
        .as_string::<i32>()
        .iter()
        .filter(|road| *road == Some("air"))
        .count();
    assert_eq!(prepared.split("eval").unwrap().n_rows(), n_air);
    assert!(
        !fitted(&prepared)
            .await
            .transform()
            .features()
            .iter()
            .any(|name| name.contains("road"))
    );
    let unknown = data.split(Split::by_column(
        "road",
        [("road", "train"), ("sea", "eval")],
    ));
    assert_eq!(
        prepare(unknown, dir.path()).await.unwrap_err().to_string(),
        "parcels: the split's naming column `road` is `air`, must be one of [\"road\", \"sea\"]"
    );
}

#[tokio::test]
async fn a_sample_holds_all_rows_of_a_key_or_none() {
    let dir = tempfile::tempdir().unwrap();
    let rows = parcels(4_000);
    let customers: ArrayRef = Arc::new(Int64Array::from_iter_values((0..4_000).map(|i| i % 1_000)));
    let mut columns = rows.columns().to_vec();
    columns[0] = customers;
    let rows = RecordBatch::try_new(rows.schema(), columns).unwrap();
    let sampled = prepare(in_memory(&rows).sample(0.25), dir.path())
        .await
        .unwrap();
    let whole = prepare(in_memory(&rows), dir.path()).await.unwrap();
    let mut seen = BTreeMap::new();
    for split in ["train", "eval"] {
        let of_whole = ids(&whole, split);
        for id in ids(&sampled, split) {
            assert!(of_whole.contains(&id), "{id} moved to {split}");
            *seen.entry(id).or_insert(0) += 1;
        }
    }
    assert!(seen.values().all(|n| *n == 4));
    assert!((200..300).contains(&seen.len()), "{}", seen.len());
    let by_column = Split::by_column("road", [("road", "train"), ("air", "eval")]);
    let part = prepare(
        in_memory(&parcels(4_000)).split(by_column).sample(0.25),
        dir.path(),
    )
    .await;
    let part = part.unwrap();
    for split in ["train", "eval"] {
        assert!((200..800).contains(&part.split(split).unwrap().n_rows()));
    }
    for wrong in [0.0, 1.5, f64::NAN] {
        assert!(in_memory(&rows).sample(wrong).check().is_err());
    }
}

#[tokio::test]
async fn classes_are_rebalanced_in_train_only() {
    let dir = tempfile::tempdir().unwrap();
    let rows = parcels(2_000);
    let plain = prepare(in_memory(&rows), dir.path()).await.unwrap();
    let before = classes(&plain, "train");
    let (no, yes) = (before["no"], before["yes"]);
    assert!(no > 2 * yes, "{before:?}");
    let near = |n: usize, wanted: usize| n.abs_diff(wanted) <= wanted / 8;
    for (rebalance, wanted_no, wanted_yes) in [
        (Rebalance::undersample(), yes, yes),
        (Rebalance::oversample(), no, no),
        (Rebalance::oversample().ratio(0.75), no, no * 3 / 4),
    ] {
        let data = prepare(in_memory(&rows).rebalance(rebalance), dir.path())
            .await
            .unwrap();
        let after = classes(&data, "train");
        assert!(
            near(after["no"], wanted_no) && near(after["yes"], wanted_yes),
            "{rebalance:?}: {before:?} {after:?}"
        );
        assert_eq!(ids(&data, "eval"), ids(&plain, "eval"));
        let again = prepare(in_memory(&rows).rebalance(rebalance), dir.path())
            .await
            .unwrap();
        assert_eq!(ids(&again, "train"), ids(&data, "train"));
        assert_eq!(
            data.statistics()["train"].n_rows as usize,
            data.split("train").unwrap().n_rows()
        );
    }
    let wrong = in_memory(&rows)
        .rebalance(Rebalance::oversample().ratio(2.0))
        .check();
    assert_eq!(
        wrong.unwrap_err().to_string(),
        "the ratio of the classes is 2, must be above 0 and at most 1"
    );
}

#[tokio::test]
async fn a_rebalanced_extraction_is_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let label = || Label::at_least("arr_delay", 15.0).named("late");
    let data = || {
        FileSource::parquet(JANUARY)
            .label(label())
            .rebalance(Rebalance::undersample())
    };
    let data = || data().transform(Transform::new().z_score("distance"));
    let first = prepare(data(), dir.path()).await.unwrap();
    let files = tree(dir.path());
    let second = prepare(data(), dir.path()).await.unwrap();
    assert_eq!(tree(dir.path()), files);
    assert_eq!(second.statistics(), first.statistics());
}

#[tokio::test]
async fn weights_of_classes_are_those_of_scikit_learn() {
    let dir = tempfile::tempdir().unwrap();
    let rows = parcels(1_000);
    let data = in_memory(&rows).class_weights(ClassWeights::Balanced);
    let prepared = prepare(data, dir.path()).await.unwrap();
    let counts = classes(&prepared, "train");
    let n = (counts["no"] + counts["yes"]) as f64;
    let wanted = [
        n / (2.0 * counts["no"] as f64),
        n / (2.0 * counts["yes"] as f64),
    ];
    assert_eq!(prepared.weighting().classes(), Some(wanted.as_slice()));
    let matrix = train_set(&prepared).await.matrix().unwrap();
    let weights = matrix.weights().unwrap();
    assert!((weights.sum() - n).abs() < 1e-9);
    for (weight, label) in weights.iter().zip(matrix.labels()) {
        assert_eq!(*weight, wanted[*label as usize]);
    }
    let streamed: f64 = train_set(&prepared)
        .await
        .batches()
        .map(|batch| batch.unwrap().weights().unwrap().sum())
        .sum();
    assert!((streamed - n).abs() < 1e-9);
}

fn run<T: Trainer>(data: DataPipeline<BatchSource>, trainer: T) -> Result<Outcome<Endpoint>> {
    let pipeline = Pipeline::builder("parcels")
        .data(data)
        .train(trainer)
        .evaluate(Thresholds::new().at_least("skill", -1_000.0))
        .serve(InProcess::new())
        .build()?;
    pipeline.run_blocking()
}

fn outputs<T: Trainer>(data: DataPipeline<BatchSource>, trainer: T) -> Vec<f64> {
    match run(data, trainer).unwrap() {
        Outcome::Deployed { endpoint, .. } => {
            let columns = parcels(200).project(&[1, 2]).unwrap();
            endpoint
                .predict(&columns)
                .unwrap()
                .outputs()
                .iter()
                .copied()
                .collect()
        }
        Outcome::Rejected { run } => panic!("{:?}", run.verdict.reasons()),
    }
}

/// Rows whose column `weight` is 1, 2 or 3; and the same rows, each so often.
fn weighted_and_repeated() -> (RecordBatch, RecordBatch) {
    let rows = parcels(600);
    let weight = |row: i64| row % 3 + 1;
    let weights: ArrayRef = Arc::new(Float64Array::from_iter_values(
        (0..600).map(|row| weight(row) as f64),
    ));
    let minutes: ArrayRef = Arc::new(Float64Array::from_iter_values(
        (0..600_i64).map(|row| ((row * 37) % 101) as f64),
    ));
    let schema = rows.schema();
    let columns = schema
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .zip(rows.columns().to_vec());
    let more = [
        ("weight".to_owned(), weights),
        ("minutes".to_owned(), minutes),
    ];
    let rows = RecordBatch::try_from_iter(columns.chain(more)).unwrap();
    let indices: Int64Array = (0..600_i64)
        .flat_map(|row| std::iter::repeat_n(row, weight(row) as usize))
        .collect();
    let repeated = take_record_batch(&rows, &indices).unwrap();
    let repeated = concat_batches(&rows.schema(), &[repeated]).unwrap();
    (rows, repeated)
}

#[test]
fn a_weight_is_as_good_as_repeating_the_row() {
    let (weighted, repeated) = weighted_and_repeated();
    let close = |a: Vec<f64>, b: Vec<f64>, what: &str| {
        assert!(
            a.iter()
                .zip(&b)
                .all(|(a, b)| (a - b).abs() < 1e-4 * (1.0 + b.abs())),
            "{what}: {a:?} {b:?}"
        );
    };
    // Neither learns the scale of a feature from the rows, which the weights do not change.
    let transform = || Transform::new().cyclic("kilograms", 200.0).one_hot("road");
    let with_weights = |label: &str| {
        let data = in_memory(&weighted).label(label).transform(transform());
        data.weight_column("weight")
    };
    let with_rows = |label: &str| in_memory(&repeated).label(label).transform(transform());
    close(
        outputs(with_weights("late"), Constant),
        outputs(with_rows("late"), Constant),
        "constant",
    );
    let tree = || DecisionTree::default().min_rows_leaf(1).max_depth(3);
    close(
        outputs(with_weights("late"), tree()),
        outputs(with_rows("late"), tree()),
        "tree",
    );
    let logistic = || LogisticRegression::default().tolerance(1e-9);
    close(
        outputs(with_weights("late"), logistic()),
        outputs(with_rows("late"), logistic()),
        "logistic",
    );
    let boosting = || GradientBoosting::default().rounds(10);
    close(
        outputs(with_weights("late"), boosting()),
        outputs(with_rows("late"), boosting()),
        "boosting",
    );
    let line = LinearRegression::default;
    close(
        outputs(with_weights("minutes"), line()),
        outputs(with_rows("minutes"), line()),
        "line",
    );
    let even = in_memory(&weighted).label("minutes").transform(transform());
    let (even, uneven) = (
        outputs(even, line()),
        outputs(with_weights("minutes"), line()),
    );
    assert!(
        even.iter().zip(&uneven).any(|(a, b)| (a - b).abs() > 0.1),
        "the weights change nothing"
    );
}

#[test]
fn weights_that_are_none_are_refused() {
    let (weighted, _) = weighted_and_repeated();
    let refusal = |data: DataPipeline<BatchSource>| {
        let error = run(data, LogisticRegression::default()).unwrap_err();
        format!("{:?} | {error}", error.kind())
    };
    let data = || in_memory(&weighted);
    assert_eq!(
        refusal(data().weight_column("weigth")),
        "Config | label: the weights' column `weigth` is not in the data; did you mean `weight`?"
    );
    assert_eq!(
        refusal(data().class_weights(ClassWeights::given([("yes", 2.0)]))),
        "Config | weights: class `no` of label `late` has no weight, every class must have one"
    );
    assert_eq!(
        refusal(data().class_weights(ClassWeights::given([("yes", 2.0), ("on", 1.0)]))),
        "Config | weights: class `on` has a weight, but is not a class of label `late`; there are `no`, `yes`"
    );
    assert_eq!(
        refusal(data().class_weights(ClassWeights::given([("yes", -2.0)]))),
        "Config | data: class `yes` has weight -2, must be a finite number above 0"
    );
    let text = run(data().weight_column("road"), Constant).unwrap_err();
    assert_eq!(
        text.to_string(),
        "constant: the weights' column `road` is of type text, must be of numbers"
    );
    let zero = run(data().weight_column("kilograms"), Constant).unwrap();
    assert!(
        matches!(zero, Outcome::Deployed { .. }),
        "a weight may be 0"
    );
}

#[tokio::test]
async fn a_weight_is_no_feature_and_requests_need_none() {
    let dir = tempfile::tempdir().unwrap();
    let (weighted, _) = weighted_and_repeated();
    let data = BatchSource::new("parcels", vec![weighted])
        .label("late")
        .weight_column("weight");
    let prepared = prepare(data, dir.path()).await.unwrap();
    assert!(
        !fitted(&prepared)
            .await
            .transform()
            .features()
            .iter()
            .any(|name| name.contains("weight"))
    );
    assert_eq!(prepared.weighting().column(), Some("weight"));
}

#[tokio::test]
async fn row_groups_are_as_large_as_told() {
    let dir = tempfile::tempdir().unwrap();
    let data = in_memory(&parcels(10_000)).row_group_rows(1_024);
    prepare(data, dir.path()).await.unwrap();
    let files = tree(dir.path());
    let train = files
        .iter()
        .find(|path| path.ends_with("Split-train/part-00000.parquet"))
        .unwrap();
    let file = SerializedFileReader::new(std::fs::File::open(train).unwrap()).unwrap();
    let groups = file.metadata().row_groups();
    assert!(groups.len() > 5 && groups.iter().all(|group| group.num_rows() <= 1_024));
    let wrong = in_memory(&parcels(10))
        .row_group_rows(10)
        .check()
        .unwrap_err();
    assert_eq!(
        wrong.to_string(),
        "row groups of 10 rows, must be from 1024 to 16777216"
    );
}

#[tokio::test]
async fn what_leaves_no_row_leaves_no_folder() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rows.csv");
    std::fs::write(&path, "x,late\n1,\n2,\n").unwrap();
    let engine = Engine::new().unwrap();
    let work = dir.path().join("work");
    let sampled = || FileSource::csv(&path).label("x").sample(1e-9);
    let unlabelled = || FileSource::csv(&path).label("late");
    for _ in 0..2 {
        let progress = Progress::default();
        let error = unlabelled()
            .run(&engine, &work, &progress)
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "validate: label `late` has no value in any of 2 rows"
        );
        let error = sampled().run(&engine, &work, &progress).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "file: none of 2 rows is in the sample of 0.000000001 of the rows; make it larger"
        );
    }
}
