//! Fingerprints: what a result depends on, as one number.
//!
//! The fingerprint of a stage's result is a SHA-256 over the seed, the stage's name, version and configuration,
//! and the fingerprints of its inputs. Equal fingerprints mean equal results, so a fingerprint is the key under
//! which results are kept and traced.
//!
//! Architecture invariant: a configuration's fingerprint does not depend on the order in which its keys are
//! written, and sees every field. Keys are sorted here (CBOR keeps the tree, we sort it), and a number that is not
//! finite is refused, because it would compare unequal to itself. Held by the property tests in
//! `tests/it/props.rs`.

use std::fmt;

use ciborium::Value;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::stage::Stage;

/// A SHA-256, shown as 64 lower-case hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// The fingerprint of some bytes.
    #[must_use]
    pub fn of_bytes(bytes: impl AsRef<[u8]>) -> Self {
        Fingerprint(hex(&Sha256::digest(bytes.as_ref())))
    }

    /// The fingerprint of a serializable value, whatever the order of its keys.
    ///
    /// ```
    /// use fourfold::fingerprint::Fingerprint;
    ///
    /// let a = Fingerprint::of(&serde_json::json!({"x": 1, "y": 2}))?;
    /// let b = Fingerprint::of(&serde_json::json!({"y": 2, "x": 1}))?;
    /// assert_eq!(a, b);
    /// assert!(Fingerprint::of(&f64::NAN).is_err());
    /// # Ok::<(), fourfold::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if the value holds a number that is not finite or cannot
    /// be serialized.
    pub fn of(value: &impl Serialize) -> Result<Self> {
        let tree = Value::serialized(value).map_err(|error| {
            Error::config("a configuration cannot be serialized").with_source(error)
        })?;
        let mut bytes = Vec::new();
        ciborium::into_writer(&canonical(tree)?, &mut bytes).map_err(|error| {
            Error::internal("a fingerprint cannot be written").with_source(error)
        })?;
        Ok(Fingerprint::of_bytes(bytes))
    }

    /// The fingerprint of content: of numbers that are not finite too, and in the order in which it is written.
    #[cfg(feature = "datafusion")]
    pub(crate) fn of_content(value: &impl Serialize) -> Result<Self> {
        let mut bytes = Vec::new();
        ciborium::into_writer(value, &mut bytes).map_err(|error| {
            Error::internal("a fingerprint cannot be written").with_source(error)
        })?;
        Ok(Fingerprint::of_bytes(bytes))
    }

    /// The fingerprint of what a stage makes from its inputs.
    ///
    /// # Errors
    /// As [`Fingerprint::of`], naming the stage.
    pub fn of_stage<S: Stage + ?Sized>(
        stage: &S,
        seed: u64,
        inputs: &[Fingerprint],
    ) -> Result<Self> {
        stage
            .describe()
            .and_then(|stage| Fingerprint::of(&(seed, stage, inputs)))
            .map_err(|error| error.in_stage(stage.name()))
    }

    /// A fingerprint that differs from all others, for what cannot tell whether it has changed.
    #[cfg(feature = "datafusion")]
    pub(crate) fn unique() -> Result<Self> {
        #[derive(Serialize)]
        struct Moment(u128, u32, u64);
        static COUNT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Fingerprint::of(&Moment(now.as_nanos(), std::process::id(), count))
    }

    /// The fingerprint that is written as 64 lower-case hexadecimal digits.
    #[cfg(feature = "datafusion")]
    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let is_hex = text.len() == 64 && text.bytes().all(is_digit);
        is_hex.then(|| Fingerprint(text.to_owned()))
    }

    /// The 64 hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 digits, for names of directories and for display.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..12.min(self.0.len())]
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({})", self.short())
    }
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn canonical(value: Value) -> Result<Value> {
    Ok(match value {
        Value::Float(number) if !number.is_finite() => {
            return Err(Error::config(format!(
                "a configuration holds {number}, must be a finite number"
            )));
        }
        Value::Array(items) => {
            Value::Array(items.into_iter().map(canonical).collect::<Result<_>>()?)
        }
        Value::Map(entries) => {
            let mut entries = entries
                .into_iter()
                .map(|(key, value)| Ok((canonical(key)?, canonical(value)?)))
                .collect::<Result<Vec<_>>>()?;
            entries.sort_by_cached_key(|(key, _)| format!("{key:?}"));
            Value::Map(entries)
        }
        other => other,
    })
}
