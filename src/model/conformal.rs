//! A regression with intervals.

use std::collections::BTreeMap;
use std::path::Path;

use ndarray::{Array2, ArrayView1, Axis, stack};
use serde::{Deserialize, Serialize};

use super::wrapping::forward_to_model;
use super::{AnyModel, Loaders, Model, Predict, load_json, load_model, save_json, save_model};
use crate::error::{Error, Result};
use crate::features::Features;

/// A regression whose intervals hold the label with a given probability, as long as rows to come are like those that the
/// margins were measured on: split conformal intervals (Papadopoulos, 2002), or, with models of a lower and an upper
/// quantile, conformalized quantile regression (Romano, Patterson and Candès, 2019).
///
/// Predictions have the ends beside the value, as the [extras](Predict::extras) `lower` and `upper`: as columns, in the log
/// of requests, and as outputs of servers.
#[derive(Clone, Debug)]
pub struct ConformalModel {
    model: AnyModel,
    band: Option<[AnyModel; 2]>,
    margins: Margins,
}

/// The distances of an interval's ends from the prediction or the band, or of a set's probabilities below 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Margins {
    pub(crate) coverage: f64,
    /// For rows of no group that was measured.
    pub(crate) overall: f64,
    /// For the rows whose feature of this place is not 0.
    pub(crate) by_feature: BTreeMap<usize, f64>,
    pub(crate) has_band: bool,
}

const FILE: &str = "margins.json";

impl ConformalModel {
    pub(crate) fn new(
        model: AnyModel,
        band: Option<[AnyModel; 2]>,
        margins: Margins,
    ) -> Result<Self> {
        let others: Vec<&AnyModel> = band.iter().flatten().collect();
        let same = |other: &AnyModel| {
            (other.n_features(), other.n_outputs(), other.takes())
                == (model.n_features(), 1, model.takes())
        };
        if model.n_outputs() != 1 || !others.iter().copied().all(same) {
            return Err(Error::model(
                "intervals are made around models of one output and of the same features",
            ));
        }
        margins.check(&model)?;
        if margins.has_band != band.is_some() {
            return Err(Error::model(format!(
                "`has_band` is {} of a model with {} quantiles",
                margins.has_band,
                others.len()
            )));
        }
        Ok(ConformalModel {
            model,
            band,
            margins,
        })
    }

    /// The model within.
    #[must_use]
    pub fn model(&self) -> &AnyModel {
        &self.model
    }

    /// The probability with which an interval holds the label.
    #[must_use]
    pub fn coverage(&self) -> f64 {
        self.margins.coverage
    }

    /// The lower and the upper end for each row `(n_rows, 2)`.
    ///
    /// # Errors
    /// As [`Predict::predict`].
    pub fn intervals(&self, features: &Features) -> Result<Array2<f64>> {
        let ends = band(&self.model, self.band.as_ref(), features)?;
        Ok(self.widened(ends, features))
    }

    /// The ends with their margins.
    fn widened(&self, mut ends: Array2<f64>, features: &Features) -> Array2<f64> {
        let matrix = (!self.margins.by_feature.is_empty()).then(|| features.matrix());
        for (at, mut row) in ends.rows_mut().into_iter().enumerate() {
            let margin = match &matrix {
                Some(matrix) => self.margins.of(matrix.row(at)),
                None => self.margins.overall,
            };
            let (low, high) = (row[0] - margin, row[1] + margin);
            // Quantiles that cross, or a negative margin of a narrow band: the point between.
            let middle = 0.5 * (low + high);
            row[0] = low.min(middle);
            row[1] = high.max(middle);
        }
        ends
    }
}

impl Margins {
    /// Checks that they are finite, and of features that a model has.
    pub(super) fn check(&self, model: &AnyModel) -> Result<()> {
        let groups = &self.by_feature;
        let finite = self.overall.is_finite() && groups.values().all(|it| it.is_finite());
        if finite && groups.keys().all(|place| *place < model.n_features()) {
            return Ok(());
        }
        Err(Error::model(
            "margins must be finite, and of features of the model",
        ))
    }

    pub(super) fn of(&self, row: ArrayView1<'_, f32>) -> f64 {
        let group = self
            .by_feature
            .iter()
            .find(|(place, _)| row[**place] != 0.0);
        group.map_or(self.overall, |(_, margin)| *margin)
    }
}

/// The ends before margins are added `(n_rows, 2)`: the prediction, twice, or the lower and the upper quantile.
pub(crate) fn band(
    model: &AnyModel,
    band: Option<&[AnyModel; 2]>,
    features: &Features,
) -> Result<Array2<f64>> {
    Ok(match band {
        None => {
            let point = model.predict(features)?;
            ends(&point, &point)
        }
        Some([low, high]) => ends(&low.predict(features)?, &high.predict(features)?),
    })
}

/// The outputs of two models of one output `(n_rows, 2)`.
fn ends(low: &Array2<f64>, high: &Array2<f64>) -> Array2<f64> {
    stack![Axis(1), low.column(0), high.column(0)]
}

impl Predict for ConformalModel {
    forward_to_model!();

    fn predict(&self, features: &Features) -> Result<Array2<f64>> {
        self.model.predict(features)
    }

    fn extras(&self) -> Vec<String> {
        ["lower", "upper"].map(str::to_owned).to_vec()
    }

    fn predict_with_extras(&self, features: &Features) -> Result<(Array2<f64>, Array2<f64>)> {
        let point = self.model.predict(features)?;
        let ends = match &self.band {
            None => ends(&point, &point),
            Some(_) => band(&self.model, self.band.as_ref(), features)?,
        };
        Ok((point, self.widened(ends, features)))
    }
}

impl Model for ConformalModel {
    const FORMAT: &'static str = "fourfold.conformal.v1";

    fn save(&self, dir: &Path) -> Result<()> {
        save_json(dir, FILE, &self.margins)?;
        save_model(dir, "model", &self.model)?;
        if let Some([low, high]) = &self.band {
            save_model(dir, "low", low)?;
            save_model(dir, "high", high)?;
        }
        Ok(())
    }

    fn load(dir: &Path, loaders: &Loaders) -> Result<Self> {
        let margins: Margins = load_json(dir, FILE)?;
        let band = match margins.has_band {
            true => Some([
                load_model(dir, "low", loaders)?,
                load_model(dir, "high", loaders)?,
            ]),
            false => None,
        };
        ConformalModel::new(load_model(dir, "model", loaders)?, band, margins).map_err(|error| {
            Error::corrupt(format!("`{FILE}` is not of its model")).with_source(error)
        })
    }
}
