//! Monitors that see requests which a real model has answered.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;

use super::super::queue::Worker;
use super::super::record::Record;
use super::super::tests::{ask, candidate, passengers, predictor, servable, with_reference};
use super::watcher::Watcher;
use super::{DriftMonitor, DriftOptions, DriftReport, Reports};
use crate::error::ErrorKind;
use crate::model::{Loaders, Servable};
use crate::schema::{Against, AnomalyKind, Schema};
use crate::serving::Predictor;
use crate::serving::metrics::Metrics;
use crate::serving::requests::Observation;
use crate::statistics::distance::Distance;

/// Ages from 20 to 79, in an order that mixes them, and so for any number of rows from some place.
fn ages(from: i64, n: i64) -> impl Iterator<Item = i64> {
    (from..from + n).map(|i| 20 + (i * 37) % 60)
}

fn trained() -> Predictor {
    let model = with_reference(servable("late"), &passengers(ages(0, 6_000)));
    predictor(model, 3)
}

/// A small window, and no call.
fn monitor() -> DriftMonitor {
    DriftMonitor::start(DriftOptions::default().window_rows(3_000), |_| ()).unwrap()
}

fn thousands(monitor: &DriftMonitor, model: &Predictor, rows: &RecordBatch) -> DriftReport {
    ask(monitor, model, rows, None);
    monitor.flush();
    monitor.report(model.name()).unwrap()
}

fn kinds(report: &DriftReport) -> Vec<(&str, AnomalyKind)> {
    let anomalies = report.anomalies.iter();
    anomalies
        .map(|anomaly| (anomaly.column.as_str(), anomaly.kind))
        .collect()
}

#[test]
fn what_looks_like_training_is_no_drift() {
    let report = thousands(&monitor(), &trained(), &passengers(ages(7, 3_000)));
    assert_eq!(kinds(&report), []);
    assert!(report.has_enough_rows && !report.has_drifted());
    assert_eq!(
        (report.model.as_str(), report.version, report.n_rows),
        ("late", 3, 3_000)
    );
    let measured = |column: &str| -> Vec<Distance> {
        let all = report.skew.iter().chain(&report.predictions);
        let of_column = all.filter(|comparison| comparison.column == column);
        of_column
            .map(|comparison| {
                assert!(comparison.measured < 0.05, "{comparison}");
                assert!(comparison.threshold.is_some() && comparison.against == Against::Serving);
                comparison.distance
            })
            .collect()
    };
    let (norm, divergence) = (Distance::InfinityNorm, Distance::JensenShannonDivergence);
    let (index, ks) = (
        Distance::PopulationStabilityIndex,
        Distance::KolmogorovSmirnov,
    );
    for (column, distances) in [
        ("age", vec![divergence, index, ks]),
        ("fare", vec![divergence, index, ks]),
        ("city", vec![norm, divergence]),
        ("prediction_class", vec![norm, divergence]),
        ("prediction_probability", vec![divergence, index, ks]),
        // No request has sent it.
        ("vip", vec![]),
    ] {
        assert_eq!(measured(column), distances, "{column}");
    }
    let names: Vec<&str> = report.measures().map(|measure| measure.name).collect();
    assert!(names.contains(&"population_stability_index"), "{names:?}");
}

