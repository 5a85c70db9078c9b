//! Schemas: requirements of data, inferred once, owned by people, checked in training and in serving.
//!
//! A [`Schema`] is a small document, JSON or TOML. It is inferred from
//! [`Statistics`](crate::statistics::Statistics), read and edited by hand, and
//! then [validates](Schema::validate) the statistics of every later data set: violations are returned as
//! [`Anomaly`]s. The same schema [checks rows](Schema::check_rows), and in serving it
//! [converts every request](Schema::conform) and rejects rows that do not fit, naming the field and the row.
//!
//! # Ownership of the file
//!
//! The people who know the data own the schema, whether they write Rust or not:
//!
//! 1. [`Schema::infer`] it from the first data set, [`Schema::save`] it as `schema.toml`, and keep it in version control.
//! 2. Read it and add what the data cannot show: a fare is never negative, the label is missing in serving, half of the
//!    rows must have an age, the positive class is a tenth to a third of all.
//! 3. Validate every data set with it (`DataPipeline::schema`). By default an error stops the pipeline before
//!    training; the message names the value found and the values allowed.
//! 4. Either the data is wrong and must be corrected, or the world has changed and the schema must follow:
//!    [`Schema::update`] proposes the next one, [`Schema::diff`] shows what would change, and a person accepts it. Its
//!    [`version`](Schema::version) then is one higher.
//!
//! A requirement that is not set allows everything, and is not written:
//!
//! ```
//! use fourfold::schema::Schema;
//!
//! let schema = Schema::from_toml(r#"
//! format_version = 2
//! version = 3
//!
//! [dataset]
//! rows = { min = 1000 }
//! drift_ratio = { min = 0.5, max = 2 }   # rows, by those of the previous span
//!
//! [[fields]]
//! name = "fare"
//! type = "float"
//! min_fraction = 0.99                    # of the rows must have one
//! domain.range = { min = 0 }
//! disallow_nan = true
//! drift.jensen_shannon_divergence = 0.1  # from the previous span
//!
//! [[fields]]
//! name = "road"
//! type = "text"
//! domain.values = ["air", "rail", "road"]
//! distribution.min_domain_mass = 0.999   # one in a thousand may be another
//! severities.ENUM_TYPE_UNEXPECTED_STRING_VALUES = "warning"
//!
//! [[fields]]
//! name = "stops"
//! type = "text"
//! list = { min = 1, max = 20 }           # a list of strings
//!
//! [[fields]]
//! name = "late"
//! type = "boolean"
//! min_fraction = 1.0
//! not_in_environment = ["serving"]       # the label
//! distribution.shares.true = { min = 0.1, max = 0.35 }
//! "#)?;
//! assert_eq!(schema, Schema::from_json(&schema.to_json()?)?);
//!
//! let error = Schema::from_toml("format_version = 2\n[[fields]]\nname = \"x\"\ntype = \"text\"\nmin_fracton = 1.0");
//! assert_eq!(
//!     error.unwrap_err().to_string(),
//!     "the schema cannot be read: unknown field `min_fracton` at line 5; did you mean `min_fraction`?"
//! );
//! # Ok::<(), fourfold::Error>(())
//! ```
//!
//! All earlier formats stay readable: `tests/fixtures/schema.v1.json` is of the first.
//!
//! # Environments
//!
//! The environments are `training`, `serving`, and each other name that a schema mentions. A field is in an environment if
//! its `in_environment` lists it; else, it is not if its `not_in_environment` lists it; else, if the schema's
//! `default_environments` list it, or are empty. A column of the data whose field is not in the environment is a
//! `SCHEMA_NEW_COLUMN`. Without an environment, a [`Validation`] expects all fields.
//!
//! # Kinds of anomalies
//!
//! Each reason is an anomaly of its own, with what was measured, what is allowed, the values that are not, and a
//! [`Fix`] after which the same data would be valid. The names are TensorFlow Data Validation's; those with a star are
//! ours. All are errors by default but `SCHEMA_NEW_COLUMN`.
//!
//! | kind | when | the fix |
//! | --- | --- | --- |
//! | `DATA_MISSING` | there are no rows; columns are then not checked | none |
//! | `DATASET_LOW_NUM_EXAMPLES`, `DATASET_HIGH_NUM_EXAMPLES` | the number of rows is outside of `dataset.rows` | widen it |
//! | `COMPARATOR_LOW_NUM_EXAMPLES`, `COMPARATOR_HIGH_NUM_EXAMPLES` | the rows, by those of the previous span or version, are outside of `dataset.drift_ratio` or `version_ratio` | widen it |
//! | `SCHEMA_NEW_COLUMN` | a column has no field, or none in this environment | add it as it would be inferred |
//! | `SCHEMA_MISSING_COLUMN` | a field with a `min_fraction` or a `min_count` has no column; with slices, a slice is gone | deprecate the field |
//! | `UNEXPECTED_DATA_TYPE` | a column with values is of another type (whole numbers are taken for floats) | deprecate the field |
//! | `VALUE_NESTEDNESS_MISMATCH` | lists where single values are expected, or the reverse | deprecate the field |
//! | `FEATURE_TYPE_NOT_PRESENT` | a required field has no value in any row | require none |
//! | `FEATURE_TYPE_LOW_FRACTION_PRESENT` | fewer rows have a value than `min_fraction` | what was seen, 0.9999 at most if a row has none |
//! | `FEATURE_TYPE_LOW_NUMBER_PRESENT` | fewer rows have a value than `min_count` | what was seen |
//! | `FEATURE_TYPE_LOW_NUMBER_VALUES`, `FEATURE_TYPE_HIGH_NUMBER_VALUES` | a list has fewer or more items than `list` allows | widen it |
//! | `INVALID_FEATURE_SHAPE` | the same where `list` allows one number only | widen it |
//! | `FEATURE_TYPE_LOW_UNIQUE`, `FEATURE_TYPE_HIGH_UNIQUE` | distinct values are fewer or more than `unique` allows | widen it |
//! | `FEATURE_TYPE_NO_UNIQUE` | `unique` is limited and the number is unknown | lift the limit |
//! | `ENUM_TYPE_UNEXPECTED_STRING_VALUES` | more than `1 - min_domain_mass` of the values are not in `domain.values` | add them; past 400 values, drop the domain |
//! | `ENUM_TYPE_INVALID_UTF8` | values of a column with a domain are not UTF-8 | drop the domain |
//! | `INT_TYPE_SMALL_INT`, `INT_TYPE_BIG_INT` | whole numbers are outside of the range | widen it |
//! | `INT_TYPE_NOT_INT_STRING` | strings of `domain.integer_text` are not whole numbers | drop the domain |
//! | `FLOAT_TYPE_SMALL_FLOAT`, `FLOAT_TYPE_BIG_FLOAT` | floats are outside of the range; compared as doubles (the reference: as singles) | widen it |
//! | `FLOAT_TYPE_STRING_NOT_FLOAT` | strings of `domain.float_text` are not numbers | drop the domain |
//! | `FLOAT_TYPE_HAS_NAN`, `FLOAT_TYPE_HAS_INF` | there are such, and `disallow_nan` or `disallow_inf` is set | allow them |
//! | `BOOL_TYPE_SMALL_INT`, `BOOL_TYPE_BIG_INT` | whole numbers of `domain.boolean` are below 0 or above 1 | drop the domain |
//! | `BOOL_TYPE_UNEXPECTED_FLOAT`, `BOOL_TYPE_UNEXPECTED_STRING` | floats are neither 0 nor 1; strings are neither of the two names | drop the domain |
//! | `OUT_OF_RANGE` * | dates or timestamps are outside of `domain.times` | widen it |
//! | `DISTRIBUTION_OUT_OF_BOUNDS` * | mean, deviation, a quantile, or a share is outside of `distribution` | widen it |
//! | `COMPARATOR_L_INFTY_HIGH`, `COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH`, `COMPARATOR_NORMALIZED_ABSOLUTE_DIFFERENCE_HIGH`, `COMPARATOR_POPULATION_STABILITY_INDEX_HIGH` *, `COMPARATOR_KOLMOGOROV_SMIRNOV_HIGH` * | a [distance](crate::statistics::distance) is above its threshold | raise it to what was measured |
//! | `COMPARATOR_CONTROL_DATA_MISSING` | the data that is compared with lacks the column, has no value in it, or has another type | none |
//! | `STATS_NOT_AVAILABLE` | the schema limits what the statistics do not contain | none |
//! | `FEATURE_MISSING_NAME`, `INVALID_SCHEMA_SPECIFICATION`, `INVALID_DOMAIN_SPECIFICATION`, `DOMAIN_INVALID_FOR_TYPE` | the schema contradicts itself; [`Schema::check`] gives the same as an error | none |
//!
//! `MULTIPLE_REASONS` is not needed, `FEATURE_MISSING_TYPE` cannot be: a file without a type is not read. Kinds of
//! the reference for images, natural language, sparse, weighted and derived features do not apply to tables.

