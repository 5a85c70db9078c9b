//! The routes, handed out as a router.

use axum::Router;

use super::answers::{Answers, Routes};
use crate::serving::ServerCore;
use crate::serving::transport::{Admin, Budget, ServerOptions};

/// The most bytes that the body of a request may have by default.
pub const BODY_LIMIT: usize = 64 << 20;

/// The routes of the models of a manager, to be merged into an application's own, or nested in them.
///
/// They are those below `/v2` and `/v1`, and `/metrics`. Whatever layer the application puts over them holds. The
/// limits are the defaults of [`ServerOptions`]; [`ServerOptions::router`] sets others.
///
/// ```
/// use std::sync::Arc;
///
/// use axum::Router;
/// use axum::routing::get;
/// use fourfold::serving::{Manager, http};
///
/// fn application(manager: Arc<Manager>) -> Router {
///     Router::new()
///         .route("/", get(async || "the shop"))
///         .nest("/models", http::router(manager))
/// }
/// ```
pub fn router(core: impl Into<ServerCore>) -> Router {
    ServerOptions::default().router(core)
}

/// The routes that change what is served, and `/metrics`: for a port of its own, or behind the application's
/// authorisation. They are listed with the [others](super).
pub fn admin_router(core: impl Into<ServerCore>) -> Router {
    let options = ServerOptions::default();
    let routes = Routes {
        inference: false,
        admin: true,
    };
    let answers = mounted(&options, &core.into(), routes);
    Router::new()
        .route_service("/v2/repository/{*path}", answers.clone())
        .route_service("/metrics", answers)
}

fn mounted(options: &ServerOptions, core: &ServerCore, routes: Routes) -> Answers {
    let budget = Budget::new(options.max_buffered_bytes);
    Answers::new(options, core, routes, None, &budget)
}

impl ServerOptions {
    /// As [`router`], with these limits on bodies and times, and the admin routes if they are on the
    /// [same port](Admin::SamePort). TLS, tokens and limits on connections are those of the server.
    pub fn router(&self, core: impl Into<ServerCore>) -> Router {
        let routes = Routes {
            inference: true,
            admin: self.admin == Admin::SamePort,
        };
        let answers = mounted(self, &core.into(), routes);
        let dashboard = answers.clone();
        let mut router = Router::new()
            .route_service("/v2", answers.clone())
            .route_service("/v2/{*path}", answers.clone())
            .route_service("/v1/{*path}", answers.clone());
        if self.metrics {
            router = router.route_service("/metrics", answers);
        }
        if self.dashboard && self.admin == Admin::SamePort {
            router = router.route_service("/dashboard", dashboard);
        }
        router
    }
}
