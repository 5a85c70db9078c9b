//! One connection: the handshake, the calls on it, its end. A client that does not say what it must does not hold it.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Sleep, sleep};

use super::GrpcOptions;
use super::activity::{Activity, InFlight};
use super::front::Front;
use super::reply::Reply;
#[cfg(feature = "tls")]
use crate::serving::http::Encryption;

/// The bytes that a client of HTTP/2 begins with: the preface, and the head of its settings.
const OPENING: usize = 24 + 9;

/// How much may be on its way before the receiver says that it read it: for one call, and for a connection.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// The most bytes of a frame: fewer frames for large tensors, and small calls do not wait long behind one.
const FRAME: u32 = 64 << 10;

pub(super) type Http2 = http2::Builder<TokioExecutor>;

pub(super) fn builder(options: &GrpcOptions) -> Http2 {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .auto_date_header(false)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME)
        .max_concurrent_streams(options.max_streams)
        .keep_alive_interval(options.keep_alive_interval())
        .keep_alive_timeout(options.keep_alive_time());
    builder
}

/// What the connections of a port have in common.
#[derive(Debug)]
pub(super) struct Protocols {
    pub(super) front: Arc<Front>,
    pub(super) http2: Http2,
    pub(super) handshake_time: Duration,
    #[cfg(feature = "tls")]
    pub(super) encryption: Option<Encryption>,
}

/// What a connection is served with.
pub(super) struct Connection {
    pub(super) protocols: Arc<Protocols>,
    pub(super) activity: Arc<Activity>,
    pub(super) peer: SocketAddr,
    /// Says that it ends once what is called on it is answered.
    pub(super) close: Arc<Notify>,
}

impl Connection {
    /// Serves until the client or the server ends it.
    pub(super) async fn serve(self, stream: TcpStream) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "answers may be delayed");
        }
        #[cfg(feature = "tls")]
        if let Some(encryption) = &self.protocols.encryption {
            let peer = self.peer;
            let shaking = encryption.acceptor().accept(stream);
            let shaking = tokio::time::timeout(self.protocols.handshake_time, shaking);
            let shaken = tokio::select! {
                shaken = shaking => shaken,
                () = self.close.notified() => return,
            };
            match shaken {
                Ok(Ok(stream)) => Box::pin(self.speak(stream)).await,
                Ok(Err(error)) => tracing::debug!(%peer, %error, "no TLS handshake"),
                Err(_) => tracing::debug!(%peer, "no TLS handshake in time"),
            }
            return;
        }
        self.speak(stream).await;
    }

    async fn speak<S>(self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Connection {
            protocols,
            activity,
            peer,
            close,
        } = self;
        let stream = Opening::new(stream, protocols.handshake_time, Arc::clone(&activity));
        let front = Arc::clone(&protocols.front);
        let counting = Arc::clone(&activity);
        // HTTP/2 moves what answers a call into a task of its own, more than once on the way: a pointer moves faster.
        let service = service_fn(move |request| {
            Box::pin(answer(Arc::clone(&front), counting.begin(), request, peer))
        });
        let connection = protocols
            .http2
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            biased;
            ended = connection.as_mut() => ended,
            () = close.notified() => {
                if !activity.is_set_up() {
                    return;
                }
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "a connection failed");
        }
    }
}

async fn answer(
    front: Arc<Front>,
    call: InFlight,
    request: Request<Incoming>,
    peer: SocketAddr,
) -> Result<Response<Reply>, Infallible> {
    let mut response = front.answer(request, peer).await;
    response.body_mut().call = Some(call);
    Ok(response)
}

/// A connection that fails if its opening has not come in by a time. Afterwards, pings find out who is gone.
#[derive(Debug)]
struct Opening<C> {
    connection: C,
    /// How many bytes are missing, and until when.
    waits: Option<(usize, Pin<Box<Sleep>>)>,
    activity: Arc<Activity>,
}

impl<C> Opening<C> {
    fn new(connection: C, limit: Duration, activity: Arc<Activity>) -> Self {
        Opening {
            connection,
            waits: Some((OPENING, Box::pin(sleep(limit)))),
            activity,
        }
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Opening<C> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.connection).poll_read(context, buffer);
        if let Some((missing, limit)) = &mut this.waits {
            let n_read = buffer.filled().len() - before;
            if n_read >= *missing {
                this.waits = None;
                this.activity.set_up();
            } else {
                *missing -= n_read;
                if limit.as_mut().poll(context).is_ready() {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
            }
        }
        read
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Opening<C> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().connection).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().connection).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().connection).poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().connection).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }
}
