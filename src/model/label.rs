//! The label.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, RecordBatch};
use arrow::compute::{and, filter_record_batch, is_not_null};
use arrow::datatypes::{Field, Float64Type, Schema as ArrowSchema, SchemaRef};
use serde::{Deserialize, Serialize};

use super::Target;
use crate::error::{Error, Result, near_names};
use crate::schema::FieldType;

/// The label: a column as it is, or made from one.
///
/// Rows without a label (NULL, or NaN) are left out of all splits and counted.
///
/// ```
/// use fourfold::model::Label;
///
/// let column = Label::from("species");
/// let credit = Label::column("risk").positive("bad"); // the probability that is predicted is that of `bad`
/// let late = Label::at_least("arr_delay", 15.0).named("late"); // true from 15 minutes on
/// # let _ = (column, credit, late);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Label {
    column: String,
    at_least: Option<f64>,
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    positive: Option<String>,
}

impl Label {
    /// A column as it is.
    #[must_use]
    pub fn column(name: impl Into<String>) -> Self {
        Label {
            column: name.into(),
            at_least: None,
            name: None,
            positive: None,
        }
    }

    /// True where a number is at least `threshold`, false where it is less. The column it is made from is taken
    /// out of the examples, so that it cannot leak into the features.
    #[must_use]
    pub fn at_least(column: impl Into<String>, threshold: f64) -> Self {
        Label {
            column: column.into(),
            at_least: Some(threshold),
            name: None,
            positive: None,
        }
    }

    /// Gives a label that is made another name than that of its column.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Chooses which of two classes is the positive one: the one whose probability is predicted and whose precision and
    /// recall are computed. By default it is the last in order: of `bad` and `good`, `good`.
    #[must_use]
    pub fn positive(mut self, class: impl Into<String>) -> Self {
        self.positive = Some(class.into());
        self
    }

    /// The column that it is made from.
    #[must_use]
    pub fn source_column(&self) -> &str {
        &self.column
    }

    /// The target with the positive class that was chosen.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if there is no such class, or if there are not two.
    #[cfg_attr(
        not(feature = "datafusion"),
        expect(dead_code, reason = "for the pipelines")
    )]
    pub(crate) fn orient(&self, target: Target) -> Result<Target> {
        match &self.positive {
            Some(class) => target.with_positive(class),
            None => Ok(target),
        }
    }

    /// The name of the label's column in the examples.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.column)
    }

    #[cfg_attr(
        not(feature = "datafusion"),
        expect(dead_code, reason = "for the pipelines")
    )]
    pub(crate) fn check(&self) -> Result<()> {
        match self.at_least {
            Some(threshold) if !threshold.is_finite() => Err(Error::config(format!(
                "the label's threshold is {threshold}, must be finite"
            ))),
            _ => Ok(()),
        }
    }

    /// The schema of examples: with the label in place of the column it is made from.
    #[cfg_attr(
        not(feature = "datafusion"),
        expect(dead_code, reason = "for the pipelines")
    )]
    pub(crate) fn schema(&self, schema: &SchemaRef) -> Result<SchemaRef> {
        let names = || schema.fields().iter().map(|field| field.name().as_str());
        let place = schema.index_of(&self.column).map_err(|_| {
            Error::config(format!(
                "the label's column `{}` is not in the data{}",
                self.column,
                near_names(&self.column, names())
            ))
        })?;
        if self.name() != self.column && names().any(|name| name == self.name()) {
            return Err(Error::config(format!(
                "the label is to be named `{}`, which is a column already",
                self.name()
            )));
        }
        let found = FieldType::of(schema.field(place).data_type());
        if self.at_least.is_some() && !matches!(found, FieldType::Integer | FieldType::Float) {
            return Err(Error::config(format!(
                "the label's column `{}` is of type {found}, a threshold needs numbers",
                self.column
            )));
        }
        let fields: Vec<Arc<Field>> = schema
            .fields()
            .iter()
            .enumerate()
            .map(|(at, field)| {
                if at == place {
                    let data_type = match self.at_least {
                        Some(_) => arrow::datatypes::DataType::Boolean,
                        None => field.data_type().clone(),
                    };
                    Arc::new(Field::new(self.name(), data_type, true))
                } else {
                    Arc::clone(field)
                }
            })
            .collect();
        Ok(Arc::new(ArrowSchema::new(fields)))
    }

    /// The labelled rows of a batch, in the schema of [`Label::schema`].
    #[cfg_attr(
        not(feature = "datafusion"),
        expect(dead_code, reason = "for the pipelines")
    )]
    pub(crate) fn apply(&self, batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
        let place = schema.index_of(self.name())?;
        let mut columns = batch.columns().to_vec();
        let mut known = is_not_null(&columns[place])?;
        if FieldType::of(columns[place].data_type()) == FieldType::Float {
            let numbers = columns[place].as_primitive::<Float64Type>();
            let not_nan = BooleanArray::from_unary(numbers, |value| !value.is_nan());
            known = and(&known, &BooleanArray::new(not_nan.values().clone(), None))?;
            if self.at_least.is_none() {
                // 0 and -0 are one class.
                let same_zero: Float64Array = numbers.unary(|value| value + 0.0);
                columns[place] = Arc::new(same_zero);
            }
        }
        if let Some(threshold) = self.at_least {
            let numbers = FieldType::Float.normalize(&self.column, &columns[place])?;
            let numbers = numbers.as_primitive::<Float64Type>();
            let label: ArrayRef = Arc::new(BooleanArray::from_unary(numbers, |value| {
                value >= threshold
            }));
            columns[place] = label;
        }
        let labelled = RecordBatch::try_new(Arc::clone(schema), columns)?;
        if known.true_count() == known.len() {
            return Ok(labelled);
        }
        Ok(filter_record_batch(&labelled, &known)?)
    }
}

impl From<&str> for Label {
    fn from(column: &str) -> Self {
        Label::column(column)
    }
}

impl From<String> for Label {
    fn from(column: String) -> Self {
        Label::column(column)
    }
}
