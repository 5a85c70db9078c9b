//! Anomalies: what does not fit a schema.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Bounds, Fix};

/// Something in the data that the schema does not allow.
///
/// Every reason is an anomaly of its own, so a column may have several (the reference folds them into one of type
/// `MULTIPLE_REASONS`, which is not needed here).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Anomaly {
    /// The column: its path, `slice(key)::path` for a slice of the rows, empty for the whole data set.
    pub column: String,
    /// The kind of anomaly.
    pub kind: AnomalyKind,
    /// The severity.
    pub severity: Severity,
    /// The value found and the values allowed.
    pub message: String,
    /// The number that was measured, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<f64>,
    /// The range in which the number would be allowed.
    #[serde(default, skip_serializing_if = "Bounds::is_open")]
    pub allowed: Bounds,
    /// Values that are not allowed, with their counts; those that were seen, at most 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<(String, u64)>,
    /// The change to the schema after which this would be no anomaly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<Fix>,
}

impl Anomaly {
    pub(super) fn new(column: &str, kind: AnomalyKind, message: impl Into<String>) -> Self {
        Anomaly {
            column: column.to_owned(),
            kind,
            severity: kind.default_severity(),
            message: message.into(),
            measured: None,
            allowed: Bounds::default(),
            values: Vec::new(),
            fix: None,
        }
    }

    /// Adds the number that was measured and its range. JSON has no number that is not finite: it is left out.
    pub(super) fn measured(mut self, measured: f64, allowed: Bounds) -> Self {
        self.measured = measured.is_finite().then_some(measured);
        self.allowed = allowed;
        self
    }

    pub(super) fn values(mut self, values: Vec<(String, u64)>) -> Self {
        self.values = values;
        self
    }

    pub(super) fn fix(mut self, fix: Fix) -> Self {
        self.fix = Some(fix);
        self
    }
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.column.is_empty() {
            return f.write_str(&self.message);
        }
        write!(f, "column `{}`: {}", self.column, self.message)
    }
}

/// The severity of an anomaly. A schema may give other severities than the default ones: by kind, for a
/// [field](super::Field::severity), or for a kind in a field; the nearest wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It is reported, and the pipeline continues.
    Warning,
    /// The pipeline stops before training.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Warning => "warning",
            Severity::Error => "error",
        })
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal,)*) => {
        /// The kinds of anomalies, named as TensorFlow Data Validation names them where it has them. The
        /// [table](crate::schema#kinds-of-anomalies) says what each means and what its fix does.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "SCREAMING_SNAKE_CASE")]
        #[non_exhaustive]
        pub enum AnomalyKind {
            $($(#[$doc])* $kind,)*
        }

        impl AnomalyKind {
            /// All kinds.
            pub const ALL: &[AnomalyKind] = &[$(AnomalyKind::$kind,)*];

            /// The name in files.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(AnomalyKind::$kind => $name,)*
                }
            }
        }
    };
}

