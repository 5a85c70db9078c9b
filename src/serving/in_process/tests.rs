use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{Float64Array, RecordBatch};
use ndarray::Array2;
use tokio::runtime::Runtime;

use super::*;
use crate::blessing::{Candidate, Verdict};
use crate::error::ErrorKind;
use crate::features::Features;
use crate::model::{ConstantModel, Predict, Target, load_json, save_json};
use crate::schema::{Field, FieldType, Schema};
use crate::transform::ops::ImputeNumber;
use crate::transform::{FittedStep, FittedTransform, InputColumn};

/// A model of the application's own, which no loader knows by default.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Own(f64);

impl Predict for Own {
    fn n_features(&self) -> usize {
        1
    }

    fn n_outputs(&self) -> usize {
        1
    }

    fn predict(&self, features: &Features) -> Result<Array2<f64>> {
        Ok(Array2::from_elem((features.n_rows(), 1), self.0))
    }
}

impl Model for Own {
    const FORMAT: &'static str = "test.own.v1";

    fn save(&self, dir: &Path) -> Result<()> {
        save_json(dir, "own.json", self)
    }

    fn load(dir: &Path, _: &Loaders) -> Result<Self> {
        load_json(dir, "own.json")
    }
}

fn blessed<M: Model>(name: &str, model: M) -> Blessed<M> {
    let inputs = vec![InputColumn::new("x", FieldType::Float)];
    let steps = vec![FittedStep::new("x", "x", ImputeNumber { value: 0.0 })];
    let candidate = Candidate::new(
        name,
        model,
        Target::regression("y"),
        &Schema::new([Field::new("x", FieldType::Float)]),
        Arc::new(FittedTransform::new(inputs, steps).unwrap()),
        BTreeMap::new(),
    )
    .unwrap();
    Blessed::mint(candidate, Verdict::new().check("test", true, "")).unwrap()
}

fn number(value: f64) -> Blessed<ConstantModel> {
    blessed("answer", ConstantModel::new(1, vec![value]))
}

fn asked(endpoint: &Endpoint) -> f64 {
    let x = Arc::new(Float64Array::from(vec![0.5])) as _;
    let rows = RecordBatch::try_from_iter([("x", x)]).unwrap();
    endpoint.predict(&rows).unwrap().outputs()[[0, 0]]
}

async fn serving(server: &InProcess) -> Serving {
    let loaders = Loaders::default();
    Server::<ConstantModel>::serving(server, "answer", &loaders)
        .await
        .unwrap()
}

#[test]
fn it_opens_before_the_first_model_and_swaps_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let models = dir.path().join("not/yet/there");
    Runtime::new().unwrap().block_on(async {
        for server in [InProcess::new(), InProcess::at(models.as_path())] {
            let opened = server.open("answer").await.unwrap();
            assert_eq!((opened.name(), opened.version()), ("answer", None));
            let error = opened.predictor().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable);
            assert_eq!(error.message(), "model `answer` has not been deployed yet");
            assert!(matches!(serving(&server).await, Serving::None));
            for version in 1..=3_u32 {
                let held = opened.predictor().ok();
                let endpoint = server.deploy(number(version.into())).await.unwrap();
                // Without waiting for a poll, for every endpoint, of clones of the stage too.
                assert_eq!(asked(&opened), f64::from(version));
                assert_eq!(endpoint.version(), Some(version.into()));
                assert_eq!(opened.predictor().unwrap().version(), u64::from(version));
                // Who holds a version stays on it.
                if let Some(held) = held {
                    assert_eq!(held.version(), u64::from(version) - 1);
                }
                let Serving::Model(servable) = serving(&server.clone()).await else {
                    panic!("nothing is serving");
                };
                assert_eq!(servable.manifest().name, "answer");
            }
        }
    });
}

#[test]
fn versions_are_kept_by_rule() {
    let dir = tempfile::tempdir().unwrap();
    let repository = ModelRepository::at(dir.path());
    Runtime::new().unwrap().block_on(async {
        let server = InProcess::at(dir.path()).keep_newest(3);
        let mut last = None;
        for version in 1..=6_u32 {
            last = Some(server.deploy(number(version.into())).await.unwrap());
            if version == 2 {
                repository
                    .change("answer", |control| control.set_label("first", 1))
                    .unwrap();
            }
        }
        // A version with a label is kept.
        assert_eq!(repository.versions("answer").unwrap(), [1, 4, 5, 6]);
        assert_eq!(asked(&last.unwrap()), 6.0);

        // In memory too, with the rollback target.
        let server = InProcess::new();
        let mut last = None;
        for version in 1..=6_u32 {
            last = Some(server.deploy(number(version.into())).await.unwrap());
        }
        let endpoint = last.unwrap();
        assert_eq!(endpoint.manager().rollback("answer").unwrap(), 5);
        assert_eq!(asked(&endpoint), 5.0);
        assert!(endpoint.manager().get("answer", 1).is_err());
    });
    for server in [InProcess::new(), InProcess::at("models")] {
        let error = server.keep_newest(0).check().unwrap_err();
        assert_eq!(
            error.message(),
            "`keep_newest` is 0, must be at least 1",
            "{error}"
        );
    }
}

