//! Inference requests, read once: the rows are made while the text is read.

use std::borrow::Cow;

use arrow::array::{ArrayRef, RecordBatch};

use crate::error::{Error, ErrorKind, Result};
use crate::serving::protocol::column::{Column, Element, Layout};
use crate::serving::protocol::json::{Next, Reader};
use crate::serving::protocol::output::{AskedOutput, Outputs};
use crate::serving::protocol::plan::{Input, Plan, Rows};
use crate::serving::protocol::tensor::{TensorData, no_inputs};
use crate::serving::protocol::{Datatype, shortened};

/// The most dimensions that a shape may have.
const MAX_DIMENSIONS: usize = 8;

/// An inference request. What it does not name is ignored.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) id: Option<String>,
    pub(super) outputs: Outputs,
    /// The columns that were sent, in the order they were sent.
    pub(super) rows: RecordBatch,
}

/// The parameters of a request. Triton's `timeout` and `priority` and whatever else is there is passed over.
#[derive(Debug, Default)]
struct Parameters {
    /// Whether outputs come as binary data, unless one says for itself.
    binary_data_output: bool,
    /// The text that stands for NULL in inputs of `BYTES`. Binary data has no NULL, and the public Python client
    /// sends a `None` among strings as the text `None`.
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

fn in_request(error: &Error) -> Error {
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
            // What stands for NULL came after the inputs.
            rows = read_rows(plan, &mut start, tail, Some(null))?;
        }
        let asked = asked.unwrap_or_default();
        Ok(Request {
            id: id.flatten(),
            outputs: Outputs::of(plan, &asked, parameters.binary_data_output)?,
            rows,
        })
    }
}

fn named(key: &str, error: &Error) -> Error {
    Error::new(error.kind(), format!("`{key}`: {}", error.message()))
}

fn once<T>(place: &mut Option<T>, value: T, key: &str) -> Result<()> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Error::data(format!("`{key}` is there twice"))),
    }
}

fn nullable_text(reader: &mut Reader<'_>) -> Result<Option<String>> {
    let mut text = Cow::Borrowed("");
    match scalar(reader, &mut text)? {
        Element::Text(text) => Ok(Some(text.to_owned())),
        Element::Null => Ok(None),
        other => Err(Error::data(format!("{other}, must be a text"))),
    }
}

