//! Values that flow between the steps of a transform.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StringArray, UInt64Array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::take;
use arrow::datatypes::{Field, Float64Type, Int64Type};

use super::numbers::{Few, Numbers, NumbersView};
use crate::error::{Error, Result};
use crate::schema::FieldType;

/// A column between two steps. It is moved often, so what is large is behind a box.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// A raw column in the physical type of its [`FieldType`].
    Raw(ArrayRef, FieldType),
    /// Numbers made by a step.
    Numbers(Numbers),
    /// Strings made by a step.
    Text(Box<StringArray>),
    /// Categories: `width` features, where that of number `id` is 1; [`NO_CATEGORY`] sets none.
    Categories { ids: Few<u32>, width: usize },
    /// Several numbers a row, each a feature.
    Columns(Vec<Numbers>),
    /// A list of values a row.
    List(Box<List>),
    /// Some of `width` features a row.
    Sparse(Box<Sparse>),
    /// Nothing: dropped, or not known yet.
    Absent,
}

/// The id of a value that is in no category.
pub(super) const NO_CATEGORY: u32 = u32::MAX;

/// A list a row: row `i` has the items `offsets[i] .. offsets[i + 1]`.
#[derive(Clone, Debug)]
pub(super) struct List {
    pub(super) offsets: Vec<usize>,
    pub(super) nulls: Option<NullBuffer>,
    /// The values of all rows, in order.
    pub(super) items: Value,
}

/// Features `ids[i]` of row `row` are `values[i]` (1 if there are no values), for `i` in
/// `offsets[row] .. offsets[row + 1]`; the rest are 0.
#[derive(Clone, Debug)]
pub(super) struct Sparse {
    pub(super) offsets: Vec<usize>,
    /// [`NO_CATEGORY`] sets none.
    pub(super) ids: Few<u32>,
    pub(super) values: Option<Vec<f64>>,
    pub(super) width: usize,
}

impl List {
    fn of(list: &ListArray, items: FieldType) -> Result<Self> {
        let offsets = list.value_offsets();
        let first = offsets.first().copied().unwrap_or_default();
        let last = offsets.last().copied().unwrap_or_default();
        let values = list.values().slice(first as usize, (last - first) as usize);
        let whole = List {
            offsets: offsets.iter().map(|at| (at - first) as usize).collect(),
            nulls: list.nulls().cloned(),
            items: Value::Raw(ArrayRef::clone(&values), items),
        };
        let n_items: usize = whole.rows().flatten().map(|row| row.len()).sum();
        if n_items == values.len() {
            return Ok(whole);
        }
        // Arrow lets NULL lists have items; they belong to no row.
        let mut offsets = vec![0];
        let mut kept = Vec::with_capacity(n_items);
        for row in whole.rows() {
            kept.extend(row.unwrap_or_default().map(|at| at as u64));
            offsets.push(kept.len());
        }
        let values = take(&values, &UInt64Array::from(kept), None)?;
        Ok(List {
            offsets,
            nulls: whole.nulls,
            items: Value::Raw(values, items),
        })
    }

    /// The items of each row, in order; `None` is a NULL list.
    pub(super) fn rows(&self) -> impl Iterator<Item = Option<Range<usize>>> + '_ {
        self.offsets.windows(2).enumerate().map(|(row, ends)| {
            let there = self.nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
            there.then(|| ends[0]..ends[1])
        })
    }
}

impl Value {
    /// A column of raw values, in the physical type of its [`FieldType`] or as a list of them.
    pub(super) fn of(array: ArrayRef, field_type: FieldType) -> Result<Self> {
        Ok(match array.as_list_opt::<i32>() {
            Some(list) => Value::List(Box::new(List::of(list, field_type)?)),
            None => Value::Raw(array, field_type),
        })
    }

    /// The number of features it makes.
    pub(super) fn width(&self) -> usize {
        match self {
            Value::Raw(..) | Value::Numbers(_) | Value::Text(_) | Value::List(_) => 1,
            Value::Categories { width, .. } => *width,
            Value::Sparse(sparse) => sparse.width,
            Value::Columns(columns) => columns.len(),
            Value::Absent => 0,
        }
    }

