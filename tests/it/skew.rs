//! No training-serving skew: one row has the same features and the same prediction everywhere, bit for bit.

use std::sync::Arc;

use fourfold::Result;
use fourfold::arrow::array::{Array, AsArray, RecordBatch};
use fourfold::arrow::compute::{cast, concat_batches};
use fourfold::arrow::datatypes::{DataType, Float64Type, Int64Type};
use fourfold::blessing::{Blessed, Verdict};
use fourfold::data::EVAL;
use fourfold::model::{LinearModel, Model, Servable};
use fourfold::ndarray::Axis;
use fourfold::prelude::*;
use fourfold::progress::Progress;
use fourfold::schema::FieldType;
use fourfold::serving::PushedModel;
use fourfold::training::{Dataset, Linear};
use serde::Serialize;
use serde_json::{Value, json};

const FLIGHTS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/examples/data/flights/2013-01.parquet"
);

fn data() -> DataPipeline<FileSource> {
    FileSource::parquet(FLIGHTS)
        .label(Label::at_least("arr_delay", 15.0).named("late"))
        .exclude(["dep_time", "dep_delay", "arr_time", "air_time"])
}

#[tokio::test(flavor = "multi_thread")]
async fn training_the_predictor_and_http_agree_on_a_thousand_rows() {
    let models = tempfile::tempdir().unwrap();
    let outcome = Pipeline::builder("skew")
        .data(data())
        .train(Linear::default())
        .evaluate(Thresholds::new().better_than_constant())
        .serve(InProcess::at(models.path()).listen("127.0.0.1:0"))
        .build()
        .unwrap()
        .run()
        .await
        .unwrap();
    let endpoint: Endpoint = outcome
        .endpoint()
        .expect("a better model than the constant");

    // The training path: the data pipeline's own examples behind its own transform. It is deterministic, so this
    // second run has fitted the same transform.
    let scratch = tempfile::tempdir().unwrap();
    let engine = Engine::new().unwrap();
    let prepared = data()
        .run(&engine, scratch.path(), &Progress::default())
        .await
        .unwrap();
    let examples = prepared.split(EVAL).unwrap();
    let target = Arc::new(prepared.target().clone());
    let plan = prepared
        .fit(Linear::default().capabilities().takes, &engine)
        .await
        .unwrap();
    let dataset = Dataset::new(examples.clone(), Arc::clone(plan.transform()), target);
    let trained_on = dataset.matrix().unwrap();

    let rows: Vec<RecordBatch> = examples.batches(&[]).collect::<Result<_>>().unwrap();
    let rows = concat_batches(examples.schema(), &rows).unwrap();
    let rows = rows.slice(0, 1_000);
    let predictor = endpoint.predictor().unwrap();

    let features = predictor.servable().features(&rows).unwrap();
    assert_eq!(features.n_rows(), 1_000);
    assert_eq!(
        features.matrix(),
        trained_on.features().slice_axis(Axis(0), (0..1_000).into())
    );

    let in_process = predictor.predict(&rows).unwrap();
    let on_features = predictor.servable().model().predict(&features).unwrap();
    assert_eq!(in_process.outputs(), &on_features);

    // As Arrow, from disk, in another manager: what a server on another machine does.
    let repository = ModelRepository::at(models.path());
    let loaded = repository.load("skew", 1, &Loaders::default()).unwrap();
    assert_eq!(loaded.features(&rows).unwrap().matrix(), features.matrix());
    assert_eq!(loaded.predict(&rows).unwrap(), in_process);

    // Over HTTP, as JSON, NULLs included.
    let url = format!("{}/v2/models/skew/infer", endpoint.url().unwrap());
    let request = request(predictor.servable(), &rows);
    let answered: Value = tokio::task::spawn_blocking(move || {
        let mut response = ureq::post(url).send_json(request).unwrap();
        response.body_mut().read_json().unwrap()
    })
    .await
    .unwrap();
    let probabilities: Vec<f64> = answered["outputs"]
        .as_array()
        .unwrap()
        .iter()
        .find(|output| output["name"] == "probability")
        .unwrap()["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|value| value.as_f64().unwrap())
        .collect();
    assert_eq!(probabilities, in_process.outputs().column(0).to_vec());
}

/// Raw rows in the Open Inference Protocol.
fn request(servable: &Servable, rows: &RecordBatch) -> Value {
    let n = rows.num_rows();
    let inputs: Vec<Value> = servable
        .schema()
        .fields
        .iter()
        .map(|field| {
            let column = rows.column_by_name(&field.name).unwrap();
            let value = |row: usize, value: Value| {
                if column.is_null(row) {
                    Value::Null
                } else {
                    value
                }
            };
            let (datatype, data): (&str, Vec<Value>) = match field.field_type {
                FieldType::Integer => {
                    let numbers = column.as_primitive::<Int64Type>();
                    (
                        "INT64",
                        (0..n)
                            .map(|row| value(row, json!(numbers.value(row))))
                            .collect(),
                    )
                }
                FieldType::Float => {
                    let numbers = column.as_primitive::<Float64Type>();
                    (
                        "FP64",
                        (0..n)
                            .map(|row| value(row, json!(numbers.value(row))))
                            .collect(),
                    )
                }
                _ => {
                    let texts = cast(column, &DataType::Utf8).unwrap();
                    let texts = texts.as_string::<i32>();
                    (
                        "BYTES",
                        (0..n)
                            .map(|row| value(row, json!(texts.value(row))))
                            .collect(),
                    )
                }
            };
            json!({"name": field.name, "shape": [n], "datatype": datatype, "data": data})
        })
        .collect();
    json!({"inputs": inputs})
}

/// What a server gets is what the validators saw.
#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_model_reaches_no_server() {
    #[derive(Serialize)]
    struct Never(std::path::PathBuf);

    impl Stage for Never {
        fn name(&self) -> &str {
            "never"
        }
    }

    impl<M: Model> Server<M> for Never {
        type Endpoint = PushedModel;

        async fn deploy(&self, model: Blessed<M>) -> Result<PushedModel> {
            ModelRepository::at(&self.0).push(&model)
        }
    }

    let models = tempfile::tempdir().unwrap();
    let outcome = Pipeline::builder("rejected")
        .data(data())
        .train(Linear::default())
        .validate_with("no", 1, |_: EvalArgs<'_, LinearModel>| {
            Ok(Verdict::new().check("no", false, "not on a Monday"))
        })
        .serve(Never(models.path().to_owned()))
        .build()
        .unwrap()
        .run()
        .await
        .unwrap();
    assert!(!outcome.is_deployed());
    assert_eq!(outcome.run().verdict.reasons(), ["not on a Monday"]);
    assert_eq!(std::fs::read_dir(models.path()).unwrap().count(), 0);
}
