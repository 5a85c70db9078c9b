//! Safe to serve: the candidate is saved, loaded back as a server loads it, and queried.

mod child;
mod edges;
mod probe;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use arrow::array::RecordBatch;
use ndarray::Array2;
use serde::{Deserialize, Serialize};

use self::probe::{Asked, Report};
use crate::blessing::{Candidate, Check, Verdict};
use crate::error::{Error, Result, chain};
use crate::examples::Examples;
use crate::model::{Loaders, Model};
use crate::runs::Measured;
use crate::store;

/// The most rows that are asked.
const N_ROWS: usize = 100;

/// The trial of a candidate before it is blessed: it is saved, loaded as a server loads it, and queried.
///
/// It is asked with rows of the `eval` split, together and each alone, whose answers must be those of the trained model to
/// the last bit; with rows at the edges of the schema (of some columns, where there are hundreds): NULL wherever it is allowed, extreme numbers, categories that were
/// never seen, the empty string, and texts in place of numbers, which must be refused; and with a burst of single rows from
/// four threads. It must answer, or refuse the row for what it is, and not panic, hang, or answer what is no probability.
/// Limits are judged if they are set.
///
/// In this process by default, on a thread that is given up where it hangs. A model that may take the process with it (one
/// that aborts, or fills the memory) is tried in [another](Trial::command).
///
/// ```
/// use std::time::Duration;
/// use fourfold::evaluation::{EvaluationPipeline, Thresholds, Trial};
///
/// let trial = Trial::new()
///     .max_load_time(Duration::from_secs(2))
///     .max_p99(Duration::from_millis(50))
///     .max_disk(100 << 20);
/// let evaluation = EvaluationPipeline::new(Thresholds::new().at_least("auc", 0.7)).trial(trial);
/// # let _ = evaluation;
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Trial {
    time: Duration,
    load_time: Option<Duration>,
    p50: Option<Duration>,
    p99: Option<Duration>,
    memory_growth: Option<u64>,
    memory: Option<u64>,
    disk: Option<u64>,
    command: Option<Vec<String>>,
}

impl Default for Trial {
    fn default() -> Self {
        Trial {
            time: Duration::from_secs(60),
            load_time: None,
            p50: None,
            p99: None,
            memory_growth: None,
            memory: None,
            disk: None,
            command: None,
        }
    }
}

impl Trial {
    /// A trial in this process, for at most a minute, without other limits.
    #[must_use]
    pub fn new() -> Self {
        Trial::default()
    }

    /// In a process of its own: a program with its arguments, which calls [`Trial::answer`] at the top of `main`. A crash, a
    /// hang or [too much memory](Trial::max_memory) of it is a rejection, with what it wrote to its standard error. Most
    /// often it is the application's own program, `std::env::current_exe()`.
    #[must_use]
    pub fn command<A: Into<String>>(
        program: impl Into<String>,
        arguments: impl IntoIterator<Item = A>,
    ) -> Self {
        let arguments = arguments.into_iter().map(Into::into);
        Trial {
            command: Some(std::iter::once(program.into()).chain(arguments).collect()),
            ..Trial::default()
        }
    }

    /// Limits the time of the whole trial; a minute by default.
    #[must_use]
    pub fn max_time(mut self, time: Duration) -> Self {
        self.time = time;
        self
    }

    /// Limits the time of loading.
    #[must_use]
    pub fn max_load_time(mut self, time: Duration) -> Self {
        self.load_time = Some(time);
        self
    }

    /// Limits the median latency of the single rows of the burst.
    #[must_use]
    pub fn max_p50(mut self, time: Duration) -> Self {
        self.p50 = Some(time);
        self
    }

    /// Limits the 99th percentile of the latency of the single rows of the burst.
    #[must_use]
    pub fn max_p99(mut self, time: Duration) -> Self {
        self.p99 = Some(time);
        self
    }

    /// Sets the number of bytes by which the process may grow during the burst. In this process, its other work counts
    /// too. Judged on Linux only.
    #[must_use]
    pub fn max_memory_growth(mut self, bytes: u64) -> Self {
        self.memory_growth = Some(bytes);
        self
    }

    /// Limits the memory, in bytes, of a [child process](Trial::command), which is stopped above it. Enforced on Linux only.
    #[must_use]
    pub fn max_memory(mut self, bytes: u64) -> Self {
        self.memory = Some(bytes);
        self
    }

    /// Limits the size of the saved model in bytes.
    #[must_use]
    pub fn max_disk(mut self, bytes: u64) -> Self {
        self.disk = Some(bytes);
        self
    }

    /// Answers a trial, if this process was started for one; says whether it was. Call it at the top of `main`, with the
    /// loaders that your servers load by, and return if so:
    ///
    /// ```
    /// use fourfold::evaluation::Trial;
    /// use fourfold::model::Loaders;
    ///
    /// fn main() -> fourfold::Result<()> {
    ///     if Trial::answer(&Loaders::default())? {
    ///         return Ok(());
    ///     }
    ///     // What the program is for.
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// If the model does not load, or what it is asked cannot be read.
    pub fn answer(loaders: &Loaders) -> Result<bool> {
        child::answer(loaders)
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.time.is_zero() {
            return Err(Error::config("the trial's `time` is 0, must be above"));
        }
        match self.command.as_deref() {
            Some([program, ..]) if program.is_empty() => {
                Err(Error::config("the trial's `command` is empty"))
            }
            None if self.memory.is_some() => Err(Error::config(
                "the trial's `memory` is a limit of a process of its own; call `Trial::command`, or limit the growth",
            )),
            _ => Ok(()),
        }
    }

