//! The target of a prediction.

use std::collections::HashSet;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{Float64Type, Int64Type};
use serde::{Deserialize, Serialize};

use ndarray::ArrayView2;

use super::Task;
use crate::error::{Error, Result, near_names};
use crate::schema::FieldType;
use crate::statistics::ColumnStatistics;

/// The default of the threshold.
const HALF: f64 = 0.5;

/// The target of a prediction: the label's column, the meaning of a model's outputs, and what else is known of the rows
/// it is learned from. It is saved with the model, in its manifest.
///
/// | task | outputs of a model |
/// | --- | --- |
/// | [`Task::Regression`] | one: the value |
/// | [`Task::Binary`] | one: the probability of the second class |
/// | [`Task::Multiclass`] | one a class: its probability |
///
/// ```
/// use fourfold::model::{Target, Task};
///
/// let late = Target::classification("late", ["no", "yes"])?.with_threshold(0.3)?.with_weight("rows");
/// assert_eq!((late.task(), late.threshold(), late.weight()), (Task::Binary, 0.3, Some("rows")));
/// # Ok::<(), fourfold::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Saved")]
pub struct Target {
    task: Task,
    label: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    classes: Vec<String>,
    /// The threshold of two classes; one half is not saved.
    #[serde(skip_serializing_if = "Option::is_none")]
    threshold: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
}

/// A target as it is saved, not checked yet.
#[derive(Deserialize)]
struct Saved {
    task: Task,
    label: String,
    #[serde(default)]
    classes: Vec<String>,
    threshold: Option<f64>,
    weight: Option<String>,
    group: Option<String>,
    time: Option<String>,
}

impl TryFrom<Saved> for Target {
    type Error = Error;

    fn try_from(saved: Saved) -> Result<Self> {
        let mut target = match saved.task {
            Task::Regression => Target::regression(saved.label),
            Task::Binary | Task::Multiclass => Target::classification(saved.label, saved.classes)?,
        };
        if target.task != saved.task {
            return Err(Error::config(format!(
                "label `{}` has {} classes, which is no {} task",
                target.label,
                target.classes.len(),
                saved.task
            )));
        }
        if let Some(threshold) = saved.threshold {
            target = target.with_threshold(threshold)?;
        }
        Ok(Target {
            weight: saved.weight,
            group: saved.group,
            time: saved.time,
            ..target
        })
    }
}

impl Target {
    /// The most classes that are taken for a classification.
    pub const MAX_CLASSES: usize = 100;

    /// A number.
    #[must_use]
    pub fn regression(label: impl Into<String>) -> Self {
        Target {
            task: Task::Regression,
            label: label.into(),
            classes: Vec::new(),
            threshold: None,
            weight: None,
            group: None,
            time: None,
        }
    }

    /// One of these classes; the second of two is the positive one.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if there are fewer than two, or duplicates.
    pub fn classification<C: Into<String>>(
        label: impl Into<String>,
        classes: impl IntoIterator<Item = C>,
    ) -> Result<Self> {
        let label = label.into();
        let classes: Vec<String> = classes.into_iter().map(Into::into).collect();
        if classes.len() < 2 {
            return Err(Error::config(format!(
                "label `{label}` has {} classes, must be at least 2",
                classes.len()
            )));
        }
        let mut known = HashSet::new();
        if let Some(twice) = classes.iter().find(|class| !known.insert(class.as_str())) {
            return Err(Error::config(format!(
                "duplicate class `{twice}` of label `{label}`"
            )));
        }
        let task = match classes.len() {
            2 => Task::Binary,
            _ => Task::Multiclass,
        };
        Ok(Target {
            task,
            classes,
            ..Target::regression(label)
        })
    }

