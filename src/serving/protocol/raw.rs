//! Binary tensor data: elements one after the other, little-endian; `BYTES` with a length of four bytes before each.

use arrow::datatypes::{ArrowPrimitiveType, Float16Type};

use super::column::{Column, Element};
use super::datatype::Datatype;
use crate::error::{Error, Result};

type Half = <Float16Type as ArrowPrimitiveType>::Native;

impl Column {
    /// Fills it from the bytes of a tensor.
    pub(super) fn fill_from_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        let Some(size) = self.datatype().size() else {
            return self.fill_from_texts(bytes);
        };
        let n_elements = self.layout().n_elements().unwrap_or_default();
        if Some(bytes.len()) != n_elements.checked_mul(size) {
            return Err(Error::data(format!(
                "{} bytes of binary data, {n_elements} elements of {} have {size} each",
                bytes.len(),
                self.datatype()
            )));
        }
        match self.datatype() {
            Datatype::Bool => {
                for (index, byte) in bytes.iter().enumerate() {
                    if *byte > 1 {
                        return Err(Error::data(format!(
                            "element {index} is {byte}, must be 0 or 1 (BOOL)"
                        )));
                    }
                    self.push(Element::Boolean(*byte == 1))?;
                }
                Ok(())
            }
            Datatype::Int8 => self.fill(bytes, |b| Element::Signed(i8::from_le_bytes(b).into())),
            Datatype::Int16 => self.fill(bytes, |b| Element::Signed(i16::from_le_bytes(b).into())),
            Datatype::Int32 => self.fill(bytes, |b| Element::Signed(i32::from_le_bytes(b).into())),
            Datatype::Int64 => self.fill(bytes, |b| Element::Signed(i64::from_le_bytes(b))),
            Datatype::Uint8 => self.fill(bytes, |b| Element::Unsigned(u8::from_le_bytes(b).into())),
            Datatype::Uint16 => {
                self.fill(bytes, |b| Element::Unsigned(u16::from_le_bytes(b).into()))
            }
            Datatype::Uint32 => {
                self.fill(bytes, |b| Element::Unsigned(u32::from_le_bytes(b).into()))
            }
            Datatype::Uint64 => self.fill(bytes, |b| Element::Unsigned(u64::from_le_bytes(b))),
            Datatype::Fp16 => self.fill(bytes, |b| Element::Float(Half::from_le_bytes(b).to_f64())),
            // The upper half of a number of single precision.
            Datatype::Bf16 => self.fill(bytes, |b: [u8; 2]| {
                let bits = u32::from(u16::from_le_bytes(b)) << 16;
                Element::Float(f32::from_bits(bits).into())
            }),
            Datatype::Fp32 => self.fill(bytes, |b| Element::Float(f32::from_le_bytes(b).into())),
            Datatype::Fp64 => self.fill(bytes, |b| Element::Float(f64::from_le_bytes(b))),
            Datatype::Bytes => Err(Error::internal("strings have no fixed size")),
        }
    }

    fn fill<const N: usize>(
        &mut self,
        bytes: &[u8],
        element: impl Fn([u8; N]) -> Element<'static>,
    ) -> Result<()> {
        let (elements, _) = bytes.as_chunks::<N>();
        elements
            .iter()
            .try_for_each(|bytes| self.push(element(*bytes)))
    }

    fn fill_from_texts(&mut self, mut bytes: &[u8]) -> Result<()> {
        let mut index = 0_usize;
        while !bytes.is_empty() {
            let short = || Error::data(format!("element {index} is cut off in the binary data"));
            let (length, rest) = bytes.split_first_chunk::<4>().ok_or_else(short)?;
            let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| short())?;
            let (text, rest) = rest.split_at_checked(length).ok_or_else(short)?;
            let text = std::str::from_utf8(text)
                .map_err(|_| Error::data(format!("element {index} is not UTF-8")))?;
            self.push(Element::Text(text))?;
            bytes = rest;
            index += 1;
        }
        Ok(())
    }
}

