//! The report of a search: the leaderboard, its progress, and the importance of parameters.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde_json::Value;

use super::training::{in_short, write_importances};
use crate::metrics::{Catalogue, Direction};
use crate::page::svg::{Chart, Svg, range};
use crate::page::{Cell, Number, Seconds, Table, figure};
use crate::training::{Importance, TrainingRecord, Trial};

/// The number of trials that are shown.
const TRIALS: usize = 200;
/// The number of axes.
const AXES: usize = 12;

pub(super) fn search(training: &TrainingRecord) -> String {
    let mut html = String::new();
    let figures = [progress(&training.trials), coordinates(&training.trials)];
    let figures = figures.concat();
    if !figures.is_empty() {
        let _ = write!(html, "<div class=\"figures\">{figures}</div>");
    }
    let importances: Vec<&Importance> = training.parameter_importances.iter().collect();
    if !importances.is_empty() {
        html.push_str(
            "<p>How much of the spread of the trials' values each searched parameter explains on its own.</p>",
        );
        write_importances(&mut html, &[("importance", importances)]);
    }
    let _ = write!(html, "{}", leaderboard(&training.trials));
    html
}

/// The comparable trials with their numbers, the best first, then the others.
fn ranked(trials: &[Trial]) -> Vec<(usize, &Trial)> {
    let mut order: Vec<(usize, &Trial)> = trials.iter().enumerate().collect();
    order.sort_by(|(_, a), (_, b)| {
        let by_value = || match (a.value, b.value) {
            (Some(x), Some(y)) if a.metric == b.metric => match higher(&a.metric) {
                true => y.total_cmp(&x),
                false => x.total_cmp(&y),
            },
            (a, b) => b.is_some().cmp(&a.is_some()),
        };
        b.is_comparable()
            .cmp(&a.is_comparable())
            .then_with(by_value)
    });
    order
}

fn higher(metric: &str) -> bool {
    Catalogue::new().direction(metric) == Some(Direction::Higher)
}

fn leaderboard(trials: &[Trial]) -> Table {
    let is_limited = trials
        .iter()
        .any(|trial| trial.bytes.is_some() || trial.row_seconds.is_some());
    let mut table = Table::new(format!("{} trials", trials.len()))
        .number("trial")
        .text("what")
        .text("metric")
        .number("value")
        .number("error")
        .number("share of rows")
        .number("time");
    if is_limited {
        table = table.number("bytes").number("time for a row");
    }
    let mut table = table.text("configuration").most(TRIALS);
    for (at, trial) in ranked(trials) {
        let name = trial.stage["name"].as_str().unwrap_or("trial");
        let configuration = match &trial.reason {
            Some(reason) => format!("{reason}; {}", in_short(&trial.stage["configuration"])),
            None => in_short(&trial.stage["configuration"]),
        };
        let of_limits = is_limited.then(|| {
            [
                Cell::number(trial.bytes.map_or(f64::NAN, |bytes| bytes as f64)),
                seconds(trial.row_seconds),
            ]
        });
        let cells = [
            Cell::count(at as u64 + 1),
            Cell::name(name),
            Cell::name(&trial.metric),
            Cell::number(trial.value.unwrap_or(f64::NAN)),
            Cell::number(trial.error.unwrap_or(f64::NAN)),
            Cell::number(trial.share.unwrap_or(f64::NAN)),
            seconds(trial.seconds),
        ];
        let configuration = Cell::text(configuration.chars().take(300).collect::<String>());
        table.row(
            cells
                .into_iter()
                .chain(of_limits.into_iter().flatten())
                .chain([configuration]),
        );
    }
    table
}

fn seconds(seconds: Option<f64>) -> Cell {
    Cell::Number(seconds.map_or_else(|| "–".to_owned(), |s| Seconds(s).to_string()))
}

