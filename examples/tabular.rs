//! A model of any CSV, JSON, Parquet or Arrow file: `tabular --input FILE --label COLUMN`.
//!
//! ```sh
//! cargo run --example tabular -- --input houses.csv --label price
//! ```
//!
//! Types are inferred, features are chosen by the statistics, the model is trained, evaluated on rows it has not
//! seen, and blessed if it is better than a prediction of the majority or the mean. `--http` serves it.

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

mod support;

#[path = "support/keeping.rs"]
mod keeping;

#[path = "support/reading.rs"]
mod reading;

#[path = "support/training.rs"]
mod training;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Parser;
use fourfold::Result;
use fourfold::prelude::*;
use fourfold::report::Plots;
use fourfold::serving::PushedModel;
use serde_json::json;

use crate::keeping::Keeping;
use crate::reading::Reading;
use crate::training::Training;

/// Trains, evaluates, blesses or rejects, and serves a model of a table.
#[derive(Parser)]
struct Args {
    /// A file of CSV, JSON, Parquet or Arrow, or a directory of them.
    #[arg(long)]
    input: PathBuf,
    /// The column to predict.
    #[arg(long)]
    label: String,
    /// The positive class, of two; by default the last by name.
    #[arg(long, value_name = "CLASS")]
    positive: Option<String>,
    /// binary, multiclass or regression; by default it follows from the label.
    #[arg(long)]
    task: Option<Task>,
    #[command(flatten)]
    training: Training,
    #[command(flatten)]
    reading: Reading,
    /// A column that must not be used (may be repeated).
    #[arg(long)]
    exclude: Vec<String>,
    /// A column that marks each row as one for `train` or for `eval`; by default, the rows' content decides.
    #[arg(long, value_name = "COLUMN")]
    split_by: Option<String>,
    /// A column to evaluate by (may be repeated).
    #[arg(long)]
    slice: Vec<String>,
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

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    run(&args).await.map_err(reading::in_options)
}

async fn run(args: &Args) -> Result<()> {
    let mut label = Label::column(&args.label);
    if let Some(class) = &args.positive {
        label = label.positive(class);
    }
    let mut thresholds = Thresholds::new().better_than_constant();
    for (metric, bound) in &args.at_least {
        thresholds = thresholds.at_least(metric, *bound);
    }
    // An excluded column that is no slice either is not read at all.
    let columns = args.exclude.iter().cloned();
    let (excluded, left_out): (Vec<_>, Vec<_>) = columns.partition(|it| args.slice.contains(it));
    let source = args.reading.source(&args.input)?;
    let mut source = source.leave_out(left_out).label(label);
    if let Some(column) = &args.split_by {
        let splits = ["train", "eval"].map(|name| (name, name));
        source = source.split(Split::by_column(column, splits));
    }
    let pipeline = Pipeline::builder(model_name(&args.input, &args.label))
        .data(source.task(args.task).exclude(excluded))
        .train(args.training.pipeline()?)
        .evaluate(EvaluationPipeline::new(thresholds).slice_by(args.slice.clone()))
        .serve(ModelRepository::at(&args.models))
        .observe(support::progress_bar());
    let pipeline = args.keeping.apply(pipeline).build()?;
    if args.keeping.explain {
        print!("{}", pipeline.explain().await?);
        return Ok(());
    }

    let outcome = pipeline.run().await?;
    let record = outcome.run().clone();
    print!("{}", Plots::of_run(&record));
    println!("{record}");
    let pushed = outcome.endpoint();
    if let Some(pushed) = &pushed {
        println!("version {} is in {}", pushed.version, pushed.path.display());
    }
    if let Some(path) = &args.json {
        let mut summary = record.summary();
        summary["model_dir"] = json!(pushed.as_ref().map(|pushed| &pushed.path));
        write(path, &format!("{summary:#}\n"))?;
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

async fn serve(args: &Args, address: &str, pushed: &PushedModel) -> Result<()> {
    let manager = Manager::open(ModelRepository::at(&args.models), Loaders::default())?;
    let server = fourfold::serving::http::serve(Arc::new(manager), address).await?;
    let (address, name) = (server.address(), &pushed.name);
    println!("serving at http://{address}/v2/models/{name} until Ctrl-C");
    tokio::signal::ctrl_c().await?;
    server.shutdown().await
}

/// `auc=0.7`.
fn bound(text: &str) -> std::result::Result<(String, f64), String> {
    let (metric, value) = text.split_once('=').ok_or("must be METRIC=VALUE")?;
    let number = value.parse();
    let value = number.map_err(|_| format!("`{value}` is not a number"))?;
    Ok((metric.to_owned(), value))
}

/// `houses-price` of `data/houses.csv` and `price`.
fn model_name(input: &Path, label: &str) -> String {
    let stem = input.file_stem().unwrap_or_default().to_string_lossy();
    format!("{stem}-{label}").replace(|c: char| !c.is_ascii_alphanumeric(), "-")
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text)
        .map_err(|error| Error::io(format!("writing `{}`", path.display()), error))
}
