//! The contracts of the traits that users implement, as functions that check an implementation against them.
//!
//! A trait says more than its types do: that equal arguments give equal models, that rows do not influence each other,
//! that what was saved loads with the same answers. Call these from your tests, with your own stage; this crate's own
//! stages pass them in its tests.
//!
//! | function | holds |
//! | --- | --- |
//! | [`stage`] | any [`Stage`] |
//! | `data_source` | a `DataSource` |
//! | `trainer` | a `Trainer`, and the model it makes |
//! | [`model`] | a [`Model`](crate::model::Model) |
//! | `server` | a `Server` |
//! | [`source`] | a [`Source`](crate::serving::lifecycle::Source) of models |
//!
//! ```
//! use fourfold::{Result, Stage, conformance};
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
//! }
//!
//! conformance::stage(&TopN { n: 3 })?;
//! # Ok::<(), conformance::Violation>(())
//! ```

#[cfg(feature = "datafusion")]
mod data_source;
mod model;
#[cfg(feature = "datafusion")]
mod server;
mod source;
#[cfg(feature = "datafusion")]
mod trainer;

use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};

#[cfg(feature = "datafusion")]
pub use self::data_source::data_source;
pub use self::model::model;
#[cfg(feature = "datafusion")]
pub use self::server::server;
pub use self::source::source;
#[cfg(feature = "datafusion")]
pub use self::trainer::trainer;
use crate::error::Error;
use crate::stage::Stage;

/// A requirement of a contract that does not hold.
#[derive(Debug, thiserror::Error)]
#[error("{who}: {what}")]
pub struct Violation {
    who: String,
    what: String,
    #[source]
    error: Option<Error>,
}

impl Violation {
    fn new(who: impl Into<String>, what: impl Into<String>) -> Self {
        Violation {
            who: who.into(),
            what: what.into(),
            error: None,
        }
    }

    /// The violation of a call that must not fail.
    fn failed(who: &str, what: impl Display) -> impl FnOnce(Error) -> Violation {
        let (who, what) = (who.to_owned(), format!("{what} failed"));
        move |error| Violation {
            who,
            what: format!("{what}: {error}"),
            error: Some(error),
        }
    }

    /// The stage or what else was compared with the contract.
    #[must_use]
    pub fn who(&self) -> &str {
        &self.who
    }
}

/// A claim of a contract.
fn holds(claim: bool, who: &str, what: impl Into<String>) -> Result<(), Violation> {
    match claim {
        true => Ok(()),
        false => Err(Violation::new(who, what)),
    }
}

/// Calls what must not panic, whatever it answers.
fn without_panic<T>(who: &str, what: &str, call: impl FnOnce() -> T) -> Result<T, Violation> {
    catch_unwind(AssertUnwindSafe(call))
        .map_err(|_| Violation::new(who, format!("{what} panicked, must be an error")))
}

/// Checks a stage against the contract of [`Stage`]: it has a name, its values pass its own check, and its
/// configuration is the same whenever it is asked for.
///
/// # Errors
/// The first requirement that does not hold.
pub fn stage(stage: &(impl Stage + ?Sized)) -> Result<(), Violation> {
    let who = stage.name().to_owned();
    holds(
        !who.is_empty() && who.trim() == who,
        "a stage",
        format!("its name is `{who}`, must not be empty and must not begin or end with a space"),
    )?;
    holds(
        stage.name() == who,
        &who,
        "its name is another one when asked again",
    )?;
    stage
        .check()
        .map_err(Violation::failed(&who, "the check of its values"))?;
    let configuration = || {
        let failed = Violation::failed(&who, "writing its configuration");
        stage.configuration().map_err(failed)
    };
    holds(
        configuration()? == configuration()?,
        &who,
        "its configuration is another one when asked again: the fingerprint of its results would change",
    )
}
