//! The steps of an automatic search.
//!
//! The configurations of the portfolio begin, on a sample of the rows where there are many; the best of them go on with four
//! times as many, until they learn from all (successive halving). Then the search goes on in those kinds of model that are
//! best. Where a trial is of one fold, every other step trains the folds that one of the best lacks.

use ndarray::Array2;

use super::folds::Validation;
use super::history::History;
use super::portfolio::{BATCH, Portfolio, next_batch};
use super::space::Point;
use super::trials::{Done, Job, Trials};
use crate::cancellation::Cancellation;
use crate::error::Result;
use crate::training::{Dataset, HoldOutBy};

const FOLDS: usize = 5;
/// The most rows that are divided into folds several times, as a single division says little about so few.
const FEWEST_ROWS: usize = 500;
const TIMES: usize = 2;
/// The most rows of which a trial is of all folds, and the most values of features, times outputs.
const FEW_ROWS: usize = 20_000;
const FEW_VALUES: usize = 1_000_000;
/// The most rows that are divided into folds.
const MANY_ROWS: usize = 100_000;
/// The most rows that are held out of more.
const HELD_OUT: f64 = 20_000.0;
/// The most and the fewest rows that trials learn from first, the values of features in them, times outputs, and how many
/// times as many rows the best of them learn from next.
const SAMPLE: f64 = 10_000.0;
const SMALLEST_SAMPLE: f64 = 500.0;
const SAMPLED_VALUES: f64 = 250_000.0;
const GROWTH: f64 = 4.0;
/// The most rows that trials learn from, where models are not trained by fold.
const TRIED_ROWS: f64 = 50_000.0;

/// The way in which a number of rows is searched.
pub(super) struct Plan {
    pub(super) validation: Validation,
    /// How often the rows are divided into folds.
    pub(super) times: u64,
    /// The number of folds of a trial.
    pub(super) n_folds: usize,
    /// Whether the best are trained for all folds.
    bags: bool,
    /// The shares of the rows that trials learn from, rising.
    shares: Vec<f64>,
}

impl Plan {
    /// For trials of which so many begin, and at most `n_trials`.
    pub(super) fn of(rows: &Dataset, n_first: usize, n_trials: usize) -> Self {
        let n_features = rows.transform().info().len().max(1);
        let n_values = n_features.saturating_mul(rows.target().n_outputs());
        let by_time = matches!(rows.holds_out_by(), HoldOutBy::Time(_));
        let mut plan = Plan::of_shape(rows.n_rows(), n_values, by_time);
        if n_first + BATCH * (plan.shares.len() - 1) > n_trials {
            // None would learn from all rows.
            plan.shares.drain(..plan.shares.len() - 1);
        }
        plan
    }

    /// For a number of rows, and of values of features in each, times outputs.
    fn of_shape(n_rows: usize, n_values: usize, by_time: bool) -> Self {
        let n = n_rows as f64;
        let times = match n_rows {
            0..=FEWEST_ROWS if !by_time => TIMES,
            _ => 1,
        };
        let (validation, n_folds, bags, most) = match n_rows {
            0..=FEW_ROWS if n_rows.saturating_mul(n_values) <= FEW_VALUES => (
                Validation::Folds(FOLDS),
                times * FOLDS,
                false,
                f64::INFINITY,
            ),
            // The first of several folds by time would learn from few rows.
            0..=MANY_ROWS if !by_time => (Validation::Folds(FOLDS), 1, true, f64::INFINITY),
            _ => {
                let held_out = (HELD_OUT / n).min(1.0 / FOLDS as f64);
                (Validation::HoldOut(held_out), 1, false, TRIED_ROWS)
            }
        };
        let to_train = match validation {
            Validation::HoldOut(held_out) => n * (1.0 - held_out),
            _ => n * (1.0 - 1.0 / FOLDS as f64),
        };
        let mut shares = Vec::new();
        let mut rows = (SAMPLED_VALUES / n_values as f64).clamp(SMALLEST_SAMPLE, SAMPLE);
        while n_folds == 1 && rows < 0.5 * to_train.min(most) {
            shares.push(rows / to_train);
            rows *= GROWTH;
        }
        shares.push((most / to_train).min(1.0));
        Plan {
            validation,
            times: times as u64,
            n_folds,
            bags,
            shares,
        }
    }

    /// The share of the rows that trials learn from in the end.
    pub(super) fn whole(&self) -> f64 {
        self.shares.last().copied().unwrap_or(1.0)
    }

    /// Whether the models of the folds are what answers.
    pub(super) fn are_bagged(&self) -> bool {
        self.n_folds > 1 || self.bags
    }
}

/// A step of a search, which is done as a whole or not at all.
pub(super) enum Step {
    /// Trials of a share of the rows.
    Try(Vec<Point>, f64),
    /// The folds that a trial lacks.
    Bag(Box<Done>),
}

impl Step {
    /// The number of models of all rows that are as much work.
    pub(super) fn work(&self, plan: &Plan) -> f64 {
        match self {
            Step::Try(points, share) => share * (points.len() * plan.n_folds) as f64,
            Step::Bag(_) => (FOLDS - 1) as f64,
        }
    }

