//! The kind of a prediction.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::schema::FieldType;
use crate::statistics::ColumnStatistics;

/// The kind of learning task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Task {
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
            "binary" => Ok(Task::Binary),
            "multiclass" => Ok(Task::Multiclass),
            "regression" => Ok(Task::Regression),
            other => Err(Error::config(format!(
                "`{other}` is no task, must be binary, multiclass or regression"
            ))),
        }
    }
}

impl Task {
    /// The task that a label's statistics suggest, see [`Target::infer`](super::Target::infer).
    pub(super) fn of(label: &ColumnStatistics) -> Self {
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
            values.iter().all(|value| value.fract() == 0.0)
                && max - min + 1.0 == values.len() as f64
        };
        match label.field_type {
            FieldType::Integer | FieldType::Float if !label.top_values_exact => Task::Regression,
            FieldType::Integer | FieldType::Float if classes <= 2 => Task::Binary,
            FieldType::Integer | FieldType::Float if classes <= 10 && whole_run() => {
                Task::Multiclass
            }
            FieldType::Integer | FieldType::Float => Task::Regression,
            _ if classes <= 2 => Task::Binary,
            _ => Task::Multiclass,
        }
    }
}
