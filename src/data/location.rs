//! The places of files, and the files that are there.

use std::fs;
use std::path::{Path, PathBuf};

use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::object_store::path::Path as StorePath;
use datafusion::object_store::{Error as StoreError, ObjectMeta, ObjectStoreExt};
use futures_util::TryStreamExt;

use super::pattern::{Captures, Pattern, is_wild};
use super::remote::store_of;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::runs::InputFile;

/// A file, a folder or a pattern, on this machine or in an object store.
#[derive(Clone, Debug)]
pub(super) struct Location {
    shown: String,
    store: ObjectStoreUrl,
    base: Base,
    pattern: Option<Pattern>,
}

/// The directory before the first wildcard.
#[derive(Clone, Debug)]
enum Base {
    Local(PathBuf),
    Remote(StorePath),
}

/// A file that is there.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) meta: ObjectMeta,
    /// Its path below the location.
    pub(super) name: String,
    /// Its whole path or URL.
    pub(super) shown: String,
    pub(super) captures: Captures,
}

impl Found {
    /// The folders `key=value` between the location and the file.
    pub(super) fn hive(&self) -> Vec<(&str, &str)> {
        let (folders, _) = self.name.rsplit_once('/').unwrap_or(("", ""));
        folders
            .split('/')
            .filter_map(|folder| folder.split_once('='))
            .filter(|(key, _)| !key.is_empty())
            .collect()
    }
}

impl Location {
    /// Reads a path or a URL.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a URL or a pattern that is none.
    pub(super) fn parse(path: &Path) -> Result<Self> {
        let shown = path.to_string_lossy().into_owned();
        let (scheme, rest) = match shown.split_once("://") {
            Some(("file", rest)) => (None, rest),
            Some((scheme, rest)) => (Some(scheme), rest),
            None => (None, shown.as_str()),
        };
        let Some(scheme) = scheme else {
            let whole = std::path::absolute(rest)
                .map_err(|error| Error::io(format!("`{shown}` is not a path"), error))?;
            let text = whole.to_string_lossy().into_owned();
            let (base, pattern) = match split(&text) {
                // A file may have a name that looks like a pattern.
                (base, Some(pattern)) if fs::symlink_metadata(&whole).is_err() => {
                    (PathBuf::from(base), Some(Pattern::parse(pattern)?))
                }
                _ => (whole, None),
            };
            return Ok(Location {
                store: ObjectStoreUrl::local_filesystem(),
                base: Base::Local(base),
                pattern,
                shown,
            });
        };
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        let store = ObjectStoreUrl::parse(format!("{scheme}://{bucket}")).map_err(|error| {
            Error::config(format!("`{shown}` is not the URL of files")).with_source(error)
        })?;
        let (base, pattern) = split(key);
        let base = StorePath::parse(base.trim_matches('/')).map_err(|error| {
            Error::config(format!("`{shown}` is not the URL of files")).with_source(error)
        })?;
        Ok(Location {
            store,
            base: Base::Remote(base),
            pattern: pattern.map(Pattern::parse).transpose()?,
            shown,
        })
    }

    /// The store in which the paths of [`Found::meta`] are.
    pub(super) fn store(&self) -> &ObjectStoreUrl {
        &self.store
    }

    /// The part with wildcards, if there is one.
    pub(super) fn pattern(&self) -> Option<&Pattern> {
        self.pattern.as_ref()
    }

    /// The file itself, or all files of the folder and below it, or those of the pattern; sorted by path. Names that
    /// start with a dot or an underscore are left out.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is neither; [`ErrorKind::Io`] if it cannot be looked at.
    pub(super) async fn list(&self, engine: &Engine) -> Result<Vec<Found>> {
        match &self.base {
            Base::Local(base) => self.list_local(base),
            Base::Remote(base) => self.list_remote(engine, base).await,
        }
    }

    /// Files of it as the inputs of a run.
    ///
    /// # Errors
    /// As [`InputFile::local`].
    pub(super) fn inputs(&self, files: Vec<Found>) -> Result<Vec<InputFile>> {
        let input = |file: Found| match self.base {
            Base::Local(_) => InputFile::local(&file.shown),
            Base::Remote(_) => Ok(InputFile::remote(
                file.shown,
                file.meta.size,
                file.meta.last_modified.timestamp_nanos_opt(),
                file.meta.e_tag,
            )),
        };
        files.into_iter().map(input).collect()
    }

    /// As [`Location::list`], of a path on this machine.
    pub(super) fn list_here(&self) -> Option<Result<Vec<Found>>> {
        match &self.base {
            Base::Local(base) => Some(self.list_local(base)),
            Base::Remote(_) => None,
        }
    }

