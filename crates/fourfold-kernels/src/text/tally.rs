//! Counts of the types that the values of a column can be read as.

use super::marks::Marks;
use super::number::{
    ANY, float, infinity, integer, looks_like_number, styles, styles_of_float, trimmed,
};
use super::number::{PLAIN, WITH_COMMA};
use super::time::{
    DMY, MDY, YMD, has_short_year, is_compact_date, is_time_of_day, looks_like_date, orders,
};

/// A type that a value can be read as. Each value counts as the narrowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reading {
    /// A whole number of 64 bits.
    Integer,
    /// A number with a point or a signed exponent.
    Float,
    /// Digits with a zero before them, such as a postal code.
    LeadingZero,
    /// A whole number that 64 bits do not hold.
    PastRange,
    /// Digits, an `E`, digits: a number, or a code such as `12E4`.
    Exponent,
    /// A spelling of infinity.
    Infinite,
    /// A number with a decimal comma, marks between thousands, or a percent or currency sign.
    Styled,
    /// `true` or `false` in any case.
    Boolean,
    /// A day.
    Date,
    /// A day and a time.
    Timestamp,
    /// A day, or a day and a time, whose year has two digits.
    ShortYear,
    /// A time without a day.
    TimeOfDay,
    /// A string that looks like a date and is not read: a month of a year, names of zones.
    OtherDate,
    /// A string that looks like a number and is not read: with a unit, in groups of other than three digits.
    OtherNumber,
    /// An array or an object of JSON.
    Nested,
    /// Anything else.
    Text,
}

impl Reading {
    /// Their number.
    pub const N: usize = 16;
}

/// The first value of a reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct First {
    /// The line or row of it, as the caller counts.
    pub line: u64,
    /// The value, cut if it is long.
    pub value: Vec<u8>,
}

/// Counts what the values of one column can be read as. Tallies of parts of a column merge, in their order.
#[derive(Clone, Debug)]
pub struct Tally {
    n: u64,
    empty: u64,
    blank: bool,
    counts: [u64; Reading::N],
    first: [Option<First>; Reading::N],
    marked: Vec<u64>,
    percent: u64,
    parentheses: u64,
    compact_dates: u64,
    styles: u8,
    comma: bool,
    orders: u8,
}

/// The number of bytes of a value that are shown.
const SHOWN: usize = 60;

impl Tally {
    /// A tally of a column in which these words may stand for a missing value.
    #[must_use]
    pub fn new(marks: &Marks) -> Self {
        Tally {
            n: 0,
            empty: 0,
            blank: false,
            counts: [0; Reading::N],
            first: [const { None }; Reading::N],
            marked: vec![0; marks.words().len()],
            percent: 0,
            parentheses: 0,
            compact_dates: 0,
            styles: ANY,
            comma: false,
            orders: YMD | DMY | MDY,
        }
    }

    /// Counts one value of a line.
    pub fn see(&mut self, text: &[u8], line: u64, marks: &Marks) {
        self.n += 1;
        let trimmed = trimmed(text);
        if trimmed.is_empty() {
            self.empty += 1;
            self.blank = true;
        } else if let Some(mark) = marks.position(trimmed) {
            self.marked[mark] += 1;
        } else {
            let reading = self.reading(trimmed);
            self.count(reading, text, line);
        }
    }

    /// Counts a number, `true` or `false` of JSON, where a number is no code whatever its spelling.
    pub fn see_literal(&mut self, text: &[u8], line: u64) {
        self.n += 1;
        let reading = match self.reading(text) {
            Reading::Exponent => Reading::Float,
            reading => reading,
        };
        self.count(reading, text, line);
    }

    /// Counts an array or an object.
    pub fn see_nested(&mut self, text: &[u8], line: u64) {
        self.n += 1;
        self.count(Reading::Nested, text, line);
    }

    /// Counts `n` rows without a value.
    pub fn see_none(&mut self, n: u64) {
        self.n += n;
        self.empty += n;
    }

    fn count(&mut self, reading: Reading, text: &[u8], line: u64) {
        let at = reading as usize;
        self.counts[at] += 1;
        if self.first[at].is_none() {
            let value = text[..text.len().min(SHOWN)].to_vec();
            self.first[at] = Some(First { line, value });
        }
    }

