//! Models that an estimator of linfa has fitted.

use std::any::type_name;
use std::error::Error as StdError;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use linfa::traits::{Fit, PredictInplace};
use ndarray::{Array1, Array2};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Loaders, Model, Predict, load_json, matrix_for, save_json};
use crate::error::{Error, Result};
use crate::features::Features;

const FILE: &str = "linfa.json";

/// An estimator of [linfa](https://docs.rs/linfa), told once: the types it is made of, the name of the trainer, the tag
/// of the saved model. The implementing type holds its hyperparameters, and its serialized form is the stage's
/// configuration.
///
/// [`Linfa`](crate::training::Linfa) trains it; [`LinfaModel`] is the trained model, and is loaded with
/// `Loaders::default().with::<LinfaModel<Yours>>()`. What is fitted must be `Serialize` and `Deserialize`: linfa's crates
/// have a feature `serde` for it.
pub trait LinfaEstimator: Serialize + Send + Sync + 'static {
    /// The name of the trainer: in errors, reports and fingerprints.
    const NAME: &'static str;

    /// Raised when [`LinfaEstimator::params`] means something else while the configuration does not change.
    const VERSION: u32 = 1;

    /// The tag of the saved model, `<owner>.<kind>.v<n>`: another one for each estimator.
    const FORMAT: &'static str;

    /// `f32` or `f64`: what the matrix of features holds, `(n_rows, n_features)`.
    type Float: linfa::Float;

    /// The type of the labels: `usize` for classes, `f32` or `f64` for values.
    type Label: LinfaLabel;

    /// The error of fitting.
    type Error: StdError + From<linfa::Error>;

    /// The hyperparameters as linfa takes them. linfa checks them when it fits.
    type Params: Fit<Array2<Self::Float>, Array1<Self::Label>, Self::Error, Object = Self::Fitted>;

    /// The fitted model.
    type Fitted: PredictInplace<Array2<Self::Float>, Array1<Self::Label>>
        + Serialize
        + DeserializeOwned
        + fmt::Debug
        + Send
        + Sync
        + 'static;

    /// The hyperparameters; an estimator that draws random numbers takes them from the seed.
    fn params(&self, seed: u64) -> Self::Params;
}

/// A label of an estimator of linfa: `usize` (the index of a class), `f32` or `f64` (a value). Sealed.
pub trait LinfaLabel: Copy + fmt::Debug + Send + Sync + sealed::Sealed + 'static {
    /// Whether the label is a class.
    const IS_CLASS: bool;

    /// Converts the number that a dataset has as label; `None` if it is not finite, too large, or no index.
    fn from_number(number: f64) -> Option<Self>;

    /// The class's index or the value.
    fn to_number(self) -> f64;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for usize {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

impl LinfaLabel for usize {
    const IS_CLASS: bool = true;

    fn from_number(number: f64) -> Option<Self> {
        (number.fract() == 0.0 && (0.0..1e6).contains(&number)).then_some(number as usize)
    }

    fn to_number(self) -> f64 {
        self as f64
    }
}

impl LinfaLabel for f32 {
    const IS_CLASS: bool = false;

    fn from_number(number: f64) -> Option<Self> {
        let number = number as f32;
        number.is_finite().then_some(number)
    }

    fn to_number(self) -> f64 {
        f64::from(self)
    }
}

impl LinfaLabel for f64 {
    const IS_CLASS: bool = false;

    fn from_number(number: f64) -> Option<Self> {
        number.is_finite().then_some(number)
    }

    fn to_number(self) -> f64 {
        self
    }
}

/// A fitted model of an estimator of linfa.
///
/// linfa's classifiers answer with a class: its probability is given as 1, that of the others as 0. Such a model has no
/// use for a decision threshold, and its log loss says little; its accuracy holds. A panic of linfa's is an error.
///
/// It is saved as JSON, under the estimator's tag.
pub struct LinfaModel<E: LinfaEstimator> {
    n_features: usize,
    n_outputs: usize,
    fitted: E::Fitted,
}

/// The stored form.
#[derive(Serialize, Deserialize)]
struct Stored<F> {
    n_features: usize,
    n_outputs: usize,
    fitted: F,
}

impl<E: LinfaEstimator> LinfaModel<E> {
    /// A model of what is fitted; `n_outputs` is the target's, and 1 for values.
    ///
    /// # Errors
    /// [`ErrorKind::Model`](crate::ErrorKind::Model) if the outputs do not fit the label, or if what is fitted cannot be
    /// written as JSON and read again: a number that is not finite cannot.
    pub fn new(n_features: usize, n_outputs: usize, fitted: E::Fitted) -> Result<Self> {
        check_outputs::<E>(n_outputs)?;
        serde_json::to_value(&fitted)
            .and_then(serde_json::from_value::<E::Fitted>)
            .map_err(|error| {
                Error::model(format!(
                    "what `{}` has fitted cannot be saved, such as where a parameter is not finite",
                    E::NAME
                ))
                .with_source(error)
            })?;
        Ok(LinfaModel {
            n_features,
            n_outputs,
            fitted,
        })
    }

    /// The fitted model of linfa.
    #[must_use]
    pub fn fitted(&self) -> &E::Fitted {
        &self.fitted
    }

    /// Probabilities, 0 and 1, of classes.
    fn one_hot(&self, classes: &Array1<E::Label>) -> Result<Array2<f64>> {
        let n_classes = self.n_outputs.max(2);
        let mut outputs = Array2::zeros((classes.len(), self.n_outputs));
        for (row, class) in classes.iter().enumerate() {
            let class = class.to_number() as usize;
            if class >= n_classes {
                return Err(Error::model(format!(
                    "row {row}: `{}` answers class {class} of {n_classes}",
                    E::NAME
                )));
            }
            match self.n_outputs {
                1 => outputs[[row, 0]] = class as f64,
                _ => outputs[[row, class]] = 1.0,
            }
        }
        Ok(outputs)
    }
}

impl<E: LinfaEstimator> fmt::Debug for LinfaModel<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinfaModel")
            .field("estimator", &type_name::<E>())
            .field("n_features", &self.n_features)
            .field("n_outputs", &self.n_outputs)
            .field("fitted", &self.fitted)
            .finish()
    }
}

