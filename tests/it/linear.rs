//! Linear models, and what stands around a trainer, on rows that were not trained on.

use std::sync::Arc;

use fourfold::Cancellation;
use fourfold::accumulate::Accumulate;
use fourfold::arrow::array::{ArrayRef, AsArray, Float64Array, RecordBatch, StringArray};
use fourfold::arrow::datatypes::Float64Type;
use fourfold::examples::Examples;
use fourfold::features::{Features, Takes};
use fourfold::model::{
    AnyModel, BaggedModel, CalibratedModel, ClassWeights, ConformalModel, ConformalSetsModel,
    EnsembleModel, LinearModel, Link, Target, Weighting,
};
use fourfold::ndarray::{Array2, Array3, Axis, array};
use fourfold::prelude::*;
use fourfold::progress::Meter;
use fourfold::statistics::StatisticsAccumulator;
use fourfold::training::{
    Bagged, Calibrated, CalibrationMethod, Conformal, ConformalSets, Dataset, Explained,
    GeneralizedLinear, StreamingLogistic,
};

/// Numbers between 0 and 1, the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.next()).ln()).sqrt() * (std::f64::consts::TAU * self.next()).cos()
    }
}

const GROUPS: [&str; 4] = ["a", "b", "c", "d"];

/// `x` tells the labels, `noise` does not, `group` moves them. `amount` is `1 + 2 x` and scatters by group, `count` is of
/// mean `exp(0.5 + 0.6 x)`, `rare` is true of a tenth of the rows.
fn rows(n: usize, seed: u64) -> RecordBatch {
    let mut random = Random(seed);
    let (mut x, mut noise, mut group) = (Vec::new(), Vec::new(), Vec::new());
    let (mut amount, mut count, mut rare) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..n {
        let value = random.normal();
        let place = (random.next() * 4.0) as usize;
        amount.push(1.0 + 2.0 * value + 0.3 * (1 + place * place) as f64 * random.normal());
        let mean = (0.5 + 0.6 * value).exp();
        let (mut events, mut time) = (0.0, -(1.0 - random.next()).ln());
        while time < mean {
            events += 1.0;
            time -= (1.0 - random.next()).ln();
        }
        count.push(events);
        let score = -3.0 + 1.5 * value + if place == 3 { 1.0 } else { 0.0 };
        let is_rare = random.next() < 1.0 / (1.0 + (-score).exp());
        rare.push(if is_rare { "yes" } else { "no" });
        x.push(value);
        noise.push(random.normal());
        group.push(GROUPS[place]);
    }
    let columns: [(&str, ArrayRef); 6] = [
        ("x", Arc::new(Float64Array::from(x))),
        ("noise", Arc::new(Float64Array::from(noise))),
        ("group", Arc::new(StringArray::from(group))),
        ("amount", Arc::new(Float64Array::from(amount))),
        ("count", Arc::new(Float64Array::from(count))),
        ("rare", Arc::new(StringArray::from(rare))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn number(label: &str) -> Target {
    Target::regression(label)
}

fn rare() -> Target {
    Target::classification("rare", ["no", "yes"]).unwrap()
}

fn dataset(rows: &RecordBatch, target: Target) -> Dataset {
    let transform = Transform::new()
        .z_score("x")
        .z_score("noise")
        .one_hot("group");
    let fitted = transform.fit(std::slice::from_ref(rows)).unwrap();
    let examples = Examples::from_batches(rows.schema(), vec![rows.clone()]).unwrap();
    Dataset::new(examples, Arc::new(fitted), Arc::new(target))
}

/// The same rows' features and labels behind the transform of a dataset.
fn fresh(like: &Dataset, rows: &RecordBatch) -> (Features, Vec<f64>) {
    let examples = Examples::from_batches(rows.schema(), vec![rows.clone()]).unwrap();
    let other = like.clone().with_examples(examples);
    let table = other.table(Takes::FINITE).unwrap();
    (table.features().clone(), table.labels().to_vec())
}

fn saved_and_loaded<M: Model>(model: &M) -> M {
    let dir = tempfile::tempdir().unwrap();
    model.save(dir.path()).unwrap();
    M::load(dir.path(), &Loaders::default()).unwrap()
}

#[test]
fn intervals_cover_as_often_as_they_say() {
    let train = dataset(&rows(8_000, 1), number("amount"));
    let test = rows(40_000, 2);
    let (features, labels) = fresh(&train, &test);
    let args = TrainArgs::new(train);
    let group = test.column_by_name("group").unwrap();
    let group = group.as_any().downcast_ref::<StringArray>().unwrap();
    let coverage = |model: &ConformalModel, only: Option<&str>| {
        let ends = model.intervals(&features).unwrap();
        let rows =
            (0..labels.len()).filter(|row| only.is_none_or(|name| group.value(*row) == name));
        let inside: Vec<f64> = rows
            .map(|row| {
                f64::from(u8::from(
                    (ends[[row, 0]]..=ends[[row, 1]]).contains(&labels[row]),
                ))
            })
            .collect();
        inside.iter().sum::<f64>() / inside.len() as f64
    };
    // Of 1,600 rows to tune by, the coverage lies within three deviations: 3 * sqrt(0.9 * 0.1 / 1600).
    for wanted in [0.5, 0.9] {
        let one = Conformal::new(LinearRegression::default(), wanted);
        let model = one.train(&args).unwrap().into_model();
        assert!(
            (coverage(&model, None) - wanted).abs() < 0.04,
            "{}",
            coverage(&model, None)
        );
        assert!((coverage(&saved_and_loaded(&model), None) - coverage(&model, None)).abs() < 1e-12);
        // Rows of a group that scatters little are covered too often, and of one that does, too rarely.
        assert!(coverage(&model, Some("a")) > wanted + 0.08);
        assert!(coverage(&model, Some("d")) < wanted - 0.08);
        let apart = one.per_group("group").train(&args).unwrap().into_model();
        for name in GROUPS {
            let found = coverage(&apart, Some(name));
            assert!((found - wanted).abs() < 0.085, "{name}: {found}");
        }
    }
    let few = TrainArgs::new(dataset(&rows(60, 3), number("amount")));
    let error = Conformal::new(LinearRegression::default(), 0.99)
        .train(&few)
        .unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("are too few for intervals of coverage 0.99, must be at least 99"),
        "{error}"
    );
}

/// Like [`rows`] of a label of three classes, which `x` tells, in group `d` hardly.
fn kinds(n: usize, seed: u64) -> RecordBatch {
    let mut random = Random(seed);
    let plain = rows(n, seed + 1);
    let x = plain["x"].as_primitive::<Float64Type>().values();
    let group = plain["group"].as_string::<i32>();
    let kinds = (0..n).map(|row| {
        let steep = if group.value(row) == "d" { 0.3 } else { 2.5 };
        let odds = [-steep * x[row], 0.0, steep * x[row]].map(f64::exp);
        let place = random.next() * odds.iter().sum::<f64>();
        match (place < odds[0], place < odds[0] + odds[1]) {
            (true, _) => "low",
            (_, true) => "middle",
            _ => "high",
        }
    });
    let kinds: ArrayRef = Arc::new(StringArray::from_iter_values(kinds));
    let names = ["x", "noise", "group"];
    let columns = names.map(|name| (name, Arc::clone(&plain[name])));
    RecordBatch::try_from_iter(columns.into_iter().chain([("kind", kinds)])).unwrap()
}

#[test]
fn sets_cover_as_often_as_they_say() {
    let kind = || Target::classification("kind", ["high", "low", "middle"]).unwrap();
    let train = dataset(&kinds(8_000, 11), kind());
    let test = kinds(40_000, 12);
    let (features, labels) = fresh(&train, &test);
    let args = TrainArgs::new(train);
    let group = test["group"].as_string::<i32>();
    let accuracy = {
        let model = LogisticRegression::default().train(&args).unwrap();
        let outputs = model.model().predict(&features).unwrap();
        let right = outputs.rows().into_iter().zip(&labels);
        let right = right.filter(|(row, label)| {
            let label = row[**label as usize];
            row.iter().all(|other| *other <= label)
        });
        right.count() as f64 / labels.len() as f64
    };
    assert!(accuracy < 0.75, "{accuracy}");
    // The shares of rows whose label is in the set, of all rows or those of a group, and how large sets are.
    let coverage = |model: &ConformalSetsModel, only: Option<&str>| {
        let (outputs, sets) = model.predict_with_extras(&features).unwrap();
        assert_eq!(outputs, model.predict(&features).unwrap());
        let rows =
            (0..labels.len()).filter(|row| only.is_none_or(|name| group.value(*row) == name));
        let (mut covered, mut classes, mut n) = (0.0, 0.0, 0.0);
        for row in rows {
            let set = sets.row(row);
            assert!(set.iter().all(|is_in| [0.0, 1.0].contains(is_in)) && set.sum() > 0.0);
            covered += set[labels[row] as usize];
            classes += set.sum();
            n += 1.0;
        }
        (covered / n, classes / n)
    };
    // As of intervals: three deviations of 1,600 rows to tune by.
    for wanted in [0.8, 0.9] {
        let one = ConformalSets::new(LogisticRegression::default(), wanted);
        let model = one.train(&args).unwrap().into_model();
        assert_eq!(model.extras(), ["set_high", "set_low", "set_middle"]);
        let (found, size) = coverage(&model, None);
        assert!((found - wanted).abs() < 0.035, "{found} of {wanted}");
        assert!(1.0 < size && size < 2.5, "{size} classes");
        assert_eq!(coverage(&saved_and_loaded(&model), None), (found, size));
        assert!(coverage(&model, Some("d")).0 < wanted - 0.04);
        let apart = one.per_group("group").train(&args).unwrap().into_model();
        for name in GROUPS {
            let (found, _) = coverage(&apart, Some(name));
            assert!((found - wanted).abs() < 0.075, "{name}: {found}");
        }
    }

    // Of two classes a model has one output, and a set of each.
    let train = dataset(&rows(8_000, 1), rare());
    let (features, labels) = fresh(&train, &rows(40_000, 2));
    let args = TrainArgs::new(train);
    let trainer = ConformalSets::new(LogisticRegression::default(), 0.97);
    let model = trainer.train(&args).unwrap().into_model();
    let (_, sets) = model.predict_with_extras(&features).unwrap();
    let covered = sets.rows().into_iter().zip(&labels);
    let covered: f64 = covered.map(|(set, label)| set[*label as usize]).sum();
    let covered = covered / labels.len() as f64;
    assert!((covered - 0.97).abs() < 0.015, "{covered}");

    let few = TrainArgs::new(dataset(&rows(60, 3), rare()));
    let error = |coverage| {
        let trainer = ConformalSets::new(LogisticRegression::default(), coverage);
        trainer.train(&few).unwrap_err().to_string()
    };
    let ending = "are too few for sets of coverage 0.99, must be at least 99";
    assert!(error(0.99).ends_with(ending), "{}", error(0.99));
    let numbers = TrainArgs::new(dataset(&rows(60, 3), number("amount")));
    let error = ConformalSets::new(LinearRegression::default(), 0.9).train(&numbers);
    assert_eq!(
        error.unwrap_err().to_string(),
        "label `amount` defines a regression task, but sets require classes: `Conformal` makes intervals"
    );
}

#[test]
fn calibrated_probabilities_mean_what_they_say() {
    let train_rows = rows(20_000, 4);
    let statistics = {
        let mut accumulator = StatisticsAccumulator::new(&train_rows.schema());
        accumulator.update(&train_rows).unwrap();
        accumulator.finish()
    };
    let label = statistics.column("rare").unwrap();
    let weighting = Weighting::new(Some(&ClassWeights::Balanced), &rare(), label).unwrap();
    let train = dataset(&train_rows, rare()).weighted(weighting);
    let (features, labels) = fresh(&train, &rows(40_000, 5));
    let args = TrainArgs::new(train);
    let share = labels.iter().sum::<f64>() / labels.len() as f64;
    // Mean absolute distance of a decile's mean probability from its share of positives.
    let error = |outputs: &Array2<f64>| {
        let mut rows: Vec<(f64, f64)> = outputs
            .iter()
            .copied()
            .zip(labels.iter().copied())
            .collect();
        rows.sort_by(|a, b| a.0.total_cmp(&b.0));
        let bins = rows.chunks(rows.len() / 10);
        let off = bins.map(|bin| {
            let n = bin.len() as f64;
            (bin.iter().map(|row| row.0 - row.1).sum::<f64>() / n).abs()
        });
        off.sum::<f64>() / 10.0
    };
    let balanced = LogisticRegression::default();
    let raw = balanced
        .train(&args)
        .unwrap()
        .into_model()
        .predict(&features)
        .unwrap();
    assert!(
        raw.mean().unwrap() > share + 0.2,
        "balanced classes shift probabilities"
    );
    for method in [CalibrationMethod::Sigmoid, CalibrationMethod::Isotonic] {
        let trainer = Calibrated::new(balanced.clone()).method(method);
        let model: CalibratedModel = trainer.train(&args).unwrap().into_model();
        let outputs = model.predict(&features).unwrap();
        assert!((outputs.mean().unwrap() - share).abs() < 0.01, "{method:?}");
        assert!(
            error(&outputs) < 0.015 && error(&raw) > 0.1,
            "{method:?} {}",
            error(&outputs)
        );
        assert_eq!(
            saved_and_loaded(&model).predict(&features).unwrap(),
            outputs
        );
    }
}

#[test]
fn a_bag_predicts_each_row_out_of_its_fold() {
    let train = dataset(&rows(3_000, 6), rare());
    let (features, _) = fresh(&train, &rows(500, 7));
    let bagged = Bagged::new(LogisticRegression::default()).folds(4);
    let (trained, out_of_fold) = bagged.train_out_of_fold(&TrainArgs::new(train)).unwrap();
    let model: &BaggedModel = trained.model();
    assert_eq!((model.models().len(), out_of_fold.labels.len()), (4, 3_000));
    assert_eq!(out_of_fold.outputs.dim(), (3_000, 1));
    assert!((0..4).all(|fold| out_of_fold.folds.iter().filter(|own| **own == fold).count() > 500));
    let mean = model
        .models()
        .iter()
        .map(|model| model.predict(&features).unwrap());
    let mean = mean.reduce(|a, b| a + b).unwrap() / 4.0;
    let outputs = model.predict(&features).unwrap();
    assert!((&outputs - &mean).iter().all(|off| off.abs() < 1e-12));
    assert_eq!(saved_and_loaded(model).predict(&features).unwrap(), outputs);
}

#[test]
fn shuffling_tells_what_matters() {
    let args = TrainArgs::new(dataset(&rows(6_000, 8), rare())).with_seed(1);
    let trained = Explained::new(LogisticRegression::default())
        .train(&args)
        .unwrap();
    let value = |feature: &str, measure: &str| {
        let mut found = trained.record().importances.iter();
        found
            .find(|it| it.feature == feature && it.measure == measure)
            .unwrap()
            .value
    };
    let of = |feature: &str| value(feature, "permutation");
    assert!(
        of("x") > 5.0 * of("group") && of("group") > 0.0,
        "{} {}",
        of("x"),
        of("group")
    );
    assert!(of("noise").abs() < 0.01 && of("noise").abs() < of("group"));
    assert!(value("x", "permutation_deviation") < 0.2 * of("x"));
    // Mean absolute contributions, and the parts of the first row.
    let size = |column: &str| value(column, "contribution");
    assert!(size("x") > size("group") && size("group") > size("noise"));
    let row = trained.record().explained.as_ref().unwrap();
    assert_eq!(row.names.last().map(String::as_str), Some("base"));
    assert_eq!(
        (row.outputs.len(), row.outputs[0].len()),
        (1, row.names.len())
    );
    let again = Explained::new(LogisticRegression::default())
        .train(&args)
        .unwrap();
    assert_eq!(again.record().importances, trained.record().importances);
}

#[test]
fn counts_by_a_generalized_linear_model() {
    let train = dataset(&rows(20_000, 9), number("count"));
    let args = TrainArgs::new(train);
    let model = GeneralizedLinear::poisson()
        .penalty(0.0)
        .train(&args)
        .unwrap()
        .into_model();
    assert_eq!(model.link(), Link::Log);
    // By the z-score of `x`, whose deviation is 1.
    assert!((model.weights()[0][0] - 0.6).abs() < 0.02, "{model:?}");
    let (features, labels) = fresh(args.train(), &rows(20_000, 10));
    let mean = model.predict(&features).unwrap().mean().unwrap();
    let wanted = labels.iter().sum::<f64>() / labels.len() as f64;
    assert!((mean / wanted - 1.0).abs() < 0.03, "{mean} {wanted}");
    let error = GeneralizedLinear::gamma().train(&args).unwrap_err();
    assert_eq!(
        error.to_string(),
        "label `count` is 0 in a row, must be above 0 for gamma_regression"
    );
}

#[test]
fn a_model_has_the_same_bits_on_any_number_of_threads_and_as_columns() {
    let train = dataset(&rows(30_000, 11), rare());
    let on = |threads| {
        let args = TrainArgs::new(train.clone()).with_threads(threads);
        LogisticRegression::default()
            .train(&args)
            .unwrap()
            .into_model()
    };
    let model = on(1);
    assert!(model == on(2) && model == on(5));
    let codes = train
        .table(Takes {
            missing: false,
            ..Takes::CODES
        })
        .unwrap();
    let matrix = train.table(Takes::FINITE).unwrap();
    let outputs = model.predict(matrix.features()).unwrap();
    assert_eq!(model.predict(codes.features()).unwrap(), outputs);
    // `x`, `noise`, `group`, and the mean row.
    let parts = model.contributions(codes.features()).unwrap();
    assert_eq!(parts.dim(), (30_000, 1, 4));
    for (row, output) in outputs.iter().enumerate().step_by(997) {
        let score: f64 = (0..4).map(|part| parts[[row, 0, part]]).sum();
        assert!((1.0 / (1.0 + (-score).exp()) - output).abs() < 1e-9);
    }
}

#[test]
fn a_start_from_the_previous_model_and_a_stop_in_the_middle() {
    let train = dataset(&rows(20_000, 12), rare());
    let args = TrainArgs::new(train);
    let logistic = LogisticRegression::default();
    let cold = logistic.train(&args).unwrap();
    let next = args.clone().with_warm_start(Arc::new(cold.model().clone()));
    let warm = logistic.train(&next).unwrap();
    assert!(cold.record().curve.len() > 3 && warm.record().curve.len() <= 1);
    let falls = cold
        .record()
        .curve
        .windows(2)
        .all(|pair| pair[1].value < pair[0].value);
    assert!(falls, "{:?}", cold.record().curve);

    let cancellation = Cancellation::new();
    let flag = cancellation.clone();
    let stop = args
        .with_cancellation(cancellation)
        .with_progress(Meter::to(move |done, _| {
            if done == 2 {
                flag.cancel();
            }
        }));
    let stopped = logistic.train(&stop).unwrap();
    assert_eq!(stopped.record().curve.len(), 2);
    assert_eq!(stopped.record().curve[1], cold.record().curve[1]);
    assert_eq!(stopped.record().warnings[0].code, "cancelled");
    assert_ne!(stopped.model(), cold.model());
}

/// Rows that come in many batches give what they give at once, up to the order of sums.
#[test]
fn rows_in_batches_are_the_rows() {
    let rows = rows(5_000, 13);
    let whole = dataset(&rows, number("amount"));
    let cuts = [0, 1, 900, 2_600, 5_000];
    let batches = cuts
        .windows(2)
        .map(|cut| rows.slice(cut[0], cut[1] - cut[0]));
    let examples = Examples::from_batches(rows.schema(), batches.collect()).unwrap();
    let cut = whole.clone().with_examples(examples);
    for trainer in [
        LinearRegression::default(),
        LinearRegression::default().penalty(0.05).l1_ratio(1.0),
    ] {
        let of = |rows: &Dataset| {
            trainer
                .train(&TrainArgs::new(rows.clone()))
                .unwrap()
                .into_model()
        };
        let (one, other) = (of(&whole), of(&cut));
        let pairs = one.weights()[0].iter().zip(&other.weights()[0]);
        assert!(
            pairs.clone().all(|(a, b)| (a - b).abs() < 1e-5),
            "{one:?} {other:?}"
        );
        assert!((one.weights()[0][0] - 2.0).abs() < 0.2, "{one:?}");
    }
}

#[test]
fn classes_learned_row_by_row() {
    let train = dataset(&rows(20_000, 14), rare());
    let args = TrainArgs::new(train.clone()).with_seed(3);
    let (features, labels) = fresh(&train, &rows(20_000, 15));
    let loss = |model: &LinearModel| {
        let outputs = model.predict(&features).unwrap();
        let rows = outputs.iter().zip(&labels);
        let sum: f64 = rows
            .map(|(p, y)| -(if *y == 1.0 { *p } else { 1.0 - p }).ln())
            .sum();
        sum / labels.len() as f64
    };
    let best = LogisticRegression::default()
        .train(&args)
        .unwrap()
        .into_model();
    let streaming = StreamingLogistic::default();
    let model = streaming.train(&args).unwrap().into_model();
    assert!(
        loss(&model) < loss(&best) + 0.003,
        "{} {}",
        loss(&model),
        loss(&best)
    );
    assert_eq!(streaming.train(&args).unwrap().model(), &model);
    // From the best model it stays near it, in one epoch.
    let next = args.with_warm_start(Arc::new(best.clone()));
    let warm = streaming.epochs(1).train(&next).unwrap().into_model();
    assert!(
        loss(&warm) < loss(&best) + 0.002,
        "{} {}",
        loss(&warm),
        loss(&best)
    );
}

/// The weights go by name, whatever the order of features, which are there and which are new.
#[test]
fn a_start_from_other_features_never_misaligns() {
    let train = dataset(&rows(20_000, 16), rare());
    let args = TrainArgs::new(train.clone());
    let logistic = LogisticRegression::default();
    let cold = logistic.train(&args).unwrap();
    let end = cold.record().curve.last().unwrap().value;
    let names = train.feature_names().to_vec();
    let one_step = |weights: Vec<f64>, names: Vec<String>| {
        let weights = Array2::from_shape_vec((1, names.len()), weights).unwrap();
        let intercepts = cold.model().intercepts().to_vec().into();
        let model = LinearModel::new(Link::Logistic, &weights, &intercepts).unwrap();
        let args = args.clone().with_warm_start_of(Arc::new(model), names);
        logistic.clone().max_iterations(1).train(&args).unwrap()
    };
    let own = cold.model().weights()[0].clone();
    let reversed = one_step(
        own.iter().rev().copied().collect(),
        names.iter().rev().cloned().collect(),
    );
    assert!(
        (reversed
            .record()
            .curve
            .first()
            .map_or(end, |point| point.value)
            - end)
            .abs()
            < 1e-6
    );
    assert!(
        reversed
            .record()
            .warnings
            .iter()
            .all(|warning| warning.code != "warm_start_by_name")
    );

    // One feature is gone and another is new: the rest still helps.
    let mut other_names = names.clone();
    other_names[0] = "height_zscore".to_owned();
    let changed = one_step(own, other_names);
    let warning = &changed.record().warnings[0];
    assert_eq!(warning.code, "warm_start_by_name");
    assert!(
        warning
            .message
            .ends_with(&format!("1 of {} are new, 1 no longer exist", names.len())),
        "{}",
        warning.message
    );
    // A trainer that does not ask by name gets none.
    let next = args.with_warm_start_of(Arc::new(cold.model().clone()), vec!["x".to_owned()]);
    assert!(next.warm_start::<LinearModel>().is_none());
}

#[test]
fn a_model_saved_without_means_loads_with_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    let text =
        r#"{"link": "logistic", "n_features": 2, "intercepts": [0.5], "weights": [[1.25, -3.0]]}"#;
    std::fs::write(dir.path().join("linear.json"), text).unwrap();
    let model = LinearModel::load(dir.path(), &Loaders::default()).unwrap();
    let features: Features = fourfold::ndarray::array![[2.0_f32, 1.0]].into();
    // The score is exactly 0.
    assert_eq!(model.predict(&features).unwrap()[[0, 0]], 0.5);
    assert!(model.means().is_empty());
    model.save(dir.path()).unwrap();
    let saved = std::fs::read_to_string(dir.path().join("linear.json")).unwrap();
    assert!(!saved.contains("means"), "{saved}");
}

/// The files of a release that wrote `fourfold.conformal.v1`, and its intervals.
#[test]
fn intervals_of_the_first_format_load_with_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &str| {
        let path = dir.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let margins = r#"{"coverage":0.9,"overall":0.5,"by_feature":{"1":0.25},"has_band":true}"#;
    write("margins.json", margins);
    for (name, intercept) in [("model", "1.0"), ("low", "-0.5"), ("high", "2.5")] {
        let model = format!(
            r#"{{"link":"identity","n_features":2,"intercepts":[{intercept}],"weights":[[2.0,1.0]]}}"#
        );
        write(&format!("{name}/linear.json"), &model);
        write(&format!("{name}/format.json"), r#""fourfold.linear.v1""#);
    }
    let model = ConformalModel::load(dir.path(), &Loaders::default()).unwrap();
    assert_eq!(model.coverage(), 0.9);
    // The second row is of the group with a margin of its own.
    let features: Features = array![[0.5_f32, 0.0], [0.5, 1.0]].into();
    let (outputs, ends) = model.predict_with_extras(&features).unwrap();
    assert_eq!(outputs, array![[2.0], [3.0]]);
    assert_eq!(ends, array![[0.0, 4.0], [1.25, 4.75]]);
    assert_eq!(saved_and_loaded(&model).intervals(&features).unwrap(), ends);
    write("margins.json", &margins.replace("\"1\"", "\"7\""));
    assert!(ConformalModel::load(dir.path(), &Loaders::default()).is_err());
}

/// Whether contributions add up to these numbers.
fn add_up(contributions: &Array3<f64>, to: &Array2<f64>) -> bool {
    let sums = contributions.sum_axis(Axis(2));
    (&sums - to).iter().all(|off| off.abs() < 1e-6)
}

#[test]
fn contributions_of_models_around_models() {
    let amounts = dataset(&rows(3_000, 31), number("amount"));
    let (features, _) = fresh(&amounts, &rows(200, 32));
    let args = TrainArgs::new(amounts);
    let linear = LinearRegression::default;

    let intervals = Conformal::new(linear(), 0.9).train(&args).unwrap();
    let intervals = intervals.into_model();
    let found = intervals.contributions(&features).unwrap();
    assert!(add_up(&found, &intervals.predict(&features).unwrap()));
    let bag = Bagged::new(linear()).train(&args).unwrap().into_model();
    let found = bag.contributions(&features).unwrap();
    assert!(add_up(&found, &bag.predict(&features).unwrap()));

    let args = TrainArgs::new(dataset(&rows(3_000, 33), rare()));
    let logistic = LogisticRegression::default;
    let margin = |model: &dyn Predict| {
        assert_eq!(model.link(), Link::Logistic);
        model
            .predict(&features)
            .unwrap()
            .mapv(|p| (p / (1.0 - p)).ln())
    };
    let sets = ConformalSets::new(logistic(), 0.9).train(&args).unwrap();
    let sets = sets.into_model();
    assert!(add_up(
        &sets.contributions(&features).unwrap(),
        &margin(&sets)
    ));
    // Of probabilities, the mean of the log odds.
    let bag = Bagged::new(logistic())
        .folds(2)
        .train(&args)
        .unwrap()
        .into_model();
    let odds = bag.models().iter().map(|model| margin(model));
    let odds = odds.reduce(|a, b| a + b).unwrap() / 2.0;
    assert!(add_up(&bag.contributions(&features).unwrap(), &odds));

    // Log odds and probabilities have no mean.
    let of = |link| LinearModel::new(link, &array![[1.0, 2.0]], &array![0.5]).unwrap();
    let models = [Link::Logistic, Link::Identity].map(|link| AnyModel::new(of(link)));
    let mixed = BaggedModel::new(models.to_vec()).unwrap();
    let error = mixed.contributions(&array![[1.0_f32, 2.0]].into());
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn contributions_of_an_ensemble_are_those_of_raw_columns() {
    let train = rows(3_000, 35);
    let behind = |transform: Transform| {
        let fitted = Arc::new(transform.fit(std::slice::from_ref(&train)).unwrap());
        let examples = Examples::from_batches(train.schema(), vec![train.clone()]).unwrap();
        let target = Arc::new(number("amount"));
        let args = TrainArgs::new(Dataset::new(examples, Arc::clone(&fitted), target));
        let model = LinearRegression::default().train(&args).unwrap();
        (fitted, AnyModel::new(model.into_model()))
    };
    let (both, first) = behind(Transform::new().z_score("x").one_hot("group"));
    let (alone, second) = behind(Transform::new().z_score("x"));
    let fresh = rows(100, 36);
    // The columns of the first transform are all that there are.
    let raw = both.apply_as(&fresh, Takes::ROWS).unwrap();
    let members = [
        (Arc::clone(&both), first.clone(), 3.0),
        (alone, second, 1.0),
    ];
    let model = EnsembleModel::new(members).unwrap();
    let found = model.contributions(&raw).unwrap();
    assert_eq!(found.dim(), (100, 1, 3));
    assert!(add_up(&found, &model.predict(&raw).unwrap()));
    // Only the first model sees the group.
    let of_first = first
        .contributions(&both.apply_as(&fresh, Takes::FINITE).unwrap())
        .unwrap();
    let group = raw.rows().unwrap().schema().index_of("group").unwrap();
    for row in 0..100 {
        assert!((found[[row, 0, group]] - 0.75 * of_first[[row, 0, 1]]).abs() < 1e-12);
    }
}
