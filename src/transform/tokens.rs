//! A column read as categories: text, whole numbers, booleans.

use std::fmt::Write;

use arrow::array::{Array, AsArray, BooleanArray, Int64Array, StringArray};
use arrow::datatypes::Int64Type;
use fourfold_kernels::distinct::{self, whole};

use super::numbers::{Few, NumbersView};
use super::value::{NO_CATEGORY, Value};
use super::vocabulary::Vocabulary;
use crate::error::{Error, Result};
use crate::schema::FieldType;

/// The values of a column as categories. Each has a string: whole numbers their digits, booleans `true` and `false`.
/// NULL, NaN and infinities have none.
#[derive(Clone, Debug)]
pub(super) enum Tokens<'a> {
    Text(&'a StringArray),
    Whole(&'a Int64Array),
    /// Floats that are whole, every one that is finite.
    Numbers(NumbersView<'a>),
    Flags(&'a BooleanArray),
}

impl Value {
    /// The values as categories.
    pub(super) fn tokens(&self) -> Result<Tokens<'_>> {
        Ok(match self {
            Value::Text(text) => Tokens::Text(text),
            Value::Raw(array, FieldType::Text) => Tokens::Text(array.as_string::<i32>()),
            Value::Raw(array, FieldType::Boolean) => Tokens::Flags(array.as_boolean()),
            Value::Raw(array, FieldType::Integer) => {
                Tokens::Whole(array.as_primitive::<Int64Type>())
            }
            Value::Numbers(numbers)
                if numbers
                    .view()
                    .iter()
                    .flatten()
                    .all(|value| !value.is_finite() || value.fract() == 0.0) =>
            {
                Tokens::Numbers(numbers.view())
            }
            other => {
                return Err(Error::config(format!(
                    "this step takes text, whole numbers or booleans, the column is {}; \
                     bucketize a column of floats first",
                    other.kind()
                )));
            }
        })
    }
}

/// The floats that are a category: those that are finite.
fn finite<'a>(numbers: &'a NumbersView<'_>) -> impl ExactSizeIterator<Item = Option<f64>> + 'a {
    numbers
        .iter()
        .map(|number| number.filter(|number| number.is_finite()))
}

fn flag_text(flag: bool) -> &'static str {
    if flag { "true" } else { "false" }
}

fn digits(text: &mut String, number: impl std::fmt::Display) -> &str {
    text.clear();
    // Writing to a string does not fail.
    let _ = write!(text, "{number:.0}");
    text
}

impl Tokens<'_> {
    /// The number of rows.
    pub(super) fn len(&self) -> usize {
        match self {
            Tokens::Text(array) => array.len(),
            Tokens::Whole(array) => array.len(),
            Tokens::Numbers(array) => array.len(),
            Tokens::Flags(array) => array.len(),
        }
    }

    /// Calls `each` with the string of every row, in order.
    pub(super) fn for_each(&self, mut each: impl FnMut(Option<&str>)) {
        let mut text = String::with_capacity(24);
        match self {
            Tokens::Text(array) => array.iter().for_each(each),
            Tokens::Flags(array) => array.iter().for_each(|flag| each(flag.map(flag_text))),
            Tokens::Whole(array) => array
                .iter()
                .for_each(|number| each(number.map(|number| digits(&mut text, number)))),
            Tokens::Numbers(array) => finite(array).for_each(|number| {
                each(number.map(|number| match whole(number) {
                    Some(number) => digits(&mut text, number),
                    None => digits(&mut text, number),
                }));
            }),
        }
    }

    /// Appends the string of a row; `false` if it has none.
    pub(super) fn append(&self, row: usize, out: &mut String) -> bool {
        match self {
            Tokens::Text(array) if array.is_valid(row) => out.push_str(array.value(row)),
            Tokens::Flags(array) if array.is_valid(row) => {
                out.push_str(flag_text(array.value(row)))
            }
            Tokens::Whole(array) if array.is_valid(row) => {
                let _ = write!(out, "{}", array.value(row));
            }
            Tokens::Numbers(numbers) => {
                let Some(value) = numbers.get(row).filter(|value| value.is_finite()) else {
                    return false;
                };
                let _ = match whole(value) {
                    Some(number) => write!(out, "{number}"),
                    None => write!(out, "{value:.0}"),
                };
            }
            _ => return false,
        }
        true
    }

    /// The id of every row: that of the vocabulary, `other` for a value that is not in it, [`NO_CATEGORY`] for
    /// none.
    pub(super) fn ids(&self, vocabulary: &Vocabulary, other: u32) -> Few<u32> {
        let of_text = |text: &str| vocabulary.id_of(text).unwrap_or(other);
        let of_whole = |number| vocabulary.id_of_whole(number).unwrap_or(other);
        match self {
            Tokens::Text(array) if array.len() == 1 => map(array.iter(), of_text),
            Tokens::Text(array) => vocabulary.ids_of(array, other, NO_CATEGORY).into(),
            Tokens::Whole(array) => match array.null_count() {
                0 => array
                    .values()
                    .iter()
                    .map(|number| of_whole(*number))
                    .collect(),
                _ => map(array.iter(), of_whole),
            },
            Tokens::Numbers(array) => map(finite(array), |number| {
                whole(number).map_or_else(|| of_text(&format!("{number:.0}")), of_whole)
            }),
            Tokens::Flags(array) => {
                let flags = [of_text(flag_text(false)), of_text(flag_text(true))];
                map(array.iter(), |flag| flags[usize::from(flag)])
            }
        }
    }

    /// Calls `text` and `number` with each distinct value and its number of occurrences, in the order of first
    /// appearance.
    pub(super) fn count(&self, mut text: impl FnMut(&str, u64), mut number: impl FnMut(i64, u64)) {
        let mut numbers = |counts: Vec<(i64, u64)>| {
            counts.into_iter().for_each(|(value, n)| number(value, n));
        };
        match self {
            Tokens::Text(array) => {
                let counts = distinct::strings(array).into_iter();
                counts.for_each(|(value, n)| text(value, n));
            }
            Tokens::Whole(array) => numbers(distinct::integers(array)),
            Tokens::Flags(array) => {
                let counts = [(true, array.true_count()), (false, array.false_count())];
                let mut counts = counts.map(|(flag, n)| (flag_text(flag), n as u64));
                if array.iter().flatten().next() == Some(false) {
                    counts.reverse();
                }
                let counts = counts.into_iter().filter(|(_, n)| *n > 0);
                counts.for_each(|(flag, n)| text(flag, n));
            }
            Tokens::Numbers(array) => {
                numbers(distinct::whole_floats(array.values(), array.nulls()));
                let long = finite(array).flatten().filter(|n| whole(*n).is_none());
                long.for_each(|value| text(&format!("{value:.0}"), 1));
            }
        }
    }
}

