//! The values of a column, read, in the layout of Arrow.

use super::marks::Marks;
use super::number::{PLAIN, float, integer, number, trimmed};
use super::time::{date, timestamp};

/// The type that the values of a column are read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false` in any case.
    Boolean,
    /// Whole numbers of 64 bits.
    Integer,
    /// Numbers of a [style](super::number).
    Float(u8),
    /// Days since 1970-01-01, of an [order](super::time).
    Date(u8),
    /// Microseconds since 1970-01-01 in UTC, of an [order](super::time).
    Timestamp(u8),
    /// Text as it is.
    Text,
    /// Nothing: the column is not wanted.
    Skip,
    /// Nothing, as there must be nothing.
    Empty,
}

/// Bits, the lowest of a byte first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bits {
    /// Whole bytes; those past the length are 0.
    pub bytes: Vec<u8>,
    /// The number of bits.
    pub len: usize,
}

impl Bits {
    #[inline]
    fn push(&mut self, bit: bool) {
        let place = self.len % 8;
        if place == 0 {
            self.bytes.push(u8::from(bit));
        } else if let Some(last) = self.bytes.last_mut() {
            *last |= u8::from(bit) << place;
        }
        self.len += 1;
    }
}

/// The values of a column; whatever stands where one is missing.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Values of [`Kind::Boolean`].
    Boolean(Bits),
    /// Values of [`Kind::Integer`] and [`Kind::Timestamp`].
    Integer(Vec<i64>),
    /// Values of [`Kind::Float`].
    Float(Vec<f64>),
    /// Values of [`Kind::Date`].
    Date(Vec<i32>),
    /// Values of [`Kind::Text`]: their offsets, and their bytes, which are UTF-8.
    Text(Vec<i32>, Vec<u8>),
    /// No values, for [`Kind::Skip`] and [`Kind::Empty`].
    None,
}

/// One column of rows being read.
#[derive(Clone, Debug)]
pub struct Column {
    kind: Kind,
    marks: Marks,
    values: Values,
    valid: Bits,
    n_missing: usize,
}

impl Column {
    /// An empty one, in which these words stand for a missing value.
    #[must_use]
    pub fn new(kind: Kind, marks: Marks) -> Self {
        Column {
            kind,
            marks,
            values: Values::of(kind),
            valid: Bits::default(),
            n_missing: 0,
        }
    }

    /// Reads a value. `false` if it is not of the kind.
    #[inline]
    pub fn push(&mut self, text: &[u8]) -> bool {
        if text.is_empty() {
            self.push_none();
            return true;
        }
        match (&mut self.values, self.kind) {
            (Values::Integer(values), Kind::Integer) => match integer(text) {
                Some(value) => values.push(value),
                None => return self.push_odd(text),
            },
            (Values::Float(values), Kind::Float(PLAIN)) => match float(text) {
                Some(value) => values.push(value),
                None => return self.push_odd(text),
            },
            (Values::Integer(values), Kind::Timestamp(order)) => match timestamp(text, order) {
                Some(value) => values.push(value),
                None => return self.push_odd(text),
            },
            (Values::Date(values), Kind::Date(order)) => match date(text, order) {
                Some(value) => values.push(value),
                None => return self.push_odd(text),
            },
            (Values::Text(offsets, bytes), _) => {
                let is_short = text.len() <= self.marks.longest().max(1) + 8;
                let trimmed = if is_short { trimmed(text) } else { text };
                if trimmed.is_empty() || self.marks.has(trimmed) {
                    self.push_none();
                    return true;
                }
                bytes.extend_from_slice(text);
                offsets.push(bytes.len() as i32);
            }
            (Values::None, Kind::Skip) => return true,
            _ => return self.push_odd(text),
        }
        self.valid.push(true);
        true
    }

    /// Appends a value that is not as most are: with blanks around it, in a style, or a mark.
    #[inline(never)]
    fn push_odd(&mut self, text: &[u8]) -> bool {
        let text = trimmed(text);
        if text.is_empty() || self.marks.has(text) {
            self.push_none();
            return true;
        }
        let is_read = match (&mut self.values, self.kind) {
            (Values::Boolean(bits), _) => {
                let is_true = text.eq_ignore_ascii_case(b"true");
                let is_one = is_true || text.eq_ignore_ascii_case(b"false");
                if is_one {
                    bits.push(is_true);
                }
                is_one
            }
            (Values::Integer(values), Kind::Timestamp(order)) => {
                put(values, timestamp(text, order))
            }
            (Values::Integer(values), _) => put(values, integer(text).or_else(|| whole(text))),
            (Values::Float(values), Kind::Float(style)) => put(values, number(text, style)),
            (Values::Date(values), Kind::Date(order)) => put(values, date(text, order)),
            _ => false,
        };
        if is_read {
            self.valid.push(true);
        }
        is_read
    }

