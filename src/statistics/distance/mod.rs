//! Distances between two distributions of a column.
//!
//! | distance | of | range | what it is |
//! | --- | --- | --- | --- |
//! | L-infinity | categories | 0..=1 | the largest difference of a value's shares |
//! | normalised absolute difference | categories | 0..=1 | the largest difference of a value's counts, by the number of all values of both: a change of volume counts |
//! | Jensen-Shannon divergence | both | 0..=1 | base 2: `(KL(p, m) + KL(q, m)) / 2` with `m = (p + q) / 2` (Lin 1991) |
//! | population stability index | both | 0.. | `sum (p - q) ln(p / q)`; a share below 0.0001 is taken for 0.0001 |
//! | Kolmogorov-Smirnov | numbers | 0..=1 | the largest difference of the cumulative shares |
//!
//! **Categories** are the values of strings and booleans, and of whole numbers whose domain lists them. Statistics list
//! the 100 most frequent values of a column; the others are one category, "the rest". A value that one side lists and
//! the other does not, since its list is full, is taken there to be as frequent as it can be without showing, up to
//! what the first side has: a list that is cut off never makes a difference of its own.
//!
//! **Numbers** are compared from quantile sketches where both statistics have them: cut at the deciles of both sides
//! (the population stability index: at those of the second side, the control), where one outlier changes nothing. From
//! statistics without sketches they are compared by their histograms of equal width, cut again at the bounds of both,
//! values taken to be spread evenly within a bucket, a bucket that is a single point matching only an equal point:
//! as TensorFlow Data Validation does. Statistics that have neither are compared by their quantiles.
//!
//! NaN, negative and positive infinity are categories of their own in the divergence and in the stability index,
//! so identical data has a distance of 0. (The reference lets none of the three match itself: identical data with an
//! infinite value is at the distance 1 there.) Kolmogorov-Smirnov leaves NaN out.

mod numbers;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use self::numbers::{Numbers, recut};
use super::{ColumnStatistics, Histogram, Statistics};
use crate::error::{Error, Result};

/// A way to measure how far two distributions are apart. See [the module](self).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Distance {
    /// L-infinity. Of categories only.
    InfinityNorm,
    /// Jensen-Shannon divergence.
    JensenShannonDivergence,
    /// Normalised absolute difference. Of categories only.
    NormalizedAbsDifference,
    /// Population stability index.
    PopulationStabilityIndex,
    /// Kolmogorov-Smirnov. Of numbers only.
    KolmogorovSmirnov,
}

impl fmt::Display for Distance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Distance::InfinityNorm => "L-infinity distance",
            Distance::JensenShannonDivergence => "Jensen-Shannon divergence",
            Distance::NormalizedAbsDifference => "normalised absolute difference",
            Distance::PopulationStabilityIndex => "population stability index",
            Distance::KolmogorovSmirnov => "Kolmogorov-Smirnov distance",
        })
    }
}

impl Distance {
    /// The distance of a column of numbers between two data sets; the second is the control.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for a distance of categories;
    /// [`ErrorKind::Data`](crate::ErrorKind::Data) if either has no numbers in the column.
    pub fn of_numbers(self, a: &Statistics, b: &Statistics, column: &str) -> Result<f64> {
        self.check_of_numbers(column)?;
        self.of_columns((a, a.column(column)?), (b, b.column(column)?))
    }

    fn check_of_numbers(self, column: &str) -> Result<()> {
        if matches!(
            self,
            Distance::InfinityNorm | Distance::NormalizedAbsDifference
        ) {
            return Err(Error::config(format!(
                "the {self} is of categories, column `{column}` is of numbers; use the Jensen-Shannon divergence"
            )));
        }
        Ok(())
    }

