//! Mutual information of values and labels, from tables of counts.
//!
//! A value occurs in `x` of `n` rows, a label in `y` of them, both together in `n_xy`. The value's share of the mutual
//! information between column and label, in bits and times `n`, is `n_xy * log2(n * n_xy / (x * y))`, summed over the
//! labels. Rare values get a share by chance alone; what chance would give (with the margins fixed, `n_xy` has a
//! hypergeometric distribution) is the *expected* share, and *adjusted* means less that (Vinh, Epps, Bailey 2010:
//! "Information Theoretic Measures for Clusterings Comparison", equation 24).

/// One cell's share of the mutual information, in bits times `n`: `n_xy * log2(n * n_xy / (x * y))`; 0 of an empty
/// cell.
#[must_use]
pub fn partial_mutual_information(n_xy: f64, x: f64, y: f64, n: f64) -> f64 {
    if n_xy <= 0.0 || x <= 0.0 || y <= 0.0 {
        return 0.0;
    }
    n_xy * (n.log2() + n_xy.log2() - x.log2() - y.log2())
}

/// The expected value of [`partial_mutual_information`] for a value and a label that are independent.
///
/// It takes as many steps as the smaller of `x` and `y`.
#[must_use]
pub fn expected_partial_mutual_information(x: u64, y: u64, n: u64) -> f64 {
    if x == 0 || y == 0 || n == 0 || x > n || y > n {
        return 0.0;
    }
    hypergeometric(n, x, y)
        .map(|(n_xy, p)| p * partial_mutual_information(n_xy as f64, x as f64, y as f64, n as f64))
        .sum()
}

/// The number of marked ones among `y` drawn of `n`, of which `x` are marked: every possible number with its
/// probability.
fn hypergeometric(n: u64, x: u64, y: u64) -> impl Iterator<Item = (u64, f64)> {
    let low = (x + y).saturating_sub(n);
    let high = x.min(y);
    // In logarithms, since factorials overflow and far tails underflow; from one to the next by
    // p(k + 1) / p(k) = (x-k)(y-k) / ((k+1)(n-x-y+k+1)).
    let ln_choose = |n: u64, k: u64| ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k);
    let mut ln_p = ln_choose(x, low) + ln_choose(n - x, y - low) - ln_choose(n, y);
    (low..=high).map(move |k| {
        let p = ln_p.exp();
        let left = (n + k + 1) - x - y;
        ln_p += ((x - k) as f64 * (y - k) as f64 / ((k + 1) as f64 * left as f64)).ln();
        (k, p)
    })
}

/// `ln(n!)`: summed up to 255, by Stirling's series above, which is exact to double precision there.
fn ln_factorial(n: u64) -> f64 {
    if n < 256 {
        return (2..=n).map(|k| (k as f64).ln()).sum();
    }
    let n = n as f64;
    let inverse = 1.0 / n;
    n * n.ln() - n + 0.5 * (std::f64::consts::TAU * n).ln() + inverse / 12.0
        - inverse.powi(3) / 360.0
        + inverse.powi(5) / 1260.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(found: f64, expected: f64) {
        assert!(
            (found - expected).abs() < 1e-5 * expected.abs().max(1.0),
            "{found}, not {expected}"
        );
    }

    #[test]
    fn shares_of_known_cells() {
        // TensorFlow Transform's own numbers.
        check(partial_mutual_information(2.0, 10.0, 2.0, 14.0), 0.970_854);
        check(partial_mutual_information(4.0, 15.0, 6.0, 25.0), 0.608_012);
        check(partial_mutual_information(2.0, 10.0, 6.0, 25.0), -0.526_069);
        check(
            partial_mutual_information(3.0, 31.0, 4.0, 41.0),
            -0.035_045_4,
        );
        check(partial_mutual_information(0.0, 0.0, 4.0, 41.0), 0.0);
    }

    #[test]
    fn what_chance_gives() {
        check(expected_partial_mutual_information(5, 5, 10), 0.215_411);
        check(expected_partial_mutual_information(2, 4, 10), 0.524_209);
        check(expected_partial_mutual_information(0, 4, 10), 0.0);
    }

    #[test]
    fn probabilities_of_draws() {
        let p: Vec<f64> = hypergeometric(4, 1, 1).map(|(_, p)| p).collect();
        check(p[0], 0.75);
        check(p[1], 0.25);
        let p: Vec<f64> = hypergeometric(1000, 5, 10).map(|(_, p)| p).collect();
        for (found, expected) in p
            .iter()
            .zip([0.950_893_7, 0.048_219_8, 0.000_879_4, 7.1e-6])
        {
            assert!((found - expected).abs() < 1e-7, "{found} {expected}");
        }
        for (n, x, y) in [(10, 8, 7), (100_000, 900, 70_000), (3, 3, 3)] {
            check(hypergeometric(n, x, y).map(|(_, p)| p).sum(), 1.0);
        }
    }

    #[test]
    fn factorials_agree_where_the_formulas_meet() {
        let sum: f64 = (2..=256_u64).map(|k| (k as f64).ln()).sum();
        assert!(
            (ln_factorial(256) - sum).abs() < 1e-10,
            "{} {sum}",
            ln_factorial(256)
        );
    }
}
