//! The answers of TensorFlow Serving's REST interface.

use axum::body::Bytes;
use axum::http::StatusCode;
use hyper::body::Body;

use super::answers::{Answer, Asking, BoxError, Seen};
use super::failure::Failure;
use super::path::{Asked, Signature};

pub(super) async fn answer<B>(
    _asking: Asking<'_>,
    _asked: &Asked<'_>,
    _signature: Signature,
    _body: B,
    _seen: &mut Seen,
) -> Answer
where
    B: Body<Data = Bytes> + Send,
    B::Error: Into<BoxError>,
{
    Err(Failure::new(StatusCode::NOT_IMPLEMENTED, "not there yet"))
}
