//! Forests: many trees that answer as one.

use std::path::Path;

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use super::flat_trees::FlatTrees;
use super::{Link, Loaders, Model, Predict, TreeModel, TreeNode, load_json, matrix_for};
use crate::error::{Error, Result};
use crate::features::Features;

/// How the trees of a [`ForestModel`] answer as one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Combine {
    /// The mean of the trees' outputs: bagging, random forests.
    Mean,
    /// `link(base + sum of the trees' outputs)`: boosting.
    Sum {
        /// Where each output begins.
        base: Vec<f64>,
        /// What is done with the sums.
        link: Link,
    },
}

/// Many decision trees that answer as one: a random forest ([`Combine::Mean`]) or boosted trees ([`Combine::Sum`]).
///
/// Its trees are those of any trainer: whatever can say its trees as [`TreeNode`]s is served from here. A split goes
/// below where the feature is at most the threshold (scikit-learn's and LightGBM's rule; XGBoost's "less than" is the
/// next lower threshold, `f32::next_down`).
///
/// ```
/// use fourfold::model::{Combine, ForestModel, Link, Predict, TreeModel, TreeNode};
/// use fourfold::ndarray::array;
///
/// let tree = |threshold: f32, low: f64, high: f64| {
///     let leaf = |output| TreeNode::Leaf { outputs: vec![output] };
///     let root = TreeNode::Split { feature: 0, threshold, below: 1, above: 2 };
///     TreeModel::new(1, 1, vec![root, leaf(low), leaf(high)])
/// };
/// let trees = [tree(10.0, 0.0, 1.0)?, tree(20.0, 0.0, 1.0)?];
/// let forest = ForestModel::new(&trees, Combine::Mean)?;
/// assert_eq!(forest.predict(&array![[5.0_f32], [15.0], [25.0]].into())?, array![[0.0], [0.5], [1.0]]);
///
/// let boosted = ForestModel::new(&trees, Combine::Sum { base: vec![-1.0], link: Link::Logistic })?;
/// assert_eq!(boosted.predict(&array![[15.0_f32]].into())?, array![[0.5]]);
/// # Ok::<(), fourfold::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ForestModel {
    stored: Stored,
    flat: FlatTrees,
}

/// The stored form: the columns of a tree's table of nodes, which is a tenth of the size of a list of nodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    n_features: usize,
    n_outputs: usize,
    combine: Combine,
    trees: Vec<StoredTree>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredTree {
    /// Of each node; -1 of a leaf.
    features: Vec<i64>,
    /// Of each split, in order.
    thresholds: Vec<f32>,
    /// Of each split, the nodes for values up to the threshold and for others.
    children: Vec<[usize; 2]>,
    /// Of each leaf, in order: one output after the other.
    outputs: Vec<f64>,
}

impl StoredTree {
    fn of(tree: &TreeModel) -> Result<Self> {
        let mut stored = StoredTree::default();
        for node in tree.nodes() {
            match node {
                TreeNode::Split {
                    feature,
                    threshold,
                    below,
                    above,
                } => {
                    let feature = i64::try_from(*feature)
                        .map_err(|_| Error::model("a tree of too many features"))?;
                    stored.features.push(feature);
                    stored.thresholds.push(*threshold);
                    stored.children.push([*below, *above]);
                }
                TreeNode::Leaf { outputs } => {
                    stored.features.push(-1);
                    stored.outputs.extend(outputs);
                }
            }
        }
        Ok(stored)
    }

