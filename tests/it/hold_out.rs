//! Rows held out of training: how many, which, with what features and weights; and who sees which split.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use fourfold::Result;
use fourfold::arrow::array::{ArrayRef, Date32Array, Int64Array, RecordBatch, StringArray};
use fourfold::data::{PreparedData, Rebalance, TEST, TRAIN, TUNE};
use fourfold::examples::Examples;
use fourfold::features::Takes;
use fourfold::model::ConstantModel;
use fourfold::prelude::*;
use fourfold::progress::Progress;
use fourfold::training::{AccumulateFeatures, BatchOptions, Dataset, HoldOut, HoldOutBy, Table};

use crate::support::train_set_of;

/// Rows with a number of their own, one of ten colours, one of 40 owners, a day twice, and a label that is rarely `yes`.
fn rows(n: usize) -> RecordBatch {
    let text = |of: fn(usize) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values((0..n).map(of)))
    };
    let id: ArrayRef = Arc::new(Int64Array::from_iter_values(0..n as i64));
    let owners = (0..n as i64).map(|row| row * 31 % 40);
    let owner: ArrayRef = Arc::new(Int64Array::from_iter_values(owners));
    let days = || (0..n).map(|row| (row * 7_919 % n) as i32 / 3);
    let date: ArrayRef = Arc::new(Date32Array::from_iter_values(days()));
    let day: ArrayRef = Arc::new(Int64Array::from_iter_values(days().map(i64::from)));
    RecordBatch::try_from_iter([
        ("id", id),
        ("colour", text(|row| format!("c{}", row * row % 10))),
        ("owner", owner),
        ("date", date),
        ("day", day),
        (
            "late",
            text(|row| ["no", "yes"][usize::from(row % 8 == 0)].to_owned()),
        ),
    ])
    .unwrap()
}

fn data(rows: RecordBatch) -> DataPipeline<BatchSource> {
    BatchSource::new("rows", vec![rows])
        .label("late")
        .transform(Transform::new().z_score("id").target_encode("colour"))
}

fn prepare(data: &DataPipeline<BatchSource>) -> PreparedData {
    let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))
        .unwrap()
        .keep();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let engine = Engine::new().unwrap();
    runtime
        .block_on(data.run(&engine, &place, &Progress::default()))
        .unwrap()
}

/// Passes over the rows keep as many threads busy as training may, and give the same.
#[test]
fn no_more_threads_than_allowed() {
    use std::collections::HashSet;
    use std::thread::{ThreadId, current};

    #[derive(Clone, Default)]
    struct Threads(HashSet<ThreadId>, f64);

    impl AccumulateFeatures for Threads {
        fn update(&mut self, rows: &Table) -> Result<()> {
            self.0.insert(current().id());
            self.1 += rows.labels().sum();
            Ok(())
        }

        fn merge(&mut self, other: Self) -> Result<()> {
            self.0.extend(other.0);
            self.1 += other.1;
            Ok(())
        }
    }

    let engine = Engine::with_partitions(8).unwrap();
    let place = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let data = data(rows(4_000)).row_group_rows(1_024);
    let progress = Progress::default();
    let prepared = data.run(&engine, place.path(), &progress);
    let train = train_set_of(&runtime.block_on(prepared).unwrap());
    let args = TrainArgs::new(train);
    let used = |threads: usize| {
        let args = args.clone().with_threads(threads);
        let rows = args.train();
        let found = rows.accumulate(Takes::FINITE, Threads::default()).unwrap();
        (
            found,
            rows.matrix().unwrap(),
            rows.hold_out(0.5).unwrap().train.n_rows(),
        )
    };
    let (one, matrix, held) = used(1);
    assert_eq!(one.0, HashSet::from([current().id()]));
    for threads in [2, 5] {
        let (several, same, same_held) = used(threads);
        assert!(several.0.len() <= threads);
        assert_eq!((several.1.to_bits(), held), (one.1.to_bits(), same_held));
        assert_eq!(matrix.features(), same.features());
    }
}

