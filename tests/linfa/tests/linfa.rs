//! Estimators of linfa as trainers.

use std::sync::Arc;

use fourfold::arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use fourfold::conformance;
use fourfold::examples::Examples;
use fourfold::features::Features;
use fourfold::model::{LinfaEstimator, LinfaModel, Loaders, Model, Predict, Target, Weighting};
use fourfold::ndarray::Array2;
use fourfold::training::{Dataset, Linfa, TrainArgs, Trainer};
use fourfold::transform::{FittedTransform, Transform};
use fourfold::{Cancellation, Error, ErrorKind, Stage};
use linfa_bayes::{GaussianNb, GaussianNbParams, NaiveBayesError};
use linfa_linear::{FittedLinearRegression, LinearError, LinearRegression};
use serde::Serialize;

#[derive(Serialize)]
struct NaiveBayes {
    var_smoothing: f64,
}

impl LinfaEstimator for NaiveBayes {
    const NAME: &'static str = "naive_bayes";
    const FORMAT: &'static str = "test.naive_bayes.v1";
    type Float = f64;
    type Label = usize;
    type Error = NaiveBayesError;
    type Params = GaussianNbParams<f64, usize>;
    type Fitted = GaussianNb<f64, usize>;

    fn params(&self, _seed: u64) -> Self::Params {
        GaussianNb::params().var_smoothing(self.var_smoothing)
    }
}

/// In the other of the two floats.
#[derive(Serialize)]
struct LeastSquares;

impl LinfaEstimator for LeastSquares {
    const NAME: &'static str = "least_squares";
    const FORMAT: &'static str = "test.least_squares.v1";
    type Float = f32;
    type Label = f32;
    type Error = LinearError<f32>;
    type Params = LinearRegression;
    type Fitted = FittedLinearRegression<f32>;

    fn params(&self, _seed: u64) -> Self::Params {
        LinearRegression::new()
    }
}

#[derive(Serialize)]
struct Panics;

impl LinfaEstimator for Panics {
    const NAME: &'static str = "panics";
    const FORMAT: &'static str = "fourfold.panics.v1";
    type Float = f64;
    type Label = usize;
    type Error = NaiveBayesError;
    type Params = GaussianNbParams<f64, usize>;
    type Fitted = GaussianNb<f64, usize>;

    fn params(&self, seed: u64) -> Self::Params {
        panic!("no parameters for seed {seed}")
    }
}

const N: u64 = 60;

fn bayes() -> Linfa<NaiveBayes> {
    Linfa::new(NaiveBayes {
        var_smoothing: 1e-9,
    })
}

fn class(i: u64) -> usize {
    match i * 37 % 23 + i * i % 17 + i * 7 % 11 {
        0..18 => 0,
        18..28 => 1,
        _ => 2,
    }
}

fn batch(labels: ArrayRef) -> RecordBatch {
    let (a, b) = ((0..N).map(|i| i * 37 % 23), (0..N).map(|i| i * i % 17));
    let numbers = |numbers: Vec<u64>| {
        Arc::new(Float64Array::from_iter_values(
            numbers.into_iter().map(|x| x as f64),
        )) as ArrayRef
    };
    RecordBatch::try_from_iter([
        ("a", numbers(a.collect())),
        ("b", numbers(b.collect())),
        ("label", labels),
    ])
    .unwrap()
}

fn classes(names: [&str; 3]) -> RecordBatch {
    batch(Arc::new(StringArray::from_iter_values(
        (0..N).map(|i| names[class(i)]),
    )))
}

fn values(value: impl Fn(u64) -> f64) -> RecordBatch {
    batch(Arc::new(Float64Array::from_iter_values((0..N).map(value))))
}

fn transform() -> Arc<FittedTransform> {
    let transform = Transform::new().number("a").number("b");
    Arc::new(transform.fit(&[values(|_| 0.0)]).unwrap())
}

fn target(n_classes: usize) -> Target {
    let label = "label".to_owned();
    let name = |index: usize| ["low", "middle", "high"][index].to_owned();
    match n_classes {
        0 => Target::regression(label),
        2 => Target::classification(label, [name(0), name(2)]).unwrap(),
        _ => Target::classification(label, (0..3).map(name)).unwrap(),
    }
}

fn args(rows: RecordBatch, n_classes: usize) -> TrainArgs {
    let examples = Examples::from_batches(rows.schema(), vec![rows]).unwrap();
    TrainArgs::new(Dataset::new(
        examples,
        transform(),
        Arc::new(target(n_classes)),
    ))
}

