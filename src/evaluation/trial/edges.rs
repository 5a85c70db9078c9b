//! Rows at the edges of a schema.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, new_null_array};

use crate::error::Result;
use crate::schema::{Field, FieldType, Schema};

/// The expected outcome of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// It is answered, or refused for what it is.
    Answered,
    /// The same, or the model cannot answer and says so.
    Either,
    Refused,
}

/// A row at an edge.
pub(super) struct Edge {
    pub(super) what: String,
    pub(super) row: RecordBatch,
    pub(super) wanted: Wanted,
}

/// The approximate maximum of values in all edges, each of which is a row: it limits the columns whose edges are tried.
const MOST_VALUES: usize = 1 << 19;

/// Rows like a real one, in which one column is at an edge.
pub(super) fn edges(schema: &Schema, real: &RecordBatch) -> Result<Vec<Edge>> {
    let mut edges = Vec::new();
    // Of hundreds of columns only some are tried, at even steps.
    let n_columns = schema.fields.len().max(1);
    let every = n_columns.div_ceil((MOST_VALUES / (EDGES_OF_A_COLUMN * n_columns)).max(1));
    for field in schema.fields.iter().step_by(every) {
        let Some(column) = real.column_by_name(&field.name) else {
            continue;
        };
        if !field.is_required() {
            let null = new_null_array(column.data_type(), 1);
            edges.push(Edge {
                what: format!("NULL in `{}`, which allows it,", field.name),
                row: with(real, &field.name, &null)?,
                wanted: Wanted::Answered,
            });
        }
        if field.list.is_none() {
            for (what, value, wanted) in values(field) {
                edges.push(Edge {
                    what: format!("{what} in `{}`", field.name),
                    row: with(real, &field.name, &value)?,
                    wanted,
                });
            }
        }
    }
    edges.push(Edge {
        what: "NULL wherever it is allowed".to_owned(),
        row: emptied(schema, real)?,
        wanted: Wanted::Answered,
    });
    Ok(edges)
}

/// The row with NULL in every column that allows it.
fn emptied(schema: &Schema, real: &RecordBatch) -> Result<RecordBatch> {
    let may_be_null: HashSet<&str> = (schema.fields.iter())
        .filter(|field| !field.is_required())
        .map(|field| field.name.as_str())
        .collect();
    let names = real.schema();
    let columns = names.fields().iter().zip(real.columns());
    let columns = columns.map(|(field, column)| {
        let column = match may_be_null.contains(field.name().as_str()) {
            true => new_null_array(column.data_type(), column.len()),
            false => Arc::clone(column),
        };
        (field.name().as_str(), column, true)
    });
    Ok(RecordBatch::try_from_iter_with_nullable(columns)?)
}

/// The most edges that a column has.
const EDGES_OF_A_COLUMN: usize = 7;

fn values(field: &Field) -> Vec<(&'static str, ArrayRef, Wanted)> {
    let float = |value: f64| Arc::new(Float64Array::from(vec![value])) as ArrayRef;
    let integer = |value: i64| Arc::new(Int64Array::from(vec![value])) as ArrayRef;
    let text = |value: &str| Arc::new(StringArray::from(vec![value])) as ArrayRef;
    // A text that is neither a number nor a time nor a boolean.
    let wrong = (
        "a string in place of its type",
        text("no such value"),
        Wanted::Refused,
    );
    match field.field_type {
        FieldType::Integer => vec![
            ("0", integer(0), Wanted::Answered),
            ("the smallest integer", integer(i64::MIN), Wanted::Either),
            ("the largest integer", integer(i64::MAX), Wanted::Either),
            wrong,
        ],
        FieldType::Float => vec![
            ("0", float(0.0), Wanted::Answered),
            ("the smallest number", float(f64::MIN), Wanted::Either),
            ("the largest number", float(f64::MAX), Wanted::Either),
            ("infinity", float(f64::INFINITY), Wanted::Either),
            ("NaN", float(f64::NAN), Wanted::Either),
            wrong,
        ],
        FieldType::Text => vec![
            ("the empty string", text(""), Wanted::Answered),
            (
                "a category that was never seen",
                text("\u{1F980} never seen"),
                Wanted::Answered,
            ),
        ],
        FieldType::Boolean | FieldType::Date | FieldType::Timestamp => vec![wrong],
        _ => Vec::new(),
    }
}

fn with(row: &RecordBatch, name: &str, value: &ArrayRef) -> Result<RecordBatch> {
    let schema = row.schema();
    let columns = schema.fields().iter().zip(row.columns());
    let columns = columns.map(|(field, column)| {
        let column = if field.name() == name { value } else { column };
        (field.name().as_str(), Arc::clone(column), true)
    });
    Ok(RecordBatch::try_from_iter_with_nullable(columns)?)
}
