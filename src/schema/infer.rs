//! The schema that data suggests.

use super::{Counts, Domain, Field, FieldType, Schema};
use crate::statistics::{ColumnStatistics, Statistics};

/// The options of [inferring](Schema::infer_with) a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InferOptions {
    /// Columns of strings with at most this many distinct values are limited to these. 100 by default; more is as 100,
    /// since statistics list no more; 0 limits none.
    pub max_values: usize,
    /// Lists are limited to the numbers of items that were seen.
    pub valency: bool,
    /// Columns without a gap are required, and columns with any value must have one.
    pub required: bool,
}

impl Default for InferOptions {
    fn default() -> Self {
        InferOptions {
            max_values: Schema::MAX_INFERRED_VALUES,
            valency: true,
            required: true,
        }
    }
}

impl Schema {
    /// The schema that statistics suggest, by the default options.
    ///
    /// - Types are as they are.
    /// - A column with any value must have one (`min_count` 1); one without a gap must have one in each row
    ///   (`min_fraction` 1).
    /// - Lists: as many items as were seen, if that is always the same number and not 0; else at least one, if none is
    ///   empty; else any number.
    /// - Strings with at most 100 distinct values are limited to these; whole numbers that are all 0 or 1, with
    ///   both seen, to 0 and 1 (the reference takes a column of ones for one, too).
    /// - Fields of structs have no rules of their own; a rule may be written for them by their path.
    /// - Ranges of numbers are never inferred: the data's range is not a rule.
    #[must_use]
    pub fn infer(statistics: &Statistics) -> Self {
        Schema::infer_with(statistics, InferOptions::default())
    }

    /// The schema that statistics suggest.
    #[must_use]
    pub fn infer_with(statistics: &Statistics, options: InferOptions) -> Self {
        Schema::new(
            statistics
                .columns
                .iter()
                .filter(|column| !column.nested)
                .map(|column| Field::infer(column, options)),
        )
    }
}

impl Field {
    /// The field that a column's statistics suggest.
    pub(super) fn infer(column: &ColumnStatistics, options: InferOptions) -> Self {
        let mut field = Field::new(&column.name, column.field_type);
        if options.required && column.count > 0 {
            field.min_count = 1;
            field.min_fraction = f64::from(u8::from(column.missing == 0));
        }
        field.list = column.valency.as_ref().map(|valency| {
            if !options.valency || valency.min == 0 {
                Counts::default()
            } else if valency.min == valency.max {
                Counts::within(valency.min, valency.max)
            } else {
                Counts {
                    min: Some(1),
                    max: None,
                }
            }
        });
        field.domain = domain(column, options);
        field
    }
}

fn domain(column: &ColumnStatistics, options: InferOptions) -> Option<Domain> {
    match column.field_type {
        FieldType::Integer => {
            let numeric = column.numeric.as_ref()?;
            (numeric.min == Some(0.0) && numeric.max == Some(1.0)).then_some(Domain::Boolean {
                true_value: None,
                false_value: None,
            })
        }
        FieldType::Text => {
            let invalid = column
                .text
                .as_ref()
                .is_some_and(|text| text.invalid_utf8 > 0);
            let known = column.top_values_exact && column.count > 0 && !invalid;
            (known && column.top_values.len() <= options.max_values).then(|| {
                let mut values: Vec<String> = column
                    .top_values
                    .iter()
                    .map(|(value, _)| value.clone())
                    .collect();
                values.sort_unstable();
                Domain::Values(values)
            })
        }
        _ => None,
    }
}
