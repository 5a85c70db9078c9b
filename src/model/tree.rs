//! Decision trees.

use std::path::Path;

use fourfold_kernels::trees::{Forest, ForestBuilder, Node, Rule};
use ndarray::{Array2, ArrayView1};
use serde::{Deserialize, Serialize};

use super::{Loaders, Model, Predict, load_json, matrix_for, save_json};
use crate::error::{Error, Result};
use crate::features::Features;

/// A node of a tree. Children stand after their parent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TreeNode {
    /// Goes to `below` if the feature is at most the threshold, else to `above`.
    Split {
        /// The index of the feature.
        feature: usize,
        /// The threshold.
        threshold: f32,
        /// The index of the node for values up to it.
        below: usize,
        /// The index of the node for the others.
        above: usize,
    },
    /// Answers.
    Leaf {
        /// The outputs.
        outputs: Vec<f64>,
    },
}

/// A decision tree whose leaves hold outputs: class probabilities or values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct TreeModel {
    stored: Stored,
    forest: Forest,
}

/// The stored form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Stored {
    n_features: usize,
    n_outputs: usize,
    nodes: Vec<TreeNode>,
}

impl TryFrom<Stored> for TreeModel {
    type Error = Error;

    fn try_from(stored: Stored) -> Result<Self> {
        TreeModel::check_nodes(stored.n_features, stored.n_outputs, &stored.nodes)?;
        if stored.n_outputs == 0 || stored.n_outputs > 1 << 16 || stored.n_features >= 1 << 30 {
            return Err(Error::model(format!(
                "a decision tree of {} features and {} outputs",
                stored.n_features, stored.n_outputs
            )));
        }
        let mut builder = ForestBuilder::new(stored.n_features, stored.n_outputs, stored.n_outputs);
        builder
            .push(&nodes(&stored.nodes)?)
            .map_err(|error| Error::model(error.to_string()))?;
        let forest = builder.finish();
        Ok(TreeModel { stored, forest })
    }
}

impl From<TreeModel> for Stored {
    fn from(tree: TreeModel) -> Self {
        tree.stored
    }
}

impl TreeModel {
    /// A tree from its nodes, the root first.
    ///
    /// # Errors
    /// [`ErrorKind::Model`](crate::ErrorKind::Model) if a child does not stand after its parent, a feature is
    /// outside of the matrix, or a leaf has another number of outputs. So every walk ends.
    pub fn new(n_features: usize, n_outputs: usize, nodes: Vec<TreeNode>) -> Result<Self> {
        TreeModel::try_from(Stored {
            n_features,
            n_outputs,
            nodes,
        })
    }

    /// The nodes, the root first.
    #[must_use]
    pub fn nodes(&self) -> &[TreeNode] {
        &self.stored.nodes
    }

    /// The index of the leaf that a row of features ends in.
    #[must_use]
    pub fn leaf_of(&self, row: ArrayView1<'_, f32>) -> usize {
        let mut at = 0;
        while let TreeNode::Split {
            feature,
            threshold,
            below,
            above,
        } = &self.stored.nodes[at]
        {
            at = if row[*feature] <= *threshold {
                *below
            } else {
                *above
            };
        }
        at
    }

    /// Checks that nodes form a tree.
    pub(super) fn check_nodes(
        n_features: usize,
        n_outputs: usize,
        nodes: &[TreeNode],
    ) -> Result<()> {
        let sound = |(at, node): (usize, &TreeNode)| match node {
            TreeNode::Split {
                feature,
                threshold,
                below,
                above,
            } => {
                let after = |child: usize| child > at && child < nodes.len();
                *feature < n_features && !threshold.is_nan() && after(*below) && after(*above)
            }
            TreeNode::Leaf { outputs } => {
                outputs.len() == n_outputs && outputs.iter().all(|output| output.is_finite())
            }
        };
        if nodes.is_empty() || !nodes.iter().enumerate().all(sound) {
            return Err(Error::model(
                "a decision tree whose nodes do not form a tree",
            ));
        }
        Ok(())
    }
}

impl Predict for TreeModel {
    fn n_features(&self) -> usize {
        self.stored.n_features
    }

    fn n_outputs(&self) -> usize {
        self.stored.n_outputs
    }

    fn predict(&self, features: &Features) -> Result<Array2<f64>> {
        let features = matrix_for(self, features)?;
        let features = features.as_standard_layout();
        let rows = features.as_slice().unwrap_or_default();
        let zeros = vec![0.0; self.n_outputs()];
        let sums = self.forest.sums_of_rows(rows, features.nrows(), &zeros, 1);
        Array2::from_shape_vec((features.nrows(), self.n_outputs()), sums)
            .map_err(|error| Error::internal("outputs of a wrong shape").with_source(error))
    }
}

impl Model for TreeModel {
    const FORMAT: &'static str = "fourfold.tree.v1";

    fn save(&self, dir: &Path) -> Result<()> {
        save_json(dir, "tree.json", &self.stored)
    }

    fn load(dir: &Path, _: &Loaders) -> Result<Self> {
        let stored: Stored = load_json(dir, "tree.json")?;
        TreeModel::try_from(stored)
            .map_err(|error| Error::corrupt("`tree.json` is not a tree").with_source(error))
    }
}

/// The nodes as a forest takes them; what is missing goes above.
pub(super) fn nodes(nodes: &[TreeNode]) -> Result<Vec<Node>> {
    let small = |number: usize| {
        u32::try_from(number)
            .map_err(|_| Error::model(format!("a tree with a node or feature {number}")))
    };
    let node = |node: &TreeNode| {
        Ok(match node {
            TreeNode::Split {
                feature,
                threshold,
                below,
                above,
            } => Node::Split {
                feature: small(*feature)?,
                rule: Rule::AtMost {
                    threshold: *threshold,
                    missing_below: false,
                },
                children: [small(*below)?, small(*above)?],
                gain: 0.0,
            },
            TreeNode::Leaf { outputs } => Node::Leaf {
                outputs: outputs.clone(),
                cover: f32::NAN,
            },
        })
    };
    nodes.iter().map(node).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn a_loop_is_refused() {
        let node = TreeNode::Split {
            feature: 0,
            threshold: 0.0,
            below: 0,
            above: 0,
        };
        assert!(TreeModel::new(1, 1, vec![node]).is_err());
    }

    #[test]
    fn rows_fall_to_their_leaves() {
        let nodes = vec![
            TreeNode::Split {
                feature: 1,
                threshold: 0.5,
                below: 1,
                above: 2,
            },
            TreeNode::Leaf {
                outputs: vec![0.25],
            },
            TreeNode::Leaf {
                outputs: vec![0.75],
            },
        ];
        let tree = TreeModel::new(2, 1, nodes).unwrap();
        let outputs = tree
            .predict(&array![[9.0_f32, 0.4], [9.0, 0.6]].into())
            .unwrap();
        assert_eq!(outputs, array![[0.25], [0.75]]);
    }
}
