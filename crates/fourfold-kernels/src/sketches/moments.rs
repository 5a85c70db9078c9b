//! Count, mean, variance, minimum and maximum of numbers, in one pass.

use serde::{Deserialize, Serialize};

use super::quantiles::range;

/// The first two moments and the range of the finite numbers seen; NaN and infinities are counted apart.
///
/// Merged by the pairwise update of Chan, Golub and LeVeque (1979), which is stable where a sum of squares is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Moments {
    count: u64,
    mean: f64,
    squares: f64,
    min: f64,
    max: f64,
    zeros: u64,
    nan: u64,
    positive_infinity: u64,
    negative_infinity: u64,
}

impl Moments {
    /// Takes in one number (Welford's update).
    pub fn update(&mut self, value: f64) {
        if !value.is_finite() {
            if value.is_nan() {
                self.nan += 1;
            } else if value > 0.0 {
                self.positive_infinity += 1;
            } else {
                self.negative_infinity += 1;
            }
            return;
        }
        if self.count == 0 {
            self.min = value;
            self.max = value;
        } else {
            self.min = self.min.min(value);
            self.max = self.max.max(value);
        }
        self.zeros += u64::from(value == 0.0);
        self.count += 1;
        let delta = value - self.mean;
        self.mean += delta / self.count as f64;
        self.squares += delta * (value - self.mean);
    }

    /// Takes in many numbers: by blocks, each around its own mean, in two passes that the processor runs on several
    /// numbers at once. The sums differ from those of [`Moments::update`] in the last bits.
    pub fn update_slice(&mut self, values: &[f64]) {
        for block in values.chunks(1_024) {
            let sum = lanes(block, |value| value);
            // An infinity or NaN among them, or a sum past the largest number.
            if !sum.is_finite() {
                block.iter().for_each(|value| self.update(*value));
                continue;
            }
            let mean = sum / block.len() as f64;
            let squares = lanes(block, |value| (value - mean) * (value - mean));
            let (min, max) = range(block);
            let zeros = block.iter().map(|value| u64::from(*value == 0.0)).sum();
            self.merge(&Moments {
                count: block.len() as u64,
                mean,
                squares,
                min,
                max,
                zeros,
                ..Moments::default()
            });
        }
    }

    /// Takes in one number `n` times.
    pub fn update_n(&mut self, value: f64, n: u64) {
        let mut one = Moments::default();
        one.update(value);
        self.merge(&Moments {
            count: one.count * n,
            zeros: one.zeros * n,
            nan: one.nan * n,
            positive_infinity: one.positive_infinity * n,
            negative_infinity: one.negative_infinity * n,
            ..one
        });
    }

    /// Takes in the moments of other numbers.
    pub fn merge(&mut self, other: &Moments) {
        self.nan = self.nan.saturating_add(other.nan);
        self.positive_infinity = (self.positive_infinity).saturating_add(other.positive_infinity);
        self.negative_infinity = (self.negative_infinity).saturating_add(other.negative_infinity);
        self.zeros = self.zeros.saturating_add(other.zeros);
        if other.count == 0 {
            return;
        }
        // The square of a large mean would be infinite, and NaN times no rows.
        if self.count == 0 {
            (self.count, self.mean, self.squares) = (other.count, other.mean, other.squares);
            (self.min, self.max) = (other.min, other.max);
            return;
        }
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        let (a, b) = (self.count as f64, other.count as f64);
        let delta = other.mean - self.mean;
        self.count = self.count.saturating_add(other.count);
        let n = self.count as f64;
        self.mean += delta * (b / n);
        self.squares += other.squares + delta * delta * (a * b / n);
    }

    /// The number of finite values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The number of NaN and infinite values.
    #[must_use]
    pub fn non_finite(&self) -> u64 {
        (self.nan)
            .saturating_add(self.positive_infinity)
            .saturating_add(self.negative_infinity)
    }

    /// The number of NaN values.
    #[must_use]
    pub fn nan(&self) -> u64 {
        self.nan
    }

    /// The number of positive infinities.
    #[must_use]
    pub fn positive_infinity(&self) -> u64 {
        self.positive_infinity
    }

    /// The number of negative infinities.
    #[must_use]
    pub fn negative_infinity(&self) -> u64 {
        self.negative_infinity
    }

    /// The number of zeros.
    #[must_use]
    pub fn zeros(&self) -> u64 {
        self.zeros
    }

