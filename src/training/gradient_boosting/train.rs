//! Rows in, boosted trees out.

use std::ops::{ControlFlow, Range};

use fourfold_kernels::trees::{
    BoostOptions, Boosted, Examples, ForestBuilder, Objective, Round, boost, tree_width,
};

use super::super::trees::{Rows, shapes, with_importances};
use super::super::{Capabilities, Dataset, TrainArgs, Trained, Trainer, WarmStart};
use super::warm::moved;
use super::{GradientBoosting, MOST_DEPTH, RegressionLoss};
use crate::error::{Error, Result, near_names};
use crate::features::{Direction, Feature, FeatureKind, Features, Takes};
use crate::model::{Combine, ForestColumn, ForestModel, Link, Target, Task};
use crate::stage::Stage;
use crate::warning::Warning;

impl GradientBoosting {
    pub(super) fn objective(&self, target: &Target) -> Objective {
        match (target.task(), self.loss) {
            (Task::Binary, _) => Objective::Binary,
            (Task::Multiclass, _) => Objective::Classes(target.classes().len()),
            (Task::Regression, RegressionLoss::Squared) => Objective::Squared,
            (Task::Regression, RegressionLoss::Absolute) => Objective::Absolute,
            (Task::Regression, RegressionLoss::Quantile(level)) => Objective::Quantile(level),
            (Task::Regression, RegressionLoss::Poisson) => Objective::Poisson,
            (Task::Regression, RegressionLoss::Gamma) => Objective::Gamma,
            (Task::Regression, RegressionLoss::Tweedie(power)) => Objective::Tweedie(power),
        }
    }

    fn options(
        &self,
        rounds: usize,
        args: &TrainArgs,
        features: &Features,
    ) -> Result<BoostOptions> {
        Ok(BoostOptions {
            rounds,
            learning_rate: self.learning_rate,
            max_leaves: self.max_leaves,
            max_depth: self.max_depth.unwrap_or(MOST_DEPTH),
            min_rows_leaf: self.min_rows_leaf,
            min_hessian_leaf: self.min_hessian_leaf,
            l2: self.l2,
            max_bins: self.max_bins,
            row_fraction: self.row_fraction,
            feature_fraction: self.feature_fraction,
            monotone: self.directions(features)?,
            interactions: self.groups(features)?,
            patience: self.patience,
            seed: args.seed(),
            threads: args.threads(),
        })
    }

    /// The direction of each feature of the trees.
    fn directions(&self, features: &Features) -> Result<Vec<i8>> {
        let places = places(features);
        let n = places.last().map_or(0, |(_, places)| places.end);
        let mut directions = vec![
            0;
            if self.monotone.is_empty() {
                0
            } else {
                n as usize
            }
        ];
        for (name, direction) in &self.monotone {
            let found = places.iter().find(|(info, _)| info.name == *name);
            let (info, places) = found.ok_or_else(|| no_feature("monotone", name, features))?;
            if info.kind != FeatureKind::Number {
                return Err(Error::config(format!(
                    "`monotone` names `{name}`, which is not a feature of one number"
                )));
            }
            directions[places.start as usize] = match direction {
                Direction::Rising => 1,
                Direction::Falling => -1,
            };
        }
        Ok(directions)
    }

    /// The groups of features of the trees. A name is a feature's or a raw column's.
    fn groups(&self, features: &Features) -> Result<Vec<Vec<u32>>> {
        let places = places(features);
        let of = |name: &String| {
            let own = places
                .iter()
                .filter(|(info, _)| info.name == *name || info.raw.contains(name));
            let own: Vec<u32> = own.flat_map(|(_, places)| places.clone()).collect();
            match own.is_empty() {
                true => Err(no_feature("interaction", name, features)),
                false => Ok(own),
            }
        };
        let group = |names: &Vec<String>| {
            let own = names.iter().map(of).collect::<Result<Vec<_>>>()?;
            Ok(own.concat())
        };
        self.interactions.iter().map(group).collect()
    }

    /// Checks that the loss is defined for the labels.
    fn check_labels(&self, objective: Objective, rows: &Rows) -> Result<()> {
        let (least, what) = match objective {
            Objective::Poisson | Objective::Tweedie(_) => (0.0, "at least 0"),
            Objective::Gamma => (f64::MIN_POSITIVE, "above 0"),
            _ => return Ok(()),
        };
        match rows.labels().iter().find(|label| **label < least) {
            None => Ok(()),
            Some(label) => Err(Error::data(format!(
                "a label is {label}, must be {what} for the loss `{:?}`",
                self.loss
            ))),
        }
    }
}

