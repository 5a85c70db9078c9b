//! Serving over HTTP, with the Open Inference Protocol, version 2, that KServe and Triton speak.
//!
//! | route | answer |
//! | --- | --- |
//! | `GET /v2` | the server's metadata |
//! | `GET /v2/health/live` | 200 |
//! | `GET /v2/health/ready` | 200, or 503 with the reasons while a model has no version that answers |
//! | `GET /v2/models` | the names of the models |
//! | `GET /v2/models/{model}` | the model's metadata: its inputs and outputs |
//! | `GET /v2/models/{model}/ready` | 200, or 404 with the reason |
//! | `POST /v2/models/{model}/infer` | predictions |
//! | `POST /v2/repository/index` | every version of every model, with its state and why it does not answer |
//!
//! The routes of a model exist for a version, too: `/v2/models/{model}/versions/{version}/..`. Tensors are JSON, or
//! binary as in Triton's binary-data extension. Errors are `{"error": ".."}`: 400 for a bad request, naming the
//! input; 404 for what is not there; 500 for a model that fails.
//!
//! ```text
//! curl http://127.0.0.1:8000/v2/models/flights/infer --json '{"inputs": [
//!     {"name": "distance", "shape": [2], "datatype": "INT64", "data": [1400, 200]},
//!     {"name": "carrier", "shape": [2], "datatype": "BYTES", "data": ["UA", null]}]}'
//! ```
//!
//! Inputs that are left out, and `null` among JSON data, are NULL. For clients that cannot send `null`, the request
//! parameter `null_value` names a text that means it.
//!
//! A server of a directory of models, without the pipelines that make them:
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use fourfold::model::Loaders;
//! use fourfold::serving::{Manager, ModelRepository, http};
//!
//! # async fn main_of_an_application() -> fourfold::Result<()> {
//! let manager = Manager::open(ModelRepository::at("models"), Loaders::default())?;
//! let server = http::serve(Arc::new(manager), "127.0.0.1:8000").await?;
//! println!("serving on {}", server.url());
//! // .. until it is time to stop:
//! server.shutdown().await
//! # }
//! ```
//!
//! There is no TLS, no authentication and no limit on idle connections: the port is for a trusted network, or for a
//! proxy that has these.

mod accept;
mod activity;
mod admin;
mod answers;
mod auth;
mod body;
mod connection;
mod failure;
mod front;
mod handle;
mod open_inference;
mod options;
mod path;
mod routes;
mod server;
mod signal;
#[cfg(test)]
mod tests;
mod tf_serving;
#[cfg(feature = "tls")]
mod tls;

pub use self::auth::{BearerToken, BearerTokenService, Guarded, GuardedBody};
pub use self::handle::{HttpHandle, serve};
pub use self::options::{Admin, HttpOptions};
pub use self::routes::{BODY_LIMIT, admin_router, router};
pub use self::server::{HttpEndpoint, HttpServer};
pub use self::signal::shutdown_signal;
#[cfg(all(feature = "grpc", feature = "tls"))]
pub(super) use self::tls::Encryption;
#[cfg(feature = "tls")]
pub use self::tls::Tls;
pub use super::protocol::MAX_ROWS;
