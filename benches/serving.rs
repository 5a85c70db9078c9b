//! What a served row costs in process: `cargo bench -p fourfold-benches --no-default-features --features http
//! --bench serving`.
//!
//! Measured, with the transform inside: raw Arrow rows to predictions of a logistic model and of a forest of 100 trees;
//! structs to structs; the features alone; and finding a model by its name. Corpus: nothing is read, the rows are a fixed pattern of 15
//! columns (8 numbers, 3 whole numbers, 4 texts; some NULL), which make 58 features by imputing, scaling, buckets,
//! circles and one-hot. Sizes: 1, 100 and 10,000 rows a call. The models are made here, saved as a repository holds
//! them, and served from there. Seed: none.

#![allow(
    missing_docs,
    reason = "criterion's macros make undocumented functions"
)]
#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fourfold::arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use fourfold::model::{Combine, ForestModel, LinearModel, Link, Loaders, Manifest, Model, Target};
use fourfold::model::{TreeModel, TreeNode, save_json};
use fourfold::ndarray::{Array1, Array2};
use fourfold::schema::{Domain, Field, FieldType, Schema};
use fourfold::serving::{Manager, ModelRepository};
use fourfold::transform::ops::{Buckets, Categories, Cyclic, ImputeNumber, Linear};
use fourfold::transform::{FittedOp, FittedStep, FittedTransform, InputColumn};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

const NUMBERS: [&str; 8] = [
    "distance",
    "fuel",
    "wind",
    "pressure",
    "visibility",
    "load",
    "taxi_out",
    "air_time",
];
const WHOLE: [(&str, i64); 3] = [("month", 12), ("hour", 24), ("seats", 400)];
const TEXTS: [(&str, &[&str]); 4] = [
    (
        "carrier",
        &[
            "UA", "B6", "EV", "DL", "AA", "MQ", "US", "9E", "WN", "VX", "FL", "AS", "F9", "YV",
        ],
    ),
    ("origin", &["EWR", "JFK", "LGA"]),
    (
        "dest",
        &[
            "ORD", "ATL", "LAX", "BOS", "MCO", "CLT", "SFO", "FLL", "MIA",
        ],
    ),
    (
        "aircraft",
        &["A319", "A320", "A321", "B737", "B757", "E190"],
    ),
];

fn pick(i: usize, m: usize) -> usize {
    (i * 7_919 + 13) % 1_009 % m
}

/// A number, in one of 13 rows NULL.
fn number(column: usize, row: usize) -> Option<f64> {
    ((row + column) % 13 != 12).then(|| pick(row + 31 * column, 997) as f64 * 0.37 - 50.0)
}

fn rows(n: usize) -> RecordBatch {
    let mut columns: Vec<(&str, ArrayRef)> = Vec::new();
    for (column, name) in NUMBERS.into_iter().enumerate() {
        let values: Float64Array = (0..n).map(|row| number(column, row)).collect();
        columns.push((name, Arc::new(values)));
    }
    for (name, below) in WHOLE {
        let values = (0..n).map(|row| pick(row, below as usize) as i64);
        columns.push((name, Arc::new(Int64Array::from_iter_values(values))));
    }
    for (name, texts) in TEXTS {
        let values = (0..n).map(|row| texts[pick(row, texts.len())]);
        columns.push((name, Arc::new(StringArray::from_iter_values(values))));
    }
    RecordBatch::try_from_iter(columns).unwrap()
}

/// The same row as a struct.
#[derive(Serialize)]
struct Flight {
    distance: Option<f64>,
    fuel: Option<f64>,
    wind: Option<f64>,
    pressure: Option<f64>,
    visibility: Option<f64>,
    load: Option<f64>,
    taxi_out: Option<f64>,
    air_time: Option<f64>,
    month: i64,
    hour: i64,
    seats: i64,
    carrier: &'static str,
    origin: &'static str,
    dest: &'static str,
    aircraft: &'static str,
}

