//! Partial dependence, and the rows with the largest losses.

use std::fmt::Write;

use super::change::raw_row;
use crate::evaluation::{Effect, Mistake};
use crate::page::svg::{Chart, bar, range};
use crate::page::{Cell, Number, Table, figure, section};
use crate::pipeline::RunRecord;

/// The number of columns that are drawn.
const COLUMNS: usize = 40;

pub(super) fn write(page: &mut String, run: &RunRecord) {
    section(page, "Partial dependence", &effects(run));
    section(page, "Worst predictions", &mistakes(&run.mistakes));
}

/// The output that is drawn: the value, the probability of the positive class, or the probability of the first class.
fn output(effect: &Effect) -> impl Iterator<Item = f64> {
    effect
        .points
        .iter()
        .filter_map(|point| point.outputs.first().copied())
}

fn effects(run: &RunRecord) -> String {
    // All pictures have one scale, so that their sizes can be compared.
    let Some(y) = range(run.effects.iter().flat_map(output)) else {
        return String::new();
    };
    let name = match run.target.classes() {
        [] => "mean prediction".to_owned(),
        [_, positive] => format!("mean probability of {positive}"),
        classes => format!(
            "mean probability of {}",
            classes.first().map_or("", String::as_str)
        ),
    };
    // The columns with the largest effects come first.
    let mut effects: Vec<&Effect> = run.effects.iter().collect();
    let width = |effect: &Effect| range(output(effect)).map_or(0.0, |(low, high)| high - low);
    effects.sort_by(|a, b| width(b).total_cmp(&width(a)));
    let mut html = String::from("<div class=\"figures\">");
    for effect in effects.iter().take(COLUMNS) {
        let mut table = Table::new(&effect.column)
            .text("value")
            .number(&name)
            .text("drawn");
        for point in &effect.points {
            let Some(value) = point.outputs.first() else {
                continue;
            };
            table.row([
                Cell::name(&point.value),
                Cell::number(*value),
                Cell::html(bar(&point.value, value - y.0, y.1 - y.0)),
            ]);
        }
        let numbers: Vec<f64> = effect
            .points
            .iter()
            .filter_map(|point| point.number)
            .collect();
        match range(numbers.iter().copied()) {
            Some(x) if numbers.len() == effect.points.len() => {
                let mut chart = Chart::new(
                    "Partial dependence",
                    (effect.column.as_str(), x),
                    (name.as_str(), y),
                );
                chart.line(numbers.into_iter().zip(output(effect)), "l0");
                figure(&mut html, &effect.column, chart, &table);
            }
            // For values that are not numbers, the table is the picture.
            _ => {
                let _ = write!(html, "<figure>{table}</figure>");
            }
        }
    }
    let _ = write!(
        html,
        "</div><p class=\"muted\">The mean prediction over rows of the eval split in which the column has one value, on one scale. \
         Columns that are correlated with it keep their values.</p>"
    );
    html
}

fn mistakes(mistakes: &[Mistake]) -> String {
    let mut table = Table::new("The rows of the eval split with the largest losses")
        .number("loss")
        .number("prediction")
        .text("row");
    for mistake in mistakes {
        let answer: Vec<String> = mistake
            .answer
            .iter()
            .take(10)
            .map(|x| Number(*x).to_string())
            .collect();
        table.row([
            Cell::number(mistake.loss),
            Cell::Number(answer.join(", ")),
            Cell::html(raw_row(&mistake.row)),
        ]);
    }
    table.to_string()
}
