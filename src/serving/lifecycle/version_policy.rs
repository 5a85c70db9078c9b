//! Policies for the versions to load.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A policy for the versions of a model to load: the newest ones, all, or a list.
///
/// In a file: `{ latest = 2 }`, `"all"` or `{ specific = [3, 5] }`. Versions that labels, the traffic split or shadow
/// traffic name are loaded beside these, see [`Control::aspired`](super::Control::aspired).
///
/// ```
/// use std::collections::BTreeSet;
///
/// use fourfold::serving::lifecycle::VersionPolicy;
///
/// let rolled_back = BTreeSet::from([4]);
/// assert_eq!(VersionPolicy::default().aspired(&[1, 2, 3, 4], &rolled_back), [3]);
/// assert_eq!(VersionPolicy::All.aspired(&[1, 2, 3, 4], &rolled_back), [1, 2, 3]);
/// assert_eq!(VersionPolicy::Specific(vec![2, 9]).aspired(&[1, 2, 3], &rolled_back), [2]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VersionPolicy {
    /// This number of the newest versions; at least 1.
    Latest(usize),
    /// Every version.
    All,
    /// These versions, if they exist. An empty list means none.
    Specific(Vec<u64>),
}

impl Default for VersionPolicy {
    fn default() -> Self {
        VersionPolicy::Latest(1)
    }
}

impl VersionPolicy {
    /// The versions that should be loaded, rising, of those that were found. Versions that are rolled back do
    /// not count.
    #[must_use]
    pub fn aspired(&self, found: &[u64], rolled_back: &BTreeSet<u64>) -> Vec<u64> {
        let found = found
            .iter()
            .filter(|version| !rolled_back.contains(version));
        let mut aspired: Vec<u64> = match self {
            VersionPolicy::Latest(_) | VersionPolicy::All => found.copied().collect(),
            VersionPolicy::Specific(wanted) => found
                .filter(|version| wanted.contains(version))
                .copied()
                .collect(),
        };
        aspired.sort_unstable();
        aspired.dedup();
        if let VersionPolicy::Latest(n) = self {
            aspired.drain(..aspired.len().saturating_sub(*n));
        }
        aspired
    }

    /// Checks the policy.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for the latest 0.
    pub fn check(&self) -> Result<()> {
        match self {
            VersionPolicy::Latest(0) => Err(Error::config(
                "version policy: `latest` is 0, must be at least 1",
            )),
            VersionPolicy::Latest(_) | VersionPolicy::All | VersionPolicy::Specific(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
