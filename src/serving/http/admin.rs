//! The routes that change what is served.

use axum::http::{Method, StatusCode};

use super::answers::{Answer, Shared};
use super::failure::Failure;
use super::path::Change;

pub(super) async fn change(
    _shared: &Shared,
    _method: &Method,
    _model: &str,
    _change: Change<'_>,
    _body: &[u8],
) -> Answer {
    Err(Failure::new(StatusCode::NOT_IMPLEMENTED, "not there yet"))
}
