//! Readiness of a server for requests, by any protocol.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use serde::{Deserialize, Serialize};

use super::lifecycle::{ModelState, State, VersionState};
use super::{Manager, ServerCore};

/// The condition under which a server reports that it is ready, so that load balancers and orchestrators send it requests.
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

/// The result of a probe.
#[derive(Debug)]
pub(in crate::serving) struct Health {
    pub(in crate::serving) is_ready: bool,
    /// The reasons why it is not ready, or the problems although it is.
    pub(in crate::serving) reasons: Vec<Reason>,
}

/// Something that is wrong.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::serving) struct Reason {
    /// The problem, without details that are for operators only.
    pub(in crate::serving) what: String,
    /// The details, which may have paths in them: for operators only.
    pub(in crate::serving) why: Option<String>,
}

impl Reason {
    fn new(what: impl Into<String>) -> Self {
        Reason {
            what: what.into(),
            why: None,
        }
    }
}

impl Health {
    /// The reasons on one line, with why or without.
    pub(in crate::serving) fn text(&self, with_why: bool) -> String {
        let reasons = self.reasons.iter().map(|reason| match &reason.why {
            Some(why) if with_why => format!("{}: {why}", reason.what),
            _ => reason.what.clone(),
        });
        reasons.collect::<Vec<_>>().join("; ")
    }
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
                reasons: vec![Reason::new("the server is stopping")],
            };
        }
        self.look_at(core.manager())
    }

    fn look_at(&self, manager: &Manager) -> Health {
        let states = manager.states();
        let silent: Vec<&ModelState> = states
            .iter()
            .filter(|model| !model.is_available() && !model.is_at_rest())
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
        let mut reasons: Vec<Reason> = silent.into_iter().map(why_silent).collect();
        let unread = states.iter().filter(|model| model.is_available());
        reasons.extend(unread.filter_map(|model| {
            Some(Reason {
                what: format!(
                    "model `{}` cannot be read; its last known state stays in use",
                    model.name
                ),
                why: Some(model.reason.clone()?),
            })
        }));
        reasons.extend(manager.source_failure().map(|why| Reason {
            what: "the source of models cannot be polled; loaded models go on serving".to_owned(),
            why: Some(why),
        }));
        Health { is_ready, reasons }
    }
}

/// Returns `true` if a model is being loaded, or will be, and has not failed yet.
fn is_coming(model: &ModelState) -> bool {
    let is_coming = |version: &VersionState| {
        version.reason.is_none() && matches!(version.state, State::Start | State::Loading)
    };
    model.versions.iter().any(is_coming)
}

fn why_silent(model: &ModelState) -> Reason {
    let mut newest = model.versions.iter().rev();
    let reason = newest.find_map(|version| version.reason.as_deref());
    let reason = reason.or(model.reason.as_deref());
    let what = format!("model `{}` is not available", model.name);
    Reason {
        what,
        why: reason.map(str::to_owned),
    }
}
