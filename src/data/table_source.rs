//! Rows from what other programs have: readers of batches, and tables of DataFusion.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatchReader;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::prelude::DataFrame;
use serde::{Serialize, Serializer};

use super::DataSource;
use crate::engine::Engine;
use crate::error::{Error, Result, task_panic_text};
use crate::examples::columns_text;
use crate::fingerprint::Fingerprint;
use crate::stage::Stage;

/// A table of DataFusion: a database, a catalogue, or one that you implement.
///
/// The identity of the table cannot be derived from its configuration: the name stands for it, and rows are extracted anew in
/// every run.
///
/// ```
/// # use std::sync::Arc;
/// use fourfold::data::TableSource;
/// use fourfold::datafusion::datasource::empty::EmptyTable;
/// # use fourfold::arrow::datatypes::Schema;
///
/// let source = TableSource::new("nothing", Arc::new(EmptyTable::new(Arc::new(Schema::empty()))));
/// # let _ = source;
/// ```
#[derive(Clone, Debug)]
pub struct TableSource {
    name: String,
    table: Arc<dyn TableProvider>,
}

impl TableSource {
    /// A table, and a name for it.
    #[must_use]
    pub fn new(name: impl Into<String>, table: Arc<dyn TableProvider>) -> Self {
        TableSource {
            name: name.into(),
            table,
        }
    }
}

impl Serialize for TableSource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.name.serialize(serializer)
    }
}

impl Stage for TableSource {
    fn name(&self) -> &str {
        &self.name
    }
}

impl DataSource for TableSource {
    async fn read(&self, engine: &Engine) -> Result<DataFrame> {
        Ok(engine.session().read_table(Arc::clone(&self.table))?)
    }
}

/// Anything that reads batches: a format of your own, a database's driver, a Flight client. The function is called anew
/// for each reading, and once more to see the columns; the rows pass one batch at a time, read in one thread. The function
/// and the readers run on the runtime's threads for blocking work, and may wait.
///
/// ```
/// # use std::sync::Arc;
/// # use fourfold::arrow::array::{ArrayRef, Int64Array, RecordBatch, RecordBatchIterator};
/// use fourfold::data::ReaderSource;
///
/// let source = ReaderSource::new("numbers", || {
///     let x: ArrayRef = Arc::new(Int64Array::from_iter_values(0..10));
///     let batch = RecordBatch::try_from_iter([("x", x)])?;
///     let schema = batch.schema();
///     Ok(RecordBatchIterator::new([Ok(batch)], schema))
/// });
/// # let _ = source;
/// ```
///
/// Rows that are structs come by [`ReaderSource::from_rows`]. A source with a configuration of its own is a struct whose
/// [`DataSource::read`] hands on to one of these: see [the module](crate::data).
#[derive(Clone)]
pub struct ReaderSource {
    name: String,
    open: Arc<Open>,
    snapshot: Option<Arc<Snapshot>>,
}

type Snapshot = dyn Fn() -> Result<Option<String>> + Send + Sync;
type Open = dyn Fn() -> Result<Box<dyn RecordBatchReader + Send>> + Send + Sync;

impl ReaderSource {
    /// A function that opens a reader, and a name for it. Every reader must have the schema of the first.
    #[must_use]
    pub fn new<R: RecordBatchReader + Send + 'static>(
        name: impl Into<String>,
        open: impl Fn() -> Result<R> + Send + Sync + 'static,
    ) -> Self {
        ReaderSource {
            name: name.into(),
            open: Arc::new(move || Ok(Box::new(open()?))),
            snapshot: None,
        }
    }

    /// Says what the content is now, in a text such as a version or the time of the last change, so that unchanged rows are
    /// not read again where [artifacts are kept](crate::pipeline::PipelineBuilder::root); `None` if it cannot be told. It may
    /// wait, as readers may.
    #[must_use]
    pub fn with_snapshot(
        mut self,
        snapshot: impl Fn() -> Result<Option<String>> + Send + Sync + 'static,
    ) -> Self {
        self.snapshot = Some(Arc::new(snapshot));
        self
    }
}

impl fmt::Debug for ReaderSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReaderSource({})", self.name)
    }
}

impl Serialize for ReaderSource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.name.serialize(serializer)
    }
}

impl Stage for ReaderSource {
    fn name(&self) -> &str {
        &self.name
    }
}

impl DataSource for ReaderSource {
    async fn read(&self, engine: &Engine) -> Result<DataFrame> {
        // Opening may wait for a disk or a network too.
        let open = Arc::clone(&self.open);
        let schema = tokio::task::spawn_blocking(move || open().map(|reader| reader.schema()));
        let schema = schema.await.map_err(panicked)??;
        let rows = Reading {
            schema: Arc::clone(&schema),
            open: Arc::clone(&self.open),
        };
        let table = StreamingTable::try_new(schema, vec![Arc::new(rows)])?;
        Ok(engine.session().read_table(Arc::new(table))?)
    }

    async fn snapshot(&self, _engine: &Engine) -> Result<Option<Fingerprint>> {
        let Some(snapshot) = self.snapshot.clone() else {
            return Ok(None);
        };
        let content = tokio::task::spawn_blocking(move || snapshot())
            .await
            .map_err(panicked)??;
        Ok(content.map(Fingerprint::of_bytes))
    }
}

fn panicked(error: tokio::task::JoinError) -> Error {
    Error::data(format!("the reader panicked{}", task_panic_text(error)))
}

/// An error of a reader that is ours comes out as it went in.
fn in_plan(error: ArrowError) -> DataFusionError {
    match error {
        ArrowError::ExternalError(error) => DataFusionError::External(error),
        error => error.into(),
    }
}

/// Returns true if two schemas have the same columns; their metadata does not matter.
fn alike(first: &SchemaRef, other: &SchemaRef) -> bool {
    let columns = |schema: &SchemaRef| {
        let fields = schema.fields().iter();
        fields
            .map(|field| (field.name().clone(), field.data_type().clone()))
            .collect::<Vec<_>>()
    };
    columns(first) == columns(other)
}

struct Reading {
    schema: SchemaRef,
    open: Arc<Open>,
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reading")
    }
}

impl PartitionStream for Reading {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        // A reader may wait for a disk or a network.
        let mut stream = RecordBatchReceiverStream::builder(Arc::clone(&self.schema), 2);
        let (open, to) = (Arc::clone(&self.open), stream.tx());
        let first = Arc::clone(&self.schema);
        stream.spawn_blocking(move || {
            let reader = open().map_err(|error| DataFusionError::External(Box::new(error)))?;
            let found = reader.schema();
            if !alike(&first, &found) {
                let error = Error::data(format!(
                    "the reader was opened anew and has other columns than at first: {} and then {}",
                    columns_text(&first),
                    columns_text(&found)
                ));
                return Err(DataFusionError::External(Box::new(error)));
            }
            for batch in reader {
                // Nobody reads on: a limit is reached, or the run has failed.
                if to.blocking_send(Ok(batch.map_err(in_plan)?)).is_err() {
                    break;
                }
            }
            Ok(())
        });
        stream.build()
    }
}
