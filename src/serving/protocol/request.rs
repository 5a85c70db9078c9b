//! Inference requests: the JSON document, the binary tensors behind it, and the rows they make.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field as ArrowField, Schema as ArrowSchema};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::MAX_ROWS;
use super::column::Column;
use super::datatype::Datatype;
use crate::error::{Error, Result, near_names};
use crate::schema::{Field, Schema};

/// The JSON document of an inference request. What it does not name is ignored.
#[derive(Debug, Deserialize)]
pub(super) struct Request<'a> {
    pub(super) id: Option<String>,
    #[serde(default)]
    pub(super) parameters: Parameters,
    #[serde(borrow)]
    inputs: Vec<&'a RawValue>,
    #[serde(default)]
    pub(super) outputs: Vec<WantedOutput>,
}

/// The parameters of a request.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Parameters {
    /// Whether outputs come as binary data, unless one says for itself.
    pub(super) binary_data_output: bool,
    /// The text that stands for NULL in inputs of `BYTES`. Binary data has no NULL, and the public Python client
    /// sends a `None` among strings as the text `None`.
    null_value: Option<String>,
}

/// An output that is asked for.
#[derive(Debug, Deserialize)]
pub(super) struct WantedOutput {
    pub(super) name: String,
    #[serde(default)]
    pub(super) parameters: WantedParameters,
}

/// The parameters of an output that is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WantedParameters {
    pub(super) binary_data: Option<bool>,
    /// Triton's classification extension, which is not there.
    pub(super) classification: Option<IgnoredAny>,
    /// Triton's shared-memory extension, which is not there.
    pub(super) shared_memory_region: Option<IgnoredAny>,
}

