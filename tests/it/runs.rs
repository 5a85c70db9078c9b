//! Runs with a root: what is run again, what is on record.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use fourfold::clock::VirtualClock;
use fourfold::datafusion::prelude::DataFrame;
use fourfold::fingerprint::Fingerprint;
use fourfold::model::ConstantModel;
use fourfold::pipeline::{Retry, RunRecord};
use fourfold::prelude::*;
use fourfold::runs::{Planned, Root, Secret, State};
use fourfold::serving::PushedModel;
use fourfold::{Cancellation, Result};
use serde::Serialize;

use crate::support::{parcels, tree, write_csv};

/// A directory with a file of rows, a root and models.
struct Place {
    path: PathBuf,
    /// None in a process that works in the place of another one.
    _dir: Option<tempfile::TempDir>,
}

/// What differs from run to run.
#[derive(Clone, Copy)]
struct Options {
    at_least: f64,
    seed: u64,
    cache: bool,
    rows_of: Option<usize>,
}

const PLAIN: Options = Options {
    at_least: 0.6,
    seed: 0,
    cache: true,
    rows_of: None,
};

type Parcels = Pipeline<FileSource, GradientBoosting, Thresholds, ModelRepository>;

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let place = Place {
            path: dir.path().to_owned(),
            _dir: Some(dir),
        };
        write_csv(&place.path("rows.csv"), &parcels(900));
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn pipeline(&self, options: Options) -> Parcels {
        let data = FileSource::csv(self.path("rows.csv")).label("late");
        Pipeline::builder("parcels")
            .data(match options.rows_of {
                Some(rows) => data.row_group_rows(rows),
                None => data,
            })
            .train(TrainingPipeline::new(GradientBoosting::default()).seed(options.seed))
            .evaluate(Thresholds::new().at_least("auc", options.at_least))
            .serve(ModelRepository::at(self.path("models")))
            .root(self.path("root"))
            .cache(options.cache)
            .tag("test", "yes")
            .note("a note")
            .code_version("4f2a")
            .build()
            .unwrap()
    }

    fn run(&self, options: Options) -> (RunRecord, Option<PushedModel>) {
        let outcome = self.pipeline(options).run_blocking().unwrap();
        (outcome.run().clone(), outcome.endpoint())
    }

    fn root(&self) -> Root {
        Root::open(self.path("root")).unwrap()
    }

    /// How the runs stand.
    fn states(&self) -> Vec<State> {
        let runs = self.root().runs().unwrap();
        runs.iter().map(|run| run.state).collect()
    }

    /// Gives the file another time, beyond what counts as just written.
    fn touch(&self, seconds: u64) {
        let file = File::options()
            .write(true)
            .open(self.path("rows.csv"))
            .unwrap();
        let time = SystemTime::now() - Duration::from_secs(seconds);
        file.set_modified(time).unwrap();
    }
}

const ALL: [&str; 6] = [
    "extract", "prepare", "train", "evaluate", "verdict", "deploy",
];

