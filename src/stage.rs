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

use serde::Serialize;

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
