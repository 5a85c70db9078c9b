//! Rows from files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{Schema as ArrowSchema, SchemaRef};
use datafusion::datasource::file_format::FileFormat as FileReader;
use datafusion::datasource::file_format::arrow::ArrowFormat;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::prelude::DataFrame;
use serde::{Deserialize, Serialize};

use super::DataSource;
use super::damage::guard::guarded;
use super::file_format::{FileFormat, INFER_ROWS, KNOWN_NAMES, most_common};
use super::file_inspector::FileInspector;
use super::files_table::{FilesTable, Reader};
use super::location::{Found, Location};
use super::refine::Refined;
use super::remote::store_of;
use super::spans::{Span, Spans};
use super::text::{TextInspector, TextOptions, metadata};
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::fingerprint::Fingerprint;
use crate::runs::InputFile;
use crate::stage::Stage;

/// Files of one format and schema: one, those of a folder and the folders below it, or those whose paths are like a
/// pattern; on this machine, on a mounted one, or in an object store.
///
/// | format | names | types |
/// | --- | --- | --- |
/// | CSV | `.csv`, `.tsv`, `.txt` | inferred from the first [100,000 rows](FileSource::infer_rows) |
/// | JSON: objects, a line each or over lines, or one array of them | `.jsonl`, `.ndjson`, `.json` | inferred likewise |
/// | Parquet | `.parquet`, `.pq` | the file's own |
/// | Arrow IPC: files and streams | `.arrow`, `.feather`, `.ipc` | the file's own |
///
/// - **CSV.** The delimiter is the one of `,`, `;`, tab and `|` by which the first rows are a table; `sep=;` in the first
///   line says it too. Lines before the header (titles, comments) are left out. Several files are read by the names of
///   their columns, which must be the same in all. A column without a name is `column_1`, by
///   its place; one that counts the rows (an index) and empty ones at the end of the rows are left out.
/// - **JSON.** `NaN` is NULL. A field whose values are now a number and now text, or now a list, is text. Fields that are
///   objects or lists become structs and lists.
/// - **Types** of CSV and JSON, and of text in other files: whole numbers; floats, also with a decimal comma, marks between
///   thousands, a percent or a currency sign, and `Infinity` in any spelling; `true` and `false`; dates and times of ISO
///   8601, with the day or the month first where the values leave one reading, and with names of months. Blanks around
///   them do not count. Codes (`02134`, `12E4`, whole numbers of more than 64 bits) and dates whose years have two digits
///   are text, and so is a column of which a single value is none of these: which one is [told](super::source_warnings), as is every reading that is not the
///   plain one. Timestamps are in UTC.
/// - **NULL** is an empty field, and one of the usual words (`NA`, `null`, `NaN`, `?`, ..): but `NA`, `N/A`, `null`,
///   `None` and `nil` are values of a column of text where they are 5 % of it and 5 rows at least, and others
///   (`-`, `..`, `unknown`, ..) are so in every column of text.
///   [`FileSource::null_marks`] and [`FileSource::column_type`] tell otherwise.
/// - **Parquet and Arrow.** Columns that pandas made of an index are left out; unsigned numbers past 2^63 are text. Where
///   Parquet files differ, a column is of the wider type (integers and floats are floats), or NULL where there is none;
///   Arrow files must have the same columns in the same order. What a file claims of itself is checked before it is
///   decoded, and a panic of a decoder is an error. What is not: a claim within the [engine's](Engine) memory that the
///   machine does not have; and in an object store the headers of the pages of Parquet, which are not at hand.
/// - **Limits**: 65,536 columns, names of 16 KiB, records of 64 MiB.
/// - **Compression** of CSV and JSON: `.gz`, `.bz2`, `.xz` or `.zst` at the end of the name (feature `compression`).
/// - **Patterns**: `*` and `?` within a folder, `**` across folders, `[0-9]`; and the tokens of [spans](Spans).
/// - **Folders** named `key=value` (Hive) become columns, of whole numbers, dates or text. A filter on one leaves out
///   files before they are opened.
/// - **Object stores**: `s3://bucket/path`, `gs://..` and `az://..` (features `aws`, `gcp` and `azure`). Credentials and
///   endpoints come from the environment, as the crate `object_store` reads it (`AWS_ACCESS_KEY_ID`, `AWS_REGION`,
///   `AWS_ENDPOINT`, `AWS_ALLOW_HTTP=true`, ..). A store that the [engine's session](Engine::session) has registered for
///   a URL is taken instead, whatever its scheme.
///
/// [Changes](DataSource::snapshot) of the files are detected by their names, sizes and times of modification, and
/// in object stores by entity tags too, without reading them. A change that keeps the name, the size and the time of a
/// local file is not seen; a file that is touched counts as changed.
///
/// ```no_run
/// use fourfold::data::FileSource;
///
/// let one_file = FileSource::csv("houses.csv");
/// let many_files = FileSource::parquet("flights/");
/// let by_pattern = FileSource::parquet("flights/2013-0[1-6].parquet");
/// let in_a_bucket = FileSource::json("s3://trips/year=2013/**/*.jsonl");
/// let by_the_name = FileSource::detect("houses.csv.gz")?;
/// # Ok::<(), fourfold::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSource {
    path: PathBuf,
    pub(super) format: FileFormat,
    #[serde(default, skip_serializing_if = "Spans::is_default")]
    pub(super) spans: Spans,
    #[serde(default, skip_serializing_if = "TextOptions::is_default")]
    pub(super) text: TextOptions,
    /// The files to read, if not all that are there.
    #[serde(skip)]
    only: Option<Arc<BTreeSet<String>>>,
}

