//! What every call passes before its answer: the token, the span and the access log.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::Body as AnyBody;
use hyper::body::Incoming;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Request, Response};
use tonic::codegen::{BoxFuture, Service};
use tonic::service::Routes;
use tonic::{Code, Status};
use tracing::field::Empty;
use tracing::{Instrument, Level, Span};

use super::routes::{Inference, call_of};
use crate::serving::http::BearerToken;

/// Every service, the protocol's without a detour.
#[derive(Clone, Debug)]
pub(super) struct Front {
    inference: Inference,
    others: Routes,
    tokens: Option<BearerToken>,
    peer: Option<SocketAddr>,
}

type Answering = BoxFuture<Response<Body>, Infallible>;

impl Front {
    pub(super) fn new(inference: Inference, others: Routes, tokens: Option<BearerToken>) -> Self {
        Front {
            inference,
            others,
            tokens,
            peer: None,
        }
    }

    /// For the calls of a client.
    pub(super) fn of(&self, peer: SocketAddr) -> Self {
        Front {
            peer: Some(peer),
            ..self.clone()
        }
    }

    fn answer(&mut self, request: Request<Incoming>) -> Answering {
        if let Some(tokens) = &self.tokens
            && let Some(refusal) = tokens.refuses(request.uri().path(), request.headers())
        {
            let response = tokens.refusal(refusal, request.headers());
            let response = response.map(|text| Body::new(AnyBody::from(text)));
            return Box::pin(std::future::ready(Ok(response)));
        }
        if call_of(request.uri().path()).is_some() {
            return self.inference.call(request);
        }
        Box::pin(self.others.call(request))
    }
}

impl Service<Request<Incoming>> for Front {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Answering {
        if !tracing::enabled!(target: "fourfold::access", Level::INFO)
            && !tracing::enabled!(target: "fourfold::grpc", Level::INFO)
        {
            return self.answer(request);
        }
        let span = span(&request, self.peer);
        let mut entry = Entry {
            path: request.uri().path().to_owned(),
            id: text(request.headers(), "x-request-id").map(str::to_owned),
            peer: self.peer,
            started: Instant::now(),
            code: Code::Cancelled,
            version: None,
        };
        let answer = self.answer(request).instrument(span.clone());
        Box::pin(async move {
            let response = answer.await?;
            // The code of an answer without a message is in its head; others have one behind it, which is good.
            let headers = response.headers();
            entry.code = Status::from_header_map(headers).map_or(Code::Ok, |status| status.code());
            entry.version = text(headers, super::MODEL_VERSION).map(str::to_owned);
            span.record("rpc.grpc.status_code", i32::from(entry.code));
            drop(entry);
            Ok(response)
        })
    }
}

/// A span with the names of OpenTelemetry's conventions.
fn span<B>(request: &Request<B>, peer: Option<SocketAddr>) -> Span {
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
        client.address = peer.map(|peer| tracing::field::display(peer.ip())),
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
    peer: Option<SocketAddr>,
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
            remote = self.peer.map(tracing::field::display),
        );
    }
}
