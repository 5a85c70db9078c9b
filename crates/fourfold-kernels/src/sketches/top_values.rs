//! The most frequent values of a stream in bounded memory.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::hash::Hash;

use hashbrown::HashTable;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::hash::hash_one;

/// The counter of a value: a count (`u64`), a weight (`f64`), or anything that has a count.
pub trait Counter: Clone {
    /// The type of counts.
    type Count: Copy + Debug + Default + PartialEq + Serialize + DeserializeOwned;

    /// Whether values whose count comes down to zero stay while there is room, the smallest first. A plain count that
    /// has come to zero says nothing; what else is kept for a value may.
    const ZEROS_STAY: bool = false;

    /// The count.
    fn count(&self) -> Self::Count;

    /// Lowers the count, to zero at most.
    fn lower(&mut self, by: Self::Count);

    /// The order of two counts.
    fn order(a: Self::Count, b: Self::Count) -> Ordering;

    /// The sum of two counts.
    fn sum(a: Self::Count, b: Self::Count) -> Self::Count;
}

impl Counter for u64 {
    type Count = u64;

    #[inline]
    fn count(&self) -> u64 {
        *self
    }

    #[inline]
    fn lower(&mut self, by: u64) {
        *self = self.saturating_sub(by);
    }

    #[inline]
    fn order(a: u64, b: u64) -> Ordering {
        a.cmp(&b)
    }

    #[inline]
    fn sum(a: u64, b: u64) -> u64 {
        a.saturating_add(b)
    }
}

/// A sum of weights above 0.
impl Counter for f64 {
    type Count = f64;

    #[inline]
    fn count(&self) -> f64 {
        *self
    }

    #[inline]
    fn lower(&mut self, by: f64) {
        *self = (*self - by).max(0.0);
    }

    #[inline]
    fn order(a: f64, b: f64) -> Ordering {
        a.total_cmp(&b)
    }

    #[inline]
    fn sum(a: f64, b: f64) -> f64 {
        a + b
    }
}

/// Counts of values: exact while there are few distinct ones, the frequent ones for sure after that.
///
/// Misra and Gries (1982), in the mergeable form of Agarwal et al. (2012): at most twice `capacity` counters are
/// held. When they run out, all counts are lowered by the one at place `capacity`, and values whose count reaches zero
/// are dropped. [`TopValues::error`] is the most by which a count is too low; it is 0 until that happens, and at most
/// `n / capacity`, so any value that is more frequent than that is held.
///
/// `C` is what is kept for a value, see [`Counter`].
#[derive(Clone, Debug)]
pub struct TopValues<K, C: Counter = u64> {
    capacity: usize,
    counts: HashTable<Entry<K, C>>,
    error: C::Count,
}

#[derive(Clone, Debug)]
struct Entry<K, C> {
    hash: u64,
    value: K,
    counter: C,
}

impl<K, C: Counter> TopValues<K, C> {
    /// The bytes held beside the struct itself, where a value holds `of_value` bytes.
    pub fn held_bytes(&self, of_value: impl Fn(&K) -> usize) -> usize {
        let values = self.counts.iter().map(|entry| of_value(&entry.value));
        self.counts.allocation_size() + values.sum::<usize>()
    }

    /// All values held with their counts, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, C::Count)> {
        self.counters()
            .map(|(value, counter)| (value, counter.count()))
    }

    /// All values held with what is kept for them, in no order.
    pub fn counters(&self) -> impl Iterator<Item = (&K, &C)> {
        self.counts
            .iter()
            .map(|entry| (&entry.value, &entry.counter))
    }

    /// The most by which a count is too low; 0 if all counts are exact and no value is missing.
    #[must_use]
    pub fn error(&self) -> C::Count {
        self.error
    }

    /// The number of distinct values held: all of them while [`TopValues::error`] is 0.
    #[must_use]
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// Returns true if no value was seen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }
}

