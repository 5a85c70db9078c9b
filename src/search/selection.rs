//! Greedy selection of the models of an ensemble.

use ndarray::{Array2, Axis, concatenate};

use super::judge::{Judge, Labels};
use crate::error::{Error, Result};

/// The most rounds of the selection; each adds a model, perhaps again.
const ROUNDS: usize = 25;

/// Greedy selection with replacement (Caruana and others: Ensemble selection from libraries of models, ICML 2004): begins
/// with the best model, and adds, as long as that lowers the loss of the mean, the one that lowers it most. How often each
/// was taken, and the loss: never more than that of the best.
pub(super) fn select(
    judge: &Judge,
    models: &[Array2<f64>],
    labels: &Labels,
) -> Result<(Vec<usize>, f64)> {
    let mut taken = vec![0; models.len()];
    let mut sum: Option<Array2<f64>> = None;
    let mut least = f64::INFINITY;
    for round in 0..ROUNDS {
        let mut found: Option<(usize, f64)> = None;
        for (at, model) in models.iter().enumerate() {
            let mean = match &sum {
                Some(sum) => (sum + model) / (round + 1) as f64,
                None => model.clone(),
            };
            let loss = judge.loss_of(mean, labels)?;
            if found.is_none_or(|(_, best)| loss < best) {
                found = Some((at, loss));
            }
        }
        let Some((at, loss)) = found.filter(|(_, loss)| *loss < least) else {
            break;
        };
        least = loss;
        taken[at] += 1;
        sum = Some(match sum {
            Some(sum) => sum + &models[at],
            None => models[at].clone(),
        });
    }
    match least.is_finite() {
        true => Ok((taken, least)),
        false => Err(Error::model("no model has a loss on the rows to tune by")),
    }
}

/// Rows of several folds, one after the other.
pub(super) fn joined(parts: &[&Array2<f64>]) -> Result<Array2<f64>> {
    let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
    concatenate(Axis(0), &views).map_err(|_| Error::internal("folds of different outputs"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Catalogue;
    use crate::model::Target;
    use ndarray::Array2;

    #[test]
    fn models_whose_mistakes_differ_are_joined() {
        let judge = Judge::new(&Target::regression("y"), &Catalogue::default(), None).unwrap();
        let labels = Labels {
            labels: vec![1.0, 2.0, 3.0, 4.0],
            weights: None,
        };
        let model = |errors: [f64; 4]| {
            let outputs = labels
                .labels
                .iter()
                .zip(errors)
                .map(|(label, error)| label + error);
            Array2::from_shape_vec((4, 1), outputs.collect()).unwrap()
        };
        let models = [
            model([0.3, 0.3, -0.3, 0.3]),
            model([-0.4, -0.4, 0.4, -0.4]),
            model([5.0, -5.0, 5.0, 5.0]),
        ];
        let (taken, loss) = select(&judge, &models, &labels).unwrap();
        assert!(taken[0] >= 1 && taken[1] >= 1 && taken[2] == 0, "{taken:?}");
        assert!(loss < 0.05, "{loss}");
    }
}
