//! The types of columns, as people and models see them.
//!
//! Every Arrow type that a file may bring is brought to one physical type per [`FieldType`] when data is read, and
//! when a request is served. Everything after that deals with six cases instead of forty.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, SchemaRef, TimeUnit};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The type of a column.
///
/// | type | physical Arrow type | made from |
/// | --- | --- | --- |
/// | `boolean` | `Boolean` | booleans |
/// | `integer` | `Int64` | all integers (an unsigned value past 2^63 - 1 is an error) |
/// | `float` | `Float64` | all floats, decimals |
/// | `text` | `Utf8` | all strings, dictionaries of them, columns that are all NULL |
/// | `date` | `Date32` | dates |
/// | `timestamp` | `Timestamp(µs, "UTC")` | timestamps; one without a time zone is taken as UTC |
/// | `other` | as it came | lists, structs, bytes, times of day, ...: kept, never a feature |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FieldType {
    /// True or false.
    Boolean,
    /// A whole number of 64 bits.
    Integer,
    /// A number of double precision.
    Float,
    /// UTF-8 text.
    Text,
    /// A calendar day.
    Date,
    /// A point in time, in microseconds.
    Timestamp,
    /// Anything else.
    Other,
}

impl FieldType {
    /// The type of columns of an Arrow type.
    #[must_use]
    pub fn of(data_type: &DataType) -> Self {
        match data_type {
            DataType::Boolean => FieldType::Boolean,
            data_type if data_type.is_integer() => FieldType::Integer,
            data_type if data_type.is_floating() => FieldType::Float,
            DataType::Decimal32(..)
            | DataType::Decimal64(..)
            | DataType::Decimal128(..)
            | DataType::Decimal256(..) => FieldType::Float,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => {
                FieldType::Text
            }
            DataType::Dictionary(_, values) => FieldType::of(values),
            DataType::Date32 | DataType::Date64 => FieldType::Date,
            DataType::Timestamp(..) => FieldType::Timestamp,
            _ => FieldType::Other,
        }
    }

    /// The type of a list's items; `None` of anything but a list (of any list layout of Arrow) of them.
    #[must_use]
    pub fn of_items(data_type: &DataType) -> Option<Self> {
        match data_type {
            DataType::List(item)
            | DataType::LargeList(item)
            | DataType::FixedSizeList(item, _)
            | DataType::ListView(item)
            | DataType::LargeListView(item) => Some(FieldType::of(item.data_type())),
            _ => None,
        }
    }

    /// The physical Arrow type, where there is one.
    #[must_use]
    pub fn data_type(self) -> Option<DataType> {
        Some(match self {
            FieldType::Boolean => DataType::Boolean,
            FieldType::Integer => DataType::Int64,
            FieldType::Float => DataType::Float64,
            FieldType::Text => DataType::Utf8,
            FieldType::Date => DataType::Date32,
            FieldType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            FieldType::Other => return None,
        })
    }

    /// Returns true if a type is the physical one, or there is none: [`FieldType::data_type`] without making one.
    pub(crate) fn is_physical(self, data_type: &DataType) -> bool {
        match (self, data_type) {
            (FieldType::Boolean, DataType::Boolean)
            | (FieldType::Integer, DataType::Int64)
            | (FieldType::Float, DataType::Float64)
            | (FieldType::Text, DataType::Utf8)
            | (FieldType::Date, DataType::Date32)
            | (FieldType::Other, _) => true,
            (FieldType::Timestamp, DataType::Timestamp(TimeUnit::Microsecond, Some(zone))) => {
                zone.as_ref() == "UTC"
            }
            _ => false,
        }
    }

    /// Returns true if its values are numbers, or read as numbers (`boolean` is 0 or 1).
    #[must_use]
    pub fn is_numeric(self) -> bool {
        matches!(
            self,
            FieldType::Boolean | FieldType::Integer | FieldType::Float
        )
    }

    /// A column brought to the physical type; free where it has it already.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](crate::ErrorKind::Data) naming the column where a value does not fit.
    pub fn normalize(self, name: &str, column: &ArrayRef) -> Result<ArrayRef> {
        let Some(data_type) = self.data_type() else {
            return Ok(Arc::clone(column));
        };
        to_physical(name, column, &data_type, &self)
    }
}

