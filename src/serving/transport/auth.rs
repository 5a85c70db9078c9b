//! Bearer tokens, for HTTP and gRPC alike.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::hint::black_box;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Bytes;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use hyper::body::{Body, Frame, SizeHint};
use sha2::{Digest, Sha256};
use tower::{Layer, Service};

use crate::error::{Error, Result};

/// The paths that are answered without a token unless [`BearerToken::open`] says otherwise: probes have none.
const OPEN: [&str; 4] = [
    "/v2/health/live",
    "/v2/health/ready",
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
];

/// The least and the most bytes of a token in a file, and the most of the file.
const MIN_TOKEN_BYTES: usize = 8;
const MAX_TOKEN_BYTES: usize = 4096;
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Answers only requests with a token: `Authorization: Bearer ..`.
///
/// A `tower` layer: it goes over a [`Router`](axum::Router), over tonic's services, or into
/// [`ServerOptions::auth`](super::ServerOptions::auth). Without a token, or with one that is not known, the answer is 401
/// with `WWW-Authenticate`, or gRPC's `UNAUTHENTICATED`; a token that is not enough for an admin route is answered 403,
/// or `PERMISSION_DENIED`. Health routes are open.
///
/// Only digests of the tokens are kept, compared in constant time; they are never written to a log or shown.
///
/// ```
/// use fourfold::serving::http::BearerToken;
///
/// let tokens = BearerToken::new(["for-the-shop", "for-the-app"]).admin(["for-operators"]);
/// assert!(!format!("{tokens:?}").contains("shop"));
/// ```
#[derive(Clone)]
pub struct BearerToken {
    tokens: Arc<Tokens>,
}

#[derive(Clone)]
struct Tokens {
    ask: Vec<[u8; 32]>,
    /// Empty: every token is enough for admin routes.
    admin: Vec<[u8; 32]>,
    open: Vec<Cow<'static, str>>,
    realm: HeaderValue,
}

impl BearerToken {
    /// A layer with tokens, any of which grants full access.
    #[must_use]
    pub fn new<T: AsRef<[u8]>>(tokens: impl IntoIterator<Item = T>) -> Self {
        BearerToken {
            tokens: Arc::new(Tokens {
                ask: tokens.into_iter().map(digest).collect(),
                admin: Vec::new(),
                open: OPEN.map(Cow::Borrowed).to_vec(),
                realm: HeaderValue::from_static("Bearer realm=\"fourfold\""),
            }),
        }
    }

