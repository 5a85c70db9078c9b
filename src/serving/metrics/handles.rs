//! Handles that are looked up once and held where requests are answered.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use super::families::Families;
use super::labels::{Code, LaneLabels, RequestLabels};

/// The metrics of a model.
#[derive(Debug)]
pub(crate) struct ModelMetrics {
    pub(crate) in_flight: Gauge,
    pub(crate) queue_length: Gauge,
    pub(crate) queue_duration: Histogram,
}

/// The metrics of a version.
#[derive(Debug)]
pub(crate) struct VersionMetrics {
    pub(crate) inference_duration: Histogram,
    pub(crate) batch_rows: Histogram,
}

/// The metrics of a shadow version beside the one that answers.
#[derive(Debug)]
pub(crate) struct ShadowMetrics {
    pub(crate) rows: Counter,
    pub(crate) differing: Counter,
    pub(crate) difference: Gauge<f64, AtomicU64>,
    pub(crate) errors: Counter,
    pub(crate) dropped: Counter,
}

/// Set once the series of a version were removed: none is created after that.
#[derive(Clone, Debug, Default)]
pub(crate) struct Retired(Arc<AtomicBool>);

impl Retired {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// The metrics of a version for one protocol. A counter is created at its first count.
#[derive(Debug)]
pub(crate) struct LaneMetrics {
    families: Families,
    labels: LaneLabels,
    retired: Retired,
    codes: [OnceLock<Counter>; Code::ALL.len()],
    duration: Histogram,
    rows: Counter,
}

impl LaneMetrics {
    pub(super) fn new(
        families: Families,
        model: &str,
        version: Option<u64>,
        protocol: &'static str,
        retired: &Retired,
    ) -> Self {
        let families = if retired.is_set() {
            Families::unread()
        } else {
            families
        };
        let labels = LaneLabels {
            model: model.into(),
            version: version.map_or_else(|| "".into(), Into::into),
            protocol,
        };
        LaneMetrics {
            duration: families.request_duration.get_or_create_owned(&labels),
            rows: families.rows.get_or_create_owned(&labels),
            families,
            labels,
            retired: retired.clone(),
            codes: Default::default(),
        }
    }

    /// A request has ended.
    pub(crate) fn observe(&self, code: Code, took: Duration) {
        let counter = self.codes[code as usize].get_or_init(|| {
            if self.retired.is_set() {
                return Counter::default();
            }
            self.families.requests.get_or_create_owned(&RequestLabels {
                model: self.labels.model.clone(),
                version: self.labels.version.clone(),
                protocol: self.labels.protocol,
                code: code.name(),
            })
        });
        counter.inc();
        self.duration.observe(took.as_secs_f64());
    }

    /// Rows were predicted.
    pub(crate) fn add_rows(&self, n: usize) {
        self.rows.inc_by(n as u64);
    }
}