#[test]
fn only_what_has_changed_is_run_again() {
    let place = Place::new();
    let (first, pushed) = place.run(PLAIN);
    assert_eq!(first.ran, ALL);
    assert!(first.reused.is_empty());
    assert_eq!(pushed.unwrap().version, 1);

    // Nothing has changed: nothing runs, and all is said as it was.
    let (second, pushed) = place.run(PLAIN);
    assert!(second.ran.is_empty(), "{:?}", second.ran);
    assert_eq!(second.reused, ALL);
    assert_eq!(pushed.unwrap().version, 1);
    let without_run = |run: &RunRecord| {
        let mut run = run.clone();
        run.id = None;
        run.timings_s.clear();
        run.setup.ended.clear();
        // Of the run that evaluated.
        run.measured = None;
        (run.reused, run.ran) = (Vec::new(), Vec::new());
        run
    };
    assert_eq!(without_run(&second), without_run(&first));
    assert_ne!(second.id, first.id);

    // A file that was touched.
    place.touch(1_000);
    assert!(place.run(PLAIN).0.ran.is_empty());
    // A file that was written again.
    let bytes = fs::read(place.path("rows.csv")).unwrap();
    fs::remove_file(place.path("rows.csv")).unwrap();
    fs::write(place.path("rows.csv"), &bytes).unwrap();
    assert!(place.run(PLAIN).0.ran.is_empty());
    // Other bytes of the same rows: the rows are read again, and that is where it ends.
    let text = String::from_utf8(bytes.clone()).unwrap();
    fs::write(place.path("rows.csv"), text.replace('\n', "\r\n")).unwrap();
    assert_eq!(place.run(PLAIN).0.ran, ["extract"]);
    fs::write(place.path("rows.csv"), &bytes).unwrap();

    // A threshold.
    let stricter = Options {
        at_least: 0.65,
        ..PLAIN
    };
    let (run, pushed) = place.run(stricter);
    assert_eq!(run.ran, ["verdict"]);
    assert_eq!(pushed.unwrap().version, 1);
    assert!(
        run.verdict.checks()[0]
            .message
            .ends_with("must be at least 0.65")
    );
    // One that rejects: what serves goes on serving.
    let too_strict = Options {
        at_least: 0.999_9,
        ..PLAIN
    };
    let (run, pushed) = place.run(too_strict);
    assert_eq!(run.ran, ["verdict"]);
    assert_eq!(pushed, None);

    // Another seed: training and what follows.
    let other_seed = Options { seed: 7, ..PLAIN };
    let (run, pushed) = place.run(other_seed);
    assert_eq!(run.ran, ["train", "evaluate", "verdict", "deploy"]);
    assert_eq!(pushed.unwrap().version, 2);
    assert!(
        run.baseline_metrics.is_some(),
        "it is compared with the first"
    );
    assert!(place.run(other_seed).0.ran.is_empty());

    // Back again: the first model is known, but not how it does beside the second.
    let (run, pushed) = place.run(PLAIN);
    assert_eq!(run.ran, ["evaluate", "verdict", "deploy"]);
    assert_eq!(pushed.unwrap().version, 3);

    // Without the cache everything runs, and makes the same.
    let anew = Options {
        cache: false,
        ..PLAIN
    };
    let (run, pushed) = place.run(anew);
    assert_eq!(run.ran, ALL);
    assert_eq!(pushed.unwrap().version, 3, "nothing is published twice");

    // Other rows: everything.
    write_csv(&place.path("rows.csv"), &parcels(1_000));
    assert_eq!(place.run(PLAIN).0.ran, ALL);
}

#[test]
fn a_gate_runs_again_what_it_asks_for_and_no_more() {
    let place = Place::new();
    let ran = |gates: Thresholds| {
        let outcome = Pipeline::builder("parcels")
            .data(FileSource::csv(place.path("rows.csv")).label("late"))
            .train(DecisionTree::default())
            .evaluate(gates)
            .serve(ModelRepository::at(place.path("models")))
            .root(place.path("root"))
            .build()
            .unwrap()
            .run_blocking()
            .unwrap();
        outcome.run().ran.clone()
    };
    let auc = || Thresholds::new().at_least("auc", 0.6);
    assert_eq!(ran(auc()), ALL);
    // Metrics that are computed anyway.
    assert_eq!(ran(auc().at_least("precision", 0.1)), ["verdict"]);
    assert_eq!(ran(Thresholds::new().at_most("brier", 0.25)), ["verdict"]);
    // One that is computed when it is asked for; then it is there.
    let beta = |at_least: f64| auc().at_least("fbeta(2)", at_least);
    assert_eq!(ran(beta(0.1)), ["evaluate", "verdict"]);
    assert_eq!(ran(beta(0.2)), ["verdict"]);
    // Bounds and margins are the verdict's.
    let change = |margin: f64| auc().no_worse_than_baseline("auc", margin);
    assert_eq!(ran(change(0.01)), ["verdict"]);
    assert_eq!(ran(change(0.02)), ["verdict"]);
}

