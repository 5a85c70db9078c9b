//! Runs in [MLflow](https://mlflow.org), by the REST API of its tracking server.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::client::Client;
use super::record::{Execution, Run, State};
use super::{ArtifactId, Root, Secret};
use crate::clock::rfc3339;
use crate::error::{Error, ErrorKind, Result, shortened};
use crate::metrics::MetricValue;
use crate::store;

/// The paths of the API.
const API: &str = "/api/2.0/mlflow";
const ARTIFACTS: &str = "/api/2.0/mlflow-artifacts/artifacts";

/// The tag of runs that leads back to the run of ours.
const RUN_TAG: &str = "fourfold.run";

/// The most parameters and tags, and the most metrics, that a request may have.
const BATCH: usize = 100;
const METRIC_BATCH: usize = 500;

/// The most bytes of a name, and of the value of a parameter or a tag.
const MAX_NAME_BYTES: usize = 250;
const MAX_VALUE_BYTES: usize = 5_000;

/// The kind of artifact that is logged with its files.
const MODEL: &str = "model";

/// An MLflow tracking server, to which runs of a [`Root`] are logged after they have ended.
///
/// ```no_run
/// use fourfold::runs::{Mlflow, Root};
///
/// # async fn log() -> fourfold::Result<()> {
/// let root = Root::open("root")?;
/// let mlflow = Mlflow::at("http://127.0.0.1:5000")?.experiment("flights");
/// for run in root.runs()? {
///     println!("{} is run {} of MLflow", run.id, mlflow.log(&root, &run.id).await?);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Mlflow {
    client: Client,
    experiment: Option<String>,
}

impl Mlflow {
    /// The server at an `http` URL.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if it is not a URL with a host, or contains credentials; [`ErrorKind::Unsupported`] for
    /// `https`: put a proxy on this machine in between.
    pub fn at(url: &str) -> Result<Self> {
        Ok(Mlflow {
            client: Client::at(url)?,
            experiment: None,
        })
    }

    /// The experiment that runs are logged to, which is created if it does not exist. The default is the name of the run's
    /// pipeline.
    #[must_use]
    pub fn experiment(mut self, name: impl Into<String>) -> Self {
        self.experiment = Some(name.into());
        self
    }

    /// Sends a bearer token with every request.
    #[must_use]
    pub fn token(mut self, token: Secret) -> Self {
        self.client = self.client.token(token);
        self
    }

