//! Gradients, bits and weights; and the solutions of scikit-learn: `scripts/linear_reference.py` makes the same rows
//! and prints the numbers below.

use std::ops::ControlFlow;

use super::*;
use crate::columns::{Column, MISSING_CODE};

/// Rows of two numbers, one far from 0, and a category, made by whole numbers so that any language can.
struct Rows {
    first: Vec<f32>,
    second: Vec<f32>,
    codes: Vec<u32>,
    weights: Vec<f64>,
    noise: Vec<f64>,
}

impl Rows {
    fn new(n: u64) -> Self {
        let mut rows = Rows {
            first: Vec::new(),
            second: Vec::new(),
            codes: Vec::new(),
            weights: Vec::new(),
            noise: Vec::new(),
        };
        for i in 0..n {
            rows.first.push((i * 7_919 % 1_009) as f32 / 1_009.0);
            rows.second
                .push(1_000.0 + (i * 104_729 % 2_003) as f32 / 20.0);
            rows.codes.push((i * 15_485_863 % 7 % 5) as u32);
            rows.weights.push((1 + i * 31 % 4) as f64 / 2.0);
            rows.noise.push((i * 32_452_843 % 997) as f64 / 997.0);
        }
        rows
    }

    fn design(&self) -> Design<'_> {
        Design::new(vec![
            Column::Numbers(&self.first),
            Column::Numbers(&self.second),
            Column::Codes {
                codes: &self.codes,
                n_categories: 5,
            },
        ])
    }

    /// Row by row, codes as a one-hot.
    fn matrix(&self) -> Vec<f32> {
        let mut matrix = Vec::new();
        for row in 0..self.first.len() {
            matrix.extend([self.first[row], self.second[row]]);
            matrix.extend((0..5).map(|code| f32::from(u8::from(self.codes[row] == code))));
        }
        matrix
    }

    fn score(&self, row: usize) -> f64 {
        2.0 * f64::from(self.first[row]) - 0.02 * (f64::from(self.second[row]) - 1_050.0)
            + 0.4 * f64::from(self.codes[row])
            - 1.5
    }

    fn binary(&self) -> Vec<f64> {
        (0..self.first.len())
            .map(|row| {
                let share = 1.0 / (1.0 + (-self.score(row)).exp());
                f64::from(u8::from(self.noise[row] < share))
            })
            .collect()
    }

    fn classes(&self) -> Vec<f64> {
        let rows = 0..self.first.len();
        rows.map(|row| {
            (self.score(row) + 3.0 * self.noise[row])
                .clamp(0.0, 2.9)
                .floor()
        })
        .collect()
    }

    fn counts(&self) -> Vec<f64> {
        let rows = 0..self.first.len();
        rows.map(|row| (self.score(row) / 2.0).exp() * (0.5 + self.noise[row]))
            .collect()
    }
}

const OPTIONS: Options = Options {
    max_iterations: 500,
    tolerance: 1e-9,
    threads: 2,
};

fn problem<'a>(design: &'a Design<'a>, labels: &'a [f64], loss: Loss, l2: f64) -> Problem<'a> {
    Problem {
        design,
        labels,
        weights: None,
        loss,
        l2,
        l1: 0.0,
    }
}

fn solve(problem: &Problem<'_>) -> Fit {
    fit(problem, None, OPTIONS, |_, _| ControlFlow::Continue(()))
}

#[track_caller]
fn check(found: &Coefficients, weights: &[f64], intercepts: &[f64], tolerance: f64) {
    let pairs = found.weights.iter().zip(weights);
    let intercept_pairs = found.intercepts.iter().zip(intercepts);
    assert_eq!(found.weights.len(), weights.len());
    for (got, wanted) in pairs.chain(intercept_pairs) {
        let off = (got - wanted).abs() / wanted.abs().max(1.0);
        assert!(off < tolerance, "{wanted} in {found:?}");
    }
}

