//! The protocols without their transports: tensors in and out, and the metadata of a model.
//!
//! A [`Plan`] is what a protocol knows of a version of a model. [`rows`] makes a batch of tensors, [`Outputs`] makes
//! tensors of a prediction: HTTP and gRPC stand on both. [`oip`] is the Open Inference Protocol, version 2, over HTTP.
//!
//! | type of the field | datatype of the input | notes |
//! | --- | --- | --- |
//! | boolean | `BOOL` | |
//! | integer, float | any of `INT8` to `INT64`, `UINT8` to `UINT64`, `FP16` and `BF16` (binary only), `FP32`, `FP64` | widened; whole floats are taken for integers, NaN being NULL |
//! | text | `BYTES` | UTF-8 |
//! | date | `BYTES` | ISO 8601: `2013-01-31` |
//! | timestamp | `BYTES` | RFC 3339: `2013-01-31T05:00:00Z` |
//! | list of one of these but times | that of the items | shape `[rows, items]`; lists of different lengths only in JSON: shape `[rows, -1]`, `data` a list (or null) a row |
//! | field of a struct | that of the field | named by its path: `trip.fare` |
//!
//! Shapes of other inputs are `[rows]` or `[rows, 1]`. NULL is `null` in JSON; binary data has none, but the request's
//! parameter `null_value` names a string that stands for NULL in inputs of `BYTES`. Outputs are `FP64` and `BYTES`.
//!
//! With the request's parameter `contributions` (a boolean), two outputs more say what each raw column contributes to the
//! outputs before the link: `contributions`, of shape `[rows, outputs, names]`, and `contribution_names`, the last of which
//! is `base`. See [`Contributions`](crate::model::Contributions). Models of kinds that do not say refuse it.
//!
//! Triton's parameter `timeout` is honoured over gRPC, where it is read before the request waits. Over HTTP it is in
//! the body, which is only read after the wait, and is ignored: the header `Request-Timeout` takes its place.
//!
//! The sizes that a request claims are compared with the bytes received before anything is allocated, so a
//! lying request costs its sender more than its reader. Checked by the tests here and of the HTTP server, which send
//! mutated requests.

#![cfg_attr(
    not(feature = "grpc"),
    allow(
        dead_code,
        unused_imports,
        reason = "only gRPC has tensors that come in whole"
    )
)]

mod column;
mod datatype;
mod json;
mod json_data;
mod json_fields;
mod json_write;
mod oip;
mod output;
mod plan;
mod raw;
mod states;
mod statistics;
mod tensor;
#[cfg(test)]
mod tests;
mod tf_serving;

pub(crate) use self::datatype::Datatype;
pub(crate) use self::oip::{
    InferExchange, Reply, check_load_request, check_unload_request, index_request, model_config,
    model_metadata, model_metadata_of, object, repository_index, server_metadata,
};
pub(crate) use self::output::{AskedOutput, Output, OutputData, Outputs};
pub(crate) use self::plan::{Input, Plan};
pub(crate) use self::statistics::statistics;
pub use self::statistics::{
    BatchStatistics, InferenceStatistics, ModelStatistics, StatisticDuration,
};
pub(crate) use self::tensor::{InputTensor, TensorData, rows};
pub(crate) use self::tf_serving::{PredictExchange, PredictMethod, model_status, signatures};
use crate::error::{Error, Result};

/// The most rows that one request may have.
pub const MAX_ROWS: usize = 100_000;

/// The most bytes of a request's id, which is returned with the answer and written to logs.
const MAX_ID_BYTES: usize = 4096;

/// Checks a request's id.
pub(crate) fn check_id(id: &str) -> Result<()> {
    if id.len() <= MAX_ID_BYTES {
        return Ok(());
    }
    Err(Error::data(format!(
        "`id` has {} bytes, must have at most {MAX_ID_BYTES}",
        id.len()
    )))
}