fn train_set(n: usize) -> Dataset {
    train_set_of(&prepare(&data(rows(n))))
}

/// Every row as the bits of its features, with its label; of copies one.
fn contents(rows: &Dataset) -> BTreeMap<(Vec<u32>, u64), usize> {
    let matrix = rows.matrix().unwrap();
    let mut all = BTreeMap::new();
    for (row, label) in matrix.features().rows().into_iter().zip(matrix.labels()) {
        let bits = row.iter().map(|cell| cell.to_bits()).collect();
        *all.entry((bits, label.to_bits())).or_default() += 1;
    }
    assert_eq!(all.values().sum::<usize>(), rows.n_rows());
    let streamed: usize = rows
        .batches()
        .map(|batch| batch.unwrap().labels().len())
        .sum();
    assert_eq!(streamed, rows.n_rows());
    all
}

/// Whether both sides together are the whole, each row once, with the features that it had.
#[track_caller]
fn assert_divided(whole: &Dataset, parts: &HoldOut) {
    let mut both = contents(&parts.train);
    for (row, n) in contents(&parts.held_out) {
        assert!(both.insert(row, n).is_none(), "a row is on both sides");
    }
    assert!(both == contents(whole), "rows are lost or have changed");
}

/// Within five standard deviations of a binomial distribution.
#[track_caller]
fn assert_share(n: usize, of: usize, share: f64) {
    let mean = of as f64 * share;
    let bound = 5.0 * (mean * (1.0 - share)).sqrt() + 1.0;
    assert!(
        (n as f64 - mean).abs() <= bound,
        "{n} of {of} rows, wanted {mean} within {bound}"
    );
}

fn n_yes(rows: &Dataset) -> usize {
    let labels = rows.matrix().unwrap();
    labels
        .labels()
        .iter()
        .filter(|label| **label == 1.0)
        .count()
}

#[test]
fn a_share_is_held_out_with_the_features_of_training() {
    let whole = train_set(4_000);
    let parts = whole.hold_out(0.2).unwrap();
    assert_divided(&whole, &parts);
    assert_share(parts.held_out.n_rows(), whole.n_rows(), 0.2);
    // What is held out of the rest is independent of what was before.
    let again = parts.train.hold_out(0.2).unwrap();
    assert_divided(&parts.train, &again);
    assert_share(again.held_out.n_rows(), parts.train.n_rows(), 0.2);
    assert_eq!(
        contents(&whole.hold_out(0.2).unwrap().train),
        contents(&parts.train)
    );
}

#[test]
fn every_row_is_in_one_fold() {
    let whole = train_set(3_000);
    let by = |by: HoldOutBy| whole.clone().hold_out_by(by);
    for whole in [
        whole.clone(),
        by(HoldOutBy::Stratified),
        by(HoldOutBy::Group("owner".to_owned())),
    ] {
        let mut seen = BTreeMap::new();
        for k in 0..5 {
            let parts = whole.fold(k, 5).unwrap();
            assert_divided(&whole, &parts);
            for (row, n) in contents(&parts.held_out) {
                assert!(seen.insert(row, n).is_none(), "a row is in two folds");
            }
        }
        assert!(seen == contents(&whole));
    }
}

#[test]
fn strata_are_exact() {
    let whole = train_set(1_000).hold_out_by(HoldOutBy::Stratified);
    let (n, yes) = (whole.n_rows(), n_yes(&whole));
    let parts = whole.hold_out(0.25).unwrap();
    assert_divided(&whole, &parts);
    let of = |n: usize| (n as f64 * 0.25).round() as usize;
    assert_eq!(n_yes(&parts.held_out), of(yes));
    assert_eq!(parts.held_out.n_rows(), of(yes) + of(n - yes));
    for k in 0..4 {
        let held = n_yes(&whole.fold(k, 4).unwrap().held_out);
        assert!(held.abs_diff(yes / 4) <= 1, "{held} of {yes}");
    }
}

