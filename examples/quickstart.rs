//! Real flights become a served model, in one file.
//!
//! ```sh
//! cargo run --example quickstart
//! cargo run --example quickstart -- --root runs   # keeps the results; the next run repeats only what has changed
//! ```
//!
//! A year of flights from New York (`examples/data`): will a flight arrive fifteen minutes late or more? The features
//! are known before departure. `dep_delay`, `dep_time`, `arr_time` and `air_time` would predict the label almost perfectly,
//! but are only known after departure: using them would be leakage. `tailnum` leaks too, as it is missing for cancelled
//! flights. So the transform names its columns, and these are not among them.

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

mod support;

#[path = "support/keeping.rs"]
mod keeping;

use clap::Parser;
use fourfold::Result;
use fourfold::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::keeping::Keeping;

/// Real flights become a served model.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    keeping: Keeping,
}

fn main() -> Result<()> {
    let keeping = Args::parse().keeping;
    let flights = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/flights");
    let scratch = tempfile::tempdir()?;
    let models = match &keeping.root {
        Some(root) => root.join("models"),
        None => scratch.path().to_owned(),
    };

    // 1. Features: fitted on the train split only, saved with the model, applied by the same code when serving.
    let transform = Transform::new()
        .cyclic("month", 12.0)
        .cyclic("hour", 24.0)
        .z_score("distance")
        .one_hot("carrier")
        .one_hot("origin");

    // 2. Four pipelines. A flight always stays in its split, which is chosen by the hash of its key.
    let pipeline = Pipeline::builder("late-flights")
        .data(
            FileSource::parquet(flights)
                .label(Label::at_least("arr_delay", 15.0).named("late"))
                .split(Split::by_hash(
                    ["time_hour", "carrier", "flight"],
                    [("train", 8), ("eval", 1), ("test", 1)],
                ))
                .transform(transform),
        )
        .train(LogisticRegression::default())
        .evaluate(
            EvaluationPipeline::new(
                Thresholds::new()
                    .at_least("auc", 0.62)
                    .better_than_constant(),
            )
            .slice_by(["carrier"]),
        )
        .serve(InProcess::at(models).listen("127.0.0.1:0"))
        .observe(support::progress_bar());
    let pipeline = keeping.apply(pipeline).build()?;
    if keeping.explain {
        print!("{}", pipeline.explain_blocking()?);
        return Ok(());
    }

    // 3. Read, split, analyse, validate, fit, train, evaluate, bless, push, serve.
    let outcome = pipeline.run_blocking()?;
    println!("{}", outcome.run());
    let Some(endpoint) = outcome.endpoint() else {
        return Ok(());
    };

    // 4. One flight, asked over HTTP and in process: the same bits.
    let flight = Flight {
        month: 7,
        hour: 19,
        distance: 1_400,
        carrier: "UA",
        origin: "EWR",
    };
    let late: Late = endpoint.predictor()?.typed()?.predict(&flight)?;
    let over_http = ask(&endpoint.url()?, &flight)?;
    println!("served at {}: an evening flight in July", endpoint.url()?);
    println!("is late with probability {over_http} over HTTP");
    println!("                         {} in process", late.probability);
    assert_eq!(over_http, late.probability);
    Ok(())
}

/// A raw row, as the application has it.
#[derive(Serialize)]
struct Flight {
    month: i64,
    hour: i64,
    distance: i64,
    carrier: &'static str,
    origin: &'static str,
}

/// The fields of an answer that the application uses.
#[derive(Deserialize)]
struct Late {
    probability: f64,
}

/// The same row by TensorFlow Serving's REST; the Open Inference Protocol is answered at the same address.
fn ask(url: &str, flight: &Flight) -> Result<f64> {
    let answer = ureq::post(format!("{url}/v1/models/late-flights:predict"))
        .send_json(json!({"instances": [flight]}))
        .and_then(|mut response| response.body_mut().read_json::<Value>())
        .map_err(|error| Error::other("asking over HTTP", error))?;
    answer["predictions"][0]["probability"]
        .as_f64()
        .ok_or_else(|| Error::new(ErrorKind::Data, format!("no probability in {answer}")))
}
