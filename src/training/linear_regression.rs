//! Linear regression.

use fourfold_kernels::linear::{Design, Gram, GramSums, Loss, Penalty};
use fourfold_kernels::parallel;
use serde::{Deserialize, Serialize};

use super::generalized_linear::{check_penalty, check_solver};
use super::linear_rows::{LinearRows, Solver, TAKES};
use super::{Capabilities, TrainArgs, Trained, Trainer, WarmStart};
use crate::error::{Error, Result};
use crate::examples::ExamplePart;
use crate::model::{LinearModel, Link, Task};
use crate::parallel::side_by_side;
use crate::stage::Stage;

/// Linear regression with an elastic-net penalty: least squares, ridge, lasso and what lies between.
///
/// It minimizes `sum(weight * (prediction - label)²) / (2 * sum(weight)) + penalty * ((1 - l1_ratio) / 2 * |w|² +
/// l1_ratio * |w|₁)`; the intercept is not penalized. That is scikit-learn's `ElasticNet(alpha = penalty, l1_ratio)`,
/// and its `Ridge(alpha = penalty * n_rows)`.
///
/// The rows go into means and cross products of the features in one pass, from which the weights follow: directly,
/// or by coordinate descent where there is an L1 part (Friedman, Hastie and Tibshirani, 2010). Any number of rows trains in
/// memory of the features squared. More than
/// [`LinearRegression::MAX_GRAM`] features are solved as [`LogisticRegression`](super::LogisticRegression) is.
///
/// A small penalty keeps the answer near 0 where features depend on each other, as the columns of a one-hot encoding
/// do. Works on all threads, with the same bits on any number of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LinearRegression {
    penalty: f64,
    l1_ratio: f64,
    max_iterations: u32,
    tolerance: f64,
}

impl Default for LinearRegression {
    /// Penalty 1e-4, all of it L2 (ridge), at most 1,000 iterations, tolerance 1e-6.
    fn default() -> Self {
        LinearRegression {
            penalty: 1e-4,
            l1_ratio: 0.0,
            max_iterations: 1_000,
            tolerance: 1e-6,
        }
    }
}

impl LinearRegression {
    /// The most features whose cross products are kept: 128 MiB of them.
    pub const MAX_GRAM: usize = 4_096;

    /// The weight of the penalty beside half the mean squared error; the default is 1e-4.
    #[must_use]
    pub fn penalty(mut self, penalty: f64) -> Self {
        self.penalty = penalty;
        self
    }

    /// The L1 share of the penalty: 0 is ridge, 1 is lasso; the default is 0.
    #[must_use]
    pub fn l1_ratio(mut self, ratio: f64) -> Self {
        self.l1_ratio = ratio;
        self
    }

    /// The most rounds over all features, where there is an L1 part; the default is 1,000.
    #[must_use]
    pub fn max_iterations(mut self, n: u32) -> Self {
        self.max_iterations = n;
        self
    }

    /// Rounds end when no weight changes by more, times its feature's standard deviation and in units of the label's;
    /// The default is 1e-6.
    #[must_use]
    pub fn tolerance(mut self, tolerance: f64) -> Self {
        self.tolerance = tolerance;
        self
    }
}

impl Stage for LinearRegression {
    fn name(&self) -> &str {
        "linear_regression"
    }

    fn version(&self) -> u32 {
        2
    }

    fn check(&self) -> Result<()> {
        check_penalty("penalty", self.penalty, self.l1_ratio)?;
        check_solver(u64::from(self.max_iterations), self.tolerance)
    }
}

impl Trainer for LinearRegression {
    type Model = LinearModel;

    fn train(&self, args: &TrainArgs) -> Result<Trained<LinearModel>> {
        if args.target().task() != Task::Regression {
            return Err(Error::config(format!(
                "label `{}` defines a {} task, but linear regression predicts numbers",
                args.target().label(),
                args.target().task()
            )));
        }
        let penalty = Penalty {
            l2: self.penalty * (1.0 - self.l1_ratio),
            l1: self.penalty * self.l1_ratio,
        };
        let rounds = self.max_iterations as usize;
        if args.train().n_features() <= Self::MAX_GRAM {
            let mut gram = gram(args)?;
            let found = gram.least_squares(penalty, None, rounds, self.tolerance);
            gram.means.pop();
            return Ok(LinearRows::model(Link::Identity, &found, gram.means)?.into());
        }
        let rows = LinearRows::read(args, 1)?;
        let no_features = Design::new(Vec::new()).with_rows(rows.labels().len());
        let of_label = Gram::of(&no_features, rows.labels(), rows.weights(), args.threads());
        let deviation = (of_label.products[0] / of_label.weight).sqrt();
        let solver = Solver {
            loss: Loss::Squared,
            link: Link::Identity,
            l2: penalty.l2,
            l1: penalty.l1,
            max_iterations: rounds,
            // The solver's is of the label's unit.
            tolerance: self.tolerance * deviation,
        };
        rows.fit(args, &solver)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::from(TAKES).warm_start(WarmStart::ByName)
    }
}

/// The cross products of all rows, which are read batch by batch and side by side.
fn gram(args: &TrainArgs) -> Result<Gram> {
    /// The memory of all groups of parts together; where it would be more, there are fewer groups.
    const BYTES: usize = 256 << 20;
    let rows = args.train();
    let columns = rows.columns();
    let width = rows.n_features();
    let of_gram = 8 * (width + 1) * (width + 1);
    let most = (BYTES / of_gram).clamp(1, 16);
    let mut parts = rows.examples().parts();
    args.check_memory((most.min(parts.len()) + 1) as u64 * of_gram as u64)?;
    let groups = parallel::parts(parts.len(), 1, most);
    let groups: Vec<Vec<ExamplePart<'_>>> = groups
        .into_iter()
        .map(|group| parts.drain(..group.len()).collect())
        .collect();
    let grams = side_by_side(rows.threads, groups, |group| {
        let mut sums: Option<GramSums> = None;
        for part in group {
            for table in rows.tables_of(part, &columns, TAKES) {
                args.cancellation().check()?;
                let table = table?;
                let design = Design::new(table.features().columns());
                let design = design.with_rows(table.features().n_rows());
                let labels = table.labels().to_vec();
                let weights = table.weights().map(|weights| weights.to_vec());
                let sums = sums.get_or_insert_with(|| GramSums::new(&design));
                sums.add(&design, &labels, weights.as_deref(), 0..labels.len());
            }
        }
        Ok(sums.map(GramSums::finish))
    })?;
    let mut whole = Gram::empty(width);
    for gram in grams.into_iter().flatten() {
        whole.merge(&gram);
    }
    match whole.weight > 0.0 {
        true => Ok(whole),
        false => Err(Error::data(
            "there are no rows to train on, or all weights are 0",
        )),
    }
}
