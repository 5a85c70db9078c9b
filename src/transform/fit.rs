//! Fitting: each pass over the rows answers every step that can be answered, until all are.

use std::sync::Arc;

use arrow::array::{RecordBatch, new_empty_array};
use arrow::datatypes::Schema as ArrowSchema;
use serde::{Deserialize, Serialize};

use super::fitted::{FittedOp, FittedStep, FittedTransform, InputColumn};
use super::value::Value;
use super::{Fill, Op, Step, Transform};
use crate::accumulate::Accumulate;
use crate::error::{Error, Result, near_names};
use crate::schema::FieldType;
use crate::statistics::{Moments, QuantileSketch, TopValues};

impl Transform {
    /// Starts fitting on rows of an Arrow schema. Most callers want a pipeline, or [`Transform::fit`].
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) as [`Transform::check`], or if a step names a column that
    /// is not there, with the near ones.
    pub fn fitting(&self, schema: &ArrowSchema) -> Result<Fitting> {
        self.check()?;
        let inputs = self
            .inputs()
            .into_iter()
            .map(|name| {
                let field = schema.field_with_name(name).map_err(|_| {
                    let names = schema.fields().iter().map(|field| field.name().as_str());
                    Error::config(format!(
                        "the transform reads column `{name}`, which is not in the data{}",
                        near_names(name, names)
                    ))
                })?;
                match FieldType::of(field.data_type()) {
                    FieldType::Other => Err(Error::config(format!(
                        "column `{name}` is of type {}, which makes no features",
                        field.data_type()
                    ))),
                    field_type => Ok(InputColumn {
                        name: name.to_owned(),
                        field_type,
                    }),
                }
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Fitting {
            steps: self.steps.clone(),
            fitted: vec![None; self.steps.len()],
            inputs,
        })
    }

    /// Fits on batches in memory.
    ///
    /// # Errors
    /// As [`Transform::fitting`]; and [`ErrorKind::Data`](crate::ErrorKind::Data) if a step cannot learn from the
    /// rows, such as the mean of a column without a value.
    pub fn fit(&self, batches: &[RecordBatch]) -> Result<FittedTransform> {
        let schema = batches
            .first()
            .ok_or_else(|| Error::data("a transform cannot be fitted on no batches"))?
            .schema();
        let mut fitting = self.fitting(&schema)?;
        while let Some(mut pass) = fitting.pass()? {
            batches.iter().try_for_each(|batch| pass.update(batch))?;
            fitting.absorb(pass)?;
        }
        fitting.finish()
    }
}

/// A transform that is being fitted: run each [`Fitting::pass`] over the rows, give it back to
/// [`Fitting::absorb`], until there is none.
#[derive(Clone, Debug)]
pub struct Fitting {
    inputs: Vec<InputColumn>,
    steps: Vec<Step>,
    fitted: Vec<Option<FittedOp>>,
}

/// One pass of fitting: everything that can be learned now, as an accumulator.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FitPass {
    learning: Vec<(usize, Learning)>,
    #[serde(skip)]
    plan: Arc<Plan>,
}

#[derive(Debug, Default)]
struct Plan {
    inputs: Vec<InputColumn>,
    /// For each step the place of its input, and its operation once it is fitted.
    steps: Vec<(usize, Option<FittedStep>)>,
    /// For each step the name of its input.
    names: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Learning {
    Moments(Moments),
    Quantiles(QuantileSketch),
    Top(TopValues<String>),
}

impl Fitting {
    /// The next pass over the rows; `None` when every step is fitted.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if a step reads a dropped column.
    pub fn pass(&mut self) -> Result<Option<FitPass>> {
        let sources = self.sources();
        let mut known: Vec<bool> = vec![true; self.inputs.len()];
        let mut learning = Vec::new();
        for (number, step) in self.steps.iter().enumerate() {
            let source_known = known[sources[number]];
            if source_known && self.fitted[number].is_none() {
                match Learning::of(&step.op) {
                    Some(prototype) => learning.push((number, prototype)),
                    None => self.fitted[number] = step.op.without_learning(),
                }
            }
            known.push(source_known && self.fitted[number].is_some());
        }
        if learning.is_empty() {
            return Ok(None);
        }
        let steps = self
            .steps
            .iter()
            .zip(&self.fitted)
            .zip(sources)
            .map(|((step, op), source)| (source, op.clone().map(|op| step.fitted(op))))
            .collect();
        Ok(Some(FitPass {
            learning,
            plan: Arc::new(Plan {
                inputs: self.inputs.clone(),
                steps,
                names: self.steps.iter().map(|step| step.input.clone()).collect(),
            }),
        }))
    }

