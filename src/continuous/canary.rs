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

/// A trial of a new version on live traffic: it gets a share of the requests beside the version that serves, until the labels
/// of the requests that both have answered decide by an anytime-valid [test](SequentialTest).
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

    /// Sets the share of the requests without a version, from 0.001 to 0.999 in steps of 0.001; 0.1 by default.
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

    /// Sets the loss of an answer; the Brier score by default.
    #[must_use]
    pub fn loss(mut self, loss: Loss) -> Self {
        self.loss = loss;
        self
    }

    /// Sets the hypotheses and error rates of the decision.
    #[must_use]
    pub fn test(mut self, test: SequentialTest) -> Self {
        self.test = test;
        self
    }

    /// Sets the number of labelled answers after which an undecided canary is withdrawn; 100,000 by default.
    #[must_use]
    pub fn most_labels(mut self, n: u64) -> Self {
        self.most_labels = n;
        self
    }

    /// Sets the time after which an undecided canary is withdrawn; 30 days by default.
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

    /// Labels the version that answers as stable, so that it keeps the traffic when a newer one is loaded, and returns it. It
    /// blocks.
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

/// A canary that is being tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct CanaryState {
    pub(super) version: u64,
    pub(super) stable: u64,
    /// The time of its start, in milliseconds since 1970-01-01T00:00:00Z.
    pub(super) since_ms: u64,
    /// The evidence of the last look.
    pub(super) evidence: Option<Evidence>,
    /// The decision, which is carried out after it is recorded.
    pub(super) verdict: Option<Verdict>,
}

impl CanaryState {
    /// The time of its start, in microseconds since 1970-01-01T00:00:00Z.
    pub(super) fn since_us(&self) -> i64 {
        i64::try_from(self.since_ms).map_or(i64::MAX, |ms| ms.saturating_mul(1_000))
    }
}

/// The decision about a canary.
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
