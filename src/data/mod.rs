//! The data pipeline: extract, split, analyse, validate, transform, load.
//!
//! A [`DataSource`] says where raw rows come from; [`DataPipeline`] does the rest. It reads the source once,
//! divides the labelled rows into [splits](Split), computes [statistics](crate::statistics) of every split, infers
//! a [schema](crate::schema) or compares the given one with them, and fits the [transform](crate::transform) on
//! the `train` split only. What comes out is [`PreparedData`], which training and evaluation read from.
//!
//! # Sources
//!
//! | source | rows of |
//! | --- | --- |
//! | [`FileSource`] | CSV, JSON, Parquet and Arrow files: one, a folder, a pattern, Hive's folders, spans; here or in an object store |
//! | `SqlSource` (feature `sql`) | a query that joins, filters and computes over any other sources |
//! | [`BatchSource`] | batches in memory, or structs that serde serialises ([`BatchSource::from_rows`]) |
//! | [`ReaderSource`] | anything that reads batches, opened anew by a function |
//! | [`TableSource`] | a `TableProvider` of DataFusion |
//!
//! Sources read what is needed only where their rows are filtered or selected by a plan: a query, or your own.
//!
//! # Spans
//!
//! Data that arrives in pieces lies in folders or files whose names have a number or a date. [`Spans`] says which of
//! them [`FileSource::spans`] reads, the newest by default; [`FileSource::resolve`] says which these are now. A path
//! may have wildcards beside these tokens:
//!
//! | token | stands for |
//! | --- | --- |
//! | `{SPAN}` | the number of a span, of any number of digits, with zeros in front or without |
//! | `{SPAN:3}` | the same, of three digits |
//! | `{YYYY}`, `{MM}`, `{DD}` | the date of a span, whose number is that of the days since 1970-01-01; all three, in any order, instead of `{SPAN}` |
//! | `{VERSION}`, `{VERSION:2}` | the version of a span, of which the newest is read by default |
//!
//! A path that matches the pattern except for a token that is no number is an error, as are two names of one span (`1` and `01`), and
//! spans of which too few are there.
//!
//! # Roles of splits
//!
//! | split | what it is for |
//! | --- | --- |
//! | `train` | models and transforms learn from it |
//! | `tune` | training chooses by it: when to stop, which of several models, how to calibrate; without it a trainer holds out a part of `train` |
//! | `eval` | validators judge by it; training never sees it |
//! | `test` | scored and reported, never judged or chosen by |
//!
//! `train` and `eval` must be there; splits of other names are extracted and analysed, and for you to use.
//!
//! # Loading
//!
//! The splits are written as Parquet below the pipeline's root, `Split-<name>/part-<number>.parquet`, and read from there
//! row group by row group: no split needs to fit into memory. On the way rows can be [sampled](DataPipeline::sample) and
//! the classes of the `train` split [rebalanced](DataPipeline::rebalance); in training they can count
//! [by class](DataPipeline::class_weights) or [by a column](DataPipeline::weight_column).
//!
//! # Damaged files
//!
//! The lengths that [files](FileSource) claim (in footers, messages, buffers, pages and compressed data) are compared with
//! their size and with the memory limit of the engine before memory is allocated. A panic while decoding becomes an error
//! with the name of the file. A damaged file can still take its host down in these cases:
//!
//! - An application that is built with `panic = "abort"` ends where a decoder panics.
//! - An engine without a [memory limit](crate::engine::Engine::with_memory_limit) lets one batch or page hold 16 GiB, which
//!   the machine may not have. So does a limit that is above what the machine has.
//! - A file that is changed between being looked at and being read may claim anything in between, but for the pages of
//!   Parquet, which are checked as they are read.
//! - A compressed file of text may hold a thousand times its size: it takes time, not memory, up to the longest record of
//!   64 MiB.
//!
//! # Writing your own source
//!
//! A source that can be a [`TableSource`] or a [`ReaderSource`] needs no type of its own. Write one where the source has a
//! configuration that its fingerprint should depend on, or where it can tell whether it has
//! [changed](DataSource::snapshot).
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
//! A source that cannot is often a reader: of a database's rows, of a client's pages. The struct hands on to a [`ReaderSource`], whose
//! rows are structs, and whose functions may wait. A connection or a secret is no configuration: `#[serde(skip)]` keeps it
//! out of fingerprints and reports.
//!
//! ```
//! use fourfold::data::{DataSource, ReaderSource};
//! use fourfold::datafusion::prelude::DataFrame;
//! use fourfold::engine::Engine;
//! use fourfold::fingerprint::Fingerprint;
//! use fourfold::schema::FieldType;
//! use fourfold::{Error, Result, Stage};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize)]
//! struct Orders {
//!     since: String,
//!     #[serde(skip)]
//!     password: String,
//! }
//!
//! #[derive(Deserialize, Serialize)]
//! struct Order {
//!     placed: String,
//!     euros: f64,
//! }
//!
//! impl Orders {
//!     fn rows(&self) -> ReaderSource {
//!         let path = format!("orders-{}.jsonl", self.since);
//!         let columns = [("placed", FieldType::Timestamp), ("euros", FieldType::Float)];
//!         ReaderSource::from_rows("orders", columns, move || {
//!             let text = std::fs::read_to_string(&path).map_err(|error| Error::io(format!("reading `{path}`"), error))?;
//!             let orders = text.lines().map(|line| serde_json::from_str::<Order>(line));
//!             let orders = orders.map(|order| order.map_err(|error| Error::other("reading an order", error)));
//!             Ok(orders.collect::<Vec<_>>())
//!         })
//!     }
//! }
//!
//! impl Stage for Orders {
//!     fn name(&self) -> &str {
//!         "orders"
//!     }
//! }
//!
//! impl DataSource for Orders {
//!     async fn read(&self, engine: &Engine) -> Result<DataFrame> {
//!         self.rows().read(engine).await
//!     }
//!
//!     async fn snapshot(&self, engine: &Engine) -> Result<Option<Fingerprint>> {
//!         self.rows().snapshot(engine).await
//!     }
//! }
//! ```
//!
//! # When the data breaks its schema
//!
//! By default the pipeline stops before training, and reports what was found and what is allowed. An [`AnomalyPolicy`]
//! has it continue, or set the rows at fault aside into [Parquet files](Quarantined) of their own. Given the statistics
//! of the [previous span](DataPipeline::previous_statistics) or of the
//! [data in serving](DataPipeline::serving_statistics), it measures drift and skew of every column;
//! [`FeatureSkew`] compares two data sets row by row.
//!
//! Architecture invariant: the transform sees the `train` split only, the judges' rows never. Held by
//! `tests/it/data.rs`, which plants values in the `eval` split and finds no trace of them.

