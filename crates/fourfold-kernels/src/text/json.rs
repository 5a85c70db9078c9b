//! Records and fields of JSON: objects, one after the other or in an array.
//!
//! Beside RFC 8259, `NaN`, `Infinity` and `-Infinity` are numbers, as Python writes them; NaN is no value.

use std::collections::HashMap;

use memchr::{memchr2, memrchr};

use super::column::{Column, Kind};
use super::marks::Marks;
use super::tally::Tally;
use super::{Fault, FaultKind};

/// The names of fields, in the order in which they were first seen.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    names: Vec<Vec<u8>>,
    places: HashMap<Vec<u8>, usize>,
}

impl Fields {
    /// Fields of these names.
    #[must_use]
    pub fn new<N: Into<Vec<u8>>>(names: impl IntoIterator<Item = N>) -> Self {
        let mut fields = Fields::default();
        for name in names {
            fields.insert(&name.into());
        }
        fields
    }

    /// The names.
    #[must_use]
    pub fn names(&self) -> &[Vec<u8>] {
        &self.names
    }

    fn insert(&mut self, name: &[u8]) -> usize {
        let place = self.names.len();
        self.names.push(name.to_vec());
        self.places.insert(name.to_vec(), place);
        place
    }

    /// The place of a name, which is often that behind the one before.
    #[inline]
    fn place(&self, name: &[u8], guess: usize) -> Option<usize> {
        match self.names.get(guess) {
            Some(guessed) if guessed == name => Some(guess),
            _ => self.places.get(name).copied(),
        }
    }
}

