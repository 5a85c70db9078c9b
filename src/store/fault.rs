//! The steps after which a killed process leaves other files behind. In tests, a process can be stopped before any of
//! them.

use std::io;
use std::path::Path;

/// A step that changes what others see, or what a crash leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A directory gets its name.
    Publish,
    /// A file or a directory gets another name.
    Rename,
    /// Files or names are synced to the disk.
    Sync,
    /// What is no longer needed is removed.
    Remove,
}

/// Comes before each step.
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
    use std::path::PathBuf;
    use std::sync::{Mutex, PoisonError};

    use super::{Path, Step, io};

    /// Below this directory, the store stops before its `at`-th step, and does nothing any more after it: as if the
    /// process had been killed. What was not synced is lost.
    #[derive(Debug)]
    pub(crate) struct Fault(PathBuf);

    #[derive(Debug)]
    struct Armed {
        below: PathBuf,
        at: usize,
        seen: usize,
        /// Names that were given and not synced yet: from, to.
        steps: Vec<(Step, PathBuf)>,
    }

    static ARMED: Mutex<Vec<Armed>> = Mutex::new(Vec::new());

    impl Fault {
        pub(crate) fn at(below: &Path, at: usize) -> Self {
            let below = below.to_owned();
            let armed = Armed {
                below: below.clone(),
                at,
                seen: 0,
                steps: Vec::new(),
            };
            ARMED
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(armed);
            Fault(below)
        }

        /// Whether the process was stopped.
        pub(crate) fn has_stopped(&self) -> bool {
            let armed = ARMED.lock().unwrap_or_else(PoisonError::into_inner);
            let own = armed.iter().find(|armed| armed.below == self.0);
            own.is_some_and(|armed| armed.seen > armed.at)
        }

        /// The kinds of steps that were done.
        pub(crate) fn steps(&self) -> usize {
            let armed = ARMED.lock().unwrap_or_else(PoisonError::into_inner);
            let own = armed.iter().find(|armed| armed.below == self.0);
            own.map_or(0, |armed| armed.steps.len())
        }
    }

    impl Drop for Fault {
        fn drop(&mut self) {
            let mut armed = ARMED.lock().unwrap_or_else(PoisonError::into_inner);
            armed.retain(|armed| armed.below != self.0);
        }
    }

    pub(in super::super) fn step(step: Step, path: &Path) -> io::Result<()> {
        let mut armed = ARMED.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(own) = armed
            .iter_mut()
            .find(|armed| path.starts_with(&armed.below))
        else {
            return Ok(());
        };
        own.seen += 1;
        if own.seen > own.at {
            return Err(io::Error::other("the process was stopped"));
        }
        own.steps.push((step, path.to_owned()));
        Ok(())
    }
}
