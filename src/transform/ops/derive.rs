//! A column computed by a SQL expression.

use std::ops::RangeInclusive;
use std::sync::OnceLock;

use arrow::array::{Array, ArrayRef};
use serde::{Deserialize, Serialize};

use super::{Apply, FittedOp, Operation};
use crate::error::{Error, Result};
use crate::schema::FieldType;
use crate::transform::Transform;
use crate::transform::input::InputColumn;
#[cfg(feature = "sql")]
use crate::transform::sql;
use crate::transform::value::Value;

/// A column computed by a SQL expression from the columns that it names, which are the step's inputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Derive {
    /// The expression, as after `SELECT`.
    pub expression: String,
}

impl Transform {
    /// Adds the column `output` of a SQL expression over the columns of a row. DataFusion evaluates it, in training
    /// and in serving alike; both need the feature `sql`.
    ///
    /// - Names keep their case; one that is no plain word is quoted: `"Trip Miles" * 1.6`. A column that an earlier
    ///   step has written has the value that the step gave it.
    /// - The functions are DataFusion's scalar ones: `case when`, `coalesce`, `abs`, `date_part`, `strpos`,
    ///   `regexp_like` and so on. What needs more than the row (aggregates, window functions, subqueries), and what
    ///   may be another value tomorrow (`random()`, `now()`), is refused.
    /// - The result is a number, a boolean, text or a time; later steps on `output` go on from there, and a number
    ///   or boolean is a feature as it is.
    /// - NULL goes through as in SQL: most results of NULL are NULL. A float divided by zero is infinite or, of
    ///   zero, NaN; follow with [`Transform::impute`]. Whole numbers divide to whole numbers, as in SQL (`7 / 2` is
    ///   3; `7 / 2.0` or `cast(a as double) / b` is not), and by zero to NULL. Whole numbers that overflow wrap
    ///   around, but for the smallest one divided by -1, which is an error. A `cast` that fails is an error; `try_cast`
    ///   makes NULL of it.
    ///
    /// ```
    /// # #[cfg(feature = "sql")] {
    /// # use std::sync::Arc;
    /// # use arrow::array::{ArrayRef, Float64Array, RecordBatch};
    /// # use fourfold::transform::{Fill, Transform};
    /// let tips: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.0), Some(3.0), None]));
    /// let fare: ArrayRef = Arc::new(Float64Array::from(vec![4.0, 0.0, 8.0]));
    /// let rows = RecordBatch::try_from_iter([("tips", tips), ("fare", fare)])?;
    ///
    /// let transform = Transform::new().derive("ratio", "tips / fare").impute("ratio", Fill::Number(0.0));
    /// assert_eq!(transform.inputs(), ["tips", "fare"]);
    /// let fitted = transform.fit(std::slice::from_ref(&rows))?;
    /// assert_eq!(fitted.apply(&rows)?.column(0).to_vec(), [0.25, 0.0, 0.0]);
    /// # }
    /// # Ok::<(), fourfold::Error>(())
    /// ```
    ///
    /// [`Transform::check`] reports the problems of an expression: the syntax, a function that does not exist or
    /// refused; a build without `sql` is [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported).
    #[must_use]
    pub fn derive(self, output: impl Into<String>, expression: impl Into<String>) -> Self {
        let derive = Derive {
            expression: expression.into(),
        };
        // A refused expression has no columns, which `check` reports.
        let inputs = derive.columns().unwrap_or_default();
        self.step_of(inputs, [output], derive)
    }
}

/// The error of a build without `sql`, which cannot evaluate expressions.
#[cfg(not(feature = "sql"))]
fn unsupported(expression: &str) -> Error {
    Error::new(
        crate::error::ErrorKind::Unsupported,
        format!("`{expression}` is a SQL expression; build fourfold with the feature `sql`"),
    )
}

impl Derive {
    /// The columns that the expression names.
    fn columns(&self) -> Result<Vec<String>> {
        columns(&self.expression)
    }
}

