//! Boosted trees.

use std::collections::BTreeMap;

use fourfold_kernels::trees::BoostOptions;
use serde::{Deserialize, Serialize};

use super::trees::{check_positive, check_range};
use crate::error::{Error, Result};
use crate::features::Direction;
use crate::stage::Stage;

mod rounds;
mod train;
mod warm;

/// The loss that boosting minimizes for numbers. For classes it is the log loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RegressionLoss {
    /// Squared error: the mean.
    #[default]
    Squared,
    /// Absolute error: the median.
    Absolute,
    /// The pinball loss of a quantile above 0 and below 1: the value that this share of labels is below.
    Quantile(f64),
    /// Poisson deviance: the mean of labels of 0 and more, such as counts.
    Poisson,
    /// Gamma deviance: the mean of labels above 0 that spread in proportion to it, such as amounts.
    Gamma,
    /// Tweedie deviance with a variance power above 1 and below 2: the mean of labels of 0 and more, many of them 0, such
    /// as what a client claims in a year.
    Tweedie(f64),
}

/// Gradient boosted trees on histograms: the trainer to try first on tables.
///
/// Each round grows a tree leaf by leaf on the gradients of the loss (one tree a class where there are more than two), as
/// LightGBM does, and is not slower. Features may be numbers with missing values, which go the way that lowers the loss
/// more; categories, which are split by sets; and sparse rows. Rows count as much as they weigh: a row of weight 2 is the
/// row twice.
///
/// With rows to [tune by](super::TrainArgs::tune), the rounds up to the lowest loss on them are kept, and the losses are the
/// [curve](super::TrainingRecord::curve). Without, few rows choose the [number of rounds](Self::rounds) by
/// cross-validation, so that the defaults do not overfit small tables. Cancelled, training returns the best rounds so far,
/// with a warning. A [warm start](super::TrainArgs::warm_start) keeps the trees of the previous model and adds its rounds
/// to them. Where features or categories have changed, the trees are kept by name: splits by features that no longer exist
/// are left out, and a warning says so.
///
/// In memory: the features as they come (4 bytes a number or category), then 2 bytes each, and 24 bytes a row and class.
/// The model is the same, byte by byte, on any number of threads.
///
/// The defaults are LightGBM's. Algorithms: Friedman: Greedy function approximation (2001); Chen and Guestrin: XGBoost
/// (2016); Ke et al.: LightGBM (2017).
///
/// ```
/// use fourfold::Stage;
/// use fourfold::training::{Direction, GradientBoosting};
///
/// let boosting = GradientBoosting::default()
///     .rounds(500)
///     .learning_rate(0.05)
///     .patience(30)
///     .monotone("miles", Direction::Rising);
/// assert!(boosting.check().is_ok());
/// let error = GradientBoosting::default().max_leaves(1).check().unwrap_err();
/// assert_eq!(error.message(), "`max_leaves` is 1, must be from 2 to 65536");
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GradientBoosting {
    /// `None` where the trainer chooses.
    rounds: Option<usize>,
    learning_rate: f64,
    max_leaves: usize,
    max_depth: Option<usize>,
    min_rows_leaf: usize,
    min_hessian_leaf: f64,
    l2: f64,
    max_bins: usize,
    row_fraction: f64,
    feature_fraction: f64,
    loss: RegressionLoss,
    monotone: BTreeMap<String, Direction>,
    interactions: Vec<Vec<String>>,
    patience: Option<usize>,
    continue_serving: bool,
}

impl Default for GradientBoosting {
    /// At most 100 rounds of at most 31 leaves of at least 20 rows, learning rate 0.1; no penalty, sampling, constraint or
    /// patience.
    fn default() -> Self {
        let options = BoostOptions::default();
        GradientBoosting {
            rounds: None,
            learning_rate: options.learning_rate,
            max_leaves: options.max_leaves,
            max_depth: None,
            min_rows_leaf: options.min_rows_leaf,
            min_hessian_leaf: options.min_hessian_leaf,
            l2: options.l2,
            max_bins: options.max_bins,
            row_fraction: options.row_fraction,
            feature_fraction: options.feature_fraction,
            loss: RegressionLoss::default(),
            monotone: BTreeMap::new(),
            interactions: Vec::new(),
            patience: None,
            continue_serving: false,
        }
    }
}

/// Deeper trees would have no contributions.
const MOST_DEPTH: usize = 512;

impl GradientBoosting {
    /// With the defaults.
    #[must_use]
    pub fn new() -> Self {
        GradientBoosting::default()
    }

    /// The most rounds, from 1 to 100,000. With a warm start they come on top of its own.
    ///
    /// By default the trainer chooses: 100, or fewer on at most 10,000 rows where neither rows to [tune
    /// by](super::TrainArgs::tune) nor a warm start are given. There it trains three times without a third of the rows
    /// ([`Dataset::fold`](super::Dataset::fold)), and takes the number of rounds with the lowest mean loss on the rows that
    /// were left out.
    #[must_use]
    pub fn rounds(mut self, rounds: usize) -> Self {
        self.rounds = Some(rounds);
        self
    }

