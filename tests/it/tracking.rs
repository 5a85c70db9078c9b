//! Runs told to servers of other tools. What the real ones make of it is asked in `tests/clients`.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fourfold::prelude::*;
use fourfold::runs::{Mlflow, OpenLineage, Root, Secret};
use serde_json::{Value, json};

use crate::support::parcels;

/// A request as a server has read it.
#[derive(Clone, Debug)]
struct Request {
    line: String,
    authorization: Option<String>,
    body: Vec<u8>,
}

/// A server with an answer for each request, which it keeps.
struct Server {
    url: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Answers in this order: the status and the body.
    fn with(answers: impl IntoIterator<Item = (u16, Value)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let (seen, mut answers) = (
            Arc::clone(&requests),
            answers.into_iter().collect::<VecDeque<_>>(),
        );
        std::thread::spawn(move || {
            while let Some((status, body)) = answers.pop_front() {
                let (mut stream, _) = listener.accept().unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap());
                let mut line = String::new();
                lines.read_line(&mut line).unwrap();
                let mut request = Request {
                    line: line.trim_end().to_owned(),
                    authorization: None,
                    body: Vec::new(),
                };
                let mut length = 0;
                loop {
                    let mut header = String::new();
                    lines.read_line(&mut header).unwrap();
                    let Some((name, value)) = header.trim_end().split_once(": ") else {
                        break;
                    };
                    match name.to_ascii_lowercase().as_str() {
                        "content-length" => length = value.parse().unwrap(),
                        "authorization" => request.authorization = Some(value.to_owned()),
                        _ => {}
                    }
                }
                request.body.resize(length, 0);
                lines.read_exact(&mut request.body).unwrap();
                seen.lock().unwrap().push(request);
                let body = body.to_string();
                let head = format!(
                    "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                stream.write_all((head + &body).as_bytes()).unwrap();
            }
        });
        Server { url, requests }
    }

    fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

fn run(dir: &Path) -> (Root, String) {
    let outcome = Pipeline::builder("parcels")
        .data(BatchSource::new("rows", vec![parcels(300)]).label("late"))
        .train(DecisionTree::default())
        .evaluate(Thresholds::new().at_least("skill", -9.0))
        .serve(InProcess::new())
        .root(dir.join("root"))
        .tag("team", "parcels")
        .note("a note")
        .build()
        .unwrap()
        .run_blocking()
        .unwrap();
    let id = outcome.run().id.clone().unwrap();
    (Root::open(dir.join("root")).unwrap(), id)
}

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(work)
}

#[test]
fn a_run_is_logged_with_its_model() {
    let dir = tempfile::tempdir().unwrap();
    let (root, id) = run(dir.path());
    let record = root.run(&id).unwrap();
    let model = root.dir_of(record.output("model").unwrap());
    let unknown = json!({"error_code": "RESOURCE_DOES_NOT_EXIST"});
    let info = json!({"run_id": "r1", "artifact_uri": "mlflow-artifacts:/7/r1/artifacts"});
    let created = [
        (404, unknown),
        (200, json!({"experiment_id": "7"})),
        (200, json!({})),
        (200, json!({"run": {"info": info}})),
    ];
    // More than it asks for.
    let server = Server::with(
        created
            .into_iter()
            .chain([(); 99].map(|()| (200, json!({})))),
    );
    let mlflow = Mlflow::at(&server.url)
        .unwrap()
        .experiment("parcels & more");
    let mlflow = mlflow.token(Secret::new("s3cr3t"));
    assert!(!format!("{mlflow:?}").contains("s3cr3t"));
    assert_eq!(wait(mlflow.log(&root, &id)).unwrap(), "r1");

    let requests = server.requests();
    let bearer = Some("Bearer s3cr3t".to_owned());
    assert!(
        requests
            .iter()
            .all(|request| request.authorization == bearer)
    );
    let json = |at: usize| serde_json::from_slice::<Value>(&requests[at].body).unwrap();
    assert_eq!(
        requests[0].line,
        "GET /api/2.0/mlflow/experiments/get-by-name?experiment_name=parcels%20%26%20more HTTP/1.1"
    );
    assert_eq!(json(1), json!({"name": "parcels & more"}));
    assert_eq!(
        json(2)["filter"],
        format!("tags.`fourfold.run` = '{id}'").as_str()
    );
    assert_eq!(json(3)["start_time"], record.started_ms);
    let batches: Vec<Value> = (4..requests.len())
        .filter(|at| requests[*at].line.contains("log-batch"))
        .map(json)
        .collect();
    let pairs = |field: &str| -> Vec<(String, Value)> {
        let batches = batches.iter().filter_map(|batch| batch[field].as_array());
        let pairs = batches.flatten();
        let pair = |pair: &Value| {
            (
                pair["key"].as_str().unwrap().to_owned(),
                pair["value"].clone(),
            )
        };
        pairs.map(pair).collect()
    };
    let params = pairs("params");
    for (name, value) in [
        ("train", "decision_tree"),
        ("train.seed", "0"),
        ("extract", "rows"),
    ] {
        assert!(
            params.contains(&(name.to_owned(), value.into())),
            "{params:?}"
        );
    }
    let tags = pairs("tags");
    for (name, value) in [
        ("team", "parcels"),
        ("mlflow.note.content", "a note"),
        ("fourfold.verdict", "blessed"),
    ] {
        assert!(tags.contains(&(name.to_owned(), value.into())), "{tags:?}");
    }
    let metrics = pairs("metrics");
    for (name, metric) in &record.metrics {
        let is_it = |(key, value): &&(String, Value)| key == name && *value == metric.value;
        assert_eq!(
            metrics.iter().filter(is_it).count(),
            1,
            "{name}: {metrics:?}"
        );
    }
    // The model's files as they are.
    let manifest = requests
        .iter()
        .find(|request| request.line.contains("/manifest.json"))
        .unwrap();
    assert_eq!(
        manifest.line,
        "PUT /api/2.0/mlflow-artifacts/artifacts/7/r1/artifacts/model/servable/manifest.json HTTP/1.1"
    );
    assert_eq!(
        manifest.body,
        std::fs::read(model.join("manifest.json")).unwrap()
    );
    let last = requests.last().unwrap();
    assert!(last.line.starts_with("POST /api/2.0/mlflow/runs/update"));
    assert_eq!(json(requests.len() - 1)["status"], "FINISHED");
}

