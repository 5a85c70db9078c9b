//! The manager: loading, swapping and finding models.

use std::fmt;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::registry::Registry;
use super::shared::{Shared, until};
use super::{ManagerBuilder, ModelState, Route, Source, VersionChoice, Watch};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Loaders;
use crate::serving::{ModelRepository, Predictor};

/// The time that a manager waits on drop for loads and unloads.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// Serves the versions of every model of a source, and swaps them when the source changes.
///
/// ```text
/// Source ─▶ Router ─▶ SourceAdapter ─▶ Loader ─▶ loader threads ─▶ Manager ─▶ Predictor
/// ```
///
/// | part | decides | replaced by |
/// | --- | --- | --- |
/// | [`Source`] | which models and versions exist | [`Manager::builder`] |
/// | [`VersionPolicy`](super::VersionPolicy), [`Control`](super::Control) | which of them are wanted | [`ManagerBuilder::versions`] |
/// | [`TransitionPolicy`](super::TransitionPolicy) | which is loaded or unloaded next | [`ManagerBuilder::transition`] |
/// | [`Router`](super::Router), [`SourceAdapter`](super::SourceAdapter) | which loader loads it | [`ManagerBuilder::adapter`], [`ManagerBuilder::source_adapter`] |
/// | [`Loader`](super::Loader) | how it is loaded, and its memory | its adapter, with an example |
/// | [`StateListener`](super::StateListener) | nothing: it receives changes of states | [`ManagerBuilder::listener`] |
///
/// ```
/// use fourfold::model::Loaders;
/// use fourfold::serving::{Manager, ModelRepository};
///
/// # let dir = tempfile::tempdir().unwrap();
/// let manager = Manager::open(ModelRepository::at(dir.path()), Loaders::default())?;
/// assert!(manager.states().is_empty());
/// assert!(manager.get("late", None).is_err());
/// # Ok::<(), fourfold::Error>(())
/// ```
///
/// Models are independent: one that cannot be loaded, or that hangs, is [reported](Manager::states); the others still
/// serve. Requests that hold a [`Predictor`] finish on their version, which is dropped on a thread of its own after
/// the last of them. The lookup of a model takes no lock.
///
/// Dropping the manager stops its threads.
pub struct Manager {
    pub(super) shared: Arc<Shared>,
    pub(super) timeout: Duration,
    /// The number of changes at the last call of [`Manager::refresh`].
    n_seen: std::sync::atomic::AtomicU64,
    threads: Vec<JoinHandle<()>>,
    watch: Watch,
}

impl Manager {
    /// Loads the newest version of every model, and polls for newer ones every second. Models that cannot be loaded are
    /// reported by [`Manager::states`].
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if the repository is not there.
    pub fn open(repository: ModelRepository, loaders: Loaders) -> Result<Self> {
        Manager::builder(repository).loaders(loaders).open()
    }

    /// Sets up a manager of a source of models, such as a [`ModelRepository`].
    pub fn builder(source: impl Source) -> ManagerBuilder {
        ManagerBuilder::new(Arc::new(source))
    }

