//! Whether a span may be trained on.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::schema::{
    Anomaly, AnomalyKind, Comparator, Comparison, Field, FieldType, Fix, Schema, Severity,
    TRAINING, Validation,
};
use crate::statistics::Statistics;

/// How a span is checked before anything is trained on it: against the schema, and against the good span before it.
///
/// The schema is that of the data pipeline ([`DataPipeline::schema`](crate::data::DataPipeline::schema)), which people own
/// and the loop never changes. Without one, the first span's is inferred, kept in the state, and follows what comes: new
/// columns and, in small shares, new values are taken in, with an [alert](super::AlertKind::NewValues). What a column that was
/// always filled may lack is the share of [`missing`](SpanCheck::missing).
///
/// Columns are compared with the previous span's by the thresholds of their schema's
/// [`drift`](crate::schema::Field::drift). Those without one get these here, if the transform that was given reads them; where
/// a transform is chosen, all columns but those of the label and those that are [left out](SpanCheck::leave_out).
///
/// ```
/// use fourfold::continuous::SpanCheck;
/// use fourfold::schema::Comparator;
///
/// // Shares of categories may move by 0.2 from one month to the next.
/// let mut shares = Comparator::default();
/// shares.infinity_norm = Some(0.2);
/// let check = SpanCheck::new().categories(shares).leave_out(["day"]);
/// # let _ = check;
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SpanCheck {
    categories: Comparator,
    numbers: Comparator,
    left_out: BTreeSet<String>,
    new_values: f64,
    missing: f64,
}

impl Default for SpanCheck {
    fn default() -> Self {
        SpanCheck {
            categories: Comparator {
                infinity_norm: Some(0.1),
                ..Comparator::default()
            },
            numbers: Comparator {
                population_stability_index: Some(0.25),
                kolmogorov_smirnov: Some(0.15),
                ..Comparator::default()
            },
            left_out: BTreeSet::new(),
            new_values: 0.1,
            missing: 0.05,
        }
    }
}

impl SpanCheck {
    /// Categories within 0.1 by the L-infinity distance; numbers within 0.25 by the population stability index and 0.15 by
    /// the Kolmogorov-Smirnov distance; up to a tenth of new values and a twentieth of missing ones.
    #[must_use]
    pub fn new() -> Self {
        SpanCheck::default()
    }

    /// How far categories may be from those of the previous span.
    #[must_use]
    pub fn categories(mut self, thresholds: Comparator) -> Self {
        self.categories = thresholds;
        self
    }

    /// How far numbers may be from those of the previous span.
    #[must_use]
    pub fn numbers(mut self, thresholds: Comparator) -> Self {
        self.numbers = thresholds;
        self
    }

