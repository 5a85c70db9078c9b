//! The thread that writes the log.

use std::cmp::Reverse;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;

use super::super::queue::Worker;
use super::super::record::{Record, Run};
use super::columns::columns;
use super::file::OpenFile;
use super::sweep::sweep;
use super::{Counters, RequestLogOptions};
use crate::error::{Error, Result, chain};

/// Files that are begun at the same time, of different versions;
const MOST_BEGUN: usize = 4_096;
/// those of them that are open;
const MOST_OPEN: usize = 64;
/// and what all of them keep in memory, in bytes.
const MOST_IN_MEMORY: usize = 64 << 20;
/// The directory is looked through no more often than this, unless there are many new bytes.
const SWEEP_EVERY: Duration = Duration::from_secs(5);
/// The pause after a failure, in which nothing is written.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Writer {
    dir: PathBuf,
    options: RequestLogOptions,
    counters: Arc<Counters>,
    /// Distinguishes the files of this log from those of others that write here.
    unique: u64,
    n_opened: u64,
    open: Vec<OpenFile>,
    /// The start of the period in which nothing could be written.
    failed: Option<Instant>,
    /// True once rows that cannot be logged have been reported.
    said_unfit: bool,
    swept: Instant,
    /// The bytes of files that were closed since then.
    unswept_bytes: Option<u64>,
}

impl Writer {
    pub(super) fn new(
        dir: PathBuf,
        options: RequestLogOptions,
        counters: Arc<Counters>,
        unique: u64,
    ) -> Self {
        Writer {
            dir,
            options,
            counters,
            unique,
            n_opened: 0,
            open: Vec::new(),
            failed: None,
            said_unfit: false,
            swept: Instant::now(),
            unswept_bytes: None,
        }
    }

    /// Writes as many of the rows as the file has room for, and returns their number.
    fn write(&mut self, first: &Record, rows: &RecordBatch) -> Result<usize> {
        let schema = rows.schema();
        let found = self.open.iter().position(|file| file.takes(first, &schema));
        let at = match found {
            Some(at) => at,
            None => {
                if self.open.len() >= MOST_BEGUN
                    && let Some(oldest) = self.first_by(|file| file.opened)
                {
                    self.close(oldest);
                }
                self.n_opened += 1;
                let unique = format!("{:016x}-{:06}", self.unique, self.n_opened);
                let file = OpenFile::begin(&self.dir, &unique, first, schema);
                self.open.push(file);
                self.open.len() - 1
            }
        };
        let Some(file) = self.open.get_mut(at) else {
            return Ok(0);
        };
        let room = self.options.max_file_rows.saturating_sub(file.n_rows);
        let room = usize::try_from(room).unwrap_or(usize::MAX).max(1);
        let rows = rows.slice(0, rows.num_rows().min(room));
        let n_rows = rows.num_rows();
        if let Err(error) = file.write(rows) {
            self.lose(at, n_rows as u64);
            return Err(error);
        }
        if file.n_rows >= self.options.max_file_rows
            || file.n_bytes() >= self.options.max_file_bytes
        {
            self.close(at);
        }
        self.limit_memory()?;
        Ok(n_rows)
    }

    /// The rows of a file are lost with it, except those that are counted elsewhere.
    fn lose(&mut self, at: usize, others: u64) {
        let file = self.open.swap_remove(at);
        self.counters.add_failed(file.n_rows.saturating_sub(others));
    }

    /// Writes, and closes, the largest until few are open and little is kept.
    fn limit_memory(&mut self) -> Result<()> {
        while self.open.iter().map(OpenFile::in_memory).sum::<usize>() > MOST_IN_MEMORY {
            let Some(at) = self.first_by(|file| Reverse(file.in_memory())) else {
                break;
            };
            let written = self.open.get_mut(at).map_or(Ok(()), OpenFile::write_out);
            if let Err(error) = written {
                self.lose(at, 0);
                return Err(error);
            }
        }
        while self.open.iter().filter(|file| file.is_open()).count() > MOST_OPEN {
            let Some(at) = self.first_by(|file| (!file.is_open(), Reverse(file.n_rows))) else {
                break;
            };
            self.close(at);
        }
        Ok(())
    }

