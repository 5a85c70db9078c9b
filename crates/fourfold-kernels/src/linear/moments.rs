//! Weighted means and variances of expanded features.

use super::design::Design;
use crate::columns::Column;
use crate::parallel;

/// The moments of each expanded feature.
#[derive(Clone, Debug)]
pub(super) struct Moments {
    pub(super) means: Vec<f64>,
    pub(super) variances: Vec<f64>,
}

impl Moments {
    /// Weights may be `None` where all rows count the same; `total` is their sum.
    pub(super) fn of(
        design: &Design<'_>,
        weights: Option<&[f64]>,
        total: f64,
        threads: usize,
    ) -> Self {
        let width = design.width();
        let most = if width > 1 << 17 { 8 } else { 32 };
        let parts = parallel::parts(design.n_rows(), 8_192, most);
        // Sums around the first row's value, so that columns far from 0 keep their digits.
        let mut shifts = vec![0.0; width];
        for (column, first) in design.placed() {
            if let Column::Numbers([value, ..]) = column {
                shifts[first] = f64::from(*value);
            }
        }
        let sums = parallel::map(&parts, threads, |rows| {
            let mut sums = vec![0.0; width];
            let mut squares = vec![0.0; width];
            let weight = |row: usize| weights.map_or(1.0, |weights| weights[row]);
            for (column, first) in design.placed() {
                match column {
                    Column::Numbers(values) => {
                        let (mut sum, mut square) = (0.0, 0.0);
                        for row in rows.clone() {
                            let value = f64::from(values[row]) - shifts[first];
                            sum += weight(row) * value;
                            square += weight(row) * value * value;
                        }
                        sums[first] = sum;
                        squares[first] = square;
                    }
                    Column::Codes {
                        codes,
                        n_categories,
                    } => {
                        for row in rows.clone() {
                            if codes[row] < *n_categories {
                                sums[first + codes[row] as usize] += weight(row);
                            }
                        }
                        let place = first..first + column.width();
                        squares[place.clone()].copy_from_slice(&sums[place]);
                    }
                    Column::Sparse {
                        offsets,
                        ids,
                        values,
                        ..
                    } => {
                        for row in rows.clone() {
                            for at in offsets[row]..offsets[row + 1] {
                                let id = first + ids[at] as usize;
                                let value = f64::from(values[at]);
                                sums[id] += weight(row) * value;
                                squares[id] += weight(row) * value * value;
                            }
                        }
                    }
                }
            }
            (sums, squares)
        });
        let mut means = vec![0.0; width];
        let mut variances = vec![0.0; width];
        for (sums, squares) in sums {
            add(&mut means, &sums);
            add(&mut variances, &squares);
        }
        for ((mean, variance), shift) in means.iter_mut().zip(&mut variances).zip(shifts) {
            *mean /= total;
            *variance = (*variance / total - *mean * *mean).max(0.0);
            *mean += shift;
        }
        Moments { means, variances }
    }
}

/// Adds vectors, place by place.
pub(super) fn add(to: &mut [f64], from: &[f64]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += from;
    }
}
