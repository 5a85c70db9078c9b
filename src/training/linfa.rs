//! Any estimator of linfa as a trainer.
//!
//! An estimator is declared once, as a [`LinfaEstimator`]:
//!
//! ```ignore
//! #[derive(Serialize)]
//! struct NaiveBayes {
//!     var_smoothing: f64,
//! }
//!
//! impl LinfaEstimator for NaiveBayes {
//!     const NAME: &'static str = "naive_bayes";
//!     const FORMAT: &'static str = "example.naive_bayes.v1";
//!     type Float = f64;
//!     type Label = usize;
//!     type Error = NaiveBayesError;
//!     type Params = GaussianNbParams<f64, usize>;
//!     type Fitted = GaussianNb<f64, usize>;
//!
//!     fn params(&self, _seed: u64) -> Self::Params {
//!         GaussianNb::params().var_smoothing(self.var_smoothing)
//!     }
//! }
//!
//! let trainer = Linfa::new(NaiveBayes { var_smoothing: 1e-9 });
//! let loaders = Loaders::default().with::<LinfaModel<NaiveBayes>>();
//! ```

use linfa::DatasetBase;
use linfa::traits::Fit;
use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};

use super::{Dataset, TrainArgs, Trained, Trainer};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{LinfaEstimator, LinfaLabel, LinfaModel, Target, Task, caught};
use crate::stage::Stage;
use crate::warning::Warning;

/// Trains an estimator of linfa, see [`LinfaEstimator`].
///
/// All rows are held as a dense matrix of the estimator's floats, `size_of::<Float>() * n_rows * n_features` bytes,
/// categories one-hot, and what the estimator needs comes on top. The warning `linfa_memory` says how much that is, and
/// what a million rows would take; it is logged before the training begins too.
///
/// Input on which linfa would panic is refused: no rows, no features, a feature or label that is not finite, one class
/// only. Weights are refused, as most of linfa's estimators ignore them. Any other panic is an error. It cannot be
/// stopped once linfa fits. It is as deterministic as the estimator, which may draw from the seed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Linfa<E> {
    estimator: E,
}

impl<E: LinfaEstimator> Linfa<E> {
    /// A trainer of an estimator.
    #[must_use]
    pub fn new(estimator: E) -> Self {
        Linfa { estimator }
    }

    /// The estimator.
    #[must_use]
    pub fn estimator(&self) -> &E {
        &self.estimator
    }
}

impl<E: LinfaEstimator> Stage for Linfa<E> {
    fn name(&self) -> &str {
        E::NAME
    }

    fn version(&self) -> u32 {
        E::VERSION
    }

    fn check(&self) -> Result<()> {
        if E::FORMAT.is_empty() || E::FORMAT.starts_with("fourfold.") {
            return Err(Error::config(format!(
                "`FORMAT` is `{}`, must be a tag of your own, such as `example.naive_bayes.v1`",
                E::FORMAT
            )));
        }
        Ok(())
    }
}

impl<E: LinfaEstimator> Trainer for Linfa<E> {
    type Model = LinfaModel<E>;

    fn train(&self, args: &TrainArgs) -> Result<Trained<LinfaModel<E>>> {
        let (dataset, target) = (args.train(), args.target());
        check_task::<E>(target)?;
        dataset.refuse_weights(E::NAME)?;
        let (n_rows, n_features) = (dataset.n_rows(), dataset.n_features());
        if n_rows == 0 || n_features == 0 {
            return Err(Error::data(format!(
                "there are {n_rows} rows of {n_features} features, must be at least one of each"
            )));
        }
        let n_cells = (n_rows as u64).saturating_mul(n_features as u64);
        args.check_memory(n_cells.saturating_mul(size_of::<E::Float>() as u64))?;
        let cost = cost::<E>(n_rows, n_features);
        tracing::info!("{cost}");
        let (features, labels) = read::<E>(dataset, args)?;
        let labels = labels_of::<E>(target, &labels)?;
        let rows = DatasetBase::new(features, labels);
        args.cancellation().check()?;
        let fitted = caught(E::NAME, "training", || {
            self.estimator.params(args.seed()).fit(&rows)
        })?
        .map_err(|error| Error::model(format!("linfa cannot fit: {error}")))?;
        let model = LinfaModel::new(n_features, target.n_outputs(), fitted)?;
        Ok(Trained::new(model).with_warning(cost))
    }
}

