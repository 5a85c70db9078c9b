//! Inference requests: tensors in, tensors out.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use prost::bytes::Bytes;

use super::proto::infer_parameter::ParameterChoice;
use super::proto::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use super::proto::model_infer_response::InferOutputTensor;
use super::proto::{InferParameter, InferTensorContents, ModelInferRequest, ModelInferResponse};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Prediction;
use crate::serving::Predictor;
use crate::serving::protocol::{
    self, AskedOutput, InputTensor, OutputData, Outputs, Plan, TensorData,
};
use crate::serving::requests::Exchange;

/// An inference request over gRPC.
#[derive(Debug)]
pub(super) struct Infer {
    request: ModelInferRequest,
    read: Option<(Arc<Plan>, Outputs)>,
}

type Parameters = BTreeMap<String, InferParameter>;

impl Infer {
    /// The parts of a request, without the names of the model and version, which are not used again.
    pub(super) fn new(request: ModelInferRequest) -> Self {
        Infer {
            request,
            read: None,
        }
    }

    fn inputs(&self) -> Result<Vec<InputTensor<'_>>> {
        let ModelInferRequest {
            inputs,
            raw_input_contents: raw,
            ..
        } = &self.request;
        if !raw.is_empty() && raw.len() != inputs.len() {
            return Err(Error::data(format!(
                "{} `raw_input_contents`, must be one for each of the {} inputs, or none",
                raw.len(),
                inputs.len()
            )));
        }
        let tensor = |(index, input)| input_tensor(input, raw.get(index));
        inputs.iter().enumerate().map(tensor).collect()
    }
}

impl Exchange for Infer {
    type Reply = ModelInferResponse;

    fn rows(&mut self, predictor: &Predictor) -> Result<RecordBatch> {
        let plan = Plan::of(predictor.servable());
        let parameters = &self.request.parameters;
        let null = text(parameters, "null_value")?;
        let raw = match boolean(parameters, "binary_data_output")? {
            Some(raw) => raw,
            None => !self.request.raw_input_contents.is_empty(),
        };
        let asked: Vec<AskedOutput<'_>> = self
            .request
            .outputs
            .iter()
            .map(asked_output)
            .collect::<Result<_>>()?;
        let explains = boolean(parameters, "contributions")?.unwrap_or(false);
        let outputs = Outputs::of(&plan, &asked, raw)?.with_contributions(explains);
        let rows = protocol::rows(&plan, &self.inputs()?, null)?;
        self.read = Some((plan, outputs));
        Ok(rows)
    }

    fn explains(&self) -> bool {
        self.read
            .as_ref()
            .is_some_and(|(_, outputs)| outputs.has_contributions())
    }

    fn reply(&self, predictor: &Predictor, prediction: &Prediction) -> Result<ModelInferResponse> {
        let Some((plan, wanted)) = &self.read else {
            return Err(Error::internal("a request is answered before it was read"));
        };
        let raw = wanted.any_binary();
        let mut outputs = Vec::new();
        let mut raw_output_contents = Vec::new();
        for tensor in wanted.tensors(plan, prediction) {
            let contents = if raw {
                let mut bytes = Vec::new();
                tensor.data.append(&mut bytes)?;
                raw_output_contents.push(Bytes::from(bytes));
                None
            } else {
                Some(contents(tensor.data))
            };
            outputs.push(InferOutputTensor {
                name: tensor.name.to_owned(),
                datatype: tensor.datatype.name().to_owned(),
                shape: tensor.shape,
                parameters: Parameters::new(),
                contents,
            });
        }
        Ok(ModelInferResponse {
            model_name: predictor.name().to_owned(),
            model_version: predictor.version().to_string(),
            id: self.request.id.clone(),
            parameters: Parameters::new(),
            outputs,
            raw_output_contents,
        })
    }
}

fn named(name: &str, error: &Error) -> Error {
    let name: String = name.chars().take(64).collect();
    let message = format!("input `{name}`: {}", error.message());
    Error::new(error.kind(), message)
}

fn input_tensor<'a>(
    input: &'a InferInputTensor,
    raw: Option<&'a Bytes>,
) -> Result<InputTensor<'a>> {
    if input.parameters.contains_key("shared_memory_region") {
        return Err(no_shared_memory());
    }
    let data = match (raw, &input.contents) {
        (Some(bytes), None) => TensorData::Raw(bytes),
        (Some(_), Some(_)) => Err(named(
            &input.name,
            &Error::data("has both `contents` and `raw_input_contents`, must have one of them"),
        ))?,
        (None, Some(contents)) => {
            typed(contents, &input.datatype).map_err(|error| named(&input.name, &error))?
        }
        (None, None) => Err(named(
            &input.name,
            &Error::data("has neither `contents` nor `raw_input_contents`, must have one of them"),
        ))?,
    };
    Ok(InputTensor {
        name: &input.name,
        datatype: &input.datatype,
        shape: &input.shape,
        data,
    })
}

