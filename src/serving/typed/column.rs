//! A column that is filled value by value.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};

use super::list::Lists;
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

/// The values that are not NULL. Mostly all, which takes no memory.
#[derive(Debug, Default)]
pub(super) struct Nulls {
    n: usize,
    /// The presence of values, from the first NULL on.
    there: Vec<bool>,
}

impl Nulls {
    /// The number of values, including NULLs.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.n
    }

    #[inline]
    pub(super) fn push(&mut self, there: bool) {
        if !there && self.there.is_empty() {
            self.there.resize(self.n, true);
        }
        self.n += 1;
        if !there || !self.there.is_empty() {
            self.there.push(there);
        }
    }

    pub(super) fn finish(self) -> Option<NullBuffer> {
        (!self.there.is_empty()).then(|| self.there.into())
    }
}

/// The buffer of all columns of single values, so that a row costs two allocations and not fifty: a slot for each
/// value, column by column, and the strings one after the other.
#[derive(Debug)]
pub(super) struct Store {
    /// The bits of numbers; the beginnings and ends of strings.
    slots: Vec<u64>,
    texts: Vec<u8>,
    /// The expected number of rows.
    n_rows: usize,
}

impl Store {
    pub(super) fn new(n_columns: usize, n_rows: usize) -> Self {
        Store {
            slots: vec![0; n_columns * n_rows],
            texts: Vec::with_capacity(8 * n_columns * n_rows),
            n_rows,
        }
    }

    /// Finishes the column once all rows are present.
    pub(super) fn finish(self) -> Filled {
        Filled {
            slots: Buffer::from_vec(self.slots),
            texts: Buffer::from_vec(self.texts),
            n_rows: self.n_rows,
        }
    }
}

/// A [`Store`] that is filled, and that all columns share.
#[derive(Debug)]
pub(super) struct Filled {
    slots: Buffer,
    texts: Buffer,
    n_rows: usize,
}

/// A column of a model's raw rows while it is filled.
#[derive(Debug)]
pub(super) struct Column {
    kind: Kind,
    nulls: Nulls,
}

/// The type of the values in the slots.
#[derive(Debug)]
enum Kind {
    Flag,
    Whole,
    Number,
    /// Times too: conforming reads them.
    Text,
    /// Nothing: lists are kept by themselves.
    List(Box<Lists>),
}

impl Column {
    pub(super) fn new(raw: &RawColumn) -> Self {
        let field_type = raw.field_type();
        Column {
            kind: match field_type {
                _ if raw.is_list() => Kind::List(Box::new(Lists::new(field_type))),
                FieldType::Boolean => Kind::Flag,
                FieldType::Integer => Kind::Whole,
                FieldType::Float => Kind::Number,
                _ => Kind::Text,
            },
            nulls: Nulls::default(),
        }
    }

    /// The value of a row. `at` is the number of the column.
    #[inline]
    pub(super) fn put(
        &mut self,
        raw: &RawColumn,
        store: &mut Store,
        at: usize,
        cell: Cell<'_>,
    ) -> Result<()> {
        let row = self.nulls.len();
        let bits = match (&mut self.kind, cell) {
            (Kind::List(lists), Cell::Null) => {
                lists.end_list();
                None
            }
            (_, Cell::Null) => None,
            (Kind::Number, Cell::Number(number)) => Some(number.to_bits()),
            (Kind::Number, Cell::Whole(number)) => Some((number as f64).to_bits()),
            (Kind::Number, Cell::Large(number)) => Some((number as f64).to_bits()),
            (Kind::Whole, Cell::Whole(number)) => Some(number.cast_unsigned()),
            (Kind::Whole, Cell::Number(number)) => match raw.field() {
                Some(field) => field.whole_number(number, row)?.map(i64::cast_unsigned),
                None => return Err(wrong(raw, cell, row)),
            },
            (Kind::Flag, Cell::Flag(flag)) => Some(u64::from(flag)),
            (Kind::Text, Cell::Text(text)) => {
                let begin = store.texts.len();
                store.texts.extend_from_slice(text.as_bytes());
                Some(ends(raw, begin, store.texts.len(), row)?)
            }
            (_, cell) => return Err(wrong(raw, cell, row)),
        };
        if let Some(bits) = bits
            && let Some(slot) = store.slots.get_mut(at * store.n_rows + row)
        {
            *slot = bits;
        }
        self.nulls.push(bits.is_some());
        Ok(())
    }

