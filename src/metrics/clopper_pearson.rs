//! The interval of a share that is never too narrow.

/// The 95 % interval of Clopper and Pearson (1934) of `hits` of `n` rows, which need not be whole numbers.
pub(super) fn clopper_pearson(hits: f64, n: f64) -> (f64, f64) {
    let low = match hits {
        hits if hits <= 0.0 => 0.0,
        hits => beta_quantile(0.025, hits, n - hits + 1.0),
    };
    let high = match n - hits {
        misses if misses <= 0.0 => 1.0,
        misses => beta_quantile(0.975, hits + 1.0, misses),
    };
    (low, high)
}

/// The quantile of a beta distribution, by bisection: 60 steps.
fn beta_quantile(share: f64, a: f64, b: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if beta_below(middle, a, b) < share {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

/// The share of a beta distribution below `x`, by the continued fraction (DLMF 8.17.22), which converges fast on the side of
/// the mean that is taken.
fn beta_below(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - beta_below(1.0 - x, b, a);
    }
    let front =
        (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (-x).ln_1p()).exp() / a;
    // Lentz's method.
    let tiny = 1e-300;
    let (mut c, mut d, mut value) = (1.0, 0.0, 1.0);
    for step in 0..500 {
        let m = f64::from(step / 2);
        let term = match step {
            0 => 1.0,
            even if even % 2 == 0 => m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m)),
            _ => -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0)),
        };
        d = 1.0 + term * d;
        d = 1.0 / if d.abs() < tiny { tiny } else { d };
        c = 1.0 + term / c;
        c = if c.abs() < tiny { tiny } else { c };
        let change = c * d;
        value *= change;
        if (change - 1.0).abs() < 1e-12 && step > 0 {
            break;
        }
    }
    front * (value - 1.0)
}

/// The logarithm of the gamma function of a positive number, after Lanczos (1964) with the coefficients of g = 7, n = 9.
fn ln_gamma(x: f64) -> f64 {
    const COEFFICIENTS: [f64; 8] = [
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    if x < 0.5 {
        let sine = (std::f64::consts::PI * x).sin();
        return (std::f64::consts::PI / sine).ln() - ln_gamma(1.0 - x);
    }
    let x = x - 1.0;
    let terms = COEFFICIENTS.iter().enumerate();
    let sum = terms.fold(0.999_999_999_999_809_9, |sum, (at, term)| {
        sum + term / (x + at as f64 + 1.0)
    });
    let t = x + 7.5;
    0.5 * (2.0 * std::f64::consts::PI).ln() + (x + 0.5) * t.ln() - t + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// scipy.stats.binomtest(k, n).proportion_ci(method="exact").
    #[test]
    fn intervals_are_those_of_scipy() {
        for (hits, n, low, high) in EXPECTED {
            let found = clopper_pearson(*hits, *n);
            assert!(
                (found.0 - low).abs() < 1e-9 && (found.1 - high).abs() < 1e-9,
                "{hits} of {n}: {found:?}"
            );
        }
    }

    const EXPECTED: &[(f64, f64, f64, f64)] = &[
        (0.0, 10.0, 0.0, 0.30849710781876294),
        (10.0, 10.0, 0.6915028921812371, 1.0),
        (7.0, 20.0, 0.1539092047845412, 0.5921885345328283),
        (1.0, 1.0, 0.025000000000000022, 1.0),
        (0.0, 1.0, 0.0, 0.975),
        (3.0, 1000.0, 0.0006190999316499173, 0.008742023238657654),
        (500.0, 1000.0, 0.46854917297179194, 0.531450827028208),
        (123456.0, 200000.0, 0.6151456401673373, 0.6194109601309783),
        (1.0, 100000.0, 2.5317842743932826e-07, 5.571516034432556e-05),
    ];
}
