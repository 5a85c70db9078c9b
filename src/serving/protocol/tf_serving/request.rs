//! Requests by rows and by columns.

use std::borrow::Cow;

use arrow::array::RecordBatch;

use super::{Format, PredictMethod, value};
use crate::error::{Error, Result, shortened};
use crate::serving::protocol::MAX_ROWS;
use crate::serving::protocol::column::{Column, Element, Layout};
use crate::serving::protocol::json::{Next, Reader};
use crate::serving::protocol::plan::{Plan, Rows};

/// The name of the one signature.
pub(super) const SIGNATURE: &str = "serving_default";

/// The most bytes that values which rows leave out may come to, be they NULL or of `context`: a small request must not
/// become a large one.
const MAX_LEFT_OUT: usize = 128 << 20;

/// The least bytes that a value takes in its column, however short it was in the request.
const CELL: usize = 8;

fn in_request(error: &Error) -> Error {
    Error::new(
        error.kind(),
        format!("the request is not valid: {}", error.message()),
    )
}

/// Reads a request for a model.
pub(super) fn read(
    plan: &Plan,
    body: &[u8],
    method: PredictMethod,
) -> Result<(RecordBatch, Format)> {
    let reader = Reader::new(body).map_err(|error| in_request(&error))?;
    let (places, format) = find(reader.lenient(), method)?;
    let mut columns = Columns::new(plan);
    match format {
        Format::Rows => {
            if let Some(context) = places.context {
                columns.read_context(context)?;
            }
            columns.read_rows(places.data, places.key, method)?;
        }
        Format::Columns => columns.read_columns(places.data)?,
    }
    Ok((columns.finish(places.key)?, format))
}

/// The places of the parts of a request.
struct Places<'a> {
    data: Reader<'a>,
    /// The key that the data stand under.
    key: &'static str,
    context: Option<Reader<'a>>,
}

/// Finds the parts of a request. Unknown keys are ignored.
fn find(mut reader: Reader<'_>, method: PredictMethod) -> Result<(Places<'_>, Format)> {
    let (mut rows, mut columns, mut context) = (None, None, None);
    let rows_key = match method {
        PredictMethod::Predict => "instances",
        PredictMethod::Classify | PredictMethod::Regress => "examples",
    };
    let mut read = || {
        let mut is_first = true;
        reader.begin_object()?;
        while let Some(key) = reader.key(&mut is_first)? {
            if key == "signature_name" {
                check_signature(&mut reader)?;
                continue;
            }
            reader.next()?;
            let place = match (&*key, method) {
                (key, _) if key == rows_key => &mut rows,
                ("inputs", PredictMethod::Predict) => &mut columns,
                ("context", PredictMethod::Classify | PredictMethod::Regress) => &mut context,
                _ => {
                    reader.skip()?;
                    continue;
                }
            };
            if place.replace(reader).is_some() {
                return Err(Error::data(format!("duplicate `{key}`")));
            }
            reader.skip()?;
        }
        reader.end()
    };
    read().map_err(|error| in_request(&error))?;
    let (data, key, format) = match (rows, columns, method) {
        (Some(rows), None, _) => (rows, rows_key, Format::Rows),
        (None, Some(columns), _) => (columns, "inputs", Format::Columns),
        (Some(_), Some(_), _) => {
            return Err(Error::data(
                "the request is not valid: it has both `instances` and `inputs`, must have one of them",
            ));
        }
        (None, None, PredictMethod::Predict) => {
            return Err(Error::data(
                "the request is not valid: it has neither `instances` nor `inputs`, must have one of them",
            ));
        }
        (None, None, _) => {
            return Err(Error::data(
                "the request is not valid: `examples` is missing",
            ));
        }
    };
    Ok((Places { data, key, context }, format))
}

fn check_signature(reader: &mut Reader<'_>) -> Result<()> {
    let mut text = Cow::Borrowed("");
    if reader.next()? == Next::Scalar {
        match reader.scalar(&mut text)? {
            Element::Null | Element::Text("" | SIGNATURE) => return Ok(()),
            Element::Text(name) => {
                return Err(Error::data(format!(
                    "unknown signature `{}`, must be `{SIGNATURE}`",
                    shortened(name)
                )));
            }
            _ => {}
        }
    }
    Err(Error::data("`signature_name` must be a string"))
}

