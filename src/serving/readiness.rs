//! Whether a server is ready for requests, by any protocol.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use serde::{Deserialize, Serialize};

use super::{Manager, ModelState, ServerCore, State, VersionState};

/// When a server says that it is ready, which is when load balancers and orchestrators send it requests.
///
/// A model that was unloaded, or that waits to be asked for because models are loaded lazily, never counts against it.
/// A server without models is ready, and one that stops is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Readiness {
    /// Once every model answers or could not be loaded, and at least one answers; from then on as [`Readiness::Any`]. A
    /// server that starts waits for its models, and neither a new model nor a broken one takes it out of service.
    #[default]
    Loaded,
    /// While at least one model answers.
    Any,
    /// While every model answers, as Triton's strict readiness. One broken model takes the server out of service.
    All,
}

/// Answers whether a server is ready, and remembers that it has been.
#[derive(Debug, Default)]
pub(in crate::serving) struct Probe {
    readiness: Readiness,
    has_loaded: AtomicBool,
}

/// What a probe found.
#[derive(Debug)]
pub(in crate::serving) struct Health {
    pub(in crate::serving) is_ready: bool,
    /// Why it is not ready, or what does not answer although it is.
    pub(in crate::serving) reasons: Vec<String>,
}

impl Probe {
    pub(in crate::serving) fn new(readiness: Readiness) -> Self {
        Probe {
            readiness,
            has_loaded: AtomicBool::new(false),
        }
    }

    pub(in crate::serving) fn look(&self, core: &ServerCore) -> Health {
        if core.is_draining() {
            return Health {
                is_ready: false,
                reasons: vec!["the server is stopping".to_owned()],
            };
        }
        self.look_at(core.manager())
    }

    fn look_at(&self, manager: &Manager) -> Health {
        let is_lazy = manager.is_lazy();
        let states = manager.states();
        let silent: Vec<&ModelState> = states
            .iter()
            .filter(|model| !model.is_available() && !is_at_rest(model, is_lazy))
            .collect();
        let one_answers = silent.is_empty() || states.iter().any(ModelState::is_available);
        let is_ready = match self.readiness {
            Readiness::All => silent.is_empty(),
            Readiness::Any => one_answers,
            Readiness::Loaded => {
                if one_answers && !silent.iter().any(|model| is_coming(model)) {
                    self.has_loaded.store(true, Relaxed);
                }
                one_answers && self.has_loaded.load(Relaxed)
            }
        };
        Health {
            is_ready,
            reasons: silent.into_iter().map(why_silent).collect(),
        }
    }
}

/// Whether a model does not answer because nobody wants it to: it was unloaded, or waits to be asked for.
fn is_at_rest(model: &ModelState, is_lazy: bool) -> bool {
    let at_rest = |version: &VersionState| match &version.reason {
        Some(reason) => reason.starts_with("unloaded"),
        None => is_lazy && version.state == State::Start,
    };
    !model.versions.is_empty() && model.versions.iter().all(at_rest)
}

/// Whether a model is being loaded, or will be, and has not failed yet.
fn is_coming(model: &ModelState) -> bool {
    let is_coming = |version: &VersionState| {
        version.reason.is_none() && matches!(version.state, State::Start | State::Loading)
    };
    model.versions.iter().any(is_coming)
}

fn why_silent(model: &ModelState) -> String {
    let mut newest = model.versions.iter().rev();
    let reason = newest.find_map(|version| version.reason.as_deref());
    let reason = reason.or(model.reason.as_deref());
    let reason = reason.unwrap_or("no version answers yet");
    format!("model `{}`: {reason}", model.name)
}
