//! Directories that are there whole or not at all.
//!
//! A directory is written aside under a name that starts with a dot, every file is synced to the disk, its
//! digests are listed in `SHA256SUMS` (the format of the `sha256sum` program, so `sha256sum -c SHA256SUMS` checks
//! one by hand), and only then is it renamed to its place. A reader therefore sees all of it or nothing; what an
//! interrupted writer leaves behind starts with a dot, and nothing here reads that.
//!
//! Architecture invariant: nothing of this crate that others read is written in place. Held by
//! `tests/it/saving.rs`, which interrupts writers and flips bytes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind, Result};
use crate::fingerprint::hex;

/// The file that lists the digests.
pub(crate) const SUMS: &str = "SHA256SUMS";
const PREFIX: &str = ".writing-";

/// Writes a directory: `write` fills an empty one aside, which is then synced and renamed to `place`.
///
/// # Errors
/// Those of `write`; [`ErrorKind::Io`] if the disk fails; [`ErrorKind::AlreadyExists`] if `place` is there. Nothing
/// is changed at `place` then.
pub(crate) fn write_dir(place: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let aside = Aside::new(place)?;
    write(aside.path())?;
    aside.commit()
}

/// A directory that is being written aside. Dropped before [`Aside::commit`], it is gone.
#[derive(Debug)]
pub(crate) struct Aside {
    dir: tempfile::TempDir,
    place: PathBuf,
}

impl Aside {
    /// An empty directory beside `place`.
    pub(crate) fn new(place: &Path) -> Result<Self> {
        let parent = parent_of(place)?;
        let failed = |error| Error::io(format!("writing `{}`", place.display()), error);
        fs::create_dir_all(parent).map_err(failed)?;
        let dir = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(parent)
            .map_err(failed)?;
        Ok(Aside {
            dir,
            place: place.to_owned(),
        })
    }

    /// Where to write.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Lists the digests, syncs, and moves it to its place.
    pub(crate) fn commit(self) -> Result<()> {
        let place = &self.place;
        let failed = |error| Error::io(format!("writing `{}`", place.display()), error);
        let sums = digests(self.path())?;
        let text: String = sums
            .iter()
            .map(|(file, digest)| format!("{digest}  {file}\n"))
            .collect();
        fs::write(self.path().join(SUMS), text).map_err(failed)?;
        sync_tree(self.path()).map_err(failed)?;
        // Renaming would replace an empty directory without a word.
        if place.exists() {
            return Err(Error::new(
                ErrorKind::AlreadyExists,
                format!("`{}` is there already", place.display()),
            ));
        }
        // Temporary directories are private to their user; what is published is read by servers of other users.
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(self.path(), fs::Permissions::from_mode(0o755)).map_err(failed)?;
        }
        fs::rename(self.path(), place).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty => Error::new(
                ErrorKind::AlreadyExists,
                format!("`{}` is there already", place.display()),
            ),
            _ => failed(error),
        })?;
        // It has moved: there is nothing left to remove.
        let _ = self.dir.keep();
        File::open(parent_of(place)?)
            .and_then(|dir| dir.sync_all())
            .map_err(failed)
    }
}

/// Checks a directory against its digests.
///
/// # Errors
/// [`ErrorKind::Corrupt`] naming the first file that is changed, missing or not listed;
/// [`ErrorKind::NotFound`] if there is no such directory.
pub(crate) fn verify_dir(dir: &Path) -> Result<()> {
    let sums = fs::read_to_string(dir.join(SUMS)).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound if dir.is_dir() => Error::corrupt(format!(
            "`{}` has no `{SUMS}`: it was not written whole",
            dir.display()
        )),
        io::ErrorKind::InvalidData => {
            Error::corrupt(format!("`{}` is damaged", dir.join(SUMS).display()))
        }
        _ => Error::io(format!("reading `{}`", dir.display()), error),
    })?;
    let mut found = digests(dir)?;
    found.remove(SUMS);
    let sums = parse_sums(&sums)
        .ok_or_else(|| Error::corrupt(format!("`{}` is damaged", dir.join(SUMS).display())))?;
    for (file, digest) in &sums {
        match found.remove(file) {
            Some(is) if is == *digest => {}
            Some(_) => {
                return Err(Error::corrupt(format!(
                    "`{}` was changed after it was written: its digest is not the listed one",
                    dir.join(file).display()
                )));
            }
            None => {
                return Err(Error::corrupt(format!(
                    "`{}` is missing",
                    dir.join(file).display()
                )));
            }
        }
    }
    match found.keys().next() {
        Some(file) => Err(Error::corrupt(format!(
            "`{}` is not listed in `{SUMS}`",
            dir.join(file).display()
        ))),
        None => Ok(()),
    }
}

/// The digest of each file, by its path with `/`, as a list of digests says; `None` if that is damaged.
pub(crate) fn parse_sums(text: &str) -> Option<BTreeMap<String, String>> {
    let lines = text.lines().map(|line| line.split_once("  "));
    lines
        .map(|line| line.map(|(digest, file)| (file.to_owned(), digest.to_owned())))
        .collect()
}

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
/// [`ErrorKind::NotFound`] if there is no such directory.
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

/// The size of all files below a directory in bytes, as far as they can be read.
pub(crate) fn n_bytes(dir: &Path) -> u64 {
    let sizes = files(dir).unwrap_or_default().into_iter();
    sizes
        .filter_map(|path| Some(fs::metadata(path).ok()?.len()))
        .sum()
}

