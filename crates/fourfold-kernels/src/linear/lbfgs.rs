//! L-BFGS (Nocedal and Wright, Numerical Optimization, algorithm 7.4) with a weak Wolfe line search; with an L1
//! penalty its orthant-wise form, OWL-QN (Andrew and Gao, ICML 2007).

use std::collections::VecDeque;
use std::ops::ControlFlow;

/// The reason why a solver ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The gradient is as short as requested, or the value does not fall any more.
    Converged,
    /// After as many iterations as are allowed.
    Iterations,
    /// The caller said so.
    Cancelled,
}

/// When to end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) max_iterations: usize,
    /// The tolerance of the largest component of the gradient.
    pub(super) tolerance: f64,
}

/// The point at which the solver ended.
#[derive(Clone, Debug)]
pub(super) struct Minimum {
    pub(super) x: Vec<f64>,
    pub(super) value: f64,
    pub(super) iterations: usize,
    pub(super) evaluations: usize,
    pub(super) stop: Stop,
}

/// The number of steps that are remembered.
const MEMORY: usize = 10;
/// The share of the expected decrease that a step must bring.
const ARMIJO: f64 = 1e-4;
/// The share of the slope that a step may leave.
const WOLFE: f64 = 0.9;
const MAX_TRIES: usize = 30;

/// Minimizes `value(x) + sum(l1 * |x|)`. `value` writes the gradient of the smooth part; `watch` is asked before every
/// evaluation, with the iterations done and the lowest value so far.
pub(super) fn minimize(
    start: Vec<f64>,
    l1: Option<&[f64]>,
    limits: Limits,
    mut value: impl FnMut(&[f64], &mut [f64]) -> f64,
    mut watch: impl FnMut(usize, f64) -> ControlFlow<()>,
) -> Minimum {
    let n = start.len();
    let mut whole = |x: &[f64], gradient: &mut [f64]| {
        let penalty: f64 = l1.map_or(0.0, |l1| x.iter().zip(l1).map(|(x, l1)| l1 * x.abs()).sum());
        value(x, gradient) + penalty
    };
    let mut gradient = vec![0.0; n];
    let mut best = Minimum {
        value: f64::INFINITY,
        x: start,
        iterations: 0,
        evaluations: 0,
        stop: Stop::Cancelled,
    };
    if watch(0, best.value).is_break() {
        return best;
    }
    best.value = whole(&best.x, &mut gradient);
    best.evaluations = 1;
    let mut memory = Memory::default();
    let (mut x, mut new_gradient) = (vec![0.0; n], vec![0.0; n]);
    loop {
        let slope = pseudo_gradient(&best.x, &gradient, l1);
        if largest(&slope) <= limits.tolerance {
            best.stop = Stop::Converged;
            return best;
        }
        if best.iterations == limits.max_iterations {
            best.stop = Stop::Iterations;
            return best;
        }
        let mut direction = memory.direction(&slope);
        if l1.is_some() {
            for (direction, slope) in direction.iter_mut().zip(&slope) {
                if *direction * slope >= 0.0 {
                    *direction = 0.0;
                }
            }
        }
        let mut decrease = dot(&slope, &direction);
        if decrease >= 0.0 || !decrease.is_finite() {
            memory = Memory::default();
            direction = slope.iter().map(|slope| -slope).collect();
            decrease = -dot(&slope, &slope);
        }
        let (mut step, mut low, mut high) = (1.0, 0.0, f64::INFINITY);
        let mut found = None;
        for _ in 0..MAX_TRIES {
            for at in 0..n {
                x[at] = best.x[at] + step * direction[at];
                if l1.is_some() {
                    let orthant = if best.x[at] == 0.0 {
                        -slope[at]
                    } else {
                        best.x[at]
                    };
                    if x[at] * orthant <= 0.0 {
                        x[at] = 0.0;
                    }
                }
            }
            if watch(best.iterations, best.value).is_break() {
                best.stop = Stop::Cancelled;
                return best;
            }
            let reached = whole(&x, &mut new_gradient);
            best.evaluations += 1;
            let expected = match l1 {
                None => step * decrease,
                Some(_) => slope
                    .iter()
                    .zip(&x)
                    .zip(&best.x)
                    .map(|((s, x), old)| s * (x - old))
                    .sum(),
            };
            let slope_there = dot(&new_gradient, &direction);
            // At the last digits of the value only the slope still tells (Hager and Zhang, 2005).
            let flat = l1.is_none()
                && reached <= best.value + 1e-15 * best.value.abs()
                && slope_there <= (2.0 * ARMIJO - 1.0) * decrease;
            if !(reached <= best.value + ARMIJO * expected || flat) {
                high = step;
                let parabola =
                    -0.5 * decrease * step * step / (reached - best.value - step * decrease);
                let width = high - low;
                step = if low == 0.0 && parabola.is_finite() {
                    parabola.clamp(0.1 * width, 0.5 * width)
                } else {
                    low + 0.5 * width
                };
            } else if l1.is_none() && slope_there < WOLFE * decrease {
                low = step;
                step = if high.is_finite() {
                    0.5 * (low + high)
                } else {
                    2.0 * step
                };
            } else {
                found = Some(reached);
                break;
            }
        }
        let Some(reached) = found else {
            if memory.is_empty() {
                best.stop = Stop::Converged;
                return best;
            }
            memory = Memory::default();
            continue;
        };
        memory.remember(&best.x, &x, &gradient, &new_gradient);
        let fall = best.value - reached;
        std::mem::swap(&mut best.x, &mut x);
        std::mem::swap(&mut gradient, &mut new_gradient);
        best.value = reached;
        best.iterations += 1;
        if fall <= 64.0 * f64::EPSILON * reached.abs().max(1e-3) {
            best.stop = Stop::Converged;
            return best;
        }
    }
}

