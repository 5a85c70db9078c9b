//! The trainer that looks at the labels only.

use serde::{Deserialize, Serialize};

use super::{TrainArgs, Trainer};
use crate::error::Result;
use crate::model::{ConstantModel, Target};
use crate::stage::Stage;

/// Predicts the mean of a regression's label, or the classes' shares. Useful to see what any model must beat.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Constant;

impl Stage for Constant {
    fn name(&self) -> &str {
        "constant"
    }
}

impl Trainer for Constant {
    type Model = ConstantModel;

    fn train(&self, args: TrainArgs<'_, ConstantModel>) -> Result<ConstantModel> {
        let n_outputs = args.target().n_outputs();
        let mut sums = vec![0.0; n_outputs];
        for batch in args.train().batches() {
            let batch = batch?;
            match args.target() {
                Target::Regression { .. } | Target::Binary { .. } => {
                    sums[0] += batch.labels().sum()
                }
                Target::Multiclass { .. } => batch
                    .classes()?
                    .iter()
                    .for_each(|class| sums[*class] += 1.0),
            }
        }
        let n = args.train().n_rows() as f64;
        let outputs = sums.into_iter().map(|sum| sum / n).collect();
        Ok(ConstantModel::new(args.train().n_features(), outputs))
    }
}