fn features() -> Features {
    Features::from(transform().apply(&values(|_| 0.0)).unwrap())
}

/// What a model answers, before it is saved and after it is loaded through its tag.
fn answers<E: LinfaEstimator>(model: &LinfaModel<E>) -> Array2<f64> {
    let dir = tempfile::tempdir().unwrap();
    model.save(dir.path()).unwrap();
    let loaders = Loaders::default()
        .with::<LinfaModel<NaiveBayes>>()
        .with::<LinfaModel<LeastSquares>>();
    let loaded = loaders.load(model.format(), dir.path()).unwrap();
    let answers = model.predict(&features()).unwrap();
    assert_eq!(loaded.predict(&features()).unwrap(), answers);
    answers
}

fn fails<E: LinfaEstimator>(trainer: &Linfa<E>, args: &TrainArgs) -> Error {
    trainer.train(args).map(|_| ()).unwrap_err()
}

/// The classes are those of scikit-learn's `GaussianNB` for the same rows.
#[test]
fn naive_bayes_answers_as_that_of_scikit_learn() {
    let model = bayes()
        .train(&args(classes(["low", "middle", "high"]), 3))
        .unwrap();
    let outputs = answers(model.model());
    assert_eq!(outputs.dim(), (60, 3));
    let found: String = outputs
        .rows()
        .into_iter()
        .map(|row| {
            assert_eq!(row.sum(), 1.0);
            let class = row.iter().position(|share| *share == 1.0).unwrap();
            class.to_string()
        })
        .collect();
    assert_eq!(
        found,
        "010220112211121010111210212202121010211202212002121010220112"
    );

    let model = bayes()
        .train(&args(classes(["low", "low", "high"]), 2))
        .unwrap();
    let outputs = answers(model.model());
    assert_eq!(outputs.dim(), (60, 1));
    let found: String = outputs.iter().map(|share| share.to_string()).collect();
    assert_eq!(
        found,
        "000110001100010000000100101101010000100101101001000000110001"
    );
}

#[test]
fn least_squares_finds_a_plane() {
    let plane = |i: u64| 2.0 * (i * 37 % 23) as f64 - 3.0 * (i * i % 17) as f64 + 1.0;
    let trained = Linfa::new(LeastSquares)
        .train(&args(values(plane), 0))
        .unwrap();
    for (i, value) in (0..N).zip(answers(trained.model())) {
        assert!((value - plane(i)).abs() < 1e-4, "{value} for {}", plane(i));
    }
}

#[test]
fn it_keeps_the_contract_of_trainers() {
    conformance::trainer(&bayes(), &args(classes(["low", "middle", "high"]), 3)).unwrap();
    conformance::trainer(
        &Linfa::new(LeastSquares),
        &args(values(|i| (i % 7) as f64), 0),
    )
    .unwrap();
}

#[test]
fn it_says_what_a_million_rows_take() {
    let trained = bayes()
        .train(&args(classes(["low", "low", "high"]), 2))
        .unwrap();
    let warning = &trained.record().warnings[0];
    assert_eq!(warning.code, "linfa_memory");
    assert_eq!(
        warning.message,
        "linfa holds all rows as a dense matrix of f64: 60 rows of 2 features take 0.0 MiB, a million would take 15.3 MiB, and what `naive_bayes` needs comes on top"
    );
}

#[test]
fn what_linfa_cannot_learn_is_refused() {
    let bayes = bayes();
    let one = fails(&bayes, &args(classes(["low", "low", "low"]), 2));
    assert_eq!(
        (one.kind(), one.message()),
        (
            ErrorKind::Data,
            "label `label` is `low` in all 60 rows, must be of two classes at least"
        )
    );
    let unknown = fails(&bayes, &args(classes(["low", "middle", "high"]), 2));
    assert_eq!(unknown.kind(), ErrorKind::Data);
    assert!(
        unknown
            .message()
            .ends_with("NaN, must be one of the 2 classes of the target"),
        "{unknown}"
    );

    let least_squares = Linfa::new(LeastSquares);
    // The last is none of f32.
    for odd in [f64::NAN, f64::INFINITY, 1e300] {
        let rows = values(|i| if i == 7 { odd } else { i as f64 });
        let error = fails(&least_squares, &args(rows, 0));
        assert_eq!(error.kind(), ErrorKind::Data);
        assert!(error.message().contains("row 7: "), "{error}");
    }
    let none = fails(&least_squares, &args(values(|_| 0.0).slice(0, 0), 0));
    assert_eq!(none.kind(), ErrorKind::Data);
    assert!(none.message().contains("0 rows"), "{none}");

    let other_task = fails(&least_squares, &args(classes(["low", "low", "high"]), 2));
    assert_eq!(other_task.kind(), ErrorKind::Config);
    let other_task = fails(&bayes, &args(values(|_| 0.0), 0));
    assert_eq!(other_task.kind(), ErrorKind::Config);
}

