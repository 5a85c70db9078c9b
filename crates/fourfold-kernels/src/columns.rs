//! Features as columns, borrowed.

/// The code of a missing category, and of one that training has not seen.
pub const MISSING_CODE: u32 = u32::MAX;

/// The values of one feature for `n_rows` rows.
#[derive(Clone, Copy, Debug)]
pub enum Column<'a> {
    /// Numbers `(n_rows)`; NaN where a value is missing.
    Numbers(&'a [f32]),
    /// Categories `(n_rows)`: codes below `n_categories`, or [`MISSING_CODE`].
    Codes {
        /// The category of each row.
        codes: &'a [u32],
        /// The number of categories.
        n_categories: u32,
    },
    /// Sparse rows, such as multi-hot or TF-IDF: row `i` holds `ids[offsets[i]..offsets[i + 1]]` with their values,
    /// ids ascending and below `width`.
    Sparse {
        /// The start of each row `(n_rows + 1)`.
        offsets: &'a [usize],
        /// The ids of all rows.
        ids: &'a [u32],
        /// The values of all rows, as long as `ids`.
        values: &'a [f32],
        /// The number of ids.
        width: u32,
    },
}

impl Column<'_> {
    /// The number of rows.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        match self {
            Column::Numbers(values) => values.len(),
            Column::Codes { codes, .. } => codes.len(),
            Column::Sparse { offsets, .. } => offsets.len().saturating_sub(1),
        }
    }

    /// The number of columns of a matrix that this expands to: 1, or one a category or id.
    #[must_use]
    pub fn width(&self) -> usize {
        match self {
            Column::Numbers(_) => 1,
            Column::Codes { n_categories, .. } => *n_categories as usize,
            Column::Sparse { width, .. } => *width as usize,
        }
    }
}

/// A number of codes of missing categories.
#[must_use]
pub fn missing_codes(n: usize) -> Vec<u32> {
    vec![MISSING_CODE; n]
}