/// The elements of the one list that is filled; of a tensor without any, those of the list of its datatype.
fn typed<'a>(contents: &'a InferTensorContents, datatype: &str) -> Result<TensorData<'a>> {
    let InferTensorContents {
        bool_contents,
        int_contents,
        int64_contents,
        uint_contents,
        uint64_contents,
        fp32_contents,
        fp64_contents,
        bytes_contents,
    } = contents;
    let lists = [
        (!bool_contents.is_empty(), "BOOL"),
        (!int_contents.is_empty(), "INT32"),
        (!int64_contents.is_empty(), "INT64"),
        (!uint_contents.is_empty(), "UINT32"),
        (!uint64_contents.is_empty(), "UINT64"),
        (!fp32_contents.is_empty(), "FP32"),
        (!fp64_contents.is_empty(), "FP64"),
        (!bytes_contents.is_empty(), "BYTES"),
    ];
    let mut filled = lists.iter().filter(|(filled, _)| *filled);
    let list = match (filled.next(), filled.next()) {
        (Some(_), Some(_)) => {
            return Err(Error::data(
                "more than one list of `contents` has values, must be only that of the datatype",
            ));
        }
        (Some((_, list)), None) => *list,
        (None, _) => datatype,
    };
    Ok(match list {
        "BOOL" => TensorData::Bools(bool_contents),
        "INT8" | "INT16" | "INT32" => TensorData::Ints(int_contents),
        "INT64" => TensorData::Longs(int64_contents),
        "UINT8" | "UINT16" | "UINT32" => TensorData::Uints(uint_contents),
        "UINT64" => TensorData::Ulongs(uint64_contents),
        "FP32" => TensorData::Floats(fp32_contents),
        "FP64" => TensorData::Doubles(fp64_contents),
        "BYTES" => TensorData::Texts(bytes_contents.iter().map(|text| &text[..]).collect()),
        "FP16" | "BF16" => {
            return Err(Error::data(format!(
                "datatype {datatype} has no list in `contents`: send FP32, or `raw_input_contents`"
            )));
        }
        // The datatype is refused by its name where all are known.
        _ => TensorData::Raw(&[]),
    })
}

fn contents(data: OutputData<'_>) -> InferTensorContents {
    match data {
        OutputData::Numbers(numbers) => InferTensorContents {
            fp64_contents: numbers.into_owned(),
            ..InferTensorContents::default()
        },
        OutputData::Texts(texts) => InferTensorContents {
            bytes_contents: texts
                .into_iter()
                .map(|text| Bytes::from(text.into_owned()))
                .collect(),
            ..InferTensorContents::default()
        },
    }
}

fn asked_output(output: &InferRequestedOutputTensor) -> Result<AskedOutput<'_>> {
    let parameters = &output.parameters;
    if parameters.contains_key("shared_memory_region") {
        return Err(no_shared_memory());
    }
    Ok(AskedOutput {
        name: Cow::Borrowed(&output.name),
        // All outputs come in one form.
        binary: None,
        classification: whole(parameters, "classification")?,
    })
}

fn no_shared_memory() -> Error {
    Error::new(
        ErrorKind::Unsupported,
        "`shared_memory_region` is not supported: the message must contain the tensors",
    )
}

/// The timeout of the request's parameter `timeout`.
pub(super) fn timeout(parameters: &Parameters) -> Result<Option<Duration>> {
    // Nothing means no limit, as the public clients send it.
    let micros = whole(parameters, "timeout")?.filter(|micros| *micros > 0);
    Ok(micros.map(Duration::from_micros))
}

fn choice<'a>(parameters: &'a Parameters, name: &str) -> Option<&'a ParameterChoice> {
    parameters.get(name)?.parameter_choice.as_ref()
}

pub(super) fn boolean(parameters: &Parameters, name: &str) -> Result<Option<bool>> {
    match choice(parameters, name) {
        None => Ok(None),
        Some(ParameterChoice::BoolParam(value)) => Ok(Some(*value)),
        Some(_) => Err(Error::data(format!("parameter `{name}` must be a boolean"))),
    }
}

fn text<'a>(parameters: &'a Parameters, name: &str) -> Result<Option<&'a str>> {
    match choice(parameters, name) {
        None => Ok(None),
        Some(ParameterChoice::StringParam(value)) => Ok(Some(value)),
        Some(_) => Err(Error::data(format!("parameter `{name}` must be a string"))),
    }
}

fn whole(parameters: &Parameters, name: &str) -> Result<Option<u64>> {
    let value = match choice(parameters, name) {
        None => return Ok(None),
        Some(ParameterChoice::Int64Param(value)) => u64::try_from(*value).ok(),
        Some(ParameterChoice::Uint64Param(value)) => Some(*value),
        Some(_) => None,
    };
    value.map(Some).ok_or_else(|| {
        Error::data(format!(
            "parameter `{name}` must be a whole number of at least 0"
        ))
    })
}
