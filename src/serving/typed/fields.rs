//! The fields of a row, or of a struct in it.

use std::fmt::Display;

use serde::ser::{Impossible, Serialize, SerializeMap, SerializeStruct, Serializer};

use super::Columns;
use super::cell::CellSerializer;
use super::fault::Fault;
use crate::model::Place;

/// Writes fields to their columns.
pub(super) struct Fields<'c, 'm> {
    columns: &'c mut Columns<'m>,
    /// The lookup of the names; `None` for a struct without expected fields.
    node: Option<usize>,
    /// The place at which the next name is expected.
    next: usize,
    /// The place of the map's key that was read.
    place: Option<Place>,
}

impl<'c, 'm> Fields<'c, 'm> {
    pub(super) fn new(columns: &'c mut Columns<'m>, node: Option<usize>) -> Self {
        Fields {
            columns,
            node,
            next: 0,
            place: None,
        }
    }

    #[inline]
    fn find(&mut self, name: &str) -> Option<Place> {
        self.columns.paths.find(self.node?, name, &mut self.next)
    }

    #[inline]
    fn put<T: Serialize + ?Sized>(&mut self, place: Option<Place>, value: &T) -> Result<(), Fault> {
        match place {
            Some(place) => value.serialize(CellSerializer {
                columns: self.columns,
                place,
                in_list: false,
            }),
            None => Ok(()),
        }
    }
}

impl SerializeStruct for Fields<'_, '_> {
    type Ok = ();
    type Error = Fault;

    #[inline]
    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Fault> {
        let place = self.find(name);
        if place.is_none() {
            self.columns.unknown(self.node, name)?;
        }
        self.put(place, value)
    }

    fn end(self) -> Result<(), Fault> {
        Ok(())
    }
}

impl SerializeMap for Fields<'_, '_> {
    type Ok = ();
    type Error = Fault;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Fault> {
        self.place = key.serialize(KeySerializer {
            columns: self.columns,
            node: self.node,
            next: &mut self.next,
        })?;
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        let place = self.place.take();
        self.put(place, value)
    }

    fn end(self) -> Result<(), Fault> {
        Ok(())
    }
}

/// Finds the place of a map's key.
struct KeySerializer<'k, 'm> {
    columns: &'k Columns<'m>,
    node: Option<usize>,
    next: &'k mut usize,
}

impl KeySerializer<'_, '_> {
    fn find(self, name: &str) -> Result<Option<Place>, Fault> {
        let paths = self.columns.paths;
        let place = self.node.and_then(|node| paths.find(node, name, self.next));
        if place.is_none() {
            self.columns.unknown(self.node, name)?;
        }
        Ok(place)
    }

    fn find_shown(self, name: impl Display) -> Result<Option<Place>, Fault> {
        self.find(&name.to_string())
    }
}

fn no_key() -> Fault {
    Fault::Row("has a key that is not a string".to_owned())
}

macro_rules! shown {
    ($($method:ident($type:ty);)*) => {
        $(fn $method(self, value: $type) -> Result<Option<Place>, Fault> {
            self.find_shown(value)
        })*
    };
}

type No = Impossible<Option<Place>, Fault>;

impl Serializer for KeySerializer<'_, '_> {
    type Ok = Option<Place>;
    type Error = Fault;
    type SerializeSeq = No;
    type SerializeTuple = No;
    type SerializeTupleStruct = No;
    type SerializeTupleVariant = No;
    type SerializeMap = No;
    type SerializeStruct = No;
    type SerializeStructVariant = No;

    shown! {
        serialize_bool(bool);
        serialize_i8(i8);
        serialize_i16(i16);
        serialize_i32(i32);
        serialize_i64(i64);
        serialize_u8(u8);
        serialize_u16(u16);
        serialize_u32(u32);
        serialize_u64(u64);
        serialize_char(char);
    }

    fn serialize_f32(self, _value: f32) -> Result<Option<Place>, Fault> {
        Err(no_key())
    }

    fn serialize_f64(self, _value: f64) -> Result<Option<Place>, Fault> {
        Err(no_key())
    }

    fn serialize_str(self, value: &str) -> Result<Option<Place>, Fault> {
        self.find(value)
    }

    fn serialize_bytes(self, _value: &[u8]) -> Result<Option<Place>, Fault> {
        Err(no_key())
    }

    fn serialize_none(self) -> Result<Option<Place>, Fault> {
        Err(no_key())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Option<Place>, Fault> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Option<Place>, Fault> {
        Err(no_key())
    }

    fn serialize_unit_struct(self, name: &'static str) -> Result<Option<Place>, Fault> {
        self.find(name)
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<Option<Place>, Fault> {
        self.find(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<Option<Place>, Fault> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _value: &T,
    ) -> Result<Option<Place>, Fault> {
        Err(no_key())
    }

    fn serialize_seq(self, _len: Option<usize>) -> Result<No, Fault> {
        Err(no_key())
    }

    fn serialize_tuple(self, _len: usize) -> Result<No, Fault> {
        Err(no_key())
    }

    fn serialize_tuple_struct(self, _name: &'static str, _len: usize) -> Result<No, Fault> {
        Err(no_key())
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _len: usize,
    ) -> Result<No, Fault> {
        Err(no_key())
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<No, Fault> {
        Err(no_key())
    }

    fn serialize_struct(self, _name: &'static str, _len: usize) -> Result<No, Fault> {
        Err(no_key())
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _len: usize,
    ) -> Result<No, Fault> {
        Err(no_key())
    }
}
