//! The trials of a search so far.

use super::judge::Judge;
use super::tpe::Observation;
use super::trials::{Done, Trials};
use crate::error::{Error, Result};
use crate::model::AnyModel;
use crate::training::{Trained, Trial};
use crate::warning::Warning;

/// What a search knows: what was tried, and the best with what was fitted.
pub(super) struct History {
    pub(super) seen: Vec<Observation>,
    trials: Vec<Trial>,
    /// The best that learned from all the rows they were to learn from, with their losses, the best first.
    best: Vec<(f64, Done)>,
    /// How many of the best are kept.
    most: usize,
    /// The share of the rows that a trial is to learn from.
    whole: f64,
    failure: Option<String>,
    stopped: Option<String>,
}

impl History {
    /// None yet, of which so many will be kept. Trials that learn from less than a share are not among them.
    pub(super) fn new(most: usize, whole: f64) -> Self {
        History {
            seen: Vec::new(),
            trials: Vec::new(),
            best: Vec::new(),
            most,
            whole,
            failure: None,
            stopped: None,
        }
    }

    pub(super) fn add(&mut self, done: Done, trials: &Trials<'_>) {
        let is_whole = done.share >= self.whole;
        let mut trial = done.trial(trials.space, trials.judge);
        if !is_whole && trial.reason.is_none() {
            trial.reason = Some(format!(
                "stopped at {:.0} % of the rows",
                100.0 * done.share
            ));
        }
        self.trials.push(trial);
        if let Err(reason) = &done.value {
            self.failure.get_or_insert_with(|| reason.clone());
        }
        let loss = match is_whole {
            true => done.loss(trials.judge),
            // What was stopped is not compared with what learned from all rows.
            false => f64::INFINITY,
        };
        self.seen.push(Observation {
            point: done.point.clone(),
            loss,
        });
        if loss.is_finite() {
            let place = self.best.partition_point(|(known, _)| *known <= loss);
            self.best.insert(place, (loss, done));
            self.best.truncate(self.most);
        }
    }

    /// Whether a trial has come to a model.
    pub(super) fn has_model(&self) -> bool {
        !self.best.is_empty()
    }

    /// Says why there are no more trials.
    pub(super) fn stop(&mut self, why: String) {
        self.stopped = Some(why);
    }

    /// The best, which are taken out.
    ///
    /// # Errors
    /// [`ErrorKind::Model`](crate::ErrorKind::Model) if no trial came to a model, with the first reason.
    pub(super) fn take_best(&mut self) -> Result<Vec<Done>> {
        if self.best.is_empty() {
            return Err(Error::model(format!(
                "none of {} trials came to a model: {}",
                self.seen.len(),
                self.failure.as_deref().unwrap_or_default()
            )));
        }
        let best = std::mem::take(&mut self.best).into_iter();
        Ok(best.map(|(_, done)| done).collect())
    }

    /// Writes down all trials, and how the best so far became better.
    pub(super) fn record(
        self,
        mut trained: Trained<AnyModel>,
        judge: &Judge,
        stage: &'static str,
    ) -> Trained<AnyModel> {
        let mut least = f64::INFINITY;
        for (at, trial) in self.trials.into_iter().enumerate() {
            let is_whole = trial.share.is_none_or(|share| share >= self.whole);
            if let Some(value) = trial.value.filter(|_| is_whole) {
                least = least.min(judge.loss(value));
                let name = format!("best_{}", judge.metric());
                trained = trained.with_point(name, at as u64 + 1, judge.loss(least));
            }
            trained = trained.with_trial(trial);
        }
        match self.stopped {
            Some(stopped) => trained.with_warning(Warning::new(stage, "search_stopped", stopped)),
            None => trained,
        }
    }
}