impl<K: Eq + Hash + Ord + Clone, C: Counter> TopValues<K, C> {
    /// Counts of no values; at most `2 * capacity` distinct values will be held.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        TopValues {
            capacity: capacity.max(1),
            counts: HashTable::new(),
            error: C::Count::default(),
        }
    }

    /// Counts that were kept, with what they are too low by at most. All of them are taken in: they may be more than
    /// will be held.
    pub fn from_counters(
        capacity: usize,
        counters: impl IntoIterator<Item = (K, C)>,
        error: C::Count,
    ) -> Self {
        let mut top = TopValues::new(capacity);
        for (value, counter) in counters {
            top.insert(hash_one(&value), value, counter);
        }
        top.error = error;
        top
    }

    /// Changes what is kept for a value, which is `new()` if it is not held.
    pub fn update<Q>(&mut self, value: &Q, new: impl FnOnce() -> C, change: impl FnOnce(&mut C))
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        self.update_hashed(hash_one(value), value, new, change);
    }

    #[inline]
    fn update_hashed<Q>(
        &mut self,
        hash: u64,
        value: &Q,
        new: impl FnOnce() -> C,
        change: impl FnOnce(&mut C),
    ) where
        K: Borrow<Q>,
        Q: Eq + ToOwned<Owned = K> + ?Sized,
    {
        let found = self.counts.find_mut(hash, |entry| {
            entry.hash == hash && entry.value.borrow() == value
        });
        if let Some(entry) = found {
            change(&mut entry.counter);
        } else {
            let mut counter = new();
            change(&mut counter);
            self.insert_one(hash, value.to_owned(), counter);
        }
    }

    #[cold]
    fn insert_one(&mut self, hash: u64, value: K, counter: C) {
        self.insert(hash, value, counter);
        self.reduce();
    }

    fn insert(&mut self, hash: u64, value: K, counter: C) {
        let entry = Entry {
            hash,
            value,
            counter,
        };
        self.counts.insert_unique(hash, entry, |entry| entry.hash);
    }

    /// Takes in the counts of other rows; `join` takes in what was kept for a value there, or gives what is to be kept
    /// for a value that is not held here.
    pub fn merge_with(
        &mut self,
        other: Self,
        mut join: impl FnMut(Option<&mut C>, C) -> Option<C>,
    ) {
        self.error = C::sum(self.error, other.error);
        for entry in other.counts {
            let hash = entry.hash;
            let found = self
                .counts
                .find_mut(hash, |own| own.value == entry.value)
                .map(|own| &mut own.counter);
            if let Some(counter) = join(found, entry.counter) {
                self.insert(hash, entry.value, counter);
            }
        }
        self.reduce();
    }

    fn reduce(&mut self) {
        if self.counts.len() <= self.capacity.saturating_mul(2) {
            return;
        }
        let mut counts: Vec<C::Count> = self.iter().map(|(_, count)| count).collect();
        let place = counts.len() - self.capacity - 1;
        let (_, cut, _) = counts.select_nth_unstable_by(place, |a, b| C::order(*a, *b));
        let cut = *cut;
        let is_above_zero = |counter: &C| C::order(counter.count(), C::Count::default()).is_gt();
        let mut zeros = Vec::new();
        for entry in &mut self.counts {
            entry.counter.lower(cut);
            if C::ZEROS_STAY && !is_above_zero(&entry.counter) {
                zeros.push(entry.value.clone());
            }
        }
        // Fewer than `capacity` counts are above the cut if some are equal to it.
        zeros.sort_unstable();
        let above = self.counts.len() - zeros.len();
        zeros.truncate(self.capacity.saturating_sub(above));
        self.counts.retain(|entry| {
            is_above_zero(&entry.counter) || zeros.binary_search(&entry.value).is_ok()
        });
        self.error = C::sum(self.error, cut);
    }

    /// The count of a value; `None` if it is not held.
    #[must_use]
    pub fn count<Q>(&self, value: &Q) -> Option<C::Count>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.counts
            .find(hash_one(value), |entry| entry.value.borrow() == value)
            .map(|entry| entry.counter.count())
    }

    /// The `n` most frequent values with their counts: by count from the highest, equal ones by value from the
    /// smallest.
    #[must_use]
    pub fn top(&self, n: usize) -> Vec<(K, C::Count)> {
        let mut entries: Vec<(&K, C::Count)> = self.iter().collect();
        entries.sort_unstable_by(|a, b| C::order(b.1, a.1).then_with(|| a.0.cmp(b.0)));
        entries
            .into_iter()
            .take(n)
            .map(|(value, count)| (value.clone(), count))
            .collect()
    }
}

