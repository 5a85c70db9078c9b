//! A column that is filled value by value.

use std::fmt;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, ListArray, NullBufferBuilder, StringArray,
};
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer};
use arrow::datatypes::Field as ArrowField;

use crate::error::{Error, Result};
use crate::model::RawColumn;
use crate::schema::FieldType;

/// A value of a row, or of a list in it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cell<'a> {
    Null,
    Flag(bool),
    Whole(i64),
    /// Past the largest `i64`.
    Large(u64),
    Number(f64),
    Text(&'a str),
    /// Something that no column takes, as people call it.
    Odd(&'static str),
}

impl fmt::Display for Cell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cell::Null => f.write_str("NULL"),
            Cell::Flag(flag) => flag.fmt(f),
            Cell::Whole(number) => number.fmt(f),
            Cell::Large(number) => number.fmt(f),
            Cell::Number(number) => number.fmt(f),
            Cell::Text(text) => {
                let shown: String = text.chars().take(50).collect();
                write!(f, "`{shown}`")
            }
            Cell::Odd(what) => f.write_str(what),
        }
    }
}

/// A column of a model's raw rows while it is filled.
#[derive(Debug)]
pub(super) struct Column<'m> {
    raw: &'m RawColumn,
    values: Values,
    nulls: NullBufferBuilder,
    /// Of a column of lists, whose values are the items.
    lists: Option<Lists>,
}

#[derive(Debug)]
struct Lists {
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
}

/// Values in the physical types; times as texts, which conforming reads.
#[derive(Debug)]
enum Values {
    Flags(Vec<bool>),
    Whole(Vec<i64>),
    Numbers(Vec<f64>),
    Texts { bytes: Vec<u8>, offsets: Vec<i32> },
}

impl<'m> Column<'m> {
    pub(super) fn new(raw: &'m RawColumn, capacity: usize) -> Self {
        let (field_type, is_list) = match raw.field() {
            Some(field) => (field.field_type, field.list.is_some()),
            None => (raw.input().field_type, raw.input().is_list),
        };
        let values = match field_type {
            FieldType::Boolean => Values::Flags(Vec::with_capacity(capacity)),
            FieldType::Integer => Values::Whole(Vec::with_capacity(capacity)),
            FieldType::Float => Values::Numbers(Vec::with_capacity(capacity)),
            _ => {
                let mut offsets = Vec::with_capacity(capacity + 1);
                offsets.push(0);
                let bytes = Vec::with_capacity(16 * capacity);
                Values::Texts { bytes, offsets }
            }
        };
        Column {
            raw,
            values,
            nulls: NullBufferBuilder::new(capacity),
            lists: is_list.then(|| Lists {
                offsets: vec![0],
                nulls: NullBufferBuilder::new(capacity),
            }),
        }
    }

    /// How many rows there are.
    #[inline]
    fn n_rows(&self) -> usize {
        match &self.lists {
            Some(lists) => lists.nulls.len(),
            None => self.nulls.len(),
        }
    }

    /// The value of a row.
    #[inline]
    pub(super) fn put(&mut self, cell: Cell<'_>, row: usize) -> Result<()> {
        if self.n_rows() != row {
            return Err(self.twice(row));
        }
        match (&mut self.lists, cell) {
            (None, cell) => self.push(cell, row),
            (Some(_), Cell::Null) => self.end_list(false, row),
            (Some(_), cell) => Err(self.wrong(cell, row)),
        }
    }

    /// That a list may begin in a row.
    pub(super) fn begin_list(&self, row: usize) -> Result<()> {
        if self.n_rows() != row {
            return Err(self.twice(row));
        }
        match self.lists {
            Some(_) => Ok(()),
            None => Err(self.wrong(Cell::Odd("a list"), row)),
        }
    }

    /// The next item of a row's list.
    pub(super) fn put_item(&mut self, cell: Cell<'_>, row: usize) -> Result<()> {
        self.push(cell, row)
    }

    /// Ends a row's list, which is NULL if it is not there.
    pub(super) fn end_list(&mut self, there: bool, row: usize) -> Result<()> {
        let end = i32::try_from(self.nulls.len()).map_err(|_| self.too_much(row))?;
        if let Some(lists) = &mut self.lists {
            lists.offsets.push(end);
            lists.nulls.append(there);
        }
        Ok(())
    }

