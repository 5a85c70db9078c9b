//! Errors in rows.

use std::fmt;

use serde::ser;

use crate::error::Error;

/// An error in a row. The caller adds the number of the row.
#[derive(Debug)]
pub(super) enum Fault {
    /// It is known which field is wrong and how.
    Field(Box<Error>),
    /// The row itself, or what its `Serialize` reports.
    Row(String),
}

impl Fault {
    pub(super) fn in_row(self, row: usize) -> Error {
        match self {
            Fault::Field(error) => *error,
            Fault::Row(reason) => Error::data(format!("row {row} {reason}")),
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Fault::Field(Box::new(error))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Field(error) => error.fmt(f),
            Fault::Row(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for Fault {}

impl ser::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Fault::Row(format!("cannot be serialized: {message}"))
    }
}
