//! A run as a page that people read.
//!
//! [`html`] makes one self-contained file of a [`RunRecord`]: the verdict first, then metrics and slices, then what
//! was done to each column and why, the data's statistics and what was odd about it. No script, no network.

mod training;

use std::collections::HashMap;
use std::fmt::{self, Display, Write};

use serde_json::Value;

use crate::blessing::CheckOutcome;
use crate::metrics::{Catalogue, Direction, MetricValue};
use crate::pipeline::RunRecord;
use crate::statistics::{ColumnStatistics, Histogram};
use crate::transform::Decision;

/// The run as an HTML page.
///
/// ```
/// # fn page(run: &fourfold::pipeline::RunRecord) -> std::io::Result<()> {
/// std::fs::write("report.html", fourfold::report::html(run))
/// # }
/// ```
#[must_use]
pub fn html(run: &RunRecord) -> String {
    let mut page = String::from(HEAD);
    // Writing to a string does not fail.
    let _ = write_page(&mut page, run);
    page.push_str("</main></body></html>\n");
    page
}

const HEAD: &str = "<!doctype html>
<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">
<title>Model report</title><style>
body{font:15px/1.5 system-ui,sans-serif;color:#1d2330;background:#f6f7f9;margin:0}
main{max-width:60rem;margin:auto;padding:2rem 1rem}
section{background:#fff;border:1px solid #e2e5ea;border-radius:8px;padding:1rem 1.25rem;margin:1rem 0;overflow-x:auto}
h1{margin:0 0 .25rem}h2{font-size:1.1rem;margin:0 0 .5rem}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.25rem .75rem .25rem 0;vertical-align:top}
th{font-weight:600;border-bottom:1px solid #e2e5ea}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
.verdict{display:inline-block;padding:.1rem .7rem;border-radius:1rem;color:#fff;font-weight:600}
.blessed{background:#1a7f4b}.rejected{background:#b3261e}.muted{color:#667085}
.bar{background:#c7d7f5;height:.6rem;border-radius:3px;min-width:1px}
</style></head><body><main>
";

/// Text that may hold `<`, `&` or quotes.
struct Text<T>(T);

impl<T: Display> Display for Text<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.to_string().chars() {
            match c {
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '&' => f.write_str("&amp;")?,
                '"' => f.write_str("&quot;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// A number with four digits that matter.
struct Number(f64);

impl Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let x = self.0;
        if !x.is_finite() {
            f.write_str("–")
        } else if x.fract() == 0.0 && x.abs() < 1e15 {
            write!(f, "{x:.0}")
        } else if (1e-3..1e6).contains(&x.abs()) {
            write!(f, "{x:.4}")
        } else {
            write!(f, "{x:.3e}")
        }
    }
}

/// A value with its interval.
struct Interval<'a>(&'a MetricValue);

impl Display for Interval<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Number(self.0.value))?;
        match (self.0.lower, self.0.upper) {
            (Some(low), Some(high)) => write!(
                f,
                " <span class=\"muted\">{} to {}</span>",
                Number(low),
                Number(high)
            ),
            _ => Ok(()),
        }
    }
}

fn write_page(page: &mut String, run: &RunRecord) -> fmt::Result {
    write_verdict(page, run)?;
    write_setup(page, run)?;
    write_metrics(page, run)?;
    write_slices(page, run)?;
    training::write(page, &run.training)?;
    write_columns(page, run)?;
    write_anomalies(page, run)?;
    write_warnings(page, run)?;
    write_timings(page, run)
}

fn write_verdict(page: &mut String, run: &RunRecord) -> fmt::Result {
    write!(
        page,
        "<h1>{}</h1><p class=\"muted\">predicts <b>{}</b> ({}",
        Text(&run.name),
        Text(run.target.label()),
        run.target.task()
    )?;
    if let [_, positive] = run.target.classes() {
        write!(page, ", <b>{}</b> is the positive class", Text(positive))?;
    }
    page.push_str(")</p>");
    let verdict = match run.verdict.is_blessed() {
        true => "blessed",
        false => "rejected",
    };
    write!(
        page,
        "<section><h2>Verdict</h2><p><span class=\"verdict {verdict}\">{verdict}</span></p><table>"
    )?;
    for check in run.verdict.checks() {
        let mark = match check.outcome {
            CheckOutcome::Passed => "passed",
            CheckOutcome::Failed => "<b>failed</b>",
            CheckOutcome::TooFewRows => "<b>too few rows</b>",
        };
        write!(
            page,
            "<tr><td>{mark}</td><td>{}</td></tr>",
            Text(&check.message)
        )?;
    }
    for note in run.verdict.notes() {
        write!(page, "<tr><td>note</td><td>{}</td></tr>", Text(note))?;
    }
    page.push_str("</table>");
    if !run.verdict.is_blessed() {
        page.push_str("<p>Nothing was deployed: what served before goes on serving.</p>");
    }
    page.push_str("</section>");
    Ok(())
}

fn write_setup(page: &mut String, run: &RunRecord) -> fmt::Result {
    let rows = run.rows.iter().map(|(split, n)| format!("{n} {split}"));
    let rows: Vec<String> = rows.collect();
    let trainer = &run.setup.trainer;
    let facts = [
        ("run ended", run.setup.ended.clone()),
        ("by fourfold", run.setup.crate_version.clone()),
        (
            "trainer",
            trainer["name"].as_str().unwrap_or_default().to_owned(),
        ),
        ("configuration", in_short(&trainer["configuration"])),
        ("model format", run.model_format.clone()),
        ("split", run.setup.split.clone()),
        ("rows", rows.join(", ")),
        ("data", run.data_fingerprint.short().to_owned()),
    ];
    page.push_str("<section><h2>Run</h2><table>");
    for (name, fact) in facts.iter().filter(|(_, fact)| !fact.is_empty()) {
        write!(page, "<tr><td>{name}</td><td>{}</td></tr>", Text(fact))?;
    }
    page.push_str("</table></section>");
    Ok(())
}

/// A configuration on one line: `rounds 100, learning_rate 0.1`.
fn in_short(configuration: &Value) -> String {
    match configuration {
        Value::Null => String::new(),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| format!("{name} {value}"));
            fields.collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

fn write_metrics(page: &mut String, run: &RunRecord) -> fmt::Result {
    page.push_str("<section><h2>Metrics on the eval split</h2><table><tr><th>metric</th><th class=\"n\">candidate</th>");
    if run.baseline_metrics.is_some() {
        let before = match run.verdict.is_blessed() {
            true => "served before",
            false => "serving",
        };
        write!(
            page,
            "<th class=\"n\">{before}</th><th class=\"n\">change</th>"
        )?;
    }
    if run.test_metrics.is_some() {
        page.push_str("<th class=\"n\">candidate on the test split</th>");
    }
    page.push_str("<th>better</th></tr>");
    let catalogue = Catalogue::new();
    for (name, value) in &run.metrics.overall {
        write!(
            page,
            "<tr><td>{}</td><td class=\"n\">{}</td>",
            Text(name),
            Interval(value)
        )?;
        if let Some(baseline) = &run.baseline_metrics {
            let value = baseline
                .overall
                .get(name)
                .map_or(f64::NAN, |value| value.value);
            write!(page, "<td class=\"n\">{}</td>", Number(value))?;
            let change = run
                .changes
                .as_ref()
                .and_then(|changes| changes.overall.get(name));
            match change {
                Some(change) => write!(page, "<td class=\"n\">{}</td>", Interval(change))?,
                None => {
                    let (now, before) = (run.metrics.overall.get(name), value);
                    let change = now.map_or(f64::NAN, |now| now.value - before);
                    write!(page, "<td class=\"n\">{}</td>", Number(change))?;
                }
            }
        }
        if let Some(test) = &run.test_metrics {
            let value = test.overall.get(name).map_or(f64::NAN, |value| value.value);
            write!(page, "<td class=\"n\">{}</td>", Number(value))?;
        }
        let better = match catalogue.direction(name) {
            Some(Direction::Higher) => "higher",
            Some(Direction::Lower) => "lower",
            Some(Direction::Neither) | None => "",
        };
        write!(page, "<td class=\"muted\">{better}</td></tr>")?;
    }
    page.push_str("</table></section>");
    Ok(())
}

fn write_slices(page: &mut String, run: &RunRecord) -> fmt::Result {
    if run.metrics.slices.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = ["auc", "accuracy", "log_loss", "rmse", "skill"]
        .into_iter()
        .filter(|name| run.metrics.overall.contains_key(*name))
        .collect();
    page.push_str("<section><h2>Slices</h2><table><tr><th>slice</th><th class=\"n\">rows</th>");
    for name in &names {
        write!(page, "<th class=\"n\">{name}</th>")?;
    }
    page.push_str("</tr>");
    for slice in &run.metrics.slices {
        let value = |name: &str| {
            let value = slice.metrics.get(name);
            Number(value.map_or(f64::NAN, |value| value.value))
        };
        write!(
            page,
            "<tr><td>{}</td><td class=\"n\">{}</td>",
            Text(&slice.slice),
            value("example_count")
        )?;
        for name in &names {
            write!(page, "<td class=\"n\">{}</td>", value(name))?;
        }
        page.push_str("</tr>");
    }
    page.push_str("</table></section>");
    Ok(())
}

fn write_columns(page: &mut String, run: &RunRecord) -> fmt::Result {
    write!(
        page,
        "<section><h2>Columns of the train split</h2><p class=\"muted\">{} rows, {} without a label left out, {} features</p>\
         <table><tr><th>column</th><th>type</th><th class=\"n\">missing</th><th class=\"n\">distinct</th>\
         <th>values</th><th>became</th></tr>",
        run.statistics.n_rows,
        run.unlabelled_rows,
        run.features.len()
    )?;
    let decisions: HashMap<&str, &Decision> = (run.decisions.iter().rev())
        .map(|decision| (decision.column.as_str(), decision))
        .collect();
    for column in &run.statistics.columns {
        let decision = decisions.get(column.name.as_str());
        write!(
            page,
            "<tr><td>{}</td><td>{}</td><td class=\"n\">{:.1}%</td><td class=\"n\">{}</td><td>",
            Text(&column.name),
            column.field_type,
            100.0 * (1.0 - column.present()),
            column.distinct
        )?;
        write_values(page, column)?;
        match decision {
            Some(decision) => write!(
                page,
                "</td><td>{} <span class=\"muted\">{}</span></td></tr>",
                Text(&decision.action),
                Text(&decision.reason)
            )?,
            None => page.push_str("</td><td></td></tr>"),
        }
    }
    page.push_str("</table></section>");
    Ok(())
}

fn write_values(page: &mut String, column: &ColumnStatistics) -> fmt::Result {
    let few = column.top_values_exact && column.distinct <= 12;
    match &column.numeric {
        Some(numeric) if !few && column.field_type.is_numeric() => {
            write_histogram(page, &numeric.histogram)?;
            write!(
                page,
                "{} … {}, mean {}, median {}",
                Number(numeric.min.unwrap_or(f64::NAN)),
                Number(numeric.max.unwrap_or(f64::NAN)),
                Number(numeric.mean.unwrap_or(f64::NAN)),
                Number(numeric.median().unwrap_or(f64::NAN))
            )
        }
        _ => {
            let shown: Vec<String> = column
                .top_values
                .iter()
                .take(5)
                .map(|(value, n)| {
                    let share = 100.0 * *n as f64 / column.count.max(1) as f64;
                    format!("{} ({share:.0}%)", Text(value))
                })
                .collect();
            page.push_str(&shown.join(", "));
            Ok(())
        }
    }
}

/// The buckets of equal width as bars, 16 pixels high.
fn write_histogram(page: &mut String, histogram: &Histogram) -> fmt::Result {
    let most = histogram
        .buckets
        .iter()
        .map(|bucket| bucket.count)
        .fold(0.0, f64::max);
    if most == 0.0 {
        return Ok(());
    }
    let width = 6 * histogram.buckets.len();
    write!(
        page,
        "<svg width=\"{width}\" height=\"16\" fill=\"currentColor\" role=\"img\">"
    )?;
    for (at, bucket) in histogram.buckets.iter().enumerate() {
        let height = (16.0 * bucket.count / most).clamp(0.0, 16.0);
        let (x, y) = (6 * at, 16.0 - height);
        write!(
            page,
            "<rect x=\"{x}\" y=\"{y:.1}\" width=\"5\" height=\"{height:.1}\"/>"
        )?;
    }
    page.push_str("</svg> ");
    Ok(())
}

fn write_anomalies(page: &mut String, run: &RunRecord) -> fmt::Result {
    let quarantined = run.quarantined.as_ref();
    if run.anomalies.values().all(Vec::is_empty) && quarantined.is_none() {
        return Ok(());
    }
    page.push_str("<section><h2>Anomalies</h2><table>");
    for reason in quarantined.iter().flat_map(|aside| &aside.reasons) {
        write!(
            page,
            "<tr><td>quarantined</td><td>column `{}`: {} rows ({})</td></tr>",
            Text(&reason.column),
            reason.n_rows,
            reason.kind
        )?;
    }
    for (split, anomalies) in &run.anomalies {
        for anomaly in anomalies {
            write!(
                page,
                "<tr><td>{}</td><td>{}</td></tr>",
                Text(split),
                Text(anomaly)
            )?;
        }
    }
    page.push_str("</table></section>");
    Ok(())
}

fn write_warnings(page: &mut String, run: &RunRecord) -> fmt::Result {
    if run.warnings.is_empty() {
        return Ok(());
    }
    page.push_str(
        "<section><h2>Warnings</h2><table><tr><th>stage</th><th>column</th><th>what</th></tr>",
    );
    for warning in &run.warnings {
        write!(
            page,
            "<tr><td>{}</td><td>{}</td><td>{} <span class=\"muted\">{}</span></td></tr>",
            Text(&warning.stage),
            Text(warning.column.as_deref().unwrap_or_default()),
            Text(&warning.message),
            Text(&warning.code)
        )?;
    }
    page.push_str("</table></section>");
    Ok(())
}

fn write_timings(page: &mut String, run: &RunRecord) -> fmt::Result {
    let longest = run
        .timings_s
        .values()
        .copied()
        .fold(f64::MIN_POSITIVE, f64::max);
    page.push_str("<section><h2>Time</h2><table>");
    for (step, seconds) in &run.timings_s {
        write!(
            page,
            "<tr><td>{step}</td><td class=\"n\">{seconds:.2} s</td><td style=\"width:70%\">\
             <div class=\"bar\" style=\"width:{:.0}%\"></div></td></tr>",
            100.0 * seconds / longest
        )?;
    }
    page.push_str("</table></section>");
    Ok(())
}
