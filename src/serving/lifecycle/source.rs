//! Sources of models.

use std::any::Any;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::Control;
use crate::error::{Error, ErrorKind, Result};
use crate::store;

/// A source of models: lists the models and versions that exist.
///
/// A [`ModelRepository`](crate::serving::ModelRepository) is a source. All methods are called on the manager's own threads
/// and may block.
pub trait Source: fmt::Debug + Send + Sync + 'static {
    /// Lists every model with its versions. A model that cannot be listed for now is an error of its own and keeps its
    /// versions; a model that is missing in the list is removed.
    ///
    /// # Errors
    /// If no model can be listed for now: no model changes then.
    fn poll(&self) -> Result<Vec<FoundModel>>;

    /// Calls `wake` soon after a change, from any thread, until the [`Watch`] is dropped. A manager polls at its interval
    /// in any case, so a source that cannot watch returns [`Watch::none`], which is the default.
    ///
    /// # Errors
    /// If it cannot watch for now; the manager continues to poll.
    fn watch(&self, _wake: Arc<dyn Fn() + Send + Sync>) -> Result<Watch> {
        Ok(Watch::none())
    }

    /// Copies the files of a version to its [path](FoundVersion::path), if they are missing. Called on the thread that loads
    /// the version, before it does.
    ///
    /// # Errors
    /// If they cannot be copied; nothing is left at the path then.
    fn fetch(&self, _model: &str, _version: &FoundVersion) -> Result<()> {
        Ok(())
    }

    /// Receives the versions of a model that are wanted or loaded: the files of others, which [`fetch`](Source::fetch) copied,
    /// may be removed.
    ///
    /// # Errors
    /// If files cannot be removed; nothing depends on it.
    fn retain(&self, _model: &str, _versions: &[u64]) -> Result<()> {
        Ok(())
    }

    /// Changes the [`Control`] of a model where it is stored, and returns it. `change` may be called more than once, if another
    /// process changes it at the same time.
    ///
    /// # Errors
    /// Those of `change`, after which nothing has changed; [`ErrorKind::Unsupported`] if this source does not store it, which
    /// is the default; [`ErrorKind::NotFound`] if there is no such model.
    fn update(
        &self,
        model: &str,
        _change: &mut dyn FnMut(&mut Control) -> Result<()>,
    ) -> Result<Control> {
        Err(Error::new(
            ErrorKind::Unsupported,
            format!("the source of model `{model}` does not store labels, traffic or rollbacks"),
        ))
    }
}

/// The guard of a watch on a source. Dropping it ends the watch.
pub struct Watch(Option<Box<dyn Any + Send + Sync>>);

impl Watch {
    /// A watch that owns whatever watches.
    #[must_use]
    pub fn new(watcher: impl Any + Send + Sync) -> Self {
        Watch(Some(Box::new(watcher)))
    }

    /// No watch: changes are found by polling.
    #[must_use]
    pub fn none() -> Self {
        Watch(None)
    }

    /// Returns `true` if it watches.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.0.is_some()
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Watch({})",
            if self.is_active() { "active" } else { "none" }
        )
    }
}

/// A model that a [`Source`] found, or why it could not be listed.
#[derive(Debug)]
pub struct FoundModel {
    name: String,
    found: Result<Found>,
}

impl FoundModel {
    /// A model by its name.
    #[must_use]
    pub fn new(name: impl Into<String>, found: Result<Found>) -> Self {
        FoundModel {
            name: name.into(),
            found,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The result of the poll.
    ///
    /// # Errors
    /// The reason why it could not be listed; its loaded versions continue to serve.
    pub fn found(&self) -> Result<&Found, &Error> {
        self.found.as_ref()
    }

    /// The name and the result.
    pub fn into_parts(self) -> (String, Result<Found>) {
        (self.name, self.found)
    }
}

/// The versions of a model, and their control.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    versions: Vec<FoundVersion>,
    control: Control,
    warning: Option<String>,
}

impl Found {
    /// Versions, in any order; of two with the same number the first counts.
    #[must_use]
    pub fn new(mut versions: Vec<FoundVersion>, control: Control) -> Self {
        versions.sort_by_key(|version| version.version);
        versions.dedup_by_key(|version| version.version);
        Found {
            versions,
            control,
            warning: None,
        }
    }

    /// The same, with a problem that leaves the versions known: for example, the control file cannot be read, and the control
    /// is an older one. It is shown in the model's [`reason`](super::ModelState::reason).
    #[must_use]
    pub fn with_warning(mut self, warning: impl Into<String>) -> Self {
        self.warning = Some(warning.into());
        self
    }

    /// The warning, if there is one.
    #[must_use]
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// The versions, rising.
    #[must_use]
    pub fn versions(&self) -> &[FoundVersion] {
        &self.versions
    }

    /// A version by its number.
    #[must_use]
    pub fn version(&self, version: u64) -> Option<&FoundVersion> {
        let at = self
            .versions
            .binary_search_by_key(&version, |found| found.version);
        at.ok().map(|at| &self.versions[at])
    }

    /// The numbers of the versions, rising.
    #[must_use]
    pub fn numbers(&self) -> Vec<u64> {
        self.versions.iter().map(|found| found.version).collect()
    }

    /// The control file of the operators.
    #[must_use]
    pub fn control(&self) -> &Control {
        &self.control
    }
}

/// A version that a [`Source`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundVersion {
    version: u64,
    path: PathBuf,
    written: Option<SystemTime>,
    n_bytes: Option<u64>,
}

impl FoundVersion {
    /// A version by its number, and the directory on this machine that has its files, or [will have](Source::fetch) them.
    #[must_use]
    pub fn new(version: u64, path: impl Into<PathBuf>) -> Self {
        FoundVersion {
            version,
            path: path.into(),
            written: None,
            n_bytes: None,
        }
    }

    /// The time at which it was written; another time means other content, which is tried anew.
    #[must_use]
    pub fn with_written(mut self, written: Option<SystemTime>) -> Self {
        self.written = written;
        self
    }

    /// The size of its files in bytes.
    #[must_use]
    pub fn with_n_bytes(mut self, n_bytes: u64) -> Self {
        self.n_bytes = Some(n_bytes);
        self
    }

    /// Its number.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The directory of its files.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The time at which it was written, where it is known.
    #[must_use]
    pub fn written(&self) -> Option<SystemTime> {
        self.written
    }

    /// The size of its files in bytes. Unless the source gave it, the files are examined now.
    #[must_use]
    pub fn n_bytes(&self) -> u64 {
        self.n_bytes.unwrap_or_else(|| store::n_bytes(&self.path))
    }

    /// The size of its files in bytes, if the source gave it.
    pub(super) fn known_n_bytes(&self) -> Option<u64> {
        self.n_bytes
    }
}
