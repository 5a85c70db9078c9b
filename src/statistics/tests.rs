//! Compact statistics: small, and as good to compare with.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};

use super::distance::{Categories, Distance};
use super::{Statistics, StatisticsAccumulator};
use crate::accumulate::Accumulate;
use crate::error::ErrorKind;

/// 50,000 rows of a float, a whole number, a key and a string, whose distribution moves with `shift`.
fn statistics(shift: f64) -> Statistics {
    let n = 50_000_u32;
    let spread = |i: u32| f64::from(i.wrapping_mul(2_654_435_761) >> 8) / f64::from(1_u32 << 24);
    let real = (0..n).map(|i| match i % 1_000 {
        0 => None,
        1 => Some(f64::INFINITY),
        2 => Some(f64::NAN),
        _ => Some(spread(i).powi(2) * 100.0 + shift),
    });
    let whole = (0..n).map(|i| (spread(i) * 20.0 + shift) as i64);
    let text = (0..n).map(|i| format!("{:03}", (spread(i).powi(3) * (300.0 + shift)) as u32));
    let columns: [(&str, ArrayRef); 4] = [
        ("real", Arc::new(Float64Array::from_iter(real))),
        ("whole", Arc::new(Int64Array::from_iter_values(whole))),
        (
            "key",
            Arc::new(Int64Array::from_iter_values((0..n).map(i64::from))),
        ),
        ("text", Arc::new(StringArray::from_iter_values(text))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut accumulator = StatisticsAccumulator::new(&batch.schema());
    accumulator.update(&batch).unwrap();
    accumulator.finish()
}

#[test]
fn distances_are_those_of_the_whole_statistics() {
    let (before, now) = (statistics(0.0), statistics(5.0));
    let compact = before.compact(["real", "whole", "text"]);
    let loaded = Statistics::from_json(&compact.to_json().unwrap()).unwrap();
    assert_eq!(loaded, compact);
    let size = compact.to_json().unwrap().len();
    assert!(size < 60_000, "{size} bytes");
    for column in ["real", "whole"] {
        for distance in [
            Distance::JensenShannonDivergence,
            Distance::PopulationStabilityIndex,
            Distance::KolmogorovSmirnov,
        ] {
            let whole = distance.of_numbers(&now, &before, column).unwrap();
            assert!(whole > 0.01, "{column}: {distance} {whole}");
            for before in [&compact, &loaded] {
                let found = distance.of_numbers(&now, before, column).unwrap();
                assert!(
                    (found - whole).abs() < 0.01,
                    "{column}: {distance} {found}, not {whole}"
                );
            }
            let same = distance.of_numbers(&before, &loaded, column).unwrap();
            assert!(same < 0.002, "{column}: {distance} {same} to itself");
        }
    }
    let categories = |statistics: &Statistics| Categories::of(statistics.column("text").unwrap());
    let distance = Distance::JensenShannonDivergence;
    let whole = distance.of_categories(&categories(&now), &categories(&before));
    let found = distance.of_categories(&categories(&now), &categories(&loaded));
    assert_eq!(found.unwrap(), whole.unwrap());
}

#[test]
fn only_the_wanted_columns_are_kept_and_they_do_not_merge() {
    let compact = statistics(0.0).compact(["whole", "text", "no such column"]);
    let names: Vec<&str> = compact
        .columns
        .iter()
        .map(|column| column.name.as_str())
        .collect();
    assert_eq!(names, ["whole", "text"]);
    assert_eq!(compact.merge(&compact).unwrap_err().kind(), ErrorKind::Data);
}

#[test]
fn long_texts_are_cut_off_the_list_and_make_no_difference() {
    let n = 60_usize;
    let texts = (0..n * 20).map(|i| format!("{:02}{}", i % n, "x".repeat(3_000)));
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values(texts));
    let batch = RecordBatch::try_from_iter([("text", texts)]).unwrap();
    let mut accumulator = StatisticsAccumulator::new(&batch.schema());
    accumulator.update(&batch).unwrap();
    let whole = accumulator.finish();
    let compact = whole.compact(["text"]);
    assert!(compact.to_json().unwrap().len() < 100_000);
    let of = |statistics: &Statistics| Categories::of(statistics.column("text").unwrap());
    let found = Distance::InfinityNorm
        .of_categories(&of(&whole), &of(&compact))
        .unwrap();
    assert!(found < 1e-9, "{found}");
}

#[test]
fn damaged_samples_are_refused() {
    let json = statistics(0.0).compact(["whole"]).to_json().unwrap();
    let mut document: serde_json::Value = serde_json::from_str(&json).unwrap();
    for damaged in ["", "AAAA", "no base64", "AAAAAAAA+H8="] {
        document["sketches"]["whole"] = damaged.into();
        let read = Statistics::from_json(&document.to_string());
        if damaged.is_empty() {
            read.unwrap();
        } else {
            assert_eq!(read.unwrap_err().kind(), ErrorKind::Corrupt, "{damaged}");
        }
    }
}
