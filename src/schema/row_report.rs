//! Reports of the rows that break a schema.

use std::fmt;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StructArray, make_array};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Fields};
use arrow::util::display::array_value_to_string;
use serde::Serialize;

use super::value_rules::{OnBreak, ValueRules};
use super::{AnomalyKind, Bounds, Counts, Domain, Field, FieldType, Schema, Severity};

/// The rows of a batch that break rules of a schema. See [`Schema::check_rows`].
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RowReport {
    /// The number of rows checked.
    pub n_rows: usize,
    /// The number of rows that break a rule.
    pub n_broken: usize,
    /// The rules that are broken, in the order of the fields.
    pub reasons: Vec<RowReason>,
}

/// A rule that rows break.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RowReason {
    /// The column.
    pub column: String,
    /// The kind of anomaly.
    pub kind: AnomalyKind,
    /// The severity.
    pub severity: Severity,
    /// The rule: `must be from 0 to 10`.
    pub rule: String,
    /// The number of rows that break it.
    pub n_rows: usize,
    /// The first of them.
    pub examples: Vec<RowExample>,
}

/// A row that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RowExample {
    /// Its place in the batch, from 0.
    pub row: usize,
    /// The column's value, as a string.
    pub value: String,
}

impl RowReport {
    /// Returns true if no row breaks a rule.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.reasons.is_empty()
    }
}

impl fmt::Display for RowReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} rows break the schema",
            self.n_broken, self.n_rows
        )?;
        for reason in &self.reasons {
            let RowReason {
                column,
                rule,
                n_rows,
                ..
            } = reason;
            write!(f, "\n  column `{column}` {rule}: {n_rows} rows")?;
            for RowExample { row, value } in &reason.examples {
                write!(f, ", row {row} is `{value}`")?;
            }
        }
        Ok(())
    }
}

impl Schema {
    /// Reports the rows that break rules, with at most `n_examples` for each: the rules that a single row can break, which
    /// are types, missing columns and NULL where every row must have a value, numbers of items, and domains (all of
    /// them, [strict](Field::strict) or not). The same schema so checks a data set, a batch, or one row online; where
    /// nothing is broken and the columns have their physical types, nothing is allocated. For the fields of an
    /// environment, take [its schema](Schema::environment).
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use arrow::array::{ArrayRef, Float64Array, RecordBatch};
    /// use fourfold::schema::{Domain, Field, FieldType, Schema};
    ///
    /// let positive = Domain::Range { min: Some(0.0), max: None };
    /// let schema = Schema::new([Field::new("fare", FieldType::Float).domain(positive)]);
    /// let fare: ArrayRef = Arc::new(Float64Array::from(vec![8.5, -1.0, 12.0]));
    /// let report = schema.check_rows(&RecordBatch::try_from_iter([("fare", fare)])?, 5);
    /// assert_eq!(
    ///     report.to_string(),
    ///     "1 of 3 rows break the schema\n  column `fare` must be at least 0: 1 rows, row 1 is `-1.0`"
    /// );
    /// # Ok::<(), fourfold::Error>(())
    /// ```
    #[must_use]
    pub fn check_rows(&self, batch: &RecordBatch, n_examples: usize) -> RowReport {
        let mut report = RowReport {
            n_rows: batch.num_rows(),
            ..RowReport::default()
        };
        let mut broken = Vec::new();
        for (place, field) in self.fields.iter().enumerate() {
            let first = report.reasons.len();
            field.each_break(batch, place, &mut |row, kind, column| {
                broken.resize(report.n_rows, false);
                if let Some(broken) = broken.get_mut(row) {
                    *broken = true;
                }
                let known = report
                    .reasons
                    .iter()
                    .skip(first)
                    .position(|reason| reason.kind == kind);
                let at = known.map_or(report.reasons.len(), |at| first + at);
                if known.is_none() {
                    report.reasons.push(RowReason {
                        column: field.name.clone(),
                        kind,
                        severity: self.severity_of(Some(field), kind),
                        rule: field.rule(kind),
                        n_rows: 0,
                        examples: Vec::new(),
                    });
                }
                if let Some(reason) = report.reasons.get_mut(at) {
                    reason.n_rows += 1;
                    if reason.examples.len() < n_examples {
                        reason.examples.push(RowExample {
                            row,
                            value: value_text(column, row),
                        });
                    }
                }
            });
        }
        report.n_broken = broken.iter().filter(|broken| **broken).count();
        report
    }
}

/// A value as a string.
pub(super) fn value_text(column: Option<&ArrayRef>, row: usize) -> String {
    match column {
        Some(column) if !column.is_null(row) => {
            array_value_to_string(column, row).unwrap_or_default()
        }
        _ => "NULL".to_owned(),
    }
}

/// The place of a name, which is looked for at `next` first, and then from there on; `next` is the place after it then.
/// Names that come in the order of the fields take one comparison each.
pub(crate) fn place_of(fields: &Fields, name: &str, next: &mut usize) -> Option<usize> {
    let first = (*next).min(fields.len());
    let named = |at: &usize| fields.get(*at).is_some_and(|field| field.name() == name);
    let found = (first..fields.len()).chain(0..first).find(named)?;
    *next = found + 1;
    Some(found)
}

