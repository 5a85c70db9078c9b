//! Fitting: each pass over the rows answers every step that can be answered, until all are.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_empty_array};
use arrow::datatypes::{Field, Schema as ArrowSchema};
use serde::{Deserialize, Serialize};

use super::Transform;
use super::fitted::{FittedStep, FittedTransform};
use super::folds::row_hashes;
use super::input::InputColumn;
use super::learn::{Learner, Rows};
use super::program::{Places, run};
use super::step::Step;
use super::value::Value;
use crate::accumulate::Accumulate;
use crate::error::{Error, Result};

/// The columns that fitting may learn from besides the inputs. Every row counts once: steps take no heed of weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles<'a> {
    /// The label: what target encoding learns from. Never an input.
    pub label: Option<&'a str>,
}

impl<'a> Roles<'a> {
    /// A label.
    #[must_use]
    pub fn label(label: &'a str) -> Self {
        Roles { label: Some(label) }
    }
}

impl Transform {
    /// Starts fitting on rows of an Arrow schema. Most callers want a pipeline, or [`Transform::fit`].
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) as [`Transform::check`]; if a step names a column that is
    /// not there, with the near ones; if a step reads the label, or needs it and there is none.
    pub fn fitting(&self, schema: &ArrowSchema, roles: Roles<'_>) -> Result<Fitting> {
        self.check()?;
        let names = self.inputs();
        if let Some(label) = roles.label.filter(|label| names.contains(label)) {
            return Err(Error::config(format!(
                "the transform reads the label `{label}`; a feature must be known before the label is"
            )));
        }
        let mut step_of_label = self
            .steps
            .iter()
            .filter(|step| step.op.operation().needs_label());
        if let (Some(step), None) = (step_of_label.next(), roles.label) {
            let error = Error::config("it learns from the label, and there is none");
            return Err(step.name(&error));
        }
        let mut next = 0;
        let mut find = |name: &str| InputColumn::find(schema, name, &mut next);
        let fold_by = self.fold_by();
        if let Some(label) = roles.label
            && fold_by.as_ref().is_some_and(|names| names.contains(&label))
        {
            return Err(Error::config(format!(
                "the label `{label}` is in `fold_by`; the fold of a row must not tell its label"
            )));
        }
        let fold_by = fold_by.map(|names| names.into_iter().map(&mut find).collect::<Result<_>>());
        let label = roles.label.filter(|_| self.needs_label());
        let inputs: Vec<InputColumn> = names.into_iter().map(&mut find).collect::<Result<_>>()?;
        Ok(Fitting {
            fitted: vec![None; self.steps.len()],
            places: Places::of(&inputs, &self.steps)?,
            steps: self.steps.clone(),
            inputs,
            label: label.map(find).transpose()?,
            fold_by: fold_by.transpose()?,
        })
    }

    /// The columns that choose the folds of rows besides the inputs; `None` if no step needs folds.
    fn fold_by(&self) -> Option<Vec<&str>> {
        let mut all: Option<Vec<&str>> = None;
        for names in self
            .steps
            .iter()
            .filter_map(|step| step.op.operation().fold_by())
        {
            let all = all.get_or_insert_default();
            for name in names {
                if !all.contains(&name.as_str()) {
                    all.push(name);
                }
            }
        }
        all
    }

    /// Fits on batches in memory, without a label.
    ///
    /// # Errors
    /// As [`Transform::fitting`]; and [`ErrorKind::Data`](crate::ErrorKind::Data) if a step cannot learn from the
    /// rows, such as the mean of a column without a value.
    pub fn fit(&self, batches: &[RecordBatch]) -> Result<FittedTransform> {
        self.fit_with(batches, Roles::default())
    }

    /// Fits on batches in memory that have a label.
    ///
    /// # Errors
    /// As [`Transform::fit`].
    pub fn fit_with(&self, batches: &[RecordBatch], roles: Roles<'_>) -> Result<FittedTransform> {
        let schema = batches
            .first()
            .ok_or_else(|| Error::data("a transform cannot be fitted on no batches"))?
            .schema();
        let mut fitting = self.fitting(&schema, roles)?;
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
    label: Option<InputColumn>,
    fold_by: Option<Vec<InputColumn>>,
    steps: Vec<Step>,
    places: Places,
    fitted: Vec<Option<FittedStep>>,
}

