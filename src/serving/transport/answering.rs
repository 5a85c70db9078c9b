//! The body of an answer, counted until it is written.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body as AnyBody, Bytes};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use hyper::body::{Body, Frame, SizeHint};

use super::activity::{InFlight, Unwritten};
use super::auth::is_grpc;
use super::budget::{Budget, Held};

/// The body of an answer: mostly whole, without a box.
#[derive(Debug)]
pub(in crate::serving) enum Payload {
    Whole(Bytes),
    /// A message of gRPC, after which its status is good.
    #[cfg(feature = "grpc")]
    Message(Bytes),
    Any(AnyBody),
}

impl Payload {
    fn length(&self) -> usize {
        match self {
            Payload::Whole(bytes) => bytes.len(),
            #[cfg(feature = "grpc")]
            Payload::Message(bytes) => bytes.len(),
            Payload::Any(_) => 0,
        }
    }

    /// Converts it to the body of an answer in a server of the application.
    #[cfg(feature = "grpc")]
    pub(in crate::serving) fn into_body(self) -> tonic::body::Body {
        let kind = match self {
            Payload::Whole(bytes) => Kind::Data(bytes, Trailers::None),
            Payload::Message(bytes) => Kind::Data(bytes, Trailers::GrpcOk),
            Payload::Any(body) => return tonic::body::Body::new(body),
        };
        tonic::body::Body::new(Mounted(kind))
    }

    /// The number of bytes, where it is known.
    pub(super) fn known_length(&self) -> Option<u64> {
        if let Payload::Any(body) = self {
            return body.size_hint().exact();
        }
        Some(self.length() as u64)
    }
}

/// The body of an answer. The request ends when it is dropped and its data is written.
#[derive(Debug)]
pub(super) struct Answering {
    body: Kind,
    request: InFlight,
    budget: Arc<Budget>,
}

#[derive(Debug)]
enum Kind {
    Data(Bytes, Trailers),
    #[cfg_attr(
        not(feature = "grpc"),
        allow(dead_code, reason = "calls of gRPC have them")
    )]
    Trailers,
    Ended,
    Any(AnyBody),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trailers {
    None,
    #[cfg(feature = "grpc")]
    GrpcOk,
}

/// A part of an answer that is not written. Whoever writes it drops it then.
struct Part {
    bytes: Bytes,
    _held: Held,
    _unwritten: Unwritten,
}

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Answering {
    /// The answer to a request; replaced if there is no room for it beside those that clients have not read.
    pub(super) fn new(
        response: Response<Payload>,
        mut request: InFlight,
        budget: &Arc<Budget>,
    ) -> Response<Answering> {
        let mut held = budget.nothing(Some(Arc::clone(request.connection())));
        let length = response.body().length();
        let response = match length > 0 && !held.add(length) {
            false => response,
            true => {
                held.release();
                let refused = too_much(&response, budget.max_bytes());
                held.add(refused.body().length());
                refused
            }
        };
        request.set_answered(true);
        let (head, payload) = response.into_parts();
        let part = |bytes: Bytes| match bytes.is_empty() {
            true => bytes,
            false => Bytes::from_owner(Part {
                _held: held,
                _unwritten: request.connection().write(bytes.len()),
                bytes,
            }),
        };
        let body = match payload {
            Payload::Whole(bytes) => Kind::Data(part(bytes), Trailers::None),
            #[cfg(feature = "grpc")]
            Payload::Message(bytes) => Kind::Data(part(bytes), Trailers::GrpcOk),
            Payload::Any(body) => Kind::Any(body),
        };
        let budget = Arc::clone(budget);
        let answering = Answering {
            body,
            request,
            budget,
        };
        Response::from_parts(head, answering)
    }
}

/// The answer in place of one that there is no room for.
fn too_much<B>(response: &Response<B>, most: usize) -> Response<Payload> {
    let text =
        format!("the server is at capacity: buffered requests and answers exceed {most} bytes");
    if is_grpc(response.headers()) {
        let mut refused = Response::new(Payload::Whole(Bytes::new()));
        let headers = refused.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert("grpc-status", HeaderValue::from_static("8"));
        headers.insert("grpc-retry-pushback-ms", HeaderValue::from_static("1000"));
        if let Ok(text) = HeaderValue::from_str(&text) {
            headers.insert("grpc-message", text);
        }
        return refused;
    }
    let text = Bytes::from(format!("{{\"error\":\"{text}\"}}"));
    let mut refused = Response::new(Payload::Whole(text));
    *refused.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let headers = refused.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    refused
}

impl Kind {
    /// The next frame of data that is complete.
    fn next(&mut self) -> Option<Frame<Bytes>> {
        let (frame, next) = match self {
            Kind::Data(bytes, Trailers::None) if bytes.is_empty() => return None,
            Kind::Data(bytes, trailers) => {
                let next = match trailers {
                    Trailers::None => Kind::Ended,
                    #[cfg(feature = "grpc")]
                    Trailers::GrpcOk => Kind::Trailers,
                };
                (Frame::data(std::mem::take(bytes)), next)
            }
            Kind::Trailers => {
                let mut trailers = HeaderMap::with_capacity(1);
                trailers.insert("grpc-status", HeaderValue::from_static("0"));
                (Frame::trailers(trailers), Kind::Ended)
            }
            Kind::Ended | Kind::Any(_) => return None,
        };
        *self = next;
        Some(frame)
    }

    fn is_end(&self) -> bool {
        match self {
            Kind::Data(bytes, Trailers::None) => bytes.is_empty(),
            #[cfg(feature = "grpc")]
            Kind::Data(_, Trailers::GrpcOk) => false,
            Kind::Trailers => false,
            Kind::Ended => true,
            Kind::Any(body) => body.is_end_stream(),
        }
    }

    fn size(&self) -> SizeHint {
        match self {
            Kind::Data(bytes, Trailers::None) => SizeHint::with_exact(bytes.len() as u64),
            // A length in the head of a gRPC answer would be one more thing to write, and is not needed.
            #[cfg(feature = "grpc")]
            Kind::Data(_, Trailers::GrpcOk) => SizeHint::default(),
            Kind::Trailers | Kind::Ended => SizeHint::default(),
            Kind::Any(body) => body.size_hint(),
        }
    }
}

impl Body for Answering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let Kind::Any(body) = &mut this.body else {
            return Poll::Ready(this.body.next().map(Ok));
        };
        let polled = Pin::new(body).poll_frame(context);
        this.request.set_answered(polled.is_ready());
        let frame = ready!(polled);
        let (budget, connection) = (&this.budget, this.request.connection());
        Poll::Ready(frame.map(|frame| {
            Ok(frame?.map_data(|bytes| {
                let mut held = budget.nothing(Some(Arc::clone(connection)));
                // The answer exists already, and the rest has to follow: a client that does not read is closed.
                held.add(bytes.len());
                Bytes::from_owner(Part {
                    _held: held,
                    _unwritten: connection.write(bytes.len()),
                    bytes,
                })
            }))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size()
    }
}

/// An answer in a server of an application's.
#[cfg(feature = "grpc")]
struct Mounted(Kind);

#[cfg(feature = "grpc")]
impl Body for Mounted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Poll::Ready(self.0.next().map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size()
    }
}
