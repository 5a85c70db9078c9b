//! The services, for a server of this crate or of an application.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body as AnyBody;
use prost::Message;
use prost::bytes::Bytes;
use tokio::sync::watch;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, HeaderName, HeaderValue};
use tonic::codegen::{BoxFuture, Service, StdError, http};
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic::{Code, Status};
use tonic_reflection::server::Builder;

use super::body::{Limited, MessageLimits};
use super::generated::DESCRIPTORS;
use super::health::Health;
use super::proto::ModelInferRequest;
use super::proto::grpc_inference_service_server::GrpcInferenceServiceServer;
use super::reply::framed;
use super::service::Served;
use super::standing::Standing;
use super::status::status;
use super::{MODEL_VERSION, deadline};
use crate::error::{Error, Result, shortened};
use crate::serving::ServerCore;
use crate::serving::transport::{
    Budget, Payload, Phase, RequestBody, Seen, ServerHandle, ServerOptions, Start,
};

/// Answers over gRPC with the models of a manager, with the defaults of [`ServerOptions`].
///
/// The address is such as `127.0.0.1:8001`; port 0 is any free port. The server runs on the tokio runtime that this
/// is called in, which must have its IO and time drivers enabled.
///
/// # Errors
/// As [`ServerOptions::serve`].
pub async fn serve(core: impl Into<ServerCore>, address: &str) -> Result<ServerHandle> {
    ServerOptions::default().serve_grpc(core, address).await
}

/// The services as a router, for an application to mount beside others: the protocol, health and reflection. What is
/// not there is left to the fallback of the application.
///
/// ```
/// use std::sync::Arc;
///
/// use fourfold::model::Loaders;
/// use fourfold::serving::{Manager, ModelRepository, ServerCore, grpc, http};
///
/// # fn main() -> fourfold::Result<()> {
/// # let models = tempfile::tempdir().map_err(|e| fourfold::Error::new(fourfold::ErrorKind::Io, e.to_string()))?;
/// # let models = models.path();
/// let manager = Manager::open(ModelRepository::at(models), Loaders::default())?;
/// let core = ServerCore::new(Arc::new(manager));
/// // HTTP and gRPC on one port, for `ServerOptions::serve_router` or a server of the application's:
/// let app = http::router(core.clone()).merge(grpc::router(core)?);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`ServerOptions::grpc_routes`].
pub fn router(core: impl Into<ServerCore>) -> Result<Router> {
    ServerOptions::default().grpc_router(core)
}

/// The services as tonic's, for a server of tonic's. Where they are put into an axum router, unknown paths are answered
/// as gRPC does, with status 200: [`router`] leaves them alone.
///
/// # Errors
/// As [`ServerOptions::grpc_routes`].
pub fn routes(core: impl Into<ServerCore>) -> Result<Routes> {
    ServerOptions::default().grpc_routes(core)
}

impl ServerOptions {
    /// As [`grpc::router`](router), with what [`ServerOptions::grpc_routes`] takes of the options.
    ///
    /// # Errors
    /// As [`ServerOptions::check`].
    pub fn grpc_router(&self, core: impl Into<ServerCore>) -> Result<Router> {
        Ok(self.grpc_routes(core)?.into_axum_router().reset_fallback())
    }

    /// As [`grpc::routes`](routes), with the options that are not about connections: the limits on messages and times, reflection and
    /// admin. Tokens are a layer: [`BearerToken`](crate::serving::transport::BearerToken).
    ///
    /// # Errors
    /// As [`ServerOptions::check`].
    pub fn grpc_routes(&self, core: impl Into<ServerCore>) -> Result<Routes> {
        self.check()?;
        let calls = Calls::made(
            &core.into(),
            self,
            None,
            &Budget::new(self.max_buffered_bytes),
        )?;
        Ok(calls.others.add_service(calls.inference))
    }
}

/// The calls that a port answers.
#[derive(Debug)]
pub(in crate::serving) struct Calls {
    inference: Inference,
    others: Routes,
}

impl Calls {
    pub(in crate::serving) fn new(
        core: &ServerCore,
        options: &ServerOptions,
        start: &Start,
    ) -> Result<Self> {
        Calls::made(core, options, Some(start.phase.clone()), &start.budget)
    }

    fn made(
        core: &ServerCore,
        options: &ServerOptions,
        phase: Option<watch::Receiver<Phase>>,
        budget: &Arc<Budget>,
    ) -> Result<Self> {
        let standing = Standing::new(core.clone(), options.readiness, phase);
        let mut others = Routes::new(Health::server(Arc::clone(&standing)));
        if options.reflection {
            let builder = || {
                Builder::configure()
                    .register_encoded_file_descriptor_set(DESCRIPTORS)
                    .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            };
            let failed = |error: tonic_reflection::server::Error| {
                Error::internal("the descriptors of the protocol are damaged").with_source(error)
            };
            others = others
                .add_service(builder().build_v1().map_err(failed)?)
                .add_service(builder().build_v1alpha().map_err(failed)?);
        }
        let served = Arc::new(Served::new(core.clone(), options, standing));
        let server = GrpcInferenceServiceServer::from_arc(Arc::clone(&served))
            .max_decoding_message_size(options.max_body_bytes)
            .max_encoding_message_size(options.max_body_bytes);
        let inference = Inference {
            served,
            server,
            limits: MessageLimits {
                max_bytes: options.max_body_bytes,
                timeout: options.body_timeout,
            },
            budget: Arc::clone(budget),
        };
        Ok(Calls {
            inference,
            others: others.prepare(),
        })
    }

