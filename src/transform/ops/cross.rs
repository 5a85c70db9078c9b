//! The values of several columns as one.

use std::ops::RangeInclusive;

use arrow::array::StringBuilder;
use serde::{Deserialize, Serialize};

use super::{Apply, FittedOp, Operation};
use crate::error::{Error, Result};
use crate::transform::Transform;
use crate::transform::tokens::Tokens;
use crate::transform::value::Value;

/// The values of several columns as one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cross {}

impl Transform {
    /// Adds the text column `<a>_X_<b>` (and so on) of the values of several columns (text, whole numbers,
    /// booleans; bucketize floats first) joined by `_X_`, so that a linear model can tell each combination. Follow
    /// with [`Transform::one_hot`] or [`Transform::hash`], or take [`Transform::cross_hash`].
    ///
    /// ```
    /// use fourfold::transform::Transform;
    ///
    /// let transform = Transform::new().cross(["origin", "carrier"]).one_hot("origin_X_carrier");
    /// assert_eq!(transform.inputs(), ["origin", "carrier"]);
    /// ```
    #[must_use]
    pub fn cross<C: Into<String>>(self, columns: impl IntoIterator<Item = C>) -> Self {
        let columns: Vec<String> = columns.into_iter().map(Into::into).collect();
        let output = columns.join(JOIN);
        self.step_of(columns, [output], Cross {})
    }

    /// As [`Transform::cross`], hashed to `n_buckets` features.
    #[must_use]
    pub fn cross_hash<C: Into<String>>(
        self,
        columns: impl IntoIterator<Item = C>,
        n_buckets: usize,
    ) -> Self {
        let columns: Vec<String> = columns.into_iter().map(Into::into).collect();
        let output = columns.join(JOIN);
        self.cross(columns).hash(output, n_buckets)
    }
}

const JOIN: &str = "_X_";

impl Operation for Cross {
    fn n_inputs(&self) -> RangeInclusive<usize> {
        2..=usize::MAX
    }

    fn fitted(&self) -> Result<FittedOp> {
        Ok((*self).into())
    }
}

impl Apply for Cross {
    fn apply(&self, inputs: &[&Value]) -> Result<Value> {
        let columns = inputs
            .iter()
            .map(|input| input.tokens())
            .collect::<Result<Vec<Tokens<'_>>>>()?;
        let n_rows = columns.first().map_or(0, Tokens::len);
        if columns.iter().any(|column| column.len() != n_rows) {
            return Err(Error::internal("columns of different lengths crossed"));
        }
        let mut crossed = StringBuilder::with_capacity(n_rows, 16 * n_rows);
        let mut text = String::new();
        for row in 0..n_rows {
            text.clear();
            let there = columns.iter().enumerate().all(|(number, column)| {
                if number > 0 {
                    text.push_str(JOIN);
                }
                column.append(row, &mut text)
            });
            crossed.append_option(there.then_some(text.as_str()));
        }
        Ok(Value::Text(Box::new(crossed.finish())))
    }
}
