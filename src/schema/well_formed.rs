//! Checks of the schema itself: names, ranges, domains that fit their types.

use std::collections::HashSet;

use super::value_rules::Times;
use super::{
    Anomaly, AnomalyKind, Bounds, Comparator, Counts, Domain, Field, FieldType, Schema, TRAINING,
};
use crate::error::{Error, Result};

impl Schema {
    /// Checks the schema itself: names, ranges, domains that fit their types.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) with the first problem: its
    /// [kind](AnomalyKind::InvalidSchemaSpecification), the field, the value and what is allowed.
    pub fn check(&self) -> Result<()> {
        match self.problems().into_iter().next() {
            None => Ok(()),
            Some(problem) => Err(Error::config(match problem.column.as_str() {
                "" => format!("{}: {}", problem.kind, problem.message),
                name => format!("{}: field `{name}` {}", problem.kind, problem.message),
            })),
        }
    }

    /// The problems of the schema itself.
    pub(super) fn problems(&self) -> Vec<Anomaly> {
        let mut problems = Problems {
            column: "",
            found: Vec::new(),
        };
        let dataset = &self.dataset;
        problems.counts("the number of rows", dataset.rows);
        problems.bounds(
            "the ratio to the rows before",
            dataset.drift_ratio,
            0.0,
            f64::MAX,
        );
        problems.bounds(
            "the ratio to the rows of the version before",
            dataset.version_ratio,
            0.0,
            f64::MAX,
        );
        let mut seen = HashSet::new();
        for field in &self.fields {
            if field.name.is_empty() {
                problems.add(
                    AnomalyKind::FeatureMissingName,
                    format!("a field of type {} has no name", field.type_text()),
                );
                continue;
            }
            problems.column = &field.name;
            if !seen.insert(field.name.as_str()) {
                problems.schema("is a duplicate; names must be unique".to_owned());
            }
            problems.field(field);
            problems.column = "";
        }
        problems.found
    }
}

struct Problems<'a> {
    column: &'a str,
    found: Vec<Anomaly>,
}

impl Problems<'_> {
    fn add(&mut self, kind: AnomalyKind, message: String) {
        self.found.push(Anomaly::new(self.column, kind, message));
    }

    fn schema(&mut self, message: String) {
        self.add(AnomalyKind::InvalidSchemaSpecification, message);
    }

    fn share(&mut self, what: &str, share: f64) {
        if !(0.0..=1.0).contains(&share) {
            self.schema(format!("has {what} {share}, must be from 0 to 1"));
        }
    }

    fn bounds(&mut self, what: &str, bounds: Bounds, least: f64, most: f64) {
        for (end, value) in [("min", bounds.min), ("max", bounds.max)] {
            if let Some(value) = value
                && !(value.is_finite() && (least..=most).contains(&value))
            {
                let allowed = match (least == f64::MIN, most == f64::MAX) {
                    (true, true) => "a finite number".to_owned(),
                    (_, true) => format!("a finite number from {least}"),
                    _ => format!("from {least} to {most}"),
                };
                self.schema(format!("has {end} {value} for {what}, must be {allowed}"));
            }
        }
        if let (Some(min), Some(max)) = (bounds.min, bounds.max)
            && min > max
        {
            self.schema(format!(
                "has min {min} and max {max} for {what}, min must be at most max"
            ));
        }
    }

    fn counts(&mut self, what: &str, counts: Counts) {
        if let (Some(min), Some(max)) = (counts.min, counts.max)
            && min > max
        {
            self.schema(format!(
                "has min {min} and max {max} for {what}, min must be at most max"
            ));
        }
    }

    fn field(&mut self, field: &Field) {
        self.share("min_fraction", field.min_fraction);
        self.counts("the number of items", field.list.unwrap_or_default());
        self.counts("the number of distinct values", field.unique);
        let numeric = matches!(field.field_type, FieldType::Integer | FieldType::Float)
            || field.field_type == FieldType::Boolean;
        let timed = matches!(field.field_type, FieldType::Date | FieldType::Timestamp);
        let distribution = &field.distribution;
        if let Some(mass) = distribution.min_domain_mass {
            self.share("min_domain_mass", mass);
            if !matches!(field.domain, Some(Domain::Values(_))) {
                self.schema("has min_domain_mass and no domain of values".to_owned());
            }
        }
        self.bounds("the mean", distribution.mean, f64::MIN, f64::MAX);
        self.bounds("the standard deviation", distribution.std, 0.0, f64::MAX);
        self.bounds(
            "the share of missing values",
            distribution.missing,
            0.0,
            1.0,
        );
        self.bounds("the share of zeros", distribution.zeros, 0.0, 1.0);
        for (value, bounds) in &distribution.shares {
            self.bounds(&format!("the share of `{value}`"), *bounds, 0.0, 1.0);
        }
        for quantile in &distribution.quantiles {
            self.share("a quantile of rank", quantile.rank);
            let what = format!("the quantile of rank {}", quantile.rank);
            self.bounds(&what, quantile.bounds(), f64::MIN, f64::MAX);
        }
        let of_numbers = [
            ("a mean", distribution.mean.is_open()),
            ("a standard deviation", distribution.std.is_open()),
            ("quantiles", distribution.quantiles.is_empty()),
            ("a share of zeros", distribution.zeros.is_open()),
        ];
        for (what, open) in of_numbers {
            if !open && !numeric {
                self.schema(format!(
                    "is of type {} and has bounds of {what}, which only numbers have",
                    field.field_type
                ));
            }
        }
        if (field.disallow_nan || field.disallow_inf) && field.field_type != FieldType::Float {
            self.schema(format!(
                "is of type {}, only floats can disallow NaN and infinities",
                field.field_type
            ));
        }
        for (name, comparator) in [
            ("drift", &field.drift),
            ("skew", &field.skew),
            ("version_change", &field.version_change),
        ] {
            self.comparator(name, comparator, field, numeric || timed);
        }
        for name in field.in_environment.iter().chain(&field.not_in_environment) {
            if name.is_empty() {
                self.schema(format!(
                    "has an environment without a name, such as `{TRAINING}`"
                ));
            }
        }
        if let Some(name) = field
            .in_environment
            .iter()
            .find(|name| field.not_in_environment.contains(name))
        {
            self.schema(format!(
                "is listed as both in and not in environment `{name}`"
            ));
        }
        if let Some(problem) = field
            .domain
            .as_ref()
            .and_then(|domain| domain_problem(field, domain))
        {
            self.add(problem.0, problem.1);
        }
    }

    fn comparator(&mut self, name: &str, comparator: &Comparator, field: &Field, ordered: bool) {
        let (categorical, field_type) = (field.is_categorical(), field.field_type);
        let thresholds = [
            ("infinity_norm", comparator.infinity_norm, Some(true)),
            (
                "jensen_shannon_divergence",
                comparator.jensen_shannon_divergence,
                None,
            ),
            (
                "normalized_abs_difference",
                comparator.normalized_abs_difference,
                Some(true),
            ),
            (
                "population_stability_index",
                comparator.population_stability_index,
                None,
            ),
            (
                "kolmogorov_smirnov",
                comparator.kolmogorov_smirnov,
                Some(false),
            ),
        ];
        for (measure, threshold, of_categories) in thresholds {
            let Some(threshold) = threshold else {
                continue;
            };
            let most = match measure {
                "population_stability_index" => f64::MAX,
                _ => 1.0,
            };
            self.bounds(
                &format!("{name}.{measure}"),
                Bounds::at_most(threshold),
                0.0,
                most,
            );
            match of_categories {
                Some(true) if !categorical => self.schema(format!(
                    "is of type {field_type}, {name}.{measure} is of categories; use jensen_shannon_divergence or \
                     kolmogorov_smirnov"
                )),
                Some(false) if categorical || !ordered => self.schema(format!(
                    "is of type {field_type}, {name}.{measure} is of numbers; use jensen_shannon_divergence or \
                     infinity_norm"
                )),
                _ if !categorical && !ordered => self.schema(format!(
                    "is of type {field_type}, which has no distances"
                )),
                _ => {}
            }
        }
    }
}

