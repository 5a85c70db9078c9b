//! Tables of text: their records, what their values can be read as, and the values read.
//!
//! [`csv`] and [`json`] cut bytes into records and fields; a [`Tally`] counts what the fields of a column can be read
//! as; a [`Column`] holds them read as one [`Kind`], in the layout of Arrow. [`number`] and [`time`] read one value.

pub mod csv;
pub mod json;
pub mod number;
pub mod time;

mod column;
mod marks;
mod tally;

pub use self::column::{Bits, Column, Kind, Values};
pub use self::marks::Marks;
pub use self::tally::{First, Reading, Tally};

/// The reason that a record cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The start of the record, in bytes from the beginning of the chunk.
    pub at: usize,
    /// The fault.
    pub kind: FaultKind,
}

/// The kind of a fault in a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// A value that is not of the column's kind.
    Value {
        /// The column, counted from 0.
        column: usize,
        /// The value.
        value: Vec<u8>,
    },
    /// Another number of fields than there are columns.
    Fields(usize),
    /// A field of a record of JSON that is no column.
    UnknownField(Vec<u8>),
    /// A duplicate field.
    RepeatedField(Vec<u8>),
    /// Invalid JSON, from this byte of the chunk on.
    Syntax(usize),
    /// The chunk ends within the record.
    Unfinished,
}

/// The number of times that a byte is in a chunk.
#[must_use]
pub fn count(byte: u8, chunk: &[u8]) -> usize {
    memchr::memchr_iter(byte, chunk).count()
}
