//! Validation of the pages of Parquet files as they are read: on this machine and in object stores alike, without
//! a byte being read twice.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::common::Result as DataFusionResult;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::object_store::path::Path as StorePath;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::basic::Compression;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::ParquetMetaData;

use super::damaged;
use crate::error::{Error, Result};

/// Readers of Parquet files that check the pages they hand on.
pub(in crate::data) struct CheckedReaders {
    inner: Arc<dyn ParquetFileReaderFactory>,
    /// The files, with their paths as people know them.
    shown: Arc<HashMap<StorePath, (usize, Arc<str>)>>,
    /// The maximum size of one allocation in bytes.
    limit: u64,
}

impl CheckedReaders {
    pub(in crate::data) fn over(
        inner: Arc<dyn ParquetFileReaderFactory>,
        shown: Arc<HashMap<StorePath, (usize, Arc<str>)>>,
        limit: u64,
    ) -> Self {
        CheckedReaders {
            inner,
            shown,
            limit,
        }
    }
}

impl fmt::Debug for CheckedReaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CheckedReaders({:?})", self.inner)
    }
}

impl ParquetFileReaderFactory for CheckedReaders {
    fn create_reader(
        &self,
        partition_index: usize,
        file: PartitionedFile,
        metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> DataFusionResult<Box<dyn AsyncFileReader + Send>> {
        let location = &file.object_meta.location;
        let shown = match self.shown.get(location) {
            Some((_, shown)) => Arc::clone(shown),
            None => location.as_ref().into(),
        };
        let n_bytes = file.object_meta.size;
        let inner =
            (self.inner).create_reader(partition_index, file, metadata_size_hint, metrics)?;
        Ok(Box::new(CheckedReader {
            inner,
            shown,
            n_bytes,
            limit: self.limit,
            chunks: Vec::new(),
        }))
    }
}

struct CheckedReader {
    inner: Box<dyn AsyncFileReader + Send>,
    /// The name of the file for messages.
    shown: Arc<str>,
    n_bytes: u64,
    limit: u64,
    /// The chunks by their first bytes, as soon as the footer was read.
    chunks: Vec<Chunk>,
}

/// A column chunk of a row group.
struct Chunk {
    bytes: Range<u64>,
    name: String,
    ratio: u64,
    n_values: i64,
}

impl CheckedReader {
    /// Checks bytes of a file. Those that are of no column chunk, such as an index, are not decoded as pages.
    fn check(&self, range: &Range<u64>, bytes: &[u8]) -> ParquetResult<()> {
        let behind = self
            .chunks
            .partition_point(|chunk| chunk.bytes.start <= range.start);
        let chunk = behind.checked_sub(1).map(|at| &self.chunks[at]);
        let Some(chunk) = chunk.filter(|chunk| range.end <= chunk.bytes.end) else {
            return Ok(());
        };
        let pages = Pages {
            shown: &self.shown,
            chunk,
            limit: self.limit,
        };
        let checked = pages.check(bytes);
        checked.map_err(|error| ParquetError::External(Box::new(error)))
    }
}

impl CheckedReader {
    /// Checks that a range that the file's indexes tell of is one of the file: memory is taken for it before it is read.
    fn within(&self, range: &Range<u64>) -> ParquetResult<()> {
        if range.start <= range.end && range.end <= self.n_bytes {
            return Ok(());
        }
        let (start, end) = (range.start, range.end);
        let what = format!(
            "it tells of bytes {start} to {end}, and has {}",
            self.n_bytes
        );
        Err(ParquetError::External(Box::new(damaged(&self.shown, what))))
    }
}

impl AsyncFileReader for CheckedReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        async move {
            self.within(&range)?;
            let bytes = self.inner.get_bytes(range.clone()).await?;
            self.check(&range, &bytes)?;
            Ok(bytes)
        }
        .boxed()
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, ParquetResult<Vec<Bytes>>> {
        async move {
            ranges.iter().try_for_each(|range| self.within(range))?;
            let parts = self.inner.get_byte_ranges(ranges.clone()).await?;
            for (range, bytes) in ranges.iter().zip(&parts) {
                self.check(range, bytes)?;
            }
            Ok(parts)
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        async move {
            let metadata = self.inner.get_metadata(options).await?;
            if self.chunks.is_empty() {
                self.chunks = chunks(&metadata);
            }
            Ok(metadata)
        }
        .boxed()
    }
}

/// The column chunks of a footer whose claims were [checked](super::parquet::check).
fn chunks(metadata: &ParquetMetaData) -> Vec<Chunk> {
    let columns = metadata
        .row_groups()
        .iter()
        .flat_map(|group| group.columns());
    let mut chunks: Vec<Chunk> = columns
        .map(|column| {
            let (start, length) = column.byte_range();
            Chunk {
                bytes: start..start.saturating_add(length),
                name: column.column_path().string(),
                ratio: ratio(column.compression()),
                n_values: column.num_values(),
            }
        })
        .collect();
    chunks.sort_by_key(|chunk| (chunk.bytes.start, chunk.bytes.end));
    chunks
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
    chunk: &'a Chunk,
    limit: u64,
}

impl Pages<'_> {
    fn wrong(&self, why: impl AsRef<str>) -> Error {
        let column = &self.chunk.name;
        damaged(
            self.shown,
            format!("a page of column `{column}` {}", why.as_ref()),
        )
    }

    /// Looks at the headers of pages: all of a column chunk, or some that lie behind each other.
    fn check(&self, bytes: &[u8]) -> Result<()> {
        let mut rest = bytes;
        let mut n_seen = 0_i64;
        while !rest.is_empty() && n_seen < self.chunk.n_values {
            let (header, length) = Header::read(rest).ok_or_else(|| self.wrong("has no header"))?;
            rest = rest.get(length..).unwrap_or_default();
            let (held, packed) = (i64::from(header.uncompressed), i64::from(header.compressed));
            let behind = usize::try_from(packed).ok().and_then(|n| rest.get(n..));
            let Some(behind) = behind.filter(|_| held >= 0) else {
                return Err(self.wrong(format!(
                    "claims {packed} bytes that hold {held}, {} are left",
                    rest.len()
                )));
            };
            // Levels of the second version are not compressed.
            let most = (packed as u64)
                .saturating_add(64)
                .saturating_mul(self.chunk.ratio)
                .min(self.limit);
            if held as u64 > most {
                return Err(self.wrong(format!(
                    "of {packed} bytes claims to hold {held}, there may be {most}"
                )));
            }
            let n = i64::from(header.n_values);
            let most = match header.is_dictionary {
                true => held,
                false => self.chunk.n_values,
            };
            if n < 0 || n > most {
                return Err(self.wrong(format!("claims {n} values, there may be {most}")));
            }
            if !header.is_dictionary {
                n_seen += n;
            }
            rest = behind;
        }
        Ok(())
    }
}

/// The fields of a page's header that are validated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Header {
    uncompressed: i32,
    compressed: i32,
    n_values: i32,
    is_dictionary: bool,
}

impl Header {
    /// A header in Thrift's compact protocol, and its length. `None` if it is not whole.
    fn read(bytes: &[u8]) -> Option<(Header, usize)> {
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
        Some((header, bytes.len() - compact.rest.len()))
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
