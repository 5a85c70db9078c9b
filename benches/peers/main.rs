//! Our side of the comparison with peers: each subcommand is one job of a whole process, and prints one line of JSON.
//!
//! The whole comparison, with the peers installed from PyPI, is `benches/peers/run.sh`. By hand:
//!
//! ```sh
//! cargo bench -p fourfold-benches --bench peers -- generate --rows 10000000 --output trips.parquet
//! cargo bench -p fourfold-benches --bench peers -- decode trips.parquet
//! cargo bench -p fourfold-benches --bench peers -- statistics trips.parquet
//! cargo bench -p fourfold-benches --bench peers -- transform trips-1m.parquet
//! cargo bench -p fourfold-benches --bench peers -- row trips-1m.parquet
//! ```
//!
//! Measured: `decode` reads and decodes every column and counts the rows, through the engine as all else is;
//! `statistics` is the analysis at its default settings of the same columns; `transform` fits and applies 3 z-scores,
//! 4 quantile buckets, 4 vocabularies with one-hot and imputation, with the matrix in memory at the end; `row` is one
//! row through a fitted transform of 15 steps. Corpus and seed: `benches/trips`.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]
#![allow(clippy::print_stdout, reason = "what is measured is printed")]

#[path = "../trips/mod.rs"]
mod trips;

mod transform;

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, CommandFactory, Parser, Subcommand};
use fourfold::accumulate::Accumulate;
use fourfold::arrow::array::RecordBatch;
use fourfold::data::{DataSource, FileSource};
use fourfold::datafusion::prelude::DataFrame;
use fourfold::engine::Engine;
use fourfold::statistics::StatisticsAccumulator;
use serde::{Deserialize, Serialize};

/// One job of a comparison, as a process of its own.
#[derive(Parser)]
#[command(name = "peers")]
struct Cli {
    /// Ignored: `cargo bench` gives it to every bench.
    #[arg(long, global = true, hide = true)]
    bench: bool,
    #[command(subcommand)]
    job: Option<Job>,
}

#[derive(Subcommand)]
enum Job {
    /// Write a Parquet file of made-up taxi trips.
    Generate {
        /// How many rows.
        #[arg(long, default_value_t = 10_000_000)]
        rows: usize,
        /// The file.
        #[arg(long)]
        output: PathBuf,
        /// The seed.
        #[arg(long, default_value_t = trips::SEED)]
        seed: u64,
    },
    /// Decode every column and count the rows.
    Decode(Input),
    /// The statistics of every column.
    Statistics(Input),
    /// Fit a transform and apply it to all rows.
    Transform {
        #[command(flatten)]
        input: Input,
        /// Where to write what was fitted and the sums of the features, for `check.py`.
        #[arg(long)]
        output: Option<PathBuf>,
    },
    /// Apply a fitted transform of 15 steps to one row, again and again.
    Row(Input),
}

#[derive(Args)]
struct Input {
    /// A Parquet file of trips.
    file: PathBuf,
}

/// What a job prints.
#[derive(Serialize)]
struct Report {
    rows: u64,
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    fit_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    apply_seconds: Option<f64>,
    peak_mb: f64,
}

impl Report {
    fn new(rows: u64, start: Instant) -> Self {
        Report {
            rows,
            seconds: start.elapsed().as_secs_f64(),
            fit_seconds: None,
            apply_seconds: None,
            peak_mb: peak_mb(),
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let Some(job) = Cli::parse().job else {
        Cli::command().print_help()?;
        return Ok(());
    };
    let start = Instant::now();
    let report = match job {
        Job::Generate { rows, output, seed } => {
            trips::write(&output, rows, seed)?;
            Report::new(rows as u64, start)
        }
        Job::Decode(Input { file }) => {
            let engine = Engine::new()?;
            let rows = read(&engine, &file).await?;
            let counted = engine.accumulate(rows, CountRows::default()).await?;
            Report::new(counted.0, start)
        }
        Job::Statistics(Input { file }) => {
            let engine = Engine::new()?;
            let rows = read(&engine, &file).await?;
            let accumulator = StatisticsAccumulator::new(rows.schema().as_arrow());
            let statistics = engine.accumulate(rows, accumulator).await?.finish();
            Report::new(statistics.n_rows, start)
        }
        Job::Transform { input, output } => {
            let engine = Engine::new()?;
            transform::whole(&engine, &input.file, output.as_deref()).await?
        }
        Job::Row(Input { file }) => {
            let engine = Engine::new()?;
            transform::row(&engine, &file).await?
        }
    };
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

async fn read(engine: &Engine, file: &Path) -> fourfold::Result<DataFrame> {
    FileSource::parquet(file).read(engine).await
}

/// Takes in all columns and looks at none.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct CountRows(u64);

impl Accumulate for CountRows {
    fn update(&mut self, batch: &RecordBatch) -> fourfold::Result<()> {
        self.0 += batch.num_rows() as u64;
        Ok(())
    }

    fn merge(&mut self, other: Self) -> fourfold::Result<()> {
        self.0 += other.0;
        Ok(())
    }
}

/// The most memory this process has held, as the kernel of Linux tells; NaN elsewhere.
fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB"))
        .and_then(|kilobytes| kilobytes.trim().parse::<f64>().ok())
        .map_or(f64::NAN, |kilobytes| kilobytes / 1_024.0)
}
