//! What is predicted.

use std::fmt;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{Float64Type, Int64Type};
use serde::{Deserialize, Serialize};

use ndarray::ArrayView2;

use crate::error::{Error, Result, near_names};
use crate::schema::FieldType;
use crate::statistics::ColumnStatistics;

/// The kind of learning task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// By the label: booleans, texts and two distinct numbers are classes; at most ten consecutive whole numbers
    /// are classes; other numbers are values.
    #[default]
    Auto,
    /// Two classes.
    Binary,
    /// Three classes or more.
    Multiclass,
    /// A number.
    Regression,
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Task::Auto => "auto",
            Task::Binary => "binary",
            Task::Multiclass => "multiclass",
            Task::Regression => "regression",
        })
    }
}

impl std::str::FromStr for Task {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(Task::Auto),
            "binary" => Ok(Task::Binary),
            "multiclass" => Ok(Task::Multiclass),
            "regression" => Ok(Task::Regression),
            other => Err(Error::config(format!(
                "`{other}` is no task, must be auto, binary, multiclass or regression"
            ))),
        }
    }
}

/// The label of a fitted pipeline, and what a model's outputs mean.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "snake_case")]
pub enum Target {
    /// One output: the value.
    Regression {
        /// The label's column.
        label: String,
    },
    /// One output: the probability of the second class.
    Binary {
        /// The label's column.
        label: String,
        /// The negative and the positive class.
        classes: [String; 2],
    },
    /// One output a class: its probability.
    Multiclass {
        /// The label's column.
        label: String,
        /// The classes, sorted.
        classes: Vec<String>,
    },
}

impl Target {
    /// The most classes that are taken for a classification.
    pub const MAX_CLASSES: usize = 100;

    /// The target that a label's statistics suggest for a task. Classes are sorted (numbers by value, texts by
    /// their bytes, `false` before `true`); the second of two is the positive one.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](crate::ErrorKind::Data) if the label has no value or one class, if it has too many
    /// classes, or if a regression's label is no number.
    pub fn infer(label: &ColumnStatistics, task: Task) -> Result<Self> {
        let name = label.name.clone();
        let wrong = |what: String| Error::data(format!("label `{name}` {what}"));
        if label.count == 0 {
            return Err(wrong("is NULL in every row".to_owned()));
        }
        let numeric = matches!(label.field_type, FieldType::Integer | FieldType::Float);
        let task = match task {
            Task::Auto => auto_task(label),
            task => task,
        };
        if task == Task::Regression {
            if !numeric {
                return Err(wrong(format!(
                    "is of type {}, a regression needs numbers",
                    label.field_type
                )));
            }
            let numbers = label.numeric.as_ref();
            if let Some(bad) = numbers
                .map(|numbers| numbers.non_finite())
                .filter(|bad| *bad > 0)
            {
                return Err(wrong(format!("is NaN or infinite in {bad} rows")));
            }
            if label.distinct < 2 {
                let value = label.top_values.first().map_or("?", |(value, _)| value);
                return Err(wrong(format!(
                    "is {value} in every row, there is nothing to learn"
                )));
            }
            return Ok(Target::Regression { label: name });
        }
        if !(numeric || matches!(label.field_type, FieldType::Text | FieldType::Boolean)) {
            return Err(wrong(format!(
                "is of type {}, classes are texts, booleans or numbers",
                label.field_type
            )));
        }
        if !label.top_values_exact || label.top_values.len() > Self::MAX_CLASSES {
            return Err(wrong(format!(
                "has about {} distinct values, a classification takes at most {}",
                label.distinct,
                Self::MAX_CLASSES
            )));
        }
        let mut classes: Vec<String> = label
            .top_values
            .iter()
            .map(|(value, _)| value.clone())
            .collect();
        if numeric {
            classes.sort_by(|a, b| {
                let number = |text: &str| text.parse::<f64>().unwrap_or(f64::NAN);
                number(a).total_cmp(&number(b))
            });
        } else {
            classes.sort_unstable();
        }
        match (task, classes.len()) {
            (_, 0 | 1) => Err(wrong(format!(
                "has one class only, `{}`, in all {} rows; a classification needs at least two",
                classes.first().map_or("", String::as_str),
                label.count
            ))),
            (Task::Binary, n) if n != 2 => {
                Err(wrong(format!("has {n} classes, a binary task has two")))
            }
            (_, 2) => {
                let positive = classes.pop().unwrap_or_default();
                let negative = classes.pop().unwrap_or_default();
                Ok(Target::Binary {
                    label: name,
                    classes: [negative, positive],
                })
            }
            _ => Ok(Target::Multiclass {
                label: name,
                classes,
            }),
        }
    }

    /// The same with another positive class of two.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if there is no such class, with the near ones, or if there are
    /// not two.
    pub fn with_positive(mut self, class: &str) -> Result<Self> {
        let task = self.task();
        let Target::Binary { label, classes } = &mut self else {
            return Err(Error::config(format!(
                "`{class}` is to be the positive class, and label `{}` makes a {task} task, which has none",
                self.label()
            )));
        };
        match classes.iter().position(|known| known == class) {
            Some(0) => classes.swap(0, 1),
            Some(_) => {}
            None => {
                return Err(Error::config(format!(
                    "`{class}` is to be the positive class and is no class of label `{label}`{}",
                    near_names(class, classes.iter().map(String::as_str))
                )));
            }
        }
        Ok(self)
    }

