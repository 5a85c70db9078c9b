//! Inference of columns from the first rows of CSV and JSON files.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema as ArrowSchema};
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::object_store::ObjectStore;
use fourfold_kernels::text::json::{Fields, Tallies, is_lines};
use fourfold_kernels::text::{Fault, Kind, Marks, Reading, Tally, csv};
use futures_util::{StreamExt, TryStreamExt};

use super::blocks::{BLOCK, Blocks};
use super::explain::{Place, failed};
use super::header::Header;
use super::infer::{Chosen, Inference};
use super::remarks::{Remark, metadata};
use super::{Format, LONGEST_RECORD, Start, TextColumn, TextOptions, TextTable, nested};
use crate::data::location::Found;
use crate::data::source::{check_names, check_number};
use crate::error::{Error, Result};

/// The number of files that are examined concurrently.
const AT_ONCE: usize = 16;

/// Inspects CSV or JSON files that are read with the same columns.
pub(in crate::data) struct TextInspector<'a> {
    pub(in crate::data) store: &'a Arc<dyn ObjectStore>,
    pub(in crate::data) files: &'a [Found],
    pub(in crate::data) compression: FileCompressionType,
    pub(in crate::data) infer_rows: usize,
    pub(in crate::data) options: &'a TextOptions,
}

/// Collects tallies from chunks of whole records.
trait Sample {
    /// The number of columns seen so far.
    fn n_columns(&self) -> usize;

    fn see(&mut self, chunk: &[u8], line: u64, at_most: usize) -> Result<usize, Fault>;
}

struct CsvSample<'a> {
    dialect: csv::Dialect,
    marks: &'a Marks,
    columns: Vec<Tally>,
}

impl Sample for CsvSample<'_> {
    fn n_columns(&self) -> usize {
        self.columns.len()
    }

    fn see(&mut self, chunk: &[u8], line: u64, at_most: usize) -> Result<usize, Fault> {
        csv::tally(
            chunk,
            &self.dialect,
            line,
            at_most,
            self.marks,
            &mut self.columns,
        )
    }
}

struct JsonSample<'a> {
    marks: &'a Marks,
    tallies: Tallies,
}

impl Sample for JsonSample<'_> {
    fn n_columns(&self) -> usize {
        self.tallies.columns.len()
    }

    fn see(&mut self, chunk: &[u8], line: u64, at_most: usize) -> Result<usize, Fault> {
        self.tallies.see(chunk, line, at_most, self.marks)
    }
}