mod damage;
mod doubts;
mod extract;
mod feature_skew;
mod file_format;
mod file_inspector;
mod file_options;
mod file_source;
mod files_table;
mod kept;
mod key;
mod load;
mod location;
mod merging;
#[cfg(feature = "sql")]
mod partition_order;
mod pattern;
mod policy;
mod prepare;
mod refine;
mod remote;
mod rows;
mod source;
mod spans;
mod spans_of;
mod split;
mod split_by;
mod split_writer;
#[cfg(feature = "sql")]
mod sql_source;
mod table_source;
mod telling;
mod text;
mod turns;
mod validate;

use std::collections::HashSet;
use std::sync::Arc;

use serde::Serialize;

use self::extract::Division;
pub(crate) use self::extract::Extracted;
pub use self::feature_skew::{FeatureSkew, FeatureSkewReport, SkewSample, SkewedFeature};
pub use self::file_source::FileSource;
pub(crate) use self::kept::{DataFacts, EXAMPLES, PREPARED, SCHEMA, STATISTICS};
pub use self::load::Rebalance;
pub use self::policy::{AnomalyPolicy, QuarantineReason, Quarantined};
pub use self::prepare::PreparedData;
pub use self::source::{BatchSource, DataSource, DataSourceExt};
pub use self::spans::{Span, Spans};
pub use self::spans_of::{RollingWindow, SpanBatches, SpanId, SpanSource};
pub use self::split::{EVAL, Split, TEST, TRAIN, TUNE};
#[cfg(feature = "sql")]
pub use self::sql_source::SqlSource;
pub use self::table_source::{ReaderSource, TableSource};
pub use self::telling::source_warnings;
use crate::error::{Error, Result};
pub use crate::model::Label;
use crate::model::{ClassWeights, Task};
use crate::schema::Schema;
use crate::statistics::Statistics;
use crate::transform::{Decision, TransformChoice};

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