    /// A layer with the tokens of a file, one a line:
    ///
    /// ```text
    /// # for the shop
    /// 5f0c9f2d9e3a4b7c
    /// # admin routes need this one, as with `BearerToken::admin`
    /// admin: 0d4e8f1a2b3c4d5e
    /// ```
    ///
    /// A token has 8 to 4,096 bytes of visible ASCII, without a space or a colon. Space around it, empty lines and lines
    /// that begin with `#` say nothing.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) or [`ErrorKind::Io`](crate::ErrorKind::Io) if the file
    /// cannot be read or has more than 1 MiB; [`ErrorKind::Config`](crate::ErrorKind::Config) naming the line that is
    /// something else, or if there is no token.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = crate::store::read_text(path, MAX_FILE_BYTES)?;
        let (mut ask, mut admin) = (Vec::new(), Vec::new());
        for (number, line) in text.lines().enumerate() {
            // Not what else Unicode takes for space: that would be a token that looks like another.
            let line = line.trim_matches([' ', '\t']);
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (token, list) = match line.strip_prefix("admin:") {
                Some(token) => (token.trim_start_matches([' ', '\t']), &mut admin),
                None => (line, &mut ask),
            };
            // Without any of it: it may be a token, but for a slip.
            let refused = |what: &str| {
                let (line, path) = (number + 1, path.display());
                Err(Error::config(format!("line {line} of {path}: {what}")))
            };
            if !token
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b':')
            {
                return refused(
                    "must be a token of visible ASCII without a space or a colon, alone or after `admin:`",
                );
            }
            if !(MIN_TOKEN_BYTES..=MAX_TOKEN_BYTES).contains(&token.len()) {
                return refused(&format!(
                    "a token must have from {MIN_TOKEN_BYTES} to {MAX_TOKEN_BYTES} bytes"
                ));
            }
            list.push(token);
        }
        if ask.is_empty() && admin.is_empty() {
            return Err(Error::config(format!(
                "{} has no token, must have one per line",
                path.display()
            )));
        }
        Ok(BearerToken::new(ask).admin(admin))
    }

    /// Tokens that admin routes need: with them, the others do not open these routes. They open everything else, too.
    #[must_use]
    pub fn admin<T: AsRef<[u8]>>(mut self, tokens: impl IntoIterator<Item = T>) -> Self {
        let changed = Arc::make_mut(&mut self.tokens);
        changed.admin.extend(tokens.into_iter().map(digest));
        self
    }

    /// Sets the paths that are answered without a token, in place of the health routes. One that ends in `/` stands for
    /// everything below it.
    #[must_use]
    pub fn open<P: Into<String>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        Arc::make_mut(&mut self.tokens).open =
            paths.into_iter().map(|path| path.into().into()).collect();
        self
    }

    /// The reason why a request is refused, if it is. A request for an open path is marked if it has no token.
    pub(in crate::serving) fn refuses<B>(&self, request: &mut Request<B>) -> Option<Refusal> {
        let refusal = self.refusal_of(request.uri().path(), request.headers());
        if refusal.is_some() && self.is_open(request.uri().path()) {
            request.extensions_mut().insert(Anonymous);
            return None;
        }
        refusal
    }

    fn refusal_of(&self, path: &str, headers: &HeaderMap) -> Option<Refusal> {
        let Some(token) = headers.get(AUTHORIZATION).and_then(bearer) else {
            return Some(Refusal::NoToken);
        };
        let digest = digest(token);
        let is_admin = contains(&self.tokens.admin, &digest);
        let is_known = contains(&self.tokens.ask, &digest) | is_admin;
        if !is_known {
            return Some(Refusal::Unknown);
        }
        let enough = is_admin || self.tokens.admin.is_empty() || !is_admin_path(path);
        (!enough).then_some(Refusal::NotAdmin)
    }

    /// The answer to a refused client, in the form of its protocol.
    pub(in crate::serving) fn refusal(
        &self,
        refusal: Refusal,
        headers: &HeaderMap,
    ) -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        if is_grpc(headers) {
            let code = if refusal == Refusal::NotAdmin {
                "7"
            } else {
                "16"
            };
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            let (status, message) = (
                HeaderName::from_static("grpc-status"),
                HeaderName::from_static("grpc-message"),
            );
            headers.insert(status, HeaderValue::from_static(code));
            headers.insert(message, HeaderValue::from_static(refusal.text()));
            return response;
        }
        *response.body_mut() = Bytes::from(format!("{{\"error\":\"{}\"}}", refusal.text()));
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
        *response.status_mut() = if refusal == Refusal::NotAdmin {
            StatusCode::FORBIDDEN
        } else {
            let challenge = self.tokens.realm.clone();
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
            StatusCode::UNAUTHORIZED
        };
        response
    }

    fn is_open(&self, path: &str) -> bool {
        self.tokens.open.iter().any(|open| {
            if open.ends_with('/') {
                path.starts_with(open.as_ref())
            } else {
                path == open
            }
        })
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BearerToken")
            .field("n_tokens", &self.tokens.ask.len())
            .field("n_admin_tokens", &self.tokens.admin.len())
            .field("open", &self.tokens.open)
            .finish()
    }
}

/// The mark of a request for an open path without a token.
#[derive(Clone, Copy, Debug)]
pub(in crate::serving) struct Anonymous;

/// The reason why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::serving) enum Refusal {
    NoToken,
    Unknown,
    NotAdmin,
}

