//! The repository directory as a source, and the control files of its models.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Control, Found, FoundModel, FoundVersion, Source, VersionPolicy, looking};
use crate::error::{Error, Result, near_names, shortened};
use crate::serving::ModelRepository;
use crate::store;

/// The file in a model's directory with the settings of operators.
pub(super) const CONTROL: &str = "serving.json";
/// The most bytes that it may have.
pub(super) const MAX_CONTROL_BYTES: u64 = 1 << 20;
/// Held by a process that changes that file.
const LOCK: &str = ".serving.lock";

impl Source for ModelRepository {
    fn poll(&self) -> Result<Vec<FoundModel>> {
        let sweeps = self.looking().sweeps();
        let (names, links): (Vec<_>, Vec<_>) =
            store::maybe_directories(self.root())?.into_iter().unzip();
        let links: BTreeSet<String> = names
            .iter()
            .zip(links)
            .filter(|(_, is_link)| *is_link)
            .map(|(name, _)| name.clone())
            .collect();
        let repository = self.clone();
        let look = move |name: &str| {
            let dir = repository.root().join(name);
            if links.contains(name) && !dir.is_dir() {
                return Ok(None);
            }
            if sweeps {
                store::sweep(&dir);
            }
            repository.look(name).map(Some)
        };
        Ok(self.looking().all(names, &(Arc::new(look) as Arc<_>)))
    }

    #[cfg(feature = "notify")]
    fn watch(&self, wake: Arc<dyn Fn() + Send + Sync>) -> Result<super::Watch> {
        super::notify::watch(self.root(), wake).or_else(|error| {
            let directory = self.root().display();
            tracing::warn!(%directory, error = ?error, "the directory cannot be watched; changes are found by polling");
            Ok(super::Watch::none())
        })
    }

    fn update(
        &self,
        model: &str,
        change: &mut dyn FnMut(&mut Control) -> Result<()>,
    ) -> Result<Control> {
        let dir = self.model_dir(model)?;
        let _lock = self.lock(model, &dir)?;
        let before = read_control(&dir)?;
        let mut after = before.clone();
        change(&mut after)?;
        after.check()?;
        if after != before {
            store::write_file(&dir.join(CONTROL), &after.to_json()?)?;
        }
        Ok(after)
    }
}

impl ModelRepository {
    fn look(&self, name: &str) -> Result<Found> {
        let dirs = self.version_dirs(name)?;
        if dirs.is_empty() && self.keeps_last_versions() {
            return Err(Error::not_found(format!(
                "all versions of model `{name}` are gone"
            )));
        }
        let versions = dirs.into_iter().map(|(version, path)| {
            let written = store::written(&path);
            FoundVersion::new(version, path).with_written(written)
        });
        let dir = self.model_dir(name)?;
        let control = looking::read(&dir, CONTROL);
        self.looking()
            .found(name, &dir, versions.collect(), control)
    }

