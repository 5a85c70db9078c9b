//! Summaries of numbers for each key.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize, Serializer};

use super::learn::{Learn, Learner, Rows};
use crate::error::{Error, Result};
use crate::statistics::{Moments, QuantileSketch};

/// A summary of numbers, in parts that merge.
pub(super) trait Summary:
    Clone + Debug + Default + PartialEq + Serialize + DeserializeOwned
{
    /// The most keys that have a summary each.
    const MAX_KEYS: usize;

    fn update(&mut self, number: f64);

    fn merge(&mut self, other: &Self);

    /// The learner, if it is one of these summaries.
    fn of(learner: &Learner) -> Option<&PerKey<Self>>;
}

impl Summary for Moments {
    /// They take some 20 MB.
    const MAX_KEYS: usize = 100_000;

    fn update(&mut self, number: f64) {
        self.update(number);
    }

    fn merge(&mut self, other: &Self) {
        self.merge(other);
    }

    fn of(learner: &Learner) -> Option<&MomentsPerKey> {
        match learner {
            Learner::MomentsPerKey(learner) => Some(learner),
            _ => None,
        }
    }
}

impl Summary for QuantileSketch {
    /// They take some 100 MB where each key has a thousand rows, and some 300 MB where each has many more.
    const MAX_KEYS: usize = 10_000;

    fn update(&mut self, number: f64) {
        self.update(number);
    }

    fn merge(&mut self, other: &Self) {
        self.merge(other);
    }

    fn of(learner: &Learner) -> Option<&SketchPerKey> {
        match learner {
            Learner::SketchPerKey(learner) => Some(learner),
            _ => None,
        }
    }
}

/// The moments of each key.
pub(super) type MomentsPerKey = PerKey<Moments>;
/// The quantiles of each key.
pub(super) type SketchPerKey = PerKey<QuantileSketch>;

/// A summary of the first input's finite numbers, of all rows and for each value of the second. Keys without a finite
/// number have none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(bound(deserialize = "S: DeserializeOwned"))]
pub(super) struct PerKey<S> {
    pub(super) all: S,
    #[serde(serialize_with = "sorted")]
    pub(super) keys: HashMap<String, S>,
}

/// Equal contents have equal bytes, which a map's own order does not give.
fn sorted<T: Serialize, S: Serializer>(
    keys: &HashMap<String, T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(keys.iter().collect::<BTreeMap<_, _>>())
}

impl<S: Summary> PerKey<S> {
    /// Adds a number of a key.
    pub(super) fn add(&mut self, number: f64, key: Option<&str>) {
        self.all.update(number);
        let Some(key) = key else { return };
        match self.keys.get_mut(key) {
            Some(summary) => summary.update(number),
            None => self.keys.entry(key.to_owned()).or_default().update(number),
        }
    }

    fn check(&self) -> Result<()> {
        if self.keys.len() > S::MAX_KEYS {
            return Err(Error::data(format!(
                "the key has more than {} distinct values",
                S::MAX_KEYS
            )));
        }
        Ok(())
    }
}

impl<S: Summary> Learn for PerKey<S> {
    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        let [numbers, keys] = rows.inputs else {
            return Err(Error::internal("a step per key without a key"));
        };
        let numbers = numbers.numbers()?;
        let mut numbers = numbers.iter();
        keys.tokens()?.for_each(|key| {
            let number = numbers.next().flatten();
            if let Some(number) = number.filter(|number| number.is_finite()) {
                self.add(number, key);
            }
        });
        self.check()
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        self.all.merge(&other.all);
        for (key, summary) in other.keys {
            self.keys.entry(key).or_default().merge(&summary);
        }
        self.check()
    }

    fn of(learner: &Learner) -> Option<&Self> {
        S::of(learner)
    }
}
