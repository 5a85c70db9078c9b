//! A manager over artificial models: their loaders fail, hang and panic as instructed.

mod isolation;
mod memory;
mod operators;
mod properties;
mod routing;
mod stress;
mod swapping;
mod warming;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant, SystemTime};

use arrow::array::{Float64Array, RecordBatch};
use ndarray::Array2;

use super::*;
use crate::error::{Error, ErrorKind, Result};
use crate::features::Features;
use crate::model::{Manifest, Predict, Servable, Target};
use crate::schema::{Field, FieldType, Schema};
use crate::transform::ops::ImputeNumber;
use crate::transform::{FittedStep, FittedTransform, InputColumn};

/// Answers the number of its version, and notes on which thread it is dropped.
#[derive(Debug)]
struct Answers {
    version: u64,
    dropped: Arc<Mutex<Vec<(u64, String)>>>,
}

impl Predict for Answers {
    fn n_features(&self) -> usize {
        1
    }

    fn n_outputs(&self) -> usize {
        1
    }

    fn predict(&self, features: &Features) -> Result<Array2<f64>> {
        let features = features.matrix();
        match features.iter().find(|feature| **feature < 0.0) {
            Some(feature) if *feature < -1.0 => panic!("it is below -1"),
            Some(_) => Err(Error::model("it is negative")),
            None => Ok(Array2::from_elem(
                (features.nrows(), 1),
                self.version as f64,
            )),
        }
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        let thread = std::thread::current().name().unwrap_or("").to_owned();
        self.dropped.lock().unwrap().push((self.version, thread));
    }
}

fn rows(values: &[f64]) -> RecordBatch {
    let values = Float64Array::from(values.to_vec());
    RecordBatch::try_from_iter([("x", Arc::new(values) as _)]).unwrap()
}

/// The behaviour of a version's loader.
#[derive(Clone, Copy, Debug)]
enum Does {
    Loads,
    Fails,
    Panics,
    /// It loads once the gate is open.
    Hangs,
}

/// A source and an adapter that behave as instructed.
#[derive(Clone, Debug, Default)]
struct World(Arc<Inside>);

#[derive(Debug, Default)]
struct Inside {
    models: Mutex<BTreeMap<String, BTreeMap<u64, FoundVersion>>>,
    controls: Mutex<BTreeMap<String, Control>>,
    forgets: AtomicBool,
    unlistable: Mutex<Vec<String>>,
    is_down: AtomicBool,
    /// A poll that is under way does not end until the gate is open.
    polls_hang: AtomicBool,
    does: Mutex<BTreeMap<(String, u64), Does>>,
    bytes: Mutex<BTreeMap<(String, u64), u64>>,
    /// The loads that were tried.
    tried: Mutex<Vec<(String, u64)>>,
    /// The nice values of the threads that loaded.
    nices: Mutex<Vec<i32>>,
    dropped: Arc<Mutex<Vec<(u64, String)>>>,
    retained: Mutex<Vec<(String, Vec<u64>)>>,
    is_open: Mutex<bool>,
    opened: Condvar,
}

impl World {
    fn of(models: &[(&str, u64)]) -> World {
        let world = World::default();
        for (model, version) in models {
            world.push(model, *version);
        }
        world
    }

    fn push(&self, model: &str, version: u64) {
        let found = FoundVersion::new(version, format!("/nowhere/{model}/{version}"));
        self.push_found(model, found);
    }

    fn push_found(&self, model: &str, found: FoundVersion) {
        let mut models = self.0.models.lock().unwrap();
        models
            .entry(model.to_owned())
            .or_default()
            .insert(found.version(), found);
    }

    fn remove(&self, model: &str, version: u64) {
        let mut models = self.0.models.lock().unwrap();
        models.get_mut(model).unwrap().remove(&version);
    }

    fn tell(&self, model: &str, version: u64, does: Does) {
        let mut all = self.0.does.lock().unwrap();
        all.insert((model.to_owned(), version), does);
    }

    fn takes(&self, model: &str, version: u64, n_bytes: u64) {
        let mut all = self.0.bytes.lock().unwrap();
        all.insert((model.to_owned(), version), n_bytes);
    }

    fn open_gate(&self) {
        *self.0.is_open.lock().unwrap() = true;
        self.0.opened.notify_all();
    }

    fn wait_for_gate(&self) {
        let mut is_open = self.0.is_open.lock().unwrap();
        while !*is_open {
            is_open = self.0.opened.wait(is_open).unwrap();
        }
    }

    /// The number of attempts to load a version.
    fn n_tries(&self, model: &str, version: u64) -> usize {
        let tried = self.0.tried.lock().unwrap();
        let same = |tried: &&(String, u64)| tried.0 == model && tried.1 == version;
        tried.iter().filter(same).count()
    }

    fn dropped(&self) -> Vec<(u64, String)> {
        self.0.dropped.lock().unwrap().clone()
    }

