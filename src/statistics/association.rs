//! The mutual information of a column and the label, from the statistics of the column within each label.

use fourfold_kernels::sketches::number::number;
use fourfold_kernels::sketches::quantiles::Points;
use fourfold_kernels::sketches::{NumberSketch, TextSketch};

use super::column::{ColumnAccumulator, Values, key_text};
use super::groups::bucket_text;
use super::{Association, Lift};
use crate::field_type::FieldType;

/// The most values, by frequency, that are looked at each; the rest are one.
const MAX_VALUES: usize = 1_000;
/// Numbers with more distinct values than this are cut into buckets.
const FEW: usize = 32;
/// Buckets of equal share of the others.
const BUCKETS: usize = 10;
/// The most lifts of a label.
const MAX_LIFTS: usize = 20;

/// The number of rows of each pair of value and label.
struct Joint {
    /// The values by name; those without a name are NULL, NaN, or all other values together.
    values: Vec<Option<String>>,
    /// The numbers of rows by label, then by value.
    counts: Vec<Vec<f64>>,
}

/// The association of a column with the label, from the column's part of each label's rows.
pub(super) fn association(
    column: &ColumnAccumulator,
    by_label: &[(&str, &ColumnAccumulator)],
) -> Option<Association> {
    let joint = match &column.values {
        Values::Number(whole) => of_numbers(column, whole, by_label),
        Values::Text(whole) => of_texts(whole, by_label)?,
        Values::Other => return None,
    };
    let total: f64 = joint.counts.iter().flatten().sum();
    if total == 0.0 {
        return None;
    }
    let labels: Vec<f64> = joint
        .counts
        .iter()
        .map(|counts| counts.iter().sum())
        .collect();
    let values: Vec<f64> = (0..joint.values.len())
        .map(|value| {
            joint
                .counts
                .iter()
                .filter_map(|counts| counts.get(value))
                .sum()
        })
        .collect();
    let mut bits = 0.0;
    let mut lift = Vec::new();
    for ((label, counts), n_label) in by_label
        .iter()
        .map(|(name, _)| *name)
        .zip(&joint.counts)
        .zip(&labels)
    {
        let mut of_label: Vec<(f64, Lift)> = Vec::new();
        for ((value, n_value), n) in joint.values.iter().zip(&values).zip(counts) {
            let expected = n_label * n_value / total;
            if *n > 0.0 {
                bits += n / total * (n / expected).log2();
            }
            if let Some(value) = value
                && expected > 0.0
            {
                let lift = Lift {
                    label: label.to_owned(),
                    value: value.clone(),
                    lift: n / expected,
                    value_count: n_value.round() as u64,
                    both_count: n.round() as u64,
                };
                of_label.push(((n - expected).abs(), lift));
            }
        }
        of_label.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.value.cmp(&b.1.value)));
        of_label.truncate(MAX_LIFTS);
        of_label.sort_by(|a, b| {
            b.1.lift
                .total_cmp(&a.1.lift)
                .then_with(|| a.1.value.cmp(&b.1.value))
        });
        lift.extend(of_label.into_iter().map(|(_, lift)| lift));
    }
    Some(Association {
        mutual_information: bits.max(0.0),
        lift,
    })
}

fn of_texts(whole: &TextSketch, by_label: &[(&str, &ColumnAccumulator)]) -> Option<Joint> {
    let values: Vec<String> = whole
        .top(MAX_VALUES)?
        .0
        .into_iter()
        .map(|(value, _)| value)
        .collect();
    let counts = by_label.iter().map(|(_, column)| {
        let Values::Text(texts) = &column.values else {
            return Vec::new();
        };
        let top = texts.counts();
        let count = |value: &String| {
            top.and_then(|top| top.count(value.as_str()))
                .unwrap_or_default()
        };
        let mut counts: Vec<f64> = values.iter().map(|value| count(value) as f64).collect();
        let rest = column.count as f64 - counts.iter().sum::<f64>();
        counts.extend([rest.max(0.0), column.missing as f64]);
        counts
    });
    let counts = counts.collect();
    let names = values.into_iter().map(Some).chain([None, None]);
    Some(Joint {
        values: names.collect(),
        counts,
    })
}

fn of_numbers(
    column: &ColumnAccumulator,
    whole: &NumberSketch,
    by_label: &[(&str, &ColumnAccumulator)],
) -> Joint {
    let real = whole.is_real();
    let few = whole.top(FEW).filter(|(_, all)| *all).map(|(top, _)| {
        let mut keys: Vec<i64> = top.into_iter().map(|(key, _)| key).collect();
        keys.sort_unstable();
        keys.retain(|key| !number(*key, real).is_nan());
        keys
    });
    let (names, ends): (Vec<String>, Vec<f64>) = match few {
        // Each value is a bucket of its own: up to the next.
        Some(keys) => (
            keys.iter()
                .map(|key| key_text(column.field_type, *key))
                .collect(),
            keys.iter().skip(1).map(|key| number(*key, real)).collect(),
        ),
        None => {
            let ranks: Vec<f64> = (1..BUCKETS).map(|i| i as f64 / BUCKETS as f64).collect();
            let mut ends = whole.points().quantiles(&ranks);
            ends.dedup();
            let text = |end: f64| match column.field_type {
                FieldType::Date | FieldType::Timestamp => key_text(column.field_type, end as i64),
                _ => end.to_string(),
            };
            let names = (0..=ends.len()).map(|bucket| bucket_text(&ends, bucket, text));
            (names.collect(), ends)
        }
    };
    let counts = by_label.iter().map(|(_, column)| {
        let Values::Number(numbers) = &column.values else {
            return Vec::new();
        };
        let nan = numbers.moments().nan() as f64;
        let mut counts = between(&numbers.points(), &ends, column.count as f64 - nan);
        counts.truncate(names.len());
        counts.extend([nan, column.missing as f64]);
        counts
    });
    let counts = counts.collect();
    Joint {
        values: names.into_iter().map(Some).chain([None, None]).collect(),
        counts,
    }
}

/// The number of `n` values below the first boundary, between each two, and at or above the last.
fn between(points: &Points, boundaries: &[f64], n: f64) -> Vec<f64> {
    let total = points.total();
    if total == 0.0 {
        return vec![0.0; boundaries.len() + 1];
    }
    let mut before = 0.0;
    let below = boundaries
        .iter()
        .map(|end| points.below(*end))
        .chain([total]);
    below
        .map(|below| {
            let count = (below - before) * (n / total);
            before = below;
            count
        })
        .collect()
}
