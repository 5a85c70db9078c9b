//! Requirements of one column.

use std::collections::BTreeMap;
use std::fmt;

use arrow::datatypes::DataType;
use serde::de::{Error as _, SeqAccess, Visitor, value::SeqAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize};

use super::{AnomalyKind, Comparator, Counts, Distribution, FieldType, SERVING, Severity};

/// The requirements of one column. Made with [`Field::new`]; a requirement that is not set allows everything.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Field {
    /// The column's name; the path of a field of a struct (`trip.fare`).
    pub name: String,
    /// Its type; that of the items, if it is a list.
    #[serde(rename = "type")]
    pub field_type: FieldType,
    /// The allowed number of items in each row that is not NULL, for a column of lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<Counts>,
    /// The least share of rows that must have a value, in `0..=1`; 1 means that NULL is not allowed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub min_fraction: f64,
    /// The least number of rows that must have a value.
    #[serde(default, skip_serializing_if = "is_none")]
    pub min_count: u64,
    /// The values that are allowed, if only some are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<Domain>,
    /// Whether serving rejects a value outside of [values](Domain::Values) and [booleans](Domain::Boolean) too. By default
    /// such a value is an anomaly of a data set but no error of a request, since transforms have features for unseen
    /// values. Values outside of a range are always rejected.
    #[serde(default, skip_serializing_if = "is_false")]
    pub strict: bool,
    /// Whether NaN is disallowed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub disallow_nan: bool,
    /// Whether infinite numbers are disallowed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub disallow_inf: bool,
    /// The allowed number of distinct values (an estimate past a few hundred).
    #[serde(default, skip_serializing_if = "Counts::is_open")]
    pub unique: Counts,
    /// The requirements of the distribution of the values.
    #[serde(default, skip_serializing_if = "Distribution::is_open")]
    pub distribution: Distribution,
    /// The largest allowed distances to the values of the previous span.
    #[serde(default, skip_serializing_if = "Comparator::is_open")]
    pub drift: Comparator,
    /// The largest allowed distances to the values in serving.
    #[serde(default, skip_serializing_if = "Comparator::is_open")]
    pub skew: Comparator,
    /// The largest allowed distances to the values of the previous version of the same span.
    #[serde(default, skip_serializing_if = "Comparator::is_open")]
    pub version_change: Comparator,
    /// The lifecycle of the field. In some of its stages the values are not checked.
    #[serde(default, skip_serializing_if = "is_production")]
    pub lifecycle: Lifecycle,
    /// Environments that have the field, whatever the schema's default environments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub in_environment: Vec<String>,
    /// Environments that do not have the field: labels and weights are missing in `serving`. `training_only =
    /// true` is short for `not_in_environment = ["serving"]`.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        alias = "training_only",
        deserialize_with = "names_or_flag"
    )]
    pub not_in_environment: Vec<String>,
    /// The severity of all anomalies of the field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// The severities of anomalies of some kinds in this field.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub severities: BTreeMap<AnomalyKind, Severity>,
}

/// The values that a column may have; of a list, its items.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Domain {
    /// A list of values, of text, integer and boolean columns. An inferred list is at most 100 long.
    Values(Vec<String>),
    /// Numbers from `min` to `max`, both included, of integer and float columns. They are never inferred, as the range
    /// of the training data is not a rule. NaN is not outside of a range (see [`Field::disallow_nan`]), infinity is. Whole
    /// numbers past 2^53 are compared as doubles.
    Range {
        /// The lowest number allowed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min: Option<f64>,
        /// The highest number allowed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<f64>,
    },
    /// Days or points in time, both ends included, of date and timestamp columns, written as ISO 8601:
    /// `2013-01-31`, `2013-01-31T05:00:00Z`.
    Times {
        /// The earliest allowed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<String>,
        /// The latest allowed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<String>,
    },
    /// True and false: 0 and 1 in integer and float columns, two strings in text columns.
    Boolean {
        /// The string for true; `true` if it is not given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        true_value: Option<String>,
        /// The string for false; `false` if it is not given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        false_value: Option<String>,
    },
    /// Whole numbers, written in a text column.
    IntegerText {
        /// The lowest number allowed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min: Option<f64>,
        /// The highest number allowed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<f64>,
    },
    /// Numbers, written in a text column.
    FloatText {
        /// The lowest number allowed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min: Option<f64>,
        /// The highest number allowed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<f64>,
    },
}