#[test]
fn the_next_process_answers_with_what_this_one_has_left() {
    let dir = tempfile::tempdir().unwrap();
    Runtime::new().unwrap().block_on(async {
        let first = InProcess::at(dir.path());
        let endpoint = first.deploy(blessed("answer", Own(41.0))).await.unwrap();
        assert_eq!(asked(&endpoint), 41.0);
        drop(endpoint);

        // Its type is given, or known once a model of it is deployed.
        let told = InProcess::at(dir.path()).loaders(Loaders::default().with::<Own>());
        assert_eq!(asked(&told.open("answer").await.unwrap()), 41.0);
        let untold = InProcess::at(dir.path());
        let opened = untold.open("answer").await.unwrap();
        let error = opened.predictor().unwrap_err();
        assert!(error.message().contains("no loader"), "{error}");
        let _deployed = untold.deploy(blessed("answer", Own(42.0))).await.unwrap();
        assert_eq!(asked(&opened), 42.0);
    });
}

#[test]
fn requests_go_on_while_versions_are_swapped() {
    let runtime = Runtime::new().unwrap();
    let server = InProcess::new();
    let endpoint = runtime.block_on(server.deploy(number(1.0))).unwrap();
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut last = 0.0;
                    let mut n = 0;
                    while !is_done.load(Ordering::Relaxed) {
                        // Unwrapped within: none fails, and none goes back.
                        let answer = asked(&endpoint);
                        assert!(answer >= last, "{answer} after {last}");
                        last = answer;
                        n += 1;
                    }
                    n
                })
            })
            .collect();
        for version in 2..=40_u32 {
            let deployed = runtime.block_on(server.deploy(number(version.into())));
            assert_eq!(deployed.unwrap().version(), Some(version.into()));
        }
        is_done.store(true, Ordering::Relaxed);
        for thread in threads {
            assert!(thread.join().unwrap() > 0);
        }
    });
    assert_eq!(asked(&endpoint), 40.0);
}

#[cfg(feature = "http")]
mod over_http {
    use std::net::TcpStream;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn all_endpoints_share_one_port_which_ends_with_the_last() {
        let dir = tempfile::tempdir().unwrap();
        let runtime = Runtime::new().unwrap();
        let server = InProcess::at(dir.path()).listen("127.0.0.1:0");
        let (opened, deployed) = runtime.block_on(async {
            Server::<ConstantModel>::prepare(&server).await.unwrap();
            let opened = server.open("answer").await.unwrap();
            let deployed = server.deploy(number(7.0)).await.unwrap();
            let other = blessed("other", ConstantModel::new(1, vec![0.0]));
            drop(server.clone().deploy(other).await.unwrap());
            // While it runs its port is its own.
            Server::<ConstantModel>::prepare(&server).await.unwrap();
            (opened, deployed)
        });
        let address = opened.address().unwrap();
        assert_eq!(opened.url().unwrap(), deployed.url().unwrap());
        assert_eq!(opened.url().unwrap(), format!("http://{address}"));
        drop(opened);
        let url = format!("{}/v1/models/answer:predict", deployed.url().unwrap());
        let mut answer = ureq::post(&url)
            .send(r#"{"instances": [{"x": 1.0}]}"#)
            .unwrap();
        let answer: serde_json::Value = answer.body_mut().read_json().unwrap();
        assert_eq!(answer["predictions"][0], 7.0);
        drop(deployed);
        let started = Instant::now();
        while TcpStream::connect(address).is_ok() {
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "it goes on listening"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn one_that_is_shut_down_is_started_anew_by_the_next_deployment() {
        let runtime = Runtime::new().unwrap();
        let server = InProcess::new().listen("127.0.0.1:0");
        runtime.block_on(async {
            let first = server.deploy(number(1.0)).await.unwrap();
            let kept = first.clone();
            let address = first.address().unwrap();
            first.shutdown().await.unwrap();
            assert!(TcpStream::connect(address).is_err());
            assert_eq!(asked(&kept), 1.0, "in process it goes on");
            let second = server.deploy(number(2.0)).await.unwrap();
            assert!(TcpStream::connect(second.address().unwrap()).is_ok());
            assert_eq!((asked(&kept), asked(&second)), (1.0, 2.0));
        });
    }

    #[test]
    fn where_the_port_is_taken_nothing_is_pushed() {
        let dir = tempfile::tempdir().unwrap();
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let server = InProcess::at(dir.path()).listen(&address);
        Runtime::new().unwrap().block_on(async {
            let error = server.deploy(number(1.0)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Io);
            assert!(error.message().contains(&address), "{error}");
            let error = Server::<ConstantModel>::prepare(&server).await.unwrap_err();
            assert!(error.message().contains(&address), "{error}");
        });
        let repository = ModelRepository::at(dir.path());
        assert!(repository.versions("answer").is_err());
    }

    #[test]
    fn addresses_are_checked() {
        let server = |address: &str| InProcess::new().listen(address);
        for address in [
            "127.0.0.1:0",
            "[::1]:8000",
            "localhost:8000",
            "my-host.example:80",
        ] {
            server(address).check().unwrap();
        }
        for address in [
            "",
            "127.0.0.1",
            ":8000",
            "localhost:http",
            "localhost:70000",
            "http://localhost:8000",
            "::1:",
        ] {
            let error = server(address).check().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().contains("`address`"), "{error}");
        }
        let endpoint = Runtime::new()
            .unwrap()
            .block_on(InProcess::new().open("answer"))
            .unwrap();
        assert_eq!(endpoint.url().unwrap_err().kind(), ErrorKind::Config);
    }
}
