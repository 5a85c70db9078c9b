//! Warnings: decisions that a program made on its own, and what it left out.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Something to know about a run that continued: what was left out, guessed, or not done as asked.
///
/// All of a run's are in its record, its report and its JSON, in the order of the stages.
///
/// ```
/// use fourfold::Warning;
///
/// let warning = Warning::new("transform", "column_dropped", "constant").of_column("country");
/// assert_eq!(warning.to_string(), "transform: column `country`: constant [column_dropped]");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Warning {
    /// The stage or step that issues it.
    pub stage: String,
    /// The column that it is about, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// The kind, for programs: lower case, words joined by `_`. It stays the same between versions.
    pub code: String,
    /// The message.
    pub message: String,
}

impl Warning {
    /// A warning about no column.
    #[must_use]
    pub fn new(
        stage: impl Into<String>,
        code: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Warning {
            stage: stage.into(),
            column: None,
            code: code.into(),
            message: message.into(),
        }
    }

    /// The same about a column.
    #[must_use]
    pub fn of_column(mut self, column: impl Into<String>) -> Self {
        self.column = Some(column.into());
        self
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.stage)?;
        if let Some(column) = &self.column {
            write!(f, "column `{column}`: ")?;
        }
        write!(f, "{} [{}]", self.message, self.code)
    }
}
