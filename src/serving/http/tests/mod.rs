//! A real server on a port of this machine, with a real client.

#![expect(
    clippy::needless_pass_by_value,
    reason = "documents are made where they are passed"
)]

mod access_log;
mod admin;
mod auth;
mod bounds;
mod dashboard;
mod drain;
mod garbage;
#[cfg(feature = "grpc")]
mod http2;
mod inference;
mod lifecycle;
mod limits;
mod mounting;
mod readiness;
mod tf_serving;
#[cfg(feature = "tls")]
mod tls;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ndarray::{Array1, Array2, array};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::serve;
use crate::blessing::Candidate;
use crate::error::Result;
use crate::features::Features;
use crate::model::{LinearModel, Link, Loaders, Model, Predict, Target};
use crate::schema::{Field, FieldType, Schema};
use crate::serving::transport::{ServerHandle, ServerOptions};
use crate::serving::{Manager, ModelRepository, ServerCore};
use crate::transform::ops::{Categories, ImputeNumber, Linear, PartOfDate};
use crate::transform::{DatePart, FittedOp, FittedStep, FittedTransform, InputColumn};

/// The inputs of the tests' models: of every type, one of them required.
const INPUTS: [(&str, FieldType); 6] = [
    ("age", FieldType::Integer),
    ("fare", FieldType::Float),
    ("city", FieldType::Text),
    ("vip", FieldType::Boolean),
    ("day", FieldType::Date),
    ("at", FieldType::Timestamp),
];

fn schema() -> Schema {
    Schema::new(INPUTS.map(|(name, field_type)| {
        let field = Field::new(name, field_type);
        if name == "age" {
            field.required()
        } else {
            field
        }
    }))
}

fn transform() -> FittedTransform {
    fn step(input: &str, op: impl Into<FittedOp>) -> FittedStep {
        FittedStep::new(input, input, op)
    }
    let fill = || ImputeNumber { value: 0.5 };
    let steps = vec![
        step(
            "age",
            Linear {
                offset: 40.0,
                scale: 0.1,
            },
        ),
        step("fare", fill()),
        step(
            "city",
            Categories {
                values: vec!["Rome".to_owned(), "Zürich".to_owned()].into(),
            },
        ),
        step("vip", fill()),
        step(
            "day",
            PartOfDate {
                part: DatePart::Weekday,
            },
        ),
        step("day", fill()),
        step(
            "at",
            PartOfDate {
                part: DatePart::Hour,
            },
        ),
        step("at", fill()),
    ];
    let inputs = INPUTS.map(|(name, field_type)| InputColumn::new(name, field_type));
    FittedTransform::new(inputs.to_vec(), steps).unwrap()
}

const N_FEATURES: usize = 8;

fn candidate<M: Model>(name: &str, model: M, target: Target) -> Candidate<M> {
    Candidate::new(
        name,
        model,
        target,
        &schema(),
        Arc::new(transform()),
        BTreeMap::new(),
    )
    .unwrap()
}

/// A model that predicts whether a passenger is late: a binary target.
fn late_model(name: &str, intercept: f64) -> Candidate<LinearModel> {
    let weights = array![[0.3, -0.01, 0.7, -0.7, 0.1, 0.03, 0.05, 0.02]];
    let model = LinearModel::new(Link::Logistic, &weights, &array![intercept]).unwrap();
    let classes = ["no".to_owned(), "yes".to_owned()];
    candidate(
        name,
        model,
        Target::classification("late", classes).unwrap(),
    )
}

/// One of three meals.
fn meal() -> Candidate<LinearModel> {
    let weights = Array2::from_shape_fn((3, N_FEATURES), |(class, feature)| {
        (class as f64 - 1.0) * (feature as f64 - 3.5) / 50.0
    });
    let model = LinearModel::new(Link::Softmax, &weights, &array![0.0, 0.1, 0.2]).unwrap();
    let classes = ["fish", "meat", "none"].map(str::to_owned).to_vec();
    candidate(
        "meal",
        model,
        Target::classification("meal", classes).unwrap(),
    )
}

