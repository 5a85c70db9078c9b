//! Clocks: the time and waiting, by the machine's clock or by one that a test or a replay moves.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arrow::temporal_conversions::timestamp_ms_to_datetime;

/// The future of [`Clock::sleep`].
pub type Sleep<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// A clock: the time of day, and waiting by it.
///
/// ```
/// use std::time::Duration;
///
/// use fourfold::clock::{Clock, VirtualClock};
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// let clock = VirtualClock::at_seconds(1_357_000_000);
/// let began = clock.now();
/// clock.sleep(Duration::from_secs(86_400)).await; // a day, without waiting
/// assert_eq!(clock.now().duration_since(began)?, Duration::from_secs(86_400));
/// # Ok::<(), std::time::SystemTimeError>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Clock: Debug + Send + Sync + 'static {
    /// The current time.
    fn now(&self) -> SystemTime;

    /// Waits. A clock for tests may skip the wait.
    fn sleep(&self, time: Duration) -> Sleep<'_>;

    /// Milliseconds since 1970-01-01T00:00:00Z; 0 before.
    fn now_ms(&self) -> u64 {
        let since = self.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn sleep(&self, time: Duration) -> Sleep<'_> {
        Box::pin(tokio::time::sleep(time))
    }
}

/// A clock that stands still until it is moved: a year of waiting takes no time. Clones share one time.
#[derive(Clone, Debug)]
pub struct VirtualClock {
    now: Arc<Mutex<SystemTime>>,
}

impl VirtualClock {
    /// A clock that shows this time.
    #[must_use]
    pub fn at(time: SystemTime) -> Self {
        VirtualClock {
            now: Arc::new(Mutex::new(time)),
        }
    }

    /// A clock that shows a time in seconds after 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn at_seconds(seconds: u64) -> Self {
        VirtualClock::at(UNIX_EPOCH + Duration::from_secs(seconds))
    }

    /// Moves it on.
    pub fn advance(&self, time: Duration) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        *now = now.checked_add(time).unwrap_or(*now);
    }

    /// Moves it on to a time; one that is past moves nothing, so that it never goes back.
    pub fn advance_to(&self, time: SystemTime) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        *now = time.max(*now);
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> SystemTime {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves the clock on and lets others run once.
    fn sleep(&self, time: Duration) -> Sleep<'_> {
        Box::pin(async move {
            self.advance(time);
            tokio::task::yield_now().await;
        })
    }
}

/// Milliseconds since 1970-01-01T00:00:00Z as RFC 3339 has a time, in UTC and to the second: `2026-11-27T16:05:12Z`.
pub(crate) fn rfc3339(ms: u64) -> String {
    formatted(ms, "%Y-%m-%dT%H:%M:%SZ")
}

/// The same to the millisecond: `2026-11-27T16:05:12.345Z`.
#[cfg(feature = "openlineage")]
pub(crate) fn rfc3339_ms(ms: u64) -> String {
    formatted(ms, "%Y-%m-%dT%H:%M:%S%.3fZ")
}

fn formatted(ms: u64, format: &str) -> String {
    let time = i64::try_from(ms).ok().and_then(timestamp_ms_to_datetime);
    // Beyond the calendar, the number is all there is to show.
    time.map_or_else(
        || format!("{ms} ms"),
        |time| time.format(format).to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_formatted_as_date_does() {
        // date -u -d @N +%FT%TZ
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_795_512, "2026-11-27T16:05:12Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(seconds * 1_000), text);
        }
        assert_eq!(rfc3339(u64::MAX), format!("{} ms", u64::MAX));
    }
}