const LOSSES: [Loss; 6] = [
    Loss::Squared,
    Loss::Logistic,
    Loss::Softmax { n_classes: 3 },
    Loss::Poisson,
    Loss::Gamma,
    Loss::Tweedie { power: 1.5 },
];

fn labels_of(rows: &Rows, loss: Loss) -> Vec<f64> {
    match loss {
        Loss::Logistic => rows.binary(),
        Loss::Softmax { .. } => rows.classes(),
        _ => rows.counts(),
    }
}

/// The gradient is what the value changes by.
#[test]
fn gradients_are_slopes() {
    let rows = Rows::new(500);
    let design = rows.design();
    for loss in LOSSES {
        let labels = labels_of(&rows, loss);
        for weights in [None, Some(rows.weights.as_slice())] {
            let problem = Problem {
                weights,
                ..problem(&design, &labels, loss, 0.1)
            };
            let n = loss.n_outputs();
            let mut at = Coefficients {
                weights: (0..7 * n).map(|i| (i as f64 - 3.0) * 1e-3).collect(),
                intercepts: (0..n).map(|i| 0.2 + i as f64).collect(),
            };
            let (_, gradient) = objective(&problem, &at, 1);
            for (place, gradient) in gradient.iter().enumerate() {
                let step = 1e-6;
                let mut shifted = |by: f64| {
                    match place.checked_sub(7 * n) {
                        None => at.weights[place] += by,
                        Some(place) => at.intercepts[place] += by,
                    }
                    objective(&problem, &at, 1).0
                };
                let high = shifted(step);
                let low = shifted(-2.0 * step);
                shifted(step);
                let slope = (high - low) / (2.0 * step);
                let off = (slope - gradient).abs() / slope.abs().max(1.0);
                assert!(off < 1e-5, "{loss:?} {place}: {slope} {gradient}");
            }
        }
    }
}

#[test]
fn equal_bits_on_any_number_of_threads() {
    let rows = Rows::new(40_000);
    let design = rows.design();
    for loss in [Loss::Logistic, Loss::Softmax { n_classes: 3 }] {
        let labels = labels_of(&rows, loss);
        let problem = problem(&design, &labels, loss, 1e-4);
        let on = |threads| {
            let options = Options { threads, ..OPTIONS };
            fit(&problem, None, options, |_, _| ControlFlow::Continue(())).coefficients
        };
        assert!(on(1) == on(2) && on(1) == on(7));
    }
}

#[test]
fn codes_are_their_one_hot() {
    let rows = Rows::new(3_000);
    let matrix = rows.matrix();
    let columns: Vec<Vec<f32>> = (0..7)
        .map(|at| matrix.iter().skip(at).step_by(7).copied().collect())
        .collect();
    let dense = Design::new(
        columns
            .iter()
            .map(|column| Column::Numbers(column))
            .collect(),
    );
    for loss in LOSSES {
        let labels = labels_of(&rows, loss);
        let found = solve(&problem(&rows.design(), &labels, loss, 1e-3)).coefficients;
        check(
            &solve(&problem(&dense, &labels, loss, 1e-3)).coefficients,
            &found.weights,
            &found.intercepts,
            1e-4,
        );
    }
}

#[test]
fn half_the_weight_twice_is_the_row_once() {
    let rows = Rows::new(600);
    let labels = rows.binary();
    let design = rows.design();
    let once = solve(&problem(&design, &labels, Loss::Logistic, 1e-3));
    let twice = |values: &[f32]| [values, values].concat();
    let (first, second) = (twice(&rows.first), twice(&rows.second));
    let codes = [rows.codes.as_slice(), rows.codes.as_slice()].concat();
    let design = Design::new(vec![
        Column::Numbers(&first),
        Column::Numbers(&second),
        Column::Codes {
            codes: &codes,
            n_categories: 5,
        },
    ]);
    let labels = [labels.as_slice(), labels.as_slice()].concat();
    let halves = Problem {
        weights: Some(&[0.5; 1_200]),
        ..problem(&design, &labels, Loss::Logistic, 1e-3)
    };
    let wanted = &once.coefficients;
    check(
        &solve(&halves).coefficients,
        &wanted.weights,
        &wanted.intercepts,
        1e-6,
    );
}

