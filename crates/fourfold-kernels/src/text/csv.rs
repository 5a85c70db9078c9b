//! Records and fields of delimited text (RFC 4180, and what is written beside it).
//!
//! A field that begins with a quote ends with one; within, two stand for one. A quote within a field that does not begin
//! with one is itself. Records end with the terminator; a carriage return before a line feed belongs to the end. Lines
//! without anything are no records.

use memchr::{memchr, memrchr};

use super::column::Column;
use super::marks::Marks;
use super::tally::Tally;
use super::{Fault, FaultKind};

/// The dialect of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// The delimiter of fields.
    pub delimiter: u8,
    /// The terminator of records: a line feed, or a carriage return alone.
    pub terminator: u8,
    /// Whether blanks before a field are skipped: if blanks are the delimiter, several of them are one.
    pub skip_blanks: bool,
}

impl Dialect {
    /// The position of the quote of a field that begins here, if it has one.
    #[inline]
    fn opening(&self, chunk: &[u8], at: usize) -> Option<usize> {
        let mut at = at;
        while self.skip_blanks && chunk.get(at) == Some(&b' ') && self.delimiter != b' ' {
            at += 1;
        }
        (chunk.get(at) == Some(&b'"')).then_some(at)
    }
}

/// The end of the last whole record of a chunk that begins with a record: behind its terminator. `None` if no
/// record ends in it.
#[must_use]
pub fn cut(chunk: &[u8], dialect: &Dialect) -> Option<usize> {
    let mut end = None;
    let mut at = 0;
    loop {
        let quote = memchr(b'"', &chunk[at..]).map(|n| at + n);
        let outside = &chunk[at..quote.unwrap_or(chunk.len())];
        if let Some(n) = memrchr(dialect.terminator, outside) {
            end = Some(at + n + 1);
        }
        let Some(quote) = quote else {
            return end;
        };
        let mut before = quote;
        while dialect.skip_blanks
            && dialect.delimiter != b' '
            && before > 0
            && chunk[before - 1] == b' '
        {
            before -= 1;
        }
        let opens = before == 0
            || chunk[before - 1] == dialect.delimiter
            || chunk[before - 1] == dialect.terminator;
        at = quote + 1;
        if !opens {
            continue;
        }
        loop {
            let Some(n) = memchr(b'"', &chunk[at..]) else {
                return end;
            };
            at += n + 1;
            match chunk.get(at) {
                Some(b'"') => at += 1,
                // The next chunk may begin with the second of two quotes.
                None => return end,
                Some(_) => break,
            }
        }
    }
}

/// The end of a line without its carriage returns: of two, if line feeds were converted twice.
#[inline]
fn without_returns(mut text: &[u8]) -> &[u8] {
    while let [rest @ .., b'\r'] = text {
        text = rest;
    }
    text
}

/// The receiver of fields.
trait Visitor {
    /// A field of a record that begins at a byte.
    fn field(&mut self, index: usize, text: &[u8], at: usize) -> Result<(), FaultKind>;

    /// Ends a record of `n_fields` fields. Returns whether another is wanted.
    fn end(&mut self, n_fields: usize) -> Result<bool, FaultKind>;
}

