//! The datatypes of tensors.

use std::fmt;

use super::plan::Input;
use crate::error::{Error, Result, near_names, shortened};
use crate::schema::FieldType;

/// The datatype of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Datatype {
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
    Bf16,
    Fp32,
    Fp64,
    Bytes,
}

impl Datatype {
    const ALL: [Datatype; 14] = [
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
        Datatype::Bf16,
        Datatype::Fp32,
        Datatype::Fp64,
        Datatype::Bytes,
    ];

    pub(crate) fn name(self) -> &'static str {
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
            Datatype::Bf16 => "BF16",
            Datatype::Fp32 => "FP32",
            Datatype::Fp64 => "FP64",
            Datatype::Bytes => "BYTES",
        }
    }

    /// # Errors
    /// If there is none of the name.
    pub(super) fn parse(name: &str) -> Result<Self> {
        Datatype::ALL
            .into_iter()
            .find(|datatype| datatype.name() == name)
            .ok_or_else(|| {
                Error::data(format!(
                    "unknown datatype `{}`{}",
                    shortened(name),
                    near_names(&shortened(name), Datatype::ALL.map(Datatype::name))
                ))
            })
    }

    /// Returns `true` if its elements are numbers.
    pub(super) fn is_numeric(self) -> bool {
        !matches!(self, Datatype::Bool | Datatype::Bytes)
    }

    /// The datatype that a field is described with; `None` for fields that are not served.
    pub(super) fn of(field_type: FieldType) -> Option<Self> {
        match field_type {
            FieldType::Boolean => Some(Datatype::Bool),
            FieldType::Integer => Some(Datatype::Int64),
            FieldType::Float => Some(Datatype::Fp64),
            FieldType::Text | FieldType::Date | FieldType::Timestamp => Some(Datatype::Bytes),
            FieldType::Other => None,
        }
    }

    /// Checks that a tensor of this datatype fits a column.
    pub(super) fn check_fits(self, input: &Input) -> Result<()> {
        let described = input.datatype();
        if described == self || (described.is_numeric() && self.is_numeric()) {
            return Ok(());
        }
        let others = if described.is_numeric() {
            " or another number"
        } else {
            ""
        };
        Err(Error::data(format!(
            "datatype {self}, must be {described}{others} for a field of type {}",
            input.type_text()
        )))
    }

    /// The bytes of an element in binary data; `None` where each has its own length.
    pub(super) fn size(self) -> Option<usize> {
        match self {
            Datatype::Bool | Datatype::Int8 | Datatype::Uint8 => Some(1),
            Datatype::Int16 | Datatype::Uint16 | Datatype::Fp16 | Datatype::Bf16 => Some(2),
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
            Datatype::Bool
            | Datatype::Fp16
            | Datatype::Bf16
            | Datatype::Fp32
            | Datatype::Fp64
            | Datatype::Bytes => None,
        }
    }
}

impl fmt::Display for Datatype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
