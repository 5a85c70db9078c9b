use super::*;
use crate::blessing::CheckOutcome;
use crate::metrics::{Metrics, Slice};

fn metrics(values: &[(&str, f64)]) -> Metrics {
    let rows = values.iter().find(|(name, _)| *name == "example_count");
    let rows = rows.map_or(0, |(_, rows)| *rows as u64);
    let values = values.iter();
    values
        .map(|(name, value)| ((*name).to_owned(), MetricValue::new(*value, rows)))
        .collect()
}

fn evaluation(values: &[(&str, f64)]) -> Evaluation {
    Evaluation {
        overall: metrics(values),
        ..Evaluation::default()
    }
}

fn judged(thresholds: &Thresholds, metrics: &Evaluation, baseline: &Baseline) -> Verdict {
    let thresholds = thresholds.thresholds.iter();
    thresholds.fold(Verdict::new(), |verdict, threshold| {
        threshold.judge(verdict, metrics, baseline, &Catalogue::new())
    })
}

fn parsed(json: &str) -> std::result::Result<Thresholds, String> {
    written::from_json(json).map_err(|error: Error| error.message().to_owned())
}

#[test]
fn two_bounds_on_one_metric_are_both_kept() {
    let json = r#"{"thresholds": [{"metric": "calibration", "at_least": 0.8, "at_most": 1.2}]}"#;
    let both = Thresholds::new()
        .at_least("calibration", 0.8)
        .at_most("calibration", 1.2);
    assert_eq!(parsed(json).unwrap(), both);
    let again = serde_json::to_string(&both).unwrap();
    assert_eq!(parsed(&again).unwrap(), both);
}

#[test]
fn what_is_wrong_with_a_file_is_named() {
    let cases = [
        (
            r#"{"thresholds": [{"metric": "auc", "at_last": 0.8}]}"#,
            "unknown field `at_last` at line 1 column 43; did you mean `at_least`?",
        ),
        (
            r#"{"thresholds": [{"metric": "auc", "at_least": 0.8, "at_least": 0.7}]}"#,
            "duplicate field `at_least` at line 1 column 61",
        ),
        (
            r#"{"thresholds": [{"metric": "auc"}]}"#,
            "the threshold of `auc` has no bound; there are `at_least`, `at_most`, `above`, \
             `at_least_in_slices` and `no_worse_than_baseline`",
        ),
    ];
    for (json, expected) in cases {
        assert_eq!(parsed(json).unwrap_err(), expected);
    }
}

#[test]
fn bounds_that_cannot_be_are_refused() {
    let refused = |thresholds: Thresholds| {
        let needs = Validator::<crate::model::LinearModel>::needs(&thresholds);
        needs
            .check(&Catalogue::new())
            .unwrap_err()
            .message()
            .to_owned()
    };
    let new = Thresholds::new;
    assert_eq!(
        refused(new().at_least("auc", -0.5)),
        "the bound of `auc` is -0.5, must be from 0 to 1"
    );
    assert_eq!(
        refused(new().at_least("log_loss", 0.5)),
        "a bound is on the wrong side of `log_loss`: use `at_most`, not the reverse, since lower is better"
    );
    assert_eq!(
        refused(new().at_most("auc", 0.5)),
        "a bound is on the wrong side of `auc`: use `at_least`, not the reverse, since higher is better"
    );
    assert_eq!(
        refused(new().at_least("aucc", 0.5)),
        "there is no metric `aucc`; did you mean `auc`?"
    );
    assert_eq!(
        refused(new().no_worse_than_baseline("mean_label", 0.1)),
        "neither a higher nor a lower `mean_label` is better, so it cannot be compared"
    );
    assert_eq!(
        refused(new().at_least("r2", f64::NAN)),
        "the bound of `r2` is NaN, must be finite"
    );
}

#[test]
fn a_baseline_that_is_not_known_fails_and_none_yet_passes() {
    let thresholds = Thresholds::new().no_worse_than_baseline("auc", 0.01);
    let metrics = evaluation(&[("auc", 0.9), ("example_count", 50.0)]);
    let unknown = judged(&thresholds, &metrics, &Baseline::Unknown);
    assert_eq!(
        unknown.reasons(),
        ["what is serving is not known: the server does not say"]
    );
    let none = judged(&thresholds, &metrics, &Baseline::None);
    assert_eq!(none.checks()[0].message, "nothing is serving yet");
    assert!(none.is_blessed());
}

#[test]
fn a_metric_without_a_value_says_how_many_rows_it_needs() {
    let thresholds = Thresholds::new().better_than_constant();
    let verdict = judged(
        &thresholds,
        &evaluation(&[("example_count", 1.0)]),
        &Baseline::None,
    );
    assert_eq!(
        verdict.reasons(),
        [
            "skill has no value on the 1 row of the `eval` split, it needs at least 2 rows with different labels"
        ]
    );
    assert_eq!(verdict.checks()[0].outcome, CheckOutcome::TooFewRows);
    assert_eq!(verdict.checks()[0].support, Some(1));
}

#[test]
fn each_bad_slice_is_a_check_with_its_value() {
    let slice = |value: &str, n: f64, auc: f64| SliceMetrics {
        slice: Slice::of("carrier", value),
        metrics: metrics(&[("example_count", n), ("auc", auc)]),
    };
    let metrics = Evaluation {
        slices: vec![
            slice("AA", 600.0, 0.55),
            slice("UA", 800.0, 0.7),
            slice("OO", 3.0, 0.1),
        ],
        ..evaluation(&[("auc", 0.7), ("example_count", 1_403.0)])
    };
    let thresholds = Thresholds::new().at_least_in_slices("auc", 0.6, 500);
    let verdict = judged(&thresholds, &metrics, &Baseline::None);
    let [check] = verdict.checks() else {
        panic!("one slice is bad")
    };
    assert_eq!(
        (check.value, check.bound, check.support),
        (Some(0.55), Some(0.6), Some(600))
    );
    assert_eq!(
        check.message,
        "auc is 0.5500 in carrier=AA (600 rows), must be at least 0.6"
    );
    let none = judged(
        &Thresholds::new().at_least_in_slices("auc", 0.6, 900),
        &metrics,
        &Baseline::None,
    );
    assert_eq!(none.checks()[0].outcome, CheckOutcome::TooFewRows);
}
