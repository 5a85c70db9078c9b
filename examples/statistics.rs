//! Statistics of any file: `statistics --input FILE`.
//!
//! ```sh
//! cargo run --example statistics -- --input houses.csv
//! cargo run --example statistics -- --input flights/ --slice carrier --label late --json flights.json
//! cargo run --example statistics -- --input sunday.parquet --json sunday.json --infer-schema schema.toml
//! cargo run --example statistics -- --input monday.parquet --baseline sunday.json --schema schema.toml
//! ```
//!
//! The rows are read once, in parts, on every core, in memory that does not grow with them. `--json` keeps the
//! statistics: they merge with those of other days (`Statistics::merge`) and are a baseline for later ones.

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

#[path = "support/reading.rs"]
mod reading;

use std::path::{Path, PathBuf};

use clap::Parser;
use fourfold::Result;
use fourfold::arrow::temporal_conversions::{date32_to_datetime, timestamp_us_to_datetime};
use fourfold::data::{DataSource, source_warnings};
use fourfold::datafusion::prelude::{DataFrame, ident};
use fourfold::prelude::*;
use fourfold::report::Plots;
use fourfold::schema::{FieldType, Schema, Validation};
use fourfold::statistics::distance::{Categories, Distance};
use fourfold::statistics::{ColumnStatistics, Histogram, Statistics, StatisticsOptions};

use crate::reading::Reading;

/// Prints the statistics of a table, and writes them.
#[derive(Parser)]
struct Args {
    /// A file, or a directory of files of one schema.
    #[arg(long)]
    input: PathBuf,
    #[command(flatten)]
    reading: Reading,
    /// A column to slice by (may be repeated).
    #[arg(long)]
    slice: Vec<String>,
    /// A column; reports how much the others predict of it.
    #[arg(long)]
    label: Option<String>,
    /// A column that says how much each row counts.
    #[arg(long)]
    weight: Option<String>,
    /// Correlations of all pairs of columns of numbers.
    #[arg(long)]
    pairs: bool,
    /// Saved statistics (.json) or another file of data to compare with.
    #[arg(long)]
    baseline: Option<PathBuf>,
    /// A schema (.json or .toml) to validate the data against.
    #[arg(long)]
    schema: Option<PathBuf>,
    /// Write the schema that the data suggests (.json or .toml), to be edited by hand.
    #[arg(long)]
    infer_schema: Option<PathBuf>,
    /// Write the statistics as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    statistics(&args).await.map_err(reading::in_options)
}

async fn statistics(args: &Args) -> Result<()> {
    let engine = Engine::new()?;
    let statistics = analyse(&engine, args).await?;

    print_columns(&statistics);
    print_top_values(&statistics);
    print_associations(&statistics, args.label.as_deref());
    print!("\n{}", Plots::of_statistics(&statistics));
    print_pairs(&statistics);
    print_slices(&statistics);
    let baseline = match &args.baseline {
        Some(path) => Some(read_baseline(&engine, args, path).await?),
        None => None,
    };
    if let Some(baseline) = &baseline {
        compare(&statistics, baseline);
    }
    if let Some(path) = &args.schema {
        hold_against(&statistics, path, baseline.as_ref())?;
    }
    if let Some(path) = &args.infer_schema {
        Schema::infer(&statistics).save(path)?;
    }
    if let Some(path) = &args.json {
        statistics.save(path)?;
    }
    Ok(())
}

/// The statistics of a file, in one pass; before it one over the label alone, if that is a number to be cut.
async fn analyse(engine: &Engine, args: &Args) -> Result<Statistics> {
    let mut options = Statistics::options().slice_by(args.slice.clone());
    if let Some(weight) = &args.weight {
        options = options.weight(weight);
    }
    if args.pairs {
        options = options.all_pairs();
    }
    let source = args.reading.source(&args.input)?;
    let rows = source.read(engine).await?;
    print_remarks(&rows);
    if let Some(label) = &args.label {
        options = options.label(label);
        // An unknown label is an error here already.
        options.accumulator(rows.schema().as_arrow())?;
        let alone = rows.clone().select(vec![ident(label.as_str())])?;
        let alone = run(engine, &source, alone, &StatisticsOptions::new()).await?;
        let many = alone.column(label)?.distinct > StatisticsOptions::MAX_LABELS as u64;
        if many && let Some(numbers) = alone.quantile_sketch(label) {
            options = options.label_boundaries(numbers.boundaries(5));
        }
    }
    run(engine, &source, rows, &options).await
}

