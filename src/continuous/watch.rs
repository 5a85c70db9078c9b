//! Live metrics, and the decision about a canary.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::canary::{Canary, CanaryState, Verdict};
use super::live::{Answers, Labelled, LiveMetrics};
use super::state::Store;
use super::step::{Ended, Step};
use super::view::{Wanted, micros};
use super::{AlertKind, ContinuousPipeline, blocking};
use crate::blessing::Serving;
use crate::data::SpanSource;
use crate::error::{Error, ErrorKind, Result};
use crate::evaluation::Validator;
use crate::model::Servable;
use crate::serving::Server;
use crate::training::Trainer;

impl<S, T, V, R> ContinuousPipeline<S, T, V, R>
where
    S: SpanSource,
    T: Trainer,
    V: Validator<T::Model>,
    R: Server<T::Model>,
{
    /// The metrics of each version on the answers since a time whose labels have arrived, with 95 % intervals; `None` takes the
    /// whole log. Empty before the first label.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] without [live labels](super::ContinuousBuilder::live); those of reading log and labels.
    pub async fn live(&self, since: Option<SystemTime>) -> Result<Vec<LiveMetrics>> {
        let engine = self.pipeline.engine()?;
        let since = since.map_or(0, since_1970);
        let (requests, servable) = match self.live_requests().await? {
            (requests, Some(servable)) => (requests, servable),
            (_, None) => return Ok(Vec::new()),
        };
        let label = self.pipeline.data().label_rule()?;
        let of = (servable.target(), label);
        match Answers::since(&**requests, &engine, of, since).await? {
            Some(answers) => blocking(move || answers.metrics(since)).await,
            None => Ok(Vec::new()),
        }
    }

    /// The labelled requests, and the model that serves, whose target their labels are of.
    async fn live_requests(&self) -> Result<(&Arc<dyn Labelled>, Option<Arc<Servable>>)> {
        let requests = self.setup.live.as_ref().ok_or_else(|| {
            Error::config("there are no live labels: call `.live(requests)` on the builder")
        })?;
        let server = self.pipeline.server();
        let loaders = self.pipeline.all_loaders();
        match server.serving(&self.name, &loaders).await? {
            Serving::Model(servable) => Ok((requests, Some(servable))),
            Serving::None => Ok((requests, None)),
            Serving::Unknown => Err(Error::config(
                "the server does not say what is serving, which live labels are of",
            )),
        }
    }

    /// The labelled answers from the [horizon](Self::horizon) on; `None` before the first one. Only new files of the log are
    /// read.
    async fn answers(&self, store: &Store) -> Result<Option<Arc<Answers>>> {
        let engine = self.pipeline.engine()?;
        let (requests, Some(servable)) = self.live_requests().await? else {
            return Ok(None);
        };
        let label = self.pipeline.data().label_rule()?;
        let wanted = Wanted {
            requests: &**requests,
            target: servable.target(),
            label,
            horizon: self.horizon(store),
            now: since_1970(self.setup.clock.now()),
        };
        let mut view = self.view.lock().await;
        if Box::pin(view.update(&engine, wanted)).await? {
            return Ok(view.answers());
        }
        let of = (wanted.target, label);
        let answers = Answers::since(wanted.requests, &engine, of, wanted.horizon).await?;
        Ok(answers.map(Arc::new))
    }

    /// Looks at the labels that have arrived: updates live metrics, and decides about a canary. A failure to read is an alert,
    /// and the next look tries again.
    pub(super) async fn watch(&self, store: &mut Store) -> Result<Option<Step>> {
        if self.setup.live.is_none() {
            return Ok(None);
        }
        let gauges = self.gauges();
        if gauges.are_shown() {
            let shown = self.shown_from();
            let live = async {
                match self.answers(store).await? {
                    Some(answers) => blocking(move || answers.metrics(shown)).await,
                    None => Ok(Vec::new()),
                }
            };
            match live.await {
                Ok(live) => gauges.live(&self.name, &live),
                Err(error) => {
                    let message = format!("live labels cannot be read: {error:#}");
                    self.alert(AlertKind::SourceFailed, None, message);
                }
            }
        }
        self.share_traffic(store).await;
        let (Some(canary), Some(state)) = (&self.setup.canary, store.state.canary.clone()) else {
            return Ok(None);
        };
        match self.judge_canary(store, canary.clone(), state).await {
            Err(error) if error.kind() != ErrorKind::Cancelled => {
                let message = format!("the canary cannot be judged: {error:#}");
                self.alert(AlertKind::SourceFailed, None, message);
                Ok(None)
            }
            judged => judged,
        }
    }

    /// The time of the first request that live metrics cover, in microseconds since 1970-01-01T00:00:00Z.
    fn shown_from(&self) -> i64 {
        let first = self.setup.clock.now().checked_sub(SHOWN);
        first.map_or(0, since_1970)
    }

    /// The time of the first request that live metrics or the canary need, likewise.
    fn horizon(&self, store: &Store) -> i64 {
        let canary = store.state.canary.as_ref();
        let canary = canary.map_or(i64::MAX, CanaryState::since_us);
        match self.gauges().are_shown() {
            true => self.shown_from().min(canary),
            false => canary,
        }
    }

    async fn judge_canary(
        &self,
        store: &mut Store,
        canary: Canary,
        mut out: CanaryState,
    ) -> Result<Option<Step>> {
        if out.verdict.is_none() {
            let since = out.since_us();
            let mut sequence = canary.test.begin();
            if let Some(answers) = self.answers(store).await? {
                canary.loss.check_task(answers.task())?;
                for (version, loss) in answers.losses(canary.loss, since) {
                    let decided = match version {
                        version if version == out.version => sequence.canary(loss),
                        version if version == out.stable => sequence.stable(loss),
                        _ => None,
                    };
                    if decided.is_some() {
                        break;
                    }
                }
            }
            let evidence = sequence.evidence();
            let took = self.setup.clock.now_ms().saturating_sub(out.since_ms);
            let is_over = evidence.n_canary >= canary.most_labels
                || Duration::from_millis(took) >= canary.most_time;
            let decision = sequence.decision().map(Verdict::from);
            out.verdict = decision.or(is_over.then_some(Verdict::Withdraw));
            out.evidence = Some(evidence);
            let shown = Some(&evidence);
            self.gauges().canary(&self.name, out.version, shown);
            // Recorded before it is carried out: after a crash, the next process carries it out.
            let mut state = store.state.clone();
            state.canary = Some(out.clone());
            store.save(state).await?;
        }
        let Some(verdict) = out.verdict else {
            return Ok(None);
        };
        let (name, told) = (Arc::clone(&self.name), out.clone());
        blocking(move || canary.end(&name, &told)).await?;
        self.gauges().canary(&self.name, out.version, None);
        let (version, to) = (out.version, out.stable);
        let mut step = self.step(store, format!("canary, version {version}"), None);
        let kind;
        (step.ended, kind) = match verdict {
            Verdict::Promote => (Ended::Promoted { version }, AlertKind::Promoted),
            Verdict::RollBack => (Ended::RolledBack { version, to }, AlertKind::RolledBack),
            Verdict::Withdraw => (Ended::Undecided { version, to }, AlertKind::Undecided),
        };
        step.evidence = out.evidence;
        let mut state = store.state.clone();
        state.canary = None;
        let step = self.finish(store, step, state).await?;
        self.alert(kind, None, step.to_string());
        Ok(Some(step))
    }

    /// Sets the traffic share of a canary, once per process: it may have started in another.
    pub(super) async fn share_traffic(&self, store: &Store) {
        let (Some(canary), Some(out)) = (self.setup.canary.clone(), store.state.canary.clone())
        else {
            return;
        };
        if out.verdict.is_some() || self.shared() == Some(out.version) {
            return;
        }
        let (name, version) = (Arc::clone(&self.name), out.version);
        match blocking(move || canary.begin(&name, &out)).await {
            Ok(()) => self.set_shared(version),
            Err(error) => {
                let message = format!("the traffic share of the canary cannot be set: {error:#}");
                self.alert(AlertKind::SourceFailed, None, message);
            }
        }
    }
}

/// A time in microseconds since 1970-01-01T00:00:00Z; 0 before.
fn since_1970(time: SystemTime) -> i64 {
    micros(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// The period of the live metrics in the server's metrics.
const SHOWN: Duration = Duration::from_secs(30 * 86_400);
