//! The operations, one file each.
//!
//! A file holds what is configured (an [`Op`] by its builder method on [`Transform`](super::Transform)), what is
//! learned, and the fitted form (a [`FittedOp`]) with what it does to a column. An operation that learns nothing is
//! one struct that is both. To add one: write its file, name it in the lists below, show it in `operations.json`, write
//! what it does to odd values into the table of the [module](super), and if it learns something that
//! no other does, name its learner in `learn.rs`.

mod bag_of_words;
mod bucketize;
mod bucketize_per_key;
mod clip;
mod clip_values;
mod cross;
mod custom;
mod cyclic;
mod date_part;
mod derive;
mod drop_column;
mod hash_buckets;
mod impute;
mod impute_per_key;
mod interpolate;
mod key_table;
mod log;
mod missing_indicator;
mod multi_hot;
mod n_grams;
mod number;
mod one_hot;
mod pca;
mod per_key;
mod power;
mod quantile_normal;
mod scale;
mod scale_to;
mod target_encode;
mod terms;
mod text_length;
mod tokens;
mod vocabulary;

use std::ops::RangeInclusive;

use serde::{Deserialize, Deserializer, Serialize};

pub use self::bag_of_words::{BagOfWords, TermCounts, TermWeights, TfIdf};
pub use self::bucketize::{Bucketize, BucketizeAt, Buckets};
pub use self::bucketize_per_key::{BucketizePerKey, BucketsPerKey};
pub use self::clip::{Clip, ClipTo};
pub use self::clip_values::ClipValues;
pub use self::cross::Cross;
pub use self::custom::{Custom, FittedCustom};
pub use self::cyclic::Cyclic;
pub use self::date_part::{DatePart, PartOfDate};
pub use self::derive::{Derive, Derived};
pub use self::drop_column::DropColumn;
pub use self::hash_buckets::HashBuckets;
pub(super) use self::impute::Mode;
pub use self::impute::{Fill, Impute, ImputeNumber, ImputeText};
pub use self::impute_per_key::{FillsPerKey, ImputePerKey};
pub use self::interpolate::{Interpolate, InterpolateAt};
pub use self::key_table::KeyTable;
pub use self::log::{Log, Log1p};
pub use self::missing_indicator::MissingIndicator;
pub use self::multi_hot::{Items, MultiHot};
pub use self::n_grams::NGrams;
pub use self::number::Number;
pub use self::one_hot::{Categories, OneHot};
pub use self::pca::{Component, Components, Pca};
pub use self::per_key::{LinearPerKey, MinMaxPerKey, ZScorePerKey};
pub use self::power::Power;
pub use self::quantile_normal::{NormalAt, QuantileNormal};
pub use self::scale::{Linear, MinMax, RobustScale, ZScore};
pub use self::scale_to::{LinearTo, MaxAbs, MinMaxTo};
pub use self::target_encode::{LabelSums, TargetEncode, TargetMeans};
pub use self::terms::{KnownTerms, TermOrder, Terms};
pub use self::text_length::TextLength;
pub use self::tokens::{Deduplicate, SplitAt, SplitText, WordCount};
pub use self::vocabulary::{Ids, OneHotTerms, TermFeatures, ToIds};
use super::learn::Learner;
use super::value::Value;
pub use super::vocabulary::Vocabulary;
use crate::error::{Error, Result};
use crate::features::FeatureKind;

/// An operation as configured. The caller adds the step to its errors.
pub(super) trait Operation {
    /// Checks the configured values.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// The number of inputs it takes.
    fn n_inputs(&self) -> RangeInclusive<usize> {
        1..=1
    }

    /// The inputs, of one that knows them itself.
    fn own_inputs(&self) -> Option<Result<Vec<String>>> {
        None
    }

    /// Returns true if its learner must see the label.
    fn needs_label(&self) -> bool {
        false
    }

    /// The raw columns that choose the fold of a training row besides the transform's inputs, if it treats the rows
    /// of a fold in their own way.
    fn fold_by(&self) -> Option<&[String]> {
        None
    }

