//! Examples behind a transform, as numbers.

use std::sync::Arc;

use arrow::array::RecordBatch;
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayViewMut1, ArrayViewMut2, Axis};

use crate::error::{Error, Result};
use crate::examples::{ExamplePart, Examples};
use crate::model::Target;
use crate::transform::FittedTransform;

/// A split as a trainer sees it: features `(n_rows, n_features)` and labels `(n_rows)`, computed when asked for.
#[derive(Clone, Debug)]
pub struct Dataset {
    examples: Examples,
    transform: Arc<FittedTransform>,
    target: Arc<Target>,
    to_train: bool,
}

/// Features and labels of some rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    features: Array2<f32>,
    labels: Array1<f64>,
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

    /// Labels as indexes of classes.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](crate::ErrorKind::Data) if a label is no index: a value of a regression, or a class
    /// that the `train` split does not have.
    pub fn classes(&self) -> Result<Array1<usize>> {
        self.labels
            .iter()
            .map(|label| {
                if label.fract() == 0.0 && (0.0..1e6).contains(label) {
                    Ok(*label as usize)
                } else {
                    Err(Error::data(format!(
                        "label {label} is not the index of a class"
                    )))
                }
            })
            .collect()
    }

    /// The features and labels themselves.
    #[must_use]
    pub fn into_parts(self) -> (Array2<f32>, Array1<f64>) {
        (self.features, self.labels)
    }
}

impl Dataset {
    /// Examples behind a transform.
    #[must_use]
    pub fn new(examples: Examples, transform: Arc<FittedTransform>, target: Arc<Target>) -> Self {
        Dataset {
            examples,
            transform,
            target,
            to_train: false,
        }
    }

    /// The same as the rows that the transform was fitted on, to train with: features made from the label are
    /// cross-fitted, see [`FittedTransform::apply_training`].
    #[must_use]
    pub fn to_train(mut self) -> Self {
        self.to_train = true;
        self
    }

    /// The raw rows.
    #[must_use]
    pub fn examples(&self) -> &Examples {
        &self.examples
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
        let columns = self.columns();
        let mut jobs = Vec::new();
        let mut rest = (features.view_mut(), labels.view_mut());
        for part in self.examples.parts() {
            let (mine, others) = rest.0.split_at(Axis(0), part.n_rows());
            let (my_labels, other_labels) = rest.1.split_at(Axis(0), part.n_rows());
            jobs.push((part, mine, my_labels));
            rest = (others, other_labels);
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
                        share.into_iter().try_for_each(|(part, features, labels)| {
                            self.fill(part, columns, features, labels)
                        })
                    })
                })
                .collect();
            workers.into_iter().try_for_each(|worker| {
                worker.join().unwrap_or_else(|_| {
                    Err(Error::internal("a thread that computes features panicked"))
                })
            })
        })?;
        Ok(Matrix { features, labels })
    }

    /// The rows batch by batch, for trainers that stream.
    pub fn batches(&self) -> impl Iterator<Item = Result<Matrix>> + '_ {
        self.examples
            .batches(&[])
            .map(move |batch| self.convert(&batch?))
    }

    fn convert(&self, batch: &RecordBatch) -> Result<Matrix> {
        Ok(Matrix {
            features: match self.to_train {
                true => self.transform.apply_training(batch)?,
                false => self.transform.apply(batch)?,
            },
            labels: self.labels_of(batch)?.into(),
        })
    }

    fn labels_of(&self, batch: &RecordBatch) -> Result<Vec<f64>> {
        let name = self.target.label();
        let column = batch
            .column_by_name(name)
            .ok_or_else(|| Error::data(format!("there is no label column `{name}`")))?;
        self.target.encode(column)
    }

    fn columns(&self) -> Vec<&str> {
        let inputs = self
            .transform
            .inputs()
            .iter()
            .map(|input| input.name.as_str());
        let others = self.transform.training_columns().filter(|_| self.to_train);
        let others = others.map(|column| column.name.as_str());
        let mut columns: Vec<&str> = inputs.chain([self.target.label()]).collect();
        for other in others {
            if !columns.contains(&other) {
                columns.push(other);
            }
        }
        columns
    }

    fn fill(
        &self,
        part: ExamplePart<'_>,
        columns: &[&str],
        mut features: ArrayViewMut2<'_, f32>,
        mut labels: ArrayViewMut1<'_, f64>,
    ) -> Result<()> {
        for batch in part.batches(columns) {
            let batch = batch?;
            let (mine, rest) = features.split_at(Axis(0), batch.num_rows());
            let (mut my_labels, other_labels) = labels.split_at(Axis(0), batch.num_rows());
            match self.to_train {
                true => self.transform.apply_training_into(&batch, mine)?,
                false => self.transform.apply_into(&batch, mine)?,
            }
            my_labels.assign(&Array1::from(self.labels_of(&batch)?));
            (features, labels) = (rest, other_labels);
        }
        Ok(())
    }
}
