//! Models: made by trainers, saved, and asked for predictions.
//!
//! A model is two traits. [`Predict`] is what answering needs, and is object-safe: features in, outputs out.
//! [`Model`] adds saving and loading under a format tag. [`Loaders`] finds the loader for a tag that is read from
//! a file.
//!
//! ```
//! use std::path::Path;
//!
//! use fourfold::features::Features;
//! use fourfold::model::{Loaders, Model, Predict};
//! use fourfold::ndarray::{Array2, Axis};
//! use fourfold::{Error, ErrorKind, Result};
//!
//! /// Answers with the sum of the features.
//! #[derive(Debug)]
//! struct Sum {
//!     n_features: usize,
//! }
//!
//! impl Predict for Sum {
//!     fn n_features(&self) -> usize {
//!         self.n_features
//!     }
//!
//!     fn n_outputs(&self) -> usize {
//!         1
//!     }
//!
//!     fn predict(&self, features: &Features) -> Result<Array2<f64>> {
//!         Ok(features.matrix().map(|x| f64::from(*x)).sum_axis(Axis(1)).insert_axis(Axis(1)))
//!     }
//! }
//!
//! impl Model for Sum {
//!     const FORMAT: &'static str = "example.sum.v1";
//!
//!     fn save(&self, dir: &Path) -> Result<()> {
//!         fourfold::model::save_json(dir, "sum.json", &self.n_features)
//!     }
//!
//!     fn load(dir: &Path, _: &Loaders) -> Result<Self> {
//!         Ok(Sum { n_features: fourfold::model::load_json(dir, "sum.json")? })
//!     }
//! }
//!
//! let loaders = fourfold::model::Loaders::default().with::<Sum>();
//! assert!(loaders.formats().any(|format| format == "example.sum.v1"));
//! ```

mod answer;
mod any;
mod bagged;
mod calibrated;
mod conformal;
mod conformal_sets;
mod constant;
mod contributions;
mod ensemble;
mod forest;
mod label;
mod linear;
#[cfg(feature = "linfa")]
mod linfa;
mod loaders;
mod paths;
mod prediction;
mod raw_rows;
mod reference;
mod servable;
mod target;
mod task;
mod tree;
mod weighting;
mod wrapping;

use std::any::Any;
use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;

use ndarray::{Array2, Array3, ArrayView2};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::any::AnyModel;
pub use self::bagged::BaggedModel;
#[cfg(feature = "datafusion")]
pub(crate) use self::calibrated::calibrate;
#[cfg(feature = "datafusion")]
pub(crate) use self::calibrated::logit;
pub use self::calibrated::{CalibratedModel, Calibration};
pub use self::conformal::ConformalModel;
#[cfg(feature = "datafusion")]
pub(crate) use self::conformal::{Margins, band};
pub use self::conformal_sets::ConformalSetsModel;
#[cfg(feature = "datafusion")]
pub(crate) use self::conformal_sets::miss_of;
pub use self::constant::ConstantModel;
pub use self::contributions::Contributions;
pub use self::ensemble::EnsembleModel;
#[cfg(feature = "datafusion")]
pub(crate) use self::forest::ForestColumn;
pub use self::forest::{Combine, ForestModel};
pub use self::label::Label;
pub use self::linear::{LinearModel, Link};
#[cfg(all(feature = "linfa", feature = "datafusion"))]
pub(crate) use self::linfa::caught;
#[cfg(feature = "linfa")]
pub use self::linfa::{LinfaEstimator, LinfaLabel, LinfaModel};
pub use self::loaders::Loaders;
pub(crate) use self::paths::{Paths, Place};
pub use self::prediction::Prediction;
pub(crate) use self::prediction::most_probable;
pub(crate) use self::raw_rows::{RawColumn, RawRows};
#[cfg(feature = "http")]
pub(crate) use self::reference::Reference;
pub use self::reference::ReferenceStatistics;
pub use self::servable::{Manifest, Servable};
pub use self::target::Target;
pub use self::task::Task;
pub use self::tree::{TreeModel, TreeNode};
pub use self::weighting::{ClassWeights, Weighting};
use crate::error::{Error, ErrorKind, Result};
use crate::features::{Features, Takes};

