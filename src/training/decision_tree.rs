//! A decision tree, by linfa.

use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_trees::TreeNode as LinfaNode;
use ndarray::Axis;
use serde::{Deserialize, Serialize};

use super::{TrainArgs, Trained, Trainer};
use crate::error::{Error, Result};
use crate::model::{Target, TreeModel, TreeNode};
use crate::stage::Stage;

/// A classification tree that splits by Gini impurity (`linfa-trees`); its leaves answer with the classes' shares
/// among the training rows that end in them, each class counted once more than it is there (Laplace).
///
/// Rows count as much as their weights say. Deterministic; holds the feature matrix in memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecisionTree {
    max_depth: usize,
    min_rows_leaf: usize,
}

impl Default for DecisionTree {
    /// Depth at most 6, leaves of at least 20 rows.
    fn default() -> Self {
        DecisionTree {
            max_depth: 6,
            min_rows_leaf: 20,
        }
    }
}

impl DecisionTree {
    /// The most splits between the root and a leaf; 6 unless told.
    #[must_use]
    pub fn max_depth(mut self, depth: usize) -> Self {
        self.max_depth = depth;
        self
    }

    /// The fewest training rows of a leaf; 20 unless told.
    #[must_use]
    pub fn min_rows_leaf(mut self, rows: usize) -> Self {
        self.min_rows_leaf = rows;
        self
    }
}

impl Stage for DecisionTree {
    fn name(&self) -> &str {
        "decision_tree"
    }

    fn check(&self) -> Result<()> {
        if !(1..=64).contains(&self.max_depth) {
            return Err(Error::config(format!(
                "`max_depth` is {}, must be from 1 to 64",
                self.max_depth
            )));
        }
        if self.min_rows_leaf == 0 {
            return Err(Error::config("`min_rows_leaf` is 0, must be at least 1"));
        }
        Ok(())
    }
}

impl Trainer for DecisionTree {
    type Model = TreeModel;

    fn train(&self, args: &TrainArgs) -> Result<Trained<TreeModel>> {
        let target = args.target();
        let n_classes = target.classes().len();
        if let Target::Regression { label } = target {
            return Err(Error::config(format!(
                "label `{label}` makes a regression task, this decision tree predicts classes"
            )));
        }
        let matrix = args.train().matrix()?;
        let classes = matrix.classes()?;
        // Of mean 1, so that the fewest rows of a leaf are as many as they were.
        let weights = matrix.weights().map(|weights| {
            let mean = weights.mean().unwrap_or(1.0);
            weights.mapv(|weight| (weight / mean) as f32)
        });
        let (features, _) = matrix.into_parts();
        let mut dataset = DatasetBase::new(features, classes);
        if let Some(weights) = weights {
            dataset = dataset.with_weights(weights);
        }
        let fitted = linfa_trees::DecisionTree::params()
            .max_depth(Some(self.max_depth))
            .min_weight_leaf(self.min_rows_leaf as f32)
            .min_weight_split(2.0 * self.min_rows_leaf as f32)
            .fit(&dataset)
            .map_err(|error| Error::model("the decision tree found no model").with_source(error))?;

        let mut nodes = Vec::new();
        copy(fitted.root_node(), &mut nodes);
        let shape = TreeModel::new(dataset.records.ncols(), 0, nodes)?;
        let mut counts = vec![vec![1.0; n_classes]; shape.nodes().len()];
        let rows = dataset.records.axis_iter(Axis(0)).zip(&dataset.targets);
        for (number, (row, class)) in rows.enumerate() {
            counts[shape.leaf_of(row)][*class] += f64::from(dataset.weight_for(number));
        }
        let mut nodes = shape.nodes().to_vec();
        for (node, counts) in nodes.iter_mut().zip(counts) {
            if let TreeNode::Leaf { outputs } = node {
                let total: f64 = counts.iter().sum();
                let shares = counts.into_iter().map(|count| count / total);
                *outputs = match target {
                    Target::Binary { .. } => shares.skip(1).collect(),
                    _ => shares.collect(),
                };
            }
        }
        Ok(TreeModel::new(dataset.records.ncols(), target.n_outputs(), nodes)?.into())
    }
}

/// Copies a node and what is below it, parents first; returns its index. Leaves have no outputs yet.
fn copy(node: &LinfaNode<f32, usize>, nodes: &mut Vec<TreeNode>) -> usize {
    let at = nodes.len();
    nodes.push(TreeNode::Leaf {
        outputs: Vec::new(),
    });
    if let [Some(left), Some(right)] = node.children().as_slice() {
        let (feature, threshold, _) = node.split();
        let below = copy(left, nodes);
        let above = copy(right, nodes);
        nodes[at] = TreeNode::Split {
            feature,
            threshold,
            below,
            above,
        };
    }
    at
}
