//! Validation of Arrow IPC files before decoding.

use std::sync::Arc;

use arrow::ipc::{
    CompressionType, Message, MessageHeader, RecordBatch, root_as_footer, root_as_message,
};
use datafusion::object_store::ObjectStore;

use super::bytes::Bytes;
use super::{damaged, memory_limit, types};
use crate::data::location::Found;
use crate::engine::Engine;
use crate::error::{Error, Result};

/// The marker before a message, except in files from before 2019.
const MARKER: [u8; 4] = [0xff; 4];

/// The longest schema or message without its body.
const LONGEST_MESSAGE: u64 = 1 << 28;

/// Checks a file's claims against its size and the engine's memory. A file of another format is left to the reader.
///
/// # Errors
/// [`ErrorKind::Data`](crate::ErrorKind::Data) with what is wrong.
pub(in crate::data) async fn check(
    engine: &Engine,
    store: &Arc<dyn ObjectStore>,
    file: &Found,
) -> Result<()> {
    let mut claims = Claims {
        bytes: Bytes::open(store, file).await?,
        shown: &file.shown,
        limit: memory_limit(&engine.session().runtime_env()),
    };
    let size = claims.bytes.size();
    let start = claims.bytes.at(0..size.min(8)).await?.unwrap_or_default();
    if start.starts_with(b"ARROW1") {
        claims.file().await
    } else {
        claims.stream().await
    }
}

struct Claims<'a> {
    bytes: Bytes<'a>,
    shown: &'a str,
    limit: u64,
}

fn number(bytes: &[u8]) -> i64 {
    i64::from(i32::from_le_bytes(
        bytes.first_chunk().copied().unwrap_or_default(),
    ))
}