/// One pass of fitting: everything that can be learned now, as an accumulator.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FitPass {
    learners: Vec<Learner>,
    #[serde(skip)]
    plan: Arc<Plan>,
}

/// The parts of a pass that are not serialized.
#[derive(Debug, Default)]
struct Plan {
    inputs: Vec<InputColumn>,
    label: Option<InputColumn>,
    fold_by: Option<Vec<InputColumn>>,
    places: Places,
    /// The steps that are fitted and that a lesson depends on.
    steps: Vec<Option<FittedStep>>,
    /// The number of columns that each step writes.
    n_outputs: Vec<usize>,
    lessons: Vec<Lesson>,
}

/// The task of a learner.
#[derive(Debug)]
struct Lesson {
    /// The columns that it reads.
    sources: Vec<usize>,
    with_label: bool,
    /// The steps that it answers; never none.
    steps: Vec<(usize, Step)>,
}

impl Fitting {
    /// The raw columns that the passes read: the inputs, and the label and what chooses folds where they are
    /// needed.
    #[must_use]
    pub fn columns(&self) -> Vec<&str> {
        let others = self.label.iter().chain(self.fold_by.iter().flatten());
        let all = self.inputs.iter().chain(others);
        let mut seen = HashSet::new();
        all.map(|column| column.name.as_str())
            .filter(|name| seen.insert(*name))
            .collect()
    }

    /// The next pass over the rows; `None` when every step is fitted.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if a step reads a dropped column.
    pub fn pass(&mut self) -> Result<Option<FitPass>> {
        let mut known = vec![true; self.inputs.len()];
        let mut learners: Vec<Learner> = Vec::new();
        let mut lessons: Vec<Lesson> = Vec::new();
        let mut of_sources: HashMap<&[usize], Vec<usize>> = HashMap::new();
        for (number, step) in self.steps.iter().enumerate() {
            let sources = &self.places.sources[number];
            let sources_known = sources.iter().all(|source| known[*source]);
            if sources_known && self.fitted[number].is_none() {
                let op = step.op.operation();
                match op.learner() {
                    Some(learner) => {
                        let with_label = op.needs_label();
                        let alike = of_sources.entry(sources).or_default();
                        let place = alike.iter().find(|place| {
                            lessons[**place].with_label == with_label
                                && learners[**place] == learner
                        });
                        match place {
                            Some(place) => lessons[*place].steps.push((number, step.clone())),
                            None => {
                                alike.push(lessons.len());
                                learners.push(learner);
                                lessons.push(Lesson {
                                    sources: sources.clone(),
                                    with_label,
                                    steps: vec![(number, step.clone())],
                                });
                            }
                        }
                    }
                    None => {
                        let op = op.fitted().map_err(|error| step.name(&error))?;
                        self.fitted[number] = Some(step.with(op));
                    }
                }
            }
            let step_known = self.fitted[number].is_some();
            known.extend(step.outputs.iter().map(|_| step_known));
        }
        if learners.is_empty() {
            return Ok(None);
        }
        let wanted = self.wanted(&lessons);
        let steps = self.fitted.iter().zip(wanted);
        let plan = Plan {
            inputs: self.inputs.clone(),
            label: self.label.clone(),
            fold_by: self.fold_by.clone(),
            places: self.places.clone(),
            steps: steps
                .map(|(step, wanted)| step.clone().filter(|_| wanted))
                .collect(),
            n_outputs: self.steps.iter().map(|step| step.outputs.len()).collect(),
            lessons,
        };
        Ok(Some(FitPass {
            learners,
            plan: Arc::new(plan),
        }))
    }

    /// For each step whether a lesson depends on it.
    fn wanted(&self, lessons: &[Lesson]) -> Vec<bool> {
        let mut places = vec![false; self.places.n];
        let sources = lessons.iter().flat_map(|lesson| &lesson.sources);
        sources.for_each(|source| places[*source] = true);
        let mut wanted = vec![false; self.steps.len()];
        for (number, step) in self.steps.iter().enumerate().rev() {
            let first = self.places.outputs[number];
            wanted[number] = (first..first + step.outputs.len()).any(|place| places[place]);
            if wanted[number] {
                let sources = &self.places.sources[number];
                sources.iter().for_each(|source| places[*source] = true);
            }
        }
        wanted
    }

