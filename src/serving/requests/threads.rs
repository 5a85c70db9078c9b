//! The threads that slow models answer on.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};

/// The time that a thread waits for the next job before it ends.
const IDLE: Duration = Duration::from_secs(10);

/// Threads that grow with the jobs and end when there are none.
///
/// They are not tokio's: its runtime waits for its blocking threads when it is dropped, so a model that hangs would keep
/// the process from ending. Their number is bounded by their callers: each model has its limit.
#[derive(Debug)]
pub(super) struct Threads {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    idle: usize,
    closed: bool,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("jobs", &self.jobs.len())
            .field("idle", &self.idle)
            .field("closed", &self.closed)
            .finish()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                // Jobs catch the panics that they can answer for; this one costs no thread.
                if catch_unwind(AssertUnwindSafe(job)).is_err() {
                    tracing::error!("a job of the inference threads panicked");
                }
                state = self.lock();
                continue;
            }
            if state.closed {
                return;
            }
            state.idle += 1;
            let (woken, waited) = self
                .wake
                .wait_timeout_while(state, IDLE, |state| state.jobs.is_empty() && !state.closed)
                .unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if waited.timed_out() && state.jobs.is_empty() {
                return;
            }
        }
    }
}

impl Threads {
    pub(super) fn new() -> Self {
        Threads {
            shared: Arc::default(),
        }
    }

    /// Does a job on a thread that is idle, or a new one: a job never waits for another.
    ///
    /// # Errors
    /// [`ErrorKind::ResourceExhausted`] if the system has no thread left.
    pub(super) fn run(&self, job: impl FnOnce() + Send + 'static) -> Result<()> {
        let mut state = self.shared.lock();
        state.jobs.push_back(Box::new(job));
        if state.jobs.len() <= state.idle {
            drop(state);
            self.shared.wake.notify_one();
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        let spawned = std::thread::Builder::new()
            .name("fourfold-infer".to_owned())
            .spawn(move || shared.work());
        if let Err(error) = spawned {
            state.jobs.pop_back();
            return Err(Error::new(
                ErrorKind::ResourceExhausted,
                "an inference thread cannot be started",
            )
            .with_source(error));
        }
        Ok(())
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.wake.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn no_job_waits_for_another() {
        let threads = Threads::new();
        let (go, wait) = mpsc::channel::<()>();
        threads
            .run(move || {
                let _ = wait.recv();
            })
            .unwrap();
        let (done, seen) = mpsc::channel();
        for _ in 0..50 {
            let done = done.clone();
            threads.run(move || done.send(()).unwrap()).unwrap();
            seen.recv_timeout(LONG).unwrap();
        }
        drop(go);
    }

    #[test]
    fn a_panic_costs_no_thread_and_threads_are_used_again() {
        let threads = Threads::new();
        threads.run(|| panic!("a test's panic")).unwrap();
        let (done, seen) = mpsc::channel();
        for _ in 0..20 {
            let done = done.clone();
            let job = move || done.send(std::thread::current().id()).unwrap();
            threads.run(job).unwrap();
            seen.recv_timeout(LONG).unwrap();
            // The thread is idle again once it holds the lock with nothing to do.
            while threads.shared.lock().idle == 0 {
                std::thread::yield_now();
            }
        }
        assert!(threads.shared.lock().idle <= 2);
    }
}
