//! Examples behind a transform, as numbers.

use std::sync::Arc;

use arrow::array::RecordBatch;
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayViewMut1, ArrayViewMut2, Axis};

use crate::error::{Error, ErrorKind, Result};
use crate::examples::{ExamplePart, Examples};
use crate::features::{Features, Takes};
use crate::model::{Target, Weighting};
use crate::transform::FittedTransform;

/// A split as a trainer sees it: features `(n_rows, n_features)` and labels `(n_rows)`, computed when asked for.
#[derive(Clone, Debug)]
pub struct Dataset {
    examples: Examples,
    transform: Arc<FittedTransform>,
    target: Arc<Target>,
    weighting: Weighting,
    to_train: bool,
}

/// Features, labels and weights of some rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    features: Array2<f32>,
    labels: Array1<f64>,
    weights: Option<Array1<f64>>,
}

/// Where the rows of a part are written to.
struct Place<'a> {
    features: ArrayViewMut2<'a, f32>,
    labels: ArrayViewMut1<'a, f64>,
    weights: ArrayViewMut1<'a, f64>,
}

impl Matrix {
    /// Features `(n_rows, n_features)`, all finite.
    #[must_use]
    pub fn features(&self) -> ArrayView2<'_, f32> {
        self.features.view()
    }

    /// Labels `(n_rows)`: values of a regression, else indexes of the target's classes.
    #[must_use]
    pub fn labels(&self) -> ArrayView1<'_, f64> {
        self.labels.view()
    }

    /// Weights `(n_rows)`, finite and at least 0: how much each row counts. `None` if all count the same.
    #[must_use]
    pub fn weights(&self) -> Option<ArrayView1<'_, f64>> {
        self.weights.as_ref().map(|weights| weights.view())
    }

    /// Labels as indexes of classes.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](crate::ErrorKind::Data) if a label is no index: a value of a regression, or a class
    /// that the `train` split does not have.
    pub fn classes(&self) -> Result<Array1<usize>> {
        classes_of(self.labels.view())
    }

    /// The features and labels themselves, without the [weights](Matrix::weights).
    #[must_use]
    pub fn into_parts(self) -> (Array2<f32>, Array1<f64>) {
        (self.features, self.labels)
    }
}

/// Labels as indexes of classes.
pub(super) fn classes_of(labels: ArrayView1<'_, f64>) -> Result<Array1<usize>> {
    let class = |label: &f64| match label.fract() == 0.0 && (0.0..1e6).contains(label) {
        true => Ok(*label as usize),
        false => Err(Error::data(format!(
            "label {label} is not the index of a class"
        ))),
    };
    labels.iter().map(class).collect()
}

impl Dataset {
    /// Examples behind a transform.
    #[must_use]
    pub fn new(examples: Examples, transform: Arc<FittedTransform>, target: Arc<Target>) -> Self {
        Dataset {
            examples,
            transform,
            target,
            weighting: Weighting::default(),
            to_train: false,
        }
    }

    /// The same with other weights of the rows.
    #[must_use]
    pub fn weighted(mut self, weighting: Weighting) -> Self {
        self.weighting = weighting;
        self
    }

    /// How much each row counts.
    #[must_use]
    pub fn weighting(&self) -> &Weighting {
        &self.weighting
    }

    /// For trainers that cannot heed weights.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if rows do not all count the same.
    pub fn refuse_weights(&self, trainer: &str) -> Result<()> {
        if self.weighting.is_even() {
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
        self
    }

    /// The raw rows.
    #[must_use]
    pub fn examples(&self) -> &Examples {
        &self.examples
    }

    /// The transform.
    #[must_use]
    pub fn transform(&self) -> &Arc<FittedTransform> {
        &self.transform
    }

    /// What is predicted.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The number of rows.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        self.examples.n_rows()
    }

    /// The number of features.
    #[must_use]
    pub fn n_features(&self) -> usize {
        self.transform.features().len()
    }

    /// The features' names.
    #[must_use]
    pub fn feature_names(&self) -> &[String] {
        self.transform.features()
    }