    /// Columns that are not compared with the previous span, such as one of the day.
    #[must_use]
    pub fn leave_out<C: Into<String>>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
        self.left_out.extend(columns.into_iter().map(Into::into));
        self
    }

    /// Up to which share of a column's values may be new ones, in `0..=1`, where the schema is inferred: they are taken into
    /// it. Beyond, the span is bad.
    #[must_use]
    pub fn new_values(mut self, share: f64) -> Self {
        self.new_values = share;
        self
    }

    /// Up to which share of the rows may lack a value of a column that was always filled, in `0..=1`, where the schema is
    /// inferred.
    #[must_use]
    pub fn missing(mut self, share: f64) -> Self {
        self.missing = share;
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        for (name, share) in [("new_values", self.new_values), ("missing", self.missing)] {
            if !(0.0..=1.0).contains(&share) {
                return Err(Error::config(format!(
                    "span check: `{name}` is {share}, must be from 0 to 1"
                )));
            }
        }
        let mut fields = [
            Field::new("categories", FieldType::Text),
            Field::new("numbers", FieldType::Float),
        ];
        fields[0].drift = self.categories;
        fields[1].drift = self.numbers;
        Schema::new(fields).check()
    }

    /// The schema that the first span is taken for.
    fn infer(&self, statistics: &Statistics) -> Schema {
        let mut schema = Schema::infer(statistics);
        for field in &mut schema.fields {
            field.min_fraction = (field.min_fraction - self.missing).max(0.0);
        }
        schema
    }

    /// The schema with a threshold for each column that is compared with the previous span.
    fn with_thresholds(&self, schema: &Schema, held: impl Fn(&str) -> bool) -> Schema {
        let mut schema = schema.clone();
        for field in &mut schema.fields {
            let is_open = field.drift == Comparator::default();
            if !is_open || !held(&field.name) || self.left_out.contains(&field.name) {
                continue;
            }
            if field.is_categorical() {
                field.drift = self.categories;
            } else if field.field_type.is_numeric() {
                field.drift = self.numbers;
            }
        }
        schema
    }

    /// Checks a span. `given` is the schema that people own, `known` the one that was inferred before.
    pub(super) fn run(
        &self,
        statistics: &Statistics,
        previous: Option<&Statistics>,
        (given, known): (Option<&Schema>, Option<&Schema>),
        held: impl Fn(&str) -> bool,
    ) -> Result<Checked> {
        let inferred = match (given, known) {
            (Some(_), _) => None,
            (None, Some(known)) => Some(known.clone()),
            (None, None) => Some(self.infer(statistics)),
        };
        let schema = given
            .or(inferred.as_ref())
            .ok_or_else(|| Error::internal("a span without a schema"))?;
        let held_to = self.with_thresholds(schema, held);
        let mut validation = Validation::new(&held_to);
        if given.is_some() {
            validation = validation.environment(TRAINING);
        }
        if let Some(previous) = previous {
            validation = validation.previous(previous);
        }
        let report = validation.run(statistics)?;
        let (mut anomalies, comparisons) = (report.anomalies, report.comparisons);
        let mut schema = inferred;
        let mut accepted = Vec::new();
        if let Some(schema) = &mut schema {
            for anomaly in &mut anomalies {
                if let Some(fix) = self.takes_in(anomaly) {
                    accepted.push(anomaly.to_string());
                    anomaly.severity = Severity::Warning;
                    schema.apply(&fix)?;
                }
            }
            if !accepted.is_empty() {
                schema.version += 1;
            }
        }
        Ok(Checked {
            anomalies,
            comparisons,
            accepted,
            schema,
        })
    }

    /// The change to an inferred schema that an anomaly is taken in by.
    fn takes_in(&self, anomaly: &Anomaly) -> Option<Fix> {
        let fix = anomaly.fix.clone()?;
        let is_taken = match (anomaly.kind, &fix) {
            (AnomalyKind::SchemaNewColumn, Fix::AddField { .. }) => true,
            (
                AnomalyKind::EnumTypeUnexpectedStringValues,
                Fix::AddValues { .. } | Fix::SetDomain { .. },
            ) => anomaly.measured.is_some_and(|known| {
                (0.0..=1.0).contains(&known) && 1.0 - known <= self.new_values
            }),
            _ => false,
        };
        is_taken.then_some(fix)
    }
}

/// What a check has found.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) anomalies: Vec<Anomaly>,
    pub(super) comparisons: Vec<Comparison>,
    /// What the inferred schema has taken in.
    pub(super) accepted: Vec<String>,
    /// The inferred schema, if people own none.
    pub(super) schema: Option<Schema>,
}

impl Checked {
    /// Whether the span may be trained on.
    pub(super) fn is_good(&self) -> bool {
        let mut anomalies = self.anomalies.iter();
        anomalies.all(|anomaly| anomaly.severity < Severity::Error)
    }

    /// The distances that are above their thresholds.
    pub(super) fn too_far(&self) -> Vec<Comparison> {
        let is_far = |comparison: &&Comparison| {
            let threshold = comparison.threshold;
            threshold.is_some_and(|threshold| comparison.measured > threshold)
        };
        self.comparisons.iter().filter(is_far).cloned().collect()
    }
}
