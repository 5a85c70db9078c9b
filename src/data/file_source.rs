//! Rows from files.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use arrow::datatypes::{DataType, Field, Schema as ArrowSchema};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, cast, ident, lit, when};
use datafusion::prelude::{CsvReadOptions, DataFrame, ParquetReadOptions};
use serde::{Deserialize, Serialize};

use super::DataSource;
use super::source::check_names;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::schema::FieldType;
use crate::stage::Stage;

/// A CSV or Parquet file, or a directory of such files of one schema.
///
/// Of CSV files, the types are inferred from the first [100,000 rows](FileSource::infer_rows); the first line holds
/// the names; the delimiter is the one of `,`, `;`, tab and `|` that the first line has most of. Empty fields, and
/// the usual marks for a missing value (`NA`, `N/A`, `null`, `None`, `NaN`, `?`), are NULL.
///
/// ```no_run
/// use fourfold::data::FileSource;
///
/// let one_file = FileSource::csv("houses.csv");
/// let many_files = FileSource::parquet("flights/");
/// let by_the_name = FileSource::detect("houses.csv")?;
/// # Ok::<(), fourfold::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSource {
    path: PathBuf,
    format: FileFormat,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FileFormat {
    Csv {
        delimiter: Option<u8>,
        infer_rows: usize,
    },
    Parquet,
}

/// What stands for NULL in a CSV file, beside an empty field.
const MISSING: [&str; 9] = [
    "NA", "N/A", "n/a", "null", "NULL", "None", "NaN", "nan", "?",
];

impl FileSource {
    /// How many rows of a CSV file the types are inferred from, unless told.
    pub const INFER_ROWS: usize = 100_000;

    /// A CSV file, or a directory of `.csv` files.
    #[must_use]
    pub fn csv(path: impl Into<PathBuf>) -> Self {
        FileSource {
            path: path.into(),
            format: FileFormat::Csv {
                delimiter: None,
                infer_rows: Self::INFER_ROWS,
            },
        }
    }

    /// A Parquet file, or a directory of `.parquet` files.
    #[must_use]
    pub fn parquet(path: impl Into<PathBuf>) -> Self {
        FileSource {
            path: path.into(),
            format: FileFormat::Parquet,
        }
    }

    /// A file whose format its name tells: `.csv`, `.tsv`, `.txt`, `.parquet`, `.pq`; or a directory of them.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if it is not there;
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if the name tells nothing.
    pub fn detect(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let first = first_file(&path, |_| true)?;
        let extension = first
            .extension()
            .map(|extension| extension.to_string_lossy().to_lowercase());
        match extension.as_deref() {
            Some("csv" | "tsv" | "txt") => Ok(FileSource::csv(path)),
            Some("parquet" | "pq") => Ok(FileSource::parquet(path)),
            _ => Err(Error::config(format!(
                "the format of `{}` is not told by its name, which must end in .csv, .tsv, .txt, .parquet or .pq",
                first.display()
            ))),
        }
    }

    /// The delimiter of a CSV file, such as `b';'`.
    #[must_use]
    pub fn delimiter(mut self, byte: u8) -> Self {
        if let FileFormat::Csv { delimiter, .. } = &mut self.format {
            *delimiter = Some(byte);
        }
        self
    }

    /// How many rows of a CSV file the types are inferred from.
    #[must_use]
    pub fn infer_rows(mut self, n: usize) -> Self {
        if let FileFormat::Csv { infer_rows, .. } = &mut self.format {
            *infer_rows = n;
        }
        self
    }

    /// The file or directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `column `a` is `x` in line 7`, of Arrow's `value 'x' ... for column 0 at line 6` (it does not count the
    /// header).
    fn column_named(&self, message: &str, columns: &ArrowSchema) -> Option<String> {
        let FileFormat::Csv { infer_rows, .. } = self.format else {
            return None;
        };
        let (_, rest) = message.split_once("parsing value '")?;
        let (value, rest) = rest.split_once("' as type '")?;
        let (_, rest) = rest.split_once("' for column ")?;
        let (column, rest) = rest.split_once(" at line ")?;
        let (line, _) = rest.split_once('.')?;
        let field = columns.fields().get(column.parse::<usize>().ok()?)?;
        Some(format!(
            "column `{}` is `{value}` in line {}, must be of type {} as the first {infer_rows} rows are; \
             `infer_rows` says how many are looked at",
            field.name(),
            line.parse::<u64>().ok()? + 1,
            FieldType::of(field.data_type())
        ))
    }

