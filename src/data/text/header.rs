//! The delimiter, the names and the first row of a CSV file.

use fourfold_kernels::text::csv::{Dialect, cut, records};
use fourfold_kernels::text::number;

use super::explain::failed;
use super::foreign;
use crate::error::{Error, Result};

/// The number of records that are examined.
const LOOKED_AT: usize = 200;

/// The maximum number of lines before the header.
const MOST_BEFORE: usize = 50;

const CANDIDATES: [u8; 4] = *b",;\t|";

/// The header of a CSV file, and the format that its first lines suggest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) dialect: Dialect,
    /// The names as they are in the file, without blanks around them: some may be empty.
    pub(super) names: Vec<String>,
    /// The start of the rows, in bytes and in lines.
    pub(super) offset: usize,
    pub(super) line: u64,
    /// The number of lines before the header.
    pub(super) before: u64,
    /// Whether the first column's values count rows, in the rows that were read.
    pub(super) first_counts: bool,
    /// Whether the names look like values.
    pub(super) is_values: bool,
    /// Whether the rows have one field more than there are names.
    pub(super) is_short: bool,
    /// The number of columns by which a file of one column is a table, and the delimiter.
    pub(super) by_other: Option<(usize, Unsniffed)>,
}

type Record = Vec<Vec<u8>>;

impl Header {
    /// Finds the header in the first bytes of a file; without one, the columns are named by their places.
    ///
    /// # Errors
    /// If they are not UTF-8, or have no record.
    pub(super) fn of(
        file: &str,
        head: &[u8],
        delimiter: Option<u8>,
        has_header: bool,
    ) -> Result<Self> {
        foreign::check_csv(file, head)?;
        let text = foreign::without_mark(head);
        let begin = head.len() - text.len();
        let terminator = terminator(text);
        let (said, skip) = said_delimiter(text, terminator);
        let dialect = |delimiter| Dialect {
            delimiter,
            terminator,
            skip_blanks: false,
        };
        let text = &text[skip..];
        let delimiter = delimiter
            .or(said)
            .unwrap_or_else(|| sniff(text, terminator));
        let mut dialect = dialect(delimiter);
        let mut found = look(text, &dialect);
        let has_blanks = match delimiter {
            b' ' => by_runs(text, terminator).is_some_and(|n| is_even(&found) != Some(n)),
            _ => values(&found).all(blanks_behind_delimiters) && found.len() > 1,
        };
        if has_blanks {
            dialect.skip_blanks = true;
            found = look(text, &dialect);
        }
        let before = before_header(&found);
        let rows = found.get(before + 1..).unwrap_or_default();
        let Some((at, header)) = found.get(before) else {
            return Err(failed(file, "there is no header"));
        };
        let next = found.get(before + 1).map_or(text.len(), |(at, _)| *at);
        let end = match rows {
            // Behind the header's own end there may be empty lines, which are no records.
            [] => cut(&text[*at..], &dialect).map_or(text.len(), |n| at + n),
            _ => next,
        };
        let mut names = Vec::with_capacity(header.len());
        for name in header {
            let name = std::str::from_utf8(name).map_err(|error| {
                Error::data(format!("the first line of `{file}` is not UTF-8")).with_source(error)
            })?;
            names.push(name.trim().to_owned());
        }
        let has_return = |name: &String| name.replace("\r\n", "").contains('\r');
        if names.iter().any(has_return) {
            return Err(failed(
                file,
                "its lines end in different ways: there is a carriage return within the header",
            ));
        }
        // Some write the names of rows without a name for them; others end every row with a delimiter.
        let mut is_short = false;
        let longer = |(_, row): &(usize, Record)| row.len() == names.len() + 1;
        if !rows.is_empty() && rows.iter().all(longer) {
            let is_empty =
                |(_, row): &(usize, Record)| row.last().is_some_and(|last| last.is_empty());
            if !rows.iter().all(is_empty) {
                names.insert(0, String::new());
                is_short = true;
            }
        }
        let is_number = |name: &String| number::number(name.as_bytes(), number::PLAIN).is_some();
        let mut is_values = !names.is_empty()
            && names.iter().all(|name| !name.is_empty())
            && (names.iter().all(is_number) || are_values(&names, rows));
        let mut end = end;
        if !has_header {
            let fields = mode(&found[before..]).0;
            names = (1..=fields).map(|n| format!("column_{n}")).collect();
            (is_short, is_values, end) = (false, false, *at);
        }
        let lines = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == terminator).count() as u64;
        let skipped = u64::from(skip > 0);
        Ok(Header {
            dialect,
            is_values,
            offset: begin + skip + end,
            line: 1 + skipped + lines(&text[..end]),
            before: lines(&text[..*at]),
            first_counts: counts_rows(rows),
            is_short,
            by_other: if names.len() == 1 {
                by_other(text, terminator)
            } else {
                None
            },
            names,
        })
    }
}