    /// As [`Distance::of_numbers`], of columns with the statistics that they are of.
    pub(crate) fn of_columns(
        self,
        a: (&Statistics, &ColumnStatistics),
        b: (&Statistics, &ColumnStatistics),
    ) -> Result<f64> {
        self.check_of_numbers(&a.1.name)?;
        let numbers = |(statistics, column): (&Statistics, &ColumnStatistics)| {
            Numbers::of(statistics, column).ok_or_else(|| {
                let name = &column.name;
                Error::data(format!("column `{name}` has no numbers to compare"))
            })
        };
        let (a, b) = (numbers(a)?, numbers(b)?);
        Ok(match self {
            Distance::KolmogorovSmirnov => a.kolmogorov_smirnov(&b),
            Distance::PopulationStabilityIndex => stability_index(&a.bins(&b, false)),
            _ => divergence(&a.bins(&b, true)),
        })
    }

    /// The distance of categories; the second are the control.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for a distance of numbers;
    /// [`ErrorKind::Data`](crate::ErrorKind::Data) if either is empty, but for the L-infinity distance and the
    /// normalised absolute difference: two empty ones are 0 apart.
    pub fn of_categories(self, a: &Categories, b: &Categories) -> Result<f64> {
        let pairs = a.pairs(b);
        let by_own = || shares(&pairs);
        match self {
            Distance::KolmogorovSmirnov => {
                return Err(Error::config(format!(
                    "the {self} is of numbers, not of categories"
                )));
            }
            Distance::InfinityNorm => {
                return Ok(largest(by_own().map(|(p, q)| (p - q).abs())));
            }
            Distance::NormalizedAbsDifference => {
                let all: f64 = pairs.iter().map(|(a, b)| a + b).sum();
                let all = if all > 0.0 { all } else { 1.0 };
                return Ok(largest(pairs.iter().map(|(a, b)| (a - b).abs() / all)));
            }
            Distance::JensenShannonDivergence | Distance::PopulationStabilityIndex => {}
        }
        if a.total() <= 0.0 || b.total() <= 0.0 {
            return Err(Error::data("there are no values to compare"));
        }
        Ok(match self {
            Distance::PopulationStabilityIndex => stability_index(&pairs),
            _ => divergence(&pairs),
        })
    }
}

/// The frequency of each value of a column.
///
/// ```
/// use fourfold::statistics::distance::{Categories, Distance};
///
/// let now = Categories::new([("hello", 0.1), ("world", 0.9)]);
/// let before = Categories::new([("hello", 0.3), ("world", 0.7)]);
/// let distance = Distance::InfinityNorm.of_categories(&now, &before)?;
/// assert!((distance - 0.2).abs() < 1e-12);
/// # Ok::<(), fourfold::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Categories {
    counts: BTreeMap<String, f64>,
    /// The count of values that are not listed.
    rest: f64,
    /// The most that one of them can have.
    hidden: f64,
}

impl Categories {
    /// All values with their counts (or weights, or shares).
    #[must_use]
    pub fn new<V: Into<String>>(counts: impl IntoIterator<Item = (V, f64)>) -> Self {
        Categories {
            counts: counts
                .into_iter()
                .map(|(value, count)| (value.into(), count))
                .collect(),
            rest: 0.0,
            hidden: 0.0,
        }
    }

    /// The values of a column; of a list column, the items.
    #[must_use]
    pub fn of(column: &ColumnStatistics) -> Self {
        let mut categories = Categories::new(
            column
                .top_values
                .iter()
                .map(|(value, count)| (value.as_str(), *count as f64)),
        );
        if !column.top_values_exact {
            let all = column
                .valency
                .as_ref()
                .map_or(column.count, |valency| valency.total);
            let listed = column.top_values.iter().map(|(_, count)| count).sum();
            categories.rest = all.saturating_sub(listed) as f64;
            let least = column.top_values.last().map_or(all, |(_, count)| *count);
            categories.hidden = (least as f64).min(categories.rest);
        }
        categories
    }

    fn total(&self) -> f64 {
        self.counts.values().sum::<f64>() + self.rest
    }

