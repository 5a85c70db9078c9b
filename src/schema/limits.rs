//! Limits of numbers, counts, distributions and distances.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A range of numbers, both ends included; an end that is not given is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// The lowest number allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The highest number allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
}

/// A range of counts, both ends included; an end that is not given is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// The least count allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<u64>,
    /// The highest count allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u64>,
}

/// The requirements of the distribution of a column's values.
///
/// ```
/// use fourfold::schema::Schema;
///
/// let schema = Schema::from_toml(r#"
/// format_version = 2
///
/// [[fields]]
/// name = "fare"
/// type = "float"
/// distribution = { mean = { min = 8, max = 15 }, quantiles = [{ rank = 0.99, max = 100 }] }
///
/// [[fields]]
/// name = "late"
/// type = "boolean"
/// distribution.shares.true = { min = 0.1, max = 0.4 }
/// "#)?;
/// # Ok::<(), fourfold::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Distribution {
    /// The least share of the values that must be in the domain, in `0..=1`; all, if it is not given. Of
    /// [values](super::Domain::Values) only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_domain_mass: Option<f64>,
    /// The mean of the finite numbers.
    #[serde(default, skip_serializing_if = "Bounds::is_open")]
    pub mean: Bounds,
    /// The population standard deviation of the finite numbers.
    #[serde(default, skip_serializing_if = "Bounds::is_open")]
    pub std: Bounds,
    /// Quantiles of the numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quantiles: Vec<QuantileBounds>,
    /// The share of the rows without a value.
    #[serde(default, skip_serializing_if = "Bounds::is_open")]
    pub missing: Bounds,
    /// The share of the values that are zero.
    #[serde(default, skip_serializing_if = "Bounds::is_open")]
    pub zeros: Bounds,
    /// The share that each of these values has among all: the balance of classes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub shares: BTreeMap<String, Bounds>,
}

/// Bounds of a quantile.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuantileBounds {
    /// The rank, in `0..=1`: 0.5 is the median.
    pub rank: f64,
    /// The lowest number allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The highest number allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
}

/// The largest allowed distances between two distributions of a column: a threshold for each [distance](crate::statistics::distance)
/// that is to be held. A distance above its threshold is an anomaly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Comparator {
    /// The largest difference of a value's shares, in `0..=1`. Of categories only: an error for numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub infinity_norm: Option<f64>,
    /// The Jensen-Shannon divergence, in `0..=1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jensen_shannon_divergence: Option<f64>,
    /// The largest difference of a value's counts by the number of all, in `0..=1`. Of categories only: an error
    /// for numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalized_abs_difference: Option<f64>,
    /// The population stability index, from 0: 0.1 is taken for a small change, 0.25 for a large one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub population_stability_index: Option<f64>,
    /// The largest difference of the cumulative shares, in `0..=1`. Of numbers only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kolmogorov_smirnov: Option<f64>,
}

impl Bounds {
    /// Bounds from `min` to `max`.
    #[must_use]
    pub fn within(min: f64, max: f64) -> Self {
        Bounds {
            min: Some(min),
            max: Some(max),
        }
    }

    pub(super) fn at_most(max: f64) -> Self {
        Bounds {
            min: None,
            max: Some(max),
        }
    }

    pub(super) fn at_least(min: f64) -> Self {
        Bounds {
            min: Some(min),
            max: None,
        }
    }

    /// Returns true if there are no bounds.
    #[must_use]
    pub fn is_open(&self) -> bool {
        *self == Bounds::default()
    }

    /// Returns true if a number is within the bounds. NaN is within only if there are none.
    #[must_use]
    pub fn contains(&self, value: f64) -> bool {
        self.min.is_none_or(|min| value >= min) && self.max.is_none_or(|max| value <= max)
    }

    /// The range that has this number, too.
    #[must_use]
    pub fn widened(self, value: f64) -> Self {
        Bounds {
            min: self.min.map(|min| min.min(value)),
            max: self.max.map(|max| max.max(value)),
        }
    }
}

/// `at least 1`, `at most 5`, `from 1 to 5`, `any number`.
impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.min, self.max) {
            (Some(min), Some(max)) => write!(f, "from {min} to {max}"),
            (Some(min), None) => write!(f, "at least {min}"),
            (None, Some(max)) => write!(f, "at most {max}"),
            (None, None) => f.write_str("any number"),
        }
    }
}

impl Counts {
    /// Counts from `min` to `max`.
    #[must_use]
    pub fn within(min: u64, max: u64) -> Self {
        Counts {
            min: Some(min),
            max: Some(max),
        }
    }

    /// Returns true if there are no bounds.
    #[must_use]
    pub fn is_open(&self) -> bool {
        *self == Counts::default()
    }

    pub(super) fn bounds(self) -> Bounds {
        Bounds {
            min: self.min.map(|min| min as f64),
            max: self.max.map(|max| max as f64),
        }
    }
}

impl Distribution {
    /// Returns true if nothing is limited.
    #[must_use]
    pub fn is_open(&self) -> bool {
        *self == Distribution::default()
    }
}

impl QuantileBounds {
    pub(super) fn bounds(self) -> Bounds {
        Bounds {
            min: self.min,
            max: self.max,
        }
    }
}

impl Comparator {
    /// The default thresholds for categories, of spans and of served requests alike: 0.1 by the L-infinity distance and by
    /// the Jensen-Shannon divergence.
    #[must_use]
    pub fn of_categories() -> Self {
        Comparator {
            infinity_norm: Some(0.1),
            jensen_shannon_divergence: Some(0.1),
            ..Comparator::default()
        }
    }

    /// The default thresholds for numbers, likewise: 0.1 by the Jensen-Shannon divergence, 0.25 by the population stability
    /// index and 0.15 by the Kolmogorov-Smirnov distance.
    #[must_use]
    pub fn of_numbers() -> Self {
        Comparator {
            jensen_shannon_divergence: Some(0.1),
            population_stability_index: Some(0.25),
            kolmogorov_smirnov: Some(0.15),
            ..Comparator::default()
        }
    }

    /// Returns true if nothing is compared.
    #[must_use]
    pub fn is_open(&self) -> bool {
        *self == Comparator::default()
    }
}

/// The requirements of a data set as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Dataset {
    /// The allowed number of rows.
    #[serde(default, skip_serializing_if = "Counts::is_open")]
    pub rows: Counts,
    /// The number of rows by that of the previous span.
    #[serde(default, skip_serializing_if = "Bounds::is_open")]
    pub drift_ratio: Bounds,
    /// The number of rows by that of the previous version of the same span.
    #[serde(default, skip_serializing_if = "Bounds::is_open")]
    pub version_ratio: Bounds,
}

impl Dataset {
    /// Returns true if nothing is limited.
    #[must_use]
    pub fn is_open(&self) -> bool {
        *self == Dataset::default()
    }
}
