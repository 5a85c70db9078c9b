//! The split of rows into those that train, and those that judge.

use std::fmt;

use arrow::array::{ArrayRef, RecordBatch};
use serde::{Deserialize, Serialize};

use super::spans_of::IS_NEWEST;
use super::split_by::{ByColumn, ByTime, NewestHeldOut};
use crate::error::{Error, Result, near_names};
use crate::placing::{Occurrences, content_hashes};

/// The split that models are trained on.
pub const TRAIN: &str = "train";
/// The split that training chooses by: when to stop, which of several models, how to calibrate. Optional: without it
/// trainers hold out a part of `train`.
pub const TUNE: &str = "tune";
/// The split that models are judged on. Training never sees it.
pub const EVAL: &str = "eval";
/// The split that models are scored on for the record, and never judged or chosen by. Optional.
pub const TEST: &str = "test";

/// A division of rows into splits: by a hash of key columns or of the whole row, by time, or by a column that names the split.
///
/// - **By key columns**, by time and by a column, a row's split depends on its own values and on nothing else. Rows of one
///   key are never parted: the choice where several rows are of one entity (a customer, a patient, a document), for what
///   is learned of an entity in training must not help to judge.
/// - **By row**, the default, each row falls on its split independently of all others, as in a random sample, equal rows
///   too: those are told apart by how many of them came before. Which rows are in which split depends on what rows there
///   are and how often, not on their order, the files they are in, or the threads that read them.
///
/// Either way adding rows moves none of the old ones, whether they are appended to a file or come in files or spans of
/// their own. Counting equal rows takes 17 to 34 bytes of memory for each distinct row, at most 285 MB (430 MB for the
/// moment in which the table grows): from 14 million distinct rows on, those that repeat least are no longer counted and
/// may share the split of an equal one. With key columns nothing is counted.
///
/// ```
/// use fourfold::data::Split;
///
/// let by_customer = Split::by_hash(["customer"], [("train", 8), ("eval", 1), ("test", 1)]);
/// let by_time = Split::by_time("time_hour", [("train", "2013-10-01"), ("eval", "2013-11-15T12:00:00")], "test");
/// let as_labelled = Split::by_column("part", [("training", "train"), ("validation", "eval")]);
/// assert!(by_customer.check().is_ok() && by_time.check().is_ok() && as_labelled.check().is_ok());
/// assert!(Split::by_hash(["customer"], [("train", 1)]).check().is_err(), "nothing to judge with");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Split(Rule);

// Untagged: a split by hash reads as it always did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Rule {
    Hash(ByHash),
    Time(ByTime),
    Column(ByColumn),
    Newest(NewestHeldOut),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ByHash {
    keys: Vec<String>,
    splits: Vec<(String, u64)>,
}

impl fmt::Display for Split {
    /// Such as `by hash of customer: 8 train, 1 eval, 1 test`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Rule::Hash(ByHash { keys, splits }) => {
                match keys.is_empty() {
                    true => f.write_str("by row: ")?,
                    false => write!(f, "by hash of {}: ", keys.join(", "))?,
                }
                let shares = splits.iter().map(|(name, share)| format!("{share} {name}"));
                f.write_str(&shares.collect::<Vec<_>>().join(", "))
            }
            Rule::Time(ByTime { time, until, rest }) => {
                write!(f, "by time `{time}`: ")?;
                for (name, time) in until {
                    write!(f, "{name} before {time}, ")?;
                }
                write!(f, "then {rest}")
            }
            Rule::Column(ByColumn { column, values }) => {
                let parts = values
                    .iter()
                    .map(|(value, name)| format!("{value} is {name}"));
                let parts: Vec<String> = parts.collect();
                write!(f, "by column `{column}`: {}", parts.join(", "))
            }
            Rule::Newest(rule) => write!(f, "of the newest span: {} eval", rule.hold_out()),
        }
    }
}

impl Default for Split {
    /// The split by the whole row, 8 : 1 : 1 to `train`, `eval` and `test`.
    fn default() -> Self {
        Split::by_row([(TRAIN, 8), (EVAL, 1), (TEST, 1)])
    }
}

impl Split {
    /// Splits by the hash of one or more key columns, to named splits with weights. `train` and `eval` must be among
    /// them.
    #[must_use]
    pub fn by_hash<K: Into<String>, N: Into<String>>(
        keys: impl IntoIterator<Item = K>,
        splits: impl IntoIterator<Item = (N, u64)>,
    ) -> Self {
        Split(Rule::Hash(ByHash {
            keys: keys.into_iter().map(Into::into).collect(),
            splits: splits
                .into_iter()
                .map(|(name, weight)| (name.into(), weight))
                .collect(),
        }))
    }

    /// Splits by the hash of the whole row, and of how many equal rows came before it.
    #[must_use]
    pub fn by_row<N: Into<String>>(splits: impl IntoIterator<Item = (N, u64)>) -> Self {
        Split::by_hash(Vec::<String>::new(), splits)
    }

