//! A list of values that knows the place of each.

use std::sync::Arc;

use arrow::array::StringArray;
use fourfold_kernels::hash::FastMap;
use fourfold_kernels::terms::TermIndex;
use serde::{Deserialize, Serialize};

/// Values by their ids `0 ..`, and the id of each value: stored as a list of strings, looked up without allocation.
///
/// Whole numbers are looked up as numbers: `"12"` is the string of 12, `"012"` is that of no number. A duplicate value has
/// its last id.
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

    /// The number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Returns true if there are no values.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The id of a string.
    #[must_use]
    pub fn id_of(&self, text: &str) -> Option<u32> {
        self.index.text.id_of(text)
    }

    /// The ids of many strings: `other` for those without an id, `missing` for NULL.
    pub(super) fn ids_of(&self, texts: &StringArray, other: u32, missing: u32) -> Vec<u32> {
        self.index.text.ids_of(texts, other, missing)
    }

    /// The id of a whole number.
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
