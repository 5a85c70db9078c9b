//! Asking a saved model what a server would be asked.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::edges::{Edge, Wanted, edges};
use crate::error::{Error, ErrorKind, Result, chain, panic_text};
use crate::model::{Loaders, Prediction, Servable};

/// The rows that are asked one by one.
const ALONE: usize = 10;
/// The burst: the number of threads, and the number of single rows of each.
const THREADS: usize = 4;
const REQUESTS: usize = 100;
/// The approximate maximum of values in the burst, which limits the rows of thousands of columns.
const BURST_VALUES: usize = 1 << 19;
/// The maximum number of faults that are reported.
const MAX_FAULTS: usize = 20;

/// The queries.
pub(super) struct Asked {
    pub(super) rows: RecordBatch,
    /// The answers of the trained model `(n_rows, n_outputs)`.
    pub(super) expected: Array2<f64>,
}

/// The result.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) load: Duration,
    pub(super) p50: Duration,
    pub(super) p99: Duration,
    /// The number of bytes by which the process grew during the burst, if it is known.
    pub(super) memory_growth: Option<u64>,
    /// The number of answered rows at the edges.
    pub(super) answered: usize,
    pub(super) refused: usize,
    pub(super) faults: Vec<String>,
}

/// The message of a panic.
pub(super) fn panicked(panic: &(dyn Any + Send)) -> Error {
    Error::model(format!("it panicked{}", panic_text(panic)))
}

fn ask(servable: &Servable, rows: &RecordBatch) -> Result<Prediction> {
    catch_unwind(AssertUnwindSafe(|| servable.predict(rows)))
        .unwrap_or_else(|panic| Err(panicked(&*panic)))
}

/// Loads a saved model and asks it.
pub(super) fn run(dir: &Path, loaders: &Loaders, asked: &Asked) -> Result<Report> {
    let started = Instant::now();
    let servable = Servable::load(dir, loaders)?;
    let mut report = Report {
        load: started.elapsed(),
        ..Report::default()
    };
    let Asked { rows, expected } = asked;
    let together = ask(&servable, rows)?;
    let differs = expected
        .iter()
        .zip(together.outputs())
        .position(|(a, b)| a != b);
    if let Some(at) = differs {
        return Err(Error::model(format!(
            "loaded back, row {} is answered differently",
            at / expected.ncols().max(1)
        )));
    }
    for row in 0..rows.num_rows().min(ALONE) {
        let alone = ask(&servable, &rows.slice(row, 1))?;
        let expected = expected.row(row).to_vec();
        if alone.outputs().iter().ne(&expected) {
            return Err(Error::model(format!(
                "row {row} alone is answered {:?}, among others {expected:?}",
                alone.outputs().row(0).to_vec()
            )));
        }
    }
    for edge in edges(servable.schema(), &rows.slice(0, 1))? {
        report.ask_edge(&servable, &edge);
    }
    let before = memory();
    report.burst(&servable, rows);
    report.memory_growth = before
        .zip(memory())
        .map(|(before, after)| after.saturating_sub(before));
    Ok(report)
}

impl Report {
    fn fault(&mut self, fault: String) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(fault);
        }
    }

    fn ask_edge(&mut self, servable: &Servable, edge: &Edge) {
        match (ask(servable, &edge.row), edge.wanted) {
            (Ok(_), Wanted::Refused) => {
                self.answered += 1;
                self.fault(format!("{} is answered, must be refused", edge.what));
            }
            (Ok(_), _) => self.answered += 1,
            (Err(error), wanted) => {
                self.refused += 1;
                // A row that the schema allows is no reason for the model to fail; an extreme number may be.
                let failed = matches!(error.kind(), ErrorKind::Model | ErrorKind::Internal);
                let panicked = error.message().starts_with("it panicked");
                if panicked || failed && wanted == Wanted::Answered {
                    self.fault(format!("{}: {}", edge.what, chain(&error)));
                }
            }
        }
    }

    fn burst(&mut self, servable: &Servable, rows: &RecordBatch) {
        let requests = BURST_VALUES / (THREADS * rows.num_columns().max(1));
        let requests = requests.clamp(5, REQUESTS);
        let one = |thread: usize| {
            let mut took = Vec::with_capacity(requests);
            for request in 0..requests {
                let row = rows.slice((thread + request * THREADS) % rows.num_rows(), 1);
                let started = Instant::now();
                ask(servable, &row)?;
                took.push(started.elapsed());
            }
            Ok(took)
        };
        let answers: Vec<Result<Vec<Duration>>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|thread| scope.spawn(move || one(thread)))
                .collect();
            let joined = threads.into_iter().map(|thread| {
                let ended = thread.join();
                ended.unwrap_or_else(|panic| Err(panicked(&*panic)))
            });
            joined.collect()
        });
        let mut took = Vec::with_capacity(THREADS * requests);
        for answer in answers {
            match answer {
                Ok(times) => took.extend(times),
                Err(error) => self.fault(format!("in a burst of single rows: {}", chain(&error))),
            }
        }
        took.sort_unstable();
        let at = |rank: f64| {
            let place = (rank * took.len() as f64) as usize;
            took.get(place.min(took.len().saturating_sub(1)))
                .copied()
                .unwrap_or_default()
        };
        (self.p50, self.p99) = (at(0.5), at(0.99));
    }
}

/// The bytes that this process has in memory, where that can be told.
fn memory() -> Option<u64> {
    resident("self")
}

/// The bytes that a process has in memory: `VmRSS` of Linux.
pub(super) fn resident(process: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}
