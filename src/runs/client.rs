//! Requests to the servers of other tools, over HTTP/1.1.

use std::fs::File;
use std::future::poll_fn;
use std::io::{self, Read};
#[cfg(feature = "mlflow")]
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::Secret;
use crate::error::{Error, ErrorKind, Result, shortened};

/// The most bytes of an answer.
const MAX_ANSWER_BYTES: usize = 16 << 20;

/// The bytes of a file that are read at a time.
const PART_BYTES: u64 = 1 << 18;

/// The most characters of an answer that an error repeats.
const SHOWN_CHARS: usize = 300;

/// A server by its base URL, with the token that it is asked with.
#[derive(Clone, Debug)]
pub(super) struct Client {
    /// The host and the port.
    authority: String,
    /// The path before that of every request, without a slash at its end.
    prefix: String,
    token: Option<Secret>,
    timeout: Duration,
}

impl Client {
    /// The client of a server at an `http` URL.
    pub(super) fn at(url: &str) -> Result<Self> {
        let refused = |why: &str| {
            let url = shortened(url);
            Error::config(format!(
                "`{url}` {why}, must be a URL such as http://127.0.0.1:5000"
            ))
        };
        let uri: Uri = (url.parse()).map_err(|error| refused("is not a URL").with_source(error))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    format!(
                        "`{}` is asked over TLS, which this client does not speak; use a proxy on this machine",
                        shortened(url)
                    ),
                ));
            }
            _ => return Err(refused("has no scheme `http`")),
        }
        let authority = uri.authority().ok_or_else(|| refused("has no host"))?;
        if authority.as_str().contains('@') {
            // It would appear in errors and logs.
            return Err(Error::config(
                "a URL must not contain credentials; pass a token instead",
            ));
        }
        if uri.query().is_some() {
            return Err(refused("has a query"));
        }
        let port = authority.port_u16().unwrap_or(80);
        Ok(Client {
            authority: format!("{}:{port}", authority.host()),
            prefix: uri.path().trim_end_matches('/').to_owned(),
            token: None,
            timeout: Duration::from_secs(300),
        })
    }

    /// The same server at another host, for what it keeps there.
    #[cfg(feature = "mlflow")]
    pub(super) fn with_authority(&self, authority: &str) -> Result<Self> {
        let other = Client::at(&format!("http://{authority}"))?;
        Ok(Client {
            authority: other.authority,
            prefix: other.prefix,
            ..self.clone()
        })
    }

    pub(super) fn token(mut self, token: Secret) -> Self {
        self.token = Some(token);
        self
    }

    pub(super) fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sends JSON to a path, and gives the answer, which is JSON or empty.
    pub(super) async fn post(&self, path: &str, value: &Value) -> Result<Answer> {
        let body = Outgoing::Whole(Some(Bytes::from(value.to_string())));
        self.send(Method::POST, path, "application/json", body)
            .await
    }

    #[cfg(feature = "mlflow")]
    pub(super) async fn get(&self, path: &str) -> Result<Answer> {
        let nothing = Outgoing::Whole(None);
        self.send(Method::GET, path, "application/json", nothing)
            .await
    }

    /// Sends bytes to a path.
    #[cfg(feature = "mlflow")]
    pub(super) async fn put(&self, path: &str, bytes: impl Into<Bytes>) -> Result<Answer> {
        let body = Outgoing::Whole(Some(bytes.into()));
        self.send(Method::PUT, path, "application/octet-stream", body)
            .await
    }

    /// Sends a file to a path, a part at a time.
    #[cfg(feature = "mlflow")]
    pub(super) async fn put_file(&self, path: &str, file: &Path) -> Result<Answer> {
        let body = Outgoing::of_file(file)
            .map_err(|error| Error::io(format!("reading `{}`", file.display()), error))?;
        self.send(Method::PUT, path, "application/octet-stream", body)
            .await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        content_type: &'static str,
        body: Outgoing,
    ) -> Result<Answer> {
        let asked = format!("{method} http://{}{}{path}", self.authority, self.prefix);
        let invalid =
            |error| Error::internal(format!("`{asked}` is no request")).with_source(error);
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.prefix))
            .header(header::HOST, &self.authority)
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, content_type)
            .body(body)
            .map_err(invalid)?;
        if let Some(token) = &self.token {
            let bearer = HeaderValue::try_from(format!("Bearer {}", token.reveal()));
            let mut bearer = bearer.map_err(|_| {
                Error::config("the token has characters that a header cannot carry")
            })?;
            bearer.set_sensitive(true);
            request.headers_mut().insert(header::AUTHORIZATION, bearer);
        }
        let exchange = self.exchange(request);
        match tokio::time::timeout(self.timeout, exchange).await {
            Ok(Ok((status, bytes))) => Ok(Answer {
                asked,
                status,
                body: serde_json::from_slice(&bytes).unwrap_or_else(|_| {
                    // A body that is no JSON is only shown.
                    Value::String(String::from_utf8_lossy(&bytes).into_owned())
                }),
            }),
            Ok(Err(error)) => {
                let message = format!("`{asked}` was not answered");
                Err(Error::new(ErrorKind::Unavailable, message).with_source(error))
            }
            Err(_) => {
                let message = format!("`{asked}` was not answered within {:?}", self.timeout);
                Err(Error::new(ErrorKind::DeadlineExceeded, message))
            }
        }
    }

    async fn exchange(
        &self,
        request: Request<Outgoing>,
    ) -> Result<(StatusCode, Vec<u8>), BoxError> {
        let stream = TcpStream::connect(&self.authority).await?;
        let io = TokioIo::new(stream);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
        let exchange = async move {
            let response = sender.send_request(request).await?;
            let status = response.status();
            // The connection ends with the sender, which is dropped here.
            Ok((status, collect(response.into_body()).await?))
        };
        // An error of the connection is reported by the exchange.
        let (_, exchanged) = tokio::join!(connection, exchange);
        exchanged
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

async fn collect(mut body: Incoming) -> Result<Vec<u8>, BoxError> {
    let mut whole = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        // The other frames are trailers.
        let Ok(part) = frame?.into_data() else {
            continue;
        };
        if whole.len() + part.len() > MAX_ANSWER_BYTES {
            return Err(format!("the answer has more than {MAX_ANSWER_BYTES} bytes").into());
        }
        whole.extend_from_slice(&part);
    }
    Ok(whole)
}

