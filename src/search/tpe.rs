//! The tree-structured Parzen estimator.
//!
//! Bergstra and others: Algorithms for hyper-parameter optimization (NIPS 2011); with one kernel for all parameters of a
//! trial, as in Falkner, Klein, Hutter: BOHB (ICML 2018) and Optuna's `multivariate`. A proposal is likely among the best
//! trials and unlikely among the rest. Widths of kernels, weights by age and the smoothing of choices are as in Optuna 5.
//! Trials that are under way count among the rest ("constant liar"), so that a batch spreads.

use super::space::{Alternative, Point, Space};
use crate::training::Random;

/// A trial as later ones see it.
#[derive(Clone, Debug)]
pub(super) struct Observation {
    pub(super) point: Point,
    /// The lower, the better; infinite of a trial that failed or is under way.
    pub(super) loss: f64,
}

/// The number of random trials before any is proposed.
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
    let mut order: Vec<(usize, &Observation)> = seen.iter().enumerate().collect();
    // Stable, so that of equal trials the earlier is the better.
    order.sort_by(|(_, a), (_, b)| a.loss.total_cmp(&b.loss));
    let n_best = ((BEST * order.len() as f64).ceil() as usize).min(MOST_BEST);
    let mut rest = order.split_off(n_best);
    // The order is by age, which the weights depend on.
    order.sort_by_key(|(number, _)| *number);
    rest.sort_by_key(|(number, _)| *number);
    let good = Estimate::of(space, &order);
    let bad = Estimate::of(space, &rest);
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

/// The density of places among some trials: a mixture of one kernel a trial and one that is uniform.
struct Estimate {
    /// For each alternative: its share, and its trials.
    alternatives: Vec<(f64, Kernels)>,
}

/// The kernels of an alternative.
#[derive(Clone, Default)]
struct Kernels {
    weights: Vec<f64>,
    /// By trial and parameter; none of a parameter that did not matter in that trial.
    places: Vec<Vec<Option<Kernel>>>,
}

/// A kernel in one parameter: where it is, and its standard deviation as a share of the range.
#[derive(Clone, Copy)]
struct Kernel {
    place: f64,
    width: f64,
}

impl Estimate {
    /// The estimate of trials in the order of their age, the oldest first.
    fn of(space: &Space, trials: &[(usize, &Observation)]) -> Self {
        let n = space.alternatives.len();
        let mut alternatives = vec![(0.0, Kernels::default()); n];
        for (at, (_, trial)) in trials.iter().enumerate() {
            let kernels = &mut alternatives[trial.point.alternative].1;
            let alternative = space.alternative(&trial.point);
            let active = alternative.configuration(&trial.point.places).0;
            let places = trial.point.places.iter().zip(active);
            let kernel = |(place, active): (&f64, bool)| {
                let (place, width) = (*place, 1.0);
                active.then_some(Kernel { place, width })
            };
            kernels.places.push(places.map(kernel).collect());
            kernels.weights.push(weight(at, trials.len()));
        }
        let total = trials.len() as f64 + 1.0;
        for (share, kernels) in &mut alternatives {
            *share = (kernels.places.len() as f64 + 1.0 / n as f64) / total;
            kernels.set_widths();
        }
        Estimate { alternatives }
    }

