//! Principal components of several columns.

use std::ops::RangeInclusive;

use arrow::buffer::NullBuffer;
use fourfold_kernels::sketches::CoMoments;
use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::{Apply, FittedOp, Operation, at_least};
use crate::error::{Error, Result};
use crate::transform::Transform;
use crate::transform::eigen::symmetric_eigen;
use crate::transform::learn::{Learn, Learner, Rows, learner_of};
use crate::transform::numbers::{Numbers, NumbersView};
use crate::transform::value::Value;

/// The first principal components of several columns, each an output.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pca {
    /// The number of components; at most that of columns.
    pub n_components: usize,
    /// Whether each component is scaled to variance 1.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub whiten: bool,
}

impl Transform {
    /// Adds the first `n_components` principal components of several columns of numbers as `pca_0`, `pca_1` and so
    /// on: `sum_j component[i][j] * (x_j - mean_j)`, the directions in which the training rows vary most. The
    /// columns themselves stay as they are; scale them first where their units differ ([`Transform::z_score`]).
    ///
    /// Covariances are those of the population (divided by `n`) over the training rows in which every column is
    /// finite. A component's largest coefficient is positive, so that the same data give the same signs. A row with
    /// a NULL has no components: NULL. (tf.Transform's `pca` gives the components alone and leaves it to the user to
    /// centre and to project.)
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use arrow::array::{ArrayRef, Float64Array, RecordBatch};
    /// # use fourfold::transform::Transform;
    /// let a: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 2.0, 3.0]));
    /// let b: ArrayRef = Arc::new(Float64Array::from(vec![2.0, 4.0, 6.0]));
    /// let rows = RecordBatch::try_from_iter([("a", a), ("b", b)])?;
    /// let fitted = Transform::new().pca(["a", "b"], 1).fit(std::slice::from_ref(&rows))?;
    /// assert_eq!(fitted.features(), ["pca_0"]);
    /// assert!((fitted.apply(&rows)?[[2, 0]] - 5_f32.sqrt()).abs() < 1e-6);
    /// # Ok::<(), fourfold::Error>(())
    /// ```
    #[must_use]
    pub fn pca<C: Into<String>>(
        self,
        columns: impl IntoIterator<Item = C>,
        n_components: usize,
    ) -> Self {
        self.pca_to(columns, "pca", n_components)
    }

    /// As [`Transform::pca`], named `<output>_0`, `<output>_1` and so on.
    #[must_use]
    pub fn pca_to<C: Into<String>>(
        self,
        columns: impl IntoIterator<Item = C>,
        output: impl AsRef<str>,
        n_components: usize,
    ) -> Self {
        let op = Pca {
            n_components,
            whiten: false,
        };
        self.step_of(columns, components(output.as_ref(), n_components), op)
    }

    /// As [`Transform::pca_to`], each component divided by its standard deviation (by 1 where it has none).
    #[must_use]
    pub fn pca_whitened<C: Into<String>>(
        self,
        columns: impl IntoIterator<Item = C>,
        output: impl AsRef<str>,
        n_components: usize,
    ) -> Self {
        let op = Pca {
            n_components,
            whiten: true,
        };
        self.step_of(columns, components(output.as_ref(), n_components), op)
    }
}

fn components(output: &str, n: usize) -> impl Iterator<Item = String> {
    (0..n).map(move |i| format!("{output}_{i}"))
}

impl Operation for Pca {
    fn check(&self) -> Result<()> {
        at_least("`n_components` of pca", self.n_components, 1)
    }

    fn n_inputs(&self) -> RangeInclusive<usize> {
        self.n_components.max(1)..=usize::MAX
    }

    fn learner(&self) -> Option<Learner> {
        Some(CoMoments::default().into())
    }

    fn fit(&self, learned: &Learner) -> Result<FittedOp> {
        let learned: &CoMoments = learned.get()?;
        let covariance = covariance(learned).ok_or_else(|| {
            Error::data("the training split has no row in which every column is finite")
        })?;
        if !covariance.iter().all(|x| x.is_finite()) {
            return Err(Error::data(
                "the covariances are too large for a float; scale the columns first",
            ));
        }
        let (variances, vectors) = symmetric_eigen(covariance);
        // The bound up to which a variance is 0, apart from rounding.
        let least = f64::EPSILON * variances.iter().fold(0.0_f64, |most, x| most.max(*x));
        let of = variances.iter().zip(vectors.columns());
        let components = of
            .take(self.n_components)
            .map(|(variance, vector)| Component {
                variance: variance.max(0.0),
                scale: match self.whiten && *variance > least {
                    true => 1.0 / variance.sqrt(),
                    false => 1.0,
                },
                coefficients: vector.to_vec(),
            });
        Ok(Components {
            means: learned.means().to_vec(),
            components: components.collect(),
        }
        .into())
    }
}

