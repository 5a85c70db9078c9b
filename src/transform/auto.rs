//! The automatic choice of a transform by the statistics of a table.

use std::collections::HashSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::ops::OneHot;
use super::{DatePart, Fill, Transform};
use crate::features::Takes;
use crate::schema::FieldType;
use crate::statistics::{ColumnStatistics, NumericStatistics, Statistics};

/// The most distinct whole numbers that are categories and not numbers.
const SMALL: u64 = 12;

/// The least number of rows, on average, of each value of all whole numbers that are one-hot encoded.
const ROWS_A_VALUE: u64 = 30;

/// The largest number of categories of a column.
const MAX_CODES: usize = 4_096;

/// Chooses a [`Transform`] by the statistics of the training split, with a reason for each decision.
///
/// The rules, in order, for each column:
///
/// | column | decision |
/// | --- | --- |
/// | all NULL, constant, of another type | dropped |
/// | text or whole numbers, nearly all distinct, and named or spaced like a key | dropped |
/// | boolean | 0 or 1; all-zero where missing |
/// | whole numbers, 3 to 12 distinct, if there are enough rows | one-hot |
/// | whole numbers, up to `max_values` distinct, if there are enough rows | one-hot besides the number |
/// | numbers | median imputation and an indicator if any are missing, `ln(1 + max(x, 0))` if heavy-tailed, z-score, within a million |
/// | text, at most `max_one_hot` distinct | one-hot |
/// | other text | hashed to `hash_buckets` features; dropped if values hardly repeat |
/// | dates and timestamps | hour, weekday, day, month and year, as far as they vary |
///
/// There are enough rows for one-hot whole numbers as long as all their values, those of columns with fewer values first,
/// have 30 rows each on average: fewer are too few to learn a weight per value.
///
/// For a trainer that [takes](Takes) numbers with gaps (boosting, trees), booleans, numbers and parts of dates stay as
/// they are; for one that takes codes, text is categories, of the 4,096 most frequent values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AutoTransform {
    max_values: u64,
    max_one_hot: u64,
    hash_buckets: usize,
}

/// The largest distance of a chosen feature from the mean, in standard deviations.
const FURTHEST: f64 = 1e6;

impl Default for AutoTransform {
    fn default() -> Self {
        AutoTransform {
            max_values: 64,
            max_one_hot: 400,
            hash_buckets: 64,
        }
    }
}

/// The decision about a column, and its reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// The column.
    pub column: String,
    /// The operations chosen for it, such as `one-hot`.
    pub action: String,
    /// The reason, with figures.
    pub reason: String,
}

impl Decision {
    pub(super) const DROPPED: &str = "dropped";
    const HASHED: &str = "hashed to";

    /// Returns true if the column's values are hashed, so that some share a feature.
    #[must_use]
    pub fn is_hashed(&self) -> bool {
        self.action.starts_with(Self::HASHED)
    }

    /// Returns true if the column makes no feature.
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

    /// Sets the largest number of distinct values of a column of whole numbers that is one-hot encoded, such as an hour
    /// of the day; the default is 64.
    #[must_use]
    pub fn max_values(mut self, n: u64) -> Self {
        self.max_values = n;
        self
    }

    /// Sets the largest number of distinct values of a text column that is one-hot encoded; the default is 400.
    #[must_use]
    pub fn max_one_hot(mut self, n: u64) -> Self {
        self.max_one_hot = n;
        self
    }

    /// Sets the number of buckets that text with more values is hashed to; the default is 64.
    #[must_use]
    pub fn hash_buckets(mut self, n: usize) -> Self {
        self.hash_buckets = n.max(1);
        self
    }

    /// Returns the transform for what a trainer takes, and the decision about each column. `optional` tells whether a
    /// column may be missing although the training split has all its values.
    #[must_use]
    pub fn plan(
        &self,
        statistics: &Statistics,
        columns: &[&str],
        optional: impl Fn(&str) -> bool,
        takes: Takes,
    ) -> (Transform, Vec<Decision>) {
        let mut transform = Transform::new();
        let mut decisions = Vec::new();
        let columns: HashSet<&str> = columns.iter().copied().collect();
        let chosen = |column: &&ColumnStatistics| columns.contains(column.name.as_str());
        let by_value = self.by_value(statistics.columns.iter().filter(chosen));
        for column in statistics.columns.iter().filter(chosen) {
            let by_value = by_value.contains(column.name.as_str());
            let (next, action, reason) =
                self.plan_column(transform, column, optional(&column.name), by_value, takes);
            transform = next;
            decisions.push(Decision {
                column: column.name.clone(),
                action,
                reason,
            });
        }
        (transform, decisions)
    }

