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
//! [`Engine::partitions`] on any machine; the parts' results are merged in an order that depends on their
//! content only. Held by `tests/it/determinism.rs`.

use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, FieldRef, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::memory_pool::{
    FairSpillPool, MemoryConsumer, MemoryLimit, MemoryReservation, TrackConsumersPool,
};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Expr, Signature, Volatility,
};
use datafusion::physical_plan::execute_stream_partitioned;
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};
use futures_util::StreamExt;

use crate::accumulate::Accumulate;
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
        let schema: SchemaRef = Arc::clone(rows.schema().inner());
        if schema.fields().is_empty() {
            return Ok(prototype);
        }
        if schema.fields().len() > MANY_COLUMNS {
            return self.accumulate_by_parts(rows, prototype).await;
        }
        let columns: Vec<Expr> = rows
            .schema()
            .columns()
            .into_iter()
            .map(Expr::Column)
            .collect();
        let udaf = AggregateUDF::from(AccumulateUdaf {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            prototype: prototype.clone(),
            schema,
            signature: Signature::any(columns.len(), Volatility::Immutable),
        });
        let result = rows
            .aggregate(vec![], vec![udaf.call(columns).alias("state")])?
            .collect()
            .await?;
        let state = result
            .iter()
            .find(|batch| batch.num_rows() > 0)
            .ok_or_else(|| Error::internal("an analysis without a result"))?
            .column(0)
            .as_binary::<i32>()
            .value(0)
            .to_vec();
        // The prototype has what is not serialized.
        let mut whole = prototype;
        whole.merge(A::from_state(&state)?)?;
        Ok(whole)
    }

    /// The same without a function of all columns, which takes a plan a time that is quadratic in them.
    async fn accumulate_by_parts<A: Accumulate>(&self, rows: DataFrame, prototype: A) -> Result<A> {
        let plan = rows.create_physical_plan().await?;
        let mut tasks = tokio::task::JoinSet::new();
        for mut part in execute_stream_partitioned(plan, self.session.task_ctx())? {
            let mut analysis = self.analysis(&prototype);
            tasks.spawn(async move {
                while let Some(batch) = part.next().await {
                    analysis.update(&batch?)?;
                }
                analysis.own.state()
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
        let mut tasks = tokio::task::JoinSet::new();
        for part in parts {
            let mut analysis = self.analysis(&prototype);
            tasks.spawn_blocking(move || {
                for batch in part() {
                    analysis.update(&batch?)?;
                }
                analysis.own.state()
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

/// The prototype merged with what the parts of an analysis have learned.
async fn merged<A: Accumulate>(
    prototype: A,
    mut tasks: tokio::task::JoinSet<Result<Vec<u8>>>,
) -> Result<A> {
    let mut states = Vec::new();
    while let Some(state) = tasks.join_next().await {
        let stopped = |error| Error::internal("a part of an analysis stopped").with_source(error);
        states.push(state.map_err(stopped)??);
    }
    // Parts end in any order; their merging must not show it.
    states.sort_unstable();
    let mut whole = prototype;
    for state in &states {
        whole.merge(A::from_state(state)?)?;
    }
    Ok(whole)
}

/// The number of columns above which an analysis runs part by part: the time of plans is quadratic in them.
pub(crate) const MANY_COLUMNS: usize = 500;

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("partitions", &self.partitions)
            .finish_non_exhaustive()
    }
}

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

/// Carries any [`Accumulate`] through a plan.
#[derive(Debug)]
struct AccumulateUdaf<A> {
    id: u64,
    prototype: A,
    schema: SchemaRef,
    signature: Signature,
}

impl<A> PartialEq for AccumulateUdaf<A> {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl<A> Eq for AccumulateUdaf<A> {}

impl<A> Hash for AccumulateUdaf<A> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

impl<A: Accumulate + Any> AggregateUDFImpl for AccumulateUdaf<A> {
    fn name(&self) -> &str {
        "accumulate"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> DataFusionResult<DataType> {
        Ok(DataType::Binary)
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> DataFusionResult<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(
            format!("{}_state", args.name),
            DataType::Binary,
            true,
        ))])
    }

    fn accumulator(&self, _args: AccumulatorArgs<'_>) -> DataFusionResult<Box<dyn Accumulator>> {
        Ok(Box::new(Part {
            own: self.prototype.clone(),
            fresh: self.prototype.clone(),
            others: Vec::new(),
            schema: Arc::clone(&self.schema),
            n_batches: 0,
            own_size: 0,
        }))
    }
}

/// The state of one part of the rows; or, in the final step, the states of all parts.
#[derive(Debug)]
struct Part<A> {
    own: A,
    fresh: A,
    others: Vec<Vec<u8>>,
    schema: SchemaRef,
    n_batches: u64,
    own_size: usize,
}

fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

impl<A: Accumulate> Part<A> {
    fn result(&mut self) -> Result<Vec<u8>> {
        if self.others.is_empty() {
            return self.own.state();
        }
        // Parts end in any order; their merging must not show it.
        self.others.sort_unstable();
        let mut whole = self.fresh.clone();
        for state in &self.others {
            whole.merge(A::from_state(state)?)?;
        }
        whole.state()
    }
}

impl<A: Accumulate> Accumulator for Part<A> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DataFusionResult<()> {
        let n_rows = values.first().map_or(0, |column| column.len());
        let options = RecordBatchOptions::new().with_row_count(Some(n_rows));
        let batch =
            RecordBatch::try_new_with_options(Arc::clone(&self.schema), values.to_vec(), &options)?;
        self.own.update(&batch).map_err(external)?;
        self.n_batches += 1;
        if self.n_batches.is_power_of_two() {
            self.own_size = self.own.size();
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> DataFusionResult<()> {
        let states = states[0].as_binary::<i32>();
        self.others
            .extend(states.iter().flatten().map(<[u8]>::to_vec));
        Ok(())
    }

    fn state(&mut self) -> DataFusionResult<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Binary(Some(
            self.result().map_err(external)?,
        ))])
    }

    fn evaluate(&mut self) -> DataFusionResult<ScalarValue> {
        Ok(ScalarValue::Binary(Some(self.result().map_err(external)?)))
    }

    fn size(&self) -> usize {
        let others = self.others.iter().map(Vec::capacity);
        size_of_val(self) + self.own_size + others.sum::<usize>()
    }
}