impl Claims<'_> {
    fn wrong(&self, why: impl AsRef<str>) -> Error {
        damaged(self.shown, why)
    }

    async fn file(&mut self) -> Result<()> {
        let size = self.bytes.size();
        let end = size.saturating_sub(10);
        let tail = self.bytes.at(end..size).await?.unwrap_or_default();
        let length = number(&tail);
        if !tail.ends_with(b"ARROW1") || length <= 0 || length as u64 + 8 > end {
            return Err(self.wrong("its footer is not whole"));
        }
        if length as u64 > LONGEST_MESSAGE {
            return Err(self.wrong(format!("its footer claims {length} bytes")));
        }
        let footer = self
            .bytes
            .at(end - length as u64..end)
            .await?
            .unwrap_or_default();
        let footer = root_as_footer(&footer).map_err(|error| {
            self.wrong("its footer is not whole")
                .with_source(error.to_string())
        })?;
        match footer.schema().map(types::unsound) {
            None => return Err(self.wrong("its footer has no schema")),
            Some(Some(why)) => return Err(self.wrong(why)),
            Some(None) => {}
        }
        let blocks = footer.dictionaries().into_iter().flatten();
        for block in blocks.chain(footer.recordBatches().into_iter().flatten()) {
            let (at, meta, body) = (
                block.offset(),
                i64::from(block.metaDataLength()),
                block.bodyLength(),
            );
            let ends = at.checked_add(meta).and_then(|end| end.checked_add(body));
            let is_within =
                at >= 0 && meta > 0 && body >= 0 && ends.is_some_and(|end| end <= size as i64);
            if !is_within {
                return Err(self.wrong(format!(
                    "a batch claims the {meta} and {body} bytes from byte {at} on, of {size}"
                )));
            }
            if meta as u64 > LONGEST_MESSAGE {
                return Err(self.wrong(format!("a message claims {meta} bytes")));
            }
            let (at, meta, body) = (at as u64, meta as u64, body as u64);
            let message = self.bytes.at(at..at + meta).await?.unwrap_or_default();
            // The length before the message may be less than the footer's: there is room behind it.
            let message = match message.strip_prefix(&MARKER) {
                Some(rest) => rest.get(4..),
                None => message.get(4..),
            };
            self.message(message.unwrap_or_default(), at + meta, body)
                .await?;
        }
        Ok(())
    }

    /// Messages, each behind its length, up to the end or a length of 0.
    async fn stream(&mut self) -> Result<()> {
        let size = self.bytes.size();
        let mut at = 0;
        while at + 4 <= size {
            let head = self
                .bytes
                .at(at..size.min(at + 8))
                .await?
                .unwrap_or_default();
            let (length, begin) = match head.strip_prefix(&MARKER) {
                Some(rest) => (number(rest), at + 8),
                None => (number(&head), at + 4),
            };
            if length == 0 {
                return Ok(());
            }
            if at == 0 && (length < 0 || begin + length as u64 > size) {
                // No Arrow at all, which the reader says.
                return Ok(());
            }
            if length < 0 || begin + length as u64 > size || length as u64 > LONGEST_MESSAGE {
                return Err(self.wrong(format!(
                    "a message claims {length} bytes from byte {begin} on, of {size}"
                )));
            }
            let end = begin + length as u64;
            let message = self.bytes.at(begin..end).await?.unwrap_or_default();
            let body = root_as_message(&message)
                .map(|message| message.bodyLength())
                .unwrap_or(-1);
            if body < 0 || end.checked_add(body as u64).is_none_or(|end| end > size) {
                return Err(self.wrong(format!(
                    "a message claims a body of {body} bytes from byte {end} on, of {size}"
                )));
            }
            self.message(&message, end, body as u64).await?;
            at = end + body as u64;
        }
        Ok(())
    }

    /// A message whose body of `body` bytes begins at a byte.
    async fn message(&mut self, message: &[u8], begin: u64, body: u64) -> Result<()> {
        let message: Message<'_> = root_as_message(message).map_err(|error| {
            self.wrong("a message is not whole")
                .with_source(error.to_string())
        })?;
        if let Some(why) = message.header_as_schema().and_then(types::unsound) {
            return Err(self.wrong(why));
        }
        let batch = match message.header_type() {
            MessageHeader::RecordBatch => message.header_as_record_batch(),
            MessageHeader::DictionaryBatch => message
                .header_as_dictionary_batch()
                .and_then(|batch| batch.data()),
            _ => None,
        };
        match batch {
            Some(batch) => self.batch(batch, begin, body).await,
            None => Ok(()),
        }
    }

    async fn batch(&mut self, batch: RecordBatch<'_>, begin: u64, body: u64) -> Result<()> {
        let codec = batch.compression().map(|compression| compression.codec());
        let mut total = 0_u64;
        for buffer in batch.buffers().into_iter().flatten() {
            let (offset, length) = (buffer.offset(), buffer.length());
            let end = offset.checked_add(length);
            if offset < 0 || length < 0 || end.is_none_or(|end| end > body as i64) {
                return Err(self.wrong(format!(
                    "a buffer claims the {length} bytes from byte {offset} on, of {body}"
                )));
            }
            let (at, length) = (begin + offset as u64, length as u64);
            let held = match codec {
                Some(codec) if length > 0 => self.uncompressed(codec, at, length).await?,
                _ => length,
            };
            total = total.saturating_add(held);
        }
        if total > self.limit {
            return Err(self.wrong(format!(
                "a batch claims {total} bytes, there may be {}",
                self.limit
            )));
        }
        // A value takes a bit at least, unless all are NULL by their type.
        let most = total.saturating_mul(8).max(1 << 24) as i64;
        let nodes = batch.nodes();
        let nodes = nodes
            .iter()
            .flatten()
            .map(|node| (node.length(), node.null_count()));
        for (length, nulls) in nodes.chain([(batch.length(), 0)]) {
            if length < 0 || length > most || nulls < 0 || nulls > length {
                return Err(self.wrong(format!(
                    "a column claims {length} values, {nulls} of them NULL"
                )));
            }
        }
        Ok(())
    }

    /// The uncompressed length that a buffer claims.
    async fn uncompressed(&mut self, codec: CompressionType, at: u64, length: u64) -> Result<u64> {
        if length < 8 {
            return Err(self.wrong(format!("a compressed buffer has {length} bytes")));
        }
        let claim = self.bytes.at(at..at + 8).await?.unwrap_or_default();
        let claim = i64::from_le_bytes(claim.first_chunk().copied().unwrap_or_default());
        if claim == -1 {
            return Ok(length - 8);
        }
        // The most that either packs into a byte.
        let ratio = match codec {
            CompressionType::LZ4_FRAME => 256,
            _ => 65_536,
        };
        let most = (length - 8).saturating_mul(ratio).min(self.limit);
        if claim < 0 || claim as u64 > most {
            return Err(self.wrong(format!(
                "{} compressed bytes claim to hold {claim}, there may be {most}",
                length - 8
            )));
        }
        Ok(claim as u64)
    }
}
