//! The sets of categories that a row is outside of.
//!
//! For each feature that is split by sets, a table holds one bit a set for each category. A row takes the bits of its
//! categories once, before it goes down the trees, and a split by a set then looks at one bit of the row: it costs as much
//! as the comparison of a number.

use std::ops::Range;

use super::forest::FlatNode;

/// Tables of all features together have no more words than this, or twice those of the sets if that is more.
const MOST_WORDS: usize = 1 << 20;

/// A node that splits by a set, before the words of rows are arranged.
#[derive(Clone, Copy, Debug)]
pub(super) struct SetNode {
    pub(super) node: u32,
    pub(super) slot: u32,
    /// The place of the set.
    pub(super) set: u32,
}

/// The bits of rows, for each feature that is split by sets.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct SetBits {
    features: Vec<FeatureSets>,
    /// The slot of each word.
    slots: Vec<u32>,
    /// The place of the set of each bit; of bits that are no set's, any.
    sets: Vec<u32>,
}

#[derive(Clone, Debug, PartialEq)]
struct FeatureSets {
    slot: usize,
    /// The words of a row.
    words: Range<usize>,
    /// The number of sets, one a bit.
    n_sets: usize,
    /// Categories from this number on are in no set.
    n_codes: u32,
    /// `(n_codes + 1, words)`: the sets that each category is outside of; the last row is that of all others. Empty if
    /// it would be too large: then the sets are asked.
    table: Vec<u32>,
}

/// The category of a value; of a missing or negative one, a category that is in no set.
#[inline]
fn code_of(value: f32) -> u32 {
    if value >= 0.0 { value as u32 } else { u32::MAX }
}

/// Returns true if a value is outside of the set at a place.
pub(super) fn is_outside(sets: &[u32], at: u32, value: f32) -> bool {
    let code = code_of(value);
    let words = words_at(sets, at);
    let word = words.get(code as usize / 32).copied().unwrap_or_default();
    word >> (code % 32) & 1 == 0
}

/// The words of the set at a place.
pub(super) fn words_at(sets: &[u32], at: u32) -> &[u32] {
    let first = at as usize + 1;
    &sets[first..first + sets[first - 1] as usize]
}

impl SetBits {
    /// Gives each set a bit, and the nodes the word and bit that they look at. The words follow `first_word` others.
    pub(super) fn arrange(
        mut splits: Vec<SetNode>,
        nodes: &mut [FlatNode],
        sets: &[u32],
        first_word: usize,
    ) -> Self {
        splits.sort_by_key(|split| (split.slot, split.set));
        let mut bits = SetBits::default();
        let mut room = MOST_WORDS.max(2 * sets.len());
        for of_slot in splits.chunk_by(|a, b| a.slot == b.slot) {
            let slot = of_slot[0].slot;
            let first = bits.slots.len();
            let mut places = Vec::new();
            for of_set in of_slot.chunk_by(|a, b| a.set == b.set) {
                let bit = places.len();
                places.push(of_set[0].set);
                for split in of_set {
                    let word = first_word + first + bit / 32;
                    nodes[split.node as usize].look_at(word as u32, bit % 32);
                }
            }
            let words = first..first + places.len().div_ceil(32);
            let feature = FeatureSets::new(slot as usize, words, &places, sets, &mut room);
            bits.slots.resize(feature.words.end, slot);
            places.resize(feature.words.len() * 32, 0);
            bits.sets.extend(places);
            bits.features.push(feature);
        }
        bits
    }

    /// Words of a row.
    pub(super) fn n_words(&self) -> usize {
        self.slots.len()
    }

    /// The slot of a word.
    pub(super) fn slot(&self, word: usize) -> usize {
        self.slots[word] as usize
    }

    /// The place of the set of a bit.
    pub(super) fn set(&self, word: usize, bit: u32) -> u32 {
        self.sets[word * 32 + bit as usize]
    }

    /// Writes the words of a row of these values by slot.
    #[inline]
    pub(super) fn fill(&self, sets: &[u32], values: &[f32], row: &mut [u32]) {
        for feature in &self.features {
            let code = code_of(values[feature.slot]);
            let own = &mut row[feature.words.clone()];
            let n = own.len();
            if feature.table.is_empty() {
                let places = &self.sets[feature.words.start * 32..][..feature.n_sets];
                for (word, places) in own.iter_mut().zip(places.chunks(32)) {
                    let outside = |(bit, at): (usize, &u32)| {
                        u32::from(is_outside(sets, *at, values[feature.slot])) << bit
                    };
                    *word = places.iter().enumerate().map(outside).sum();
                }
            } else {
                let start = code.min(feature.n_codes) as usize * n;
                own.copy_from_slice(&feature.table[start..start + n]);
            }
        }
    }
}

impl FeatureSets {
    /// The table of the sets at these places, if there is room for it.
    fn new(
        slot: usize,
        words: Range<usize>,
        places: &[u32],
        sets: &[u32],
        room: &mut usize,
    ) -> Self {
        let longest = places.iter().map(|at| words_at(sets, *at).len()).max();
        let n_codes = longest.unwrap_or_default() * 32;
        let n = words.len();
        let n_cells = (n_codes + 1).saturating_mul(n);
        let mut table = Vec::new();
        if n_cells <= *room {
            *room -= n_cells;
            table = vec![u32::MAX; n_cells];
            for (bit, at) in places.iter().enumerate() {
                for (at, word) in words_at(sets, *at).iter().enumerate() {
                    let mut left = *word;
                    while left != 0 {
                        let code = at * 32 + left.trailing_zeros() as usize;
                        table[code * n + bit / 32] &= !(1 << (bit % 32));
                        left &= left - 1;
                    }
                }
            }
        }
        FeatureSets {
            slot,
            words,
            n_sets: places.len(),
            n_codes: n_codes as u32,
            table,
        }
    }
}
