//! The margins of conformal intervals and sets: how far they must reach to hold the label of a share of the rows.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Table;
use super::calibrated::check_hold_out;
use crate::error::{Error, Result};
use crate::model::Margins;
use crate::stage::Stage;
use crate::warning::Warning;

/// The distance of a row's label from the answer; below 0 within it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Score {
    pub(super) miss: f64,
    pub(super) weight: f64,
}

/// The least margin that covers a share of the rows, and one row more; `None` if the rows are too few.
fn margin(coverage: f64, mut scores: Vec<Score>) -> Option<f64> {
    scores.retain(|score| score.weight > 0.0);
    scores.sort_by(|a, b| a.miss.total_cmp(&b.miss));
    let total: f64 = scores.iter().map(|score| score.weight).sum();
    let one_more = total / scores.len().max(1) as f64;
    let wanted = coverage * (total + one_more);
    let mut sum = 0.0;
    scores.iter().find_map(|score| {
        sum += score.weight;
        // Sums of weights have rounding errors.
        (sum >= wanted * (1.0 - 1e-12)).then_some(score.miss)
    })
}

/// The configuration that conformal intervals and sets share.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Coverage {
    pub(super) coverage: f64,
    pub(super) group: Option<String>,
    pub(super) hold_out: f64,
}

impl Coverage {
    /// A share of all labels, measured on a fifth of the rows.
    pub(super) fn of(coverage: f64) -> Self {
        Coverage {
            coverage,
            group: None,
            hold_out: 0.2,
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        let coverage = self.coverage;
        if !(coverage > 0.0 && coverage < 1.0) {
            return Err(Error::config(format!(
                "`coverage` is {coverage}, must be above 0 and below 1"
            )));
        }
        check_hold_out(self.hold_out)
    }
}

/// The setters of a trainer's [`Coverage`].
macro_rules! coverage_setters {
    () => {
        /// Measures the rows apart by the value of a raw column that the features have as a category (a one-hot). Values
        /// with too few rows get the margin of all rows together.
        #[must_use]
        pub fn per_group(mut self, column: impl Into<String>) -> Self {
            self.coverage.group = Some(column.into());
            self
        }

        /// The share of rows that is held out where there are none to tune by; the default is 0.2.
        #[must_use]
        pub fn hold_out(mut self, fraction: f64) -> Self {
            self.coverage.hold_out = fraction;
            self
        }
    };
}

pub(super) use coverage_setters;

/// The margins of all rows, and of those of each group: a category among the features, by its raw column. Groups of too
/// few rows are warned of. `what` is made of them, such as `intervals`.
pub(super) fn measured(
    (stage, what): (&dyn Stage, &str),
    Coverage {
        coverage, group, ..
    }: &Coverage,
    table: &Table,
    scores: &[Score],
) -> Result<(Margins, Vec<Warning>)> {
    let coverage = *coverage;
    let overall = margin(coverage, scores.to_vec()).ok_or_else(|| {
        Error::data(format!(
            "{} rows to tune by are too few for {what} of coverage {coverage}, must be at least {}",
            scores.len(),
            (coverage / (1.0 - coverage)).ceil()
        ))
    })?;
    let mut margins = Margins {
        coverage,
        overall,
        by_feature: BTreeMap::new(),
        has_band: false,
    };
    let mut warnings = Vec::new();
    let Some(column) = group.as_deref() else {
        return Ok((margins, warnings));
    };
    let features = table.features();
    let of_column = features.info().iter().filter(|it| it.raw == [column]);
    let places = of_column.flat_map(|it| it.first..it.first + it.width);
    let places: Vec<usize> = places.collect();
    let matrix = features.matrix();
    let is_one_hot = |place: &usize| matrix.column(*place).iter().all(|x| *x == 0.0 || *x == 1.0);
    if places.is_empty() || !places.iter().all(is_one_hot) {
        return Err(Error::config(format!(
            "{what} per group require column `{column}` as a category among the features"
        )));
    }
    for place in places {
        let own = matrix.column(place).into_iter().zip(scores);
        let own = own.filter(|(x, _)| **x != 0.0).map(|(_, score)| *score);
        let own: Vec<Score> = own.collect();
        let n = own.len();
        if let Some(margin) = margin(coverage, own) {
            margins.by_feature.insert(place, margin);
            continue;
        }
        let name = &features.names()[place];
        let message = format!("`{name}` has {n} rows to tune by, its {what} are those of all rows");
        warnings.push(Warning::new(stage.name(), "few_rows", message).of_column(column));
    }
    Ok((margins, warnings))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_margin_is_the_quantile_of_one_row_more() {
        let scores = |n: usize, weight: f64| -> Vec<Score> {
            let misses = (1..=n).rev().map(|miss| miss as f64);
            misses.map(|miss| Score { miss, weight }).collect()
        };
        // ceil(0.9 * 20) of 19, ceil(0.9 * 101) of 100.
        assert_eq!(margin(0.9, scores(19, 1.0)), Some(18.0));
        assert_eq!(margin(0.9, scores(100, 0.5)), Some(91.0));
        assert_eq!(margin(0.9, scores(9, 1.0)), Some(9.0));
        assert_eq!(margin(0.9, scores(8, 1.0)), None);
        assert_eq!(margin(0.9, Vec::new()), None);
    }
}
