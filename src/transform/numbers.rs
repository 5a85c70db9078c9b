//! Numbers between two steps: as many as rows, some NULL.
//!
//! Most requests are of one row, and an Arrow array of one number costs three allocations: here one number stands in
//! its place. The operations see a slice either way, so there is one code for one row and for many.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, NullBufferBuilder};
use arrow::buffer::NullBuffer;

/// Values, without an allocation where there is one.
#[derive(Clone, Debug)]
pub(super) enum Few<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> Few<T> {
    fn into_vec(self) -> Vec<T> {
        match self {
            Few::One(value) => vec![value],
            Few::Many(values) => values,
        }
    }
}

impl<T> Deref for Few<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        match self {
            Few::One(value) => std::slice::from_ref(value),
            Few::Many(values) => values,
        }
    }
}

impl<T> DerefMut for Few<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        match self {
            Few::One(value) => std::slice::from_mut(value),
            Few::Many(values) => values,
        }
    }
}

impl<T> From<Vec<T>> for Few<T> {
    fn from(values: Vec<T>) -> Self {
        Few::Many(values)
    }
}

impl<T> FromIterator<T> for Few<T> {
    #[inline]
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let mut values = values.into_iter();
        if values.size_hint() == (1, Some(1))
            && let Some(value) = values.next()
        {
            return Few::One(value);
        }
        Few::Many(values.collect())
    }
}

/// Numbers, some NULL.
#[derive(Clone, Debug)]
pub(super) struct Numbers {
    values: Few<f64>,
    nulls: Option<NullBuffer>,
}

impl Numbers {
    /// As many values as there are places for NULL.
    pub(super) fn new(values: impl Into<Few<f64>>, nulls: Option<NullBuffer>) -> Self {
        Numbers {
            values: values.into(),
            nulls,
        }
    }

    /// The numbers of an iterator that knows how many it has, none NULL.
    #[inline]
    pub(super) fn all(values: impl IntoIterator<Item = f64>) -> Self {
        Numbers {
            values: values.into_iter().collect(),
            nulls: None,
        }
    }

    #[inline]
    pub(super) fn view(&self) -> NumbersView<'_> {
        NumbersView {
            values: Slice::Borrowed(&self.values),
            nulls: self.nulls.as_ref(),
        }
    }

    pub(super) fn to_array(&self) -> ArrayRef {
        let values = self.values.clone().into_vec();
        Arc::new(Float64Array::new(values.into(), self.nulls.clone()))
    }
}

impl FromIterator<Option<f64>> for Numbers {
    fn from_iter<I: IntoIterator<Item = Option<f64>>>(values: I) -> Self {
        let mut nulls = NullBufferBuilder::new(0);
        let values = values.into_iter().map(|value| {
            nulls.append(value.is_some());
            value.unwrap_or_default()
        });
        Numbers {
            values: values.collect(),
            nulls: nulls.finish(),
        }
    }
}

#[derive(Clone, Debug)]
enum Slice<'a> {
    Borrowed(&'a [f64]),
    Made(Few<f64>),
}

/// The numbers of a column, which stay where they are or were made for the view.
#[derive(Clone, Debug)]
pub(super) struct NumbersView<'a> {
    values: Slice<'a>,
    nulls: Option<&'a NullBuffer>,
}

impl<'a> NumbersView<'a> {
    #[inline]
    pub(super) fn borrowed(values: &'a [f64], nulls: Option<&'a NullBuffer>) -> Self {
        let values = Slice::Borrowed(values);
        NumbersView { values, nulls }
    }

    #[inline]
    pub(super) fn made(
        values: impl IntoIterator<Item = f64>,
        nulls: Option<&'a NullBuffer>,
    ) -> Self {
        let values = Slice::Made(values.into_iter().collect());
        NumbersView { values, nulls }
    }

    /// The values; where it is NULL, any.
    #[inline]
    pub(super) fn values(&self) -> &[f64] {
        match &self.values {
            Slice::Borrowed(values) => values,
            Slice::Made(values) => values,
        }
    }

    #[inline]
    pub(super) fn nulls(&self) -> Option<&'a NullBuffer> {
        self.nulls
    }

    pub(super) fn null_count(&self) -> usize {
        self.nulls.map_or(0, NullBuffer::null_count)
    }

    pub(super) fn len(&self) -> usize {
        self.values().len()
    }

    #[inline]
    pub(super) fn is_null(&self, row: usize) -> bool {
        self.nulls.is_some_and(|nulls| nulls.is_null(row))
    }

    #[inline]
    pub(super) fn get(&self, row: usize) -> Option<f64> {
        (!self.is_null(row)).then(|| self.values()[row])
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = Option<f64>> + '_ {
        let values = self.values().iter().enumerate();
        values.map(|(row, value)| (!self.is_null(row)).then_some(*value))
    }

    /// A number made of each; NULL stays.
    #[inline]
    pub(super) fn map(&self, each: impl Fn(f64) -> f64) -> Numbers {
        Numbers {
            values: self.values().iter().map(|value| each(*value)).collect(),
            nulls: self.nulls.cloned(),
        }
    }

    pub(super) fn into_numbers(self) -> Numbers {
        Numbers {
            nulls: self.nulls.cloned(),
            values: match self.values {
                Slice::Borrowed(values) => values.iter().copied().collect(),
                Slice::Made(values) => values,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::Float64Type;

    #[test]
    fn one_number_is_as_many() {
        for given in [
            vec![],
            vec![Some(1.0)],
            vec![None],
            vec![Some(1.0), None, Some(f64::NAN)],
        ] {
            let numbers: Numbers = given.iter().copied().collect();
            let view = numbers.view();
            let bits = |value: Option<f64>| value.map(f64::to_bits);
            let same = |found: Vec<Option<f64>>| {
                found.len() == given.len()
                    && found.iter().zip(&given).all(|(a, b)| bits(*a) == bits(*b))
            };
            assert!(same(view.iter().collect()), "{given:?}");
            assert!(same(
                view.map(|x| x + 1.0)
                    .view()
                    .map(|x| x - 1.0)
                    .view()
                    .iter()
                    .collect()
            ));
            let n_nulls = given.iter().filter(|value| value.is_none()).count();
            assert_eq!((view.null_count(), view.len()), (n_nulls, given.len()));
            let array = numbers.to_array();
            assert_eq!(array.null_count(), n_nulls);
            assert!(same(array.as_primitive::<Float64Type>().iter().collect()));
            assert!(same(view.into_numbers().view().iter().collect()));
        }
    }
}
