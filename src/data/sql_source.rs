//! Rows from a query over other sources.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use arrow::datatypes::Schema as ArrowSchema;
use datafusion::catalog::MemoryCatalogProviderList;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{SchemaError, TableReference};
use datafusion::error::DataFusionError;
use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};
use datafusion::prelude::{DataFrame, SQLOptions, SessionContext};
use datafusion::sql::sqlparser::parser::ParserError;
use serde::{Serialize, Serializer};

use super::DataSource;
use super::partition_order::InOrder;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result, near_names};
use crate::fingerprint::Fingerprint;
use crate::runs::InputFile;
use crate::stage::Stage;

/// The rows of a SQL query over named sources: files, rows in memory, or any other [`DataSource`].
///
/// The query is [DataFusion's SQL](https://datafusion.apache.org/user-guide/sql/index.html): one `SELECT`, with joins,
/// groups and windows. What it filters by and the columns it reads are pushed down to the sources: of Parquet files
/// only those columns are read, and only the row groups that may hold such rows. Names of tables and columns are taken
/// as they are written, in upper or lower case.
///
/// The order of the rows is the same in every run, and it is that of the `ORDER BY` where there is one. A function whose
/// result is another at every call, such as `random()`, is refused; `now()` is the time of the run, of which the
/// [snapshot](DataSource::snapshot) knows nothing: it is that of the sources.
///
/// ```
/// use fourfold::data::{FileSource, SqlSource};
///
/// let source = SqlSource::new(
///     "SELECT f.*, w.wind_speed, w.visib
///      FROM flights AS f
///      LEFT JOIN weather AS w ON f.origin = w.origin AND f.time_hour = w.time_hour
///      WHERE f.dest <> 'LGA'",
/// )
/// .table("flights", FileSource::parquet("flights/"))
/// .table("weather", FileSource::parquet("weather.parquet"));
/// # let _ = source;
/// ```
#[derive(Clone)]
pub struct SqlSource {
    query: String,
    tables: Vec<(String, Arc<dyn Table>)>,
}

impl SqlSource {
    /// A query, over no tables yet.
    #[must_use]
    pub fn new(query: impl Into<String>) -> Self {
        SqlSource {
            query: query.into(),
            tables: Vec::new(),
        }
    }

    /// A source that the query reads under this name.
    #[must_use]
    pub fn table(mut self, name: impl Into<String>, source: impl DataSource) -> Self {
        self.tables.push((name.into(), Arc::new(source)));
        self
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.tables.iter().map(|(name, _)| name.as_str())
    }

    /// A session without tables; all else is as in the engine's.
    fn session(engine: &Engine) -> SessionContext {
        let state = engine.session().state();
        let mut config = state.config().clone();
        config = config.with_create_default_catalog_and_schema(true);
        let options = config.options_mut();
        options.sql_parser.enable_ident_normalization = false;
        // Rows that are dealt out by a hash come back in any order.
        options.optimizer.repartition_joins = false;
        options.optimizer.repartition_aggregations = false;
        options.optimizer.repartition_windows = false;
        let state = SessionStateBuilder::new_from_existing(state)
            .with_config(config)
            .with_catalog_list(Arc::new(MemoryCatalogProviderList::new()))
            .with_physical_optimizer_rule(Arc::new(InOrder))
            .build();
        SessionContext::new_with_state(state)
    }

    async fn plan(&self, engine: &Engine) -> Result<DataFrame> {
        let session = SqlSource::session(engine);
        let state = session.state();
        let dialect = state.config().options().sql_parser.dialect;
        let statement = state
            .sql_to_statement(&self.query, &dialect)
            .map_err(refused)?;
        for wanted in state
            .resolve_table_references(&statement)
            .map_err(refused)?
        {
            let wanted = wanted.table();
            let table = self.tables.iter().find(|(name, _)| name == wanted);
            let (name, table) = table.ok_or_else(|| {
                Error::config(format!(
                    "the query reads table `{wanted}`, which the source does not have{}",
                    near_names(wanted, self.names())
                ))
            })?;
            let rows = table.read(engine).await;
            let rows = rows.map_err(|error| in_table(name, error))?.into_view();
            session.register_table(TableReference::bare(name.as_str()), rows)?;
        }
        let state = session.state();
        let plan = state.statement_to_plan(statement).await.map_err(refused)?;
        let only_select = SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false);
        only_select.verify_plan(&plan).map_err(refused)?;
        if let Some(function) = volatile(&plan)? {
            return Err(Error::config(format!(
                "the query calls `{function}`, whose result is another at every call"
            )));
        }
        session.execute_logical_plan(plan).await.map_err(refused)
    }
}