    fn reading(&mut self, text: &[u8]) -> Reading {
        let unsigned = match text {
            [b'-' | b'+', rest @ ..] => rest,
            _ => text,
        };
        if unsigned.iter().all(u8::is_ascii_digit) && !unsigned.is_empty() {
            return if unsigned.len() > 1 && unsigned[0] == b'0' {
                Reading::LeadingZero
            } else if integer(text).is_some() {
                self.compact_dates += u64::from(is_compact_date(text));
                Reading::Integer
            } else {
                Reading::PastRange
            };
        }
        if float(text).is_some() {
            let exponent = unsigned.iter().position(|byte| matches!(byte, b'e' | b'E'));
            if let Some(at) = exponent
                && unsigned[..at].iter().all(u8::is_ascii_digit)
                && unsigned[at + 1].is_ascii_digit()
            {
                return Reading::Exponent;
            }
            self.styles &= match exponent {
                None => styles_of_float(text),
                Some(_) => styles(text).0,
            };
            return Reading::Float;
        }
        // Most text ends here.
        let first = text[0];
        if text.eq_ignore_ascii_case(b"true") || text.eq_ignore_ascii_case(b"false") {
            return Reading::Boolean;
        }
        if infinity(text).is_some() {
            return Reading::Infinite;
        }
        let (orders, has_time) = orders(text);
        if orders != 0 {
            self.orders &= orders;
            return if has_time {
                Reading::Timestamp
            } else {
                Reading::Date
            };
        }
        if !first.is_ascii_alphabetic() && text.len() <= 40 && text.iter().any(u8::is_ascii_digit) {
            let (styles, percent, _) = styles(text);
            if styles != 0 {
                self.styles &= styles;
                self.comma |= styles & !WITH_COMMA == 0;
                self.percent += u64::from(percent);
                self.parentheses += u64::from(text.contains(&b'('));
                return Reading::Styled;
            }
            if has_short_year(text) {
                return Reading::ShortYear;
            }
            if is_time_of_day(text) {
                return Reading::TimeOfDay;
            }
        }
        if text.len() <= 40 && looks_like_date(text) {
            return Reading::OtherDate;
        }
        if text.len() <= 40 && looks_like_number(text) {
            return Reading::OtherNumber;
        }
        Reading::Text
    }

    /// Adds what a later part of the column has shown.
    pub fn merge(&mut self, later: Tally) {
        self.n += later.n;
        self.empty += later.empty;
        self.blank |= later.blank;
        for (own, other) in self.counts.iter_mut().zip(later.counts) {
            *own += other;
        }
        for (own, other) in self.first.iter_mut().zip(later.first) {
            if own.is_none() {
                *own = other;
            }
        }
        for (own, other) in self.marked.iter_mut().zip(later.marked) {
            *own += other;
        }
        self.percent += later.percent;
        self.parentheses += later.parentheses;
        self.compact_dates += later.compact_dates;
        self.styles &= later.styles;
        self.comma |= later.comma;
        self.orders &= later.orders;
    }

    /// The number of rows.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.n
    }

    /// The number of empty and blank fields.
    #[must_use]
    pub fn empty(&self) -> u64 {
        self.empty
    }

    /// Returns true if a field was empty or blank, and not missing otherwise.
    #[must_use]
    pub fn has_blank(&self) -> bool {
        self.blank
    }

    /// The number of values that were each of the marks.
    #[must_use]
    pub fn marked(&self) -> &[u64] {
        &self.marked
    }

    /// The number of values that were neither empty nor a mark.
    #[must_use]
    pub fn known(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The number of values of one of the readings.
    #[must_use]
    pub fn of(&self, readings: &[Reading]) -> u64 {
        readings
            .iter()
            .map(|reading| self.counts[*reading as usize])
            .sum()
    }

    /// The first value, by line, that fits none of the readings.
    #[must_use]
    pub fn first_beside(&self, readings: &[Reading]) -> Option<&First> {
        let beside = |at: &usize| !readings.iter().any(|reading| *reading as usize == *at);
        (0..Reading::N)
            .filter(beside)
            .filter_map(|at| self.first[at].as_ref())
            .min_by_key(|first| first.line)
    }

    /// The first value of a reading.
    #[must_use]
    pub fn first_of(&self, reading: Reading) -> Option<&First> {
        self.first[reading as usize].as_ref()
    }

    /// The [styles](super::number) in which all numbers of the column are.
    #[must_use]
    pub fn styles(&self) -> u8 {
        self.styles
    }

    /// Returns true if numbers were all plain.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.styles & PLAIN != 0
    }

    /// Returns true if there was a number that has a decimal comma in every reading of it.
    #[must_use]
    pub fn has_decimal_comma(&self) -> bool {
        self.comma
    }

    /// The number of values with a percent sign.
    #[must_use]
    pub fn percent(&self) -> u64 {
        self.percent
    }

    /// The number of numbers in parentheses.
    #[must_use]
    pub fn in_parentheses(&self) -> u64 {
        self.parentheses
    }

    /// The number of whole numbers that are [dates](super::time::is_compact_date) too.
    #[must_use]
    pub fn compact_dates(&self) -> u64 {
        self.compact_dates
    }

    /// The [orders](super::time) by which all dates of the column are dates.
    #[must_use]
    pub fn orders(&self) -> u8 {
        self.orders
    }
}