#[test]
fn groups_are_not_parted_and_time_does_not_run_backwards() {
    let prepared =
        prepare(&data(rows(2_000)).transform(Transform::new().z_score("owner").z_score("day")));
    let whole = train_set_of(&prepared);
    let column = |rows: &Dataset, column: usize| -> BTreeSet<i64> {
        let matrix = rows.matrix().unwrap();
        matrix
            .features()
            .column(column)
            .iter()
            .map(|cell| (f64::from(*cell) * 1e6) as i64)
            .collect()
    };
    let by_owner = whole
        .clone()
        .hold_out_by(HoldOutBy::Group("owner".to_owned()));
    let parts = by_owner.hold_out(0.3).unwrap();
    let (train, held) = (column(&parts.train, 0), column(&parts.held_out, 0));
    assert!(train.is_disjoint(&held) && train.len() + held.len() == 40);

    let by_day = whole
        .clone()
        .hold_out_by(HoldOutBy::Time("date".to_owned()));
    let parts = by_day.hold_out(0.3).unwrap();
    let by_number = HoldOutBy::Time("day".to_owned());
    let by_number = whole.clone().hold_out_by(by_number).hold_out(0.3).unwrap();
    assert!(contents(&parts.held_out) == contents(&by_number.held_out));
    assert!(column(&parts.train, 1).last() < column(&parts.held_out, 1).first());
    assert!(parts.held_out.n_rows().abs_diff(whole.n_rows() * 3 / 10) <= 3);
    let mut last = None;
    for k in 0..4 {
        let fold = by_day.fold(k, 4).unwrap();
        let (train, held) = (column(&fold.train, 1), column(&fold.held_out, 1));
        assert!(
            train.last() < held.first() && train.len() >= (k + 1) * 90,
            "{k}"
        );
        assert!(last < held.first().copied());
        last = held.last().copied();
    }
    assert_eq!(last, column(&whole, 1).last().copied());
}

#[test]
fn copies_of_rebalanced_rows_stay_together_and_are_weighted_back() {
    for rebalance in [Rebalance::oversample(), Rebalance::undersample()] {
        let before = train_set_of(&prepare(&data(rows(4_000))));
        let prepared = prepare(&data(rows(4_000)).rebalance(rebalance));
        let whole = train_set_of(&prepared);
        let n = whole.n_rows();
        assert!(
            n_yes(&whole).abs_diff(n / 2) < n / 20,
            "the classes are about even"
        );
        let mut seen = [0.0, 0.0];
        for k in 0..5 {
            let parts = whole.fold(k, 5).unwrap();
            assert_divided(&whole, &parts);
            assert!(parts.train.weighting().is_uniform());
            let held = parts.held_out.matrix().unwrap();
            for (label, weight) in held.labels().iter().zip(held.weights().unwrap()) {
                seen[*label as usize] += weight;
            }
        }
        // All folds together weigh what the rows did before.
        let yes = n_yes(&before) as f64;
        let no = before.n_rows() as f64 - yes;
        assert!(
            (seen[1] - yes).abs() < 1e-6 && (seen[0] - no).abs() < 1e-6,
            "{seen:?} {yes} {no}"
        );
    }
}

