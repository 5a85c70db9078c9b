//! Checks, and the verdict of a validator.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::metrics::Slice;

/// The outcome of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckOutcome {
    /// It is good enough.
    Passed,
    /// It is not.
    Failed,
    /// There are too few rows to tell.
    TooFewRows,
}

impl fmt::Display for CheckOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CheckOutcome::Passed => "passed",
            CheckOutcome::Failed => "failed",
            CheckOutcome::TooFewRows => "too few rows",
        })
    }
}

/// The two-sided 95 % quantile of the standard normal, and the 80 % quantile: for power.
pub(crate) const Z: f64 = 1.959_963_984_540_054;
pub(crate) const POWER: f64 = 0.841_621_233_572_914;

/// The smallest change that is detectable where a value has a 95 % interval, with a power of 80 %.
pub(crate) fn detectable_change((lower, upper): (f64, f64)) -> Option<f64> {
    let change = (Z + POWER) * (upper - lower) / (2.0 * Z);
    change.is_finite().then_some(change)
}

/// One thing a validator looked at.
///
/// ```
/// use fourfold::blessing::{Check, Verdict};
///
/// let check = Check::new("auc", 0.74 >= 0.7, "auc is 0.74, must be at least 0.7").value(0.74).bound(0.7).support(1_200);
/// assert_eq!(check.outcome.to_string(), "passed");
/// assert!(Verdict::new().with(check).is_blessed());
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Check {
    /// The quantity that was checked, such as `auc`.
    pub name: String,
    /// The outcome.
    pub outcome: CheckOutcome,
    /// Whether too few rows are allowed: the check then does not block a model.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
    /// The value found and the value required, in words.
    pub message: String,
    /// The value found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// The 95 % confidence interval of the value found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<(f64, f64)>,
    /// The bound it was compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<f64>,
    /// The margin by which it may be worse than the model that is serving.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<f64>,
    /// The smallest change that this number of rows can show, with 95 % confidence in 80 % of such evaluations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detectable: Option<f64>,
    /// The rows it was found on; all, if none are named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slice: Option<Slice>,
    /// The number of these rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub support: Option<u64>,
}

impl Check {
    fn of(name: impl Into<String>, outcome: CheckOutcome, message: impl Into<String>) -> Self {
        Check {
            name: name.into(),
            outcome,
            optional: false,
            message: message.into(),
            value: None,
            interval: None,
            bound: None,
            margin: None,
            detectable: None,
            slice: None,
            support: None,
        }
    }

    /// A check that passed or failed.
    #[must_use]
    pub fn new(name: impl Into<String>, passed: bool, message: impl Into<String>) -> Self {
        let outcome = if passed {
            CheckOutcome::Passed
        } else {
            CheckOutcome::Failed
        };
        Check::of(name, outcome, message)
    }

    /// A check for which there are too few rows. It blocks the model unless it is
    /// [optional](Check::optional).
    #[must_use]
    pub fn too_few_rows(name: impl Into<String>, message: impl Into<String>) -> Self {
        Check::of(name, CheckOutcome::TooFewRows, message)
    }

    /// The same, which does not block the model where there are too few rows.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// With the value found.
    #[must_use]
    pub fn value(mut self, value: f64) -> Self {
        self.value = Some(value);
        self
    }

    /// With the 95 % confidence interval of the value. Its width is that of the [detectable](Check::detectable) change,
    /// which is set with it.
    #[must_use]
    pub fn interval(mut self, lower: f64, upper: f64) -> Self {
        self.interval = Some((lower, upper));
        self.detectable = detectable_change((lower, upper));
        self
    }

    /// With the smallest change that this number of rows can show.
    #[must_use]
    pub fn detectable(mut self, change: f64) -> Self {
        self.detectable = Some(change);
        self
    }

    /// With the margin by which it may be worse than the model that is serving.
    #[must_use]
    pub fn margin(mut self, margin: f64) -> Self {
        self.margin = Some(margin);
        self
    }

    /// With the bound it was compared with.
    #[must_use]
    pub fn bound(mut self, bound: f64) -> Self {
        self.bound = Some(bound);
        self
    }

    /// With the rows it was found on.
    #[must_use]
    pub fn slice(mut self, slice: Slice) -> Self {
        self.slice = Some(slice);
        self
    }

