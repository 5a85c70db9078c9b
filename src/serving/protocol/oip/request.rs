//! Inference requests, read once: the rows are made while the text is read.

use std::borrow::Cow;

use arrow::array::RecordBatch;

use super::input::read_rows;
use crate::error::{Error, ErrorKind, Result, shortened};
use crate::serving::protocol::column::Element;
use crate::serving::protocol::json::{Next, Reader};
use crate::serving::protocol::json_fields::{boolean, count, named, nullable_text, object, once};
use crate::serving::protocol::output::{AskedOutput, Outputs};
use crate::serving::protocol::{Plan, check_id};

/// An inference request. What it does not name is ignored.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) id: Option<String>,
    pub(super) outputs: Outputs,
    /// The columns that were sent, in the order they were sent.
    pub(super) rows: RecordBatch,
}

/// The parameters of a request. Triton's `timeout` (the header `Request-Timeout` says how long a client waits) and
/// `priority`, and any others, are ignored.
#[derive(Debug, Default)]
struct Parameters {
    /// True if outputs are binary data by default.
    binary_data_output: bool,
    /// True if the answer contains column contributions.
    contributions: bool,
    /// The string that stands for NULL in inputs of `BYTES`. Binary data has no NULL, and the public Python client
    /// sends a `None` among strings as the string `None`.
    null_value: Option<String>,
}

/// Splits a body into its JSON document and the binary tensors behind it.
pub(super) fn split(body: &[u8], json_length: Option<usize>) -> Result<(&[u8], &[u8])> {
    let Some(json_length) = json_length else {
        return Ok((body, &[]));
    };
    body.split_at_checked(json_length).ok_or_else(|| {
        Error::data(format!(
            "the header `Inference-Header-Content-Length` says {json_length} bytes, the body has {}",
            body.len()
        ))
    })
}

pub(super) fn in_request(error: &Error) -> Error {
    Error::data(format!(
        "the request is not an inference request: {}",
        error.message()
    ))
}

impl Request {
    /// Reads a request for a model; `tail` are the binary tensors.
    pub(super) fn read(plan: &Plan, json: &[u8], tail: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(json).map_err(|error| in_request(&error))?;
        let (mut id, mut rows, mut asked) = (None, None, None);
        let mut parameters: Option<Parameters> = None;
        let mut is_first = true;
        reader.begin_object().map_err(|error| in_request(&error))?;
        while let Some(key) = reader
            .key(&mut is_first)
            .map_err(|error| in_request(&error))?
        {
            match &*key {
                "id" => {
                    let text = nullable_text(&mut reader);
                    let text = text.map_err(|error| named("id", &error))?;
                    check_id(text.as_deref().unwrap_or_default())?;
                    once(&mut id, text, "id")?;
                }
                "parameters" => {
                    let read = Parameters::read(&mut reader);
                    let read = read.map_err(|error| named("parameters", &error))?;
                    once(&mut parameters, read, "parameters")?;
                }
                "inputs" => {
                    let start = reader;
                    let null = parameters
                        .as_ref()
                        .map(|parameters| parameters.null_value.as_deref());
                    let read = read_rows(plan, &mut reader, tail, null.flatten())?;
                    once(&mut rows, (read, start, null.is_some()), "inputs")?;
                }
                "outputs" => {
                    let read = read_outputs(&mut reader)?;
                    once(&mut asked, read, "outputs")?;
                }
                _ => reader.skip().map_err(|error| in_request(&error))?,
            }
        }
        reader.end().map_err(|error| in_request(&error))?;
        let Some((mut rows, mut start, has_parameters)) = rows else {
            return Err(Error::data(
                "the request is not an inference request: `inputs` is missing",
            ));
        };
        let parameters = parameters.unwrap_or_default();
        if let Some(null) = parameters.null_value.as_deref()
            && !has_parameters
        {
            // The value that stands for NULL came after the inputs.
            rows = read_rows(plan, &mut start, tail, Some(null))?;
        }
        let asked = asked.unwrap_or_default();
        Ok(Request {
            id: id.flatten(),
            outputs: Outputs::of(plan, &asked, parameters.binary_data_output)?
                .with_contributions(parameters.contributions),
            rows,
        })
    }
}

impl Parameters {
    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let mut parameters = Parameters::default();
        object(reader, |key, reader| match key {
            "binary_data_output" => {
                let value = boolean(reader).map_err(|error| named(key, &error))?;
                parameters.binary_data_output = value.unwrap_or(false);
                Ok(())
            }
            "contributions" => {
                let value = boolean(reader).map_err(|error| named(key, &error))?;
                parameters.contributions = value.unwrap_or(false);
                Ok(())
            }
            "null_value" => {
                let value = nullable_text(reader).map_err(|error| named(key, &error))?;
                parameters.null_value = value;
                Ok(())
            }
            _ => reader.skip(),
        })?;
        Ok(parameters)
    }
}

/// Reads the list of requested outputs.
fn read_outputs<'a>(reader: &mut Reader<'a>) -> Result<Vec<AskedOutput<'a>>> {
    let mut asked: Vec<AskedOutput<'a>> = Vec::new();
    if reader.next()? == Next::Scalar {
        return match reader.scalar(&mut Cow::Borrowed(""))? {
            Element::Null => Ok(asked),
            other => Err(Error::data(format!("`outputs` is {other}, must be a list"))),
        };
    }
    let mut is_first = true;
    reader
        .begin_array()
        .map_err(|error| named("outputs", &error))?;
    while reader
        .element(&mut is_first)
        .map_err(|error| in_request(&error))?
    {
        let mut name = None;
        let (mut binary, mut classification) = (None, None);
        let read = object_of_output(reader, &mut name, &mut binary, &mut classification);
        let which = match &name {
            Some(name) => format!("`{}`", shortened(name)),
            None => asked.len().to_string(),
        };
        read.map_err(|error| {
            Error::new(error.kind(), format!("output {which}: {}", error.message()))
        })?;
        let name = name.ok_or_else(|| Error::data(format!("output {which}: `name` is missing")))?;
        asked.push(AskedOutput {
            name,
            binary,
            classification,
        });
    }
    Ok(asked)
}

fn object_of_output<'a>(
    reader: &mut Reader<'a>,
    name: &mut Option<Cow<'a, str>>,
    binary: &mut Option<bool>,
    classification: &mut Option<u64>,
) -> Result<()> {
    object(reader, |key, reader| match key {
        "name" => once(name, reader.text()?, key),
        "parameters" => object(reader, |key, reader| match key {
            "binary_data" => {
                *binary = boolean(reader).map_err(|error| named(key, &error))?;
                Ok(())
            }
            "classification" => {
                *classification = count(reader).map_err(|error| named(key, &error))?;
                Ok(())
            }
            "shared_memory_region" => Err(no_shared_memory()),
            _ => reader.skip(),
        }),
        _ => reader.skip(),
    })
}

/// An error about an extension that is not there.
pub(super) fn no_shared_memory() -> Error {
    Error::new(
        ErrorKind::Unsupported,
        "the shared-memory extension is not supported",
    )
}
