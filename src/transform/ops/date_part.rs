//! Parts of dates and timestamps.

use std::fmt;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Date32Type, TimestampMicrosecondType};
use serde::{Deserialize, Serialize};

use super::{Apply, FittedOp, Operation, only};
use crate::error::{Error, Result};
use crate::schema::FieldType;
use crate::transform::Transform;
use crate::transform::numbers::{Few, Numbers};
use crate::transform::value::Value;

/// A part of a date or timestamp as a number.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartOfDate {
    /// The part.
    pub part: DatePart,
}

impl Transform {
    /// Adds the column `<column>_<part>` with a part of a date or timestamp (UTC) as a number.
    #[must_use]
    pub fn date_part(self, column: impl Into<String>, part: DatePart) -> Self {
        let column = column.into();
        let output = format!("{column}_{part}");
        self.step_to(column, output, PartOfDate { part })
    }

    /// As [`Transform::date_part`] for several parts, each scaled for use: periodic parts on a circle, the year
    /// to z-scores.
    #[must_use]
    pub fn date_parts(
        mut self,
        column: impl Into<String>,
        parts: impl IntoIterator<Item = DatePart>,
    ) -> Self {
        let column = column.into();
        for part in parts {
            let output = format!("{column}_{part}");
            self = self.date_part(column.clone(), part);
            self = match part.period() {
                Some(period) => self.cyclic(output, period),
                None => self.z_score(output),
            };
        }
        self
    }
}

impl Operation for PartOfDate {
    fn fitted(&self) -> Result<FittedOp> {
        Ok((*self).into())
    }
}

impl Apply for PartOfDate {
    fn apply(&self, inputs: &[&Value]) -> Result<Value> {
        let part = self.part;
        Ok(Value::Numbers(match only(inputs)? {
            Value::Raw(array, FieldType::Date) => {
                let days = array.as_primitive::<Date32Type>();
                let parts = days
                    .values()
                    .iter()
                    .map(|days| part.of_days((*days).into()));
                Numbers::new(parts.collect::<Few<f64>>(), days.nulls().cloned())
            }
            Value::Raw(array, FieldType::Timestamp) => {
                let times = array.as_primitive::<TimestampMicrosecondType>();
                let parts = times.values().iter().map(|micros| part.of_micros(*micros));
                Numbers::new(parts.collect::<Few<f64>>(), times.nulls().cloned())
            }
            other => {
                return Err(Error::config(format!(
                    "this step takes a date or a timestamp, the column is {}",
                    other.kind()
                )));
            }
        }))
    }
}

/// A part of a date or timestamp, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DatePart {
    /// The year, such as 2013.
    Year,
    /// The month, 0 (January) to 11.
    Month,
    /// The day of the month, 0 to 30.
    Day,
    /// The day of the week, 0 (Monday) to 6.
    Weekday,
    /// The hour with its fraction, 0 to under 24.
    Hour,
}

const MICROS_A_DAY: i64 = 86_400_000_000;

impl DatePart {
    /// After how many units the part starts again; the year does not.
    #[must_use]
    pub fn period(self) -> Option<f64> {
        match self {
            DatePart::Year => None,
            DatePart::Month => Some(12.0),
            DatePart::Day => Some(31.0),
            DatePart::Weekday => Some(7.0),
            DatePart::Hour => Some(24.0),
        }
    }

    fn of_micros(self, micros: i64) -> f64 {
        match self {
            DatePart::Hour => micros.rem_euclid(MICROS_A_DAY) as f64 / (MICROS_A_DAY / 24) as f64,
            _ => self.of_days(micros.div_euclid(MICROS_A_DAY)),
        }
    }

    /// The parts of the beginning of a day.
    fn of_days(self, day: i64) -> f64 {
        match self {
            DatePart::Hour => 0.0,
            DatePart::Weekday => (day + 3).rem_euclid(7) as f64,
            DatePart::Year => civil(day).0 as f64,
            DatePart::Month => (civil(day).1 - 1) as f64,
            DatePart::Day => (civil(day).2 - 1) as f64,
        }
    }
}

/// Year, month and day of a day counted from 1970-01-01, in the proleptic Gregorian calendar.
///
/// The published algorithm `civil_from_days` (Hinnant, "chrono-compatible low-level date algorithms"): total over
/// all values, where a calendar library's conversions are partial.
fn civil(day: i64) -> (i64, i64, i64) {
    let z = day + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

impl fmt::Display for DatePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DatePart::Year => "year",
            DatePart::Month => "month",
            DatePart::Day => "day",
            DatePart::Weekday => "weekday",
            DatePart::Hour => "hour",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_known_times() {
        // 2013-06-30T13:30:00Z, a Sunday.
        let micros = 1_372_599_000_000_000;
        let parts = [
            DatePart::Year,
            DatePart::Month,
            DatePart::Day,
            DatePart::Weekday,
            DatePart::Hour,
        ];
        assert_eq!(
            parts.map(|part| part.of_micros(micros)),
            [2013.0, 5.0, 29.0, 6.0, 13.5]
        );
        // 1969-12-31, a Wednesday.
        assert_eq!(
            parts.map(|part| part.of_days(-1)),
            [1969.0, 11.0, 30.0, 2.0, 0.0]
        );
        // 2000-02-29, a Tuesday.
        assert_eq!(
            parts.map(|part| part.of_days(11_016)),
            [2000.0, 1.0, 28.0, 1.0, 0.0]
        );
        assert!(DatePart::Year.of_micros(i64::MAX) > 200_000.0);
        assert!(DatePart::Year.of_days(i32::MAX.into()) > 5_000_000.0);
        assert!(DatePart::Year.of_days(i32::MIN.into()) < -5_000_000.0);
    }
}
