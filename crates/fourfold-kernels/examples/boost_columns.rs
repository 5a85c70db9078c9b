//! Boosts trees on columns in files, for comparisons with other libraries: `benches/peers/boosting.py` writes the files.
//!
//! `boost_columns <dir> <objective> <rounds> <leaves> <threads>` reads `<dir>/columns.txt`, one column a line (`numbers` or
//! `codes <n>`), `<dir>/{train,test}.<column>`, `<dir>/train.labels` and, if it is there, `<dir>/train.weights`, all raw
//! and little-endian; it writes `<dir>/test.scores` and prints what it took.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use fourfold_kernels::columns::{Column, MISSING_CODE};
use fourfold_kernels::trees::{BoostOptions, Examples, Objective, boost, tree_width};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

enum Owned {
    Numbers(Vec<f32>),
    Codes(Vec<u32>, u32),
}

fn read<T, const N: usize>(path: &Path, decode: fn([u8; N]) -> T) -> Result<Vec<T>> {
    let bytes = fs::read(path)?;
    Ok(bytes
        .as_chunks::<N>()
        .0
        .iter()
        .map(|bytes| decode(*bytes))
        .collect())
}

fn columns(dir: &Path, part: &str) -> Result<Vec<Owned>> {
    let kinds = fs::read_to_string(dir.join("columns.txt"))?;
    let column = |(at, kind): (usize, &str)| {
        let path = dir.join(format!("{part}.{at}"));
        Ok(match kind.strip_prefix("codes ") {
            Some(n) => Owned::Codes(read(&path, u32::from_le_bytes)?, n.parse()?),
            None => Owned::Numbers(read(&path, f32::from_le_bytes)?),
        })
    };
    kinds.lines().enumerate().map(column).collect()
}

fn borrowed(columns: &[Owned]) -> Vec<Column<'_>> {
    fn column(column: &Owned) -> Column<'_> {
        match column {
            Owned::Numbers(values) => Column::Numbers(values),
            Owned::Codes(codes, n_categories) => Column::Codes {
                codes,
                n_categories: *n_categories,
            },
        }
    }
    columns.iter().map(column).collect()
}

fn row_of(columns: &[Column<'_>], row: usize) -> Vec<f32> {
    let value = |column: &Column<'_>| match column {
        Column::Numbers(values) => values[row],
        Column::Codes { codes, .. } if codes[row] == MISSING_CODE => f32::NAN,
        Column::Codes { codes, .. } => codes[row] as f32,
        Column::Sparse { .. } => 0.0,
    };
    columns.iter().map(value).collect()
}

/// CPU seconds of this process so far, in steps of a hundredth.
fn cpu_seconds() -> Result<f64> {
    let text = fs::read_to_string("/proc/self/stat")?;
    let fields = text
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace();
    let ticks: Vec<f64> = fields
        .skip(11)
        .take(2)
        .map(str::parse)
        .collect::<std::result::Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() / 100.0)
}

/// The most memory of this process so far, in kB.
fn peak() -> Result<u64> {
    let text = fs::read_to_string("/proc/self/status")?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap_or("0");
    Ok(line.trim_end_matches("kB").trim().parse()?)
}

#[expect(clippy::print_stdout, reason = "this is a program")]
fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let [_, dir, objective, rounds, leaves, threads] = args.as_slice() else {
        return Err("usage: boost_columns <dir> <objective> <rounds> <leaves> <threads>".into());
    };
    let dir = Path::new(dir);
    let objective = match objective.split_once(':') {
        None if objective == "binary" => Objective::Binary,
        None if objective == "squared" => Objective::Squared,
        None if objective == "absolute" => Objective::Absolute,
        None if objective == "poisson" => Objective::Poisson,
        Some(("quantile", level)) => Objective::Quantile(level.parse()?),
        Some(("tweedie", power)) => Objective::Tweedie(power.parse()?),
        Some(("classes", n)) => Objective::Classes(n.parse()?),
        _ => return Err(format!("no objective `{objective}`").into()),
    };
    let (train, test) = (columns(dir, "train")?, columns(dir, "test")?);
    let labels = read(&dir.join("train.labels"), f64::from_le_bytes)?;
    let weights = dir.join("train.weights");
    let weights = match weights.exists() {
        true => Some(read(&weights, f64::from_le_bytes)?),
        false => None,
    };
    let options = BoostOptions {
        rounds: rounds.parse()?,
        max_leaves: leaves.parse()?,
        threads: threads.parse()?,
        ..BoostOptions::default()
    };
    let columns = borrowed(&train);
    let examples = Examples {
        columns: &columns,
        labels: &labels,
        weights: weights.as_deref(),
        base: None,
    };
    let before = cpu_seconds()?;
    let started = Instant::now();
    let boosted = boost(
        examples,
        None,
        objective,
        &options,
        &mut |_| ControlFlow::Continue(()),
        &|| false,
    );
    let (cpu, wall) = (cpu_seconds()? - before, started.elapsed().as_secs_f64());
    println!("    ours train {cpu:.2} CPU s, {wall:.2} s");
    let columns = borrowed(&test);
    let n_rows = columns.first().map_or(0, Column::n_rows);
    let before = cpu_seconds()?;
    let started = Instant::now();
    let widths: Vec<usize> = columns.iter().map(tree_width).collect();
    let places = boosted.forest.places(&widths);
    let scores =
        boosted
            .forest
            .sums_of_columns(&columns, &places, n_rows, &boosted.base, options.threads);
    let (cpu, wall) = (cpu_seconds()? - before, started.elapsed().as_secs_f64());
    println!("    ours predict {cpu:.2} CPU s, {wall:.2} s");
    let rows: Vec<Vec<f32>> = (0..n_rows.min(10_000))
        .map(|row| row_of(&columns, row))
        .collect();
    let before = cpu_seconds()?;
    let mut sums = boosted.base.clone();
    for row in rows.iter().cycle().take(200_000) {
        boosted.forest.add_row(row, &mut sums);
    }
    let cpu = (cpu_seconds()? - before) / 200_000.0;
    println!(
        "    ours one row {:.2} CPU us ({})",
        cpu * 1e6,
        sums[0].is_finite()
    );
    let stored = boosted.forest.to_bytes();
    let before = cpu_seconds()?;
    for _ in 0..100 {
        fourfold_kernels::trees::Forest::from_bytes(&stored)?;
    }
    println!(
        "    ours load {:.2} CPU ms",
        (cpu_seconds()? - before) * 10.0
    );
    let bytes: Vec<u8> = scores
        .iter()
        .flat_map(|score| score.to_le_bytes())
        .collect();
    fs::write(dir.join("test.scores"), bytes)?;
    println!(
        "    ours peak {} MB, forest {} bytes",
        peak()? / 1024,
        boosted.forest.to_bytes().len()
    );
    Ok(())
}