/// Each feature, and its features of the trees.
fn places(features: &Features) -> Vec<(&Feature, Range<u32>)> {
    let mut first = 0;
    let columns = features.columns();
    let widths = columns.iter().map(tree_width);
    features
        .info()
        .iter()
        .zip(widths)
        .map(|(info, width)| {
            let own = first..first + width as u32;
            first = own.end;
            (info, own)
        })
        .collect()
}

fn no_feature(what: &str, name: &str, features: &Features) -> Error {
    let names = features.info().iter().map(|info| info.name.as_str());
    Error::config(format!(
        "`{what}` names the unknown feature `{name}`{}",
        near_names(name, names)
    ))
}

fn link(objective: Objective) -> Link {
    match objective {
        Objective::Squared | Objective::Absolute | Objective::Quantile(_) => Link::Identity,
        Objective::Poisson | Objective::Gamma | Objective::Tweedie(_) => Link::Log,
        Objective::Binary => Link::Logistic,
        Objective::Classes(_) => Link::Softmax,
    }
}

fn loss_name(objective: Objective) -> &'static str {
    match objective {
        Objective::Squared => "tune_mean_squared_error",
        Objective::Absolute => "tune_mean_absolute_error",
        Objective::Quantile(_) => "tune_pinball_loss",
        Objective::Poisson | Objective::Gamma | Objective::Tweedie(_) => "tune_deviance",
        Objective::Binary | Objective::Classes(_) => "tune_log_loss",
    }
}

impl Trainer for GradientBoosting {
    type Model = ForestModel;

    fn train(&self, args: &TrainArgs) -> Result<Trained<ForestModel>> {
        match self.rounds {
            Some(rounds) => self.train_rounds(rounds, args),
            None => self.train_chosen_rounds(args),
        }
    }

    fn capabilities(&self) -> Capabilities {
        let takes = Capabilities::from(Takes::CODES).directions(self.monotone.clone());
        match self.continue_serving {
            true => takes.warm_start(WarmStart::ByName),
            false => takes,
        }
    }
}

/// Returns true if trees can be added to those of a model.
fn can_go_on(model: &ForestModel, objective: Objective) -> bool {
    let same_link =
        matches!(model.combine(), Combine::Sum { link: own, .. } if *own == link(objective));
    same_link && model.forest().n_outputs() == objective.n_outputs()
}

impl GradientBoosting {
    /// Trains for a number of rounds; fewer where there are rows to tune by.
    pub(super) fn train_rounds(
        &self,
        n_rounds: usize,
        args: &TrainArgs,
    ) -> Result<Trained<ForestModel>> {
        let objective = self.objective(args.target());
        args.check_memory(self.bytes(args, objective))?;
        let rows = Rows::read(args.train())?;
        let tune = args.tune().filter(|tune| tune.n_rows() > 0);
        let tune = tune.map(Rows::read).transpose()?;
        for rows in [Some(&rows), tune.as_ref()].into_iter().flatten() {
            self.check_labels(objective, rows)?;
            if args.target().task() != Task::Regression {
                rows.check_classes(args.target().classes().len())?;
            }
        }
        args.cancellation().check()?;
        let columns = rows.features().columns();
        let shapes = shapes(&columns)?;
        let options = self.options(n_rounds, args, rows.features())?;
        let previous = args.warm_start_by_name::<ForestModel>();
        let moved = match previous {
            Some((model, names)) if can_go_on(model, objective) => {
                let now = args.train().feature_names();
                moved(model, names, &shapes, rows.features().info(), now)?
            }
            _ => None,
        };
        let kept = moved.as_ref().map(|moved| &moved.model);
        let margins = |rows: &Rows| {
            kept.map(|model| model.sums(rows.features(), args.threads()))
                .transpose()
        };
        let base = margins(&rows)?;
        let tune_base = tune.as_ref().map(margins).transpose()?.flatten();
        let tune_columns = tune.as_ref().map(|tune| tune.features().columns());
        let tuned = tune.as_ref().zip(tune_columns.as_deref());
        let boosted = self.boosted(
            args,
            rows.examples(&columns, base.as_deref()),
            tuned.map(|(rows, columns)| rows.examples(columns, tune_base.as_deref())),
            objective,
            &options,
        );
        if boosted.was_stopped && boosted.rounds == 0 {
            args.cancellation().check()?;
        }
        let model = self.model(&boosted, kept, shapes, objective)?;
        let mut trained = Trained::new(model);
        for (round, loss) in (1..).zip(&boosted.curve) {
            if loss.is_finite() {
                trained = trained.with_point(loss_name(objective), round, *loss);
            }
        }
        if tune.is_some() {
            trained = trained.with_best_iteration(boosted.rounds as u64);
        }
        let change = moved.as_ref().and_then(|moved| moved.change.clone());
        let change = change.map(|message| Warning::new(self.name(), "warm_start_by_name", message));
        let warnings = self.warnings(&boosted, previous.is_some() && kept.is_none(), &rows);
        for warning in change.into_iter().chain(warnings) {
            trained = trained.with_warning(warning);
        }
        with_importances(trained, rows.features())
    }

