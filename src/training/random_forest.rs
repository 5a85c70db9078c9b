//! Random forests.

use std::ops::ControlFlow;

use fourfold_kernels::trees::{BagOptions, Bagged, Outcome, bag};
use serde::{Deserialize, Serialize};

use super::trees::{Rows, check_positive, check_range, shapes, with_importances};
use super::{Capabilities, TrainArgs, Trained, Trainer};
use crate::error::{Error, Result};
use crate::features::Takes;
use crate::model::{Combine, ForestModel, Target, Task};
use crate::stage::Stage;
use crate::warning::Warning;

/// Many deep trees, each on a bootstrap sample of the rows and trying some features at each split; the prediction is their
/// mean: of values, or of the classes' shares.
///
/// The predictions of the trees for rows that they have not seen give the out-of-bag score, an estimate for fresh rows
/// that needs none: `out_of_bag_log_loss` or `out_of_bag_mean_squared_error` in the
/// [curve](super::TrainingRecord::curve). Missing values and categories need no preparation. Rows count as much as they
/// weigh.
///
/// The model is the same, byte by byte, on any number of threads. A tree of `n` leaves takes some 60 bytes a leaf while it
/// is trained, and 20 saved. Cancelled, the trees that are grown are the model, with a warning.
///
/// Breiman: Random forests (2001). [`RandomForest::extra_random`] is the forest of Geurts, Ernst, Wehenkel: Extremely
/// randomized trees (2006). Bootstrap samples draw each row a Poisson number of times.
///
/// ```
/// use fourfold::Stage;
/// use fourfold::training::RandomForest;
///
/// assert!(RandomForest::default().trees(200).min_rows_leaf(3).check().is_ok());
/// let error = RandomForest::extra_random().feature_fraction(1.5).check().unwrap_err();
/// assert_eq!(error.message(), "`feature_fraction` is 1.5, must be above 0 and at most 1");
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RandomForest {
    trees: usize,
    max_depth: usize,
    min_rows_leaf: usize,
    feature_fraction: Option<f64>,
    bootstrap: bool,
    random_cuts: bool,
}

impl Default for RandomForest {
    /// 100 trees on bootstrap samples, leaves of at least 5 rows.
    fn default() -> Self {
        RandomForest {
            trees: 100,
            max_depth: MOST_DEPTH,
            min_rows_leaf: 5,
            feature_fraction: None,
            bootstrap: true,
            random_cuts: false,
        }
    }
}

/// Deeper trees would have no contributions.
const MOST_DEPTH: usize = 512;

impl RandomForest {
    /// With the defaults.
    #[must_use]
    pub fn new() -> Self {
        RandomForest::default()
    }

    /// Extremely randomized trees: on all rows, with one random cut a feature rather than the best.
    #[must_use]
    pub fn extra_random() -> Self {
        RandomForest {
            bootstrap: false,
            random_cuts: true,
            ..RandomForest::default()
        }
    }

    /// The number of trees, from 1 to 10,000; the default is 100.
    #[must_use]
    pub fn trees(mut self, trees: usize) -> Self {
        self.trees = trees;
        self
    }

    /// The most splits between the root and a leaf, from 1 to 512, the default.
    #[must_use]
    pub fn max_depth(mut self, depth: usize) -> Self {
        self.max_depth = depth;
        self
    }

    /// The fewest training rows of a leaf, at least 1; the default is 5. A row counts as much as it weighs, times how often
    /// it is drawn.
    #[must_use]
    pub fn min_rows_leaf(mut self, rows: usize) -> Self {
        self.min_rows_leaf = rows;
        self
    }

    /// The share of features that each split tries, above 0 and at most 1. By default, the square root of their number
    /// for classes, and a third of them for values.
    #[must_use]
    pub fn feature_fraction(mut self, fraction: f64) -> Self {
        self.feature_fraction = Some(fraction);
        self
    }

    /// Sets whether each tree sees a bootstrap sample, or all rows.
    #[must_use]
    pub fn bootstrap(mut self, bootstrap: bool) -> Self {
        self.bootstrap = bootstrap;
        self
    }

    fn features_per_split(&self, n_features: usize, target: &Target) -> usize {
        let n = n_features as f64;
        let wanted = match (self.feature_fraction, target.task()) {
            (Some(fraction), _) => n * fraction,
            (None, Task::Regression) => n / 3.0,
            (None, Task::Binary | Task::Multiclass) => n.sqrt(),
        };
        (wanted.round() as usize).max(1)
    }
}

impl Stage for RandomForest {
    fn name(&self) -> &str {
        "random_forest"
    }

    fn check(&self) -> Result<()> {
        check_range("trees", self.trees, 1, 10_000)?;
        check_range("max_depth", self.max_depth, 1, MOST_DEPTH)?;
        check_range("min_rows_leaf", self.min_rows_leaf, 1, 1 << 32)?;
        match self.feature_fraction {
            Some(fraction) => check_positive("feature_fraction", fraction, 1.0),
            None => Ok(()),
        }
    }
}

