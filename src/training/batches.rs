//! Rows batch by batch, read ahead.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};

use super::random::Random;
use super::{Dataset, Matrix, Table};
use crate::error::{Error, Result};
use crate::features::Takes;
use crate::parallel::at_most;

/// The number of batches that wait at either end of a worker.
const WAITING: usize = 2;

/// Options of reading a [`Dataset`] batch by batch.
///
/// ```
/// use fourfold::training::BatchOptions;
///
/// let options = BatchOptions::new().rows(1_024).shuffled(7).epochs(3);
/// # let _ = options;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchOptions {
    rows: Option<usize>,
    shuffle: Option<u64>,
    epochs: usize,
}

impl Default for BatchOptions {
    fn default() -> Self {
        BatchOptions::new()
    }
}

impl BatchOptions {
    /// The number of rows that are mixed at a time.
    pub const SHUFFLED_ROWS: usize = 65_536;

    /// Every row once, in the order of the examples, in batches as they are read: of 8,192 rows at most.
    #[must_use]
    pub fn new() -> Self {
        BatchOptions {
            rows: None,
            shuffle: None,
            epochs: 1,
        }
    }

    /// Sets the size of batches in rows; the last of an epoch may be smaller. At least 1, which 0 stands for too.
    #[must_use]
    pub fn rows(mut self, n: usize) -> Self {
        self.rows = Some(n.max(1));
        self
    }

    /// In another order in every epoch, the same for the same seed: files one after the other in random order, their rows
    /// mixed within windows of [`BatchOptions::SHUFFLED_ROWS`]. A data set of no more rows is mixed whole.
    #[must_use]
    pub fn shuffled(mut self, seed: u64) -> Self {
        self.shuffle = Some(seed);
        self
    }

    /// All rows so often.
    #[must_use]
    pub fn epochs(mut self, n: usize) -> Self {
        self.epochs = n;
        self
    }
}

impl Dataset {
    /// The rows batch by batch, in the order of the examples, for trainers that stream. Only the columns that are needed
    /// are read, and features are computed ahead on as many threads as the data set may keep busy, four batches for each
    /// at most; what comes does not depend on their number. An error ends them.
    pub fn batches(&self) -> impl Iterator<Item = Result<Matrix>> + use<> {
        self.batches_with(BatchOptions::new())
    }

    /// As [`Dataset::batches`], of another size, in another order, or several times.
    pub fn batches_with(
        &self,
        options: BatchOptions,
    ) -> impl Iterator<Item = Result<Matrix>> + use<> {
        Batches::of(self, options, Dataset::convert)
    }

    /// As [`Dataset::batches_with`], in the form that a trainer takes.
    pub fn tables(
        &self,
        takes: Takes,
        options: BatchOptions,
    ) -> impl Iterator<Item = Result<Table>> + use<> {
        Batches::of(self, options, move |dataset, batch| {
            dataset.table_of(batch, takes)
        })
    }
}

/// Batches that are read and turned into features ahead of whoever takes them, on threads of their own, and come in an
/// order that the threads do not change. An error ends them.
struct Batches<T> {
    /// The batches of each worker; workers take turns.
    made: Vec<Receiver<Result<T>>>,
    next: usize,
}

impl<T: Send + 'static> Batches<T> {
    fn of(
        dataset: &Dataset,
        options: BatchOptions,
        convert: impl Fn(&Dataset, &RecordBatch) -> Result<T> + Copy + Send + 'static,
    ) -> Self {
        let n = at_most(dataset.threads);
        let (mut read, mut made) = (Vec::new(), Vec::new());
        for _ in 0..n {
            let (to_worker, batches) = sync_channel(WAITING);
            let (to_taker, features) = sync_channel(WAITING);
            let dataset = dataset.clone();
            let of_batch = move |batch: RecordBatch| convert(&dataset, &batch);
            thread::spawn(move || work(of_batch, &batches, &to_taker));
            read.push(to_worker);
            made.push(features);
        }
        let dataset = dataset.clone();
        thread::spawn(move || {
            let mut to = Deal { to: read, next: 0 };
            // An error of the reader goes to the worker whose turn it is.
            if let Err(error) = Reading::new(&dataset, options).run(&mut to) {
                to.send(Err(error));
            }
        });
        Batches { made, next: 0 }
    }
}

