//! Conversion of rows from outside to the columns of a schema.

use std::borrow::Borrow;
use std::sync::Arc;

use arrow::array::new_null_array;
use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, Int64Array, RecordBatch, RecordBatchOptions,
    StringArray, TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use fourfold_kernels::text::time;

use super::row_report::{find, value_text};
use super::value_rules::{Times, ValueRules};
use super::{Field, FieldType, Schema};
use crate::error::{Error, Result};
use crate::field_type::to_physical;

impl Schema {
    /// Brings rows from outside into the schema's shape: its columns in its order, in their physical types. A
    /// column that is not there is all NULL, if the field allows that; columns that the schema does not know are
    /// left out. Whole numbers are taken for floats; floats for whole numbers where every one is whole, NaN
    /// meaning NULL, and none is past 2^53 on either side: a float does not hold every whole number from there on, so
    /// that 2^53 + 1 arrives as 2^53 and is taken for it. Times may be strings.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](crate::ErrorKind::Data) if a type does not fit, if a required field is missing or NULL, if
    /// a list has another number of items than is allowed, or if a number or a time is out of its range; naming the
    /// field, the row and the value. A value outside of a list of values is an error only if the field is
    /// [strict](Field::strict): transforms have a place for values that they have never seen. Values of fields
    /// whose [lifecycle](super::Lifecycle) says so are not checked.
    pub fn conform(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let mut columns = Vec::with_capacity(self.fields.len());
        let mut next = 0;
        for field in self.fields.iter().filter_map(Conformer::new) {
            columns.push(field.column_of(batch, &mut next)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(
            self.arrow(),
            columns,
            &options,
        )?)
    }
}

/// A field with what conforming to it needs, worked out once: requests are many and small.
#[derive(Clone, Debug)]
pub(crate) struct Conformer<F> {
    field: F,
    data_type: DataType,
    times: Option<Times>,
}

impl<F: Borrow<Field>> Conformer<F> {
    /// The conformer of a field that has a type.
    pub(crate) fn new(field: F) -> Option<Self> {
        let rules = field.borrow();
        let data_type = rules.data_type()?;
        let domain = rules.domain.as_ref();
        let times = domain.map(|domain| Times::of(rules.field_type, domain));
        Some(Conformer {
            field,
            data_type,
            times,
        })
    }

    /// The field.
    pub(crate) fn field(&self) -> &Field {
        self.field.borrow()
    }

    /// The field's column of a batch, in its physical type. Columns mostly come in the order of the fields: it is
    /// looked for at `next` first, which then is the place after it.
    pub(crate) fn column_of(&self, batch: &RecordBatch, next: &mut usize) -> Result<ArrayRef> {
        let field = self.field();
        match find(batch, &field.name, next) {
            Some(column) => self.conform(column),
            None if field.is_required() => {
                let names = batch.schema_ref().fields().iter();
                let names: Vec<&str> = names.map(|field| field.name().as_str()).collect();
                Err(Error::data(format!(
                    "field `{}` is required but missing; the rows have {names:?}",
                    field.name
                )))
            }
            None => Ok(new_null_array(&self.data_type, batch.num_rows())),
        }
    }

    /// A column in the field's physical type, checked.
    pub(crate) fn conform(&self, column: ArrayRef) -> Result<ArrayRef> {
        let field = self.field();
        let column = match field.has_physical_type(&column) {
            true => column,
            false => field.bring_to_type(&column, &self.data_type)?,
        };
        if field.is_required() && column.null_count() > 0 {
            let row = (0..column.len())
                .find(|row| column.is_null(*row))
                .unwrap_or_default();
            return Err(Error::data(format!(
                "field `{}` is NULL in row {row}, but required",
                field.name
            )));
        }
        if field.has_rules()
            && field.lifecycle.is_validated()
            && let Some((row, kind)) =
                ValueRules::new(field, &column, self.times, true).first_break(&column)
        {
            return Err(Error::data(format!(
                "field `{}` is {} in row {row}, {}",
                field.name,
                value_text(Some(&column), row),
                field.rule(kind)
            )));
        }
        Ok(column)
    }
}

impl Field {
    /// Returns true if values can break a rule.
    fn has_rules(&self) -> bool {
        self.domain.is_some() || self.disallow_nan || self.disallow_inf || self.list.is_some()
    }

