//! The sources of raw rows.

use std::collections::HashSet;
use std::future::Future;

use arrow::array::RecordBatch;
use arrow::datatypes::{FieldRef, Schema as ArrowSchema};
use datafusion::prelude::DataFrame;
use serde::{Serialize, Serializer};
use serde_arrow::schema::{SchemaLike, TracingOptions};

use super::{DataPipeline, Label};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::examples::columns_text;
use crate::fingerprint::Fingerprint;
use crate::runs::InputFile;
use crate::stage::Stage;

/// A source of raw rows: the stage of the data pipeline that a user implements.
///
/// A source describes the rows as a DataFusion [`DataFrame`], a plan that is run later, in parts, on every core.
/// Anything that DataFusion can read is a few lines; see [the module](crate::data).
///
/// Its methods, and the plans that it gives, run on the async threads of the runtime that runs the pipeline: what waits for
/// a disk or a network in a blocking way belongs into `tokio::task::spawn_blocking`, or into a
/// [`ReaderSource`](super::ReaderSource), whose readers may wait.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a data source",
    label = "this is not a `DataSource`",
    note = "implement `fourfold::data::DataSource` for it, or use `FileSource`, `BatchSource`, `ReaderSource` or `TableSource`"
)]
pub trait DataSource: Stage {
    /// The rows, as a plan.
    ///
    /// # Errors
    /// Whatever keeps the source from being read, naming the file, the table or the column.
    fn read(&self, engine: &Engine) -> impl Future<Output = Result<DataFrame>> + Send;

    /// A fingerprint of the source's current content, so that unchanged data is not extracted again; `None`, the default,
    /// if that cannot be told.
    ///
    /// # Errors
    /// If the source cannot be looked at.
    fn snapshot(
        &self,
        _engine: &Engine,
    ) -> impl Future<Output = Result<Option<Fingerprint>>> + Send {
        async { Ok(None) }
    }

    /// The files that the rows are in now, for a pipeline with a root: their digests say whether anything has changed, and
    /// lead from a file to the models that were made of it. `None`, the default, if the source is no files;
    /// [`snapshot`](DataSource::snapshot) is asked then.
    ///
    /// # Errors
    /// If the source cannot be looked at.
    fn files(
        &self,
        _engine: &Engine,
    ) -> impl Future<Output = Result<Option<Vec<InputFile>>>> + Send {
        async { Ok(None) }
    }

    /// Adds to an error what this source knows of it, such as the file or the table. Called with what goes wrong
    /// while the plan of [`DataSource::read`] runs, and with the plan's columns.
    fn explain(&self, error: Error, _columns: &ArrowSchema) -> Error {
        error
    }
}

/// The most columns of a table, and the longest name of one in bytes.
const MOST_COLUMNS: usize = 65_536;
const LONGEST_NAME: usize = 16_384;

/// Refuses too many columns.
pub(super) fn check_number(n: usize) -> Result<()> {
    match n > MOST_COLUMNS {
        true => Err(Error::data(format!(
            "there are {n} columns, must be at most {MOST_COLUMNS}"
        ))),
        false => Ok(()),
    }
}

/// Refuses duplicate names, names that are too long, and too many of them.
pub(super) fn check_names<'a>(
    names: impl IntoIterator<Item = &'a str, IntoIter: Clone>,
) -> Result<()> {
    let names = names.into_iter();
    check_number(names.clone().count())?;
    if let Some((at, name)) = names
        .clone()
        .enumerate()
        .find(|(_, name)| name.len() > LONGEST_NAME)
    {
        return Err(Error::data(format!(
            "the name of column {} has {} bytes, must have at most {LONGEST_NAME}",
            at + 1,
            name.len()
        )));
    }
    let mut seen = HashSet::new();
    let mut names = names;
    match names.find(|name| !seen.insert(*name)) {
        Some(name) => Err(Error::data(format!(
            "column name `{name}` is a duplicate; names must be unique"
        ))),
        None => Ok(()),
    }
}

