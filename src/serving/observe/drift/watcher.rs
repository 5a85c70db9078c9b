//! The thread that counts and compares.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ndarray::{Axis, concatenate};

use super::super::queue::Worker;
use super::super::record::{Record, Run};
use super::window::{Window, split};
use super::{DriftOptions, DriftReport, Reports};
use crate::error::{Error, Result};
use crate::model::Prediction;

/// Versions of a model that are watched at once.
const MOST_VERSIONS: usize = 4;

/// A version without requests for this many window times is forgotten if another version of its model had some,
const IDLE: u32 = 4;
/// and after this many in any case: a model with few requests still has its window filled.
const IDLE_ALONE: u32 = 144;

pub(super) struct Watcher {
    options: DriftOptions,
    windows: Vec<Window>,
    reports: Arc<Reports>,
    on_report: Box<dyn Fn(&DriftReport) + Send>,
    /// True if the most recent rows could not be counted.
    failed: bool,
}

impl Watcher {
    pub(super) fn new(
        options: DriftOptions,
        reports: Arc<Reports>,
        on_report: Box<dyn Fn(&DriftReport) + Send>,
    ) -> Self {
        Watcher {
            options,
            windows: Vec::new(),
            reports,
            on_report,
            failed: false,
        }
    }

    /// The window of a record's version.
    fn window_of(&mut self, record: &Record) -> usize {
        if let Some(at) = self.windows.iter().position(|window| window.is_of(record)) {
            if let Some(window) = self.windows.get_mut(at)
                && !window.is_as(record)
            {
                *window = Window::new(record, &self.options);
            }
            return at;
        }
        let of_model = || {
            let windows = self.windows.iter().enumerate();
            windows.filter(|(_, window)| window.model() == record.model)
        };
        if of_model().count() >= MOST_VERSIONS
            && let Some((oldest, _)) = of_model().min_by_key(|(_, window)| window.ended())
        {
            let window = self.windows.swap_remove(oldest);
            self.reports.lock().remove(&window.key());
        }
        self.windows.push(Window::new(record, &self.options));
        self.windows.len() - 1
    }

    fn count(&mut self, run: &Run) -> Result<()> {
        let (Some(rows), Some(first)) = (run.rows()?, run.records.first()) else {
            return Ok(());
        };
        let answers = answers(run)?.to_distribution()?;
        let times = run.records.iter().map(|record| record.at);
        let times = times.fold((first.at, first.at), |(from, to): (SystemTime, _), at| {
            (from.min(at), to.max(at))
        });
        let at = self.window_of(first);
        let (mut rows, mut answers) = (rows, answers);
        while rows.num_rows() > 0 {
            let Some(window) = self.windows.get_mut(at) else {
                break;
            };
            let room = self.options.window_rows.saturating_sub(window.n_rows);
            let room = usize::try_from(room).unwrap_or(usize::MAX).max(1);
            let (these, others) = split(&rows, room);
            let (to_these, to_others) = split(&answers, room);
            if let Err(error) = window.take(&these, &to_these, times) {
                // Half of them may be counted.
                window.reset();
                return Err(error);
            }
            (rows, answers) = (others, to_others);
            if window.n_rows >= self.options.window_rows {
                let report = window.close();
                self.publish(report);
            }
        }
        Ok(())
    }

    fn publish(&self, report: DriftReport) {
        (self.on_report)(&report);
        let key = (report.model.clone(), report.version);
        let mut reports = self.reports.lock();
        let has_one = reports.get(&key).is_some_and(|last| last.has_enough_rows);
        if report.has_enough_rows || !has_one {
            reports.insert(key.clone(), report);
        }
        // Those of versions that were forgotten stay, and are not many.
        let of_model = || {
            let of_model = reports.iter().filter(|(other, _)| other.0 == key.0);
            of_model.filter(|(other, _)| **other != key)
        };
        if of_model().count() >= MOST_VERSIONS
            && let Some(oldest) = of_model().min_by_key(|(_, report)| report.ended)
        {
            let oldest = oldest.0.clone();
            reports.remove(&oldest);
        }
    }

    #[cfg(test)]
    pub(super) fn n_windows(&self) -> usize {
        self.windows.len()
    }

    fn forget_idle(&mut self, time: Duration) {
        let mut last: BTreeMap<String, Instant> = BTreeMap::new();
        for window in &self.windows {
            let of_model = last.entry(window.model().to_owned());
            let of_model = of_model.or_insert(window.last);
            *of_model = window.last.max(*of_model);
        }
        self.windows.retain(|window| {
            let is_last = last.get(window.model()) == Some(&window.last);
            let most = if is_last { IDLE_ALONE } else { IDLE };
            window.last.elapsed() < time.saturating_mul(most)
        });
    }

    fn fail(&mut self, error: &Error) {
        if !std::mem::replace(&mut self.failed, true) {
            tracing::warn!(error = ?error, "rows could not be observed for drift");
        }
    }
}

/// The answers of all records as one.
fn answers(run: &Run) -> Result<Prediction> {
    let outputs: Vec<_> = (run.records.iter())
        .map(|record| record.prediction.outputs().view())
        .collect();
    let outputs = concatenate(Axis(0), &outputs).map_err(|error| {
        Error::internal("answers of one version that do not fit together").with_source(error)
    })?;
    match run.records.first() {
        Some(first) => Ok(first.prediction.of_same_target(outputs)),
        None => Err(Error::internal("a run of no requests")),
    }
}

impl Worker for Watcher {
    fn take(&mut self, records: Vec<Record>) {
        for run in Run::all(records) {
            match self.count(&run) {
                Ok(()) => self.failed = false,
                Err(error) => self.fail(&error),
            }
        }
    }

    fn tick(&mut self) -> Duration {
        let time = self.options.window_time;
        let mut next = Duration::from_secs(3_600);
        for at in 0..self.windows.len() {
            let Some(window) = self.windows.get_mut(at) else {
                break;
            };
            let Some(since) = window.since else {
                continue;
            };
            let left = time.saturating_sub(since.elapsed());
            if !left.is_zero() {
                next = next.min(left);
                continue;
            }
            next = next.min(time);
            let report = if window.n_rows >= self.options.min_rows {
                window.close()
            } else {
                window.too_few()
            };
            self.publish(report);
        }
        self.forget_idle(time);
        if !self.windows.is_empty() {
            next = next.min(time.saturating_mul(IDLE));
        }
        next
    }

    fn flush(&mut self) {
        for at in 0..self.windows.len() {
            let Some(window) = self.windows.get_mut(at) else {
                break;
            };
            if window.n_rows >= self.options.min_rows {
                let report = window.close();
                self.publish(report);
            } else if window.n_rows > 0 {
                let report = window.too_few();
                self.publish(report);
            }
        }
    }

    fn recover(&mut self, _n_rows: usize) {
        self.windows.clear();
        self.fail(&Error::internal("the drift monitor panicked"));
    }
}
