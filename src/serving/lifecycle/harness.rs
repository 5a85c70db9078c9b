//! One version: its phase, its failures, and its resources.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use super::loader::with_margin;
use super::{FoundVersion, State};
use crate::model::Servable;
use crate::serving::Predictor;

/// A version of a model that the manager knows.
#[derive(Debug)]
pub(super) struct Harness {
    pub(super) found: FoundVersion,
    /// True if the source still has it.
    pub(super) is_found: bool,
    pub(super) is_wanted: bool,
    /// True if it is wanted only for a label, a share of the traffic or the shadow that names it.
    pub(super) is_aside: bool,
    /// True if it was requested; with lazy loading, only such a version is loaded.
    pub(super) is_demanded: bool,
    /// True if it waits for memory.
    pub(super) is_blocked: bool,
    pub(super) phase: Phase,
    pub(super) failure: Option<Failure>,
    /// The reason why it waits.
    pub(super) note: Option<String>,
    /// The memory that it takes, in bytes, from before it is loaded until it is dropped.
    pub(super) reserved: u64,
    /// The memory that its loader estimated.
    pub(super) estimate: Option<u64>,
}

/// The phase of a version.
#[derive(Debug)]
pub(super) enum Phase {
    Idle,
    /// It is to be loaded once there is a thread and memory.
    Queued,
    Loading {
        since: Instant,
        is_slow: bool,
    },
    Available(Loaded),
    /// Lookups no longer find it; it is dropped when the last request that holds it ends.
    Draining {
        loaded: Loaded,
        reason: String,
        /// True if it is unloaded to make room, although it is wanted.
        is_evicted: bool,
    },
    /// It is with an unloading thread.
    Dropping {
        reason: String,
    },
}

/// A version in memory.
#[derive(Clone, Debug)]
pub(super) struct Loaded {
    pub(super) servable: Arc<Servable>,
    /// The time of the last lookup, in the manager's milliseconds.
    pub(super) used: Arc<AtomicU64>,
}

/// The reason why a version could not be loaded.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) reason: String,
    pub(super) n_tries: u32,
    /// The time of the next attempt; `None` without one.
    pub(super) due: Option<Instant>,
}

/// The retries of a version that cannot be loaded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retries {
    pub(super) n: u32,
    pub(super) backoff: Duration,
}

impl Retries {
    /// The longest time between two tries, where the first is shorter.
    const LONGEST: Duration = Duration::from_secs(60);

    /// The time of the next attempt after this number of attempts.
    pub(super) fn due(&self, n_tries: u32, now: Instant) -> Option<Instant> {
        if n_tries > self.n {
            return None;
        }
        let doubled = self
            .backoff
            .saturating_mul(1 << n_tries.saturating_sub(1).min(20));
        now.checked_add(doubled.min(Retries::LONGEST.max(self.backoff)))
    }
}

impl Harness {
    pub(super) fn new(found: FoundVersion) -> Self {
        Harness {
            found,
            is_found: true,
            is_wanted: true,
            is_aside: false,
            is_demanded: false,
            is_blocked: false,
            phase: Phase::Idle,
            failure: None,
            note: None,
            reserved: 0,
            estimate: None,
        }
    }

    pub(super) fn version(&self) -> u64 {
        self.found.version()
    }

    /// The state that is shown.
    pub(super) fn state(&self) -> State {
        match &self.phase {
            Phase::Idle if self.is_given_up() => State::End,
            Phase::Idle | Phase::Queued => State::Start,
            Phase::Loading { .. } => State::Loading,
            Phase::Available(_) => State::Available,
            Phase::Draining { .. } | Phase::Dropping { .. } => State::Unloading,
        }
    }