impl FileSource {
    /// The default number of rows of a CSV or JSON file that types are inferred from.
    pub const INFER_ROWS: usize = INFER_ROWS;

    fn new(path: impl Into<PathBuf>, format: FileFormat) -> Self {
        FileSource {
            path: path.into(),
            format,
            spans: Spans::default(),
            text: TextOptions::default(),
            only: None,
        }
    }

    /// The same source with these of its files alone, by their paths as [`FileSource::sizes`] has them.
    pub(crate) fn only(mut self, files: BTreeSet<String>) -> Self {
        self.only = Some(Arc::new(files));
        self
    }

    /// The paths of the files that are there, with their sizes in bytes.
    ///
    /// # Errors
    /// As [`DataSource::read`], without reading them.
    pub(crate) async fn sizes(&self, engine: &Engine) -> Result<BTreeMap<String, u64>> {
        let (_, _, files) = self.find(engine).await?;
        let files = files.into_iter();
        Ok(files.map(|file| (file.shown, file.meta.size)).collect())
    }

    /// CSV files.
    #[must_use]
    pub fn csv(path: impl Into<PathBuf>) -> Self {
        FileSource::new(path, FileFormat::csv())
    }

    /// JSON files: an object a line, or one array of objects.
    #[must_use]
    pub fn json(path: impl Into<PathBuf>) -> Self {
        FileSource::new(path, FileFormat::json())
    }

    /// Parquet files.
    #[must_use]
    pub fn parquet(path: impl Into<PathBuf>) -> Self {
        FileSource::new(path, FileFormat::Parquet)
    }

    /// Arrow IPC files (Feather version 2).
    #[must_use]
    pub fn arrow(path: impl Into<PathBuf>) -> Self {
        FileSource::new(path, FileFormat::Arrow)
    }

    /// Files whose format their names tell: of a folder, the format that most of its files have. In an object store the path itself must tell it: it is not looked at.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if nothing is there;
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if the name tells nothing, or if as many files of a folder are of
    /// one format as of another.
    pub fn detect(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let shown = path.to_string_lossy().into_owned();
        let unknown = |name: &str| {
            Error::config(format!(
                "the format of `{name}` cannot be told from its name, which must end in {KNOWN_NAMES}"
            ))
        };
        let location = Location::parse(&path)?;
        let format = match location.list_here() {
            None => FileFormat::of_name(&shown).ok_or_else(|| unknown(&shown))?,
            Some(found) => {
                let found = found?;
                let first = found.first().ok_or_else(|| nothing_in(&shown))?;
                most_common(&found, &shown)?.ok_or_else(|| unknown(&first.shown))?
            }
        };
        Ok(FileSource::new(path, format))
    }

    /// The path or URL.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The spans that would be read now, oldest first; none if the path has no tokens of spans.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if there are too few, and those of looking at the files.
    pub async fn resolve(&self, engine: &Engine) -> Result<Vec<Span>> {
        let (_, spans, _) = self.find(engine).await?;
        Ok(spans)
    }