async fn run(
    engine: &Engine,
    source: &FileSource,
    rows: DataFrame,
    options: &StatisticsOptions,
) -> Result<Statistics> {
    let columns = rows.schema().as_arrow().clone();
    let accumulator = options.accumulator(&columns)?;
    let read = engine.accumulate(rows, accumulator).await;
    // The source knows the file.
    Ok(read
        .map_err(|error| source.explain(error, &columns))?
        .finish())
}

/// Prints the source's warnings about how it reads its columns.
fn print_remarks(rows: &DataFrame) {
    for warning in source_warnings(rows.schema().as_arrow()) {
        println!("warning: {warning}");
    }
}

// The output.

/// A share that is 0 or 100 % only where it is exactly.
fn percent(n: u64, total: u64) -> String {
    let share = 100.0 * n as f64 / total.max(1) as f64;
    match (n, total) {
        (0, _) | (_, 0) => "0.0%".to_owned(),
        (n, total) if n < total && share >= 99.95 => ">99.9%".to_owned(),
        _ if share < 0.05 => "<0.1%".to_owned(),
        _ => format!("{share:.1}%"),
    }
}

fn print_columns(statistics: &Statistics) {
    println!(
        "{} rows, {} columns\n",
        statistics.n_rows,
        statistics.columns.len()
    );
    let heads = [
        "column",
        "type",
        "count",
        "missing",
        "distinct",
        "mean",
        "std",
        "min",
        "median",
        "max",
        "zeros",
        "histogram",
    ];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    rows.extend(statistics.columns.iter().map(row));
    print_table(&rows);
    for column in &statistics.columns {
        if let Some(valency) = &column.valency {
            println!(
                "{}: lists of {} to {} items, {} on average",
                column.name,
                valency.min,
                valency.max,
                short(valency.mean)
            );
        }
        let odd = column.numeric.as_ref().map_or([0; 3], |numeric| {
            [
                numeric.nan,
                numeric.positive_infinity,
                numeric.negative_infinity,
            ]
        });
        if odd != [0; 3] {
            let [nan, positive, negative] = odd;
            println!(
                "{}: {nan} NaN, {positive} inf, {negative} -inf",
                column.name
            );
        }
        match &column.text {
            Some(text) if text.invalid_utf8 > 0 => {
                println!(
                    "{}: {} values are not UTF-8",
                    column.name, text.invalid_utf8
                );
            }
            _ => {}
        }
    }
}

/// A column's row: of text, the figures are those of its lengths in bytes.
fn row(column: &ColumnStatistics) -> Vec<String> {
    let rows = column.count + column.missing;
    let missing = match column.missing {
        0 => "0%".to_owned(),
        missing => percent(missing, rows),
    };
    let kind = match &column.valency {
        Some(_) => format!("[{}]", column.field_type),
        None => column.field_type.to_string(),
    };
    let mut cells = vec![
        column.name.clone(),
        kind,
        column.count.to_string(),
        missing,
        // Of values that are kept as they came, nothing is counted.
        match column.field_type {
            FieldType::Other => String::new(),
            _ => column.distinct.to_string(),
        },
    ];
    let value = |value: Option<f64>| {
        value.map_or_else(String::new, |value| of_type(column.field_type, value))
    };
    match (&column.numeric, &column.text) {
        (Some(numeric), _) => {
            let spread = match column.field_type {
                // A time's spread is in days.
                FieldType::Timestamp => numeric.std.map(|std| format!("{}d", short(std / 86.4e9))),
                FieldType::Date => numeric.std.map(|std| format!("{}d", short(std))),
                _ => numeric.std.map(short),
            };
            cells.extend([
                value(numeric.mean),
                spread.unwrap_or_default(),
                value(numeric.min),
                value(numeric.median()),
                value(numeric.max),
                numeric.zeros.to_string(),
                sparkline(&numeric.histogram),
            ]);
        }
        (None, Some(text)) => {
            let bytes = |n: u64| format!("{n} B");
            cells.extend([
                format!("{} B", short(text.mean_bytes)),
                String::new(),
                bytes(text.min_bytes),
                String::new(),
                bytes(text.max_bytes),
            ]);
        }
        (None, None) => {}
    }
    cells
}