/// The lifecycle of a field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lifecycle {
    /// The field does not exist yet. Its values are not checked.
    Planned,
    /// The field exists but is unreliable. Its values are not checked.
    Alpha,
    /// The field will be reliable soon.
    Beta,
    /// The field is in use.
    #[default]
    Production,
    /// The field is for debugging and never a feature. Its values are not checked.
    DebugOnly,
    /// The field will be removed and is never a feature. Its values are not checked.
    Deprecated,
    /// The field was removed and is never a feature. Its values are not checked.
    Disabled,
}

impl Lifecycle {
    /// Returns true if the values of fields at this stage are checked.
    #[must_use]
    pub fn is_validated(self) -> bool {
        matches!(self, Lifecycle::Beta | Lifecycle::Production)
    }

    /// Returns true if a chosen transform may make features of fields at this stage.
    #[must_use]
    pub fn is_feature(self) -> bool {
        matches!(
            self,
            Lifecycle::Alpha | Lifecycle::Beta | Lifecycle::Production
        )
    }
}

impl Field {
    /// A field that allows everything of a type.
    #[must_use]
    pub fn new(name: impl Into<String>, field_type: FieldType) -> Self {
        Field {
            name: name.into(),
            field_type,
            list: None,
            min_fraction: 0.0,
            min_count: 0,
            domain: None,
            strict: false,
            disallow_nan: false,
            disallow_inf: false,
            unique: Counts::default(),
            distribution: Distribution::default(),
            drift: Comparator::default(),
            skew: Comparator::default(),
            version_change: Comparator::default(),
            lifecycle: Lifecycle::default(),
            in_environment: Vec::new(),
            not_in_environment: Vec::new(),
            severity: None,
            severities: BTreeMap::new(),
        }
    }

    /// Every row must have a value.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.min_fraction = 1.0;
        self
    }

    /// Limits the values.
    #[must_use]
    pub fn domain(mut self, domain: Domain) -> Self {
        self.domain = Some(domain);
        self
    }

    /// Returns true if every row must have a value.
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.min_fraction >= 1.0 && self.lifecycle.is_validated()
    }

    /// Returns true if the field is absent in serving: a label, a weight.
    #[must_use]
    pub fn is_training_only(&self) -> bool {
        self.not_in_environment.iter().any(|name| name == SERVING)
            && !self.in_environment.iter().any(|name| name == SERVING)
    }

    /// The physical Arrow type of conforming columns, where there is one: that of [`FieldType`], or a list of it.
    #[must_use]
    pub fn data_type(&self) -> Option<DataType> {
        let item = self.field_type.data_type()?;
        Some(match self.list {
            Some(_) => DataType::new_list(item, true),
            None => item,
        })
    }

    /// The type as people read it.
    pub(super) fn type_text(&self) -> String {
        type_text(self.field_type, self.list.is_some())
    }

    /// Returns true if distances of the field's values are those of categories.
    pub(crate) fn is_categorical(&self) -> bool {
        matches!(self.field_type, FieldType::Boolean | FieldType::Text)
            || matches!(
                self.domain,
                Some(Domain::Values(_) | Domain::Boolean { .. })
            )
    }
}

pub(super) fn type_text(field_type: FieldType, list: bool) -> String {
    if list {
        format!("list of {field_type}")
    } else {
        field_type.to_string()
    }
}

fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

fn is_none(value: &u64) -> bool {
    *value == 0
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_production(lifecycle: &Lifecycle) -> bool {
    *lifecycle == Lifecycle::Production
}

/// A list of names; or a flag, which is how the first version of the format said that a field is not in serving.
fn names_or_flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct NamesOrFlag;

    impl<'de> Visitor<'de> for NamesOrFlag {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of environments, or a boolean of `training_only`")
        }

        fn visit_bool<E: serde::de::Error>(self, training_only: bool) -> Result<Vec<String>, E> {
            Ok(if training_only {
                vec![SERVING.to_owned()]
            } else {
                Vec::new()
            })
        }

        fn visit_seq<A: SeqAccess<'de>>(self, names: A) -> Result<Vec<String>, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(names)).map_err(A::Error::custom)
        }
    }

    deserializer.deserialize_any(NamesOrFlag)
}
