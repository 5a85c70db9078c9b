//! Real flights become a served model, in one file.
//!
//! ```sh
//! cargo run --example quickstart
//! cargo run --example quickstart -- --root runs   # kept there; the next time, only what has changed runs
//! ```
//!
//! A year of flights from New York (`examples/data`): will a flight arrive fifteen minutes late or more? We only use
//! what is known before departure. `dep_delay`, `dep_time`, `arr_time` and `air_time` are in the data and say it almost
//! all, but only once it is too late: using them would be leakage. `tailnum` leaks too, it is missing when a flight was
//! cancelled. So the transform names its columns, and these are not among them.

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

mod support;

#[path = "support/keeping.rs"]
mod keeping;

use std::sync::Arc;

use clap::Parser;
use fourfold::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use fourfold::prelude::*;
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

    // 2. Four pipelines. A flight stays in its split for ever: the hash of its key decides.
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
    let (endpoint, run) = match pipeline.run_blocking()? {
        Outcome::Deployed { endpoint, run } => (endpoint, run),
        Outcome::Rejected { run } => {
            println!("{}", run.verdict);
            return Ok(());
        }
    };
    let rows: Vec<String> = run
        .rows
        .iter()
        .map(|(split, n)| format!("{n} {split}"))
        .collect();
    println!(
        "rows      {} ({} never arrived)",
        rows.join(", "),
        run.unlabelled_rows
    );
    let delays = run.statistics.column("distance")?;
    let median = delays.numeric.as_ref().and_then(|numeric| numeric.median());
    println!(
        "schema    {} columns, valid in every split; the median flight is {} miles long",
        run.schema.fields.len(),
        median.unwrap_or_default()
    );
    println!("features  {}", run.features.len());
    println!(
        "metrics   AUC {:.3}, log loss {:.3}",
        run.metrics.metric("auc")?,
        run.metrics.metric("log_loss")?
    );
    for slice in &run.metrics.slices {
        if let Some(auc) = slice.metrics.get("auc").filter(|_| slice.n_rows() >= 1_000) {
            println!("          {} AUC {auc:.3}", slice.slice);
        }
    }
    for check in run.verdict.checks() {
        println!("blessed   {}", check.message);
    }
    let predictor = endpoint.predictor()?;
    println!(
        "pushed    version {} of {}",
        predictor.version(),
        endpoint.name()
    );

    // 4. One flight, asked over HTTP and in process: the same bits.
    let over_http = ask(&endpoint.url()?)?;
    let in_process = predictor.predict(&flight()?)?.outputs()[[0, 0]];
    println!("served    at {}", endpoint.url()?);
    println!("          an evening flight in July is late with probability {over_http} over HTTP");
    println!("          {} {in_process} in process", " ".repeat(48));
    assert_eq!(over_http, in_process);
    if !run.reused.is_empty() {
        println!(
            "reused    {}; ran {}",
            run.reused.join(", "),
            run.ran.join(", ")
        );
    }
    let seconds: f64 = run.timings_s.values().sum();
    println!("done      in {seconds:.1} s");
    Ok(())
}

/// One raw row: a flight of United from Newark, 1,400 miles, on a July evening.
fn flight() -> Result<RecordBatch> {
    let whole = |value| Arc::new(Int64Array::from(vec![value])) as ArrayRef;
    let text = |value| Arc::new(StringArray::from(vec![value])) as ArrayRef;
    Ok(RecordBatch::try_from_iter([
        ("month", whole(7)),
        ("hour", whole(19)),
        ("distance", whole(1_400)),
        ("carrier", text("UA")),
        ("origin", text("EWR")),
    ])?)
}

/// The same row in the Open Inference Protocol.
fn ask(url: &str) -> Result<f64> {
    let tensor = |name: &str, datatype: &str, value: Value| json!({"name": name, "shape": [1], "datatype": datatype, "data": [value]});
    let request = json!({"inputs": [
        tensor("month", "INT64", json!(7)),
        tensor("hour", "INT64", json!(19)),
        tensor("distance", "INT64", json!(1_400)),
        tensor("carrier", "BYTES", json!("UA")),
        tensor("origin", "BYTES", json!("EWR")),
    ]});
    let failed = |error: ureq::Error| Error::other("asking over HTTP", error);
    let response: Value = ureq::post(format!("{url}/v2/models/late-flights/infer"))
        .send_json(request)
        .and_then(|mut response| response.body_mut().read_json())
        .map_err(failed)?;
    let outputs = response["outputs"].as_array().cloned().unwrap_or_default();
    outputs
        .iter()
        .find(|output| output["name"] == "probability")
        .and_then(|output| output["data"][0].as_f64())
        .ok_or_else(|| Error::new(ErrorKind::Data, format!("no probability in {response}")))
}
