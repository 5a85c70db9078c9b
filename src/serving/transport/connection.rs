//! One connection: the handshake, the protocol, its requests, its end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};

use super::ServerOptions;
use super::activity::Activity;
use super::answering::Answering;
use super::body::RequestBody;
use super::budget::Budget;
use super::front::Front;
use super::phase::{Phase, ending};
use super::security::{Security, Stream};
use super::watched::Watched;

/// The most bytes of a path that are read.
const MAX_URI_BYTES: usize = 64 << 10;

/// The flow-control windows of HTTP/2: of one stream, and of a connection.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// The most bytes of a frame: fewer frames for large tensors, and small requests do not wait long behind one.
const FRAME: u32 = 64 << 10;

/// State that the connections of a port share.
#[derive(Debug)]
pub(super) struct Protocols {
    front: Front,
    pub(super) security: Arc<Security>,
    pub(super) budget: Arc<Budget>,
    max_header_bytes: usize,
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

impl Protocols {
    pub(super) fn new(
        options: &ServerOptions,
        front: Front,
        security: Security,
        budget: Arc<Budget>,
    ) -> Self {
        let max_header_bytes = options.max_header_bytes;
        // A longer path is none for HTTP/2, which would end the stream without an answer.
        let max_list = max_header_bytes.max(MAX_URI_BYTES);
        let mut http1 = http1::Builder::new();
        http1
            // More than a head may have, so that it is known what of it is too long.
            .max_header_size(max_header_bytes + MAX_URI_BYTES)
            // Which half was closed when is for `Watched` to know.
            .half_close(false);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_frame_size(FRAME)
            .max_concurrent_streams(options.max_streams)
            .max_header_list_size(u32::try_from(max_list).unwrap_or(u32::MAX))
            // A client that answers no ping is considered gone.
            .keep_alive_interval(options.keep_alive)
            .keep_alive_timeout(options.keep_alive_timeout);
        Protocols {
            front,
            security: Arc::new(security),
            budget,
            max_header_bytes,
            http1,
            http2,
        }
    }
}

/// A connection with everything that it needs.
pub(super) struct Connection {
    pub(super) protocols: Arc<Protocols>,
    pub(super) activity: Arc<Activity>,
    pub(super) peer: SocketAddr,
    pub(super) phase: watch::Receiver<Phase>,
    /// Announces that it ends once its requests are answered.
    pub(super) close: Arc<Notify>,
}

impl Connection {
    /// Serves until the client or the server ends it. A client that is slow is not waited for here: the accepting
    /// task ends this one.
    pub(super) async fn serve(self, stream: TcpStream) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "answers may be delayed");
        }
        let mut phase = self.phase.clone();
        let security = Arc::clone(&self.protocols.security);
        let shaken = tokio::select! {
            shaken = security.shake(stream) => shaken,
            () = ending(&mut phase) => return,
        };
        match shaken {
            // The memory that encrypted connections need is only allocated for them.
            Ok((stream, is_http2)) => Box::pin(self.speak(stream, is_http2)).await,
            Err(error) => tracing::debug!(peer = %self.peer, %error, "no handshake"),
        }
    }

    async fn speak(self, stream: Stream, is_http2: bool) {
        let Connection {
            protocols,
            activity,
            peer,
            mut phase,
            close,
        } = self;
        let stream = TokioIo::new(Watched::new(
            stream,
            Arc::clone(&activity),
            protocols.max_header_bytes,
        ));
        let asked = ConnectionService {
            protocols: Arc::clone(&protocols),
            activity: Arc::clone(&activity),
            peer,
        };
        let leaving = async {
            tokio::select! {
                () = ending(&mut phase) => {}
                () = close.notified() => {}
            }
        };
        let ended = if is_http2 {
            activity.set_multiplexed();
            // HTTP/2 moves what answers into a task of its own, more than once on the way: a pointer moves faster.
            let service = service_fn(move |request| Box::pin(asked.clone().answer(request)));
            let mut connection = pin!(protocols.http2.serve_connection(stream, service));
            tokio::select! {
                biased;
                ended = connection.as_mut() => ended,
                () = leaving => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            }
        } else {
            let service = service_fn(move |request| asked.clone().answer(request));
            let connection = protocols.http1.serve_connection(stream, service);
            let mut connection = pin!(connection.with_upgrades());
            tokio::select! {
                biased;
                ended = connection.as_mut() => ended,
                () = leaving => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "a connection ended");
        }
    }
}

/// The service of a connection.
#[derive(Clone)]
struct ConnectionService {
    protocols: Arc<Protocols>,
    activity: Arc<Activity>,
    peer: SocketAddr,
}

impl ConnectionService {
    /// The request has begun when this returns: a client that closes its half right after asking is noticed before the
    /// answer is polled.
    fn answer(
        self,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Answering>, Infallible>> {
        let in_flight = self.activity.begin();
        async move {
            let Protocols { front, budget, .. } = &*self.protocols;
            let limited = front.limits_bodies().then_some(budget);
            let request = request.map(|body| RequestBody::of(body, self.activity, limited));
            let response = front.answer(request, self.peer).await;
            Ok(Answering::new(response, in_flight, budget))
        }
    }
}
