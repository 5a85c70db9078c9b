//! What can be asked of the records of runs.

use std::fs;
use std::path::{Path, PathBuf};

use fourfold::Result;
use fourfold::prelude::*;
use fourfold::runs::{ArtifactId, Keep, Root};
use fourfold::{Error, ErrorKind};

use crate::support::{parcels, write_csv};

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Place(tempfile::tempdir().unwrap());
        write_csv(&place.path("rows.csv"), &parcels(900));
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs, and says which run it was.
    fn run(&self, file: &str, trees: usize) -> String {
        self.run_tagged(file, trees, None)
    }

    fn run_tagged(&self, file: &str, trees: usize, tag: Option<&str>) -> String {
        let pipeline = Pipeline::builder("parcels")
            .data(FileSource::csv(self.path(file)).label("late"))
            .train(GradientBoosting::default().rounds(trees))
            .evaluate(Thresholds::new().at_least("auc", 0.6))
            .serve(ModelRepository::at(self.path("models")))
            .root(self.path("root"))
            .code_version("4f2a");
        let pipeline = match tag {
            Some(tag) => pipeline.tag(tag, ""),
            None => pipeline,
        };
        let outcome = pipeline.build().unwrap().run_blocking().unwrap();
        assert!(outcome.is_deployed());
        outcome.run().id.clone().unwrap()
    }

    fn root(&self) -> Root {
        Root::open(self.path("root")).unwrap()
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let place = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &place),
            false => drop(fs::copy(entry.path(), place).unwrap()),
        }
    }
}

#[test]
fn a_model_leads_back_to_its_files_and_a_file_on_to_what_serves() {
    let place = Place::new();
    let first = place.run("rows.csv", 5);
    write_csv(&place.path("bad.csv"), &parcels(1_000));
    let second = place.run("bad.csv", 5);
    let root = place.root();

    let lineage = root.lineage("parcels:1").unwrap();
    assert_eq!(lineage.runs, std::slice::from_ref(&first));
    let stages: Vec<&str> = lineage
        .steps
        .iter()
        .map(|step| step.stage.as_str())
        .collect();
    assert_eq!(stages, ["extract", "prepare", "train"]);
    let files: Vec<&str> = lineage.files().map(|file| file.path.as_str()).collect();
    assert_eq!(files.len(), 1);
    assert!(files[0].ends_with("rows.csv"), "{files:?}");
    assert_eq!(
        lineage.steps[2].environment.code_version.as_deref(),
        Some("4f2a")
    );
    assert_eq!(lineage.steps[2].configuration["rounds"], 5);
    assert_eq!(lineage.serving.len(), 1);
    assert!(
        lineage.serving[0].until_ms.is_some(),
        "the second has replaced it"
    );
    // By the run, by the name alone, by the first digits of the digest.
    assert_eq!(root.lineage(&first).unwrap(), lineage);
    let of_second = root.lineage("parcels").unwrap();
    assert_eq!(of_second.runs, std::slice::from_ref(&second));
    // What has the same content in both runs leads back to its own.
    let files: Vec<&str> = of_second.files().map(|file| file.path.as_str()).collect();
    assert!(
        files.len() == 1 && files[0].ends_with("bad.csv"),
        "{files:?}"
    );
    assert_eq!(root.lineage(&lineage.of.short()).unwrap(), lineage);
    let error = root.lineage("parcel").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(
        error.to_string().contains("did you mean `parcels`?"),
        "{error}"
    );

    // A bad file: the second model is of it, and the first is what to roll back to.
    let bad = place.path("bad.csv");
    let affected = root.affected(&bad.to_string_lossy()).unwrap();
    assert_eq!(affected.runs, std::slice::from_ref(&second));
    assert!(
        affected
            .artifacts
            .contains(root.run(&second).unwrap().output("model").unwrap())
    );
    assert!(!affected.artifacts.contains(&lineage.of));
    assert_eq!(affected.serving.len(), 1);
    assert_eq!(affected.serving[0].version, Some(2));
    assert_eq!(affected.roll_back_to.len(), 1);
    assert_eq!(affected.roll_back_to[0].version, Some(1));
    let extract = root.executions().unwrap().remove(0);
    let of_first = root.affected(extract.files[0].digest.as_str()).unwrap();
    assert_eq!(of_first.runs, [first]);
    assert!(
        of_first.roll_back_to.is_empty(),
        "it is what serves no more"
    );

    assert_eq!(root.latest_blessed("parcels").unwrap().unwrap().id, second);
    let versions: Vec<Option<u64>> = root
        .serving_periods("parcels")
        .unwrap()
        .iter()
        .map(|period| period.version)
        .collect();
    assert_eq!(versions, [Some(1), Some(2)]);

    // A copy answers the same.
    copy(root.path(), &place.path("copy"));
    let copied = Root::open(place.path("copy")).unwrap();
    assert_eq!(copied.runs().unwrap(), root.runs().unwrap());
    assert_eq!(copied.lineage("parcels:1").unwrap(), lineage);
    assert_eq!(copied.affected(&bad.to_string_lossy()).unwrap(), affected);
    let verified = copied.verify().unwrap();
    assert_eq!(verified.whole, root.artifacts().unwrap());
    assert!(verified.damaged.is_empty());
}

