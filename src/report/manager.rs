//! For product managers: the verdict, its certainty, the slices that are worse, and the changes.

use std::fmt::Write;

use super::{Kept, change, gates, groups, main_metric};
use crate::page::{Facts, Number, Text, section};
use crate::pipeline::RunRecord;
use crate::runs::ModelCard;
use crate::schema::Severity;

pub(super) fn write(page: &mut String, run: &RunRecord, kept: Option<&Kept>) {
    page.push_str("<h2 id=\"product\">Product</h2>\n");
    section(page, "Verdict", &verdict(run));
    section(page, "Gates", &gates::gates(run));
    section(page, "Worst slices", &groups::worst_slices(run));
    section(page, "Fairness", &groups::fairness(&run.metrics));
    section(
        page,
        "Changes since the last version",
        &change::changes(run, kept),
    );
    section(page, "Model card", &card(run));
}

/// The verdict in one sentence of plain text.
pub(super) fn sentence(run: &RunRecord, kept: Option<&Kept>) -> String {
    let checks = run.verdict.checks();
    let passed = checks.iter().filter(|check| check.is_passed()).count();
    let mut text = match (run.verdict.is_blessed(), version(kept)) {
        (true, Some(version)) => format!("Blessed, and deployed as version {version}: "),
        (true, None) => "Blessed: ".to_owned(),
        (false, _) => "Rejected, so the previous version goes on serving: ".to_owned(),
    };
    let _ = write!(text, "{passed} of {} checks passed", checks.len());
    if let Some((name, value)) = main_metric(run) {
        let _ = write!(text, ", {name} is {}", Number(value.value));
        if let Some((low, high)) = value.lower.zip(value.upper) {
            let _ = write!(text, " ({} to {})", Number(low), Number(high));
        }
        let before = run
            .baseline_metrics
            .as_ref()
            .and_then(|before| before.overall.get(name));
        if let Some(before) = before {
            let _ = write!(text, " and was {} before", Number(before.value));
        }
    }
    let blocking = checks.iter().find(|check| check.is_blocking());
    if let Some(check) = blocking {
        let _ = write!(text, "; {}", check.message);
    }
    text.push('.');
    text
}

fn version(kept: Option<&Kept>) -> Option<u64> {
    kept?.run.deployed.as_ref()?.version
}

/// The reasons, and their possible causes.
fn verdict(run: &RunRecord) -> String {
    let mut html = match run.verdict.is_blessed() {
        true => "<p><span class=\"tag good\">blessed</span></p>".to_owned(),
        false => "<p><span class=\"tag bad\">rejected</span></p>".to_owned(),
    };
    let mut list = |title: &str, items: Vec<String>| {
        if !items.is_empty() {
            let _ = write!(html, "<p>{title}</p><ul>");
            for item in items {
                let _ = write!(html, "<li>{}</li>", Text(item));
            }
            html.push_str("</ul>");
        }
    };
    if !run.verdict.is_blessed() {
        let blocking = run
            .verdict
            .checks()
            .iter()
            .filter(|check| check.is_blocking());
        let reasons: Vec<String> = blocking
            .map(|check| check.message.clone())
            .take(50)
            .collect();
        let reasons = match reasons.is_empty() {
            true => vec!["nothing was checked".to_owned()],
            false => reasons,
        };
        list("Reasons:", reasons);
        list("Possible causes:", causes(run));
    }
    list(
        "Notes:",
        run.verdict.notes().iter().take(50).cloned().collect(),
    );
    html
}

/// Findings about data and model that may explain a rejection, the most informative first.
fn causes(run: &RunRecord) -> Vec<String> {
    let mut causes = Vec::new();
    for check in run
        .verdict
        .checks()
        .iter()
        .filter(|check| check.is_blocking())
    {
        if let Some((detectable, margin)) = check.detectable.zip(check.margin)
            && detectable > margin
        {
            causes.push(format!(
                "{}: too few rows to detect a change as small as the margin of {}; detectable are {} or more",
                check.name,
                Number(margin),
                Number(detectable)
            ));
        }
    }
    let moved = run.comparisons.iter().filter(|found| {
        found
            .threshold
            .is_some_and(|threshold| found.measured > threshold)
    });
    causes.extend(moved.take(5).map(|found| found.to_string()));
    for (split, anomalies) in &run.anomalies {
        let errors = anomalies
            .iter()
            .filter(|anomaly| anomaly.severity == Severity::Error);
        causes.extend(errors.take(5).map(|anomaly| format!("{split}: {anomaly}")));
    }
    let worst = run.worst_slices.iter().flatten().take(3).map(|worst| {
        format!(
            "the loss of {} rows ({}) is {}, of the others {}",
            worst.loss.support,
            worst.slice,
            Number(worst.loss.value),
            Number(worst.rest)
        )
    });
    causes.extend(worst);
    let (unseen, rows) = (
        &run.metrics.unseen_classes,
        run.metrics.unseen_classes.values().sum::<u64>(),
    );
    if !unseen.is_empty() {
        let names: Vec<&str> = unseen.keys().take(5).map(String::as_str).collect();
        causes.push(format!(
            "{rows} rows have classes that are not in the training data: {}",
            names.join(", ")
        ));
    }
    if let Some(aside) = &run.quarantined {
        causes.extend(aside.reasons.iter().take(3).map(|reason| {
            format!(
                "{} rows were set aside for column `{}` ({})",
                reason.n_rows, reason.column, reason.kind
            )
        }));
    }
    causes
}

fn card(run: &RunRecord) -> String {
    let ModelCard {
        intended_use,
        limits,
        data,
        licence,
        contact,
        ..
    } = &run.card;
    let target = &run.target;
    let mut facts = Facts::default();
    let predicts = match target.classes() {
        [] => format!("{} ({})", target.label(), target.task()),
        [_, positive] => format!(
            "{} ({}; `{positive}` is the positive class)",
            target.label(),
            target.task()
        ),
        classes => format!(
            "{} ({}, {} classes)",
            target.label(),
            target.task(),
            classes.len()
        ),
    };
    let rows: Vec<String> = run
        .rows
        .iter()
        .map(|(split, n)| format!("{n} {split}"))
        .collect();
    facts
        .add("predicts", predicts)
        .add("intended use", intended_use)
        .add("limits", limits)
        .add("data", data)
        .add("rows", rows.join(", "))
        .add("licence", licence)
        .add("contact", contact);
    let mut html = facts.to_string();
    let fields = [
        ("intended use", intended_use),
        ("limits", limits),
        ("data", data),
        ("licence", licence),
        ("contact", contact),
    ];
    let missing: Vec<&str> = fields
        .iter()
        .filter(|(_, text)| text.is_empty())
        .map(|(name, _)| *name)
        .collect();
    if !missing.is_empty() {
        let _ = write!(
            html,
            "<p class=\"muted\">Not given by the application: {}.</p>",
            missing.join(", ")
        );
    }
    html
}
