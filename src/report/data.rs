//! The data: columns with their features, anomalies, drift and warnings.

use std::collections::HashMap;
use std::fmt::Write;

use crate::page::svg::{bar, histogram};
use crate::page::{Cell, Name, Number, Table, Text, section};
use crate::pipeline::RunRecord;
use crate::schema::{Anomaly, Comparison};
use crate::statistics::ColumnStatistics;
use crate::transform::Decision;

/// The number of columns that are shown.
const COLUMNS: usize = 600;
/// The number of anomalies and warnings that are shown.
const FOUND: usize = 300;

pub(super) fn write(page: &mut String, run: &RunRecord) {
    section(page, "Columns", &columns(run));
    section(page, "Anomalies", &anomalies(run));
    section(page, "Drift", &drift(run));
    section(page, "Warnings", &warnings(run));
}

fn columns(run: &RunRecord) -> String {
    let mut of_column: HashMap<&str, (Option<&Decision>, usize)> = HashMap::new();
    for decision in run.decisions.iter().rev() {
        of_column.entry(&decision.column).or_default().0 = Some(decision);
    }
    for anomaly in run.anomalies.values().flatten() {
        of_column.entry(&anomaly.column).or_default().1 += 1;
    }
    let caption = format!(
        "{} columns of the train split ({} rows; {} without a label are left out), which became {} features",
        run.statistics.columns.len(),
        run.statistics.n_rows,
        run.unlabelled_rows,
        run.features.len()
    );
    let mut table = Table::new(caption)
        .text("column")
        .text("type")
        .number("missing")
        .number("distinct")
        .text("values")
        .text("features, and why")
        .number("anomalies")
        .most(COLUMNS);
    for column in run.statistics.columns.iter().take(COLUMNS) {
        let (decision, anomalies) = of_column
            .get(column.name.as_str())
            .copied()
            .unwrap_or_default();
        let became = decision.map(|decision| {
            format!(
                "{} <span class=\"muted\">{}</span>",
                Name(&decision.action),
                Text(&decision.reason)
            )
        });
        table.row([
            Cell::name(&column.name),
            Cell::text(column.field_type),
            Cell::Number(format!("{:.1} %", 100.0 * (1.0 - column.present()))),
            Cell::count(column.distinct),
            Cell::html(values(column)),
            Cell::html(became.unwrap_or_default()),
            Cell::count(anomalies as u64),
        ]);
    }
    // Columns that are not shown are counted.
    let mut html = table.to_string();
    let more = run.statistics.columns.len().saturating_sub(COLUMNS);
    if more > 0 {
        let _ = write!(html, "<p class=\"muted\">and {more} more columns</p>");
    }
    html
}

/// A histogram of numbers with its table, or the most frequent values of other columns.
fn values(column: &ColumnStatistics) -> String {
    let few = column.top_values_exact && column.distinct <= 12;
    let mut html = String::new();
    match &column.numeric {
        Some(numeric) if !few && column.field_type.is_numeric() => {
            let counts: Vec<f64> = numeric
                .histogram
                .buckets
                .iter()
                .map(|bucket| bucket.count)
                .collect();
            let label = format!("histogram of {}", column.name);
            if let Some(picture) = histogram(&label, &counts) {
                let _ = write!(html, "{picture} ");
            }
            let number = |number: Option<f64>| Number(number.unwrap_or(f64::NAN));
            let _ = write!(
                html,
                "{} … {}, mean {}, median {}",
                number(numeric.min),
                number(numeric.max),
                number(numeric.mean),
                number(numeric.median())
            );
            let mut table = Table::new("Buckets")
                .number("from")
                .number("to")
                .number("rows");
            for bucket in &numeric.histogram.buckets {
                table.row([
                    Cell::number(bucket.low),
                    Cell::number(bucket.high),
                    Cell::number(bucket.count.round()),
                ]);
            }
            table.folded(&mut html, "buckets");
        }
        _ => {
            let top = column.top_values.iter().take(5);
            let shown = top.map(|(value, n)| {
                let share = 100.0 * *n as f64 / column.count.max(1) as f64;
                format!("{} ({share:.0} %)", Name(value))
            });
            html.push_str(&shown.collect::<Vec<_>>().join(", "));
        }
    }
    html
}

fn anomalies(run: &RunRecord) -> String {
    let mut table = Table::new("Anomalies against the schema")
        .text("where")
        .text("column")
        .text("severity")
        .text("what")
        .text("kind")
        .most(FOUND);
    for reason in run.quarantined.iter().flat_map(|aside| &aside.reasons) {
        table.row([
            Cell::text("set aside"),
            Cell::name(&reason.column),
            Cell::text("error"),
            Cell::text(format!("{} rows", reason.n_rows)),
            Cell::text(reason.kind),
        ]);
    }
    for (split, anomalies) in &run.anomalies {
        for Anomaly {
            column,
            kind,
            severity,
            message,
            ..
        } in anomalies
        {
            table.row([
                Cell::name(split),
                Cell::name(column),
                Cell::text(severity),
                Cell::text(message),
                Cell::text(kind.name()),
            ]);
        }
    }
    table.to_string()
}

/// The distances: those with a threshold first, by their excess, then the others.
fn drift(run: &RunRecord) -> String {
    let mut found: Vec<&Comparison> = run.comparisons.iter().collect();
    let excess = |of: &Comparison| {
        of.threshold
            .map_or(f64::NEG_INFINITY, |threshold| of.measured - threshold)
    };
    found.sort_by(|a, b| {
        excess(b)
            .total_cmp(&excess(a))
            .then(b.measured.total_cmp(&a.measured))
    });
    let finite = found
        .iter()
        .map(|of| of.measured)
        .filter(|measured| measured.is_finite());
    let most = finite.fold(0.0, f64::max);
    let mut table = Table::new("Distances of the train split from other data")
        .text("column")
        .text("against")
        .text("distance")
        .number("measured")
        .number("threshold")
        .text("drawn")
        .most(FOUND);
    for of in found {
        let drawn = of
            .measured
            .is_finite()
            .then(|| bar(&of.column, of.measured, most).to_string());
        table.row([
            Cell::name(&of.column),
            Cell::text(of.against),
            Cell::text(of.distance),
            Cell::number(of.measured),
            Cell::number(of.threshold.unwrap_or(f64::NAN)),
            Cell::html(drawn.unwrap_or_default()),
        ]);
    }
    table.to_string()
}

fn warnings(run: &RunRecord) -> String {
    let mut table = Table::new("Automatic decisions and omissions")
        .text("stage")
        .text("column")
        .text("what")
        .text("code")
        .most(FOUND);
    for warning in &run.warnings {
        table.row([
            Cell::text(&warning.stage),
            Cell::name(warning.column.as_deref().unwrap_or_default()),
            Cell::text(&warning.message),
            Cell::text(&warning.code),
        ]);
    }
    table.to_string()
}
