//! Differences between the answers of a candidate and those of the model that is serving.

use std::collections::BTreeMap;

use arrow::array::{Array, RecordBatch};
use arrow::util::display::array_value_to_string;
use serde::{Deserialize, Serialize};

use super::Predictions;
use crate::error::{Result, shortened};
use crate::examples::Examples;
use crate::metrics::{Evaluation, MetricValue};

/// The number of rows that are shown.
const SHOWN: usize = 10;

/// The differences of a candidate's answers from those of the serving model: their share, and the largest changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Differences {
    /// For classes: the share of rows whose answered class differs, with its interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flip_rate: Option<MetricValue>,
    /// The mean of the largest change of an output, in a row.
    pub mean_change: f64,
    /// The rows with the largest changes, at most ten, from the largest down; of equal ones the first.
    pub largest: Vec<ChangedRow>,
}

/// A row with both answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ChangedRow {
    /// The raw values as text, of at most 64 characters each; none for NULL.
    pub row: BTreeMap<String, Option<String>>,
    /// The outputs of the serving model: the value, the probability of the positive class, or each class's.
    pub baseline: Vec<f64>,
    /// The outputs of the candidate.
    pub candidate: Vec<f64>,
    /// The largest change of an output.
    pub change: f64,
}

struct Place {
    change: f64,
    batch: usize,
    row: usize,
}

impl Differences {
    /// `None` without a baseline.
    pub(super) fn of(
        predictions: &Predictions,
        rows: &Examples,
        changes: &Evaluation,
    ) -> Result<Option<Self>> {
        let (mut sum, mut n) = (0.0, 0.0);
        let mut largest: Vec<Place> = Vec::new();
        for (batch, scored) in predictions.scored().enumerate() {
            let scored = scored?;
            let Some(baseline) = scored.baseline else {
                return Ok(None);
            };
            let both = scored.candidate.rows().into_iter().zip(baseline.rows());
            for (row, (ours, theirs)) in both.enumerate() {
                let changes = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs());
                let change = changes.fold(0.0, f64::max);
                sum += change;
                n += 1.0;
                let full = largest.len() == SHOWN;
                if change > 0.0
                    && (!full || largest.last().is_some_and(|last| change > last.change))
                {
                    let place = largest.partition_point(|other| other.change >= change);
                    largest.insert(place, Place { change, batch, row });
                    largest.truncate(SHOWN);
                }
            }
        }
        if n == 0.0 {
            return Ok(None);
        }
        let mut shown: Vec<Option<ChangedRow>> = largest.iter().map(|_| None).collect();
        for (batch, rows) in predictions.rows(rows).enumerate() {
            let wanted = largest.iter().zip(&mut shown);
            let mut wanted = wanted.filter(|(place, _)| place.batch == batch).peekable();
            if wanted.peek().is_none() {
                rows?;
                continue;
            }
            let rows = rows?;
            let (ours, theirs) = (rows.candidate()?, rows.baseline()?);
            for (place, shown) in wanted {
                *shown = Some(ChangedRow {
                    row: values(rows.raw(), place.row)?,
                    baseline: theirs.map_or_else(Vec::new, |all| all.row(place.row).to_vec()),
                    candidate: ours.row(place.row).to_vec(),
                    change: place.change,
                });
            }
        }
        Ok(Some(Differences {
            flip_rate: changes.overall.get("flip_rate").copied(),
            mean_change: sum / n,
            largest: shown.into_iter().flatten().collect(),
        }))
    }
}

pub(super) fn values(rows: &RecordBatch, row: usize) -> Result<BTreeMap<String, Option<String>>> {
    let schema = rows.schema();
    let columns = schema.fields().iter().zip(rows.columns());
    columns
        .filter(|(field, _)| !field.name().starts_with("fourfold:"))
        .map(|(field, column)| {
            let value = match column.is_null(row) {
                true => None,
                false => Some(shortened(&array_value_to_string(column, row)?).into_owned()),
            };
            Ok((field.name().clone(), value))
        })
        .collect()
}
