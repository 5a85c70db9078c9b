//! Reading values from Arrow arrays, without a copy where there is none needed.

use std::sync::Arc;

use arrow::array::{Array, ArrayAccessor, ArrayRef, AsArray, OffsetSizeTrait};
use arrow::compute::{cast, filter, is_not_null};
use arrow::datatypes::{DataType, Date32Type, Float64Type, Int64Type, TimestampMicrosecondType};
use fourfold_kernels::sketches::NumberSketch;
use fourfold_kernels::sketches::number::{Scratch, real_key};

use crate::error::Result;
use crate::field_type::FieldType;

/// Takes the values of a column of numbers that are not NULL into a sketch.
pub(super) fn numbers(
    name: &str,
    field_type: FieldType,
    column: &ArrayRef,
    into: &mut NumberSketch,
    scratch: &mut Scratch,
) -> Result<()> {
    if into.update_array(column, scratch) {
        return Ok(());
    }
    let column = match column.data_type() {
        // A dictionary's values first, then the type.
        DataType::Dictionary(_, values) => &cast(column, values)?,
        _ => column,
    };
    let column = field_type.normalize(name, column)?;
    // A type that is none of these has no numbers, such as a column of nothing but NULL.
    let _ = into.update_array(&column, scratch);
    Ok(())
}

/// The [keys](NumberSketch) of a column of numbers, by row.
pub(super) fn keys(
    name: &str,
    field_type: FieldType,
    column: &ArrayRef,
) -> Result<Vec<Option<i64>>> {
    let column = field_type.normalize(name, column)?;
    Ok(match field_type {
        FieldType::Boolean => {
            let values = column.as_boolean().iter();
            values.map(|value| value.map(i64::from)).collect()
        }
        FieldType::Date => {
            let values = column.as_primitive::<Date32Type>().iter();
            values.map(|value| value.map(i64::from)).collect()
        }
        FieldType::Timestamp => {
            let values = column.as_primitive::<TimestampMicrosecondType>();
            values.iter().collect()
        }
        FieldType::Integer => column.as_primitive::<Int64Type>().iter().collect(),
        FieldType::Float => {
            let values = column.as_primitive::<Float64Type>().iter();
            values.map(|value| value.map(real_key)).collect()
        }
        FieldType::Text | FieldType::Other => vec![None; column.len()],
    })
}

/// Calls with the row and the bytes of every value of a column of text or bytes that is not NULL.
pub(super) fn each_value(column: &ArrayRef, call: &mut dyn FnMut(usize, &[u8])) -> Result<()> {
    match column.data_type() {
        DataType::Utf8 => each_row(column.as_string::<i32>(), call),
        DataType::LargeUtf8 => each_row(column.as_string::<i64>(), call),
        DataType::Utf8View => each_row(column.as_string_view(), call),
        DataType::Binary => each_row(column.as_binary::<i32>(), call),
        DataType::LargeBinary => each_row(column.as_binary::<i64>(), call),
        DataType::BinaryView => each_row(column.as_binary_view(), call),
        DataType::FixedSizeBinary(_) => each_row(column.as_fixed_size_binary(), call),
        DataType::Dictionary(_, values) => each_value(&cast(column, values)?, call)?,
        _ => {}
    }
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "an accessor is a reference")]
fn each_row<'a, T: AsRef<[u8]> + ?Sized + 'a>(
    column: impl ArrayAccessor<Item = &'a T>,
    call: &mut dyn FnMut(usize, &[u8]),
) {
    for row in 0..column.len() {
        if column.is_valid(row) {
            call(row, column.value(row).as_ref());
        }
    }
}

/// The items of a column of lists.
pub(super) struct Items {
    pub(super) values: ArrayRef,
    /// The number of items of each row that is not NULL.
    pub(super) lengths: Vec<i64>,
    /// The rows that are not NULL.
    pub(super) rows: Vec<usize>,
}

pub(super) fn items(name: &str, column: &ArrayRef) -> Result<Items> {
    let rows = match column.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => (0..column.len()).collect(),
        Some(nulls) => nulls.valid_indices().collect(),
    };
    // A row that is NULL may have items behind it.
    let column = &if column.null_count() > 0 {
        filter(column, &is_not_null(column)?)?
    } else {
        Arc::clone(column)
    };
    let (values, lengths) = match column.data_type() {
        DataType::List(_) => {
            let list = column.as_list::<i32>();
            between(list.offsets(), list.values())
        }
        DataType::LargeList(_) => {
            let list = column.as_list::<i64>();
            between(list.offsets(), list.values())
        }
        DataType::Map(..) => {
            let map = column.as_map();
            let entries: ArrayRef = Arc::new(map.entries().clone());
            between(map.offsets(), &entries)
        }
        DataType::FixedSizeList(_, n) => {
            let list = column.as_fixed_size_list();
            (Arc::clone(list.values()), vec![i64::from(*n); list.len()])
        }
        DataType::ListView(item) => {
            return items(name, &cast(column, &DataType::List(Arc::clone(item)))?);
        }
        DataType::LargeListView(item) => {
            return items(name, &cast(column, &DataType::LargeList(Arc::clone(item)))?);
        }
        other => {
            let message = format!("column `{name}` is of type {other}, must be a list");
            return Err(crate::Error::internal(message));
        }
    };
    Ok(Items {
        values,
        lengths,
        rows,
    })
}

fn between<O: OffsetSizeTrait>(offsets: &[O], values: &ArrayRef) -> (ArrayRef, Vec<i64>) {
    let from = offsets.first().map_or(0, |offset| offset.as_usize());
    let to = offsets.last().map_or(0, |offset| offset.as_usize());
    let lengths = offsets
        .windows(2)
        .map(|ends| (ends[1] - ends[0]).as_usize() as i64)
        .collect();
    (values.slice(from, to - from), lengths)
}
