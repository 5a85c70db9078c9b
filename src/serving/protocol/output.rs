//! Outputs of a model as tensors.

use std::borrow::Cow;

use super::datatype::Datatype;
use super::plan::Plan;
use super::raw::append_text;
use crate::error::{Error, Result, near_names, shortened};
use crate::model::{Contributions, Prediction, Target, Task};

/// An output of a model.
#[derive(Debug)]
pub(crate) struct Output {
    kind: OutputKind,
    shape: Vec<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum OutputKind {
    Value,
    Class,
    Probability,
    Probabilities,
    /// The named columns of a model beside the outputs of its target.
    Extra(String),
}

/// A requested output.
#[derive(Clone, Debug)]
pub(crate) struct AskedOutput<'a> {
    pub(crate) name: Cow<'a, str>,
    /// The choice between binary data and JSON, if the request makes one.
    pub(crate) binary: Option<bool>,
    /// Triton's classification extension: the number of highest values, returned as strings `value:index:label`.
    pub(crate) classification: Option<u64>,
}

/// The outputs that a request is answered with.
#[derive(Debug, Default)]
pub(crate) struct Outputs {
    wanted: Vec<Wanted>,
    /// True if outputs are binary data by default.
    binary: bool,
    /// True if column contributions follow the outputs.
    contributions: bool,
}

#[derive(Clone, Copy, Debug)]
struct Wanted {
    /// Its place in the plan.
    place: usize,
    binary: bool,
    classification: Option<usize>,
}

/// An output tensor.
#[derive(Debug)]
pub(crate) struct OutputTensor<'a> {
    pub(crate) name: &'a str,
    pub(crate) datatype: Datatype,
    pub(crate) shape: Vec<i64>,
    /// True if the request wants binary data.
    pub(crate) binary: bool,
    pub(crate) data: OutputData<'a>,
}

/// The elements of an output tensor, in row-major order.
#[derive(Debug)]
pub(crate) enum OutputData<'a> {
    /// `FP64`.
    Numbers(Cow<'a, [f64]>),
    /// `BYTES`.
    Texts(Vec<Cow<'a, str>>),
}

impl Output {
    pub(crate) fn name(&self) -> &str {
        match &self.kind {
            OutputKind::Value => "value",
            OutputKind::Class => "class",
            OutputKind::Probability => "probability",
            OutputKind::Probabilities => "probabilities",
            OutputKind::Extra(name) => name,
        }
    }

    pub(crate) fn datatype(&self) -> Datatype {
        match self.kind {
            OutputKind::Class => Datatype::Bytes,
            OutputKind::Value
            | OutputKind::Probability
            | OutputKind::Probabilities
            | OutputKind::Extra(_) => Datatype::Fp64,
        }
    }

    /// The shape that it is described with; -1 is the number of rows.
    pub(crate) fn shape(&self) -> &[i64] {
        &self.shape
    }

    /// The numbers in each row, where there is not just one.
    pub(super) fn width(&self) -> Option<usize> {
        let width = self.shape.get(1)?;
        usize::try_from(*width).ok()
    }

    pub(super) fn data<'a>(&self, prediction: &'a Prediction) -> OutputData<'a> {
        match &self.kind {
            OutputKind::Class => {
                let classes = prediction.classes().into_iter();
                OutputData::Texts(classes.map(Cow::Borrowed).collect())
            }
            OutputKind::Value | OutputKind::Probability | OutputKind::Probabilities => {
                OutputData::Numbers(numbers(prediction))
            }
            OutputKind::Extra(name) => {
                let values = prediction.extra(name).into_iter().flatten().copied();
                OutputData::Numbers(values.collect())
            }
        }
    }
}

/// The outputs of a target and of a model beside it, named as the columns of [`Prediction::to_batch`].
pub(super) fn outputs_of(target: &Target, extras: &[String]) -> Vec<Output> {
    let output = |kind, shape| Output { kind, shape };
    let mut outputs = match target.task() {
        Task::Regression => vec![output(OutputKind::Value, vec![-1])],
        Task::Binary => vec![
            output(OutputKind::Class, vec![-1]),
            output(OutputKind::Probability, vec![-1]),
        ],
        Task::Multiclass => {
            let width = i64::try_from(target.classes().len()).unwrap_or(i64::MAX);
            vec![
                output(OutputKind::Class, vec![-1]),
                output(OutputKind::Probabilities, vec![-1, width]),
            ]
        }
    };
    let extras = extras.iter().cloned();
    outputs.extend(extras.map(|name| output(OutputKind::Extra(name), vec![-1])));
    outputs
}

fn numbers(prediction: &Prediction) -> Cow<'_, [f64]> {
    match prediction.outputs().as_slice() {
        Some(numbers) => Cow::Borrowed(numbers),
        None => Cow::Owned(prediction.outputs().iter().copied().collect()),
    }
}

