//! A server that does nothing but HTTP, for `benches/serving_peers/overload.py` to put beside ours:
//! `cargo bench -p fourfold-benches --no-default-features --features http --bench bare_hyper -- 127.0.0.1:16000 400`.
//!
//! It reads the body of every request and answers with so many bytes, over HTTP/1.1 and HTTP/2 without TLS, with hyper and
//! tokio as ours are set up. What it gives is what these leave to a model server on the same core.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

/// All of an answer.
struct Whole(Bytes);

impl Body for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = std::mem::take(&mut self.0);
        Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.len() as u64)
    }
}

async fn answer(request: Request<Incoming>, bytes: Bytes) -> Result<Response<Whole>, Infallible> {
    let mut body = request.into_body();
    while std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context))
        .await
        .is_some()
    {}
    Ok(Response::new(Whole(bytes)))
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench");
    let (Some(address), Some(n_bytes)) = (arguments.next(), arguments.next()) else {
        // As `cargo bench` runs all of them.
        return;
    };
    let bytes = Bytes::from(vec![b' '; n_bytes.parse().unwrap()]);
    let listener = TcpListener::bind(address).await.unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let bytes = bytes.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, bytes.clone()));
            let mut first = [0; 4];
            let n = stream.peek(&mut first).await.unwrap_or(0);
            let stream = TokioIo::new(stream);
            let _ = if first[..n].starts_with(b"PRI ") {
                let http2 = http2::Builder::new(TokioExecutor::new());
                http2.serve_connection(stream, service).await
            } else {
                http1::Builder::new()
                    .serve_connection(stream, service)
                    .await
            };
        });
    }
}