/// All but the source. What it does is compiled once, not once a source. Whatever is added here is in the
/// [key](key::key_of) of what is prepared.
#[derive(Clone, Debug, Serialize)]
struct DataPlan {
    division: Division,
    task: Option<Task>,
    class_weights: Option<ClassWeights>,
    weight_column: Option<String>,
    group_column: Option<String>,
    exclude: Vec<String>,
    schema: Option<Schema>,
    on_anomaly: AnomalyPolicy,
    #[serde(serialize_with = "key::of_statistics")]
    previous: Option<Arc<Statistics>>,
    #[serde(serialize_with = "key::of_statistics")]
    serving: Option<Arc<Statistics>>,
    transform: TransformChoice,
}

impl<S: DataSource> DataPipeline<S> {
    /// A pipeline over a source. It needs a [label](DataPipeline::label); the rest has defaults: a split by row,
    /// 8 : 1 : 1, an inferred schema, a transform [chosen](crate::transform::AutoTransform) from the statistics.
    #[must_use]
    pub fn new(source: S) -> Self {
        DataPipeline {
            source,
            plan: DataPlan {
                division: Division::default(),
                task: None,
                class_weights: None,
                weight_column: None,
                group_column: None,
                exclude: Vec::new(),
                schema: None,
                on_anomaly: AnomalyPolicy::default(),
                previous: None,
                serving: None,
                transform: TransformChoice::default(),
            },
        }
    }

    /// Sets the label: a column's name, or a [`Label`] made from one.
    #[must_use]
    pub fn label(mut self, label: impl Into<Label>) -> Self {
        self.plan.division.label = Some(label.into());
        self
    }

    /// The task, where the label alone does not tell it as it should, see [`Target::infer`](crate::model::Target::infer).
    #[must_use]
    pub fn task(mut self, task: impl Into<Option<Task>>) -> Self {
        self.plan.task = task.into();
        self
    }

    /// Sets how rows are divided into splits.
    #[must_use]
    pub fn split(mut self, split: Split) -> Self {
        self.plan.division.split = split;
        self
    }

    /// Takes only this share of the rows, such as 0.1, the same ones in every run: of rows with the same key of a
    /// [split by hash](Split::by_hash) all or none; without keys, each row independently of all others, as
    /// [`Split`] places them. A larger sample holds all rows of a smaller one.
    #[must_use]
    pub fn sample(mut self, fraction: f64) -> Self {
        self.plan.division.load.sample = Some(fraction);
        self
    }

    /// Makes the classes of the `train` split more even.
    #[must_use]
    pub fn rebalance(mut self, rebalance: Rebalance) -> Self {
        self.plan.division.load.rebalance = Some(rebalance);
        self
    }

    /// Weights the rows of each class in training; equally by default. A trainer that does not support them says so.
    #[must_use]
    pub fn class_weights(mut self, weights: ClassWeights) -> Self {
        self.plan.class_weights = Some(weights);
        self
    }

    /// A column of how much each row counts, in training and in metrics: finite numbers of at least 0. It is no feature,
    /// and requests need not have it.
    #[must_use]
    pub fn weight_column(mut self, column: impl Into<String>) -> Self {
        self.plan.weight_column = Some(column.into());
        self
    }

