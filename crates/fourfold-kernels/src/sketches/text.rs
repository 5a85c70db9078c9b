//! A sketch of a column of strings, or of bytes.

use arrow_array::cast::AsArray;
use arrow_array::types::ArrowDictionaryKeyType;
use arrow_array::{
    Array, ArrayAccessor, DictionaryArray, PrimitiveArray, downcast_dictionary_array,
};
use arrow_buffer::ArrowNativeType;
use arrow_schema::DataType;
use serde::{Deserialize, Serialize};

use super::distinct::DistinctSketch;
use super::number::{TOP_CAPACITY, stands_out_not};
use super::top_values::TopValues;
use crate::hash::hash_bytes;

/// The number of values past the exact ones after which it is checked whether some value stands out.
const PATIENCE: u64 = 1 << 16;

/// A sketch of a column of strings or bytes: counts while there are few values, as with
/// [numbers](super::number).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TextSketch {
    top: Option<TopValues<String>>,
    /// Once there are more values than are counted exactly.
    distinct: Option<DistinctSketch>,
    n: u64,
    bytes: u64,
    shortest: u64,
    longest: u64,
    invalid: u64,
    patience: u64,
}

/// The lengths of some values, in bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lengths {
    /// The mean.
    pub mean: f64,
    /// The length of the shortest value.
    pub shortest: u64,
    /// The length of the longest value.
    pub longest: u64,
    /// Values that are not UTF-8.
    pub invalid_utf8: u64,
}

impl Default for TextSketch {
    fn default() -> Self {
        TextSketch {
            top: Some(TopValues::new(TOP_CAPACITY)),
            distinct: None,
            n: 0,
            bytes: 0,
            shortest: u64::MAX,
            longest: 0,
            invalid: 0,
            patience: PATIENCE,
        }
    }
}

