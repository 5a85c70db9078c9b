//! The engine: a DataFusion session that runs the work over all rows.
//!
//! Everything that is proportional to the data is a plan or an [`Accumulate`] over one. The engine runs it on
//! every core, in bounded memory.
//!
//! # An application's own session
//!
//! [`Engine::on`] takes an application's `SessionContext`: its catalogue and tables, functions, optimizer rules, object
//! stores, memory pool and spill directories. The engine still decides how plans are partitioned and run, because
//! results depend on it: the options under `datafusion.execution` and `datafusion.optimizer` are those of [`Engine::new`], whatever the
//! session has set.
//!
//! # Memory
//!
//! Under a [limit](Engine::with_memory_limit), DataFusion's sorts, aggregations and merge joins spill to disk; operators
//! that cannot spill fail with [`ErrorKind::ResourceExhausted`](crate::ErrorKind::ResourceExhausted), naming the largest
//! consumers. The limit covers the memory of analyses ([`Accumulate::size`]), the table of equal rows that places rows, row groups of examples
//! that are not written yet, and DataFusion's sorts, joins and aggregations. It does **not** cover:
//!
//! - batches between operators: some of 8,192 rows for each of the [parts](Engine::partitions), and the buffers of
//!   the decoder of a file: a row group of Parquet by columns, a piece of a CSV or JSON file;
//! - memory of a [`ReaderSource`](crate::data::ReaderSource) or a table of the application;
//! - merging: the states of all parts, once each;
//! - training: matrices (`4 * n_rows * n_features` bytes), models, and the working memory of trainers;
//! - prediction: features and predictions of a batch.
//!
//! # Threads
//!
//! Plans run on the async threads of the calling runtime; code that blocks on a disk or a network
//! (a trainer, a validator, the reader of a [`ReaderSource`](crate::data::ReaderSource), the built-in servers) runs on the
//! runtime's threads for blocking work. Each trait says which of its methods run where.
//!
//! Architecture invariant: results do not depend on the number of threads. The rows are always divided into the same
//! [`Engine::partitions`] on any machine; the parts' results are merged in the order of the parts. Held by `tests/it/determinism.rs`.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::memory_pool::{
    FairSpillPool, MemoryConsumer, MemoryLimit, MemoryReservation, TrackConsumersPool,
};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_plan::execute_stream_partitioned;
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};
use futures_util::StreamExt;
use tokio::task::JoinSet;

use crate::accumulate::Accumulate;
use crate::cancellation::Cancellation;
use crate::error::{Error, Result};

/// The number of largest memory consumers that an error names.
const SHOWN_CONSUMERS: usize = 3;

/// An engine that runs plans. Cheap to clone.
///
/// ```
/// use fourfold::engine::Engine;
///
/// let engine = Engine::new()?;
/// assert_eq!(engine.partitions(), 8);
/// # Ok::<(), fourfold::Error>(())
/// ```
#[derive(Clone)]
pub struct Engine {
    session: SessionContext,
    partitions: usize,
}

impl Engine {
    /// The default number of partitions.
    pub const DEFAULT_PARTITIONS: usize = 8;

    /// An engine in this process with [`Engine::DEFAULT_PARTITIONS`] and without a memory limit.
    ///
    /// # Errors
    /// None at present; later versions may need resources of the machine.
    pub fn new() -> Result<Self> {
        Engine::with_partitions(Self::DEFAULT_PARTITIONS)
    }

    /// An engine that divides rows into `partitions` parts, which is also the largest number of threads at work. Results
    /// that are sums of floats may differ in the last bits between different numbers of parts, and never between
    /// machines or runs with the same.
    ///
    /// # Errors
    /// As [`Engine::new`]; [`ErrorKind::Config`](crate::ErrorKind::Config) for 0 partitions.
    pub fn with_partitions(partitions: usize) -> Result<Self> {
        Engine::on(&SessionContext::new(), partitions)
    }

    /// An engine on an application's own session, which is not changed: see [the module](crate::engine). Tables and
    /// functions that are registered later are seen by both if they are in the same catalogue.
    ///
    /// ```
    /// use fourfold::datafusion::prelude::SessionContext;
    /// use fourfold::engine::Engine;
    ///
    /// let session = SessionContext::new();
    /// let engine = Engine::on(&session, Engine::DEFAULT_PARTITIONS)?.with_memory_limit(1 << 30)?;
    /// assert_eq!(engine.memory_limit(), Some(1 << 30));
    /// # Ok::<(), fourfold::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for 0 partitions.
    pub fn on(session: &SessionContext, partitions: usize) -> Result<Self> {
        if partitions == 0 {
            return Err(Error::config(
                "the number of partitions is 0, must be at least 1",
            ));
        }
        let ours = SessionConfig::new()
            .with_target_partitions(partitions)
            // The rows of a part must not depend on which thread is free first.
            .with_round_robin_repartition(false);
        // Its configuration records that the default catalogue exists, and must be kept.
        let mut state = SessionStateBuilder::new_from_existing(session.state());
        let options = state.config().get_or_insert_default().options_mut();
        options.execution = ours.options().execution.clone();
        options.execution.enable_file_stream_work_stealing = false;
        options.execution.parquet.schema_force_view_types = false;
        options.optimizer = ours.options().optimizer.clone();
        Ok(Engine {
            session: SessionContext::new_with_state(state.build()),
            partitions,
        })
    }

