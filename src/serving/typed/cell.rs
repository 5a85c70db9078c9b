//! The value of a field, or an item of a list.

use serde::ser::{
    Impossible, Serialize, SerializeSeq, SerializeTuple, SerializeTupleStruct, Serializer,
};

use super::Columns;
use super::column::Cell;
use super::fault::Fault;
use super::fields::Fields;
use crate::model::Place;

/// Writes a value to its column.
pub(super) struct CellSerializer<'c, 'm> {
    pub(super) columns: &'c mut Columns<'m>,
    pub(super) place: Place,
    /// True for an item of a list.
    pub(super) in_list: bool,
}

impl CellSerializer<'_, '_> {
    #[inline]
    fn put(self, cell: Cell<'_>) -> Result<(), Fault> {
        let row = self.columns.n_rows;
        if let (Cell::Null, None, false) = (cell, self.place.column, self.in_list) {
            self.columns.has_null_struct = true;
        }
        // A struct that only paths lead into may be NULL, and is ignored if it is no struct.
        if let Some((at, raw, column, store)) = self.columns.column(self.place, self.in_list)? {
            match self.in_list {
                false => column.put(raw, store, at, cell)?,
                true => column.lists(raw)?.push(raw, cell, row)?,
            }
        }
        Ok(())
    }

    fn odd(self, what: &'static str) -> Result<(), Fault> {
        self.put(Cell::Odd(what))
    }
}

impl<'c, 'm> CellSerializer<'c, 'm> {
    fn list(self) -> Result<Items<'c, 'm>, Fault> {
        if let Some((_, raw, column, _)) = self.columns.column(self.place, self.in_list)? {
            let row = column.n_rows();
            let lists = column.lists(raw)?;
            if self.in_list {
                lists.push(raw, Cell::Odd("a list in a list"), row)?;
            }
        }
        Ok(Items {
            columns: self.columns,
            place: self.place,
        })
    }

    fn fields(self) -> Result<Fields<'c, 'm>, Fault> {
        let node = self.place.node.filter(|_| !self.in_list);
        if node.is_none() {
            let CellSerializer {
                columns,
                place,
                in_list,
            } = self;
            let cell = CellSerializer {
                columns: &mut *columns,
                place,
                in_list,
            };
            cell.odd("a struct")?;
            return Ok(Fields::new(columns, None));
        }
        Ok(Fields::new(self.columns, node))
    }
}

macro_rules! cells {
    ($($method:ident($value:ident: $type:ty) $cell:expr;)*) => {
        $(
            #[inline]
            fn $method(self, $value: $type) -> Result<(), Fault> {
                self.put($cell)
            }
        )*
    };
}

type No = Impossible<(), Fault>;

impl<'c, 'm> Serializer for CellSerializer<'c, 'm> {
    type Ok = ();
    type Error = Fault;
    type SerializeSeq = Items<'c, 'm>;
    type SerializeTuple = Items<'c, 'm>;
    type SerializeTupleStruct = Items<'c, 'm>;
    type SerializeTupleVariant = No;
    type SerializeMap = Fields<'c, 'm>;
    type SerializeStruct = Fields<'c, 'm>;
    type SerializeStructVariant = No;

    cells! {
        serialize_bool(value: bool) Cell::Flag(value);
        serialize_i8(value: i8) Cell::Whole(value.into());
        serialize_i16(value: i16) Cell::Whole(value.into());
        serialize_i32(value: i32) Cell::Whole(value.into());
        serialize_i64(value: i64) Cell::Whole(value);
        serialize_u8(value: u8) Cell::Whole(value.into());
        serialize_u16(value: u16) Cell::Whole(value.into());
        serialize_u32(value: u32) Cell::Whole(value.into());
        serialize_u64(value: u64) i64::try_from(value).map_or(Cell::Large(value), Cell::Whole);
        serialize_f32(value: f32) Cell::Number(value.into());
        serialize_f64(value: f64) Cell::Number(value);
        serialize_char(value: char) Cell::Text(value.encode_utf8(&mut [0; 4]));
        serialize_str(value: &str) Cell::Text(value);
        serialize_bytes(_value: &[u8]) Cell::Odd("bytes");
    }

    fn serialize_i128(self, value: i128) -> Result<(), Fault> {
        match i64::try_from(value) {
            Ok(value) => self.serialize_i64(value),
            Err(_) => self.odd("a number of more than 64 bits"),
        }
    }

    fn serialize_u128(self, value: u128) -> Result<(), Fault> {
        match u64::try_from(value) {
            Ok(value) => self.serialize_u64(value),
            Err(_) => self.odd("a number of more than 64 bits"),
        }
    }

    #[inline]
    fn serialize_none(self) -> Result<(), Fault> {
        self.put(Cell::Null)
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Fault> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Fault> {
        self.put(Cell::Null)
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), Fault> {
        self.put(Cell::Null)
    }

    #[inline]
    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<(), Fault> {
        self.put(Cell::Text(variant))
    }

    #[inline]
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
        self.odd("a variant with a value")
    }

    fn serialize_seq(self, _len: Option<usize>) -> Result<Items<'c, 'm>, Fault> {
        self.list()
    }

    fn serialize_tuple(self, _len: usize) -> Result<Items<'c, 'm>, Fault> {
        self.list()
    }

    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        _len: usize,
    ) -> Result<Items<'c, 'm>, Fault> {
        self.list()
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _len: usize,
    ) -> Result<No, Fault> {
        self.odd("a variant with values")?;
        Err(Fault::Row("has a variant with values".to_owned()))
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<Fields<'c, 'm>, Fault> {
        self.fields()
    }

    fn serialize_struct(self, _name: &'static str, _len: usize) -> Result<Fields<'c, 'm>, Fault> {
        self.fields()
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _len: usize,
    ) -> Result<No, Fault> {
        self.odd("a variant with values")?;
        Err(Fault::Row("has a variant with values".to_owned()))
    }
}

/// Writes the items of a list to their column.
pub(super) struct Items<'c, 'm> {
    columns: &'c mut Columns<'m>,
    place: Place,
}

impl Items<'_, '_> {
    fn put<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        value.serialize(CellSerializer {
            columns: &mut *self.columns,
            place: self.place,
            in_list: true,
        })
    }

    fn finish(self) -> Result<(), Fault> {
        if let Some((_, _, column, _)) = self.columns.column(self.place, true)? {
            column.end_list();
        }
        Ok(())
    }
}

impl SerializeSeq for Items<'_, '_> {
    type Ok = ();
    type Error = Fault;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        self.put(value)
    }

    fn end(self) -> Result<(), Fault> {
        self.finish()
    }
}

impl SerializeTuple for Items<'_, '_> {
    type Ok = ();
    type Error = Fault;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        self.put(value)
    }

    fn end(self) -> Result<(), Fault> {
        self.finish()
    }
}

impl SerializeTupleStruct for Items<'_, '_> {
    type Ok = ();
    type Error = Fault;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        self.put(value)
    }

    fn end(self) -> Result<(), Fault> {
        self.finish()
    }
}
