//! Changes to a schema that make it fit the data.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    Against, Anomaly, Bounds, Comparator, Counts, Domain, Field, Lifecycle, Schema, Validation,
};
use crate::error::{Error, Result, near_names};
use crate::statistics::Statistics;
use crate::statistics::distance::Distance;

/// A change to a schema: what an [`Anomaly`] proposes, data that a program can apply and a person can read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fix {
    /// Adds a field.
    AddField {
        /// The field.
        field: Box<Field>,
    },
    /// Marks a field as deprecated: it is no longer checked.
    Deprecate {
        /// The field.
        column: String,
    },
    /// Has a field in an environment.
    AddToEnvironment {
        /// The field.
        column: String,
        /// The environment.
        environment: String,
    },
    /// Sets how many rows must have a value.
    Presence {
        /// The field.
        column: String,
        /// The least share of the rows.
        min_fraction: f64,
        /// The least number of rows.
        min_count: u64,
    },
    /// Sets how many items a list may have.
    Items {
        /// The field.
        column: String,
        /// The numbers.
        items: Counts,
    },
    /// Sets how many distinct values there may be.
    Unique {
        /// The field.
        column: String,
        /// The numbers.
        unique: Counts,
    },
    /// Adds values to the domain.
    AddValues {
        /// The field.
        column: String,
        /// The values.
        values: Vec<String>,
    },
    /// Sets the domain; without one, all values are allowed.
    SetDomain {
        /// The field.
        column: String,
        /// The domain.
        domain: Option<Domain>,
    },
    /// Allows NaN.
    AllowNan {
        /// The field.
        column: String,
    },
    /// Allows infinite numbers.
    AllowInf {
        /// The field.
        column: String,
    },
    /// Sets bounds of the distribution.
    Bound {
        /// The field.
        column: String,
        /// The moment that is bounded.
        of: Moment,
        /// The bounds.
        bounds: Bounds,
    },
    /// Sets the threshold of a distance.
    Threshold {
        /// The field.
        column: String,
        /// The data that is compared with.
        against: Against,
        /// The distance.
        distance: Distance,
        /// The threshold; without one, the distance is not held.
        threshold: Option<f64>,
    },
    /// Sets how many rows there may be.
    Rows {
        /// The numbers.
        rows: Counts,
    },
    /// Sets how many times the rows of another data set there may be.
    RowRatio {
        /// The data that is compared with.
        against: Against,
        /// The ratio.
        ratio: Bounds,
    },
}

/// A moment of a distribution that a schema can bound.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Moment {
    /// The mean.
    Mean,
    /// The standard deviation.
    Std,
    /// The quantile of a rank.
    Quantile(f64),
    /// The share of rows without a value.
    Missing,
    /// The share of zeros.
    Zeros,
    /// The share of a value.
    Share(String),
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Moment::Mean => f.write_str("mean"),
            Moment::Std => f.write_str("standard deviation"),
            Moment::Quantile(rank) => write!(f, "quantile of rank {rank}"),
            Moment::Missing => f.write_str("share of rows without a value"),
            Moment::Zeros => f.write_str("share of zeros"),
            Moment::Share(value) => write!(f, "share of `{value}`"),
        }
    }
}

fn amount(counts: Counts) -> String {
    if counts.is_open() {
        "any number of".to_owned()
    } else {
        counts.bounds().to_string()
    }
}

