//! Prepared data as trainers get it.

use std::sync::Arc;

use crate::data::{PreparedData, TRAIN, TUNE};
use crate::error::Result;
use crate::training::{Dataset, HoldOutBy};
use crate::transform::FittedPlan;

/// A split of prepared data, as trainers get it: `train` and `tune` have the [weights](PreparedData::weighting) of
/// training, `train` is [to train with](Dataset::to_train), and rows are held out [by time](HoldOutBy::Time) where the
/// splits are. `fitted` is of [`PreparedData::fit`].
///
/// # Errors
/// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if there is no such split.
pub fn dataset(data: &PreparedData, split: &str, fitted: &FittedPlan) -> Result<Dataset> {
    let target = Arc::new(data.target().clone());
    let mut dataset = Dataset::new(data.split(split)?.clone(), fitted.clone(), target);
    if [TRAIN, TUNE].contains(&split) {
        dataset = dataset.weighted(data.weighting().clone());
    }
    if split == TRAIN {
        dataset = dataset.to_train().rebalanced(data.stands_for());
    }
    Ok(match data.division().time_column() {
        Some(column) => dataset.hold_out_by(HoldOutBy::Time(column.to_owned())),
        None => dataset,
    })
}
