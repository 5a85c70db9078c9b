//! State of each model and version while they answer.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::admission::Admission;
use super::batcher::Batcher;
use super::inline::Inline;
use super::protocol::Protocol;
use super::shadow::Shadows;
use super::speed::Speed;
use super::statistics::Statistics;
use super::{Batching, Limits};
use crate::serving::lifecycle::{ModelState, State};
use crate::serving::metrics::{LaneMetrics, Metrics, ModelMetrics, Retired, VersionMetrics};
use crate::serving::{Manager, Predictor};

/// Limits and batching: of all models, and of those that have their own.
#[derive(Debug, Default)]
pub(super) struct Settings {
    pub(super) limits: Limits,
    pub(super) batching: Batching,
    pub(super) model_limits: BTreeMap<String, Limits>,
    pub(super) model_batching: BTreeMap<String, Batching>,
}

impl Settings {
    pub(super) fn limits(&self, model: &str) -> &Limits {
        self.model_limits.get(model).unwrap_or(&self.limits)
    }

    fn batching(&self, model: &str) -> &Batching {
        self.model_batching.get(model).unwrap_or(&self.batching)
    }
}

/// The state of a model: its admission, and its versions.
#[derive(Debug)]
pub(super) struct ModelRuntime {
    pub(super) name: String,
    pub(super) limits: Limits,
    pub(super) batching: Batching,
    pub(super) admission: Admission,
    pub(super) metrics: ModelMetrics,
    pub(super) shadows: Shadows,
    versions: ArcSwap<Vec<Arc<VersionRuntime>>>,
}

/// The state of a version.
#[derive(Debug)]
pub(super) struct VersionRuntime {
    pub(super) version: u64,
    pub(super) metrics: VersionMetrics,
    pub(super) statistics: Statistics,
    pub(super) inline: Inline,
    /// One call of the model, by rows.
    pub(super) compute: Speed,
    pub(super) batcher: Batcher,
    /// True if the last call of the model was slow enough for batching.
    slow_calls: AtomicBool,
    explored: AtomicUsize,
    retired: Retired,
    lanes: [OnceLock<Lane>; Protocol::ALL.len()],
}

/// The state of a version for one protocol. Sizes are those of requests.
#[derive(Debug)]
pub(super) struct Lane {
    /// A whole answer.
    pub(super) total: Speed,
    /// The part of it that is not the model's.
    pub(super) around: Speed,
    pub(super) metrics: LaneMetrics,
}

impl ModelRuntime {
    fn new(name: &str, settings: &Settings, metrics: &Metrics) -> Self {
        let limits = settings.limits(name).clone();
        let of_model = metrics.of_model(name);
        ModelRuntime {
            name: name.to_owned(),
            admission: Admission::new(&limits, of_model.queue_length.clone()),
            limits,
            batching: settings.batching(name).clone(),
            metrics: of_model,
            shadows: Shadows::default(),
            versions: ArcSwap::default(),
        }
    }

    pub(super) fn versions(&self) -> Arc<Vec<Arc<VersionRuntime>>> {
        self.versions.load_full()
    }

    fn version(&self, version: u64) -> Option<Arc<VersionRuntime>> {
        let versions = self.versions.load();
        let found = versions.iter().find(|known| known.version == version);
        found.map(Arc::clone)
    }
}

impl VersionRuntime {
    fn new(model: &ModelRuntime, version: u64, metrics: &Metrics) -> Self {
        VersionRuntime {
            version,
            metrics: metrics.of_version(&model.name, version),
            statistics: Statistics::default(),
            inline: Inline::new(),
            compute: Speed::default(),
            batcher: Batcher::new(
                &model.batching,
                model.admission.max_concurrency(),
                model.metrics.queue_length.clone(),
            ),
            slow_calls: AtomicBool::new(false),
            explored: AtomicUsize::new(0),
            retired: Retired::default(),
            lanes: Default::default(),
        }
    }

    pub(super) fn lane(&self, protocol: Protocol, model: &str, metrics: &Metrics) -> &Lane {
        self.lanes[protocol as usize].get_or_init(|| Lane {
            total: Speed::default(),
            around: Speed::default(),
            metrics: metrics.of_lane(model, Some(self.version), protocol.name(), &self.retired),
        })
    }

    /// The model was called with rows.
    pub(super) fn called(&self, rows: usize, took: Duration) {
        self.compute.observe(rows, took);
        let slow = took >= Batching::PAYS_ABOVE;
        if self.slow_calls.load(Ordering::Relaxed) != slow {
            self.slow_calls.store(slow, Ordering::Relaxed);
        }
        self.metrics.inference_duration.observe(took.as_secs_f64());
        self.metrics.batch_rows.observe(rows as f64);
    }

