//! The memory that a value takes, estimated from its serialized form.

use std::fmt;

use serde::ser::{self, Serialize, Serializer};

/// The overhead of a list, a string or an entry of a map, in bytes.
const HEADER: usize = 24;

/// The size in bytes: numbers by their widths, and 24 for each string, list and entry of a map beside its content.
pub(super) fn serialized_size(value: &impl Serialize) -> usize {
    let mut meter = Meter(0);
    // A value that cannot be serialized is counted up to the error.
    let _ = value.serialize(&mut meter);
    meter.0
}

struct Meter(usize);

impl Meter {
    fn add(&mut self, bytes: usize) -> Result<(), Never> {
        self.0 = self.0.saturating_add(bytes);
        Ok(())
    }
}

/// The error of a value that cannot be serialized.
#[derive(Debug)]
struct Never;

impl fmt::Display for Never {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that cannot be serialized")
    }
}

impl std::error::Error for Never {}

impl ser::Error for Never {
    fn custom<T: fmt::Display>(_message: T) -> Self {
        Never
    }
}

/// Methods for values of a fixed width.
macro_rules! of_width {
    ($($method:ident: $type:ty),* $(,)?) => {
        $(fn $method(self, _value: $type) -> Result<(), Never> {
            self.add(size_of::<$type>())
        })*
    };
}

impl Serializer for &mut Meter {
    type Ok = ();
    type Error = Never;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    of_width! {
        serialize_bool: bool,
        serialize_i8: i8,
        serialize_i16: i16,
        serialize_i32: i32,
        serialize_i64: i64,
        serialize_i128: i128,
        serialize_u8: u8,
        serialize_u16: u16,
        serialize_u32: u32,
        serialize_u64: u64,
        serialize_u128: u128,
        serialize_f32: f32,
        serialize_f64: f64,
        serialize_char: char,
    }

    fn serialize_str(self, value: &str) -> Result<(), Never> {
        self.add(HEADER + value.len())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Never> {
        self.add(HEADER + value.len())
    }

    fn serialize_none(self) -> Result<(), Never> {
        self.add(1)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Never> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Never> {
        Ok(())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), Never> {
        Ok(())
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
    ) -> Result<(), Never> {
        self.add(1)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<(), Never> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        value: &T,
    ) -> Result<(), Never> {
        self.add(1)?;
        value.serialize(self)
    }

    fn serialize_seq(self, _len: Option<usize>) -> Result<Self, Never> {
        self.add(HEADER)?;
        Ok(self)
    }

    fn serialize_tuple(self, _len: usize) -> Result<Self, Never> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, _name: &'static str, _len: usize) -> Result<Self, Never> {
        Ok(self)
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _len: usize,
    ) -> Result<Self, Never> {
        Ok(self)
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<Self, Never> {
        self.add(HEADER)?;
        Ok(self)
    }

    fn serialize_struct(self, _name: &'static str, _len: usize) -> Result<Self, Never> {
        Ok(self)
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _len: usize,
    ) -> Result<Self, Never> {
        Ok(self)
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// Traits of what has parts, which are added up.
macro_rules! of_parts {
    ($($name:ident: $method:ident($($key:ident: $type:ty)?)),* $(,)?) => {
        $(impl ser::$name for &mut Meter {
            type Ok = ();
            type Error = Never;

            fn $method<T: Serialize + ?Sized>(&mut self, $($key: $type,)? value: &T) -> Result<(), Never> {
                value.serialize(&mut **self)
            }

            fn end(self) -> Result<(), Never> {
                Ok(())
            }
        })*
    };
}

of_parts! {
    SerializeSeq: serialize_element(),
    SerializeTuple: serialize_element(),
    SerializeTupleStruct: serialize_field(),
    SerializeTupleVariant: serialize_field(),
    SerializeStruct: serialize_field(_key: &'static str),
    SerializeStructVariant: serialize_field(_key: &'static str),
}

impl ser::SerializeMap for &mut Meter {
    type Ok = ();
    type Error = Never;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Never> {
        self.add(HEADER)?;
        key.serialize(&mut **self)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Never> {
        value.serialize(&mut **self)
    }

    fn end(self) -> Result<(), Never> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn sizes_are_those_of_memory_but_for_spare_room() {
        assert_eq!(serialized_size(&(1_u8, 2.0_f64, Some(3_u64))), 17);
        assert_eq!(serialized_size(&vec![0_u64; 100]), 824);
        assert_eq!(serialized_size(&"abc"), 27);
        let map = BTreeMap::from([("abc".to_owned(), 1_u64)]);
        assert_eq!(serialized_size(&map), 24 + 24 + 27 + 8);
    }
}
