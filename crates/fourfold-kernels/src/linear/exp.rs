//! The exponential function, in plain arithmetic: it vectorizes, and its bits are the same on every platform.

/// `e^x` for `x` from -700 to 700, to which others are clamped; within 1e-15 of it, relatively.
#[inline(always)]
pub(super) fn exp(x: f64) -> f64 {
    /// Added to a double, it leaves the nearest integer in the low bits.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    const LN_2_HIGH: f64 = 6.931_471_803_691_238e-1;
    const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    let x = x.clamp(-700.0, 700.0);
    let shifted = x * std::f64::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * LN_2_HIGH - n * LN_2_LOW;
    // Taylor's series: |r| is at most ln(2) / 2, the first term left out 2e-16.
    let mut sum = 1.0 / 479_001_600.0;
    for coefficient in [
        1.0 / 39_916_800.0,
        1.0 / 3_628_800.0,
        1.0 / 362_880.0,
        1.0 / 40_320.0,
        1.0 / 5_040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0,
    ] {
        sum = sum * r + coefficient;
    }
    sum * f64::from_bits((shifted.to_bits() << 52).wrapping_add(1.0_f64.to_bits()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_standard_library() {
        for i in -70_000..=70_000 {
            let x = f64::from(i) / 100.0 + 1e-3 * f64::from(i % 7);
            let x = x.clamp(-700.0, 700.0);
            let (got, wanted) = (exp(x), x.exp());
            assert!((got / wanted - 1.0).abs() < 1e-15, "{x}: {got} {wanted}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(-1e300) < 1e-300);
    }
}
