//! A metric written in SQL.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use serde::{Deserialize, Serialize};

use super::{AnyState, Direction, Mean, Metric, MetricState, MetricValue, ScoredRow};
use crate::error::{Error, Result};
use crate::model::{Target, Task};
use crate::schema::FieldType;
use crate::transform::InputColumn;
use crate::transform::sql::{self, Compiled};

/// A metric that is the weighted mean of a SQL expression over the rows, with the interval of a mean: as good as this
/// crate's in thresholds, slices and reports. Rows in which it is NULL do not count.
///
/// The expression names, of each row:
///
/// - `label`: the number, or the name of the class;
/// - `prediction`: the number that is predicted, or the name of the class that is answered;
/// - `probability` (classes): that of the positive class of two, that of the answered class of more.
///
/// It is [DataFusion's SQL](https://datafusion.apache.org/user-guide/sql/index.html), as in
/// [`Transform::derive`](crate::transform::Transform::derive). Needs the feature `sql`.
///
/// ```
/// use fourfold::evaluation::{EvaluationPipeline, Thresholds};
/// use fourfold::metrics::{Direction, SqlMetric};
///
/// // A late parcel that was not foreseen costs 5, a warning in vain costs 1.
/// let cost = SqlMetric::new(
///     "late_cost",
///     Direction::Lower,
///     "case when label = 'late' and prediction <> 'late' then 5 when label <> prediction then 1 else 0 end",
/// )?;
/// let evaluation = EvaluationPipeline::new(Thresholds::new().at_most("late_cost", 0.4)).metric(cost);
/// # let _ = evaluation;
/// # Ok::<(), fourfold::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct SqlMetric {
    name: String,
    direction: Direction,
    expression: String,
    range: (f64, f64),
    unit: String,
    tasks: Vec<Task>,
}

impl SqlMetric {
    /// The mean of an expression.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if the expression is none, or is a number for no task.
    pub fn new(
        name: impl Into<String>,
        direction: Direction,
        expression: impl Into<String>,
    ) -> Result<Self> {
        let (name, expression) = (name.into(), expression.into());
        let wrong = |error: Error| {
            Error::config(format!("metric `{name}`: {}", error.message())).with_source(error)
        };
        sql::columns(&expression).map_err(wrong)?;
        let mut tasks = Vec::new();
        let mut failure = None;
        for task in [Task::Binary, Task::Multiclass, Task::Regression] {
            match Code::new(&expression, task) {
                Ok(_) => tasks.push(task),
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            Some(error) if tasks.is_empty() => Err(wrong(error)),
            _ => Ok(SqlMetric {
                name,
                direction,
                expression,
                range: (f64::NEG_INFINITY, f64::INFINITY),
                unit: String::new(),
                tasks,
            }),
        }
    }

    /// The lowest and the highest value that it can have; any by default.
    #[must_use]
    pub fn range(mut self, low: f64, high: f64) -> Self {
        self.range = (low, high);
        self
    }

    /// The unit of its values, such as `minutes`.
    #[must_use]
    pub fn unit(mut self, unit: impl Into<String>) -> Self {
        self.unit = unit.into();
        self
    }
}

impl Metric for SqlMetric {
    fn name(&self) -> &str {
        &self.name
    }

    fn direction(&self) -> Direction {
        self.direction
    }

    fn range(&self) -> (f64, f64) {
        self.range
    }

    fn unit(&self) -> &str {
        &self.unit
    }

    fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    fn start(&self, target: &Target) -> AnyState {
        let code = Code::new(&self.expression, target.task()).ok();
        AnyState::new(Counted {
            has_failed: code.is_none(),
            code,
            names: Names {
                classes: target.classes().to_vec(),
                threshold: target.threshold(),
            },
            ..Counted::default()
        })
    }
}

/// An expression over the columns of a task.
#[derive(Clone, Debug)]
struct Code {
    expression: String,
    /// The columns that it names.
    columns: Vec<String>,
    compiled: Compiled,
}

impl Code {
    fn new(expression: &str, task: Task) -> Result<Self> {
        let answer = match task {
            Task::Regression => FieldType::Float,
            Task::Binary | Task::Multiclass => FieldType::Text,
        };
        let known = [
            InputColumn::new("label", answer),
            InputColumn::new("prediction", answer),
            InputColumn::new("probability", FieldType::Float),
        ];
        let known = &known[..if task == Task::Regression { 2 } else { 3 }];
        let columns = sql::columns(expression)?;
        let of = |name: &String| match known.iter().find(|column| column.name == *name) {
            Some(column) => Ok(column.clone()),
            None => {
                let names: Vec<&str> = known.iter().map(|column| column.name.as_str()).collect();
                Err(Error::config(format!(
                    "`{expression}` names `{name}`, must name only `{}`",
                    names.join("`, `")
                )))
            }
        };
        let inputs = columns.iter().map(of).collect::<Result<Vec<_>>>()?;
        let compiled = Compiled::new(expression, &inputs)?;
        let is_number = matches!(
            FieldType::of(compiled.output()),
            FieldType::Integer | FieldType::Float | FieldType::Boolean
        );
        if !is_number {
            return Err(Error::config(format!(
                "`{expression}` is of type {}, must be a number or a boolean",
                compiled.output()
            )));
        }
        Ok(Code {
            expression: expression.to_owned(),
            columns,
            compiled,
        })
    }
}

/// The number of rows evaluated at once.
const BLOCK: usize = 1_024;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Counted {
    names: Names,
    mean: Mean,
    rows: u64,
    has_failed: bool,
    /// Rows that are still to be evaluated.
    waiting: Vec<Row>,
    #[serde(skip)]
    code: Option<Code>,
}

/// The classes, and the threshold of two.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Names {
    classes: Vec<String>,
    threshold: f64,
}

/// The values of a row that the expression can name, classes by their index, and the weight.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Row {
    label: f64,
    prediction: f64,
    probability: f64,
    weight: f64,
}

impl Names {
    fn row(&self, row: &ScoredRow<'_>) -> Row {
        let outputs = row.outputs();
        let (prediction, probability) = match self.classes.len() {
            0 => (outputs[0], f64::NAN),
            2 => (f64::from(outputs[0] > self.threshold), outputs[0]),
            _ => {
                let best = outputs.iter().enumerate();
                let best = best.fold((0, f64::NEG_INFINITY), |best, (class, share)| {
                    if *share > best.1 {
                        (class, *share)
                    } else {
                        best
                    }
                });
                (best.0 as f64, best.1)
            }
        };
        Row {
            label: row.label(),
            prediction,
            probability,
            weight: row.weight(),
        }
    }

    /// A column of rows.
    fn column(&self, name: &str, rows: &[Row]) -> ArrayRef {
        let values = rows.iter().map(|row| match name {
            "label" => row.label,
            "prediction" => row.prediction,
            _ => row.probability,
        });
        if self.classes.is_empty() || name == "probability" {
            return Arc::new(Float64Array::from_iter_values(values));
        }
        // A class that the target does not know is NaN.
        let class = |value: f64| (value >= 0.0).then(|| self.classes.get(value as usize));
        let classes = values.map(|value| class(value).flatten());
        Arc::new(classes.collect::<StringArray>())
    }
}

impl Counted {
    fn evaluate(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        let Some(code) = self.code.as_ref().filter(|_| !self.has_failed) else {
            self.has_failed |= !waiting.is_empty();
            return;
        };
        let columns = code.columns.iter();
        let columns = columns.map(|name| self.names.column(name, &waiting));
        let values = code.compiled.evaluate(&code.expression, columns.collect());
        let values = values.and_then(|values| Ok(cast(&values, &DataType::Float64)?));
        let Ok(values) = values else {
            self.has_failed = true;
            return;
        };
        let values = values.as_primitive::<Float64Type>();
        for (row, value) in waiting.iter().zip(values) {
            if let Some(value) = value {
                self.mean.add(value, row.weight);
                self.rows += 1;
            }
        }
    }
}

impl MetricState for Counted {
    fn add(&mut self, row: &ScoredRow<'_>) {
        self.waiting.push(self.names.row(row));
        if self.waiting.len() >= BLOCK {
            self.evaluate();
        }
    }

