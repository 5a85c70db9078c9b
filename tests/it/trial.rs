//! Models that are slow, leak, panic, hang, abort and answer NaN are not served.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fourfold::Result;
use fourfold::evaluation::{RubberStamp, Trial};
use fourfold::features::Features;
use fourfold::ndarray::Array2;
use fourfold::prelude::*;
use serde::{Deserialize, Serialize};

use crate::support::parcels;

/// What a model does once it is loaded back.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Vice {
    None,
    Slow,
    Leak,
    Panic,
    Hang,
    Abort,
    Nan,
    Forget,
}

#[derive(Debug)]
struct Vicious {
    vice: Vice,
    n_features: usize,
    loaded: AtomicBool,
}

impl Predict for Vicious {
    fn n_features(&self) -> usize {
        self.n_features
    }

    fn n_outputs(&self) -> usize {
        1
    }

    fn predict(&self, features: &Features) -> Result<Array2<f64>> {
        let answer = |p: f64| Ok(Array2::from_elem((features.n_rows(), 1), p));
        if !self.loaded.load(Ordering::Relaxed) {
            return answer(0.5);
        }
        match self.vice {
            Vice::None => answer(0.5),
            Vice::Forget => answer(0.25),
            Vice::Nan => answer(f64::NAN),
            Vice::Slow => {
                std::thread::sleep(Duration::from_millis(3));
                answer(0.5)
            }
            Vice::Leak => {
                // Touched, so that it is there.
                std::mem::forget(vec![1_u8; 2 << 20]);
                answer(0.5)
            }
            Vice::Panic => panic!("out of luck"),
            Vice::Hang => loop {
                std::thread::sleep(Duration::from_secs(1));
            },
            Vice::Abort => {
                eprintln!("going down");
                std::process::abort()
            }
        }
    }
}

impl Model for Vicious {
    const FORMAT: &'static str = "tests.vicious.v1";

    fn save(&self, dir: &Path) -> Result<()> {
        let json = serde_json::to_vec(&(self.vice, self.n_features)).unwrap();
        std::fs::write(dir.join("vice.json"), json).unwrap();
        Ok(())
    }

    fn load(dir: &Path, _: &Loaders) -> Result<Self> {
        let json = std::fs::read(dir.join("vice.json")).unwrap();
        let (vice, n_features) = serde_json::from_slice(&json).unwrap();
        Ok(Vicious {
            vice,
            n_features,
            loaded: AtomicBool::new(true),
        })
    }
}

/// The verdict of a model of a vice.
fn tried(vice: Vice, trial: Trial) -> Verdict {
    let outcome = Pipeline::builder("vicious")
        .data(
            BatchSource::new("parcels", vec![parcels(400)])
                .label("late")
                .transform(Transform::new().z_score("kilograms").one_hot("road")),
        )
        .train_with("vicious", 1, move |args: &TrainArgs| {
            Ok(Vicious {
                vice,
                n_features: args.train().n_features(),
                loaded: AtomicBool::new(false),
            })
        })
        .evaluate(EvaluationPipeline::new(RubberStamp::default()).trial(trial))
        .serve(InProcess::new())
        .build()
        .unwrap()
        .run_blocking()
        .unwrap();
    outcome.run().verdict.clone()
}

#[track_caller]
fn rejected(vice: Vice, trial: Trial, reason: &str) {
    let verdict = tried(vice, trial);
    let found = verdict.reasons().join("; ");
    assert!(found.contains(reason), "{vice:?}: {found}");
}

#[test]
fn what_a_server_could_not_bear_is_rejected_in_this_process() {
    let second = Duration::from_secs(1);
    let good = tried(
        Vice::None,
        Trial::new().max_load_time(60 * second).max_p99(60 * second),
    );
    assert!(good.is_blessed(), "{:?}", good.reasons());
    let names: Vec<&str> = good
        .checks()
        .iter()
        .map(|check| check.name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "rubber_stamp",
            "servable",
            "load time",
            "99th percentile of the latency"
        ]
    );
    rejected(
        Vice::Forget,
        Trial::new(),
        "loaded back, row 0 is answered differently",
    );
    rejected(Vice::Panic, Trial::new(), "it panicked: out of luck");
    rejected(Vice::Nan, Trial::new(), "NaN as the probability of `yes`");
    rejected(
        Vice::Hang,
        Trial::new().max_time(second),
        "it did not finish within 1s",
    );
    let limit = Trial::new().max_p50(Duration::from_millis(2));
    rejected(Vice::Slow, limit, "the median latency is");
    rejected(
        Vice::None,
        Trial::new().max_disk(10),
        "bytes, must be at most 10",
    );
    if cfg!(target_os = "linux") {
        let limit = Trial::new().max_memory_growth(400 << 20);
        rejected(Vice::Leak, limit, "the growth of memory is");
    }
}

/// Starts this very test program for the one test that answers.
fn child() -> Trial {
    let program = std::env::current_exe().unwrap();
    Trial::command(
        program.to_str().unwrap(),
        [
            "--exact",
            "trial::answers_if_asked",
            "--nocapture",
            "--test-threads=1",
        ],
    )
}

/// Not a test of its own: what the processes of the next one run.
#[test]
fn answers_if_asked() {
    let loaders = Loaders::default().with::<Vicious>();
    let asked = std::env::var_os("FOURFOLD_TRIAL").is_some();
    assert_eq!(Trial::answer(&loaders).unwrap(), asked);
}

#[test]
fn what_takes_its_process_with_it_is_rejected_with_the_reason() {
    let good = tried(Vice::None, child());
    assert!(good.is_blessed(), "{:?}", good.reasons());
    rejected(Vice::Abort, child(), "going down");
    rejected(
        Vice::Abort,
        child(),
        "the process of the trial died (signal: 6",
    );
    rejected(Vice::Panic, child(), "it panicked: out of luck");
    rejected(
        Vice::Hang,
        child().max_time(Duration::from_secs(2)),
        "it did not finish within 2s",
    );
    if cfg!(target_os = "linux") {
        rejected(
            Vice::Leak,
            child().max_memory(400 << 20),
            "must be at most 419430400",
        );
    }
    // A program that does not know of trials.
    let deaf = Trial::command("true", [""; 0]);
    rejected(Vice::None, deaf, "does its `main` call `Trial::answer`?");
    rejected(
        Vice::None,
        Trial::command("/no/such/program", [""; 0]),
        "starting `/no/such/program`",
    );
}