#[test]
fn a_model_is_the_same_whether_its_stages_ran_or_were_reused() {
    let at_once = Place::new();
    at_once.run(PLAIN);
    let bit_by_bit = Place::new();
    // Each stage in a process of its own.
    for stage in ALL {
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "runs::child", "--ignored"])
            .env(PLACE, &bit_by_bit.path)
            .env(STAGE, stage)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&child.stdout);
        assert!(
            child.status.success() && told.contains("1 passed"),
            "{stage}: {told}"
        );
    }
    assert!(bit_by_bit.run(PLAIN).0.ran.is_empty());
    let files = |place: &Place| {
        let models = place.path("models");
        let files = tree(&models).into_iter().filter(|path| path.is_file());
        let read = |path: PathBuf| {
            let name = path.strip_prefix(&models).unwrap().to_owned();
            (name, fs::read(&path).unwrap())
        };
        files.map(read).collect::<Vec<_>>()
    };
    let names: Vec<PathBuf> = files(&at_once).into_iter().map(|(name, _)| name).collect();
    assert!(
        names.iter().any(|name| name.ends_with("model/forest.bin")),
        "{names:?}"
    );
    for (one, other) in files(&at_once).iter().zip(&files(&bit_by_bit)) {
        assert_eq!(one.0, other.0);
        assert!(one.1 == other.1, "{} differs", one.0.display());
    }
}

const PLACE: &str = "FOURFOLD_TEST_PLACE";
const STAGE: &str = "FOURFOLD_TEST_STAGE";

/// One stage, of what the processes before have left.
#[test]
#[ignore = "another test runs it in a process of its own"]
fn child() {
    let (Some(place), Ok(stage)) = (std::env::var_os(PLACE), std::env::var(STAGE)) else {
        return;
    };
    let place = Place {
        path: place.into(),
        _dir: None,
    };
    let run = place.pipeline(PLAIN).run_stage_blocking(&stage).unwrap();
    assert_eq!(run.ran().collect::<Vec<_>>(), [stage]);
}

#[test]
fn a_stage_alone_needs_what_comes_before_it_on_record() {
    let place = Place::new();
    let error = place
        .pipeline(PLAIN)
        .run_stage_blocking("train")
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(
        error.to_string(),
        "stage `train` needs the output of `extract` for the current data and configuration, which is not recorded; run \
         `extract` first"
    );
    let error = place
        .pipeline(PLAIN)
        .run_stage_blocking("trian")
        .unwrap_err();
    assert!(
        error.to_string().contains("did you mean `train`?"),
        "{error}"
    );
    assert_eq!(place.states(), [State::Failed]);
}

#[test]
fn what_a_run_would_do_is_said_before_it_runs() {
    let place = Place::new();
    let explain = |options: Options| place.pipeline(options).explain_blocking().unwrap().stages;
    let runs = |options: Options| -> Vec<String> {
        let stages = explain(options).into_iter();
        let runs = stages.filter(|stage| stage.planned != Planned::Reused);
        runs.map(|stage| stage.stage).collect()
    };
    assert_eq!(runs(PLAIN), ALL);
    assert!(
        explain(PLAIN)
            .iter()
            .all(|stage| stage.why == "it has not run before" && stage.last_seconds.is_none())
    );
    place.run(PLAIN);
    assert!(runs(PLAIN).is_empty());
    assert!(
        explain(PLAIN)
            .iter()
            .all(|stage| stage.last_seconds.is_some())
    );

    let stricter = Options {
        at_least: 0.65,
        ..PLAIN
    };
    let verdict = explain(stricter)
        .into_iter()
        .find(|stage| stage.planned == Planned::Runs)
        .unwrap();
    assert_eq!(verdict.stage, "verdict");
    assert_eq!(
        verdict.why,
        "`thresholds.0.at_least` of its configuration has changed"
    );
    let deploy = explain(stricter).pop().unwrap();
    let unless = Planned::RunsUnlessUnchanged("verdict".to_owned());
    assert_eq!((deploy.stage.as_str(), deploy.planned), ("deploy", unless));
    assert_eq!(runs(stricter), ["verdict", "deploy"]);

    let said = explain(Options { seed: 7, ..PLAIN });
    assert_eq!(said[2].why, "the seed is 7, it was 0");
    let unless = Planned::RunsUnlessUnchanged("train".to_owned());
    assert_eq!(said[3].planned, unless);
    assert_eq!(said[1].planned, Planned::Reused);

    // Other row groups make other files of the same rows.
    let said = explain(Options {
        rows_of: Some(2_048),
        ..PLAIN
    });
    assert_eq!(
        said[0].why,
        "`configuration.Division.load.row_group_rows` of its configuration has changed"
    );

    fs::write(place.path("rows.csv"), "late,x\nno,1\n").unwrap();
    let path = fs::canonicalize(place.path("rows.csv")).unwrap();
    assert_eq!(
        explain(PLAIN)[0].why,
        format!("the content of `{}` has changed", path.display())
    );
    assert_eq!(
        place.root().runs().unwrap().len(),
        1,
        "explaining is no run"
    );
}