#[test]
fn a_warm_start_has_little_to_do() {
    let rows = Rows::new(5_000);
    let labels = rows.binary();
    let design = rows.design();
    let problem = problem(&design, &labels, Loss::Logistic, 1e-4);
    let options = Options {
        tolerance: 1e-6,
        ..OPTIONS
    };
    let go_on = |_, _| ControlFlow::Continue(());
    let cold = fit(&problem, None, options, go_on);
    let warm = fit(&problem, Some(&cold.coefficients), options, go_on);
    assert!(
        cold.iterations > 5 && warm.iterations <= 1,
        "{cold:?} {warm:?}"
    );
}

#[test]
fn few_rows_and_constant_features() {
    let ones = [1.0_f32; 3];
    let design = Design::new(vec![Column::Numbers(&ones)]);
    for l1 in [0.0, 0.1] {
        let one_class = Problem {
            l1,
            ..problem(&design, &[1.0; 3], Loss::Logistic, 0.0)
        };
        let found = solve(&one_class).coefficients;
        assert_eq!(found.weights, [0.0]);
        assert!(found.intercepts[0] > 10.0);
    }
    let design = Design::new(Vec::new()).with_rows(4);
    let found = solve(&problem(
        &design,
        &[0.0, 1.0, 1.0, 1.0],
        Loss::Logistic,
        1.0,
    ))
    .coefficients;
    assert!((found.intercepts[0] - 3.0_f64.ln()).abs() < 1e-9);
}

/// The label of a loss among the reference's rows.
fn fitted(rows: &Rows, loss: Loss, l2: f64, weighted: bool) -> Fit {
    let labels = labels_of(rows, loss);
    let design = rows.design();
    solve(&Problem {
        weights: weighted.then_some(rows.weights.as_slice()),
        ..problem(&design, &labels, loss, l2)
    })
}

