//! The serving pipeline: a blessed model in, an endpoint out.
//!
//! A [`Server`] is the stage a user implements; it takes a [`Blessed`] model and nothing else. Here are some:
//!
//! | server | endpoint |
//! | --- | --- |
//! | [`InProcess`] | an [`Endpoint`] of this process, over HTTP and gRPC too if it listens |
//! | [`ModelRepository`] | a [`PushedModel`]: a version directory that any server process can load |
//! | `ObjectStoreRepository` (feature `object-store`) | a [`PushedModel`], in S3 or another object store |
//!
//! Serving alone, without the pipelines that make models, is a [`Manager`] over a repository directory. It needs
//! neither DataFusion nor linfa: `cargo build --no-default-features --features http`.
//!
//! | module | holds |
//! | --- | --- |
//! | [`lifecycle`] | sources, loaders, versions, policies, traffic: what a [`Manager`] is made of |
//! | `http` (feature `http`) | the HTTP server; options, limits and handles of servers over HTTP and gRPC |
//! | `grpc` (feature `grpc`) | the gRPC server |
//! | `observe` (feature `http`) | metrics, statistics, request logs and drift |
//!
//! A [`Predictor`] answers in process: Arrow batches ([`Predictor::predict`]), or rows of your own types
//! ([`Predictor::typed`], [`Predictor::predict_row`]). Both go through the same schema, transform and model.
//!
//! # Writing your own server
//!
//! ```
//! use std::path::PathBuf;
//!
//! use fourfold::blessing::Blessed;
//! use fourfold::model::Model;
//! use fourfold::serving::Server;
//! use fourfold::{Result, Stage};
//! use serde::Serialize;
//!
//! /// Saves the model under a fixed name.
//! #[derive(Serialize)]
//! struct SaveTo(PathBuf);
//!
//! impl Stage for SaveTo {
//!     fn name(&self) -> &str {
//!         "save_to"
//!     }
//! }
//!
//! impl<M: Model> Server<M> for SaveTo {
//!     type Endpoint = PathBuf;
//!
//!     async fn deploy(&self, model: Blessed<M>) -> Result<PathBuf> {
//!         model.save(&self.0)?;
//!         Ok(self.0.clone())
//!     }
//! }
//! ```

mod blocking;
#[cfg(feature = "http")]
mod durations;
#[cfg(feature = "grpc")]
pub mod grpc;
#[cfg(feature = "http")]
pub mod http;
mod in_process;
pub mod lifecycle;
#[cfg(feature = "http")]
mod metrics;
#[cfg(feature = "http")]
pub mod observe;
mod predictor;
#[cfg(feature = "http")]
mod protocol;
#[cfg(feature = "http")]
mod readiness;
mod repository;
#[cfg(feature = "http")]
mod requests;
#[cfg(feature = "http")]
mod transport;
mod typed;

use std::future::Future;

use serde::Serialize;

pub use self::in_process::{Endpoint, InProcess};
pub use self::lifecycle::Manager;
#[cfg(feature = "object-store")]
pub use self::lifecycle::ObjectStoreRepository;
pub use self::predictor::Predictor;
pub use self::repository::{ModelRepository, PushedModel};
#[cfg(feature = "http")]
pub use self::requests::ServerCore;
pub use self::typed::Typed;
use crate::blessing::{Blessed, Serving};
use crate::error::Result;
use crate::model::{Loaders, Model};
use crate::stage::Stage;

/// A blessed model in, an endpoint out: the stage of the serving pipeline that a user implements.
///
/// Its methods run on the async threads of the runtime that runs the pipeline: what waits for a disk in a blocking way
/// belongs into `tokio::task::spawn_blocking`, as the servers here do it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not serve models of type `{M}`",
    label = "this is not a `Server<{M}>`",
    note = "the trainer of this pipeline makes `{M}`; implement `fourfold::serving::Server<{M}>`, \
            or use `ModelRepository` or `InProcess`, which serve every model"
)]
pub trait Server<M: Model>: Stage {
    /// The handle of a deployed model.
    type Endpoint: Send + 'static;

