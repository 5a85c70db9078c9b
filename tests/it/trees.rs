//! Boosting, forests and trees behind the public API.

use std::path::Path;
use std::sync::Arc;

use fourfold::arrow::array::{
    ArrayRef, AsArray, BooleanArray, Float64Array, RecordBatch, StringArray,
};
use fourfold::arrow::compute::filter_record_batch;
use fourfold::examples::Examples;
use fourfold::features::{Features, Takes};
use fourfold::model::{ForestModel, Loaders, Model, Predict, Target};
use fourfold::ndarray::{Array2, Axis};
use fourfold::prelude::Transform;
use fourfold::progress::Meter;
use fourfold::training::{
    Dataset, DecisionTree, Direction, GradientBoosting, RandomForest, RegressionLoss, TrainArgs,
    Trained, Trainer,
};
use fourfold::transform::FittedTransform;
use fourfold::{Cancellation, ErrorKind, Stage};

/// Numbers with gaps, a category with gaps, a number without; labels of two and of three classes, and a count.
fn rows(n: usize, from: usize) -> RecordBatch {
    // From 0 to below 1, independent of each other.
    let noise = |i: usize, what: usize| {
        let mut mixed = ((i + from) as u64 * 31 + what as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for factor in [0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb] {
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(factor);
        }
        (mixed >> 40) as f64 / (1_u64 << 24) as f64
    };
    let all = 0..n;
    let miles: Vec<Option<f64>> = all
        .clone()
        .map(|i| (noise(i, 1) > 0.2).then(|| (noise(i, 2) * 50.0).round()))
        .collect();
    let carriers = ["AA", "DL", "UA", "WN", "B6", "AS", "F9"];
    let carrier: Vec<Option<&str>> = all
        .clone()
        .map(|i| (noise(i, 3) > 0.1).then(|| carriers[(noise(i, 4) * 7.0) as usize]))
        .collect();
    let hour: Vec<f64> = all.clone().map(|i| noise(i, 5) * 24.0).collect();
    let score: Vec<f64> = all
        .clone()
        .map(|i| {
            let of_carrier = carrier[i].map_or(0.5, |name| if name < "B" { -1.0 } else { 0.7 });
            miles[i].map_or(1.5, |miles| miles / 25.0 - 1.0) + of_carrier + (hour[i] - 12.0) / 8.0
                - 0.5
        })
        .collect();
    let late = all.clone().map(|i| {
        if score[i] + 2.0 * noise(i, 6) - 1.0 > 0.0 {
            "yes"
        } else {
            "no"
        }
    });
    let when = all.clone().map(|i| match score[i] + noise(i, 7) {
        score if score < -0.5 => "early",
        score if score < 1.0 => "fine",
        _ => "late",
    });
    let bags = all
        .clone()
        .map(|i| (score[i].exp() * (0.5 + noise(i, 8))).round());
    let columns: [(&str, ArrayRef); 6] = [
        ("miles", Arc::new(Float64Array::from(miles.clone()))),
        ("carrier", Arc::new(StringArray::from(carrier.clone()))),
        ("hour", Arc::new(Float64Array::from(hour.clone()))),
        ("late", Arc::new(StringArray::from_iter_values(late))),
        ("when", Arc::new(StringArray::from_iter_values(when))),
        ("bags", Arc::new(Float64Array::from_iter_values(bags))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn transform() -> Arc<FittedTransform> {
    let transform = Transform::new()
        .number("miles")
        .one_hot("carrier")
        .number("hour");
    Arc::new(transform.fit(&[rows(2000, 0)]).unwrap())
}

fn target(label: &str) -> Target {
    let label = label.to_owned();
    match label.as_str() {
        "late" => Target::classification(label, ["no", "yes"]).unwrap(),
        "when" => Target::classification(label, ["early", "fine", "late"]).unwrap(),
        _ => Target::regression(label),
    }
}

fn dataset(label: &str, n: usize, from: usize) -> Dataset {
    let rows = rows(n, from);
    let examples = Examples::from_batches(rows.schema(), vec![rows]).unwrap();
    Dataset::new(examples, transform(), Arc::new(target(label)))
}

fn args(label: &str) -> TrainArgs {
    TrainArgs::new(dataset(label, 2000, 0)).with_seed(5)
}

/// Features of rows that training has not seen.
fn fresh() -> Features {
    transform()
        .apply_as(&rows(700, 100_000), Takes::CODES)
        .unwrap()
}

fn files(model: &impl Model) -> Vec<Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    model.save(dir.path()).unwrap();
    let read = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
    vec![read("forest.json"), read("forest.bin")]
}

fn boosting() -> GradientBoosting {
    GradientBoosting::default().rounds(30).max_leaves(8)
}

fn codes(trained: &Trained<ForestModel>) -> Vec<&str> {
    trained
        .record()
        .warnings
        .iter()
        .map(|warning| warning.code.as_str())
        .collect()
}

#[test]
fn saved_models_do_not_depend_on_threads() {
    let sampled = boosting().row_fraction(0.7).feature_fraction(0.7);
    for label in ["late", "when", "bags"] {
        let boosted = |threads| {
            sampled
                .train(&args(label).with_threads(threads))
                .unwrap()
                .into_model()
        };
        assert!(files(&boosted(1)) == files(&boosted(2)), "{label}");
        for forest in [RandomForest::default(), RandomForest::extra_random()] {
            let forest = forest.trees(7);
            let grown = |threads| {
                forest
                    .train(&args(label).with_threads(threads))
                    .unwrap()
                    .into_model()
            };
            assert!(files(&grown(1)) == files(&grown(2)), "{label}");
        }
    }
}

#[test]
fn all_trainers_learn_all_tasks_and_come_back() {
    type Train = fn(&TrainArgs) -> fourfold::Result<Trained<ForestModel>>;
    let trainers: [Train; 4] = [
        |args| boosting().train(args),
        |args| RandomForest::default().trees(30).train(args),
        |args| {
            RandomForest::extra_random()
                .trees(30)
                .feature_fraction(1.0)
                .train(args)
        },
        |args| DecisionTree::default().train(args),
    ];
    let labels = rows(700, 100_000);
    for label in ["late", "when", "bags"] {
        let target = target(label);
        let truth = target
            .encode(labels.column_by_name(label).unwrap())
            .unwrap();
        for (which, train) in trainers.iter().enumerate() {
            let model = train(&args(label)).unwrap().into_model();
            assert_eq!(model.n_features(), dataset(label, 10, 0).n_features());
            assert_eq!(
                (model.n_outputs(), model.takes()),
                (target.n_outputs(), Takes::CODES)
            );
            let outputs = model.predict(&fresh()).unwrap();
            let loss = |row: usize| match label {
                "bags" => (outputs[[row, 0]] - truth[row]).powi(2),
                "late" => -(if truth[row] == 1.0 {
                    outputs[[row, 0]]
                } else {
                    1.0 - outputs[[row, 0]]
                })
                .max(1e-3)
                .ln(),
                _ => -outputs[[row, truth[row] as usize]].max(1e-3).ln(),
            };
            let mean = (0..700).map(loss).sum::<f64>() / 700.0;
            let most = match label {
                "late" => 0.45,
                "when" => 0.65,
                _ => 4.0,
            };
            assert!(mean < most, "{label} {which}: {mean}");
            let dir = tempfile::tempdir().unwrap();
            model.save(dir.path()).unwrap();
            let loaded = Loaders::default().load(model.format(), dir.path()).unwrap();
            assert_eq!(loaded.predict(&fresh()).unwrap(), outputs);
        }
    }
}

#[test]
fn missing_and_unknown_values_have_answers() {
    let model = boosting().train(&args("late")).unwrap().into_model();
    let batch = |miles: Option<f64>, carrier: Option<&str>| {
        let columns: [(&str, ArrayRef); 3] = [
            ("miles", Arc::new(Float64Array::from(vec![miles]))),
            ("carrier", Arc::new(StringArray::from(vec![carrier]))),
            ("hour", Arc::new(Float64Array::from(vec![12.0]))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let features = transform().apply_as(&batch, Takes::CODES).unwrap();
        model.predict(&features).unwrap()[[0, 0]]
    };
    assert_eq!(batch(Some(30.0), Some("XX")), batch(Some(30.0), None));
    assert!(batch(Some(30.0), Some("UA")) > batch(Some(30.0), Some("AA")));
    // Those without miles are late.
    assert!(batch(None, None) > batch(Some(10.0), None) + 0.2);
}

#[test]
fn cancelled_training_keeps_what_is_best() {
    let cancellation = Cancellation::new();
    let cancels = cancellation.clone();
    let meter = Meter::to(move |done, total| {
        assert_eq!(total, Some(1000));
        if done == 2 {
            cancels.cancel();
        }
    });
    let args = args("late").with_tune(dataset("late", 500, 50_000));
    let args = args
        .with_progress(meter)
        .with_cancellation(cancellation.clone());
    let trained = boosting().rounds(1000).train(&args).unwrap();
    assert_eq!(
        (trained.model().n_trees(), codes(&trained)),
        (2, vec!["cancelled"])
    );
    assert_eq!(trained.record().curve.len(), 2);
    // Before the first round there is nothing to keep.
    let error = boosting().train(&args).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert_eq!(
        RandomForest::default().train(&args).unwrap_err().kind(),
        ErrorKind::Cancelled
    );
}

/// A rare class that features tell little of: in 100 rounds trees learn the noise.
#[test]
fn few_rows_choose_the_number_of_rounds() {
    let noisy = |n: usize, from: usize| {
        let rows = rows(n, from);
        let hash =
            |row: usize| (row as u64 + from as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        let rare = (0..n).map(|row| {
            if hash(row).is_multiple_of(16) {
                "yes"
            } else {
                "no"
            }
        });
        let mut columns: Vec<(String, ArrayRef)> = (rows.schema().fields().iter())
            .zip(rows.columns())
            .map(|(field, column)| (field.name().clone(), Arc::clone(column)))
            .collect();
        columns.push((
            "rare".to_owned(),
            Arc::new(StringArray::from_iter_values(rare)),
        ));
        let rows = RecordBatch::try_from_iter(columns).unwrap();
        let examples = Examples::from_batches(rows.schema(), vec![rows]).unwrap();
        let target = Target::classification("rare", ["no", "yes"]).unwrap();
        Dataset::new(examples, transform(), Arc::new(target))
    };
    let args = TrainArgs::new(noisy(2_000, 0));
    let chosen = GradientBoosting::default().train(&args).unwrap();
    let record = chosen.record();
    let best = record.best_iteration.unwrap();
    assert!((1..50).contains(&best), "{best}");
    assert_eq!(chosen.model().n_trees() as u64, best);
    assert_eq!(record.curve.len(), 100);
    let lowest = record
        .curve
        .iter()
        .min_by(|a, b| a.value.total_cmp(&b.value));
    assert_eq!(lowest.unwrap().iteration, best);
    // The model is that of so many rounds, and better than that of a hundred.
    let so_many = GradientBoosting::default().rounds(best as usize);
    let so_many = so_many.train(&args).unwrap().into_model();
    assert_eq!(files(&so_many), files(chosen.model()));
    let table = noisy(2_000, 50_000).table(Takes::CODES).unwrap();
    let loss = |model: &ForestModel| {
        let outputs = model.predict(table.features()).unwrap();
        let rows = outputs.column(0).into_iter().zip(table.labels());
        rows.map(|(p, label)| -(if *label == 1.0 { *p } else { 1.0 - p }).ln())
            .sum::<f64>()
    };
    let all = GradientBoosting::default()
        .rounds(100)
        .train(&args)
        .unwrap();
    assert!(loss(chosen.model()) < 0.95 * loss(all.model()));
    // One that was said, rows to tune by and a model to go on from leave no choice.
    let tuned = args.clone().with_tune(noisy(500, 90_000));
    let tuned = GradientBoosting::default().train(&tuned).unwrap();
    assert!(
        tuned
            .record()
            .curve
            .iter()
            .all(|point| point.name == "tune_log_loss")
    );
    let started = args.with_warm_start(Arc::new(so_many.clone()));
    let started = GradientBoosting::default().train(&started).unwrap();
    assert_eq!(started.model().n_trees(), so_many.n_trees() + 100);
}

#[test]
fn a_warm_start_adds_rounds() {
    let first = boosting().train(&args("late")).unwrap().into_model();
    let twice = boosting()
        .rounds(60)
        .train(&args("late"))
        .unwrap()
        .into_model();
    let again = args("late").with_warm_start(Arc::new(first.clone()));
    let more = boosting().train(&again).unwrap();
    assert!(codes(&more).is_empty());
    assert!(files(more.model()) == files(&twice));
    // Judged on other rows, the old trees are kept, and only rounds that help are added.
    let tuned = again.with_tune(dataset("late", 500, 50_000));
    let tuned = boosting().learning_rate(1.0).train(&tuned).unwrap();
    assert!((30..60).contains(&tuned.model().n_trees()));
    // A model of something else is not misread.
    let other = args("when").with_warm_start(Arc::new(first.clone()));
    let other = boosting().train(&other).unwrap();
    assert_eq!(
        (codes(&other), other.model().n_outputs()),
        (vec!["cold_start"], 3)
    );
    let fewer = Transform::new()
        .one_hot("carrier")
        .number("hour")
        .fit(&[rows(2000, 0)])
        .unwrap();
    let batch = rows(2000, 0);
    let examples = Examples::from_batches(batch.schema(), vec![batch]).unwrap();
    let fewer = TrainArgs::new(Dataset::new(
        examples,
        Arc::new(fewer),
        Arc::new(target("late")),
    ));
    let fewer = boosting()
        .train(&fewer.with_warm_start(Arc::new(first)))
        .unwrap();
    assert_eq!(
        (codes(&fewer), fewer.model().n_trees()),
        (vec!["cold_start"], 30)
    );
}

#[test]
fn a_warm_start_goes_by_name() {
    // Rows without one of the carriers, in another order of the columns, and with a column more.
    let all = rows(2000, 0);
    let carriers = all.column_by_name("carrier").unwrap().as_string::<i32>();
    let keep = |carrier: Option<&str>| carrier.is_none_or(|name| name != "AA");
    let keep = BooleanArray::from_iter(carriers.iter().map(|name| Some(keep(name))));
    let some = filter_record_batch(&all, &keep).unwrap();
    let now = Transform::new()
        .number("hour")
        .one_hot("carrier")
        .number("miles")
        .number("bags");
    let now = Arc::new(now.fit(std::slice::from_ref(&some)).unwrap());
    let examples = Examples::from_batches(some.schema(), vec![some.clone()]).unwrap();
    let dataset = Dataset::new(examples, Arc::clone(&now), Arc::new(target("late")));
    let old = boosting().train(&args("late")).unwrap().into_model();
    let names = transform().features().to_vec();
    let moved = |now: Dataset, rounds: usize| {
        let args = TrainArgs::new(now).with_warm_start_of(Arc::new(old.clone()), names.clone());
        boosting()
            .rounds(rounds)
            .learning_rate(1e-9)
            .train(&args)
            .unwrap()
    };
    // What a round adds is next to nothing: the old trees answer as they did.
    let trained = moved(dataset, 1);
    assert_eq!(
        (codes(&trained), trained.model().n_trees()),
        (vec!["warm_start_by_name"], 31)
    );
    let answers = trained
        .model()
        .predict(&now.apply_as(&some, Takes::CODES).unwrap())
        .unwrap();
    let expected = old
        .predict(&transform().apply_as(&some, Takes::CODES).unwrap())
        .unwrap();
    for (row, (found, expected)) in answers.iter().zip(&expected).enumerate() {
        assert!(
            (found - expected).abs() < 1e-6,
            "row {row}: {found}, must be {expected}"
        );
    }
    // Without a column, it is as if it were missing in each row.
    let fewer = Transform::new().one_hot("carrier").number("hour");
    let fewer = Arc::new(fewer.fit(std::slice::from_ref(&all)).unwrap());
    let examples = Examples::from_batches(all.schema(), vec![all.clone()]).unwrap();
    let trained = moved(
        Dataset::new(examples, Arc::clone(&fewer), Arc::new(target("late"))),
        1,
    );
    let answers = trained
        .model()
        .predict(&fewer.apply_as(&all, Takes::CODES).unwrap())
        .unwrap();
    let nothing: ArrayRef = Arc::new(Float64Array::from(vec![None::<f64>; all.num_rows()]));
    let mut columns = all.columns().to_vec();
    columns[0] = nothing;
    let without = RecordBatch::try_new(all.schema(), columns).unwrap();
    let expected = old
        .predict(&transform().apply_as(&without, Takes::CODES).unwrap())
        .unwrap();
    for (row, (found, expected)) in answers.iter().zip(&expected).enumerate() {
        assert!(
            (found - expected).abs() < 1e-6,
            "row {row}: {found}, must be {expected}"
        );
    }
}

#[test]
fn contributions_add_up_to_the_prediction() {
    let features = fresh();
    for label in ["late", "when", "bags"] {
        let model = boosting().train(&args(label)).unwrap().into_model();
        let parts = model.contributions(&features).unwrap();
        let outputs = model.predict(&features).unwrap();
        assert_eq!(parts.shape(), [700, model.n_outputs(), 4]);
        for row in 0..700 {
            let scores: Vec<f64> = (0..model.n_outputs())
                .map(|output| (0..4).map(|part| parts[[row, output, part]]).sum())
                .collect();
            let expected = match label {
                "bags" => scores[0],
                "late" => 1.0 / (1.0 + (-scores[0]).exp()),
                _ => scores[0].exp() / scores.iter().map(|score| score.exp()).sum::<f64>(),
            };
            assert!((expected - outputs[[row, 0]]).abs() < 1e-6);
        }
    }
    let trained = DecisionTree::default().train(&args("late")).unwrap();
    let parts = trained.model().contributions(&features).unwrap();
    let outputs = trained.model().predict(&features).unwrap();
    assert!(
        (parts.sum_axis(Axis(2)) - &outputs)
            .iter()
            .all(|off| off.abs() < 1e-6)
    );
    let names: Vec<(&str, &str)> = trained
        .record()
        .importances
        .iter()
        .map(|importance| (importance.measure.as_str(), importance.feature.as_str()))
        .collect();
    let features = ["miles", "carrier", "hour"];
    let expected: Vec<(&str, &str)> = ["gain", "splits"]
        .into_iter()
        .flat_map(|measure| features.map(|feature| (measure, feature)))
        .collect();
    assert_eq!(names, expected);
    assert!(
        trained
            .record()
            .importances
            .iter()
            .all(|importance| importance.value > 0.0)
    );
}

#[test]
fn constraints_name_features() {
    let rising = boosting()
        .monotone("hour", Direction::Falling)
        .train(&args("late"))
        .unwrap()
        .into_model();
    let hours: Vec<f64> = (0..240).map(|at| f64::from(at) / 10.0).collect();
    let n = hours.len();
    let columns: [(&str, ArrayRef); 3] = [
        ("miles", Arc::new(Float64Array::from(vec![20.0; n]))),
        ("carrier", Arc::new(StringArray::from(vec!["UA"; n]))),
        ("hour", Arc::new(Float64Array::from(hours))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let features = transform().apply_as(&batch, Takes::CODES).unwrap();
    let falls = |model: &ForestModel| {
        let outputs = model.predict(&features).unwrap();
        outputs
            .iter()
            .zip(outputs.iter().skip(1))
            .all(|(a, b)| b <= a)
    };
    assert!(falls(&rising));
    assert!(!falls(
        &boosting().train(&args("late")).unwrap().into_model()
    ));
    for (trainer, message) in [
        (
            boosting().monotone("hours", Direction::Rising),
            "`monotone` names the unknown feature `hours`; did you mean `hour`?",
        ),
        (
            boosting().monotone("carrier", Direction::Rising),
            "`monotone` names `carrier`, which is not a feature of one number",
        ),
        (
            boosting().interaction(["mile", "hour"]),
            "`interaction` names the unknown feature `mile`; did you mean `miles`?",
        ),
    ] {
        let error = trainer.train(&args("late")).unwrap_err();
        assert_eq!(
            (error.kind(), error.message()),
            (ErrorKind::Config, message)
        );
    }
    assert!(
        boosting()
            .interaction(["miles", "carrier"])
            .train(&args("late"))
            .is_ok()
    );
}

#[test]
fn losses_of_numbers() {
    let labels = rows(700, 100_000);
    let truth = target("bags")
        .encode(labels.column_by_name("bags").unwrap())
        .unwrap();
    let outputs = |loss| {
        boosting()
            .loss(loss)
            .train(&args("bags"))
            .unwrap()
            .into_model()
            .predict(&fresh())
            .unwrap()
    };
    let below = |outputs: Array2<f64>| {
        outputs
            .iter()
            .zip(&truth)
            .filter(|(output, truth)| truth < output)
            .count() as f64
            / 700.0
    };
    assert!((below(outputs(RegressionLoss::Quantile(0.9))) - 0.9).abs() < 0.06);
    let off = |predicted: &dyn Fn(usize) -> f64| {
        (0..700)
            .map(|row| (predicted(row) - truth[row]).abs())
            .sum::<f64>()
    };
    let absolute = outputs(RegressionLoss::Absolute);
    assert!(off(&|row| absolute[[row, 0]]) < 0.6 * off(&|_| 1.0));
    let mean = truth.iter().sum::<f64>() / 700.0;
    for loss in [
        RegressionLoss::Squared,
        RegressionLoss::Poisson,
        RegressionLoss::Tweedie(1.3),
    ] {
        let outputs = outputs(loss);
        assert!(
            (outputs.mean().unwrap() / mean - 1.0).abs() < 0.1,
            "{loss:?}"
        );
        assert!(loss == RegressionLoss::Squared || outputs.iter().all(|output| *output > 0.0));
    }
    let error = boosting()
        .loss(RegressionLoss::Gamma)
        .train(&args("bags"))
        .unwrap_err();
    assert_eq!(
        error.message(),
        "a label is 0, must be above 0 for the loss `Gamma`"
    );
}

#[test]
fn parameters_have_ranges() {
    let boosting = GradientBoosting::default;
    let forest = RandomForest::default;
    let tree = DecisionTree::default;
    let stages: Vec<(Box<dyn Stage>, &str)> = vec![
        (
            Box::new(boosting().rounds(0)),
            "`rounds` is 0, must be from 1 to 100000",
        ),
        (
            Box::new(boosting().learning_rate(f64::NAN)),
            "`learning_rate` is NaN, must be above 0 and at most 1",
        ),
        (
            Box::new(boosting().max_depth(0)),
            "`max_depth` is 0, must be from 1 to 512",
        ),
        (
            Box::new(boosting().min_rows_leaf(0)),
            "`min_rows_leaf` is 0, must be from 1 to 4294967296",
        ),
        (
            Box::new(boosting().l2(-1.0)),
            "`l2` is -1, must be from 0 to 1000000000000",
        ),
        (
            Box::new(boosting().max_bins(255)),
            "`max_bins` is 255, must be from 2 to 254",
        ),
        (
            Box::new(boosting().row_fraction(0.0)),
            "`row_fraction` is 0, must be above 0 and at most 1",
        ),
        (
            Box::new(boosting().patience(0)),
            "`patience` is 0, must be from 1 to 100000",
        ),
        (
            Box::new(boosting().loss(RegressionLoss::Quantile(1.0))),
            "`loss` is the quantile 1, must be above 0 and below 1",
        ),
        (
            Box::new(boosting().loss(RegressionLoss::Tweedie(2.0))),
            "`loss` is Tweedie of power 2, must be above 1 and below 2",
        ),
        (
            Box::new(forest().trees(0)),
            "`trees` is 0, must be from 1 to 10000",
        ),
        (
            Box::new(tree().max_depth(65)),
            "`max_depth` is 65, must be from 1 to 64",
        ),
    ];
    for (stage, message) in stages {
        let error = stage.check().unwrap_err();
        assert_eq!(
            (error.kind(), error.message()),
            (ErrorKind::Config, message)
        );
    }
}

#[test]
fn the_out_of_bag_score_is_that_of_fresh_rows() {
    let trained = RandomForest::default()
        .trees(60)
        .train(&args("late"))
        .unwrap();
    let [point] = trained.record().curve.as_slice() else {
        panic!("one score");
    };
    assert_eq!(
        (point.name.as_str(), point.iteration),
        ("out_of_bag_log_loss", 60)
    );
    let outputs = trained.model().predict(&fresh()).unwrap();
    let truth = target("late")
        .encode(rows(700, 100_000).column_by_name("late").unwrap())
        .unwrap();
    let losses = outputs.iter().zip(&truth).map(|(share, truth)| {
        let share = if *truth == 1.0 { *share } else { 1.0 - share };
        -share.max(1e-9).ln()
    });
    let fresh = losses.sum::<f64>() / 700.0;
    assert!(
        (point.value - fresh).abs() < 0.12,
        "{} {fresh}",
        point.value
    );
}

#[test]
fn a_damaged_file_is_an_error() {
    let model = DecisionTree::default()
        .train(&args("late"))
        .unwrap()
        .into_model();
    let dir = tempfile::tempdir().unwrap();
    model.save(dir.path()).unwrap();
    let path: &Path = dir.path();
    let mut bytes = std::fs::read(path.join("forest.bin")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path.join("forest.bin"), bytes).unwrap();
    let error = ForestModel::load(path, &Loaders::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

/// What a release wrote that saved forests as JSON, and its answers bit by bit.
#[test]
fn forests_of_the_first_format_answer_as_they_did() {
    let stored = r#"{"n_features":2,"n_outputs":2,"combine":{"sum":{"base":[0.1,-0.2],"link":"identity"}},"trees":[
        {"features":[1,-1,0,-1,-1],"thresholds":[0.5,-1.25],"children":[[1,2],[3,4]],"outputs":[0.3,0.7,-0.1,0.2,1e-3,5.5]},
        {"features":[-1],"thresholds":[],"children":[],"outputs":[0.025,-0.75]}]}"#;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("forest.json"), stored).unwrap();
    let model = Loaders::default()
        .load("fourfold.forest.v1", dir.path())
        .unwrap();
    let features = fourfold::ndarray::array![[0.0_f32, 0.5], [-1.25, 0.75], [-1.0, 0.75]];
    let outputs = model.predict(&features.into()).unwrap();
    let expected = fourfold::ndarray::array![
        [0.1 + 0.3 + 0.025, -0.2 + 0.7 + -0.75],
        [0.1 + -0.1 + 0.025, -0.2 + 0.2 + -0.75],
        [0.1 + 1e-3 + 0.025, -0.2 + 5.5 + -0.75],
    ];
    assert_eq!(outputs, expected);
}

/// With Newton steps of any length, the log loss of these carriers, one of which has one flight, is 29 after 100 rounds.
#[tokio::test]
async fn the_loss_of_rare_classes_does_not_grow() {
    use fourfold::prelude::*;

    let outcome = Pipeline::builder("carriers")
        .data(
            FileSource::parquet(crate::support::JANUARY)
                .label("carrier")
                .exclude(["tailnum"]),
        )
        .train(GradientBoosting::new())
        .evaluate(Thresholds::new().at_most("log_loss", 0.1))
        .serve(InProcess::new())
        .build()
        .unwrap()
        .run()
        .await
        .unwrap();
    assert!(
        outcome.run().verdict.is_blessed(),
        "{}",
        outcome.run().verdict
    );
}
