//! Training, and the loop.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::select_all;

use super::canary::CanaryState;
use super::look::may_pass;
use super::state::{State, Store};
use super::step::{Ended, Step};
use super::trigger::{Kind, Said};
use super::{AlertKind, ContinuousPipeline, blocking};
use crate::data::SpanSource;
use crate::error::{Error, ErrorKind, Result, panic_text};
use crate::evaluation::Validator;
use crate::pipeline::{Outcome, RunRecord};
use crate::serving::Server;
use crate::training::Trainer;

impl<S, T, V, R> ContinuousPipeline<S, T, V, R>
where
    S: SpanSource,
    T: Trainer,
    V: Validator<T::Model>,
    R: Server<T::Model>,
{
    /// Trains on the newest window, for a reason that is recorded. While a canary is being tried, training is postponed until it
    /// is decided.
    ///
    /// # Errors
    /// As [`ContinuousPipeline::look`].
    pub async fn retrain(&self, reason: impl Into<String>) -> Result<Step> {
        let mut store = self.store.lock().await;
        let state = store.state.clone();
        let step = self.step(&store, reason.into(), None);
        self.train(&mut store, state, step).await
    }

    /// Looks and trains as the [triggers](super::Trigger) demand, until `stop` completes. Work that is not finished then is
    /// repeated by the next process.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`] if the pipeline is cancelled. Any other failure is an alert, and is retried.
    pub async fn run_until(&self, stop: impl Future<Output = ()> + Send) -> Result<()> {
        let mut stop = pin!(stop);
        let mut failures = 0;
        loop {
            let turned = {
                let turn = pin!(self.turn());
                tokio::select! {
                    biased;
                    () = &mut stop => return Ok(()),
                    turned = turn => turned,
                }
            };
            let wait = match turned {
                Ok(next) => {
                    failures = 0;
                    next
                }
                Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error),
                Err(error) => {
                    failures += 1;
                    self.alert(AlertKind::SourceFailed, None, format!("{error:#}"));
                    self.setup.back_off.wait(failures)
                }
            };
            tokio::select! {
                biased;
                () = &mut stop => return Ok(()),
                () = self.said() => {}
                () = self.setup.clock.sleep(wait) => {}
            }
        }
    }

    /// Does what is due, and returns the time until something may be due again.
    async fn turn(&self) -> Result<Duration> {
        self.keep_schedule().await?;
        let said = self.take_said();
        if let Some(reason) = said.retrain {
            // New spans first, so that it is trained on them too; then there is nothing left to do for the reason.
            let steps = self.look().await?;
            if !steps.iter().any(|step| !step.window.is_empty()) {
                self.retrain(reason).await?;
            }
        } else {
            self.look().await?;
        }
        Ok(self.until_next().await)
    }

    fn signals(&self) -> impl Iterator<Item = &super::Signal> {
        self.setup
            .triggers
            .iter()
            .filter_map(|trigger| match &trigger.0 {
                Kind::Signal(signal) => Some(signal),
                Kind::Spans(_) | Kind::Schedule(_) => None,
            })
    }

    async fn said(&self) {
        let all: Vec<_> = self
            .signals()
            .map(|signal| Box::pin(signal.said()))
            .collect();
        match all.is_empty() {
            true => std::future::pending().await,
            false => drop(select_all(all).await),
        }
    }

    fn take_said(&self) -> Said {
        let mut all = Said::default();
        for signal in self.signals() {
            let said = signal.take();
            all.look |= said.look;
            all.retrain = all.retrain.or(said.retrain);
        }
        all
    }

    /// The interval of scheduled training.
    fn schedule(&self) -> Option<Duration> {
        let every = self
            .setup
            .triggers
            .iter()
            .filter_map(|trigger| match trigger.0 {
                Kind::Schedule(every) => Some(every),
                Kind::Spans(_) | Kind::Signal(_) => None,
            });
        every.min()
    }

    /// The time of the next scheduled training, in milliseconds since 1970-01-01T00:00:00Z.
    pub(super) async fn due_ms(&self) -> Option<u64> {
        let every = u64::try_from(self.schedule()?.as_millis()).unwrap_or(u64::MAX);
        let last = self.store.lock().await.state.scheduled_ms;
        last.map(|last| last.saturating_add(every))
    }

    /// Trains if the schedule is due; the first call only starts the schedule.
    pub(super) async fn keep_schedule(&self) -> Result<Option<Step>> {
        if self.schedule().is_none() {
            return Ok(None);
        }
        let now = self.setup.clock.now_ms();
        let due = self.due_ms().await;
        if due.is_some_and(|due| due > now) {
            return Ok(None);
        }
        let mut store = self.store.lock().await;
        let mut state = store.state.clone();
        state.scheduled_ms = Some(now);
        if due.is_none() || state.window(1).is_empty() {
            store.save(state).await?;
            return Ok(None);
        }
        let step = self.step(&store, "schedule".to_owned(), None);
        self.train(&mut store, state, step).await.map(Some)
    }

    async fn until_next(&self) -> Duration {
        let looks = self
            .setup
            .triggers
            .iter()
            .filter_map(|trigger| match trigger.0 {
                Kind::Spans(every) => Some(every),
                Kind::Schedule(_) | Kind::Signal(_) => None,
            });
        let now = self.setup.clock.now_ms();
        let due = self.due_ms().await;
        let due = due.map(|due| Duration::from_millis(due.saturating_sub(now)));
        // Signals wake it by themselves.
        let day = Duration::from_secs(86_400);
        looks.chain(due).min().unwrap_or(day)
    }

    /// Trains on the newest window, and deploys a blessed model. `state` is the state after the step, except for the changes by
    /// training.
    pub(super) async fn train(
        &self,
        store: &mut Store,
        mut state: State,
        mut step: Step,
    ) -> Result<Step> {
        let window = state.window(self.window().n_spans());
        let Some(newest) = window.last().copied() else {
            return self.finish(store, step, state).await;
        };
        if state.canary.is_some() {
            state.is_behind = true;
            return self.finish(store, step, state).await;
        }
        step.window.clone_from(&window);
        state.is_behind = false;
        let tag = ("span", newest.to_string());
        let pipeline = self.pipeline.over(self.window().fixed(window), tag);
        let outcome = loop {
            step.attempts += 1;
            let run = async {
                let stable = self.pin().await?;
                Ok::<_, Error>((stable, pipeline.run().await?))
            };
            let error = match Box::pin(AssertUnwindSafe(run).catch_unwind()).await {
                Ok(Ok(outcome)) => break Ok(outcome),
                Ok(Err(error)) => error,
                Err(panic) => {
                    let message = format!("the run panicked{}", panic_text(&*panic));
                    Error::new(ErrorKind::Other, message)
                }
            };
            if error.kind() == ErrorKind::Cancelled {
                return Err(error);
            }
            self.alert(AlertKind::RunFailed, step.span, format!("{error:#}"));
            if !may_pass(&error) || step.attempts >= self.setup.back_off.n_attempts() {
                break Err(error);
            }
            let wait = self.setup.back_off.wait(step.attempts);
            self.setup.clock.sleep(wait).await;
        };
        match outcome {
            Ok((stable, Outcome::Deployed { endpoint, run })) => {
                step.judged(*run);
                let version = self.pipeline.server().deployed_version(&endpoint);
                self.hold(Box::new(endpoint));
                step.ended = match (&self.setup.canary, stable, version) {
                    (Some(_), Some(stable), Some(version)) if stable != version => {
                        state.canary = Some(CanaryState {
                            version,
                            stable,
                            since_ms: self.setup.clock.now_ms(),
                            evidence: None,
                            verdict: None,
                        });
                        Ended::CanaryBegan { version, stable }
                    }
                    _ => {
                        // The first version has the traffic at once, and keeps it beside the next.
                        if let Err(error) = self.pin().await {
                            let message = format!("the version cannot be labelled: {error:#}");
                            self.alert(AlertKind::RunFailed, step.span, message);
                        }
                        Ended::Deployed { version }
                    }
                };
                let step = self.finish(store, step, state).await?;
                self.share_traffic(store).await;
                Ok(step)
            }
            Ok((_, Outcome::Rejected { run })) => {
                let reasons = run.verdict.reasons().into_iter();
                let reasons: Vec<String> = reasons.map(str::to_owned).collect();
                step.judged(*run);
                self.alert(AlertKind::Rejected, step.span, reasons.join("; "));
                step.ended = Ended::Rejected { reasons };
                self.finish(store, step, state).await
            }
            Err(error) => {
                step.ended = Ended::Failed {
                    error: format!("{error:#}"),
                };
                self.finish(store, step, state).await
            }
        }
    }

    /// With canaries, makes the version that serves keep the traffic.
    async fn pin(&self) -> Result<Option<u64>> {
        let Some(canary) = self.setup.canary.clone() else {
            return Ok(None);
        };
        let name = Arc::clone(&self.name);
        blocking(move || canary.pin(&name)).await
    }
}

impl Step {
    /// Adds the results of a run.
    fn judged(&mut self, run: RunRecord) {
        self.metrics = run.metrics.overall;
        let serving = run.baseline_metrics;
        self.serving_metrics = serving.map(|found| found.overall).unwrap_or_default();
        self.run = run.id;
    }
}
