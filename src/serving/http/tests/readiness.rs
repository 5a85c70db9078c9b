//! Readiness as a server reports it.

use super::*;
use crate::serving::lifecycle::VersionChoice;
use crate::serving::readiness::Readiness;

fn damage(version: &Path) {
    let file = version.join("model/linear.json");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replacen('0', "1", 1)).unwrap();
}

fn ready_by(readiness: Readiness, server: &Running) -> Answer {
    let core = server.handle.as_ref().unwrap().core().clone();
    let serving = ServerOptions::default().readiness(readiness);
    let handle = server.runtime.block_on(serving.serve(core, "127.0.0.1:0"));
    let handle = handle.unwrap();
    let request = ureq::get(format!("{}/v2/health/ready", handle.url()))
        .config()
        .http_status_as_error(false)
        .build();
    read_json(request.call().unwrap())
}

#[test]
fn a_broken_model_counts_where_all_have_to_answer() {
    let server = Running::over(|root| {
        late_model("late", 0.1).save(&root.join("late/1")).unwrap();
        price().save(&root.join("price/1")).unwrap();
        damage(&root.join("price/1"));
    });
    assert_eq!(ready_by(Readiness::Loaded, &server).0, 200);
    assert_eq!(ready_by(Readiness::Any, &server).0, 200);
    let (status, answer) = ready_by(Readiness::All, &server);
    assert_eq!((status, &answer["ready"]), (503, &json!(false)));
    let error = answer["error"].as_str().unwrap();
    assert!(
        error.starts_with("model `price` is not available: "),
        "{answer}"
    );
}

#[test]
fn a_server_whose_only_model_is_broken_is_never_ready() {
    let server = Running::over(|root| {
        late_model("late", 0.1).save(&root.join("late/1")).unwrap();
        damage(&root.join("late/1"));
    });
    for readiness in [Readiness::Loaded, Readiness::Any, Readiness::All] {
        assert_eq!(ready_by(readiness, &server).0, 503, "{readiness:?}");
    }
}

/// A model whose file of the gate has to appear before it is loaded.
#[derive(Debug)]
struct Slow;

impl Predict for Slow {
    fn n_features(&self) -> usize {
        N_FEATURES
    }

    fn n_outputs(&self) -> usize {
        1
    }

    fn predict(&self, rows: &Features) -> Result<Array2<f64>> {
        let rows = rows.matrix();
        Ok(Array2::zeros((rows.nrows(), 1)))
    }
}

impl Model for Slow {
    const FORMAT: &'static str = "test.slow.v1";

    fn save(&self, _: &Path) -> Result<()> {
        Ok(())
    }

    fn load(directory: &Path, _: &Loaders) -> Result<Self> {
        let gate = directory.ancestors().nth(3).unwrap().join("gate");
        until(|| gate.exists());
        Ok(Slow)
    }
}

fn slow() -> Candidate<Slow> {
    let target = Target::regression("y");
    candidate("slow", Slow, target)
}

#[test]
fn a_server_waits_for_its_first_models_and_not_for_new_ones() {
    for is_new in [false, true] {
        let root = tempfile::tempdir().unwrap();
        let save = || slow().save(&root.path().join("slow/1")).unwrap();
        late_model("late", 0.1)
            .save(&root.path().join("late/1"))
            .unwrap();
        if !is_new {
            save();
        }
        let manager = Manager::builder(ModelRepository::at(root.path()))
            .loaders(Loaders::default().with::<Slow>())
            .poll_interval(Duration::from_millis(20))
            .open_timeout(Duration::from_millis(200))
            .open();
        let manager = Arc::new(manager.unwrap());
        let core = ServerCore::new(Arc::clone(&manager));
        let probe = crate::serving::readiness::Probe::default();
        assert_eq!(probe.look(&core).is_ready, is_new);
        if is_new {
            save();
        }
        until(|| manager.states().len() == 2);
        let health = probe.look(&core);
        assert_eq!(health.is_ready, is_new, "{health:?}");
        assert_eq!(health.text(true), "model `slow` is not available");
        fs::write(root.path().join("gate"), "").unwrap();
        until(|| manager.get("slow", None).is_ok());
        assert!(probe.look(&core).is_ready);
        assert!(probe.look(&core).reasons.is_empty());
    }
}

#[test]
fn what_cannot_be_read_shows_everywhere_and_the_model_goes_on() {
    let server = Running::start();
    let root = server.models.path();
    let core = server.handle.as_ref().unwrap().core().clone();
    let refresh = || {
        let _ = server.manager().refresh();
    };
    let page = || core.metrics().encode();
    ModelRepository::at(root)
        .change("late", |control| control.set_label("canary", 1))
        .unwrap();
    refresh();
    assert_eq!(
        server.get("/v2/health/ready"),
        (200, json!({"ready": true}))
    );
    assert!(
        page().contains("fourfold_model_readable{model=\"late\"} 1\n"),
        "{}",
        page()
    );

    fs::write(root.join("late/serving.json"), "{").unwrap();
    refresh();
    let (status, answer) = server.get("/v2/health/ready");
    assert_eq!((status, &answer["ready"]), (200, &json!(true)));
    let warning = answer["warning"].as_str().unwrap();
    assert!(warning.contains("model `late` cannot be read") && warning.contains("serving.json"));
    let reason = |index: usize| {
        let (_, answer) = server.post("/v2/repository/index", &json!({}));
        answer[index]["reason"].as_str().unwrap().to_owned()
    };
    assert!(reason(0).contains("serving.json"), "{}", reason(0));
    assert_eq!(reason(1), "");
    assert!(page().contains("fourfold_model_readable{model=\"late\"} 0\n"));
    assert!(page().contains("fourfold_model_readable{model=\"meal\"} 1\n"));
    // Earlier changes by an operator remain in effect, also for a server that starts now.
    let again = Manager::open(ModelRepository::at(root), Loaders::default()).unwrap();
    assert_eq!(
        again
            .get("late", VersionChoice::Label("canary"))
            .unwrap()
            .version(),
        1
    );
    assert!(again.state("late").unwrap().reason.is_some());
    assert_eq!(server.infer("late", all_inputs()).0, 200);

    fs::remove_file(root.join("late/serving.json")).unwrap();
    refresh();
    assert_eq!(
        server.get("/v2/health/ready"),
        (200, json!({"ready": true}))
    );
    assert!(
        server
            .manager()
            .get("late", VersionChoice::Label("canary"))
            .is_err(),
        "nothing is said any more"
    );

    // The whole repository is missing.
    assert!(page().contains("fourfold_source_readable 1\n"));
    let moved = root.with_extension("moved");
    fs::rename(root, &moved).unwrap();
    refresh();
    let (status, answer) = server.get("/v2/health/ready");
    assert_eq!(status, 200);
    let warning = answer["warning"].as_str().unwrap();
    assert!(warning.contains("cannot be polled"), "{warning}");
    assert!(!reason(1).is_empty());
    assert!(page().contains("fourfold_source_readable 0\n"));
    assert_eq!(server.infer("late", all_inputs()).0, 200);
    fs::rename(&moved, root).unwrap();
    refresh();
    assert_eq!(
        server.get("/v2/health/ready"),
        (200, json!({"ready": true}))
    );
}