    /// The check `servable`, and one for each limit; and how it did, if it was asked at all.
    pub(super) fn validate<M: Model>(
        &self,
        candidate: &Candidate<M>,
        eval: &Examples,
    ) -> Result<(Verdict, Option<Measured>)> {
        let rows = match eval.batches(&[]).next() {
            Some(rows) => rows?,
            None => {
                let message = "there is no row to query it with";
                return Ok((Verdict::new().check("servable", false, message), None));
            }
        };
        let rows = rows.slice(0, rows.num_rows().min(N_ROWS));
        let n_rows = rows.num_rows();
        let failed = |reason: String| {
            Verdict::new().check("servable", false, format!("it does not serve: {reason}"))
        };
        let (report, n_bytes) = match self.try_out(candidate, rows) {
            Ok(found) => found,
            Err(error) => return Ok((failed(chain(&error)), None)),
        };
        let measured = Some(Measured::new(
            [report.load, report.p50, report.p99],
            report.memory_growth,
            n_bytes,
        ));
        if let Some(fault) = report.faults.first() {
            let more = report.faults.len() - 1;
            let more = if more > 0 {
                format!(" (and {more} more faults)")
            } else {
                String::new()
            };
            let verdict = failed(format!("{fault}{more}"));
            return Ok((verdict.and(self.limits(&report, n_bytes)), measured));
        }
        let message = format!(
            "saved, loaded back and queried with {n_rows} rows: equal answers; of {} rows at the edges {} are answered and {} \
             refused",
            report.answered + report.refused,
            report.answered,
            report.refused
        );
        let verdict =
            Verdict::new().with(Check::new("servable", true, message).support(n_rows as u64));
        Ok((verdict.and(self.limits(&report, n_bytes)), measured))
    }

    fn try_out<M: Model>(
        &self,
        candidate: &Candidate<M>,
        rows: RecordBatch,
    ) -> Result<(Report, u64)> {
        let dir = tempfile::tempdir()
            .map_err(|error| Error::io("making a directory to try the model in", error))?;
        let place = dir.path().join("1");
        let expected = catch_unwind(AssertUnwindSafe(|| -> Result<Array2<f64>> {
            candidate.save(&place)?;
            Ok(candidate.servable().predict(&rows)?.outputs().clone())
        }));
        let expected = expected.unwrap_or_else(|_| Err(Error::model("it panicked")))?;
        let n_bytes = store::n_bytes(&place);
        let asked = Asked { rows, expected };
        let report = match &self.command {
            Some(command) => child::run(command, self, dir.path(), &place, &asked)?,
            None => here(self.time, &place, candidate.loaders(), asked)?,
        };
        Ok((report, n_bytes))
    }

    fn limits(&self, report: &Report, n_bytes: u64) -> Verdict {
        let seconds = |name: &str, found: Duration, most: Option<Duration>| {
            most.map(|most| {
                let message = format!("the {name} is {found:.1?}, must be at most {most:.1?}");
                let check = Check::new(name, found <= most, message);
                check.value(found.as_secs_f64()).bound(most.as_secs_f64())
            })
        };
        let bytes = |name: &str, found: Option<u64>, most: Option<u64>| {
            most.map(|most| match found {
                Some(found) => {
                    let message = format!("the {name} is {found} bytes, must be at most {most}");
                    let check = Check::new(name, found <= most, message);
                    check.value(found as f64).bound(most as f64)
                }
                None => Check::new(
                    name,
                    false,
                    format!("the {name} cannot be measured on this system"),
                ),
            })
        };
        let checks = [
            seconds("load time", report.load, self.load_time),
            seconds("median latency", report.p50, self.p50),
            seconds("99th percentile of the latency", report.p99, self.p99),
            bytes("growth of memory", report.memory_growth, self.memory_growth),
            bytes("size on disk", Some(n_bytes), self.disk),
        ];
        checks
            .into_iter()
            .flatten()
            .fold(Verdict::new(), Verdict::with)
    }
}

/// On a thread of its own, which is given up where it hangs.
fn here(time: Duration, place: &Path, loaders: &Loaders, asked: Asked) -> Result<Report> {
    let (sender, receiver) = mpsc::channel();
    let (place, loaders): (PathBuf, Loaders) = (place.to_owned(), loaders.clone());
    let probe = move || {
        let report = catch_unwind(AssertUnwindSafe(|| probe::run(&place, &loaders, &asked)));
        let report = report.unwrap_or_else(|panic| Err(probe::panicked(&*panic)));
        // The receiver no longer listens if it gave up.
        let _ = sender.send(report);
    };
    std::thread::Builder::new()
        .name("fourfold-trial".to_owned())
        .spawn(probe)
        .map_err(|error| Error::io("starting a thread to try the model on", error))?;
    match receiver.recv_timeout(time) {
        Ok(report) => report,
        Err(mpsc::RecvTimeoutError::Timeout) => {
            Err(Error::model(format!("it did not finish within {time:?}")))
        }
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            Err(Error::model("the trial ended without a result"))
        }
    }
}
