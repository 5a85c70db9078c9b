//! Secrets: strings that are never serialized.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A string that a stage needs and nobody else may see, such as a token or a password. It is never part of fingerprints,
/// records, manifests or `Debug` output; changing it changes no result.
///
/// ```
/// use fourfold::runs::Secret;
///
/// let token = Secret::new("hunter2");
/// assert_eq!(format!("{token:?}"), "Secret(..)");
/// assert_eq!(serde_json::to_string(&token).unwrap(), r#""<secret>""#);
/// assert_eq!(token.reveal(), "hunter2");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Its serialized form.
    const HIDDEN: &'static str = "<secret>";

    /// A secret.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The string itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Secret(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(Secret::HIDDEN)
    }
}

/// From a configuration in which it is written in plain text.
impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Secret)
    }
}
