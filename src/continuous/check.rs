//! The checks of a span before training.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::schema::{
    Anomaly, AnomalyKind, Comparator, Comparison, Field, FieldType, Fix, Schema, Severity,
    TRAINING, Validation,
};
use crate::statistics::Statistics;

/// The checks of a span before training: against the schema, and against the previous good span.
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
/// let mut shares = Comparator::of_categories();
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
            categories: Comparator::of_categories(),
            numbers: Comparator::of_numbers(),
            left_out: BTreeSet::new(),
            new_values: 0.1,
            missing: 0.05,
        }
    }
}

impl SpanCheck {
    /// The default thresholds of [categories](Comparator::of_categories) and [numbers](Comparator::of_numbers); up to a tenth of
    /// new values and a twentieth of missing ones.
    #[must_use]
    pub fn new() -> Self {
        SpanCheck::default()
    }

    /// Sets the thresholds of the distances between categories and those of the previous span.
    #[must_use]
    pub fn categories(mut self, thresholds: Comparator) -> Self {
        self.categories = thresholds;
        self
    }

    /// Sets the thresholds of the distances between numbers and those of the previous span.
    #[must_use]
    pub fn numbers(mut self, thresholds: Comparator) -> Self {
        self.numbers = thresholds;
        self
    }

    /// Excludes columns from the comparison with the previous span, such as the date.
    #[must_use]
    pub fn leave_out<C: Into<String>>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
        self.left_out.extend(columns.into_iter().map(Into::into));
        self
    }

    /// Sets the largest share of new values in a column, in `0..=1`; 0.1 by default. They are added to an inferred schema. A
    /// span with more is bad.
    #[must_use]
    pub fn new_values(mut self, share: f64) -> Self {
        self.new_values = share;
        self
    }

    /// Sets the largest share of missing values in a column that had none when the schema was inferred, in `0..=1`; 0.05 by
    /// default.
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

    /// Infers the schema from the first span.
    fn infer(&self, statistics: &Statistics) -> Schema {
        let mut schema = Schema::infer(statistics);
        for field in &mut schema.fields {
            field.min_fraction = (field.min_fraction - self.missing).max(0.0);
        }
        schema
    }

    /// The schema with thresholds for the columns that are compared with the previous span.
    fn with_thresholds(&self, schema: &Schema, is_compared: impl Fn(&str) -> bool) -> Schema {
        let mut schema = schema.clone();
        for field in &mut schema.fields {
            let is_open = field.drift == Comparator::default();
            if !is_open || !is_compared(&field.name) || self.left_out.contains(&field.name) {
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
        is_compared: impl Fn(&str) -> bool,
    ) -> Result<Checked> {
        let inferred = match (given, known) {
            (Some(_), _) => None,
            (None, Some(known)) => Some(known.clone()),
            (None, None) => Some(self.infer(statistics)),
        };
        let schema = given
            .or(inferred.as_ref())
            .ok_or_else(|| Error::internal("a span without a schema"))?;
        let with_drift = self.with_thresholds(schema, is_compared);
        let mut validation = Validation::new(&with_drift);
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

    /// The change to an inferred schema that accepts an anomaly, if it is acceptable.
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

/// The result of a check.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) anomalies: Vec<Anomaly>,
    pub(super) comparisons: Vec<Comparison>,
    /// The anomalies that the inferred schema has accepted.
    pub(super) accepted: Vec<String>,
    /// The inferred schema, if people own none.
    pub(super) schema: Option<Schema>,
}

impl Checked {
    /// Returns true if the span may be trained on.
    pub(super) fn is_good(&self) -> bool {
        let mut anomalies = self.anomalies.iter();
        anomalies.all(|anomaly| anomaly.severity < Severity::Error)
    }

    /// The comparisons whose distance is above the threshold.
    pub(super) fn too_far(&self) -> Vec<Comparison> {
        let is_far = |comparison: &&Comparison| {
            let threshold = comparison.threshold;
            threshold.is_some_and(|threshold| comparison.measured > threshold)
        };
        self.comparisons.iter().filter(is_far).cloned().collect()
    }
}
