//! The number of rounds where none is configured.

use super::super::{TrainArgs, Trained};
use super::GradientBoosting;
use crate::error::{ErrorKind, Result};
use crate::model::ForestModel;
use crate::progress::Meter;
use crate::stage::Stage;
use crate::warning::Warning;

/// The most rounds, as in LightGBM and scikit-learn.
const MOST: usize = 100;
/// Above this number of rows, the same rounds overfit less, and take longer.
const FEW_ROWS: usize = 10_000;
const FOLDS: usize = 3;

impl GradientBoosting {
    /// Trains for as many rounds as do best on rows that were left out, if there are few rows and none to tune by.
    pub(super) fn train_chosen_rounds(&self, args: &TrainArgs) -> Result<Trained<ForestModel>> {
        let is_tuned = args.tune().is_some_and(|tune| tune.n_rows() > 0);
        let goes_on = args.warm_start_by_name::<ForestModel>().is_some();
        if is_tuned || goes_on || args.train().n_rows() > FEW_ROWS {
            return self.train_rounds(MOST, args);
        }
        args.check_memory(self.bytes(args, self.objective(args.target())))?;
        let silent = args.clone().with_progress(Meter::default());
        let mut curves: Vec<Vec<f64>> = Vec::new();
        let mut first = None;
        for fold in 0..FOLDS {
            let parts = match args.train().fold(fold, FOLDS) {
                Ok(parts) => parts,
                // Too few rows, or groups of rows, for folds.
                Err(error) if error.kind() == ErrorKind::Data => {
                    return self.train_rounds(MOST, args);
                }
                Err(error) => return Err(error),
            };
            let own = silent.clone().with_train(parts.train);
            let trained = self.train_rounds(MOST, &own.with_tune(parts.held_out));
            if args.cancellation().is_cancelled() {
                // Any model is better than none: the first fold's is complete.
                return first.map_or(trained, |first| Ok(self.cancelled(first)));
            }
            let trained = trained?;
            let curve = trained.record().curve.iter();
            curves.push(curve.map(|point| point.value).collect());
            first.get_or_insert(trained);
        }
        let means = means(&curves);
        let best = (1..).zip(&means).min_by(|(_, a), (_, b)| a.total_cmp(b));
        let rounds = best.map_or(MOST, |(round, _)| round);
        let trained = self.train_rounds(rounds, args)?;
        let mut trained = trained.with_best_iteration(rounds as u64);
        for (round, loss) in (1..).zip(&means) {
            trained = trained.with_point("cross_validation_loss", round, *loss);
        }
        Ok(trained)
    }

    fn cancelled(&self, trained: Trained<ForestModel>) -> Trained<ForestModel> {
        trained.with_warning(Warning::new(
            self.name(),
            "cancelled",
            "training was cancelled while the number of rounds was chosen; the model was trained on two thirds of the rows",
        ))
    }
}

/// The mean loss after each round. A fold that found no more splits keeps its last loss.
fn means(curves: &[Vec<f64>]) -> Vec<f64> {
    let n = curves.iter().map(Vec::len).max().unwrap_or_default();
    let of = |curve: &Vec<f64>, round: usize| curve.get(round).or(curve.last()).copied();
    (0..n)
        .map(|round| {
            let losses = curves.iter().filter_map(|curve| of(curve, round));
            losses.sum::<f64>() / curves.len() as f64
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_that_end_early_keep_their_last_loss() {
        let curves = [vec![3.0, 2.0, 1.0], vec![1.0]];
        assert_eq!(means(&curves), [2.0, 1.5, 1.0]);
        assert!(means(&[Vec::new(), Vec::new()]).is_empty());
    }
}
