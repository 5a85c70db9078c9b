//! Probabilities that mean what they say.

use std::ops::ControlFlow;

use fourfold_kernels::columns::Column;
use fourfold_kernels::linear::{Design, Loss, Options, Problem, fit};
use serde::{Deserialize, Serialize};

use super::scored::{Inner, Scored};
use super::{Capabilities, TrainArgs, Trained, Trainer};
use crate::error::{Error, Result};
use crate::model::{CalibratedModel, Calibration, logit};
use crate::stage::Stage;

/// The method that calibrates probabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CalibrationMethod {
    /// A line of the logit, by two numbers (Platt, 1999): for few rows.
    #[default]
    Sigmoid,
    /// Any function that never falls (Zadrozny and Elkan, 2002): for a thousand rows and more.
    Isotonic,
}

/// A classifier whose probabilities are made to mean what they say: of the rows that get 0.8, 80 % are positive.
///
/// It trains another trainer, predicts the rows to [tune](TrainArgs::tune) by (where there are none, a part of the rows
/// is held out for it), and learns from them what each probability stands for. Weights of classes are left out there: a
/// model that was trained with balanced classes gets the probabilities of the data back. More than two classes are put
/// right one by one, and divided by their sum.
///
/// ```
/// use fourfold::Stage;
/// use fourfold::training::{Calibrated, CalibrationMethod, LogisticRegression};
///
/// let trainer = Calibrated::new(LogisticRegression::default()).method(CalibrationMethod::Isotonic);
/// assert!(trainer.check().is_ok());
/// ```
#[derive(Clone, Debug, Serialize)]
pub struct Calibrated<T: Trainer> {
    #[serde(serialize_with = "crate::serialize_stage")]
    trainer: T,
    method: CalibrationMethod,
    hold_out: f64,
}

impl<T: Trainer> Calibrated<T> {
    /// Around a trainer, by [`CalibrationMethod::Sigmoid`].
    #[must_use]
    pub fn new(trainer: T) -> Self {
        Calibrated {
            trainer,
            method: CalibrationMethod::default(),
            hold_out: 0.2,
        }
    }

    /// Sets the method that calibrates probabilities.
    #[must_use]
    pub fn method(mut self, method: CalibrationMethod) -> Self {
        self.method = method;
        self
    }

    /// The share of rows that is held out where there are none to tune by; the default is 0.2.
    #[must_use]
    pub fn hold_out(mut self, fraction: f64) -> Self {
        self.hold_out = fraction;
        self
    }
}

impl<T: Trainer> Stage for Calibrated<T> {
    fn name(&self) -> &str {
        "calibrated"
    }

    fn check(&self) -> Result<()> {
        check_hold_out(self.hold_out)?;
        self.trainer.check()
    }
}

/// Checks a share of rows to hold out.
pub(super) fn check_hold_out(fraction: f64) -> Result<()> {
    match fraction > 0.0 && fraction < 1.0 {
        true => Ok(()),
        false => Err(Error::config(format!(
            "`hold_out` is {fraction}, must be above 0 and below 1"
        ))),
    }
}

impl<T: Trainer> Trainer for Calibrated<T> {
    type Model = CalibratedModel;

    fn train(&self, args: &TrainArgs) -> Result<Trained<CalibratedModel>> {
        let n_classes = args.target().classes().len();
        if n_classes == 0 {
            return Err(Error::config(format!(
                "label `{}` defines a regression task, which has no probabilities to calibrate",
                args.target().label()
            )));
        }
        let inner = Inner::train(&self.trainer, args, self.hold_out, CalibratedModel::model)?;
        let scored = Scored::of(&inner.model, &inner.rows_to_tune()?)?;
        let calibrations = (0..scored.outputs.ncols()).map(|output| {
            let class = if n_classes == 2 { 1 } else { output };
            let rows = scored.rows_of(output, class);
            match self.method {
                CalibrationMethod::Sigmoid => Ok(sigmoid(&rows)),
                CalibrationMethod::Isotonic => Ok(isotonic(rows)),
            }
        });
        let calibrations = calibrations.collect::<Result<_>>()?;
        let model = CalibratedModel::new(inner.model.clone(), calibrations)?;
        Ok(inner.finish(model, Vec::new()))
    }

    fn capabilities(&self) -> Capabilities {
        self.trainer.capabilities()
    }
}

/// A row as calibration sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScoredRow {
    pub(super) probability: f64,
    /// 1 if it is of the class, else 0.
    pub(super) hit: f64,
    pub(super) weight: f64,
}

