//! Sets of classes that hold the label as often as they say.

use serde::Serialize;

use super::margins::{Coverage, Score, coverage_setters, measured};
use super::scored::Inner;
use super::{Capabilities, TrainArgs, Trained, Trainer};
use crate::error::{Error, Result};
use crate::model::{ConformalSetsModel, Predict, miss_of};
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
    #[serde(flatten)]
    coverage: Coverage,
}

impl<T: Trainer> ConformalSets<T> {
    /// Sets by the probabilities of a trainer's model, that hold the label with a probability.
    #[must_use]
    pub fn new(trainer: T, coverage: f64) -> Self {
        ConformalSets {
            trainer,
            coverage: Coverage::of(coverage),
        }
    }

    coverage_setters!();
}

impl<T: Trainer> Stage for ConformalSets<T> {
    fn name(&self) -> &str {
        "conformal_sets"
    }

    fn check(&self) -> Result<()> {
        self.coverage.check()?;
        self.trainer.check()
    }
}

impl<T: Trainer> Trainer for ConformalSets<T> {
    type Model = ConformalSetsModel;

    fn train(&self, args: &TrainArgs) -> Result<Trained<ConformalSetsModel>> {
        let classes = args.target().classes().to_vec();
        if classes.is_empty() {
            return Err(Error::config(format!(
                "label `{}` defines a regression task, but sets require classes: `Conformal` makes intervals",
                args.target().label()
            )));
        }
        let hold_out = self.coverage.hold_out;
        let inner = Inner::train(&self.trainer, args, hold_out, ConformalSetsModel::model)?;
        let model = &inner.model;
        // The rows count as they do where the model will be used.
        let rows = inner.rows_to_tune()?;
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
        let (margins, warnings) = measured((self, "sets"), &self.coverage, &table, &scores)?;
        let model = ConformalSetsModel::new(model.clone(), classes, margins)?;
        Ok(inner.finish(model, warnings))
    }

    fn capabilities(&self) -> Capabilities {
        self.trainer.capabilities()
    }
}
