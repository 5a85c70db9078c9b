//! Mistakes that people made, with the words that they are told. What does not compile is in `compile_fail.rs`.

use fourfold::Result;
use fourfold::blessing::Verdict;
use fourfold::model::{LinearModel, Predict};
use fourfold::prelude::*;
use fourfold::serving::lifecycle::VersionChoice;
use serde::{Deserialize, Serialize};

use crate::support::parcels;

fn data() -> DataPipeline<BatchSource> {
    BatchSource::new("parcels", vec![parcels(600)])
        .label("late")
        .exclude(["id"])
}

/// What a pipeline says with one thing changed.
fn said<V: Validator<LinearModel>>(data: DataPipeline<BatchSource>, gates: V) -> String {
    let pipeline = Pipeline::builder("parcels")
        .data(data)
        .train(LogisticRegression::default())
        .evaluate(gates)
        .serve(InProcess::new())
        .build();
    match pipeline.and_then(|pipeline| pipeline.run_blocking()) {
        Ok(Outcome::Deployed { .. }) => "deployed".to_owned(),
        Ok(Outcome::Rejected { run }) => run.verdict.to_string(),
        Err(error) => format!("{error:#}"),
    }
}

fn good() -> Thresholds {
    Thresholds::new().at_least("auc", 0.6)
}

#[test]
fn mistakes_in_a_pipeline_are_told_with_stage_field_and_range() {
    assert_eq!(said(data(), good()), "deployed");
    let cases = [
        ("label misspelt", said(data().label("lat"), good())),
        (
            "column of `exclude` misspelt",
            said(data().exclude(["kilogram"]), good()),
        ),
        (
            "metric misspelt",
            said(data(), Thresholds::new().at_least("acu", 0.7)),
        ),
        (
            "threshold out of range",
            said(data(), Thresholds::new().at_least("auc", 1.7)),
        ),
        ("share out of range", said(data().sample(2.0), good())),
        (
            "column of the transform misspelt",
            said(
                data().transform(Transform::new().z_score("kilogramms")),
                good(),
            ),
        ),
        (
            "validator that checks nothing",
            said(data(), Thresholds::new()),
        ),
        (
            "too good to be true",
            said(data(), Thresholds::new().at_least("auc", 0.999)),
        ),
    ];
    let text: Vec<String> = cases.map(|(what, said)| format!("{what}\n  {said}")).into();
    insta::assert_snapshot!("pipeline", text.join("\n"));
}

#[test]
fn two_stages_that_nothing_tells_apart_are_refused() {
    let one = || {
        let judge = |_: EvalArgs<'_, LinearModel>| -> Result<Verdict> {
            Ok(Verdict::new().check("a", true, "fine"))
        };
        fourfold::StageFn::<_, LinearModel>::new("mine", 1, judge)
    };
    let error = (one(), one()).check().unwrap_err();
    assert_eq!(
        error.message(),
        "duplicate stage \"mine\": another one has the same name, version and configuration; change its name or version"
    );
    // Thresholds of two kinds side by side are told apart by what they are configured with.
    (good(), Thresholds::new().better_than_constant())
        .check()
        .unwrap();
    assert!(vec![good(), good()].check().is_err());
}

#[test]
fn a_panic_of_a_trainer_is_told_in_its_words() {
    let error = Pipeline::builder("parcels")
        .data(data())
        .train_with("mine", 1, |args: &TrainArgs| -> Result<LinearModel> {
            panic!("there are {} features, I want 7", args.train().n_features())
        })
        .evaluate(good())
        .serve(InProcess::new())
        .build()
        .unwrap()
        .run_blocking()
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("mine: the trainer panicked: there are ")
            && text.ends_with(" features, I want 7"),
        "{text}"
    );
}

#[derive(Serialize)]
struct Parcel {
    kilograms: f64,
    road: &'static str,
}

#[derive(Debug, Deserialize)]
struct Late {
    #[expect(dead_code, reason = "only its type matters")]
    probability: f64,
}

#[test]
fn mistakes_in_asking_are_told_with_near_names() {
    #[derive(Serialize)]
    struct Misspelt {
        kilogramms: f64,
        road: &'static str,
    }
    #[derive(Serialize)]
    struct OtherType {
        kilograms: &'static str,
        road: &'static str,
    }
    #[derive(Serialize)]
    struct Less {
        kilograms: f64,
    }
    #[derive(Debug, Deserialize)]
    struct LateMisspelt {
        #[expect(dead_code, reason = "only its name matters")]
        probabilty: Option<f64>,
    }
    let road = "air";
    let pipeline = Pipeline::builder("parcels")
        .data(data())
        .train(LogisticRegression::default())
        .evaluate(good())
        .serve(InProcess::new())
        .build()
        .unwrap();
    let endpoint = pipeline.run_blocking().unwrap().endpoint().unwrap();
    let predictor = endpoint.predictor().unwrap();
    assert!(predictor.servable().model().n_features() > 0);
    let parcel = Parcel {
        kilograms: 1.0,
        road,
    };
    predictor
        .typed::<_, Late>()
        .unwrap()
        .predict(&parcel)
        .unwrap();

    fn row<In: Serialize>(predictor: &Predictor, row: &In) -> String {
        let typed = predictor.typed::<In, Late>().unwrap();
        format!("{:#}", typed.predict(row).unwrap_err())
    }
    let get = |name: &str, version: VersionChoice<'_>| {
        let got = endpoint.manager().get(name, version);
        format!("{:#}", got.unwrap_err())
    };
    let typed = predictor.typed::<Parcel, LateMisspelt>().unwrap_err();
    let cases = [
        (
            "field misspelt",
            row(
                &predictor,
                &Misspelt {
                    kilogramms: 1.0,
                    road,
                },
            ),
        ),
        (
            "field of another type",
            row(
                &predictor,
                &OtherType {
                    kilograms: "heavy",
                    road,
                },
            ),
        ),
        ("field left out", row(&predictor, &Less { kilograms: 1.0 })),
        ("answer misspelt", format!("{typed:#}")),
        ("model misspelt", get("parcel", VersionChoice::Default)),
        (
            "version that is not there",
            get("parcels", VersionChoice::Number(7)),
        ),
        (
            "label that is not there",
            get("parcels", VersionChoice::Label("stabel")),
        ),
        (
            "address of what does not listen",
            format!("{:#}", endpoint.url().unwrap_err()),
        ),
    ];
    let text: Vec<String> = cases.map(|(what, said)| format!("{what}\n  {said}")).into();
    insta::assert_snapshot!("asking", text.join("\n"));
}
