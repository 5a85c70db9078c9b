//! Directories that are there whole or not at all.
//!
//! A directory is written aside under a name that starts with a dot, every file is synced to the disk, its
//! digests are listed in `SHA256SUMS` (the format of the `sha256sum` program, so `sha256sum -c SHA256SUMS` checks
//! one by hand), and only then is it renamed to its place. A reader therefore sees all of it or nothing. What an
//! interrupted writer leaves behind starts with a dot, and nothing here reads that; the next writer and the servers
//! [sweep](sweep) it once its writer is gone.
//!
//! Architecture invariant: nothing of this crate that others read is written in place. Held by
//! `tests/it/saving.rs`, which interrupts writers and flips bytes.
//!
//! Architecture invariant: what a directory claims is bounded before it is read, and nothing outside of it is: no link
//! out of it is followed, nothing but a regular file is opened.

mod aside;
mod fault;
mod verify;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

#[cfg(any(feature = "datafusion", feature = "object-store"))]
pub(crate) use self::aside::Aside;
#[cfg(feature = "datafusion")]
pub(crate) use self::aside::{Place, Scratch, create_private, remove_file, write_private_file};
pub(crate) use self::aside::{remove_dir, sweep, write_dir, write_file};
#[cfg(all(test, feature = "datafusion"))]
pub(crate) use self::fault::Fault;
#[cfg(any(test, feature = "object-store"))]
pub(crate) use self::verify::files_below;
#[cfg(feature = "object-store")]
pub(crate) use self::verify::parse_sums;
#[cfg(feature = "datafusion")]
pub(crate) use self::verify::{digest_of, read_bytes, read_sums};
pub(crate) use self::verify::{n_bytes, read_text, verify_dir};
use crate::error::{Error, ErrorKind, Result};

/// The file that lists the digests.
pub(crate) const SUMS: &str = "SHA256SUMS";

/// Whether a name is that of a directory within another: no path, not hidden.
pub(crate) fn is_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    let is_one = matches!((parts.next(), parts.next()), (Some(Component::Normal(part)), None) if part == name);
    is_one && !name.starts_with('.')
}

/// When a directory's list of digests was written, or, if it has none, when the directory was changed.
pub(crate) fn written(dir: &Path) -> Option<SystemTime> {
    fs::metadata(dir.join(SUMS))
        .or_else(|_| fs::metadata(dir))
        .and_then(|metadata| metadata.modified())
        .ok()
}

/// The sub-directories that are version numbers, rising, with their paths as they are written: `00017` is version 17. Of
/// several names of one number, the shortest counts.
///
/// # Errors
/// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if there is no such directory.
pub(crate) fn version_dirs(dir: &Path) -> Result<BTreeMap<u64, PathBuf>> {
    let mut names = sub_directories(dir)?;
    names.sort_by_key(String::len);
    let mut versions = BTreeMap::new();
    for name in names {
        if let Some(version) = version_number(&name) {
            versions.entry(version).or_insert_with(|| dir.join(name));
        }
    }
    Ok(versions)
}

/// The version that a directory's name means: decimal digits alone, leading zeros or not, of 64 bits.
pub(crate) fn version_number(name: &str) -> Option<u64> {
    let all_digits = name.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| name.parse().ok()).flatten()
}

/// That a directory can be written, or made where it is not there yet. Nothing is left of the trial.
///
/// # Errors
/// [`ErrorKind::Io`] if not.
pub(crate) fn check_writable(dir: &Path) -> Result<()> {
    let there = dir.ancestors().find(|dir| dir.exists());
    let there = there
        .filter(|there| !there.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    tempfile::tempfile_in(there).map(drop).map_err(|error| {
        let message = format!("`{}` cannot be written", dir.display());
        Error::new(ErrorKind::Io, message).with_source(error)
    })
}

/// The names of the sub-directories that do not start with a dot, sorted.
pub(crate) fn sub_directories(dir: &Path) -> Result<Vec<String>> {
    let mut names = maybe_directories(dir)?;
    names.retain(|(name, is_link)| !is_link || dir.join(name).is_dir());
    Ok(names.into_iter().map(|(name, _)| name).collect())
}

/// The names of the sub-directories and links that do not start with a dot, sorted, and whether each is a link. Nothing
/// is opened but the directory itself, so whatever is mounted below it may hang.
pub(crate) fn maybe_directories(dir: &Path) -> Result<Vec<(String, bool)>> {
    let failed = |error| Error::io(format!("reading directory `{}`", dir.display()), error);
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let kind = entry.file_type().map_err(failed)?;
        if (kind.is_dir() || kind.is_symlink())
            && let Ok(name) = entry.file_name().into_string()
            && !name.starts_with('.')
        {
            names.push((name, kind.is_symlink()));
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn parent_of(place: &Path) -> Result<&Path> {
    match place.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Ok(Path::new(".")),
        Some(parent) => Ok(parent),
        None => Err(Error::config(format!(
            "`{}` cannot be written",
            place.display()
        ))),
    }
}

#[cfg(test)]
mod tests;