    /// The memory of training at its peak.
    pub(super) fn bytes(&self, args: &TrainArgs, objective: Objective) -> u64 {
        /// Cells of all histograms that are kept, and of those that are being made.
        const MOST_CELLS: u64 = 1 << 24;
        let n_outputs = objective.n_outputs() as u64;
        let rows = |rows: &Dataset, bytes_of_bin: u64| {
            let of_row = bytes_of_bin * rows.n_tree_features() + 32 + 8 * n_outputs;
            let n_rows = rows.n_rows() as u64;
            rows.table_bytes(Takes::CODES) + n_rows.saturating_mul(of_row)
        };
        let cells = (self.max_leaves as u64 + 1) * (args.train().n_tree_features() * 256);
        let tune = args.tune().map_or(0, |tune| rows(tune, 1));
        rows(args.train(), 2) + tune + 16 * cells.min(MOST_CELLS)
    }

    fn boosted(
        &self,
        args: &TrainArgs,
        train: Examples<'_>,
        tune: Option<Examples<'_>>,
        objective: Objective,
        options: &BoostOptions,
    ) -> Boosted {
        let is_cancelled = || args.cancellation().is_cancelled();
        let total = options.rounds as u64;
        let mut watch = |round: Round| {
            args.progress().advance(round.done as u64, total);
            match is_cancelled() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        };
        boost(train, tune, objective, options, &mut watch, &is_cancelled)
    }

    /// The model of the new trees, behind those that are kept.
    fn model(
        &self,
        boosted: &Boosted,
        kept: Option<&ForestModel>,
        shapes: Vec<ForestColumn>,
        objective: Objective,
    ) -> Result<ForestModel> {
        let (base, forest) = match kept {
            Some(model) => {
                let old = model.forest();
                let mut builder = ForestBuilder::new(old.n_features(), old.n_outputs(), 1);
                for forest in [old, &boosted.forest] {
                    for tree in 0..forest.n_trees() {
                        builder
                            .push(&forest.tree(tree))
                            .map_err(|error| Error::model(error.to_string()))?;
                    }
                }
                let base = match model.combine() {
                    Combine::Sum { base, .. } => base.clone(),
                    Combine::Mean => boosted.base.clone(),
                };
                (base, builder.finish())
            }
            None => (boosted.base.clone(), boosted.forest.clone()),
        };
        let link = link(objective);
        ForestModel::of_columns(shapes, Combine::Sum { base, link }, forest)
    }

    fn warnings(&self, boosted: &Boosted, started_anew: bool, rows: &Rows) -> Vec<Warning> {
        let warning = |code: &str, message: String| Warning::new(self.name(), code, message);
        let mut warnings = Vec::new();
        if boosted.was_stopped {
            let rounds = boosted.rounds;
            warnings.push(warning(
                "cancelled",
                format!("training was cancelled; the model has the best {rounds} rounds so far"),
            ));
        }
        if started_anew {
            warnings.push(warning(
                "cold_start",
                "the previous model differs in features, outputs or loss; training started from scratch".to_owned(),
            ));
        }
        if let Some(weights) = rows.weights() {
            let mean = weights.iter().sum::<f64>() / weights.len() as f64;
            if !(0.01..=100.0).contains(&mean) {
                warnings.push(warning(
                    "weights_scale",
                    format!(
                        "the mean weight is {mean}, and a leaf needs rows that weigh {} together; scale the weights to a \
                         mean of 1 unless they count rows",
                        self.min_rows_leaf
                    ),
                ));
            }
        }
        warnings
    }
}
