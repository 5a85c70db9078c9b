//! The states of versions, read when they are asked for.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

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
            "1 for the state that a version of a model is in",
            None,
            MetricType::Gauge,
        )?;
        let Some(manager) = self.manager() else {
            return Ok(());
        };
        for model in manager.states() {
            for version in &model.versions {
                let labels = [
                    ("model", model.name.clone()),
                    ("version", version.version.to_string()),
                    ("state", version.state.to_string()),
                ];
                ConstGauge::new(1_i64).encode(states.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
