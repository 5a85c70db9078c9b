//! The builder of continuous pipelines.

use std::path::PathBuf;
use std::sync::Arc;

use super::alert::{Alert, Listeners};
use super::canary::Canary;
use super::check::SpanCheck;
use super::labels::LabelledRequests;
use super::live::Labelled;
use super::state::Store;
use super::trigger::{BackOff, Trigger};
use super::{ContinuousPipeline, Gauges};
use crate::clock::{Clock, SystemClock};
use crate::data::{DataSource, RollingWindow, SpanSource};
use crate::error::{Error, Result};
use crate::evaluation::Validator;
use crate::pipeline::Pipeline;
use crate::serving::Server;
use crate::training::Trainer;

/// A builder of continuous pipelines, created by [`ContinuousPipeline::of`].
#[derive(Debug)]
#[must_use = "a builder does nothing until `.build()`"]
pub struct ContinuousBuilder<S, T, V, R> {
    pipeline: Pipeline<RollingWindow<S>, T, V, R>,
    state: Option<PathBuf>,
    pub(super) setup: Setup,
}

/// The settings that do not depend on the types of the stages.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) check: SpanCheck,
    pub(super) triggers: Vec<Trigger>,
    pub(super) back_off: BackOff,
    pub(super) live: Option<Arc<dyn Labelled>>,
    pub(super) canary: Option<Canary>,
    pub(super) listeners: Listeners,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) gauges: Gauges,
}

impl<S, T, V, R> ContinuousBuilder<S, T, V, R>
where
    S: SpanSource,
    T: Trainer,
    V: Validator<T::Model>,
    R: Server<T::Model>,
{
    pub(super) fn new(pipeline: Pipeline<RollingWindow<S>, T, V, R>) -> Self {
        ContinuousBuilder {
            pipeline,
            state: None,
            setup: Setup {
                check: SpanCheck::default(),
                triggers: Vec::new(),
                back_off: BackOff::default(),
                live: None,
                canary: None,
                listeners: Listeners::default(),
                clock: Arc::new(SystemClock),
                gauges: Gauges::default(),
            },
        }
    }

    /// Sets the directory of the state: `continuous/<name>` in the pipeline's root by default.
    pub fn state(mut self, dir: impl Into<PathBuf>) -> Self {
        self.state = Some(dir.into());
        self
    }

    /// Sets the checks that spans must pass.
    pub fn check(mut self, check: SpanCheck) -> Self {
        self.setup.check = check;
        self
    }

    /// Adds a trigger that makes the loop look for spans or train; may be called several times. By default the loop looks for
    /// spans every minute.
    pub fn trigger(mut self, trigger: Trigger) -> Self {
        self.setup.triggers.push(trigger);
        self
    }

    /// Sets the waits after failures: ten seconds and longer by default.
    pub fn back_off(mut self, back_off: BackOff) -> Self {
        self.setup.back_off = back_off;
        self
    }

    /// Sets the labelled requests that [live metrics](ContinuousPipeline::live) are computed from and canaries are judged by.
    /// None by default.
    pub fn live<L: DataSource + std::fmt::Debug>(mut self, requests: LabelledRequests<L>) -> Self {
        self.setup.live = Some(Arc::new(requests));
        self
    }

    /// Tries new versions on a share of the traffic before they serve; it needs [live](ContinuousBuilder::live) labels. The
    /// first version serves at once.
    pub fn canary(mut self, canary: Canary) -> Self {
        self.setup.canary = Some(canary);
        self
    }

    /// Calls with each [`Alert`]; may be called several times. A listener that panics stops nothing.
    pub fn on_alert(mut self, listener: impl Fn(&Alert) + Send + Sync + 'static) -> Self {
        self.setup.listeners.add(listener);
        self
    }

    /// Shows steps, alerts, live metrics and the evidence of a canary in these [metrics](crate::serving::observe::Metrics), instead of
    /// those of the pipeline's [server](crate::serving::Server::metrics).
    #[cfg(feature = "http")]
    pub fn metrics(mut self, metrics: &crate::serving::observe::Metrics) -> Self {
        self.setup.gauges = Gauges::of(metrics);
        self
    }

    /// Sets the clock; the system clock by default.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.setup.clock = Arc::new(clock);
        self
    }

    /// Opens the state and resumes from it.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for a value out of its range, a canary without live labels, or if there is
    /// no directory to keep the state in; [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if another process has it;
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) or [`ErrorKind::Io`](crate::ErrorKind::Io) if it cannot be read.
    pub fn build(self) -> Result<ContinuousPipeline<S, T, V, R>> {
        let ContinuousBuilder {
            pipeline,
            state,
            mut setup,
        } = self;
        let in_stage = |error: Error| error.in_stage("continuous");
        setup.check.check().map_err(in_stage)?;
        setup.back_off.check().map_err(in_stage)?;
        for trigger in &setup.triggers {
            trigger.check().map_err(in_stage)?;
        }
        if setup.triggers.is_empty() {
            let minute = std::time::Duration::from_secs(60);
            setup.triggers.push(Trigger::spans_every(minute));
        }
        if let Some(canary) = &setup.canary {
            canary.check().map_err(in_stage)?;
            if setup.live.is_none() {
                return Err(in_stage(Error::config(
                    "a canary is judged by live labels: call `.live(requests)`",
                )));
            }
        }
        let dir = match (state, pipeline.root()) {
            (Some(dir), _) => dir,
            (None, Some(root)) => root.path().join("continuous").join(pipeline.name()),
            (None, None) => {
                return Err(in_stage(Error::config(
                    "there is no directory to keep the state in: give the pipeline a root, or call `.state(dir)`",
                )));
            }
        };
        if let Some(root) = pipeline.root() {
            root.create()?;
        }
        let store = Store::open(dir).map_err(in_stage)?;
        Ok(ContinuousPipeline::new(pipeline, setup, store))
    }
}
