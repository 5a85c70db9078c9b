//! Counts of a version for Triton's statistics extension.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::serving::protocol::{
    BatchStatistics, InferenceStatistics, ModelStatistics, StatisticDuration,
};

/// The most distinct numbers of rows that have counts of their own.
const MOST_SIZES: usize = 128;

#[derive(Debug, Default)]
struct Sum {
    count: AtomicU64,
    ns: AtomicU64,
}

impl Sum {
    fn add(&self, took: Duration) {
        self.count.fetch_add(1, Ordering::Relaxed);
        add_ns(&self.ns, took);
    }

    fn get(&self) -> StatisticDuration {
        with(self.count.load(Ordering::Relaxed), &self.ns)
    }
}

fn add_ns(sum: &AtomicU64, took: Duration) {
    let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
    sum.fetch_add(ns, Ordering::Relaxed);
}

fn with(count: u64, ns: &AtomicU64) -> StatisticDuration {
    let ns = ns.load(Ordering::Relaxed);
    StatisticDuration { count, ns }
}

/// The parts of the time that a request took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Parts {
    pub(super) queue: Duration,
    pub(super) input: Duration,
    pub(super) infer: Duration,
    pub(super) output: Duration,
}

#[derive(Debug, Default)]
struct PartSums {
    queue: AtomicU64,
    input: AtomicU64,
    infer: AtomicU64,
    output: AtomicU64,
}

impl PartSums {
    fn add(&self, parts: &Parts) {
        if !parts.queue.is_zero() {
            add_ns(&self.queue, parts.queue);
        }
        add_ns(&self.input, parts.input);
        add_ns(&self.infer, parts.infer);
        add_ns(&self.output, parts.output);
    }
}

/// The counts as they grow.
#[derive(Debug, Default)]
pub(super) struct Statistics {
    last_inference: AtomicU64,
    inferences: AtomicU64,
    success: Sum,
    fail: Sum,
    parts: PartSums,
    /// Calls with one row, which most are.
    ones: AtomicU64,
    ones_parts: PartSums,
    others: Mutex<Others>,
}

#[derive(Debug, Default)]
struct Others {
    executions: u64,
    sizes: BTreeMap<u64, BatchStatistics>,
}

impl Statistics {
    /// A request was answered.
    pub(super) fn succeeded(&self, took: Duration, parts: &Parts, rows: usize) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default().as_millis();
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        self.last_inference.store(now, Ordering::Relaxed);
        self.inferences.fetch_add(rows as u64, Ordering::Relaxed);
        self.success.add(took);
        self.parts.add(parts);
    }

    /// A request was not answered.
    pub(super) fn failed(&self, took: Duration) {
        self.fail.add(took);
    }

    /// The model was called.
    pub(super) fn executed(&self, rows: usize, parts: &Parts) {
        if rows == 1 {
            self.ones.fetch_add(1, Ordering::Relaxed);
            self.ones_parts.add(parts);
            return;
        }
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        others.executions += 1;
        let rows = rows as u64;
        if others.sizes.len() >= MOST_SIZES && !others.sizes.contains_key(&rows) {
            return;
        }
        let size = others.sizes.entry(rows).or_default();
        let add = |sum: &mut StatisticDuration, took: Duration| {
            sum.count += 1;
            let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
            sum.ns = sum.ns.saturating_add(ns);
        };
        add(&mut size.compute_input, parts.input);
        add(&mut size.compute_infer, parts.infer);
        add(&mut size.compute_output, parts.output);
    }

    /// The counts as they are now.
    pub(super) fn snapshot(&self, name: &str, version: u64) -> ModelStatistics {
        let success = self.success.get();
        let ones = self.ones.load(Ordering::Relaxed);
        let one = (ones > 0).then(|| BatchStatistics {
            batch_size: 1,
            compute_input: with(ones, &self.ones_parts.input),
            compute_infer: with(ones, &self.ones_parts.infer),
            compute_output: with(ones, &self.ones_parts.output),
        });
        let others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        let sizes = others.sizes.iter().map(|(rows, size)| {
            let batch_size = *rows;
            BatchStatistics {
                batch_size,
                ..*size
            }
        });
        let mut batch_stats: Vec<BatchStatistics> = one.into_iter().chain(sizes).collect();
        batch_stats.sort_by_key(|size| size.batch_size);
        ModelStatistics {
            name: name.to_owned(),
            version,
            last_inference: self.last_inference.load(Ordering::Relaxed),
            inference_count: self.inferences.load(Ordering::Relaxed),
            execution_count: ones + others.executions,
            inference_stats: InferenceStatistics {
                success,
                fail: self.fail.get(),
                queue: with(success.count, &self.parts.queue),
                compute_input: with(success.count, &self.parts.input),
                compute_infer: with(success.count, &self.parts.infer),
                compute_output: with(success.count, &self.parts.output),
                ..InferenceStatistics::default()
            },
            batch_stats,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_calls_are_counted() {
        let statistics = Statistics::default();
        let ns = Duration::from_nanos;
        let parts = Parts {
            queue: ns(1),
            input: ns(20),
            infer: ns(300),
            output: ns(4_000),
        };
        statistics.succeeded(ns(5_000), &parts, 1);
        statistics.executed(1, &parts);
        statistics.succeeded(ns(6_000), &parts, 3);
        statistics.executed(3, &parts);
        statistics.failed(ns(7));
        for rows in 10..400 {
            statistics.executed(rows, &parts);
        }
        let seen = statistics.snapshot("m", 2);
        assert_eq!((seen.name.as_str(), seen.version), ("m", 2));
        assert!(seen.last_inference > 1_600_000_000_000);
        assert_eq!((seen.inference_count, seen.execution_count), (4, 392));
        let of = |count, ns| StatisticDuration { count, ns };
        assert_eq!(seen.inference_stats.success, of(2, 11_000));
        assert_eq!(seen.inference_stats.fail, of(1, 7));
        assert_eq!(seen.inference_stats.queue, of(2, 2));
        assert_eq!(seen.inference_stats.compute_output, of(2, 8_000));
        assert_eq!(seen.batch_stats.len(), MOST_SIZES + 1);
        assert_eq!(seen.batch_stats[1].batch_size, 3);
        assert_eq!(seen.batch_stats[1].compute_infer, of(1, 300));
        let json = serde_json::to_value(&seen).unwrap();
        assert_eq!(json["inference_stats"]["cache_miss"]["count"], 0);
    }
}
