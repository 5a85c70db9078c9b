//! The life of a version: found, loaded, answering, unloaded.
//!
//! ```text
//! Source ─▶ Router ─▶ SourceAdapter ─▶ Loader ─▶ loader threads ─▶ Manager ─▶ handles
//! ```

mod manager;
mod version_choice;

pub use self::manager::{Manager, ModelState, VersionState};
pub use self::version_choice::VersionChoice;
