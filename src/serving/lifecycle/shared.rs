//! State that a manager's threads share.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::registry::{Registry, Task};
use super::routes::{Routes, Table};
use super::warm_up::WarmUp;
use super::{Source, SourceAdapter, StateChange, StateListener, workers};
use crate::error::{Error, ErrorKind, Result, chain};

/// State that a manager's threads share: the registry behind a lock, and the table that lookups read without one.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) source: Arc<dyn Source>,
    pub(super) adapter: Arc<dyn SourceAdapter>,
    pub(super) warm_up: WarmUp,
    listeners: Vec<Arc<dyn StateListener>>,
    pub(super) table: ArcSwap<Table>,
    registry: Mutex<Registry>,
    /// Something in the registry has changed.
    changed: Condvar,
    /// Changes that listeners have not received yet.
    untold: Mutex<VecDeque<StateChange>>,
    telling: Mutex<()>,
    /// One poll at a time, so that an older answer does not replace a newer one.
    polling: Mutex<()>,
    /// The versions that the source knows to be in use.
    retained: Mutex<BTreeMap<Arc<str>, Vec<u64>>>,
    /// One operator of a model at a time.
    operating: Mutex<BTreeMap<Arc<str>, Arc<Mutex<()>>>>,
    signal: Mutex<Signal>,
    signalled: Condvar,
    started: Instant,
}

/// A poll that takes longer than this is spoken of.
const SLOW_POLL: Duration = Duration::from_secs(10);

/// Requests to the polling thread, and its answers.
#[derive(Debug, Default)]
struct Signal {
    /// The number of requested polls.
    n_asked: u64,
    /// The number of answered requests.
    n_answered: u64,
    /// The reason why the last poll failed.
    failure: Option<(ErrorKind, String)>,
    /// The start of the poll that is under way.
    polling_since: Option<Instant>,
    is_stopping: bool,
}