    /// The values as numbers.
    pub(super) fn numbers(&self) -> Result<NumbersView<'_>> {
        match self {
            Value::Numbers(numbers) => Ok(numbers.view()),
            Value::Raw(array, FieldType::Float) => {
                let array = array.as_primitive::<Float64Type>();
                Ok(NumbersView::borrowed(array.values(), array.nulls()))
            }
            Value::Raw(array, FieldType::Integer) => {
                let array = array.as_primitive::<Int64Type>();
                let values = array.values().iter().map(|value| *value as f64);
                Ok(NumbersView::made(values, array.nulls()))
            }
            Value::Raw(array, FieldType::Boolean) => {
                let array = array.as_boolean();
                let values = array.values().iter();
                let values = values.map(|value| f64::from(u8::from(value)));
                Ok(NumbersView::made(values, array.nulls()))
            }
            other => Err(Error::config(format!(
                "this step takes numbers, the column is {}",
                other.kind()
            ))),
        }
    }

    /// The values as numbers, without those that are missing or not finite.
    pub(super) fn each_finite(&self, mut each: impl FnMut(f64)) -> Result<()> {
        let numbers = self.numbers()?;
        if numbers.null_count() == 0 {
            let values = numbers.values().iter().copied();
            values.filter(|value| value.is_finite()).for_each(each);
        } else {
            let values = numbers.iter().flatten();
            values.filter(|value| value.is_finite()).for_each(&mut each);
        }
        Ok(())
    }

    /// The values as strings.
    pub(super) fn text(&self) -> Result<&StringArray> {
        match self {
            Value::Text(text) => Ok(text),
            Value::Raw(array, FieldType::Text) => Ok(array.as_string::<i32>()),
            other => Err(Error::config(format!(
                "this step takes text, the column is {}",
                other.kind()
            ))),
        }
    }

    /// The values as lists.
    pub(super) fn list(&self) -> Result<&List> {
        match self {
            Value::List(list) => Ok(list),
            other => Err(Error::config(format!(
                "this step takes a column of lists, the column is {}",
                other.kind()
            ))),
        }
    }

    pub(super) fn kind(&self) -> String {
        match self {
            Value::Raw(array, field_type)
                if !array.is_empty() && array.null_count() == array.len() =>
            {
                format!("of type {field_type} and NULL in every row")
            }
            Value::Raw(_, field_type) => format!("of type {field_type}"),
            Value::Numbers(_) => "of numbers that are not whole".to_owned(),
            Value::Text(_) => "of type text".to_owned(),
            Value::Categories { .. } => "already one-hot encoded".to_owned(),
            Value::Columns(_) => "already encoded as sine and cosine".to_owned(),
            Value::List(list) => match &list.items {
                Value::Raw(_, items) => format!("of lists of {items}"),
                _ => "of lists".to_owned(),
            },
            Value::Sparse(_) => "already multi-hot encoded".to_owned(),
            Value::Absent => "already dropped".to_owned(),
        }
    }
}

impl Value {
    /// The column as an Arrow array.
    pub(super) fn to_array(&self) -> Result<ArrayRef> {
        Ok(match self {
            Value::Raw(array, _) => ArrayRef::clone(array),
            Value::Numbers(numbers) => numbers.to_array(),
            Value::Text(text) => Arc::new(StringArray::clone(text)),
            Value::List(list) => {
                let items = list.items.to_array()?;
                let field = Field::new_list_field(items.data_type().clone(), true);
                let lengths = list.offsets.windows(2).map(|ends| ends[1] - ends[0]);
                let offsets = OffsetBuffer::from_lengths(lengths);
                let nulls = list.nulls.clone();
                Arc::new(ListArray::try_new(Arc::new(field), offsets, items, nulls)?)
            }
            other => {
                return Err(Error::config(format!(
                    "this step takes values, the column is {}",
                    other.kind()
                )));
            }
        })
    }
}