    /// The mean; `None` if no finite number was seen.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then_some(self.mean)
    }

    /// The population variance (divided by `n`); `None` if no finite number was seen.
    #[must_use]
    pub fn variance(&self) -> Option<f64> {
        (self.count > 0).then(|| (self.squares / self.count as f64).max(0.0))
    }

    /// The population standard deviation; `None` if no finite number was seen.
    #[must_use]
    pub fn std(&self) -> Option<f64> {
        self.variance().map(f64::sqrt)
    }

    /// The smallest finite number.
    #[must_use]
    pub fn min(&self) -> Option<f64> {
        (self.count > 0).then_some(self.min)
    }

    /// The largest finite number.
    #[must_use]
    pub fn max(&self) -> Option<f64> {
        (self.count > 0).then_some(self.max)
    }
}

/// The sum of a function of some numbers, in eight sums side by side.
fn lanes(values: &[f64], of: impl Fn(f64) -> f64) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0.0; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            sums[lane] += of(chunk[lane]);
        }
    }
    let rest: f64 = rest.iter().map(|value| of(*value)).sum();
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_have_a_variance() {
        let values = [2e154, 2.0001e154];
        let mut slice = Moments::default();
        slice.update_slice(&values);
        let mut merged = of(&values[..1]);
        merged.merge(&of(&values[1..]));
        for found in [slice, merged, of(&values)] {
            let std = found.std().unwrap();
            assert!((std / 5e149 - 1.0).abs() < 1e-9, "{found:?}");
        }
    }

    fn of(values: &[f64]) -> Moments {
        let mut moments = Moments::default();
        values.iter().for_each(|value| moments.update(*value));
        moments
    }

    #[test]
    fn known_numbers() {
        // TensorFlow Data Validation's own test: [1, 2], [3, 4, 5], [1] has mean 2.66666666, std 1.49071198.
        let moments = of(&[1.0, 2.0, 3.0, 4.0, 5.0, 1.0]);
        assert!((moments.mean().unwrap() - 2.666_666_666).abs() < 1e-8);
        assert!((moments.std().unwrap() - 1.490_711_985).abs() < 1e-8);
        assert_eq!((moments.min(), moments.max()), (Some(1.0), Some(5.0)));
    }

    #[test]
    fn merges_like_the_reference() {
        // TensorFlow Transform: 1..7 with 8..12 repeated 65,535 times with 100, 200, 3000.
        let mut merged = of(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
        let mut middle = Moments::default();
        for _ in 0..65_535 {
            middle.merge(&of(&[8.0, 9.0, 10.0, 11.0, 12.0]));
        }
        merged.merge(&middle);
        merged.merge(&of(&[100.0, 200.0, 3000.0]));
        assert!((merged.mean().unwrap() - 10.009_850_923_905_58).abs() < 1e-9);
        assert!((merged.variance().unwrap() - 29.418_185_761_379_473).abs() < 1e-6);
    }

    #[test]
    fn numbers_that_are_not_finite_are_counted_apart() {
        let moments = of(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0]);
        assert_eq!(
            (moments.count(), moments.non_finite(), moments.zeros()),
            (1, 3, 1)
        );
        assert_eq!(Moments::default().mean(), None);
    }

    #[test]
    fn blocks_are_those_of_one_by_one() {
        let values: Vec<f64> = (0..5_000)
            .map(|i| f64::from(i * 7_919 % 5_003) / 7.0 - 300.0)
            .collect();
        let odd = [
            values.as_slice(),
            &[f64::NAN, f64::INFINITY, 0.0, -0.0, f64::MAX, f64::MAX],
        ]
        .concat();
        for values in [values, odd] {
            let one_by_one = of(&values);
            let mut blocks = Moments::default();
            blocks.update_slice(&values);
            assert_eq!(
                (blocks.count(), blocks.zeros()),
                (one_by_one.count(), one_by_one.zeros())
            );
            assert_eq!(
                (blocks.min(), blocks.max()),
                (one_by_one.min(), one_by_one.max())
            );
            assert_eq!(blocks.non_finite(), one_by_one.non_finite());
            let close = |a: f64, b: f64| a == b || (a / b - 1.0).abs() < 1e-12;
            assert!(close(blocks.mean().unwrap(), one_by_one.mean().unwrap()));
            assert!(close(blocks.std().unwrap(), one_by_one.std().unwrap()));
        }
    }

    #[test]
    fn a_value_many_times_is_the_value_that_often() {
        let mut many = Moments::default();
        many.update_n(3.0, 4);
        many.update_n(0.0, 2);
        many.update_n(f64::NAN, 5);
        let expected = of(&[3.0, 3.0, 3.0, 3.0, 0.0, 0.0]);
        assert_eq!((many.mean(), many.zeros(), many.nan()), (Some(2.0), 2, 5));
        assert!((many.std().unwrap() - expected.std().unwrap()).abs() < 1e-12);
    }

    #[test]
    fn a_large_offset_keeps_the_variance() {
        let moments = of(&[-2e15, 2e15, -1e15, 1e15]);
        assert_eq!(moments.variance(), Some(2.5e30));
    }
}
