//! What a served row costs: `cargo bench --bench serving`.
//!
//! Measured: raw Arrow rows through schema, transform and a logistic model, in process; and the transform alone.
//! Corpus: a year of flights is not needed, the columns are made here (3 numbers, 2 categories; 26 features). Sizes: 1,
//! 100 and 10,000 rows a call. Seed: none, the rows are a fixed pattern. Beside it stands the plainest Rust that
//! computes the same score from the ready features.

#![allow(
    missing_docs,
    reason = "criterion's macros make undocumented functions"
)]
#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fourfold::arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use fourfold::ndarray::ArrayView1;
use fourfold::prelude::*;

fn rows(n: usize) -> RecordBatch {
    let carriers = [
        "UA", "B6", "EV", "DL", "AA", "MQ", "US", "9E", "WN", "VX", "FL", "AS", "F9", "YV", "HA",
        "OO",
    ];
    let origins = ["EWR", "JFK", "LGA"];
    let pick = |i: usize, m: usize| (i * 7_919 + 13) % 1_009 % m;
    let columns: [(&str, ArrayRef); 6] = [
        (
            "month",
            Arc::new(Int64Array::from_iter_values(
                (0..n).map(|i| pick(i, 12) as i64 + 1),
            )),
        ),
        (
            "hour",
            Arc::new(Int64Array::from_iter_values(
                (0..n).map(|i| pick(i, 24) as i64),
            )),
        ),
        (
            "distance",
            Arc::new(Float64Array::from_iter_values(
                (0..n).map(|i| 100.0 + i as f64 % 2_000.0),
            )),
        ),
        (
            "carrier",
            Arc::new(StringArray::from_iter_values(
                (0..n).map(|i| carriers[pick(i, 16)]),
            )),
        ),
        (
            "origin",
            Arc::new(StringArray::from_iter_values(
                (0..n).map(|i| origins[pick(i, 3)]),
            )),
        ),
        (
            "late",
            Arc::new(StringArray::from_iter_values(
                (0..n).map(|i| if pick(i, 24) > 15 { "yes" } else { "no" }),
            )),
        ),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn predictor() -> Predictor {
    let transform = Transform::new()
        .cyclic("month", 12.0)
        .cyclic("hour", 24.0)
        .z_score("distance")
        .one_hot("carrier")
        .one_hot("origin");
    let pipeline = Pipeline::builder("bench")
        .data(
            BatchSource::new("flights", vec![rows(20_000)])
                .label("late")
                .transform(transform),
        )
        .train(LogisticRegression::default())
        .evaluate(Thresholds::new().better_than_constant())
        .serve(InProcess)
        .build()
        .unwrap();
    pipeline.run_blocking().unwrap().endpoint().unwrap()
}

fn serving(c: &mut Criterion) {
    let predictor = predictor();
    let weights: Vec<f64> = (0..26).map(f64::from).collect();
    let mut group = c.benchmark_group("serving");
    for n in [1, 100, 10_000] {
        let batch = rows(n);
        group.throughput(Throughput::Elements(n as u64));
        group.bench_with_input(BenchmarkId::new("predict", n), &batch, |b, batch| {
            b.iter(|| predictor.predict(black_box(batch)).unwrap());
        });
        group.bench_with_input(BenchmarkId::new("features", n), &batch, |b, batch| {
            b.iter(|| predictor.servable().features(black_box(batch)).unwrap());
        });
        let features = predictor.servable().features(&batch).unwrap();
        group.bench_with_input(
            BenchmarkId::new("plain_score", n),
            &features,
            |b, features| {
                b.iter(|| {
                    let score = |row: ArrayView1<'_, f32>| {
                        let sum: f64 = row
                            .iter()
                            .zip(&weights)
                            .map(|(x, w)| f64::from(*x) * w)
                            .sum();
                        1.0 / (1.0 + (-sum).exp())
                    };
                    black_box(features)
                        .rows()
                        .into_iter()
                        .map(score)
                        .collect::<Vec<f64>>()
                });
            },
        );
    }
    group.finish();
}

criterion_group!(benches, serving);
criterion_main!(benches);
