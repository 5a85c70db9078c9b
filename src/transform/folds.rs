//! Which rows are learned from together: the folds of cross-fitting.

use arrow::array::{Array, ArrayRef};
use arrow::row::{RowConverter, SortField};
use twox_hash::XxHash64;

use crate::error::Result;

/// Another one than that of splits: what is in one split spreads over all folds.
const SEED: u64 = 0x666f_6c64;

/// A hash of each row's content, from which its fold follows. Rows of equal content have equal hashes.
pub(super) fn row_hashes(columns: &[ArrayRef]) -> Result<Vec<u64>> {
    let fields = columns
        .iter()
        .map(|column| SortField::new(column.data_type().clone()));
    let rows = RowConverter::new(fields.collect())?.convert_columns(columns)?;
    Ok(rows
        .iter()
        .map(|row| XxHash64::oneshot(SEED, row.as_ref()))
        .collect())
}
