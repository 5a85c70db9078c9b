//! One value of a row.

use std::borrow::Cow;

use super::base64;
use crate::error::{Error, Result};
use crate::schema::FieldType;
use crate::serving::protocol::Datatype;
use crate::serving::protocol::column::{Column, Element};
use crate::serving::protocol::json::{Next, Reader};
use crate::serving::protocol::plan::Input;

/// Above it a double no longer holds every whole number.
const LARGEST_WHOLE: f64 = 9_007_199_254_740_992.0;

/// Adds the next value as a row of a column.
pub(super) fn push<'a>(
    column: &mut Column,
    input: &Input,
    reader: &mut Reader<'a>,
    text: &mut Cow<'a, str>,
) -> Result<()> {
    let is_array = reader.next()? == Next::Array;
    if !is_array && !input.is_list() {
        return push_item(column, input, reader, text);
    }
    if !is_array {
        return match item(input, reader, text)? {
            Element::Null => column.end_row(true),
            other => Err(Error::data(format!("{other}, must be a list or null"))),
        };
    }
    reader.begin_array()?;
    let (mut n, mut is_first) = (0_usize, true);
    while reader.element(&mut is_first)? {
        if reader.next()? == Next::Array {
            return Err(Error::data("a list within its list, must be flat"));
        }
        n += 1;
        if n > 1 && !input.is_list() {
            return Err(Error::data(format!(
                "a list of several values, must be one value of type {}",
                input.field_type()
            )));
        }
        push_item(column, input, reader, text)?;
    }
    match input.is_list() {
        true => column.end_row(false),
        false if n == 1 => Ok(()),
        false => Err(Error::data(format!(
            "an empty list, must be one value of type {}",
            input.field_type()
        ))),
    }
}

#[inline]
fn push_item<'a>(
    column: &mut Column,
    input: &Input,
    reader: &mut Reader<'a>,
    text: &mut Cow<'a, str>,
) -> Result<()> {
    let element = item(input, reader, text)?;
    let fits = match (input.datatype(), element) {
        (_, Element::Null) => true,
        (Datatype::Bool, element) => matches!(element, Element::Boolean(_)),
        (Datatype::Bytes, element) => matches!(element, Element::Text(_)),
        (_, element) => !matches!(element, Element::Boolean(_) | Element::Text(_)),
    };
    if !fits {
        return Err(Error::data(format!(
            "{element}, must be of type {}",
            input.field_type()
        )));
    }
    let element = match element {
        Element::Float(value) if input.field_type() == FieldType::Integer => {
            if value.is_nan() {
                Element::Null
            } else if value.fract() == 0.0 && value.abs() <= LARGEST_WHOLE {
                Element::Signed(value as i64)
            } else {
                return Err(Error::data(format!("{value}, must be a whole number")));
            }
        }
        element => element,
    };
    column.push(element)
}

/// The next value, which is no list.
#[inline]
fn item<'a, 't>(
    input: &Input,
    reader: &mut Reader<'a>,
    text: &'t mut Cow<'a, str>,
) -> Result<Element<'t>> {
    if reader.next()? != Next::Object {
        return reader.scalar(text);
    }
    let wrong = || {
        Error::data(format!(
            "an object, must be of type {}{}",
            input.field_type(),
            match input.datatype() {
                Datatype::Bytes => " or {\"b64\": \"..\"}",
                _ => "",
            }
        ))
    };
    if input.datatype() != Datatype::Bytes {
        return Err(wrong());
    }
    let mut is_first = true;
    reader.begin_object()?;
    match reader.key(&mut is_first)? {
        Some(key) if key == "b64" => {}
        _ => return Err(wrong()),
    }
    let encoded = reader.text()?;
    if reader.key(&mut is_first)?.is_some() {
        return Err(wrong());
    }
    let bytes = base64::decode(&encoded).ok_or_else(|| Error::data("`b64` is not valid base64"))?;
    let decoded = String::from_utf8(bytes).map_err(|_| Error::data("`b64` is not UTF-8"))?;
    *text = Cow::Owned(decoded);
    Ok(Element::Text(text))
}

/// Returns `true` if the next object is a string: `{"b64": ..}`.
pub(super) fn is_base64(mut reader: Reader<'_>) -> bool {
    let mut is_first = true;
    reader.begin_object().is_ok()
        && matches!(reader.key(&mut is_first), Ok(Some(key)) if key == "b64")
}