    /// Returns `true` if rows should be batched with others, as far as that is known before they are read.
    pub(super) fn may_batch(&self, batching: &Batching) -> bool {
        batching.is_on() && (!batching.adaptive || self.slow_calls.load(Ordering::Relaxed))
    }

    /// Returns `true` if this many rows should be batched with others.
    pub(super) fn batches(&self, batching: &Batching, rows: usize) -> bool {
        /// Batching that does not seem to pay is tried at this interval.
        const EXPLORE_EVERY: usize = 64;

        if !batching.is_on() || rows == 0 || rows >= batching.max_batch_size {
            return false;
        }
        if !batching.adaptive {
            return true;
        }
        let slow = self.compute.expected(rows);
        slow.is_some_and(|expected| expected >= Batching::PAYS_ABOVE)
            && (self.compute.larger_pays(rows).unwrap_or(true)
                || self
                    .explored
                    .fetch_add(1, Ordering::Relaxed)
                    .is_multiple_of(EXPLORE_EVERY))
    }
}

/// Every model's. Finding takes no lock.
#[derive(Debug, Default)]
pub(super) struct Runtimes {
    models: ArcSwap<HashMap<String, Arc<ModelRuntime>>>,
    changing: Mutex<()>,
}

impl Runtimes {
    /// The state of the model, if it has had a request.
    pub(super) fn model(&self, name: &str) -> Option<Arc<ModelRuntime>> {
        self.models.load().get(name).map(Arc::clone)
    }

    /// The state of the version, if it has had a request.
    pub(super) fn version(&self, name: &str, version: u64) -> Option<Arc<VersionRuntime>> {
        self.models.load().get(name)?.version(version)
    }

    /// Those of a version that answers, made on its first request.
    pub(super) fn of(
        &self,
        predictor: &Predictor,
        settings: &Settings,
        metrics: &Metrics,
        manager: &Manager,
    ) -> (Arc<ModelRuntime>, Arc<VersionRuntime>) {
        let (name, version) = (predictor.name(), predictor.version());
        {
            let models = self.models.load();
            if let Some(model) = models.get(name)
                && let Some(version) = model.version(version)
            {
                return (Arc::clone(model), version);
            }
        }
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let states = manager.states();
        let mut models = HashMap::clone(&self.models.load());
        retire(&mut models, metrics, &states);
        // A request may hold a version that was removed. It is counted in metrics that are never read.
        let is_gone = !may_answer(&states, name, version);
        let unread = is_gone.then(Metrics::new);
        let metrics = unread.as_ref().unwrap_or(metrics);
        let known = models.get(name).map(Arc::clone);
        let model = known.unwrap_or_else(|| Arc::new(ModelRuntime::new(name, settings, metrics)));
        if let Some(version) = model.version(version) {
            return (model, version);
        }
        let made = Arc::new(VersionRuntime::new(&model, version, metrics));
        if is_gone {
            made.retired.set();
            return (model, made);
        }
        let mut versions = Vec::clone(&model.versions.load());
        versions.push(Arc::clone(&made));
        model.versions.store(Arc::new(versions));
        models.insert(name.to_owned(), Arc::clone(&model));
        self.models.store(Arc::new(models));
        (model, made)
    }

    /// Forgets the versions that will not answer again.
    pub(super) fn retire(&self, metrics: &Metrics, manager: &Manager) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let states = manager.states();
        let mut models = HashMap::clone(&self.models.load());
        retire(&mut models, metrics, &states);
        self.models.store(Arc::new(models));
    }
}

/// Returns `true` if a version answers, will, or may: versions that were evicted for lack of memory may be reloaded.
pub(super) fn may_answer(states: &[ModelState], name: &str, version: u64) -> bool {
    let model = states.iter().find(|state| state.name == name);
    model.is_some_and(|model| {
        let mut versions = model.versions.iter();
        versions.any(|state| state.version == version && state.state != State::End)
    })
}

fn retire(
    models: &mut HashMap<String, Arc<ModelRuntime>>,
    metrics: &Metrics,
    states: &[ModelState],
) {
    for (name, model) in models.iter() {
        let versions = model.versions.load();
        let (stay, go): (Vec<_>, Vec<_>) = versions
            .iter()
            .map(Arc::clone)
            .partition(|known| may_answer(states, name, known.version));
        for gone in &go {
            gone.retired.set();
            metrics.retire(name, gone.version);
        }
        if !go.is_empty() {
            model.versions.store(Arc::new(stay));
        }
        let stays = |version| may_answer(states, name, version);
        model.shadows.retire(name, metrics, stays);
    }
    // The admission of a model lives as long as the model is known, so that limits hold across versions.
    let is_known = |name: &str| states.iter().any(|state| state.name == name);
    models.retain(|name, _| is_known(name));
    metrics.retire_models(is_known);
}
