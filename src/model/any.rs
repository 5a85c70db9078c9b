//! A model of any type.

use std::path::Path;
use std::sync::Arc;

use ndarray::{Array2, Array3};

use super::{Link, Loaders, Model, Predict, load_json, save_json};
use crate::error::Result;
use crate::features::{Features, Takes};

/// A model whose type is forgotten: for programs that choose between trainers of several kinds, and for models of
/// models that need not know which.
///
/// It predicts as what it holds, and is saved as what it holds, under that one's format tag: what was saved through it
/// is loaded without it. Where it stands within another model, [`AnyModel::load`] finds the loader by the tag that it
/// has left beside the files. [`downcast_ref`](trait@Predict) of a `dyn Predict` looks through it.
///
/// ```
/// use fourfold::model::{AnyModel, ConstantModel, Loaders, Model, Predict};
///
/// let model = AnyModel::new(ConstantModel::new(2, vec![0.25]));
/// assert_eq!(model.format(), "fourfold.constant.v1");
///
/// # let dir = tempfile::tempdir().unwrap();
/// # let dir = dir.path();
/// model.save(dir)?;
/// assert_eq!(AnyModel::load(dir, &Loaders::default())?.n_features(), 2);
/// assert_eq!(ConstantModel::load(dir, &Loaders::default())?.n_features(), 2);
/// # Ok::<(), fourfold::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct AnyModel(Arc<dyn Saved>);

/// A model that can be saved, as a trait object.
pub(super) trait Saved: Predict {
    fn tag(&self) -> &str;
    fn write(&self, dir: &Path) -> Result<()>;
    fn as_predict(&self) -> &dyn Predict;
}

impl<M: Model> Saved for M {
    fn tag(&self) -> &str {
        self.format()
    }

    fn write(&self, dir: &Path) -> Result<()> {
        self.save(dir)
    }

    fn as_predict(&self) -> &dyn Predict {
        self
    }
}

/// Tells the tag of a model whose directory has no manifest.
const FILE: &str = "format.json";

impl AnyModel {
    /// Forgets a model's type.
    #[must_use]
    pub fn new(model: impl Model) -> Self {
        AnyModel(Arc::new(model))
    }

    pub(super) fn of(model: Arc<dyn Saved>) -> Self {
        AnyModel(model)
    }

    /// The model, for predictions only.
    #[must_use]
    pub fn as_predict(&self) -> &dyn Predict {
        self.0.as_predict()
    }
}

impl Predict for AnyModel {
    fn n_features(&self) -> usize {
        self.0.n_features()
    }

    fn n_outputs(&self) -> usize {
        self.0.n_outputs()
    }

    fn takes(&self) -> Takes {
        self.0.takes()
    }

    fn predict(&self, features: &Features) -> Result<Array2<f64>> {
        self.0.predict(features)
    }

    fn extras(&self) -> Vec<String> {
        self.0.extras()
    }

    fn predict_with_extras(&self, features: &Features) -> Result<(Array2<f64>, Array2<f64>)> {
        self.0.predict_with_extras(features)
    }

    fn link(&self) -> Link {
        self.0.link()
    }

    fn contributions(&self, features: &Features) -> Result<Array3<f64>> {
        self.0.contributions(features)
    }
}

impl Model for AnyModel {
    /// The format of no file: each model is saved under its own tag.
    const FORMAT: &'static str = "fourfold.any.v1";

    fn format(&self) -> &str {
        self.0.tag()
    }

    fn save(&self, dir: &Path) -> Result<()> {
        self.0.write(dir)?;
        save_json(dir, FILE, &self.format())
    }

    fn load(dir: &Path, loaders: &Loaders) -> Result<Self> {
        let tag: String = load_json(dir, FILE)?;
        loaders.load_any(&tag, dir)
    }
}