/// A number.
fn price() -> Candidate<LinearModel> {
    let weights = Array2::from_elem((1, N_FEATURES), 1.0 / 3.0);
    let model = LinearModel::new(Link::Identity, &weights, &Array1::zeros(1)).unwrap();
    candidate("price", model, Target::regression("price"))
}

/// A model with a bug.
#[derive(Debug)]
struct Panics;

impl Predict for Panics {
    fn n_features(&self) -> usize {
        N_FEATURES
    }

    fn n_outputs(&self) -> usize {
        1
    }

    fn predict(&self, _: &Features) -> Result<Array2<f64>> {
        panic!("a bug in a model")
    }
}

impl Model for Panics {
    const FORMAT: &'static str = "test.panics.v1";

    fn save(&self, _: &Path) -> Result<()> {
        Ok(())
    }

    fn load(_: &Path, _: &Loaders) -> Result<Self> {
        Ok(Panics)
    }
}

/// A model that answers once a file exists.
#[derive(Debug)]
struct Waits {
    gate: PathBuf,
}

impl Waits {
    /// The file that appears when it is called.
    fn asked(&self) -> PathBuf {
        self.gate.with_extension("asked")
    }

    fn let_go(&self) {
        fs::write(&self.gate, "").unwrap();
    }

    fn candidate(gate: &Path) -> Candidate<Waits> {
        let target = Target::regression("y");
        let gate = gate.to_owned();
        candidate("waits", Waits { gate }, target)
    }
}

impl Predict for Waits {
    fn n_features(&self) -> usize {
        N_FEATURES
    }

    fn n_outputs(&self) -> usize {
        1
    }

    fn predict(&self, rows: &Features) -> Result<Array2<f64>> {
        let rows = rows.matrix();
        fs::write(self.asked(), "").unwrap();
        until(|| self.gate.exists());
        Ok(Array2::zeros((rows.nrows(), 1)))
    }
}

impl Model for Waits {
    const FORMAT: &'static str = "test.waits.v1";

    fn save(&self, directory: &Path) -> Result<()> {
        fs::write(directory.join("gate"), self.gate.to_str().unwrap()).unwrap();
        Ok(())
    }

    fn load(directory: &Path, _: &Loaders) -> Result<Self> {
        let gate = fs::read_to_string(directory.join("gate")).unwrap().into();
        Ok(Waits { gate })
    }
}

