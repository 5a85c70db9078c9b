//! What each fitted operation does to a column.

use std::collections::HashMap;

use arrow::array::{Array, AsArray, Float64Array, StringArray};
use arrow::datatypes::{Date32Type, Float64Type, TimestampMicrosecondType};
use twox_hash::XxHash64;

use super::date::DatePart;
use super::value::{NO_CATEGORY, Value};
use crate::error::{Error, Result};
use crate::schema::FieldType;

fn map(numbers: &Float64Array, each: impl Fn(f64) -> f64) -> Value {
    Value::Numbers(numbers.unary::<_, Float64Type>(each))
}

pub(super) fn impute_number(value: &Value, fill: f64) -> Result<Value> {
    let numbers = value.numbers()?;
    let filled = numbers
        .iter()
        .map(|value| value.filter(|value| value.is_finite()).unwrap_or(fill));
    Ok(Value::Numbers(Float64Array::from_iter_values(filled)))
}

pub(super) fn impute_text(value: &Value, fill: &str) -> Result<Value> {
    let mut filled = Vec::new();
    value.for_each_text(|text| filled.push(text.unwrap_or(fill).to_owned()))?;
    Ok(Value::Text(StringArray::from(filled)))
}

pub(super) fn missing_indicator(value: &Value) -> Result<Value> {
    let flag = |missing: bool| f64::from(u8::from(missing));
    let flags: Float64Array = match value {
        Value::Raw(array, field_type) if !field_type.is_numeric() => {
            let nulls = array.logical_nulls();
            let flag_at = |row| Some(flag(nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))));
            (0..array.len()).map(flag_at).collect()
        }
        Value::Text(text) => text.iter().map(|text| Some(flag(text.is_none()))).collect(),
        other => other
            .numbers()?
            .iter()
            .map(|value| Some(flag(!value.is_some_and(f64::is_finite))))
            .collect(),
    };
    Ok(Value::Numbers(flags))
}

pub(super) fn linear(value: &Value, offset: f64, scale: f64) -> Result<Value> {
    Ok(map(value.numbers()?.as_ref(), |x| (x - offset) * scale))
}

pub(super) fn clip(value: &Value, low: f64, high: f64) -> Result<Value> {
    Ok(map(value.numbers()?.as_ref(), |x| {
        if x.is_nan() { x } else { x.clamp(low, high) }
    }))
}

pub(super) fn log1p(value: &Value) -> Result<Value> {
    Ok(map(value.numbers()?.as_ref(), f64::ln_1p))
}

/// Index `i` with `boundaries[i - 1] <= x < boundaries[i]`; NaN is past them all.
pub(super) fn bucketize(value: &Value, boundaries: &[f64]) -> Result<Value> {
    Ok(map(value.numbers()?.as_ref(), |x| {
        if x.is_nan() {
            boundaries.len() as f64
        } else {
            boundaries.partition_point(|boundary| *boundary <= x) as f64
        }
    }))
}

pub(super) fn cyclic(value: &Value, period: f64) -> Result<Value> {
    let numbers = value.numbers()?;
    let angle = |x: f64| x * (std::f64::consts::TAU / period);
    Ok(Value::Circle {
        sin: numbers.unary(|x| angle(x).sin()),
        cos: numbers.unary(|x| angle(x).cos()),
    })
}

/// Feature `i` for `index[text] == i`, the feature after them for any other text.
pub(super) fn one_hot(value: &Value, index: &HashMap<String, u32>) -> Result<Value> {
    let other = index.len() as u32;
    let mut ids = Vec::new();
    value.for_each_text(|text| {
        ids.push(text.map_or(NO_CATEGORY, |text| {
            index.get(text).copied().unwrap_or(other)
        }));
    })?;
    Ok(Value::Categories {
        ids,
        width: index.len() + 1,
    })
}

pub(super) fn hash(value: &Value, n_buckets: usize) -> Result<Value> {
    let mut ids = Vec::new();
    value.for_each_text(|text| {
        ids.push(text.map_or(NO_CATEGORY, |text| {
            (XxHash64::oneshot(0, text.as_bytes()) % n_buckets as u64) as u32
        }));
    })?;
    Ok(Value::Categories {
        ids,
        width: n_buckets,
    })
}

pub(super) fn date_part(value: &Value, part: DatePart) -> Result<Value> {
    Ok(Value::Numbers(match value {
        Value::Raw(array, FieldType::Date) => array
            .as_primitive::<Date32Type>()
            .unary::<_, Float64Type>(|days| part.of_days(days)),
        Value::Raw(array, FieldType::Timestamp) => array
            .as_primitive::<TimestampMicrosecondType>()
            .unary::<_, Float64Type>(|micros| part.of_micros(micros)),
        other => {
            return Err(Error::config(format!(
                "this step takes a date or a timestamp, the column is {}",
                other.kind()
            )));
        }
    }))
}
