//! Writing to temporary names, renaming to the final ones, and sweeping leftovers of killed writers.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempDir};

use super::fault::{Step, step};
use super::verify::{digests, verify_dir};
use super::{SUMS, parent_of};
use crate::error::{Error, ErrorKind, Result};
use crate::fingerprint::Fingerprint;

pub(super) const PREFIX: &str = ".writing-";

/// The number of times a writer retries if its temporary entry was swept before it was locked.
const TRIES: usize = 16;

/// Writes a directory: `write` fills an empty temporary one, which is then synced and renamed to `place`.
///
/// # Errors
/// Those of `write`; [`ErrorKind::Io`] if the disk fails; [`ErrorKind::AlreadyExists`] if `place` exists. Then nothing
/// changes at `place`.
pub(crate) fn write_dir(place: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let aside = Aside::new(place)?;
    write(aside.path())?;
    aside.commit().map(drop)
}

/// A temporary directory that is being written. It is removed if it is dropped before [`Aside::commit`].
#[derive(Debug)]
pub(crate) struct Aside {
    dir: Locked<TempDir>,
    place: Place,
}

/// The destination of a directory.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// A path that does not exist yet; every user may read the directory.
    At(PathBuf),
    /// Within a directory, under the digest of the content. If that exists already, nothing is written: equal content is one
    /// directory.
    #[cfg_attr(
        not(feature = "datafusion"),
        expect(dead_code, reason = "only runs keep content by its digest")
    )]
    ByDigest(PathBuf, Readers),
}

/// The users who may read an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Readers {
    /// Its own user.
    #[default]
    User,
    /// The users of its group, too.
    #[cfg_attr(
        not(feature = "datafusion"),
        expect(dead_code, reason = "only roots are shared")
    )]
    Group,
    /// Every user.
    All,
}

impl Readers {
    /// The permissions of directories, which are those of files with the right to enter.
    #[cfg(unix)]
    fn permissions(self, is_dir: bool) -> fs::Permissions {
        use std::os::unix::fs::PermissionsExt;
        let (files, enter) = match self {
            Readers::User => (0o600, 0o100),
            Readers::Group => (0o640, 0o110),
            Readers::All => (0o644, 0o111),
        };
        fs::Permissions::from_mode(if is_dir { files | enter } else { files })
    }
}

impl Place {
    /// The parent directory.
    fn parent(&self) -> Result<&Path> {
        match self {
            Place::At(place) => parent_of(place),
            Place::ByDigest(dir, _) => Ok(dir),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Place::At(path) | Place::ByDigest(path, _) => path,
        }
    }
}

impl Aside {
    /// An empty directory beside `place`, after sweeping leftovers of killed writers there.
    pub(crate) fn new(place: &Path) -> Result<Self> {
        Aside::to(&Place::At(place.to_owned()))
    }

    /// An empty directory for a place, after sweeping leftovers of killed writers in its parent.
    pub(crate) fn to(place: &Place) -> Result<Self> {
        let parent = place.parent()?;
        let failed = |error| Error::io(format!("writing `{}`", place.path().display()), error);
        match place {
            Place::At(_) => fs::create_dir_all(parent),
            Place::ByDigest(_, readers) => create_dir(parent, *readers),
        }
        .map_err(failed)?;
        sweep(parent);
        let dir = Locked::dir_in(parent, PREFIX).map_err(failed)?;
        #[cfg(unix)]
        if let Place::ByDigest(_, readers) = place {
            fs::set_permissions(dir.entry.path(), readers.permissions(true)).map_err(failed)?;
        }
        Ok(Aside {
            dir,
            place: place.clone(),
        })
    }

    /// The directory to write to.
    pub(crate) fn path(&self) -> &Path {
        self.dir.entry.path()
    }

