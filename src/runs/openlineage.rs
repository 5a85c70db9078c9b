//! Runs as events of [OpenLineage](https://openlineage.io), which catalogues of other tools accept.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::client::Client;
use super::history::History;
use super::record::{Execution, Run, State};
use super::{ArtifactId, Secret, UsedFile};
use crate::clock::rfc3339_ms;
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;

/// The definition of events, with the version of the specification.
const EVENT: &str = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent";
const PARENT: &str =
    "https://openlineage.io/spec/facets/1-0-1/ParentRunFacet.json#/$defs/ParentRunFacet";
const ERROR: &str = "https://openlineage.io/spec/facets/1-0-1/ErrorMessageRunFacet.json#/$defs/ErrorMessageRunFacet";
const VERSION: &str = "https://openlineage.io/spec/facets/1-0-1/DatasetVersionDatasetFacet.json#/$defs/DatasetVersionDatasetFacet";
/// The producer of the events, and the documentation of its own facets.
const PRODUCER: &str = concat!("https://docs.rs/fourfold/", env!("CARGO_PKG_VERSION"));
const OWN: &str = concat!(
    "https://docs.rs/fourfold/",
    env!("CARGO_PKG_VERSION"),
    "/fourfold/runs/struct."
);

/// A server that accepts events of OpenLineage at `/api/v1/lineage`, such as Marquez.
///
/// ```no_run
/// use fourfold::runs::{OpenLineage, Root, Secret};
///
/// # async fn post() -> fourfold::Result<()> {
/// let history = Root::open("root")?.history()?;
/// let server = OpenLineage::at("http://127.0.0.1:5000")?.token(Secret::new("token"));
/// for run in history.runs() {
///     server.post(&history.openlineage(&run.id, "production")?).await?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct OpenLineage {
    client: Client,
}

impl OpenLineage {
    /// The server at an `http` URL.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if it is not a URL with a host, or contains credentials;
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for `https`: put a proxy on this machine in between.
    pub fn at(url: &str) -> Result<Self> {
        Ok(OpenLineage {
            client: Client::at(url)?,
        })
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

    /// Sends events in their order, one with each request. Servers know an event again, so that all may be sent once more
    /// after an error.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) or
    /// [`ErrorKind::DeadlineExceeded`](crate::ErrorKind::DeadlineExceeded) if the server does not answer;
    /// [`ErrorKind::Other`](crate::ErrorKind::Other) with its answer if it refuses an event. The events after it are not
    /// sent.
    pub async fn post(&self, events: &[Value]) -> Result<()> {
        for event in events {
            self.client.post("/api/v1/lineage", event).await?.done()?;
        }
        Ok(())
    }
}

impl History {
    /// A run as events of OpenLineage in chronological order: the start and the end of the run and of each of its executions,
    /// according to version 2-0-2 of `spec/OpenLineage.json`. Other tools read them as JSON lines; [`OpenLineage::post`] sends
    /// them to a server. A run in progress has the events that have occurred.
    ///
    /// Jobs are named `<pipeline>` and `<pipeline>.<stage>` in `namespace`. Files are datasets named by their paths or URLs,
    /// artifacts by their ids in `namespace`. Custom facets begin with `fourfold_`. Equal records make equal events.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if there is no run of this id.
    pub fn openlineage(&self, run: &str, namespace: &str) -> Result<Vec<Value>> {
        let found = self.runs().iter().find(|known| known.id == run);
        let run = found.ok_or_else(|| {
            Error::not_found(format!(
                "there is no run `{}`",
                crate::error::shortened(run)
            ))
        })?;
        let namer = Namer { namespace, run };
        let of_run = self.of_run(run);
        let files = of_run.iter().flat_map(|execution| &execution.files);
        let inputs: Vec<Value> = files.map(of_file).collect();
        let deployed = run.deployed.iter().map(|deployed| &deployed.model);
        let outputs: Vec<Value> = deployed.map(|model| namer.of_artifact(model)).collect();
        let mut events = namer.events(&Told {
            id: &run.id,
            job: run.pipeline.clone(),
            state: run.state,
            started_ms: run.started_ms,
            seconds: run.seconds,
            error: run.error.as_deref(),
            facets: namer.of_run(),
            inputs,
            outputs,
        });
        // Reused executions have events in the run that made them.
        for execution in of_run.iter().filter(|execution| execution.run == run.id) {
            let files = execution.files.iter().map(of_file);
            let inputs = execution.inputs.iter().map(|id| namer.of_artifact(id));
            let outputs = execution.outputs.iter().map(|id| namer.of_artifact(id));
            events.extend(namer.events(&Told {
                id: &execution.id,
                job: format!("{}.{}", execution.pipeline, execution.stage),
                state: execution.state,
                started_ms: execution.started_ms,
                seconds: execution.seconds,
                error: execution.error.as_deref(),
                facets: namer.of_execution(execution),
                inputs: files.chain(inputs).collect(),
                outputs: outputs.collect(),
            }));
        }
        events.sort_by(|a, b| a["eventTime"].as_str().cmp(&b["eventTime"].as_str()));
        Ok(events)
    }
}

/// The content of the events of a run or an execution.
struct Told<'a> {
    id: &'a str,
    job: String,
    state: State,
    started_ms: u64,
    seconds: f64,
    error: Option<&'a str>,
    facets: Map<String, Value>,
    inputs: Vec<Value>,
    outputs: Vec<Value>,
}

