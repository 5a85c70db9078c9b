//! The result of training.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use ndarray::Axis;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Dataset, TrainArgs};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Contributions, Model};
use crate::transform::FittedPlan;
use crate::warning::Warning;

/// A trained model, and what is known of how it came to be. Of a model alone, `model.into()` makes one.
///
/// ```
/// use fourfold::Warning;
/// use fourfold::model::ConstantModel;
/// use fourfold::training::Trained;
///
/// let trained = Trained::new(ConstantModel::new(2, vec![0.5]))
///     .with_point("tune_log_loss", 1, 0.69)
///     .with_point("tune_log_loss", 2, 0.64)
///     .with_best_iteration(2)
///     .with_warning(Warning::new("half", "few_rows", "7 rows are few"));
/// assert_eq!(trained.record().curve.len(), 2);
/// ```
#[derive(Clone, Debug)]
pub struct Trained<M> {
    model: M,
    record: TrainingRecord,
    fitted: Option<FittedPlan>,
}

/// The record of a training: the part of a [`Trained`] that goes into a run's record and report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct TrainingRecord {
    /// Losses and metrics by iteration.
    pub curve: Vec<CurvePoint>,
    /// The iteration that the model is of, where training went on after it.
    pub best_iteration: Option<u64>,
    /// The importance of each feature to the model.
    pub importances: Vec<Importance>,
    /// One row, with what each raw column contributes to its prediction.
    pub explained: Option<ExplainedRow>,
    /// The configurations that were tried, in their order.
    pub trials: Vec<Trial>,
    /// The part of the variation of the trials' values that each searched parameter explains, see
    /// [`search`](crate::search#importance-of-parameters).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parameter_importances: Vec<Importance>,
    /// The decision threshold that was chosen for the model, see [`Trained::with_threshold`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// Warnings of what the trainer decided on its own or left out.
    pub warnings: Vec<Warning>,
}

/// A point of a curve by iteration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// The measure and the rows, such as `train_log_loss`.
    pub name: String,
    /// The iteration, from 1 on.
    pub iteration: u64,
    /// The value, finite.
    pub value: f64,
}

/// The importance of a feature to a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Importance {
    /// The feature's name.
    pub feature: String,
    /// The measure, such as `gain` or `permutation`.
    pub measure: String,
    /// The value, finite; the larger, the more.
    pub value: f64,
}

/// The contribution of each raw column to the prediction for one row, see [`Contributions`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExplainedRow {
    /// The raw columns; the last is `base`, the mean over the training rows.
    pub names: Vec<String>,
    /// For each output of the model, one value a name; added up, they are the output before the link.
    pub outputs: Vec<Vec<f64>>,
}

impl ExplainedRow {
    /// One row of contributions; `None` if there is no such row.
    #[must_use]
    pub fn of(contributions: &Contributions, row: usize) -> Option<Self> {
        let values = contributions.values();
        if row >= values.dim().0 {
            return None;
        }
        let outputs = values.index_axis(Axis(0), row);
        Some(ExplainedRow {
            names: contributions.names().to_vec(),
            outputs: outputs.rows().into_iter().map(|row| row.to_vec()).collect(),
        })
    }
}

/// A configuration that was tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Trial {
    /// The stage that was tried, see [`Stage::describe`](crate::Stage::describe).
    pub stage: Value,
    /// The metric, such as `log_loss`.
    pub metric: String,
    /// The value; `None` if the trial came to none.
    pub value: Option<f64>,
    /// The searched parameters by name, those that mattered: what tells it from other trials of its trainer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, Value>,
    /// The reason why it has no value, was stopped early, or cannot be chosen because its model exceeds a limit.
    pub reason: Option<String>,
    /// The standard error of the value, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<f64>,
    /// The share of the rows that it learned from, above 0 and at most 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// Its duration in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// The size of the saved model with its transform, where a search has a limit of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// The measured time that the model takes for one raw row, in seconds, if a search limits it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row_seconds: Option<f64>,
}

