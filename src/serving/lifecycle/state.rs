//! What a version is doing, and who hears of it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Where a version is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is known and wanted, and not loaded: it waits for its turn, for memory, for another try after a failure, or,
    /// lazily, to be asked for.
    Start,
    /// It is being loaded and warmed up.
    Loading,
    /// It answers.
    Available,
    /// It takes no new requests; those that hold it finish, then it is dropped.
    Unloading,
    /// It does not answer and will not: it could not be loaded, is unloaded or rolled back.
    End,
}

impl State {
    /// All of them, in the order of a life.
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
    /// Why the model, or what an operator says about it, could not be read the last time; its versions go on as they
    /// were then.
    pub reason: Option<String>,
}

impl ModelState {
    /// Whether a version answers.
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.versions.iter().any(VersionState::is_available)
    }

    /// Whether no version answers because nobody asks for one: the model was unloaded by hand, or is loaded lazily and
    /// waits to be asked for. It is as it should be then.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        !self.versions.is_empty() && self.versions.iter().all(|version| version.is_at_rest)
    }
}

/// What a version is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct VersionState {
    /// The version.
    pub version: u64,
    /// Where it is in its life.
    pub state: State,
    /// Why it does not answer.
    pub reason: Option<String>,
    /// The labels it has, sorted.
    pub labels: Vec<String>,
    /// Whether it does not answer because nobody asks for it.
    #[serde(skip)]
    pub(crate) is_at_rest: bool,
}

impl VersionState {
    /// Whether it answers.
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.state == State::Available
    }
}

/// A version went from one state to the next.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StateChange {
    /// The model's name.
    pub model: Arc<str>,
    /// The version.
    pub version: u64,
    /// The state it is in now.
    pub state: State,
    /// Why, where it does not answer.
    pub reason: Option<String>,
    /// How long loading took, once it is loaded or could not be.
    pub took: Option<Duration>,
}

/// Hears of every change of a version's state, in their order: metrics and logs are listeners, and yours may be.
///
/// It is called on the thread that made the change, one change at a time, so it must be quick. It may look models up; the
/// calls that change something, such as `Manager::load`, are not for it.
pub trait StateListener: fmt::Debug + Send + Sync + 'static {
    /// A version is in another state.
    fn changed(&self, change: &StateChange);
}