    /// Runs it and adds what it found.
    ///
    /// # Errors
    /// As [`Trials::run`].
    pub(super) fn run(
        self,
        plan: &Plan,
        trials: &Trials<'_>,
        history: &mut History,
        cancellation: &Cancellation,
    ) -> Result<()> {
        match self {
            Step::Try(points, share) => {
                let job = |point| Job {
                    n_folds: plan.n_folds,
                    ..trials.job(point, share)
                };
                let done = trials.run(points.into_iter().map(job).collect(), cancellation)?;
                done.into_iter().for_each(|done| history.add(done, trials));
            }
            Step::Bag(done) => {
                let done = *done;
                let job = Job {
                    fits: done.fits,
                    ..trials.job(done.point, done.share)
                };
                let done = trials.run(vec![job], cancellation)?;
                (done.into_iter()).for_each(|done| history.add_bagged(done, trials));
            }
        }
        Ok(())
    }
}

/// The steps so far, as far as they decide about the next.
pub(super) struct Schedule<'a> {
    plan: &'a Plan,
    portfolio: &'a Portfolio,
    /// The place of the share that trials learn from.
    level: usize,
    /// The configurations to try next of this share.
    waiting: Vec<Point>,
    /// Whether the last step tried configurations.
    has_tried: bool,
}

impl<'a> Schedule<'a> {
    pub(super) fn new(plan: &'a Plan, portfolio: &'a Portfolio) -> Self {
        Schedule {
            plan,
            portfolio,
            level: 0,
            waiting: portfolio.first(),
            has_tried: false,
        }
    }

    /// The next step, of at most `most` trials.
    pub(super) fn next(
        &mut self,
        history: &History,
        trials: &Trials<'_>,
        most: usize,
    ) -> Result<Step> {
        while self.waiting.is_empty() && self.level + 1 < self.plan.shares.len() {
            self.waiting = self.best_of_sample(history);
            self.level += 1;
        }
        let share = self.plan.shares[self.level];
        if !self.waiting.is_empty() {
            self.has_tried = true;
            let n = self.waiting.len().min(BATCH).min(most);
            return Ok(Step::Try(self.waiting.drain(..n).collect(), share));
        }
        if self.plan.bags && self.has_tried {
            self.has_tried = false;
            if let Some(done) = next_to_bag(history, trials)? {
                return Ok(Step::Bag(Box::new(done)));
            }
        }
        self.has_tried = true;
        let points = next_batch(self.portfolio, history, trials.args.seed(), most);
        Ok(Step::Try(points, share))
    }

    /// The best configurations of the present share.
    fn best_of_sample(&self, history: &History) -> Vec<Point> {
        let share = self.plan.shares[self.level];
        let known = history.sampled.iter().filter(|(own, _)| *own == share);
        let mut known: Vec<_> = known.map(|(_, trial)| trial).collect();
        known.sort_by(|a, b| a.loss.total_cmp(&b.loss));
        let best = known.into_iter().take(BATCH);
        best.map(|trial| trial.point.clone()).collect()
    }
}

/// The trial whose models are worth most beside those that are bagged, on the fold that all of them know; `None` if none
/// is worth anything.
fn next_to_bag(history: &History, trials: &Trials<'_>) -> Result<Option<Done>> {
    let judge = trials.judge;
    let candidates = history.best().filter(|done| !history.is_bagged(done));
    let candidates = trials.with_fits(candidates.cloned().collect())?;
    let bagged = trials.with_fits(history.bagged().cloned().collect())?;
    let Some(labels) = (candidates.first()).map(|done| done.fits[0].labels.clone()) else {
        return Ok(None);
    };
    let known = bagged.iter().map(|done| &done.fits[0].outputs);
    let sum = known.fold(None, |sum: Option<Array2<f64>>, outputs| {
        Some(sum.map_or_else(|| outputs.clone(), |sum| sum + outputs))
    });
    let n = bagged.len() as f64;
    let mut least = match &sum {
        Some(sum) => judge.loss_of(sum / n, &labels)?,
        None => f64::INFINITY,
    };
    let mut found = None;
    for done in candidates {
        let outputs = &done.fits[0].outputs;
        let mean = match &sum {
            Some(sum) => (sum + outputs) / (n + 1.0),
            None => outputs.clone(),
        };
        let loss = judge.loss_of(mean, &labels)?;
        if loss < least {
            least = loss;
            found = Some(done);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_rows_are_divided_and_many_are_sampled_first() {
        let few = Plan::of_shape(1_000, 30, false);
        assert_eq!(
            (few.n_folds, few.bags, few.shares.as_slice()),
            (5, false, &[1.0][..])
        );
        let wide = Plan::of_shape(2_000, 1_000, false);
        assert_eq!((wide.n_folds, wide.bags), (1, true));
        assert_eq!(wide.shares, [500.0 / 1_600.0, 1.0]);
        let many = Plan::of_shape(50_000, 9, false);
        assert_eq!((many.n_folds, many.bags), (1, true));
        assert_eq!(many.shares, [0.25, 1.0]);
        let most = Plan::of_shape(1_000_000, 9, false);
        assert_eq!((most.n_folds, most.bags), (1, false));
        let rows: Vec<f64> = most
            .shares
            .iter()
            .map(|share| (share * 980_000.0).round())
            .collect();
        assert_eq!(rows, [10_000.0, 50_000.0]);
        assert!(matches!(most.validation, Validation::HoldOut(share) if share == 0.02));
        let by_time = Plan::of_shape(50_000, 9, true);
        assert!(!by_time.bags && matches!(by_time.validation, Validation::HoldOut(_)));
    }
}
