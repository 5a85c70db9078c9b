//! Stages around stages, as an application writes them: bagging around any trainer, a model of an application's own
//! within it, and a trainer tested alone.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fourfold::Result;
use fourfold::arrow::array::UInt64Array;
use fourfold::arrow::compute::{concat_batches, take_record_batch};
use fourfold::examples::Examples;
use fourfold::features::Features;
use fourfold::model::{
    AnyModel, ConstantModel, LinearModel, Servable, load_json, load_model, save_json, save_model,
};
use fourfold::ndarray::Array2;
use fourfold::prelude::*;
use fourfold::progress::Meter;
use fourfold::training::{AnyTrainer, Constant, Dataset};
use fourfold::{Cancellation, Warning};
use serde::{Deserialize, Serialize};

use crate::support::parcels;

// Bagging: the mean of models that were trained on rows drawn with replacement.

#[derive(Serialize)]
struct Bagging<T: Trainer> {
    #[serde(serialize_with = "fourfold::serialize_stage")]
    trainer: T,
    n: u64,
}

impl<T: Trainer> Stage for Bagging<T> {
    fn name(&self) -> &str {
        "bagging"
    }

    fn check(&self) -> Result<()> {
        self.trainer.check()
    }
}

impl<T: Trainer> Trainer for Bagging<T> {
    type Model = Bag<T::Model>;

    fn train(&self, args: &TrainArgs) -> Result<Trained<Bag<T::Model>>> {
        let mut models = Vec::new();
        for number in 0..self.n {
            args.cancellation().check()?;
            let sample = drawn(args.train(), args.seed() + number)?;
            let args = args.clone().with_train(sample);
            let args = match args.warm_start::<Bag<T::Model>>() {
                Some(_) => args.with_seed(1_000 + number),
                None => args.with_seed(number),
            };
            models.push(self.trainer.train(&args)?.into_model());
            args.progress().advance(number + 1, self.n);
        }
        let trained = Trained::new(Bag(models));
        Ok(match args.warm_start::<Bag<T::Model>>() {
            Some(bag) => trained.with_point("models_before", 1, bag.0.len() as f64),
            None => trained,
        })
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new().warm_start(WarmStart::SameFeatures)
    }
}

/// As many rows, drawn with replacement.
fn drawn(data: &Dataset, seed: u64) -> Result<Dataset> {
    let batches = data.examples().batches(&[]).collect::<Result<Vec<_>>>()?;
    let rows = concat_batches(data.examples().schema(), &batches)?;
    let n = rows.num_rows() as u64;
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let places = (0..n).map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % n
    });
    let rows = take_record_batch(&rows, &UInt64Array::from_iter_values(places))?;
    let examples = Examples::from_batches(rows.schema(), vec![rows])?;
    Ok(data.clone().with_examples(examples))
}

#[derive(Debug)]
struct Bag<M>(Vec<M>);

impl<M: Model> Predict for Bag<M> {
    fn n_features(&self) -> usize {
        self.0[0].n_features()
    }

    fn n_outputs(&self) -> usize {
        self.0[0].n_outputs()
    }

    fn predict(&self, features: &Features) -> Result<Array2<f64>> {
        let mut sum = Array2::zeros((features.n_rows(), self.n_outputs()));
        for model in &self.0 {
            sum += &model.predict(features)?;
        }
        Ok(sum / self.0.len() as f64)
    }
}

impl<M: Model> Model for Bag<M> {
    const FORMAT: &'static str = "test.bag.v1";

    fn save(&self, dir: &Path) -> Result<()> {
        save_json(dir, "bag.json", &self.0.len())?;
        let mut models = self.0.iter().enumerate();
        models.try_for_each(|(number, model)| save_model(dir, &number.to_string(), model))
    }

    fn load(dir: &Path, loaders: &Loaders) -> Result<Self> {
        let n: usize = load_json(dir, "bag.json")?;
        let models = (0..n).map(|number| load_model(dir, &number.to_string(), loaders));
        Ok(Bag(models.collect::<Result<_>>()?))
    }
}

// A model of the application's own: the share of positives on either side of the first feature's mean.

#[derive(Serialize)]
struct Halves;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct TwoHalves {
    n_features: usize,
    shares: [f64; 2],
}

impl Stage for Halves {
    fn name(&self) -> &str {
        "halves"
    }

    fn version(&self) -> u32 {
        3
    }
}

impl Trainer for Halves {
    type Model = TwoHalves;

