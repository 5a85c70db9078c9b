//! The ways that a request may go.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tracing::Instrument;

use super::admission::by;
use super::batcher::{Answered, Item};
use super::runtime::ModelRuntime;
use super::statistics::Parts;
use super::stop::{Stop, late};
use super::work::{Asked, Read};
use super::{Call, Exchange, Inner, ServerCore};
use crate::error::{Error, Result};
use crate::serving::Predictor;
use crate::serving::metrics::Code;

impl ServerCore {
    /// Answers a request: finds the version, decodes the rows with its schema, predicts, encodes. Dropping the future
    /// stops the work.
    pub(crate) async fn answer<E: Exchange>(
        &self,
        call: Call<'_>,
        exchange: E,
    ) -> Result<E::Reply> {
        let span = tracing::debug_span!(
            "infer",
            otel.kind = "internal",
            otel.status_code = tracing::field::Empty,
            model.name = call.model,
            model.version = tracing::field::Empty,
            protocol = call.protocol.name(),
            request.id = call.id,
            request.size = call.n_bytes,
        );
        if span.is_disabled() {
            return self.answer_counted(call, exchange).await;
        }
        let answering = self.answer_counted(call, exchange).instrument(span.clone());
        let answer = Box::pin(answering).await;
        span.record(
            "otel.status_code",
            if answer.is_ok() { "OK" } else { "ERROR" },
        );
        answer
    }

    async fn answer_counted<E: Exchange>(
        &self,
        call: Call<'_>,
        mut exchange: E,
    ) -> Result<E::Reply> {
        let started = Instant::now();
        let inner = &self.inner;
        let (predictor, shadow) = match inner.route(&call) {
            Ok(route) => route,
            Err(error) => {
                let failed = Err(error);
                inner.unknown[call.protocol as usize].observe(Code::of(&failed), started.elapsed());
                return failed;
            }
        };
        tracing::Span::current().record("model.version", predictor.version());
        let (model, version) =
            inner
                .runtimes
                .of(&predictor, &inner.settings, &inner.metrics, &inner.manager);
        let limit = model.limits.timeout().map(|timeout| started + timeout);
        let deadline = match (call.deadline, limit) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        let asked = Asked {
            core: Arc::clone(inner),
            model,
            version,
            predictor,
            shadow,
            protocol: call.protocol,
            n_bytes: call.n_bytes,
            started,
            deadline,
        };
        let flight = Flight::new(&asked);
        let answer = match asked.answer_inline(&mut exchange, call.id) {
            Some(answer) => answer,
            None => Box::pin(Arc::new(asked.again()).answer(exchange, call.id)).await,
        };
        flight.end(&answer);
        answer
    }
}

impl Inner {
    /// The version that answers, and the one that is asked beside it.
    fn route(&self, call: &Call<'_>) -> Result<(Predictor, Option<Predictor>)> {
        let predictor = self.manager.get(call.model, call.version)?;
        Ok((predictor, None))
    }
}

/// A request on its way: counted when it ends, and as cancelled when it is dropped before.
struct Flight<'a> {
    asked: &'a Asked,
    ended: bool,
}

impl<'a> Flight<'a> {
    fn new(asked: &'a Asked) -> Self {
        asked.model.metrics.in_flight.inc();
        Flight {
            asked,
            ended: false,
        }
    }

    fn end<T>(mut self, answer: &Result<T>) {
        self.ended = true;
        self.count(Code::of(answer));
    }

    fn count(&self, code: Code) {
        let took = self.asked.started.elapsed();
        self.asked.model.metrics.in_flight.dec();
        self.asked.lane().metrics.observe(code, took);
        if code != Code::Ok {
            self.asked.version.statistics.failed(took);
        }
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.count(Code::Cancelled);
        }
    }
}

impl ModelRuntime {
    /// About how long those who wait take.
    pub(super) fn expected_wait(&self) -> Duration {
        let waiting = self.admission.n_waiting();
        let versions = self.versions();
        let each = versions
            .iter()
            .filter_map(|version| version.compute.expected(1));
        let each = each.max().unwrap_or_default();
        let in_batches: usize = versions
            .iter()
            .map(|version| version.batcher.n_waiting())
            .sum();
        let rounds = (waiting + in_batches).div_ceil(self.admission.max_concurrency());
        each.saturating_mul(u32::try_from(rounds).unwrap_or(u32::MAX))
    }
}

impl Asked {
    /// A copy, for work that may outlive the request.
    fn again(&self) -> Asked {
        Asked {
            core: Arc::clone(&self.core),
            model: Arc::clone(&self.model),
            version: Arc::clone(&self.version),
            predictor: self.predictor.clone(),
            shadow: self.shadow.clone(),
            ..*self
        }
    }

