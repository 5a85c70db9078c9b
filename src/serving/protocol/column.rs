//! A tensor's elements on their way into an Arrow column.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanBuilder, Float64Builder, Int64Builder, StringBuilder};
use serde::de::{DeserializeSeed, Deserializer, Error as _, SeqAccess, Visitor};

use super::datatype::Datatype;
use crate::error::{Error, Result};

/// A column that is filled element by element: never more than were announced, and at the end all of them.
#[derive(Debug)]
pub(super) struct Column<'a> {
    datatype: Datatype,
    /// How many elements there must be.
    n_rows: usize,
    /// The text that stands for NULL.
    null: Option<&'a str>,
    filled: usize,
    values: Values,
    /// What was wrong with an element, without the position in the text that a JSON error adds.
    problem: Option<String>,
}

#[derive(Debug)]
enum Values {
    Booleans(BooleanBuilder),
    /// With the lowest and highest number.
    Integers(Int64Builder, i64, i64),
    Floats(Float64Builder),
    Texts(StringBuilder),
}

/// What an element is, as it was sent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Element<'a> {
    Null,
    Boolean(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Text(&'a str),
}

impl fmt::Display for Element<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Element::Null => f.write_str("null"),
            Element::Boolean(value) => value.fmt(f),
            Element::Signed(value) => value.fmt(f),
            Element::Unsigned(value) => value.fmt(f),
            Element::Float(value) => write!(f, "{value:?}"),
            Element::Text(_) => f.write_str("a text"),
        }
    }
}

impl<'a> Column<'a> {
    /// An empty column for `n_rows` elements, of which the caller knows that they are not too many.
    pub(super) fn new(datatype: Datatype, n_rows: usize, null: Option<&'a str>) -> Self {
        let values = match (datatype, datatype.whole_range()) {
            (_, Some((low, high))) => {
                Values::Integers(Int64Builder::with_capacity(n_rows), low, high)
            }
            (Datatype::Bool, None) => Values::Booleans(BooleanBuilder::with_capacity(n_rows)),
            (Datatype::Bytes, None) => Values::Texts(StringBuilder::with_capacity(n_rows, 0)),
            (_, None) => Values::Floats(Float64Builder::with_capacity(n_rows)),
        };
        Column {
            datatype,
            n_rows,
            null,
            filled: 0,
            values,
            problem: None,
        }
    }

    pub(super) fn datatype(&self) -> Datatype {
        self.datatype
    }

    pub(super) fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Adds an element.
    pub(super) fn push(&mut self, element: Element<'_>) -> Result<()> {
        if self.filled == self.n_rows {
            return Err(Error::data(format!(
                "more elements than the {} of its shape",
                self.n_rows
            )));
        }
        let wrong = |must: String| {
            Error::data(format!(
                "element {} is {element}, must be {must}",
                self.filled
            ))
        };
        let datatype = self.datatype;
        match &mut self.values {
            Values::Booleans(values) => match element {
                Element::Null => values.append_null(),
                Element::Boolean(value) => values.append_value(value),
                _ => return Err(wrong(format!("true or false ({datatype})"))),
            },
            Values::Integers(values, low, high) => {
                let value = match element {
                    Element::Null => None,
                    Element::Signed(value) => Some(value),
                    Element::Unsigned(value) => Some(
                        i64::try_from(value)
                            .map_err(|_| wrong(format!("from {low} to {high} ({datatype})")))?,
                    ),
                    _ => return Err(wrong(format!("a whole number ({datatype})"))),
                };
                if value.is_some_and(|value| !(*low..=*high).contains(&value)) {
                    return Err(wrong(format!("from {low} to {high} ({datatype})")));
                }
                values.append_option(value);
            }
            Values::Floats(values) => {
                let value = match element {
                    Element::Null => None,
                    Element::Signed(value) => Some(value as f64),
                    Element::Unsigned(value) => Some(value as f64),
                    Element::Float(value) => Some(value),
                    Element::Boolean(_) | Element::Text(_) => {
                        return Err(wrong(format!("a number ({datatype})")));
                    }
                };
                // A decimal text means the nearest number of its datatype, as it would in binary data.
                let value = match (datatype, value) {
                    (Datatype::Fp32, Some(value)) => {
                        let near = value as f32;
                        if near.is_infinite() && value.is_finite() {
                            return Err(wrong(format!("within the range of {datatype}")));
                        }
                        Some(f64::from(near))
                    }
                    (_, value) => value,
                };
                values.append_option(value);
            }
            Values::Texts(values) => match element {
                Element::Null => values.append_null(),
                Element::Text(text) if self.null == Some(text) => values.append_null(),
                Element::Text(text) => values.append_value(text),
                _ => return Err(wrong(format!("a text ({datatype})"))),
            },
        }
        self.filled += 1;
        Ok(())
    }

