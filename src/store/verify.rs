//! Verifying a directory against its digests, without reading more than necessary.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::SUMS;
use crate::error::{Error, Result};
use crate::fingerprint::hex;

/// The maximum size of a list of digests in bytes.
const MAX_SUMS_BYTES: u64 = 16 << 20;

/// The maximum number of files and directories below a directory, and their maximum depth.
const MAX_ENTRIES: usize = 100_000;
const MAX_DEPTH: usize = 32;

/// Verifies a directory against its digests: first the names of its files, then their content.
///
/// # Errors
/// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) naming the first file that is missing, not listed, not regular or
/// changed; [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if the directory does not exist.
pub(crate) fn verify_dir(dir: &Path) -> Result<()> {
    let place = dir.join(SUMS);
    let damaged = || Error::corrupt(format!("`{}` is damaged", place.display()));
    let sums = match read_bytes(&place, MAX_SUMS_BYTES) {
        Ok(bytes) => String::from_utf8(bytes).map_err(|_| damaged())?,
        Err(error) if error.kind() == io::ErrorKind::NotFound && dir.is_dir() => {
            return Err(Error::corrupt(format!(
                "`{}` has no `{SUMS}`: it was not written whole",
                dir.display()
            )));
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Err(damaged().with_source(error));
        }
        Err(error) => return Err(Error::io(format!("reading `{}`", dir.display()), error)),
    };
    let sums = parse_sums(&sums).ok_or_else(damaged)?;
    let found = files_below(dir)?;
    let mut found: BTreeSet<&str> = found.iter().map(String::as_str).collect();
    found.remove(SUMS);
    if let Some(file) = sums.keys().find(|file| !found.contains(file.as_str())) {
        return Err(Error::corrupt(format!(
            "`{}` is missing",
            dir.join(file).display()
        )));
    }
    if let Some(file) = found.iter().find(|file| !sums.contains_key(**file)) {
        return Err(Error::corrupt(format!(
            "`{}` is not listed in `{SUMS}`",
            dir.join(file).display()
        )));
    }
    for (file, listed) in &sums {
        let path = dir.join(file);
        let digest = digest_of(&path)
            .map_err(|error| Error::io(format!("reading `{}`", path.display()), error))?;
        if digest != *listed {
            return Err(Error::corrupt(format!(
                "`{}` was changed after it was written: its digest is not the listed one",
                path.display()
            )));
        }
    }
    Ok(())
}

/// The content of a directory's list of digests.
///
/// # Errors
/// As [`read_text`].
#[cfg(feature = "datafusion")]
pub(crate) fn read_sums(dir: &Path) -> Result<String> {
    read_text(&dir.join(SUMS), MAX_SUMS_BYTES)
}

/// The digest of each file in a list of digests, by its path with `/`; `None` if the list is damaged.
pub(crate) fn parse_sums(text: &str) -> Option<BTreeMap<String, String>> {
    let mut sums = BTreeMap::new();
    for line in text.lines() {
        let (digest, file) = line.split_once("  ")?;
        let is_new = sums.insert(file.to_owned(), digest.to_owned()).is_none();
        if !is_new {
            return None;
        }
    }
    Some(sums)
}

/// The content of a text file of at most `max_bytes`.
///
/// # Errors
/// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if it does not exist;
/// [`ErrorKind::Io`](crate::ErrorKind::Io) if it is larger, not a regular file (a pipe would block), not UTF-8, or cannot be
/// read.
pub(crate) fn read_text(path: &Path, max_bytes: u64) -> Result<String> {
    let failed = |error| Error::io(format!("reading `{}`", path.display()), error);
    let bytes = read_bytes(path, max_bytes).map_err(failed)?;
    String::from_utf8(bytes).map_err(|error| {
        failed(io::Error::new(
            io::ErrorKind::InvalidData,
            error.utf8_error(),
        ))
    })
}

