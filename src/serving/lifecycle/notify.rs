//! Watching a directory, so that a change is seen at once.

use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use notify::event::{Event, EventKind};
use notify::{RecursiveMode, Watcher};

use super::Watch;
use crate::error::{Error, ErrorKind, Result};

/// A change is reported when nothing else has changed for this long...
const QUIET: Duration = Duration::from_millis(20);
/// ...but after this long at the latest.
const LATEST: Duration = Duration::from_millis(200);

/// Calls `wake` when something below a directory has changed, once for changes that follow each other closely.
pub(super) fn watch(root: &Path, wake: Arc<dyn Fn() + Send + Sync>) -> Result<Watch> {
    let failed = |error: notify::Error| {
        let kind = match &error.kind {
            notify::ErrorKind::PathNotFound => ErrorKind::NotFound,
            _ => ErrorKind::Io,
        };
        Error::new(kind, format!("watching `{}`", root.display())).with_source(error)
    };
    let (sender, changes) = mpsc::channel();
    let below = root.to_owned();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        if event.map_or(true, |event| is_change(&below, &event)) {
            // Without a receiver, nothing is watched any more.
            let _ = sender.send(());
        }
    })
    .map_err(failed)?;
    watcher
        .watch(root, RecursiveMode::Recursive)
        .map_err(failed)?;
    let alive = Arc::new(());
    let watched = Arc::downgrade(&alive);
    thread::Builder::new()
        .name("fourfold-watch".to_owned())
        .spawn(move || tell(&changes, &watched, &*wake))
        .map_err(|error| Error::io("starting a thread that watches", error))?;
    Ok(Watch::new((alive, watcher)))
}

/// Reading is no change, nor is what happens under names that start with a dot: they are written aside, and renamed when
/// they are whole.
fn is_change(root: &Path, event: &Event) -> bool {
    let hidden = |path: &Path| {
        let below = path.strip_prefix(root).unwrap_or(Path::new(""));
        let mut parts = below.iter();
        parts.any(|part| part.to_string_lossy().starts_with('.'))
    };
    let is_access = matches!(event.kind, EventKind::Access(_));
    event.need_rescan() || (!is_access && !event.paths.iter().all(|path| hidden(path)))
}

/// Ends when the watcher, and with it the sender, is dropped.
fn tell(changes: &Receiver<()>, watched: &Weak<()>, wake: &(dyn Fn() + Send + Sync)) {
    while changes.recv().is_ok() {
        let latest = Instant::now() + LATEST;
        loop {
            let left = latest.saturating_duration_since(Instant::now());
            match changes.recv_timeout(QUIET.min(left)) {
                Ok(()) if !left.is_zero() => {}
                Ok(()) | Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
        if watched.strong_count() > 0 {
            wake();
        }
    }
}