impl fmt::Display for Fix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fix::AddField { field } => {
                write!(
                    f,
                    "add field `{}` of type {}",
                    field.name,
                    field.type_text()
                )
            }
            Fix::Deprecate { column } => write!(f, "mark `{column}` as deprecated"),
            Fix::AddToEnvironment {
                column,
                environment,
            } => write!(f, "add `{column}` to environment `{environment}`"),
            Fix::Presence {
                column,
                min_fraction,
                min_count,
            } => write!(
                f,
                "set min_fraction of `{column}` to {min_fraction} and min_count to {min_count}"
            ),
            Fix::Items { column, items } => {
                write!(f, "allow {} items in `{column}`", amount(*items))
            }
            Fix::Unique { column, unique } => {
                write!(f, "allow {} distinct values in `{column}`", amount(*unique))
            }
            Fix::AddValues { column, values } => {
                let values: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
                write!(f, "add {} to the values of `{column}`", values.join(", "))
            }
            Fix::SetDomain {
                column,
                domain: None,
            } => write!(f, "allow all values in `{column}`"),
            Fix::SetDomain {
                column,
                domain: Some(domain),
            } => {
                let limited = Field::new(column, super::FieldType::Text).domain(domain.clone());
                let rule = limited.rule(super::AnomalyKind::OutOfRange);
                write!(f, "change the rule of `{column}` to: {rule}")
            }
            Fix::AllowNan { column } => write!(f, "allow NaN in `{column}`"),
            Fix::AllowInf { column } => write!(f, "allow infinite numbers in `{column}`"),
            Fix::Bound { column, of, bounds } => {
                write!(f, "allow {bounds} for the {of} of `{column}`")
            }
            Fix::Threshold {
                column,
                against,
                distance,
                threshold: Some(threshold),
            } => write!(
                f,
                "allow the {distance} of `{column}` to {against} up to {threshold}"
            ),
            Fix::Threshold {
                column,
                against,
                distance,
                threshold: None,
            } => write!(f, "do not limit the {distance} of `{column}` to {against}"),
            Fix::Rows { rows } => write!(f, "allow {} rows", amount(*rows)),
            Fix::RowRatio { against, ratio } => {
                write!(f, "allow {ratio} times the rows of {against}")
            }
        }
    }
}

impl Schema {
    /// Applies a change. The [version](Schema::version) stays: raise it when the changed schema is to be used, or use
    /// [`Schema::relax`].
    ///
    /// # Errors
    /// [`ErrorKind::Data`](crate::ErrorKind::Data) if there is no such field, with the near names.
    pub fn apply(&mut self, fix: &Fix) -> Result<()> {
        match fix {
            Fix::AddField { field } => {
                if self.field(&field.name).is_err() {
                    self.fields.push(Field::clone(field));
                }
            }
            Fix::Deprecate { column } => {
                self.field_mut(column)?.lifecycle = Lifecycle::Deprecated;
            }
            Fix::AddToEnvironment {
                column,
                environment,
            } => {
                let field = self.field_mut(column)?;
                field.not_in_environment.retain(|name| name != environment);
                if !field.in_environment.contains(environment) {
                    field.in_environment.push(environment.clone());
                }
            }
            Fix::Presence {
                column,
                min_fraction,
                min_count,
            } => {
                let field = self.field_mut(column)?;
                field.min_fraction = *min_fraction;
                field.min_count = *min_count;
            }
            Fix::Items { column, items } => self.field_mut(column)?.list = Some(*items),
            Fix::Unique { column, unique } => self.field_mut(column)?.unique = *unique,
            Fix::AddValues { column, values } => {
                if let Some(Domain::Values(allowed)) = &mut self.field_mut(column)?.domain {
                    for value in values {
                        if !allowed.contains(value) {
                            allowed.push(value.clone());
                        }
                    }
                    allowed.sort_unstable();
                }
            }
            Fix::SetDomain { column, domain } => {
                let field = self.field_mut(column)?;
                field.domain.clone_from(domain);
                if !matches!(domain, Some(Domain::Values(_))) {
                    field.distribution.min_domain_mass = None;
                }
                if domain.is_none() {
                    field.drop_distances_of_categories();
                }
            }
            Fix::AllowNan { column } => self.field_mut(column)?.disallow_nan = false,
            Fix::AllowInf { column } => self.field_mut(column)?.disallow_inf = false,
            Fix::Bound { column, of, bounds } => {
                let distribution = &mut self.field_mut(column)?.distribution;
                match of {
                    Moment::Mean => distribution.mean = *bounds,
                    Moment::Std => distribution.std = *bounds,
                    Moment::Missing => distribution.missing = *bounds,
                    Moment::Zeros => distribution.zeros = *bounds,
                    Moment::Share(value) => {
                        distribution.shares.insert(value.clone(), *bounds);
                    }
                    Moment::Quantile(rank) => distribution
                        .quantiles
                        .iter_mut()
                        .filter(|quantile| quantile.rank == *rank)
                        .for_each(|quantile| {
                            quantile.min = bounds.min;
                            quantile.max = bounds.max;
                        }),
                }
            }
            Fix::Threshold {
                column,
                against,
                distance,
                threshold,
            } => {
                let field = self.field_mut(column)?;
                let comparator = match against {
                    Against::Previous => &mut field.drift,
                    Against::Serving => &mut field.skew,
                    Against::PreviousVersion => &mut field.version_change,
                };
                if let Some(held) = comparator.threshold_mut(*distance) {
                    *held = *threshold;
                }
            }
            Fix::Rows { rows } => self.dataset.rows = *rows,
            Fix::RowRatio { against, ratio } => match against {
                Against::Previous => self.dataset.drift_ratio = *ratio,
                Against::PreviousVersion => self.dataset.version_ratio = *ratio,
                Against::Serving => {}
            },
        }
        Ok(())
    }

