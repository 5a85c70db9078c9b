//! The versions of one model: the wanted ones, and their next steps.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::harness::{Harness, Loaded, Phase};
use super::{
    Control, Found, State, StateChange, Transition, TransitionPolicy, VersionPolicy, VersionStatus,
};

/// A model with its versions.
#[derive(Debug)]
pub(super) struct ModelVersions {
    pub(super) name: Arc<str>,
    pub(super) found: Found,
    /// The reason why it could not be listed the last time.
    pub(super) listing: Option<String>,
    /// A change by an operator that is tried out and not stored yet.
    pub(super) tried: Option<Control>,
    /// The control, where the source does not store it.
    pub(super) local: Option<Control>,
    /// The epoch of the last change by an operator: polls that began before do not count.
    pub(super) control_epoch: u64,
    /// Versions that are loaded because an operator is about to name them.
    pub(super) pinned: BTreeSet<u64>,
    /// The version that each label stands for now.
    pub(super) labels: BTreeMap<String, u64>,
    /// Unloaded by hand.
    pub(super) is_unloaded: bool,
    pub(super) versions: BTreeMap<u64, Harness>,
}

/// The changes of states that listeners have yet to be notified of.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) changes: Vec<StateChange>,
    /// The models whose routes are to be made anew.
    pub(super) models: BTreeSet<Arc<str>>,
    /// The number of changes.
    pub(super) n: u64,
}

/// The inputs of a step in addition to the versions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Given<'g> {
    pub(super) policy: &'g dyn TransitionPolicy,
    /// True if the policy loads a new version before the old one is unloaded.
    pub(super) loads_first: bool,
    pub(super) is_lazy: bool,
    pub(super) now: Instant,
}

impl Changes {
    pub(super) fn push(&mut self, change: StateChange) {
        self.n += 1;
        self.models.insert(Arc::clone(&change.model));
        self.changes.push(change);
    }
}

impl ModelVersions {
    pub(super) fn new(name: Arc<str>) -> Self {
        ModelVersions {
            name,
            found: Found::default(),
            listing: None,
            tried: None,
            local: None,
            control_epoch: 0,
            pinned: BTreeSet::new(),
            labels: BTreeMap::new(),
            is_unloaded: false,
            versions: BTreeMap::new(),
        }
    }

    /// The control in effect.
    pub(super) fn control(&self) -> &Control {
        self.tried.as_ref().unwrap_or_else(|| self.kept())
    }

    /// The control that is stored.
    pub(super) fn kept(&self) -> &Control {
        self.local.as_ref().unwrap_or_else(|| self.found.control())
    }

    /// Updates the versions from a listing of the source.
    pub(super) fn update(&mut self, mut found: Found, keeps_control: bool, changes: &mut Changes) {
        if keeps_control {
            let versions = found.versions().to_vec();
            found = Found::new(versions, self.found.control().clone());
        }
        if found != self.found {
            changes.models.insert(Arc::clone(&self.name));
        }
        for (version, harness) in &mut self.versions {
            match found.version(*version) {
                Some(found) => harness.update(found),
                None => harness.is_found = false,
            }
        }
        self.found = found;
    }

    /// The versions that should be loaded. If one of them could not be, the policy is applied again without it, so that
    /// an older one serves meanwhile.
    fn wanted(&self, policy: &VersionPolicy) -> BTreeSet<u64> {
        if self.is_unloaded {
            return BTreeSet::new();
        }
        let mut wanted = self.wanted_under(self.control(), policy);
        let rolled_back = self.control().rolled_back();
        let more = self.pinned.iter().chain(self.labels.values());
        let more = more.filter(|version| {
            self.found.version(**version).is_some() && !rolled_back.contains(version)
        });
        wanted.extend(more);
        wanted
    }

    /// The versions of the labels. A label that moves to a version that is not available yet stays where it was.
    fn labels_now(&self) -> BTreeMap<String, u64> {
        let now = self.control().labels().iter().map(|(label, version)| {
            let before = self.labels.get(label);
            let stays =
                before.filter(|before| !self.is_available(*version) && self.is_available(**before));
            (label.clone(), stays.copied().unwrap_or(*version))
        });
        now.collect()
    }

    /// The versions that should be loaded if an operator said this.
    pub(super) fn wanted_under(&self, control: &Control, policy: &VersionPolicy) -> BTreeSet<u64> {
        self.with_older(|numbers| control.aspired(policy, numbers))
    }

    /// The versions that the policy alone wants, whatever names others.
    fn wanted_by(&self, policy: &VersionPolicy) -> BTreeSet<u64> {
        let control = self.control();
        let policy = control.versions().unwrap_or(policy);
        self.with_older(|numbers| policy.aspired(numbers, control.rolled_back()))
    }