/// The content of a file of at most `max_bytes`.
///
/// # Errors
/// As [`read_text`].
pub(crate) fn read_bytes(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    let invalid = |text: String| Err(io::Error::new(io::ErrorKind::InvalidData, text));
    if !fs::metadata(path)?.is_file() {
        return invalid("it is not a regular file".to_owned());
    }
    let mut bytes = Vec::new();
    let n_bytes = File::open(path)?
        .take(max_bytes + 1)
        .read_to_end(&mut bytes)?;
    if n_bytes as u64 > max_bytes {
        return invalid(format!("it has more than {max_bytes} bytes"));
    }
    Ok(bytes)
}

/// The size of all files below a directory in bytes, as far as they can be read.
pub(crate) fn n_bytes(dir: &Path) -> u64 {
    let sizes = files(dir).unwrap_or_default().into_iter();
    sizes
        .filter_map(|path| Some(fs::metadata(path).ok()?.len()))
        .sum()
}

/// The regular files below a directory, by their paths with `/`.
///
/// # Errors
/// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) naming an entry that is neither a file nor a directory, or a link
/// that leads out or to a directory; or if there are too many entries.
pub(crate) fn files_below(dir: &Path) -> Result<Vec<String>> {
    let name = |path: PathBuf| {
        let parts = path.strip_prefix(dir).unwrap_or(&path).components();
        let parts = parts.map(|part| part.as_os_str().to_string_lossy().into_owned());
        parts.collect::<Vec<String>>().join("/")
    };
    Ok(files(dir)?.into_iter().map(name).collect())
}

/// The SHA-256 of every file below a directory, by its path with `/`.
pub(super) fn digests(dir: &Path) -> Result<BTreeMap<String, String>> {
    let mut sums = BTreeMap::new();
    for name in files_below(dir)? {
        let path = dir.join(&name);
        let digest = digest_of(&path)
            .map_err(|error| Error::io(format!("reading `{}`", path.display()), error))?;
        sums.insert(name, digest);
    }
    Ok(sums)
}

/// The SHA-256 of a file.
pub(crate) fn digest_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&digest.finalize())),
            n => digest.update(&buffer[..n]),
        }
    }
}

fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut walk = Walk {
        root: dir,
        n_entries: 0,
        found: Vec::new(),
    };
    walk.enter(dir, 0)?;
    Ok(walk.found)
}

/// A walk through a directory tree.
struct Walk<'d> {
    root: &'d Path,
    n_entries: usize,
    found: Vec<PathBuf>,
}

impl Walk<'_> {
    fn enter(&mut self, dir: &Path, depth: usize) -> Result<()> {
        let root = self.root.display();
        let failed = |error| Error::io(format!("reading `{root}`"), error);
        if depth > MAX_DEPTH {
            return Err(Error::corrupt(format!(
                "`{root}` has directories more than {MAX_DEPTH} deep"
            )));
        }
        for entry in fs::read_dir(dir).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            self.n_entries += 1;
            if self.n_entries > MAX_ENTRIES {
                return Err(Error::corrupt(format!(
                    "`{root}` has more than {MAX_ENTRIES} files and directories"
                )));
            }
            let (path, kind) = (entry.path(), entry.file_type().map_err(failed)?);
            if kind.is_dir() {
                self.enter(&path, depth + 1)?;
            } else if kind.is_file() || kind.is_symlink() && self.leads_to_own_file(&path) {
                self.found.push(path);
            } else {
                let what = match kind.is_symlink() {
                    true => "a link that leads to no file within the directory",
                    false => "neither a file nor a directory",
                };
                return Err(Error::corrupt(format!("`{}` is {what}", path.display())));
            }
        }
        Ok(())
    }

    /// Returns true if a link leads to a regular file within the directory.
    fn leads_to_own_file(&self, link: &Path) -> bool {
        let (Ok(root), Ok(target)) = (self.root.canonicalize(), link.canonicalize()) else {
            return false;
        };
        target.starts_with(root) && target.is_file()
    }
}
