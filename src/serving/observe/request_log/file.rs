//! One file of a log: written aside, and in its place when it is whole.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::temporal_conversions::timestamp_us_to_datetime;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use super::super::record::Record;
use super::columns::{PARTITION, free_name};
use crate::error::{Error, Result};
use crate::statistics::days_text;

/// The amount of data in a row group: the data that a file keeps in memory.
const ROW_GROUP_BYTES: usize = 4 << 20;
/// Rows of this many bytes are worth a file.
const BUFFER_BYTES: usize = 1 << 20;

/// A file that is being written, under a name that starts with a dot. It is made when there is enough to write, so that
/// however many versions answer, few files are open.
pub(super) struct OpenFile {
    writer: Option<ArrowWriter<File>>,
    buffered: Vec<RecordBatch>,
    buffered_bytes: usize,
    folder: PathBuf,
    aside: PathBuf,
    place: PathBuf,
    schema: SchemaRef,
    pub(super) model: String,
    pub(super) version: u64,
    pub(super) day: i64,
    pub(super) opened: Instant,
    pub(super) n_rows: u64,
}

impl OpenFile {
    /// Begins a file for the rows of a record's version and day.
    pub(super) fn begin(dir: &Path, unique: &str, record: &Record, schema: SchemaRef) -> Self {
        let first = timestamp_us_to_datetime(record.micros());
        let first = first.map_or_else(String::new, |first| {
            first.format("%Y%m%dT%H%M%S%6fZ").to_string()
        });
        let name = format!("{first}-v{}-{unique}{EXTENSION}", record.version);
        let partition = free_name(&record.schema, PARTITION);
        let folder = dir
            .join(folder_name(&record.model))
            .join(format!("{partition}={}", days_text(record.day())));
        let aside = folder.join(format!(".{name}"));
        OpenFile {
            writer: None,
            buffered: Vec::new(),
            buffered_bytes: 0,
            place: folder.join(name),
            folder,
            schema,
            aside,
            model: record.model.clone(),
            version: record.version,
            day: record.day(),
            opened: Instant::now(),
            n_rows: 0,
        }
    }

    fn open(&self) -> Result<ArrowWriter<File>> {
        let open = || {
            fs::create_dir_all(&self.folder)?;
            let mut options = File::options();
            options.write(true).create_new(true).open(&self.aside)
        };
        let file = open().or_else(|error| match error.kind() {
            // An empty folder may be removed as it is made.
            io::ErrorKind::NotFound => open(),
            _ => Err(error),
        });
        let file = file.map_err(|error| writing(&self.aside, error))?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .build();
        ArrowWriter::try_new(file, Arc::clone(&self.schema), Some(properties))
            .map_err(|error| parquet_error(&self.aside, error))
    }

    /// Returns `true` if rows of this schema may be written to it.
    pub(super) fn takes(&self, record: &Record, schema: &SchemaRef) -> bool {
        self.version == record.version
            && self.model == record.model
            && self.day == record.day()
            && self.schema == *schema
    }

    pub(super) fn write(&mut self, rows: RecordBatch) -> Result<()> {
        self.n_rows += rows.num_rows() as u64;
        self.buffered_bytes += rows.get_array_memory_size();
        self.buffered.push(rows);
        if self.buffered_bytes >= BUFFER_BYTES {
            self.write_buffered()?;
        }
        Ok(())
    }

    fn write_buffered(&mut self) -> Result<&mut ArrowWriter<File>> {
        let writer = match self.writer.take() {
            Some(writer) => writer,
            None => self.open()?,
        };
        let writer = self.writer.insert(writer);
        let failed = |error| parquet_error(&self.aside, error);
        self.buffered_bytes = 0;
        for rows in self.buffered.drain(..) {
            writer.write(&rows).map_err(failed)?;
            if writer.in_progress_size() >= ROW_GROUP_BYTES {
                writer.flush().map_err(failed)?;
            }
        }
        Ok(writer)
    }

    /// Returns `true` if the file exists, under its hidden name.
    pub(super) fn is_open(&self) -> bool {
        self.writer.is_some()
    }

