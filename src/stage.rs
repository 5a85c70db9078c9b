//! What every stage of a pipeline is: a plain struct whose fields are its configuration.
//!
//! ```
//! use fourfold::{Error, ErrorKind, Result, Stage};
//! use serde::Serialize;
//!
//! #[derive(Serialize)]
//! struct TopN {
//!     n: usize,
//! }
//!
//! impl Stage for TopN {
//!     fn name(&self) -> &str {
//!         "top_n"
//!     }
//!
//!     fn check(&self) -> Result<()> {
//!         if self.n == 0 {
//!             return Err(Error::new(ErrorKind::Config, "`n` is 0, must be at least 1"));
//!         }
//!         Ok(())
//!     }
//! }
//! assert!(TopN { n: 0 }.check().is_err());
//! ```

use std::fmt;
use std::marker::PhantomData;

use serde::{Serialize, Serializer};

use crate::error::Result;

/// A named, versioned, serializable unit of work.
///
/// The struct's fields are its configuration. Its serialized form, with [`name`](Stage::name) and
/// [`version`](Stage::version), is what a [`Fingerprint`](crate::fingerprint::Fingerprint) is made of.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a pipeline stage",
    label = "this is not a `Stage`",
    note = "derive `serde::Serialize` for it and implement `fourfold::Stage` (only `name` is required)"
)]
pub trait Stage: Serialize + Send + Sync + 'static {
    /// The name of the stage: in errors, reports and fingerprints.
    fn name(&self) -> &str;

    /// Raised by its author when the meaning of the code changes while its configuration does not.
    fn version(&self) -> u32 {
        1
    }

    /// Checks the configured values; called once by the pipeline's `build()`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) with the field, the value and the allowed range.
    fn check(&self) -> Result<()> {
        Ok(())
    }
}

/// Stages side by side are a stage: `(A, B)` and `(A, B, C)`.
macro_rules! tuple_stage {
    ($($name:ident . $index:tt),+) => {
        impl<$($name: Stage),+> Stage for ($($name,)+) {
            fn name(&self) -> &str {
                "all_of"
            }

            fn version(&self) -> u32 {
                0 $(+ self.$index.version())+
            }

            fn check(&self) -> Result<()> {
                $(self.$index.check().map_err(|error| error.in_stage(self.$index.name()))?;)+
                Ok(())
            }
        }
    };
}
tuple_stage!(A.0, B.1);
tuple_stage!(A.0, B.1, C.2);

/// A closure as a stage, with a name and a version: these are all there is to take a fingerprint of, so raise the
/// version when the code changes. `M` is the model that the closure makes or judges.
///
/// Made by [`train_with`](crate::pipeline::PipelineBuilder::train_with) and
/// [`validate_with`](crate::pipeline::PipelineBuilder::validate_with).
pub struct StageFn<F, M> {
    name: String,
    version: u32,
    #[cfg_attr(
        not(feature = "datafusion"),
        expect(dead_code, reason = "only trainers and validators may be closures")
    )]
    pub(crate) call: F,
    model: PhantomData<fn() -> M>,
}

impl<F, M> StageFn<F, M> {
    /// Names a closure.
    #[must_use]
    pub fn new(name: impl Into<String>, version: u32, call: F) -> Self {
        StageFn {
            name: name.into(),
            version,
            call,
            model: PhantomData,
        }
    }
}

impl<F, M> fmt::Debug for StageFn<F, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StageFn({} v{})", self.name, self.version)
    }
}

impl<F, M> Serialize for StageFn<F, M> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.name, self.version).serialize(serializer)
    }
}

impl<F, M> Stage for StageFn<F, M>
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