    /// The number of rows.
    #[inline]
    pub(super) fn n_rows(&self) -> usize {
        self.nulls.len()
    }

    /// The lists, of a column that has such.
    pub(super) fn lists(&mut self, raw: &RawColumn) -> Result<&mut Lists> {
        let row = self.nulls.len();
        match &mut self.kind {
            Kind::List(lists) => Ok(lists),
            _ => Err(wrong(raw, Cell::Odd("a list"), row)),
        }
    }

    /// Ends the list of a row.
    pub(super) fn end_list(&mut self) {
        if let Kind::List(lists) = &mut self.kind {
            lists.end_list();
            self.nulls.push(true);
        }
    }

    /// A row that has said nothing of this column is NULL. Whether it has said something.
    #[inline]
    pub(super) fn end_row(&mut self, row: usize) -> bool {
        if self.nulls.len() > row {
            return true;
        }
        if let Kind::List(lists) = &mut self.kind {
            lists.end_list();
        }
        self.nulls.push(false);
        false
    }

    pub(super) fn finish(self, at: usize, filled: &Filled) -> Result<ArrayRef> {
        let n = filled.n_rows;
        let nulls = self.nulls.finish();
        let slots = || filled.slots.clone();
        Ok(match self.kind {
            Kind::Number => Arc::new(Float64Array::new(
                ScalarBuffer::new(slots(), at * n, n),
                nulls,
            )),
            Kind::Whole => Arc::new(Int64Array::new(
                ScalarBuffer::new(slots(), at * n, n),
                nulls,
            )),
            Kind::Flag => {
                let flags = ScalarBuffer::<u64>::new(slots(), at * n, n);
                let flags = BooleanBuffer::collect_bool(n, |row| flags[row] == 1);
                Arc::new(BooleanArray::new(flags, nulls))
            }
            Kind::Text => {
                let ends = ScalarBuffer::<i32>::new(slots(), 2 * at * n, 2 * n);
                Arc::new(texts(&ends, &filled.texts, nulls)?)
            }
            Kind::List(lists) => Arc::new(lists.finish(nulls)?),
        })
    }
}

/// The strings of a column, from their beginnings and ends.
fn texts(
    ends: &ScalarBuffer<i32>,
    bytes: &Buffer,
    nulls: Option<NullBuffer>,
) -> Result<StringArray> {
    // One text lies in its place already; but all that lies before it is looked at too.
    const SHORT: usize = 1_024;
    if let [_, end] = ends[..]
        && end as usize <= SHORT
    {
        let bytes = bytes.slice_with_length(0, end as usize);
        return Ok(StringArray::try_new(
            OffsetBuffer::new(ends.clone()),
            bytes,
            nulls,
        )?);
    }
    let spans = || {
        ends.chunks_exact(2)
            .map(|ends| ends[0] as usize..ends[1] as usize)
    };
    let offsets = OffsetBuffer::from_lengths(spans().map(|span| span.len()));
    let mut copied = Vec::with_capacity(spans().map(|span| span.len()).sum());
    spans().for_each(|span| copied.extend_from_slice(&bytes[span]));
    Ok(StringArray::try_new(offsets, copied.into(), nulls)?)
}

/// The beginning and the end of a string, as two `i32` in one slot.
#[inline]
fn ends(raw: &RawColumn, begin: usize, end: usize, row: usize) -> Result<u64> {
    let (Ok(begin), Ok(end)) = (i32::try_from(begin), i32::try_from(end)) else {
        return Err(too_much(raw, row));
    };
    let ([a, b, c, d], [e, f, g, h]) = (begin.to_ne_bytes(), end.to_ne_bytes());
    Ok(u64::from_ne_bytes([a, b, c, d, e, f, g, h]))
}

#[cold]
pub(super) fn wrong(raw: &RawColumn, cell: Cell<'_>, row: usize) -> Error {
    Error::data(format!(
        "field `{}` is {cell} in row {row}, must be of type {}{}",
        raw.input().name,
        if raw.is_list() { "list of " } else { "" },
        raw.field_type()
    ))
}

#[cold]
pub(super) fn too_much(raw: &RawColumn, row: usize) -> Error {
    Error::data(format!(
        "the strings up to field `{}` of row {row} exceed 2^31 bytes or items; send fewer rows at once",
        raw.input().name
    ))
}
