//! The rules that a single value can break.

use std::collections::HashSet;

use arrow::array::timezone::Tz;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Date32Array, Float64Array, Int64Array};
use arrow::array::{StringArray, TimestampMicrosecondArray};
use arrow::compute::kernels::cast_utils::{Parser, string_to_datetime};
use arrow::datatypes::{DataType, Date32Type};

use super::{AnomalyKind, Bounds, Counts, Domain, Field, FieldType};

/// A callback that gets a row, the rule it breaks, and the column unless it is missing.
pub(crate) type OnBreak<'a> = dyn FnMut(usize, AnomalyKind, Option<&ArrayRef>) + 'a;

/// The rules of one field over the values of one column, in its physical type.
pub(super) struct ValueRules<'a> {
    values: Values<'a>,
    /// The allowed numbers of items and the offsets of a list column.
    list: Option<(Counts, &'a [i32])>,
}

enum Values<'a> {
    Free,
    Boolean(&'a BooleanArray, &'a [String]),
    Integer(&'a Int64Array, &'a Domain),
    Float(&'a Float64Array, &'a Field),
    Text(&'a StringArray, &'a Domain, Option<HashSet<&'a str>>),
    Date(&'a Date32Array, Times),
    Timestamp(&'a TimestampMicrosecondArray, Times),
}

impl<'a> ValueRules<'a> {
    /// In `serving`, lists of values are only checked if the field is strict. `times` are those of the domain, if they are
    /// known.
    pub(super) fn new(
        field: &'a Field,
        column: &'a ArrayRef,
        times: Option<Times>,
        serving: bool,
    ) -> Self {
        let (list, items) = match (field.list, column.as_list_opt::<i32>()) {
            (Some(counts), Some(lists)) => (Some((counts, lists.value_offsets())), lists.values()),
            _ => (None, column),
        };
        let loose = serving && !field.strict;
        let domain = field.domain.as_ref().filter(|domain| {
            !(loose && matches!(domain, Domain::Values(_) | Domain::Boolean { .. }))
        });
        let times_of = |field_type, domain| times.unwrap_or_else(|| Times::of(field_type, domain));
        let values = match (items.data_type(), domain) {
            (DataType::Float64, domain)
                if domain.is_some() || field.disallow_nan || field.disallow_inf =>
            {
                items
                    .as_primitive_opt()
                    .map(|items| Values::Float(items, field))
            }
            (_, None) => None,
            (DataType::Boolean, Some(Domain::Values(values))) => items
                .as_boolean_opt()
                .map(|items| Values::Boolean(items, values)),
            (DataType::Int64, Some(domain)) => items
                .as_primitive_opt()
                .map(|items| Values::Integer(items, domain)),
            (DataType::Utf8, Some(domain)) => items.as_string_opt().map(|items| {
                let many = match domain {
                    Domain::Values(values) if values.len() > 8 && items.len() > 64 => {
                        Some(values.iter().map(String::as_str).collect())
                    }
                    _ => None,
                };
                Values::Text(items, domain, many)
            }),
            (DataType::Date32, Some(domain)) => items
                .as_primitive_opt()
                .map(|items| Values::Date(items, times_of(FieldType::Date, domain))),
            (DataType::Timestamp(..), Some(domain)) => items
                .as_primitive_opt()
                .map(|items| Values::Timestamp(items, times_of(FieldType::Timestamp, domain))),
            _ => None,
        };
        ValueRules {
            values: values.unwrap_or(Values::Free),
            list,
        }
    }

    pub(super) fn each_break(&self, column: &ArrayRef, broken: &mut OnBreak<'_>) {
        match self.list {
            None if matches!(self.values, Values::Free) => {}
            None => {
                for row in 0..column.len() {
                    if let Some(kind) = self.value(row) {
                        broken(row, kind, Some(column));
                    }
                }
            }
            Some((counts, offsets)) => {
                let mut seen: Vec<AnomalyKind> = Vec::new();
                for (row, ends) in offsets.windows(2).enumerate() {
                    if column.is_null(row) {
                        continue;
                    }
                    seen.clear();
                    if let Some(kind) = number_of_items(counts, ends) {
                        broken(row, kind, Some(column));
                    }
                    for kind in items(ends).filter_map(|item| self.value(item)) {
                        if !seen.contains(&kind) {
                            seen.push(kind);
                            broken(row, kind, Some(column));
                        }
                    }
                }
            }
        }
    }

    /// The first row that breaks a rule.
    pub(super) fn first_break(&self, column: &ArrayRef) -> Option<(usize, AnomalyKind)> {
        match self.list {
            None if matches!(self.values, Values::Free) => None,
            None => (0..column.len()).find_map(|row| Some((row, self.value(row)?))),
            Some((counts, offsets)) => offsets
                .windows(2)
                .enumerate()
                .filter(|(row, _)| !column.is_null(*row))
                .find_map(|(row, ends)| {
                    let kind = number_of_items(counts, ends)
                        .or_else(|| items(ends).find_map(|item| self.value(item)))?;
                    Some((row, kind))
                }),
        }
    }

    /// The rule that a value breaks. NULL breaks none.
    fn value(&self, at: usize) -> Option<AnomalyKind> {
        match &self.values {
            Values::Free => None,
            Values::Boolean(items, allowed) => {
                if items.is_null(at) {
                    return None;
                }
                let text = if items.value(at) { "true" } else { "false" };
                let known = allowed.iter().any(|value| value == text);
                (!known).then_some(AnomalyKind::EnumTypeUnexpectedStringValues)
            }
            Values::Integer(items, domain) => {
                if items.is_null(at) {
                    return None;
                }
                integer(items.value(at), domain)
            }
            Values::Float(items, field) => {
                if items.is_null(at) {
                    return None;
                }
                float(items.value(at), field)
            }
            Values::Text(items, domain, many) => {
                if items.is_null(at) {
                    return None;
                }
                let text = items.value(at);
                match many {
                    Some(many) => (!many.contains(text))
                        .then_some(AnomalyKind::EnumTypeUnexpectedStringValues),
                    None => domain.text_problem(text),
                }
            }
            Values::Date(items, times) => (!items.is_null(at)
                && !times.contains(i64::from(items.value(at))))
            .then_some(AnomalyKind::OutOfRange),
            Values::Timestamp(items, times) => (!items.is_null(at)
                && !times.contains(items.value(at)))
            .then_some(AnomalyKind::OutOfRange),
        }
    }
}

fn items(ends: &[i32]) -> std::ops::Range<usize> {
    let place = |at: usize| {
        ends.get(at)
            .and_then(|end| usize::try_from(*end).ok())
            .unwrap_or_default()
    };
    place(0)..place(1)
}

fn number_of_items(counts: Counts, ends: &[i32]) -> Option<AnomalyKind> {
    counts.problem(items(ends).len() as u64)
}

fn integer(value: i64, domain: &Domain) -> Option<AnomalyKind> {
    match domain {
        Domain::Range { min, max } => {
            if min.is_some_and(|min| (value as f64) < min) {
                Some(AnomalyKind::IntTypeSmallInt)
            } else if max.is_some_and(|max| value as f64 > max) {
                Some(AnomalyKind::IntTypeBigInt)
            } else {
                None
            }
        }
        Domain::Boolean { .. } if value < 0 => Some(AnomalyKind::BoolTypeSmallInt),
        Domain::Boolean { .. } if value > 1 => Some(AnomalyKind::BoolTypeBigInt),
        Domain::Values(values) => {
            let known = values.iter().any(|allowed| allowed.parse() == Ok(value));
            (!known).then_some(AnomalyKind::EnumTypeUnexpectedStringValues)
        }
        _ => None,
    }
}

fn float(value: f64, field: &Field) -> Option<AnomalyKind> {
    if value.is_nan() {
        return field.disallow_nan.then_some(AnomalyKind::FloatTypeHasNan);
    }
    if field.disallow_inf && value.is_infinite() {
        return Some(AnomalyKind::FloatTypeHasInf);
    }
    match &field.domain {
        Some(Domain::Range { min, .. }) if min.is_some_and(|min| value < min) => {
            Some(AnomalyKind::FloatTypeSmallFloat)
        }
        Some(Domain::Range { max, .. }) if max.is_some_and(|max| value > max) => {
            Some(AnomalyKind::FloatTypeBigFloat)
        }
        Some(Domain::Boolean { .. }) if value != 0.0 && value != 1.0 => {
            Some(AnomalyKind::BoolTypeUnexpectedFloat)
        }
        _ => None,
    }
}

impl Counts {
    /// The rule that a number of items breaks.
    pub(super) fn problem(self, n: u64) -> Option<AnomalyKind> {
        let fixed = self.min.is_some() && self.min == self.max;
        if self.min.is_some_and(|min| n < min) {
            Some(if fixed {
                AnomalyKind::InvalidFeatureShape
            } else {
                AnomalyKind::FeatureTypeLowNumberValues
            })
        } else if self.max.is_some_and(|max| n > max) {
            Some(if fixed {
                AnomalyKind::InvalidFeatureShape
            } else {
                AnomalyKind::FeatureTypeHighNumberValues
            })
        } else {
            None
        }
    }
}

impl Domain {
    /// The words for true and false.
    pub(super) fn words(&self) -> (&str, &str) {
        match self {
            Domain::Boolean {
                true_value,
                false_value,
            } => (
                true_value.as_deref().unwrap_or("true"),
                false_value.as_deref().unwrap_or("false"),
            ),
            _ => ("true", "false"),
        }
    }

    /// The rule that a string breaks.
    pub(super) fn text_problem(&self, text: &str) -> Option<AnomalyKind> {
        let within = |value: f64, min: &Option<f64>, max: &Option<f64>| {
            Bounds {
                min: *min,
                max: *max,
            }
            .contains(value)
        };
        match self {
            Domain::Values(values) => (!values.iter().any(|value| value == text))
                .then_some(AnomalyKind::EnumTypeUnexpectedStringValues),
            Domain::Boolean { .. } => {
                let (yes, no) = self.words();
                (text != yes && text != no).then_some(AnomalyKind::BoolTypeUnexpectedString)
            }
            Domain::IntegerText { min, max } => match text.parse::<i64>() {
                Err(_) => Some(AnomalyKind::IntTypeNotIntString),
                Ok(value) if within(value as f64, min, max) => None,
                Ok(value) if min.is_some_and(|min| (value as f64) < min) => {
                    Some(AnomalyKind::IntTypeSmallInt)
                }
                Ok(_) => Some(AnomalyKind::IntTypeBigInt),
            },
            Domain::FloatText { min, max } => match text.parse::<f64>() {
                Err(_) => Some(AnomalyKind::FloatTypeStringNotFloat),
                Ok(value) if value.is_nan() || within(value, min, max) => None,
                Ok(value) if min.is_some_and(|min| value < min) => {
                    Some(AnomalyKind::FloatTypeSmallFloat)
                }
                Ok(_) => Some(AnomalyKind::FloatTypeBigFloat),
            },
            Domain::Range { .. } | Domain::Times { .. } => None,
        }
    }
}

/// A date like `2013-01-31`, or a timestamp like `2013-01-31T12:00:00` or `2013-01-31 12:00:00.5+01:00`, in microseconds
/// since 1970-01-01 in UTC. Years from 0 to 9999.
pub(crate) fn micros_of_text(text: &str) -> Option<i64> {
    let utc: Tz = "+00:00".parse().ok()?;
    Some(string_to_datetime(&utc, text).ok()?.timestamp_micros())
}

/// A range of times in the units of the physical type: days, or microseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) from: i64,
    pub(super) to: i64,
}

impl Times {
    /// The error is the end that cannot be read.
    pub(super) fn parse<'t>(
        field_type: FieldType,
        from: Option<&'t str>,
        to: Option<&'t str>,
    ) -> Result<Self, &'t str> {
        let read = |text: &'t str| {
            let time = match field_type {
                FieldType::Date => Date32Type::parse(text).map(i64::from),
                _ => micros_of_text(text),
            };
            time.ok_or(text)
        };
        Ok(Times {
            from: from.map(read).transpose()?.unwrap_or(i64::MIN),
            to: to.map(read).transpose()?.unwrap_or(i64::MAX),
        })
    }

    /// Everything, if the domain is another or cannot be read: [`Schema::check`] tells.
    pub(super) fn of(field_type: FieldType, domain: &Domain) -> Self {
        let all = Times {
            from: i64::MIN,
            to: i64::MAX,
        };
        match domain {
            Domain::Times { from, to } => {
                Times::parse(field_type, from.as_deref(), to.as_deref()).unwrap_or(all)
            }
            _ => all,
        }
    }

    pub(super) fn is_empty(self) -> bool {
        self.from > self.to
    }

    pub(super) fn contains(self, time: i64) -> bool {
        (self.from..=self.to).contains(&time)
    }
}
