//! Text as words: lists of them, their number, each once.

use std::collections::HashSet;

use arrow::array::Array;
use serde::{Deserialize, Serialize};

use super::{Apply, FittedOp, Operation, only};
use crate::error::Result;
use crate::transform::Transform;
use crate::transform::numbers::Numbers;
use crate::transform::texts::TextLists;
use crate::transform::value::Value;

/// Text split into words.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SplitText {
    /// The rule by which it is split.
    pub at: SplitAt,
    /// Whether words are lower-cased.
    pub lower_case: bool,
}

/// The rule by which strings are split into words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SplitAt {
    /// At every character that is neither a letter nor a digit.
    NonAlphanumeric,
    /// At white space.
    Whitespace,
}

/// The items of each list, each once.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Deduplicate {}

/// The number of words of text, or of items of lists.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WordCount {}

impl Transform {
    /// Splits text into its words, lower-cased: at every character that is neither a letter nor a digit of Unicode.
    /// They are a list for later steps such as [`Transform::n_grams`] and [`Transform::bag_of_words`]; an empty string
    /// has none.
    ///
    /// ```
    /// use fourfold::transform::Transform;
    /// use fourfold::transform::ops::Terms;
    ///
    /// let transform = Transform::new()
    ///     .tokens("review")
    ///     .n_grams("review", 1..=2)
    ///     .tf_idf("review", Terms::top(500).min_count(2));
    /// assert_eq!(transform.inputs(), ["review"]);
    /// ```
    #[must_use]
    pub fn tokens(self, column: impl Into<String>) -> Self {
        let split = SplitText {
            at: SplitAt::NonAlphanumeric,
            lower_case: true,
        };
        self.step(column, split)
    }

    /// As [`Transform::tokens`], split at white space and otherwise as they are: as `str.split()` of Python and
    /// `tf.strings.split`.
    #[must_use]
    pub fn tokens_at_whitespace(self, column: impl Into<String>) -> Self {
        let split = SplitText {
            at: SplitAt::Whitespace,
            lower_case: false,
        };
        self.step(column, split)
    }

    /// Keeps the first of equal items of each list (text, whole numbers, booleans; as text from here on).
    #[must_use]
    pub fn deduplicate(self, column: impl Into<String>) -> Self {
        self.step(column, Deduplicate {})
    }

    /// Adds the feature `<column>_words`: the number of words of a string as [`Transform::tokens`] splits it, or of
    /// items of a list.
    #[must_use]
    pub fn word_count(self, column: impl Into<String>) -> Self {
        let column = column.into();
        let output = format!("{column}_words");
        self.step_to(column, output, WordCount {})
    }
}

impl SplitAt {
    /// Calls `each` with every word, until one fails.
    fn split(self, text: &str, each: impl FnMut(&str) -> Result<()>) -> Result<()> {
        match self {
            SplitAt::NonAlphanumeric => text
                .split(|c: char| !c.is_alphanumeric())
                .filter(|word| !word.is_empty())
                .try_for_each(each),
            SplitAt::Whitespace => text.split_whitespace().try_for_each(each),
        }
    }
}

impl Operation for SplitText {
    fn fitted(&self) -> Result<FittedOp> {
        Ok((*self).into())
    }
}

impl Apply for SplitText {
    fn apply(&self, inputs: &[&Value]) -> Result<Value> {
        let text = only(inputs)?.text()?;
        let mut words = TextLists::with_rows(text.len());
        let mut lower = String::new();
        for text in text {
            self.at.split(text.unwrap_or_default(), |word| {
                if !self.lower_case
                    || word
                        .bytes()
                        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
                {
                    return words.push(word);
                }
                lower.clear();
                match word.is_ascii() {
                    true => lower.extend(word.chars().map(|c| c.to_ascii_lowercase())),
                    // Words are lower-cased whole, as the last sigma of a word has its own form.
                    false => lower.push_str(&word.to_lowercase()),
                }
                words.push(&lower)
            })?;
            words.end_row();
        }
        Ok(words.finish(text.nulls().cloned()))
    }
}

impl Operation for Deduplicate {
    fn fitted(&self) -> Result<FittedOp> {
        Ok((*self).into())
    }
}

impl Apply for Deduplicate {
    fn apply(&self, inputs: &[&Value]) -> Result<Value> {
        let list = only(inputs)?.list()?;
        let tokens = list.items.tokens()?;
        let mut kept = TextLists::with_rows(list.offsets.len());
        let (mut seen, mut item) = (HashSet::new(), String::new());
        for row in list.rows() {
            seen.clear();
            for at in row.unwrap_or_default() {
                item.clear();
                if tokens.append(at, &mut item) && !seen.contains(&item) {
                    kept.push(&item)?;
                    seen.insert(item.clone());
                }
            }
            kept.end_row();
        }
        Ok(kept.finish(list.nulls.clone()))
    }
}

impl Operation for WordCount {
    fn fitted(&self) -> Result<FittedOp> {
        Ok((*self).into())
    }
}

impl Apply for WordCount {
    fn apply(&self, inputs: &[&Value]) -> Result<Value> {
        let counts: Numbers = match only(inputs)? {
            Value::List(list) => {
                let rows = list.rows().map(|row| Some(row?.len() as f64));
                rows.collect()
            }
            value => {
                let count = |text: &str| {
                    let words = text.split(|c: char| !c.is_alphanumeric());
                    words.filter(|word| !word.is_empty()).count() as f64
                };
                value.text()?.iter().map(|text| text.map(count)).collect()
            }
        };
        Ok(Value::Numbers(counts))
    }
}
