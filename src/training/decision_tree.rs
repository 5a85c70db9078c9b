//! A decision tree.

use fourfold_kernels::trees::BagOptions;
use serde::{Deserialize, Serialize};

use super::random_forest::{bytes, grow};
use super::trees::{Rows, check_range};
use super::{Capabilities, TrainArgs, Trained, Trainer};
use crate::error::Result;
use crate::features::Takes;
use crate::model::ForestModel;
use crate::stage::Stage;

/// One tree, to look at: it splits by Gini impurity for classes and by variance for values (Breiman, Friedman, Olshen,
/// Stone: Classification and regression trees, 1984).
///
/// Its leaves answer with the mean of the values, or with the classes' shares among the training rows that end in them,
/// each class counted once more than it is there (Laplace). Missing values and categories need no preparation; splits lie
/// between 254 bins of a number. Rows count as much as they weigh. Deterministic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
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
    /// The most splits between the root and a leaf, from 1 to 64; the default is 6.
    #[must_use]
    pub fn max_depth(mut self, depth: usize) -> Self {
        self.max_depth = depth;
        self
    }

    /// The fewest training rows of a leaf, at least 1; the default is 20. A row counts as much as it weighs.
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

    fn version(&self) -> u32 {
        2
    }

    fn check(&self) -> Result<()> {
        check_range("max_depth", self.max_depth, 1, 64)?;
        check_range("min_rows_leaf", self.min_rows_leaf, 1, 1 << 32)
    }
}

impl Trainer for DecisionTree {
    type Model = ForestModel;

    fn train(&self, args: &TrainArgs) -> Result<Trained<ForestModel>> {
        args.check_memory(bytes(args, 1, self.min_rows_leaf))?;
        let rows = Rows::read(args.train())?;
        let options = BagOptions {
            trees: 1,
            max_depth: self.max_depth,
            min_rows_leaf: self.min_rows_leaf,
            features_per_split: usize::MAX,
            bootstrap: false,
            random_cuts: false,
            smoothing: 1.0,
            max_bins: 254,
            out_of_bag: false,
            seed: args.seed(),
            threads: args.threads(),
        };
        Ok(grow(self.name(), &rows, args, &options)?.0)
    }

    fn capabilities(&self) -> Capabilities {
        Takes::CODES.into()
    }
}