impl TextSketch {
    /// Bytes held beside the struct itself.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        let top = self.top.as_ref();
        let distinct = self.distinct.as_ref();
        top.map_or(0, |top| top.held_bytes(String::capacity))
            + distinct.map_or(0, DistinctSketch::held_bytes)
    }

    /// Takes in a column of text or bytes, or a dictionary of them.
    pub fn update(&mut self, column: &dyn Array) {
        self.values(column);
        self.look(column.len() as u64);
    }

    fn values(&mut self, column: &dyn Array) {
        match column.data_type() {
            DataType::Utf8 => self.texts(column.as_string::<i32>()),
            DataType::LargeUtf8 => self.texts(column.as_string::<i64>()),
            DataType::Utf8View => self.texts(column.as_string_view()),
            DataType::Binary => self.blobs(column.as_binary::<i32>()),
            DataType::LargeBinary => self.blobs(column.as_binary::<i64>()),
            DataType::BinaryView => self.blobs(column.as_binary_view()),
            DataType::FixedSizeBinary(_) => self.blobs(column.as_fixed_size_binary()),
            DataType::Dictionary(..) => {
                downcast_dictionary_array!(
                    column => self.dictionary(column),
                    _ => {}
                );
            }
            _ => {}
        }
    }

    fn texts<'a>(&mut self, column: impl ArrayAccessor<Item = &'a str>) {
        each(column, |value| self.add(value, 1));
    }

    fn blobs<'a>(&mut self, column: impl ArrayAccessor<Item = &'a [u8]>) {
        each(column, |value| self.add_bytes(value, 1));
    }

    /// Counts the keys of a batch, and takes in each value of the dictionary once; a dictionary that is longer than
    /// the batch is read by row.
    fn dictionary<K: ArrowDictionaryKeyType>(&mut self, column: &DictionaryArray<K>) {
        let values = column.values();
        let keys = column.keys();
        if values.len() > column.len() {
            match values.data_type() {
                DataType::Utf8 => self.rows(values.as_string::<i32>(), keys),
                DataType::LargeUtf8 => self.rows(values.as_string::<i64>(), keys),
                DataType::Utf8View => self.rows(values.as_string_view(), keys),
                DataType::Binary => self.rows(values.as_binary::<i32>(), keys),
                DataType::LargeBinary => self.rows(values.as_binary::<i64>(), keys),
                DataType::BinaryView => self.rows(values.as_binary_view(), keys),
                DataType::FixedSizeBinary(_) => self.rows(values.as_fixed_size_binary(), keys),
                _ => {}
            }
            return;
        }
        let mut counts = vec![0_u64; values.len()];
        match keys.nulls().filter(|nulls| nulls.null_count() > 0) {
            None => {
                for key in keys.values() {
                    if let Some(count) = counts.get_mut(key.as_usize()) {
                        *count += 1;
                    }
                }
            }
            Some(_) => {
                for key in keys.iter().flatten() {
                    if let Some(count) = counts.get_mut(key.as_usize()) {
                        *count += 1;
                    }
                }
            }
        }
        match values.data_type() {
            DataType::Utf8 => self.counted(values.as_string::<i32>(), &counts),
            DataType::LargeUtf8 => self.counted(values.as_string::<i64>(), &counts),
            DataType::Utf8View => self.counted(values.as_string_view(), &counts),
            DataType::Binary => self.counted(values.as_binary::<i32>(), &counts),
            DataType::LargeBinary => self.counted(values.as_binary::<i64>(), &counts),
            DataType::BinaryView => self.counted(values.as_binary_view(), &counts),
            DataType::FixedSizeBinary(_) => self.counted(values.as_fixed_size_binary(), &counts),
            _ => {}
        }
    }

    /// Takes in the value of each key, in the order of rows.
    #[expect(clippy::needless_pass_by_value, reason = "an accessor is a reference")]
    fn rows<'a, T: AsRef<[u8]> + ?Sized + 'a, K: ArrowDictionaryKeyType>(
        &mut self,
        values: impl ArrayAccessor<Item = &'a T>,
        keys: &PrimitiveArray<K>,
    ) {
        for key in keys.iter().flatten() {
            let at = key.as_usize();
            if at < values.len() && values.is_valid(at) {
                self.add_bytes(values.value(at).as_ref(), 1);
            }
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "an accessor is a reference")]
    fn counted<'a, T: AsRef<[u8]> + ?Sized + 'a>(
        &mut self,
        values: impl ArrayAccessor<Item = &'a T>,
        counts: &[u64],
    ) {
        for (at, n) in counts.iter().enumerate() {
            if *n > 0 && values.is_valid(at) {
                self.add_bytes(values.value(at).as_ref(), *n);
            }
        }
    }

    fn add_bytes(&mut self, value: &[u8], n: u64) {
        match std::str::from_utf8(value) {
            Ok(text) => self.add(text, n),
            Err(_) => {
                self.invalid += n;
                self.measure(value.len(), n);
                self.more_than_counted().update(hash_bytes(value));
            }
        }
    }

    #[inline]
    fn measure(&mut self, length: usize, n: u64) {
        let length = length as u64;
        self.n += n;
        self.bytes += length * n;
        self.shortest = length.min(self.shortest);
        self.longest = length.max(self.longest);
    }

    #[inline]
    fn add(&mut self, value: &str, n: u64) {
        self.measure(value.len(), n);
        let hash = hash_bytes(value.as_bytes());
        if let Some(distinct) = &mut self.distinct {
            distinct.update(hash);
        }
        if let Some(top) = &mut self.top {
            if self.distinct.is_none() && top.is_full() && top.count(value).is_none() {
                self.more_than_counted().update(hash);
                self.add_to_top(hash, value, n);
            } else {
                top.add_hashed(hash, value, n);
            }
        }
    }

    #[cold]
    fn add_to_top(&mut self, hash: u64, value: &str, n: u64) {
        if let Some(top) = &mut self.top {
            top.add_hashed(hash, value, n);
        }
    }

    /// The sketch of distinct values, which has all that were counted.
    #[cold]
    fn more_than_counted(&mut self) -> &mut DistinctSketch {
        let top = self.top.as_ref();
        self.distinct.get_or_insert_with(|| {
            let mut sketch = DistinctSketch::default();
            if let Some(top) = top {
                top.iter()
                    .for_each(|(value, _)| sketch.update(hash_bytes(value.as_bytes())));
            }
            sketch
        })
    }

    fn look(&mut self, n: u64) {
        self.patience = self.patience.saturating_sub(n);
        if self.patience == 0 {
            self.patience = PATIENCE;
            if self.top.as_ref().is_some_and(stands_out_not) {
                self.top = None;
            }
        }
    }

    /// Takes in what was learned of other values.
    pub fn merge(&mut self, mut other: Self) {
        let over = match (&self.top, &other.top) {
            (Some(mine), Some(theirs)) => {
                let new = theirs
                    .iter()
                    .filter(|(value, _)| mine.count(value.as_str()).is_none());
                mine.len() + new.count() > 2 * TOP_CAPACITY
            }
            _ => true,
        };
        if over || self.distinct.is_some() || other.distinct.is_some() {
            let theirs = other.more_than_counted().clone();
            self.more_than_counted().merge(&theirs);
        }
        self.top = match (self.top.take(), other.top) {
            (Some(mut top), Some(theirs)) => {
                top.merge(theirs);
                Some(top)
            }
            _ => None,
        };
        self.n = self.n.saturating_add(other.n);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.shortest = self.shortest.min(other.shortest);
        self.longest = self.longest.max(other.longest);
        self.invalid = self.invalid.saturating_add(other.invalid);
        self.patience = self.patience.min(other.patience);
    }

    /// The number of distinct values, exact or estimated.
    #[must_use]
    pub fn distinct(&self) -> u64 {
        match (&self.distinct, &self.top) {
            (Some(sketch), _) => sketch.estimate(),
            (None, Some(top)) => top.len() as u64,
            (None, None) => 0,
        }
    }

    /// The counts of values, if they are still known.
    #[must_use]
    pub fn counts(&self) -> Option<&TopValues<String>> {
        self.top.as_ref()
    }

    /// The most frequent values, and whether they are all there are.
    #[must_use]
    pub fn top(&self, n: usize) -> Option<(Vec<(String, u64)>, bool)> {
        let top = self.top.as_ref()?;
        Some((top.top(n), self.distinct.is_none() && top.len() <= n))
    }

    /// The lengths; `None` if no value was seen.
    #[must_use]
    pub fn lengths(&self) -> Option<Lengths> {
        (self.n > 0).then(|| Lengths {
            mean: self.bytes as f64 / self.n as f64,
            shortest: self.shortest,
            longest: self.longest,
            invalid_utf8: self.invalid,
        })
    }

    /// Returns true if what was read from outside is valid.
    pub fn is_whole(&self) -> bool {
        self.distinct.as_ref().is_none_or(DistinctSketch::is_whole)
    }
}

/// Calls for every value that is not NULL.
#[inline]
#[expect(clippy::needless_pass_by_value, reason = "an accessor is a reference")]
fn each<A: ArrayAccessor>(column: A, mut call: impl FnMut(A::Item)) {
    match column.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => (0..column.len()).for_each(|at| call(column.value(at))),
        Some(nulls) => nulls.valid_indices().for_each(|at| call(column.value(at))),
    }
}
