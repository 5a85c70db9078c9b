//! A tensor's elements on their way into an Arrow column.

use std::fmt;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanBuilder, Float64Builder, Int64Builder, ListArray, NullBufferBuilder,
    StringArray, StringBuilder,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::Field as ArrowField;

use super::MAX_ROWS;
use super::datatype::Datatype;
use super::plan::Input;
use crate::error::{Error, Result};
use crate::schema::FieldType;

/// The most bytes of text in a column, whose offsets have 32 bits.
const MAX_TEXT: usize = i32::MAX as usize;

/// The rows of a tensor, by its shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    n_rows: usize,
    items: Items,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Items {
    /// One value a row.
    One,
    /// A list with this many values a row.
    Fixed(usize),
    /// A list a row, each with its own number of values.
    Ragged,
}

impl Layout {
    /// `[rows]` or `[rows, 1]`; for lists `[rows, items]`, or `[rows, -1]` where each row has its own number.
    pub(super) fn of(shape: &[i64], input: &Input) -> Result<Self> {
        let items = match (shape, input.is_list()) {
            ([_] | [_, 1], false) => Some(Items::One),
            ([_, -1], true) => Some(Items::Ragged),
            ([_, items], true) => usize::try_from(*items).ok().map(Items::Fixed),
            _ => None,
        };
        let n_rows = shape.first().and_then(|rows| usize::try_from(*rows).ok());
        let (Some(n_rows), Some(items)) = (n_rows, items) else {
            let shown: Vec<String> = shape.iter().take(8).map(i64::to_string).collect();
            let more = if shape.len() > 8 { ", .." } else { "" };
            let must = match input.is_list() {
                true => "[rows, items], or [rows, -1] for lists of different lengths",
                false => "[rows] or [rows, 1]",
            };
            return Err(Error::data(format!(
                "shape [{}{more}], must be {must}",
                shown.join(", ")
            )));
        };
        if n_rows > MAX_ROWS {
            return Err(Error::data(format!(
                "{n_rows} rows, a request has at most {MAX_ROWS}"
            )));
        }
        let layout = Layout { n_rows, items };
        match layout.n_elements() {
            Some(n) if i32::try_from(n).is_err() => Err(Error::data(format!(
                "{n} elements, must be fewer than 2^31"
            ))),
            _ => Ok(layout),
        }
    }

    /// One value in each of `n_rows` rows.
    #[cfg(test)]
    pub(super) fn scalars(n_rows: usize) -> Self {
        Layout {
            n_rows,
            items: Items::One,
        }
    }

    /// As many rows as arrive, up to the most that a request may have.
    pub(super) fn to_come(input: &Input) -> Self {
        Layout {
            n_rows: MAX_ROWS,
            items: match input.is_list() {
                true => Items::Ragged,
                false => Items::One,
            },
        }
    }

    pub(super) fn n_rows(self) -> usize {
        self.n_rows
    }

    pub(super) fn is_ragged(self) -> bool {
        self.items == Items::Ragged
    }

    /// The number of items of each list, if the shape fixes it.
    pub(super) fn width(self) -> Option<usize> {
        match self.items {
            Items::Fixed(items) => Some(items),
            Items::One | Items::Ragged => None,
        }
    }

    /// The number of elements, if the shape fixes it.
    pub(super) fn n_elements(self) -> Option<usize> {
        match self.items {
            Items::One => Some(self.n_rows),
            Items::Fixed(items) => Some(self.n_rows.saturating_mul(items)),
            Items::Ragged => None,
        }
    }
}

/// A column that is filled element by element: never more than were announced, and at the end all of them.
#[derive(Debug)]
pub(super) struct Column {
    datatype: Datatype,
    /// True if whole numbers are wanted, which may be sent as floats.
    of_integers: bool,
    layout: Layout,
    filled: usize,
    values: Values,
    /// The ends of the rows of a ragged column, and which rows are NULL.
    ends: Vec<i32>,
    rows: NullBufferBuilder,
}

#[derive(Debug)]
enum Values {
    Booleans(BooleanBuilder),
    Integers(Int64Builder),
    Floats(Float64Builder),
    Texts(StringBuilder),
}

/// An element as it was sent.
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
            Element::Text(_) => f.write_str("a string"),
        }
    }
}

