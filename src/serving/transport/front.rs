//! Steps of every request before its answer: the checks of head and token, the span and the access log.

use std::net::SocketAddr;
use std::time::Instant;

use axum::Router;
use axum::body::Body as AnyBody;
use axum::extract::ConnectInfo;
use axum::http::header::{CONNECTION, HeaderName};
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use tower::ServiceExt;
use tracing::field::Empty;
use tracing::{Instrument, Level, Span};

use super::answering::Payload;
use super::auth::{BearerToken, is_grpc};
use super::body::RequestBody;
#[cfg(feature = "grpc")]
use crate::serving::grpc::Calls;
use crate::serving::http::{Answers, check_head, discard};

/// The id of a request, in its logs and in its answer.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");

/// The application that answers.
#[derive(Debug)]
pub(super) enum App {
    /// The protocols of this crate, without any layer.
    Own(Own),
    /// A router of the application's.
    Router(Router),
}

/// The protocols that a port speaks.
#[derive(Debug, Default)]
pub(super) struct Own {
    pub(super) http: Option<Answers>,
    #[cfg(feature = "grpc")]
    pub(super) grpc: Option<Calls>,
}

/// The fields of an answer for the access log.
#[derive(Clone, Debug, Default)]
pub(in crate::serving) struct Seen {
    pub(in crate::serving) route: &'static str,
    pub(in crate::serving) model: Option<String>,
    pub(in crate::serving) version: Option<u64>,
    pub(in crate::serving) n_rows: Option<usize>,
    pub(in crate::serving) n_bytes: usize,
    /// The code of a call of gRPC.
    pub(in crate::serving) code: Option<i32>,
}

/// The checks before the application.
#[derive(Debug)]
pub(super) struct Front {
    pub(super) app: App,
    pub(super) tokens: Option<BearerToken>,
    pub(super) max_header_bytes: usize,
}

impl Front {
    /// Returns `true` if the port's limits on bodies apply: a router of the application has its own.
    pub(super) fn limits_bodies(&self) -> bool {
        matches!(self.app, App::Own(_))
    }

    pub(super) async fn answer(
        &self,
        request: Request<RequestBody>,
        peer: SocketAddr,
    ) -> Response<Payload> {
        if tracing::enabled!(target: "fourfold::access", Level::INFO)
            || tracing::enabled!(target: "fourfold::http", Level::INFO)
            || tracing::enabled!(target: "fourfold::grpc", Level::INFO)
        {
            return Box::pin(self.logged(request, peer)).await;
        }
        self.admit(request, peer).await.0
    }

    async fn logged(&self, request: Request<RequestBody>, peer: SocketAddr) -> Response<Payload> {
        let is_grpc = is_grpc(request.headers());
        let span = match is_grpc {
            true => grpc_span(&request, peer),
            false => http_span(&request, peer),
        };
        let mut entry = Entry::new(&request, peer);
        let (response, seen) = self.admit(request, peer).instrument(span.clone()).await;
        let status = response.status().as_u16();
        match seen.code {
            Some(code) => span.record("rpc.grpc.status_code", code),
            None => span.record("http.response.status_code", status),
        };
        span.record("http.route", seen.route);
        entry.status = status;
        entry.n_bytes = response.body().known_length();
        entry.seen = seen;
        response
    }

    async fn admit(
        &self,
        mut request: Request<RequestBody>,
        peer: SocketAddr,
    ) -> (Response<Payload>, Seen) {
        if let Err(failure) = check_head(&request, self.max_header_bytes) {
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
            if !discard(&head.headers, &mut body).await {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            return (response.map(Payload::Whole), Seen::default());
        }
        match &self.app {
            App::Own(own) => own.answer(request).await,
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

impl Own {
    async fn answer(&self, request: Request<RequestBody>) -> (Response<Payload>, Seen) {
        #[cfg(feature = "grpc")]
        if let Some(calls) = &self.grpc
            && (self.http.is_none() || is_grpc(request.headers()))
        {
            return calls.answer(request).await;
        }
        match &self.http {
            Some(answers) => {
                let (response, seen) = answers.answer(request).await;
                (response.map(Payload::Whole), seen)
            }
            None => {
                let mut response = Response::new(Payload::Any(AnyBody::empty()));
                *response.status_mut() = StatusCode::NOT_FOUND;
                (response, Seen::default())
            }
        }
    }
}

/// A span with the names of OpenTelemetry's conventions.
fn http_span<B>(request: &Request<B>, peer: SocketAddr) -> Span {
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

/// The same, for a call of gRPC.
fn grpc_span<B>(request: &Request<B>, peer: SocketAddr) -> Span {
    let path = request.uri().path().trim_start_matches('/');
    let (service, method) = path.split_once('/').unwrap_or((path, ""));
    tracing::info_span!(
        target: "fourfold::grpc",
        "call",
        otel.kind = "server",
        rpc.system = "grpc",
        rpc.service = service,
        rpc.method = method,
        rpc.grpc.status_code = Empty,
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
            code,
        } = &self.seen;
        tracing::info!(
            target: "fourfold::access",
            method = %self.method,
            path = self.path,
            route,
            status = self.status,
            grpc_status = code,
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