    async fn plan(&self, engine: &Engine, first: &Path) -> Result<DataFrame> {
        let path = self.path.to_string_lossy().into_owned();
        let extension = first.extension().map_or_else(String::new, |extension| {
            format!(".{}", extension.to_string_lossy())
        });
        match &self.format {
            FileFormat::Csv {
                delimiter,
                infer_rows,
            } => {
                let header = first_line(first)?;
                let delimiter = delimiter.unwrap_or_else(|| sniff_delimiter(&header));
                check_names(fields_of(&header, delimiter))?;
                for other in files_of(&self.path)? {
                    if other.extension() == first.extension() && first_line(&other)? != header {
                        return Err(Error::data(format!(
                            "`{}` has another first line than `{}`",
                            other.display(),
                            first.display()
                        )));
                    }
                }
                let options = || {
                    CsvReadOptions::new()
                        .file_extension(&extension)
                        .delimiter(delimiter)
                        .schema_infer_max_records(*infer_rows)
                        .newlines_in_values(true)
                };
                read_csv(engine, &path, options).await
            }
            FileFormat::Parquet => {
                let options = ParquetReadOptions {
                    file_extension: &extension,
                    ..ParquetReadOptions::default()
                };
                Ok(engine.session().read_parquet(path, options).await?)
            }
        }
    }
}

/// Reads a CSV file with its marks for missing values as NULL. DataFusion heeds such marks when it infers types, and
/// not when it reads: columns whose type they would change are read as text, and cast after the marks are gone.
async fn read_csv<'a>(
    engine: &Engine,
    path: &str,
    options: impl Fn() -> CsvReadOptions<'a>,
) -> Result<DataFrame> {
    let session = engine.session();
    let marks = Some(format!("^(|{})$", MISSING.join("|").replace('?', r"\?")));
    let wanted = session.read_csv(path, options().null_regex(marks)).await?;
    let plain = session.read_csv(path, options()).await?;
    let wanted = wanted.schema().as_arrow().clone();
    let read: Vec<Field> = plain
        .schema()
        .fields()
        .iter()
        .zip(wanted.fields())
        .map(|(plain, wanted)| {
            let same = plain.data_type() == wanted.data_type() && !wanted.data_type().is_null();
            let data_type = if same {
                wanted.data_type().clone()
            } else {
                DataType::Utf8
            };
            Field::new(plain.name(), data_type, true)
        })
        .collect();
    let read = ArrowSchema::new(read);
    let rows = session.read_csv(path, options().schema(&read)).await?;
    let columns = read
        .fields()
        .iter()
        .zip(wanted.fields())
        .map(|(read, wanted)| {
            let column = ident(read.name());
            if read.data_type() != &DataType::Utf8 {
                return Ok(column);
            }
            let marks = MISSING.iter().map(|mark| lit(*mark)).collect();
            let known = when(
                column.clone().in_list(marks, false),
                lit(ScalarValue::Utf8(None)),
            )
            .otherwise(column)?;
            let typed = match wanted.data_type() {
                DataType::Utf8 | DataType::Null => known,
                data_type => cast(known, data_type.clone()),
            };
            Ok(typed.alias(read.name()))
        });
    let columns = columns.collect::<Result<Vec<Expr>>>()?;
    Ok(rows.select(columns)?)
}

impl Stage for FileSource {
    fn name(&self) -> &str {
        "file"
    }

    fn check(&self) -> Result<()> {
        match self.format {
            FileFormat::Csv { infer_rows: 0, .. } => {
                Err(Error::config("`infer_rows` is 0, must be at least 1"))
            }
            _ => Ok(()),
        }
    }
}