mod anomaly;
mod column_checks;
mod comparison;
mod conform;
mod diff;
mod domain_checks;
mod field;
mod file;
mod fix;
mod infer;
mod limits;
mod row_report;
#[cfg(test)]
mod tests;
mod validation;
mod value_rules;
mod well_formed;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use arrow::datatypes::{Field as ArrowField, Schema as ArrowSchema, SchemaRef};
use serde::{Deserialize, Serialize};

pub use self::anomaly::{Anomaly, AnomalyKind, Severity};
pub use self::comparison::{Against, Comparison};
pub(crate) use self::conform::Conformer;
pub use self::diff::{SchemaChange, SchemaDiff};
pub use self::field::{Domain, Field, Lifecycle};
pub use self::fix::{Fix, Moment};
pub use self::infer::InferOptions;
pub use self::limits::{Bounds, Comparator, Counts, Dataset, Distribution, QuantileBounds};
pub(crate) use self::row_report::place_of;
pub use self::row_report::{RowExample, RowReason, RowReport};
pub use self::validation::{Report, Validation};
#[cfg(feature = "datafusion")]
pub(crate) use self::value_rules::micros_of_text;
use crate::error::{Error, Result, near_names};
pub(crate) use crate::field_type::to_physical;
pub use crate::field_type::{FieldType, normalize_batch, normalized_schema};

