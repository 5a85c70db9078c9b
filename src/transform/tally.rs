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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound(serialize = "T: Serialize", deserialize = "T: Deserialize<'de>"))]
pub(super) struct Tally<T> {
    capacity: usize,
    #[serde(serialize_with = "sorted")]
    entries: HashMap<String, T>,
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
        if let Some(entry) = self.entries.get_mut(text) {
            return change(entry);
        }
        let mut entry = new();
        change(&mut entry);
        self.entries.insert(text.to_owned(), entry);
        self.shrink();
    }

    /// Takes in other entries; `merge` joins two of one text, mine first.
    pub(super) fn merge(
        &mut self,
        other: Self,
        mut merge: impl FnMut(Option<&mut T>, T) -> Option<T>,
    ) {
        for (text, theirs) in other.entries {
            if let Some(new) = merge(self.entries.get_mut(&text), theirs) {
                self.entries.insert(text, new);
            }
        }
        self.shrink();
    }

    fn shrink(&mut self) {
        if self.entries.len() <= 2 * self.capacity {
            return;
        }
        let mut ranks: Vec<(u64, String)> = std::mem::take(&mut self.entries)
            .into_iter()
            .map(|(text, entry)| {
                let count = entry.count();
                self.entries.insert(text.clone(), entry);
                (count, text)
            })
            .collect();
        ranks.sort_unstable_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        for (_, text) in ranks.drain(self.capacity..) {
            self.entries.remove(&text);
        }
    }

    /// The entries by count from the highest, equal ones by text from the smallest.
    pub(super) fn ranked(&self) -> Vec<(&str, &T)> {
        let entries = self.entries.iter();
        let mut ranked: Vec<(&str, &T)> = entries
            .map(|(text, entry)| (text.as_str(), entry))
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
}
