//! The arguments of a trainer.

use std::sync::Arc;

use super::Dataset;
use super::memory::Lease;
use crate::cancellation::Cancellation;
use crate::engine::Engine;
use crate::error::Result;
use crate::model::{Model, Predict, Target};
use crate::parallel::at_most;
use crate::progress::Meter;
use crate::runs::TrialLog;

/// The arguments of a trainer: rows, and the resources that it may use. Cheap to clone.
///
/// Anyone can make them: to test a trainer alone, or to call a trainer from within another one with other rows.
///
/// ```
/// use std::sync::Arc;
///
/// use fourfold::Result;
/// use fourfold::model::LinearModel;
/// use fourfold::training::{Dataset, LogisticRegression, TrainArgs, Trainer};
///
/// # #[cfg(feature = "linfa")]
/// fn fit(train: Dataset, tune: Dataset, previous: LinearModel) -> Result<LinearModel> {
///     let args = TrainArgs::new(train).with_tune(tune).with_seed(7).with_warm_start(Arc::new(previous));
///     Ok(LogisticRegression::default().train(&args)?.into_model())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct TrainArgs {
    train: Dataset,
    tune: Option<Dataset>,
    engine: Option<Engine>,
    seed: u64,
    threads: usize,
    progress: Meter,
    cancellation: Cancellation,
    warm_start: Option<Arc<dyn Predict>>,
    /// The features of the model to start from, where they may be others.
    warm_start_names: Option<Arc<[String]>>,
    /// The log of the trials on these rows.
    trials: Option<TrialLog>,
    /// Its share of the memory that concurrent trainings have together.
    lease: Option<Arc<Lease>>,
}

impl TrainArgs {
    /// Rows to learn from, and the defaults: seed 0, all threads of the machine, no rows to tune by, no model to start
    /// from.
    #[must_use]
    pub fn new(train: Dataset) -> Self {
        TrainArgs {
            train,
            tune: None,
            engine: None,
            seed: 0,
            threads: at_most(0),
            progress: Meter::default(),
            cancellation: Cancellation::default(),
            warm_start: None,
            warm_start_names: None,
            trials: None,
            lease: None,
        }
    }

    /// The same with other rows to learn from.
    #[must_use]
    pub fn with_train(mut self, train: Dataset) -> Self {
        self.train = train.with_threads(self.threads);
        self.trials = None;
        self
    }

    /// Rows to stop early, to choose or to calibrate by; `None` takes them away.
    #[must_use]
    pub fn with_tune(mut self, tune: impl Into<Option<Dataset>>) -> Self {
        self.tune = tune.into().map(|tune| tune.with_threads(self.threads));
        self.trials = None;
        self
    }

    /// The engine that work over all rows runs on.
    #[must_use]
    pub fn with_engine(mut self, engine: Engine) -> Self {
        self.engine = Some(engine);
        self
    }

    /// Sets the seed of all randomness.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The most threads that a trainer may keep busy, reading rows included; 0 is all that the machine has. The model does
    /// not depend on it.
    #[must_use]
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.threads = at_most(threads);
        self.train = self.train.with_threads(self.threads);
        self.tune = self.tune.map(|tune| tune.with_threads(self.threads));
        self
    }

    /// Sets the meter for the progress of the training.
    #[must_use]
    pub fn with_progress(mut self, progress: Meter) -> Self {
        self.progress = progress;
        self
    }

    /// Sets the cancellation that stops the trainer.
    #[must_use]
    pub fn with_cancellation(mut self, cancellation: Cancellation) -> Self {
        self.cancellation = cancellation;
        self
    }

    /// A model to start from, of the same features and target.
    #[must_use]
    pub fn with_warm_start(mut self, model: Arc<dyn Predict>) -> Self {
        self.warm_start = Some(model);
        self.warm_start_names = None;
        self.trials = None;
        self
    }

    /// A model to start from, of the same target and of features with these names, in their order.
    #[must_use]
    pub fn with_warm_start_of(
        mut self,
        model: Arc<dyn Predict>,
        features: impl Into<Arc<[String]>>,
    ) -> Self {
        self.warm_start = Some(model);
        self.warm_start_names = Some(features.into());
        self.trials = None;
        self
    }

    /// Sets the log of a search on these rows, from this model. Arguments with other rows or another
    /// model have none.
    pub(crate) fn with_trials(mut self, trials: Option<TrialLog>) -> Self {
        self.trials = trials;
        self
    }

    /// The log of the trials on these rows, if there is one.
    pub(crate) fn trials(&self) -> Option<&TrialLog> {
        self.trials.as_ref()
    }

    /// The rows to learn from.
    #[must_use]
    pub fn train(&self) -> &Dataset {
        &self.train
    }

    /// Rows that are not learned from, to stop early, to choose or to calibrate by. They are never those that the
    /// validators judge by. Where there are none, a trainer that needs some holds out a part of [`TrainArgs::train`].
    #[must_use]
    pub fn tune(&self) -> Option<&Dataset> {
        self.tune.as_ref()
    }

    /// The target.
    #[must_use]
    pub fn target(&self) -> &Target {
        self.train.target()
    }

    /// The engine that work over all rows runs on: the pipeline's, or, where none was given, a new one.
    ///
    /// # Errors
    /// As [`Engine::new`].
    pub fn engine(&self) -> Result<Engine> {
        match &self.engine {
            Some(engine) => Ok(engine.clone()),
            None => Engine::new(),
        }
    }

    /// The seed from which all randomness must be derived.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The most bytes that the engine may take, where one with a limit was given.
    pub(super) fn memory_limit(&self) -> Option<u64> {
        let limit = self.engine.as_ref().and_then(Engine::memory_limit)?;
        Some(limit as u64)
    }

    /// The same for a training beside others, with which it shares the engine's limit.
    pub(crate) fn with_lease(mut self, lease: Lease) -> Self {
        self.lease = Some(Arc::new(lease));
        self
    }

    pub(super) fn lease(&self) -> Option<&Lease> {
        self.lease.as_deref()
    }

    /// The most threads to keep busy, at least 1. The model must not depend on it.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// The meter for the progress of the training.
    #[must_use]
    pub fn progress(&self) -> &Meter {
        &self.progress
    }

    /// To be looked at between iterations: `args.cancellation().check()?`.
    #[must_use]
    pub fn cancellation(&self) -> &Cancellation {
        &self.cancellation
    }

    /// The previous model, to start from, if there is one, it is of this type, and its features are those of the rows:
    /// also where it is held by an [`AnyModel`](crate::model::AnyModel). In a pipeline it is the model that is serving, if
    /// the trainer [can use one](super::Capabilities::warm_start) and the target is the same.
    #[must_use]
    pub fn warm_start<M: Model>(&self) -> Option<&M> {
        let (model, features) = self.warm_start_by_name()?;
        (features == self.train.feature_names()).then_some(model)
    }

    /// The previous model, to start from, whatever its features, with their names: for a trainer that takes over what it
    /// finds by name, see [`WarmStart::ByName`](super::WarmStart::ByName).
    #[must_use]
    pub fn warm_start_by_name<M: Model>(&self) -> Option<(&M, &[String])> {
        let model = self.warm_start.as_ref()?.downcast_ref()?;
        let features = self.warm_start_names.as_deref();
        Some((model, features.unwrap_or(self.train.feature_names())))
    }
}
