//! Features that are being made, block by block.

use std::sync::Arc;

use fourfold_kernels::columns::missing_codes;

use super::{Columns, Features, Layout, SparseColumn};

/// Columns of features that are being made. Blocks of rows come in order; within a block, features do.
#[derive(Debug)]
pub(crate) struct FeaturesMut {
    layout: Arc<Layout>,
    n_rows: usize,
    /// The first row of the next block.
    first_row: usize,
    columns: Columns,
}

impl FeaturesMut {
    pub(crate) fn new(layout: &Arc<Layout>, n_rows: usize) -> Self {
        let sparse = (0..layout.n_sparse).map(|_| SparseColumn::new(n_rows));
        FeaturesMut {
            n_rows,
            first_row: 0,
            columns: Columns {
                numbers: vec![0.0; layout.n_numbers * n_rows],
                codes: missing_codes(layout.n_codes * n_rows),
                sparse: sparse.collect(),
            },
            layout: Arc::clone(layout),
        }
    }

    /// The number of the first row of the block.
    pub(crate) fn first_row(&self) -> usize {
        self.first_row
    }

    /// The next block begins `n` rows later.
    pub(crate) fn advance(&mut self, n: usize) {
        self.first_row += n;
    }

    /// The block's cells of a feature of numbers.
    pub(crate) fn numbers(&mut self, feature: usize, n: usize) -> &mut [f32] {
        let start = self.layout.slots[feature] * self.n_rows + self.first_row;
        &mut self.columns.numbers[start..start + n]
    }

    /// The block's cells of a feature of categories.
    pub(crate) fn codes(&mut self, feature: usize, n: usize) -> &mut [u32] {
        let start = self.layout.slots[feature] * self.n_rows + self.first_row;
        &mut self.columns.codes[start..start + n]
    }

    /// Adds a row to a sparse feature; ids may come in any order, of the same id the last counts.
    pub(crate) fn push_sparse(&mut self, feature: usize, row: impl Iterator<Item = (u32, f32)>) {
        let column = &mut self.columns.sparse[self.layout.slots[feature]];
        let start = column.ids.len();
        for (id, value) in row {
            column.ids.push(id);
            column.values.push(value);
        }
        let ids = &column.ids[start..];
        if !ids.windows(2).all(|pair| pair[0] < pair[1]) {
            let values = column.values.split_off(start);
            let mut cells: Vec<(u32, f32)> = column.ids.drain(start..).zip(values).collect();
            cells.sort_by_key(|(id, _)| *id);
            for (id, value) in cells {
                match column.ids[start..].last() {
                    Some(last) if *last == id => {
                        column.values.pop();
                    }
                    _ => column.ids.push(id),
                }
                column.values.push(value);
            }
        }
        column.offsets.push(column.ids.len());
    }

    /// The features, when all blocks have come.
    pub(crate) fn finish(self) -> Features {
        Features::of_columns(self.layout, self.n_rows, self.columns)
    }
}
