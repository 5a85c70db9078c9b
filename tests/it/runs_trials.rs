//! Trials of a search are executions: a search that was stopped goes on with those that have ended.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use fourfold::Cancellation;
use fourfold::Result;
use fourfold::model::ForestModel;
use fourfold::prelude::*;
use fourfold::progress::Event;
use fourfold::runs::{Execution, Root, State};
use fourfold::search::{AutoTrainer, Space, Strategy, Tune, Validation};
use serde::{Deserialize, Serialize};

use crate::support::{parcels, tree};

/// How often the trainers of each name have trained, and who is told to stop after how many times.
static TRAINED: Mutex<Option<HashMap<String, Counter>>> = Mutex::new(None);

#[derive(Default)]
struct Counter {
    times: usize,
    stop: Option<(usize, Cancellation)>,
}

fn of<T>(name: &str, then: impl FnOnce(&mut Counter) -> T) -> T {
    let mut all = TRAINED.lock().unwrap_or_else(PoisonError::into_inner);
    then(
        all.get_or_insert_default()
            .entry(name.to_owned())
            .or_default(),
    )
}

/// A tree that counts how often it is trained.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Counted {
    counter: String,
    max_depth: usize,
    fails_at: Option<usize>,
}

impl Stage for Counted {
    fn name(&self) -> &str {
        "counted"
    }
}

impl Trainer for Counted {
    type Model = ForestModel;

    fn train(&self, args: &TrainArgs) -> Result<Trained<ForestModel>> {
        of(&self.counter, |counter| {
            counter.times += 1;
            if let Some((after, cancellation)) = &counter.stop
                && counter.times >= *after
            {
                cancellation.cancel();
            }
        });
        if self.fails_at == Some(self.max_depth) {
            return Err(Error::new(ErrorKind::Model, "no such depth"));
        }
        DecisionTree::default()
            .max_depth(self.max_depth)
            .train(args)
    }

    fn capabilities(&self) -> Capabilities {
        DecisionTree::default().capabilities()
    }
}

fn space(counter: &str) -> Space {
    Space::of(Counted {
        counter: counter.to_owned(),
        max_depth: 3,
        fails_at: Some(2),
    })
    .integer("max_depth", 1, 8)
}

/// Eight trials of three folds each; the trials' order does not hang on chance.
fn grid(counter: &str) -> Tune {
    Tune::over(space(counter))
        .strategy(Strategy::Grid(8))
        .validation(Validation::Folds(3))
        .batch(2)
}

fn run<T: Trainer>(dir: &Path, trainer: T, rows: usize, cancellation: &Cancellation) -> Result<()> {
    Pipeline::builder("parcels")
        .data(BatchSource::new("rows", vec![parcels(rows)]).label("late"))
        .train(TrainingPipeline::new(trainer).threads(1))
        .evaluate(Thresholds::new().at_least("skill", -9.0))
        .serve(ModelRepository::at(dir.join("models")))
        .root(dir.join("root"))
        .cancellation(cancellation.clone())
        .build()?
        .run_blocking()
        .map(drop)
}

fn models(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let models = dir.join("models/parcels/1/model");
    let files = tree(&models).into_iter().filter(|path| path.is_file());
    let files: Vec<_> = files
        .map(|path| {
            (
                path.strip_prefix(&models).unwrap().to_owned(),
                fs::read(&path).unwrap(),
            )
        })
        .collect();
    assert!(!files.is_empty());
    files
}

fn executions(dir: &Path, stage: &str) -> Vec<Execution> {
    let root = Root::open(dir.join("root")).unwrap();
    let mut all = root.executions().unwrap();
    all.retain(|execution| execution.stage == stage);
    all
}

#[test]
fn a_search_that_was_stopped_goes_on_with_the_trials_that_have_ended() {
    let undisturbed = tempfile::tempdir().unwrap();
    run(undisturbed.path(), grid("whole"), 500, &Cancellation::new()).unwrap();
    let whole = of("whole", |counter| counter.times);
    let trials = executions(undisturbed.path(), "trial");
    assert_eq!(trials.len(), 8);
    let failed: Vec<_> = trials
        .iter()
        .filter(|trial| trial.state == State::Failed)
        .collect();
    assert_eq!(failed.len(), 1);
    assert!(
        failed[0]
            .error
            .as_deref()
            .unwrap()
            .contains("no such depth")
    );
    for trial in trials.iter().filter(|trial| trial.state == State::Done) {
        let result = trial.result.as_ref().unwrap();
        assert_eq!(result["metric"], "log_loss");
        assert!(result["value"].as_f64().unwrap() > 0.0);
        assert_eq!(trial.name, "counted");
    }
    // One training of all rows by the best.
    assert_eq!(whole, 7 * 3 + 1 + 1);

    let disturbed = tempfile::tempdir().unwrap();
    let cancellation = Cancellation::new();
    of("part", |counter| {
        counter.stop = Some((12, cancellation.clone()))
    });
    // It has a best one by then, which is not taken for that of the whole search.
    let error = run(disturbed.path(), grid("part"), 500, &cancellation).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    let part = of("part", |counter| {
        counter.stop = None;
        counter.times
    });
    let ended = executions(disturbed.path(), "trial");
    let done = ended
        .iter()
        .filter(|trial| trial.state == State::Done)
        .count();
    assert_eq!(done, 3, "of trials 1, 3 and 4; the fifth was stopped");
    let training = executions(disturbed.path(), "train");
    assert_eq!(training[0].state, State::Cancelled);

    run(disturbed.path(), grid("part"), 500, &Cancellation::new()).unwrap();
    let rest = of("part", |counter| counter.times) - part;
    // The trial that failed is tried again.
    assert_eq!(rest, whole - done * 3);
    assert_eq!(models(disturbed.path()), models(undisturbed.path()));
    let ids: Vec<String> = ended.iter().map(|trial| trial.id.clone()).collect();
    let all = executions(disturbed.path(), "trial");
    assert!(ids.iter().all(|id| all.iter().any(|trial| trial.id == *id)));

    // On other rows, nothing of it is of use.
    let before = of("part", |counter| counter.times);
    run(disturbed.path(), grid("part"), 600, &Cancellation::new()).unwrap();
    assert_eq!(of("part", |counter| counter.times) - before, whole);
}

