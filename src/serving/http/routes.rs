//! The routes, handed out as a router.

use axum::Router;

use super::HttpOptions;
use crate::serving::ServerCore;

/// The most bytes that the body of a request may have by default.
pub const BODY_LIMIT: usize = 64 << 20;

/// The routes of the models of a manager, to be merged into an application's own, or nested in them.
///
/// They are those below `/v2` and `/v1`, and `/metrics`. Whatever layer the application puts over them holds. The
/// limits are the defaults of [`HttpOptions`]; [`HttpOptions::router`] sets others.
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
    HttpOptions::default().router(core)
}

/// The routes that change what is served, and `/metrics`: for a port of its own, or behind the application's
/// authorisation. They are listed with the [others](super).
pub fn admin_router(core: impl Into<ServerCore>) -> Router {
    let options = HttpOptions::default();
    let answers = options.answers(&core.into(), false, true, None);
    Router::new()
        .route_service("/v2/repository/{*path}", answers.clone())
        .route_service("/metrics", answers)
}

impl HttpOptions {
    /// As [`router`], with these limits on bodies and times, and the admin routes if they are on the
    /// [same port](super::Admin::SamePort). TLS, tokens and limits on connections are those of the server.
    pub fn router(&self, core: impl Into<ServerCore>) -> Router {
        let is_admin = self.admin == super::Admin::SamePort;
        let answers = self.answers(&core.into(), true, is_admin, None);
        let mut router = Router::new()
            .route_service("/v2", answers.clone())
            .route_service("/v2/{*path}", answers.clone())
            .route_service("/v1/{*path}", answers.clone());
        if self.metrics {
            router = router.route_service("/metrics", answers);
        }
        router
    }
}
