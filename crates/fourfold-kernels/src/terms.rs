//! Strings that have a number each.

use std::hash::Hasher;

use arrow_array::{Array, StringArray};

use crate::hash::FastHasher;

/// The number of each of some texts, found without allocation: open addressing with [`FastHasher`],
/// half of the slots empty.
///
/// ```
/// use fourfold_kernels::terms::TermIndex;
///
/// let carriers = TermIndex::new(["UA", "AA", "UA"]);
/// assert_eq!(carriers.id_of("AA"), Some(1));
/// assert_eq!(carriers.id_of("UA"), Some(2), "of duplicates, the last");
/// assert_eq!(carriers.id_of("DL"), None);
/// ```
#[derive(Debug, Default)]
pub struct TermIndex {
    /// One more than the number of a string; 0 where there is none.
    slots: Vec<u32>,
    /// All texts, one after the other.
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl TermIndex {
    /// The strings by their numbers `0 ..`.
    ///
    /// # Panics
    /// If there are 2^32 texts or more.
    pub fn new<'t>(texts: impl IntoIterator<Item = &'t str>) -> Self {
        let mut index = TermIndex::default();
        for text in texts {
            index.bytes.extend_from_slice(text.as_bytes());
            index.ends.push(index.bytes.len());
        }
        let n = index.ends.len();
        assert!(u32::try_from(n).is_ok_and(|n| n < u32::MAX));
        if n == 0 {
            return index;
        }
        index.slots = vec![0; (2 * n).next_power_of_two()];
        for id in 0..n {
            let slot = index.slot_of(index.text(id));
            index.slots[slot] = id as u32 + 1;
        }
        index
    }

    fn text(&self, id: usize) -> &[u8] {
        let start = if id == 0 { 0 } else { self.ends[id - 1] };
        &self.bytes[start..self.ends[id]]
    }

    /// The slot of a string, or the empty one that it would take.
    fn slot_of(&self, text: &[u8]) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = hash(text) as usize & mask;
        loop {
            match self.slots[slot] {
                0 => return slot,
                id if self.text(id as usize - 1) == text => return slot,
                _ => slot = (slot + 1) & mask,
            }
        }
    }

    /// The number of a string.
    #[must_use]
    pub fn id_of(&self, text: &str) -> Option<u32> {
        if self.slots.is_empty() {
            return None;
        }
        self.slots[self.slot_of(text.as_bytes())].checked_sub(1)
    }

    /// The number of each of many texts: `other` of those that have none, `missing` of those that are NULL.
    #[must_use]
    pub fn ids_of(&self, texts: &StringArray, other: u32, missing: u32) -> Vec<u32> {
        let id = |text: &str| self.id_of(text).unwrap_or(other);
        match texts.null_count() {
            0 => (0..texts.len()).map(|row| id(texts.value(row))).collect(),
            _ => texts.iter().map(|text| text.map_or(missing, id)).collect(),
        }
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = FastHasher::default();
    hasher.write(bytes);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_found_and_no_other() {
        let texts: Vec<String> = (0..5_000)
            .map(|i| "x".repeat(i % 40) + &i.to_string())
            .collect();
        let index = TermIndex::new(texts.iter().map(String::as_str));
        for (id, text) in (0..).zip(&texts) {
            assert_eq!(index.id_of(text), Some(id));
            assert_eq!(index.id_of(&format!("{text} ")), None);
        }
        assert_eq!(TermIndex::new([]).id_of(""), None);
        assert_eq!(TermIndex::new([""]).id_of(""), Some(0));
        assert_eq!(TermIndex::new(["\0"]).id_of(""), None);
    }
}