impl DataSource for FileSource {
    async fn read(&self, engine: &Engine) -> Result<DataFrame> {
        let first = first_file(&self.path, |path| match self.format {
            FileFormat::Csv { .. } => !has_extension(path, &["parquet", "pq"]),
            FileFormat::Parquet => has_extension(path, &["parquet", "pq"]),
        })?;
        let size = fs::metadata(&first)
            .map_err(|error| Error::io(format!("reading `{}`", first.display()), error))?;
        if size.len() == 0 {
            return Err(Error::data(format!("`{}` is empty", first.display())));
        }
        self.plan(engine, &first)
            .await
            .map_err(|error| self.explain(error, &ArrowSchema::empty()))
    }

    fn explain(&self, error: Error, columns: &ArrowSchema) -> Error {
        let named = self.column_named(error.message(), columns);
        Error::new(
            error.kind(),
            format!(
                "`{}` cannot be read: {}",
                self.path.display(),
                named.as_deref().unwrap_or(error.message())
            ),
        )
        .with_source(error)
    }

    async fn snapshot(&self, _engine: &Engine) -> Result<Option<Fingerprint>> {
        let mut seen = Vec::new();
        for path in files_of(&self.path)? {
            let failed = |error| Error::io(format!("reading `{}`", path.display()), error);
            let metadata = fs::metadata(&path).map_err(failed)?;
            let modified = metadata
                .modified()
                .map_err(failed)?
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            seen.push((
                path.clone(),
                metadata.len(),
                modified.as_nanos().to_string(),
            ));
        }
        Ok(Some(Fingerprint::of(&seen)?))
    }
}

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    path.extension().is_some_and(|extension| {
        extensions
            .iter()
            .any(|known| extension.eq_ignore_ascii_case(known))
    })
}

/// The file itself, or the directory's files, sorted; names that start with a dot or an underscore are left out.
fn files_of(path: &Path) -> Result<Vec<PathBuf>> {
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::not_found(format!(
            "there is no file or directory `{}`",
            path.display()
        ))
        .with_source(error),
        _ => Error::io(format!("`{}` cannot be read", path.display()), error),
    };
    if fs::metadata(path).map_err(failed)?.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let hidden = entry.file_name().to_string_lossy().starts_with(['.', '_']);
        if !hidden && entry.path().is_file() {
            files.push(entry.path());
        }
    }
    files.sort_unstable();
    Ok(files)
}

fn first_file(path: &Path, wanted: impl Fn(&Path) -> bool) -> Result<PathBuf> {
    let files = files_of(path)?;
    if path.is_file() {
        return Ok(path.to_owned());
    }
    files.into_iter().find(|file| wanted(file)).ok_or_else(|| {
        Error::not_found(format!(
            "there is no file to read in directory `{}`",
            path.display()
        ))
    })
}

/// The first line, without its end.
fn first_line(path: &Path) -> Result<String> {
    let failed = |error| Error::io(format!("reading `{}`", path.display()), error);
    let file = File::open(path).map_err(failed)?;
    let mut line = Vec::new();
    BufReader::new(file.take(1 << 20))
        .read_until(b'\n', &mut line)
        .map_err(failed)?;
    Ok(String::from_utf8_lossy(&line)
        .trim_end_matches(['\r', '\n'])
        .to_owned())
}

/// The delimiter that a line has most of, outside of quotes; a comma if none.
fn sniff_delimiter(line: &str) -> u8 {
    let mut best = (0, b',');
    for delimiter in *b",;\t|" {
        let n = fields_of(line, delimiter).count() - 1;
        if n > best.0 {
            best = (n, delimiter);
        }
    }
    best.1
}

/// The fields of a line, without their quotes.
fn fields_of(line: &str, delimiter: u8) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    line.split(move |char| {
        quoted ^= char == '"';
        !quoted && char == char::from(delimiter)
    })
    .map(|field| field.trim_matches('"'))
}
