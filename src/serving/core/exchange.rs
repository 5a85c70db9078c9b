//! What a protocol brings to a request.

use arrow::array::RecordBatch;

use crate::error::Result;
use crate::model::Prediction;
use crate::serving::Predictor;

/// One request in the form of its protocol. It may be read on another thread than it came in on.
pub(crate) trait Exchange: Send + 'static {
    /// The answer in the form of the protocol.
    type Reply: Send + 'static;

    /// Decodes the rows, by the schema of the model that was found. Called once, before [`Exchange::reply`].
    fn rows(&mut self, predictor: &Predictor) -> Result<RecordBatch>;

    /// Encodes the answer.
    fn reply(&self, predictor: &Predictor, prediction: &Prediction) -> Result<Self::Reply>;
}
