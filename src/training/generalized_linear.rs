//! Generalized linear models: counts, amounts and durations.

use fourfold_kernels::linear::Loss;
use serde::{Deserialize, Serialize};

use super::linear_rows::{LinearRows, Solver, TAKES};
use super::{Capabilities, TrainArgs, Trained, Trainer, WarmStart};
use crate::error::{Error, Result};
use crate::model::{LinearModel, Link, Task};
use crate::stage::Stage;

/// The distribution of labels around their mean.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Family {
    Poisson,
    Gamma,
    Tweedie { power: f64 },
}

/// A generalized linear model with a logarithmic link: it predicts `exp(features . weights + intercept)`, for labels
/// that are never negative.
///
/// | family | for labels | variance |
/// | --- | --- | --- |
/// | [`poisson`](GeneralizedLinear::poisson) | of at least 0: counts | the mean |
/// | [`gamma`](GeneralizedLinear::gamma) | above 0: amounts, durations | the mean squared |
/// | [`tweedie`](GeneralizedLinear::tweedie) | of at least 0, often 0: total claims | the mean to a power |
///
/// It minimizes `sum(weight * deviance / 2) / sum(weight) + penalty * ((1 - l1_ratio) / 2 * |w|² + l1_ratio * |w|₁)`, the
/// intercept apart. That is scikit-learn's `PoissonRegressor`, `GammaRegressor` and `TweedieRegressor` with
/// `alpha = penalty`. Solved, stopped and started as [`LogisticRegression`](super::LogisticRegression) is.
///
/// ```
/// use fourfold::Stage;
/// use fourfold::training::GeneralizedLinear;
///
/// assert!(GeneralizedLinear::tweedie(1.5).penalty(0.01).check().is_ok());
/// let error = GeneralizedLinear::tweedie(2.5).check().unwrap_err();
/// assert_eq!(error.to_string(), "`power` is 2.5, must be above 1 and below 2");
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GeneralizedLinear {
    family: Family,
    penalty: f64,
    l1_ratio: f64,
    max_iterations: u64,
    tolerance: f64,
}

impl GeneralizedLinear {
    /// For counts: labels of at least 0.
    #[must_use]
    pub fn poisson() -> Self {
        GeneralizedLinear::of(Family::Poisson)
    }

    /// For amounts: labels above 0, whose deviation grows with them.
    #[must_use]
    pub fn gamma() -> Self {
        GeneralizedLinear::of(Family::Gamma)
    }

    /// For sums of a random number of amounts: labels of at least 0, many of them 0. The power is above 1, where it
    /// would be Poisson, and below 2, where it would be Gamma.
    #[must_use]
    pub fn tweedie(power: f64) -> Self {
        GeneralizedLinear::of(Family::Tweedie { power })
    }

    /// Penalty 1e-4, all of it L2, at most 200 iterations, tolerance 1e-4.
    fn of(family: Family) -> Self {
        GeneralizedLinear {
            family,
            penalty: 1e-4,
            l1_ratio: 0.0,
            max_iterations: 200,
            tolerance: 1e-4,
        }
    }

    /// The weight of the penalty beside half the mean deviance; the default is 1e-4.
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

    /// The most iterations of the solver; the default is 200.
    #[must_use]
    pub fn max_iterations(mut self, n: u64) -> Self {
        self.max_iterations = n;
        self
    }

    /// As [`LogisticRegression::tolerance`](super::LogisticRegression::tolerance); the default is 1e-4.
    #[must_use]
    pub fn tolerance(mut self, tolerance: f64) -> Self {
        self.tolerance = tolerance;
        self
    }
}

impl Stage for GeneralizedLinear {
    fn name(&self) -> &str {
        match self.family {
            Family::Poisson => "poisson_regression",
            Family::Gamma => "gamma_regression",
            Family::Tweedie { .. } => "tweedie_regression",
        }
    }

    fn check(&self) -> Result<()> {
        if let Family::Tweedie { power } = self.family
            && !(power > 1.0 && power < 2.0)
        {
            return Err(Error::config(format!(
                "`power` is {power}, must be above 1 and below 2"
            )));
        }
        check_penalty("penalty", self.penalty, self.l1_ratio)?;
        check_solver(self.max_iterations, self.tolerance)
    }
}

impl Trainer for GeneralizedLinear {
    type Model = LinearModel;

    fn train(&self, args: &TrainArgs) -> Result<Trained<LinearModel>> {
        let target = args.target();
        if target.task() != Task::Regression {
            return Err(Error::config(format!(
                "label `{}` defines a {} task, but {} predicts numbers",
                target.label(),
                target.task(),
                self.name()
            )));
        }
        let (loss, zero_is_fine) = match self.family {
            Family::Poisson => (Loss::Poisson, true),
            Family::Gamma => (Loss::Gamma, false),
            Family::Tweedie { power } => (Loss::Tweedie { power }, true),
        };
        let rows = LinearRows::read(args, 1)?;
        let is_fine = |label: &f64| *label > 0.0 || (*label == 0.0 && zero_is_fine);
        if let Some(label) = rows.labels().iter().find(|label| !is_fine(label)) {
            return Err(Error::data(format!(
                "label `{}` is {label} in a row, must be {} for {}",
                target.label(),
                if zero_is_fine {
                    "at least 0"
                } else {
                    "above 0"
                },
                self.name()
            )));
        }
        let solver = Solver {
            loss,
            link: Link::Log,
            l2: self.penalty * (1.0 - self.l1_ratio),
            l1: self.penalty * self.l1_ratio,
            max_iterations: usize::try_from(self.max_iterations).unwrap_or(usize::MAX),
            tolerance: self.tolerance,
        };
        rows.fit(args, &solver)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::from(TAKES).warm_start(WarmStart::ByName)
    }
}

/// Checks an elastic-net penalty.
pub(super) fn check_penalty(name: &str, penalty: f64, l1_ratio: f64) -> Result<()> {
    if !(penalty.is_finite() && penalty >= 0.0) {
        return Err(Error::config(format!(
            "`{name}` is {penalty}, must be a finite number of at least 0"
        )));
    }
    if !(0.0..=1.0).contains(&l1_ratio) {
        return Err(Error::config(format!(
            "`l1_ratio` is {l1_ratio}, must be from 0 to 1"
        )));
    }
    Ok(())
}

/// Checks when a solver ends.
pub(super) fn check_solver(max_iterations: u64, tolerance: f64) -> Result<()> {
    if max_iterations == 0 {
        return Err(Error::config("`max_iterations` is 0, must be at least 1"));
    }
    if !(tolerance.is_finite() && tolerance > 0.0) {
        return Err(Error::config(format!(
            "`tolerance` is {tolerance}, must be a finite number above 0"
        )));
    }
    Ok(())
}
