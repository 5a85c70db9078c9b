//! Records in files of their own and in segments, and roots that cannot be used.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use fourfold::Result;
use fourfold::clock::VirtualClock;
use fourfold::prelude::*;
use fourfold::runs::{Keep, Root, State};

use crate::support::{parcels, tree};

const DAY: Duration = Duration::from_secs(86_400);

fn at_day(day: u32) -> SystemTime {
    SystemTime::UNIX_EPOCH + DAY * (20_000 + day)
}

/// A run of some rows on a day.
fn run(dir: &Path, rows: usize, day: u32) -> String {
    let outcome = Pipeline::builder("parcels")
        .data(BatchSource::new("rows", vec![parcels(rows)]).label("late"))
        .train(DecisionTree::default())
        .evaluate(Thresholds::new().at_least("skill", -9.0))
        .serve(ModelRepository::at(dir.join("models")))
        .root(Root::from(dir.join("root")).with_clock(VirtualClock::at(at_day(day))))
        .build()
        .unwrap()
        .run_blocking()
        .unwrap();
    outcome.run().id.clone().unwrap()
}

fn root(dir: &Path, day: u32) -> Root {
    Root::open(dir.join("root"))
        .unwrap()
        .with_clock(VirtualClock::at(at_day(day)))
}

fn records(dir: &Path) -> usize {
    let files = tree(&dir.join("root/executions"))
        .into_iter()
        .chain(tree(&dir.join("root/runs")));
    files.filter(|path| path.is_file()).count()
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let files = tree(&dir.join("root/segments")).into_iter();
    let is_segment = |path: &PathBuf| path.extension().is_some_and(|end| end == "parquet");
    files.filter(is_segment).collect()
}

#[test]
fn old_records_are_moved_together_and_answer_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let ids: Vec<String> = (0..4)
        .map(|day| run(dir, 300 + 50 * day as usize, day))
        .collect();
    let root = root(dir, 4);
    let before = (root.runs().unwrap(), root.executions().unwrap());
    let lineage = root.lineage("parcels:1").unwrap();
    let comparison = root.compare(&ids[0], &ids[3]).unwrap();
    let n = records(dir);
    assert_eq!((before.0.len(), n), (4, before.1.len() + 4));

    // What began two days ago or earlier.
    let compacted = root.compact(DAY * 2).unwrap();
    assert_eq!((compacted.executions, compacted.runs), (12, 2));
    assert_eq!(records(dir), n - 14);
    assert_eq!(segments(dir).len(), 2);
    let same = |root: &Root| {
        assert_eq!((root.runs().unwrap(), root.executions().unwrap()), before);
        assert_eq!(root.lineage("parcels:1").unwrap(), lineage);
        assert_eq!(root.compare(&ids[0], &ids[3]).unwrap(), comparison);
        assert_eq!(root.run(&ids[0]).unwrap(), before.0[0]);
        assert_eq!(root.run(&ids[0][..20]).unwrap(), before.0[0]);
        assert_eq!(root.run("zz").unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(root.latest_blessed("parcels").unwrap().unwrap().id, ids[3]);
        assert!(root.verify().unwrap().damaged.is_empty());
    };
    same(&root);
    // In another process, and of a copy.
    same(&Root::open(dir.join("root")).unwrap());
    // Nothing is left to move; then the rest, into the same segments. The newest run stays where it is.
    assert_eq!(root.compact(DAY * 2).unwrap(), Default::default());
    let compacted = root.compact(Duration::ZERO).unwrap();
    assert_eq!(
        (compacted.executions, compacted.runs),
        (before.1.len() - 12, 1)
    );
    assert_eq!((segments(dir).len(), records(dir)), (2, 1));
    same(&root);

    // What is in a segment is used by the next run, and kept by collections.
    let again = run(dir, 300, 5);
    let run = root.run(&again).unwrap();
    assert_eq!(run.reused().collect::<Vec<_>>(), ["prepare", "train"]);
    root.collect(&Keep::default().newest(9), false).unwrap();
    assert!(root.verify().unwrap().damaged.is_empty());
    assert_eq!(root.runs().unwrap().len(), 5);

    // A segment that was changed is refused and named.
    let segment = &segments(dir)[0];
    let mut bytes = fs::read(segment).unwrap();
    bytes[40] ^= 1;
    fs::write(segment, bytes).unwrap();
    let error = Root::open(dir.join("root"))
        .unwrap()
        .executions()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(
        error
            .to_string()
            .contains("was changed after it was written"),
        "{error}"
    );
}