kinds! {
    /// A column that the schema does not know, or not in this environment (a warning: it is not used).
    SchemaNewColumn = "SCHEMA_NEW_COLUMN",
    /// A column that must have values is not there.
    SchemaMissingColumn = "SCHEMA_MISSING_COLUMN",
    /// The type is another one.
    UnexpectedDataType = "UNEXPECTED_DATA_TYPE",
    /// A list where single values are expected, or single values where lists are.
    ValueNestednessMismatch = "VALUE_NESTEDNESS_MISMATCH",
    /// Too small a share of the rows has a value.
    FeatureTypeLowFractionPresent = "FEATURE_TYPE_LOW_FRACTION_PRESENT",
    /// Too few rows have a value.
    FeatureTypeLowNumberPresent = "FEATURE_TYPE_LOW_NUMBER_PRESENT",
    /// No row has a value.
    FeatureTypeNotPresent = "FEATURE_TYPE_NOT_PRESENT",
    /// A list has too few items.
    FeatureTypeLowNumberValues = "FEATURE_TYPE_LOW_NUMBER_VALUES",
    /// A list has too many items.
    FeatureTypeHighNumberValues = "FEATURE_TYPE_HIGH_NUMBER_VALUES",
    /// Lists are not of the one length that is allowed.
    InvalidFeatureShape = "INVALID_FEATURE_SHAPE",
    /// Too few distinct values.
    FeatureTypeLowUnique = "FEATURE_TYPE_LOW_UNIQUE",
    /// Too many distinct values.
    FeatureTypeHighUnique = "FEATURE_TYPE_HIGH_UNIQUE",
    /// Distinct values are limited and not known.
    FeatureTypeNoUnique = "FEATURE_TYPE_NO_UNIQUE",
    /// Numbers above 1 where only 0 and 1 are allowed.
    BoolTypeBigInt = "BOOL_TYPE_BIG_INT",
    /// Numbers below 0 where only 0 and 1 are allowed.
    BoolTypeSmallInt = "BOOL_TYPE_SMALL_INT",
    /// Strings that mean neither true nor false.
    BoolTypeUnexpectedString = "BOOL_TYPE_UNEXPECTED_STRING",
    /// Floats other than 0 and 1.
    BoolTypeUnexpectedFloat = "BOOL_TYPE_UNEXPECTED_FLOAT",
    /// Whole numbers above the range.
    IntTypeBigInt = "INT_TYPE_BIG_INT",
    /// Whole numbers below the range.
    IntTypeSmallInt = "INT_TYPE_SMALL_INT",
    /// Strings that are no whole numbers.
    IntTypeNotIntString = "INT_TYPE_NOT_INT_STRING",
    /// Floats above the range.
    FloatTypeBigFloat = "FLOAT_TYPE_BIG_FLOAT",
    /// Floats below the range.
    FloatTypeSmallFloat = "FLOAT_TYPE_SMALL_FLOAT",
    /// Strings that are no numbers.
    FloatTypeStringNotFloat = "FLOAT_TYPE_STRING_NOT_FLOAT",
    /// NaN where it is not allowed.
    FloatTypeHasNan = "FLOAT_TYPE_HAS_NAN",
    /// Infinite numbers where they are not allowed.
    FloatTypeHasInf = "FLOAT_TYPE_HAS_INF",
    /// Dates or timestamps outside of the range (no such kind in the reference).
    OutOfRange = "OUT_OF_RANGE",
    /// Values that are not in the domain.
    EnumTypeUnexpectedStringValues = "ENUM_TYPE_UNEXPECTED_STRING_VALUES",
    /// Values that are not UTF-8.
    EnumTypeInvalidUtf8 = "ENUM_TYPE_INVALID_UTF8",
    /// A domain that columns of this type cannot have.
    DomainInvalidForType = "DOMAIN_INVALID_FOR_TYPE",
    /// A domain that contradicts itself.
    InvalidDomainSpecification = "INVALID_DOMAIN_SPECIFICATION",
    /// A schema that contradicts itself.
    InvalidSchemaSpecification = "INVALID_SCHEMA_SPECIFICATION",
    /// A field without a name.
    FeatureMissingName = "FEATURE_MISSING_NAME",
    /// The schema limits what the statistics do not contain. A warning where they list only some of the strings that a domain
    /// is about.
    StatsNotAvailable = "STATS_NOT_AVAILABLE",
    /// Mean, deviation, quantile or share outside of its bounds (no such kind in the reference).
    DistributionOutOfBounds = "DISTRIBUTION_OUT_OF_BOUNDS",
    /// Shares have moved too far.
    ComparatorLInftyHigh = "COMPARATOR_L_INFTY_HIGH",
    /// The distribution has moved too far.
    ComparatorJensenShannonDivergenceHigh = "COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH",
    /// Counts have moved too far.
    ComparatorNormalizedAbsoluteDifferenceHigh = "COMPARATOR_NORMALIZED_ABSOLUTE_DIFFERENCE_HIGH",
    /// The population has moved too far (no such kind in the reference).
    ComparatorPopulationStabilityIndexHigh = "COMPARATOR_POPULATION_STABILITY_INDEX_HIGH",
    /// The cumulative shares have moved too far (no such kind in the reference).
    ComparatorKolmogorovSmirnovHigh = "COMPARATOR_KOLMOGOROV_SMIRNOV_HIGH",
    /// The data that is compared with has no such values.
    ComparatorControlDataMissing = "COMPARATOR_CONTROL_DATA_MISSING",
    /// Too few rows for the number there was before.
    ComparatorLowNumExamples = "COMPARATOR_LOW_NUM_EXAMPLES",
    /// Too many rows for the number there was before.
    ComparatorHighNumExamples = "COMPARATOR_HIGH_NUM_EXAMPLES",
    /// Too few rows.
    DatasetLowNumExamples = "DATASET_LOW_NUM_EXAMPLES",
    /// Too many rows.
    DatasetHighNumExamples = "DATASET_HIGH_NUM_EXAMPLES",
    /// No rows at all.
    DataMissing = "DATA_MISSING",
}

impl AnomalyKind {
    /// The default severity: an error, but a new column is a warning (and so is what
    /// [`AnomalyKind::StatsNotAvailable`] says of itself).
    #[must_use]
    pub fn default_severity(self) -> Severity {
        match self {
            AnomalyKind::SchemaNewColumn => Severity::Warning,
            _ => Severity::Error,
        }
    }

    /// Returns true if it is about numbers of rows, which a part of the data does not have.
    #[cfg(any(feature = "datafusion", feature = "http"))]
    pub(crate) fn needs_all_rows(self) -> bool {
        matches!(
            self,
            AnomalyKind::FeatureTypeLowNumberPresent
                | AnomalyKind::FeatureTypeLowUnique
                | AnomalyKind::FeatureTypeHighUnique
                | AnomalyKind::FeatureTypeNoUnique
                | AnomalyKind::DatasetLowNumExamples
                | AnomalyKind::DatasetHighNumExamples
        )
    }
}

impl fmt::Display for AnomalyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
