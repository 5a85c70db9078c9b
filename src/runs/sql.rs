//! Records as tables, for queries.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMillisecondArray, UInt64Array,
};
use datafusion::error::DataFusionError;
use datafusion::prelude::{SQLOptions, SessionContext};

use super::history::History;
use super::record::{Execution, Run};
use super::trials::TRIAL;
use super::{ArtifactId, Root};
use crate::error::{Error, Result};
use crate::metrics::MetricValue;

impl Root {
    /// The result of a query over the records, in [DataFusion's
    /// SQL](https://datafusion.apache.org/user-guide/sql/index.html): one `SELECT`. Times are UTC, durations in seconds,
    /// configurations JSON.
    ///
    /// | table | a row is | columns |
    /// | --- | --- | --- |
    /// | `runs` | a run | `id`, `pipeline`, `state`, `started`, `seconds`, `verdict`, `model`, `version`, `error`, `code_version`, `crate_version`, `host`, `tags` |
    /// | `executions` | an execution of a stage | `id`, `run`, `pipeline`, `stage`, `name`, `version`, `configuration`, `seed`, `key`, `state`, `started`, `seconds`, `error`, `host` |
    /// | `artifacts` | an artifact | `id`, `kind`, `digest`, `made_by` (the first execution that made it), `is_there` |
    /// | `edges` | an input or output of an execution | `execution`, `run`, `artifact`, `role` (`input` or `output`) |
    /// | `metrics` | a metric of a run's candidate over the `eval` split | `run`, `name`, `value`, `lower`, `upper`, `support` |
    /// | `trials` | a trial of a search | `id`, `run`, `name`, `configuration`, `metric`, `value`, `error`, `share`, `seconds`, `failure` |
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if it is not a query over these tables; as [`Root::runs`].
    pub async fn sql(&self, query: &str) -> Result<Vec<RecordBatch>> {
        let root = self.clone();
        let tables = tokio::task::spawn_blocking(move || root.tables()).await;
        let tables = tables
            .map_err(|error| Error::internal("reading records panicked").with_source(error))??;
        let session = SessionContext::new();
        for (name, rows) in tables {
            session.register_batch(name, rows)?;
        }
        let only_select = SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false);
        let refused = |error: DataFusionError| {
            Error::config(format!("the query is refused: {}", error.strip_backtrace()))
                .with_source(error)
        };
        let rows = session.sql_with_options(query, only_select).await;
        Ok(rows.map_err(refused)?.collect().await?)
    }

    fn tables(&self) -> Result<Vec<(&'static str, RecordBatch)>> {
        let history = self.history()?;
        let (runs, executions) = (history.runs(), history.executions());
        let trials: Vec<&Execution> = executions.iter().filter(|of| of.stage == TRIAL).collect();
        Ok(vec![
            ("runs", runs_table(runs)?),
            ("executions", executions_table(executions)?),
            ("artifacts", self.artifacts_table(&history)?),
            ("edges", edges_table(executions)?),
            ("metrics", metrics_table(runs)?),
            ("trials", trials_table(&trials)?),
        ])
    }

    fn artifacts_table(&self, history: &History) -> Result<RecordBatch> {
        let mut made_by: BTreeMap<&ArtifactId, Option<&str>> = BTreeMap::new();
        for execution in history.executions() {
            for output in &execution.outputs {
                made_by.entry(output).or_insert(Some(&execution.id));
            }
        }
        let there = self.artifacts()?;
        for artifact in &there {
            made_by.entry(artifact).or_insert(None);
        }
        let rows: Vec<(&ArtifactId, Option<&str>)> = made_by.into_iter().collect();
        let is_there = rows.iter().map(|(id, _)| there.binary_search(id).is_ok());
        let is_there: ArrayRef = Arc::new(BooleanArray::from_iter(is_there.map(Some)));
        table([
            ("id", texts(&rows, |(id, _)| Some(id.to_string()))),
            ("kind", texts(&rows, |(id, _)| Some(id.kind().to_owned()))),
            (
                "digest",
                texts(&rows, |(id, _)| Some(id.digest().to_string())),
            ),
            ("made_by", texts(&rows, |(_, by)| by.map(str::to_owned))),
            ("is_there", is_there),
        ])
    }
}

