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
    ///   around. A `cast` that fails is an error; `try_cast` makes NULL of it.
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
    /// What is wrong with an expression is told by [`Transform::check`]: the syntax, a function that is not there or
    /// refused; a build without `sql` is [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported).
    #[must_use]
    pub fn derive(self, output: impl Into<String>, expression: impl Into<String>) -> Self {
        let derive = Derive {
            expression: expression.into(),
        };
        // Without its columns if it is refused, which `check` tells.
        let inputs = derive.columns().unwrap_or_default();
        self.step_of(inputs, [output], derive)
    }
}

/// That a build without `sql` cannot evaluate expressions.
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
    /// In the order of the step's inputs.
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

    /// That this build can evaluate it.
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

    fn evaluate(&self, arrays: Vec<ArrayRef>) -> Result<Value> {
        let ready = self.ready(&arrays)?;
        for (column, array) in ready.columns.iter().zip(&arrays) {
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
        let made = ready.code.evaluate(&self.expression, arrays)?;
        let made = ready.output.normalize(&self.expression, &made)?;
        Value::of(&made, ready.output)
    }
}

#[cfg(not(feature = "sql"))]
impl Derived {
    fn evaluate(&self, arrays: Vec<ArrayRef>) -> Result<Value> {
        self.columns(&arrays)?;
        Err(unsupported(&self.expression))
    }
}

