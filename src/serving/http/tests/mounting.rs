//! The router in an application's own server.

use axum::Router;
use axum::extract::ConnectInfo;
use axum::routing::get;

use super::*;
use crate::serving::http::{admin_router, router};

#[test]
fn an_application_mounts_the_routes_beside_its_own() {
    let server = Running::routed(|core| {
        let address = |ConnectInfo(peer): ConnectInfo<std::net::SocketAddr>| async move {
            format!("\"{}\"", peer.ip())
        };
        let json = [("content-type", "application/json")];
        let page = move || async move { (json, "\"the shop\"") };
        let own = Router::new()
            .route("/", get(page))
            .route("/me", get(async move |peer| (json, address(peer).await)))
            .nest("/ml", router(core.clone()))
            .fallback(async move || (axum::http::StatusCode::IM_A_TEAPOT, json, "null"));
        own.merge(router(core.clone()))
            .nest("/operators", admin_router(core))
    });
    assert_eq!(server.get("/"), (200, json!("the shop")));
    assert_eq!(server.get("/me"), (200, json!("127.0.0.1")));
    for root in ["", "/ml"] {
        let body = json!({"inputs": all_inputs()});
        let (status, answer) = server.post(&format!("{root}/v2/models/late/infer"), &body);
        assert_eq!((status, &answer["model_name"]), (200, &json!("late")));
        assert_eq!(server.get(&format!("{root}/v2")).0, 200);
        assert_eq!(server.get(&format!("{root}/v1/foo")).0, 400);
    }
    assert_eq!(server.get("/nowhere"), (418, Value::Null));
    let unload = "v2/repository/models/late/unload";
    assert_eq!(server.post(&format!("/{unload}"), &json!({})).0, 404);
    let answer = server.send(&format!("/operators/{unload}"), &[], b"");
    assert_eq!(answer.status(), 200);
    assert_eq!(server.infer("late", all_inputs()).0, 503);
    // Only the routes that operators need are present.
    assert_eq!(server.get("/operators/v2/models").0, 418);
}
