//! What a transform costs: `cargo bench -p fourfold-benches --bench transform`.
//!
//! Measured: raw Arrow rows through a fitted transform of 15 steps, one row and 100,000 rows a call; and fitting it on
//! the 100,000 rows. Corpus: four numbers with gaps, three text categories and a whole number, made here; no seed,
//! the rows are a fixed pattern. Beside it stands the plainest Rust for the numeric part of one row.

#![allow(
    missing_docs,
    reason = "criterion's macros make undocumented functions"
)]
#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fourfold::arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use fourfold::prelude::*;

fn rows(n: usize) -> RecordBatch {
    let pick = |i: usize, m: usize| (i * 7_919 + 13) % 100_003 % m;
    let number = |step: usize, gaps: usize| -> ArrayRef {
        let value = |i| (pick(i, gaps) != 0).then(|| pick(i * step, 10_000) as f64 / 7.0);
        Arc::new(Float64Array::from_iter((0..n).map(value)))
    };
    let text = |m: usize, prefix: &str| -> ArrayRef {
        let values = (0..n).map(|i| format!("{prefix}{}", pick(i, m)));
        Arc::new(StringArray::from_iter_values(values))
    };
    let month = (0..n).map(|i| pick(i, 12) as i64 + 1);
    let columns: [(&str, ArrayRef); 8] = [
        ("miles", number(1, 50)),
        ("minutes", number(3, 20)),
        ("fare", number(7, 10)),
        ("tip", number(11, 5)),
        ("month", Arc::new(Int64Array::from_iter_values(month))),
        ("payment", text(5, "by ")),
        ("company", text(60, "company ")),
        ("area", text(77, "area ")),
    ];
    let columns = columns.map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

/// 15 steps: imputation, z-scores, buckets, vocabularies with one-hot.
fn transform() -> Transform {
    Transform::new()
        .missing_indicator("miles")
        .impute("miles", Fill::Median)
        .z_score("miles")
        .impute("minutes", Fill::Median)
        .z_score("minutes")
        .impute("fare", Fill::Mean)
        .log1p("fare")
        .z_score("fare")
        .impute("tip", Fill::Mean)
        .bucketize("tip", 4)
        .one_hot("tip")
        .one_hot("month")
        .one_hot("payment")
        .one_hot("company")
        .one_hot("area")
}

fn plain(row: [Option<f64>; 4], out: &mut [f32; 4]) {
    for (cell, value) in out.iter_mut().zip(row) {
        *cell = ((value.unwrap_or(700.0) - 714.0) * 0.002_4) as f32;
    }
}

fn apply(criterion: &mut Criterion) {
    let train = rows(100_000);
    let fitted = transform().fit(std::slice::from_ref(&train)).unwrap();
    assert_eq!(fitted.steps().len(), 15);
    let mut group = criterion.benchmark_group("transform");
    for n in [1, 100_000] {
        let batch = train.slice(1, n.min(train.num_rows() - 1));
        group.throughput(Throughput::Elements(batch.num_rows() as u64));
        group.bench_with_input(BenchmarkId::new("apply", n), &batch, |bencher, batch| {
            bencher.iter(|| fitted.apply(black_box(batch)).unwrap());
        });
    }
    group.throughput(Throughput::Elements(train.num_rows() as u64));
    group.sample_size(20);
    group.bench_with_input(
        BenchmarkId::new("fit", 100_000),
        &train,
        |bencher, train| {
            bencher.iter(|| {
                transform()
                    .fit(std::slice::from_ref(black_box(train)))
                    .unwrap()
            });
        },
    );
    group.throughput(Throughput::Elements(1));
    group.bench_function("plain_rust_numbers/1", |bencher| {
        let mut out = [0.0; 4];
        bencher.iter(|| plain(black_box([Some(1.0), None, Some(3.0), Some(4.0)]), &mut out));
    });
    group.finish();
}

criterion_group!(benches, apply);
criterion_main!(benches);