#[test]
fn what_a_server_refuses_is_told_with_its_answer() {
    let dir = tempfile::tempdir().unwrap();
    let (root, id) = run(dir.path());
    let refuses = |status: u16, body: Value| {
        let server = Server::with([(status, body)]);
        let mlflow = Mlflow::at(&server.url).unwrap();
        (wait(mlflow.log(&root, &id)).unwrap_err(), server.url)
    };
    let (error, url) = refuses(403, json!({"message": "no permission"}));
    assert_eq!(error.kind(), ErrorKind::Other);
    assert_eq!(
        error.to_string(),
        format!(
            "`GET {url}/api/2.0/mlflow/experiments/get-by-name?experiment_name=parcels` was answered 403 Forbidden: no \
             permission"
        )
    );
    let (error, _) = refuses(503, json!("later"));
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    // An answer that is none of MLflow's.
    let (error, _) = refuses(200, json!([1]));
    assert_eq!(
        error.to_string(),
        "MLflow's answer has no `experiment.experiment_id`"
    );
    // Nobody answers, or not in time.
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", free.local_addr().unwrap());
    let late = Mlflow::at(&url).unwrap().timeout(Duration::from_millis(20));
    let error = wait(late.log(&root, &id)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded, "{error:#}");
    drop(free);
    let error = wait(Mlflow::at(&url).unwrap().log(&root, &id)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:#}");
    for (url, kind) in [
        ("https://tracking", ErrorKind::Unsupported),
        ("http://user:word@tracking", ErrorKind::Config),
        ("tracking:5000", ErrorKind::Config),
        ("http://", ErrorKind::Config),
        ("http://tracking/?a=b", ErrorKind::Config),
        ("", ErrorKind::Config),
    ] {
        let error = Mlflow::at(url).unwrap_err();
        assert_eq!(error.kind(), kind, "{url}: {error}");
        assert!(!error.to_string().contains("word"), "{error}");
    }
}

#[test]
fn events_are_posted_in_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let (root, id) = run(dir.path());
    let events = root.history().unwrap().openlineage(&id, "tests").unwrap();
    let server = Server::with(events.iter().map(|_| (201, Value::Null)));
    let client = OpenLineage::at(&format!("{}/prefix/", server.url)).unwrap();
    wait(client.post(&events)).unwrap();
    let posted: Vec<Value> = server
        .requests()
        .iter()
        .inspect(|request| assert_eq!(request.line, "POST /prefix/api/v1/lineage HTTP/1.1"))
        .map(|request| serde_json::from_slice(&request.body).unwrap())
        .collect();
    assert_eq!(posted, events);
    // The first that is refused is the last that is sent.
    let server = Server::with([(201, Value::Null), (422, json!({"message": "no run"}))]);
    let client = OpenLineage::at(&server.url).unwrap();
    let error = wait(client.post(&events)).unwrap_err();
    assert!(
        error.to_string().ends_with("Unprocessable Entity: no run"),
        "{error}"
    );
    assert_eq!(server.requests().len(), 2);
}
