//! What Parquet files claim of themselves.

use std::sync::Arc;

use datafusion::object_store::ObjectStore;
use parquet::basic::Compression;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};

use super::bytes::Bytes;
use super::{damaged, memory_limit};
use crate::data::location::Found;
use crate::engine::Engine;
use crate::error::{Error, Result};

/// How many bytes of a page's header are read at first, and at most.
const HEADER: u64 = 256;
const LONGEST_HEADER: u64 = 1 << 24;

/// Holds the claims of a footer, and of the pages where they are at hand, against the file's size and the engine's
/// memory.
///
/// # Errors
/// [`ErrorKind::Data`](crate::ErrorKind::Data) with what is wrong.
pub(in crate::data) async fn check(
    engine: &Engine,
    store: &Arc<dyn ObjectStore>,
    file: &Found,
    metadata: &ParquetMetaData,
) -> Result<()> {
    let wrong = |why: String| damaged(&file.shown, why);
    let size = file.meta.size;
    let mut bytes = Bytes::open(store, file).await?;
    let limit = memory_limit(engine);
    let mut n_rows = 0_i64;
    for group in metadata.row_groups() {
        if group.num_rows() < 0 {
            return Err(wrong(format!(
                "a row group claims {} rows",
                group.num_rows()
            )));
        }
        n_rows = n_rows.saturating_add(group.num_rows());
        for column in group.columns() {
            let name = column.column_path().string();
            let (begin, end) = range(column)
                .filter(|(begin, end)| *begin >= 4 && begin <= end && *end <= size)
                .ok_or_else(|| {
                    wrong(format!(
                        "column `{name}` claims the {} bytes from byte {} on, of {size}",
                        column.compressed_size(),
                        column
                            .dictionary_page_offset()
                            .unwrap_or(column.data_page_offset())
                    ))
                })?;
            if column.num_values() < 0 {
                return Err(wrong(format!(
                    "column `{name}` claims {} values",
                    column.num_values()
                )));
            }
            if bytes.is_local() {
                let claims = Pages {
                    shown: &file.shown,
                    name: &name,
                    limit,
                    ratio: ratio(column.compression()),
                    n_values: column.num_values(),
                };
                claims.check(&mut bytes, begin, end).await?;
            }
        }
    }
    let of_file = metadata.file_metadata().num_rows();
    if of_file != n_rows {
        return Err(wrong(format!(
            "it claims {of_file} rows and its row groups {n_rows}"
        )));
    }
    Ok(())
}

/// The bytes of a column chunk.
fn range(column: &ColumnChunkMetaData) -> Option<(u64, u64)> {
    let begin = column
        .dictionary_page_offset()
        .unwrap_or(column.data_page_offset());
    let begin = u64::try_from(begin.min(column.data_page_offset())).ok()?;
    let length = u64::try_from(column.compressed_size()).ok()?;
    Some((begin, begin.checked_add(length)?))
}

/// The most bytes that a codec packs into one.
fn ratio(compression: Compression) -> u64 {
    match compression {
        Compression::UNCOMPRESSED => 1,
        Compression::SNAPPY => 64,
        Compression::LZ4 | Compression::LZ4_RAW => 256,
        Compression::GZIP(_) | Compression::LZO => 1_100,
        _ => 1 << 20,
    }
}

struct Pages<'a> {
    shown: &'a str,
    name: &'a str,
    limit: u64,
    ratio: u64,
    n_values: i64,
}

impl Pages<'_> {
    fn wrong(&self, why: impl AsRef<str>) -> Error {
        damaged(
            self.shown,
            format!("a page of column `{}` {}", self.name, why.as_ref()),
        )
    }

    /// Looks at the headers of the pages between two bytes.
    async fn check(&self, bytes: &mut Bytes<'_>, begin: u64, end: u64) -> Result<()> {
        let mut at = begin;
        let mut n_seen = 0_i64;
        while at < end && n_seen < self.n_values {
            let mut wanted = HEADER;
            let (header, length) = loop {
                let head = bytes
                    .at(at..end.min(at + wanted))
                    .await?
                    .unwrap_or_default();
                match Header::read(&head) {
                    Some(read) => break read,
                    None if at + wanted < end && wanted < LONGEST_HEADER => wanted *= 16,
                    None => return Err(self.wrong("has no header")),
                }
            };
            at += length;
            let (held, packed) = (i64::from(header.uncompressed), i64::from(header.compressed));
            if held < 0 || packed < 0 || at + packed as u64 > end {
                return Err(self.wrong(format!(
                    "claims {packed} bytes that hold {held}, {} are left",
                    end - at
                )));
            }
            // Levels of the second version are not compressed.
            let most = (packed as u64)
                .saturating_add(64)
                .saturating_mul(self.ratio)
                .min(self.limit);
            if held as u64 > most {
                return Err(self.wrong(format!(
                    "of {packed} bytes claims to hold {held}, there may be {most}"
                )));
            }
            let n = i64::from(header.n_values);
            let most = if header.is_dictionary {
                held
            } else {
                self.n_values
            };
            if n < 0 || n > most {
                return Err(self.wrong(format!("claims {n} values, there may be {most}")));
            }
            if !header.is_dictionary {
                n_seen += n;
            }
            at += packed as u64;
        }
        Ok(())
    }
}