#[test]
fn features_that_are_not_finite_are_refused() {
    let train = |odd: f64| {
        let rows = values(|i| i as f64);
        let mut columns = rows.columns().to_vec();
        columns[1] = Arc::new(Float64Array::from_iter_values(
            (0..N).map(|i| if i == 7 { odd } else { i as f64 }),
        ));
        let rows = RecordBatch::try_new(rows.schema(), columns).unwrap();
        Linfa::new(LeastSquares).train(&args(rows, 0))
    };
    for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let error = train(odd).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data);
        assert!(error.message().contains("`b`"), "{error}");
    }
}

#[test]
fn weights_are_refused() {
    let args = args(classes(["low", "low", "high"]), 2);
    let weighted = args.train().clone().weighted(Weighting::of_column("a"));
    let error = fails(&bayes(), &args.with_train(weighted));
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[test]
fn errors_of_linfa_are_told() {
    let negative = Linfa::new(NaiveBayes {
        var_smoothing: -1.0,
    });
    let error = fails(&negative, &args(classes(["low", "low", "high"]), 2));
    assert_eq!(error.kind(), ErrorKind::Model);
    let of_linfa = NaiveBayesError::InvalidSmoothing(-1.0);
    assert_eq!(error.message(), format!("linfa cannot fit: {of_linfa}"));
}

#[test]
fn panics_of_linfa_are_errors() {
    let panics = Linfa::new(Panics);
    assert_eq!(panics.check().unwrap_err().kind(), ErrorKind::Config);
    let args = args(classes(["low", "low", "high"]), 2);
    let error = fails(&panics, &args.clone().with_seed(9));
    assert_eq!(error.stage(), Some("panics"));
    assert_eq!(error.kind(), ErrorKind::Model);
    assert!(
        error
            .message()
            .ends_with("training: no parameters for seed 9"),
        "{error}"
    );

    // A feature that does not vary has a variance of 0, which linfa divides by when it predicts.
    let constant = Linfa::new(NaiveBayes { var_smoothing: 0.0 });
    let flat = args
        .train()
        .examples()
        .batches(&[])
        .next()
        .unwrap()
        .unwrap();
    let mut columns = flat.columns().to_vec();
    columns[0] = Arc::new(Float64Array::from(vec![1.0; 60]));
    columns[1] = Arc::clone(&columns[0]);
    let flat = RecordBatch::try_new(flat.schema(), columns).unwrap();
    let examples = Examples::from_batches(flat.schema(), vec![flat]).unwrap();
    let flat = args.train().clone().with_examples(examples);
    let model = constant.train(&args.with_train(flat)).unwrap().into_model();
    let error = model.predict(&features()).unwrap_err();
    assert_eq!(error.stage(), Some("naive_bayes"));
    assert!(
        error.message().contains("panicked while predicting"),
        "{error}"
    );
}

#[test]
fn it_stops_before_it_begins() {
    let cancellation = Cancellation::new();
    cancellation.cancel();
    let args = args(classes(["low", "low", "high"]), 2).with_cancellation(cancellation);
    assert_eq!(fails(&bayes(), &args).kind(), ErrorKind::Cancelled);
}

#[test]
fn damaged_files_are_refused() {
    let trained = bayes()
        .train(&args(classes(["low", "low", "high"]), 2))
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    trained.model().save(dir.path()).unwrap();
    let path = dir.path().join("linfa.json");
    let text = std::fs::read_to_string(&path).unwrap();
    for damaged in [
        text.replace("\"n_outputs\": 1", "\"n_outputs\": 0"),
        "{}".to_owned(),
    ] {
        std::fs::write(&path, damaged).unwrap();
        let error = LinfaModel::<NaiveBayes>::load(dir.path(), &Loaders::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }
}
