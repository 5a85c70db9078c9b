//! The decision threshold that costs least.

use serde::{Deserialize, Serialize};

use super::calibrated::{ScoredRow, check_hold_out};
use super::scored::Scored;
use super::{Capabilities, TrainArgs, Trained, Trainer};
use crate::error::{Error, Result};
use crate::model::Task;
use crate::stage::Stage;
use crate::warning::Warning;

/// A classifier of two classes whose decision threshold costs least, where mistakes of one kind cost more than those of
/// the other (Elkan, 2001).
///
/// It trains another trainer, predicts the rows to [tune](TrainArgs::tune) by (where there are none, a part of the rows
/// is held out for it), and takes the threshold by which their answers cost least in all. Rows count by their weights, and
/// not by those of classes, which are of training. The model is that of the trainer within; the threshold is
/// [saved with it](Trained::with_threshold). The metric `cost(a, b)` of the same costs tells what it is worth.
///
/// Thresholds between the same two probabilities answer all rows the same: of them it is one half if that is among them,
/// else the middle (0 and 1 are taken for probabilities, too). Of thresholds that cost the same it is the one nearest to
/// one half, and of two as near, the lower. With rows of one class only there is nothing to choose by: it is one half then,
/// and a warning says so.
///
/// A trainer around this one that makes other probabilities leaves the threshold out, with a warning:
/// `Thresholded::new(Calibrated::new(..))` is the order.
///
/// ```
/// use fourfold::Stage;
/// use fourfold::training::{LogisticRegression, Thresholded};
///
/// // A fraud that is missed costs fifty times what a customer does who is asked for nothing.
/// let trainer = Thresholded::new(LogisticRegression::default()).false_positive(1.0).false_negative(50.0);
/// assert!(trainer.check().is_ok());
/// assert!(trainer.true_positive(60.0).check().is_err(), "no row would be worth to be found");
/// ```
#[derive(Clone, Debug, Serialize)]
pub struct Thresholded<T: Trainer> {
    #[serde(serialize_with = "crate::serialize_stage")]
    trainer: T,
    costs: Costs,
    hold_out: f64,
}

/// The cost of an answer, by the answer and the true class.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Costs {
    pub(crate) false_positive: f64,
    pub(crate) false_negative: f64,
    true_positive: f64,
    true_negative: f64,
}

impl Default for Costs {
    /// Mistakes of either kind cost 1, right answers nothing.
    fn default() -> Self {
        Costs {
            false_positive: 1.0,
            false_negative: 1.0,
            true_positive: 0.0,
            true_negative: 0.0,
        }
    }
}

impl<T: Trainer> Thresholded<T> {
    /// Around a trainer, with mistakes that cost 1 of either kind, and right answers that cost nothing.
    #[must_use]
    pub fn new(trainer: T) -> Self {
        Thresholded {
            trainer,
            costs: Costs::default(),
            hold_out: 0.2,
        }
    }

    /// The cost of a negative row that is answered as positive; the default is 1.
    #[must_use]
    pub fn false_positive(mut self, cost: f64) -> Self {
        self.costs.false_positive = cost;
        self
    }

    /// The cost of a positive row that is answered as negative; the default is 1.
    #[must_use]
    pub fn false_negative(mut self, cost: f64) -> Self {
        self.costs.false_negative = cost;
        self
    }

    /// The cost of a positive row that is found, less than that of one missed; below 0 it is a gain. The default is 0.
    #[must_use]
    pub fn true_positive(mut self, cost: f64) -> Self {
        self.costs.true_positive = cost;
        self
    }

    /// The cost of a negative row that is answered as such, less than that of a false alarm; below 0 it is a gain. The default is 0.
    #[must_use]
    pub fn true_negative(mut self, cost: f64) -> Self {
        self.costs.true_negative = cost;
        self
    }

    /// The share of rows that is held out where there are none to tune by; the default is 0.2.
    #[must_use]
    pub fn hold_out(mut self, fraction: f64) -> Self {
        self.hold_out = fraction;
        self
    }
}

impl Costs {
    pub(crate) fn check(&self) -> Result<()> {
        let pairs = [
            (
                "false_positive",
                self.false_positive,
                "true_negative",
                self.true_negative,
            ),
            (
                "false_negative",
                self.false_negative,
                "true_positive",
                self.true_positive,
            ),
        ];
        for (wrong, cost, right, cost_of_right) in pairs {
            for (name, cost) in [(wrong, cost), (right, cost_of_right)] {
                if !cost.is_finite() {
                    return Err(Error::config(format!("`{name}` is {cost}, must be finite")));
                }
            }
            if cost <= cost_of_right {
                return Err(Error::config(format!(
                    "`{wrong}` is {cost}, must be more than `{right}`, which is {cost_of_right}"
                )));
            }
        }
        Ok(())
    }
}

