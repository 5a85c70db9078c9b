//! Answers.

use super::{Format, PredictMethod};
use crate::error::{Error, Result};
use crate::model::{Prediction, Task};
use crate::serving::Predictor;
use crate::serving::protocol::Plan;
use crate::serving::protocol::json_write::{JsonList, push_text, push_value};
use crate::serving::protocol::output::{Output, OutputData, class_probabilities};

/// Checks that the method fits the task of the model.
pub(super) fn check_fits(method: PredictMethod, predictor: &Predictor) -> Result<()> {
    let is_regression = predictor.servable().target().task() == Task::Regression;
    let wrong = |does: &str, use_: &str| {
        Err(Error::data(format!(
            "model `{}` {does}: use `:predict` or `:{use_}`",
            predictor.name()
        )))
    };
    match method {
        PredictMethod::Regress if !is_regression => wrong("classifies", "classify"),
        PredictMethod::Classify if is_regression => wrong("is a regression", "regress"),
        _ => Ok(()),
    }
}

/// Writes a prediction as a response.
pub(super) fn encode(
    method: PredictMethod,
    format: Format,
    predictor: &Predictor,
    prediction: &Prediction,
) -> Vec<u8> {
    let plan = Plan::of(predictor.servable());
    let n_numbers = prediction.outputs().len() + prediction.n_rows();
    let mut json = Vec::with_capacity(64 + 48 * n_numbers);
    match (method, format) {
        (PredictMethod::Predict, Format::Rows) => {
            json.extend_from_slice(b"{\"predictions\":");
            push_rows(&mut json, plan.outputs(), prediction);
        }
        (PredictMethod::Predict, Format::Columns) => {
            json.extend_from_slice(b"{\"outputs\":");
            push_columns(&mut json, plan.outputs(), prediction);
        }
        (PredictMethod::Classify, _) => {
            json.extend_from_slice(b"{\"results\":");
            push_classes(&mut json, prediction);
        }
        (PredictMethod::Regress, _) => {
            json.extend_from_slice(b"{\"results\":");
            // A result is one number.
            push_rows(&mut json, &plan.outputs()[..1], prediction);
        }
    }
    json.extend_from_slice(b",\"model_version\":\"");
    push_value(&mut json, &predictor.version());
    json.extend_from_slice(b"\"}");
    json
}

/// An object of the outputs a row; the bare value where there is one output.
fn push_rows(json: &mut Vec<u8>, outputs: &[Output], prediction: &Prediction) {
    let data: Vec<(&Output, OutputData<'_>)> = outputs
        .iter()
        .map(|output| (output, output.data(prediction)))
        .collect();
    let mut list = JsonList::begin(json);
    for row in 0..prediction.n_rows() {
        list.next(json);
        if let [(output, data)] = &data[..] {
            push_cell(json, output, data, row);
            continue;
        }
        json.push(b'{');
        for (index, (output, data)) in data.iter().enumerate() {
            if index > 0 {
                json.push(b',');
            }
            push_text(json, output.name());
            json.push(b':');
            push_cell(json, output, data, row);
        }
        json.push(b'}');
    }
    list.end(json);
}

/// A list of each output; the bare list where there is one output.
fn push_columns(json: &mut Vec<u8>, outputs: &[Output], prediction: &Prediction) {
    if outputs.len() > 1 {
        json.push(b'{');
    }
    for (index, output) in outputs.iter().enumerate() {
        if index > 0 {
            json.push(b',');
        }
        if outputs.len() > 1 {
            push_text(json, output.name());
            json.push(b':');
        }
        let data = output.data(prediction);
        let mut list = JsonList::begin(json);
        for row in 0..prediction.n_rows() {
            list.next(json);
            push_cell(json, output, &data, row);
        }
        list.end(json);
    }
    if outputs.len() > 1 {
        json.push(b'}');
    }
}

/// The value of an output in a row, which is a list where there are several numbers in each.
fn push_cell(json: &mut Vec<u8>, output: &Output, data: &OutputData<'_>, row: usize) {
    match data {
        OutputData::Texts(texts) => push_text(json, &texts[row]),
        OutputData::Numbers(numbers) => match output.width() {
            None => push_value(json, &numbers[row]),
            Some(width) => push_value(json, &numbers[row * width..(row + 1) * width]),
        },
    }
}

/// Each class with its probability, a row.
fn push_classes(json: &mut Vec<u8>, prediction: &Prediction) {
    let classes = prediction.target().classes();
    let mut rows = JsonList::begin(json);
    for row in 0..prediction.n_rows() {
        rows.next(json);
        let probabilities = class_probabilities(prediction, row);
        let labelled: Vec<(&String, &f64)> = classes.iter().zip(&probabilities).collect();
        push_value(json, &labelled);
    }
    rows.end(json);
}
