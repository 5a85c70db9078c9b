//! Models around other models.

use super::{AnyModel, Link, Predict};
use crate::error::{Error, ErrorKind, Result};

/// The methods of [`Predict`](super::Predict) that a model around `self.model` passes on to it.
macro_rules! forward_to_model {
    () => {
        fn n_features(&self) -> usize {
            self.model.n_features()
        }

        fn n_outputs(&self) -> usize {
            self.model.n_outputs()
        }

        fn takes(&self) -> $crate::features::Takes {
            self.model.takes()
        }

        fn link(&self) -> $crate::model::Link {
            self.model.link()
        }

        /// Those of the model within: added up, they are its output before its link.
        fn contributions(
            &self,
            features: &$crate::features::Features,
        ) -> $crate::error::Result<::ndarray::Array3<f64>> {
            self.model.contributions(features)
        }
    };
}

pub(super) use forward_to_model;

/// Checks that the contributions of several models have a mean: that they have one link.
pub(super) fn check_one_link<'m>(models: impl IntoIterator<Item = &'m AnyModel>) -> Result<()> {
    let mut links = models.into_iter().map(Predict::link);
    let first = links.next().unwrap_or(Link::Identity);
    match links.find(|link| *link != first) {
        None => Ok(()),
        Some(other) => Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "contributions of models with the links `{first:?}` and `{other:?}` have no mean: they are in different units"
            ),
        )),
    }
}