    /// A column whose equal values are one entity, such as a customer: trainers that hold out rows do not part its rows.
    /// It is no feature, and requests need not have it. A [split by hash](Split::by_hash) of it keeps its rows in one
    /// split.
    #[must_use]
    pub fn group_column(mut self, column: impl Into<String>) -> Self {
        self.plan.group_column = Some(column.into());
        self
    }

    /// The maximum number of rows of a row group of the examples' Parquet files; 131,072 by default. A row group is what a reader
    /// takes at once: smaller ones need less memory for each stream of batches, larger ones are read and packed better.
    #[must_use]
    pub fn row_group_rows(mut self, n: usize) -> Self {
        self.plan.division.load.row_group_rows = n;
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

    /// Sets what happens to data that breaks the schema; by default, the pipeline stops before training.
    #[must_use]
    pub fn on_anomaly(mut self, policy: AnomalyPolicy) -> Self {
        self.plan.on_anomaly = policy;
        self
    }

    /// The statistics of the previous span's `train` split: the present one's drift from it is
    /// [measured](PreparedData::comparisons), and compared with the thresholds of the schema.
    #[must_use]
    pub fn previous_statistics(mut self, statistics: Statistics) -> Self {
        self.plan.previous = Some(Arc::new(statistics));
        self
    }

    /// The statistics of the data in serving: the `train` split's skew from it is
    /// [measured](PreparedData::comparisons), and compared with the thresholds of the schema.
    #[must_use]
    pub fn serving_statistics(mut self, statistics: Statistics) -> Self {
        self.plan.serving = Some(Arc::new(statistics));
        self
    }

    /// The transform, or how to choose one. It is planned for the trainer, and fitted when training begins.
    #[must_use]
    pub fn transform(mut self, transform: impl Into<TransformChoice>) -> Self {
        self.plan.transform = transform.into();
        self
    }

    /// The label's rule.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if there is none.
    pub(crate) fn label_rule(&self) -> Result<&Label> {
        self.plan.division.label()
    }

    /// Sets how rows are divided into splits.
    #[must_use]
    pub fn split_rule(&self) -> &Split {
        &self.plan.division.split
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
    /// Columns that say something of a row's place in training, and nothing of the row.
    fn not_features(&self) -> impl Iterator<Item = &str> {
        self.roles().map(|(column, _)| column)
    }

    /// The columns that are there for something else than features, and what for.
    fn roles(&self) -> impl Iterator<Item = (&str, &'static str)> {
        let weight = self.weight_column.as_deref();
        let group = self.group_column.as_deref();
        let names = self.division.split.naming_column();
        let weight = weight.map(|column| (column, "it is the weight of rows"));
        let group = group.map(|column| (column, "it groups the rows"));
        let names = names.map(|column| (column, "it names the splits"));
        [weight, group, names].into_iter().flatten()
    }

    /// Decisions of the columns that are no features because somebody said so.
    fn left_out(&self) -> Vec<Decision> {
        let excluded = self
            .exclude
            .iter()
            .map(|column| (column.as_str(), "excluded"));
        let mut columns = HashSet::new();
        self.roles()
            .chain(excluded)
            .filter(|(column, _)| columns.insert(*column))
            .map(|(column, reason)| Decision {
                column: column.to_owned(),
                action: "left out".to_owned(),
                reason: reason.to_owned(),
            })
            .collect()
    }

    fn check(&self) -> Result<()> {
        self.division.split.check()?;
        self.division.load.check()?;
        if let Some(weights) = &self.class_weights {
            weights.check()?;
        }
        self.division.label()?.check()?;
        if let Some(schema) = &self.schema {
            schema.check().map_err(|error| error.in_stage("validate"))?;
        }
        match &self.transform {
            TransformChoice::Given(transform) if transform.steps().is_empty() => Err(Error::config(
                "the transform has no step, so no column makes a feature; leave it out to have one chosen",
            )
            .in_stage("transform")),
            TransformChoice::Given(transform) => transform.check(),
            TransformChoice::Auto(_) => Ok(()),
        }
    }
}