/// Takes a chunk of whole records apart. The last needs no terminator.
#[inline]
fn visit<V: Visitor>(chunk: &[u8], dialect: &Dialect, visitor: &mut V) -> Result<(), Fault> {
    let Dialect {
        delimiter,
        terminator,
        ..
    } = *dialect;
    let by_runs = dialect.skip_blanks && delimiter == b' ';
    let mut scratch = Vec::new();
    let mut at = 0;
    'records: while at < chunk.len() {
        let start = at;
        let fault = |kind| Fault { at: start, kind };
        // Lines without anything.
        let rest = &chunk[at..];
        if rest[0] == terminator {
            at += 1;
            continue;
        }
        let n_returns = rest.iter().take_while(|byte| **byte == b'\r').count();
        if n_returns > 0 && rest.get(n_returns) == Some(&terminator) {
            at += n_returns + 1;
            continue;
        }
        let mut index = 0;
        loop {
            if by_runs {
                at += chunk[at..].iter().take_while(|byte| **byte == b' ').count();
                let rest = &chunk[at..];
                let is_return = |byte: &&u8| **byte == b'\r' && terminator != b'\r';
                let n_returns = rest.iter().take_while(is_return).count();
                if rest.len() == n_returns || rest[n_returns] == terminator {
                    at += n_returns + 1;
                    if index > 0 && !visitor.end(index).map_err(fault)? {
                        break 'records;
                    }
                    break;
                }
            }
            let quote = match chunk.get(at) {
                Some(b'"' | b' ') => dialect.opening(chunk, at),
                _ => None,
            };
            let mut end;
            let text: &[u8] = if let Some(quote) = quote {
                let begin = quote + 1;
                let mut piece = begin;
                scratch.clear();
                let mut escaped = false;
                end = loop {
                    let Some(n) = memchr(b'"', &chunk[piece..]) else {
                        return Err(fault(FaultKind::Unfinished));
                    };
                    let close = piece + n;
                    if chunk.get(close + 1) != Some(&b'"') {
                        if escaped {
                            scratch.extend_from_slice(&chunk[piece..close]);
                        }
                        break close;
                    }
                    escaped = true;
                    scratch.extend_from_slice(&chunk[piece..=close]);
                    piece = close + 2;
                };
                let close = end;
                end += 1;
                while end < chunk.len() && chunk[end] != delimiter && chunk[end] != terminator {
                    end += 1;
                }
                let mut behind = &chunk[close + 1..end];
                if end == chunk.len() || chunk[end] == terminator {
                    behind = without_returns(behind);
                }
                let is_blank = behind.iter().all(|byte| *byte == b' ');
                if is_blank && !escaped {
                    &chunk[begin..close]
                } else {
                    if !escaped {
                        scratch.extend_from_slice(&chunk[begin..close]);
                    }
                    if !is_blank {
                        scratch.extend_from_slice(behind);
                    }
                    &scratch
                }
            } else {
                end = at;
                while end < chunk.len() && chunk[end] != delimiter && chunk[end] != terminator {
                    end += 1;
                }
                let mut text = &chunk[at..end];
                if end == chunk.len() || chunk[end] == terminator {
                    text = without_returns(text);
                }
                if dialect.skip_blanks {
                    text = text.trim_ascii_start();
                }
                text
            };
            visitor.field(index, text, start).map_err(fault)?;
            index += 1;
            at = end + 1;
            if end < chunk.len() && chunk[end] == delimiter {
                // A delimiter at the very end has an empty field behind it.
                if at == chunk.len() && !by_runs {
                    visitor.field(index, &[], start).map_err(fault)?;
                    index += 1;
                } else {
                    continue;
                }
            }
            if !visitor.end(index).map_err(fault)? {
                break 'records;
            }
            break;
        }
    }
    Ok(())
}

/// The first records of a chunk, with the bytes they begin at. A quote that is not closed ends them.
#[must_use]
pub fn records(chunk: &[u8], dialect: &Dialect, at_most: usize) -> Vec<(usize, Vec<Vec<u8>>)> {
    struct Records(Vec<(usize, Vec<Vec<u8>>)>, Vec<Vec<u8>>, usize, usize);
    impl Visitor for Records {
        fn field(&mut self, _index: usize, text: &[u8], at: usize) -> Result<(), FaultKind> {
            self.1.push(text.to_vec());
            self.2 = at;
            Ok(())
        }

        fn end(&mut self, _n_fields: usize) -> Result<bool, FaultKind> {
            self.0.push((self.2, std::mem::take(&mut self.1)));
            Ok(self.0.len() < self.3)
        }
    }
    let mut records = Records(Vec::new(), Vec::new(), 0, at_most);
    let _ = visit(chunk, dialect, &mut records);
    records.0
}