/// The gradient; with an L1 penalty the shortest of the subgradients.
fn pseudo_gradient(x: &[f64], gradient: &[f64], l1: Option<&[f64]>) -> Vec<f64> {
    let Some(l1) = l1 else {
        return gradient.to_vec();
    };
    let places = x.iter().zip(gradient).zip(l1);
    places
        .map(|((x, gradient), l1)| {
            if *x > 0.0 {
                gradient + l1
            } else if *x < 0.0 {
                gradient - l1
            } else {
                (gradient - l1).max(0.0) + (gradient + l1).min(0.0)
            }
        })
        .collect()
}

/// The last steps, and what they changed of the gradient.
#[derive(Default)]
struct Memory(VecDeque<(Vec<f64>, Vec<f64>, f64)>);

impl Memory {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn remember(&mut self, from: &[f64], to: &[f64], old: &[f64], new: &[f64]) {
        let mut pair = if self.0.len() == MEMORY {
            self.0.pop_front().unwrap_or_default()
        } else {
            (vec![0.0; from.len()], vec![0.0; from.len()], 0.0)
        };
        for at in 0..from.len() {
            pair.0[at] = to[at] - from[at];
            pair.1[at] = new[at] - old[at];
        }
        pair.2 = dot(&pair.0, &pair.1);
        if pair.2 > 1e-14 * dot(&pair.1, &pair.1) {
            self.0.push_back(pair);
        }
    }

    fn direction(&self, slope: &[f64]) -> Vec<f64> {
        let mut direction: Vec<f64> = slope.iter().map(|slope| -slope).collect();
        let mut shares = Vec::with_capacity(self.0.len());
        for (step, change, product) in self.0.iter().rev() {
            let share = dot(step, &direction) / product;
            add_times(&mut direction, -share, change);
            shares.push(share);
        }
        if let Some((_, change, product)) = self.0.back() {
            let scale = product / dot(change, change);
            direction.iter_mut().for_each(|value| *value *= scale);
        }
        for ((step, change, product), share) in self.0.iter().zip(shares.iter().rev()) {
            let back = dot(change, &direction) / product;
            add_times(&mut direction, share - back, step);
        }
        direction
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 4];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<4>(), b.as_chunks::<4>());
    for (a, b) in a.iter().zip(b) {
        for lane in 0..4 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f64>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f64>()
}

fn add_times(to: &mut [f64], factor: f64, from: &[f64]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += factor * from;
    }
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |most, value| value.abs().max(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rosenbrock(x: &[f64], gradient: &mut [f64]) -> f64 {
        let (a, b) = (x[0], x[1]);
        gradient[0] = -2.0 * (1.0 - a) - 400.0 * a * (b - a * a);
        gradient[1] = 200.0 * (b - a * a);
        (1.0 - a).powi(2) + 100.0 * (b - a * a).powi(2)
    }

    const LIMITS: Limits = Limits {
        max_iterations: 200,
        tolerance: 1e-9,
    };

    #[test]
    fn a_curved_valley() {
        let start = vec![-1.2, 1.0];
        let found = minimize(start, None, LIMITS, rosenbrock, |_, _| {
            ControlFlow::Continue(())
        });
        assert_eq!(found.stop, Stop::Converged);
        assert!(
            (found.x[0] - 1.0).abs() < 1e-8 && (found.x[1] - 1.0).abs() < 1e-8,
            "{found:?}"
        );
    }

    #[test]
    fn the_best_so_far_when_it_is_cancelled() {
        let mut asked = 0;
        let found = minimize(vec![-1.2, 1.0], None, LIMITS, rosenbrock, |_, _| {
            asked += 1;
            if asked > 20 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        assert_eq!((found.stop, found.evaluations), (Stop::Cancelled, 20));
        let mut gradient = [0.0; 2];
        assert_eq!(rosenbrock(&found.x, &mut gradient), found.value);
        assert!(found.value < rosenbrock(&[-1.2, 1.0], &mut gradient));
    }

    /// `sum((x - c)² / 2) + sum(|x|)` has its minimum at `c`, shrunk by 1.
    #[test]
    fn what_is_small_becomes_zero() {
        let centres = [3.0, -0.5, 0.2, -4.0];
        let value = |x: &[f64], gradient: &mut [f64]| {
            let mut sum = 0.0;
            for at in 0..4 {
                gradient[at] = x[at] - centres[at];
                sum += 0.5 * gradient[at] * gradient[at];
            }
            sum
        };
        let found = minimize(
            vec![1.0, 1.0, -1.0, 0.0],
            Some(&[1.0; 4]),
            LIMITS,
            value,
            |_, _| ControlFlow::Continue(()),
        );
        for (x, wanted) in found.x.iter().zip([2.0, 0.0, 0.0, -3.0]) {
            assert!((x - wanted).abs() < 1e-8, "{found:?}");
        }
    }
}