/// A column by its path, which is looked for at a place first, which is the one after it then. A field of a struct is NULL
/// where the struct is.
pub(super) fn find(batch: &RecordBatch, path: &str, place: &mut usize) -> Option<ArrayRef> {
    if let Some(at) = place_of(batch.schema_ref().fields(), path, place) {
        return batch.columns().get(at).cloned();
    }
    let (mut name, mut rest) = path.split_once('.')?;
    let mut parent: &StructArray = batch.column_by_name(name)?.as_struct_opt()?;
    let mut nulls = parent.nulls().cloned();
    loop {
        if let Some(column) = parent.column_by_name(rest) {
            if nulls.is_none() {
                return Some(ArrayRef::clone(column));
            }
            let nulls = NullBuffer::union(nulls.as_ref(), column.nulls());
            let data = column.to_data().into_builder().nulls(nulls).build().ok()?;
            return Some(make_array(data));
        }
        (name, rest) = rest.split_once('.')?;
        parent = parent.column_by_name(name)?.as_struct_opt()?;
        nulls = NullBuffer::union(nulls.as_ref(), parent.nulls());
    }
}

impl Field {
    /// Calls back with each row that breaks a rule of the field, the kind of it and the column; once for each
    /// row and kind. The column is looked for at a place first.
    pub(crate) fn each_break(&self, batch: &RecordBatch, place: usize, broken: &mut OnBreak<'_>) {
        if !self.lifecycle.is_validated() {
            return;
        }
        let Some(column) = find(batch, &self.name, &mut { place }) else {
            if self.is_required() {
                (0..batch.num_rows())
                    .for_each(|row| broken(row, AnomalyKind::SchemaMissingColumn, None));
            }
            return;
        };
        match self.brought_to_type(&column) {
            Ok(column) => {
                self.each_null(&column, broken);
                ValueRules::new(self, &column, None, false).each_break(&column, broken);
            }
            Err(kind) => {
                for row in (0..column.len()).filter(|row| !column.is_null(*row)) {
                    broken(row, kind, Some(&column));
                }
                self.each_null(&column, broken);
            }
        }
    }

    fn each_null(&self, column: &ArrayRef, broken: &mut OnBreak<'_>) {
        if self.is_required() && column.logical_null_count() > 0 {
            for row in (0..column.len()).filter(|row| column.is_null(*row)) {
                broken(
                    row,
                    AnomalyKind::FeatureTypeLowFractionPresent,
                    Some(column),
                );
            }
        }
    }

    /// The column in the field's physical type, or the kind of what keeps it from that.
    fn brought_to_type(&self, column: &ArrayRef) -> Result<ArrayRef, AnomalyKind> {
        let has_it = match (self.list, column.data_type()) {
            (Some(_), DataType::List(items)) => self.field_type.is_physical(items.data_type()),
            (Some(_), _) => self.field_type == FieldType::Other,
            (None, data_type) => self.field_type.is_physical(data_type),
        };
        if has_it {
            return Ok(ArrayRef::clone(column));
        }
        if column.logical_null_count() == column.len() {
            return self
                .normalize(column)
                .map_err(|_| AnomalyKind::UnexpectedDataType);
        }
        let items = FieldType::of_items(column.data_type());
        if items.is_some() != self.list.is_some() {
            return Err(AnomalyKind::ValueNestednessMismatch);
        }
        let found = items.unwrap_or_else(|| FieldType::of(column.data_type()));
        let widened = self.field_type == FieldType::Float && found == FieldType::Integer;
        if found != self.field_type && !widened {
            return Err(AnomalyKind::UnexpectedDataType);
        }
        self.normalize(column)
            .map_err(|_| AnomalyKind::UnexpectedDataType)
    }

    /// The rule behind a kind, as it follows a field's name.
    pub(super) fn rule(&self, kind: AnomalyKind) -> String {
        let range = |what: &str, min: Option<f64>, max: Option<f64>| {
            let bounds = Bounds { min, max };
            if bounds.is_open() {
                format!("must be {what}")
            } else {
                format!("must be {bounds}")
            }
        };
        match (kind, &self.domain) {
            (AnomalyKind::SchemaMissingColumn, _) => "must be present".to_owned(),
            (AnomalyKind::FeatureTypeLowFractionPresent, _) => "must not be NULL".to_owned(),
            (AnomalyKind::UnexpectedDataType | AnomalyKind::ValueNestednessMismatch, _) => {
                format!("must be of type {}", self.type_text())
            }
            (
                AnomalyKind::FeatureTypeLowNumberValues
                | AnomalyKind::FeatureTypeHighNumberValues
                | AnomalyKind::InvalidFeatureShape,
                _,
            ) => match self.list.unwrap_or_default() {
                Counts {
                    min: Some(min),
                    max: Some(max),
                } if min == max => format!("must have {min} items"),
                counts => format!("must have {} items", counts.bounds()),
            },
            (AnomalyKind::FloatTypeHasNan, _) => "must not be NaN".to_owned(),
            (AnomalyKind::FloatTypeHasInf, _) => "must not be infinite".to_owned(),
            (_, Some(Domain::Values(values))) => {
                let shown: Vec<String> = values
                    .iter()
                    .take(5)
                    .map(|value| format!("`{value}`"))
                    .collect();
                let more = match values.len().saturating_sub(5) {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                format!("must be one of {}{more}", shown.join(", "))
            }
            (_, Some(Domain::Range { min, max })) => range("a number", *min, *max),
            (_, Some(Domain::IntegerText { min, max })) => range("a whole number", *min, *max),
            (_, Some(Domain::FloatText { min, max })) => range("a number", *min, *max),
            (_, Some(Domain::Times { from, to })) => match (from, to) {
                (Some(from), Some(to)) => format!("must be from {from} to {to}"),
                (Some(from), None) => format!("must be at {from} or later"),
                (None, Some(to)) => format!("must be at {to} or earlier"),
                (None, None) => "must be a time".to_owned(),
            },
            (_, Some(domain @ Domain::Boolean { .. })) => match self.field_type {
                FieldType::Text => {
                    let (yes, no) = domain.words();
                    format!("must be `{yes}` or `{no}`")
                }
                _ => "must be 0 or 1".to_owned(),
            },
            (_, None) => format!("must be of type {}", self.type_text()),
        }
    }
}