/// Counts what the fields of whole records can be read as.
///
/// Fields past the columns must be empty. `line` is that of the chunk's beginning. Takes at most `at_most` records,
/// and returns their number.
///
/// # Errors
/// A record with another number of fields.
pub fn tally(
    chunk: &[u8],
    dialect: &Dialect,
    line: u64,
    at_most: usize,
    marks: &Marks,
    columns: &mut [Tally],
) -> Result<usize, Fault> {
    struct Counting<'a> {
        columns: &'a mut [Tally],
        marks: &'a Marks,
        chunk: &'a [u8],
        terminator: u8,
        line: u64,
        counted: usize,
        n: usize,
        at_most: usize,
        more: bool,
    }
    impl Visitor for Counting<'_> {
        fn field(&mut self, index: usize, text: &[u8], at: usize) -> Result<(), FaultKind> {
            if index == 0 {
                self.line += super::count(self.terminator, &self.chunk[self.counted..at]) as u64;
                self.counted = at;
            }
            match self.columns.get_mut(index) {
                Some(column) => column.see(text, self.line, self.marks),
                None => self.more |= !text.trim_ascii().is_empty(),
            }
            Ok(())
        }

        fn end(&mut self, n_fields: usize) -> Result<bool, FaultKind> {
            check_fields(n_fields, self.columns.len(), self.more)?;
            self.n += 1;
            Ok(self.n < self.at_most)
        }
    }
    let mut counting = Counting {
        columns,
        marks,
        chunk,
        terminator: dialect.terminator,
        line,
        counted: 0,
        n: 0,
        at_most,
        more: false,
    };
    if at_most == 0 {
        return Ok(0);
    }
    visit(chunk, dialect, &mut counting)?;
    Ok(counting.n)
}

fn check_fields(n_fields: usize, n_columns: usize, more: bool) -> Result<(), FaultKind> {
    if n_fields < n_columns || more {
        return Err(FaultKind::Fields(n_fields));
    }
    Ok(())
}