fn map<T>(values: impl Iterator<Item = Option<T>>, id: impl Fn(T) -> u32) -> Few<u32> {
    values.map(|value| value.map_or(NO_CATEGORY, &id)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transform::numbers::Numbers;

    #[test]
    fn floats_that_are_not_finite_are_no_category() {
        let numbers = [
            Some(1.0),
            Some(f64::NAN),
            None,
            Some(f64::INFINITY),
            Some(1e30),
        ];
        let value = Value::Numbers(numbers.into_iter().collect());
        let tokens = value.tokens().unwrap();
        let mut texts = Vec::new();
        tokens.for_each(|text| texts.push(text.map(str::to_owned)));
        let long = Some(format!("{:.0}", 1e30));
        assert_eq!(texts, [Some("1".to_owned()), None, None, None, long]);
        let mut text = String::new();
        let with_text: Vec<bool> = (0..5).map(|row| tokens.append(row, &mut text)).collect();
        assert_eq!(with_text, [true, false, false, false, true]);
        let vocabulary = Vocabulary::from(vec!["1".to_owned()]);
        let (none, other) = (NO_CATEGORY, 7);
        assert_eq!(
            *tokens.ids(&vocabulary, other),
            [0, none, none, none, other]
        );
        let counted = std::cell::Cell::new(0);
        let add = |n: u64| counted.set(counted.get() + n);
        tokens.count(|_, n| add(n), |_, n| add(n));
        assert_eq!(counted.get(), 2);
        let half = Value::Numbers(Numbers::all([f64::NAN, 0.5]));
        assert!(half.tokens().is_err());
    }
}
