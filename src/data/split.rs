//! Which rows train, and which judge.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{Date32Type, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow::row::{RowConverter, SortField};
use serde::{Deserialize, Serialize};
use twox_hash::XxHash64;

use crate::error::{Error, Result, near_names};
use crate::schema::FieldType;

/// The split that models are trained on.
pub const TRAIN: &str = "train";
/// The split that models are judged on.
pub const EVAL: &str = "eval";

/// How rows are divided: by a hash of key columns, or of the whole row.
///
/// A row's split depends on its key and on nothing else, not on other rows, their order or the machine: adding rows
/// moves none of the old ones, and rows of one key are never parted. Without key columns the whole row is the key;
/// equal rows then stay together.
///
/// ```
/// use fourfold::data::Split;
///
/// let split = Split::by_hash(["customer"], [("train", 8), ("eval", 1), ("test", 1)]);
/// assert!(split.check().is_ok());
/// assert!(Split::by_hash(["customer"], [("train", 1)]).check().is_err(), "nothing to judge with");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
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
        Split {
            keys: keys.into_iter().map(Into::into).collect(),
            splits: splits
                .into_iter()
                .map(|(name, weight)| (name.into(), weight))
                .collect(),
        }
    }

    /// By the hash of the whole row.
    #[must_use]
    pub fn by_row<N: Into<String>>(splits: impl IntoIterator<Item = (N, u64)>) -> Self {
        Split::by_hash(Vec::<String>::new(), splits)
    }

    /// The names of the splits.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.splits.iter().map(|(name, _)| name.as_str())
    }

    /// The key columns; none means the whole row.
    #[must_use]
    pub fn keys(&self) -> &[String] {
        &self.keys
    }

    /// Checks names and weights.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) with the name and the weight.
    pub fn check(&self) -> Result<()> {
        for needed in [TRAIN, EVAL] {
            if !self.names().any(|name| name == needed) {
                let names: Vec<&str> = self.names().collect();
                return Err(Error::config(format!(
                    "the splits are {names:?}, `{needed}` must be among them"
                )));
            }
        }
        for (at, (name, weight)) in self.splits.iter().enumerate() {
            if *weight == 0 || *weight > 1_000_000 {
                return Err(Error::config(format!(
                    "split `{name}` has weight {weight}, must be from 1 to 1000000"
                )));
            }
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
            if name.is_empty() || !name.bytes().all(plain) {
                return Err(Error::config(format!(
                    "split name `{name}` must be of letters, digits, `_` and `-`"
                )));
            }
            if self.splits[..at].iter().any(|(other, _)| other == name) {
                return Err(Error::config(format!("split `{name}` is there twice")));
            }
        }
        Ok(())
    }

    /// The index of each row's split.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if a key column is not in the data.
    pub fn assign(&self, batch: &RecordBatch) -> Result<Vec<usize>> {
        let columns: Vec<&ArrayRef> = if self.keys.is_empty() {
            batch.columns().iter().collect()
        } else {
            let schema = batch.schema();
            self.keys
                .iter()
                .map(|key| {
                    batch.column_by_name(key).ok_or_else(|| {
                        let names = schema.fields().iter().map(|field| field.name().as_str());
                        Error::config(format!(
                            "the split's key column `{key}` is not in the data{}",
                            near_names(key, names)
                        ))
                    })
                })
                .collect::<Result<_>>()?
        };
        let mut keys: Vec<Vec<u8>> = vec![Vec::new(); batch.num_rows()];
        for column in columns {
            append_key_bytes(column, &mut keys)?;
        }
        let total: u64 = self.splits.iter().map(|(_, weight)| weight).sum();
        Ok(keys
            .iter()
            .map(|key| {
                let mut place = XxHash64::oneshot(0, key) % total;
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
            })
            .collect())
    }
}

/// Appends a column's values to the rows' keys: a tag and the value. A whole number has the same bytes as an
/// integer or a float, so that a column which a file's reader takes for the other type keeps its splits.
fn append_key_bytes(column: &ArrayRef, keys: &mut [Vec<u8>]) -> Result<()> {
    let whole = |value: i64, key: &mut Vec<u8>| {
        key.push(1);
        key.extend(value.to_le_bytes());
    };
    let field_type = FieldType::of(column.data_type());
    let column = field_type.normalize("key", column)?;
    for (row, key) in keys.iter_mut().enumerate() {
        if column.is_null(row) {
            key.push(0);
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
                    key.push(2);
                    let value = if value.is_nan() { f64::NAN } else { value };
                    key.extend(value.to_bits().to_le_bytes());
                }
            }
            FieldType::Boolean => key.extend([3, u8::from(column.as_boolean().value(row))]),
            FieldType::Text => {
                let text = column.as_string::<i32>().value(row);
                key.push(4);
                key.extend((text.len() as u64).to_le_bytes());
                key.extend(text.as_bytes());
            }
            FieldType::Date => {
                key.push(5);
                key.extend(column.as_primitive::<Date32Type>().value(row).to_le_bytes());
            }
            FieldType::Timestamp => {
                key.push(6);
                key.extend(
                    column
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
            key.push(7);
            key.extend(row.as_ref());
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

    const PINNED: [usize; 12] = [1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0];
}
