//! Examples behind a transform, as numbers.

use std::sync::Arc;

use arrow::array::RecordBatch;
use ndarray::{Array1, Array2, ArrayViewMut1, ArrayViewMut2, Axis};

use super::Matrix;
use super::hold_out::{HoldOutBy, Selection};
use crate::accumulate::Accumulate;
use crate::error::{Error, ErrorKind, Result};
use crate::examples::{ExamplePart, Examples};
use crate::features::{Features, Takes};
use crate::model::{Target, Weighting};
use crate::parallel::side_by_side;
use crate::transform::{FittedPlan, FittedTransform, Roles, TransformChoice, TransformPlan};

/// A split as a trainer sees it: features `(n_rows, n_features)` and labels `(n_rows)`, computed on request.
#[derive(Clone, Debug)]
pub struct Dataset {
    pub(super) examples: Examples,
    pub(super) fitted: FittedPlan,
    pub(super) target: Arc<Target>,
    pub(super) weighting: Weighting,
    pub(super) to_train: bool,
    /// For how many rows of the data one row stands, by class.
    pub(super) stands_for: Option<Arc<[f64]>>,
    pub(super) hold_out_by: HoldOutBy,
    pub(super) selection: Selection,
    /// 0 is all that the machine has.
    pub(super) threads: usize,
}

/// The destination of the rows of a part.
struct Place<'a> {
    features: ArrayViewMut2<'a, f32>,
    labels: ArrayViewMut1<'a, f64>,
    weights: ArrayViewMut1<'a, f64>,
}

impl Dataset {
    /// Examples behind a transform: a [`FittedPlan`], or an `Arc<FittedTransform>`. Rows count by the target's
    /// [weight](Target::weight), and are held out by its [time](Target::time), or else its [group](Target::group).
    #[must_use]
    pub fn new(examples: Examples, transform: impl Into<FittedPlan>, target: Arc<Target>) -> Self {
        Dataset {
            examples,
            fitted: transform.into(),
            weighting: Weighting::of(&target),
            to_train: false,
            stands_for: None,
            hold_out_by: HoldOutBy::of(&target),
            target,
            selection: Selection::default(),
            threads: 0,
        }
    }

    /// The same, of which passes keep no more threads busy; 0, the default, is all that the machine has. What they give
    /// does not depend on it.
    #[must_use]
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// The same with other weights of the rows.
    #[must_use]
    pub fn weighted(mut self, weighting: Weighting) -> Self {
        self.weighting = weighting;
        self
    }

    /// The same, with classes rebalanced: the number of original rows that one row stands for, by class in the
    /// target's order. What is [held out](Dataset::hold_out) is weighted by it.
    #[must_use]
    pub fn rebalanced(mut self, stands_for: Option<&[f64]>) -> Self {
        self.stands_for = stands_for.map(Arc::from);
        self
    }

    /// The weighting of the rows.
    #[must_use]
    pub fn weighting(&self) -> &Weighting {
        &self.weighting
    }

