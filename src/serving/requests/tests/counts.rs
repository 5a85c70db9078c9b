//! Counts agree with the work done.

use super::super::Protocol;
use super::*;
use crate::serving::Predictor;
use crate::serving::metrics::{Code, Metrics};
use crate::serving::requests::{Observation, Observer};

fn requests(version: &str, code: &str) -> String {
    let model = if version.is_empty() { "" } else { "model" };
    format!(
        "fourfold_requests_total{{model=\"{model}\",version=\"{version}\",protocol=\"in_process\",code=\"{code}\"}}"
    )
}

#[test]
fn metrics_and_statistics_match_the_requests() {
    for adaptive in [true, false] {
        let (stage, [script]) = Stage::with(["model"], |core| {
            core.batching(Batching::default().adaptive(adaptive))
        });
        for n in 1..=20 {
            stage.answer("model", &vec![1.0; n]).unwrap();
        }
        for _ in 0..3 {
            stage.answer("model", &[FAILS]).unwrap_err();
        }
        stage.answer("nodel", &[1.0]).unwrap_err();
        stage.answer("other", &[1.0]).unwrap_err();

        let samples = stage.samples();
        let lane = "{model=\"model\",version=\"1\",protocol=\"in_process\"}";
        assert_eq!(samples[&requests("1", "OK")], 20.0);
        assert_eq!(samples[&requests("1", "INTERNAL")], 3.0);
        assert_eq!(samples[&requests("", "NOT_FOUND")], 2.0);
        assert_eq!(
            samples[&format!("fourfold_request_duration_seconds_count{lane}")],
            23.0
        );
        assert_eq!(samples[&format!("fourfold_rows_total{lane}")], 210.0);
        assert_eq!(samples["fourfold_requests_in_flight{model=\"model\"}"], 0.0);
        assert_eq!(samples["fourfold_queue_length{model=\"model\"}"], 0.0);
        let calls = script.calls();
        let n_rows: usize = calls.iter().sum();
        let version = "{model=\"model\",version=\"1\"}";
        assert_eq!(
            samples[&format!("fourfold_batch_rows_count{version}")],
            calls.len() as f64
        );
        assert_eq!(
            samples[&format!("fourfold_batch_rows_sum{version}")],
            n_rows as f64
        );
        let state =
            "fourfold_model_version_state{model=\"model\",version=\"1\",state=\"available\"}";
        assert_eq!(samples[state], 1.0);

        let statistics = stage.core.statistics(Some("model"), None).unwrap();
        assert_eq!(statistics, stage.core.statistics(None, None).unwrap());
        let [of_model] = statistics.as_slice() else {
            panic!("{statistics:?}")
        };
        assert_eq!(of_model.inference_count, 210);
        assert_eq!(of_model.inference_stats.success.count, 20);
        assert_eq!(of_model.inference_stats.fail.count, 3);
        assert!(of_model.inference_stats.compute_infer.ns > 0);
        assert!(of_model.inference_stats.success.ns >= of_model.inference_stats.compute_infer.ns);
        assert_eq!(
            of_model.execution_count,
            calls.len() as u64 - 3,
            "without the failed"
        );
        let sizes: Vec<u64> = of_model
            .batch_stats
            .iter()
            .map(|size| size.batch_size)
            .collect();
        assert_eq!(sizes, (1..=20).collect::<Vec<u64>>());
        let error = stage.core.statistics(Some("model"), Some(7)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}

#[derive(Debug, Default)]
struct Seen(Mutex<Vec<(u64, usize, Vec<f64>)>>);

impl Observer for Seen {
    fn observe(&self, observation: &Observation<'_>) {
        let outputs = observation.prediction().outputs().iter().copied().collect();
        let version = observation.predictor().version();
        let n_rows = observation.rows().num_rows();
        self.0.lock().unwrap().push((version, n_rows, outputs));
        assert!(n_rows != 5, "a test's panic");
    }
}

#[test]
fn observers_see_every_answer_and_cannot_spoil_it() {
    for adaptive in [true, false] {
        let seen = Arc::new(Seen::default());
        let observer = Arc::clone(&seen);
        let (stage, _) = Stage::with(["model"], |core| {
            core.observer(observer)
                .batching(Batching::default().adaptive(adaptive))
        });
        for n in 1..=8 {
            let xs = vec![f64::from(n); n as usize];
            assert_eq!(stage.answer("model", &xs).unwrap(), expected(&xs));
        }
        stage.answer("model", &[FAILS]).unwrap_err();
        let seen = std::mem::take(&mut *seen.0.lock().unwrap());
        assert_eq!(seen.len(), 8);
        let third = (1, 3, expected(&[3.0; 3]));
        assert_eq!(seen[2], third);
    }
}

#[test]
fn the_series_of_a_version_go_with_it() {
    let (stage, _) = Stage::with(["model"], |core| core);
    stage.answer("model", &[1.0]).unwrap();
    assert!(stage.samples().contains_key(&requests("1", "OK")));
    Actor::new().save_as("model", 2, stage.models.path());
    stage.core.manager().refresh().unwrap();
    // The new one has had no request yet.
    until(|| !has_series_of(&stage, "version=\"1\",protocol"));
    stage.answer("model", &[1.0]).unwrap();
    assert!(stage.samples().contains_key(&requests("2", "OK")));
    assert_eq!(stage.core.statistics(Some("model"), None).unwrap().len(), 1);
}

fn has_series_of(stage: &Stage, labels: &str) -> bool {
    stage.samples().keys().any(|name| name.contains(labels))
}

#[test]
fn a_request_that_holds_a_version_that_is_gone_makes_no_series() {
    let (stage, _) = Stage::with(["model"], |core| core);
    stage.answer("model", &[1.0]).unwrap();
    let inner = &stage.core.inner;
    let old = stage.core.manager().get("model", 1).unwrap();
    let of = |old| {
        let runtimes = &inner.runtimes;
        runtimes.of(old, &inner.settings, &inner.metrics, &inner.manager)
    };
    let unheld = Predictor::new(1, Arc::new(old.servable().clone()));
    let (_, before) = of(&unheld);
    drop(old);
    Actor::new().save_as("model", 2, stage.models.path());
    stage.core.manager().refresh().unwrap();
    until(|| !has_series_of(&stage, "version=\"1\",protocol"));
    let (_, after) = of(&unheld);
    for version in [before, after] {
        for protocol in Protocol::ALL {
            let lane = version.lane(protocol, "model", &inner.metrics);
            lane.metrics.observe(Code::Cancelled, Duration::ZERO);
        }
    }
    assert!(!has_series_of(&stage, "version=\"1\""));
}

#[test]
fn the_series_of_a_model_go_with_it() {
    let models = tempfile::tempdir().unwrap();
    for name in ["model", "other"] {
        Actor::new().save_as(name, 1, models.path());
    }
    let metrics = Metrics::new();
    let manager = Manager::builder(ModelRepository::at(models.path()))
        .loaders(loaders())
        .listener(Arc::new(metrics.clone()))
        .open()
        .unwrap();
    let core = ServerCore::builder(Arc::new(manager)).metrics(metrics.clone());
    let stage = Stage {
        core: core.build().unwrap(),
        runtime: runtime(),
        models,
        scripts: Vec::new(),
    };
    // A model that is never requested is removed, too.
    stage.answer("model", &[1.0]).unwrap();
    for name in ["model", "other"] {
        metrics.drift(name, 1, "x", "psi").set(0.5);
        metrics.dropped_log_rows(name).add(1);
        std::fs::remove_dir_all(stage.models.path().join(name)).unwrap();
    }
    metrics.drift("elsewhere", 1, "x", "psi").set(0.5);
    stage.core.manager().refresh().unwrap();
    until(|| stage.core.manager().states().is_empty());
    let left: Vec<String> = stage.samples().into_keys().collect();
    assert_eq!(
        left,
        [
            "fourfold_drift{model=\"elsewhere\",version=\"1\",column=\"x\",measure=\"psi\"}",
            "fourfold_source_readable"
        ]
    );
}

#[test]
fn draining_is_said() {
    let (stage, _) = Stage::with(["model"], |core| core);
    assert!(!stage.core.is_draining());
    stage.core.clone().drain();
    assert!(stage.core.is_draining());
    stage.answer("model", &[1.0]).unwrap();
}
