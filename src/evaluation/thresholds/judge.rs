//! Validation of metrics against thresholds.

use super::{Bound, InSlices, NoWorseInSlices, Threshold};
use crate::blessing::{Check, detectable_change};
use crate::evaluation::Baseline;
use crate::evaluation::serving::compared;
use crate::metrics::{Catalogue, Direction, Evaluation, MetricValue, SliceMetrics};

/// The metrics that thresholds are compared with.
pub(super) struct Judge<'a> {
    pub(super) metrics: &'a Evaluation,
    pub(super) baseline: &'a Baseline,
    pub(super) catalogue: &'a Catalogue,
}

pub(super) fn too_few(name: &str, message: String) -> Check {
    Check::too_few_rows(name, message)
}

impl Judge<'_> {
    /// One check of all rows; of slices, one for each that is bad, or one of the worst if none is.
    pub(super) fn judge(&self, threshold: &Threshold) -> Vec<Check> {
        let metric = threshold.metric.as_str();
        match &threshold.bound {
            Bound::AtLeastInSlices(bound) => self.slices(metric, *bound, Direction::Higher),
            Bound::AtMostInSlices(bound) => self.slices(metric, *bound, Direction::Lower),
            Bound::NoWorseInSlices(bound) => self.changes_of_slices(metric, bound),
            bound => vec![self.whole(metric, bound)],
        }
    }

    fn whole(&self, metric: &str, bound: &Bound) -> Check {
        let n_rows = self.metrics.n_rows();
        let Some(found) = self.metrics.overall.get(metric).copied() else {
            return self.undefined(metric, n_rows).support(n_rows);
        };
        let check = |passed: bool, bound: f64, must: &str| {
            let message = format!("{metric} is {found:.4}, must be {must} {bound}");
            of_value(Check::new(metric, passed, message), &found).bound(bound)
        };
        match bound {
            Bound::AtLeast(low) => check(found.value >= *low, *low, "at least"),
            Bound::AtMost(high) => check(found.value <= *high, *high, "at most"),
            Bound::Above(low) => check(found.value > *low, *low, "above"),
            Bound::NoWorseThanBaseline(margin) => {
                let name = format!("{metric} against baseline");
                let (serving, changes) = match compared(&name, self.baseline) {
                    Ok(both) => both,
                    Err(check) => return detecting(of_value(*check, &found), None),
                };
                let serving = serving.overall.get(metric);
                let check = self.change(&name, metric, &found, serving, *margin);
                detecting(check, changes.overall.get(metric))
            }
            // These are judged by slice.
            Bound::AtLeastInSlices(_) | Bound::AtMostInSlices(_) | Bound::NoWorseInSlices(_) => {
                Check::new(metric, false, "a bound of slices")
            }
        }
    }

    fn large(&self, name: &str, min_rows: u64) -> Result<Vec<&SliceMetrics>, Box<Check>> {
        let slices = &self.metrics.slices;
        let large: Vec<&SliceMetrics> = (slices.iter())
            .filter(|slice| slice.n_rows() >= min_rows)
            .collect();
        if large.is_empty() {
            let largest = slices.iter().map(SliceMetrics::n_rows).max();
            let message = format!(
                "no slice has {min_rows} rows, the largest of {} has {}; call `.slice_by(..)` or lower `min_rows`",
                slices.len(),
                largest.unwrap_or_default()
            );
            return Err(Box::new(too_few(name, message)));
        }
        Ok(large)
    }

    fn slices(&self, metric: &str, bound: InSlices, better: Direction) -> Vec<Check> {
        let InSlices { value, min_rows } = bound;
        let name = format!("{metric} in slices");
        let large = match self.large(&name, min_rows) {
            Ok(large) => large,
            Err(check) => return vec![check.bound(value)],
        };
        let higher = better == Direction::Higher;
        let must = if higher { "at least" } else { "at most" };
        let checks = large.iter().map(|slice| {
            let check = match slice.metrics.get(metric) {
                Some(found) => {
                    let good = match higher {
                        true => found.value >= value,
                        false => found.value <= value,
                    };
                    let message = format!(
                        "{metric} is {found:.4} in {} ({} rows), must be {must} {value}",
                        slice.slice,
                        slice.n_rows()
                    );
                    of_value(Check::new(name.as_str(), good, message), found)
                }
                None => self.undefined_in(metric, slice),
            };
            let check = check.bound(value).slice(slice.slice.clone());
            check.support(slice.n_rows())
        });
        let goodness = |check: &Check| {
            let value = check.value.unwrap_or(f64::NAN);
            if higher { value } else { -value }
        };
        bad_or_worst(checks.collect(), goodness, min_rows)
    }

    fn changes_of_slices(&self, metric: &str, bound: &NoWorseInSlices) -> Vec<Check> {
        let NoWorseInSlices { margin, min_rows } = *bound;
        let name = format!("{metric} against baseline in slices");
        let (serving, changes) = match compared(&name, self.baseline) {
            Ok(both) => both,
            Err(check) => return vec![*check],
        };
        let large = match self.large(&name, min_rows) {
            Ok(large) => large,
            Err(check) => return vec![*check],
        };
        let checks = large.iter().map(|slice| {
            let theirs = serving.slices.iter().find(|of| of.slice == slice.slice);
            let theirs = theirs.and_then(|of| of.metrics.get(metric));
            let check = match slice.metrics.get(metric) {
                Some(found) => {
                    let check = self.change(&name, metric, found, theirs, margin);
                    let message = format!(
                        "in {} ({} rows): {}",
                        slice.slice,
                        slice.n_rows(),
                        check.message
                    );
                    Check { message, ..check }
                }
                None => self.undefined_in(metric, slice),
            };
            let change = changes.slices.iter().find(|of| of.slice == slice.slice);
            let check = detecting(check, change.and_then(|of| of.metrics.get(metric)));
            check.slice(slice.slice.clone()).support(slice.n_rows())
        });
        let higher = self.is_higher_better(metric);
        let goodness = |check: &Check| {
            let gain = check.value.unwrap_or(f64::NAN) - check.bound.unwrap_or(f64::NAN);
            if higher { gain } else { -gain }
        };
        bad_or_worst(checks.collect(), goodness, min_rows)
    }

    fn is_higher_better(&self, metric: &str) -> bool {
        self.catalogue.direction(metric) == Some(Direction::Higher)
    }

    fn change(
        &self,
        name: &str,
        metric: &str,
        found: &MetricValue,
        serving: Option<&MetricValue>,
        margin: crate::evaluation::Margin,
    ) -> Check {
        let Some(serving) = serving else {
            let message = format!("the serving model has no metric `{metric}` on these rows");
            return of_value(Check::new(name, false, message), found);
        };
        let worse_by = match self.is_higher_better(metric) {
            true => serving.value - found.value,
            false => found.value - serving.value,
        };
        let check = match margin.of(serving.value) {
            Some(margin) => {
                let message = format!(
                    "{metric} is {found:.4}, the serving model's {serving:.4}, may be worse by at most {margin}"
                );
                Check::new(name, worse_by <= margin, message).margin(margin)
            }
            None => {
                let message = format!(
                    "{metric} is {found:.4}, the serving model's is 0, of which no share is a margin"
                );
                Check::new(name, false, message)
            }
        };
        of_value(check, found).bound(serving.value)
    }

    /// The check of a metric that has no value on the rows.
    fn undefined(&self, metric: &str, n_rows: u64) -> Check {
        let rows = if n_rows == 1 { "row" } else { "rows" };
        let needs = self.catalogue.find(metric).map_or_else(
            |_| String::new(),
            |known| format!(", it needs at least {} {}", known.needs.0, known.needs.1),
        );
        let message =
            format!("{metric} has no value on the {n_rows} {rows} of the `eval` split{needs}");
        too_few(metric, message)
    }

    fn undefined_in(&self, metric: &str, slice: &SliceMetrics) -> Check {
        let check = self.undefined(metric, slice.n_rows());
        let of_slice = format!("of {}", slice.slice);
        let message = check.message.replace("of the `eval` split", &of_slice);
        too_few(&format!("{metric} in slices"), message)
    }
}