    /// Limits the time of each request; 300 seconds by default.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.client = self.client.timeout(timeout);
        self
    }

    /// Logs a run, by its id or the beginning of it, and returns its id in MLflow. A run that was logged before is completed,
    /// not duplicated.
    ///
    /// | in MLflow | is |
    /// | --- | --- |
    /// | parameters | the name, version, seed and configuration of each stage: `train`, `train.version`, `train.max_depth` |
    /// | metrics | those of the candidate over the `eval` split, with their intervals: `auc`, `auc_lower`, `auc_upper` |
    /// | tags | the run's own, `fourfold.run`, `fourfold.pipeline`, `fourfold.verdict`, `fourfold.model` |
    /// | artifacts | `model`: an `MLmodel` file, and the model's files in `model/servable`, unless they were collected |
    ///
    /// Characters that MLflow does not accept in names become `_`; values of more than 5,000 bytes are cut.
    ///
    /// # Errors
    /// As [`Root::run`]; [`ErrorKind::Corrupt`] if the model's files were changed; [`ErrorKind::Unavailable`] or
    /// [`ErrorKind::DeadlineExceeded`] if the server does not answer; [`ErrorKind::Unsupported`] if the server does not take
    /// artifacts in (`mlflow server --serve-artifacts`): all but the model is logged then.
    pub async fn log(&self, root: &Root, run: &str) -> Result<String> {
        let found = Found::read(root, run).await?;
        let experiment = self.experiment_id(&found.run).await?;
        let (id, uri) = match self.logged_before(&experiment, &found.run).await? {
            Some(known) => known,
            None => self.create(&experiment, &found.run).await?,
        };
        self.log_values(&id, &found).await?;
        let logged = match &found.model {
            Some(model) => self.log_model(&id, &uri, &found.run, model).await,
            None => Ok(()),
        };
        self.end(&id, &found.run).await?;
        logged.map(|()| id)
    }

    async fn experiment_id(&self, run: &Run) -> Result<String> {
        let name = self.experiment.as_deref().unwrap_or(&run.pipeline);
        let path = format!(
            "{API}/experiments/get-by-name?experiment_name={}",
            percent_encoded(name)
        );
        let known = self.client.get(&path).await?;
        let is_unknown = known.body["error_code"] == "RESOURCE_DOES_NOT_EXIST";
        if !is_unknown {
            return text(&known.done()?, &["experiment", "experiment_id"]);
        }
        let create = format!("{API}/experiments/create");
        let created = self.client.post(&create, &json!({"name": name})).await?;
        match created.body["error_code"] == "RESOURCE_ALREADY_EXISTS" {
            // Another process has created it in between.
            true => {
                let known = self.client.get(&path).await?.done()?;
                text(&known, &["experiment", "experiment_id"])
            }
            false => text(&created.done()?, &["experiment_id"]),
        }
    }

    /// The id and the artifacts' URI of a run that was logged before.
    async fn logged_before(&self, experiment: &str, run: &Run) -> Result<Option<(String, String)>> {
        // Ids of runs have no quotes.
        let filter = format!("tags.`{RUN_TAG}` = '{}'", run.id);
        let search = json!({"experiment_ids": [experiment], "filter": filter, "max_results": 1});
        let path = format!("{API}/runs/search");
        let found = self.client.post(&path, &search).await?.done()?;
        match found["runs"].get(0) {
            Some(known) => id_and_uri(known).map(Some),
            None => Ok(None),
        }
    }

    async fn create(&self, experiment: &str, run: &Run) -> Result<(String, String)> {
        let create = json!({
            "experiment_id": experiment,
            "run_name": run.id,
            "start_time": run.started_ms,
            "tags": [{"key": RUN_TAG, "value": run.id}],
        });
        let path = format!("{API}/runs/create");
        let created = self.client.post(&path, &create).await?.done()?;
        id_and_uri(&created["run"])
    }

    async fn log_values(&self, id: &str, found: &Found) -> Result<()> {
        let pairs = |pairs: BTreeMap<String, String>| -> Vec<Value> {
            let pairs = pairs.into_iter();
            pairs
                .map(|(key, value)| json!({"key": key, "value": value}))
                .collect()
        };
        let metrics = metrics(&found.run);
        let params = pairs(named(parameters(&found.executions)));
        let tags = pairs(named(tags(&found.run)));
        let requests = (metrics.chunks(METRIC_BATCH).map(|part| ("metrics", part)))
            .chain(params.chunks(BATCH).map(|part| ("params", part)))
            .chain(tags.chunks(BATCH).map(|part| ("tags", part)));
        let path = format!("{API}/runs/log-batch");
        for (field, part) in requests {
            let batch = json!({"run_id": id, field: part});
            self.client.post(&path, &batch).await?.done()?;
        }
        Ok(())
    }

    async fn log_model(&self, id: &str, uri: &str, run: &Run, model: &Saved) -> Result<()> {
        let (client, path) = self.artifact_path(uri)?;
        let described = model.described(id, run).to_string();
        let place = format!("{path}/model/MLmodel");
        client.put(&place, described).await?.done()?;
        for name in &model.files {
            let place = format!("{path}/model/servable/{}", percent_encoded_path(name));
            let file = model.dir.join(name);
            client.put_file(&place, &file).await?.done()?;
        }
        Ok(())
    }

    /// The place of the artifacts of a run.
    fn artifact_path(&self, uri: &str) -> Result<(Client, String)> {
        let path = uri.strip_prefix("mlflow-artifacts:").ok_or_else(|| {
            let message = format!(
                "the server keeps artifacts at `{}`, which clients write themselves; start it with `--serve-artifacts`",
                shortened(uri)
            );
            Error::new(ErrorKind::Unsupported, message)
        })?;
        let (client, path) = match path.strip_prefix("//").map(|rest| rest.split_once('/')) {
            None => (self.client.clone(), path.trim_start_matches('/')),
            // A path without a host.
            Some(Some(("", path))) => (self.client.clone(), path),
            Some(Some((authority, path))) => (self.client.with_authority(authority)?, path),
            Some(None) => {
                let message = format!("the artifacts' URI `{}` has no path", shortened(uri));
                return Err(Error::new(ErrorKind::Unsupported, message));
            }
        };
        Ok((
            client,
            format!("{ARTIFACTS}/{}", percent_encoded_path(path)),
        ))
    }

    async fn end(&self, id: &str, run: &Run) -> Result<()> {
        let status = match run.state {
            State::Running => return Ok(()),
            State::Done => "FINISHED",
            State::Failed => "FAILED",
            State::Cancelled | State::Killed => "KILLED",
        };
        let update = json!({"run_id": id, "status": status, "end_time": run.ended_ms()});
        let path = format!("{API}/runs/update");
        self.client.post(&path, &update).await?.done().map(drop)
    }
}

