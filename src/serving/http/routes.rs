//! The routes and their answers.

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{DefaultBodyLimit, FromRequest, Path, Request, State};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::{Error, ErrorKind, Result};
use crate::serving::core::{Call, Protocol};
use crate::serving::protocol::{self, InferExchange, Reply};
use crate::serving::{Manager, Predictor, ServerCore};

/// The most bytes that the body of a request may have.
pub const BODY_LIMIT: usize = 64 << 20;

const JSON_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

type Served = State<ServerCore>;
type Answer<T> = Result<T, Failure>;

/// The routes of the Open Inference Protocol for the models of a manager, to be nested in an application's own.
///
/// The manager is not refreshed here: [`serve`](super::serve) does that, or the application with
/// [`Manager::refresh`].
pub fn router(core: impl Into<ServerCore>) -> Router {
    let model = || {
        Router::new()
            .route("/", get(metadata))
            .route("/ready", get(model_ready))
            .route("/infer", post(infer))
    };
    Router::new()
        .route("/v2", get(async || Json(protocol::server_metadata())))
        .route("/v2/health/live", get(async || Json(json!({"live": true}))))
        .route("/v2/health/ready", get(ready))
        .route("/v2/models", get(models))
        .nest("/v2/models/{model}", model())
        .nest("/v2/models/{model}/versions/{version}", model())
        .route("/v2/repository/index", post(index))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(core.into())
}

/// The model that a path names.
#[derive(Deserialize)]
struct Asked {
    model: String,
    version: Option<u64>,
}

type AskedPath = Result<Path<Asked>, PathRejection>;

fn find(manager: &Manager, asked: AskedPath) -> Answer<Predictor> {
    let Path(asked) = asked?;
    Ok(manager.get(&asked.model, asked.version)?)
}

async fn metadata(State(core): Served, asked: AskedPath) -> Answer<Json<Value>> {
    Ok(Json(protocol::model_metadata(&find(
        core.manager(),
        asked,
    )?)?))
}

async fn model_ready(State(core): Served, asked: AskedPath) -> Answer<Json<Value>> {
    let predictor = find(core.manager(), asked)?;
    Ok(Json(json!({"name": predictor.name(), "ready": true})))
}

async fn models(State(core): Served) -> Json<Value> {
    let states = core.manager().states();
    let names: Vec<&str> = states.iter().map(|state| state.name.as_str()).collect();
    Json(json!({ "models": names }))
}

async fn ready(State(core): Served) -> Response {
    let states = core.manager().states();
    let reasons: Vec<String> = states
        .iter()
        .filter(|model| !model.is_available())
        .map(|model| {
            let newest = model
                .versions
                .iter()
                .rev()
                .find_map(|version| version.reason.as_deref());
            format!(
                "model `{}`: {}",
                model.name,
                newest.unwrap_or("no version answers")
            )
        })
        .collect();
    if reasons.is_empty() {
        return Json(json!({"ready": true})).into_response();
    }
    let body = json!({"ready": false, "error": reasons.join("; ")});
    (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
}

/// What of the repository is asked for.
#[derive(Default, Deserialize)]
#[serde(default)]
struct IndexRequest {
    ready: bool,
}

async fn index(State(core): Served, body: Result<Bytes, BytesRejection>) -> Answer<Json<Value>> {
    let body = body?;
    let asked: IndexRequest = if body.is_empty() {
        IndexRequest::default()
    } else {
        serde_json::from_slice(&body)
            .map_err(|error| Error::data(format!("the request is not valid: {error}")))?
    };
    let versions = core.manager().states().into_iter().flat_map(|model| {
        let versions = model.versions.into_iter();
        versions
            .filter(|version| version.is_available() || !asked.ready)
            .map(move |version| {
                json!({
                    "name": model.name,
                    "version": version.version.to_string(),
                    "state": if version.is_available() { "READY" } else { "UNAVAILABLE" },
                    "reason": version.reason.unwrap_or_default(),
                })
            })
    });
    Ok(Json(versions.collect()))
}

async fn infer(State(core): Served, asked: AskedPath, request: Request) -> Answer<Response> {
    let Path(asked) = asked?;
    let json_length = check_headers(request.headers())?;
    let body = Bytes::from_request(request, &()).await?;
    let call = Call {
        model: &asked.model,
        version: asked.version.into(),
        protocol: Protocol::Http,
        n_bytes: body.len(),
        ..Call::default()
    };
    let exchange = InferExchange::new(body, json_length);
    Ok(into_response(core.answer(call, exchange).await?))
}

/// Checks what the headers say of the body; how much of it is JSON.
fn check_headers(headers: &HeaderMap) -> Answer<Option<usize>> {
    let number = |name: &HeaderName| {
        headers
            .get(name)
            .map(|value| value.to_str().ok()?.parse::<usize>().ok())
    };
    if number(&CONTENT_LENGTH)
        .flatten()
        .is_some_and(|length| length > BODY_LIMIT)
    {
        return Err(Failure::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is larger than {BODY_LIMIT} bytes"),
        ));
    }
    if headers
        .get(CONTENT_ENCODING)
        .is_some_and(|encoding| encoding != "identity")
    {
        return Err(Failure::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the header `Content-Encoding` must be `identity`: bodies are not decompressed",
        ));
    }
    match number(&JSON_LENGTH) {
        Some(None) => {
            Err(Error::data("the header `Inference-Header-Content-Length` must be a number").into())
        }
        length => Ok(length.flatten()),
    }
}

fn into_response(reply: Reply) -> Response {
    match reply.json_length {
        None => ([(CONTENT_TYPE, "application/json")], reply.body).into_response(),
        Some(length) => {
            let headers = [
                (CONTENT_TYPE, "application/octet-stream".to_owned()),
                (JSON_LENGTH, length.to_string()),
            ];
            (headers, reply.body).into_response()
        }
    }
}

async fn unknown_path(uri: Uri) -> Failure {
    Failure::new(
        StatusCode::NOT_FOUND,
        format!("there is no path `{}`", uri.path()),
    )
}

async fn wrong_method(method: Method, uri: Uri) -> Failure {
    Failure::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("`{}` does not take {method}", uri.path()),
    )
}

/// An answer that is an error.
#[derive(Debug)]
struct Failure {
    status: StatusCode,
    error: String,
}

impl Failure {
    fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Failure {
            status,
            error: error.into(),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status, Json(json!({"error": self.error}))).into_response()
    }
}

impl From<Error> for Failure {
    /// A bad request is told with its causes; what goes wrong on this side is told without, and logged.
    fn from(error: Error) -> Self {
        let status = match error.kind() {
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Data | ErrorKind::Config | ErrorKind::Schema | ErrorKind::Unsupported => {
                StatusCode::BAD_REQUEST
            }
            ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
            ErrorKind::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
            ErrorKind::Model
            | ErrorKind::AlreadyExists
            | ErrorKind::Corrupt
            | ErrorKind::Io
            | ErrorKind::Internal => {
                tracing::error!(?error, "a request failed");
                return Failure::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string());
            }
        };
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        Failure::new(status, text)
    }
}

impl From<PathRejection> for Failure {
    fn from(rejection: PathRejection) -> Self {
        Failure::new(rejection.status(), rejection.body_text())
    }
}

impl From<BytesRejection> for Failure {
    fn from(rejection: BytesRejection) -> Self {
        Failure::new(rejection.status(), rejection.body_text())
    }
}
