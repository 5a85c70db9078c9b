//! Error messages for CSV and JSON files that cannot be read.

use fourfold_kernels::text::csv::{self, Dialect};
use fourfold_kernels::text::{FaultKind, Kind};

use super::{Format, LONGEST_RECORD, TextColumn};
use crate::error::Error;
use crate::schema::FieldType;

/// The usual encoding of files that are not UTF-8, and how to convert them.
const HINT: &str =
    "; if it is Latin-1 or Windows-1252, `iconv -f WINDOWS-1252 -t UTF-8` converts it";

/// The number of characters of a value that are shown.
const SHOWN: usize = 60;

/// A value as it is shown.
pub(super) fn shown(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(&value[..value.len().min(SHOWN)]);
    let text = text.replace(['\n', '\r'], " ");
    match value.len() {
        0..=SHOWN => text,
        _ => format!("{text}.."),
    }
}

pub(super) fn failed(file: &str, reason: impl AsRef<str>) -> Error {
    Error::data(format!("`{file}` cannot be read: {}", reason.as_ref()))
}

/// A chunk that holds a fault.
pub(super) struct Place<'a> {
    pub(super) file: &'a str,
    /// The line that the chunk begins with.
    pub(super) line: u64,
    pub(super) chunk: &'a [u8],
    pub(super) format: &'a Format,
    /// Whether every record is a line.
    pub(super) lines: bool,
}

impl Place<'_> {
    fn line_of(&self, at: usize) -> u64 {
        self.line + self.format.lines(&self.chunk[..at.min(self.chunk.len())])
    }

    /// The error of the record that begins at a byte.
    pub(super) fn fault(
        &self,
        at: usize,
        kind: &FaultKind,
        columns: &[TextColumn],
        infer_rows: usize,
    ) -> Error {
        let line = self.line_of(at);
        let reason = match kind {
            FaultKind::Value { column, value } => match columns.get(*column) {
                Some(column) => wrong_value(column, &shown(value), line, infer_rows),
                None => format!("`{}` in line {line} is in no column", shown(value)),
            },
            FaultKind::Fields(n) => format!(
                "line {line} has {n} {}, must have {} as the header has{}",
                if *n == 1 { "field" } else { "fields" },
                columns.len(),
                if self.has_escaped_quote(at) {
                    "; a quote within quotes is doubled, a backslash does not escape it"
                } else {
                    ""
                }
            ),
            FaultKind::UnknownField(name) => format!(
                "field `{}` in line {line} is in none of the first {infer_rows} rows; `infer_rows` says how many are looked at",
                shown(name)
            ),
            FaultKind::RepeatedField(name) => {
                format!("duplicate field `{}` in line {line}", shown(name))
            }
            FaultKind::Syntax(place) if self.lines && self.line_of(*place) > line => {
                format!("line {line} is not valid JSON: the object is not closed")
            }
            FaultKind::Syntax(at) => {
                let rest = self.chunk.get(*at..).unwrap_or_default();
                let token = rest.split(|byte| byte.is_ascii_whitespace()).next();
                format!(
                    "line {} is not valid JSON of objects: unexpected `{}`",
                    self.line_of(*at),
                    shown(
                        token
                            .unwrap_or_default()
                            .get(..20.min(token.unwrap_or_default().len()))
                            .unwrap_or_default()
                    )
                )
            }
            FaultKind::Unfinished => match self.format {
                Format::Csv(_) => format!("the quote that opens in line {line} is not closed"),
                Format::Json(_) => {
                    format!("line {line} is not valid JSON: the object is not closed")
                }
            },
        };
        failed(self.file, reason)
    }

    /// Returns true if a quote of the line that begins at a byte follows a backslash.
    fn has_escaped_quote(&self, at: usize) -> bool {
        let rest = self.chunk.get(at..).unwrap_or_default();
        let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
        line.windows(2).any(|pair| pair == b"\\\"")
    }

    /// A record that does not end.
    pub(super) fn endless(&self) -> Error {
        let what = match self.format {
            Format::Csv(_) => "is a quote not closed?",
            Format::Json(_) => "is a bracket or a quote not closed?",
        };
        failed(
            self.file,
            format!(
                "the record in line {} is longer than {LONGEST_RECORD} bytes; {what}",
                self.line
            ),
        )
    }

    /// Bytes that are not UTF-8.
    pub(super) fn not_utf8(&self, at: usize, columns: &[TextColumn]) -> Error {
        let byte = self.chunk.get(at).copied().unwrap_or_default();
        let begin = self.format.cut(&self.chunk[..at], true).unwrap_or(0);
        let column = match self.format {
            Format::Csv(dialect) => self.column_at(begin, at, dialect, columns),
            Format::Json(_) => None,
        };
        let line = self.line_of(begin);
        failed(
            self.file,
            match column {
                Some(name) => {
                    format!("column `{name}` in line {line} is not UTF-8: byte 0x{byte:02x}{HINT}")
                }
                None => format!("line {line} is not UTF-8: byte 0x{byte:02x}{HINT}"),
            },
        )
    }

    fn column_at<'c>(
        &self,
        begin: usize,
        at: usize,
        dialect: &Dialect,
        columns: &'c [TextColumn],
    ) -> Option<&'c str> {
        // The record as far as the byte: its last field is the one.
        let records = csv::records(&self.chunk[begin..=at], dialect, 2);
        let (_, fields) = records.last()?;
        Some(columns.get(fields.len().checked_sub(1)?)?.name.as_str())
    }
}

fn wrong_value(column: &TextColumn, value: &str, line: u64, infer_rows: usize) -> String {
    let name = &column.name;
    if column.kind == Kind::Empty {
        return format!(
            "column `{name}`, which has no name in the file, is `{value}` in line {line} and empty in the first {infer_rows} rows; `infer_rows` says how many are looked at"
        );
    }
    let wanted = FieldType::of(&column.data_type());
    if column.is_told {
        return format!(
            "column `{name}` is `{value}` in line {line}, must be of type {wanted} as configured"
        );
    }
    if column.nested.is_some() {
        return format!(
            "column `{name}` is `{value}` in line {line}, must be {} as in the first {infer_rows} rows; `infer_rows` says how many are looked at",
            column.data_type()
        );
    }
    format!(
        "column `{name}` is `{value}` in line {line}, must be of type {wanted} as the first {infer_rows} rows are; \
         `infer_rows` says how many are looked at"
    )
}