    fn write_all(&mut self, run: &Run) {
        let n_rows = run.n_rows() as u64;
        if self.failed.is_some_and(|since| since.elapsed() < PAUSE) {
            self.counters.add_failed(n_rows);
            return;
        }
        let (mut rows, first) = match (columns(run), run.records.first()) {
            (Ok(rows), Some(first)) => (rows, first),
            (Ok(_), None) => return,
            (Err(error), _) => return self.pass_over(run, &error),
        };
        while rows.num_rows() > 0 {
            match self.write(first, &rows) {
                Ok(0) => break,
                Ok(n) => rows = rows.slice(n, rows.num_rows() - n),
                Err(error) => return self.fail(rows.num_rows() as u64, &error),
            }
        }
    }

    fn first_by<K: Ord>(&self, key: impl Fn(&OpenFile) -> K) -> Option<usize> {
        let files = self.open.iter().enumerate();
        let first = files.min_by_key(|(_, file)| key(file));
        first.map(|(at, _)| at)
    }

    fn close(&mut self, at: usize) {
        let file = self.open.swap_remove(at);
        let n_rows = file.n_rows;
        let n_bytes = match file.close() {
            Ok(n_bytes) => n_bytes,
            Err(error) => return self.fail(n_rows, &error),
        };
        self.counters.logged.fetch_add(n_rows, Ordering::Relaxed);
        self.counters.files.fetch_add(1, Ordering::Relaxed);
        if self.failed.take().is_some() {
            *self.counters.failure() = None;
            tracing::info!(dir = %self.dir.display(), "the request log can be written again");
        }
        let unswept = self.unswept_bytes.unwrap_or(0).saturating_add(n_bytes);
        self.unswept_bytes = Some(unswept);
        if unswept >= self.options.max_bytes / 16 {
            self.sweep();
        }
    }

    fn sweep(&mut self) {
        if self.unswept_bytes.take().is_none() {
            return;
        }
        self.swept = Instant::now();
        let removed = sweep(&self.dir, self.options.max_bytes, self.options.max_file_age);
        self.counters.removed.fetch_add(removed, Ordering::Relaxed);
    }

    /// Rows that cannot be logged are nothing to the others.
    fn pass_over(&mut self, run: &Run, error: &Error) {
        self.counters.add_failed(run.n_rows() as u64);
        if !std::mem::replace(&mut self.said_unfit, true) {
            let model = run.records.first().map(|record| &record.model);
            tracing::warn!(?model, ?error, "rows cannot be logged");
        }
    }

    /// Says so once, until a file could be closed again.
    fn fail(&mut self, n_rows: u64, error: &Error) {
        self.counters.add_failed(n_rows);
        if self.failed.is_none() {
            tracing::warn!(
                dir = %self.dir.display(),
                error = ?error,
                "the request log cannot be written; requests are answered without being logged"
            );
        }
        self.failed = Some(Instant::now());
        *self.counters.failure() = Some(chain(error));
    }
}

impl Worker for Writer {
    fn take(&mut self, records: Vec<Record>) {
        for run in Run::all(records) {
            self.write_all(&run);
        }
    }

    fn tick(&mut self) -> Duration {
        // After a failure, small files find out whether there is room again.
        let age = match self.failed {
            Some(_) => self.options.max_file_age.min(PAUSE),
            None => self.options.max_file_age,
        };
        while let Some(at) = (self.open.iter()).position(|file| file.opened.elapsed() >= age) {
            self.close(at);
        }
        let left = |file: &OpenFile| age.saturating_sub(file.opened.elapsed());
        let next = self.open.iter().map(left).min();
        let mut next = next.unwrap_or(Duration::from_secs(3_600));
        if self.unswept_bytes.is_some() {
            let left = SWEEP_EVERY.saturating_sub(self.swept.elapsed());
            if left.is_zero() {
                self.sweep();
            } else {
                next = next.min(left);
            }
        }
        next
    }

    fn flush(&mut self) {
        while !self.open.is_empty() {
            self.close(0);
        }
        self.sweep();
    }

    fn recover(&mut self, n_rows: usize) {
        let lost: u64 = self.open.drain(..).map(|file| file.n_rows).sum();
        self.fail(
            lost + n_rows as u64,
            &Error::internal("the request log panicked"),
        );
    }
}