    /// Answers a call, whatever it is; `ModelInfer` without tonic, whose streams, boxes and copies cost more than a row.
    pub(in crate::serving) async fn answer(
        &self,
        request: http::Request<RequestBody>,
    ) -> (http::Response<Payload>, Seen) {
        let path = request.uri().path();
        if path == Inference::INFER {
            let response = self.inference.infer(request).await;
            let seen = Seen {
                code: Some(0),
                version: text(response.headers(), MODEL_VERSION),
                ..Seen::default()
            };
            return match response.body() {
                Payload::Message(_) => (response, seen),
                _ => seen_of(response),
            };
        }
        let is_inference = call_of(path).is_some();
        let request = limited(request, self.inference.limits);
        let response = match is_inference {
            true => self.inference.clone().called(request).await,
            false => {
                let Ok(response) = self.others.clone().call(request).await;
                response
            }
        };
        seen_of(response.map(|body| Payload::Any(AnyBody::new(body))))
    }
}

/// The fields of an answer for the access log: the code of one without a message is in its head; others have one behind it, which is
/// good.
fn seen_of(response: http::Response<Payload>) -> (http::Response<Payload>, Seen) {
    let headers = response.headers();
    let code = Status::from_header_map(headers).map_or(Code::Ok, |status| status.code());
    let seen = Seen {
        code: Some(code.into()),
        version: text(headers, MODEL_VERSION),
        ..Seen::default()
    };
    (response, seen)
}

fn text<T: std::str::FromStr>(headers: &HeaderMap, name: &str) -> Option<T> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// The calls of the services.
pub(super) const CALLS: [&str; 12] = [
    "ModelInfer",
    "ModelStreamInfer",
    "ServerLive",
    "ServerReady",
    "ModelReady",
    "ServerMetadata",
    "ModelMetadata",
    "ModelConfig",
    "ModelStatistics",
    "RepositoryIndex",
    "RepositoryModelLoad",
    "RepositoryModelUnload",
];

/// The protocol's service, which answers unknown calls with an error.
#[derive(Clone, Debug)]
pub(super) struct Inference {
    served: Arc<Served>,
    server: GrpcInferenceServiceServer<Served>,
    limits: MessageLimits,
    /// The budget of bodies in a server of the application. Those of a port are counted there.
    budget: Arc<Budget>,
}

impl Inference {
    /// The path of the most frequent call.
    const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";

    async fn infer(&self, request: http::Request<RequestBody>) -> http::Response<Payload> {
        let (head, body) = request.into_parts();
        match self.inferred(&head.headers, body).await {
            Ok((message, version)) => {
                let mut response = http::Response::new(Payload::Message(message));
                let headers = response.headers_mut();
                headers.reserve(2);
                headers.insert(http::header::CONTENT_TYPE, GRPC);
                if let Some(version) = version {
                    headers.insert(HeaderName::from_static(MODEL_VERSION), version);
                }
                response
            }
            Err(status) => {
                let response = status.into_http::<Body>();
                response.map(|body| Payload::Any(AnyBody::new(body)))
            }
        }
    }

    async fn inferred(
        &self,
        headers: &HeaderMap,
        body: RequestBody,
    ) -> Result<(Bytes, Option<HeaderValue>), Status> {
        let asked = deadline::timeout(headers).map_err(|error| status(&error))?;
        // The bytes of the message are held until it is answered.
        let mut body = Limited::new(body, self.limits.within(asked), false);
        let ends = deadline::after(asked);
        let message = body.message().await?;
        let n_bytes = message.len();
        let request = ModelInferRequest::decode(message)
            .map_err(|error| Status::internal(format!("the message cannot be decoded: {error}")))?;
        let deadline = self.served.deadline(ends);
        let answer = self
            .served
            .answer(headers, body.client(), deadline, n_bytes, request);
        let answer = answer.await?;
        let version = HeaderValue::from_str(&answer.model_version).ok();
        Ok((framed(&answer, self.limits.max_bytes)?, version))
    }

    /// Answers another call than `ModelInfer`.
    async fn called(mut self, request: http::Request<Limited>) -> http::Response<Body> {
        let call = call_of(request.uri().path()).unwrap_or_default();
        if CALLS.contains(&call) {
            let Ok(response) = self.server.call(request).await;
            return response;
        }
        let (name, call) = (Self::NAME, shortened(call));
        Status::unimplemented(format!("service `{name}` has no method `{call}`")).into_http()
    }
}

impl NamedService for Inference {
    const NAME: &'static str = GrpcInferenceServiceServer::<Served>::NAME;
}

/// For use in a server of the application.
impl<B> Service<http::Request<B>> for Inference
where
    B: tonic::codegen::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let inference = self.clone();
        let budget = &self.budget;
        let request = request.map(|body| RequestBody::mounted(AnyBody::new(body), budget));
        Box::pin(async move {
            Ok(if request.uri().path() == Self::INFER {
                inference.infer(request).await.map(Payload::into_body)
            } else {
                let request = limited(request, inference.limits);
                inference.called(request).await
            })
        })
    }
}

/// Limits the body of a request.
fn limited(request: http::Request<RequestBody>, limits: MessageLimits) -> http::Request<Limited> {
    let path = request.uri().path();
    let is_stream = path.ends_with("/ModelStreamInfer") || path.ends_with("/ServerReflectionInfo");
    // A timeout that cannot be read is reported where it is used.
    let asked = deadline::timeout(request.headers()).ok().flatten();
    let asked = asked.filter(|_| !is_stream);
    let limits = limits.within(asked);
    let mut request = request.map(|body| Limited::new(body, limits, is_stream));
    if is_stream && let Some(client) = request.body().client().map(Arc::clone) {
        request.extensions_mut().insert(client);
    }
    request
}

/// The call of the protocol that a path names.
pub(super) fn call_of(path: &str) -> Option<&str> {
    path.strip_prefix('/')?
        .strip_prefix(Inference::NAME)?
        .strip_prefix('/')
}