fn scalar<'a, 't>(reader: &mut Reader<'a>, text: &'t mut Cow<'a, str>) -> Result<Element<'t>> {
    match reader.next()? {
        Next::Scalar => reader.scalar(text),
        Next::Array => Err(Error::data("a list, must be one value")),
        Next::Object => Err(Error::data("an object, must be one value")),
    }
}

fn boolean(reader: &mut Reader<'_>) -> Result<Option<bool>> {
    match scalar(reader, &mut Cow::Borrowed(""))? {
        Element::Boolean(value) => Ok(Some(value)),
        Element::Null => Ok(None),
        other => Err(Error::data(format!("{other}, must be true or false"))),
    }
}

fn count(reader: &mut Reader<'_>) -> Result<Option<u64>> {
    match scalar(reader, &mut Cow::Borrowed(""))? {
        Element::Unsigned(value) => Ok(Some(value)),
        Element::Null => Ok(None),
        other => Err(Error::data(format!(
            "{other}, must be a whole number from 0 on"
        ))),
    }
}

/// Reads an object (or null), giving each key with its value to be read.
fn object<'a>(
    reader: &mut Reader<'a>,
    mut field: impl FnMut(&str, &mut Reader<'a>) -> Result<()>,
) -> Result<()> {
    if reader.next()? == Next::Scalar {
        return match reader.scalar(&mut Cow::Borrowed(""))? {
            Element::Null => Ok(()),
            other => Err(Error::data(format!("{other}, must be an object"))),
        };
    }
    let mut is_first = true;
    reader.begin_object()?;
    while let Some(key) = reader.key(&mut is_first)? {
        field(&key, reader)?;
    }
    Ok(())
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

/// Reads the list of inputs.
fn read_rows(
    plan: &Plan,
    reader: &mut Reader<'_>,
    mut tail: &[u8],
    null: Option<&str>,
) -> Result<RecordBatch> {
    if reader.next()? != Next::Array {
        return Err(Error::data("`inputs` must be a list of tensors"));
    }
    let mut rows = Rows::new(plan);
    let (mut index, mut is_first) = (0_usize, true);
    reader.begin_array()?;
    while reader
        .element(&mut is_first)
        .map_err(|error| in_request(&error))?
    {
        let mut tensor = Tensor::default();
        tensor
            .read(&mut rows, plan, reader, &mut tail, null)
            .map_err(|error| tensor.named(index, &error))?;
        index += 1;
    }
    let batch = rows.finish()?.ok_or_else(no_inputs)?;
    if !tail.is_empty() {
        return Err(Error::data(format!(
            "{} bytes of binary data are left over: no input says `binary_data_size` for them",
            tail.len()
        )));
    }
    Ok(batch)
}

/// An input while it is read.
#[derive(Debug, Default)]
struct Tensor<'a> {
    name: Option<Cow<'a, str>>,
    shape: Option<Shape>,
    datatype: Option<Datatype>,
    data: Data<'a>,
    binary_data_size: Option<u64>,
}

/// The elements of an input.
#[derive(Debug, Default)]
enum Data<'a> {
    #[default]
    Missing,
    /// Where they stand, as they came before what they are.
    At(Reader<'a>),
    Read(Column),
}

#[derive(Clone, Copy, Debug, Default)]
struct Shape {
    sizes: [i64; MAX_DIMENSIONS],
    n: usize,
}

impl Shape {
    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let mut shape = Shape::default();
        let mut is_first = true;
        reader.begin_array()?;
        while reader.element(&mut is_first)? {
            let size = match scalar(reader, &mut Cow::Borrowed(""))? {
                Element::Signed(size) => size,
                Element::Unsigned(size) => i64::try_from(size).unwrap_or(i64::MAX),
                other => {
                    return Err(Error::data(format!("{other}, must be whole numbers")));
                }
            };
            *shape
                .sizes
                .get_mut(shape.n)
                .ok_or_else(|| Error::data(format!("more than {MAX_DIMENSIONS} dimensions")))? =
                size;
            shape.n += 1;
        }
        Ok(shape)
    }

    fn sizes(&self) -> &[i64] {
        &self.sizes[..self.n]
    }
}

impl<'a> Tensor<'a> {
    /// An error about it.
    fn named(&self, index: usize, error: &Error) -> Error {
        // Errors between inputs name them already.
        if error.message().starts_with("input `") || error.message().starts_with("the model has") {
            return Error::new(error.kind(), error.message());
        }
        let which = match &self.name {
            Some(name) => format!("`{}`", shortened(name)),
            None => index.to_string(),
        };
        Error::new(error.kind(), format!("input {which}: {}", error.message()))
    }

