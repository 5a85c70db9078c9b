//! Numbers read from Arrow arrays, without a copy where there is none needed.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type,
};
use arrow_array::{Array, PrimitiveArray};
use arrow_schema::{DataType, TimeUnit};

use super::number::{NumberSketch, Scratch};

impl NumberSketch {
    /// Takes in the values of an array that are not NULL; dates as days, timestamps as microseconds since 1970-01-01.
    /// Says whether the type is one that is read here.
    #[must_use]
    pub fn update_array(&mut self, column: &dyn Array, scratch: &mut Scratch) -> bool {
        match column.data_type() {
            DataType::Float64 => {
                let column = column.as_primitive::<Float64Type>();
                if column.null_count() == 0 {
                    self.take_real(column.values(), &mut scratch.real);
                } else {
                    gather(column, &mut scratch.present, |value| value);
                    self.take_real(&scratch.present, &mut scratch.real);
                }
            }
            DataType::Float32 => {
                let column = column.as_primitive::<Float32Type>();
                gather(column, &mut scratch.present, f64::from);
                self.take_real(&scratch.present, &mut scratch.real);
            }
            DataType::Int64 => self.whole::<Int64Type>(column, scratch),
            DataType::Int32 => self.whole::<Int32Type>(column, scratch),
            DataType::Int16 => self.whole::<Int16Type>(column, scratch),
            DataType::Int8 => self.whole::<Int8Type>(column, scratch),
            DataType::UInt32 => self.whole::<UInt32Type>(column, scratch),
            DataType::UInt16 => self.whole::<UInt16Type>(column, scratch),
            DataType::UInt8 => self.whole::<UInt8Type>(column, scratch),
            DataType::Date32 => self.whole::<Date32Type>(column, scratch),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                self.whole::<TimestampMicrosecondType>(column, scratch);
            }
            DataType::Boolean => {
                scratch.whole.clear();
                let values = column.as_boolean().iter().flatten();
                scratch.whole.extend(values.map(i64::from));
                self.take_whole(&scratch.whole, &mut scratch.real);
            }
            _ => return false,
        }
        true
    }

    fn whole<T: ArrowPrimitiveType>(&mut self, column: &dyn Array, scratch: &mut Scratch)
    where
        T::Native: Into<i64>,
    {
        gather(column.as_primitive::<T>(), &mut scratch.whole, Into::into);
        self.take_whole(&scratch.whole, &mut scratch.real);
    }
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
