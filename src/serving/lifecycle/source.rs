//! Where models come from.

use std::any::Any;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::Control;
use crate::error::{Error, ErrorKind, Result};
use crate::store;

/// Where models come from: says which models and versions are there.
///
/// A [`ModelRepository`](crate::serving::ModelRepository) is one. Everything here is called on the manager's own threads
/// and may block.
pub trait Source: fmt::Debug + Send + Sync + 'static {
    /// Every model that is there with its versions. A model that cannot be listed just now is an error of its own, and
    /// keeps what it has; a model that is not in the list is gone.
    ///
    /// # Errors
    /// If nothing can be said just now: no model changes then.
    fn poll(&self) -> Result<Vec<FoundModel>>;

    /// Calls `wake` soon after something changed, from any thread, until the [`Watch`] is dropped. A manager polls at
    /// its interval anyhow, so a source that cannot know of changes returns [`Watch::none`], as the default does.
    ///
    /// # Errors
    /// If it cannot watch just now; the manager goes on polling.
    fn watch(&self, _wake: Arc<dyn Fn() + Send + Sync>) -> Result<Watch> {
        Ok(Watch::none())
    }

    /// Brings a version's files to its [path](FoundVersion::path), if they are not there. Called before it is loaded, by
    /// the thread that loads it.
    ///
    /// # Errors
    /// If they cannot be brought; there is nothing at the path then.
    fn fetch(&self, _model: &str, _version: &FoundVersion) -> Result<()> {
        Ok(())
    }

    /// Says which versions of a model are wanted or loaded still: what [`fetch`](Source::fetch) brought for others may go.
    ///
    /// # Errors
    /// If something could not be removed; nothing depends on it.
    fn retain(&self, _model: &str, _versions: &[u64]) -> Result<()> {
        Ok(())
    }

    /// Changes what is said about a model's versions, where that is kept; answers with what is said then. The change
    /// may be called more than once, if another process changes it at the same time.
    ///
    /// # Errors
    /// Those of the change, which changes nothing then; [`ErrorKind::Unsupported`] if this source does not keep it, as by
    /// default; [`ErrorKind::NotFound`] if there is no such model.
    fn update(
        &self,
        model: &str,
        _change: &mut dyn FnMut(&mut Control) -> Result<()>,
    ) -> Result<Control> {
        Err(Error::new(
            ErrorKind::Unsupported,
            format!("the source of model `{model}` does not keep labels, traffic or rollbacks"),
        ))
    }
}

/// What keeps a source calling when something changes. Dropping it stops that.
pub struct Watch(Option<Box<dyn Any + Send + Sync>>);

impl Watch {
    /// One that lives as long as what watches.
    #[must_use]
    pub fn new(watcher: impl Any + Send + Sync) -> Self {
        Watch(Some(Box::new(watcher)))
    }

    /// No watching: changes are found by polling.
    #[must_use]
    pub fn none() -> Self {
        Watch(None)
    }

    /// Whether something is watching.
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

    /// What was found.
    ///
    /// # Errors
    /// Why it could not be listed; what is loaded of it goes on serving.
    pub fn found(&self) -> Result<&Found, &Error> {
        self.found.as_ref()
    }

    /// The name and what was found.
    pub fn into_parts(self) -> (String, Result<Found>) {
        (self.name, self.found)
    }
}

/// The versions of a model that are there, and what is said about them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    versions: Vec<FoundVersion>,
    control: Control,
    warning: Option<String>,
}

impl Found {
    /// Versions, in any order; of two with the same number the first is taken.
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

    /// The same, with what is wrong although the versions are known: that what an operator says could not be read, say, and
    /// the control is an older one. It shows in the model's [`reason`](super::ModelState::reason).
    #[must_use]
    pub fn with_warning(mut self, warning: impl Into<String>) -> Self {
        self.warning = Some(warning.into());
        self
    }

    /// What is wrong, if something is.
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

    /// What an operator has said about them.
    #[must_use]
    pub fn control(&self) -> &Control {
        &self.control
    }
}

/// A version that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundVersion {
    version: u64,
    path: PathBuf,
    written: Option<SystemTime>,
    n_bytes: Option<u64>,
}

impl FoundVersion {
    /// A version by its number, and where its files are on this machine or [will be](Source::fetch).
    #[must_use]
    pub fn new(version: u64, path: impl Into<PathBuf>) -> Self {
        FoundVersion {
            version,
            path: path.into(),
            written: None,
            n_bytes: None,
        }
    }

    /// When it was written; another time means another content, worth another try.
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

    /// When it was written, where that is known.
    #[must_use]
    pub fn written(&self) -> Option<SystemTime> {
        self.written
    }

    /// The size of its files in bytes. Where the source has not said it, the files are looked at now.
    #[must_use]
    pub fn n_bytes(&self) -> u64 {
        self.n_bytes.unwrap_or_else(|| store::n_bytes(&self.path))
    }

    /// The size of its files in bytes, where the source has said it.
    pub(super) fn known_n_bytes(&self) -> Option<u64> {
        self.n_bytes
    }
}