/// The deadline after a time from now; for a time that is too long for the clock, one that is never reached.
pub(super) fn until(time: Duration) -> Instant {
    const LONG: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);
    let now = Instant::now();
    now.checked_add(time).unwrap_or_else(|| now + LONG)
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic of a listener or a policy is caught; what it leaves is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(
        source: Arc<dyn Source>,
        adapter: Arc<dyn SourceAdapter>,
        warm_up: WarmUp,
        listeners: Vec<Arc<dyn StateListener>>,
        registry: Registry,
    ) -> Self {
        Shared {
            source,
            adapter,
            warm_up,
            listeners,
            table: ArcSwap::default(),
            registry: Mutex::new(registry),
            changed: Condvar::new(),
            untold: Mutex::default(),
            telling: Mutex::default(),
            polling: Mutex::default(),
            retained: Mutex::default(),
            operating: Mutex::default(),
            signal: Mutex::default(),
            signalled: Condvar::new(),
            started: Instant::now(),
        }
    }

    /// The milliseconds since the start, for the order of last use.
    pub(super) fn clock(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Changes the registry, and starts the tasks that follow from the change.
    pub(super) fn with<R>(self: &Arc<Self>, change: impl FnOnce(&mut Registry) -> R) -> R {
        let mut registry = lock(&self.registry);
        let answer = change(&mut registry);
        let mut tasks = registry.advance(Instant::now());
        self.publish(&mut registry);
        // Versions that have just left the table may be unused already.
        if !registry.is_stopping {
            tasks.extend(registry.reap());
        }
        drop(registry);
        self.changed.notify_all();
        for task in tasks {
            workers::start(self, task);
        }
        self.tell();
        answer
    }

    /// Requests versions that are loaded lazily, on behalf of a request: the work is done on a thread of the manager.
    pub(super) fn ask_for(&self, model: &str, versions: &[u64]) {
        let mut registry = lock(&self.registry);
        for version in versions {
            registry.demand(model, *version);
        }
        drop(registry);
        self.changed.notify_all();
    }

    /// Reads the registry.
    pub(super) fn read<R>(&self, read: impl FnOnce(&Registry) -> R) -> R {
        read(&lock(&self.registry))
    }

    fn publish(&self, registry: &mut Registry) {
        let models = std::mem::take(&mut registry.changes.models);
        if !models.is_empty() && !registry.is_stopping {
            let mut table = Table::clone(&self.table.load());
            for name in &models {
                let routes = registry
                    .models
                    .get(name)
                    .map(|model| Routes::of(model, registry.is_lazy()));
                table.set(name, routes);
            }
            self.table.store(Arc::new(table));
        }
        let changes = std::mem::take(&mut registry.changes.changes);
        lock(&self.untold).extend(changes);
    }

    /// Notifies the listeners, in order. On return every pending change has been delivered, by this thread or another.
    fn tell(&self) {
        std::thread_local! {
            static IS_TELLING: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
        }
        // A listener that makes a change itself is notified of it after it returns.
        if IS_TELLING.replace(true) {
            return;
        }
        let telling = lock(&self.telling);
        loop {
            let Some(change) = lock(&self.untold).pop_front() else {
                break;
            };
            for listener in &self.listeners {
                let told = catch_unwind(AssertUnwindSafe(|| listener.changed(&change)));
                if told.is_err() {
                    tracing::error!(model = &*change.model, "a state listener panicked");
                }
            }
        }
        drop(telling);
        IS_TELLING.set(false);
    }

    /// Waits until `ready` returns a value, at most until a time.
    pub(super) fn wait<R>(
        &self,
        until: Instant,
        mut ready: impl FnMut(&Registry) -> Option<R>,
    ) -> Option<R> {
        let mut registry = lock(&self.registry);
        let answer = loop {
            if let Some(answer) = ready(&registry) {
                break Some(answer);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || registry.is_stopping {
                break None;
            }
            registry = self.pause(registry, left);
        };
        drop(registry);
        self.tell();
        answer
    }

    fn pause<'r>(
        &self,
        registry: MutexGuard<'r, Registry>,
        at_most: Duration,
    ) -> MutexGuard<'r, Registry> {
        let paused = self.changed.wait_timeout(registry, at_most);
        paused.unwrap_or_else(PoisonError::into_inner).0
    }

    /// The lock for the settings of a model.
    pub(super) fn operating(&self, model: &str) -> Arc<Mutex<()>> {
        let mut all = lock(&self.operating);
        // No other caller can take one while the map is locked.
        all.retain(|_, operating| Arc::strong_count(operating) > 1);
        Arc::clone(all.entry(model.into()).or_default())
    }

    /// Polls the source on the polling thread, so that a source that hangs does not block callers for longer.
    pub(super) fn poll_within(&self, time: Duration) -> Result<()> {
        let until = until(time);
        let mut signal = lock(&self.signal);
        signal.n_asked += 1;
        let asked = signal.n_asked;
        self.signalled.notify_all();
        while signal.n_answered < asked {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || signal.is_stopping {
                return Err(Error::new(
                    ErrorKind::DeadlineExceeded,
                    format!("the source did not answer within {time:?}"),
                ));
            }
            let waited = self.signalled.wait_timeout(signal, left);
            signal = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        match &signal.failure {
            Some((kind, reason)) => Err(Error::new(*kind, reason.clone())),
            None => Ok(()),
        }
    }

    /// The reason why the models are not known: the last poll failed, or has not returned.
    pub(super) fn source_failure(&self) -> Option<String> {
        let signal = lock(&self.signal);
        let polling = signal.polling_since.map(|since| since.elapsed());
        if let Some(time) = polling.filter(|time| *time > SLOW_POLL) {
            return Some(format!(
                "the source has not answered for {} s",
                time.as_secs()
            ));
        }
        let (_, reason) = signal.failure.as_ref()?;
        Some(reason.clone())
    }

    /// Polls the source.
    pub(super) fn poll(self: &Arc<Self>) -> Result<()> {
        let polling = lock(&self.polling);
        let epoch = self.read(|registry| registry.epoch);
        let found = catch_unwind(AssertUnwindSafe(|| self.source.poll()))
            .unwrap_or_else(|_| Err(Error::internal("the source of models panicked")))?;
        self.with(|registry| registry.merge(found, epoch));
        self.retain();
        drop(polling);
        Ok(())
    }

    /// Notifies the source of the versions in use, if they have changed.
    fn retain(&self) {
        let mut retained = lock(&self.retained);
        let in_use = self.read(Registry::in_use);
        let gone = retained.keys().filter(|name| !in_use.contains_key(*name));
        let gone: Vec<Arc<str>> = gone.cloned().collect();
        let gone = gone.into_iter().map(|name| (name, Vec::new()));
        for (name, versions) in in_use.into_iter().chain(gone) {
            if retained.get(&name) == Some(&versions) {
                continue;
            }
            // An operator may be about to want another.
            let operating = self.operating(&name);
            let Ok(_operating) = operating.try_lock() else {
                continue;
            };
            let told = catch_unwind(AssertUnwindSafe(|| self.source.retain(&name, &versions)));
            match told {
                Ok(Ok(())) if versions.is_empty() => {
                    retained.remove(&name);
                }
                Ok(Ok(())) => {
                    retained.insert(name, versions);
                }
                Ok(Err(error)) => tracing::debug!(
                    model = &*name,
                    ?error,
                    "the source cannot remove files that are no longer used"
                ),
                Err(_) => tracing::error!(model = &*name, "the source of models panicked"),
            }
        }
    }

    /// Polls at an interval, if there is one, and on request, until the end.
    pub(super) fn poll_until_stopped(self: &Arc<Self>, interval: Option<Duration>) {
        let mut is_failing = false;
        loop {
            let mut next = interval.and_then(|interval| Instant::now().checked_add(interval));
            let mut signal = lock(&self.signal);
            while !signal.is_stopping && signal.n_asked == signal.n_answered {
                let left = next.map(|next| next.saturating_duration_since(Instant::now()));
                signal = match left {
                    Some(Duration::ZERO) => break,
                    Some(left) => {
                        let waited = self.signalled.wait_timeout(signal, left);
                        waited.unwrap_or_else(PoisonError::into_inner).0
                    }
                    None => {
                        let waited = self.signalled.wait(signal);
                        waited.unwrap_or_else(PoisonError::into_inner)
                    }
                };
            }
            if signal.is_stopping {
                return;
            }
            let asked = signal.n_asked;
            signal.polling_since = Some(Instant::now());
            drop(signal);
            next.take();
            let failed = self.poll().err();
            let mut signal = lock(&self.signal);
            signal.polling_since = None;
            signal.n_answered = asked;
            signal.failure = failed.as_ref().map(|error| (error.kind(), chain(error)));
            drop(signal);
            self.signalled.notify_all();
            // Once for each series of failures, not every second.
            if let Some(error) = failed.as_ref().filter(|_| !is_failing) {
                tracing::warn!(
                    ?error,
                    "the source cannot be polled; loaded models go on serving"
                );
            }
            is_failing = failed.is_some();
        }
    }

    /// Requests a poll of the source soon.
    pub(super) fn ask_for_poll(&self) {
        lock(&self.signal).n_asked += 1;
        self.signalled.notify_all();
    }

    /// Runs the tasks that are due, until the end.
    pub(super) fn keep_time(self: &Arc<Self>) {
        let mut registry = lock(&self.registry);
        while !registry.is_stopping {
            let due = registry.next_due();
            registry = match due {
                Some(due) => {
                    let left = due.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        drop(registry);
                        self.with(|_| ());
                        lock(&self.registry)
                    } else {
                        self.pause(registry, left)
                    }
                }
                None => {
                    let paused = self.changed.wait(registry);
                    paused.unwrap_or_else(PoisonError::into_inner)
                }
            };
        }
    }

    /// Records that a task is done.
    pub(super) fn done(self: &Arc<Self>, change: impl FnOnce(&mut Registry)) {
        self.with(|registry| {
            registry.n_tasks = registry.n_tasks.saturating_sub(1);
            change(registry);
        });
    }

    /// Ends everything: nothing answers any more, and what is loaded is dropped. Waits for what is under way, but not for
    /// ever.
    pub(super) fn stop(self: &Arc<Self>, at_most: Duration) {
        lock(&self.signal).is_stopping = true;
        self.signalled.notify_all();
        let tasks: Vec<Task> = {
            let mut registry = lock(&self.registry);
            registry.is_stopping = true;
            self.table.store(Arc::default());
            registry.unload_all()
        };
        self.changed.notify_all();
        for task in tasks {
            workers::start(self, task);
        }
        let until = until(at_most);
        let mut registry = lock(&self.registry);
        while registry.n_tasks > 0 {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                tracing::warn!("the manager stopped while versions were loading or unloading");
                break;
            }
            registry = self.pause(registry, left);
        }
    }
}
