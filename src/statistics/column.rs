//! The accumulator of one column's statistics.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{Date32Type, Float64Type, Int64Type, TimestampMicrosecondType};
use serde::{Deserialize, Serialize};

use super::{
    ColumnStatistics, DistinctSketch, Moments, NumericStatistics, QuantileSketch, TextStatistics,
    TopValues,
};
use crate::error::{Error, Result};
use crate::schema::FieldType;

/// Distinct values whose counts are kept.
const TOP_CAPACITY: usize = 1_024;
/// Most frequent values reported.
const TOP_SHOWN: usize = 100;

/// The ranks that are reported, the extremes and the median among them.
pub(super) const RANKS: [f64; 11] = [0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0];

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ColumnAccumulator {
    name: String,
    field_type: FieldType,
    count: u64,
    missing: u64,
    distinct: DistinctSketch,
    values: Values,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Values {
    /// Booleans, integers, dates, timestamps: their value as an integer, which is also counted.
    Whole {
        moments: Moments,
        quantiles: QuantileSketch,
        top: TopValues<i64>,
    },
    /// Floats: counted by their bits while there are few distinct ones.
    Real {
        moments: Moments,
        quantiles: QuantileSketch,
        top: Option<TopValues<u64>>,
    },
    Text {
        top: TopValues<String>,
        bytes: u64,
        shortest: u64,
        longest: u64,
    },
    Other,
}

impl ColumnAccumulator {
    pub(super) fn new(name: &str, field_type: FieldType) -> Self {
        let values = match field_type {
            FieldType::Boolean | FieldType::Integer | FieldType::Date | FieldType::Timestamp => {
                Values::Whole {
                    moments: Moments::default(),
                    quantiles: QuantileSketch::default(),
                    top: TopValues::new(TOP_CAPACITY),
                }
            }
            FieldType::Float => Values::Real {
                moments: Moments::default(),
                quantiles: QuantileSketch::default(),
                top: Some(TopValues::new(TOP_CAPACITY)),
            },
            FieldType::Text => Values::Text {
                top: TopValues::new(TOP_CAPACITY),
                bytes: 0,
                shortest: u64::MAX,
                longest: 0,
            },
            FieldType::Other => Values::Other,
        };
        ColumnAccumulator {
            name: name.to_owned(),
            field_type,
            count: 0,
            missing: 0,
            distinct: DistinctSketch::default(),
            values,
        }
    }

    pub(super) fn update(&mut self, column: &ArrayRef) -> Result<()> {
        let missing = column.logical_null_count();
        self.missing += missing as u64;
        self.count += (column.len() - missing) as u64;
        let column = self.field_type.normalize(&self.name, column)?;
        match (&mut self.values, self.field_type) {
            (
                Values::Whole {
                    moments,
                    quantiles,
                    top,
                },
                field_type,
            ) => {
                let distinct = &mut self.distinct;
                let mut add = |value: i64| {
                    moments.update(value as f64);
                    quantiles.update(value as f64);
                    top.add(&value, 1);
                    distinct.update(value);
                };
                match field_type {
                    FieldType::Boolean => column
                        .as_boolean()
                        .iter()
                        .flatten()
                        .for_each(|value| add(i64::from(value))),
                    FieldType::Date => column
                        .as_primitive::<Date32Type>()
                        .iter()
                        .flatten()
                        .for_each(|value| add(i64::from(value))),
                    FieldType::Timestamp => column
                        .as_primitive::<TimestampMicrosecondType>()
                        .iter()
                        .flatten()
                        .for_each(add),
                    _ => column
                        .as_primitive::<Int64Type>()
                        .iter()
                        .flatten()
                        .for_each(add),
                }
            }
            (
                Values::Real {
                    moments,
                    quantiles,
                    top,
                },
                _,
            ) => {
                for value in column.as_primitive::<Float64Type>().iter().flatten() {
                    moments.update(value);
                    // -0.0 and 0.0 are one value, and so are all NaNs.
                    let value = if value == 0.0 {
                        0.0
                    } else if value.is_nan() {
                        f64::NAN
                    } else {
                        quantiles.update(value);
                        value
                    };
                    self.distinct.update(value.to_bits());
                    if let Some(counts) = top {
                        counts.add(&value.to_bits(), 1);
                        if counts.error() > 0 {
                            *top = None;
                        }
                    }
                }
            }
            (
                Values::Text {
                    top,
                    bytes,
                    shortest,
                    longest,
                },
                _,
            ) => {
                for value in column.as_string::<i32>().iter().flatten() {
                    top.add(value, 1);
                    self.distinct.update(value);
                    let length = value.len() as u64;
                    *bytes += length;
                    *shortest = length.min(*shortest);
                    *longest = length.max(*longest);
                }
            }
            (Values::Other, _) => {}
        }
        Ok(())
    }

    pub(super) fn merge(&mut self, other: Self) -> Result<()> {
        let apart = || {
            Error::internal(format!(
                "statistics of different columns merged at `{}`",
                self.name
            ))
        };
        if self.name != other.name {
            return Err(apart());
        }
        match (&mut self.values, other.values) {
            (
                Values::Whole {
                    moments,
                    quantiles,
                    top,
                },
                Values::Whole {
                    moments: more,
                    quantiles: ranks,
                    top: counts,
                },
            ) => {
                moments.merge(&more);
                quantiles.merge(&ranks);
                top.merge(counts);
            }
            (
                Values::Real {
                    moments,
                    quantiles,
                    top,
                },
                Values::Real {
                    moments: more,
                    quantiles: ranks,
                    top: counts,
                },
            ) => {
                moments.merge(&more);
                quantiles.merge(&ranks);
                *top = match (top.take(), counts) {
                    (Some(mut mine), Some(theirs)) => {
                        mine.merge(theirs);
                        (mine.error() == 0).then_some(mine)
                    }
                    _ => None,
                };
            }
            (
                Values::Text {
                    top,
                    bytes,
                    shortest,
                    longest,
                },
                Values::Text {
                    top: counts,
                    bytes: more,
                    shortest: low,
                    longest: high,
                },
            ) => {
                top.merge(counts);
                *bytes += more;
                *shortest = low.min(*shortest);
                *longest = high.max(*longest);
            }
            (Values::Other, Values::Other) => {}
            _ => return Err(apart()),
        }
        self.count += other.count;
        self.missing += other.missing;
        self.distinct.merge(&other.distinct)
    }

    pub(super) fn finish(&self) -> ColumnStatistics {
        let mut statistics = ColumnStatistics {
            name: self.name.clone(),
            field_type: self.field_type,
            count: self.count,
            missing: self.missing,
            distinct: self.distinct.estimate(),
            numeric: None,
            text: None,
            top_values: Vec::new(),
            top_values_exact: false,
            valency: None,
            weighted: None,
            association: None,
        };
        match &self.values {
            Values::Whole {
                moments,
                quantiles,
                top,
            } => {
                statistics.numeric = Some(NumericStatistics::new(moments, quantiles));
                statistics.set_top(top, TOP_SHOWN, |value| whole_text(self.field_type, *value));
            }
            Values::Real {
                moments,
                quantiles,
                top,
            } => {
                statistics.numeric = Some(NumericStatistics::new(moments, quantiles));
                if let Some(top) = top {
                    statistics.set_top(top, TOP_SHOWN, |bits| f64::from_bits(*bits).to_string());
                }
            }
            Values::Text {
                top,
                bytes,
                shortest,
                longest,
            } => {
                if self.count > 0 {
                    statistics.text = Some(TextStatistics {
                        mean_bytes: *bytes as f64 / self.count as f64,
                        min_bytes: *shortest,
                        max_bytes: *longest,
                        invalid_utf8: 0,
                    });
                }
                statistics.set_top(top, TOP_SHOWN, String::clone);
            }
            Values::Other => {}
        }
        statistics
    }
}

fn whole_text(field_type: FieldType, value: i64) -> String {
    match field_type {
        FieldType::Boolean => (value != 0).to_string(),
        FieldType::Date => super::days_text(value),
        FieldType::Timestamp => super::micros_text(value),
        _ => value.to_string(),
    }
}
