//! Metrics, curves, confusion matrix and slices.

use std::fmt::Write;

use super::groups::by_worst;
use super::main_metric;
use crate::metrics::{Catalogue, ConfusionMatrix, Details, Direction};
use crate::page::svg::{Chart, range};
use crate::page::{Cell, Name, Number, Table, figure, section};
use crate::pipeline::RunRecord;

pub(super) fn write(page: &mut String, run: &RunRecord) {
    section(page, "Metrics", &metrics(run));
    section(page, "Curves", &curves(run));
    section(page, "Confusion", &confusion(&run.metrics.details));
    section(page, "Slices", &slices(run));
}

fn metrics(run: &RunRecord) -> String {
    let mut table = Table::new("Metrics on the eval split, with 95 % intervals")
        .text("metric")
        .number("candidate");
    if run.test_metrics.is_some() {
        table = table.number("on the test split");
    }
    let mut table = table.text("better");
    let catalogue = Catalogue::new();
    for (name, value) in &run.metrics.overall {
        let mut cells = vec![Cell::name(name), Cell::value(Some(value))];
        if let Some(test) = &run.test_metrics {
            cells.push(Cell::value(test.overall.get(name)));
        }
        cells.push(Cell::text(match catalogue.direction(name) {
            Some(Direction::Higher) => "higher",
            Some(Direction::Lower) => "lower",
            Some(Direction::Neither) | None => "",
        }));
        table.row(cells);
    }
    table.to_string()
}

const UNIT: (f64, f64) = (0.0, 1.0);

fn curves(run: &RunRecord) -> String {
    let details = &run.metrics.details;
    let mut html = String::new();
    if !details.roc.is_empty() {
        roc(&mut html, details);
        // The share of positives in all rows: `mean_label` where it is known, else the precision at the last point of the curve.
        let last = details.roc.last().map_or(f64::NAN, |point| point.precision);
        let share = run
            .metrics
            .overall
            .get("mean_label")
            .map_or(last, |share| share.value);
        gains(&mut html, details, share);
    }
    if !details.calibration.is_empty() {
        calibration(&mut html, details);
    }
    if !details.residuals.is_empty() {
        residuals(&mut html, details);
    }
    match html.is_empty() {
        true => html,
        false => format!("<div class=\"figures\">{html}</div>"),
    }
}

fn roc(html: &mut String, details: &Details) {
    let mut table = Table::new("Points of the curve")
        .number("threshold")
        .number("false positive rate")
        .number("true positive rate")
        .number("precision");
    // The curve has at most 200 points, of which a table shows every fifth or so.
    let step = details.roc.len().div_ceil(40);
    for point in details.roc.iter().step_by(step) {
        table.row([
            Cell::number(point.threshold),
            Cell::number(point.false_positive_rate),
            Cell::number(point.true_positive_rate),
            Cell::number(point.precision),
        ]);
    }
    let points = details
        .roc
        .iter()
        .map(|point| (point.false_positive_rate, point.true_positive_rate));
    let mut chart = Chart::new(
        "ROC curve",
        ("false positive rate", UNIT),
        ("true positive rate", UNIT),
    );
    chart.line([(0.0, 0.0), (1.0, 1.0)], "grid");
    chart.line([(0.0, 0.0)].into_iter().chain(points), "l0");
    figure(html, "ROC: true by false positive rate", chart, &table);
    let points = details
        .roc
        .iter()
        .map(|point| (point.true_positive_rate, point.precision));
    let mut chart = Chart::new(
        "Precision-recall curve",
        ("recall", UNIT),
        ("precision", UNIT),
    );
    chart.line(points, "l0");
    figure(html, "Precision by recall", chart, &table);
}

