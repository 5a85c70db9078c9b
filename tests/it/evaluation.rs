//! Evaluation from outside the crate: metrics and gates of one's own, saved models on raw files, batch scoring.

use std::sync::Arc;

use fourfold::Result;
use fourfold::arrow::array::{ArrayRef, AsArray, Float64Array, RecordBatch};
use fourfold::arrow::datatypes::Float64Type;
use fourfold::blessing::Verdict;
use fourfold::evaluation::{Gates, Needs, NoEvidenceOfHarm, ProveNoWorse};
use fourfold::metrics::{
    AnyState, Direction, Metric, MetricState, MetricValue, ScoredRow, Slice, SliceBy,
};
use fourfold::model::{AnyModel, LinearModel, Link, Servable, Target};
use fourfold::ndarray::{Array1, Array2};
use fourfold::prelude::*;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::{Deserialize, Serialize};

use crate::support::{parcels, write_csv, write_parquet};

/// The share of rows that are answered with a probability of 0.9 or more for the true class.
#[derive(Debug)]
struct Sure;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Counts {
    sure: f64,
    all: f64,
    rows: u64,
}

impl Metric for Sure {
    fn name(&self) -> &str {
        "sure"
    }

    fn direction(&self) -> Direction {
        Direction::Higher
    }

    fn range(&self) -> (f64, f64) {
        (0.0, 1.0)
    }

    fn tasks(&self) -> &[Task] {
        &[Task::Binary]
    }

    fn start(&self, _target: &Target) -> AnyState {
        AnyState::new(Counts::default())
    }
}

impl MetricState for Counts {
    fn add(&mut self, row: &ScoredRow<'_>) {
        let p = row.outputs()[0];
        let of_truth = if row.label() > 0.5 { p } else { 1.0 - p };
        self.sure += row.weight() * f64::from(of_truth >= 0.9);
        self.all += row.weight();
        self.rows += 1;
    }

    fn merge(&mut self, other: Self) {
        self.sure += other.sure;
        self.all += other.all;
        self.rows += other.rows;
    }

    fn finish(&self) -> Option<MetricValue> {
        (self.all > 0.0).then(|| MetricValue::new(self.sure / self.all, self.rows))
    }
}

/// A logistic model with one weight for all features.
fn constant(args: &TrainArgs, weight: f64, intercept: f64) -> Result<LinearModel> {
    let weights = Array2::from_elem((1, args.train().n_features()), weight);
    LinearModel::new(Link::Logistic, &weights, &Array1::from_elem(1, intercept))
}

fn data(n: usize) -> DataPipeline<BatchSource> {
    BatchSource::new("parcels", vec![parcels(n)])
        .label("late")
        .transform(Transform::new().z_score("kilograms").one_hot("road"))
}

fn run<V: Validator<LinearModel>>(
    evaluation: EvaluationPipeline<V>,
    server: &ModelRepository,
) -> Outcome<fourfold::serving::PushedModel> {
    Pipeline::builder("parcels")
        .data(data(4_000))
        .train(LogisticRegression::default())
        .evaluate(evaluation)
        .serve(server.clone())
        .build()
        .unwrap()
        .run_blocking()
        .unwrap()
}

#[test]
fn a_metric_of_ones_own_is_in_thresholds_slices_and_the_report() {
    let dir = tempfile::tempdir().unwrap();
    let server = ModelRepository::at(dir.path());
    let thresholds = Thresholds::new()
        .at_least("sure", 0.01)
        .at_least_in_slices("sure", 0.0, 10)
        .no_worse_than_baseline("sure", 0.01);
    let evaluation = EvaluationPipeline::new(thresholds.clone())
        .metric(Sure)
        .slice_by([
            SliceBy::from("road"),
            SliceBy::quantiles("kilograms", 4).and("road"),
        ])
        .compute(["fbeta(2)"]);
    let outcome = run(evaluation, &server);
    let record = outcome.run();
    assert!(
        outcome.is_deployed(),
        "{:?}",
        outcome.run().verdict.reasons()
    );
    let sure = record.metrics.overall["sure"];
    assert_eq!(sure.support, record.metrics.n_rows());
    assert!((0.01..1.0).contains(&sure.value));
    // By road, and by road and weight.
    assert_eq!(record.metrics.slices.len(), 2 + 8);
    assert!(
        record
            .metrics
            .slices
            .iter()
            .all(|slice| slice.metrics.contains_key("sure"))
    );
    assert_eq!(record.metrics.slices[1].slice, Slice::of("road", "road"));
    let crossed = &record.metrics.slices[2].slice;
    assert_eq!(
        crossed.conditions().keys().collect::<Vec<_>>(),
        ["kilograms", "road"]
    );
    let rows: u64 = record.metrics.slices[..2]
        .iter()
        .map(|slice| slice.n_rows())
        .sum();
    assert_eq!(rows, record.metrics.n_rows());
    assert!(record.metrics.overall.contains_key("fbeta(2)"));
    assert!(fourfold::report::html(record).contains(">sure<"));
    // Without it, its name is not known.
    let error = Pipeline::builder("parcels")
        .data(data(100))
        .train(LogisticRegression::default())
        .evaluate(thresholds)
        .serve(server)
        .build()
        .map(drop)
        .unwrap_err();
    assert!(
        error.message().starts_with("there is no metric `sure`"),
        "{error}"
    );
}

