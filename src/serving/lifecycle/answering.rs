//! The version that answers where none is named, and the one that should.

use std::collections::BTreeSet;

use super::Control;
use super::harness::{Harness, Phase};
use super::versions::ModelVersions;

impl ModelVersions {
    /// The version that answers where none is named: of the label `stable`, else the newest that is wanted, before those
    /// that only have not gone yet, before those that are wanted for what names them alone; of these one without a label
    /// first. What is only a shadow never does. Lazily, nothing answers in the place of a version that is loaded when it is
    /// asked for, but for what goes or is as much wanted.
    pub(super) fn answering(&self, is_lazy: bool) -> Option<u64> {
        let stable = self.stable();
        if let Some(stable) = stable.filter(|stable| self.is_available(*stable)) {
            return Some(stable);
        }
        if is_lazy && stable.is_some_and(|stable| self.may_come(stable)) {
            return None;
        }
        let takes_any = !is_lazy || self.candidate().is_none();
        let is_labelled = |version: u64| self.labels.values().any(|labelled| *labelled == version);
        let available = self
            .versions
            .iter()
            .filter(|(_, harness)| harness.is_available());
        let rank = |(version, harness): (&u64, &Harness)| {
            let is_wanted = harness.is_wanted && !harness.is_aside;
            let is_own = !harness.is_aside;
            (is_wanted, is_own, !is_labelled(*version), *version)
        };
        let shadow = self.shadow();
        let ranked = available
            .map(rank)
            .filter(|(_, is_own, _, version)| *is_own || takes_any && shadow != Some(*version));
        ranked.max().map(|(.., version)| version)
    }

    /// The version that would answer by default if it were loaded.
    pub(super) fn candidate(&self) -> Option<u64> {
        let stable = self.stable().filter(|stable| self.may_come(*stable));
        stable.or_else(|| {
            let shadow = self.shadow();
            let may_come = self
                .versions
                .iter()
                .filter(|(version, _)| self.may_come(**version));
            let rank = |(version, harness): (&u64, &Harness)| (!harness.is_aside, *version);
            let ranked = may_come
                .map(rank)
                .filter(|(is_own, version)| *is_own || shadow != Some(*version));
            ranked.max().map(|(_, version)| version)
        })
    }

    /// Versions for requests that name none, which are neither loaded nor requested yet: what answers by default, shares of
    /// the traffic, the shadow.
    pub(super) fn missing(&self) -> Vec<u64> {
        let control = self.control();
        let shares = control.traffic().into_iter();
        let shares = shares.flat_map(|traffic| traffic.shares().iter());
        let shares = shares.filter_map(|share| control.resolve(share.to()));
        let all: BTreeSet<u64> = shares
            .chain(self.candidate())
            .chain(self.shadow())
            .collect();
        let is_missing = |version: &u64| {
            let harness = self.versions.get(version);
            self.may_come(*version)
                && harness.is_some_and(|harness| {
                    !harness.is_demanded && !matches!(harness.phase, Phase::Available(_))
                })
        };
        all.into_iter().filter(is_missing).collect()
    }

    fn stable(&self) -> Option<u64> {
        self.labels.get(Control::STABLE).copied()
    }

    fn shadow(&self) -> Option<u64> {
        let control = self.control();
        control.resolve(control.shadow()?)
    }

    fn may_come(&self, version: u64) -> bool {
        let harness = self.versions.get(&version);
        harness.is_some_and(|harness| harness.is_wanted && !harness.has_failed())
    }
}
