//! What several tests need.

use std::sync::Arc;

use fourfold::arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};

/// `n` rows: `id`, two columns that tell the label and one that does not, in one batch. No randomness.
pub(crate) fn parcels(n: usize) -> RecordBatch {
    let noise = |i: usize, m: usize| ((i * 7_919 + 13) % 1_009) % m;
    let kilograms: Vec<f64> = (0..n).map(|i| noise(i, 100) as f64).collect();
    let road: Vec<&str> = (0..n).map(|i| if noise(i, 3) == 0 { "air" } else { "road" }).collect();
    let late: Vec<&str> = (0..n)
        .map(|i| {
            let late = kilograms[i] > 60.0 && road[i] == "road";
            if late != (noise(i, 17) == 0) { "yes" } else { "no" }
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
