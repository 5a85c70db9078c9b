//! What every call passes before its answer: the token, the span and the access log.

use std::net::SocketAddr;
use std::time::Instant;

use axum::body::Body as AnyBody;
use hyper::body::Incoming;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tonic::service::Routes;
use tonic::{Code, Status};
use tracing::field::Empty;
use tracing::{Instrument, Level, Span};

use super::reply::Reply;
use super::routes::{Inference, call_of, limited};
use crate::serving::http::BearerToken;

/// Every service, the protocol's without a detour.
#[derive(Debug)]
pub(super) struct Front {
    inference: Inference,
    others: Routes,
    tokens: Option<BearerToken>,
}

impl Front {
    pub(super) fn new(inference: Inference, others: Routes, tokens: Option<BearerToken>) -> Self {
        Front {
            inference,
            others,
            tokens,
        }
    }

    /// Answers a call, with a span and a line of the access log where somebody listens.
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> Response<Reply> {
        if tracing::enabled!(target: "fourfold::access", Level::INFO)
            || tracing::enabled!(target: "fourfold::grpc", Level::INFO)
        {
            return Box::pin(self.logged(request, peer)).await;
        }
        self.answered(request).await
    }

    async fn answered(&self, mut request: Request<Incoming>) -> Response<Reply> {
        if let Some(tokens) = &self.tokens
            && let Some(refusal) = tokens.refuses(&mut request)
        {
            let response = tokens.refusal(refusal, request.headers());
            return response.map(|text| Reply::any(Body::new(AnyBody::from(text))));
        }
        let path = request.uri().path();
        if path == Inference::INFER {
            return self.inference.infer(request).await;
        }
        let Ok(response) = if call_of(path).is_some() {
            self.inference.clone().call(request).await
        } else {
            let request = limited(request, &self.inference.limits);
            self.others.clone().call(request).await
        };
        response.map(Reply::any)
    }

    async fn logged(&self, request: Request<Incoming>, peer: SocketAddr) -> Response<Reply> {
        let span = span(&request, peer);
        let mut entry = Entry {
            path: request.uri().path().to_owned(),
            id: text(request.headers(), "x-request-id").map(str::to_owned),
            peer,
            started: Instant::now(),
            code: Code::Cancelled,
            version: None,
        };
        let response = self.answered(request).instrument(span.clone()).await;
        // The code of an answer without a message is in its head; others have one behind it, which is good.
        let headers = response.headers();
        entry.code = Status::from_header_map(headers).map_or(Code::Ok, |status| status.code());
        entry.version = text(headers, super::MODEL_VERSION).map(str::to_owned);
        span.record("rpc.grpc.status_code", i32::from(entry.code));
        response
    }
}

/// A span with the names of OpenTelemetry's conventions.
fn span<B>(request: &Request<B>, peer: SocketAddr) -> Span {
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
        traceparent = text(request.headers(), "traceparent"),
    )
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// A line of the access log, written when it is dropped: that is early where the client leaves.
#[derive(Debug)]
struct Entry {
    path: String,
    id: Option<String>,
    peer: SocketAddr,
    started: Instant,
    code: Code,
    version: Option<String>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        tracing::info!(
            target: "fourfold::access",
            method = "POST",
            path = self.path,
            grpc_status = i32::from(self.code),
            version = self.version,
            duration_us = self.started.elapsed().as_micros(),
            request_id = self.id,
            remote = %self.peer,
        );
    }
}
