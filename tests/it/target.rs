//! What is predicted, as it is saved; and the decision threshold, from the trainer that chooses it to the served answer.

use std::sync::Arc;

use fourfold::Result;
use fourfold::arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use fourfold::evaluation::EvaluationPipeline;
use fourfold::examples::Examples;
use fourfold::model::{ConstantModel, Manifest, Servable, Target, Task};
use fourfold::pipeline::RunRecord;
use fourfold::prelude::*;
use fourfold::serving::PushedModel;
use fourfold::training::{Bagged, Calibrated, Dataset, Explained, HoldOutBy, Thresholded};
use serde_json::{Value, json};

use crate::support::parcels;

#[test]
fn targets_of_version_0_1_are_read_and_saved_the_same() {
    for (saved, task, n_outputs) in [
        (
            json!({"task": "regression", "label": "price"}),
            Task::Regression,
            1,
        ),
        (
            json!({"task": "binary", "label": "late", "classes": ["no", "yes"]}),
            Task::Binary,
            1,
        ),
        (
            json!({"task": "multiclass", "label": "meal", "classes": ["a", "b", "c"]}),
            Task::Multiclass,
            3,
        ),
    ] {
        let target: Target = serde_json::from_value(saved.clone()).unwrap();
        assert_eq!(
            (target.task(), target.n_outputs(), target.threshold()),
            (task, n_outputs, 0.5)
        );
        assert_eq!(serde_json::to_value(&target).unwrap(), saved);
    }
    let late = Target::classification("late", ["no", "yes"]).unwrap();
    let full = late
        .with_threshold(0.25)
        .unwrap()
        .with_weight("w")
        .with_group("g")
        .with_time("t");
    let saved = serde_json::to_value(&full).unwrap();
    assert_eq!(saved["threshold"], 0.25);
    assert_eq!(serde_json::from_value::<Target>(saved).unwrap(), full);

    // The column of weights was the manifest's for a while.
    let manifest: Manifest = serde_json::from_value(json!({
        "format_version": 1, "name": "late", "model_format": "fourfold.linear.v1", "weight": "w",
        "target": {"task": "binary", "label": "late", "classes": ["no", "yes"]}, "details": {}
    }))
    .unwrap();
    assert_eq!(manifest.target.weight(), Some("w"));
}

#[test]
fn targets_that_make_no_sense_are_refused() {
    let of = |saved: Value| {
        serde_json::from_value::<Target>(saved)
            .unwrap_err()
            .to_string()
    };
    let binary = |classes: Value, threshold: Value| {
        of(json!({"task": "binary", "label": "late", "classes": classes, "threshold": threshold}))
    };
    for (error, wanted) in [
        (
            binary(json!(["no"]), Value::Null),
            "label `late` has 1 classes, must be at least 2",
        ),
        (
            binary(json!(["no", "no"]), Value::Null),
            "duplicate class `no` of label `late`",
        ),
        (
            binary(json!(["a", "b", "c"]), Value::Null),
            "label `late` has 3 classes, which is no binary task",
        ),
        (
            binary(json!(["a", "b"]), json!(1.5)),
            "the decision threshold is 1.5, must be from 0 to 1",
        ),
        (
            of(json!({"task": "regression", "label": "price", "threshold": 0.4})),
            "label `price` defines a regression task, but a decision threshold requires two classes",
        ),
    ] {
        assert!(error.contains(wanted), "{error}");
    }
    let nan = Target::classification("late", ["no", "yes"])
        .unwrap()
        .with_threshold(f64::NAN);
    assert_eq!(nan.unwrap_err().kind(), ErrorKind::Config);
}

/// Answers 0.2 for every row, by a threshold.
fn flat(
    threshold: f64,
) -> impl Fn(&TrainArgs) -> Result<Trained<ConstantModel>> + Send + Sync + 'static {
    move |args| {
        let model = ConstantModel::new(args.train().n_features(), vec![0.2]);
        Ok(Trained::new(model).with_threshold(threshold))
    }
}

