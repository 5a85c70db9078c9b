//! The steps at which a crash can leave the store in another state. Tests stop a process before any of them.

use std::io;
use std::path::Path;

/// A step that changes what others see, or what remains after a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A file, or the entries of a directory, are synced to the disk.
    Sync,
    /// A temporary entry is renamed to its final name. The path is the temporary one.
    Name,
    /// A new name is synced to the disk.
    SyncName,
    /// An entry is removed.
    Remove,
}

/// Called before each step.
#[cfg(not(all(test, feature = "datafusion")))]
#[expect(
    clippy::unnecessary_wraps,
    reason = "steps fail in tests, where processes are stopped"
)]
pub(super) fn step(_step: Step, _path: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, feature = "datafusion"))]
pub(crate) use self::stopping::Fault;
#[cfg(all(test, feature = "datafusion"))]
pub(super) use self::stopping::step;

#[cfg(all(test, feature = "datafusion"))]
mod stopping {
    use std::fs::{self, File};
    use std::path::PathBuf;
    use std::sync::{Mutex, PoisonError};

    use super::super::aside::PREFIX;
    use super::{Path, Step, io};

    /// Stops the store below a directory before its step number `at` and at all later ones, as if the process had been killed.
    /// Unfinished entries are left behind, and content that was not synced is lost.
    #[derive(Debug)]
    pub(crate) struct Fault(PathBuf);

    #[derive(Debug)]
    struct Armed {
        below: PathBuf,
        at: usize,
        seen: usize,
        /// The error of the disk, if the process continues.
        fails: Option<io::ErrorKind>,
    }

    static ARMED: Mutex<Vec<Armed>> = Mutex::new(Vec::new());

    fn armed<T>(then: impl FnOnce(&mut Vec<Armed>) -> T) -> T {
        then(&mut ARMED.lock().unwrap_or_else(PoisonError::into_inner))
    }

    impl Fault {
        pub(crate) fn at(below: &Path, at: usize) -> Self {
            Fault::new(below, at, None)
        }

        /// Makes the disk fail from step number `at` on: it is full, or must not be written.
        pub(crate) fn failing(below: &Path, at: usize, as_what: io::ErrorKind) -> Self {
            Fault::new(below, at, Some(as_what))
        }

        fn new(below: &Path, at: usize, fails: Option<io::ErrorKind>) -> Self {
            let below = below.to_owned();
            armed(|all| {
                all.push(Armed {
                    below: below.clone(),
                    at,
                    seen: 0,
                    fails,
                });
            });
            Fault(below)
        }

        /// Returns true if the process was stopped or the disk failed.
        pub(crate) fn has_stopped(&self) -> bool {
            armed(|all| {
                let own = all.iter().find(|armed| armed.below == self.0);
                own.is_some_and(|armed| armed.seen > armed.at)
            })
        }
    }

    impl Drop for Fault {
        fn drop(&mut self) {
            armed(|all| all.retain(|armed| armed.below != self.0));
        }
    }

    pub(in super::super) fn step(step: Step, path: &Path) -> io::Result<()> {
        let (first, stopped, fails) = armed(|all| {
            let own = all.iter_mut().find(|armed| path.starts_with(&armed.below));
            own.map_or((false, false, None), |own| {
                own.seen += 1;
                (own.seen == own.at + 1, own.seen > own.at, own.fails)
            })
        });
        match (stopped, fails) {
            (false, _) => return Ok(()),
            (true, Some(kind)) => return Err(kind.into()),
            (true, None) => {}
        }
        if first {
            crash(step, path)?;
        }
        Err(io::Error::other("the process was stopped"))
    }

    /// Creates the state after a crash: the process does not clean up, and half of each unsynced file is lost.
    fn crash(step: Step, path: &Path) -> io::Result<()> {
        let is_aside = |path: &Path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(PREFIX)
        };
        if step == Step::SyncName {
            // The name was not synced: it is as if it had never been given.
            return fs::rename(path, path.with_file_name(format!("{PREFIX}lost")));
        }
        match path.ancestors().find(|path| is_aside(path)) {
            Some(aside) => leave(aside, &aside.with_file_name(format!("{PREFIX}left"))),
            None => Ok(()),
        }
    }

    fn leave(from: &Path, to: &Path) -> io::Result<()> {
        if !from.is_dir() {
            fs::copy(from, to)?;
            let bytes = fs::metadata(to)?.len();
            return File::options().write(true).open(to)?.set_len(bytes / 2);
        }
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            leave(&entry.path(), &to.join(entry.file_name()))?;
        }
        Ok(())
    }
}
