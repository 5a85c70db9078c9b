//! Columns as the factors of a linear model.

use std::ops::Range;

use super::Coefficients;
use crate::columns::Column;

/// Columns of as many rows, and where the weights of each begin.
#[derive(Clone, Debug)]
pub struct Design<'a> {
    columns: Vec<Column<'a>>,
    firsts: Vec<usize>,
    n_rows: usize,
    width: usize,
}

impl<'a> Design<'a> {
    /// Columns side by side. Numbers are finite; a missing category has the score 0.
    #[must_use]
    pub fn new(columns: Vec<Column<'a>>) -> Self {
        let mut width = 0;
        let firsts = columns
            .iter()
            .map(|column| {
                width += column.width();
                width - column.width()
            })
            .collect();
        Design {
            firsts,
            n_rows: columns.first().map_or(0, Column::n_rows),
            width,
            columns,
        }
    }

    /// Sets the number of rows for a design without columns.
    #[must_use]
    pub fn with_rows(mut self, n_rows: usize) -> Self {
        self.n_rows = n_rows;
        self
    }

    /// The columns.
    #[must_use]
    pub fn columns(&self) -> &[Column<'a>] {
        &self.columns
    }

    /// The columns, each with the place of its first expanded feature.
    pub(super) fn placed(&self) -> impl Iterator<Item = (&Column<'a>, usize)> {
        self.columns.iter().zip(self.firsts.iter().copied())
    }

    /// The number of rows.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// The number of expanded features.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// The scores `(n_rows, n_outputs)` of all rows.
    #[must_use]
    pub fn scores(&self, coefficients: &Coefficients) -> Vec<f64> {
        let n_outputs = coefficients.intercepts.len();
        let mut scores = Vec::with_capacity(self.n_rows * n_outputs);
        for _ in 0..self.n_rows {
            scores.extend_from_slice(&coefficients.intercepts);
        }
        self.add_scores(
            0..self.n_rows,
            &coefficients.weights,
            n_outputs,
            &mut scores,
        );
        scores
    }

