//! Metadata of the server and its models.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::error::Result;
use crate::model::Task;
use crate::schema::FieldType;
use crate::serving::Predictor;
use crate::serving::protocol::Plan;

/// A tensor that a model takes or gives.
#[derive(Serialize)]
struct TensorMetadata<'a> {
    name: &'a str,
    datatype: &'static str,
    /// -1 is any number: of rows, and of items of lists.
    shape: &'a [i64],
    #[serde(skip_serializing_if = "Map::is_empty")]
    parameters: Map<String, Value>,
}

/// The supported extensions.
pub(crate) const EXTENSIONS: &[&str] = &[
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "parameters",
    "statistics",
];

/// The server's metadata.
pub(crate) fn server_metadata() -> Value {
    json!({
        "name": env!("CARGO_PKG_NAME"),
        "version": env!("CARGO_PKG_VERSION"),
        "extensions": EXTENSIONS,
    })
}

/// The metadata of a version of a model, which is the only one that is named.
pub(crate) fn model_metadata(predictor: &Predictor) -> Result<Value> {
    Ok(model_metadata_of(predictor, &[predictor.version()]))
}

/// The metadata of a model with its versions, as one of them sees it.
///
/// An input's parameters are `required` (whether NULL is refused) and, for times as strings, `format`: `date` or
/// `timestamp`. The properties are the `task`, the `label` and its `classes`, in the order of `probabilities`; of
/// two, the second is the one that `probability` is of, and it is the answer above the `threshold`.
pub(crate) fn model_metadata_of(predictor: &Predictor, versions: &[u64]) -> Value {
    let servable = predictor.servable();
    let plan = Plan::of(servable);
    let inputs = plan.inputs().iter().map(|input| {
        let mut parameters = Map::new();
        parameters.insert("required".to_owned(), input.is_required().into());
        if matches!(input.field_type(), FieldType::Date | FieldType::Timestamp) {
            parameters.insert("format".to_owned(), input.field_type().to_string().into());
        }
        TensorMetadata {
            name: input.name(),
            datatype: input.datatype().name(),
            shape: input.shape(),
            parameters,
        }
    });
    let outputs = plan.outputs().iter().map(|output| TensorMetadata {
        name: output.name(),
        datatype: output.datatype().name(),
        shape: output.shape(),
        parameters: Map::new(),
    });
    let versions: Vec<String> = versions.iter().map(u64::to_string).collect();
    let target = servable.target();
    let mut properties = json!({
        "task": target.task(),
        "label": target.label(),
        "classes": target.classes(),
    });
    if target.task() == Task::Binary {
        properties["threshold"] = target.threshold().into();
    }
    json!({
        "name": predictor.name(),
        "versions": versions,
        "platform": servable.manifest().model_format,
        "inputs": inputs.collect::<Vec<_>>(),
        "outputs": outputs.collect::<Vec<_>>(),
        "properties": properties,
    })
}
