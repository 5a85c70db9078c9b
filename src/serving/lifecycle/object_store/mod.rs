//! Models in an object store.

mod background;
mod remote;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use object_store::path::Path as Key;
use object_store::{ObjectMeta, ObjectStore, PutMode, UpdateVersion};
use serde::{Serialize, Serializer};

use self::background::{Background, panicked, timed_out};
use self::remote::{Controls, Listed, Remote};
use super::{Control, Found, FoundModel, FoundVersion, Looking, Source};
use crate::blessing::{Blessed, Serving};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Loaders, Manifest, Model, Servable};
use crate::serving::{PushedModel, Server};
use crate::stage::Stage;
use crate::store;
use crate::transform::{CustomOperation, Operations};

/// Models below a prefix of an object store, `<prefix>/<name>/<version>/`, laid out as in a
/// [`ModelRepository`](crate::serving::ModelRepository): a server that pushes, and a source that servers watch.
///
/// A version is pushed file by file, its `SHA256SUMS` last; without that it does not exist. As a source it is listed
/// once a poll, and a version's files are fetched to a cache directory on this machine when it is to be loaded, all
/// or none, with their digests checked. If the store cannot be reached, nothing changes: loaded versions serve. An
/// empty listing counts as that too.
///
/// Methods block while they wait for the store, on any thread. Of the store itself, that writes can be conditional is
/// needed for pushing and for [`Source::update`].
///
/// ```
/// use std::sync::Arc;
///
/// use fourfold::object_store::memory::InMemory;
/// use fourfold::object_store::{ObjectStore, ObjectStoreExt};
/// use fourfold::serving::ObjectStoreRepository;
/// use fourfold::serving::lifecycle::Source;
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
/// # runtime.block_on(async {
/// # for file in ["model.bin", "SHA256SUMS"] {
/// #     store.put(&format!("models/late/3/{file}").into(), "".into()).await.unwrap();
/// # }
/// # });
/// let cache = tempfile::tempdir().unwrap();
/// let models = ObjectStoreRepository::new(store, "models", cache.path())?;
/// let found = models.poll()?;
/// assert_eq!(found[0].name(), "late");
/// assert_eq!(found[0].found().unwrap().numbers(), [3]);
/// # Ok::<(), fourfold::Error>(())
/// ```
#[derive(Clone)]
pub struct ObjectStoreRepository {
    remote: Remote,
    cache: PathBuf,
    keep_cached: usize,
    timeout: Duration,
    versions_always_present: bool,
    operations: Operations,
    background: Arc<Background>,
    /// Control files, as of their objects.
    controls: Arc<Mutex<HashMap<String, (ObjectMeta, Control)>>>,
    looking: Arc<Looking>,
}

/// The most retries of a change of a control file when others change it at the same time.
const TRIES: usize = 50;
/// No download takes longer.
const FETCH_LIMIT: Duration = Duration::from_secs(3_600);

impl ObjectStoreRepository {
    /// The models below a prefix of a store, brought to a cache directory, which is made when it is needed. Two servers
    /// may share one.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if the prefix is no path in a store; [`ErrorKind::Io`] if the thread that waits for the
    /// store cannot be started.
    pub fn new(
        store: Arc<dyn ObjectStore>,
        prefix: &str,
        cache: impl Into<PathBuf>,
    ) -> Result<Self> {
        let prefix = Key::parse(prefix).map_err(|error| {
            Error::config(format!(
                "prefix `{prefix}` is not a path in an object store"
            ))
            .with_source(error)
        })?;
        Ok(ObjectStoreRepository {
            remote: Remote { store, prefix },
            cache: cache.into(),
            keep_cached: 1,
            timeout: Duration::from_secs(30),
            versions_always_present: false,
            operations: Operations::new(),
            background: Arc::new(Background::start()?),
            controls: Arc::default(),
            looking: Arc::default(),
        })
    }

    /// The number of newest versions of a model that stay in the cache although they are neither wanted nor loaded any more, so that
    /// going back needs no download. 1 unless set.
    #[must_use]
    pub fn keep_cached(mut self, n: usize) -> Self {
        self.keep_cached = n;
        self
    }

    /// The time within which a listing or a control file must arrive; 30 seconds by default.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Keeps the loaded versions of a model whose versions are all missing from the storage, as
    /// [`ModelRepository::servable_versions_always_present`](crate::serving::ModelRepository::servable_versions_always_present).
    #[must_use]
    pub fn servable_versions_always_present(mut self) -> Self {
        self.versions_always_present = true;
        self
    }

