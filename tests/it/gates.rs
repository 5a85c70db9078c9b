//! Gates fail closed: what cannot be told does not pass, and what is wrong with a gate is said before training.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fourfold::Result;
use fourfold::arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use fourfold::blessing::{Blessed, CheckOutcome, Verdict};
use fourfold::evaluation::{Gates, Needs};
use fourfold::model::{ConstantModel, LinearModel, Servable};
use fourfold::pipeline::Requirements;
use fourfold::prelude::*;
use fourfold::training::{Direction, Thresholded};
use serde::Serialize;

use crate::support::parcels;

fn data() -> DataPipeline<BatchSource> {
    BatchSource::new("parcels", vec![parcels(1_200)])
        .label("late")
        .transform(Transform::new().z_score("kilograms").one_hot("road"))
}

/// Saves a model and says nothing of what is serving.
#[derive(Debug, Serialize)]
struct SaveTo(PathBuf);

impl Stage for SaveTo {
    fn name(&self) -> &str {
        "save_to"
    }
}

impl<M: Model> Server<M> for SaveTo {
    type Endpoint = PathBuf;

    async fn deploy(&self, model: Blessed<M>) -> Result<PathBuf> {
        model.save(&self.0)?;
        Ok(self.0.clone())
    }
}

fn compared() -> Thresholds {
    Thresholds::new().no_worse_than_baseline("auc", 0.005)
}

#[test]
fn a_comparison_beside_a_server_that_cannot_tell_is_refused_by_build() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("model");
    let build = |evaluation: EvaluationPipeline<Thresholds>| {
        Pipeline::builder("parcels")
            .data(data())
            .train(LogisticRegression::default())
            .evaluate(evaluation)
            .serve(SaveTo(place.clone()))
            .build()
    };
    let error = build(EvaluationPipeline::new(compared())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(
        error.to_string(),
        "evaluate: the candidate is to be compared with the model that is serving, and server `save_to` cannot tell \
         which that is; implement `Server::serving` and `knows_serving` for it, or set \
         `EvaluationPipeline::baseline(dir)`"
    );
    let missing = EvaluationPipeline::new(compared()).baseline(&place);
    let error = build(missing.clone()).unwrap_err();
    assert!(error.message().starts_with("`baseline` is `"), "{error}");

    // Without a comparison it deploys, and the next run compares with what it has saved.
    let first = build(EvaluationPipeline::new(
        Thresholds::new().at_least("auc", 0.5),
    ))
    .unwrap();
    assert!(first.run_blocking().unwrap().is_deployed());
    let second = Pipeline::builder("parcels")
        .data(data())
        .train(LogisticRegression::default())
        .evaluate(missing)
        .serve(SaveTo(dir.path().join("next")))
        .build()
        .unwrap()
        .run_blocking()
        .unwrap();
    let run = second.run();
    assert!(run.baseline_metrics.is_some());
    assert!(run.verdict.is_blessed(), "{:?}", run.verdict.reasons());
}

#[test]
fn a_server_that_says_it_knows_and_does_not_fails_the_check() {
    #[derive(Serialize)]
    struct Forgetful(PathBuf);

    impl Stage for Forgetful {
        fn name(&self) -> &str {
            "forgetful"
        }
    }

    impl<M: Model> Server<M> for Forgetful {
        type Endpoint = PathBuf;

        async fn deploy(&self, model: Blessed<M>) -> Result<PathBuf> {
            model.save(&self.0)?;
            Ok(self.0.clone())
        }

        fn knows_serving(&self) -> bool {
            true
        }
    }

    let dir = tempfile::tempdir().unwrap();
    let outcome = Pipeline::builder("parcels")
        .data(data())
        .train(LogisticRegression::default())
        .evaluate(compared())
        .serve(Forgetful(dir.path().join("model")))
        .build()
        .unwrap()
        .run_blocking()
        .unwrap();
    assert!(!outcome.is_deployed());
    assert_eq!(
        outcome.run().verdict.reasons(),
        ["what is serving is not known: the server does not say"]
    );
}