impl Trainer for RandomForest {
    type Model = ForestModel;

    fn train(&self, args: &TrainArgs) -> Result<Trained<ForestModel>> {
        args.check_memory(bytes(args, self.trees, self.min_rows_leaf))?;
        let rows = Rows::read(args.train())?;
        let width = rows
            .features()
            .columns()
            .iter()
            .map(fourfold_kernels::trees::tree_width)
            .sum();
        let options = BagOptions {
            trees: self.trees,
            max_depth: self.max_depth,
            min_rows_leaf: self.min_rows_leaf,
            features_per_split: self.features_per_split(width, args.target()),
            bootstrap: self.bootstrap,
            random_cuts: self.random_cuts,
            smoothing: 0.0,
            max_bins: 254,
            out_of_bag: true,
            seed: args.seed(),
            threads: args.threads(),
        };
        let (mut trained, bagged) = grow(self.name(), &rows, args, &options)?;
        let n_trees = bagged.forest.n_trees() as u64;
        if let Some((name, score)) = out_of_bag(&bagged, &rows, args.target()) {
            trained = trained.with_point(name, n_trees, score);
        }
        Ok(trained)
    }

    fn capabilities(&self) -> Capabilities {
        Takes::CODES.into()
    }
}

/// The memory of training at its peak, with trees of the largest size.
pub(super) fn bytes(args: &TrainArgs, trees: usize, min_rows_leaf: usize) -> u64 {
    let rows = args.train();
    let n_rows = rows.n_rows() as u64;
    let n_outputs = args.target().n_outputs() as u64;
    let of_row = 2 * rows.n_tree_features() + 32 + 8 * n_outputs;
    let leaves = n_rows / min_rows_leaf as u64 + 1;
    let of_trees = (trees as u64)
        .saturating_mul(leaves)
        .saturating_mul(52 + 8 * n_outputs);
    (rows.table_bytes(Takes::CODES) + n_rows.saturating_mul(of_row)).saturating_add(of_trees)
}

/// Grows trees whose mean is the model.
pub(super) fn grow(
    stage: &str,
    rows: &Rows,
    args: &TrainArgs,
    options: &BagOptions,
) -> Result<(Trained<ForestModel>, Bagged)> {
    let outcome = match args.target().task() {
        Task::Regression => Outcome::Mean,
        Task::Binary => Outcome::Binary,
        Task::Multiclass => Outcome::Classes(args.target().classes().len()),
    };
    if outcome != Outcome::Mean {
        rows.check_classes(args.target().classes().len())?;
    }
    args.cancellation().check()?;
    let columns = rows.features().columns();
    let shapes = shapes(&columns)?;
    let is_cancelled = || args.cancellation().is_cancelled();
    let mut watch = |n: usize| {
        args.progress().advance(n as u64, options.trees as u64);
        match is_cancelled() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    };
    let bagged = bag(
        rows.examples(&columns, None),
        outcome,
        options,
        &mut watch,
        &is_cancelled,
    )
    .map_err(|error| Error::model(error.to_string()))?;
    if bagged.forest.n_trees() == 0 {
        args.cancellation().check()?;
    }
    let model = ForestModel::of_columns(shapes, Combine::Mean, bagged.forest.clone())?;
    let mut trained = with_importances(Trained::new(model), rows.features())?;
    if bagged.was_stopped {
        let n = bagged.forest.n_trees();
        let message = format!("training was cancelled; the model has the {n} trees so far");
        trained = trained.with_warning(Warning::new(stage, "cancelled", message));
    }
    Ok((trained, bagged))
}

/// The weighted mean loss of the rows that some tree has not seen.
fn out_of_bag(bagged: &Bagged, rows: &Rows, target: &Target) -> Option<(&'static str, f64)> {
    let outputs = bagged.out_of_bag.as_ref()?;
    let n_outputs = bagged.forest.n_outputs();
    let loss = |outputs: &[f64], label: f64| {
        let least = f64::EPSILON;
        match target.task() {
            Task::Regression => (outputs[0] - label).powi(2),
            Task::Binary => {
                let share = if label == 1.0 {
                    outputs[0]
                } else {
                    1.0 - outputs[0]
                };
                -share.max(least).ln()
            }
            Task::Multiclass => -outputs
                .get(label as usize)
                .copied()
                .unwrap_or(0.0)
                .max(least)
                .ln(),
        }
    };
    let (mut sum, mut total) = (0.0, 0.0);
    for (row, (outputs, label)) in outputs
        .chunks_exact(n_outputs)
        .zip(rows.labels())
        .enumerate()
    {
        if outputs[0].is_nan() {
            continue;
        }
        let weight = rows.weights().map_or(1.0, |weights| weights[row]);
        sum += weight * loss(outputs, *label);
        total += weight;
    }
    let name = match target.task() {
        Task::Regression => "out_of_bag_mean_squared_error",
        Task::Binary | Task::Multiclass => "out_of_bag_log_loss",
    };
    (total > 0.0).then(|| (name, sum / total))
}
