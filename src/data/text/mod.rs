//! Files of text, CSV and JSON, as tables.
//!
//! Such files do not declare the types of their columns. The [`inspector`] cuts the first rows into fields and
//! counts what these can be read as, [`infer`] chooses from the counts, and [`TextTable`] reads every row as what was
//! chosen: in parts, side by side, the rows in order. The loops over bytes are those of [`fourfold_kernels::text`].

mod blocks;
mod explain;
mod foreign;
mod header;
mod infer;
mod inspector;
mod nested;
mod order;
mod places;
mod read;
mod remarks;
mod sample;
mod scan;
mod words;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use fourfold_kernels::text::csv::{self, Dialect};
use fourfold_kernels::text::json::{self, Fields};
use fourfold_kernels::text::{Column, Fault, Kind, Marks, count};
use serde::{Deserialize, Serialize};

pub(super) use self::infer::Inference;
pub(super) use self::inspector::TextInspector;
use self::order::Order;
pub(super) use self::read::array_of;
pub(super) use self::remarks::{Remark, metadata, remarks_of};
pub(super) use self::scan::TextScan;
use crate::error::{Error, Result, near_names};
use crate::schema::FieldType;

/// The longest record, in bytes: a quote that is not closed takes all that follows for one.
const LONGEST_RECORD: usize = 1 << 26;

/// Options for reading CSV and JSON files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct TextOptions {
    /// The words that stand for a missing value, instead of the usual ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) nulls: Option<Vec<String>>,
    /// The types of some columns.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) types: BTreeMap<String, FieldType>,
    /// The types of columns that may be in the files.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) expected: BTreeMap<String, FieldType>,
    /// Columns that are not read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) leave_out: Vec<String>,
    /// Whether the decimal separator is a comma.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) decimal_comma: bool,
    /// Whether CSV files have no header.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) no_header: bool,
}

impl TextOptions {
    pub(super) fn is_default(&self) -> bool {
        *self == TextOptions::default()
    }

    pub(super) fn check(&self) -> Result<()> {
        let other = self
            .types
            .iter()
            .find(|(_, field_type)| **field_type == FieldType::Other);
        match other {
            Some((column, _)) => Err(Error::config(format!(
                "column `{column}` is to be of type other, must be boolean, integer, float, text, date or timestamp"
            ))),
            None => Ok(()),
        }
    }

    /// The type that a column is to be read as, if one is given.
    pub(super) fn type_of(&self, column: &str) -> Option<FieldType> {
        let given = self.types.get(column);
        given.or_else(|| self.expected.get(column)).copied()
    }

    /// Refuses options of a column that is not there.
    fn check_names(&self, names: &[String]) -> Result<()> {
        let mut said = self.types.keys().chain(&self.leave_out);
        match said.find(|name| !names.contains(name)) {
            Some(name) => Err(Error::config(format!(
                "column `{name}` is not in the data{}",
                near_names(name, names.iter().map(String::as_str))
            ))),
            None => Ok(()),
        }
    }
}

/// The format of the records.
#[derive(Clone, Debug)]
enum Format {
    Csv(Dialect),
    Json(Arc<Fields>),
}

impl Format {
    /// The end of the last whole record of a chunk that begins with a record.
    fn cut(&self, chunk: &[u8], lines: bool) -> Option<usize> {
        match self {
            Format::Csv(dialect) => csv::cut(chunk, dialect),
            Format::Json(_) => json::cut(chunk, lines),
        }
    }

    fn read(&self, chunk: &[u8], columns: &mut [Column]) -> Result<usize, Fault> {
        match self {
            Format::Csv(dialect) => csv::read(chunk, dialect, columns),
            Format::Json(fields) => json::read(chunk, fields, columns),
        }
    }

    /// The number of lines that end in a chunk.
    fn lines(&self, chunk: &[u8]) -> u64 {
        let terminator = match self {
            Format::Csv(dialect) => dialect.terminator,
            Format::Json(_) => b'\n',
        };
        count(terminator, chunk) as u64
    }
}

/// The start of the rows of a file.
#[derive(Clone, Copy, Debug)]
struct Start {
    /// The offset in bytes.
    offset: u64,
    /// The line, counted from 1.
    line: u64,
    /// Whether every record is a line.
    lines: bool,
}

/// A column of the files.
#[derive(Clone, Debug)]
pub(super) struct TextColumn {
    name: String,
    kind: Kind,
    marks: Marks,
    /// The type of its arrays or objects, where it is of these.
    nested: Option<DataType>,
    /// Whether it is a column of the table.
    is_given: bool,
    /// Whether its type was declared rather than inferred.
    is_told: bool,
}

impl TextColumn {
    fn data_type(&self) -> DataType {
        match &self.nested {
            Some(nested) => nested.clone(),
            None => TextColumn::data_type_of(self.kind),
        }
    }

    /// The type of columns of a kind.
    pub(super) fn data_type_of(kind: Kind) -> DataType {
        match kind {
            Kind::Boolean => DataType::Boolean,
            Kind::Integer => DataType::Int64,
            Kind::Float(_) => DataType::Float64,
            Kind::Date(_) => DataType::Date32,
            Kind::Timestamp(_) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Kind::Text | Kind::Skip | Kind::Empty => DataType::Utf8,
        }
    }
}

/// CSV or JSON files as a table whose columns are known and whose rows are not yet read.
#[derive(Debug)]
pub(super) struct TextTable {
    format: Format,
    /// All columns of the files.
    columns: Vec<TextColumn>,
    /// The columns of the table.
    schema: SchemaRef,
    /// The start of the rows of each file, in the order of the files.
    starts: Vec<Start>,
    /// The order of the columns of each file, in the order of the files.
    orders: Vec<Order>,
    infer_rows: usize,
}

impl TextTable {
    /// The columns of the table, with what was noted of them.
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }
}
