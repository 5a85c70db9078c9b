//! What the data pipeline costs a row: `cargo bench -p fourfold-benches --bench data`.
//!
//! Measured: decoding a Parquet file beside the statistics of the same rows; statistics of batches in memory; the data
//! pipeline from a file to its splits; fitting a transform; applying it to 1, 1,000 and 100,000 rows. Corpus: made-up
//! taxi trips of 18 columns (`benches/trips`), a million rows in a file and 100,000 in memory; where there are more or
//! fewer columns, they are those over and over. Seed: `trips::SEED`. Beside ours stands the plainest Rust for a part of
//! the same work: the least that it could cost.
//!
//! Whole processes beside peers: `benches/peers/run.sh`.

#![allow(
    missing_docs,
    reason = "criterion's macros make undocumented functions"
)]
#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]

mod trips;

use std::collections::HashMap;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::{
    BatchSize, BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use fourfold::Result;
use fourfold::accumulate::Accumulate;
use fourfold::arrow::array::{Array, AsArray, RecordBatch, StringArray};
use fourfold::arrow::compute::concat_batches;
use fourfold::arrow::datatypes::{Field, Float64Type, Schema as ArrowSchema};
use fourfold::ndarray::Array2;
use fourfold::prelude::*;
use fourfold::progress::Progress;
use fourfold::statistics::StatisticsAccumulator;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::{Deserialize, Serialize};

/// As many rows as DataFusion puts into a batch.
const BATCH: usize = 8_192;

/// Takes in all columns and looks at none.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct CountRows(u64);

impl Accumulate for CountRows {
    fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        self.0 += batch.num_rows() as u64;
        Ok(())
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        self.0 += other.0;
        Ok(())
    }
}

/// Decoding a file, and the statistics of it.
fn from_parquet(c: &mut Criterion) {
    const ROWS: usize = 1_000_000;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("trips.parquet");
    trips::write(&file, ROWS, trips::SEED).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let engine = Engine::new().unwrap();
    let rows = runtime
        .block_on(FileSource::parquet(&file).read(&engine))
        .unwrap();

    let mut group = c.benchmark_group("from_parquet");
    group
        .sample_size(10)
        .sampling_mode(SamplingMode::Flat)
        .throughput(Throughput::Elements(ROWS as u64));
    group.bench_function(BenchmarkId::new("decode", ROWS), |b| {
        b.iter(|| runtime.block_on(engine.accumulate(rows.clone(), CountRows::default())));
    });
    group.bench_function(BenchmarkId::new("statistics", ROWS), |b| {
        b.iter(|| {
            let accumulator = StatisticsAccumulator::new(rows.schema().as_arrow());
            runtime
                .block_on(engine.accumulate(rows.clone(), accumulator))
                .unwrap()
                .finish()
        });
    });
    group.finish();
}

/// The trips with other columns: theirs, over and over.
fn with_columns(rows: &RecordBatch, n_columns: usize) -> RecordBatch {
    let (fields, columns): (Vec<Field>, Vec<_>) = (0..n_columns)
        .map(|number| {
            let place = number % rows.num_columns();
            let data_type = rows.schema().field(place).data_type().clone();
            let field = Field::new(format!("column_{number}"), data_type, true);
            (field, Arc::clone(rows.column(place)))
        })
        .unzip();
    RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), columns).unwrap()
}

/// Statistics of batches, on one thread.
fn statistics(c: &mut Criterion) {
    let mut group = c.benchmark_group("statistics");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    for n_rows in [10_000, 100_000] {
        for n_columns in [10, 100] {
            let batches: Vec<RecordBatch> = trips::batches(n_rows, BATCH)
                .iter()
                .map(|rows| with_columns(rows, n_columns))
                .collect();
            group.throughput(Throughput::Elements((n_rows * n_columns) as u64));
            let parameter = format!("{n_rows}x{n_columns}");
            group.bench_with_input(
                BenchmarkId::new("all", &parameter),
                &batches,
                |b, batches| {
                    b.iter(|| {
                        let mut accumulator = StatisticsAccumulator::new(&batches[0].schema());
                        batches
                            .iter()
                            .for_each(|batch| accumulator.update(black_box(batch)).unwrap());
                        accumulator.finish()
                    });
                },
            );
        }
        let fares: Vec<RecordBatch> = trips::batches(n_rows, BATCH);
        group.throughput(Throughput::Elements(n_rows as u64));
        group.bench_with_input(
            BenchmarkId::new("plain_mean_and_std", n_rows),
            &fares,
            |b, fares| {
                b.iter(|| {
                    let (mut n, mut sum, mut squares) = (0.0, 0.0, 0.0);
                    for batch in black_box(fares) {
                        let column = batch["fare"].as_primitive::<Float64Type>();
                        for fare in column.iter().flatten().filter(|fare| fare.is_finite()) {
                            n += 1.0;
                            sum += fare;
                            squares += fare * fare;
                        }
                    }
                    let mean: f64 = sum / n;
                    (mean, (squares / n - mean * mean).sqrt())
                });
            },
        );
    }
    group.finish();
}

