//! Contributions of raw columns to predictions.

use std::sync::Arc;

use arrow::datatypes::FieldRef;
#[cfg(feature = "http")]
use ndarray::concatenate;
use ndarray::{Array3, Axis};

use crate::error::{Error, Result};
use crate::features::{Feature, FeatureKind, Features};

/// The contribution of each raw column to the outputs of some rows, before the link: exact Shapley values of the features,
/// added up by the raw columns that they are made from. See [`Predict::contributions`](super::Predict::contributions).
///
/// Added up over the names, they are the output before the link: the log odds of a binary classification, the logarithm of
/// a count or an amount, the value of a plain regression.
#[derive(Clone, Debug, PartialEq)]
pub struct Contributions {
    names: Arc<[String]>,
    values: Array3<f64>,
}

/// The name of what does not depend on the row: the mean output over the training rows.
const BASE: &str = "base";

impl Contributions {
    /// The sums by raw column of what a model found for these features.
    ///
    /// # Errors
    /// [`ErrorKind::Model`](crate::ErrorKind::Model) if it found another number of contributions.
    pub(crate) fn of(features: &Features, values: &Array3<f64>) -> Result<Self> {
        let Ok(rows) = features.rows() else {
            return Contributions::by_column(features.info(), values);
        };
        let schema = rows.schema();
        let column = |(first, field): (usize, &FieldRef)| Feature {
            name: field.name().clone(),
            raw: vec![field.name().clone()],
            kind: FeatureKind::Number,
            first,
            width: 1,
        };
        let columns: Vec<Feature> = schema.fields().iter().enumerate().map(column).collect();
        Contributions::by_column(&columns, values)
    }

    /// Sums of `(n_rows, n_outputs, n + 1)` contributions of `n` features, the base last.
    ///
    /// # Errors
    /// [`ErrorKind::Model`](crate::ErrorKind::Model) if they are of another number of features.
    fn by_column(features: &[Feature], values: &Array3<f64>) -> Result<Self> {
        let (n_rows, n_outputs, width) = values.dim();
        if width != features.len() + 1 {
            return Err(Error::model(format!(
                "contributions of {} features, there are {}",
                width.saturating_sub(1),
                features.len()
            )));
        }
        let mut names: Vec<String> = Vec::new();
        let mut places = Vec::with_capacity(features.len());
        for feature in features {
            let name = match feature.raw.as_slice() {
                [] => feature.name.clone(),
                raw => raw.join(", "),
            };
            let known = names.iter().position(|known| *known == name);
            places.push(known.unwrap_or(names.len()));
            if known.is_none() {
                names.push(name);
            }
        }
        let mut sums = Array3::zeros((n_rows, n_outputs, names.len() + 1));
        places.push(names.len());
        names.push(BASE.to_owned());
        for (from, to) in places.into_iter().enumerate() {
            let mut sum = sums.index_axis_mut(Axis(2), to);
            sum += &values.index_axis(Axis(2), from);
        }
        Ok(Contributions {
            names: names.into(),
            values: sums,
        })
    }

    /// Those of several blocks of rows, one after the other.
    #[cfg(feature = "http")]
    pub(crate) fn concat(blocks: &[Contributions]) -> Result<Self> {
        let odd = || Error::internal("contributions of different models are put together");
        let first = blocks.first().ok_or_else(odd)?;
        let values: Vec<_> = blocks.iter().map(|block| block.values.view()).collect();
        Ok(Contributions {
            names: Arc::clone(&first.names),
            values: concatenate(Axis(0), &values).map_err(|_| odd())?,
        })
    }

    /// The raw columns, in the order of the features; of features that are made from several, their names with commas
    /// between. The last is `base`: the mean output over the training rows.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The contributions `(n_rows, n_outputs, n_names)`.
    #[must_use]
    pub fn values(&self) -> &Array3<f64> {
        &self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn feature(name: &str, raw: &[&str]) -> Feature {
        Feature {
            name: name.to_owned(),
            raw: raw.iter().map(|name| (*name).to_owned()).collect(),
            kind: FeatureKind::Number,
            first: 0,
            width: 1,
        }
    }

    #[test]
    fn features_are_added_up_by_column() {
        let features = [
            feature("day", &["at"]),
            feature("miles", &["miles"]),
            feature("hour", &["at"]),
            feature("miles x at", &["miles", "at"]),
        ];
        let values = array![[[1.0, 2.0, 4.0, 8.0, 16.0]], [[0.5, 0.0, 0.25, 1.0, 16.0]]];
        let found = Contributions::by_column(&features, &values).unwrap();
        assert_eq!(found.names(), ["at", "miles", "miles, at", "base"]);
        let expected = array![[[5.0, 2.0, 8.0, 16.0]], [[0.75, 0.0, 1.0, 16.0]]];
        assert_eq!(found.values(), expected);
        assert!(Contributions::by_column(&features[1..], &values).is_err());
    }
}
