//! Words that stand for a missing value.

/// Words that stand for a missing value. An empty field always does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    words: Vec<Vec<u8>>,
    longest: usize,
}

impl Marks {
    /// The marks of these words; an empty one is left out.
    #[must_use]
    pub fn new<W: AsRef<[u8]>>(words: impl IntoIterator<Item = W>) -> Self {
        let words: Vec<Vec<u8>> = words
            .into_iter()
            .map(|word| word.as_ref().to_vec())
            .filter(|word| !word.is_empty())
            .collect();
        Marks {
            longest: words.iter().map(Vec::len).max().unwrap_or(0),
            words,
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
        if text.len() > self.longest {
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
