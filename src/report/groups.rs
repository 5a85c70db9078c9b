//! Slices and groups for which a model is worse.

use std::fmt::Write;

use super::main_metric;
use crate::metrics::{Catalogue, Direction, Evaluation, Parity, SliceMetrics};
use crate::page::svg::{Span, interval, range};
use crate::page::{Cell, Number, Table};
use crate::pipeline::RunRecord;

/// The slices that are furthest from the whole, and those that a search has confirmed.
pub(super) fn worst_slices(run: &RunRecord) -> String {
    let mut html = String::new();
    if let Some(found) = &run.worst_slices {
        match found.is_empty() {
            true => html.push_str("<p>The search found no slice that is worse than the rest.</p>"),
            false => {
                let mut table = Table::new("Found on one half of the rows, confirmed on the other")
                    .text("slice")
                    .number("rows")
                    .number("loss")
                    .number("of the rest")
                    .number("difference")
                    .number("p")
                    .most(50);
                for worst in found {
                    table.row([
                        Cell::name(&worst.slice),
                        Cell::count(worst.loss.support),
                        Cell::value(Some(&worst.loss)),
                        Cell::number(worst.rest),
                        Cell::value(Some(&worst.difference)),
                        Cell::number(worst.p_value),
                    ]);
                }
                let _ = write!(html, "{table}");
            }
        }
    }
    let Some((metric, overall)) = main_metric(run) else {
        return html;
    };
    let worst = by_worst(run, metric);
    if worst.is_empty() {
        return html;
    }
    let mut shown = vec![overall.value];
    for slice in worst.iter().take(WORST) {
        let value = &slice.metrics[metric];
        shown.extend(
            [value.value]
                .into_iter()
                .chain(value.lower)
                .chain(value.upper),
        );
    }
    let Some(range) = range(shown) else {
        return html;
    };
    let caption = format!(
        "The worst of {} slices by {metric}; all rows: {}",
        worst.len(),
        Number(overall.value)
    );
    let mut table = Table::new(caption)
        .text("slice")
        .number("rows")
        .number(metric)
        .text("beside all rows")
        .most(WORST);
    for slice in worst.iter().take(WORST) {
        let value = &slice.metrics[metric];
        let span = Span {
            value: value.value,
            interval: value.lower.zip(value.upper),
            bound: Some(overall.value),
            band: None,
        };
        let label = format!("{}: {metric} is {}", slice.slice, Number(value.value));
        table.row([
            Cell::name(&slice.slice),
            Cell::count(slice.n_rows()),
            Cell::value(Some(value)),
            Cell::html(interval(label, &span, range)),
        ]);
    }
    let _ = write!(
        html,
        "{table}<p class=\"muted\">The worst of many slices look worse than they are: see the intervals.</p>"
    );
    html
}

/// The number of the worst slices that are drawn; all are in the table of slices.
const WORST: usize = 15;

/// The slices that have a metric, the worst first.
pub(super) fn by_worst<'a>(run: &'a RunRecord, metric: &str) -> Vec<&'a SliceMetrics> {
    let mut slices: Vec<&SliceMetrics> = run
        .metrics
        .slices
        .iter()
        .filter(|slice| slice.metrics.contains_key(metric))
        .collect();
    let is_lower_better = Catalogue::new().direction(metric) == Some(Direction::Lower);
    slices.sort_by(|a, b| {
        let (a, b) = (a.metrics[metric].value, b.metrics[metric].value);
        if is_lower_better {
            b.total_cmp(&a)
        } else {
            a.total_cmp(&b)
        }
    });
    slices
}

pub(super) fn fairness(metrics: &Evaluation) -> String {
    let mut html = String::new();
    for of in metrics.fairness.iter().take(20) {
        let mut table = Table::new(format!("Differences between the groups of {}", of.column))
            .text("what is compared")
            .text("highest")
            .text("lowest")
            .number("difference")
            .text("beside none")
            .number("ratio");
        for found in &of.disparities {
            let span = Span {
                value: found.difference.value,
                interval: found.difference.lower.zip(found.difference.upper),
                bound: Some(0.0),
                band: None,
            };
            let shown = [0.0, found.difference.value].into_iter();
            let shown = shown
                .chain(found.difference.lower)
                .chain(found.difference.upper);
            let label = format!("the difference is {}", Number(found.difference.value));
            let picture = range(shown).map(|range| interval(label, &span, range).to_string());
            table.row([
                Cell::text(format!("{} ({})", parity(found.parity), found.metric)),
                Cell::name(&found.highest),
                Cell::name(&found.lowest),
                Cell::value(Some(&found.difference)),
                Cell::html(picture.unwrap_or_default()),
                Cell::value(found.ratio.as_ref()),
            ]);
        }
        let _ = write!(html, "{table}");
        let names = [
            "selection_rate",
            "recall",
            "false_positive_rate",
            "calibration",
        ];
        let groups = Table::new(format!("The groups of {}", of.column))
            .text("group")
            .most(100);
        let mut groups = names.iter().fold(groups, |table, name| table.number(name));
        for (group, values) in &of.groups {
            let values = names.iter().map(|name| Cell::value(values.get(*name)));
            groups.row([Cell::name(group)].into_iter().chain(values));
        }
        groups.folded(&mut html, "Each group");
    }
    html
}

fn parity(parity: Parity) -> &'static str {
    match parity {
        Parity::Demographic => "demographic parity",
        Parity::EqualOpportunity => "equal opportunity",
        Parity::EqualisedOdds => "equalised odds",
        Parity::Calibration => "calibration",
    }
}
