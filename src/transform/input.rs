//! The raw columns that a transform reads.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema};
use serde::{Deserialize, Serialize};

use super::value::Value;
use crate::error::{Error, Result, near_names};
use crate::schema::{FieldType, place_of, to_physical};

/// A raw column that a transform reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputColumn {
    /// Its name.
    pub name: String,
    /// Its type; of a column of lists that of the items.
    pub field_type: FieldType,
    /// Whether each row has a list of values.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_list: bool,
}

impl InputColumn {
    /// A column of one value a row.
    #[must_use]
    pub fn new(name: impl Into<String>, field_type: FieldType) -> Self {
        InputColumn {
            name: name.into(),
            field_type,
            is_list: false,
        }
    }

    /// A column of a list of values a row.
    #[must_use]
    pub fn list(name: impl Into<String>, items: FieldType) -> Self {
        InputColumn {
            name: name.into(),
            field_type: items,
            is_list: true,
        }
    }

    /// The column of an Arrow type.
    pub(super) fn of(name: &str, data_type: &DataType) -> Result<Self> {
        let items = FieldType::of_items(data_type);
        match items.unwrap_or_else(|| FieldType::of(data_type)) {
            FieldType::Other => Err(Error::config(format!(
                "column `{name}` is of type {data_type}, which makes no features"
            ))),
            field_type => Ok(InputColumn {
                name: name.to_owned(),
                field_type,
                is_list: items.is_some(),
            }),
        }
    }

    /// The column of a name in a schema, looked for at a place first, which is the one after it then.
    pub(super) fn find(schema: &ArrowSchema, name: &str, next: &mut usize) -> Result<Self> {
        let place = place_of(schema.fields(), name, next).ok_or_else(|| {
            let names = schema.fields().iter().map(|field| field.name().as_str());
            Error::config(format!(
                "the transform reads column `{name}`, which is not in the data{}",
                near_names(name, names)
            ))
        })?;
        InputColumn::of(name, schema.field(place).data_type())
    }

    /// The physical Arrow type.
    pub(super) fn data_type(&self) -> Option<DataType> {
        let values = self.field_type.data_type()?;
        Some(if self.is_list {
            DataType::List(Arc::new(Field::new_list_field(values, true)))
        } else {
            values
        })
    }

    fn kind(&self) -> String {
        match self.is_list {
            true => format!("lists of {}", self.field_type),
            false => self.field_type.to_string(),
        }
    }

    /// The columns of a batch, which mostly come in the same order.
    pub(crate) fn read_all(
        inputs: &[Self],
        batch: &RecordBatch,
    ) -> impl ExactSizeIterator<Item = Result<ArrayRef>> {
        let mut next = 0;
        inputs.iter().map(move |input| input.read(batch, &mut next))
    }

    /// The column of a batch, looked for at a place first, which is the one after it then.
    pub(crate) fn read(&self, batch: &RecordBatch, next: &mut usize) -> Result<ArrayRef> {
        let fields = batch.schema_ref().fields();
        let column = place_of(fields, &self.name, next).map(|place| batch.column(place));
        let column = column.ok_or_else(|| {
            let schema = batch.schema();
            let near = near_names(
                &self.name,
                schema.fields().iter().map(|field| field.name().as_str()),
            );
            Error::data(format!("there is no column `{}`{near}", self.name))
        })?;
        self.bring(ArrayRef::clone(column))
    }

    /// A column in the physical type, checked.
    pub(super) fn bring(&self, column: ArrayRef) -> Result<ArrayRef> {
        if !self.is_list && self.field_type.is_physical(column.data_type()) {
            return Ok(column);
        }
        let found_items = FieldType::of_items(column.data_type());
        let found = found_items.unwrap_or_else(|| FieldType::of(column.data_type()));
        let fits = found == self.field_type
            || (self.field_type == FieldType::Float && found == FieldType::Integer);
        let readable =
            (found_items.is_some() == self.is_list && fits) || column.null_count() == column.len();
        if !readable {
            let found = InputColumn {
                name: String::new(),
                field_type: found,
                is_list: found_items.is_some(),
            };
            return Err(Error::data(format!(
                "column `{}` is of type {}, the transform was fitted on {}",
                self.name,
                found.kind(),
                self.kind()
            )));
        }
        self.normalize(&column)
    }

    /// A column brought to the physical type.
    fn normalize(&self, column: &ArrayRef) -> Result<ArrayRef> {
        if !self.is_list {
            return self.field_type.normalize(&self.name, column);
        }
        let Some(data_type) = self.data_type() else {
            return Ok(Arc::clone(column));
        };
        to_physical(&self.name, column, &data_type, &self.kind())
    }

    /// A column of any type that this one is made from, as steps see it.
    pub(super) fn value(&self, column: &ArrayRef) -> Result<Value> {
        Value::of(self.normalize(column)?, self.field_type)
    }
}