/// From a file to splits in Parquet, with their statistics, a schema and a fitted transform; beside it, the file
/// merely read and written again.
fn extraction(c: &mut Criterion) {
    const ROWS: usize = 200_000;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("trips.parquet");
    trips::write(&file, ROWS, trips::SEED).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let engine = Engine::new().unwrap();
    let pipeline = DataPipeline::new(FileSource::parquet(&file))
        .label(Label::at_least("tip", 5.0).named("generous"))
        .split(Split::by_hash(
            ["trip_id"],
            [("train", 8), ("eval", 1), ("test", 1)],
        ))
        .transform(Transform::new().number("total"));

    let mut group = c.benchmark_group("extraction");
    group
        .sample_size(10)
        .sampling_mode(SamplingMode::Flat)
        .throughput(Throughput::Elements(ROWS as u64));
    group.bench_function(BenchmarkId::new("pipeline", ROWS), |b| {
        b.iter_batched(
            || tempfile::tempdir().unwrap(),
            |out| {
                let progress = Progress::default();
                runtime
                    .block_on(pipeline.run(&engine, out.path(), &progress))
                    .unwrap();
                out
            },
            BatchSize::PerIteration,
        );
    });
    group.bench_function(BenchmarkId::new("plain_copy", ROWS), |b| {
        b.iter_batched(
            || tempfile::tempdir().unwrap(),
            |out| {
                copy(&file, &out.path().join("copy.parquet"));
                out
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn copy(from: &Path, to: &Path) {
    let reader = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(from).unwrap())
        .unwrap()
        .with_batch_size(BATCH);
    let schema = Arc::clone(reader.schema());
    let mut writer =
        ArrowWriter::try_new(std::fs::File::create(to).unwrap(), schema, None).unwrap();
    for batch in reader.build().unwrap() {
        writer.write(&batch.unwrap()).unwrap();
    }
    writer.close().unwrap();
}

fn steps() -> Transform {
    Transform::new()
        .impute("distance", Fill::Mean)
        .z_score("distance")
        .impute("fare", Fill::Mean)
        .z_score("fare")
        .impute("tip", Fill::Mean)
        .z_score("tip")
        .impute("pickup_latitude", Fill::Median)
        .bucketize("pickup_latitude", 10)
        .impute("pickup_longitude", Fill::Median)
        .bucketize("pickup_longitude", 10)
        .bucketize("total", 10)
        .one_hot_top("payment_type", 30)
        .one_hot_top("company", 30)
        .one_hot_top("pickup_zone", 30)
        .one_hot_top("dropoff_zone", 30)
}

/// A z-score and a one-hot by hand: two of the fifteen steps.
fn plain(batch: &RecordBatch, mean: f64, std: f64, index: &HashMap<&str, usize>) -> Array2<f32> {
    let mut out = Array2::zeros((batch.num_rows(), index.len() + 2));
    let distances = batch["distance"].as_primitive::<Float64Type>();
    let companies: &StringArray = batch["company"].as_string();
    for (row, mut features) in out.rows_mut().into_iter().enumerate() {
        let distance = match distances.is_valid(row) && distances.value(row).is_finite() {
            true => distances.value(row),
            false => mean,
        };
        features[0] = ((distance - mean) / std) as f32;
        if companies.is_valid(row) {
            let place = index.get(companies.value(row)).copied();
            features[1 + place.unwrap_or(index.len())] = 1.0;
        }
    }
    out
}

fn transform(c: &mut Criterion) {
    let batches = trips::batches(100_000, BATCH);
    let transform = steps();
    let fitted = transform.fit(&batches).unwrap();
    let whole = concat_batches(&batches[0].schema(), &batches).unwrap();
    let companies: Vec<&str> = fitted
        .features()
        .iter()
        .filter_map(|feature| feature.strip_prefix("company="))
        .filter(|company| *company != "<other>")
        .collect();
    let index: HashMap<&str, usize> = companies.into_iter().zip(0..).collect();

    let mut group = c.benchmark_group("transform");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(3));
    group.throughput(Throughput::Elements(100_000));
    group.bench_function(BenchmarkId::new("fit", 100_000), |b| {
        b.iter(|| transform.fit(black_box(&batches)).unwrap());
    });
    group.sample_size(20);
    for n in [1, 1_000, 100_000] {
        let rows = whole.slice(0, n);
        group.throughput(Throughput::Elements(n as u64));
        group.bench_with_input(BenchmarkId::new("apply", n), &rows, |b, rows| {
            b.iter(|| fitted.apply(black_box(rows)).unwrap());
        });
        group.bench_with_input(BenchmarkId::new("plain_two_steps", n), &rows, |b, rows| {
            b.iter(|| plain(black_box(rows), 2.8, 4.0, &index));
        });
    }
    group.finish();
}

criterion_group!(benches, from_parquet, statistics, extraction, transform);
criterion_main!(benches);
