//! The rows that a candidate answers worst.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Predictions;
use super::differences::values;
use crate::error::Result;
use crate::examples::Examples;
use crate::metrics::row_losses;

/// The number of mistakes that are kept.
const KEPT: usize = 10;

/// A row that a candidate answers badly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Mistake {
    /// The raw values as text, of at most 64 characters each; none for NULL.
    pub row: BTreeMap<String, Option<String>>,
    /// The candidate's answer: the value, the probability of the positive class, or each class's.
    pub answer: Vec<f64>,
    /// The log loss of classes, the absolute error of values.
    pub loss: f64,
}

/// The rows with the largest losses, from the largest down; of equal ones the first.
pub(super) fn worst(predictions: &Predictions, rows: &Examples) -> Result<Vec<Mistake>> {
    // The loss, and the place: a batch and a row in it.
    let mut largest: Vec<(f64, usize, usize)> = Vec::new();
    for (batch, view) in predictions.scored().enumerate() {
        let losses = row_losses(predictions.target(), &view?);
        for (row, loss) in losses.into_iter().enumerate() {
            let full = largest.len() == KEPT;
            let is_large = !full || largest.last().is_some_and(|last| loss > last.0);
            if loss.is_finite() && loss > 0.0 && is_large {
                let place = largest.partition_point(|other| other.0 >= loss);
                largest.insert(place, (loss, batch, row));
                largest.truncate(KEPT);
            }
        }
    }
    let Some(last) = largest.iter().map(|(_, batch, _)| *batch).max() else {
        return Ok(Vec::new());
    };
    let mut found: Vec<Option<Mistake>> = largest.iter().map(|_| None).collect();
    for (batch, rows) in predictions.rows(rows).take(last + 1).enumerate() {
        let rows = rows?;
        let wanted = largest.iter().zip(&mut found);
        for ((loss, _, row), found) in wanted.filter(|((_, of, _), _)| *of == batch) {
            *found = Some(Mistake {
                row: values(rows.raw(), *row)?,
                answer: rows.candidate()?.row(*row).to_vec(),
                loss: *loss,
            });
        }
    }
    Ok(found.into_iter().flatten().collect())
}
