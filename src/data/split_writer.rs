//! Writing the rows of a split.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

use crate::error::{Error, Result};
use crate::examples::{ExampleFile, ROW_KEY};

/// The table of a dictionary takes 64 kB before the first value: of many columns and splits, gigabytes.
const MOST_WITH_DICTIONARIES: usize = 1_000;

/// Writes one file of a split.
pub(super) struct SplitWriter {
    writer: ArrowWriter<File>,
    file: ExampleFile,
}

impl SplitWriter {
    pub(super) fn create(path: PathBuf, schema: &SchemaRef, row_group_rows: usize) -> Result<Self> {
        let file = File::create(&path)
            .map_err(|error| Error::io(format!("writing `{}`", path.display()), error))?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(Some(row_group_rows))
            .set_dictionary_enabled(schema.fields().len() <= MOST_WITH_DICTIONARIES)
            // Nearly all keys are different, and none compresses.
            .set_column_dictionary_enabled(ColumnPath::from(ROW_KEY), false)
            .set_column_compression(ColumnPath::from(ROW_KEY), Compression::UNCOMPRESSED)
            .build();
        let writer = ArrowWriter::try_new(file, Arc::clone(schema), Some(properties))
            .map_err(|error| write_failed(&path, error))?;
        Ok(SplitWriter {
            writer,
            file: ExampleFile { path, n_rows: 0 },
        })
    }

    pub(super) fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        self.file.n_rows += rows.num_rows();
        self.writer
            .write(rows)
            .map_err(|error| write_failed(&self.file.path, error))
    }

    /// Bytes of rows that are not in the file yet.
    pub(super) fn held_bytes(&self) -> usize {
        self.writer.memory_size()
    }

    pub(super) fn finish(self) -> Result<ExampleFile> {
        self.writer
            .close()
            .map_err(|error| write_failed(&self.file.path, error))?;
        Ok(self.file)
    }
}

fn write_failed(path: &Path, error: parquet::errors::ParquetError) -> Error {
    Error::new(
        crate::ErrorKind::Io,
        format!("`{}` cannot be written", path.display()),
    )
    .with_source(error)
}