    /// Writes the digests, syncs, renames the directory to its place, and returns the place.
    pub(crate) fn commit(self) -> Result<PathBuf> {
        let shown = self.place.path().to_owned();
        let failed = |error| Error::io(format!("writing `{}`", shown.display()), error);
        let sums = digests(self.path())?;
        let text: String = sums
            .iter()
            .map(|(file, digest)| format!("{digest}  {file}\n"))
            .collect();
        let place = match &self.place {
            Place::At(place) => place.clone(),
            Place::ByDigest(dir, _) => {
                let place = dir.join(Fingerprint::of_bytes(&text).as_str());
                if place.exists() {
                    match verify_dir(&place) {
                        Ok(()) => return Ok(place),
                        // A damaged directory is replaced.
                        Err(error) if error.kind() == ErrorKind::Corrupt => remove_dir(&place)?,
                        Err(error) => return Err(error),
                    }
                }
                place
            }
        };
        fs::write(self.path().join(SUMS), text).map_err(failed)?;
        sync_tree(self.path()).map_err(failed)?;
        // Renaming would silently replace an empty directory.
        if place.exists() {
            return match self.place {
                Place::At(_) => Err(already_there(&place)),
                // Another run wrote the same content in between.
                Place::ByDigest(..) => Ok(place),
            };
        }
        // Servers of other users read published directories.
        #[cfg(unix)]
        if let Place::At(_) = self.place {
            fs::set_permissions(self.path(), Readers::All.permissions(true)).map_err(failed)?;
        }
        step(Step::Name, self.path()).map_err(failed)?;
        match fs::rename(self.path(), &place) {
            Ok(()) => {}
            Err(error) if is_there(&error) => match self.place {
                Place::At(_) => return Err(already_there(&place)),
                Place::ByDigest(..) => return Ok(place),
            },
            Err(error) => return Err(failed(error)),
        }
        // It was renamed: there is nothing to remove.
        let _ = self.dir.entry.keep();
        step(Step::SyncName, &place).map_err(failed)?;
        sync_dir(parent_of(&place)?).map_err(failed)?;
        Ok(place)
    }
}

fn is_there(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty
    )
}

fn already_there(place: &Path) -> Error {
    let message = format!("`{}` exists already", place.display());
    Error::new(ErrorKind::AlreadyExists, message)
}

/// Creates a directory and its parents.
pub(crate) fn create_dir(dir: &Path, readers: Readers) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
        builder.mode(readers.permissions(true).mode());
    }
    #[cfg(not(unix))]
    let _ = readers;
    builder.create(dir)
}

/// Writes a temporary file and renames it to its place: readers see the old content or the new one.
///
/// # Errors
/// [`ErrorKind::Io`] if it cannot be written; then the old content stays.
pub(crate) fn write_file(place: &Path, text: &str) -> Result<()> {
    write_file_for(place, text.as_bytes(), Readers::All)
}

/// As [`write_file`], for some readers.
///
/// # Errors
/// As [`write_file`].
pub(crate) fn write_file_for(place: &Path, content: &[u8], readers: Readers) -> Result<()> {
    let write = || {
        let parent = parent_of(place).map_err(io::Error::other)?;
        let mut file = Locked::file_in(parent)?.entry;
        file.write_all(content)?;
        #[cfg(unix)]
        file.as_file().set_permissions(readers.permissions(false))?;
        #[cfg(not(unix))]
        let _ = readers;
        step(Step::Sync, file.path())?;
        file.as_file().sync_all()?;
        step(Step::Name, file.path())?;
        let is_new = !place.exists();
        file.persist(place).map_err(|error| error.error)?;
        // Readers of a replaced file may see the old content or the new one.
        step(if is_new { Step::SyncName } else { Step::Sync }, place)?;
        sync_dir(parent)
    };
    write().map_err(|error| Error::io(format!("writing `{}`", place.display()), error))
}

/// Removes a file.
///
/// # Errors
/// [`ErrorKind::Io`] if it cannot be removed. A missing file is no error.
#[cfg(feature = "datafusion")]
pub(crate) fn remove_file(path: &Path) -> Result<()> {
    let removed = step(Step::Remove, path).and_then(|()| fs::remove_file(path));
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io(format!("removing `{}`", path.display()), error))
        }
        _ => Ok(()),
    }
}