    /// The place of the files, their spans, and all of them: none is of another format.
    async fn find(&self, engine: &Engine) -> Result<(Location, Vec<Span>, Vec<Found>)> {
        let location = Location::parse(&self.path)?;
        let found = location.list(engine).await?;
        let mut found = self.of_this_format(&location, found)?;
        if let Some(only) = &self.only {
            found.retain(|file| only.contains(&file.shown));
            if found.is_empty() {
                return Err(nothing_in(&self.path.to_string_lossy()));
            }
        }
        let with_spans = location.pattern().filter(|pattern| pattern.has_spans());
        let Some(pattern) = with_spans else {
            if !self.spans.is_default() {
                return Err(Error::config(format!(
                    "spans are chosen, and `{}` has no `{{SPAN}}` and no date",
                    self.path.display()
                )));
            }
            return Ok((location, Vec::new(), found));
        };
        let chosen = self
            .spans
            .choose(pattern, &self.path.to_string_lossy(), found)?;
        let (spans, files): (Vec<Span>, Vec<Vec<Found>>) = chosen.into_iter().unzip();
        Ok((location, spans, files.into_iter().flatten().collect()))
    }

    /// One file is taken whatever its name. Of many, those whose names tell this format; if there are none, those
    /// whose names tell nothing, unless a folder is asked for files that always have such names.
    fn of_this_format(&self, location: &Location, found: Vec<Found>) -> Result<Vec<Found>> {
        let path = self.path.to_string_lossy();
        let is_pattern = location.pattern().is_some();
        if let [one] = found.as_slice()
            && !is_pattern
            && path.ends_with(&one.name)
        {
            return Ok(found);
        }
        let (known, other): (Vec<Found>, Vec<Found>) = found
            .into_iter()
            .partition(|file| FileFormat::of_name(&file.name).is_some());
        let mut files: Vec<Found> = known
            .into_iter()
            .filter(|file| {
                FileFormat::of_name(&file.name).is_some_and(|format| format.is_like(&self.format))
            })
            .collect();
        if files.is_empty() && (is_pattern || !self.format.is_binary()) {
            files = other;
        }
        if files.is_empty() {
            return Err(nothing_in(&path));
        }
        Ok(files)
    }

    /// The compression of the files, which must all be compressed alike.
    fn compression(&self, files: &[Found]) -> Result<FileCompressionType> {
        let mut first = None;
        for file in files {
            let compression = self.format.compression(&file.shown)?;
            match first {
                None => first = Some((compression, file)),
                Some((other, _)) if other == compression => {}
                Some((_, other)) => {
                    return Err(Error::data(format!(
                        "`{}` and `{}` are compressed differently",
                        other.shown, file.shown
                    )));
                }
            }
        }
        Ok(
            first.map_or(FileCompressionType::UNCOMPRESSED, |(compression, _)| {
                compression
            }),
        )
    }

    async fn plan(&self, engine: &Engine) -> Result<DataFrame> {
        let (location, _, files) = self.find(engine).await?;
        // A file without a byte has neither rows nor columns, and some writers leave such files.
        let (files, empty): (Vec<Found>, Vec<Found>) =
            files.into_iter().partition(|file| file.meta.size > 0);
        if let ([], [first, ..]) = (files.as_slice(), empty.as_slice()) {
            return Err(Error::data(format!("`{}` is empty", first.shown)));
        }
        let compression = self.compression(&files)?;
        let store = store_of(engine, location.store())?;
        let what = self.path.to_string_lossy();
        let table = |reader, schema| {
            FilesTable::new(location.store().clone(), reader, schema, &files, &what)
        };
        let look = FileInspector {
            engine,
            store: &store,
            files: &files,
        };
        let text = |infer_rows| TextInspector {
            store: &store,
            files: &files,
            compression,
            infer_rows,
            options: &self.text,
        };
        let session = engine.session();
        let text = match &self.format {
            FileFormat::Csv {
                delimiter,
                infer_rows,
            } => Some(text(*infer_rows).csv(*delimiter).await?),
            FileFormat::Json { infer_rows } => Some(text(*infer_rows).json().await?),
            FileFormat::Parquet | FileFormat::Arrow => None,
        };
        match &self.format {
            FileFormat::Csv { .. } | FileFormat::Json { .. } => {
                let text = text.ok_or_else(|| Error::internal("text that was not looked at"))?;
                let schema = Arc::clone(text.schema());
                let table = table(Reader::Text(Arc::new(text), compression), schema)?;
                Ok(session.read_table(Arc::new(table))?)
            }
            FileFormat::Parquet => {
                let reader: Arc<dyn FileReader> = Arc::new(
                    ParquetFormat::default().with_options(session.copied_table_options().parquet),
                );
                let index = guarded(&what, look.parquet_names()).await?;
                let schema = guarded(&what, look.schema(reader.as_ref())).await?;
                let reader = || Reader::Format(Arc::clone(&reader), true);
                self.refined(engine, &index, schema, |schema| table(reader(), schema))
                    .await
            }
            FileFormat::Arrow => {
                look.arrow_claims().await?;
                let (schema, index) = guarded(&what, look.arrow()).await?;
                let reader = || Reader::Format(Arc::new(ArrowFormat), false);
                self.refined(engine, &index, schema, |schema| table(reader(), schema))
                    .await
            }
        }
    }

