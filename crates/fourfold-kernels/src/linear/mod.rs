//! Linear models: gradients over columns, and the solvers that use them.
//!
//! - [`Design`]: columns as the factors of a linear model. A category is an implicit one-hot: its score is a gather,
//!   its gradient a scatter.
//! - [`fit`]: any [`Loss`] with an elastic-net penalty, by L-BFGS; OWL-QN where there is an L1 part.
//! - [`Ftrl`]: logistic regression row by row, in memory of the features only.
//! - [`Gram`]: the cross products of features and label, a mergeable accumulator, and the exact solutions from it.
//!
//! Expanded features are numbered column by column: a column of numbers has one, a column of codes one a category.

mod design;
mod exp;
mod fit;
mod ftrl;
mod gram;
mod lbfgs;
mod least_squares;
mod loss;
mod moments;
#[cfg(test)]
mod tests;

pub use self::design::Design;
pub use self::fit::{Coefficients, Fit, Options, Problem, fit, objective};
pub use self::ftrl::{Ftrl, FtrlOptions};
pub use self::gram::{Gram, GramSums};
pub use self::lbfgs::Stop;
pub use self::least_squares::Penalty;
pub use self::loss::Loss;
