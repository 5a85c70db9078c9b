//! The transform is planned for the trainer, and fitted on what it learns from.

use std::sync::Arc;

use fourfold::Result;
use fourfold::arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use fourfold::features::{FeatureKind, Features, Takes};
use fourfold::model::AnyModel;
use fourfold::ndarray::Array2;
use fourfold::prelude::*;
use fourfold::training::AnyTrainer;
use serde::{Deserialize, Serialize};

/// 120 companies, an hour, a fare with gaps, and whether a tip was given: by company and hour.
fn trips(n: usize) -> RecordBatch {
    let noise = |i: usize, m: usize| ((i * 7_919 + 13) % 10_007 * 31 % 9_973) % m;
    let company = |i: usize| noise(i, 120);
    let hour = |i: usize| noise(i + 17, 24);
    let tip = (0..n).map(|i| {
        let likely = (company(i) * 37 % 10) + (hour(i) * 7 % 10);
        if noise(i + 99, 19) < likely {
            "yes"
        } else {
            "no"
        }
    });
    let companies: ArrayRef = Arc::new(StringArray::from_iter_values(
        (0..n).map(|i| format!("company {}", company(i))),
    ));
    let hours: ArrayRef = Arc::new(Int64Array::from_iter_values((0..n).map(|i| hour(i) as i64)));
    let fares = (0..n).map(|i| (i % 10 != 0).then_some(noise(i + 7, 900) as f64 / 10.0));
    let fares: ArrayRef = Arc::new(Float64Array::from_iter(fares));
    let tip: ArrayRef = Arc::new(StringArray::from_iter_values(tip));
    let columns = [
        ("company", companies),
        ("hour", hours),
        ("fare", fares),
        ("tip", tip),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)))
        .unwrap()
}

/// Looks at one column of codes: the share of positives of each category.
#[derive(Serialize)]
struct ByCategory;

#[derive(Debug, Serialize, Deserialize)]
struct Shares {
    n_features: usize,
    shares: Vec<f64>,
}

impl Stage for ByCategory {
    fn name(&self) -> &str {
        "by_category"
    }
}

impl Trainer for ByCategory {
    type Model = Shares;

    fn train(&self, args: &TrainArgs) -> Result<Trained<Shares>> {
        let table = args.train().table(Takes::CODES)?;
        let columns = table.features().columns();
        let (codes, n) = columns.iter().find_map(codes_of).expect("codes");
        let mut counts = vec![(0.5, 1.0); n as usize];
        for (code, label) in codes.iter().zip(table.labels()) {
            if let Some(count) = counts.get_mut(*code as usize) {
                *count = (count.0 + label, count.1 + 1.0);
            }
        }
        Ok(Shares {
            n_features: table.features().n_features(),
            shares: counts.into_iter().map(|(sum, n)| sum / n).collect(),
        }
        .into())
    }

    fn capabilities(&self) -> Capabilities {
        Takes::CODES.into()
    }
}

fn codes_of<'c>(column: &fourfold::features::Column<'c>) -> Option<(&'c [u32], u32)> {
    match *column {
        fourfold::features::Column::Codes {
            codes,
            n_categories,
        } => Some((codes, n_categories)),
        _ => None,
    }
}

impl Predict for Shares {
    fn n_features(&self) -> usize {
        self.n_features
    }

    fn n_outputs(&self) -> usize {
        1
    }

    fn takes(&self) -> Takes {
        Takes::CODES
    }

    fn predict(&self, features: &Features) -> Result<Array2<f64>> {
        let columns = features.columns();
        let (codes, _) = columns.iter().find_map(codes_of).expect("codes");
        let share = |code: &u32| self.shares.get(*code as usize).copied().unwrap_or(0.5);
        let outputs: Vec<f64> = codes.iter().map(share).collect();
        Ok(Array2::from_shape_vec((outputs.len(), 1), outputs).unwrap())
    }
}

impl Model for Shares {
    const FORMAT: &'static str = "test.shares.v1";

    fn save(&self, dir: &std::path::Path) -> Result<()> {
        fourfold::model::save_json(dir, "shares.json", self)
    }

    fn load(dir: &std::path::Path, _: &Loaders) -> Result<Self> {
        fourfold::model::load_json(dir, "shares.json")
    }
}

/// Trains each on nine tenths, behind a transform that is fitted for it and on them alone, and keeps the best on the rest.
#[derive(Serialize)]
struct Best(Vec<AnyTrainer>);

impl Stage for Best {
    fn name(&self) -> &str {
        "best"
    }
}

impl Trainer for Best {
    type Model = AnyModel;