#[test]
fn a_run_is_on_record() {
    let place = Place::new();
    let (run, _) = place.run(PLAIN);
    place.run(Options { seed: 7, ..PLAIN });
    let root = place.root();
    let runs = root.runs().unwrap();
    assert_eq!(runs.len(), 2);
    assert_eq!(Some(&runs[0].id), run.id.as_ref());
    assert_eq!(runs[0].pipeline, "parcels");
    assert_eq!(runs[0].state, State::Done);
    assert_eq!(runs[0].tags["test"], "yes");
    assert_eq!(runs[0].notes, ["a note"]);
    assert_eq!(runs[0].environment.code_version.as_deref(), Some("4f2a"));
    assert_eq!(runs[0].metrics, run.metrics.overall);
    assert_eq!(runs[0].verdict.as_deref(), Some("blessed"));
    let deployed = runs[0].deployed.as_ref().unwrap();
    assert_eq!(deployed.version, Some(1));
    assert_eq!(root.run(&runs[0].id[..22]).unwrap(), runs[0]);

    // The version that serves leads back to the run.
    let manifest = fs::read_to_string(place.path("models/parcels/1/manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    assert_eq!(manifest["details"]["artifact"], deployed.model.to_string());

    let executions = root.executions().unwrap();
    let train: Vec<_> = executions
        .iter()
        .filter(|execution| execution.stage == "train")
        .collect();
    assert_eq!(train.len(), 2);
    assert_eq!((train[0].seed, train[1].seed), (Some(0), Some(7)));
    assert_eq!(train[0].name, "gradient_boosting");
    assert_eq!(train[0].output("model"), Some(&deployed.model));
    let extract = &executions[0];
    assert_eq!(extract.files.len(), 1);
    assert!(extract.files[0].path.ends_with("rows.csv"));
    // Nobody but the user reads it.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(root.path()), 0o700);
        for id in root.artifacts().unwrap() {
            assert_eq!(mode(&root.dir_of(&id)), 0o700, "{id}");
        }
        assert_eq!(mode(&place.path("models/parcels/1")), 0o755);
    }
}

#[cfg(unix)]
#[test]
fn a_root_that_is_readable_by_its_group_is_so_throughout() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let root = Root::from(place.path("shared")).readable_by_group();
    let pipeline = Pipeline::builder("parcels")
        .data(FileSource::csv(place.path("rows.csv")).label("late"))
        .train(DecisionTree::default())
        .evaluate(Thresholds::new().at_least("auc", 0.6))
        .serve(InProcess::new())
        .root(root.clone())
        .build()
        .unwrap();
    assert!(pipeline.run_blocking().unwrap().is_deployed());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for dir in ["", "artifacts", "artifacts/model", "executions", "runs"] {
        assert_eq!(mode(&root.path().join(dir)), 0o750, "{dir}");
    }
    for id in root.artifacts().unwrap() {
        assert_eq!(mode(&root.dir_of(&id)), 0o750, "{id}");
    }
    let run = root.runs().unwrap().remove(0);
    assert_eq!(
        mode(&root.path().join(format!("runs/{}.json", run.id))),
        0o640
    );
}

