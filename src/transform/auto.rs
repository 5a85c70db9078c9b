//! A sensible transform for a table that nobody has looked at yet.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{DatePart, Fill, Transform};
use crate::schema::FieldType;
use crate::statistics::{ColumnStatistics, NumericStatistics, Statistics};

/// Chooses a [`Transform`] from the statistics of the training split, and says why.
///
/// The rules, in order, for each column:
///
/// | column | decision |
/// | --- | --- |
/// | all NULL, constant, of another type | dropped |
/// | text or whole numbers, nearly all distinct, and named or spaced like a key | dropped |
/// | boolean | 0 or 1; all-zero and an indicator where missing |
/// | whole numbers, 3 to `max_small` distinct | one-hot |
/// | other numbers | median imputation and an indicator if any are missing, `ln(1 + x)` if heavy-tailed, z-score |
/// | text, at most `max_one_hot` distinct | one-hot |
/// | other text | hashed to `hash_buckets` features; dropped if values hardly repeat |
/// | dates and timestamps | hour, weekday, day, month and year, as far as they vary |
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AutoTransform {
    max_small: u64,
    max_one_hot: u64,
    hash_buckets: usize,
}

impl Default for AutoTransform {
    fn default() -> Self {
        AutoTransform {
            max_small: 12,
            max_one_hot: 64,
            hash_buckets: 64,
        }
    }
}

/// What was decided about a column, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// The column.
    pub column: String,
    /// What becomes of it, such as `one-hot`.
    pub action: String,
    /// Why, with the figures.
    pub reason: String,
}

impl Decision {
    const DROPPED: &str = "dropped";

    /// Whether the column makes no feature.
    #[must_use]
    pub fn is_dropped(&self) -> bool {
        self.action == Self::DROPPED
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.column, self.action, self.reason)
    }
}

impl AutoTransform {
    /// The default limits.
    #[must_use]
    pub fn new() -> Self {
        AutoTransform::default()
    }

    /// The most distinct values of a text column that is one-hot encoded; 64 unless told.
    #[must_use]
    pub fn max_one_hot(mut self, n: u64) -> Self {
        self.max_one_hot = n;
        self
    }

    /// The number of buckets that text with more values is hashed to; 64 unless told.
    #[must_use]
    pub fn hash_buckets(mut self, n: usize) -> Self {
        self.hash_buckets = n.max(1);
        self
    }

    /// The transform and the reason for each column's part in it. `optional` says whether a column may be
    /// missing although the training split has no gap in it.
    #[must_use]
    pub fn plan(
        &self,
        statistics: &Statistics,
        columns: &[&str],
        optional: impl Fn(&str) -> bool,
    ) -> (Transform, Vec<Decision>) {
        let mut transform = Transform::new();
        let mut decisions = Vec::new();
        for column in &statistics.columns {
            if !columns.contains(&column.name.as_str()) {
                continue;
            }
            let (next, action, reason) =
                self.plan_column(transform, column, optional(&column.name));
            transform = next;
            decisions.push(Decision {
                column: column.name.clone(),
                action,
                reason,
            });
        }
        (transform, decisions)
    }

    fn plan_column(
        &self,
        transform: Transform,
        column: &ColumnStatistics,
        optional: bool,
    ) -> (Transform, String, String) {
        let name = column.name.as_str();
        let distinct = column.distinct;
        let drop = |transform, reason: String| (transform, Decision::DROPPED.to_owned(), reason);
        if column.count == 0 {
            return drop(transform, "all values are NULL".to_owned());
        }
        if column.row_type() == FieldType::Other {
            return drop(transform, "this type makes no features yet".to_owned());
        }
        if distinct <= 1 && column.missing == 0 {
            return drop(transform, "constant".to_owned());
        }
        if let Some(reason) = looks_like_a_key(column) {
            return drop(transform, reason);
        }
        let missing = column.missing > 0 || optional;
        match (column.field_type, &column.numeric) {
            (FieldType::Boolean, _) if missing => (
                transform.one_hot(name),
                "one-hot".to_owned(),
                format!("boolean, {}", missing_text(column)),
            ),
            (FieldType::Boolean, _) => (
                transform.number(name),
                "0 or 1".to_owned(),
                "boolean".to_owned(),
            ),
            (FieldType::Integer, _) if (3..=self.max_small).contains(&distinct) => (
                transform.one_hot(name),
                "one-hot".to_owned(),
                format!("{distinct} distinct whole numbers"),
            ),
            (FieldType::Integer | FieldType::Float, Some(numeric)) => {
                self.plan_number(transform, column, numeric, missing)
            }
            (FieldType::Date | FieldType::Timestamp, Some(numeric)) => {
                plan_time(transform, column, numeric, missing)
            }
            _ if distinct <= self.max_one_hot => (
                transform.one_hot(name),
                "one-hot".to_owned(),
                format!("{distinct} distinct values{}", and_missing(column)),
            ),
            _ if distinct.saturating_mul(2) > column.count => drop(
                transform,
                format!(
                    "free text: {distinct} distinct values in {} rows",
                    column.count
                ),
            ),
            _ => (
                transform.hash(name, self.hash_buckets),
                format!("hashed to {} buckets", self.hash_buckets),
                format!("{distinct} distinct values{}", and_missing(column)),
            ),
        }
    }