    /// The state that a policy sees: a version that is not to be loaded now, or not yet, is at its end, and so is one
    /// that hangs and is no longer wanted.
    pub(super) fn state_for_policy(&self, now: Instant, may_load: bool) -> State {
        match &self.phase {
            Phase::Idle if !self.is_due(now) || !may_load => State::End,
            Phase::Queued => State::Loading,
            // It may never end; what it takes stays counted.
            Phase::Loading { is_slow: true, .. } if !self.is_wanted => State::End,
            _ => self.state(),
        }
    }

    /// The reason why it does not answer.
    pub(super) fn reason(&self) -> Option<&str> {
        match &self.phase {
            Phase::Available(_) => None,
            Phase::Draining { reason, .. } | Phase::Dropping { reason } => Some(reason),
            Phase::Idle | Phase::Queued | Phase::Loading { .. } => self
                .failure
                .as_ref()
                .map(|failure| failure.reason.as_str())
                .or(self.note.as_deref()),
        }
    }

    pub(super) fn is_available(&self) -> bool {
        matches!(self.phase, Phase::Available(_))
    }

    /// Returns `true` if it is being loaded and not slow yet.
    pub(super) fn is_loading_in_time(&self) -> bool {
        matches!(self.phase, Phase::Loading { is_slow: false, .. })
    }

    /// Returns `true` if it holds no memory and no thread.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Idle | Phase::Queued)
    }

    /// Returns `true` if it is loaded lazily and was not requested yet, or not since it was evicted.
    pub(super) fn is_at_rest(&self) -> bool {
        let is_out = match &self.phase {
            Phase::Idle => !self.has_failed(),
            Phase::Draining { .. } | Phase::Dropping { .. } => self.is_wanted,
            Phase::Queued | Phase::Loading { .. } | Phase::Available(_) => false,
        };
        is_out && !self.is_demanded
    }

    /// Returns `true` if the last load failed; it may be loading again.
    pub(super) fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    fn is_given_up(&self) -> bool {
        self.failure
            .as_ref()
            .is_some_and(|failure| failure.due.is_none() || !self.is_wanted)
    }

    fn is_due(&self, now: Instant) -> bool {
        self.failure
            .as_ref()
            .is_none_or(|failure| failure.due.is_some_and(|due| due <= now))
    }

    /// The estimated memory before its loader was asked. It reads no files: where their size is unknown, that
    /// is found out on the thread that loads it.
    pub(super) fn guess(&self) -> u64 {
        let of_files = || self.found.known_n_bytes().map(with_margin);
        self.estimate.or_else(of_files).unwrap_or_default()
    }

    pub(super) fn predictor(&self) -> Option<Predictor> {
        match &self.phase {
            Phase::Available(loaded) => {
                Some(Predictor::new(self.version(), Arc::clone(&loaded.servable)))
            }
            _ => None,
        }
    }

    /// Updates it from the source's latest listing; rewritten files are tried again.
    pub(super) fn update(&mut self, found: &FoundVersion) {
        if self.found.written() != found.written() {
            self.failure = None;
            self.estimate = None;
        }
        self.is_found = true;
        self.found = found.clone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_are_further_and_further_apart() {
        let now = Instant::now();
        let retries = Retries {
            n: 8,
            backoff: Duration::from_secs(1),
        };
        let seconds = |n_tries| {
            let due = retries.due(n_tries, now);
            due.map(|due| due.duration_since(now).as_secs())
        };
        let expected = [1, 2, 4, 8, 16, 32, 60, 60].map(Some);
        for (n_tries, expected) in (1..).zip(expected) {
            assert_eq!(seconds(n_tries), expected, "after {n_tries} tries");
        }
        assert_eq!(seconds(9), None);
        let never = Retries { n: 0, ..retries };
        assert_eq!(never.due(1, now), None);
        let for_ever = Retries {
            n: u32::MAX,
            backoff: Duration::from_secs(300),
        };
        let due = for_ever.due(u32::MAX, now).unwrap();
        assert_eq!(due.duration_since(now).as_secs(), 300);
    }
}