    /// The aspired versions among those found, and, where they have failed, among the others.
    fn with_older(&self, aspired: impl Fn(&[u64]) -> Vec<u64>) -> BTreeSet<u64> {
        let mut numbers = self.found.numbers();
        let mut wanted: BTreeSet<u64> = aspired(&numbers).into_iter().collect();
        let has_failed = |version: &u64| {
            let harness = self.versions.get(version);
            harness.is_some_and(Harness::has_failed)
        };
        if wanted.iter().any(has_failed) {
            numbers.retain(|version| !has_failed(version));
            wanted.extend(aspired(&numbers));
        }
        wanted
    }

    /// Finds out which versions are wanted now.
    pub(super) fn aspire(&mut self, policy: &VersionPolicy, changes: &mut Changes) {
        let labels = self.labels_now();
        if labels != self.labels {
            self.labels = labels;
            changes.models.insert(Arc::clone(&self.name));
        }
        let wanted = self.wanted(policy);
        let own = self.wanted_by(policy);
        for version in &wanted {
            if !self.versions.contains_key(version)
                && let Some(found) = self.found.version(*version)
            {
                self.versions.insert(*version, Harness::new(found.clone()));
                self.tell(*version, State::Start, None, None, changes);
            }
        }
        let mut ended = Vec::new();
        for (version, harness) in &mut self.versions {
            if harness.is_wanted != wanted.contains(version) {
                harness.is_wanted = !harness.is_wanted;
                changes.models.insert(Arc::clone(&self.name));
            }
            let is_aside = harness.is_wanted && !own.contains(version);
            if harness.is_aside != is_aside {
                harness.is_aside = is_aside;
                changes.models.insert(Arc::clone(&self.name));
            }
            if !harness.is_wanted && harness.is_idle() {
                harness.phase = Phase::Idle;
                // A failed version is remembered while the source has it, or it would be retried forever.
                if !(harness.has_failed() && harness.is_found) {
                    ended.push(*version);
                }
            }
        }
        for version in ended {
            let reason = self.why_unwanted(version);
            self.versions.remove(&version);
            self.tell(version, State::End, Some(reason), None, changes);
        }
        self.take_back(changes);
    }

    /// Versions that are wanted again and still in memory answer at once.
    fn take_back(&mut self, changes: &mut Changes) {
        let mut back = Vec::new();
        for (version, harness) in &mut self.versions {
            if harness.is_wanted
                && let Phase::Draining {
                    loaded, is_evicted, ..
                } = &harness.phase
                && (harness.is_demanded || !is_evicted)
            {
                harness.phase = Phase::Available(loaded.clone());
                back.push(*version);
            }
        }
        for version in back {
            self.tell(version, State::Available, None, None, changes);
        }
    }

    /// Takes the steps of the policy; returns the versions to load.
    pub(super) fn step(&mut self, given: &Given<'_>, changes: &mut Changes) -> Vec<u64> {
        let mut to_load = Vec::new();
        // A policy that never ends must not hold the others up.
        for _ in 0..=2 * self.versions.len() {
            let statuses = self.statuses(given);
            let step = catch_unwind(AssertUnwindSafe(|| given.policy.next(&statuses)));
            let step = step.unwrap_or_else(|_| {
                tracing::error!(model = &*self.name, "the transition policy panicked");
                None
            });
            let state_of = |version: u64| {
                let status = statuses.iter().find(|status| status.version() == version);
                status.map(VersionStatus::state)
            };
            match step {
                Some(Transition::Load(version)) if state_of(version) == Some(State::Start) => {
                    if let Some(harness) = self.versions.get_mut(&version) {
                        harness.phase = Phase::Queued;
                        to_load.push(version);
                    }
                }
                Some(Transition::Unload(version))
                    if state_of(version) == Some(State::Available) =>
                {
                    self.drain(version, self.why_unwanted(version), false, changes);
                }
                _ => break,
            }
        }
        to_load
    }

    fn statuses(&self, given: &Given<'_>) -> Vec<VersionStatus> {
        let oldest = self
            .versions
            .iter()
            .find(|(_, harness)| harness.is_available());
        let oldest = oldest.map(|(version, _)| *version);
        let is_replacing = self
            .versions
            .values()
            .any(|harness| harness.is_available() && !harness.is_wanted);
        let state = |(version, harness): (&u64, &Harness)| {
            // With lazy loading, a version that was not requested is loaded only to replace one that was; also if that
            // failed, and the other is wanted again meanwhile.
            let replaces = is_replacing
                || harness.has_failed() && oldest.is_some_and(|oldest| oldest < *version);
            let may_load = harness.is_wanted && (!given.is_lazy || harness.is_demanded || replaces);
            harness.state_for_policy(given.now, may_load)
        };
        // A version that is named beside, such as a shadow, is no successor of the one that answers.
        let is_coming = self.versions.iter().any(|(version, harness)| {
            harness.is_wanted
                && !harness.is_aside
                && matches!(state((version, harness)), State::Start | State::Loading)
        });
        let kept = self
            .answering(given.is_lazy)
            .filter(|_| given.loads_first && is_coming);
        let status = |(version, harness): (&u64, &Harness)| {
            let is_wanted = harness.is_wanted || kept == Some(*version);
            VersionStatus::new(*version, state((version, harness)), is_wanted)
        };
        self.versions.iter().map(status).collect()
    }

