//! Cross products of features and label: all that least squares needs of the rows, in parts that merge.

use std::ops::Range;

use super::design::{Design, add_entries};
use crate::columns::Column;
use crate::parallel;
use crate::sketches::comoments;

/// Rows that are packed at once.
const BLOCK: usize = 512;
/// Bytes that the parts may take together before there are fewer of them.
const PARTS_BYTES: usize = 256 << 20;

/// Weighted means and centred cross products of expanded features and, in the last place, of the label.
#[derive(Clone, Debug, PartialEq)]
pub struct Gram {
    /// The sum of the rows' weights.
    pub weight: f64,
    /// `(width + 1)`.
    pub means: Vec<f64>,
    /// `(width + 1, width + 1)`: `sum(weight * (a - mean(a)) * (b - mean(b)))`.
    pub products: Vec<f64>,
}

impl Gram {
    /// The sums of no rows.
    #[must_use]
    pub fn empty(width: usize) -> Self {
        Gram {
            weight: 0.0,
            means: vec![0.0; width + 1],
            products: vec![0.0; (width + 1) * (width + 1)],
        }
    }

    /// The number of expanded features.
    #[must_use]
    pub fn width(&self) -> usize {
        self.means.len() - 1
    }

    /// The sums of rows, on any number of threads with the same result. Numbers, labels and weights are finite.
    #[must_use]
    pub fn of(
        design: &Design<'_>,
        labels: &[f64],
        weights: Option<&[f64]>,
        threads: usize,
    ) -> Self {
        let width = design.width();
        let most = (PARTS_BYTES / (8 * (width + 1) * (width + 1))).clamp(1, 16);
        let parts = parallel::parts(design.n_rows(), 16_384, most);
        let mut whole = Gram::empty(width);
        for part in parallel::map(&parts, threads, |rows| {
            let mut sums = GramSums::new(design);
            sums.add(design, labels, weights, rows.clone());
            sums.finish()
        }) {
            whole.merge(&part);
        }
        whole
    }

    /// Takes in what other rows have given (Chan, Golub and LeVeque, 1979).
    ///
    /// # Panics
    /// If the other is of another width.
    pub fn merge(&mut self, other: &Gram) {
        assert_eq!(self.means.len(), other.means.len(), "other features");
        if other.weight == 0.0 {
            return;
        }
        if self.weight == 0.0 {
            self.clone_from(other);
            return;
        }
        let width = self.means.len();
        let rows = self.products.chunks_exact_mut(width);
        let rows = rows.zip(other.products.chunks_exact(width));
        let weights = (self.weight, other.weight);
        comoments::merge(weights, &mut self.means, &other.means, rows);
        self.weight += other.weight;
    }
}

/// A [`Gram`] in the making, of rows that come bit by bit.
///
/// Sums of dense columns (and the label, the last of them) are around a shift; entries of codes and sparse rows are
/// apart, so that a row costs the pairs of its own entries only.
#[derive(Clone, Debug)]
pub struct GramSums {
    /// The expanded features that the dense columns are; the label comes after all features.
    dense_places: Vec<usize>,
    sparse_places: Vec<usize>,
    shifts: Option<Vec<f64>>,
    weight: f64,
    dense: Vec<f64>,
    sparse: Vec<f64>,
    /// `(n_dense, n_dense)`, where the first is not after the second.
    dense_dense: Vec<f64>,
    /// `(n_sparse, n_dense)`.
    sparse_dense: Vec<f64>,
    /// `(n_sparse, n_sparse)`, where the first is not after the second.
    sparse_sparse: Vec<f64>,
}

impl GramSums {
    /// The sums of no rows, for the columns of a design.
    #[must_use]
    pub fn new(design: &Design<'_>) -> Self {
        let (mut dense_places, mut sparse_places) = (Vec::new(), Vec::new());
        for (column, first) in design.placed() {
            match column {
                Column::Numbers(_) => dense_places.push(first),
                _ => sparse_places.extend(first..first + column.width()),
            }
        }
        dense_places.push(design.width());
        let (n_dense, n_sparse) = (dense_places.len(), sparse_places.len());
        GramSums {
            dense_places,
            sparse_places,
            shifts: None,
            weight: 0.0,
            dense: vec![0.0; n_dense],
            sparse: vec![0.0; n_sparse],
            dense_dense: vec![0.0; n_dense * n_dense],
            sparse_dense: vec![0.0; n_sparse * n_dense],
            sparse_sparse: vec![0.0; n_sparse * n_sparse],
        }
    }

