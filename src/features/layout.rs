//! The features of a transform, and the requirements of trainers and models.

use serde::{Deserialize, Serialize};

/// The form of rows that a trainer or a model accepts.
///
/// | takes | gets | for |
/// | --- | --- | --- |
/// | [`Takes::FINITE`] (the default) | a matrix of finite numbers; categories one-hot | linear models |
/// | [`Takes::MISSING`] | the same, NaN where a value is missing | models that know what to do with it |
/// | [`Takes::CODES`] | columns: numbers, NaN where missing, and categories as codes | boosting, trees |
/// | [`Takes::ROWS`] | the raw rows, without a transform | models with preprocessing of their own |
///
/// A chosen transform ([`AutoTransform`](crate::transform::AutoTransform)) goes by it: it imputes, scales and encodes
/// only what the trainer does not take as it is.
///
/// ```
/// use fourfold::features::Takes;
///
/// let columns_without_gaps = Takes { missing: false, ..Takes::CODES };
/// assert!(columns_without_gaps.codes && Takes::default() == Takes::FINITE);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Takes {
    /// Numbers may be NaN, where a value is missing. Else each must be finite.
    pub missing: bool,
    /// Features come as columns, categories as codes. Else they come as a matrix, categories one-hot.
    pub codes: bool,
    /// The raw rows come, and no features. The rest has no meaning then.
    pub rows: bool,
}

impl Takes {
    /// A matrix of finite numbers.
    pub const FINITE: Takes = Takes {
        missing: false,
        codes: false,
        rows: false,
    };

    /// A matrix, NaN where a value is missing.
    pub const MISSING: Takes = Takes {
        missing: true,
        ..Takes::FINITE
    };

    /// Columns: numbers, NaN where missing, and categories as codes.
    pub const CODES: Takes = Takes {
        codes: true,
        ..Takes::MISSING
    };

    /// The raw rows.
    pub const ROWS: Takes = Takes {
        rows: true,
        ..Takes::FINITE
    };
}

/// A feature: one column of numbers, or several columns of a matrix that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Feature {
    /// Its name.
    pub name: String,
    /// The raw columns that it is made from.
    pub raw: Vec<String>,
    /// Its kind.
    pub kind: FeatureKind,
    /// The first of its columns in the matrix.
    pub first: usize,
    /// The number of its columns in the matrix: 1 for a number.
    pub width: usize,
}

/// The kind of a [`Feature`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FeatureKind {
    /// One number a row.
    Number,
    /// One category a row, or none: a code below [`Feature::width`]. One-hot in a matrix.
    Category,
    /// Some of [`Feature::width`] numbers a row; the rest are 0.
    Sparse,
}

/// The features of a transform, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    /// The columns of the matrix.
    pub(super) names: Vec<String>,
    pub(super) features: Vec<Feature>,
    /// For each feature its number among those of its kind.
    pub(super) slots: Vec<usize>,
    pub(super) n_numbers: usize,
    pub(super) n_codes: usize,
    pub(super) n_sparse: usize,
}

impl Layout {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Layout::default()
    }

    /// Features that are numbers and nothing else, without names.
    pub(super) fn of_numbers(n: usize) -> Self {
        let mut layout = Layout::new();
        for place in 0..n {
            let name = place.to_string();
            layout.push(name.clone(), Vec::new(), FeatureKind::Number, vec![name]);
        }
        layout
    }

    /// Adds a feature, with the names of its columns in the matrix.
    pub(crate) fn push(
        &mut self,
        name: String,
        raw: Vec<String>,
        kind: FeatureKind,
        names: Vec<String>,
    ) {
        let slots = match kind {
            FeatureKind::Number => &mut self.n_numbers,
            FeatureKind::Category => &mut self.n_codes,
            FeatureKind::Sparse => &mut self.n_sparse,
        };
        self.slots.push(*slots);
        *slots += 1;
        self.features.push(Feature {
            name,
            raw,
            kind,
            first: self.names.len(),
            width: names.len(),
        });
        self.names.extend(names);
    }

    /// The columns of the matrix.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// The features.
    pub(crate) fn features(&self) -> &[Feature] {
        &self.features
    }
}
