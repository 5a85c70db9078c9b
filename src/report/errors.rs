//! How answers depend on columns, and the rows that are answered worst.

use std::fmt::Write;

use super::change::raw_row;
use crate::evaluation::{Effect, Mistake};
use crate::page::svg::{Chart, bar, range};
use crate::page::{Cell, Number, Table, figure, section};
use crate::pipeline::RunRecord;

/// So many columns are drawn.
const COLUMNS: usize = 40;

pub(super) fn write(page: &mut String, run: &RunRecord) {
    section(page, "Partial dependence", &effects(run));
    section(page, "Answered worst", &mistakes(&run.mistakes));
}

/// The output that is drawn: the value, the probability of the positive class, or that of the first class.
fn output(effect: &Effect) -> impl Iterator<Item = f64> {
    effect
        .points
        .iter()
        .filter_map(|point| point.outputs.first().copied())
}

fn effects(run: &RunRecord) -> String {
    // One scale for all, so that what matters looks as much as it matters.
    let Some(y) = range(run.effects.iter().flat_map(output)) else {
        return String::new();
    };
    let name = match run.target.classes() {
        [] => "mean answer".to_owned(),
        [_, positive] => format!("mean probability of {positive}"),
        classes => format!(
            "mean probability of {}",
            classes.first().map_or("", String::as_str)
        ),
    };
    // Those that move the answer most come first.
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
            // Values that are no numbers: the table is the picture.
            _ => {
                let _ = write!(html, "<figure>{table}</figure>");
            }
        }
    }
    let _ = write!(
        html,
        "</div><p class=\"muted\">The mean answer over rows of the eval split with one value in all of them, on one scale; what \
         goes with the column in the data does not go with it here.</p>"
    );
    html
}

fn mistakes(mistakes: &[Mistake]) -> String {
    let mut table = Table::new("The rows of the eval split with the largest losses")
        .number("loss")
        .number("answer")
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
