//! The answers of the Open Inference Protocol.

use std::sync::atomic::Ordering::Relaxed;

use axum::body::Bytes;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use hyper::body::Body;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answers::{Answer, Asking, BoxError, Seen, Shared, json, json_text};
use super::failure::Failure;
use super::path::{About, Asked};
use crate::error::{Error, Result};
use crate::serving::protocol::{self, InferExchange};

const JSON_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

pub(super) async fn infer<B>(
    asking: Asking<'_>,
    asked: &Asked<'_>,
    body: B,
    seen: &mut Seen,
) -> Answer
where
    B: Body<Data = Bytes> + Send,
    B::Error: Into<BoxError>,
{
    let json_length = check_headers(&asking.head.headers)?;
    let body = asking.read(body, seen).await?;
    let n_bytes = body.len();
    let exchange = InferExchange::new(body, json_length);
    let reply = asking.ask(asked, n_bytes, exchange, seen).await?;
    let mut response = json_text(reply.body);
    if let Some(length) = reply.json_length {
        let headers = response.headers_mut();
        let binary = HeaderValue::from_static("application/octet-stream");
        headers.insert(CONTENT_TYPE, binary);
        headers.insert(JSON_LENGTH, HeaderValue::from(length));
    }
    Ok(response)
}

/// Checks what the headers say of the body; how much of it is JSON.
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

/// What is asked of a model but predictions.
pub(super) fn about(shared: &Shared, asked: &Asked<'_>, about: About) -> Answer {
    if about == About::Statistics {
        return statistics(shared, Some(asked));
    }
    let predictor = shared.core.manager().get(&asked.model, asked.version())?;
    if about == About::Ready {
        return json(&json!({"name": predictor.name(), "ready": true}));
    }
    json(&protocol::model_metadata(&predictor)?)
}

/// The statistics of a model, or of all.
pub(super) fn statistics(_shared: &Shared, _asked: Option<&Asked<'_>>) -> Answer {
    Err(Failure::new(StatusCode::NOT_FOUND, "no statistics"))
}

pub(super) fn models(shared: &Shared) -> Answer {
    let states = shared.core.manager().states();
    let names: Vec<&str> = states.iter().map(|state| state.name.as_str()).collect();
    json(&json!({ "models": names }))
}

pub(super) fn ready(shared: &Shared) -> Answer {
    let reasons: Vec<String> = if shared.draining.load(Relaxed) {
        vec!["the server is stopping".to_owned()]
    } else {
        let states = shared.core.manager().states();
        let silent = states
            .iter()
            .filter(|model| !model.versions.iter().any(|version| version.available));
        silent
            .map(|model| {
                let mut newest = model.versions.iter().rev();
                let reason = newest.find_map(|version| version.reason.as_deref());
                let reason = reason.unwrap_or("no version answers");
                format!("model `{}`: {reason}", model.name)
            })
            .collect()
    };
    if reasons.is_empty() {
        return json(&json!({"ready": true}));
    }
    let mut response = json(&json!({"ready": false, "error": reasons.join("; ")}))?;
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    Ok(response)
}

/// What of the repository is asked for.
#[derive(Default, Deserialize)]
#[serde(default)]
struct IndexRequest {
    ready: bool,
}

pub(super) fn index(shared: &Shared, body: &[u8]) -> Answer {
    let asked: IndexRequest = if body.is_empty() {
        IndexRequest::default()
    } else {
        serde_json::from_slice(body)
            .map_err(|error| Error::data(format!("the request is not valid: {error}")))?
    };
    let models = shared.core.manager().states().into_iter();
    let versions = models.flat_map(|model| {
        let versions = model.versions.into_iter();
        versions
            .filter(|version| version.available || !asked.ready)
            .map(move |version| {
                json!({
                    "name": model.name,
                    "version": version.version.to_string(),
                    "state": if version.available { "READY" } else { "UNAVAILABLE" },
                    "reason": version.reason.unwrap_or_default(),
                })
            })
    });
    json(&versions.collect::<Vec<Value>>())
}
