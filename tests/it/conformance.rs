//! This crate's stages keep the contracts that it holds others to, and what breaks one is found.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fourfold::Result;
use fourfold::conformance;
use fourfold::data::{BatchSource, DataSource, FileSource};
use fourfold::datafusion::prelude::DataFrame;
use fourfold::engine::Engine;
use fourfold::examples::Examples;
use fourfold::features::Features;
use fourfold::fingerprint::Fingerprint;
use fourfold::model::{ConstantModel, Model, Predict, Target, load_json, save_json};
use fourfold::ndarray::Array2;
use fourfold::prelude::*;
use fourfold::serving::lifecycle::{Found, FoundModel, FoundVersion, Source};
use fourfold::training::{
    ByRows, ConformalSets, Constant, Dataset, DecisionTree, LinearRegression,
};
use serde::{Deserialize, Serialize};

use crate::support::{JANUARY, parcels, write_csv};

fn args(label: &str, target: Target) -> TrainArgs {
    let rows = parcels(600);
    let transform = match label {
        "late" => Transform::new().z_score("kilograms").one_hot("road"),
        _ => Transform::new().one_hot("road").z_score("id"),
    };
    let transform = transform.fit(std::slice::from_ref(&rows)).unwrap();
    let examples = Examples::from_batches(rows.schema(), vec![rows]).unwrap();
    TrainArgs::new(Dataset::new(
        examples,
        Arc::new(transform),
        Arc::new(target),
    ))
}

fn classification_args() -> TrainArgs {
    args(
        "late",
        Target::classification("late", ["no", "yes"]).unwrap(),
    )
}

fn regression_args() -> TrainArgs {
    args("kilograms", Target::regression("kilograms"))
}

#[tokio::test]
async fn sources() {
    let batches = vec![parcels(900).slice(0, 500), parcels(900).slice(500, 400)];
    let source = BatchSource::new("parcels", batches);
    conformance::data_source(&source).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("parcels.csv");
    write_csv(&path, &parcels(900));
    conformance::data_source(&FileSource::csv(path.to_str().unwrap()))
        .await
        .unwrap();
    conformance::data_source(&FileSource::parquet(JANUARY))
        .await
        .unwrap();
}

#[test]
fn trainers_and_their_models() {
    for args in [classification_args(), regression_args()] {
        conformance::trainer(&Constant, &args).unwrap();
    }
    conformance::trainer(&LogisticRegression::default(), &classification_args()).unwrap();
    conformance::trainer(&DecisionTree::default(), &classification_args()).unwrap();
    let sets = ConformalSets::new(LogisticRegression::default(), 0.9);
    conformance::trainer(&sets.per_group("road"), &classification_args()).unwrap();
    let by_rows = ByRows::up_to(600, DecisionTree::default(), GradientBoosting::default());
    conformance::trainer(&by_rows, &classification_args()).unwrap();
    conformance::trainer(&LinearRegression::default(), &regression_args()).unwrap();
}

fn pipeline<R: Server<ConstantModel>>(server: R) -> Pipeline<BatchSource, Constant, Thresholds, R> {
    Pipeline::builder("conformance")
        .data(
            BatchSource::new("parcels", vec![parcels(600)])
                .label("late")
                .transform(Transform::new().z_score("kilograms")),
        )
        .train(Constant)
        .evaluate(Thresholds::new().at_least("example_count", 1.0))
        .serve(server)
        .build()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_and_the_repository_they_fill() {
    conformance::server(&pipeline(InProcess::default()))
        .await
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let repository = ModelRepository::at(dir.path());
    conformance::server(&pipeline(repository.clone()))
        .await
        .unwrap();
    conformance::source(&repository).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let repository = ModelRepository::at(dir.path());
    let http = InProcess::at(repository.clone()).listen("127.0.0.1:0");
    conformance::server(&pipeline(http)).await.unwrap();
    conformance::source(&repository).unwrap();
}

/// Each breaks what its name says.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Breaks {
    EqualModels,
    Shape,
    Rows,
    Saving,
    Loading,
}

static TRAINED: AtomicU64 = AtomicU64::new(0);

