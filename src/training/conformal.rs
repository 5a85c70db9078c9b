//! Intervals that hold the label as often as they say.

use serde::Serialize;

use super::margins::{Coverage, Score, coverage_setters, measured};
use super::scored::Inner;
use super::trained::other_transform;
use super::{Capabilities, TrainArgs, Trained, Trainer};
use crate::error::{Error, Result};
use crate::model::{AnyModel, ConformalModel, Predict, Task, band};
use crate::stage::Stage;

/// A regression with intervals: of rows to come that are like those to [tune](TrainArgs::tune) by, at least the coverage
/// that was asked for lies within (where there are no such rows, a part of those to train on is held out for it).
///
/// [`Conformal::new`] gives intervals of one width: the prediction and as much on either side as the errors say.
/// [`Conformal::around`] takes trainers of a lower and an upper quantile besides, and gives intervals that are wide where
/// labels scatter. [`Conformal::per_group`] measures groups of rows apart, so that each of them is covered.
///
/// The guarantee is over rows and samples together: with `n` rows to tune by, the coverage of one model's intervals lies
/// around the one asked for with a standard deviation of about `sqrt(coverage * (1 - coverage) / n)`.
///
/// ```
/// use fourfold::Stage;
/// use fourfold::training::{Conformal, LinearRegression};
///
/// let trainer = Conformal::new(LinearRegression::default(), 0.9).per_group("carrier");
/// assert!(trainer.check().is_ok());
/// let error = Conformal::new(LinearRegression::default(), 90.0).check().unwrap_err();
/// assert_eq!(error.to_string(), "`coverage` is 90, must be above 0 and below 1");
/// ```
#[derive(Clone, Debug, Serialize)]
pub struct Conformal<T: Trainer> {
    #[serde(serialize_with = "crate::serialize_stage")]
    trainer: T,
    #[serde(serialize_with = "serialize_band")]
    band: Option<(T, T)>,
    #[serde(flatten)]
    coverage: Coverage,
}

fn serialize_band<T: Trainer, S: serde::Serializer>(
    band: &Option<(T, T)>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    let described = band
        .as_ref()
        .map(|(low, high)| (low.describe(), high.describe()));
    match described {
        Some((Ok(low), Ok(high))) => [low, high].serialize(serializer),
        Some((Err(error), _) | (_, Err(error))) => Err(serde::ser::Error::custom(error)),
        None => serializer.serialize_none(),
    }
}

impl<T: Trainer> Conformal<T> {
    /// Intervals around the predictions of a trainer's model, that hold the label with a probability.
    #[must_use]
    pub fn new(trainer: T, coverage: f64) -> Self {
        Conformal {
            trainer,
            band: None,
            coverage: Coverage::of(coverage),
        }
    }

    /// Intervals from a lower to an upper quantile, by trainers of these, such as boosting with a quantile loss; moved out
    /// or in on both sides by as much as they miss of the coverage.
    #[must_use]
    pub fn around(mut self, low: T, high: T) -> Self {
        self.band = Some((low, high));
        self
    }

    coverage_setters!();
}

impl<T: Trainer> Stage for Conformal<T> {
    fn name(&self) -> &str {
        "conformal"
    }

    fn check(&self) -> Result<()> {
        self.coverage.check()?;
        if let Some((low, high)) = &self.band {
            low.check()?;
            high.check()?;
        }
        self.trainer.check()
    }
}

impl<T: Trainer> Trainer for Conformal<T> {
    type Model = ConformalModel;

    fn train(&self, args: &TrainArgs) -> Result<Trained<ConformalModel>> {
        let target = args.target();
        if target.task() != Task::Regression {
            return Err(Error::config(format!(
                "label `{}` defines a {} task, but intervals require numbers: `ConformalSets` makes sets of classes",
                target.label(),
                target.task()
            )));
        }
        let hold_out = self.coverage.hold_out;
        let inner = Inner::train(&self.trainer, args, hold_out, ConformalModel::model)?;
        let (model, args) = (&inner.model, &inner.args);
        if self.band.is_some() && inner.has_own_transform() {
            return Err(other_transform(self.name()));
        }
        let ends = match &self.band {
            None => None,
            Some((low, high)) => {
                let train = |trainer: &T| {
                    args.cancellation().check()?;
                    let trained = trainer.train(args)?;
                    trained.refuse_other_transform(args, self.name())?;
                    Ok::<_, Error>(AnyModel::new(trained.into_model()))
                };
                Some([train(low)?, train(high)?])
            }
        };
        args.cancellation().check()?;

        let table = inner.rows_to_tune()?.table(model.takes())?;
        let intervals = band(model, ends.as_ref(), table.features())?;
        let weights = table.weights();
        let scores = intervals.rows().into_iter().zip(table.labels()).enumerate();
        let scores: Vec<Score> = scores
            .map(|(row, (ends, label))| Score {
                miss: (ends[0] - label).max(label - ends[1]),
                weight: weights.map_or(1.0, |weights| weights[row]),
            })
            .collect();
        let (mut margins, warnings) =
            measured((self, "intervals"), &self.coverage, &table, &scores)?;
        margins.has_band = ends.is_some();
        let model = ConformalModel::new(model.clone(), ends, margins)?;
        Ok(inner.finish(model, warnings))
    }

    fn capabilities(&self) -> Capabilities {
        self.trainer.capabilities()
    }
}
