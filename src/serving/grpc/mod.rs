//! Serving over gRPC, with the Open Inference Protocol, version 2: `inference.GRPCInferenceService`.
//!
//! | call | answer |
//! | --- | --- |
//! | `ServerLive`, `ServerReady`, `ModelReady` | whether the server is there, is ready (see [`Readiness`](super::http::Readiness)), and a model answers |
//! | `ServerMetadata`, `ModelMetadata`, `ModelConfig` | metadata: inputs and outputs |
//! | `ModelInfer` | predictions |
//! | `ModelStreamInfer` | predictions for many requests on one stream, in their order |
//! | `ModelStatistics` | counts and times of the requests |
//! | `RepositoryIndex` | every version of every model, with its state and why it does not answer |
//! | `RepositoryModelLoad`, `RepositoryModelUnload` | where admin routes are on: see [`Admin`](super::http::Admin) |
//!
//! The server also has `grpc.health.v1.Health` (for the names `""` and `inference.GRPCInferenceService`; it follows
//! `ServerReady`) and reflection, versions 1 and 1alpha. Triton's calls about shared memory, tracing and logging are
//! `UNIMPLEMENTED`.
//!
//! Tensors are typed `contents` or `raw_input_contents`, the same for all inputs, and answers have the form of the
//! request unless its parameter `binary_data_output` (a boolean) overrides it. `model_version` is a number, a
//! label, or empty. The request's parameter `null_value` names a string that means NULL; `contributions` (a
//! boolean) requests column contributions, as over HTTP.
//!
//! | metadata of the request | |
//! | --- | --- |
//! | `grpc-timeout` | the timeout of the client, after which the work stops. The parameter `timeout` (microseconds) does the same |
//! | `x-routing-key` | the key of a traffic split by key |
//! | `x-request-id` | the request's id for logs, where the message has none |
//!
//! `model_version` of an answer, and the metadata `fourfold-model-version`, are the version that gave it. Errors map to
//! codes:
//!
//! | kind of error | code |
//! | --- | --- |
//! | `NotFound` | `NOT_FOUND` |
//! | `Data`, `Config`, `Schema` | `INVALID_ARGUMENT` |
//! | `Unsupported` | `UNIMPLEMENTED` |
//! | `AlreadyExists` | `ALREADY_EXISTS` |
//! | `Unavailable` | `UNAVAILABLE` |
//! | `ResourceExhausted` | `RESOURCE_EXHAUSTED` |
//! | `DeadlineExceeded` | `DEADLINE_EXCEEDED` |
//! | `Corrupt` | `DATA_LOSS` |
//! | `Model`, `Io`, `Internal` | `INTERNAL` |
//!
//! `UNAVAILABLE` and `RESOURCE_EXHAUSTED` come with `grpc-retry-pushback-ms`: when to try again.
//! A message that is larger than [`max_body_bytes`](super::http::ServerOptions::max_body_bytes) or the model's [`Limits`](super::http::Limits) is
//! `OUT_OF_RANGE`, one that does not arrive within [`body_timeout`](super::http::ServerOptions::body_timeout) `DEADLINE_EXCEEDED`, and one that
//! is not Protocol Buffers `INTERNAL`. For an unknown model, `ModelReady` answers that it is not ready.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use fourfold::model::Loaders;
//! use fourfold::serving::{Manager, ModelRepository, ServerCore, grpc, http};
//!
//! # async fn main_of_an_application() -> fourfold::Result<()> {
//! let manager = Arc::new(Manager::open(ModelRepository::at("models"), Loaders::default())?);
//! let core = ServerCore::new(Arc::clone(&manager));
//! let http = http::serve(manager, "127.0.0.1:8000").await?;
//! let grpc = grpc::serve(core, "127.0.0.1:8001").await?;
//! println!("serving on {} and {}", http.url(), grpc.address());
//! // .. until it is time to stop:
//! grpc.shutdown().await?;
//! http.shutdown().await
//! # }
//! ```
//!
//! An application that has a server of its own mounts the services there: [`router`] is axum's, [`routes`] are tonic's.

mod answers;
mod body;
mod deadline;
#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    rust_2018_idioms,
    clippy::all,
    clippy::pedantic,
    clippy::restriction,
    reason = "it is generated"
)]
#[rustfmt::skip]
mod generated;
mod health;
mod infer;
mod reply;
mod routes;
mod service;
mod standing;
mod status;
mod stream;
#[cfg(test)]
mod tests;

use self::generated::inference as proto;
pub(super) use self::routes::Calls;
pub use self::routes::{router, routes, serve};

/// The header of answers with the version that answered, as over HTTP.
const MODEL_VERSION: &str = "fourfold-model-version";