    /// Reads the tensor that comes next, and adds its column.
    fn read(
        &mut self,
        rows: &mut Rows<'_>,
        plan: &Plan,
        reader: &mut Reader<'a>,
        tail: &mut &[u8],
        null: Option<&str>,
    ) -> Result<()> {
        let mut place = None;
        let mut is_first = true;
        reader.begin_object()?;
        while let Some(key) = reader.key(&mut is_first)? {
            match &*key {
                "name" => {
                    let name = reader.text().map_err(|error| named("name", &error))?;
                    once(&mut self.name, name, "name")?;
                    place = Some(rows.next(self.name.as_deref().unwrap_or_default())?);
                }
                "shape" => {
                    let shape = Shape::read(reader).map_err(|error| named("shape", &error))?;
                    once(&mut self.shape, shape, "shape")?;
                }
                "datatype" => {
                    let datatype = reader.text().map_err(|error| named("datatype", &error))?;
                    once(&mut self.datatype, Datatype::parse(&datatype)?, "datatype")?;
                }
                "parameters" => {
                    let size = &mut self.binary_data_size;
                    object(reader, |key, reader| match key {
                        "binary_data_size" => {
                            *size = count(reader).map_err(|error| named(key, &error))?;
                            Ok(())
                        }
                        "shared_memory_region" => Err(no_shared_memory()),
                        _ => reader.skip(),
                    })?;
                }
                "data" => {
                    if !matches!(self.data, Data::Missing) {
                        return Err(Error::data("`data` is there twice"));
                    }
                    let input = place.map(|place| (place, &plan.inputs()[place]));
                    match (input, self.shape, self.datatype) {
                        (Some((place, input)), Some(shape), Some(datatype)) => {
                            let column = filled(rows, place, input, &shape, datatype, reader)?;
                            self.data = Data::Read(column);
                        }
                        _ => {
                            self.data = Data::At(*reader);
                            reader.skip()?;
                        }
                    }
                }
                _ => reader.skip()?,
            }
        }
        let missing = |key: &str| Error::data(format!("`{key}` is missing"));
        let place = place.ok_or_else(|| missing("name"))?;
        let shape = self.shape.ok_or_else(|| missing("shape"))?;
        let datatype = self.datatype.ok_or_else(|| missing("datatype"))?;
        let input = &plan.inputs()[place];
        let column = match (std::mem::take(&mut self.data), self.binary_data_size) {
            (Data::Read(column), None) => column,
            (Data::At(mut reader), None) => {
                filled(rows, place, input, &shape, datatype, &mut reader)?
            }
            (Data::Missing, Some(size)) => {
                let (bytes, rest) = usize::try_from(size)
                    .ok()
                    .and_then(|size| tail.split_at_checked(size))
                    .ok_or_else(|| {
                        Error::data(format!(
                            "`binary_data_size` says {size} bytes, the body has {} left",
                            tail.len()
                        ))
                    })?;
                *tail = rest;
                let mut column = empty(rows, place, input, &shape, datatype, bytes.len())?;
                TensorData::Raw(bytes).fill(&mut column)?;
                column
            }
            (Data::Missing, None) => {
                return Err(Error::data(
                    "neither `data` nor `binary_data_size`, must be one",
                ));
            }
            (Data::Read(_) | Data::At(_), Some(_)) => {
                return Err(Error::data(
                    "both `data` and `binary_data_size`, must be one",
                ));
            }
        };
        let column: ArrayRef = column.finish(null)?;
        rows.push(place, column)
    }
}

/// An empty column of the shape and datatype that a tensor claims; no more than `at_most` elements can come.
fn empty(
    rows: &Rows<'_>,
    place: usize,
    input: &Input,
    shape: &Shape,
    datatype: Datatype,
    at_most: usize,
) -> Result<Column> {
    datatype.check_fits(input)?;
    let layout = Layout::of(shape.sizes(), input)?;
    rows.check_n_rows(place, layout.n_rows())?;
    Ok(Column::new(input, datatype, layout, at_most))
}

/// A column filled from the list that comes next.
fn filled(
    rows: &Rows<'_>,
    place: usize,
    input: &Input,
    shape: &Shape,
    datatype: Datatype,
    reader: &mut Reader<'_>,
) -> Result<Column> {
    let mut column = empty(rows, place, input, shape, datatype, reader.left())?;
    column.fill_from_json(reader)?;
    Ok(column)
}

fn no_shared_memory() -> Error {
    Error::new(
        ErrorKind::Unsupported,
        "the shared-memory extension is not there",
    )
}

