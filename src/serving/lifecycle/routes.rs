//! The table that lookups go by: made anew on every change, read without a lock.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::harness::{Harness, Phase};
use super::versions::{ModelVersions, ROLLED_BACK, UNLOADED};
use super::{ModelState, State, Traffic, VersionChoice, VersionRef, VersionState};
use crate::error::{Error, ErrorKind, Result, near_names, shortened};
use crate::serving::Predictor;

/// The version that answers a request, and the one that gets a copy of it.
#[derive(Clone, Debug)]
pub struct Route {
    predictor: Predictor,
    shadow: Option<Predictor>,
}

impl Route {
    /// The version that answers.
    #[must_use]
    pub fn predictor(&self) -> &Predictor {
        &self.predictor
    }

    /// The shadow version: its answers are compared and recorded, but never returned.
    #[must_use]
    pub fn shadow(&self) -> Option<&Predictor> {
        self.shadow.as_ref()
    }

    /// Both.
    #[must_use]
    pub fn into_parts(self) -> (Predictor, Option<Predictor>) {
        (self.predictor, self.shadow)
    }
}

/// All models by their name. Up to some hundreds of names are compared faster than one is hashed.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    models: BTreeMap<Arc<str>, Arc<Routes>>,
}

/// The routes of one model.
#[derive(Debug)]
pub(super) struct Routes {
    name: Arc<str>,
    versions: BTreeMap<u64, Slot>,
    /// The version that answers where none is named and no split applies.
    default: Option<Live>,
    split: Option<Traffic>,
    shadow: Option<Live>,
    /// The version that each label stands for now.
    labels: BTreeMap<String, u64>,
    /// Versions that are loaded lazily, on the first request.
    missing: Vec<u64>,
    state: ModelState,
    is_unloaded: bool,
}

#[derive(Debug)]
enum Slot {
    Live(Live),
    /// It may become available.
    Waiting(String),
    /// It will not become available on its own.
    Out(String),
}

/// A version that answers, and where it is noted when it was looked up.
#[derive(Clone, Debug)]
struct Live {
    predictor: Predictor,
    used: Option<Arc<AtomicU64>>,
}

impl Live {
    fn of(harness: &Harness, is_lazy: bool) -> Option<Live> {
        let Phase::Available(loaded) = &harness.phase else {
            return None;
        };
        Some(Live {
            predictor: harness.predictor()?,
            used: is_lazy.then(|| Arc::clone(&loaded.used)),
        })
    }

    /// The handle; `now` is called only where the time of the last use matters.
    fn take(&self, now: impl Fn() -> u64) -> Predictor {
        if let Some(used) = &self.used {
            let now = now();
            // Threads that ask for the same version share the line in their caches as long as nobody writes to it.
            if used.load(Ordering::Relaxed) != now {
                used.store(now, Ordering::Relaxed);
            }
        }
        self.predictor.clone()
    }
}

impl Table {
    /// The same table with the routes of a model, or without them.
    pub(super) fn set(&mut self, name: &Arc<str>, routes: Option<Routes>) {
        match routes {
            Some(routes) => {
                self.models.insert(Arc::clone(name), Arc::new(routes));
            }
            None => {
                self.models.remove(name);
            }
        }
    }

    pub(super) fn find(&self, name: &str) -> Result<&Routes> {
        match self.models.get(name) {
            Some(routes) => Ok(routes),
            None => Err(Error::not_found(format!(
                "there is no model `{}`{}",
                shortened(name),
                near_names(name, self.models.keys().map(|name| &**name))
            ))),
        }
    }

    /// Every model's state, sorted by name.
    pub(super) fn states(&self) -> Vec<ModelState> {
        let states = self.models.values().map(|routes| routes.state.clone());
        states.collect()
    }
}