/// Removes a directory: it disappears for readers at once, before its files are removed.
///
/// # Errors
/// [`ErrorKind::Io`] if it cannot be removed; [`ErrorKind::NotFound`] if it does not exist.
pub(crate) fn remove_dir(dir: &Path) -> Result<()> {
    let remove = || {
        let parent = parent_of(dir).map_err(io::Error::other)?;
        let aside = Locked::dir_in(parent, PREFIX)?;
        step(Step::Remove, dir)?;
        fs::rename(dir, aside.entry.path().join("removed"))?;
        step(Step::Remove, dir)?;
        aside.entry.close()
    };
    remove().map_err(|error| Error::io(format!("removing `{}`", dir.display()), error))
}

/// Removes the leftovers of dead writers in a directory, which are those with a free lock, and returns their number. Entries
/// that cannot be locked or removed are left.
pub(crate) fn sweep(dir: &Path) -> usize {
    sweep_of(dir, PREFIX)
}

fn sweep_of(dir: &Path, prefix: &str) -> usize {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let left = entries.filter(|entry| {
        let name = entry.file_name();
        name.to_str().is_some_and(|name| name.starts_with(prefix))
    });
    left.filter(|entry| {
        let path = entry.path();
        let Ok(kind) = entry.file_type() else {
            return false;
        };
        // Nothing else is opened: it may block or lead elsewhere.
        if !kind.is_dir() && !kind.is_file() {
            return false;
        }
        let Ok(lock) = File::open(&path) else {
            return false;
        };
        if lock.try_lock().is_err() {
            return false;
        }
        let removed = match kind.is_dir() {
            true => fs::remove_dir_all(&path),
            false => fs::remove_file(&path),
        };
        removed.is_ok()
    })
    .count()
}

/// A temporary entry with a lock that shows others that its writer is alive.
#[derive(Debug)]
struct Locked<E> {
    entry: E,
    /// `None` if the file system has no locks; then entries are not swept either.
    _lock: Option<File>,
}

impl Locked<TempDir> {
    fn dir_in(parent: &Path, prefix: &str) -> io::Result<Self> {
        locked(|| {
            let mut builder = tempfile::Builder::new();
            let dir = builder.prefix(prefix).tempdir_in(parent)?;
            let lock = File::open(dir.path()).ok();
            Ok((dir, lock))
        })
    }
}

impl Locked<NamedTempFile> {
    fn file_in(parent: &Path) -> io::Result<Self> {
        locked(|| {
            let file = tempfile::Builder::new()
                .prefix(PREFIX)
                .tempfile_in(parent)?;
            let lock = file.as_file().try_clone().ok();
            Ok((file, lock))
        })
    }
}

/// Creates an entry and locks it, again if it was swept in between.
fn locked<E: AsRef<Path>>(
    make: impl Fn() -> io::Result<(E, Option<File>)>,
) -> io::Result<Locked<E>> {
    let mut tries = 0;
    loop {
        let (entry, lock) = make()?;
        let lock = lock.filter(|lock| match lock.try_lock() {
            Ok(()) => true,
            // A sweeper holds it and removes the entry.
            Err(TryLockError::WouldBlock) => lock.lock().is_ok(),
            Err(TryLockError::Error(_)) => false,
        });
        tries += 1;
        // Without a lock it may have been swept before it was opened.
        if entry.as_ref().exists() || tries == TRIES {
            return Ok(Locked { entry, _lock: lock });
        }
    }
}

/// A temporary directory of a run. It is removed when it is dropped, or by a later run if the process was killed.
#[cfg(feature = "datafusion")]
#[derive(Debug)]
pub(crate) struct Scratch(Locked<TempDir>);

#[cfg(feature = "datafusion")]
impl Scratch {
    const PREFIX: &str = ".fourfold-scratch-";

    /// An empty one in the system's temporary directory, after removing those of killed runs.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if it cannot be created.
    pub(crate) fn new() -> Result<Self> {
        let parent = std::env::temp_dir();
        sweep_of(&parent, Scratch::PREFIX);
        let dir = Locked::dir_in(&parent, Scratch::PREFIX);
        let failed = |error| Error::io("making a temporary directory", error);
        dir.map(Scratch).map_err(failed)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.entry.path()
    }
}

fn sync_tree(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            sync_tree(&path)?;
        } else {
            step(Step::Sync, &path)?;
            File::open(&path)?.sync_all()?;
        }
    }
    step(Step::Sync, dir)?;
    sync_dir(dir)
}

/// Syncs the entries of a directory.
fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
