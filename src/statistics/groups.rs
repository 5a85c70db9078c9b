//! Dividing the rows of a batch by the values of columns.

use std::collections::HashMap;
use std::hash::Hash;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::{DataType, Float64Type};

use super::column::key_text;
use super::read::keys;
use crate::error::Result;
use crate::field_type::FieldType;

/// The values of a column in a batch by number, and the number of each row's value.
struct Codes {
    names: Vec<String>,
    rows: Vec<Option<u32>>,
}

impl Codes {
    fn new<K: Eq + Hash + Copy>(
        values: impl Iterator<Item = Option<K>>,
        name: impl Fn(K) -> String,
    ) -> Self {
        let mut numbers: HashMap<K, u32> = HashMap::new();
        let mut names = Vec::new();
        let mut number = |value: K| {
            *numbers.entry(value).or_insert_with(|| {
                names.push(name(value));
                (names.len() - 1) as u32
            })
        };
        let rows = values.map(|value| value.map(&mut number)).collect();
        Codes { names, rows }
    }

    fn of_column(name: &str, column: &ArrayRef) -> Result<Self> {
        let field_type = FieldType::of(column.data_type());
        if field_type == FieldType::Text {
            let texts = cast(column, &DataType::Utf8)?;
            return Ok(Codes::new(texts.as_string::<i32>().iter(), str::to_owned));
        }
        let keys = keys(name, field_type, column)?;
        Ok(Codes::new(keys.into_iter(), |key| {
            key_text(field_type, key)
        }))
    }
}

/// The rows of each value of a label, or of each of its buckets.
pub(super) fn by_label(
    batch: &RecordBatch,
    label: usize,
    boundaries: &[f64],
) -> Result<Vec<(String, RecordBatch)>> {
    let name = batch.schema_ref().field(label).name();
    let column = batch.column(label);
    if boundaries.is_empty() {
        return divide(batch, &Codes::of_column(name, column)?);
    }
    let numbers = FieldType::Float.normalize(name, column)?;
    let bucket = |value: f64| boundaries.partition_point(|boundary| *boundary <= value);
    let numbers = numbers.as_primitive::<Float64Type>().iter();
    let buckets = numbers.map(|value| value.filter(|value| !value.is_nan()).map(bucket));
    divide(
        batch,
        &Codes::new(buckets, |bucket| {
            bucket_text(boundaries, bucket, |end| end.to_string())
        }),
    )
}

/// `[low, high)` of a bucket between boundaries.
pub(super) fn bucket_text(
    boundaries: &[f64],
    bucket: usize,
    text: impl Fn(f64) -> String,
) -> String {
    let low = bucket
        .checked_sub(1)
        .and_then(|before| boundaries.get(before));
    let text = |end: Option<&f64>| end.map(|end| text(*end));
    match (text(low), text(boundaries.get(bucket))) {
        (Some(low), Some(high)) => format!("[{low}, {high})"),
        (Some(low), None) => format!("[{low}, inf)"),
        (None, Some(high)) => format!("(-inf, {high})"),
        (None, None) => "(-inf, inf)".to_owned(),
    }
}

/// The rows of each combination of values of some columns, named `column=value, column=value`.
pub(super) fn by_columns(
    batch: &RecordBatch,
    columns: &[usize],
) -> Result<Vec<(String, RecordBatch)>> {
    let mut all: Option<Codes> = None;
    for at in columns {
        let name = batch.schema_ref().field(*at).name();
        let mut codes = Codes::of_column(name, batch.column(*at))?;
        for value in &mut codes.names {
            *value = format!("{name}={value}");
        }
        all = Some(match all {
            None => codes,
            Some(before) => {
                let both = before.rows.iter().zip(&codes.rows).map(|(a, b)| a.zip(*b));
                let part = |codes: &Codes, at: u32| {
                    codes.names.get(at as usize).cloned().unwrap_or_default()
                };
                Codes::new(both, |(a, b)| {
                    format!("{}, {}", part(&before, a), part(&codes, b))
                })
            }
        });
    }
    all.map_or_else(|| Ok(Vec::new()), |codes| divide(batch, &codes))
}

/// The parts in the order of their first rows.
fn divide(batch: &RecordBatch, codes: &Codes) -> Result<Vec<(String, RecordBatch)>> {
    let mut members: Vec<Vec<u32>> = vec![Vec::new(); codes.names.len()];
    for (row, code) in codes.rows.iter().enumerate() {
        if let Some(members) = code.and_then(|code| members.get_mut(code as usize)) {
            members.push(row as u32);
        }
    }
    let part = |(name, members): (&String, Vec<u32>)| {
        let rows = if members.len() == batch.num_rows() {
            batch.clone()
        } else {
            take_record_batch(batch, &UInt32Array::from(members))?
        };
        Ok((name.clone(), rows))
    };
    codes.names.iter().zip(members).map(part).collect()
}
