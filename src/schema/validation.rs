//! Validation of a data set: by itself, in an environment, and compared with others.

use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::column_checks::new_column;
use super::comparison::Side;
use super::{
    Against, Anomaly, AnomalyKind, Comparison, Counts, Dataset, Field, Fix, Schema, Severity,
};
use crate::error::Result;
use crate::statistics::Statistics;

/// A validation of statistics: a schema, and the other data that is compared with.
///
/// ```
/// # use std::sync::Arc;
/// # use arrow::array::{ArrayRef, RecordBatch, StringArray};
/// # use fourfold::accumulate::Accumulate;
/// # use fourfold::schema::{Schema, Validation};
/// # use fourfold::statistics::{Statistics, StatisticsAccumulator};
/// # fn statistics(roads: &[&str]) -> Result<Statistics, fourfold::Error> {
/// #     let road: ArrayRef = Arc::new(StringArray::from(roads.to_vec()));
/// #     let batch = RecordBatch::try_from_iter([("road", road)])?;
/// #     let mut statistics = StatisticsAccumulator::new(&batch.schema());
/// #     statistics.update(&batch)?;
/// #     Ok(statistics.finish())
/// # }
/// let yesterday = statistics(&["air", "air", "air", "road"])?;
/// let today = statistics(&["air", "road"])?;
/// let mut schema = Schema::infer(&yesterday);
/// schema.fields[0].drift.infinity_norm = Some(0.1);
///
/// let report = Validation::new(&schema).previous(&yesterday).run(&today)?;
/// assert_eq!(
///     report.anomalies[0].to_string(),
///     "column `road`: the L-infinity distance to the previous span is 0.25, must be at most 0.1"
/// );
/// # Ok::<(), fourfold::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Validation<'a> {
    schema: &'a Schema,
    environment: Option<String>,
    previous: Option<&'a Statistics>,
    serving: Option<&'a Statistics>,
    previous_version: Option<&'a Statistics>,
    slices: bool,
}

/// The result of a validation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// The anomalies, in the order of the schema's fields.
    pub anomalies: Vec<Anomaly>,
    /// All distances that were measured, too far or not.
    pub comparisons: Vec<Comparison>,
}

impl Report {
    /// Returns true if there is no error; there may be warnings.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.anomalies
            .iter()
            .all(|anomaly| anomaly.severity < Severity::Error)
    }
}

/// A line for each anomaly with its proposed fix, then for each distance.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.anomalies.is_empty() {
            f.write_str("no anomalies")?;
        }
        for (at, anomaly) in self.anomalies.iter().enumerate() {
            if at > 0 {
                writeln!(f)?;
            }
            write!(f, "{} {}: {anomaly}", anomaly.severity, anomaly.kind)?;
            if let Some(fix) = &anomaly.fix {
                write!(f, " (fix: {fix})")?;
            }
        }
        for comparison in &self.comparisons {
            write!(f, "\n{comparison}")?;
        }
        Ok(())
    }
}

impl Schema {
    /// Returns the anomalies of statistics, in the order of the schema's fields, new columns last. Empty means valid. For
    /// environments, drift and skew, see [`Validation`].
    #[must_use]
    pub fn validate(&self, statistics: &Statistics) -> Vec<Anomaly> {
        let mut report = Report::default();
        self.hold(statistics, None, &mut report);
        self.weigh(&mut report);
        report.anomalies
    }

    /// The severity of a kind of anomaly in a field: as the field says for the kind, as it says for all, as the schema
    /// says for the kind, or the default of the kind.
    #[must_use]
    pub fn severity_of(&self, field: Option<&Field>, kind: AnomalyKind) -> Severity {
        self.chosen_severity(field, kind)
            .unwrap_or_else(|| kind.default_severity())
    }

    fn chosen_severity(&self, field: Option<&Field>, kind: AnomalyKind) -> Option<Severity> {
        field
            .and_then(|field| field.severities.get(&kind).copied().or(field.severity))
            .or_else(|| self.severities.get(&kind).copied())
    }

    fn weigh(&self, report: &mut Report) {
        let fields = self.by_name();
        for anomaly in &mut report.anomalies {
            let column = match anomaly.column.rsplit_once(")::") {
                Some((slice, column)) if slice.starts_with("slice(") => column,
                _ => &anomaly.column,
            };
            let field = fields.get(column).copied();
            if let Some(chosen) = self.chosen_severity(field, anomaly.kind) {
                anomaly.severity = chosen;
            }
        }
    }

    /// The first field of each name.
    fn by_name(&self) -> HashMap<&str, &Field> {
        let fields = self.fields.iter().rev();
        fields.map(|field| (field.name.as_str(), field)).collect()
    }

