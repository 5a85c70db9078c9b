//! The comparison of two runs.

use std::fmt::Write;

use crate::error::Result;
use crate::metrics::{Catalogue, Direction};
use crate::page::svg::{Chart, Span, interval, range};
use crate::page::{Cell, FOOT, Number, Table, Text, figure, head, section};
use crate::pipeline::RunRecord;
use crate::runs::{Comparison, Root, Run};

pub(super) fn page(root: &Root, before: &str, after: &str) -> Result<String> {
    let (runs, found) = (
        (root.run(before)?, root.run(after)?),
        root.compare(before, after)?,
    );
    // A run without a verdict has no record of results.
    let load = |run: &Run| RunRecord::load(root, &run.id).ok();
    let records = (load(&runs.0), load(&runs.1));
    let title = format!("{} and {}", runs.0.id, runs.1.id);
    let mut page = head(&title, "");
    let _ = write!(
        page,
        "<header><h1>Two runs beside each other</h1><p class=\"lead\">{}</p></header>",
        sentence(&found)
    );
    section(&mut page, "Runs", &facts(&runs.0, &runs.1));
    section(&mut page, "Metrics", &metrics(&found));
    section(&mut page, "Differences", &differences(&found));
    if let (Some(before), Some(after)) = records {
        section(&mut page, "Curves", &curves(&before, &after));
        section(&mut page, "Slices", &slices(&before, &after));
        section(&mut page, "Importances", &importances(&before, &after));
    }
    page.push_str(FOOT);
    Ok(page)
}

fn sentence(found: &Comparison) -> String {
    let moved = found.metrics.iter().filter(|metric| {
        let ends = metric
            .paired
            .and_then(|paired| paired.lower.zip(paired.upper));
        ends.is_some_and(|(low, high)| low > 0.0 || high < 0.0)
    });
    let moved: Vec<&str> = moved.map(|metric| metric.name.as_str()).collect();
    let differ = found.configuration.len() + found.files.len();
    let metrics = match (
        moved.is_empty(),
        found.metrics.iter().any(|metric| metric.paired.is_some()),
    ) {
        (_, false) => {
            "their metrics are not of the same rows, or their predictions are gone".to_owned()
        }
        (true, true) => "no metric differs by more than chance explains".to_owned(),
        (false, true) => format!("these metrics differ: {}", moved.join(", ")),
    };
    Text(format!(
        "{differ} values of the configuration and files differ; {metrics}."
    ))
    .to_string()
}

fn facts(before: &Run, after: &Run) -> String {
    let mut table = Table::new("The runs")
        .text("what")
        .text("before")
        .text("after");
    let version = |run: &Run| {
        let version = run.deployed.as_ref().and_then(|deployed| deployed.version);
        version.map_or_else(|| "–".to_owned(), |version| version.to_string())
    };
    let mut row = |what: &str, of: &dyn Fn(&Run) -> String| {
        table.row([
            Cell::text(what),
            Cell::text(of(before)),
            Cell::text(of(after)),
        ]);
    };
    row("run", &|run| run.id.clone());
    row("pipeline", &|run| run.pipeline.clone());
    row("began", &Run::started);
    row("verdict", &|run| {
        run.verdict.clone().unwrap_or_else(|| run.state.to_string())
    });
    row("version", &version);
    row("seconds", &|run| format!("{:.2}", run.seconds));
    table.to_string()
}

fn metrics(found: &Comparison) -> String {
    let mut table =
        Table::new("Metrics over all rows of the eval split; the change is of the same rows")
            .text("metric")
            .number("before")
            .number("after")
            .number("change")
            .text("beside no change")
            .text("better");
    let catalogue = Catalogue::new();
    for metric in &found.metrics {
        let picture = metric.paired.and_then(|paired| {
            let ends = paired.lower.zip(paired.upper)?;
            let range = range([0.0, paired.value, ends.0, ends.1])?;
            let span = Span {
                value: paired.value,
                interval: Some(ends),
                bound: Some(0.0),
                band: None,
            };
            let label = format!("the change in {} is {}", metric.name, Number(paired.value));
            Some(interval(label, &span, range).to_string())
        });
        table.row([
            Cell::name(&metric.name),
            Cell::value(metric.before.as_ref()),
            Cell::value(metric.after.as_ref()),
            Cell::value(metric.paired.as_ref()),
            Cell::html(picture.unwrap_or_default()),
            Cell::text(match catalogue.direction(&metric.name) {
                Some(Direction::Higher) => "higher",
                Some(Direction::Lower) => "lower",
                Some(Direction::Neither) | None => "",
            }),
        ]);
    }
    table.to_string()
}

fn differences(found: &Comparison) -> String {
    let mut table = Table::new("Configuration and files")
        .text("what")
        .text("before")
        .text("after")
        .most(300);
    for difference in found.configuration.iter().chain(&found.files) {
        table.row([
            Cell::name(&difference.path),
            Cell::name(&difference.before),
            Cell::name(&difference.after),
        ]);
    }
    let mut html = table.to_string();
    if !found.artifacts.is_empty() {
        let _ = write!(
            html,
            "<p>They made different {}.</p>",
            Text(found.artifacts.join(", "))
        );
    }
    html
}