#[cfg(feature = "sql")]
fn columns(expression: &str) -> Result<Vec<String>> {
    sql::columns(expression)
}

#[cfg(not(feature = "sql"))]
fn columns(expression: &str) -> Result<Vec<String>> {
    Err(unsupported(expression))
}

impl Operation for Derive {
    fn check(&self) -> Result<()> {
        self.columns().map(drop)
    }

    fn n_inputs(&self) -> RangeInclusive<usize> {
        0..=usize::MAX
    }

    fn own_inputs(&self) -> Option<Result<Vec<String>>> {
        Some(self.columns())
    }

    fn fitted(&self) -> Result<FittedOp> {
        Ok(Derived::new(self.expression.clone()).into())
    }
}

/// A SQL expression, with the types of its columns from the first rows on that it has seen.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Derived {
    expression: String,
    ready: OnceLock<Ready>,
}

/// An expression over columns of known types.
#[derive(Clone, Debug)]
struct Ready {
    columns: Vec<InputColumn>,
    output: FieldType,
    #[cfg(feature = "sql")]
    code: sql::Compiled,
}

/// Readable.
#[derive(Serialize, Deserialize)]
struct Stored {
    expression: String,
    /// The columns in the order of the step's inputs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    columns: Vec<InputColumn>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    output_type: Option<FieldType>,
}

impl Derived {
    /// An expression that has not seen a row.
    #[must_use]
    pub fn new(expression: impl Into<String>) -> Self {
        Derived {
            expression: expression.into(),
            ready: OnceLock::new(),
        }
    }

    /// The expression.
    #[must_use]
    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// The type of its values, once it has seen rows.
    #[must_use]
    pub fn output_type(&self) -> Option<FieldType> {
        self.ready.get().map(|ready| ready.output)
    }

    /// Checks that this build can evaluate it.
    pub(in crate::transform) fn check_build(&self) -> Result<()> {
        #[cfg(not(feature = "sql"))]
        return Err(unsupported(&self.expression));
        #[cfg(feature = "sql")]
        Ok(())
    }

    /// The names and types of the columns.
    fn columns(&self, arrays: &[ArrayRef]) -> Result<Vec<InputColumn>> {
        let names = columns(&self.expression)?;
        if names.len() != arrays.len() {
            return Err(Error::config(format!(
                "`{}` names {} columns, the step has {} inputs",
                self.expression,
                names.len(),
                arrays.len()
            )));
        }
        let named = names.iter().zip(arrays);
        named
            .map(|(name, array)| match FieldType::of(array.data_type()) {
                FieldType::Other => Err(Error::config(format!(
                    "`{}` reads `{name}`, which is of type {}, must be a number, a boolean, text or a time",
                    self.expression,
                    array.data_type()
                ))),
                field_type => Ok(InputColumn::new(name, field_type)),
            })
            .collect()
    }
}

#[cfg(feature = "sql")]
impl Ready {
    fn new(expression: &str, columns: Vec<InputColumn>) -> Result<Self> {
        let code = sql::Compiled::new(expression, &columns)?;
        match FieldType::of(code.output()) {
            FieldType::Other => Err(Error::config(format!(
                "`{expression}` is of type {}, must be a number, a boolean, text or a time",
                code.output()
            ))),
            output => Ok(Ready {
                columns,
                output,
                code,
            }),
        }
    }
}

#[cfg(feature = "sql")]
impl Derived {
    fn ready(&self, arrays: &[ArrayRef]) -> Result<&Ready> {
        if let Some(ready) = self.ready.get() {
            return Ok(ready);
        }
        let ready = Ready::new(&self.expression, self.columns(arrays)?)?;
        // Whoever was first has compiled the same.
        Ok(self.ready.get_or_init(|| ready))
    }

