//! Rows that are structs of an application's own, as batches.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchReader};
use arrow::datatypes::{Field, FieldRef, Schema as ArrowSchema, SchemaRef};
use arrow::error::ArrowError;
use serde::Serialize;

use super::ReaderSource;
use super::source::check_names;
use crate::error::{Error, Result, near_names};
use crate::schema::FieldType;

/// The number of rows of a batch.
const AT_ONCE: usize = 8_192;

impl ReaderSource {
    /// Rows as structs, one after the other: from a database's cursor, a client's pages, a file of your own. `open` begins
    /// anew for each reading; only some thousand rows are held at once. A field goes to the column of its name (serde's
    /// `rename` holds), and fields and columns must be the same ones. An `Option` that is `None` is NULL. Times are texts in
    /// ISO 8601 (`2013-01-31`, `2013-01-31T05:00:00Z`), as the types of date libraries are written, or whole numbers: days
    /// and microseconds since 1970.
    ///
    /// ```
    /// use fourfold::data::ReaderSource;
    /// use fourfold::schema::FieldType;
    /// use serde::Serialize;
    ///
    /// #[derive(Serialize)]
    /// struct Parcel {
    ///     kilograms: Option<f64>,
    ///     sent: String,
    ///     late: bool,
    /// }
    ///
    /// let columns = [("kilograms", FieldType::Float), ("sent", FieldType::Timestamp), ("late", FieldType::Boolean)];
    /// let source = ReaderSource::from_rows("parcels", columns, || {
    ///     // A query, say; a row that cannot be read is an `Err`, which ends the run.
    ///     let rows = (0..1_000).map(|i| Ok(Parcel {
    ///         kilograms: (i % 7 != 0).then_some(f64::from(i)),
    ///         sent: format!("2013-01-31T{:02}:00:00Z", i % 24),
    ///         late: i % 3 == 0,
    ///     }));
    ///     Ok(rows)
    /// })
    /// // The highest number or the time of the last change, say: while it is the same, nothing is read again.
    /// .with_snapshot(|| Ok(Some("1000 parcels".to_owned())));
    /// # let _ = source;
    /// ```
    #[must_use]
    pub fn from_rows<C, T, R>(
        name: impl Into<String>,
        columns: impl IntoIterator<Item = (C, FieldType)>,
        open: impl Fn() -> Result<R> + Send + Sync + 'static,
    ) -> Self
    where
        C: Into<String>,
        T: Serialize + 'static,
        R: IntoIterator<Item = Result<T>>,
        R::IntoIter: Send + 'static,
    {
        let columns = columns.into_iter().map(|(name, of)| (name.into(), of));
        let columns: Vec<(String, FieldType)> = columns.collect();
        let name = name.into();
        let named = name.clone();
        ReaderSource::new(name, move || {
            let fields = fields(&columns)?;
            Ok(Rows {
                name: named.clone(),
                schema: Arc::new(ArrowSchema::new(fields.clone())),
                fields,
                rows: open()?.into_iter(),
                n_read: 0,
            })
        })
    }
}

fn fields(columns: &[(String, FieldType)]) -> Result<Vec<FieldRef>> {
    if columns.is_empty() {
        return Err(Error::config("there are no columns, there must be one"));
    }
    check_names(columns.iter().map(|(name, _)| name.as_str()))?;
    let fields = columns.iter().map(|(name, field_type)| {
        let data_type = field_type.data_type().ok_or_else(|| {
            Error::config(format!(
                "column `{name}` is of type {field_type}, must be boolean, integer, float, text, date or timestamp"
            ))
        })?;
        Ok(Arc::new(Field::new(name, data_type, true)))
    });
    fields.collect()
}

/// Structs on their way to batches.
struct Rows<I> {
    name: String,
    schema: SchemaRef,
    fields: Vec<FieldRef>,
    rows: I,
    n_read: usize,
}

impl<T: Serialize, I: Iterator<Item = Result<T>>> Rows<I> {
    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        let rows: Vec<T> = self.rows.by_ref().take(AT_ONCE).collect::<Result<_>>()?;
        let Some(first) = rows.first() else {
            return Ok(None);
        };
        if self.n_read == 0 {
            self.check(first)?;
        }
        let batch = serde_arrow::to_record_batch(&self.fields, &rows).map_err(|error| {
            let reason = error.to_string();
            let reason = reason.lines().next().unwrap_or_default();
            Error::data(format!(
                "rows {} to {} of `{}` do not fit the columns: {reason}",
                self.n_read,
                self.n_read + rows.len() - 1,
                self.name
            ))
            .with_source(error)
        })?;
        self.n_read += rows.len();
        Ok(Some(batch))
    }

    /// Checks that the fields of the rows are the columns: others would silently be lost or NULL.
    fn check(&self, first: &T) -> Result<()> {
        let row = serde_json::to_value(first).map_err(|error| {
            Error::data(format!("row 0 of `{}` cannot be serialized", self.name)).with_source(error)
        })?;
        let Some(row) = row.as_object() else {
            return Err(Error::data(format!(
                "the rows of `{}` are no structs or maps",
                self.name
            )));
        };
        let columns: BTreeSet<&str> = self
            .fields
            .iter()
            .map(|field| field.name().as_str())
            .collect();
        if let Some(field) = row.keys().find(|name| !columns.contains(name.as_str())) {
            return Err(Error::data(format!(
                "the rows of `{}` have a field `{field}`, which is none of the columns{}",
                self.name,
                near_names(field, columns.iter().copied())
            )));
        }
        match columns.into_iter().find(|name| !row.contains_key(*name)) {
            Some(column) => Err(Error::data(format!(
                "the rows of `{}` have no field for column `{column}`{}",
                self.name,
                near_names(column, row.keys().map(String::as_str))
            ))),
            None => Ok(()),
        }
    }
}

impl<T: Serialize, I: Iterator<Item = Result<T>>> Iterator for Rows<I> {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.next_batch().transpose()?;
        Some(batch.map_err(|error| ArrowError::ExternalError(Box::new(error))))
    }
}

impl<T: Serialize, I: Iterator<Item = Result<T>>> RecordBatchReader for Rows<I> {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}
