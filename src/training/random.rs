//! Randomness that follows from a seed.

use fourfold_kernels::hash;

/// SplitMix64 (Steele, Lea and Flood, 2014).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// The randomness of one of many things, from 0: that of another does not change it.
    pub(crate) fn of(seed: u64, number: usize) -> Self {
        Random(seed ^ (number as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    fn next(&mut self) -> u64 {
        let next = hash::hash_u64(self.0);
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        next
    }

    /// A number from 0 to below 1, each as likely.
    pub(crate) fn uniform(&mut self) -> f64 {
        hash::unit(self.next())
    }

    /// A number of the standard normal distribution (Box and Muller, 1958).
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// The places of `n` rows, shuffled (Fisher and Yates).
    pub(super) fn order(&mut self, n: usize) -> Vec<u32> {
        let mut order: Vec<u32> = (0..n as u32).collect();
        for last in (1..n).rev() {
            let place = (u128::from(self.next()) * (last as u128 + 1)) >> 64;
            order.swap(last, place as usize);
        }
        order
    }
}
