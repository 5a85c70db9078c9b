//! The folds of a data set: one of them, or all in as many passes over the rows as one takes.

use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;

use super::Dataset;
use super::hold_out::{HoldOut, HoldOutBy, Measure, value_at};
use crate::accumulate::Accumulate;
use crate::error::{Error, Result};
use crate::examples::ExamplePart;
use crate::features::Takes;
use crate::parallel::side_by_side;
use crate::placing::Purpose;
use crate::transform::{FitPass, Roles, TransformChoice};

impl Dataset {
    /// Holds out fold `k`, from 0, of `of` folds. Every row is in one. (Folds by [time](HoldOutBy::Time) leave out
    /// the first rows.) As [`Dataset::hold_out`] otherwise.
    ///
    /// # Errors
    /// As [`Dataset::hold_out`], and [`ErrorKind::Config`](crate::ErrorKind::Config) if there is no such fold.
    pub fn fold(&self, k: usize, of: usize) -> Result<HoldOut> {
        if of < 2 || k >= of {
            return Err(Error::config(format!(
                "fold {k} of {of}, must be from 0 and below the number of folds, which must be at least 2"
            )));
        }
        let measure = self.measure(|depth| Purpose::Fold(depth, 0))?;
        let ranges = self.fold_ranges(&measure, of)?.swap_remove(k);
        let divided = self.divide_often(&measure, vec![ranges])?.pop();
        divided.flatten().ok_or_else(|| self.empty_fold(k, of))
    }

    /// All `of` folds, each as [`Dataset::fold`] gives it. The rows are read as often as for one fold: two passes at
    /// most read the columns that decide.
    ///
    /// # Errors
    /// As [`Dataset::fold`].
    pub fn folds(&self, of: usize) -> Result<Vec<HoldOut>> {
        self.folds_again(of, 0)
    }

    /// Other folds of the same rows for each number `again`; those of 0 are [`Dataset::folds`]. Folds by time are the same
    /// each time.
    pub(crate) fn folds_again(&self, of: usize, again: u64) -> Result<Vec<HoldOut>> {
        if of < 2 {
            return Err(Error::config(format!("{of} folds, must be at least 2")));
        }
        let measure = self.measure(|depth| Purpose::Fold(depth, again))?;
        let ranges = self.fold_ranges(&measure, of)?;
        let divided = self.divide_often(&measure, ranges)?.into_iter();
        let folds = divided.enumerate();
        folds
            .map(|(k, fold)| fold.ok_or_else(|| self.empty_fold(k, of)))
            .collect()
    }

    fn empty_fold(&self, k: usize, of: usize) -> Error {
        Error::data(format!(
            "fold {k} of {of} of {} rows leaves none on one side; take fewer folds",
            self.n_rows()
        ))
    }

    /// The ranges of the measure that each fold is, one a stratum.
    fn fold_ranges(&self, measure: &Measure, of: usize) -> Result<Vec<Vec<(f64, f64)>>> {
        let edge = |fold: usize| fold as f64 / of as f64;
        if measure.is_share() {
            let even: Vec<(f64, f64)> = (0..of).map(|k| (edge(k), edge(k + 1))).collect();
            if self.count(measure, &even)?.iter().all(|n| *n > 0) {
                return Ok(even.into_iter().map(|range| vec![range]).collect());
            }
        }
        let first = usize::from(matches!(self.hold_out_by, HoldOutBy::Time(_)));
        let sorted = self.sorted(measure)?;
        let range = |k: usize| {
            let in_stratum = |sorted: &Vec<f64>| {
                let edge = |fold: usize| match fold * sorted.len() / (of + first) {
                    0 => f64::NEG_INFINITY,
                    row => value_at(sorted, row),
                };
                (edge(k + first), edge(k + first + 1))
            };
            sorted.iter().map(in_stratum).collect()
        };
        Ok((0..of).map(range).collect())
    }