/// The problem of a domain, if it has one.
fn domain_problem(field: &Field, domain: &Domain) -> Option<(AnomalyKind, String)> {
    let (name, fits): (&str, &[FieldType]) = match domain {
        Domain::Values(_) => (
            "values",
            &[FieldType::Text, FieldType::Integer, FieldType::Boolean],
        ),
        Domain::Range { .. } => ("range", &[FieldType::Integer, FieldType::Float]),
        Domain::Times { .. } => ("times", &[FieldType::Date, FieldType::Timestamp]),
        Domain::Boolean { .. } => (
            "boolean",
            &[FieldType::Integer, FieldType::Float, FieldType::Text],
        ),
        Domain::IntegerText { .. } => ("integer_text", &[FieldType::Text]),
        Domain::FloatText { .. } => ("float_text", &[FieldType::Text]),
    };
    if !fits.contains(&field.field_type) {
        let fits: Vec<String> = fits.iter().map(ToString::to_string).collect();
        return Some((
            AnomalyKind::DomainInvalidForType,
            format!(
                "is of type {}, a domain of `{name}` is of {}",
                field.field_type,
                fits.join(", ")
            ),
        ));
    }
    let invalid = |message: String| Some((AnomalyKind::InvalidDomainSpecification, message));
    match domain {
        Domain::Values(values) => {
            let mut seen = HashSet::new();
            match values.iter().find(|value| !seen.insert(value.as_str())) {
                Some(twice) => invalid(format!("has `{twice}` more than once in its domain")),
                None => None,
            }
        }
        Domain::Range { min, max }
        | Domain::IntegerText { min, max }
        | Domain::FloatText { min, max } => {
            if let Some(end) = [min, max]
                .into_iter()
                .flatten()
                .find(|end| !end.is_finite())
            {
                return invalid(format!(
                    "has {end} as an end of its domain, must be a finite number; leave an open end out"
                ));
            }
            match (min, max) {
                (Some(min), Some(max)) if min > max => invalid(format!(
                    "has a domain from {min} to {max}, min must be at most max"
                )),
                _ => None,
            }
        }
        Domain::Times { from, to } => {
            match Times::parse(field.field_type, from.as_deref(), to.as_deref()) {
                Ok(times) if times.is_empty() => invalid(format!(
                    "has a domain from `{}` to `{}`, from must be at most to",
                    from.as_deref().unwrap_or_default(),
                    to.as_deref().unwrap_or_default()
                )),
                Ok(_) => None,
                Err(text) => invalid(format!(
                    "has `{text}` as an end of its domain, must be a {} written as ISO 8601, such as {}",
                    field.field_type,
                    super::conform::example_of(field.field_type)
                )),
            }
        }
        Domain::Boolean {
            true_value,
            false_value,
        } => {
            let given = true_value.is_some() || false_value.is_some();
            if given && field.field_type != FieldType::Text {
                return invalid(format!(
                    "is of type {}, only text has words for true and false",
                    field.field_type
                ));
            }
            let (yes, no) = domain.words();
            (yes == no)
                .then(|| invalid(format!("has `{yes}` for true and for false")))
                .flatten()
        }
    }
}
