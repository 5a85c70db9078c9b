//! Some of the rows.

use std::sync::Arc;

use arrow::array::UInt64Array;
use arrow::compute::take_record_batch;
use ndarray::Axis;

use super::{Columns, Data, Features, SparseColumn};
use crate::error::Result;

impl Features {
    /// The rows at these places, in this order, in the same form.
    ///
    /// # Errors
    /// If a place is past the last row.
    pub(crate) fn pick(&self, places: &[usize]) -> Result<Self> {
        if let Some(place) = places.iter().find(|place| **place >= self.n_rows) {
            return Err(crate::Error::internal(format!(
                "row {place} of {} rows of features",
                self.n_rows
            )));
        }
        let layout = Arc::clone(&self.layout);
        Ok(match &self.data {
            Data::Matrix { matrix, .. } => {
                Features::of_matrix(layout, matrix.select(Axis(0), places))
            }
            Data::Rows { rows, .. } => {
                let places = UInt64Array::from_iter_values(places.iter().map(|at| *at as u64));
                Features::of_rows(layout, take_record_batch(rows, &places)?)
            }
            Data::Columns { columns, .. } => {
                let columns = columns.pick(self.n_rows, places);
                Features::of_columns(layout, places.len(), columns)
            }
        })
    }
}

impl Columns {
    fn pick(&self, n_rows: usize, places: &[usize]) -> Self {
        Columns {
            numbers: each(&self.numbers, n_rows, places),
            codes: each(&self.codes, n_rows, places),
            sparse: self
                .sparse
                .iter()
                .map(|column| column.pick(places))
                .collect(),
        }
    }
}

/// The places of each column of several.
fn each<T: Copy>(columns: &[T], n_rows: usize, places: &[usize]) -> Vec<T> {
    let columns = columns.chunks_exact(n_rows.max(1));
    columns
        .flat_map(|column| places.iter().map(|place| column[*place]))
        .collect()
}

impl SparseColumn {
    fn pick(&self, places: &[usize]) -> Self {
        let mut picked = SparseColumn::new(places.len());
        for place in places {
            let row = self.offsets[*place]..self.offsets[place + 1];
            picked.ids.extend(&self.ids[row.clone()]);
            picked.values.extend(&self.values[row]);
            picked.offsets.push(picked.ids.len());
        }
        picked
    }
}
