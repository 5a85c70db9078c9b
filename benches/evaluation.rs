//! What an evaluation costs: `cargo bench -p fourfold-benches --bench evaluation`.
//!
//! Measured, in CPU seconds of the process: 1 million predictions of two classes in memory, 33 slices, all metrics with their
//! intervals (area under the curve, log loss, calibration, confusion and the rest); beside it, reading the predictions and
//! one sort of their probabilities. No model is asked: the predictions are columns. `peers/evaluation.py` measures the same
//! with scikit-learn and pandas and 20 bootstraps. Arguments: the number of rows, 1,000,000 by default. No seed, the rows are
//! a fixed pattern.

#![allow(missing_docs, reason = "a program")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]
#![allow(clippy::print_stdout, reason = "a bench tells what it measured")]

use std::hint::black_box;
use std::sync::Arc;

use fourfold::accumulate::Accumulate;
use fourfold::arrow::array::{
    ArrayRef, DictionaryArray, FixedSizeListArray, Float64Array, Int32Array, RecordBatch,
    StringArray,
};
use fourfold::arrow::datatypes::{DataType, Field, Int32Type};
use fourfold::metrics::{Catalogue, Evaluator, SliceBy};
use fourfold::model::Target;

const BATCH: usize = 1 << 17;

/// User and system seconds of this process so far.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after = stat.rsplit(')').next().unwrap();
    let fields: Vec<&str> = after.split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / 100.0
}

/// Above 0 and below 1.
fn uniform(i: usize, salt: u64) -> f64 {
    let mut z =
        (i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ salt.wrapping_mul(0xD1B5_4A32_D192_ED03);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

fn batch(start: usize, n: usize) -> RecordBatch {
    let rows = || start..start + n;
    let p: Vec<f64> = rows()
        .map(|i| 0.02 + 0.96 * uniform(i, 1).powi(2))
        .collect();
    let labels = rows()
        .zip(&p)
        .map(|(i, p)| f64::from(u8::from(uniform(i, 2) < *p)));
    let item = Arc::new(Field::new("item", DataType::Float64, false));
    let lists = FixedSizeListArray::try_new(item, 1, Arc::new(Float64Array::from(p.clone())), None);
    let names: Vec<String> = (0..33).map(|at| format!("s{at}")).collect();
    let codes = Int32Array::from_iter_values(rows().map(|i| (uniform(i, 3) * 33.0) as i32));
    let keys = DictionaryArray::<Int32Type>::try_new(codes, Arc::new(StringArray::from(names)));
    let columns: [(&str, ArrayRef); 3] = [
        ("label", Arc::new(Float64Array::from_iter_values(labels))),
        ("candidate", Arc::new(lists.unwrap())),
        ("slice_0", Arc::new(keys.unwrap())),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn main() {
    // `cargo bench` gives `--bench`.
    let n = std::env::args()
        .filter_map(|argument| argument.parse().ok())
        .next();
    let n: usize = n.unwrap_or(1_000_000);
    let batches: Vec<RecordBatch> = (0..n)
        .step_by(BATCH)
        .map(|start| batch(start, BATCH.min(n - start)))
        .collect();
    let target = Arc::new(Target::classification("late", ["no", "yes"]).unwrap());
    let by = vec![SliceBy::from("carrier")];
    for _ in 0..3 {
        let started = cpu();
        let mut sorted: Vec<f64> = Vec::with_capacity(n);
        for batch in &batches {
            let lists = batch
                .column(1)
                .as_any()
                .downcast_ref::<FixedSizeListArray>()
                .unwrap();
            let values = lists
                .values()
                .as_any()
                .downcast_ref::<Float64Array>()
                .unwrap();
            sorted.extend(values.values());
        }
        sorted.sort_unstable_by(f64::total_cmp);
        black_box(&sorted);
        let plain = cpu() - started;
        let started = cpu();
        let prototype = Evaluator::new(
            Arc::clone(&target),
            Catalogue::new(),
            Vec::new(),
            by.clone(),
        );
        let mut evaluator = prototype.clone();
        for batch in &batches {
            let mut part = prototype.clone();
            part.update(batch).unwrap();
            evaluator.merge(part).unwrap();
        }
        let counted = cpu() - started;
        let found = evaluator.finish().unwrap();
        let all = cpu() - started;
        assert_eq!(found.slices.len(), 33);
        let held = |metrics: &fourfold::metrics::Metrics| {
            metrics
                .iter()
                .all(|(name, value)| name == "example_count" || value.lower.is_some())
        };
        assert!(held(&found.overall) && found.slices.iter().all(|slice| held(&slice.metrics)));
        println!(
            "{n} rows, 33 slices: {all:.2} CPU s, {counted:.2} of it counting; reading and one sort {plain:.2} CPU s; auc {:.6}",
            found.metric("auc").unwrap()
        );
    }
}