/// Platt's line, towards labels that are drawn in from 0 and 1 as by one more row of either kind.
pub(crate) fn sigmoid(rows: &[ScoredRow]) -> Calibration {
    let hits: f64 = rows.iter().map(|row| row.weight * row.hit).sum();
    let misses = rows.iter().map(|row| row.weight).sum::<f64>() - hits;
    let (low, high) = (1.0 / (misses + 2.0), (hits + 1.0) / (hits + 2.0));
    let logits: Vec<f32> = rows
        .iter()
        .map(|row| logit(row.probability) as f32)
        .collect();
    let labels: Vec<f64> = rows
        .iter()
        .map(|row| low + row.hit * (high - low))
        .collect();
    let weights: Vec<f64> = rows.iter().map(|row| row.weight).collect();
    let problem = Problem {
        design: &Design::new(vec![Column::Numbers(&logits)]),
        labels: &labels,
        weights: Some(&weights),
        loss: Loss::Logistic,
        l2: 0.0,
        l1: 0.0,
    };
    let options = Options {
        max_iterations: 100,
        tolerance: 1e-8,
        threads: 1,
    };
    let found = fit(&problem, None, options, |_, _| ControlFlow::Continue(())).coefficients;
    Calibration::Sigmoid {
        slope: found.weights[0],
        intercept: found.intercepts[0],
    }
}

/// The function that never falls and is closest to the rows in squares: neighbours that fall are pooled (Ayer and others,
/// 1955). Equal probabilities are one point.
fn isotonic(mut rows: Vec<ScoredRow>) -> Calibration {
    rows.retain(|row| row.weight > 0.0);
    rows.sort_by(|a, b| a.probability.total_cmp(&b.probability));
    /// Rows from the first to the last probability, with their share of hits.
    struct Block {
        first: f64,
        last: f64,
        weight: f64,
        hits: f64,
    }
    let mut blocks: Vec<Block> = Vec::new();
    for point in rows.chunk_by(|a, b| a.probability == b.probability) {
        let mut block = Block {
            first: point[0].probability,
            last: point[0].probability,
            weight: point.iter().map(|row| row.weight).sum(),
            hits: point.iter().map(|row| row.weight * row.hit).sum(),
        };
        while let Some(before) = blocks.last()
            && before.hits * block.weight >= block.hits * before.weight
        {
            block.first = before.first;
            block.weight += before.weight;
            block.hits += before.hits;
            blocks.pop();
        }
        blocks.push(block);
    }
    let (mut from, mut to) = (Vec::new(), Vec::new());
    for block in blocks {
        let share = (block.hits / block.weight).clamp(0.0, 1.0);
        from.push(block.first);
        to.push(share);
        if block.last > block.first {
            from.push(block.last);
            to.push(share);
        }
    }
    Calibration::Isotonic { from, to }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows with ties and uneven weights.
    fn rows() -> Vec<ScoredRow> {
        (0..200_u64)
            .map(|i| {
                let probability = (i * 37 % 101) as f64 / 100.0;
                let noise = (i * 61 % 97) as f64 / 97.0;
                ScoredRow {
                    probability,
                    hit: f64::from(u8::from(noise < 0.2 + 0.6 * probability)),
                    weight: (1 + i % 3) as f64,
                }
            })
            .collect()
    }

    #[test]
    fn isotonic_never_falls_and_pools() {
        let Calibration::Isotonic { from, to } = isotonic(rows()) else {
            panic!("another kind");
        };
        assert!(from.is_sorted_by(|a, b| a < b) && to.is_sorted());
        let row = |probability, hit| ScoredRow {
            probability,
            hit,
            weight: 1.0,
        };
        let found = isotonic(vec![
            row(0.1, 1.0),
            row(0.2, 0.0),
            row(0.2, 0.0),
            row(0.9, 1.0),
        ]);
        let third = 1.0 / 3.0;
        let wanted = Calibration::Isotonic {
            from: vec![0.1, 0.2, 0.9],
            to: vec![third, third, 1.0],
        };
        assert_eq!(found, wanted);
    }

    #[test]
    fn one_class_calibrates_to_it() {
        let all_hits: Vec<ScoredRow> = rows()
            .into_iter()
            .map(|row| ScoredRow { hit: 1.0, ..row })
            .collect();
        assert!(sigmoid(&all_hits).apply(0.5) > 0.99);
        assert_eq!(isotonic(all_hits).apply(0.5), 1.0);
    }
}
