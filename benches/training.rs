//! What training and its models cost: `cargo bench -p fourfold-benches --no-default-features --features datafusion
//! --bench training`.
//!
//! Measured: boosting, logistic and linear regression and a random forest on 100,000 rows in memory, the transform
//! included, at their defaults (20 trees of the forest); the same on more rows, to see that the time per row stays flat (a
//! million, or up to `FOURFOLD_BENCH_ROWS`, boosting up to 2 million; 10 million take about 12 GB); one row through 100
//! boosted trees of 31 leaves, and 100,000; loading 2,000 such trees from their compact form, beside the older JSON of the
//! same trees; the contribution of each feature to the prediction for a row. Corpus: generated taxi trips (`benches/trips`):
//! 6 numbers, 2 whole numbers, 4 strings. Seed: `trips::SEED`.
//!
//! Beside LightGBM and scikit-learn: `benches/peers/boosting.py`, `benches/peers/linear.py`.

#![allow(
    missing_docs,
    reason = "criterion's macros make undocumented functions"
)]
#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]

mod trips;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{
    BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use fourfold::arrow::array::{ArrayRef, AsArray, Float64Array, RecordBatch, StringArray};
use fourfold::arrow::compute::concat_batches;
use fourfold::arrow::datatypes::Float64Type;
use fourfold::examples::Examples;
use fourfold::features::{Features, Takes};
use fourfold::model::{Combine, ForestModel, Link, Loaders, Model, Predict, Target};
use fourfold::prelude::*;
use fourfold::training::{Dataset, TrainArgs};
use fourfold::transform::FittedTransform;

const ROWS: usize = 100_000;

/// Trips, with whether the tip is a fifth of the fare or more, and the total, 0 where it is not known.
fn rows(n: usize) -> RecordBatch {
    let batches = trips::batches(n, trips::ROW_GROUP);
    let all = concat_batches(&batches[0].schema(), &batches).unwrap();
    let number = |name: &str| {
        all.column_by_name(name)
            .unwrap()
            .as_primitive::<Float64Type>()
    };
    let pairs = number("tip").iter().zip(number("fare"));
    let generous = pairs.map(|(tip, fare)| tip.unwrap_or(0.0) >= 0.2 * fare.unwrap_or(0.0));
    let generous = generous.map(|yes| if yes { "yes" } else { "no" });
    let generous: ArrayRef = Arc::new(StringArray::from_iter_values(generous));
    let columns = all
        .schema()
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect::<Vec<_>>();
    let columns = columns
        .into_iter()
        .zip(all.columns().iter().map(Arc::clone));
    let amounts = number("total")
        .iter()
        .map(|total| total.filter(|it| it.is_finite()));
    let amounts = amounts.map(|total| total.unwrap_or(0.0));
    let amounts: ArrayRef = Arc::new(Float64Array::from_iter_values(amounts));
    let labels = [
        ("generous".to_owned(), generous),
        ("amount".to_owned(), amounts),
    ];
    let columns = columns.chain(labels);
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)))
        .unwrap()
}

/// Numbers as they are or scaled, and four categories.
fn transform(rows: &RecordBatch, scaled: bool) -> Arc<FittedTransform> {
    let numbers = [
        "distance",
        "fare",
        "seconds",
        "passengers",
        "pickup_latitude",
        "pickup_longitude",
    ];
    let transform = numbers
        .into_iter()
        .fold(Transform::new(), |transform, name| match scaled {
            true => transform.impute(name, Fill::Median).z_score(name),
            false => transform.number(name),
        });
    let categories = ["pickup_zone", "dropoff_zone", "company", "payment_type"];
    let transform = categories
        .into_iter()
        .fold(transform, |transform, name| transform.one_hot(name));
    Arc::new(transform.fit(std::slice::from_ref(rows)).unwrap())
}

fn args(rows: &RecordBatch, target: Target, scaled: bool) -> TrainArgs {
    let examples = Examples::from_batches(rows.schema(), vec![rows.clone()]).unwrap();
    TrainArgs::new(Dataset::new(
        examples,
        transform(rows, scaled),
        Arc::new(target),
    ))
}

fn generous() -> Target {
    Target::classification("generous", ["no", "yes"]).unwrap()
}

fn train(c: &mut Criterion) {
    let rows = rows(ROWS);
    let mut group = c.benchmark_group("train");
    group.throughput(Throughput::Elements(ROWS as u64));
    group.sampling_mode(SamplingMode::Flat);
    group.sample_size(10);
    group.measurement_time(Duration::from_secs(10));
    let classes = args(&rows, generous(), false);
    let scaled = args(&rows, generous(), true);
    let numbers = args(&rows, Target::regression("amount"), true);
    group.bench_function("boosting", |b| {
        b.iter(|| {
            GradientBoosting::default()
                .train(black_box(&classes))
                .unwrap()
        });
    });
    group.bench_function("forest", |b| {
        b.iter(|| {
            RandomForest::default()
                .trees(20)
                .train(black_box(&classes))
                .unwrap()
        });
    });
    group.bench_function("logistic", |b| {
        b.iter(|| {
            LogisticRegression::default()
                .train(black_box(&scaled))
                .unwrap()
        });
    });
    group.bench_function("linear", |b| {
        b.iter(|| {
            LinearRegression::default()
                .train(black_box(&numbers))
                .unwrap()
        });
    });
    group.finish();
}

