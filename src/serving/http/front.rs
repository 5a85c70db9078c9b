//! What every request passes before its answer: the token, the span and the access log.

use std::net::SocketAddr;
use std::time::Instant;

use axum::Router;
use axum::body::{Body as AnyBody, HttpBody};
use axum::extract::ConnectInfo;
use axum::http::header::{CONNECTION, HeaderName};
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response};
use hyper::body::Incoming;
use tower::ServiceExt;
use tracing::field::Empty;
use tracing::{Instrument, Level, Span};

use super::activity::Payload;
use super::answers::{Answers, REQUEST_ID, Seen};
use super::auth::BearerToken;
use super::{body, head};

const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");

/// Who answers.
#[derive(Debug)]
pub(super) enum App {
    /// The routes of this crate, without any layer.
    Answers(Answers),
    /// A router of the application's.
    Router(Router),
}

/// What stands before who answers.
#[derive(Debug)]
pub(super) struct Front {
    pub(super) app: App,
    pub(super) tokens: Option<BearerToken>,
    pub(super) max_header_bytes: usize,
}

impl Front {
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> Response<Payload> {
        if !tracing::enabled!(target: "fourfold::access", Level::INFO)
            && !tracing::enabled!(target: "fourfold::http", Level::INFO)
        {
            return self.admit(request, peer).await.0;
        }
        let span = span(&request, peer);
        let mut entry = Entry::new(&request, peer);
        let (response, seen) = self.admit(request, peer).instrument(span.clone()).await;
        span.record("http.response.status_code", response.status().as_u16());
        span.record("http.route", seen.route);
        entry.status = response.status().as_u16();
        entry.n_bytes = match response.body() {
            Payload::Whole(bytes) => Some(bytes.len() as u64),
            Payload::Any(body) => body.size_hint().exact(),
        };
        entry.seen = seen;
        response
    }

    async fn admit(
        &self,
        mut request: Request<Incoming>,
        peer: SocketAddr,
    ) -> (Response<Payload>, Seen) {
        if let Err(failure) = head::check(&request, self.max_header_bytes) {
            let response = failure.into_response();
            return (response.map(Payload::Whole), Seen::default());
        }
        if let Some(tokens) = &self.tokens
            && let Some(refusal) = tokens.refuses(&mut request)
        {
            let (head, mut body) = request.into_parts();
            let mut response = tokens.refusal(refusal, &head.headers);
            let headers = response.headers_mut();
            if let Some(id) = head.headers.get(REQUEST_ID) {
                headers.insert(REQUEST_ID, id.clone());
            }
            if !body::discard(&head.headers, &mut body).await {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            return (response.map(Payload::Whole), Seen::default());
        }
        match &self.app {
            App::Answers(answers) => {
                let (response, seen) = answers.answer(request).await;
                (response.map(Payload::Whole), seen)
            }
            App::Router(router) => {
                let mut request = request.map(AnyBody::new);
                request.extensions_mut().insert(ConnectInfo(peer));
                let mut response = match router.clone().oneshot(request).await {
                    Ok(response) => response,
                    Err(never) => match never {},
                };
                let seen = response.extensions_mut().remove().unwrap_or_default();
                (response.map(Payload::Any), seen)
            }
        }
    }
}

/// A span with the names of OpenTelemetry's conventions.
fn span<B>(request: &Request<B>, peer: SocketAddr) -> Span {
    tracing::info_span!(
        target: "fourfold::http",
        "request",
        otel.kind = "server",
        http.request.method = %request.method(),
        http.route = Empty,
        http.response.status_code = Empty,
        url.path = request.uri().path(),
        client.address = %peer.ip(),
        traceparent = text(request.headers(), &TRACE_PARENT),
    )
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// A line of the access log, written when it is dropped: that is early where the client leaves.
#[derive(Debug)]
struct Entry {
    method: Method,
    path: String,
    id: Option<String>,
    peer: SocketAddr,
    started: Instant,
    /// 499, as other servers write it, for a client that left.
    status: u16,
    n_bytes: Option<u64>,
    seen: Seen,
}

impl Entry {
    fn new<B>(request: &Request<B>, peer: SocketAddr) -> Self {
        Entry {
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            id: text(request.headers(), &REQUEST_ID).map(str::to_owned),
            peer,
            started: Instant::now(),
            status: 499,
            n_bytes: None,
            seen: Seen::default(),
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let Seen {
            route,
            model,
            version,
            n_rows,
            n_bytes,
        } = &self.seen;
        tracing::info!(
            target: "fourfold::access",
            method = %self.method,
            path = self.path,
            route,
            status = self.status,
            model,
            version,
            rows = n_rows,
            duration_us = self.started.elapsed().as_micros(),
            request_bytes = n_bytes,
            response_bytes = self.n_bytes,
            request_id = self.id,
            remote = %self.peer,
        );
    }
}