/// The parts of a run that are logged.
struct Found {
    run: Run,
    executions: BTreeMap<String, Execution>,
    model: Option<Saved>,
}

impl Found {
    async fn read(root: &Root, run: &str) -> Result<Self> {
        let (root, run) = (root.clone(), run.to_owned());
        let read = move || {
            let run = root.run(&run)?;
            Ok(Found {
                executions: root.executions_in(&run)?,
                model: match run.output(MODEL) {
                    Some(id) if root.dir_of(id).is_dir() => Some(Saved::of(&root, id)?),
                    _ => None,
                },
                run,
            })
        };
        tokio::task::spawn_blocking(read)
            .await
            .map_err(|error| Error::internal("reading a run panicked").with_source(error))?
    }
}

/// The files of a model, whose digests were checked.
struct Saved {
    id: ArtifactId,
    dir: PathBuf,
    files: Vec<String>,
    n_bytes: u64,
}

impl Saved {
    fn of(root: &Root, id: &ArtifactId) -> Result<Self> {
        let dir = root.checked_dir(id)?;
        Ok(Saved {
            files: store::files_below(&dir)?,
            n_bytes: store::n_bytes(&dir),
            id: id.clone(),
            dir,
        })
    }

    /// The `MLmodel` file: JSON is YAML too.
    fn described(&self, id: &str, run: &Run) -> Value {
        let created = rfc3339(run.started_ms).replace('T', " ");
        json!({
            "artifact_path": MODEL,
            "flavors": {"fourfold": {
                "data": "servable",
                "artifact": self.id,
                "crate_version": run.environment.crate_version,
            }},
            "model_size_bytes": self.n_bytes,
            "model_uuid": &self.id.digest().as_str()[..32],
            "run_id": id,
            "utc_time_created": created.trim_end_matches('Z'),
        })
    }
}

fn id_and_uri(run: &Value) -> Result<(String, String)> {
    Ok((
        text(run, &["info", "run_id"])?,
        text(run, &["info", "artifact_uri"])?,
    ))
}

/// The string at a path of an answer.
fn text(answer: &Value, path: &[&str]) -> Result<String> {
    let found = path.iter().try_fold(answer, |value, name| value.get(name));
    let found = found.and_then(Value::as_str).map(str::to_owned);
    found.ok_or_else(|| {
        let message = format!("MLflow's answer has no `{}`", path.join("."));
        Error::new(ErrorKind::Other, message)
    })
}