/// Methods of every source.
pub trait DataSourceExt: DataSource + Sized {
    /// A data pipeline over this source that learns to predict a column.
    #[must_use]
    fn label(self, label: impl Into<Label>) -> DataPipeline<Self> {
        DataPipeline::new(self).label(label)
    }
}

impl<S: DataSource> DataSourceExt for S {}

/// Rows in memory.
///
/// ```
/// # use std::sync::Arc;
/// # use arrow::array::{ArrayRef, Int64Array, RecordBatch};
/// use fourfold::data::BatchSource;
///
/// let x: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
/// let source = BatchSource::new("numbers", vec![RecordBatch::try_from_iter([("x", x)])?]);
/// # let _ = source;
/// # Ok::<(), fourfold::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct BatchSource {
    name: String,
    batches: Vec<RecordBatch>,
}

impl BatchSource {
    /// The rows of batches of one schema.
    #[must_use]
    pub fn new(name: impl Into<String>, batches: Vec<RecordBatch>) -> Self {
        BatchSource {
            name: name.into(),
            batches,
        }
    }

    /// The rows that a slice of structs makes: a column for each field, by serde (`serde_arrow`). An `Option` is a column
    /// with NULLs, a `Vec` a list; times must be numbers, or text in a column of text.
    ///
    /// ```
    /// use fourfold::data::BatchSource;
    /// use serde::Serialize;
    ///
    /// #[derive(Serialize)]
    /// struct Parcel {
    ///     kilograms: Option<f64>,
    ///     road: String,
    /// }
    ///
    /// let parcels = [
    ///     Parcel { kilograms: Some(1.5), road: "air".to_owned() },
    ///     Parcel { kilograms: None, road: "sea".to_owned() },
    /// ];
    /// let source = BatchSource::from_rows("parcels", &parcels)?;
    /// # let _ = source;
    /// # Ok::<(), fourfold::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Data`](crate::ErrorKind::Data) if there are no rows, or they are not structs of the same fields.
    pub fn from_rows<T: Serialize>(name: impl Into<String>, rows: &[T]) -> Result<Self> {
        let name = name.into();
        if rows.is_empty() {
            return Err(Error::data(format!(
                "there are no rows of `{name}`, there must be at least one"
            )));
        }
        let failed = |error: serde_arrow::Error| {
            let reason = error.to_string();
            let reason = reason.lines().next().unwrap_or_default();
            Error::data(format!(
                "the rows of `{name}` do not make columns: {reason}"
            ))
            .with_source(error)
        };
        let options = TracingOptions::default()
            .allow_null_fields(true)
            .sequence_as_large_list(false)
            .strings_as_large_utf8(false)
            .enums_without_data_as_strings(true);
        let fields = Vec::<FieldRef>::from_samples(rows, options).map_err(failed)?;
        let batch = serde_arrow::to_record_batch(&fields, &rows).map_err(failed)?;
        Ok(BatchSource::new(name, vec![batch]))
    }
}

impl Serialize for BatchSource {
    /// The name and the shape; the rows are content, not configuration.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let n_rows: usize = self.batches.iter().map(RecordBatch::num_rows).sum();
        (&self.name, n_rows).serialize(serializer)
    }
}

impl Stage for BatchSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn check(&self) -> Result<()> {
        match self.batches.as_slice() {
            [] => Err(Error::config(
                "there are no batches, there must be at least one",
            )),
            [first, rest @ ..] => {
                match rest.iter().find(|batch| batch.schema() != first.schema()) {
                    Some(other) => Err(Error::config(format!(
                        "the batches differ in schema: {} and {}",
                        columns_text(&first.schema()),
                        columns_text(&other.schema())
                    ))),
                    None => check_names(
                        first
                            .schema()
                            .fields()
                            .iter()
                            .map(|field| field.name().as_str()),
                    ),
                }
            }
        }
    }
}

impl DataSource for BatchSource {
    async fn read(&self, engine: &Engine) -> Result<DataFrame> {
        self.check()?;
        Ok(engine
            .session()
            .read_batches(self.batches.iter().cloned())?)
    }
}
