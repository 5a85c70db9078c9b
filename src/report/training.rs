//! The training: leaderboard, history, learning curves and importances.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;

use super::{Kept, main_metric};
use crate::page::svg::{Chart, bar, range};
use crate::page::{Cell, Name, Number, Table, figure, section};
use crate::pipeline::RunRecord;
use crate::training::{CurvePoint, ExplainedRow, Importance, TrainingRecord};

/// The number of features that are shown, the most important ones by the first measure.
const SHOWN: usize = 30;
/// The number of points of a curve that are drawn.
const POINTS: usize = 200;
/// The number of contributions of a row that are shown.
const NAMES: usize = 60;

pub(super) fn write(page: &mut String, run: &RunRecord, kept: Option<&Kept>) {
    let training = &run.training;
    section(page, "Leaderboard", &super::search::search(training));
    section(page, "History", &history(run, kept));
    section(page, "Learning curves", &curve(training));
    section(page, "Importances", &importances(&training.importances));
    if let Some(row) = &training.explained {
        section(page, "Explanation of one row", &explained(row));
    }
}

/// The main metric from run to run of the pipeline.
fn history(run: &RunRecord, kept: Option<&Kept>) -> String {
    let (Some(kept), Some((metric, _))) = (kept, main_metric(run)) else {
        return String::new();
    };
    let mut table = Table::new(format!(
        "The newest {} runs of {}",
        kept.history.len(),
        run.name
    ))
    .text("run")
    .text("began")
    .number(metric)
    .text("verdict")
    .number("version")
    .most(100);
    for other in kept.history.iter().rev() {
        let verdict = other.verdict.as_deref().unwrap_or("–");
        table.row([
            Cell::text(&other.id),
            Cell::text(other.started()),
            Cell::value(other.metrics.get(metric)),
            Cell::text(verdict.chars().take(200).collect::<String>()),
            Cell::Number(
                (other
                    .deployed
                    .as_ref()
                    .and_then(|deployed| deployed.version))
                .map_or_else(|| "–".to_owned(), |version| version.to_string()),
            ),
        ]);
    }
    let values: Vec<_> = kept
        .history
        .iter()
        .map(|other| other.metrics.get(metric))
        .collect();
    let shown = values
        .iter()
        .flatten()
        .flat_map(|of| [Some(of.value), of.lower, of.upper].into_iter().flatten());
    let mut html = String::new();
    match range(shown) {
        Some(y) if values.iter().flatten().count() > 1 => {
            let mut chart = Chart::new(
                "History",
                (
                    "run, the newest at the right",
                    (0.5, values.len() as f64 + 0.5),
                ),
                (metric, y),
            );
            for (at, value) in values.iter().enumerate() {
                if let Some(of) = value {
                    chart.point(at as f64 + 1.0, of.value, of.lower.zip(of.upper));
                }
            }
            figure(
                &mut html,
                &format!("{metric} from run to run"),
                chart,
                &table,
            );
        }
        _ => {
            let _ = write!(html, "{table}");
        }
    }
    html
}

