//! The services, for a server of this crate or of an application.

use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use prost::Message;
use prost::bytes::Bytes;
use tokio::sync::watch;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, HeaderName, HeaderValue};
use tonic::codegen::{BoxFuture, Service, StdError, http};
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic_reflection::server::Builder;

use super::body::{Limited, MessageLimits};
use super::generated::DESCRIPTORS;
use super::health::Health;
use super::proto::ModelInferRequest;
use super::proto::grpc_inference_service_server::GrpcInferenceServiceServer;
use super::reply::Reply;
use super::service::Served;
use super::standing::{Phase, Standing};
use super::status::status;
use super::{GrpcOptions, MODEL_VERSION, deadline};
use crate::error::{Error, Result};
use crate::serving::ServerCore;

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
/// // HTTP and gRPC on one port, for `HttpOptions::serve_router` or a server of the application's:
/// let app = http::router(core.clone()).merge(grpc::router(core)?);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`GrpcOptions::routes`].
pub fn router(core: impl Into<ServerCore>) -> Result<Router> {
    GrpcOptions::default().router(core)
}

/// The services as tonic's, for a server of tonic's. Where they are put into an axum router, unknown paths are answered
/// as gRPC does, with status 200: [`router`] leaves them alone.
///
/// # Errors
/// As [`GrpcOptions::routes`].
pub fn routes(core: impl Into<ServerCore>) -> Result<Routes> {
    GrpcOptions::default().routes(core)
}

impl GrpcOptions {
    /// As [`router`], with what [`GrpcOptions::routes`] takes of the options.
    ///
    /// # Errors
    /// As [`GrpcOptions::check`].
    pub fn router(&self, core: impl Into<ServerCore>) -> Result<Router> {
        Ok(self.routes(core)?.into_axum_router().reset_fallback())
    }

    /// As [`routes`], with the options that are not about connections: the limits on messages and times, reflection and
    /// admin. Tokens are a layer: [`BearerToken`](crate::serving::http::BearerToken).
    ///
    /// # Errors
    /// As [`GrpcOptions::check`].
    pub fn routes(&self, core: impl Into<ServerCore>) -> Result<Routes> {
        self.check()?;
        let (inference, others) = services(core.into(), self, None)?;
        Ok(others.add_service(inference))
    }
}

/// The protocol, and what stands beside it.
pub(super) fn services(
    core: ServerCore,
    options: &GrpcOptions,
    phase: Option<watch::Receiver<Phase>>,
) -> Result<(Inference, Routes)> {
    let standing = Standing::new(core.clone(), options.readiness, phase);
    let mut others = Routes::new(Health::server(Arc::clone(&standing)));
    if options.reflection {
        let builder = || {
            Builder::configure()
                .register_encoded_file_descriptor_set(DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let failed = |error: tonic_reflection::server::Error| {
            Error::internal("the protocol's description is damaged").with_source(error)
        };
        others = others
            .add_service(builder().build_v1().map_err(failed)?)
            .add_service(builder().build_v1alpha().map_err(failed)?);
    }
    let served = Arc::new(Served::new(core, options.clone(), standing));
    let server = GrpcInferenceServiceServer::from_arc(Arc::clone(&served))
        .max_decoding_message_size(options.max_message_bytes)
        .max_encoding_message_size(options.max_message_bytes);
    let inference = Inference {
        served,
        server,
        limits: options.messages(),
    };
    Ok((inference, others.prepare()))
}

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// The calls that are there.
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

/// The protocol's service, which says of a call that is not there that it is not.
#[derive(Clone, Debug)]
pub(super) struct Inference {
    served: Arc<Served>,
    server: GrpcInferenceServiceServer<Served>,
    pub(super) limits: MessageLimits,
}

impl Inference {
    /// The path of the call that there are most of.
    pub(super) const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";

    /// Answers `ModelInfer` without tonic, whose streams, boxes and copies cost more than a row does.
    pub(super) async fn infer<B>(&self, request: http::Request<B>) -> http::Response<Reply>
    where
        B: tonic::codegen::Body<Data = Bytes> + Send + Unpin,
        B::Error: Into<StdError> + Send,
    {
        let (head, body) = request.into_parts();
        match self.inferred(&head.headers, body).await {
            Ok((reply, version)) => {
                let mut response = http::Response::new(reply);
                let headers = response.headers_mut();
                headers.reserve(2);
                headers.insert(http::header::CONTENT_TYPE, GRPC);
                if let Some(version) = version {
                    headers.insert(HeaderName::from_static(MODEL_VERSION), version);
                }
                response
            }
            Err(status) => status.into_http::<Body>().map(Reply::any),
        }
    }

    async fn inferred<B>(
        &self,
        headers: &HeaderMap,
        body: B,
    ) -> Result<(Reply, Option<HeaderValue>), Status>
    where
        B: tonic::codegen::Body<Data = Bytes> + Send + Unpin,
        B::Error: Into<StdError> + Send,
    {
        let asked = deadline::timeout(headers).map_err(|error| status(&error))?;
        // It holds what the message takes of the server's budget until there is an answer.
        let mut body = Limited::new(body, self.limits.within(asked), false);
        let ends = deadline::after(asked);
        let message = body.message().await?;
        let n_bytes = message.len();
        let request = ModelInferRequest::decode(message)
            .map_err(|error| Status::internal(format!("the message cannot be decoded: {error}")))?;
        let deadline = self.served.deadline(ends);
        let answer = self.served.answer(headers, deadline, n_bytes, request);
        let answer = answer.await?;
        let version = HeaderValue::from_str(&answer.model_version).ok();
        Ok((Reply::of(&answer, self.limits.max_bytes)?, version))
    }
}

impl NamedService for Inference {
    const NAME: &'static str = GrpcInferenceServiceServer::<Served>::NAME;
}

impl<B> Service<http::Request<B>> for Inference
where
    B: tonic::codegen::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let path = request.uri().path();
        let call = call_of(path).unwrap_or_default();
        if path == Self::INFER {
            let inference = self.clone();
            return Box::pin(async move { Ok(inference.infer(request).await.map(Body::new)) });
        }
        if CALLS.contains(&call) {
            let limits = self.limits.clone();
            return self.server.call(limited(request, &limits));
        }
        let call: String = call.chars().take(64).collect();
        let name = Self::NAME;
        let status = Status::unimplemented(format!("`{name}` has no call `{call}`"));
        Box::pin(ready(Ok(status.into_http())))
    }
}

/// With a body that keeps the limits.
pub(super) fn limited<B>(
    request: http::Request<B>,
    limits: &MessageLimits,
) -> http::Request<Limited<B>>
where
    B: tonic::codegen::Body<Data = Bytes> + Unpin,
    B::Error: Into<StdError>,
{
    let path = request.uri().path();
    let is_stream = path.ends_with("/ModelStreamInfer") || path.ends_with("/ServerReflectionInfo");
    // One that cannot be read is told of where it is used.
    let asked = deadline::timeout(request.headers()).ok().flatten();
    let asked = asked.filter(|_| !is_stream);
    let limits = limits.within(asked);
    request.map(|body| Limited::new(body, limits, is_stream))
}

/// The call of the protocol that a path names.
pub(super) fn call_of(path: &str) -> Option<&str> {
    path.strip_prefix('/')?
        .strip_prefix(Inference::NAME)?
        .strip_prefix('/')
}
