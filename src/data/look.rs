//! What can be known of files before their rows are read.

use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::ipc::{root_as_footer, root_as_message};
use datafusion::datasource::file_format::FileFormat as Reader;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::error::DataFusionError;
use datafusion::object_store::{ObjectStore, ObjectStoreExt};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};

use super::csv::{Columns, Inference, fields_of, sniff_delimiter};
use super::files_table::merged;
use super::location::Found;
use super::source::check_names;
use crate::engine::Engine;
use crate::error::{Error, Result};

/// How many files are looked at at once.
const AT_ONCE: usize = 16;

/// The longest first line.
const LONGEST_LINE: usize = 1 << 20;

/// Files that are to be read alike.
pub(super) struct Look<'a> {
    pub(super) engine: &'a Engine,
    pub(super) store: &'a Arc<dyn ObjectStore>,
    pub(super) files: &'a [Found],
    pub(super) compression: FileCompressionType,
}

impl Look<'_> {
    /// A file's content from its beginning, decompressed.
    async fn content<'a>(&'a self, file: &'a Found) -> Result<BoxStream<'a, Result<Vec<u8>>>> {
        let got = self.store.get(&file.meta.location).await;
        let got = got.map_err(DataFusionError::from)?;
        let bytes = got.into_stream().map_err(DataFusionError::from).boxed();
        let bytes = self.compression.convert_stream(bytes)?;
        Ok(bytes
            .map(|bytes| Ok(bytes.map_err(Error::from)?.to_vec()))
            .boxed())
    }

    /// A file's first line, without its end.
    async fn first_line(&self, file: &Found) -> Result<String> {
        let mut content = self.content(file).await?;
        let mut line = Vec::new();
        while let Some(bytes) = content.try_next().await? {
            let end = bytes.iter().position(|byte| *byte == b'\n');
            line.extend_from_slice(&bytes[..end.unwrap_or(bytes.len())]);
            if end.is_some() || line.len() > LONGEST_LINE {
                break;
            }
        }
        let line = String::from_utf8(line).map_err(|error| {
            Error::data(format!("the first line of `{}` is not UTF-8", file.shown))
                .with_source(error)
        })?;
        let line = line.strip_prefix('\u{feff}').unwrap_or(&line);
        Ok(line.trim_end_matches('\r').to_owned())
    }

    /// Whether the first file's first byte, behind white space, is this one.
    pub(super) async fn starts_with(&self, wanted: u8) -> Result<bool> {
        let Some(first) = self.files.first() else {
            return Ok(false);
        };
        let mut content = self.content(first).await?;
        while let Some(bytes) = content.try_next().await? {
            if let Some(byte) = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
                return Ok(*byte == wanted);
            }
        }
        Ok(false)
    }

    /// The delimiter and the columns of CSV files, which must have the same first line.
    pub(super) async fn csv(
        &self,
        delimiter: Option<u8>,
        infer_rows: usize,
    ) -> Result<(u8, Columns)> {
        let pending: Vec<_> = self.files.iter().map(|file| self.header(file)).collect();
        let mut headers = futures_util::stream::iter(pending).buffered(AT_ONCE);
        let mut header: Option<(&Found, String)> = None;
        while let Some((file, line)) = headers.try_next().await? {
            match &header {
                None => header = Some((file, line)),
                Some((_, first)) if *first == line => {}
                Some((first, _)) => {
                    return Err(Error::data(format!(
                        "`{}` has another first line than `{}`",
                        file.shown, first.shown
                    )));
                }
            }
        }
        let header = header.map(|(_, line)| line).unwrap_or_default();
        let delimiter = delimiter.unwrap_or_else(|| sniff_delimiter(&header));
        let names: Vec<_> = fields_of(&header, delimiter).collect();
        check_names(names.iter().map(AsRef::as_ref))?;
        let mut inference = Inference::new(names, delimiter, infer_rows);
        for file in self.files {
            if inference.is_done() {
                break;
            }
            let mut decoder = inference.file();
            let mut content = self.content(file).await?;
            let mut wants_more = true;
            while wants_more {
                match content.try_next().await? {
                    Some(bytes) if bytes.is_empty() => {}
                    Some(bytes) => wants_more = inference.look(&mut decoder, &bytes)?,
                    None => {
                        inference.look(&mut decoder, &[])?;
                        break;
                    }
                }
            }
        }
        Ok((delimiter, inference.finish(infer_rows)))
    }

    /// The schema that files tell themselves.
    pub(super) async fn schema(&self, reader: &impl Reader) -> Result<SchemaRef> {
        let state = self.engine.session().state();
        let pending: Vec<_> = self
            .files
            .iter()
            .map(|file| reader.infer_schema(&state, self.store, std::slice::from_ref(&file.meta)))
            .collect();
        let schemas: Vec<SchemaRef> = futures_util::stream::iter(pending)
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        let names = self.files.iter().map(|file| file.shown.as_str());
        merged(names.zip(schemas))
    }

    /// Refuses Parquet files that have a column twice: their schemas above have each name once.
    pub(super) async fn parquet_names(&self) -> Result<()> {
        let cache = self
            .engine
            .session()
            .runtime_env()
            .cache_manager
            .get_file_metadata_cache();
        let pending: Vec<_> = self
            .files
            .iter()
            .map(async |file| {
                let metadata = DFParquetMetadata::new(self.store.as_ref(), &file.meta)
                    .with_file_metadata_cache(Some(Arc::clone(&cache)));
                let metadata = metadata.fetch_metadata().await?;
                let fields = metadata
                    .file_metadata()
                    .schema_descr()
                    .root_schema()
                    .get_fields();
                once_each(&file.shown, fields.iter().map(|field| field.name()))
            })
            .collect();
        futures_util::stream::iter(pending)
            .buffered(AT_ONCE)
            .try_collect()
            .await
    }

    /// Refuses Arrow files that have a column twice: their schemas above have each name once.
    pub(super) async fn arrow_names(&self) -> Result<()> {
        let pending: Vec<_> = self
            .files
            .iter()
            .map(async |file| {
                let names = self.names_of_arrow(file).await?;
                once_each(&file.shown, names.iter().map(String::as_str))
            })
            .collect();
        futures_util::stream::iter(pending)
            .buffered(AT_ONCE)
            .try_collect()
            .await
    }

    /// A file ends with its schema, the length of that, and a magic that it also starts with; a stream starts with a
    /// marker, a length, and a message of so many bytes, the schema. None are found in what is neither, which the
    /// reader will not take.
    async fn names_of_arrow(&self, file: &Found) -> Result<Vec<String>> {
        let size = file.meta.size;
        let range = async |range: Range<u64>| {
            if range.start >= range.end || range.end > size {
                return Ok(Vec::new());
            }
            let got = self.store.get_range(&file.meta.location, range).await;
            let got = got.map_err(DataFusionError::from)?;
            Ok::<_, Error>(got.to_vec())
        };
        let number = |bytes: &[u8]| {
            let bytes = bytes.first_chunk().copied().unwrap_or_default();
            u64::from(u32::from_le_bytes(bytes))
        };
        let start = range(0..size.min(8)).await?;
        let is_file = start.starts_with(b"ARROW1");
        let schema = if is_file {
            let end = size.saturating_sub(10);
            let length = number(&range(end..size).await?);
            range(end.saturating_sub(length)..end).await?
        } else {
            let (begin, length) = match start.strip_prefix(&[0xff; 4]) {
                Some(rest) => (8, number(rest)),
                None => (4, number(&start)),
            };
            range(begin..begin + length).await?
        };
        let fields = if is_file {
            let footer = root_as_footer(&schema).ok();
            footer.and_then(|footer| footer.schema())
        } else {
            let message = root_as_message(&schema).ok();
            message.and_then(|message| message.header_as_schema())
        };
        let fields = fields.and_then(|schema| schema.fields());
        let names = fields.iter().flatten().filter_map(|field| field.name());
        Ok(names.map(str::to_owned).collect())
    }

    async fn header<'a>(&self, file: &'a Found) -> Result<(&'a Found, String)> {
        Ok((file, self.first_line(file).await?))
    }
}

fn once_each<'a>(file: &str, names: impl IntoIterator<Item = &'a str>) -> Result<()> {
    check_names(names)
        .map_err(|error| Error::data(format!("`{file}` cannot be read: {}", error.message())))
}
