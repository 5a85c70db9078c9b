//! The core over models that do what a test prescribes.

mod batches;
mod clients;
mod counts;
mod isolation;
mod limits;
mod manager;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, LazyLock, Mutex, mpsc};
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Float64Array, RecordBatch};
use ndarray::Array2;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{Batching, Limits, ServerCore, ServerCoreBuilder};
use crate::blessing::Candidate;
use crate::error::{Error, ErrorKind, Result};
use crate::features::Features;
use crate::model::{Loaders, Model, Predict, Prediction, Target, load_json, save_json};
use crate::schema::{Field, FieldType, Schema};
use crate::serving::metrics::parse;
use crate::serving::{Manager, ModelRepository};
use crate::transform::ops::ImputeNumber;
use crate::transform::{FittedStep, FittedTransform, InputColumn};

/// Longer than anything takes.
const LONG: Duration = Duration::from_secs(60);

/// The behaviour of a model, beside answering `2 x + 1`: it stops at its gate, and it fails for some `x`.
#[derive(Debug)]
struct Script {
    open: Mutex<bool>,
    opened: Condvar,
    /// The rows of each call.
    calls: Mutex<Vec<usize>>,
    /// The first row of each call.
    asked: Mutex<Vec<f64>>,
    running: AtomicUsize,
    most_running: AtomicUsize,
    /// Spun before each answer.
    busy: Mutex<Duration>,
}

const FAILS: f64 = -1.0;
const PANICS: f64 = -2.0;
const IS_NAN: f64 = -3.0;

static SCRIPTS: LazyLock<Mutex<HashMap<u64, Arc<Script>>>> = LazyLock::new(Mutex::default);

#[derive(Debug)]
struct Actor {
    id: u64,
    script: Arc<Script>,
}

impl Actor {
    fn new() -> Actor {
        static IDS: AtomicU64 = AtomicU64::new(0);
        let id = IDS.fetch_add(1, Ordering::Relaxed);
        let script = Arc::new(Script {
            open: Mutex::new(true),
            opened: Condvar::new(),
            calls: Mutex::default(),
            asked: Mutex::default(),
            running: AtomicUsize::new(0),
            most_running: AtomicUsize::new(0),
            busy: Mutex::default(),
        });
        SCRIPTS.lock().unwrap().insert(id, Arc::clone(&script));
        Actor { id, script }
    }

    fn save_as(self, name: &str, version: u64, root: &Path) -> Arc<Script> {
        let script = Arc::clone(&self.script);
        let schema = Schema::new([Field::new("x", FieldType::Float)]);
        let step = FittedStep::new("x", "x", ImputeNumber { value: 0.0 });
        let input = InputColumn::new("x", FieldType::Float);
        let transform = FittedTransform::new(vec![input], vec![step]).unwrap();
        let label = "y".to_owned();
        Candidate::new(
            name,
            self,
            Target::regression(label),
            &schema,
            Arc::new(transform),
            BTreeMap::new(),
        )
        .unwrap()
        .save(&root.join(name).join(version.to_string()))
        .unwrap();
        script
    }
}

impl Script {
    fn close(&self) {
        *self.open.lock().unwrap() = false;
    }

    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    fn take(&self, busy: Duration) {
        *self.busy.lock().unwrap() = busy;
    }

    fn calls(&self) -> Vec<usize> {
        self.calls.lock().unwrap().clone()
    }

    fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }
}

impl Predict for Actor {
    fn n_features(&self) -> usize {
        1
    }

    fn n_outputs(&self) -> usize {
        1
    }

    fn predict(&self, features: &Features) -> Result<Array2<f64>> {
        let features = features.matrix();
        let script = &self.script;
        script.calls.lock().unwrap().push(features.nrows());
        let first = features.iter().next().copied().map(f64::from);
        script.asked.lock().unwrap().extend(first);
        let running = script.running.fetch_add(1, Ordering::SeqCst) + 1;
        script.most_running.fetch_max(running, Ordering::SeqCst);
        let open = script.open.lock().unwrap();
        drop(script.opened.wait_while(open, |open| !*open).unwrap());
        let begun = Instant::now();
        let busy = *script.busy.lock().unwrap();
        while begun.elapsed() < busy {
            std::hint::spin_loop();
        }
        script.running.fetch_sub(1, Ordering::SeqCst);
        let has = |x: f64| features.iter().any(|feature| f64::from(*feature) == x);
        if has(FAILS) {
            return Err(Error::model("it does not like this"));
        }
        assert!(!has(PANICS), "a test's panic");
        Ok(features.map(|x| match f64::from(*x) {
            IS_NAN => f64::NAN,
            x => 2.0 * x + 1.0,
        }))
    }
}

