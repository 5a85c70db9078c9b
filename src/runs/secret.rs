//! What must not be written down.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text that a stage needs and nobody else may see: a token, a password. It is not in fingerprints, records, manifests or
/// `Debug` texts; who changes it changes no result.
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
    /// What stands in its place.
    const HIDDEN: &'static str = "<secret>";

    /// A secret.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The text.
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

/// From a configuration that a person has written, where it stands in clear.
impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Secret)
    }
}
