//! The distinct values of a column, with their numbers of occurrences, in the order of first appearance.

use std::hash::Hash;

use arrow_array::{Array, Int64Array, StringArray};
use arrow_buffer::NullBuffer;

use crate::hash::FastMap;

/// The distinct strings. NULL is none.
#[must_use]
pub fn strings(column: &StringArray) -> Vec<(&str, u64)> {
    count(column.iter().flatten())
}

/// The distinct integers. NULL is none.
#[must_use]
pub fn integers(column: &Int64Array) -> Vec<(i64, u64)> {
    match column.null_count() {
        0 => count(column.values().iter().copied()),
        _ => count(column.iter().flatten()),
    }
}

/// The distinct floats that are integers of 64 bits. NULL, NaN, infinities and all others are none.
#[must_use]
pub fn whole_floats(values: &[f64], nulls: Option<&NullBuffer>) -> Vec<(i64, u64)> {
    let valid = values
        .iter()
        .enumerate()
        .filter(|(row, _)| nulls.is_none_or(|nulls| nulls.is_valid(*row)));
    count(valid.filter_map(|(_, value)| whole(*value)))
}

/// A float as an integer, if it is one. Infinities are out of range, and NaN is.
#[must_use]
pub fn whole(number: f64) -> Option<i64> {
    const LOW: f64 = i64::MIN as f64;
    ((LOW..-LOW).contains(&number) && number.fract() == 0.0).then_some(number as i64)
}

fn count<T: Copy + Eq + Hash>(values: impl Iterator<Item = T>) -> Vec<(T, u64)> {
    let mut places: FastMap<T, usize> = FastMap::default();
    let mut counts: Vec<(T, u64)> = Vec::new();
    // Values often follow their equals.
    let mut last: Option<(T, usize)> = None;
    for value in values {
        let place = match last {
            Some((other, place)) if other == value => place,
            _ => *places.entry(value).or_insert_with(|| {
                counts.push((value, 0));
                counts.len() - 1
            }),
        };
        counts[place].1 += 1;
        last = Some((value, place));
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_in_the_order_of_first_appearance() {
        let column = StringArray::from(vec![Some("b"), None, Some("a"), Some("a"), Some("b")]);
        assert_eq!(strings(&column), [("b", 2), ("a", 2)]);
        let column = Int64Array::from(vec![Some(7), Some(7), None, Some(-1)]);
        assert_eq!(integers(&column), [(7, 2), (-1, 1)]);
        assert_eq!(integers(&Int64Array::from(vec![3, 2, 3])), [(3, 2), (2, 1)]);
    }

    #[test]
    fn floats_count_where_they_are_integers() {
        let values = [2.0, f64::NAN, -0.0, 0.0, 0.5, f64::INFINITY, 1e30, 2.0, 9.0];
        let nulls = NullBuffer::from(vec![true, true, true, true, true, true, true, true, false]);
        assert_eq!(whole_floats(&values, Some(&nulls)), [(2, 2), (0, 2)]);
        assert_eq!(whole_floats(&[], None), []);
        assert_eq!(whole(-(i64::MIN as f64)), None);
        assert_eq!(whole(i64::MIN as f64), Some(i64::MIN));
    }
}
