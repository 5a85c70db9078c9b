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
    /// The number of best trials that are kept of a kind.
    most: usize,
    /// The kind of each alternative; of those beyond, 0.
    kinds: Vec<usize>,
    /// Trials of the best that have the models of all folds, with their losses.
    bagged: Vec<(f64, Done)>,
    /// Trials that learned from less than the whole share, with that and their losses.
    pub(super) sampled: Vec<(f64, Observation)>,
    /// The share of the rows that a trial is to learn from.
    whole: f64,
    failure: Option<String>,
    stopped: Option<String>,
}

impl History {
    /// An empty history that keeps the `most` best trials of each kind, of those that learned from the whole share of the
    /// rows.
    pub(super) fn new(most: usize, whole: f64, kinds: Vec<usize>) -> Self {
        History {
            seen: Vec::new(),
            trials: Vec::new(),
            best: Vec::new(),
            most,
            kinds,
            bagged: Vec::new(),
            sampled: Vec::new(),
            whole,
            failure: None,
            stopped: None,
        }
    }

    pub(super) fn add(&mut self, mut done: Done, trials: &Trials<'_>) {
        self.put_on_record(&mut done, trials);
        let loss = done.loss(trials.judge);
        let observation = |loss| Observation {
            point: done.point.clone(),
            loss,
        };
        if done.share < self.whole {
            // It is not compared with those that learned from all rows.
            self.sampled.push((done.share, observation(loss)));
            self.seen.push(observation(f64::INFINITY));
            return;
        }
        self.seen.push(observation(loss));
        if loss.is_finite() {
            let place = self.best.partition_point(|(known, _)| *known <= loss);
            let kind = self.kind(&done);
            self.best.insert(place, (loss, done));
            let of_kind = (self.best.iter().enumerate())
                .filter(|(_, (_, other))| self.kind(other) == kind)
                .map(|(at, _)| at);
            if let Some(last) = of_kind.skip(self.most).last() {
                self.best.remove(last);
            }
        }
    }

    /// Adds a trial of the best that has the models of all folds now.
    pub(super) fn add_bagged(&mut self, mut done: Done, trials: &Trials<'_>) {
        self.put_on_record(&mut done, trials);
        let loss = done.loss(trials.judge);
        // One that failed is not chosen again either.
        self.bagged.push((loss, done));
    }

    fn kind(&self, done: &Done) -> usize {
        let kind = self.kinds.get(done.point.alternative);
        kind.copied().unwrap_or_default()
    }

    fn put_on_record(&mut self, done: &mut Done, trials: &Trials<'_>) {
        let mut trial = done.trial(trials.space, trials.judge);
        if done.share < self.whole && trial.reason.is_none() {
            trial.reason = Some(format!(
                "stopped at {:.0} % of the rows",
                100.0 * done.share
            ));
        }
        let number = self.trials.len() + 1;
        done.number = number;
        trials
            .args
            .progress()
            .message(|| format!("trial {number}: {trial}"));
        self.trials.push(trial);
        if let Some(reason) = done.failure() {
            self.failure.get_or_insert_with(|| reason.clone());
        }
    }

    /// The number of trials on record.
    pub(super) fn len(&self) -> usize {
        self.trials.len()
    }

    /// The best trials, the best first.
    pub(super) fn best(&self) -> impl Iterator<Item = &Done> {
        self.best.iter().map(|(_, done)| done)
    }

    /// Trials of the best that have the models of all folds.
    pub(super) fn bagged(&self) -> impl Iterator<Item = &Done> {
        let bagged = self.bagged.iter().filter(|(loss, _)| loss.is_finite());
        bagged.map(|(_, done)| done)
    }

    /// Returns true if a trial was trained for all folds, or could not be.
    pub(super) fn is_bagged(&self, done: &Done) -> bool {
        let mut bagged = self.bagged.iter();
        bagged.any(|(_, known)| known.point == done.point)
    }

    /// Returns true if any trial has learned from the whole share of the rows.
    pub(super) fn has_whole(&self) -> bool {
        self.seen.len() > self.sampled.len()
    }

    /// Returns true if any trial has produced a model that can be chosen.
    pub(super) fn has_model(&self) -> bool {
        !self.best.is_empty()
    }

    /// Records that the budget allows no more trials.
    pub(super) fn stop_for_time(&mut self) {
        self.stop(format!(
            "no time for more after {} trials; as many without a budget give the same model",
            self.len()
        ));
    }

    /// Records why there are no more trials.
    pub(super) fn stop(&mut self, why: String) {
        self.stopped = Some(why);
    }

    /// Takes out the best trials: those with the models of all folds, if there are any, the best first.
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
        self.bagged.retain(|(loss, _)| loss.is_finite());
        self.bagged.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let best = match self.bagged.is_empty() {
            true => std::mem::take(&mut self.best),
            false => std::mem::take(&mut self.bagged),
        };
        Ok(best.into_iter().map(|(_, done)| done).collect())
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
