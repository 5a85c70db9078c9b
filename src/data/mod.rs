//! The data pipeline: extract, split, analyse, validate, transform, load.
//!
//! A [`DataSource`] says where raw rows come from; [`DataPipeline`] does the rest. It reads the source once,
//! divides the labelled rows into [splits](Split), computes [statistics](crate::statistics) of every split, infers
//! a [schema](crate::schema) or holds the given one against them, and fits the [transform](crate::transform) on
//! the `train` split only. What comes out is [`PreparedData`], which training and evaluation read from.
//!
//! # Writing your own source
//!
//! A source is a struct whose fields are its configuration. What DataFusion can read is a few lines:
//!
//! ```
//! use fourfold::data::DataSource;
//! use fourfold::datafusion::prelude::{CsvReadOptions, DataFrame};
//! use fourfold::engine::Engine;
//! use fourfold::{Result, Stage};
//! use serde::Serialize;
//!
//! #[derive(Serialize)]
//! struct Sensors {
//!     file: String,
//! }
//!
//! impl Stage for Sensors {
//!     fn name(&self) -> &str {
//!         "sensors"
//!     }
//! }
//!
//! impl DataSource for Sensors {
//!     async fn read(&self, engine: &Engine) -> Result<DataFrame> {
//!         let options = CsvReadOptions::new().delimiter(b';');
//!         Ok(engine.session().read_csv(&self.file, options).await?)
//!     }
//! }
//! ```
//!
//! # When the data breaks its schema
//!
//! By default the pipeline stops before training, and says what was found and what is allowed. An [`AnomalyPolicy`]
//! has it go on, or set the rows at fault aside into [Parquet files](Quarantined) of their own. Given the statistics
//! of the [previous span](DataPipeline::previous_statistics) or of the
//! [data in serving](DataPipeline::serving_statistics), it measures drift and skew of every column;
//! [`FeatureSkew`] compares two data sets row by row.
//!
//! Architecture invariant: the transform sees the `train` split only, the judges' rows never. Held by
//! `tests/it/data.rs`, which plants values in the `eval` split and finds no trace of them.

mod extract;
mod feature_skew;
mod file_source;
mod label;
mod policy;
mod prepare;
mod source;
mod split;
mod validate;

use std::sync::Arc;

use serde::Serialize;

pub use self::feature_skew::{FeatureSkew, FeatureSkewReport, SkewSample, SkewedFeature};
pub use self::file_source::FileSource;
pub use self::label::Label;
pub use self::policy::{AnomalyPolicy, QuarantineReason, Quarantined};
pub use self::prepare::PreparedData;
pub use self::source::{BatchSource, DataSource, DataSourceExt};
pub use self::split::{EVAL, Split, TRAIN};
use crate::error::{Error, Result};
use crate::model::Task;
use crate::schema::Schema;
use crate::statistics::Statistics;
use crate::transform::{AutoTransform, Transform};

/// The default data pipeline over a source.
///
/// ```
/// use fourfold::data::{DataPipeline, FileSource, Label, Split};
/// use fourfold::transform::Transform;
///
/// let data = DataPipeline::new(FileSource::parquet("flights/"))
///     .label(Label::at_least("arr_delay", 15.0).named("late"))
///     .split(Split::by_hash(["carrier", "flight"], [("train", 8), ("eval", 1), ("test", 1)]))
///     .transform(Transform::new().z_score("distance").one_hot("carrier"));
/// # let _ = data;
/// ```
#[derive(Clone, Debug, Serialize)]
pub struct DataPipeline<S> {
    source: S,
    plan: DataPlan,
}

/// All but the source. What it does is compiled once, not once a source.
#[derive(Clone, Debug, Serialize)]
struct DataPlan {
    label: Option<Label>,
    task: Task,
    split: Split,
    exclude: Vec<String>,
    schema: Option<Schema>,
    on_anomaly: AnomalyPolicy,
    #[serde(skip)]
    previous: Option<Arc<Statistics>>,
    #[serde(skip)]
    serving: Option<Arc<Statistics>>,
    transform: TransformPlan,
}

#[derive(Clone, Debug, Serialize)]
enum TransformPlan {
    Auto(AutoTransform),
    Given(Transform),
}

