//! Logistic regression, by linfa.

use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_logistic::{LogisticRegression as Binomial, MultiLogisticRegression as Multinomial};
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, ShapeBuilder, arr1};
use serde::{Deserialize, Serialize};

use super::{TrainArgs, Trained, Trainer};
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

    fn train(&self, args: &TrainArgs) -> Result<Trained<LinearModel>> {
        if let Target::Regression { label } = args.target() {
            return Err(Error::config(format!(
                "label `{label}` makes a regression task, logistic regression predicts classes"
            )));
        }
        args.train().refuse_weights("logistic regression")?;
        let matrix = args.train().matrix()?;
        let classes = matrix.classes()?;
        let features = Scaled::new(matrix.features());
        drop(matrix);
        let model = match args.target() {
            Target::Multiclass { classes: known, .. } => {
                self.multinomial(features, classes, known.len())
            }
            _ => self.binomial(features, classes),
        };
        Ok(model?.into())
    }
}

/// The features as the solver likes them: column by column, so that its products with the matrix and with its
/// transpose both run along memory; and shrunk by the root of the number of rows, with the intercept as a column.
///
/// linfa's loss is the sum over the rows. Its curvature grows with them, and the solver's first step overshoots so far
/// that single precision loses it. After the change of unit the curvature is about 1, whatever the number of rows. The
/// optimum stays the same, but for the intercept's column, which is penalised a hundredth as much as the others.
struct Scaled {
    columns: Array2<f32>,
    scale: f64,
}

impl Scaled {
    const INTERCEPT: f64 = 10.0;

    fn new(features: ArrayView2<'_, f32>) -> Self {
        let (n_rows, n_features) = features.dim();
        let scale = 1.0 / (n_rows as f64).sqrt();
        let mut columns = Array2::zeros((n_rows, n_features + 1).f());
        let (mut scaled, mut intercept) = columns.view_mut().split_at(Axis(1), n_features);
        scaled.assign(&features);
        scaled *= scale as f32;
        intercept.fill((Self::INTERCEPT * scale) as f32);
        Scaled { columns, scale }
    }

    /// The penalty in the unit of the shrunk features.
    fn penalty(&self, alpha: f64) -> f32 {
        (alpha * self.scale * self.scale) as f32
    }

    /// What the gradient of the sum, by the shrunk features, must fall below, of a tolerance for that of the mean.
    fn tolerance(&self, of_mean: f64) -> f32 {
        (of_mean / self.scale) as f32
    }

    /// The weights and the intercept of the features as they were.
    fn restore(&self, fitted: ArrayView1<'_, f32>) -> (Array1<f64>, f64) {
        let last = fitted.len() - 1;
        let weights = fitted
            .iter()
            .take(last)
            .map(|weight| f64::from(*weight) * self.scale);
        (
            weights.collect(),
            f64::from(fitted[last]) * self.scale * Self::INTERCEPT,
        )
    }
}

impl LogisticRegression {
    fn binomial(&self, mut features: Scaled, classes: Array1<usize>) -> Result<LinearModel> {
        let columns = std::mem::take(&mut features.columns);
        let fitted = Binomial::default()
            .with_intercept(false)
            .alpha(features.penalty(self.alpha))
            .max_iterations(self.max_iterations)
            .gradient_tolerance(features.tolerance(self.tolerance))
            .fit(&DatasetBase::new(columns, classes))
            .map_err(failed)?;
        let (weights, intercept) = features.restore(fitted.params().view());
        // linfa picks which class its weights speak for; ours is always class 1.
        let sign = if fitted.labels().pos.class == 1 {
            1.0
        } else {
            -1.0
        };
        LinearModel::new(
            Link::Logistic,
            &(weights * sign).insert_axis(Axis(0)),
            &arr1(&[intercept * sign]),
        )
    }

    fn multinomial(
        &self,
        mut features: Scaled,
        classes: Array1<usize>,
        n_classes: usize,
    ) -> Result<LinearModel> {
        let columns = std::mem::take(&mut features.columns);
        let n_features = columns.ncols() - 1;
        let fitted = Multinomial::default()
            .with_intercept(false)
            .alpha(features.penalty(self.alpha))
            .max_iterations(self.max_iterations)
            .gradient_tolerance(features.tolerance(self.tolerance))
            .fit(&DatasetBase::new(columns, classes))
            .map_err(failed)?;
        let mut weights = Array2::zeros((n_classes, n_features));
        let mut intercepts = Array1::zeros(n_classes);
        for (place, class) in fitted.classes().iter().enumerate() {
            let (row, intercept) = features.restore(fitted.params().column(place));
            weights.row_mut(*class).assign(&row);
            intercepts[*class] = intercept;
        }
        LinearModel::new(Link::Softmax, &weights, &intercepts)
    }
}

fn failed(error: linfa_logistic::error::Error) -> Error {
    Error::model("logistic regression did not converge to a model").with_source(error)
}
