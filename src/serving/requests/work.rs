//! The work of one request: rows, prediction, answer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;

use super::admission::Weight;
use super::runtime::{Lane, ModelRuntime, VersionRuntime};
use super::statistics::Parts;
use super::stop::Stop;
use super::{Client, Exchange, Inner, Observation};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Contributions, Prediction, Servable};
use crate::serving::Predictor;

/// Work stops between blocks of this many rows.
const BLOCK: usize = 2_048;

/// A request for a version.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) core: Arc<Inner>,
    pub(super) model: Arc<ModelRuntime>,
    pub(super) version: Arc<VersionRuntime>,
    pub(super) predictor: Predictor,
    pub(super) shadow: Option<Predictor>,
    pub(super) client: Option<Arc<Client>>,
    pub(super) protocol: super::Protocol,
    pub(super) n_bytes: usize,
    pub(super) started: Instant,
    pub(super) deadline: Option<Instant>,
}

/// The rows of a request, and how long reading them took.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) rows: RecordBatch,
    pub(super) took: Duration,
}

/// What comes of a turn.
pub(super) enum Outcome<E: Exchange> {
    Replied(E::Reply),
    /// Contributions are asked for, which is known once the request is read: it takes another turn, as a heavy one.
    Explains(E),
}

impl Request {
    pub(super) fn lane(&self) -> &Lane {
        let metrics = &self.core.metrics;
        self.version.lane(self.protocol, &self.model.name, metrics)
    }

    /// Runs a step, whatever it does.
    pub(super) fn catch<T>(&self, step: impl FnOnce() -> Result<T>) -> Result<T> {
        catch_unwind(AssertUnwindSafe(step)).unwrap_or_else(|_| Err(panicked(&self.model.name)))
    }

    /// Reads the rows.
    pub(super) fn read<E: Exchange>(&self, exchange: &mut E) -> Result<Read> {
        let begun = Instant::now();
        let rows = exchange.rows(&self.predictor)?;
        let most = self.model.limits.max_rows;
        if rows.num_rows() > most {
            return Err(Error::data(format!(
                "the request has {} rows, model `{}` takes at most {most}",
                rows.num_rows(),
                self.model.name
            )));
        }
        Ok(Read {
            rows,
            took: begun.elapsed(),
        })
    }

    /// Answers the request on this thread, where it is expected to be quick; `None` if it is not for this thread.
    pub(super) fn answer_quickly<E: Exchange>(
        &self,
        exchange: &mut E,
        id: Option<&str>,
    ) -> Result<Option<E::Reply>> {
        self.catch(|| {
            let read = self.read(exchange)?;
            if exchange.explains() {
                return Ok(None);
            }
            let stop = Stop::at(self.deadline);
            let begun = Instant::now();
            let answered = if read.rows.num_rows() > BLOCK {
                predict(
                    self.predictor.servable(),
                    &read.rows,
                    &stop,
                    &self.model.name,
                )
                .map(|(prediction, _)| prediction)
            } else {
                self.predictor.predict(&read.rows)
            };
            let infer = begun.elapsed();
            if is_call(&answered) {
                self.version.called(read.rows.num_rows(), infer);
            }
            let prediction = answered?;
            let parts = Parts {
                input: read.took,
                infer,
                ..Parts::default()
            };
            let reply = self.reply(exchange, &read.rows, &prediction, parts, true, id)?;
            Ok(Some(reply))
        })
    }

    /// Prediction and answer, after the rows were read or not, on a thread that has the time. Contributions need a turn
    /// of their weight.
    pub(super) fn answer_slowly<E: Exchange>(
        &self,
        mut exchange: E,
        read: Option<Read>,
        weight: Weight,
        queue: Duration,
        stop: &Stop,
        id: Option<&str>,
    ) -> Result<Outcome<E>> {
        self.catch(|| {
            let name = &self.model.name;
            stop.check(name)?;
            let begun = Instant::now();
            let read = match read {
                Some(read) => read,
                None => self.read(&mut exchange)?,
            };
            let explains = exchange.explains();
            if explains && weight == Weight::Light {
                return Ok(Outcome::Explains(exchange));
            }
            let predicting = Instant::now();
            let answered = predict(self.predictor.servable(), &read.rows, stop, name);
            // A call that fails slowly is slow, too.
            let calling = answered
                .as_ref()
                .map_or_else(|_| predicting.elapsed(), |(_, calling)| *calling);
            if is_call(&answered) {
                self.version.called(read.rows.num_rows(), calling);
            }
            let (mut prediction, _) = answered?;
            if explains {
                let found = explain(self.predictor.servable(), &read.rows, stop, name)?;
                prediction = prediction.with_contributions(found);
            }
            let parts = Parts {
                queue,
                input: read.took,
                infer: begun.elapsed().saturating_sub(read.took),
                ..Parts::default()
            };
            stop.check(name)?;
            let reply = self.reply(&exchange, &read.rows, &prediction, parts, true, id);
            if !explains {
                let lane = self.lane();
                let total = begun.elapsed();
                lane.total.observe(self.n_bytes, total);
                lane.around
                    .observe(self.n_bytes, total.saturating_sub(calling));
            }
            reply.map(Outcome::Replied)
        })
    }