    /// Adds a row without a value.
    #[inline]
    pub fn push_none(&mut self) {
        match &mut self.values {
            Values::Boolean(bits) => bits.push(false),
            Values::Integer(values) => values.push(0),
            Values::Float(values) => values.push(0.0),
            Values::Date(values) => values.push(0),
            Values::Text(offsets, bytes) => offsets.push(bytes.len() as i32),
            Values::None => return,
        }
        self.valid.push(false);
        self.n_missing += 1;
    }

    /// The type that the values are read as.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.valid.len
    }

    /// Returns true if there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.valid.len == 0
    }

    /// Takes the rows out: the values, and which of them are there, unless all are.
    pub fn take(&mut self) -> (Values, Option<Bits>) {
        let values = std::mem::replace(&mut self.values, Values::of(self.kind));
        let valid = std::mem::take(&mut self.valid);
        let has_missing = std::mem::take(&mut self.n_missing) > 0;
        (values, has_missing.then_some(valid))
    }
}

impl Values {
    fn of(kind: Kind) -> Self {
        match kind {
            Kind::Boolean => Values::Boolean(Bits::default()),
            Kind::Integer | Kind::Timestamp(_) => Values::Integer(Vec::new()),
            Kind::Float(_) => Values::Float(Vec::new()),
            Kind::Date(_) => Values::Date(Vec::new()),
            Kind::Text => Values::Text(vec![0], Vec::new()),
            Kind::Skip | Kind::Empty => Values::None,
        }
    }
}

/// A whole number that is written with a fraction of zeros, as pandas writes integers with missing values: `456.0`.
fn whole(text: &[u8]) -> Option<i64> {
    let at = text.iter().position(|byte| *byte == b'.')?;
    let (digits, zeros) = (&text[..at], &text[at + 1..]);
    (!zeros.is_empty() && zeros.iter().all(|byte| *byte == b'0')).then(|| integer(digits))?
}

fn put<T>(values: &mut Vec<T>, value: Option<T>) -> bool {
    match value {
        Some(value) => {
            values.push(value);
            true
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(kind: Kind, texts: &[&str]) -> (Values, Option<Bits>, Vec<bool>) {
        let mut column = Column::new(kind, Marks::new(["NA"]));
        let read = texts
            .iter()
            .map(|text| column.push(text.as_bytes()))
            .collect();
        let (values, valid) = column.take();
        (values, valid, read)
    }

    #[test]
    fn values_are_read_and_marks_are_none() {
        let (values, valid, read) = column(Kind::Integer, &["1", " 2 ", "NA", "", "x", "3"]);
        assert_eq!(values, Values::Integer(vec![1, 2, 0, 0, 3]));
        assert_eq!(valid.unwrap().bytes, [0b1_0011]);
        assert_eq!(read, [true, true, true, true, false, true]);
        let (values, _, read) = column(Kind::Integer, &["456.0", "-3.00", "4.5", "5.", ".0"]);
        assert_eq!(values, Values::Integer(vec![456, -3]));
        assert_eq!(read, [true, true, false, false, false]);
        let (values, valid, _) = column(Kind::Float(PLAIN), &["1.5", "+2", "-Inf"]);
        assert_eq!(values, Values::Float(vec![1.5, 2.0, f64::NEG_INFINITY]));
        assert_eq!(valid, None);
        let (values, valid, _) = column(Kind::Text, &["a", "NA", " b", " NA", "  "]);
        assert_eq!(
            values,
            Values::Text(vec![0, 1, 1, 3, 3, 3], b"a b".to_vec())
        );
        assert_eq!(valid.unwrap().bytes, [0b101]);
        let (values, ..) = column(Kind::Boolean, &["true", "False", "TRUE"]);
        let bits = Bits {
            bytes: vec![0b101],
            len: 3,
        };
        assert_eq!(values, Values::Boolean(bits));
        assert_eq!(column(Kind::Empty, &["", " ", "x"]).2, [true, true, false]);
    }
}