async fn run(models: &std::path::Path, threshold: f64) -> Result<Outcome<PushedModel>> {
    Pipeline::builder("parcels")
        .data(
            BatchSource::new("parcels", vec![parcels(1_000)])
                .label("late")
                .exclude(["id"]),
        )
        .train_with("flat", 1, flat(threshold))
        .evaluate(
            EvaluationPipeline::new(Thresholds::new().at_least("recall", 0.0))
                .compute(["cost(1, 4)"]),
        )
        .serve(ModelRepository::at(models))
        .build()?
        .run()
        .await
}

fn value(metrics: &fourfold::metrics::Evaluation, name: &str) -> f64 {
    metrics.metric(name).unwrap()
}

#[tokio::test]
async fn the_threshold_is_saved_and_goes_through_metrics_and_answers() {
    let models = tempfile::tempdir().unwrap();
    let low = run(models.path(), 0.1).await.unwrap();
    let record: &RunRecord = low.run();
    assert_eq!(
        (record.target.threshold(), record.training.threshold),
        (0.1, Some(0.1))
    );
    // All rows are answered with `yes`: what costs are the `no`.
    let share = value(&record.metrics, "mean_label");
    assert_eq!(value(&record.metrics, "recall"), 1.0);
    assert!((value(&record.metrics, "accuracy") - share).abs() < 1e-12);
    assert!((value(&record.metrics, "cost(1, 4)") - (1.0 - share)).abs() < 1e-12);

    let pushed = low.endpoint().unwrap();
    let manifest = std::fs::read_to_string(pushed.path.join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    assert_eq!(manifest["target"]["threshold"], 0.1);
    let loaded = Servable::load(&pushed.path, &Loaders::default()).unwrap();
    assert_eq!(loaded.target().threshold(), 0.1);
    let manager = Manager::open(ModelRepository::at(models.path()), Loaders::default()).unwrap();
    let served = manager.get("parcels", None).unwrap();
    let answers = served.predict(&parcels(3)).unwrap();
    assert_eq!(answers.classes(), ["yes"; 3]);
    let batch = answers.to_batch().unwrap();
    assert_eq!(batch["class"].as_string::<i32>().value(0), "yes");

    // The next one is compared with it, each by its own threshold.
    let high = run(models.path(), 0.2).await.unwrap();
    let record = high.run();
    let baseline = record.baseline_metrics.as_ref().unwrap();
    assert_eq!(
        value(&record.metrics, "recall"),
        0.0,
        "0.2 is not above 0.2"
    );
    assert_eq!(value(baseline, "recall"), 1.0);
    assert_eq!(value(record.changes.as_ref().unwrap(), "flip_rate"), 1.0);
    assert!((value(&record.metrics, "cost(1, 4)") - 4.0 * share).abs() < 1e-12);
    assert!((value(baseline, "cost(1, 4)") - (1.0 - share)).abs() < 1e-12);

    let error = run(models.path(), 1.5).await.map(drop).unwrap_err();
    assert_eq!(error.stage(), Some("flat"));
    assert!(
        error.to_string().contains("the decision threshold is 1.5"),
        "{error}"
    );
}

/// Rows behind a transform, without a pipeline.
fn dataset(from: usize, n: usize) -> Dataset {
    let rows = parcels(3_000);
    let transform = Transform::new().z_score("kilograms").one_hot("road");
    let transform = transform.fit(std::slice::from_ref(&rows)).unwrap();
    let target = Target::classification("late", ["no", "yes"]).unwrap();
    let examples = Examples::from_batches(rows.schema(), vec![rows.slice(from, n)]).unwrap();
    Dataset::new(examples, Arc::new(transform), Arc::new(target))
}

#[test]
fn the_threshold_that_costs_least_on_the_rows_to_tune_by() {
    let (train, tune) = (dataset(0, 2_000), dataset(2_000, 1_000));
    let args = TrainArgs::new(train).with_tune(tune.clone());
    let trainer = Thresholded::new(LogisticRegression::default()).false_negative(30.0);
    let trained = trainer.train(&args).unwrap();
    let threshold = trained.record().threshold.unwrap();
    assert!(threshold < 0.5, "{threshold}");

    // By hand: every probability as a threshold, and none.
    let rows = tune.table(trained.model().takes()).unwrap();
    let features = rows.features();
    let outputs = trained.model().predict(features).unwrap();
    let cost = |threshold: f64| -> f64 {
        let rows = outputs.column(0).into_iter().zip(rows.labels());
        rows.map(|(p, label)| match (*p > threshold, *label == 1.0) {
            (true, false) => 1.0,
            (false, true) => 30.0,
            _ => 0.0,
        })
        .sum()
    };
    let all = outputs.column(0).into_iter().copied().chain([0.0, 0.5]);
    let least = all.map(cost).fold(f64::INFINITY, f64::min);
    assert_eq!(cost(threshold), least);
    assert!(least < cost(0.5), "one half costs more");

    // The model is the one of the trainer within.
    let alone = LogisticRegression::default().train(&args).unwrap();
    assert_eq!(outputs, alone.model().predict(features).unwrap());
}

#[test]
fn who_makes_other_probabilities_leaves_the_threshold_out() {
    let args = TrainArgs::new(dataset(0, 1_000));
    let inner = || Thresholded::new(LogisticRegression::default()).false_negative(5.0);
    let left_out = |record: &fourfold::training::TrainingRecord| {
        let codes = record.warnings.iter().map(|warning| warning.code.as_str());
        assert_eq!(record.threshold, None);
        codes.filter(|code| *code == "threshold_left_out").count()
    };
    assert_eq!(
        left_out(Calibrated::new(inner()).train(&args).unwrap().record()),
        1
    );
    assert_eq!(
        left_out(Bagged::new(inner()).folds(2).train(&args).unwrap().record()),
        2
    );
    let explained = Explained::new(inner()).repeats(1).train(&args).unwrap();
    assert!(explained.record().threshold.is_some());
    let around = Thresholded::new(Calibrated::new(LogisticRegression::default()));
    assert!(around.train(&args).unwrap().record().threshold.is_some());
    let erased = inner().erase().train(&args).unwrap();
    assert!(erased.record().threshold.is_some());
}

#[test]
fn what_has_not_two_classes_has_no_threshold() {
    let rows = dataset(0, 100);
    let number = Arc::new(Target::regression("kilograms"));
    let number = Dataset::new(
        rows.examples().clone(),
        Arc::clone(rows.transform()),
        number,
    );
    let error = Thresholded::new(LinearRegression::default()).train(&TrainArgs::new(number));
    let error = error.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("a decision threshold requires two classes"),
        "{error}"
    );
}

