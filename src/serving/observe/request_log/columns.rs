//! The columns of a log file.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Float64Builder, ListBuilder, RecordBatch, StringBuilder,
    TimestampMicrosecondBuilder, UInt32Builder, UInt64Builder,
};
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, SchemaRef};

use super::super::record::Run;
use crate::error::{Error, Result};
use crate::model::{Target, Task};
use crate::schema::{FieldType, Schema};

/// The day of a file, in the name of its folder.
pub(super) const PARTITION: &str = "requested_on";

/// A name that no column of the model's schema has: with `_` behind it until it is free.
pub(super) fn free_name(schema: &Schema, name: &str) -> String {
    let mut free = name.to_owned();
    while schema.fields.iter().any(|field| field.name == free) {
        free.push('_');
    }
    free
}

/// The raw columns of a run, its answers, and what else is known.
pub(super) fn columns(run: &Run) -> Result<RecordBatch> {
    let (Some(rows), Some(first)) = (run.rows()?, run.records.first()) else {
        return Err(Error::internal("a run of no requests"));
    };
    let mut fields: Vec<Field> = rows
        .schema()
        .fields()
        .iter()
        .map(|field| field.as_ref().clone())
        .collect();
    let mut columns = rows.columns().to_vec();
    let of_answers = answers(run, first.prediction.target());
    let of_requests = requests(run).into_iter();
    let of_requests = of_requests.map(|(name, column)| (name.to_owned(), column));
    for (name, column) in of_answers.into_iter().chain(of_requests) {
        let name = free_name(&first.schema, &name);
        fields.push(Field::new(name, column.data_type().clone(), true));
        columns.push(column);
    }
    let schema: SchemaRef = Arc::new(ArrowSchema::new(fields));
    Ok(RecordBatch::try_new(schema, columns)?)
}

/// The columns of the answer.
fn answers(run: &Run, target: &Target) -> Vec<(String, ArrayRef)> {
    let n = run.n_rows();
    let outputs = || {
        run.records
            .iter()
            .flat_map(|record| record.prediction.outputs().iter())
    };
    let numbers = || {
        let mut numbers = Float64Builder::with_capacity(n);
        outputs().for_each(|output| numbers.append_value(*output));
        Arc::new(numbers.finish()) as ArrayRef
    };
    let classes = || {
        let mut classes = StringBuilder::with_capacity(n, n * 8);
        let all = run
            .records
            .iter()
            .flat_map(|record| record.prediction.classes());
        all.for_each(|class| classes.append_value(class));
        Arc::new(classes.finish()) as ArrayRef
    };
    let columns = match target.task() {
        Task::Regression => vec![("prediction_value", numbers())],
        Task::Binary => vec![
            ("prediction_class", classes()),
            ("prediction_probability", numbers()),
        ],
        Task::Multiclass => {
            let mut lists = ListBuilder::new(Float64Builder::with_capacity(n));
            for record in &run.records {
                for row in record.prediction.outputs().rows() {
                    row.iter().for_each(|p| lists.values().append_value(*p));
                    lists.append(true);
                }
            }
            vec![
                ("prediction_class", classes()),
                ("prediction_probabilities", Arc::new(lists.finish())),
            ]
        }
    };
    let columns = columns.into_iter();
    let columns = columns.map(|(name, column)| (name.to_owned(), column));
    columns.chain(extras(run)).collect()
}

/// The named columns of the model beside its outputs: `prediction_lower` of an extra `lower`.
fn extras(run: &Run) -> impl Iterator<Item = (String, ArrayRef)> {
    let first = run.records.first();
    let names = first.map_or(&[][..], |record| record.prediction.extra_names());
    names.iter().map(|name| {
        let mut numbers = Float64Builder::with_capacity(run.n_rows());
        for record in &run.records {
            let values = record.prediction.extra(name).into_iter().flatten();
            values.for_each(|value| numbers.append_value(*value));
        }
        (
            format!("prediction_{name}"),
            Arc::new(numbers.finish()) as ArrayRef,
        )
    })
}

/// The columns that say which request each row belongs to.
fn requests(run: &Run) -> Vec<(&'static str, ArrayRef)> {
    let n = run.n_rows();
    let mut ids = StringBuilder::with_capacity(n, n * 16);
    let mut places = UInt32Builder::with_capacity(n);
    let mut models = StringBuilder::with_capacity(n, n * 8);
    let mut versions = UInt64Builder::with_capacity(n);
    let mut times = TimestampMicrosecondBuilder::with_capacity(n);
    for record in &run.records {
        for row in 0..record.n_rows() {
            ids.append_option(record.id.as_deref());
            places.append_value(u32::try_from(row).unwrap_or(u32::MAX));
            models.append_value(&record.model);
            versions.append_value(record.version);
            times.append_value(record.micros());
        }
    }
    let times = match FieldType::Timestamp.data_type() {
        Some(DataType::Timestamp(_, zone)) => times.finish().with_timezone_opt(zone),
        _ => times.finish(),
    };
    vec![
        ("request_id", Arc::new(ids.finish())),
        ("request_row", Arc::new(places.finish())),
        ("model", Arc::new(models.finish())),
        ("version", Arc::new(versions.finish())),
        ("requested_at", Arc::new(times)),
    ]
}
