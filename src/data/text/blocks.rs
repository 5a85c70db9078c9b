//! A file's bytes from its beginning, decompressed, in blocks.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;

use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::error::DataFusionError;
use datafusion::object_store::{GetOptions, GetRange, GetResultPayload, ObjectMeta, ObjectStore};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};

use crate::error::{Error, Result};

/// The number of bytes of one read.
pub(super) const BLOCK: usize = 1 << 20;

/// The bytes of a file, block by block.
pub(super) struct Blocks {
    from: From,
}

enum From {
    /// A file of this machine, and how many bytes of it are left.
    File(File, u64),
    Stream(BoxStream<'static, Result<Vec<u8>>>),
}

impl Blocks {
    /// The bytes of a file, or those of a range of one that is not compressed.
    pub(super) async fn open(
        store: &Arc<dyn ObjectStore>,
        meta: &ObjectMeta,
        compression: FileCompressionType,
        range: Option<Range<u64>>,
    ) -> Result<Self> {
        let options = GetOptions {
            range: range.map(GetRange::Bounded),
            ..GetOptions::default()
        };
        let got = store.get_opts(&meta.location, options).await;
        let got = got.map_err(DataFusionError::from)?;
        if !compression.is_compressed() && matches!(got.payload, GetResultPayload::File(..)) {
            let Range { start, end } = got.range;
            if let GetResultPayload::File(mut file, path) = got.payload {
                file.seek(SeekFrom::Start(start))
                    .map_err(|error| Error::io(format!("reading `{}`", path.display()), error))?;
                return Ok(Blocks {
                    from: From::File(file, end - start),
                });
            }
            return Err(Error::internal("a file that is none"));
        }
        let bytes = got.into_stream().map_err(DataFusionError::from).boxed();
        let bytes = compression.convert_stream(bytes)?;
        let bytes = bytes.map(|bytes| Ok(bytes.map_err(Error::from)?.to_vec()));
        Ok(Blocks {
            from: From::Stream(bytes.boxed()),
        })
    }

    /// Returns true if any part of the file can be read at once.
    pub(super) fn is_local(&self) -> bool {
        matches!(self.from, From::File(..))
    }

    /// Appends the next bytes; says whether there were any.
    pub(super) async fn next(&mut self, buffer: &mut Vec<u8>) -> Result<bool> {
        match &mut self.from {
            From::File(file, left) => {
                let n = (*left).min(BLOCK as u64);
                let read = file.take(n).read_to_end(buffer);
                let read = read.map_err(|error| Error::io("reading", error))? as u64;
                *left = if read == 0 { 0 } else { *left - read };
                Ok(read > 0)
            }
            From::Stream(bytes) => loop {
                match bytes.try_next().await? {
                    None => return Ok(false),
                    Some(bytes) if bytes.is_empty() => {}
                    Some(bytes) => {
                        buffer.extend_from_slice(&bytes);
                        return Ok(true);
                    }
                }
            },
        }
    }

    /// Appends bytes until there are `n`, or no more; returns whether there may be more.
    pub(super) async fn fill(&mut self, buffer: &mut Vec<u8>, n: usize) -> Result<bool> {
        while buffer.len() < n {
            if !self.next(buffer).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