#[test]
fn records_are_all_there_while_they_are_moved() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for day in 0..3 {
        run(dir, 300, day);
    }
    let n = root(dir, 9).executions().unwrap().len();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0;
            while !done.load(Ordering::SeqCst) || reads == 0 {
                // Each time as another process sees it.
                let root = root(dir, 9);
                assert!(root.executions().unwrap().len() >= n);
                assert!(root.runs().unwrap().len() >= 3);
                reads += 1;
            }
        });
        let mover = |root: Root| {
            for age in [8, 7, 6, 0] {
                root.compact(DAY * age).unwrap();
            }
        };
        let movers = [0, 1].map(|_| scope.spawn(move || mover(root(dir, 9))));
        run(dir, 350, 8);
        for mover in movers {
            mover.join().unwrap();
        }
        done.store(true, Ordering::SeqCst);
        reader.join().unwrap();
    });
    let root = root(dir, 9);
    root.compact(Duration::ZERO).unwrap();
    let runs = root.runs().unwrap();
    assert_eq!(runs.len(), 4);
    let noted = runs.iter().flat_map(|run| run.ran()).count();
    assert_eq!(root.executions().unwrap().len(), noted);
}

#[test]
fn a_record_of_a_newer_version_is_not_taken_for_one_of_this() {
    let dir = tempfile::tempdir().unwrap();
    let id = run(dir.path(), 300, 0);
    let path = dir.path().join(format!("root/runs/{id}.json"));
    let text = fs::read_to_string(&path).unwrap();
    fs::write(
        &path,
        text.replacen("\"format_version\": 1", "\"format_version\": 7", 1),
    )
    .unwrap();
    let error = root(dir.path(), 1).runs().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(
        error
            .to_string()
            .contains("is of format version 7, this build reads 1"),
        "{error}"
    );
}

/// A place in which nobody may make anything, an administrator neither.
#[cfg(target_os = "linux")]
#[test]
fn a_root_that_may_not_be_made_says_so_before_anything_runs() {
    let pipeline = Pipeline::builder("parcels")
        .data(BatchSource::new("rows", vec![parcels(100)]).label("late"))
        .train_with(
            "never",
            1,
            |_: &TrainArgs| -> Result<fourfold::model::ConstantModel> {
                panic!("nothing is trained")
            },
        )
        .evaluate(Thresholds::new().at_least("skill", -9.0))
        .serve(InProcess::new())
        .root("/sys/fourfold")
        .build()
        .unwrap();
    let error = pipeline.run_blocking().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert_eq!(error.to_string(), "`/sys/fourfold` cannot be written");
    assert!(std::error::Error::source(&error).is_some(), "{error:#}");
}

#[cfg(feature = "sql")]
#[test]
fn records_are_tables() {
    use fourfold::arrow::util::pretty::pretty_format_batches;

    let dir = tempfile::tempdir().unwrap();
    let ids = [run(dir.path(), 300, 0), run(dir.path(), 350, 1)];
    let root = root(dir.path(), 2);
    root.compact(DAY).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ask = |query: &str| runtime.block_on(root.sql(query));
    let table = |query: &str| {
        pretty_format_batches(&ask(query).unwrap())
            .unwrap()
            .to_string()
    };
    let answer = table("select id, state, version, started < now() as past from runs order by id");
    for (id, version) in ids.iter().zip(1..) {
        assert!(
            answer.contains(&format!("| {id} | done  | {version}       | true |")),
            "{answer}"
        );
    }
    let answer =
        table("select stage, count(*) as n from executions group by stage order by n desc, stage");
    assert!(answer.contains("| deploy   | 2 |"), "{answer}");
    // From a model back to the rows, by joins.
    let answer = table(
        "select distinct below.artifact from edges model
         join edges input on input.execution = model.execution and input.role = 'input'
         join edges below on below.execution = input.execution
         where model.role = 'output' and model.artifact like 'model/%' and below.artifact like 'examples/%'",
    );
    assert_eq!(answer.matches("examples/").count(), 2, "{answer}");
    let metric = root.run(&ids[0]).unwrap().metrics["accuracy"].value;
    let answer = table("select run, value from metrics where name = 'accuracy' order by run");
    assert!(answer.contains(&format!("{metric}")), "{answer}");
    assert!(table("select kind from artifacts where is_there").contains("predictions"));
    assert!(table("select count(*) as n from trials").contains("| 0 |"));
    for refused in ["drop table runs", "select nothing from runs", "select"] {
        let error = ask(refused).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    }
}

#[test]
fn a_run_whose_process_is_gone_is_not_moved() {
    let dir = tempfile::tempdir().unwrap();
    let (first, _) = (run(dir.path(), 300, 0), run(dir.path(), 300, 1));
    let path = dir.path().join(format!("root/runs/{first}.json"));
    let text = fs::read_to_string(&path).unwrap();
    fs::write(
        &path,
        text.replace("\"state\": \"done\"", "\"state\": \"running\""),
    )
    .unwrap();
    let root = root(dir.path(), 2);
    assert_eq!(root.compact(Duration::ZERO).unwrap().runs, 0);
    assert_eq!(root.run(&first).unwrap().state, State::Killed);
}
