//! Versions that are asked beside the one that answers.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::RecordBatch;

use super::stop::Stop;
use super::work::{Asked, predict};
use super::{Inner, ModelRuntime, ShadowObservation};
use crate::error::Result;
use crate::model::Prediction;
use crate::serving::Predictor;
use crate::serving::metrics::ShadowMetrics;

/// How many requests wait for a model's shadow version before more are left out.
const MOST_WAITING: usize = 64;

/// The requests that wait for a model's shadow versions. One thread asks them, after the answer was given, so a shadow
/// that is slow takes at most one thread.
#[derive(Debug, Default)]
pub(super) struct Shadows {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Asking>,
    running: bool,
    metrics: HashMap<(u64, u64), Arc<ShadowMetrics>>,
}

#[derive(Debug)]
struct Asking {
    core: Arc<Inner>,
    shadow: Predictor,
    predictor: Predictor,
    rows: RecordBatch,
    prediction: Prediction,
    id: Option<String>,
    metrics: Arc<ShadowMetrics>,
}

impl Shadows {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a shadow version asked, too, if it keeps up.
    pub(super) fn ask(
        &self,
        asked: &Asked,
        shadow: &Predictor,
        rows: &RecordBatch,
        prediction: &Prediction,
        id: Option<&str>,
    ) {
        let versions = (asked.predictor.version(), shadow.version());
        let mut state = self.lock();
        let metrics = state.metrics.entry(versions).or_insert_with(|| {
            let (version, shadow) = versions;
            let metrics = &asked.core.metrics;
            Arc::new(metrics.of_shadow(&asked.model.name, version, shadow))
        });
        let metrics = Arc::clone(metrics);
        if state.waiting.len() >= MOST_WAITING {
            metrics.dropped.inc();
            return;
        }
        state.waiting.push_back(Asking {
            core: Arc::clone(&asked.core),
            shadow: shadow.clone(),
            predictor: asked.predictor.clone(),
            rows: rows.clone(),
            prediction: prediction.clone(),
            id: id.map(str::to_owned),
            metrics,
        });
        if state.running {
            return;
        }
        state.running = true;
        drop(state);
        let model = Arc::clone(&asked.model);
        if let Err(error) = asked.core.threads.run(move || run(&model)) {
            tracing::warn!(?error, "a shadow version cannot be asked");
            let mut state = self.lock();
            state.running = false;
            state.waiting.clear();
        }
    }

    fn next(&self) -> Option<Asking> {
        let mut state = self.lock();
        let next = state.waiting.pop_front();
        state.running = next.is_some();
        next
    }
}

fn run(model: &ModelRuntime) {
    while let Some(asking) = model.shadows.next() {
        let ask = AssertUnwindSafe(|| asking.ask());
        let error = match catch_unwind(ask) {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => format!("{error:?}"),
            Err(_) => "it panicked".to_owned(),
        };
        asking.metrics.errors.inc();
        let version = asking.shadow.version();
        tracing::debug!(model = %model.name, version, %error, "a shadow version failed");
    }
}

impl Asking {
    fn ask(&self) -> Result<()> {
        let (servable, name) = (self.shadow.servable(), self.shadow.name());
        let (shadow, _) = predict(servable, &self.rows, &Stop::default(), name)?;
        let difference = Difference::between(&self.prediction, &shadow);
        let metrics = &self.metrics;
        metrics.rows.inc_by(shadow.n_rows() as u64);
        metrics.differing.inc_by(difference.n_differing as u64);
        if difference.largest > metrics.difference.get() {
            metrics.difference.set(difference.largest);
        }
        let observation = ShadowObservation {
            predictor: &self.predictor,
            shadow: &self.shadow,
            rows: &self.rows,
            prediction: &self.prediction,
            shadow_prediction: &shadow,
            difference,
            id: self.id.as_deref(),
        };
        for observer in &self.core.observers {
            observer.observe_shadow(&observation);
        }
        Ok(())
    }
}

/// How far two answers to the same rows are apart.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Difference {
    /// The rows with another class; in a regression, with another value.
    pub(super) n_differing: usize,
    /// The largest absolute difference of an output; infinite where the targets have different outputs.
    pub(super) largest: f64,
}

impl Difference {
    fn between(one: &Prediction, other: &Prediction) -> Self {
        let (outputs, others) = (one.outputs(), other.outputs());
        if outputs.dim() != others.dim() || one.target().classes() != other.target().classes() {
            return Difference {
                n_differing: one.n_rows(),
                largest: f64::INFINITY,
            };
        }
        let differences = outputs.iter().zip(others).map(|(a, b)| (a - b).abs());
        let largest = differences.fold(0.0, f64::max);
        let n_differing = if one.target().classes().is_empty() {
            let pairs = outputs.iter().zip(others);
            pairs.filter(|(a, b)| a != b).count()
        } else {
            let (classes, others) = (one.classes(), other.classes());
            let pairs = classes.iter().zip(&others);
            pairs.filter(|(a, b)| a != b).count()
        };
        Difference {
            n_differing,
            largest,
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::model::Target;

    fn late(outputs: ndarray::Array2<f64>) -> Prediction {
        let classes = ["no".to_owned(), "yes".to_owned()];
        let label = "late".to_owned();
        Prediction::new(Arc::new(Target::Binary { label, classes }), outputs)
    }

    fn value(outputs: ndarray::Array2<f64>) -> Prediction {
        let label = "value".to_owned();
        Prediction::new(Arc::new(Target::Regression { label }), outputs)
    }

    #[test]
    fn classes_are_compared_in_classifications_and_values_in_regressions() {
        let one = array![[0.25], [0.75], [0.5]];
        let other = array![[0.375], [0.25], [0.5]];
        let of = |n_differing, largest| Difference {
            n_differing,
            largest,
        };
        let between = Difference::between(&late(one.clone()), &late(other.clone()));
        assert_eq!(between, of(1, 0.5));
        let between = Difference::between(&value(one.clone()), &value(other));
        assert_eq!(between, of(2, 0.5));
        let between = Difference::between(&value(one.clone()), &late(one));
        assert_eq!(between, of(3, f64::INFINITY));
    }
}
