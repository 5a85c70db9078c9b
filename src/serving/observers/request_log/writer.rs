//! The thread that writes the log.

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
use crate::error::{Error, Result};

/// Files that are written at the same time, of different versions: each keeps some memory.
const MOST_OPEN: usize = 16;
/// After a failure, so long nothing is tried.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Writer {
    dir: PathBuf,
    options: RequestLogOptions,
    counters: Arc<Counters>,
    /// Distinguishes the files of this log from those of others that write here.
    unique: u64,
    n_opened: u64,
    open: Vec<OpenFile>,
    /// Since when nothing could be written.
    failed: Option<Instant>,
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
        }
    }

    /// Writes as many of the rows as the file has room for, and says how many.
    fn write(&mut self, first: &Record, rows: &RecordBatch) -> Result<usize> {
        let schema = rows.schema();
        let found = self.open.iter().position(|file| file.takes(first, &schema));
        let at = match found {
            Some(at) => at,
            None => {
                if self.open.len() >= MOST_OPEN
                    && let Some(oldest) = self.oldest()
                {
                    self.close(oldest);
                }
                self.n_opened += 1;
                let unique = format!("{:016x}-{:06}", self.unique, self.n_opened);
                let file = OpenFile::create(&self.dir, &unique, first, schema)?;
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
        if let Err(error) = file.write(&rows) {
            // What the file had is lost with it.
            let file = self.open.swap_remove(at);
            self.counters.add_failed(file.n_rows);
            return Err(error);
        }
        if file.n_rows >= self.options.max_file_rows
            || file.n_bytes() >= self.options.max_file_bytes
        {
            self.close(at);
        }
        Ok(rows.num_rows())
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
            (Err(error), _) => return self.fail(n_rows, &error),
        };
        while rows.num_rows() > 0 {
            match self.write(first, &rows) {
                Ok(0) => break,
                Ok(n) => rows = rows.slice(n, rows.num_rows() - n),
                Err(error) => return self.fail(rows.num_rows() as u64, &error),
            }
        }
    }

    fn oldest(&self) -> Option<usize> {
        let files = self.open.iter().enumerate();
        let oldest = files.min_by_key(|(_, file)| file.opened);
        oldest.map(|(at, _)| at)
    }

    fn close(&mut self, at: usize) {
        let file = self.open.swap_remove(at);
        let n_rows = file.n_rows;
        if let Err(error) = file.close() {
            self.fail(n_rows, &error);
            return;
        }
        self.counters.logged.fetch_add(n_rows, Ordering::Relaxed);
        self.counters.files.fetch_add(1, Ordering::Relaxed);
        if self.failed.take().is_some() {
            tracing::info!(dir = %self.dir.display(), "the request log is written again");
        }
        let removed = sweep(&self.dir, self.options.max_bytes, self.options.file_age());
        self.counters.removed.fetch_add(removed, Ordering::Relaxed);
    }

    /// Says so once, until a file could be closed again.
    fn fail(&mut self, n_rows: u64, error: &Error) {
        self.counters.add_failed(n_rows);
        if self.failed.is_none() {
            tracing::warn!(
                dir = %self.dir.display(),
                error = ?error,
                "the request log cannot be written; requests are answered and not logged"
            );
        }
        self.failed = Some(Instant::now());
    }
}

impl Worker for Writer {
    fn take(&mut self, records: Vec<Record>) {
        for run in Run::all(records) {
            self.write_all(&run);
        }
    }

    fn tick(&mut self) -> Duration {
        let age = self.options.file_age();
        while let Some(at) = (self.open.iter()).position(|file| file.opened.elapsed() >= age) {
            self.close(at);
        }
        let left = |file: &OpenFile| age.saturating_sub(file.opened.elapsed());
        let next = self.open.iter().map(left).min();
        next.unwrap_or(Duration::from_secs(3_600))
    }

    fn flush(&mut self) {
        while !self.open.is_empty() {
            self.close(0);
        }
    }

    fn recover(&mut self, n_rows: usize) {
        let lost: u64 = self.open.drain(..).map(|file| file.n_rows).sum();
        self.fail(
            lost + n_rows as u64,
            &Error::internal("writing the request log panicked"),
        );
    }
}
