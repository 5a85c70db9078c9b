//! Parts of a plan, one after the other.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::JoinType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, PartitionMode};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::stream::{RecordBatchReceiverStream, RecordBatchStreamAdapter};
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning,
    PlanProperties, ReplaceChildrenOptions,
};
use futures_util::StreamExt;

/// Puts [`PartsInOrder`] where a plan would take the batches of its parts as they come.
#[derive(Debug)]
pub(super) struct InOrder;

impl PhysicalOptimizerRule for InOrder {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            if let Some(merge) = node.downcast_ref::<SortPreservingMergeExec>() {
                // Among equal rows, that of the first part comes first.
                let merge = merge.clone().with_round_robin_repartition(false);
                return Ok(Transformed::yes(Arc::new(merge)));
            }
            if let Some(sort) = node.downcast_ref::<SortExec>()
                && sort.fetch().is_some()
                && sort.input().properties().partitioning.partition_count() > 1
            {
                // Parts that keep their first rows side by side tell each other where to stop: which of equal rows
                // are left is then a matter of time.
                let parts = PartsInOrder::new(Arc::clone(sort.input()), None);
                return Ok(Transformed::yes(with_children(
                    node,
                    vec![Arc::new(parts)],
                )?));
            }
            if ends_with_rows_of_the_left(&node)
                && let [left, right] = node.children().as_slice()
                && right.properties().partitioning.partition_count() > 1
            {
                let right = PartsInOrder::new(Arc::clone(right), None);
                let sides: Vec<Arc<dyn ExecutionPlan>> = vec![Arc::clone(left), Arc::new(right)];
                return Ok(Transformed::yes(with_children(node, sides)?));
            }
            let Some(any_order) = node.downcast_ref::<CoalescePartitionsExec>() else {
                return Ok(Transformed::no(node));
            };
            let parts = Arc::clone(any_order.input());
            Ok(Transformed::yes(Arc::new(PartsInOrder::new(
                parts,
                any_order.fetch(),
            ))))
        })
        .data()
    }

    fn name(&self) -> &str {
        "parts_in_order"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn with_children(
    node: Arc<dyn ExecutionPlan>,
    children: Vec<Arc<dyn ExecutionPlan>>,
) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
    let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
    node.replace_children(children, options)
}

/// Returns true if a join gives rows of its left side when all of the right has been seen: the part of the right that
/// ends last gives them.
fn ends_with_rows_of_the_left(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let hash = plan.downcast_ref::<HashJoinExec>();
    let nested = plan.downcast_ref::<NestedLoopJoinExec>();
    let join = hash
        .filter(|join| *join.partition_mode() == PartitionMode::CollectLeft)
        .map(HashJoinExec::join_type)
        .or_else(|| nested.map(NestedLoopJoinExec::join_type));
    matches!(
        join,
        Some(
            JoinType::Left
                | JoinType::Full
                | JoinType::LeftSemi
                | JoinType::LeftAnti
                | JoinType::LeftMark
        )
    )
}

/// The number of batches of a part that are buffered.
const WAITING: usize = 8;

/// All rows of the first part, then all of the second, and so on. The parts are computed side by side, as far as
/// [`WAITING`] batches of each.
#[derive(Debug)]
struct PartsInOrder {
    parts: Arc<dyn ExecutionPlan>,
    fetch: Option<usize>,
    properties: Arc<PlanProperties>,
}

impl PartsInOrder {
    fn new(parts: Arc<dyn ExecutionPlan>, fetch: Option<usize>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(parts.schema()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        PartsInOrder {
            parts,
            fetch,
            properties: Arc::new(properties),
        }
    }
}

impl DisplayAs for PartsInOrder {
    fn fmt_as(&self, _type: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fetch {
            Some(fetch) => write!(f, "PartsInOrder: fetch={fetch}"),
            None => write!(f, "PartsInOrder"),
        }
    }
}

impl ExecutionPlan for PartsInOrder {
    fn name(&self) -> &'static str {
        "PartsInOrder"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.parts]
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
        let parts = children
            .into_iter()
            .next()
            .ok_or_else(|| DataFusionError::Internal("parts of nothing".to_owned()))?;
        Ok(Arc::new(PartsInOrder::new(parts, self.fetch)))
    }

    fn execute(
        &self,
        _partition: usize,
        context: Arc<TaskContext>,
    ) -> DataFusionResult<SendableRecordBatchStream> {
        let n_parts = self.parts.properties().partitioning.partition_count();
        let mut parts = Vec::with_capacity(n_parts);
        for part in 0..n_parts {
            let mut batches = self.parts.execute(part, Arc::clone(&context))?;
            let mut waiting = RecordBatchReceiverStream::builder(self.schema(), WAITING);
            let to = waiting.tx();
            waiting.spawn(async move {
                while let Some(batch) = batches.next().await {
                    if to.send(batch).await.is_err() {
                        break;
                    }
                }
                Ok(())
            });
            parts.push(waiting.build());
        }
        let mut left = self.fetch.unwrap_or(usize::MAX);
        let rows = futures_util::stream::iter(parts)
            .flatten()
            .take_while(move |batch| {
                let more = left > 0;
                left = left.saturating_sub(batch.as_ref().map_or(0, RecordBatch::num_rows));
                std::future::ready(more)
            });
        let mut left = self.fetch.unwrap_or(usize::MAX);
        let rows = rows.map(move |batch| {
            let batch = batch?;
            let n_rows = batch.num_rows().min(left);
            left -= n_rows;
            Ok(batch.slice(0, n_rows))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}
