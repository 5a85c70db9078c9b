//! The life of a version: found, loaded, answering, unloaded.
//!
//! ```text
//! Source ─▶ Router ─▶ SourceAdapter ─▶ Loader ─▶ loader threads ─▶ Manager ─▶ handles
//! ```

mod control;
mod directory;
mod manager;
#[cfg(feature = "notify")]
mod notify;
#[cfg(feature = "object-store")]
mod object_store;
mod source;
mod traffic;
mod version_choice;
mod version_policy;

pub use self::control::Control;
pub use self::manager::{Manager, ModelState, VersionState};
#[cfg(feature = "object-store")]
pub use self::object_store::ObjectStoreRepository;
pub use self::source::{Found, FoundModel, FoundVersion, Source, Watch};
pub use self::traffic::{Share, SplitBy, Traffic, VersionRef};
pub use self::version_choice::VersionChoice;
pub use self::version_policy::VersionPolicy;