    fn sample(&self, space: &Space, random: &mut Random) -> Point {
        let shares = self.alternatives.iter().map(|(share, _)| *share);
        let alternative = drawn(shares, random).min(self.alternatives.len() - 1);
        let parameters = &space.alternatives[alternative].parameters;
        let kernels = &self.alternatives[alternative].1;
        // Beyond the last is the uniform kernel.
        let kernel = drawn(kernels.weights.iter().copied().chain([1.0]), random);
        let places = parameters.iter().enumerate().map(|(at, parameter)| {
            let Some(Kernel { place, width }) = kernels.places.get(kernel).and_then(|of| of[at])
            else {
                return random.uniform();
            };
            match parameter.domain.n_choices() {
                Some(n) => match random.uniform() < spread(kernels.places.len(), n) {
                    true => random.uniform(),
                    false => (choice(place, n) as f64 + 0.5) / n as f64,
                },
                None => loop {
                    let place = place + width * random.normal();
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
        let active = alternative.configuration(&point.places).0;
        let n = kernels.places.len();
        let density = |places: &Vec<Option<Kernel>>| -> f64 {
            let parameters = places.iter().enumerate().filter(|(at, _)| active[*at]);
            let densities = parameters.map(|(at, kernel)| match kernel {
                Some(kernel) => kernel.density(alternative, at, point.places[at], n),
                None => 1.0,
            });
            densities.product()
        };
        let all = kernels.places.iter().zip(&kernels.weights);
        let sum = 1.0
            + all
                .map(|(places, weight)| weight * density(places))
                .sum::<f64>();
        let total = 1.0 + kernels.weights.iter().sum::<f64>();
        share.ln() + (sum / total).ln()
    }
}

impl Kernels {
    /// The width of a kernel is the distance to the further one of its neighbours (Bergstra and others, 2011), but at
    /// least that of as many kernels side by side, or a hundredth; of one alone, the whole range.
    fn set_widths(&mut self) {
        let least = 1.0 / (self.places.len() as f64 + 2.0).min(100.0);
        let n_parameters = self.places.first().map_or(0, Vec::len);
        for at in 0..n_parameters {
            let mut sorted: Vec<&mut Kernel> = (self.places.iter_mut())
                .filter_map(|kernels| kernels[at].as_mut())
                .collect();
            sorted.sort_by(|a, b| a.place.total_cmp(&b.place));
            let places: Vec<f64> = sorted.iter().map(|kernel| kernel.place).collect();
            for (rank, kernel) in sorted.into_iter().enumerate() {
                let left = rank
                    .checked_sub(1)
                    .map(|before| kernel.place - places[before]);
                let right = places.get(rank + 1).map(|after| after - kernel.place);
                let further = match (left, right) {
                    (Some(left), Some(right)) => left.max(right),
                    (Some(one), None) | (None, Some(one)) => one,
                    (None, None) => 1.0,
                };
                kernel.width = further.clamp(least, 1.0);
            }
        }
    }
}

impl Kernel {
    /// The density at a place; 1 is that of the uniform kernel.
    fn density(self, alternative: &Alternative, at: usize, place: f64, n: usize) -> f64 {
        match alternative.parameters[at].domain.n_choices() {
            Some(choices) => {
                let spread = spread(n, choices);
                let is_same = choice(self.place, choices) == choice(place, choices);
                spread + (1.0 - spread) * if is_same { choices as f64 } else { 0.0 }
            }
            None => {
                let z = |x: f64| (x - self.place) / self.width;
                let inside = normal_cdf(z(1.0)) - normal_cdf(z(0.0));
                let density =
                    (-0.5 * z(place).powi(2)).exp() / (std::f64::consts::TAU.sqrt() * self.width);
                density / inside.max(1e-12)
            }
        }
    }
}

/// The weight of a trial by its age: all of the newest 25 count fully, those before the less, the older they are.
fn weight(at: usize, n: usize) -> f64 {
    const FULL: usize = 25;
    match n.saturating_sub(FULL) {
        0 => 1.0,
        old if at >= old => 1.0,
        1 => 1.0 / n as f64,
        old => {
            let oldest = 1.0 / n as f64;
            oldest + (1.0 - oldest) * at as f64 / (old - 1) as f64
        }
    }
}

/// The place of one of some weights, drawn by them.
fn drawn(weights: impl Iterator<Item = f64> + Clone, random: &mut Random) -> usize {
    let mut left = random.uniform() * weights.clone().sum::<f64>();
    let mut last = 0;
    for (at, weight) in weights.enumerate() {
        last = at;
        left -= weight;
        if left < 0.0 {
            break;
        }
    }
    last
}

/// The probability that a kernel of a choice gives any value instead of its own.
fn spread(n: usize, choices: usize) -> f64 {
    choices as f64 / (choices + n + 1) as f64
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
mod tests;