/// The value of each trial in their order, and the best so far.
fn progress(trials: &[Trial]) -> String {
    let mut html = String::new();
    let points = trials
        .iter()
        .enumerate()
        .filter(|(_, of)| of.is_comparable());
    let points: Vec<(f64, f64)> = points
        .filter_map(|(at, trial)| Some((at as f64 + 1.0, trial.value?)))
        .collect();
    let metric = trials.iter().find(|trial| trial.is_comparable());
    let (Some(x), Some(y), Some(metric)) = (
        range(points.iter().map(|p| p.0)),
        range(points.iter().map(|p| p.1)),
        metric.map(|trial| &trial.metric),
    ) else {
        return html;
    };
    if points.len() < 2 {
        return html;
    }
    let mut chart = Chart::new("Trials", ("trial", x), (metric.as_str(), y));
    let step = points.len().div_ceil(TRIALS);
    for (x, y) in points.iter().step_by(step) {
        chart.point(*x, *y, None);
    }
    let is_better = |value: f64, best: f64| match higher(metric) {
        true => value > best,
        false => value < best,
    };
    let mut best = points[0].1;
    let mut line = vec![points[0]];
    for (x, y) in &points {
        if is_better(*y, best) {
            // A stair: it holds until there is a better one.
            line.push((*x, best));
            line.push((*x, *y));
            best = *y;
        }
    }
    line.extend(points.last().map(|(x, _)| (*x, best)));
    chart.line(line, "l1");
    // Its table is the leaderboard.
    let caption = format!("{metric} of each trial, and the best so far");
    figure(&mut html, &caption, chart, &Table::new(""));
    html
}

/// One parameter of the trials of a trainer, from 0 at the bottom of its axis to 1.
struct Axis<'a> {
    name: &'a str,
    low: String,
    high: String,
    places: Vec<Option<f64>>,
}

impl<'a> Axis<'a> {
    fn of(name: &'a str, values: &[Option<&Value>]) -> Self {
        let numbers: Option<Vec<f64>> = values
            .iter()
            .flatten()
            .map(|value| value.as_f64())
            .collect();
        let range = numbers.and_then(|numbers| range(numbers.iter().copied()));
        let Some((low, high)) = range else {
            let known: BTreeSet<String> = values.iter().flatten().map(|v| v.to_string()).collect();
            let known: Vec<String> = known.into_iter().collect();
            let last = known.len().saturating_sub(1).max(1) as f64;
            let place = |value: &Value| {
                let at = known.binary_search(&value.to_string()).unwrap_or(0);
                at as f64 / last
            };
            return Axis {
                name,
                places: values.iter().map(|value| value.map(place)).collect(),
                low: known.first().cloned().unwrap_or_default(),
                high: known.last().cloned().unwrap_or_default(),
            };
        };
        // Values that span orders of magnitude are on a logarithmic scale.
        let log = low > 0.0 && high / low > 30.0;
        let scale = |value: f64| if log { value.ln() } else { value };
        let place = |value: f64| (scale(value) - scale(low)) / (scale(high) - scale(low));
        let place = |value: &Value| value.as_f64().map(place);
        Axis {
            name,
            low: Number(low).to_string(),
            high: Number(high).to_string(),
            places: values.iter().map(|value| value.and_then(place)).collect(),
        }
    }
}

/// For each trainer, its trials as lines across one axis a parameter and one of the metric; the best tenth stands out.
fn coordinates(trials: &[Trial]) -> String {
    let mut html = String::new();
    let mut trainers: BTreeMap<&str, Vec<&Trial>> = BTreeMap::new();
    for (_, trial) in ranked(trials).into_iter().take(TRIALS) {
        if trial.is_comparable() && !trial.parameters.is_empty() {
            let name = trial.stage["name"].as_str().unwrap_or("trial");
            trainers.entry(name).or_default().push(trial);
        }
    }
    for (trainer, trials) in trainers {
        if trials.len() < 2 {
            continue;
        }
        let names: BTreeSet<&str> = (trials.iter())
            .flat_map(|trial| trial.parameters.keys().map(String::as_str))
            .collect();
        let metric = trials[0].metric.as_str();
        let values: Vec<Value> = trials
            .iter()
            .map(|trial| Value::from(trial.value))
            .collect();
        let mut axes: Vec<Axis<'_>> = (names.into_iter().take(AXES - 1))
            .map(|name| {
                let values = trials.iter().map(|trial| trial.parameters.get(name));
                Axis::of(name, &values.collect::<Vec<_>>())
            })
            .collect();
        axes.push(Axis::of(
            metric,
            &values.iter().map(Some).collect::<Vec<_>>(),
        ));
        let mut table = Table::new(format!("Trials of {trainer}"));
        for axis in &axes {
            table = table.text(axis.name);
        }
        let mut table = table.most(TRIALS);
        for trial in &trials {
            let shown = |axis: &Axis<'_>| trial.parameters.get(axis.name).map(Value::to_string);
            let parameters = axes[..axes.len() - 1].iter().map(shown);
            let cells = parameters.map(|value| Cell::text(value.unwrap_or_else(|| "–".to_owned())));
            let value = Cell::number(trial.value.unwrap_or(f64::NAN));
            table.row(cells.chain([value]));
        }
        let picture = drawn(trainer, &axes, trials.len());
        figure(&mut html, &format!("Trials of {trainer}"), picture, &table);
    }
    html
}

