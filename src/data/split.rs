//! Which rows train, and which judge.

use std::hash::Hasher;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{Date32Type, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow::row::{RowConverter, SortField};
use serde::{Deserialize, Serialize};
use twox_hash::XxHash64;

use super::split_by::{ByColumn, ByTime};
use crate::error::{Error, Result, near_names};
use crate::schema::FieldType;

/// The split that models are trained on.
pub const TRAIN: &str = "train";
/// The split that models are judged on.
pub const EVAL: &str = "eval";

/// How rows are divided: by a hash of key columns or of the whole row, by time, or by a column that names the split.
///
/// A row's split depends on its own values and on nothing else, not on other rows, their order or the machine: adding
/// rows moves none of the old ones. By hash, rows of one key are never parted; without key columns the whole row is the
/// key, and equal rows stay together.
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
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ByHash {
    keys: Vec<String>,
    splits: Vec<(String, u64)>,
}

impl Default for Split {
    /// By the whole row, 8 : 1 : 1 to `train`, `eval` and `test`.
    fn default() -> Self {
        Split::by_row([(TRAIN, 8), (EVAL, 1), ("test", 1)])
    }
}

impl Split {
    /// By the hash of one or more key columns, to named splits with weights. `train` and `eval` must be among
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

    /// By the hash of the whole row.
    #[must_use]
    pub fn by_row<N: Into<String>>(splits: impl IntoIterator<Item = (N, u64)>) -> Self {
        Split::by_hash(Vec::<String>::new(), splits)
    }

    /// By a column of dates or timestamps: to each split the rows before its time and not before that of the split in
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

    /// By a column whose values stand for splits: pairs of a value and the name of its split. Values that are none of
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

    /// The names of the splits.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let names: Vec<&str> = match &self.0 {
            Rule::Hash(rule) => rule.splits.iter().map(|(name, _)| name.as_str()).collect(),
            Rule::Time(rule) => rule.names().collect(),
            Rule::Column(rule) => rule.names(),
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
        }
    }

    /// The columns by which rows stay together in a sample; none means the whole row.
    pub(super) fn sample_keys(&self) -> &[String] {
        match &self.0 {
            Rule::Hash(rule) => &rule.keys,
            Rule::Time(_) | Rule::Column(_) => &[],
        }
    }

    /// The column that names the splits, if they are divided so: it tells nothing of a row.
    pub(super) fn naming_column(&self) -> Option<&str> {
        match &self.0 {
            Rule::Column(rule) => Some(&rule.column),
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
                return Err(Error::config(format!("split `{name}` is there twice")));
            }
        }
        match &self.0 {
            Rule::Hash(rule) => rule.check(),
            Rule::Time(rule) => rule.check(),
            Rule::Column(rule) => rule.check(),
        }
    }

    /// The index of each row's split.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if a column that is looked at is not in the data;
    /// [`ErrorKind::Data`](crate::ErrorKind::Data) if a row has no time, or a value that names no split.
    pub fn assign(&self, batch: &RecordBatch) -> Result<Vec<usize>> {
        match &self.0 {
            Rule::Hash(rule) => rule.assign(batch),
            Rule::Time(rule) => rule.assign(key_column(batch, &rule.time, "time")?),
            Rule::Column(rule) => rule.assign(key_column(batch, &rule.column, "naming")?),
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

/// The hash of each row by these columns, or by all; equal for ever.
pub(super) fn hashes(batch: &RecordBatch, columns: &[String], seed: u64) -> Result<Vec<u64>> {
    let columns: Vec<&ArrayRef> = if columns.is_empty() {
        batch.columns().iter().collect()
    } else {
        columns
            .iter()
            .map(|key| key_column(batch, key, "key"))
            .collect::<Result<_>>()?
    };
    let mut keys = vec![XxHash64::with_seed(seed); batch.num_rows()];
    for column in columns {
        append_key_bytes(column, &mut keys)?;
    }
    Ok(keys.iter().map(Hasher::finish).collect())
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

    fn assign(&self, batch: &RecordBatch) -> Result<Vec<usize>> {
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
        let hashes = hashes(batch, &self.keys, 0)?;
        Ok(hashes.into_iter().map(place_of).collect())
    }
}

/// Appends a column's values to the rows' keys: a tag and the value. A whole number has the same bytes as an
/// integer or a float, so that a column which a file's reader takes for the other type keeps its splits.
fn append_key_bytes(column: &ArrayRef, keys: &mut [XxHash64]) -> Result<()> {
    let whole = |value: i64, key: &mut XxHash64| {
        key.write(&[1]);
        key.write(&value.to_le_bytes());
    };
    let field_type = FieldType::of(column.data_type());
    let column = field_type.normalize("key", column)?;
    for (row, key) in keys.iter_mut().enumerate() {
        if column.is_null(row) {
            key.write(&[0]);
            continue;
        }
        match field_type {
            FieldType::Integer => whole(column.as_primitive::<Int64Type>().value(row), key),
            FieldType::Float => {
                let value = column.as_primitive::<Float64Type>().value(row);
                // 2^63: below it, a whole float has an exact integer.
                if value.fract() == 0.0 && value.abs() < 9.223_372_036_854_776e18 {
                    whole(value as i64, key);
                } else {
                    key.write(&[2]);
                    let value = if value.is_nan() { f64::NAN } else { value };
                    key.write(&value.to_bits().to_le_bytes());
                }
            }
            FieldType::Boolean => key.write(&[3, u8::from(column.as_boolean().value(row))]),
            FieldType::Text => {
                let text = column.as_string::<i32>().value(row);
                key.write(&[4]);
                key.write(&(text.len() as u64).to_le_bytes());
                key.write(text.as_bytes());
            }
            FieldType::Date => {
                key.write(&[5]);
                key.write(&column.as_primitive::<Date32Type>().value(row).to_le_bytes());
            }
            FieldType::Timestamp => {
                key.write(&[6]);
                key.write(
                    &column
                        .as_primitive::<TimestampMicrosecondType>()
                        .value(row)
                        .to_le_bytes(),
                );
            }
            FieldType::Other => {}
        }
    }
    if field_type == FieldType::Other {
        let converter = RowConverter::new(vec![SortField::new(column.data_type().clone())])?;
        let rows = converter.convert_columns(&[column])?;
        for (key, row) in keys.iter_mut().zip(rows.iter()) {
            key.write(&[7]);
            key.write(row.as_ref());
        }
    }
    Ok(())
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
    fn a_row_is_hashed_as_one_run_of_bytes() {
        let id: ArrayRef = Arc::new(Int64Array::from(vec![5]));
        let text: ArrayRef = Arc::new(arrow::array::StringArray::from(vec!["ab"]));
        let batch = RecordBatch::try_from_iter([("id", id), ("text", text)]).unwrap();
        let bytes = [
            &[1, 5, 0, 0, 0, 0, 0, 0, 0, 4, 2, 0, 0, 0, 0, 0, 0, 0][..],
            b"ab",
        ]
        .concat();
        let wanted = XxHash64::oneshot(1, &bytes);
        assert_eq!(hashes(&batch, &[], 1).unwrap(), [wanted]);
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
