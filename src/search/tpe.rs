//! The tree-structured Parzen estimator.
//!
//! Bergstra and others: Algorithms for hyper-parameter optimization (NIPS 2011); with one kernel for all parameters of a
//! trial, as in Falkner, Klein, Hutter: BOHB (ICML 2018) and Optuna's `multivariate`. What is proposed is likely among
//! the best trials and unlikely among the rest. Trials that are under way count among the rest ("constant liar"), so that
//! a batch spreads.

use super::space::{Alternative, Point, Space};
use crate::training::Random;

/// A trial as later ones see it.
#[derive(Clone, Debug)]
pub(super) struct Observation {
    pub(super) point: Point,
    /// The lower, the better; infinite of a trial that failed or is under way.
    pub(super) loss: f64,
}

/// So many trials are random before any is proposed.
const STARTUP: usize = 10;
const CANDIDATES: usize = 24;
/// The share of trials that are the best, and how many at most.
const BEST: f64 = 0.1;
const MOST_BEST: usize = 25;

/// A random place.
pub(super) fn random(space: &Space, random: &mut Random) -> Point {
    let n = space.alternatives.len();
    let alternative = ((random.uniform() * n as f64) as usize).min(n - 1);
    let parameters = &space.alternatives[alternative].parameters;
    Point {
        alternative,
        places: parameters.iter().map(|_| random.uniform()).collect(),
    }
}

/// The next place to try, after these trials.
pub(super) fn propose(space: &Space, seen: &[Observation], random: &mut Random) -> Point {
    if seen.iter().filter(|trial| trial.loss.is_finite()).count() < STARTUP {
        return self::random(space, random);
    }
    let mut order: Vec<&Observation> = seen.iter().collect();
    // Stable, so that of equal trials the earlier is the better.
    order.sort_by(|a, b| a.loss.total_cmp(&b.loss));
    let n_best = ((BEST * order.len() as f64).ceil() as usize).min(MOST_BEST);
    let (best, rest) = order.split_at(n_best);
    let good = Estimate::of(space, best);
    let bad = Estimate::of(space, rest);
    let mut found: Option<(f64, Point)> = None;
    for _ in 0..CANDIDATES {
        let point = good.sample(space, random);
        let gain = good.log_density(space, &point) - bad.log_density(space, &point);
        if found.as_ref().is_none_or(|(most, _)| gain > *most) {
            found = Some((gain, point));
        }
    }
    found.map_or_else(|| self::random(space, random), |(_, point)| point)
}

/// How likely each place is among some trials.
struct Estimate {
    /// By alternative: its share, and its trials' places.
    alternatives: Vec<(f64, Vec<Vec<f64>>)>,
}

impl Estimate {
    fn of(space: &Space, trials: &[&Observation]) -> Self {
        let n = space.alternatives.len();
        let mut alternatives = vec![(0.0, Vec::new()); n];
        for trial in trials {
            let place = &mut alternatives[trial.point.alternative];
            place.1.push(trial.point.places.clone());
        }
        let total = trials.len() as f64 + 1.0;
        for (share, places) in &mut alternatives {
            *share = (places.len() as f64 + 1.0 / n as f64) / total;
        }
        Estimate { alternatives }
    }

    fn sample(&self, space: &Space, random: &mut Random) -> Point {
        let mut left = random.uniform();
        let mut alternative = 0;
        for (at, (share, _)) in self.alternatives.iter().enumerate() {
            alternative = at;
            left -= share;
            if left < 0.0 {
                break;
            }
        }
        let parameters = &space.alternatives[alternative].parameters;
        let kernels = &self.alternatives[alternative].1;
        // One more kernel is the whole range.
        let kernel = (random.uniform() * (kernels.len() + 1) as f64) as usize;
        let width = width(kernels.len(), parameters.len());
        let places = parameters.iter().enumerate().map(|(at, parameter)| {
            let Some(kernel) = kernels.get(kernel) else {
                return random.uniform();
            };
            match parameter.domain.n_choices() {
                Some(n) => {
                    let spread = spread(kernels.len());
                    match random.uniform() < spread {
                        true => random.uniform(),
                        false => (choice(kernel[at], n) as f64 + 0.5) / n as f64,
                    }
                }
                None => loop {
                    let place = kernel[at] + width * random.normal();
                    if (0.0..=1.0).contains(&place) {
                        break place;
                    }
                },
            }
        });
        Point {
            alternative,
            places: places.collect(),
        }
    }

    fn log_density(&self, space: &Space, point: &Point) -> f64 {
        let alternative = &space.alternatives[point.alternative];
        let (share, kernels) = &self.alternatives[point.alternative];
        let matters = alternative.configuration(&point.places).0;
        let width = width(kernels.len(), alternative.parameters.len());
        let density = |kernel: &Vec<f64>| -> f64 {
            let parameters = alternative.parameters.iter().enumerate();
            parameters
                .filter(|(at, _)| matters[*at])
                .map(|(at, _)| {
                    at_parameter(
                        alternative,
                        at,
                        kernel[at],
                        point.places[at],
                        width,
                        kernels.len(),
                    )
                })
                .product()
        };
        let sum: f64 = 1.0 + kernels.iter().map(density).sum::<f64>();
        share.ln() + (sum / (kernels.len() + 1) as f64).ln()
    }
}

/// The density of one kernel at a place, in one parameter; 1 is that of the whole range.
fn at_parameter(
    alternative: &Alternative,
    at: usize,
    kernel: f64,
    place: f64,
    width: f64,
    n: usize,
) -> f64 {
    match alternative.parameters[at].domain.n_choices() {
        Some(choices) => {
            let spread = spread(n);
            let is_same = choice(kernel, choices) == choice(place, choices);
            spread + (1.0 - spread) * if is_same { choices as f64 } else { 0.0 }
        }
        None => {
            let z = |x: f64| (x - kernel) / width;
            let inside = normal_cdf(z(1.0)) - normal_cdf(z(0.0));
            let density = (-0.5 * z(place).powi(2)).exp() / (std::f64::consts::TAU.sqrt() * width);
            density / inside.max(1e-12)
        }
    }
}

/// The standard deviation of a kernel, as a share of the range: Scott's rule, not below what the trials can tell apart.
fn width(n: usize, dimensions: usize) -> f64 {
    let scott = 0.2 * (n.max(1) as f64).powf(-1.0 / (dimensions as f64 + 4.0));
    scott.max(1.0 / (n + 1).min(100) as f64)
}

/// How likely a kernel gives any value of a choice, not its own.
fn spread(n: usize) -> f64 {
    1.0 / (1.0 + n as f64).sqrt()
}

fn choice(place: f64, n: usize) -> usize {
    ((place * n as f64) as usize).min(n - 1)
}

/// Within 1e-7 (Abramowitz and Stegun, 7.1.26).
fn normal_cdf(z: f64) -> f64 {
    let x = z.abs() / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let sum = t
        * (0.254_829_592
            + t * (-0.284_496_736
                + t * (1.421_413_741 + t * (-1.453_152_027 + t * 1.061_405_429))));
    let erf = 1.0 - sum * (-x * x).exp();
    0.5 * (1.0 + erf.copysign(z))
}

#[cfg(test)]
mod tests {
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
}