    /// For trainers that cannot heed weights.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if rows do not all count the same.
    pub fn refuse_weights(&self, trainer: &str) -> Result<()> {
        if self.weighting.is_uniform() {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "{trainer} cannot heed the weights of rows or classes; rebalance the data, or take another trainer"
            ),
        ))
    }

    /// The same as the rows that the transform was fitted on, to train with: features made from the label are
    /// cross-fitted, see [`FittedTransform::apply_training`].
    #[must_use]
    pub fn to_train(mut self) -> Self {
        self.to_train = true;
        self
    }

    /// Other rows behind the same transform, such as a sample of these.
    #[must_use]
    pub fn with_examples(mut self, examples: Examples) -> Self {
        self.examples = examples;
        self.selection = Selection::default();
        self
    }

    /// The same rows behind another transform, that was fitted on other rows: such as rows held out, behind the
    /// transform of a data set that was [fitted anew](Dataset::refit).
    #[must_use]
    pub fn with_transform(mut self, transform: impl Into<FittedPlan>) -> Self {
        self.fitted = transform.into();
        self.to_train = false;
        self
    }

    /// The same rows behind a transform that is planned anew, for what a trainer takes, and fitted on them alone: what a
    /// search over trainers of several kinds needs, and cross-validation without leakage. Each pass reads the files side
    /// by side, the columns that it needs only.
    ///
    /// # Errors
    /// As [`TransformPlan::transform`](crate::transform::TransformPlan::transform) and
    /// [`Transform::fitting`](crate::transform::Transform::fitting); [`ErrorKind::Config`] if the transform came fitted.
    pub fn refit(&self, takes: Takes) -> Result<Self> {
        self.fit_plan(self.plan()?, takes)
    }

    /// As [`Dataset::refit`], behind another transform: for a search over several.
    ///
    /// # Errors
    /// As [`Dataset::refit`].
    pub fn refit_with(&self, transform: impl Into<TransformChoice>, takes: Takes) -> Result<Self> {
        let plan = self.plan()?.with_choice(transform.into());
        self.fit_plan(&Arc::new(plan), takes)
    }

    pub(super) fn plan(&self) -> Result<&Arc<TransformPlan>> {
        self.fitted.plan().ok_or_else(|| {
            Error::config("a data set whose transform was given fitted cannot be fitted again")
        })
    }

    fn fit_plan(&self, plan: &Arc<TransformPlan>, takes: Takes) -> Result<Self> {
        let schema = self.examples.schema();
        let fitted = if takes.rows {
            plan.rows(schema)?
        } else {
            let (transform, decisions) = plan.transform(takes)?;
            let mut fitting = transform.fitting(schema, Roles::label(self.target.label()))?;
            while let Some(mut whole) = fitting.pass()? {
                let columns = fitting.columns();
                let of_part = |part| {
                    let mut pass = whole.clone();
                    for batch in self.selected(part, &columns) {
                        pass.update(&batch?)?;
                    }
                    Ok(pass)
                };
                for part in side_by_side(self.threads, self.examples.parts(), of_part)? {
                    whole.merge(part)?;
                }
                fitting.absorb(whole)?;
            }
            plan.fitted(fitting.finish()?, decisions)
        };
        Ok(Dataset {
            fitted,
            ..self.clone()
        })
    }

    /// The transform, and why each column became what it did, if it was chosen.
    #[must_use]
    pub fn fitted(&self) -> &FittedPlan {
        &self.fitted
    }

    /// The raw rows, and with them those that were held out of this data set.
    #[must_use]
    pub fn examples(&self) -> &Examples {
        &self.examples
    }

    /// The transform.
    #[must_use]
    pub fn transform(&self) -> &Arc<FittedTransform> {
        self.fitted.transform()
    }

    /// The target.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The number of rows.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        self.selection.n_rows(&self.examples.parts()).iter().sum()
    }

    /// The number of features.
    #[must_use]
    pub fn n_features(&self) -> usize {
        self.transform().features().len()
    }

    /// The features' names.
    #[must_use]
    pub fn feature_names(&self) -> &[String] {
        self.transform().features()
    }

    /// All rows at once: `4 * n_rows * n_features` bytes and the labels. The files are read side by side; the
    /// order of rows is that of the examples.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](crate::ErrorKind::Data) if a feature is not finite, naming it.
    pub fn matrix(&self) -> Result<Matrix> {
        let parts = self.examples.parts();
        let n_rows = self.selection.n_rows(&parts);
        let n_all = n_rows.iter().sum();
        let mut features = Array2::zeros((n_all, self.n_features()));
        let mut labels = Array1::zeros(n_all);
        let is_uniform = self.weighting.is_uniform();
        let mut weights = Array1::zeros(if is_uniform { 0 } else { n_all });
        let columns = self.columns();
        let mut jobs = Vec::new();
        let mut rest = (features.view_mut(), labels.view_mut(), weights.view_mut());
        for (part, n_rows) in parts.into_iter().zip(n_rows) {
            let (mine, others) = rest.0.split_at(Axis(0), n_rows);
            let (my_labels, other_labels) = rest.1.split_at(Axis(0), n_rows);
            let n_weights = if is_uniform { 0 } else { n_rows };
            let (my_weights, other_weights) = rest.2.split_at(Axis(0), n_weights);
            let place = Place {
                features: mine,
                labels: my_labels,
                weights: my_weights,
            };
            jobs.push((part, place));
            rest = (others, other_labels, other_weights);
        }
        side_by_side(self.threads, jobs, |(part, place)| {
            self.fill(part, &columns, place)
        })?;
        if !is_uniform && weights.sum() == 0.0 {
            return Err(Error::data("the weights of all rows are 0"));
        }
        Ok(Matrix {
            features,
            labels,
            weights: (!is_uniform).then_some(weights),
        })
    }

    pub(super) fn convert(&self, batch: &RecordBatch) -> Result<Matrix> {
        let labels = self.labels_of(batch)?;
        let weights = match self.weighting.is_uniform() {
            true => None,
            false => Some(self.weighting.weights(batch, &labels)?.into()),
        };
        Ok(Matrix {
            features: match self.to_train {
                true => self.transform().apply_training(batch)?,
                false => self.transform().apply(batch)?,
            },
            labels: labels.into(),
            weights,
        })
    }

    /// The features of a batch, in a form.
    pub(super) fn features_of(&self, batch: &RecordBatch, takes: Takes) -> Result<Features> {
        match self.to_train {
            true => self.transform().apply_training_as(batch, takes),
            false => self.transform().apply_as(batch, takes),
        }
    }

    pub(super) fn labels_of(&self, batch: &RecordBatch) -> Result<Vec<f64>> {
        let name = self.target.label();
        let column = batch
            .column_by_name(name)
            .ok_or_else(|| Error::data(format!("there is no label column `{name}`")))?;
        self.target.encode(column)
    }

    /// The labels and the weights batch by batch, without features: none are made. Weights are `None` if all
    /// rows count the same.
    pub(crate) fn labels(
        &self,
    ) -> impl Iterator<Item = Result<(Array1<f64>, Option<Array1<f64>>)>> {
        let columns: Vec<&str> = [self.target.label()]
            .into_iter()
            .chain(self.weighting.column())
            .collect();
        let parts = self.examples.parts().into_iter();
        let batches = parts.flat_map(move |part| self.selected(part, &columns));
        batches.map(|batch| {
            let batch = batch?;
            let labels = self.labels_of(&batch)?;
            let weights = match self.weighting.is_uniform() {
                true => None,
                false => Some(self.weighting.weights(&batch, &labels)?.into()),
            };
            Ok((labels.into(), weights))
        })
    }

    pub(super) fn columns(&self) -> Vec<&str> {
        let inputs = self
            .transform()
            .inputs()
            .iter()
            .map(|input| input.name.as_str());
        let others = [self.target.label()]
            .into_iter()
            .chain(self.weighting.column());
        let folds = self
            .transform()
            .training_columns()
            .filter(|_| self.to_train);
        let mut columns: Vec<&str> = inputs.chain(others).collect();
        for fold in folds {
            if !columns.contains(&fold.name.as_str()) {
                columns.push(&fold.name);
            }
        }
        columns
    }

    /// The rows of a part that are of this data set, with these columns at least.
    pub(super) fn selected<'a>(
        &'a self,
        part: ExamplePart<'a>,
        columns: &[&str],
    ) -> Box<dyn Iterator<Item = Result<RecordBatch>> + 'a> {
        self.selection.read(part, columns, &self.target)
    }

    /// The first row, with the columns that the transform reads; `None` of no rows.
    pub(crate) fn first_row(&self) -> Result<Option<RecordBatch>> {
        let columns = self.columns();
        let parts = self.examples.parts().into_iter();
        for batch in parts.flat_map(|part| self.selected(part, &columns)) {
            let batch = batch?;
            if batch.num_rows() > 0 {
                return Ok(Some(batch.slice(0, 1)));
            }
        }
        Ok(None)
    }

    fn fill(&self, part: ExamplePart<'_>, columns: &[&str], place: Place<'_>) -> Result<()> {
        let Place {
            mut features,
            mut labels,
            mut weights,
        } = place;
        for batch in self.selected(part, columns) {
            let batch = batch?;
            if batch.num_rows() > labels.len() {
                return Err(Error::corrupt(
                    "a file of examples has more rows than before",
                ));
            }
            let (mine, rest) = features.split_at(Axis(0), batch.num_rows());
            let (mut my_labels, other_labels) = labels.split_at(Axis(0), batch.num_rows());
            match self.to_train {
                true => self.transform().apply_training_into(&batch, mine)?,
                false => self.transform().apply_into(&batch, mine)?,
            }
            let values = self.labels_of(&batch)?;
            if !self.weighting.is_uniform() {
                let (mut mine, others) = weights.split_at(Axis(0), batch.num_rows());
                mine.assign(&Array1::from(self.weighting.weights(&batch, &values)?));
                weights = others;
            }
            my_labels.assign(&Array1::from(values));
            (features, labels) = (rest, other_labels);
        }
        Ok(())
    }
}
