//! What only people know of a model.

use serde::{Deserialize, Serialize};

/// What only people know of a model, for its [report](crate::report): a model card (Mitchell et al. 2019). It changes no
/// result, so that another card runs nothing anew. What is empty is said to be missing.
///
/// ```
/// use fourfold::runs::ModelCard;
///
/// let card = ModelCard::new()
///     .intended_use("warns passengers of a delay; not for scheduling crews")
///     .limits("trained on departures from New York")
///     .data("flights of 2013, Bureau of Transportation Statistics")
///     .licence("internal")
///     .contact("delays@example.com");
/// # let _ = card;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ModelCard {
    /// What it is for, and what not.
    pub intended_use: String,
    /// Where it must not be relied on.
    pub limits: String,
    /// What it was trained on.
    pub data: String,
    /// Under which licence it and its data are.
    pub licence: String,
    /// Who answers for it.
    pub contact: String,
    /// The one command that makes the run again.
    pub command: String,
}

impl ModelCard {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        ModelCard::default()
    }

    /// What it is for, and what not.
    #[must_use]
    pub fn intended_use(mut self, text: impl Into<String>) -> Self {
        self.intended_use = text.into();
        self
    }

    /// Where it must not be relied on.
    #[must_use]
    pub fn limits(mut self, text: impl Into<String>) -> Self {
        self.limits = text.into();
        self
    }

    /// What it was trained on.
    #[must_use]
    pub fn data(mut self, text: impl Into<String>) -> Self {
        self.data = text.into();
        self
    }

    /// Under which licence it and its data are.
    #[must_use]
    pub fn licence(mut self, text: impl Into<String>) -> Self {
        self.licence = text.into();
        self
    }

    /// Who answers for it.
    #[must_use]
    pub fn contact(mut self, text: impl Into<String>) -> Self {
        self.contact = text.into();
        self
    }

    /// The one command that makes the run again. It stands in the record as it is: no secrets in it.
    #[must_use]
    pub fn command(mut self, text: impl Into<String>) -> Self {
        self.command = text.into();
        self
    }

    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == ModelCard::default()
    }
}
