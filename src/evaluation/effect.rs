//! The dependence of a candidate's outputs on a column.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::Float64Type;
use arrow::util::display::array_value_to_string;
use ndarray::Axis;
use serde::{Deserialize, Serialize};

use crate::error::{Result, shortened};
use crate::examples::Examples;
use crate::metrics::numbers_of;
use crate::model::Servable;

/// The number of rows that are predicted for each value, the first ones.
const ROWS: usize = 200;
/// The number of values of a column.
const VALUES: usize = 10;
/// The number of columns if none are named, at most.
const COLUMNS: usize = 20;
/// The number of raw values that may be predicted from if no columns are named: of wide rows, fewer columns.
const CELLS: usize = 8_000_000;
/// The number of outputs of a model that are kept.
const OUTPUTS: usize = 10;

/// The partial dependence of a candidate's answers on a raw column (Friedman 2001): the mean answer over the first 200 rows
/// of the `eval` split with one value in all of them, for values of these rows. What the column goes with in the data, it
/// does not go with here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Effect {
    /// The column.
    pub column: String,
    /// Numbers at ten quantiles from the lowest; of other columns the ten most frequent values.
    pub points: Vec<EffectPoint>,
}

/// The mean answer with one value in every row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EffectPoint {
    /// The value as text, of at most 64 characters.
    pub value: String,
    /// The same as a number, of a column of numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<f64>,
    /// The mean of each output, at most ten of them.
    pub outputs: Vec<f64>,
}

/// The effects of these columns; if none are named, of the first ones that the model takes: twenty, or fewer where the rows
/// are wide.
pub(super) fn effects(
    model: &Servable,
    rows: &Examples,
    columns: &[String],
) -> Result<Vec<Effect>> {
    let Some(rows) = rows.batches(&[]).next().transpose()? else {
        return Ok(Vec::new());
    };
    let rows = rows.slice(0, rows.num_rows().min(ROWS));
    let inputs = model.transform().inputs();
    let taken = inputs.iter().map(|input| input.name.clone());
    let at_most = CELLS / (ROWS * VALUES * inputs.len().max(1));
    let columns: Vec<String> = match columns {
        [] => taken.take(at_most.min(COLUMNS)).collect(),
        named => named.to_vec(),
    };
    let columns = columns
        .iter()
        .filter_map(|name| Some((name, rows.schema().index_of(name).ok()?)));
    columns
        .map(|(name, at)| effect(model, &rows, name, at))
        .collect()
}

fn effect(model: &Servable, rows: &RecordBatch, name: &str, at: usize) -> Result<Effect> {
    let column = rows.column(at);
    let numbers = numbers_of(name, column).ok();
    let numbers = numbers
        .as_ref()
        .map(|numbers| numbers.as_primitive::<Float64Type>());
    let number = |row: usize| {
        let numbers = numbers.filter(|numbers| numbers.is_valid(row))?;
        Some(numbers.value(row)).filter(|number| number.is_finite())
    };
    let chosen = match numbers {
        Some(_) => quantiles((0..rows.num_rows()).filter_map(|row| Some((number(row)?, row)))),
        None => most_frequent(column)?,
    };
    let mut points = Vec::new();
    for row in chosen {
        let same = UInt32Array::from(vec![
            u32::try_from(row).unwrap_or_default();
            rows.num_rows()
        ]);
        let mut changed = rows.columns().to_vec();
        changed[at] = take(column, &same, None)?;
        let changed = RecordBatch::try_new(Arc::clone(rows.schema_ref()), changed)?;
        let answer = model.predict(&changed)?;
        let means = answer.outputs().mean_axis(Axis(0));
        points.push(EffectPoint {
            value: shortened(&array_value_to_string(column, row)?).into_owned(),
            number: number(row),
            outputs: means.into_iter().flatten().take(OUTPUTS).collect(),
        });
    }
    Ok(Effect {
        column: name.to_owned(),
        points,
    })
}

/// The rows with the values at equal ranks, each value once.
fn quantiles(values: impl Iterator<Item = (f64, usize)>) -> Vec<usize> {
    let mut values: Vec<(f64, usize)> = values.collect();
    values.sort_by(|a, b| a.0.total_cmp(&b.0));
    let Some(last) = values.len().checked_sub(1) else {
        return Vec::new();
    };
    let mut chosen: Vec<(f64, usize)> = (0..VALUES)
        .map(|rank| values[rank * last / (VALUES - 1)])
        .collect();
    chosen.dedup_by(|a, b| a.0 == b.0);
    chosen.into_iter().map(|(_, row)| row).collect()
}

/// The first rows of the most frequent values.
fn most_frequent(column: &dyn Array) -> Result<Vec<usize>> {
    let mut counts: HashMap<String, (usize, usize)> = HashMap::new();
    for row in (0..column.len()).filter(|row| column.is_valid(*row)) {
        let value = array_value_to_string(column, row)?;
        counts.entry(value).or_insert((0, row)).0 += 1;
    }
    let mut counts: Vec<(usize, usize)> = counts.into_values().collect();
    // The first of equally frequent ones comes first.
    counts.sort_by_key(|(count, row)| (usize::MAX - count, *row));
    Ok(counts
        .into_iter()
        .take(VALUES)
        .map(|(_, row)| row)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_chosen_once() {
        let values = [3.0, 1.0, 2.0, 2.0].into_iter().zip(0..);
        assert_eq!(quantiles(values), [1, 2, 0]);
        assert!(quantiles(std::iter::empty()).is_empty());
        let column =
            arrow::array::StringArray::from(vec![Some("b"), None, Some("a"), Some("a"), Some("c")]);
        assert_eq!(most_frequent(&column).unwrap(), [2, 0, 4]);
    }
}
