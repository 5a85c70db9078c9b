//! Trainers of any kind.

use serde::Serialize;
use serde_json::Value;

use super::{Capabilities, TrainArgs, Trained, Trainer};
use crate::error::Result;
use crate::model::AnyModel;
use crate::stage::Stage;

/// A trainer whose model's type is forgotten, made by [`Trainer::erase`]: for searches over trainers of several kinds,
/// and for programs that choose one at run time.
///
/// ```
/// # #[cfg(feature = "linfa")] {
/// use fourfold::Stage;
/// use fourfold::training::{AnyTrainer, Constant, Linear, Trainer};
///
/// let trainers: Vec<AnyTrainer> = vec![Linear::default().erase(), Constant.erase()];
/// assert_eq!(trainers[1].name(), "constant");
/// assert_eq!(trainers.configuration()?[0]["configuration"], Linear::default().configuration()?);
/// # }
/// # Ok::<(), fourfold::Error>(())
/// ```
pub type AnyTrainer = Box<dyn Trainer<Model = AnyModel>>;

/// The trainer in all but the type of its model.
#[derive(Serialize)]
#[serde(transparent)]
pub(super) struct Erased<T>(pub(super) T);

impl<T: Stage> Stage for Erased<T>
where
    Erased<T>: Serialize,
{
    fn name(&self) -> &str {
        self.0.name()
    }

    fn version(&self) -> u32 {
        self.0.version()
    }

    fn check(&self) -> Result<()> {
        self.0.check()
    }

    fn configuration(&self) -> Result<Value> {
        self.0.configuration()
    }
}

impl<T: Trainer> Trainer for Erased<T>
where
    Erased<T>: Serialize,
{
    type Model = AnyModel;

    fn train(&self, args: &TrainArgs) -> Result<Trained<AnyModel>> {
        Ok(self.0.train(args)?.map(AnyModel::new))
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }
}
