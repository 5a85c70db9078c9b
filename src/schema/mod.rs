//! What the data must look like: a schema, inferred once, owned by people, checked in training and in serving.
//!
//! A [`Schema`] is a small JSON document. It is inferred from [`Statistics`], read and edited by hand, and then
//! [validates](Schema::validate) the statistics of every later data set: what breaks it comes back as
//! [`Anomaly`]s. In serving the same schema [brings every request into shape](Schema::conform) and turns down what
//! does not fit, naming the field and the row.
//!
//! ```
//! use std::sync::Arc;
//!
//! use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
//! use fourfold::accumulate::Accumulate;
//! use fourfold::schema::Schema;
//! use fourfold::statistics::StatisticsAccumulator;
//!
//! let fare: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 3.0]));
//! let batch = RecordBatch::try_from_iter([("fare", fare)])?;
//! let mut statistics = StatisticsAccumulator::new(&batch.schema());
//! statistics.update(&batch)?;
//! let schema = Schema::infer(&statistics.finish());
//!
//! let text: ArrayRef = Arc::new(StringArray::from(vec!["much"]));
//! let request = RecordBatch::try_from_iter([("fare", text)])?;
//! let error = schema.conform(&request).unwrap_err();
//! assert_eq!(error.to_string(), "field `fare` is of type text, must be float");
//! # Ok::<(), fourfold::Error>(())
//! ```

mod field_type;
mod validate;

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Field as ArrowField, Float64Type, Schema as ArrowSchema, SchemaRef,
};
use serde::{Deserialize, Serialize};

pub use self::field_type::{FieldType, normalize_batch, normalized_schema};
pub use self::validate::{Anomaly, AnomalyKind, Severity};
use crate::error::{Error, Result, near_names};
use crate::statistics::Statistics;

/// What the data must look like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schema {
    /// The version of this format.
    pub format_version: u32,
    /// One entry per column.
    pub fields: Vec<Field>,
}

/// What one column must look like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Field {
    /// The column's name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub field_type: FieldType,
    /// The least share of rows that must have a value, in `0..=1`; 1 means that NULL is not allowed.
    #[serde(default)]
    pub min_fraction: f64,
    /// The values that are allowed, if only some are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<Domain>,
    /// The field is not there in serving: a label, a weight.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub training_only: bool,
}

/// Which values a column may have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Domain {
    /// These texts. An inferred list is at most 100 long.
    Values(Vec<String>),
    /// Numbers from `min` to `max`, both included. Never inferred: the training data's range is not a rule.
    Range {
        /// The lowest number allowed.
        min: Option<f64>,
        /// The highest number allowed.
        max: Option<f64>,
    },
}

impl Field {
    /// Whether every row must have a value.
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.min_fraction >= 1.0
    }
}

impl Schema {
    /// The version of the format that this build writes.
    pub const FORMAT_VERSION: u32 = 1;
    /// The longest list of allowed texts that is inferred.
    pub const MAX_INFERRED_VALUES: usize = 100;

    /// A schema of these fields.
    #[must_use]
    pub fn new(fields: impl IntoIterator<Item = Field>) -> Self {
        Schema {
            format_version: Self::FORMAT_VERSION,
            fields: fields.into_iter().collect(),
        }
    }

    /// The schema that statistics suggest: types as they are, columns without a gap required, texts with at most
    /// 100 distinct values limited to these.
    #[must_use]
    pub fn infer(statistics: &Statistics) -> Self {
        let columns = statistics.columns.iter().filter(|column| !column.nested);
        Schema::new(columns.map(|column| {
            let listed =
                column.row_type() == FieldType::Text && column.top_values_exact && column.count > 0;
            Field {
                name: column.name.clone(),
                field_type: column.row_type(),
                min_fraction: f64::from(u8::from(column.missing == 0 && column.count > 0)),
                domain: listed.then(|| {
                    let mut values: Vec<String> = column
                        .top_values
                        .iter()
                        .map(|(value, _)| value.clone())
                        .collect();
                    values.sort_unstable();
                    Domain::Values(values)
                }),
                training_only: false,
            }
        }))
    }