/// The columns while rows come.
struct Columns<'a, 'p> {
    plan: &'p Plan,
    columns: Vec<Option<Column>>,
    /// The columns in the order they arrived, which tends to be that of the next row.
    order: Vec<usize>,
    /// The value for columns that a row leaves out.
    context: Vec<Repeated<'a>>,
    /// The bytes so far of values that rows left out.
    left_out: usize,
    n_rows: usize,
    text: Cow<'a, str>,
}

/// A value of `context`.
#[derive(Clone, Copy)]
struct Repeated<'a> {
    place: usize,
    reader: Reader<'a>,
    /// The most bytes that it takes in its column.
    n_bytes: usize,
}

impl<'a, 'p> Columns<'a, 'p> {
    fn new(plan: &'p Plan) -> Self {
        Columns {
            plan,
            columns: plan.inputs().iter().map(|_| None).collect(),
            order: Vec::with_capacity(plan.inputs().len()),
            context: Vec::new(),
            left_out: 0,
            n_rows: 0,
            text: Cow::Borrowed(""),
        }
    }

    /// The place of the input of a name, the `nth` of its row.
    fn place(&self, name: &str, nth: usize) -> Result<usize> {
        let hint = self.order.get(nth).copied().unwrap_or(nth);
        self.plan.find(name, hint)
    }

    /// Counts values that rows have left out.
    fn leave_out(&mut self, n_bytes: usize) -> Result<()> {
        self.left_out = self.left_out.saturating_add(n_bytes);
        if self.left_out > MAX_LEFT_OUT {
            return Err(Error::data(format!(
                "the values that rows leave out come to more than {MAX_LEFT_OUT} bytes with NULL and `context` in \
                 their place: send fewer rows at once"
            )));
        }
        Ok(())
    }

    /// Makes the rows of a column that have left it out NULL.
    fn fill_with_null(&mut self, place: usize) -> Result<()> {
        let there = self.columns[place].as_ref().map_or(0, Column::n_rows);
        let n = self.n_rows.saturating_sub(there);
        if n > 0 {
            self.leave_out(n.saturating_mul(CELL))?;
            if let Some(column) = &mut self.columns[place] {
                column.fill_with_null(n)?;
            }
        }
        Ok(())
    }

    /// Adds the next value to a column.
    fn push(&mut self, place: usize, reader: &mut Reader<'a>) -> Result<()> {
        let input = &self.plan.inputs()[place];
        let row = self.n_rows;
        if self.columns[place].is_none() {
            self.order.push(place);
            let layout = Layout::to_come(input);
            self.columns[place] = Some(Column::new(input, input.datatype(), layout, 1));
        }
        self.fill_with_null(place)?;
        let Some(column) = &mut self.columns[place] else {
            return Err(Error::internal("a column disappeared while it was filled"));
        };
        let pushed = match column.n_rows() > row {
            true => Err(Error::data("duplicate value")),
            false => value::push(column, input, reader, &mut self.text),
        };
        pushed.map_err(|error| {
            Error::new(
                error.kind(),
                format!("input `{}`, row {row}: {}", input.name(), error.message()),
            )
        })
    }

    /// Reads the object of values that rows may leave out.
    fn read_context(&mut self, mut reader: Reader<'a>) -> Result<()> {
        if reader.next()? != Next::Object {
            return Err(Error::data("`context` must be an object"));
        }
        let mut is_first = true;
        reader.begin_object()?;
        while let Some(name) = reader.key(&mut is_first)? {
            let place = self.place(&name, self.context.len())?;
            if self.context.iter().any(|other| other.place == place) {
                return Err(Error::data(format!("duplicate `{name}` in `context`")));
            }
            let start = reader;
            reader.skip()?;
            let n_bytes = start.left() - reader.left();
            self.context.push(Repeated {
                place,
                reader: start,
                // An item of a list is two bytes or more in the request: a digit and a comma.
                n_bytes: match self.plan.inputs()[place].is_list() {
                    true => n_bytes.saturating_mul(CELL / 2),
                    false => n_bytes.max(CELL),
                },
            });
        }
        Ok(())
    }

