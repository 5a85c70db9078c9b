//! Decisions of the manager: shadows, lazy loading, loads.

use super::*;
use crate::serving::lifecycle::State;
use crate::serving::metrics::Metrics;
use crate::serving::requests::{Observation, Observer, ShadowObservation};

#[derive(Debug, Default)]
struct Shadows(Mutex<Vec<(u64, u64, usize, f64)>>);

impl Observer for Shadows {
    fn observe(&self, _: &Observation<'_>) {}

    fn observe_shadow(&self, seen: &ShadowObservation<'_>) {
        self.0.lock().unwrap().push((
            seen.version(),
            seen.shadow().version(),
            seen.n_differing(),
            seen.largest_difference(),
        ));
    }
}

/// Two versions, the newer one a shadow; `two` controls its behaviour.
fn shadowed(shadows: &Arc<Shadows>) -> (Stage, Arc<Script>, Arc<Script>) {
    let models = tempfile::tempdir().unwrap();
    let one = Actor::new().save_as("model", 1, models.path());
    let two = Actor::new().save_as("model", 2, models.path());
    let control = r#"{"format_version": 1, "labels": {"stable": 1}, "shadow": 2}"#;
    std::fs::write(models.path().join("model/serving.json"), control).unwrap();
    let manager = Manager::open(ModelRepository::at(models.path()), loaders()).unwrap();
    let observer: Arc<dyn Observer> = Arc::<Shadows>::clone(shadows);
    let core = ServerCore::builder(Arc::new(manager)).observer(observer);
    let stage = Stage {
        core: core.build().unwrap(),
        runtime: runtime(),
        models,
        scripts: vec![Arc::clone(&one), Arc::clone(&two)],
    };
    (stage, one, two)
}

const SHADOW: &str = "{model=\"model\",version=\"1\",shadow_version=\"2\"}";

#[test]
fn a_shadow_is_asked_beside_and_never_answers() {
    let seen = Arc::new(Shadows::default());
    let (stage, _one, two) = shadowed(&seen);
    assert_eq!(stage.answer("model", &[1.0, 2.0]).unwrap(), [3.0, 5.0]);
    until(|| seen.0.lock().unwrap().len() == 1);
    assert_eq!(seen.0.lock().unwrap()[0], (1, 2, 0, 0.0));
    assert_eq!(two.calls(), [2]);
    stage.answer("model", &[1.0]).unwrap();
    until(|| stage.samples()[&format!("fourfold_shadow_rows_total{SHADOW}")] == 3.0);
    assert_eq!(
        stage.samples()[&format!("fourfold_shadow_differing_rows_total{SHADOW}")],
        0.0
    );
}

#[test]
fn a_shadow_that_hangs_costs_one_thread_and_what_it_misses_is_counted() {
    let seen = Arc::new(Shadows::default());
    let (stage, one, two) = shadowed(&seen);
    two.close();
    for _ in 0..100 {
        assert_eq!(stage.answer("model", &[1.0]).unwrap(), [3.0]);
    }
    assert_eq!(one.calls().len(), 100);
    until(|| two.running() == 1);
    assert_eq!(two.calls().len(), 1);
    let dropped = stage.samples()[&format!("fourfold_shadow_dropped_total{SHADOW}")];
    assert!((35.0..=36.0).contains(&dropped), "{dropped}");
    two.open();
    until(|| seen.0.lock().unwrap().len() == 100 - dropped as usize);
}

#[test]
fn what_waits_for_a_shadow_holds_no_version_and_goes_when_another_is_the_shadow() {
    let seen = Arc::new(Shadows::default());
    let (stage, _one, two) = shadowed(&seen);
    two.close();
    for _ in 0..10 {
        stage.answer("model", &[1.0]).unwrap();
    }
    until(|| two.running() == 1);
    Actor::new().save_as("model", 3, stage.models.path());
    Actor::new().save_as("model", 4, stage.models.path());
    let control = r#"{"format_version": 1, "labels": {"stable": 3}, "shadow": 4}"#;
    std::fs::write(stage.models.path().join("model/serving.json"), control).unwrap();
    stage.core.manager().refresh().unwrap();
    // The one that hangs is called still; what waits for it does not keep the one that answered.
    until(|| {
        let state = stage.core.manager().state("model").unwrap();
        let mut versions = state.versions.iter();
        versions.all(|state| state.version != 1 || state.state == State::End)
    });
    until(|| {
        stage.answer("model", &[1.0]).unwrap();
        seen.0
            .lock()
            .unwrap()
            .iter()
            .any(|seen| (seen.0, seen.1) == (3, 4))
    });
    two.open();
    until(|| two.running() == 0);
    until(|| !stage.samples().keys().any(|name| name.ends_with(SHADOW)));
    assert_eq!(two.calls().len(), 1);
    assert_eq!(
        stage
            .core
            .inner
            .runtimes
            .model("model")
            .unwrap()
            .shadows
            .n_known(),
        1
    );
}

#[test]
fn few_large_requests_wait_for_a_shadow() {
    let seen = Arc::new(Shadows::default());
    let (stage, _one, two) = shadowed(&seen);
    two.close();
    stage.answer("model", &[1.0]).unwrap();
    until(|| two.running() == 1);
    // Rows and answers are 1.6 MB each.
    let many = vec![1.0; 100_000];
    for _ in 0..60 {
        stage.answer("model", &many).unwrap();
    }
    let dropped = stage.samples()[&format!("fourfold_shadow_dropped_total{SHADOW}")];
    assert!((15.0..40.0).contains(&dropped), "{dropped}");
    two.open();
}

#[test]
fn a_lazy_model_is_loaded_for_who_asks_first() {
    let models = tempfile::tempdir().unwrap();
    Actor::new().save_as("model", 1, models.path());
    let metrics = Metrics::new();
    let manager = Manager::builder(ModelRepository::at(models.path()))
        .loaders(loaders())
        .lazy()
        .listener(Arc::new(metrics.clone()))
        .open()
        .unwrap();
    let error = manager.get("model", None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let stage = Stage {
        core: ServerCore::builder(Arc::new(manager))
            .metrics(metrics)
            .build()
            .unwrap(),
        runtime: runtime(),
        models,
        scripts: Vec::new(),
    };
    let asked: Vec<Pending> = (0..30).map(|_| stage.ask("model", &[1.0])).collect();
    for asked in asked {
        assert_eq!(asked.answer().unwrap(), [3.0]);
    }
    let samples = stage.samples();
    assert_eq!(
        samples["fourfold_model_loads_total{model=\"model\",result=\"ok\"}"],
        1.0
    );
    assert_eq!(
        samples["fourfold_load_duration_seconds_count{model=\"model\"}"],
        1.0
    );
    let error = stage.answer("nodel", &[1.0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}
