//! A column of lists that is filled item by item.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, ListArray, StringArray};
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer};
use arrow::datatypes::Field as ArrowField;

use super::column::{Cell, Nulls, too_much, wrong};
use crate::error::Result;
use crate::model::RawColumn;
use crate::schema::FieldType;

/// The lists of a column.
#[derive(Debug)]
pub(super) struct Lists {
    /// The number of items of each.
    lengths: Vec<usize>,
    /// The number of items of the lists that have ended.
    ended: usize,
    items: Items,
    nulls: Nulls,
}

/// Items in their physical types; times as strings.
#[derive(Debug)]
enum Items {
    Flags(Vec<bool>),
    Whole(Vec<i64>),
    Numbers(Vec<f64>),
    Texts { bytes: Vec<u8>, lengths: Vec<usize> },
}

impl Lists {
    pub(super) fn new(items: FieldType) -> Self {
        Lists {
            lengths: Vec::new(),
            ended: 0,
            items: match items {
                FieldType::Boolean => Items::Flags(Vec::new()),
                FieldType::Integer => Items::Whole(Vec::new()),
                FieldType::Float => Items::Numbers(Vec::new()),
                _ => Items::Texts {
                    bytes: Vec::new(),
                    lengths: Vec::new(),
                },
            },
            nulls: Nulls::default(),
        }
    }

    /// The next item of the list of a row.
    pub(super) fn push(&mut self, raw: &RawColumn, cell: Cell<'_>, row: usize) -> Result<()> {
        if self.nulls.len() >= i32::MAX as usize {
            return Err(too_much(raw, row));
        }
        match (&mut self.items, cell) {
            (Items::Numbers(numbers), Cell::Number(number)) => numbers.push(number),
            (Items::Numbers(numbers), Cell::Whole(number)) => numbers.push(number as f64),
            (Items::Numbers(numbers), Cell::Large(number)) => numbers.push(number as f64),
            (Items::Numbers(numbers), Cell::Null) => numbers.push(0.0),
            (Items::Whole(numbers), Cell::Whole(number)) => numbers.push(number),
            (Items::Whole(numbers), Cell::Null) => numbers.push(0),
            (Items::Flags(flags), Cell::Flag(flag)) => flags.push(flag),
            (Items::Flags(flags), Cell::Null) => flags.push(false),
            (Items::Texts { bytes, lengths }, Cell::Text(text)) => {
                if bytes.len() + text.len() > i32::MAX as usize {
                    return Err(too_much(raw, row));
                }
                bytes.extend_from_slice(text.as_bytes());
                lengths.push(text.len());
            }
            (Items::Texts { lengths, .. }, Cell::Null) => lengths.push(0),
            (_, cell) => return Err(wrong(raw, cell, row)),
        }
        self.nulls.push(!matches!(cell, Cell::Null));
        Ok(())
    }

    /// Ends a list: what came since the last one ended is its items.
    pub(super) fn end_list(&mut self) {
        self.lengths.push(self.nulls.len() - self.ended);
        self.ended = self.nulls.len();
    }

    pub(super) fn finish(self, nulls: Option<NullBuffer>) -> Result<ListArray> {
        let there = self.nulls.finish();
        let items: ArrayRef = match self.items {
            Items::Flags(flags) => Arc::new(BooleanArray::new(BooleanBuffer::from(flags), there)),
            Items::Whole(numbers) => Arc::new(Int64Array::new(numbers.into(), there)),
            Items::Numbers(numbers) => Arc::new(Float64Array::new(numbers.into(), there)),
            Items::Texts { bytes, lengths } => {
                let offsets = OffsetBuffer::from_lengths(lengths);
                Arc::new(StringArray::try_new(offsets, bytes.into(), there)?)
            }
        };
        let item = ArrowField::new_list_field(items.data_type().clone(), true);
        let offsets = OffsetBuffer::from_lengths(self.lengths);
        Ok(ListArray::try_new(Arc::new(item), offsets, items, nulls)?)
    }
}
