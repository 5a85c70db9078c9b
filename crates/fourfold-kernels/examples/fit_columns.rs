//! Fits linear models to columns in files, for comparisons with other libraries: `benches/peers/linear.py` writes the
//! files.
//!
//! `fit_columns <dir> <loss> <l2> <l1> <threads>` reads `<dir>/columns.txt`, one column a line (`numbers` or
//! `codes <n>`), `<dir>/{train,test}.<column>` and `<dir>/train.labels`, all raw and little-endian; it writes
//! `<dir>/test.scores` and prints what it took. A loss is `logistic`, `classes:<n>`, `poisson`, `squared` (by the solver)
//! or `gram` (least squares from cross products).

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use fourfold_kernels::columns::Column;
use fourfold_kernels::linear::{Coefficients, Design, Gram, Loss, Options, Penalty, Problem, fit};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

enum Owned {
    Numbers(Vec<f32>),
    Codes(Vec<u32>, u32),
}

fn read<T, const N: usize>(path: &Path, decode: fn([u8; N]) -> T) -> Result<Vec<T>> {
    let bytes = fs::read(path)?;
    let values = bytes.as_chunks::<N>().0.iter();
    Ok(values.map(|bytes| decode(*bytes)).collect())
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

fn design(columns: &[Owned]) -> Design<'_> {
    fn view(column: &Owned) -> Column<'_> {
        match column {
            Owned::Numbers(values) => Column::Numbers(values),
            Owned::Codes(codes, n_categories) => Column::Codes {
                codes,
                n_categories: *n_categories,
            },
        }
    }
    Design::new(columns.iter().map(view).collect())
}

/// CPU seconds of this process so far, in steps of a hundredth.
fn cpu_seconds() -> Result<f64> {
    let text = fs::read_to_string("/proc/self/stat")?;
    let fields = text.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: Vec<f64> = ticks
        .map(str::parse)
        .collect::<std::result::Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() / 100.0)
}

#[expect(clippy::print_stdout, reason = "this is a program")]
fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let [_, dir, loss, l2, l1, threads] = args.as_slice() else {
        return Err("usage: fit_columns <dir> <loss> <l2> <l1> <threads>".into());
    };
    let dir = Path::new(dir);
    let (l2, l1, threads): (f64, f64, usize) = (l2.parse()?, l1.parse()?, threads.parse()?);
    let (train, test) = (columns(dir, "train")?, columns(dir, "test")?);
    let labels = read(&dir.join("train.labels"), f64::from_le_bytes)?;
    let loss = match loss.split_once(':') {
        None if loss == "logistic" => Some(Loss::Logistic),
        None if loss == "poisson" => Some(Loss::Poisson),
        None if loss == "squared" => Some(Loss::Squared),
        None if loss == "gram" => None,
        Some(("classes", n)) => Some(Loss::Softmax {
            n_classes: n.parse()?,
        }),
        _ => return Err(format!("no loss `{loss}`").into()),
    };
    let design_of_train = design(&train);
    let (before, started) = (cpu_seconds()?, Instant::now());
    let found: Coefficients = match loss {
        None => Gram::of(&design_of_train, &labels, None, threads).least_squares(
            Penalty { l2, l1 },
            None,
            1_000,
            1e-6,
        ),
        Some(loss) => {
            let problem = Problem {
                design: &design_of_train,
                labels: &labels,
                weights: None,
                loss,
                l2,
                l1,
            };
            let options = Options {
                max_iterations: 200,
                tolerance: 1e-4,
                threads,
            };
            let fitted = fit(&problem, None, options, |_, _| ControlFlow::Continue(()));
            println!(
                "    ours {} iterations, {} passes, objective {:.8}, {:?}",
                fitted.iterations, fitted.evaluations, fitted.value, fitted.stop
            );
            fitted.coefficients
        }
    };
    println!(
        "    ours train {:.2} CPU s, {:.2} s",
        cpu_seconds()? - before,
        started.elapsed().as_secs_f64()
    );
    let scores = design(&test).scores(&found);
    let bytes: Vec<u8> = scores
        .iter()
        .flat_map(|score| score.to_le_bytes())
        .collect();
    fs::write(dir.join("test.scores"), bytes)?;
    Ok(())
}
