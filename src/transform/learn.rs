//! Learners: what steps learn from the rows, in parts that merge, shared where they are equal.
//!
//! Steps whose learners are equal before they have seen anything, and whose inputs are the same columns, share one:
//! two z-scores and a min-max of a column make one [`Moments`].

use fourfold_kernels::sketches::CoMoments;
use serde::{Deserialize, Serialize};

use super::custom::CustomLearner;
use super::ops::Mode;
use super::per_key::{MomentsPerKey, SketchPerKey};
use super::target_table::TargetTable;
use super::term_table::TermTable;
use super::value::Value;
use crate::error::{Error, Result};
use crate::statistics::{Moments, QuantileSketch, TopValues};

/// The rows that a learner sees: the columns of its step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows<'a> {
    /// The step's inputs, in order.
    pub(super) inputs: &'a [&'a Value],
    /// The label; only where the operation needs it.
    pub(super) label: Option<&'a Value>,
    /// The hashes that choose the folds of the rows; only where an operation needs them.
    pub(super) folds: Option<&'a [u64]>,
}

impl<'a> Rows<'a> {
    /// The first input.
    pub(super) fn input(&self) -> Result<&'a Value> {
        self.inputs
            .first()
            .copied()
            .ok_or_else(|| Error::internal("a transform step without an input"))
    }
}

/// Something learned from rows, in parts that merge.
pub(super) trait Learn: Sized {
    /// Takes in some rows.
    fn update(&mut self, rows: Rows<'_>) -> Result<()>;

    /// Takes in what another part has learned.
    fn merge(&mut self, other: Self) -> Result<()>;

    /// This learner, if it is one of this type.
    fn of(learner: &Learner) -> Option<&Self>;
}

/// Makes [`Learner`] of the types of learners.
macro_rules! learners {
    ($($learner:ident),* $(,)?) => {
        /// A learner of any kind.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        pub(super) enum Learner {
            $($learner($learner),)*
        }

        impl Learner {
            pub(super) fn update(&mut self, rows: Rows<'_>) -> Result<()> {
                match self {
                    $(Learner::$learner(learner) => Learn::update(learner, rows),)*
                }
            }

            pub(super) fn merge(&mut self, other: Learner) -> Result<()> {
                match (self, other) {
                    $((Learner::$learner(mine), Learner::$learner(theirs)) => Learn::merge(mine, theirs),)*
                    _ => Err(Error::internal("passes of different transforms merged")),
                }
            }
        }

        $(impl From<$learner> for Learner {
            fn from(learner: $learner) -> Self {
                Learner::$learner(learner)
            }
        })*
    };
}

/// For [`Learn::of`].
macro_rules! learner_of {
    ($learner:ident) => {
        fn of(learner: &$crate::transform::learn::Learner) -> Option<&Self> {
            match learner {
                $crate::transform::learn::Learner::$learner(learner) => Some(learner),
                _ => None,
            }
        }
    };
}
pub(super) use learner_of;

// A new kind of learner is one more name here.
learners! {
    Moments,
    QuantileSketch,
    Top,
    MomentsPerKey,
    SketchPerKey,
    CoMoments,
    Mode,
    TermTable,
    TargetTable,
    CustomLearner,
}

impl Learner {
    /// The learner as the type that the operation asks for.
    pub(super) fn get<L: Learn>(&self) -> Result<&L> {
        L::of(self)
            .ok_or_else(|| Error::internal("a transform step has the learner of another operation"))
    }
}

/// The error if no finite number was seen.
pub(super) fn nothing_finite() -> Error {
    Error::data("the training split has no finite value to learn from")
}

impl Learn for Moments {
    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        let numbers = rows.input()?.numbers()?;
        numbers.iter().flatten().for_each(|x| self.update(x));
        Ok(())
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        self.merge(&other);
        Ok(())
    }

    learner_of!(Moments);
}

impl Learn for QuantileSketch {
    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        rows.input()?.each_finite(|number| self.update(number))
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        self.merge(&other);
        Ok(())
    }

    learner_of!(QuantileSketch);
}

/// The most frequent categories, of a column or of its lists' items; exact up to twice `capacity` distinct ones,
/// see [`TopValues`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Top {
    texts: TopValues<String>,
    numbers: TopValues<i64>,
}

impl Top {
    pub(super) fn new(capacity: usize) -> Self {
        Top {
            texts: TopValues::new(capacity),
            numbers: TopValues::new(capacity),
        }
    }

    /// The `n` most frequent values as strings with their counts; equal counts by string, from the smallest.
    pub(super) fn top(&self, n: usize) -> Vec<(String, u64)> {
        let mut top = self.texts.top(usize::MAX);
        let numbers = self.numbers.top(usize::MAX).into_iter();
        top.extend(numbers.map(|(number, count)| (number.to_string(), count)));
        top.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        top.truncate(n);
        top
    }

    fn add(&mut self, value: &Value) -> Result<()> {
        value.tokens()?.count(
            |text, n| self.texts.add(text, n),
            |number, n| self.numbers.add(&number, n),
        );
        Ok(())
    }
}

impl Learn for Top {
    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        match rows.input()? {
            Value::List(list) => self.add(&list.items),
            value => self.add(value),
        }
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        self.texts.merge(other.texts);
        self.numbers.merge(other.numbers);
        Ok(())
    }

    learner_of!(Top);
}
