//! Moments about a mean that is known only in the end.

use serde::{Deserialize, Serialize};

/// Σ w² (y - shift)ᵏ for k from 0 to 4, and Σ w² e² (y - shift)ᵏ for k from 0 to 2. Numbers far from 0 keep their digits, as
/// the shift is the first of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Spread {
    shift: Option<f64>,
    powers: [f64; 5],
    with_errors: [f64; 3],
}

/// The terms of `(x + d)ᵏ`.
const BINOMIALS: [[f64; 5]; 5] = [
    [1.0, 0.0, 0.0, 0.0, 0.0],
    [1.0, 1.0, 0.0, 0.0, 0.0],
    [1.0, 2.0, 1.0, 0.0, 0.0],
    [1.0, 3.0, 3.0, 1.0, 0.0],
    [1.0, 4.0, 6.0, 4.0, 1.0],
];

fn moved<const N: usize>(sums: [f64; N], by: f64) -> [f64; N] {
    std::array::from_fn(|k| {
        let terms = (0..=k).map(|j| BINOMIALS[k][j] * sums[j] * by.powi((k - j) as i32));
        terms.sum()
    })
}

impl Spread {
    pub(super) fn add(&mut self, y: f64, error: f64, w: f64) {
        let shift = *self.shift.get_or_insert(y);
        let (mut power, e2) = (w * w, error * error);
        for k in 0..5 {
            self.powers[k] += power;
            if k < 3 {
                self.with_errors[k] += power * e2;
            }
            power *= y - shift;
        }
    }

    fn about(&self, center: f64) -> ([f64; 5], [f64; 3]) {
        let by = self.shift.unwrap_or(center) - center;
        (moved(self.powers, by), moved(self.with_errors, by))
    }

    pub(super) fn merge(&mut self, other: &Spread) {
        let Some(theirs) = other.shift else {
            return;
        };
        let (powers, with_errors) = other.about(*self.shift.get_or_insert(theirs));
        self.powers
            .iter_mut()
            .zip(powers)
            .for_each(|(mine, theirs)| *mine += theirs);
        self.with_errors
            .iter_mut()
            .zip(with_errors)
            .for_each(|(mine, theirs)| *mine += theirs);
    }

    /// Σ w² (y - center)⁴ and Σ w² e² (y - center)².
    pub(super) fn fourth(&self, center: f64) -> (f64, f64) {
        let (powers, with_errors) = self.about(center);
        (powers[4], with_errors[2])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_merge_and_far_numbers_keep_their_digits() {
        let rows: Vec<(f64, f64, f64)> = (0..50)
            .map(|i| {
                let x = f64::from(i * 37 % 50) / 10.0;
                (1e6 + x, x.sin(), 1.0 + f64::from(i % 3))
            })
            .collect();
        let of = |rows: &[(f64, f64, f64)]| {
            let mut spread = Spread::default();
            rows.iter().for_each(|(y, e, w)| spread.add(*y, *e, *w));
            spread
        };
        let mut merged = Spread::default();
        merged.merge(&of(&rows[..20]));
        merged.merge(&of(&rows[20..]));
        let center = 1e6 + 2.5;
        let expected = rows.iter().fold((0.0, 0.0), |(a, b), (y, e, w)| {
            let d = y - center;
            (a + w * w * d.powi(4), b + w * w * e * e * d * d)
        });
        for found in [of(&rows).fourth(center), merged.fourth(center)] {
            assert!(
                (found.0 / expected.0 - 1.0).abs() < 1e-9,
                "{found:?} {expected:?}"
            );
            assert!(
                (found.1 / expected.1 - 1.0).abs() < 1e-9,
                "{found:?} {expected:?}"
            );
        }
    }
}
