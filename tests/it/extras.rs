//! What a model answers with beside its outputs, from the model to columns, structs, logs and served answers.

use std::path::Path;

use fourfold::Result;
use fourfold::arrow::array::{AsArray, RecordBatch};
use fourfold::arrow::datatypes::Float64Type;
use fourfold::features::Features;
use fourfold::model::{ConformalModel, Servable, load_json, save_json};
use fourfold::ndarray::{Array2, Axis, stack};
use fourfold::prelude::*;
use fourfold::serving::ServerCore;
use fourfold::training::{Conformal, ConformalSets};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::support::parcels;

/// The share of positives, and the set of classes that are not too rare.
#[derive(Debug, Serialize, Deserialize)]
struct Shares {
    n_features: usize,
    share: f64,
    names: [String; 2],
}

impl Predict for Shares {
    fn n_features(&self) -> usize {
        self.n_features
    }

    fn n_outputs(&self) -> usize {
        1
    }

    fn predict(&self, features: &Features) -> Result<Array2<f64>> {
        Ok(self.predict_with_extras(features)?.0)
    }

    fn extras(&self) -> Vec<String> {
        self.names.to_vec()
    }

    fn predict_with_extras(&self, features: &Features) -> Result<(Array2<f64>, Array2<f64>)> {
        let first = features.matrix().column(0).map(|x| f64::from(*x));
        let share = first.map(|x| if *x > 0.0 { self.share } else { 0.1 });
        let is_in = |p: f64| f64::from(u8::from(p >= 0.2));
        let sets = stack![
            Axis(1),
            share.map(|p| is_in(1.0 - p)),
            share.map(|p| is_in(*p))
        ];
        Ok((share.insert_axis(Axis(1)), sets))
    }
}

impl Model for Shares {
    const FORMAT: &'static str = "test.shares.v1";

    fn save(&self, dir: &Path) -> Result<()> {
        save_json(dir, "shares.json", self)
    }

    fn load(dir: &Path, _: &Loaders) -> Result<Self> {
        load_json(dir, "shares.json")
    }
}

async fn train_shares(names: [&str; 2], models: &Path) -> Outcome<fourfold::serving::PushedModel> {
    let names = names.map(str::to_owned);
    Pipeline::builder("parcels")
        .data(
            BatchSource::new("parcels", vec![parcels(1_000)])
                .label("late")
                .transform(Transform::new().z_score("kilograms")),
        )
        .train_with("shares", 1, move |args: &TrainArgs| {
            let n_features = args.train().n_features();
            Ok(Shares {
                n_features,
                share: 0.4,
                names: names.clone(),
            })
        })
        .evaluate(Thresholds::new().at_least("auc", 0.0))
        .serve(ModelRepository::at(models))
        .loaders(Loaders::default().with::<Shares>())
        .build()
        .unwrap()
        .run()
        .await
        .unwrap()
}

fn numbers<'a>(batch: &'a RecordBatch, name: &str) -> &'a [f64] {
    batch[name].as_primitive::<Float64Type>().values()
}

/// A row as an application has it.
#[derive(Serialize)]
struct Parcel {
    kilograms: f64,
}

#[tokio::test(flavor = "multi_thread")]
async fn sets_of_classes_of_a_model_of_ones_own() {
    let models = tempfile::tempdir().unwrap();
    let pushed = train_shares(["set_no", "set_yes"], models.path())
        .await
        .endpoint()
        .unwrap();
    let loaders = Loaders::default().with::<Shares>();
    let loaded = Servable::load(&pushed.path, &loaders).unwrap();
    let answers = loaded.predict(&parcels(50)).unwrap();
    assert_eq!(answers.extra_names(), ["set_no", "set_yes"]);
    assert!(answers.extra("set_maybe").is_none());
    let batch = answers.to_batch().unwrap();
    let names: Vec<&str> = batch
        .schema_ref()
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    assert_eq!(names, ["class", "probability", "set_no", "set_yes"]);
    let both = numbers(&batch, "probability")
        .iter()
        .zip(numbers(&batch, "set_yes"));
    assert!(
        both.clone()
            .all(|(p, is_in)| (*p == 0.4) == (*is_in == 1.0))
    );
    assert!(
        both.clone().any(|(_, is_in)| *is_in == 1.0)
            && both.clone().any(|(_, is_in)| *is_in == 0.0)
    );

    // As a struct.
    #[derive(Deserialize)]
    struct Answer {
        class: String,
        probability: f64,
        set_no: f64,
        set_yes: f64,
    }
    let manager = Manager::open(ModelRepository::at(models.path()), loaders).unwrap();
    let predictor = manager.get("parcels", None).unwrap();
    let heavy: Answer = predictor.predict_row(&Parcel { kilograms: 99.0 }).unwrap();
    assert_eq!(
        (
            heavy.class.as_str(),
            heavy.probability,
            heavy.set_no,
            heavy.set_yes
        ),
        ("no", 0.4, 1.0, 1.0)
    );
    let (_, probability): (String, f64) =
        predictor.predict_row(&Parcel { kilograms: 1.0 }).unwrap();
    assert_eq!(probability, 0.1);

    // Of more rows than a server predicts at a time.
    let core = ServerCore::builder(std::sync::Arc::new(manager))
        .build()
        .unwrap();
    let many = parcels(5_000);
    let served = core.predict("parcels", None, many.clone()).await.unwrap();
    assert_eq!(served, loaded.predict(&many).unwrap());
}

