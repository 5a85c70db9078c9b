//! Many requests on one stream.

use std::sync::Arc;
use std::time::Instant;

use futures_util::{StreamExt, future, stream};
use prost::Message;
use tonic::codegen::BoxStream;
use tonic::{Request, Status, Streaming};

use super::proto::infer_parameter::ParameterChoice;
use super::proto::{
    InferParameter, ModelInferRequest, ModelInferResponse, ModelStreamInferResponse,
};
use super::service::Served;
use super::{deadline, infer, status};
use crate::error::Result;
use crate::serving::requests::Client;

/// The most requests of a stream that are answered concurrently, so that they can share a batch.
const CONCURRENCY: usize = 16;

/// The parameter by which a client asks for a mark on the last response to a request: every one is.
const ASKS_FOR_FINAL: &str = "triton_enable_empty_final_response";
const IS_FINAL: &str = "triton_final_response";

/// Answers one request after the other, in order; a failed one gets a message, and the stream continues. It
/// ends when the client ends it, a message cannot be read, its deadline passes, or the server stops.
pub(super) fn answers(
    served: Served,
    request: Request<Streaming<ModelInferRequest>>,
) -> Result<BoxStream<ModelStreamInferResponse>> {
    let (metadata, extensions, requests) = request.into_parts();
    let client = extensions.get::<Arc<Client>>().map(Arc::clone);
    let ends = deadline::after(deadline::timeout(metadata.as_ref())?);
    let stopped = end_of(served.clone(), ends);
    let shared = Arc::new((served, metadata, client));
    let (told, end) = tokio::sync::oneshot::channel();
    let stopped = async move {
        // Sending fails when the stream has already been dropped and has no receiver.
        let _ = told.send(stopped.await);
    };
    let answers = requests
        .take_until(stopped)
        .map(move |request| {
            let shared = Arc::clone(&shared);
            async move {
                let (served, metadata, client) = &*shared;
                let request = request?;
                let id = request.id.clone();
                let asks = infer::boolean(&request.parameters, ASKS_FOR_FINAL);
                let answer = async {
                    let asks = asks
                        .map_err(|error| status::status(&error))?
                        .unwrap_or_default();
                    let n_bytes = request.encoded_len();
                    let deadline = served.deadline(ends);
                    let (headers, client) = (metadata.as_ref(), client.as_ref());
                    let answer = served.answer(headers, client, deadline, n_bytes, request);
                    Ok((answer.await?, asks))
                };
                Ok(match answer.await {
                    Ok((answer, asks)) => answered(answer, asks),
                    Err(status) => failed(Status::message(&status), id),
                })
            }
        })
        .buffered(CONCURRENCY);
    // Why the server ended it, if it did.
    let end = stream::once(end).filter_map(|end| future::ready(end.ok().map(Err)));
    Ok(Box::pin(answers.chain(end)))
}

/// Returns when the server ends a stream, with why.
async fn end_of(served: Served, ends: Option<Instant>) -> Status {
    let deadline = async {
        match ends {
            Some(ends) => tokio::time::sleep_until(ends.into()).await,
            None => future::pending().await,
        }
    };
    tokio::select! {
        () = deadline => status::status(&deadline::passed()),
        () = Arc::clone(&served.standing).ending() => Status::unavailable("the server is stopping"),
    }
}

fn answered(mut answer: ModelInferResponse, asks_for_final: bool) -> ModelStreamInferResponse {
    if asks_for_final {
        let parameter = InferParameter {
            parameter_choice: Some(ParameterChoice::BoolParam(true)),
        };
        answer.parameters.insert(IS_FINAL.to_owned(), parameter);
    }
    ModelStreamInferResponse {
        error_message: String::new(),
        infer_response: Some(answer),
    }
}

/// A failed response with the id, so that a client knows which request failed.
fn failed(message: &str, id: String) -> ModelStreamInferResponse {
    ModelStreamInferResponse {
        error_message: message.to_owned(),
        infer_response: Some(ModelInferResponse {
            id,
            ..ModelInferResponse::default()
        }),
    }
}
