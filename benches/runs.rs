//! What a root costs: `cargo bench -p fourfold-benches --bench runs`. It prints figures and measures no noise: run it on an
//! idle machine.
//!
//! Measured, on the committed flights: a run without a root, one that makes everything in a fresh root, and one of which all
//! is on record; how much of the second is bookkeeping. On a root of 100,000 made-up executions (16,667 runs of six stages,
//! each trained on what the day before left): moving them into segments, listing them, and walking the lineage of the last
//! model.

#![allow(clippy::print_stdout, reason = "a bench talks to its reader")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use fourfold::prelude::*;
use fourfold::runs::Root;
use serde_json::json;
use sha2::{Digest, Sha256};

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> (T, Duration) {
    let begun = Instant::now();
    let made = work();
    let took = begun.elapsed();
    println!("{what:58} {:>10.1} ms", took.as_secs_f64() * 1e3);
    (made, took)
}

fn run(dir: &Path, root: bool) -> Vec<String> {
    let flights = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/data/flights/");
    // What is known only when it is too late.
    let leaks = ["air_time", "arr_time", "dep_delay", "dep_time", "tailnum"];
    let flights = FileSource::parquet(flights).leave_out(leaks);
    let builder = Pipeline::builder("late-flights")
        .data(flights.label(Label::at_least("arr_delay", 15.0).named("late")))
        .train(LogisticRegression::default())
        .evaluate(Thresholds::new().at_least("auc", 0.6))
        .serve(ModelRepository::at(dir.join("models")));
    let builder = match root {
        true => builder.root(dir.join("root")),
        false => builder,
    };
    let outcome = builder.build().unwrap().run_blocking().unwrap();
    assert!(outcome.is_deployed());
    outcome.run().ran.clone()
}

fn flights() {
    let dirs = [(); 7].map(|()| tempfile::tempdir().unwrap());
    run(dirs[0].path(), false); // files come into the cache
    let mut without: Vec<Duration> = Vec::new();
    let mut with: Vec<Duration> = Vec::new();
    for pair in dirs[1..].chunks(2) {
        without.push(timed("a run without a root", || run(pair[0].path(), false)).1);
        with.push(
            timed("a run that makes everything in a root", || {
                run(pair[1].path(), true)
            })
            .1,
        );
    }
    let root = dirs[2].path();
    for _ in 0..5 {
        let (ran, _) = timed("a run of which all is on record", || run(root, true));
        assert!(ran.is_empty(), "{ran:?}");
    }
    let least = |of: &[Duration]| of.iter().min().copied().unwrap().as_secs_f64();
    let share = least(&with) / least(&without) - 1.0;
    println!("bookkeeping: {:.2} % of a run", 100.0 * share);
}

const RUNS: usize = 16_667;
const STAGES: [(&str, &[&str]); 6] = [
    ("extract", &["examples"]),
    (
        "prepare",
        &["statistics", "schema", "anomalies", "prepared"],
    ),
    ("train", &["model", "transform", "training"]),
    ("evaluate", &["evaluation", "predictions"]),
    ("verdict", &["verdict"]),
    ("deploy", &[]),
];

fn digest(text: &str) -> String {
    Sha256::digest(text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Records as runs write them, of runs a minute apart.
fn made_up(root: &Path) {
    fs::create_dir_all(root.join("runs")).unwrap();
    fs::write(root.join("root.json"), r#"{"format_version": 1}"#).unwrap();
    let environment = json!({"host": "machine", "os": "linux", "arch": "x86_64", "threads": 2, "crate_version": "0.1.0"});
    for at in 0..RUNS {
        let started = 1_700_000_000_000_u64 + 60_000 * at as u64;
        let id = format!("{started}-{at:06}");
        let mut stages = Vec::new();
        let mut made: Vec<String> = Vec::new();
        for (n, (stage, kinds)) in STAGES.iter().enumerate() {
            let key = digest(&format!("{at} {stage}"));
            let outputs: Vec<String> = kinds
                .iter()
                .map(|kind| format!("{kind}/{}", digest(&format!("{at} {kind}"))))
                .collect();
            let file = json!({"path": format!("/data/{at}.parquet"), "bytes": 1, "digest": digest(&format!("{at}"))});
            let execution = json!({
                "format_version": 1, "id": format!("{id}-{stage}"), "run": id, "pipeline": "made-up", "stage": stage,
                "name": stage, "version": 1, "configuration": {"rounds": 100, "learning_rate": 0.1, "seed": at},
                "files": if n == 0 { vec![file] } else { Vec::new() }, "inputs": made, "outputs": outputs, "key": key,
                "state": "done", "started_ms": started + n as u64, "seconds": 1.0, "environment": environment,
            });
            let dir = root.join("executions").join(&key[..2]);
            fs::create_dir_all(&dir).unwrap();
            fs::write(
                dir.join(format!("{key}-{id}-{stage}.json")),
                execution.to_string(),
            )
            .unwrap();
            stages.push(json!({
                "stage": stage, "key": key, "execution": format!("{id}-{stage}"), "reused": false, "outputs": outputs,
            }));
            made.extend(outputs);
        }
        let model = &made[5];
        let run = json!({
            "format_version": 1, "id": id, "pipeline": "made-up", "state": "done", "started_ms": started, "seconds": 6.0,
            "stages": stages, "verdict": "blessed", "environment": environment, "process": 1,
            "deployed": {"model": model, "version": at + 1, "at_ms": started + 9},
        });
        fs::write(
            root.join("runs").join(format!("{id}.json")),
            run.to_string(),
        )
        .unwrap();
    }
}

fn many() {
    let dir = tempfile::tempdir().unwrap();
    made_up(dir.path());
    let root = Root::open(dir.path()).unwrap();
    let (listed, _) = timed("100,000 executions listed from their own files", || {
        root.executions()
    });
    let n = listed.unwrap().len();
    let (compacted, _) = timed("moved into segments", || root.compact(Duration::ZERO));
    assert_eq!(compacted.unwrap().executions, n);
    let fresh = || Root::open(dir.path()).unwrap();
    for _ in 0..3 {
        let (listed, _) = timed("listed from segments", || fresh().executions());
        assert_eq!(listed.unwrap().len(), n);
        let (runs, _) = timed("the runs listed", || fresh().runs());
        assert_eq!(runs.unwrap().len(), RUNS);
        let (history, _) = timed("all read, with who made what", || fresh().history());
        let history = history.unwrap();
        let (lineage, _) = timed("the lineage of the last model walked", || {
            history.lineage("made-up")
        });
        assert_eq!(lineage.unwrap().steps.len(), 3);
        let of_a_day = format!("/data/{}.parquet", RUNS / 2);
        let (affected, _) = timed("what came of a file", || history.affected(&of_a_day));
        assert_eq!(affected.unwrap().runs.len(), 1);
    }
}

fn main() {
    flights();
    many();
}