#[test]
fn the_minimum_is_that_of_scikit_learn() {
    let rows = Rows::new(2_000);
    let total: f64 = rows.weights.iter().sum();
    check(
        &fitted(&rows, Loss::Logistic, 2.0 / 2_000.0, false).coefficients,
        &[
            1.924730797,
            -0.01932135263,
            -0.828312749,
            -0.3639807401,
            -0.02314080038,
            0.3811827324,
            0.8342515571,
        ],
        &[19.6245041],
        1e-6,
    );
    check(
        &fitted(&rows, Loss::Logistic, 2.0 / total, true).coefficients,
        &[
            1.918669452,
            -0.01968716087,
            -0.8221062343,
            -0.3787108954,
            0.01119801816,
            0.3697505606,
            0.819868551,
        ],
        &[20.02037884],
        1e-6,
    );
    check(
        &fitted(&rows, Loss::Softmax { n_classes: 3 }, 2.0 / 2_000.0, false).coefficients,
        &[
            -2.447338731,
            -0.07853041413,
            2.525869145,
            0.0253056359,
            0.0005724287091,
            -0.02587806461,
            0.9810414906,
            -0.0004567553939,
            -0.9805847352,
            0.5894369456,
            -0.004017248493,
            -0.5854196971,
            0.006944946853,
            -0.03309142294,
            0.02614647609,
            -0.6231327623,
            0.05779969995,
            0.5653330624,
            -0.9542906207,
            -0.02023427312,
            0.9745248938,
        ],
        &[-25.82123107, -0.3952033494, 26.21643442],
        1e-5,
    );
    check(
        &fitted(&rows, Loss::Softmax { n_classes: 3 }, 2.0 / total, true).coefficients,
        &[
            -2.517975883,
            -0.05256425579,
            2.570540139,
            0.02563491659,
            0.0004063965394,
            -0.02604131313,
            0.9952297102,
            -0.007374532807,
            -0.9878551774,
            0.605706125,
            -0.01240931046,
            -0.5932968145,
            0.01552389657,
            -0.03781162499,
            0.02228772842,
            -0.6581949634,
            0.07068942625,
            0.5875055372,
            -0.9582647684,
            -0.01309395799,
            0.9713587264,
        ],
        &[-26.14621004, -0.2220632516, 26.36827329],
        1e-5,
    );
    check(
        &fitted(&rows, Loss::Poisson, 0.01, false).coefficients,
        &[
            0.9040817364,
            -0.009948210476,
            -0.3743924359,
            -0.2028853891,
            0.007339103976,
            0.1886390063,
            0.3812997147,
        ],
        &[10.15032098],
        1e-6,
    );
    check(
        &fitted(&rows, Loss::Poisson, 0.01, true).coefficients,
        &[
            0.9042741779,
            -0.009924482907,
            -0.3749400527,
            -0.2023536826,
            0.009069487478,
            0.1869396834,
            0.3812845644,
        ],
        &[10.12511518],
        1e-6,
    );
    check(
        &fitted(&rows, Loss::Gamma, 0.01, false).coefficients,
        &[
            0.8931999086,
            -0.009913271426,
            -0.3719279639,
            -0.2005677382,
            0.009283121818,
            0.1909296137,
            0.3722829666,
        ],
        &[10.10859838],
        1e-6,
    );
    check(
        &fitted(&rows, Loss::Gamma, 0.01, true).coefficients,
        &[
            0.8929665424,
            -0.00990185084,
            -0.3719597334,
            -0.2005765191,
            0.01041191153,
            0.1902101703,
            0.3719141707,
        ],
        &[10.09650474],
        1e-6,
    );
    check(
        &fitted(&rows, Loss::Tweedie { power: 1.5 }, 0.01, false).coefficients,
        &[
            0.8973966442,
            -0.009931374701,
            -0.3731406571,
            -0.2021303227,
            0.008225319978,
            0.1901301165,
            0.3769155434,
        ],
        &[10.13126951],
        1e-6,
    );
    check(
        &fitted(&rows, Loss::Tweedie { power: 1.5 }, 0.01, true).coefficients,
        &[
            0.8972496934,
            -0.009913862646,
            -0.3733705726,
            -0.201951691,
            0.00968367748,
            0.189024057,
            0.3766145291,
        ],
        &[10.11274661],
        1e-6,
    );
}

#[test]
fn an_elastic_net_of_classes_is_that_of_scikit_learn() {
    let rows = Rows::new(2_000);
    let second: Vec<f32> = rows.second.iter().map(|value| value / 30.0).collect();
    let design = Design::new(vec![
        Column::Numbers(&rows.first),
        Column::Numbers(&second),
        Column::Codes {
            codes: &rows.codes,
            n_categories: 5,
        },
    ]);
    let labels = rows.binary();
    let with = |weights: Option<&[f64]>| {
        let total = weights.map_or(2_000.0, |weights| weights.iter().sum());
        solve(&Problem {
            weights,
            l1: 10.0 / total,
            ..problem(&design, &labels, Loss::Logistic, 10.0 / total)
        })
        .coefficients
    };
    check(
        &with(None),
        &[
            1.296051608,
            -0.5210616723,
            -0.6360702494,
            -0.2276141641,
            0.0,
            0.2148276387,
            0.5848191642,
        ],
        &[17.8379519],
        1e-5,
    );
    check(
        &with(Some(&rows.weights)),
        &[
            1.387235801,
            -0.5413994906,
            -0.6825913522,
            -0.2844570765,
            0.0,
            0.216452906,
            0.5948682644,
        ],
        &[18.54128629],
        1e-5,
    );
}