    /// The bytes that it keeps in memory.
    pub(super) fn in_memory(&self) -> usize {
        let writer = self.writer.as_ref();
        self.buffered_bytes + writer.map_or(0, ArrowWriter::in_progress_size)
    }

    /// Writes the data kept in memory.
    pub(super) fn write_out(&mut self) -> Result<()> {
        let flushed = self.write_buffered()?.flush();
        flushed.map_err(|error| parquet_error(&self.aside, error))
    }

    /// About the bytes it would have, were it closed now.
    pub(super) fn n_bytes(&self) -> u64 {
        let written = self.writer.as_ref().map_or(0, ArrowWriter::bytes_written);
        (written + self.in_memory()) as u64
    }

    /// Completes it and moves it to its place; returns its size.
    pub(super) fn close(mut self) -> Result<u64> {
        self.write_buffered()?;
        let Some(writer) = self.writer.take() else {
            return Ok(0);
        };
        let file = writer
            .into_inner()
            .map_err(|error| parquet_error(&self.aside, error))?;
        let synced = file.sync_all();
        synced.map_err(|error| writing(&self.aside, error))?;
        let n_bytes = file.metadata().map_or(0, |metadata| metadata.len());
        drop(file);
        fs::rename(&self.aside, &self.place).map_err(|error| writing(&self.place, error))?;
        // So that the name survives a crash of the machine. Not every file system can, and the file is whole anyhow.
        #[cfg(unix)]
        if let Ok(folder) = File::open(&self.folder) {
            let _ = folder.sync_all();
        }
        Ok(n_bytes)
    }
}

impl Drop for OpenFile {
    /// Removes a file that was not closed. (After a rename there is nothing to remove.)
    fn drop(&mut self) {
        self.writer = None;
        let _ = fs::remove_file(&self.aside);
    }
}

fn writing(path: &Path, error: io::Error) -> Error {
    Error::io(format!("writing `{}`", path.display()), error)
}

fn parquet_error(path: &Path, error: parquet::errors::ParquetError) -> Error {
    let text = format!("writing `{}`", path.display());
    Error::new(crate::error::ErrorKind::Io, text).with_source(error)
}

const EXTENSION: &str = ".parquet";

/// Returns `true` if the name is one of a log's files: `20261124T091500123456Z-v3-...parquet`.
pub(super) fn is_log_file(name: &str) -> bool {
    let Some((time, rest)) = name.split_once("Z-v") else {
        return false;
    };
    time.len() == 21
        && time.bytes().enumerate().all(|(at, byte)| match at {
            8 => byte == b'T',
            _ => byte.is_ascii_digit(),
        })
        && rest.ends_with(EXTENSION)
}

/// The folder of a model: its name, where every character that may mean something in a path is `%` and two digits.
pub(super) fn folder_name(model: &str) -> String {
    let mut name = String::with_capacity(model.len());
    for (at, byte) in model.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => name.push(char::from(byte)),
            b'.' if at > 0 => name.push('.'),
            _ => name.push_str(&format!("%{byte:02X}")),
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_has_a_folder_of_its_own_and_never_one_elsewhere() {
        for (model, folder) in [
            ("flights-v2.1", "flights-v2.1"),
            ("..", "%2E."),
            ("../../etc", "%2E.%2F..%2Fetc"),
            (".hidden", "%2Ehidden"),
            ("a=b", "a%3Db"),
            ("ü%", "%C3%BC%25"),
        ] {
            assert_eq!(folder_name(model), folder);
        }
    }

    #[test]
    fn files_of_others_are_none_of_a_log() {
        assert!(is_log_file("20261124T091500123456Z-v3-0a-1.parquet"));
        for name in [
            "data.parquet",
            ".20261124T091500123456Z-v3-0a-1.parquet",
            "20261124T091500123456Z-v3-0a-1.csv",
            "20261124 091500123456Z-v3-0a-1.parquet",
            "Z-v.parquet",
        ] {
            assert!(!is_log_file(name), "{name}");
        }
    }
}
