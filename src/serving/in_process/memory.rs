//! Models that are kept in memory, as a source of a manager.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Result};
use crate::model::Servable;
use crate::serving::lifecycle::{
    Control, Found, FoundModel, FoundVersion, Loader, Source, SourceAdapter,
};

/// The models, by name and version.
#[derive(Debug, Default)]
pub(super) struct Memory {
    models: Mutex<BTreeMap<String, Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    versions: BTreeMap<u64, Arc<Servable>>,
    /// The versions that a manager has loaded or wants.
    in_use: BTreeSet<u64>,
}

impl Memory {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Kept>> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the next version of a model, and keeps the newest `keep_newest` versions and those in use.
    pub(super) fn push(&self, name: &str, servable: Arc<Servable>, keep_newest: usize) -> u64 {
        let mut models = self.lock();
        let kept = models.entry(name.to_owned()).or_default();
        let last = kept.versions.last_key_value();
        let version = last.map_or(1, |(last, _)| last + 1);
        kept.versions.insert(version, servable);
        let newest: Vec<u64> = kept
            .versions
            .keys()
            .rev()
            .take(keep_newest)
            .copied()
            .collect();
        let Kept { versions, in_use } = kept;
        versions.retain(|version, _| newest.contains(version) || in_use.contains(version));
        version
    }

    pub(super) fn newest(&self, name: &str) -> Option<Arc<Servable>> {
        let models = self.lock();
        let (_, servable) = models.get(name)?.versions.last_key_value()?;
        Some(Arc::clone(servable))
    }

    fn get(&self, name: &str, version: u64) -> Option<Arc<Servable>> {
        let models = self.lock();
        models.get(name)?.versions.get(&version).cloned()
    }
}

/// The models as a source, and the adapter of what it finds.
#[derive(Clone, Debug)]
pub(super) struct InMemory(pub(super) Arc<Memory>);

impl Source for InMemory {
    fn poll(&self) -> Result<Vec<FoundModel>> {
        let models = self.0.lock();
        let found = models.iter().map(|(name, kept)| {
            let versions = kept.versions.keys().map(|version| {
                FoundVersion::new(*version, format!("memory:{name}/{version}")).with_n_bytes(0)
            });
            let found = Found::new(versions.collect(), Control::default());
            FoundModel::new(name.clone(), Ok(found))
        });
        Ok(found.collect())
    }

    fn retain(&self, model: &str, versions: &[u64]) -> Result<()> {
        if let Some(kept) = self.0.lock().get_mut(model) {
            kept.in_use = versions.iter().copied().collect();
        }
        Ok(())
    }
}

impl SourceAdapter for InMemory {
    fn adapt(&self, model: &str, version: &FoundVersion) -> Result<Box<dyn Loader>> {
        let number = version.version();
        let servable = self.0.get(model, number).ok_or_else(|| {
            Error::not_found(format!(
                "version {number} of model `{model}` is no longer kept"
            ))
        })?;
        Ok(Box::new(Ready(servable)))
    }
}

/// A version that is loaded already.
#[derive(Debug)]
struct Ready(Arc<Servable>);

impl Loader for Ready {
    fn estimate(&self) -> u64 {
        0
    }

    fn load(&self) -> Result<Servable> {
        Ok(Servable::clone(&self.0))
    }
}