impl Trial {
    /// A trial that came to a value.
    #[must_use]
    pub fn new(stage: Value, metric: impl Into<String>, value: f64) -> Self {
        Trial {
            stage,
            metric: metric.into(),
            value: Some(value),
            parameters: BTreeMap::new(),
            reason: None,
            error: None,
            share: None,
            seconds: None,
            bytes: None,
            row_seconds: None,
        }
    }

    /// A trial that failed, or was stopped before it came to a value.
    #[must_use]
    pub fn without_value(
        stage: Value,
        metric: impl Into<String>,
        reason: impl Into<String>,
    ) -> Self {
        Trial {
            value: None,
            reason: Some(reason.into()),
            ..Trial::new(stage, metric, f64::NAN)
        }
    }
}

impl Trial {
    /// Returns true if it has a value that can be compared with those of others: it was not stopped, and its model does
    /// not exceed a limit.
    #[must_use]
    pub fn is_comparable(&self) -> bool {
        self.value.is_some() && self.reason.is_none()
    }
}

impl fmt::Display for Trial {
    /// `log_loss 0.4213 ± 0.0120, boosting (learning_rate 0.05), 1.2 s`, with the reason where there is one; or
    /// `boosting: ` and why it came to no value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(value) = self.value {
            write!(f, "{} {value:.4}", self.metric)?;
            if let Some(error) = self.error {
                write!(f, " ± {error:.4}")?;
            }
            f.write_str(", ")?;
        }
        f.write_str(self.stage["name"].as_str().unwrap_or("trial"))?;
        for (at, (name, value)) in self.parameters.iter().enumerate() {
            let before = if at == 0 { " (" } else { ", " };
            match value.as_f64().filter(|_| value.is_f64()) {
                Some(value) => write!(f, "{before}{name} {value:.3e}")?,
                None => write!(f, "{before}{name} {value}")?,
            }
        }
        if !self.parameters.is_empty() {
            f.write_str(")")?;
        }
        if let Some(seconds) = self.seconds {
            write!(f, ", {seconds:.1} s")?;
        }
        match &self.reason {
            Some(reason) => write!(f, ": {reason}"),
            None => Ok(()),
        }
    }
}

impl<M: Model> From<M> for Trained<M> {
    fn from(model: M) -> Self {
        Trained::new(model)
    }
}

impl<M> Trained<M> {
    /// A model about which nothing more is known.
    #[must_use]
    pub fn new(model: M) -> Self {
        Trained {
            model,
            record: TrainingRecord::default(),
            fitted: None,
        }
    }

    /// Says that it was trained behind the transform of this dataset, where that is another one than that of
    /// [`TrainArgs::train`](super::TrainArgs::train): see [`Dataset::refit`].
    #[must_use]
    pub fn behind(mut self, dataset: &Dataset) -> Self {
        self.fitted = Some(dataset.fitted().clone());
        self
    }

    /// The same behind a transform, if it is another one than that of the rows that were given.
    #[must_use]
    pub(super) fn with_fitted(mut self, fitted: Option<FittedPlan>) -> Self {
        self.fitted = fitted;
        self
    }

    /// The transform that the model was trained behind; of a [`TrainingPipeline`](super::TrainingPipeline), always.
    #[must_use]
    pub fn fitted(&self) -> Option<&FittedPlan> {
        self.fitted.as_ref()
    }

    /// For trainers that put several models behind one transform.
    pub(super) fn refuse_other_transform(&self, args: &TrainArgs, trainer: &str) -> Result<()> {
        let ours = args.train().transform();
        match &self.fitted {
            Some(fitted) if !Arc::ptr_eq(fitted.transform(), ours) => Err(other_transform(trainer)),
            _ => Ok(()),
        }
    }

    /// Adds a point of a curve.
    #[must_use]
    pub fn with_point(mut self, name: impl Into<String>, iteration: u64, value: f64) -> Self {
        self.record.curve.push(CurvePoint {
            name: name.into(),
            iteration,
            value,
        });
        self
    }

    /// Sets the iteration that the model is of.
    #[must_use]
    pub fn with_best_iteration(mut self, iteration: u64) -> Self {
        self.record.best_iteration = Some(iteration);
        self
    }

