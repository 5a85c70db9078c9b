//! A model of any CSV or Parquet file: `tabular --input FILE --label COLUMN`.
//!
//! ```sh
//! cargo run --example tabular -- --input houses.csv --label price
//! ```
//!
//! Types are inferred, features are chosen by the statistics, the model is trained, evaluated on rows it has not
//! seen, and blessed if it is better than predicting the majority or the mean. `--http` serves it.

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

mod support;

#[path = "support/keeping.rs"]
mod keeping;

#[path = "support/reading.rs"]
mod reading;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Parser, ValueEnum};
use fourfold::pipeline::RunRecord;
use fourfold::prelude::*;
use fourfold::report::Plots;
use fourfold::search::AutoTrainer;
use fourfold::serving::PushedModel;
use fourfold::training::{AnyTrainer, Constant, Trial};
use serde_json::json;

use crate::keeping::Keeping;
use crate::reading::Reading;

/// Trains, evaluates, blesses or rejects, and serves a model of a table.
#[derive(Parser)]
struct Args {
    /// A CSV or Parquet file, or a directory of them.
    #[arg(long)]
    input: PathBuf,
    /// The column to predict.
    #[arg(long)]
    label: String,
    /// The class that is positive, of two; the last by name unless told.
    #[arg(long, value_name = "CLASS")]
    positive: Option<String>,
    /// binary, multiclass or regression; told by the label unless told.
    #[arg(long)]
    task: Option<Task>,
    /// How to train.
    #[arg(long, value_enum, default_value = "boosting")]
    trainer: TrainerName,
    /// The seconds that `--trainer auto` may take, such as 60 or 60s.
    #[arg(long, default_value = "60s", value_parser = seconds)]
    budget: Duration,
    #[command(flatten)]
    reading: Reading,
    /// A column that must not be used (may be repeated).
    #[arg(long)]
    exclude: Vec<String>,
    /// A column that says of each row whether it is for `train` or for `eval`; by default, the rows' content decides.
    #[arg(long, value_name = "COLUMN")]
    split_by: Option<String>,
    /// A column to evaluate by (may be repeated).
    #[arg(long)]
    slice: Vec<String>,
    /// The seed of all that is random.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// A bound that a metric must reach, beside being better than predicting the majority or the mean (may be repeated).
    #[arg(long, value_name = "METRIC=VALUE", value_parser = bound)]
    at_least: Vec<(String, f64)>,
    /// The model repository.
    #[arg(long, default_value = "models")]
    models: PathBuf,
    #[command(flatten)]
    keeping: Keeping,
    /// Write the result as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Write a report as HTML.
    #[arg(long)]
    report: Option<PathBuf>,
    /// Serve the model at this address, such as 127.0.0.1:8000, until Ctrl-C.
    #[arg(long)]
    http: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum TrainerName {
    /// A search over all of these, and an ensemble of the best.
    Auto,
    /// Boosted trees.
    Boosting,
    /// A random forest.
    Forest,
    /// Logistic regression (classes).
    Logistic,
    /// Linear regression (numbers).
    Linear,
    /// A decision tree.
    Tree,
    /// The mean, or the classes' shares.
    Constant,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    // Erased, so that the pipeline is compiled once and not for each trainer.
    let trainer = match args.trainer {
        TrainerName::Auto => AutoTrainer::default().budget(args.budget).erase(),
        TrainerName::Boosting => GradientBoosting::default().erase(),
        TrainerName::Forest => RandomForest::default().erase(),
        TrainerName::Logistic => LogisticRegression::default().erase(),
        TrainerName::Linear => LinearRegression::default().erase(),
        TrainerName::Tree => DecisionTree::default().erase(),
        TrainerName::Constant => Constant.erase(),
    };
    run(&args, trainer).await.map_err(reading::in_options)
}

/// `auc=0.7`.
fn bound(text: &str) -> std::result::Result<(String, f64), String> {
    let (metric, value) = text.split_once('=').ok_or("must be METRIC=VALUE")?;
    let value = value
        .parse()
        .map_err(|_| format!("`{value}` is not a number"))?;
    Ok((metric.to_owned(), value))
}

async fn run(args: &Args, trainer: AnyTrainer) -> Result<()> {
    let mut label = Label::column(&args.label);
    if let Some(class) = &args.positive {
        label = label.positive(class);
    }
    let mut thresholds = Thresholds::new().better_than_constant();
    for (metric, bound) in &args.at_least {
        thresholds = thresholds.at_least(metric, *bound);
    }
    let (excluded, left_out): (Vec<_>, Vec<_>) = args
        .exclude
        .iter()
        .partition(|column| args.slice.contains(column));
    let (excluded, left_out) = (excluded.into_iter(), left_out.into_iter());
    // What is no slice either is not read at all.
    let source = args.reading.source(&args.input)?;
    let mut source = source.leave_out(left_out.cloned()).label(label);
    if let Some(column) = &args.split_by {
        let splits = ["train", "eval"].map(|name| (name, name));
        source = source.split(Split::by_column(column, splits));
    }
    let pipeline = Pipeline::builder(model_name(&args.input, &args.label))
        .data(source.task(args.task).exclude(excluded.cloned()))
        .train(TrainingPipeline::new(trainer).seed(args.seed))
        .evaluate(EvaluationPipeline::new(thresholds).slice_by(args.slice.clone()))
        .serve(ModelRepository::at(&args.models))
        .observe(support::progress_bar());
    let pipeline = args.keeping.apply(pipeline).build()?;
    if args.keeping.explain {
        print!("{}", pipeline.explain().await?);
        return Ok(());
    }
    let outcome = pipeline.run().await?;
    print(outcome.run());
    let record = outcome.run().clone();
    let pushed = outcome.endpoint();
    match &pushed {
        Some(pushed) => println!(
            "blessed: version {} is in {}",
            pushed.version,
            pushed.path.display()
        ),
        None => println!("{}", record.verdict),
    }
    if let Some(path) = &args.json {
        let result = summary(&record, pushed.as_ref());
        write(path, &format!("{result:#}\n"))?;
    }
    if let Some(path) = &args.report {
        write(path, &fourfold::report::html(&record))?;
        println!("report: {}", path.display());
    }
    match (&args.http, pushed) {
        (Some(address), Some(pushed)) => serve(args, address, &pushed).await,
        _ => Ok(()),
    }
}

fn print(run: &RunRecord) {
    let rows: Vec<String> = run
        .rows
        .iter()
        .map(|(split, n)| format!("{n} {split}"))
        .collect();
    println!(
        "rows: {} ({} without a label left out)",
        rows.join(", "),
        run.unlabelled_rows
    );
    println!(
        "label: `{}`, task: {}",
        run.target.label(),
        run.target.task()
    );
    if let [negative, positive] = run.target.classes() {
        println!("classes: `{negative}`, `{positive}` (positive)");
    }
    println!("columns, {} features of them:", run.features.len());
    for decision in &run.decisions {
        println!("  {decision}");
    }
    for warning in &run.warnings {
        println!("warning: {warning}");
    }
    print_trials(&run.training.trials);
    println!("metrics on the eval split:");
    for (name, value) in &run.metrics.overall {
        println!("  {name:16} {value:.4}");
    }
    for slice in &run.metrics.slices {
        let value = |name: &str| {
            slice
                .metrics
                .get(name)
                .map_or(f64::NAN, |found| found.value)
        };
        println!(
            "  {}: {} rows, skill {:.4}",
            slice.slice,
            value("example_count"),
            value("skill")
        );
    }
    print!("{}", Plots::of_run(run));
    for check in run.verdict.checks() {
        println!("{}: {}", check.outcome, check.message);
    }
    for note in run.verdict.notes() {
        println!("note: {note}");
    }
}

/// What a search has tried, in its order.
fn print_trials(trials: &[Trial]) {
    for (at, trial) in trials.iter().enumerate() {
        let name = trial.stage["name"].as_str().unwrap_or("trial");
        let number = at + 1;
        match (trial.value, &trial.reason) {
            (Some(value), _) => {
                let error = trial
                    .error
                    .map_or(String::new(), |error| format!(" ± {error:.4}"));
                println!(
                    "trial {number:3}: {} {value:.4}{error}, {name}",
                    trial.metric
                );
            }
            (None, reason) => println!(
                "trial {number:3}: {name}: {}",
                reason.as_deref().unwrap_or("")
            ),
        }
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.strip_suffix('s').unwrap_or(text).parse::<f64>();
    let time = number
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    time.ok_or_else(|| format!("`{text}` must be a number of seconds, such as 60s"))
}

fn summary(run: &RunRecord, pushed: Option<&PushedModel>) -> serde_json::Value {
    let values = run.metrics.overall.iter();
    let metrics: BTreeMap<&str, f64> = values
        .map(|(name, found)| (name.as_str(), found.value))
        .collect();
    let timings: BTreeMap<&str, f64> = run
        .timings_s
        .iter()
        .map(|(step, seconds)| (step.name(), *seconds))
        .collect();
    json!({
        "rows": run.rows.values().sum::<u64>() + run.unlabelled_rows,
        "features": run.features.len(),
        "task": run.target.task(),
        "metrics": metrics,
        "verdict": if run.verdict.is_blessed() { "blessed" } else { "rejected" },
        "reasons": run.verdict.reasons(),
        "warnings": run.warnings,
        "timings_s": timings,
        "reused": run.reused,
        "ran": run.ran,
        "model_dir": pushed.map(|pushed| &pushed.path),
    })
}

async fn serve(args: &Args, address: &str, pushed: &PushedModel) -> Result<()> {
    let manager = Manager::open(ModelRepository::at(&args.models), Loaders::default())?;
    let server = fourfold::serving::http::serve(std::sync::Arc::new(manager), address).await?;
    println!(
        "serving at http://{}/v2/models/{} until Ctrl-C",
        server.address(),
        pushed.name
    );
    tokio::signal::ctrl_c().await?;
    server.shutdown().await
}

/// `houses-price` of `data/houses.csv` and `price`.
fn model_name(input: &Path, label: &str) -> String {
    let stem = input
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned());
    format!("{}-{label}", stem.unwrap_or_default())
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect()
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text)
        .map_err(|error| Error::io(format!("writing `{}`", path.display()), error))
}
