//! **fourfold**: from raw data to a served model, as four typed pipelines in one embeddable crate.
//!
//! ```text
//! DataSource ─▶ data ─▶ training ─▶ evaluation & validation ─▶ serving ─▶ clients
//!               split     Trainer      Validator: Verdict         Server
//!               analyse                Blessed<M> or rejected     Predictor, repository, HTTP
//!               validate
//!               transform
//! ```
//!
//! It does what the TFX paper (Baylor et al., KDD 2017) describes, on Arrow, Parquet, DataFusion and linfa, within
//! your process. Stages are ordinary structs; the builder composes them and the compiler checks that they fit:
//!
//! ```
//! use std::sync::Arc;
//!
//! use fourfold::arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
//! use fourfold::prelude::*;
//!
//! // Five hundred rows: heavy parcels by road are late.
//! let kilograms: Vec<f64> = (0..500).map(|i| f64::from(i * 7 % 100)).collect();
//! let road: Vec<&str> = (0..500).map(|i| if i % 3 == 0 { "air" } else { "road" }).collect();
//! let late: Vec<&str> = (0..500)
//!     .map(|i| if kilograms[i] > 60.0 && road[i] == "road" { "yes" } else { "no" })
//!     .collect();
//! let columns: [(&str, ArrayRef); 3] = [
//!     ("kilograms", Arc::new(Float64Array::from(kilograms))),
//!     ("road", Arc::new(StringArray::from(road))),
//!     ("late", Arc::new(StringArray::from(late))),
//! ];
//! let parcels = RecordBatch::try_from_iter(columns)?;
//!
//! # #[cfg(feature = "linfa")] {
//! let pipeline = Pipeline::builder("parcels")
//!     .data(
//!         BatchSource::new("parcels", vec![parcels.clone()])
//!             .label("late")
//!             .split(Split::by_row([("train", 3), ("eval", 1)]))
//!             .transform(Transform::new().z_score("kilograms").one_hot("road")),
//!     )
//!     .train(LogisticRegression::default())
//!     .evaluate(Thresholds::new().at_least("auc", 0.9).better_than_constant())
//!     .serve(InProcess::new())
//!     .build()?; // a stage that is missing or does not fit is a compile error
//!
//! match pipeline.run_blocking()? {
//!     Outcome::Deployed { endpoint, .. } => {
//!         let prediction = endpoint.predict(&parcels.slice(0, 3))?; // raw rows in, no second feature code
//!         assert_eq!(prediction.n_rows(), 3);
//!     }
//!     Outcome::Rejected { run } => panic!("{:?}", run.verdict.reasons()),
//! }
//! # }
//! # Ok::<(), Error>(())
//! ```
//!
//! # Guarantees
//!
//! - **Nothing unvalidated is deployed.** A [server](serving::Server) takes a [`Blessed`](blessing::Blessed) model,
//!   and only a passed validation makes one; the rest does not compile.
//! - **No skew.** One piece of code turns raw rows into features, in training and in serving; it is fitted on the
//!   `train` split only and saved with the model.
//! - **Atomic writes.** Files are written to a temporary place, synced and renamed; loading checks digests.
//! - **Determinism.** Results are the same on any number of threads, see `engine`.
//! - **Bad input gets a clear error** that names the stage, the column and the value.
//!
//! # Modules
//!
//! | module | purpose |
//! | --- | --- |
//! | `pipeline` | the typed builder and the run |
//! | `continuous` | the loop: span after span is checked, trained on, evaluated and deployed; canaries, live metrics, replay |
//! | `report` | a run as an HTML page |
//! | `runs` | records of runs: artifacts, executions, lineage |
//! | `data` | `DataSource`, splits, extraction |
//! | `training` | `Trainer`, boosting, forests, linear models, any estimator of linfa |
//! | `search` | `Tune` and `AutoTrainer`: parameters, transforms and trainers searched by a trainer |
//! | `evaluation` | `Validator`, thresholds |
//! | [`serving`] | [`Server`](serving::Server), model repository, manager, HTTP |
//! | [`blessing`] | verdicts and the token |
//! | [`features`] | the output of transforms and input of models: columns, and a matrix as their view |
//! | [`model`], [`transform`], [`schema`], [`statistics`], [`metrics`] | models, feature transforms, requirements of data, statistics of columns, metrics of models |
//! | [`accumulate`], `engine`, `examples` | analyses over all rows, and the engine that runs them |
//! | [`conformance`] | tests for your own stages |
//! | [`fingerprint`], `progress`, `clock` | identities of configurations and data; events of runs; clocks |
//!
//! # Features
//!
//! | feature | default | adds |
//! | --- | --- | --- |
//! | `datafusion` | yes | the data, training and evaluation pipelines, and the builder |
//! | `linfa` | yes | `Linfa`: any estimator of linfa as a trainer |
//! | `http` | yes | the HTTP server: Open Inference Protocol v2, TensorFlow Serving's REST, metrics |
//! | `request-log` | yes | requests and answers logged as Parquet |
//! | `grpc` | | the gRPC server, with health and reflection |
//! | `tls` | | HTTP and gRPC over TLS (rustls) |
//! | `notify` | | model directories are watched, so that a new version is seen at once |
//! | `object-store` | | models in object stores |
//! | `sql` | | `SqlSource`: queries over any sources; `derive`: features by SQL expressions; `Root::sql`: queries over the records of runs |
//! | `openlineage` | | runs as events of OpenLineage, printed or posted |
//! | `mlflow` | | runs logged to an MLflow tracking server |
//! | `compression` | | CSV and JSON files that end in `.gz`, `.bz2`, `.xz` or `.zst` |
//! | `aws`, `azure`, `gcp` | | files in S3, Azure and Google object stores |
//!
//! A server for models that were trained elsewhere needs `--no-default-features --features http`: no DataFusion, no
//! solvers.
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod accumulate;
pub mod blessing;
mod cancellation;
#[cfg(feature = "datafusion")]
pub mod clock;
pub mod conformance;
#[cfg(feature = "datafusion")]
pub mod continuous;
#[cfg(feature = "datafusion")]
pub mod data;
#[cfg(feature = "datafusion")]
pub mod engine;
mod error;
#[cfg(feature = "datafusion")]
pub mod evaluation;
#[cfg(feature = "datafusion")]
pub mod examples;
pub mod features;
mod field_type;
pub mod fingerprint;
pub mod metrics;
pub mod model;
#[cfg(any(feature = "datafusion", feature = "http"))]
mod page;
#[cfg(feature = "datafusion")]
mod parallel;
#[cfg(feature = "datafusion")]
pub mod pipeline;
#[cfg(feature = "datafusion")]
mod placing;
pub mod prelude;
#[cfg(feature = "datafusion")]
pub mod progress;
#[cfg(feature = "datafusion")]
pub mod report;
#[cfg(feature = "datafusion")]
pub mod runs;
pub mod schema;
#[cfg(feature = "datafusion")]
pub mod search;
pub mod serving;
mod stage;
pub mod statistics;
mod store;
#[cfg(feature = "datafusion")]
pub mod training;
pub mod transform;
mod warning;
mod written;

pub use self::cancellation::Cancellation;
pub use self::error::{Error, ErrorKind, Result};
pub use self::stage::{Configuration, Stage, StageFn, serialize_stage};
pub use self::warning::Warning;
pub use arrow;
#[cfg(feature = "datafusion")]
pub use datafusion;
#[cfg(feature = "linfa")]
pub use linfa;
pub use ndarray;
#[cfg(feature = "object-store")]
pub use object_store;
pub use serde;

/// The README's examples are tests.
#[cfg(all(doctest, feature = "datafusion", feature = "linfa", feature = "http"))]
#[doc = include_str!("../README.md")]
struct Readme;