/// Reads whole records into columns, and says how many. Fields past the columns must be empty.
///
/// # Errors
/// A record with another number of fields, or a value that is not of its column's kind.
pub fn read(chunk: &[u8], dialect: &Dialect, columns: &mut [Column]) -> Result<usize, Fault> {
    struct Reading<'a> {
        columns: &'a mut [Column],
        n: usize,
        more: bool,
    }
    impl Visitor for Reading<'_> {
        #[inline]
        fn field(&mut self, index: usize, text: &[u8], _at: usize) -> Result<(), FaultKind> {
            match self.columns.get_mut(index) {
                Some(column) => {
                    if !column.push(text) {
                        return Err(FaultKind::Value {
                            column: index,
                            value: text.to_vec(),
                        });
                    }
                }
                None => self.more |= !text.trim_ascii().is_empty(),
            }
            Ok(())
        }

        #[inline]
        fn end(&mut self, n_fields: usize) -> Result<bool, FaultKind> {
            check_fields(n_fields, self.columns.len(), self.more)?;
            self.n += 1;
            Ok(true)
        }
    }
    let mut reading = Reading {
        columns,
        n: 0,
        more: false,
    };
    visit(chunk, dialect, &mut reading)?;
    Ok(reading.n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{Kind, Values};

    const COMMAS: Dialect = Dialect {
        delimiter: b',',
        terminator: b'\n',
        skip_blanks: false,
    };

    fn fields(text: &str, dialect: &Dialect) -> Vec<Vec<String>> {
        let of = |field: Vec<u8>| String::from_utf8(field).unwrap();
        records(text.as_bytes(), dialect, usize::MAX)
            .into_iter()
            .map(|(_, record)| record.into_iter().map(of).collect())
            .collect()
    }

    #[test]
    fn records_are_taken_apart() {
        let check = |text: &str, wanted: &[&[&str]]| {
            assert_eq!(fields(text, &COMMAS), wanted, "{text:?}");
        };
        check("a,b\n1,2\n", &[&["a", "b"], &["1", "2"]]);
        check("a,b\r\n1,2", &[&["a", "b"], &["1", "2"]]);
        check("a,b\r\r\n\r\r\n1,\"2\"\r\r\n", &[&["a", "b"], &["1", "2"]]);
        check("a,\n,b\n,", &[&["a", ""], &["", "b"], &["", ""]]);
        check("\n\r\na\n\n b\n", &[&["a"], &[" b"]]);
        check("\"a,\nb\",\"c \"\"d\"\"\"\n", &[&["a,\nb", "c \"d\""]]);
        check("\"\",x\r\n", &[&["", "x"]]);
        check("a\"b,\"c\"d\n", &[&["a\"b", "cd"]]);
        check("\"a\"  ,\"b\"\r\n", &[&["a", "b"]]);
        check(" \"a,b\"\n", &[&[" \"a", "b\""]]);
        check("a\n\"b\nc\n", &[&["a"]]);
        let dialect = Dialect {
            skip_blanks: true,
            ..COMMAS
        };
        assert_eq!(fields("a, \"b, c\", d\n", &dialect), [["a", "b, c", "d"]]);
        let dialect = Dialect {
            terminator: b'\r',
            ..COMMAS
        };
        assert_eq!(fields("a,b\r1,2\r", &dialect), [["a", "b"], ["1", "2"]]);
        let dialect = Dialect {
            delimiter: b' ',
            skip_blanks: true,
            ..COMMAS
        };
        let text = "a   b\n  1 2  \r\n   \n\"x  \ny\"  3 \n4 5 ";
        let rows = [["a", "b"], ["1", "2"], ["x  \ny", "3"], ["4", "5"]];
        assert_eq!(fields(text, &dialect), rows);
        let end = text.len() - "4 5 ".len();
        assert_eq!(cut(text.as_bytes(), &dialect), Some(end));
        let quoted = text.find("\ny").unwrap() + 1;
        let begin = text.find('"').unwrap();
        assert_eq!(cut(&text.as_bytes()[..quoted], &dialect), Some(begin));
    }

    #[test]
    fn a_chunk_is_cut_where_its_last_record_ends() {
        let check = |text: &str, wanted: Option<usize>| {
            assert_eq!(cut(text.as_bytes(), &COMMAS), wanted, "{text:?}");
        };
        check("a,b\nc", Some(4));
        check("a,b", None);
        check("a,\"b\nc\"\nd", Some(8));
        check("a,\"b\nc", None);
        check("a\n\"b\"", Some(2));
        check("a\n\"b\"\n", Some(6));
        check("a\n\"b\"\"\n", Some(2));
        check("6\" pipe\n5\" pipe\n", Some(16));
        check("\"a\"b\n\"c\nd\",e\nf", Some(13));
    }

    #[test]
    fn cuts_are_ends_of_records_wherever_a_chunk_ends() {
        let text = "a,\"b\n\"\"c\",d\n\"\",\"\n\",x\ny\"z,\"\",1\n";
        let whole = records(text.as_bytes(), &COMMAS, usize::MAX);
        let begins: Vec<usize> = whole
            .iter()
            .map(|(at, _)| *at)
            .chain([text.len()])
            .collect();
        for n in 0..=text.len() {
            match cut(&text.as_bytes()[..n], &COMMAS) {
                Some(end) => assert!(begins.contains(&end), "{n} {end} {begins:?}"),
                None => assert!(n < begins[1], "{n}"),
            }
        }
    }

    #[test]
    fn records_are_read_into_columns() {
        let kinds = [Kind::Integer, Kind::Skip, Kind::Text];
        let mut columns = kinds.map(|kind| Column::new(kind, Marks::default()));
        assert_eq!(read(b"1,x,a\n,y,\n3,z,c,,\n", &COMMAS, &mut columns), Ok(3));
        assert_eq!(columns[0].take().0, Values::Integer(vec![1, 0, 3]));
        assert_eq!(
            columns[2].take().0,
            Values::Text(vec![0, 1, 1, 2], b"ac".to_vec())
        );
        let fault = |text: &[u8], columns: &mut [Column]| read(text, &COMMAS, columns).unwrap_err();
        let value = FaultKind::Value {
            column: 0,
            value: b"x".to_vec(),
        };
        assert_eq!(
            fault(b"1,2,3\nx,2,3\n", &mut columns),
            Fault { at: 6, kind: value }
        );
        assert_eq!(fault(b"1,2\n", &mut columns).kind, FaultKind::Fields(2));
        assert_eq!(fault(b"1,2,3,4\n", &mut columns).kind, FaultKind::Fields(4));
    }

    #[test]
    fn lines_are_counted_from_the_chunk() {
        let marks = Marks::default();
        let mut columns = [Tally::new(&marks), Tally::new(&marks)];
        let text = b"1,\"a\n\"\n2,b\n\nx,c\n";
        assert_eq!(tally(text, &COMMAS, 10, 9, &marks, &mut columns), Ok(3));
        let first = columns[0].first_of(crate::text::Reading::Text).unwrap();
        assert_eq!(first.line, 14);
    }
}
