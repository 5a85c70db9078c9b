//! A request in the form of its protocol.

use arrow::array::RecordBatch;

use crate::error::Result;
use crate::model::Prediction;
use crate::serving::Predictor;

/// One request in the form of its protocol. It may be read on another thread than it came in on.
pub(crate) trait Exchange: Send + 'static {
    /// The answer in the form of the protocol.
    type Reply: Send + 'static;

    /// Decodes the rows, by the schema of the model that was found. Called before [`Exchange::reply`].
    fn rows(&mut self, predictor: &Predictor) -> Result<RecordBatch>;

    /// The request's id, where it is written beside the rows. Called after [`Exchange::rows`].
    fn id(&self) -> Option<&str> {
        None
    }

    /// Returns `true` if column contributions are requested; the prediction then contains them. Called after
    /// [`Exchange::rows`]. Such a request may be slow: it is answered on another thread, which may read its rows again.
    fn explains(&self) -> bool {
        false
    }

    /// Encodes the answer.
    fn reply(&self, predictor: &Predictor, prediction: &Prediction) -> Result<Self::Reply>;
}

/// A request within the process: rows in, prediction out.
#[derive(Debug)]
pub(super) struct InProcessExchange(pub(super) RecordBatch);

impl Exchange for InProcessExchange {
    type Reply = Prediction;

    fn rows(&mut self, _: &Predictor) -> Result<RecordBatch> {
        Ok(self.0.clone())
    }

    fn reply(&self, _: &Predictor, prediction: &Prediction) -> Result<Prediction> {
        Ok(prediction.clone())
    }
}