/// Features in, outputs out.
///
/// The [`Target`] says what the outputs mean: one value for a regression, the probability of the second
/// class for a binary classification, one probability a class for a multi-class one.
pub trait Predict: Any + Debug + Send + Sync {
    /// The number of features the model was trained on: the columns of their matrix. 0 of a model that takes
    /// [raw rows](Takes::ROWS).
    fn n_features(&self) -> usize;

    /// The number of outputs for each row.
    fn n_outputs(&self) -> usize;

    /// The form of the features that it takes; by default, a matrix of finite numbers.
    fn takes(&self) -> Takes {
        Takes::FINITE
    }

    /// Outputs `(n_rows, n_outputs)` for features of what it [takes](Predict::takes): most models want
    /// [`Features::matrix`]. Rows must not influence each other. Outputs must be finite;
    /// probabilities from 0 to 1, those of several classes with a sum of 1 (within 0.0001). Others are refused with their
    /// row.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] if the model cannot answer.
    fn predict(&self, features: &Features) -> Result<Array2<f64>>;

    /// The names of what it answers each row with beside its outputs, such as the ends of an interval, or 0 and 1 for each
    /// class of a set. They are columns of [`Prediction`]s and outputs of servers. None by default.
    fn extras(&self) -> Vec<String> {
        Vec::new()
    }

    /// The outputs, and the [extras](Predict::extras) `(n_rows, n_extras)`: finite numbers. A model that has some answers
    /// both in one call here, and [`Predict::predict`] gives the outputs alone.
    ///
    /// # Errors
    /// As [`Predict::predict`].
    fn predict_with_extras(&self, features: &Features) -> Result<(Array2<f64>, Array2<f64>)> {
        Ok((
            self.predict(features)?,
            Array2::zeros((features.n_rows(), 0)),
        ))
    }

    /// The function that turns what [contributions](Predict::contributions) add up to into the outputs; the identity by
    /// default.
    fn link(&self) -> Link {
        Link::Identity
    }

    /// The contribution of each feature to the outputs of each row before the [link](Predict::link): Shapley values,
    /// `(n_rows, n_outputs, n + 1)` for `n` of [`Features::info`], or of the columns of [`Features::rows`] where the model
    /// takes [raw rows](Takes::ROWS); the last is the mean over the training rows. Added up, they are the output before the
    /// link. By default, a model has none.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if models of this kind have none;
    /// [`ErrorKind::Model`] if these are not the features that it was trained on.
    fn contributions(&self, features: &Features) -> Result<Array3<f64>> {
        let _ = features;
        Err(Error::new(
            ErrorKind::Unsupported,
            "a model of this kind does not say what each feature contributes",
        ))
    }
}

/// A model that can be saved and loaded.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a model that can be saved and loaded",
    note = "implement `fourfold::model::Model` (and `Predict`) for it"
)]
pub trait Model: Predict + Sized {
    /// Names the format of the saved files, with a version: `<owner>.<kind>.v<n>`.
    const FORMAT: &'static str;

    /// The tag that this very model is saved under, which its loader is found by: that of its type, but for models
    /// that stand for others, such as [`AnyModel`].
    fn format(&self) -> &str {
        Self::FORMAT
    }

    /// Writes the model's files into a directory that exists and is empty.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if a file cannot be written.
    fn save(&self, dir: &Path) -> Result<()>;

    /// Reads what [`Model::save`] has written. The files are checked against their digests before; damage by
    /// chance does not get here. A model of models loads those within by `loaders`.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if the files are not such a model.
    fn load(dir: &Path, loaders: &Loaders) -> Result<Self>;
}

