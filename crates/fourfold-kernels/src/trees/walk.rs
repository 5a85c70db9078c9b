//! Rows down the trees.

use std::ops::Range;
use std::slice::ChunksExact;

use super::forest::{FlatNode, words_of};
use super::{Forest, tree_width};
use crate::columns::{Column, MISSING_CODE};
use crate::parallel;

/// The number of interleaved walks: a walk waits for memory at every step, and another can use the time.
const LANES: usize = 8;

/// The places of the features of columns among those that a forest looks at, see [`Forest::places`]: of each column,
/// pairs of an id and a place, ids ascending.
#[derive(Clone, Debug, PartialEq)]
pub struct Places(Vec<Vec<(u32, u32)>>);

/// The number of rows of `n_words` words that stay in the cache while all trees pass by.
fn block(n_words: usize) -> usize {
    ((1 << 15) / n_words).clamp(LANES, 64)
}

impl Forest {
    /// Adds the outputs of all trees for a row to `sums`, tree by tree. The row is `n_features` wide.
    pub fn add_row(&self, row: &[f32], sums: &mut [f64]) {
        let mut values = self.slots_of(row);
        values.resize(self.used.len().max(1), 0.0);
        let mut words = vec![0; self.n_words()];
        self.prepare(&values, &mut words);
        self.add_words(&words, sums);
    }

    /// Words of a row.
    fn n_words(&self) -> usize {
        self.n_number_words() + self.set_bits.n_words()
    }

    /// A row of the features that are used, as words.
    fn prepare(&self, values: &[f32], row: &mut [u32]) {
        let (numbers, bits) = row.split_at_mut(self.n_number_words());
        for (words, value) in numbers.as_chunks_mut().0.iter_mut().zip(values) {
            *words = words_of(*value);
        }
        self.set_bits.fill(&self.sets, values, bits);
    }

    /// The outputs of all trees `(n_rows, n_outputs)` for rows that stand one after the other, each added to `base`
    /// tree by tree: the bits that [`Forest::add_row`] gives.
    #[must_use]
    pub fn sums_of_rows(
        &self,
        rows: &[f32],
        n_rows: usize,
        base: &[f64],
        threads: usize,
    ) -> Vec<f64> {
        let width = self.n_features;
        self.sums(n_rows, base, threads, |range, slots, stride| {
            for (row, slots) in range.zip(slots.chunks_exact_mut(stride)) {
                self.gather(&rows[row * width..(row + 1) * width], slots);
            }
        })
    }

