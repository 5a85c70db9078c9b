//! How a version's files become something that answers.

use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};

use super::FoundVersion;
use crate::error::Result;
use crate::model::{Loaders, Servable};

/// Loads one version: the place to bring in a framework of your own.
///
/// It is made for one try and used on one of the manager's loader threads, so it may take its time. A panic is a failure
/// like any other.
pub trait Loader: Debug + Send {
    /// How much memory the version will take, in bytes; asked before [`Loader::load`].
    fn estimate(&self) -> u64;

    /// Loads the version. What it returns is dropped on an unloading thread once the last request that holds it has ended.
    ///
    /// # Errors
    /// Whatever is wrong; the error is shown as the reason why the version does not answer, and there are further tries.
    fn load(&self) -> Result<Servable>;
}

/// Makes the loader of a version.
pub trait SourceAdapter: Debug + Send + Sync + 'static {
    /// The loader of a version, whose files are at its path. Called on a loader thread.
    ///
    /// # Errors
    /// If there is no loader for what was found.
    fn adapt(&self, model: &str, version: &FoundVersion) -> Result<Box<dyn Loader>>;
}

/// Loads what [`Servable::load`] loads, by the format tags of [`Loaders`]. Of memory it estimates the size of the files and
/// a fifth.
#[derive(Debug)]
pub struct ServableLoader {
    path: PathBuf,
    n_bytes: u64,
    loaders: Loaders,
}

impl ServableLoader {
    /// The loader of a version's directory.
    #[must_use]
    pub fn new(version: &FoundVersion, loaders: &Loaders) -> Self {
        ServableLoader {
            path: version.path().to_owned(),
            n_bytes: version.n_bytes(),
            loaders: loaders.clone(),
        }
    }
}

impl Loader for ServableLoader {
    fn estimate(&self) -> u64 {
        with_margin(match self.n_bytes {
            0 => size_of_dir(&self.path),
            n_bytes => n_bytes,
        })
    }

    fn load(&self) -> Result<Servable> {
        Servable::load(&self.path, &self.loaders)
    }
}

/// What files of a size are estimated to take in memory.
pub(super) fn with_margin(n_bytes: u64) -> u64 {
    n_bytes.saturating_add(n_bytes / 5)
}

/// The size of what can be read of a directory.
fn size_of_dir(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else {
        return 0;
    };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size_of_dir(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    sizes.fold(0, u64::saturating_add)
}