/// Training on ten and a hundred times the rows. The rows a second should be those of 100,000 rows.
fn flat(c: &mut Criterion) {
    let most = std::env::var("FOURFOLD_BENCH_ROWS").map_or(1_000_000, |n| n.parse().unwrap());
    let mut group = c.benchmark_group("flat");
    group.sampling_mode(SamplingMode::Flat);
    group.sample_size(10);
    let sizes = [ROWS, 1_000_000, 2_000_000, 10_000_000];
    for n in sizes.into_iter().filter(|n| *n <= most) {
        let all = rows(n);
        group.throughput(Throughput::Elements(n as u64));
        let numbers = args(&all, Target::regression("amount"), true);
        group.bench_function(BenchmarkId::new("linear", n), |b| {
            b.iter(|| {
                LinearRegression::default()
                    .train(black_box(&numbers))
                    .unwrap()
            });
        });
        let scaled = args(&all, generous(), true);
        group.bench_function(BenchmarkId::new("logistic", n), |b| {
            b.iter(|| {
                LogisticRegression::default()
                    .train(black_box(&scaled))
                    .unwrap()
            });
        });
        if n <= 2_000_000 {
            let classes = args(&all, generous(), false);
            group.bench_function(BenchmarkId::new("boosting", n), |b| {
                b.iter(|| {
                    GradientBoosting::default()
                        .train(black_box(&classes))
                        .unwrap()
                });
            });
        }
    }
    group.finish();
}

/// 100 trees of 31 leaves, and features of the rows.
fn boosted() -> (ForestModel, Arc<FittedTransform>, RecordBatch) {
    let rows = rows(ROWS);
    let trained = GradientBoosting::default()
        .train(&args(&rows, generous(), false))
        .unwrap();
    (trained.into_model(), transform(&rows, false), rows)
}

fn predict(c: &mut Criterion) {
    let (model, transform, rows) = boosted();
    let features = |n: usize| -> Vec<Features> {
        let of = |start| {
            transform
                .apply_as(&rows.slice(start, n), Takes::CODES)
                .unwrap()
        };
        (0..ROWS).step_by(n.max(ROWS / 1_000)).map(of).collect()
    };
    let mut group = c.benchmark_group("predict");
    let (ones, all) = (features(1), features(ROWS));
    let mut next = ones.iter().cycle();
    group.throughput(Throughput::Elements(1));
    group.bench_function("one row, 100 trees", |b| {
        b.iter(|| model.predict(black_box(next.next().unwrap())).unwrap());
    });
    group.bench_function("contributions of one row, 100 trees", |b| {
        b.iter(|| model.contributions(black_box(&ones[7])).unwrap());
    });
    group.throughput(Throughput::Elements(ROWS as u64));
    group.sample_size(10);
    group.bench_function("100,000 rows, 100 trees", |b| {
        b.iter(|| model.predict(black_box(&all[0])).unwrap());
    });
    group.finish();
}

/// Trees of 31 leaves over 20 numbers, in the JSON of the older format.
fn trees(n: usize) -> serde_json::Value {
    let tree = |number: usize| {
        let features = (0..61).map(|at| match at {
            0..30 => ((at * 7 + number) % 20) as i64,
            _ => -1,
        });
        let threshold = |at: usize| ((at * 31 + number * 17) % 1_000) as f32 / 7.0;
        let output = |at: usize| ((at * 13 + number) % 997) as f64 / 3.0;
        serde_json::json!({
            "features": features.collect::<Vec<i64>>(),
            "thresholds": (0..30).map(threshold).collect::<Vec<f32>>(),
            "children": (0..30).map(|at| [2 * at + 1, 2 * at + 2]).collect::<Vec<_>>(),
            "outputs": (30..61).map(output).collect::<Vec<f64>>(),
        })
    };
    let combine = Combine::Sum {
        base: vec![0.0],
        link: Link::Logistic,
    };
    serde_json::json!({
        "n_features": 20,
        "n_outputs": 1,
        "combine": combine,
        "trees": (0..n).map(tree).collect::<Vec<_>>(),
    })
}

fn load(c: &mut Criterion) {
    const TREES: usize = 2_000;
    let loaders = Loaders::default();
    let (compact, json) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fourfold::model::save_json(json.path(), "forest.json", &trees(TREES)).unwrap();
    let model = ForestModel::load(json.path(), &loaders).unwrap();
    model.save(compact.path()).unwrap();
    let mut group = c.benchmark_group("load");
    group.throughput(Throughput::Elements(TREES as u64));
    group.sample_size(20);
    group.bench_function("2,000 trees, compact", |b| {
        b.iter(|| ForestModel::load(black_box(compact.path()), &loaders).unwrap());
    });
    group.bench_function("2,000 trees, JSON", |b| {
        b.iter(|| ForestModel::load(black_box(json.path()), &loaders).unwrap());
    });
    group.finish();
}

criterion_group!(benches, train, flat, predict, load);
criterion_main!(benches);
