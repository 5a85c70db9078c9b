//! The model that has looked at the labels only.

use std::path::Path;

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::{Loaders, Model, Predict, check_width, load_json, save_json};
use crate::error::Result;
use crate::features::Features;

/// Answers the same for every row: the training mean, or the classes' shares. What any model must beat.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConstantModel {
    n_features: usize,
    outputs: Vec<f64>,
}

impl ConstantModel {
    /// The model with these outputs.
    #[must_use]
    pub fn new(n_features: usize, outputs: Vec<f64>) -> Self {
        ConstantModel {
            n_features,
            outputs,
        }
    }
}

impl Predict for ConstantModel {
    fn n_features(&self) -> usize {
        self.n_features
    }

    fn n_outputs(&self) -> usize {
        self.outputs.len()
    }

    fn predict(&self, features: &Features) -> Result<Array2<f64>> {
        check_width(self, features)?;
        Ok(Array2::from_shape_fn(
            (features.n_rows(), self.outputs.len()),
            |(_, output)| self.outputs[output],
        ))
    }
}

impl Model for ConstantModel {
    const FORMAT: &'static str = "fourfold.constant.v1";

    fn save(&self, dir: &Path) -> Result<()> {
        save_json(dir, "constant.json", self)
    }

    fn load(dir: &Path, _: &Loaders) -> Result<Self> {
        load_json(dir, "constant.json")
    }
}
