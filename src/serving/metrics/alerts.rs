//! Recent alerts.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// The most alerts that are kept.
const KEPT: usize = 100;
/// The most characters of an alert.
const LONGEST: usize = 500;

/// An alert for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Alert {
    /// The time; of several equal alerts in a row, that of the last.
    pub at: SystemTime,
    /// The text, of at most 500 characters.
    pub text: String,
    /// The number of times in a row.
    pub times: u64,
}

/// The newest alerts, the newest last.
#[derive(Debug, Default)]
pub(super) struct Alerts(Mutex<VecDeque<Alert>>);

impl Alerts {
    pub(super) fn add(&self, at: SystemTime, text: &str) {
        let text: String = text.chars().take(LONGEST).collect();
        let mut alerts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = alerts.back_mut().filter(|last| last.text == text) {
            (last.at, last.times) = (at, last.times + 1);
            return;
        }
        if alerts.len() == KEPT {
            alerts.pop_front();
        }
        alerts.push_back(Alert { at, text, times: 1 });
    }

    pub(super) fn all(&self) -> Vec<Alert> {
        let alerts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        alerts.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept_and_equal_ones_counted() {
        let alerts = Alerts::default();
        for n in 0..150 {
            alerts.add(SystemTime::now(), &format!("alert {n}"));
        }
        for _ in 0..2 {
            alerts.add(SystemTime::now(), &"é".repeat(1_000));
        }
        let all = alerts.all();
        assert_eq!(all.len(), KEPT);
        assert_eq!(all[0].text, "alert 51");
        let last = all.last().unwrap();
        assert_eq!((last.text.chars().count(), last.times), (LONGEST, 2));
    }
}