#[test]
fn what_is_damaged_is_refused_and_named() {
    let place = Place::new();
    place.run(PLAIN);
    let root = place.root();
    let run = root.runs().unwrap().remove(0);
    let model = root
        .dir_of(run.output("model").unwrap())
        .join("model/forest.bin");
    let mut bytes = fs::read(&model).unwrap();
    bytes[20] ^= 1;
    fs::write(&model, &bytes).unwrap();
    // Nothing reads it: nothing is to be done.
    assert!(place.run(PLAIN).0.ran.is_empty());
    let stricter = Options {
        at_least: 0.65,
        ..PLAIN
    };
    let error = place.pipeline(stricter).run_blocking().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(
        error.to_string().contains("forest.bin` was changed"),
        "{error}"
    );
    let last = place.root().runs().unwrap().pop().unwrap();
    assert_eq!(last.state, State::Failed);
    assert!(last.error.unwrap().contains("forest.bin` was changed"));
    // Made anew, it is what it was.
    place.run(Options {
        cache: false,
        ..PLAIN
    });
    assert_eq!(place.run(stricter).0.ran, ["verdict"]);
}

#[test]
fn a_root_that_cannot_be_used_says_why() {
    let place = Place::new();
    fs::write(place.path("root"), "a file").unwrap();
    let error = place.pipeline(PLAIN).run_blocking().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(
        error.to_string().ends_with("root` cannot be written"),
        "{error}"
    );
    fs::remove_file(place.path("root")).unwrap();
    fs::create_dir(place.path("root")).unwrap();
    fs::write(place.path("root/root.json"), r#"{"format_version": 2}"#).unwrap();
    let error = place.pipeline(PLAIN).run_blocking().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(
        error
            .to_string()
            .contains("is of format version 2, this build reads 1"),
        "{error}"
    );
    assert_eq!(tree(&place.path("root")).len(), 1, "nothing was written");
}

#[test]
fn a_clock_that_goes_back_does_not_change_the_order_of_runs() {
    let place = Place::new();
    let run_at = |seconds: u64, seed: u64| {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let root = place.path("root");
        let pipeline = Pipeline::builder("parcels")
            .data(FileSource::csv(place.path("rows.csv")).label("late"))
            .train(TrainingPipeline::new(DecisionTree::default()).seed(seed))
            .evaluate(Thresholds::new().at_least("auc", 0.6))
            .serve(InProcess::new())
            .root(Root::from(root).with_clock(VirtualClock::at(now)))
            .build()
            .unwrap();
        pipeline.run_blocking().unwrap().run().clone()
    };
    let later = run_at(2_000_000_000, 0);
    let earlier = run_at(1_000_000_000, 1);
    let last = run_at(1_000_000_000, 1);
    let ids: Vec<String> = place
        .root()
        .runs()
        .unwrap()
        .into_iter()
        .map(|run| run.id)
        .collect();
    assert_eq!(ids, [later.id, earlier.id, last.id].map(Option::unwrap));
    assert!(ids[1].starts_with("20330518T033320.001Z-"), "{}", ids[1]);
    // A server that remembers nothing deploys anew.
    assert_eq!(last.ran, ["deploy"]);
}

#[test]
fn two_runs_at_once_end_well_and_make_the_same() {
    let place = Place::new();
    let runs: Vec<RunRecord> = std::thread::scope(|scope| {
        let run = || place.run(PLAIN).0;
        let both = [scope.spawn(run), scope.spawn(run)];
        both.map(|run| run.join().unwrap()).into()
    });
    assert_eq!(runs[0].metrics, runs[1].metrics);
    assert!(place.run(PLAIN).0.ran.is_empty());
    let records = place.root().runs().unwrap();
    assert!(records.iter().all(|run| run.state == State::Done));
    assert_eq!(records[0].output("model"), records[1].output("model"));
}

/// A trainer that was given a token.
#[derive(Serialize)]
struct Tokened {
    token: Secret,
    depth: u32,
}

impl Stage for Tokened {
    fn name(&self) -> &str {
        "tokened"
    }
}

impl Trainer for Tokened {
    type Model = fourfold::model::ForestModel;

    fn train(&self, args: &TrainArgs) -> Result<Trained<Self::Model>> {
        assert_eq!(self.token.reveal(), "s3cr3t-t0ken");
        DecisionTree::default().train(args)
    }

    fn capabilities(&self) -> Capabilities {
        DecisionTree::default().capabilities()
    }
}

#[test]
fn a_token_is_nowhere_below_the_root() {
    let place = Place::new();
    let pipeline = Pipeline::builder("parcels")
        .data(FileSource::csv(place.path("rows.csv")).label("late"))
        .train(Tokened {
            token: Secret::new("s3cr3t-t0ken"),
            depth: 3,
        })
        .evaluate(Thresholds::new().at_least("auc", 0.6))
        .serve(ModelRepository::at(place.path("models")))
        .root(place.path("root"))
        .build()
        .unwrap();
    assert!(pipeline.run_blocking().unwrap().is_deployed());
    let mut n_files = 0;
    for path in tree(&place.path).into_iter().filter(|path| path.is_file()) {
        let bytes = fs::read(&path).unwrap();
        let found = bytes.windows(12).any(|window| window == b"s3cr3t-t0ken");
        assert!(!found, "{}", path.display());
        n_files += 1;
    }
    assert!(n_files > 20);
}

#[test]
fn a_stage_that_fails_for_a_reason_that_passes_is_tried_again() {
    let place = Place::new();
    let calls = Arc::new(AtomicU32::new(0));
    let pipeline = |times: u32, kind: ErrorKind| {
        let calls = Arc::clone(&calls);
        calls.store(0, Ordering::SeqCst);
        Pipeline::builder("parcels")
            .data(FileSource::csv(place.path("rows.csv")).label("late"))
            .train_with("fails_twice", times, move |args: &TrainArgs| {
                match calls.fetch_add(1, Ordering::SeqCst) {
                    0 | 1 => Err(Error::new(kind, "the disk is away")),
                    _ => Ok(ConstantModel::new(args.train().n_features(), vec![0.5])),
                }
            })
            .evaluate(Thresholds::new().at_least("skill", -1.0))
            .serve(InProcess::new())
            .root(place.path("root"))
            .retry(
                "train",
                Retry::times(times).back_off(Duration::from_millis(1)),
            )
            .build()
            .unwrap()
    };
    let outcome = pipeline(2, ErrorKind::Unavailable).run_blocking().unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 3);
    assert_eq!(
        outcome.run().reused,
        ["extract", "prepare"],
        "they were done before"
    );
    assert_eq!(
        outcome.run().ran,
        ["train", "evaluate", "verdict", "deploy"]
    );
    let states: Vec<State> = place
        .root()
        .executions()
        .unwrap()
        .into_iter()
        .filter(|execution| execution.stage == "train")
        .map(|execution| execution.state)
        .collect();
    assert_eq!(states, [State::Failed, State::Failed, State::Done]);
    // Once is too little, and what is no accident is not tried again.
    let error = pipeline(1, ErrorKind::Unavailable)
        .run_blocking()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    let error = pipeline(3, ErrorKind::Data).run_blocking().unwrap_err();
    assert_eq!(
        (error.kind(), calls.load(Ordering::SeqCst)),
        (ErrorKind::Data, 1)
    );
}

