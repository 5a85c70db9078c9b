//! A fitted transform: readable JSON that turns raw batches into features.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::custom::Operations;
use super::input::InputColumn;
use super::ops::{FittedCustom, FittedOp};
use super::program::Places;
use super::step::Step;
use crate::error::{Error, Result};
use crate::features::{Feature, FeatureKind, Layout};

/// A step with what it has learned.
pub type FittedStep = Step<FittedOp>;

/// A transform that has seen its training data.
///
/// `apply` is a pure function of the batch: rows do not influence each other, so a batch of one row gives the same
/// bits as that row within a batch of 100,000.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Document", into = "Document")]
pub struct FittedTransform {
    pub(super) inputs: Vec<InputColumn>,
    pub(super) steps: Vec<FittedStep>,
    pub(super) layout: Arc<Layout>,
    /// The columns that choose the folds of training rows besides the inputs, if a step needs folds.
    pub(super) fold_by: Option<Vec<InputColumn>>,
    pub(super) places: Places,
    pub(super) written: Vec<Written>,
}

/// A column of features.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Written {
    /// The place of its values.
    pub(super) place: usize,
    pub(super) kind: FeatureKind,
    /// The number of its first feature.
    pub(super) feature: usize,
    /// Its columns in the matrix.
    pub(super) first: usize,
    pub(super) width: usize,
}

/// The stored form.
#[derive(Serialize, Deserialize)]
struct Document {
    format_version: u32,
    inputs: Vec<InputColumn>,
    steps: Vec<FittedStep>,
    features: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fold_by: Option<Vec<InputColumn>>,
}

impl From<FittedTransform> for Document {
    fn from(fitted: FittedTransform) -> Self {
        Document {
            format_version: FittedTransform::FORMAT_VERSION,
            inputs: fitted.inputs,
            steps: fitted.steps,
            features: fitted.layout.names().to_vec(),
            fold_by: fitted.fold_by,
        }
    }
}

impl TryFrom<Document> for FittedTransform {
    type Error = Error;

    fn try_from(document: Document) -> Result<Self> {
        if document.format_version != FittedTransform::FORMAT_VERSION {
            return Err(Error::corrupt(format!(
                "a transform of format version {}, this build reads {}",
                document.format_version,
                FittedTransform::FORMAT_VERSION
            )));
        }
        document
            .steps
            .iter()
            .try_for_each(FittedStep::check_columns)?;
        let features = document.features;
        let fitted = FittedTransform::new(document.inputs, document.steps)?;
        if fitted.features() != features {
            return Err(Error::corrupt(
                "a transform whose features do not follow from its steps",
            ));
        }
        Ok(fitted.with_folds(document.fold_by))
    }
}

impl FittedTransform {
    /// The version of the layout that this build writes.
    pub(crate) const FORMAT_VERSION: u32 = 1;

    /// A transform from its parts, such as one that was fitted elsewhere.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if a step reads a column that is neither an input nor
    /// written before it.
    pub fn new(inputs: Vec<InputColumn>, steps: Vec<FittedStep>) -> Result<Self> {
        let places = Places::of(&inputs, &steps)?;
        let origins = places.origins(&inputs, &steps);
        let mut layout = Layout::new();
        let mut written = Vec::new();
        for (name, step, place) in &places.written {
            let op = &steps[*step].op;
            if matches!(op, FittedOp::Drop(_)) {
                continue;
            }
            let names = op.apply().feature_names(name);
            // A vocabulary may be empty.
            if names.is_empty() {
                continue;
            }
            let of_lists = places.sources[*step].iter().any(|at| origins[*at].is_list);
            let kind = op.kind(of_lists);
            written.push(Written {
                place: *place,
                kind,
                feature: layout.features().len(),
                first: layout.names().len(),
                width: names.len(),
            });
            let raw = origins[*place].inputs.iter();
            let raw: Vec<String> = raw.map(|input| inputs[*input].name.clone()).collect();
            if kind == FeatureKind::Number {
                for feature in names {
                    layout.push(feature.clone(), raw.clone(), kind, vec![feature]);
                }
            } else {
                layout.push(name.clone(), raw, kind, names);
            }
        }
        Ok(FittedTransform {
            inputs,
            steps,
            layout: Arc::new(layout),
            fold_by: None,
            places,
            written,
        })
    }

    /// A transform that passes these raw columns on, for a model that takes [rows](crate::features::Takes::ROWS).
    ///
    /// # Errors
    /// As [`FittedTransform::new`]: none.
    pub fn of_rows(inputs: Vec<InputColumn>) -> Result<Self> {
        FittedTransform::new(inputs, Vec::new())
    }

    /// Gives custom operations that were loaded from a file their code, and checks that this build can run the rest.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if the registry does not have a name, with the
    /// names it has, or for a step by [`Transform::derive`](super::Transform::derive) in a build without the feature
    /// `sql`; [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) if the code does not read its JSON.
    pub fn with_operations(mut self, operations: &Operations) -> Result<Self> {
        for step in &mut self.steps {
            FittedCustom::resolve(step, operations)?;
            if let FittedOp::Derive(derived) = &step.op {
                derived.check_build().map_err(|error| step.name(&error))?;
            }
        }
        Ok(self)
    }

    /// The custom operations that it uses, as far as their code is known: what loading it again needs.
    #[must_use]
    pub fn operations(&self) -> Operations {
        let mut operations = Operations::new();
        for step in &self.steps {
            if let FittedOp::Custom(custom) = &step.op
                && let Some(entry) = custom.entry()
            {
                operations.add(entry);
            }
        }
        operations
    }

    /// The raw columns that are read.
    #[must_use]
    pub fn inputs(&self) -> &[InputColumn] {
        &self.inputs
    }

    /// The steps with what they have learned.
    #[must_use]
    pub fn steps(&self) -> &[FittedStep] {
        &self.steps
    }

    /// The raw columns that only [`FittedTransform::apply_training`] reads.
    pub fn training_columns(&self) -> impl Iterator<Item = &InputColumn> {
        self.fold_by.iter().flatten()
    }

    /// The names of the features, in the order of the matrix's columns.
    #[must_use]
    pub fn features(&self) -> &[String] {
        self.layout.names()
    }

    /// The features; a category that is one-hot in the matrix is one feature.
    #[must_use]
    pub fn info(&self) -> &[Feature] {
        self.layout.features()
    }

    pub(super) fn with_folds(mut self, fold_by: Option<Vec<InputColumn>>) -> Self {
        self.fold_by = fold_by;
        self
    }
}