#[test]
fn least_squares_are_those_of_scikit_learn() {
    let rows = Rows::new(2_000);
    let labels = rows.counts();
    let total: f64 = rows.weights.iter().sum();
    let of = |design: &Design<'_>, weights: Option<&[f64]>, l2: f64, l1: f64| {
        let gram = Gram::of(design, &labels, weights, 2);
        gram.least_squares(Penalty { l2, l1 }, None, 10_000, 1e-12)
    };
    let full = rows.design();
    let weighted = Some(rows.weights.as_slice());
    check(
        &of(&full, None, 3.0 / 2_000.0, 0.0),
        &[
            1.17180898,
            -0.01143400655,
            -0.4668496549,
            -0.2804156883,
            -0.02939834536,
            0.2616786918,
            0.5149849968,
        ],
        &[12.73403696],
        1e-7,
    );
    check(
        &of(&full, weighted, 3.0 / total, 0.0),
        &[
            1.174931992,
            -0.0113999678,
            -0.4676592844,
            -0.278867559,
            -0.02528312792,
            0.2568285314,
            0.51498144,
        ],
        &[12.69647272],
        1e-7,
    );
    check(
        &of(&full, None, 0.0, 0.01),
        &[
            1.071762789,
            -0.01157115445,
            -0.4052877997,
            -0.2166384146,
            -0.0,
            0.2221281112,
            0.479504478,
        ],
        &[12.89876835],
        1e-7,
    );
    check(
        &of(&full, weighted, 0.0, 0.01),
        &[
            1.071365723,
            -0.01154220288,
            -0.4102426408,
            -0.2194577828,
            -0.0,
            0.2123856519,
            0.4737125544,
        ],
        &[12.87287188],
        1e-7,
    );
    check(
        &of(&full, None, 0.01, 0.01),
        &[
            0.9567103123,
            -0.01160974034,
            -0.3945749223,
            -0.2119124532,
            -0.0,
            0.2039037167,
            0.4450092349,
        ],
        &[12.99988977],
        1e-7,
    );
    check(
        &of(&full, weighted, 0.01, 0.01),
        &[
            0.9565066071,
            -0.01158060119,
            -0.3985631384,
            -0.213909032,
            -0.0,
            0.1959933526,
            0.4404119057,
        ],
        &[12.97279427],
        1e-7,
    );
    // The last category is missing instead of a column of its own.
    let codes: Vec<u32> = rows
        .codes
        .iter()
        .map(|code| if *code == 4 { MISSING_CODE } else { *code })
        .collect();
    let design = Design::new(vec![
        Column::Numbers(&rows.first),
        Column::Numbers(&rows.second),
        Column::Codes {
            codes: &codes,
            n_categories: 5,
        },
    ]);
    check(
        &of(&design, None, 0.0, 0.0),
        &[
            1.192947389,
            -0.01142653944,
            -0.9897375851,
            -0.8024028341,
            -0.5501698891,
            -0.2558517408,
            0.0,
        ],
        &[13.23606853],
        1e-7,
    );
    check(
        &of(&design, weighted, 0.0, 0.0),
        &[
            1.191862491,
            -0.01139388538,
            -0.9889587936,
            -0.7994268114,
            -0.5449210998,
            -0.2602877923,
            0.0,
        ],
        &[13.20097159],
        1e-7,
    );
    // With it the columns depend on each other; the best predictions are the same.
    let all = of(&full, None, 0.0, 0.0);
    let without = of(&design, None, 0.0, 0.0);
    for code in 0..5 {
        let of = |found: &Coefficients| found.intercepts[0] + found.weights[2 + code];
        assert!(
            (of(&all) - of(&without)).abs() < 1e-7,
            "{all:?} {without:?}"
        );
    }
    assert!(
        all.weights[2..].iter().all(|weight| weight.abs() < 2.0),
        "{all:?}"
    );
}