    /// The learner, if it has to learn anything.
    fn learner(&self) -> Option<Learner> {
        None
    }

    /// The fitted operation of one that has nothing to learn.
    fn fitted(&self) -> Result<FittedOp> {
        Err(Error::internal("a transform step has not learned"))
    }

    /// The fitted operation, of what its learner has learned.
    fn fit(&self, _learned: &Learner) -> Result<FittedOp> {
        self.fitted()
    }
}

/// A fitted operation.
pub(super) trait Apply {
    /// The output column of one that writes one. Rows do not influence each other.
    fn apply(&self, inputs: &[&Value]) -> Result<Value>;

    /// The output column of rows to train on; the hash of a row chooses its fold.
    fn apply_training(&self, inputs: &[&Value], _row_hashes: &[u64]) -> Result<Value> {
        self.apply(inputs)
    }

    /// All output columns, of one that may write several.
    fn apply_all(&self, inputs: &[&Value]) -> Result<Vec<Value>> {
        Ok(vec![self.apply(inputs)?])
    }

    /// The names of the features of its output column.
    fn feature_names(&self, column: &str) -> Vec<String> {
        vec![column.to_owned()]
    }
}

/// The names of the kinds of operations, as in code.
pub(super) trait Named {
    const NAMES: &'static [&'static str];

    /// The names as in JSON.
    fn names() -> Vec<String> {
        let name = |name: &&str| {
            let mut snake = String::with_capacity(name.len() + 4);
            for (at, letter) in name.char_indices() {
                if at > 0 && letter.is_uppercase() {
                    snake.push('_');
                }
                snake.push(letter.to_ascii_lowercase());
            }
            snake
        };
        Self::NAMES.iter().map(name).collect()
    }
}

