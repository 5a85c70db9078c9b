//! A page for people: models, versions, traffic, latency and drift.
//!
//! It shows the metrics, drawn by the server, and reloads every few seconds. No script, no network.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::page::svg::bar;
use crate::page::{Cell, FOOT, Number, Seconds, Table, Text, head, section};
use crate::serving::ServerCore;
use crate::serving::metrics::{Sample, samples};

/// The interval at which a browser reloads the page.
const REFRESH_S: u64 = 5;
/// The most rows of a table.
const ROWS: usize = 200;

/// The counts at the previous view.
#[derive(Debug, Default)]
pub(super) struct LastLook(Mutex<Option<(Instant, BTreeMap<Key, f64>)>>);

/// A version of a model.
type Key = (String, String);

/// The figures of a version.
#[derive(Debug, Default)]
struct Version {
    answered: f64,
    failed: f64,
    rows: f64,
    seconds: f64,
    /// Requests that took at most this long.
    buckets: BTreeMap<u64, f64>,
}

/// The page as it is now.
pub(super) fn page(core: &ServerCore, last: &LastLook) -> String {
    let samples = samples(&core.metrics().encode());
    let versions = by_version(&samples);
    let refresh = format!("<meta http-equiv=\"refresh\" content=\"{REFRESH_S}\">");
    let mut page = head("Dashboard", &refresh);
    let state = match core.is_draining() {
        true => "draining",
        false => "serving",
    };
    let _ = write!(
        page,
        "<header><h1>Dashboard</h1><p class=\"lead\">{state}; {} UTC, again every {REFRESH_S} s</p></header>",
        Text(utc(SystemTime::now()))
    );
    section(&mut page, "Versions", &states(core));
    section(&mut page, "Traffic and latency", &traffic(&versions, last));
    section(&mut page, "Waiting", &waiting(&samples));
    section(&mut page, "Drift by column", &drift(&samples));
    section(&mut page, "Live metrics", &live(&samples));
    section(&mut page, "Shadow versions", &shadows(&samples));
    section(&mut page, "Recent alerts", &alerts(core));
    page.push_str(FOOT);
    page
}

fn by_version(samples: &[Sample]) -> BTreeMap<Key, Version> {
    let mut versions: BTreeMap<Key, Version> = BTreeMap::new();
    for sample in samples {
        let name = sample.name.as_str();
        let counts = ["requests_total", "rows_total"].contains(&name)
            || name.starts_with("request_duration_seconds");
        if !counts {
            continue;
        }
        let key = (
            sample.label("model").to_owned(),
            sample.label("version").to_owned(),
        );
        let version = versions.entry(key).or_default();
        match name {
            "requests_total" if sample.label("code") == "OK" => version.answered += sample.value,
            "requests_total" => version.failed += sample.value,
            "rows_total" => version.rows += sample.value,
            "request_duration_seconds_sum" => version.seconds += sample.value,
            "request_duration_seconds_bucket" => {
                if let Ok(le) = sample.label("le").replace("+Inf", "inf").parse::<f64>() {
                    // Positive numbers are in the order of their bits.
                    *version.buckets.entry(le.to_bits()).or_default() += sample.value;
                }
            }
            _ => {}
        }
    }
    versions
}

impl Version {
    /// The upper end of the bucket with this share of the requests; `None` without requests.
    fn quantile(&self, share: f64) -> Option<f64> {
        let all = *self.buckets.values().next_back()?;
        let reached = self
            .buckets
            .iter()
            .find(|(_, count)| **count >= share * all)?;
        (all > 0.0).then(|| f64::from_bits(*reached.0))
    }
}

