//! Files of one format and schema as a table of DataFusion.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use arrow::compute::kernels::cast_utils::Parser;
use arrow::datatypes::{DataType, Date32Type, Field, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{DFSchema, Result as DataFusionResult, ScalarValue, Statistics};
use datafusion::datasource::TableType;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::listing::helpers::{expr_applicable_for_cols, filter_partitioned_file};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::object_store::path::Path as StorePath;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use futures_util::StreamExt;

use super::damage::guard::GuardExec;
use super::damage::memory_limit;
use super::damage::pages::CheckedReaders;
use super::location::Found;
use super::text::{TextScan, TextTable};
use crate::error::{Error, Result};

/// The name of NULL in Hive's folders.
const HIVE_NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// A list of files, fixed when the source was looked at. Columns are those of the files, then those that folders
/// `key=value` make. A filter on the latter leaves out files before they are opened.
#[derive(Debug)]
pub(super) struct FilesTable {
    store: ObjectStoreUrl,
    reader: Reader,
    files: Vec<PartitionedFile>,
    /// The place of each file, and its path as people know it.
    shown: Arc<HashMap<StorePath, (usize, Arc<str>)>>,
    schema: TableSchema,
    /// The name of the input, for error messages.
    what: Arc<str>,
}

/// The reader of the files.
#[derive(Debug)]
pub(super) enum Reader {
    /// A format of DataFusion, and whether its files tell the number of rows without being read.
    Format(Arc<dyn FileFormat>, bool),
    /// Files of text.
    Text(Arc<TextTable>, FileCompressionType),
}

impl FilesTable {
    /// A table of files, each of `file_schema`.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](crate::ErrorKind::Data) if the files are in folders of different keys, or a key is a
    /// column of the files.
    pub(super) fn new(
        store: ObjectStoreUrl,
        reader: Reader,
        file_schema: SchemaRef,
        found: &[Found],
        what: &str,
    ) -> Result<Self> {
        let hive = hive_columns(found)?;
        for field in &hive {
            if file_schema.field_with_name(field.name()).is_ok() {
                return Err(Error::data(format!(
                    "column `{}` is in the files and in the names of their folders",
                    field.name()
                )));
            }
        }
        let mut files = Vec::with_capacity(found.len());
        for file in found {
            let mut partitioned: PartitionedFile = file.meta.clone().into();
            partitioned.partition_values = file
                .hive()
                .into_iter()
                .zip(&hive)
                .map(|((_, text), field)| hive_value(text, field.data_type()))
                .collect::<Result<_>>()?;
            files.push(partitioned);
        }
        let hive: Vec<Arc<Field>> = hive.into_iter().map(Arc::new).collect();
        Ok(FilesTable {
            store,
            reader,
            what: match found {
                [file] => file.shown.as_str().into(),
                _ => what.into(),
            },
            shown: Arc::new(
                (found.iter().enumerate())
                    .map(|(at, file)| {
                        let shown = file.shown.as_str().into();
                        (file.meta.location.clone(), (at, shown))
                    })
                    .collect(),
            ),
            files,
            schema: TableSchema::builder(file_schema)
                .with_table_partition_cols(hive)
                .build(),
        })
    }

    /// The columns that the folders make.
    pub(super) fn hive_names(&self) -> Vec<&str> {
        self.schema
            .table_partition_cols()
            .iter()
            .map(|field| field.name().as_str())
            .collect()
    }

    /// The files that rows which pass the filters may be in.
    fn pruned(&self, filters: &[Expr]) -> DataFusionResult<Vec<PartitionedFile>> {
        let names = self.hive_names();
        let of_hive: Vec<Expr> = filters
            .iter()
            .filter(|filter| expr_applicable_for_cols(&names, filter))
            .cloned()
            .collect();
        if names.is_empty() || of_hive.is_empty() {
            return Ok(self.files.clone());
        }
        let schema = DFSchema::from_unqualified_fields(
            self.schema.table_partition_cols().clone(),
            Default::default(),
        )?;
        self.files
            .iter()
            .filter_map(|file| filter_partitioned_file(file.clone(), &of_hive, &schema).transpose())
            .collect()
    }

    async fn plan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let mut files = self.pruned(filters)?;
        if files.is_empty() {
            let schema = match projection {
                Some(columns) => Arc::new(self.schema().project(columns)?),
                None => self.schema(),
            };
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        let (format, has_statistics) = match &self.reader {
            Reader::Format(format, has_statistics) => (format, *has_statistics),
            Reader::Text(table, compression) => {
                let files = files.into_iter().filter_map(|file| {
                    let (at, shown) = self.shown.get(&file.object_meta.location)?;
                    Some((*at, Arc::clone(shown), file))
                });
                let scan = TextScan {
                    table: Arc::clone(table),
                    compression: *compression,
                    files: files.collect(),
                };
                let store = state.runtime_env().object_store(&self.store)?;
                let n_parts = state.config().target_partitions();
                return scan.plan(store, n_parts, projection, self.schema()).await;
            }
        };
        let mut whole = Statistics::new_unknown(&self.schema());
        let bytes = files
            .iter()
            .map(|file| file.object_meta.size as usize)
            .sum();
        whole.total_byte_size = Precision::Inexact(bytes);
        let has_null =
            |file: &PartitionedFile| file.partition_values.iter().any(ScalarValue::is_null);
        // Statistics of a folder's column would say that no value is NULL.
        if has_statistics && !files.iter().any(has_null) {
            let store = state.runtime_env().object_store(&self.store)?;
            let file_schema = self.schema.file_schema();
            let pending: Vec<_> = files
                .iter()
                .map(|file| {
                    let schema = Arc::clone(file_schema);
                    format.infer_stats(state, &store, schema, &file.object_meta)
                })
                .collect();
            let known = futures_util::stream::iter(pending)
                .buffered(16)
                .collect::<Vec<DataFusionResult<Statistics>>>()
                .await;
            let known = known.into_iter().collect::<DataFusionResult<Vec<_>>>()?;
            files = files
                .into_iter()
                .zip(known)
                .map(|(file, statistics)| file.with_statistics(Arc::new(statistics)))
                .collect();
            let known = files.iter().filter_map(|file| file.statistics.as_deref());
            whole = Statistics::try_merge_iter(known, &self.schema())?;
        }
        let groups = FileGroup::new(files).split_files(state.config().target_partitions());
        let source = format.file_source(self.schema.clone());
        let scan = FileScanConfigBuilder::new(self.store.clone(), source)
            .with_file_groups(groups)
            .with_statistics(whole)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        let scan = format.create_physical_plan(state, scan).await?;
        let scan = self.checked(scan, memory_limit(state.runtime_env()));
        Ok(Arc::new(GuardExec::new(scan, Arc::clone(&self.what))))
    }
}

impl FilesTable {
    /// The scan with readers of Parquet that check the pages they read.
    fn checked(&self, scan: Arc<dyn ExecutionPlan>, limit: u64) -> Arc<dyn ExecutionPlan> {
        let files = scan.downcast_ref::<DataSourceExec>();
        let parquet = files.and_then(|files| files.downcast_to_file_source::<ParquetSource>());
        let Some((config, source)) = parquet else {
            return scan;
        };
        let Some(readers) = source.parquet_file_reader_factory() else {
            return scan;
        };
        let readers = CheckedReaders::over(Arc::clone(readers), Arc::clone(&self.shown), limit);
        let source = source
            .clone()
            .with_parquet_file_reader_factory(Arc::new(readers));
        let config = FileScanConfigBuilder::from(config.clone()).with_source(Arc::new(source));
        DataSourceExec::from_data_source(config.build())
    }
}

impl TableProvider for FilesTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.schema.table_schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    // The expansion of an `async fn` by the macro of the crate `async_trait`.
    fn scan<'me, 'state, 'columns, 'filters, 'scan>(
        &'me self,
        state: &'state dyn Session,
        projection: Option<&'columns Vec<usize>>,
        filters: &'filters [Expr],
        limit: Option<usize>,
    ) -> Pin<Box<dyn Future<Output = DataFusionResult<Arc<dyn ExecutionPlan>>> + Send + 'scan>>
    where
        'me: 'scan,
        'state: 'scan,
        'columns: 'scan,
        'filters: 'scan,
        Self: 'scan,
    {
        Box::pin(self.plan(state, projection, filters, limit))
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> DataFusionResult<Vec<TableProviderFilterPushDown>> {
        // The files that are left out do not determine the rows.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }
}

/// The columns that the folders make: whole numbers, dates or text, whatever all values are.
fn hive_columns(found: &[Found]) -> Result<Vec<Field>> {
    let Some(first) = found.first() else {
        return Ok(Vec::new());
    };
    let keys: Vec<&str> = first.hive().into_iter().map(|(key, _)| key).collect();
    for (at, key) in keys.iter().enumerate() {
        if keys[..at].contains(key) {
            return Err(Error::data(format!(
                "`{}` is in two folders of the key `{key}`",
                first.shown
            )));
        }
    }
    let mut types = vec![None; keys.len()];
    for file in found {
        let hive = file.hive();
        if hive.iter().map(|(key, _)| *key).ne(keys.iter().copied()) {
            let of = |keys: Vec<&str>| match keys.as_slice() {
                [] => "no folder of a key".to_owned(),
                keys => format!("folders of the keys {keys:?}"),
            };
            return Err(Error::data(format!(
                "`{}` is in {} and `{}` in {}",
                first.shown,
                of(keys),
                file.shown,
                of(hive.into_iter().map(|(key, _)| key).collect())
            )));
        }
        for (seen, (_, text)) in types.iter_mut().zip(hive) {
            if text == HIVE_NULL {
                continue;
            }
            let own = if text.parse::<i64>().is_ok() {
                DataType::Int64
            } else if text.len() == 10 && Date32Type::parse(text).is_some() {
                DataType::Date32
            } else {
                DataType::Utf8
            };
            *seen = match seen.take() {
                Some(other) if other != own => Some(DataType::Utf8),
                _ => Some(own),
            };
        }
    }
    Ok(keys
        .into_iter()
        .zip(types)
        .map(|(key, data_type)| Field::new(key, data_type.unwrap_or(DataType::Utf8), true))
        .collect())
}

fn hive_value(text: &str, data_type: &DataType) -> Result<ScalarValue> {
    if text == HIVE_NULL {
        return Ok(ScalarValue::try_from(data_type)?);
    }
    Ok(ScalarValue::try_from_string(
        percent_decoded(text),
        data_type,
    )?)
}

/// Hive writes what a folder's name must not hold as `%` and two hexadecimal digits.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        let code = behind
            .get(..2)
            .filter(|_| *first == b'%')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match code {
            Some(code) => {
                bytes.push(code);
                rest = &behind[2..];
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}
