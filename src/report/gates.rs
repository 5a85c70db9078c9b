//! Each check with its value, interval and bound, as a picture.

use crate::blessing::{Check, CheckOutcome};
use crate::metrics::{Catalogue, Direction, MetricValue};
use crate::page::svg::{Span, interval, range};
use crate::page::{Cell, Name, Number, Table};
use crate::pipeline::RunRecord;

/// The tag of an outcome.
fn tag(check: &Check) -> &'static str {
    match check.outcome {
        CheckOutcome::Passed => "<span class=\"tag good\">passed</span>",
        CheckOutcome::Failed => "<span class=\"tag bad\">failed</span>",
        CheckOutcome::TooFewRows => "<span class=\"tag warn\">too few rows</span>",
    }
}

/// Each check with its value, interval and bound, as a picture.
pub(super) fn gates(run: &RunRecord) -> String {
    let mut table = Table::new("Every check, with its value, interval and bound")
        .text("check")
        .text("outcome")
        .number("value")
        .text("beside its bound")
        .number("bound")
        .number("margin")
        .number("detectable")
        .number("rows")
        .text("found")
        .most(500);
    let catalogue = Catalogue::new();
    // Checks that block come first.
    let checks = run.verdict.checks();
    let first = checks.iter().filter(|check| check.is_blocking());
    for check in first.chain(checks.iter().filter(|check| !check.is_blocking())) {
        let name = match &check.slice {
            Some(slice) => format!(
                "{} <span class=\"muted\">{}</span>",
                Name(&check.name),
                Name(slice)
            ),
            None => Name(&check.name).to_string(),
        };
        let number = |number: Option<f64>| Cell::number(number.unwrap_or(f64::NAN));
        let value = check.value.map(|value| {
            let found = MetricValue::new(value, check.support.unwrap_or_default());
            match check.interval {
                Some((low, high)) => found.with_interval(low, high),
                None => found,
            }
        });
        table.row([
            Cell::html(name),
            Cell::html(tag(check)),
            Cell::value(value.as_ref()),
            Cell::html(gate(check, &catalogue)),
            number(check.bound),
            number(check.margin),
            // Beside a margin it says whether the rows were enough.
            number(check.margin.and(check.detectable)),
            check
                .support
                .map_or_else(|| Cell::number(f64::NAN), Cell::count),
            Cell::text(&check.message),
        ]);
    }
    table.to_string()
}

/// The picture of a gate; empty if the check has no number.
fn gate(check: &Check, catalogue: &Catalogue) -> String {
    let (Some(value), Some(bound)) = (check.value, check.bound) else {
        return String::new();
    };
    let metric = check.name.split(' ').next().unwrap_or_default();
    let band = check
        .margin
        .map(|margin| match catalogue.direction(metric) {
            // The bound is the margin itself: a change is judged.
            _ if bound == -margin => (bound, 0.0),
            Some(Direction::Lower) => (bound, bound + margin),
            _ => (bound - margin, bound),
        });
    let mut shown = vec![value, bound];
    shown.extend(
        check
            .interval
            .iter()
            .chain(&band)
            .flat_map(|(low, high)| [*low, *high]),
    );
    let Some(range) = range(shown) else {
        return String::new();
    };
    let label = match check.interval {
        Some((low, high)) => format!(
            "{} is {}, from {} to {}; the bound is {}",
            check.name,
            Number(value),
            Number(low),
            Number(high),
            Number(bound)
        ),
        None => format!(
            "{} is {}; the bound is {}",
            check.name,
            Number(value),
            Number(bound)
        ),
    };
    let span = Span {
        value,
        interval: check.interval,
        bound: Some(bound),
        band,
    };
    interval(label, &span, range).to_string()
}