/// Reads the list of outputs that are asked for.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::FieldType;

    fn plan() -> Plan {
        Plan::for_tests([
            Input::scalar("age", FieldType::Integer),
            Input::scalar("city", FieldType::Text),
            Input::list("tags", FieldType::Text),
        ])
    }

    fn rows(json: &str, tail: &[u8]) -> Result<RecordBatch> {
        Ok(Request::read(&plan(), json.as_bytes(), tail)?.rows)
    }

    #[test]
    fn json_and_binary_tensors_make_the_same_rows() {
        let json = rows(
            r#"{"inputs": [
                {"name": "city", "shape": [2], "datatype": "BYTES", "data": ["a", "bc"]},
                {"name": "age", "shape": [2, 1], "datatype": "INT8", "data": [[1], [2]]}]}"#,
            &[],
        );
        let binary = rows(
            r#"{"inputs": [
                {"name": "city", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": 11}},
                {"name": "age", "shape": [2], "datatype": "INT8", "parameters": {"binary_data_size": 2}}]}"#,
            b"\x01\0\0\0a\x02\0\0\0bc\x01\x02",
        );
        assert_eq!(json.unwrap(), binary.unwrap());
    }

    #[test]
    fn bad_requests_are_named() {
        let age =
            |rest: &str| format!(r#"{{"inputs": [{{"name": "age", "shape": [2], {rest}}}]}}"#);
        let shape = |shape: &str| {
            format!(
                r#"{{"inputs": [{{"name": "age", "shape": {shape}, "datatype": "INT64", "data": [1, 2]}}]}}"#
            )
        };
        let two = |second: &str| {
            format!(
                r#"{{"inputs": [{{"name": "age", "shape": [2], "datatype": "INT64", "data": [1, 2]}}, {second}]}}"#
            )
        };
        for (json, problem) in [
            ("{}".to_owned(), "`inputs` is missing"),
            ("[".to_owned(), "not an inference request"),
            (r#"{"inputs": []}"#.to_owned(), "`inputs` is empty"),
            (
                r#"{"inputs": [{}]}"#.to_owned(),
                "input 0: `name` is missing",
            ),
            (
                r#"{"inputs": [{"name": "age"}]}"#.to_owned(),
                "input `age`: `shape` is missing",
            ),
            (
                age(r#""datatype": "INT64""#),
                "input `age`: neither `data` nor",
            ),
            (
                age(r#""datatype": "INT65", "data": [1, 2]"#),
                "input `age`: there is no datatype `INT65`",
            ),
            (
                age(r#""datatype": "BYTES", "data": [1, 2]"#),
                "input `age`: datatype BYTES, must be INT64 or another",
            ),
            (
                age(r#""datatype": "INT64", "data": [NaN, 2]"#),
                "NaN and Infinity are not JSON",
            ),
            (
                age(r#""datatype": "INT64", "data": [[1, 2], [3]]"#),
                "input `age`: more elements than the 2",
            ),
            (
                age(
                    r#""datatype": "INT64", "data": [1, 2], "parameters": {"binary_data_size": 0}"#,
                ),
                "input `age`: both",
            ),
            (
                age(r#""datatype": "INT64", "parameters": {"binary_data_size": 16}"#),
                "input `age`: `binary_data_size` says 16 bytes, the body has 3 left",
            ),
            (
                age(r#""datatype": "INT64", "parameters": {"binary_data_size": -1}"#),
                "input `age`: `binary_data_size`: -1, must be",
            ),
            (
                shape("[2, 2]"),
                "input `age`: shape [2, 2], must be [rows] or [rows, 1]",
            ),
            (shape("[]"), "input `age`: shape []"),
            (shape("[-1]"), "input `age`: shape [-1]"),
            (shape("[1.5]"), "input `age`: `shape`: 1.5, must be whole"),
            (
                shape("[9223372036854775807, 9223372036854775807]"),
                "input `age`: shape",
            ),
            (
                shape("[9223372036854775807]"),
                "input `age`: 9223372036854775807 rows, a request has at most 100000",
            ),
            (
                two(r#"{"name": "age", "shape": [2], "datatype": "INT64", "data": [1, 2]}"#),
                "`age` is there twice",
            ),
            (
                two(r#"{"name": "city", "shape": [1], "datatype": "BYTES", "data": ["a"]}"#),
                "input `city` has 1 rows, input `age` has 2",
            ),
            (
                two(r#"{"name": "ctiy", "shape": [2], "datatype": "BYTES", "data": ["a"]}"#),
                "the model has no input `ctiy`; did you mean `city`?",
            ),
            (shape("[2]"), "3 bytes of binary data are left over"),
        ] {
            let error = rows(&json, b"abc").unwrap_err().to_string();
            assert!(error.contains(problem), "{json}\n{error}");
        }
        assert!(split(b"{}", Some(3)).is_err());
        assert_eq!(split(b"{}a", Some(2)).unwrap(), (&b"{}"[..], &b"a"[..]));
    }
}
