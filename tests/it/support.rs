//! What several tests need.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fourfold::arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use fourfold::arrow::util::display::array_value_to_string;
use fourfold::data::{PreparedData, TRAIN};
use fourfold::engine::Engine;
use fourfold::features::Takes;
use fourfold::pipeline::dataset;
use fourfold::training::Dataset;
use fourfold::transform::FittedPlan;
use parquet::arrow::ArrowWriter;
use proptest::test_runner::{Config, RngSeed};

/// One month of the committed flights.
pub(crate) const JANUARY: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/examples/data/flights/2013-01.parquet"
);

/// `n` rows: `id`, two columns that tell the label and one that does not, in one batch. No randomness.
pub(crate) fn parcels(n: usize) -> RecordBatch {
    let noise = |i: usize, m: usize| ((i * 7_919 + 13) % 1_009) % m;
    let kilograms: Vec<f64> = (0..n).map(|i| noise(i, 100) as f64).collect();
    let road: Vec<&str> = (0..n)
        .map(|i| if noise(i, 3) == 0 { "air" } else { "road" })
        .collect();
    let late: Vec<&str> = (0..n)
        .map(|i| {
            let late = kilograms[i] > 60.0 && road[i] == "road";
            if late != (noise(i, 17) == 0) {
                "yes"
            } else {
                "no"
            }
        })
        .collect();
    let columns: [(&str, ArrayRef); 4] = [
        ("id", Arc::new(Int64Array::from_iter_values(0..n as i64))),
        ("kilograms", Arc::new(Float64Array::from(kilograms))),
        ("road", Arc::new(StringArray::from(road))),
        ("late", Arc::new(StringArray::from(late))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

/// What a trainer of matrices trains behind.
pub(crate) async fn fitted(data: &PreparedData) -> FittedPlan {
    data.fit(Takes::FINITE, &Engine::new().unwrap())
        .await
        .unwrap()
}

/// The `train` split as trainers of matrices get it; not from async tests.
pub(crate) fn train_set_of(data: &PreparedData) -> Dataset {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    dataset(data, TRAIN, &runtime.block_on(fitted(data))).unwrap()
}

/// Writes batches of one schema to a Parquet file.
pub(crate) fn write_parquet(path: &Path, batches: &[RecordBatch]) {
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batches[0].schema(), None).unwrap();
    batches
        .iter()
        .for_each(|batch| writer.write(batch).unwrap());
    writer.close().unwrap();
}

/// Writes a batch of plain values to a CSV file; NULL is an empty field.
pub(crate) fn write_csv(path: &Path, batch: &RecordBatch) {
    let schema = batch.schema();
    let names: Vec<&str> = schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    let mut text = names.join(",");
    for row in 0..batch.num_rows() {
        let values: Vec<String> = batch
            .columns()
            .iter()
            .map(|column| array_value_to_string(column, row).unwrap())
            .collect();
        write!(text, "\n{}", values.join(",")).unwrap();
    }
    std::fs::write(path, text + "\n").unwrap();
}

/// Every file and directory below a directory, sorted; none if it is not there.
pub(crate) fn tree(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Vec::new();
    };
    let mut found: Vec<PathBuf> = entries
        .flat_map(|entry| {
            let path = entry.unwrap().path();
            let below = if path.is_dir() {
                tree(&path)
            } else {
                Vec::new()
            };
            [path].into_iter().chain(below)
        })
        .collect();
    found.sort_unstable();
    found
}

/// So many cases of a property, the same in every run.
pub(crate) fn cases(n: u32) -> Config {
    Config {
        cases: n,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(2_013),
        ..Config::default()
    }
}
