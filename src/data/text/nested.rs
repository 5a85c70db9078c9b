//! Arrays and objects of JSON as columns of lists and structs.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringArray};
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema};
use arrow::json::ReaderBuilder;
use arrow::json::reader::infer_json_schema;

use crate::error::{Error, Result};

const NAME: &str = "v";

fn line(into: &mut Vec<u8>, value: &[u8]) {
    into.extend_from_slice(b"{\"v\":");
    into.extend_from_slice(value);
    into.extend_from_slice(b"}\n");
}

/// The type that all of the values fit; `None` if there is none.
pub(super) fn type_of(values: &[Vec<u8>]) -> Option<DataType> {
    let mut lines = Vec::new();
    for value in values {
        line(&mut lines, value);
    }
    let (schema, _) = infer_json_schema(lines.as_slice(), None).ok()?;
    let data_type = schema.field(0).data_type().clone();
    let texts = values.iter().map(|value| std::str::from_utf8(value).ok());
    array(&StringArray::from_iter(texts), &data_type).ok()?;
    Some(data_type)
}

/// Values as they are written, read as a type.
pub(super) fn array(texts: &StringArray, data_type: &DataType) -> Result<ArrayRef> {
    let mut lines = Vec::with_capacity(texts.values().len() + 8 * texts.len());
    for text in texts {
        line(&mut lines, text.unwrap_or("null").as_bytes());
    }
    let schema = ArrowSchema::new(vec![Field::new(NAME, data_type.clone(), true)]);
    let mut decoder = ReaderBuilder::new(Arc::new(schema))
        .with_batch_size(texts.len().max(1))
        .build_decoder()?;
    decoder.decode(&lines)?;
    let batch = decoder.flush()?;
    let column = batch.map(|batch| Arc::clone(batch.column(0)));
    column
        .filter(|column| column.len() == texts.len())
        .ok_or_else(|| Error::internal("arrays and objects of JSON got lost"))
}