    /// Adds importances, `(feature, value)`, of a measure such as `gain`.
    #[must_use]
    pub fn with_importances<F: Into<String>>(
        mut self,
        measure: &str,
        values: impl IntoIterator<Item = (F, f64)>,
    ) -> Self {
        let values = values.into_iter().map(|(feature, value)| Importance {
            feature: feature.into(),
            measure: measure.to_owned(),
            value,
        });
        self.record.importances.extend(values);
        self
    }

    /// Adds what each raw column contributes to the prediction for one row.
    #[must_use]
    pub fn with_explained(mut self, row: ExplainedRow) -> Self {
        self.record.explained = Some(row);
        self
    }

    /// Adds a configuration that was tried.
    #[must_use]
    pub fn with_trial(mut self, trial: Trial) -> Self {
        self.record.trials.push(trial);
        self
    }

    /// Says from which probability of the positive class on it is the answer: the model is saved with it, and label
    /// predictions, metrics and served answers go by it. One half by default. The positive class is the answer *above*
    /// it; it is from 0 to 1, and of two classes only.
    #[must_use]
    pub fn with_threshold(mut self, threshold: f64) -> Self {
        self.record.threshold = Some(threshold);
        self
    }

    /// Says how much of the spread of the trials' values each searched parameter explains.
    #[must_use]
    pub fn with_parameter_importances(mut self, importances: Vec<Importance>) -> Self {
        self.record.parameter_importances = importances;
        self
    }

    /// Adds a warning.
    #[must_use]
    pub fn with_warning(mut self, warning: Warning) -> Self {
        self.record.warnings.push(warning);
        self
    }

    /// Adds what is known of another training: of a trainer within this one. Its threshold is left out, with a warning:
    /// it is of other probabilities.
    #[must_use]
    pub fn with_record(mut self, record: TrainingRecord) -> Self {
        let TrainingRecord {
            curve,
            best_iteration,
            importances,
            explained,
            trials,
            parameter_importances,
            threshold,
            warnings,
        } = record;
        self.record.curve.extend(curve);
        self.record.best_iteration = self.record.best_iteration.or(best_iteration);
        self.record.importances.extend(importances);
        self.record.explained = self.record.explained.or(explained);
        self.record.trials.extend(trials);
        self.record
            .parameter_importances
            .extend(parameter_importances);
        self.record.warnings.extend(warnings);
        self.record
            .warnings
            .extend(threshold.map(threshold_left_out));
        self
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &M {
        &self.model
    }

    /// The record of the training.
    #[must_use]
    pub fn record(&self) -> &TrainingRecord {
        &self.record
    }

    /// The model alone.
    #[must_use]
    pub fn into_model(self) -> M {
        self.model
    }

    /// The model and how it came to be, without the [transform](Trained::fitted) that it stands behind.
    #[must_use]
    pub fn into_parts(self) -> (M, TrainingRecord) {
        (self.model, self.record)
    }

    /// The same of a model that is made from this one.
    #[must_use]
    pub fn map<N>(self, make: impl FnOnce(M) -> N) -> Trained<N> {
        Trained {
            model: make(self.model),
            record: self.record,
            fitted: self.fitted,
        }
    }
}

/// The warning that a trainer makes other probabilities than those that a threshold was chosen for.
pub(super) fn threshold_left_out(threshold: f64) -> Warning {
    let message = format!(
        "the decision threshold {threshold} of the trainer within is of its probabilities, and left out; choose it around \
         the outer trainer"
    );
    Warning::new("train", "threshold_left_out", message)
}

/// A return value of a closure that trains: a model, or a [`Trained`] one.
pub trait IntoTrained {
    /// The model.
    type Model: Model;

    /// Converts it into a trained model.
    fn into_trained(self) -> Trained<Self::Model>;
}

impl<M: Model> IntoTrained for M {
    type Model = M;

    fn into_trained(self) -> Trained<M> {
        self.into()
    }
}

impl<M: Model> IntoTrained for Trained<M> {
    type Model = M;

    fn into_trained(self) -> Trained<M> {
        self
    }
}

/// The error of a trainer that puts models behind one transform.
pub(super) fn other_transform(trainer: &str) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!("{trainer} cannot put models together that stand behind transforms of their own"),
    )
}
