//! The direction of predictions with a feature.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The direction of predictions with a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// They never fall where the feature rises.
    Rising,
    /// They never rise where the feature rises.
    Falling,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Direction::Rising => "rising",
            Direction::Falling => "falling",
        })
    }
}
