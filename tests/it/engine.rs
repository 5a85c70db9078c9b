//! The engine: on an application's session, under a limit of memory, and what runs on which threads.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;

use fourfold::Result;
use fourfold::accumulate::Accumulate;
use fourfold::arrow::array::{ArrayRef, Int64Array, RecordBatch, RecordBatchIterator};
use fourfold::blessing::Verdict;
use fourfold::data::{PreparedData, TableSource};
use fourfold::datafusion::datasource::MemTable;
use fourfold::datafusion::execution::runtime_env::RuntimeEnvBuilder;
use fourfold::datafusion::prelude::{DataFrame, SessionConfig, SessionContext};
use fourfold::evaluation::EvalArgs;
use fourfold::features::Features;
use fourfold::model::{Loaders, Model, Predict, load_json, save_json};
use fourfold::ndarray::Array2;
use fourfold::prelude::*;
use fourfold::progress::Progress;
use fourfold::statistics::StatisticsAccumulator;
use fourfold::training::TrainArgs;
use serde::{Deserialize, Serialize};

use crate::support::{parcels, write_csv};

async fn prepare<S: DataSource>(data: &DataPipeline<S>, engine: &Engine) -> Result<PreparedData> {
    let dir = tempfile::tempdir().unwrap();
    data.run(engine, dir.path(), &Progress::default()).await
}

/// A table of the application's catalogue, by its name.
#[derive(Serialize)]
struct Named(&'static str);

impl Stage for Named {
    fn name(&self) -> &str {
        self.0
    }
}

impl DataSource for Named {
    async fn read(&self, engine: &Engine) -> Result<DataFrame> {
        Ok(engine.session().table(self.0).await?)
    }
}

#[tokio::test]
async fn an_applications_session_is_used_and_not_changed() {
    let rows = parcels(600);
    let table = MemTable::try_new(rows.schema(), vec![vec![rows.clone()]]).unwrap();
    // Options that would change which rows are summed together.
    let config = SessionConfig::new()
        .with_target_partitions(3)
        .with_batch_size(7);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_limit(1 << 30, 1.0)
        .build_arc()
        .unwrap();
    let session = SessionContext::new_with_config_rt(config, runtime);
    session.register_table("parcels", Arc::new(table)).unwrap();
    let engine = Engine::on(&session, Engine::DEFAULT_PARTITIONS).unwrap();
    assert_eq!(
        (engine.partitions(), engine.memory_limit()),
        (8, Some(1 << 30))
    );
    assert_eq!(session.state().config().target_partitions(), 3);
    assert!(Engine::on(&session, 0).is_err());

    let made = prepare(&Named("parcels").label("late"), &engine)
        .await
        .unwrap();
    let usual = BatchSource::new("parcels", vec![rows]).label("late");
    let usual = prepare(&usual, &Engine::new().unwrap()).await.unwrap();
    assert_eq!(made.statistics(), usual.statistics());
    let kept = |data: &PreparedData| data.split("train").unwrap().n_rows();
    assert_eq!(kept(&made), kept(&usual));
}

#[tokio::test]
async fn what_does_not_fit_into_memory_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("parcels.csv");
    write_csv(&path, &parcels(4_000));
    let data = FileSource::csv(&path).label("late");
    let small = Engine::new().unwrap().with_memory_limit(50_000).unwrap();
    let error = prepare(&data, &small).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{error}");
    let large = Engine::new().unwrap().with_memory_limit(200 << 20).unwrap();
    let (limited, free) = (
        prepare(&data, &large).await.unwrap(),
        prepare(&data, &Engine::new().unwrap()).await.unwrap(),
    );
    assert_eq!(limited.fingerprint(), free.fingerprint());
    assert_eq!(limited.statistics(), free.statistics());
    assert!(
        large.session().runtime_env().memory_pool.reserved() == 0,
        "all is given back"
    );
    assert_eq!(
        Engine::new()
            .unwrap()
            .with_memory_limit(0)
            .unwrap_err()
            .to_string(),
        "the memory limit is 0 bytes, must be at least 1"
    );
}

#[test]
fn analyses_report_what_they_hold() {
    let rows = parcels(6_000);
    let mut statistics = StatisticsAccumulator::new(&rows.schema());
    let empty = statistics.size();
    statistics.update(&rows).unwrap();
    // Counters of 6,000 distinct numbers and texts take 8 bytes each at least.
    assert!(
        statistics.size() > empty + 6_000 * 8,
        "{empty} {}",
        statistics.size()
    );
}