/// A configuration on one line: `rounds 100, learning_rate 0.1`.
pub(super) fn in_short(configuration: &Value) -> String {
    match configuration {
        Value::Null => String::new(),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| format!("{name} {value}"));
            fields.collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

/// One table for each set of names: some measures are of features, others of raw columns.
fn importances(importances: &[Importance]) -> String {
    let mut html = String::new();
    let measures = by_measure(importances);
    let mut rest = measures.as_slice();
    while let Some((_, first)) = rest.first() {
        let same = |other: &[&Importance]| {
            let names = first.iter().map(|of| &of.feature);
            names.eq(other.iter().map(|of| &of.feature))
        };
        let n = rest.iter().take_while(|(_, values)| same(values)).count();
        write_importances(&mut html, &rest[..n]);
        rest = &rest[n..];
    }
    html
}

/// The values of each measure, in their order.
pub(super) fn by_measure(importances: &[Importance]) -> Vec<(&str, Vec<&Importance>)> {
    let mut measures: Vec<(&str, Vec<&Importance>)> = Vec::new();
    for importance in importances {
        match measures
            .iter_mut()
            .find(|(name, _)| *name == importance.measure)
        {
            Some((_, values)) => values.push(importance),
            None => measures.push((&importance.measure, vec![importance])),
        }
    }
    measures
}

/// Measures of the same names side by side, with bars of the first.
pub(super) fn write_importances(html: &mut String, measures: &[(&str, Vec<&Importance>)]) {
    let Some((measure, first)) = measures.first() else {
        return;
    };
    let mut order: Vec<usize> = (0..first.len()).collect();
    order.sort_by(|a, b| first[*b].value.total_cmp(&first[*a].value));
    let most = order.first().map_or(0.0, |at| first[*at].value);
    let table = Table::new(format!("By {measure}")).text("name").most(SHOWN);
    let table = measures
        .iter()
        .fold(table, |table, (measure, _)| table.number(measure));
    let mut table = table.text("drawn");
    for at in order {
        let name = &first[at].feature;
        let values = measures
            .iter()
            .map(|(_, values)| Cell::number(values[at].value));
        let picture = bar(name, first[at].value, most);
        table.row(
            [Cell::name(name)]
                .into_iter()
                .chain(values)
                .chain([Cell::html(picture)]),
        );
    }
    let _ = write!(html, "{table}");
}

fn explained(row: &ExplainedRow) -> String {
    let table = Table::new(
        "Contribution of each column to the output before the link, for the first row that was held out",
    );
    let outputs = row.outputs.len().min(10);
    let mut table = (0..outputs).fold(table.text("column").most(NAMES), |table, output| {
        table.number(&format!("output {output}"))
    });
    if outputs == 1 {
        table = table.text("drawn");
    }
    let of = |output: usize, at: usize| row.outputs[output].get(at).copied().unwrap_or(f64::NAN);
    let mut order: Vec<usize> = (0..row.names.len()).collect();
    let size = |at: usize| {
        (0..outputs)
            .map(|output| of(output, at).abs())
            .fold(0.0, f64::max)
    };
    order.sort_by(|a, b| size(*b).total_cmp(&size(*a)));
    let most = order.first().map_or(0.0, |at| size(*at));
    for at in order {
        let values = (0..outputs).map(|output| Cell::number(of(output, at)));
        let picture = (outputs == 1).then(|| Cell::html(bar(&row.names[at], of(0, at), most)));
        table.row(
            [Cell::html(Name(&row.names[at]))]
                .into_iter()
                .chain(values)
                .chain(picture),
        );
    }
    table.to_string()
}

fn curve(training: &TrainingRecord) -> String {
    let mut curves: BTreeMap<&str, Vec<&CurvePoint>> = BTreeMap::new();
    for point in &training.curve {
        curves.entry(&point.name).or_default().push(point);
    }
    let mut html = String::new();
    // Those of one measure are drawn together: `train_log_loss` and `tune_log_loss`.
    let mut charts: BTreeMap<&str, Vec<(&str, Vec<&CurvePoint>)>> = BTreeMap::new();
    for (name, points) in curves {
        let measure = ["train_", "tune_"]
            .iter()
            .find_map(|of| name.strip_prefix(of));
        charts
            .entry(measure.unwrap_or(name))
            .or_default()
            .push((name, points));
    }
    for (measure, curves) in charts.iter().take(12) {
        let all = || curves.iter().flat_map(|(_, points)| points);
        let x = range(all().map(|point| point.iteration as f64));
        let (Some(x), Some(y)) = (x, range(all().map(|point| point.value))) else {
            continue;
        };
        let mut chart = Chart::new("Learning curve", ("iteration", x), (*measure, y));
        let mut legend = String::from("<p class=\"legend\">");
        let mut table = Table::new("Points")
            .text("curve")
            .number("iteration")
            .number("value");
        for (at, (name, points)) in curves.iter().enumerate() {
            let step = points.len().div_ceil(POINTS);
            let drawn = points.iter().step_by(step).chain(points.last());
            chart.line(
                drawn.map(|point| (point.iteration as f64, point.value)),
                ["l0", "l1", "l2", "l3"][at % 4],
            );
            let _ = write!(
                legend,
                "<span class=\"key f{}\"></span>{}",
                at % 4,
                Name(name)
            );
            for point in points.iter().step_by(points.len().div_ceil(20)) {
                table.row([
                    Cell::name(name),
                    Cell::count(point.iteration),
                    Cell::number(point.value),
                ]);
            }
        }
        legend.push_str("</p>");
        figure(&mut html, measure, format!("{chart}{legend}"), &table);
    }
    if !html.is_empty() {
        html = format!("<div class=\"figures\">{html}</div>");
    }
    if let Some(best) = training.best_iteration {
        let _ = write!(
            html,
            "<p class=\"muted\">The model is the one of iteration {best}.</p>"
        );
    }
    if let Some(threshold) = training.threshold {
        let _ = write!(
            html,
            "<p class=\"muted\">Rows are predicted as positive above {}.</p>",
            Number(threshold)
        );
    }
    html
}