impl<K: Eq + Hash + Ord + Clone> TopValues<K> {
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
        self.update_hashed(hash, value, || 0, |count| *count = count.wrapping_add(n));
    }

    /// Takes in the counts of other rows.
    pub fn merge(&mut self, other: Self) {
        self.merge_with(other, |own, count| match own {
            Some(own) => {
                *own = own.saturating_add(count);
                None
            }
            None => Some(count),
        });
    }

    /// Returns true if one more value that is not held would cost exactness.
    pub(super) fn is_full(&self) -> bool {
        self.counts.len() >= self.capacity.saturating_mul(2)
    }

    /// The highest count.
    pub(super) fn highest(&self) -> u64 {
        self.iter()
            .map(|(_, count)| count)
            .max()
            .unwrap_or_default()
    }
}

impl<K: Eq + Hash + Ord + Clone> TopValues<K, f64> {
    /// Takes in one value with a weight.
    pub fn add_weight<Q>(&mut self, value: &Q, weight: f64)
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        self.update(value, || 0.0, |sum| *sum += weight);
    }

    /// Takes in the weights of other rows.
    pub fn merge(&mut self, other: Self) {
        self.merge_with(other, |own, weight| match own {
            Some(own) => {
                *own += weight;
                None
            }
            None => Some(weight),
        });
    }
}

impl<K: Eq + Hash, C: Counter + PartialEq> PartialEq for TopValues<K, C> {
    fn eq(&self, other: &Self) -> bool {
        let held = |entry: &Entry<K, C>| {
            other
                .counts
                .find(entry.hash, |theirs| theirs.value == entry.value)
                .is_some_and(|theirs| theirs.counter == entry.counter)
        };
        (self.capacity, self.error, self.counts.len())
            == (other.capacity, other.error, other.counts.len())
            && self.counts.iter().all(held)
    }
}

/// The serialized form. Equal counts have equal bytes, which a hash table's own order does not give: parts are merged in
/// the order of their bytes.
#[derive(Serialize, Deserialize)]
#[serde(
    rename = "TopValues",
    bound(
        serialize = "K: Serialize + Ord, C: Serialize",
        deserialize = "K: Deserialize<'de> + Ord, C: Deserialize<'de>"
    )
)]
struct Sorted<K: Ord, C: Counter> {
    capacity: usize,
    counts: BTreeMap<K, C>,
    error: C::Count,
}

impl<K: Serialize + Ord, C: Counter + Serialize> Serialize for TopValues<K, C> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Sorted {
            capacity: self.capacity,
            counts: self
                .counters()
                .map(|(value, c)| (value, c.clone()))
                .collect(),
            error: self.error,
        }
        .serialize(serializer)
    }
}

impl<'de, K, C> Deserialize<'de> for TopValues<K, C>
where
    K: Deserialize<'de> + Eq + Hash + Ord + Clone,
    C: Counter + Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let sorted = Sorted::<K, C>::deserialize(deserializer)?;
        let capacity = sorted.capacity.min(1 << 40);
        Ok(TopValues::from_counters(
            capacity,
            sorted.counts,
            sorted.error,
        ))
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

    #[test]
    fn weights_are_counted_as_repeats_are() {
        let (mut weights, mut counts) = (TopValues::<i64, f64>::new(8), TopValues::<i64>::new(8));
        for i in 0..500_i64 {
            let (value, n) = (i * i % 37, i % 3 + 1);
            weights.add_weight(&value, n as f64);
            counts.add(&value, n as u64);
        }
        let expected: Vec<(i64, f64)> = counts
            .top(99)
            .into_iter()
            .map(|(value, n)| (value, n as f64))
            .collect();
        assert_eq!(weights.top(99), expected);
        assert!(counts.error() > 0 && weights.error() == counts.error() as f64);
    }
}
