//! A client of gRPC, as small as it gets.

use std::net::SocketAddr;

use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use prost::Message;
use prost::bytes::{BufMut, Bytes, BytesMut};
use tokio::net::TcpStream;
use tonic::Code;
use tonic::codegen::http::{HeaderMap, Request};

#[derive(Clone)]
pub(super) struct Client {
    send: SendRequest<Bytes>,
}

/// The answer to a call.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) code: Code,
    /// The error.
    pub(super) text: String,
    pub(super) headers: HeaderMap,
    pub(super) messages: Vec<Bytes>,
}

impl Answer {
    /// The message of a call that succeeded.
    #[track_caller]
    pub(super) fn message<M: Message + Default>(&self) -> M {
        assert_eq!(self.code, Code::Ok, "{}", self.text);
        assert_eq!(self.messages.len(), 1);
        M::decode(self.messages[0].clone()).unwrap()
    }

    /// Asserts that the call was refused with this code and text.
    #[track_caller]
    pub(super) fn refused(&self, code: Code, text: &str) {
        assert_eq!(self.code, code, "{}", self.text);
        assert!(
            self.text.contains(text),
            "`{text}` is not in: {}",
            self.text
        );
    }
}

/// A message with its head: not compressed, and its length.
pub(super) fn framed(message: &[u8]) -> Bytes {
    let mut body = BytesMut::new();
    body.put_u8(0);
    body.put_u32(u32::try_from(message.len()).unwrap());
    body.put_slice(message);
    body.freeze()
}

impl Client {
    pub(super) async fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).await.unwrap();
        Client::over(stream).await
    }

    pub(super) async fn over<S>(stream: S) -> Client
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let (send, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(async move {
            // The server ends it, too.
            let _ = connection.await;
        });
        Client { send }
    }

    /// Opens a call without sending a message.
    pub(super) async fn open(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Open, h2::Error> {
        let mut request = Request::post(format!("http://test{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        std::future::poll_fn(|context| self.send.poll_ready(context)).await?;
        let (response, send) = self.send.send_request(request.body(()).unwrap(), false)?;
        Ok(Open {
            response: Some(response),
            send,
            body: None,
            headers: HeaderMap::new(),
            read: BytesMut::new(),
        })
    }

    /// Makes a call with one message.
    pub(super) async fn ask(
        mut self,
        path: String,
        headers: Vec<(&str, &str)>,
        message: Vec<u8>,
    ) -> Answer {
        let mut open = self.open(&path, &headers).await.unwrap();
        open.send(&framed(&message), true);
        open.finish().await
    }
}

/// A call that is open.
pub(super) struct Open {
    response: Option<ResponseFuture>,
    pub(super) send: SendStream<Bytes>,
    body: Option<RecvStream>,
    headers: HeaderMap,
    read: BytesMut,
}

impl Open {
    /// Sends, unless the server has answered already.
    pub(super) fn send(&mut self, body: &Bytes, end: bool) {
        _ = self.send.send_data(body.clone(), end);
    }

    /// The next message; `None` at the end.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        if let Some(response) = self.response.take() {
            let (head, body) = response.await.unwrap().into_parts();
            self.headers = head.headers;
            self.body = Some(body);
        }
        let body = self.body.as_mut().unwrap();
        loop {
            if self.read.len() >= 5 {
                assert_eq!(self.read[0], 0, "a compressed message");
                let length: [u8; 4] = self.read[1..5].try_into().unwrap();
                let length = u32::from_be_bytes(length) as usize;
                if self.read.len() >= 5 + length {
                    let mut message = self.read.split_to(5 + length).freeze();
                    return Some(message.split_off(5));
                }
            }
            let data = body.data().await?.unwrap();
            body.flow_control().release_capacity(data.len()).unwrap();
            self.read.extend_from_slice(&data);
        }
    }

    /// Everything that is still to come.
    pub(super) async fn finish(mut self) -> Answer {
        let mut messages = Vec::new();
        while let Some(message) = self.next().await {
            messages.push(message);
        }
        assert!(self.read.is_empty(), "half a message");
        let trailers = self.body.as_mut().unwrap().trailers().await.unwrap();
        // An answer without a message has everything in its head.
        let ended = trailers.as_ref().unwrap_or(&self.headers);
        let status = tonic::Status::from_header_map(ended).expect("an answer has a status");
        Answer {
            code: status.code(),
            text: status.message().to_owned(),
            headers: self.headers,
            messages,
        }
    }
}