/// A carriage return where the first lines have no line feed outside of quotes, else a line feed.
fn terminator(text: &[u8]) -> u8 {
    let (mut is_quoted, mut has_return) = (false, false);
    for byte in text {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'\n' if !is_quoted => return b'\n',
            b'\r' if !is_quoted => has_return = true,
            _ => {}
        }
    }
    if has_return { b'\r' } else { b'\n' }
}

/// Excel's `sep=;` in the first line, and how many bytes that takes.
fn said_delimiter(text: &[u8], terminator: u8) -> (Option<u8>, usize) {
    let line = text
        .split(|byte| *byte == terminator)
        .next()
        .unwrap_or_default();
    match line.strip_suffix(b"\r").unwrap_or(line) {
        [s, e, p, b'=', delimiter] if [*s, *e, *p].eq_ignore_ascii_case(b"sep") => {
            (Some(*delimiter), (line.len() + 1).min(text.len()))
        }
        _ => (None, 0),
    }
}

/// The whole records at the beginning.
fn look(text: &[u8], dialect: &Dialect) -> Vec<(usize, Record)> {
    let mut found = records(text, dialect, LOOKED_AT + MOST_BEFORE);
    // The last may be cut off, if it is not all there is.
    if found.len() > 1 && found.len() < LOOKED_AT + MOST_BEFORE {
        let whole = cut(text, dialect).unwrap_or(0);
        found.retain(|(at, _)| *at < whole);
    }
    found
}

fn values(found: &[(usize, Record)]) -> impl Iterator<Item = &Record> {
    found.iter().skip(1).map(|(_, record)| record)
}

fn blanks_behind_delimiters(record: &Record) -> bool {
    record.len() > 1
        && record[1..]
            .iter()
            .all(|field| field.is_empty() || field.starts_with(b" "))
}

/// The number of fields that most records have, and how many have it.
fn mode(found: &[(usize, Record)]) -> (usize, usize) {
    let mut counts: Vec<(usize, usize)> = Vec::new();
    for (_, record) in found {
        match counts.iter_mut().find(|(n, _)| *n == record.len()) {
            Some((_, count)) => *count += 1,
            None => counts.push((record.len(), 1)),
        }
    }
    counts
        .into_iter()
        .max_by_key(|(n, count)| (*count, *n))
        .unwrap_or((1, 0))
}

/// The delimiter by which nearly all records have as many fields as each other, more than one; of several such, and of
/// none, one by which the first line is the header, for decimal commas cut all other lines too; then the one that the
/// header has most of. A comma if the header has none.
fn sniff(text: &[u8], terminator: u8) -> u8 {
    let mut best = ((false, false, 0), b',');
    for delimiter in CANDIDATES {
        let dialect = Dialect {
            delimiter,
            terminator,
            skip_blanks: false,
        };
        let found = look(text, &dialect);
        let (fields, count) = mode(&found);
        let is_table = fields > 1 && count * 10 >= found.len() * 9;
        let before = before_header(&found);
        let header = found.get(before).map_or(1, |(_, record)| record.len());
        let rank = (is_table, before == 0, header);
        if header > 1 && rank > best.0 {
            best = (rank, delimiter);
        }
    }
    best.1
}

/// The number of records before the header: titles, comments, lines that are not of the table.
fn before_header(found: &[(usize, Record)]) -> usize {
    let (fields, _) = mode(found);
    if fields < 2 {
        let is_comment = |(_, record): &&(usize, Record)| record[0].starts_with(b"#");
        let comments = found.iter().take_while(is_comment).count();
        return if comments > 1 { comments } else { 0 };
    }
    let filled = |record: &Record| {
        record
            .iter()
            .filter(|field| !field.trim_ascii().is_empty())
            .count()
    };
    let is_before = |at: usize| {
        let record = &found[at].1;
        let Some((_, next)) = found.get(at + 1) else {
            return false;
        };
        let is_title = fields > 2
            && filled(record) == 1
            && filled(next) == fields
            && !next
                .iter()
                .any(|field| number::number(field, number::PLAIN).is_some());
        let is_comment =
            record[0].starts_with(b"#") && (record.len() != fields || next[0].starts_with(b"#"));
        record.len() == 1 || is_comment || is_title
    };
    let before = (0..found.len().min(MOST_BEFORE))
        .take_while(|at| is_before(*at))
        .count();
    if before >= found.len() { 0 } else { before }
}