    /// Fields and columns, each against the other.
    fn hold(&self, statistics: &Statistics, environment: Option<&str>, report: &mut Report) {
        let found = &mut report.anomalies;
        let problems = self.problems();
        let unsound: HashSet<&str> = (problems.iter())
            .map(|problem| problem.column.as_str())
            .collect();
        let is_sound = |field: &Field| !unsound.contains(field.name.as_str());
        found.extend(problems.iter().cloned());
        if statistics.n_rows == 0 {
            found.push(Anomaly::new(
                "",
                AnomalyKind::DataMissing,
                "there are no rows",
            ));
            return;
        }
        self.dataset.hold(statistics, found);
        let expected =
            |field: &Field| environment.is_none_or(|name| self.is_in_environment(field, name));
        let columns = statistics.by_name();
        for field in &self.fields {
            if !field.lifecycle.is_validated() || !is_sound(field) || !expected(field) {
                continue;
            }
            match columns.get(field.name.as_str()) {
                Some(column) => found.extend(field.validate(statistics, column)),
                None => found.extend(field.missing_column()),
            }
        }
        let fields = self.by_name();
        for column in &statistics.columns {
            let field = fields.get(column.name.as_str()).copied();
            match (field, environment) {
                (None, _) if column.nested => {}
                (None, _) => found.push(new_column(column)),
                (Some(field), Some(environment))
                    if !expected(field) && field.lifecycle.is_validated() =>
                {
                    let message = format!("is not in environment `{environment}` and is not used");
                    found.push(
                        Anomaly::new(&column.name, AnomalyKind::SchemaNewColumn, message).fix(
                            Fix::AddToEnvironment {
                                column: column.name.clone(),
                                environment: environment.to_owned(),
                            },
                        ),
                    );
                }
                _ => {}
            }
        }
    }
}

impl<'a> Validation<'a> {
    /// A validation of statistics against a schema.
    #[must_use]
    pub fn new(schema: &'a Schema) -> Self {
        Validation {
            schema,
            environment: None,
            previous: None,
            serving: None,
            previous_version: None,
            slices: false,
        }
    }

    /// Validates in an environment: fields that are not in it must not be in the data. Without one, all fields are expected.
    #[must_use]
    pub fn environment(mut self, name: impl Into<String>) -> Self {
        self.environment = Some(name.into());
        self
    }

    /// Measures drift: the distance to the previous span's statistics.
    #[must_use]
    pub fn previous(mut self, statistics: &'a Statistics) -> Self {
        self.previous = Some(statistics);
        self
    }

    /// Measures skew: the distance to statistics of the data in serving.
    #[must_use]
    pub fn serving(mut self, statistics: &'a Statistics) -> Self {
        self.serving = Some(statistics);
        self
    }

    /// Measures the distance to the previous version of the same span.
    #[must_use]
    pub fn previous_version(mut self, statistics: &'a Statistics) -> Self {
        self.previous_version = Some(statistics);
        self
    }

    /// Compares each slice of the statistics with the same slice of the others, too; columns are then named
    /// `slice(key)::path`. A slice that was there before and is not now is a missing column; one that is new
    /// is none.
    #[must_use]
    pub fn each_slice(mut self) -> Self {
        self.slices = true;
        self
    }

    /// Validates statistics. Where others are given, each field's distances to them are measured: those that have a
    /// threshold in the schema, and if none has, the Jensen-Shannon divergence, so that drift shows before anyone
    /// has set a threshold.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if the environment is not known, with the near names. What
    /// does not fit is no error: it is in the report.
    pub fn run(&self, statistics: &Statistics) -> Result<Report> {
        let schema = self.schema;
        let environment = self.environment.as_deref();
        if let Some(name) = environment {
            schema.check_environment(name)?;
        }
        let mut report = Report::default();
        schema.hold(statistics, environment, &mut report);
        if statistics.n_rows > 0 {
            self.compare(statistics, &mut report);
        }
        schema.weigh(&mut report);
        Ok(report)
    }

    /// The distances to the others alone, without validating the statistics against the schema.
    #[cfg(feature = "http")]
    pub(crate) fn distances(&self, statistics: &Statistics) -> Report {
        let mut report = Report::default();
        if statistics.n_rows > 0 {
            self.compare(statistics, &mut report);
        }
        self.schema.weigh(&mut report);
        report
    }

    fn compare(&self, statistics: &Statistics, report: &mut Report) {
        let schema = self.schema;
        let controls = [
            (Against::Previous, self.previous),
            (Against::Serving, self.serving),
            (Against::PreviousVersion, self.previous_version),
        ];
        for (against, control) in controls {
            let Some(control) = control else {
                continue;
            };
            schema
                .dataset
                .compare(against, statistics, control, &mut report.anomalies);
            let now = Side::new(statistics, self.slices);
            let before = Side::new(control, self.slices);
            for field in &schema.fields {
                let both = match self.environment.as_deref() {
                    Some(name) => schema.is_in_environment(field, name),
                    None => true,
                };
                let here = against != Against::Serving || !field.is_training_only();
                if !both || !here || !field.lifecycle.is_validated() {
                    continue;
                }
                field.compare(&field.name, against, &now, &before, report);
                field.compare_slices(against, &now, &before, report);
            }
        }
    }
}

impl Dataset {
    fn hold(&self, statistics: &Statistics, found: &mut Vec<Anomaly>) {
        let rows = statistics.n_rows;
        let kind = if self.rows.min.is_some_and(|min| rows < min) {
            AnomalyKind::DatasetLowNumExamples
        } else if self.rows.max.is_some_and(|max| rows > max) {
            AnomalyKind::DatasetHighNumExamples
        } else {
            return;
        };
        let allowed = self.rows.bounds();
        let wide = allowed.widened(rows as f64);
        let count = |end: Option<f64>| end.map(|end| end as u64);
        found.push(
            Anomaly::new(
                "",
                kind,
                format!("there are {rows} rows, must be {allowed}"),
            )
            .measured(rows as f64, allowed)
            .fix(Fix::Rows {
                rows: Counts {
                    min: count(wide.min),
                    max: count(wide.max),
                },
            }),
        );
    }
}