#[test]
fn a_stage_that_takes_too_long_or_panics_is_named() {
    let place = Place::new();
    let pipeline = |panics: bool| {
        Pipeline::builder("parcels")
            .data(FileSource::csv(place.path("rows.csv")).label("late"))
            .train_with("slow", 1, move |args: &TrainArgs| {
                assert!(!panics, "it cannot");
                while args.cancellation().check().is_ok() {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Ok(ConstantModel::new(args.train().n_features(), vec![0.5]))
            })
            .evaluate(Thresholds::new().at_least("skill", -1.0))
            .serve(InProcess::new())
            .root(place.path("root"))
    };
    let limited = pipeline(false).time_limit("train", Duration::from_millis(50));
    let error = limited.build().unwrap().run_blocking().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded);
    assert_eq!(
        error.to_string(),
        "train: it took longer than its limit of 50ms"
    );
    let error = pipeline(true).build().unwrap().run_blocking().unwrap_err();
    assert!(
        error.to_string().starts_with("slow: the trainer panicked"),
        "{error}"
    );
    let error = pipeline(true)
        .time_limit("trian", Duration::from_secs(1))
        .build()
        .unwrap_err();
    assert!(
        error.to_string().contains("did you mean `train`?"),
        "{error}"
    );

    // A run that is cancelled is on record as that, and the next one resumes from there.
    let cancellation = Cancellation::new();
    cancellation.cancel();
    let told = pipeline(true).cancellation(cancellation).build().unwrap();
    assert_eq!(
        told.run_blocking().unwrap_err().kind(),
        ErrorKind::Cancelled
    );
    let states = [State::Failed, State::Failed, State::Cancelled];
    assert_eq!(place.states(), states);
    assert_eq!(place.run(PLAIN).0.reused, ["extract", "prepare"]);
}

