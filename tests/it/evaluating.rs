//! What an evaluation tells: intervals of groups, worst slices, differences, fairness; and gates that are people.

use std::sync::Arc;

use fourfold::arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use fourfold::evaluation::{
    Approval, Decision, Evaluated, Fair, Gates, ProveNoWorse, RubberStamp, WorstSlices,
};
use fourfold::metrics::{Parity, Slice};
use fourfold::model::{AnyModel, ConstantModel};
use fourfold::prelude::*;

/// A deterministic uniform number.
fn uniform(i: usize) -> f64 {
    let mut z = (i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Customers of 20 rows each, all of which are late or none: `n` rows.
fn customers(n: usize) -> RecordBatch {
    let late = |i: usize| uniform(i / 20) < 0.4;
    let x = (0..n).map(|i| uniform(i + n) + if late(i) { 0.3 } else { 0.0 });
    let columns: [(&str, ArrayRef); 4] = [
        (
            "customer",
            Arc::new(Int64Array::from_iter_values((0..n).map(|i| i as i64 / 20))),
        ),
        ("x", Arc::new(Float64Array::from_iter_values(x))),
        (
            "part",
            Arc::new(StringArray::from_iter_values(
                (0..n).map(|i| if i % 2 == 0 { "train" } else { "eval" }),
            )),
        ),
        (
            "late",
            Arc::new(StringArray::from_iter_values(
                (0..n).map(|i| if late(i) { "yes" } else { "no" }),
            )),
        ),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn run<V: Validator<fourfold::model::LinearModel>>(
    rows: RecordBatch,
    evaluation: EvaluationPipeline<V>,
    server: &ModelRepository,
) -> Outcome<fourfold::serving::PushedModel> {
    let split = Split::by_column("part", [("train", "train"), ("eval", "eval")]);
    Pipeline::builder("rows")
        .data(
            BatchSource::new("rows", vec![rows])
                .label("late")
                .split(split)
                .transform(Transform::new().z_score("x")),
        )
        .train(LogisticRegression::default())
        .evaluate(evaluation)
        .serve(server.clone())
        .build()
        .unwrap()
        .run_blocking()
        .unwrap()
}

#[test]
fn rows_that_belong_together_are_resampled_together() {
    let dir = tempfile::tempdir().unwrap();
    let server = ModelRepository::at(dir.path());
    let plain = run(
        customers(2_000),
        EvaluationPipeline::new(RubberStamp::default()),
        &server,
    );
    let evaluation =
        EvaluationPipeline::new((ProveNoWorse::new("f1", 0.5), ProveNoWorse::new("auc", 0.5)));
    let grouped = run(customers(2_000), evaluation.cluster_by("customer"), &server);
    let width = |outcome: &Outcome<_>, name: &str| {
        let value = outcome.run().metrics.overall[name];
        value.upper.unwrap() - value.lower.unwrap()
    };
    // Ten rows of a customer in eval are one: the share of late rows is known √10 times less well.
    let ratio = width(&grouped, "mean_label") / width(&plain, "mean_label");
    assert!((2.4..4.0).contains(&ratio), "{ratio}");
    let changes = grouped.run().changes.as_ref().unwrap();
    assert_eq!(changes.overall["f1"].value, 0.0);
    assert!(
        changes.overall["f1"].lower.is_some(),
        "any metric's change has an interval"
    );
    assert!(
        grouped.is_deployed(),
        "{:?}",
        grouped.run().verdict.reasons()
    );
    // Without resampling, the change of F1 has none, and the gate is refused before anything is read.
    let refused = Pipeline::builder("rows")
        .data(BatchSource::new("rows", vec![customers(100)]).label("late"))
        .train(LogisticRegression::default())
        .evaluate(ProveNoWorse::new("f1", 0.5))
        .serve(server)
        .build()
        .map(drop)
        .unwrap_err();
    assert!(
        refused
            .message()
            .starts_with("the difference in `f1` has no interval"),
        "{refused}"
    );
}

#[test]
fn what_the_split_can_show_is_said_before_training() {
    let dir = tempfile::tempdir().unwrap();
    let server = ModelRepository::at(dir.path());
    let gates = vec![
        ProveNoWorse::new("auc", 0.001),
        ProveNoWorse::new("brier", 0.2),
    ];
    let outcome = run(customers(2_000), EvaluationPipeline::new(gates), &server);
    let run = outcome.run();
    assert_eq!(run.detectable.len(), 2);
    assert_eq!(run.detectable[0].rows, 1_000);
    let warnings = run
        .warnings
        .iter()
        .filter(|warning| warning.code == "margin_below_detectable");
    let warnings: Vec<&str> = warnings.map(|warning| warning.message.as_str()).collect();
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0]
            .starts_with("1000 rows of the `eval` split are likely to show a change in auc of")
    );
}

/// A constant that is wrong where `road` and `heavy` meet.
fn planted(n: usize) -> RecordBatch {
    let road = |i: usize| (i * 7).is_multiple_of(3);
    let heavy = |i: usize| i * 11 % 4 == 1;
    let late = |i: usize| uniform(i) < if road(i) && heavy(i) { 0.7 } else { 0.1 };
    let names = |of: &dyn Fn(usize) -> bool, yes: &str, no: &str| -> ArrayRef {
        let names: Vec<String> = (0..n)
            .map(|i| if of(i) { yes.to_owned() } else { no.to_owned() })
            .collect();
        Arc::new(StringArray::from(names))
    };
    let columns: [(&str, ArrayRef); 6] = [
        (
            "x",
            Arc::new(Float64Array::from_iter_values(
                (0..n).map(|i| uniform(i + 7 * n)),
            )),
        ),
        ("way", names(&road, "road", "air")),
        ("load", names(&heavy, "heavy", "light")),
        (
            "noise",
            Arc::new(Float64Array::from_iter_values(
                (0..n).map(|i| uniform(i + 3 * n)),
            )),
        ),
        ("part", names(&|i| i % 5 == 0, "train", "eval")),
        ("late", names(&late, "yes", "no")),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

#[test]
fn the_worst_slice_is_found_and_noise_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let server = ModelRepository::at(dir.path());
    let evaluation = EvaluationPipeline::new(RubberStamp::default())
        .worst_slices(WorstSlices::default())
        .protected(["way"]);
    let outcome = run(planted(9_000), evaluation, &server);
    let run = outcome.run();
    let worst = run.worst_slices.as_ref().unwrap();
    let expected = Slice::of("way", "road").and("load", "heavy");
    assert!(
        worst.iter().any(|found| found.slice == expected),
        "{worst:#?}"
    );
    let found = worst.iter().find(|found| found.slice == expected).unwrap();
    assert!(
        found.difference.lower.unwrap() > 0.3 && found.p_value < 1e-6,
        "{found:?}"
    );
    // What is found within the rows that are as they should be is nothing.
    let blind = worst.iter().all(|found| {
        let of = found.slice.conditions();
        of.get("way").is_some_and(|way| way == "road")
            || of.get("load").is_some_and(|load| load == "heavy")
    });
    assert!(blind, "{worst:#?}");
    assert_eq!(run.verdict.checks()[0].name, "rubber_stamp");
    assert_eq!(run.metrics.fairness[0].column, "way");
    let confusion = run.metrics.details.confusion.as_ref().unwrap();
    assert_eq!(
        confusion.counts.iter().flatten().sum::<f64>(),
        run.metrics.n_rows() as f64
    );
    assert!(run.metrics.details.roc.len() <= 200 && !run.metrics.details.calibration.is_empty());
    let json = serde_json::to_value(run).unwrap();
    let read: fourfold::pipeline::RunRecord = serde_json::from_value(json).unwrap();
    assert_eq!(&read, run);
}

#[test]
fn groups_that_are_treated_otherwise_fail_a_gate() {
    let dir = tempfile::tempdir().unwrap();
    let server = ModelRepository::at(dir.path());
    let gate = Fair::difference("way", Parity::Calibration, 0.05);
    let outcome = run(planted(9_000), EvaluationPipeline::new(gate), &server);
    assert!(!outcome.is_deployed());
    let check = &outcome.run().verdict.checks()[0];
    assert!(
        check
            .message
            .starts_with("the difference of calibration between way="),
        "{}",
        check.message
    );
    assert!(
        check.interval.is_some_and(|(low, _)| low > 0.05),
        "{check:?}"
    );
}

#[test]
fn the_rows_with_the_largest_changes_are_shown() {
    let dir = tempfile::tempdir().unwrap();
    let server = ModelRepository::at(dir.path());
    let first = run(
        customers(2_000),
        EvaluationPipeline::new(RubberStamp::default()),
        &server,
    );
    assert!(first.run().differences.is_none());
    let place = first.endpoint().unwrap().path;
    let split = Split::by_column("part", [("train", "train"), ("eval", "eval")]);
    let second = Pipeline::builder("rows")
        .data(
            BatchSource::new("rows", vec![customers(2_000)])
                .label("late")
                .split(split),
        )
        .train_with("half", 1, |args: &TrainArgs| {
            Ok(ConstantModel::new(args.train().n_features(), vec![0.5]))
        })
        .evaluate(EvaluationPipeline::new(RubberStamp::default()).baseline(place))
        .serve(InProcess::new())
        .build()
        .unwrap()
        .run_blocking()
        .unwrap();
    let differences = second.run().differences.as_ref().unwrap();
    assert_eq!(differences.largest.len(), 10);
    let changes: Vec<f64> = differences.largest.iter().map(|row| row.change).collect();
    assert!(
        changes.windows(2).all(|pair| pair[0] >= pair[1]),
        "{changes:?}"
    );
    let top = &differences.largest[0];
    assert!(((top.baseline[0] - 0.5).abs() - top.change).abs() < 1e-12);
    assert!(top.row["customer"].is_some() && top.row.contains_key("late"));
    assert!(differences.flip_rate.unwrap().value > 0.0);
    assert!(differences.mean_change <= top.change);
}

#[test]
fn a_person_approves_the_very_model() {
    let dir = tempfile::tempdir().unwrap();
    let server = ModelRepository::at(dir.path().join("models"));
    let file = dir.path().join("approval.toml");
    let ask = |n: usize| {
        run(
            customers(n),
            EvaluationPipeline::new(Approval::file(&file)),
            &server,
        )
    };
    let first = ask(2_000);
    assert!(!first.is_deployed());
    let reason = first.run().verdict.reasons()[0].to_owned();
    let digest = reason
        .split("model = \"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    std::fs::write(
        &file,
        format!("model = \"{digest}\"\napproved_by = \"Ada\"\n"),
    )
    .unwrap();
    let second = ask(2_000);
    assert!(second.is_deployed(), "{:?}", second.run().verdict.reasons());
    let message = &second.run().verdict.checks()[0].message;
    assert!(message.starts_with("approved by Ada at 20"), "{message}");
    // Another model is not what was approved.
    assert!(!ask(1_000).is_deployed());

    let board = Approval::ask("board", |request| {
        Ok(match request.metrics.metric("auc")? {
            auc if auc > 0.5 => Decision::refused("Bo", "not on a Friday"),
            _ => Decision::approved("Bo"),
        })
    });
    let refused = run(customers(1_000), EvaluationPipeline::new(board), &server);
    assert!(refused.run().verdict.reasons()[0].ends_with(": not on a Friday"));
    let none = Gates::<AnyModel>::default().from_toml("[[gates]]\ngate = \"approval\"");
    assert_eq!(
        none.map(drop).unwrap_err().message(),
        "gate 0, approval: an approval has a `file`, which is missing"
    );
    let stamp = Gates::<AnyModel>::default().from_toml("[[gates]]\ngate = \"rubber_stamp\"");
    assert_eq!(stamp.unwrap().len(), 1);
}

/// The same numbers on one part and on many, and the same intervals.
#[test]
fn intervals_do_not_depend_on_how_rows_are_batched() {
    let dir = tempfile::tempdir().unwrap();
    let server = ModelRepository::at(dir.path());
    let outcome = run(
        customers(2_000),
        EvaluationPipeline::new(RubberStamp::default()),
        &server,
    );
    let place = outcome.endpoint().unwrap().path;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let loaders = Loaders::default();
    let evaluate = |rows: &[RecordBatch]| -> Evaluated<AnyModel> {
        let evaluation = EvaluationPipeline::new(RubberStamp::default())
            .slice_by(["part"])
            .cluster_by("customer")
            .run_saved(&place, &loaders, rows);
        runtime.block_on(evaluation).unwrap()
    };
    let rows = customers(2_000);
    let whole = evaluate(std::slice::from_ref(&rows));
    let parts: Vec<RecordBatch> = (0..20).map(|at| rows.slice(at * 100, 100)).collect();
    let parted = evaluate(&parts);
    let slices = whole.metrics.slices.iter().zip(&parted.metrics.slices);
    let pairs = slices.map(|(a, b)| (&a.metrics, &b.metrics));
    for (a, b) in pairs.chain([(&whole.metrics.overall, &parted.metrics.overall)]) {
        for (name, a) in a {
            let b = b[name];
            for (a, b) in [
                (Some(a.value), Some(b.value)),
                (a.lower, b.lower),
                (a.upper, b.upper),
            ] {
                let close = a.zip(b).is_none_or(|(a, b)| (a - b).abs() < 1e-9);
                assert!(close && a.is_some() == b.is_some(), "{name}: {a:?} {b:?}");
            }
        }
    }
}
