//! The values that a parameter may take.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};

/// The values of a parameter, as the interval from 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Domain {
    /// Numbers from `low` to `high`, uniform or log-uniform.
    Float {
        /// The least.
        low: f64,
        /// The greatest.
        high: f64,
        /// Log-uniform: for parameters whose order of magnitude matters.
        log: bool,
    },
    /// Integers from `low` to `high`, both included.
    Integer {
        /// The least.
        low: i64,
        /// The greatest.
        high: i64,
        /// Log-uniform.
        log: bool,
    },
    /// One of these values, which are unordered.
    Choice(Vec<Value>),
}

impl Domain {
    /// Checks the bounds.
    pub(super) fn check(&self, name: &str) -> Result<()> {
        let refuse = |what: String| Err(Error::config(format!("parameter `{name}` {what}")));
        match self {
            Domain::Float { low, high, log } => {
                if !(low.is_finite() && high.is_finite() && low < high) {
                    return refuse(format!(
                        "is from {low} to {high}, must be finite, with `low` below `high`"
                    ));
                }
                if *log && *low <= 0.0 {
                    return refuse(format!("is log-uniform from {low}, must be above 0"));
                }
            }
            Domain::Integer { low, high, log } => {
                if low >= high {
                    return refuse(format!(
                        "is from {low} to {high}, `low` must be below `high`"
                    ));
                }
                if *log && *low < 1 {
                    return refuse(format!("is log-uniform from {low}, must be above 0"));
                }
            }
            Domain::Choice(values) if values.is_empty() => {
                return refuse("is a choice of no values".to_owned());
            }
            Domain::Choice(_) => {}
        }
        Ok(())
    }

    /// The number of values of a choice.
    pub(super) fn n_choices(&self) -> Option<usize> {
        match self {
            Domain::Choice(values) => Some(values.len()),
            Domain::Float { .. } | Domain::Integer { .. } => None,
        }
    }

    /// The value at a place from 0 to 1.
    pub(super) fn value(&self, place: f64) -> Value {
        let place = place.clamp(0.0, 1.0);
        match self {
            Domain::Float { low, high, log } => {
                let value = between(*low, *high, *log, place);
                Value::from(value.clamp(*low, *high))
            }
            Domain::Integer { low, high, log } => {
                // Half a step to either side, so that the ends are as likely as the rest.
                let (from, to) = (*low as f64 - 0.5, *high as f64 + 0.5);
                let value = between(from, to, *log, place).round() as i64;
                Value::from(value.clamp(*low, *high))
            }
            Domain::Choice(values) => {
                let at = (place * values.len() as f64) as usize;
                values[at.min(values.len() - 1)].clone()
            }
        }
    }

    /// The places of a grid of at most `steps` steps: a choice has all of its values.
    pub(super) fn grid(&self, steps: usize) -> Vec<f64> {
        let middles = |n: usize| (0..n).map(|at| (at as f64 + 0.5) / n as f64).collect();
        match self {
            Domain::Choice(values) => middles(values.len()),
            Domain::Integer { low, high, .. } if (high - low) < steps as i64 => {
                middles((high - low + 1) as usize)
            }
            _ if steps < 2 => vec![0.5],
            _ => (0..steps)
                .map(|at| at as f64 / (steps - 1) as f64)
                .collect(),
        }
    }
}

fn between(low: f64, high: f64, log: bool, place: f64) -> f64 {
    match log {
        // The ends to the last bit.
        true if place == 0.0 => low,
        true if place == 1.0 => high,
        true => (low.ln() + place * (high.ln() - low.ln())).exp(),
        false => low + place * (high - low),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_become_values_within_the_bounds() {
        let rate = Domain::Float {
            low: 0.01,
            high: 1.0,
            log: true,
        };
        assert_eq!(rate.value(0.0), Value::from(0.01));
        assert_eq!(rate.value(1.0), Value::from(1.0));
        assert!((rate.value(0.5).as_f64().unwrap() - 0.1).abs() < 1e-12);
        let leaves = Domain::Integer {
            low: 2,
            high: 4,
            log: false,
        };
        let found: Vec<_> = [0.0, 0.3, 0.4, 0.6, 0.7, 1.0]
            .map(|at| leaves.value(at).as_i64().unwrap())
            .into();
        assert_eq!(found, [2, 2, 3, 3, 4, 4]);
        assert_eq!(leaves.grid(5).len(), 3, "no value twice");
        let choice = Domain::Choice(vec![Value::from("a"), Value::Null]);
        assert_eq!(choice.value(0.49), Value::from("a"));
        assert_eq!(choice.value(1.0), Value::Null);
    }

    #[test]
    fn bounds_are_checked() {
        let wrong = Domain::Float {
            low: 0.0,
            high: 1.0,
            log: true,
        };
        let error = wrong.check("alpha").unwrap_err();
        assert_eq!(
            error.to_string(),
            "parameter `alpha` is log-uniform from 0, must be above 0"
        );
        assert!(Domain::Choice(Vec::new()).check("kind").is_err());
    }
}