#[test]
fn what_moves_is_found_and_so_is_its_return() {
    let (monitor, model) = (monitor(), trained());
    assert!(monitor.report("late").is_none());
    let old = passengers(ages(0, 3_000).map(|age| age + 25));
    let report = thousands(&monitor, &model, &old);
    assert!(report.has_drifted());
    let found = kinds(&report);
    for (column, kind) in [
        ("age", AnomalyKind::ComparatorJensenShannonDivergenceHigh),
        ("age", AnomalyKind::ComparatorPopulationStabilityIndexHigh),
        ("age", AnomalyKind::ComparatorKolmogorovSmirnovHigh),
        ("prediction_class", AnomalyKind::ComparatorLInftyHigh),
        (
            "prediction_probability",
            AnomalyKind::ComparatorKolmogorovSmirnovHigh,
        ),
    ] {
        assert!(
            found.contains(&(column, kind)),
            "no {kind} of {column} in {found:?}"
        );
    }
    assert!(
        found
            .iter()
            .all(|(column, _)| !["fare", "city"].contains(column)),
        "{found:?}"
    );
    let text = report.to_string();
    assert!(
        text.contains("column `age`: the Jensen-Shannon divergence to the data in serving is"),
        "{text}"
    );

    let report = thousands(&monitor, &model, &passengers(ages(0, 3_000)));
    assert_eq!(kinds(&report), []);
    // It is far from the window before, which has no threshold.
    let before = report
        .previous
        .iter()
        .find(|comparison| comparison.column == "age")
        .unwrap();
    assert!(
        before.measured > 0.1 && before.threshold.is_none(),
        "{before}"
    );
    assert!(
        report
            .measures()
            .any(|measure| measure.name == "previous_jensen_shannon_divergence")
    );
}

#[test]
fn reports_depend_on_the_rows_and_not_on_how_they_came() {
    let rows = passengers(ages(0, 9_000).map(|age| age + age % 7));
    let reports = |sizes: &[usize]| {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let monitor = DriftMonitor::start(DriftOptions::default().window_rows(2_000), {
            let seen = Arc::clone(&seen);
            move |report: &DriftReport| seen.lock().unwrap().push(report.clone())
        })
        .unwrap();
        let model = trained();
        let (mut at, mut sizes) = (0, sizes.iter().cycle());
        while at < rows.num_rows() {
            let n = (*sizes.next().unwrap()).min(rows.num_rows() - at);
            ask(&monitor, &model, &rows.slice(at, n), None);
            at += n;
        }
        assert_eq!(monitor.dropped_rows(), 0);
        drop(monitor);
        let mut reports = std::mem::take(&mut *seen.lock().unwrap());
        for report in &mut reports {
            (report.started, report.ended) = (std::time::UNIX_EPOCH, std::time::UNIX_EPOCH);
        }
        reports
    };
    let whole = reports(&[9_000]);
    let n_rows: Vec<u64> = whole.iter().map(|report| report.n_rows).collect();
    assert_eq!(n_rows, [2_000, 2_000, 2_000, 2_000, 1_000]);
    assert_eq!(reports(&[17, 1, 400]), whole);
}

#[test]
fn too_few_rows_say_so_and_the_window_goes_on() {
    let (monitor, model) = (monitor(), trained());
    let odd = passengers(std::iter::repeat_n(99, 300));
    let report = thousands(&monitor, &model, &odd);
    assert!(!report.has_enough_rows && !report.has_drifted());
    assert_eq!((kinds(&report), report.n_rows), (vec![], 300));
    assert!(report.to_string().ends_with("too few rows"), "{report}");
    let report = thousands(&monitor, &model, &odd);
    assert!(report.has_enough_rows && report.has_drifted());
    assert_eq!(report.n_rows, 600);
}

