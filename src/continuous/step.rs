//! The steps of the loop.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::sequential::Evidence;
use crate::metrics::Metrics;
use crate::schema::{Anomaly, Comparison};

/// A step of a continuous pipeline: a span that was checked and trained on, or a canary that was decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Step {
    /// The index of the step, from 0.
    pub number: u64,
    /// The time of its end, in milliseconds since 1970-01-01T00:00:00Z.
    pub at_ms: u64,
    /// The reason of the step, such as `span 17`.
    pub reason: String,
    /// The span, if the step is about one.
    pub span: Option<i64>,
    /// The spans of the training window, the newest last.
    #[serde(default)]
    pub window: Vec<i64>,
    /// The anomalies of the span; warnings do not make it bad.
    #[serde(default)]
    pub anomalies: Vec<Anomaly>,
    /// The distances to the previous span that are above their thresholds.
    #[serde(default)]
    pub too_far: Vec<Comparison>,
    /// The anomalies that were accepted into the inferred schema.
    #[serde(default)]
    pub accepted: Vec<String>,
    /// The outcome.
    pub ended: Ended,
    /// The number of attempts to run the pipeline.
    #[serde(default)]
    pub attempts: u32,
    /// The candidate's metrics on the held-out rows of the newest span.
    #[serde(default)]
    pub metrics: Metrics,
    /// The metrics of the model that was serving on the same rows.
    #[serde(default)]
    pub serving_metrics: Metrics,
    /// The id of the run, if the pipeline has a root.
    #[serde(default)]
    pub run: Option<String>,
    /// The evidence about the canary, if the step is about one.
    #[serde(default)]
    pub evidence: Option<Evidence>,
}

/// The outcome of a [`Step`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "as", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Ended {
    /// The candidate serves.
    Deployed {
        /// Its version, if the server counts versions.
        version: Option<u64>,
    },
    /// The candidate serves a share of the traffic, until its labels decide.
    CanaryBegan {
        /// Its version.
        version: u64,
        /// The version that has the rest of the traffic.
        stable: u64,
    },
    /// The candidate was not good enough.
    Rejected {
        /// The failed checks.
        reasons: Vec<String>,
    },
    /// The span is bad: nothing was trained, and no later window has it.
    BadSpan,
    /// The run failed.
    Failed {
        /// The error.
        error: String,
    },
    /// The span is good, and trained on together with a later one: several were there at once, or a canary is undecided.
    Noted,
    /// The canary is no worse, by evidence: it has all traffic.
    Promoted {
        /// Its version.
        version: u64,
    },
    /// The canary does harm, by evidence: it has no traffic.
    RolledBack {
        /// Its version.
        version: u64,
        /// The version that has all traffic again.
        to: u64,
    },
    /// The canary's labels have shown nothing either way in the rows or the time that it had: it has no traffic.
    Undecided {
        /// Its version.
        version: u64,
        /// The version that has all traffic again.
        to: u64,
    },
}

impl Ended {
    /// The name, as written in files and metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Ended::Deployed { .. } => "deployed",
            Ended::CanaryBegan { .. } => "canary_began",
            Ended::Rejected { .. } => "rejected",
            Ended::BadSpan => "bad_span",
            Ended::Failed { .. } => "failed",
            Ended::Noted => "noted",
            Ended::Promoted { .. } => "promoted",
            Ended::RolledBack { .. } => "rolled_back",
            Ended::Undecided { .. } => "undecided",
        }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ended::Deployed {
                version: Some(version),
            } => write!(f, "deployed as version {version}"),
            Ended::Deployed { version: None } => f.write_str("deployed"),
            Ended::CanaryBegan { version, stable } => {
                write!(f, "version {version} is a canary beside version {stable}")
            }
            Ended::Rejected { reasons } => write!(f, "rejected: {}", reasons.join("; ")),
            Ended::BadSpan => f.write_str("bad span, not trained on"),
            Ended::Failed { error } => write!(f, "failed: {error}"),
            Ended::Noted => f.write_str("good, trained on with a later span"),
            Ended::Promoted { version } => write!(f, "version {version} is promoted"),
            Ended::RolledBack { version, to } => {
                write!(
                    f,
                    "version {version} is harmful, rolled back to version {to}"
                )
            }
            Ended::Undecided { version, to } => {
                write!(
                    f,
                    "version {version} is undecided, withdrawn in favour of version {to}"
                )
            }
        }
    }
}

/// One line, and a further one for each anomaly and each accepted value.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.ended)?;
        if let Some(evidence) = &self.evidence {
            write!(f, " ({evidence})")?;
        }
        for accepted in &self.accepted {
            write!(f, "\n  new: {accepted}")?;
        }
        if self.ended == Ended::BadSpan {
            for anomaly in &self.anomalies {
                write!(f, "\n  {}: {anomaly}", anomaly.severity)?;
            }
        }
        Ok(())
    }
}
