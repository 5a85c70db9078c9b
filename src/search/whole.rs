//! Models of all rows.

use serde_json::Value;

use super::folds::refit;
use super::trials::{Done, Trials};
use crate::error::Result;
use crate::model::AnyModel;
use crate::training::{Dataset, Trained, Trainer};

/// The configuration of a trial, trained on all rows: boosting stops at the mean of the trial's best iterations.
pub(super) fn on_all_rows(
    done: &Done,
    trials: &Trials<'_>,
) -> Result<(Dataset, Trained<AnyModel>)> {
    let args = trials.args;
    let alternative = trials.space.alternative(&done.point);
    let rows = refit(args.train(), alternative)?;
    let trainer = match done.rounds().filter(|_| alternative.has("rounds")) {
        Some(rounds) => {
            let values = alternative.configuration(&done.point.places).1.into_iter();
            let values = values.map(|(name, value)| (name.to_owned(), value));
            alternative.with(values.chain([("rounds".to_owned(), Value::from(rounds))]))?
        }
        None => alternative.trainer(&done.point.places)?,
    };
    let own = args.clone().with_train(rows.clone()).with_tune(None);
    let trained = trainer.train(&own)?.behind(&rows);
    Ok((rows, trained))
}
