//! Splits that the data itself tells: by time, and by a column that names them.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, TimestampMicrosecondType};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::schema::{FieldType, micros_of_text};

const MICROSECONDS_A_DAY: i64 = 86_400_000_000;

/// To each split the rows before a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ByTime {
    pub(super) time: String,
    pub(super) until: Vec<(String, String)>,
    pub(super) rest: String,
}

impl ByTime {
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let until = self.until.iter().map(|(name, _)| name.as_str());
        until.chain([self.rest.as_str()])
    }

    /// The end of each split, in microseconds since 1970-01-01.
    fn ends(&self) -> Result<Vec<i64>> {
        self.until
            .iter()
            .map(|(name, time)| {
                micros_of_text(time).ok_or_else(|| {
                    Error::config(format!(
                        "split `{name}` ends at `{time}`, must be a date like `2013-01-31` or a timestamp like \
                         `2013-01-31T12:00:00`"
                    ))
                })
            })
            .collect()
    }

    pub(super) fn check(&self) -> Result<()> {
        let ends = self.ends()?;
        for (pair, ends) in self.until.windows(2).zip(ends.windows(2)) {
            if let ([(first, _), (second, time)], [end, next]) = (pair, ends)
                && next <= end
            {
                return Err(Error::config(format!(
                    "split `{second}` ends at `{time}`, must end after split `{first}`"
                )));
            }
        }
        Ok(())
    }

    pub(super) fn assign(&self, column: &ArrayRef) -> Result<Vec<usize>> {
        let name = &self.time;
        let ends = self.ends()?;
        let field_type = FieldType::of(column.data_type());
        let column = match field_type {
            FieldType::Date | FieldType::Timestamp => field_type.normalize(name, column)?,
            other => {
                return Err(Error::config(format!(
                    "the split's time column `{name}` is of type {other}, must be a date or a timestamp"
                )));
            }
        };
        if column.null_count() > 0 {
            return Err(Error::data(format!(
                "the split's time column `{name}` is NULL in {} of {} rows, every row must have a time",
                column.null_count(),
                column.len()
            )));
        }
        let place_of = |time: i64| ends.partition_point(|end| *end <= time);
        Ok(match field_type {
            FieldType::Date => {
                let days = column.as_primitive::<Date32Type>().values();
                days.iter()
                    .map(|day| place_of(i64::from(*day).saturating_mul(MICROSECONDS_A_DAY)))
                    .collect()
            }
            _ => {
                let times = column.as_primitive::<TimestampMicrosecondType>().values();
                times.iter().map(|time| place_of(*time)).collect()
            }
        })
    }
}

/// The rule that holds out a part of the newest span.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewestHeldOut {
    newest_held_out_per_mille: u64,
}

impl NewestHeldOut {
    pub(super) fn new(hold_out: f64) -> Self {
        NewestHeldOut {
            // A value that is no fraction becomes 0, which the check refuses.
            newest_held_out_per_mille: (hold_out * 1_000.0).round() as u64,
        }
    }

    pub(super) fn hold_out(&self) -> f64 {
        self.newest_held_out_per_mille as f64 / 1_000.0
    }

    pub(super) fn check(&self) -> Result<()> {
        match self.newest_held_out_per_mille {
            1..=999 => Ok(()),
            _ => Err(Error::config(format!(
                "the held-out share of the newest span is {}, must be from 0.001 to 0.999",
                self.hold_out()
            ))),
        }
    }

    /// `train`, or `eval` for rows of the newest span whose key falls there.
    pub(super) fn assign(&self, is_newest: &ArrayRef, keys: &[u64]) -> Result<Vec<usize>> {
        let is_newest = is_newest.as_boolean_opt().ok_or_else(|| {
            Error::config("a split of the newest span needs a window of spans as its source")
        })?;
        let place = |(newest, key): (Option<bool>, &u64)| {
            let held_out = key % 1_000 < self.newest_held_out_per_mille;
            usize::from(newest == Some(true) && held_out)
        };
        Ok(is_newest.iter().zip(keys).map(place).collect())
    }
}

/// To each value the split of a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ByColumn {
    pub(super) column: String,
    pub(super) values: Vec<(String, String)>,
}

impl ByColumn {
    /// The splits in the order in which they are first named: several values may be of one.
    pub(super) fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for (_, name) in &self.values {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        names
    }

