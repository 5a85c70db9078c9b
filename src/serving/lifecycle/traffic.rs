//! Traffic splits of requests that name no version.

use std::fmt;

use fourfold_kernels::hash::xxh64;
use serde::{Deserialize, Serialize};

use super::VersionChoice;
use crate::error::{Error, Result, shortened};

/// A reference to a version: its number, or a label such as `"stable"`. In a file, `5` or `"stable"`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged, expecting = "a version number or a label")]
pub enum VersionRef {
    /// The number.
    Number(u64),
    /// The version that has this label.
    Label(String),
}

impl VersionRef {
    /// The choice of version for it.
    #[must_use]
    pub fn as_choice(&self) -> VersionChoice<'_> {
        match self {
            VersionRef::Number(version) => VersionChoice::Number(*version),
            VersionRef::Label(label) => VersionChoice::Label(label),
        }
    }
}

impl fmt::Display for VersionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            VersionRef::Number(version) => write!(f, "version {version}"),
            VersionRef::Label(label) => write!(f, "label `{}`", shortened(label)),
        }
    }
}

impl From<u64> for VersionRef {
    fn from(version: u64) -> Self {
        VersionRef::Number(version)
    }
}

impl From<&str> for VersionRef {
    fn from(label: &str) -> Self {
        VersionRef::Label(label.to_owned())
    }
}

impl From<String> for VersionRef {
    fn from(label: String) -> Self {
        VersionRef::Label(label)
    }
}

/// The criterion that assigns a request to a share of the traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SplitBy {
    /// At random, for each request.
    #[default]
    Weight,
    /// The request's routing key: a key always gets the same version. A request without a key gets one at random.
    Key,
}

/// A share of the traffic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    to: VersionRef,
    weight: u32,
}

impl Share {
    /// The version that answers.
    #[must_use]
    pub fn to(&self) -> &VersionRef {
        &self.to
    }

    /// Its weight, relative to the sum of all.
    #[must_use]
    pub fn weight(&self) -> u32 {
        self.weight
    }
}

/// A traffic split of requests that name no version: at random, or by their routing key.
///
/// A key's version depends on the key, the shares and the seed alone, so every server gives the same. A share that grows
/// keeps the keys it has; one that shrinks gains none.
///
/// ```
/// use fourfold::serving::lifecycle::{Traffic, VersionRef};
///
/// let traffic = Traffic::by_key([("stable", 95), ("canary", 5)])?;
/// let chosen = traffic.choose(Some("customer 17"), 0);
/// assert_eq!(chosen, traffic.choose(Some("customer 17"), 1));
/// # Ok::<(), fourfold::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct Traffic {
    by: SplitBy,
    #[serde(skip_serializing_if = "is_zero")]
    seed: u64,
    shares: Vec<Share>,
}

/// The content of a file, not checked yet.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    by: SplitBy,
    #[serde(default)]
    seed: u64,
    shares: Vec<Share>,
}

impl TryFrom<Written> for Traffic {
    type Error = Error;

    fn try_from(written: Written) -> Result<Self> {
        let Written { by, seed, shares } = written;
        let traffic = Traffic { by, seed, shares };
        traffic.check()?;
        Ok(traffic)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(seed: &u64) -> bool {
    *seed == 0
}

impl Traffic {
    /// A split at random: versions and their weights.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if there is no share, no weight above 0, or a duplicate version.
    pub fn by_weight<V: Into<VersionRef>>(
        shares: impl IntoIterator<Item = (V, u32)>,
    ) -> Result<Self> {
        Traffic::new(SplitBy::Weight, shares)
    }

    /// A split by routing key: versions and their weights.
    ///
    /// # Errors
    /// As [`Traffic::by_weight`].
    pub fn by_key<V: Into<VersionRef>>(shares: impl IntoIterator<Item = (V, u32)>) -> Result<Self> {
        Traffic::new(SplitBy::Key, shares)
    }

    fn new<V: Into<VersionRef>>(
        by: SplitBy,
        shares: impl IntoIterator<Item = (V, u32)>,
    ) -> Result<Self> {
        let shares = shares.into_iter().map(|(to, weight)| Share {
            to: to.into(),
            weight,
        });
        let traffic = Traffic {
            by,
            seed: 0,
            shares: shares.collect(),
        };
        traffic.check()?;
        Ok(traffic)
    }

    /// The seed of the assignment of keys: with another seed, other keys fall into a small share. With one seed for all models,
    /// the same keys would get every canary.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The criterion that assigns a request to a share.
    #[must_use]
    pub fn by(&self) -> SplitBy {
        self.by
    }

    /// The shares.
    #[must_use]
    pub fn shares(&self) -> &[Share] {
        &self.shares
    }

    pub(super) fn retarget(&mut self, from: u64, to: u64) {
        let (from, to) = (VersionRef::Number(from), VersionRef::Number(to));
        let Some(at) = self.shares.iter().position(|share| share.to == from) else {
            return;
        };
        match self.shares.iter().position(|share| share.to == to) {
            Some(other) => {
                self.shares[other].weight = self.shares[other]
                    .weight
                    .saturating_add(self.shares[at].weight);
                self.shares.remove(at);
            }
            None => self.shares[at].to = to,
        }
    }

    /// The version for a request, by its key where the split is by key and it has one, else by the random number, which is
    /// to be uniform over all of `u64`.
    #[must_use]
    pub fn choose(&self, key: Option<&str>, random: u64) -> &VersionRef {
        match (self.by, key) {
            (SplitBy::Key, Some(key)) => self.choose_by_key(key),
            _ => self.choose_by_chance(random),
        }
    }

    fn choose_by_chance(&self, random: u64) -> &VersionRef {
        let total: u64 = self
            .shares
            .iter()
            .map(|share| u64::from(share.weight))
            .sum();
        // The high half of the product is uniform over 0..total, without a division.
        let mut at = ((u128::from(random) * u128::from(total)) >> 64) as u64;
        for share in &self.shares {
            let weight = u64::from(share.weight);
            if at < weight {
                return &share.to;
            }
            at -= weight;
        }
        &self.shares[0].to
    }

    /// Weighted rendezvous hashing: each version draws its own number from the key, and the smallest, divided by the
    /// weight, wins. So shares are as their weights, the order of the shares does not matter, and a weight that grows can
    /// only win keys.
    fn choose_by_key(&self, key: &str) -> &VersionRef {
        let mut best = (f64::INFINITY, &self.shares[0].to);
        for share in self.shares.iter().filter(|share| share.weight > 0) {
            let salt = match &share.to {
                VersionRef::Number(version) => xxh64(self.seed, &version.to_le_bytes()),
                VersionRef::Label(label) => xxh64(!self.seed, label.as_bytes()),
            };
            let hash = xxh64(salt, key.as_bytes());
            let uniform = (hash as f64 + 0.5) / 2_f64.powi(64);
            let draw = -uniform.ln() / f64::from(share.weight);
            if draw < best.0 {
                best = (draw, &share.to);
            }
        }
        best.1
    }

    /// A split without shares could choose nothing.
    fn check(&self) -> Result<()> {
        if self.shares.iter().all(|share| share.weight == 0) {
            return Err(Error::config(
                "traffic: at least one share must have a weight above 0",
            ));
        }
        for (at, share) in self.shares.iter().enumerate() {
            if self.shares[..at].iter().any(|other| other.to == share.to) {
                return Err(Error::config(format!(
                    "traffic: {} has two shares, must have one",
                    share.to
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