/// Rows with predictions and raw columns, in a validator of one's own.
#[derive(Serialize)]
struct NoBlindSpot;

impl Stage for NoBlindSpot {
    fn name(&self) -> &str {
        "no_blind_spot"
    }
}

impl<M: Model> Validator<M> for NoBlindSpot {
    fn validate(&self, args: EvalArgs<'_, M>) -> Result<Verdict> {
        let predictions = args.predictions().expect("the pipeline gives predictions");
        let (mut heavy, mut n, mut worst) = (0, 0, 0.0_f64);
        for rows in predictions.rows(args.eval()) {
            let rows = rows?;
            let kilograms = Arc::clone(rows.raw().column_by_name("kilograms").unwrap());
            let kilograms = kilograms.as_primitive::<Float64Type>();
            for (row, label) in rows.labels()?.iter().enumerate() {
                let p = rows.candidate()?[(row, 0)];
                heavy += usize::from(kilograms.value(row) > 60.0);
                worst = worst.max((label - p).abs());
                n += 1;
            }
        }
        assert_eq!(n, predictions.n_rows());
        assert!(heavy > 0 && heavy < n);
        Ok(Verdict::new().check("worst", worst < 1.0, format!("the worst error is {worst}")))
    }

    fn needs(&self) -> Needs {
        Needs::new().metric("auc")
    }
}

#[test]
fn a_worse_candidate_that_passes_a_point_gate_is_not_proved_to_be_no_worse() {
    let dir = tempfile::tempdir().unwrap();
    let server = ModelRepository::at(dir.path());
    let first = run(
        EvaluationPipeline::new((NoBlindSpot, ProveNoWorse::new("auc", 0.01))),
        &server,
    );
    assert!(first.is_deployed(), "{:?}", first.run().verdict.reasons());
    // The same model again: the difference is zero, with no doubt.
    let gates = || {
        (
            ProveNoWorse::new("auc", 0.01),
            ProveNoWorse::new("log_loss", 0.01),
            NoEvidenceOfHarm::new("log_loss", 0.05),
        )
    };
    let same = run(EvaluationPipeline::new(gates()).slice_by(["road"]), &server);
    assert!(same.is_deployed(), "{:?}", same.run().verdict.reasons());
    let changes = same.run().changes.clone().unwrap();
    assert_eq!(
        (
            changes.overall["auc"].value,
            changes.overall["flip_rate"].value
        ),
        (0.0, 0.0)
    );
    // One that knows nothing is worse in each.
    let ignorant = Pipeline::builder("parcels")
        .data(data(4_000))
        .train_with("constant", 1, |args: &TrainArgs| constant(args, 0.0, 0.0))
        .evaluate(EvaluationPipeline::new(gates()).slice_by(["road"]))
        .serve(server)
        .build()
        .unwrap()
        .run_blocking()
        .unwrap();
    let verdict = &ignorant.run().verdict;
    assert!(!verdict.is_blessed());
    assert!(verdict.checks()[0].interval.is_some() && verdict.checks()[0].detectable.is_some());
    assert!(
        verdict
            .checks()
            .iter()
            .any(|check| check.slice == Some(Slice::of("road", "road")))
    );
}

