//! The plan that reads files of text: parts of about the same size, side by side, the rows in order.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result as DataFusionResult, Statistics};
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::object_store::ObjectStore;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
};

use super::blocks::Blocks;
use super::explain::Place;
use super::read::{Piece, Rows};
use super::{LONGEST_RECORD, TextTable};
use crate::error::Result;

/// The minimum size of a part, in bytes.
const SMALLEST_PART: u64 = 1 << 22;

/// Files of text to be scanned.
#[derive(Clone, Debug)]
pub(in crate::data) struct TextScan {
    pub(in crate::data) table: Arc<TextTable>,
    pub(in crate::data) compression: FileCompressionType,
    /// The place among the looked-at files, the path as people know it, the file.
    pub(in crate::data) files: Vec<(usize, Arc<str>, PartitionedFile)>,
}

impl TextScan {
    /// A plan of at most `n_parts` parts. `projection` is of the table's columns and the folders' columns after them.
    pub(in crate::data) async fn plan(
        self,
        store: Arc<dyn ObjectStore>,
        n_parts: usize,
        projection: Option<&Vec<usize>>,
        schema: SchemaRef,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let given: Vec<usize> = (0..self.table.columns.len())
            .filter(|at| self.table.columns[*at].is_given)
            .collect();
        let n_folders = schema.fields().len() - given.len();
        let n_columns = self.table.columns.len();
        let places: Vec<usize> = given
            .into_iter()
            .chain(n_columns..n_columns + n_folders)
            .collect();
        let (wanted, schema) = match projection {
            None => (places, schema),
            Some(projection) => (
                projection.iter().map(|at| places[*at]).collect(),
                Arc::new(schema.project(projection)?),
            ),
        };
        let bytes = self
            .files
            .iter()
            .map(|(_, _, file)| file.object_meta.size)
            .sum::<u64>();
        let parts = self.parts(&store, n_parts).await;
        let parts = parts.map_err(|error| DataFusionError::External(Box::new(error)))?;
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(parts.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Arc::new(TextExec {
            table: self.table,
            store,
            compression: self.compression,
            parts,
            wanted,
            bytes,
            properties: Arc::new(properties),
        }))
    }

    /// Cuts the files, as they follow each other, into parts of about the same size.
    async fn parts(&self, store: &Arc<dyn ObjectStore>, n_parts: usize) -> Result<Vec<Vec<Piece>>> {
        let total: u64 = self
            .files
            .iter()
            .map(|(_, _, file)| file.object_meta.size)
            .sum();
        let wanted = (total / n_parts.max(1) as u64).max(SMALLEST_PART);
        let mut pieces: Vec<(u64, Piece)> = Vec::new();
        for (at, shown, file) in &self.files {
            let start = self.table.starts[*at];
            let size = file.object_meta.size;
            let whole = Piece {
                file: file.clone(),
                shown: Arc::clone(shown),
                range: None,
                skip: start.offset,
                line: start.line,
                lines: start.lines,
                order: self.table.orders.get(*at).cloned().flatten(),
            };
            // The end of a record is known only after reading all that precedes it, so only files at hand are cut.
            let is_cut = size > 2 * wanted && start.lines && !self.compression.is_compressed();
            let ranges = match is_cut {
                true => self.ranges(store, &whole, wanted).await?,
                false => None,
            };
            match ranges {
                None => pieces.push((size, whole)),
                Some(ranges) => pieces.extend(ranges.into_iter().map(|(range, line)| {
                    let piece = Piece {
                        range: Some(range.clone()),
                        skip: 0,
                        line,
                        ..whole.clone()
                    };
                    (range.end - range.start, piece)
                })),
            }
        }
        let mut parts: Vec<Vec<Piece>> = Vec::new();
        let mut filled = 0;
        for (size, piece) in pieces {
            let is_last = parts.len() == n_parts;
            match parts.last_mut() {
                Some(part) if filled + size / 2 <= wanted || is_last => {
                    part.push(piece);
                    filled += size;
                }
                _ => {
                    parts.push(vec![piece]);
                    filled = size;
                }
            }
        }
        Ok(parts)
    }

    /// Ranges of a file that end with records, each of about `wanted` bytes, with the lines they begin with. `None` if
    /// the file is far away.
    async fn ranges(
        &self,
        store: &Arc<dyn ObjectStore>,
        whole: &Piece,
        wanted: u64,
    ) -> Result<Option<Vec<(Range<u64>, u64)>>> {
        let mut blocks =
            Blocks::open(store, &whole.file.object_meta, self.compression, None).await?;
        if !blocks.is_local() {
            return Ok(None);
        }
        let format = &self.table.format;
        let mut buffer = Vec::new();
        blocks.fill(&mut buffer, whole.skip as usize).await?;
        buffer.drain(..(whole.skip as usize).min(buffer.len()));
        let mut ranges = Vec::new();
        let (mut begin, mut at) = (whole.skip, whole.skip);
        let (mut first_line, mut line) = (whole.line, whole.line);
        loop {
            let more = blocks.next(&mut buffer).await?;
            if !more {
                at += buffer.len() as u64;
                if at > begin {
                    ranges.push((begin..at, first_line));
                }
                return Ok(Some(ranges));
            }
            match format.cut(&buffer, true) {
                Some(end) => {
                    at += end as u64;
                    line += format.lines(&buffer[..end]);
                    buffer.drain(..end);
                }
                None if buffer.len() > LONGEST_RECORD => {
                    let place = Place {
                        file: &whole.shown,
                        line,
                        chunk: &buffer,
                        format,
                        lines: true,
                    };
                    return Err(place.endless());
                }
                None => {}
            }
            if at - begin >= wanted {
                ranges.push((begin..at, first_line));
                begin = at;
                first_line = line;
            }
        }
    }
}

/// Reads files of text.
struct TextExec {
    table: Arc<TextTable>,
    store: Arc<dyn ObjectStore>,
    compression: FileCompressionType,
    parts: Vec<Vec<Piece>>,
    wanted: Vec<usize>,
    bytes: u64,
    properties: Arc<PlanProperties>,
}

impl fmt::Debug for TextExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextExec")
            .field("parts", &self.parts.len())
            .finish_non_exhaustive()
    }
}

impl DisplayAs for TextExec {
    fn fmt_as(&self, _type: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pieces: Vec<Vec<String>> = self
            .parts
            .iter()
            .map(|part| part.iter().map(|piece| piece.shown.to_string()).collect())
            .collect();
        write!(f, "TextExec: files={pieces:?}")
    }
}

impl ExecutionPlan for TextExec {
    fn name(&self) -> &'static str {
        "TextExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DataFusionResult<TreeNodeRecursion>,
    ) -> DataFusionResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        _children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn partition_statistics(&self, _partition: Option<usize>) -> DataFusionResult<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.schema());
        statistics.total_byte_size = Precision::Inexact(self.bytes as usize);
        Ok(Arc::new(statistics))
    }

    fn execute(
        &self,
        partition: usize,
        _context: Arc<TaskContext>,
    ) -> DataFusionResult<SendableRecordBatchStream> {
        let pieces = self.parts.get(partition).cloned().unwrap_or_default();
        let rows = Rows::new(
            Arc::clone(&self.table),
            Arc::clone(&self.store),
            self.compression,
            pieces,
            self.wanted.clone(),
            self.schema(),
        );
        let batches =
            futures_util::stream::try_unfold(rows, async |mut rows| match rows.next().await {
                Ok(batch) => Ok(batch.map(|batch| (batch, rows))),
                Err(error) => Err(DataFusionError::External(Box::new(error))),
            });
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            self.schema(),
            batches,
        )))
    }
}