    /// Takes in what a pass has learned.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](crate::ErrorKind::Data) if there was nothing to learn from, naming the column.
    pub fn absorb(&mut self, pass: FitPass) -> Result<()> {
        for (number, learned) in pass.learning {
            let step = &self.steps[number];
            let op = learned.finish(&step.op).map_err(|error| {
                Error::new(
                    error.kind(),
                    format!("transform of `{}`: {}", step.input, error.message()),
                )
            })?;
            self.fitted[number] = Some(op);
        }
        Ok(())
    }

    /// The fitted transform.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if a step reads a column of a type that it does not take;
    /// [`ErrorKind::Internal`](crate::ErrorKind::Internal) if a pass is still to be run.
    pub fn finish(self) -> Result<FittedTransform> {
        let steps = self
            .steps
            .iter()
            .zip(self.fitted)
            .map(|(step, op)| op.map(|op| step.fitted(op)))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| Error::internal("a transform was finished before it was fitted"))?;
        let empty = self.inputs.iter().filter_map(|input| {
            let data_type = input.field_type.data_type()?;
            Some((&input.name, new_empty_array(&data_type)))
        });
        let no_rows = RecordBatch::try_from_iter(empty)?;
        let fitted = FittedTransform::new(self.inputs, steps)?;
        // Steps that learn nothing see the types of their columns here.
        fitted.apply(&no_rows)?;
        Ok(fitted)
    }

    fn sources(&self) -> Vec<usize> {
        let place = |name: &str, before: usize| {
            self.steps[..before]
                .iter()
                .rposition(|step| step.output == name)
                .map(|number| self.inputs.len() + number)
                .or_else(|| self.inputs.iter().position(|input| input.name == name))
                .unwrap_or_default()
        };
        self.steps
            .iter()
            .enumerate()
            .map(|(number, step)| place(&step.input, number))
            .collect()
    }
}

impl Accumulate for FitPass {
    fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        let plan = Arc::clone(&self.plan);
        let raw = FittedTransform::new(plan.inputs.clone(), Vec::new())?;
        let mut values = raw.evaluate(batch)?;
        for (source, step) in &plan.steps {
            let value = match (values[*source].as_ref(), step) {
                (Some(value), Some(step)) => step
                    .op
                    .apply(value, step.op.index().as_ref())
                    .map_err(|error| error_of(&step.input, &error))?,
                _ => None,
            };
            values.push(value);
        }
        for (number, learning) in &mut self.learning {
            let (source, _) = plan.steps[*number];
            let value = values[source].as_ref().ok_or_else(|| {
                Error::config("a transform step reads a column after it is dropped")
            })?;
            learning
                .update(value)
                .map_err(|error| error_of(&plan.names[*number], &error))?;
        }
        Ok(())
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        if self.learning.len() != other.learning.len() {
            return Err(Error::internal("passes of different transforms merged"));
        }
        self.learning
            .iter_mut()
            .zip(other.learning)
            .try_for_each(|((_, mine), (_, theirs))| mine.merge(theirs))
    }
}

fn error_of(column: &str, error: &Error) -> Error {
    Error::new(
        error.kind(),
        format!("transform of `{column}`: {}", error.message()),
    )
}

impl Step {
    fn fitted(&self, op: FittedOp) -> FittedStep {
        FittedStep {
            input: self.input.clone(),
            output: self.output.clone(),
            op,
        }
    }
}

impl Op {
    /// The fitted operation, of one that has nothing to learn.
    fn without_learning(&self) -> Option<FittedOp> {
        Some(match self {
            Op::Number => FittedOp::Number,
            Op::MissingIndicator => FittedOp::MissingIndicator,
            Op::Log1p => FittedOp::Log1p,
            Op::Cyclic { period } => FittedOp::Cyclic { period: *period },
            Op::Hash { n_buckets } => FittedOp::Hash {
                n_buckets: *n_buckets,
            },
            Op::DatePart { part } => FittedOp::DatePart { part: *part },
            Op::Drop => FittedOp::Drop,
            Op::Impute {
                fill: Fill::Number(value),
            } => FittedOp::ImputeNumber { value: *value },
            Op::Impute {
                fill: Fill::Text(value),
            } => FittedOp::ImputeText {
                value: value.clone(),
            },
            Op::Impute { .. }
            | Op::ZScore
            | Op::MinMax
            | Op::Clip { .. }
            | Op::Bucketize { .. }
            | Op::OneHot { .. } => return None,
        })
    }
}

