//! Sets of classes that hold the label as often as they say.

use serde::Serialize;

use super::calibrated::check_hold_out;
use super::margins::{Score, check_coverage, measured};
use super::{Capabilities, TrainArgs, Trained, Trainer};
use crate::error::{Error, Result};
use crate::model::{AnyModel, ConformalSetsModel, Predict, miss_of};
use crate::stage::Stage;

/// A classifier with sets of classes: of rows to come that are like those to [tune](TrainArgs::tune) by, at least the
/// coverage that was asked for has its label in the set (where there are no such rows, a part of those to train on is held
/// out for it). A row that is clear gets one class, one that is not gets several.
///
/// A class is in the set if its probability is not below a bound that is measured on the rows to tune by, which makes the
/// smallest sets on average (least ambiguous sets: Sadinle, Lei and Wasserman, 2019). The most probable class always is, so
/// sets of a model that is right more often than was asked for hold one class and cover more.
/// [`ConformalSets::per_group`] measures groups of rows apart, so that each of them is covered.
///
/// The guarantee is over rows and samples together: with `n` rows to tune by, the coverage of one model's sets lies around
/// the one asked for with a standard deviation of about `sqrt(coverage * (1 - coverage) / n)`.
///
/// ```
/// use fourfold::Stage;
/// use fourfold::training::{ConformalSets, LogisticRegression};
///
/// let trainer = ConformalSets::new(LogisticRegression::default(), 0.9).per_group("carrier");
/// assert!(trainer.check().is_ok());
/// let error = ConformalSets::new(LogisticRegression::default(), 90.0).check().unwrap_err();
/// assert_eq!(error.to_string(), "`coverage` is 90, must be above 0 and below 1");
/// ```
#[derive(Clone, Debug, Serialize)]
pub struct ConformalSets<T: Trainer> {
    #[serde(serialize_with = "crate::serialize_stage")]
    trainer: T,
    coverage: f64,
    group: Option<String>,
    hold_out: f64,
}

impl<T: Trainer> ConformalSets<T> {
    /// Sets by the probabilities of a trainer's model, that hold the label with a probability.
    #[must_use]
    pub fn new(trainer: T, coverage: f64) -> Self {
        ConformalSets {
            trainer,
            coverage,
            group: None,
            hold_out: 0.2,
        }
    }

    /// Measures the rows apart by the value of a raw column that the features have as a category (a one-hot). Values with
    /// too few rows get what all rows together have.
    #[must_use]
    pub fn per_group(mut self, column: impl Into<String>) -> Self {
        self.group = Some(column.into());
        self
    }

    /// The share of rows that is held out where there are none to tune by; the default is 0.2.
    #[must_use]
    pub fn hold_out(mut self, fraction: f64) -> Self {
        self.hold_out = fraction;
        self
    }
}

impl<T: Trainer> Stage for ConformalSets<T> {
    fn name(&self) -> &str {
        "conformal_sets"
    }

    fn check(&self) -> Result<()> {
        check_coverage(self.coverage)?;
        check_hold_out(self.hold_out)?;
        self.trainer.check()
    }
}

impl<T: Trainer> Trainer for ConformalSets<T> {
    type Model = ConformalSetsModel;

    fn train(&self, args: &TrainArgs) -> Result<Trained<ConformalSetsModel>> {
        let classes = args.target().classes().to_vec();
        if classes.is_empty() {
            return Err(Error::config(format!(
                "label `{}` makes a regression task, sets are of classes: `Conformal` makes intervals",
                args.target().label()
            )));
        }
        let args = args.with_rows_to_tune(self.hold_out)?;
        let inner = args
            .clone()
            .warm_start_within::<ConformalSetsModel>(ConformalSetsModel::model);
        let trained = self.trainer.train(&inner)?;
        let tuned = args.clone().behind_that_of(&trained);
        let fitted = trained.fitted().cloned();
        let (model, record) = trained.into_parts();
        args.cancellation().check()?;

        let model = AnyModel::new(model);
        // The rows count as they do where the model will be used.
        let rows = tuned.rows_to_tune()?.clone();
        let weighting = rows.weighting().clone().without_classes();
        let table = rows.weighted(weighting).table(model.takes())?;
        let outputs = model.predict(table.features())?;
        let weights = table.weights();
        let scores = outputs.rows().into_iter().zip(table.labels()).enumerate();
        let scores: Vec<Score> = scores
            .map(|(row, (outputs, label))| Score {
                miss: miss_of(outputs, *label),
                weight: weights.map_or(1.0, |weights| weights[row]),
            })
            .collect();
        let group = self.group.as_deref();
        let (margins, warnings) = measured((self, "sets"), self.coverage, group, &table, &scores)?;
        let model = ConformalSetsModel::new(model, classes, margins)?;
        let trained = Trained::new(model).with_record(record).with_fitted(fitted);
        Ok(warnings.into_iter().fold(trained, Trained::with_warning))
    }

    fn capabilities(&self) -> Capabilities {
        self.trainer.capabilities()
    }
}