    /// Splits by a column of dates or timestamps: to each split rows before its time and not before that of the one in
    /// front of it; from the last time on, to `rest`. A time is a date (its midnight) or a timestamp in ISO 8601, in UTC
    /// unless it has an offset. Every row must have a time.
    #[must_use]
    pub fn by_time<N: Into<String>, T: Into<String>>(
        column: impl Into<String>,
        until: impl IntoIterator<Item = (N, T)>,
        rest: impl Into<String>,
    ) -> Self {
        Split(Rule::Time(ByTime {
            time: column.into(),
            until: until
                .into_iter()
                .map(|(name, time)| (name.into(), time.into()))
                .collect(),
            rest: rest.into(),
        }))
    }

    /// Splits by a column whose values stand for splits: pairs of a value and a split's name. Values that are none of
    /// these, NULL among them, are an error. The column stays in the examples; a chosen transform makes no feature of it.
    #[must_use]
    pub fn by_column<V: Into<String>, N: Into<String>>(
        column: impl Into<String>,
        values: impl IntoIterator<Item = (V, N)>,
    ) -> Self {
        Split(Rule::Column(ByColumn {
            column: column.into(),
            values: values
                .into_iter()
                .map(|(value, name)| (value.into(), name.into()))
                .collect(),
        }))
    }

    /// Of a [window of spans](super::RollingWindow): this share of the newest span's rows, by a hash of the whole row, is the
    /// `eval` split, and all others are `train`. Between 0 and 1, in steps of a thousandth.
    #[must_use]
    pub fn newest(hold_out: f64) -> Self {
        Split(Rule::Newest(NewestHeldOut::new(hold_out)))
    }

    /// The names of the splits.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let names: Vec<&str> = match &self.0 {
            Rule::Hash(rule) => rule.splits.iter().map(|(name, _)| name.as_str()).collect(),
            Rule::Time(rule) => rule.names().collect(),
            Rule::Column(rule) => rule.names(),
            Rule::Newest(_) => vec![TRAIN, EVAL],
        };
        names.into_iter()
    }

    /// The columns that are looked at; none means the whole row.
    #[must_use]
    pub fn keys(&self) -> &[String] {
        match &self.0 {
            Rule::Hash(rule) => &rule.keys,
            Rule::Time(rule) => std::slice::from_ref(&rule.time),
            Rule::Column(rule) => std::slice::from_ref(&rule.column),
            Rule::Newest(_) => &[],
        }
    }

    /// The column of times that divides the rows, if one does.
    #[must_use]
    pub fn time_column(&self) -> Option<&str> {
        match &self.0 {
            Rule::Time(rule) => Some(&rule.time),
            Rule::Hash(_) | Rule::Column(_) | Rule::Newest(_) => None,
        }
    }

    /// Returns true if a row's place follows from a hash, of keys or of the whole row.
    pub(super) fn is_by_hash(&self) -> bool {
        matches!(self.0, Rule::Hash(_))
    }

    /// The columns whose values are the rows' keys; none means the whole row.
    fn key_columns(&self) -> &[String] {
        match &self.0 {
            Rule::Hash(rule) => &rule.keys,
            Rule::Time(_) | Rule::Column(_) | Rule::Newest(_) => &[],
        }
    }

    /// Returns true if equal rows are to be told apart by a count of them.
    pub(super) fn counts_equal_rows(&self) -> bool {
        self.key_columns().is_empty()
    }

    /// A hash of the values that are each row's key.
    pub(super) fn key_hashes(&self, batch: &RecordBatch) -> Result<Vec<u64>> {
        let columns: Vec<&ArrayRef> = match self.key_columns() {
            [] => batch.columns().iter().collect(),
            names => names
                .iter()
                .map(|name| key_column(batch, name, "key"))
                .collect::<Result<_>>()?,
        };
        content_hashes(&columns, batch.num_rows())
    }

    /// The column that names the splits, if they are divided so: it tells nothing of a row.
    pub(super) fn naming_column(&self) -> Option<&str> {
        match &self.0 {
            Rule::Column(rule) => Some(&rule.column),
            Rule::Newest(_) => Some(IS_NEWEST),
            Rule::Hash(_) | Rule::Time(_) => None,
        }
    }

    /// Checks names, weights, times and values.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) with the name and what is wrong with it.
    pub fn check(&self) -> Result<()> {
        let names: Vec<&str> = self.names().collect();
        for needed in [TRAIN, EVAL] {
            if !names.contains(&needed) {
                return Err(Error::config(format!(
                    "the splits are {names:?}, `{needed}` must be among them"
                )));
            }
        }
        for (at, name) in names.iter().enumerate() {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
            if name.is_empty() || !name.bytes().all(plain) {
                return Err(Error::config(format!(
                    "split name `{name}` must be of letters, digits, `_` and `-`"
                )));
            }
            if names[..at].contains(name) {
                return Err(Error::config(format!("duplicate split `{name}`")));
            }
        }
        match &self.0 {
            Rule::Hash(rule) => rule.check(),
            Rule::Time(rule) => rule.check(),
            Rule::Column(rule) => rule.check(),
            Rule::Newest(rule) => rule.check(),
        }
    }

    /// The index of each row's split, in a batch that is all the data there is: equal rows are counted from its first.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if a column that is looked at is not in the data;
    /// [`ErrorKind::Data`](crate::ErrorKind::Data) if a row has no time, or a value that names no split.
    pub fn assign(&self, batch: &RecordBatch) -> Result<Vec<usize>> {
        let mut keys = self.key_hashes(batch)?;
        if self.counts_equal_rows() {
            Occurrences::default().number(&mut keys);
        }
        self.place(batch, &keys)
    }

    /// The index of the split of each row, whose keys are these.
    pub(super) fn place(&self, batch: &RecordBatch, keys: &[u64]) -> Result<Vec<usize>> {
        match &self.0 {
            Rule::Hash(rule) => Ok(rule.place(keys)),
            Rule::Time(rule) => rule.assign(key_column(batch, &rule.time, "time")?),
            Rule::Column(rule) => rule.assign(key_column(batch, &rule.column, "naming")?),
            Rule::Newest(rule) => rule.assign(key_column(batch, IS_NEWEST, "newest")?, keys),
        }
    }
}

