//! The status of a model.

use serde_json::{Map, Value, json};

use super::request::SIGNATURE;
use crate::error::{Error, Result};
use crate::serving::Predictor;
use crate::serving::lifecycle::{ModelState, VersionState};
use crate::serving::protocol::{Datatype, Plan, states};

/// The states of a model's versions, or of one of them: newest first.
///
/// # Errors
/// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if the model has no such version.
pub(crate) fn model_status(model: &ModelState, version: Option<u64>) -> Result<Value> {
    let versions: Vec<Value> = model
        .versions
        .iter()
        .rev()
        .filter(|found| version.is_none_or(|version| version == found.version))
        .map(version_status)
        .collect();
    match (version, versions.is_empty()) {
        (Some(version), true) => Err(Error::not_found(format!(
            "model `{}` has no version {version}",
            model.name
        ))),
        _ => Ok(json!({ "model_version_status": versions })),
    }
}

fn version_status(version: &VersionState) -> Value {
    let error_code = match version.reason {
        Some(_) => "UNKNOWN",
        None => "OK",
    };
    json!({
        "version": version.version.to_string(),
        "state": states::tf_serving(version),
        "status": {
            "error_code": error_code,
            "error_message": version.reason.as_deref().unwrap_or_default(),
        },
    })
}

/// The metadata of a version of a model: its one signature.
pub(crate) fn signatures(predictor: &Predictor) -> Value {
    let plan = Plan::of(predictor.servable());
    let inputs: Map<String, Value> = plan
        .inputs()
        .iter()
        .map(|input| {
            let tensor = tensor(input.name(), input.datatype(), input.shape());
            (input.name().to_owned(), tensor)
        })
        .collect();
    let outputs: Map<String, Value> = plan
        .outputs()
        .iter()
        .map(|output| {
            let tensor = tensor(output.name(), output.datatype(), output.shape());
            (output.name().to_owned(), tensor)
        })
        .collect();
    json!({
        "model_spec": {
            "name": predictor.name(),
            "signature_name": "",
            "version": predictor.version().to_string(),
        },
        "metadata": {"signature_def": {"signature_def": {
            SIGNATURE: {
                "inputs": inputs,
                "outputs": outputs,
                "method_name": "tensorflow/serving/predict",
            },
        }}},
    })
}

fn tensor(name: &str, datatype: Datatype, shape: &[i64]) -> Value {
    let dimensions = shape
        .iter()
        .map(|size| json!({"size": size.to_string(), "name": ""}));
    json!({
        "name": name,
        "dtype": dtype(datatype),
        "tensor_shape": {"dim": dimensions.collect::<Vec<_>>(), "unknown_rank": false},
    })
}

/// TensorFlow's name of a datatype that inputs and outputs are described with.
fn dtype(datatype: Datatype) -> &'static str {
    match datatype {
        Datatype::Bool => "DT_BOOL",
        Datatype::Int8 => "DT_INT8",
        Datatype::Int16 => "DT_INT16",
        Datatype::Int32 => "DT_INT32",
        Datatype::Int64 => "DT_INT64",
        Datatype::Uint8 => "DT_UINT8",
        Datatype::Uint16 => "DT_UINT16",
        Datatype::Uint32 => "DT_UINT32",
        Datatype::Uint64 => "DT_UINT64",
        Datatype::Fp16 => "DT_HALF",
        Datatype::Bf16 => "DT_BFLOAT16",
        Datatype::Fp32 => "DT_FLOAT",
        Datatype::Fp64 => "DT_DOUBLE",
        Datatype::Bytes => "DT_STRING",
    }
}
