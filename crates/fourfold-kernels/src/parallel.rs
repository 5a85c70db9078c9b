//! Work over rows, on any number of threads, with the same result.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Rows cut into parts whose number depends on the rows only, never on the machine: at least `least` rows a part, at
/// most `most` parts.
#[must_use]
pub fn parts(n_rows: usize, least: usize, most: usize) -> Vec<Range<usize>> {
    let n = (n_rows / least.max(1)).clamp(1, most.max(1));
    (0..n)
        .map(|part| part * n_rows / n..(part + 1) * n_rows / n)
        .collect()
}

/// The threads of this machine.
#[must_use]
pub fn available_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The result for each part, in their order. A thread takes the next part when it is done with one.
///
/// # Panics
/// If `work` does.
pub fn map<P: Sync, T: Send>(parts: &[P], threads: usize, work: impl Fn(&P) -> T + Sync) -> Vec<T> {
    let threads = threads.clamp(1, parts.len().max(1));
    if threads == 1 {
        return parts.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(parts.len()));
    let take_turns = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(part) = parts.get(at) else {
                break;
            };
            let result = work(part);
            done.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push((at, result));
        }
    };
    rayon_core::in_place_scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|_| take_turns());
        }
        take_turns();
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_the_rows() {
        for (n_rows, least, most) in [(0, 10, 4), (1, 10, 4), (100, 10, 4), (7, 1, 100)] {
            let parts = parts(n_rows, least, most);
            assert!(parts.len() <= most);
            assert_eq!(parts[0].start, 0);
            assert_eq!(parts[parts.len() - 1].end, n_rows);
            assert!(parts.windows(2).all(|pair| pair[0].end == pair[1].start));
        }
    }

    #[test]
    fn results_keep_their_order() {
        let parts: Vec<usize> = (0..100).collect();
        for threads in [1, 3, 200] {
            let squares = map(&parts, threads, |part| part * part);
            assert!(
                squares
                    .iter()
                    .enumerate()
                    .all(|(at, square)| at * at == *square)
            );
        }
    }
}