#[test]
fn two_runs_differ_where_they_do() {
    let place = Place::new();
    let few = place.run("rows.csv", 2);
    let many = place.run("rows.csv", 30);
    let root = place.root();
    let comparison = root.compare(&few, &many).unwrap();
    let paths: Vec<&str> = comparison
        .configuration
        .iter()
        .map(|d| d.path.as_str())
        .collect();
    assert_eq!(paths, ["train.rounds"]);
    assert_eq!(comparison.configuration[0].before, 2);
    assert_eq!(comparison.configuration[0].after, 30);
    assert!(comparison.files.is_empty());
    assert!(comparison.artifacts.contains(&"model".to_owned()));
    assert!(!comparison.artifacts.contains(&"examples".to_owned()));
    let metric = |name: &str| {
        let mut metrics = comparison.metrics.iter();
        metrics.find(|metric| metric.name == name).unwrap()
    };
    for name in ["auc", "log_loss", "brier", "accuracy"] {
        let metric = metric(name);
        let (before, after) = (metric.before.unwrap(), metric.after.unwrap());
        let change = metric.paired.unwrap();
        assert!(
            (change.value - (after.value - before.value)).abs() < 1e-9,
            "{name}: {change:?}"
        );
        assert!(change.lower.unwrap() <= change.value && change.value <= change.upper.unwrap());
    }
    // It is the difference that the pipeline itself has measured against what served.
    let run = root.run(&many).unwrap();
    let dir = root.dir_of(run.output("evaluation").unwrap());
    let text = fs::read_to_string(dir.join("evaluation.json")).unwrap();
    let evaluation: serde_json::Value = serde_json::from_str(&text).unwrap();
    let measured = evaluation["changes"]["overall"]["log_loss"]["value"]
        .as_f64()
        .unwrap();
    assert!((metric("log_loss").paired.unwrap().value - measured).abs() < 1e-12);

    // On other rows nothing is paired, and the file is named.
    write_csv(&place.path("rows.csv"), &parcels(1_000));
    let other = place.run("rows.csv", 30);
    let comparison = root.compare(&many, &other).unwrap();
    assert_eq!(comparison.files.len(), 1);
    assert!(comparison.files[0].path.ends_with("rows.csv"));
    assert!(
        comparison
            .metrics
            .iter()
            .all(|metric| metric.paired.is_none())
    );
}

#[test]
fn only_what_no_rule_keeps_is_removed() {
    let place = Place::new();
    let tagged = place.run_tagged("rows.csv", 2, Some(Keep::TAG));
    let old = place.run("rows.csv", 3);
    let newer = place.run("rows.csv", 4);
    let serving = place.run("rows.csv", 5);
    let root = place.root();
    let model = |run: &str| root.run(run).unwrap().output("model").cloned().unwrap();
    let of_own = root.put(&Own("kept".to_owned())).unwrap();
    let all = root.artifacts().unwrap();

    // Dry, nothing goes.
    let would_go = root.collect(&Keep::default().newest(2), true).unwrap();
    assert!(would_go.artifacts.contains(&model(&old)));
    assert_eq!(root.artifacts().unwrap(), all);
    let collected = root.collect(&Keep::default().newest(2), false).unwrap();
    assert_eq!(collected, would_go);
    assert!(collected.bytes > 0 && collected.kept_bytes > 0);
    let left = root.artifacts().unwrap();
    assert_eq!(left.len() + collected.artifacts.len(), all.len());
    for run in [&tagged, &newer, &serving] {
        assert!(left.contains(&model(run)), "{run}");
    }
    assert!(!left.contains(&model(&old)));
    assert!(left.contains(&of_own), "no pipeline made it");
    // What the kept models were made of is there.
    let examples = root
        .run(&serving)
        .unwrap()
        .output("examples")
        .cloned()
        .unwrap();
    assert!(left.contains(&examples));

    // By bytes, only what is kept anyway.
    root.collect(&Keep::default().newest(10).at_most(1), false)
        .unwrap();
    let left = root.artifacts().unwrap();
    assert!(left.contains(&model(&tagged)) && left.contains(&model(&serving)));
    assert!(!left.contains(&model(&newer)));

    // The records stay, and what was removed is made anew, the same.
    assert_eq!(root.runs().unwrap().len(), 4);
    assert_eq!(root.lineage(&old).unwrap().steps.len(), 3);
    let again = place.run("rows.csv", 3);
    assert_eq!(model(&again), model(&old));
    let run = root.run(&again).unwrap();
    assert_eq!(run.reused().collect::<Vec<_>>(), ["extract", "prepare"]);
    assert!(root.verify().unwrap().damaged.is_empty());
}