impl TextInspector<'_> {
    async fn open(&self, file: &Found) -> Result<Blocks> {
        Blocks::open(self.store, &file.meta, self.compression, None).await
    }

    /// The first bytes of every file, in the order of the files; at least a line, if there is one.
    async fn heads<T: Send>(
        &self,
        of: impl Fn(&Found, &[u8]) -> Result<T> + Sync,
    ) -> Result<Vec<T>> {
        let of = &of;
        let pending: Vec<_> = self
            .files
            .iter()
            .map(async |file| {
                let mut blocks = self.open(file).await?;
                let mut head = Vec::new();
                let mut wanted = BLOCK;
                let mut more = blocks.fill(&mut head, wanted).await?;
                while more && !head.contains(&b'\n') && !head.contains(&b'\r') {
                    if head.len() > LONGEST_RECORD {
                        break;
                    }
                    wanted *= 2;
                    more = blocks.fill(&mut head, wanted).await?;
                }
                of(file, &head)
            })
            .collect();
        futures_util::stream::iter(pending)
            .buffered(AT_ONCE)
            .try_collect()
            .await
    }

    /// Feeds the first rows of the files to a sample.
    async fn sample(
        &self,
        format: &Format,
        starts: &[Start],
        columns: &[TextColumn],
        sample: &mut impl Sample,
    ) -> Result<()> {
        let mut left = self.infer_rows;
        for (file, start) in self.files.iter().zip(starts) {
            if left == 0 {
                break;
            }
            let mut blocks = self.open(file).await?;
            let mut buffer = Vec::new();
            let mut more = blocks.fill(&mut buffer, start.offset as usize).await?;
            buffer.drain(..(start.offset as usize).min(buffer.len()));
            let mut line = start.line;
            while left > 0 && (more || !buffer.is_empty()) {
                more = more && blocks.next(&mut buffer).await?;
                let place = |chunk| Place {
                    file: &file.shown,
                    line,
                    chunk,
                    format,
                    lines: start.lines,
                };
                let end = match format.cut(&buffer, start.lines) {
                    Some(end) if more => end,
                    None if more && buffer.len() <= LONGEST_RECORD => continue,
                    None if more => return Err(place(&buffer).endless()),
                    _ => buffer.len(),
                };
                let chunk = &buffer[..end];
                if let Err(error) = std::str::from_utf8(chunk) {
                    return Err(place(chunk).not_utf8(error.valid_up_to(), columns));
                }
                let seen = sample.see(chunk, line, left);
                let seen = seen.map_err(|fault| {
                    place(chunk).fault(fault.at, &fault.kind, columns, self.infer_rows)
                })?;
                check_number(sample.n_columns())
                    .map_err(|error| failed(&file.shown, error.message()))?;
                left -= seen;
                line += format.lines(chunk);
                buffer.drain(..end);
            }
        }
        Ok(())
    }

    /// CSV files, which must have the same header.
    pub(in crate::data) async fn csv(&self, delimiter: Option<u8>) -> Result<TextTable> {
        let headers = self
            .heads(|file, head| Header::of(&file.shown, head, delimiter))
            .await?;
        let Some((first, header)) = self.files.first().zip(headers.first()) else {
            return Err(Error::internal("there are no files"));
        };
        let alike = |other: &Header| {
            (&other.names, other.dialect.delimiter) == (&header.names, header.dialect.delimiter)
        };
        if let Some((file, _)) = self
            .files
            .iter()
            .zip(&headers)
            .find(|(_, other)| !alike(other))
        {
            return Err(Error::data(format!(
                "`{}` has another header than `{}`",
                file.shown, first.shown
            )));
        }
        let mut dialect = header.dialect;
        dialect.skip_blanks = headers.iter().all(|header| header.dialect.skip_blanks);
        if let Some((file, _)) = self
            .files
            .iter()
            .zip(&headers)
            .find(|(_, other)| other.dialect.terminator != dialect.terminator)
        {
            return Err(failed(
                &file.shown,
                format!("its line endings differ from those of `{}`", first.shown),
            ));
        }
        check_names(
            header
                .names
                .iter()
                .map(String::as_str)
                .filter(|name| !name.is_empty()),
        )?;
        let names = named(&header.names);
        self.options.check_names(&names)?;
        let starts: Vec<Start> = headers
            .iter()
            .map(|header| Start {
                offset: header.offset as u64,
                line: header.line,
                lines: true,
            })
            .collect();
        let format = Format::Csv(dialect);
        let mut inference = Inference::new(self.options);
        let marks = inference.marks().clone();
        let mut sample = CsvSample {
            dialect,
            marks: &marks,
            columns: vec![Tally::new(&marks); names.len()],
        };
        let blank: Vec<TextColumn> = names.iter().map(|name| unread(name)).collect();
        self.sample(&format, &starts, &blank, &mut sample).await?;
        inference.look_at_all(&sample.columns);

        let mut notes = Vec::new();
        if header.before > 0 {
            let lines = if header.before == 1 { "line" } else { "lines" };
            notes.push(Remark::new(
                "lines_before_header",
                format!("{} {lines} before the header left out", header.before),
            ));
        }
        if header.is_values {
            notes.push(Remark::new(
                "header_of_values",
                format!(
                    "the first line of `{}` is read as names and looks like values",
                    first.shown
                ),
            ));
        }
        if header.is_short {
            notes.push(Remark::new(
                "header_short",
                format!(
                    "the rows of `{}` have {} fields and the header has {} names: the first field is taken for one without a name",
                    first.shown,
                    names.len(),
                    names.len() - 1
                ),
            ));
        }
        if let Some(n) = header.by_spaces.filter(|_| dialect.delimiter != b' ') {
            notes.push(Remark::new(
                "one_column",
                format!(
                    "`{}` is read as one column, and every line has {n} fields between spaces; a delimiter of a space reads them as columns",
                    first.shown
                ),
            ));
        }
        let mut columns = Vec::with_capacity(names.len());
        let is_named = |name: &String| !name.is_empty();
        let behind_named = header
            .names
            .iter()
            .rposition(is_named)
            .map_or(0, |at| at + 1);
        let is_index = |column: &TextColumn| header.first_counts && column.kind == Kind::Integer;
        for (at, (name, tally)) in names.iter().zip(&sample.columns).enumerate() {
            let is_told = self.options.type_of(name).is_some();
            let mut column = self.column(name, inference.choose(name, tally), &mut notes);
            // pandas names so what it has read without a name.
            if at == 0 && name == "Unnamed: 0" && is_index(&column) && !is_told {
                column.is_given = false;
                notes.push(Remark::of_column(
                    name,
                    Remark::LEFT_OUT,
                    "it counts the rows and has the name that pandas gives to an index",
                ));
            }
            if header.names[at].is_empty() && !is_told {
                if at > 0
                    && at >= behind_named
                    && tally.known() == 0
                    && tally.marked().iter().all(|n| *n == 0)
                {
                    column = TextColumn {
                        kind: Kind::Empty,
                        is_given: false,
                        ..column
                    };
                    notes.push(Remark::of_column(
                        name,
                        Remark::LEFT_OUT,
                        "it has neither a name nor a value",
                    ));
                } else if at == 0 && is_index(&column) {
                    column.is_given = false;
                    notes.push(Remark::of_column(
                        name,
                        Remark::LEFT_OUT,
                        "it has no name and counts the rows: an index",
                    ));
                } else {
                    notes.push(Remark::of_column(
                        name,
                        "column_named",
                        format!("column {} of the file has no name", at + 1),
                    ));
                }
            }
            columns.push(column);
        }
        Ok(self.table(format, columns, starts, &notes))
    }

    /// JSON files: objects, one after the other or in an array.
    pub(in crate::data) async fn json(&self) -> Result<TextTable> {
        let starts = self
            .heads(|_, head| {
                let begin = if head.starts_with(b"\xef\xbb\xbf") {
                    3
                } else {
                    0
                };
                let text = &head[begin..head.len().min(1 << 16)];
                let whole = text
                    .iter()
                    .rposition(|byte| *byte == b'\n')
                    .unwrap_or(text.len());
                Ok(Start {
                    offset: begin as u64,
                    line: 1,
                    lines: is_lines(&text[..whole]),
                })
            })
            .await?;
        let mut inference = Inference::new(self.options);
        let marks = inference.marks().clone();
        let mut sample = JsonSample {
            marks: &marks,
            tallies: Tallies::default(),
        };
        let format = Format::Json(Arc::new(Fields::default()));
        self.sample(&format, &starts, &[], &mut sample).await?;
        let mut tallies = sample.tallies;
        let rows = tallies.rows();
        for tally in &mut tallies.columns {
            tally.see_none(rows.saturating_sub(tally.rows()));
        }
        inference.look_at_all(&tallies.columns);
        let names: Vec<String> = tallies
            .fields
            .names()
            .iter()
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .collect();
        check_names(names.iter().map(String::as_str))?;
        self.options.check_names(&names)?;
        let mut notes = Vec::new();
        let mut columns = Vec::with_capacity(names.len());
        for (at, (name, tally)) in names.iter().zip(&tallies.columns).enumerate() {
            let chosen = inference.choose(name, tally);
            let mut column = self.column(name, chosen, &mut notes);
            let n_nested = tally.of(&[Reading::Nested]);
            if n_nested > 0 && n_nested == tally.known() && !column.is_told {
                column.nested = nested::type_of(&tallies.nested[at]);
                if column.nested.is_some() {
                    // A word for no value that stands beside arrays and objects is one.
                    column.marks = marks.clone();
                } else {
                    notes.push(Remark::of_column(
                        name,
                        "column_mixed",
                        "text: its arrays or objects are not of one type",
                    ));
                }
            }
            columns.push(column);
        }
        let holds_list = |column: &&TextColumn| matches!(column.nested, Some(DataType::List(_)));
        if let [file] = self.files
            && rows == 1
            && let Some(list) = columns.iter().find(holds_list)
        {
            notes.push(Remark::new(
                "one_object",
                format!(
                    "`{}` is one object and so one row, in which field `{}` is a list; rows are objects of an array or of lines",
                    file.shown, list.name
                ),
            ));
        }
        let fields = Fields::new(names.iter().map(String::as_str));
        Ok(self.table(Format::Json(Arc::new(fields)), columns, starts, &notes))
    }

    fn column(&self, name: &str, chosen: Chosen, notes: &mut Vec<Remark>) -> TextColumn {
        notes.extend(chosen.remarks);
        TextColumn {
            name: name.to_owned(),
            kind: chosen.kind,
            marks: chosen.marks,
            nested: None,
            is_given: !self
                .options
                .leave_out
                .iter()
                .any(|left_out| left_out == name),
            is_told: self.options.type_of(name).is_some(),
        }
    }

    fn table(
        &self,
        format: Format,
        columns: Vec<TextColumn>,
        starts: Vec<Start>,
        notes: &[Remark],
    ) -> TextTable {
        let fields: Vec<Field> = columns
            .iter()
            .filter(|column| column.is_given)
            .map(|column| Field::new(&column.name, column.data_type(), true))
            .collect();
        TextTable {
            format,
            columns,
            schema: Arc::new(ArrowSchema::new_with_metadata(fields, metadata(notes))),
            starts,
            infer_rows: self.infer_rows,
        }
    }
}

/// Names for the columns that have none: `column_1`, by their place.
fn named(names: &[String]) -> Vec<String> {
    let known: HashSet<&str> = names.iter().map(String::as_str).collect();
    let name_of = |(at, name): (usize, &String)| {
        if !name.is_empty() {
            return name.clone();
        }
        let mut name = format!("column_{}", at + 1);
        while known.contains(name.as_str()) {
            name.push('_');
        }
        name
    };
    names.iter().enumerate().map(name_of).collect()
}

fn unread(name: &str) -> TextColumn {
    TextColumn {
        name: name.to_owned(),
        kind: Kind::Text,
        marks: Marks::default(),
        nested: None,
        is_given: true,
        is_told: false,
    }
}