    /// Deploys.
    ///
    /// # Errors
    /// If the model could not be deployed; the model served before must continue to be served then.
    fn deploy(&self, model: Blessed<M>) -> impl Future<Output = Result<Self::Endpoint>> + Send;

    /// Returns `true` if [`serving`](Server::serving) is implemented. The pipeline's `build()` asks: a validator that
    /// compares with the serving model is refused beside a server that cannot tell, unless the evaluation is
    /// [given a baseline](crate::blessing::Serving).
    fn knows_serving(&self) -> bool {
        false
    }

    /// The model of a name that is serving now, for validators to compare with and trainers to start from.
    /// `loaders` are those of the pipeline, with that of `M`. Unless implemented, it is [`Serving::Unknown`], which fails
    /// every check that needs it.
    ///
    /// # Errors
    /// If there is one and it cannot be loaded.
    fn serving(
        &self,
        _name: &str,
        _loaders: &Loaders,
    ) -> impl Future<Output = Result<Serving>> + Send {
        async { Ok(Serving::Unknown) }
    }

    /// The endpoint of a model that serves already: that of an artifact of a pipeline's root, such as `model/3f2a..`,
    /// which is the [`artifact`](crate::model::Manifest::artifact) of a model's manifest. A pipeline with a root asks
    /// before it deploys, and deploys nothing twice. Unless implemented, there is none.
    ///
    /// # Errors
    /// If it cannot be looked up.
    fn deployed(
        &self,
        _name: &str,
        _artifact: &str,
    ) -> impl Future<Output = Result<Option<Self::Endpoint>>> + Send {
        async { Ok(None) }
    }

    /// The version that was deployed, if this server counts versions.
    fn deployed_version(&self, _endpoint: &Self::Endpoint) -> Option<u64> {
        None
    }

    /// The metrics of this server, if it has any: [continuous training](crate::continuous) shows there what it does, and the
    /// server's [dashboard](http::ServerOptions::dashboard) what it shows. None by default.
    #[cfg(feature = "http")]
    fn metrics(&self) -> Option<observe::Metrics> {
        None
    }

    /// Checks that it could deploy: its directory can be written, its port is free. Called before anything else of a
    /// run, which may take hours until it gets to [`deploy`](Server::deploy).
    ///
    /// # Errors
    /// If it could not, with what is in the way.
    fn prepare(&self) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }
}

/// The default serving pipeline: one server.
#[derive(Clone, Debug, Serialize)]
pub struct ServingPipeline<R> {
    server: R,
}

impl<R: Stage> ServingPipeline<R> {
    /// A pipeline of a server.
    #[must_use]
    pub fn new(server: R) -> Self {
        ServingPipeline { server }
    }

    /// The server.
    #[must_use]
    pub fn server(&self) -> &R {
        &self.server
    }

    /// Checks the configuration.
    ///
    /// # Errors
    /// As [`Stage::check`], naming the server.
    pub fn check(&self) -> Result<()> {
        self.server
            .check()
            .map_err(|error| error.in_stage(self.server.name()))
    }

    /// Asks the server whether it could deploy.
    ///
    /// # Errors
    /// Those of the server, naming it.
    pub async fn prepare<M: Model>(&self) -> Result<()>
    where
        R: Server<M>,
    {
        self.server
            .prepare()
            .await
            .map_err(|error| error.in_stage(self.server.name()))
    }

    /// Deploys a blessed model.
    ///
    /// # Errors
    /// Those of the server, naming it.
    pub async fn run<M: Model>(&self, model: Blessed<M>) -> Result<R::Endpoint>
    where
        R: Server<M>,
    {
        self.server
            .deploy(model)
            .await
            .map_err(|error| error.in_stage(self.server.name()))
    }
}
