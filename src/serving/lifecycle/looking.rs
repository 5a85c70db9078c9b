//! Looking at the directory of every model, so that one that blocks (a mount that is dead) holds up no other.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::directory::{MAX_CONTROL_BYTES, control_of};
use super::{Control, Found, FoundModel, FoundVersion};
use crate::error::{Error, ErrorKind, Result, chain};
use crate::store;

/// The time after which the other models are polled without one whose directory does not answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The number of polls between sweeps of directories that killed writers have left.
const SWEEP_EVERY: u64 = 60;

/// The copy of the last control file that was read and understood, for a start when the file itself cannot be.
const LAST: &str = ".serving.last.json";

/// State of a repository's models from one poll to the next.
#[derive(Debug, Default)]
pub(crate) struct Looking {
    /// Models whose directories have not answered, and since when. A thread waits for each.
    blocked: Mutex<BTreeMap<String, Instant>>,
    /// The last readable control of each model; `None` where there was no file.
    understood: Mutex<BTreeMap<String, Option<Control>>>,
    n_polls: Mutex<u64>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The lookup of one model; `None` where its name is not valid for a model.
type Look = dyn Fn(&str) -> Result<Option<Found>> + Send + Sync;

type Looked = Receiver<(String, Result<Option<Found>>)>;

/// A result of a polling thread, unless it is too late.
struct Walk {
    sender: Sender<(String, Result<Option<Found>>)>,
    is_left: Mutex<bool>,
}

impl Looking {
    /// Returns `true` if this poll also sweeps.
    pub(super) fn sweeps(&self) -> bool {
        let mut n_polls = lock(&self.n_polls);
        *n_polls += 1;
        (*n_polls - 1).is_multiple_of(SWEEP_EVERY)
    }

    /// Looks at each model, on a thread that is left behind where one blocks.
    pub(super) fn all(self: &Arc<Self>, names: Vec<String>, look: &Arc<Look>) -> Vec<FoundModel> {
        self.all_within(PATIENCE, names, look)
    }

    fn all_within(
        self: &Arc<Self>,
        patience: Duration,
        names: Vec<String>,
        look: &Arc<Look>,
    ) -> Vec<FoundModel> {
        let mut found = Vec::with_capacity(names.len());
        let mut left = Vec::with_capacity(names.len());
        {
            let blocked = lock(&self.blocked);
            for name in names {
                match blocked.get(&name) {
                    Some(since) => found.push(FoundModel::new(name, Err(blocks(since.elapsed())))),
                    None => left.push(name),
                }
            }
        }
        while !left.is_empty() {
            let Some((walk, receiver)) = self.walk(left.clone(), look) else {
                // Without a thread it is looked at here.
                let models = left.iter().filter_map(|name| {
                    let model = look(name).transpose()?;
                    Some(FoundModel::new(name.clone(), model))
                });
                found.extend(models);
                return found;
            };
            let before = left.len();
            while let Some(name) = left.first() {
                match self.next_of(&walk, &receiver, name, patience) {
                    Some((name, Ok(None))) => drop(name),
                    Some((name, Ok(Some(model)))) => found.push(FoundModel::new(name, Ok(model))),
                    Some((name, Err(error))) => found.push(FoundModel::new(name, Err(error))),
                    None => break,
                }
                left.remove(0);
            }
            if !left.is_empty() {
                let name = left.remove(0);
                found.push(FoundModel::new(name, Err(blocks(patience))));
            }
            debug_assert!(left.len() < before, "each round makes progress");
        }
        found
    }

