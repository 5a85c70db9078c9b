//! Between a connection and its protocol: encryption, where there is any, and which protocol is spoken.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::ServerOptions;
#[cfg(feature = "tls")]
use super::tls::Encryption;
use crate::error::Result;

/// The beginning of the preface of HTTP/2, which is no request of HTTP/1.
const PREFACE: &[u8; 4] = b"PRI ";

/// The encryption of a port.
#[derive(Debug)]
pub(super) enum Security {
    None,
    #[cfg(feature = "tls")]
    Tls(Box<Encryption>),
}

/// A connection as its protocol sees it.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(TcpStream),
    #[cfg(feature = "tls")]
    Tls(Box<tokio_rustls::server::TlsStream<TcpStream>>),
}

impl Security {
    pub(super) fn new(options: &ServerOptions) -> Result<Self> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &options.tls {
            return Ok(Security::Tls(Box::new(Encryption::new(tls.clone())?)));
        }
        let _ = options;
        Ok(Security::None)
    }

    pub(super) fn is_none(&self) -> bool {
        matches!(self, Security::None)
    }

    /// Performs a handshake; returns `true` if HTTP/2 is spoken.
    pub(super) async fn shake(&self, stream: TcpStream) -> io::Result<(Stream, bool)> {
        match self {
            Security::None => {
                let is_http2 = begins_with_preface(&stream).await;
                Ok((Stream::Plain(stream), is_http2))
            }
            #[cfg(feature = "tls")]
            Security::Tls(encryption) => {
                let stream = encryption.acceptor().accept(stream).await?;
                let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                Ok((Stream::Tls(Box::new(stream)), is_http2))
            }
        }
    }

    /// Reloads changed certificates, on a thread that may block on files.
    pub(super) fn refresh(self: &Arc<Self>) {
        if !self.is_none() {
            let security = Arc::clone(self);
            tokio::task::spawn_blocking(move || match &*security {
                Security::None => {}
                #[cfg(feature = "tls")]
                Security::Tls(encryption) => encryption.refresh(),
            });
        }
    }
}

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

macro_rules! either {
    ($self:expr, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::Plain(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => {
                let $stream = Pin::new(&mut **stream);
                $call
            }
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_read(context, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Stream::Plain(stream) => stream.is_write_vectored(),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_shutdown(context))
    }
}
