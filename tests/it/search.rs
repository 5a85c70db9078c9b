//! Searches are trainers: they choose on rows that the gate does not judge, and give the same model every time.

use std::sync::Arc;
use std::time::Duration;

use fourfold::arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use fourfold::data::TRAIN;
use fourfold::features::Takes;
use fourfold::model::{AnyModel, CalibratedModel, EnsembleModel, Loaders, load_model, save_model};
use fourfold::pipeline::dataset;
use fourfold::prelude::*;
use fourfold::progress::Progress;
use fourfold::search::{AutoTrainer, Halving, Space, Strategy, Tune, Validation};
use fourfold::training::{
    Dataset, DecisionTree, GradientBoosting, LinearRegression, LogisticRegression, RandomForest,
};

use crate::support::{parcels, tree};

/// Two numbers and a category that tell a class by a curve, in `n` rows. No randomness.
pub(crate) fn rings(n: usize) -> RecordBatch {
    let noise = |i: usize, salt: usize| ((i * 7_919 + salt * 104_729) % 10_007) as f64 / 10_007.0;
    let x: Vec<f64> = (0..n).map(|i| noise(i, 1) * 4.0 - 2.0).collect();
    let y: Vec<f64> = (0..n).map(|i| noise(i * 31 + 7, 2) * 4.0 - 2.0).collect();
    let kind: Vec<&str> = (0..n).map(|i| ["a", "b", "c"][i % 3]).collect();
    let label: Vec<&str> = (0..n)
        .map(|i| {
            let inside = x[i].powi(2) + y[i].powi(2) < if kind[i] == "a" { 3.0 } else { 1.5 };
            match inside != (noise(i * 17 + 3, 3) < 0.08) {
                true => "in",
                false => "out",
            }
        })
        .collect();
    let columns: [(&str, ArrayRef); 4] = [
        ("x", Arc::new(Float64Array::from(x))),
        ("y", Arc::new(Float64Array::from(y))),
        ("kind", Arc::new(StringArray::from(kind))),
        ("where", Arc::new(StringArray::from(label))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

pub(crate) fn train_set(rows: RecordBatch, label: &str, takes: Takes) -> Dataset {
    let data = BatchSource::new("rings", vec![rows]).label(label);
    let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))
        .unwrap()
        .keep();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let engine = Engine::new().unwrap();
    let prepared = runtime
        .block_on(data.run(&engine, &place, &Progress::default()))
        .unwrap();
    let fitted = runtime.block_on(prepared.fit(takes, &engine)).unwrap();
    dataset(&prepared, TRAIN, &fitted).unwrap()
}

pub(crate) fn saved(model: &AnyModel) -> Vec<(String, Vec<u8>)> {
    let dir = tempfile::tempdir().unwrap();
    save_model(dir.path(), "model", model).unwrap();
    let files = tree(dir.path()).into_iter().filter(|path| path.is_file());
    let name =
        |path: &std::path::Path| path.strip_prefix(dir.path()).unwrap().display().to_string();
    files
        .map(|path| (name(&path), std::fs::read(&path).unwrap()))
        .collect()
}

fn boosting() -> Space {
    Space::of(GradientBoosting::default().rounds(40))
        .log("learning_rate", 0.01, 0.5)
        .integer_log("max_leaves", 2, 32)
}

fn linear() -> Space {
    Space::of(LogisticRegression::default()).log("alpha", 0.01, 100.0)
}

#[test]
fn the_best_is_found_among_several_kinds_and_brings_its_transform() {
    let rows = train_set(rings(1_200), "where", Takes::FINITE);
    let tune = Tune::over(linear().or(boosting())).trials(16).metric("auc");
    let trained = tune.train(&TrainArgs::new(rows.clone())).unwrap();
    let trials = &trained.record().trials;
    assert_eq!(trials.len(), 16);
    let best = trials
        .iter()
        .filter_map(|trial| trial.value)
        .fold(0.0, f64::max);
    let winner = trials
        .iter()
        .find(|trial| trial.value == Some(best))
        .unwrap();
    assert_eq!(
        winner.stage["name"], "gradient_boosting",
        "a circle is no line"
    );
    assert_eq!(trained.model().format(), "fourfold.forest.v2");
    let fitted = trained.fitted().unwrap();
    assert_eq!(
        fitted.transform().features().len(),
        trained.model().n_features()
    );
    let curve = &trained.record().curve;
    assert_eq!(
        curve
            .iter()
            .rfind(|point| point.name == "best_auc")
            .unwrap()
            .value,
        best
    );
}

#[test]
fn equal_models_on_any_number_of_threads_and_after_a_budget() {
    let rows = train_set(rings(600), "where", Takes::CODES);
    let tune = || {
        Tune::over(boosting().or(linear()))
            .trials(14)
            .validation(Validation::Folds(3))
    };
    let args = TrainArgs::new(rows).with_seed(3);
    let one = tune().train(&args.clone().with_threads(1)).unwrap();
    let four = tune().train(&args.clone().with_threads(4)).unwrap();
    assert_eq!(saved(one.model()), saved(four.model()));
    // No time: one batch, as if there were four trials.
    let hasty = tune().budget(Duration::ZERO).train(&args).unwrap();
    assert_eq!(hasty.record().trials.len(), 4);
    assert_eq!(hasty.record().warnings[0].code, "search_stopped");
    let replayed = tune().trials(4).train(&args).unwrap();
    assert_eq!(saved(hasty.model()), saved(replayed.model()));
    let other = tune().trials(4).train(&args.with_seed(4)).unwrap();
    assert_ne!(
        other.record().trials[0].stage,
        replayed.record().trials[0].stage,
        "the seed decides"
    );
}

#[test]
fn a_grid_has_every_combination() {
    let rows = train_set(rings(300), "where", Takes::CODES);
    let space = Space::of(DecisionTree::default())
        .integer("max_depth", 1, 3)
        .choice("min_rows_leaf", [1, 20]);
    let trained = Tune::over(space)
        .strategy(Strategy::Grid(5))
        .train(&TrainArgs::new(rows))
        .unwrap();
    let mut tried: Vec<String> = trained
        .record()
        .trials
        .iter()
        .map(|trial| trial.stage["configuration"].to_string())
        .collect();
    tried.sort();
    tried.dedup();
    assert_eq!(tried.len(), 6);
}

#[test]
fn halving_stops_the_worse_on_few_rows() {
    let rows = train_set(rings(1_500), "where", Takes::CODES);
    let tune = Tune::over(boosting())
        .strategy(Strategy::Random)
        .trials(9)
        .batch(9)
        .halving(Halving::from_share(0.12));
    let trained = tune.train(&TrainArgs::new(rows)).unwrap();
    let trials = &trained.record().trials;
    let whole: Vec<_> = trials
        .iter()
        .filter(|trial| trial.share == Some(1.0))
        .collect();
    assert_eq!((trials.len(), whole.len()), (9, 1));
    let stopped = trials.iter().filter(|trial| trial.reason.is_some()).count();
    assert_eq!(stopped, 8);
}

#[test]
fn transforms_are_searched_too() {
    let rows = train_set(rings(900), "where", Takes::CODES);
    let transforms = [
        ("x alone", Transform::new().z_score("x")),
        ("both", Transform::new().z_score("x").z_score("y")),
    ];
    let space = Space::of(DecisionTree::default()).behind(transforms);
    let trained = Tune::over(space)
        .strategy(Strategy::Grid(1))
        .train(&TrainArgs::new(rows))
        .unwrap();
    let trials: Vec<f64> = trained
        .record()
        .trials
        .iter()
        .map(|trial| trial.value.unwrap())
        .collect();
    assert!(trials[1] < trials[0], "{trials:?}");
    assert_eq!(trained.fitted().unwrap().transform().features(), ["x", "y"]);
}

#[test]
fn trials_that_fail_are_in_the_record_and_the_rest_goes_on() {
    let rows = train_set(rings(300), "where", Takes::CODES);
    let failing = Space::of(LinearRegression::default());
    let space = failing.clone().or(linear());
    let trained = Tune::over(space)
        .strategy(Strategy::Grid(2))
        .train(&TrainArgs::new(rows.clone()))
        .unwrap();
    let reasons: Vec<bool> = trained
        .record()
        .trials
        .iter()
        .map(|trial| trial.reason.is_some())
        .collect();
    assert_eq!(reasons, [true, false, false]);
    let error = Tune::over(failing)
        .trials(1)
        .train(&TrainArgs::new(rows))
        .unwrap_err();
    assert!(
        error
            .message()
            .starts_with("none of 1 trials produced a model: "),
        "{error}"
    );
}

#[test]
fn a_search_that_is_cancelled_is_over() {
    let rows = train_set(rings(300), "where", Takes::CODES);
    let cancellation = fourfold::Cancellation::new();
    cancellation.cancel();
    let args = TrainArgs::new(rows).with_cancellation(cancellation);
    let error = Tune::over(linear()).train(&args).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
}

#[test]
fn mistakes_are_told_before_anything_runs() {
    let message = |tune: Tune| tune.check().unwrap_err().to_string();
    let unknown = Space::of(RandomForest::default()).integer("tree", 1, 10);
    assert_eq!(
        message(Tune::over(unknown)),
        "`random_forest` has no parameter `tree`; did you mean `trees`?"
    );
    let outside = Space::of(RandomForest::default()).float("feature_fraction", 0.5, 1.5);
    assert!(message(Tune::over(outside)).contains("must be above 0 and at most 1"));
    assert_eq!(
        message(Tune::over(linear()).metric("example_count")),
        "`example_count` cannot be optimized: neither higher nor lower values are better"
    );
    assert!(message(Tune::over(linear()).metric("log_los")).contains("did you mean `log_loss`?"));
    assert_eq!(
        message(Tune::over(linear()).trials(0)),
        "`trials` is 0, must be from 1 to 100000"
    );
    assert_eq!(
        message(Tune::over(linear()).validation(Validation::Folds(1))),
        "`validation` is of 1 folds, must be from 2 to 100"
    );
}

#[test]
fn the_automatic_trainer_is_no_worse_than_its_best_trial_and_saves() {
    let rows = train_set(rings(700), "where", Takes::CODES);
    let auto = AutoTrainer::default().trials(9);
    let trained = auto.train(&TrainArgs::new(rows.clone())).unwrap();
    let trials = &trained.record().trials;
    let (ensemble, tried) = trials.split_last().unwrap();
    assert_eq!(ensemble.stage["name"], "ensemble");
    let best = tried
        .iter()
        .filter_map(|trial| trial.value)
        .fold(f64::INFINITY, f64::min);
    // The best by the mean of its folds; the ensemble's loss is of all rows together.
    assert!(
        ensemble.value.unwrap() <= best + 0.01,
        "{ensemble:?} {best}"
    );
    let model: &AnyModel = trained.model();
    let dir = tempfile::tempdir().unwrap();
    save_model(dir.path(), "model", model).unwrap();
    let loaded: AnyModel = load_model(dir.path(), "model", &Loaders::default()).unwrap();
    let outer: &dyn Predict = &loaded;
    let calibrated: Option<&CalibratedModel> = outer.downcast_ref();
    let within: &dyn Predict = calibrated.map_or(outer, |model| model.model());
    let members: &EnsembleModel = within.downcast_ref().unwrap();
    assert_eq!(members.members().len() % 5, 0, "a model a fold");
    let behind = rows.with_transform(trained.fitted().unwrap().clone());
    let table = behind.table(Takes::ROWS).unwrap();
    assert_eq!(
        loaded.predict(table.features()).unwrap(),
        model.predict(table.features()).unwrap()
    );
    let again = auto
        .train(&TrainArgs::new(train_set(rings(700), "where", Takes::CODES)).with_threads(1))
        .unwrap();
    assert_eq!(saved(again.model()), saved(model));
}

#[test]
fn of_many_rows_the_best_are_trained_for_all_folds() {
    // Four fifths of them are to train on.
    let args = TrainArgs::new(train_set(rings(26_000), "where", Takes::CODES));
    let ensemble = |n: usize| {
        let trained = AutoTrainer::default().trials(n).train(&args).unwrap();
        let mut trials = trained.record().trials.clone();
        let ensemble = trials.pop().unwrap();
        assert_eq!(trials.len(), n);
        (ensemble, trials)
    };
    let (of_one, _) = ensemble(1);
    assert_eq!(of_one.stage["models"], 1, "one of all rows");
    // Nine configurations begin; the tenth trial is the best of them for the other folds.
    let (of_folds, trials) = ensemble(10);
    let loss = |trial: &&fourfold::training::Trial| trial.value.unwrap();
    let best = (trials[..9].iter()).min_by(|a, b| loss(a).total_cmp(&loss(b)));
    assert_eq!(trials[9].stage, best.unwrap().stage);
    assert_eq!(of_folds.stage["models"], 5);
    assert_eq!(of_folds.stage["members"][0]["trial"], 10);
}

#[test]
fn few_rows_are_divided_into_folds_twice() {
    let args = TrainArgs::new(train_set(rings(300), "where", Takes::CODES));
    let trained = AutoTrainer::default().trials(1).train(&args).unwrap();
    let ensemble = trained.record().trials.last().unwrap();
    assert_eq!(ensemble.stage["models"], 10);
}

#[tokio::test]
async fn a_search_is_pushed_and_answers_raw_rows() {
    let models = tempfile::tempdir().unwrap();
    let pipeline = Pipeline::builder("parcels")
        .data(
            BatchSource::new("parcels", vec![parcels(2_000)])
                .label("late")
                .exclude(["id"]),
        )
        .train(AutoTrainer::default().trials(5))
        .evaluate(EvaluationPipeline::new(
            Thresholds::new().better_than_constant(),
        ))
        .serve(ModelRepository::at(models.path()))
        .build()
        .unwrap();
    let outcome = pipeline.run().await.unwrap();
    let run = outcome.run().clone();
    let pushed = outcome
        .endpoint()
        .unwrap_or_else(|| panic!("{}", run.verdict));
    let servable = fourfold::model::Servable::load(&pushed.path, &Loaders::default()).unwrap();
    let answers = servable.predict(&parcels(50)).unwrap();
    assert_eq!(answers.outputs().nrows(), 50);
    // A transform that is given is heeded: the ensemble reads what it reads.
    let given = Pipeline::builder("parcels")
        .data(
            BatchSource::new("parcels", vec![parcels(2_000)])
                .label("late")
                .transform(Transform::new().z_score("kilograms")),
        )
        .train(AutoTrainer::default().trials(3))
        .evaluate(EvaluationPipeline::new(
            Thresholds::new().better_than_constant(),
        ))
        .serve(ModelRepository::at(models.path()))
        .build()
        .unwrap();
    let outcome = given.run().await.unwrap();
    // It takes the raw rows: its features are their columns.
    assert_eq!(outcome.run().features, ["kilograms"]);
}
