//! Bringing rows from outside into the schema's shape.

use std::sync::Arc;

use arrow::array::new_null_array;
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};

use super::checker::Checker;
use super::field_type::to_physical;
use super::rows::{find, value_text};
use super::{Field, FieldType, Schema};
use crate::error::{Error, Result};

impl Schema {
    /// Brings rows from outside into the schema's shape: its columns in its order, in their physical types. A
    /// column that is not there is all NULL, if the field allows that; columns that the schema does not know are
    /// left out. Whole numbers are taken for floats; floats for whole numbers where every one is whole, NaN
    /// meaning NULL; times may be texts.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](crate::ErrorKind::Data) if a type does not fit, if a required field is missing or NULL, if
    /// a list has another number of items than is allowed, or if a number or a time is out of its range; naming the
    /// field, the row and the value. A value outside of a list of values is an error only if the field is
    /// [strict](Field::strict): transforms have a place for values that they have never seen. Values of fields
    /// whose [lifecycle](super::Lifecycle) says so are not checked.
    pub fn conform(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let mut columns = Vec::with_capacity(self.fields.len());
        for (place, field) in self.fields.iter().enumerate() {
            let Some(data_type) = field.data_type() else {
                continue;
            };
            let column = match find(batch, &field.name, place) {
                Some(column) => field.conform(&column)?,
                None if field.is_required() => {
                    let schema = batch.schema();
                    let names: Vec<&str> = schema
                        .fields()
                        .iter()
                        .map(|field| field.name().as_str())
                        .collect();
                    return Err(Error::data(format!(
                        "field `{}` is missing and required; the rows have {names:?}",
                        field.name
                    )));
                }
                None => new_null_array(&data_type, batch.num_rows()),
            };
            columns.push(column);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(
            self.arrow(),
            columns,
            &options,
        )?)
    }
}

impl Field {
    /// A column of the field's own type, or one that widens to it, in the physical type.
    pub(super) fn normalize(&self, column: &ArrayRef) -> Result<ArrayRef> {
        match (self.list, self.data_type()) {
            (Some(_), Some(data_type)) => {
                to_physical(&self.name, column, &data_type, &self.type_text())
            }
            _ => self.field_type.normalize(&self.name, column),
        }
    }

    fn conform(&self, column: &ArrayRef) -> Result<ArrayRef> {
        let items = FieldType::of_items(column.data_type());
        let found = items.unwrap_or_else(|| FieldType::of(column.data_type()));
        let same_nesting = items.is_some() == self.list.is_some();
        let all_null = column.logical_null_count() == column.len();
        let column = if all_null
            || same_nesting
                && (found == self.field_type
                    || (self.field_type == FieldType::Float && found == FieldType::Integer))
        {
            self.normalize(column)?
        } else if self.list.is_none()
            && items.is_none()
            && self.field_type == FieldType::Integer
            && found == FieldType::Float
        {
            self.whole_numbers(&FieldType::Float.normalize(&self.name, column)?)?
        } else if self.list.is_none()
            && items.is_none()
            && matches!(self.field_type, FieldType::Date | FieldType::Timestamp)
            && found == FieldType::Text
        {
            self.times(column)?
        } else {
            return Err(Error::data(format!(
                "field `{}` is of type {}, must be {}",
                self.name,
                super::field::type_text(found, items.is_some()),
                self.type_text()
            )));
        };
        if self.is_required() && column.null_count() > 0 {
            let row = (0..column.len())
                .find(|row| column.is_null(*row))
                .unwrap_or_default();
            return Err(Error::data(format!(
                "field `{}` is NULL in row {row}, and required",
                self.name
            )));
        }
        if self.lifecycle.is_validated()
            && let Some((row, kind)) = Checker::new(self, &column, true).first_break(&column)
        {
            return Err(Error::data(format!(
                "field `{}` is {} in row {row}, {}",
                self.name,
                value_text(Some(&column), row),
                self.rule(kind)
            )));
        }
        Ok(column)
    }

    fn whole_numbers(&self, column: &ArrayRef) -> Result<ArrayRef> {
        // Above 2^53 a double no longer holds every whole number.
        const LARGEST: f64 = 9_007_199_254_740_992.0;
        let floats = column.as_primitive::<Float64Type>();
        let whole = floats
            .iter()
            .enumerate()
            .map(|(row, value)| match value {
                Some(value) if value.is_nan() => Ok(None),
                Some(value) if value.fract() == 0.0 && value.abs() <= LARGEST => {
                    Ok(Some(value as i64))
                }
                Some(value) => Err(Error::data(format!(
                    "field `{}` is {value} in row {row}, must be a whole number",
                    self.name
                ))),
                None => Ok(None),
            })
            .collect::<Result<Int64Array>>()?;
        Ok(Arc::new(whole))
    }

    fn times(&self, column: &ArrayRef) -> Result<ArrayRef> {
        let data_type = self
            .field_type
            .data_type()
            .ok_or_else(|| Error::internal("a time without a type"))?;
        // What cannot be read comes back as NULL, so the value and its row can be named.
        let times = cast(column, &data_type)?;
        let texts = cast(column, &DataType::Utf8)?;
        let texts = texts.as_string::<i32>();
        match (0..times.len()).find(|row| times.is_null(*row) && !texts.is_null(*row)) {
            None => Ok(times),
            Some(row) => Err(Error::data(format!(
                "field `{}` is `{}` in row {row}, must be a {} written as ISO 8601, such as {}",
                self.name,
                texts.value(row),
                self.field_type,
                example_of(self.field_type)
            ))),
        }
    }
}

/// A time as it is written.
pub(super) fn example_of(field_type: FieldType) -> &'static str {
    match field_type {
        FieldType::Date => "2013-01-31",
        _ => "2013-01-31T05:00:00Z",
    }
}