#[derive(Clone, Copy)]
enum Value<'a> {
    None,
    /// A number, `true` or `false`.
    Literal(&'a [u8]),
    Text(&'a [u8]),
    /// An array or an object.
    Nested(&'a [u8]),
}

trait Visitor {
    fn field(&mut self, name: &[u8], value: Value<'_>, at: usize) -> Result<(), FaultKind>;

    /// The end of a record. Says whether another is wanted.
    fn end(&mut self) -> bool;
}

/// The end of the last whole record of a chunk; `None` if there is none. If every record is a line, that is the end of
/// the last line.
#[must_use]
pub fn cut(chunk: &[u8], lines: bool) -> Option<usize> {
    if lines {
        return memrchr(b'\n', chunk).map(|at| at + 1);
    }
    let mut end = None;
    let mut at = 0;
    loop {
        at += between(&chunk[at..]);
        match chunk.get(at) {
            Some(b'{') => match nested(chunk, at) {
                Some(behind) => at = behind,
                None => return end,
            },
            // Anything but a record is reported when it is read.
            Some(_) => return Some(chunk.len()),
            None => return Some(at).filter(|at| *at > 0).or(end),
        }
        end = Some(at);
    }
}

/// Returns true if nearly all lines of a chunk of whole lines are objects: any other is then an error of that line.
#[must_use]
pub fn is_lines(chunk: &[u8]) -> bool {
    let lines = chunk.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let (mut n, mut whole) = (0, 0);
    for line in lines.filter(|line| !line.is_empty()) {
        n += 1;
        whole += usize::from(line[0] == b'{' && nested(line, 0) == Some(line.len()));
    }
    n > 0 && whole * 10 >= n * 9
}

/// The number of bytes before the next record: blanks, and what arrays have between their items.
fn between(chunk: &[u8]) -> usize {
    let is_one = |byte: &&u8| byte.is_ascii_whitespace() || b"[],".contains(byte);
    chunk.iter().take_while(is_one).count()
}

/// The end of an array or an object that begins here.
fn nested(chunk: &[u8], at: usize) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = at;
    loop {
        match chunk.get(at)? {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            b'"' => {
                at = string(chunk, at + 1)?.0 + 1;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
}

/// The position of the quote that ends a string whose first byte is at `at`, and whether it has escapes.
#[inline]
fn string(chunk: &[u8], at: usize) -> Option<(usize, bool)> {
    let mut at = at;
    let mut escaped = false;
    loop {
        at += memchr2(b'"', b'\\', chunk.get(at..)?)?;
        if chunk[at] == b'"' {
            return Some((at, escaped));
        }
        escaped = true;
        at += 2;
    }
}

/// A string without its escapes. A half of a surrogate pair becomes U+FFFD.
fn unescape(text: &[u8], into: &mut Vec<u8>) -> bool {
    into.clear();
    let hex = |digits: Option<&[u8]>| -> Option<u32> {
        u32::from_str_radix(std::str::from_utf8(digits?).ok()?, 16).ok()
    };
    let mut rest = text;
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'\\' {
            into.push(*first);
            continue;
        }
        let Some((code, after)) = rest.split_first() else {
            return false;
        };
        rest = after;
        match code {
            b'"' | b'\\' | b'/' => into.push(*code),
            b'b' => into.push(8),
            b'f' => into.push(12),
            b'n' => into.push(b'\n'),
            b'r' => into.push(b'\r'),
            b't' => into.push(b'\t'),
            b'u' => {
                let Some(mut unit) = hex(rest.get(..4)) else {
                    return false;
                };
                rest = &rest[4..];
                if (0xd800..0xdc00).contains(&unit)
                    && rest.starts_with(b"\\u")
                    && let Some(low) = hex(rest.get(2..6))
                    && (0xdc00..0xe000).contains(&low)
                {
                    unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                    rest = &rest[6..];
                }
                let char = char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER);
                into.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
            }
            _ => return false,
        }
    }
    true
}

fn is_number(token: &[u8]) -> bool {
    let digits = token.strip_prefix(b"-").unwrap_or(token);
    digits.first().is_some_and(u8::is_ascii_digit)
        && digits.last().is_some_and(u8::is_ascii_digit)
        && digits
            .iter()
            .all(|byte| byte.is_ascii_digit() || b".eE+-".contains(byte))
}

/// Takes a chunk of whole records apart.
#[inline]
fn visit<V: Visitor>(chunk: &[u8], visitor: &mut V) -> Result<(), Fault> {
    let (mut name_scratch, mut scratch) = (Vec::new(), Vec::new());
    let blanks = |at: usize| {
        let rest = &chunk[at.min(chunk.len())..];
        at + rest
            .iter()
            .take_while(|byte| byte.is_ascii_whitespace())
            .count()
    };
    let mut at = 0;
    loop {
        at += between(&chunk[at..]);
        let start = at;
        let fault = |kind| Fault { at: start, kind };
        let wrong = |at: usize| Fault {
            at: start,
            kind: if at >= chunk.len() {
                FaultKind::Unfinished
            } else {
                FaultKind::Syntax(at)
            },
        };
        match chunk.get(at) {
            None => return Ok(()),
            Some(b'{') => at = blanks(at + 1),
            Some(_) => return Err(wrong(at)),
        }
        if chunk.get(at) == Some(&b'}') {
            at += 1;
            if !visitor.end() {
                return Ok(());
            }
            continue;
        }
        loop {
            if chunk.get(at) != Some(&b'"') {
                return Err(wrong(at));
            }
            let unfinished = || fault(FaultKind::Unfinished);
            let (end, escaped) = string(chunk, at + 1).ok_or_else(unfinished)?;
            let mut name = &chunk[at + 1..end];
            if escaped {
                if !unescape(name, &mut name_scratch) {
                    return Err(wrong(at));
                }
                name = &name_scratch;
            }
            at = blanks(end + 1);
            if chunk.get(at) != Some(&b':') {
                return Err(wrong(at));
            }
            at = blanks(at + 1);
            let value = match chunk.get(at) {
                Some(b'"') => {
                    let (end, escaped) = string(chunk, at + 1).ok_or_else(unfinished)?;
                    let mut text = &chunk[at + 1..end];
                    if escaped {
                        if !unescape(text, &mut scratch) {
                            return Err(wrong(at));
                        }
                        text = &scratch;
                    }
                    at = end + 1;
                    Value::Text(text)
                }
                Some(b'{' | b'[') => {
                    let end = nested(chunk, at).ok_or_else(unfinished)?;
                    let value = Value::Nested(&chunk[at..end]);
                    at = end;
                    value
                }
                _ => {
                    let rest = chunk.get(at..).unwrap_or_default();
                    let n = rest
                        .iter()
                        .take_while(|byte| !byte.is_ascii_whitespace() && !b",}]".contains(byte))
                        .count();
                    let token = &rest[..n];
                    let value = match token {
                        b"null" | b"NaN" | b"nan" | b"-NaN" => Value::None,
                        b"true" | b"false" | b"Infinity" | b"-Infinity" => Value::Literal(token),
                        token if is_number(token) => Value::Literal(token),
                        _ => return Err(wrong(at)),
                    };
                    at += n;
                    value
                }
            };
            visitor.field(name, value, start).map_err(fault)?;
            at = blanks(at);
            match chunk.get(at) {
                Some(b',') => at = blanks(at + 1),
                Some(b'}') => break,
                _ => return Err(wrong(at)),
            }
        }
        at += 1;
        if !visitor.end() {
            return Ok(());
        }
    }
}

/// The tallies of the fields of records.
#[derive(Clone, Debug, Default)]
pub struct Tallies {
    /// The names of the fields.
    pub fields: Fields,
    /// The tally of each.
    pub columns: Vec<Tally>,
    /// The first arrays and objects of each.
    pub nested: Vec<Vec<Vec<u8>>>,
    /// The last row in which each was.
    last: Vec<u64>,
    n_rows: u64,
}

/// The number of arrays and objects of a field that are kept, to see what is in them.
const NESTED: usize = 1_000;

impl Tallies {
    /// Counts what the fields of whole records can be read as. `line` is that of the chunk's beginning. Takes at most
    /// `at_most` records, and returns their number.
    ///
    /// # Errors
    /// Invalid JSON and duplicate fields.
    pub fn see(
        &mut self,
        chunk: &[u8],
        line: u64,
        at_most: usize,
        marks: &Marks,
    ) -> Result<usize, Fault> {
        struct Counting<'a> {
            tallies: &'a mut Tallies,
            marks: &'a Marks,
            chunk: &'a [u8],
            line: u64,
            counted: usize,
            guess: usize,
            n: usize,
            at_most: usize,
        }
        impl Visitor for Counting<'_> {
            fn field(&mut self, name: &[u8], value: Value<'_>, at: usize) -> Result<(), FaultKind> {
                self.line += super::count(b'\n', &self.chunk[self.counted..at]) as u64;
                self.counted = at;
                let tallies = &mut *self.tallies;
                let place = match tallies.fields.place(name, self.guess) {
                    Some(place) => place,
                    None => {
                        tallies.columns.push(Tally::new(self.marks));
                        tallies.nested.push(Vec::new());
                        tallies.last.push(u64::MAX);
                        tallies.fields.insert(name)
                    }
                };
                self.guess = place + 1;
                if tallies.last[place] == tallies.n_rows {
                    return Err(FaultKind::RepeatedField(name.to_vec()));
                }
                tallies.last[place] = tallies.n_rows;
                let column = &mut tallies.columns[place];
                match value {
                    Value::None => column.see_none(1),
                    Value::Literal(text) => column.see_literal(text, self.line),
                    Value::Text(text) => column.see(text, self.line, self.marks),
                    Value::Nested(text) => {
                        if tallies.nested[place].len() < NESTED {
                            tallies.nested[place].push(text.to_vec());
                        }
                        column.see_nested(text, self.line);
                    }
                }
                Ok(())
            }

            fn end(&mut self) -> bool {
                self.tallies.n_rows += 1;
                self.guess = 0;
                self.n += 1;
                self.n < self.at_most
            }
        }
        if at_most == 0 {
            return Ok(0);
        }
        let mut counting = Counting {
            tallies: self,
            marks,
            chunk,
            line,
            counted: 0,
            guess: 0,
            n: 0,
            at_most,
        };
        visit(chunk, &mut counting)?;
        Ok(counting.n)
    }

    /// The number of records seen.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.n_rows
    }
}