/// A column cast to a physical type, which errors call `shown`; free where it has it already.
pub(crate) fn to_physical(
    name: &str,
    column: &ArrayRef,
    data_type: &DataType,
    shown: &dyn fmt::Display,
) -> Result<ArrayRef> {
    if column.data_type() == data_type {
        return Ok(Arc::clone(column));
    }
    if column.null_count() == column.len() {
        return Ok(new_null_array(data_type, column.len()));
    }
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    cast_with_options(column, data_type, &options).map_err(|error| {
        Error::data(format!(
            "column `{name}` of type {} cannot be read as {shown}",
            column.data_type()
        ))
        .with_source(error)
    })
}

/// The types by the names that they are shown as.
const NAMES: [(&str, FieldType); 7] = [
    ("boolean", FieldType::Boolean),
    ("integer", FieldType::Integer),
    ("float", FieldType::Float),
    ("text", FieldType::Text),
    ("date", FieldType::Date),
    ("timestamp", FieldType::Timestamp),
    ("other", FieldType::Other),
];

impl std::str::FromStr for FieldType {
    type Err = Error;

    /// The type of a name as [`Display`](fmt::Display) shows it.
    fn from_str(name: &str) -> Result<Self> {
        let named = NAMES.iter().find(|(known, _)| *known == name);
        named.map(|(_, field_type)| *field_type).ok_or_else(|| {
            Error::config(format!(
                "`{name}` is no type of columns, must be boolean, integer, float, text, date or timestamp"
            ))
        })
    }
}

impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = NAMES.iter().find(|(_, field_type)| field_type == self);
        f.write_str(shown.map_or("other", |(name, _)| name))
    }
}

/// An Arrow schema with the physical types of [`FieldType`], every column nullable.
#[must_use]
pub fn normalized_schema(schema: &ArrowSchema) -> SchemaRef {
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .map(|field| {
            let data_type = FieldType::of(field.data_type())
                .data_type()
                .unwrap_or_else(|| field.data_type().clone());
            Field::new(field.name(), data_type, true)
        })
        .collect();
    Arc::new(ArrowSchema::new(fields))
}

/// A batch with the physical types of [`FieldType`]; columns that have them are not copied.
///
/// # Errors
/// As [`FieldType::normalize`].
pub fn normalize_batch(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = schema
        .fields()
        .iter()
        .zip(batch.columns())
        .map(|(field, column)| FieldType::of(field.data_type()).normalize(field.name(), column))
        .collect::<Result<Vec<_>>>()?;
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int32Array, UInt64Array};

    #[test]
    fn the_physical_type_is_known_without_making_one() {
        let all = [
            FieldType::Boolean,
            FieldType::Integer,
            FieldType::Float,
            FieldType::Text,
            FieldType::Date,
            FieldType::Timestamp,
        ];
        for field_type in all {
            for other in all {
                let data_type = other.data_type().unwrap();
                assert_eq!(field_type.is_physical(&data_type), field_type == other);
            }
        }
    }

    #[test]
    fn names_are_read_as_they_are_shown() {
        for (name, field_type) in NAMES {
            assert_eq!(name.parse::<FieldType>().unwrap(), field_type);
            assert_eq!(field_type.to_string(), name);
        }
        assert_eq!(
            "int".parse::<FieldType>().unwrap_err().to_string(),
            "`int` is no type of columns, must be boolean, integer, float, text, date or timestamp"
        );
    }

    #[test]
    fn small_integers_widen() {
        let column: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None]));
        let wide = FieldType::Integer.normalize("x", &column).unwrap();
        assert_eq!(wide.data_type(), &DataType::Int64);
        assert_eq!(wide.null_count(), 1);
    }

    #[test]
    fn an_unsigned_value_past_the_range_is_an_error_that_names_the_column() {
        let column: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX]));
        let error = FieldType::Integer.normalize("x", &column).unwrap_err();
        assert!(error.to_string().contains("`x`"), "{error}");
    }
}