#[derive(Deserialize)]
struct Late {
    class: String,
    probability: f64,
}

fn flights(n: usize) -> Vec<Flight> {
    let flight = |row: usize| {
        let [
            distance,
            fuel,
            wind,
            pressure,
            visibility,
            load,
            taxi_out,
            air_time,
        ] = std::array::from_fn(|column| number(column, row));
        let [month, hour, seats] = WHOLE.map(|(_, below)| pick(row, below as usize) as i64);
        let [carrier, origin, dest, aircraft] =
            TEXTS.map(|(_, texts)| texts[pick(row, texts.len())]);
        Flight {
            distance,
            fuel,
            wind,
            pressure,
            visibility,
            load,
            taxi_out,
            air_time,
            month,
            hour,
            seats,
            carrier,
            origin,
            dest,
            aircraft,
        }
    };
    (0..n).map(flight).collect()
}

fn schema() -> Schema {
    let numbers = NUMBERS.map(|name| Field::new(name, FieldType::Float));
    let whole = WHOLE.map(|(name, below)| {
        Field::new(name, FieldType::Integer)
            .required()
            .domain(Domain::Range {
                min: Some(0.0),
                max: Some(below as f64),
            })
    });
    let texts = TEXTS.map(|(name, _)| Field::new(name, FieldType::Text));
    Schema::new(numbers.into_iter().chain(whole).chain(texts))
}

fn transform() -> FittedTransform {
    fn step(column: &str, op: impl Into<FittedOp>) -> FittedStep {
        FittedStep::new(column, column, op)
    }
    let mut inputs = Vec::new();
    let mut steps = Vec::new();
    for name in NUMBERS {
        inputs.push(InputColumn::new(name, FieldType::Float));
        steps.push(step(name, ImputeNumber { value: 120.0 }));
        let (offset, scale) = (130.0, 0.01);
        steps.push(step(name, Linear { offset, scale }));
    }
    for (name, below) in WHOLE {
        inputs.push(InputColumn::new(name, FieldType::Integer));
        if name == "seats" {
            let boundaries: Vec<f64> = (1..12).map(|at| f64::from(at) * 30.0).collect();
            steps.push(step(name, Buckets { boundaries }));
            let values: Vec<String> = (0..12).map(|bucket| bucket.to_string()).collect();
            let values = values.into();
            steps.push(step(name, Categories { values }));
        } else {
            let period = below as f64;
            steps.push(step(name, Cyclic { period }));
        }
    }
    for (name, texts) in TEXTS {
        inputs.push(InputColumn::new(name, FieldType::Text));
        let values: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        let values = values.into();
        steps.push(step(name, Categories { values }));
    }
    FittedTransform::new(inputs, steps).unwrap()
}

fn logistic(n_features: usize) -> LinearModel {
    let weights = Array2::from_shape_fn((1, n_features), |(_, at)| (at as f64 - 20.0) / 40.0);
    LinearModel::new(Link::Logistic, &weights, &Array1::from_elem(1, -0.3)).unwrap()
}

/// 100 trees of 8 levels, as boosting makes them: each feature's thresholds lie within its values.
fn forest(n_features: usize) -> ForestModel {
    let tree = |number: usize| {
        const N_SPLITS: usize = (1 << 7) - 1;
        let nodes = (0..2 * N_SPLITS + 1).map(|at| {
            let random = pick(at + 131 * number, 1_009);
            if at < N_SPLITS {
                TreeNode::Split {
                    feature: random % n_features,
                    threshold: random as f32 / 600.0 - 0.8,
                    below: 2 * at + 1,
                    above: 2 * at + 2,
                }
            } else {
                let outputs = vec![random as f64 / 1_009.0 - 0.5];
                TreeNode::Leaf { outputs }
            }
        });
        TreeModel::new(n_features, 1, nodes.collect()).unwrap()
    };
    let trees: Vec<TreeModel> = (0..100).map(tree).collect();
    let (base, link) = (vec![-0.3], Link::Logistic);
    ForestModel::new(&trees, Combine::Sum { base, link }).unwrap()
}