    /// Sets the code for the name of a custom operation, in the transforms of models that are compared with.
    #[must_use]
    pub fn with_operation<O: CustomOperation>(mut self) -> Self {
        self.operations = self.operations.with::<O>();
        self
    }

    /// The cache directory.
    #[must_use]
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// Sends a blessed model as the next version.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if it cannot be sent, [`ErrorKind::Unsupported`] if the store has no conditional writes; there
    /// is no new version then.
    pub async fn push<M: Model>(&self, model: &Blessed<M>) -> Result<PushedModel> {
        let dir = tempfile::tempdir()
            .map_err(|error| Error::io("making a temporary directory", error))?;
        let whole = dir.path().join("model");
        model.save(&whole)?;
        let name = model.name().to_owned();
        let remote = self.remote.clone();
        let push = async move {
            let pushed = remote.push(&name, &whole).await?;
            drop(dir);
            Ok((name, pushed))
        };
        let (name, (version, key)) = self.background.run(push).await?;
        Ok(PushedModel {
            name,
            version,
            path: PathBuf::from(key.to_string()),
        })
    }

    /// The version that serves by default, and the directory it was fetched to.
    async fn fetch_default(&self, name: &str) -> Result<Option<(u64, PathBuf)>> {
        let (remote, cache) = (self.remote.clone(), self.cache.join(name));
        let name = name.to_owned();
        let fetch = async move {
            let models = remote.list(Some(&name)).await?;
            let Some(listed) = models.get(&name) else {
                return Ok(None);
            };
            let (control, _) = remote.control(&name).await?;
            let found = Found::new(listed.found(&cache), control);
            let version = found.control().default_version(&found.numbers());
            let Some(version) = version.and_then(|version| found.version(version)) else {
                return Ok(None);
            };
            let (number, path) = (version.version(), version.path().to_owned());
            remote.fetch(&name, number, &path).await?;
            Ok(Some((number, path)))
        };
        self.background.run(fetch).await
    }

    /// The control of a model as it was read before, if the object has not changed since.
    fn known_control(&self, model: &str, listed: &Listed) -> Option<Control> {
        let Some(object) = &listed.control else {
            return Some(Control::default());
        };
        let known = self.known_controls();
        let (_, control) = known.get(model).filter(|(known, _)| known == object)?;
        Some(control.clone())
    }

    /// Reads the controls that have changed, so that they are known.
    fn read_controls(&self, models: &BTreeMap<String, Listed>) -> Result<Controls> {
        let models = models.iter();
        let changed = models.filter(|(name, listed)| self.known_control(name, listed).is_none());
        let changed: Vec<String> = changed.map(|(name, _)| name.clone()).collect();
        if changed.is_empty() {
            return Ok(Controls::new());
        }
        let (remote, limit) = (self.remote.clone(), self.timeout);
        let read = async move { Ok(remote.controls(changed, limit).await) };
        // Each has its own limit.
        let controls = self.background.wait(FETCH_LIMIT, read)?;
        for (name, read) in &controls {
            if let Ok((control, Some(meta))) = read {
                let known = (meta.clone(), control.clone());
                self.known_controls().insert(name.clone(), known);
            }
        }
        Ok(controls)
    }

    fn known_controls(&self) -> std::sync::MutexGuard<'_, HashMap<String, (ObjectMeta, Control)>> {
        self.controls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self, name: &str, listed: &Listed, read: &mut Controls) -> Result<Found> {
        let versions = listed.found(&self.cache.join(name));
        if versions.is_empty() && self.versions_always_present {
            return Err(Error::not_found(format!(
                "all versions of model `{name}` are gone"
            )));
        }
        let control = match read.remove(name) {
            Some(read) => read.map(|(control, _)| control),
            None => self.known_control(name, listed).ok_or_else(panicked),
        };
        let control = control.map(|control| listed.control.is_some().then_some(control));
        // The files of the versions are there, too, and survive a restart.
        self.looking
            .found(name, &self.cache.join(name), versions, control)
    }
}

impl Source for ObjectStoreRepository {
    fn poll(&self) -> Result<Vec<FoundModel>> {
        let remote = self.remote.clone();
        let list = async move { remote.list(None).await };
        let models = self.background.wait(self.timeout, list)?;
        if models.is_empty() {
            return Err(Error::not_found(format!(
                "there is no model below `{}` in {}",
                self.remote.prefix, self.remote.store
            )));
        }
        self.known_controls()
            .retain(|name, _| models.contains_key(name));
        let mut controls = self.read_controls(&models)?;
        let models = models.into_iter().map(|(name, listed)| {
            let found = self.look(&name, &listed, &mut controls);
            FoundModel::new(name, found)
        });
        Ok(models.collect())
    }