    /// A manager that polls only on request.
    fn builder(&self) -> ManagerBuilder {
        Manager::builder(self.clone())
            .source_adapter(self.clone())
            .poll_interval(None)
            .slow_after(Duration::from_millis(500))
            .retries(3, Duration::from_millis(5))
            .open_timeout(Duration::from_secs(20))
    }

    fn open(&self) -> Manager {
        self.builder().open().unwrap()
    }
}

impl Source for World {
    fn poll(&self) -> Result<Vec<FoundModel>> {
        if self.0.is_down.load(Ordering::Relaxed) {
            return Err(Error::not_found("the source is down"));
        }
        if self.0.polls_hang.load(Ordering::Relaxed) {
            self.wait_for_gate();
        }
        let controls = self.0.controls.lock().unwrap();
        let unlistable = self.0.unlistable.lock().unwrap();
        let models = self.0.models.lock().unwrap();
        let found = models.iter().map(|(name, versions)| {
            if unlistable.contains(name) {
                return FoundModel::new(name, Err(Error::model("it cannot be listed")));
            }
            let control = controls.get(name).cloned().unwrap_or_default();
            let versions = versions.values().cloned().collect();
            FoundModel::new(name, Ok(Found::new(versions, control)))
        });
        Ok(found.collect())
    }

    fn retain(&self, model: &str, versions: &[u64]) -> Result<()> {
        let mut retained = self.0.retained.lock().unwrap();
        retained.push((model.to_owned(), versions.to_vec()));
        Ok(())
    }

    fn update(
        &self,
        model: &str,
        change: &mut dyn FnMut(&mut Control) -> Result<()>,
    ) -> Result<Control> {
        if self.0.forgets.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Unsupported, "it forgets"));
        }
        let mut controls = self.0.controls.lock().unwrap();
        let control = controls.entry(model.to_owned()).or_default();
        change(control)?;
        Ok(control.clone())
    }
}

impl SourceAdapter for World {
    fn adapt(&self, model: &str, version: &FoundVersion) -> Result<Box<dyn Loader>> {
        Ok(Box::new(WorldLoader {
            world: self.clone(),
            model: model.to_owned(),
            version: version.version(),
        }))
    }
}

#[derive(Debug)]
struct WorldLoader {
    world: World,
    model: String,
    version: u64,
}

impl Loader for WorldLoader {
    fn estimate(&self) -> u64 {
        let bytes = self.world.0.bytes.lock().unwrap();
        let own = bytes.get(&(self.model.clone(), self.version));
        own.copied().unwrap_or(10)
    }

    fn load(&self) -> Result<Servable> {
        let inside = &self.world.0;
        let key = (self.model.clone(), self.version);
        inside.tried.lock().unwrap().push(key.clone());
        inside.nices.lock().unwrap().extend(nice());
        let does = inside.does.lock().unwrap().get(&key).copied();
        match does.unwrap_or(Does::Loads) {
            Does::Loads => {}
            Does::Fails => return Err(Error::model("a broken model")),
            Does::Panics => panic!("a bug in a loader"),
            Does::Hangs => self.world.wait_for_gate(),
        }
        let model = Answers {
            version: self.version,
            dropped: Arc::clone(&inside.dropped),
        };
        let manifest = Manifest {
            format_version: Manifest::FORMAT_VERSION,
            name: self.model.clone(),
            model_format: "test.answers.v1".to_owned(),
            target: Target::regression("y"),
            label: None,
            details: BTreeMap::new(),
        };
        let inputs = vec![InputColumn::new("x", FieldType::Float)];
        let steps = vec![FittedStep::new("x", "x", ImputeNumber { value: 0.0 })];
        Servable::new(
            manifest,
            &Schema::new([Field::new("x", FieldType::Float)]),
            Arc::new(FittedTransform::new(inputs, steps)?),
            Arc::new(model),
        )
    }
}

/// The nice value of this thread, where that can be known.
fn nice() -> Option<i32> {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").ok()?;
    // The name, the second field, may have spaces in it; the nice value is the nineteenth.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(16)?.parse().ok()
}

/// Waits until something is so.
#[track_caller]
fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "it never came that {what}"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn version(manager: &Manager, model: &str) -> u64 {
    manager.get(model, None).unwrap().version()
}

/// The answer of a version.
fn answer(predictor: &crate::serving::Predictor) -> f64 {
    let prediction = predictor.predict(&rows(&[1.0])).unwrap();
    prediction.outputs()[[0, 0]]
}

/// `1 available, 2 end: why` of a model.
fn states(manager: &Manager, model: &str) -> String {
    let states = manager.state(model).unwrap().versions.into_iter();
    let states = states.map(|state| {
        let reason = state.reason.map(|reason| format!(": {reason}"));
        let labels: String = state
            .labels
            .iter()
            .map(|label| format!(" {label}"))
            .collect();
        format!(
            "{} {}{labels}{}",
            state.version,
            state.state,
            reason.unwrap_or_default()
        )
    });
    states.collect::<Vec<_>>().join(", ")
}

/// A time that differs from another.
fn time(seconds: u64) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}
