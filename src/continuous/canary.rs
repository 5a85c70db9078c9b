//! A new version beside the old one, on a share of the traffic, until its labels decide.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::live::Loss;
use super::sequential::{Decision, Evidence, SequentialTest};
use crate::error::{Error, Result};
use crate::serving::lifecycle::{Traffic, VersionRef};
use crate::serving::{Endpoint, Manager};

/// The label of the version that has the traffic; a [`Manager`] answers with it where no version is named.
pub(super) const STABLE: &str = "stable";

/// How a new version is tried on live traffic: beside the version that serves, with a share of the requests, until the labels
/// of what both have answered decide by a [test](SequentialTest) that may be looked at at any time.
///
/// The version that serves has the label `stable`, which the canary gets when it is promoted. It is rolled back at once
/// on evidence of harm. While it is out, new spans are checked and noted, and trained on once it is decided.
///
/// ```
/// use std::time::Duration;
///
/// use fourfold::continuous::{Canary, Loss, SequentialTest};
/// use fourfold::serving::InProcess;
///
/// # async fn set_up(server: &InProcess) -> fourfold::Result<()> {
/// let endpoint = server.open("flights").await?;
/// let canary = Canary::of(&endpoint)
///     .share(0.1)
///     .loss(Loss::Brier)
///     .test(SequentialTest::new().alpha(0.01).margin(0.005))
///     .up_to(Duration::from_secs(14 * 86_400));
/// # let _ = canary;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Canary {
    manager: Arc<Manager>,
    share: f64,
    by_key: bool,
    pub(super) loss: Loss,
    pub(super) test: SequentialTest,
    pub(super) most_labels: u64,
    pub(super) most_time: Duration,
}

impl Canary {
    /// Canaries on the server of an endpoint: a tenth of the requests, judged by the [Brier score](Loss::Brier), for 30 days
    /// and 100,000 labels at most.
    #[must_use]
    pub fn of(endpoint: &Endpoint) -> Self {
        Canary::on(Arc::clone(endpoint.manager()))
    }

    /// Canaries on a manager, likewise.
    #[must_use]
    pub fn on(manager: Arc<Manager>) -> Self {
        Canary {
            manager,
            share: 0.1,
            by_key: false,
            loss: Loss::Brier,
            test: SequentialTest::default(),
            most_labels: 100_000,
            most_time: Duration::from_secs(30 * 86_400),
        }
    }

    /// The share of the requests that name no version, between 0 and 1 and in steps of a thousandth.
    #[must_use]
    pub fn share(mut self, share: f64) -> Self {
        self.share = share;
        self
    }

    /// Divides the requests by their routing key, so that a key always gets the same version, instead of by chance.
    #[must_use]
    pub fn by_key(mut self) -> Self {
        self.by_key = true;
        self
    }

    /// How wrong an answer was.
    #[must_use]
    pub fn loss(mut self, loss: Loss) -> Self {
        self.loss = loss;
        self
    }

    /// What to decide between, and how surely.
    #[must_use]
    pub fn test(mut self, test: SequentialTest) -> Self {
        self.test = test;
        self
    }

    /// After so many labelled answers of the canary without a decision it is withdrawn.
    #[must_use]
    pub fn most_labels(mut self, n: u64) -> Self {
        self.most_labels = n;
        self
    }

    /// After such a time without a decision it is withdrawn.
    #[must_use]
    pub fn up_to(mut self, time: Duration) -> Self {
        self.most_time = time;
        self
    }

    fn per_mille(&self) -> u32 {
        (self.share * 1_000.0).round() as u32
    }

    pub(super) fn check(&self) -> Result<()> {
        if !(1..=999).contains(&self.per_mille()) {
            return Err(Error::config(format!(
                "the canary's `share` is {}, must be from 0.001 to 0.999",
                self.share
            )));
        }
        self.loss.check()?;
        self.test.check()
    }

    /// Has the version that answers keep the traffic when a newer one is loaded; which one that is. It blocks.
    pub(super) fn pin(&self, model: &str) -> Result<Option<u64>> {
        let Some(answering) = self.manager.answering(model) else {
            return Ok(None);
        };
        let version = answering.version();
        self.manager.set_label(model, STABLE, version)?;
        Ok(Some(version))
    }

    /// Shares the traffic. It blocks.
    pub(super) fn begin(&self, model: &str, state: &CanaryState) -> Result<()> {
        let canary = self.per_mille();
        let shares = [
            (VersionRef::from(STABLE), 1_000 - canary),
            (VersionRef::from(state.version), canary),
        ];
        let traffic = match self.by_key {
            // Other keys than those of the last canary.
            true => Traffic::by_key(shares)?.seed(state.version),
            false => Traffic::by_weight(shares)?,
        };
        self.manager.set_traffic(model, Some(&traffic))
    }

    /// Gives all traffic to one of the two. It blocks.
    pub(super) fn end(&self, model: &str, state: &CanaryState) -> Result<()> {
        if state.verdict == Some(Verdict::Promote) {
            self.manager.set_label(model, STABLE, state.version)?;
        }
        self.manager.set_traffic(model, None)
    }
}

/// A canary that is out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct CanaryState {
    pub(super) version: u64,
    pub(super) stable: u64,
    /// Since when, in milliseconds since 1970-01-01T00:00:00Z.
    pub(super) since_ms: u64,
    /// What the labels have shown when it was looked last.
    pub(super) evidence: Option<Evidence>,
    /// What was decided, and is being done.
    pub(super) verdict: Option<Verdict>,
}

/// What becomes of a canary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    Promote,
    RollBack,
    Withdraw,
}

impl From<Decision> for Verdict {
    fn from(decision: Decision) -> Self {
        match decision {
            Decision::Promote => Verdict::Promote,
            Decision::RollBack => Verdict::RollBack,
        }
    }
}
