//! A model with preprocessing of its own: raw rows in, predictions out, through everything that other models go through.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use fourfold::Result;
use fourfold::arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray};
use fourfold::features::{Features, Takes};
use fourfold::model::{load_json, save_json};
use fourfold::ndarray::Array2;
use fourfold::prelude::*;
use fourfold::serving::ServerCore;
use fourfold::serving::http::{Batching, Limits};
use fourfold::serving::observe::{DriftMonitor, DriftOptions};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The share of positives among the notes with each word.
#[derive(Serialize)]
struct WordShares;

#[derive(Debug, Serialize, Deserialize)]
struct Words {
    prior: f64,
    shares: BTreeMap<String, f64>,
}

impl Stage for WordShares {
    fn name(&self) -> &str {
        "word_shares"
    }
}

impl Trainer for WordShares {
    type Model = Words;

    fn train(&self, args: &TrainArgs) -> Result<Trained<Words>> {
        let table = args.train().table(Takes::ROWS)?;
        let mut counts: BTreeMap<String, (f64, f64)> = BTreeMap::new();
        for (note, label) in notes(table.features())?.iter().zip(table.labels()) {
            for word in note.unwrap_or_default().split(' ') {
                let count = counts.entry(word.to_lowercase()).or_default();
                *count = (count.0 + label, count.1 + 1.0);
            }
        }
        let shares = counts.into_iter().map(|(word, (sum, n))| (word, sum / n));
        Ok(Words {
            prior: table.labels().mean().unwrap_or(0.5),
            shares: shares.collect(),
        }
        .into())
    }

    fn capabilities(&self) -> Capabilities {
        Takes::ROWS.into()
    }
}

fn notes(features: &Features) -> Result<&StringArray> {
    let column = features.rows()?.column_by_name("note");
    let column = column.ok_or_else(|| Error::new(ErrorKind::Data, "there is no `note`"))?;
    Ok(column.as_string::<i32>())
}

impl Predict for Words {
    fn n_features(&self) -> usize {
        0
    }

    fn n_outputs(&self) -> usize {
        1
    }

    fn takes(&self) -> Takes {
        Takes::ROWS
    }

    fn predict(&self, features: &Features) -> Result<Array2<f64>> {
        let share = |word: &str| self.shares.get(&word.to_lowercase()).unwrap_or(&self.prior);
        let mean = |note: Option<&str>| {
            let shares: Vec<f64> = note
                .unwrap_or_default()
                .split(' ')
                .map(|word| *share(word))
                .collect();
            shares.iter().sum::<f64>() / shares.len() as f64
        };
        let outputs: Vec<f64> = notes(features)?.iter().map(mean).collect();
        Ok(Array2::from_shape_vec((outputs.len(), 1), outputs).unwrap())
    }
}

impl Model for Words {
    const FORMAT: &'static str = "test.words.v1";

    fn save(&self, dir: &Path) -> Result<()> {
        save_json(dir, "words.json", self)
    }

    fn load(dir: &Path, _: &Loaders) -> Result<Self> {
        load_json(dir, "words.json")
    }
}

/// Notes of two words; those with `bad` in them are late, most of the time.
fn rows(n: usize, bad: &str) -> RecordBatch {
    let words = ["road", "ice", "sun", "rain"];
    let noise = |i: usize, m: usize| ((i * 7_919 + 13) % 1_009) % m;
    let notes = (0..n).map(|i| format!("{} {}", words[noise(i, 4)], words[noise(i + 5, 4)]));
    let notes: Vec<String> = notes.collect();
    let late = notes.iter().enumerate().map(|(i, note)| {
        let is_late = note.contains(bad) != (noise(i, 17) == 0);
        if is_late { "yes" } else { "no" }
    });
    let late: ArrayRef = Arc::new(StringArray::from_iter_values(late));
    let notes: ArrayRef = Arc::new(StringArray::from(notes));
    RecordBatch::try_from_iter([("note", notes), ("late", late)]).unwrap()
}

async fn train<R: Server<Words>>(rows: RecordBatch, server: R) -> R::Endpoint {
    let outcome = Pipeline::builder("notes")
        .data(BatchSource::new("notes", vec![rows]).label("late"))
        .train(WordShares)
        .evaluate(Thresholds::new().at_least("auc", 0.8))
        .serve(server)
        .loaders(Loaders::default().with::<Words>())
        .build()
        .unwrap()
        .run()
        .await
        .unwrap();
    let reasons = outcome.run().verdict.reasons().join("; ");
    outcome.endpoint().expect(&reasons)
}

