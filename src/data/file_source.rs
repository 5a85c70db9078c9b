//! Rows from files.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use datafusion::prelude::{CsvReadOptions, DataFrame, ParquetReadOptions};
use serde::{Deserialize, Serialize};

use super::DataSource;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
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
/// # fourfold::Result::Ok(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSource {
    path: PathBuf,
    format: FileFormat,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FileFormat {
    Csv { delimiter: Option<u8>, infer_rows: usize },
    Parquet,
}

/// What stands for NULL in a CSV file.
const MISSING: &str = r"^\s*(|NA|N/A|n/a|null|NULL|None|NaN|nan|\?)\s*$";

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
        let extension = first.extension().map(|extension| extension.to_string_lossy().to_lowercase());
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

    async fn plan(&self, engine: &Engine, first: &Path) -> Result<DataFrame> {
        let path = self.path.to_string_lossy().into_owned();
        let extension = first
            .extension()
            .map_or_else(String::new, |extension| format!(".{}", extension.to_string_lossy()));
        match &self.format {
            FileFormat::Csv { delimiter, infer_rows } => {
                let delimiter = match delimiter {
                    Some(delimiter) => *delimiter,
                    None => sniff_delimiter(first)?,
                };
                let options = CsvReadOptions::new()
                    .file_extension(&extension)
                    .delimiter(delimiter)
                    .null_regex(Some(MISSING.to_owned()))
                    .schema_infer_max_records(*infer_rows)
                    .newlines_in_values(true);
                Ok(engine.session().read_csv(path, options).await?)
            }
            FileFormat::Parquet => {
                let mut options = ParquetReadOptions::default();
                options.file_extension = &extension;
                Ok(engine.session().read_parquet(path, options).await?)
            }
        }
    }
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
        let size = fs::metadata(&first).map_err(|error| Error::io(format!("reading `{}`", first.display()), error))?;
        if size.len() == 0 {
            return Err(Error::data(format!("`{}` is empty", first.display())));
        }
        self.plan(engine, &first).await.map_err(|error| {
            Error::new(
                error.kind(),
                format!("`{}` cannot be read: {}", self.path.display(), error.message()),
            )
            .with_source(error)
        })
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
            seen.push((path.clone(), metadata.len(), modified.as_nanos().to_string()));
        }
        Ok(Some(Fingerprint::of(&seen)?))
    }
}

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    path.extension()
        .is_some_and(|extension| extensions.iter().any(|known| extension.eq_ignore_ascii_case(known)))
}

/// The file itself, or the directory's files, sorted; names that start with a dot or an underscore are left out.
fn files_of(path: &Path) -> Result<Vec<PathBuf>> {
    let failed = |error| Error::io(format!("`{}` cannot be read", path.display()), error);
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
    files
        .into_iter()
        .find(|file| wanted(file))
        .ok_or_else(|| Error::not_found(format!("there is no file to read in directory `{}`", path.display())))
}

/// The delimiter that the first line has most of, outside of quotes; a comma if none.
fn sniff_delimiter(path: &Path) -> Result<u8> {
    let failed = |error| Error::io(format!("reading `{}`", path.display()), error);
    let file = File::open(path).map_err(failed)?;
    let mut line = Vec::new();
    BufReader::new(file.take(1 << 20))
        .read_until(b'\n', &mut line)
        .map_err(failed)?;
    let mut quoted = false;
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0), (b'|', 0)];
    for byte in line {
        if byte == b'"' {
            quoted = !quoted;
        }
        if !quoted && let Some((_, count)) = counts.iter_mut().find(|(known, _)| *known == byte) {
            *count += 1;
        }
    }
    let mut best = counts[0];
    for candidate in counts {
        if candidate.1 > best.1 {
            best = candidate;
        }
    }
    Ok(best.0)
}