#[test]
fn rows_in_memory_are_held_out_too() {
    let prepared = prepare(&data(rows(2_000)));
    let fitted = train_set_of(&prepared).fitted().clone();
    let batch = rows(600);
    let few = |n: usize| {
        let pieces = vec![batch.slice(0, n / 2), batch.slice(n / 2, n - n / 2)];
        let examples = Examples::from_batches(batch.schema(), pieces).unwrap();
        Dataset::new(
            examples,
            fitted.clone(),
            Arc::new(prepared.target().clone()),
        )
    };
    let whole = few(600);
    let parts = whole.hold_out(0.5).unwrap();
    assert_divided(&whole, &parts);
    assert_share(parts.held_out.n_rows(), 600, 0.5);
    let nested = parts.held_out.fold(1, 2).unwrap();
    assert_divided(&parts.held_out, &nested);
    // However few there are, both sides have some.
    for n in 2..12 {
        let parts = few(n).hold_out(0.01).unwrap();
        assert_divided(&few(n), &parts);
        let folds: usize = (0..2)
            .map(|k| few(n).fold(k, 2).unwrap().held_out.n_rows())
            .sum();
        assert_eq!(folds, n);
    }
    let message = |result: Result<HoldOut>| result.unwrap_err().to_string();
    assert_eq!(
        message(few(1).hold_out(0.5)),
        "holding out 0.5 of 1 rows leaves none on one side"
    );
    assert_eq!(
        message(few(3).fold(0, 4)),
        "fold 0 of 4 of 3 rows leaves none on one side; take fewer folds"
    );
    assert_eq!(
        message(few(9).hold_out(1.0)),
        "a share of 1 of the rows is to be held out, must be above 0 and below 1"
    );
    assert_eq!(
        message(few(9).fold(3, 3)),
        "fold 3 of 3, must be from 0 and below the number of folds, which must be at least 2"
    );
    assert_eq!(
        message(
            few(9)
                .hold_out_by(HoldOutBy::Time("colour".to_owned()))
                .hold_out(0.5)
        ),
        "rows are held out by the time in column `colour`, which is of type text, must be a date, a timestamp or a number"
    );
    let near = message(
        few(9)
            .hold_out_by(HoldOutBy::Group("ownr".to_owned()))
            .hold_out(0.5),
    );
    assert!(
        near.contains("`ownr`, which is not in the data; did you mean `owner`?"),
        "{near}"
    );
}

/// Every row of batches, in order: its features, its label.
fn streamed(rows: &Dataset, options: BatchOptions) -> Vec<String> {
    let mut all = Vec::new();
    for batch in rows.batches_with(options) {
        let batch = batch.unwrap();
        let features = batch.features();
        let rows = features.rows().into_iter().zip(batch.labels());
        all.extend(rows.map(|(row, label)| format!("{row} {label}")));
    }
    all
}

#[test]
fn batches_are_of_the_size_and_in_the_order_that_is_asked_for() {
    let whole = train_set(30_000);
    let plain = streamed(&whole, BatchOptions::new());
    let matrix = whole.matrix().unwrap();
    let rows = matrix.features();
    let rows = rows.rows().into_iter().zip(matrix.labels());
    let wanted: Vec<String> = rows.map(|(row, label)| format!("{row} {label}")).collect();
    assert!(plain == wanted, "the order is that of the examples");
    let sizes: Vec<usize> = whole
        .batches_with(BatchOptions::new().rows(1_000))
        .map(|batch| batch.unwrap().labels().len())
        .collect();
    let (last, others) = sizes.split_last().unwrap();
    assert!(others.iter().all(|n| *n == 1_000) && *last <= 1_000);
    assert!(streamed(&whole, BatchOptions::new().rows(777)) == plain);
    let twice = streamed(&whole, BatchOptions::new().rows(1_000).epochs(2));
    assert!(twice[..plain.len()] == plain && twice[plain.len()..] == plain);

    let shuffled = BatchOptions::new().rows(500).shuffled(1).epochs(2);
    let mixed = streamed(&whole, shuffled);
    assert!(
        mixed == streamed(&whole, shuffled),
        "the same seed, the same order"
    );
    let (first, second) = mixed.split_at(plain.len());
    assert!(first != second && first != plain);
    assert!(mixed != streamed(&whole, shuffled.shuffled(2)));
    let sorted = |rows: &[String]| {
        let mut rows = rows.to_vec();
        rows.sort_unstable();
        rows
    };
    assert!(sorted(first) == sorted(&plain) && sorted(second) == sorted(&plain));
    // A row moves far: the mean distance in a random order is a third of the length.
    let place: BTreeMap<&String, usize> = plain.iter().zip(0..).collect();
    let moved = first
        .iter()
        .enumerate()
        .map(|(at, row)| at.abs_diff(place[row]));
    let mean = moved.sum::<usize>() as f64 / plain.len() as f64;
    assert!((0.3..0.36).contains(&(mean / plain.len() as f64)), "{mean}");

    // Whoever stops early stops those who read ahead.
    assert!(whole.batches().next().unwrap().is_ok());
    assert_eq!(streamed(&whole, BatchOptions::new().epochs(0)).len(), 0);
}