/// Waits for something that has to come.
fn until(mut there: impl FnMut() -> bool) {
    let started = Instant::now();
    while !there() {
        assert!(started.elapsed() < Duration::from_secs(30), "it never came");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Everything that is answered until the server closes the connection.
fn rest(connection: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    if let Err(error) = connection.read_to_end(&mut answer) {
        // A reset is an end, too; that the client is tired of waiting is none.
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
    String::from_utf8(answer).unwrap()
}

/// Asks whether the server lives, on a connection that is kept.
fn ask_if_alive(connection: &mut TcpStream) -> String {
    connection
        .write_all(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(br#"{"live":true}"#) && connection.read(&mut byte).unwrap_or(0) > 0 {
        answer.extend(byte);
    }
    String::from_utf8(answer).unwrap()
}

/// A request in the bytes of HTTP/1.1.
fn post_bytes(path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// A server over models in a directory of its own.
struct Running {
    models: TempDir,
    runtime: Runtime,
    handle: Option<ServerHandle>,
    url: String,
}

/// An answer: its status, and its JSON.
type Answer = (u16, Value);

impl Running {
    /// A server with the models `late`, `meal` and `price`.
    fn start() -> Running {
        Running::over(|root| {
            late_model("late", 0.1).save(&root.join("late/1")).unwrap();
            meal().save(&root.join("meal/1")).unwrap();
            price().save(&root.join("price/1")).unwrap();
        })
    }

    fn over(write: impl FnOnce(&Path)) -> Running {
        Running::with(&ServerOptions::default(), write)
    }

    /// A server with the model `late`.
    fn with_one_model(options: &ServerOptions) -> Running {
        Running::with(options, |root| {
            late_model("late", 0.1).save(&root.join("late/1")).unwrap();
        })
    }

    fn with(options: &ServerOptions, write: impl FnOnce(&Path)) -> Running {
        let models = tempfile::tempdir().unwrap();
        write(models.path());
        let loaders = Loaders::default().with::<Panics>().with::<Waits>();
        let manager = Manager::open(ModelRepository::at(models.path()), loaders).unwrap();
        let runtime = Runtime::new().unwrap();
        let handle = runtime
            .block_on(options.serve(Arc::new(manager), "127.0.0.1:0"))
            .unwrap();
        let url = handle.url();
        Running {
            models,
            runtime,
            handle: Some(handle),
            url,
        }
    }

    /// A router of an application's over the model `late`.
    fn routed(make: impl FnOnce(ServerCore) -> axum::Router) -> Running {
        let mut server = Running::with_one_model(&ServerOptions::default());
        let core = server.handle.as_ref().unwrap().core().clone();
        let options = ServerOptions::default();
        let serving = options.serve_router(make(core.clone()), core, "127.0.0.1:0");
        let handle = server.runtime.block_on(serving).unwrap();
        server.url = handle.url();
        server.handle = Some(handle);
        server
    }

    fn connect(&self) -> TcpStream {
        let address = self.handle.as_ref().unwrap().address();
        let connection = TcpStream::connect(address).unwrap();
        connection
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        connection
    }

    fn shutdown(&mut self) {
        let handle = self.handle.take().unwrap();
        self.runtime.block_on(handle.shutdown()).unwrap();
    }

    fn manager(&self) -> &Manager {
        self.handle.as_ref().unwrap().manager()
    }

    fn get(&self, path: &str) -> Answer {
        let request = ureq::get(format!("{}{path}", self.url))
            .config()
            .http_status_as_error(false)
            .build();
        read_json(request.call().unwrap())
    }

    fn send(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> ureq::http::Response<ureq::Body> {
        self.try_send(path, headers, body).unwrap()
    }

    /// The answer; `None` if the connection was closed before it arrived.
    fn try_send(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Option<ureq::http::Response<ureq::Body>> {
        let request = ureq::post(format!("{}{path}", self.url))
            .config()
            .http_status_as_error(false)
            .build();
        let request = headers.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        });
        request.send(body).ok()
    }

    fn post(&self, path: &str, body: &Value) -> Answer {
        read_json(self.send(path, &[], body.to_string().as_bytes()))
    }

    fn infer(&self, model: &str, inputs: Value) -> Answer {
        self.post(
            &format!("/v2/models/{model}/infer"),
            &json!({ "inputs": inputs }),
        )
    }
}

fn read_json(mut response: ureq::http::Response<ureq::Body>) -> Answer {
    assert_eq!(response.headers()["content-type"], "application/json");
    let body = response.body_mut().read_to_vec().unwrap();
    (
        response.status().as_u16(),
        serde_json::from_slice(&body).unwrap(),
    )
}

fn tensor(name: &str, datatype: &str, data: Value) -> Value {
    let n_rows = data.as_array().unwrap().len();
    json!({"name": name, "datatype": datatype, "shape": [n_rows], "data": data})
}

/// Three rows with every input, NULLs among them.
fn all_inputs() -> Value {
    json!([
        tensor("age", "INT64", json!([31, 40, 99])),
        tensor("fare", "FP64", json!([7.25, null, 0.1])),
        tensor("city", "BYTES", json!(["Zürich", null, "elsewhere"])),
        tensor("vip", "BOOL", json!([true, false, null])),
        tensor("day", "BYTES", json!(["2013-01-31", null, "2013-12-01"])),
        tensor(
            "at",
            "BYTES",
            json!(["2013-01-31T05:00:00Z", "2013-01-31T05:00:00+02:00", null])
        ),
    ])
}