    fn list_local(&self, base: &Path) -> Result<Vec<Found>> {
        let failed = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => self.missing().with_source(error),
            _ => Error::io(format!("`{}` cannot be read", self.shown), error),
        };
        let base = fs::canonicalize(base).map_err(failed)?;
        let mut found = Vec::new();
        if fs::metadata(&base).map_err(failed)?.is_file() {
            if self.pattern.is_none() {
                let name = base.file_name().unwrap_or_default().to_string_lossy();
                found.push(local_file(&base, name.into_owned()).map_err(failed)?);
            }
        } else {
            walk(&base, "", &mut vec![base.clone()], &mut found).map_err(failed)?;
        }
        self.matching(found)
    }

    async fn list_remote(&self, engine: &Engine, base: &StorePath) -> Result<Vec<Found>> {
        let store = store_of(engine, &self.store)?;
        let failed = |error: StoreError| {
            let reason = error.to_string();
            let reason = reason.lines().next().unwrap_or_default();
            Error::new(
                ErrorKind::Io,
                format!("`{}` cannot be listed: {reason}", self.shown),
            )
            .with_source(error)
        };
        let found = |meta: ObjectMeta, name: String| Found {
            shown: format!("{}{}", self.store.as_str(), meta.location),
            name,
            meta,
            captures: Captures::default(),
        };
        if self.pattern.is_none() && !base.as_ref().is_empty() && !self.shown.ends_with('/') {
            match store.head(base).await {
                Ok(meta) => {
                    let name = meta.location.filename().unwrap_or_default().to_owned();
                    return Ok(vec![found(meta, name)]);
                }
                Err(StoreError::NotFound { .. }) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        let objects: Vec<ObjectMeta> =
            store.list(Some(base)).try_collect().await.map_err(failed)?;
        if objects.is_empty() {
            return Err(self.missing());
        }
        let below = objects.into_iter().filter_map(|meta| {
            let name = meta.location.as_ref().strip_prefix(base.as_ref())?;
            let name = name.trim_start_matches('/').to_owned();
            // Some tools mark a folder with an empty object.
            let is_folder = meta.size == 0 && name.is_empty();
            (!is_folder && !name.split('/').any(is_hidden)).then(|| found(meta, name))
        });
        self.matching(below.collect())
    }

    fn matching(&self, found: Vec<Found>) -> Result<Vec<Found>> {
        let mut matching = Vec::new();
        for mut file in found {
            match &self.pattern {
                None => matching.push(file),
                Some(pattern) => {
                    if let Some(captures) = pattern.find(&file.name)? {
                        file.captures = captures;
                        matching.push(file);
                    }
                }
            }
        }
        matching.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        if matching.is_empty() && self.pattern.is_some() {
            return Err(Error::not_found(format!(
                "no file matches `{}`",
                self.shown
            )));
        }
        Ok(matching)
    }

    fn missing(&self) -> Error {
        match self.pattern {
            None => Error::not_found(format!("there is no file or directory `{}`", self.shown)),
            Some(_) => Error::not_found(format!("no file matches `{}`", self.shown)),
        }
    }
}

/// The path before the first segment with a wildcard, and the rest.
fn split(path: &str) -> (&str, Option<&str>) {
    let mut start = 0;
    for part in path.split('/') {
        if is_wild(part) {
            return (&path[..start], Some(&path[start..]));
        }
        start += part.len() + 1;
    }
    (path, None)
}

/// Returns true for files of other programs: markers, checkpoints, files being written. Hive's folders are none.
fn is_hidden(name: &str) -> bool {
    name.starts_with(['.', '_']) && !name.contains('=')
}

/// All files below a folder. Links to folders are followed, but for those that lead back up: `above` are the folders
/// on the way here, this one the last, as they are without links.
fn walk(
    dir: &Path,
    shown: &str,
    above: &mut Vec<PathBuf>,
    found: &mut Vec<Found>,
) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_hidden(&name) {
            continue;
        }
        let name = match shown {
            "" => name,
            shown => format!("{shown}/{name}"),
        };
        let path = entry.path();
        if path.is_dir() {
            let real = fs::canonicalize(&path)?;
            if !above.contains(&real) {
                above.push(real);
                walk(&path, &name, above, found)?;
                above.pop();
            }
        } else if path.is_file() {
            found.push(local_file(&path, name)?);
        }
    }
    Ok(())
}

fn local_file(path: &Path, name: String) -> std::io::Result<Found> {
    let metadata = fs::metadata(path)?;
    Ok(Found {
        meta: ObjectMeta {
            location: StorePath::from_absolute_path(path).map_err(std::io::Error::other)?,
            last_modified: metadata.modified()?.into(),
            size: metadata.len(),
            e_tag: None,
            version: None,
        },
        name,
        shown: path.to_string_lossy().into_owned(),
        captures: Captures::default(),
    })
}
