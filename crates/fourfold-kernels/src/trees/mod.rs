//! Decision trees: forests that answer, and the trainers that grow them.
//!
//! A [`Forest`] is what training makes and what answers: compact, checked when it is built or loaded, walked without a
//! branch a node. [`boost`] grows boosted trees leaf by leaf on histograms; [`bag`] grows random forests and single
//! trees.
//!
//! A forest takes rows of `f32`: the columns one after the other, a [`Column::Sparse`] as one number an id. Categories
//! are their codes as numbers. NaN is a missing value or category.

mod bag;
mod bins;
mod boost;
mod bytes;
mod contributions;
mod forest;
mod grow;
mod histogram;
mod objective;
mod outcome;
mod random;
mod segments;
mod set_bits;
mod split;
mod walk;

pub use self::bag::{BagOptions, Bagged, bag};
pub use self::boost::{BoostOptions, Boosted, Examples, Round, boost};
pub use self::forest::{Forest, ForestBuilder, Malformed, Node, Rule};
pub use self::objective::Objective;
pub use self::outcome::Outcome;
pub use self::walk::Places;
use crate::columns::Column;

/// The number of features that a column makes in a forest: one, or one for each id of sparse rows.
#[must_use]
pub fn tree_width(column: &Column<'_>) -> usize {
    match column {
        Column::Numbers(_) | Column::Codes { .. } => 1,
        Column::Sparse { width, .. } => *width as usize,
    }
}

#[cfg(test)]
mod tests;
