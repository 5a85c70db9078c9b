//! From columns to the rows of a feature matrix.

use super::numbers::NumbersView;
use super::value::{NO_CATEGORY, Sparse, Value};
use crate::error::{Error, Result};

/// Some rows of a row-major matrix, all zeros, and the place of a feature in them.
pub(super) struct Cells<'a> {
    /// `n_rows * width` cells.
    pub(super) cells: &'a mut [f32],
    /// The number of features.
    pub(super) width: usize,
    /// The number of the first row, for errors.
    pub(super) first_row: usize,
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
        let mut all_good = numbers.null_count() == 0;
        for (row, value) in self
            .cells
            .chunks_exact_mut(self.width)
            .zip(numbers.values())
        {
            let narrow = *value as f32;
            all_good &= narrow.is_finite();
            row[at] = narrow;
        }
        if all_good {
            return Ok(());
        }
        let bad = (0..numbers.len()).find(|row| {
            !numbers
                .get(*row)
                .is_some_and(|value| (value as f32).is_finite())
        });
        match bad {
            Some(row) if numbers.is_null(row) => Err(Error::data(format!(
                "is NULL in row {} and no step imputes it; add `.impute(..)`",
                self.first_row + row
            ))),
            Some(row) => Err(Error::data(format!(
                "is {} in row {}, must be a finite single-precision number; add `.impute(..)` or `.clip(..)`",
                numbers.values()[row],
                self.first_row + row
            ))),
            None => Ok(()),
        }
    }

    fn write_sparse(&mut self, sparse: &Sparse, at: usize) -> Result<()> {
        let rows = self.cells.chunks_exact_mut(self.width);
        for (number, (row, ends)) in rows.zip(sparse.offsets.windows(2)).enumerate() {
            for place in ends[0]..ends[1] {
                let id = sparse.ids[place];
                if id == NO_CATEGORY {
                    continue;
                }
                let value = sparse.values.as_ref().map_or(1.0, |values| values[place]) as f32;
                if !value.is_finite() {
                    return Err(Error::data(format!(
                        "is {value} in row {}, must be a finite single-precision number",
                        self.first_row + number
                    )));
                }
                row[at + id as usize] = value;
            }
        }
        Ok(())
    }
}
