//! Entries for the terms of a stream, in bounded memory.

use fourfold_kernels::sketches::{Counter, TopValues};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// An entry for one term.
pub(super) trait Entry: Clone + Serialize + DeserializeOwned {
    /// The number of times that the term was seen since it was last taken in.
    fn count(&self) -> u64;
}

/// Entries by term: exact up to `2 * capacity` distinct terms. One more, and only the `capacity` most frequent ones
/// stay (equal counts by term, from the smallest); one that was dropped and comes again starts from nothing.
///
/// The counter of [`TopValues`] decides which terms are the most frequent. So a term that makes up more than the
/// share `1 / capacity` of all is held, whenever it came; its count is too low by at most that share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound = "T: Entry")]
pub(super) struct Tally<T: Entry>(TopValues<String, Held<T>>);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound = "T: Entry")]
struct Held<T> {
    counter: u64,
    entry: T,
}

impl<T: Entry> Counter for Held<T> {
    type Count = u64;

    const ZEROS_STAY: bool = true;

    fn count(&self) -> u64 {
        self.counter
    }

    fn lower(&mut self, by: u64) {
        self.counter.lower(by);
    }

    fn order(a: u64, b: u64) -> std::cmp::Ordering {
        a.cmp(&b)
    }

    fn sum(a: u64, b: u64) -> u64 {
        a.saturating_add(b)
    }
}

impl<T: Entry> Tally<T> {
    pub(super) fn new(capacity: usize) -> Self {
        Tally(TopValues::new(capacity))
    }

    /// Changes the entry of a term, which is `new()` if there is none yet.
    pub(super) fn change(
        &mut self,
        term: &str,
        new: impl FnOnce() -> T,
        change: impl FnOnce(&mut T),
    ) {
        let new = || Held {
            counter: 0,
            entry: new(),
        };
        self.0.update(term, new, |held| {
            let before = held.entry.count();
            change(&mut held.entry);
            held.counter += held.entry.count().saturating_sub(before);
        });
    }

    /// Takes in other entries; `merge` joins two of one term, mine first.
    pub(super) fn merge(
        &mut self,
        other: Self,
        mut merge: impl FnMut(Option<&mut T>, T) -> Option<T>,
    ) {
        self.0.merge_with(other.0, |mine, theirs| {
            let counter = theirs.counter;
            let mine = mine.map(|mine| {
                mine.counter = mine.counter.saturating_add(counter);
                &mut mine.entry
            });
            merge(mine, theirs.entry).map(|entry| Held { counter, entry })
        });
    }

    /// The entries by count from the highest, equal ones by term from the smallest.
    pub(super) fn ranked(&self) -> Vec<(&str, &T)> {
        let entries = self.0.counters();
        let mut ranked: Vec<(&str, &T)> = entries
            .map(|(term, held)| (term.as_str(), &held.entry))
            .collect();
        ranked.sort_unstable_by(|a, b| b.1.count().cmp(&a.1.count()).then_with(|| a.0.cmp(b.0)));
        ranked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Entry for u64 {
        fn count(&self) -> u64 {
            *self
        }
    }

    #[test]
    fn the_frequent_ones_stay() {
        let mut tally = Tally::new(2);
        for text in ["d", "a", "a", "b", "b", "c", "e"] {
            tally.change(text, || 0, |n| *n += 1);
        }
        // The fifth distinct term leaves two of them.
        assert_eq!(tally.ranked(), [("a", &2), ("b", &2)]);
        let mut other = Tally::new(2);
        other.change("b", || 0, |n| *n += 3);
        other.merge(tally, |mine, theirs| match mine {
            Some(mine) => {
                *mine += theirs;
                None
            }
            None => Some(theirs),
        });
        assert_eq!(other.ranked(), [("b", &5), ("a", &2)]);
    }

    #[test]
    fn a_frequent_term_that_comes_late_is_held() {
        let add = |tally: &mut Tally<u64>, texts: std::ops::Range<u64>, late: bool| {
            for i in texts {
                tally.change(&format!("early {}", i % 40), || 0, |n| *n += 1);
                if late && i % 2 == 0 {
                    tally.change("late", || 0, |n| *n += 1);
                }
                tally.change(&format!("once {i}"), || 0, |n| *n += 1);
            }
        };
        let mut whole = Tally::new(10);
        add(&mut whole, 0..500, false);
        add(&mut whole, 500..3_000, true);
        let mut merged = Tally::new(10);
        let mut second = Tally::new(10);
        add(&mut merged, 0..500, false);
        add(&mut second, 500..3_000, true);
        merged.merge(second, |mine, theirs| match mine {
            Some(mine) => {
                *mine += theirs;
                None
            }
            None => Some(theirs),
        });
        for tally in [whole, merged] {
            let n = 3_000 + 1_250 + 3_000;
            let (text, count) = tally.ranked()[0];
            assert_eq!(text, "late");
            assert!((1_250 - n / 10..=1_250).contains(count), "{count}");
        }
    }

    #[test]
    fn equally_frequent_terms_stay_while_there_is_room() {
        let mut tally = Tally::new(3);
        for term in ["g", "f", "e", "d", "c", "b", "a"] {
            tally.change(term, || 0, |n: &mut u64| *n += 1);
        }
        assert_eq!(tally.ranked(), [("a", &1), ("b", &1), ("c", &1)]);
    }
}
