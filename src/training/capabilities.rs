//! The capabilities of a trainer.

use std::collections::BTreeMap;

use super::Direction;
use crate::features::Takes;

/// The features that a trainer takes, and its abilities: see [`Trainer::capabilities`](super::Trainer::capabilities).
/// A trainer around another passes on what that one says.
///
/// ```
/// use fourfold::features::Takes;
/// use fourfold::training::{Capabilities, WarmStart};
///
/// let of_columns = Capabilities::from(Takes::CODES);
/// let that_continues = of_columns.warm_start(WarmStart::SameFeatures);
/// assert_eq!(Capabilities::new().takes, Takes::FINITE);
/// # let _ = that_continues;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// The form of the rows; by default, a matrix of finite numbers, see [`Dataset::matrix`](super::Dataset::matrix). A
    /// chosen transform goes by it, and [`Dataset::table`](super::Dataset::table) gives the rows in that form.
    pub takes: Takes,
    /// Whether it can start from the model that is serving, see [`TrainArgs::warm_start`](super::TrainArgs::warm_start). By
    /// default it cannot, and none is loaded.
    pub warm_start: Option<WarmStart>,
    /// The features with which its predictions only rise or only fall, whatever it learns.
    pub directions: BTreeMap<String, Direction>,
}

/// The models that a trainer can start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WarmStart {
    /// Those of the same features. Where features have changed, training starts from scratch and says so.
    SameFeatures,
    /// Those of other features too, by their names: see
    /// [`TrainArgs::warm_start_by_name`](super::TrainArgs::warm_start_by_name).
    ByName,
}

impl Capabilities {
    /// Takes a matrix of finite numbers, and nothing else.
    #[must_use]
    pub fn new() -> Self {
        Capabilities::default()
    }

    /// Starts from the model that is serving.
    #[must_use]
    pub fn warm_start(mut self, warm_start: WarmStart) -> Self {
        self.warm_start = Some(warm_start);
        self
    }

    /// Keeps these directions.
    #[must_use]
    pub fn directions(mut self, directions: impl IntoIterator<Item = (String, Direction)>) -> Self {
        self.directions.extend(directions);
        self
    }
}

impl From<Takes> for Capabilities {
    fn from(takes: Takes) -> Self {
        Capabilities {
            takes,
            ..Capabilities::default()
        }
    }
}