/// Reads whole records into columns, and says how many. Arrays and objects are the text that they are written as, in a
/// column of [`Kind::Text`].
///
/// # Errors
/// Invalid JSON, a field that is no column, a duplicate field, or a value that is not of its column's type.
pub fn read(chunk: &[u8], fields: &Fields, columns: &mut [Column]) -> Result<usize, Fault> {
    struct Reading<'a> {
        fields: &'a Fields,
        columns: &'a mut [Column],
        /// Rows that the columns have had.
        before: usize,
        guess: usize,
        n: usize,
    }
    impl Visitor for Reading<'_> {
        #[inline]
        fn field(&mut self, name: &[u8], value: Value<'_>, _at: usize) -> Result<(), FaultKind> {
            let place = self.fields.place(name, self.guess);
            let Some(place) = place else {
                return Err(FaultKind::UnknownField(name.to_vec()));
            };
            self.guess = place + 1;
            let Some(column) = self.columns.get_mut(place) else {
                return Ok(());
            };
            if column.kind() == Kind::Skip {
                return Ok(());
            }
            let row = self.before + self.n;
            if column.len() > row {
                return Err(FaultKind::RepeatedField(name.to_vec()));
            }
            while column.len() < row {
                column.push_none();
            }
            let (is_read, value) = match value {
                Value::None => {
                    column.push_none();
                    return Ok(());
                }
                Value::Literal(value) | Value::Text(value) => (column.push(value), value),
                Value::Nested(value) => (column.kind() == Kind::Text && column.push(value), value),
            };
            if is_read {
                return Ok(());
            }
            Err(FaultKind::Value {
                column: place,
                value: value.to_vec(),
            })
        }

        #[inline]
        fn end(&mut self) -> bool {
            self.guess = 0;
            self.n += 1;
            true
        }
    }
    let is_read = |column: &&Column| column.kind() != Kind::Skip;
    let before = columns.iter().find(is_read).map_or(0, Column::len);
    let mut reading = Reading {
        fields,
        columns,
        before,
        guess: 0,
        n: 0,
    };
    visit(chunk, &mut reading)?;
    let n = reading.n;
    for column in columns {
        while column.kind() != Kind::Skip && column.len() < before + n {
            column.push_none();
        }
    }
    Ok(n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{Reading, Values};

    fn column(kind: Kind) -> Column {
        Column::new(kind, Marks::default())
    }

    fn read_all(text: &str, kinds: &[(&str, Kind)]) -> Result<Vec<Values>, Fault> {
        let fields = Fields::new(kinds.iter().map(|(name, _)| *name));
        let mut columns: Vec<Column> = kinds.iter().map(|(_, kind)| column(*kind)).collect();
        read(text.as_bytes(), &fields, &mut columns)?;
        Ok(columns.iter_mut().map(|column| column.take().0).collect())
    }

    #[test]
    fn records_are_read_into_columns() {
        let wanted = [
            Values::Integer(vec![1, 0, 3]),
            Values::Text(vec![0, 4, 9, 9], "a\"\u{e9}[{}, 1]".into()),
        ];
        let kinds = [("x", Kind::Integer), ("y", Kind::Text)];
        for text in [
            "{\"x\": 1, \"y\": \"a\\\"\\u00e9\"}\n{\"y\": [{}, 1]}\n{\"x\":3,\"y\":null}\n",
            "[ {\"x\":1,\"y\":\"a\\\"\u{e9}\"}\n,{\"x\":null,\"y\":[{}, 1]},\n{\n  \"x\": 3\n}]",
        ] {
            let read = read_all(text, &kinds).unwrap();
            assert_eq!(read[0], wanted[0]);
            let Values::Text(_, bytes) = &read[1] else {
                panic!("{read:?}");
            };
            assert_eq!(String::from_utf8_lossy(bytes), "a\"\u{e9}[{}, 1]");
        }
        let floats = read_all(
            "{\"x\": NaN}{\"x\": -Infinity} {\"x\": 1e5}",
            &[("x", Kind::Float(1))],
        );
        assert_eq!(
            floats.unwrap(),
            [Values::Float(vec![0.0, f64::NEG_INFINITY, 1e5])]
        );
        let pairs = read_all("{\"x\": \"\\ud83d\\ude00\\ud800\"}", &[("x", Kind::Text)]).unwrap();
        assert_eq!(
            pairs,
            [Values::Text(vec![0, 7], "\u{1f600}\u{fffd}".into())]
        );
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let of =
            |text: &str| read_all(text, &[("x", Kind::Integer), ("y", Kind::Skip)]).unwrap_err();
        assert_eq!(
            of("{\"x\": 1}\nx"),
            Fault {
                at: 9,
                kind: FaultKind::Syntax(9)
            }
        );
        assert_eq!(
            of("{\"x\": 1}\n{\"x\": "),
            Fault {
                at: 9,
                kind: FaultKind::Unfinished
            }
        );
        assert_eq!(of("{\"x\": 01a}").kind, FaultKind::Syntax(6));
        assert_eq!(of("{\"x\" 1}").kind, FaultKind::Syntax(5));
        assert_eq!(of("{\"x\": 1,}").kind, FaultKind::Syntax(8));
        assert_eq!(
            of("{\"z\": 1}").kind,
            FaultKind::UnknownField(b"z".to_vec())
        );
        assert_eq!(
            of("{\"x\": 1, \"x\": 2}").kind,
            FaultKind::RepeatedField(b"x".to_vec())
        );
        let value = FaultKind::Value {
            column: 0,
            value: b"[1]".to_vec(),
        };
        assert_eq!(of("{\"y\": 5, \"x\": [1]}").kind, value);
        assert_eq!(of("{\"x\": \"a").kind, FaultKind::Unfinished);
        assert_eq!(of("[1, 2]").kind, FaultKind::Syntax(1));
    }

    #[test]
    fn a_chunk_is_cut_where_its_last_record_ends() {
        let text = "[{\"a\": \"}\\\"\"},\n {\"b\": [1, {}]}, {\"c\"";
        assert_eq!(cut(text.as_bytes(), false), Some(30));
        assert_eq!(cut(b"{\"a\": 1", false), None);
        assert_eq!(cut(b"{\"a\": 1}\n{", true), Some(9));
        assert!(is_lines(b"{\"a\": 1}\n\n {\"b\": {}} \r\n"));
        assert!(!is_lines(b"{\"a\": 1,\n\"b\": 2}\n"));
        assert!(!is_lines(b"[{\"a\": 1}]\n"));
    }

    #[test]
    fn fields_are_tallied_as_they_come() {
        let mut tallies = Tallies::default();
        let marks = Marks::default();
        let text = b"{\"a\": 1e5, \"b\": \"x\"}\n{\"c\": [1], \"a\": 2}\n{\"b\": 3}\n";
        assert_eq!(tallies.see(text, 1, 9, &marks), Ok(3));
        let names: Vec<_> = tallies
            .fields
            .names()
            .iter()
            .map(|name| String::from_utf8_lossy(name))
            .collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert_eq!(
            tallies.columns[0].of(&[Reading::Float, Reading::Integer]),
            2
        );
        assert_eq!(
            tallies.columns[1].first_of(Reading::Integer).unwrap().line,
            3
        );
        assert_eq!(tallies.nested[2], [b"[1]"]);
    }
}