/// The function whose result is another at every call, if the plan calls one.
fn volatile(plan: &LogicalPlan) -> Result<Option<String>> {
    let mut found = None;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|whole| {
            whole.apply(|part| {
                if let Expr::ScalarFunction(call) = part
                    && call.func.signature().volatility == Volatility::Volatile
                {
                    found = Some(call.func.name().to_owned());
                    return Ok(TreeNodeRecursion::Stop);
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(found)
}

fn in_table(name: &str, error: Error) -> Error {
    Error::new(error.kind(), format!("table `{name}`: {}", error.message())).with_source(error)
}

/// The error of a query that is no query over these tables.
fn refused(error: DataFusionError) -> Error {
    if let DataFusionError::SchemaError(schema_error, _) = error.find_root()
        && let SchemaError::FieldNotFound {
            field,
            valid_fields,
        } = schema_error.as_ref()
    {
        let near = near_names(
            &field.name,
            valid_fields.iter().map(|column| column.name.as_str()),
        );
        return Error::config(format!(
            "the query names column `{}`, which is not in its tables{near}",
            field.flat_name()
        ));
    }
    if let DataFusionError::SQL(parser_error, _) = error.find_root()
        && let ParserError::ParserError(reason) = parser_error.as_ref()
    {
        let reason = reason.replacen("Expected", "expected", 1);
        return Error::config(format!("the query is not SQL: {reason}")).with_source(error);
    }
    let error = Error::from(error);
    let reason = error.message();
    let reason = reason
        .strip_prefix("error during planning: ")
        .unwrap_or(reason);
    let kind = match error.kind() {
        ErrorKind::Data => ErrorKind::Config,
        kind => kind,
    };
    Error::new(kind, format!("the query is refused: {reason}")).with_source(error)
}

impl fmt::Debug for SqlSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlSource")
            .field("query", &self.query)
            .field("tables", &self.names().collect::<Vec<_>>())
            .finish()
    }
}

impl Serialize for SqlSource {
    /// The query, and each table's name and the fingerprint of its source.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let tables = self.tables.iter().map(|(name, table)| {
            let fingerprint = table.fingerprint().map_err(serde::ser::Error::custom)?;
            Ok((name, fingerprint))
        });
        let tables = tables.collect::<Result<Vec<_>, S::Error>>()?;
        (&self.query, tables).serialize(serializer)
    }
}

impl Stage for SqlSource {
    fn name(&self) -> &str {
        "sql"
    }

    fn check(&self) -> Result<()> {
        if self.query.trim().is_empty() {
            return Err(Error::config("the query is empty"));
        }
        for (at, (name, table)) in self.tables.iter().enumerate() {
            if self.names().take(at).any(|other| other == name) {
                return Err(Error::config(format!("duplicate table `{name}`")));
            }
            table.check().map_err(|error| in_table(name, error))?;
        }
        Ok(())
    }
}

impl DataSource for SqlSource {
    async fn read(&self, engine: &Engine) -> Result<DataFrame> {
        Stage::check(self)?;
        self.plan(engine).await
    }

    fn explain(&self, error: Error, _columns: &ArrowSchema) -> Error {
        Error::new(
            error.kind(),
            format!("the query fails: {}", error.message()),
        )
        .with_source(error)
    }

    async fn files(&self, engine: &Engine) -> Result<Option<Vec<InputFile>>> {
        let mut all = Vec::new();
        for (name, table) in &self.tables {
            let files = table.files(engine).await;
            match files.map_err(|error| in_table(name, error))? {
                Some(files) => all.extend(files),
                None => return Ok(None),
            }
        }
        Ok(Some(all))
    }

    async fn snapshot(&self, engine: &Engine) -> Result<Option<Fingerprint>> {
        let mut all = Vec::new();
        for (name, table) in &self.tables {
            let snapshot = table.snapshot(engine).await;
            match snapshot.map_err(|error| in_table(name, error))? {
                Some(snapshot) => all.push((name, snapshot)),
                None => return Ok(None),
            }
        }
        Ok(Some(Fingerprint::of(&all)?))
    }
}

type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// Any [`DataSource`].
trait Table: Send + Sync {
    fn check(&self) -> Result<()>;
    fn fingerprint(&self) -> Result<Fingerprint>;
    fn read<'a>(&'a self, engine: &'a Engine) -> Pending<'a, DataFrame>;
    fn snapshot<'a>(&'a self, engine: &'a Engine) -> Pending<'a, Option<Fingerprint>>;
    fn files<'a>(&'a self, engine: &'a Engine) -> Pending<'a, Option<Vec<InputFile>>>;
}

impl<S: DataSource> Table for S {
    fn check(&self) -> Result<()> {
        Stage::check(self)
    }

    fn fingerprint(&self) -> Result<Fingerprint> {
        Fingerprint::of_stage(self, 0, &[])
    }

    fn read<'a>(&'a self, engine: &'a Engine) -> Pending<'a, DataFrame> {
        Box::pin(DataSource::read(self, engine))
    }

    fn snapshot<'a>(&'a self, engine: &'a Engine) -> Pending<'a, Option<Fingerprint>> {
        Box::pin(DataSource::snapshot(self, engine))
    }

    fn files<'a>(&'a self, engine: &'a Engine) -> Pending<'a, Option<Vec<InputFile>>> {
        Box::pin(DataSource::files(self, engine))
    }
}