    fn merge(&mut self, other: Self) {
        self.has_failed |= other.has_failed;
        self.mean.merge(&other.mean);
        self.rows += other.rows;
        self.waiting.extend(other.waiting);
        if self.waiting.len() >= BLOCK {
            self.evaluate();
        }
    }

    fn finish(&self) -> Option<MetricValue> {
        let mut all = self.clone();
        all.evaluate();
        if all.has_failed || all.rows == 0 {
            return None;
        }
        all.mean.point().with_support(all.rows)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::ArrayView1;

    use super::*;

    fn of(metric: &SqlMetric, target: &Target, rows: &[(f64, f64, f64)]) -> Option<MetricValue> {
        let mut parts = [metric.start(target), metric.start(target)];
        for (at, (label, output, weight)) in rows.iter().enumerate() {
            let outputs = [*output];
            parts[at % 2].add(&ScoredRow::new(*label, ArrayView1::from(&outputs), *weight));
        }
        let [mut first, second] = parts;
        // The state as it comes from another process.
        let stored = serde_json::to_string(&second).unwrap();
        first.merge(serde_json::from_str(&stored).unwrap()).unwrap();
        first.finish()
    }

    #[test]
    fn a_mean_of_a_cost_is_that_of_the_rows() {
        let metric = SqlMetric::new(
            "cost",
            Direction::Lower,
            "case when label = 'late' and prediction = 'ok' then 5 when label <> prediction then 1 else 0 end",
        )
        .unwrap();
        assert_eq!(metric.tasks(), [Task::Binary, Task::Multiclass]);
        let target = Target::classification("state", ["late", "ok"]).unwrap();
        // `ok` is the positive class: of 2,500 rows a fifth of each kind, and NaN for a class that is not known.
        let kinds = [
            (0.0, 0.9, 1.0),
            (0.0, 0.1, 1.0),
            (1.0, 0.9, 2.0),
            (1.0, 0.2, 1.0),
            (f64::NAN, 0.9, 1.0),
        ];
        let rows: Vec<_> = (0..2_500).map(|row| kinds[row % 5]).collect();
        let found = of(&metric, &target, &rows).unwrap();
        // label <> prediction is NULL where the class is not known: the rest is 0.
        let expected = (5.0 + 1.0) / 6.0;
        assert!((found.value - expected).abs() < 1e-12, "{found:?}");
        assert_eq!(found.support, 2_500);
        let (lower, upper) = (found.lower.unwrap(), found.upper.unwrap());
        assert!(lower < expected && expected < upper && upper - lower < 0.2);
    }

    #[test]
    fn numbers_are_compared_and_nulls_do_not_count() {
        let text = "case when label > 10 then abs(label - prediction) end";
        let metric = SqlMetric::new("tall", Direction::Lower, text).unwrap();
        assert_eq!(metric.tasks(), [Task::Regression]);
        let target = Target::regression("height");
        let rows = [(5.0, 1.0, 1.0), (12.0, 10.0, 1.0), (20.0, 21.0, 3.0)];
        let found = of(&metric, &target, &rows).unwrap();
        assert_eq!((found.value, found.support), (1.25, 2));
        assert_eq!(of(&metric, &target, &rows[..1]), None);
        // A cast that fails has no value.
        let text = "cast(cast(label as varchar) || 'x' as double)";
        let metric = SqlMetric::new("broken", Direction::Lower, text).unwrap();
        assert_eq!(of(&metric, &target, &rows), None);
    }

    #[test]
    fn what_is_no_number_of_a_row_is_refused() {
        let refused = |text: &str| {
            let made = SqlMetric::new("m", Direction::Lower, text);
            made.unwrap_err().message().to_owned()
        };
        assert_eq!(
            refused("abs(label - forecast)"),
            "metric `m`: `abs(label - forecast)` names `forecast`, must name only `label`, `prediction`"
        );
        assert!(refused("sum(label)").contains("has the aggregate `sum`"));
        assert!(refused("label ||").contains("is not a SQL expression"));
        assert_eq!(
            refused("concat(label, 'x')"),
            "metric `m`: `concat(label, 'x')` is of type Utf8, must be a number or a boolean"
        );
    }
}
