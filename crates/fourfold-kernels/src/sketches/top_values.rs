//! The most frequent values of a stream in bounded memory.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::hash::Hash;

use hashbrown::HashTable;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::hash::hash_one;

/// Counts of values: exact while there are few distinct ones, the frequent ones for sure after that.
///
/// Misra and Gries (1982), in the mergeable form of Agarwal et al. (2012): at most twice `capacity` counters are
/// held. When they run out, all counts go down by the one at place `capacity`, and what reaches zero leaves.
/// [`TopValues::error`] says by how much a count may be too low; it is 0 until that happens, and at most
/// `n / capacity`, so any value that is more frequent than that is certainly there.
#[derive(Clone, Debug)]
pub struct TopValues<K> {
    capacity: usize,
    counts: HashTable<Entry<K>>,
    error: u64,
}

#[derive(Clone, Debug)]
struct Entry<K> {
    hash: u64,
    value: K,
    count: u64,
}

impl<K> TopValues<K> {
    /// Bytes held beside the struct itself; of each value so many.
    pub(super) fn held_bytes(&self, of_value: impl Fn(&K) -> usize) -> usize {
        let values = self.counts.iter().map(|entry| of_value(&entry.value));
        self.counts.allocation_size() + values.sum::<usize>()
    }
}

impl<K: Eq + Hash + Ord + Clone> TopValues<K> {
    /// Nothing seen yet; at most `2 * capacity` distinct values will be held.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        TopValues {
            capacity: capacity.max(1),
            counts: HashTable::new(),
            error: 0,
        }
    }

    /// Takes in one value `n` times.
    pub fn add<Q>(&mut self, value: &Q, n: u64)
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        self.add_hashed(hash_one(value), value, n);
    }

    /// The same, with the hash of the value.
    #[inline]
    pub(super) fn add_hashed<Q>(&mut self, hash: u64, value: &Q, n: u64)
    where
        K: Borrow<Q>,
        Q: Eq + ToOwned<Owned = K> + ?Sized,
    {
        let found = self.counts.find_mut(hash, |entry| {
            entry.hash == hash && entry.value.borrow() == value
        });
        if let Some(entry) = found {
            entry.count = entry.count.wrapping_add(n);
        } else {
            self.insert(hash, value.to_owned(), n);
        }
    }

    #[cold]
    fn insert(&mut self, hash: u64, value: K, count: u64) {
        let entry = Entry { hash, value, count };
        self.counts.insert_unique(hash, entry, |entry| entry.hash);
        if self.counts.len() > self.capacity.saturating_mul(2) {
            self.reduce();
        }
    }

    /// Takes in the counts of other values.
    pub fn merge(&mut self, other: Self) {
        self.error = self.error.saturating_add(other.error);
        for Entry { hash, value, count } in other.counts {
            match self.counts.find_mut(hash, |entry| entry.value == value) {
                Some(entry) => entry.count = entry.count.saturating_add(count),
                None => {
                    let entry = Entry { hash, value, count };
                    self.counts.insert_unique(hash, entry, |entry| entry.hash);
                }
            }
        }
        if self.counts.len() > self.capacity.saturating_mul(2) {
            self.reduce();
        }
    }

    fn reduce(&mut self) {
        let mut counts: Vec<u64> = self.counts.iter().map(|entry| entry.count).collect();
        let place = counts.len() - self.capacity - 1;
        let (_, cut, _) = counts.select_nth_unstable(place);
        let cut = *cut;
        self.counts.retain(|entry| {
            entry.count = entry.count.saturating_sub(cut);
            entry.count > 0
        });
        self.error = self.error.saturating_add(cut);
    }

    /// Whether one more value that is not held would cost exactness.
    pub(super) fn is_full(&self) -> bool {
        self.counts.len() >= self.capacity.saturating_mul(2)
    }

    /// The count of a value; `None` if it is not held.
    #[must_use]
    pub fn count<Q>(&self, value: &Q) -> Option<u64>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.counts
            .find(hash_one(value), |entry| entry.value.borrow() == value)
            .map(|entry| entry.count)
    }

    /// The highest count.
    pub(super) fn highest(&self) -> u64 {
        self.counts
            .iter()
            .map(|entry| entry.count)
            .max()
            .unwrap_or_default()
    }

    /// All values held with their counts, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, u64)> {
        self.counts.iter().map(|entry| (&entry.value, entry.count))
    }

    /// By how much any count may be too low; 0 means that all counts are exact and no value is missing.
    #[must_use]
    pub fn error(&self) -> u64 {
        self.error
    }

    /// How many distinct values are held: all of them while [`TopValues::error`] is 0.
    #[must_use]
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// Whether nothing was seen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// The `n` most frequent values with their counts: by count from the highest, equal ones by value from the
    /// smallest.
    #[must_use]
    pub fn top(&self, n: usize) -> Vec<(K, u64)> {
        let mut entries: Vec<(&K, u64)> = self.iter().collect();
        entries.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        entries
            .into_iter()
            .take(n)
            .map(|(value, count)| (value.clone(), count))
            .collect()
    }
}

impl<K: Eq + Hash> PartialEq for TopValues<K> {
    fn eq(&self, other: &Self) -> bool {
        let held = |entry: &Entry<K>| {
            other
                .counts
                .find(entry.hash, |theirs| theirs.value == entry.value)
                .is_some_and(|theirs| theirs.count == entry.count)
        };
        (self.capacity, self.error, self.counts.len())
            == (other.capacity, other.error, other.counts.len())
            && self.counts.iter().all(held)
    }
}

/// How it travels. Equal counts have equal bytes, which a hash table's own order does not give: parts are merged in
/// the order of their bytes.
#[derive(Serialize, Deserialize)]
#[serde(rename = "TopValues")]
struct Sorted<K: Ord> {
    capacity: usize,
    counts: BTreeMap<K, u64>,
    error: u64,
}

impl<K: Serialize + Ord> Serialize for TopValues<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let counts = self.counts.iter();
        Sorted {
            capacity: self.capacity,
            counts: counts.map(|entry| (&entry.value, entry.count)).collect(),
            error: self.error,
        }
        .serialize(serializer)
    }
}

impl<'de, K: Deserialize<'de> + Eq + Hash + Ord + Clone> Deserialize<'de> for TopValues<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let sorted = Sorted::deserialize(deserializer)?;
        let mut top = TopValues::new(sorted.capacity.min(1 << 40));
        for (value, count) in sorted.counts {
            let hash = hash_one(&value);
            let entry = Entry { hash, value, count };
            top.counts.insert_unique(hash, entry, |entry| entry.hash);
        }
        top.error = sorted.error;
        Ok(top)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_values_are_counted_exactly() {
        let mut top = TopValues::<String>::new(10);
        for value in ["a", "b", "a", "c", "b", "a"] {
            top.add(value, 1);
        }
        assert_eq!(top.error(), 0);
        let expected = [("a", 3), ("b", 2), ("c", 1)].map(|(value, n)| (value.to_owned(), n));
        assert_eq!(top.top(9), expected);
    }

    #[test]
    fn a_frequent_value_survives_a_flood_of_rare_ones() {
        let mut top = TopValues::<i64>::new(100);
        for i in 0..100_000_i64 {
            top.add(&(1_000 + i), 1);
            if i % 10 == 0 {
                top.add(&7, 1);
            }
        }
        assert!(top.len() <= 200);
        let (value, count) = top.top(1)[0];
        assert_eq!(value, 7);
        assert!(count <= 10_000 && count + top.error() >= 10_000);
        assert!(top.error() <= 110_000 / 100);
    }
}
