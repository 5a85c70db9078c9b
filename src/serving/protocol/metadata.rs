//! What the server and its models say of themselves.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::datatype::Datatype;
use super::response::output_columns;
use crate::error::Result;
use crate::schema::FieldType;
use crate::serving::Predictor;

/// A tensor that a model takes or gives.
#[derive(Serialize)]
struct TensorMetadata<'a> {
    name: &'a str,
    datatype: &'static str,
    /// -1 is the number of rows.
    shape: Vec<i64>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    parameters: Map<String, Value>,
}

/// The server's metadata; the extensions are those that are there.
pub(crate) fn server_metadata() -> Value {
    json!({
        "name": env!("CARGO_PKG_NAME"),
        "version": env!("CARGO_PKG_VERSION"),
        "extensions": ["binary_tensor_data", "model_repository(index)"],
    })
}

/// The metadata of a version of a model.
///
/// An input's parameters are `required` (whether NULL is refused) and, for times in texts, `format`: `date` or
/// `timestamp`. The properties are the `task`, the `label` and its `classes`, in the order of `probabilities`; of
/// two, the second is the one that `probability` is of.
pub(crate) fn model_metadata(predictor: &Predictor) -> Result<Value> {
    let servable = predictor.servable();
    let inputs: Vec<TensorMetadata<'_>> = servable
        .schema()
        .fields
        .iter()
        .filter_map(|field| {
            let datatype = Datatype::of(field.field_type)?;
            let mut parameters = Map::new();
            parameters.insert("required".to_owned(), field.is_required().into());
            if matches!(field.field_type, FieldType::Date | FieldType::Timestamp) {
                parameters.insert("format".to_owned(), field.field_type.to_string().into());
            }
            Some(TensorMetadata {
                name: &field.name,
                datatype: datatype.name(),
                shape: vec![-1],
                parameters,
            })
        })
        .collect();
    let columns = output_columns(servable.target())?;
    let outputs: Vec<TensorMetadata<'_>> = columns
        .iter()
        .map(|column| TensorMetadata {
            name: &column.name,
            datatype: column.datatype.name(),
            shape: [-1].into_iter().chain(column.width).collect(),
            parameters: Map::new(),
        })
        .collect();
    let target = servable.target();
    Ok(json!({
        "name": predictor.name(),
        "versions": [predictor.version().to_string()],
        "platform": servable.manifest().model_format,
        "inputs": inputs,
        "outputs": outputs,
        "properties": {
            "task": target.task(),
            "label": target.label(),
            "classes": target.classes(),
        },
    }))
}
