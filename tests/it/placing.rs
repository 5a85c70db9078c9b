//! Where rows go: without bias whatever repeats, where they were when rows are added, the same on any number of threads.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use fourfold::arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use fourfold::data::PreparedData;
use fourfold::prelude::*;
use fourfold::progress::Progress;
use fourfold::training::Dataset;

use crate::support::{train_set_of, write_parquet};

/// Rows of five contents, of which one is half of all.
fn few_contents(rows: std::ops::Range<usize>) -> RecordBatch {
    let content = |row: usize| [0, 0, 0, 0, 1, 2, 3, 4, 0, 4][row * 7 / 3 % 10];
    let text = |of: fn(usize) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(
            rows.clone().map(|row| of(content(row))),
        ))
    };
    RecordBatch::try_from_iter([
        ("colour", text(|content| format!("c{}", content % 3))),
        (
            "bought",
            text(|content| ["no", "yes"][content % 2].to_owned()),
        ),
    ])
    .unwrap()
}

/// So many rows, in files of which the last is the longest.
fn write(dir: &Path, n_rows: usize, n_files: usize) {
    let share = n_rows / (n_files + 3);
    for file in 0..n_files {
        let end = if file + 1 == n_files {
            n_rows
        } else {
            (file + 1) * share
        };
        let rows = few_contents(file * share..end);
        write_parquet(&dir.join(format!("{file:02}.parquet")), &[rows]);
    }
}

fn data(dir: &Path) -> DataPipeline<FileSource> {
    FileSource::parquet(dir)
        .label("bought")
        .transform(Transform::new().one_hot("colour"))
}

fn prepare(data: &DataPipeline<FileSource>, threads: usize) -> PreparedData {
    let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))
        .unwrap()
        .keep();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .unwrap();
    let engine = Engine::new().unwrap();
    runtime
        .block_on(data.run(&engine, &place, &Progress::default()))
        .unwrap()
}

/// The rows of a split as text, in order.
fn rows_of(data: &PreparedData, split: &str) -> Vec<String> {
    let mut rows = Vec::new();
    for batch in data.split(split).unwrap().batches(&["colour", "bought"]) {
        let batch = batch.unwrap();
        let columns: Vec<&StringArray> = batch.columns().iter().map(|c| c.as_string()).collect();
        rows.extend((0..batch.num_rows()).map(|row| {
            let values: Vec<&str> = columns.iter().map(|column| column.value(row)).collect();
            values.join(" ")
        }));
    }
    rows
}

fn counts(rows: Vec<String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for row in rows {
        *counts.entry(row).or_default() += 1;
    }
    counts
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

const SPLITS: [(&str, f64); 3] = [("train", 0.8), ("eval", 0.1), ("test", 0.1)];

#[test]
fn rows_that_repeat_are_divided_without_bias() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 2_000, 8);
    let contents = counts(rows_of_batch(&few_contents(0..2_000)));
    assert_eq!(contents.len(), 5);
    let prepared = prepare(&data(dir.path()), 8);
    for (split, share) in SPLITS {
        let found = counts(rows_of(&prepared, split));
        assert_share(found.values().sum(), 2_000, share);
        for (content, n) in &contents {
            assert_share(found.get(content).copied().unwrap_or_default(), *n, share);
        }
    }
    let sampled = prepare(&data(dir.path()).sample(0.25), 8);
    for (split, share) in SPLITS {
        let found = counts(rows_of(&sampled, split));
        assert_share(found.values().sum(), 2_000, share * 0.25);
    }
}

fn rows_of_batch(batch: &RecordBatch) -> Vec<String> {
    let (colour, bought) = (
        batch.column(0).as_string::<i32>(),
        batch.column(1).as_string::<i32>(),
    );
    (0..batch.num_rows())
        .map(|row| format!("{} {}", colour.value(row), bought.value(row)))
        .collect()
}

/// The rows of a data set as text, in order.
fn rows_of_set(rows: &Dataset) -> Vec<String> {
    let matrix = rows.matrix().unwrap();
    let features = matrix.features();
    let rows = features.rows().into_iter().zip(matrix.labels());
    rows.map(|(row, label)| format!("{row} {label}")).collect()
}

#[test]
fn hold_outs_and_folds_are_placed_as_splits_are() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 2_000, 8);
    let longer = tempfile::tempdir().unwrap();
    write(longer.path(), 2_000, 3);
    write_parquet(
        &longer.path().join("-1.parquet"),
        &[few_contents(2_000..2_500)],
    );
    let held = |dir: &Path, threads: usize| {
        let whole = train_set_of(&prepare(&data(dir), threads));
        let mut parts = vec![(whole.hold_out(0.2).unwrap().held_out, 0.2)];
        parts.extend((0..5).map(|k| (whole.fold(k, 5).unwrap().held_out, 0.2)));
        let parts: Vec<_> = parts
            .iter()
            .map(|(part, share)| (rows_of_set(part), *share))
            .collect();
        (rows_of_set(&whole), parts)
    };
    let (whole, parts) = held(dir.path(), 1);
    assert_eq!(
        (&whole, &parts),
        (&held(dir.path(), 8).0, &held(dir.path(), 8).1)
    );
    let contents = counts(whole);
    assert_eq!(contents.len(), 5);
    let after = held(longer.path(), 2).1;
    for ((rows, share), (after, _)) in parts.into_iter().zip(after) {
        let (found, after) = (counts(rows), counts(after));
        for (content, n) in &contents {
            let held = found.get(content).copied().unwrap_or_default();
            assert_share(held, *n, share);
            assert!(after[content] >= held, "{content} has moved");
        }
    }
}

#[test]
fn places_do_not_depend_on_threads_nor_on_files() {
    let (eight, one) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // More rows than a part has at a time, so that the parts take turns.
    write(eight.path(), 100_000, 8);
    write(one.path(), 100_000, 1);
    let first = prepare(&data(eight.path()).sample(0.5), 1);
    let again = prepare(&data(eight.path()).sample(0.5), 8);
    let elsewhere = prepare(&data(one.path()).sample(0.5), 8);
    for (split, _) in SPLITS {
        let rows = rows_of(&first, split);
        assert!(
            rows == rows_of(&again, split),
            "{split}: 1 and 8 threads differ"
        );
        assert_eq!(counts(rows), counts(rows_of(&elsewhere, split)), "{split}");
    }
}

#[test]
fn rows_stay_where_they_were_when_some_are_appended() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 2_000, 3);
    for sample in [1.0, 0.5] {
        let before = prepare(&data(dir.path()).sample(sample), 2);
        let longer = tempfile::tempdir().unwrap();
        write(longer.path(), 2_000, 5);
        // In front of the others, and so read first.
        write_parquet(
            &longer.path().join("-1.parquet"),
            &[few_contents(2_000..2_500)],
        );
        let after = prepare(&data(longer.path()).sample(sample), 2);
        let mut n_added = 0;
        for (split, _) in SPLITS {
            let (before, after) = (
                counts(rows_of(&before, split)),
                counts(rows_of(&after, split)),
            );
            for (content, n) in &before {
                assert!(after[content] >= *n, "{split}: {content} has moved");
            }
            n_added += after.values().sum::<usize>() - before.values().sum::<usize>();
        }
        assert_share(n_added, 500, sample);
    }
}
