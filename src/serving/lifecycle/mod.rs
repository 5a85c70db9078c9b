//! The lifecycle of versions: found, loaded, answering, unloaded.
//!
//! ```text
//! Source ─▶ Router ─▶ SourceAdapter ─▶ Loader ─▶ loader threads ─▶ Manager ─▶ handles
//! ```
//!
//! A polling thread lists the [`Source`]; the registry takes the listing, finds out which
//! versions are wanted ([`VersionPolicy`], labels, traffic, what is rolled back) and asks the [`TransitionPolicy`] for
//! steps. A step starts a thread that loads or unloads one version and reports the outcome. After every change the
//! table that lookups read is rebuilt. A second thread does what is due at a time: retries, and
//! checks whether a version on its way out is still held.
//!
//! Architecture invariant: nothing that is not ours (source, loader, model, policy, listener) is called with the registry's
//! lock held, but the transition policy, which only decides. So foreign code that hangs blocks nothing else. Held by
//! `tests/isolation.rs`.
//!
//! Architecture invariant: a loaded model is dropped by a thread that loads or unloads, never by one that answers. Held by
//! `tests/swapping.rs` and `tests/stress.rs`.

mod admin;
mod answering;
mod budget;
mod builder;
mod control;
mod directory;
mod harness;
mod loader;
mod looking;
mod manager;
mod memory;
#[cfg(feature = "notify")]
mod notify;
#[cfg(feature = "object-store")]
mod object_store;
mod outcomes;
mod registry;
mod router;
mod routes;
mod shared;
mod source;
mod state;
#[cfg(test)]
mod tests;
mod traffic;
mod transition;
mod version_choice;
mod version_policy;
mod versions;
mod warm_up;
mod workers;

pub use self::builder::ManagerBuilder;
pub use self::control::Control;
pub use self::loader::{Loader, ServableLoader, SourceAdapter};
pub(super) use self::looking::Looking;
pub use self::manager::Manager;
#[cfg(feature = "object-store")]
pub use self::object_store::ObjectStoreRepository;
pub use self::router::Router;
pub use self::routes::Route;
pub use self::source::{Found, FoundModel, FoundVersion, Source, Watch};
pub use self::state::{ModelState, State, StateChange, StateListener, VersionState};
pub use self::traffic::{Share, SplitBy, Traffic, VersionRef};
pub use self::transition::{
    AvailabilityPreserving, ResourcePreserving, Transition, TransitionPolicy, VersionStatus,
};
pub use self::version_choice::VersionChoice;
pub use self::version_policy::VersionPolicy;
