//! Continuous training: the loop around the four pipelines.
//!
//! ```text
//!        spans, a schedule, signals, drift ─▶ check ─▶ train, warm, on the newest spans ─▶ judge on the newest rows
//!                                               │bad                                        │rejected       │blessed
//!                                               ▼                                           ▼               ▼
//!                                             alert, and on with what comes next ◀──────────┴───── deploy, or canary
//!                                                                                                           │
//!        next spans ◀── labelled requests ◀── labels, whenever they come ◀── request log ◀── serving ◀──────┘
//! ```
//!
//! A [`ContinuousPipeline`] is an ordinary [`Pipeline`] over a [`RollingWindow`] of a source of [spans](SpanSource), and what
//! goes around it. For each span that comes:
//!
//! 1. it is [checked](SpanCheck) against the schema and the span before it; a bad one is left out, of this window and of all
//!    later ones;
//! 2. the pipeline runs over the window of the newest good spans: it trains, starting from the model that serves
//!    where the trainer can, and evaluates candidate and serving model on held-out rows of the newest span;
//! 3. what the validators bless is deployed, or tried as a [canary](Canary) first; what they reject is not.
//!
//! **Nothing stops the loop**: a bad span, a run that fails, a rejected model, a source that cannot be read, a listener that
//! panics. Each is an [`Alert`] and a recorded [`Step`], what served keeps serving, and the loop continues with what
//! comes next, after a [`BackOff`] where the reason may pass.
//!
//! **Nothing is forgotten**: where the loop stands is on disk, and a process that was stopped or killed at any point goes
//! on there. With a [root](crate::pipeline::PipelineBuilder::root) the stages of a run that were done are not run again.
//!
//! # A year in a second
//!
//! [`replay`](ContinuousPipeline::replay) lets spans arrive on a [virtual clock](VirtualClock), as they did or as they might
//! have: a test that users write for their own data. The directory of a state is of one such history.
//!
//! ```
//! # #[cfg(feature = "linfa")] {
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use fourfold::arrow::array::{ArrayRef, BooleanArray, Float64Array, RecordBatch};
//! use fourfold::clock::{Clock, VirtualClock};
//! use fourfold::continuous::{ContinuousPipeline, Ended};
//! use fourfold::data::{RollingWindow, SpanBatches};
//! use fourfold::prelude::*;
//!
//! /// A day of parcels; one day their weight is in pounds.
//! fn day(n: i64) -> fourfold::Result<RecordBatch> {
//!     let unit = if n == 3 { 2.2 } else { 1.0 };
//!     let kilograms = (0..400).map(|i| f64::from((i * 37 + n as i32) % 100));
//!     let late = kilograms.clone().map(|kilograms| Some(kilograms > 60.0));
//!     let columns: [(&str, ArrayRef); 2] = [
//!         ("kilograms", Arc::new(Float64Array::from_iter_values(kilograms.map(|k| k * unit)))),
//!         ("late", Arc::new(late.collect::<BooleanArray>())),
//!     ];
//!     Ok(RecordBatch::try_from_iter(columns)?)
//! }
//!
//! let days = SpanBatches::new("parcels");
//! for n in 1..=5 {
//!     days.push(n, [day(n)?]);
//! }
//! let dir = tempfile::tempdir().map_err(|error| Error::io("making a directory", error))?;
//! let pipeline = Pipeline::builder("parcels")
//!     .data(RollingWindow::new(days, 3).label("late").transform(Transform::new().z_score("kilograms")))
//!     .train(LogisticRegression::default())
//!     .evaluate(Thresholds::new().at_least("auc", 0.9))
//!     .serve(InProcess::new())
//!     .root(dir.path())
//!     .build()?;
//! let clock = VirtualClock::at_seconds(1_800_000_000);
//! let parcels = ContinuousPipeline::of(pipeline)
//!     .clock(clock.clone())
//!     .on_alert(|alert| eprintln!("{alert}"))
//!     .build()?;
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let midnight = clock.now();
//! let arrivals = (1..=5).map(|n| (n, midnight + Duration::from_secs(86_400 * n as u64)));
//! let steps = parcels.replay(arrivals, &clock).await?;
//! assert_eq!(steps[2].ended, Ended::BadSpan); // the day of pounds
//! assert_eq!(steps[4].window, [2, 4, 5]);
//! assert_eq!(steps[4].ended.name(), "deployed");
//! # Ok::<(), Error>(())
//! # })?;
//! # }
//! # Ok::<(), fourfold::Error>(())
//! ```
//!
//! In a service, [`run_until`](ContinuousPipeline::run_until) is spawned beside the server, and told when to stop:
//!
//! ```
//! # use fourfold::continuous::ContinuousPipeline;
//! # use fourfold::data::SpanSource;
//! # use fourfold::prelude::*;
//! # async fn serve<S: SpanSource, T: Trainer, V: Validator<T::Model>, R: Server<T::Model>>(
//! #     pipeline: ContinuousPipeline<S, T, V, R>, server: impl Future<Output = ()>) {
//! let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
//! let training = tokio::spawn(async move { pipeline.run_until(async { drop(stopped.await) }).await });
//! server.await;
//! drop(stop);
//! training.await.ok();
//! # }
//! ```
//!
//! # Labels that come later
//!
//! [`LabelledRequests`] joins the log of a server with labels. They give [live metrics](ContinuousPipeline::live) of each
//! version, decide about [canaries](Canary), and are a source of spans themselves: what was served trains the next model.
//!
//! Architecture invariant: the loop deploys nothing by itself. All models come through [`Pipeline::run`], and so does the
//! verdict; a canary moves traffic between versions that were blessed.