fn key_column<'a>(batch: &'a RecordBatch, name: &str, what: &str) -> Result<&'a ArrayRef> {
    batch.column_by_name(name).ok_or_else(|| {
        let schema = batch.schema();
        let names = schema.fields().iter().map(|field| field.name().as_str());
        Error::config(format!(
            "the split's {what} column `{name}` is not in the data{}",
            near_names(name, names)
        ))
    })
}

impl ByHash {
    fn check(&self) -> Result<()> {
        match self
            .splits
            .iter()
            .find(|(_, weight)| *weight == 0 || *weight > 1_000_000)
        {
            Some((name, weight)) => Err(Error::config(format!(
                "split `{name}` has weight {weight}, must be from 1 to 1000000"
            ))),
            None => Ok(()),
        }
    }

    fn place(&self, keys: &[u64]) -> Vec<usize> {
        let total: u64 = self.splits.iter().map(|(_, weight)| weight).sum();
        let place_of = |hash: u64| {
            let mut place = hash % total.max(1);
            self.splits
                .iter()
                .position(|(_, weight)| match place.checked_sub(*weight) {
                    Some(rest) => {
                        place = rest;
                        false
                    }
                    None => true,
                })
                .unwrap_or_default()
        };
        keys.iter().map(|key| place_of(*key)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float64Array, Int64Array};
    use std::sync::Arc;

    #[test]
    fn weights_are_kept_and_types_of_numbers_do_not_matter() {
        let split = Split::by_hash(["id"], [("train", 8), ("eval", 1), ("test", 1)]);
        let ids = || 0..20_000;
        let whole: ArrayRef = Arc::new(Int64Array::from_iter_values(ids()));
        let real: ArrayRef = Arc::new(Float64Array::from_iter_values(ids().map(|id| id as f64)));
        let assigned = split
            .assign(&RecordBatch::try_from_iter([("id", whole)]).unwrap())
            .unwrap();
        assert_eq!(
            assigned,
            split
                .assign(&RecordBatch::try_from_iter([("id", real)]).unwrap())
                .unwrap()
        );
        let train = assigned.iter().filter(|split| **split == 0).count();
        assert!((15_700..16_300).contains(&train), "{train}");
        // Pinned: a stored split must mean the same for ever.
        assert_eq!(assigned[..12], PINNED);
    }

    #[test]
    fn equal_rows_are_spread_over_the_splits() {
        let same: ArrayRef = Arc::new(Int64Array::from(vec![3; 10_000]));
        let batch = RecordBatch::try_from_iter([("x", same)]).unwrap();
        let assigned = Split::default().assign(&batch).unwrap();
        let eval = assigned.iter().filter(|split| **split == 1).count();
        // Five standard deviations about the mean.
        assert!((850..=1_150).contains(&eval), "{eval}");
        let first = Split::default().assign(&batch.slice(0, 1_000)).unwrap();
        assert_eq!(first, assigned[..1_000]);
    }

    #[test]
    fn a_split_that_was_saved_reads_as_it_did() {
        let saved = r#"{"keys":["id"],"splits":[["train",8],["eval",1]]}"#;
        let split: Split = serde_json::from_str(saved).unwrap();
        assert_eq!(split, Split::by_hash(["id"], [("train", 8), ("eval", 1)]));
        assert_eq!(serde_json::to_string(&split).unwrap(), saved);
        for split in [
            Split::by_time("day", [("train", "2013-01-31")], "eval"),
            Split::by_column("part", [("a", "train"), ("b", "eval")]),
        ] {
            let text = serde_json::to_string(&split).unwrap();
            assert_eq!(serde_json::from_str::<Split>(&text).unwrap(), split);
        }
    }

    const PINNED: [usize; 12] = [1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0];
}
