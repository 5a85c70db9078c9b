//! The datatypes of tensors.

use std::fmt;

use crate::error::{Error, Result};
use crate::schema::FieldType;

/// The datatype of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Datatype {
    Bool,
    Int8,
    Int16,
    Int32,
    Int64,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Fp16,
    Fp32,
    Fp64,
    Bytes,
}

impl Datatype {
    const ALL: [Datatype; 13] = [
        Datatype::Bool,
        Datatype::Int8,
        Datatype::Int16,
        Datatype::Int32,
        Datatype::Int64,
        Datatype::Uint8,
        Datatype::Uint16,
        Datatype::Uint32,
        Datatype::Uint64,
        Datatype::Fp16,
        Datatype::Fp32,
        Datatype::Fp64,
        Datatype::Bytes,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Datatype::Bool => "BOOL",
            Datatype::Int8 => "INT8",
            Datatype::Int16 => "INT16",
            Datatype::Int32 => "INT32",
            Datatype::Int64 => "INT64",
            Datatype::Uint8 => "UINT8",
            Datatype::Uint16 => "UINT16",
            Datatype::Uint32 => "UINT32",
            Datatype::Uint64 => "UINT64",
            Datatype::Fp16 => "FP16",
            Datatype::Fp32 => "FP32",
            Datatype::Fp64 => "FP64",
            Datatype::Bytes => "BYTES",
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        Datatype::ALL
            .into_iter()
            .find(|datatype| datatype.name() == name)
    }

    /// The datatype that a field is described with; none for fields that are not served.
    pub(super) fn of(field_type: FieldType) -> Option<Self> {
        match field_type {
            FieldType::Boolean => Some(Datatype::Bool),
            FieldType::Integer => Some(Datatype::Int64),
            FieldType::Float => Some(Datatype::Fp64),
            FieldType::Text | FieldType::Date | FieldType::Timestamp => Some(Datatype::Bytes),
            FieldType::Other => None,
        }
    }

    /// That a tensor of this datatype may fill a field of a type.
    pub(super) fn check_fits(self, field_type: FieldType) -> Result<()> {
        let described = Datatype::of(field_type);
        let numeric = |datatype| !matches!(datatype, Datatype::Bool | Datatype::Bytes);
        match described {
            Some(described) if described == self || (numeric(described) && numeric(self)) => Ok(()),
            Some(described) => {
                let others = if numeric(described) {
                    " or another number"
                } else {
                    ""
                };
                Err(Error::data(format!(
                    "datatype {self}, must be {described}{others} for a field of type {field_type}"
                )))
            }
            None => Err(Error::data(format!(
                "a field of type {field_type} cannot be sent"
            ))),
        }
    }

    /// The bytes of an element in binary data; none where each has its own length.
    pub(super) fn size(self) -> Option<usize> {
        match self {
            Datatype::Bool | Datatype::Int8 | Datatype::Uint8 => Some(1),
            Datatype::Int16 | Datatype::Uint16 | Datatype::Fp16 => Some(2),
            Datatype::Int32 | Datatype::Uint32 | Datatype::Fp32 => Some(4),
            Datatype::Int64 | Datatype::Uint64 | Datatype::Fp64 => Some(8),
            Datatype::Bytes => None,
        }
    }

    /// The lowest and highest whole number; none if the elements are not whole numbers. Numbers past 2^63 - 1 are
    /// not taken, as fields of whole numbers have 64 bits with a sign.
    pub(super) fn whole_range(self) -> Option<(i64, i64)> {
        match self {
            Datatype::Int8 => Some((i8::MIN.into(), i8::MAX.into())),
            Datatype::Int16 => Some((i16::MIN.into(), i16::MAX.into())),
            Datatype::Int32 => Some((i32::MIN.into(), i32::MAX.into())),
            Datatype::Int64 => Some((i64::MIN, i64::MAX)),
            Datatype::Uint8 => Some((0, u8::MAX.into())),
            Datatype::Uint16 => Some((0, u16::MAX.into())),
            Datatype::Uint32 => Some((0, u32::MAX.into())),
            Datatype::Uint64 => Some((0, i64::MAX)),
            Datatype::Bool | Datatype::Fp16 | Datatype::Fp32 | Datatype::Fp64 | Datatype::Bytes => {
                None
            }
        }
    }
}

impl fmt::Display for Datatype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