    fn train(&self, args: &TrainArgs) -> Result<Trained<TwoHalves>> {
        let matrix = args.train().matrix()?;
        let share = |above: bool| {
            let rows = matrix.features().column(0).to_vec();
            let labels: Vec<f64> = rows
                .iter()
                .zip(matrix.labels())
                .filter(|(x, _)| (**x > 0.0) == above)
                .map(|(_, label)| *label)
                .collect();
            labels.iter().sum::<f64>() / labels.len() as f64
        };
        Ok(TwoHalves {
            n_features: matrix.features().ncols(),
            shares: [share(false), share(true)],
        }
        .into())
    }
}

impl Predict for TwoHalves {
    fn n_features(&self) -> usize {
        self.n_features
    }

    fn n_outputs(&self) -> usize {
        1
    }

    fn predict(&self, features: &Features) -> Result<Array2<f64>> {
        let features = features.matrix();
        let share = |row: usize| self.shares[usize::from(features[[row, 0]] > 0.0)];
        Ok(Array2::from_shape_fn((features.nrows(), 1), |(row, _)| {
            share(row)
        }))
    }
}

impl Model for TwoHalves {
    const FORMAT: &'static str = "test.halves.v1";

    fn save(&self, dir: &Path) -> Result<()> {
        save_json(dir, "halves.json", self)
    }

    fn load(dir: &Path, _: &Loaders) -> Result<Self> {
        load_json(dir, "halves.json")
    }
}

fn features() -> Transform {
    Transform::new().z_score("kilograms").one_hot("road")
}

fn pipeline(
    root: &Path,
    loaders: Loaders,
) -> Pipeline<BatchSource, Bagging<AnyTrainer>, Thresholds, ModelRepository> {
    let bagging = Bagging {
        trainer: Halves.erase(),
        n: 3,
    };
    let thresholds = Thresholds::new()
        .at_least("auc", 0.7)
        .no_worse_than_baseline("auc", 0.01);
    Pipeline::builder("parcels")
        .data(
            BatchSource::new("parcels", vec![parcels(2_000)])
                .label("late")
                .transform(features()),
        )
        .train(bagging)
        .evaluate(thresholds)
        .serve(ModelRepository::at(root))
        .loaders(loaders)
        .build()
        .unwrap()
}

/// Saved, loaded back by the trial, served, the baseline and the start of the next run.
#[tokio::test]
async fn an_applications_model_within_any_model_within_bagging_goes_all_the_way() {
    let models = tempfile::tempdir().unwrap();
    let loaders = || Loaders::default().with::<TwoHalves>();
    let first = pipeline(models.path(), loaders()).run().await.unwrap();
    let reasons = first.run().verdict.reasons().join("; ");
    assert!(first.is_deployed(), "{reasons}");
    assert_eq!(first.run().model_format, "test.bag.v1");
    assert!(first.run().training.curve.is_empty() && first.run().baseline_metrics.is_none());
    let place = first.endpoint().unwrap().path;
    let tag: String = load_json(&place.join("model").join("2"), "format.json").unwrap();
    assert_eq!(tag, "test.halves.v1");

    let all = loaders().with::<Bag<AnyModel>>();
    let servable = Servable::load(&place, &all).unwrap();
    let bag = servable
        .model()
        .downcast_ref::<Bag<AnyModel>>()
        .expect("a bag");
    let within = bag.0[1].as_predict().downcast_ref::<TwoHalves>();
    assert!(within.unwrap().shares[1] > within.unwrap().shares[0]);
    let manager = Manager::open(ModelRepository::at(models.path()), all).unwrap();
    let rows = parcels(20);
    let served = manager
        .get("parcels", None)
        .unwrap()
        .predict(&rows)
        .unwrap();
    assert_eq!(served, servable.predict(&rows).unwrap());

    let second = pipeline(models.path(), loaders()).run().await.unwrap();
    let run = second.run();
    assert_eq!(run.training.curve[0].value, 3.0, "it started from the bag");
    assert!(run.baseline_metrics.is_some() && run.warnings.is_empty());
    assert!(second.is_deployed());
}

#[tokio::test]
async fn without_its_loader_it_is_not_served() {
    let models = tempfile::tempdir().unwrap();
    let outcome = pipeline(models.path(), Loaders::default())
        .run()
        .await
        .unwrap();
    let reasons = outcome.run().verdict.reasons().join("; ");
    assert!(
        !outcome.is_deployed() && reasons.contains("test.halves.v1"),
        "{reasons}"
    );
}

