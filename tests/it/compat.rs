//! What earlier versions have saved still loads, and means the same bits.
//!
//! The files below `tests/fixtures` are never made anew.

use std::sync::Arc;

use fourfold::arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use fourfold::ndarray::ArrayView1;
use fourfold::prelude::*;
use fourfold::transform::FittedTransform;
use serde_json::{Value, json};

const TRANSFORM: &str = include_str!("../fixtures/transform_v1/transform.json");
const CONFIGURED: &str = include_str!("../fixtures/transform_v1/configured.json");
const FEATURES: &str = include_str!("../fixtures/transform_v1/features.json");

/// The rows that the fixture was fitted on.
fn rows() -> RecordBatch {
    let n = 40_i64;
    let there = |i: i64, k: i64| i % k != 0;
    let texts = ["a", "b", "", "ü"];
    let real = (0..n).map(|i| there(i, 7).then_some(i as f64 * 1.25 - 3.0));
    let whole = (0..n).map(|i| there(i, 5).then_some(i % 4));
    let text = (0..n).map(|i| there(i, 6).then_some(texts[(i % 4) as usize]));
    let flag = (0..n).map(|i| there(i, 9).then_some(i % 3 == 0));
    let day = (0..n).map(|i| Some(15_000 + 17 * i as i32));
    let at = (0..n).map(|i| Some(1_372_599_000_000_000 + i * 5_000_000_000));
    let at = TimestampMicrosecondArray::from_iter(at).with_timezone("UTC");
    let columns: [(&str, ArrayRef); 6] = [
        ("real", Arc::new(Float64Array::from_iter(real))),
        ("whole", Arc::new(Int64Array::from_iter(whole))),
        ("text", Arc::new(StringArray::from_iter(text))),
        ("flag", Arc::new(BooleanArray::from_iter(flag))),
        ("day", Arc::new(Date32Array::from_iter(day))),
        ("at", Arc::new(at)),
    ];
    RecordBatch::try_from_iter_with_nullable(
        columns
            .into_iter()
            .map(|(name, column)| (name, column, true)),
    )
    .unwrap()
}

fn bits(transform: &FittedTransform) -> Vec<Vec<u32>> {
    let features = transform.apply(&rows()).unwrap();
    let row_bits = |row: ArrayView1<'_, f32>| row.iter().map(|value| value.to_bits()).collect();
    features.rows().into_iter().map(row_bits).collect()
}

#[test]
fn a_fitted_transform_of_version_0_1_makes_the_same_features() {
    let transform: FittedTransform = serde_json::from_str(TRANSFORM).unwrap();
    let expected: Vec<Vec<u32>> = serde_json::from_str(FEATURES).unwrap();
    assert_eq!(bits(&transform), expected);
    // It is also saved as it was.
    let saved: Value = serde_json::to_value(&transform).unwrap();
    assert_eq!(saved, serde_json::from_str::<Value>(TRANSFORM).unwrap());
}

/// What a configuration of version 0.1 is fitted to now: the same, but for the boundaries of quantile buckets, which
/// have equal shares since 0.2, and so for which of these buckets is the most frequent.
#[test]
fn a_configured_transform_of_version_0_1_is_fitted() {
    let configured: Transform = serde_json::from_str(CONFIGURED).unwrap();
    let text = serde_json::to_string_pretty(&configured).unwrap();
    assert_eq!(text, CONFIGURED);

    let fitted = serde_json::to_value(configured.fit(&[rows()]).unwrap()).unwrap();
    let mut expected: Value = serde_json::from_str(TRANSFORM).unwrap();
    let bucketize = &mut expected["steps"][2];
    assert_eq!(bucketize["op"], "bucketize");
    bucketize["boundaries"] = json!([12.0, 20.75, 33.25]);
    expected["steps"][3]["values"] = json!(["2", "0", "3", "1"]);
    for (place, bucket) in [(3, "bucket=0"), (4, "bucket=3")] {
        expected["features"][place] = json!(bucket);
    }
    assert_eq!(fitted, expected);
}
