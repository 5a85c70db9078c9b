//! Answers that are errors.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, Response, StatusCode};
use serde_json::json;

use crate::error::{Error, ErrorKind, bounded, chain};

/// An answer that is an error: `{"error": ".."}`.
#[derive(Debug)]
pub(in crate::serving) struct Failure {
    status: StatusCode,
    error: String,
    /// True if the rest of the request is not read.
    closes: bool,
    /// The time after which a retry may help, if any.
    retry_after: Duration,
}

impl Failure {
    pub(super) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Failure {
            status,
            error: bounded(error.into()),
            closes: false,
            retry_after: Duration::from_secs(1),
        }
    }

    pub(super) fn closing(mut self) -> Self {
        self.closes = true;
        self
    }

    pub(super) fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = after;
        self
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    pub(in crate::serving) fn into_response(self) -> Response<Bytes> {
        let body = json!({ "error": self.error }).to_string();
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if matches!(
            self.status,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
        ) {
            headers.insert(RETRY_AFTER, HeaderValue::from(self.retry_after.as_secs()));
        }
        if self.closes {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl From<Error> for Failure {
    /// A bad request is reported with its causes; a failure of the server is reported without them, and logged.
    fn from(error: Error) -> Self {
        let status = match error.kind() {
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Data | ErrorKind::Config | ErrorKind::Schema | ErrorKind::Unsupported => {
                StatusCode::BAD_REQUEST
            }
            ErrorKind::Unavailable | ErrorKind::Cancelled => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
            ErrorKind::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
            ErrorKind::AlreadyExists => StatusCode::CONFLICT,
            ErrorKind::Model
            | ErrorKind::Corrupt
            | ErrorKind::Io
            | ErrorKind::Other
            | ErrorKind::Internal => {
                tracing::error!(?error, "a request failed");
                return Failure::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string());
            }
        };
        Failure::new(status, chain(&error))
    }
}