    pub(super) fn check(&self) -> Result<()> {
        for (at, (value, _)) in self.values.iter().enumerate() {
            if self.values[..at].iter().any(|(other, _)| other == value) {
                return Err(Error::config(format!(
                    "duplicate value `{value}` of the split's naming column `{}`",
                    self.column
                )));
            }
        }
        Ok(())
    }

    pub(super) fn assign(&self, column: &ArrayRef) -> Result<Vec<usize>> {
        let names = self.names();
        let place_of = |value: &str| {
            let (_, name) = self.values.iter().find(|(known, _)| known == value)?;
            names.iter().position(|other| other == name)
        };
        let unknown = |value: &str| {
            let known: Vec<&str> = self
                .values
                .iter()
                .map(|(value, _)| value.as_str())
                .collect();
            Error::data(format!(
                "the split's naming column `{}` is {value}, must be one of {known:?}",
                self.column
            ))
        };
        let text = cast(column, &DataType::Utf8)?;
        text.as_string::<i32>()
            .iter()
            .map(|value| match value {
                None => Err(unknown("NULL")),
                Some(value) => place_of(value).ok_or_else(|| unknown(&format!("`{value}`"))),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Date32Array, RecordBatch, StringArray, TimestampMillisecondArray};

    use crate::data::Split;

    fn batch(column: ArrayRef) -> RecordBatch {
        RecordBatch::try_from_iter_with_nullable([("at", column, true)]).unwrap()
    }

    use super::*;

    #[test]
    fn times_divide_before_and_after() {
        let split = Split::by_time(
            "at",
            [
                ("train", "2013-01-31"),
                ("eval", "2013-01-31T13:00:00+01:00"),
            ],
            "test",
        );
        split.check().unwrap();
        let days = Date32Array::from_iter_values([15_735, 15_736, 15_737]);
        assert_eq!(split.assign(&batch(Arc::new(days))).unwrap(), [0, 1, 2]);
        let ends = Date32Array::from_iter_values([i32::MIN, i32::MAX]);
        assert_eq!(split.assign(&batch(Arc::new(ends))).unwrap(), [0, 2]);
        let noon = 15_736 * 86_400_000 + 12 * 3_600_000;
        let times = TimestampMillisecondArray::from_iter_values([noon - 1, noon, noon + 1]);
        assert_eq!(split.assign(&batch(Arc::new(times))).unwrap(), [1, 2, 2]);
        let gap = Date32Array::from_iter([Some(1), None]);
        assert_eq!(
            split.assign(&batch(Arc::new(gap))).unwrap_err().to_string(),
            "the split's time column `at` is NULL in 1 of 2 rows, every row must have a time"
        );
        let text = StringArray::from(vec!["2013-01-31"]);
        assert_eq!(
            split
                .assign(&batch(Arc::new(text)))
                .unwrap_err()
                .to_string(),
            "the split's time column `at` is of type text, must be a date or a timestamp"
        );
        let backwards =
            Split::by_time("at", [("train", "2013-02-01"), ("eval", "2013-01-01")], "x");
        assert_eq!(
            backwards.check().unwrap_err().to_string(),
            "split `eval` ends at `2013-01-01`, must end after split `train`"
        );
        assert_eq!(
            Split::by_time("at", [("train", "soon")], "eval")
                .check()
                .unwrap_err()
                .to_string(),
            "split `train` ends at `soon`, must be a date like `2013-01-31` or a timestamp like `2013-01-31T12:00:00`"
        );
    }

    #[test]
    fn values_name_splits() {
        let split = Split::by_column("at", [("a", "train"), ("b", "eval"), ("c", "train")]);
        split.check().unwrap();
        assert_eq!(split.names().collect::<Vec<_>>(), ["train", "eval"]);
        let text = |values: Vec<Option<&str>>| batch(Arc::new(StringArray::from(values)));
        let rows = text(vec![Some("c"), Some("b"), Some("a")]);
        assert_eq!(split.assign(&rows).unwrap(), [0, 1, 0]);
        for (value, shown) in [(Some("d"), "`d`"), (None, "NULL")] {
            assert_eq!(
                split.assign(&text(vec![value])).unwrap_err().to_string(),
                format!(
                    "the split's naming column `at` is {shown}, must be one of [\"a\", \"b\", \"c\"]"
                )
            );
        }
    }
}