/// The share of the positives by the share of rows that are answered as positive, the likeliest first.
fn gains(html: &mut String, details: &Details, positives: f64) {
    if !(positives > 0.0 && positives < 1.0) {
        return;
    }
    let points: Vec<(f64, f64)> = details
        .roc
        .iter()
        .map(|point| {
            let (hits, alarms) = (point.true_positive_rate, point.false_positive_rate);
            (positives * hits + (1.0 - positives) * alarms, hits)
        })
        .collect();
    let mut table = Table::new("Gains")
        .number("share of rows")
        .number("share of positives")
        .number("lift");
    for tenth in 1..=10 {
        let wanted = f64::from(tenth) / 10.0;
        let at = points.iter().rev().find(|(rows, _)| *rows <= wanted + 1e-9);
        if let Some((rows, found)) = at.filter(|(rows, _)| *rows > 0.0) {
            table.row([
                Cell::number(*rows),
                Cell::number(*found),
                Cell::number(found / rows),
            ]);
        }
    }
    let mut chart = Chart::new(
        "Gains",
        ("share of rows", UNIT),
        ("share of positives", UNIT),
    );
    chart.line([(0.0, 0.0), (1.0, 1.0)], "grid");
    chart.line([(0.0, 0.0), (positives, 1.0), (1.0, 1.0)], "grid");
    chart.line([(0.0, 0.0)].into_iter().chain(points), "l0");
    figure(html, "Gains: positives found by rows asked", chart, &table);
}

fn calibration(html: &mut String, details: &Details) {
    let mut table = Table::new("Bins of predictions")
        .number("mean prediction")
        .number("share of positives")
        .number("rows");
    let mut chart = Chart::new(
        "Calibration",
        ("mean prediction", UNIT),
        ("share of positives", UNIT),
    );
    chart.line([(0.0, 0.0), (1.0, 1.0)], "grid");
    for bin in &details.calibration {
        table.row([
            Cell::number(bin.prediction),
            Cell::value(Some(&bin.share)),
            Cell::count(bin.share.support),
        ]);
        chart.point(
            bin.prediction,
            bin.share.value,
            bin.share.lower.zip(bin.share.upper),
        );
    }
    figure(
        html,
        "Calibration: share of positives by prediction",
        chart,
        &table,
    );
}

fn residuals(html: &mut String, details: &Details) {
    let mut table = Table::new("Tenths of the rows by prediction")
        .number("mean prediction")
        .number("label less prediction")
        .number("absolute error")
        .number("rows");
    for decile in &details.residuals {
        table.row([
            Cell::number(decile.prediction),
            Cell::value(Some(&decile.residual)),
            Cell::value(Some(&decile.absolute)),
            Cell::count(decile.residual.support),
        ]);
    }
    let x = range(details.residuals.iter().map(|decile| decile.prediction));
    let shown = details.residuals.iter().flat_map(|decile| {
        let of = &decile.residual;
        [Some(0.0), Some(of.value), of.lower, of.upper]
            .into_iter()
            .flatten()
    });
    let (Some(x), Some(y)) = (x, range(shown)) else {
        let _ = write!(html, "{table}");
        return;
    };
    let mut chart = Chart::new(
        "Residuals",
        ("mean prediction", x),
        ("label less prediction", y),
    );
    chart.line([(x.0, 0.0), (x.1, 0.0)], "grid");
    for decile in &details.residuals {
        let of = &decile.residual;
        chart.point(decile.prediction, of.value, of.lower.zip(of.upper));
    }
    figure(
        html,
        "Residuals: label less prediction, by prediction",
        chart,
        &table,
    );
}

/// The number of classes that are shown, those with the most rows.
const CLASSES: usize = 20;

fn confusion(details: &Details) -> String {
    let mut html = String::new();
    if let Some(matrix) = &details.confusion {
        write_matrix(&mut html, matrix);
    }
    let mut table = Table::new("Each class against the rest")
        .text("class")
        .number("rows")
        .number("precision")
        .number("recall")
        .number("F1")
        .number("AUC")
        .most(100);
    let mut classes: Vec<_> = details.classes.iter().collect();
    classes.sort_by(|a, b| b.rows.total_cmp(&a.rows));
    for class in classes {
        table.row([
            Cell::name(&class.class),
            Cell::number(class.rows),
            Cell::value(class.precision.as_ref()),
            Cell::value(class.recall.as_ref()),
            Cell::value(class.f1.as_ref()),
            Cell::value(class.auc.as_ref()),
        ]);
    }
    let _ = write!(html, "{table}");
    html
}