/// What a transform may be given as: a [`Transform`], or an [`AutoTransform`] that chooses one.
#[derive(Clone, Debug, Serialize)]
pub struct TransformChoice(TransformPlan);

impl From<Transform> for TransformChoice {
    fn from(transform: Transform) -> Self {
        TransformChoice(TransformPlan::Given(transform))
    }
}

impl From<AutoTransform> for TransformChoice {
    fn from(auto: AutoTransform) -> Self {
        TransformChoice(TransformPlan::Auto(auto))
    }
}

impl<S: DataSource> DataPipeline<S> {
    /// A pipeline over a source. It needs a [label](DataPipeline::label); the rest has defaults: a split by row,
    /// 8 : 1 : 1, an inferred schema, a transform [chosen](AutoTransform) from the statistics.
    #[must_use]
    pub fn new(source: S) -> Self {
        DataPipeline {
            source,
            plan: DataPlan {
                label: None,
                task: Task::Auto,
                split: Split::default(),
                exclude: Vec::new(),
                schema: None,
                on_anomaly: AnomalyPolicy::default(),
                previous: None,
                serving: None,
                transform: TransformPlan::Auto(AutoTransform::default()),
            },
        }
    }

    /// What to predict: a column's name, or a [`Label`] made from one.
    #[must_use]
    pub fn label(mut self, label: impl Into<Label>) -> Self {
        self.plan.label = Some(label.into());
        self
    }

    /// The task, where the label alone does not tell.
    #[must_use]
    pub fn task(mut self, task: Task) -> Self {
        self.plan.task = task;
        self
    }

    /// How rows are divided.
    #[must_use]
    pub fn split(mut self, split: Split) -> Self {
        self.plan.split = split;
        self
    }

    /// Columns that a chosen transform must not use: known too late, or not allowed. A transform that is given
    /// uses the columns it names.
    #[must_use]
    pub fn exclude<C: Into<String>>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
        self.plan
            .exclude
            .extend(columns.into_iter().map(Into::into));
        self
    }

    /// A schema that the data must fit, instead of one inferred from it.
    #[must_use]
    pub fn schema(mut self, schema: Schema) -> Self {
        self.plan.schema = Some(schema);
        self
    }

    /// What happens to data that breaks the schema: by default, the pipeline stops before training.
    #[must_use]
    pub fn on_anomaly(mut self, policy: AnomalyPolicy) -> Self {
        self.plan.on_anomaly = policy;
        self
    }

    /// The statistics of the previous span's `train` split: the present one's drift from it is
    /// [measured](PreparedData::comparisons), and held against the thresholds of the schema.
    #[must_use]
    pub fn previous_statistics(mut self, statistics: Statistics) -> Self {
        self.plan.previous = Some(Arc::new(statistics));
        self
    }

    /// The statistics of the data in serving: the `train` split's skew from it is
    /// [measured](PreparedData::comparisons), and held against the thresholds of the schema.
    #[must_use]
    pub fn serving_statistics(mut self, statistics: Statistics) -> Self {
        self.plan.serving = Some(Arc::new(statistics));
        self
    }

    /// The transform, or how to choose one.
    #[must_use]
    pub fn transform(mut self, transform: impl Into<TransformChoice>) -> Self {
        self.plan.transform = transform.into().0;
        self
    }

    /// The source.
    #[must_use]
    pub fn source(&self) -> &S {
        &self.source
    }

    /// Checks the configuration.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) with the field, the value and the allowed range.
    pub fn check(&self) -> Result<()> {
        self.source
            .check()
            .map_err(|error| error.in_stage(self.source.name()))?;
        self.plan.check()
    }
}

impl DataPlan {
    fn check(&self) -> Result<()> {
        self.split.check()?;
        match &self.label {
            None => {
                return Err(Error::config(
                    "there is no label; call `.label(\"column\")`",
                ));
            }
            Some(label) => label.check()?,
        }
        if let Some(schema) = &self.schema {
            schema.check().map_err(|error| error.in_stage("validate"))?;
        }
        match &self.transform {
            TransformPlan::Given(transform) => transform.check(),
            TransformPlan::Auto(_) => Ok(()),
        }
    }
}
