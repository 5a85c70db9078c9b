//! `grpc.health.v1.Health`: whether the server is ready, for load balancers and orchestrators.

use std::time::Duration;

use futures_util::stream;
use tokio::sync::watch;
use tonic::codegen::{BoxStream, async_trait};
use tonic::server::NamedService;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health as HealthCalls, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::answers;
use super::routes::Inference;
use crate::serving::ServerCore;

/// How often a watched status is looked at.
const WATCH_INTERVAL: Duration = Duration::from_millis(200);

/// Whether the server is stopping.
#[derive(Clone, Debug)]
pub(super) struct Stopping(watch::Receiver<bool>);

impl Stopping {
    pub(super) fn channel() -> (watch::Sender<bool>, Stopping) {
        let (stop, stopping) = watch::channel(false);
        (stop, Stopping(stopping))
    }

    /// Of services that an application mounts, which stops them by itself.
    pub(super) fn never() -> Stopping {
        Stopping::channel().1
    }

    pub(super) fn is_now(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns once the server stops.
    pub(super) async fn wait(mut self) {
        if self.0.wait_for(|stopping| *stopping).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Health {
    core: ServerCore,
    stopping: Stopping,
}

impl Health {
    pub(super) fn server(core: ServerCore, stopping: Stopping) -> HealthServer<Health> {
        HealthServer::new(Health { core, stopping })
    }

    fn status(&self, service: &str) -> ServingStatus {
        if !service.is_empty() && service != Inference::NAME {
            ServingStatus::ServiceUnknown
        } else if !self.stopping.is_now() && answers::is_ready(&self.core) {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        }
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
        match self.status(&request.get_ref().service) {
            ServingStatus::ServiceUnknown => Err(Status::not_found(format!(
                "there is no such service; there are \"\" and \"{}\"",
                Inference::NAME
            ))),
            status => Ok(Response::new(response(status))),
        }
    }

    type WatchStream = BoxStream<HealthCheckResponse>;

    /// The status now, and each time that it changes, until the server stops.
    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let watched = Watched {
            health: self.clone(),
            service: request.into_inner().service,
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
    health: Health,
    service: String,
    told: Option<ServingStatus>,
}

impl Watched {
    /// The next status that is not the one that was told; none once the server stops.
    async fn changed(&mut self) -> Option<ServingStatus> {
        loop {
            let stopping = self.health.stopping.is_now();
            let status = self.health.status(&self.service);
            if self.told != Some(status) {
                self.told = Some(status);
                return Some(status);
            }
            if stopping {
                return None;
            }
            tokio::select! {
                () = tokio::time::sleep(WATCH_INTERVAL) => {}
                () = self.health.stopping.clone().wait() => {}
            }
        }
    }
}
