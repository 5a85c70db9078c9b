//! Files that are no text of the format they are read as: other encodings, compressed files, other formats.

use super::explain::failed;
use crate::error::{Error, Result};

/// The number of bytes by which UTF-16 without a byte order mark is recognised.
const SAMPLE: usize = 64;

const UTF_16: &str = "it is UTF-16, must be UTF-8; `iconv -f UTF-16 -t UTF-8` converts it";

/// The first bytes of other formats.
const SIGNATURES: [(&[u8], &str); 14] = [
    (b"\xfe\xff", UTF_16),
    (b"\xff\xfe", UTF_16),
    (b"PAR1", "it is a Parquet file"),
    (b"ARROW1", "it is an Arrow file"),
    (b"FEA1", "it is a Feather file of version 1"),
    (b"Obj\x01", "it is an Avro file"),
    (b"SQLite format 3", "it is a database of SQLite"),
    (b"%PDF", "it is a PDF file"),
    (
        b"\xd0\xcf\x11\xe0",
        "it is an Excel workbook; save it as CSV",
    ),
    (
        b"PK\x03\x04",
        "it is a ZIP archive or an Excel workbook; unpack it, or save it as CSV",
    ),
    (
        b"\x1f\x8b",
        "it is compressed with gzip, which a name that ends in `.gz` must tell",
    ),
    (
        b"BZh",
        "it is compressed with bzip2, which a name that ends in `.bz2` must tell",
    ),
    (
        b"\xfd7zXZ",
        "it is compressed with xz, which a name that ends in `.xz` must tell",
    ),
    (
        b"\x28\xb5\x2f\xfd",
        "it is compressed with Zstandard, which a name that ends in `.zst` must tell",
    ),
];

/// The bytes of a file behind the byte order mark of UTF-8, if it begins with one.
pub(super) fn without_mark(head: &[u8]) -> &[u8] {
    head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head)
}

/// Refuses the first bytes of a file that is none of text in UTF-8.
pub(super) fn check(file: &str, head: &[u8]) -> Result<()> {
    let signature = SIGNATURES.iter().find(|(first, _)| head.starts_with(first));
    let reason = match signature {
        // A column may be named so.
        Some((b"BZh", _)) if std::str::from_utf8(&head[..head.len().min(SAMPLE)]).is_ok() => None,
        Some((_, reason)) => Some(*reason),
        None => is_utf_16(head).then_some(UTF_16),
    };
    reason.map_or(Ok(()), |reason| Err(failed(file, reason)))
}

/// Refuses the first bytes of a file that is read as CSV and is JSON or HTML.
pub(super) fn check_csv(file: &str, head: &[u8]) -> Result<()> {
    check(file, head)?;
    let text = without_mark(head).trim_ascii_start();
    let is_json = match text {
        [b'{', rest @ ..] => rest.trim_ascii_start().starts_with(b"\""),
        [b'[', rest @ ..] => rest.trim_ascii_start().starts_with(b"{"),
        _ => false,
    };
    let begins = |word: &[u8]| {
        text.get(..word.len())
            .is_some_and(|first| first.eq_ignore_ascii_case(word))
    };
    let what = if is_json {
        "JSON, which a name that ends in `.json` or `.jsonl` must tell"
    } else if begins(b"<!doctype html") || begins(b"<html") {
        "HTML"
    } else if begins(b"<?xml") {
        "XML"
    } else {
        return Ok(());
    };
    Err::<(), Error>(failed(file, format!("it is read as CSV and is {what}")))
}

/// Returns true if every other byte is zero, as in UTF-16 of ASCII characters.
fn is_utf_16(head: &[u8]) -> bool {
    let pairs = || head[..head.len().min(SAMPLE)].chunks_exact(2);
    let is_ascii = |of: fn(&[u8]) -> (u8, u8)| {
        pairs().all(|pair| {
            let (zero, other) = of(pair);
            zero == 0 && other != 0
        })
    };
    pairs().len() > 1
        && (is_ascii(|pair| (pair[1], pair[0])) || is_ascii(|pair| (pair[0], pair[1])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn error(head: &[u8]) -> String {
        check_csv("f", head).unwrap_err().to_string()
    }

    #[test]
    fn files_of_other_formats_are_named() {
        let utf_16 = "`f` cannot be read: it is UTF-16, must be UTF-8; `iconv -f UTF-16 -t UTF-8` converts it";
        assert_eq!(error(b"\xff\xfea\0,\0"), utf_16);
        assert_eq!(error(b"a\0,\0b\0\n\0"), utf_16);
        assert_eq!(error(b"\0a\0,\0b\0\n"), utf_16);
        assert_eq!(error(b"PAR1.."), "`f` cannot be read: it is a Parquet file");
        assert_eq!(
            error(b"\x1f\x8b\x08"),
            "`f` cannot be read: it is compressed with gzip, which a name that ends in `.gz` must tell"
        );
        assert_eq!(
            error(b"[\n  {\"a\": 1}\n]"),
            "`f` cannot be read: it is read as CSV and is JSON, which a name that ends in `.json` or `.jsonl` must tell"
        );
        assert_eq!(
            error(b"<!DOCTYPE html>\n"),
            "`f` cannot be read: it is read as CSV and is HTML"
        );
    }

    #[test]
    fn text_is_text() {
        for head in [
            &b""[..],
            b"a",
            b"a,b\n",
            b"{a},b\n",
            b"[a],b\n",
            b"a\0b,c\n",
            b"BZh,b\n",
            b"<a>,b\n",
        ] {
            assert!(check_csv("f", head).is_ok(), "{head:?}");
        }
    }
}
