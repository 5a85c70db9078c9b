//! The routes that change what is served.

use std::sync::Arc;

use axum::body::Bytes;
use axum::http::{Method, Response, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::answers::{Answer, Shared, json};
use super::failure::Failure;
use super::path::Change;
use crate::error::{Error, ErrorKind, Result, chain, shortened};
use crate::serving::lifecycle::Traffic;
use crate::serving::{Manager, protocol};

/// The body of a request for a label.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LabelRequest {
    version: u64,
}

/// Changes the served versions of a model, on a thread that may block: loading takes time.
pub(super) async fn change(
    shared: &Shared,
    method: &Method,
    model: &str,
    change: Change<'_>,
    body: &[u8],
) -> Answer {
    let model = model.to_owned();
    match change {
        Change::Load => {
            protocol::check_load_request(body)?;
            done(shared, move |manager| manager.load(&model)).await?;
            Ok(Response::new(Bytes::new()))
        }
        Change::Unload => {
            protocol::check_unload_request(body)?;
            done(shared, move |manager| manager.unload(&model)).await?;
            Ok(Response::new(Bytes::new()))
        }
        Change::RollBack => {
            let name = model.clone();
            let version = done(shared, move |manager| manager.rollback(&model)).await?;
            json(&json!({"name": name, "version": version.to_string()}))
        }
        Change::Labels => {
            let state = shared.core.manager().state(&model)?;
            let labels = state.versions.iter().flat_map(|version| {
                let labels = version.labels.iter();
                labels.map(|label| (label.clone(), json!(version.version)))
            });
            json(&json!({"name": model, "labels": labels.collect::<serde_json::Map<_, _>>()}))
        }
        Change::Label(label) if method == Method::DELETE => {
            let name = label.clone().into_owned();
            let removing = model.clone();
            let was_there = done(shared, move |manager| {
                manager.remove_label(&removing, &name)
            });
            if was_there.await? {
                return Ok(Response::new(Bytes::new()));
            }
            let text = format!("model `{model}` has no label `{}`", shortened(&label));
            Err(Failure::new(StatusCode::NOT_FOUND, text))
        }
        Change::Label(label) => {
            let LabelRequest { version } = protocol::object(body)?;
            let label = label.into_owned();
            done(shared, move |manager| {
                manager.set_label(&model, &label, version)
            })
            .await?;
            Ok(Response::new(Bytes::new()))
        }
        Change::Traffic => {
            let traffic: Option<Traffic> = if method == Method::DELETE {
                None
            } else {
                Some(protocol::object(body)?)
            };
            done(shared, move |manager| {
                manager.set_traffic(&model, traffic.as_ref())
            })
            .await?;
            Ok(Response::new(Bytes::new()))
        }
    }
}

/// Does something that takes its time.
async fn done<T: Send + 'static>(
    shared: &Shared,
    work: impl FnOnce(&Manager) -> Result<T> + Send + 'static,
) -> Result<T, Failure> {
    let manager = Arc::clone(shared.core.manager());
    let done = tokio::task::spawn_blocking(move || work(&manager)).await;
    let done = done.map_err(|error| Error::internal("the change failed").with_source(error))?;
    // A model that cannot be loaded is a failure of this request, not of the server.
    done.map_err(|error| match error.kind() {
        ErrorKind::Model => Failure::new(StatusCode::BAD_REQUEST, chain(&error)),
        _ => error.into(),
    })
}
