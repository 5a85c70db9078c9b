//! What steps learn from the rows: learners that merge, shared where they are equal.
//!
//! Steps whose learners are equal before they have seen anything, and whose inputs are the same columns, share one:
//! two z-scores and a min-max of a column make one [`Moments`].

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize, Serializer};

use super::custom::CustomLearner;
use super::ops::{CoMoments, Mode, SketchPerKey};
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
    PerKey,
    SketchPerKey,
    CoMoments,
    Mode,
    TermTable,
    TargetTable,
    CustomLearner,
}

impl Learner {
    /// What was learned, of the type that the operation has asked for.
    pub(super) fn get<L: Learn>(&self) -> Result<&L> {
        L::of(self).ok_or_else(|| Error::internal("a transform step learned the wrong thing"))
    }
}

/// What there is to say if no number was seen.
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

    /// The `n` most frequent texts with their counts; equal counts by text, from the smallest.
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

/// The moments of the first input, of all rows and for each value of the second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct PerKey {
    pub(super) all: Moments,
    #[serde(serialize_with = "sorted")]
    pub(super) keys: HashMap<String, Moments>,
}

/// Equal contents have equal bytes, which a map's own order does not give.
fn sorted<S: Serializer>(
    keys: &HashMap<String, Moments>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(keys.iter().collect::<BTreeMap<_, _>>())
}

impl PerKey {
    /// The most keys: what fits into some 20 MB.
    pub(super) const MAX_KEYS: usize = 100_000;

    fn check(&self) -> Result<()> {
        if self.keys.len() > Self::MAX_KEYS {
            return Err(Error::data(format!(
                "the key has more than {} distinct values",
                Self::MAX_KEYS
            )));
        }
        Ok(())
    }
}

impl Learn for PerKey {
    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        let [numbers, keys] = rows.inputs else {
            return Err(Error::internal("scaling per key without a key"));
        };
        let numbers = numbers.numbers()?;
        let mut numbers = numbers.iter();
        keys.tokens()?.for_each(|key| {
            let Some(number) = numbers.next().flatten() else {
                return;
            };
            self.all.update(number);
            let Some(key) = key else { return };
            match self.keys.get_mut(key) {
                Some(moments) => moments.update(number),
                None => self.keys.entry(key.to_owned()).or_default().update(number),
            }
        });
        self.check()
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        self.all.merge(&other.all);
        for (key, moments) in other.keys {
            self.keys.entry(key).or_default().merge(&moments);
        }
        self.check()
    }

    learner_of!(PerKey);
}