    /// A row that has said nothing of this column is NULL.
    #[inline]
    pub(super) fn end_row(&mut self, row: usize) {
        if self.n_rows() > row {
            return;
        }
        match &mut self.lists {
            Some(lists) => {
                let end = lists.offsets.last().copied().unwrap_or_default();
                lists.offsets.push(end);
                lists.nulls.append(false);
            }
            None => self.push_null(),
        }
    }

    #[inline]
    fn push(&mut self, cell: Cell<'_>, row: usize) -> Result<()> {
        match (&mut self.values, cell) {
            (_, Cell::Null) => {
                self.push_null();
                return Ok(());
            }
            (Values::Numbers(numbers), Cell::Number(number)) => numbers.push(number),
            (Values::Numbers(numbers), Cell::Whole(number)) => numbers.push(number as f64),
            (Values::Numbers(numbers), Cell::Large(number)) => numbers.push(number as f64),
            (Values::Whole(numbers), Cell::Whole(number)) => numbers.push(number),
            (Values::Whole(numbers), Cell::Number(number)) => match self.raw.field() {
                Some(field) if self.lists.is_none() => match field.whole_number(number, row)? {
                    Some(number) => numbers.push(number),
                    None => {
                        self.push_null();
                        return Ok(());
                    }
                },
                _ => return Err(self.wrong(cell, row)),
            },
            (Values::Flags(flags), Cell::Flag(flag)) => flags.push(flag),
            (Values::Texts { bytes, offsets }, Cell::Text(text)) => {
                bytes.extend_from_slice(text.as_bytes());
                match i32::try_from(bytes.len()) {
                    Ok(end) => offsets.push(end),
                    Err(_) => return Err(self.too_much(row)),
                }
            }
            (_, cell) => return Err(self.wrong(cell, row)),
        }
        self.nulls.append_non_null();
        Ok(())
    }

    fn push_null(&mut self) {
        match &mut self.values {
            Values::Flags(flags) => flags.push(false),
            Values::Whole(numbers) => numbers.push(0),
            Values::Numbers(numbers) => numbers.push(0.0),
            Values::Texts { offsets, .. } => {
                let end = offsets.last().copied().unwrap_or_default();
                offsets.push(end);
            }
        }
        self.nulls.append_null();
    }

    fn name(&self) -> &str {
        &self.raw.input().name
    }

    #[cold]
    fn wrong(&self, cell: Cell<'_>, row: usize) -> Error {
        let list = if self.lists.is_some() { "list of " } else { "" };
        let field_type = match self.raw.field() {
            Some(field) => field.field_type,
            None => self.raw.input().field_type,
        };
        Error::data(format!(
            "field `{}` is {cell} in row {row}, must be of type {list}{field_type}",
            self.name()
        ))
    }

    #[cold]
    fn twice(&self, row: usize) -> Error {
        Error::data(format!("field `{}` is in row {row} twice", self.name()))
    }

    #[cold]
    fn too_much(&self, row: usize) -> Error {
        Error::data(format!(
            "field `{}` has more than 2^31 bytes or items up to row {row}; send fewer rows at once",
            self.name()
        ))
    }

    pub(super) fn finish(mut self) -> Result<ArrayRef> {
        let values = self.values.finish(self.nulls.finish())?;
        let Some(mut lists) = self.lists else {
            return Ok(values);
        };
        let item = ArrowField::new_list_field(values.data_type().clone(), true);
        let offsets = OffsetBuffer::new(lists.offsets.into());
        let nulls = lists.nulls.finish();
        let lists = ListArray::try_new(Arc::new(item), offsets, values, nulls)?;
        Ok(Arc::new(lists))
    }
}

impl Values {
    fn finish(self, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        Ok(match self {
            Values::Flags(flags) => Arc::new(BooleanArray::new(BooleanBuffer::from(flags), nulls)),
            Values::Whole(numbers) => Arc::new(Int64Array::new(numbers.into(), nulls)),
            Values::Numbers(numbers) => Arc::new(Float64Array::new(numbers.into(), nulls)),
            Values::Texts { bytes, offsets } => {
                let offsets = OffsetBuffer::new(offsets.into());
                Arc::new(StringArray::try_new(offsets, bytes.into(), nulls)?)
            }
        })
    }
}
