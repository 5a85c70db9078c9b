//! The number of times that each row has been seen.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::hash::xxh64;

/// The number of times that each row has been seen.
///
/// It holds 17 bytes for each distinct row, in a table that doubles: at most 285 MB, and while it grows for the last time
/// half as much again. That is enough for [`Occurrences::CAPACITY`] distinct rows, about 14 million. When there are more,
/// the rows that have been seen least are forgotten, those seen once first: of rows that are all different nothing
/// changes, and those that repeat much are still counted. Only rows that repeat rarely in such data may then share a place
/// with an equal one.
#[derive(Debug)]
pub struct Occurrences {
    seen: HashTable<(u64, u64)>,
    capacity: usize,
}

impl Default for Occurrences {
    fn default() -> Self {
        Occurrences::with_capacity(Occurrences::CAPACITY)
    }
}

impl Occurrences {
    /// The capacity of a table of 2^24 buckets.
    pub const CAPACITY: usize = (1 << 24) / 8 * 7;

    fn with_capacity(capacity: usize) -> Self {
        Occurrences {
            seen: HashTable::new(),
            capacity,
        }
    }

    /// Makes hashes of contents into keys: those of rows that were seen before, here or earlier, become others.
    pub fn number(&mut self, hashes: &mut [u64]) {
        for hash in hashes {
            let content = *hash;
            if self.seen.len() >= self.capacity {
                self.forget();
            }
            let entry =
                self.seen
                    .entry(content, |(other, _)| *other == content, |(other, _)| *other);
            match entry {
                Entry::Occupied(mut entry) => {
                    let (_, n) = entry.get_mut();
                    *hash = xxh64(*n, &content.to_le_bytes());
                    *n = n.saturating_add(1);
                }
                Entry::Vacant(entry) => {
                    entry.insert((content, 1));
                }
            }
        }
    }

    /// Forgets the rows seen least, until half of the room is free. What is left does not depend on the table's order.
    fn forget(&mut self) {
        let mut at_most = 1;
        while self.seen.len() > self.capacity / 2 {
            self.seen.retain(|(_, n)| *n > at_most);
            at_most *= 2;
        }
    }

    /// Bytes in use.
    #[must_use]
    pub fn size(&self) -> usize {
        self.seen.allocation_size()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn equal_rows_have_keys_of_their_own_in_any_order() {
        let mut one = [7, 8, 7, 7, 9];
        Occurrences::default().number(&mut one);
        assert_eq!((one[0], one[1], one[4]), (7, 8, 9), "the first is itself");
        assert_eq!(BTreeSet::from(one).len(), 5);
        let mut other = [9, 7, 7, 8, 7, 7];
        Occurrences::default().number(&mut other);
        assert!(BTreeSet::from(other).is_superset(&BTreeSet::from(one)));
    }

    #[test]
    fn memory_is_bounded_and_frequent_rows_stay_counted() {
        let mut seen = Occurrences::with_capacity(1_000);
        let mut frequent: BTreeSet<u64> = BTreeSet::new();
        for round in 0..200_u64 {
            // Different rows, and one that is there every time.
            let mut rows: Vec<u64> = (0..100).map(|i| 1_000 + round * 100 + i).collect();
            let all_different = rows.clone();
            rows.push(7);
            rows.push(7);
            seen.number(&mut rows);
            assert_eq!(
                rows[..100],
                all_different,
                "a row that is there once is itself"
            );
            frequent.extend(&rows[100..]);
            assert!(seen.seen.len() <= 1_000);
        }
        assert_eq!(frequent.len(), 400);
    }
}