    fn fetch(&self, model: &str, version: &FoundVersion) -> Result<()> {
        let (remote, model) = (self.remote.clone(), model.to_owned());
        let (version, place) = (version.version(), version.path().to_owned());
        let fetch = async move { remote.fetch(&model, version, &place).await };
        self.background.wait(FETCH_LIMIT, fetch)
    }

    fn retain(&self, model: &str, versions: &[u64]) -> Result<()> {
        if !store::is_name(model) {
            return Ok(());
        }
        let cached = match store::version_dirs(&self.cache.join(model)) {
            Ok(cached) => cached,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let unwanted = cached
            .iter()
            .rev()
            .filter(|(version, _)| !versions.contains(version));
        for (_, dir) in unwanted.skip(self.keep_cached) {
            store::remove_dir(dir)?;
        }
        Ok(())
    }

    fn update(
        &self,
        model: &str,
        change: &mut dyn FnMut(&mut Control) -> Result<()>,
    ) -> Result<Control> {
        let (remote, name) = (self.remote.clone(), model.to_owned());
        let list = async move { remote.list(Some(&name)).await };
        if !self
            .background
            .wait(self.timeout, list)?
            .contains_key(model)
        {
            return Err(Error::not_found(format!("there is no model `{model}`")));
        }
        for _ in 0..TRIES {
            let (remote, name) = (self.remote.clone(), model.to_owned());
            let read = async move { remote.control(&name).await };
            let (before, meta) = self.background.wait(self.timeout, read)?;
            let mut after = before.clone();
            change(&mut after)?;
            after.check()?;
            if after == before {
                return Ok(after);
            }
            let mode = meta.map_or(PutMode::Create, |meta| {
                PutMode::Update(UpdateVersion {
                    e_tag: meta.e_tag,
                    version: meta.version,
                })
            });
            let (remote, name, text) = (self.remote.clone(), model.to_owned(), after.to_json()?);
            let write = async move { remote.set_control(&name, text, mode).await };
            match self.background.wait(self.timeout, write) {
                Ok(()) => return Ok(after),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::new(
            ErrorKind::Unavailable,
            format!("the control file of model `{model}` changed concurrently on every try"),
        ))
    }
}

impl Stage for ObjectStoreRepository {
    fn name(&self) -> &str {
        "object_store_repository"
    }
}

impl Serialize for ObjectStoreRepository {
    /// The place of the models, without the cache.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.remote.store.to_string(), self.remote.prefix.as_ref()).serialize(serializer)
    }
}

impl fmt::Debug for ObjectStoreRepository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectStoreRepository")
            .field("store", &self.remote.store.to_string())
            .field("prefix", &self.remote.prefix.as_ref())
            .field("cache", &self.cache)
            .finish_non_exhaustive()
    }
}

impl<M: Model> Server<M> for ObjectStoreRepository {
    type Endpoint = PushedModel;

    async fn deploy(&self, model: Blessed<M>) -> Result<PushedModel> {
        self.push(&model).await
    }

    fn knows_serving(&self) -> bool {
        true
    }

    async fn serving(&self, name: &str, loaders: &Loaders) -> Result<Serving> {
        let Some((_, path)) = self.fetch_default(name).await? else {
            return Ok(Serving::None);
        };
        let loaders = loaders.clone().with_operations(&self.operations);
        let servable = Servable::load(&path, &loaders)?;
        Ok(Serving::Model(Arc::new(servable)))
    }

    async fn deployed(&self, name: &str, artifact: &str) -> Result<Option<PushedModel>> {
        let Some((version, path)) = self.fetch_default(name).await? else {
            return Ok(None);
        };
        // A manifest that cannot be read does not match.
        let manifest = Manifest::load(&path).ok();
        let found = manifest.filter(|manifest| manifest.artifact() == Some(artifact));
        let key = self.remote.key(name, &version.to_string())?;
        Ok(found.map(|_| PushedModel {
            name: name.to_owned(),
            version,
            path: PathBuf::from(key.to_string()),
        }))
    }

    fn deployed_version(&self, endpoint: &PushedModel) -> Option<u64> {
        Some(endpoint.version)
    }

    /// Checks that the store can be reached and written to.
    async fn prepare(&self) -> Result<()> {
        let (remote, limit) = (self.remote.clone(), self.timeout);
        let check = async move {
            let checked = tokio::time::timeout(limit, remote.check_writable()).await;
            checked.unwrap_or_else(|_| Err(timed_out(limit)))
        };
        self.background.run(check).await
    }
}

#[cfg(test)]
mod tests;
