//! A value for each key: what steps per key have learned.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Vocabulary;
use crate::error::{Error, Result};
use crate::transform::learn::nothing_finite;
use crate::transform::numbers::{Few, NumbersView};
use crate::transform::per_key::{PerKey, Summary};
use crate::transform::value::{NO_CATEGORY, Value};

/// A value for each key, and one for the rows of all other keys and of none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    from = "Stored<T>",
    into = "Stored<T>",
    bound(
        serialize = "T: Clone + Serialize",
        deserialize = "T: DeserializeOwned"
    )
)]
pub struct KeyTable<T> {
    keys: Vocabulary,
    values: Vec<T>,
    other: T,
}

/// Readable: each key with its value.
#[derive(Serialize, Deserialize)]
#[serde(bound(serialize = "T: Serialize", deserialize = "T: DeserializeOwned"))]
struct Stored<T> {
    keys: BTreeMap<String, T>,
    other: T,
}

impl<T> KeyTable<T> {
    /// The value of each key, and that of all other rows.
    #[must_use]
    pub fn new(keys: BTreeMap<String, T>, other: T) -> Self {
        let (keys, values): (Vec<String>, Vec<T>) = keys.into_iter().unzip();
        KeyTable {
            keys: keys.into(),
            values,
            other,
        }
    }

    /// The values that follow from what was learned; keys from which none does are as all other rows.
    pub(super) fn fit<S: Summary>(
        learned: &PerKey<S>,
        of: impl Fn(&S) -> Option<T>,
    ) -> Result<Self> {
        let other = of(&learned.all).ok_or_else(nothing_finite)?;
        let keys = learned.keys.iter();
        let keys = keys.filter_map(|(key, summary)| Some((key.clone(), of(summary)?)));
        Ok(KeyTable::new(keys.collect(), other))
    }

    /// The numbers and the keys of a step per key, with the value for each row.
    pub(super) fn rows<'a>(&self, inputs: &[&'a Value]) -> Result<(NumbersView<'a>, Few<&T>)> {
        let [numbers, keys] = inputs else {
            return Err(Error::internal("a step per key without a key"));
        };
        let ids = keys.tokens()?.ids(&self.keys, NO_CATEGORY);
        let values = ids
            .iter()
            .map(|id| self.values.get(*id as usize).unwrap_or(&self.other));
        Ok((numbers.numbers()?, values.collect()))
    }
}

impl<T> From<Stored<T>> for KeyTable<T> {
    fn from(stored: Stored<T>) -> Self {
        KeyTable::new(stored.keys, stored.other)
    }
}

impl<T> From<KeyTable<T>> for Stored<T> {
    fn from(table: KeyTable<T>) -> Self {
        let keys = table.keys.values().iter().cloned();
        Stored {
            keys: keys.zip(table.values).collect(),
            other: table.other,
        }
    }
}