fn table<const N: usize>(columns: [(&'static str, ArrayRef); N]) -> Result<RecordBatch> {
    let columns = columns
        .into_iter()
        .map(|(name, column)| (name, column, true));
    Ok(RecordBatch::try_from_iter_with_nullable(columns)?)
}

fn texts<T>(rows: &[T], of: impl Fn(&T) -> Option<String>) -> ArrayRef {
    Arc::new(rows.iter().map(of).collect::<StringArray>())
}

fn numbers<T>(rows: &[T], of: impl Fn(&T) -> Option<f64>) -> ArrayRef {
    Arc::new(rows.iter().map(of).collect::<Float64Array>())
}

fn whole<T>(rows: &[T], of: impl Fn(&T) -> Option<u64>) -> ArrayRef {
    Arc::new(rows.iter().map(of).collect::<UInt64Array>())
}

fn times<T>(rows: &[T], of: impl Fn(&T) -> u64) -> ArrayRef {
    let times = rows.iter().map(|row| i64::try_from(of(row)).ok());
    Arc::new(
        times
            .collect::<TimestampMillisecondArray>()
            .with_timezone("UTC"),
    )
}

fn runs_table(runs: &[Run]) -> Result<RecordBatch> {
    let versions = runs.iter().map(|run| {
        let version = run.deployed.as_ref().and_then(|deployed| deployed.version);
        version.and_then(|version| i64::try_from(version).ok())
    });
    let versions: ArrayRef = Arc::new(versions.collect::<Int64Array>());
    table([
        ("id", texts(runs, |run| Some(run.id.clone()))),
        ("pipeline", texts(runs, |run| Some(run.pipeline.clone()))),
        ("state", texts(runs, |run| Some(run.state.to_string()))),
        ("started", times(runs, |run| run.started_ms)),
        ("seconds", numbers(runs, |run| Some(run.seconds))),
        ("verdict", texts(runs, |run| run.verdict.clone())),
        (
            "model",
            texts(runs, |run| run.output("model").map(ToString::to_string)),
        ),
        ("version", versions),
        ("error", texts(runs, |run| run.error.clone())),
        (
            "code_version",
            texts(runs, |run| run.environment.code_version.clone()),
        ),
        (
            "crate_version",
            texts(runs, |run| Some(run.environment.crate_version.clone())),
        ),
        (
            "host",
            texts(runs, |run| Some(run.environment.host.clone())),
        ),
        (
            "tags",
            texts(runs, |run| serde_json::to_string(&run.tags).ok()),
        ),
    ])
}

fn executions_table(all: &[Execution]) -> Result<RecordBatch> {
    table([
        ("id", texts(all, |of| Some(of.id.clone()))),
        ("run", texts(all, |of| Some(of.run.clone()))),
        ("pipeline", texts(all, |of| Some(of.pipeline.clone()))),
        ("stage", texts(all, |of| Some(of.stage.clone()))),
        ("name", texts(all, |of| Some(of.name.clone()))),
        ("version", whole(all, |of| Some(of.version.into()))),
        (
            "configuration",
            texts(all, |of| Some(of.configuration.to_string())),
        ),
        ("seed", whole(all, |of| of.seed)),
        ("key", texts(all, |of| Some(of.key.to_string()))),
        ("state", texts(all, |of| Some(of.state.to_string()))),
        ("started", times(all, |of| of.started_ms)),
        ("seconds", numbers(all, |of| Some(of.seconds))),
        ("error", texts(all, |of| of.error.clone())),
        ("host", texts(all, |of| Some(of.environment.host.clone()))),
    ])
}

fn edges_table(executions: &[Execution]) -> Result<RecordBatch> {
    let mut edges: Vec<(&Execution, &ArtifactId, &str)> = Vec::new();
    for execution in executions {
        edges.extend(execution.inputs.iter().map(|id| (execution, id, "input")));
        edges.extend(execution.outputs.iter().map(|id| (execution, id, "output")));
    }
    table([
        (
            "execution",
            texts(&edges, |(execution, ..)| Some(execution.id.clone())),
        ),
        (
            "run",
            texts(&edges, |(execution, ..)| Some(execution.run.clone())),
        ),
        ("artifact", texts(&edges, |(_, id, _)| Some(id.to_string()))),
        ("role", texts(&edges, |(.., role)| Some((*role).to_owned()))),
    ])
}

fn metrics_table(runs: &[Run]) -> Result<RecordBatch> {
    let mut all: Vec<(&Run, &String, &MetricValue)> = Vec::new();
    for run in runs {
        all.extend(run.metrics.iter().map(|(name, value)| (run, name, value)));
    }
    table([
        ("run", texts(&all, |(run, ..)| Some(run.id.clone()))),
        ("name", texts(&all, |(_, name, _)| Some((*name).clone()))),
        ("value", numbers(&all, |(.., value)| Some(value.value))),
        ("lower", numbers(&all, |(.., value)| value.lower)),
        ("upper", numbers(&all, |(.., value)| value.upper)),
        ("support", whole(&all, |(.., value)| Some(value.support))),
    ])
}

fn trials_table(trials: &[&Execution]) -> Result<RecordBatch> {
    let number = |trial: &&Execution, name: &str| trial.result.as_ref()?.get(name)?.as_f64();
    let metric = |trial: &&Execution| {
        let metric = trial.result.as_ref()?.get("metric")?.as_str()?;
        Some(metric.to_owned())
    };
    table([
        ("id", texts(trials, |trial| Some(trial.id.clone()))),
        ("run", texts(trials, |trial| Some(trial.run.clone()))),
        ("name", texts(trials, |trial| Some(trial.name.clone()))),
        (
            "configuration",
            texts(trials, |trial| Some(trial.configuration.to_string())),
        ),
        ("metric", texts(trials, metric)),
        ("value", numbers(trials, |trial| number(trial, "value"))),
        ("error", numbers(trials, |trial| number(trial, "error"))),
        ("share", numbers(trials, |trial| number(trial, "share"))),
        ("seconds", numbers(trials, |trial| Some(trial.seconds))),
        ("failure", texts(trials, |trial| trial.error.clone())),
    ])
}