/// The environment of the data that models are trained on.
pub const TRAINING: &str = "training";
/// The environment of requests.
pub const SERVING: &str = "serving";

/// The requirements of a data set and of each of its columns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Schema {
    /// The version of this format.
    #[serde(deserialize_with = "file::format_version")]
    pub format_version: u32,
    /// The version of the schema: 0 as inferred, raised by people when they change it and by [`Schema::relax`] and
    /// [`Schema::update`]. Nothing is read from it; it tells which schema a data set was validated with.
    #[serde(default, skip_serializing_if = "is_first")]
    pub version: u64,
    /// Environments that fields are in unless they say otherwise; all, if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub default_environments: Vec<String>,
    /// The severities of anomalies of some kinds, where the field does not say.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub severities: BTreeMap<AnomalyKind, Severity>,
    /// The requirements of the data set as a whole.
    #[serde(default, skip_serializing_if = "Dataset::is_open")]
    pub dataset: Dataset,
    /// One entry per column.
    pub fields: Vec<Field>,
}

impl Schema {
    /// The version of the format that this build writes.
    pub const FORMAT_VERSION: u32 = 2;
    /// The length of the longest list of allowed strings that is inferred.
    pub const MAX_INFERRED_VALUES: usize = 100;

    /// A schema of these fields.
    #[must_use]
    pub fn new(fields: impl IntoIterator<Item = Field>) -> Self {
        Schema {
            format_version: Self::FORMAT_VERSION,
            version: 0,
            default_environments: Vec::new(),
            severities: BTreeMap::new(),
            dataset: Dataset::default(),
            fields: fields.into_iter().collect(),
        }
    }

    /// The field of a name.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](crate::ErrorKind::Data) if there is none, with the near ones.
    pub fn field(&self, name: &str) -> Result<&Field> {
        self.fields
            .iter()
            .find(|field| field.name == name)
            .ok_or_else(|| {
                let names = self.fields.iter().map(|field| field.name.as_str());
                Error::data(format!(
                    "there is no field `{name}`{}",
                    near_names(name, names)
                ))
            })
    }

    /// The schema with some fields marked as not there in serving.
    #[must_use]
    pub fn training_only<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        let names: HashSet<_> = names.into_iter().collect();
        for field in &mut self.fields {
            if names.contains(field.name.as_str()) && !field.is_training_only() {
                field.in_environment.retain(|name| name != SERVING);
                field.not_in_environment.push(SERVING.to_owned());
            }
        }
        self
    }

    /// The part of the schema that a served model asks for: these columns, in the schema's order, and nothing of the
    /// data set as a whole.
    #[must_use]
    pub fn project<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Self {
        let names: HashSet<_> = names.into_iter().collect();
        self.with_fields(|field| names.contains(field.name.as_str()))
    }

    /// The part of the schema that holds in an environment, for [`Schema::conform`] and [`Schema::check_rows`].
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if there is no such environment, with the near ones.
    pub fn environment(&self, name: &str) -> Result<Self> {
        self.check_environment(name)?;
        Ok(self.with_fields(|field| self.is_in_environment(field, name)))
    }

    fn with_fields(&self, wanted: impl Fn(&Field) -> bool) -> Self {
        Schema {
            dataset: Dataset::default(),
            fields: self
                .fields
                .iter()
                .filter(|field| wanted(field))
                .cloned()
                .collect(),
            ..self.clone()
        }
    }

    /// The environments that are known: `training`, `serving`, and those that the schema names.
    #[must_use]
    pub fn environments(&self) -> BTreeSet<&str> {
        let of_fields = self
            .fields
            .iter()
            .flat_map(|field| field.in_environment.iter().chain(&field.not_in_environment));
        [TRAINING, SERVING]
            .into_iter()
            .chain(
                self.default_environments
                    .iter()
                    .chain(of_fields)
                    .map(String::as_str),
            )
            .collect()
    }

    fn check_environment(&self, name: &str) -> Result<()> {
        let known = self.environments();
        if known.contains(name) {
            return Ok(());
        }
        Err(Error::config(format!(
            "the schema has no environment `{name}`{}",
            near_names(name, known)
        )))
    }

    /// Returns true if a field is in an environment. See [the module](self#environments).
    #[must_use]
    pub fn is_in_environment(&self, field: &Field, name: &str) -> bool {
        let lists = |names: &[String]| names.iter().any(|listed| listed == name);
        lists(&field.in_environment)
            || !lists(&field.not_in_environment)
                && (self.default_environments.is_empty() || lists(&self.default_environments))
    }

    /// The Arrow schema of conforming batches.
    #[must_use]
    pub fn arrow(&self) -> SchemaRef {
        let fields: Vec<ArrowField> = self
            .fields
            .iter()
            .filter_map(|field| Some(ArrowField::new(&field.name, field.data_type()?, true)))
            .collect();
        Arc::new(ArrowSchema::new(fields))
    }
}

fn is_first(version: &u64) -> bool {
    *version == 0
}
