//! Where a row belongs: one rule for splits, samples, hold-outs and folds.
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

use std::hash::Hasher;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{Date32Type, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow::row::{RowConverter, SortField};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use twox_hash::XxHash64;

use crate::error::Result;
use crate::schema::FieldType;

/// What rows are placed for. Places of different purposes are independent. Splits take the key itself, as they always
/// have.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    /// A sample of all rows.
    Sample,
}

impl Purpose {
    fn seed(self) -> u64 {
        match self {
            Purpose::Sample => 1,
        }
    }

    /// Where in 0..1 a row of this key lies.
    pub(crate) fn share(self, key: u64) -> f64 {
        share(XxHash64::oneshot(self.seed(), &key.to_le_bytes()))
    }
}

/// A hash as a number from 0 to below 1.
pub(crate) fn share(hash: u64) -> f64 {
    // 53 bits are what a float holds exactly.
    (hash >> 11) as f64 / (1_u64 << 53) as f64
}

/// How often each row has been seen.
///
/// It holds 17 bytes for each distinct row, in a table that doubles: at most 285 MB, and while it grows for the last time
/// half as much again. That is enough for [`Occurrences::CAPACITY`] distinct rows, about 14 million. When there are more,
/// the rows that have been seen least are forgotten, those seen once first: of rows that are all different nothing
/// changes, and those that repeat much are still counted. Only rows that repeat rarely in such data may then share a place
/// with an equal one.
#[derive(Debug)]
pub(crate) struct Occurrences {
    seen: HashTable<(u64, u64)>,
    capacity: usize,
}

impl Default for Occurrences {
    fn default() -> Self {
        Occurrences::with_capacity(Occurrences::CAPACITY)
    }
}

impl Occurrences {
    /// What a table of 2^24 buckets holds.
    pub(crate) const CAPACITY: usize = (1 << 24) / 8 * 7;

    fn with_capacity(capacity: usize) -> Self {
        Occurrences {
            seen: HashTable::new(),
            capacity,
        }
    }

    /// Makes hashes of contents into keys: those of rows that were seen before, here or earlier, become others.
    pub(crate) fn number(&mut self, hashes: &mut [u64]) {
        for hash in hashes {
            let content = *hash;
            if self.seen.len() >= self.capacity {
                self.forget();
            }
            let entry =
                self.seen
                    .entry(content, |(other, _)| *other == content, |(other, _)| *other);
            match entry {
                Entry::Occupied(mut entry) => {
                    let (_, n) = entry.get_mut();
                    *hash = XxHash64::oneshot(*n, &content.to_le_bytes());
                    *n = n.saturating_add(1);
                }
                Entry::Vacant(entry) => {
                    entry.insert((content, 1));
                }
            }
        }
    }

    /// Forgets the rows seen least, until half of the room is free. What is left does not depend on the table's order.
    fn forget(&mut self) {
        let mut at_most = 1;
        while self.seen.len() > self.capacity / 2 {
            self.seen.retain(|(_, n)| *n > at_most);
            at_most *= 2;
        }
    }

    /// Bytes in use.
    pub(crate) fn size(&self) -> usize {
        self.seen.allocation_size()
    }
}

/// A hash of each row's values in these columns; equal for ever. A whole number has the same hash as an integer or a
/// float, so that a column which a file's reader takes for the other type keeps its places.
///
/// # Errors
/// If a column has a type that cannot be read.
pub(crate) fn content_hashes(columns: &[&ArrayRef], n_rows: usize) -> Result<Vec<u64>> {
    let mut keys = vec![XxHash64::with_seed(0); n_rows];
    for column in columns {
        append_bytes(column, &mut keys)?;
    }
    Ok(keys.iter().map(Hasher::finish).collect())
}

/// Appends a column's values to the rows' keys: a tag and the value.
fn append_bytes(column: &ArrayRef, keys: &mut [XxHash64]) -> Result<()> {
    let whole = |value: i64, key: &mut XxHash64| {
        key.write(&[1]);
        key.write(&value.to_le_bytes());
    };
    let field_type = FieldType::of(column.data_type());
    let column = field_type.normalize("key", column)?;
    for (row, key) in keys.iter_mut().enumerate() {
        if column.is_null(row) {
            key.write(&[0]);
            continue;
        }
        match field_type {
            FieldType::Integer => whole(column.as_primitive::<Int64Type>().value(row), key),
            FieldType::Float => {
                let value = column.as_primitive::<Float64Type>().value(row);
                // 2^63: below it, a whole float has an exact integer.
                if value.fract() == 0.0 && value.abs() < 9.223_372_036_854_776e18 {
                    whole(value as i64, key);
                } else {
                    key.write(&[2]);
                    let value = if value.is_nan() { f64::NAN } else { value };
                    key.write(&value.to_bits().to_le_bytes());
                }
            }
            FieldType::Boolean => key.write(&[3, u8::from(column.as_boolean().value(row))]),
            FieldType::Text => {
                let text = column.as_string::<i32>().value(row);
                key.write(&[4]);
                key.write(&(text.len() as u64).to_le_bytes());
                key.write(text.as_bytes());
            }
            FieldType::Date => {
                key.write(&[5]);
                key.write(&column.as_primitive::<Date32Type>().value(row).to_le_bytes());
            }
            FieldType::Timestamp => {
                key.write(&[6]);
                key.write(
                    &column
                        .as_primitive::<TimestampMicrosecondType>()
                        .value(row)
                        .to_le_bytes(),
                );
            }
            FieldType::Other => {}
        }
    }
    if field_type == FieldType::Other {
        let converter = RowConverter::new(vec![SortField::new(column.data_type().clone())])?;
        let rows = converter.convert_columns(&[column])?;
        for (key, row) in keys.iter_mut().zip(rows.iter()) {
            key.write(&[7]);
            key.write(row.as_ref());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
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
        let wanted = XxHash64::oneshot(0, &bytes);
        assert_eq!(content_hashes(&[&id, &text], 1).unwrap(), [wanted]);
    }

    #[test]
    fn equal_rows_have_keys_of_their_own_in_any_order() {
        let mut one = [7, 8, 7, 7, 9];
        Occurrences::default().number(&mut one);
        assert_eq!((one[0], one[1], one[4]), (7, 8, 9), "the first is itself");
        assert_eq!(BTreeSet::from(one).len(), 5);
        let mut other = [9, 7, 7, 8, 7, 7];
        Occurrences::default().number(&mut other);
        assert!(BTreeSet::from(other).is_superset(&BTreeSet::from(one)));
    }

    #[test]
    fn memory_is_bounded_and_frequent_rows_stay_counted() {
        let mut seen = Occurrences::with_capacity(1_000);
        let mut frequent: BTreeSet<u64> = BTreeSet::new();
        for round in 0..200_u64 {
            // Different rows, and one that is there every time.
            let mut rows: Vec<u64> = (0..100).map(|i| 1_000 + round * 100 + i).collect();
            let all_different = rows.clone();
            rows.push(7);
            rows.push(7);
            seen.number(&mut rows);
            assert_eq!(
                rows[..100],
                all_different,
                "a row that is there once is itself"
            );
            frequent.extend(&rows[100..]);
            assert!(seen.seen.len() <= 1_000);
        }
        assert_eq!(frequent.len(), 400);
    }
}