/// Checks that an estimator of classes has a label with classes, and one of values a label with values.
fn check_task<E: LinfaEstimator>(target: &Target) -> Result<()> {
    let has_classes = target.task() != Task::Regression;
    if E::Label::IS_CLASS == has_classes {
        return Ok(());
    }
    let learned = match E::Label::IS_CLASS {
        true => "classes",
        false => "values",
    };
    Err(Error::config(format!(
        "`{}` learns {learned}, which does not fit the {} task of label `{}`",
        E::NAME,
        target.task(),
        target.label()
    )))
}

/// The memory of the matrix.
fn cost<E: LinfaEstimator>(n_rows: usize, n_features: usize) -> Warning {
    let size = size_of::<E::Float>();
    let bytes = |n_rows: usize| {
        let mib = n_rows as f64 * n_features as f64 * size as f64 / f64::from(1 << 20);
        match mib < 1024.0 {
            true => format!("{mib:.1} MiB"),
            false => format!("{:.1} GiB", mib / 1024.0),
        }
    };
    let message = format!(
        "linfa holds all rows as a dense matrix of f{}: {n_rows} rows of {n_features} features take {}, a million would take {}, and what `{}` needs comes on top",
        8 * size,
        bytes(n_rows),
        bytes(1_000_000),
        E::NAME
    );
    Warning::new("train", "linfa_memory", message)
}

/// Features and labels of all rows, read batch by batch, so that they are in memory once.
fn read<E: LinfaEstimator>(
    dataset: &Dataset,
    args: &TrainArgs,
) -> Result<(Array2<E::Float>, Vec<f64>)> {
    let (n_rows, n_features) = (dataset.n_rows(), dataset.n_features());
    let mut cells: Vec<E::Float> = Vec::new();
    let n_cells = n_rows.saturating_mul(n_features);
    cells.try_reserve_exact(n_cells).map_err(|error| {
        let message = format!("there is no memory for {n_rows} rows of {n_features} features");
        Error::new(ErrorKind::ResourceExhausted, message).with_source(error)
    })?;
    let mut labels = Vec::new();
    for batch in dataset.batches() {
        args.cancellation().check()?;
        let batch = batch?;
        let cast = |cell: &f32| match cell.is_finite() {
            true => Ok(<E::Float as linfa::Float>::cast(*cell)),
            false => Err(Error::data(format!("a feature is {cell}, must be finite"))),
        };
        for cell in batch.features() {
            cells.push(cast(cell)?);
        }
        labels.extend(batch.labels());
    }
    let features = Array2::from_shape_vec((labels.len(), n_features), cells)
        .map_err(|error| Error::internal("features of a wrong shape").with_source(error))?;
    Ok((features, labels))
}

/// Labels as the estimator takes them; of classes, two at least.
fn labels_of<E: LinfaEstimator>(target: &Target, numbers: &[f64]) -> Result<Array1<E::Label>> {
    let classes = target.classes();
    let mut counts = vec![0_usize; classes.len()];
    let mut label_of = |(row, number): (usize, &f64)| {
        let label = E::Label::from_number(*number).filter(|_| {
            !E::Label::IS_CLASS
                || counts
                    .get_mut(*number as usize)
                    .map(|count| *count += 1)
                    .is_some()
        });
        label.ok_or_else(|| {
            let allowed = match E::Label::IS_CLASS {
                true => format!("one of the {} classes of the target", classes.len()),
                false => "a finite number".to_owned(),
            };
            Error::data(format!(
                "label `{}`, row {row}: {number}, must be {allowed}",
                target.label()
            ))
        })
    };
    let labels = numbers
        .iter()
        .enumerate()
        .map(&mut label_of)
        .collect::<Result<_>>()?;
    let seen: Vec<&String> = classes
        .iter()
        .zip(&counts)
        .filter_map(|(class, count)| (*count > 0).then_some(class))
        .collect();
    match seen.as_slice() {
        [only] => Err(Error::data(format!(
            "label `{}` is `{only}` in all {} rows, must be of two classes at least",
            target.label(),
            numbers.len()
        ))),
        _ => Ok(labels),
    }
}
