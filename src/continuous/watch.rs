//! What labels say of the versions that serve.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::canary::{Canary, CanaryState, Verdict};
use super::live::{Answers, LiveMetrics};
use super::state::Store;
use super::step::{Ended, Step};
use super::{AlertKind, ContinuousPipeline, blocking};
use crate::blessing::Serving;
use crate::data::SpanSource;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::evaluation::Validator;
use crate::serving::Server;
use crate::training::Trainer;

impl<S, T, V, R> ContinuousPipeline<S, T, V, R>
where
    S: SpanSource,
    T: Trainer,
    V: Validator<T::Model>,
    R: Server<T::Model>,
{
    /// The metrics of each version that has answered since a time, with 95 % intervals, of the answers whose labels have
    /// come; of all that is logged, without a time. Empty before the first label.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] without [live labels](super::ContinuousBuilder::live); those of reading log and labels.
    pub async fn live(&self, since: Option<SystemTime>) -> Result<Vec<LiveMetrics>> {
        let engine = self.pipeline.engine()?;
        match self.answers(&engine, since).await? {
            Some(answers) => blocking(move || answers.metrics()).await,
            None => Ok(Vec::new()),
        }
    }

    async fn answers(&self, engine: &Engine, since: Option<SystemTime>) -> Result<Option<Answers>> {
        let requests = self.setup.live.as_ref().ok_or_else(|| {
            Error::config("there are no live labels: call `.live(requests)` on the builder")
        })?;
        let server = self.pipeline.server();
        let loaders = self.pipeline.all_loaders();
        let servable = match server.serving(&self.name, &loaders).await? {
            Serving::Model(servable) => servable,
            Serving::None => return Ok(None),
            Serving::Unknown => {
                return Err(Error::config(
                    "the server does not say what is serving, which live labels are of",
                ));
            }
        };
        let label = self.pipeline.data().label_rule()?;
        let of = (servable.target(), label);
        Answers::since(&**requests, engine, of, since).await
    }

    /// Looks at the labels that have come: shows live metrics, and decides about the canary that is out. What cannot be
    /// read now is an alert, and looked at the next time.
    pub(super) async fn watch(&self, store: &mut Store) -> Result<Option<Step>> {
        if self.setup.live.is_none() {
            return Ok(None);
        }
        let since = self.setup.clock.now().checked_sub(SHOWN);
        if self.setup.gauges.are_shown() {
            match self.live(since).await {
                Ok(live) => self.setup.gauges.live(&self.name, &live),
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

    async fn judge_canary(
        &self,
        store: &mut Store,
        canary: Canary,
        mut out: CanaryState,
    ) -> Result<Option<Step>> {
        if out.verdict.is_none() {
            let since = UNIX_EPOCH + Duration::from_millis(out.since_ms);
            let engine = self.pipeline.engine()?;
            let answers = self.answers(&engine, Some(since)).await?;
            let mut sequence = canary.test.begin();
            if let Some(answers) = &answers {
                canary.loss.check_task(answers.task())?;
                for (version, loss) in answers.losses(canary.loss) {
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
            self.setup.gauges.canary(&self.name, out.version, shown);
            // On record before it is done: who goes on after a crash does it.
            let mut state = store.state.clone();
            state.canary = Some(out.clone());
            store.save(state).await?;
        }
        let Some(verdict) = out.verdict else {
            return Ok(None);
        };
        let (name, told) = (Arc::clone(&self.name), out.clone());
        blocking(move || canary.end(&name, &told)).await?;
        self.setup.gauges.canary(&self.name, out.version, None);
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

    /// Gives the canary that is out its share, once in a process: it may have begun in another.
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
                let message = format!("the canary cannot be given its share: {error:#}");
                self.alert(AlertKind::SourceFailed, None, message);
            }
        }
    }
}

/// Of which time live metrics are shown.
const SHOWN: Duration = Duration::from_secs(30 * 86_400);