/// The answer of a server.
#[derive(Debug)]
pub(super) struct Answer {
    asked: String,
    pub(super) status: StatusCode,
    pub(super) body: Value,
}

impl Answer {
    /// The body of an answer that says that it was done.
    pub(super) fn done(self) -> Result<Value> {
        if self.status.is_success() {
            return Ok(self.body);
        }
        let kind = match self.status {
            StatusCode::NOT_FOUND => ErrorKind::NotFound,
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => ErrorKind::Unavailable,
            _ => ErrorKind::Other,
        };
        let said = match self.body.get("message").and_then(Value::as_str) {
            Some(message) => message.to_owned(),
            None => match self.body {
                Value::String(text) => text,
                other => other.to_string(),
            },
        };
        let said: String = said.chars().take(SHOWN_CHARS).collect();
        let message = format!("`{}` was answered {}: {said}", self.asked, self.status);
        Err(Error::new(kind, message))
    }
}

/// The body of a request.
#[derive(Debug)]
enum Outgoing {
    Whole(Option<Bytes>),
    #[cfg_attr(
        not(feature = "mlflow"),
        expect(dead_code, reason = "only models are sent as files")
    )]
    File(Parts),
}

/// A file that is read as it is sent.
#[derive(Debug)]
struct Parts {
    left: u64,
    /// None while a part is read.
    file: Option<File>,
    reading: Option<JoinHandle<io::Result<(File, Bytes)>>>,
}

impl Outgoing {
    #[cfg(feature = "mlflow")]
    fn of_file(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        Ok(Outgoing::File(Parts {
            left: file.metadata()?.len(),
            file: Some(file),
            reading: None,
        }))
    }
}

impl Parts {
    fn poll_part(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let n = self.left.min(PART_BYTES);
        let reading = match (&mut self.reading, self.file.take()) {
            (Some(reading), _) => reading,
            (reading @ None, Some(mut file)) => {
                reading.insert(tokio::task::spawn_blocking(move || {
                    let mut part = vec![0; n as usize];
                    // A file that became shorter cannot be sent as it was announced.
                    file.read_exact(&mut part)?;
                    Ok((file, Bytes::from(part)))
                }))
            }
            (None, None) => return Poll::Ready(None),
        };
        let read = ready!(Pin::new(reading).poll(context));
        self.reading = None;
        let part = read.map_err(io::Error::other).flatten();
        Poll::Ready(Some(part.map(|(file, part)| {
            self.left -= n;
            self.file = Some(file);
            part
        })))
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let part = match self.get_mut() {
            Outgoing::Whole(bytes) => bytes.take().map(Ok),
            Outgoing::File(parts) => ready!(parts.poll_part(context)),
        };
        Poll::Ready(part.map(|part| part.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Outgoing::Whole(bytes) => bytes.is_none(),
            Outgoing::File(parts) => parts.left == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Outgoing::Whole(bytes) => bytes.as_ref().map_or(0, |bytes| bytes.len() as u64),
            Outgoing::File(parts) => parts.left,
        })
    }
}