    /// The schema with the fixes of anomalies applied, its [version](Schema::version) raised by one if anything
    /// changed.
    ///
    /// # Errors
    /// As [`Schema::apply`]: the anomalies are of another schema.
    pub fn relax(&self, anomalies: &[Anomaly]) -> Result<Self> {
        let mut relaxed = self.clone();
        for fix in anomalies.iter().filter_map(|anomaly| anomaly.fix.as_ref()) {
            relaxed.apply(fix)?;
        }
        if relaxed != *self {
            relaxed.version = relaxed.version.saturating_add(1);
        }
        Ok(relaxed)
    }

    /// The schema relaxed until the statistics fit it: new columns are added as they would be inferred, what is
    /// broken is widened to what was seen, and fields of another type are deprecated. The counterpart of the
    /// reference's `update_schema`. People decide whether to take it; [`Schema::diff`] shows what they would take.
    ///
    /// # Errors
    /// No error that data can cause.
    pub fn update(&self, statistics: &Statistics) -> Result<Self> {
        let mut updated = self.clone();
        // Anomalies that a fix uncovers, as by deprecating a field or dropping a domain, are fixed in the next round.
        for _ in 0..4 {
            let anomalies = Validation::new(&updated).run(statistics)?.anomalies;
            let before = updated.clone();
            for fix in anomalies.iter().filter_map(|anomaly| anomaly.fix.as_ref()) {
                updated.apply(fix)?;
            }
            if updated == before {
                break;
            }
        }
        if updated != *self {
            updated.version = updated.version.saturating_add(1);
        }
        Ok(updated)
    }

    fn field_mut(&mut self, name: &str) -> Result<&mut Field> {
        match self.fields.iter().position(|field| field.name == name) {
            Some(at) => Ok(&mut self.fields[at]),
            None => {
                let names = self.fields.iter().map(|field| field.name.as_str());
                Err(Error::data(format!(
                    "there is no field `{name}` to change{}",
                    near_names(name, names)
                )))
            }
        }
    }
}

impl Field {
    /// Without a domain of values, whole numbers are numbers again, which have other distances.
    fn drop_distances_of_categories(&mut self) {
        if !self.is_categorical() {
            for comparator in [&mut self.drift, &mut self.skew, &mut self.version_change] {
                comparator.infinity_norm = None;
                comparator.normalized_abs_difference = None;
            }
        }
    }
}

impl Comparator {
    /// The distances with their thresholds.
    pub(super) fn thresholds(&self) -> impl Iterator<Item = (Distance, f64)> {
        [
            (Distance::InfinityNorm, self.infinity_norm),
            (
                Distance::JensenShannonDivergence,
                self.jensen_shannon_divergence,
            ),
            (
                Distance::NormalizedAbsDifference,
                self.normalized_abs_difference,
            ),
            (
                Distance::PopulationStabilityIndex,
                self.population_stability_index,
            ),
            (Distance::KolmogorovSmirnov, self.kolmogorov_smirnov),
        ]
        .into_iter()
        .filter_map(|(distance, threshold)| Some((distance, threshold?)))
    }

    fn threshold_mut(&mut self, distance: Distance) -> Option<&mut Option<f64>> {
        Some(match distance {
            Distance::InfinityNorm => &mut self.infinity_norm,
            Distance::JensenShannonDivergence => &mut self.jensen_shannon_divergence,
            Distance::NormalizedAbsDifference => &mut self.normalized_abs_difference,
            Distance::PopulationStabilityIndex => &mut self.population_stability_index,
            Distance::KolmogorovSmirnov => &mut self.kolmogorov_smirnov,
        })
    }
}