fn states(core: &ServerCore) -> String {
    let mut table = Table::new("Every version of every model")
        .text("model")
        .number("version")
        .text("state")
        .text("labels")
        .text("why not")
        .most(ROWS);
    let mut html = String::new();
    if let Some(reason) = core.manager().source_failure() {
        let _ = write!(
            html,
            "<p><span class=\"tag bad\">source</span> {}</p>",
            Text(reason)
        );
    }
    for model in core.manager().states() {
        if let Some(reason) = &model.reason {
            let _ = write!(
                html,
                "<p><span class=\"tag bad\">unreadable</span> {}: {}</p>",
                Text(&model.name),
                Text(reason)
            );
        }
        for version in &model.versions {
            let class = match (version.is_available(), &version.reason) {
                (true, _) => "good",
                (false, Some(_)) => "bad",
                (false, None) => "warn",
            };
            table.row([
                Cell::name(&model.name),
                Cell::count(version.version),
                Cell::html(format!(
                    "<span class=\"tag {class}\">{}</span>",
                    version.state
                )),
                Cell::name(version.labels.join(", ")),
                Cell::text(version.reason.as_deref().unwrap_or_default()),
            ]);
        }
    }
    match table.is_empty() {
        true => html.push_str("<p>There is no model.</p>"),
        false => {
            let _ = write!(html, "{table}");
        }
    }
    html
}

fn traffic(versions: &BTreeMap<Key, Version>, last: &LastLook) -> String {
    let now = Instant::now();
    let counts = versions
        .iter()
        .map(|(key, version)| (key.clone(), version.answered + version.failed));
    let counts: BTreeMap<Key, f64> = counts.collect();
    let before = {
        let mut last = last.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.replace((now, counts.clone()))
    };
    let since = before
        .as_ref()
        .map(|(at, _)| now.duration_since(*at))
        .filter(|since| !since.is_zero());
    let rate = |key: &Key| {
        let before = before.as_ref()?.1.get(key).copied().unwrap_or_default();
        // A version that was loaded anew counts from 0 again.
        Some((counts[key] - before).max(0.0) / since?.as_secs_f64())
    };
    let all: f64 = counts.values().sum();
    let mut table =
        Table::new("Since the server began; the rate is since somebody has looked before")
            .text("model")
            .text("version")
            .number("requests")
            .text("share")
            .number("errors")
            .number("rows")
            .number("a second")
            .number("mean")
            .number("median, at most")
            .number("99 %, at most")
            .most(ROWS);
    let seconds = |seconds: Option<f64>| {
        let finite = seconds.filter(|seconds| seconds.is_finite());
        Cell::Number(finite.map_or_else(|| "–".to_owned(), |seconds| Seconds(seconds).to_string()))
    };
    for (key, version) in versions {
        let (model, number) = key;
        let name = if model.is_empty() {
            "no such model"
        } else {
            model
        };
        let n = version.answered + version.failed;
        let share = if all > 0.0 { n / all } else { 0.0 };
        let label = format!("{:.0} % of the requests", 100.0 * share);
        table.row([
            Cell::name(name),
            Cell::text(number),
            Cell::number(n),
            Cell::html(bar(label, share, 1.0)),
            Cell::number(version.failed),
            Cell::number(version.rows),
            Cell::Number(rate(key).map_or_else(|| "–".to_owned(), |rate| format!("{rate:.1}"))),
            seconds((n > 0.0).then(|| version.seconds / n)),
            seconds(version.quantile(0.5)),
            seconds(version.quantile(0.99)),
        ]);
    }
    match table.is_empty() {
        true => "<p>Nothing was asked yet.</p>".to_owned(),
        false => table.to_string(),
    }
}

fn waiting(samples: &[Sample]) -> String {
    let mut models: BTreeMap<&str, [f64; 2]> = BTreeMap::new();
    for sample in samples {
        match sample.name.as_str() {
            "requests_in_flight" => {
                models.entry(sample.label("model")).or_default()[0] = sample.value
            }
            "queue_length" => models.entry(sample.label("model")).or_default()[1] = sample.value,
            _ => {}
        }
    }
    let mut table = Table::new("Requests that are not answered yet")
        .text("model")
        .number("in all")
        .number("in the queue")
        .most(ROWS);
    for (model, [all, queued]) in models {
        table.row([Cell::name(model), Cell::number(all), Cell::number(queued)]);
    }
    table.to_string()
}

