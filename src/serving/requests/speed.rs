//! Measured times by size.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Moving averages of the time that something takes by its size (bytes or rows), in classes that each span a factor
/// of two. Neither reading nor writing takes a lock; two that write at once may lose one of the two measurements.
#[derive(Debug)]
pub(super) struct Speed {
    classes: [Class; CLASSES],
}

const CLASSES: usize = 40;

/// The number of measurements after which a class is known.
const KNOWN_AFTER: u32 = 3;

/// A time beyond this is what it seems. Below, it may be that the thread was not running for a while, so a single
/// one moves the average by at most half.
const SURELY_SLOW: f32 = 20e6;

/// Nanoseconds, as the bits of a float, and in the low half how many measurements there were.
#[derive(Debug, Default)]
struct Class(AtomicU64);

impl Class {
    fn get(&self) -> Option<f32> {
        let (average, n) = split(self.0.load(Ordering::Relaxed));
        (n >= KNOWN_AFTER).then_some(average)
    }
}

fn split(bits: u64) -> (f32, u32) {
    (f32::from_bits((bits >> 32) as u32), bits as u32)
}

impl Default for Speed {
    fn default() -> Self {
        Speed {
            classes: std::array::from_fn(|_| Class::default()),
        }
    }
}

impl Speed {
    fn class(size: usize) -> usize {
        (size.max(1).ilog2() as usize).min(CLASSES - 1)
    }

    /// Something of a size took a time.
    pub(super) fn observe(&self, size: usize, took: Duration) {
        let class = &self.classes[Self::class(size)].0;
        let (average, n) = split(class.load(Ordering::Relaxed));
        let took = took.as_nanos() as f32;
        let average = match n {
            0 => took,
            // The first time everything is cold.
            n if n < KNOWN_AFTER => average.min(took),
            _ if took > SURELY_SLOW => average + (took - average) / 8.0,
            _ => average + (took.min(5.0 * average.max(10e3)) - average) / 8.0,
        };
        let bits = u64::from(average.to_bits()) << 32 | u64::from(n.saturating_add(1));
        class.store(bits, Ordering::Relaxed);
    }

    /// Returns `true` if the size was measured.
    pub(super) fn is_known(&self, size: usize) -> bool {
        self.classes[Self::class(size)].get().is_some()
    }

    /// The expected time for a size; `None` as long as nothing near it has been measured. Beyond what was
    /// measured, time grows with the size.
    pub(super) fn expected(&self, size: usize) -> Option<Duration> {
        let class = Self::class(size);
        if let Some(average) = self.classes[class].get() {
            return Some(Duration::from_nanos(average as u64));
        }
        let smaller = (0..class).rev().find_map(|smaller| {
            let factor = (1_u64 << (class - smaller + 1)) as f32;
            self.classes[smaller].get().map(|average| average * factor)
        });
        let larger = self.classes[class + 1..].iter().find_map(Class::get);
        let average = match (smaller, larger) {
            (Some(smaller), Some(larger)) => smaller.min(larger),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => return None,
        };
        Some(Duration::from_nanos(average as u64))
    }

    /// Returns whether a larger size was found to take clearly less time per unit of size; `None` if nothing larger
    /// was measured.
    pub(super) fn larger_pays(&self, size: usize) -> Option<bool> {
        let class = Self::class(size);
        let each = |class: usize, average: f32| average / (1_u64 << class) as f32;
        let alone = each(class, self.classes[class].get()?);
        let mut larger = (class + 1..CLASSES).filter_map(|class| {
            let average = self.classes[class].get()?;
            // The sizes of a class go up to twice its least: the cost of each may be half of this.
            Some(each(class, average) * 0.7)
        });
        let first = larger.next()?;
        let least = larger.fold(first, f32::min);
        Some(least < 0.7 * alone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn micros(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }

    fn measured(speed: &Speed, size: usize, took: Duration) {
        for _ in 0..50 {
            speed.observe(size, took);
        }
    }

    #[test]
    fn nothing_is_known_before_three_measurements() {
        let speed = Speed::default();
        assert_eq!(speed.expected(1), None);
        speed.observe(1, micros(9_000));
        speed.observe(1, micros(50));
        assert_eq!(speed.expected(1), None);
        speed.observe(1, micros(60));
        assert_eq!(
            speed.expected(1),
            Some(micros(50)),
            "the cold one is forgotten"
        );
    }

    #[test]
    fn sizes_that_were_not_seen_are_estimated_from_the_nearest() {
        let speed = Speed::default();
        measured(&speed, 1_000, micros(10));
        assert!(speed.expected(1_000_000).unwrap() >= micros(10_000));
        assert!(
            speed.expected(10).unwrap() <= micros(10),
            "a smaller one takes no longer"
        );
        measured(&speed, 1_000_000, micros(5_000));
        let expected = speed.expected(4_000).unwrap();
        assert!(expected >= micros(10) && expected <= micros(5_000));
    }

    #[test]
    fn one_interruption_is_not_believed_but_a_long_one_or_several_are() {
        let speed = Speed::default();
        measured(&speed, 1, micros(30));
        speed.observe(1, micros(15_000));
        assert!(speed.expected(1).unwrap() < micros(60));
        for _ in 0..20 {
            speed.observe(1, micros(15_000));
        }
        assert!(speed.expected(1).unwrap() > micros(200));

        let speed = Speed::default();
        measured(&speed, 1, micros(30));
        speed.observe(1, micros(1_000_000));
        assert!(speed.expected(1).unwrap() > micros(100_000));
        measured(&speed, 1, micros(30));
        assert!(speed.expected(1).unwrap() < micros(200), "it recovers");
    }

    #[test]
    fn larger_batches_pay_where_a_call_has_a_cost_of_its_own() {
        let fixed = Speed::default();
        measured(&fixed, 1, micros(1_000));
        assert_eq!(fixed.larger_pays(1), None);
        measured(&fixed, 4, micros(1_040));
        assert_eq!(fixed.larger_pays(1), Some(true));

        let each = Speed::default();
        measured(&each, 1, micros(1_000));
        measured(&each, 5, micros(5_000));
        measured(&each, 11, micros(11_000));
        assert_eq!(each.larger_pays(1), Some(false));
    }
}
