//! Intervals that hold the label as often as they say.

use serde::Serialize;

use super::calibrated::check_hold_out;
use super::margins::{Score, check_coverage, measured};
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
    coverage: f64,
    group: Option<String>,
    hold_out: f64,
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
            coverage,
            group: None,
            hold_out: 0.2,
        }
    }

    /// Intervals from a lower to an upper quantile, by trainers of these, such as boosting with a quantile loss; moved out
    /// or in on both sides by as much as they miss of the coverage.
    #[must_use]
    pub fn around(mut self, low: T, high: T) -> Self {
        self.band = Some((low, high));
        self
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

impl<T: Trainer> Stage for Conformal<T> {
    fn name(&self) -> &str {
        "conformal"
    }

    fn check(&self) -> Result<()> {
        check_coverage(self.coverage)?;
        check_hold_out(self.hold_out)?;
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
                "label `{}` makes a {} task, intervals are of numbers: `ConformalSets` makes sets of classes",
                target.label(),
                target.task()
            )));
        }
        let args = args.with_rows_to_tune(self.hold_out)?;
        let inner = args
            .clone()
            .warm_start_within::<ConformalModel>(ConformalModel::model);
        let trained = self.trainer.train(&inner)?;
        if self.band.is_some() {
            trained.refuse_other_transform(&args, self.name())?;
        }
        let tuned = args.clone().behind_that_of(&trained);
        let fitted = trained.fitted().cloned();
        let (model, record) = trained.into_parts();
        let model = AnyModel::new(model);
        let ends = match &self.band {
            None => None,
            Some((low, high)) => {
                let train = |trainer: &T| {
                    args.cancellation().check()?;
                    let trained = trainer.train(&args)?;
                    trained.refuse_other_transform(&args, self.name())?;
                    Ok::<_, Error>(AnyModel::new(trained.into_model()))
                };
                Some([train(low)?, train(high)?])
            }
        };
        args.cancellation().check()?;

        let rows = tuned.rows_to_tune()?;
        let table = rows.table(model.takes())?;
        let intervals = band(&model, ends.as_ref(), table.features())?;
        let weights = table.weights();
        let scores = intervals.rows().into_iter().zip(table.labels()).enumerate();
        let scores: Vec<Score> = scores
            .map(|(row, (ends, label))| Score {
                miss: (ends[0] - label).max(label - ends[1]),
                weight: weights.map_or(1.0, |weights| weights[row]),
            })
            .collect();
        let group = self.group.as_deref();
        let (mut margins, warnings) =
            measured((self, "intervals"), self.coverage, group, &table, &scores)?;
        margins.has_band = ends.is_some();
        let trained = Trained::new(ConformalModel::new(model, ends, margins)?).with_record(record);
        let trained = trained.with_fitted(fitted);
        Ok(warnings.into_iter().fold(trained, Trained::with_warning))
    }

    fn capabilities(&self) -> Capabilities {
        self.trainer.capabilities()
    }
}