impl Stage for Breaks {
    fn name(&self) -> &str {
        "breaks"
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Broken {
    breaks: Breaks,
    n_features: usize,
    number: u64,
}

impl Trainer for Breaks {
    type Model = Broken;

    fn train(&self, args: &TrainArgs) -> Result<Trained<Broken>> {
        let number = match self {
            Breaks::EqualModels => TRAINED.fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
        Ok(Broken {
            breaks: *self,
            n_features: args.train().n_features(),
            number,
        }
        .into())
    }
}

impl Predict for Broken {
    fn n_features(&self) -> usize {
        self.n_features + usize::from(self.breaks == Breaks::Shape)
    }

    fn n_outputs(&self) -> usize {
        1
    }

    fn predict(&self, features: &Features) -> Result<Array2<f64>> {
        if features.n_features() != self.n_features {
            return Err(Error::new(ErrorKind::Model, "another width"));
        }
        let output = match self.breaks {
            Breaks::Rows => 1.0 / (1.0 + features.n_rows() as f64),
            _ => self.number as f64,
        };
        Ok(Array2::from_elem((features.n_rows(), 1), output))
    }
}

impl Model for Broken {
    const FORMAT: &'static str = "test.broken.v1";

    fn save(&self, dir: &Path) -> Result<()> {
        let number = self.number + u64::from(self.breaks == Breaks::Saving);
        save_json(dir, "broken.json", &(self.breaks, self.n_features, number))
    }

    fn load(dir: &Path, _: &Loaders) -> Result<Self> {
        let read = load_json(dir, "broken.json");
        let (breaks, n_features, number) = match read {
            Err(_)
                if std::fs::read(dir.join("broken.json"))
                    .is_ok_and(|text| text.starts_with(b"[\n  \"Loading")) =>
            {
                panic!("half a file")
            }
            read => read?,
        };
        Ok(Broken {
            breaks,
            n_features,
            number,
        })
    }
}

#[test]
fn what_breaks_a_contract_of_training_is_found() {
    let found = |breaks: Breaks| {
        conformance::trainer(&breaks, &classification_args())
            .unwrap_err()
            .to_string()
    };
    for (breaks, words) in [
        (Breaks::EqualModels, "it is another model"),
        (Breaks::Shape, "its model takes 5 features"),
        (Breaks::Rows, "it gives other bits"),
        (Breaks::Saving, "saved and loaded, it gives other bits"),
        (Breaks::Loading, "panicked, must be an error"),
    ] {
        let message = found(breaks);
        assert!(message.contains(words), "{breaks:?}: {message}");
    }
}

/// Another row each time, or another snapshot.
#[derive(Debug, Serialize)]
struct Moving {
    rows: bool,
    #[serde(skip)]
    reads: AtomicU64,
}

impl Stage for Moving {
    fn name(&self) -> &str {
        "moving"
    }
}

impl DataSource for Moving {
    async fn read(&self, engine: &Engine) -> Result<DataFrame> {
        let n = match self.rows {
            true => self.reads.fetch_add(1, Ordering::Relaxed) as usize,
            false => 0,
        };
        Ok(engine.session().read_batch(parcels(100 + n))?)
    }

    async fn snapshot(&self, _: &Engine) -> Result<Option<Fingerprint>> {
        let n = self.reads.fetch_add(1, Ordering::Relaxed);
        Ok(Some(Fingerprint::of_bytes(n.to_le_bytes())))
    }
}

#[tokio::test]
async fn what_breaks_the_contract_of_sources_is_found() {
    for (rows, words) in [(true, "other rows"), (false, "its snapshot changes")] {
        let source = Moving {
            rows,
            reads: AtomicU64::new(0),
        };
        let message = conformance::data_source(&source)
            .await
            .unwrap_err()
            .to_string();
        assert!(
            message.starts_with("moving: ") && message.contains(words),
            "{message}"
        );
    }
}

/// Finds a version that is nowhere.
#[derive(Debug)]
struct Nowhere;

impl Source for Nowhere {
    fn poll(&self) -> Result<Vec<FoundModel>> {
        let version = FoundVersion::new(1, "/no/such/directory");
        let found = Found::new(vec![version], Default::default());
        Ok(vec![FoundModel::new("m", Ok(found))])
    }
}

#[test]
fn what_breaks_the_contract_of_model_sources_is_found() {
    let message = conformance::source(&Nowhere).unwrap_err().to_string();
    assert!(message.contains("no directory at its path"), "{message}");
}

#[test]
fn a_stage_without_a_name_is_found() {
    #[derive(Serialize)]
    struct Nameless;
    impl Stage for Nameless {
        fn name(&self) -> &str {
            ""
        }
    }
    let message = conformance::stage(&Nameless).unwrap_err().to_string();
    assert!(message.contains("its name is ``"), "{message}");
}