    fn train(&self, args: &TrainArgs) -> Result<Trained<AnyModel>> {
        let parts = args.train().hold_out(0.1)?;
        let mut best: Option<(f64, Trained<AnyModel>)> = None;
        let mut trials = Vec::new();
        for trainer in &self.0 {
            let data = parts.train.refit(trainer.capabilities().takes)?;
            let trained = trainer
                .train(&args.clone().with_train(data.clone()))?
                .behind(&data);
            let rest = parts.held_out.clone().with_transform(data.fitted().clone());
            let table = rest.table(trainer.capabilities().takes)?;
            let answers = trained.model().predict(table.features())?;
            let errors = answers
                .column(0)
                .iter()
                .zip(table.labels())
                .map(|(a, b)| (a - b).powi(2))
                .sum::<f64>();
            trials.push(fourfold::training::Trial::new(
                trainer.describe()?,
                "squared_error",
                errors,
            ));
            if best.as_ref().is_none_or(|(least, _)| errors < *least) {
                best = Some((errors, trained));
            }
        }
        let (_, trained) = best.expect("a trainer");
        Ok(trials.into_iter().fold(trained, Trained::with_trial))
    }
}

fn data() -> DataPipeline<BatchSource> {
    BatchSource::new("trips", vec![trips(20_000)]).label("tip")
}

async fn decisions<T: Trainer>(trainer: T) -> (fourfold::pipeline::RunRecord, Vec<String>) {
    let outcome = Pipeline::builder("trips")
        .data(data())
        .train(trainer)
        .evaluate(Thresholds::new().at_least("auc", 0.5))
        .serve(InProcess::new())
        .loaders(Loaders::default().with::<Shares>())
        .build()
        .unwrap()
        .run()
        .await
        .unwrap();
    let run = outcome.run().clone();
    assert!(outcome.is_deployed(), "{:?}", run.verdict.reasons());
    let decisions = run
        .decisions
        .iter()
        .map(|decision| decision.action.clone())
        .collect();
    (run, decisions)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_depends_on_what_is_taken() {
    let (linear, actions) = decisions(LogisticRegression::default()).await;
    // It takes codes, and no gaps.
    let expected = [
        "categories",
        "one-hot, z-score",
        "missing indicator, median imputed, z-score",
    ];
    assert_eq!(actions, expected);
    assert_eq!(linear.features.len(), 121 + 25 + 1 + 2);

    let (codes, actions) = decisions(ByCategory).await;
    assert_eq!(actions, ["categories", "as it is", "as it is"]);
    assert_eq!(codes.features.len(), 121 + 2);
    let auc = |run: &fourfold::pipeline::RunRecord| run.metrics.metric("auc").unwrap();
    assert!(
        auc(&linear) > auc(&codes),
        "{} {}",
        auc(&linear),
        auc(&codes)
    );
    assert!(linear.timings_s.values().all(|seconds| *seconds > 0.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_over_kinds_comes_with_the_transform_of_the_best() {
    for (trainers, kind, n_features) in [
        (
            vec![ByCategory.erase(), LogisticRegression::default().erase()],
            "fourfold.linear.v1",
            149,
        ),
        (
            vec![fourfold::training::Constant.erase(), ByCategory.erase()],
            "test.shares.v1",
            123,
        ),
    ] {
        let (run, _) = decisions(Best(trainers)).await;
        assert_eq!(run.model_format, kind);
        assert_eq!(run.features.len(), n_features);
        assert_eq!(run.training.trials.len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_fitted_as_often_as_is_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::new().unwrap();
    let prepared = data()
        .run(
            &engine,
            dir.path(),
            &fourfold::progress::Progress::default(),
        )
        .await
        .unwrap();
    let codes = prepared.fit(Takes::CODES, &engine).await.unwrap();
    let kinds: Vec<FeatureKind> = codes
        .transform()
        .info()
        .iter()
        .map(|feature| feature.kind)
        .collect();
    assert_eq!(
        kinds,
        [
            FeatureKind::Category,
            FeatureKind::Number,
            FeatureKind::Number
        ]
    );
    assert!(codes.warnings().is_empty() && codes.decisions().len() == 3);

    let fitted = prepared.fit(Takes::FINITE, &engine).await.unwrap();
    let target = Arc::new(prepared.target().clone());
    let train = prepared.split("train").unwrap().clone();
    let given = fourfold::training::Dataset::new(train, Arc::clone(fitted.transform()), target);
    assert!(
        given
            .refit(Takes::CODES)
            .unwrap_err()
            .message()
            .contains("was given fitted")
    );
}
