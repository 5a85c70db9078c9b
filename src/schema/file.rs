//! The schema's file: JSON or TOML.

use std::path::Path;

use serde::{Deserialize, Deserializer};

use super::Schema;
use crate::error::{Error, ErrorKind, Result, near_key};
use crate::written;

impl Schema {
    /// Reads a schema from a file, JSON or TOML by its extension, and [checks](Schema::check) it.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if it is not there; [`ErrorKind::Config`] naming the file and what is wrong in it: a key
    /// that is not known comes with the near one; [`ErrorKind::Unsupported`] for another extension or a format of a
    /// later build.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let layout = Layout::of(path)?;
        let text = std::fs::read_to_string(path)
            .map_err(|error| Error::io(format!("reading `{}`", path.display()), error))?;
        let schema = match layout {
            Layout::Json => Schema::from_json(&text),
            Layout::Toml => Schema::from_toml(&text),
        };
        schema.map_err(|error| {
            let text = format!("`{}`: {}", path.display(), error.message());
            Error::new(error.kind(), text).with_source(error)
        })
    }

    /// Writes the schema into a file, JSON or TOML by its extension.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if it cannot be written; [`ErrorKind::Unsupported`] for another extension.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let text = match Layout::of(path)? {
            Layout::Json => self.to_json()?,
            Layout::Toml => self.to_toml()?,
        };
        std::fs::write(path, text)
            .map_err(|error| Error::io(format!("writing `{}`", path.display()), error))
    }

    /// Reads a schema from JSON, and [checks](Schema::check) it.
    ///
    /// # Errors
    /// As [`Schema::load`].
    pub fn from_json(text: &str) -> Result<Self> {
        // Input that is not JSON at all is reported below.
        if let Err(error) = written::check_json(text)
            && error.message().starts_with("duplicate field ")
        {
            return Err(unreadable(error.message(), None));
        }
        let schema = serde_json::from_str(text).map_err(|error| {
            if let Some(error) = serde_json::from_str(text).ok().and_then(two_domains) {
                return error;
            }
            let version = serde_json::from_str(text)
                .ok()
                .map(|Version(version)| version);
            unreadable(&error.to_string(), version)
        });
        checked(schema?)
    }

    /// Reads a schema from TOML, and [checks](Schema::check) it.
    ///
    /// # Errors
    /// As [`Schema::load`].
    pub fn from_toml(text: &str) -> Result<Self> {
        let schema = toml::from_str(text).map_err(|error: toml::de::Error| {
            if let Some(error) = toml::from_str(text).ok().and_then(two_domains) {
                return error;
            }
            let version = toml::from_str(text).ok().map(|Version(version)| version);
            let line = error
                .span()
                .and_then(|span| text.get(..span.start))
                .map(|before| format!(" at line {}", before.matches('\n').count() + 1));
            let message = format!("{}{}", error.message(), line.unwrap_or_default());
            unreadable(&message, version)
        });
        checked(schema?)
    }

    /// The schema as JSON: readable, what is not set left out.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] if it cannot be written, which is a bug.
    pub fn to_json(&self) -> Result<String> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| Error::internal("a schema cannot be written").with_source(error))?;
        Ok(text + "\n")
    }

    /// The schema as TOML: readable, what is not set left out.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a number that TOML has no place for (counts past 2^63).
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self)
            .map_err(|error| Error::config("a schema cannot be written as TOML").with_source(error))
    }
}

enum Layout {
    Json,
    Toml,
}

impl Layout {
    fn of(path: &Path) -> Result<Self> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("json") => Ok(Layout::Json),
            Some("toml") => Ok(Layout::Toml),
            _ => Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "the schema's file `{}` must end in `.json` or `.toml`",
                    path.display()
                ),
            )),
        }
    }
}

/// The version of a document whose other parts may be unreadable.
struct Version(u64);

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Document {
            format_version: u64,
        }
        Document::deserialize(deserializer).map(|document| Version(document.format_version))
    }
}

/// A field with domains of two kinds.
#[expect(clippy::needless_pass_by_value, reason = "as what is parsed")]
fn two_domains(value: serde_json::Value) -> Option<Error> {
    let error = written::check_choices(&value, &["domain"]).err()?;
    Some(unreadable(error.message(), None))
}

fn checked(schema: Schema) -> Result<Schema> {
    schema.check()?;
    Ok(schema)
}

fn unreadable(message: &str, version: Option<u64>) -> Error {
    match version {
        Some(version) if version > u64::from(Schema::FORMAT_VERSION) => {
            Error::new(ErrorKind::Unsupported, future(version))
        }
        _ => Error::config(format!("the schema cannot be read: {}", near_key(message))),
    }
}

fn future(version: u64) -> String {
    format!(
        "the schema is of format version {version}, this build reads 1 to {}",
        Schema::FORMAT_VERSION
    )
}

/// The version of the format that was read: any that was ever written becomes the present one.
pub(super) fn format_version<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<u32, D::Error> {
    let version = u64::deserialize(deserializer)?;
    if (1..=u64::from(Schema::FORMAT_VERSION)).contains(&version) {
        Ok(Schema::FORMAT_VERSION)
    } else {
        Err(serde::de::Error::custom(future(version)))
    }
}
