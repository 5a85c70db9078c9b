//! The rows of each leaf.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use crate::parallel;

/// The rows of each leaf, ascending; the leaves side by side.
#[derive(Debug)]
pub(super) struct Segments {
    rows: Vec<u32>,
    scratch: Vec<u32>,
    leaves: Vec<Range<usize>>,
}

impl Segments {
    /// All rows in leaf 0.
    pub(super) fn new(rows: Vec<u32>) -> Self {
        let all = 0..rows.len();
        Segments {
            scratch: vec![0; rows.len()],
            rows,
            leaves: vec![all],
        }
    }

    pub(super) fn n_leaves(&self) -> usize {
        self.leaves.len()
    }

    pub(super) fn leaf(&self, leaf: usize) -> &[u32] {
        &self.rows[self.leaves[leaf].clone()]
    }

    /// Moves the rows whose bin is not below into a new leaf.
    pub(super) fn split(
        &mut self,
        leaf: usize,
        column: &[u8],
        below: &[bool; 256],
        threads: usize,
    ) {
        let range = self.leaves[leaf].clone();
        let rows = &mut self.rows[range.clone()];
        let scratch = &mut self.scratch[range.clone()];
        let parts = parallel::parts(rows.len(), 1 << 14, 64);
        let mut n_below = 0;
        if let [_] = parts.as_slice() {
            n_below = divide(rows, scratch, column, below);
            let n_above = rows.len() - n_below;
            rows[n_below..].copy_from_slice(&scratch[..n_above]);
        } else {
            let mut pieces = Vec::with_capacity(parts.len());
            let (mut rows_left, mut scratch_left) = (&mut *rows, &mut *scratch);
            for part in &parts {
                let (mine, others) = rows_left.split_at_mut(part.len());
                let (my_scratch, other_scratch) = scratch_left.split_at_mut(part.len());
                pieces.push(Mutex::new((mine, my_scratch)));
                (rows_left, scratch_left) = (others, other_scratch);
            }
            let counts = parallel::map(&pieces, threads, |piece| {
                let mut piece = piece.lock().unwrap_or_else(PoisonError::into_inner);
                let (rows, scratch) = &mut *piece;
                divide(rows, scratch, column, below)
            });
            drop(pieces);
            for (part, count) in parts.iter().zip(&counts) {
                rows.copy_within(part.start..part.start + count, n_below);
                n_below += count;
            }
            let mut at = n_below;
            for (part, count) in parts.iter().zip(&counts) {
                let n = part.len() - count;
                rows[at..at + n].copy_from_slice(&scratch[part.start..part.start + n]);
                at += n;
            }
        }
        let middle = range.start + n_below;
        self.leaves[leaf] = range.start..middle;
        self.leaves.push(middle..range.end);
    }

    /// Adds the value of each row's leaf to its score.
    pub(super) fn add(&self, values: &[f64], scores: &mut [f64], threads: usize) {
        let n = scores.len();
        let parts = parallel::parts(n, 1 << 15, 256);
        let mut pieces = Vec::with_capacity(parts.len());
        let mut left = scores;
        for part in parts {
            let (mine, others) = left.split_at_mut(part.len());
            pieces.push((part.start as u32, Mutex::new(mine)));
            left = others;
        }
        parallel::map(&pieces, threads, |(start, scores)| {
            let mut scores = scores.lock().unwrap_or_else(PoisonError::into_inner);
            let end = start + scores.len() as u32;
            for (leaf, value) in values.iter().enumerate() {
                let rows = self.leaf(leaf);
                let from = rows.partition_point(|row| row < start);
                let to = rows.partition_point(|row| *row < end);
                for row in &rows[from..to] {
                    scores[(row - start) as usize] += value;
                }
            }
        });
    }
}

/// The rows below to the front of `rows`, the others to the front of `scratch`, in their order.
pub(super) fn divide(
    rows: &mut [u32],
    scratch: &mut [u32],
    column: &[u8],
    below: &[bool; 256],
) -> usize {
    let (mut n_below, mut n_above) = (0, 0);
    for at in 0..rows.len() {
        let row = rows[at];
        let is_below = below[column[row as usize] as usize];
        rows[n_below] = row;
        scratch[n_above] = row;
        n_below += usize::from(is_below);
        n_above += usize::from(!is_below);
    }
    n_below
}
