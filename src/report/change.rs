//! The changes since the previous version.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::Kept;
use crate::metrics::{Catalogue, Direction, MetricValue};
use crate::page::svg::{Span, interval, range};
use crate::page::{Cell, Facts, Name, Number, Table, Text, Value};
use crate::pipeline::RunRecord;

pub(super) fn changes(run: &RunRecord, kept: Option<&Kept>) -> String {
    let mut html = String::new();
    if let Some(before) = &run.baseline_metrics {
        let was = match run.verdict.is_blessed() {
            true => "served before",
            false => "serving",
        };
        let mut table = Table::new("Metrics on the same rows of the eval split")
            .text("metric")
            .number("candidate")
            .number(was)
            .number("change")
            .text("beside no change")
            .text("better");
        let catalogue = Catalogue::new();
        for (name, now) in &run.metrics.overall {
            let Some(before) = before.overall.get(name) else {
                continue;
            };
            let found = run
                .changes
                .as_ref()
                .and_then(|changes| changes.overall.get(name))
                .copied();
            let change = found.unwrap_or(MetricValue::new(now.value - before.value, now.support));
            let span = Span {
                value: change.value,
                interval: change.lower.zip(change.upper),
                bound: Some(0.0),
                band: None,
            };
            let shown = [0.0, change.value]
                .into_iter()
                .chain(change.lower)
                .chain(change.upper);
            let label = format!("the change in {name} is {}", Number(change.value));
            // Without an interval there is nothing to draw.
            let picture = span.interval.and_then(|_| range(shown));
            let picture = picture.map(|range| interval(label, &span, range).to_string());
            let better = match catalogue.direction(name) {
                Some(Direction::Higher) => "higher",
                Some(Direction::Lower) => "lower",
                Some(Direction::Neither) | None => "",
            };
            table.row([
                Cell::name(name),
                Cell::number(now.value),
                Cell::number(before.value),
                Cell::value(Some(&change)),
                Cell::html(picture.unwrap_or_default()),
                Cell::text(better),
            ]);
        }
        let _ = write!(html, "{table}");
    }
    if let Some(differences) = &run.differences {
        html.push_str("<p>");
        if let Some(flips) = &differences.flip_rate {
            let _ = write!(
                html,
                "The answered class differs in a share of {} of the rows. ",
                Value(flips)
            );
        }
        let _ = write!(
            html,
            "The mean change of an output is {}.</p>",
            Number(differences.mean_change)
        );
        let mut table = Table::new("The rows whose answers changed most")
            .number("change")
            .number("before")
            .number("now")
            .text("row");
        let numbers = |values: &[f64]| {
            let values: Vec<String> = values
                .iter()
                .take(10)
                .map(|x| Number(*x).to_string())
                .collect();
            Cell::Number(values.join(", "))
        };
        for row in &differences.largest {
            table.row([
                Cell::number(row.change),
                numbers(&row.baseline),
                numbers(&row.candidate),
                Cell::html(raw_row(&row.row)),
            ]);
        }
        let _ = write!(html, "{table}");
    }
    if let Some(comparison) = kept.and_then(|kept| kept.since.as_ref()) {
        let mut table = Table::new(format!(
            "Differences from the previous run, {}",
            comparison.before
        ))
        .text("what")
        .text("before")
        .text("now")
        .most(100);
        let all = comparison
            .found
            .configuration
            .iter()
            .chain(&comparison.found.files);
        for difference in all {
            table.row([
                Cell::name(&difference.path),
                Cell::name(&difference.before),
                Cell::name(&difference.after),
            ]);
        }
        match table.is_empty() {
            true => {
                let before = Text(&comparison.before);
                let _ = write!(
                    html,
                    "<p>Configuration and files are those of the previous run, {before}.</p>"
                );
            }
            false => {
                let _ = write!(html, "{table}");
            }
        }
    }
    match html.is_empty() {
        true => "<p>There is no previous version to compare with.</p>".to_owned(),
        false => html,
    }
}

/// The raw values of a row, at most 40 of them.
pub(super) fn raw_row(row: &BTreeMap<String, Option<String>>) -> String {
    const SHOWN: usize = 40;
    let mut html = String::from("<details><summary>values</summary>");
    let mut facts = Facts::default();
    for (column, value) in row.iter().take(SHOWN) {
        let value = value
            .as_deref()
            .map_or_else(|| "<i>NULL</i>".to_owned(), |value| Name(value).to_string());
        // A name is shown in short here as everywhere.
        facts.html(&column.chars().take(80).collect::<String>(), value);
    }
    let _ = write!(html, "{facts}");
    if row.len() > SHOWN {
        let _ = write!(
            html,
            "<p class=\"muted\">and {} more</p>",
            row.len() - SHOWN
        );
    }
    html.push_str("</details>");
    html
}
