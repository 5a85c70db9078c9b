//! A matrix as columns: those that are mostly 0 become sparse rows.

use std::sync::{Mutex, PoisonError};

use super::design::Design;
use crate::columns::Column;
use crate::parallel;

/// The columns of a matrix, dense ones apart from those of at most a quarter of values other than 0, such as an
/// expanded one-hot's.
#[derive(Clone, Debug, Default)]
pub struct Compressed {
    n_rows: usize,
    numbers: Vec<Vec<f32>>,
    offsets: Vec<usize>,
    ids: Vec<u32>,
    values: Vec<f32>,
    order: Vec<usize>,
}

impl Compressed {
    /// A matrix `(n_rows, n_features)`, row by row.
    #[must_use]
    pub fn from_rows(rows: &[f32], n_features: usize, threads: usize) -> Self {
        if n_features == 0 {
            return Compressed::default();
        }
        let n_rows = rows.len() / n_features;
        let parts = parallel::parts(n_rows, 4_096, 64);
        let rows_of = |part: &std::ops::Range<usize>| {
            rows[part.start * n_features..part.end * n_features].chunks_exact(n_features)
        };
        let counts = parallel::map(&parts, threads, |part| {
            let mut counts = vec![0_usize; n_features];
            for row in rows_of(part) {
                for (count, value) in counts.iter_mut().zip(row) {
                    *count += usize::from(*value != 0.0);
                }
            }
            counts
        });
        let mut nonzero = vec![0; n_features];
        for part in counts {
            for (sum, count) in nonzero.iter_mut().zip(part) {
                *sum += count;
            }
        }
        let (sparse, dense): (Vec<usize>, Vec<usize>) =
            (0..n_features).partition(|feature| nonzero[*feature] <= n_rows / 4);

        let mut numbers: Vec<Vec<f32>> = dense.iter().map(|_| vec![0.0; n_rows]).collect();
        let mut rest: Vec<&mut [f32]> = numbers.iter_mut().map(Vec::as_mut_slice).collect();
        let mut jobs = Vec::with_capacity(parts.len());
        for part in parts {
            let (mine, others): (Vec<_>, Vec<_>) = rest
                .into_iter()
                .map(|column| column.split_at_mut(part.len()))
                .unzip();
            rest = others;
            jobs.push((part, Mutex::new(mine)));
        }
        let sparse_parts = parallel::map(&jobs, threads, |(part, columns)| {
            let mut columns = columns.lock().unwrap_or_else(PoisonError::into_inner);
            let mut lengths = Vec::with_capacity(part.len());
            let (mut ids, mut values) = (Vec::new(), Vec::new());
            for (at, row) in rows_of(part).enumerate() {
                for (column, feature) in columns.iter_mut().zip(&dense) {
                    column[at] = row[*feature];
                }
                let before = ids.len();
                for (id, feature) in sparse.iter().enumerate() {
                    if row[*feature] != 0.0 {
                        ids.push(id as u32);
                        values.push(row[*feature]);
                    }
                }
                lengths.push(ids.len() - before);
            }
            (lengths, ids, values)
        });
        drop(jobs);
        let mut whole = Compressed {
            n_rows,
            numbers,
            offsets: vec![0],
            order: dense.into_iter().chain(sparse).collect(),
            ..Compressed::default()
        };
        let mut end = 0;
        for (lengths, ids, values) in sparse_parts {
            for length in lengths {
                end += length;
                whole.offsets.push(end);
            }
            whole.ids.extend(ids);
            whole.values.extend(values);
        }
        whole
    }

    /// The feature of the matrix that each expanded feature of the design is.
    #[must_use]
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// The columns as factors.
    #[must_use]
    pub fn design(&self) -> Design<'_> {
        let mut columns: Vec<Column<'_>> = self
            .numbers
            .iter()
            .map(|column| Column::Numbers(column))
            .collect();
        let n_sparse = self.order.len() - self.numbers.len();
        if n_sparse > 0 {
            columns.push(Column::Sparse {
                offsets: &self.offsets,
                ids: &self.ids,
                values: &self.values,
                width: n_sparse as u32,
            });
        }
        Design::new(columns).with_rows(self.n_rows)
    }
}