#[test]
fn in_process_is_compared_with_what_it_has_deployed() {
    let server = InProcess::new();
    let run = |probability: Option<f64>| {
        let builder = Pipeline::builder("parcels").data(data());
        match probability {
            None => builder
                .train(LogisticRegression::default())
                .evaluate(compared())
                .serve(server.clone())
                .build()
                .unwrap()
                .run_blocking(),
            Some(probability) => builder
                .train_with("constant", 1, move |args: &TrainArgs| {
                    let n = args.train().n_features();
                    Ok(ConstantModel::new(n, vec![probability]))
                })
                .evaluate(compared())
                .serve(server.clone())
                .build()
                .unwrap()
                .run_blocking(),
        }
        .unwrap()
    };
    let first = run(None);
    assert!(first.run().verdict.is_blessed());
    assert_eq!(
        first.run().verdict.checks()[0].message,
        "nothing is serving yet"
    );
    assert_eq!(
        first.run().verdict.notes(),
        ["nothing is serving yet: this would be the first deployment"]
    );
    let worse = run(Some(0.5));
    assert!(!worse.is_deployed());
    let second = run(None);
    assert!(second.run().baseline_metrics.is_some());
    assert_eq!(second.endpoint().unwrap().version(), Some(2));
    // Another server of the same kind has deployed nothing.
    let other = Pipeline::builder("parcels")
        .data(data())
        .train(LogisticRegression::default())
        .evaluate(compared())
        .serve(InProcess::new())
        .build()
        .unwrap();
    assert!(
        other
            .run_blocking()
            .unwrap()
            .run()
            .baseline_metrics
            .is_none()
    );
}

#[test]
fn a_server_that_could_not_deploy_says_so_before_anything_is_read() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    let trained = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&trained);
    let error = Pipeline::builder("parcels")
        .data(data())
        .train_with("half", 1, move |args: &TrainArgs| {
            seen.store(true, Ordering::SeqCst);
            Ok(ConstantModel::new(args.train().n_features(), vec![0.5]))
        })
        .evaluate(Thresholds::new().at_least("auc", 0.1))
        .serve(InProcess::at(dir.path()).listen(&address))
        .build()
        .unwrap()
        .run_blocking()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("in_process: listening on `{address}`")
    );
    assert!(!trained.load(Ordering::SeqCst));
}

fn refused<V: Validator<LinearModel>>(evaluation: EvaluationPipeline<V>) -> String {
    let built = Pipeline::builder("parcels")
        .data(data())
        .train(LogisticRegression::default())
        .evaluate(evaluation)
        .serve(InProcess::new())
        .build();
    match built {
        Err(error) => format!("build: {error}"),
        Ok(pipeline) => format!("run: {}", pipeline.run_blocking().unwrap_err()),
    }
}

#[test]
fn directions_of_the_requirements_must_be_kept_by_the_trainer() {
    let wanted = Requirements::from_toml(
        "monotone = { km = \"rising\" }\n[[gates]]\ngate = \"thresholds\"\n\
         thresholds = [{ metric = \"auc\", at_least = 0.5 }]",
    )
    .unwrap();
    let text = refused(wanted.evaluation(&Gates::default()).unwrap());
    assert_eq!(
        text,
        "build: evaluate: `monotone` wants predictions to be rising with `km`, which trainer `logistic_regression` does not keep; boosting does, set \
         by `GradientBoosting::monotone` or `Requirements::boosting`"
    );
    let build = |trainer: GradientBoosting| {
        Pipeline::builder("parcels")
            .data(data())
            .train(Thresholded::new(trainer))
            .evaluate(wanted.evaluation(&Gates::default()).unwrap())
            .serve(InProcess::new())
            .build()
            .is_ok()
    };
    assert!(!build(GradientBoosting::default()));
    assert!(!build(
        GradientBoosting::default().monotone("km", Direction::Falling)
    ));
    assert!(build(wanted.boosting(GradientBoosting::default())));
}

#[test]
fn names_are_checked_as_soon_as_they_can_be() {
    let thresholds =
        |metric: &str| EvaluationPipeline::new(Thresholds::new().at_least(metric, 0.1));
    assert_eq!(
        refused(thresholds("acuracy")),
        "build: thresholds: there is no metric `acuracy`; did you mean `accuracy`?"
    );
    let of_task = refused(thresholds("macro_f1").slice_by(["road"]));
    let expected = "run: thresholds: `macro_f1` is not a metric of a binary task; these are: `example_count`, `skill`, `auc`, ";
    assert!(of_task.starts_with(expected), "{of_task}");
    assert_eq!(
        refused(thresholds("auc").slice_by(["rode"])),
        "run: evaluate: column `rode` to slice by is not in the data; did you mean `road`?"
    );
}

/// A validator of one's own says what it needs in the same words.
#[test]
fn a_validator_of_ones_own_is_checked_too() {
    #[derive(Serialize)]
    struct Strict;

    impl Stage for Strict {
        fn name(&self) -> &str {
            "strict"
        }
    }

    impl<M: Model> Validator<M> for Strict {
        fn validate(&self, args: EvalArgs<'_, M>) -> Result<Verdict> {
            let auc = args.metrics().metric("auc")?;
            Ok(Verdict::new().check("auc", auc > 0.99, "not strict enough"))
        }

        fn needs(&self) -> Needs {
            Needs::new().at_least("auc", 1.5)
        }
    }

    assert_eq!(
        refused(EvaluationPipeline::new((
            Strict,
            Thresholds::new().better_than_constant()
        ))),
        "build: all_of: the bound of `auc` is 1.5, must be from 0 to 1"
    );
}