#[test]
fn a_window_is_measured_when_its_time_is_over() {
    let options = DriftOptions::default()
        .window_time(Duration::from_millis(50))
        .min_rows(10);
    let monitor = DriftMonitor::start(options, |_| ()).unwrap();
    ask(&monitor, &trained(), &passengers(ages(0, 20)), None);
    let start = Instant::now();
    while monitor.report("late").is_none() {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "the report never came"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(monitor.report("late").unwrap().n_rows, 20);
}

#[test]
fn without_statistics_the_rows_are_held_against_the_schema_alone() {
    let model = predictor(servable("late"), 1);
    let report = thousands(&monitor(), &model, &passengers(ages(0, 1_000)));
    assert!(
        report
            .without_reference
            .as_ref()
            .unwrap()
            .contains("without statistics")
    );
    assert!(report.skew.is_empty() && !report.has_drifted());
    assert!(report.to_string().contains("no reference"), "{report}");
}

#[test]
fn a_saved_model_is_watched_with_its_saved_statistics() {
    let root = tempfile::tempdir().unwrap();
    let place = root.path().join("1");
    let rows = passengers(ages(0, 6_000));
    let reference = with_reference(servable("late"), &rows);
    let reference = reference.reference().unwrap().unwrap();
    candidate("late")
        .with_reference(reference)
        .save(&place)
        .unwrap();
    let loaded = || Servable::load(&place, &Loaders::default()).unwrap();
    let odd = passengers(ages(0, 3_000).map(|age| age + 25));
    let (fresh, saved) = (trained(), predictor(loaded(), 3));
    let expected = thousands(&monitor(), &fresh, &odd);
    let found = thousands(&monitor(), &saved, &odd);
    assert_eq!(
        (&found.skew, &found.predictions),
        (&expected.skew, &expected.predictions)
    );

    // The directory is removed before the first request: there is nothing to compare with, and nothing breaks.
    let late = predictor(loaded(), 3);
    std::fs::remove_dir_all(&place).unwrap();
    let found = thousands(&monitor(), &late, &odd);
    assert!(found.without_reference.is_some() && found.skew.is_empty());
}

/// The model with another schema.
fn with_schema(change: impl FnOnce(&mut Schema)) -> Predictor {
    let model = trained();
    let old = model.servable();
    let mut schema = old.schema().clone();
    change(&mut schema);
    let changed = Servable::new(
        old.manifest().clone(),
        &schema,
        Arc::new(old.transform().clone()),
        Arc::clone(old.model()),
    );
    let reference = old.reference().unwrap().unwrap();
    predictor(changed.unwrap().with_reference(reference), 3)
}

#[test]
fn thresholds_of_the_schema_come_first() {
    let odd = passengers(ages(0, 3_000).map(|age| age + 25));
    let wide = with_schema(|schema| {
        let field = schema
            .fields
            .iter_mut()
            .find(|field| field.name == "age")
            .unwrap();
        field.skew.kolmogorov_smirnov = Some(0.9);
    });
    let report = thousands(&monitor(), &wide, &odd);
    assert!(
        kinds(&report).iter().all(|(column, _)| *column != "age"),
        "{report}"
    );
    let of_age: Vec<_> = report
        .skew
        .iter()
        .filter(|found| found.column == "age")
        .collect();
    assert_eq!(of_age.len(), 1);
    assert_eq!(of_age[0].threshold, Some(0.9));

    let drifting = with_schema(|schema| {
        let field = schema
            .fields
            .iter_mut()
            .find(|field| field.name == "age")
            .unwrap();
        field.drift.jensen_shannon_divergence = Some(0.01);
    });
    let monitor = monitor();
    thousands(&monitor, &drifting, &passengers(ages(0, 3_000)));
    let report = thousands(&monitor, &drifting, &odd);
    let text = report.to_string();
    assert!(
        text.contains("column `age`: the Jensen-Shannon divergence to the previous span is"),
        "{text}"
    );
}

#[test]
fn rows_that_do_not_fit_the_schema_are_anomalies() {
    use crate::schema::Domain;
    let model = with_schema(|schema| {
        for field in &mut schema.fields {
            match field.name.as_str() {
                "city" => field.domain = Some(Domain::Values(vec!["Rome".into(), "Oslo".into()])),
                "fare" => field.min_fraction = 0.9,
                _ => {}
            }
        }
    });
    let report = thousands(&monitor(), &model, &passengers(ages(0, 3_000)));
    let found = kinds(&report);
    assert_eq!(
        found,
        [
            ("fare", AnomalyKind::FeatureTypeLowFractionPresent),
            ("city", AnomalyKind::EnumTypeUnexpectedStringValues),
        ]
    );
}

#[test]
fn the_last_versions_are_kept() {
    let monitor = monitor();
    let model = trained();
    for version in 1..=10 {
        let version = predictor(model.servable().clone(), version);
        ask(&monitor, &version, &passengers(ages(0, 600)), None);
        monitor.flush();
    }
    let versions: Vec<u64> = monitor
        .reports()
        .iter()
        .map(|report| report.version)
        .collect();
    assert_eq!(versions, [7, 8, 9, 10]);
    assert_eq!(monitor.report("late").unwrap().version, 10);
}

#[test]
fn a_call_that_panics_does_not_end_the_watch() {
    let monitor = DriftMonitor::start(DriftOptions::default(), |report| {
        assert!(report.version != 3, "a bug in what is called");
    })
    .unwrap();
    ask(&monitor, &trained(), &passengers(ages(0, 600)), None);
    monitor.flush();
    assert!(monitor.report("late").is_none());
    let other = predictor(trained().servable().clone(), 4);
    ask(&monitor, &other, &passengers(ages(0, 600)), None);
    monitor.flush();
    assert_eq!(monitor.report("late").unwrap().version, 4);
}

#[test]
fn options_out_of_range_are_errors_that_name_them() {
    let options = DriftOptions::default;
    let of_numbers = crate::schema::Comparator {
        kolmogorov_smirnov: Some(0.1),
        ..Default::default()
    };
    for (options, name) in [
        (options().share(-1.0), "share"),
        (options().min_rows(0), "min_rows"),
        (options().window_rows(10), "window_rows"),
        (options().window_time(Duration::ZERO), "window_seconds"),
        (options().max_queued_rows(0), "max_queued_rows"),
        (options().categories(of_numbers), "categories"),
    ] {
        let error = DriftMonitor::start(options, |_| ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains(name), "{error}");
    }
    let unknown: Result<DriftOptions, _> = serde_json::from_str(r#"{"windowrows": 5}"#);
    assert!(unknown.is_err());
}

#[test]
fn distances_are_shown_as_metrics_until_they_are_no_longer_measured() {
    let metrics = Metrics::new();
    let options = DriftOptions::default().window_rows(3_000);
    let monitor = DriftMonitor::start(options, metrics.on_drift()).unwrap();
    let report = thousands(&monitor, &trained(), &passengers(ages(0, 3_000)));
    let page = metrics.encode();
    for measure in report.measures() {
        let found = metrics
            .drift("late", report.version, measure.column, measure.name)
            .get();
        assert_eq!(found, measure.value, "{measure:?}");
    }
    let series = format!(
        r#"fourfold_drift{{model="late",version="{}",column="prediction_class",measure="infinity_norm"}}"#,
        report.version
    );
    assert!(page.contains(&series), "{page}");
    // A version without statistics is measured against the window before it alone, and has none yet.
    let other = predictor(servable("late"), 4);
    thousands(&monitor, &other, &passengers(ages(0, 3_000)));
    let page = metrics.encode();
    assert!(page.contains(&series), "another version's stays");
    assert!(!page.contains(r#"fourfold_drift{model="late",version="4""#));
}

#[test]
fn a_window_with_too_few_rows_takes_no_reports_place() {
    let (monitor, model) = (monitor(), trained());
    let full = thousands(&monitor, &model, &passengers(ages(0, 3_000)));
    let last = thousands(&monitor, &model, &passengers(ages(0, 10)));
    assert_eq!(last, full);
}

#[test]
fn a_version_that_is_no_longer_asked_is_forgotten_and_its_report_stays() {
    let options = DriftOptions::default()
        .window_rows(3_000)
        .window_time(Duration::from_millis(20));
    let reports = Arc::<Reports>::default();
    let mut watcher = Watcher::new(options, Arc::clone(&reports), Box::new(|_| ()));
    let old = trained();
    let new = predictor(old.servable().clone(), 4);
    let rows = passengers(ages(0, 3_000));
    let seen = |model: &Predictor| {
        let prediction = model.predict(&rows).unwrap();
        Record::new(&Observation::new(model, &rows, &prediction, None))
    };
    watcher.take(vec![seen(&old), seen(&new)]);
    assert_eq!(watcher.n_windows(), 2);
    let begun = Instant::now();
    while watcher.n_windows() > 1 {
        assert!(begun.elapsed() < Duration::from_secs(60));
        watcher.take(vec![seen(&new)]);
        watcher.tick();
    }
    assert_eq!(reports.lock().len(), 2);
}