/// An input tensor.
#[derive(Debug, Deserialize)]
struct Input<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    shape: Vec<i64>,
    #[serde(borrow)]
    datatype: Cow<'a, str>,
    #[serde(default)]
    parameters: InputParameters,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct InputParameters {
    binary_data_size: Option<u64>,
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

impl<'a> Request<'a> {
    pub(super) fn parse(json: &'a [u8]) -> Result<Self> {
        serde_json::from_slice(json).map_err(|error| {
            let hint = match error.is_syntax() {
                true => " (NaN and Infinity are not JSON: send null, or binary data)",
                false => "",
            };
            Error::data(format!(
                "the request is not an inference request: {error}{hint}"
            ))
        })
    }

    /// The inputs as a batch: the columns that were sent, in the order they were sent.
    pub(super) fn rows(&self, schema: &Schema, mut tail: &[u8]) -> Result<RecordBatch> {
        let mut columns: Vec<(String, ArrayRef)> = Vec::new();
        for (index, json) in self.inputs.iter().enumerate() {
            let input = Input::parse(json, index)?;
            let field = input.field(schema)?;
            if columns.iter().any(|(name, _)| *name == field.name) {
                return Err(Error::data(format!(
                    "input `{}` is there twice",
                    field.name
                )));
            }
            let n_rows = input.n_rows().map_err(|error| input.named(&error))?;
            if let Some((first, column)) = columns.first()
                && column.len() != n_rows
            {
                return Err(Error::data(format!(
                    "input `{}` has {n_rows} rows, input `{first}` has {}",
                    field.name,
                    column.len()
                )));
            }
            let (column, rest) = input
                .column(field, n_rows, self.parameters.null_value.as_deref(), tail)
                .map_err(|error| input.named(&error))?;
            columns.push((field.name.clone(), column));
            tail = rest;
        }
        let Some((_, first)) = columns.first() else {
            return Err(Error::data(
                "`inputs` is empty, must have at least one tensor",
            ));
        };
        if !tail.is_empty() {
            return Err(Error::data(format!(
                "{} bytes of binary data are left over: no input says `binary_data_size` for them",
                tail.len()
            )));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(first.len()));
        let (fields, columns): (Vec<ArrowField>, Vec<ArrayRef>) = columns
            .into_iter()
            .map(|(name, column)| {
                (
                    ArrowField::new(name, column.data_type().clone(), true),
                    column,
                )
            })
            .unzip();
        let schema = Arc::new(ArrowSchema::new(fields));
        Ok(RecordBatch::try_new_with_options(
            schema, columns, &options,
        )?)
    }
}

impl<'a> Input<'a> {
    fn parse(json: &'a RawValue, index: usize) -> Result<Self> {
        serde_json::from_str(json.get()).map_err(|error| {
            #[derive(Deserialize)]
            struct Named<'a> {
                #[serde(borrow)]
                name: Cow<'a, str>,
            }
            let name = match serde_json::from_str::<Named<'_>>(json.get()) {
                Ok(named) => format!(" `{}`", shortened(&named.name)),
                Err(_) => String::new(),
            };
            Error::data(format!("input {index}{name} is not a tensor: {error}"))
        })
    }

    fn named(&self, error: &Error) -> Error {
        Error::new(
            error.kind(),
            format!("input `{}`: {}", self.name, error.message()),
        )
    }

    fn field<'s>(&self, schema: &'s Schema) -> Result<&'s Field> {
        schema
            .fields
            .iter()
            .find(|field| field.name == *self.name)
            .ok_or_else(|| {
                let name = shortened(&self.name);
                let names = schema.fields.iter().map(|field| field.name.as_str());
                Error::data(format!(
                    "the model has no input `{name}`{}",
                    near_names(&name, names)
                ))
            })
    }

    fn n_rows(&self) -> Result<usize> {
        let n_rows = match self.shape[..] {
            [n_rows] | [n_rows, 1] => usize::try_from(n_rows).ok(),
            _ => None,
        };
        match n_rows {
            Some(n_rows) if n_rows <= MAX_ROWS => Ok(n_rows),
            Some(n_rows) => Err(Error::data(format!(
                "{n_rows} rows, a request has at most {MAX_ROWS}"
            ))),
            None => {
                let shown: Vec<String> = self.shape.iter().take(8).map(i64::to_string).collect();
                Err(Error::data(format!(
                    "shape [{}], must be [rows] or [rows, 1]",
                    shown.join(", ")
                )))
            }
        }
    }

    /// The column, and the binary data behind it.
    fn column<'t>(
        &self,
        field: &Field,
        n_rows: usize,
        null: Option<&str>,
        tail: &'t [u8],
    ) -> Result<(ArrayRef, &'t [u8])> {
        let datatype = Datatype::parse(&self.datatype).ok_or_else(|| {
            Error::data(format!(
                "there is no datatype `{}`",
                shortened(&self.datatype)
            ))
        })?;
        datatype.check_fits(field.field_type)?;
        let mut column = Column::new(datatype, n_rows, null);
        let rest = match (self.data, self.parameters.binary_data_size) {
            (Some(json), None) => {
                column.fill_from_json(json.get())?;
                tail
            }
            (None, Some(size)) => {
                let (bytes, rest) = usize::try_from(size)
                    .ok()
                    .and_then(|size| tail.split_at_checked(size))
                    .ok_or_else(|| {
                        Error::data(format!(
                            "`binary_data_size` says {size} bytes, the body has {} left",
                            tail.len()
                        ))
                    })?;
                column.fill_from_bytes(bytes)?;
                rest
            }
            (Some(_), Some(_)) => {
                return Err(Error::data(
                    "both `data` and `binary_data_size`, must be one",
                ));
            }
            (None, None) => {
                return Err(Error::data(
                    "neither `data` nor `binary_data_size`, must be one",
                ));
            }
        };
        Ok((column.finish()?, rest))
    }
}

/// A name from outside for an error message, of at most 64 characters.
fn shortened(name: &str) -> Cow<'_, str> {
    match name.char_indices().nth(64) {
        Some((end, _)) => Cow::Owned(format!("{}...", &name[..end])),
        None => Cow::Borrowed(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::FieldType;

    fn schema() -> Schema {
        Schema::new([
            Field::new("age", FieldType::Integer),
            Field::new("city", FieldType::Text),
        ])
    }

    fn rows(json: &str, tail: &[u8]) -> Result<RecordBatch> {
        Request::parse(json.as_bytes())?.rows(&schema(), tail)
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
            ("{}".to_owned(), "missing field `inputs`"),
            ("[".to_owned(), "not an inference request"),
            (r#"{"inputs": []}"#.to_owned(), "`inputs` is empty"),
            (
                r#"{"inputs": [{}]}"#.to_owned(),
                "input 0 is not a tensor: missing field `name`",
            ),
            (
                r#"{"inputs": [{"name": "age"}]}"#.to_owned(),
                "input 0 `age` is not a tensor: missing field `shape`",
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
                "input 0 `age` is not a tensor: invalid value",
            ),
            (
                shape("[2, 2]"),
                "input `age`: shape [2, 2], must be [rows] or [rows, 1]",
            ),
            (shape("[]"), "input `age`: shape []"),
            (shape("[-1]"), "input `age`: shape [-1]"),
            (shape("[1.5]"), "input 0 `age` is not a tensor"),
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