#[derive(Clone, Default)]
struct Count {
    rows: usize,
    labels: f64,
    cells: f64,
}

impl AccumulateFeatures for Count {
    fn update(&mut self, rows: &Table) -> Result<()> {
        self.rows += rows.labels().len();
        self.labels += rows.labels().sum();
        self.cells += rows
            .features()
            .matrix()
            .iter()
            .map(|cell| f64::from(*cell))
            .sum::<f64>();
        Ok(())
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        self.rows += other.rows;
        self.labels += other.labels;
        self.cells += other.cells;
        Ok(())
    }
}

#[test]
fn analyses_run_over_the_features_of_what_is_left() {
    let whole = train_set(5_000);
    let parts = whole.hold_out(0.3).unwrap();
    let count = |rows: &Dataset| rows.accumulate(Takes::FINITE, Count::default()).unwrap();
    let (train, held, all) = (count(&parts.train), count(&parts.held_out), count(&whole));
    assert_eq!(
        (train.rows, held.rows),
        (parts.train.n_rows(), parts.held_out.n_rows())
    );
    assert_eq!(train.labels + held.labels, all.labels);
    assert!((train.cells + held.cells - all.cells).abs() < 1e-6 * all.rows as f64);
    assert_eq!(count(&whole).cells.to_bits(), all.cells.to_bits());
    let tables = parts.train.tables(Takes::CODES, BatchOptions::new());
    let n: usize = tables.map(|table| table.unwrap().labels().len()).sum();
    assert_eq!(n, train.rows);
    let table = parts.held_out.table(Takes::CODES).unwrap();
    assert_eq!(table.labels().len(), held.rows);
}

#[test]
fn each_split_has_its_role() {
    let split = Split::by_row([(TRAIN, 6), (TUNE, 2), ("eval", 1), (TEST, 1)]);
    let seen = Arc::new(Mutex::new(None));
    let to = Arc::clone(&seen);
    let run = |split: Split| {
        let to = Arc::clone(&to);
        let pipeline = Pipeline::builder("roles")
            .data(data(rows(2_000)).split(split))
            .train_with("half", 1, move |args: &TrainArgs| {
                let tune = args.tune().map(Dataset::n_rows);
                *to.lock().unwrap() = Some((args.train().n_rows(), tune));
                Ok(ConstantModel::new(args.train().n_features(), vec![0.5]))
            })
            .evaluate(Thresholds::new().at_least("accuracy", 0.0))
            .serve(InProcess::new())
            .build()
            .unwrap();
        pipeline.run_blocking().unwrap().run().clone()
    };
    let record = run(split);
    let (train, tune) = seen.lock().unwrap().unwrap();
    assert_eq!(
        (train as u64, tune.map(|n| n as u64)),
        (record.rows["train"], Some(record.rows["tune"]))
    );
    let test = record.test_metrics.unwrap();
    assert_eq!(
        test.overall["accuracy"].value,
        test.overall["accuracy"].value.clamp(0.0, 1.0)
    );
    assert_ne!(test, record.metrics, "the splits are different rows");
    let record = run(Split::by_row([(TRAIN, 3), ("eval", 1)]));
    assert_eq!(seen.lock().unwrap().unwrap().1, None);
    assert!(record.test_metrics.is_none());
}
