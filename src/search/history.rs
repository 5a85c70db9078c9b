//! The trials of a search so far.

use super::importance::importances;
use super::judge::Judge;
use super::space::Space;
use super::tpe::Observation;
use super::trials::{Done, Trials};
use crate::error::{Error, Result};
use crate::model::AnyModel;
use crate::training::{Trained, Trial};
use crate::warning::Warning;

/// The trials that have ended, and the best of them with their models.
pub(super) struct History {
    pub(super) seen: Vec<Observation>,
    trials: Vec<Trial>,
    /// The best trials that learned from the whole share, with their losses, the best first.
    best: Vec<(f64, Done)>,
    /// The number of best trials that are kept.
    most: usize,
    /// The share of the rows that a trial is to learn from.
    whole: f64,
    failure: Option<String>,
    stopped: Option<String>,
}

impl History {
    /// An empty history that keeps the `most` best trials, of those that learned from the whole share of the rows.
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
        let number = self.trials.len() + 1;
        trials
            .args
            .progress()
            .message(|| format!("trial {number}: {trial}"));
        self.trials.push(trial);
        if let Some(reason) = done.failure() {
            self.failure.get_or_insert_with(|| reason.clone());
        }
        let loss = match is_whole {
            true => done.loss(trials.judge),
            // A stopped trial is not compared with those that learned from all rows.
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

    /// Returns true if any trial has produced a model that can be chosen.
    pub(super) fn has_model(&self) -> bool {
        !self.best.is_empty()
    }

    /// Records why there are no more trials.
    pub(super) fn stop(&mut self, why: String) {
        self.stopped = Some(why);
    }

    /// Takes out the best trials.
    ///
    /// # Errors
    /// [`ErrorKind::Model`](crate::ErrorKind::Model) if no trial produced a model that can be chosen, with the first reason.
    pub(super) fn take_best(&mut self) -> Result<Vec<Done>> {
        if self.best.is_empty() {
            return Err(Error::model(format!(
                "none of {} trials produced a model: {}",
                self.seen.len(),
                self.failure.as_deref().unwrap_or_default()
            )));
        }
        let best = std::mem::take(&mut self.best).into_iter();
        Ok(best.map(|(_, done)| done).collect())
    }

    /// Records all trials, how the best so far became better, and which parameters matter.
    pub(super) fn record(
        self,
        mut trained: Trained<AnyModel>,
        space: &Space,
        judge: &Judge,
        stage: &'static str,
    ) -> Trained<AnyModel> {
        trained = trained.with_parameter_importances(importances(space, &self.seen));
        let mut least = f64::INFINITY;
        for (at, trial) in self.trials.into_iter().enumerate() {
            if let Some(value) = trial.value.filter(|_| trial.is_comparable()) {
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
