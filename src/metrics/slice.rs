//! Slices: which rows metrics are computed of.

use std::collections::BTreeMap;
use std::fmt;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringDictionaryBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int32Type};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::schema::FieldType;

/// A slice: the rows that have these values in these columns, all of them. As JSON, an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Slice {
    conditions: BTreeMap<String, String>,
}

impl Slice {
    /// The rows with one value, or within one bin, of a column.
    #[must_use]
    pub fn of(column: impl Into<String>, value: impl Into<String>) -> Self {
        Slice {
            conditions: BTreeMap::from([(column.into(), value.into())]),
        }
    }

    /// Those of them that have a value in another column, too.
    #[must_use]
    pub fn and(mut self, column: impl Into<String>, value: impl Into<String>) -> Self {
        self.conditions.insert(column.into(), value.into());
        self
    }

    /// The value of each column as text: `<null>` for NULL, and a bin as `[10, 20)`.
    #[must_use]
    pub fn conditions(&self) -> &BTreeMap<String, String> {
        &self.conditions
    }
}

impl fmt::Display for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (column, value)) in self.conditions.iter().enumerate() {
            let separator = if at == 0 { "" } else { ", " };
            write!(f, "{separator}{column}={value}")?;
        }
        Ok(())
    }
}

/// A division of rows into slices: by the values of a column, by bins of a number, or by crosses of these.
///
/// ```
/// use fourfold::metrics::SliceBy;
///
/// let by_carrier = SliceBy::from("carrier");
/// let by_distance = SliceBy::edges("distance", [500.0, 1_000.0]); // below 500, from 500 to 1,000, from 1,000 on
/// let by_both = SliceBy::quantiles("distance", 4).and("origin");
/// # let _ = (by_carrier, by_distance, by_both);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SliceBy {
    columns: Vec<By>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct By {
    column: String,
    bins: Bins,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Bins {
    Values,
    Edges(Vec<f64>),
    Quantiles(u32),
    /// The value of a SQL predicate, in place of the column; with the columns that it names.
    Predicate(Vec<String>),
}

/// The name of NULL in slices.
const NULL: &str = "<null>";
/// The separator between the values of a cross.
const BETWEEN: char = '\u{1f}';

impl SliceBy {
    /// Slices by bins of a number: below the first edge, between each two (the lower included), from the last on.
    #[must_use]
    pub fn edges(column: impl Into<String>, edges: impl IntoIterator<Item = f64>) -> Self {
        SliceBy::of(column, Bins::Edges(edges.into_iter().collect()))
    }

    /// Slices by `n_bins` bins of a number with about equally many rows.
    #[must_use]
    pub fn quantiles(column: impl Into<String>, n_bins: u32) -> Self {
        SliceBy::of(column, Bins::Quantiles(n_bins))
    }

    /// By a SQL predicate over the columns of a row: where it is true, false and NULL. The slice's condition is the predicate's
    /// text, and `true`, `false` or `<null>`.
    ///
    /// ```
    /// use fourfold::metrics::SliceBy;
    ///
    /// let by_haul = SliceBy::sql("distance > 1500 and carrier <> 'UA'").and("origin");
    /// # let _ = by_haul;
    /// ```
    ///
    /// [`check`](Self::check) validates it.
    #[cfg(feature = "sql")]
    #[must_use]
    pub fn sql(predicate: impl Into<String>) -> Self {
        let predicate = predicate.into();
        // A refused predicate has no columns, which `check` reports.
        let columns = crate::transform::sql::columns(&predicate).unwrap_or_default();
        SliceBy::of(predicate, Bins::Predicate(columns))
    }

    fn of(column: impl Into<String>, bins: Bins) -> Self {
        SliceBy {
            columns: vec![By {
                column: column.into(),
                bins,
            }],
        }
    }

    /// Crossed with another: a slice for each pair of values that occurs.
    #[must_use]
    pub fn and(mut self, other: impl Into<SliceBy>) -> Self {
        self.columns.extend(other.into().columns);
        self
    }

    /// The columns that are looked at.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns
            .iter()
            .flat_map(|by| match &by.bins {
                Bins::Predicate(columns) => columns.as_slice(),
                _ => std::slice::from_ref(&by.column),
            })
            .map(String::as_str)
    }

    /// Checks the configuration.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for edges that do not rise, for fewer than two bins, and for what is
    /// no predicate.
    pub fn check(&self) -> Result<()> {
        for By { column, bins } in &self.columns {
            let wrong = |what: String| Err(Error::config(format!("slices of `{column}` {what}")));
            match bins {
                Bins::Edges(edges)
                    if edges.is_empty()
                        || !edges.iter().all(|edge| edge.is_finite())
                        || edges.windows(2).any(|pair| pair[0] >= pair[1]) =>
                {
                    return wrong(format!(
                        "have the edges {edges:?}, which must be finite and rise"
                    ));
                }
                Bins::Quantiles(n) if !(2..=100).contains(n) => {
                    return wrong(format!("have {n} bins, must be from 2 to 100"));
                }
                #[cfg(feature = "sql")]
                Bins::Predicate(_) => {
                    crate::transform::sql::columns(column)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Checks the predicates against the columns that they name.
    #[cfg(feature = "datafusion")]
    pub(crate) fn check_columns(&self, columns: &arrow::datatypes::Schema) -> Result<()> {
        let none = RecordBatch::new_empty(std::sync::Arc::new(columns.clone()));
        let predicates = self.columns.iter();
        let mut predicates = predicates.filter(|by| matches!(by.bins, Bins::Predicate(_)));
        predicates.try_for_each(|by| by.texts(&none).map(drop))
    }

    /// The columns whose values must be known to derive the edges of quantiles.
    pub(crate) fn open_columns(&self) -> impl Iterator<Item = &str> {
        let open = |by: &&By| matches!(by.bins, Bins::Quantiles(_));
        self.columns
            .iter()
            .filter(open)
            .map(|by| by.column.as_str())
    }

    /// The same with edges in place of quantiles, of the values of a column.
    pub(crate) fn close(&mut self, column: &str, values: &mut [f64]) {
        values.sort_unstable_by(f64::total_cmp);
        for by in self.columns.iter_mut().filter(|by| by.column == column) {
            if let Bins::Quantiles(n) = by.bins {
                let at = |bin: u32| {
                    let rank = values.len() as f64 * f64::from(bin) / f64::from(n);
                    values.get(rank as usize).copied()
                };
                let mut edges: Vec<f64> = (1..n).filter_map(at).collect();
                edges.dedup();
                by.bins = Bins::Edges(edges);
            }
        }
    }

    /// The slice of a key.
    pub(crate) fn slice(&self, key: &str) -> Slice {
        let values = key.split(BETWEEN).map(str::to_owned);
        Slice {
            conditions: (self.columns.iter().map(|by| by.column.clone()))
                .zip(values)
                .collect(),
        }
    }

    /// The key of each row: a dictionary of texts without nulls.
    pub(crate) fn keys(&self, rows: &RecordBatch) -> Result<ArrayRef> {
        let columns = self.columns.iter().map(|by| by.texts(rows));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let mut keys = StringDictionaryBuilder::<Int32Type>::new();
        let mut key = String::new();
        for row in 0..rows.num_rows() {
            key.clear();
            for (at, column) in columns.iter().enumerate() {
                if at > 0 {
                    key.push(BETWEEN);
                }
                let texts = column.as_string::<i32>();
                key.push_str(if texts.is_null(row) {
                    NULL
                } else {
                    texts.value(row)
                });
            }
            keys.append(&key)?;
        }
        Ok(std::sync::Arc::new(keys.finish()))
    }
}

impl By {
    fn texts(&self, rows: &RecordBatch) -> Result<ArrayRef> {
        #[cfg(feature = "sql")]
        if let Bins::Predicate(columns) = &self.bins {
            return predicate(&self.column, columns, rows);
        }
        let column = rows.column_by_name(&self.column).ok_or_else(|| {
            Error::data(format!("there is no column `{}` to slice by", self.column))
        })?;
        let Bins::Edges(edges) = &self.bins else {
            return Ok(cast(column, &DataType::Utf8)?);
        };
        let numbers = numbers_of(&self.column, column)?;
        let numbers = numbers.as_primitive::<Float64Type>();
        let name = |bin: usize| match (
            bin.checked_sub(1).and_then(|at| edges.get(at)),
            edges.get(bin),
        ) {
            (None, Some(high)) => format!("below {high}"),
            (Some(low), Some(high)) => format!("[{low}, {high})"),
            (Some(low), None) => format!("from {low}"),
            (None, None) => "all".to_owned(),
        };
        let names: Vec<String> = (0..=edges.len()).map(name).collect();
        let texts = numbers.iter().map(|number| {
            let number = number.filter(|number| !number.is_nan())?;
            Some(names[edges.partition_point(|edge| *edge <= number)].as_str())
        });
        Ok(std::sync::Arc::new(
            texts.collect::<arrow::array::StringArray>(),
        ))
    }
}

/// The values of a predicate, as strings.
#[cfg(feature = "sql")]
fn predicate(predicate: &str, columns: &[String], rows: &RecordBatch) -> Result<ArrayRef> {
    use crate::transform::InputColumn;
    use crate::transform::sql::Compiled;

    let mut inputs = Vec::with_capacity(columns.len());
    let mut arrays = Vec::with_capacity(columns.len());
    for name in columns {
        let column = rows
            .column_by_name(name)
            .ok_or_else(|| Error::data(format!("there is no column `{name}` for `{predicate}`")))?;
        let field_type = FieldType::of(column.data_type());
        if field_type == FieldType::Other {
            return Err(Error::config(format!(
                "`{predicate}` reads `{name}`, which is of type {}, must be a number, a boolean, text or a time",
                column.data_type()
            )));
        }
        inputs.push(InputColumn::new(name, field_type));
        arrays.push(field_type.normalize(name, column)?);
    }
    let compiled = Compiled::new(predicate, &inputs)?;
    if compiled.output() != &DataType::Boolean {
        return Err(Error::config(format!(
            "`{predicate}` is of type {}, must be a boolean",
            compiled.output()
        )));
    }
    let is_true = compiled.evaluate(predicate, arrays)?;
    Ok(cast(&is_true, &DataType::Utf8)?)
}

/// A column as numbers.
pub(crate) fn numbers_of(name: &str, column: &ArrayRef) -> Result<ArrayRef> {
    let found = FieldType::of(column.data_type());
    if !matches!(found, FieldType::Integer | FieldType::Float) {
        return Err(Error::config(format!(
            "column `{name}` is of type {found}, bins need numbers"
        )));
    }
    Ok(cast(column, &DataType::Float64)?)
}

impl From<&str> for SliceBy {
    fn from(column: &str) -> Self {
        SliceBy::of(column, Bins::Values)
    }
}

impl From<String> for SliceBy {
    fn from(column: String) -> Self {
        SliceBy::of(column, Bins::Values)
    }
}

impl From<&String> for SliceBy {
    fn from(column: &String) -> Self {
        SliceBy::of(column, Bins::Values)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, StringArray};

    use super::*;

    #[test]
    fn crosses_and_bins_name_their_rows() {
        let columns: [(&str, ArrayRef); 2] = [
            (
                "x",
                Arc::new(Float64Array::from(vec![
                    Some(1.0),
                    Some(10.0),
                    Some(25.0),
                    None,
                ])),
            ),
            (
                "who",
                Arc::new(StringArray::from(vec![
                    Some("a"),
                    Some("b"),
                    None,
                    Some("a"),
                ])),
            ),
        ];
        let rows = RecordBatch::try_from_iter_with_nullable(
            columns.map(|(name, column)| (name, column, true)),
        )
        .unwrap();
        let by = SliceBy::edges("x", [10.0, 20.0]).and("who");
        by.check().unwrap();
        let keys = by.keys(&rows).unwrap();
        let keys = keys.as_dictionary::<Int32Type>();
        let texts = keys.downcast_dict::<StringArray>().unwrap();
        let slices: Vec<String> = texts
            .into_iter()
            .map(|key| by.slice(key.unwrap()).to_string())
            .collect();
        assert_eq!(
            slices,
            [
                "who=a, x=below 10",
                "who=b, x=[10, 20)",
                "who=<null>, x=from 20",
                "who=a, x=<null>"
            ]
        );
        let mut by = SliceBy::quantiles("x", 2);
        by.close("x", &mut [4.0, 1.0, 3.0, 2.0]);
        assert_eq!(by, SliceBy::edges("x", [3.0]));
        assert_eq!(
            SliceBy::edges("x", [2.0, 1.0])
                .check()
                .unwrap_err()
                .message(),
            "slices of `x` have the edges [2.0, 1.0], which must be finite and rise"
        );
        assert_eq!(
            serde_json::to_string(&Slice::of("who", "a").and("x", "<null>")).unwrap(),
            r#"{"who":"a","x":"<null>"}"#
        );
    }
}