    /// The columns of whole numbers that are one-hot.
    fn by_value<'c>(
        &self,
        columns: impl Iterator<Item = &'c ColumnStatistics>,
    ) -> HashSet<&'c str> {
        let may = |column: &&ColumnStatistics| {
            column.field_type == FieldType::Integer
                && (3..=self.max_values).contains(&column.distinct)
        };
        let mut columns: Vec<&ColumnStatistics> = columns.filter(may).collect();
        columns.sort_by_key(|column| column.distinct);
        let mut values: u64 = 0;
        let has_room = |column: &&&ColumnStatistics| {
            values = values.saturating_add(column.distinct);
            values.saturating_mul(ROWS_A_VALUE) <= column.count
        };
        let with_room = columns.iter().take_while(has_room);
        with_room.map(|column| column.name.as_str()).collect()
    }

    fn plan_column(
        &self,
        transform: Transform,
        column: &ColumnStatistics,
        optional: bool,
        by_value: bool,
        takes: Takes,
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
        let few = distinct <= self.max_one_hot;
        let as_it_is = |transform: Transform, reason: &str| {
            let reason = format!("{reason}{}", and_missing(column));
            (transform.number(name), "as it is".to_owned(), reason)
        };
        match (column.field_type, &column.numeric) {
            (FieldType::Boolean, _) if takes.missing => as_it_is(transform, "boolean"),
            (FieldType::Integer | FieldType::Float, Some(numeric))
                if takes.missing && numeric.mean.is_some() =>
            {
                as_it_is(transform, "number")
            }
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
            (FieldType::Integer, _) if by_value && distinct <= SMALL => (
                transform.one_hot(name),
                "one-hot".to_owned(),
                format!("{distinct} distinct whole numbers"),
            ),
            (FieldType::Integer | FieldType::Float, Some(numeric)) => {
                self.plan_number(transform, column, numeric, missing, by_value)
            }
            (FieldType::Date | FieldType::Timestamp, Some(numeric)) => {
                plan_time(transform, column, numeric, missing, takes)
            }
            _ if few && takes.codes => (
                transform.one_hot_top(name, MAX_CODES),
                "categories".to_owned(),
                format!("{distinct} distinct values{}", and_missing(column)),
            ),
            _ if few => (
                transform.one_hot_top(name, MAX_CODES),
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
            _ if takes.codes => (
                transform.one_hot_top(name, MAX_CODES),
                format!("the {MAX_CODES} most frequent categories"),
                format!("{distinct} distinct values{}", and_missing(column)),
            ),
            _ => (
                transform.hash(name, self.hash_buckets),
                format!("{} {} buckets", Decision::HASHED, self.hash_buckets),
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
        by_value: bool,
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
        let distinct = column.distinct;
        if by_value {
            let one_hot = OneHot {
                max_categories: MAX_CODES,
            };
            transform = transform.step_to(name, format!("{name}_value"), one_hot);
            action.push("one-hot");
            reason = vec![format!("{distinct} distinct whole numbers")];
        }
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
            // Training has no negative number; what is served may have.
            transform = transform
                .clip_values(name, 0.0, f64::MAX)
                .log1p(name)
                .z_score(name);
            action.extend(["at least 0", "log", "z-score"]);
            reason.push("heavy-tailed".to_owned());
        } else {
            transform = transform.z_score(name);
            action.push("z-score");
        }
        // A feature is of single precision, and a column may hold any number.
        transform = transform.clip_values(name, -FURTHEST, FURTHEST);
        (transform, action.join(", "), reason.join(", "))
    }
}

fn plan_time(
    mut transform: Transform,
    column: &ColumnStatistics,
    numeric: &NumericStatistics,
    missing: bool,
    takes: Takes,
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
    if takes.missing {
        for part in &parts {
            transform = transform.date_part(name, *part);
        }
    } else if missing {
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
