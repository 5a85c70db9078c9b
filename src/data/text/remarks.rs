//! Remarks of a source about how it read its columns, kept in the metadata of the schema, from where the pipeline takes them.

use std::collections::HashMap;

use arrow::datatypes::Schema as ArrowSchema;
use serde::{Deserialize, Serialize};

use crate::warning::Warning;

const KEY: &str = "fourfold.remarks";

/// A remark about how a column was read, or about its values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::data) struct Remark {
    /// The column, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::data) column: Option<String>,
    pub(in crate::data) code: String,
    pub(in crate::data) message: String,
}

impl Remark {
    /// The code of columns that are no columns of the table.
    pub(in crate::data) const LEFT_OUT: &'static str = "column_left_out";

    pub(in crate::data) fn warning(&self) -> Warning {
        let warning = Warning::new("read", &self.code, &self.message);
        match &self.column {
            Some(column) => warning.of_column(column),
            None => warning,
        }
    }

    pub(in crate::data) fn of_column(column: &str, code: &str, message: impl Into<String>) -> Self {
        Remark {
            column: Some(column.to_owned()),
            code: code.to_owned(),
            message: message.into(),
        }
    }

    /// A word for no value that is taken as such.
    pub(super) fn mark_is_missing(column: &str, word: &str, n: u64, n_rows: u64) -> Self {
        let message = format!(
            "`{word}` in {n} of {n_rows} rows is taken as missing; set null marks to change that"
        );
        Remark::of_column(column, "mark_is_missing", message)
    }

    pub(in crate::data) fn new(code: &str, message: impl Into<String>) -> Self {
        Remark {
            column: None,
            code: code.to_owned(),
            message: message.into(),
        }
    }
}

/// The notes as metadata of a schema.
pub(in crate::data) fn metadata(notes: &[Remark]) -> HashMap<String, String> {
    match serde_json::to_string(notes) {
        Ok(text) if !notes.is_empty() => HashMap::from([(KEY.to_owned(), text)]),
        _ => HashMap::new(),
    }
}

/// The notes of a schema.
pub(in crate::data) fn remarks_of(schema: &ArrowSchema) -> Vec<Remark> {
    let text = schema.metadata().get(KEY);
    text.and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default()
}
