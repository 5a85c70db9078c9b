//! The validation step: every split, and all rows together, against the schema.

use std::collections::BTreeMap;

use super::extract::{Extracted, no_labels};
use super::{AnomalyPolicy, DataPlan, EVAL, Label, TRAIN};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::{Anomaly, AnomalyKind, Comparison, Schema, Severity, TRAINING, Validation};
use crate::statistics::Statistics;

/// The key of anomalies of all rows together: no split can have this name.
const ALL: &str = "all splits";

/// The result of validating the splits.
#[derive(Default)]
pub(super) struct Validated {
    pub(super) anomalies: BTreeMap<String, Vec<Anomaly>>,
    pub(super) comparisons: Vec<Comparison>,
}

impl Validated {
    /// Stops or continues, according to the policy.
    pub(super) fn under(mut self, policy: AnomalyPolicy) -> Result<Self> {
        let errors: Vec<String> = self
            .anomalies
            .iter()
            .flat_map(|(split, anomalies)| anomalies.iter().map(move |anomaly| (split, anomaly)))
            .filter(|(_, anomaly)| anomaly.severity == Severity::Error)
            .map(|(split, anomaly)| match split.as_str() {
                ALL => format!("\n  {anomaly} ({ALL})"),
                split => format!("\n  {anomaly} (split `{split}`)"),
            })
            .collect();
        match policy {
            AnomalyPolicy::Fail | AnomalyPolicy::Quarantine if !errors.is_empty() => {
                return Err(Error::new(
                    ErrorKind::Schema,
                    format!("the data breaks its schema:{}", errors.concat()),
                ));
            }
            AnomalyPolicy::Warn => {
                for anomaly in self.anomalies.values_mut().flatten() {
                    if anomaly.severity == Severity::Error {
                        tracing::warn!(kind = anomaly.kind.name(), "{anomaly}");
                        anomaly.severity = Severity::Warning;
                    }
                }
            }
            AnomalyPolicy::Fail | AnomalyPolicy::Quarantine | AnomalyPolicy::Proceed => {}
        }
        Ok(self)
    }
}

impl DataPlan {
    pub(super) fn need_rows(
        &self,
        label: &Label,
        statistics: &BTreeMap<String, Statistics>,
        whole: &Statistics,
        extracted: &Extracted,
    ) -> Result<()> {
        if whole.n_rows == 0 {
            let note = &extracted.note;
            return Err(no_labels(label, note.n_unlabelled, &note.remarks));
        }
        match [TRAIN, EVAL]
            .iter()
            .find(|needed| statistics[**needed].n_rows == 0)
        {
            Some(needed) => {
                let others = statistics.iter().filter(|(_, split)| split.n_rows > 0);
                let others = others.map(|(name, split)| format!("`{name}` has {}", split.n_rows));
                let needs = match *needed == EVAL {
                    true => "at least 1, and most metrics at least 2 rows with different labels",
                    false => "at least 1",
                };
                Err(Error::data(format!(
                    "the `{needed}` split is empty and needs {needs}: of {} with a label {}",
                    match whole.n_rows {
                        1 => "1 row".to_owned(),
                        n => format!("{n} rows"),
                    },
                    others.collect::<Vec<_>>().join(", ")
                )))
            }
            None => Ok(()),
        }
    }

    /// Validates every split against the schema, and all rows together where it is about numbers of rows.
    pub(super) fn validate(
        &self,
        schema: &Schema,
        statistics: &BTreeMap<String, Statistics>,
        whole: &Statistics,
    ) -> Result<Validated> {
        let mut validation = Validation::new(schema);
        // A schema that has other environments than ours means all of its fields to be here.
        let known = &schema.default_environments;
        if known.is_empty() || known.iter().any(|name| name == TRAINING) {
            validation = validation.environment(TRAINING);
        }
        let of_all_rows = |anomaly: &Anomaly| {
            let only_counted = schema
                .field(&anomaly.column)
                .is_ok_and(|field| field.min_fraction == 0.0);
            anomaly.kind.needs_all_rows()
                || anomaly.kind == AnomalyKind::FeatureTypeNotPresent && only_counted
        };
        let mut found = Validated::default();
        for (split, statistics) in statistics {
            if statistics.n_rows == 0 {
                continue;
            }
            let mut validation = validation.clone();
            if split == TRAIN {
                if let Some(previous) = &self.previous {
                    validation = validation.previous(previous);
                }
                if let Some(serving) = &self.serving {
                    validation = validation.serving(serving);
                }
            }
            let mut report = validation.run(statistics)?;
            report.anomalies.retain(|anomaly| !of_all_rows(anomaly));
            found.anomalies.insert(split.clone(), report.anomalies);
            found.comparisons.extend(report.comparisons);
        }
        let mut anomalies = validation.run(whole)?.anomalies;
        anomalies.retain(of_all_rows);
        if !anomalies.is_empty() {
            found.anomalies.insert(ALL.to_owned(), anomalies);
        }
        Ok(found)
    }
}
