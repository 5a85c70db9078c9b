//! Independent jobs on several threads.

use std::sync::Mutex;

use crate::error::{Error, Result};

/// The number of threads to keep busy, given their maximum; 0 is all that the machine has.
pub(crate) fn at_most(threads: usize) -> usize {
    match threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    }
}

/// Does every job, on no more threads than may be kept busy, and gives their results in order. The first error by the order
/// of the jobs is the one that is given.
pub(crate) fn side_by_side<J: Send, T: Send>(
    threads: usize,
    jobs: Vec<J>,
    work: impl Fn(J) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let threads = at_most(threads).min(jobs.len());
    if threads <= 1 {
        return jobs.into_iter().map(work).collect();
    }
    let broken = || Error::internal("a worker thread panicked");
    let jobs = Mutex::new(jobs.into_iter().enumerate());
    let done = std::thread::scope(|scope| {
        let worker = || {
            let mut done = Vec::new();
            loop {
                let Some((place, job)) = jobs.lock().map_err(|_| broken())?.next() else {
                    return Ok(done);
                };
                done.push((place, work(job)));
            }
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|_| Err(broken())))
            .collect::<Result<Vec<_>>>()
    })?;
    let mut done: Vec<(usize, Result<T>)> = done.into_iter().flatten().collect();
    done.sort_unstable_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}
