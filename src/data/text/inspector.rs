//! Inference of columns from the first rows of CSV and JSON files.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema as ArrowSchema};
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::object_store::ObjectStore;
use fourfold_kernels::text::json::{Fields, Tallies, is_lines};
use fourfold_kernels::text::{Kind, Marks, Reading, Tally};
use futures_util::{StreamExt, TryStreamExt};

use super::blocks::{BLOCK, Blocks};
use super::explain::{Place, failed};
use super::header::{Header, Unsniffed};
use super::infer::{Chosen, Inference};
use super::order::{Order, arranged, order_of};
use super::places::place as place_of;
use super::remarks::{Remark, metadata};
use super::sample::{CsvSample, JsonSample, Sample};
use super::{Format, LONGEST_RECORD, Start, TextColumn, TextOptions, TextTable, foreign, nested};
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

impl TextInspector<'_> {
    fn inference(&self) -> Inference<'_> {
        let files = self.files.iter().map(|file| file.shown.as_str());
        Inference::new(self.options).in_files(files)
    }

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
        orders: &[Order],
        columns: &[TextColumn],
        sample: &mut impl Sample,
    ) -> Result<()> {
        let mut left = self.infer_rows;
        for (at, (file, start)) in self.files.iter().zip(starts).enumerate() {
            if left == 0 {
                break;
            }
            let order = orders.get(at).and_then(Option::as_deref);
            let columns = match order {
                Some(order) => &arranged(columns.to_vec(), order),
                None => columns,
            };
            if let Some(order) = order {
                sample.arrange(order);
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
                let seen = sample.see(chunk, place_of(at, line), left);
                let seen = seen.map_err(|fault| {
                    place(chunk).fault(fault.at, &fault.kind, columns, self.infer_rows)
                })?;
                check_number(sample.n_columns())
                    .map_err(|error| failed(&file.shown, error.message()))?;
                left -= seen;
                line += format.lines(chunk);
                buffer.drain(..end);
            }
            if let Some(order) = order {
                sample.restore(order);
            }
        }
        Ok(())
    }

    /// CSV files, which must have the same header.
    pub(in crate::data) async fn csv(&self, delimiter: Option<u8>) -> Result<TextTable> {
        let headers = self
            .heads(|file, head| Header::of(&file.shown, head, delimiter, !self.options.no_header))
            .await?;
        let Some((first, header)) = self.files.first().zip(headers.first()) else {
            return Err(Error::internal("there are no files"));
        };
        let mut orders = Vec::with_capacity(headers.len());
        for (file, other) in self.files.iter().zip(&headers) {
            let order = match other.dialect.delimiter == header.dialect.delimiter {
                true => order_of(&other.names, &header.names),
                false => Err(format!(
                    "its delimiter is `{}`, that of the other is `{}`",
                    other.dialect.delimiter.escape_ascii(),
                    header.dialect.delimiter.escape_ascii()
                )),
            };
            orders.push(order.map_err(|why| {
                Error::data(format!(
                    "`{}` has another header than `{}`: {why}",
                    file.shown, first.shown
                ))
            })?);
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
        let mut inference = self.inference();
        let marks = inference.marks().clone();
        let mut sample = CsvSample {
            dialect,
            marks: &marks,
            columns: vec![Tally::new(&marks); names.len()],
        };
        let blank: Vec<TextColumn> = names.iter().map(|name| unread(name)).collect();
        self.sample(&format, &starts, &orders, &blank, &mut sample)
            .await?;
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
                    "the first line of `{}` is read as names and looks like values; if it is a row, read the file without a header",
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
        if let Some((n, delimiter)) = header.by_other {
            let (between, one) = match delimiter {
                Unsniffed::Space => ("spaces", "a space"),
                Unsniffed::Colon => ("colons", "a colon"),
            };
            notes.push(Remark::new(
                "one_column",
                format!(
                    "`{}` is read as one column, and every line has {n} fields between {between}; a delimiter of {one} reads them as columns",
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
        Ok(self.table(format, columns, starts, orders, &notes))
    }

    /// JSON files: objects, one after the other or in an array.
    pub(in crate::data) async fn json(&self) -> Result<TextTable> {
        let starts = self
            .heads(|file, head| {
                foreign::check(&file.shown, head)?;
                let text = foreign::without_mark(head);
                let begin = head.len() - text.len();
                let text = &text[..text.len().min(1 << 16)];
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
        let mut inference = self.inference();
        let marks = inference.marks().clone();
        let mut sample = JsonSample {
            marks: &marks,
            tallies: Tallies::default(),
        };
        let format = Format::Json(Arc::new(Fields::default()));
        self.sample(&format, &starts, &[], &[], &mut sample).await?;
        let mut tallies = sample.tallies;
        let rows = tallies.rows();
        if let Some(file) = self.files.first().filter(|_| rows == 0) {
            return Err(failed(&file.shown, "there are no rows"));
        }
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
        let is_nested = |column: &&TextColumn| column.nested.is_some();
        if let [file] = self.files
            && rows == 1
            && let Some(nested) = columns.iter().find(is_nested)
        {
            let what = match nested.nested {
                Some(DataType::List(_)) => "a list",
                _ => "an object",
            };
            notes.push(Remark::new(
                "one_object",
                format!(
                    "`{}` is one object and so one row, in which field `{}` is {what}; rows are objects of an array or of lines",
                    file.shown, nested.name
                ),
            ));
        }
        let fields = Fields::new(names.iter().map(String::as_str));
        let format = Format::Json(Arc::new(fields));
        Ok(self.table(format, columns, starts, Vec::new(), &notes))
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
        orders: Vec<Order>,
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
            orders,
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
