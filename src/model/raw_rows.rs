//! Conversion of the rows of a request into the columns that a transform reads.

use std::collections::HashMap;

use arrow::array::{ArrayRef, RecordBatch};

use super::Paths;
use crate::error::Result;
use crate::schema::{Conformer, Field, FieldType, Schema};
use crate::transform::{FittedTransform, InputColumn};

/// The columns of requests, one for each input of the transform, with what conforming to the schema needs: worked out
/// once, when a model is put together.
#[derive(Clone, Debug)]
pub(crate) struct RawRows {
    columns: Vec<RawColumn>,
    paths: Paths,
}

/// A column of a request.
#[derive(Clone, Debug)]
pub(crate) struct RawColumn {
    input: InputColumn,
    /// None of lists that the schema only knows as [`Other`](crate::schema::FieldType::Other): they have no type to
    /// conform to, and the transform checks their types itself.
    conformer: Option<Conformer<Field>>,
}

impl RawColumn {
    /// The column that the transform reads.
    pub(crate) fn input(&self) -> &InputColumn {
        &self.input
    }

    /// The type of its values, or of its lists' items.
    pub(crate) fn field_type(&self) -> FieldType {
        self.field()
            .map_or(self.input.field_type, |field| field.field_type)
    }

    /// Returns true if each row has a list of values.
    pub(crate) fn is_list(&self) -> bool {
        self.field()
            .map_or(self.input.is_list, |field| field.list.is_some())
    }

    /// The field, if it has a type.
    pub(crate) fn field(&self) -> Option<&Field> {
        self.conformer.as_ref().map(Conformer::field)
    }
}

impl RawRows {
    pub(super) fn new(schema: &Schema, transform: &FittedTransform) -> Result<Self> {
        let fields: HashMap<&str, &Field> = (schema.fields.iter())
            .map(|field| (field.name.as_str(), field))
            .collect();
        let columns = transform.inputs().iter().map(|input| {
            let field = match fields.get(input.name.as_str()) {
                Some(field) => *field,
                None => schema.field(&input.name)?,
            };
            Ok(RawColumn {
                conformer: Conformer::new(field.clone()),
                input: input.clone(),
            })
        });
        let columns = columns.collect::<Result<Vec<RawColumn>>>()?;
        let places: HashMap<&str, usize> = (columns.iter().zip(0..))
            .map(|(column, place)| (column.input.name.as_str(), place))
            .collect();
        // The schema has the order of the data.
        let names = schema.fields.iter().map(|field| field.name.as_str());
        let paths = Paths::new(names.filter_map(|name| Some((name, *places.get(name)?))));
        Ok(RawRows { columns, paths })
    }

    /// The columns in the order of the transform's inputs.
    pub(crate) fn columns(&self) -> &[RawColumn] {
        &self.columns
    }

    /// The columns of the fields of a row.
    pub(crate) fn paths(&self) -> &Paths {
        &self.paths
    }

    /// The columns of a batch, conforming.
    pub(super) fn of_batch(
        &self,
        rows: &RecordBatch,
    ) -> impl ExactSizeIterator<Item = Result<ArrayRef>> {
        let mut next = 0;
        let columns = self.columns.iter();
        columns.map(move |column| match &column.conformer {
            Some(conformer) => conformer.column_of(rows, &mut next),
            None => column.input.read(rows, &mut next),
        })
    }

    /// Columns that come in the order of the transform's inputs, conforming.
    pub(super) fn conform(
        &self,
        columns: impl ExactSizeIterator<Item = Result<ArrayRef>>,
    ) -> impl ExactSizeIterator<Item = Result<ArrayRef>> {
        let columns = self.columns.iter().zip(columns);
        columns.map(|(column, values)| match &column.conformer {
            Some(conformer) => conformer.conform(values?),
            None => values,
        })
    }
}
