//! Progress events of a running pipeline.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::warning::Warning;

/// The steps of a run, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Step {
    /// Rows are read, labelled and split.
    Read,
    /// Statistics are computed, the schema is inferred and compared with them.
    Analyse,
    /// The transform is fitted.
    Transform,
    /// The model is trained.
    Train,
    /// The model is evaluated and validated.
    Evaluate,
    /// The model is deployed.
    Deploy,
}

impl Step {
    /// All steps.
    pub const ALL: [Step; 6] = [
        Step::Read,
        Step::Analyse,
        Step::Transform,
        Step::Train,
        Step::Evaluate,
        Step::Deploy,
    ];

    /// Its name, such as `read`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Step::Read => "read",
            Step::Analyse => "analyse",
            Step::Transform => "transform",
            Step::Train => "train",
            Step::Evaluate => "evaluate",
            Step::Deploy => "deploy",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An event of a run.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A step has begun.
    Started(Step),
    /// A step is under way: `done` of `total` (where that is known) units.
    Advanced {
        /// The step.
        step: Step,
        /// Units done: rows or iterations.
        done: u64,
        /// All units.
        total: Option<u64>,
    },
    /// A step reports an intermediate result, such as a trial of a search that has ended, on one line.
    Message {
        /// The step.
        step: Step,
        /// The line, without its end.
        text: String,
    },
    /// A warning, as soon as it is found.
    Warned(Warning),
    /// A step has ended.
    Finished(Step, Duration),
}

type Listener = Arc<dyn Fn(&Event) + Send + Sync>;

/// The receiver of events of stages, and the clock of a run. Cheap to clone; the default ignores events.
#[derive(Clone, Default)]
pub struct Progress {
    listener: Option<Listener>,
    timings: Arc<Mutex<Vec<(Step, Duration)>>>,
}

impl Progress {
    /// Sends events to a listener, which is called from several threads and should return soon.
    #[must_use]
    pub fn to(listener: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        Progress {
            listener: Some(Arc::new(listener)),
            timings: Arc::default(),
        }
    }

    /// Sends an event.
    pub fn tell(&self, event: &Event) {
        if let Some(listener) = &self.listener {
            listener(event);
        }
    }

    /// Begins a step, which ends when the result is dropped.
    #[must_use]
    pub fn step(&self, step: Step) -> RunningStep {
        self.tell(&Event::Started(step));
        RunningStep {
            progress: self.clone(),
            step,
            started: Instant::now(),
        }
    }

    /// The same listener with a new clock: for one more run.
    pub(crate) fn fresh(&self) -> Self {
        Progress {
            listener: self.listener.clone(),
            timings: Arc::default(),
        }
    }

    /// The durations of the steps that have ended, in their order.
    #[must_use]
    pub fn timings(&self) -> Vec<(Step, Duration)> {
        self.timings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Progress")
            .field("timings", &self.timings())
            .finish_non_exhaustive()
    }
}

/// A step under way.
#[derive(Debug)]
pub struct RunningStep {
    progress: Progress,
    step: Step,
    started: Instant,
}

impl RunningStep {
    /// Tells how far it is.
    pub fn advance(&self, done: u64, total: Option<u64>) {
        self.progress.tell(&Event::Advanced {
            step: self.step,
            done,
            total,
        });
    }
}

impl RunningStep {
    /// The meter of this step, for use from other threads too.
    #[must_use]
    pub fn meter(&self) -> Meter {
        let (progress, step) = (self.progress.clone(), self.step);
        let messages = progress.clone();
        Meter::to(move |done, total| progress.tell(&Event::Advanced { step, done, total }))
            .with_messages(move |text| messages.tell(&Event::Message { step, text }))
    }
}

/// A meter of work that takes long. Cheap to clone; the default ignores events.
///
/// ```
/// use std::sync::Mutex;
/// use std::sync::Arc;
///
/// use fourfold::progress::Meter;
///
/// let seen = Arc::new(Mutex::new(Vec::new()));
/// let log = Arc::clone(&seen);
/// let meter = Meter::to(move |done, total| log.lock().unwrap().push((done, total)));
/// meter.advance(3, 10);
/// meter.advance(4, None);
/// assert_eq!(*seen.lock().unwrap(), [(3, Some(10)), (4, None)]);
/// ```
#[derive(Clone, Default)]
pub struct Meter {
    advance: Option<Arc<Advance>>,
    message: Option<Arc<Say>>,
}

type Advance = dyn Fn(u64, Option<u64>) + Send + Sync;
type Say = dyn Fn(String) + Send + Sync;

impl Meter {
    /// Tells a listener, which may be called from several threads and should return soon.
    #[must_use]
    pub fn to(listener: impl Fn(u64, Option<u64>) + Send + Sync + 'static) -> Self {
        Meter {
            advance: Some(Arc::new(listener)),
            message: None,
        }
    }

    /// The same with a listener for [messages](Meter::message), which may be called from several threads.
    #[must_use]
    pub fn with_messages(mut self, listener: impl Fn(String) + Send + Sync + 'static) -> Self {
        self.message = Some(Arc::new(listener));
        self
    }

    /// Tells that `done` of `total` units (where that is known) are done: iterations, or rows.
    pub fn advance(&self, done: u64, total: impl Into<Option<u64>>) {
        if let Some(listener) = &self.advance {
            listener(done, total.into());
        }
    }

    /// Reports an intermediate result on one line, which is formatted only if there is a listener.
    pub fn message(&self, text: impl FnOnce() -> String) {
        if let Some(listener) = &self.message {
            listener(text());
        }
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.advance {
            Some(_) => "Meter(..)",
            None => "Meter",
        })
    }
}

impl Drop for RunningStep {
    fn drop(&mut self) {
        let elapsed = self.started.elapsed();
        self.progress
            .timings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((self.step, elapsed));
        self.progress.tell(&Event::Finished(self.step, elapsed));
    }
}
