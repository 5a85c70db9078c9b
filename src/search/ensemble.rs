//! The ensemble that an automatic search ends with.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use ndarray::{Array1, Array2};
use serde_json::json;

use super::calibration::calibration;
use super::history::History;
use super::judge::Labels;
use super::limits::Cost;
use super::selection::{joined, select};
use super::trials::{Done, Trials};
use super::whole::on_all_rows;
use crate::error::Result;
use crate::model::{AnyModel, CalibratedModel, Calibration, EnsembleModel, calibrate};
use crate::training::{Costs, Dataset, Scored, Trained, Trial, cheapest};
use crate::transform::{FittedTransform, InputColumn};
use crate::warning::Warning;

/// The most configurations of an ensemble.
pub(super) const MEMBERS: usize = 5;

/// The members and their calibration, with the metric on the rows that the models have not learned from.
struct Chosen {
    /// Indices into the best trials, with the number of times that each was selected.
    members: Vec<(usize, usize)>,
    calibrations: Option<Vec<Calibration>>,
    /// Predictions for the rows held out, calibrated.
    outputs: Array2<f64>,
    value: f64,
    error: Option<f64>,
}

/// The ensemble of the best trials, calibrated, with the decision threshold by what mistakes cost.
///
/// On the rows held out, each step is kept only if the metric is no worse for it: so the ensemble is never worse there
/// than the best configuration alone.
pub(super) fn ensemble(
    mut history: History,
    trials: &Trials<'_>,
    share: f64,
    costs: Option<&Costs>,
) -> Result<Trained<AnyModel>> {
    let Trials {
        args, judge, space, ..
    } = trials;
    let best = trials.with_fits(history.take_best()?)?;
    let labels = all_labels(&best[0]);
    let chosen = choose(&best, &labels, trials)?;
    let mut models: Vec<(Arc<FittedTransform>, AnyModel, f64)> = Vec::new();
    for (at, n) in &chosen.members {
        let done = &best[*at];
        match done.n_folds {
            1 => {
                let (rows, model) = whole(done, trials)?;
                models.push((Arc::clone(rows.transform()), model, *n as f64));
            }
            _ => {
                for fit in &done.fits {
                    let transform = Arc::clone(fit.rows.transform());
                    models.push((transform, fit.model.clone(), *n as f64));
                }
            }
        }
    }
    let inputs = inputs(&models);
    let model = EnsembleModel::new(models)?;
    let rows = raw_rows(args.train(), inputs, &best[chosen.members[0].0])?;
    let shares = chosen.members.iter().map(|(at, n)| {
        let name = &space.alternative(&best[*at].point).name;
        json!({ "trainer": name, "trial": best[*at].number, "weight": n })
    });
    let stage = json!({
        "name": "ensemble",
        "models": model.members().len(),
        "members": shares.collect::<Vec<_>>(),
        "calibrated": chosen.calibrations.is_some(),
    });
    let mut trial = Trial::new(stage, judge.metric(), chosen.value);
    trial.error = chosen.error;
    trial.share = Some(share);
    let cost = cost_of(&chosen.members, &best);
    (trial.bytes, trial.row_seconds) = (cost.bytes, cost.row_seconds);
    let model = match chosen.calibrations {
        Some(calibrations) => {
            AnyModel::new(CalibratedModel::new(AnyModel::new(model), calibrations)?)
        }
        None => AnyModel::new(model),
    };
    let mut trained = Trained::new(model).behind(&rows);
    if let Some(costs) = costs {
        let scored = Scored {
            outputs: chosen.outputs,
            labels: Array1::from(labels.labels),
            weights: labels.weights.map(Array1::from),
        };
        trained = match cheapest(scored.rows_of(0, 1), costs) {
            Some(threshold) => trained.with_threshold(threshold),
            None => trained.with_warning(Warning::new(
                "auto",
                "one_class_to_tune",
                "the rows to choose a threshold by are of one class, so it is one half",
            )),
        };
    }
    Ok(history
        .record(trained, space, judge, "auto")
        .with_trial(trial))
}

