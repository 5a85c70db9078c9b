use std::collections::BTreeMap;

use serde_json::Value;

use super::*;
use crate::training::{GradientBoosting, LogisticRegression};

fn space() -> Space {
    Space::of(GradientBoosting::default())
        .log("learning_rate", 0.01, 1.0)
        .float("row_fraction", 0.1, 1.0)
        .float("l2", 0.0, 10.0)
        .or(Space::of(LogisticRegression::default()).log("alpha", 0.01, 100.0))
}

/// A bowl with its lowest point at 0.7, 0.2, 0.5 of the first alternative.
fn loss(point: &Point) -> f64 {
    match point.alternative {
        0 => {
            let wanted = [0.7, 0.2, 0.5];
            let places = point.places.iter().zip(wanted);
            places.map(|(place, wanted)| (place - wanted).powi(2)).sum()
        }
        _ => 0.3 + point.places[0],
    }
}

fn best_of(n: usize, seed: u64, next: impl Fn(&[Observation], &mut Random) -> Point) -> f64 {
    let mut random = Random::new(seed);
    let mut seen = Vec::new();
    for _ in 0..n {
        let point = next(&seen, &mut random);
        let loss = loss(&point);
        seen.push(Observation { point, loss });
    }
    seen.iter()
        .map(|trial| trial.loss)
        .fold(f64::INFINITY, f64::min)
}

#[test]
fn it_beats_chance() {
    let space = space();
    let seeds = 0..20;
    let mean = |next: &dyn Fn(&[Observation], &mut Random) -> Point| {
        let found = seeds.clone().map(|seed| best_of(60, seed, next));
        found.sum::<f64>() / 20.0
    };
    let by_chance = mean(&|_, generator| random(&space, generator));
    let by_estimate = mean(&|seen, generator| propose(&space, seen, generator));
    assert!(
        by_estimate < 0.4 * by_chance,
        "{by_estimate} beside {by_chance}"
    );
}

#[test]
fn trials_under_way_are_kept_away_from() {
    let space = space();
    let mut random = Random::new(5);
    let mut seen: Vec<Observation> = (0..30)
        .map(|_| {
            let point = self::random(&space, &mut random);
            let loss = loss(&point);
            Observation { point, loss }
        })
        .collect();
    let batch: Vec<Point> = (0..4)
        .map(|_| {
            let point = propose(&space, &seen, &mut random);
            seen.push(Observation {
                point: point.clone(),
                loss: f64::INFINITY,
            });
            point
        })
        .collect();
    for (at, point) in batch.iter().enumerate() {
        assert!(batch[..at].iter().all(|other| other != point));
    }
}

#[test]
fn the_normal_distribution() {
    for (z, wanted) in [(0.0, 0.5), (1.96, 0.975_002_1), (-1.0, 0.158_655_3)] {
        assert!((normal_cdf(z) - wanted).abs() < 2e-7, "{z}");
    }
}

/// A function to minimise over a space.
struct Objective {
    name: &'static str,
    space: Space,
    loss: fn(usize, &BTreeMap<&str, Value>) -> f64,
}

fn number(values: &BTreeMap<&str, Value>, name: &str) -> f64 {
    values[name].as_f64().unwrap()
}

/// The numbers of a place, in the order of their names.
fn numbers(values: &BTreeMap<&str, Value>) -> Vec<f64> {
    values
        .values()
        .map(|value| value.as_f64().unwrap())
        .collect()
}

fn floats(n: usize, low: f64, high: f64) -> Space {
    let space = Space::of(GradientBoosting::default());
    (0..n).fold(space, |space, at| space.float(&format!("x{at}"), low, high))
}

fn hartmann(x: &[f64]) -> f64 {
    const A: [[f64; 6]; 4] = [
        [10.0, 3.0, 17.0, 3.5, 1.7, 8.0],
        [0.05, 10.0, 17.0, 0.1, 8.0, 14.0],
        [3.0, 3.5, 1.7, 10.0, 17.0, 8.0],
        [17.0, 8.0, 0.05, 10.0, 0.1, 14.0],
    ];
    const P: [[f64; 6]; 4] = [
        [0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886],
        [0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991],
        [0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650],
        [0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381],
    ];
    let bump = |(a, p): (&[f64; 6], &[f64; 6])| -> f64 {
        let terms = (0..6).map(|at| a[at] * (x[at] - p[at]).powi(2));
        (-terms.sum::<f64>()).exp()
    };
    let bumps = A.iter().zip(&P).map(bump).zip([1.0, 1.2, 3.0, 3.2]);
    // From the minimum on.
    3.322_37 - bumps.map(|(bump, height)| bump * height).sum::<f64>()
}