    /// The factor of each tree's answers, above 0 and at most 1; the default is 0.1.
    #[must_use]
    pub fn learning_rate(mut self, rate: f64) -> Self {
        self.learning_rate = rate;
        self
    }

    /// The most leaves of a tree, from 2 to 65,536; the default is 31.
    #[must_use]
    pub fn max_leaves(mut self, leaves: usize) -> Self {
        self.max_leaves = leaves;
        self
    }

    /// The most splits between the root and a leaf, from 1 to 512; by default as many as the leaves allow.
    #[must_use]
    pub fn max_depth(mut self, depth: usize) -> Self {
        self.max_depth = Some(depth);
        self
    }

    /// The fewest training rows of a leaf, at least 1; the default is 20. A row counts as much as it weighs; sums are
    /// estimated by the rows' shares of the loss's second derivative, as in LightGBM.
    #[must_use]
    pub fn min_rows_leaf(mut self, rows: usize) -> Self {
        self.min_rows_leaf = rows;
        self
    }

    /// The least sum of the loss's second derivatives in a leaf, at least 0; the default is 0.001.
    #[must_use]
    pub fn min_hessian_leaf(mut self, sum: f64) -> Self {
        self.min_hessian_leaf = sum;
        self
    }

    /// The L2 penalty of a leaf's answer, at least 0; the default is 0.
    #[must_use]
    pub fn l2(mut self, penalty: f64) -> Self {
        self.l2 = penalty;
        self
    }

    /// The most bins that the values of a number fall into, from 2 to 254, the default. Splits lie between
    /// bins. Categories have up to 255 bins: the rarest beyond them count as missing.
    #[must_use]
    pub fn max_bins(mut self, bins: usize) -> Self {
        self.max_bins = bins;
        self
    }

    /// The share of rows that each round sees, above 0 and at most 1, the default.
    #[must_use]
    pub fn row_fraction(mut self, fraction: f64) -> Self {
        self.row_fraction = fraction;
        self
    }

    /// The share of features that each tree sees, above 0 and at most 1, the default.
    #[must_use]
    pub fn feature_fraction(mut self, fraction: f64) -> Self {
        self.feature_fraction = fraction;
        self
    }

    /// The loss that is minimized for numbers; the default is the squared error.
    #[must_use]
    pub fn loss(mut self, loss: RegressionLoss) -> Self {
        self.loss = loss;
        self
    }

    /// Constrains which way predictions go with a feature, which is a number; for two classes, the probability of the
    /// second. Other features being equal, no prediction breaks it.
    #[must_use]
    pub fn monotone(mut self, feature: impl Into<String>, direction: Direction) -> Self {
        self.monotone.insert(feature.into(), direction);
        self
    }

    /// Adds a group of features that may be split by together on the way to a leaf. With any group, features of different
    /// groups never are; those in none are one more group.
    #[must_use]
    pub fn interaction<F: Into<String>>(mut self, features: impl IntoIterator<Item = F>) -> Self {
        self.interactions
            .push(features.into_iter().map(Into::into).collect());
        self
    }

    /// Sets the number of rounds without a lower loss on the tuning rows that end training, at least 1. Off by default.
    #[must_use]
    pub fn patience(mut self, rounds: usize) -> Self {
        self.patience = Some(rounds);
        self
    }

    /// In a pipeline, adds the rounds to the model that is serving. The default is `false`: a model from scratch, since
    /// one that is continued grows with every run.
    #[must_use]
    pub fn continue_serving(mut self, yes: bool) -> Self {
        self.continue_serving = yes;
        self
    }
}

impl Stage for GradientBoosting {
    fn name(&self) -> &str {
        "gradient_boosting"
    }

    fn check(&self) -> Result<()> {
        if let Some(rounds) = self.rounds {
            check_range("rounds", rounds, 1, 100_000)?;
        }
        check_positive("learning_rate", self.learning_rate, 1.0)?;
        check_range("max_leaves", self.max_leaves, 2, 1 << 16)?;
        if let Some(depth) = self.max_depth {
            check_range("max_depth", depth, 1, MOST_DEPTH)?;
        }
        check_range("min_rows_leaf", self.min_rows_leaf, 1, 1 << 32)?;
        check_range("min_hessian_leaf", self.min_hessian_leaf, 0.0, 1e12)?;
        check_range("l2", self.l2, 0.0, 1e12)?;
        check_range("max_bins", self.max_bins, 2, 254)?;
        check_positive("row_fraction", self.row_fraction, 1.0)?;
        check_positive("feature_fraction", self.feature_fraction, 1.0)?;
        if let Some(patience) = self.patience {
            check_range("patience", patience, 1, 100_000)?;
        }
        match self.loss {
            RegressionLoss::Quantile(level) if !(level > 0.0 && level < 1.0) => Err(Error::config(
                format!("`loss` is the quantile {level}, must be above 0 and below 1"),
            )),
            RegressionLoss::Tweedie(power) if !(power > 1.0 && power < 2.0) => Err(Error::config(
                format!("`loss` is Tweedie of power {power}, must be above 1 and below 2"),
            )),
            _ => Ok(()),
        }
    }
}
