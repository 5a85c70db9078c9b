//! What the footers of Parquet files claim.

use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};

use super::damaged;
use crate::data::location::Found;
use crate::error::Result;

/// Holds the claims of a footer against the file's size. Those of its pages are checked when these are read: see
/// [`pages`](super::pages).
///
/// # Errors
/// [`ErrorKind::Data`](crate::ErrorKind::Data) with what is wrong.
pub(in crate::data) fn check(file: &Found, metadata: &ParquetMetaData) -> Result<()> {
    let wrong = |why: String| damaged(&file.shown, why);
    let size = file.meta.size;
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

fn start(column: &ColumnChunkMetaData) -> i64 {
    let dictionary = column.dictionary_page_offset();
    dictionary.unwrap_or_else(|| column.data_page_offset())
}

/// Whether the bytes of a column chunk are behind the magic at the beginning and before the end of the file.
fn is_within(column: &ColumnChunkMetaData, size: u64) -> bool {
    let end = start(column).checked_add(column.compressed_size());
    start(column) >= 4
        && column.data_page_offset() >= 4
        && column.compressed_size() >= 0
        && end.is_some_and(|end| end as u64 <= size)
}
