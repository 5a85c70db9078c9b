//! Writing JSON by hand, without a document of it.

use serde::Serialize;

use super::output::OutputData;

/// Appends a value that is known to have a form in JSON: a number, a list of numbers, a string.
#[inline]
pub(super) fn push_value<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    // Writing into memory does not fail, and the keys of such values are strings.
    let written = serde_json::to_writer(&mut *out, value);
    debug_assert!(written.is_ok(), "{written:?}");
}

/// Appends a string in quotes.
pub(super) fn push_text(out: &mut Vec<u8>, text: &str) {
    push_value(out, text);
}

/// A list that is being written.
#[derive(Debug)]
pub(super) struct JsonList {
    is_empty: bool,
}

impl JsonList {
    pub(super) fn begin(out: &mut Vec<u8>) -> Self {
        out.push(b'[');
        JsonList { is_empty: true }
    }

    /// Before each element.
    #[inline]
    pub(super) fn next(&mut self, out: &mut Vec<u8>) {
        if !std::mem::take(&mut self.is_empty) {
            out.push(b',');
        }
    }

    pub(super) fn end(self, out: &mut Vec<u8>) {
        out.push(b']');
    }
}

impl OutputData<'_> {
    /// Appends the elements as a flat list. Numbers round-trip exactly.
    pub(super) fn push_json(&self, out: &mut Vec<u8>) {
        match self {
            OutputData::Numbers(numbers) => push_value(out, &**numbers),
            OutputData::Texts(texts) => push_value(out, texts),
        }
    }
}