    /// Fills it from the JSON text of a tensor's `data`: a list, flat or nested in row-major order.
    pub(super) fn fill_from_json(&mut self, json: &str) -> Result<()> {
        if !json.starts_with('[') {
            return Err(Error::data("`data` must be a list"));
        }
        if self.datatype == Datatype::Fp16 {
            return Err(Error::data(
                "datatype FP16 has no form in JSON: send FP32, or binary data",
            ));
        }
        let mut deserializer = serde_json::Deserializer::from_str(json);
        match DeserializeSeed::deserialize(&mut *self, &mut deserializer) {
            Ok(()) => Ok(()),
            Err(error) => Err(Error::data(
                self.problem.take().unwrap_or_else(|| error.to_string()),
            )),
        }
    }

    /// The column, if it is full.
    pub(super) fn finish(self) -> Result<ArrayRef> {
        if self.filled != self.n_rows {
            return Err(Error::data(format!(
                "{} elements, its shape has {}",
                self.filled, self.n_rows
            )));
        }
        Ok(match self.values {
            Values::Booleans(mut values) => Arc::new(values.finish()),
            Values::Integers(mut values, ..) => Arc::new(values.finish()),
            Values::Floats(mut values) => Arc::new(values.finish()),
            Values::Texts(mut values) => Arc::new(values.finish()),
        })
    }

    fn push_json<E: serde::de::Error>(&mut self, element: Element<'_>) -> Result<(), E> {
        self.push(element).map_err(|error| {
            let error = self.problem.insert(error.to_string());
            E::custom(error)
        })
    }
}

impl<'de> DeserializeSeed<'de> for &mut Column<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Column<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} elements, flat or nested", self.datatype)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while elements.next_element_seed(&mut *self)?.is_some() {}
        Ok(())
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.push_json(Element::Null)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        self.push_json(Element::Boolean(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        self.push_json(Element::Signed(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        self.push_json(Element::Unsigned(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        self.push_json(Element::Float(value))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<(), E> {
        self.push_json(Element::Text(value))
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        let problem = format!(
            "element {} is an object, must be {}",
            self.filled, self.datatype
        );
        Err(A::Error::custom(self.problem.insert(problem)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::{Float64Type, Int64Type};

    fn read(datatype: Datatype, n_rows: usize, json: &str) -> Result<ArrayRef> {
        let mut column = Column::new(datatype, n_rows, Some("None"));
        column.fill_from_json(json)?;
        column.finish()
    }

    #[test]
    fn flat_and_nested_lists_are_the_same() {
        let flat = read(Datatype::Int64, 3, "[1, -2, null]").unwrap();
        let nested = read(Datatype::Int64, 3, "[[1], [-2], [null]]").unwrap();
        assert_eq!(&flat, &nested);
        assert_eq!(flat.as_primitive::<Int64Type>().value(1), -2);
        assert!(flat.is_null(2));
        let texts = read(Datatype::Bytes, 3, r#"["a", null, "None"]"#).unwrap();
        assert_eq!(texts.null_count(), 2);
    }

    #[test]
    fn numbers_are_those_of_their_datatype() {
        let floats = read(Datatype::Fp32, 2, "[0.1, 3]").unwrap();
        assert_eq!(
            floats.as_primitive::<Float64Type>().values(),
            &[f64::from(0.1_f32), 3.0]
        );
        let doubles = read(Datatype::Fp64, 2, "[0.1, 18446744073709551615]").unwrap();
        assert_eq!(
            doubles.as_primitive::<Float64Type>().values(),
            &[0.1, 18_446_744_073_709_552_000.0]
        );
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for (datatype, json, problem) in [
            (
                Datatype::Int8,
                "[0, 128]",
                "element 1 is 128, must be from -128 to 127 (INT8)",
            ),
            (
                Datatype::Uint8,
                "[0, -1]",
                "element 1 is -1, must be from 0 to 255 (UINT8)",
            ),
            (
                Datatype::Uint64,
                "[0, 9223372036854775808]",
                "must be from 0 to 9223372036854775807",
            ),
            (
                Datatype::Int64,
                "[1.5, 2]",
                "element 0 is 1.5, must be a whole number (INT64)",
            ),
            (
                Datatype::Int64,
                "[\"1\", 2]",
                "element 0 is a text, must be a whole number",
            ),
            (
                Datatype::Fp64,
                "[1, true]",
                "element 1 is true, must be a number (FP64)",
            ),
            (
                Datatype::Fp32,
                "[1, 1e39]",
                "element 1 is 1e39, must be within the range of FP32",
            ),
            (Datatype::Fp64, "[1, 1e999]", "number out of range"),
            (
                Datatype::Bool,
                "[1, true]",
                "element 0 is 1, must be true or false (BOOL)",
            ),
            (
                Datatype::Bytes,
                "[\"a\", 1]",
                "element 1 is 1, must be a text (BYTES)",
            ),
            (Datatype::Fp64, "[{}, 1]", "element 0 is an object"),
            (Datatype::Fp64, "[1]", "1 elements, its shape has 2"),
            (
                Datatype::Fp64,
                "[1, 2, 3]",
                "more elements than the 2 of its shape",
            ),
            (Datatype::Fp64, "1", "`data` must be a list"),
            (Datatype::Fp16, "[1, 2]", "FP16 has no form in JSON"),
            (Datatype::Fp64, deep.as_str(), "recursion limit exceeded"),
        ] {
            let error = read(datatype, 2, json).unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
        }
    }
}
