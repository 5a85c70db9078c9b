//! Type inference for files that declare types: string columns that hold numbers or times in every row,
//! whole numbers that are too large, indexes of pandas.

use std::hash::{Hash, Hasher};

use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, UInt64Type};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
    cast as to_type,
};
use datafusion::physical_plan::execute_stream_partitioned;
use datafusion::prelude::{DataFrame, ident};
use fourfold_kernels::text::{Column, Kind, Marks, Reading, Tally};
use futures_util::StreamExt;

use super::text::{Inference, Remark, TextColumn, TextOptions, remarks_of};
use crate::engine::Engine;
use crate::error::{Error, Result, near_names};
use crate::schema::FieldType;

/// The number of values from which a tenth of text makes a column one of text.
const ENOUGH: u64 = 1_000;

/// The columns of a table after refinement.
#[derive(Debug, Default)]
pub(super) struct Refined {
    /// The columns that are left, or what becomes of them; none if all are as they are.
    columns: Option<Vec<Expr>>,
    pub(super) remarks: Vec<Remark>,
}

impl Refined {
    /// Looks at the rows of a table. `index` are the columns that pandas made of an index.
    pub(super) async fn of(
        engine: &Engine,
        table: &DataFrame,
        index: &[String],
        options: &TextOptions,
    ) -> Result<Self> {
        let schema = table.schema().as_arrow().clone();
        let names = || schema.fields().iter().map(|field| field.name().as_str());
        for name in options.leave_out.iter().chain(options.types.keys()) {
            if !names().any(|known| known == name) {
                return Err(Error::config(format!(
                    "column `{name}` is not in the data{}",
                    near_names(name, names())
                )));
            }
        }
        let mut remarks = remarks_of(&schema);
        let is_left_out = |name: &String| options.leave_out.contains(name);
        let looked_at: Vec<usize> = (0..schema.fields().len())
            .filter(|at| {
                let field = schema.field(*at);
                let is_text = FieldType::of(field.data_type()) == FieldType::Text
                    && !field.data_type().is_null();
                (is_text || field.data_type() == &DataType::UInt64)
                    && !is_left_out(field.name())
                    && !index.contains(field.name())
            })
            .collect();
        let seen = see(engine, table, &looked_at, options).await?;
        let mut is_changed = false;
        let mut columns = Vec::new();
        for (at, field) in schema.fields().iter().enumerate() {
            let name = field.name();
            if is_left_out(name) {
                is_changed = true;
                continue;
            }
            if index.contains(name) {
                is_changed = true;
                remarks.push(Remark::of_column(
                    name,
                    Remark::LEFT_OUT,
                    "an index, as the file's metadata of pandas says",
                ));
                continue;
            }
            let column = ident(name);
            let told = options.type_of(name);
            let changed = match looked_at.binary_search(&at).ok().map(|at| &seen[at]) {
                Some(Seen::Unsigned(true)) => {
                    remarks.push(Remark::of_column(
                        name,
                        "column_past_range",
                        "read as text: it has unsigned numbers past 2^63",
                    ));
                    Some(text_of(
                        DataType::Utf8,
                        Kind::Text,
                        Marks::default(),
                        name,
                        column.clone(),
                    ))
                }
                Some(Seen::Text(tally, _)) => {
                    let mut inference = Inference::new(options).in_rows();
                    inference.look_at_all([tally.as_ref()]);
                    let chosen = inference.choose(name, tally);
                    let data_type = TextColumn::data_type_of(chosen.kind);
                    let is_read = chosen.kind != Kind::Text;
                    if is_read && chosen.remarks.is_empty() && told.is_none() {
                        let of = FieldType::of(&data_type);
                        let message = format!(
                            "text that is read as {of}: all {} values are",
                            tally.known()
                        );
                        remarks.push(Remark::of_column(name, "column_reading", message));
                    }
                    remarks.extend(chosen.remarks);
                    let is_marked = tally.marked().iter().any(|n| *n > 0) || tally.has_blank();
                    (is_read || is_marked).then(|| {
                        text_of(data_type, chosen.kind, chosen.marks, name, column.clone())
                    })
                }
                // A type that is declared for a column that is no text.
                _ => told
                    .and_then(|told| told.data_type())
                    .filter(|wanted| FieldType::of(wanted) != FieldType::of(field.data_type()))
                    .map(|wanted| to_type(column.clone(), wanted).alias(name)),
            };
            is_changed |= changed.is_some();
            columns.push(changed.unwrap_or(column));
        }
        Ok(Refined {
            columns: is_changed.then_some(columns),
            remarks,
        })
    }