static SAVED_OR_LOADED: Mutex<Vec<ThreadId>> = Mutex::new(Vec::new());

/// A model that notes which threads touch its files.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Noted {
    n_features: usize,
}

impl Predict for Noted {
    fn n_features(&self) -> usize {
        self.n_features
    }

    fn n_outputs(&self) -> usize {
        1
    }

    fn predict(&self, features: &Features) -> Result<Array2<f64>> {
        Ok(Array2::from_elem((features.n_rows(), 1), 0.5))
    }
}

fn note() {
    SAVED_OR_LOADED
        .lock()
        .unwrap()
        .push(std::thread::current().id());
}

impl Model for Noted {
    const FORMAT: &'static str = "test.noted.v1";

    fn save(&self, dir: &Path) -> Result<()> {
        note();
        save_json(dir, "noted.json", self)
    }

    fn load(dir: &Path, _: &Loaders) -> Result<Self> {
        note();
        load_json(dir, "noted.json")
    }
}

/// All async tasks run on the thread of the test.
#[tokio::test(flavor = "current_thread")]
async fn work_that_waits_leaves_the_async_threads() {
    let here = std::thread::current().id();
    let on_async = Arc::new(AtomicBool::new(false));
    let n_calls = Arc::new(AtomicUsize::new(0));
    let seen = || {
        let (on_async, n_calls) = (Arc::clone(&on_async), Arc::clone(&n_calls));
        move || {
            on_async.fetch_or(std::thread::current().id() == here, Ordering::Relaxed);
            n_calls.fetch_add(1, Ordering::Relaxed);
        }
    };
    let (opened, trained, judged) = (seen(), seen(), seen());
    let read = Arc::new(seen());
    let source = ReaderSource::new("parcels", move || {
        opened();
        let rows = parcels(400);
        let (schema, read) = (rows.schema(), Arc::clone(&read));
        let batches = std::iter::once_with(move || {
            read();
            Ok(rows)
        });
        Ok(RecordBatchIterator::new(batches, schema))
    });
    let models = tempfile::tempdir().unwrap();
    let pipeline = Pipeline::builder("noted")
        .data(source.label("late"))
        .train_with("noted", 1, move |args: &TrainArgs| {
            trained();
            let n_features = args.train().n_features();
            Ok(Noted { n_features })
        })
        .validate_with("noted", 1, move |_: EvalArgs<'_, Noted>| {
            judged();
            Ok(Verdict::new().check("all", true, "fine"))
        })
        .serve(ModelRepository::at(models.path()))
        .build()
        .unwrap();
    for _ in 0..2 {
        assert!(matches!(
            pipeline.run().await.unwrap(),
            Outcome::Deployed { .. }
        ));
    }
    // Opened for the columns and for the rows, read, trained and judged, twice.
    assert!(n_calls.load(Ordering::Relaxed) >= 2 * 5);
    assert!(
        !on_async.load(Ordering::Relaxed),
        "a stage has run on an async thread"
    );
    let touched = SAVED_OR_LOADED.lock().unwrap();
    // Tried, deployed; and loaded as a baseline in the second run.
    assert!(touched.len() >= 7, "{}", touched.len());
    assert!(
        !touched.contains(&here),
        "files of a model on an async thread"
    );
}

/// A table that is no file.
#[tokio::test]
async fn a_table_is_read_by_the_engine_that_is_given() {
    let x: ArrayRef = Arc::new(Int64Array::from_iter_values((0..40).map(|i| i / 2 % 7)));
    let y: ArrayRef = Arc::new(Int64Array::from_iter_values((0..40).map(|i| i % 2)));
    let rows = RecordBatch::try_from_iter([("x", x), ("y", y)]).unwrap();
    let table = MemTable::try_new(rows.schema(), vec![vec![rows]]).unwrap();
    let engine = Engine::on(&SessionContext::new(), 2).unwrap();
    let data = TableSource::new("numbers", Arc::new(table)).label("y");
    let made = prepare(&data, &engine).await.unwrap();
    let n: usize = made.splits().values().map(|split| split.n_rows()).sum();
    assert_eq!(n, 40);
}