#[tokio::test]
async fn a_saved_model_is_evaluated_on_raw_rows_as_in_its_pipeline() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rows.parquet");
    write_parquet(&file, &[parcels(4_000)]);
    let split = || Split::by_hash(["id"], [("train", 8), ("eval", 2)]);
    let outcome = Pipeline::builder("parcels")
        .data(
            FileSource::parquet(&file)
                .label(Label::column("late").positive("no"))
                .split(split())
                .transform(Transform::new().z_score("kilograms").one_hot("road")),
        )
        .train(LogisticRegression::default())
        .evaluate(Thresholds::new().at_least("auc", 0.5))
        .serve(ModelRepository::at(dir.path().join("models")))
        .build()
        .unwrap()
        .run()
        .await
        .unwrap();
    let record = outcome.run().clone();
    let place = outcome.endpoint().unwrap().path;
    // All rows, in another format; the baseline is the model itself.
    let csv = dir.path().join("rows.csv");
    write_csv(&csv, &parcels(4_000));
    let engine = Engine::new().unwrap();
    let rows = FileSource::csv(&csv)
        .read(&engine)
        .await
        .unwrap()
        .collect()
        .await
        .unwrap();
    let gates = Gates::<AnyModel>::default().from_toml(
        "[[gates]]\ngate = \"thresholds\"\nthresholds = [{ metric = \"auc\", at_least = 0.5 }]\n\
         [[gates]]\ngate = \"prove_no_worse\"\nmetric = \"brier\"\nmargin = 0.001",
    );
    let found = EvaluationPipeline::new(gates.unwrap())
        .slice_by(["road"])
        .baseline(&place)
        .run_saved(&place, &Loaders::default(), &rows)
        .await
        .unwrap();
    assert_eq!(found.metrics.n_rows(), 4_000);
    assert!(found.verdict.is_blessed(), "{:?}", found.verdict.reasons());
    let (all, eval) = (
        found.metrics.metric("auc").unwrap(),
        record.metrics.overall["auc"],
    );
    assert!(
        eval.lower.unwrap() < all && all < eval.upper.unwrap(),
        "{all} {eval:?}"
    );
    let json = serde_json::to_value(&found.metrics).unwrap();
    assert!(json["overall"]["auc"]["lower"].is_f64() && json["overall"]["auc"]["support"] == 4_000);
    assert_eq!(
        json["slices"][0]["slice"],
        serde_json::json!({"road": "air"})
    );
}

#[tokio::test]
async fn batch_scoring_writes_all_answers_or_none() {
    let dir = tempfile::tempdir().unwrap();
    let models = dir.path().join("models");
    let outcome = Pipeline::builder("parcels")
        .data(data(1_200))
        .train(LogisticRegression::default())
        .evaluate(Thresholds::new().at_least("auc", 0.5))
        .serve(ModelRepository::at(&models))
        .build()
        .unwrap()
        .run()
        .await
        .unwrap();
    let place = outcome.endpoint().unwrap().path;
    let servable = Arc::new(Servable::load(&place, &Loaders::default()).unwrap());
    let source = BatchSource::new("rows", vec![parcels(300), parcels(50)]);
    let engine = Engine::new().unwrap();
    let output = dir.path().join("answers.parquet");
    let score = async |source: &BatchSource, keys: &[&str]| {
        let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        let servable = Arc::clone(&servable);
        fourfold::pipeline::score(servable, source, &keys, "1", &output, &engine).await
    };
    assert_eq!(score(&source, &["id"]).await.unwrap(), 350);
    let reader = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(&output).unwrap());
    let batches: Vec<RecordBatch> = reader
        .unwrap()
        .build()
        .unwrap()
        .map(|batch| batch.unwrap())
        .collect();
    let answers = arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap();
    let names: Vec<String> = answers
        .schema()
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect();
    assert_eq!(names, ["id", "class", "probability", "model_version"]);
    let expected = servable.predict(&parcels(300)).unwrap();
    let found = answers.column(2).as_primitive::<Float64Type>();
    assert!(
        expected
            .outputs()
            .iter()
            .zip(found.values())
            .all(|(a, b)| a == b)
    );

    assert_eq!(
        score(&source, &["id"]).await.unwrap_err().kind(),
        ErrorKind::AlreadyExists
    );
    std::fs::remove_file(&output).unwrap();
    let error = score(&source, &["idd"]).await.unwrap_err();
    assert_eq!(
        error.message(),
        "key `idd` is no column of the data; did you mean `id`?"
    );
    // What fails in the middle leaves nothing.
    let heavy: ArrayRef = Arc::new(Float64Array::from(vec![1.0; 10]));
    let bad = RecordBatch::try_from_iter([("kilograms", heavy)]).unwrap();
    let error = score(&BatchSource::new("bad", vec![bad]), &[])
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data, "{error}");
    let left: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["models"]);
}

