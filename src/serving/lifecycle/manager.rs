//! Which versions answer: loading, swapping and finding models.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use serde::Serialize;

use crate::error::{Error, Result, near_names};
use crate::model::Loaders;
use crate::serving::{ModelRepository, Predictor, VersionChoice};
use crate::store;

/// Serves the newest version of every model of a repository, and swaps it when a newer one appears.
///
/// Each model stands for itself: one that cannot be loaded is [reported](Manager::states), and the others serve. A
/// new version is loaded before the old one is let go; requests that hold a [`Predictor`] finish on their version.
/// Looking a model up takes no lock.
#[derive(Debug)]
pub struct Manager {
    repository: ModelRepository,
    loaders: Loaders,
    models: ArcSwap<BTreeMap<String, Model>>,
    refreshing: Mutex<()>,
}

#[derive(Clone, Debug, Default)]
struct Model {
    current: Option<Predictor>,
    /// Versions that could not be loaded.
    failed: BTreeMap<u64, Failure>,
}

/// A version that could not be loaded: tried again when its list of digests changes, and after a delay that doubles
/// from a second to about a minute.
#[derive(Clone, Debug)]
struct Failure {
    reason: String,
    written: Option<SystemTime>,
    tries: u32,
    at: Instant,
}

impl Failure {
    fn is_due(&self, written: Option<SystemTime>) -> bool {
        let delay = Duration::from_secs(1_u64 << self.tries.clamp(1, 7) >> 1);
        self.written != written || self.at.elapsed() >= delay
    }
}

/// The versions of a model that a [`Manager`] knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ModelState {
    /// The model's name.
    pub name: String,
    /// Each version with its state.
    pub versions: Vec<VersionState>,
}

/// What a version is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VersionState {
    /// The version.
    pub version: u64,
    /// Whether it answers.
    pub available: bool,
    /// Why it does not.
    pub reason: Option<String>,
}

impl Manager {
    /// Loads the newest version of every model. Models that cannot be loaded are reported by
    /// [`Manager::states`].
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if the repository is not there.
    pub fn open(repository: ModelRepository, loaders: Loaders) -> Result<Self> {
        let manager = Manager {
            repository,
            loaders,
            models: ArcSwap::default(),
            refreshing: Mutex::new(()),
        };
        manager.refresh()?;
        Ok(manager)
    }

    /// Looks at the repository again: loads what is newer, lets go what is gone. Whether anything changed.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if the repository is not there; everything loaded goes
    /// on serving then.
    pub fn refresh(&self) -> Result<bool> {
        let _one_at_a_time = self
            .refreshing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let before = self.models.load_full();
        let mut after = BTreeMap::new();
        let mut changed = false;
        for name in self.repository.models()? {
            let mut model = before.get(&name).cloned().unwrap_or_default();
            // A directory that cannot be listed just now says nothing about the version that is loaded.
            if let Ok(versions) = self.repository.versions(&name) {
                changed |= self.refresh_model(&name, &mut model, &versions);
            }
            if model.current.is_some() || !model.failed.is_empty() {
                after.insert(name, model);
            }
        }
        changed |= before.keys().any(|name| !after.contains_key(name));
        if changed {
            self.models.store(Arc::new(after));
        }
        Ok(changed)
    }

    /// The newest version that loads becomes the current one; a newer one that does not load leaves the old one in
    /// place.
    fn refresh_model(&self, name: &str, model: &mut Model, versions: &[u64]) -> bool {
        let failed_before = model.failed.len();
        model.failed.retain(|version, _| versions.contains(version));
        let mut changed = model.failed.len() != failed_before;
        if let Some(current) = &model.current
            && !versions.contains(&current.version())
        {
            model.current = None;
            changed = true;
        }
        let current = model.current.as_ref().map(Predictor::version);
        for version in versions.iter().rev() {
            if Some(*version) == current {
                break;
            }
            let written = store::written(&self.repository.version_dir(name, *version));
            let failure = model.failed.get(version);
            if failure.is_some_and(|failure| !failure.is_due(written)) {
                continue;
            }
            changed = true;
            match self.load(name, *version) {
                Ok(predictor) => {
                    tracing::info!(model = name, version, "loaded");
                    model.failed.remove(version);
                    model.current = Some(predictor);
                    break;
                }
                Err(error) => {
                    tracing::warn!(model = name, version, error = ?error, "cannot be loaded");
                    let failure = Failure {
                        reason: error.to_string(),
                        written,
                        tries: failure.map_or(1, |failure| failure.tries.saturating_add(1)),
                        at: Instant::now(),
                    };
                    model.failed.insert(*version, failure);
                }
            }
        }
        changed
    }

    fn load(&self, name: &str, version: u64) -> Result<Predictor> {
        let load = || self.repository.load(name, version, &self.loaders);
        let servable = catch_unwind(AssertUnwindSafe(load))
            .unwrap_or_else(|_| Err(Error::model("the model's loader panicked")))?;
        if servable.manifest().name != name {
            return Err(Error::corrupt(format!(
                "the directory of model `{name}` holds model `{}`",
                servable.manifest().name
            )));
        }
        Ok(Predictor::new(version, Arc::new(servable)))
    }

    /// A handle to a model: of a version, or of the one that is serving.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if there is no such model or version here, with why.
    pub fn get<'v>(&self, name: &str, version: impl Into<VersionChoice<'v>>) -> Result<Predictor> {
        let version = match version.into() {
            VersionChoice::Default => None,
            VersionChoice::Number(version) => Some(version),
            VersionChoice::Label(label) => {
                return Err(Error::not_found(format!(
                    "model `{name}` has no label `{label}`"
                )));
            }
        };
        let models = self.models.load();
        let model = models.get(name).ok_or_else(|| {
            Error::not_found(format!(
                "there is no model `{name}`{}",
                near_names(name, models.keys().map(String::as_str))
            ))
        })?;
        match (&model.current, version) {
            (Some(current), None) => Ok(current.clone()),
            (Some(current), Some(version)) if current.version() == version => Ok(current.clone()),
            (_, Some(version)) => Err(Error::not_found(match model.failed.get(&version) {
                Some(failure) => format!(
                    "version {version} of model `{name}` could not be loaded: {}",
                    failure.reason
                ),
                None => format!("version {version} of model `{name}` is not loaded"),
            })),
            (None, None) => {
                let (version, failure) = model.failed.last_key_value().unzip();
                Err(Error::not_found(format!(
                    "no version of model `{name}` could be loaded; the newest, {}: {}",
                    version.copied().unwrap_or_default(),
                    failure.map_or("", |failure| failure.reason.as_str())
                )))
            }
        }
    }

    /// Every model with its versions' states, sorted by name.
    #[must_use]
    pub fn states(&self) -> Vec<ModelState> {
        let models = self.models.load();
        let state = |(name, model): (&String, &Model)| {
            let failed = model.failed.iter().map(|(version, failure)| VersionState {
                version: *version,
                available: false,
                reason: Some(failure.reason.clone()),
            });
            let current = model.current.iter().map(|current| VersionState {
                version: current.version(),
                available: true,
                reason: None,
            });
            let mut versions: Vec<VersionState> = failed.chain(current).collect();
            versions.sort_by_key(|state| state.version);
            ModelState {
                name: name.clone(),
                versions,
            }
        };
        models.iter().map(state).collect()
    }
}
