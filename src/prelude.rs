//! The types and traits that most programs need: `use fourfold::prelude::*;`.
//!
//! [`fourfold::Result`](crate::Result) is not among them, as its name is that of the standard library's.

#[cfg(feature = "datafusion")]
pub use crate::blessing::Verdict;
#[cfg(feature = "sql")]
pub use crate::data::SqlSource;
#[cfg(feature = "datafusion")]
pub use crate::data::{
    AnomalyPolicy, BatchSource, DataPipeline, DataSource, DataSourceExt, FileSource, Label,
    ReaderSource, Rebalance, Spans, Split, TableSource,
};
#[cfg(feature = "datafusion")]
pub use crate::engine::Engine;
pub use crate::error::{Error, ErrorKind};
#[cfg(feature = "datafusion")]
pub use crate::evaluation::{EvalArgs, EvaluationPipeline, Thresholds, Validator};
pub use crate::model::{ClassWeights, Loaders, Model, Predict, Task};
#[cfg(feature = "datafusion")]
pub use crate::pipeline::{Outcome, Pipeline};
pub use crate::serving::{
    Endpoint, InProcess, Manager, ModelRepository, Predictor, Server, ServingPipeline,
};
pub use crate::stage::Stage;
#[cfg(feature = "datafusion")]
pub use crate::training::{
    Capabilities, DecisionTree, GradientBoosting, Linear, LinearRegression, LogisticRegression,
    RandomForest, TrainArgs, Trained, Trainer, TrainingPipeline, WarmStart,
};
pub use crate::transform::{AutoTransform, DatePart, Fill, Transform};
