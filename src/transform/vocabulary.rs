//! A list of values that knows the place of each.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use arrow::array::StringArray;
use fourfold_kernels::terms::TermIndex;
use serde::{Deserialize, Serialize};

/// Values by their ids `0 ..`, and the id of each value: stored as a list of text, looked up without allocation.
///
/// Whole numbers are looked up as numbers: `"12"` is the text of 12, `"012"` is of no number. Of a value that is
/// there twice the last id holds.
///
/// ```
/// use fourfold::transform::ops::Vocabulary;
///
/// let vocabulary = Vocabulary::from(vec!["UA".to_owned(), "12".to_owned()]);
/// assert_eq!(vocabulary.id_of("UA"), Some(0));
/// assert_eq!(vocabulary.id_of_whole(12), Some(1));
/// assert_eq!(vocabulary.id_of("AA"), None);
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "Vec<String>", into = "Vec<String>")]
pub struct Vocabulary {
    values: Vec<String>,
    index: Arc<Index>,
}

#[derive(Debug, Default)]
struct Index {
    text: TermIndex,
    whole: FastMap<i64, u32>,
}

impl Vocabulary {
    /// The values, by their ids.
    #[must_use]
    pub fn values(&self) -> &[String] {
        &self.values
    }

    /// How many values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The id of a text.
    #[must_use]
    pub fn id_of(&self, text: &str) -> Option<u32> {
        self.index.text.id_of(text)
    }

    /// The ids of many texts: `other` of those that are not there, `missing` of those that are NULL.
    pub(super) fn ids_of(&self, texts: &StringArray, other: u32, missing: u32) -> Vec<u32> {
        self.index.text.ids_of(texts, other, missing)
    }

    /// The id of a whole number's text.
    #[must_use]
    pub fn id_of_whole(&self, number: i64) -> Option<u32> {
        self.index.whole.get(&number).copied()
    }
}

impl From<Vec<String>> for Vocabulary {
    fn from(values: Vec<String>) -> Self {
        let mut index = Index {
            text: TermIndex::new(values.iter().map(String::as_str)),
            whole: FastMap::default(),
        };
        for (value, id) in values.iter().zip(0..) {
            if let Some(number) = value
                .parse::<i64>()
                .ok()
                .filter(|n| n.to_string() == *value)
            {
                index.whole.insert(number, id);
            }
        }
        Vocabulary {
            values,
            index: Arc::new(index),
        }
    }
}

impl From<Vocabulary> for Vec<String> {
    fn from(vocabulary: Vocabulary) -> Self {
        vocabulary.values
    }
}

impl PartialEq for Vocabulary {
    fn eq(&self, other: &Self) -> bool {
        self.values == other.values
    }
}

/// A map of a fast hash, for maps whose keys no stranger chooses or whose size is bounded.
pub(super) type FastMap<K, V> = HashMap<K, V, BuildHasherDefault<FastHasher>>;

/// Eight bytes a multiplication; the construction of rustc's `FxHasher`.
#[derive(Debug, Default)]
pub(super) struct FastHasher(u64);

impl FastHasher {
    fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

impl Hasher for FastHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words
            .iter()
            .for_each(|word| self.add(u64::from_le_bytes(*word)));
        if !rest.is_empty() {
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            self.add(u64::from_le_bytes(word) ^ ((rest.len() as u64) << 56));
        }
    }

    fn write_u8(&mut self, byte: u8) {
        self.add(u64::from(byte));
    }

    fn write_u64(&mut self, word: u64) {
        self.add(word);
    }

    fn write_i64(&mut self, word: i64) {
        self.add(word as u64);
    }

    fn finish(&self) -> u64 {
        // The low bits of a product are its weakest, and choose the slot.
        self.0.rotate_left(26)
    }
}