    /// Reads a list of rows: objects, or bare values for the only input.
    fn read_rows(
        &mut self,
        mut reader: Reader<'a>,
        key: &str,
        method: PredictMethod,
    ) -> Result<()> {
        if reader.next()? != Next::Array {
            return Err(Error::data(format!("`{key}` must be a list")));
        }
        let takes_bare = self.plan.inputs().len() == 1 && method == PredictMethod::Predict;
        let mut is_first = true;
        reader.begin_array()?;
        while reader.element(&mut is_first)? {
            self.check_room()?;
            let is_object = reader.next()? == Next::Object;
            if takes_bare && (!is_object || value::is_base64(reader)) {
                self.push(0, &mut reader)?;
            } else if is_object {
                self.read_row(&mut reader)?;
            } else {
                return Err(Error::data(format!(
                    "row {} of `{key}` must be an object with the inputs of the model by name",
                    self.n_rows
                )));
            }
            self.n_rows += 1;
        }
        Ok(())
    }

    fn check_room(&self) -> Result<()> {
        if self.n_rows == MAX_ROWS {
            return Err(Error::data(format!(
                "more than {MAX_ROWS} rows, a request has at most {MAX_ROWS}"
            )));
        }
        Ok(())
    }

    fn read_row(&mut self, reader: &mut Reader<'a>) -> Result<()> {
        let (mut nth, mut is_first) = (0, true);
        reader.begin_object()?;
        while let Some(name) = reader.key(&mut is_first)? {
            let place = self.place(&name, nth).map_err(|error| {
                Error::data(format!("row {}: {}", self.n_rows, error.message()))
            })?;
            self.push(place, reader)?;
            nth += 1;
        }
        for index in 0..self.context.len() {
            let mut value = self.context[index];
            let column = self.columns[value.place].as_ref();
            if column.is_none_or(|column| column.n_rows() <= self.n_rows) {
                self.leave_out(value.n_bytes)?;
                self.push(value.place, &mut value.reader)?;
            }
        }
        Ok(())
    }

    /// Reads an object of columns, or a bare list for the only input.
    fn read_columns(&mut self, mut reader: Reader<'a>) -> Result<()> {
        let kind = reader.next()?;
        if kind == Next::Array && self.plan.inputs().len() == 1 {
            return self.read_column(0, &mut reader);
        }
        if kind != Next::Object {
            return Err(Error::data(
                "`inputs` must be an object with the inputs of the model by name, or a list for a model with one input",
            ));
        }
        let (mut n_rows, mut first, mut is_first) = (None, 0, true);
        reader.begin_object()?;
        let mut nth = 0;
        while let Some(name) = reader.key(&mut is_first)? {
            let place = self.place(&name, nth)?;
            let input = &self.plan.inputs()[place];
            if self.columns[place].is_some() {
                return Err(Error::data(format!("duplicate input `{}`", input.name())));
            }
            self.n_rows = 0;
            self.read_column(place, &mut reader)?;
            match n_rows {
                None => (n_rows, first) = (Some(self.n_rows), place),
                Some(n_rows) if n_rows == self.n_rows => {}
                Some(n_rows) => {
                    return Err(Error::data(format!(
                        "input `{}` has {} rows, input `{}` has {n_rows}",
                        input.name(),
                        self.n_rows,
                        self.plan.inputs()[first].name()
                    )));
                }
            }
            nth += 1;
        }
        Ok(())
    }

    fn read_column(&mut self, place: usize, reader: &mut Reader<'a>) -> Result<()> {
        if reader.next()? != Next::Array {
            return Err(Error::data(format!(
                "input `{}` must be a list of values",
                self.plan.inputs()[place].name()
            )));
        }
        let mut is_first = true;
        reader.begin_array()?;
        while reader.element(&mut is_first)? {
            self.check_room()?;
            self.push(place, reader)?;
            self.n_rows += 1;
        }
        if self.columns[place].is_none() {
            let input = &self.plan.inputs()[place];
            let layout = Layout::to_come(input);
            self.columns[place] = Some(Column::new(input, input.datatype(), layout, 0));
            self.order.push(place);
        }
        Ok(())
    }

    fn finish(mut self, key: &str) -> Result<RecordBatch> {
        let mut rows = Rows::new(self.plan);
        for place in std::mem::take(&mut self.order) {
            self.fill_with_null(place)?;
            if let Some(column) = self.columns[place].take() {
                rows.push(place, column.finish_here()?)?;
            }
        }
        match rows.finish()? {
            Some(rows) => Ok(rows),
            None => Err(Error::data(format!("`{key}` has no values"))),
        }
    }
}