    /// The counts of each value on both sides, and of the rest.
    fn pairs(&self, other: &Self) -> Vec<(f64, f64)> {
        let (mine, theirs) = (self.total(), other.total());
        let mut rest = (self.rest, other.rest);
        // A value that the other side does not list may hide in its rest, as often as on this side.
        let hiding = |share: f64, total: f64, hidden: f64, rest: &mut f64| {
            let count = (share * total).min(hidden).min(*rest);
            *rest -= count;
            count
        };
        let mut pairs: Vec<(f64, f64)> = self
            .counts
            .iter()
            .map(|(value, a)| {
                let b = other.counts.get(value).copied().unwrap_or_else(|| {
                    hiding(
                        a / mine.max(f64::MIN_POSITIVE),
                        theirs,
                        other.hidden,
                        &mut rest.1,
                    )
                });
                (*a, b)
            })
            .collect();
        for (value, b) in &other.counts {
            if !self.counts.contains_key(value) {
                let share = b / theirs.max(f64::MIN_POSITIVE);
                pairs.push((hiding(share, mine, self.hidden, &mut rest.0), *b));
            }
        }
        pairs.push(rest);
        pairs
    }
}

/// The Jensen-Shannon divergence of two histograms, with counts of NaN beside them.
///
/// ```
/// use fourfold::statistics::distance::jensen_shannon_of_histograms;
/// use fourfold::statistics::{Bucket, Histogram};
///
/// let histogram = |buckets: &[(f64, f64, f64)]| Histogram {
///     buckets: buckets.iter().map(|(low, high, count)| Bucket { low: *low, high: *high, count: *count }).collect(),
/// };
/// let a = histogram(&[(1.0, 2.0, 2.0), (2.0, 3.0, 2.0)]);
/// let b = histogram(&[(2.0, 4.0, 2.0), (4.0, 6.0, 2.0)]);
/// let distance = jensen_shannon_of_histograms((&a, 0.0), (&b, 0.0))?;
/// assert!((distance - 0.65563906222).abs() < 1e-10);
/// # Ok::<(), fourfold::Error>(())
/// ```
///
/// # Errors
/// [`ErrorKind::Data`](crate::ErrorKind::Data) if either has no values.
pub fn jensen_shannon_of_histograms(a: (&Histogram, f64), b: (&Histogram, f64)) -> Result<f64> {
    let total = |(histogram, nan): (&Histogram, f64)| {
        histogram
            .buckets
            .iter()
            .map(|bucket| bucket.count)
            .sum::<f64>()
            + nan
    };
    if total(a) <= 0.0 || total(b) <= 0.0 {
        return Err(Error::data("there are no values to compare"));
    }
    let mut pairs = recut(a.0, b.0);
    pairs.push((a.1, b.1));
    Ok(divergence(&pairs))
}

fn shares(pairs: &[(f64, f64)]) -> impl Iterator<Item = (f64, f64)> {
    let (a, b) = pairs
        .iter()
        .fold((0.0, 0.0), |(a, b), (p, q)| (a + p, b + q));
    let share = |count: f64, total: f64| if total > 0.0 { count / total } else { 0.0 };
    pairs.iter().map(move |(p, q)| (share(*p, a), share(*q, b)))
}

fn divergence(pairs: &[(f64, f64)]) -> f64 {
    let term = |p: f64, m: f64| if p > 0.0 { p * (p / m).log2() } else { 0.0 };
    let sum: f64 = shares(pairs)
        .map(|(p, q)| {
            let m = f64::midpoint(p, q);
            term(p, m) + term(q, m)
        })
        .sum();
    (sum / 2.0).clamp(0.0, 1.0)
}

fn stability_index(pairs: &[(f64, f64)]) -> f64 {
    const LEAST: f64 = 1e-4;
    shares(pairs)
        .filter(|(p, q)| p.max(*q) > 0.0)
        .map(|(p, q)| {
            let (p, q) = (p.max(LEAST), q.max(LEAST));
            (p - q) * (p / q).ln()
        })
        .sum()
}

fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, f64::max)
}

#[cfg(test)]
mod tests;