/// The metrics with the bounds of their intervals, as of the end of the run.
fn metrics(run: &Run) -> Vec<Value> {
    let mut values = Vec::new();
    for (name, metric) in &run.metrics {
        let MetricValue { lower, upper, .. } = metric;
        values.push((name.clone(), metric.value));
        values.extend(lower.map(|lower| (format!("{name}_lower"), lower)));
        values.extend(upper.map(|upper| (format!("{name}_upper"), upper)));
    }
    let metric = |(key, value): (String, f64)| {
        // As protocol buffers write doubles in JSON.
        let value = match value {
            value if value.is_nan() => json!("NaN"),
            f64::INFINITY => json!("Infinity"),
            f64::NEG_INFINITY => json!("-Infinity"),
            value => json!(value),
        };
        json!({"key": key, "value": value, "timestamp": run.ended_ms(), "step": 0})
    };
    named(values).into_iter().map(metric).collect()
}

fn parameters(executions: &BTreeMap<String, Execution>) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (stage, execution) in executions {
        found.push((stage.clone(), execution.name.clone()));
        found.push((format!("{stage}.version"), execution.version.to_string()));
        let seed = execution.seed.map(|seed| seed.to_string());
        found.extend(seed.map(|seed| (format!("{stage}.seed"), seed)));
        leaves(stage, &execution.configuration, &mut found);
    }
    found
}

/// Adds the values of a configuration that are not objects themselves.
fn leaves(path: &str, value: &Value, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match name.as_str() {
                    // The configuration of a stage within a stage.
                    "configuration" => leaves(path, value, found),
                    name => leaves(&format!("{path}.{name}"), value, found),
                }
            }
        }
        Value::String(text) => found.push((path.to_owned(), text.clone())),
        other => found.push((path.to_owned(), other.to_string())),
    }
}

fn tags(run: &Run) -> Vec<(String, String)> {
    let mut tags: Vec<(String, String)> = Vec::new();
    let mut tag = |name: &str, value: Option<String>| {
        tags.extend(value.map(|value| (name.to_owned(), value)));
    };
    tag(RUN_TAG, Some(run.id.clone()));
    tag("fourfold.pipeline", Some(run.pipeline.clone()));
    tag("fourfold.verdict", run.verdict.clone());
    tag("fourfold.model", run.output(MODEL).map(ToString::to_string));
    tag("fourfold.error", run.error.clone());
    let notes = (!run.notes.is_empty()).then(|| run.notes.join("\n\n"));
    tag("mlflow.note.content", notes);
    let code = run.environment.code_version.clone();
    tag("mlflow.source.git.commit", code);
    tag("mlflow.source.name", Some(run.pipeline.clone()));
    tags.extend(run.tags.clone());
    tags
}

/// Pairs under names that MLflow takes, no two the same, with values that it takes.
fn named<V: Cut>(pairs: Vec<(String, V)>) -> BTreeMap<String, V> {
    let mut named = BTreeMap::new();
    for (name, value) in pairs {
        let is_taken = |c: char| c.is_alphanumeric() || "_-. :".contains(c);
        let name: String = name
            .chars()
            .map(|c| if is_taken(c) { c } else { '_' })
            .collect();
        let name = cut(&name, MAX_NAME_BYTES - 10);
        let mut free = name.to_owned();
        let mut n = 1_u32;
        while named.contains_key(&free) {
            n += 1;
            free = format!("{name}_{n}");
        }
        named.insert(free, value.cut());
    }
    named
}

/// A value that is cut to the length that MLflow takes.
trait Cut {
    fn cut(self) -> Self;
}

impl Cut for f64 {
    fn cut(self) -> Self {
        self
    }
}

impl Cut for String {
    fn cut(mut self) -> Self {
        let n_bytes = cut(&self, MAX_VALUE_BYTES).len();
        self.truncate(n_bytes);
        self
    }
}

/// The first bytes of a string, of whole characters.
fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(byte.into());
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

fn percent_encoded_path(path: &str) -> String {
    let parts: Vec<String> = path.split('/').map(percent_encoded).collect();
    parts.join("/")
}