    /// The columns of the table as they are read.
    pub(super) fn select(self, table: DataFrame) -> Result<DataFrame> {
        match self.columns {
            Some(columns) => Ok(table.select(columns)?),
            None => Ok(table),
        }
    }
}

/// The evidence collected from a column.
enum Seen {
    /// Whether a number exceeds 2^63.
    Unsigned(bool),
    /// The tally of the strings, and whether it is conclusive.
    Text(Box<Tally>, bool),
}

/// Looks at columns in the order of their rows, until the types of all are known.
async fn see(
    engine: &Engine,
    table: &DataFrame,
    places: &[usize],
    options: &TextOptions,
) -> Result<Vec<Seen>> {
    let inference = Inference::new(options);
    let schema = table.schema().as_arrow();
    let fields: Vec<_> = places.iter().map(|at| schema.field(*at)).collect();
    let mut seen: Vec<Seen> = fields
        .iter()
        .map(|field| match field.data_type() {
            DataType::UInt64 => Seen::Unsigned(false),
            _ => Seen::Text(Box::new(Tally::new(inference.marks())), false),
        })
        .collect();
    if places.is_empty() {
        return Ok(seen);
    }
    let columns: Vec<Expr> = fields.iter().map(|field| ident(field.name())).collect();
    let plan = table
        .clone()
        .select(columns)?
        .create_physical_plan()
        .await?;
    let parts = execute_stream_partitioned(plan, engine.session().task_ctx())?;
    let mut row = 1;
    for mut part in parts {
        while let Some(batch) = part.next().await {
            let batch = batch?;
            for (seen, column) in seen.iter_mut().zip(batch.columns()) {
                match seen {
                    Seen::Unsigned(past) if !*past => {
                        let values = column.as_primitive::<UInt64Type>();
                        *past = values
                            .iter()
                            .flatten()
                            .any(|value| i64::try_from(value).is_err());
                    }
                    Seen::Text(tally, is_known) if !*is_known => {
                        let texts = cast(column, &DataType::Utf8)?;
                        for (text, row) in texts.as_string::<i32>().iter().zip(row..) {
                            match text {
                                Some(text) => tally.see(text.as_bytes(), row, inference.marks()),
                                None => tally.see_none(1),
                            }
                        }
                        let known = tally.known();
                        *is_known = known >= ENOUGH && tally.of(&[Reading::Text]) * 10 > known;
                    }
                    Seen::Unsigned(_) | Seen::Text(..) => {}
                }
            }
            row += batch.num_rows() as u64;
            let is_known = |seen: &Seen| matches!(seen, Seen::Text(_, true) | Seen::Unsigned(true));
            if seen.iter().all(is_known) {
                return Ok(seen);
            }
        }
    }
    Ok(seen)
}

fn text_of(data_type: DataType, kind: Kind, marks: Marks, name: &str, column: Expr) -> Expr {
    let read = ReadText {
        data_type,
        kind,
        marks,
        column: name.to_owned(),
        signature: Signature::any(1, Volatility::Immutable),
    };
    ScalarUDF::from(read).call(vec![column]).alias(name)
}

/// A column's text read as a type.
#[derive(Debug)]
struct ReadText {
    data_type: DataType,
    kind: Kind,
    marks: Marks,
    column: String,
    signature: Signature,
}

impl PartialEq for ReadText {
    fn eq(&self, other: &Self) -> bool {
        (&self.column, self.kind) == (&other.column, other.kind)
    }
}

impl Eq for ReadText {}

impl Hash for ReadText {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.column.hash(state);
    }
}

impl ReadText {
    fn read(&self, values: &ArrayRef) -> Result<ArrayRef> {
        let texts = cast(values, &DataType::Utf8)?;
        let texts: &StringArray = texts.as_string();
        let mut column = Column::new(self.kind, self.marks.clone());
        for text in texts {
            if !column.push(text.unwrap_or_default().as_bytes()) {
                return Err(Error::data(format!(
                    "column `{}` is `{}`, must be of type {}",
                    self.column,
                    text.unwrap_or_default(),
                    FieldType::of(&self.data_type)
                )));
            }
        }
        super::text::array_of(&mut column)
    }
}

impl ScalarUDFImpl for ReadText {
    fn name(&self) -> &str {
        "read_text"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> DataFusionResult<DataType> {
        Ok(self.data_type.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let values = ColumnarValue::values_to_arrays(&args.args)?;
        let values = values
            .first()
            .ok_or_else(|| DataFusionError::Internal("no column".to_owned()))?;
        self.read(values)
            .map(ColumnarValue::Array)
            .map_err(|error| DataFusionError::External(Box::new(error)))
    }
}
