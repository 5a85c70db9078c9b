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
use std::fmt;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use self::column::{Column, Store};
use self::row::RowSerializer;
use super::Predictor;
use crate::error::{Error, Result, near_names, shortened};
use crate::model::{Paths, Place, Prediction, RawColumn, RawRows, Servable};

/// The fields that a row may have, and the required ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// Those of the model, all of them.
    All,
    /// Those of the model; missing fields are NULL, as over HTTP.
    Known,
    /// Any; fields that the model does not know are left out.
    Any,
}

/// A [`Predictor`] for rows of one type of yours and answers of another, which are known to fit the model: see
/// [`Predictor::typed`].
pub struct Typed<In: ?Sized, Out> {
    predictor: Predictor,
    rule: Rule,
    types: PhantomData<fn(&In) -> Out>,
}

impl<In: Serialize + ?Sized, Out: DeserializeOwned> Typed<In, Out> {
    /// Rows may have fields that the model does not know, and lack some that it does, which are NULL then.
    #[must_use]
    pub fn lenient(mut self) -> Self {
        self.rule = Rule::Any;
        self
    }

    /// Answers a row.
    ///
    /// # Errors
    /// As [`Predictor::predict_row`]; [`ErrorKind::Data`](crate::ErrorKind::Data) too if the row lacks a field that the
    /// model takes, unless it may.
    pub fn predict(&self, row: &In) -> Result<Out> {
        let rows = std::iter::once(row);
        self.predictor.answer_rows(rows, 1, self.rule)?.to_row(0)
    }

    /// Answers many rows at once, which costs less for each.
    ///
    /// # Errors
    /// As [`Typed::predict`], naming the row.
    pub fn predict_all(&self, rows: &[In]) -> Result<Vec<Out>>
    where
        In: Sized,
    {
        let answers = self
            .predictor
            .answer_rows(rows.iter(), rows.len(), self.rule)?;
        answers.to_rows()
    }

    /// The version that answers.
    #[must_use]
    pub fn predictor(&self) -> &Predictor {
        &self.predictor
    }
}

impl<In: ?Sized, Out> Clone for Typed<In, Out> {
    fn clone(&self) -> Self {
        Typed {
            predictor: self.predictor.clone(),
            rule: self.rule,
            types: PhantomData,
        }
    }
}

impl<In: ?Sized, Out> fmt::Debug for Typed<In, Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Typed")
            .field("predictor", &self.predictor)
            .field("rule", &self.rule)
            .finish_non_exhaustive()
    }
}

impl Predictor {
    /// Answers one row of a type of yours with a value of a type of yours.
    ///
    /// The row is a struct or a map. Its fields go to the columns of their names (serde's `rename` holds), those of
    /// nested structs by path: `a.b`. `Option` is NULL or a value, and a field that is not there is NULL; a field that
    /// the model does not know is an error with the near name, as over HTTP. For a struct that must have every field of the
    /// model, and an answer that is checked before the first row, there is [`Predictor::typed`]. Numbers go to number columns (whole floats to whole numbers too, NaN as
    /// NULL), texts, characters and unit variants of enums to text columns, texts in ISO 8601 to dates and
    /// timestamps, sequences to lists. The types that an answer may have are those of [`Prediction::to_rows`].
    ///
    /// # Errors
    /// As [`Predictor::predict`]; [`ErrorKind::Data`](crate::ErrorKind::Data) too if the model has no field of a name, or a
    /// field of the row is of a type that its column is not, naming the field; [`ErrorKind::Config`](crate::ErrorKind::Config) if the prediction
    /// does not fit the requested type.
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
        let rows = std::iter::once(row);
        self.answer_rows(rows, 1, Rule::Known)?.to_row(0)
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
        let answers = self.answer_rows(rows.iter(), rows.len(), Rule::Known)?;
        answers.to_rows()
    }

    /// The same version for rows of one type and answers of another. `Out` is checked here, against every class that an
    /// answer may name; the fields of `In` are checked as rows come, which costs nothing: one that the model does not know
    /// and one that it takes and the row lacks are errors, so that a field that is misspelt or was renamed is never silently
    /// NULL. `#[serde(skip)]` leaves a field of yours out; [`Typed::lenient`] lets all of that pass.
    ///
    /// ```
    /// # fn of(predictor: &fourfold::serving::Predictor) -> fourfold::Result<()> {
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Serialize)]
    /// struct Flight<'a> {
    ///     distance: Option<f64>,
    ///     carrier: &'a str,
    /// }
    ///
    /// #[derive(Deserialize)]
    /// struct Late {
    ///     probability: f64,
    /// }
    ///
    /// let flights = predictor.typed::<Flight<'_>, Late>()?;
    /// let late = flights.predict(&Flight { distance: None, carrier: "UA" })?;
    /// println!("late with a probability of {:.2}", late.probability);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if an answer of this model does not fit `Out`: a field of another
    /// name, a class that the type does not know.
    pub fn typed<In, Out>(&self) -> Result<Typed<In, Out>>
    where
        In: Serialize + ?Sized,
        Out: DeserializeOwned,
    {
        let servable = self.servable();
        servable.target().check_answer::<Out>(servable.extras())?;
        Ok(Typed {
            predictor: self.clone(),
            rule: Rule::All,
            types: PhantomData,
        })
    }

    fn answer_rows<'r, T: Serialize + ?Sized + 'r>(
        &self,
        rows: impl Iterator<Item = &'r T>,
        n_rows: usize,
        rule: Rule,
    ) -> Result<Prediction> {
        let servable = self.servable();
        let mut columns = Columns::new(servable.raw_rows(), n_rows, rule);
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
    /// The number of complete rows.
    n_rows: usize,
    rule: Rule,
    /// True if a struct of the row being filled is NULL, and its fields are absent.
    has_null_struct: bool,
}

impl<'m> Columns<'m> {
    fn new(raw_rows: &'m RawRows, n_rows: usize, rule: Rule) -> Self {
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
            rule,
            has_null_struct: false,
        }
    }

    fn push<T: Serialize + ?Sized>(&mut self, row: &T) -> Result<()> {
        row.serialize(RowSerializer { columns: self })
            .map_err(|fault| fault.in_row(self.n_rows))?;
        let mut missing = None;
        for (at, column) in self.columns.iter_mut().enumerate() {
            if !column.end_row(self.n_rows) {
                missing.get_or_insert(at);
            }
        }
        if let Some(raw) = missing.and_then(|at| self.raw.get(at))
            && self.rule == Rule::All
            && !self.has_null_struct
        {
            return Err(Error::data(format!(
                "row {} has no field `{}`, which the model requires; use an `Option` for values that may be missing",
                self.n_rows,
                raw.input().name
            )));
        }
        self.has_null_struct = false;
        self.n_rows += 1;
        Ok(())
    }

    /// Reports a field that the model does not know, in a row or a struct in it, unless it is allowed.
    #[cold]
    fn unknown(&self, node: Option<usize>, name: &str) -> Result<()> {
        let Some(node) = node.filter(|_| self.rule != Rule::Any) else {
            return Ok(());
        };
        Err(Error::data(format!(
            "field `{}` is in row {}, and the model has no input of this name{}",
            shortened(name),
            self.n_rows,
            near_names(name, self.paths.names(node))
        )))
    }

    /// The column of a place, and the store; an error if the row has filled the column already.
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
                "duplicate field `{}` in row {}",
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
