//! The schemas of files that declare their types, as one.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, SchemaRef};

use super::text::{Remark, metadata};
use crate::error::{Error, Result};
use crate::schema::FieldType;

/// A column of some of the files.
struct Merged<'a> {
    field: Field,
    /// The first file that has a value of its type.
    file: &'a str,
    n_files: usize,
    /// The place of the first file that lacks it, if one was seen.
    lacking: Option<usize>,
    /// The types that were made one, and the file of the second.
    widened: Option<(DataType, DataType, &'a str)>,
}

/// The schemas of files that hold the same columns, as one: of the first, with whatever others have more. Columns of
/// different types are read as one that holds all values, where there is one. Remarks about both are in the metadata.
///
/// # Errors
/// [`ErrorKind::Data`](crate::ErrorKind::Data) naming both files, if the types of a column have no common one.
pub(super) fn merged<'a>(
    schemas: impl IntoIterator<Item = (&'a str, SchemaRef)>,
) -> Result<SchemaRef> {
    let mut columns: Vec<Merged<'a>> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut files = Vec::new();
    for (file, schema) in schemas {
        let at = files.len();
        for field in schema.fields() {
            let place = places.get(field.name()).copied();
            match place.and_then(|place| columns.get_mut(place)) {
                None => {
                    places.insert(field.name().clone(), columns.len());
                    columns.push(Merged {
                        field: field.as_ref().clone().with_nullable(true),
                        file,
                        n_files: 1,
                        lacking: (at > 0).then_some(0),
                        widened: None,
                    });
                }
                Some(column) => {
                    // Until one lacks it, there is one field a file.
                    let behind = (column.n_files < at).then_some(column.n_files);
                    column.lacking = column.lacking.or(behind);
                    column.n_files += 1;
                    column.add(field, file)?;
                }
            }
        }
        files.push(file);
    }
    let mut remarks = Vec::new();
    for column in &columns {
        let name = column.field.name();
        if let Some((one, other, file)) = &column.widened {
            let message = format!(
                "read as {}: it is of type {one} in `{}` and of type {other} in `{file}`",
                FieldType::of(column.field.data_type()),
                column.file
            );
            remarks.push(Remark::of_column(name, "column_widened", message));
        }
        if column.n_files < files.len()
            && let Some(file) = files.get(column.lacking.unwrap_or(column.n_files))
        {
            let message = format!(
                "NULL in the rows of {} of {} files, which have no such column: the first is `{file}`",
                files.len() - column.n_files,
                files.len()
            );
            remarks.push(Remark::of_column(name, "column_missing", message));
        }
    }
    let fields: Vec<Field> = columns.into_iter().map(|column| column.field).collect();
    Ok(Arc::new(ArrowSchema::new_with_metadata(
        fields,
        metadata(&remarks),
    )))
}

impl<'a> Merged<'a> {
    /// Adds the field of another file.
    fn add(&mut self, field: &Field, file: &'a str) -> Result<()> {
        let (own, other) = (self.field.data_type(), field.data_type());
        if own == other || other.is_null() {
            return Ok(());
        }
        if own.is_null() {
            self.field = field.clone().with_nullable(true);
            self.file = file;
            return Ok(());
        }
        let Some(wider) = wider(own, other) else {
            return Err(Error::data(format!(
                "column `{}` is of type {own} in `{}` and of type {other} in `{file}`",
                field.name(),
                self.file
            )));
        };
        if FieldType::of(own) != FieldType::of(other) && self.widened.is_none() {
            self.widened = Some((own.clone(), other.clone(), file));
        }
        self.field.set_data_type(wider);
        Ok(())
    }
}

/// The type that holds the values of both.
fn wider(one: &DataType, other: &DataType) -> Option<DataType> {
    use FieldType::{Date, Float, Integer, Text, Timestamp};

    let all = |of: fn(&DataType) -> bool| of(one) && of(other);
    let any = |of: fn(&DataType) -> bool| of(one) || of(other);
    match (FieldType::of(one), FieldType::of(other)) {
        (Integer, Integer) if any(|it| *it == DataType::UInt64) => {
            all(DataType::is_unsigned_integer).then_some(DataType::UInt64)
        }
        (Integer | Float, Integer | Float) if any(|it| FieldType::of(it) == Float) => {
            Float.data_type()
        }
        (Integer, Integer) => Integer.data_type(),
        (Text, Text) => Text.data_type(),
        (Date, Date) => Date.data_type(),
        (Timestamp, Timestamp) => Timestamp.data_type(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::TimeUnit;

    use super::*;
    use crate::data::text::remarks_of;

    fn schema(fields: &[(&str, DataType)]) -> SchemaRef {
        let fields = fields
            .iter()
            .map(|(name, data_type)| Field::new(*name, data_type.clone(), false));
        Arc::new(ArrowSchema::new(fields.collect::<Vec<_>>()))
    }

    fn of(one: DataType, other: DataType) -> Result<DataType> {
        let merged = merged([("a", schema(&[("x", one)])), ("b", schema(&[("x", other)]))])?;
        Ok(merged.field(0).data_type().clone())
    }

    #[test]
    fn types_widen() {
        let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let nanos =
            |zone: Option<&str>| DataType::Timestamp(TimeUnit::Nanosecond, zone.map(Into::into));
        let micros = FieldType::Timestamp.data_type().unwrap();
        for (one, other, both) in [
            (DataType::Int32, DataType::Int64, DataType::Int64),
            (DataType::UInt8, DataType::Int16, DataType::Int64),
            (DataType::UInt8, DataType::UInt64, DataType::UInt64),
            (DataType::Int64, DataType::Float32, DataType::Float64),
            (
                DataType::Decimal128(9, 2),
                DataType::Int8,
                DataType::Float64,
            ),
            (DataType::LargeUtf8, dictionary, DataType::Utf8),
            (DataType::Date32, DataType::Date64, DataType::Date32),
            (nanos(None), nanos(Some("Europe/Berlin")), micros),
            (DataType::Null, DataType::Boolean, DataType::Boolean),
            (DataType::Boolean, DataType::Null, DataType::Boolean),
        ] {
            assert_eq!(of(one, other).unwrap(), both);
        }
        assert_eq!(
            of(DataType::Int64, DataType::Utf8).unwrap_err().to_string(),
            "column `x` is of type Int64 in `a` and of type Utf8 in `b`"
        );
        assert!(of(DataType::Int64, DataType::UInt64).is_err());
        assert!(of(DataType::Date32, nanos(None)).is_err());
    }

    #[test]
    fn what_differs_is_told() {
        let merged = merged([
            (
                "a",
                schema(&[("x", DataType::Int64), ("k", DataType::Utf8)]),
            ),
            ("b", schema(&[("x", DataType::Float64)])),
        ])
        .unwrap();
        let told: Vec<String> = remarks_of(&merged)
            .iter()
            .map(|remark| remark.warning().to_string())
            .collect();
        assert_eq!(
            told,
            [
                "read: column `x`: read as float: it is of type Int64 in `a` and of type Float64 in `b` [column_widened]",
                "read: column `k`: NULL in the rows of 1 of 2 files, which have no such column: the first is `b` [column_missing]"
            ]
        );
    }
}