    /// All rows at once: `4 * n_rows * n_features` bytes and the labels. The files are read side by side; the
    /// order of rows is that of the examples.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](crate::ErrorKind::Data) if a feature is not finite, naming it.
    pub fn matrix(&self) -> Result<Matrix> {
        let mut features = Array2::zeros((self.n_rows(), self.n_features()));
        let mut labels = Array1::zeros(self.n_rows());
        let is_even = self.weighting.is_even();
        let mut weights = Array1::zeros(if is_even { 0 } else { self.n_rows() });
        let columns = self.columns();
        let mut jobs = Vec::new();
        let mut rest = (features.view_mut(), labels.view_mut(), weights.view_mut());
        for part in self.examples.parts() {
            let (mine, others) = rest.0.split_at(Axis(0), part.n_rows());
            let (my_labels, other_labels) = rest.1.split_at(Axis(0), part.n_rows());
            let n_weights = if is_even { 0 } else { part.n_rows() };
            let (my_weights, other_weights) = rest.2.split_at(Axis(0), n_weights);
            let place = Place {
                features: mine,
                labels: my_labels,
                weights: my_weights,
            };
            jobs.push((part, place));
            rest = (others, other_labels, other_weights);
        }
        let threads = std::thread::available_parallelism()
            .map_or(1, usize::from)
            .min(jobs.len());
        let mut shares: Vec<Vec<_>> = (0..threads).map(|_| Vec::new()).collect();
        for (number, job) in jobs.into_iter().enumerate() {
            shares[number % threads].push(job);
        }
        std::thread::scope(|scope| {
            let workers: Vec<_> = shares
                .into_iter()
                .map(|share| {
                    let columns = &columns;
                    scope.spawn(move || {
                        share
                            .into_iter()
                            .try_for_each(|(part, place)| self.fill(part, columns, place))
                    })
                })
                .collect();
            workers.into_iter().try_for_each(|worker| {
                worker.join().unwrap_or_else(|_| {
                    Err(Error::internal("a thread that computes features panicked"))
                })
            })
        })?;
        if !is_even && weights.sum() == 0.0 {
            return Err(Error::data("the weights of all rows are 0"));
        }
        Ok(Matrix {
            features,
            labels,
            weights: (!is_even).then_some(weights),
        })
    }

    /// The rows batch by batch, for trainers that stream.
    pub fn batches(&self) -> impl Iterator<Item = Result<Matrix>> + '_ {
        self.examples
            .batches(&[])
            .map(move |batch| self.convert(&batch?))
    }

    fn convert(&self, batch: &RecordBatch) -> Result<Matrix> {
        let labels = self.labels_of(batch)?;
        let weights = match self.weighting.is_even() {
            true => None,
            false => Some(self.weighting.weights(batch, &labels)?.into()),
        };
        Ok(Matrix {
            features: match self.to_train {
                true => self.transform.apply_training(batch)?,
                false => self.transform.apply(batch)?,
            },
            labels: labels.into(),
            weights,
        })
    }

    /// The features of a batch, in a form.
    pub(super) fn features_of(&self, batch: &RecordBatch, takes: Takes) -> Result<Features> {
        match self.to_train {
            true => self.transform.apply_training_as(batch, takes),
            false => self.transform.apply_as(batch, takes),
        }
    }

    pub(super) fn labels_of(&self, batch: &RecordBatch) -> Result<Vec<f64>> {
        let name = self.target.label();
        let column = batch
            .column_by_name(name)
            .ok_or_else(|| Error::data(format!("there is no label column `{name}`")))?;
        self.target.encode(column)
    }

    pub(super) fn columns(&self) -> Vec<&str> {
        let inputs = self
            .transform
            .inputs()
            .iter()
            .map(|input| input.name.as_str());
        let others = [self.target.label()]
            .into_iter()
            .chain(self.weighting.column());
        let folds = self.transform.training_columns().filter(|_| self.to_train);
        let mut columns: Vec<&str> = inputs.chain(others).collect();
        for fold in folds {
            if !columns.contains(&fold.name.as_str()) {
                columns.push(&fold.name);
            }
        }
        columns
    }

    fn fill(&self, part: ExamplePart<'_>, columns: &[&str], place: Place<'_>) -> Result<()> {
        let Place {
            mut features,
            mut labels,
            mut weights,
        } = place;
        for batch in part.batches(columns) {
            let batch = batch?;
            let (mine, rest) = features.split_at(Axis(0), batch.num_rows());
            let (mut my_labels, other_labels) = labels.split_at(Axis(0), batch.num_rows());
            match self.to_train {
                true => self.transform.apply_training_into(&batch, mine)?,
                false => self.transform.apply_into(&batch, mine)?,
            }
            let values = self.labels_of(&batch)?;
            if !self.weighting.is_even() {
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
