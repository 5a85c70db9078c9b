//! The configuration of a model, in the form of Triton.

use serde_json::{Map, Value, json};

use crate::schema::FieldType;
use crate::serving::Predictor;
use crate::serving::protocol::{Datatype, Input, Output, Plan};

/// The configuration of a version of a model, as Triton's model configuration extension has it.
///
/// `max_batch_size` is 0, as in Triton's own files where shapes name the rows themselves: `dims` begin with -1. The
/// version policy is the one version that this is the configuration of. The parameters are the `task`, the `label` and,
/// for times as strings, `format.` and the name of the input, with `date` or `timestamp`.
pub(crate) fn model_config(predictor: &Predictor) -> Value {
    let servable = predictor.servable();
    let plan = Plan::of(servable);
    let input = |input: &Input| {
        json!({
            "name": input.name(),
            "data_type": data_type(input.datatype()),
            "dims": input.shape(),
            "optional": !input.is_required(),
        })
    };
    let output = |output: &Output| {
        json!({
            "name": output.name(),
            "data_type": data_type(output.datatype()),
            "dims": output.shape(),
        })
    };
    let target = servable.target();
    let mut parameters = Map::new();
    let mut parameter = |name: String, value: String| {
        parameters.insert(name, json!({ "string_value": value }));
    };
    parameter("task".to_owned(), target.task().to_string());
    parameter("label".to_owned(), target.label().to_owned());
    for input in plan.inputs() {
        if matches!(input.field_type(), FieldType::Date | FieldType::Timestamp) {
            let format = input.field_type().to_string();
            parameter(format!("format.{}", input.name()), format);
        }
    }
    json!({
        "name": predictor.name(),
        "platform": servable.manifest().model_format,
        "backend": env!("CARGO_PKG_NAME"),
        "version_policy": {"specific": {"versions": [predictor.version()]}},
        "max_batch_size": 0,
        "input": plan.inputs().iter().map(input).collect::<Vec<_>>(),
        "output": plan.outputs().iter().map(output).collect::<Vec<_>>(),
        "parameters": parameters,
    })
}

/// Triton's name of a datatype in configurations.
fn data_type(datatype: Datatype) -> String {
    match datatype {
        Datatype::Bytes => "TYPE_STRING".to_owned(),
        other => format!("TYPE_{other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serving::protocol::tests::{lists, meal};

    #[test]
    fn it_is_written_as_triton_does() {
        assert_eq!(
            model_config(&meal()),
            json!({
                "name": "meal",
                "platform": meal().servable().manifest().model_format,
                "backend": "fourfold",
                "version_policy": {"specific": {"versions": [meal().version()]}},
                "max_batch_size": 0,
                "input": [
                    {"name": "age", "data_type": "TYPE_INT64", "dims": [-1], "optional": false},
                    {"name": "fare", "data_type": "TYPE_FP64", "dims": [-1], "optional": true},
                    {"name": "city", "data_type": "TYPE_STRING", "dims": [-1], "optional": true},
                    {"name": "vip", "data_type": "TYPE_BOOL", "dims": [-1], "optional": true},
                ],
                "output": [
                    {"name": "class", "data_type": "TYPE_STRING", "dims": [-1]},
                    {"name": "probabilities", "data_type": "TYPE_FP64", "dims": [-1, 3]},
                ],
                "parameters": {
                    "task": {"string_value": "multiclass"},
                    "label": {"string_value": "meal"},
                },
            })
        );
        assert_eq!(model_config(&lists())["input"][0]["dims"], json!([-1, -1]));
    }
}
