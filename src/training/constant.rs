//! The trainer that looks at the labels only.

use ndarray::Array1;
use serde::{Deserialize, Serialize};

use super::matrix::classes_of;
use super::{TrainArgs, Trained, Trainer};
use crate::error::{Error, Result};
use crate::model::{ConstantModel, Task};
use crate::stage::Stage;

/// Predicts the mean of a regression's label, or the classes' shares; weighted, where rows have weights. Useful to see what any model must beat.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Constant;

impl Stage for Constant {
    fn name(&self) -> &str {
        "constant"
    }
}

impl Trainer for Constant {
    type Model = ConstantModel;

    fn train(&self, args: &TrainArgs) -> Result<Trained<ConstantModel>> {
        let n_outputs = args.target().n_outputs();
        let mut sums = vec![0.0; n_outputs];
        let mut total = 0.0;
        for batch in args.train().labels() {
            let (labels, weights) = batch?;
            let weights = weights.unwrap_or_else(|| Array1::ones(labels.len()));
            total += weights.sum();
            match args.target().task() {
                Task::Regression | Task::Binary => sums[0] += labels.dot(&weights),
                Task::Multiclass => classes_of(labels.view())?
                    .iter()
                    .zip(weights)
                    .for_each(|(class, weight)| sums[*class] += weight),
            }
        }
        if total == 0.0 {
            return Err(Error::data("the weights of all rows are 0"));
        }
        let outputs = sums.into_iter().map(|sum| sum / total).collect();
        Ok(ConstantModel::new(args.train().n_features(), outputs).into())
    }
}
