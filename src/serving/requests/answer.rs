//! The ways that a request may go.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tracing::Instrument;

use super::admission::{Entered, Turn, Weight, by_deadline};
use super::batcher::{Answered, Item};
use super::inline::{Full, Place};
use super::runtime::ModelRuntime;
use super::statistics::Parts;
use super::stop::{Stop, deadline_exceeded};
use super::work::{Outcome, Read, Request};
use super::{Call, Client, Exchange, ServerCore};
use crate::error::{Error, ErrorKind, Result};
use crate::serving::metrics::Code;

/// Requests that take longer than this are heavy, and so are larger ones as long as none was measured. (Sizes are bytes, or
/// rows within the process.)
const HEAVY: Duration = Duration::from_millis(10);
const HEAVY_BYTES: usize = 16 << 10;

/// The time that a quick request yields to others before it moves to another thread.
const MOST_YIELDING: Duration = Duration::from_millis(2);

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
            return self.answer_counted(call, exchange, &span).await;
        }
        let answering = self.answer_counted(call, exchange, &span);
        let answer = Box::pin(answering.instrument(span.clone())).await;
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
        span: &tracing::Span,
    ) -> Result<E::Reply> {
        let started = Instant::now();
        let inner = &self.inner;
        let manager = &inner.manager;
        let route = match manager.route(call.model, call.version, call.routing_key) {
            Err(error) if error.kind() == ErrorKind::Unavailable && inner.is_lazy => {
                Box::pin(inner.loading.wait(inner, &call, started)).await
            }
            route => route,
        };
        let (predictor, shadow) = match route {
            Ok(route) => route.into_parts(),
            Err(error) => {
                let failed = Err(error);
                inner.count_unknown(call.protocol, Code::of(&failed), started.elapsed());
                return failed;
            }
        };
        span.record("model.version", predictor.version());
        let (model, version) =
            inner
                .runtimes
                .of(&predictor, &inner.settings, &inner.metrics, &inner.manager);
        let timeout = model.limits.longest();
        let limit = timeout.and_then(|timeout| started.checked_add(timeout));
        let deadline = match (call.deadline, limit) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        let asked = Request {
            core: Arc::clone(inner),
            model,
            version,
            predictor,
            shadow,
            client: call.client.map(Arc::clone),
            protocol: call.protocol,
            n_bytes: call.n_bytes,
            started,
            deadline,
        };
        let flight = Flight::new(&asked);
        let answer = if deadline.is_some_and(|deadline| deadline <= started) {
            Err(deadline_exceeded(&asked.model.name))
        } else {
            match asked.answer_inline(&mut exchange, call.id).await {
                Some(answer) => answer,
                None => Box::pin(Arc::new(asked.detached()).answer(exchange, call.id)).await,
            }
        };
        flight.end(&answer);
        answer
    }
}

/// A request in flight: counted when it ends, and as cancelled when it is dropped before.
struct Flight<'a> {
    asked: &'a Request,
    ended: bool,
}

impl<'a> Flight<'a> {
    fn new(asked: &'a Request) -> Self {
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
    /// The approximate time that the waiting requests take.
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

impl Request {
    /// A copy, for work that may outlive the request.
    fn detached(&self) -> Request {
        Request {
            core: Arc::clone(&self.core),
            model: Arc::clone(&self.model),
            version: Arc::clone(&self.version),
            predictor: self.predictor.clone(),
            shadow: self.shadow.clone(),
            client: self.client.clone(),
            ..*self
        }
    }

    /// Answers on this thread if that will be quick. Who finds the threads that may be held so at work on others lets
    /// them go first: going to another thread costs more than a few that are quick.
    async fn answer_inline<E: Exchange>(
        &self,
        exchange: &mut E,
        id: Option<&str>,
    ) -> Option<Result<E::Reply>> {
        let batching = &self.model.batching;
        if batching.is_on() && !batching.adaptive {
            return None;
        }
        let lane = self.lane();
        let expected = lane.total.expected(self.n_bytes)?;
        if expected >= self.core.inline_below {
            return None;
        }
        let mut place = self.place(expected, self.started);
        while matches!(place, Err(Full::Busy)) && self.started.elapsed() < MOST_YIELDING {
            tokio::task::yield_now().await;
            place = self.place(expected, Instant::now());
        }
        // Slow requests may hold every permit: quick ones do not wait behind them.
        let _permit = self.model.admission.try_enter();
        let _place = place.ok()?;
        let begun = Instant::now();
        let answer = self.answer_quickly(exchange, id).transpose()?;
        lane.total.observe(self.n_bytes, begun.elapsed());
        Some(answer)
    }

    /// Answers on other threads.
    async fn answer<E: Exchange>(
        self: Arc<Self>,
        mut exchange: E,
        id: Option<&str>,
    ) -> Result<E::Reply> {
        tokio::runtime::Handle::try_current().map_err(|error| {
            Error::config("requests must be answered within a tokio runtime").with_source(error)
        })?;
        let id = id.map(str::to_owned);
        let batching = &self.model.batching;
        if !self.version.may_batch(batching) {
            return self.answer_on_thread(exchange, None, id).await;
        }
        self.version.batcher.check(&self.model.name)?;
        let read;
        (exchange, read) = self
            .around(Turn::First, move |asked| {
                let read = asked.read(&mut exchange)?;
                Ok((exchange, read))
            })
            .await?;
        if self.version.batches(batching, read.rows.num_rows()) && !exchange.explains() {
            self.answer_in_batch(exchange, read, id).await
        } else {
            // Whatever waits long does not hold its rows, but what it was sent.
            let read = Some(read).filter(|_| !exchange.explains());
            self.answer_on_thread(exchange, read, id).await
        }
    }

    /// A place on this thread, which is one of the async runtime.
    fn place(&self, expected: Duration, now: Instant) -> Result<Place<'_>, Full> {
        let threads = &self.core.held_threads;
        self.version.inline.enter(threads, expected, now)
    }

    /// The same, if everything but the call of the model is quick enough for this thread.
    fn place_around(&self) -> Option<Place<'_>> {
        let expected = self.lane().around.expected(self.n_bytes)?;
        if expected >= self.core.inline_below {
            return None;
        }
        self.place(expected, Instant::now()).ok()
    }

