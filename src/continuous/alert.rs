//! Alerts and their listeners.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// An event that operators should know about. The loop continues, and the model that serves keeps serving.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Alert {
    /// The pipeline.
    pub pipeline: String,
    /// The time, in milliseconds since 1970-01-01T00:00:00Z.
    pub at_ms: u64,
    /// The kind of event.
    pub kind: AlertKind,
    /// The span concerned, if the alert is about one.
    pub span: Option<i64>,
    /// A description of the event.
    pub message: String,
}

/// The kind of an [`Alert`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AlertKind {
    /// A span does not fit the schema or is too far from the one before: it is not trained on.
    BadSpan,
    /// A span has new columns or values, which were added to the inferred schema.
    NewValues,
    /// A run failed; it is retried if the failure may be temporary.
    RunFailed,
    /// A candidate was rejected.
    Rejected,
    /// Spans or labels could not be listed or read; this is retried.
    SourceFailed,
    /// A canary was harmful and was rolled back.
    RolledBack,
    /// A canary was promoted.
    Promoted,
    /// A canary was withdrawn without evidence either way.
    Undecided,
}

impl Alert {
    /// The time of the alert.
    #[must_use]
    pub fn at(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.at_ms)
    }
}

impl AlertKind {
    /// The name, as written in files and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            AlertKind::BadSpan => "bad_span",
            AlertKind::NewValues => "new_values",
            AlertKind::RunFailed => "run_failed",
            AlertKind::Rejected => "rejected",
            AlertKind::SourceFailed => "source_failed",
            AlertKind::RolledBack => "rolled_back",
            AlertKind::Promoted => "promoted",
            AlertKind::Undecided => "undecided",
        }
    }
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.pipeline, self.kind.name())?;
        if let Some(span) = self.span {
            write!(f, " (span {span})")?;
        }
        write!(f, ": {}", self.message)
    }
}

type Listener = Arc<dyn Fn(&Alert) + Send + Sync>;

/// The callbacks that receive alerts.
#[derive(Clone, Default)]
pub(super) struct Listeners(Vec<Listener>);

impl fmt::Debug for Listeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Listeners({})", self.0.len())
    }
}

impl Listeners {
    pub(super) fn add(&mut self, listener: impl Fn(&Alert) + Send + Sync + 'static) {
        self.0.push(Arc::new(listener));
    }

    /// Calls every listener. A listener that panics stops neither the others nor the loop.
    pub(super) fn tell(&self, alert: &Alert) {
        tracing::warn!(kind = alert.kind.name(), span = alert.span, "{alert}");
        for listener in &self.0 {
            if catch_unwind(AssertUnwindSafe(|| listener(alert))).is_err() {
                tracing::error!("a listener of alerts panicked");
            }
        }
    }
}
