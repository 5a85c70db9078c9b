//! Artifacts, records of runs and executions, and queries over them.
//!
//! A pipeline with a [root](crate::pipeline::PipelineBuilder::root) stores the outputs of its stages, with their inputs on
//! record. The next run executes only stages whose inputs have changed, a run after a killed one resumes where it stopped, and
//! every model leads back to the rows, the code and the parameters that it was made from.
//!
//! ```text
//! <root>/root.json                          the version of this format
//! <root>/artifacts/<kind>/<digest>/         an output of a stage: written whole or not at all, never changed
//! <root>/executions/<kk>/<key>-<id>.json    an execution of a stage, or a trial of a search, under the key of its inputs
//! <root>/runs/<id>.json                     a run: its executions, those it reused, its outcome
//! <root>/segments/<kind>-<digest>.parquet   older records, many to a file
//! <root>/inputs.json                        a cache: digests of input files by size, time and inode
//! ```
//!
//! The files are the only truth: a copied folder is a complete history, and several processes on several machines may share a
//! root at the same time. A root is private to its user unless [`Root::readable_by_group`] says otherwise; a
//! [server](crate::serving) publishes models for others.
//!
//! # Which stages run again
//!
//! | stage | runs again after a change of | makes |
//! | --- | --- | --- |
//! | `extract` | the content of the source, source, label, split, sample | `examples` |
//! | `prepare` | `examples`, the configuration of the data pipeline | `statistics`, `schema`, `anomalies`, `prepared` |
//! | `train` | these, trainer, seed, the serving model to start from | `model`, `transform`, `training` |
//! | `evaluate` | `model`, `examples`, slices and metrics, the serving model to compare with | `evaluation`, `predictions` |
//! | `verdict` | `evaluation`, validator | `verdict` |
//! | `deploy` | `model`, unless it serves already | |
//!
//! Inputs are identified by their digests: if a stage runs and makes an equal output, the stages that depend on it do not run.
//! Stages are identified by name, version and configuration, so raise [`Stage::version`](crate::Stage::version) when the code
//! of a stage changes. A candidate that is serving already is not compared with itself: the findings from its deployment stand.
//! Each finished trial of a [search](crate::search) is recorded too, so that an interrupted search resumes with them.
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
//! assert_eq!(outcome.run().ran, ["extract", "verdict"]); // rows in memory are read every time
//!
//! let root = Root::open(dir.path().join("root"))?;
//! assert_eq!(root.runs()?.len(), 2);
//! # }
//! # Ok::<(), fourfold::Error>(())
//! ```
//!
//! Architecture invariant: this module does not depend on pipelines: stages are names, artifacts are kinds and digests. Held
//! by `tests/it/tidy.rs`.

mod artifact;
mod card;
#[cfg(any(feature = "mlflow", feature = "openlineage"))]
mod client;
mod compare;
mod explain;
mod gc;
mod history;
mod inputs;
mod lineage;
#[cfg(feature = "mlflow")]
mod mlflow;
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
#[cfg(feature = "mlflow")]
pub use self::mlflow::Mlflow;
pub(crate) use self::open::{Ended, OpenRun, Outputs, RunLabels};
#[cfg(feature = "openlineage")]
pub use self::openlineage::OpenLineage;
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
