//! A classifier with sets of classes.

use std::path::Path;

use ndarray::{Array2, ArrayView1};
use serde::{Deserialize, Serialize};

use super::conformal::Margins;
use super::wrapping::forward_to_model;
use super::{AnyModel, Loaders, Model, Predict, load_json, load_model, save_json, save_model};
use crate::error::{Error, Result};
use crate::features::Features;

/// A classifier whose sets of classes hold the label with a given probability, as long as rows to come are like those that
/// the sets were measured on: conformal sets (Vovk, Gammerman and Shafer, 2005) by the probability of each class.
///
/// Predictions have a column for each class beside the probabilities, 1 where the class is in the row's set and else 0: the
/// [extras](Predict::extras) `set_` and the class, such as `set_yes`. They are columns, in the log of requests, and outputs
/// of servers.
#[derive(Clone, Debug)]
pub struct ConformalSetsModel {
    model: AnyModel,
    sets: Sets,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Sets {
    classes: Vec<String>,
    /// The greatest distance of a class's probability below 1.
    margins: Margins,
}

const FILE: &str = "sets.json";

/// The distance of a class's probability below 1; infinite for a class that the model does not know.
pub(crate) fn miss_of(outputs: ArrayView1<'_, f64>, class: f64) -> f64 {
    let probability = match outputs.len() {
        1 if class == 0.0 => Some(1.0 - outputs[0]),
        1 if class == 1.0 => Some(outputs[0]),
        1 => None,
        n => (class >= 0.0 && class < n as f64).then(|| outputs[class as usize]),
    };
    probability.map_or(f64::INFINITY, |probability| 1.0 - probability)
}

impl ConformalSetsModel {
    pub(crate) fn new(model: AnyModel, classes: Vec<String>, mut margins: Margins) -> Result<Self> {
        let n_classes = match model.n_outputs() {
            1 => 2,
            n => n,
        };
        if classes.len() != n_classes {
            return Err(Error::model(format!(
                "sets of {} classes around a model of {n_classes}",
                classes.len()
            )));
        }
        // Beyond 1 every class is in the set, and more there are not.
        margins.overall = margins.overall.min(1.0);
        for margin in margins.by_feature.values_mut() {
            *margin = margin.min(1.0);
        }
        margins.check(&model)?;
        Ok(ConformalSetsModel {
            model,
            sets: Sets { classes, margins },
        })
    }

    /// The model within.
    #[must_use]
    pub fn model(&self) -> &AnyModel {
        &self.model
    }

    /// The probability with which a set holds the label.
    #[must_use]
    pub fn coverage(&self) -> f64 {
        self.sets.margins.coverage
    }

    /// 1 for each class that is in the row's set, else 0 `(n_rows, n_classes)`, by the model's outputs for them.
    fn sets(&self, outputs: &Array2<f64>, features: &Features) -> Array2<f64> {
        let margins = &self.sets.margins;
        let matrix = (!margins.by_feature.is_empty()).then(|| features.matrix());
        let n_classes = self.sets.classes.len();
        let mut sets = Array2::zeros((outputs.nrows(), n_classes));
        for (row, outputs) in outputs.rows().into_iter().enumerate() {
            let margin = match &matrix {
                Some(matrix) => margins.of(matrix.row(row)),
                None => margins.overall,
            };
            let misses = (0..n_classes).map(|class| miss_of(outputs, class as f64));
            let misses: Vec<f64> = misses.collect();
            let least = misses.iter().copied().fold(f64::INFINITY, f64::min);
            for (class, miss) in misses.into_iter().enumerate() {
                sets[[row, class]] = f64::from(u8::from(miss <= margin.max(least)));
            }
        }
        sets
    }
}

impl Predict for ConformalSetsModel {
    forward_to_model!();

    fn predict(&self, features: &Features) -> Result<Array2<f64>> {
        self.model.predict(features)
    }

    fn extras(&self) -> Vec<String> {
        let classes = self.sets.classes.iter();
        classes.map(|class| format!("set_{class}")).collect()
    }

    fn predict_with_extras(&self, features: &Features) -> Result<(Array2<f64>, Array2<f64>)> {
        let outputs = self.model.predict(features)?;
        let sets = self.sets(&outputs, features);
        Ok((outputs, sets))
    }
}

impl Model for ConformalSetsModel {
    const FORMAT: &'static str = "fourfold.conformal_sets.v1";

    fn save(&self, dir: &Path) -> Result<()> {
        save_json(dir, FILE, &self.sets)?;
        save_model(dir, "model", &self.model)
    }

    fn load(dir: &Path, loaders: &Loaders) -> Result<Self> {
        let Sets { classes, margins } = load_json(dir, FILE)?;
        let model = load_model(dir, "model", loaders)?;
        ConformalSetsModel::new(model, classes, margins).map_err(|error| {
            Error::corrupt(format!("`{FILE}` is not of its model")).with_source(error)
        })
    }
}
