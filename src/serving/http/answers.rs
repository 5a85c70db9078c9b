//! From a request to its answer: the routes of every protocol.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body as AnyBody, Bytes};
use axum::http::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Body;
use serde::Serialize;
use tower::Service;

use super::dashboard::{self, LastLook};
use super::failure::Failure;
use super::path::{About, Change, ModelPath, Route, Signature, Unknown};
use super::{admin, body, open_inference, tf_serving};
use crate::error::{Error, ErrorKind, Result, shortened};
use crate::serving::ServerCore;
use crate::serving::metrics::Metrics;
use crate::serving::readiness::Probe;
use crate::serving::requests::{Call, Client, Exchange, Protocol};
use crate::serving::transport::{Anonymous, Budget, RequestBody, Seen, ServerOptions};

/// The id of a request, in its logs and in its answer.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const ROUTING_KEY: HeaderName = HeaderName::from_static("x-routing-key");
const TIMEOUT: HeaderName = HeaderName::from_static("request-timeout");
const MODEL_VERSION: HeaderName = HeaderName::from_static("fourfold-model-version");

/// Answers requests. Cheap to clone.
#[derive(Clone, Debug)]
pub(in crate::serving) struct Answers {
    shared: Arc<Shared>,
}

/// The groups of routes beside health and metrics.
#[derive(Clone, Copy, Debug)]
pub(in crate::serving) struct Routes {
    /// Inference and metadata.
    pub(in crate::serving) inference: bool,
    /// Changes of the served versions.
    pub(in crate::serving) admin: bool,
}

/// State that all answers share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) core: ServerCore,
    pub(super) max_body_bytes: usize,
    pub(super) body_time: Duration,
    /// The budget of bodies in a server of the application. Those of a port are counted there.
    budget: Arc<Budget>,
    pub(super) request_time: Option<Duration>,
    pub(super) metrics: bool,
    pub(super) probe: Probe,
    routes: Routes,
    /// The names that admin requests may call this server by; any if `None`.
    pub(super) admin_hosts: Option<Vec<String>>,
    /// The last state that the dashboard showed, if there is one.
    dashboard: Option<LastLook>,
}

/// An answer, or that it is none.
pub(super) type Answer = Result<Response<Bytes>, Failure>;

impl Answers {
    /// The answers of a core, with the options that do not concern connections.
    pub(in crate::serving) fn new(
        options: &ServerOptions,
        core: &ServerCore,
        routes: Routes,
        admin_hosts: Option<Vec<String>>,
        budget: &Arc<Budget>,
    ) -> Self {
        Answers {
            shared: Arc::new(Shared {
                core: core.clone(),
                max_body_bytes: options.max_body_bytes,
                body_time: options.body_timeout,
                budget: Arc::clone(budget),
                request_time: options.request_timeout,
                metrics: options.metrics,
                probe: Probe::new(options.readiness),
                routes,
                admin_hosts,
                dashboard: options.dashboard.then(LastLook::default),
            }),
        }
    }

    /// Answers a request, whatever it is. What its body holds is held until then.
    pub(in crate::serving) async fn answer(
        &self,
        request: Request<RequestBody>,
    ) -> (Response<Bytes>, Seen) {
        let (head, mut body) = request.into_parts();
        let mut seen = Seen::default();
        let answer = self.route(&head, &mut body, &mut seen).await;
        let mut response = answer.unwrap_or_else(Failure::into_response);
        if !response.status().is_success()
            && !response.headers().contains_key(CONNECTION)
            && !body::discard(&head.headers, &mut body).await
        {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        let headers = response.headers_mut();
        if let Some(id) = head.headers.get(REQUEST_ID) {
            headers.insert(REQUEST_ID, id.clone());
        }
        if let Some(version) = seen.version {
            headers.insert(MODEL_VERSION, HeaderValue::from(version));
        }
        (response, seen)
    }

    async fn route(&self, head: &Parts, body: &mut RequestBody, seen: &mut Seen) -> Answer {
        let path = head.uri.path();
        let route = Route::of(path).map_err(|unknown| unknown_path(unknown, head))?;
        seen.route = route.template();
        let shared = &*self.shared;
        let served = match &route {
            Route::Admin(..) => shared.routes.admin,
            Route::Metrics => shared.metrics,
            Route::Dashboard => shared.routes.admin && shared.dashboard.is_some(),
            Route::Live | Route::Ready => true,
            Route::Index => shared.routes.inference || shared.routes.admin,
            _ => shared.routes.inference,
        };
        if !served {
            return Err(unknown_path(Unknown::Path, head));
        }
        let allowed = methods(&route);
        let method = if head.method == Method::HEAD {
            &Method::GET
        } else {
            &head.method
        };
        if !allowed
            .split(", ")
            .any(|allowed| allowed == method.as_str())
        {
            return wrong_method(&route, head, allowed);
        }
        if let Route::Model(asked, _) | Route::TensorFlow(asked, _) = &route
            && tracing::enabled!(target: "fourfold::access", tracing::Level::INFO)
        {
            seen.model = Some(asked.model.clone().into_owned());
        }
        let asking = Asking { shared, head };
        match route {
            Route::Model(asked, About::Infer) => {
                open_inference::infer(asking, &asked, body, seen).await
            }
            Route::Model(asked, about) => open_inference::about(shared, &asked, about),
            Route::TensorFlow(asked, signature) => {
                tf_serving::answer(asking, &asked, signature, body, seen).await
            }
            Route::Server => json(&crate::serving::protocol::server_metadata()),
            Route::Live => json(&serde_json::json!({"live": true})),
            Route::Ready => {
                open_inference::ready(shared, head.extensions.get::<Anonymous>().is_none())
            }
            Route::Models => open_inference::models(shared),
            Route::AllStatistics => open_inference::statistics(shared, None),
            Route::Index => {
                let body = asking.read(body, seen).await?;
                open_inference::index(shared, &body)
            }
            Route::Admin(model, change) => {
                super::head::check_site(head, shared.admin_hosts.as_deref())?;
                let body = asking.read(body, seen).await?;
                admin::change(shared, method, &model, change, &body).await
            }
            Route::Metrics => metrics(shared),
            Route::Dashboard => {
                super::head::check_site(head, shared.admin_hosts.as_deref())?;
                dashboard(shared)
            }
        }
    }
}

/// A request for a model.
pub(super) struct Question {
    pub(super) body: Bytes,
    /// Until when the client waits.
    pub(super) deadline: Option<Instant>,
}

/// A request that is being answered.
#[derive(Clone, Copy)]
pub(super) struct Asking<'r> {
    pub(super) shared: &'r Shared,
    pub(super) head: &'r Parts,
}