    /// Waits until no other process changes the settings of a model.
    fn lock(&self, model: &str, dir: &Path) -> Result<File> {
        if !dir.is_dir() {
            let models = self.models().unwrap_or_default();
            return Err(Error::not_found(format!(
                "there is no model `{}`{}",
                shortened(model),
                near_names(model, models.iter().map(String::as_str))
            )));
        }
        let path = dir.join(LOCK);
        let open = || {
            let mut options = OpenOptions::new();
            let file = options
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)?;
            file.lock()?;
            Ok(file)
        };
        open().map_err(|error| Error::io(format!("locking `{}`", path.display()), error))
    }

    /// The control file of a model; the default if there is none.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) naming the file and what is wrong in it;
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if it cannot be read.
    pub fn control(&self, name: &str) -> Result<Control> {
        read_control(&self.model_dir(name)?)
    }

    /// Changes the [`Control`] file of a model, and returns it. Other processes that change it wait, and the file is replaced as
    /// a whole.
    ///
    /// # Errors
    /// Those of `change`, which change nothing; [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if there is no such model,
    /// or a version that is newly named by a label, the traffic split or as shadow does not exist;
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if the file cannot be written.
    pub fn change(
        &self,
        name: &str,
        change: impl Fn(&mut Control) -> Result<()>,
    ) -> Result<Control> {
        self.update(name, &mut |control| {
            let before = control.named();
            change(control)?;
            let named = control.named();
            named
                .difference(&before)
                .try_for_each(|version| self.check_version(name, *version))
        })
    }

    /// Takes a version out of service for the newest older one that is not rolled back itself, and returns that
    /// one. What named the version names the older one. A version that is rolled back already stays so.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if there is no such model or version, or none to go back
    /// to.
    pub fn roll_back(&self, name: &str, version: u64) -> Result<u64> {
        let mut to = 0;
        self.update(name, &mut |control| {
            self.check_version(name, version)?;
            let found = self.versions(name)?;
            to = control.previous_version(&found, version).ok_or_else(|| {
                Error::not_found(format!(
                    "model `{name}` has no version before {version} to roll back to"
                ))
            })?;
            control.roll_back(version, to)
        })?;
        Ok(to)
    }

    /// The versions that [`ModelRepository::collect_garbage`] would remove, rising.
    ///
    /// # Errors
    /// As there.
    pub fn garbage(&self, name: &str, keep_newest: usize) -> Result<Vec<u64>> {
        let dirs = self.version_dirs(name)?;
        let found: Vec<u64> = dirs.into_keys().collect();
        garbage(&self.control(name)?, &found, keep_newest)
    }

    /// Removes old versions, and returns them. It keeps the newest `keep_newest` that are not rolled back and all after
    /// the oldest of these, what labels, the traffic split, shadow traffic and the version policy name, and the one
    /// that the version that answers would be rolled back to.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if 0 are to be kept;
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if there is no such model;
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if one cannot be removed: the newer ones are still present then.
    pub fn collect_garbage(&self, name: &str, keep_newest: usize) -> Result<Vec<u64>> {
        let dir = self.model_dir(name)?;
        // No label may come to name a version that is being removed.
        let _lock = self.lock(name, &dir)?;
        let removed = self.garbage(name, keep_newest)?;
        let dirs: BTreeMap<u64, PathBuf> = self.version_dirs(name)?;
        for version in &removed {
            if let Some(dir) = dirs.get(version) {
                store::remove_dir(dir)?;
            }
        }
        Ok(removed)
    }

    fn check_version(&self, name: &str, version: u64) -> Result<()> {
        let found = self.versions(name)?;
        if found.contains(&version) {
            return Ok(());
        }
        Err(Error::not_found(format!(
            "model `{name}` has no version {version}; available: {found:?}"
        )))
    }
}

fn garbage(control: &Control, found: &[u64], keep_newest: usize) -> Result<Vec<u64>> {
    if keep_newest == 0 {
        return Err(Error::config(
            "`keep_newest` is 0, must be at least 1: a model without versions cannot be served",
        ));
    }
    let newest = VersionPolicy::Latest(keep_newest).aspired(found, control.rolled_back());
    let Some(oldest_kept) = newest.first() else {
        return Ok(Vec::new());
    };
    let mut kept = control.named();
    if let Some(VersionPolicy::Specific(versions)) = control.versions() {
        kept.extend(versions);
    }
    let answering = control.default_version(found);
    kept.extend(answering.and_then(|answering| control.previous_version(found, answering)));
    let old = found.iter().filter(|version| *version < oldest_kept);
    Ok(old
        .filter(|version| !kept.contains(version))
        .copied()
        .collect())
}

/// Reads the file in a model's directory; the default if there is none.
fn read_control(dir: &Path) -> Result<Control> {
    Ok(looking::read(dir, CONTROL)?.unwrap_or_default())
}

/// Parses the text of a file; errors name the file.
pub(super) fn control_of(text: &str, place: impl std::fmt::Display) -> Result<Control> {
    Control::from_json(text).map_err(|error| {
        Error::new(error.kind(), format!("`{place}`: {}", error.message())).with_source(error)
    })
}

#[cfg(test)]
pub(super) mod tests;