    /// Adds `features . weights` to the scores `(rows, n_outputs)` of some rows; weights `(width, n_outputs)`.
    pub(super) fn add_scores(
        &self,
        rows: Range<usize>,
        weights: &[f64],
        n_outputs: usize,
        scores: &mut [f64],
    ) {
        for (column, first) in self.placed() {
            let weights = &weights[first * n_outputs..(first + column.width()) * n_outputs];
            match column {
                Column::Numbers(values) => {
                    let values = &values[rows.clone()];
                    if let [weight] = *weights {
                        for (score, value) in scores.iter_mut().zip(values) {
                            *score += weight * f64::from(*value);
                        }
                    } else {
                        for (scores, value) in scores.chunks_exact_mut(n_outputs).zip(values) {
                            add_times(scores, f64::from(*value), weights);
                        }
                    }
                }
                Column::Codes { codes, .. } => {
                    let codes = &codes[rows.clone()];
                    if n_outputs == 1 {
                        for (score, code) in scores.iter_mut().zip(codes) {
                            *score += weights.get(*code as usize).copied().unwrap_or(0.0);
                        }
                    } else {
                        for (scores, code) in scores.chunks_exact_mut(n_outputs).zip(codes) {
                            if let Some(weights) = of_id(weights, *code, n_outputs) {
                                add_times(scores, 1.0, weights);
                            }
                        }
                    }
                }
                Column::Sparse {
                    offsets,
                    ids,
                    values,
                    ..
                } => {
                    let bounds = offsets[rows.start..=rows.end].windows(2);
                    for (scores, bound) in scores.chunks_exact_mut(n_outputs).zip(bounds) {
                        let here = bound[0]..bound[1];
                        if n_outputs == 1 {
                            let mut sum = 0.0;
                            for (id, value) in ids[here.clone()].iter().zip(&values[here]) {
                                sum += weights[*id as usize] * f64::from(*value);
                            }
                            scores[0] += sum;
                        } else {
                            for (id, value) in ids[here.clone()].iter().zip(&values[here]) {
                                if let Some(weights) = of_id(weights, *id, n_outputs) {
                                    add_times(scores, f64::from(*value), weights);
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    /// Adds `features^T . residuals` of some rows to the gradient `(width, n_outputs)`.
    pub(super) fn add_gradient(
        &self,
        rows: Range<usize>,
        residuals: &[f64],
        n_outputs: usize,
        gradient: &mut [f64],
    ) {
        for (column, first) in self.placed() {
            let gradient = &mut gradient[first * n_outputs..(first + column.width()) * n_outputs];
            match column {
                Column::Numbers(values) => {
                    let values = &values[rows.clone()];
                    if let [sum] = gradient {
                        *sum += dot(residuals, values);
                    } else {
                        for (residuals, value) in residuals.chunks_exact(n_outputs).zip(values) {
                            add_times(gradient, f64::from(*value), residuals);
                        }
                    }
                }
                Column::Codes { codes, .. } => {
                    let codes = &codes[rows.clone()];
                    if n_outputs == 1 {
                        for (residual, code) in residuals.iter().zip(codes) {
                            if let Some(sum) = gradient.get_mut(*code as usize) {
                                *sum += residual;
                            }
                        }
                    } else {
                        for (residuals, code) in residuals.chunks_exact(n_outputs).zip(codes) {
                            if let Some(sums) = of_id_mut(gradient, *code, n_outputs) {
                                add_times(sums, 1.0, residuals);
                            }
                        }
                    }
                }
                Column::Sparse {
                    offsets,
                    ids,
                    values,
                    ..
                } => {
                    let bounds = offsets[rows.start..=rows.end].windows(2);
                    for (residuals, bound) in residuals.chunks_exact(n_outputs).zip(bounds) {
                        let here = bound[0]..bound[1];
                        if n_outputs == 1 {
                            for (id, value) in ids[here.clone()].iter().zip(&values[here]) {
                                gradient[*id as usize] += residuals[0] * f64::from(*value);
                            }
                        } else {
                            for (id, value) in ids[here.clone()].iter().zip(&values[here]) {
                                if let Some(sums) = of_id_mut(gradient, *id, n_outputs) {
                                    add_times(sums, f64::from(*value), residuals);
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn of_id(values: &[f64], id: u32, n_outputs: usize) -> Option<&[f64]> {
    let first = (id as usize).checked_mul(n_outputs)?;
    values.get(first..first.checked_add(n_outputs)?)
}

fn of_id_mut(values: &mut [f64], id: u32, n_outputs: usize) -> Option<&mut [f64]> {
    let first = (id as usize).checked_mul(n_outputs)?;
    values.get_mut(first..first.checked_add(n_outputs)?)
}

#[inline(always)]
fn add_times(to: &mut [f64], factor: f64, from: &[f64]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += factor * from;
    }
}

/// The dot product, in eight sums side by side, which the compiler turns into vectors.
#[inline(always)]
fn dot(residuals: &[f64], values: &[f32]) -> f64 {
    let mut sums = [0.0; 8];
    let (whole, rest) = residuals.as_chunks::<8>();
    let (whole_values, rest_values) = values.as_chunks::<8>();
    for (residuals, values) in whole.iter().zip(whole_values) {
        for lane in 0..8 {
            sums[lane] += residuals[lane] * f64::from(values[lane]);
        }
    }
    let tail: f64 = rest
        .iter()
        .zip(rest_values)
        .map(|(residual, value)| residual * f64::from(*value))
        .sum();
    sums.iter().sum::<f64>() + tail
}

/// The values of a column in a row that are not 0, with their places: the column's ids begin at `first`.
pub(super) fn add_entries(
    column: &Column<'_>,
    row: usize,
    first: usize,
    entries: &mut Vec<(usize, f64)>,
) {
    match column {
        Column::Numbers(values) => {
            if values[row] != 0.0 {
                entries.push((first, f64::from(values[row])));
            }
        }
        Column::Codes {
            codes,
            n_categories,
        } => {
            if codes[row] < *n_categories {
                entries.push((first + codes[row] as usize, 1.0));
            }
        }
        Column::Sparse {
            offsets,
            ids,
            values,
            ..
        } => {
            let here = offsets[row]..offsets[row + 1];
            let pairs = ids[here.clone()].iter().zip(&values[here]);
            entries.extend(pairs.map(|(id, value)| (first + *id as usize, f64::from(*value))));
        }
    }
}
