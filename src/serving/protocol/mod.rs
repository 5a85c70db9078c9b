//! The Open Inference Protocol, version 2, without a transport: tensors in and out, and what a model says of itself.
//!
//! | type of the field | datatype of the input | notes |
//! | --- | --- | --- |
//! | boolean | `BOOL` | |
//! | integer, float | any of `INT8` to `INT64`, `UINT8` to `UINT64`, `FP16` (binary only), `FP32`, `FP64` | widened; whole floats are taken for integers, NaN being NULL |
//! | text | `BYTES` | UTF-8 |
//! | date | `BYTES` | ISO 8601: `2013-01-31` |
//! | timestamp | `BYTES` | RFC 3339: `2013-01-31T05:00:00Z` |
//!
//! The sizes that a request claims are held against the bytes that are there before anything is allocated, so a
//! lying request costs its sender more than its reader. Held by the tests of [`request`] and of the HTTP server,
//! which send mutated requests.

mod column;
mod datatype;
mod metadata;
mod raw;
mod request;
mod response;

use arrow::array::RecordBatch;

pub(crate) use self::metadata::{model_metadata, server_metadata};
pub(crate) use self::response::Reply;
use super::Predictor;
use super::core::Exchange;
use crate::error::Result;
use crate::model::Prediction;

/// The most rows that one request may have.
pub const MAX_ROWS: usize = 100_000;

/// An inference request over HTTP: a JSON document, and binary tensors behind it.
#[derive(Debug)]
pub(crate) struct InferExchange<B> {
    body: B,
    /// How much of the body is JSON; all of it if `None`.
    json_length: Option<usize>,
    id: Option<String>,
    wanted: Vec<response::Wanted>,
}

impl<B: AsRef<[u8]>> InferExchange<B> {
    pub(crate) fn new(body: B, json_length: Option<usize>) -> Self {
        InferExchange {
            body,
            json_length,
            id: None,
            wanted: Vec::new(),
        }
    }
}

impl<B: AsRef<[u8]> + Send + 'static> Exchange for InferExchange<B> {
    type Reply = Reply;

    fn rows(&mut self, predictor: &Predictor) -> Result<RecordBatch> {
        let (json, tail) = request::split(self.body.as_ref(), self.json_length)?;
        let request = request::Request::parse(json)?;
        self.wanted = response::wanted(predictor, &request)?;
        let rows = request.rows(predictor.servable().schema(), tail)?;
        self.id = request.id;
        Ok(rows)
    }

    fn reply(&self, predictor: &Predictor, prediction: &Prediction) -> Result<Reply> {
        let answers = prediction.to_batch()?;
        response::encode(predictor, self.id.as_deref(), &answers, &self.wanted)
    }
}
