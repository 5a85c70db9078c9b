//! The folds of cross-fitting: rows that are learned from together.

use arrow::array::{Array, ArrayRef};
use arrow::row::{RowConverter, SortField};
use fourfold_kernels::hash::xxh64;

use crate::error::Result;

/// It differs from that of splits, so that the rows of one split spread over all folds.
const SEED: u64 = 0x666f_6c64;

/// A hash of each row's content, from which its fold follows. Rows of equal content have equal hashes.
pub(super) fn row_hashes(columns: &[ArrayRef]) -> Result<Vec<u64>> {
    let fields = columns
        .iter()
        .map(|column| SortField::new(column.data_type().clone()));
    let rows = RowConverter::new(fields.collect())?.convert_columns(columns)?;
    Ok(rows.iter().map(|row| xxh64(SEED, row.as_ref())).collect())
}
