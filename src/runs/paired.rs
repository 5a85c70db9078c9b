//! Paired differences of the metrics of two models over the same rows.

use std::fs::File;
use std::io::BufReader;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;

use super::record::Run;
use super::{ArtifactId, Root};
use crate::accumulate::Accumulate;
use crate::error::Result;
use crate::metrics::{BothRanks, Catalogue, Evaluator, Metrics};
use crate::model::{Target, load_json};

/// The metrics of the second run's model minus those of the first, where the difference has an interval. Empty if the models
/// were not evaluated on the same rows, or their predictions were removed.
pub(super) fn changes(root: &Root, before: &Run, after: &Run) -> Result<Metrics> {
    let predictions = |run: &Run| run.output("predictions").cloned();
    let same_rows = before.output("examples").is_some()
        && before.output("examples") == after.output("examples");
    let both = predictions(before).zip(predictions(after));
    let Some((one, other)) = both.filter(|_| same_rows) else {
        return Ok(Metrics::new());
    };
    if [&one, &other].iter().any(|id| !root.dir_of(id).is_dir()) {
        return Ok(Metrics::new());
    }
    let (target, one) = read(root, &one)?;
    let (other_target, other) = read(root, &other)?;
    let mut batches = Vec::with_capacity(one.len());
    for (one, other) in one.iter().zip(&other) {
        match beside(other, one)? {
            Some(batch) => batches.push(batch),
            None => return Ok(Metrics::new()),
        }
    }
    if target != other_target || one.len() != other.len() || batches.is_empty() {
        return Ok(Metrics::new());
    }
    let mut evaluator = Evaluator::new(Arc::new(target), Catalogue::new(), Vec::new(), Vec::new());
    (batches.iter()).try_for_each(|batch| evaluator.update(batch))?;
    let mut changes = evaluator.finish_changes()?;
    if let Some(ranks) = BothRanks::of(&evaluator) {
        let mut sums = ranks.start();
        (batches.iter()).try_for_each(|batch| sums.add(&ranks, &evaluator, batch))?;
        ranks.finish(&evaluator, &sums, &mut changes)?;
    }
    Ok(changes.overall)
}

fn read(root: &Root, id: &ArtifactId) -> Result<(Target, Vec<RecordBatch>)> {
    let dir = root.checked_dir(id)?;
    let target: Target = load_json(&dir, "target.json")?;
    let path = dir.join("predictions.arrow");
    let Ok(file) = File::open(&path) else {
        return Ok((target, Vec::new()));
    };
    let batches = StreamReader::try_new(BufReader::new(file), None)?.collect::<Result<_, _>>()?;
    Ok((target, batches))
}

/// Rows with the candidate of one run and, as the baseline, that of the other; `None` if the rows differ.
fn beside(candidate: &RecordBatch, baseline: &RecordBatch) -> Result<Option<RecordBatch>> {
    let mut columns = Vec::new();
    for name in ["label", "unseen", "candidate", "baseline", "weight"] {
        let own = match name {
            "candidate" => candidate.column_by_name(name),
            "baseline" => baseline.column_by_name("candidate"),
            name if candidate.column_by_name(name) != baseline.column_by_name(name) => {
                return Ok(None);
            }
            name => candidate.column_by_name(name),
        };
        if let Some(column) = own {
            columns.push((name, Arc::clone(column), name == "unseen"));
        }
    }
    Ok(Some(RecordBatch::try_from_iter_with_nullable(columns)?))
}