/// Makes [`Op`] and [`FittedOp`] of the types of operations.
macro_rules! tagged {
    (
        $(#[$meta:meta])* $tagged:ident as $trait_name:ident ($method:ident):
        $($(#[$doc:meta])* $name:ident($op:ty),)*
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "op", rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum $tagged {
            $($(#[$doc])* $name($op),)*
        }

        impl $tagged {
            pub(super) fn $method(&self) -> &dyn $trait_name {
                match self {
                    $($tagged::$name(op) => op,)*
                }
            }
        }

        impl Named for $tagged {
            const NAMES: &'static [&'static str] = &[$(stringify!($name),)*];
        }

        $(impl From<$op> for $tagged {
            fn from(op: $op) -> Self {
                $tagged::$name(op)
            }
        })*
    };
}

tagged! {
    /// One step's operation, as configured. Made by the methods of [`Transform`](super::Transform).
    Op as Operation (operation):
    /// A number as it is.
    Number(Number),
    /// Missing values filled.
    Impute(Impute),
    /// Missing numbers filled by the rows of the same key.
    ImputePerKey(ImputePerKey),
    /// 1 where missing, else 0.
    MissingIndicator(MissingIndicator),
    /// `(x - mean) / std`.
    ZScore(ZScore),
    /// Scaled to `0..=1`.
    MinMax(MinMax),
    /// Scaled to a range that is given.
    MinMaxTo(MinMaxTo),
    /// Divided by the largest absolute value.
    MaxAbs(MaxAbs),
    /// `(x - median) / (third quartile - first quartile)`.
    RobustScale(RobustScale),
    /// `(x - mean) / std` of the rows of the same key.
    ZScorePerKey(ZScorePerKey),
    /// Scaled to `0..=1` by the rows of the same key.
    MinMaxPerKey(MinMaxPerKey),
    /// Given the shape of a normal distribution.
    QuantileNormal(QuantileNormal),
    /// Limited to the values at two ranks.
    Clip(Clip),
    /// Limited to a range that is given.
    ClipValues(ClipValues),
    /// `ln(x)`.
    Log(Log),
    /// `ln(1 + x)`.
    Log1p(Log1p),
    /// `x ^ exponent`.
    Power(Power),
    /// The number of the quantile bucket.
    Bucketize(Bucketize),
    /// The number of the quantile bucket among the rows of the same key.
    BucketizePerKey(BucketizePerKey),
    /// The number of the bucket of boundaries that are given.
    BucketizeAt(BucketizeAt),
    /// The position among quantiles.
    Interpolate(Interpolate),
    /// The position among boundaries that are given.
    InterpolateAt(InterpolateAt),
    /// Sine and cosine of the angle `2 pi x / period`.
    Cyclic(Cyclic),
    /// One feature per frequent value.
    OneHot(OneHot),
    /// One feature per frequent item of lists.
    MultiHot(MultiHot),
    /// One feature per bucket of the value's hash.
    Hash(HashBuckets),
    /// The values of several columns as one.
    Cross(Cross),
    /// A SQL expression.
    Derive(Derive),
    /// Principal components of several columns.
    Pca(Pca),
    /// The number of characters.
    TextLength(TextLength),
    /// The id of each value in a vocabulary.
    Vocabulary(ToIds),
    /// One feature for each term of a vocabulary.
    OneHotTerms(OneHotTerms),
    /// Text split into words.
    Tokens(SplitText),
    /// Sequences of neighbouring items of lists.
    NGrams(NGrams),
    /// The items of each list, each once.
    Deduplicate(Deduplicate),
    /// The number of words of text, or of items of lists.
    WordCount(WordCount),
    /// The number of occurrences of each term in the row's list.
    BagOfWords(BagOfWords),
    /// The tf-idf weight of each term in the row's list.
    TfIdf(TfIdf),
    /// The mean of the label by category, cross-fitted.
    TargetEncode(TargetEncode),
    /// A part of a date or timestamp as a number.
    DatePart(PartOfDate),
    /// An operation of your own.
    Custom(Custom),
    /// Not a feature after all.
    Drop(DropColumn),
}

tagged! {
    /// An operation with what it has learned.
    FittedOp as Apply (apply):
    /// The number as it is.
    Number(Number),
    /// Missing numbers replaced.
    ImputeNumber(ImputeNumber),
    /// Missing text replaced.
    ImputeText(ImputeText),
    /// Missing numbers replaced by the number of a key.
    ImputePerKey(FillsPerKey),
    /// 1 where missing, else 0.
    MissingIndicator(MissingIndicator),
    /// `(x - offset) * scale`: every scaling of a column by itself.
    Linear(Linear),
    /// `(x - offset) * scale + plus`.
    LinearTo(LinearTo),
    /// `(x - offset) * scale` with the numbers of a key.
    LinearPerKey(LinearPerKey),
    /// The normal quantile at the value's rank.
    QuantileNormal(NormalAt),
    /// Limited to a range.
    Clip(ClipTo),
    /// `ln(x)`.
    Log(Log),
    /// `ln(1 + x)`.
    Log1p(Log1p),
    /// `x ^ exponent`.
    Power(Power),
    /// The index of the bucket.
    Bucketize(Buckets),
    /// The index of the bucket by the boundaries of a key.
    BucketizePerKey(BucketsPerKey),
    /// The position among boundaries.
    Interpolate(InterpolateAt),
    /// Sine and cosine.
    Cyclic(Cyclic),
    /// One feature a value and one for all others.
    OneHot(Categories),
    /// One feature an item and one for all others.
    MultiHot(Items),
    /// One feature a hash bucket.
    Hash(HashBuckets),
    /// The values of several columns as one.
    Cross(Cross),
    /// A SQL expression.
    Derive(Derived),
    /// Principal components.
    Pca(Components),
    /// The number of characters.
    TextLength(TextLength),
    /// The id of each value.
    Vocabulary(Ids),
    /// One feature for each term.
    OneHotTerms(TermFeatures),
    /// Text split into words.
    Tokens(SplitText),
    /// Sequences of neighbouring items of lists.
    NGrams(NGrams),
    /// The items of each list, each once.
    Deduplicate(Deduplicate),
    /// The number of words of text, or of items of lists.
    WordCount(WordCount),
    /// The number of occurrences of each term in the row's list.
    BagOfWords(TermCounts),
    /// The tf-idf weight of each term in the row's list.
    TfIdf(TermWeights),
    /// The label by category and fold.
    TargetEncode(TargetMeans),
    /// A part of a date or timestamp.
    DatePart(PartOfDate),
    /// An operation of your own.
    Custom(FittedCustom),
    /// Not a feature.
    Drop(DropColumn),
}

impl FittedOp {
    /// The kind of the features of its output, for inputs that are lists or not.
    pub(super) fn kind(&self, of_lists: bool) -> FeatureKind {
        match self {
            FittedOp::OneHot(_) | FittedOp::OneHotTerms(_) => FeatureKind::Category,
            FittedOp::Hash(_) if !of_lists => FeatureKind::Category,
            FittedOp::Hash(_)
            | FittedOp::MultiHot(_)
            | FittedOp::BagOfWords(_)
            | FittedOp::TfIdf(_) => FeatureKind::Sparse,
            _ => FeatureKind::Number,
        }
    }

    /// Returns true if its output is lists, or may be.
    pub(super) fn makes_lists(&self, of_lists: bool) -> bool {
        match self {
            FittedOp::Tokens(_)
            | FittedOp::NGrams(_)
            | FittedOp::Deduplicate(_)
            | FittedOp::Custom(_)
            | FittedOp::Derive(_) => true,
            FittedOp::Vocabulary(_) => of_lists,
            _ => false,
        }
    }
}

/// The only input of an operation of one.
fn only<'a>(inputs: &[&'a Value]) -> Result<&'a Value> {
    match inputs {
        [input] => Ok(input),
        _ => Err(Error::internal(format!(
            "{} inputs for a step of one",
            inputs.len()
        ))),
    }
}

/// Numbers made of numbers, one by one; NULL stays.
fn map(inputs: &[&Value], each: impl Fn(f64) -> f64) -> Result<Value> {
    Ok(Value::Numbers(only(inputs)?.numbers()?.map(each)))
}

/// Checks that a configured number is large enough.
fn at_least(what: &str, n: usize, low: usize) -> Result<()> {
    if n < low {
        return Err(Error::config(format!(
            "{what} is {n}, must be at least {low}"
        )));
    }
    Ok(())
}

/// The most features, buckets or categories that a number may ask for: 2^20.
const MAX_SIZE: usize = 1 << 20;

/// Checks that a configured size is within what memory allows.
fn size(what: &str, n: usize, low: usize) -> Result<()> {
    at_least(what, n, low)?;
    if n > MAX_SIZE {
        return Err(Error::config(format!(
            "{what} is {n}, must be {low} to {MAX_SIZE}"
        )));
    }
    Ok(())
}

/// The same, of a number that is read from a file: all names of features are made right after.
fn read_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    let n = usize::deserialize(deserializer)?;
    if n > MAX_SIZE {
        let message = format!("the number of buckets is {n}, must be at most {MAX_SIZE}");
        return Err(serde::de::Error::custom(message));
    }
    Ok(n)
}

/// Checks that configured boundaries are at least `low`, finite and increasing.
fn check_boundaries(op: &str, boundaries: &[f64], low: usize) -> Result<()> {
    at_least(
        &format!("the number of boundaries of {op}"),
        boundaries.len(),
        low,
    )?;
    if let Some(odd) = boundaries.iter().find(|boundary| !boundary.is_finite()) {
        return Err(Error::config(format!(
            "a boundary of {op} is {odd}, must be finite"
        )));
    }
    match boundaries.windows(2).find(|pair| pair[0] >= pair[1]) {
        Some(pair) => Err(Error::config(format!(
            "the boundaries of {op} go from {} to {}, must increase",
            pair[0], pair[1]
        ))),
        None => Ok(()),
    }
}
