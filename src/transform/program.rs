//! Steps with their columns resolved to places, and running them.
//!
//! The places are the raw columns, then the outputs of the steps in order.

use std::collections::HashMap;

use super::fitted::FittedStep;
use super::input::InputColumn;
use super::step::Step;
use super::value::Value;
use crate::error::{Error, Result};

/// The places of a list of steps.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Places {
    /// For each step the places of its inputs.
    pub(super) sources: Vec<Vec<usize>>,
    /// For each step the place of its first output.
    pub(super) outputs: Vec<usize>,
    /// Each written column in the order of first writing: its name, the step that wrote it last, its place.
    pub(super) written: Vec<(String, usize, usize)>,
    /// The number of places.
    pub(super) n: usize,
}

impl Places {
    pub(super) fn of<O>(inputs: &[InputColumn], steps: &[Step<O>]) -> Result<Self> {
        let mut places: HashMap<&str, usize> = inputs
            .iter()
            .enumerate()
            .map(|(place, input)| (input.name.as_str(), place))
            .collect();
        let mut all = Places {
            n: inputs.len(),
            ..Places::default()
        };
        let mut of_names: HashMap<&str, usize> = HashMap::new();
        for (number, step) in steps.iter().enumerate() {
            let sources = step.inputs.iter().map(|input| {
                places.get(input.as_str()).copied().ok_or_else(|| {
                    Error::config(format!(
                        "transform step {number} reads `{input}`, which is neither an input nor the output of an earlier step"
                    ))
                })
            });
            all.sources.push(sources.collect::<Result<_>>()?);
            all.outputs.push(all.n);
            for output in &step.outputs {
                let place = all.n;
                all.n += 1;
                places.insert(output, place);
                match of_names.get(output.as_str()).copied() {
                    Some(at) => (all.written[at].1, all.written[at].2) = (number, place),
                    None => {
                        of_names.insert(output, all.written.len());
                        all.written.push((output.clone(), number, place));
                    }
                }
            }
        }
        Ok(all)
    }
}

/// The source of the values of a place.
#[derive(Clone, Debug, Default)]
pub(super) struct Origin {
    /// The raw columns, by number, rising.
    pub(super) inputs: Vec<usize>,
    /// Whether they are lists, or may be.
    pub(super) is_list: bool,
}

impl Places {
    /// The origin of each place.
    pub(super) fn origins(&self, inputs: &[InputColumn], steps: &[FittedStep]) -> Vec<Origin> {
        let raw = inputs.iter().enumerate().map(|(number, input)| Origin {
            inputs: vec![number],
            is_list: input.is_list,
        });
        let mut origins: Vec<Origin> = raw.collect();
        for (step, sources) in steps.iter().zip(&self.sources) {
            let mut inputs: Vec<usize> = Vec::new();
            for source in sources {
                inputs.extend(&origins[*source].inputs);
            }
            inputs.sort_unstable();
            inputs.dedup();
            let of_lists = sources.iter().any(|source| origins[*source].is_list);
            let origin = Origin {
                inputs,
                is_list: step.op.makes_lists(of_lists),
            };
            origins.extend(step.outputs.iter().map(|_| origin.clone()));
        }
        origins
    }
}

/// Runs a step on the values before it and appends what it makes. Everything that reads or makes features comes
/// through here.
///
/// Rows to train on come with the hashes that choose their folds.
pub(super) fn run(
    step: &FittedStep,
    sources: &[usize],
    values: &mut Vec<Value>,
    row_hashes: Option<&[u64]>,
) -> Result<()> {
    for (source, input) in sources.iter().zip(&step.inputs) {
        if matches!(values[*source], Value::Absent) {
            return Err(Error::config(format!(
                "`{input}` is used after it is dropped"
            )));
        }
    }
    let op = step.op.apply();
    if let (Some(hashes), [source], 1) = (row_hashes, sources, step.outputs.len()) {
        let made = op.apply_training(&[&values[*source]], hashes);
        values.push(made.map_err(|error| step.name(&error))?);
        return Ok(());
    }
    let made = match (sources, step.outputs.len()) {
        ([source], 1) => op
            .apply(&[&values[*source]])
            .map(|value| values.push(value)),
        (_, n_outputs) => {
            let inputs: Vec<&Value> = sources.iter().map(|source| &values[*source]).collect();
            match n_outputs {
                1 => op.apply(&inputs).map(|value| values.push(value)),
                _ => op.apply_all(&inputs).and_then(|made| {
                    if made.len() != n_outputs {
                        return Err(Error::config(format!(
                            "the operation made {} columns, the step has {n_outputs} outputs",
                            made.len()
                        )));
                    }
                    values.extend(made);
                    Ok(())
                }),
            }
        }
    };
    made.map_err(|error| step.name(&error))
}