/// Returns true if the names may be another row: numbers in numeric columns, and in the others values of the column.
fn are_values(names: &[String], rows: &[(usize, Record)]) -> bool {
    let is_number = |field: &[u8]| number::number(field, number::PLAIN).is_some();
    let is_numeric = |at: usize| {
        let fields = rows.iter().filter_map(|(_, row)| row.get(at));
        fields.clone().any(|field| is_number(field))
            && fields
                .clone()
                .all(|field| field.is_empty() || is_number(field))
    };
    let has = |at: usize, name: &str| {
        let mut fields = rows.iter().filter_map(|(_, row)| row.get(at));
        fields.any(|field| field.trim_ascii() == name.as_bytes())
    };
    let numeric: Vec<bool> = (0..names.len()).map(is_numeric).collect();
    numeric.contains(&true)
        && names
            .iter()
            .enumerate()
            .all(|(at, name)| match numeric[at] {
                true => is_number(name.as_bytes()),
                false => has(at, name),
            })
}

/// A delimiter that is not taken without being told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsniffed {
    Space,
    Colon,
}

/// The number of fields, if all of the first lines have as many of them, and more than one.
fn is_even(found: &[(usize, Record)]) -> Option<usize> {
    let (fields, count) = mode(found);
    (fields > 1 && found.len() > 2 && count == found.len()).then_some(fields)
}

/// The number of fields between runs of spaces, if it is the same in all of the first lines.
fn by_runs(text: &[u8], terminator: u8) -> Option<usize> {
    let dialect = Dialect {
        delimiter: b' ',
        terminator,
        skip_blanks: true,
    };
    is_even(&look(text, &dialect))
}

fn by_other(text: &[u8], terminator: u8) -> Option<(usize, Unsniffed)> {
    let by = |delimiter| {
        let dialect = Dialect {
            delimiter,
            terminator,
            skip_blanks: false,
        };
        is_even(&look(text, &dialect))
    };
    let by_spaces = by_runs(text, terminator).or_else(|| by(b' '));
    let by_spaces = by_spaces.map(|n| (n, Unsniffed::Space));
    by_spaces.or_else(|| by(b':').map(|n| (n, Unsniffed::Colon)))
}

