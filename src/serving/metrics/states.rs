//! The states of versions, read on demand.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use super::labels::Text;
use crate::serving::Manager;

#[derive(Clone, Debug, Default)]
pub(super) struct States {
    manager: Arc<Mutex<Weak<Manager>>>,
}

impl States {
    pub(super) fn show(&self, manager: &Arc<Manager>) {
        let mut shown = self.manager.lock().unwrap_or_else(PoisonError::into_inner);
        *shown = Arc::downgrade(manager);
    }

    fn manager(&self) -> Option<Arc<Manager>> {
        let manager = self.manager.lock().unwrap_or_else(PoisonError::into_inner);
        manager.upgrade()
    }
}

impl Collector for States {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut states = encoder.encode_descriptor(
            "model_version_state",
            "1 for the current state of a version",
            None,
            MetricType::Gauge,
        )?;
        let Some(manager) = self.manager() else {
            return Ok(());
        };
        let models = manager.states();
        for model in &models {
            for version in &model.versions {
                let labels = [
                    ("model", Text::from(model.name.as_str())),
                    ("version", Text::from(version.version)),
                    ("state", Text::from(version.state.as_str())),
                ];
                ConstGauge::new(1_i64).encode(states.encode_family(&labels)?)?;
            }
        }
        let mut readable = encoder.encode_descriptor(
            "model_readable",
            "1 if the model and its control file could be read",
            None,
            MetricType::Gauge,
        )?;
        for model in &models {
            let labels = [("model", Text::from(model.name.as_str()))];
            let is_readable = ConstGauge::new(i64::from(model.reason.is_none()));
            is_readable.encode(readable.encode_family(&labels)?)?;
        }
        let source = encoder.encode_descriptor(
            "source_readable",
            "1 if the list of models could be read",
            None,
            MetricType::Gauge,
        )?;
        ConstGauge::new(i64::from(manager.source_failure().is_none())).encode(source)
    }
}
