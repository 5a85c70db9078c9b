//! Prepared data as datasets for trainers.

use std::sync::Arc;

use crate::data::{PreparedData, TRAIN, TUNE};
use crate::error::Result;
use crate::training::Dataset;
use crate::transform::FittedPlan;

/// A split of prepared data as a dataset for trainers: `train` and `tune` have the [weights](PreparedData::weighting) of
/// training, and `train` is marked as the rows [to train with](Dataset::to_train). `fitted` comes from [`PreparedData::fit`].
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
    Ok(dataset)
}
