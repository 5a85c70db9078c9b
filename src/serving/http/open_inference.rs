//! The answers of the Open Inference Protocol.

use axum::body::Bytes;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use serde_json::json;

use super::answers::{Answer, Asking, Shared, json, json_text};
use super::failure::Failure;
use super::path::{About, ModelPath};
use crate::error::{Error, Result};
use crate::serving::lifecycle::VersionChoice;
use crate::serving::protocol::{self, InferExchange, Reply};
use crate::serving::requests::Protocol;
use crate::serving::transport::{RequestBody, Seen};

const JSON_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

pub(super) async fn infer(
    asking: Asking<'_>,
    asked: &ModelPath<'_>,
    body: &mut RequestBody,
    seen: &mut Seen,
) -> Answer {
    let json_length = check_headers(&asking.head.headers)?;
    let question = asking.read_for(asked, body, seen).await?;
    let exchange = InferExchange::new(question.body, json_length);
    let (deadline, client) = (question.deadline, body.client());
    let reply = asking
        .ask(asked, deadline, client, exchange, Protocol::Http, seen)
        .await?;
    Ok(written(reply))
}

/// An answer as a protocol wrote it.
pub(super) fn written(reply: Reply) -> Response<Bytes> {
    let mut response = json_text(reply.body);
    if let Some(length) = reply.json_length {
        let headers = response.headers_mut();
        let binary = HeaderValue::from_static("application/octet-stream");
        headers.insert(CONTENT_TYPE, binary);
        headers.insert(JSON_LENGTH, HeaderValue::from(length));
    }
    response
}

/// Checks the headers about the body; returns how much of it is JSON.
fn check_headers(headers: &HeaderMap) -> Result<Option<usize>, Failure> {
    identity(headers)?;
    let Some(length) = headers.get(JSON_LENGTH) else {
        return Ok(None);
    };
    let length = length.to_str().ok().and_then(|text| text.parse().ok());
    let refused = "the header `Inference-Header-Content-Length` must be a number";
    Ok(Some(length.ok_or_else(|| Error::data(refused))?))
}

/// Bodies are not decompressed.
pub(super) fn identity(headers: &HeaderMap) -> Result<(), Failure> {
    match headers.get(CONTENT_ENCODING) {
        Some(encoding) if encoding != "identity" => Err(Failure::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the header `Content-Encoding` must be `identity`: bodies are not decompressed",
        )),
        _ => Ok(()),
    }
}

/// Answers requests about a model other than predictions.
pub(super) fn about(shared: &Shared, asked: &ModelPath<'_>, about: About) -> Answer {
    if about == About::Statistics {
        return statistics(shared, Some(asked));
    }
    let manager = shared.core.manager();
    let predictor = manager.get(&asked.model, asked.version())?;
    if about == About::Ready {
        return json(&json!({"name": predictor.name(), "ready": true}));
    }
    if about == About::Config {
        return json(&protocol::model_config(&predictor));
    }
    if asked.version() != VersionChoice::Default {
        return json(&protocol::model_metadata(&predictor)?);
    }
    let state = manager.state(&asked.model)?;
    let available = state.versions.iter().filter(|state| state.is_available());
    let versions: Vec<u64> = available.map(|state| state.version).collect();
    json(&protocol::model_metadata_of(&predictor, &versions))
}

/// The statistics of a model, or of all.
pub(super) fn statistics(shared: &Shared, asked: Option<&ModelPath<'_>>) -> Answer {
    let Some(asked) = asked else {
        return json(&protocol::statistics(&shared.core.statistics(None, None)?));
    };
    let version = match asked.version() {
        VersionChoice::Default => None,
        VersionChoice::Number(version) => Some(version),
        label @ VersionChoice::Label(_) => {
            let manager = shared.core.manager();
            Some(manager.get(&asked.model, label)?.version())
        }
    };
    let statistics = shared.core.statistics(Some(&asked.model), version)?;
    json(&protocol::statistics(&statistics))
}

pub(super) fn models(shared: &Shared) -> Answer {
    let states = shared.core.manager().states();
    let names: Vec<&str> = states.iter().map(|state| state.name.as_str()).collect();
    json(&json!({ "models": names }))
}

/// Answers whether the server is ready. Where there are tokens, a client without one does not get the full reasons.
pub(super) fn ready(shared: &Shared, is_known: bool) -> Answer {
    let health = shared.probe.look(&shared.core);
    let reasons = health.text(is_known);
    if health.is_ready && reasons.is_empty() {
        return json(&json!({"ready": true}));
    }
    let name = if health.is_ready { "warning" } else { "error" };
    let mut response = json(&json!({"ready": health.is_ready, name: reasons}))?;
    if !health.is_ready {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    Ok(response)
}

pub(super) fn index(shared: &Shared, body: &[u8]) -> Answer {
    let ready = protocol::index_request(body)?;
    json(&protocol::repository_index(shared.core.manager(), ready))
}
