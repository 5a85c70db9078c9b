//! The record of a run as text, and as a few figures.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value, json};

use super::record::RunRecord;
use crate::metrics::MetricValue;
use crate::training::{Importance, Trial};

impl fmt::Display for RunRecord {
    /// A summary for a terminal: the rows, the target, the features made of each column, warnings, trials, the metrics on the
    /// `eval` split by slice, and the checks with the verdict.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.rows.iter().map(|(split, n)| format!("{n} {split}"));
        let rows = rows.collect::<Vec<_>>().join(", ");
        let n = self.unlabelled_rows;
        writeln!(f, "rows: {rows} ({n} without a label left out)")?;
        let target = &self.target;
        writeln!(f, "label: `{}`, task: {}", target.label(), target.task())?;
        if let [negative, positive] = target.classes() {
            writeln!(f, "classes: `{negative}`, `{positive}` (positive)")?;
        }
        match self.decisions[..] {
            [] => writeln!(f, "features: {}", self.features.len())?,
            _ => writeln!(f, "columns, {} features of them:", self.features.len())?,
        }
        for decision in &self.decisions {
            writeln!(f, "  {decision}")?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        for (at, trial) in self.training.trials.iter().enumerate() {
            writeln!(f, "trial {:3}: {trial}", at + 1)?;
        }
        write_importances(f, &self.training.parameter_importances)?;
        writeln!(f, "metrics on the eval split:")?;
        for (name, found) in &self.metrics.overall {
            writeln!(f, "  {name:16} {found:.4}")?;
        }
        for slice in &self.metrics.slices {
            write!(f, "  {}: {} rows", slice.slice, slice.n_rows())?;
            match slice.metrics.get("skill") {
                Some(skill) => writeln!(f, ", skill {skill:.4}")?,
                None => writeln!(f)?,
            }
        }
        // The others are among the warnings.
        for detectable in self.detectable.iter().filter(|it| it.warning().is_none()) {
            writeln!(f, "before training: {detectable}")?;
        }
        for check in self.verdict.checks() {
            writeln!(f, "{check}")?;
        }
        for note in self.verdict.notes() {
            writeln!(f, "note: {note}")?;
        }
        if !self.reused.is_empty() {
            let (reused, ran) = (self.reused.join(", "), self.ran.join(", "));
            writeln!(f, "reused: {reused}; ran: {ran}")?;
        }
        write!(f, "{}", self.verdict)
    }
}

/// The five searched parameters that matter most.
fn write_importances(f: &mut fmt::Formatter<'_>, importances: &[Importance]) -> fmt::Result {
    if importances.is_empty() {
        return Ok(());
    }
    let mut order: Vec<&Importance> = importances.iter().collect();
    order.sort_by(|a, b| b.value.total_cmp(&a.value));
    f.write_str("parameters that matter:")?;
    for (at, importance) in order.iter().take(5).enumerate() {
        let before = if at == 0 { " " } else { ", " };
        write!(f, "{before}{} {:.2}", importance.feature, importance.value)?;
    }
    writeln!(f)
}

impl RunRecord {
    /// The figures that scripts need, as a JSON object: `rows` (including those without a label), `features` (their number),
    /// `task`, `metrics` (on the `eval` split), `trials` (each with the trainer's `name`, its searched `parameters` and
    /// `value`), `verdict` (`blessed` or `rejected`), `reasons`, `warnings`, `timings_s`, `reused` and `ran`. Serialize the
    /// record itself for everything else.
    #[must_use]
    pub fn summary(&self) -> Value {
        let metrics = self.metrics.overall.iter();
        let metrics = metrics.map(|(name, MetricValue { value, .. })| (name, value));
        let verdict = match self.verdict.is_blessed() {
            true => "blessed",
            false => "rejected",
        };
        let trials = self.training.trials.iter().map(|trial| {
            let Trial {
                parameters, value, ..
            } = trial;
            json!({ "name": trial.stage["name"], "parameters": parameters, "value": value })
        });
        json!({
            "rows": self.rows.values().sum::<u64>() + self.unlabelled_rows,
            "features": self.features.len(),
            "task": self.target.task(),
            "metrics": metrics.collect::<BTreeMap<_, _>>(),
            "trials": trials.collect::<Vec<_>>(),
            "verdict": verdict,
            "reasons": self.verdict.reasons(),
            "warnings": self.warnings,
            "timings_s": self.timings_s,
            "reused": self.reused,
            "ran": self.ran,
        })
    }
}
