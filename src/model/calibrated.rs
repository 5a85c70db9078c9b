//! A classifier with calibrated probabilities.

use std::path::Path;

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::wrapping::forward_to_model;
use super::{AnyModel, Loaders, Model, Predict, load_json, load_model, save_json, save_model};
use crate::error::{Error, Result};
use crate::features::Features;

/// The function of a probability that calibrates it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Calibration {
    /// `1 / (1 + exp(-(slope * logit(p) + intercept)))`: Platt's.
    Sigmoid {
        /// The slope of the logit.
        slope: f64,
        /// At a probability of one half.
        intercept: f64,
    },
    /// A function that never falls: linear between points, constant beyond them.
    Isotonic {
        /// Probabilities of the model, ascending.
        from: Vec<f64>,
        /// The calibrated probability of each, never falling.
        to: Vec<f64>,
    },
}

/// The logit of a probability; of 0 and 1 that of the nearest ones that a double tells from them.
pub(crate) fn logit(p: f64) -> f64 {
    let p = p.clamp(1e-15, 1.0 - 1e-15);
    (p / (1.0 - p)).ln()
}

impl Calibration {
    /// The calibrated probability.
    #[must_use]
    pub fn apply(&self, p: f64) -> f64 {
        match self {
            Calibration::Sigmoid { slope, intercept } => {
                1.0 / (1.0 + (-(slope * logit(p) + intercept)).exp())
            }
            Calibration::Isotonic { from, to } => {
                let after = from.partition_point(|point| *point <= p);
                match (after.checked_sub(1), from.get(after)) {
                    (None, _) => to.first().copied().unwrap_or(p),
                    (Some(before), None) => to[before],
                    (Some(before), Some(next)) => {
                        let share = (p - from[before]) / (next - from[before]);
                        to[before] + share * (to[after] - to[before])
                    }
                }
            }
        }
    }

    fn is_sound(&self) -> bool {
        match self {
            Calibration::Sigmoid { slope, intercept } => slope.is_finite() && intercept.is_finite(),
            Calibration::Isotonic { from, to } => {
                !from.is_empty()
                    && from.len() == to.len()
                    && from.is_sorted_by(|a, b| a < b)
                    && to.is_sorted()
                    && to.iter().all(|p| (0.0..=1.0).contains(p))
            }
        }
    }
}

/// A classifier and the functions that calibrate its probabilities: one function for two classes, one a class for more, whose
/// values are then divided by their sum.
///
/// Its contributions are those of the classifier: added up, they are its output before the link and before calibration.
#[derive(Clone, Debug)]
pub struct CalibratedModel {
    model: AnyModel,
    calibrations: Vec<Calibration>,
}

const FILE: &str = "calibration.json";

/// Turns probabilities `(n_rows, n_outputs)` into those of a function an output; several are then divided by their sum.
pub(crate) fn calibrate(outputs: &mut Array2<f64>, calibrations: &[Calibration]) {
    let n = calibrations.len();
    for mut row in outputs.rows_mut() {
        for (p, calibration) in row.iter_mut().zip(calibrations) {
            *p = calibration.apply(*p);
        }
        if n > 1 {
            let sum = row.sum();
            match sum > 0.0 {
                true => row /= sum,
                false => row.fill(1.0 / n as f64),
            }
        }
    }
}

impl CalibratedModel {
    /// A model and a function for each output.
    ///
    /// # Errors
    /// [`ErrorKind::Model`](crate::ErrorKind::Model) if there are not as many as outputs, or one is no function that
    /// never falls.
    pub fn new(model: AnyModel, calibrations: Vec<Calibration>) -> Result<Self> {
        if calibrations.len() != model.n_outputs() {
            return Err(Error::model(format!(
                "{} calibrations for a model of {} outputs",
                calibrations.len(),
                model.n_outputs()
            )));
        }
        if !calibrations.iter().all(Calibration::is_sound) {
            return Err(Error::model("a calibration must be finite and ascending"));
        }
        Ok(CalibratedModel {
            model,
            calibrations,
        })
    }

    /// The model within.
    #[must_use]
    pub fn model(&self) -> &AnyModel {
        &self.model
    }

    /// The function of each output.
    #[must_use]
    pub fn calibrations(&self) -> &[Calibration] {
        &self.calibrations
    }
}

impl Predict for CalibratedModel {
    forward_to_model!();

    fn predict(&self, features: &Features) -> Result<Array2<f64>> {
        let mut outputs = self.model.predict(features)?;
        calibrate(&mut outputs, &self.calibrations);
        Ok(outputs)
    }
}

impl Model for CalibratedModel {
    const FORMAT: &'static str = "fourfold.calibrated.v1";

    fn save(&self, dir: &Path) -> Result<()> {
        save_json(dir, FILE, &self.calibrations)?;
        save_model(dir, "model", &self.model)
    }

    fn load(dir: &Path, loaders: &Loaders) -> Result<Self> {
        let calibrations = load_json(dir, FILE)?;
        CalibratedModel::new(load_model(dir, "model", loaders)?, calibrations).map_err(|error| {
            Error::corrupt(format!("`{FILE}` is not the calibration of its model"))
                .with_source(error)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_between_points_and_constants_beyond() {
        let isotonic = Calibration::Isotonic {
            from: vec![0.2, 0.4, 0.8],
            to: vec![0.1, 0.1, 0.5],
        };
        for (p, wanted) in [
            (0.0, 0.1),
            (0.2, 0.1),
            (0.3, 0.1),
            (0.6, 0.3),
            (0.8, 0.5),
            (1.0, 0.5),
        ] {
            assert!((isotonic.apply(p) - wanted).abs() < 1e-12, "{p}");
        }
        let same = Calibration::Sigmoid {
            slope: 1.0,
            intercept: 0.0,
        };
        assert!((same.apply(0.3) - 0.3).abs() < 1e-12);
        assert!(same.apply(0.0) < 1e-14 && same.apply(1.0) > 1.0 - 1e-14);
    }
}