#[test]
fn parts_of_a_gram_merge() {
    let rows = Rows::new(40_000);
    let labels = rows.counts();
    let whole = Gram::of(&rows.design(), &labels, Some(&rows.weights), 1);
    for threads in [2, 5] {
        assert_eq!(
            Gram::of(&rows.design(), &labels, Some(&rows.weights), threads),
            whole
        );
    }
    let mut merged = Gram::empty(7);
    for half in [0..15_000, 15_000..40_000] {
        let design = Design::new(vec![
            Column::Numbers(&rows.first[half.clone()]),
            Column::Numbers(&rows.second[half.clone()]),
            Column::Codes {
                codes: &rows.codes[half.clone()],
                n_categories: 5,
            },
        ]);
        let (labels, weights) = (&labels[half.clone()], &rows.weights[half]);
        merged.merge(&Gram::of(&design, labels, Some(weights), 1));
    }
    assert_eq!(merged.weight, whole.weight);
    for (got, wanted) in merged.products.iter().zip(&whole.products) {
        assert!(
            (got - wanted).abs() < 1e-8 * wanted.abs().max(1.0),
            "{got} {wanted}"
        );
    }
    // Columns of a matrix give what codes give.
    let matrix = rows.matrix();
    let columns: Vec<Vec<f32>> = (0..7)
        .map(|at| matrix.iter().skip(at).step_by(7).copied().collect())
        .collect();
    let dense = Design::new(
        columns
            .iter()
            .map(|column| Column::Numbers(column))
            .collect(),
    );
    let other = Gram::of(&dense, &labels, Some(&rows.weights), 2);
    for (got, wanted) in other.products.iter().zip(&whole.products) {
        assert!(
            (got - wanted).abs() < 1e-8 * wanted.abs().max(1.0),
            "{got} {wanted}"
        );
    }
}

#[test]
fn sums_of_rows_that_come_bit_by_bit() {
    let rows = Rows::new(5_000);
    let labels = rows.counts();
    let design = rows.design();
    let mut sums = GramSums::new(&design);
    for bit in [0..1, 1..700, 700..700, 700..5_000] {
        sums.add(&design, &labels, Some(&rows.weights), bit);
    }
    let whole = Gram::of(&design, &labels, Some(&rows.weights), 1);
    let found = sums.finish();
    assert_eq!(found.weight, whole.weight);
    for (got, wanted) in found.products.iter().zip(&whole.products) {
        assert!(
            (got - wanted).abs() < 1e-9 * wanted.abs().max(1.0),
            "{got} {wanted}"
        );
    }
    assert_eq!(GramSums::new(&design).finish(), Gram::empty(7));
}

/// Row by row it comes near the minimum of all rows.
#[test]
fn rows_one_by_one() {
    let rows = Rows::new(20_000);
    let second: Vec<f32> = rows.second.iter().map(|x| (x - 1_050.0) / 30.0).collect();
    let design = Design::new(vec![
        Column::Numbers(&rows.first),
        Column::Numbers(&second),
        Column::Codes {
            codes: &rows.codes,
            n_categories: 5,
        },
    ]);
    for loss in [Loss::Logistic, Loss::Softmax { n_classes: 3 }] {
        let labels = labels_of(&rows, loss);
        let problem = problem(&design, &labels, loss, 0.0);
        let options = FtrlOptions {
            rate: 0.1,
            smoothing: 1.0,
            l1: 0.0,
            l2: 0.0,
        };
        let mut ftrl = Ftrl::new(7, loss, options);
        let first = ftrl.learn(&design, &labels, None, 0..20_000);
        let again = ftrl.learn(&design, &labels, None, (0..20_000).rev());
        assert!(again < first);
        let least = solve(&problem).value;
        let (reached, _) = objective(&problem, &ftrl.coefficients(), 1);
        assert!(reached < 1.02 * least, "{loss:?} {reached} {least}");
        // The coefficients after `start_from` are the given ones, and a large penalty leaves none.
        let mut next = Ftrl::new(7, loss, options);
        next.start_from(&ftrl.coefficients(), 100.0);
        let pairs = next.coefficients();
        check(
            &pairs,
            &ftrl.coefficients().weights,
            &ftrl.coefficients().intercepts,
            1e-9,
        );
        let mut none = Ftrl::new(7, loss, FtrlOptions { l1: 1e9, ..options });
        none.learn(&design, &labels, None, 0..20_000);
        assert!(
            none.coefficients()
                .weights
                .iter()
                .all(|weight| *weight == 0.0)
        );
    }
}
