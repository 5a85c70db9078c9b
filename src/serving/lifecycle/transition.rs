//! Policies for the order in which versions are loaded and unloaded.

use std::fmt::Debug;

use super::State;

/// The view of a version that a [`TransitionPolicy`] gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionStatus {
    version: u64,
    state: State,
    is_wanted: bool,
}

impl VersionStatus {
    /// A version in a state, and whether it should be loaded.
    #[must_use]
    pub fn new(version: u64, state: State, is_wanted: bool) -> Self {
        VersionStatus {
            version,
            state,
            is_wanted,
        }
    }

    /// The version.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Its state. A version in [`State::Start`] may be loaded now; one that has failed, or is not to be loaded yet, is in
    /// [`State::End`].
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// Returns `true` if it should be loaded.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.is_wanted
    }
}

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// Load this version, which is in [`State::Start`].
    Load(u64),
    /// Unload this version, which is in [`State::Available`].
    Unload(u64),
}

/// Chooses the next step for the versions of one model. It has no state: the same versions always give the same step. It is
/// called again after every step, until there is none.
///
/// ```
/// use fourfold::serving::lifecycle::{
///     AvailabilityPreserving, State, Transition, TransitionPolicy, VersionStatus,
/// };
///
/// let swap = [
///     VersionStatus::new(1, State::Available, false),
///     VersionStatus::new(2, State::Start, true),
/// ];
/// assert_eq!(AvailabilityPreserving.next(&swap), Some(Transition::Load(2)));
/// ```
pub trait TransitionPolicy: Debug + Send + Sync + 'static {
    /// The next step; `None` if there is none to take now. A step that does not fit the state of its version is not taken.
    fn next(&self, versions: &[VersionStatus]) -> Option<Transition>;
}

/// Loads the new version before the old one is unloaded, so that one always answers: the default. Both need memory for a
/// while.
#[derive(Clone, Copy, Debug, Default)]
pub struct AvailabilityPreserving;

/// Unloads the old version before the new one is loaded, so that there is memory for one only. Nothing answers meanwhile.
#[derive(Clone, Copy, Debug, Default)]
pub struct ResourcePreserving;

fn lowest_to_unload(versions: &[VersionStatus]) -> Option<u64> {
    let unwanted = unwanted_and_available(versions);
    unwanted.map(VersionStatus::version).min()
}

fn unwanted_and_available(versions: &[VersionStatus]) -> impl Iterator<Item = &VersionStatus> {
    versions
        .iter()
        .filter(|status| !status.is_wanted && status.state == State::Available)
}

fn highest_to_load(versions: &[VersionStatus]) -> Option<u64> {
    let new = versions
        .iter()
        .filter(|status| status.is_wanted && status.state == State::Start);
    new.map(VersionStatus::version).max()
}

impl TransitionPolicy for AvailabilityPreserving {
    fn next(&self, versions: &[VersionStatus]) -> Option<Transition> {
        let mut wanted = versions.iter().filter(|status| status.is_wanted).peekable();
        let is_spared = wanted.peek().is_none()
            || wanted.any(|status| status.state == State::Available)
            || unwanted_and_available(versions).nth(1).is_some();
        let unload = lowest_to_unload(versions).filter(|_| is_spared);
        unload
            .map(Transition::Unload)
            .or_else(|| highest_to_load(versions).map(Transition::Load))
    }
}

impl TransitionPolicy for ResourcePreserving {
    fn next(&self, versions: &[VersionStatus]) -> Option<Transition> {
        if let Some(version) = lowest_to_unload(versions) {
            return Some(Transition::Unload(version));
        }
        let is_free = versions
            .iter()
            .all(|status| status.is_wanted || status.state == State::End);
        highest_to_load(versions)
            .filter(|_| is_free)
            .map(Transition::Load)
    }
}

#[cfg(test)]
mod tests {
    use super::State::{Available, End, Loading, Start, Unloading};
    use super::Transition::{Load, Unload};
    use super::*;

    const WANTED: bool = true;
    const UNWANTED: bool = false;

    #[track_caller]
    fn check(
        policy: &impl TransitionPolicy,
        versions: &[(u64, State, bool)],
        next: Option<Transition>,
    ) {
        let status = |&(version, state, wanted)| VersionStatus::new(version, state, wanted);
        let mut versions: Vec<VersionStatus> = versions.iter().map(status).collect();
        assert_eq!(policy.next(&versions), next);
        versions.reverse();
        assert_eq!(policy.next(&versions), next, "in whatever order");
    }

    #[test]
    fn availability_is_preserved() {
        let check = |versions: &[_], next| check(&AvailabilityPreserving, versions, next);
        check(&[], None);
        check(
            &[
                (3, Available, WANTED),
                (4, Start, WANTED),
                (5, Start, WANTED),
            ],
            Some(Load(5)),
        );
        check(
            &[(3, Available, UNWANTED), (4, Available, WANTED)],
            Some(Unload(3)),
        );
        check(&[(1, Available, UNWANTED), (2, Loading, WANTED)], None);
        check(&[(1, Available, UNWANTED), (2, End, WANTED)], None);
        check(
            &[
                (1, Available, UNWANTED),
                (2, Available, UNWANTED),
                (3, End, WANTED),
                (4, Loading, WANTED),
            ],
            Some(Unload(1)),
        );
        check(&[(1, Available, UNWANTED)], Some(Unload(1)));
        check(
            &[(1, Available, UNWANTED), (2, Start, WANTED)],
            Some(Load(2)),
        );
        check(&[(1, Unloading, UNWANTED), (2, End, WANTED)], None);
        check(&[(1, Available, WANTED), (2, Loading, WANTED)], None);
    }

    #[test]
    fn resources_are_preserved() {
        let check = |versions: &[_], next| check(&ResourcePreserving, versions, next);
        check(&[], None);
        check(
            &[
                (1, Available, UNWANTED),
                (2, Available, UNWANTED),
                (3, Start, WANTED),
            ],
            Some(Unload(1)),
        );
        check(&[(1, Unloading, UNWANTED), (2, Start, WANTED)], None);
        check(&[(1, End, UNWANTED), (2, Start, WANTED)], Some(Load(2)));
        check(&[(1, Loading, UNWANTED), (2, Start, WANTED)], None);
        check(
            &[
                (1, Available, WANTED),
                (2, Start, WANTED),
                (3, Start, WANTED),
            ],
            Some(Load(3)),
        );
        check(&[(1, Available, WANTED)], None);
    }
}
