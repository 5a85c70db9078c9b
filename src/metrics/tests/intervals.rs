//! Tests of the coverage of intervals.

use super::*;

/// A deterministic uniform number for a data set and a row.
fn uniform(set: u64, row: u64) -> f64 {
    let mut z = set.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ row.wrapping_mul(0xD1B5_4A32_D192_ED03);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Of 1,000 made-up data sets of 200 rows each, the interval holds the value of the population in 93 % at least, and, as
/// none of these is conservative by design, in 97 % at most.
#[test]
fn intervals_cover_what_they_say() {
    let set = |set: u64, n: u64| {
        Rows::new((0..n).map(|row| {
            let p = 0.1 + 0.8 * uniform(set, 2 * row);
            (f64::from(uniform(set, 2 * row + 1) < p), vec![p])
        }))
    };
    let truth = evaluate(2, &set(u64::MAX, 200_000), &[]);
    let names = [
        "auc",
        "log_loss",
        "brier",
        "accuracy",
        "precision",
        "recall",
        "specificity",
        "f1",
        "mcc",
        "balanced_accuracy",
        "skill",
        "mean_prediction",
        "calibration",
        "calibration_slope",
        "calibration_intercept",
    ];
    let mut covered = vec![0; names.len()];
    for data in 0..1_000 {
        let found = quick(&set(data, 200));
        for (name, covered) in names.iter().zip(&mut covered) {
            let value = found.overall[*name];
            let held = value.lower.unwrap()..=value.upper.unwrap();
            *covered += i32::from(held.contains(&truth.overall[*name].value));
        }
    }
    for (name, covered) in names.iter().zip(covered) {
        assert!((930..=970).contains(&covered), "{name}: {covered} of 1000");
    }
}

/// An evaluation without resampling, which takes long in a thousand sets.
fn quick(rows: &Rows) -> Evaluation {
    let mut evaluator = evaluator(2, &[], Vec::new());
    evaluator.update(&rows.batch()).unwrap();
    evaluator.quick().unwrap().0
}

#[test]
fn intervals_of_values_cover_what_they_say() {
    let set = |set: u64, n: u64| {
        Rows::new((0..n).map(|row| {
            let x = uniform(set, 3 * row);
            let error = uniform(set, 3 * row + 1) + uniform(set, 3 * row + 2) - 1.0;
            (5.0 + x + error, vec![5.0 + x])
        }))
    };
    let truth = evaluate(0, &set(u64::MAX, 200_000), &["pinball(0.9)"]);
    let names = [
        "mae",
        "mse",
        "rmse",
        "mape",
        "smape",
        "msle",
        "pinball(0.9)",
        "median_absolute_error",
        "r2",
        "calibration",
    ];
    let mut covered = vec![0; names.len()];
    for data in 0..1_000 {
        let found = evaluate(0, &set(data, 200), &["pinball(0.9)"]);
        for (name, covered) in names.iter().zip(&mut covered) {
            let value = found.overall[*name];
            let held = value.lower.unwrap()..=value.upper.unwrap();
            *covered += i32::from(held.contains(&truth.overall[*name].value));
        }
    }
    for (name, covered) in names.iter().zip(covered) {
        assert!((930..=970).contains(&covered), "{name}: {covered} of 1000");
    }
}

fn three_classes(set: u64, n: u64) -> Rows {
    Rows::new((0..n).map(|row| {
        let x = uniform(set, 2 * row);
        let q = vec![0.2 + 0.5 * x, 0.5 - 0.4 * x, 0.3 - 0.1 * x];
        let u = uniform(set, 2 * row + 1);
        let class = f64::from(u8::from(u > q[0]) + u8::from(u > q[0] + q[1]));
        (class, q)
    }))
}

/// Those of one class against the rest are wide by design; the others are not.
#[test]
fn intervals_of_classes_cover_what_they_say() {
    let truth = evaluate(3, &three_classes(u64::MAX, 200_000), &[]);
    let names = [
        "balanced_accuracy",
        "macro_f1",
        "weighted_f1",
        "macro_precision",
        "mcc",
        "auc_ovr",
    ];
    let mut covered = vec![0; names.len()];
    for data in 0..1_000 {
        let found = evaluate(3, &three_classes(data, 300), &[]);
        for (name, covered) in names.iter().zip(&mut covered) {
            let value = found.overall[*name];
            let held = value.lower.unwrap()..=value.upper.unwrap();
            *covered += i32::from(held.contains(&truth.overall[*name].value));
        }
    }
    for (name, covered) in names.iter().zip(covered) {
        let most = if *name == "auc_ovr" { 1_000 } else { 970 };
        assert!((930..=most).contains(&covered), "{name}: {covered} of 1000");
    }
}

#[test]
fn every_metric_has_an_interval_in_every_slice() {
    for (k, mut rows) in [(2, binary()), (3, classes()), (0, values())] {
        rows.keys = Some((0..N).map(|i| format!("k{}", i % 3)).collect());
        let asked = match k {
            2 => vec![
                "fbeta(2)",
                "cost(1, 5)",
                "precision_at_recall(0.5)",
                "recall_at_precision(0.5)",
            ],
            3 => vec!["top_k_accuracy(2)"],
            _ => vec!["pinball(0.2)"],
        };
        let mut evaluator = evaluator(k, &asked, vec![SliceBy::from("who")]);
        evaluator.update(&rows.batch()).unwrap();
        let found = evaluator.finish().unwrap();
        let slices = found.slices.iter().map(|slice| &slice.metrics);
        for metrics in slices.chain([&found.overall]) {
            assert!(metrics.len() > 9);
            for (name, value) in metrics.iter().filter(|(name, _)| *name != "example_count") {
                let (lower, upper) = (value.lower.unwrap(), value.upper.unwrap());
                assert!(
                    lower <= value.value && value.value <= upper,
                    "{name}: {value:?}"
                );
                assert!(lower < upper, "{name}: {value:?}");
            }
        }
    }
}

#[test]
fn resampled_intervals_cover_what_they_say() {
    let set = |set: u64, n: u64| {
        Rows::new((0..n).map(|row| {
            let p = 0.1 + 0.8 * uniform(set, 2 * row);
            (f64::from(uniform(set, 2 * row + 1) < p), vec![p])
        }))
    };
    let truth = evaluate(2, &set(u64::MAX, 200_000), &[]);
    let names = ["pr_auc", "average_precision", "ks"];
    let mut covered = vec![0; names.len()];
    for data in 0..500 {
        let found = evaluate(2, &set(data, 300), &[]);
        for (name, covered) in names.iter().zip(&mut covered) {
            let value = found.overall[*name];
            let held = value.lower.unwrap()..=value.upper.unwrap();
            *covered += i32::from(held.contains(&truth.overall[*name].value));
        }
    }
    for (name, covered) in names.iter().zip(covered) {
        // The interval of the largest distance is wide by design.
        let most = if *name == "ks" { 500 } else { 490 };
        assert!((465..=most).contains(&covered), "{name}: {covered} of 500");
    }
}

/// The errors by a bootstrap of the same rows with numpy: 0.00728 and 0.000879.
#[test]
fn the_errors_of_r2_and_calibration_are_those_of_the_bootstrap() {
    let found = evaluate(0, &values(), &[]);
    for (name, error) in [("r2", 0.007_28), ("calibration", 0.000_879)] {
        let value = found.overall[name];
        let width = (value.upper.unwrap() - value.lower.unwrap()) / (2.0 * 1.96);
        assert!((width / error - 1.0).abs() < 0.1, "{name}: {width}");
    }
}

#[test]
fn intervals_that_a_model_answers_are_held_against_the_labels() {
    let rows = [
        (1.0, 0.0, 2.0),
        (3.0, 3.5, 4.0),
        (5.0, 5.0, 6.0),
        (7.0, 0.0, 9.0),
    ];
    let ends: Vec<f64> = rows
        .iter()
        .flat_map(|(_, low, high)| [*low, *high])
        .collect();
    let batch = Scored {
        labels: rows.iter().map(|(label, ..)| *label).collect(),
        candidate: Array2::from_elem((4, 1), 4.0),
        intervals: [Some(Array2::from_shape_vec((4, 2), ends).unwrap()), None],
        ..Scored::default()
    };
    let mut evaluator = evaluator(0, &[], Vec::new());
    evaluator.update(&batch.into_batch().unwrap()).unwrap();
    let found = evaluator.finish().unwrap();
    assert_eq!(found.metric("interval_coverage").unwrap(), 0.75);
    assert_eq!(
        found.metric("interval_width").unwrap(),
        (2.0 + 0.5 + 1.0 + 9.0) / 4.0
    );
}

/// The difference in each slice is that of its rows alone, and its variance that of all pairs (held in the kernels).
#[test]
fn areas_are_compared_by_slice() {
    let mut rows = binary();
    rows.keys = Some((0..N).map(|i| format!("k{}", i % 3)).collect());
    rows.baseline = Some(
        (0..N)
            .map(|i| vec![0.5 * rows.outputs[i][0] + 0.5 * noise(i + 7)])
            .collect(),
    );
    let compare = |rows: &Rows, by: Vec<SliceBy>| {
        let mut evaluator = evaluator(2, &[], by);
        let parts = [rows.take(&(0..400)).batch(), rows.take(&(400..N)).batch()];
        parts
            .iter()
            .for_each(|part| evaluator.update(part).unwrap());
        let ranks = BothRanks::of(&evaluator).unwrap();
        let mut sums = ranks.start();
        for part in &parts {
            let mut of_part = ranks.start();
            of_part.add(&ranks, &evaluator, part).unwrap();
            sums.merge(&of_part);
        }
        let mut changes = evaluator.finish_changes().unwrap();
        ranks.finish(&evaluator, &sums, &mut changes).unwrap();
        changes
    };
    let all = compare(&rows, vec![SliceBy::from("who")]);
    for (at, slice) in all.slices.iter().enumerate() {
        let mut alone = rows.take(&(0..N).filter(|i| i % 3 == at));
        alone.keys = None;
        // In two parts of its own; the sums are the same.
        let n = alone.labels.len();
        let mut evaluator = evaluator(2, &[], Vec::new());
        evaluator.update(&alone.batch()).unwrap();
        let ranks = BothRanks::of(&evaluator).unwrap();
        let mut sums = ranks.start();
        sums.add(&ranks, &evaluator, &alone.batch()).unwrap();
        let mut changes = evaluator.finish_changes().unwrap();
        ranks.finish(&evaluator, &sums, &mut changes).unwrap();
        let (found, expected) = (slice.metrics["auc"], changes.overall["auc"]);
        assert_eq!(found.support, n as u64);
        for (a, b) in [
            (found.value, expected.value),
            (found.lower.unwrap(), expected.lower.unwrap()),
            (found.upper.unwrap(), expected.upper.unwrap()),
        ] {
            assert!((a - b).abs() < 1e-12, "{found:?} {expected:?}");
        }
    }
}
