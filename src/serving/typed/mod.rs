//! Rows and predictions of a user's own types.
//!
//! A row is serialized straight into the columns that the model's transform reads; from there on it goes the way of
//! every row.

mod cell;
mod column;
mod fault;
mod fields;
mod list;
mod row;
#[cfg(test)]
mod tests;

use std::cell::Cell as Scratch;

use serde::Serialize;
use serde::de::DeserializeOwned;

use self::column::{Column, Store};
use self::row::RowSerializer;
use super::Predictor;
use crate::error::{Error, Result};
use crate::model::{Paths, Place, Prediction, RawColumn, RawRows, Servable};

impl Predictor {
    /// Answers one row of a type of yours with a value of a type of yours.
    ///
    /// The row is a struct or a map. Its fields go to the columns of their names (serde's `rename` holds), those of
    /// nested structs by path: `a.b`. `Option` is NULL or a value, and so is a field that is not there; fields that
    /// the model does not know are left out. Numbers go to number columns (whole floats to whole numbers too, NaN as
    /// NULL), texts, characters and unit variants of enums to text columns, texts in ISO 8601 to dates and
    /// timestamps, sequences to lists. The types that an answer may have are those of [`Prediction::to_rows`].
    ///
    /// # Errors
    /// As [`Predictor::predict`]; [`ErrorKind::Data`](crate::ErrorKind::Data) too if a field of the row is of a type
    /// that its column is not, naming the field; [`ErrorKind::Config`](crate::ErrorKind::Config) if the prediction
    /// does not fit the type that is asked for.
    ///
    /// ```
    /// # use std::{collections::BTreeMap, path::Path, sync::Arc};
    /// # use fourfold::{blessing::*, model::*, ndarray::array, schema::*, serving::*, transform::{*, ops::*}};
    /// # fn predictor() -> fourfold::Result<Predictor> {
    /// # let inputs = vec![InputColumn::new("fare", FieldType::Float), InputColumn::new("city", FieldType::Text)];
    /// # let schema = Schema::new(inputs.iter().map(|input| Field::new(&input.name, input.field_type)));
    /// # let cities: Vec<String> = vec!["Rome".into(), "Oslo".into()];
    /// # let steps = vec![
    /// #     FittedStep::new("fare", "fare", ImputeNumber { value: 9.0 }),
    /// #     FittedStep::new("city", "city", Categories { values: cities.into() }),
    /// # ];
    /// # let transform = Arc::new(FittedTransform::new(inputs, steps)?);
    /// # let model = LinearModel::new(Link::Logistic, &array![[0.5, 1.0, 0.0, -2.0]], &array![-5.5])?;
    /// # let target = Target::classification("late", ["on_time", "late"])?;
    /// # let manifest = Manifest {
    /// #     format_version: Manifest::FORMAT_VERSION,
    /// #     name: "flights".into(),
    /// #     model_format: LinearModel::FORMAT.into(),
    /// #     target,
    /// #     label: None,
    /// #     details: BTreeMap::new(),
    /// # };
    /// # Ok(Predictor::new(1, Arc::new(Servable::new(manifest, &schema, transform, Arc::new(model))?)))
    /// # }
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Serialize)]
    /// struct Flight<'a> {
    ///     fare: Option<f64>,
    ///     city: &'a str,
    /// }
    ///
    /// #[derive(Debug, PartialEq, Deserialize)]
    /// struct Late {
    ///     class: String,
    ///     probability: f64,
    /// }
    ///
    /// let predictor = predictor()?;
    /// let late: Late = predictor.predict_row(&Flight { fare: None, city: "Rome" })?;
    /// assert_eq!(late, Late { class: "on_time".to_owned(), probability: 0.5 });
    ///
    /// // The parts alone are answers too.
    /// let flights = [Flight { fare: Some(20.0), city: "Oslo" }, Flight { fare: None, city: "Rome" }];
    /// let classes: Vec<String> = predictor.predict_rows(&flights)?;
    /// assert_eq!(classes, ["late", "on_time"]);
    /// # Ok::<(), fourfold::Error>(())
    /// ```
    pub fn predict_row<T, P>(&self, row: &T) -> Result<P>
    where
        T: Serialize + ?Sized,
        P: DeserializeOwned,
    {
        self.answer_rows(std::iter::once(row), 1)?.to_row(0)
    }

    /// As [`Predictor::predict_row`], of many rows at once, which costs less for each.
    ///
    /// # Errors
    /// As [`Predictor::predict_row`], naming the row too.
    pub fn predict_rows<T, P>(&self, rows: &[T]) -> Result<Vec<P>>
    where
        T: Serialize,
        P: DeserializeOwned,
    {
        self.answer_rows(rows.iter(), rows.len())?.to_rows()
    }

    fn answer_rows<'r, T: Serialize + ?Sized + 'r>(
        &self,
        rows: impl Iterator<Item = &'r T>,
        n_rows: usize,
    ) -> Result<Prediction> {
        let servable = self.servable();
        let mut columns = Columns::new(servable.raw_rows(), n_rows);
        for row in rows {
            columns.push(row)?;
        }
        columns.answer(servable)
    }
}

thread_local! {
    /// Room for the columns of a call, kept from one to the next.
    static SCRATCH: Scratch<Vec<Column>> = const { Scratch::new(Vec::new()) };
}

/// The columns of a model's raw rows while they are filled.
#[derive(Debug)]
struct Columns<'m> {
    raw: &'m [RawColumn],
    paths: &'m Paths,
    columns: Vec<Column>,
    store: Store,
    /// How many rows are complete.
    n_rows: usize,
}

impl<'m> Columns<'m> {
    fn new(raw_rows: &'m RawRows, n_rows: usize) -> Self {
        let raw = raw_rows.columns();
        let mut columns = SCRATCH.take();
        columns.clear();
        columns.extend(raw.iter().map(Column::new));
        Columns {
            raw,
            paths: raw_rows.paths(),
            columns,
            store: Store::new(raw.len(), n_rows),
            n_rows: 0,
        }
    }

    fn push<T: Serialize + ?Sized>(&mut self, row: &T) -> Result<()> {
        row.serialize(RowSerializer { columns: self })
            .map_err(|fault| fault.in_row(self.n_rows))?;
        for column in &mut self.columns {
            column.end_row(self.n_rows);
        }
        self.n_rows += 1;
        Ok(())
    }

    /// The column of a place, if the row has not been there yet; with what it is filled in.
    #[inline]
    fn column(
        &mut self,
        place: Place,
        in_list: bool,
    ) -> Result<Option<(usize, &'m RawColumn, &mut Column, &mut Store)>> {
        let Some(at) = place.column else {
            return Ok(None);
        };
        let (Some(raw), Some(column)) = (self.raw.get(at), self.columns.get_mut(at)) else {
            return Ok(None);
        };
        if column.n_rows() != self.n_rows && !in_list {
            return Err(Error::data(format!(
                "field `{}` is in row {} twice",
                raw.input().name,
                self.n_rows
            )));
        }
        Ok(Some((at, raw, column, &mut self.store)))
    }

    fn answer(self, servable: &Servable) -> Result<Prediction> {
        let Columns {
            mut columns,
            store,
            n_rows,
            ..
        } = self;
        let filled = store.finish();
        let arrays = columns.drain(..).enumerate();
        let arrays = arrays.map(|(at, column)| column.finish(at, &filled));
        let prediction = servable.predict_columns(arrays, n_rows);
        SCRATCH.set(columns);
        prediction
    }
}