    /// Answers on this thread if that will be quick.
    fn answer_inline<E: Exchange>(
        &self,
        exchange: &mut E,
        id: Option<&str>,
    ) -> Option<Result<E::Reply>> {
        let lane = self.lane();
        let expected = lane.total.expected(self.n_bytes)?;
        if expected >= self.core.inline_below {
            return None;
        }
        let _permit = self.model.admission.try_enter()?;
        let begun = Instant::now();
        let _place = self.version.inline.enter(begun)?;
        let answer = self.answer_quickly(exchange, id);
        lane.total.observe(self.n_bytes, begun.elapsed());
        Some(answer)
    }

    /// Answers on other threads.
    async fn answer<E: Exchange>(
        self: Arc<Self>,
        mut exchange: E,
        id: Option<&str>,
    ) -> Result<E::Reply> {
        let mut read = None;
        if self.version.may_batch(&self.model.batching) && self.is_quick_around() {
            self.version.batcher.check(&self.model.name)?;
            let rows = self.catch(|| self.read(&mut exchange))?;
            if self
                .version
                .batches(&self.model.batching, rows.rows.num_rows())
            {
                return self.answer_in_batch(&exchange, &rows, id).await;
            }
            read = Some(rows);
        }
        self.answer_on_thread(exchange, read, id.map(str::to_owned))
            .await
    }

    /// Whether everything but the call of the model is quick enough for this thread.
    fn is_quick_around(&self) -> bool {
        let around = self.lane().around.expected(self.n_bytes);
        around.is_some_and(|expected| expected < self.core.inline_below)
    }

    async fn answer_on_thread<E: Exchange>(
        self: Arc<Self>,
        mut exchange: E,
        read: Option<Read>,
        id: Option<String>,
    ) -> Result<E::Reply> {
        let queued = Instant::now();
        let admission = &self.model.admission;
        let permit = admission.wait(&self.model.name, self.deadline).await?;
        let (stop, _guard) = Stop::with_guard(self.deadline);
        let (reply, answer) = oneshot::channel();
        let asked = Arc::clone(&self);
        let span = tracing::Span::current();
        self.core.threads.run(move || {
            let queue = queued.elapsed();
            let queues = &asked.model.metrics.queue_duration;
            queues.observe(queue.as_secs_f64());
            let answer = span
                .in_scope(|| asked.answer_slowly(&mut exchange, read, queue, &stop, id.as_deref()));
            // The turn is over before the answer is seen, so that whoever has it may ask again at once.
            drop(permit);
            let _ = reply.send(answer);
        })?;
        self.received(answer).await
    }

    async fn answer_in_batch<E: Exchange>(
        self: &Arc<Self>,
        exchange: &E,
        read: &Read,
        id: Option<&str>,
    ) -> Result<E::Reply> {
        let begun = Instant::now();
        let features = self.catch(|| self.predictor.servable().features(&read.rows))?;
        let (stop, _guard) = Stop::with_guard(self.deadline);
        let (reply, answer) = oneshot::channel();
        let queued = Instant::now();
        let input = read.took + queued.saturating_duration_since(begun);
        let item = Item {
            features,
            predictor: self.predictor.clone(),
            stop,
            queued,
            input,
            reply,
        };
        let batcher = &self.version.batcher;
        if batcher.enqueue(item, &self.model.name)? {
            let asked = Arc::clone(self);
            let run = move || asked.version.batcher.run(&asked.model, &asked.version);
            if let Err(error) = self.core.threads.run(run) {
                batcher.not_started();
                return Err(error);
            }
        }
        let Answered {
            prediction,
            queue,
            infer,
        } = self.received(answer).await?;
        let queues = &self.model.metrics.queue_duration;
        queues.observe(queue.as_secs_f64());
        let parts = Parts {
            queue,
            input,
            infer,
            ..Parts::default()
        };
        let replying = Instant::now();
        let reply = self.catch(|| self.reply(exchange, &read.rows, &prediction, parts, false, id));
        let lane = self.lane();
        lane.around
            .observe(self.n_bytes, input + replying.elapsed());
        lane.total
            .observe(self.n_bytes, input + infer + replying.elapsed());
        reply
    }

    /// What another thread answers, or that it did not in time.
    async fn received<T: Send>(&self, answer: oneshot::Receiver<Result<T>>) -> Result<T> {
        let name = &self.model.name;
        match by(self.deadline, answer).await {
            Some(Ok(answer)) => answer,
            Some(Err(_)) => Err(Error::internal(format!(
                "an inference thread of model `{name}` is gone"
            ))),
            None => Err(late(name)),
        }
    }
}
