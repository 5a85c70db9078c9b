//! Predicts every row of a file with a saved model: `score --model DIR --input FILE --output FILE`.
//!
//! ```sh
//! cargo run --example score -- --model models/flights/1 --input flights.parquet --output answers.parquet --key flight
//! ```

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

#[path = "support/reading.rs"]
mod reading;

use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser;
use fourfold::Result;
use fourfold::model::Servable;
use fourfold::prelude::*;

use crate::reading::Reading;

/// Scores a file of raw rows into a Parquet file.
#[derive(Parser)]
struct Args {
    /// The directory of a saved model; its name is the version.
    #[arg(long)]
    model: PathBuf,
    /// A CSV, JSON, Parquet or Arrow file of raw rows, or a directory of them.
    #[arg(long)]
    input: PathBuf,
    #[command(flatten)]
    reading: Reading,
    /// The Parquet file to write, which must not exist yet.
    #[arg(long)]
    output: PathBuf,
    /// A column to keep beside the predictions (may be repeated).
    #[arg(long)]
    key: Vec<String>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    score(&args).await.map_err(reading::in_options)
}

async fn score(args: &Args) -> Result<()> {
    let servable = Arc::new(Servable::load(&args.model, &Loaders::default())?);
    let version = args.model.file_name().unwrap_or_default().to_string_lossy();
    let source = args
        .reading
        .source(&args.input)?
        .typed_as(servable.schema());
    let engine = Engine::new()?;
    let n_rows = fourfold::pipeline::score(
        servable,
        &source,
        &args.key,
        &version,
        &args.output,
        &engine,
    )
    .await?;
    println!("{n_rows} rows are answered in {}", args.output.display());
    Ok(())
}
