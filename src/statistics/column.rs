//! The accumulator of one column's statistics, and of those nested in it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, make_array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field as ArrowField};
use fourfold_kernels::sketches::number::{Scratch, number};
use fourfold_kernels::sketches::{NumberSketch, TextSketch};
use serde::{Deserialize, Serialize};

use super::read::{Items, each_value, items, keys, numbers};
use super::weighted::WeightedAccumulator;
use super::{ColumnStatistics, Histogram, Moments, NumericStatistics, TextStatistics, Valency};
use crate::error::{Error, Result};
use crate::field_type::FieldType;

/// Most frequent values reported.
const TOP_SHOWN: usize = 100;

/// The ranks that are reported, the extremes and the median among them.
pub(super) const RANKS: [f64; 11] = [0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0];

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ColumnAccumulator {
    pub(super) name: String,
    pub(super) field_type: FieldType,
    nested: bool,
    pub(super) count: u64,
    pub(super) missing: u64,
    valency: Option<ValencyAccumulator>,
    pub(super) values: Values,
    weighted: Option<Weighted>,
    children: Vec<ColumnAccumulator>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Values {
    /// Booleans, numbers, dates, timestamps.
    Number(NumberSketch),
    /// Strings and bytes.
    Text(TextSketch),
    Other,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Weighted {
    Number(WeightedAccumulator<i64>),
    Text(WeightedAccumulator<String>),
    Other(WeightedAccumulator<()>),
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct ValencyAccumulator {
    lengths: NumberSketch,
    total: u64,
}

fn is_bytes(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_bytes(values),
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => true,
        _ => false,
    }
}

impl ColumnAccumulator {
    /// The bytes held beside the struct itself.
    pub(super) fn held_bytes(&self) -> usize {
        let values = match &self.values {
            Values::Number(numbers) => numbers.held_bytes(),
            Values::Text(texts) => texts.held_bytes(),
            Values::Other => 0,
        };
        let weighted = match &self.weighted {
            Some(Weighted::Number(numbers)) => numbers.held_bytes(|_| 0),
            Some(Weighted::Text(texts)) => texts.held_bytes(String::capacity),
            Some(Weighted::Other(other)) => other.held_bytes(|()| 0),
            None => 0,
        };
        let valency = self.valency.as_ref();
        let children = self.children.iter();
        let children = children.map(|child| size_of_val(child) + child.held_bytes());
        self.name.capacity()
            + values
            + weighted
            + valency.map_or(0, |valency| valency.lengths.held_bytes())
            + children.sum::<usize>()
    }

    pub(super) fn new(name: &str, data_type: &DataType, weighted: bool) -> Self {
        ColumnAccumulator::at(name, data_type, weighted, false)
    }

    fn at(name: &str, data_type: &DataType, weighted: bool, nested: bool) -> Self {
        let item = item_field(data_type);
        let value_type = item.map_or(data_type, ArrowField::data_type);
        let field_type = FieldType::of(value_type);
        let values = match field_type {
            FieldType::Boolean | FieldType::Integer | FieldType::Date | FieldType::Timestamp => {
                Values::Number(NumberSketch::new(false))
            }
            FieldType::Float => Values::Number(NumberSketch::new(true)),
            FieldType::Text => Values::Text(TextSketch::default()),
            FieldType::Other if is_bytes(value_type) => Values::Text(TextSketch::default()),
            FieldType::Other => Values::Other,
        };
        let child = |field: &ArrowField| {
            let path = format!("{name}.{}", field.name());
            ColumnAccumulator::at(&path, field.data_type(), weighted, true)
        };
        let children = match value_type {
            DataType::Struct(fields) => fields.iter().map(|field| child(field)).collect(),
            // A list of lists: the inner one has an entry of its own.
            _ => match item {
                Some(item) if item_field(value_type).is_some() => vec![child(item)],
                _ => Vec::new(),
            },
        };
        ColumnAccumulator {
            name: name.to_owned(),
            field_type,
            nested,
            count: 0,
            missing: 0,
            valency: item.is_some().then(ValencyAccumulator::default),
            weighted: weighted.then(|| match &values {
                Values::Number(_) => Weighted::Number(WeightedAccumulator::default()),
                Values::Text(_) => Weighted::Text(WeightedAccumulator::default()),
                Values::Other => Weighted::Other(WeightedAccumulator::default()),
            }),
            values,
            children,
        }
    }

    /// Takes in a column, with the weight of each row if there are weights.
    pub(super) fn update(
        &mut self,
        column: &ArrayRef,
        weights: Option<&[f64]>,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let missing = column.logical_null_count();
        self.missing += missing as u64;
        self.count += (column.len() - missing) as u64;
        if let (Some(weighted), Some(weights)) = (&mut self.weighted, weights)
            && missing > 0
            && let Some(nulls) = column.logical_nulls()
        {
            for (weight, present) in weights.iter().zip(nulls.iter()) {
                if !present {
                    weighted.missing(*weight);
                }
            }
        }
        if missing == column.len() {
            return Ok(());
        }
        match &mut self.valency {
            None => self.update_values(column, weights, scratch),
            Some(valency) => {
                let Items {
                    values,
                    lengths,
                    rows,
                } = items(&self.name, column)?;
                valency.total += lengths.iter().sum::<i64>() as u64;
                valency.lengths.update_whole(&lengths, scratch);
                let weights: Option<Vec<f64>> = weights.map(|weights| {
                    let weight = |row: &usize| weights.get(*row).copied().unwrap_or_default();
                    let each = rows.iter().map(weight).zip(&lengths);
                    each.flat_map(|(weight, n)| std::iter::repeat_n(weight, *n as usize))
                        .collect()
                });
                self.update_values(&values, weights.as_deref(), scratch)
            }
        }
    }

    /// Takes in values: of the rows, or the items of the lists of the rows.
    fn update_values(
        &mut self,
        column: &ArrayRef,
        weights: Option<&[f64]>,
        scratch: &mut Scratch,
    ) -> Result<()> {
        match &mut self.values {
            Values::Number(values) => {
                numbers(&self.name, self.field_type, column, values, scratch)?;
            }
            Values::Text(values) => values.update(column),
            Values::Other => {}
        }
        if let (Some(weighted), Some(weights)) = (&mut self.weighted, weights) {
            weighted.update(&self.name, self.field_type, column, weights)?;
        }
        if let Some(parent) = column.as_struct_opt() {
            for (child, column) in self.children.iter_mut().zip(parent.columns()) {
                // A field of a struct that is NULL is NULL.
                let nulls = NullBuffer::union(parent.nulls(), column.logical_nulls().as_ref());
                let has_no_mask = matches!(
                    column.data_type(),
                    DataType::Null | DataType::Union(..) | DataType::RunEndEncoded(..)
                );
                let column = if parent.null_count() == 0 || has_no_mask {
                    Arc::clone(column)
                } else {
                    let data = column.to_data().into_builder().nulls(nulls).build()?;
                    make_array(data)
                };
                child.update(&column, weights, scratch)?;
            }
        } else {
            for child in &mut self.children {
                child.update(column, weights, scratch)?;
            }
        }
        Ok(())
    }

    pub(super) fn merge(&mut self, mut other: Self) -> Result<()> {
        // A column that is all NULL may have been read as of any type.
        let plain = self.children.is_empty() && other.children.is_empty();
        if self.name == other.name
            && self.field_type != other.field_type
            && plain
            && (self.weighted.is_none() && other.weighted.is_none())
            && (self.count == 0 || other.count == 0)
        {
            if self.count == 0 {
                std::mem::swap(self, &mut other);
            }
            self.missing = self.missing.saturating_add(other.missing);
            return Ok(());
        }
        let apart = |name: &str| {
            Error::data(format!(
                "statistics of different columns cannot be merged: `{name}` has another type or position in the other"
            ))
        };
        if (&self.name, self.field_type, self.children.len())
            != (&other.name, other.field_type, other.children.len())
        {
            return Err(apart(&self.name));
        }
        match (&mut self.values, other.values) {
            (Values::Number(mine), Values::Number(theirs)) => {
                mine.merge(theirs).map_err(|_| apart(&self.name))?;
            }
            (Values::Text(mine), Values::Text(theirs)) => mine.merge(theirs),
            (Values::Other, Values::Other) => {}
            _ => return Err(apart(&self.name)),
        }
        match (&mut self.valency, other.valency) {
            (Some(mine), Some(theirs)) => {
                mine.total = mine.total.saturating_add(theirs.total);
                (mine.lengths.merge(theirs.lengths)).map_err(|_| apart(&self.name))?;
            }
            (None, None) => {}
            _ => return Err(apart(&self.name)),
        }
        match (&mut self.weighted, other.weighted) {
            (Some(Weighted::Number(mine)), Some(Weighted::Number(theirs))) => mine.merge(theirs),
            (Some(Weighted::Text(mine)), Some(Weighted::Text(theirs))) => mine.merge(theirs),
            (Some(Weighted::Other(mine)), Some(Weighted::Other(theirs))) => mine.merge(theirs),
            (None, None) => {}
            _ => return Err(apart(&self.name)),
        }
        self.count = self.count.saturating_add(other.count);
        self.missing = self.missing.saturating_add(other.missing);
        for (mine, theirs) in self.children.iter_mut().zip(other.children) {
            mine.merge(theirs)?;
        }
        Ok(())
    }

    /// The column's statistics, and then those of what is nested in it.
    pub(super) fn finish(&self, into: &mut Vec<ColumnStatistics>) {
        let mut statistics = ColumnStatistics {
            name: self.name.clone(),
            field_type: self.field_type,
            nested: self.nested,
            count: self.count,
            missing: self.missing,
            distinct: 0,
            numeric: None,
            text: None,
            top_values: Vec::new(),
            top_values_exact: false,
            valency: self.valency.as_ref().and_then(ValencyAccumulator::finish),
            weighted: None,
            association: None,
        };
        let text = |key: &i64| key_text(self.field_type, *key);
        let mut moments = None;
        match &self.values {
            Values::Number(values) => {
                let of_all = values.moments();
                statistics.numeric = Some(NumericStatistics::new(&of_all, &values.points()));
                statistics.distinct = values.distinct();
                if let Some((top, exact)) = values.top(TOP_SHOWN) {
                    let shown = top.iter().map(|(key, n)| (text(key), *n));
                    statistics.top_values = shown.collect();
                    statistics.top_values_exact = exact;
                }
                moments = Some(of_all);
            }
            Values::Text(values) => {
                statistics.text = values.lengths().map(TextStatistics::from);
                statistics.distinct = values.distinct();
                if let Some((top, exact)) = values.top(TOP_SHOWN) {
                    statistics.top_values = top;
                    statistics.top_values_exact = exact;
                }
            }
            Values::Other => {}
        }
        // An estimate of many distinct values may be above what there can be.
        statistics.distinct = statistics.distinct.min(statistics.n_values());
        statistics.weighted = self.weighted.as_ref().map(|weighted| match weighted {
            Weighted::Number(weighted) => weighted.finish(moments.as_ref(), TOP_SHOWN, text),
            Weighted::Text(weighted) => weighted.finish(None, TOP_SHOWN, String::clone),
            Weighted::Other(weighted) => weighted.finish(None, 0, |()| String::new()),
        });
        into.push(statistics);
        self.children.iter().for_each(|child| child.finish(into));
    }

    /// This column, and then those nested in it.
    pub(super) fn flat<'a>(&'a self, into: &mut Vec<&'a ColumnAccumulator>) {
        into.push(self);
        self.children.iter().for_each(|child| child.flat(into));
    }

    /// Returns true if rows have a single value each.
    pub(super) fn is_single(&self) -> bool {
        self.valency.is_none() && !self.nested
    }

    /// Returns true if what was read from outside is valid.
    pub(super) fn is_whole(&self) -> bool {
        let values = match &self.values {
            Values::Number(values) => values.is_whole(),
            Values::Text(values) => values.is_whole(),
            Values::Other => true,
        };
        values && self.children.iter().all(ColumnAccumulator::is_whole)
    }
}

/// The item of a list (or of a map, which is a list of entries).
fn item_field(data_type: &DataType) -> Option<&ArrowField> {
    match data_type {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::Map(item, _) => Some(item),
        _ => None,
    }
}

/// A value as a string.
pub(super) fn key_text(field_type: FieldType, key: i64) -> String {
    match field_type {
        FieldType::Boolean => (key != 0).to_string(),
        FieldType::Date => super::days_text(key),
        FieldType::Timestamp => super::micros_text(key),
        FieldType::Float => number(key, true).to_string(),
        _ => key.to_string(),
    }
}

impl ValencyAccumulator {
    fn finish(&self) -> Option<Valency> {
        let moments: Moments = self.lengths.moments();
        Some(Valency {
            min: moments.min()? as u64,
            max: moments.max()? as u64,
            mean: moments.mean()?,
            total: self.total,
            quantile_histogram: Histogram::quantiles(&self.lengths.points()),
        })
    }
}

impl Weighted {
    fn missing(&mut self, weight: f64) {
        match self {
            Weighted::Number(weighted) => weighted.missing(weight),
            Weighted::Text(weighted) => weighted.missing(weight),
            Weighted::Other(weighted) => weighted.missing(weight),
        }
    }

    fn update(
        &mut self,
        name: &str,
        field_type: FieldType,
        column: &ArrayRef,
        weights: &[f64],
    ) -> Result<()> {
        match self {
            Weighted::Number(weighted) => {
                let real = field_type == FieldType::Float;
                let keys = keys(name, field_type, column)?;
                for (key, weight) in keys.into_iter().zip(weights) {
                    if let Some(key) = key {
                        weighted.update(&key, Some(number(key, real)), *weight);
                    }
                }
            }
            Weighted::Text(weighted) => {
                each_value(column, &mut |row, value| {
                    let weight = weights.get(row).copied().unwrap_or_default();
                    match std::str::from_utf8(value) {
                        Ok(text) => weighted.update(text, None, weight),
                        Err(_) => weighted.present(weight),
                    }
                })?;
            }
            Weighted::Other(weighted) => {
                for (row, weight) in weights.iter().enumerate() {
                    if column.is_valid(row) {
                        weighted.update(&(), None, *weight);
                    }
                }
            }
        }
        Ok(())
    }
}
