//! A bounded queue from the answering threads to a background thread.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use arrow::array::RecordBatch;

use super::record::Record;
use crate::error::{Error, Result};
use crate::model::Prediction;

/// The consumer of the records, on a thread of its own.
pub(super) trait Worker: Send + 'static {
    /// Processes some records.
    fn take(&mut self, records: Vec<Record>);

    /// Does what is due, and returns the latest time of the next call.
    fn tick(&mut self) -> Duration;

    /// Finishes what was begun.
    fn flush(&mut self);

    /// Discards what was begun, after a panic over `n_rows` rows.
    fn recover(&mut self, n_rows: usize);
}

/// The queue of the worker. It never blocks its callers: a record without room is rejected.
pub(super) struct Queue {
    sender: Option<SyncSender<Message>>,
    queued: Arc<Queued>,
    most: Size,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// An amount of rows and bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Size {
    pub(super) rows: usize,
    /// The bytes in memory, with the answers.
    pub(super) bytes: usize,
}

impl Size {
    /// The size of rows with their answers.
    pub(super) fn of(rows: &RecordBatch, prediction: &Prediction) -> Self {
        let extras = prediction.extra_names().len() * rows.num_rows();
        let numbers = prediction.outputs().len() + extras;
        Size {
            rows: rows.num_rows(),
            bytes: rows.get_array_memory_size() + numbers * size_of::<f64>(),
        }
    }
}

/// The queued records.
#[derive(Debug, Default)]
struct Queued {
    rows: AtomicUsize,
    bytes: AtomicUsize,
}

impl Queued {
    fn add(&self, size: Size) {
        self.rows.fetch_add(size.rows, Ordering::Relaxed);
        self.bytes.fetch_add(size.bytes, Ordering::Relaxed);
    }

    fn remove(&self, size: Size) {
        self.rows.fetch_sub(size.rows, Ordering::Relaxed);
        self.bytes.fetch_sub(size.bytes, Ordering::Relaxed);
    }
}

enum Message {
    Record(Box<Record>),
    Flush(SyncSender<()>),
}

impl Queue {
    /// Requests that may wait, however few rows they have.
    const MOST_RECORDS: usize = 8_192;

    pub(super) fn start(name: &str, most: Size, worker: impl Worker) -> Result<Self> {
        let (sender, receiver) = sync_channel(Self::MOST_RECORDS);
        let queued = Arc::<Queued>::default();
        let thread = thread::Builder::new().name(name.to_owned()).spawn({
            let queued = Arc::clone(&queued);
            move || run(&receiver, &queued, worker)
        });
        let thread =
            thread.map_err(|error| Error::io(format!("starting thread `{name}`"), error))?;
        Ok(Queue {
            sender: Some(sender),
            queued,
            most,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Returns `true` if there is room for `size`, before anything is copied. A record above the limit is queued alone.
    pub(super) fn has_room(&self, size: Size) -> bool {
        let fits = |queued: &AtomicUsize, more: usize, most: usize| {
            let queued = queued.load(Ordering::Relaxed);
            queued == 0 || queued.saturating_add(more) <= most
        };
        fits(&self.queued.rows, size.rows, self.most.rows)
            && fits(&self.queued.bytes, size.bytes, self.most.bytes)
    }

    /// Queues a record, or rejects it.
    pub(super) fn offer(&self, record: Record) -> bool {
        let size = record.size();
        self.queued.add(size);
        let message = Message::Record(Box::new(record));
        let sent = (self.sender.as_ref()).is_some_and(|sender| sender.try_send(message).is_ok());
        if !sent {
            self.queued.remove(size);
        }
        sent
    }

    /// Waits until all that was taken is worked off and finished.
    pub(super) fn flush(&self) {
        let (done, is_done) = sync_channel(1);
        if let Some(sender) = &self.sender
            && sender.send(Message::Flush(done)).is_ok()
        {
            // An error means that the thread has ended, which is as finished as it gets.
            let _ = is_done.recv();
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        drop(self.sender.take());
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of an observer panicked");
        }
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("queued", &self.queued)
            .field("most", &self.most)
            .finish_non_exhaustive()
    }
}

/// After the first record more are waited for, so that a busy server does not wake the thread with each.
const GATHER: Duration = Duration::from_millis(10);
/// The most records that are worked off at once.
const AT_ONCE: usize = 1_024;

fn run(receiver: &Receiver<Message>, queued: &Queued, mut worker: impl Worker) {
    loop {
        let wait = catch_unwind(AssertUnwindSafe(|| worker.tick())).unwrap_or_else(|_| {
            worker.recover(0);
            Duration::from_secs(1)
        });
        let mut next = match receiver.recv_timeout(wait) {
            Ok(message) => Some(message),
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        if matches!(next, Some(Message::Record(_))) {
            thread::sleep(GATHER);
        }
        // Until the queue is empty, or a worker that is behind has to look at the time.
        let mut records = Vec::new();
        while let Some(message) = next.take() {
            match message {
                Message::Record(record) => records.push(*record),
                Message::Flush(done) => {
                    work(&mut worker, std::mem::take(&mut records), queued);
                    guarded(&mut worker, 0, Worker::flush);
                    let _ = done.send(());
                }
            }
            if records.len() < AT_ONCE {
                next = receiver.try_recv().ok();
            }
        }
        work(&mut worker, records, queued);
    }
    guarded(&mut worker, 0, Worker::flush);
}

fn work<W: Worker>(worker: &mut W, records: Vec<Record>, queued: &Queued) {
    let sizes: Vec<Size> = records.iter().map(Record::size).collect();
    let n_rows = sizes.iter().map(|size| size.rows).sum();
    if !records.is_empty() {
        guarded(worker, n_rows, |worker| worker.take(records));
    }
    sizes.into_iter().for_each(|size| queued.remove(size));
}

/// A panic costs the rows at hand, and not the thread.
fn guarded<W: Worker>(worker: &mut W, n_rows: usize, step: impl FnOnce(&mut W)) {
    if catch_unwind(AssertUnwindSafe(|| step(worker))).is_err() {
        worker.recover(n_rows);
    }
}
