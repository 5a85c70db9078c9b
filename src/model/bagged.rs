//! The mean of several models.

use std::path::Path;

use ndarray::{Array2, Array3};

use super::wrapping::check_one_link;
use super::{
    AnyModel, Link, Loaders, Model, Predict, load_json, load_model, save_json, save_model,
};
use crate::error::{Error, Result};
use crate::features::{Features, Takes};

/// Models of the same features and outputs, whose outputs are averaged.
#[derive(Clone, Debug)]
pub struct BaggedModel {
    models: Vec<AnyModel>,
}

const FILE: &str = "bagged.json";
/// More would be no bag but a mistake in a file.
const MAX_MODELS: usize = 10_000;

impl BaggedModel {
    /// The mean of these.
    ///
    /// # Errors
    /// [`ErrorKind::Model`](crate::ErrorKind::Model) if there are none, or they differ in features, outputs or in what
    /// they take.
    pub fn new(models: Vec<AnyModel>) -> Result<Self> {
        let shape = |model: &AnyModel| (model.n_features(), model.n_outputs(), model.takes());
        let first = models.first().map(shape);
        if first.is_none() || models.iter().any(|model| Some(shape(model)) != first) {
            return Err(Error::model(
                "a bag needs at least one model, and models of equal features, outputs and form of features",
            ));
        }
        Ok(BaggedModel { models })
    }

    /// The models.
    #[must_use]
    pub fn models(&self) -> &[AnyModel] {
        &self.models
    }
}

impl Predict for BaggedModel {
    fn n_features(&self) -> usize {
        self.models[0].n_features()
    }

    fn n_outputs(&self) -> usize {
        self.models[0].n_outputs()
    }

    fn takes(&self) -> Takes {
        self.models[0].takes()
    }

    fn predict(&self, features: &Features) -> Result<Array2<f64>> {
        let mut sum = self.models[0].predict(features)?;
        for model in &self.models[1..] {
            sum += &model.predict(features)?;
        }
        sum /= self.models.len() as f64;
        Ok(sum)
    }

    /// The link of the models.
    fn link(&self) -> Link {
        self.models[0].link()
    }

    /// The mean of the models' contributions. Added up, they are the mean of the models' outputs before their link: the
    /// prediction itself where the link is the identity; of probabilities the mean of the log odds, from which the mean
    /// probability differs a little.
    ///
    /// # Errors
    /// Those of the models; [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if their links differ.
    fn contributions(&self, features: &Features) -> Result<Array3<f64>> {
        check_one_link(&self.models)?;
        let mut sum = self.models[0].contributions(features)?;
        for model in &self.models[1..] {
            sum += &model.contributions(features)?;
        }
        sum /= self.models.len() as f64;
        Ok(sum)
    }
}

impl Model for BaggedModel {
    const FORMAT: &'static str = "fourfold.bagged.v1";

    fn save(&self, dir: &Path) -> Result<()> {
        save_json(dir, FILE, &self.models.len())?;
        let mut models = self.models.iter().enumerate();
        models.try_for_each(|(number, model)| save_model(dir, &format!("model-{number}"), model))
    }

    fn load(dir: &Path, loaders: &Loaders) -> Result<Self> {
        let n: usize = load_json(dir, FILE)?;
        if n > MAX_MODELS {
            return Err(Error::corrupt(format!(
                "`{FILE}` lists {n} models, at most {MAX_MODELS} are allowed"
            )));
        }
        let models = (0..n).map(|number| load_model(dir, &format!("model-{number}"), loaders));
        BaggedModel::new(models.collect::<Result<_>>()?)
            .map_err(|error| Error::corrupt("models that do not form a bag").with_source(error))
    }
}