impl Column {
    /// An empty column for an input. `at_most` bounds the number of elements, whatever the shape says.
    pub(super) fn new(input: &Input, datatype: Datatype, layout: Layout, at_most: usize) -> Self {
        let n = layout.n_elements().unwrap_or(0).min(at_most);
        let values = match datatype {
            Datatype::Bool => Values::Booleans(BooleanBuilder::with_capacity(n)),
            Datatype::Bytes => Values::Texts(StringBuilder::with_capacity(n, 0)),
            // Whole numbers for a field of floats are made floats at once.
            _ if datatype.whole_range().is_some() && input.field_type() == FieldType::Integer => {
                Values::Integers(Int64Builder::with_capacity(n))
            }
            _ => Values::Floats(Float64Builder::with_capacity(n)),
        };
        Column {
            datatype,
            of_integers: input.field_type() == FieldType::Integer,
            layout,
            filled: 0,
            values,
            ends: Vec::new(),
            rows: NullBufferBuilder::new(0),
        }
    }

    pub(super) fn datatype(&self) -> Datatype {
        self.datatype
    }

    /// The number of elements so far.
    pub(super) fn filled(&self) -> usize {
        self.filled
    }

    pub(super) fn layout(&self) -> Layout {
        self.layout
    }

    /// Adds an element.
    #[inline]
    pub(super) fn push(&mut self, element: Element<'_>) -> Result<()> {
        if self.layout.n_elements() == Some(self.filled) {
            return Err(Error::data(format!(
                "more elements than the {} of its shape",
                self.filled
            )));
        }
        let fits = match (&mut self.values, element) {
            (Values::Booleans(values), Element::Boolean(value)) => {
                values.append_value(value);
                true
            }
            (Values::Texts(values), Element::Text(text)) => {
                if values.values_slice().len().saturating_add(text.len()) > MAX_TEXT {
                    return Err(Error::data("strings of 2 GiB or more in one column"));
                }
                values.append_value(text);
                true
            }
            (Values::Integers(values), _) => match whole(self.datatype, element) {
                Some(value) => {
                    values.append_value(value);
                    true
                }
                None => false,
            },
            (Values::Floats(_), _) if self.of_integers && is_past_floats(element) => false,
            (Values::Floats(values), _) => match float(self.datatype, element) {
                Some(value) => {
                    values.append_value(value);
                    true
                }
                None => false,
            },
            _ => false,
        };
        if !fits {
            self.push_null(element)?;
        }
        self.filled += 1;
        Ok(())
    }

    /// Adds NULL, or returns the error of an element that does not fit.
    #[cold]
    fn push_null(&mut self, element: Element<'_>) -> Result<()> {
        match (&mut self.values, element) {
            (Values::Booleans(values), Element::Null) => values.append_null(),
            (Values::Integers(values), Element::Null) => values.append_null(),
            (Values::Floats(values), Element::Null) => values.append_null(),
            (Values::Texts(values), Element::Null) => values.append_null(),
            (Values::Floats(_), _) if self.of_integers && is_past_floats(element) => {
                return Err(Error::data(format!(
                    "element {} is {element}, must be at most 2^53: past it {} does not hold every whole number",
                    self.filled, self.datatype
                )));
            }
            _ => {
                let is_number = matches!(
                    element,
                    Element::Signed(_) | Element::Unsigned(_) | Element::Float(_)
                );
                let must = match (self.datatype, self.datatype.whole_range()) {
                    (Datatype::Bool, _) => "true or false".to_owned(),
                    (Datatype::Bytes, _) => "a string".to_owned(),
                    (_, Some((low, high)))
                        if matches!(element, Element::Signed(_) | Element::Unsigned(_)) =>
                    {
                        format!("from {low} to {high}")
                    }
                    (_, Some(_)) => "a whole number".to_owned(),
                    (_, None) if is_number => "within the range".to_owned(),
                    (_, None) => "a number".to_owned(),
                };
                let (index, datatype) = (self.filled, self.datatype);
                let error = if must == "within the range" {
                    format!("element {index} is {element}, must be {must} of {datatype}")
                } else {
                    format!("element {index} is {element}, must be {must} ({datatype})")
                };
                return Err(Error::data(error));
            }
        }
        Ok(())
    }

    /// Ends a row of a ragged column.
    pub(super) fn end_row(&mut self, is_null: bool) -> Result<()> {
        if self.ends.len() == self.layout.n_rows {
            return Err(Error::data(format!(
                "more rows than the {} of its shape",
                self.layout.n_rows
            )));
        }
        let end = i32::try_from(self.filled)
            .map_err(|_| Error::data("2^31 elements or more, must be fewer"))?;
        self.ends.push(end);
        self.rows.append(!is_null);
        Ok(())
    }

    /// The number of complete rows.
    pub(super) fn n_rows(&self) -> usize {
        match self.layout.items {
            Items::One => self.filled,
            Items::Fixed(items) => self.filled.checked_div(items).unwrap_or_default(),
            Items::Ragged => self.ends.len(),
        }
    }