    /// Starts a thread that looks at models, one after the other; `None` if it cannot be started.
    fn walk(self: &Arc<Self>, names: Vec<String>, look: &Arc<Look>) -> Option<(Arc<Walk>, Looked)> {
        let (sender, receiver) = channel();
        let walk = Arc::new(Walk {
            sender,
            is_left: Mutex::new(false),
        });
        let (walking, looking, look) = (Arc::clone(&walk), Arc::clone(self), Arc::clone(look));
        let run = move || {
            for name in names {
                let found = look(&name);
                let is_left = lock(&walking.is_left);
                if *is_left {
                    lock(&looking.blocked).remove(&name);
                    return;
                }
                // Under the lock: a caller that gives up checks for a result once more.
                if walking.sender.send((name, found)).is_err() {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("fourfold-look".to_owned());
        thread.spawn(run).ok()?;
        Some((walk, receiver))
    }

    /// The result for the next model; `None` if its directory blocks.
    fn next_of(
        &self,
        walk: &Walk,
        receiver: &Looked,
        name: &str,
        patience: Duration,
    ) -> Option<(String, Result<Option<Found>>)> {
        match receiver.recv_timeout(patience) {
            Ok(found) => return Some(found),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
        let mut is_left = lock(&walk.is_left);
        if let Ok(found) = receiver.try_recv() {
            return Some(found);
        }
        *is_left = true;
        lock(&self.blocked).insert(name.to_owned(), Instant::now());
        None
    }

    /// A model with its versions and its control as it was read. Where that could not be read or understood, the last one
    /// that could stands in, with a warning; `dir` is where a copy of it is kept.
    ///
    /// # Errors
    /// The reason why it could not be read, if there was none before.
    pub(super) fn found(
        &self,
        name: &str,
        dir: &Path,
        versions: Vec<FoundVersion>,
        control: Result<Option<Control>>,
    ) -> Result<Found> {
        match control {
            Ok(control) => {
                self.remember(name, dir, control.clone());
                Ok(Found::new(versions, control.unwrap_or_default()))
            }
            Err(error) => match self.last(name, dir) {
                Some(control) => Ok(Found::new(versions, control).with_warning(chain(&error))),
                None => Err(error),
            },
        }
    }

    fn remember(&self, name: &str, dir: &Path, control: Option<Control>) {
        let mut understood = lock(&self.understood);
        if understood.get(name) == Some(&control) {
            return;
        }
        let kept = match &control {
            Some(control) => {
                let is_there = read(dir, LAST).is_ok_and(|last| last.as_ref() == Some(control));
                match is_there {
                    true => Ok(()),
                    false => keep(dir, control),
                }
            }
            None => match std::fs::remove_file(dir.join(LAST)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(Error::io("removing it", error))
                }
                _ => Ok(()),
            },
        };
        // A server may have no right to write here; then it has what it remembers.
        if let Err(error) = kept {
            tracing::debug!(
                model = name,
                ?error,
                "the control file cannot be kept for a restart"
            );
        }
        understood.insert(name.to_owned(), control);
    }

    fn last(&self, name: &str, dir: &Path) -> Option<Control> {
        if let Some(control) = lock(&self.understood).get(name) {
            return Some(control.clone().unwrap_or_default());
        }
        read(dir, LAST).ok().flatten()
    }
}

fn keep(dir: &Path, control: &Control) -> Result<()> {
    let text = control.to_json()?;
    // The directory in a store's cache may not exist before the first version.
    if !dir.is_dir() {
        std::fs::create_dir(dir).map_err(|error| Error::io("making its directory", error))?;
    }
    store::write_file(&dir.join(LAST), &text)
}

fn blocks(time: Duration) -> Error {
    Error::new(
        ErrorKind::DeadlineExceeded,
        format!(
            "the directory has not answered for {} s",
            time.as_secs().max(1)
        ),
    )
}

/// A file of a model's directory; `None` if it does not exist.
pub(super) fn read(dir: &Path, file: &str) -> Result<Option<Control>> {
    let path = dir.join(file);
    match store::read_text(&path, MAX_CONTROL_BYTES) {
        Ok(text) => control_of(&text, path.display()).map(Some),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(50);

    #[test]
    fn a_directory_that_blocks_holds_up_no_other() {
        let looking = Arc::<Looking>::default();
        let (go, wait) = channel::<()>();
        let wait = Mutex::new(wait);
        let look: Arc<Look> = Arc::new(move |name: &str| {
            if name == "b" {
                let _ = lock(&wait).recv();
            }
            Ok((name != "not a model").then(Found::default))
        });
        let names = || ["a", "b", "c", "not a model"].map(str::to_owned).to_vec();
        let good = |found: &[FoundModel]| -> Vec<(String, bool)> {
            let mut good: Vec<_> = found
                .iter()
                .map(|model| (model.name().to_owned(), model.found().is_ok()))
                .collect();
            good.sort();
            good
        };
        let some = [("a", true), ("b", false), ("c", true)];
        let some = some.map(|(name, is_good)| (name.to_owned(), is_good));
        // The second time it is not waited for.
        for _ in 0..2 {
            let found = looking.all_within(SHORT, names(), &look);
            assert_eq!(good(&found), some);
            let blocked = found.iter().find(|model| model.name() == "b").unwrap();
            let error = blocked.found().unwrap_err();
            assert!(error.to_string().contains("has not answered"), "{error}");
        }
        assert_eq!(lock(&looking.blocked).len(), 1);
        drop(go);
        while !lock(&looking.blocked).is_empty() {
            thread::yield_now();
        }
        let found = looking.all_within(Duration::from_secs(60), names(), &look);
        assert!(found.iter().all(|model| model.found().is_ok()));
        assert_eq!(found.len(), 3);
    }
}
