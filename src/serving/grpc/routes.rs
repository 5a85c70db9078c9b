//! The services, for a server of this crate or of an application.

use std::convert::Infallible;
use std::future::ready;
use std::task::{Context, Poll};

use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, StdError, http};
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic_reflection::server::Builder;

use super::GrpcOptions;
use super::generated::DESCRIPTORS;
use super::health::{Health, Stopping};
use super::proto::grpc_inference_service_server::GrpcInferenceServiceServer;
use super::service::Served;
use crate::error::{Error, Result};
use crate::serving::ServerCore;

/// The services as tonic's, for an application to mount in its own server: the protocol, health and reflection.
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
/// let app = http::router(core.clone()).merge(grpc::routes(core)?.into_axum_router());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`GrpcOptions::routes`].
pub fn routes(core: impl Into<ServerCore>) -> Result<Routes> {
    GrpcOptions::default().routes(core)
}

impl GrpcOptions {
    /// As [`routes`], with the options that are not about connections: the limits on messages and times, reflection and
    /// admin. Tokens are a layer: [`BearerToken`](crate::serving::http::BearerToken).
    ///
    /// # Errors
    /// As [`GrpcOptions::check`].
    pub fn routes(&self, core: impl Into<ServerCore>) -> Result<Routes> {
        self.check()?;
        let (inference, others) = services(core.into(), self, &Stopping::never())?;
        Ok(others.add_service(inference))
    }
}

/// The protocol, and what stands beside it.
pub(super) fn services(
    core: ServerCore,
    options: &GrpcOptions,
    stopping: &Stopping,
) -> Result<(Inference, Routes)> {
    let mut others = Routes::new(Health::server(core.clone(), stopping.clone()));
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
    let served = Served::new(core, options.clone(), stopping.clone());
    let server = GrpcInferenceServiceServer::new(served)
        .max_decoding_message_size(options.max_message_bytes)
        .max_encoding_message_size(options.max_message_bytes);
    Ok((Inference { server }, others.prepare()))
}

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
    server: GrpcInferenceServiceServer<Served>,
}

impl NamedService for Inference {
    const NAME: &'static str = GrpcInferenceServiceServer::<Served>::NAME;
}

impl<B> Service<http::Request<B>> for Inference
where
    B: tonic::codegen::Body + Send + 'static,
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
        if CALLS.contains(&call) {
            return self.server.call(request);
        }
        let call: String = call.chars().take(64).collect();
        let name = Self::NAME;
        let status = Status::unimplemented(format!("`{name}` has no call `{call}`"));
        Box::pin(ready(Ok(status.into_http())))
    }
}

/// The call of the protocol that a path names.
pub(super) fn call_of(path: &str) -> Option<&str> {
    path.strip_prefix('/')?
        .strip_prefix(Inference::NAME)?
        .strip_prefix('/')
}