/// Rows of `n / 10` owners.
fn owned(n: usize) -> RecordBatch {
    let rows = parcels(n);
    let owner: ArrayRef = Arc::new(Int64Array::from_iter_values(
        (0..n as i64).map(|row| row % (n as i64 / 10)),
    ));
    let columns = rows
        .schema()
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect::<Vec<_>>();
    let columns = columns.into_iter().zip(rows.columns().iter().cloned());
    RecordBatch::try_from_iter(columns.chain([("owner".to_owned(), owner)])).unwrap()
}

#[tokio::test]
async fn groups_stay_together_and_are_no_feature() {
    let seen: Arc<std::sync::Mutex<Vec<String>>> = Arc::default();
    let tell = Arc::clone(&seen);
    let outcome = Pipeline::builder("owned")
        .data(
            BatchSource::new("owned", vec![owned(2_000)])
                .label("late")
                .exclude(["id"])
                .group_column("owner"),
        )
        .train_with("flat", 1, move |args: &TrainArgs| {
            assert_eq!(args.target().group(), Some("owner"));
            let divided = |rows: Dataset| -> Result<Vec<f64>> {
                let parts = rows.hold_out(0.3)?;
                Ok(parts
                    .held_out
                    .matrix()?
                    .features()
                    .iter()
                    .map(|x| f64::from(*x))
                    .collect())
            };
            let by_owner = HoldOutBy::Group("owner".to_owned());
            let by_default = divided(args.train().clone())?;
            assert_eq!(
                by_default,
                divided(args.train().clone().hold_out_by(by_owner))?
            );
            assert_ne!(
                by_default,
                divided(args.train().clone().hold_out_by(HoldOutBy::Row))?
            );
            tell.lock()
                .unwrap()
                .extend(args.train().feature_names().iter().cloned());
            Ok(ConstantModel::new(args.train().n_features(), vec![0.5]))
        })
        .evaluate(Thresholds::new().at_least("auc", 0.0))
        .serve(InProcess::new())
        .build()
        .unwrap()
        .run()
        .await
        .unwrap();
    let run = outcome.run();
    assert_eq!(run.target.group(), Some("owner"));
    let warned = run
        .warnings
        .iter()
        .find(|warning| warning.code == "groups_parted")
        .unwrap();
    assert_eq!(warned.column.as_deref(), Some("owner"));
    assert!(
        seen.lock()
            .unwrap()
            .iter()
            .all(|name| !name.contains("owner"))
    );
}