#[test]
fn a_transform_without_features_is_refused() {
    let error = Pipeline::builder("parcels")
        .data(data().transform(Transform::new()))
        .train(LogisticRegression::default())
        .evaluate(Thresholds::new().at_least("auc", 0.5))
        .serve(InProcess::new())
        .build()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "transform: the transform has no step, so no column makes a feature; leave it out to have one chosen"
    );
}

#[test]
fn outputs_that_are_no_probabilities_name_value_and_row() {
    let run = |outputs: Vec<f64>, rows: RecordBatch| {
        Pipeline::builder("odd")
            .data(BatchSource::new("rows", vec![rows]).label("y"))
            .train_with("odd", 1, move |args: &TrainArgs| {
                Ok(ConstantModel::new(
                    args.train().n_features(),
                    outputs.clone(),
                ))
            })
            .evaluate(Thresholds::new().at_least("skill", -1.0))
            .serve(InProcess::new())
            .build()
            .unwrap()
            .run_blocking()
            .unwrap_err()
            .to_string()
    };
    let rows = |classes: &[&str]| {
        let n = 600;
        let y = (0..n).map(|i| classes[i * 7 % classes.len()]);
        let x = (0..n).map(|i| (i * 13 % 101) as f64);
        let columns: [(&str, ArrayRef); 2] = [
            ("x", Arc::new(Float64Array::from_iter_values(x))),
            ("y", Arc::new(StringArray::from_iter_values(y))),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    };
    assert_eq!(
        run(vec![1.25], rows(&["no", "yes"])),
        "evaluate: the model answered 1.25 as the probability of `yes`, must be from 0 to 1, for row 0"
    );
    assert_eq!(
        run(vec![0.5, 0.25, 0.5], rows(&["a", "b", "c"])),
        "evaluate: the model answered probabilities with a sum of 1.25, must be 1, for row 0"
    );
}

fn labelled(labels: impl Iterator<Item = f64>, n: usize) -> RecordBatch {
    let columns: [(&str, ArrayRef); 2] = [
        (
            "x",
            Arc::new(Float64Array::from_iter_values(
                (0..n).map(|i| (i * 13 % 101) as f64),
            )),
        ),
        ("y", Arc::new(Float64Array::from_iter_values(labels))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

#[test]
fn zero_and_minus_zero_are_one_class() {
    let n = 600;
    let zeros = |i: usize| if i.is_multiple_of(2) { 0.0 } else { -0.0 };
    let labels = (0..n).map(|i| if i * 13 % 101 > 50 { 1.0 } else { zeros(i) });
    let outcome = Pipeline::builder("zeros")
        .data(BatchSource::new("rows", vec![labelled(labels, n)]).label("y"))
        .train(LogisticRegression::default())
        .evaluate(Thresholds::new().at_least("auc", 0.99))
        .serve(InProcess::new())
        .build()
        .unwrap()
        .run_blocking()
        .unwrap();
    let run = outcome.run();
    assert_eq!(run.target.classes(), ["0", "1"]);
    assert!(run.metrics.unseen_classes.is_empty());
    assert!(
        outcome.is_deployed(),
        "{:?}",
        outcome.run().verdict.reasons()
    );
}

#[test]
fn the_positive_class_can_be_chosen_and_its_rule_is_saved() {
    let dir = tempfile::tempdir().unwrap();
    let run = |label: Label| {
        Pipeline::builder("parcels")
            .data(
                BatchSource::new("parcels", vec![parcels(1_200)])
                    .label(label)
                    .transform(Transform::new().z_score("kilograms").one_hot("road")),
            )
            .train(LogisticRegression::default())
            .evaluate(Thresholds::new().at_least("auc", 0.5))
            .serve(ModelRepository::at(dir.path()))
            .build()
            .unwrap()
            .run_blocking()
    };
    let yes = run(Label::column("late")).unwrap();
    let no = run(Label::column("late").positive("no")).unwrap();
    assert_eq!(no.run().target.classes(), ["yes", "no"]);
    let recall = |outcome: &Outcome<_>| outcome.run().metrics.metric("mean_label").unwrap();
    assert!((recall(&yes) + recall(&no) - 1.0).abs() < 1e-12);
    let pushed = no.endpoint().unwrap();
    let loaded = Servable::load(&pushed.path, &Loaders::default()).unwrap();
    assert_eq!(
        loaded.manifest().label,
        Some(Label::column("late").positive("no"))
    );
    let error = run(Label::column("late").positive("nope")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "label: `nope` is configured as the positive class, but is not a class of label `late`; did you mean `no`?"
    );
}

#[test]
fn a_class_that_training_lacks_counts_and_is_named() {
    // Rows 0 to 899 are for training, the rest for evaluation: 6 of these are violet.
    let n = 1_000;
    let class = |i: usize| match i {
        i if i >= 900 && i % 17 == 0 => "violet",
        i if i * 13 % 101 > 66 => "red",
        i if i * 13 % 101 > 33 => "green",
        _ => "blue",
    };
    let split = (0..n).map(|i| if i < 900 { "train" } else { "eval" });
    let columns: [(&str, ArrayRef); 3] = [
        (
            "x",
            Arc::new(Float64Array::from_iter_values(
                (0..n).map(|i| (i * 13 % 101) as f64),
            )),
        ),
        (
            "kind",
            Arc::new(StringArray::from_iter_values((0..n).map(class))),
        ),
        ("part", Arc::new(StringArray::from_iter_values(split))),
    ];
    let rows = RecordBatch::try_from_iter(columns).unwrap();
    let outcome = Pipeline::builder("kinds")
        .data(
            BatchSource::new("rows", vec![rows])
                .label("kind")
                .split(Split::by_column(
                    "part",
                    [("train", "train"), ("eval", "eval")],
                )),
        )
        .train(DecisionTree::default())
        .evaluate(Thresholds::new().at_least("macro_f1", 0.9))
        .serve(InProcess::new())
        .build()
        .unwrap()
        .run_blocking()
        .unwrap();
    let run = outcome.run();
    assert_eq!(run.metrics.unseen_classes["violet"], 6);
    // The three others are answered rightly, but for the violet rows that are taken for them.
    let macro_f1 = run.metrics.metric("macro_f1").unwrap();
    assert!((0.70..0.75).contains(&macro_f1), "{macro_f1}");
    let reasons = run.verdict.reasons();
    assert_eq!(
        reasons[1],
        "classes of the `eval` split are not among the training rows, so the model never answers them: `violet` (6 rows)"
    );
    assert!(run.metrics.metric("skill").unwrap() > 0.0);
}

#[test]
fn too_few_rows_say_how_many_there_are_and_how_many_it_takes() {
    let x: ArrayRef = Arc::new(Float64Array::from_iter_values((0..12).map(f64::from)));
    let y = (0..12).map(|i| if i % 2 == 0 { "a" } else { "b" });
    let part = (0..12).map(|i| if i < 11 { "train" } else { "eval" });
    let columns: [(&str, ArrayRef); 3] = [
        ("x", x),
        ("y", Arc::new(StringArray::from_iter_values(y))),
        ("part", Arc::new(StringArray::from_iter_values(part))),
    ];
    let rows = RecordBatch::try_from_iter(columns).unwrap();
    let outcome = Pipeline::builder("tiny")
        .data(
            BatchSource::new("rows", vec![rows])
                .label("y")
                .split(Split::by_column(
                    "part",
                    [("train", "train"), ("eval", "eval")],
                )),
        )
        .train(LogisticRegression::default())
        .evaluate(Thresholds::new().better_than_constant())
        .serve(InProcess::new())
        .build()
        .unwrap()
        .run_blocking()
        .unwrap();
    let verdict = &outcome.run().verdict;
    assert_eq!(verdict.checks()[0].outcome, CheckOutcome::TooFewRows);
    assert_eq!(
        verdict.reasons()[0],
        "skill has no value on the 1 row of the `eval` split, it needs at least 2 rows with different labels"
    );
}

/// A validator is asked alone, with arguments made by hand.
#[test]
fn a_validator_is_tested_without_a_pipeline() {
    let dir = tempfile::tempdir().unwrap();
    let outcome = Pipeline::builder("parcels")
        .data(data())
        .train(LogisticRegression::default())
        .evaluate(Thresholds::new().at_least("auc", 0.5))
        .serve(ModelRepository::at(dir.path()))
        .build()
        .unwrap()
        .run_blocking()
        .unwrap();
    let metrics = outcome.run().metrics.clone();
    let loaded = Servable::load(&dir.path().join("parcels/1"), &Loaders::default()).unwrap();
    let model =
        <LinearModel as Model>::load(&dir.path().join("parcels/1/model"), &Loaders::default())
            .unwrap();
    let candidate = fourfold::blessing::Candidate::new(
        "parcels",
        model,
        (**loaded.target()).clone(),
        loaded.schema(),
        Arc::new(loaded.transform().clone()),
        std::collections::BTreeMap::new(),
    )
    .unwrap();
    let rows = parcels(100);
    let eval = fourfold::examples::Examples::from_batches(rows.schema(), vec![rows]).unwrap();
    let args = EvalArgs::new(&candidate, &eval, &metrics);
    let verdict = compared().validate(args).unwrap();
    assert!(verdict.is_blessed(), "nothing is serving unless it is said");
    let unknown = fourfold::evaluation::Baseline::Unknown;
    let verdict = compared().validate(args.with_baseline(&unknown)).unwrap();
    assert!(!verdict.is_blessed());
}