    /// The same for columns of these [`places`](Forest::places).
    #[must_use]
    pub fn sums_of_columns(
        &self,
        columns: &[Column<'_>],
        places: &Places,
        n_rows: usize,
        base: &[f64],
        threads: usize,
    ) -> Vec<f64> {
        self.sums(n_rows, base, threads, |range, slots, stride| {
            for (column, places) in columns.iter().zip(&places.0) {
                fill(column, places, range.clone(), slots, stride);
            }
        })
    }

    fn sums(
        &self,
        n_rows: usize,
        base: &[f64],
        threads: usize,
        fill: impl Fn(Range<usize>, &mut [f32], usize) + Sync,
    ) -> Vec<f64> {
        if n_rows == 0 {
            return Vec::new();
        }
        let stride = self.used.len().max(1);
        let width = self.n_words();
        let block = block(width);
        let parts = parallel::parts(n_rows, 2048, 1 << 16);
        let sums = parallel::map(&parts, threads, |part| {
            let mut sums = base.repeat(part.len());
            let mut values = vec![0.0; stride * block.min(part.len())];
            let mut words = vec![0; width * block.min(part.len())];
            let starts = part.clone().step_by(block);
            for (start, sums) in starts.zip(sums.chunks_mut(block * self.n_outputs)) {
                let n = sums.len() / self.n_outputs;
                let values = &mut values[..n * stride];
                fill(start..start + n, values, stride);
                let rows = values.chunks_exact(stride);
                for (values, row) in rows.zip(words.chunks_exact_mut(width)) {
                    self.prepare(values, row);
                }
                let rows = words[..n * width].chunks_exact(width);
                if n < LANES {
                    // Lanes of trees are fuller than lanes of rows.
                    rows.zip(sums.chunks_exact_mut(self.n_outputs))
                        .for_each(|(row, sums)| self.add_words(row, sums));
                } else {
                    self.add_block(&rows, sums);
                }
            }
            sums
        });
        match <[Vec<f64>; 1]>::try_from(sums) {
            Ok([sums]) => sums,
            Err(sums) => sums.concat(),
        }
    }

    fn gather(&self, row: &[f32], slots: &mut [f32]) {
        for (slot, feature) in slots.iter_mut().zip(&self.used) {
            *slot = row[*feature as usize];
        }
    }

    /// The places of the features of columns of these [widths](super::tree_width).
    #[must_use]
    pub fn places(&self, widths: &[usize]) -> Places {
        let mut used: Vec<(u32, u32)> = (0..).zip(&self.used).map(|(at, id)| (*id, at)).collect();
        used.sort_unstable();
        let mut used = used.into_iter().peekable();
        let mut first = 0;
        let of = |width: &usize| {
            let end = first + width;
            let mut places = Vec::new();
            while let Some((id, at)) = used.next_if(|(id, _)| (*id as usize) < end) {
                places.push((id - first as u32, at));
            }
            first = end;
            places
        };
        Places(widths.iter().map(of).collect())
    }

    /// Adds the outputs of all trees for one row, several trees at a time.
    fn add_words(&self, row: &[u32], sums: &mut [f64]) {
        for (group, roots) in self.roots.chunks(LANES).enumerate() {
            let mut at = [roots[0]; LANES];
            at[..roots.len()].copy_from_slice(roots);
            self.descend(&mut at, |_, node| child(node, row));
            for (lane, leaf) in at[..roots.len()].iter().enumerate() {
                self.add_leaf(group * LANES + lane, *leaf, sums);
            }
        }
    }

    /// Adds the outputs of all trees for some rows, several rows at a time.
    fn add_block(&self, rows: &ChunksExact<'_, u32>, sums: &mut [f64]) {
        let n_outputs = self.n_outputs;
        for (tree, root) in self.roots.iter().enumerate() {
            let mut rows = rows.clone();
            // Lanes without a row continue with the row that they had.
            let mut lanes: [&[u32]; LANES] = [&[]; LANES];
            for sums in sums.chunks_mut(LANES * n_outputs) {
                lanes
                    .iter_mut()
                    .zip(&mut rows)
                    .for_each(|(lane, row)| *lane = row);
                let mut at = [*root; LANES];
                self.descend(&mut at, |lane, node| child(node, lanes[lane]));
                for (leaf, sums) in at.iter().zip(sums.chunks_exact_mut(n_outputs)) {
                    self.add_leaf(tree, *leaf, sums);
                }
            }
        }
    }

    /// Goes down from the nodes `at` until all are leaves. `child` gives the next node of a lane.
    #[inline]
    fn descend(&self, at: &mut [u32; LANES], child: impl Fn(usize, FlatNode) -> u32) {
        loop {
            let mut moved = 0;
            for (lane, at) in at.iter_mut().enumerate() {
                // A leaf leads to itself.
                let next = child(lane, self.nodes[*at as usize]);
                moved |= next ^ *at;
                *at = next;
            }
            if moved == 0 {
                return;
            }
        }
    }

    /// The features that are used of some rows of columns, row by row.
    pub(super) fn slots_of_columns(&self, columns: &[Column<'_>], range: Range<usize>) -> Vec<f32> {
        let stride = self.used.len().max(1);
        let mut slots = vec![0.0; range.len() * stride];
        let widths: Vec<usize> = columns.iter().map(tree_width).collect();
        for (column, places) in columns.iter().zip(&self.places(&widths).0) {
            fill(column, places, range.clone(), &mut slots, stride);
        }
        slots
    }

    /// Adds the outputs of one tree for a row of those.
    pub(super) fn add_tree_of(&self, tree: usize, slots: &[f32], row: usize, sums: &mut [f64]) {
        let stride = self.used.len().max(1);
        let slots = &slots[row * stride..(row + 1) * stride];
        let mut at = self.roots[tree];
        loop {
            let node = self.nodes[at as usize];
            if node.first == at {
                return self.add_leaf(tree, at, sums);
            }
            at = node.first + u32::from(self.goes_above(node, slots));
        }
    }

    pub(super) fn slots_of(&self, row: &[f32]) -> Vec<f32> {
        self.used
            .iter()
            .map(|feature| row[*feature as usize])
            .collect()
    }

    fn add_leaf(&self, tree: usize, leaf: u32, sums: &mut [f64]) {
        let first = self.nodes[leaf as usize].place as usize;
        if self.leaf_width == 1 {
            sums[tree % self.n_outputs] += self.leaf_outputs[first];
            return;
        }
        let outputs = &self.leaf_outputs[first..first + self.leaf_width];
        sums.iter_mut()
            .zip(outputs)
            .for_each(|(sum, output)| *sum += output);
    }
}

/// The child of a node that a row goes to, by arithmetic alone: which way rows go cannot be guessed.
#[inline]
fn child(node: FlatNode, row: &[u32]) -> u32 {
    node.first + u32::from(row[node.word as usize] & node.place > node.key)
}

/// The values of some rows of a column into rows of slots.
fn fill(
    column: &Column<'_>,
    places: &[(u32, u32)],
    range: Range<usize>,
    slots: &mut [f32],
    stride: usize,
) {
    let rows = slots.chunks_exact_mut(stride);
    match column {
        Column::Numbers(values) => {
            for (_, place) in places {
                for (slot, value) in slots[*place as usize..]
                    .iter_mut()
                    .step_by(stride)
                    .zip(&values[range.clone()])
                {
                    *slot = *value;
                }
            }
        }
        Column::Codes { codes, .. } => {
            for (_, place) in places {
                for (slot, code) in slots[*place as usize..]
                    .iter_mut()
                    .step_by(stride)
                    .zip(&codes[range.clone()])
                {
                    *slot = if *code == MISSING_CODE {
                        f32::NAN
                    } else {
                        *code as f32
                    };
                }
            }
        }
        Column::Sparse {
            offsets,
            ids,
            values,
            ..
        } => {
            for (row, slots) in range.zip(rows) {
                for (_, place) in places {
                    slots[*place as usize] = 0.0;
                }
                let (from, to) = (offsets[row], offsets[row + 1]);
                for (id, value) in ids[from..to].iter().zip(&values[from..to]) {
                    if let Ok(found) = places.binary_search_by_key(id, |(id, _)| *id) {
                        slots[places[found].1 as usize] = *value;
                    }
                }
            }
        }
    }
}