    /// The weight of the request, by the time that requests of its size took. What larger ones took says nothing of a small one.
    fn weight(&self) -> Weight {
        let total = &self.lane().total;
        let is_large = self.n_bytes >= HEAVY_BYTES;
        match total.expected(self.n_bytes) {
            Some(expected) if expected >= HEAVY && (is_large || total.is_known(self.n_bytes)) => {
                Weight::Heavy
            }
            None if is_large => Weight::Heavy,
            _ => Weight::Light,
        }
    }

    /// A step beside the call of the model: on this thread if it is quick.
    async fn around<T: Send + 'static>(
        self: &Arc<Self>,
        turn: Turn,
        step: impl FnOnce(&Request) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        if let Some(_place) = self.place_around() {
            return self.catch(|| step(self));
        }
        self.on_thread(turn, self.weight(), |asked, _, _| {
            asked.catch(|| step(asked))
        })
        .await
    }

    /// Does work on an inference thread when it is the model's turn.
    async fn on_thread<T: Send + 'static>(
        self: &Arc<Self>,
        turn: Turn,
        weight: Weight,
        work: impl FnOnce(&Request, Duration, &Stop) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let queued = Instant::now();
        let permit = self.permit(turn, weight).await?;
        let (stop, _guard) = Stop::with_guard(self.deadline);
        let (reply, answer) = oneshot::channel();
        let asked = Arc::clone(self);
        let span = tracing::Span::current();
        self.core.threads.run(move || {
            let queue = queued.elapsed();
            let answer = span.in_scope(|| work(&asked, queue, &stop));
            // The turn is over before the answer is seen, so that whoever has it may ask again at once.
            drop(permit);
            let _ = reply.send(answer);
        })?;
        self.received(answer).await
    }

    /// Waits for the model's turn. A client that does not read its answers waits outside of the queue until it does, also
    /// where it has come to that while it was queued.
    async fn permit(&self, turn: Turn, weight: Weight) -> Result<Entered> {
        let (name, admission) = (&self.model.name, &self.model.admission);
        let client = self.client.as_deref();
        let id = client.map_or(Client::IN_PROCESS, Client::id);
        let unread = || client.filter(|client| turn == Turn::First && !client.is_reading());
        loop {
            if let Some(client) = unread() {
                let reading = by_deadline(self.deadline, client.reading()).await;
                reading.ok_or_else(|| deadline_exceeded(name))?;
            }
            let entered = admission
                .wait(name, self.deadline, turn, weight, id)
                .await?;
            if unread().is_none() {
                return Ok(entered);
            }
        }
    }

    async fn answer_on_thread<E: Exchange>(
        self: &Arc<Self>,
        mut exchange: E,
        mut read: Option<Read>,
        id: Option<String>,
    ) -> Result<E::Reply> {
        let mut weight = match exchange.explains() {
            true => Weight::Heavy,
            false => self.weight(),
        };
        loop {
            let (read, id) = (read.take(), id.clone());
            let work = move |asked: &Request, queue: Duration, stop: &Stop| {
                let queues = &asked.model.metrics.queue_duration;
                queues.observe(queue.as_secs_f64());
                asked.answer_slowly(exchange, read, weight, queue, stop, id.as_deref())
            };
            match self.on_thread(Turn::First, weight, work).await? {
                Outcome::Replied(reply) => return Ok(reply),
                Outcome::Explains(again) => (exchange, weight) = (again, Weight::Heavy),
            }
        }
    }

    async fn answer_in_batch<E: Exchange>(
        self: &Arc<Self>,
        exchange: E,
        read: Read,
        id: Option<String>,
    ) -> Result<E::Reply> {
        let Read { rows, took } = read;
        let raw = rows.clone();
        let making = move |asked: &Request| {
            let begun = Instant::now();
            let features = asked.predictor.servable().features(&raw)?;
            Ok((features, begun.elapsed()))
        };
        let (features, made) = self.around(Turn::Next, making).await?;
        let input = took + made;
        let (stop, _guard) = Stop::with_guard(self.deadline);
        let (reply, answer) = oneshot::channel();
        let item = Item {
            features,
            predictor: self.predictor.clone(),
            stop,
            queued: Instant::now(),
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
        self.around(Turn::Next, move |asked| {
            let begun = Instant::now();
            let reply = asked.reply(&exchange, &rows, &prediction, parts, false, id.as_deref());
            let lane = asked.lane();
            let around = input + begun.elapsed();
            lane.around.observe(asked.n_bytes, around);
            lane.total.observe(asked.n_bytes, around + infer);
            reply
        })
        .await
    }

    /// The answer of another thread, or an error if it misses the deadline.
    async fn received<T: Send>(&self, answer: oneshot::Receiver<Result<T>>) -> Result<T> {
        let name = &self.model.name;
        match by_deadline(self.deadline, answer).await {
            Some(Ok(answer)) => answer,
            Some(Err(_)) => Err(Error::internal(format!(
                "the inference thread of model `{name}` ended"
            ))),
            None => Err(deadline_exceeded(name)),
        }
    }
}