    /// The [folds](Dataset::folds) of this data set behind a transform that is fitted, for each of them, on its rows to
    /// train on alone: as [`Dataset::refit`] of each fold, or [`Dataset::refit_with`] where a transform is given, but the
    /// rows are read once a pass and not once a fold.
    ///
    /// In the first pass each row is taken in once, by the state of the fold that holds it out; the states of the other
    /// folds, merged, are what a fold learns. What a later pass learns depends on what the fold learned before, so there
    /// each row is taken in by every fold that trains on it, of one reading.
    ///
    /// # Errors
    /// As [`Dataset::refit`].
    pub(crate) fn refit_folds(
        &self,
        folds: &[HoldOut],
        transform: Option<&TransformChoice>,
        takes: Takes,
    ) -> Result<Vec<HoldOut>> {
        let plan = match transform {
            Some(transform) => self.plan()?.with_choice(transform.clone()).into(),
            None => Arc::clone(self.plan()?),
        };
        let schema = self.examples.schema();
        let behind = |fold: &HoldOut, fitted| {
            let train = Dataset {
                fitted,
                ..fold.train.clone()
            };
            let held_out = fold.held_out.clone();
            HoldOut {
                held_out: held_out.with_transform(train.fitted().clone()),
                train,
            }
        };
        if takes.rows {
            let fitted = plan.rows(schema)?;
            let folds = folds.iter().map(|fold| behind(fold, fitted.clone()));
            return Ok(folds.collect());
        }
        let (transform, decisions) = plan.transform(takes)?;
        let fitting = transform.fitting(schema, Roles::label(self.target.label()))?;
        let mut fittings = vec![fitting; folds.len()];
        let mut is_first = true;
        loop {
            // The number of passes depends on the steps, not on the rows, so it is the same for all folds.
            // Each fold is asked, as steps that learn nothing are fitted then.
            let passes = fittings.iter_mut().map(|fitting| fitting.pass());
            let passes: Vec<Option<FitPass>> = passes.collect::<Result<_>>()?;
            let passes: Option<Vec<FitPass>> = passes.into_iter().collect();
            let (Some(passes), Some(first)) = (passes, fittings.first()) else {
                break;
            };
            let columns = first.columns();
            let passes = match is_first {
                true => self.pass_by_cell(folds, &columns, passes)?,
                false => self.pass_by_fold(folds, &columns, passes)?,
            };
            for (fitting, pass) in fittings.iter_mut().zip(passes) {
                fitting.absorb(pass)?;
            }
            is_first = false;
        }
        let fitted = fittings.into_iter().zip(folds);
        fitted
            .map(|(fitting, fold)| {
                Ok(behind(
                    fold,
                    plan.fitted(fitting.finish()?, decisions.clone()),
                ))
            })
            .collect()
    }

    /// A pass that all folds begin in equal states: a state a cell, the rows that one fold holds out, and
    /// one of the rows that none does.
    fn pass_by_cell(
        &self,
        folds: &[HoldOut],
        columns: &[&str],
        mut passes: Vec<FitPass>,
    ) -> Result<Vec<FitPass>> {
        let Some(empty) = passes.first().cloned() else {
            return Ok(passes);
        };
        let of_part = |part| {
            let mut cells = vec![empty.clone(); folds.len() + 1];
            self.each_cell(part, folds, columns, |cell, rows| cells[cell].update(&rows))?;
            Ok(cells)
        };
        let mut parts = side_by_side(self.threads, self.examples.parts(), of_part)?.into_iter();
        let Some(mut cells) = parts.next() else {
            return Ok(passes);
        };
        for part in parts {
            for (cell, part) in cells.iter_mut().zip(part) {
                cell.merge(part)?;
            }
        }
        for (fold, pass) in passes.iter_mut().enumerate() {
            for (cell, state) in cells.iter().enumerate() {
                if self.trains_on(fold, cell, folds.len()) {
                    pass.merge(state.clone())?;
                }
            }
        }
        Ok(passes)
    }

    /// A pass in which each fold has a state of its own.
    fn pass_by_fold(
        &self,
        folds: &[HoldOut],
        columns: &[&str],
        mut passes: Vec<FitPass>,
    ) -> Result<Vec<FitPass>> {
        let of_part = |part| {
            let mut mine = passes.clone();
            self.each_cell(part, folds, columns, |cell, rows| {
                for (fold, pass) in mine.iter_mut().enumerate() {
                    if self.trains_on(fold, cell, folds.len()) {
                        pass.update(&rows)?;
                    }
                }
                Ok(())
            })?;
            Ok(mine)
        };
        for part in side_by_side(self.threads, self.examples.parts(), of_part)? {
            for (pass, part) in passes.iter_mut().zip(part) {
                pass.merge(part)?;
            }
        }
        Ok(passes)
    }

    /// Returns true if a fold trains on the rows of a cell: those that another fold holds out or, in the last, no fold.
    fn trains_on(&self, fold: usize, cell: usize, n_folds: usize) -> bool {
        match self.hold_out_by {
            HoldOutBy::Time(_) => cell < fold || cell == n_folds,
            _ => cell != fold,
        }
    }

    /// Visits the rows of a part, parted by the fold that holds them out.
    fn each_cell(
        &self,
        part: ExamplePart<'_>,
        folds: &[HoldOut],
        columns: &[&str],
        mut visit: impl FnMut(usize, RecordBatch) -> Result<()>,
    ) -> Result<()> {
        let deciding = folds.first().map(|fold| &fold.held_out.selection);
        let deciding = deciding.map(|selection| selection.last_columns(&self.target));
        let deciding = deciding.into_iter().flatten();
        let columns: Vec<&str> = columns.iter().copied().chain(deciding).collect();
        for batch in self.selected(part, &columns) {
            let batch = batch?;
            let mut cell_of_row = vec![folds.len(); batch.num_rows()];
            for (at, fold) in folds.iter().enumerate() {
                let held_out = fold.held_out.selection.last_holds(&batch, &self.target)?;
                for (cell, _) in cell_of_row.iter_mut().zip(held_out).filter(|(_, is)| *is) {
                    *cell = at;
                }
            }
            for cell in 0..=folds.len() {
                let rows: Vec<bool> = cell_of_row.iter().map(|of_row| *of_row == cell).collect();
                if rows.iter().any(|is| *is) {
                    visit(
                        cell,
                        filter_record_batch(&batch, &BooleanArray::from(rows))?,
                    )?;
                }
            }
        }
        Ok(())
    }
}
