//! Evaluates any saved model on any labelled raw file: `evaluate --model DIR --input FILE`.
//!
//! ```sh
//! cargo run --example evaluate -- --model models/flights/1 --input flights.parquet --slice carrier --json result.json
//! ```
//!
//! The rule of the label is saved with the model. Requirements are in a TOML or JSON file, of which a list of gates is one; without
//! one, no verdict is given.

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

#[path = "support/reading.rs"]
mod reading;

use std::path::PathBuf;

use clap::Parser;
use fourfold::Result;
use fourfold::evaluation::{Baseline, Gates, RubberStamp, WorstSlices};
use fourfold::metrics::{MetricValue, Metrics};
use fourfold::model::{AnyModel, Servable};
use fourfold::pipeline::Requirements;
use fourfold::prelude::*;
use serde_json::{Value, json};

use crate::reading::Reading;

/// Metrics with intervals, by slice, against a baseline, judged by gates.
#[derive(Parser)]
struct Args {
    /// The directory of a saved model.
    #[arg(long)]
    model: PathBuf,
    /// A CSV, JSON, Parquet or Arrow file of labelled raw rows, or a directory of them.
    #[arg(long)]
    input: PathBuf,
    #[command(flatten)]
    reading: Reading,
    /// The directory of a saved model to compare with.
    #[arg(long)]
    baseline: Option<PathBuf>,
    /// A column to evaluate by (may be repeated).
    #[arg(long)]
    slice: Vec<String>,
    /// A file of requirements (.toml or .json): gates, slices, protected columns, costs and metrics.
    #[arg(long)]
    gates: Option<PathBuf>,
    /// A column; rows of one value belong together, such as those of a customer (intervals take 200 times as long).
    #[arg(long)]
    cluster: Option<String>,
    /// A column whose groups are to be treated alike (may be repeated).
    #[arg(long)]
    protected: Vec<String>,
    /// Search the slices in which the model does worst.
    #[arg(long)]
    worst_slices: bool,
    /// Write the result as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    evaluate(&args).await.map_err(reading::in_options)
}

async fn evaluate(args: &Args) -> Result<()> {
    let servable = Servable::load(&args.model, &Loaders::default())?;
    let source = args
        .reading
        .source(&args.input)?
        .typed_as(servable.schema());
    let rows = source.read(&Engine::new()?).await?.collect().await?;
    let evaluation = match &args.gates {
        Some(path) => Requirements::load(path)?.evaluation(&Gates::default())?,
        // Without gates nothing is judged.
        None => EvaluationPipeline::new(vec![
            Box::new(RubberStamp::default()) as Box<dyn Validator<AnyModel>>
        ]),
    };
    let mut evaluation = evaluation.slice_by(&args.slice).protected(&args.protected);
    if args.worst_slices {
        evaluation = evaluation.worst_slices(WorstSlices::default());
    }
    if let Some(column) = &args.cluster {
        evaluation = evaluation.cluster_by(column);
    }
    if let Some(baseline) = &args.baseline {
        evaluation = evaluation.baseline(baseline);
    }
    let found = evaluation
        .run_saved(&args.model, &Loaders::default(), &rows)
        .await?;

    println!("{} rows", found.metrics.n_rows());
    print("overall", &found.metrics.overall);
    for slice in &found.metrics.slices {
        print(&slice.slice.to_string(), &slice.metrics);
    }
    match &found.baseline {
        Baseline::Evaluated { changes, .. } => {
            print("better or worse than the baseline by", &changes.overall)
        }
        Baseline::Unusable(error) => println!("the baseline cannot be compared with: {error:#}"),
        _ => {}
    }
    if let Some(differences) = &found.differences {
        println!(
            "an output changes by {:.4} on average; most in:",
            differences.mean_change
        );
        for changed in differences.largest.iter().take(3) {
            let row: Vec<String> = (changed.row.iter())
                .map(|(name, value)| format!("{name}={}", value.as_deref().unwrap_or("NULL")))
                .collect();
            println!(
                "  {:?} to {:?}: {}",
                changed.baseline,
                changed.candidate,
                row.join(", ")
            );
        }
    }
    for disparity in found.metrics.fairness.iter().flat_map(|of| &of.disparities) {
        let (low, high) = (&disparity.lowest, &disparity.highest);
        println!(
            "{} of {high} is above that of {low} by {:.4}",
            disparity.metric, disparity.difference
        );
    }
    for worst in found.worst_slices.iter().flatten() {
        println!(
            "worst: {} ({} rows): a mean loss of {:.4}, of the rest {:.4}",
            worst.slice, worst.loss.support, worst.loss, worst.rest
        );
    }
    let judged = args.gates.is_some().then_some(&found.verdict);
    for check in judged.iter().flat_map(|verdict| verdict.checks()) {
        println!("{check}");
    }
    for note in found.verdict.notes() {
        println!("note: {note}");
    }
    if let Some(path) = &args.json {
        let verdict = judged.map(|verdict| {
            json!({"outcome": if verdict.is_blessed() { "blessed" } else { "rejected" }, "checks": verdict.checks(), "notes": verdict.notes()})
        });
        let result = json!({
            "overall": found.metrics.overall,
            "slices": found.metrics.slices,
            "details": found.metrics.details,
            "fairness": found.metrics.fairness,
            "differences": found.differences,
            "worst_slices": found.worst_slices,
            "verdict": verdict.unwrap_or(Value::Null),
        });
        std::fs::write(path, format!("{result:#}\n"))
            .map_err(|error| Error::io(format!("writing `{}`", path.display()), error))?;
    }
    Ok(())
}

fn print(what: &str, metrics: &Metrics) {
    println!("{what}:");
    for (
        name,
        MetricValue {
            value,
            lower,
            upper,
            ..
        },
    ) in metrics
    {
        match (lower, upper) {
            (Some(lower), Some(upper)) => {
                println!("  {name:24} {value:.4}  ({lower:.4} to {upper:.4})")
            }
            _ => println!("  {name:24} {value:.4}"),
        }
    }
}