/// Selects the members, within the limits of what a model may cost, and calibrates them.
fn choose(best: &[Done], labels: &Labels, trials: &Trials<'_>) -> Result<Chosen> {
    let judge = trials.judge;
    let outputs = |done: &Done| {
        let parts: Vec<&Array2<f64>> = done.fits.iter().map(|fit| &fit.outputs).collect();
        joined(&parts)
    };
    let all = best.iter().map(outputs).collect::<Result<Vec<_>>>()?;
    let (taken, _) = select(judge, &all, labels)?;
    let taken = taken.iter().copied().enumerate();
    let mut members: Vec<(usize, usize)> = taken.filter(|(_, n)| *n > 0).collect();
    members.sort_by_key(|(at, n)| (Reverse(*n), *at));
    members.truncate(MEMBERS);
    let exceeds = |members: &[(usize, usize)]| {
        let cost = cost_of(members, best);
        trials.limits.exceeded(&cost).is_some()
    };
    while members.len() > 1 && exceeds(&members) {
        members.pop();
    }
    let total: usize = members.iter().map(|(_, n)| n).sum();
    let sum = Array2::<f64>::zeros(all[0].raw_dim());
    let sum = (members.iter()).fold(sum, |sum, (at, n)| sum + &all[*at] * *n as f64);
    let outputs = sum / total as f64;
    let (value, error) = judge.value(outputs.clone(), labels)?;
    // Fewer models than were selected may be worse than the best alone.
    let alone = judge.value(all[0].clone(), labels)?;
    let mut chosen = match judge.loss(value) <= judge.loss(alone.0) {
        true => Chosen {
            members,
            calibrations: None,
            outputs,
            value,
            error,
        },
        false => Chosen {
            members: vec![(0, 1)],
            calibrations: None,
            outputs: all[0].clone(),
            value: alone.0,
            error: alone.1,
        },
    };
    let target = trials.args.target();
    if let Some(calibrations) = calibration(target, &chosen.outputs, labels)? {
        let mut outputs = chosen.outputs.clone();
        calibrate(&mut outputs, &calibrations);
        let (value, error) = judge.value(outputs.clone(), labels)?;
        if judge.loss(value) <= judge.loss(chosen.value) {
            chosen = Chosen {
                calibrations: Some(calibrations),
                outputs,
                value,
                error,
                ..chosen
            };
        }
    }
    Ok(chosen)
}

/// The cost of all members together, as their trials measured it.
fn cost_of(members: &[(usize, usize)], best: &[Done]) -> Cost {
    let costs = members.iter().map(|(at, _)| best[*at].cost);
    costs.reduce(Cost::plus).unwrap_or_default()
}

fn all_labels(done: &Done) -> Labels {
    let weights = done.fits.iter().map(|fit| fit.labels.weights.clone());
    let weights: Option<Vec<Vec<f64>>> = weights.collect();
    Labels {
        labels: done
            .fits
            .iter()
            .flat_map(|fit| fit.labels.labels.iter().copied())
            .collect(),
        weights: weights.map(|weights| weights.concat()),
    }
}

/// The model of a configuration that was tried on one hold-out. From a sample it is trained on all rows but those held
/// out, which it stops early by; else it is trained on all rows.
fn whole(done: &Done, trials: &Trials<'_>) -> Result<(Dataset, AnyModel)> {
    if done.share >= 1.0 {
        let (rows, trained) = on_all_rows(done, trials)?;
        return Ok((rows, trained.into_model()));
    }
    let alternative = (
        done.point.alternative,
        trials.space.alternative(&done.point),
    );
    let places = &done.point.places;
    let fit = trials
        .folds
        .fit((0, 1), alternative, places, 1.0, trials.args)?;
    Ok((fit.rows, fit.model))
}

/// The raw columns that any of the models reads.
fn inputs(models: &[(Arc<FittedTransform>, AnyModel, f64)]) -> Vec<InputColumn> {
    let mut inputs: BTreeMap<&str, &InputColumn> = BTreeMap::new();
    for (transform, ..) in models {
        inputs.extend(
            transform
                .inputs()
                .iter()
                .map(|input| (input.name.as_str(), input)),
        );
    }
    inputs.into_values().cloned().collect()
}

/// The rows as the ensemble takes them, with the decisions on columns of its heaviest member.
fn raw_rows(rows: &Dataset, inputs: Vec<InputColumn>, best: &Done) -> Result<Dataset> {
    let transform = FittedTransform::of_rows(inputs)?;
    let decided = best.fits.first().map(|fit| fit.rows.fitted().clone());
    let fitted = match decided {
        Some(decided) => decided.with_transform(transform),
        None => Arc::new(transform).into(),
    };
    Ok(rows.clone().with_transform(fitted))
}