impl<E: LinfaEstimator> Predict for LinfaModel<E> {
    fn n_features(&self) -> usize {
        self.n_features
    }

    fn n_outputs(&self) -> usize {
        self.n_outputs
    }

    fn predict(&self, features: &Features) -> Result<Array2<f64>> {
        let matrix = matrix_for(self, features)?;
        let n_rows = matrix.nrows();
        if n_rows == 0 {
            return Ok(Array2::zeros((0, self.n_outputs)));
        }
        let records = matrix.mapv(<E::Float as linfa::Float>::cast);
        let answers = caught(E::NAME, "predicting", || {
            let mut answers = self.fitted.default_target(&records);
            self.fitted.predict_inplace(&records, &mut answers);
            answers
        })?;
        if answers.len() != n_rows {
            return Err(Error::model(format!(
                "`{}` gives {} answers for {n_rows} rows",
                E::NAME,
                answers.len()
            )));
        }
        match E::Label::IS_CLASS {
            true => self.one_hot(&answers),
            false => Ok(Array2::from_shape_fn((n_rows, 1), |(row, _)| {
                answers[row].to_number()
            })),
        }
    }
}

impl<E: LinfaEstimator> Model for LinfaModel<E> {
    const FORMAT: &'static str = E::FORMAT;

    fn save(&self, dir: &Path) -> Result<()> {
        // Serialized to a value first: its maps are sorted, so equal models have equal files.
        let fitted = serde_json::to_value(&self.fitted).map_err(|error| {
            Error::model(format!("`{}` cannot be saved", E::NAME)).with_source(error)
        })?;
        let stored = Stored {
            n_features: self.n_features,
            n_outputs: self.n_outputs,
            fitted,
        };
        save_json(dir, FILE, &stored)
    }

    fn load(dir: &Path, _: &Loaders) -> Result<Self> {
        let stored: Stored<E::Fitted> = load_json(dir, FILE)?;
        check_outputs::<E>(stored.n_outputs).map_err(|error| {
            Error::corrupt(format!("`{FILE}` is not a model of `{}`", E::NAME)).with_source(error)
        })?;
        Ok(LinfaModel {
            n_features: stored.n_features,
            n_outputs: stored.n_outputs,
            fitted: stored.fitted,
        })
    }
}

fn check_outputs<E: LinfaEstimator>(n_outputs: usize) -> Result<()> {
    let most = match E::Label::IS_CLASS {
        true => 1 << 16,
        false => 1,
    };
    if (1..=most).contains(&n_outputs) {
        return Ok(());
    }
    Err(Error::model(format!(
        "a model of `{}` has {n_outputs} outputs, must be from 1 to {most}",
        E::NAME
    )))
}

/// Runs code of linfa; a panic of it is an error that names the stage.
pub(crate) fn caught<T>(stage: &str, doing: &str, run: impl FnOnce() -> T) -> Result<T> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        Error::model(format!("linfa panicked while {doing}: {text}")).in_stage(stage)
    })
}
