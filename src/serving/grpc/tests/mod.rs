//! A real server on a port of this machine, with a client of HTTP/2.

mod client;
mod garbage;
mod in_process;
mod inference;
mod lifecycle;
mod limits;
mod mounted;
mod opaque;
mod slow;
#[cfg(feature = "tls")]
mod tls;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ndarray::{Array2, array};
use prost::Message;
use prost::bytes::Bytes;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tonic::Code;

use self::client::{Answer, Client};
use super::proto::infer_parameter::ParameterChoice;
use super::proto::model_infer_request::InferInputTensor;
use super::proto::{
    InferParameter, InferTensorContents, ModelInferRequest, ModelInferResponse, ModelReadyRequest,
};
use crate::blessing::Candidate;
use crate::error::Result;
use crate::features::Features;
use crate::model::{LinearModel, Link, Loaders, Model, Predict, Target};
use crate::schema::{Field, FieldType, Schema};
use crate::serving::lifecycle::ManagerBuilder;
use crate::serving::transport::{ServerHandle, ServerOptions};
use crate::serving::{Manager, ModelRepository, ServerCore};
use crate::transform::ops::{Categories, ImputeNumber};
use crate::transform::{FittedOp, FittedStep, FittedTransform, InputColumn};

/// The time within which an expected event must happen.
const LIMIT: Duration = Duration::from_secs(60);

/// The inputs of the tests' models: one of them required.
const INPUTS: [(&str, FieldType); 4] = [
    ("age", FieldType::Integer),
    ("fare", FieldType::Float),
    ("city", FieldType::Text),
    ("vip", FieldType::Boolean),
];

/// A model that predicts whether a passenger is late.
fn late_model(name: &str, intercept: f64) -> Candidate<LinearModel> {
    let weights = array![[0.3, -0.01, 0.7, -0.7, 0.1]];
    candidate(
        name,
        LinearModel::new(Link::Logistic, &weights, &array![intercept]).unwrap(),
    )
}

/// A model that writes a file `asked` when it is asked, and answers once a file `open` lies beside it.
#[derive(Debug, Default)]
struct Gate {
    place: PathBuf,
}

impl Predict for Gate {
    fn n_features(&self) -> usize {
        5
    }

    fn n_outputs(&self) -> usize {
        1
    }

    fn predict(&self, features: &Features) -> Result<Array2<f64>> {
        let features = features.matrix();
        std::fs::create_dir_all(&self.place).unwrap();
        std::fs::write(self.place.join("asked"), "").unwrap();
        until("the gate to be open", || self.place.join("open").exists());
        Ok(Array2::from_elem((features.nrows(), 1), 0.25))
    }
}

impl Model for Gate {
    const FORMAT: &'static str = "test.gate.v1";

    fn save(&self, _: &Path) -> Result<()> {
        Ok(())
    }

    fn load(place: &Path, _: &Loaders) -> Result<Self> {
        let place = place.to_path_buf();
        Ok(Gate { place })
    }
}

fn candidate<M: Model>(name: &str, model: M) -> Candidate<M> {
    fn step(input: &str, op: impl Into<FittedOp>) -> FittedStep {
        FittedStep::new(input, input, op)
    }
    let fill = || ImputeNumber { value: 0.5 };
    let cities = ["Rome".to_owned(), "Zürich".to_owned()];
    let steps = vec![
        step("fare", fill()),
        step(
            "city",
            Categories {
                values: cities.to_vec().into(),
            },
        ),
        step("vip", fill()),
    ];
    let inputs = INPUTS.map(|(name, field_type)| InputColumn::new(name, field_type));
    let transform = FittedTransform::new(inputs.to_vec(), steps).unwrap();
    assert_eq!(transform.features().len(), 5);
    let schema = Schema::new(INPUTS.map(|(name, field_type)| {
        let field = Field::new(name, field_type);
        if name == "age" {
            field.required()
        } else {
            field
        }
    }));
    let target = Target::classification("late", ["no", "yes"]).unwrap();
    Candidate::new(
        name,
        model,
        target,
        &schema,
        Arc::new(transform),
        BTreeMap::new(),
    )
    .unwrap()
}

/// A server over models in a directory of its own.
struct Running {
    models: TempDir,
    runtime: Runtime,
    handle: Option<ServerHandle>,
}

impl Running {
    /// A server with the model `late`.
    fn start() -> Running {
        Running::with(&ServerOptions::default())
    }

    fn with(options: &ServerOptions) -> Running {
        Running::over(options, ServerCore::new)
    }

    /// A server with the models `late` and `gate`, and the core of the test.
    fn over(options: &ServerOptions, core: impl FnOnce(Arc<Manager>) -> ServerCore) -> Running {
        Running::managed(options, core, |manager| manager)
    }

