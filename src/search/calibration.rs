//! Calibration of an ensemble by predictions that its models made for rows that they had not seen.

use ndarray::{Array1, Array2, Axis};

use super::judge::{Judge, Labels};
use crate::error::Result;
use crate::metrics::Catalogue;
use crate::model::{Calibration, Target, calibrate};
use crate::training::{Scored, sigmoid};

/// A sigmoid for each output `(n_rows, n_outputs)` (Platt, 1999), if probabilities are the better for it.
///
/// This is decided on halves of the rows: a sigmoid fitted on either half must lower the log loss of the other, over both
/// halves together. `None` if it does not, if it would reverse the order of rows, or if there are no classes.
pub(super) fn calibration(
    target: &Target,
    outputs: &Array2<f64>,
    labels: &Labels,
) -> Result<Option<Vec<Calibration>>> {
    if target.classes().is_empty() || labels.labels.len() < 4 {
        return Ok(None);
    }
    let judge = Judge::new(target, &Catalogue::default(), Some("log_loss"))?;
    let half = |parity: usize| -> Vec<usize> {
        let all = 0..labels.labels.len();
        all.filter(|row| row % 2 == parity).collect()
    };
    let (mut before, mut after) = (0.0, 0.0);
    for parity in [0, 1] {
        let (fitted_on, held_out) = (half(parity), half(1 - parity));
        let Some(calibrations) = fit(target, outputs, labels, &fitted_on) else {
            return Ok(None);
        };
        let own = labels.of_rows(&held_out);
        let mut turned = outputs.select(Axis(0), &held_out);
        let (Ok((plain, _)), weight) = (judge.value(turned.clone(), &own), own.total()) else {
            return Ok(None);
        };
        calibrate(&mut turned, &calibrations);
        let Ok((calibrated, _)) = judge.value(turned, &own) else {
            return Ok(None);
        };
        before += weight * judge.loss(plain);
        after += weight * judge.loss(calibrated);
    }
    let all: Vec<usize> = (0..labels.labels.len()).collect();
    Ok(match after < before {
        true => fit(target, outputs, labels, &all),
        false => None,
    })
}

fn fit(
    target: &Target,
    outputs: &Array2<f64>,
    labels: &Labels,
    rows: &[usize],
) -> Option<Vec<Calibration>> {
    let own = labels.of_rows(rows);
    let scored = Scored {
        outputs: outputs.select(Axis(0), rows),
        labels: Array1::from(own.labels),
        weights: own.weights.map(Array1::from),
    };
    let n_classes = target.classes().len();
    let calibrations = (0..outputs.ncols()).map(|output| {
        let class = if n_classes == 2 { 1 } else { output };
        sigmoid(&scored.rows_of(output, class))
    });
    let rises = |calibration: &Calibration| match calibration {
        Calibration::Sigmoid { slope, intercept } => {
            *slope > 0.0 && slope.is_finite() && intercept.is_finite()
        }
        Calibration::Isotonic { .. } => false,
    };
    let calibrations: Vec<Calibration> = calibrations.collect();
    calibrations.iter().all(rises).then_some(calibrations)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Probabilities, with labels drawn by `truth` of them.
    fn rows(n: usize, truth: impl Fn(f64) -> f64) -> (Array2<f64>, Labels) {
        let share = |at: usize, step: f64| (0.5 + step * at as f64).fract();
        let probabilities: Vec<f64> = (0..n).map(|at| share(at, 0.754_877_666)).collect();
        let labels = probabilities.iter().enumerate();
        let labels =
            labels.map(|(at, p)| f64::from(u8::from(share(at, 0.569_840_291) < truth(*p))));
        let labels = Labels {
            labels: labels.collect(),
            weights: None,
        };
        let outputs = Array2::from_shape_vec((n, 1), probabilities).unwrap();
        (outputs, labels)
    }

    fn target() -> Target {
        Target::classification("y", ["no", "yes"]).unwrap()
    }

    #[test]
    fn what_is_too_sure_is_put_right() {
        let odds = |p: f64, slope: f64| 1.0 / (1.0 + (-slope * (p / (1.0 - p)).ln()).exp());
        let (outputs, labels) = rows(2_000, |p| odds(p, 0.4));
        let found = calibration(&target(), &outputs, &labels).unwrap().unwrap();
        let Calibration::Sigmoid { slope, intercept } = found[0] else {
            panic!("{found:?}")
        };
        assert!((slope - 0.4).abs() < 0.08, "{slope}");
        assert!(intercept.abs() < 0.1, "{intercept}");
    }

    #[test]
    fn what_is_right_or_upside_down_stays() {
        let (outputs, labels) = rows(200, |p| 1.0 - p);
        assert_eq!(calibration(&target(), &outputs, &labels).unwrap(), None);
        let (outputs, labels) = rows(3, |p| p);
        assert_eq!(calibration(&target(), &outputs, &labels).unwrap(), None);
        let numbers = Target::regression("y");
        assert_eq!(calibration(&numbers, &outputs, &labels).unwrap(), None);
    }
}
