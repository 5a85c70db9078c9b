//! Logistic regression, by linfa.

use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_logistic::{LogisticRegression as Binomial, MultiLogisticRegression as Multinomial};
use ndarray::{Array1, Array2, ArrayView2, Axis, ShapeBuilder, arr1};
use serde::{Deserialize, Serialize};

use super::{TrainArgs, Trainer};
use crate::error::{Error, Result};
use crate::model::{LinearModel, Link, Target};
use crate::stage::Stage;

/// Logistic regression with an L2 penalty, solved by L-BFGS (`linfa-logistic`): binomial for two classes,
/// multinomial for more.
///
/// It works best on scaled features. Deterministic; one thread; holds the feature matrix in memory.
///
/// ```
/// use fourfold::Stage;
/// use fourfold::training::LogisticRegression;
///
/// assert!(LogisticRegression::default().check().is_ok());
/// let error = LogisticRegression::default().alpha(-1.0).check().unwrap_err();
/// assert_eq!(error.to_string(), "`alpha` is -1, must be a finite number of at least 0");
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogisticRegression {
    alpha: f64,
    max_iterations: u64,
    tolerance: f64,
}

impl Default for LogisticRegression {
    /// `alpha` 1, at most 100 iterations, gradient tolerance 1e-3.
    fn default() -> Self {
        LogisticRegression {
            alpha: 1.0,
            max_iterations: 100,
            tolerance: 1e-3,
        }
    }
}

impl LogisticRegression {
    /// The weight of the penalty `alpha / 2 * |weights|²` beside the sum of the rows' losses; 1 unless told.
    #[must_use]
    pub fn alpha(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }

    /// The most iterations of the solver; 100 unless told.
    #[must_use]
    pub fn max_iterations(mut self, n: u64) -> Self {
        self.max_iterations = n;
        self
    }

    /// The solver stops when the gradient of the mean loss is shorter than this; 1e-3 unless told.
    #[must_use]
    pub fn tolerance(mut self, tolerance: f64) -> Self {
        self.tolerance = tolerance;
        self
    }
}

impl Stage for LogisticRegression {
    fn name(&self) -> &str {
        "logistic_regression"
    }

    fn check(&self) -> Result<()> {
        if !(self.alpha.is_finite() && self.alpha >= 0.0) {
            return Err(Error::config(format!(
                "`alpha` is {}, must be a finite number of at least 0",
                self.alpha
            )));
        }
        if self.max_iterations == 0 {
            return Err(Error::config("`max_iterations` is 0, must be at least 1"));
        }
        if !(self.tolerance.is_finite() && self.tolerance > 0.0) {
            return Err(Error::config(format!(
                "`tolerance` is {}, must be a finite number above 0",
                self.tolerance
            )));
        }
        Ok(())
    }
}

impl Trainer for LogisticRegression {
    type Model = LinearModel;

    fn train(&self, args: TrainArgs<'_, LinearModel>) -> Result<LinearModel> {
        if let Target::Regression { label } = args.target() {
            return Err(Error::config(format!(
                "label `{label}` makes a regression task, logistic regression predicts classes"
            )));
        }
        let matrix = args.train().matrix()?;
        let classes = matrix.classes()?;
        let features = by_column(matrix.features());
        match args.target() {
            Target::Multiclass { classes: known, .. } => {
                self.multinomial(features, classes, known.len())
            }
            _ => self.binomial(features, classes),
        }
    }
}

impl LogisticRegression {
    /// linfa's loss is the sum over the rows.
    fn tolerance_of_sum(&self, features: &Array2<f32>) -> f32 {
        (self.tolerance * features.nrows() as f64) as f32
    }

    fn binomial(&self, features: Array2<f32>, classes: Array1<usize>) -> Result<LinearModel> {
        let fitted = Binomial::default()
            .alpha(self.alpha as f32)
            .max_iterations(self.max_iterations)
            .gradient_tolerance(self.tolerance_of_sum(&features))
            .fit(&DatasetBase::new(features, classes))
            .map_err(failed)?;
        // linfa picks which class its weights speak for; ours is always class 1.
        let sign = if fitted.labels().pos.class == 1 {
            1.0
        } else {
            -1.0
        };
        let weights = fitted.params().mapv(|weight| sign * f64::from(weight));
        let intercept = sign * f64::from(fitted.intercept());
        LinearModel::new(
            Link::Logistic,
            &weights.insert_axis(Axis(0)),
            &arr1(&[intercept]),
        )
    }

    fn multinomial(
        &self,
        features: Array2<f32>,
        classes: Array1<usize>,
        n_classes: usize,
    ) -> Result<LinearModel> {
        let fitted = Multinomial::default()
            .alpha(self.alpha as f32)
            .max_iterations(self.max_iterations)
            .gradient_tolerance(self.tolerance_of_sum(&features))
            .fit(&DatasetBase::new(features, classes))
            .map_err(failed)?;
        let mut weights = Array2::zeros((n_classes, fitted.params().nrows()));
        let mut intercepts = Array1::zeros(n_classes);
        for (place, class) in fitted.classes().iter().enumerate() {
            weights
                .row_mut(*class)
                .assign(&fitted.params().column(place).mapv(f64::from));
            intercepts[*class] = f64::from(fitted.intercept()[place]);
        }
        LinearModel::new(Link::Softmax, &weights, &intercepts)
    }
}

/// The same matrix, stored column by column: the solver's products with it and with its transpose both run along
/// memory then, which is several times faster.
fn by_column(features: ArrayView2<'_, f32>) -> Array2<f32> {
    let mut columns = Array2::zeros(features.dim().f());
    columns.assign(&features);
    columns
}

fn failed(error: linfa_logistic::error::Error) -> Error {
    Error::model("logistic regression did not converge to a model").with_source(error)
}
