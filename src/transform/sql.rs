//! SQL expressions over the columns of a batch: the one place where transforms, slices and metrics touch DataFusion.

use std::ops::ControlFlow;
use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, DataFusionError, ScalarValue};
use datafusion::execution::SessionState;
use datafusion::execution::context::SessionContext;
use datafusion::functions::core::expr_fn::nullif;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator, Volatility, lit};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::prelude::SessionConfig;
use datafusion::sql::sqlparser::ast::{self, visit_expressions};

use super::input::InputColumn;
use crate::error::{Error, Result, near_names};

/// Column names keep their case; functions are those of DataFusion.
static SESSION: LazyLock<SessionState> = LazyLock::new(|| {
    let mut config = SessionConfig::new().with_target_partitions(1);
    config.options_mut().sql_parser.enable_ident_normalization = false;
    SessionContext::new_with_config(config).state()
});

/// The columns that an expression names, in the order of first naming.
///
/// Refuses what cannot be computed from one row alone, or not twice the same.
pub(crate) fn columns(expression: &str) -> Result<Vec<String>> {
    let dialect = SESSION.config().options().sql_parser.dialect;
    let parsed = SESSION.sql_to_expr(expression, &dialect).map_err(|error| {
        Error::config(format!(
            "`{expression}` is not a SQL expression: {}",
            text(&error)
        ))
    })?;
    let mut columns: Vec<String> = Vec::new();
    let visited = visit_expressions(&parsed, |part| match check(part, &mut columns) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    });
    if let ControlFlow::Break(error) = visited {
        return Err(Error::config(format!("`{expression}` {}", error.message())));
    }
    if columns.is_empty() {
        return Err(Error::config(format!(
            "`{expression}` names no column, must name at least one"
        )));
    }
    Ok(columns)
}

/// Looks at a part of an expression.
fn check(part: &ast::Expr, columns: &mut Vec<String>) -> Result<()> {
    match part {
        ast::Expr::Identifier(name) => {
            if !columns.contains(&name.value) {
                columns.push(name.value.clone());
            }
            Ok(())
        }
        ast::Expr::CompoundIdentifier(names) => {
            let name = names
                .iter()
                .map(|name| name.value.as_str())
                .collect::<Vec<_>>()
                .join(".");
            Err(Error::config(format!(
                "names `{name}`, of which only a table has parts; a column with a dot in its name is written \"{name}\""
            )))
        }
        ast::Expr::Subquery(_) | ast::Expr::Exists { .. } | ast::Expr::InSubquery { .. } => Err(
            Error::config("has a subquery, must be computed from the columns of one row"),
        ),
        ast::Expr::Function(function) => check_function(function),
        _ => Ok(()),
    }
}

fn check_function(function: &ast::Function) -> Result<()> {
    let name = function.name.to_string().to_lowercase();
    let one_row = "must be computed from the columns of one row";
    if function.over.is_some() {
        return Err(Error::config(format!(
            "has the window function `{name}`, {one_row}"
        )));
    }
    if let Some(known) = SESSION.scalar_functions().get(&name) {
        return match known.signature().volatility {
            Volatility::Immutable => Ok(()),
            Volatility::Stable | Volatility::Volatile => Err(Error::config(format!(
                "calls `{name}`, whose result changes with each call; serving must compute what training did"
            ))),
        };
    }
    if SESSION.aggregate_functions().contains_key(&name) {
        return Err(Error::config(format!(
            "has the aggregate `{name}`, {one_row}"
        )));
    }
    if SESSION.window_functions().contains_key(&name) {
        return Err(Error::config(format!(
            "has the window function `{name}`, {one_row}"
        )));
    }
    let mut known: Vec<&str> = SESSION
        .scalar_functions()
        .keys()
        .map(String::as_str)
        .collect();
    known.sort_unstable();
    Err(Error::config(format!(
        "calls `{name}`, which is not a function{}",
        near_names(&name, known)
    )))
}

/// An expression that is ready to run.
#[derive(Clone, Debug)]
pub(crate) struct Compiled {
    schema: SchemaRef,
    code: Arc<dyn PhysicalExpr>,
    output: DataType,
}

impl Compiled {
    /// Compiles an expression over columns of known types.
    pub(crate) fn new(expression: &str, columns: &[InputColumn]) -> Result<Self> {
        let fields: Vec<Field> = columns
            .iter()
            .filter_map(|column| Some(Field::new(&column.name, column.data_type()?, true)))
            .collect();
        let schema = Arc::new(ArrowSchema::new(fields));
        let compile = || -> std::result::Result<_, DataFusionError> {
            let of = DFSchema::try_from(Arc::clone(&schema))?;
            let logical = SESSION.create_logical_expr(expression, &of)?;
            let logical = logical
                .transform_up(|part| no_division_by_zero(part, &of))?
                .data;
            // Some functions, such as `coalesce`, run in their simplified form alone.
            let context = SimplifyContext::builder()
                .with_schema(Arc::new(of.clone()))
                .with_config_options(Arc::clone(SESSION.config_options()))
                .build();
            let simplifier = ExprSimplifier::new(context);
            let logical = simplifier.simplify(simplifier.coerce(logical, &of)?)?;
            let code = SESSION.create_physical_expr(logical, &of)?;
            let output = code.data_type(&schema)?;
            Ok((code, output))
        };
        let (code, output) = compile()
            .map_err(|error| Error::config(format!("`{expression}`: {}", text(&error))))?;
        Ok(Compiled {
            schema,
            code,
            output,
        })
    }

    /// The type that it makes.
    pub(crate) fn output(&self) -> &DataType {
        &self.output
    }

    /// The values of rows; `columns` are in the order and of the types that it was compiled for.
    pub(crate) fn evaluate(&self, expression: &str, columns: Vec<ArrayRef>) -> Result<ArrayRef> {
        let rows = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        let n_rows = rows.num_rows();
        let evaluated = self
            .code
            .evaluate(&rows)
            .and_then(|value| value.into_array(n_rows));
        evaluated.map_err(|error| Error::data(format!("`{expression}`: {}", text(&error))))
    }
}

/// Division of whole numbers by zero is NULL; of floats it is infinite or NaN anyway.
fn no_division_by_zero(
    part: Expr,
    of: &DFSchema,
) -> std::result::Result<Transformed<Expr>, DataFusionError> {
    match part {
        Expr::BinaryExpr(BinaryExpr { left, op, right })
            if matches!(op, Operator::Divide | Operator::Modulo)
                && may_be_whole_zero(&right, of) =>
        {
            let right = Box::new(nullif(*right, lit(0_i64)));
            Ok(Transformed::yes(Expr::BinaryExpr(BinaryExpr {
                left,
                op,
                right,
            })))
        }
        part => Ok(Transformed::no(part)),
    }
}

fn may_be_whole_zero(divisor: &Expr, of: &DFSchema) -> bool {
    match divisor {
        Expr::Literal(ScalarValue::Int64(Some(n)), _) => *n == 0,
        _ => divisor
            .get_type(of)
            .is_ok_and(|data_type| data_type.is_integer() || data_type.is_decimal()),
    }
}

/// The first line of what DataFusion says, without its own prefixes.
fn text(error: &DataFusionError) -> String {
    let message = error.strip_backtrace();
    message.lines().next().unwrap_or_default().to_owned()
}
