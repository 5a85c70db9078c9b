//! What runs leave: artifacts under their digests, a record of every execution, and what can be asked of them.
//!
//! A pipeline with a [root](crate::pipeline::PipelineBuilder::root) keeps all that its stages make, and what each was made
//! of. So the next run makes only what has to be made anew, a run that was killed goes on where it was, and every model
//! leads back to the rows, the code and the parameters that it came of.
//!
//! ```text
//! <root>/root.json                          the version of this format
//! <root>/artifacts/<kind>/<digest>/         what a stage made: written whole or not at all, never changed
//! <root>/executions/<kk>/<key>-<id>.json    one execution of a stage, or trial of a search, under the key of what it was made of
//! <root>/runs/<id>.json                     one run: its executions, those it reused, its outcome
//! <root>/segments/<kind>-<digest>.parquet   the older ones of these records, many to a file
//! <root>/inputs.json                        digests of input files by size, time and inode; may be removed
//! ```
//!
//! The files are the truth, there is nothing beside them: a copied folder is a complete history, and several processes on
//! several machines may run with one root at once. All of it is private to its user; models are pushed for others by a
//! [server](crate::serving).
//!
//! # What is run again
//!
//! | stage | is run again if there is another | makes |
//! | --- | --- | --- |
//! | `extract` | content of the source, source, label, split, sample | `examples` |
//! | `prepare` | `examples`, configuration of the data pipeline | `statistics`, `schema`, `anomalies`, `prepared` |
//! | `train` | of these, trainer, seed, serving model to start from | `model`, `transform`, `training` |
//! | `evaluate` | `model`, `examples`, slices and metrics, serving model to compare with | `evaluation`, `predictions` |
//! | `verdict` | `evaluation`, validator | `verdict` |
//! | `deploy` | `model`, unless it serves already | |
//!
//! The digests of the inputs count, not when or by whom they were made: a stage that ran and made the same again stops what
//! depends on it from running. A stage counts by name, version and configuration, so raise
//! [`Stage::version`](crate::Stage::version) when the code of yours changes. A candidate that is serving already is not
//! compared with itself: what was found of it when it was deployed stands. Each finished trial of a
//! [search](crate::search) is on record too, so a search that was stopped goes on with them.
//!
//! ```
//! # #[cfg(feature = "linfa")] {
//! # use std::sync::Arc;
//! # use fourfold::arrow::array::{ArrayRef, Int64Array, RecordBatch};
//! use fourfold::prelude::*;
//! use fourfold::runs::Root;
//!
//! # let dir = tempfile::tempdir().unwrap();
//! # let x: ArrayRef = Arc::new(Int64Array::from_iter_values((0..400).map(|x| x % 50)));
//! # let y: ArrayRef = Arc::new(Int64Array::from_iter_values((0..400).map(|x| i64::from(x % 50 > 25))));
//! # let rows = RecordBatch::try_from_iter([("x", x), ("y", y)])?;
//! let pipeline = |at_least: f64| {
//!     Pipeline::builder("steps")
//!         .data(BatchSource::new("rows", vec![rows.clone()]).label("y"))
//!         .train(DecisionTree::default())
//!         .evaluate(Thresholds::new().at_least("auc", at_least))
//!         .serve(ModelRepository::at(dir.path().join("models")))
//!         .root(dir.path().join("root"))
//!         .build()
//! };
//! pipeline(0.6)?.run_blocking()?;
//! let outcome = pipeline(0.7)?.run_blocking()?;
//! assert_eq!(outcome.run().ran, ["extract", "verdict"]); // rows in memory are looked at every time
//!
//! let root = Root::open(dir.path().join("root"))?;
//! assert_eq!(root.runs()?.len(), 2);
//! # }
//! # Ok::<(), fourfold::Error>(())
//! ```
//!
//! Architecture invariant: what is here knows no pipeline: stages are names, artifacts are kinds and digests. Held by
//! `tests/it/tidy.rs`.

mod artifact;
mod card;
mod clock;
mod compare;
mod explain;
mod gc;
mod history;
mod inputs;
mod lineage;
mod open;
#[cfg(feature = "openlineage")]
mod openlineage;
mod paired;
mod record;
mod records;
mod root;
mod secret;
mod segments;
#[cfg(feature = "sql")]
mod sql;
mod task;
mod trials;

pub use self::artifact::{Artifact, ArtifactId};
pub use self::card::ModelCard;
pub use self::compare::{Comparison, Difference, MetricChange};
pub(crate) use self::explain::OnRecord;
pub use self::explain::{Explanation, Planned, StagePlan};
pub use self::gc::{Collected, Keep, Verified};
pub use self::history::History;
pub use self::inputs::{InputFile, UsedFile};
pub use self::lineage::{Affected, Lineage, ServingPeriod};
pub(crate) use self::open::{Ended, OpenRun, Outputs, RunLabels};
pub use self::record::{Deployed, Environment, Execution, Measured, Run, StageOfRun, State};
pub use self::root::Root;
pub use self::secret::Secret;
pub use self::segments::Compacted;
pub(crate) use self::task::Task;
pub(crate) use self::trials::TrialLog;

/// The kinds of artifacts that pipelines make.
const KINDS: [&str; 11] = [
    "examples",
    "statistics",
    "schema",
    "anomalies",
    "prepared",
    "transform",
    "model",
    "training",
    "evaluation",
    "predictions",
    "verdict",
];