    fn nodes(&self, n_outputs: usize) -> Result<Vec<TreeNode>> {
        let odd = || Error::model("a tree whose columns differ in length");
        let mut splits = self.thresholds.iter().zip(&self.children);
        let mut leaves = self.outputs.chunks_exact(n_outputs.max(1));
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

impl ForestModel {
    /// A forest of trees that were trained on the same features.
    ///
    /// # Errors
    /// [`ErrorKind::Model`](crate::ErrorKind::Model) if there is no tree, if the trees differ in features or outputs,
    /// if a threshold is not finite, or if `base` has another number of outputs or one that is not finite.
    pub fn new(trees: &[TreeModel], combine: Combine) -> Result<Self> {
        let first = trees
            .first()
            .ok_or_else(|| Error::model("a forest without a tree"))?;
        let (n_features, n_outputs) = (first.n_features(), first.n_outputs());
        for (number, tree) in trees.iter().enumerate() {
            if (tree.n_features(), tree.n_outputs()) != (n_features, n_outputs) {
                return Err(Error::model(format!(
                    "tree {number} of a forest has {} features and {} outputs, the first has {n_features} and \
                     {n_outputs}",
                    tree.n_features(),
                    tree.n_outputs()
                )));
            }
        }
        let trees = trees.iter().map(StoredTree::of).collect::<Result<_>>()?;
        ForestModel::of(Stored {
            n_features,
            n_outputs,
            combine,
            trees,
        })
    }

    fn of(stored: Stored) -> Result<Self> {
        if stored.trees.is_empty() || stored.n_outputs == 0 {
            return Err(Error::model("a forest without a tree or an output"));
        }
        if let Combine::Sum { base, .. } = &stored.combine {
            let sound = base.len() == stored.n_outputs && base.iter().all(|base| base.is_finite());
            if !sound {
                return Err(Error::model(format!(
                    "the base of a forest is {base:?}, must be {} finite numbers",
                    stored.n_outputs
                )));
            }
        }
        let mut flat = FlatTrees::new(stored.n_outputs);
        for (number, tree) in stored.trees.iter().enumerate() {
            let named = |error: Error| Error::model(format!("tree {number} of a forest: {error}"));
            if let Some(bad) = tree.thresholds.iter().find(|x| !x.is_finite()) {
                let bad = Error::model(format!("a threshold is {bad}, must be finite"));
                return Err(named(bad));
            }
            // The checks of a tree: then every walk ends, and nothing is out of its range.
            let nodes = tree.nodes(stored.n_outputs).map_err(named)?;
            let nodes = TreeModel::check_nodes(stored.n_features, stored.n_outputs, &nodes)
                .map(|()| nodes)
                .map_err(named)?;
            flat.push(&nodes)
                .ok_or_else(|| Error::model("a forest of more than 2^32 nodes or outputs"))?;
        }
        Ok(ForestModel { stored, flat })
    }

    /// How many trees there are.
    #[must_use]
    pub fn n_trees(&self) -> usize {
        self.stored.trees.len()
    }

    /// How the trees answer as one.
    #[must_use]
    pub fn combine(&self) -> &Combine {
        &self.stored.combine
    }
}

impl Predict for ForestModel {
    fn n_features(&self) -> usize {
        self.stored.n_features
    }

    fn n_outputs(&self) -> usize {
        self.stored.n_outputs
    }

    fn predict(&self, features: &Features) -> Result<Array2<f64>> {
        let features = matrix_for(self, features)?;
        let base = match &self.stored.combine {
            Combine::Mean => &[][..],
            Combine::Sum { base, .. } => base,
        };
        let mut outputs = self.flat.sums(&features, base)?;
        match &self.stored.combine {
            Combine::Mean => {
                let n = self.n_trees() as f64;
                outputs.iter_mut().for_each(|sum| *sum /= n);
            }
            Combine::Sum { link, .. } => {
                let rows = outputs.as_slice_mut().unwrap_or_default();
                let rows = rows.chunks_exact_mut(self.n_outputs());
                rows.for_each(|row| link.apply(row));
            }
        }
        Ok(outputs)
    }
}

impl Model for ForestModel {
    const FORMAT: &'static str = "fourfold.forest.v1";

    fn save(&self, dir: &Path) -> Result<()> {
        // One line: pretty-printed, every number would have its own.
        let text = serde_json::to_vec(&self.stored)
            .map_err(|error| Error::internal("a forest cannot be serialized").with_source(error))?;
        let path = dir.join(FILE);
        std::fs::write(&path, text)
            .map_err(|error| Error::io(format!("writing `{}`", path.display()), error))
    }

    fn load(dir: &Path, _: &Loaders) -> Result<Self> {
        let stored: Stored = load_json(dir, FILE)?;
        ForestModel::of(stored)
            .map_err(|error| Error::corrupt("`forest.json` is not a forest").with_source(error))
    }
}

const FILE: &str = "forest.json";

#[cfg(test)]
mod tests;
