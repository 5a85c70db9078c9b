//! Calls that run on the threads of the async runtime.
//!
//! Architecture invariant: calls of models never hold all threads of a runtime that has two or more, however they hang. A
//! runtime of one thread has none to spare: there a model that was quick and begins to hang holds it until it ends. Held by
//! `tests/isolation.rs`.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

/// A call that runs this many times longer than was expected is taken to hang,
const HANGS_AFTER_TIMES: u32 = 20;
/// but not before this.
const HANGS_AFTER: Duration = Duration::from_millis(1);

/// The number of calls that hold a thread of the async runtime, of all models of a core.
#[derive(Debug, Default)]
pub(super) struct HeldThreads(AtomicUsize);

#[derive(Debug)]
struct Held<'a>(&'a AtomicUsize);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}

impl HeldThreads {
    /// All threads of the runtime that this one belongs to but one; at least one.
    fn most() -> usize {
        thread_local! {
            /// A worker thread belongs to one runtime as long as it lives.
            static MOST: Cell<usize> = const { Cell::new(0) };
        }
        let known = MOST.get();
        if known > 0 {
            return known;
        }
        let workers = Handle::try_current().map_or(1, |handle| handle.metrics().num_workers());
        let most = workers.saturating_sub(1).max(1);
        MOST.set(most);
        most
    }

    fn hold(&self, most: usize) -> Option<Held<'_>> {
        let begun = self.0.fetch_add(1, Ordering::Acquire);
        let held = Held(&self.0);
        (begun < most).then_some(held)
    }
}

/// The reason why a call is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// Others are at work that end soon.
    Busy,
    /// One takes longer than it should.
    Hangs,
}

/// The calls of a version that run on threads that must not be blocked. As soon as one is slow, none is admitted
/// until it has ended.
#[derive(Debug)]
pub(super) struct Inline {
    epoch: Instant,
    /// The begin of the call of a place, in nanoseconds after the epoch; 0 for a free place.
    places: [AtomicU64; 8],
}

/// A place, held.
#[derive(Debug)]
pub(super) struct Place<'a> {
    began: &'a AtomicU64,
    _held: Held<'a>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.began.store(0, Ordering::Release);
    }
}

impl Inline {
    pub(super) fn new() -> Self {
        Inline {
            epoch: Instant::now(),
            places: Default::default(),
        }
    }

    /// Admits a call, if there is a place, no other hangs, and a thread is left for other work.
    pub(super) fn enter<'a>(
        &'a self,
        threads: &'a HeldThreads,
        expected: Duration,
        now: Instant,
    ) -> Result<Place<'a>, Full> {
        self.enter_of(threads, HeldThreads::most(), expected, now)
    }

    fn enter_of<'a>(
        &'a self,
        threads: &'a HeldThreads,
        most: usize,
        expected: Duration,
        now: Instant,
    ) -> Result<Place<'a>, Full> {
        let now = now.saturating_duration_since(self.epoch).as_nanos() as u64;
        let limit = expected.saturating_mul(HANGS_AFTER_TIMES).max(HANGS_AFTER);
        let limit = limit.as_nanos() as u64;
        let mut free = None;
        for place in &self.places {
            match place.load(Ordering::Relaxed) {
                0 => free = free.or(Some(place)),
                began if now.saturating_sub(began) > limit => return Err(Full::Hangs),
                _ => {}
            }
        }
        let began = free.ok_or(Full::Busy)?;
        let held = threads.hold(most).ok_or(Full::Busy)?;
        began
            .compare_exchange(0, now.max(1), Ordering::AcqRel, Ordering::Relaxed)
            .map_err(|_| Full::Busy)?;
        Ok(Place { began, _held: held })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPECTED: Duration = Duration::from_micros(100);

    #[test]
    fn a_call_that_hangs_keeps_others_out_until_it_ends() {
        let (inline, threads) = (Inline::new(), HeldThreads::default());
        let enter = |at| inline.enter_of(&threads, 8, EXPECTED, at);
        let start = inline.epoch + Duration::from_secs(1);
        let hangs = enter(start).unwrap();
        drop(enter(start + EXPECTED * 10).unwrap());
        let later = start + EXPECTED * 21;
        assert_eq!(enter(later).unwrap_err(), Full::Hangs);
        drop(hangs);
        assert!(enter(later).is_ok());
    }

    #[test]
    fn what_is_very_quick_has_a_millisecond() {
        let (inline, threads) = (Inline::new(), HeldThreads::default());
        let enter = |at| inline.enter_of(&threads, 8, Duration::from_micros(1), at);
        let _held = enter(inline.epoch).unwrap();
        assert!(enter(inline.epoch + HANGS_AFTER).is_ok());
        assert!(enter(inline.epoch + HANGS_AFTER * 2).is_err());
    }

    #[test]
    fn a_version_has_eight_places_and_all_versions_one_less_than_there_are_threads() {
        let (one, other, threads) = (Inline::new(), Inline::new(), HeldThreads::default());
        let enter_one = || one.enter_of(&threads, 9, EXPECTED, one.epoch);
        let enter_other = || other.enter_of(&threads, 9, EXPECTED, other.epoch);
        let held: Vec<_> = (0..8).map(|_| enter_one()).collect();
        assert!(held.iter().all(Result::is_ok));
        assert_eq!(enter_one().unwrap_err(), Full::Busy);
        let ninth = enter_other();
        assert!(ninth.is_ok());
        assert_eq!(enter_other().unwrap_err(), Full::Busy);
        drop(held);
        assert!(enter_other().is_ok());
        drop(ninth);
        assert_eq!(threads.0.load(Ordering::Relaxed), 0);
    }
}