fn drift(samples: &[Sample]) -> String {
    let mut found: Vec<&Sample> = samples
        .iter()
        .filter(|sample| sample.name == "drift")
        .collect();
    found.sort_by(|a, b| b.value.total_cmp(&a.value));
    let most = found
        .iter()
        .map(|of| of.value)
        .filter(|value| value.is_finite())
        .fold(0.0, f64::max);
    let mut table =
        Table::new("How far live data is from what a version was trained on, the furthest first")
            .text("model")
            .text("version")
            .text("column")
            .text("measure")
            .number("distance")
            .text("drawn")
            .most(ROWS);
    for of in found {
        table.row([
            Cell::name(of.label("model")),
            Cell::text(of.label("version")),
            Cell::name(of.label("column")),
            Cell::text(of.label("measure")),
            Cell::number(of.value),
            Cell::html(bar(of.label("column"), of.value, most)),
        ]);
    }
    table.to_string()
}

/// The live metrics, from labels that arrived later, with their intervals.
fn live(samples: &[Sample]) -> String {
    let mut found: BTreeMap<(&str, &str, &str), [f64; 3]> = BTreeMap::new();
    for sample in samples.iter().filter(|sample| sample.name == "live_metric") {
        let key = (
            sample.label("model"),
            sample.label("version"),
            sample.label("metric"),
        );
        let at = match sample.label("of") {
            "lower" => 1,
            "upper" => 2,
            _ => 0,
        };
        found.entry(key).or_insert([f64::NAN; 3])[at] = sample.value;
    }
    let mut table = Table::new("Of requests whose labels have come")
        .text("model")
        .text("version")
        .text("metric")
        .number("value")
        .most(ROWS);
    for ((model, version, metric), [value, lower, upper]) in found {
        let value = match lower.is_finite() && upper.is_finite() {
            true => format!(
                "{} <span class=\"muted\">{} to {}</span>",
                Number(value),
                Number(lower),
                Number(upper)
            ),
            false => Number(value).to_string(),
        };
        table.row([
            Cell::name(model),
            Cell::text(version),
            Cell::name(metric),
            Cell::Number(value),
        ]);
    }
    table.to_string()
}

fn shadows(samples: &[Sample]) -> String {
    const COUNTS: [&str; 4] = [
        "shadow_rows_total",
        "shadow_differing_rows_total",
        "shadow_errors_total",
        "shadow_dropped_total",
    ];
    let mut found: BTreeMap<(&str, &str, &str), [f64; 4]> = BTreeMap::new();
    for sample in samples {
        if let Some(at) = COUNTS.iter().position(|name| *name == sample.name) {
            let key = (
                sample.label("model"),
                sample.label("version"),
                sample.label("shadow_version"),
            );
            found.entry(key).or_default()[at] = sample.value;
        }
    }
    let mut table = Table::new("Versions that are asked beside others")
        .text("model")
        .text("beside")
        .text("shadow")
        .number("rows")
        .number("answered otherwise")
        .number("errors")
        .number("not asked")
        .most(ROWS);
    for ((model, version, shadow), counts) in found {
        let names = [Cell::name(model), Cell::text(version), Cell::text(shadow)];
        table.row(names.into_iter().chain(counts.map(Cell::number)));
    }
    table.to_string()
}

fn alerts(core: &ServerCore) -> String {
    let mut table = Table::new("The newest first")
        .text("when (UTC)")
        .text("what")
        .number("times");
    for alert in core.metrics().alerts().iter().rev() {
        table.row([
            Cell::text(utc(alert.at)),
            Cell::text(&alert.text),
            Cell::count(alert.times),
        ]);
    }
    match table.is_empty() {
        true => "<p>None.</p>".to_owned(),
        false => table.to_string(),
    }
}

/// A time as people read it: `2026-11-27 16:05:12`.
fn utc(at: SystemTime) -> String {
    let since = at
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    let time = arrow::temporal_conversions::timestamp_s_to_datetime(seconds);
    time.map(|time| time.format("%Y-%m-%d %H:%M:%S").to_string())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_buckets() {
        let mut version = Version::default();
        assert_eq!(version.quantile(0.5), None);
        for (le, count) in [(0.001, 50.0), (0.01, 98.0), (f64::INFINITY, 100.0)] {
            version.buckets.insert(f64::to_bits(le), count);
        }
        assert_eq!(version.quantile(0.5), Some(0.001));
        assert_eq!(version.quantile(0.9), Some(0.01));
        assert_eq!(version.quantile(0.99), Some(f64::INFINITY));
    }
}
