//! Versions that are asked in addition to the one that answers.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::RecordBatch;

use super::runtime::may_answer;
use super::stop::Stop;
use super::work::{Request, predict};
use super::{Inner, ModelRuntime, ShadowObservation};
use crate::error::Result;
use crate::model::Prediction;
use crate::serving::Predictor;
use crate::serving::metrics::{Metrics, ShadowMetrics};

/// The most requests that are queued for a shadow version before more are left out,
const MOST_WAITING: usize = 64;
/// and how many bytes of rows and answers. A request that is larger waits alone.
const MOST_BYTES: usize = 64 << 20;

/// The requests that wait for a model's shadow versions. One thread for each such version asks it, after the answer was
/// given, so a shadow that is slow takes at most one thread. What waits keeps no version loaded.
#[derive(Debug, Default)]
pub(super) struct Shadows {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Shadows that have a thread, by their version.
    queues: BTreeMap<u64, Queue>,
    /// The metrics, by the version that answers and the shadow version.
    metrics: HashMap<(u64, u64), Arc<ShadowMetrics>>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Asking>,
    n_bytes: usize,
}

#[derive(Debug)]
struct Asking {
    version: u64,
    rows: RecordBatch,
    prediction: Prediction,
    id: Option<String>,
    metrics: Arc<ShadowMetrics>,
    n_bytes: usize,
}

impl Queue {
    fn has_room(&self, n_bytes: usize) -> bool {
        self.waiting.is_empty()
            || self.waiting.len() < MOST_WAITING
                && self.n_bytes.saturating_add(n_bytes) <= MOST_BYTES
    }

    fn push(&mut self, asking: Asking) {
        self.n_bytes += asking.n_bytes;
        self.waiting.push_back(asking);
    }

    fn pop(&mut self) -> Option<Asking> {
        let next = self.waiting.pop_front()?;
        self.n_bytes -= next.n_bytes;
        Some(next)
    }

    fn clear(&mut self) {
        while let Some(asking) = self.pop() {
            asking.metrics.dropped.inc();
        }
    }
}

impl Shadows {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a request to a shadow version, too, if it keeps up.
    pub(super) fn ask(
        &self,
        asked: &Request,
        shadow: &Predictor,
        rows: &RecordBatch,
        prediction: &Prediction,
        id: Option<&str>,
    ) {
        let versions = (asked.predictor.version(), shadow.version());
        let (version, shadow) = versions;
        let (core, name) = (&asked.core, &asked.model.name);
        let mut state = self.lock();
        let metrics = match state.metrics.get(&versions) {
            Some(metrics) => Arc::clone(metrics),
            None => {
                let states = core.manager.states();
                if ![version, shadow]
                    .iter()
                    .all(|version| may_answer(&states, name, *version))
                {
                    return;
                }
                let made = Arc::new(core.metrics.of_shadow(name, version, shadow));
                state.metrics.insert(versions, Arc::clone(&made));
                made
            }
        };
        // Another version has become the shadow: what waits for the one before is of no use.
        let others = state.queues.iter_mut();
        for (_, queue) in others.filter(|(other, _)| **other != shadow) {
            queue.clear();
        }
        let n_outputs = prediction.outputs().len();
        let n_bytes = rows.get_array_memory_size() + n_outputs * size_of::<f64>();
        let has_thread = state.queues.contains_key(&shadow);
        let queue = state.queues.entry(shadow).or_default();
        if !queue.has_room(n_bytes) {
            metrics.dropped.inc();
            return;
        }
        queue.push(Asking {
            version,
            rows: rows.clone(),
            prediction: prediction.clone(),
            id: id.map(str::to_owned),
            metrics,
            n_bytes,
        });
        drop(state);
        if has_thread {
            return;
        }
        let (of_run, model) = (Arc::clone(core), Arc::clone(&asked.model));
        if let Err(error) = core.threads.run(move || run(&of_run, &model, shadow)) {
            tracing::warn!(?error, "no thread for a shadow version");
            if let Some(mut queue) = self.lock().queues.remove(&shadow) {
                queue.clear();
            }
        }
    }

    /// The next that waits for a version; if there is none, its thread ends.
    fn next(&self, shadow: u64) -> Option<Asking> {
        let mut state = self.lock();
        let next = state.queues.get_mut(&shadow).and_then(Queue::pop);
        if next.is_none() {
            state.queues.remove(&shadow);
        }
        next
    }

    #[cfg(test)]
    pub(super) fn n_known(&self) -> usize {
        self.lock().metrics.len()
    }

    /// Forgets the state of versions that will not answer again.
    pub(super) fn retire(&self, model: &str, metrics: &Metrics, may_answer: impl Fn(u64) -> bool) {
        let mut state = self.lock();
        for (shadow, queue) in &mut state.queues {
            if !may_answer(*shadow) {
                queue.clear();
            }
        }
        state.metrics.retain(|(version, shadow), _| {
            let stays = may_answer(*version) && may_answer(*shadow);
            if !stays {
                metrics.retire_shadow(model, *version, *shadow);
            }
            stays
        });
    }
}

fn run(core: &Inner, model: &ModelRuntime, shadow: u64) {
    let name = &model.name;
    while let Some(asking) = model.shadows.next(shadow) {
        let Ok(predictor) = core.manager.get(name, shadow) else {
            asking.metrics.dropped.inc();
            continue;
        };
        let ask = AssertUnwindSafe(|| asking.ask(core, &predictor));
        let error = match catch_unwind(ask) {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => format!("{error:?}"),
            Err(_) => "it panicked".to_owned(),
        };
        asking.metrics.errors.inc();
        tracing::debug!(model = %name, version = shadow, %error, "a shadow version failed");
    }
}

impl Asking {
    fn ask(&self, core: &Inner, shadow: &Predictor) -> Result<()> {
        let (servable, name) = (shadow.servable(), shadow.name());
        let (answer, _) = predict(servable, &self.rows, &Stop::default(), name)?;
        let difference = Difference::between(&self.prediction, &answer);
        let metrics = &self.metrics;
        metrics.rows.inc_by(answer.n_rows() as u64);
        metrics.differing.inc_by(difference.n_differing as u64);
        if difference.largest > metrics.difference.get() {
            metrics.difference.set(difference.largest);
        }
        let observation = ShadowObservation {
            version: self.version,
            shadow,
            rows: &self.rows,
            prediction: &self.prediction,
            shadow_prediction: &answer,
            difference,
            id: self.id.as_deref(),
        };
        for observer in &core.observers {
            observer.observe_shadow(&observation);
        }
        Ok(())
    }
}

/// The difference between two answers to the same rows.
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
        let target = Target::classification("late", ["no", "yes"]).unwrap();
        Prediction::new(Arc::new(target), outputs)
    }

    fn value(outputs: ndarray::Array2<f64>) -> Prediction {
        Prediction::new(Arc::new(Target::regression("value")), outputs)
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