    /// With the number of rows it was found on.
    #[must_use]
    pub fn support(mut self, rows: u64) -> Self {
        self.support = Some(rows);
        self
    }

    /// Returns true if it passed.
    #[must_use]
    pub fn is_passed(&self) -> bool {
        self.outcome == CheckOutcome::Passed
    }

    /// Returns true if it blocks the model.
    #[must_use]
    pub fn is_blocking(&self) -> bool {
        match self.outcome {
            CheckOutcome::Passed => false,
            CheckOutcome::Failed => true,
            CheckOutcome::TooFewRows => !self.optional,
        }
    }
}

/// The verdict of a validator on a candidate: its checks.
///
/// ```
/// use fourfold::blessing::Verdict;
///
/// let verdict = Verdict::new().check("auc", true, "auc is 0.74, at least 0.7 is wanted");
/// assert!(verdict.is_blessed());
/// assert!(!verdict.check("size", false, "the model is 2 GB").is_blessed());
/// assert!(!Verdict::new().is_blessed(), "who has checked nothing has passed nothing");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    checks: Vec<Check>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

impl Verdict {
    /// No checks yet; such a verdict does not bless.
    #[must_use]
    pub fn new() -> Self {
        Verdict::default()
    }

    /// Adds a check that passed or failed.
    #[must_use]
    pub fn check(self, name: impl Into<String>, passed: bool, message: impl Into<String>) -> Self {
        self.with(Check::new(name, passed, message))
    }

    /// Adds a check.
    #[must_use]
    pub fn with(mut self, check: Check) -> Self {
        self.checks.push(check);
        self
    }

    /// Adds what is worth knowing and decides nothing.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Both verdicts' checks and notes.
    #[must_use]
    pub fn and(mut self, other: Verdict) -> Self {
        self.checks.extend(other.checks);
        self.notes.extend(other.notes);
        self
    }

    /// Returns true if a check passed and none [blocks the model](Check::is_blocking).
    #[must_use]
    pub fn is_blessed(&self) -> bool {
        self.checks.iter().any(Check::is_passed) && !self.checks.iter().any(Check::is_blocking)
    }

    /// The checks, in the order they were made.
    #[must_use]
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// Remarks beside the checks.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The reasons why it does not bless: the messages of the blocking checks, and the notes. Empty if it blesses.
    #[must_use]
    pub fn reasons(&self) -> Vec<&str> {
        if self.is_blessed() {
            return Vec::new();
        }
        let blocking = self.checks.iter().filter(|check| check.is_blocking());
        let mut reasons: Vec<&str> = blocking.map(|check| check.message.as_str()).collect();
        if reasons.is_empty() {
            reasons.push("nothing was checked");
        }
        reasons.extend(self.notes.iter().map(String::as_str));
        reasons
    }
}

impl fmt::Display for Check {
    /// The outcome, the message and the smallest change that the rows can show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.outcome, self.message)?;
        match self.detectable {
            Some(change) => write!(f, "; detectable change: {change:.4}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Verdict {
    /// `blessed`, or `rejected: ` and the [reasons](Verdict::reasons).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_blessed() {
            return f.write_str("blessed");
        }
        write!(f, "rejected: {}", self.reasons().join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_tells_the_detectable_change() {
        // An error of 0.01: 1.96 and 0.84 of them.
        let check = Check::new("auc", true, "good").interval(0.8 - 0.0196, 0.8 + 0.0196);
        assert!((check.detectable.unwrap() - 0.028).abs() < 1e-4);
        assert_eq!(check.to_string(), "passed: good; detectable change: 0.0280");
        assert_eq!(Check::new("auc", false, "bad").to_string(), "failed: bad");
    }

    #[test]
    fn too_few_rows_stand_in_the_way_unless_they_are_allowed() {
        let good = Verdict::new().check("auc", true, "good");
        let few = || Check::too_few_rows("auc in slices", "only 3 rows");
        assert!(!good.clone().with(few()).is_blessed());
        assert_eq!(good.clone().with(few()).reasons(), ["only 3 rows"]);
        assert!(good.with(few().optional()).is_blessed());
        let nothing = Verdict::new().with(few().optional());
        assert!(!nothing.is_blessed());
        assert_eq!(nothing.reasons(), ["nothing was checked"]);
        assert_eq!(nothing.to_string(), "rejected: nothing was checked");
    }
}