/// Those of `benches/peers/tpe.py`, each with its minimum at 0.
fn objectives() -> Vec<Objective> {
    let mixed = Space::of(GradientBoosting::default())
        .log("rate", 1e-4, 1.0)
        .integer_log("leaves", 2, 256)
        .choice("kind", ["a", "b", "c"]);
    let conditional = Space::of(GradientBoosting::default())
        .choice("kind", ["a", "b"])
        .float("x", -5.0, 5.0)
        .when("kind", ["a"])
        .log("y", 1e-3, 1e3)
        .when("kind", ["b"])
        .float("z", 0.0, 1.0);
    let several =
        floats(3, -2.0, 2.0).or(Space::of(LogisticRegression::default()).log("rate", 1e-3, 1e3));
    let objective = |name, space, loss| Objective { name, space, loss };
    vec![
        objective("branin", floats(2, 0.0, 15.0), |_, values| {
            let (x, y) = (number(values, "x0") - 5.0, number(values, "x1"));
            let pi = std::f64::consts::PI;
            let b = y - 5.1 / (4.0 * pi * pi) * x * x + 5.0 / pi * x - 6.0;
            b * b + 10.0 * (1.0 - 1.0 / (8.0 * pi)) * x.cos() + 10.0 - 0.397_887
        }),
        objective("hartmann6", floats(6, 0.0, 1.0), |_, values| {
            hartmann(&numbers(values))
        }),
        objective("rosenbrock4", floats(4, -2.0, 2.0), |_, values| {
            let x = numbers(values);
            let term = |pair: &[f64]| {
                100.0 * (pair[1] - pair[0] * pair[0]).powi(2) + (1.0 - pair[0]).powi(2)
            };
            x.windows(2).map(term).sum()
        }),
        objective("rastrigin5", floats(5, -5.12, 5.12), |_, values| {
            let term = |x: f64| x * x - 10.0 * (std::f64::consts::TAU * x).cos() + 10.0;
            numbers(values).into_iter().map(term).sum()
        }),
        objective("mixed", mixed, |_, values| {
            let kind = match values["kind"].as_str() {
                Some("a") => 0.0,
                Some("b") => 0.5,
                _ => 1.0,
            };
            (number(values, "rate").log10() + 2.0).powi(2)
                + (number(values, "leaves").log2() - 5.0).powi(2) / 4.0
                + kind
        }),
        objective("conditional", conditional, |_, values| {
            let of_kind = match values["kind"].as_str() {
                Some("a") => (number(values, "x") - 2.0).powi(2) + 0.5,
                _ => (number(values, "y").log10() - 1.0).powi(2),
            };
            of_kind + (number(values, "z") - 0.3).powi(2)
        }),
        objective(
            "alternatives",
            several,
            |alternative, values| match alternative {
                0 => numbers(values).iter().map(|x| (x - 0.7).powi(2)).sum(),
                _ => 0.2 + (number(values, "rate").log10() - 1.0).powi(2),
            },
        ),
    ]
}

/// The least value that a number of trials finds, a batch at a time.
fn least(objective: &Objective, trials: usize, batch: usize, seed: u64) -> f64 {
    let space = &objective.space;
    let mut seen: Vec<Observation> = Vec::new();
    while seen.len() < trials {
        let first = seen.len();
        for at in first..(first + batch).min(trials) {
            let point = propose(space, &seen, &mut Random::of(seed, at));
            seen.push(Observation {
                point,
                loss: f64::INFINITY,
            });
        }
        for trial in &mut seen[first..] {
            let values = space
                .alternative(&trial.point)
                .configuration(&trial.point.places)
                .1;
            trial.loss = (objective.loss)(trial.point.alternative, &values);
        }
    }
    seen.iter()
        .map(|trial| trial.loss)
        .fold(f64::INFINITY, f64::min)
}

#[test]
fn every_objective_is_searched_better_than_by_chance() {
    for objective in objectives() {
        let by_chance = |seed: u64| {
            let point = |at| random(&objective.space, &mut Random::of(seed, at));
            let loss = |point: Point| {
                let values = objective
                    .space
                    .alternative(&point)
                    .configuration(&point.places)
                    .1;
                (objective.loss)(point.alternative, &values)
            };
            (0..60).map(point).map(loss).fold(f64::INFINITY, f64::min)
        };
        let mean = |find: &dyn Fn(u64) -> f64| (0..6).map(find).sum::<f64>() / 6.0;
        let (found, chance) = (
            mean(&|seed| least(&objective, 60, 4, seed)),
            mean(&by_chance),
        );
        assert!(
            found < chance,
            "{}: {found} beside {chance}",
            objective.name
        );
    }
}

#[test]
#[ignore = "prints the table that benches/peers/tpe.py prints of Optuna"]
fn beside_optuna() {
    for objective in objectives() {
        let mean = |batch: usize| {
            let found: Vec<f64> = (0..30)
                .map(|seed| least(&objective, 100, batch, seed))
                .collect();
            let mut sorted = found.clone();
            sorted.sort_by(f64::total_cmp);
            let median = f64::midpoint(sorted[14], sorted[15]);
            format!(
                "{:.4} (median {median:.4})",
                found.iter().sum::<f64>() / 30.0
            )
        };
        eprintln!(
            "{:12}  one by one {}  by four {}",
            objective.name,
            mean(1),
            mean(4)
        );
    }
}