impl PartialEq for Derived {
    fn eq(&self, other: &Self) -> bool {
        let types = |of: &Self| of.ready.get().map(|ready| (ready.columns.clone(), ready.output));
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
            let names: Vec<&str> = stored.columns.iter().map(|column| column.name.as_str()).collect();
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
        self.evaluate(arrays)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(not(feature = "sql"))]
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
        let error = loaded.with_operations(&crate::transform::Operations::new()).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Unsupported);
        assert_eq!(error.message(), format!("transform of `tips`, `fare`: {needs}"));
    }

    #[cfg(feature = "sql")]
    mod with_sql {
        use std::sync::Arc;

        use arrow::array::{
            BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
        };

        use super::*;
        use crate::transform::{Fill, FittedTransform};

        fn rows() -> RecordBatch {
            let tips: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.0), Some(3.0), None, Some(0.0)]));
            let fare: ArrayRef = Arc::new(Float64Array::from(vec![4.0, 0.0, 8.0, 0.0]));
            let seats: ArrayRef = Arc::new(Int64Array::from(vec![7, 8, 9, 10]));
            let taken: ArrayRef = Arc::new(Int64Array::from(vec![Some(2), Some(0), None, Some(-3)]));
            let name: ArrayRef = Arc::new(StringArray::from(vec!["a b", "c", "", "d"]));
            let paid: ArrayRef = Arc::new(BooleanArray::from(vec![true, false, true, true]));
            let at: ArrayRef = Arc::new(
                TimestampMicrosecondArray::from(vec![0, 3_600_000_000, 0, 0]).with_timezone("UTC"),
            );
            RecordBatch::try_from_iter([
                ("tips", tips),
                ("fare", fare),
                ("seats", seats),
                ("taken", taken),
                ("Name Of", name),
                ("paid", paid),
                ("at", at),
            ])
            .unwrap()
        }

        /// The values of an expression, NULL as -1.
        #[track_caller]
        fn values(expression: &str) -> Vec<f32> {
            let transform = Transform::new()
                .derive("x", expression)
                .impute("x", Fill::Number(-1.0));
            let fitted = transform.fit(&[rows()]).unwrap();
            fitted.apply(&rows()).unwrap().column(0).to_vec()
        }

        #[test]
        fn numbers_divide_as_documented() {
            assert_eq!(values("tips / fare"), [0.25, -1.0, -1.0, -1.0]);
            assert_eq!(values("seats / taken"), [3.0, -1.0, -1.0, -3.0]);
            assert_eq!(values("seats % taken"), [1.0, -1.0, -1.0, 1.0]);
            assert_eq!(values("seats / 2"), [3.0, 4.0, 4.0, 5.0]);
            assert_eq!(values("seats / 0"), [-1.0; 4]);
            assert_eq!(values("seats / (taken - 2)"), [-1.0, -4.0, -1.0, -2.0]);
            assert_eq!(values("seats / 2.0"), [3.5, 4.0, 4.5, 5.0]);
            assert_eq!(values("coalesce(taken, 5) * 2"), [4.0, 0.0, 10.0, -6.0]);
            let wraps = values("(seats + 9223372036854775807) / 4611686018427387904");
            assert_eq!(wraps, [-1.0; 4]);
            assert_eq!(values("case when 1 = 1 or paid then 3 end"), [3.0; 4]);
        }

        #[test]
        fn conditions_text_and_times() {
            assert_eq!(values("case when fare > 2 then 1 else 0 end"), [1.0, 0.0, 1.0, 0.0]);
            assert_eq!(values("fare > 2 and paid"), [1.0, 0.0, 1.0, 0.0]);
            assert_eq!(values("char_length(\"Name Of\")"), [3.0, 1.0, 0.0, 1.0]);
            assert_eq!(values("date_part('hour', at)"), [0.0, 1.0, 0.0, 0.0]);
            assert_eq!(values("try_cast(\"Name Of\" as int)"), [-1.0; 4]);

            let transform = Transform::new()
                .derive("letter", "upper(substr(\"Name Of\", 1, 1))")
                .one_hot("letter")
                .derive("day", "date_trunc('day', at)")
                .date_part("day", crate::transform::DatePart::Hour)
                .drop("day");
            assert_eq!(transform.inputs(), ["Name Of", "at"]);
            let fitted = transform.fit(&[rows()]).unwrap();
            let names = ["letter=", "letter=A", "letter=C", "letter=D", "letter=<other>", "day_hour"];
            assert_eq!(fitted.features(), names);
            assert_eq!(fitted.apply(&rows()).unwrap().column(5).to_vec(), [0.0; 4]);
        }

        #[test]
        fn a_chain_sees_what_earlier_steps_wrote() {
            let transform = Transform::new()
                .impute("tips", Fill::Number(2.0))
                .derive("sum", "tips + fare")
                .min_max("sum")
                .derive("twice", "sum * 2");
            assert_eq!(transform.inputs(), ["tips", "fare"]);
            let fitted = transform.fit(&[rows()]).unwrap();
            let twice = fitted.apply(&rows()).unwrap().column(2).to_vec();
            assert_eq!(twice, [1.0, 0.6, 2.0, 0.0]);
        }

        #[test]
        fn saved_it_is_readable_and_loads_to_the_same() {
            let transform = Transform::new().derive("ratio", "tips / (fare + 1)").impute("ratio", Fill::Mean);
            let fitted = transform.fit(&[rows()]).unwrap();
            let saved = serde_json::to_value(&fitted).unwrap();
            let expected = serde_json::json!({
                "op": "derive",
                "inputs": ["tips", "fare"],
                "output": "ratio",
                "expression": "tips / (fare + 1)",
                "columns": [
                    {"name": "tips", "field_type": "float"},
                    {"name": "fare", "field_type": "float"},
                ],
                "output_type": "float",
            });
            assert_eq!(saved["steps"][0], expected);
            let loaded: FittedTransform = serde_json::from_value(saved.clone()).unwrap();
            assert_eq!(loaded, fitted);
            assert_eq!(loaded.apply(&rows()).unwrap(), fitted.apply(&rows()).unwrap());

            let mut odd = saved.clone();
            odd["steps"][0]["output_type"] = "text".into();
            let error = serde_json::from_value::<FittedTransform>(odd).unwrap_err();
            assert_eq!(error.to_string(), "`tips / (fare + 1)` was saved as text, this build makes float");
            let mut odd = saved;
            odd["steps"][0]["columns"][0]["name"] = "fare".into();
            let error = serde_json::from_value::<FittedTransform>(odd).unwrap_err();
            let expected = "`tips / (fare + 1)` was saved with the columns `fare`, `fare`, which are not its own";
            assert_eq!(error.to_string(), expected);
        }

        #[test]
        fn refused_expressions() {
            let cases = [
                ("tips +", "is no SQL expression: "),
                ("1 + 1", "names no column, must name at least one"),
                ("sum(tips)", "has the aggregate `sum`, must be computed from the columns of one row"),
                (
                    "row_number() over (order by tips)",
                    "has the window function `row_number`, must be computed from the columns of one row",
                ),
                (
                    "tips > (select max(tips) from t)",
                    "has a subquery, must be computed from the columns of one row",
                ),
                (
                    "tips in (select 1)",
                    "has a subquery, must be computed from the columns of one row",
                ),
                (
                    "tips * random()",
                    "calls `random`, whose result is another each time; serving must compute what training has",
                ),
                (
                    "now() - at",
                    "calls `now`, whose result is another each time; serving must compute what training has",
                ),
                (
                    "date_part('year', current_date) - tips",
                    "calls `current_date`, whose result is another each time; serving must compute what training has",
                ),
                ("round(tips) + logg(tips)", "calls `logg`, which is no function; did you mean `log`?"),
                (
                    "trips.fare * 2",
                    "names `trips.fare`, of which only a table has parts; a column with a dot in its name is \
                     written \"trips.fare\"",
                ),
            ];
            for (expression, expected) in cases {
                let error = Transform::new().derive("x", expression).check().unwrap_err();
                let before = match error.message().strip_prefix("transform of `x`: ") {
                    Some(message) => message.to_owned(),
                    None => panic!("{error}"),
                };
                assert!(before.starts_with(&format!("`{expression}` {expected}")), "{before}");
                assert_eq!(error.kind(), crate::ErrorKind::Config);
            }
        }

        #[test]
        fn what_only_the_rows_show() {
            let fit = |expression: &str| Transform::new().derive("x", expression).fit(&[rows()]).unwrap_err();
            let error = fit("Fare * 2");
            let expected = "the transform reads column `Fare`, which is not in the data; did you mean `fare`?";
            assert_eq!(error.message(), expected);
            let error = fit("\"Name Of\" || 'x'");
            assert!(error.message().contains("takes numbers, the column is of type text"), "{error}");
            let error = fit("at - at");
            let expected = "transform of `at`: `at - at` is of type Duration(µs), must be a number, a boolean, \
                            text or a time";
            assert_eq!(error.message(), expected);

            let cast = Transform::new().derive("x", "cast(\"Name Of\" as double)");
            let fitted = cast.fit(&[rows()]).unwrap();
            let error = fitted.apply(&rows()).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::Data);
            assert!(error.message().contains("Cannot cast string 'a b' to value of Float64 type"), "{error}");
        }

        #[test]
        fn inputs_are_those_of_the_expression() {
            let json = r#"{"steps": [{"op": "derive", "output": "x", "expression": "tips / fare"}]}"#;
            let transform: Transform = serde_json::from_str(json).unwrap();
            assert_eq!(transform, Transform::new().derive("x", "tips / fare"));
            let op = Derive {
                expression: "tips / fare".to_owned(),
            };
            let error = Transform::new().step_of(["fare", "tips"], ["x"], op).check().unwrap_err();
            let expected = "transform of `fare`, `tips`: the inputs must be those that it names: `tips`, `fare`";
            assert_eq!(error.message(), expected);
        }

        /// Run by hand with `--ignored --nocapture`, in an optimised build.
        #[test]
        #[ignore = "a measurement"]
        fn microseconds_per_row() {
            let transform = Transform::new().derive("x", "coalesce(tips / nullif(fare, 0.0), 0.0)");
            let fitted = transform.fit(&[rows()]).unwrap();
            let plain = Transform::new().number("fare").fit(&[rows()]).unwrap();
            let row = rows().slice(0, 1);
            for (name, fitted) in [("number", plain), ("derive", fitted)] {
                let start = std::time::Instant::now();
                let n = 100_000;
                for _ in 0..n {
                    std::hint::black_box(fitted.apply(&row).unwrap());
                }
                let micros = start.elapsed().as_secs_f64() * 1e6 / f64::from(n);
                assert!(micros < 1e3, "{name}");
                eprintln!("{name}: {micros:.2} µs a row");
            }
        }
    }
}
