//! The weights of rows in training.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Float64Type;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, near_names};
use crate::schema::FieldType;
use crate::statistics::ColumnStatistics;

use super::Target;

/// The weights of classes in training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClassWeights {
    /// The rarer a class, the more: a row of class `c` counts `n / (k * n_c)`, for `n` rows of `k` classes of which
    /// `n_c` are of `c`. All classes then count the same together, as with `class_weight="balanced"` of scikit-learn.
    Balanced,
    /// A given weight for each class. Every class must have one.
    Given(BTreeMap<String, f64>),
}

impl ClassWeights {
    /// A given weight for each class.
    #[must_use]
    pub fn given<C: Into<String>>(weights: impl IntoIterator<Item = (C, f64)>) -> Self {
        ClassWeights::Given(
            weights
                .into_iter()
                .map(|(class, weight)| (class.into(), weight))
                .collect(),
        )
    }

    /// Checks the weights.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) with the class and its weight.
    pub fn check(&self) -> Result<()> {
        let ClassWeights::Given(weights) = self else {
            return Ok(());
        };
        match weights
            .iter()
            .find(|(_, weight)| !(weight.is_finite() && **weight > 0.0))
        {
            Some((class, weight)) => Err(Error::config(format!(
                "class `{class}` has weight {weight}, must be a finite number above 0"
            ))),
            None => Ok(()),
        }
    }

    /// The weight of each class of a target, by the counts of the label in the `train` split.
    fn of(&self, target: &Target, label: &ColumnStatistics) -> Result<Vec<f64>> {
        let classes = target.classes();
        if classes.is_empty() {
            return Err(Error::config(format!(
                "class weights are configured, but label `{}` defines a regression task, which has no classes",
                target.label()
            )));
        }
        match self {
            ClassWeights::Balanced => {
                let count_of = |class: &String| {
                    let found = label.top_values.iter().find(|(value, _)| value == class);
                    found.map_or(0, |(_, count)| *count)
                };
                let n: u64 = classes.iter().map(count_of).sum();
                let share = n as f64 / classes.len() as f64;
                Ok(classes
                    .iter()
                    .map(|class| share / (count_of(class).max(1)) as f64)
                    .collect())
            }
            ClassWeights::Given(weights) => {
                let known = || classes.iter().map(String::as_str);
                if let Some(unknown) = weights.keys().find(|class| !classes.contains(class)) {
                    return Err(Error::config(format!(
                        "class `{unknown}` has a weight, but is not a class of label `{}`{}",
                        target.label(),
                        near_names(unknown, known())
                    )));
                }
                classes
                    .iter()
                    .map(|class| {
                        weights.get(class).copied().ok_or_else(|| {
                            Error::config(format!(
                                "class `{class}` of label `{}` has no weight, every class must have one",
                                target.label()
                            ))
                        })
                    })
                    .collect()
            }
        }
    }
}

/// The weight of each row in training: the value of a column, times the weight of its class.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Weighting {
    column: Option<String>,
    classes: Option<Vec<f64>>,
    /// The number of original rows that one row stands for, by class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stands_for: Option<Vec<f64>>,
}

impl Weighting {
    /// A weighting by the column of a target, and by its classes; the label has these statistics in the `train` split.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if the weights are not of the target's classes.
    pub fn new(
        classes: Option<&ClassWeights>,
        target: &Target,
        label: &ColumnStatistics,
    ) -> Result<Self> {
        let classes = classes.map(|classes| classes.of(target, label));
        Ok(Weighting {
            classes: classes.transpose()?,
            ..Weighting::of(target)
        })
    }

    /// The same times the number of original rows that a row of each class stands for.
    #[cfg(feature = "datafusion")]
    pub(crate) fn standing_for(mut self, rows: &[f64]) -> Self {
        self.stands_for = Some(match self.stands_for {
            Some(before) => before.iter().zip(rows).map(|(a, b)| a * b).collect(),
            None => rows.to_vec(),
        });
        self
    }

    /// The same without the weights that classes were given: as the rows count where a model will be used.
    #[cfg(feature = "datafusion")]
    pub(crate) fn without_classes(mut self) -> Self {
        self.classes = None;
        self
    }

    /// A weighting by the column of a target alone, if it has one.
    #[must_use]
    pub fn of(target: &Target) -> Self {
        Weighting {
            column: target.weight().map(str::to_owned),
            ..Weighting::default()
        }
    }

    /// A weighting by a column of finite numbers of at least 0 alone.
    #[must_use]
    pub fn of_column(column: impl Into<String>) -> Self {
        Weighting {
            column: Some(column.into()),
            ..Weighting::default()
        }
    }

    /// Returns true if every row has the same weight.
    #[must_use]
    pub fn is_uniform(&self) -> bool {
        self.column.is_none() && self.classes.is_none() && self.stands_for.is_none()
    }

    /// The column of weights.
    #[must_use]
    pub fn column(&self) -> Option<&str> {
        self.column.as_deref()
    }

    /// The weight of each class, in the order of the target's classes.
    #[must_use]
    pub fn classes(&self) -> Option<&[f64]> {
        self.classes.as_deref()
    }

    /// The weight of each row, whose labels are given as [`Target::encode`] has them.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](crate::ErrorKind::Data) if a row's weight is NULL, negative or not finite.
    pub fn weights(&self, batch: &RecordBatch, labels: &[f64]) -> Result<Vec<f64>> {
        let mut weights = match &self.column {
            Some(column) => column_weights(batch, column)?,
            None => vec![1.0; labels.len()],
        };
        for classes in [&self.classes, &self.stands_for].into_iter().flatten() {
            for (weight, label) in weights.iter_mut().zip(labels) {
                // A class that the `train` split lacks counts as it is.
                *weight *= classes.get(*label as usize).copied().unwrap_or(1.0);
            }
        }
        Ok(weights)
    }
}

fn column_weights(batch: &RecordBatch, name: &str) -> Result<Vec<f64>> {
    let schema = batch.schema();
    let column = batch.column_by_name(name).ok_or_else(|| {
        let names = schema.fields().iter().map(|field| field.name().as_str());
        Error::config(format!(
            "the weights' column `{name}` is not in the data{}",
            near_names(name, names)
        ))
    })?;
    let found = FieldType::of(column.data_type());
    if !matches!(found, FieldType::Integer | FieldType::Float) {
        return Err(Error::config(format!(
            "the weights' column `{name}` is of type {found}, must be of numbers"
        )));
    }
    let numbers = FieldType::Float.normalize(name, column)?;
    let numbers = numbers.as_primitive::<Float64Type>();
    let odd = |value: &str| {
        Err(Error::data(format!(
            "the weights' column `{name}` is {value} in a row, must be a finite number of at least 0"
        )))
    };
    if numbers.null_count() > 0 {
        return odd("NULL");
    }
    match numbers
        .values()
        .iter()
        .find(|value| !(value.is_finite() && **value >= 0.0))
    {
        Some(value) => odd(&value.to_string()),
        None => Ok(numbers.values().to_vec()),
    }
}
