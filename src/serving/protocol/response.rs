//! Answers as tensors.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type};
use ndarray::Array2;
use serde::Serialize;

use super::datatype::Datatype;
use super::raw::append_text;
use super::request::Request;
use crate::error::{Error, ErrorKind, Result, near_names};
use crate::model::{Prediction, Target};
use crate::serving::Predictor;

/// An answer: a JSON document, and binary tensors behind it.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) body: Vec<u8>,
    /// Where the JSON ends, if binary tensors were asked for.
    pub(crate) json_length: Option<usize>,
}

/// A column of a prediction, as a tensor.
#[derive(Debug)]
pub(super) struct OutputColumn {
    pub(super) name: String,
    pub(super) datatype: Datatype,
    /// The numbers in each row, where there is not just one.
    pub(super) width: Option<i64>,
}

/// An output that is sent.
#[derive(Debug)]
pub(super) struct Wanted {
    column: OutputColumn,
    binary: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    model_name: &'a str,
    model_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    outputs: Vec<Tensor<'a>>,
}

#[derive(Serialize)]
struct Tensor<'a> {
    name: &'a str,
    datatype: &'static str,
    shape: Vec<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<TensorParameters>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Data<'a>>,
}

#[derive(Serialize)]
struct TensorParameters {
    binary_data_size: usize,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Data<'a> {
    Numbers(&'a [f64]),
    Texts(Vec<&'a str>),
}

/// The tensors of a target's predictions: what [`Prediction::to_batch`] makes of no rows.
pub(super) fn output_columns(target: &Arc<Target>) -> Result<Vec<OutputColumn>> {
    let none = Prediction::new(Arc::clone(target), Array2::zeros((0, target.n_outputs())));
    none.to_batch()?
        .schema()
        .fields()
        .iter()
        .map(|field| {
            let (datatype, width) = match field.data_type() {
                DataType::Utf8 => (Datatype::Bytes, None),
                DataType::Float64 => (Datatype::Fp64, None),
                DataType::FixedSizeList(_, width) => (Datatype::Fp64, Some(i64::from(*width))),
                other => return Err(Error::internal(format!("an answer of type {other}"))),
            };
            Ok(OutputColumn {
                name: field.name().clone(),
                datatype,
                width,
            })
        })
        .collect()
}

/// The outputs that a request asks for: all of them if it names none.
pub(super) fn wanted(predictor: &Predictor, request: &Request<'_>) -> Result<Vec<Wanted>> {
    let mut columns = output_columns(predictor.servable().target())?;
    let by_default = request.parameters.binary_data_output;
    if request.outputs.is_empty() {
        let all = columns.into_iter().map(|column| Wanted {
            column,
            binary: by_default,
        });
        return Ok(all.collect());
    }
    let mut wanted: Vec<Wanted> = Vec::new();
    for output in &request.outputs {
        let name = output.name.as_str();
        if wanted.iter().any(|wanted| wanted.column.name == name) {
            return Err(Error::data(format!("output `{name}` is asked for twice")));
        }
        let Some(place) = columns.iter().position(|column| column.name == name) else {
            let short: String = name.chars().take(64).collect();
            let names = columns.iter().map(|column| column.name.as_str());
            return Err(Error::data(format!(
                "the model has no output `{short}`{}",
                near_names(&short, names)
            )));
        };
        let parameters = &output.parameters;
        if parameters.classification.is_some() || parameters.shared_memory_region.is_some() {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "output `{name}`: the classification and shared-memory extensions are not there"
                ),
            ));
        }
        wanted.push(Wanted {
            column: columns.swap_remove(place),
            binary: parameters.binary_data.unwrap_or(by_default),
        });
    }
    Ok(wanted)
}

/// Writes answers as a response.
pub(super) fn encode(
    predictor: &Predictor,
    id: Option<&str>,
    answers: &RecordBatch,
    wanted: &[Wanted],
) -> Result<Reply> {
    let mut tail = Vec::new();
    let mut outputs = Vec::with_capacity(wanted.len());
    for Wanted { column, binary } in wanted {
        let values = answers
            .column_by_name(&column.name)
            .ok_or_else(|| Error::internal(format!("there is no answer `{}`", column.name)))?;
        let data = data(values);
        let n_rows = i64::try_from(values.len()).unwrap_or(i64::MAX);
        let size = if *binary {
            Some(append(&mut tail, &data)?)
        } else {
            None
        };
        outputs.push(Tensor {
            name: &column.name,
            datatype: column.datatype.name(),
            shape: [n_rows].into_iter().chain(column.width).collect(),
            parameters: size.map(|binary_data_size| TensorParameters { binary_data_size }),
            data: if *binary { None } else { Some(data) },
        });
    }
    let document = Document {
        model_name: predictor.name(),
        model_version: predictor.version().to_string(),
        id,
        outputs,
    };
    let mut body = serde_json::to_vec(&document)
        .map_err(|error| Error::internal("an answer cannot be serialized").with_source(error))?;
    let json_length = wanted
        .iter()
        .any(|wanted| wanted.binary)
        .then_some(body.len());
    body.append(&mut tail);
    Ok(Reply { body, json_length })
}

/// The elements of a column of answers, none of which is NULL; lists one after the other.
fn data(values: &ArrayRef) -> Data<'_> {
    match values.data_type() {
        DataType::FixedSizeList(..) => Data::Numbers(
            values
                .as_fixed_size_list()
                .values()
                .as_primitive::<Float64Type>()
                .values(),
        ),
        DataType::Float64 => Data::Numbers(values.as_primitive::<Float64Type>().values()),
        _ => Data::Texts(
            values
                .as_string::<i32>()
                .iter()
                .map(Option::unwrap_or_default)
                .collect(),
        ),
    }
}

/// Appends elements as binary data; how many bytes they take.
fn append(out: &mut Vec<u8>, data: &Data<'_>) -> Result<usize> {
    let before = out.len();
    match data {
        Data::Numbers(numbers) => {
            out.reserve(size_of_val(*numbers));
            for number in *numbers {
                out.extend_from_slice(&number.to_le_bytes());
            }
        }
        Data::Texts(texts) => {
            for text in texts {
                append_text(out, text)?;
            }
        }
    }
    Ok(out.len() - before)
}
