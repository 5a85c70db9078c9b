//! The margin by which a candidate may be worse.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The margin by which a metric may be worse than that of the serving model: in the metric's own unit, as a share of
/// the serving model's value, or both, which then must both hold.
///
/// In a file it is a number, which is absolute, or an object: `{"absolute": 0.01, "relative": 0.05}`.
///
/// ```
/// use fourfold::evaluation::Margin;
///
/// let both = Margin::absolute(0.01).and_relative(0.5);
/// assert_eq!(both.of(0.01), Some(0.005));
/// assert_eq!(both.of(0.9), Some(0.01));
/// assert_eq!(Margin::relative(0.05).of(0.0), None, "a share of nothing");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Margin {
    absolute: Option<f64>,
    relative: Option<f64>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Absolute(f64),
    Either(Either),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Either {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    absolute: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    relative: Option<f64>,
}

impl From<Written> for Margin {
    fn from(written: Written) -> Self {
        match written {
            Written::Absolute(absolute) => Margin::absolute(absolute),
            Written::Either(Either { absolute, relative }) => Margin { absolute, relative },
        }
    }
}

impl From<Margin> for Written {
    fn from(Margin { absolute, relative }: Margin) -> Self {
        match (absolute, relative) {
            (Some(absolute), None) => Written::Absolute(absolute),
            _ => Written::Either(Either { absolute, relative }),
        }
    }
}

/// An absolute margin.
impl From<f64> for Margin {
    fn from(absolute: f64) -> Self {
        Margin::absolute(absolute)
    }
}

impl Margin {
    /// A margin in the metric's own unit.
    #[must_use]
    pub fn absolute(margin: f64) -> Self {
        Margin {
            absolute: Some(margin),
            relative: None,
        }
    }

    /// A margin as a share of the serving model's value: 0.05 is 5 %. If that value is 0, nothing passes.
    #[must_use]
    pub fn relative(share: f64) -> Self {
        Margin {
            absolute: None,
            relative: Some(share),
        }
    }

    /// The same, which must hold as a share of the serving model's value, too.
    #[must_use]
    pub fn and_relative(mut self, share: f64) -> Self {
        self.relative = Some(share);
        self
    }

    /// The margin beside a value of the serving model, the smaller of the two; `None` if it is a share of 0.
    #[must_use]
    pub fn of(&self, serving: f64) -> Option<f64> {
        let relative = match self.relative {
            Some(_) if serving == 0.0 => return None,
            Some(share) => share * serving.abs(),
            None => f64::INFINITY,
        };
        Some(self.absolute.unwrap_or(f64::INFINITY).min(relative))
    }

    /// Checks that it is given and in range.
    pub(super) fn check(&self, metric: &str, what: &str) -> Result<()> {
        if self.absolute.is_none() && self.relative.is_none() {
            return Err(Error::config(format!(
                "the {what} of `{metric}` is neither `absolute` nor `relative`"
            )));
        }
        let mut given = self.absolute.into_iter().chain(self.relative);
        match given.find(|margin| !(margin.is_finite() && *margin >= 0.0)) {
            Some(wrong) => Err(Error::config(format!(
                "the {what} of `{metric}` is {wrong}, must be at least 0"
            ))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_absolute_and_an_object_is_either() {
        let read = |json: &str| serde_json::from_str::<Margin>(json);
        assert_eq!(read("0.01").unwrap(), Margin::absolute(0.01));
        let both = Margin::absolute(0.01).and_relative(0.05);
        assert_eq!(
            read(r#"{"absolute": 0.01, "relative": 0.05}"#).unwrap(),
            both
        );
        assert_eq!(read(&serde_json::to_string(&both).unwrap()).unwrap(), both);
        assert!(read(r#"{"relativ": 0.05}"#).is_err());
        assert_eq!(
            read("{}")
                .unwrap()
                .check("auc", "margin")
                .unwrap_err()
                .message(),
            "the margin of `auc` is neither `absolute` nor `relative`"
        );
    }
}