    /// The same engine with a memory limit in bytes, in place of the session's memory pool. [The module](crate::engine)
    /// describes which memory is counted. Results do not depend on it.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for 0 bytes; [`ErrorKind::Io`](crate::ErrorKind::Io) if no
    /// directory for spilling can be created.
    pub fn with_memory_limit(self, bytes: usize) -> Result<Self> {
        let Some(shown) = NonZeroUsize::new(SHOWN_CONSUMERS).filter(|_| bytes > 0) else {
            return Err(Error::config(
                "the memory limit is 0 bytes, must be at least 1",
            ));
        };
        let pool = TrackConsumersPool::new(FairSpillPool::new(bytes), shown);
        let runtime = RuntimeEnvBuilder::from_runtime_env(&self.session.runtime_env())
            .with_memory_pool(Arc::new(pool))
            .build_arc()?;
        let state = SessionStateBuilder::new_from_existing(self.session.state());
        let state = state.with_runtime_env(runtime).build();
        Ok(Engine {
            session: SessionContext::new_with_state(state),
            partitions: self.partitions,
        })
    }

    /// The most bytes that what is counted may take together, if there is a limit.
    #[must_use]
    pub fn memory_limit(&self) -> Option<usize> {
        match self.session.runtime_env().memory_pool.memory_limit() {
            MemoryLimit::Finite(bytes) => Some(bytes),
            MemoryLimit::Infinite | MemoryLimit::Unknown => None,
        }
    }

    /// Into how many parts rows are cut.
    #[must_use]
    pub fn partitions(&self) -> usize {
        self.partitions
    }

    /// The DataFusion session, to read and register tables with.
    #[must_use]
    pub fn session(&self) -> &SessionContext {
        &self.session
    }

    /// Runs an analysis over all rows of a plan in one pass: the prototype merged with what each part has
    /// learned. See [`Accumulate`].
    ///
    /// # Errors
    /// Those of reading the rows and of the analysis.
    pub async fn accumulate<A: Accumulate>(&self, rows: DataFrame, prototype: A) -> Result<A> {
        let schema = Arc::clone(rows.schema().inner());
        if schema.fields().is_empty() {
            return Ok(prototype);
        }
        let plan = rows.create_physical_plan().await?;
        let mut tasks = JoinSet::new();
        let parts = execute_stream_partitioned(plan, self.session.task_ctx())?;
        for (number, mut part) in parts.into_iter().enumerate() {
            let mut analysis = self.analysis(&prototype);
            let schema = Arc::clone(&schema);
            tasks.spawn(async move {
                while let Some(batch) = part.next().await {
                    // A plan may know more of its columns than the rows' schema, such as that one has no NULL.
                    analysis.update(&with_schema(&batch?, &schema)?)?;
                }
                Ok((number, analysis))
            });
        }
        merged(prototype, tasks).await
    }

    /// Runs an analysis over batches that come part by part, without a plan. Threads that may block read them.
    pub(crate) async fn accumulate_batches<A: Accumulate>(
        &self,
        parts: impl IntoIterator<Item = impl FnOnce() -> Batches + Send + 'static>,
        prototype: A,
    ) -> Result<A> {
        let cancellation = Cancellation::new();
        let _guard = cancellation.on_drop();
        let mut tasks = JoinSet::new();
        for (number, part) in parts.into_iter().enumerate() {
            let mut analysis = self.analysis(&prototype);
            let cancellation = cancellation.clone();
            tasks.spawn_blocking(move || {
                for batch in part() {
                    cancellation.check()?;
                    analysis.update(&batch?)?;
                }
                Ok((number, analysis))
            });
        }
        merged(prototype, tasks).await
    }

    fn analysis<A: Accumulate>(&self, prototype: &A) -> Analysis<A> {
        let pool = &self.session.runtime_env().memory_pool;
        Analysis {
            own: prototype.clone(),
            held: MemoryConsumer::new("analysis").register(pool),
            n_batches: 0,
        }
    }
}

/// Batches that are read on request.
pub(crate) type Batches = Box<dyn Iterator<Item = Result<RecordBatch>>>;

/// A part of an analysis, whose memory is counted.
struct Analysis<A> {
    own: A,
    held: MemoryReservation,
    n_batches: u64,
}

impl<A: Accumulate> Analysis<A> {
    fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        self.own.update(batch)?;
        self.n_batches += 1;
        if self.n_batches.is_power_of_two() {
            self.held.try_resize(self.own.size())?;
        }
        Ok(())
    }
}

/// The prototype merged with what the parts of an analysis have learned, in the order of the parts: they end in any.
async fn merged<A: Accumulate>(
    mut prototype: A,
    mut tasks: JoinSet<Result<(usize, Analysis<A>)>>,
) -> Result<A> {
    let mut parts = BTreeMap::new();
    while let Some(part) = tasks.join_next().await {
        let stopped = |error| Error::internal("a part of an analysis stopped").with_source(error);
        let (number, analysis) = part.map_err(stopped)??;
        parts.insert(number, analysis);
    }
    for analysis in parts.into_values() {
        prototype.merge(analysis.own)?;
    }
    Ok(prototype)
}

/// The batch with the fields of a schema.
fn with_schema(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let columns = batch.columns().to_vec();
    Ok(RecordBatch::try_new_with_options(
        Arc::clone(schema),
        columns,
        &options,
    )?)
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("partitions", &self.partitions)
            .finish_non_exhaustive()
    }
}