    fn plan_number(
        &self,
        mut transform: Transform,
        column: &ColumnStatistics,
        numeric: &NumericStatistics,
        missing: bool,
    ) -> (Transform, String, String) {
        let name = column.name.as_str();
        if numeric.mean.is_none() {
            return (
                transform,
                Decision::DROPPED.to_owned(),
                "no finite number".to_owned(),
            );
        }
        let mut action = Vec::new();
        let mut reason = vec!["number".to_owned()];
        let gaps = column.missing + numeric.non_finite();
        if missing || gaps > 0 {
            if gaps > 0 {
                transform = transform.missing_indicator(name);
                action.push("missing indicator");
            }
            transform = transform.impute(name, Fill::Median);
            action.push("median imputed");
            reason.push(missing_text(column));
        }
        if heavy_tailed(numeric) {
            transform = transform.log1p(name).z_score(name);
            action.extend(["log", "z-score"]);
            reason.push("heavy-tailed".to_owned());
        } else {
            transform = transform.z_score(name);
            action.push("z-score");
        }
        (transform, action.join(", "), reason.join(", "))
    }
}

fn plan_time(
    mut transform: Transform,
    column: &ColumnStatistics,
    numeric: &NumericStatistics,
    missing: bool,
) -> (Transform, String, String) {
    let name = column.name.as_str();
    let units_a_day = match column.field_type {
        FieldType::Date => 1.0,
        _ => 86_400e6,
    };
    let Some((min, max)) = numeric.min.zip(numeric.max) else {
        return (
            transform,
            Decision::DROPPED.to_owned(),
            "no time".to_owned(),
        );
    };
    let days = (max - min) / units_a_day;
    let mut parts = Vec::new();
    if column.field_type == FieldType::Timestamp {
        parts.push(DatePart::Hour);
    }
    if days >= 2.0 {
        parts.push(DatePart::Weekday);
    }
    if days >= 28.0 {
        parts.push(DatePart::Day);
    }
    if days >= 60.0 {
        parts.push(DatePart::Month);
    }
    if days >= 400.0 {
        parts.push(DatePart::Year);
    }
    if parts.is_empty() {
        return (
            transform,
            Decision::DROPPED.to_owned(),
            format!("spans {days:.1} days only"),
        );
    }
    if missing {
        transform = transform.missing_indicator(name);
        for part in &parts {
            let output = format!("{name}_{part}");
            transform = transform
                .date_part(name, *part)
                .impute(output.as_str(), Fill::Median);
            transform = match part.period() {
                Some(period) => transform.cyclic(output, period),
                None => transform.z_score(output),
            };
        }
    } else {
        transform = transform.date_parts(name, parts.iter().copied());
    }
    let names: Vec<String> = parts.iter().map(ToString::to_string).collect();
    let mut reason = format!("{}, spans {days:.0} days", column.field_type);
    if missing {
        reason.push_str(", ");
        reason.push_str(&missing_text(column));
    }
    (transform, names.join(", "), reason)
}

/// Long right tail of values that are not negative: the 99th percentile is far from the median.
fn heavy_tailed(numeric: &NumericStatistics) -> bool {
    let at = |wanted: f64| {
        numeric
            .quantiles
            .iter()
            .find(|(rank, _)| *rank == wanted)
            .map(|(_, value)| *value)
    };
    match (numeric.min, at(0.5), at(0.99)) {
        (Some(min), Some(median), Some(high)) => min >= 0.0 && high > 20.0 * median.max(1.0),
        _ => false,
    }
}

/// Values that hardly ever repeat, in a column that is named, spaced or written like a key.
fn looks_like_a_key(column: &ColumnStatistics) -> Option<String> {
    if column.count < 20 || (column.distinct as f64) < 0.95 * column.count as f64 {
        return None;
    }
    let unique = format!(
        "unique id: {} distinct values in {} rows",
        column.distinct, column.count
    );
    match column.field_type {
        FieldType::Text => Some(unique),
        FieldType::Integer => {
            let name = column.name.to_lowercase();
            let named = name == "id"
                || name == "index"
                || name == "key"
                || name.is_empty()
                || name.starts_with("unnamed")
                || name.ends_with("_id")
                || name.ends_with(" id")
                || column.name.ends_with("Id")
                || column.name.ends_with("ID")
                || name.contains("uuid");
            let numeric = column.numeric.as_ref()?;
            let consecutive = numeric
                .min
                .zip(numeric.max)
                .is_some_and(|(min, max)| max - min < 1.6 * column.count as f64);
            (named || consecutive).then_some(unique)
        }
        _ => None,
    }
}

fn missing_text(column: &ColumnStatistics) -> String {
    let non_finite = column
        .numeric
        .as_ref()
        .map_or(0, NumericStatistics::non_finite);
    match (column.missing, non_finite) {
        (0, 0) => "may be missing".to_owned(),
        (missing, 0) => format!("{missing} missing"),
        (0, non_finite) => format!("{non_finite} NaN or infinite"),
        (missing, non_finite) => format!("{missing} missing, {non_finite} NaN or infinite"),
    }
}

fn and_missing(column: &ColumnStatistics) -> String {
    match column.missing {
        0 => String::new(),
        missing => format!(", {missing} missing"),
    }
}
