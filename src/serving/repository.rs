//! Models in a directory: where training leaves them and servers find them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Server;
use super::blocking::off_async_threads;
use super::lifecycle::Looking;
use crate::blessing::{Blessed, Serving};
use crate::error::{Error, ErrorKind, Result, shortened};
use crate::model::{Loaders, Manifest, Model, Servable};
use crate::stage::Stage;
use crate::store;
use crate::transform::{CustomOperation, Operations};

/// A directory of models: `<root>/<name>/<version>/`, versions counting up from 1.
///
/// As a server it pushes: a version is written aside and renamed to its place, so a server process that watches the
/// directory (a [`Manager`](super::Manager), or several, on other machines) sees all of it or nothing.
///
/// As a [`Source`](super::lifecycle::Source) it lists versions as TensorFlow Serving reads directories: a name of decimal digits
/// is a version (`00017` is 17), other names and those that start with a dot are ignored. Labels, traffic split and rollbacks
/// of a model are in its [`Control`](super::lifecycle::Control) file, `<root>/<name>/serving.json`. They are changed by
/// [`change`](ModelRepository::change) and [`roll_back`](ModelRepository::roll_back), by a running
/// [`Manager`](super::Manager), or by hand.
///
/// ```
/// use fourfold::serving::ModelRepository;
/// use fourfold::serving::lifecycle::{Source, Traffic};
///
/// let root = tempfile::tempdir().unwrap();
/// let repository = ModelRepository::at(root.path());
/// # for version in ["1", "2"] {
/// #     std::fs::create_dir_all(root.path().join("late").join(version)).unwrap();
/// # }
/// // Two versions of a model were pushed; one request in twenty tries the newer.
/// let traffic = Traffic::by_weight([("stable", 95), ("canary", 5)])?;
/// repository.change("late", |control| {
///     control.set_label("stable", 1)?;
///     control.set_label("canary", 2)?;
///     control.set_traffic(Some(traffic.clone()))
/// })?;
///
/// let found = repository.poll()?;
/// let control = found[0].found().unwrap().control();
/// assert_eq!(control.labels()["canary"], 2);
///
/// // The newer one is bad: labels and traffic move to the one before.
/// assert_eq!(repository.roll_back("late", 2)?, 1);
/// assert_eq!(repository.control("late")?.labels()["canary"], 1);
/// # Ok::<(), fourfold::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ModelRepository {
    root: PathBuf,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    versions_always_present: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keep_newest: Option<usize>,
    #[serde(skip)]
    operations: Operations,
    /// State from one poll to the next; clones share it.
    #[serde(skip)]
    looking: Arc<Looking>,
}

/// A version in a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushedModel {
    /// The model's name.
    pub name: String,
    /// The version's number.
    pub version: u64,
    /// The version's directory.
    pub path: PathBuf,
}

impl ModelRepository {
    /// The repository at a directory, which is made when the first model is pushed.
    #[must_use]
    pub fn at(root: impl Into<PathBuf>) -> Self {
        ModelRepository {
            root: root.into(),
            versions_always_present: false,
            keep_newest: None,
            operations: Operations::new(),
            looking: Arc::default(),
        }
    }

    pub(super) fn looking(&self) -> &Arc<Looking> {
        &self.looking
    }

    /// Sets the code for the name of a custom operation, in the transforms of models that are compared with or
    /// served from here.
    #[must_use]
    pub fn with_operation<O: CustomOperation>(mut self) -> Self {
        self.operations = self.operations.with::<O>();
        self
    }

    /// Keeps the loaded versions of a model whose versions are all missing from the storage, instead of unloading them.
    /// TensorFlow Serving's option of the same name; off by default.
    #[must_use]
    pub fn servable_versions_always_present(mut self) -> Self {
        self.versions_always_present = true;
        self
    }

    /// Keeps the newest `n` versions of a model, at least 1, and removes older ones after each push, as
    /// [`ModelRepository::collect_garbage`] does. By default everything is kept.
    #[must_use]
    pub fn keep_newest(mut self, n: usize) -> Self {
        self.keep_newest = Some(n);
        self
    }

    /// Returns `true` if a model without versions keeps what is loaded.
    pub(super) fn keeps_last_versions(&self) -> bool {
        self.versions_always_present
    }

    /// Loaders with the custom operations that are known.
    pub(super) fn loaders(&self, loaders: &Loaders) -> Loaders {
        loaders.clone().with_operations(&self.operations)
    }

    /// The directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The names of the models, sorted.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if the directory is not there.
    pub fn models(&self) -> Result<Vec<String>> {
        store::sub_directories(&self.root)
    }

    /// The versions of a model, rising.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if the model is not there.
    pub fn versions(&self, name: &str) -> Result<Vec<u64>> {
        Ok(self.version_dirs(name)?.into_keys().collect())
    }

    /// The versions of a model with their directories.
    pub(super) fn version_dirs(&self, name: &str) -> Result<BTreeMap<u64, PathBuf>> {
        store::version_dirs(&self.model_dir(name)?)
    }

    /// The directory of a model, whose name is no path out of the repository.
    pub(super) fn model_dir(&self, name: &str) -> Result<PathBuf> {
        if store::is_name(name) {
            return Ok(self.root.join(name));
        }
        Err(Error::not_found(format!(
            "{:?} is not a model: the name is not a valid directory name",
            shortened(name)
        )))
    }