fn print_top_values(statistics: &Statistics) {
    println!("\nmost frequent values");
    let mut rows = Vec::new();
    for column in &statistics.columns {
        if column.top_values.is_empty() || column.count == 0 {
            continue;
        }
        let shares = column.top_values.iter().take(6).map(|(value, n)| {
            // Of lists, the values are items.
            let items = column
                .valency
                .as_ref()
                .map_or(column.count, |items| items.total);
            format!("{} {}", clipped(value, 24), percent(*n, items))
        });
        let more = if column.top_values.len() > 6 {
            ", ..."
        } else {
            ""
        };
        let shares = shares.collect::<Vec<_>>().join(", ");
        rows.push(vec![column.name.clone(), format!("{shares}{more}")]);
    }
    print_table(&rows);
}

fn print_associations(statistics: &Statistics, label: Option<&str>) {
    let Some(label) = label else { return };
    println!("\nwhat tells of `{label}`, in bits");
    let mut columns: Vec<_> = statistics
        .columns
        .iter()
        .filter_map(|column| Some((column, column.association.as_ref()?)))
        .collect();
    columns.sort_by(|a, b| b.1.mutual_information.total_cmp(&a.1.mutual_information));
    let rows: Vec<Vec<String>> = columns
        .iter()
        .map(|(column, association)| {
            // The value that makes some label most likely, of those with enough rows to tell.
            let enough = |lift: &&fourfold::statistics::Lift| lift.both_count >= 20;
            let best = association
                .lift
                .iter()
                .filter(enough)
                .max_by(|a, b| a.lift.total_cmp(&b.lift));
            let best = best.map_or_else(String::new, |lift| {
                format!(
                    "{} makes {} {:.2}x as likely",
                    lift.value, lift.label, lift.lift
                )
            });
            vec![
                column.name.clone(),
                format!("{:.4}", association.mutual_information),
                best,
            ]
        })
        .collect();
    print_table(&rows);
}

fn print_pairs(statistics: &Statistics) {
    if statistics.pairs.is_empty() {
        return;
    }
    println!("\nstrongest correlations");
    let mut pairs: Vec<_> = statistics
        .pairs
        .iter()
        .filter_map(|pair| Some((pair, pair.correlation?)))
        .collect();
    pairs.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()));
    let rows: Vec<Vec<String>> = pairs
        .iter()
        .take(15)
        .map(|(pair, correlation)| {
            vec![pair.a.clone(), pair.b.clone(), format!("{correlation:.3}")]
        })
        .collect();
    print_table(&rows);
}

fn print_slices(statistics: &Statistics) {
    if statistics.slices.is_empty() {
        return;
    }
    println!("\nslices: rows, and the mean of each column of numbers");
    let is_number = |column: &&ColumnStatistics| column.field_type.is_numeric();
    let mut heads = vec!["slice".to_owned(), "rows".to_owned()];
    heads.extend(
        statistics
            .columns
            .iter()
            .filter(is_number)
            .map(|column| column.name.clone()),
    );
    let mut rows = vec![heads];
    for slice in &statistics.slices {
        let mean = |column: &ColumnStatistics| {
            column
                .numeric
                .as_ref()
                .and_then(|numeric| numeric.mean)
                .map_or_else(String::new, short)
        };
        let mut cells = vec![slice.slice.clone(), slice.statistics.n_rows.to_string()];
        cells.extend(slice.statistics.columns.iter().filter(is_number).map(mean));
        rows.push(cells);
    }
    print_table(&rows);
}

/// Prints the anomalies of the statistics; with a baseline, also the drift beyond the schema's thresholds.
fn hold_against(
    statistics: &Statistics,
    schema: &Path,
    baseline: Option<&Statistics>,
) -> Result<()> {
    let schema = Schema::load(schema)?;
    let mut validation = Validation::new(&schema);
    if let Some(baseline) = baseline {
        validation = validation.previous(baseline);
    }
    let anomalies = validation.run(statistics)?.anomalies;
    println!("\n{} anomalies", anomalies.len());
    for anomaly in anomalies {
        println!("{:?} {}: {anomaly}", anomaly.severity, anomaly.kind.name());
        if let Some(fix) = &anomaly.fix {
            println!("    fix: {fix}");
        }
    }
    Ok(())
}

