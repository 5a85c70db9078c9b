//! The answers of TensorFlow Serving's REST interface.

use axum::http::StatusCode;

use super::answers::{Answer, Asking, json};
use super::failure::Failure;
use super::open_inference::{identity, written};
use super::path::{ModelPath, Signature};
use crate::serving::lifecycle::VersionChoice;
use crate::serving::protocol::{PredictExchange, PredictMethod, model_status, signatures};
use crate::serving::requests::Protocol;
use crate::serving::transport::{RequestBody, Seen};

pub(super) async fn answer(
    asking: Asking<'_>,
    asked: &ModelPath<'_>,
    signature: Signature,
    body: &mut RequestBody,
    seen: &mut Seen,
) -> Answer {
    let manager = asking.shared.core.manager();
    let method = match signature {
        Signature::Predict => PredictMethod::Predict,
        Signature::Classify => PredictMethod::Classify,
        Signature::Regress => PredictMethod::Regress,
        Signature::Status => {
            // A label is ignored, as TensorFlow Serving does.
            let version = match asked.version() {
                VersionChoice::Number(version) => Some(version),
                VersionChoice::Default | VersionChoice::Label(_) => None,
            };
            let model = manager.state(&asked.model)?;
            return json(&model_status(&model, version)?);
        }
        Signature::Metadata => {
            let found = manager.get(&asked.model, asked.version());
            return json(&signatures(
                &found.map_err(|error| refuse(asking, asked, error.into()))?,
            ));
        }
    };
    identity(&asking.head.headers)?;
    let question = asking.read_for(asked, body, seen).await;
    let question = question.map_err(|failure| refuse(asking, asked, failure))?;
    let exchange = PredictExchange::new(question.body, method);
    let (deadline, client) = (question.deadline, body.client());
    let reply = asking
        .ask(asked, deadline, client, exchange, Protocol::Rest, seen)
        .await;
    reply
        .map(written)
        .map_err(|failure| refuse(asking, asked, failure))
}

/// A label that a model does not have is a bad request there, and nothing that is not found.
fn refuse(asking: Asking<'_>, asked: &ModelPath<'_>, failure: Failure) -> Failure {
    let is_label = matches!(asked.version(), VersionChoice::Label(_));
    if is_label
        && failure.status() == StatusCode::NOT_FOUND
        && asking.shared.core.manager().state(&asked.model).is_ok()
    {
        return failure.with_status(StatusCode::BAD_REQUEST);
    }
    failure
}
