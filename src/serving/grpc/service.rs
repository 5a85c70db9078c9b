//! The calls of the protocol.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tonic::codegen::http::HeaderMap;
use tonic::codegen::{BoxStream, async_trait};
use tonic::{Request, Response, Status, Streaming};

use super::infer::{self, Infer};
use super::proto::grpc_inference_service_server::GrpcInferenceService;
use super::proto::*;
use super::standing::Standing;
use super::status::{status, try_again_after};
use super::{answers, deadline, stream};
use crate::error::{Error, ErrorKind, Result};
use crate::serving::lifecycle::VersionChoice;
use crate::serving::protocol::check_id;
use crate::serving::requests::{Call, Client, Protocol};
use crate::serving::transport::{Admin, ServerOptions};
use crate::serving::{Manager, Predictor, ServerCore};

const ROUTING_KEY: &str = "x-routing-key";
const REQUEST_ID: &str = "x-request-id";

/// The implementation of the service.
#[derive(Clone, Debug)]
pub(super) struct Served {
    core: ServerCore,
    request_time: Option<Duration>,
    is_admin: bool,
    pub(super) standing: Arc<Standing>,
}

type Answer<T> = Result<Response<T>, Status>;

impl Served {
    pub(super) fn new(core: ServerCore, options: &ServerOptions, standing: Arc<Standing>) -> Self {
        Served {
            core,
            request_time: options.request_timeout,
            is_admin: options.admin == Admin::SamePort,
            standing,
        }
    }

    fn find(&self, name: &str, version: &str) -> Result<Predictor, Status> {
        let found = self.core.manager().get(name, answers::version(version));
        found.map_err(|error| status(&error))
    }

    /// The deadline of a request that has arrived, by its client and the server's limit.
    pub(super) fn deadline(&self, ends: Option<Instant>) -> Option<Instant> {
        let limit = deadline::after(self.request_time);
        ends.into_iter().chain(limit).min()
    }

    /// Answers an inference request of `n_bytes`.
    pub(super) async fn answer(
        &self,
        headers: &HeaderMap,
        client: Option<&Arc<Client>>,
        deadline: Option<Instant>,
        n_bytes: usize,
        mut request: ModelInferRequest,
    ) -> Result<ModelInferResponse, Status> {
        let own = infer::timeout(&request.parameters).map_err(|error| status(&error))?;
        let deadline = deadline.into_iter().chain(deadline::after(own)).min();
        let model = std::mem::take(&mut request.model_name);
        let most = self.core.limits(&model).max_body_bytes;
        if n_bytes > most {
            return Err(Status::out_of_range(format!(
                "the message has {n_bytes} bytes, must have at most {most} for this model"
            )));
        }
        let version = std::mem::take(&mut request.model_version);
        check_id(&request.id).map_err(|error| status(&error))?;
        let own_id = (!request.id.is_empty()).then(|| request.id.clone());
        let call = Call {
            model: &model,
            version: answers::version(&version),
            client,
            protocol: Protocol::Grpc,
            routing_key: text(headers, ROUTING_KEY),
            id: own_id.as_deref().or_else(|| text(headers, REQUEST_ID)),
            deadline,
            n_bytes,
        };
        // The core keeps it from here on.
        let answer = match deadline::check(deadline) {
            Ok(()) => self.core.answer(call, Infer::new(request)).await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(answer) => Ok(answer),
            Err(error) => {
                if error.kind() == ErrorKind::ResourceExhausted {
                    self.core.pace_refusal().await;
                }
                let mut told = status(&error);
                try_again_after(&mut told, || self.core.retry_after(&model));
                Err(told)
            }
        }
    }

    fn check_repository(name: &str) -> Result<(), Status> {
        if name.is_empty() {
            return Ok(());
        }
        let name: String = name.chars().take(64).collect();
        Err(status(&Error::not_found(format!(
            "unknown repository `{name}`: the only one has an empty name"
        ))))
    }

    /// Changes the served versions, on a thread that may block: loading takes time.
    async fn change(
        &self,
        change: impl FnOnce(&Manager) -> Result<()> + Send + 'static,
    ) -> Result<(), Status> {
        let manager = Arc::clone(self.core.manager());
        let changed = tokio::task::spawn_blocking(move || change(&manager)).await;
        let failed = |error| Error::internal("the change failed").with_source(error);
        let changed = changed.map_err(failed).and_then(|changed| changed);
        changed.map_err(|error| status(&error))
    }

    fn check_admin(&self, call: &str) -> Result<(), Status> {
        if self.is_admin {
            return Ok(());
        }
        Err(Status::permission_denied(format!(
            "`{call}` is disabled: the server's option `admin` is off for this port"
        )))
    }
}