async fn read_baseline(engine: &Engine, args: &Args, path: &Path) -> Result<Statistics> {
    if path
        .extension()
        .is_some_and(|extension| extension == "json")
    {
        return Statistics::load(path);
    }
    let source = args.reading.source(path)?;
    let rows = source.read(engine).await?;
    run(engine, &source, rows, &StatisticsOptions::new()).await
}

/// Prints the distances of each column from the baseline.
fn compare(statistics: &Statistics, baseline: &Statistics) {
    use Distance::{
        InfinityNorm, JensenShannonDivergence, KolmogorovSmirnov, PopulationStabilityIndex,
    };
    println!("\nagainst the baseline of {} rows", baseline.n_rows);
    let heads = ["column", "JS", "KS", "PSI", "L-inf", "present"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    for column in &statistics.columns {
        let Ok(before) = baseline.column(&column.name) else {
            rows.push(vec![column.name.clone(), "new".to_owned()]);
            continue;
        };
        let is_number = column.numeric.is_some() && column.field_type != FieldType::Boolean;
        let categories = (Categories::of(column), Categories::of(before));
        let measure = |distance: Distance| {
            let measured = match is_number {
                true => distance.of_numbers(statistics, baseline, &column.name),
                false => distance.of_categories(&categories.0, &categories.1),
            };
            measured.map_or_else(|_| "-".to_owned(), |measured| format!("{measured:.4}"))
        };
        let distances = [
            JensenShannonDivergence,
            KolmogorovSmirnov,
            PopulationStabilityIndex,
            InfinityNorm,
        ];
        let missing = (column.present() - before.present()) * 100.0;
        let mut cells = vec![column.name.clone()];
        cells.extend(distances.map(measure));
        cells.push(format!("{missing:+.1} points"));
        rows.push(cells);
    }
    for gone in &baseline.columns {
        if statistics.column(&gone.name).is_err() {
            rows.push(vec![gone.name.clone(), "gone".to_owned()]);
        }
    }
    print_table(&rows);
}

// The layout of the output.

fn print_table(rows: &[Vec<String>]) {
    let n_columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |at: usize| {
        let lengths = rows.iter().filter_map(|row| row.get(at));
        lengths
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..n_columns).map(width).collect();
    for row in rows {
        let cells = row
            .iter()
            .zip(&widths)
            // A name may have line breaks.
            .map(|(cell, width)| format!("{:width$}", cell.replace(['\n', '\r'], " ")));
        println!("{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}

/// A number in at most five digits, if they can say it.
fn short(value: f64) -> String {
    if value == 0.0 || (value.fract() == 0.0 && value.abs() < 1e7) {
        return value.to_string();
    }
    match value.abs().log10().floor() as i32 {
        -4..=6 => {
            let decimals = (4 - value.abs().log10().floor() as i32).clamp(0, 6) as usize;
            let text = format!("{value:.decimals$}");
            match text.contains('.') {
                true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
                false => text,
            }
        }
        _ => format!("{value:.3e}"),
    }
}

fn of_type(field_type: FieldType, value: f64) -> String {
    match field_type {
        FieldType::Date => date32_to_datetime(value as i32).map(|day| day.date().to_string()),
        FieldType::Timestamp => timestamp_us_to_datetime(value as i64)
            .map(|time| time.format("%Y-%m-%dT%H:%M").to_string()),
        _ => None,
    }
    .unwrap_or_else(|| short(value))
}

fn clipped(text: &str, n: usize) -> String {
    let text = text.replace(['\n', '\r', '\t'], " ");
    match text.chars().count() > n {
        true => text.chars().take(n - 1).chain(['\u{2026}']).collect(),
        false => text,
    }
}

/// The equal-width histogram as a line of bars.
fn sparkline(histogram: &Histogram) -> String {
    const BARS: [char; 9] = [
        ' ', '\u{2581}', '\u{2582}', '\u{2583}', '\u{2584}', '\u{2585}', '\u{2586}', '\u{2587}',
        '\u{2588}',
    ];
    let counts = || histogram.buckets.iter().map(|bucket| bucket.count);
    let most = counts().fold(0.0, f64::max);
    if most == 0.0 {
        return String::new();
    }
    let bar = |count: f64| match count > 0.0 {
        true => BARS[((count / most * 8.0).ceil() as usize).clamp(1, 8)],
        false => BARS[0],
    };
    format!("|{}|", counts().map(bar).collect::<String>())
}
