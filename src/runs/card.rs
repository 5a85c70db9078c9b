//! Model cards: the facts about a model that only people know.

use serde::{Deserialize, Serialize};

/// A model card (Mitchell et al. 2019): the facts about a model that only people know, for its [report](crate::report). It
/// changes no result, so that another card causes no stage to run. The report says which fields are empty.
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
    /// The intended use, and uses to avoid.
    pub intended_use: String,
    /// The situations in which it must not be relied on.
    pub limits: String,
    /// A description of the training data.
    pub data: String,
    /// The licence of the model and its data.
    pub licence: String,
    /// The person or team responsible for it.
    pub contact: String,
    /// The command that repeats the run.
    pub command: String,
}

impl ModelCard {
    /// An empty card.
    #[must_use]
    pub fn new() -> Self {
        ModelCard::default()
    }

    /// The intended use, and uses to avoid.
    #[must_use]
    pub fn intended_use(mut self, text: impl Into<String>) -> Self {
        self.intended_use = text.into();
        self
    }

    /// The situations in which it must not be relied on.
    #[must_use]
    pub fn limits(mut self, text: impl Into<String>) -> Self {
        self.limits = text.into();
        self
    }

    /// A description of the training data.
    #[must_use]
    pub fn data(mut self, text: impl Into<String>) -> Self {
        self.data = text.into();
        self
    }

    /// The licence of the model and its data.
    #[must_use]
    pub fn licence(mut self, text: impl Into<String>) -> Self {
        self.licence = text.into();
        self
    }

    /// The person or team responsible for it.
    #[must_use]
    pub fn contact(mut self, text: impl Into<String>) -> Self {
        self.contact = text.into();
        self
    }

    /// The command that repeats the run. It is stored as it is: leave secrets out.
    #[must_use]
    pub fn command(mut self, text: impl Into<String>) -> Self {
        self.command = text.into();
        self
    }

    /// Returns true if all fields are empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == ModelCard::default()
    }
}
