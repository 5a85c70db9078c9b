//! A closure as a trainer.

use std::fmt;
use std::marker::PhantomData;

use serde::{Serialize, Serializer};

use super::{TrainArgs, Trainer};
use crate::error::Result;
use crate::model::Model;
use crate::stage::Stage;

/// A closure with a name and a version, which it must have because it has no configuration to take a fingerprint
/// of.
pub struct TrainerFn<F, M> {
    name: String,
    version: u32,
    train: F,
    model: PhantomData<fn() -> M>,
}

impl<F, M> TrainerFn<F, M>
where
    F: Fn(TrainArgs<'_, M>) -> Result<M>,
{
    /// Makes a trainer of a closure. Raise `version` when its code changes.
    #[must_use]
    pub fn new(name: impl Into<String>, version: u32, train: F) -> Self {
        TrainerFn {
            name: name.into(),
            version,
            train,
            model: PhantomData,
        }
    }
}

impl<F, M> fmt::Debug for TrainerFn<F, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TrainerFn({} v{})", self.name, self.version)
    }
}

impl<F, M> Serialize for TrainerFn<F, M> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.name, self.version).serialize(serializer)
    }
}

impl<F, M> Stage for TrainerFn<F, M>
where
    F: Send + Sync + 'static,
    M: 'static,
{
    fn name(&self) -> &str {
        &self.name
    }

    fn version(&self) -> u32 {
        self.version
    }
}

impl<F, M> Trainer for TrainerFn<F, M>
where
    F: Fn(TrainArgs<'_, M>) -> Result<M> + Send + Sync + 'static,
    M: Model,
{
    type Model = M;

    fn train(&self, args: TrainArgs<'_, M>) -> Result<M> {
        (self.train)(args)
    }
}
