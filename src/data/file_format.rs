//! The format and compression of a file, by its name.

use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use serde::{Deserialize, Serialize};

use super::location::Found;
use crate::error::{Error, ErrorKind, Result};

/// The format of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FileFormat {
    Csv {
        delimiter: Option<u8>,
        infer_rows: usize,
    },
    Json {
        infer_rows: usize,
    },
    Parquet,
    Arrow,
}

/// The default number of rows that types are inferred from.
pub(super) const INFER_ROWS: usize = 100_000;

/// The names that [`FileFormat::of_name`] knows, for messages.
pub(super) const KNOWN_NAMES: &str =
    ".csv, .tsv, .txt, .jsonl, .ndjson, .json, .parquet, .pq, .arrow, .feather or .ipc";

impl FileFormat {
    pub(super) fn csv() -> Self {
        FileFormat::Csv {
            delimiter: None,
            infer_rows: INFER_ROWS,
        }
    }

    pub(super) fn json() -> Self {
        FileFormat::Json {
            infer_rows: INFER_ROWS,
        }
    }

    /// The format that a name tells.
    pub(super) fn of_name(name: &str) -> Option<Self> {
        let (name, _) = uncompressed(name);
        match extension(name)?.as_str() {
            "csv" | "tsv" | "txt" => Some(FileFormat::csv()),
            "jsonl" | "ndjson" | "json" => Some(FileFormat::json()),
            "parquet" | "pq" => Some(FileFormat::Parquet),
            "arrow" | "feather" | "ipc" => Some(FileFormat::Arrow),
            _ => None,
        }
    }

    /// Returns true if files of the two formats are read the same way.
    pub(super) fn is_like(&self, other: &FileFormat) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    /// Returns true if files of the format are never text.
    pub(super) fn is_binary(&self) -> bool {
        matches!(self, FileFormat::Parquet | FileFormat::Arrow)
    }

    /// The compression of a file, by its name. Parquet and Arrow files are compressed internally.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if this build does not read it.
    pub(super) fn compression(&self, name: &str) -> Result<FileCompressionType> {
        let (_, compression) = uncompressed(name);
        match self {
            FileFormat::Parquet | FileFormat::Arrow => Ok(FileCompressionType::UNCOMPRESSED),
            FileFormat::Csv { .. } | FileFormat::Json { .. }
                if compression.is_compressed() && !cfg!(feature = "compression") =>
            {
                Err(Error::new(
                    ErrorKind::Unsupported,
                    format!(
                        "`{name}` is compressed: reading it needs the feature `compression` of fourfold, \
                         which this build is without"
                    ),
                ))
            }
            FileFormat::Csv { .. } | FileFormat::Json { .. } => Ok(compression),
        }
    }
}

/// A name without what tells its compression, and that.
fn uncompressed(name: &str) -> (&str, FileCompressionType) {
    let compression = match extension(name).as_deref() {
        Some("gz") => FileCompressionType::GZIP,
        Some("bz2") => FileCompressionType::BZIP2,
        Some("xz") => FileCompressionType::XZ,
        Some("zst") => FileCompressionType::ZSTD,
        _ => return (name, FileCompressionType::UNCOMPRESSED),
    };
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    (stem, compression)
}

/// The part of a path behind its last dot, in lower case.
fn extension(path: &str) -> Option<String> {
    let name = path.rsplit('/').next()?;
    let (_, extension) = name.rsplit_once('.')?;
    Some(extension.to_lowercase())
}

/// The format that most files have by their names.
pub(super) fn most_common(found: &[Found], shown: &str) -> Result<Option<FileFormat>> {
    let mut formats: Vec<(FileFormat, &Found, usize)> = Vec::new();
    for file in found {
        let Some(format) = FileFormat::of_name(&file.name) else {
            continue;
        };
        match formats
            .iter_mut()
            .find(|(known, ..)| known.is_like(&format))
        {
            Some((.., n)) => *n += 1,
            None => formats.push((format, file, 1)),
        }
    }
    formats.sort_by_key(|(.., n)| std::cmp::Reverse(*n));
    if let [(_, first, most), (_, second, n), ..] = formats.as_slice()
        && most == n
    {
        return Err(Error::config(format!(
            "`{shown}` has as many files like `{}` as like `{}`; say which format is to be read",
            first.name, second.name
        )));
    }
    Ok(formats.into_iter().next().map(|(format, ..)| format))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_format_and_compression() {
        assert_eq!(
            FileFormat::of_name("a/b.c/x.CSV.gz"),
            Some(FileFormat::csv())
        );
        assert_eq!(FileFormat::of_name("x.ndjson"), Some(FileFormat::json()));
        assert_eq!(FileFormat::of_name("x.feather"), Some(FileFormat::Arrow));
        assert_eq!(FileFormat::of_name("x.gz"), None);
        assert_eq!(FileFormat::of_name("a.parquet/x"), None);
        let zst = FileFormat::csv().compression("x.csv.zst");
        if cfg!(feature = "compression") {
            assert_eq!(zst.unwrap(), FileCompressionType::ZSTD);
        } else {
            assert_eq!(
                zst.unwrap_err().to_string(),
                "`x.csv.zst` is compressed: reading it needs the feature `compression` of fourfold, \
                 which this build is without"
            );
        }
    }
}