/// A serving model with other features is not started from, and the record says so.
#[tokio::test]
async fn a_model_of_other_features_is_not_started_from() {
    let models = tempfile::tempdir().unwrap();
    let run = |transform: Transform| {
        Pipeline::builder("parcels")
            .data(
                BatchSource::new("parcels", vec![parcels(2_000)])
                    .label("late")
                    .transform(transform),
            )
            .train(Bagging {
                trainer: Halves,
                n: 2,
            })
            .evaluate(Thresholds::new().at_least("auc", 0.5))
            .serve(ModelRepository::at(models.path()))
            .build()
            .unwrap()
    };
    assert!(run(features()).run().await.unwrap().is_deployed());
    let outcome = run(Transform::new().z_score("kilograms")).run().await;
    let outcome = outcome.unwrap();
    let codes: Vec<&str> = outcome
        .run()
        .warnings
        .iter()
        .map(|warning| warning.code.as_str())
        .collect();
    assert_eq!(codes, ["warm_start_skipped"]);
    let page = fourfold::report::html(outcome.run());
    assert!(page.contains("warm_start_skipped"));
}

// A trainer alone, without a pipeline.

fn dataset(n: usize) -> Dataset {
    let rows = parcels(n);
    let transform = features().fit(std::slice::from_ref(&rows)).unwrap();
    let target = fourfold::model::Target::classification("late", ["no", "yes"]).unwrap();
    let examples = Examples::from_batches(rows.schema(), vec![rows]).unwrap();
    Dataset::new(examples, Arc::new(transform), Arc::new(target))
}

#[test]
fn a_trainer_is_tested_alone() {
    let told = Arc::new(AtomicU64::new(0));
    let tells = Arc::clone(&told);
    let progress = Meter::to(move |done, total| {
        assert_eq!(total, Some(4));
        tells.store(done, Ordering::SeqCst);
    });
    let args = TrainArgs::new(dataset(400))
        .with_seed(7)
        .with_progress(progress);
    assert!(args.tune().is_none() && args.threads() > 0);
    let bagging = Bagging {
        trainer: Halves,
        n: 4,
    };
    let bag = bagging.train(&args).unwrap().into_model();
    assert_eq!(told.load(Ordering::SeqCst), 4);
    assert_ne!(bag.0[0], bag.0[1], "each has rows of its own");
    assert_eq!(bag.0, bagging.train(&args).unwrap().into_model().0);

    let before = TwoHalves {
        n_features: 3,
        shares: [0.0, 1.0],
    };
    let bag_before = Arc::new(AnyModel::new(Bag(vec![before])));
    let warm = bagging
        .train(&args.clone().with_warm_start(bag_before))
        .unwrap();
    assert_eq!(warm.record().curve[0].value, 1.0);
    let other = Arc::new(ConstantModel::new(3, vec![0.5]));
    let cold = bagging.train(&args.clone().with_warm_start(other)).unwrap();
    assert!(cold.record().curve.is_empty());

    let cancellation = Cancellation::new();
    let stopped = args.with_cancellation(cancellation.child());
    cancellation.cancel();
    let error = bagging.train(&stopped).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
}

// Stages as values.

#[test]
fn stages_within_stages_count_with_name_and_version() {
    let bagging = Bagging {
        trainer: Halves.erase(),
        n: 2,
    };
    let typed = Bagging {
        trainer: Halves,
        n: 2,
    };
    let expected = serde_json::json!({
        "trainer": {"name": "halves", "version": 3, "configuration": null}, "n": 2
    });
    assert_eq!(bagging.configuration().unwrap(), expected);
    assert_eq!(typed.configuration().unwrap(), expected);

    let trainers: Vec<AnyTrainer> = vec![Constant.erase(), Linear::default().erase()];
    let described = trainers.describe().unwrap();
    assert_eq!(described["name"], "all_of");
    assert_eq!(described["configuration"][1]["name"], "linear");
}

#[derive(Serialize)]
struct Named(String, Option<f64>);

impl Stage for Named {
    fn name(&self) -> &str {
        &self.0
    }
}

impl<M: Model> Validator<M> for Named {
    fn validate(&self, _args: EvalArgs<'_, M>) -> Result<Verdict> {
        Ok(Verdict::new().check(self.name(), true, "fine"))
    }
}