#[test]
fn more_trials_begin_with_those_on_record() {
    let search = |trials: usize| {
        Tune::over(space("more"))
            .validation(Validation::Folds(2))
            .trials(trials)
    };
    let (at_once, bit_by_bit) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run(bit_by_bit.path(), search(4), 400, &Cancellation::new()).unwrap();
    let first = executions(bit_by_bit.path(), "trial").len();
    run(at_once.path(), search(8), 400, &Cancellation::new()).unwrap();
    fs::remove_dir_all(bit_by_bit.path().join("models")).unwrap();
    run(bit_by_bit.path(), search(8), 400, &Cancellation::new()).unwrap();
    assert_eq!(models(bit_by_bit.path()), models(at_once.path()));
    let all = executions(bit_by_bit.path(), "trial");
    let done = |trial: &&Execution| trial.state == State::Done;
    let mut keys: Vec<_> = all
        .iter()
        .filter(done)
        .map(|trial| trial.key.clone())
        .collect();
    keys.sort();
    let n = keys.len();
    keys.dedup();
    assert!(
        first > 0 && keys.len() == n,
        "none that ended was run twice"
    );
}

#[test]
fn an_ensemble_is_the_same_of_trials_that_are_on_record() {
    let (at_once, bit_by_bit) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let search = |trials: usize| AutoTrainer::default().trials(trials);
    run(at_once.path(), search(4), 200, &Cancellation::new()).unwrap();
    run(bit_by_bit.path(), search(2), 200, &Cancellation::new()).unwrap();
    assert_eq!(executions(bit_by_bit.path(), "trial").len(), 2);
    fs::remove_dir_all(bit_by_bit.path().join("models")).unwrap();
    run(bit_by_bit.path(), search(4), 200, &Cancellation::new()).unwrap();
    assert_eq!(executions(bit_by_bit.path(), "trial").len(), 4);
    assert_eq!(models(bit_by_bit.path()), models(at_once.path()));
}

#[test]
fn an_automatic_search_that_was_stopped_goes_on() {
    let search = || AutoTrainer::default().trials(8);
    let (whole, stopped) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run(whole.path(), search(), 200, &Cancellation::new()).unwrap();
    let cancellation = Cancellation::new();
    let cancel = cancellation.clone();
    let error = Pipeline::builder("parcels")
        .data(BatchSource::new("rows", vec![parcels(200)]).label("late"))
        .train(TrainingPipeline::new(search()).threads(1))
        .evaluate(Thresholds::new().at_least("skill", -9.0))
        .serve(ModelRepository::at(stopped.path().join("models")))
        .root(stopped.path().join("root"))
        .cancellation(cancellation)
        // As soon as it tells of the first trials.
        .observe(move |event| {
            if matches!(event, Event::Message { .. }) {
                cancel.cancel();
            }
        })
        .build()
        .unwrap()
        .run_blocking()
        .map(drop)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    let before = executions(stopped.path(), "trial");
    let is_done = |trial: &&Execution| trial.state == State::Done;
    assert_eq!(before.iter().filter(is_done).count(), 4, "one batch");
    run(stopped.path(), search(), 200, &Cancellation::new()).unwrap();
    assert_eq!(models(stopped.path()), models(whole.path()));
    let after = executions(stopped.path(), "trial");
    assert_eq!(after.iter().filter(is_done).count(), 8);
    let kept = |trial: &&Execution| after.iter().any(|other| other.id == trial.id);
    assert!(before.iter().filter(is_done).all(|trial| kept(&trial)));
}

#[test]
fn trials_on_record_are_measured_again_only_for_a_new_limit() {
    let dir = tempfile::tempdir().unwrap();
    let trained = |search: Tune| {
        let before = of("limits", |counter| counter.times);
        let _ = fs::remove_dir_all(dir.path().join("models"));
        run(dir.path(), search, 300, &Cancellation::new()).unwrap();
        of("limits", |counter| counter.times) - before
    };
    let without = trained(grid("limits"));
    assert_eq!(trained(grid("limits").max_bytes(u64::MAX)), without);
    // The sizes are on record now: of the eight trials, the one that failed, and the best on all rows.
    assert_eq!(trained(grid("limits").max_bytes(1 << 30)), 1 + 1);
}

/// Trains the trainer within on half of the rows: what is on record of all rows is of no use.
#[derive(Serialize)]
struct OnHalf(#[serde(serialize_with = "fourfold::serialize_stage")] Tune);

impl Stage for OnHalf {
    fn name(&self) -> &str {
        "on_half"
    }
}

impl Trainer for OnHalf {
    type Model = fourfold::model::AnyModel;

    fn train(&self, args: &TrainArgs) -> Result<Trained<Self::Model>> {
        let half = args.train().hold_out(0.5)?.train;
        self.0.train(&args.clone().with_train(half))
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }
}

#[test]
fn trials_on_other_rows_than_the_pipelines_are_not_on_record() {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), OnHalf(grid("half")), 400, &Cancellation::new()).unwrap();
    assert!(executions(dir.path(), "trial").is_empty());
    assert_eq!(executions(dir.path(), "train").len(), 1);
}
