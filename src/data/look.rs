//! What can be known of files before their rows are read.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::datasource::file_format::FileFormat as Reader;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
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

    async fn header<'a>(&self, file: &'a Found) -> Result<(&'a Found, String)> {
        Ok((file, self.first_line(file).await?))
    }
}