fn not_a_parameter(name: &str, why: &str) -> Status {
    let name: String = name.chars().take(64).collect();
    status(&Error::new(
        ErrorKind::Unsupported,
        format!("parameter `{name}` is not supported: {why}"),
    ))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[async_trait]
impl GrpcInferenceService for Served {
    async fn server_live(&self, _: Request<ServerLiveRequest>) -> Answer<ServerLiveResponse> {
        Ok(Response::new(ServerLiveResponse { live: true }))
    }

    async fn server_ready(&self, _: Request<ServerReadyRequest>) -> Answer<ServerReadyResponse> {
        let ready = self.standing.is_ready();
        Ok(Response::new(ServerReadyResponse { ready }))
    }

    async fn model_ready(&self, request: Request<ModelReadyRequest>) -> Answer<ModelReadyResponse> {
        let ModelReadyRequest { name, version } = request.get_ref();
        let ready = match self.core.manager().get(name, answers::version(version)) {
            Ok(_) => true,
            // A model that is unknown or does not answer is not ready; neither is an error.
            Err(error) if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::NotFound) => {
                false
            }
            Err(error) => return Err(status(&error)),
        };
        Ok(Response::new(ModelReadyResponse { ready }))
    }

    async fn server_metadata(
        &self,
        _: Request<ServerMetadataRequest>,
    ) -> Answer<ServerMetadataResponse> {
        Ok(Response::new(answers::server_metadata()))
    }

    async fn model_metadata(
        &self,
        request: Request<ModelMetadataRequest>,
    ) -> Answer<ModelMetadataResponse> {
        let ModelMetadataRequest { name, version } = request.get_ref();
        let predictor = self.find(name, version)?;
        Ok(Response::new(answers::model_metadata(
            &self.core, &predictor,
        )))
    }

    /// Not called: it is answered without tonic, by `Inference::infer`.
    async fn model_infer(&self, _: Request<ModelInferRequest>) -> Answer<ModelInferResponse> {
        Err(Status::internal("this method is answered elsewhere"))
    }

    type ModelStreamInferStream = BoxStream<ModelStreamInferResponse>;

    async fn model_stream_infer(
        &self,
        request: Request<Streaming<ModelInferRequest>>,
    ) -> Answer<Self::ModelStreamInferStream> {
        let answers = stream::answers(self.clone(), request).map_err(|error| status(&error))?;
        Ok(Response::new(answers))
    }

    async fn model_config(
        &self,
        request: Request<ModelConfigRequest>,
    ) -> Answer<ModelConfigResponse> {
        let ModelConfigRequest { name, version } = request.get_ref();
        let predictor = self.find(name, version)?;
        Ok(Response::new(ModelConfigResponse {
            config: Some(answers::model_config(&predictor)),
        }))
    }

    async fn model_statistics(
        &self,
        request: Request<ModelStatisticsRequest>,
    ) -> Answer<ModelStatisticsResponse> {
        let ModelStatisticsRequest { name, version } = request.get_ref();
        let model = (!name.is_empty()).then_some(name.as_str());
        let version = match (model, answers::version(version)) {
            (_, VersionChoice::Default) => None,
            (None, _) => {
                let error = Error::data("`version` is given without `name`");
                return Err(status(&error));
            }
            (Some(_), VersionChoice::Number(number)) => Some(number),
            // The version that the label names now.
            (Some(name), VersionChoice::Label(label)) => Some(self.find(name, label)?.version()),
        };
        let statistics = self.core.statistics(model, version);
        let statistics = statistics.map_err(|error| status(&error))?;
        Ok(Response::new(answers::statistics(&statistics)))
    }

    async fn repository_index(
        &self,
        request: Request<RepositoryIndexRequest>,
    ) -> Answer<RepositoryIndexResponse> {
        let RepositoryIndexRequest {
            repository_name,
            ready,
        } = request.get_ref();
        Served::check_repository(repository_name)?;
        Ok(Response::new(answers::index(&self.core, *ready)))
    }

    async fn repository_model_load(
        &self,
        request: Request<RepositoryModelLoadRequest>,
    ) -> Answer<RepositoryModelLoadResponse> {
        let request = request.into_inner();
        self.check_admin("RepositoryModelLoad")?;
        Served::check_repository(&request.repository_name)?;
        if let Some(name) = request.parameters.keys().next() {
            return Err(not_a_parameter(
                name,
                "models are loaded as they are in the repository",
            ));
        }
        self.change(move |manager| manager.load(&request.model_name))
            .await?;
        Ok(Response::new(RepositoryModelLoadResponse {}))
    }

    async fn repository_model_unload(
        &self,
        request: Request<RepositoryModelUnloadRequest>,
    ) -> Answer<RepositoryModelUnloadResponse> {
        let request = request.into_inner();
        self.check_admin("RepositoryModelUnload")?;
        Served::check_repository(&request.repository_name)?;
        // Models do not depend on each other, so it is ignored.
        let mut names = request.parameters.keys();
        if let Some(name) = names.find(|name| *name != "unload_dependents") {
            return Err(not_a_parameter(
                name,
                "the only parameter is `unload_dependents`",
            ));
        }
        self.change(move |manager| manager.unload(&request.model_name))
            .await?;
        Ok(Response::new(RepositoryModelUnloadResponse {}))
    }
}
