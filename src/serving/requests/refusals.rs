//! Pacing of refusals at capacity: a client that retries at once must not cost as much as an answer.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// One refusal in this time, in the long run: a few hundredths of a core.
const EVERY: Duration = Duration::from_micros(500);

/// The burst that is not delayed.
const BURST: Duration = Duration::from_millis(50);

/// The longest delay of a refusal.
const LONGEST: Duration = Duration::from_secs(1);

/// The pace of refusals.
#[derive(Debug)]
pub(super) struct Refusals {
    epoch: Instant,
    /// Nanoseconds after the epoch.
    next: AtomicU64,
}

impl Default for Refusals {
    fn default() -> Self {
        Refusals {
            epoch: Instant::now(),
            next: AtomicU64::new(0),
        }
    }
}

impl Refusals {
    /// The delay of the next refusal.
    pub(super) fn delay(&self) -> Duration {
        self.delay_at(self.epoch.elapsed())
    }

    fn delay_at(&self, now: Duration) -> Duration {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let (earliest, latest) = (nanos(now.saturating_sub(BURST)), nanos(now + LONGEST));
        let slot = |next: u64| next.max(earliest).min(latest);
        let after = |next: u64| Some(slot(next) + nanos(EVERY));
        let next = self.next.fetch_update(Relaxed, Relaxed, after);
        let next = slot(next.unwrap_or_default());
        Duration::from_nanos(next.saturating_sub(nanos(now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_are_told_at_once_and_a_flood_waits() {
        let refusals = Refusals::default();
        let start = Duration::from_secs(10);
        let at_once = (0..100).all(|_| refusals.delay_at(start).is_zero());
        assert!(at_once);
        let delays: Vec<Duration> = (0..4_000).map(|_| refusals.delay_at(start)).collect();
        assert!(delays.is_sorted());
        assert!(delays[10] >= EVERY * 9 && delays[10] <= EVERY * 11);
        assert_eq!(delays.last(), Some(&LONGEST));
        // When it is over, it is forgotten.
        assert!(refusals.delay_at(start + 3 * LONGEST).is_zero());
    }
}