/// Saves a model as a repository holds it.
fn save<M: Model>(repository: &Path, name: &str, model: &M) {
    let version = repository.join(name).join("1");
    fs::create_dir_all(version.join("model")).unwrap();
    let manifest = Manifest {
        format_version: Manifest::FORMAT_VERSION,
        name: name.to_owned(),
        model_format: M::FORMAT.to_owned(),
        target: Target::classification("late", ["no", "yes"]).unwrap(),
        label: None,
        details: BTreeMap::new(),
    };
    save_json(&version, "manifest.json", &manifest).unwrap();
    save_json(&version, "schema.json", &schema()).unwrap();
    save_json(&version, "transform.json", &transform()).unwrap();
    model.save(&version.join("model")).unwrap();
    let mut sums = String::new();
    let model = fs::read_dir(version.join("model")).unwrap();
    for file in fs::read_dir(&version).unwrap().chain(model) {
        let path = file.unwrap().path();
        if path.is_file() {
            let mut digest = String::new();
            for byte in Sha256::digest(fs::read(&path).unwrap()) {
                write!(digest, "{byte:02x}").unwrap();
            }
            let relative = path.strip_prefix(&version).unwrap().display();
            writeln!(sums, "{digest}  {relative}").unwrap();
        }
    }
    fs::write(version.join("SHA256SUMS"), sums).unwrap();
}

fn serving(c: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let n_features = transform().features().len();
    save(dir.path(), "logistic", &logistic(n_features));
    save(dir.path(), "forest", &forest(n_features));
    let manager = Manager::open(ModelRepository::at(dir.path()), Loaders::default()).unwrap();

    let mut group = c.benchmark_group("serving");
    for model in ["logistic", "forest"] {
        let predictor = manager.get(model, None).unwrap();
        for n in [1, 100, 10_000] {
            let batch = rows(n);
            group.throughput(Throughput::Elements(n as u64));
            group.bench_with_input(BenchmarkId::new(model, n), &batch, |b, batch| {
                b.iter(|| predictor.predict(black_box(batch)).unwrap());
            });
        }
    }
    let predictor = manager.get("logistic", None).unwrap();
    for n in [1, 100, 10_000] {
        let rows = flights(n);
        let arrow = predictor.predict(&self::rows(n)).unwrap();
        let typed: Vec<f64> = predictor.predict_rows(&rows).unwrap();
        assert!(arrow.outputs().iter().eq(&typed));
        group.throughput(Throughput::Elements(n as u64));
        group.bench_with_input(BenchmarkId::new("typed", n), &rows, |b, rows| {
            b.iter(|| {
                let late: Vec<Late> = predictor.predict_rows(black_box(rows)).unwrap();
                late.iter()
                    .map(|late| late.probability + late.class.len() as f64)
                    .sum::<f64>()
            });
        });
    }
    let flight = &flights(1)[0];
    group.throughput(Throughput::Elements(1));
    group.bench_function("typed_row", |b| {
        b.iter(|| -> Late { predictor.predict_row(black_box(flight)).unwrap() });
    });
    for n in [1, 100, 10_000] {
        let batch = rows(n);
        group.throughput(Throughput::Elements(n as u64));
        group.bench_with_input(BenchmarkId::new("features", n), &batch, |b, batch| {
            b.iter(|| predictor.servable().features(black_box(batch)).unwrap());
        });
    }
    group.throughput(Throughput::Elements(1));
    group.bench_function("manager_get", |b| {
        b.iter(|| manager.get(black_box("logistic"), None).unwrap());
    });
    group.finish();
}

criterion_group!(benches, serving);
criterion_main!(benches);