/// A source whose rows never arrive: it cancels the run instead.
#[derive(Serialize)]
struct Cancels {
    #[serde(skip)]
    token: Cancellation,
}

impl Stage for Cancels {
    fn name(&self) -> &str {
        "cancels"
    }
}

impl DataSource for Cancels {
    async fn read(&self, _: &Engine) -> Result<DataFrame> {
        self.token.cancel();
        std::future::pending().await
    }

    async fn snapshot(&self, _: &Engine) -> Result<Option<Fingerprint>> {
        Ok(None)
    }
}

#[test]
fn a_cancelled_run_drops_its_own_stages_and_waits_for_others() {
    let place = Place::new();
    for root in [false, true] {
        let cancellation = Cancellation::new();
        let source = Cancels {
            token: cancellation.clone(),
        };
        let builder = Pipeline::builder("parcels")
            .data(source.label("late"))
            .train(DecisionTree::default())
            .evaluate(Thresholds::new().at_least("auc", 0.6))
            .serve(InProcess::new())
            .cancellation(cancellation);
        let builder = match root {
            true => builder.root(place.path("root")),
            false => builder,
        };
        let error = builder.build().unwrap().run_blocking().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
    }
    // A trainer that ignores the token is waited for, and its model is not taken.
    let cancellation = Cancellation::new();
    let token = cancellation.clone();
    let ended = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&ended);
    let pipeline = Pipeline::builder("parcels")
        .data(FileSource::csv(place.path("rows.csv")).label("late"))
        .train_with("stubborn", 1, move |args: &TrainArgs| {
            token.cancel();
            std::thread::sleep(Duration::from_millis(100));
            counter.fetch_add(1, Ordering::SeqCst);
            Ok(ConstantModel::new(args.train().n_features(), vec![0.5]))
        })
        .evaluate(Thresholds::new().at_least("skill", -1.0))
        .serve(InProcess::new())
        .root(place.path("root"))
        .cancellation(cancellation);
    let error = pipeline.build().unwrap().run_blocking().unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::Cancelled, "stubborn: it was cancelled")
    );
    assert_eq!(ended.load(Ordering::SeqCst), 1);
    assert_eq!(place.states(), [State::Cancelled, State::Cancelled]);
    assert_eq!(place.run(PLAIN).0.reused, ["extract", "prepare"]);
}