/// Appends a string as an element of `BYTES`.
pub(super) fn append_text(out: &mut Vec<u8>, text: &str) -> Result<()> {
    let length =
        u32::try_from(text.len()).map_err(|_| Error::data("a string of more than 4 GiB"))?;
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::column::Layout;
    use super::super::plan::Input;
    use super::*;
    use crate::schema::FieldType;
    use arrow::array::{Array, ArrayRef, AsArray};
    use arrow::datatypes::{Float64Type, Int64Type};

    fn read(datatype: Datatype, n_rows: usize, bytes: &[u8]) -> Result<ArrayRef> {
        let field_type = match datatype {
            Datatype::Bool => FieldType::Boolean,
            Datatype::Bytes => FieldType::Text,
            _ if datatype.whole_range().is_some() => FieldType::Integer,
            _ => FieldType::Float,
        };
        let input = Input::scalar("x", field_type);
        let mut column = Column::new(&input, datatype, Layout::scalars(n_rows), bytes.len());
        column.fill_from_bytes(bytes)?;
        column.finish(Some("None"))
    }

    #[test]
    fn every_datatype_is_widened() {
        let integers = |datatype, bytes: &[u8]| {
            read(datatype, 1, bytes)
                .unwrap()
                .as_primitive::<Int64Type>()
                .value(0)
        };
        assert_eq!(integers(Datatype::Int8, &(-5_i8).to_le_bytes()), -5);
        assert_eq!(integers(Datatype::Int16, &(-500_i16).to_le_bytes()), -500);
        assert_eq!(
            integers(Datatype::Int32, &i32::MIN.to_le_bytes()),
            i64::from(i32::MIN)
        );
        assert_eq!(integers(Datatype::Int64, &i64::MIN.to_le_bytes()), i64::MIN);
        assert_eq!(integers(Datatype::Uint8, &[255]), 255);
        assert_eq!(integers(Datatype::Uint16, &[255, 255]), 65_535);
        assert_eq!(integers(Datatype::Uint32, &[255; 4]), i64::from(u32::MAX));
        assert_eq!(integers(Datatype::Uint64, &7_u64.to_le_bytes()), 7);
        let floats = |datatype, bytes: &[u8]| {
            read(datatype, 1, bytes)
                .unwrap()
                .as_primitive::<Float64Type>()
                .value(0)
        };
        assert_eq!(floats(Datatype::Fp16, &[0, 0x3e]), 1.5);
        assert_eq!(floats(Datatype::Bf16, &[0xc0, 0x3f]), 1.5);
        assert_eq!(floats(Datatype::Bf16, &[0x80, 0xff]), f64::NEG_INFINITY);
        assert_eq!(
            floats(Datatype::Fp32, &0.1_f32.to_le_bytes()),
            f64::from(0.1_f32)
        );
        assert_eq!(floats(Datatype::Fp64, &0.1_f64.to_le_bytes()), 0.1);
        assert!(floats(Datatype::Fp64, &f64::NAN.to_le_bytes()).is_nan());
        let booleans = read(Datatype::Bool, 2, &[1, 0]).unwrap();
        assert!(booleans.as_boolean().value(0) && !booleans.as_boolean().value(1));
    }

    #[test]
    fn texts_come_back_as_they_went() {
        let mut bytes = Vec::new();
        let texts = ["", "a", "Zürich", "None", "\0"];
        texts
            .iter()
            .for_each(|text| append_text(&mut bytes, text).unwrap());
        let column = read(Datatype::Bytes, 5, &bytes).unwrap();
        assert_eq!(column.null_count(), 1);
        assert!(column.is_null(3));
        for (row, text) in texts.iter().enumerate().filter(|(row, _)| *row != 3) {
            assert_eq!(column.as_string::<i32>().value(row), *text);
        }
        for cut in 1..bytes.len() {
            assert!(
                read(Datatype::Bytes, 5, &bytes[..cut]).is_err(),
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn lying_lengths_are_refused() {
        for (datatype, n_rows, bytes, problem) in [
            (
                Datatype::Int64,
                2,
                &[0_u8; 8][..],
                "8 bytes of binary data, 2 elements of INT64",
            ),
            (Datatype::Int64, 1, &[0; 9], "9 bytes"),
            (
                Datatype::Bool,
                1,
                &[2],
                "element 0 is 2, must be 0 or 1 (BOOL)",
            ),
            (
                Datatype::Uint64,
                1,
                &[255; 8],
                "element 0 is 18446744073709551615",
            ),
            (
                Datatype::Bytes,
                1,
                &[255, 255, 255, 255, b'a'],
                "element 0 is cut off",
            ),
            (Datatype::Bytes, 1, &[1, 0, 0], "element 0 is cut off"),
            (
                Datatype::Bytes,
                1,
                &[1, 0, 0, 0, 0xff],
                "element 0 is not UTF-8",
            ),
            (
                Datatype::Bytes,
                1,
                &[0; 8],
                "more elements than the 1 of its shape",
            ),
            (Datatype::Bytes, 3, &[0; 8], "2 elements, its shape has 3"),
        ] {
            let error = read(datatype, n_rows, bytes).unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
        }
    }
}