    /// That a model's outputs `(n_rows, n_outputs)` are what they are said to be: finite, and probabilities if there
    /// are classes.
    pub(crate) fn check_outputs(&self, outputs: ArrayView2<'_, f64>) -> Result<()> {
        const TOLERANCE: f64 = 1e-4;
        let wrong = |row: usize, what: String| {
            Err(Error::model(format!(
                "the model answered {what} for row {row}"
            )))
        };
        let odd = |range: std::ops::RangeInclusive<f64>| {
            let mut found = outputs.indexed_iter();
            found.find(|(_, output)| !range.contains(*output))
        };
        if self.classes().is_empty() {
            return match odd(f64::MIN..=f64::MAX) {
                Some(((row, _), output)) => wrong(row, output.to_string()),
                None => Ok(()),
            };
        }
        if let Some(((row, at), output)) = odd(0.0..=1.0) {
            // The one output of two classes is the second's.
            let class = match self.classes() {
                [_, positive] => positive.as_str(),
                classes => classes.get(at).map_or("", String::as_str),
            };
            let what = format!("{output} as the probability of `{class}`, must be from 0 to 1,");
            return wrong(row, what);
        }
        if outputs.ncols() > 1 {
            let mut sums = outputs.rows().into_iter().map(|row| row.sum()).enumerate();
            if let Some((row, sum)) = sums.find(|(_, sum)| (sum - 1.0).abs() > TOLERANCE) {
                return wrong(
                    row,
                    format!("probabilities with a sum of {sum}, must be 1,"),
                );
            }
        }
        Ok(())
    }

    /// The label's column.
    #[must_use]
    pub fn label(&self) -> &str {
        match self {
            Target::Regression { label }
            | Target::Binary { label, .. }
            | Target::Multiclass { label, .. } => label,
        }
    }

    /// The task, which is not [`Task::Auto`].
    #[must_use]
    pub fn task(&self) -> Task {
        match self {
            Target::Regression { .. } => Task::Regression,
            Target::Binary { .. } => Task::Binary,
            Target::Multiclass { .. } => Task::Multiclass,
        }
    }

    /// The classes; none for a regression.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        match self {
            Target::Regression { .. } => &[],
            Target::Binary { classes, .. } => classes,
            Target::Multiclass { classes, .. } => classes,
        }
    }

    /// The probability of the positive class above which it is the answer: one half.
    #[must_use]
    pub fn threshold(&self) -> f64 {
        0.5
    }

    /// The number of outputs that a model for this target has.
    #[must_use]
    pub fn n_outputs(&self) -> usize {
        match self {
            Target::Regression { .. } | Target::Binary { .. } => 1,
            Target::Multiclass { classes, .. } => classes.len(),
        }
    }

    /// Labels as numbers `(n_rows)`: values of a regression, else indexes of classes. A class that the target does
    /// not know, and a missing value, is NaN.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](crate::ErrorKind::Data) if the column is of a type that cannot be such a label.
    pub fn encode(&self, column: &ArrayRef) -> Result<Vec<f64>> {
        let field_type = FieldType::of(column.data_type());
        let column = field_type.normalize(self.label(), column)?;
        let wrong = || {
            Error::data(format!(
                "label `{}` is of type {field_type}, which does not fit a {} task",
                self.label(),
                self.task()
            ))
        };
        let classes = self.classes();
        let class_of = |text: Option<&str>| {
            text.and_then(|text| classes.iter().position(|class| class == text))
                .map_or(f64::NAN, |index| index as f64)
        };
        Ok(match (self, field_type) {
            (Target::Regression { .. }, FieldType::Float) => column
                .as_primitive::<Float64Type>()
                .iter()
                .map(|value| value.unwrap_or(f64::NAN))
                .collect(),
            (Target::Regression { .. }, FieldType::Integer) => column
                .as_primitive::<Int64Type>()
                .iter()
                .map(|value| value.map_or(f64::NAN, |value| value as f64))
                .collect(),
            (Target::Regression { .. }, _) => return Err(wrong()),
            (_, FieldType::Text) => column.as_string::<i32>().iter().map(class_of).collect(),
            (_, FieldType::Boolean) => column
                .as_boolean()
                .iter()
                .map(|value| class_of(value.map(|value| if value { "true" } else { "false" })))
                .collect(),
            (_, FieldType::Integer) => column
                .as_primitive::<Int64Type>()
                .iter()
                .map(|value| class_of(value.map(|value| value.to_string()).as_deref()))
                .collect(),
            (_, FieldType::Float) => column
                .as_primitive::<Float64Type>()
                .iter()
                // 0 and -0 are one class.
                .map(|value| class_of(value.map(|value| (value + 0.0).to_string()).as_deref()))
                .collect(),
            _ => return Err(wrong()),
        })
    }
}

fn auto_task(label: &ColumnStatistics) -> Task {
    let classes = label.top_values.len();
    let whole_run = || {
        let values: Vec<f64> = label
            .top_values
            .iter()
            .filter_map(|(value, _)| value.parse().ok())
            .collect();
        let (min, max) = values
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), value| {
                (min.min(*value), max.max(*value))
            });
        values.iter().all(|value| value.fract() == 0.0) && max - min + 1.0 == values.len() as f64
    };
    match label.field_type {
        FieldType::Integer | FieldType::Float if !label.top_values_exact => Task::Regression,
        FieldType::Integer | FieldType::Float if classes <= 2 => Task::Binary,
        FieldType::Integer | FieldType::Float if classes <= 10 && whole_run() => Task::Multiclass,
        FieldType::Integer | FieldType::Float => Task::Regression,
        _ if classes <= 2 => Task::Binary,
        _ => Task::Multiclass,
    }
}
