//! Logistic regression.

use fourfold_kernels::linear::Loss;
use serde::{Deserialize, Serialize};

use super::generalized_linear::{check_penalty, check_solver};
use super::linear_rows::{LinearRows, Solver, TAKES};
use super::{Capabilities, TrainArgs, Trained, Trainer, WarmStart};
use crate::error::{Error, Result};
use crate::model::{LinearModel, Link, Target};
use crate::stage::Stage;

/// Logistic regression with an elastic-net penalty: binomial for two classes, multinomial for more.
///
/// It minimizes `sum(weight * loss) + alpha * ((1 - l1_ratio) / 2 * |w|² + l1_ratio * |w|₁)` over the rows; intercepts
/// are not penalized. scikit-learn's `LogisticRegression(C, l1_ratio)` has the same minimum at `C = 1 / alpha`.
///
/// Solved by L-BFGS, with an L1 part by its orthant-wise form OWL-QN (Andrew and Gao, ICML 2007), in features that are
/// scaled to a curvature of 1 in passing: the units of features matter to the penalty only. Each pass over the rows
/// runs on all threads; the model has the same bits on any number of them. Holds the features in memory, categories as codes.
/// It starts from the previous model where there is one, tells the objective by iteration
/// (`train_objective`), and gives the best so far, with a warning, when it is cancelled.
///
/// ```
/// use fourfold::Stage;
/// use fourfold::training::LogisticRegression;
///
/// assert!(LogisticRegression::default().check().is_ok());
/// let error = LogisticRegression::default().alpha(-1.0).check().unwrap_err();
/// assert_eq!(error.to_string(), "`alpha` is -1, must be a finite number of at least 0");
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogisticRegression {
    alpha: f64,
    l1_ratio: f64,
    max_iterations: u64,
    tolerance: f64,
}

impl Default for LogisticRegression {
    /// `alpha` 1, all of it L2, at most 200 iterations, tolerance 1e-4.
    fn default() -> Self {
        LogisticRegression {
            alpha: 1.0,
            l1_ratio: 0.0,
            max_iterations: 200,
            tolerance: 1e-4,
        }
    }
}

impl LogisticRegression {
    /// The weight of the penalty beside the sum of the rows' losses, `1 / C` of scikit-learn; the default is 1.
    #[must_use]
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }

    /// The L1 share of the penalty: 0 is ridge, 1 is lasso; the default is 0.
    #[must_use]
    pub fn l1_ratio(mut self, ratio: f64) -> Self {
        self.l1_ratio = ratio;
        self
    }

    /// The most iterations of the solver; the default is 200.
    #[must_use]
    pub fn max_iterations(mut self, n: u64) -> Self {
        self.max_iterations = n;
        self
    }

    /// The solver stops when no component of the mean loss's gradient is longer than this, by features that are scaled
    /// to a curvature of 1; the default is 1e-4.
    #[must_use]
    pub fn tolerance(mut self, tolerance: f64) -> Self {
        self.tolerance = tolerance;
        self
    }
}

impl Stage for LogisticRegression {
    fn name(&self) -> &str {
        "logistic_regression"
    }

    fn version(&self) -> u32 {
        2
    }

    fn check(&self) -> Result<()> {
        check_penalty("alpha", self.alpha, self.l1_ratio)?;
        check_solver(self.max_iterations, self.tolerance)
    }
}

impl Trainer for LogisticRegression {
    type Model = LinearModel;

    fn train(&self, args: &TrainArgs) -> Result<Trained<LinearModel>> {
        let (loss, link) = of_classes(args.target())?;
        let rows = LinearRows::read(args, loss.n_outputs())?;
        check_classes(rows.labels(), args.target())?;
        let total = rows.total();
        let solver = Solver {
            loss,
            link,
            l2: self.alpha * (1.0 - self.l1_ratio) / total,
            l1: self.alpha * self.l1_ratio / total,
            max_iterations: usize::try_from(self.max_iterations).unwrap_or(usize::MAX),
            tolerance: self.tolerance,
        };
        rows.fit(args, &solver)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::from(TAKES).warm_start(WarmStart::ByName)
    }
}

/// The trainer of classes.
pub(super) fn of_classes(target: &Target) -> Result<(Loss, Link)> {
    match target.classes().len() {
        0 => Err(Error::config(format!(
            "label `{}` defines a regression task, but logistic regression predicts classes",
            target.label()
        ))),
        2 => Ok((Loss::Logistic, Link::Logistic)),
        n_classes => Ok((Loss::Softmax { n_classes }, Link::Softmax)),
    }
}

/// Checks that labels are indexes of classes.
pub(super) fn check_classes(labels: &[f64], target: &Target) -> Result<()> {
    let n_classes = target.classes().len();
    let is_class = |label: &f64| label.fract() == 0.0 && (0.0..n_classes as f64).contains(label);
    match labels.iter().find(|label| !is_class(label)) {
        None => Ok(()),
        Some(label) => Err(Error::data(format!(
            "label {label} is not the index of a class, there are {n_classes}"
        ))),
    }
}