/// Returns true if the first fields count up by one.
fn counts_rows(rows: &[(usize, Record)]) -> bool {
    let numbers: Option<Vec<i64>> = rows
        .iter()
        .map(|(_, row)| number::integer(row.first()?.trim_ascii()))
        .collect();
    match numbers.as_deref() {
        Some([first, rest @ ..]) if (0..=1).contains(first) => {
            rest.iter().zip(1..).all(|(number, n)| *number == first + n)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Header {
        Header::of("f.csv", text.as_bytes(), None, true).unwrap()
    }

    #[track_caller]
    fn check(text: &str, delimiter: char, names: &[&str], rest: &str) {
        let header = of(text);
        assert_eq!(char::from(header.dialect.delimiter), delimiter, "{text:?}");
        assert_eq!(header.names, names, "{text:?}");
        assert_eq!(&text[header.offset..], rest, "{text:?}");
        let lines = text[..header.offset].matches(['\n']).count() as u64;
        if header.dialect.terminator == b'\n' && header.offset < text.len() {
            assert_eq!(header.line, 1 + lines, "{text:?}");
        }
    }

    #[test]
    fn delimiters_and_names_are_found() {
        check("a,b\n1,2\n", ',', &["a", "b"], "1,2\n");
        check("a;b\n1,5;2,5\n", ';', &["a", "b"], "1,5;2,5\n");
        check("a\tb\r\n1\t2\r\n", '\t', &["a", "b"], "1\t2\r\n");
        check("a|b,c|d\n1|2,3|4\n", '|', &["a", "b,c", "d"], "1|2,3|4\n");
        check("a\n1\n", ',', &["a"], "1\n");
        let rows = "1,5\t2\n".repeat(20);
        check(&format!("a\tb\n{rows}"), '\t', &["a", "b"], &rows);
        let rows = "1 000,5;2\n".repeat(20);
        check(&format!("a;b\n{rows}"), ';', &["a", "b"], &rows);
        check("a,b", ',', &["a", "b"], "");
        check("a,b\n", ',', &["a", "b"], "");
        check("\u{feff}a,b\n1,2\n", ',', &["a", "b"], "1,2\n");
        check(
            "x,\"a\n\"\"b\"\"\"\n1,2\n",
            ',',
            &["x", "a\n\"b\""],
            "1,2\n",
        );
        check("k,c\r0,b\r", ',', &["k", "c"], "0,b\r");
        check("sep=;\na;b\n1;2\n", ';', &["a", "b"], "1;2\n");
        check(
            "a;b;\"c,d,e,f\"\n1;2;3\n",
            ';',
            &["a", "b", "c,d,e,f"],
            "1;2;3\n",
        );
    }

    #[test]
    fn headers_that_look_like_rows_are_seen() {
        assert!(of("1,2\n3,4\n").is_values);
        assert!(of("5.1,setosa\n4.9,virginica\n4.7,setosa\n").is_values);
        for text in [
            "country,2010,2011\nItaly,1,2\nFrance,3,4\n",
            "5.1,name\n4.9,virginica\n4.7,setosa\n",
            "a,b\n1,2\n",
            "a,b\n",
        ] {
            assert!(!of(text).is_values, "{text}");
        }
        assert!(of("a,b\n1,2,3\n4,5,6\n").is_short);
        assert!(!of("a,b\n1,2,\n4,5,\n").is_short);
        let space = Some((2, Unsniffed::Space));
        assert_eq!(of("a b\n1 2\n3 4\n").by_other, space);
        assert_eq!(of("a   b\n1 2\n 31    4\n").by_other, space);
        assert_eq!(of("a   b\n1   2\n3   4\n").by_other, space);
        let colon = Some((2, Unsniffed::Colon));
        assert_eq!(of("a:b\n1:2\n3:4\n").by_other, colon);
        assert_eq!(of("full name\nAda\nGrace B Hopper\n").by_other, None);
        assert_eq!(of("time\n10:30\n10:31\n").by_other, None);
        let spaces = |text: &str| Header::of("f.csv", text.as_bytes(), Some(b' '), true).unwrap();
        assert!(!spaces("a b\n1 \n 4\n").dialect.skip_blanks);
        let runs = spaces("a   b\n1 2\n 31    4\n");
        assert!(runs.dialect.skip_blanks);
        assert_eq!((runs.names.len(), runs.offset), (2, 6));
    }

    #[test]
    fn lines_before_the_header_are_passed_over() {
        check("\n\na,b\n1,2\n", ',', &["a", "b"], "1,2\n");
        check(
            "Report of 2023\n\na,b\n1,2\n3,4\n",
            ',',
            &["a", "b"],
            "1,2\n3,4\n",
        );
        check(
            "# x, y and z\n# more\na,b\n1,2\n",
            ',',
            &["a", "b"],
            "1,2\n",
        );
        check("Title,,\na,b,c\n1,2,3\n", ',', &["a", "b", "c"], "1,2,3\n");
        check("#a,b\n1,2\n", ',', &["#a", "b"], "1,2\n");
        assert_eq!(of("Report\na,b\n1,2\n").before, 1);
    }

    #[test]
    fn blanks_behind_delimiters_are_no_part_of_values() {
        assert!(of("a, b\n1, 2\n3, 4\n").dialect.skip_blanks);
        assert!(of("a,b\n1, 2\n3, \n").dialect.skip_blanks);
        assert!(!of("a,b\n1, 2\n3,4\n").dialect.skip_blanks);
        check("a, b\n1, \"x, y\"\n", ',', &["a", "b"], "1, \"x, y\"\n");
    }

    #[test]
    fn rows_may_be_longer_than_the_header() {
        check("a,b\n1,2,\n3,4,\n", ',', &["a", "b"], "1,2,\n3,4,\n");
        check(
            "a,b\n1,2,3\n2,4,5\n",
            ',',
            &["", "a", "b"],
            "1,2,3\n2,4,5\n",
        );
        assert!(of("a,b\n1,2,3\n2,4,5\n").first_counts);
        assert!(!of(",a\n1,2\n3,4\n").first_counts);
        assert!(of("1,2\n3,4\n").is_values);
    }

    #[test]
    fn a_line_feed_in_quotes_ends_no_line() {
        let header = of("a,b\r1,\"x\ny\"\r2,z\r");
        assert_eq!((header.dialect.terminator, header.offset), (b'\r', 4));
        assert_eq!(of("a,b\r\n1,2\r\n").dialect.terminator, b'\n');
        assert_eq!(of("a,\"b\nc\"\n1,2\n").dialect.terminator, b'\n');
    }

    #[test]
    fn files_without_a_header_begin_with_a_row() {
        let of = |text: &str| Header::of("f.csv", text.as_bytes(), None, false).unwrap();
        let header = of("5.1;setosa\n4.9;virginica\n");
        assert_eq!(header.names, ["column_1", "column_2"]);
        assert_eq!(
            (header.offset, header.line, header.is_values),
            (0, 1, false)
        );
        let header = of("# measured\n# in 2013\n1,2,3\n4,5,6\n");
        assert_eq!((header.names.len(), header.offset, header.line), (3, 21, 3));
        assert_eq!(of("1,2").names.len(), 2);
    }
}