fn ask(url: &str, notes: &[&str]) -> Vec<f64> {
    let request = json!({"inputs": [
        {"name": "note", "shape": [notes.len()], "datatype": "BYTES", "data": notes}
    ]});
    let mut response = ureq::post(format!("{url}/v2/models/notes/infer"))
        .send_json(request)
        .unwrap();
    let answer: Value = response.body_mut().read_json().unwrap();
    let outputs = answer["outputs"].as_array().unwrap();
    let output = outputs
        .iter()
        .find(|output| output["name"] == "probability")
        .unwrap();
    output["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|x| x.as_f64().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_pushed_served_swapped_and_watched() {
    let models = tempfile::tempdir().unwrap();
    let repository = || ModelRepository::at(models.path());
    let server = InProcess::at(repository()).listen("127.0.0.1:0");
    let endpoint: Endpoint = train(rows(3_000, "ice"), server).await;
    let loaders = Loaders::default().with::<Words>();
    let loaded = repository().load("notes", 1, &loaders).unwrap();
    assert!(loaded.model().downcast_ref::<Words>().is_some());
    let fields: Vec<&str> = loaded
        .schema()
        .fields
        .iter()
        .map(|field| field.name.as_str())
        .collect();
    assert_eq!(fields, ["note"]);

    // Over HTTP: one note and several.
    let url = endpoint.url().unwrap();
    let asked = move |notes: &'static [&'static str]| {
        let url = url.clone();
        async move {
            tokio::task::spawn_blocking(move || ask(&url, notes))
                .await
                .unwrap()
        }
    };
    let notes = &["ICE road", "sun rain", "snow snow"][..];
    let column: ArrayRef = Arc::new(StringArray::from(notes.to_vec()));
    let batch = RecordBatch::try_from_iter([("note", column)]).unwrap();
    let expected = loaded.predict(&batch).unwrap().outputs().column(0).to_vec();
    assert!(expected[0] > 0.4 && expected[1] < 0.3, "{expected:?}");
    assert_eq!(
        asked(&["ICE road", "sun rain", "snow snow"]).await,
        expected
    );
    assert_eq!(asked(&["sun rain"]).await, expected[1..2]);

    // Swapped for one that has learned from other notes; compared with the one that serves before.
    let second = train(rows(3_000, "sun"), repository()).await;
    assert_eq!(second.version, 2);
    endpoint.manager().refresh().unwrap();
    let swapped = asked(&["ICE road", "sun rain"]).await;
    assert!(swapped[0] < 0.3 && swapped[1] > 0.4, "{swapped:?}");

    // Held against the notes that it was trained on.
    let monitor =
        DriftMonitor::start(DriftOptions::default().window_rows(1_000_000), |_| ()).unwrap();
    let predictor = endpoint.predictor().unwrap();
    let watch = |rows: &RecordBatch| {
        for from in (0..rows.num_rows()).step_by(500) {
            let these = rows.slice(from, 500.min(rows.num_rows() - from));
            predictor.predict_observed(&these, None, &monitor).unwrap();
        }
        monitor.flush();
        monitor.report("notes").unwrap()
    };
    let report = watch(&rows(3_000, "sun"));
    assert!(report.has_enough_rows && !report.has_drifted(), "{report}");
    let one_kind: ArrayRef = Arc::new(StringArray::from(vec!["sun sun"; 3_000]));
    let report = watch(&RecordBatch::try_from_iter([("note", one_kind)]).unwrap());
    assert!(report.has_drifted(), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn its_rows_wait_for_batches_as_others_do() {
    let models = tempfile::tempdir().unwrap();
    train(rows(2_000, "ice"), ModelRepository::at(models.path())).await;
    let loaders = Loaders::default().with::<Words>();
    let manager = Manager::open(ModelRepository::at(models.path()), loaders).unwrap();
    let servable = manager.get("notes", None).unwrap();
    let limits = Limits::default().max_concurrency(1);
    let core = ServerCore::builder(Arc::new(manager))
        .limits(limits)
        .batching(Batching::default())
        .build()
        .unwrap();
    let all = rows(40, "ice");
    let expected = servable.predict(&all).unwrap();
    let asked: Vec<_> = (0..40)
        .map(|row| {
            let (core, one) = (core.clone(), all.slice(row, 1));
            tokio::spawn(async move { core.predict("notes", None, one).await.unwrap() })
        })
        .collect();
    for (row, answer) in asked.into_iter().enumerate() {
        assert_eq!(
            answer.await.unwrap().outputs().row(0),
            expected.outputs().row(row)
        );
    }
}

#[tokio::test]
async fn a_transform_that_is_given_does_not_fit_it() {
    let error = Pipeline::builder("notes")
        .data(
            BatchSource::new("notes", vec![rows(400, "ice")])
                .label("late")
                .transform(Transform::new().one_hot("note")),
        )
        .train(WordShares)
        .evaluate(Thresholds::new().at_least("auc", 0.8))
        .serve(InProcess::new())
        .build()
        .unwrap()
        .run()
        .await
        .map(drop)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("takes raw rows"), "{error}");
}