    /// Removes a version from the lookups; it is dropped when it is no longer held.
    pub(super) fn drain(
        &mut self,
        version: u64,
        reason: String,
        is_evicted: bool,
        changes: &mut Changes,
    ) {
        let Some(harness) = self.versions.get_mut(&version) else {
            return;
        };
        if let Phase::Available(loaded) = &harness.phase {
            let loaded = loaded.clone();
            harness.phase = Phase::Draining {
                loaded,
                reason: reason.clone(),
                is_evicted,
            };
            harness.is_demanded = false;
            self.tell(version, State::Unloading, Some(reason), None, changes);
        }
    }

    /// A version is in memory and warm.
    pub(super) fn available(
        &mut self,
        version: u64,
        loaded: Loaded,
        took: Duration,
        changes: &mut Changes,
    ) {
        if let Some(harness) = self.versions.get_mut(&version) {
            harness.phase = Phase::Available(loaded);
            harness.failure = None;
            harness.note = None;
            self.tell(version, State::Available, None, Some(took), changes);
        }
    }

    /// A version holds nothing any more.
    pub(super) fn dropped(&mut self, version: u64, changes: &mut Changes) {
        let Some(harness) = self.versions.get_mut(&version) else {
            return;
        };
        let reason = harness.reason().map(str::to_owned);
        harness.phase = Phase::Idle;
        harness.reserved = 0;
        harness.is_blocked = false;
        if !harness.is_wanted {
            self.versions.remove(&version);
        }
        self.tell(version, State::End, reason, None, changes);
        if let Some(harness) = self.versions.get(&version) {
            self.tell(version, harness.state(), None, None, changes);
        }
    }

    /// The reason why a loaded version is to be unloaded.
    fn why_unwanted(&self, version: u64) -> String {
        let reason = if self.control().rolled_back().contains(&version) {
            ROLLED_BACK
        } else if self.is_unloaded {
            UNLOADED
        } else if self.found.version(version).is_none() {
            "its files were removed"
        } else {
            "replaced by another version"
        };
        reason.to_owned()
    }

    /// Returns `true` if a version may answer until another does, although it is not wanted.
    pub(super) fn may_serve(&self, version: u64) -> bool {
        self.versions
            .get(&version)
            .is_some_and(|harness| harness.is_wanted || harness.is_found)
            && !self.is_unloaded
            && !self.control().rolled_back().contains(&version)
    }

    pub(super) fn tell(
        &self,
        version: u64,
        state: State,
        reason: Option<String>,
        took: Option<Duration>,
        changes: &mut Changes,
    ) {
        changes.push(StateChange {
            model: Arc::clone(&self.name),
            version,
            state,
            reason,
            took,
        });
    }

    /// The newest version older than `version` that exists and may be loaded.
    pub(super) fn older_than(&self, version: u64) -> Option<u64> {
        let mut older = self.found.numbers();
        older.retain(|found| *found < version && !self.control().rolled_back().contains(found));
        let has_failed = |version: &u64| self.failure(*version).is_some();
        older.into_iter().rev().find(|version| !has_failed(version))
    }

    pub(super) fn is_available(&self, version: u64) -> bool {
        let harness = self.versions.get(&version);
        harness.is_some_and(Harness::is_available)
    }

    /// The reason why a version could not be loaded.
    pub(super) fn failure(&self, version: u64) -> Option<&str> {
        let failure = self.versions.get(&version)?.failure.as_ref()?;
        Some(&failure.reason)
    }

    /// Returns `true` if nothing is under way except slow operations.
    pub(super) fn is_settled(&self) -> bool {
        let answers = self.versions.values().any(Harness::is_available);
        self.versions.values().all(|harness| match &harness.phase {
            Phase::Idle | Phase::Available(_) => true,
            Phase::Queued => harness.is_blocked,
            Phase::Loading { is_slow, .. } => *is_slow,
            // Another version may wait for its memory.
            Phase::Draining { loaded, .. } => answers || Arc::strong_count(&loaded.servable) > 1,
            // One that is wanted again is loaded then.
            Phase::Dropping { .. } => answers && !harness.is_wanted,
        })
    }

    /// Returns `true` if nothing of it is left.
    pub(super) fn is_empty(&self) -> bool {
        self.versions.is_empty() && self.found.versions().is_empty() && self.listing.is_none()
    }
}

/// The reason of a version that was rolled back.
pub(super) const ROLLED_BACK: &str = "rolled back";
/// The reason of a version that an operator unloaded.
pub(super) const UNLOADED: &str = "unloaded";
