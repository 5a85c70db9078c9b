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
use crate::error::Result;

/// The most rows that one request may have.
pub const MAX_ROWS: usize = 100_000;

/// Answers one inference request: the JSON of `body` up to `json_length` (all of it if `None`), then the binary
/// tensors.
pub(crate) fn infer(
    predictor: &Predictor,
    body: &[u8],
    json_length: Option<usize>,
) -> Result<Reply> {
    let (json, tail) = request::split(body, json_length)?;
    let request = request::Request::parse(json)?;
    let wanted = response::wanted(predictor, &request)?;
    let rows: RecordBatch = request.rows(predictor.servable().schema(), tail)?;
    let answers = predictor.predict(&rows)?.to_batch()?;
    response::encode(predictor, request.id.as_deref(), &answers, &wanted)
}