#[cfg(test)]
mod tests {
    use super::super::number::{COMMA_GROUPS, DOT_GROUPS};
    use super::*;

    fn of(values: &[&str]) -> Tally {
        let marks = Marks::new(["NA", "?"]);
        let mut tally = Tally::new(&marks);
        for (line, value) in (2..).zip(values) {
            tally.see(value.as_bytes(), line, &marks);
        }
        tally
    }

    #[track_caller]
    fn check(value: &str, reading: Reading) {
        assert_eq!(of(&[value]).of(&[reading]), 1, "{value}");
    }

    #[test]
    fn every_value_is_of_one_reading() {
        check("12", Reading::Integer);
        check("+12", Reading::Integer);
        check(" 12 ", Reading::Integer);
        check("0", Reading::Integer);
        check("02134", Reading::LeadingZero);
        check("9223372036854775808", Reading::PastRange);
        check("1.5", Reading::Float);
        check("1e-5", Reading::Float);
        check("1.0E5", Reading::Float);
        check("12E4", Reading::Exponent);
        check("888E050011", Reading::Text);
        check("Infinity", Reading::Infinite);
        check("1,234.5", Reading::Styled);
        check("5 %", Reading::Styled);
        check("$5", Reading::Styled);
        check("TRUE", Reading::Boolean);
        check("2013-01-31", Reading::Date);
        check("31/01/2013", Reading::Date);
        check("2013-01-31 05:00", Reading::Timestamp);
        check("2013-13-31", Reading::Text);
        check("31/01/13", Reading::ShortYear);
        check("31.01.13 05:00", Reading::ShortYear);
        check("x", Reading::Text);
        check("1-2", Reading::Text);
        check("(1)", Reading::Styled);
        check("(a)", Reading::Text);
        check("14:30", Reading::TimeOfDay);
        check("January 2013", Reading::OtherDate);
        check("2013-01", Reading::OtherDate);
        check("5 km", Reading::OtherNumber);
    }

    #[test]
    fn values_leave_the_styles_and_orders_that_read_all_of_them() {
        let tally = of(&["1.867,82", "865,07", "12"]);
        assert_eq!(tally.styles(), DOT_GROUPS);
        assert!(tally.has_decimal_comma());
        let tally = of(&["1,234.5", "12"]);
        assert_eq!(tally.styles(), COMMA_GROUPS);
        assert!(!tally.has_decimal_comma());
        assert_eq!(of(&["18/02/2023", "01/02/2023"]).orders(), DMY);
        assert_eq!(of(&["2013-01-31", "01/02/2023"]).orders(), 0);
    }

    #[test]
    fn parts_merge_to_the_whole() {
        let values = ["1", "NA", "", "x", "2.5", "y"];
        let whole = of(&values);
        let mut merged = of(&values[..3]);
        let marks = Marks::new(["NA", "?"]);
        let mut later = Tally::new(&marks);
        for (line, value) in (5..).zip(&values[3..]) {
            later.see(value.as_bytes(), line, &marks);
        }
        merged.merge(later);
        assert_eq!(format!("{merged:?}"), format!("{whole:?}"));
        assert_eq!((whole.rows(), whole.empty(), whole.known()), (6, 1, 4));
        assert_eq!(whole.marked(), [1, 0]);
        let numbers = [Reading::Integer, Reading::Float];
        assert_eq!(whole.of(&numbers), 2);
        let first = whole.first_beside(&numbers).unwrap();
        assert_eq!((first.line, first.value.as_slice()), (5, &b"x"[..]));
    }
}
