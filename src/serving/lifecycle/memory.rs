//! Allocation of memory: the registry's side of the budget.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::budget::{Evictable, Memory, Room, room};
use super::harness::Phase;
use super::registry::{Job, Registry};

impl Registry {
    /// Returns `true` if a version fits into memory. If not, the least recently used versions are unloaded for it.
    pub(super) fn make_room(&mut self, name: &Arc<str>, version: u64, needed: u64) -> bool {
        let Some(limit) = self.settings.memory_budget else {
            return true;
        };
        let mut memory = Memory {
            limit,
            used: 0,
            leaving: 0,
        };
        let mut evictable = Vec::new();
        for (model, harness) in self.harnesses() {
            if *model.name == **name && harness.version() == version {
                continue;
            }
            memory.used = memory.used.saturating_add(harness.reserved);
            match &harness.phase {
                Phase::Draining { .. } | Phase::Dropping { .. } => {
                    memory.leaving = memory.leaving.saturating_add(harness.reserved);
                }
                Phase::Available(loaded) if self.settings.is_lazy && model.name != *name => {
                    evictable.push(Evictable {
                        key: (Arc::clone(&model.name), harness.version()),
                        last_used: loaded.used.load(Ordering::Relaxed),
                        n_bytes: harness.reserved,
                    });
                }
                _ => {}
            }
        }
        match room(memory, needed, evictable) {
            Room::Fits => return true,
            Room::Evict(evicted) => {
                for (evicted, version) in evicted {
                    if let Some(model) = self.models.get_mut(&evicted) {
                        let reason = format!("unloaded to make room for model `{name}`");
                        model.drain(version, reason, true, &mut self.changes);
                    }
                }
            }
            // A version that never fits is turned down on its thread, where its loader has said what it takes.
            Room::Never
                if self
                    .harness(name, version)
                    .is_some_and(|harness| harness.estimate.is_none()) =>
            {
                return true;
            }
            Room::Wait | Room::Never => {}
        }
        let note = format!(
            "waiting for memory: it needs {needed} bytes, and {} of {limit} are in use",
            memory.used
        );
        if let Some(harness) = self.harness(name, version)
            && harness.note.as_ref() != Some(&note)
        {
            harness.is_blocked = true;
            harness.note = Some(note);
            self.changes.models.insert(Arc::clone(name));
        }
        false
    }

    /// Reserves the memory that a loader reports for its version. If there is no room for it now, the version is queued
    /// again; an error is returned if there will never be.
    pub(super) fn reserve(&mut self, job: &Job, needed: u64) -> Result<bool, String> {
        let version = job.found.version();
        if let Some(harness) = self.harness(&job.model, version) {
            harness.estimate = Some(needed);
        }
        if let Some(limit) = self.settings.memory_budget.filter(|limit| needed > *limit) {
            return Err(format!(
                "it needs {needed} bytes of memory, more than the memory budget of {limit}"
            ));
        }
        let fits = self.make_room(&job.model, version, needed);
        if let Some(harness) = self.harness(&job.model, version) {
            if fits {
                harness.reserved = needed;
            } else {
                harness.reserved = 0;
                harness.phase = Phase::Queued;
                self.queue.push_back((Arc::clone(&job.model), version));
            }
        }
        Ok(fits)
    }
}
