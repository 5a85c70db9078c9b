//! Results of tasks, applied to the registry.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use super::harness::{Failure, Loaded, Phase};
use super::registry::{Job, Registry, Task};
use crate::model::Servable;

impl Registry {
    /// Records that a version was loaded. It is returned if it is no longer wanted.
    pub(super) fn loaded(
        &mut self,
        job: &Job,
        servable: Servable,
        clock: u64,
        took: Duration,
    ) -> Option<Servable> {
        let version = job.found.version();
        let model = match self.models.get_mut(&job.model) {
            Some(model) if !self.is_stopping => model,
            _ => return Some(servable),
        };
        if !model.may_serve(version) {
            model.dropped(version, &mut self.changes);
            return Some(servable);
        }
        let loaded = Loaded {
            servable: Arc::new(servable),
            used: Arc::new(AtomicU64::new(clock)),
        };
        tracing::info!(model = &*job.model, version, ?took, "loaded");
        model.available(version, loaded, took, &mut self.changes);
        None
    }

    /// A version could not be loaded. Where there is no use in it, it is not tried again.
    pub(super) fn failed(
        &mut self,
        job: &Job,
        reason: String,
        is_final: bool,
        now: Instant,
        took: Duration,
    ) {
        let version = job.found.version();
        let retries = self.settings.retries;
        let Some(model) = self.models.get_mut(&job.model) else {
            return;
        };
        let Some(harness) = model.versions.get_mut(&version) else {
            return;
        };
        let n_tries = harness
            .failure
            .as_ref()
            .map_or(0, |failure| failure.n_tries);
        let n_tries = n_tries.saturating_add(1);
        let due = retries.due(n_tries, now).filter(|_| !is_final);
        tracing::warn!(
            model = &*job.model,
            version,
            n_tries,
            is_given_up = due.is_none(),
            reason,
            "a version cannot be loaded"
        );
        // Files that were written anew meanwhile are found at the next look.
        harness.failure = Some(Failure {
            reason: reason.clone(),
            n_tries,
            due,
        });
        harness.phase = Phase::Idle;
        harness.reserved = 0;
        let state = harness.state();
        model.tell(version, state, Some(reason), Some(took), &mut self.changes);
    }

    /// The versions that are no longer held.
    pub(super) fn reap(&mut self) -> Vec<Task> {
        self.reaped = Instant::now();
        let mut tasks = Vec::new();
        for model in self.models.values_mut() {
            for harness in model.versions.values_mut() {
                let Phase::Draining { loaded, reason, .. } = &harness.phase else {
                    continue;
                };
                // It is in no table any more, so the count cannot rise.
                if Arc::strong_count(&loaded.servable) > 1 {
                    continue;
                }
                let reason = reason.clone();
                let phase = std::mem::replace(&mut harness.phase, Phase::Dropping { reason });
                if let Phase::Draining { loaded, .. } = phase {
                    tasks.push(Task::Drop {
                        model: Arc::clone(&model.name),
                        version: harness.found.version(),
                        servable: loaded.servable,
                    });
                }
            }
        }
        self.n_tasks += tasks.len();
        tasks
    }

    /// Everything that is loaded, at the end. What requests hold is theirs.
    pub(super) fn unload_all(&mut self) -> Vec<Task> {
        for model in self.models.values_mut() {
            let versions: Vec<u64> = model.versions.keys().copied().collect();
            for version in versions {
                model.drain(
                    version,
                    "the server is stopping".to_owned(),
                    false,
                    &mut self.changes,
                );
            }
        }
        self.reap()
    }

    /// A version was dropped.
    pub(super) fn dropped(&mut self, model: &str, version: u64) {
        if let Some(model) = self.models.get_mut(model) {
            tracing::info!(model = &*model.name, version, "unloaded");
            model.dropped(version, &mut self.changes);
        }
    }
}
