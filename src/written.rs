//! Files that people write: JSON or TOML, in which an unknown or duplicate key is an error.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use serde::de::{self, DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::error::{Error, Result, near_key};

/// Reads a value from a file, JSON or TOML by its extension.
///
/// # Errors
/// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) or [`ErrorKind::Io`](crate::ErrorKind::Io) if it cannot be read;
/// [`ErrorKind::Config`](crate::ErrorKind::Config) naming the file and what is wrong in it.
#[cfg_attr(
    not(feature = "datafusion"),
    expect(dead_code, reason = "for the pipelines")
)]
pub(crate) fn load<T: DeserializeOwned>(path: &Path, what: &str) -> Result<T> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Error::io(format!("reading `{}`", path.display()), error))?;
    let read = match path.extension().and_then(std::ffi::OsStr::to_str) {
        Some("json") => from_json(&text),
        Some("toml") => from_toml(&text),
        _ => Err(Error::config(format!(
            "a file of {what} must end in `.json` or `.toml`"
        ))),
    };
    read.map_err(|error| {
        Error::new(
            error.kind(),
            format!("`{}`: {}", path.display(), error.message()),
        )
        .with_source(error)
    })
}

/// Reads a value from JSON without duplicate keys.
///
/// # Errors
/// [`ErrorKind::Config`](crate::ErrorKind::Config) with the line.
pub(crate) fn from_json<T: DeserializeOwned>(text: &str) -> Result<T> {
    check_json(text)?;
    serde_json::from_str(text).map_err(|error| Error::config(near_key(&error.to_string())))
}

/// Reads a value from TOML, which has no duplicate keys.
///
/// # Errors
/// [`ErrorKind::Config`](crate::ErrorKind::Config) with the line.
pub(crate) fn from_toml<T: DeserializeOwned>(text: &str) -> Result<T> {
    toml::from_str(text).map_err(|error: toml::de::Error| {
        let line = error
            .span()
            .and_then(|span| text.get(..span.start))
            .map(|before| format!(" at line {}", before.matches('\n').count() + 1));
        let message = format!("{}{}", error.message(), line.unwrap_or_default());
        Error::config(near_key(&message))
    })
}

/// Checks that no object of a JSON document has a duplicate key.
///
/// # Errors
/// [`ErrorKind::Config`](crate::ErrorKind::Config) with the key and the line; also for what is no JSON.
pub(crate) fn check_json(text: &str) -> Result<()> {
    let Unique = serde_json::from_str(text).map_err(|error| Error::config(error.to_string()))?;
    Ok(())
}

/// Checks that the objects below these keys, which are choices of one kind or another, have one key each.
///
/// # Errors
/// [`ErrorKind::Config`](crate::ErrorKind::Config) with the keys.
pub(crate) fn check_choices(value: &Value, choices: &[&str]) -> Result<()> {
    match value {
        Value::Array(items) => items
            .iter()
            .try_for_each(|item| check_choices(item, choices)),
        Value::Object(entries) => entries.iter().try_for_each(|(key, value)| match value {
            Value::Object(chosen) if choices.contains(&key.as_str()) && chosen.len() > 1 => {
                let keys: Vec<String> = chosen.keys().map(|key| format!("`{key}`")).collect();
                Err(Error::config(format!(
                    "`{key}` has the keys {}, must have one of them",
                    keys.join(", ")
                )))
            }
            value => check_choices(value, choices),
        }),
        _ => Ok(()),
    }
}

/// Any value without duplicate keys.
struct Unique;

impl<'de> de::Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Unique;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_bool<E>(self, _: bool) -> Result<Unique, E> {
                Ok(Unique)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Unique, E> {
                Ok(Unique)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Unique, E> {
                Ok(Unique)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Unique, E> {
                Ok(Unique)
            }

            fn visit_str<E>(self, _: &str) -> Result<Unique, E> {
                Ok(Unique)
            }

            fn visit_unit<E>(self) -> Result<Unique, E> {
                Ok(Unique)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Unique, A::Error> {
                while items.next_element::<Unique>()?.is_some() {}
                Ok(Unique)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Unique, A::Error> {
                let mut keys = BTreeSet::new();
                while let Some(key) = entries.next_key::<String>()? {
                    if keys.contains(&key) {
                        return Err(de::Error::custom(format!("duplicate field `{key}`")));
                    }
                    keys.insert(key);
                    entries.next_value::<Unique>()?;
                }
                Ok(Unique)
            }
        }
        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_twice_in_one_object_is_named_with_its_line() {
        check_json(r#"{"a": {"a": 1}, "b": [{"a": 2}, {"a": 3}]}"#).unwrap();
        let error = check_json("{\"a\": [{\"b\": 1,\n \"b\": null}]}").unwrap_err();
        assert_eq!(error.message(), "duplicate field `b` at line 2 column 4");
    }
}
