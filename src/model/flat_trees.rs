//! Trees as walking them wants them: 16 bytes a node, four to a line of cache.

use ndarray::{Array2, ArrayView2};

use super::TreeNode;
use crate::error::{Error, Result};

/// The nodes of one tree or several, one after the other.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct FlatTrees {
    n_outputs: usize,
    nodes: Vec<FlatNode>,
    /// Where each tree begins.
    roots: Vec<u32>,
    /// The outputs of the leaves: `n_outputs` each.
    outputs: Vec<f64>,
}

/// A split; or a leaf, which leads to itself, so that rows that arrive early wait for the others.
#[derive(Clone, Copy, Debug, PartialEq)]
struct FlatNode {
    threshold: f32,
    /// Of a leaf, where its outputs begin.
    feature: u32,
    below: u32,
    above: u32,
}

/// So many walks go on side by side: a walk waits for memory at every step, and another can use the time.
const LANES: usize = 8;

impl FlatTrees {
    /// Nothing yet.
    pub(super) fn new(n_outputs: usize) -> Self {
        FlatTrees {
            n_outputs,
            ..FlatTrees::default()
        }
    }

    /// Adds a tree whose nodes were checked: children stand after their parents, features are there, and leaves have
    /// the right number of outputs. `None` if there is no room for it.
    pub(super) fn push(&mut self, nodes: &[TreeNode]) -> Option<()> {
        let root = u32::try_from(self.nodes.len()).ok()?;
        for (at, node) in (root..).zip(nodes) {
            let flat = match node {
                TreeNode::Split {
                    feature,
                    threshold,
                    below,
                    above,
                } => {
                    let place = |child: usize| root.checked_add(u32::try_from(child).ok()?);
                    FlatNode {
                        threshold: *threshold,
                        feature: u32::try_from(*feature).ok()?,
                        below: place(*below)?,
                        above: place(*above)?,
                    }
                }
                TreeNode::Leaf { outputs } => {
                    let first = u32::try_from(self.outputs.len()).ok()?;
                    self.outputs.extend(outputs);
                    FlatNode {
                        threshold: 0.0,
                        feature: first,
                        below: at,
                        above: at,
                    }
                }
            };
            self.nodes.push(flat);
        }
        self.roots.push(root);
        Some(())
    }

    /// The sums of the trees' outputs for rows of the right width: from `base` on, or from 0 if it is empty.
    pub(super) fn sums(&self, features: &ArrayView2<'_, f32>, base: &[f64]) -> Result<Array2<f64>> {
        let features = features.as_standard_layout();
        let rows = features.as_slice().unwrap_or_default();
        let (n_rows, n_features) = features.dim();
        let mut sums = match base {
            [] => vec![0.0; n_rows * self.n_outputs],
            base => base.repeat(n_rows),
        };
        match n_rows {
            1 => self.add_row(rows, &mut sums),
            _ if n_features == 0 => {
                let rows = sums.chunks_exact_mut(self.n_outputs.max(1));
                rows.for_each(|sums| self.add_row(&[], sums));
            }
            _ => self.add_rows(rows, n_features, &mut sums),
        }
        Array2::from_shape_vec((n_rows, self.n_outputs), sums)
            .map_err(|error| Error::internal("outputs of a wrong shape").with_source(error))
    }

    /// Adds the outputs of all trees for a row to `sums`, tree by tree.
    fn add_row(&self, row: &[f32], sums: &mut [f64]) {
        for roots in self.roots.chunks(LANES) {
            let mut at = [0; LANES];
            at[..roots.len()].copy_from_slice(roots);
            if let [first, ..] = roots {
                at[roots.len()..].fill(*first);
            }
            self.walk(&mut at, |_| row);
            for leaf in &at[..roots.len()] {
                self.add_leaf(*leaf, sums);
            }
        }
    }

    /// The same for many rows, `n_features` wide: tree by tree too, so each sum has the bits that it has alone.
    fn add_rows(&self, rows: &[f32], n_features: usize, sums: &mut [f64]) {
        // As many rows as stay in the cache while all trees pass by.
        const BLOCK: usize = 64;
        let n_outputs = self.n_outputs.max(1);
        let blocks = rows.chunks(BLOCK * n_features);
        for (rows, sums) in blocks.zip(sums.chunks_mut(BLOCK * n_outputs)) {
            for root in &self.roots {
                let lanes = rows.chunks(LANES * n_features);
                for (rows, sums) in lanes.zip(sums.chunks_mut(LANES * n_outputs)) {
                    let n = sums.len() / n_outputs;
                    let mut at = [*root; LANES];
                    self.walk(&mut at, |lane| {
                        let lane = if lane < n { lane } else { 0 };
                        &rows[lane * n_features..(lane + 1) * n_features]
                    });
                    for (leaf, sums) in at.iter().zip(sums.chunks_exact_mut(n_outputs)) {
                        self.add_leaf(*leaf, sums);
                    }
                }
            }
        }
    }

    /// Walks from nodes down to leaves.
    #[inline]
    fn walk<'r>(&self, at: &mut [u32; LANES], row: impl Fn(usize) -> &'r [f32]) {
        let nodes = self.nodes.as_slice();
        let rows: [&[f32]; LANES] = std::array::from_fn(row);
        loop {
            let mut moved = false;
            for (at, row) in at.iter_mut().zip(rows) {
                let node = nodes[*at as usize];
                // A leaf's "feature" may be any number.
                let value = row.get(node.feature as usize).copied().unwrap_or_default();
                let next = if value <= node.threshold {
                    node.below
                } else {
                    node.above
                };
                moved |= next != *at;
                *at = next;
            }
            if !moved {
                return;
            }
        }
    }

    fn add_leaf(&self, leaf: u32, sums: &mut [f64]) {
        let first = self.nodes[leaf as usize].feature as usize;
        sums.iter_mut()
            .zip(&self.outputs[first..])
            .for_each(|(sum, output)| *sum += output);
    }
}