/// The matrix is its own picture: the larger the share of a class's rows, the darker the cell.
fn write_matrix(html: &mut String, matrix: &ConfusionMatrix) {
    let name = |at: usize| matrix.classes.get(at).map_or("<unknown>", String::as_str);
    let rows = |at: &usize| matrix.counts[*at].iter().sum::<f64>();
    let mut shown: Vec<usize> = (0..matrix.counts.len()).collect();
    shown.sort_by(|a, b| rows(b).total_cmp(&rows(a)));
    shown.truncate(CLASSES);
    shown.sort_unstable();
    let answers: Vec<usize> = shown
        .iter()
        .copied()
        .filter(|at| *at < matrix.classes.len())
        .collect();
    let left_out = matrix.counts.len() - shown.len();
    let mut table =
        Table::new("Rows by true class (down) and predicted class (across)").text("class");
    for answer in &answers {
        table = table.number(&name(*answer).chars().take(40).collect::<String>());
    }
    for class in &shown {
        let all = rows(class);
        let cells = answers.iter().map(|answer| {
            let count = matrix.counts[*class].get(*answer).copied().unwrap_or_default();
            let share = if all > 0.0 { (count / all).clamp(0.0, 1.0) } else { 0.0 };
            Cell::Number(format!(
                "<span class=\"heat\" style=\"--p:{share:.2}\">&nbsp;{}&nbsp;</span> <span class=\"muted\">{:.0} %</span>",
                Number(count),
                100.0 * share
            ))
        });
        let head = Cell::Text(Name(name(*class)).to_string());
        table.row([head].into_iter().chain(cells.collect::<Vec<_>>()));
    }
    let _ = write!(html, "{table}");
    if left_out > 0 {
        let _ = write!(
            html,
            "<p class=\"muted\">{left_out} classes with fewer rows are left out.</p>"
        );
    }
}

/// The number of slices that are listed.
const SLICES: usize = 1_000;

fn slices(run: &RunRecord) -> String {
    if run.metrics.slices.is_empty() {
        return String::new();
    }
    let usual = ["auc", "accuracy", "log_loss", "rmse", "mae", "skill"];
    let main = main_metric(run).map(|(name, _)| name);
    let mut names: Vec<&str> = main.into_iter().collect();
    names.extend(usual.iter().filter(|name| Some(**name) != main));
    names.retain(|name| run.metrics.overall.contains_key(*name));
    names.truncate(4);
    let table = Table::new(format!("All {} slices", run.metrics.slices.len()))
        .text("slice")
        .number("rows");
    let mut table = names
        .iter()
        .fold(table, |table, name| table.number(name))
        .most(SLICES);
    let sorted = main.map(|main| by_worst(run, main)).unwrap_or_default();
    // Those without the metric are last.
    let rest = run
        .metrics
        .slices
        .iter()
        .filter(|slice| main.is_none_or(|main| !slice.metrics.contains_key(main)));
    for slice in sorted.into_iter().chain(rest) {
        let values = names
            .iter()
            .map(|name| Cell::value(slice.metrics.get(*name)));
        table.row(
            [Cell::name(&slice.slice), Cell::count(slice.n_rows())]
                .into_iter()
                .chain(values),
        );
    }
    let mut html = String::new();
    let summary = match main {
        Some(main) => format!(
            "All {} slices, the worst by {main} first",
            run.metrics.slices.len()
        ),
        None => format!("All {} slices", run.metrics.slices.len()),
    };
    table.folded(&mut html, &summary);
    let mut unseen = Table::new("Classes that are not in the training data")
        .text("class")
        .number("rows")
        .most(50);
    for (class, rows) in &run.metrics.unseen_classes {
        unseen.row([Cell::name(class), Cell::count(*rows)]);
    }
    let _ = write!(html, "{unseen}");
    html
}
