//! Waiting for models that are loaded on request.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::admission::by_deadline;
use super::stop::deadline_exceeded;
use super::{Call, Inner};
use crate::error::{Error, ErrorKind, Result};
use crate::serving::lifecycle::{Route, VersionChoice, VersionRef};

/// The time that requests without a timeout wait for a load.
const LONGEST: Duration = Duration::from_secs(600);

/// The versions that requests wait for. However many requests wait for a version, one thread waits for its manager.
#[derive(Debug, Default)]
pub(super) struct Loading {
    waits: Mutex<HashMap<Wanted, Arc<Wait>>>,
}

#[derive(Debug)]
struct Wait {
    /// Its sender is dropped when the wait is over.
    over: watch::Receiver<()>,
    n_waiting: AtomicUsize,
}

/// Counts a queued request as long as it lives.
struct Waiting(Arc<Wait>);

impl Waiting {
    fn new(wait: &Arc<Wait>) -> Self {
        wait.n_waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(Arc::clone(wait))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.n_waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Ends a wait when it is dropped, for whatever reason.
struct End {
    core: Arc<Inner>,
    wanted: Wanted,
    _over: watch::Sender<()>,
}

impl Drop for End {
    fn drop(&mut self) {
        self.core.loading.lock().remove(&self.wanted);
    }
}

/// A model, and which version of it.
type Wanted = (String, Option<VersionRef>);

impl Loading {
    fn lock(&self) -> MutexGuard<'_, HashMap<Wanted, Arc<Wait>>> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a version loaded and waits until it answers or fails to.
    pub(super) async fn wait(
        &self,
        core: &Arc<Inner>,
        call: &Call<'_>,
        started: Instant,
    ) -> Result<Route> {
        let limits = core.settings.limits(call.model);
        let timeout = limits.longest().unwrap_or(LONGEST);
        let end = started.checked_add(timeout);
        let end = call.deadline.into_iter().chain(end).min();
        let waiting = self.join(core, call, limits.max_queue, timeout)?;
        let mut over = waiting.0.over.clone();
        let waited = by_deadline(end, async { while over.changed().await.is_ok() {} }).await;
        if waited.is_none() {
            return Err(deadline_exceeded(call.model));
        }
        core.manager
            .route(call.model, call.version, call.routing_key)
    }

    fn join(
        &self,
        core: &Arc<Inner>,
        call: &Call<'_>,
        most: usize,
        timeout: Duration,
    ) -> Result<Waiting> {
        let version = match call.version {
            VersionChoice::Default => None,
            VersionChoice::Number(version) => Some(VersionRef::Number(version)),
            VersionChoice::Label(label) => Some(VersionRef::Label(label.to_owned())),
        };
        let wanted = (call.model.to_owned(), version);
        let mut waits = self.lock();
        if let Some(wait) = waits.get(&wanted) {
            if wait.n_waiting.load(Ordering::Relaxed) >= most.max(1) {
                return Err(Error::new(
                    ErrorKind::ResourceExhausted,
                    format!(
                        "model `{}` is loading and at capacity: {most} requests are queued",
                        call.model
                    ),
                ));
            }
            return Ok(Waiting::new(wait));
        }
        let (end, over) = watch::channel(());
        let wait = Arc::new(Wait {
            over,
            n_waiting: AtomicUsize::new(0),
        });
        let waiting = Waiting::new(&wait);
        waits.insert(wanted.clone(), wait);
        drop(waits);
        let end = End {
            core: Arc::clone(core),
            wanted,
            _over: end,
        };
        // Where no thread can be started, the job is dropped, and with it the wait.
        core.threads.run(move || {
            let (model, version) = &end.wanted;
            let version = version
                .as_ref()
                .map_or(VersionChoice::Default, VersionRef::as_choice);
            let answer = end.core.manager.wait_for(model, version, timeout);
            if let Err(error) = answer {
                tracing::debug!(%model, ?error, "the task that loads a model failed");
            }
        })?;
        Ok(waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Loaders;
    use crate::serving::{Manager, ModelRepository, ServerCore};

    #[test]
    fn a_wait_whose_thread_panics_is_over_and_others_are_not() {
        let models = tempfile::tempdir().unwrap();
        let manager = Manager::open(ModelRepository::at(models.path()), Loaders::default());
        let core = ServerCore::new(Arc::new(manager.unwrap())).inner;
        let (_other, over) = watch::channel(());
        let wait = Arc::new(Wait {
            over,
            n_waiting: AtomicUsize::new(0),
        });
        let wanted = |model: &str| (model.to_owned(), None);
        for model in ["one", "other"] {
            core.loading.lock().insert(wanted(model), Arc::clone(&wait));
        }
        let end = End {
            core: Arc::clone(&core),
            wanted: wanted("one"),
            _over: watch::channel(()).0,
        };
        let panics = std::thread::spawn(move || {
            let _end = end;
            panic!("a test's panic");
        });
        panics.join().unwrap_err();
        let waits = core.loading.lock();
        assert_eq!(waits.keys().collect::<Vec<_>>(), [&wanted("other")]);
    }
}