struct Namer<'a> {
    namespace: &'a str,
    run: &'a Run,
}

impl Namer<'_> {
    fn events(&self, told: &Told<'_>) -> Vec<Value> {
        let event = |kind: &str, at_ms: u64, facets: Map<String, Value>, outputs: &[Value]| {
            json!({
                "eventType": kind,
                "eventTime": rfc3339_ms(at_ms),
                "producer": PRODUCER,
                "schemaURL": EVENT,
                "run": { "runId": uuid(told.id), "facets": facets },
                "job": { "namespace": self.namespace, "name": told.job, "facets": {} },
                "inputs": told.inputs,
                "outputs": outputs,
            })
        };
        let mut events = vec![event("START", told.started_ms, told.facets.clone(), &[])];
        let end = match told.state {
            State::Running => return events,
            State::Done => "COMPLETE",
            State::Failed => "FAIL",
            State::Cancelled | State::Killed => "ABORT",
        };
        let took_ms = (told.seconds.max(0.0) * 1e3).round() as u64;
        let mut facets = told.facets.clone();
        if let Some(error) = told.error {
            let error = json!({ "message": error, "programmingLanguage": "Rust" });
            facets.insert("errorMessage".to_owned(), facet(ERROR, error));
        }
        let ended_ms = told.started_ms.saturating_add(took_ms);
        events.push(event(end, ended_ms, facets, &told.outputs));
        events
    }

    fn of_run(&self) -> Map<String, Value> {
        let run = self.run;
        let own = json!({
            "id": run.id, "verdict": run.verdict, "metrics": run.metrics, "deployed": run.deployed, "tags": run.tags,
            "notes": run.notes, "environment": run.environment,
            "reused": run.reused().collect::<Vec<_>>(),
        });
        Map::from_iter([(
            "fourfold_run".to_owned(),
            facet(&format!("{OWN}Run.html"), own),
        )])
    }

    fn of_execution(&self, execution: &Execution) -> Map<String, Value> {
        let parent = json!({
            "run": { "runId": uuid(&self.run.id) },
            "job": { "namespace": self.namespace, "name": self.run.pipeline },
        });
        let own = json!({
            "id": execution.id, "key": execution.key, "name": execution.name, "version": execution.version,
            "configuration": execution.configuration, "seed": execution.seed, "serving": execution.serving,
            "result": execution.result,
        });
        Map::from_iter([
            ("parent".to_owned(), facet(PARENT, parent)),
            (
                "fourfold_execution".to_owned(),
                facet(&format!("{OWN}Execution.html"), own),
            ),
        ])
    }

    fn of_artifact(&self, id: &ArtifactId) -> Value {
        dataset(self.namespace, &id.to_string(), id.digest())
    }
}

/// A file, named by the rules of `spec/Naming.md`: `file` and a path, or the store and the path below it.
fn of_file(file: &UsedFile) -> Value {
    let (namespace, name) = match file.path.split_once("://") {
        Some((scheme, rest)) => {
            let (host, below) = rest.split_once('/').unwrap_or((rest, "/"));
            (format!("{scheme}://{host}"), below)
        }
        None => ("file".to_owned(), file.path.as_str()),
    };
    dataset(&namespace, name, &file.digest)
}

fn dataset(namespace: &str, name: &str, version: &Fingerprint) -> Value {
    let version = facet(VERSION, json!({ "datasetVersion": version }));
    json!({ "namespace": namespace, "name": name, "facets": { "version": version } })
}

fn facet(schema: &str, mut of: Value) -> Value {
    of["_producer"] = PRODUCER.into();
    of["_schemaURL"] = schema.into();
    of
}

/// A UUID derived from an id, of version 8, whose digits are free (RFC 9562).
fn uuid(id: &str) -> String {
    let digest = Fingerprint::of_bytes(id);
    let digits = digest.as_str();
    format!(
        "{}-{}-8{}-8{}-{}",
        &digits[..8],
        &digits[8..12],
        &digits[13..16],
        &digits[17..20],
        &digits[20..32]
    )
}
