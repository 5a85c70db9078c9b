//! Decision trees.

use std::path::Path;

use ndarray::{Array2, ArrayView1, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use super::{Model, Predict, check_width, load_json, save_json};
use crate::error::{Error, Result};

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
pub struct TreeModel {
    n_features: usize,
    n_outputs: usize,
    nodes: Vec<TreeNode>,
}

impl TreeModel {
    /// A tree from its nodes, the root first.
    ///
    /// # Errors
    /// [`ErrorKind::Model`](crate::ErrorKind::Model) if a child does not stand after its parent, a feature is
    /// outside of the matrix, or a leaf has another number of outputs. So every walk ends.
    pub fn new(n_features: usize, n_outputs: usize, nodes: Vec<TreeNode>) -> Result<Self> {
        let tree = TreeModel {
            n_features,
            n_outputs,
            nodes,
        };
        tree.check()?;
        Ok(tree)
    }

    /// The nodes, the root first.
    #[must_use]
    pub fn nodes(&self) -> &[TreeNode] {
        &self.nodes
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
        } = &self.nodes[at]
        {
            at = if row[*feature] <= *threshold {
                *below
            } else {
                *above
            };
        }
        at
    }

    fn check(&self) -> Result<()> {
        let sound = |(at, node): (usize, &TreeNode)| match node {
            TreeNode::Split {
                feature,
                threshold,
                below,
                above,
            } => {
                let after = |child: usize| child > at && child < self.nodes.len();
                *feature < self.n_features && !threshold.is_nan() && after(*below) && after(*above)
            }
            TreeNode::Leaf { outputs } => {
                outputs.len() == self.n_outputs && outputs.iter().all(|output| output.is_finite())
            }
        };
        if self.nodes.is_empty() || !self.nodes.iter().enumerate().all(sound) {
            return Err(Error::model(
                "a decision tree whose nodes do not form a tree",
            ));
        }
        Ok(())
    }
}

impl Predict for TreeModel {
    fn n_features(&self) -> usize {
        self.n_features
    }

    fn n_outputs(&self) -> usize {
        self.n_outputs
    }

    fn predict(&self, features: ArrayView2<'_, f32>) -> Result<Array2<f64>> {
        check_width(self, &features)?;
        let mut outputs = Array2::zeros((features.nrows(), self.n_outputs));
        for (row, mut out) in features
            .rows()
            .into_iter()
            .zip(outputs.axis_iter_mut(Axis(0)))
        {
            if let TreeNode::Leaf { outputs } = &self.nodes[self.leaf_of(row)] {
                out.iter_mut()
                    .zip(outputs)
                    .for_each(|(out, value)| *out = *value);
            }
        }
        Ok(outputs)
    }
}

impl Model for TreeModel {
    const FORMAT: &'static str = "fourfold.tree.v1";

    fn save(&self, dir: &Path) -> Result<()> {
        save_json(dir, "tree.json", self)
    }

    fn load(dir: &Path) -> Result<Self> {
        let tree: TreeModel = load_json(dir, "tree.json")?;
        tree.check()
            .map_err(|error| Error::corrupt("`tree.json` is not a tree").with_source(error))?;
        Ok(tree)
    }
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
            .predict(array![[9.0_f32, 0.4], [9.0, 0.6]].view())
            .unwrap();
        assert_eq!(outputs, array![[0.25], [0.75]]);
    }
}