/// Principal components of rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Components {
    /// The mean of each column.
    pub means: Vec<f64>,
    /// The components, in descending order of variance.
    pub components: Vec<Component>,
}

/// `scale * sum_j coefficients[j] * (x_j - means[j])`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Component {
    /// The variance of the training rows in this direction.
    pub variance: f64,
    /// 1, or what makes the variance 1.
    pub scale: f64,
    /// The direction: as many as there are columns, of length 1.
    pub coefficients: Vec<f64>,
}

impl Components {
    fn values(&self, inputs: &[&Value]) -> Result<Vec<Value>> {
        let columns = inputs
            .iter()
            .map(|input| input.numbers())
            .collect::<Result<Vec<_>>>()?;
        let nulls = columns.iter().fold(None, |nulls, column| {
            NullBuffer::union(nulls.as_ref(), column.nulls())
        });
        let n_rows = columns.first().map_or(0, NumbersView::len);
        let made = self.components.iter().map(|component| {
            let mut sums = vec![0.0; n_rows];
            let terms = component.coefficients.iter().zip(&self.means).zip(&columns);
            for ((coefficient, mean), column) in terms {
                for (sum, x) in sums.iter_mut().zip(column.values()) {
                    *sum += coefficient * (x - mean);
                }
            }
            sums.iter_mut().for_each(|sum| *sum *= component.scale);
            Value::Numbers(Numbers::new(sums, nulls.clone()))
        });
        Ok(made.collect())
    }
}

impl Apply for Components {
    fn apply(&self, inputs: &[&Value]) -> Result<Value> {
        let n = self.components.len();
        match self.values(inputs)?.pop() {
            Some(value) if n == 1 => Ok(value),
            _ => Err(Error::config(format!(
                "the operation made {n} columns, the step has 1 output"
            ))),
        }
    }

    fn apply_all(&self, inputs: &[&Value]) -> Result<Vec<Value>> {
        self.values(inputs)
    }
}

/// Population covariances; `None` without a row.
fn covariance(sums: &CoMoments) -> Option<Array2<f64>> {
    let n = sums.means().len();
    (sums.n() > 0.0).then(|| Array2::from_shape_fn((n, n), |(i, j)| sums.product(i, j) / sums.n()))
}

impl Learn for CoMoments {
    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        let columns = rows.inputs.iter().map(|input| {
            let numbers = input.numbers()?;
            let numbers = numbers.iter().map(|x| x.unwrap_or(f64::NAN));
            Ok(numbers.collect::<Vec<f64>>())
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
        Learn::merge(self, CoMoments::of(&columns))
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        match CoMoments::merge(self, &other) {
            true => Ok(()),
            false => Err(Error::internal("co-moments of different columns merged")),
        }
    }

    learner_of!(CoMoments);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(columns: &[&[f64]], op: Pca) -> Components {
        match op.fit(&CoMoments::of(columns).into()).unwrap() {
            FittedOp::Pca(components) => components,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn components_of_the_reference() {
        let columns: [&[f64]; 3] = [&[0.0, 4.0, 2.0, 2.0], &[0.0, 0.0, -1.0, 1.0], &[1.0; 4]];
        let found = fit(
            &columns,
            Pca {
                n_components: 2,
                whiten: false,
            },
        );
        let directions: Vec<&[f64]> = found
            .components
            .iter()
            .map(|c| &c.coefficients[..])
            .collect();
        assert_eq!(directions, [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]);
        assert_eq!(found.means, [2.0, 0.0, 1.0]);
    }

    #[test]
    fn a_direction_without_variance_is_not_blown_up() {
        let columns: [&[f64]; 2] = [&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0]];
        let found = fit(
            &columns,
            Pca {
                n_components: 2,
                whiten: true,
            },
        );
        assert!((found.components[0].scale - (3.0_f64 / 4.0).sqrt()).abs() < 1e-12);
        assert_eq!(found.components[1].scale, 1.0);
    }
}
