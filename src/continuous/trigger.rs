//! The triggers of the loop, and its back-off.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::error::{Error, Result};

/// An event that makes a continuous pipeline look for spans, or train. Several may be given; by default the pipeline looks
/// for spans every minute.
#[derive(Clone, Debug)]
pub struct Trigger(pub(super) Kind);

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Spans(Duration),
    Schedule(Duration),
    Signal(Signal),
}

impl Trigger {
    /// Looks for new spans at an interval, and at canaries and live metrics too.
    #[must_use]
    pub fn spans_every(time: Duration) -> Self {
        Trigger(Kind::Spans(time))
    }

    /// Trains at an interval, whether there are new spans or not. The time of the last training is in the state, so that a
    /// restart does not restart the schedule.
    #[must_use]
    pub fn schedule(every: Duration) -> Self {
        Trigger(Kind::Schedule(every))
    }

    /// Looks or trains when the application [signals](Signal) it.
    #[must_use]
    pub fn signal(signal: &Signal) -> Self {
        Trigger(Kind::Signal(signal.clone()))
    }

    pub(super) fn check(&self) -> Result<()> {
        match self.0 {
            Kind::Spans(Duration::ZERO) | Kind::Schedule(Duration::ZERO) => Err(Error::config(
                "a trigger has an interval of 0 s, must be above 0 s",
            )),
            _ => Ok(()),
        }
    }
}

/// The channel by which an application tells a continuous pipeline to look or to train. Clones are one channel. What is said
/// before the loop listens is not lost; what is said several times is done once.
///
/// ```
/// use fourfold::continuous::Signal;
/// use fourfold::serving::observe::{DriftMonitor, DriftOptions};
///
/// let signal = Signal::new();
/// signal.look(); // a file has arrived
/// signal.retrain("prices have changed");
/// // What is served is no longer like what was trained on: train anew.
/// let monitor = DriftMonitor::start(DriftOptions::default(), signal.on_drift("flights"))?;
/// # let _ = monitor;
/// # Ok::<(), fourfold::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Signal(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    said: Mutex<Said>,
    notify: Notify,
}

/// The requests since the last call of [`Signal::take`].
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) look: bool,
    /// The reason to train; the first of several.
    pub(super) retrain: Option<String>,
}

impl Signal {
    /// A new channel.
    #[must_use]
    pub fn new() -> Self {
        Signal::default()
    }

    /// Requests a look for new spans.
    pub fn look(&self) {
        self.say(|said| said.look = true);
    }

    /// Requests training on the newest window, for a reason that is recorded.
    pub fn retrain(&self, reason: impl Into<String>) {
        let reason = reason.into();
        self.say(|said| {
            said.retrain.get_or_insert(reason);
        });
    }

    /// A listener for a [`DriftMonitor`](crate::serving::observe::DriftMonitor): it trains anew when what a model is asked or answers
    /// has drifted.
    #[cfg(feature = "http")]
    pub fn on_drift(
        &self,
        model: impl Into<String>,
    ) -> impl Fn(&crate::serving::observe::DriftReport) + Send + Sync + 'static {
        let (signal, model) = (self.clone(), model.into());
        move |report| {
            if report.model == model && report.has_enough_rows && report.has_drifted() {
                signal.retrain(format!("drift in serving: {report}"));
            }
        }
    }

    fn say(&self, change: impl FnOnce(&mut Said)) {
        let mut said = self.0.said.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut said);
        drop(said);
        // Stored for the next waiter if there is none now.
        self.0.notify.notify_one();
    }

    pub(super) fn take(&self) -> Said {
        let mut said = self.0.said.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *said)
    }

    pub(super) async fn said(&self) {
        self.0.notify.notified().await;
    }
}

/// The waits after failures: doubled with each failure in a row, up to a limit.
///
/// ```
/// use std::time::Duration;
///
/// use fourfold::continuous::BackOff;
///
/// // After a second, two, four .. and a minute at most; a run is tried five times.
/// let back_off = BackOff::from(Duration::from_secs(1)).up_to(Duration::from_secs(60)).attempts(5);
/// # let _ = back_off;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackOff {
    first: Duration,
    most: Duration,
    attempts: u32,
}

impl From<Duration> for BackOff {
    /// The first wait; the others are twice the one before, up to 64 times the first. A run is tried three times.
    fn from(first: Duration) -> Self {
        BackOff {
            first,
            most: first.saturating_mul(64),
            attempts: 3,
        }
    }
}

impl Default for BackOff {
    /// The first wait is ten seconds.
    fn default() -> Self {
        BackOff::from(Duration::from_secs(10))
    }
}

impl BackOff {
    /// Sets the longest wait; 64 times the first by default.
    #[must_use]
    pub fn up_to(mut self, most: Duration) -> Self {
        self.most = most;
        self
    }

    /// Sets the number of attempts of a run whose failure [may be temporary](crate::pipeline::PipelineBuilder::retry), at least
    /// 1; 3 by default. Other failures are not retried. After the last attempt the loop continues with the next span.
    #[must_use]
    pub fn attempts(mut self, n: u32) -> Self {
        self.attempts = n;
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        match self.attempts {
            0 => Err(Error::config(
                "back-off: `attempts` is 0, must be at least 1",
            )),
            _ => Ok(()),
        }
    }

    pub(super) fn n_attempts(&self) -> u32 {
        self.attempts
    }

    /// The wait after a number of failures in a row, at least one.
    pub(super) fn wait(&self, failures: u32) -> Duration {
        let factor = 2_u32.saturating_pow(failures.saturating_sub(1));
        self.first.saturating_mul(factor).min(self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_limit() {
        let back_off = BackOff::from(Duration::from_secs(1)).up_to(Duration::from_secs(6));
        let waits = (1..=5).map(|n| back_off.wait(n).as_secs());
        assert_eq!(waits.collect::<Vec<_>>(), [1, 2, 4, 6, 6]);
        assert_eq!(BackOff::default().wait(u32::MAX).as_secs(), 640);
    }

    #[tokio::test]
    async fn what_is_said_before_somebody_listens_is_not_lost() {
        let signal = Signal::new();
        signal.retrain("first");
        signal.clone().retrain("second");
        signal.said().await;
        let said = signal.take();
        assert_eq!(said.retrain.as_deref(), Some("first"));
        assert!(!said.look && signal.take().retrain.is_none());
    }
}