    /// The answer in the form of the protocol; counted, and seen by the observers.
    pub(super) fn reply<E: Exchange>(
        &self,
        exchange: &E,
        rows: &RecordBatch,
        prediction: &Prediction,
        mut parts: Parts,
        executed: bool,
        id: Option<&str>,
    ) -> Result<E::Reply> {
        let begun = Instant::now();
        let reply = exchange.reply(&self.predictor, prediction)?;
        let replied = Instant::now();
        parts.output = replied.saturating_duration_since(begun);
        let statistics = &self.version.statistics;
        if executed {
            statistics.executed(rows.num_rows(), &parts);
        }
        let took = replied.saturating_duration_since(self.started);
        statistics.succeeded(took, &parts, rows.num_rows());
        self.lane().metrics.add_rows(rows.num_rows());
        self.observe(rows, prediction, id.or_else(|| exchange.id()));
        Ok(reply)
    }

    fn observe(&self, rows: &RecordBatch, prediction: &Prediction, id: Option<&str>) {
        if !self.core.observers.is_empty() {
            let observation = Observation::new(&self.predictor, rows, prediction, id);
            for observer in &self.core.observers {
                let observe = AssertUnwindSafe(|| observer.observe(&observation));
                if catch_unwind(observe).is_err() {
                    tracing::error!(?observer, "an observer panicked");
                }
            }
        }
        if let Some(shadow) = &self.shadow {
            self.model.shadows.ask(self, shadow, rows, prediction, id);
        }
    }
}

/// The predictions for rows, and how long the model was called. Stops between blocks of rows.
pub(super) fn predict(
    servable: &Servable,
    rows: &RecordBatch,
    stop: &Stop,
    model: &str,
) -> Result<(Prediction, Duration)> {
    let n_rows = rows.num_rows();
    let call = |rows: &RecordBatch| {
        let features = servable.features(rows)?;
        let begun = Instant::now();
        let prediction = servable.answer(&features)?;
        Ok::<_, Error>((prediction, begun.elapsed()))
    };
    if n_rows <= BLOCK {
        return call(rows);
    }
    let mut parts = Vec::with_capacity(n_rows.div_ceil(BLOCK));
    let mut calling = Duration::ZERO;
    for start in (0..n_rows).step_by(BLOCK) {
        stop.check(model)?;
        let block = rows.slice(start, BLOCK.min(n_rows - start));
        let (prediction, took) = call(&block)?;
        parts.push(prediction);
        calling += took;
    }
    Ok((Prediction::concat(&parts)?, calling))
}

/// The contributions of each column to the predictions for rows. Stops between blocks of rows.
fn explain(
    servable: &Servable,
    rows: &RecordBatch,
    stop: &Stop,
    model: &str,
) -> Result<Contributions> {
    /// The most numbers of an answer.
    const MOST: usize = 1 << 20;
    const FEW: usize = 4;

    let n_rows = rows.num_rows();
    let mut blocks = vec![servable.contributions(&rows.slice(0, FEW.min(n_rows)))?];
    let (_, n_outputs, n_names) = blocks[0].values().dim();
    let most = MOST / (n_outputs * n_names);
    if n_rows > most {
        return Err(Error::data(format!(
            "contributions of {n_rows} rows are requested, must be at most {most} for model `{model}`"
        )));
    }
    for start in (FEW..n_rows).step_by(FEW) {
        stop.check(model)?;
        let block = rows.slice(start, FEW.min(n_rows - start));
        blocks.push(servable.contributions(&block)?);
    }
    Contributions::concat(&blocks)
}

/// Returns `true` if the model was called: rows that violate the schema do not reach it.
fn is_call<T>(answered: &Result<T>) -> bool {
    !answered
        .as_ref()
        .is_err_and(|error| error.kind() != ErrorKind::Model)
}

/// A model has panicked.
pub(super) fn panicked(model: &str) -> Error {
    Error::model(format!("model `{model}` panicked"))
}