    /// Takes in what a pass has learned.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](crate::ErrorKind::Data) if there was nothing to learn from, naming the column.
    pub fn absorb(&mut self, pass: FitPass) -> Result<()> {
        let FitPass { learners, plan } = pass;
        let lessons = plan.lessons.iter().zip(&learners);
        let mut answers: Vec<(usize, &Step, &Learner)> = lessons
            .flat_map(|(lesson, learner)| {
                let steps = lesson.steps.iter();
                steps.map(move |(number, step)| (*number, step, learner))
            })
            .collect();
        answers.sort_by_key(|(number, ..)| *number);
        for (number, step, learner) in answers {
            let fitted = step.op.operation().fit(learner);
            let op = fitted.map_err(|error| step.name(&error))?;
            self.fitted[number] = Some(step.with(op));
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
            .fitted
            .into_iter()
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| Error::internal("a transform was finished before it was fitted"))?;
        let empty: Vec<(Field, ArrayRef)> = self
            .inputs
            .iter()
            .filter_map(|input| {
                let data_type = input.data_type()?;
                let column = new_empty_array(&data_type);
                Some((Field::new(&input.name, data_type, true), column))
            })
            .collect();
        let (fields, columns): (Vec<Field>, Vec<ArrayRef>) = empty.into_iter().unzip();
        let no_rows = RecordBatch::try_new_with_options(
            Arc::new(ArrowSchema::new(fields)),
            columns,
            &RecordBatchOptions::new().with_row_count(Some(0)),
        )?;
        let fitted = FittedTransform::new(self.inputs, steps)?.with_folds(self.fold_by);
        // Steps that learn nothing see the types of their columns here.
        fitted.apply(&no_rows)?;
        Ok(fitted)
    }
}

impl Accumulate for FitPass {
    fn update(&mut self, batch: &RecordBatch) -> Result<()> {
        let plan = Arc::clone(&self.plan);
        let read = |column: &InputColumn| Value::of(column.read(batch, &mut 0)?, column.field_type);
        let mut raw = InputColumn::read_all(&plan.inputs, batch).collect::<Result<Vec<_>>>()?;
        let mut values = Vec::with_capacity(plan.places.n);
        for (input, column) in plan.inputs.iter().zip(&raw) {
            values.push(Value::of(ArrayRef::clone(column), input.field_type)?);
        }
        let row_hashes = match &plan.fold_by {
            Some(others) => {
                for other in InputColumn::read_all(others, batch) {
                    raw.push(other?);
                }
                Some(row_hashes(&raw)?)
            }
            None => None,
        };
        let label = plan.label.as_ref().map(read).transpose()?;
        let steps = plan.steps.iter().zip(&plan.places.sources);
        for ((step, sources), n_outputs) in steps.zip(&plan.n_outputs) {
            match step {
                Some(step) => run(step, sources, &mut values, row_hashes.as_deref())?,
                None => values.extend((0..*n_outputs).map(|_| Value::Absent)),
            }
        }
        for (lesson, learner) in plan.lessons.iter().zip(&mut self.learners) {
            let inputs: Vec<&Value> = lesson.sources.iter().map(|at| &values[*at]).collect();
            let dropped = inputs.iter().any(|input| matches!(input, Value::Absent));
            let rows = Rows {
                inputs: &inputs,
                label: label.as_ref().filter(|_| lesson.with_label),
                folds: row_hashes.as_deref(),
            };
            let result = match dropped {
                true => Err(Error::config("it reads a column after it is dropped")),
                false => learner.update(rows),
            };
            if let (Err(error), Some((_, step))) = (result, lesson.steps.first()) {
                return Err(step.name(&error));
            }
        }
        Ok(())
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        if self.learners.len() != other.learners.len() {
            return Err(Error::internal("passes of different transforms merged"));
        }
        self.learners
            .iter_mut()
            .zip(other.learners)
            .try_for_each(|(mine, theirs)| mine.merge(theirs))
    }
}
