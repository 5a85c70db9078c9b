//! Rows that a version answers before it takes traffic.

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int64Array, ListArray, NullArray, RecordBatch,
    RecordBatchOptions, StringArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{Field, Schema};
use serde_json::{Map, Value};

use super::FoundVersion;
use crate::error::{Error, Result, panic_text};
use crate::model::Servable;

/// The most records that are read of a file, and rows that are taken of those given.
const MAX_RECORDS: usize = 1_000;

/// The names of warm-up files: one record a line, or an array of records.
const FILES: [&str; 2] = ["warmup.jsonl", "warmup.json"];

/// Requests that warm up new versions.
#[derive(Clone, Debug, Default)]
pub(super) struct WarmUp {
    rows: BTreeMap<String, RecordBatch>,
}

impl WarmUp {
    pub(super) fn add(&mut self, model: String, rows: RecordBatch) {
        self.rows.insert(model, rows);
    }

    /// Has a version answer the rows that were given for its model, and the requests that were recorded beside its files,
    /// one by one.
    pub(super) fn run(
        &self,
        model: &str,
        version: &FoundVersion,
        servable: &Servable,
    ) -> Result<()> {
        if let Some(rows) = self.rows.get(model) {
            for row in 0..rows.num_rows().min(MAX_RECORDS) {
                answer(servable, &rows.slice(row, 1))
                    .map_err(|error| failed(&format!("row {row}"), error))?;
            }
        }
        let Some(path) = recorded(version.path()) else {
            return Ok(());
        };
        for (at, record) in records(&path)?.into_iter().enumerate() {
            let place = format!("record {at} of `{}`", path.display());
            rows_of(record, version.version(), servable)
                .and_then(|rows| answer(servable, &rows))
                .map_err(|error| failed(&place, error))?;
        }
        Ok(())
    }
}

fn failed(place: &str, error: Error) -> Error {
    Error::new(error.kind(), format!("warming up, {place}")).with_source(error)
}

fn answer(servable: &Servable, rows: &RecordBatch) -> Result<()> {
    catch_unwind(AssertUnwindSafe(|| servable.predict(rows)))
        .unwrap_or_else(|panic| {
            Err(Error::model(format!(
                "the model panicked{}",
                panic_text(&*panic)
            )))
        })
        .map(drop)
}

/// The file of a version, else the one of its model, for all its versions.
fn recorded(dir: &Path) -> Option<PathBuf> {
    let dirs = [Some(dir), dir.parent()];
    dirs.into_iter()
        .flatten()
        .flat_map(|dir| FILES.map(|file| dir.join(file)))
        .find(|path| path.is_file())
}

fn records(path: &Path) -> Result<Vec<Value>> {
    let text = fs::read_to_string(path)
        .map_err(|error| Error::io(format!("reading `{}`", path.display()), error))?;
    let damaged = |place: String, error| {
        Error::corrupt(format!("`{}`{place} is not JSON", path.display())).with_source(error)
    };
    if path
        .extension()
        .is_some_and(|extension| extension == "jsonl")
    {
        let lines = text.lines().enumerate();
        let lines = lines.filter(|(_, line)| !line.trim().is_empty());
        return lines
            .take(MAX_RECORDS)
            .map(|(at, line)| {
                serde_json::from_str(line)
                    .map_err(|error| damaged(format!(", line {}", at + 1), error))
            })
            .collect();
    }
    match serde_json::from_str(&text).map_err(|error| damaged(String::new(), error))? {
        Value::Array(mut records) => {
            records.truncate(MAX_RECORDS);
            Ok(records)
        }
        record => Ok(vec![record]),
    }
}

/// The rows of a record: a request of the Open Inference Protocol, or one row by its columns.
fn rows_of(record: Value, version: u64, servable: &Servable) -> Result<RecordBatch> {
    let Value::Object(record) = record else {
        return Err(Error::data(format!(
            "a record is {record}, must be an object: a row by its columns, or a request with `inputs`"
        )));
    };
    let is_request = matches!(record.get("inputs"), Some(Value::Array(_)))
        && servable.schema().field("inputs").is_err();
    if is_request {
        request(record, version, servable)
    } else {
        row(&record)
    }
}

#[cfg(feature = "http")]
fn request(record: Map<String, Value>, version: u64, servable: &Servable) -> Result<RecordBatch> {
    use crate::serving::Predictor;
    use crate::serving::protocol::InferExchange;
    use crate::serving::requests::Exchange;

    let body = Value::Object(record).to_string();
    let predictor = Predictor::new(version, Arc::new(servable.clone()));
    InferExchange::new(body, None).rows(&predictor)
}

#[cfg(not(feature = "http"))]
fn request(_: Map<String, Value>, _: u64, _: &Servable) -> Result<RecordBatch> {
    Err(Error::new(
        crate::ErrorKind::Unsupported,
        "a request with `inputs` needs the feature `http`",
    ))
}

fn row(record: &Map<String, Value>) -> Result<RecordBatch> {
    let mut fields = Vec::with_capacity(record.len());
    let mut columns = Vec::with_capacity(record.len());
    for (name, value) in record {
        let column = column(std::slice::from_ref(value))
            .map_err(|error| Error::data(format!("column `{name}`: {error}")))?;
        fields.push(Field::new(name, column.data_type().clone(), true));
        columns.push(column);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let schema = Arc::new(Schema::new(fields));
    Ok(RecordBatch::try_new_with_options(
        schema, columns, &options,
    )?)
}

/// Values of one type, or NULL.
fn column(values: &[Value]) -> Result<ArrayRef> {
    let all = |is: fn(&Value) -> bool| values.iter().all(|value| value.is_null() || is(value));
    if let [Value::Array(items)] = values {
        let items = column(items)?;
        let field = Field::new("item", items.data_type().clone(), true);
        let offsets = OffsetBuffer::from_lengths([items.len()]);
        return Ok(Arc::new(ListArray::try_new(
            Arc::new(field),
            offsets,
            items,
            None,
        )?));
    }
    if all(|_| false) {
        Ok(Arc::new(NullArray::new(values.len())))
    } else if all(Value::is_boolean) {
        Ok(Arc::new(BooleanArray::from_iter(
            values.iter().map(Value::as_bool),
        )))
    } else if all(Value::is_i64) {
        Ok(Arc::new(Int64Array::from_iter(
            values.iter().map(Value::as_i64),
        )))
    } else if all(Value::is_number) {
        Ok(Arc::new(Float64Array::from_iter(
            values.iter().map(Value::as_f64),
        )))
    } else if all(Value::is_string) {
        Ok(Arc::new(StringArray::from_iter(
            values.iter().map(Value::as_str),
        )))
    } else {
        Err(Error::data(
            "a value must be a number, a string, true, false, null, or a list of these",
        ))
    }
}
