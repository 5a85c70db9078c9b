//! Words that stand for a missing value.

use std::sync::Arc;

/// Words that stand for a missing value. An empty field always does. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    words: Arc<[Vec<u8>]>,
    longest: usize,
    /// The first bytes of the words, as bits.
    first: [u64; 4],
}

impl Marks {
    /// The marks of these words; an empty one is left out.
    #[must_use]
    pub fn new<W: AsRef<[u8]>>(words: impl IntoIterator<Item = W>) -> Self {
        let words: Arc<[Vec<u8>]> = words
            .into_iter()
            .map(|word| word.as_ref().to_vec())
            .filter(|word| !word.is_empty())
            .collect();
        let mut first = [0; 4];
        for byte in words.iter().filter_map(|word| word.first()) {
            first[usize::from(byte / 64)] |= 1 << (byte % 64);
        }
        Marks {
            longest: words.iter().map(Vec::len).max().unwrap_or(0),
            words,
            first,
        }
    }

    /// The words.
    #[must_use]
    pub fn words(&self) -> &[Vec<u8>] {
        &self.words
    }

    /// The length of the longest word in bytes.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// The position among the words, if this is one of them.
    #[inline]
    #[must_use]
    pub fn position(&self, text: &[u8]) -> Option<usize> {
        let first = text.first()?;
        let begins_so = self.first[usize::from(first / 64)] >> (first % 64) & 1 == 1;
        if text.len() > self.longest || !begins_so {
            return None;
        }
        self.words.iter().position(|word| word == text)
    }

    /// Returns true if this is one of the words.
    #[inline]
    #[must_use]
    pub fn has(&self, text: &[u8]) -> bool {
        self.position(text).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found() {
        let marks = Marks::new(["NA", "", "-", "\u{2014}", "n.a."]);
        assert_eq!((marks.words().len(), marks.longest()), (4, 4));
        for (at, word) in ["NA", "-", "\u{2014}", "n.a."].iter().enumerate() {
            assert_eq!(marks.position(word.as_bytes()), Some(at));
        }
        for text in ["", "N", "NAN", "-1", "\u{2013}", "n.a.."] {
            assert!(!marks.has(text.as_bytes()), "{text}");
        }
        assert!(!Marks::default().has(b"NA"));
    }
}