#[tokio::test]
async fn names_that_are_taken_do_not_serve() {
    for names in [["probability", "a"], ["a", "a"], ["", "a"]] {
        let models = tempfile::tempdir().unwrap();
        let trained = Pipeline::builder("parcels")
            .data(
                BatchSource::new("parcels", vec![parcels(400)])
                    .label("late")
                    .exclude(["id"]),
            )
            .train_with("shares", 1, move |args: &TrainArgs| {
                let n_features = args.train().n_features();
                Ok(Shares {
                    n_features,
                    share: 0.4,
                    names: names.map(str::to_owned),
                })
            })
            .evaluate(Thresholds::new().at_least("auc", 0.0))
            .serve(ModelRepository::at(models.path()))
            .build()
            .unwrap()
            .run()
            .await;
        let error = trained.map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Model);
        assert!(
            error.to_string().contains("a name that is taken"),
            "{error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conformal_sets_are_served() {
    let outcome = Pipeline::builder("parcels")
        .data(
            BatchSource::new("parcels", vec![parcels(2_000)])
                .label("late")
                .exclude(["id"]),
        )
        .train(ConformalSets::new(GradientBoosting::default(), 0.99))
        .evaluate(Thresholds::new().better_than_constant())
        .serve(InProcess::new().listen("127.0.0.1:0"))
        .build()
        .unwrap()
        .run()
        .await
        .unwrap();
    let endpoint: Endpoint = outcome.endpoint().unwrap();
    let answers = endpoint.predict(&parcels(400)).unwrap();
    assert_eq!(answers.extra_names(), ["set_no", "set_yes"]);
    let sizes = answers.extra("set_no").unwrap().to_owned() + answers.extra("set_yes").unwrap();
    // Some rows are not clear with 99 %, and none has no class.
    assert!(sizes.iter().all(|size| *size == 1.0 || *size == 2.0));
    assert!(sizes.iter().any(|size| *size == 2.0), "{sizes}");

    let url = endpoint.url().unwrap();
    let answer = tokio::task::spawn_blocking(move || {
        let request = json!({"instances": [{"kilograms": 99.0, "road": "road"}]});
        let answer = ureq::post(format!("{url}/v1/models/parcels:predict")).send_json(request);
        let answer: Value = answer.unwrap().body_mut().read_json().unwrap();
        answer["predictions"][0].clone()
    });
    let answer = answer.await.unwrap();
    assert!(
        answer["set_no"].is_number() && answer["set_yes"].is_number(),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn intervals_are_served() {
    let models = tempfile::tempdir().unwrap();
    let server = InProcess::at(ModelRepository::at(models.path())).listen("127.0.0.1:0");
    let outcome = Pipeline::builder("weights")
        .data(
            BatchSource::new("parcels", vec![parcels(2_000)])
                .label("kilograms")
                .exclude(["id"]),
        )
        .train(Conformal::new(LinearRegression::default(), 0.9))
        .evaluate(Thresholds::new().at_most("mae", 100.0))
        .serve(server)
        .build()
        .unwrap()
        .run()
        .await
        .unwrap();
    let endpoint: Endpoint = outcome.endpoint().unwrap();
    let servable = endpoint.predictor().unwrap();
    let servable = servable.servable();
    let model = servable.model().downcast_ref::<ConformalModel>().unwrap();

    let rows = parcels(40);
    let answers = servable.predict(&rows).unwrap();
    let intervals = model.intervals(&servable.features(&rows).unwrap()).unwrap();
    assert_eq!(answers.extra("lower").unwrap(), intervals.column(0));
    assert_eq!(answers.extra("upper").unwrap(), intervals.column(1));

    let url = endpoint.url().unwrap();
    let (road, late) = ("road", "no");
    let (metadata, answer, rest) = tokio::task::spawn_blocking(move || {
        let read = |mut response: ureq::http::Response<ureq::Body>| -> Value { response.body_mut().read_json().unwrap() };
        let column = |name: &str, value: &str| json!({"name": name, "shape": [1], "datatype": "BYTES", "data": [value]});
        let request = json!({"inputs": [column("road", road), column("late", late)]});
        let model = format!("{url}/v2/models/weights");
        let metadata = read(ureq::get(&model).call().unwrap());
        let answer = read(ureq::post(format!("{model}/infer")).send_json(request).unwrap());
        let request = json!({"instances": [{"road": road, "late": late}]});
        let rest = ["predict", "regress"].map(|method| {
            let key = if method == "predict" { "instances" } else { "examples" };
            let request = json!({key: request["instances"]});
            read(ureq::post(format!("{url}/v1/models/weights:{method}")).send_json(request).unwrap())
        });
        (metadata, answer, rest)
    })
    .await
    .unwrap();
    let names: Vec<&str> = metadata["outputs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["value", "lower", "upper"]);
    let outputs = answer["outputs"].as_array().unwrap();
    let [value, lower, upper] = [0, 1, 2].map(|at| outputs[at]["data"][0].as_f64().unwrap());
    assert!(lower < value && value < upper, "{answer}");
    assert_eq!(
        rest[0]["predictions"][0],
        json!({"value": value, "lower": lower, "upper": upper})
    );
    assert_eq!(rest[1]["results"], json!([value]));
}