/// Writes a file aside and renames it to its place: readers see the old text or the new one.
///
/// # Errors
/// [`ErrorKind::Io`] if it cannot be written; the old text stays then.
pub(crate) fn write_file(place: &Path, text: &str) -> Result<()> {
    let write = || {
        let parent = parent_of(place).map_err(io::Error::other)?;
        let mut file = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempfile_in(parent)?;
        file.write_all(text.as_bytes())?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let readable = fs::Permissions::from_mode(0o644);
            file.as_file().set_permissions(readable)?;
        }
        file.as_file().sync_all()?;
        file.persist(place).map_err(|error| error.error)?;
        File::open(parent)?.sync_all()
    };
    write().map_err(|error| Error::io(format!("writing `{}`", place.display()), error))
}

/// Removes a directory: it is gone for readers at once, its files follow.
///
/// # Errors
/// [`ErrorKind::Io`] if it cannot be removed; [`ErrorKind::NotFound`] if it is not there.
pub(crate) fn remove_dir(dir: &Path) -> Result<()> {
    let remove = || {
        let parent = parent_of(dir).map_err(io::Error::other)?;
        let aside = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
        fs::rename(dir, aside.path().join("removed"))?;
        aside.close()
    };
    remove().map_err(|error| Error::io(format!("removing `{}`", dir.display()), error))
}

/// The names of the sub-directories that do not start with a dot, sorted.
pub(crate) fn sub_directories(dir: &Path) -> Result<Vec<String>> {
    let failed = |error| Error::io(format!("reading directory `{}`", dir.display()), error);
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if let Ok(name) = entry.file_name().into_string()
            && !name.starts_with('.')
            && entry.path().is_dir()
        {
            names.push(name);
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

/// The files below a directory, by their paths with `/`.
pub(crate) fn files_below(dir: &Path) -> Result<Vec<String>> {
    let found =
        files(dir).map_err(|error| Error::io(format!("reading `{}`", dir.display()), error))?;
    let name = |path: PathBuf| {
        let parts = path.strip_prefix(dir).unwrap_or(&path).components();
        let parts = parts.map(|part| part.as_os_str().to_string_lossy().into_owned());
        parts.collect::<Vec<String>>().join("/")
    };
    Ok(found.into_iter().map(name).collect())
}

/// The SHA-256 of every file below a directory, by its path with `/`.
fn digests(dir: &Path) -> Result<BTreeMap<String, String>> {
    let mut sums = BTreeMap::new();
    for name in files_below(dir)? {
        let path = dir.join(&name);
        let digest = digest_of(&path)
            .map_err(|error| Error::io(format!("reading `{}`", path.display()), error))?;
        sums.insert(name, digest);
    }
    Ok(sums)
}

fn digest_of(path: &Path) -> io::Result<String> {
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

fn files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    Ok(found)
}

fn sync_tree(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            sync_tree(&path)?;
        } else {
            File::open(&path)?.sync_all()?;
        }
    }
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let place = root.path().join("model");
        let result = write_dir(&place, |dir| {
            fs::write(dir.join("half"), "x").unwrap();
            Err(Error::model("no"))
        });
        assert!(result.is_err());
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn every_flipped_byte_is_found() {
        let root = tempfile::tempdir().unwrap();
        let place = root.path().join("1");
        write_dir(&place, |dir| {
            fs::create_dir(dir.join("sub")).unwrap();
            fs::write(dir.join("sub").join("a"), "abc").unwrap();
            fs::write(dir.join("b"), "xyz").unwrap();
            Ok(())
        })
        .unwrap();
        verify_dir(&place).unwrap();
        for file in ["sub/a", "b", SUMS] {
            let path = place.join(file);
            let good = fs::read(&path).unwrap();
            for at in 0..good.len() {
                let mut bad = good.clone();
                bad[at] ^= 1;
                fs::write(&path, &bad).unwrap();
                assert_eq!(
                    verify_dir(&place).unwrap_err().kind(),
                    ErrorKind::Corrupt,
                    "{file} {at}"
                );
            }
            fs::write(&path, &good).unwrap();
        }
        assert_eq!(
            version_dirs(root.path()).unwrap().into_keys().next(),
            Some(1)
        );
        assert!(write_dir(&place, |_| Ok(())).is_err());
    }

    #[test]
    fn numbers_are_versions_however_they_are_padded() {
        let root = tempfile::tempdir().unwrap();
        let made = [
            "00017",
            "30",
            "0001",
            "001",
            "00001",
            "20170111173521",
            "+5",
            "-5",
            "1.0",
            "x",
            ".7",
            "99999999999999999999",
        ];
        for name in made {
            fs::create_dir(root.path().join(name)).unwrap();
        }
        fs::write(root.path().join("40"), "a file").unwrap();
        let found = version_dirs(root.path()).unwrap();
        let names = ["001", "00017", "30", "20170111173521"].map(|name| root.path().join(name));
        assert_eq!(
            found.keys().copied().collect::<Vec<_>>(),
            [1, 17, 30, 20_170_111_173_521]
        );
        assert_eq!(found.into_values().collect::<Vec<_>>(), names);
    }

    #[test]
    fn a_removed_directory_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let place = root.path().join("1");
        fs::create_dir(&place).unwrap();
        fs::write(place.join("a"), "abc").unwrap();
        assert_eq!(n_bytes(&place), 3);
        remove_dir(&place).unwrap();
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
        assert_eq!(remove_dir(&place).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }
}