mod alert;
mod builder;
mod canary;
mod check;
mod gauges;
mod labels;
mod live;
mod look;
mod replay;
mod run;
mod sequential;
mod state;
mod step;
#[cfg(test)]
mod tests;
mod trigger;
mod view;
mod watch;

use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex as SyncMutex, PoisonError};

use tokio::sync::Mutex;

pub use self::alert::{Alert, AlertKind};
pub use self::builder::ContinuousBuilder;
use self::builder::Setup;
pub use self::canary::Canary;
pub use self::check::SpanCheck;
use self::gauges::Gauges;
pub use self::labels::LabelledRequests;
pub use self::live::{LiveMetrics, Loss};
pub use self::sequential::{Decision, Evidence, Sequence, SequentialTest};
use self::state::Store;
pub use self::step::{Ended, Step};
pub use self::trigger::{BackOff, Signal, Trigger};
use self::view::View;
#[cfg(doc)]
use crate::clock::VirtualClock;
use crate::data::{RollingWindow, SpanSource};
use crate::error::{Error, Result};
use crate::evaluation::Validator;
use crate::pipeline::Pipeline;
use crate::serving::Server;
use crate::training::Trainer;

/// A pipeline that trains again as spans arrive; see [the module](crate::continuous).
#[derive(Debug)]
pub struct ContinuousPipeline<S, T, V, R> {
    pipeline: Pipeline<RollingWindow<S>, T, V, R>,
    setup: Setup,
    /// Steps are taken one at a time.
    store: Mutex<Store>,
    name: Arc<str>,
    /// The endpoint of the last deployment: a server may stop when its last endpoint is dropped.
    held: SyncMutex<Option<Box<dyn Any + Send>>>,
    /// The canary whose traffic share this process has set.
    shared: AtomicU64,
    /// The part of the request log that was already read.
    view: Mutex<View>,
}

/// No version.
const NONE: u64 = u64::MAX;

/// Runs work that waits for a disk or computes for long off the async threads.
async fn blocking<O: Send + 'static>(
    work: impl FnOnce() -> Result<O> + Send + 'static,
) -> Result<O> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::internal("work on a disk panicked").with_source(error))?
}

impl<S, T, V, R> ContinuousPipeline<S, T, V, R>
where
    S: SpanSource,
    T: Trainer,
    V: Validator<T::Model>,
    R: Server<T::Model>,
{
    /// Sets up the loop around a pipeline over a window of spans.
    pub fn of(pipeline: Pipeline<RollingWindow<S>, T, V, R>) -> ContinuousBuilder<S, T, V, R> {
        ContinuousBuilder::new(pipeline)
    }

    fn new(pipeline: Pipeline<RollingWindow<S>, T, V, R>, setup: Setup, store: Store) -> Self {
        ContinuousPipeline {
            name: pipeline.name().into(),
            pipeline,
            setup,
            store: Mutex::new(store),
            held: SyncMutex::default(),
            shared: AtomicU64::new(NONE),
            view: Mutex::default(),
        }
    }

    /// The pipeline's name, which is that of its model.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The recorded steps from a number on, the oldest first.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) or [`ErrorKind::Io`](crate::ErrorKind::Io) if a record cannot be read.
    pub async fn steps(&self, from: u64) -> Result<Vec<Step>> {
        let store = self.store.lock().await;
        let (dir, n) = (store.dir(), store.state.n_steps);
        drop(store);
        blocking(move || state::read_steps(&dir, from..n)).await
    }

    fn window(&self) -> &RollingWindow<S> {
        self.pipeline.data().source()
    }

    /// Sends an alert to listeners, log and metrics.
    fn alert(&self, kind: AlertKind, span: Option<i64>, message: impl Into<String>) {
        let alert = Alert {
            pipeline: self.name.to_string(),
            at_ms: self.setup.clock.now_ms(),
            kind,
            span,
            message: message.into(),
        };
        self.gauges().alerted(&alert);
        self.setup.listeners.tell(&alert);
    }

    /// The metrics that were given, or else those of the server.
    fn gauges(&self) -> Gauges {
        #[cfg(feature = "http")]
        let gauges = self.setup.gauges.or(|| self.pipeline.server().metrics());
        #[cfg(not(feature = "http"))]
        let gauges = self.setup.gauges.clone();
        gauges
    }

    fn hold(&self, endpoint: Box<dyn Any + Send>) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        *held = Some(endpoint);
    }

    fn shared(&self) -> Option<u64> {
        let shared = self.shared.load(Ordering::Relaxed);
        (shared != NONE).then_some(shared)
    }

    fn set_shared(&self, version: u64) {
        self.shared.store(version, Ordering::Relaxed);
    }
}
