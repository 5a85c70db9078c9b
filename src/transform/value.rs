//! What flows between the steps of a transform.

use std::borrow::Cow;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, StringArray};
use arrow::datatypes::{Float64Type, Int64Type};
use ndarray::ArrayViewMut2;

use crate::error::{Error, Result};
use crate::schema::FieldType;

/// A column between two steps.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// A raw column in the physical type of its [`FieldType`].
    Raw(ArrayRef, FieldType),
    /// Numbers made by a step.
    Numbers(Float64Array),
    /// Text made by a step.
    Text(StringArray),
    /// Categories: `width` features, of which number `id` is 1; [`NO_CATEGORY`] sets none.
    Categories { ids: Vec<u32>, width: usize },
    /// A sine and a cosine.
    Circle {
        sin: Float64Array,
        cos: Float64Array,
    },
}

/// The id of a value that is in no category.
pub(super) const NO_CATEGORY: u32 = u32::MAX;

impl Value {
    /// How many features it makes.
    pub(super) fn width(&self) -> usize {
        match self {
            Value::Raw(..) | Value::Numbers(_) | Value::Text(_) => 1,
            Value::Categories { width, .. } => *width,
            Value::Circle { .. } => 2,
        }
    }

    /// The values as numbers.
    pub(super) fn numbers(&self) -> Result<Cow<'_, Float64Array>> {
        match self {
            Value::Numbers(numbers) => Ok(Cow::Borrowed(numbers)),
            Value::Raw(array, FieldType::Float) => {
                Ok(Cow::Borrowed(array.as_primitive::<Float64Type>()))
            }
            Value::Raw(array, FieldType::Integer) => Ok(Cow::Owned(
                array
                    .as_primitive::<Int64Type>()
                    .unary::<_, Float64Type>(|value| value as f64),
            )),
            Value::Raw(array, FieldType::Boolean) => Ok(Cow::Owned(
                array
                    .as_boolean()
                    .iter()
                    .map(|value| value.map(|value| f64::from(u8::from(value))))
                    .collect(),
            )),
            other => Err(Error::config(format!(
                "this step takes numbers, the column is {}",
                other.kind()
            ))),
        }
    }

    /// Calls `each` with every value as text, in the order of the rows; NULL (and NaN) is `None`.
    ///
    /// Whole numbers and booleans read as their digits and as `true` and `false`.
    pub(super) fn for_each_text(&self, mut each: impl FnMut(Option<&str>)) -> Result<()> {
        match self {
            Value::Text(text) => text.iter().for_each(each),
            Value::Raw(array, FieldType::Text) => array.as_string::<i32>().iter().for_each(each),
            Value::Raw(array, FieldType::Boolean) => array
                .as_boolean()
                .iter()
                .for_each(|value| each(value.map(|value| if value { "true" } else { "false" }))),
            Value::Raw(array, FieldType::Integer) => {
                use std::fmt::Write;
                let mut digits = String::with_capacity(20);
                for value in array.as_primitive::<Int64Type>() {
                    each(value.map(|value| {
                        digits.clear();
                        let _ = write!(digits, "{value}");
                        digits.as_str()
                    }));
                }
            }
            Value::Numbers(numbers)
                if numbers.iter().flatten().all(|value| value.fract() == 0.0) =>
            {
                for value in numbers {
                    let digits = value.map(|value| format!("{value:.0}"));
                    each(digits.as_deref());
                }
            }
            other => {
                return Err(Error::config(format!(
                    "this step takes text, whole numbers or booleans, the column is {}; \
                     bucketize a column of floats first",
                    other.kind()
                )));
            }
        }
        Ok(())
    }

    pub(super) fn kind(&self) -> String {
        match self {
            Value::Raw(array, field_type)
                if !array.is_empty() && array.null_count() == array.len() =>
            {
                format!("of type {field_type} and NULL in every row")
            }
            Value::Raw(_, field_type) => format!("of type {field_type}"),
            Value::Numbers(_) => "of numbers that are not whole".to_owned(),
            Value::Text(_) => "of type text".to_owned(),
            Value::Categories { .. } => "one-hot already".to_owned(),
            Value::Circle { .. } => "on a circle already".to_owned(),
        }
    }

    /// Writes the features into columns `at ..` of `out`, which is `(n_rows, n_features)` and zeroed.
    ///
    /// The error names the row and what is wrong with its value; the caller adds the feature.
    pub(super) fn write(&self, out: &mut ArrayViewMut2<'_, f32>, at: usize) -> Result<()> {
        match self {
            Value::Categories { ids, .. } => {
                for (row, id) in ids.iter().enumerate() {
                    if *id != NO_CATEGORY {
                        out[[row, at + *id as usize]] = 1.0;
                    }
                }
                Ok(())
            }
            Value::Circle { sin, cos } => {
                write_numbers(sin, out, at)?;
                write_numbers(cos, out, at + 1)
            }
            other => write_numbers(other.numbers()?.as_ref(), out, at),
        }
    }
}

fn write_numbers(
    numbers: &Float64Array,
    out: &mut ArrayViewMut2<'_, f32>,
    at: usize,
) -> Result<()> {
    let mut column = out.column_mut(at);
    for (row, (cell, value)) in column.iter_mut().zip(numbers.values()).enumerate() {
        let narrow = *value as f32;
        if numbers.is_null(row) {
            return Err(Error::data(format!(
                "is NULL in row {row} and no step imputes it; add `.impute(..)`"
            )));
        }
        if !narrow.is_finite() {
            return Err(Error::data(format!(
                "is {value} in row {row}, must be a finite single-precision number; add `.impute(..)` or `.clip(..)`"
            )));
        }
        *cell = narrow;
    }
    Ok(())
}