/// The checks of slices that are bad; the worst one, in the name of all, if none is.
fn bad_or_worst(checks: Vec<Check>, goodness: impl Fn(&Check) -> f64, min_rows: u64) -> Vec<Check> {
    let n = checks.len();
    let (passed, bad): (Vec<Check>, Vec<Check>) = checks.into_iter().partition(Check::is_passed);
    if !bad.is_empty() {
        return bad;
    }
    let worst = passed
        .into_iter()
        .min_by(|a, b| goodness(a).total_cmp(&goodness(b)));
    let of_all = worst.map(|worst| {
        let message = format!(
            "the worst of {n} slices of {min_rows} rows or more: {}",
            worst.message
        );
        Check { message, ..worst }
    });
    of_all.into_iter().collect()
}

/// A check with what was found.
fn of_value(check: Check, found: &MetricValue) -> Check {
    let check = check.value(found.value).support(found.support);
    match (found.lower, found.upper) {
        (Some(lower), Some(upper)) => check.interval(lower, upper),
        _ => check,
    }
}

/// A check of a change, whose detectable size is that of the change's interval and not of the candidate's own.
fn detecting(check: Check, change: Option<&MetricValue>) -> Check {
    let interval = change.and_then(|change| change.lower.zip(change.upper));
    Check {
        detectable: interval.and_then(detectable_change),
        ..check
    }
}