    /// The rows of files that tell their types.
    async fn refined(
        &self,
        engine: &Engine,
        index: &[String],
        schema: SchemaRef,
        table: impl Fn(SchemaRef) -> Result<FilesTable>,
    ) -> Result<DataFrame> {
        let session = engine.session();
        let rows = session.read_table(Arc::new(table(Arc::clone(&schema))?))?;
        let refined = Refined::of(engine, &rows, index, &self.text).await?;
        if refined.remarks.is_empty() {
            return refined.select(rows);
        }
        let schema = schema
            .as_ref()
            .clone()
            .with_metadata(metadata(&refined.remarks));
        let rows = session.read_table(Arc::new(table(Arc::new(schema))?))?;
        refined.select(rows)
    }
}

fn nothing_in(shown: &str) -> Error {
    Error::not_found(format!("there is no file to read in directory `{shown}`"))
}

impl Stage for FileSource {
    fn name(&self) -> &str {
        "file"
    }

    fn check(&self) -> Result<()> {
        if let FileFormat::Csv { infer_rows: 0, .. } | FileFormat::Json { infer_rows: 0 } =
            self.format
        {
            return Err(Error::config("`infer_rows` is 0, must be at least 1"));
        }
        if self.text.no_header && !self.format.is_like(&FileFormat::csv()) {
            return Err(Error::config(format!(
                "`{}` is to be read without a header, and only CSV files have one",
                self.path.display()
            )));
        }
        Location::parse(&self.path)?;
        self.text.check()?;
        self.spans.check()
    }
}

impl DataSource for FileSource {
    async fn read(&self, engine: &Engine) -> Result<DataFrame> {
        self.plan(engine)
            .await
            .map_err(|error| self.explain(error, &ArrowSchema::empty()))
    }

    fn explain(&self, error: Error, _columns: &ArrowSchema) -> Error {
        // Errors of missing files and of the configuration need no explanation.
        if matches!(
            error.kind(),
            ErrorKind::NotFound | ErrorKind::Config | ErrorKind::Unsupported
        ) {
            return error;
        }
        let shown = self.path.to_string_lossy();
        let message = error.message();
        // Files of text say themselves which of them it is.
        let is_said = message.starts_with('`') && message.contains("` cannot be read: ");
        if is_said || message.starts_with(&format!("`{shown}` ")) {
            return error;
        }
        let told = Error::new(error.kind(), format!("`{shown}` cannot be read: {message}"));
        match std::error::Error::source(&error) {
            Some(_) => told.with_source(error),
            None => told,
        }
    }

    async fn files(&self, engine: &Engine) -> Result<Option<Vec<InputFile>>> {
        let (location, _, files) = self.find(engine).await?;
        location.inputs(files).map(Some)
    }

    async fn snapshot(&self, engine: &Engine) -> Result<Option<Fingerprint>> {
        let (_, spans, files) = self.find(engine).await?;
        let seen: Vec<_> = files
            .iter()
            .map(|file| {
                let modified = file.meta.last_modified.timestamp_nanos_opt();
                (
                    &file.name,
                    file.meta.size,
                    modified,
                    &file.meta.e_tag,
                    &file.meta.version,
                )
            })
            .collect();
        Ok(Some(Fingerprint::of(&(spans, seen))?))
    }
}
