//! Places of rows: one rule for splits, samples, hold-outs and folds.
//!
//! Every row has a *key* of 64 bits, and its place for any purpose is a hash of that key:
//!
//! - with key columns, the key is a hash of their values: rows of one key have one place;
//! - without, it is a hash of the whole row and of how many equal rows came before it. The first of equal rows has the
//!   key of its content alone.
//!
//! Which rows are in which place therefore depends on what rows there are, however often each, and on nothing else: not
//! on their order, the files they are in, the spans that are read, or the number of threads. Each row falls on its place
//! independently of all others, equal ones too, and rows that are added move none of the old ones (equal rows cannot be
//! told apart, so which of them was there before has no meaning).
//!
//! Counting equal rows takes memory, which [`Occurrences`] bounds.

use arrow::array::{Array, ArrayRef};
use arrow::row::{RowConverter, SortField};
use fourfold_kernels::hash::{unit, xxh64};
pub(crate) use fourfold_kernels::occurrences::Occurrences;
use fourfold_kernels::row_hashes::RowHashes;

use crate::error::Result;
use crate::schema::FieldType;

/// The purpose that rows are placed for. Places of different purposes are independent. Splits use the key itself.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    /// A sample of all rows.
    Sample,
    /// Rows held out of those that a number of other hold-outs left.
    HoldOut(u64),
    /// Folds of those that a number of hold-outs left: once, or again with this number.
    Fold(u64, u64),
}

impl Purpose {
    fn seed(self) -> u64 {
        match self {
            Purpose::Sample => 1,
            Purpose::HoldOut(depth) => (depth + 1) << 32,
            Purpose::Fold(depth, again) => (depth + 1) << 32 | again << 1 | 1,
        }
    }

    /// The position in `0..1` of a row of this key.
    pub(crate) fn share(self, key: u64) -> f64 {
        unit(xxh64(self.seed(), &key.to_le_bytes()))
    }
}

/// A hash of each row's values in these columns, the same in all builds. A whole number has the same hash as an integer or a
/// float, so that a column which a file's reader takes for the other type keeps its places.
///
/// # Errors
/// If a column has a type that cannot be read.
pub(crate) fn content_hashes(columns: &[&ArrayRef], n_rows: usize) -> Result<Vec<u64>> {
    let mut hashes = RowHashes::new(n_rows);
    for column in columns {
        let column = FieldType::of(column.data_type()).normalize("key", column)?;
        if !hashes.append(&column) {
            let field = SortField::new(column.data_type().clone());
            let rows = RowConverter::new(vec![field])?.convert_columns(&[column])?;
            hashes.append_bytes(rows.iter().map(|row| row.data()));
        }
    }
    Ok(hashes.finish())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray};

    use super::*;

    #[test]
    fn a_row_is_hashed_as_one_run_of_bytes() {
        let id: ArrayRef = Arc::new(Int64Array::from(vec![5]));
        let text: ArrayRef = Arc::new(StringArray::from(vec!["ab"]));
        let bytes = [
            &[1, 5, 0, 0, 0, 0, 0, 0, 0, 4, 2, 0, 0, 0, 0, 0, 0, 0][..],
            b"ab",
        ]
        .concat();
        let wanted = xxh64(0, &bytes);
        assert_eq!(content_hashes(&[&id, &text], 1).unwrap(), [wanted]);
    }
}
