//! Something for each text of a stream, in bounded memory.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize, Serializer};

/// What is kept for one text.
pub(super) trait Entry: Clone + Serialize {
    /// How often the text was there: the rarest ones go first.
    fn count(&self) -> u64;
}

/// Entries by text: exact up to `2 * capacity` distinct texts. One more, and only the `capacity` most frequent ones
/// stay (equal counts by text, from the smallest); one that left and comes again starts from nothing.
///
/// Which are the most frequent is told by how often they may have been there: beside its count each has a start, the
/// most that it may have had when it came (Metwally, Agrawal and El Abbadi, "Efficient computation of frequent and
/// top-k elements in data streams", 2005). So a text that makes up more than the share `1 / capacity` of all is
/// certainly held, whenever it came; its count is too low by at most that share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound(serialize = "T: Serialize", deserialize = "T: Deserialize<'de>"))]
pub(super) struct Tally<T> {
    capacity: usize,
    /// No text that is not held was there more often.
    floor: u64,
    #[serde(serialize_with = "sorted")]
    entries: HashMap<String, Held<T>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Held<T> {
    start: u64,
    entry: T,
}

impl<T: Entry> Held<T> {
    /// How often the text may have been there.
    fn most(&self) -> u64 {
        self.start.saturating_add(self.entry.count())
    }
}

/// Equal contents have equal bytes, which a map's own order does not give.
fn sorted<T: Serialize, S: Serializer>(
    entries: &HashMap<String, T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(entries.iter().collect::<BTreeMap<_, _>>())
}

impl<T: Entry> Tally<T> {
    pub(super) fn new(capacity: usize) -> Self {
        Tally {
            capacity: capacity.max(1),
            floor: 0,
            entries: HashMap::new(),
        }
    }

    /// Changes the entry of a text, which is `new()` if there is none yet.
    pub(super) fn change(
        &mut self,
        text: &str,
        new: impl FnOnce() -> T,
        change: impl FnOnce(&mut T),
    ) {
        if let Some(held) = self.entries.get_mut(text) {
            return change(&mut held.entry);
        }
        let mut entry = new();
        change(&mut entry);
        let start = self.floor;
        self.entries.insert(text.to_owned(), Held { start, entry });
        self.shrink();
    }

    /// Takes in other entries; `merge` joins two of one text, mine first.
    pub(super) fn merge(
        &mut self,
        other: Self,
        mut merge: impl FnMut(Option<&mut T>, T) -> Option<T>,
    ) {
        let floor = self.floor;
        for (text, mine) in &mut self.entries {
            let theirs = other.entries.get(text);
            let start = theirs.map_or(other.floor, |theirs| theirs.start);
            mine.start = mine.start.saturating_add(start);
        }
        for (text, theirs) in other.entries {
            let mine = self.entries.get_mut(&text).map(|mine| &mut mine.entry);
            if let Some(entry) = merge(mine, theirs.entry) {
                let start = floor.saturating_add(theirs.start);
                self.entries.insert(text, Held { start, entry });
            }
        }
        self.floor = floor.saturating_add(other.floor);
        self.shrink();
    }

    fn shrink(&mut self) {
        if self.entries.len() <= self.capacity.saturating_mul(2) {
            return;
        }
        let mut ranks: Vec<(u64, String)> = std::mem::take(&mut self.entries)
            .into_iter()
            .map(|(text, held)| {
                let most = held.most();
                self.entries.insert(text.clone(), held);
                (most, text)
            })
            .collect();
        ranks.sort_unstable_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        for (most, text) in ranks.drain(self.capacity..) {
            self.floor = self.floor.max(most);
            self.entries.remove(&text);
        }
    }

    /// The entries by count from the highest, equal ones by text from the smallest.
    pub(super) fn ranked(&self) -> Vec<(&str, &T)> {
        let entries = self.entries.iter();
        let mut ranked: Vec<(&str, &T)> = entries
            .map(|(text, held)| (text.as_str(), &held.entry))
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
        // The fifth distinct text leaves two of them.
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
    fn a_frequent_text_that_comes_late_is_held() {
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
}
