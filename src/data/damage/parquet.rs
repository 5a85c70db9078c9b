//! Validation of the footers of Parquet files.

use arrow::ipc::root_as_message;
use parquet::arrow::ARROW_SCHEMA_META_KEY;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};

use super::{damaged, types};
use crate::data::location::Found;
use crate::error::Result;
use crate::statistics::base64;

/// Checks the claims of a footer against the file's size. Those of its pages are checked when these are read: see
/// [`pages`](super::pages).
///
/// # Errors
/// [`ErrorKind::Data`](crate::ErrorKind::Data) with what is wrong.
pub(in crate::data) fn check(file: &Found, metadata: &ParquetMetaData) -> Result<()> {
    let wrong = |why: String| damaged(&file.shown, why);
    let size = file.meta.size;
    if let Some(why) = unsound_schema(metadata) {
        return Err(wrong(why));
    }
    let mut n_rows = 0_i64;
    for group in metadata.row_groups() {
        if group.num_rows() < 0 {
            return Err(wrong(format!(
                "a row group claims {} rows",
                group.num_rows()
            )));
        }
        n_rows = n_rows.saturating_add(group.num_rows());
        for column in group.columns() {
            let name = column.column_path().string();
            if !is_within(column, size) {
                return Err(wrong(format!(
                    "column `{name}` claims the {} bytes from byte {} on, of {size}",
                    column.compressed_size(),
                    start(column)
                )));
            }
            let indexes = [
                (column.column_index_offset(), column.column_index_length()),
                (column.offset_index_offset(), column.offset_index_length()),
            ];
            for (offset, length) in indexes {
                if let (Some(offset), Some(length)) = (offset, length)
                    && !is_range(offset, i64::from(length), size)
                {
                    return Err(wrong(format!(
                        "an index of column `{name}` claims the {length} bytes from byte {offset} on, of {size}"
                    )));
                }
            }
            if column.num_values() < 0 {
                return Err(wrong(format!(
                    "column `{name}` claims {} values",
                    column.num_values()
                )));
            }
        }
    }
    let of_file = metadata.file_metadata().num_rows();
    if of_file != n_rows {
        return Err(wrong(format!(
            "it claims {of_file} rows and its row groups {n_rows}"
        )));
    }
    Ok(())
}

/// The error of the types of the Arrow schema that writers keep beside Parquet's own, as base64 of an IPC message.
fn unsound_schema(metadata: &ParquetMetaData) -> Option<String> {
    let pairs = metadata.file_metadata().key_value_metadata()?;
    let kept = pairs
        .iter()
        .find(|pair| pair.key == ARROW_SCHEMA_META_KEY)?;
    let bytes = base64::decode(kept.value.as_deref()?)?;
    let message = match bytes.strip_prefix(&[0xff; 4]) {
        Some(rest) => rest.get(4..)?,
        None => &bytes,
    };
    // The reader refuses bytes that are no message at all.
    let message = root_as_message(message).ok()?;
    message.header_as_schema().and_then(types::unsound)
}

fn start(column: &ColumnChunkMetaData) -> i64 {
    let dictionary = column.dictionary_page_offset();
    dictionary.unwrap_or_else(|| column.data_page_offset())
}

fn is_range(offset: i64, length: i64, size: u64) -> bool {
    let end = offset.checked_add(length);
    offset >= 0 && length >= 0 && end.is_some_and(|end| end as u64 <= size)
}

/// Returns true if a column chunk lies behind the magic at the beginning and before the end of the file. One without
/// values need have no page of data.
fn is_within(column: &ColumnChunkMetaData, size: u64) -> bool {
    let end = start(column).checked_add(column.compressed_size());
    start(column) >= 4
        && (column.data_page_offset() >= 4 || column.num_values() == 0)
        && column.compressed_size() >= 0
        && end.is_some_and(|end| end as u64 <= size)
}
