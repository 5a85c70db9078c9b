//! States of versions, and their listeners.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A state in the lifecycle of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Known and wanted, but not loaded: it waits for a loading thread, for memory, for a retry after a failure, or, lazily, for
    /// a request.
    Start,
    /// Loading and warming up.
    Loading,
    /// Available: it answers requests.
    Available,
    /// Unloading: it takes no new requests, and is dropped when those that hold it have finished.
    Unloading,
    /// Not available any more: it failed to load, was unloaded or rolled back.
    End,
}

impl State {
    /// All states, in the order of the lifecycle.
    pub const ALL: [State; 5] = [
        State::Start,
        State::Loading,
        State::Available,
        State::Unloading,
        State::End,
    ];

    /// Its name: `start`, `loading`, `available`, `unloading` or `end`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            State::Start => "start",
            State::Loading => "loading",
            State::Available => "available",
            State::Unloading => "unloading",
            State::End => "end",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The versions of a model that a [`Manager`](super::Manager) knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ModelState {
    /// The model's name.
    pub name: String,
    /// Each version with its state, rising.
    pub versions: Vec<VersionState>,
    /// The reason why the model or its control file could not be read the last time; its last known state stays in use.
    pub reason: Option<String>,
}

impl ModelState {
    /// Returns `true` if a version answers.
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.versions.iter().any(VersionState::is_available)
    }

    /// Returns `true` if no version is available on purpose: the model was unloaded by an operator, or is loaded lazily
    /// and has had no request yet.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        !self.versions.is_empty() && self.versions.iter().all(|version| version.is_at_rest)
    }
}

/// The state of a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct VersionState {
    /// The version.
    pub version: u64,
    /// Its state in the lifecycle.
    pub state: State,
    /// The reason why it does not answer.
    pub reason: Option<String>,
    /// The labels it has, sorted.
    pub labels: Vec<String>,
    /// True if it is not loaded on purpose: it is loaded lazily and has had no request yet.
    #[serde(skip)]
    pub(crate) is_at_rest: bool,
}

impl VersionState {
    /// Returns `true` if it answers.
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.state == State::Available
    }
}

/// A change of a version's state.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StateChange {
    /// The model's name.
    pub model: Arc<str>,
    /// The version.
    pub version: u64,
    /// The state it is in now.
    pub state: State,
    /// The reason, if it does not answer.
    pub reason: Option<String>,
    /// The time that loading took, once it has succeeded or failed.
    pub took: Option<Duration>,
}

/// Receives every change of a version's state, in order: metrics and logs are listeners.
///
/// It is called on the thread that made the change, one change at a time, so it must be quick. It may look models up, but must
/// not call methods that change something, such as `Manager::load`.
pub trait StateListener: fmt::Debug + Send + Sync + 'static {
    /// Receives a change.
    fn changed(&self, change: &StateChange);
}