fn drawn(trainer: &str, axes: &[Axis<'_>], n_trials: usize) -> Svg {
    const GAP: f64 = 90.0;
    const TOP: f64 = 40.0;
    const BOTTOM: f64 = 190.0;
    let x = |at: usize| 45.0 + GAP * at as f64;
    let width = x(axes.len() - 1) + 45.0;
    let mut svg = Svg::new(
        width,
        BOTTOM + 24.0,
        format!("Trials of {trainer} by parameter"),
    );
    // The best, which come first, are drawn last, above the others.
    for trial in (0..n_trials).rev() {
        let points = axes.iter().enumerate().filter_map(|(at, axis)| {
            let place = axis.places.get(trial).copied().flatten()?;
            Some((x(at), BOTTOM - place * (BOTTOM - TOP)))
        });
        let class = if trial * 10 < n_trials { "l0" } else { "grid" };
        svg.polyline(points, class);
    }
    for (at, axis) in axes.iter().enumerate() {
        svg.line((x(at), TOP), (x(at), BOTTOM), "axis");
        // Names of neighbours are long, so they are in two rows.
        let row = if at % 2 == 0 { 12.0 } else { 24.0 };
        svg.text(x(at), row, "middle", axis.name);
        svg.text(x(at), TOP - 4.0, "middle", &axis.high);
        svg.text(x(at), BOTTOM + 14.0, "middle", &axis.low);
    }
    svg
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn trial(rate: f64, kind: &str, value: f64) -> Trial {
        let mut trial = Trial::new(json!({ "name": "boosting" }), "log_loss", value);
        trial.parameters = BTreeMap::from([
            ("rate".to_owned(), json!(rate)),
            ("kind".to_owned(), json!(kind)),
        ]);
        trial
    }

    #[test]
    fn axes_are_numbers_magnitudes_or_choices() {
        let values = [json!(0.01), json!(0.1), json!(1.0)];
        let axis = Axis::of("rate", &values.iter().map(Some).collect::<Vec<_>>());
        assert!(
            (axis.places[1].unwrap() - 0.5).abs() < 1e-12,
            "by magnitude"
        );
        let values = [json!("a"), json!("b")];
        let axis = Axis::of("kind", &[Some(&values[1]), None, Some(&values[0])]);
        assert_eq!(axis.places, [Some(1.0), None, Some(0.0)]);
    }

    #[test]
    fn what_cannot_be_chosen_comes_last() {
        let mut infeasible = trial(0.1, "a", 0.1);
        infeasible.reason =
            Some("infeasible: the model has 10 bytes, at most 5 are allowed".to_owned());
        let trials = [infeasible, trial(0.2, "b", 0.3), trial(0.3, "<b>", 0.2)];
        let order: Vec<usize> = ranked(&trials).into_iter().map(|(at, _)| at).collect();
        assert_eq!(order, [2, 1, 0]);
        let training = TrainingRecord {
            trials: trials.into(),
            parameter_importances: vec![Importance {
                feature: "boosting.rate".to_owned(),
                measure: "fanova".to_owned(),
                value: 0.7,
            }],
            ..TrainingRecord::default()
        };
        let html = search(&training);
        assert!(html.contains("boosting.rate") && html.contains("Trials of boosting"));
        assert!(
            html.contains("best so far") && !html.contains("\"<b>"),
            "{html}"
        );
    }
}
