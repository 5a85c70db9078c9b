//! What people are told of.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Something that people should know of. The loop has gone on, and what served goes on serving.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Alert {
    /// The pipeline.
    pub pipeline: String,
    /// When, in milliseconds since 1970-01-01T00:00:00Z.
    pub at_ms: u64,
    /// What kind of thing.
    pub kind: AlertKind,
    /// The span that it is about, if it is about one.
    pub span: Option<i64>,
    /// What happened.
    pub message: String,
}

/// What an [`Alert`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AlertKind {
    /// A span does not fit the schema or is too far from the one before: it is not trained on.
    BadSpan,
    /// A span has columns or values that are new, and were taken into the inferred schema.
    NewValues,
    /// A run has failed; it is tried again if the reason may pass.
    RunFailed,
    /// A candidate was rejected.
    Rejected,
    /// It could not be looked which spans or labels there are; it is tried again.
    SourceFailed,
    /// A canary does harm, and was rolled back.
    RolledBack,
    /// A canary was promoted.
    Promoted,
    /// A canary was withdrawn without evidence either way.
    Undecided,
}

impl AlertKind {
    /// The name, as it stands in files and metrics.
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

/// Who is told.
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

    /// Tells all. One that panics stops neither the others nor the loop.
    pub(super) fn tell(&self, alert: &Alert) {
        tracing::warn!(kind = alert.kind.name(), span = alert.span, "{alert}");
        for listener in &self.0 {
            if catch_unwind(AssertUnwindSafe(|| listener(alert))).is_err() {
                tracing::error!("a listener of alerts panicked");
            }
        }
    }
}
