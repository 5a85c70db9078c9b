//! Fields of JSON objects.

use std::borrow::Cow;

use super::column::Element;
use super::json::{Next, Reader};
use crate::error::{Error, Result};

/// An error about a field.
pub(super) fn named(key: &str, error: &Error) -> Error {
    Error::new(error.kind(), format!("`{key}`: {}", error.message()))
}

/// Fills a place that must be empty.
pub(super) fn once<T>(place: &mut Option<T>, value: T, key: &str) -> Result<()> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Error::data(format!("duplicate `{key}`"))),
    }
}

/// A text, or null.
pub(super) fn nullable_text(reader: &mut Reader<'_>) -> Result<Option<String>> {
    let mut text = Cow::Borrowed("");
    match scalar(reader, &mut text)? {
        Element::Text(text) => Ok(Some(text.to_owned())),
        Element::Null => Ok(None),
        other => Err(Error::data(format!("{other}, must be a string"))),
    }
}

/// A value that is no list and no object.
pub(super) fn scalar<'a, 't>(
    reader: &mut Reader<'a>,
    text: &'t mut Cow<'a, str>,
) -> Result<Element<'t>> {
    match reader.next()? {
        Next::Scalar => reader.scalar(text),
        Next::Array => Err(Error::data("a list, must be one value")),
        Next::Object => Err(Error::data("an object, must be one value")),
    }
}

/// True or false, or null.
pub(super) fn boolean(reader: &mut Reader<'_>) -> Result<Option<bool>> {
    match scalar(reader, &mut Cow::Borrowed(""))? {
        Element::Boolean(value) => Ok(Some(value)),
        Element::Null => Ok(None),
        other => Err(Error::data(format!("{other}, must be true or false"))),
    }
}

/// A whole number without a sign, or null.
pub(super) fn count(reader: &mut Reader<'_>) -> Result<Option<u64>> {
    match scalar(reader, &mut Cow::Borrowed(""))? {
        Element::Unsigned(value) => Ok(Some(value)),
        Element::Null => Ok(None),
        other => Err(Error::data(format!(
            "{other}, must be a whole number from 0 on"
        ))),
    }
}

/// Reads an object (or null), giving each key with its value to be read.
pub(super) fn object<'a>(
    reader: &mut Reader<'a>,
    mut field: impl FnMut(&str, &mut Reader<'a>) -> Result<()>,
) -> Result<()> {
    if reader.next()? == Next::Scalar {
        return match reader.scalar(&mut Cow::Borrowed(""))? {
            Element::Null => Ok(()),
            other => Err(Error::data(format!("{other}, must be an object"))),
        };
    }
    let mut is_first = true;
    reader.begin_object()?;
    while let Some(key) = reader.key(&mut is_first)? {
        field(&key, reader)?;
    }
    Ok(())
}
