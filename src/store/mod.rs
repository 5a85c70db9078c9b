//! Directories that exist whole or not at all.
//!
//! A directory is written under a temporary name that starts with a dot, every file is synced to the disk, its
//! digests are listed in `SHA256SUMS` (the format of the `sha256sum` program, so `sha256sum -c SHA256SUMS` checks
//! one by hand), and only then is it renamed to its place. A reader therefore sees all of it or nothing. The
//! leftovers of an interrupted writer start with a dot, so that nothing reads them; the next writer and the servers
//! [sweep](sweep) them once their writer is gone.
//!
//! Architecture invariant: this crate writes nothing in place that others read. Held by
//! `tests/it/saving.rs`, which interrupts writers and flips bytes.
//!
//! Architecture invariant: the claims of a directory are bounded before it is read, and nothing outside of it is read: no
//! link out of it is followed, and only regular files are opened.

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
pub(crate) use self::aside::{Place, Readers, Scratch, create_dir, remove_file, write_file_for};
pub(crate) use self::aside::{remove_dir, sweep, write_dir, write_file};
#[cfg(all(test, feature = "datafusion"))]
pub(crate) use self::fault::Fault;
#[cfg(any(test, feature = "mlflow", feature = "object-store"))]
pub(crate) use self::verify::files_below;
#[cfg(feature = "object-store")]
pub(crate) use self::verify::parse_sums;
#[cfg(feature = "datafusion")]
pub(crate) use self::verify::{digest_of, read_bytes, read_sums};
pub(crate) use self::verify::{n_bytes, read_text, verify_dir};
use crate::error::{Error, ErrorKind, Result};

/// The file that lists the digests.
pub(crate) const SUMS: &str = "SHA256SUMS";

/// Returns true if a string is a plain name: not a path, not hidden.
pub(crate) fn is_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    let is_one = matches!((parts.next(), parts.next()), (Some(Component::Normal(part)), None) if part == name);
    is_one && !name.starts_with('.')
}

/// The time at which a directory's list of digests was written, or, without one, at which the directory was changed.
pub(crate) fn written(dir: &Path) -> Option<SystemTime> {
    fs::metadata(dir.join(SUMS))
        .or_else(|_| fs::metadata(dir))
        .and_then(|metadata| metadata.modified())
        .ok()
}

/// The subdirectories named by version numbers, in ascending order, with their paths: `00017` is version 17. Of several names
/// of one number, the shortest wins.
///
/// # Errors
/// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if the directory does not exist.
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

/// The version number in a directory's name: only decimal digits, with or without leading zeros, of 64 bits.
pub(crate) fn version_number(name: &str) -> Option<u64> {
    let all_digits = name.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| name.parse().ok()).flatten()
}

/// Checks that a directory can be written, or created if it does not exist. The check leaves nothing behind.
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

/// The names of the subdirectories that do not start with a dot, sorted.
pub(crate) fn sub_directories(dir: &Path) -> Result<Vec<String>> {
    let mut names = maybe_directories(dir)?;
    names.retain(|(name, is_link)| !is_link || dir.join(name).is_dir());
    Ok(names.into_iter().map(|(name, _)| name).collect())
}

/// The names of the subdirectories and links that do not start with a dot, sorted, and whether each is a link. Only the
/// directory itself is opened, so that a mount below it that hangs does no harm.
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
