//! An anytime-valid test of whether a canary is harmful or not inferior.
//!
//! A fixed-sample test that is evaluated after every label sooner or later finds harm in nearly every harmless canary. This
//! test is an e-process: capital that is bet against a hypothesis. While the hypothesis holds, the capital is a
//! supermartingale that starts at 1, so the probability that it ever reaches `1 / alpha` is at most `alpha` (Ville 1939),
//! however often it is evaluated and whenever it is stopped.
//!
//! - **The bets** are those of Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting" (JRSS B 86,
//!   2024): for differences of losses in `-1..=1`, brought to `0..=1`, the capital is the product of `1 + lambda (x - m)`,
//!   with the approximate growth-rate adaptive `lambda` of the differences before (aGRAPA, section B.3), from 0 to `1 / (2 m)`.
//! - **The interval** is their predictable plug-in empirical Bernstein confidence sequence (theorem 2), which covers the mean
//!   at all times at once.
//! - **The pairs.** Versions answer different requests. As soon as each has a labelled one, the mean loss of the canary's is
//!   compared with that of the other's since the last pair. Which version answers is drawn without regard to the loss, so each
//!   difference has the mean that is asked about, and both see the same times: drift of the world cancels out.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The hypotheses and error rates of a sequential test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SequentialTest {
    alpha: f64,
    margin: f64,
    tolerance: f64,
}

impl Default for SequentialTest {
    fn default() -> Self {
        SequentialTest {
            alpha: 0.05,
            margin: 0.02,
            tolerance: 0.0,
        }
    }
}

impl SequentialTest {
    /// Each error at most 5 % likely; promoted if the loss is shown to be less than 0.02 higher, rolled back if it is shown to
    /// be higher at all.
    #[must_use]
    pub fn new() -> Self {
        SequentialTest::default()
    }

    /// Sets the largest probability of rolling back a harmless canary, and of promoting one that is worse by the margin or more:
    /// above 0 and below 1; 0.05 by default.
    #[must_use]
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }

    /// Promoted is a canary whose mean loss is shown to be less than this above the other's: non-inferiority, above 0; at
    /// 0 or below, superiority by as much. Between -1 and 1.
    #[must_use]
    pub fn margin(mut self, margin: f64) -> Self {
        self.margin = margin;
        self
    }

    /// Rolled back is a canary whose mean loss is shown to be more than this above the other's; from 0 to below 1.
    #[must_use]
    pub fn tolerance(mut self, tolerance: f64) -> Self {
        self.tolerance = tolerance;
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        let wrong = |name: &str, value: f64, must: &str| {
            Err(Error::config(format!(
                "sequential test: `{name}` is {value}, must be {must}"
            )))
        };
        if !(self.alpha > 0.0 && self.alpha < 1.0) {
            return wrong("alpha", self.alpha, "above 0 and below 1");
        }
        if !(self.margin > -1.0 && self.margin < 1.0) {
            return wrong("margin", self.margin, "above -1 and below 1");
        }
        if !(self.tolerance >= 0.0 && self.tolerance < 1.0) {
            return wrong("tolerance", self.tolerance, "from 0 to below 1");
        }
        Ok(())
    }

    /// Starts the test.
    #[must_use]
    pub fn begin(&self) -> Sequence {
        Sequence {
            test: *self,
            harm: Capital::against((1.0 + self.tolerance) / 2.0),
            good: Capital::against((1.0 - self.margin) / 2.0),
            bounds: Bounds::default(),
            canary: Block::default(),
            stable: Block::default(),
            decision: None,
        }
    }
}

/// The decision of a sequential test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// No worse than the margin allows.
    Promote,
    /// Worse than is tolerated.
    RollBack,
}

/// A [`SequentialTest`] under way: losses come one by one, in the order of their labels.
///
/// ```
/// use fourfold::continuous::{Decision, SequentialTest};
///
/// let mut sequence = SequentialTest::new().begin();
/// // The canary is wrong every second time, the other every tenth.
/// let decided = (0..1_000).find_map(|at| {
///     sequence.stable(f64::from(at % 10 == 0));
///     sequence.canary(f64::from(at % 2))
/// });
/// assert_eq!(decided, Some(Decision::RollBack));
/// assert!(sequence.evidence().n_pairs < 100);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sequence {
    test: SequentialTest,
    harm: Capital,
    good: Capital,
    bounds: Bounds,
    canary: Block,
    stable: Block,
    decision: Option<Decision>,
}

impl Sequence {
    /// Adds the loss of an answer of the canary, in `0..=1`, and returns the decision, if there is one. Values outside are
    /// clamped, NaN is ignored.
    pub fn canary(&mut self, loss: f64) -> Option<Decision> {
        self.canary.add(loss);
        self.pair()
    }

    /// Adds the loss of an answer of the other version, likewise.
    pub fn stable(&mut self, loss: f64) -> Option<Decision> {
        self.stable.add(loss);
        self.pair()
    }