impl dyn Predict {
    /// The model as the type that it is; also where it is held by an [`AnyModel`]. `None` if it is of another type.
    ///
    /// ```
    /// use fourfold::model::{AnyModel, ConstantModel, LinearModel, Predict};
    ///
    /// let model: Box<dyn Predict> = Box::new(AnyModel::new(ConstantModel::new(3, vec![0.5])));
    /// assert!(model.downcast_ref::<ConstantModel>().is_some());
    /// assert!(model.downcast_ref::<LinearModel>().is_none());
    /// ```
    #[must_use]
    pub fn downcast_ref<M: Predict>(&self) -> Option<&M> {
        let this: &dyn Any = self;
        this.downcast_ref::<M>().or_else(|| {
            let held = this.downcast_ref::<AnyModel>()?;
            held.as_predict().downcast_ref()
        })
    }
}

/// Saves a model within the directory of another: its files go into `dir/name`, which must not be there yet. What
/// [`Model::save`] of a model of models needs.
///
/// # Errors
/// [`ErrorKind::Io`] if a file cannot be written.
pub fn save_model<M: Model>(dir: &Path, name: &str, model: &M) -> Result<()> {
    let place = dir.join(name);
    std::fs::create_dir(&place)
        .map_err(|error| Error::io(format!("writing `{}`", place.display()), error))?;
    model.save(&place)
}

/// Loads what [`save_model`] has saved.
///
/// # Errors
/// As [`Model::load`].
pub fn load_model<M: Model>(dir: &Path, name: &str, loaders: &Loaders) -> Result<M> {
    M::load(&dir.join(name), loaders)
}

/// Writes a value as JSON into a file of a directory: what most models' [`Model::save`] needs.
///
/// # Errors
/// [`ErrorKind::Io`] if the file cannot be written.
pub fn save_json(dir: &Path, file: &str, value: &impl Serialize) -> Result<()> {
    let path = dir.join(file);
    let text = serde_json::to_vec_pretty(value).map_err(|error| {
        Error::internal(format!("`{file}` cannot be serialized")).with_source(error)
    })?;
    std::fs::write(&path, text)
        .map_err(|error| Error::io(format!("writing `{}`", path.display()), error))
}

/// Reads a value from a JSON file of a directory.
///
/// # Errors
/// [`ErrorKind::Corrupt`] if the file is not such a value, and
/// [`ErrorKind::NotFound`] if it is not there.
pub fn load_json<T: DeserializeOwned>(dir: &Path, file: &str) -> Result<T> {
    let path = dir.join(file);
    let text = std::fs::read(&path)
        .map_err(|error| Error::io(format!("reading `{}`", path.display()), error))?;
    serde_json::from_slice(&text).map_err(|error| {
        Error::corrupt(format!("`{}` is not what it should be", path.display())).with_source(error)
    })
}

/// A shared model predicts like the model.
impl<M: Predict + ?Sized> Predict for Arc<M> {
    fn n_features(&self) -> usize {
        (**self).n_features()
    }

    fn n_outputs(&self) -> usize {
        (**self).n_outputs()
    }

    fn takes(&self) -> Takes {
        (**self).takes()
    }

    fn predict(&self, features: &Features) -> Result<Array2<f64>> {
        (**self).predict(features)
    }

    fn extras(&self) -> Vec<String> {
        (**self).extras()
    }

    fn predict_with_extras(&self, features: &Features) -> Result<(Array2<f64>, Array2<f64>)> {
        (**self).predict_with_extras(features)
    }

    fn link(&self) -> Link {
        (**self).link()
    }

    fn contributions(&self, features: &Features) -> Result<Array3<f64>> {
        (**self).contributions(features)
    }
}

/// The matrix of features, which must be of the width a model was trained on.
fn matrix_for<'f>(model: &impl Predict, features: &'f Features) -> Result<ArrayView2<'f, f32>> {
    check_width(model, features)?;
    Ok(features.matrix())
}

/// Checks that features are of the width a model was trained on.
fn check_width(model: &impl Predict, features: &Features) -> Result<()> {
    if features.n_features() != model.n_features() {
        return Err(Error::model(format!(
            "{} features for a model of {}",
            features.n_features(),
            model.n_features()
        )));
    }
    Ok(())
}
