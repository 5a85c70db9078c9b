//! A row: a struct or a map.

use serde::ser::{Impossible, Serialize, Serializer};

use super::Columns;
use super::fault::Fault;
use super::fields::Fields;
use crate::model::Paths;

/// Splits a row into its fields.
pub(super) struct RowSerializer<'c, 'm> {
    pub(super) columns: &'c mut Columns<'m>,
}

fn no_row(what: &str) -> Fault {
    Fault::Row(format!("is {what}, must be a struct or a map"))
}

macro_rules! no_rows {
    ($($method:ident($type:ty) $what:literal;)*) => {
        $(fn $method(self, _value: $type) -> Result<(), Fault> {
            Err(no_row($what))
        })*
    };
}

type No = Impossible<(), Fault>;

impl<'c, 'm> Serializer for RowSerializer<'c, 'm> {
    type Ok = ();
    type Error = Fault;
    type SerializeSeq = No;
    type SerializeTuple = No;
    type SerializeTupleStruct = No;
    type SerializeTupleVariant = No;
    type SerializeMap = Fields<'c, 'm>;
    type SerializeStruct = Fields<'c, 'm>;
    type SerializeStructVariant = No;

    no_rows! {
        serialize_bool(bool) "a boolean";
        serialize_i8(i8) "a number";
        serialize_i16(i16) "a number";
        serialize_i32(i32) "a number";
        serialize_i64(i64) "a number";
        serialize_i128(i128) "a number";
        serialize_u8(u8) "a number";
        serialize_u16(u16) "a number";
        serialize_u32(u32) "a number";
        serialize_u64(u64) "a number";
        serialize_u128(u128) "a number";
        serialize_f32(f32) "a number";
        serialize_f64(f64) "a number";
        serialize_char(char) "a string";
        serialize_str(&str) "a string";
        serialize_bytes(&[u8]) "bytes";
    }

    fn serialize_none(self) -> Result<(), Fault> {
        Err(no_row("nothing"))
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Fault> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Fault> {
        Err(no_row("nothing"))
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), Fault> {
        Ok(())
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
    ) -> Result<(), Fault> {
        Err(no_row("a variant of an enum"))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<(), Fault> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _value: &T,
    ) -> Result<(), Fault> {
        Err(no_row("a variant of an enum"))
    }

    fn serialize_seq(self, _len: Option<usize>) -> Result<No, Fault> {
        Err(no_row("a list"))
    }

    fn serialize_tuple(self, _len: usize) -> Result<No, Fault> {
        Err(no_row("a tuple"))
    }

    fn serialize_tuple_struct(self, _name: &'static str, _len: usize) -> Result<No, Fault> {
        Err(no_row("a tuple"))
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _len: usize,
    ) -> Result<No, Fault> {
        Err(no_row("a variant of an enum"))
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<Fields<'c, 'm>, Fault> {
        Ok(Fields::new(self.columns, Some(Paths::ROOT)))
    }

    fn serialize_struct(self, _name: &'static str, _len: usize) -> Result<Fields<'c, 'm>, Fault> {
        Ok(Fields::new(self.columns, Some(Paths::ROOT)))
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _len: usize,
    ) -> Result<No, Fault> {
        Err(no_row("a variant of an enum"))
    }
}
