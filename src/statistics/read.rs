//! Reading values from Arrow arrays, without a copy where there is none needed.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayAccessor, ArrayRef, ArrowPrimitiveType, AsArray, OffsetSizeTrait, PrimitiveArray,
};
use arrow::compute::{cast, filter, is_not_null};
use arrow::datatypes::{
    DataType, Date32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimeUnit, TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type,
};

use super::number::{NumberAccumulator, Scratch};
use super::quantiles::order_key;
use crate::error::Result;
use crate::schema::FieldType;

/// Takes the values of a column of numbers that are not NULL into an accumulator.
pub(super) fn numbers(
    name: &str,
    field_type: FieldType,
    column: &ArrayRef,
    into: &mut NumberAccumulator,
    scratch: &mut Scratch,
) -> Result<()> {
    match column.data_type() {
        DataType::Float64 => {
            let column = column.as_primitive::<Float64Type>();
            if column.null_count() == 0 {
                into.update_real(column.values(), &mut scratch.real);
                return Ok(());
            }
            let mut present = std::mem::take(&mut scratch.present);
            gather(column, &mut present, |value| value);
            into.update_real(&present, &mut scratch.real);
            scratch.present = present;
        }
        DataType::Float32 => {
            let column = column.as_primitive::<Float32Type>();
            let mut present = std::mem::take(&mut scratch.present);
            gather(column, &mut present, f64::from);
            into.update_real(&present, &mut scratch.real);
            scratch.present = present;
        }
        DataType::Int64 => whole::<Int64Type>(column, into, scratch),
        DataType::Int32 => whole::<Int32Type>(column, into, scratch),
        DataType::Int16 => whole::<Int16Type>(column, into, scratch),
        DataType::Int8 => whole::<Int8Type>(column, into, scratch),
        DataType::UInt32 => whole::<UInt32Type>(column, into, scratch),
        DataType::UInt16 => whole::<UInt16Type>(column, into, scratch),
        DataType::UInt8 => whole::<UInt8Type>(column, into, scratch),
        DataType::Date32 => whole::<Date32Type>(column, into, scratch),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            whole::<TimestampMicrosecondType>(column, into, scratch);
        }
        DataType::Boolean => {
            let column = column.as_boolean();
            scratch.whole.clear();
            scratch.whole.extend(column.iter().flatten().map(i64::from));
            into.update_whole(&scratch.whole, &mut scratch.real);
        }
        _ => {
            let column = match column.data_type() {
                // A dictionary's values first, then the type.
                DataType::Dictionary(_, values) => &cast(column, values)?,
                _ => column,
            };
            let column = field_type.normalize(name, column)?;
            if is_read(column.data_type()) {
                return numbers(name, field_type, &column, into, scratch);
            }
        }
    }
    Ok(())
}

fn is_read(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Float64
            | DataType::Int64
            | DataType::Date32
            | DataType::Boolean
            | DataType::Timestamp(TimeUnit::Microsecond, _)
    )
}

fn whole<T: ArrowPrimitiveType>(
    column: &ArrayRef,
    into: &mut NumberAccumulator,
    scratch: &mut Scratch,
) where
    T::Native: Into<i64>,
{
    let column = column.as_primitive::<T>();
    gather(column, &mut scratch.whole, Into::into);
    into.update_whole(&scratch.whole, &mut scratch.real);
}

/// The values that are not NULL.
fn gather<T: ArrowPrimitiveType, V>(
    column: &PrimitiveArray<T>,
    into: &mut Vec<V>,
    of: impl Fn(T::Native) -> V,
) {
    into.clear();
    let values = column.values();
    match column.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => into.extend(values.iter().map(|value| of(*value))),
        Some(nulls) => {
            for (from, to) in nulls.valid_slices() {
                if let Some(run) = values.get(from..to) {
                    into.extend(run.iter().map(|value| of(*value)));
                }
            }
        }
    }
}

/// The [keys](NumberAccumulator) of a column of numbers, by row.
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
            let key = |value: f64| {
                order_key(if value.is_nan() {
                    f64::NAN
                } else {
                    value + 0.0
                })
            };
            values.map(|value| value.map(key)).collect()
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
    /// How many items each row has that is not NULL.
    pub(super) lengths: Vec<i64>,
    /// Which rows these are.
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
