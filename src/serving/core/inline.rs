//! Which requests are answered on the thread that took them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A call on the thread that took the request that runs longer than this is taken to hang.
const HANGS_AFTER: Duration = Duration::from_millis(10);

/// The calls of a version that run on threads that must not be held. As soon as one takes long, none is let in until it
/// has ended, so that a model that begins to hang does not take one such thread after the other.
#[derive(Debug)]
pub(super) struct Inline {
    epoch: Instant,
    /// When the call of a place began, in nanoseconds after the epoch; 0 for a free place.
    places: [AtomicU64; 8],
}

/// A place, held.
#[derive(Debug)]
pub(super) struct Place<'a>(&'a AtomicU64);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.store(0, Ordering::Release);
    }
}

impl Inline {
    pub(super) fn new() -> Self {
        Inline {
            epoch: Instant::now(),
            places: Default::default(),
        }
    }

    /// Lets a call in, if there is a place and no other hangs.
    pub(super) fn enter(&self, now: Instant) -> Option<Place<'_>> {
        let now = now.saturating_duration_since(self.epoch).as_nanos() as u64;
        let limit = HANGS_AFTER.as_nanos() as u64;
        let mut free = None;
        for place in &self.places {
            match place.load(Ordering::Relaxed) {
                0 => free = free.or(Some(place)),
                began if now.saturating_sub(began) > limit => return None,
                _ => {}
            }
        }
        // Where another took it in the meantime, the request goes the other way.
        let place = free?;
        place
            .compare_exchange(0, now.max(1), Ordering::AcqRel, Ordering::Relaxed)
            .ok()
            .map(|_| Place(place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_hangs_keeps_others_out_until_it_ends() {
        let inline = Inline::new();
        let start = inline.epoch + Duration::from_secs(1);
        let hangs = inline.enter(start).unwrap();
        drop(inline.enter(start + HANGS_AFTER / 2).unwrap());
        let later = start + 2 * HANGS_AFTER;
        assert!(inline.enter(later).is_none());
        drop(hangs);
        assert!(inline.enter(later).is_some());
    }

    #[test]
    fn there_are_eight_places() {
        let inline = Inline::new();
        let held: Vec<_> = (0..8).map(|_| inline.enter(inline.epoch)).collect();
        assert!(held.iter().all(Option::is_some));
        assert!(inline.enter(inline.epoch).is_none());
    }
}