impl Routes {
    /// The routes of a model.
    pub(super) fn of(model: &ModelVersions, is_lazy: bool) -> Routes {
        let control = model.control();
        let labels = model.labels.clone();
        let live = |version: u64| Live::of(model.versions.get(&version)?, is_lazy);
        let versions = model.versions.iter().map(|(version, harness)| {
            let slot = match live(*version) {
                Some(live) => Slot::Live(live),
                None => why_not(harness, is_lazy),
            };
            (*version, slot)
        });
        let mut versions: BTreeMap<u64, Slot> = versions.collect();
        for version in rolled_back(model) {
            versions
                .entry(version)
                .or_insert_with(|| Slot::Out(ROLLED_BACK.to_owned()));
        }
        let default = model.answering(is_lazy).and_then(live);
        let shadow = control.shadow().and_then(|shadow| match shadow {
            VersionRef::Number(version) => live(*version),
            VersionRef::Label(label) => live(*labels.get(label)?),
        });
        Routes {
            name: Arc::clone(&model.name),
            versions,
            default,
            split: control.traffic().cloned(),
            shadow,
            missing: if is_lazy { model.missing() } else { Vec::new() },
            state: state_of(model, &labels, is_lazy),
            labels,
            is_unloaded: model.is_unloaded,
        }
    }

    pub(super) fn state(&self) -> &ModelState {
        &self.state
    }

    /// Versions to load because of a request.
    pub(super) fn missing(&self, choice: VersionChoice<'_>) -> Option<&[u64]> {
        let asks = matches!(choice, VersionChoice::Default) && !self.missing.is_empty();
        asks.then_some(&self.missing)
    }

    /// The version that answers where none is named, without the split.
    pub(super) fn default_version(&self) -> Option<u64> {
        self.default.as_ref().map(|live| live.predictor.version())
    }

    /// The handle for a request.
    pub(super) fn get(
        &self,
        choice: VersionChoice<'_>,
        key: Option<&str>,
        now: impl Fn() -> u64,
    ) -> Result<Predictor> {
        match choice {
            VersionChoice::Default => {
                if let Some(split) = &self.split
                    && let Some(live) = self.share(split, key)
                {
                    return Ok(live.take(now));
                }
                let live = self.default.as_ref().ok_or_else(|| self.why_none())?;
                Ok(live.take(now))
            }
            VersionChoice::Number(version) => self.number(version, now),
            VersionChoice::Label(label) => match self.labels.get(label) {
                Some(version) => self.number(*version, now),
                None => Err(Error::not_found(format!(
                    "model `{}` has no label `{}`{}",
                    self.name,
                    shortened(label),
                    near_names(label, self.labels.keys().map(String::as_str))
                ))),
            },
        }
    }

    pub(super) fn route(
        &self,
        choice: VersionChoice<'_>,
        key: Option<&str>,
        now: impl Fn() -> u64,
    ) -> Result<Route> {
        let predictor = self.get(choice, key, &now)?;
        // A version is not compared with itself.
        let shadow = self.shadow.as_ref();
        let shadow = shadow.filter(|shadow| shadow.predictor.version() != predictor.version());
        Ok(Route {
            predictor,
            shadow: shadow.map(|shadow| shadow.take(now)),
        })
    }

    /// The version chosen by the split; `None` if it does not answer, and then the default does.
    fn share(&self, split: &Traffic, key: Option<&str>) -> Option<&Live> {
        let version = match split.choose(key, random()) {
            VersionRef::Number(version) => version,
            VersionRef::Label(label) => self.labels.get(label)?,
        };
        match self.versions.get(version) {
            Some(Slot::Live(live)) => Some(live),
            _ => None,
        }
    }

    fn number(&self, version: u64, now: impl Fn() -> u64) -> Result<Predictor> {
        let name = &self.name;
        Err(match self.versions.get(&version) {
            Some(Slot::Live(live)) => return Ok(live.take(now)),
            Some(Slot::Waiting(reason)) => unavailable(format!(
                "version {version} of model `{name}` is not available yet: {reason}"
            )),
            Some(Slot::Out(reason)) => Error::not_found(format!(
                "version {version} of model `{name}` could not be loaded: {reason}"
            )),
            None if self.is_unloaded => unavailable(format!("model `{name}` is {UNLOADED}")),
            None => Error::not_found(format!(
                "version {version} of model `{name}` is not loaded{}",
                self.loaded()
            )),
        })
    }

    /// The newest loaded versions, for an error.
    fn loaded(&self) -> String {
        let live = self.versions.iter().rev();
        let live = live.filter(|(_, slot)| matches!(slot, Slot::Live(_)));
        let newest: Vec<String> = live
            .take(8)
            .map(|(version, _)| version.to_string())
            .collect();
        match newest.is_empty() {
            true => String::new(),
            false => format!("; loaded: {}", newest.join(", ")),
        }
    }