    /// The directory of a version: its existing name (`00017`), or the one it would be written under (`17`).
    #[must_use]
    pub fn version_dir(&self, name: &str, version: u64) -> PathBuf {
        let usual = self.root.join(name).join(version.to_string());
        if usual.is_dir() {
            return usual;
        }
        let found = self.version_dirs(name).ok();
        found
            .and_then(|mut found| found.remove(&version))
            .unwrap_or(usual)
    }

    /// Loads a version.
    ///
    /// # Errors
    /// As [`Servable::load`].
    pub fn load(&self, name: &str, version: u64, loaders: &Loaders) -> Result<Servable> {
        Servable::load(&self.version_dir(name, version), loaders)
    }

    /// Loads the version that serves, if there is one.
    fn load_default(&self, name: &str, loaders: &Loaders) -> Result<Serving> {
        let versions = match self.versions(name) {
            Ok(versions) => versions,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Serving::None),
            Err(error) => return Err(error),
        };
        match self.control(name)?.default_version(&versions) {
            Some(version) => {
                let loaders = self.loaders(loaders);
                let servable = self.load(name, version, &loaders)?;
                Ok(Serving::Model(Arc::new(servable)))
            }
            None => Ok(Serving::None),
        }
    }

    /// The version that serves, if it is this artifact of a pipeline's root.
    fn pushed(&self, name: &str, artifact: &str) -> Result<Option<PushedModel>> {
        let versions = match self.versions(name) {
            Ok(versions) => versions,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some(version) = self.control(name)?.default_version(&versions) else {
            return Ok(None);
        };
        let path = self.version_dir(name, version);
        // A manifest that cannot be read does not match.
        let manifest = Manifest::load(&path).ok();
        let found = manifest.filter(|manifest| manifest.artifact() == Some(artifact));
        Ok(found.map(|_| PushedModel {
            name: name.to_owned(),
            version,
            path,
        }))
    }

    /// Writes a blessed model as the next version. Where it is an artifact of a pipeline's root that serves already, that
    /// version is it.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if it cannot be written; nothing is changed then.
    pub fn push<M: Model>(&self, model: &Blessed<M>) -> Result<PushedModel> {
        let name = model.name();
        if let Some(artifact) = model.servable().manifest().artifact()
            && let Some(pushed) = self.pushed(name, artifact)?
        {
            return Ok(pushed);
        }
        loop {
            let last = match self.versions(name) {
                Ok(versions) => versions.last().copied().unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::NotFound => 0,
                Err(error) => return Err(error),
            };
            // The number of a rolled-back version is not used again, even if its directory is missing.
            let last = self.control(name).map_or(last, |control| {
                last.max(control.rolled_back().last().copied().unwrap_or_default())
            });
            let version = last.checked_add(1).ok_or_else(|| {
                Error::config(format!("model `{name}` has no version number left"))
            })?;
            let path = self.version_dir(name, version);
            match model.save(&path) {
                Ok(()) => {
                    self.remove_old(name);
                    return Ok(PushedModel {
                        name: name.to_owned(),
                        version,
                        path,
                    });
                }
                // Another process was faster: the next number is free.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Removes old versions. The pushed version remains, whether or not older versions can be removed.
    fn remove_old(&self, name: &str) {
        let Some(n) = self.keep_newest else {
            return;
        };
        match self.collect_garbage(name, n) {
            Ok(removed) if removed.is_empty() => {}
            Ok(removed) => tracing::info!(model = name, ?removed, "removed old versions"),
            Err(error) => {
                tracing::warn!(model = name, error = %format_args!("{error:#}"), "old versions cannot be removed");
            }
        }
    }
}

impl From<&str> for ModelRepository {
    fn from(root: &str) -> Self {
        ModelRepository::at(root)
    }
}

impl From<String> for ModelRepository {
    fn from(root: String) -> Self {
        ModelRepository::at(root)
    }
}

impl From<&Path> for ModelRepository {
    fn from(root: &Path) -> Self {
        ModelRepository::at(root)
    }
}

impl From<PathBuf> for ModelRepository {
    fn from(root: PathBuf) -> Self {
        ModelRepository::at(root)
    }
}

impl Stage for ModelRepository {
    fn name(&self) -> &str {
        "model_repository"
    }

    fn check(&self) -> Result<()> {
        if self.root.is_file() {
            return Err(Error::config(format!(
                "`{}` is a file, must be a directory",
                self.root.display()
            )));
        }
        if self.keep_newest == Some(0) {
            return Err(Error::config("`keep_newest` is 0, must be at least 1"));
        }
        Ok(())
    }
}

impl<M: Model> Server<M> for ModelRepository {
    type Endpoint = PushedModel;

    async fn deploy(&self, model: Blessed<M>) -> Result<PushedModel> {
        let repository = self.clone();
        off_async_threads(move || repository.push(&model)).await
    }

    fn knows_serving(&self) -> bool {
        true
    }

    async fn serving(&self, name: &str, loaders: &Loaders) -> Result<Serving> {
        let (repository, name, loaders) = (self.clone(), name.to_owned(), loaders.clone());
        off_async_threads(move || repository.load_default(&name, &loaders)).await
    }

    async fn deployed(&self, name: &str, artifact: &str) -> Result<Option<PushedModel>> {
        let (repository, name, artifact) = (self.clone(), name.to_owned(), artifact.to_owned());
        off_async_threads(move || repository.pushed(&name, &artifact)).await
    }

    fn deployed_version(&self, endpoint: &PushedModel) -> Option<u64> {
        Some(endpoint.version)
    }

    async fn prepare(&self) -> Result<()> {
        let root = self.root.clone();
        off_async_threads(move || store::check_writable(&root)).await
    }
}