impl Learning {
    /// What an operation has to learn, if anything.
    fn of(op: &Op) -> Option<Learning> {
        Some(match op {
            Op::ZScore | Op::MinMax | Op::Impute { fill: Fill::Mean } => {
                Learning::Moments(Moments::default())
            }
            Op::Clip { .. } | Op::Bucketize { .. } | Op::Impute { fill: Fill::Median } => {
                Learning::Quantiles(QuantileSketch::default())
            }
            Op::Impute { fill: Fill::Mode } => Learning::Top(TopValues::new(1_024)),
            Op::OneHot { max_categories } => {
                Learning::Top(TopValues::new(max_categories.saturating_mul(10).max(1_024)))
            }
            _ => return None,
        })
    }

    fn update(&mut self, value: &Value) -> Result<()> {
        match self {
            Learning::Moments(moments) => value
                .numbers()?
                .iter()
                .flatten()
                .for_each(|number| moments.update(number)),
            Learning::Quantiles(sketch) => value
                .numbers()?
                .iter()
                .flatten()
                .filter(|number| number.is_finite())
                .for_each(|number| sketch.update(number)),
            Learning::Top(top) => value.for_each_text(|text| {
                if let Some(text) = text {
                    top.add(text, 1);
                }
            })?,
        }
        Ok(())
    }

    fn merge(&mut self, other: Learning) -> Result<()> {
        match (self, other) {
            (Learning::Moments(mine), Learning::Moments(theirs)) => mine.merge(&theirs),
            (Learning::Quantiles(mine), Learning::Quantiles(theirs)) => mine.merge(&theirs),
            (Learning::Top(mine), Learning::Top(theirs)) => mine.merge(theirs),
            _ => return Err(Error::internal("passes of different transforms merged")),
        }
        Ok(())
    }

    fn finish(self, op: &Op) -> Result<FittedOp> {
        let nothing = || Error::data("the training split has no finite value to learn from");
        Ok(match (op, self) {
            (Op::ZScore, Learning::Moments(moments)) => FittedOp::Linear {
                offset: moments.mean().ok_or_else(nothing)?,
                scale: scale_of(moments.std().ok_or_else(nothing)?),
            },
            (Op::MinMax, Learning::Moments(moments)) => {
                let (min, max) = moments.min().zip(moments.max()).ok_or_else(nothing)?;
                FittedOp::Linear {
                    offset: min,
                    scale: scale_of(max - min),
                }
            }
            (Op::Impute { .. }, Learning::Moments(moments)) => FittedOp::ImputeNumber {
                value: moments.mean().ok_or_else(nothing)?,
            },
            (Op::Impute { .. }, Learning::Quantiles(sketch)) => FittedOp::ImputeNumber {
                value: *sketch.quantiles(&[0.5]).first().ok_or_else(nothing)?,
            },
            (Op::Impute { .. }, Learning::Top(top)) => FittedOp::ImputeText {
                value: top
                    .top(1)
                    .pop()
                    .ok_or_else(|| Error::data("the training split has no value to learn from"))?
                    .0,
            },
            (Op::Clip { low, high }, Learning::Quantiles(sketch)) => {
                match sketch.quantiles(&[*low, *high])[..] {
                    [low, high] => FittedOp::Clip { low, high },
                    _ => return Err(nothing()),
                }
            }
            (Op::Bucketize { n_buckets }, Learning::Quantiles(sketch)) => {
                if sketch.count() == 0 {
                    return Err(nothing());
                }
                FittedOp::Bucketize {
                    boundaries: sketch.boundaries(*n_buckets),
                }
            }
            (Op::OneHot { max_categories }, Learning::Top(top)) => FittedOp::OneHot {
                values: top
                    .top(*max_categories)
                    .into_iter()
                    .map(|(value, _)| value)
                    .collect(),
            },
            _ => return Err(Error::internal("a transform step learned the wrong thing")),
        })
    }
}

/// `1 / spread`; 1 for a constant column, and for one whose spread is lost in rounding.
fn scale_of(spread: f64) -> f64 {
    let scale = 1.0 / spread;
    if scale.is_finite() && spread > 0.0 {
        scale
    } else {
        1.0
    }
}