impl Model for Actor {
    const FORMAT: &'static str = "test.actor.v1";

    fn save(&self, dir: &Path) -> Result<()> {
        save_json(dir, "id.json", &self.id)
    }

    fn load(dir: &Path, _: &Loaders) -> Result<Self> {
        let id: u64 = load_json(dir, "id.json")?;
        let script = Arc::clone(&SCRIPTS.lock().unwrap()[&id]);
        Ok(Actor { id, script })
    }
}

/// A core over models of these names, in a directory of its own.
struct Stage {
    core: ServerCore,
    runtime: Runtime,
    models: TempDir,
    scripts: Vec<Arc<Script>>,
}

/// Opens the gates, so that a failing test ends.
impl Drop for Stage {
    fn drop(&mut self) {
        for script in &self.scripts {
            script.open();
        }
    }
}

fn loaders() -> Loaders {
    Loaders::default().with::<Actor>()
}

impl Stage {
    fn with<const N: usize>(
        names: [&str; N],
        configure: impl FnOnce(ServerCoreBuilder) -> ServerCoreBuilder,
    ) -> (Stage, [Arc<Script>; N]) {
        let models = tempfile::tempdir().unwrap();
        let scripts = names.map(|name| Actor::new().save_as(name, 1, models.path()));
        let manager = Manager::open(ModelRepository::at(models.path()), loaders()).unwrap();
        let core = configure(ServerCore::builder(Arc::new(manager)));
        let stage = Stage {
            core: core.build().unwrap(),
            runtime: runtime(),
            models,
            scripts: scripts.to_vec(),
        };
        (stage, scripts)
    }

    /// Sends a request on a task of its own.
    fn ask(&self, model: &str, xs: &[f64]) -> Pending {
        let (core, model, rows) = (self.core.clone(), model.to_owned(), rows(xs));
        let (send, receive) = mpsc::channel();
        let task = self.runtime.spawn(async move {
            let _ = send.send(core.predict(&model, None, rows).await);
        });
        Pending { receive, task }
    }

    /// Sends a request and waits.
    fn answer(&self, model: &str, xs: &[f64]) -> Result<Vec<f64>> {
        self.ask(model, xs).answer()
    }

    fn samples(&self) -> BTreeMap<String, f64> {
        parse::samples(&self.core.metrics().encode())
    }
}

/// Few threads, so that one that is held is noticed.
fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

struct Pending {
    receive: mpsc::Receiver<Result<Prediction>>,
    task: tokio::task::JoinHandle<()>,
}

impl Pending {
    fn answer(self) -> Result<Vec<f64>> {
        let answer = self.receive.recv_timeout(LONG).expect("an answer in time");
        answer.map(|prediction| prediction.outputs().iter().copied().collect())
    }

    fn cancel(self) {
        self.task.abort();
    }

    fn is_answered(&self) -> bool {
        self.task.is_finished()
    }
}

fn rows(xs: &[f64]) -> RecordBatch {
    let column: ArrayRef = Arc::new(Float64Array::from(xs.to_vec()));
    RecordBatch::try_from_iter([("x", column)]).unwrap()
}

fn expected(xs: &[f64]) -> Vec<f64> {
    xs.iter().map(|x| 2.0 * x + 1.0).collect()
}

/// Waits for something that must come.
#[track_caller]
fn until(what: impl Fn() -> bool) {
    let begun = Instant::now();
    while !what() {
        assert!(begun.elapsed() < LONG, "it did not come");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Asks until a version is known to be quick.
fn warm(stage: &Stage, model: &str) {
    for _ in 0..8 {
        stage.answer(model, &[1.0]).unwrap();
    }
}