impl Outputs {
    /// The requested outputs; all of them if none is requested.
    ///
    /// # Errors
    /// If the model has no output of a name, one is requested twice, or one has no classes.
    pub(crate) fn of(plan: &Plan, asked: &[AskedOutput<'_>], binary: bool) -> Result<Self> {
        if asked.is_empty() {
            let all = (0..plan.outputs().len()).map(|place| Wanted {
                place,
                binary,
                classification: None,
            });
            return Ok(Outputs {
                wanted: all.collect(),
                binary,
                contributions: false,
            });
        }
        let mut wanted: Vec<Wanted> = Vec::new();
        for asked in asked {
            let name = &*asked.name;
            let mut outputs = plan.outputs().iter();
            let place = outputs
                .position(|output| output.name() == name)
                .ok_or_else(|| {
                    let name = shortened(name);
                    let names = plan.outputs().iter().map(Output::name);
                    Error::data(format!(
                        "the model has no output `{name}`{}",
                        near_names(&name, names)
                    ))
                })?;
            if wanted.iter().any(|wanted| wanted.place == place) {
                return Err(Error::data(format!("duplicate output `{name}`")));
            }
            let of_classes = matches!(
                plan.outputs()[place].kind,
                OutputKind::Probability | OutputKind::Probabilities
            );
            let classification = match asked.classification {
                None => None,
                Some(_) if !of_classes => {
                    return Err(Error::data(format!(
                        "output `{name}`: `classification` is only for probabilities"
                    )));
                }
                Some(0) => {
                    return Err(Error::data(format!(
                        "output `{name}`: `classification` is 0, must be at least 1"
                    )));
                }
                Some(n) => Some(usize::try_from(n).unwrap_or(usize::MAX)),
            };
            wanted.push(Wanted {
                place,
                binary: asked.binary.unwrap_or(binary),
                classification,
            });
        }
        Ok(Outputs {
            wanted,
            binary,
            contributions: false,
        })
    }

    /// The same, with what each column contributes or without.
    pub(crate) fn with_contributions(mut self, yes: bool) -> Self {
        self.contributions = yes;
        self
    }

    /// Returns `true` if column contributions are requested.
    pub(crate) fn has_contributions(&self) -> bool {
        self.contributions
    }

    /// Returns `true` if any output is binary data.
    pub(crate) fn any_binary(&self) -> bool {
        self.wanted.iter().any(|wanted| wanted.binary) || (self.contributions && self.binary)
    }

    /// The tensors of a prediction.
    pub(crate) fn tensors<'a>(
        &'a self,
        plan: &'a Plan,
        prediction: &'a Prediction,
    ) -> impl Iterator<Item = OutputTensor<'a>> {
        let contributions = prediction.contributions().filter(|_| self.contributions);
        let contributions = contributions.map(|found| self.contributions_of(found));
        let wanted = self.wanted.iter().map(|wanted| {
            let output = &plan.outputs()[wanted.place];
            let n_rows = i64::try_from(prediction.n_rows()).unwrap_or(i64::MAX);
            if let Some(n) = wanted.classification {
                let (texts, width) = highest(prediction, n);
                return OutputTensor {
                    name: output.name(),
                    datatype: Datatype::Bytes,
                    shape: vec![n_rows, width],
                    binary: wanted.binary,
                    data: OutputData::Texts(texts),
                };
            }
            let mut shape = output.shape.clone();
            shape[0] = n_rows;
            OutputTensor {
                name: output.name(),
                datatype: output.datatype(),
                shape,
                binary: wanted.binary,
                data: output.data(prediction),
            }
        });
        wanted.chain(contributions.into_iter().flatten())
    }

    /// `contributions`, rows by outputs by names, and the names.
    fn contributions_of<'a>(&self, found: &'a Contributions) -> [OutputTensor<'a>; 2] {
        let length = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let (n_rows, n_outputs, n_names) = found.values().dim();
        let numbers = match found.values().as_slice() {
            Some(numbers) => Cow::Borrowed(numbers),
            None => Cow::Owned(found.values().iter().copied().collect()),
        };
        let names = found
            .names()
            .iter()
            .map(|name| Cow::Borrowed(name.as_str()));
        [
            OutputTensor {
                name: "contributions",
                datatype: Datatype::Fp64,
                shape: vec![length(n_rows), length(n_outputs), length(n_names)],
                binary: self.binary,
                data: OutputData::Numbers(numbers),
            },
            OutputTensor {
                name: "contribution_names",
                datatype: Datatype::Bytes,
                shape: vec![length(n_names)],
                binary: self.binary,
                data: OutputData::Texts(names.collect()),
            },
        ]
    }
}

/// The probability of each class of a row, in the order of the target's classes.
pub(super) fn class_probabilities(prediction: &Prediction, row: usize) -> Vec<f64> {
    let numbers = prediction.outputs().row(row);
    match prediction.target().task() {
        Task::Binary => vec![1.0 - numbers[0], numbers[0]],
        Task::Multiclass => numbers.to_vec(),
        Task::Regression => Vec::new(),
    }
}

/// The `n` most probable classes of each row as `value:index:label`, and how many each row has.
fn highest(prediction: &Prediction, n: usize) -> (Vec<Cow<'static, str>>, i64) {
    let classes = prediction.target().classes();
    let n = n.min(classes.len());
    let mut texts = Vec::with_capacity(n * prediction.n_rows());
    for row in 0..prediction.n_rows() {
        let probabilities = class_probabilities(prediction, row);
        let mut order: Vec<usize> = (0..probabilities.len()).collect();
        order.sort_by(|a, b| probabilities[*b].total_cmp(&probabilities[*a]));
        texts.extend(order.iter().take(n).map(|class| {
            Cow::Owned(format!(
                "{}:{class}:{}",
                probabilities[*class], classes[*class]
            ))
        }));
    }
    (texts, i64::try_from(n).unwrap_or(i64::MAX))
}

impl OutputData<'_> {
    /// Appends the elements as binary data; returns their number of bytes.
    ///
    /// # Errors
    /// If a string has more than 4 GiB.
    pub(crate) fn append(&self, out: &mut Vec<u8>) -> Result<usize> {
        let before = out.len();
        match self {
            OutputData::Numbers(numbers) => {
                out.reserve(size_of_val(&**numbers));
                for number in numbers.iter() {
                    out.extend_from_slice(&number.to_le_bytes());
                }
            }
            OutputData::Texts(texts) => {
                for text in texts {
                    append_text(out, text)?;
                }
            }
        }
        Ok(out.len() - before)
    }
}
