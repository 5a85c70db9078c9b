//! Conversion of the panics of decoders into errors.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::Result as DataFusionResult;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::DataFusionError;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::filter_pushdown::{FilterDescription, FilterPushdownPhase};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures_util::{FutureExt, Stream, StreamExt};

use crate::error::{Error, Result};

/// Awaits a future and turns a panic into an error.
pub(in crate::data) async fn guarded<T>(
    what: &str,
    future: impl Future<Output = Result<T>>,
) -> Result<T> {
    match AssertUnwindSafe(future).catch_unwind().await {
        Ok(result) => result,
        Err(panic) => Err(panicked(what, panic.as_ref())),
    }
}

fn panicked(what: &str, panic: &(dyn Any + Send)) -> Error {
    let said = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no reason was given");
    let said = said.lines().next().unwrap_or_default();
    Error::data(format!("`{what}` cannot be read: it is damaged: {said}"))
}

/// A scan of files that turns a panic into an error. Rows, order and parts are those of the scan.
pub(in crate::data) struct GuardExec {
    scan: Arc<dyn ExecutionPlan>,
    /// The name of the input, for error messages.
    what: Arc<str>,
}

impl GuardExec {
    pub(in crate::data) fn new(scan: Arc<dyn ExecutionPlan>, what: Arc<str>) -> Self {
        GuardExec { scan, what }
    }

    fn over(&self, scan: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        Arc::new(GuardExec::new(scan, Arc::clone(&self.what)))
    }
}

impl fmt::Debug for GuardExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GuardExec({:?})", self.scan)
    }
}

impl DisplayAs for GuardExec {
    fn fmt_as(&self, _type: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GuardExec")
    }
}

impl ExecutionPlan for GuardExec {
    fn name(&self) -> &'static str {
        "GuardExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.scan.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.scan]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DataFusionResult<TreeNodeRecursion>,
    ) -> DataFusionResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let scan = children
            .into_iter()
            .next()
            .ok_or_else(|| DataFusionError::Internal("a guard of nothing".to_owned()))?;
        Ok(self.over(scan))
    }

    fn repartitioned(
        &self,
        target_partitions: usize,
        config: &ConfigOptions,
    ) -> DataFusionResult<Option<Arc<dyn ExecutionPlan>>> {
        let scan = self.scan.repartitioned(target_partitions, config)?;
        Ok(scan.map(|scan| self.over(scan)))
    }

    fn supports_limit_pushdown(&self) -> bool {
        true
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        self.scan.with_fetch(limit).map(|scan| self.over(scan))
    }

    fn fetch(&self) -> Option<usize> {
        self.scan.fetch()
    }

    fn gather_filters_for_pushdown(
        &self,
        _phase: FilterPushdownPhase,
        parent_filters: Vec<Arc<dyn PhysicalExpr>>,
        _config: &ConfigOptions,
    ) -> DataFusionResult<FilterDescription> {
        FilterDescription::from_children(parent_filters, &self.children())
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> DataFusionResult<SendableRecordBatchStream> {
        let scan = Arc::clone(&self.scan);
        let opened =
            std::panic::catch_unwind(AssertUnwindSafe(|| scan.execute(partition, context)));
        let batches = match opened {
            Ok(batches) => batches?,
            Err(panic) => return Err(external(panicked(&self.what, panic.as_ref()))),
        };
        Ok(Box::pin(Guarded {
            schema: batches.schema(),
            batches: Some(batches),
            what: Arc::clone(&self.what),
        }))
    }
}

fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// Batches, the last of which may be a panic.
struct Guarded {
    schema: SchemaRef,
    /// None behind a panic: what has panicked is not asked again.
    batches: Option<SendableRecordBatchStream>,
    what: Arc<str>,
}

impl Stream for Guarded {
    type Item = DataFusionResult<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(batches) = &mut self.batches else {
            return Poll::Ready(None);
        };
        let polled =
            std::panic::catch_unwind(AssertUnwindSafe(|| batches.poll_next_unpin(context)));
        match polled {
            Ok(polled) => polled,
            Err(panic) => {
                self.batches = None;
                Poll::Ready(Some(Err(external(panicked(&self.what, panic.as_ref())))))
            }
        }
    }
}

impl RecordBatchStream for Guarded {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error_that_names_the_file() {
        let index = |at: usize| [1, 2, 3][at];
        let error = guarded("x.arrow", async { Ok(index(std::hint::black_box(7))) }).await;
        assert_eq!(
            error.unwrap_err().to_string(),
            "`x.arrow` cannot be read: it is damaged: index out of bounds: the len is 3 but the index is 7"
        );
        assert_eq!(guarded("x.arrow", async { Ok(index(1)) }).await.unwrap(), 2);
    }
}