#[test]
fn nothing_is_collected_while_a_run_is_under_way() {
    let place = Place::new();
    place.run("rows.csv", 2);
    let root = place.root();
    let path = place.path("rows.csv");
    let result: std::sync::Mutex<Option<Error>> = std::sync::Mutex::default();
    let result = std::sync::Arc::new(result);
    let (seen, of) = (std::sync::Arc::clone(&result), root.clone());
    let pipeline = Pipeline::builder("other")
        .data(FileSource::csv(path).label("late"))
        .train_with("collects", 1, move |args: &TrainArgs| {
            let error = of.collect(&Keep::default(), false).unwrap_err();
            assert_eq!(
                of.runs().unwrap().pop().unwrap().state,
                fourfold::runs::State::Running
            );
            *seen.lock().unwrap() = Some(error);
            Ok(fourfold::model::ConstantModel::new(
                args.train().n_features(),
                vec![0.5],
            ))
        })
        .evaluate(Thresholds::new().at_least("skill", -1.0))
        .serve(InProcess::new())
        .root(root.path())
        .build()
        .unwrap();
    drop(pipeline.run_blocking().unwrap());
    let error = result.lock().unwrap().take().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    root.collect(&Keep::default(), false).unwrap();
}

/// An artifact of an application's.
#[derive(Debug, PartialEq)]
struct Own(String);

impl fourfold::runs::Artifact for Own {
    const KIND: &'static str = "own";
    const VERSION: u32 = 3;

    fn save(&self, dir: &Path) -> Result<()> {
        fourfold::model::save_json(dir, "own.json", &self.0)
    }

    fn load(dir: &Path) -> Result<Self> {
        Ok(Own(fourfold::model::load_json(dir, "own.json")?))
    }
}

#[test]
fn an_artifact_is_told_by_its_content_and_its_form() {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::open(dir.path()).unwrap();
    let id = root.put(&Own("a".to_owned())).unwrap();
    assert_eq!(root.put(&Own("a".to_owned())).unwrap(), id);
    assert_ne!(root.put(&Own("b".to_owned())).unwrap(), id);
    assert_eq!(root.get::<Own>(&id).unwrap(), Own("a".to_owned()));
    assert_eq!(id.to_string().parse::<ArtifactId>().unwrap(), id);
    for text in ["own", "own/12", "../own/12", "Own/aa"] {
        assert_eq!(
            text.parse::<ArtifactId>().unwrap_err().kind(),
            ErrorKind::Config
        );
    }
    // One of another kind, and one that is not there.
    let other: ArtifactId = id.to_string().replacen("own", "other", 1).parse().unwrap();
    assert_eq!(
        root.get::<Own>(&other).unwrap_err().kind(),
        ErrorKind::Config
    );
    // A newer form.
    let file = root.dir_of(&id).join("format.json");
    fs::write(&file, "4").unwrap();
    assert_eq!(root.get::<Own>(&id).unwrap_err().kind(), ErrorKind::Corrupt);
    fs::remove_dir_all(root.dir_of(&id)).unwrap();
    assert_eq!(
        root.get::<Own>(&id).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    // What is damaged is mended when it is written again.
    let id = root.put(&Own("a".to_owned())).unwrap();
    fs::write(root.dir_of(&id).join("own.json"), "\"x\"").unwrap();
    assert_eq!(root.verify().unwrap().damaged.len(), 1);
    assert_eq!(root.put(&Own("a".to_owned())).unwrap(), id);
    assert!(root.verify().unwrap().damaged.is_empty());
}