    pub(super) fn start(
        shared: Arc<Shared>,
        poll_interval: Option<Duration>,
        timeout: Duration,
    ) -> Result<Self> {
        let mut manager = Manager {
            shared,
            timeout,
            n_seen: 0.into(),
            threads: Vec::new(),
            watch: Watch::none(),
        };
        // From here on an error stops the started threads.
        manager.shared.poll()?;
        manager.spawn("fourfold-manage", |shared| shared.keep_time())?;
        manager.spawn("fourfold-poll", move |shared| {
            shared.poll_until_stopped(poll_interval);
        })?;
        let shared = Arc::downgrade(&manager.shared);
        let wake = Arc::new(move || {
            if let Some(shared) = shared.upgrade() {
                shared.ask_for_poll();
            }
        });
        match manager.shared.source.watch(wake) {
            Ok(watch) => manager.watch = watch,
            Err(error) => tracing::warn!(?error, "the source cannot be watched; it is polled"),
        }
        manager.settle(None);
        manager.see();
        Ok(manager)
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce(&Arc<Shared>) + Send + 'static) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        self.shared.with(|registry| registry.n_tasks += 1);
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            run(&shared);
            shared.done(|_| ());
        });
        match thread {
            Ok(thread) => {
                self.threads.push(thread);
                Ok(())
            }
            Err(error) => {
                self.shared.done(|_| ());
                Err(Error::io(format!("starting thread `{name}`"), error))
            }
        }
    }

    /// Waits until nothing is under way, for a model or for all, except slow operations.
    pub(super) fn settle(&self, model: Option<&str>) {
        let settled = |registry: &Registry| registry.is_settled(model).then_some(());
        if self.shared.wait(until(self.timeout), settled).is_none() {
            tracing::warn!("models are still loading");
        }
    }

    /// Returns `true` if anything has changed since the last call.
    fn see(&self) -> bool {
        let n = self.shared.read(|registry| registry.changes.n);
        self.n_seen.swap(n, std::sync::atomic::Ordering::Relaxed) != n
    }

    /// Polls the source now, and returns once the changes that follow are done: newer versions loaded, missing ones
    /// unloaded. It waits at most as long as [`open`](ManagerBuilder::open_timeout) does, and not for
    /// [slow](ManagerBuilder::slow_after) loads. Returns `true` if any version has changed state since the last call or
    /// since the start. There is no need to call it: the manager polls on its own.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if the repository does not exist; loaded versions continue
    /// to serve then, as they do after [`ErrorKind::DeadlineExceeded`], if the source does not answer by the deadline.
    pub fn refresh(&self) -> Result<bool> {
        self.shared.poll_within(self.timeout)?;
        self.settle(None);
        Ok(self.see())
    }

    /// Loads a version that was just pushed, and returns once it answers. If an operator has chosen other versions
    /// to load, that choice stands.
    pub(in crate::serving) fn load_pushed(&self, name: &str, version: u64) -> Result<()> {
        self.shared.poll_within(self.timeout)?;
        let Err(error) = self.wait_for(name, version, self.timeout) else {
            return Ok(());
        };
        let is_wanted = self.shared.read(|registry| {
            let model = registry.models.get(name)?;
            let harness = model.versions.get(&version)?;
            Some(harness.is_wanted || harness.has_failed())
        });
        if is_wanted == Some(true) {
            return Err(error);
        }
        tracing::warn!(
            model = name,
            version,
            "the pushed version is not loaded: operators chose others"
        );
        Ok(())
    }

    /// The version that answers where none is named and no traffic is split.
    pub(crate) fn answering(&self, name: &str) -> Option<Predictor> {
        let table = self.shared.table.load();
        let version = table.find(name).ok()?.default_version()?;
        self.get(name, version).ok()
    }

    /// A handle to a model: of a version, of a label, or of what answers where none is named. Nothing is waited for.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if it is known and not loaded yet; [`ErrorKind::NotFound`] if there is no such model,
    /// version or label here or it could not be loaded, with why.
    pub fn get<'v>(&self, name: &str, version: impl Into<VersionChoice<'v>>) -> Result<Predictor> {
        let version = version.into();
        let table = self.shared.table.load();
        let routes = table.find(name)?;
        let predictor = routes.get(version, None, || self.shared.clock())?;
        if let Some(missing) = routes.missing(version) {
            self.shared.ask_for(name, missing);
        }
        Ok(predictor)
    }

    /// The version that answers a request, and the one that gets a copy of it. Where no version is named, the model's traffic split
    /// decides, by the key if it splits by keys; else the label `stable`; else the newest version.
    ///
    /// # Errors
    /// As [`Manager::get`].
    pub fn route<'v>(
        &self,
        name: &str,
        version: impl Into<VersionChoice<'v>>,
        key: Option<&str>,
    ) -> Result<Route> {
        let version = version.into();
        let table = self.shared.table.load();
        let routes = table.find(name)?;
        let route = routes.route(version, key, || self.shared.clock())?;
        if let Some(missing) = routes.missing(version) {
            self.shared.ask_for(name, missing);
        }
        Ok(route)
    }

    /// As [`Manager::get`], but blocks until the version is loaded; what is loaded lazily is loaded then. For the
    /// threads of an application: on a thread of an asynchronous runtime it goes into its `spawn_blocking`.
    ///
    /// # Errors
    /// As [`Manager::get`]; [`ErrorKind::DeadlineExceeded`] if it is not loaded by the deadline.
    pub fn wait_for<'v>(
        &self,
        name: &str,
        version: impl Into<VersionChoice<'v>>,
        timeout: Duration,
    ) -> Result<Predictor> {
        let version = version.into();
        let started = Instant::now();
        let until = until(timeout);
        loop {
            // Before it is looked, so that no change falls between the two.
            let n = self.shared.read(|registry| registry.changes.n);
            let error = match self.get(name, version) {
                Err(error) if error.kind() == ErrorKind::Unavailable => error,
                answer => return answer,
            };
            let wanted = self.shared.with(|registry| {
                let model = registry.models.get(name)?;
                if model.is_unloaded {
                    return None;
                }
                let wanted = match version {
                    VersionChoice::Number(version) => Some(version),
                    VersionChoice::Label(label) => model.control().labels().get(label).copied(),
                    VersionChoice::Default => model.candidate(),
                };
                registry.demand(name, wanted?);
                Some(())
            });
            // Without a version that can be loaded, there is nothing to wait for.
            if wanted.is_none() {
                return Err(error);
            }
            let changed = |registry: &Registry| (registry.changes.n != n).then_some(());
            if self.shared.wait(until, changed).is_none() {
                return Err(Error::new(
                    ErrorKind::DeadlineExceeded,
                    format!("{error}; waited {:?}", started.elapsed()),
                ));
            }
        }
    }

    /// Returns `true` if models are loaded on demand.
    #[cfg(feature = "http")]
    pub(crate) fn is_lazy(&self) -> bool {
        self.shared.read(|registry| registry.is_lazy())
    }

    /// The reason why the last poll of the source failed, or that it has not answered for long; `None` if all is well. What
    /// is loaded continues to serve then, and nothing changes.
    #[must_use]
    pub fn source_failure(&self) -> Option<String> {
        self.shared.source_failure()
    }

    /// Every model with its versions' states, sorted by name.
    #[must_use]
    pub fn states(&self) -> Vec<ModelState> {
        self.shared.table.load().states()
    }

    /// The states of the versions of a model.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such model.
    pub fn state(&self, name: &str) -> Result<ModelState> {
        Ok(self.shared.table.load().find(name)?.state().clone())
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        // First, so that no more polls are requested.
        self.watch = Watch::none();
        self.shared.stop(STOP_LIMIT);
        let is_done = self.shared.read(|registry| registry.n_tasks == 0);
        for thread in self.threads.drain(..) {
            // A thread that hangs in foreign code cannot be waited for.
            if is_done && thread.join().is_err() {
                tracing::error!("a thread of the manager panicked");
            }
        }
    }
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manager")
            .field("source", &self.shared.source)
            .field("models", &self.states())
            .finish_non_exhaustive()
    }
}
