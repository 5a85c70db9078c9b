//! The inputs and outputs of a version for the protocols, worked out once.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field as ArrowField, Schema as ArrowSchema, SchemaRef};

use super::MAX_ROWS;
use super::datatype::Datatype;
use super::output::{Output, outputs_of};
use crate::error::{Error, Result, near_names, shortened};
use crate::model::{Servable, Target};
use crate::schema::{Field, FieldType};

/// The inputs and outputs of a version of a model.
#[derive(Debug)]
pub(crate) struct Plan {
    inputs: Vec<Input>,
    /// The place of each input.
    places: HashMap<String, usize>,
    outputs: Vec<Output>,
    /// The columns of the last request, as clients tend to send the same ones again.
    last: ArcSwapOption<LastColumns>,
}

#[derive(Debug)]
struct LastColumns {
    places: Vec<usize>,
    schema: SchemaRef,
}

/// A column that a model takes.
#[derive(Debug)]
pub(crate) struct Input {
    name: String,
    field_type: FieldType,
    is_list: bool,
    is_required: bool,
    datatype: Datatype,
}

impl Input {
    /// None for a field that cannot be sent. `items` are those of a list that the schema does not know the type of.
    fn of(field: &Field, items: Option<FieldType>) -> Option<Self> {
        let field_type = items.unwrap_or(field.field_type);
        let is_list = items.is_some() || field.list.is_some();
        // A list of times has no form: strings are read as times only as fields of their own.
        if is_list && matches!(field_type, FieldType::Date | FieldType::Timestamp) {
            return None;
        }
        Some(Input {
            name: field.name.clone(),
            field_type,
            is_list,
            is_required: field.is_required(),
            datatype: Datatype::of(field_type)?,
        })
    }

    /// A column of one value a row.
    #[cfg(test)]
    pub(super) fn scalar(name: &str, field_type: FieldType) -> Self {
        Input::of(&Field::new(name, field_type), None).unwrap()
    }

    /// A column of lists.
    #[cfg(test)]
    pub(super) fn list(name: &str, items: FieldType) -> Self {
        Input::of(&Field::new(name, FieldType::Other), Some(items)).unwrap()
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The type of its values; of a list, of the items.
    pub(crate) fn field_type(&self) -> FieldType {
        self.field_type
    }

    /// Returns `true` if each row has a list of values.
    pub(crate) fn is_list(&self) -> bool {
        self.is_list
    }

    /// Returns `true` if NULL is refused.
    pub(crate) fn is_required(&self) -> bool {
        self.is_required
    }

    /// The datatype that it is described with.
    pub(crate) fn datatype(&self) -> Datatype {
        self.datatype
    }

    /// The shape that it is described with; -1 is any number.
    pub(crate) fn shape(&self) -> &'static [i64] {
        if self.is_list { &[-1, -1] } else { &[-1] }
    }

    pub(super) fn type_text(&self) -> String {
        match self.is_list {
            true => format!("list of {}", self.field_type),
            false => self.field_type.to_string(),
        }
    }

    /// An error about it.
    pub(super) fn named(&self, error: &Error) -> Error {
        Error::new(
            error.kind(),
            format!("input `{}`: {}", self.name, error.message()),
        )
    }
}

impl Plan {
    /// The plan of a servable, which keeps it.
    pub(crate) fn of(servable: &Servable) -> Arc<Plan> {
        servable.derived(Plan::new)
    }

    fn new(servable: &Servable) -> Self {
        let lists = servable.transform().inputs().iter();
        let lists: HashMap<&str, FieldType> = lists
            .filter(|input| input.is_list)
            .map(|input| (input.name.as_str(), input.field_type))
            .collect();
        let inputs: Vec<Input> = servable
            .schema()
            .fields
            .iter()
            .filter_map(|field| Input::of(field, lists.get(field.name.as_str()).copied()))
            .collect();
        Plan::with(inputs, servable.target(), servable.extras())
    }

    fn with(inputs: Vec<Input>, target: &Target, extras: &[String]) -> Self {
        let places = inputs.iter().enumerate();
        Plan {
            places: places
                .map(|(place, input)| (input.name.clone(), place))
                .collect(),
            inputs,
            outputs: outputs_of(target, extras),
            last: ArcSwapOption::empty(),
        }
    }

