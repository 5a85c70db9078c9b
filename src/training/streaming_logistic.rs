//! Logistic regression on more rows than memory holds.

use fourfold_kernels::linear::{Coefficients, Design, Ftrl, FtrlOptions};
use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};

use super::linear_rows::{Start, TAKES};
use super::logistic_regression::{check_classes, of_classes};
use super::random::Random;
use super::{Capabilities, TrainArgs, Trained, Trainer, WarmStart};
use crate::error::{Error, Result};
use crate::model::LinearModel;
use crate::stage::Stage;

/// Logistic regression that sees one batch of rows at a time: its memory is that of the features, whatever the rows. It
/// learns from row after row, each weight at a rate of its own (FTRL-Proximal; McMahan and others, Ad Click Prediction,
/// KDD 2013), in some epochs.
///
/// The seed decides the order of the files and of the rows within a batch. One thread; deterministic. Where the rows fit,
/// [`LogisticRegression`](super::LogisticRegression) is nearer to the minimum.
///
/// ```
/// use fourfold::Stage;
/// use fourfold::training::StreamingLogistic;
///
/// assert!(StreamingLogistic::default().epochs(3).check().is_ok());
/// let error = StreamingLogistic::default().rate(0.0).check().unwrap_err();
/// assert_eq!(error.to_string(), "`rate` is 0, must be a finite number above 0");
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StreamingLogistic {
    epochs: u32,
    rate: f64,
    smoothing: f64,
    l1: f64,
    l2: f64,
}

impl Default for StreamingLogistic {
    /// Two epochs at rate 0.05 with smoothing 1, no penalty.
    fn default() -> Self {
        StreamingLogistic {
            epochs: 2,
            rate: 0.05,
            smoothing: 1.0,
            l1: 0.0,
            l2: 0.0,
        }
    }
}

impl StreamingLogistic {
    /// The number of passes over the rows; the default is 2.
    #[must_use]
    pub fn epochs(mut self, n: u32) -> Self {
        self.epochs = n;
        self
    }

    /// The size of the first steps; the default is 0.05.
    #[must_use]
    pub fn rate(mut self, rate: f64) -> Self {
        self.rate = rate;
        self
    }

    /// The rate falls with the root of the squared gradients, once these are of the square of this; the default is 1.
    #[must_use]
    pub fn smoothing(mut self, smoothing: f64) -> Self {
        self.smoothing = smoothing;
        self
    }

    /// The weights of the penalties `l1 * |w|₁ + l2 / 2 * |w|²` beside the sum of the rows' losses; the default is 0.
    #[must_use]
    pub fn penalty(mut self, l1: f64, l2: f64) -> Self {
        (self.l1, self.l2) = (l1, l2);
        self
    }
}

impl Stage for StreamingLogistic {
    fn name(&self) -> &str {
        "streaming_logistic"
    }

    fn check(&self) -> Result<()> {
        if self.epochs == 0 {
            return Err(Error::config("`epochs` is 0, must be at least 1"));
        }
        for (name, value) in [("rate", self.rate), ("smoothing", self.smoothing)] {
            if !(value.is_finite() && value > 0.0) {
                return Err(Error::config(format!(
                    "`{name}` is {value}, must be a finite number above 0"
                )));
            }
        }
        for (name, value) in [("l1", self.l1), ("l2", self.l2)] {
            if !(value.is_finite() && value >= 0.0) {
                return Err(Error::config(format!(
                    "`{name}` is {value}, must be a finite number of at least 0"
                )));
            }
        }
        Ok(())
    }
}

impl Trainer for StreamingLogistic {
    type Model = LinearModel;

    fn train(&self, args: &TrainArgs) -> Result<Trained<LinearModel>> {
        /// The squared gradients that stand for what a previous model has seen.
        const SEEN: f64 = 100.0;
        let (loss, link) = of_classes(args.target())?;
        let rows = args.train();
        let (width, columns) = (rows.n_features(), rows.columns());
        let options = FtrlOptions {
            rate: self.rate,
            smoothing: self.smoothing,
            l1: self.l1,
            l2: self.l2,
        };
        let mut ftrl = Ftrl::new(width, loss, options);
        let start = Start::of(args, link, loss.n_outputs());
        if let Some(start) = &start {
            ftrl.start_from(&start.coefficients, SEEN);
        }
        let mut random = Random::new(args.seed());
        let mut curve = Vec::new();
        for epoch in 0..self.epochs {
            let (mut sum, mut total) = (0.0, 0.0);
            let mut parts: Vec<_> = rows.examples().parts().into_iter().map(Some).collect();
            for place in random.order(parts.len()) {
                let Some(part) = parts[place as usize].take() else {
                    continue;
                };
                for table in rows.tables_of(part, &columns, TAKES) {
                    args.cancellation().check()?;
                    let table = table?;
                    let labels = table.labels().to_vec();
                    check_classes(&labels, args.target())?;
                    let weights = table.weights().map(|weights| weights.to_vec());
                    let design = Design::new(table.features().columns());
                    let order = random.order(labels.len()).into_iter();
                    let order = order.map(|row| row as usize);
                    sum += ftrl.learn(&design, &labels, weights.as_deref(), order);
                    total += match &weights {
                        Some(weights) => weights.iter().sum(),
                        None => labels.len() as f64,
                    };
                }
            }
            if total == 0.0 {
                return Err(Error::data(
                    "there are no rows to train on, or all weights are 0",
                ));
            }
            curve.push(sum / total);
            args.progress()
                .advance(u64::from(epoch) + 1, u64::from(self.epochs));
        }
        let Coefficients {
            weights,
            intercepts,
        } = ftrl.coefficients();
        let n_outputs = loss.n_outputs();
        let by_output = |(output, feature)| weights[feature * n_outputs + output];
        let weights = Array2::from_shape_fn((n_outputs, width), by_output);
        let model = LinearModel::new(link, &weights, &Array1::from(intercepts))?;
        let points = curve.into_iter().enumerate();
        let mut trained = Trained::new(model);
        if let Some(warning) = start.and_then(|start| start.warning) {
            trained = trained.with_warning(warning);
        }
        Ok(points.fold(trained, |trained, (at, value)| {
            trained.with_point("train_log_loss", at as u64 + 1, value)
        }))
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::from(TAKES).warm_start(WarmStart::ByName)
    }
}
