//! `grpc.health.v1.Health`: whether the server is ready, for load balancers and orchestrators.

use std::sync::Arc;

use futures_util::stream;
use tokio::sync::watch;
use tonic::codegen::{BoxStream, async_trait};
use tonic::server::NamedService;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health as HealthCalls, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::routes::Inference;
use super::standing::{Seen, Standing};

/// The most bytes of a request, which has the name of a service.
const MAX_REQUEST: usize = 4096;

#[derive(Clone, Debug)]
pub(super) struct Health {
    standing: Arc<Standing>,
}

impl Health {
    pub(super) fn server(standing: Arc<Standing>) -> HealthServer<Health> {
        HealthServer::new(Health { standing }).max_decoding_message_size(MAX_REQUEST)
    }
}

fn is_known(service: &str) -> bool {
    service.is_empty() || service == Inference::NAME
}

fn status(is_ready: bool) -> ServingStatus {
    if is_ready {
        ServingStatus::Serving
    } else {
        ServingStatus::NotServing
    }
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: status.into(),
    }
}

#[async_trait]
impl HealthCalls for Health {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if is_known(&request.get_ref().service) {
            return Ok(Response::new(response(status(self.standing.is_ready()))));
        }
        Err(Status::not_found(format!(
            "unknown service, must be \"\" or \"{}\"",
            Inference::NAME
        )))
    }

    type WatchStream = BoxStream<HealthCheckResponse>;

    /// The status now, and each time that it changes, until the server stops.
    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let watched = Watched {
            seen: self.standing.watch(),
            is_known: is_known(&request.get_ref().service),
            told: None,
        };
        let changes = stream::unfold(watched, |mut watched| async move {
            let status = watched.changed().await?;
            Some((Ok(response(status)), watched))
        });
        Ok(Response::new(Box::pin(changes)))
    }
}

struct Watched {
    seen: watch::Receiver<Seen>,
    is_known: bool,
    told: Option<ServingStatus>,
}

impl Watched {
    /// The next status other than the last one sent; `None` once the server stops.
    async fn changed(&mut self) -> Option<ServingStatus> {
        loop {
            let seen = *self.seen.borrow_and_update();
            let status = if self.is_known {
                status(seen.is_ready)
            } else {
                ServingStatus::ServiceUnknown
            };
            if self.told != Some(status) {
                self.told = Some(status);
                return Some(status);
            }
            if seen.ends {
                return None;
            }
            self.seen.changed().await.ok()?;
        }
    }
}