    /// The target that a label's statistics suggest. By default the label decides the task: booleans, strings and two
    /// distinct numbers are classes; at most ten consecutive whole numbers are classes; other numbers are values.
    /// Classes are sorted (numbers by value, strings by their bytes, `false` before `true`); the second of two is the
    /// positive one.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](crate::ErrorKind::Data) if the label has no value or one class, if it has too many
    /// classes, or if a regression's label is no number.
    pub fn infer(label: &ColumnStatistics, task: impl Into<Option<Task>>) -> Result<Self> {
        let name = label.name.clone();
        let wrong = |what: String| Error::data(format!("label `{name}` {what}"));
        if label.count == 0 {
            return Err(wrong("is NULL in every row".to_owned()));
        }
        let numeric = matches!(label.field_type, FieldType::Integer | FieldType::Float);
        let task = task.into().unwrap_or_else(|| Task::of(label));
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
            return Ok(Target::regression(name));
        }
        if !(numeric || matches!(label.field_type, FieldType::Text | FieldType::Boolean)) {
            return Err(wrong(format!(
                "is of type {}, must be text, boolean or a number to be classes",
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
                "has one class only, `{}` ({} {}); a classification needs at least two",
                classes.first().map_or("", String::as_str),
                label.count,
                if label.count == 1 { "row" } else { "rows" }
            ))),
            (Task::Binary, n) if n != 2 => {
                Err(wrong(format!("has {n} classes, a binary task has two")))
            }
            _ => Target::classification(name, classes),
        }
    }

    /// The same with another positive class of two.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if there is no such class, with the near ones, or if there are
    /// not two.
    pub fn with_positive(mut self, class: &str) -> Result<Self> {
        if self.task != Task::Binary {
            return Err(Error::config(format!(
                "`{class}` is configured as the positive class, but label `{}` defines a {} task, which has none",
                self.label, self.task
            )));
        }
        match self.classes.iter().position(|known| known == class) {
            Some(0) => self.classes.swap(0, 1),
            Some(_) => {}
            None => {
                return Err(Error::config(format!(
                    "`{class}` is configured as the positive class, but is not a class of label `{}`{}",
                    self.label,
                    near_names(class, self.classes.iter().map(String::as_str))
                )));
            }
        }
        Ok(self)
    }

    /// The same with another [threshold](Target::threshold).
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if it is not from 0 to 1, or if there are not two classes.
    pub fn with_threshold(mut self, threshold: f64) -> Result<Self> {
        if self.task != Task::Binary {
            return Err(Error::config(format!(
                "label `{}` defines a {} task, but a decision threshold requires two classes",
                self.label, self.task
            )));
        }
        if !(0.0..=1.0).contains(&threshold) {
            return Err(Error::config(format!(
                "the decision threshold is {threshold}, must be from 0 to 1"
            )));
        }
        self.threshold = (threshold != HALF).then_some(threshold);
        Ok(self)
    }

    /// The same with a column of how much each row counts.
    #[must_use]
    pub fn with_weight(mut self, column: impl Into<String>) -> Self {
        self.weight = Some(column.into());
        self
    }

    /// The same with a column whose equal values are one entity.
    #[must_use]
    pub fn with_group(mut self, column: impl Into<String>) -> Self {
        self.group = Some(column.into());
        self
    }

    /// The same with a column of when each row was.
    #[must_use]
    pub fn with_time(mut self, column: impl Into<String>) -> Self {
        self.time = Some(column.into());
        self
    }

    /// Checks that a model's outputs `(n_rows, n_outputs)` are valid: finite, and probabilities if there
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
        &self.label
    }

    /// The task.
    #[must_use]
    pub fn task(&self) -> Task {
        self.task
    }

    /// The classes, of which the second of two is the positive one; none for a regression.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The probability of the positive class above which it is the answer: one half by default.
    #[must_use]
    pub fn threshold(&self) -> f64 {
        self.threshold.unwrap_or(HALF)
    }

    /// The column of how much each row counts: finite numbers of at least 0. It is no feature.
    #[must_use]
    pub fn weight(&self) -> Option<&str> {
        self.weight.as_deref()
    }

    /// The column whose equal values are one entity, such as a customer: its rows are not parted where others are held
    /// out. It is no feature.
    #[must_use]
    pub fn group(&self) -> Option<&str> {
        self.group.as_deref()
    }

    /// The column of when each row was, where rows are learned from in that order.
    #[must_use]
    pub fn time(&self) -> Option<&str> {
        self.time.as_deref()
    }

    /// Returns true if the outputs of a model for the other target mean the same: values, or probabilities of the same
    /// classes in the same order. Labels may have other names, and thresholds and columns of rows may differ.
    #[must_use]
    pub fn answers_as(&self, other: &Target) -> bool {
        self.task == other.task && self.classes == other.classes
    }

    /// The number of outputs that a model for this target has.
    #[must_use]
    pub fn n_outputs(&self) -> usize {
        match self.task {
            Task::Regression | Task::Binary => 1,
            Task::Multiclass => self.classes.len(),
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
        Ok(match (self.task, field_type) {
            (Task::Regression, FieldType::Float) => column
                .as_primitive::<Float64Type>()
                .iter()
                .map(|value| value.unwrap_or(f64::NAN))
                .collect(),
            (Task::Regression, FieldType::Integer) => column
                .as_primitive::<Int64Type>()
                .iter()
                .map(|value| value.map_or(f64::NAN, |value| value as f64))
                .collect(),
            (Task::Regression, _) => return Err(wrong()),
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
