//! Hashes of the contents of rows.

use std::hash::Hasher;

use crate::hash::Xxh64;
use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_schema::{DataType, TimeUnit};

/// A hash of each row's values in some columns: XXH64 of a run of bytes, a tag and the value for each column. A whole
/// number has the same bytes as an integer or a float.
#[derive(Debug)]
pub struct RowHashes(Vec<Xxh64>);

impl RowHashes {
    /// The hashes of rows without columns yet.
    #[must_use]
    pub fn new(n_rows: usize) -> Self {
        RowHashes(vec![Xxh64::with_seed(0); n_rows])
    }

    /// Appends the values of an array `(n_rows)`: booleans, 64-bit integers and floats, text, dates, timestamps in
    /// microseconds. Says whether the type is one of these; of an array of another type only NULLs are appended, and
    /// [`RowHashes::append_bytes`] is to follow.
    #[must_use]
    pub fn append(&mut self, column: &dyn Array) -> bool {
        match column.data_type() {
            DataType::Int64 => {
                let values = column.as_primitive::<Int64Type>();
                self.each(column, |row, key| whole(values.value(row), key));
            }
            DataType::Float64 => {
                let values = column.as_primitive::<Float64Type>();
                self.each(column, |row, key| {
                    let value = values.value(row);
                    // 2^63: below it, a whole float has an exact integer.
                    if value.fract() == 0.0 && value.abs() < 9.223_372_036_854_776e18 {
                        whole(value as i64, key);
                    } else {
                        let value = if value.is_nan() { f64::NAN } else { value };
                        key.write(&tagged(2, value.to_bits().to_le_bytes()));
                    }
                });
            }
            DataType::Boolean => {
                let values = column.as_boolean();
                self.each(column, |row, key| {
                    key.write(&[3, u8::from(values.value(row))]);
                });
            }
            DataType::Utf8 => {
                let values = column.as_string::<i32>();
                self.each(column, |row, key| {
                    let text = values.value(row);
                    key.write(&tagged(4, (text.len() as u64).to_le_bytes()));
                    key.write(text.as_bytes());
                });
            }
            DataType::Date32 => {
                let values = column.as_primitive::<Date32Type>();
                self.each(column, |row, key| {
                    key.write(&[5]);
                    key.write(&values.value(row).to_le_bytes());
                });
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                let values = column.as_primitive::<TimestampMicrosecondType>();
                self.each(column, |row, key| {
                    key.write(&tagged(6, values.value(row).to_le_bytes()));
                });
            }
            _ => {
                self.each(column, |_, _| {});
                return false;
            }
        }
        true
    }

    /// Appends the values of a column of any other type: bytes for each row, which are equal where the values are.
    pub fn append_bytes<'a>(&mut self, rows: impl Iterator<Item = &'a [u8]>) {
        for (key, row) in self.0.iter_mut().zip(rows) {
            key.write(&[7]);
            key.write(row);
        }
    }

    /// The hashes `(n_rows)`.
    #[must_use]
    pub fn finish(self) -> Vec<u64> {
        self.0.iter().map(Hasher::finish).collect()
    }

    #[inline]
    fn each(&mut self, column: &dyn Array, value: impl Fn(usize, &mut Xxh64)) {
        let nulls = column.nulls().filter(|nulls| nulls.null_count() > 0);
        for (row, key) in self.0.iter_mut().enumerate() {
            match nulls {
                Some(nulls) if nulls.is_null(row) => key.write(&[0]),
                _ => value(row, key),
            }
        }
    }
}

fn whole(value: i64, key: &mut Xxh64) {
    key.write(&tagged(1, value.to_le_bytes()));
}

/// A tag and eight bytes after it.
fn tagged(tag: u8, value: [u8; 8]) -> [u8; 9] {
    let mut bytes = [tag; 9];
    bytes[1..].copy_from_slice(&value);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{Float64Array, Int64Array, StringArray};

    #[test]
    fn a_row_is_hashed_as_one_run_of_bytes() {
        let mut hashes = RowHashes::new(2);
        assert!(hashes.append(&Int64Array::from(vec![Some(5), None])));
        assert!(hashes.append(&StringArray::from(vec!["ab", ""])));
        let first = [
            &[1, 5, 0, 0, 0, 0, 0, 0, 0, 4, 2, 0, 0, 0, 0, 0, 0, 0][..],
            b"ab",
        ]
        .concat();
        let second = [0, 4, 0, 0, 0, 0, 0, 0, 0, 0];
        let wanted = [first.as_slice(), &second].map(|bytes| crate::hash::xxh64(0, bytes));
        assert_eq!(hashes.finish(), wanted);
    }

    #[test]
    fn whole_numbers_hash_alike_and_nan_is_one_value() {
        let of = |column: &dyn Array| {
            let mut hashes = RowHashes::new(column.len());
            assert!(hashes.append(column));
            hashes.finish()
        };
        let whole = of(&Int64Array::from(vec![0, -3, 1 << 53]));
        assert_eq!(
            of(&Float64Array::from(vec![
                -0.0,
                -3.0,
                9_007_199_254_740_992.0
            ])),
            whole
        );
        let nan = of(&Float64Array::from(vec![f64::NAN, -f64::NAN]));
        assert_eq!(nan[0], nan[1]);
    }
}
