//! Conversion of the columns of a transform into features.

use super::fitted::Written;
use super::numbers::NumbersView;
use super::value::{NO_CATEGORY, Sparse, Value};
use crate::error::{Error, Result};
use crate::features::{FeatureKind, FeaturesMut};

/// Some rows of a row-major matrix, all zeros, and the place of a feature in them.
pub(super) struct Cells<'a> {
    /// `n_rows * width` cells.
    pub(super) cells: &'a mut [f32],
    /// The number of features.
    pub(super) width: usize,
    /// The number of the first row, for errors.
    pub(super) first_row: usize,
    /// Whether a missing value is written as NaN; otherwise it is an error.
    pub(super) missing: bool,
}

impl Cells<'_> {
    /// Writes a column's features at `at ..`.
    ///
    /// The error names the row and what is wrong with its value; the caller adds the feature.
    pub(super) fn write(&mut self, value: &Value, at: usize) -> Result<()> {
        match value {
            Value::Categories { ids, .. } => {
                for (row, id) in self.cells.chunks_exact_mut(self.width).zip(ids.iter()) {
                    if *id != NO_CATEGORY {
                        row[at + *id as usize] = 1.0;
                    }
                }
                Ok(())
            }
            Value::Columns(columns) => columns
                .iter()
                .zip(at..)
                .try_for_each(|(column, at)| self.write_numbers(&column.view(), at)),
            Value::Sparse(sparse) => self.write_sparse(sparse, at),
            other => self.write_numbers(&other.numbers()?, at),
        }
    }

    fn write_numbers(&mut self, numbers: &NumbersView<'_>, at: usize) -> Result<()> {
        let rows = self.cells.chunks_exact_mut(self.width);
        let cells = rows.map(|row| &mut row[at]);
        narrow(numbers, cells, self.first_row, self.missing)
    }

    fn write_sparse(&mut self, sparse: &Sparse, at: usize) -> Result<()> {
        let rows = self.cells.chunks_exact_mut(self.width);
        for (number, row) in rows.enumerate() {
            for cell in sparse_row(sparse, number, self.first_row) {
                let (id, value) = cell?;
                row[at + id as usize] = value;
            }
        }
        Ok(())
    }
}

/// Writes the block's `n` values of a column of features into columns. Errors as those of [`Cells::write`].
pub(super) fn write_column(
    value: &Value,
    written: &Written,
    n: usize,
    missing: bool,
    features: &mut FeaturesMut,
) -> Result<()> {
    let (feature, first_row) = (written.feature, features.first_row());
    match (value, written.kind) {
        (Value::Columns(columns), FeatureKind::Number) => {
            for (column, feature) in columns.iter().zip(feature..) {
                let cells = features.numbers(feature, n);
                narrow_all(&column.view(), cells, first_row, missing)?;
            }
        }
        (value, FeatureKind::Number) => {
            let cells = features.numbers(feature, n);
            narrow_all(&value.numbers()?, cells, first_row, missing)?;
        }
        // `NO_CATEGORY` is the code of what is missing.
        (Value::Categories { ids, .. }, FeatureKind::Category) => {
            features.codes(feature, n).copy_from_slice(ids);
        }
        (Value::Categories { ids, .. }, FeatureKind::Sparse) => {
            for id in ids.iter() {
                let cell = (*id != NO_CATEGORY).then_some((*id, 1.0));
                features.push_sparse(feature, cell.into_iter());
            }
        }
        (Value::Sparse(sparse), FeatureKind::Sparse) => {
            for row in 0..n {
                let cells = sparse_row(sparse, row, first_row);
                let cells = cells.collect::<Result<Vec<_>>>()?;
                features.push_sparse(feature, cells.into_iter());
            }
        }
        _ => return Err(Error::internal("it is not of the kind that its step makes")),
    }
    Ok(())
}

/// As [`narrow`], into cells side by side.
fn narrow_all(
    numbers: &NumbersView<'_>,
    cells: &mut [f32],
    first_row: usize,
    missing: bool,
) -> Result<()> {
    let all_good = fourfold_kernels::narrow::narrow(numbers.values(), numbers.nulls(), cells);
    match all_good || missing {
        true => Ok(()),
        false => refuse(numbers, first_row),
    }
}

/// Writes numbers in single precision. Those that are missing or not finite are NaN if they may be, else errors.
fn narrow<'c>(
    numbers: &NumbersView<'_>,
    cells: impl Iterator<Item = &'c mut f32>,
    first_row: usize,
    missing: bool,
) -> Result<()> {
    if missing {
        for (row, (cell, value)) in cells.zip(numbers.values()).enumerate() {
            let narrow = *value as f32;
            *cell = match narrow.is_finite() && !numbers.is_null(row) {
                true => narrow,
                false => f32::NAN,
            };
        }
        return Ok(());
    }
    let mut all_good = numbers.null_count() == 0;
    for (cell, value) in cells.zip(numbers.values()) {
        let narrow = *value as f32;
        all_good &= narrow.is_finite();
        *cell = narrow;
    }
    match all_good {
        true => Ok(()),
        false => refuse(numbers, first_row),
    }
}

/// The error of the first number that is missing or not finite.
fn refuse(numbers: &NumbersView<'_>, first_row: usize) -> Result<()> {
    let bad = (0..numbers.len()).find(|row| {
        !numbers
            .get(*row)
            .is_some_and(|value| (value as f32).is_finite())
    });
    match bad {
        Some(row) if numbers.is_null(row) => Err(Error::data(format!(
            "is NULL in row {} and no step imputes it; add `.impute(..)`",
            first_row + row
        ))),
        Some(row) => Err(Error::data(format!(
            "is {} in row {}, must be a finite single-precision number; add `.impute(..)` or `.clip(..)`",
            numbers.values()[row],
            first_row + row
        ))),
        None => Ok(()),
    }
}

/// The features of a row that are not 0, with their values.
fn sparse_row(
    sparse: &Sparse,
    row: usize,
    first_row: usize,
) -> impl Iterator<Item = Result<(u32, f32)>> + '_ {
    let places = sparse.offsets[row]..sparse.offsets[row + 1];
    let known = places.filter(|place| sparse.ids[*place] != NO_CATEGORY);
    known.map(move |place| {
        let value = sparse.values.as_ref().map_or(1.0, |values| values[place]) as f32;
        match value.is_finite() {
            true => Ok((sparse.ids[place], value)),
            false => Err(Error::data(format!(
                "is {value} in row {}, must be a finite single-precision number",
                first_row + row
            ))),
        }
    })
}
