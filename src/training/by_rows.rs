//! One trainer for few rows, another for many.

use serde::Serialize;

use super::{Capabilities, Direction, TrainArgs, Trained, Trainer, WarmStart};
use crate::error::{Error, Result};
use crate::model::AnyModel;
use crate::stage::Stage;

/// Trains by one trainer where there are few rows, and by another where there are more.
///
/// The best trainer for a hundred rows is seldom the best for a million, and a search that takes seconds on one takes
/// hours on the other. The rows to train on are counted when they are known, so it does not depend on where they are from.
/// The trainer that was used is in the record's trials, or in the model's format.
///
/// ```
/// use fourfold::Stage;
/// use fourfold::search::AutoTrainer;
/// use fourfold::training::{ByRows, GradientBoosting};
///
/// let few = AutoTrainer::default().trials(8);
/// let trainer = ByRows::up_to(2_000, few, GradientBoosting::default());
/// assert!(trainer.check().is_ok());
/// ```
#[derive(Clone, Debug, Serialize)]
pub struct ByRows<F: Trainer, M: Trainer> {
    rows: usize,
    #[serde(serialize_with = "crate::serialize_stage")]
    few: F,
    #[serde(serialize_with = "crate::serialize_stage")]
    many: M,
}

impl<F: Trainer, M: Trainer> ByRows<F, M> {
    /// The trainer of up to `rows` rows of the `train` split, and that of more. Both must
    /// [take](Trainer::capabilities) features of the same form.
    #[must_use]
    pub fn up_to(rows: usize, few: F, many: M) -> Self {
        ByRows { rows, few, many }
    }
}

impl<F: Trainer, M: Trainer> Stage for ByRows<F, M> {
    fn name(&self) -> &str {
        "by_rows"
    }

    fn check(&self) -> Result<()> {
        if self.few.capabilities().takes != self.many.capabilities().takes {
            return Err(Error::config(format!(
                "`{}` and `{}` take features of different forms, and the rows are counted after these are made",
                self.few.name(),
                self.many.name()
            )));
        }
        self.few.check()?;
        self.many.check()
    }
}

impl<F: Trainer, M: Trainer> Trainer for ByRows<F, M> {
    type Model = AnyModel;

    fn train(&self, args: &TrainArgs) -> Result<Trained<AnyModel>> {
        match args.train().n_rows() <= self.rows {
            true => Ok(self.few.train(args)?.map(AnyModel::new)),
            false => Ok(self.many.train(args)?.map(AnyModel::new)),
        }
    }

    fn capabilities(&self) -> Capabilities {
        let (few, mut both) = (self.few.capabilities(), self.many.capabilities());
        both.warm_start = match (few.warm_start, both.warm_start) {
            (one, other) if one == other => one,
            (Some(_), Some(_)) => Some(WarmStart::SameFeatures),
            (one, other) => one.or(other),
        };
        let keeps =
            |name: &String, direction: &Direction| few.directions.get(name) == Some(direction);
        both.directions
            .retain(|name, direction| keeps(name, direction));
        both
    }
}