const UNIT: (f64, f64) = (0.0, 1.0);

fn curves(before: &RunRecord, after: &RunRecord) -> String {
    let (one, other) = (&before.metrics.details, &after.metrics.details);
    let mut html = String::new();
    if !one.roc.is_empty() && !other.roc.is_empty() {
        let mut chart = Chart::new(
            "ROC curves",
            ("false positive rate", UNIT),
            ("true positive rate", UNIT),
        );
        let mut table = Table::new("True positive rates")
            .number("false positive rate")
            .number("before")
            .number("after");
        chart.line([(0.0, 0.0), (1.0, 1.0)], "grid");
        for (roc, class) in [(&one.roc, "l1"), (&other.roc, "l0")] {
            let points = roc
                .iter()
                .map(|point| (point.false_positive_rate, point.true_positive_rate));
            chart.line([(0.0, 0.0)].into_iter().chain(points), class);
        }
        for tenth in 1..10 {
            let rate = f64::from(tenth) / 10.0;
            let at = |roc: &[crate::metrics::CurvePoint]| {
                let reached = roc
                    .iter()
                    .rev()
                    .find(|point| point.false_positive_rate <= rate);
                Cell::number(reached.map_or(0.0, |point| point.true_positive_rate))
            };
            table.row([Cell::number(rate), at(&one.roc), at(&other.roc)]);
        }
        figure(&mut html, "ROC", format!("{chart}{LEGEND}"), &table);
    }
    if !one.calibration.is_empty() && !other.calibration.is_empty() {
        let mut chart = Chart::new(
            "Calibration",
            ("mean prediction", UNIT),
            ("share of positives", UNIT),
        );
        let mut table = Table::new("Bins")
            .text("run")
            .number("mean prediction")
            .number("share of positives");
        chart.line([(0.0, 0.0), (1.0, 1.0)], "grid");
        for (name, bins, class) in [
            ("before", &one.calibration, "l1"),
            ("after", &other.calibration, "l0"),
        ] {
            chart.line(
                bins.iter().map(|bin| (bin.prediction, bin.share.value)),
                class,
            );
            for bin in bins {
                table.row([
                    Cell::text(name),
                    Cell::number(bin.prediction),
                    Cell::value(Some(&bin.share)),
                ]);
            }
        }
        figure(&mut html, "Calibration", format!("{chart}{LEGEND}"), &table);
    }
    match html.is_empty() {
        true => html,
        false => format!("<div class=\"figures\">{html}</div>"),
    }
}

const LEGEND: &str = "<p class=\"legend\"><span class=\"key f1\"></span>before<span class=\"key f0\"></span>after</p>";

/// The slices that both have, those that have moved most first.
fn slices(before: &RunRecord, after: &RunRecord) -> String {
    let Some((metric, _)) = super::main_metric(after) else {
        return String::new();
    };
    let earlier: std::collections::BTreeMap<_, _> = before
        .metrics
        .slices
        .iter()
        .map(|of| (&of.slice, &of.metrics))
        .collect();
    let both = after.metrics.slices.iter().filter_map(|of| {
        let was = earlier.get(&of.slice)?.get(metric)?;
        Some((of, was, of.metrics.get(metric)?))
    });
    let mut both: Vec<_> = both.collect();
    both.sort_by(|a, b| {
        let moved = |of: &(
            _,
            &crate::metrics::MetricValue,
            &crate::metrics::MetricValue,
        )| (of.2.value - of.1.value).abs();
        moved(b).total_cmp(&moved(a))
    });
    let mut table = Table::new(format!(
        "{metric} by slice, those that have moved most first"
    ))
    .text("slice")
    .number("rows")
    .number("before")
    .number("after")
    .number("change")
    .most(100);
    for (of, was, is) in both {
        table.row([
            Cell::name(&of.slice),
            Cell::count(of.n_rows()),
            Cell::value(Some(was)),
            Cell::value(Some(is)),
            Cell::number(is.value - was.value),
        ]);
    }
    table.to_string()
}

fn importances(before: &RunRecord, after: &RunRecord) -> String {
    let Some(first) = after.training.importances.first() else {
        return String::new();
    };
    let of = |run: &RunRecord| -> Vec<(String, f64)> {
        let importances = run
            .training
            .importances
            .iter()
            .filter(|of| of.measure == first.measure);
        importances
            .map(|of| (of.feature.clone(), of.value))
            .collect()
    };
    let earlier: std::collections::HashMap<String, f64> = of(before).into_iter().collect();
    let mut now = of(after);
    now.sort_by(|a, b| b.1.total_cmp(&a.1));
    let mut table = Table::new(format!("By {}", first.measure))
        .text("name")
        .number("before")
        .number("after")
        .most(30);
    for (name, value) in now {
        let was = earlier.get(&name).copied().unwrap_or(f64::NAN);
        table.row([Cell::name(&name), Cell::number(was), Cell::number(value)]);
    }
    table.to_string()
}