    /// The field of a name.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](crate::ErrorKind::Data) if there is none, with the near ones.
    pub fn field(&self, name: &str) -> Result<&Field> {
        self.fields
            .iter()
            .find(|field| field.name == name)
            .ok_or_else(|| {
                let names = self.fields.iter().map(|field| field.name.as_str());
                Error::data(format!(
                    "there is no field `{name}`{}",
                    near_names(name, names)
                ))
            })
    }

    /// The schema with some fields marked as not there in serving.
    #[must_use]
    pub fn training_only<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        let names: HashSet<_> = names.into_iter().collect();
        for field in &mut self.fields {
            field.training_only |= names.contains(field.name.as_str());
        }
        self
    }

    /// The part of the schema that a served model asks for: these columns, in the schema's order.
    #[must_use]
    pub fn project<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Self {
        let names: HashSet<_> = names.into_iter().collect();
        Schema::new(
            self.fields
                .iter()
                .filter(|field| names.contains(field.name.as_str()))
                .cloned(),
        )
    }

    /// The Arrow schema of conforming batches.
    #[must_use]
    pub fn arrow(&self) -> SchemaRef {
        let fields: Vec<ArrowField> = self
            .fields
            .iter()
            .filter_map(|field| {
                let data_type = field.field_type.data_type()?;
                Some(ArrowField::new(&field.name, data_type, true))
            })
            .collect();
        Arc::new(ArrowSchema::new(fields))
    }

    /// Brings rows from outside into the schema's shape: its columns in its order, in their physical types. A
    /// column that is not there is all NULL, if the field allows that; columns that the schema does not know are
    /// left out. Whole numbers are taken for floats; floats for whole numbers where every one is whole, NaN
    /// meaning NULL.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](crate::ErrorKind::Data) if a type does not fit, if a required field is missing or NULL,
    /// or if a number is out of its range; naming the field, the row and the value. An unknown text is not an
    /// error here: transforms have a place for it.
    pub fn conform(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let mut columns = Vec::with_capacity(self.fields.len());
        for field in &self.fields {
            let Some(data_type) = field.field_type.data_type() else {
                continue;
            };
            let column = match batch.column_by_name(&field.name) {
                Some(column) => field.conform(column)?,
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
        let options =
            arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(
            self.arrow(),
            columns,
            &options,
        )?)
    }
}

impl Field {
    fn conform(&self, column: &ArrayRef) -> Result<ArrayRef> {
        let found = FieldType::of(column.data_type());
        let all_null = column.logical_null_count() == column.len();
        let column = if found == self.field_type
            || all_null
            || (self.field_type == FieldType::Float && found == FieldType::Integer)
        {
            self.field_type.normalize(&self.name, column)?
        } else if self.field_type == FieldType::Integer && found == FieldType::Float {
            self.whole_numbers(&FieldType::Float.normalize(&self.name, column)?)?
        } else if matches!(self.field_type, FieldType::Date | FieldType::Timestamp)
            && found == FieldType::Text
        {
            self.times(column)?
        } else {
            return Err(Error::data(format!(
                "field `{}` is of type {found}, must be {}",
                self.name, self.field_type
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
        self.check_range(&column)?;
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
            .collect::<Result<arrow::array::Int64Array>>()?;
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
                match self.field_type {
                    FieldType::Date => "2013-01-31",
                    _ => "2013-01-31T05:00:00Z",
                }
            ))),
        }
    }

    fn check_range(&self, column: &ArrayRef) -> Result<()> {
        let Some(Domain::Range { min, max }) = &self.domain else {
            return Ok(());
        };
        let numbers = FieldType::Float.normalize(&self.name, column)?;
        let low = min.unwrap_or(f64::NEG_INFINITY);
        let high = max.unwrap_or(f64::INFINITY);
        for (row, value) in numbers.as_primitive::<Float64Type>().iter().enumerate() {
            if let Some(value) = value
                && !(low..=high).contains(&value)
            {
                return Err(Error::data(format!(
                    "field `{}` is {value} in row {row}, must be from {low} to {high}",
                    self.name
                )));
            }
        }
        Ok(())
    }
}
