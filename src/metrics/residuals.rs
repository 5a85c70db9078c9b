//! Errors of values by the size of the prediction.

use arrow::array::RecordBatch;

use super::estimate::Mean;
use super::scored::View;
use super::{MetricValue, ResidualDecile};
use crate::error::Result;

/// The errors in each tenth of the rows by the candidate's prediction, from the lowest. Rows of one prediction stay together,
/// so that there may be fewer than ten.
pub(crate) fn residuals(batches: &[RecordBatch]) -> Result<Vec<ResidualDecile>> {
    let mut rows: Vec<(f64, f64, f64)> = Vec::new();
    for batch in batches {
        let view = View::of(batch)?;
        let predicted = view.labels.iter().zip(view.candidate.column(0)).enumerate();
        rows.extend(predicted.map(|(at, (label, p))| (*p, label - p, view.weight(at))));
    }
    // The order of equal predictions, too, does not depend on that of the rows: sums have the same bits.
    rows.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let mut deciles = Vec::new();
    let mut start = 0;
    for tenth in 1..=10 {
        let mut end = (rows.len() * tenth / 10).max(start);
        while end > start && end < rows.len() && rows[end].0 == rows[end - 1].0 {
            end += 1;
        }
        let held = &rows[start..end];
        start = end;
        if held.is_empty() {
            continue;
        }
        let mean = |of: fn(&(f64, f64, f64)) -> f64| {
            let mut mean = Mean::default();
            held.iter().for_each(|row| mean.add(of(row), row.2));
            mean
        };
        let value = |mean: Mean| {
            let value = mean.point().with_support(held.len() as u64);
            value.unwrap_or(MetricValue::new(mean.mean(), held.len() as u64))
        };
        deciles.push(ResidualDecile {
            prediction: mean(|row| row.0).mean(),
            residual: value(mean(|row| row.1)),
            absolute: value(mean(|row| row.1.abs())),
        });
    }
    Ok(deciles)
}