    fn pair(&mut self) -> Option<Decision> {
        if let (Some(canary), Some(stable)) = (self.canary.mean(), self.stable.mean()) {
            (self.canary.sum, self.canary.n) = (0.0, 0);
            (self.stable.sum, self.stable.n) = (0.0, 0);
            // A decision is final: later losses change the evidence alone.
            let x = (1.0 + canary - stable) / 2.0;
            self.harm.bet(x);
            self.good.bet(1.0 - x);
            self.bounds.add(x, self.test.alpha);
            let enough = (1.0 / self.test.alpha).ln();
            // Safety first, should both be shown: a loss above the tolerance and within the margin.
            let harm = (self.harm.log >= enough).then_some(Decision::RollBack);
            let good = (self.good.log >= enough).then_some(Decision::Promote);
            self.decision = self.decision.or(harm).or(good);
        }
        self.decision
    }

    /// The decision, which is final.
    #[must_use]
    pub fn decision(&self) -> Option<Decision> {
        self.decision
    }

    /// The evidence so far.
    #[must_use]
    pub fn evidence(&self) -> Evidence {
        let (lower, upper) = self.bounds.interval;
        Evidence {
            n_canary: self.canary.all,
            n_stable: self.stable.all,
            n_pairs: self.bounds.mean.n,
            difference: 2.0 * self.bounds.mean.mean() - 1.0,
            lower: 2.0 * lower - 1.0,
            upper: 2.0 * upper - 1.0,
            harm: self.harm.log.exp().min(f64::MAX),
            no_worse: self.good.log.exp().min(f64::MAX),
        }
    }
}

/// The evidence about a canary so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Evidence {
    /// Labelled answers of the canary.
    pub n_canary: u64,
    /// Labelled answers of the other version.
    pub n_stable: u64,
    /// Pairs that were compared.
    pub n_pairs: u64,
    /// The mean difference of the losses, the canary's less the other's.
    pub difference: f64,
    /// The lower end of its confidence sequence at level `1 - alpha`: it holds at all times at once.
    pub lower: f64,
    /// The upper end.
    pub upper: f64,
    /// The evidence that the canary does harm: an e-value, 1 is none.
    pub harm: f64,
    /// The evidence that it is no worse.
    pub no_worse: f64,
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} labelled answers of the canary and {} of the other: loss {:+.4} [{:+.4}, {:+.4}], e-values {:.3} for harm \
             and {:.3} for no worse",
            self.n_canary,
            self.n_stable,
            self.difference,
            self.lower,
            self.upper,
            self.harm,
            self.no_worse
        )
    }
}

/// Losses of a version since the last pair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Block {
    sum: f64,
    n: u64,
    all: u64,
}

impl Block {
    fn add(&mut self, loss: f64) {
        if loss.is_nan() {
            return;
        }
        self.sum += loss.clamp(0.0, 1.0);
        self.n += 1;
        self.all += 1;
    }

    fn mean(&self) -> Option<f64> {
        (self.n > 0).then(|| self.sum / self.n as f64)
    }
}

/// Mean and variance of values in `0..=1`, as regularised as in the paper: as if a first value had been 1/2 and its variance
/// 1/4.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Moments {
    n: u64,
    sum: f64,
    /// The sum of the squares of each value less the mean up to it.
    squares: f64,
}

impl Moments {
    fn add(&mut self, x: f64) {
        self.n += 1;
        self.sum += x;
        self.squares += (x - self.regular_mean()).powi(2);
    }

    fn mean(&self) -> f64 {
        match self.n {
            0 => 0.5,
            n => self.sum / n as f64,
        }
    }

    fn regular_mean(&self) -> f64 {
        (0.5 + self.sum) / (self.n + 1) as f64
    }

    fn regular_variance(&self) -> f64 {
        (0.25 + self.squares) / (self.n + 1) as f64
    }
}

/// The capital that is bet against a mean of at most `m`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Capital {
    m: f64,
    log: f64,
    before: Moments,
}

impl Capital {
    fn against(m: f64) -> Self {
        Capital {
            m,
            log: 0.0,
            before: Moments::default(),
        }
    }

    fn bet(&mut self, x: f64) {
        let ahead = self.before.regular_mean() - self.m;
        let growth = ahead / (self.before.regular_variance() + ahead * ahead);
        // At most half of what the worst value could take.
        let lambda = growth.clamp(0.0, 0.5 / self.m);
        self.log += (lambda * (x - self.m)).ln_1p();
        self.before.add(x);
    }
}

/// The confidence sequence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Bounds {
    mean: Moments,
    weights: f64,
    weighted: f64,
    spread: f64,
    /// The intersection of all intervals so far.
    interval: (f64, f64),
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds {
            mean: Moments::default(),
            weights: 0.0,
            weighted: 0.0,
            spread: 0.0,
            interval: (0.0, 1.0),
        }
    }
}

impl Bounds {
    fn add(&mut self, x: f64, alpha: f64) {
        let t = (self.mean.n + 1) as f64;
        let log = (2.0 / alpha).ln();
        let lambda = (2.0 * log / (self.mean.regular_variance() * t * (1.0 + t).ln())).sqrt();
        let lambda = lambda.min(0.5);
        let off = x - self.mean.regular_mean();
        // 4 (x - mean)² times psi(lambda) = (-ln(1 - lambda) - lambda) / 4.
        self.spread += off * off * (-(-lambda).ln_1p() - lambda);
        self.weights += lambda;
        self.weighted += lambda * x;
        self.mean.add(x);
        let (center, half) = (
            self.weighted / self.weights,
            (log + self.spread) / self.weights,
        );
        let (lower, upper) = self.interval;
        self.interval = (lower.max(center - half), upper.min(center + half));
    }
}

#[cfg(test)]
mod tests;