/// What of a page's header is compared with something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Header {
    uncompressed: i32,
    compressed: i32,
    n_values: i32,
    is_dictionary: bool,
}

impl Header {
    /// A header in Thrift's compact protocol, and its length. `None` if it is not whole.
    fn read(bytes: &[u8]) -> Option<(Header, u64)> {
        let mut compact = Compact { rest: bytes };
        let mut header = Header::default();
        let mut field = 0;
        while let Some(kind) = compact.field(&mut field)? {
            match (field, kind) {
                (2, I32) => header.uncompressed = compact.i32()?,
                (3, I32) => header.compressed = compact.i32()?,
                (5 | 7 | 8, STRUCT) => {
                    header.is_dictionary |= field == 7;
                    let mut inner = 0;
                    while let Some(kind) = compact.field(&mut inner)? {
                        match (inner, kind) {
                            (1, I32) => header.n_values = compact.i32()?,
                            _ => compact.skip(kind, 0)?,
                        }
                    }
                }
                _ => compact.skip(kind, 0)?,
            }
        }
        Some((header, (bytes.len() - compact.rest.len()) as u64))
    }
}

const I32: u8 = 5;
const STRUCT: u8 = 12;

/// Thrift's compact protocol.
struct Compact<'a> {
    rest: &'a [u8],
}

impl Compact<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn i32(&mut self) -> Option<i32> {
        let value = self.varint()?;
        i32::try_from((value >> 1) as i64 ^ -((value & 1) as i64)).ok()
    }

    /// The kind of the next field, whose number `last` becomes; the inner `None` is the end of the struct.
    fn field(&mut self, last: &mut i32) -> Option<Option<u8>> {
        let byte = self.byte()?;
        if byte == 0 {
            return Some(None);
        }
        match byte >> 4 {
            0 => *last = self.i32()?,
            delta => *last += i32::from(delta),
        }
        Some(Some(byte & 0xf))
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        if depth > 8 {
            return None;
        }
        match kind {
            // The value of a boolean is its kind.
            1 | 2 => {}
            3 => {
                self.byte()?;
            }
            4..=6 => {
                self.varint()?;
            }
            7 => self.rest = self.rest.get(8..)?,
            8 => {
                let n = usize::try_from(self.varint()?).ok()?;
                self.rest = self.rest.get(n..)?;
            }
            9 | 10 => {
                let head = self.byte()?;
                let n = match head >> 4 {
                    15 => self.varint()?,
                    n => u64::from(n),
                };
                for _ in 0..n {
                    match head & 0xf {
                        // A boolean in a list has a byte of its own.
                        1 | 2 => {
                            self.byte()?;
                        }
                        kind => self.skip(kind, depth + 1)?,
                    }
                }
            }
            STRUCT => {
                let mut field = 0;
                while let Some(kind) = self.field(&mut field)? {
                    self.skip(kind, depth + 1)?;
                }
            }
            _ => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read() {
        // type 0, 10 bytes that are 7, a data page of 3 values, plain and RLE.
        let bytes = [
            0x15, 0x00, 0x15, 0x14, 0x15, 0x0e, 0x2c, 0x15, 0x06, 0x15, 0x00, 0x15, 0x06, 0x15,
            0x06, 0x00, 0x00, 0xff,
        ];
        let header = Header {
            uncompressed: 10,
            compressed: 7,
            n_values: 3,
            is_dictionary: false,
        };
        assert_eq!(Header::read(&bytes), Some((header, 17)));
        for n in 0..17 {
            assert_eq!(Header::read(&bytes[..n]), None, "{n}");
        }
    }
}