/// Every metric takes row weights into account: a weight of 2 counts as two rows.
#[test]
fn the_weights_of_rows_are_heeded() {
    let weight = |i: usize| 1.0 + (i % 2) as f64;
    let rows = parcels(2_000);
    let mut columns: Vec<(String, ArrayRef)> = rows
        .schema()
        .fields()
        .iter()
        .zip(rows.columns())
        .map(|(field, column)| (field.name().clone(), Arc::clone(column)))
        .collect();
    columns.push((
        "w".to_owned(),
        Arc::new(Float64Array::from_iter_values((0..2_000).map(weight))),
    ));
    let rows = RecordBatch::try_from_iter(columns).unwrap();
    let run = |rows: RecordBatch, weighted: bool| {
        let data = BatchSource::new("parcels", vec![rows])
            .label("late")
            .split(Split::by_hash(["id"], [("train", 1), ("eval", 1)]))
            .transform(Transform::new().z_score("kilograms").one_hot("road"));
        let data = if weighted {
            data.weight_column("w")
        } else {
            data
        };
        let outcome = Pipeline::builder("weights")
            .data(data)
            .train_with("fixed", 1, |args: &TrainArgs| constant(args, 0.4, -0.3))
            .evaluate(Thresholds::new().at_least("skill", -100.0))
            .serve(InProcess::new())
            .build()
            .unwrap()
            .run_blocking()
            .unwrap();
        outcome.run().metrics.clone()
    };
    let (plain, weighted) = (run(rows.clone(), false), run(rows, true));
    assert_eq!(plain.n_rows(), weighted.n_rows());
    assert!(
        (plain.metric("accuracy").unwrap() - weighted.metric("accuracy").unwrap()).abs() > 1e-6
    );
}

#[cfg(feature = "sql")]
#[test]
fn slices_and_metrics_in_sql_are_as_good_as_others() {
    use fourfold::metrics::SqlMetric;

    let dir = tempfile::tempdir().unwrap();
    let server = ModelRepository::at(dir.path());
    // The share of wrong answers, as SQL says it.
    let wrong = || SqlMetric::new("wrong", Direction::Lower, "label <> prediction").unwrap();
    let heavy = "kilograms > 60 and road = 'road'";
    let evaluation = EvaluationPipeline::new(
        Thresholds::new()
            .at_most("wrong", 0.9)
            .at_most_in_slices("wrong", 0.95, 10),
    )
    .metric(wrong())
    .slice_by([SliceBy::sql(heavy), SliceBy::edges("kilograms", [60.0])]);
    let outcome = run(evaluation, &server);
    assert!(
        outcome.is_deployed(),
        "{:?}",
        outcome.run().verdict.reasons()
    );
    let metrics = &outcome.run().metrics;
    let of = |metrics: &fourfold::metrics::Metrics, name: &str| metrics[name].value;
    let all = &metrics.overall;
    assert!((of(all, "wrong") - (1.0 - of(all, "accuracy"))).abs() < 1e-12);
    assert!(all["wrong"].lower.is_some() && all["wrong"].upper.is_some());
    let slice = |value: &str| {
        let wanted = Slice::of(heavy, value);
        let found = metrics.slices.iter().find(|found| found.slice == wanted);
        found.unwrap()
    };
    let (yes, no) = (slice("true"), slice("false"));
    assert_eq!(yes.n_rows() + no.n_rows(), metrics.n_rows());
    let share = of(&yes.metrics, "mean_label");
    assert!(share > of(&no.metrics, "mean_label"), "{share}");
    assert!((of(&yes.metrics, "wrong") - (1.0 - of(&yes.metrics, "accuracy"))).abs() < 1e-12);

    // What is wrong is said before training.
    let refused = |by: SliceBy| {
        let built = Pipeline::builder("parcels")
            .data(data(400))
            .train_with("none", 1, |_: &TrainArgs| -> Result<LinearModel> {
                panic!("trained")
            })
            .evaluate(
                EvaluationPipeline::new(Thresholds::new().at_least("auc", 0.5)).slice_by([by]),
            )
            .serve(InProcess::new())
            .build();
        match built {
            Err(error) => format!("build: {error}"),
            Ok(pipeline) => pipeline.run_blocking().unwrap_err().to_string(),
        }
    };
    assert_eq!(
        refused(SliceBy::sql("kilogram > 60")),
        "evaluate: column `kilogram` to slice by is not in the data; did you mean `kilograms`?"
    );
    assert_eq!(
        refused(SliceBy::sql("kilograms + 60")),
        "evaluate: `kilograms + 60` is of type Float64, must be a boolean"
    );
    assert!(
        refused(SliceBy::sql("kilograms >"))
            .starts_with("build: evaluate: `kilograms >` is not a SQL expression")
    );
}