    #[cfg(test)]
    pub(super) fn for_tests(inputs: impl IntoIterator<Item = Input>) -> Self {
        let inputs: Vec<Input> = inputs.into_iter().collect();
        let target = Target::regression("y");
        Plan::with(inputs, &target, &[])
    }

    /// The inputs of the model.
    pub(crate) fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// The outputs of the model.
    pub(crate) fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// The place of the input of a name, with `hint` tried first.
    pub(super) fn find(&self, name: &str, hint: usize) -> Result<usize> {
        if self
            .inputs
            .get(hint)
            .is_some_and(|input| input.name == name)
        {
            return Ok(hint);
        }
        self.places.get(name).copied().ok_or_else(|| {
            let name = shortened(name);
            let names = self.inputs.iter().map(|input| input.name.as_str());
            Error::data(format!(
                "the model has no input `{name}`{}",
                near_names(&name, names)
            ))
        })
    }
}

/// The columns of a request, in the order they were sent.
#[derive(Debug)]
pub(super) struct Rows<'p> {
    plan: &'p Plan,
    columns: Vec<(usize, ArrayRef)>,
    seen: Vec<bool>,
}

impl<'p> Rows<'p> {
    pub(super) fn new(plan: &'p Plan) -> Self {
        Rows {
            plan,
            columns: Vec::with_capacity(plan.inputs.len()),
            seen: vec![false; plan.inputs.len()],
        }
    }

    /// The place of the next column, whose name has not been there.
    pub(super) fn next(&mut self, name: &str) -> Result<usize> {
        let place = self.plan.find(name, self.columns.len())?;
        if std::mem::replace(&mut self.seen[place], true) {
            return Err(Error::data(format!(
                "duplicate input `{}`",
                self.plan.inputs[place].name
            )));
        }
        Ok(place)
    }

    /// Checks that a column has as many rows as the others.
    pub(super) fn check_n_rows(&self, place: usize, n_rows: usize) -> Result<()> {
        match self.columns.first() {
            Some((first, column)) if column.len() != n_rows => Err(Error::data(format!(
                "input `{}` has {n_rows} rows, input `{}` has {}",
                self.plan.inputs[place].name,
                self.plan.inputs[*first].name,
                column.len()
            ))),
            _ if n_rows > MAX_ROWS => Err(Error::data(format!(
                "input `{}`: {n_rows} rows, a request has at most {MAX_ROWS}",
                self.plan.inputs[place].name,
            ))),
            _ => Ok(()),
        }
    }

    /// Adds a column.
    pub(super) fn push(&mut self, place: usize, column: ArrayRef) -> Result<()> {
        self.check_n_rows(place, column.len())?;
        self.columns.push((place, column));
        Ok(())
    }

    /// The batch; `None` without a column.
    pub(super) fn finish(self) -> Result<Option<RecordBatch>> {
        let Some((_, first)) = self.columns.first() else {
            return Ok(None);
        };
        let options = RecordBatchOptions::new().with_row_count(Some(first.len()));
        let schema = self.schema();
        let columns = self.columns.into_iter().map(|(_, column)| column).collect();
        Ok(Some(RecordBatch::try_new_with_options(
            schema, columns, &options,
        )?))
    }

    fn schema(&self) -> SchemaRef {
        let last = self.plan.last.load();
        if let Some(last) = last.as_deref() {
            let fields = last.schema.fields();
            let same = last.places.len() == self.columns.len()
                && (last.places.iter().zip(fields.iter()))
                    .zip(&self.columns)
                    .all(|((last, field), (place, column))| {
                        last == place && field.data_type() == column.data_type()
                    });
            if same {
                return Arc::clone(&last.schema);
            }
        }
        let fields: Vec<ArrowField> = self
            .columns
            .iter()
            .map(|(place, column)| {
                let name = self.plan.inputs[*place].name.as_str();
                ArrowField::new(name, column.data_type().clone(), true)
            })
            .collect();
        let schema = Arc::new(ArrowSchema::new(fields));
        let places = self.columns.iter().map(|(place, _)| *place).collect();
        self.plan.last.store(Some(Arc::new(LastColumns {
            places,
            schema: Arc::clone(&schema),
        })));
        schema
    }
}
