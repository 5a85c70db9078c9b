//! Builder of lists of strings.

use arrow::array::{ArrayBuilder, StringBuilder};
use arrow::buffer::NullBuffer;

use super::value::{List, Value};
use crate::error::{Error, Result};

/// A list of strings per row, row by row.
pub(super) struct TextLists {
    items: StringBuilder,
    n_bytes: usize,
    offsets: Vec<usize>,
}

impl TextLists {
    pub(super) fn with_rows(n_rows: usize) -> Self {
        let mut offsets = Vec::with_capacity(n_rows + 1);
        offsets.push(0);
        TextLists {
            items: StringBuilder::new(),
            n_bytes: 0,
            offsets,
        }
    }

    /// Adds an item to the row.
    pub(super) fn push(&mut self, item: &str) -> Result<()> {
        self.n_bytes += item.len();
        if self.n_bytes > i32::MAX as usize {
            return Err(Error::data(
                "the strings of one batch take more than 2 GiB; use smaller batches",
            ));
        }
        self.items.append_value(item);
        Ok(())
    }

    /// Ends the row.
    pub(super) fn end_row(&mut self) {
        self.offsets.push(self.items.len());
    }

    pub(super) fn finish(mut self, nulls: Option<NullBuffer>) -> Value {
        Value::List(Box::new(List {
            offsets: self.offsets,
            nulls,
            items: Value::Text(Box::new(self.items.finish())),
        }))
    }
}