impl<T: Trainer> Stage for Thresholded<T> {
    fn name(&self) -> &str {
        "thresholded"
    }

    fn check(&self) -> Result<()> {
        self.costs.check()?;
        check_hold_out(self.hold_out)?;
        self.trainer.check()
    }
}

impl<T: Trainer> Trainer for Thresholded<T> {
    type Model = T::Model;

    fn train(&self, args: &TrainArgs) -> Result<Trained<T::Model>> {
        let target = args.target();
        if target.task() != Task::Binary {
            return Err(Error::config(format!(
                "label `{}` defines a {} task, but a decision threshold requires two classes",
                target.label(),
                target.task()
            )));
        }
        let args = args.with_rows_to_tune(self.hold_out)?;
        let trained = self.trainer.train(&args)?;
        args.cancellation().check()?;
        let args = args.behind_that_of(&trained);
        let scored = Scored::of(trained.model(), args.rows_to_tune()?)?;
        target.check_outputs(scored.outputs.view())?;
        Ok(match cheapest(scored.rows_of(0, 1), &self.costs) {
            Some(threshold) => trained.with_threshold(threshold),
            None => {
                let message =
                    "the rows to tune by are of one class, so the decision threshold is one half";
                trained.with_warning(Warning::new("train", "one_class_to_tune", message))
            }
        })
    }

    fn capabilities(&self) -> Capabilities {
        self.trainer.capabilities()
    }
}

/// The threshold by which the rows cost least; `None` if they are of one class.
pub(crate) fn cheapest(mut rows: Vec<ScoredRow>, costs: &Costs) -> Option<f64> {
    rows.retain(|row| row.weight > 0.0);
    if !rows.iter().any(|row| row.hit == 1.0) || rows.iter().all(|row| row.hit == 1.0) {
        return None;
    }
    rows.sort_by(|a, b| a.probability.total_cmp(&b.probability));
    let of_missing = costs.false_negative - costs.true_positive;
    let of_alarm = costs.false_positive - costs.true_negative;
    // Below all rows every one is answered as positive; what is counted from there on are the rows below.
    let (mut missed, mut left_alone) = (0.0, 0.0);
    let mut below = 0.0;
    let mut best: Option<(f64, f64)> = None;
    let mut consider = |threshold: Option<f64>, cost: f64| {
        let Some(threshold) = threshold else { return };
        let far = |threshold: f64| (threshold - HALF).abs();
        if best
            .is_none_or(|(least, at)| cost < least || (cost == least && far(threshold) < far(at)))
        {
            best = Some((cost, threshold));
        }
    };
    for same in rows.chunk_by(|a, b| a.probability == b.probability) {
        let probability = same[0].probability;
        consider(
            between(below, probability),
            of_missing * missed - of_alarm * left_alone,
        );
        for row in same {
            missed += row.weight * row.hit;
            left_alone += row.weight * (1.0 - row.hit);
        }
        below = probability;
    }
    let end = if below < 1.0 {
        between(below, 1.0)
    } else {
        Some(1.0)
    };
    consider(end, of_missing * missed - of_alarm * left_alone);
    best.map(|(_, threshold)| threshold)
}

const HALF: f64 = 0.5;