    fn evaluate(&self, arrays: &[ArrayRef]) -> Result<Value> {
        let ready = self.ready(arrays)?;
        for (column, array) in ready.columns.iter().zip(arrays) {
            if column.data_type().as_ref() != Some(array.data_type()) {
                return Err(Error::config(format!(
                    "`{}` was fitted on `{}` of type {}, the column is of type {}",
                    self.expression,
                    column.name,
                    column.field_type,
                    array.data_type()
                )));
            }
        }
        let made = ready.code.evaluate(&self.expression, arrays.to_vec())?;
        let made = ready.output.normalize(&self.expression, &made)?;
        Value::of(made, ready.output)
    }
}

#[cfg(not(feature = "sql"))]
impl Derived {
    fn evaluate(&self, arrays: &[ArrayRef]) -> Result<Value> {
        self.columns(arrays)?;
        Err(unsupported(&self.expression))
    }
}

impl PartialEq for Derived {
    fn eq(&self, other: &Self) -> bool {
        let types = |of: &Self| {
            of.ready
                .get()
                .map(|ready| (ready.columns.clone(), ready.output))
        };
        self.expression == other.expression && types(self) == types(other)
    }
}

impl TryFrom<Stored> for Derived {
    type Error = Error;

    fn try_from(stored: Stored) -> Result<Self> {
        let derived = Derived::new(stored.expression);
        let Some(output) = stored.output_type else {
            return Ok(derived);
        };
        #[cfg(feature = "sql")]
        let ready = {
            let names: Vec<&str> = stored
                .columns
                .iter()
                .map(|column| column.name.as_str())
                .collect();
            if columns(&derived.expression)? != names {
                return Err(Error::corrupt(format!(
                    "`{}` was saved with the columns `{}`, which are not its own",
                    derived.expression,
                    names.join("`, `")
                )));
            }
            let ready = Ready::new(&derived.expression, stored.columns)?;
            if ready.output != output {
                return Err(Error::corrupt(format!(
                    "`{}` was saved as {output}, this build makes {}",
                    derived.expression, ready.output
                )));
            }
            ready
        };
        #[cfg(not(feature = "sql"))]
        let ready = Ready {
            columns: stored.columns,
            output,
        };
        Ok(Derived {
            ready: ready.into(),
            ..derived
        })
    }
}

impl From<Derived> for Stored {
    fn from(derived: Derived) -> Self {
        let (columns, output_type) = match derived.ready.into_inner() {
            Some(ready) => (ready.columns, Some(ready.output)),
            None => (Vec::new(), None),
        };
        Stored {
            expression: derived.expression,
            columns,
            output_type,
        }
    }
}

impl Apply for Derived {
    fn apply(&self, inputs: &[&Value]) -> Result<Value> {
        let arrays = inputs
            .iter()
            .map(|input| input.to_array())
            .collect::<Result<Vec<ArrayRef>>>()?;
        self.evaluate(&arrays)
    }
}

#[cfg(all(test, not(feature = "sql")))]
mod tests {
    use super::*;

    #[test]
    fn a_build_without_sql_says_which_feature_is_missing() {
        let transform = Transform::new().derive("ratio", "tips / fare");
        let error = transform.check().unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Unsupported);
        let needs = "`tips / fare` is a SQL expression; build fourfold with the feature `sql`";
        assert_eq!(error.message(), format!("transform of `ratio`: {needs}"));

        let saved = r#"{
            "format_version": 1,
            "inputs": [{"name": "tips", "field_type": "float"}, {"name": "fare", "field_type": "float"}],
            "steps": [{
                "op": "derive", "inputs": ["tips", "fare"], "output": "ratio", "expression": "tips / fare",
                "columns": [{"name": "tips", "field_type": "float"}, {"name": "fare", "field_type": "float"}],
                "output_type": "float"
            }],
            "features": ["ratio"]
        }"#;
        let loaded: crate::transform::FittedTransform = serde_json::from_str(saved).unwrap();
        let error = loaded
            .with_operations(&crate::transform::Operations::new())
            .unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Unsupported);
        assert_eq!(
            error.message(),
            format!("transform of `tips`, `fare`: {needs}")
        );
    }
}
