//! Answers: a JSON document, and binary tensors behind it.

use crate::error::Result;
use crate::model::Prediction;
use crate::serving::Predictor;
use crate::serving::protocol::Plan;
use crate::serving::protocol::json_write::{JsonList, push_text, push_value};
use crate::serving::protocol::output::Outputs;

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) body: Vec<u8>,
    /// The length of the JSON, if binary tensors were requested.
    pub(crate) json_length: Option<usize>,
}

/// Writes a prediction as a response.
pub(super) fn encode(
    predictor: &Predictor,
    id: Option<&str>,
    plan: &Plan,
    outputs: &Outputs,
    prediction: &Prediction,
) -> Result<Reply> {
    let n_numbers = prediction.outputs().len() + prediction.n_rows();
    let mut json = Vec::with_capacity(320 + 20 * n_numbers);
    let mut tail = Vec::new();
    json.extend_from_slice(b"{\"model_name\":");
    push_text(&mut json, predictor.name());
    json.extend_from_slice(b",\"model_version\":\"");
    push_value(&mut json, &predictor.version());
    json.push(b'"');
    if let Some(id) = id {
        json.extend_from_slice(b",\"id\":");
        push_text(&mut json, id);
    }
    json.extend_from_slice(b",\"outputs\":");
    let mut list = JsonList::begin(&mut json);
    for tensor in outputs.tensors(plan, prediction) {
        list.next(&mut json);
        json.extend_from_slice(b"{\"name\":");
        push_text(&mut json, tensor.name);
        json.extend_from_slice(b",\"datatype\":\"");
        json.extend_from_slice(tensor.datatype.name().as_bytes());
        json.extend_from_slice(b"\",\"shape\":");
        push_value(&mut json, &tensor.shape);
        if tensor.binary {
            let size = tensor.data.append(&mut tail)?;
            json.extend_from_slice(b",\"parameters\":{\"binary_data_size\":");
            push_value(&mut json, &size);
            json.extend_from_slice(b"}}");
        } else {
            json.extend_from_slice(b",\"data\":");
            tensor.data.push_json(&mut json);
            json.push(b'}');
        }
    }
    list.end(&mut json);
    json.push(b'}');
    let json_length = outputs.any_binary().then_some(json.len());
    json.append(&mut tail);
    Ok(Reply {
        body: json,
        json_length,
    })
}
