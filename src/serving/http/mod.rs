//! Serving over HTTP: the Open Inference Protocol, version 2, that KServe and Triton speak, and TensorFlow Serving's REST
//! interface.
//!
//! | route | answer |
//! | --- | --- |
//! | `GET /v2` | the server's metadata |
//! | `GET /v2/health/live` | 200 |
//! | `GET /v2/health/ready` | 200, or 503 with the reasons: see [`Readiness`] |
//! | `GET /v2/models` | the names of the models |
//! | `GET /v2/models/{model}` | the model's metadata: its versions, inputs and outputs |
//! | `GET /v2/models/{model}/config` | its configuration as Triton's clients read it |
//! | `GET /v2/models/{model}/ready` | 200, or 404 or 503 with the reason |
//! | `POST /v2/models/{model}/infer` | predictions |
//! | `GET /v2/models/{model}/stats`, `GET /v2/models/stats` | counts and times of requests, as Triton reports them |
//! | `POST /v2/repository/index` | every version of every model, with its state and why it does not answer |
//! | `GET /v1/models/{model}` | the states of the model's versions |
//! | `GET /v1/models/{model}/metadata` | its signature |
//! | `POST /v1/models/{model}:predict`, `:classify`, `:regress` | predictions by row or by column |
//! | `GET /metrics` | metrics for Prometheus, unless they are [off](ServerOptions::metrics) |
//!
//! The routes of a model exist for a version and for a label, too: `/v2/models/{model}/versions/{version}/..`,
//! `/v2/models/{model}/labels/{label}/..`, `/v1/models/{model}/versions/{version}:predict` and so on. Tensors are JSON, or
//! binary as in Triton's binary-data extension.
//!
//! Where admin routes are [on](Admin), these routes change what is served:
//!
//! | route | effect |
//! | --- | --- |
//! | `POST /v2/repository/models/{model}/load` | loads a model, and answers once the model is available |
//! | `POST /v2/repository/models/{model}/unload` | unloads it until it is loaded again |
//! | `POST /v2/repository/models/{model}/rollback` | rolls back to the version before, and answers with it: `{"name": "m", "version": "2"}` |
//! | `GET /v2/repository/models/{model}/labels` | `{"name": "m", "labels": {"stable": 2}}` |
//! | `PUT`, `DELETE /v2/repository/models/{model}/labels/{label}` | `{"version": 3}`: the version has the label |
//! | `PUT`, `DELETE /v2/repository/models/{model}/traffic` | `{"by": "key", "shares": [{"to": "stable", "weight": 95}, {"to": 3, "weight": 5}]}` |
//!
//! `GET /dashboard` is beside them if it is [on](ServerOptions::dashboard): a page for people.
//!
//! # Headers
//!
//! | of the request | meaning |
//! | --- | --- |
//! | `X-Request-Id` | an id that the answer and the logs repeat |
//! | `X-Routing-Key` | the key of a traffic split by key, such as a customer's number |
//! | `Request-Timeout` | the timeout of the client in seconds, such as `0.25`: then 504, and the work stops |
//! | `traceparent` | a field of the request's span |
//!
//! The request parameter `timeout` of Triton's clients has no effect over HTTP, because it is within the body; use the header
//! `Request-Timeout`. The header `Fourfold-Model-Version` of an answer is the version that gave it.
//!
//! # Errors
//!
//! An error is `{"error": ".."}`: 400 for a bad request, naming the input; 401 and 403 for a client without the right token; 404
//! for an unknown path, model or version; 405, 408, 413, 414, 415 and 431 for a malformed, slow or oversized request; 429 with
//! `Retry-After` for a model at capacity (under a flood of requests, delayed by up to a second); 500 for a model that fails;
//! 503 with `Retry-After` for a model that is not loaded yet, or too many connections; 504 for a timeout. Below `/v1` an
//! unknown path and an unknown label are 400, as in TensorFlow Serving. The work for a request stops when its client leaves:
//! when it resets the connection, or closes its half more than a second after the request. A client that closes its half
//! right after the request gets its answer.
//!
//! ```text
//! curl http://127.0.0.1:8000/v2/models/flights/infer --json '{"inputs": [
//!     {"name": "distance", "shape": [2], "datatype": "INT64", "data": [1400, 200]},
//!     {"name": "carrier", "shape": [2], "datatype": "BYTES", "data": ["UA", null]}]}'
//! curl http://127.0.0.1:8000/v1/models/flights:predict --json '{"instances": [
//!     {"distance": 1400, "carrier": "UA"}, {"distance": 200}]}'
//! ```
//!
//! Inputs that are left out, and `null` among JSON data, are NULL. For clients that cannot send `null`, the request
//! parameter `null_value` names a string that means NULL.
//!
//! With the request parameter `contributions` of the Open Inference Protocol, the answer says what each column contributes
//! to the outputs before the link: `contributions`, of shape `[rows, outputs, names]`, with `contribution_names`. They add
//! up to the log odds of a class, or to the value of a regression. Such a request costs a forest some hundred times a
//! prediction.
//!
//! # Starting one
//!
//! A server of a directory of models, without the pipelines that make them:
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use fourfold::model::Loaders;
//! use fourfold::serving::http::{BearerToken, ServerOptions, shutdown_signal};
//! use fourfold::serving::{Manager, ModelRepository};
//!
//! # async fn main_of_an_application() -> fourfold::Result<()> {
//! let manager = Manager::open(ModelRepository::at("models"), Loaders::default())?;
//! let options = ServerOptions::default().auth(BearerToken::new(["a long random text"]));
//! let server = options.serve(Arc::new(manager), "127.0.0.1:8000").await?;
//! println!("serving on {}", server.url());
//! shutdown_signal().await?;
//! server.shutdown().await
//! # }
//! ```
//!
//! [`ServerOptions`] has the limits on what clients may send and on how long they may take, TLS,
//! tokens and admin routes. One transport serves HTTP and gRPC with one set of options. By default there is neither encryption
//! nor authorisation: the port is for a trusted network, or for a proxy that has these.
//!
//! # In a server of your own
//!
//! [`router`] is an [`axum::Router`]: merge it into yours, nest it, put `tower` layers over it, and serve it with what
//! you have. [`ServerOptions::serve_router`] serves such a router with the limits, the TLS and the draining of this module.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use axum::Router;
//! use axum::routing::get;
//! use fourfold::serving::http::{BearerToken, ServerOptions};
//! use fourfold::serving::{Manager, ServerCore, http};
//!
//! # async fn main_of_an_application(manager: Arc<Manager>) -> fourfold::Result<()> {
//! let core = ServerCore::new(manager);
//! let operators = http::admin_router(core.clone()).layer(BearerToken::new(["for-operators"]));
//! let app = Router::new()
//!     .route("/", get(async || "the shop"))
//!     .merge(http::router(core.clone()))
//!     .nest("/operators", operators);
//! let server = ServerOptions::default().serve_router(app, core, "127.0.0.1:8000").await?;
//! # server.wait().await
//! # }
//! ```
//!
//! # Logs
//!
//! A request is one `tracing` event of the target `fourfold::access` at level INFO, with `method`, `path`, `route`,
//! `status`, `model`, `version`, `rows`, `duration_us`, `request_bytes`, `response_bytes`, `request_id` and `remote`; the
//! status is 499 where the client left. It is also a span of the target `fourfold::http`, with the fields that
//! OpenTelemetry's conventions name: `http.request.method`, `http.route`, `http.response.status_code`, `url.path`,
//! `client.address`; and `traceparent`. Where no subscriber wants either, they cost nothing.

mod admin;
mod answers;
mod body;
mod dashboard;
mod failure;
mod head;
mod open_inference;
mod path;
mod routes;
mod server;
#[cfg(test)]
mod tests;
mod tf_serving;

pub(super) use self::answers::{Answers, Routes};
pub(super) use self::body::discard;
pub(super) use self::head::check as check_head;
pub use self::routes::{BODY_LIMIT, admin_router, router};
pub use self::server::serve;
pub use super::protocol::MAX_ROWS;
pub use super::readiness::Readiness;
pub use super::requests::{Batching, Limits, ServerCoreBuilder};
#[cfg(feature = "tls")]
pub use super::transport::Tls;
pub use super::transport::{
    Admin, BearerToken, BearerTokenService, Guarded, GuardedBody, ServerHandle, ServerOptions,
    shutdown_signal,
};
