//! Forests that were saved as JSON: `fourfold.forest.v1`.

use std::path::Path;

use serde::Deserialize;

use super::{Combine, ForestModel, HEADER, Header, TreeNode, builder, load_json, push};
use crate::error::{Error, Result};

/// The columns of the trees' tables of nodes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    n_features: usize,
    n_outputs: usize,
    combine: Combine,
    trees: Vec<StoredTree>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredTree {
    /// The feature of each node; -1 for a leaf.
    features: Vec<i64>,
    /// The threshold of each split, in order.
    thresholds: Vec<f32>,
    /// The nodes of each split, for values up to the threshold and for others.
    children: Vec<[usize; 2]>,
    /// The outputs of each leaf, in order: one output after the other.
    outputs: Vec<f64>,
}

impl StoredTree {
    fn nodes(&self, n_outputs: usize) -> Result<Vec<TreeNode>> {
        let odd = || Error::model("a tree whose columns differ in length");
        let mut splits = self.thresholds.iter().zip(&self.children);
        let mut leaves = self.outputs.chunks_exact(n_outputs);
        let nodes = self.features.iter().map(|feature| {
            Ok(match usize::try_from(*feature) {
                Ok(feature) => {
                    let (threshold, [below, above]) = splits.next().ok_or_else(odd)?;
                    TreeNode::Split {
                        feature,
                        threshold: *threshold,
                        below: *below,
                        above: *above,
                    }
                }
                Err(_) => TreeNode::Leaf {
                    outputs: leaves.next().ok_or_else(odd)?.to_vec(),
                },
            })
        });
        let nodes = nodes.collect::<Result<Vec<TreeNode>>>()?;
        let rest = !leaves.remainder().is_empty() || leaves.next().is_some();
        let same = self.thresholds.len() == self.children.len();
        if rest || !same || splits.next().is_some() {
            return Err(odd());
        }
        Ok(nodes)
    }
}

pub(super) fn load(dir: &Path) -> Result<ForestModel> {
    let stored: Stored = load_json(dir, HEADER)?;
    model(stored)
        .map_err(|error| Error::corrupt(format!("`{HEADER}` is not a forest")).with_source(error))
}

fn model(stored: Stored) -> Result<ForestModel> {
    let mut builder = builder(stored.n_features, stored.n_outputs)?;
    if stored.trees.is_empty() {
        return Err(Error::model("a forest without a tree"));
    }
    for (number, tree) in stored.trees.iter().enumerate() {
        tree.nodes(stored.n_outputs)
            .and_then(|nodes| push(&mut builder, &nodes))
            .map_err(|error| Error::model(format!("tree {number} of a forest: {error}")))?;
    }
    let header = Header {
        n_features: stored.n_features,
        combine: stored.combine,
        columns: None,
    };
    ForestModel::of(header, builder.finish())
}