#[test]
fn validators_of_one_shape_do_not_collide() {
    use fourfold::fingerprint::Fingerprint;
    let of = |stage: &dyn Stage| Fingerprint::of_stage(stage, 0, &[]).unwrap();
    let named = |name: &str| Named(name.to_owned(), Some(0.5));
    let one = of(&(named("a"), named("b")));
    assert_ne!(one, of(&(named("b"), named("a"))));
    assert_ne!(one, of(&(named("a"), named("c"))));
    assert_eq!(one, of(&vec![named("a"), named("b")]));
    let boxed: Vec<Box<dyn Validator<LinearModel>>> =
        vec![Box::new(named("a")), Box::new(named("b"))];
    assert_eq!(one, of(&boxed));
    assert_eq!(
        of(&named("a")),
        of(&(Box::new(named("a")) as Box<dyn Validator<LinearModel>>))
    );

    let odd = Named("odd".to_owned(), Some(f64::NAN));
    for stage in [
        &odd as &dyn Stage,
        &vec![Named("odd".to_owned(), Some(f64::INFINITY))],
    ] {
        let error = Fingerprint::of_stage(stage, 0, &[]).unwrap_err();
        assert!(
            error.message().contains("must be a finite number"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn validators_of_several_kinds_side_by_side() {
    let validators: Vec<Box<dyn Validator<LinearModel>>> = vec![
        Box::new(Thresholds::new().at_least("auc", 0.7)),
        Box::new(Named("mine".to_owned(), None)),
    ];
    let outcome = Pipeline::builder("parcels")
        .data(
            BatchSource::new("parcels", vec![parcels(2_000)])
                .label("late")
                .exclude(["id"]),
        )
        .train(LogisticRegression::default())
        .evaluate(validators)
        .serve(InProcess::new())
        .build()
        .unwrap()
        .run()
        .await
        .unwrap();
    let names: Vec<&str> = outcome
        .run()
        .verdict
        .checks()
        .iter()
        .map(|check| check.name.as_str())
        .collect();
    assert_eq!(names, ["auc", "mine", "servable"]);
}

#[tokio::test]
async fn what_is_left_out_is_in_the_record() {
    let outcome = Pipeline::builder("parcels")
        .data(BatchSource::new("parcels", vec![parcels(2_000)]).label("late"))
        .train_with("half", 1, |args: &TrainArgs| {
            let model = ConstantModel::new(args.train().n_features(), vec![0.5]);
            let trained = Trained::new(model).with_best_iteration(1);
            Ok(trained.with_warning(Warning::new("half", "no_learning", "it learned nothing")))
        })
        .evaluate(Thresholds::new().at_least("auc", 0.0))
        .serve(InProcess::new())
        .build()
        .unwrap()
        .run()
        .await
        .unwrap();
    let run = outcome.run();
    let seen: Vec<(&str, Option<&str>)> = run
        .warnings
        .iter()
        .map(|warning| (warning.code.as_str(), warning.column.as_deref()))
        .collect();
    assert_eq!(
        seen,
        [("column_dropped", Some("id")), ("no_learning", None)]
    );
    assert_eq!(run.training.best_iteration, Some(1));
    let json = serde_json::to_string(run).unwrap();
    let read: fourfold::pipeline::RunRecord = serde_json::from_str(&json).unwrap();
    assert_eq!(read.warnings, run.warnings);
}

/// Dropping a run's future stops its trainer.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_nobody_waits_for_stops_its_trainer() {
    let (started, wait_for_start) = std::sync::mpsc::channel();
    let (stopped, wait_for_stop) = std::sync::mpsc::channel();
    let pipeline = Pipeline::builder("parcels")
        .data(BatchSource::new("parcels", vec![parcels(200)]).label("late"))
        .train_with("endless", 1, move |args: &TrainArgs| {
            started.send(()).unwrap();
            while args.cancellation().check().is_ok() {
                std::thread::yield_now();
            }
            stopped.send(()).unwrap();
            args.cancellation().check()?;
            Ok(ConstantModel::new(args.train().n_features(), vec![0.5]))
        })
        .evaluate(Thresholds::new().at_least("auc", 0.0))
        .serve(InProcess::new())
        .build()
        .unwrap();
    let run = tokio::spawn(async move { pipeline.run().await.map(drop) });
    tokio::task::spawn_blocking(move || wait_for_start.recv().unwrap())
        .await
        .unwrap();
    run.abort();
    tokio::task::spawn_blocking(move || wait_for_stop.recv().unwrap())
        .await
        .unwrap();
}
