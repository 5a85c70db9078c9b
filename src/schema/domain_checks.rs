//! Checks of a column's values by its domain.

use super::column_checks::{ColumnCheck, total_and_rest};
use super::value_rules::Times;
use super::{Anomaly, AnomalyKind, Bounds, Domain, FieldType, Fix, Severity};
use crate::statistics::{NumericStatistics, days_text, micros_text};

/// The longest domain that is proposed; past it, the proposal is to drop the domain.
const MAX_PROPOSED_VALUES: usize = 400;

impl ColumnCheck<'_> {
    pub(super) fn domain(&mut self) {
        let Some(domain) = &self.field.domain else {
            return;
        };
        match domain {
            Domain::Values(allowed) => self.values(allowed),
            Domain::Range { min, max } => {
                let allowed = Bounds {
                    min: *min,
                    max: *max,
                };
                let kinds = match self.field.field_type {
                    FieldType::Integer => {
                        (AnomalyKind::IntTypeSmallInt, AnomalyKind::IntTypeBigInt)
                    }
                    _ => (
                        AnomalyKind::FloatTypeSmallFloat,
                        AnomalyKind::FloatTypeBigFloat,
                    ),
                };
                self.ends(kinds, allowed, |bounds| {
                    Some(Domain::Range {
                        min: bounds.min,
                        max: bounds.max,
                    })
                });
            }
            Domain::Times { .. } => self.times(domain),
            Domain::Boolean { .. } if self.field.field_type == FieldType::Text => {
                self.texts(domain);
            }
            Domain::Boolean { .. } if self.field.field_type == FieldType::Integer => {
                let kinds = (AnomalyKind::BoolTypeSmallInt, AnomalyKind::BoolTypeBigInt);
                self.ends(kinds, Bounds::within(0.0, 1.0), |_| None);
            }
            Domain::Boolean { .. } => self.bool_floats(),
            Domain::IntegerText { .. } | Domain::FloatText { .. } => self.texts(domain),
        }
    }

    /// The smallest and the largest number against a range.
    fn ends(
        &mut self,
        (small, big): (AnomalyKind, AnomalyKind),
        allowed: Bounds,
        widened: impl Fn(Bounds) -> Option<Domain>,
    ) {
        let Some(numeric) = &self.column.numeric else {
            return self.not_available("numbers");
        };
        let (low, high) = ends_of(numeric);
        let (Some(low), Some(high)) = (low, high) else {
            return;
        };
        let wide = allowed.widened(low).widened(high);
        let finite = |end: Option<f64>| end.filter(|end| end.is_finite());
        let fix = || Fix::SetDomain {
            column: self.field.name.clone(),
            domain: widened(Bounds {
                min: finite(wide.min),
                max: finite(wide.max),
            }),
        };
        let (fix_low, fix_high) = (fix(), fix());
        let rule = |kind| self.field.rule(kind);
        if allowed.min.is_some_and(|min| low < min) {
            let message = format!("has values down to {low}, {}", rule(small));
            self.measure(small, message, low, allowed, fix_low);
        }
        if allowed.max.is_some_and(|max| high > max) {
            let message = format!("has values up to {high}, {}", self.field.rule(big));
            self.measure(big, message, high, allowed, fix_high);
        }
    }

    fn times(&mut self, domain: &Domain) {
        let Some(numeric) = &self.column.numeric else {
            return self.not_available("times");
        };
        let Domain::Times { from, to } = domain else {
            return;
        };
        let (Some(low), Some(high)) = (numeric.min, numeric.max) else {
            return;
        };
        let field_type = self.field.field_type;
        let text = |time: f64| match field_type {
            FieldType::Date => days_text(time as i64),
            _ => micros_text(time as i64),
        };
        let times = Times::of(field_type, domain);
        let (early, late) = (low < times.from as f64, high > times.to as f64);
        let fix = || Fix::SetDomain {
            column: self.field.name.clone(),
            domain: Some(Domain::Times {
                from: from
                    .as_ref()
                    .map(|from| if early { text(low) } else { from.clone() }),
                to: to
                    .as_ref()
                    .map(|to| if late { text(high) } else { to.clone() }),
            }),
        };
        let (fix_low, fix_high) = (fix(), fix());
        let kind = AnomalyKind::OutOfRange;
        let rule = self.field.rule(kind);
        // Open ends are not measures.
        let allowed = Bounds {
            min: from.as_ref().map(|_| times.from as f64),
            max: to.as_ref().map(|_| times.to as f64),
        };
        if early {
            let message = format!("has values from {} on, {rule}", text(low));
            self.measure(kind, message, low, allowed, fix_low);
        }
        if late {
            let message = format!("has values up to {}, {rule}", text(high));
            self.measure(kind, message, high, allowed, fix_high);
        }
    }

    fn bool_floats(&mut self) {
        let Some(numeric) = &self.column.numeric else {
            return self.not_available("numbers");
        };
        let (low, high) = ends_of(numeric);
        let outside = [low, high]
            .into_iter()
            .flatten()
            .find(|end| *end != 0.0 && *end != 1.0);
        let between = self
            .column
            .top_values
            .iter()
            .filter_map(|(value, _)| value.parse::<f64>().ok())
            .chain(numeric.quantiles.iter().map(|(_, value)| *value))
            .find(|value| !value.is_nan() && *value != 0.0 && *value != 1.0);
        if let Some(found) = outside.or(between) {
            let fix = Fix::SetDomain {
                column: self.name(),
                domain: None,
            };
            let kind = AnomalyKind::BoolTypeUnexpectedFloat;
            let message = format!("has the value {found}, must be 0 or 1");
            self.measure(kind, message, found, Bounds::within(0.0, 1.0), fix);
        }
    }

    /// Strings that are read as something else: each kind of problem is an anomaly.
    fn texts(&mut self, domain: &Domain) {
        let mut problems: Vec<(AnomalyKind, Vec<(String, u64)>)> = Vec::new();
        for (value, n) in &self.column.top_values {
            if let Some(kind) = domain.text_problem(value) {
                match problems.iter_mut().find(|(known, _)| *known == kind) {
                    Some((_, values)) => values.push((value.clone(), *n)),
                    None => problems.push((kind, vec![(value.clone(), *n)])),
                }
            }
        }
        if problems.is_empty() && !self.column.top_values_exact {
            let n = self.column.top_values.len();
            let message = format!(
                "is compared with the {n} values that the statistics list; there are others"
            );
            let kind = AnomalyKind::StatsNotAvailable;
            self.anomalies.push(Anomaly {
                severity: Severity::Warning,
                ..Anomaly::new(&self.field.name, kind, message)
            });
            return;
        }
        for (kind, values) in problems {
            let message = format!(
                "has the values {}, {}",
                listed(&values),
                self.field.rule(kind)
            );
            let anomaly = Anomaly::new(&self.field.name, kind, message);
            self.anomalies
                .push(anomaly.values(values).fix(Fix::SetDomain {
                    column: self.field.name.clone(),
                    domain: None,
                }));
        }
    }

    fn values(&mut self, allowed: &[String]) {
        let column = self.column;
        if let Some(text) = &column.text
            && text.invalid_utf8 > 0
        {
            let n = text.invalid_utf8;
            self.measure(
                AnomalyKind::EnumTypeInvalidUtf8,
                format!("has {n} values that are not UTF-8, must be text"),
                n as f64,
                Bounds::at_most(0.0),
                Fix::SetDomain {
                    column: self.field.name.clone(),
                    domain: None,
                },
            );
        }
        if column.top_values.is_empty() {
            return self.no_values_listed(allowed);
        }
        let is_allowed = |value: &String| allowed.contains(value);
        let unexpected: Vec<(String, u64)> = column
            .top_values
            .iter()
            .filter(|(value, _)| !is_allowed(value))
            .cloned()
            .collect();
        let (total, rest) = total_and_rest(column);
        // `could_hide` limits the count of allowed values that are not listed; other unlisted values are outside too.
        let listed_allowed = column.top_values.len() - unexpected.len();
        let least = column.top_values.last().map_or(0, |(_, n)| *n);
        let could_hide =
            (allowed.len().saturating_sub(listed_allowed) as u64).saturating_mul(least);
        let hidden = rest.saturating_sub(could_hide);
        let outside = unexpected.iter().map(|(_, n)| n).sum::<u64>() + hidden;
        let mass = self.field.distribution.min_domain_mass.unwrap_or(1.0);
        let inside = (total.saturating_sub(outside)) as f64 / total.max(1) as f64;
        if outside == 0 || inside >= mass {
            return;
        }
        let drop = hidden > 0 || allowed.len() + unexpected.len() > MAX_PROPOSED_VALUES;
        let fix = if drop {
            Fix::SetDomain {
                column: self.name(),
                domain: None,
            }
        } else {
            Fix::AddValues {
                column: self.name(),
                values: unexpected.iter().map(|(value, _)| value.clone()).collect(),
            }
        };
        let found = if unexpected.is_empty() {
            format!("at least {hidden} rows")
        } else {
            listed(&unexpected)
        };
        let held = if mass < 1.0 {
            format!("; a share of {inside:.4} is inside, must be at least {mass}")
        } else {
            String::new()
        };
        let message = format!(
            "has values outside of the {} allowed: {found}{held}",
            allowed.len()
        );
        let kind = AnomalyKind::EnumTypeUnexpectedStringValues;
        self.anomalies.push(
            Anomaly::new(&self.field.name, kind, message)
                .measured(inside, Bounds::at_least(mass))
                .values(unexpected)
                .fix(fix),
        );
    }

    /// Checks a column whose values are not listed: there can only be more of them than are allowed.
    fn no_values_listed(&mut self, allowed: &[String]) {
        let distinct = self.column.distinct;
        if distinct <= allowed.len() as u64 {
            return self.not_available("values");
        }
        let message = format!(
            "has {distinct} distinct values, but only {} are allowed",
            allowed.len()
        );
        let fix = Fix::SetDomain {
            column: self.name(),
            domain: None,
        };
        let kind = AnomalyKind::EnumTypeUnexpectedStringValues;
        let most = Bounds::at_most(allowed.len() as f64);
        self.measure(kind, message, distinct as f64, most, fix);
    }
}

/// The smallest and the largest number, infinite ones too.
fn ends_of(numeric: &NumericStatistics) -> (Option<f64>, Option<f64>) {
    let (negative, positive) = (numeric.negative_infinity, numeric.positive_infinity);
    let infinite = |n: u64, value: f64| (n > 0).then_some(value);
    let low = infinite(negative, f64::NEG_INFINITY)
        .or(numeric.min)
        .or(infinite(positive, f64::INFINITY));
    let high = infinite(positive, f64::INFINITY)
        .or(numeric.max)
        .or(infinite(negative, f64::NEG_INFINITY));
    (low, high)
}

/// `a` (3 rows), `b` (2 rows) and 4 more.
fn listed(values: &[(String, u64)]) -> String {
    let shown: Vec<String> = values
        .iter()
        .take(5)
        .map(|(value, n)| format!("`{value}` ({n} rows)"))
        .collect();
    let more = match values.len().saturating_sub(5) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", shown.join(", "))
}