impl<T> Iterator for Batches<T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        let made = self.made.get(self.next)?.recv();
        if let Ok(Ok(made)) = made {
            self.next = (self.next + 1) % self.made.len();
            return Some(Ok(made));
        }
        self.made.clear();
        made.ok()
    }
}

fn work<T>(
    of_batch: impl Fn(RecordBatch) -> Result<T>,
    batches: &Receiver<Result<RecordBatch>>,
    to: &SyncSender<Result<T>>,
) {
    for batch in batches {
        let made = catch_unwind(AssertUnwindSafe(|| of_batch(batch?)));
        let panicked = |_| Err(Error::internal("a thread that computes features panicked"));
        // Nobody reads on.
        if to.send(made.unwrap_or_else(panicked)).is_err() {
            return;
        }
    }
}

/// Gives every worker a batch in turn.
struct Deal {
    to: Vec<SyncSender<Result<RecordBatch>>>,
    next: usize,
}

impl Deal {
    /// Sends a batch; returns true if it was received.
    fn send(&mut self, batch: Result<RecordBatch>) -> bool {
        let sent = self.to.get(self.next).map(|to| to.send(batch));
        self.next = (self.next + 1) % self.to.len().max(1);
        matches!(sent, Some(Ok(())))
    }
}

/// Reads raw rows, and cuts and mixes them.
struct Reading<'a> {
    dataset: &'a Dataset,
    options: BatchOptions,
    /// Read, and not given yet.
    held: Vec<RecordBatch>,
    n_held: usize,
}

impl<'a> Reading<'a> {
    fn new(dataset: &'a Dataset, options: BatchOptions) -> Self {
        Reading {
            dataset,
            options,
            held: Vec::new(),
            n_held: 0,
        }
    }

    fn run(&mut self, to: &mut Deal) -> Result<()> {
        let columns = self.dataset.columns();
        let mut random = self.options.shuffle.map(Random::new);
        for _ in 0..self.options.epochs {
            let parts = self.dataset.examples().parts();
            let order = match &mut random {
                Some(random) => random.order(parts.len()),
                None => (0..parts.len() as u32).collect(),
            };
            for place in order {
                let Some(part) = parts.get(place as usize).copied() else {
                    continue;
                };
                for batch in self.dataset.selected(part, &columns) {
                    if !self.take(batch?, &mut random, to)? {
                        return Ok(());
                    }
                }
            }
            if !self.give(0, &mut random, to)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Takes in rows, and sends what is complete; returns true if it is still received.
    fn take(
        &mut self,
        batch: RecordBatch,
        random: &mut Option<Random>,
        to: &mut Deal,
    ) -> Result<bool> {
        if batch.num_rows() == 0 {
            return Ok(true);
        }
        if random.is_none() && self.options.rows.is_none() {
            return Ok(to.send(Ok(batch)));
        }
        self.n_held += batch.num_rows();
        self.held.push(batch);
        let enough = match random {
            Some(_) => BatchOptions::SHUFFLED_ROWS,
            None => self.options.rows.unwrap_or(1),
        };
        match self.n_held >= enough {
            true => self.give(self.options.rows.unwrap_or(1), random, to),
            false => Ok(true),
        }
    }

    /// Sends the held rows in batches of the requested size, and keeps the rest if it has fewer than `keep` rows.
    fn give(&mut self, keep: usize, random: &mut Option<Random>, to: &mut Deal) -> Result<bool> {
        let Some(schema) = self.held.first().map(RecordBatch::schema) else {
            return Ok(true);
        };
        let mut rows = concat_batches(&schema, &self.held)?;
        self.held.clear();
        if let Some(random) = random {
            let order = random.order(rows.num_rows());
            rows = take_record_batch(&rows, &UInt32Array::from(order))?;
        }
        let size = self.options.rows.unwrap_or(8_192);
        let mut start = 0;
        while start < rows.num_rows() && rows.num_rows() - start >= keep {
            let n = size.min(rows.num_rows() - start);
            if !to.send(Ok(rows.slice(start, n))) {
                return Ok(false);
            }
            start += n;
        }
        self.n_held = rows.num_rows() - start;
        if self.n_held > 0 {
            self.held.push(rows.slice(start, self.n_held));
        }
        Ok(true)
    }
}