impl Asking<'_> {
    /// Reads the body of a request that is not for a model.
    pub(super) async fn read(
        self,
        body: &mut RequestBody,
        seen: &mut Seen,
    ) -> Result<Bytes, Failure> {
        self.read_up_to(self.shared.max_body_bytes, body, seen)
            .await
    }

    /// Reads the body of a request for a model. A large one is only read if the model can answer.
    pub(super) async fn read_for(
        self,
        asked: &ModelPath<'_>,
        body: &mut RequestBody,
        seen: &mut Seen,
    ) -> Result<Question, Failure> {
        let Shared {
            core,
            max_body_bytes,
            ..
        } = self.shared;
        let timeout = self.timeout()?;
        if !body::is_small(&self.head.headers)
            && let Err(error) = core.manager().get(&asked.model, asked.version())
            // A model that is not loaded yet may be loaded by the time the body has arrived.
            && error.kind() != ErrorKind::Unavailable
        {
            return Err(error.into());
        }
        let max_bytes = core
            .limits(&asked.model)
            .max_body_bytes
            .min(*max_body_bytes);
        let body = self.read_up_to(max_bytes, body, seen).await?;
        Ok(Question {
            body,
            deadline: timeout.and_then(|timeout| Instant::now().checked_add(timeout)),
        })
    }

    async fn read_up_to(
        self,
        max_bytes: usize,
        body: &mut RequestBody,
        seen: &mut Seen,
    ) -> Result<Bytes, Failure> {
        let time = self.shared.body_time;
        let body = body::read(&self.head.headers, body, max_bytes, time).await?;
        seen.n_bytes = body.len();
        Ok(body)
    }

    fn header(&self, name: &HeaderName) -> Option<&str> {
        self.head.headers.get(name)?.to_str().ok()
    }

    /// The timeout of the client.
    fn timeout(&self) -> Result<Option<Duration>, Failure> {
        let asked = match self.head.headers.get(TIMEOUT) {
            None => None,
            Some(value) => {
                let seconds = value.to_str().ok().and_then(|text| text.parse().ok());
                let timeout = seconds.and_then(|seconds: f64| {
                    Duration::try_from_secs_f64(seconds)
                        .ok()
                        .filter(|timeout| !timeout.is_zero())
                });
                let refused = "the header `Request-Timeout` must be seconds, such as `0.25`";
                Some(timeout.ok_or_else(|| Error::data(refused))?)
            }
        };
        Ok(match (asked, self.shared.request_time) {
            (Some(asked), Some(most)) => Some(asked.min(most)),
            (asked, most) => asked.or(most),
        })
    }

    /// Sends a request to a model, and notes the version that answered.
    pub(super) async fn ask<E: Exchange>(
        &self,
        asked: &ModelPath<'_>,
        deadline: Option<Instant>,
        client: Option<&Arc<Client>>,
        exchange: E,
        protocol: Protocol,
        seen: &mut Seen,
    ) -> Result<E::Reply, Failure> {
        let core = &self.shared.core;
        let call = Call {
            model: &asked.model,
            version: asked.version(),
            protocol,
            routing_key: self.header(&ROUTING_KEY),
            id: self.header(&REQUEST_ID),
            deadline,
            client,
            n_bytes: seen.n_bytes,
        };
        let exchange = Noting {
            exchange,
            n_rows: 0,
        };
        let noted = match core.answer(call, exchange).await {
            Ok(noted) => noted,
            Err(error) if error.kind() == ErrorKind::ResourceExhausted => {
                core.pace_refusal().await;
                let after = core.retry_after(&asked.model);
                return Err(Failure::from(error).retry_after(after));
            }
            Err(error) => return Err(error.into()),
        };
        seen.version = Some(noted.version);
        seen.n_rows = Some(noted.n_rows);
        Ok(noted.reply)
    }
}