    /// Adds `n` rows of NULL; the caller guarantees that they are not too many.
    pub(super) fn fill_with_null(&mut self, n: usize) -> Result<()> {
        match self.layout.items {
            Items::One => {
                match &mut self.values {
                    Values::Booleans(values) => values.append_nulls(n),
                    Values::Integers(values) => values.append_nulls(n),
                    Values::Floats(values) => values.append_nulls(n),
                    Values::Texts(values) => values.append_nulls(n),
                }
                self.filled += n;
            }
            Items::Fixed(_) => return Err(Error::internal("a list of fixed length is NULL")),
            Items::Ragged => {
                let end = self.ends.last().copied().unwrap_or_default();
                self.ends.resize(self.ends.len() + n, end);
                self.rows.append_n_nulls(n);
            }
        }
        Ok(())
    }

    /// The column of the rows that have ended.
    pub(super) fn finish_here(mut self) -> Result<ArrayRef> {
        self.layout.n_rows = self.n_rows();
        self.finish(None)
    }

    /// The column, if it is full. `null` is the string that stands for NULL.
    pub(super) fn finish(mut self, null: Option<&str>) -> Result<ArrayRef> {
        match self.layout.n_elements() {
            Some(wanted) if self.filled != wanted => {
                return Err(Error::data(format!(
                    "{} elements, its shape has {wanted}",
                    self.filled
                )));
            }
            None if self.ends.len() != self.layout.n_rows => {
                return Err(Error::data(format!(
                    "{} rows, its shape has {}",
                    self.ends.len(),
                    self.layout.n_rows
                )));
            }
            _ => {}
        }
        let values: ArrayRef = match self.values {
            Values::Booleans(mut values) => Arc::new(values.finish()),
            Values::Integers(mut values) => Arc::new(values.finish()),
            Values::Floats(mut values) => Arc::new(values.finish()),
            Values::Texts(mut values) => match null {
                Some(null) => Arc::new(with_nulls(&values.finish(), null)),
                None => Arc::new(values.finish()),
            },
        };
        let offsets = match self.layout.items {
            Items::One => return Ok(values),
            Items::Fixed(items) => {
                OffsetBuffer::from_lengths(std::iter::repeat_n(items, self.layout.n_rows))
            }
            Items::Ragged => {
                let starts = std::iter::once(0).chain(self.ends.iter().copied());
                OffsetBuffer::new(starts.collect())
            }
        };
        let item = Arc::new(ArrowField::new_list_field(values.data_type().clone(), true));
        let nulls = self.rows.finish();
        Ok(Arc::new(ListArray::try_new(item, offsets, values, nulls)?))
    }
}

/// A whole number within the range of a datatype.
fn whole(datatype: Datatype, element: Element<'_>) -> Option<i64> {
    let (low, high) = datatype.whole_range()?;
    let value = match element {
        Element::Signed(value) => value,
        Element::Unsigned(value) => i64::try_from(value).ok()?,
        Element::Null | Element::Boolean(_) | Element::Float(_) | Element::Text(_) => return None,
    };
    (low..=high).contains(&value).then_some(value)
}

/// Returns `true` if a whole number is beyond the range in which a double represents every integer.
fn is_past_floats(element: Element<'_>) -> bool {
    const LARGEST: u64 = 1 << 53;
    match element {
        Element::Signed(value) => value.unsigned_abs() > LARGEST,
        Element::Unsigned(value) => value > LARGEST,
        _ => false,
    }
}

/// A number as one of a datatype. A decimal text means the nearest number of its datatype, as it would in binary
/// data.
fn float(datatype: Datatype, element: Element<'_>) -> Option<f64> {
    if datatype.whole_range().is_some() {
        return whole(datatype, element).map(|value| value as f64);
    }
    let value = match element {
        Element::Signed(value) => value as f64,
        Element::Unsigned(value) => value as f64,
        Element::Float(value) => value,
        Element::Null | Element::Boolean(_) | Element::Text(_) => return None,
    };
    if datatype != Datatype::Fp32 {
        return Some(value);
    }
    let near = value as f32;
    (near.is_finite() || !value.is_finite()).then_some(f64::from(near))
}

/// Strings, with those equal to `null` replaced by NULL.
fn with_nulls(texts: &StringArray, null: &str) -> StringArray {
    if !texts.iter().any(|text| text == Some(null)) {
        return texts.clone();
    }
    let texts = texts.iter();
    texts
        .map(|text| text.filter(|text| *text != null))
        .collect()
}