    /// Takes in some rows of a design of the same columns.
    pub fn add(
        &mut self,
        design: &Design<'_>,
        labels: &[f64],
        weights: Option<&[f64]>,
        rows: Range<usize>,
    ) {
        if rows.is_empty() {
            return;
        }
        let (n_dense, n_sparse) = (self.dense_places.len(), self.sparse_places.len());
        let numbers = design.columns().iter().filter_map(|column| match column {
            Column::Numbers(values) => Some(*values),
            _ => None,
        });
        let numbers: Vec<&[f32]> = numbers.collect();
        let shifts = self.shifts.take().unwrap_or_else(|| {
            let first = numbers.iter().map(|values| f64::from(values[rows.start]));
            first.chain([labels[rows.start]]).collect()
        });
        let mut by_row = vec![0.0; BLOCK * n_dense];
        let mut by_column = vec![0.0; BLOCK * n_dense];
        let mut weighted = vec![0.0; BLOCK * n_dense];
        let mut entries = Vec::new();
        for start in rows.clone().step_by(BLOCK) {
            let block = start..(start + BLOCK).min(rows.end);
            let n = block.len();
            for (at, shift) in shifts.iter().enumerate() {
                let column = &mut by_column[at * BLOCK..at * BLOCK + n];
                match numbers.get(at) {
                    Some(values) => {
                        for (to, value) in column.iter_mut().zip(&values[block.clone()]) {
                            *to = f64::from(*value) - shift;
                        }
                    }
                    None => {
                        for (to, label) in column.iter_mut().zip(&labels[block.clone()]) {
                            *to = label - shift;
                        }
                    }
                }
                let scaled = &mut weighted[at * BLOCK..at * BLOCK + n];
                match weights {
                    None => scaled.copy_from_slice(column),
                    Some(weights) => {
                        let pairs = column.iter().zip(&weights[block.clone()]);
                        for (to, (value, weight)) in scaled.iter_mut().zip(pairs) {
                            *to = value * weight;
                        }
                    }
                }
                for (row, value) in scaled.iter().enumerate() {
                    by_row[row * n_dense + at] = *value;
                }
                self.dense[at] += scaled.iter().sum::<f64>();
            }
            for a in 0..n_dense {
                let left = &weighted[a * BLOCK..a * BLOCK + n];
                for b in a..n_dense {
                    let right = &by_column[b * BLOCK..b * BLOCK + n];
                    self.dense_dense[a * n_dense + b] += dot(left, right);
                }
            }
            for (at, row) in block.enumerate() {
                let weight = weights.map_or(1.0, |weights| weights[row]);
                self.weight += weight;
                if n_sparse == 0 {
                    continue;
                }
                entries.clear();
                collect_entries(design, row, &mut entries);
                self.add_entries(&entries, weight, &by_row[at * n_dense..(at + 1) * n_dense]);
            }
        }
        self.shifts = Some(shifts);
    }

    fn add_entries(&mut self, entries: &[(usize, f64)], weight: f64, dense: &[f64]) {
        for (place, (id, value)) in entries.iter().enumerate() {
            self.sparse[*id] += weight * value;
            let n_dense = dense.len();
            let sums = &mut self.sparse_dense[id * n_dense..(id + 1) * n_dense];
            for (sum, dense) in sums.iter_mut().zip(dense) {
                *sum += value * dense;
            }
            let scaled = weight * value;
            let n_sparse = self.sparse_places.len();
            let sums = &mut self.sparse_sparse[id * n_sparse..(id + 1) * n_sparse];
            for (other, value) in &entries[place..] {
                sums[*other] += scaled * value;
            }
        }
    }

    /// The sums in the order of the expanded features, centred.
    #[must_use]
    pub fn finish(self) -> Gram {
        let (dense, sparse) = (&self.dense_places, &self.sparse_places);
        let (n_dense, n_sparse) = (dense.len(), sparse.len());
        let width = n_dense + n_sparse - 1;
        let mut gram = Gram::empty(width);
        let Some(shifts) = &self.shifts else {
            return gram;
        };
        if self.weight == 0.0 {
            return gram;
        }
        gram.weight = self.weight;
        // Means around the shifts; the shifts come last.
        for (place, sum) in dense.iter().zip(&self.dense) {
            gram.means[*place] = sum / self.weight;
        }
        for (place, sum) in sparse.iter().zip(&self.sparse) {
            gram.means[*place] = sum / self.weight;
        }
        let mut set = |a: usize, b: usize, sum: f64| {
            let centred = sum - self.weight * gram.means[a] * gram.means[b];
            gram.products[a * (width + 1) + b] = centred;
            gram.products[b * (width + 1) + a] = centred;
        };
        for (at, a) in dense.iter().enumerate() {
            for (other, b) in dense.iter().enumerate().skip(at) {
                set(*a, *b, self.dense_dense[at * n_dense + other]);
            }
        }
        for (at, a) in sparse.iter().enumerate() {
            for (other, b) in dense.iter().enumerate() {
                set(*a, *b, self.sparse_dense[at * n_dense + other]);
            }
            for (other, b) in sparse.iter().enumerate().skip(at) {
                set(*a, *b, self.sparse_sparse[at * n_sparse + other]);
            }
        }
        for (place, shift) in dense.iter().zip(shifts) {
            gram.means[*place] += shift;
        }
        gram
    }
}

/// The codes and sparse values of a row, ids ascending, numbered without the columns of numbers.
fn collect_entries(design: &Design<'_>, row: usize, entries: &mut Vec<(usize, f64)>) {
    let mut first = 0;
    for column in design.columns() {
        if !matches!(column, Column::Numbers(_)) {
            add_entries(column, row, first, entries);
            first += column.width();
        }
    }
}

#[inline(always)]
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (a, b) in a.iter().zip(b) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f64>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f64>()
}
