//! Discovery of files: their list, schema and claims, before their rows are read.

use std::future::Future;
use std::ops::Range;
use std::sync::Arc;

use ::parquet::file::metadata::PageIndexPolicy;
use arrow::datatypes::{FieldRef, SchemaRef};
use arrow::ipc::convert::fb_to_schema;
use arrow::ipc::{root_as_footer, root_as_message};
use datafusion::datasource::file_format::FileFormat as Reader;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::error::DataFusionError;
use datafusion::object_store::{ObjectStore, ObjectStoreExt};
use futures_util::{StreamExt, TryStreamExt};

use super::damage::{ipc, parquet};
use super::location::Found;
use super::merging::merged;
use super::source::check_names;
use crate::engine::Engine;
use crate::error::{Error, Result};

/// The number of files that are examined concurrently.
const AT_ONCE: usize = 16;

/// Inspects files that are read alike.
pub(super) struct FileInspector<'a> {
    pub(super) engine: &'a Engine,
    pub(super) store: &'a Arc<dyn ObjectStore>,
    pub(super) files: &'a [Found],
}

impl FileInspector<'_> {
    /// The schema that files tell themselves.
    pub(super) async fn schema(&self, reader: &dyn Reader) -> Result<SchemaRef> {
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

    /// Refuses Parquet files with a duplicate column: their schemas above have each name once. Tells the columns that
    /// pandas made of an index.
    pub(super) async fn parquet_names(&self) -> Result<Vec<String>> {
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
                // The page indexes are not read: their positions are a claim too.
                let metadata = DFParquetMetadata::new(self.store.as_ref(), &file.meta)
                    .with_file_metadata_cache(Some(Arc::clone(&cache)))
                    .with_page_index_policy(Some(PageIndexPolicy::Skip));
                let metadata = metadata.fetch_metadata().await?;
                parquet::check(file, &metadata)?;
                let of_file = metadata.file_metadata();
                let fields = of_file.schema_descr().root_schema().get_fields();
                once_each(&file.shown, fields.iter().map(|field| field.name()))?;
                let pairs = of_file.key_value_metadata().into_iter().flatten();
                let mut pandas = pairs.filter(|pair| pair.key == PANDAS);
                Ok(index_columns(pandas.find_map(|pair| pair.value.as_deref())))
            })
            .collect();
        self.all_of(pending).await
    }

    /// The names that files tell, once each.
    async fn all_of(
        &self,
        pending: Vec<impl Future<Output = Result<Vec<String>>>>,
    ) -> Result<Vec<String>> {
        let names: Vec<Vec<String>> = futures_util::stream::iter(pending)
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        let mut names = names.concat();
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// Refuses Arrow files that claim what cannot be.
    pub(super) async fn arrow_claims(&self) -> Result<()> {
        let pending: Vec<_> = self
            .files
            .iter()
            .map(|file| ipc::check(self.engine, self.store, file))
            .collect();
        futures_util::stream::iter(pending)
            .buffered(AT_ONCE)
            .try_collect()
            .await
    }

    /// The schema that Arrow files tell, and the columns that pandas made of an index. Refuses those that have a column
    /// twice.
    pub(super) async fn arrow(&self) -> Result<(SchemaRef, Vec<String>)> {
        let pending: Vec<_> = self
            .files
            .iter()
            .map(|file| self.schema_of_arrow(file))
            .collect();
        let schemas: Vec<SchemaRef> = futures_util::stream::iter(pending)
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        let mut index = Vec::new();
        for (file, schema) in self.files.iter().zip(&schemas) {
            let names = schema.fields().iter().map(|field| field.name().as_str());
            once_each(&file.shown, names)?;
            index.extend(index_columns(
                schema.metadata().get(PANDAS).map(String::as_str),
            ));
        }
        index.sort_unstable();
        index.dedup();
        self.alike(&schemas)?;
        let names = self.files.iter().map(|file| file.shown.as_str());
        Ok((merged(names.zip(schemas))?, index))
    }

    /// Refuses Arrow files of different columns: DataFusion reads these by their places.
    fn alike(&self, schemas: &[SchemaRef]) -> Result<()> {
        let Some((first, schema)) = self.files.first().zip(schemas.first()) else {
            return Ok(());
        };
        for (file, other) in self.files.iter().zip(schemas) {
            let columns = |schema: &SchemaRef| {
                let fields = schema.fields().iter();
                let fields =
                    fields.map(|field| format!("`{}` {}", field.name(), field.data_type()));
                fields.collect::<Vec<_>>()
            };
            let is_alike = |(one, other): (&FieldRef, &FieldRef)| {
                one.name() == other.name() && one.data_type() == other.data_type()
            };
            let (fields, others) = (schema.fields(), other.fields());
            if fields.len() == others.len() && fields.iter().zip(others).all(is_alike) {
                continue;
            }
            let (own, others) = (columns(schema), columns(other));
            let at = own.iter().zip(&others).take_while(|(a, b)| a == b).count();
            let shown = |columns: &[String]| match columns.get(at) {
                Some(column) => column.clone(),
                None => "missing".to_owned(),
            };
            return Err(Error::data(format!(
                "column {} is {} in `{}` and {} in `{}`; Arrow files must have the same columns in the same order",
                at + 1,
                shown(&own),
                first.shown,
                shown(&others),
                file.shown
            )));
        }
        Ok(())
    }

    /// A file ends with its schema, the length of that, and a magic that it also starts with; a stream starts with a
    /// marker, a length, and a message of so many bytes, the schema. Where these are does not depend on how either is
    /// padded, which DataFusion's look at files of an object store takes for granted.
    async fn schema_of_arrow(&self, file: &Found) -> Result<SchemaRef> {
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
        if start.starts_with(b"FEA1") {
            return Err(Error::data(format!(
                "`{}` cannot be read: it is a Feather file of version 1, must be of version 2",
                file.shown
            )));
        }
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
        let schema = fields.ok_or_else(|| {
            let shown = &file.shown;
            Error::data(format!(
                "`{shown}` cannot be read: not a readable Arrow IPC file"
            ))
        })?;
        Ok(Arc::new(fb_to_schema(schema)))
    }
}

/// The key of the metadata that pandas writes about a table.
const PANDAS: &str = "pandas";

/// The columns that are no more than a table's index, as pandas tells: those of a range are not in the file.
fn index_columns(pandas: Option<&str>) -> Vec<String> {
    let told: Option<serde_json::Value> = pandas.and_then(|text| serde_json::from_str(text).ok());
    let columns = told
        .as_ref()
        .and_then(|told| told.get("index_columns")?.as_array());
    let names = columns
        .into_iter()
        .flatten()
        .filter_map(serde_json::Value::as_str);
    names.map(str::to_owned).collect()
}

fn once_each<'a>(
    file: &str,
    names: impl IntoIterator<Item = &'a str, IntoIter: Clone>,
) -> Result<()> {
    check_names(names)
        .map_err(|error| Error::data(format!("`{file}` cannot be read: {}", error.message())))
}