    fn managed(
        options: &ServerOptions,
        core: impl FnOnce(Arc<Manager>) -> ServerCore,
        manager: impl FnOnce(ManagerBuilder) -> ManagerBuilder,
    ) -> Running {
        let models = tempfile::tempdir().unwrap();
        save(models.path(), "late", 1, 0.1);
        let gate = models.path().join("gate/1");
        candidate("gate", Gate::default()).save(&gate).unwrap();
        let repository = ModelRepository::at(models.path());
        let loaders = Loaders::default().with::<Gate>();
        let builder = Manager::builder(repository).loaders(loaders);
        let manager = Arc::new(manager(builder).open().unwrap());
        let runtime = Runtime::new().unwrap();
        let serving = options.serve_grpc(core(manager), "127.0.0.1:0");
        let handle = runtime.block_on(serving).unwrap();
        Running {
            models,
            runtime,
            handle: Some(handle),
        }
    }

    fn manager(&self) -> &Manager {
        self.handle.as_ref().unwrap().manager()
    }

    fn metrics(&self) -> String {
        self.handle.as_ref().unwrap().core().metrics().encode()
    }

    /// Waits until the model `gate` is asked.
    async fn gate_is_asked(&self) {
        let asked = self.models.path().join("gate/1/model/asked");
        let start = Instant::now();
        while !asked.exists() {
            assert!(start.elapsed() < LIMIT, "waited for the gate to be asked");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Lets the model `gate` answer.
    fn open_the_gate(&self) {
        let place = self.models.path().join("gate/1/model");
        std::fs::create_dir_all(&place).unwrap();
        std::fs::write(place.join("open"), "").unwrap();
    }

    fn client(&self) -> Client {
        let address = self.handle.as_ref().unwrap().address();
        self.runtime.block_on(Client::connect(address))
    }

    fn ask(&self, call: &str, message: &impl Message) -> Answer {
        let path = format!("/inference.GRPCInferenceService/{call}");
        let asking = self.client().ask(path, Vec::new(), message.encode_to_vec());
        self.runtime.block_on(asking)
    }

    fn infer(&self, request: &ModelInferRequest) -> Answer {
        self.ask("ModelInfer", request)
    }

    /// The answer to a request that must be answered.
    fn answer(&self, request: &ModelInferRequest) -> ModelInferResponse {
        self.infer(request).message()
    }
}

fn save(models: &Path, name: &str, version: u64, intercept: f64) {
    let place = models.join(name).join(version.to_string());
    late_model(name, intercept).save(&place).unwrap();
}

/// Waits for what must come true.
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LIMIT, "waited for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn tensor(
    name: &str,
    datatype: &str,
    n_rows: i64,
    contents: InferTensorContents,
) -> InferInputTensor {
    InferInputTensor {
        name: name.to_owned(),
        datatype: datatype.to_owned(),
        shape: vec![n_rows],
        parameters: BTreeMap::new(),
        contents: Some(contents),
    }
}

fn none() -> InferTensorContents {
    InferTensorContents::default()
}

/// Three rows with every input, as typed contents.
fn typed() -> ModelInferRequest {
    let ages = InferTensorContents {
        int64_contents: vec![31, 40, 99],
        ..none()
    };
    let fares = InferTensorContents {
        fp64_contents: vec![7.25, 0.1, 1.0 / 3.0],
        ..none()
    };
    let cities = ["Zürich", "Rome", "elsewhere"];
    let cities = InferTensorContents {
        bytes_contents: cities.map(Bytes::from_static_str).to_vec(),
        ..none()
    };
    let vips = InferTensorContents {
        bool_contents: vec![true, false, true],
        ..none()
    };
    ModelInferRequest {
        model_name: "late".to_owned(),
        id: "r1".to_owned(),
        inputs: vec![
            tensor("age", "INT64", 3, ages),
            tensor("fare", "FP64", 3, fares),
            tensor("city", "BYTES", 3, cities),
            tensor("vip", "BOOL", 3, vips),
        ],
        ..ModelInferRequest::default()
    }
}

/// The same rows as raw contents.
fn raw() -> ModelInferRequest {
    let mut request = typed();
    for input in &mut request.inputs {
        let contents = input.contents.take().unwrap();
        let mut bytes = Vec::new();
        for value in &contents.int64_contents {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        for value in &contents.fp64_contents {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        for value in &contents.bytes_contents {
            let length = u32::try_from(value.len()).unwrap();
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(value);
        }
        bytes.extend(contents.bool_contents.iter().map(|value| u8::from(*value)));
        request.raw_input_contents.push(bytes.into());
    }
    request
}

trait FromStaticStr {
    fn from_static_str(text: &'static str) -> Self;
}

impl FromStaticStr for Bytes {
    fn from_static_str(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes())
    }
}

fn parameter(choice: ParameterChoice) -> InferParameter {
    InferParameter {
        parameter_choice: Some(choice),
    }
}
