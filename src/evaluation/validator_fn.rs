//! A closure as a validator.

use std::fmt;
use std::marker::PhantomData;

use serde::{Serialize, Serializer};

use super::{EvalArgs, Validator};
use crate::blessing::Verdict;
use crate::error::Result;
use crate::model::Model;
use crate::stage::Stage;

/// A closure with a name and a version, which it must have because it has no configuration to take a fingerprint
/// of.
pub struct ValidatorFn<F, M> {
    name: String,
    version: u32,
    validate: F,
    model: PhantomData<fn() -> M>,
}

impl<F, M> ValidatorFn<F, M>
where
    F: Fn(EvalArgs<'_, M>) -> Result<Verdict>,
{
    /// Makes a validator of a closure. Raise `version` when its code changes.
    #[must_use]
    pub fn new(name: impl Into<String>, version: u32, validate: F) -> Self {
        ValidatorFn {
            name: name.into(),
            version,
            validate,
            model: PhantomData,
        }
    }
}

impl<F, M> fmt::Debug for ValidatorFn<F, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ValidatorFn({} v{})", self.name, self.version)
    }
}

impl<F, M> Serialize for ValidatorFn<F, M> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.name, self.version).serialize(serializer)
    }
}

impl<F, M> Stage for ValidatorFn<F, M>
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

impl<F, M> Validator<M> for ValidatorFn<F, M>
where
    F: Fn(EvalArgs<'_, M>) -> Result<Verdict> + Send + Sync + 'static,
    M: Model,
{
    fn validate(&self, args: EvalArgs<'_, M>) -> Result<Verdict> {
        (self.validate)(args)
    }
}
