//! TensorFlow Serving's REST API: `predict`, `classify` and `regress`, the status of a model, and its signatures.
//!
//! | method | request | answer |
//! | --- | --- | --- |
//! | `predict`, by rows | `{"instances": [{"age": 31, "city": "Rome"}, ..]}` | `{"predictions": [{"class": "no", "probability": 0.2}, ..]}` |
//! | `predict`, by columns | `{"inputs": {"age": [31, ..], "city": ["Rome", ..]}}` | `{"outputs": {"class": ["no", ..], "probability": [0.2, ..]}}` |
//! | `classify` | `{"examples": [{"age": 31}, ..], "context": {"city": "Rome"}}` | `{"results": [[["no", 0.8], ["yes", 0.2]], ..]}` |
//! | `regress` | as for `classify` | `{"results": [7.5, ..]}` |
//!
//! A model with a single input takes bare values (`{"instances": [1, 2]}`, `{"inputs": [1, 2]}`), one with a single
//! output (a regression) gives bare values. A value may stand in a list of its own, as for models whose inputs are
//! of shape `[-1, 1]`. Columns of lists take a list a row. What is `null` or left out is NULL. Texts may be
//! `{"b64": ".."}`, of UTF-8. `NaN`, `Infinity` and `-Infinity` stand for numbers, although they are no JSON; numbers
//! past the range of doubles are infinite. Unknown keys beside these are ignored, however deep they are. The one
//! signature is `serving_default`.
//!
//! Here it differs from TensorFlow Serving: answers have a key more, `model_version`, with the version that answered
//! in a text, as the Open Inference Protocol has it; numbers in answers are the shortest that come back to the last bit (`1e20`
//! where TensorFlow Serving prints `1e+20`), and never NaN or infinite, as such answers are errors; whole floats are
//! taken for integers.

mod base64;
mod reply;
mod request;
mod status;
#[cfg(test)]
mod tests;
mod value;

use arrow::array::RecordBatch;

pub(crate) use self::status::{model_status, signatures};
use super::Reply;
use crate::error::Result;
use crate::model::Prediction;
use crate::serving::Predictor;
use crate::serving::requests::Exchange;

/// A method of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PredictMethod {
    Predict,
    Classify,
    Regress,
}

/// The format of a request and of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Rows,
    Columns,
}

/// A request of TensorFlow Serving's REST API.
#[derive(Debug)]
pub(crate) struct PredictExchange<B> {
    body: B,
    method: PredictMethod,
    format: Format,
}

impl<B: AsRef<[u8]>> PredictExchange<B> {
    pub(crate) fn new(body: B, method: PredictMethod) -> Self {
        PredictExchange {
            body,
            method,
            format: Format::Rows,
        }
    }
}

impl<B: AsRef<[u8]> + Send + 'static> Exchange for PredictExchange<B> {
    type Reply = Reply;

    fn rows(&mut self, predictor: &Predictor) -> Result<RecordBatch> {
        reply::check_fits(self.method, predictor)?;
        let plan = super::Plan::of(predictor.servable());
        let (rows, format) = request::read(&plan, self.body.as_ref(), self.method)?;
        self.format = format;
        Ok(rows)
    }

    fn reply(&self, predictor: &Predictor, prediction: &Prediction) -> Result<Reply> {
        Ok(Reply {
            body: reply::encode(self.method, self.format, predictor, prediction),
            json_length: None,
        })
    }
}