/// A threshold from `low` on and below `high`: one half, or the middle. `None` if there is none.
fn between(low: f64, high: f64) -> Option<f64> {
    if low >= high {
        return None;
    }
    if (low..high).contains(&HALF) {
        return Some(HALF);
    }
    let middle = f64::midpoint(low, high);
    Some(if middle < high { middle } else { low })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn costs(false_positive: f64, false_negative: f64) -> Costs {
        Costs {
            false_positive,
            false_negative,
            true_positive: 0.0,
            true_negative: 0.0,
        }
    }

    fn rows(rows: &[(f64, bool, f64)]) -> Vec<ScoredRow> {
        let row = |(probability, hit, weight): &(f64, bool, f64)| ScoredRow {
            probability: *probability,
            hit: f64::from(u8::from(*hit)),
            weight: *weight,
        };
        rows.iter().map(row).collect()
    }

    /// The cost of all answers, counted row by row.
    fn cost_of(rows: &[ScoredRow], costs: &Costs, threshold: f64) -> f64 {
        let of_row = |row: &ScoredRow| {
            row.weight
                * match (row.probability > threshold, row.hit == 1.0) {
                    (true, true) => costs.true_positive,
                    (true, false) => costs.false_positive,
                    (false, true) => costs.false_negative,
                    (false, false) => costs.true_negative,
                }
        };
        rows.iter().map(of_row).sum()
    }

    #[test]
    fn by_hand() {
        // Negatives at 0.1, 0.4, 0.6; positives at 0.3, 0.7. With equal costs, one mistake is the least: above 0.6
        // (0.3 is missed); one half has two.
        let five = rows(&[
            (0.1, false, 1.0),
            (0.3, true, 1.0),
            (0.4, false, 1.0),
            (0.6, false, 1.0),
            (0.7, true, 1.0),
        ]);
        let found = cheapest(five.clone(), &costs(1.0, 1.0)).unwrap();
        assert_eq!(found, f64::midpoint(0.6, 0.7));
        // A positive that is missed costs three: two false alarms are cheaper than one miss, from 0.1 to 0.3.
        let found = cheapest(five.clone(), &costs(1.0, 3.0)).unwrap();
        assert_eq!(found, f64::midpoint(0.1, 0.3));
        // At two, 0.2 and 0.65 cost the same, and 0.65 is nearer to one half.
        let found = cheapest(five, &costs(1.0, 2.0)).unwrap();
        assert_eq!(found, f64::midpoint(0.6, 0.7));
    }

    #[test]
    fn one_half_where_it_costs_no_more() {
        let apart = rows(&[(0.2, false, 1.0), (0.9, true, 1.0)]);
        assert_eq!(cheapest(apart, &costs(1.0, 1.0)), Some(0.5));
        // At exactly one half a row is negative.
        let at_half = rows(&[(0.5, false, 1.0), (0.9, true, 1.0)]);
        assert_eq!(cheapest(at_half, &costs(1.0, 1.0)), Some(0.5));
        // 0.4 and 0.6 are as near: the lower one.
        let even = rows(&[
            (0.3, false, 1.0),
            (0.5, true, 1.0),
            (0.5, false, 1.0),
            (0.7, true, 1.0),
        ]);
        assert_eq!(cheapest(even.clone(), &costs(1.0, 1.0)), Some(0.5));
        let low = cheapest(even, &costs(1.0, 1.5)).unwrap();
        assert_eq!(low, 0.4);
    }

    #[test]
    fn all_or_none_where_that_is_cheapest() {
        let upside_down = rows(&[(0.2, true, 1.0), (0.8, false, 1.0)]);
        let none = cheapest(upside_down.clone(), &costs(3.0, 1.0)).unwrap();
        assert_eq!(none, 0.9);
        let all = cheapest(upside_down, &costs(1.0, 3.0)).unwrap();
        assert_eq!(all, 0.1);
        let at_the_ends = rows(&[(0.0, true, 1.0), (1.0, false, 5.0)]);
        assert_eq!(cheapest(at_the_ends, &costs(1.0, 1.0)), Some(1.0));
        assert_eq!(cheapest(rows(&[(0.4, true, 1.0)]), &costs(1.0, 1.0)), None);
        assert_eq!(cheapest(Vec::new(), &costs(1.0, 1.0)), None);
        let no_weight = rows(&[(0.4, true, 1.0), (0.6, false, 0.0)]);
        assert_eq!(cheapest(no_weight, &costs(1.0, 1.0)), None);
    }

    #[test]
    fn no_threshold_costs_less() {
        let mixed: Vec<(f64, bool, f64)> = (0..300_u64)
            .map(|i| {
                let probability = (i * 37 % 89) as f64 / 88.0;
                let noise = (i * 61 % 97) as f64 / 97.0;
                (probability, noise < probability, (i % 4) as f64)
            })
            .collect();
        let mixed = rows(&mixed);
        for (false_positive, false_negative, true_positive, true_negative) in [
            (1.0, 1.0, 0.0, 0.0),
            (1.0, 9.0, 0.0, 0.0),
            (7.0, 2.0, -3.0, 0.5),
        ] {
            let costs = Costs {
                false_positive,
                false_negative,
                true_positive,
                true_negative,
            };
            costs.check().unwrap();
            let found = cheapest(mixed.clone(), &costs).unwrap();
            let least = cost_of(&mixed, &costs, found);
            let grid = (0..=10_000).map(|i| f64::from(i) / 10_000.0);
            let any = grid.map(|threshold| cost_of(&mixed, &costs, threshold));
            let any = any.fold(f64::INFINITY, f64::min);
            assert!(least <= any + 1e-9, "{found} costs {least}, another {any}");
        }
    }

    #[test]
    fn neighbours_that_leave_no_middle() {
        let low = 0.3_f64;
        let high = low.next_up();
        assert_eq!(between(low, high), Some(low));
        assert_eq!(between(high, high), None);
        assert_eq!(between(0.0, 0.0), None);
    }

    #[test]
    fn mistakes_cost_more_than_right_answers() {
        for odd in [f64::NAN, f64::INFINITY, 0.0, -1.0] {
            let error = costs(odd, 1.0).check().unwrap_err().to_string();
            assert!(error.contains("`false_positive` is"), "{error}");
        }
        let error = Costs {
            true_positive: 2.0,
            ..costs(1.0, 1.0)
        };
        let error = error.check().unwrap_err().to_string();
        assert_eq!(
            error,
            "`false_negative` is 1, must be more than `true_positive`, which is 2"
        );
    }
}
