//! Sequences of neighbouring items of lists.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::{Apply, FittedOp, Operation, only};
use crate::error::{Error, Result};
use crate::transform::Transform;
use crate::transform::texts::TextLists;
use crate::transform::value::Value;

/// Sequences of neighbouring items of lists.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct NGrams {
    /// The fewest items of a sequence.
    pub min: usize,
    /// The most.
    pub max: usize,
}

impl Transform {
    /// Replaces each list of words by its n-grams: all runs of `sizes` neighbours, joined by a space. They are in
    /// tf.Transform's order: for each word those that start there, from the shortest. NULL items are skipped.
    ///
    /// ```
    /// use fourfold::transform::Transform;
    /// use fourfold::transform::ops::Terms;
    ///
    /// // "a late flight": a, a late, late, late flight, flight
    /// let transform = Transform::new()
    ///     .tokens("note")
    ///     .n_grams("note", 1..=2)
    ///     .bag_of_words("note", Terms::top(100));
    /// transform.check()?;
    /// # Ok::<(), fourfold::Error>(())
    /// ```
    #[must_use]
    pub fn n_grams(self, column: impl Into<String>, sizes: RangeInclusive<usize>) -> Self {
        let (min, max) = sizes.into_inner();
        self.step(column, NGrams { min, max })
    }
}

impl Operation for NGrams {
    fn check(&self) -> Result<()> {
        const MOST: usize = 10;
        if self.min == 0 || self.max < self.min || self.max > MOST {
            return Err(Error::config(format!(
                "the sizes of n_grams are {} to {}, must be a range within 1 to {MOST}",
                self.min, self.max
            )));
        }
        Ok(())
    }

    fn fitted(&self) -> Result<FittedOp> {
        Ok((*self).into())
    }
}

impl Apply for NGrams {
    fn apply(&self, inputs: &[&Value]) -> Result<Value> {
        let list = only(inputs)?.list()?;
        let tokens = list.items.tokens()?;
        let mut grams = TextLists::with_rows(list.offsets.len());
        // The words of a row joined by spaces, and where each is: a gram is a slice of it.
        let (mut joined, mut words) = (String::new(), Vec::new());
        for row in list.rows() {
            joined.clear();
            words.clear();
            for at in row.unwrap_or_default() {
                let before = joined.len();
                if !words.is_empty() {
                    joined.push(' ');
                }
                let start = joined.len();
                match tokens.append(at, &mut joined) {
                    true => words.push((start, joined.len())),
                    false => joined.truncate(before),
                }
            }
            for (first, (start, _)) in words.iter().enumerate() {
                for size in self.min..=self.max {
                    let Some((_, end)) = (first + size)
                        .checked_sub(1)
                        .and_then(|last| words.get(last))
                    else {
                        break;
                    };
                    grams.push(joined.get(*start..*end).unwrap_or_default())?;
                }
            }
            grams.end_row();
        }
        Ok(grams.finish(list.nulls.clone()))
    }
}