/// A trainer behind a transform of its own.
#[derive(serde::Serialize)]
struct ByWeight;

impl Stage for ByWeight {
    fn name(&self) -> &str {
        "by_weight"
    }
}

impl Trainer for ByWeight {
    type Model = fourfold::model::LinearModel;

    fn train(&self, args: &TrainArgs) -> Result<Trained<Self::Model>> {
        let trainer = LogisticRegression::default();
        let transform = Transform::new().z_score("kilograms");
        let rows = args
            .train()
            .refit_with(transform, trainer.capabilities().takes)?;
        let args = args.clone().with_train(rows.clone()).with_tune(None);
        Ok(trainer.train(&args)?.behind(&rows))
    }
}

async fn behind_its_own<T: Trainer>(trainer: T) -> Result<Outcome<Endpoint>> {
    Pipeline::builder("parcels")
        .data(
            BatchSource::new("parcels", vec![parcels(2_000)])
                .label("late")
                .transform(Transform::new().min_max("kilograms")),
        )
        .train(trainer)
        .evaluate(
            Thresholds::new()
                .at_least("auc", 0.6)
                .at_most("log_loss", 0.6),
        )
        .serve(InProcess::new())
        .build()?
        .run()
        .await
}

/// Both transforms make one feature: taken for one another, they would go unnoticed.
#[tokio::test]
async fn who_is_around_a_trainer_goes_by_its_transform() {
    async fn features(trainer: impl Trainer) -> (Vec<f64>, Option<f64>) {
        let outcome = behind_its_own(trainer).await.unwrap();
        let threshold = outcome.run().training.threshold;
        let predictor = outcome.endpoint().unwrap().predictor().unwrap();
        let servable = predictor.servable();
        let features = servable.features(&parcels(20)).unwrap();
        (
            features.matrix().iter().map(|x| f64::from(*x)).collect(),
            threshold,
        )
    }
    let (alone, _) = features(ByWeight).await;
    assert!(alone.iter().any(|x| *x < 0.0), "these are scores");
    let calibrated = features(Calibrated::new(ByWeight)).await.0;
    assert!(calibrated.iter().any(|x| *x < 0.0));
    let (scores, threshold) = features(Thresholded::new(ByWeight).false_negative(30.0)).await;
    assert!(scores.iter().any(|x| *x < 0.0) && threshold.is_some());
    let error = behind_its_own(Bagged::new(ByWeight))
        .await
        .map(drop)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(
        error.to_string().contains("transforms of their own"),
        "{error}"
    );
}
