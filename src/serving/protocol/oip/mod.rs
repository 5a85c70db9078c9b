//! The Open Inference Protocol over HTTP: a JSON document, and binary tensors behind it.

mod config;
mod input;
mod metadata;
mod repository;
mod request;
mod response;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::array::RecordBatch;

pub(crate) use self::config::model_config;
pub(crate) use self::metadata::{model_metadata, model_metadata_of, server_metadata};
pub(crate) use self::repository::{
    check_load_request, check_unload_request, index_request, object, repository_index,
};
pub(crate) use self::response::Reply;
use super::Plan;
use super::output::Outputs;
use crate::error::Result;
use crate::model::Prediction;
use crate::serving::Predictor;
use crate::serving::requests::Exchange;

/// An inference request over HTTP.
#[derive(Debug)]
pub(crate) struct InferExchange<B> {
    body: B,
    /// The bytes of the body that are JSON; all of it if `None`.
    json_length: Option<usize>,
    read: Option<Read>,
}

/// The parts of a request that its answer needs.
#[derive(Debug)]
struct Read {
    plan: Arc<Plan>,
    id: Option<String>,
    outputs: Outputs,
}

impl<B: AsRef<[u8]>> InferExchange<B> {
    pub(crate) fn new(body: B, json_length: Option<usize>) -> Self {
        InferExchange {
            body,
            json_length,
            read: None,
        }
    }
}

impl<B: AsRef<[u8]> + Send + 'static> Exchange for InferExchange<B> {
    type Reply = Reply;

    fn rows(&mut self, predictor: &Predictor) -> Result<RecordBatch> {
        let plan = Plan::of(predictor.servable());
        let (json, tail) = request::split(self.body.as_ref(), self.json_length)?;
        let request = request::Request::read(&plan, json, tail)?;
        self.read = Some(Read {
            plan,
            id: request.id,
            outputs: request.outputs,
        });
        Ok(request.rows)
    }

    fn id(&self) -> Option<&str> {
        let id = self.read.as_ref()?.id.as_deref();
        id.filter(|id| !id.is_empty())
    }

    fn explains(&self) -> bool {
        self.read
            .as_ref()
            .is_some_and(|read| read.outputs.has_contributions())
    }

    fn reply(&self, predictor: &Predictor, prediction: &Prediction) -> Result<Reply> {
        match &self.read {
            Some(Read { plan, id, outputs }) => {
                response::encode(predictor, id.as_deref(), plan, outputs, prediction)
            }
            None => {
                let plan = Plan::of(predictor.servable());
                let outputs = Outputs::of(&plan, &[], false)?;
                response::encode(predictor, None, &plan, &outputs, prediction)
            }
        }
    }
}