    /// Returns true if a column of single values has its physical type.
    fn has_physical_type(&self, column: &ArrayRef) -> bool {
        self.list.is_none() && self.field_type.is_physical(column.data_type())
    }

    /// A column of the field's own type, or one that widens to it, in the physical type.
    pub(super) fn normalize(&self, column: &ArrayRef) -> Result<ArrayRef> {
        match (self.list, self.data_type()) {
            (Some(_), Some(data_type)) => {
                to_physical(&self.name, column, &data_type, &self.type_text())
            }
            _ => self.field_type.normalize(&self.name, column),
        }
    }

    fn bring_to_type(&self, column: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
        let items = FieldType::of_items(column.data_type());
        let found = items.unwrap_or_else(|| FieldType::of(column.data_type()));
        let same_nesting = items.is_some() == self.list.is_some();
        let all_null = column.logical_null_count() == column.len();
        if all_null
            || same_nesting
                && (found == self.field_type
                    || (self.field_type == FieldType::Float && found == FieldType::Integer))
        {
            self.normalize(column)
        } else if self.list.is_none()
            && items.is_none()
            && self.field_type == FieldType::Integer
            && found == FieldType::Float
        {
            self.whole_numbers(&FieldType::Float.normalize(&self.name, column)?)
        } else if self.list.is_none()
            && items.is_none()
            && matches!(self.field_type, FieldType::Date | FieldType::Timestamp)
            && found == FieldType::Text
        {
            self.times(column, data_type)
        } else {
            Err(self.of_wrong_type(found, items.is_some()))
        }
    }

    /// The error of values of another type, or of lists where there should be none, or the reverse.
    pub(crate) fn of_wrong_type(&self, found: FieldType, lists: bool) -> Error {
        Error::data(format!(
            "field `{}` is of type {}, must be {}",
            self.name,
            super::field::type_text(found, lists),
            self.type_text()
        ))
    }

    fn whole_numbers(&self, column: &ArrayRef) -> Result<ArrayRef> {
        let floats = column.as_primitive::<Float64Type>();
        let whole = floats
            .iter()
            .enumerate()
            .map(|(row, value)| match value {
                Some(value) => self.whole_number(value, row),
                None => Ok(None),
            })
            .collect::<Result<Int64Array>>()?;
        Ok(Arc::new(whole))
    }

    /// A float as a whole number, NaN as NULL.
    pub(crate) fn whole_number(&self, value: f64, row: usize) -> Result<Option<i64>> {
        // Above 2^53 a double no longer holds every whole number.
        const LARGEST: f64 = 9_007_199_254_740_992.0;
        match value {
            value if value.is_nan() => Ok(None),
            value if value.fract() == 0.0 && value.abs() <= LARGEST => Ok(Some(value as i64)),
            value => {
                let past = if value.fract() == 0.0 {
                    " of at most 2^53: past it a float does not hold every one"
                } else {
                    ""
                };
                Err(Error::data(format!(
                    "field `{}` is {value} in row {row}, must be a whole number{past}",
                    self.name
                )))
            }
        }
    }

    /// Times in the spellings that files are read in too: without seconds, with names of months, ..
    fn times_as_written(&self, texts: &StringArray) -> ArrayRef {
        let texts = texts
            .iter()
            .map(|text| text.map(|text| text.trim().as_bytes()));
        if self.field_type == FieldType::Date {
            let days = texts.map(|text| text.and_then(|text| time::date(text, time::YMD)));
            return Arc::new(days.collect::<Date32Array>());
        }
        let micros = texts.map(|text| text.and_then(|text| time::timestamp(text, time::YMD)));
        Arc::new(
            micros
                .collect::<TimestampMicrosecondArray>()
                .with_timezone("UTC"),
        )
    }

    fn times(&self, column: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
        // Values that cannot be read come back as NULL, so the value and its row can be named.
        let times = cast(column, data_type)?;
        let texts = cast(column, &DataType::Utf8)?;
        let texts = texts.as_string::<i32>();
        let is_unread = |times: &ArrayRef| {
            (0..times.len()).find(|row| times.is_null(*row) && !texts.is_null(*row))
        };
        let times = match is_unread(&times) {
            None => return Ok(times),
            Some(_) => self.times_as_written(texts),
        };
        match is_unread(&times) {
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
