//! One connection: the handshake, the protocol, its requests, its end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
#[cfg(feature = "grpc")]
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
#[cfg(feature = "grpc")]
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::activity::{Activity, Answering, Watched};
use super::front::Front;
#[cfg(feature = "tls")]
use super::tls::Encryption;

/// What the connections of a port have in common.
#[derive(Debug)]
pub(super) struct Protocols {
    pub(super) front: Front,
    pub(super) http1: http1::Builder,
    #[cfg(feature = "grpc")]
    pub(super) http2: http2::Builder<hyper_util::rt::TokioExecutor>,
    #[cfg(feature = "tls")]
    pub(super) encryption: Option<Encryption>,
}

/// What HTTP/2 begins with, which is no request of HTTP/1.
#[cfg(feature = "grpc")]
const PREFACE: &[u8; 4] = b"PRI ";

/// What a connection is served with.
pub(super) struct Connection {
    pub(super) protocols: Arc<Protocols>,
    pub(super) activity: Arc<Activity>,
    pub(super) peer: SocketAddr,
    pub(super) stop: watch::Receiver<()>,
}

impl Connection {
    /// Serves until the client or the server ends it. A client that is slow is not waited for here: the accepting
    /// task ends this one.
    pub(super) async fn serve(self, stream: TcpStream) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "answers may be delayed");
        }
        #[cfg(feature = "tls")]
        if let Some(encryption) = &self.protocols.encryption {
            let mut stop = self.stop.clone();
            let shaken = tokio::select! {
                shaken = encryption.acceptor().accept(stream) => shaken,
                _ = stop.changed() => return,
            };
            match shaken {
                Ok(stream) => {
                    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                    Box::pin(self.speak(stream, is_http2)).await;
                }
                Err(error) => tracing::debug!(peer = %self.peer, %error, "no TLS handshake"),
            }
            return;
        }
        #[cfg(feature = "grpc")]
        let is_http2 = {
            let mut stop = self.stop.clone();
            tokio::select! {
                is_http2 = begins_with_preface(&stream) => is_http2,
                _ = stop.changed() => return,
            }
        };
        #[cfg(not(feature = "grpc"))]
        let is_http2 = false;
        self.speak(stream, is_http2).await;
    }

    async fn speak<S>(self, stream: S, is_http2: bool)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Connection {
            protocols,
            activity,
            peer,
            mut stop,
        } = self;
        let stream = TokioIo::new(Watched {
            stream,
            activity: Arc::clone(&activity),
        });
        let answering = Arc::clone(&protocols);
        let counting = Arc::clone(&activity);
        let service = service_fn(move |request| {
            answer(Arc::clone(&answering), Arc::clone(&counting), request, peer)
        });
        let ended = if is_http2 {
            activity.set_multiplexed();
            #[cfg(feature = "grpc")]
            {
                let mut connection = pin!(protocols.http2.serve_connection(stream, service));
                tokio::select! {
                    ended = connection.as_mut() => ended,
                    _ = stop.changed() => {
                        connection.as_mut().graceful_shutdown();
                        connection.await
                    }
                }
            }
            #[cfg(not(feature = "grpc"))]
            return;
        } else {
            let connection = protocols.http1.serve_connection(stream, service);
            let mut connection = pin!(connection.with_upgrades());
            tokio::select! {
                biased;
                ended = connection.as_mut() => ended,
                _ = stop.changed() => {
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

async fn answer(
    protocols: Arc<Protocols>,
    activity: Arc<Activity>,
    request: Request<Incoming>,
    peer: SocketAddr,
) -> Result<Response<Answering>, Infallible> {
    let in_flight = activity.begin();
    let response = protocols.front.answer(request, peer).await;
    Ok(response.map(|body| Answering::new(body, in_flight)))
}

#[cfg(feature = "grpc")]
async fn begins_with_preface(stream: &TcpStream) -> bool {
    let mut first = [0; PREFACE.len()];
    let mut pause = Duration::from_millis(1);
    loop {
        match stream.peek(&mut first).await {
            Ok(n) if n > 0 && n < PREFACE.len() && PREFACE.starts_with(&first[..n]) => {
                // Less than a word of the preface: rare, and the peek does not wait for more.
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_millis(100));
            }
            Ok(n) => return first[..n] == PREFACE[..],
            Err(_) => return false,
        }
    }
}