    /// The error with the reason why no version answers.
    fn why_none(&self) -> Error {
        let name = &self.name;
        if self.is_unloaded {
            return unavailable(format!("model `{name}` is {UNLOADED}"));
        }
        let newest = self.versions.iter().rev();
        let waiting = newest.clone().find_map(|(version, slot)| match slot {
            Slot::Waiting(reason) => Some((version, reason)),
            Slot::Live(_) | Slot::Out(_) => None,
        });
        if let Some((version, reason)) = waiting {
            return unavailable(format!(
                "model `{name}` is not available yet; newest version {version}: {reason}"
            ));
        }
        let out = newest.clone().find_map(|(version, slot)| match slot {
            Slot::Out(reason) => Some((version, reason)),
            Slot::Live(_) | Slot::Waiting(_) => None,
        });
        match (out, &self.state.reason) {
            (Some((version, reason)), _) => Error::not_found(format!(
                "no version of model `{name}` could be loaded; newest version {version}: {reason}"
            )),
            (None, Some(reason)) => {
                unavailable(format!("model `{name}` could not be listed: {reason}"))
            }
            (None, None) => Error::not_found(format!("model `{name}` has no version to load")),
        }
    }
}

fn unavailable(message: String) -> Error {
    Error::new(ErrorKind::Unavailable, message)
}

fn why_not(harness: &Harness, is_lazy: bool) -> Slot {
    if harness.has_failed() && !matches!(harness.phase, Phase::Available(_)) {
        return Slot::Out(harness.reason().unwrap_or_default().to_owned());
    }
    let reason = match (&harness.phase, harness.reason()) {
        (Phase::Draining { .. } | Phase::Dropping { .. }, Some(ROLLED_BACK)) => {
            return Slot::Out(ROLLED_BACK.to_owned());
        }
        (Phase::Draining { .. } | Phase::Dropping { .. }, reason) => {
            format!("unloading: {}", reason.unwrap_or_default())
        }
        (_, Some(reason)) => reason.to_owned(),
        (Phase::Idle, None) if is_lazy && !harness.is_demanded => {
            "loaded on the first request".to_owned()
        }
        _ => "loading".to_owned(),
    };
    Slot::Waiting(reason)
}

fn rolled_back(model: &ModelVersions) -> impl Iterator<Item = u64> {
    let rolled_back = model.control().rolled_back().iter().copied();
    rolled_back.filter(|version| model.found.version(*version).is_some())
}

fn state_of(model: &ModelVersions, labels: &BTreeMap<String, u64>, is_lazy: bool) -> ModelState {
    let labels_of = |version: u64| -> Vec<String> {
        let labels = labels.iter().filter(|(_, labelled)| **labelled == version);
        labels.map(|(label, _)| label.clone()).collect()
    };
    let ended = |version: u64, reason: &str| VersionState {
        version,
        state: State::End,
        reason: Some(reason.to_owned()),
        labels: labels_of(version),
        is_at_rest: model.is_unloaded,
    };
    let known = model.versions.iter().map(|(version, harness)| {
        let state = VersionState {
            version: *version,
            state: harness.state(),
            reason: harness.reason().map(str::to_owned),
            labels: labels_of(*version),
            is_at_rest: model.is_unloaded || is_lazy && harness.is_at_rest(),
        };
        (*version, state)
    });
    let mut versions: BTreeMap<u64, VersionState> = known.collect();
    for version in rolled_back(model) {
        versions
            .entry(version)
            .or_insert_with(|| ended(version, ROLLED_BACK));
    }
    if model.is_unloaded
        && let Some(newest) = model.found.versions().last()
    {
        versions
            .entry(newest.version())
            .or_insert_with(|| ended(newest.version(), UNLOADED));
    }
    ModelState {
        name: model.name.to_string(),
        versions: versions.into_values().collect(),
        reason: model.listing.clone(),
    }
}

/// A random number of the thread's own, by the method of splitmix64.
fn random() -> u64 {
    thread_local! {
        static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(0_u8));
    }
    STATE.with(|state| {
        let next = state.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        state.set(next);
        let mut mixed = next;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    })
}
