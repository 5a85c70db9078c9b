//! A pipeline over text and categories that learn from the label: saved, loaded, served, the same bits everywhere.

use std::sync::Arc;

use fourfold::Result;
use fourfold::arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use fourfold::arrow::compute::concat_batches;
use fourfold::data::{EVAL, TRAIN};
use fourfold::prelude::*;
use fourfold::progress::Progress;
use fourfold::training::{Dataset, Linear};
use fourfold::transform::ops::{TargetEncode, Terms};
use serde_json::{Value, json};

use crate::support::fitted;

/// `n` reviews: words that tell whether the customer returns, and a shop that tells it a little.
fn reviews(n: usize) -> RecordBatch {
    let noise = |i: usize, m: usize| ((i * 7_919 + 13) % 10_007) % m;
    let good = [
        "Quick, friendly",
        "Très bien!",
        "lovely lovely place",
        "quick and quiet",
    ];
    let bad = [
        "Slow; never again",
        "rude AND slow",
        "the food was cold",
        "cold, slow, loud",
    ];
    let returns: Vec<bool> = (0..n).map(|i| noise(i, 5) < 2).collect();
    let text: Vec<Option<String>> = (0..n)
        .map(|i| {
            let words = if returns[i] != (noise(i, 11) == 0) {
                good
            } else {
                bad
            };
            let text = format!(
                "{} visit{} {}",
                words[noise(i, 4)],
                noise(i, 700),
                words[noise(i, 3)]
            );
            (noise(i, 37) > 0).then_some(text)
        })
        .collect();
    let shop: Vec<String> = (0..n)
        .map(|i| {
            format!(
                "shop {}",
                noise(i, 40) * 2 + usize::from(returns[i] == (noise(i, 3) > 0))
            )
        })
        .collect();
    let returns: Vec<&str> = returns
        .iter()
        .map(|yes| if *yes { "yes" } else { "no" })
        .collect();
    let columns: [(&str, ArrayRef); 4] = [
        ("id", Arc::new(Int64Array::from_iter_values(0..n as i64))),
        ("text", Arc::new(StringArray::from(text))),
        ("shop", Arc::new(StringArray::from(shop))),
        ("returns", Arc::new(StringArray::from(returns))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn transform() -> Transform {
    Transform::new()
        .word_count("text")
        .impute("text_words", Fill::Number(0.0))
        .tokens("text")
        .n_grams("text", 1..=2)
        .step_to(
            "text",
            "weights",
            fourfold::transform::ops::TfIdf {
                terms: Terms::top(30).min_count(3).oov(2),
            },
        )
        .step_to(
            "text",
            "hashes",
            fourfold::transform::ops::HashBuckets {
                n_buckets: 8,
                key: 7,
            },
        )
        .bag_of_words("text", Terms::top(20).by_adjusted_mutual_information())
        .step(
            "shop",
            TargetEncode::default().smoothing(5.0).fold_by(["id"]),
        )
}

fn data() -> DataPipeline<BatchSource> {
    BatchSource::new("reviews", vec![reviews(3_000)])
        .label("returns")
        .transform(transform())
}

#[tokio::test(flavor = "multi_thread")]
async fn text_is_served_as_it_was_trained_on() {
    let models = tempfile::tempdir().unwrap();
    let outcome = Pipeline::builder("reviews")
        .data(data())
        .train(Linear::default())
        .evaluate(Thresholds::new().at_least("auc", 0.8))
        .serve(InProcess::at(models.path()).listen("127.0.0.1:0"))
        .build()
        .unwrap()
        .run()
        .await
        .unwrap();
    let endpoint: Endpoint = outcome.endpoint().expect("words tell the label");

    let scratch = tempfile::tempdir().unwrap();
    let prepared = data()
        .run(
            &Engine::new().unwrap(),
            scratch.path(),
            &Progress::default(),
        )
        .await
        .unwrap();
    let fitted = fitted(&prepared).await;
    let dataset = |split| {
        let target = Arc::new(prepared.target().clone());
        Dataset::new(
            prepared.split(split).unwrap().clone(),
            Arc::clone(fitted.transform()),
            target,
        )
    };
    let batches = dataset(EVAL)
        .examples()
        .batches(&[])
        .collect::<Result<Vec<_>>>()
        .unwrap();
    let rows = concat_batches(dataset(EVAL).examples().schema(), &batches).unwrap();
    let repository = ModelRepository::at(models.path());
    let loaded = repository.load("reviews", 1, &Loaders::default()).unwrap();
    let features = loaded.features(&rows).unwrap();
    assert_eq!(
        features.matrix(),
        dataset(EVAL).matrix().unwrap().features()
    );
    assert_eq!(
        loaded
            .schema()
            .fields
            .iter()
            .map(|field| field.name.as_str())
            .collect::<Vec<_>>(),
        ["text", "shop"],
        "the key is for training only"
    );

    // Each row alone over HTTP.
    let predicted = loaded.predict(&rows).unwrap();
    for row in [0, 1, 17, 60] {
        let value = |name: &str| {
            let column = rows.column_by_name(name).unwrap();
            let text = column.as_string::<i32>().iter().nth(row).unwrap();
            json!({"name": name, "shape": [1], "datatype": "BYTES", "data": [text]})
        };
        let request = json!({"inputs": [value("text"), value("shop")]});
        let url = format!("{}/v2/models/reviews/infer", endpoint.url().unwrap());
        let answered: Value = tokio::task::spawn_blocking(move || {
            ureq::post(url)
                .send_json(request)
                .unwrap()
                .body_mut()
                .read_json()
                .unwrap()
        })
        .await
        .unwrap();
        let outputs = answered["outputs"].as_array().unwrap();
        let probability = outputs
            .iter()
            .find(|output| output["name"] == "probability")
            .unwrap();
        assert_eq!(
            probability["data"][0].as_f64().unwrap(),
            predicted.outputs()[[row, 0]]
        );
    }

    // The rows that the model was trained on do not see their own labels, at once or in batches; words are the same.
    let trained_on = dataset(TRAIN).to_train();
    let (trained_on, in_batches) = (
        trained_on.matrix().unwrap(),
        trained_on
            .batches()
            .map(|batch| batch.unwrap().into_parts().0)
            .collect::<Vec<_>>(),
    );
    let served = dataset(TRAIN).matrix().unwrap();
    let names = fitted.transform().features();
    for (place, name) in names.iter().enumerate() {
        let (trained_on, served) = (trained_on.features(), served.features());
        let same = trained_on.column(place) == served.column(place);
        assert_eq!(same, name != "shop", "{name}");
    }
    let in_batches: Vec<f32> = in_batches.into_iter().flatten().collect();
    assert_eq!(
        in_batches,
        trained_on.features().iter().copied().collect::<Vec<_>>()
    );
}