impl Refusal {
    fn text(self) -> &'static str {
        match self {
            Refusal::NoToken => "a token is required: `Authorization: Bearer ..`",
            Refusal::Unknown => "unknown token",
            Refusal::NotAdmin => "the token does not allow admin requests",
        }
    }
}

/// Returns `true` for a gRPC message.
pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    let content = headers.get(CONTENT_TYPE);
    content.is_some_and(|content| content.as_bytes().starts_with(b"application/grpc"))
}

fn digest(token: impl AsRef<[u8]>) -> [u8; 32] {
    Sha256::digest(token.as_ref()).into()
}

/// Compares in constant time, whether and wherever the digest is found.
fn contains(known: &[[u8; 32]], digest: &[u8; 32]) -> bool {
    known.iter().fold(false, |found, token| {
        let differs = token
            .iter()
            .zip(digest)
            .fold(0, |differs, (a, b)| black_box(differs | (a ^ b)));
        found | (differs == 0)
    })
}

/// The token of `Bearer <token>`; the scheme is in any case.
fn bearer(value: &HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = value.as_bytes().split_at_checked(7)?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"Bearer ") && !token.is_empty()).then_some(token)
}

/// Returns `true` if a path changes what is served, or is that of the dashboard.
fn is_admin_path(path: &str) -> bool {
    // The server may be nested below another path.
    path.contains("/v2/repository/models/")
        || (path.ends_with("/dashboard") && !path.contains("/v2/") && !path.contains("/v1/"))
        || path.starts_with("/inference.GRPCInferenceService/RepositoryModel")
}

impl<S> Layer<S> for BearerToken {
    type Service = BearerTokenService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        BearerTokenService {
            tokens: self.clone(),
            inner,
        }
    }
}

/// A service that only requests with a token reach; made by [`BearerToken`].
#[derive(Clone, Debug)]
pub struct BearerTokenService<S> {
    tokens: BearerToken,
    inner: S,
}

impl<S, A, B> Service<Request<A>> for BearerTokenService<S>
where
    S: Service<Request<A>, Response = Response<B>>,
{
    type Response = Response<GuardedBody<B>>;
    type Error = S::Error;
    type Future = Guarded<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<A>) -> Self::Future {
        let refused = self.tokens.refuses(&mut request);
        Guarded(match refused {
            None => State::Let(Box::pin(self.inner.call(request))),
            Some(refusal) => {
                let response = self.tokens.refusal(refusal, request.headers());
                State::Refused(Some(response))
            }
        })
    }
}

/// The answer of a [`BearerTokenService`] to come.
#[derive(Debug)]
pub struct Guarded<F>(State<F>);

#[derive(Debug)]
enum State<F> {
    Let(Pin<Box<F>>),
    Refused(Option<Response<Bytes>>),
}

impl<F, B, E> Future for Guarded<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<GuardedBody<B>>, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Let(inner) => inner
                .as_mut()
                .poll(context)
                .map_ok(|response| response.map(|body| GuardedBody(Inner::Answer(body)))),
            State::Refused(response) => {
                let response = response.take().unwrap_or_default();
                Poll::Ready(Ok(
                    response.map(|text| GuardedBody(Inner::Refusal(Some(text))))
                ))
            }
        }
    }
}

/// The body of an answer of a [`BearerTokenService`].
#[derive(Debug)]
pub struct GuardedBody<B>(Inner<B>);

#[derive(Debug)]
enum Inner<B> {
    Answer(B),
    Refusal(Option<Bytes>),
}

impl<B> Body for GuardedBody<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match &mut self.0 {
            Inner::Answer(body) => Pin::new(body).poll_frame(context),
            Inner::Refusal(text) => {
                let text = text.take().filter(|text| !text.is_empty());
                Poll::Ready(text.map(|text| Ok(Frame::data(text))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Answer(body) => body.is_end_stream(),
            Inner::Refusal(text) => text.as_ref().is_none_or(Bytes::is_empty),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Answer(body) => body.size_hint(),
            Inner::Refusal(text) => {
                SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64))
            }
        }
    }
}