/// An exchange that notes the version that answered and the number of rows.
#[derive(Debug)]
struct Noting<E> {
    exchange: E,
    n_rows: usize,
}

struct Noted<R> {
    reply: R,
    version: u64,
    n_rows: usize,
}

impl<E: Exchange> Exchange for Noting<E> {
    type Reply = Noted<E::Reply>;

    fn rows(&mut self, predictor: &crate::serving::Predictor) -> Result<arrow::array::RecordBatch> {
        let rows = self.exchange.rows(predictor)?;
        self.n_rows = rows.num_rows();
        Ok(rows)
    }

    fn id(&self) -> Option<&str> {
        self.exchange.id()
    }

    fn explains(&self) -> bool {
        self.exchange.explains()
    }

    fn reply(
        &self,
        predictor: &crate::serving::Predictor,
        prediction: &crate::model::Prediction,
    ) -> Result<Self::Reply> {
        Ok(Noted {
            reply: self.exchange.reply(predictor, prediction)?,
            version: predictor.version(),
            n_rows: self.n_rows,
        })
    }
}

/// A JSON document as an answer.
pub(super) fn json<T: Serialize>(value: &T) -> Answer {
    let text = serde_json::to_vec(value)
        .map_err(|error| Error::internal("an answer cannot be serialized").with_source(error))?;
    Ok(json_text(text))
}

/// JSON that is written already as an answer.
pub(super) fn json_text(text: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(text.into());
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

fn metrics(shared: &Shared) -> Answer {
    let mut response = Response::new(Bytes::from(shared.core.metrics().encode()));
    let content = HeaderValue::from_static(Metrics::CONTENT_TYPE);
    response.headers_mut().insert(CONTENT_TYPE, content);
    Ok(response)
}

fn dashboard(shared: &Shared) -> Answer {
    let last = shared.dashboard.as_ref();
    let last = last.ok_or_else(|| Error::internal("there is no dashboard"))?;
    let page = dashboard::page(&shared.core, last);
    let mut response = Response::new(Bytes::from(page));
    for (name, value) in [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        // Nothing is loaded or run, whatever a model or a column is called; nobody shows it within a page of theirs.
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'",
        ),
    ] {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

/// The methods that a route takes; a route that takes GET also takes HEAD.
fn methods(route: &Route<'_>) -> &'static str {
    match route {
        Route::Index
        | Route::Model(_, About::Infer)
        | Route::Admin(_, Change::Load | Change::Unload | Change::RollBack)
        | Route::TensorFlow(_, Signature::Predict | Signature::Classify | Signature::Regress) => {
            "POST"
        }
        Route::Admin(_, Change::Label(_) | Change::Traffic) => "PUT, DELETE",
        _ => "GET",
    }
}

fn wrong_method(route: &Route<'_>, head: &Parts, allowed: &'static str) -> Answer {
    if let Route::TensorFlow(..) = route {
        return Err(unknown_path(Unknown::Malformed, head));
    }
    let path = shortened(head.uri.path());
    let text = format!(
        "`{path}` does not support the method {}",
        shortened(head.method.as_str())
    );
    let mut response = Failure::new(StatusCode::METHOD_NOT_ALLOWED, text).into_response();
    let allowed = HeaderValue::from_static(allowed);
    response.headers_mut().insert(ALLOW, allowed);
    Ok(response)
}

fn unknown_path(unknown: Unknown<'_>, head: &Parts) -> Failure {
    let path = shortened(head.uri.path());
    match unknown {
        Unknown::Path => Failure::new(StatusCode::NOT_FOUND, format!("there is no path `{path}`")),
        Unknown::Malformed => Failure::new(
            StatusCode::BAD_REQUEST,
            format!(
                "Malformed request: {} {path}",
                shortened(head.method.as_str())
            ),
        ),
        Unknown::Version(version) => Failure::new(
            StatusCode::BAD_REQUEST,
            format!(
                "`{}` is not a version, must be a whole number",
                shortened(version)
            ),
        ),
    }
}

/// For use in a server of the application.
impl<B> Service<Request<B>> for Answers
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    type Response = Response<AnyBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let answers = self.clone();
        Box::pin(async move {
            let budget = &answers.shared.budget;
            let request = request.map(|body| RequestBody::mounted(AnyBody::new(body), budget));
            let (mut response, seen) = answers.answer(request).await;
            if tracing::enabled!(target: "fourfold::access", tracing::Level::INFO) {
                response.extensions_mut().insert(seen);
            }
            Ok(response.map(AnyBody::from))
        })
    }
}
