//! Means and co-moments of columns, in parts that merge.

use serde::{Deserialize, Serialize};

/// The means of some columns and their co-moments: for each pair of columns the sum, over the rows, of the product of
/// both distances from the mean. A column with itself gives `n` times its variance.
///
/// A column of one value has co-moments of exactly 0, in however many parts it comes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CoMoments {
    n: f64,
    means: Vec<f64>,
    /// Row by row the lower triangle, with the diagonal.
    products: Vec<f64>,
}

impl CoMoments {
    /// From numbers that were kept: the number of rows, the mean of each column, and the lower triangle of co-moments
    /// row by row, with the diagonal.
    #[must_use]
    pub fn new(n: f64, means: Vec<f64>, products: Vec<f64>) -> Self {
        CoMoments { n, means, products }
    }

    /// The co-moments of the rows in which every column is finite. Columns are of one length.
    #[must_use]
    pub fn of(columns: &[&[f64]]) -> Self {
        let n_rows = columns.first().map_or(0, |column| column.len());
        let mut complete = vec![true; n_rows];
        for column in columns {
            for (complete, x) in complete.iter_mut().zip(*column) {
                *complete &= x.is_finite();
            }
        }
        let n = complete.iter().filter(|complete| **complete).count();
        let mut means = Vec::with_capacity(columns.len());
        let mut centred: Vec<Vec<f64>> = Vec::with_capacity(columns.len());
        for column in columns {
            let rows = column.iter().zip(&complete);
            let mut kept: Vec<f64> = rows.filter_map(|(x, ok)| ok.then_some(*x)).collect();
            // The sum of distances from the first value does not overflow or round where that of the values would.
            let first = kept.first().copied().unwrap_or_default();
            let mean = first + kept.iter().map(|x| x - first).sum::<f64>() / n.max(1) as f64;
            kept.iter_mut().for_each(|x| *x -= mean);
            means.push(mean);
            centred.push(kept);
        }
        let products = centred.iter().enumerate().flat_map(|(i, a)| {
            let dot = move |b: &Vec<f64>| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
            centred.iter().take(i + 1).map(dot)
        });
        CoMoments {
            n: n as f64,
            products: products.collect(),
            means,
        }
    }

    /// The number of rows.
    #[must_use]
    pub fn n(&self) -> f64 {
        self.n
    }

    /// The mean of each column.
    #[must_use]
    pub fn means(&self) -> &[f64] {
        &self.means
    }

    /// The lower triangle of co-moments row by row, with the diagonal.
    #[must_use]
    pub fn products(&self) -> &[f64] {
        &self.products
    }

    /// The co-moment of two columns.
    #[must_use]
    pub fn product(&self, i: usize, j: usize) -> f64 {
        let (high, low) = (i.max(j), i.min(j));
        self.products
            .get(high * (high + 1) / 2 + low)
            .copied()
            .unwrap_or_default()
    }

    /// Takes in the co-moments of other rows of the same columns. Those of other columns are not taken in, and the answer
    /// is false.
    #[must_use]
    pub fn merge(&mut self, other: &CoMoments) -> bool {
        if other.n == 0.0 {
            return true;
        }
        // The square of a large mean would be infinite, and NaN times no rows.
        if self.n == 0.0 {
            self.clone_from(other);
            return true;
        }
        if self.means.len() != other.means.len() {
            return false;
        }
        let mut own = &mut self.products[..];
        let mut theirs = &other.products[..];
        let rows = (1..=other.means.len()).map_while(|len| {
            let (row, rest) = std::mem::take(&mut own).split_at_mut_checked(len)?;
            own = rest;
            let (their_row, rest) = theirs.split_at_checked(len)?;
            theirs = rest;
            Some((row, their_row))
        });
        merge((self.n, other.n), &mut self.means, &other.means, rows);
        self.n += other.n;
        true
    }
}

/// The pairwise update of Chan, Golub and LeVeque (1979) by the means and co-moments of other rows. `weights` are those of
/// the own and of the other rows, both above 0. A row of co-moments belongs to the column of its place, and begins with the
/// co-moment with the first column.
pub(crate) fn merge<'a>(
    weights: (f64, f64),
    means: &mut [f64],
    other_means: &[f64],
    rows: impl Iterator<Item = (&'a mut [f64], &'a [f64])>,
) {
    let total = weights.0 + weights.1;
    let factor = weights.0 * weights.1 / total;
    let share = weights.1 / total;
    let pairs = other_means.iter().zip(means.iter());
    let deltas: Vec<f64> = pairs.map(|(other, own)| other - own).collect();
    for ((own, other), row_delta) in rows.zip(&deltas) {
        for ((own, other), delta) in own.iter_mut().zip(other).zip(&deltas) {
            *own += other + row_delta * delta * factor;
        }
    }
    for (mean, delta) in means.iter_mut().zip(&deltas) {
        *mean += delta * share;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variance(column: &[f64]) -> f64 {
        let found = CoMoments::of(&[column]);
        found.product(0, 0) / found.n()
    }

    #[test]
    fn covariances_of_the_reference() {
        // TensorFlow Transform's own tests.
        let found = CoMoments::of(&[&[0.0, 4.0, 2.0, 2.0], &[0.0, 0.0, -2.0, 2.0]]);
        assert_eq!(found.products(), [8.0, 0.0, 8.0]);
        assert_eq!(variance(&[0.0, 2.0, 4.0, 6.0]), 5.0);
        assert_eq!(variance(&[2e15, -2e15, 1e15, -1e15]), 2.5e30);
    }

    #[test]
    fn rows_that_are_not_complete_are_left_out() {
        let found = CoMoments::of(&[&[1.0, f64::NAN, 3.0, 5.0], &[1.0, 2.0, f64::INFINITY, 3.0]]);
        assert_eq!((found.n(), found.means()), (2.0, &[3.0, 2.0][..]));
        assert_eq!(found.products(), [8.0, 4.0, 2.0]);
    }

    #[test]
    fn parts_merge_to_the_whole() {
        let x: Vec<f64> = (0..50).map(|i| 1e9 + f64::from(i * 37 % 50)).collect();
        let y: Vec<f64> = (0..50).map(|i| f64::from(i * 11 % 50)).collect();
        let whole = CoMoments::of(&[&x, &y]);
        for cut in [0, 1, 7, 25, 49, 50] {
            let mut parts = CoMoments::of(&[&x[..cut], &y[..cut]]);
            assert!(parts.merge(&CoMoments::of(&[&x[cut..], &y[cut..]])));
            let pairs = parts.products().iter().zip(whole.products());
            assert!(
                pairs.into_iter().all(|(a, b)| (a - b).abs() < 5e-4),
                "cut at {cut}"
            );
        }
        assert!(!CoMoments::of(&[&x]).merge(&whole));
    }

    #[test]
    fn a_constant_has_no_spread_in_any_number_of_parts() {
        let (constant, other) = ([0.1; 30], [1.0, 2.0, 4.0].repeat(10));
        let mut whole = CoMoments::default();
        for part in [0..7_usize, 7..8, 8..30] {
            assert!(whole.merge(&CoMoments::of(&[&constant[part.clone()], &other[part]])));
        }
        assert_eq!((whole.product(0, 0), whole.product(0, 1)), (0.0, 0.0));
        assert_eq!((whole.n(), whole.means()[0]), (30.0, 0.1));
    }
}
