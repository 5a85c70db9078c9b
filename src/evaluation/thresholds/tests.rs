use std::sync::Arc;

use super::*;
use crate::blessing::CheckOutcome;
use crate::evaluation::Baseline;
use crate::metrics::{Catalogue, Evaluation, MetricValue, Metrics, Slice, SliceMetrics};

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
    thresholds.judge(&Judge {
        metrics,
        baseline,
        catalogue: &Catalogue::new(),
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
             `at_least_in_slices`, `at_most_in_slices`, `no_worse_than_baseline` and `no_worse_in_slices`",
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
            .check(&Catalogue::new(), false)
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

fn serving(metrics: Evaluation) -> Baseline {
    use crate::model::{Loaders, Servable};

    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/servable_v1");
    let servable = Servable::load(dir.as_ref(), &Loaders::default());
    Baseline::Evaluated {
        servable: Arc::new(servable.unwrap()),
        metrics,
        changes: Evaluation::default(),
    }
}

/// TensorFlow Model Analysis: a baseline of .333 and a difference of -.333, lower is better: -1 is refused as a margin, 0
/// passes; a share of a baseline of 0 fails.
#[test]
fn changes_are_absolute_and_relative() {
    let metrics = |loss: f64| evaluation(&[("log_loss", loss), ("example_count", 9.0)]);
    let passes = |margin: Margin, found: f64, theirs: f64| {
        let thresholds = Thresholds::new().no_worse_than_baseline("log_loss", margin);
        judged(&thresholds, &metrics(found), &serving(metrics(theirs))).is_blessed()
    };
    assert!(passes(Margin::absolute(0.0), 0.0, 0.333));
    assert!(!passes(Margin::relative(0.5), 0.1, 0.0));
    assert!(passes(Margin::relative(0.1), 0.36, 0.333));
    assert!(!passes(Margin::relative(0.1), 0.37, 0.333));
    assert!(!passes(
        Margin::relative(0.1).and_relative(0.1),
        0.37,
        0.333
    ));
    assert!(passes(Margin::absolute(0.04), 0.37, 0.333));
    assert!(
        !passes(Margin::absolute(0.04).and_relative(0.1), 0.37, 0.333),
        "both must hold"
    );
    let negative = Thresholds::new().no_worse_than_baseline("log_loss", -1.0);
    assert_eq!(
        negative.check().unwrap_err().message(),
        "the tolerance of `log_loss` is -1, must be at least 0"
    );
}

#[test]
fn the_worst_slice_stands_for_all_that_are_good_enough() {
    let slices = |losses: [f64; 3]| Evaluation {
        slices: losses
            .iter()
            .zip(["a", "b", "c"])
            .map(|(loss, value)| SliceMetrics {
                slice: Slice::of("who", value),
                metrics: metrics(&[("example_count", 100.0), ("log_loss", *loss)]),
            })
            .collect(),
        ..evaluation(&[("log_loss", 0.5), ("example_count", 300.0)])
    };
    let found = slices([0.5, 0.7, 0.6]);
    let at_most = |bound: f64| Thresholds::new().at_most_in_slices("log_loss", bound, 100);
    let good = judged(&at_most(0.7), &found, &Baseline::None);
    assert_eq!(good.checks().len(), 1);
    assert_eq!(good.checks()[0].slice, Some(Slice::of("who", "b")));
    assert_eq!(
        good.checks()[0].message,
        "the worst of 3 slices of 100 rows or more: log_loss is 0.7000 in who=b (100 rows), must be at most 0.7"
    );
    assert_eq!(
        judged(&at_most(0.55), &found, &Baseline::None)
            .checks()
            .len(),
        2
    );
    let no_worse = |margin: Margin| Thresholds::new().no_worse_in_slices("log_loss", margin, 100);
    let before = serving(slices([0.5, 0.6, 0.6]));
    assert!(judged(&no_worse(0.15.into()), &found, &before).is_blessed());
    let worse = judged(&no_worse(Margin::relative(0.1)), &found, &before);
    assert_eq!(worse.checks().len(), 1);
    assert_eq!(worse.checks()[0].slice, Some(Slice::of("who", "b")));
}

#[test]
fn too_few_rows_are_an_outcome_that_can_be_allowed() {
    let few = evaluation(&[("auc", 0.9), ("example_count", 40.0)]);
    let thresholds = Thresholds::new().at_least("auc", 0.5).min_rows(50);
    let refused = judged(&thresholds, &few, &Baseline::None);
    assert_eq!(refused.reasons(), ["40 rows are fewer than 50"]);
    let mixed = Thresholds::new()
        .at_least("auc", 0.5)
        .at_least_in_slices("auc", 0.5, 30)
        .allow_too_few_rows();
    assert!(judged(&mixed, &few, &Baseline::None).is_blessed());
    let json = serde_json::to_string(&mixed.min_rows(7)).unwrap();
    assert!(
        json.contains(r#""min_rows":7,"allow_too_few_rows":true"#),
        "{json}"
    );
    assert_eq!(
        serde_json::to_string(&parsed(&json).unwrap()).unwrap(),
        json
    );
}
