//! Features: what a transform makes of rows, and what models predict from.
//!
//! [`Features`] are columns: numbers, categories as codes, sparse rows. [`Features::matrix`] is the same as a matrix,
//! categories one-hot: the easy case, and all that most models need. What a model is given is what it says that it
//! [takes](Takes).
//!
//! ```
//! use fourfold::features::Features;
//! use fourfold::ndarray::array;
//!
//! let features = Features::from(array![[1.0_f32, 2.0], [3.0, 4.0]]);
//! assert_eq!((features.n_rows(), features.n_features()), (2, 2));
//! assert_eq!(features.matrix().column(1).to_vec(), [2.0, 4.0]);
//! ```

mod direction;
mod fill;
mod layout;
mod pick;

use std::sync::{Arc, OnceLock};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use fourfold_kernels::columns::MISSING_CODE;
use ndarray::{Array2, ArrayView2, Axis, concatenate};

pub use fourfold_kernels::columns::Column;

pub use self::direction::Direction;
pub(crate) use self::fill::FeaturesMut;
pub(crate) use self::layout::Layout;
pub use self::layout::{Feature, FeatureKind, Takes};
use crate::error::{Error, Result};

/// The features of some rows.
#[derive(Clone, Debug)]
pub struct Features {
    layout: Arc<Layout>,
    n_rows: usize,
    data: Data,
}

/// The features in the form that is wanted first; the other is made when it is requested.
#[derive(Clone, Debug)]
enum Data {
    Matrix {
        matrix: Array2<f32>,
        /// Column by column.
        columns: OnceLock<Vec<f32>>,
    },
    Columns {
        columns: Columns,
        matrix: OnceLock<Array2<f32>>,
    },
    Rows {
        rows: RecordBatch,
        /// A matrix without columns.
        matrix: Array2<f32>,
    },
}

/// Numbers and codes, column by column, each of `n_rows`.
#[derive(Clone, Debug, Default)]
struct Columns {
    numbers: Vec<f32>,
    codes: Vec<u32>,
    sparse: Vec<SparseColumn>,
}

/// See [`Column::Sparse`].
#[derive(Clone, Debug)]
struct SparseColumn {
    offsets: Vec<usize>,
    ids: Vec<u32>,
    values: Vec<f32>,
}

impl Features {
    pub(crate) fn of_matrix(layout: Arc<Layout>, matrix: Array2<f32>) -> Self {
        Features {
            layout,
            n_rows: matrix.nrows(),
            data: Data::Matrix {
                matrix,
                columns: OnceLock::new(),
            },
        }
    }

    pub(crate) fn of_rows(layout: Arc<Layout>, rows: RecordBatch) -> Self {
        Features {
            layout,
            n_rows: rows.num_rows(),
            data: Data::Rows {
                matrix: Array2::zeros((rows.num_rows(), 0)),
                rows,
            },
        }
    }

    fn of_columns(layout: Arc<Layout>, n_rows: usize, columns: Columns) -> Self {
        Features {
            layout,
            n_rows,
            data: Data::Columns {
                columns,
                matrix: OnceLock::new(),
            },
        }
    }

    /// The number of rows.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// The number of columns of [`Features::matrix`].
    #[must_use]
    pub fn n_features(&self) -> usize {
        self.layout.names.len()
    }

    /// The names of the columns of [`Features::matrix`].
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.layout.names
    }

    /// The layout of each feature: as many as [`Features::columns`].
    #[must_use]
    pub fn info(&self) -> &[Feature] {
        &self.layout.features
    }

    /// The features as a matrix `(n_rows, n_features)`, categories one-hot. A number that is missing is NaN, which only
    /// those see who [take](Takes) it. Where the features are columns, the matrix is made when it is first asked for,
    /// and kept: `4 * n_rows * n_features` bytes.
    #[must_use]
    pub fn matrix(&self) -> ArrayView2<'_, f32> {
        match &self.data {
            Data::Matrix { matrix, .. } | Data::Rows { matrix, .. } => matrix.view(),
            Data::Columns { matrix, .. } => matrix.get_or_init(|| self.expanded()).view(),
        }
    }

    /// The matrix, if nothing must be expanded for it.
    pub(crate) fn ready_matrix(&self) -> Option<ArrayView2<'_, f32>> {
        match &self.data {
            Data::Matrix { matrix, .. } | Data::Rows { matrix, .. } => Some(matrix.view()),
            Data::Columns { matrix, .. } => matrix.get().map(Array2::view),
        }
    }

    /// The features as columns, one for each of [`Features::info`]. Of features that were made as a matrix, each column
    /// of the matrix is one of numbers: what takes codes says so.
    #[must_use]
    pub fn columns(&self) -> Vec<Column<'_>> {
        match &self.data {
            Data::Rows { .. } => Vec::new(),
            Data::Matrix { matrix, columns } => {
                if self.n_rows == 0 {
                    return vec![Column::Numbers(&[]); matrix.ncols()];
                }
                let by_column = || matrix.t().iter().copied().collect();
                let columns = columns.get_or_init(by_column);
                columns
                    .chunks_exact(self.n_rows)
                    .map(Column::Numbers)
                    .collect()
            }
            Data::Columns { columns, .. } => {
                let features = self.layout.features.iter().zip(&self.layout.slots);
                features
                    .map(|(feature, slot)| columns.column(feature, *slot, self.n_rows))
                    .collect()
            }
        }
    }

    /// The raw rows, for a model that takes [`Takes::ROWS`]: the columns in the types of the schema.
    ///
    /// # Errors
    /// [`ErrorKind::Model`](crate::ErrorKind::Model) if these are features: the model does not say that it takes rows.
    pub fn rows(&self) -> Result<&RecordBatch> {
        match &self.data {
            Data::Rows { rows, .. } => Ok(rows),
            Data::Matrix { .. } | Data::Columns { .. } => Err(Error::model(
                "the raw rows are asked for, and the model does not say that it takes them: see `Predict::takes`",
            )),
        }
    }

    fn expanded(&self) -> Array2<f32> {
        let mut matrix = Array2::zeros((self.n_rows, self.n_features()));
        for (feature, column) in self.layout.features.iter().zip(self.columns()) {
            let first = feature.first;
            match column {
                Column::Numbers(numbers) => {
                    let mut cells = matrix.column_mut(first);
                    cells
                        .iter_mut()
                        .zip(numbers)
                        .for_each(|(cell, number)| *cell = *number);
                }
                Column::Codes { codes, .. } => {
                    let rows = matrix.rows_mut().into_iter().zip(codes);
                    for (mut row, code) in rows.filter(|(_, code)| **code != MISSING_CODE) {
                        row[first + *code as usize] = 1.0;
                    }
                }
                Column::Sparse {
                    offsets,
                    ids,
                    values,
                    ..
                } => {
                    for (mut row, ends) in matrix.rows_mut().into_iter().zip(offsets.windows(2)) {
                        for place in ends[0]..ends[1] {
                            row[first + ids[place] as usize] = values[place];
                        }
                    }
                }
            }
        }
        matrix
    }

    /// The rows of several, one after the other. They are of one transform and in one form.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`](crate::ErrorKind::Internal) if they are not, or there are none.
    pub(crate) fn concat(parts: &[&Features]) -> Result<Self> {
        let odd = || Error::internal("features of different transforms or forms are put together");
        let first = *parts.first().ok_or_else(odd)?;
        let layout = Arc::clone(&first.layout);
        let n_rows = parts.iter().map(|part| part.n_rows).sum();
        if parts
            .iter()
            .any(|part| part.n_features() != first.n_features())
        {
            return Err(odd());
        }
        match &first.data {
            Data::Matrix { .. } => {
                let views: Vec<_> = parts.iter().map(|part| part.matrix()).collect();
                let matrix = concatenate(Axis(0), &views).map_err(|_| odd())?;
                Ok(Features::of_matrix(layout, matrix))
            }
            Data::Rows { .. } => {
                let rows = parts.iter().map(|part| part.rows());
                let rows = rows.collect::<Result<Vec<_>>>()?;
                let schema = first.rows()?.schema();
                Ok(Features::of_rows(layout, concat_batches(&schema, rows)?))
            }
            Data::Columns { .. } => {
                let columns = parts.iter().map(|part| match &part.data {
                    Data::Columns { columns, .. } => Ok((columns, part.n_rows)),
                    Data::Matrix { .. } | Data::Rows { .. } => Err(odd()),
                });
                let columns = columns.collect::<Result<Vec<_>>>()?;
                let columns = Columns::concat(&layout, &columns, n_rows);
                Ok(Features::of_columns(layout, n_rows, columns))
            }
        }
    }
}

impl Columns {
    fn column(&self, feature: &Feature, slot: usize, n_rows: usize) -> Column<'_> {
        let own = slot * n_rows..(slot + 1) * n_rows;
        match feature.kind {
            FeatureKind::Number => Column::Numbers(&self.numbers[own]),
            FeatureKind::Category => Column::Codes {
                codes: &self.codes[own],
                n_categories: feature.width as u32,
            },
            FeatureKind::Sparse => {
                let sparse = &self.sparse[slot];
                Column::Sparse {
                    offsets: &sparse.offsets,
                    ids: &sparse.ids,
                    values: &sparse.values,
                    width: feature.width as u32,
                }
            }
        }
    }

    fn concat(layout: &Layout, parts: &[(&Columns, usize)], n_rows: usize) -> Self {
        let mut all = Columns {
            numbers: Vec::with_capacity(layout.n_numbers * n_rows),
            codes: Vec::with_capacity(layout.n_codes * n_rows),
            sparse: Vec::with_capacity(layout.n_sparse),
        };
        for slot in 0..layout.n_numbers {
            for (part, n) in parts {
                all.numbers.extend(&part.numbers[slot * n..(slot + 1) * n]);
            }
        }
        for slot in 0..layout.n_codes {
            for (part, n) in parts {
                all.codes.extend(&part.codes[slot * n..(slot + 1) * n]);
            }
        }
        for slot in 0..layout.n_sparse {
            let mut whole = SparseColumn::new(n_rows);
            for (part, _) in parts {
                let part = &part.sparse[slot];
                let before = whole.ids.len();
                let ends = part.offsets.iter().skip(1);
                whole.offsets.extend(ends.map(|end| before + end));
                whole.ids.extend(&part.ids);
                whole.values.extend(&part.values);
            }
            all.sparse.push(whole);
        }
        all
    }
}

impl SparseColumn {
    fn new(n_rows: usize) -> Self {
        let mut offsets = Vec::with_capacity(n_rows + 1);
        offsets.push(0);
        SparseColumn {
            offsets,
            ids: Vec::new(),
            values: Vec::new(),
        }
    }
}

/// Features that are numbers, whose names are their places.
impl From<Array2<f32>> for Features {
    fn from(matrix: Array2<f32>) -> Self {
        Features::of_matrix(Arc::new(Layout::of_numbers(matrix.ncols())), matrix)
    }
}

/// As [`From<Array2<f32>>`](Features), with a copy.
impl From<ArrayView2<'_, f32>> for Features {
    fn from(matrix: ArrayView2<'_, f32>) -> Self {
        matrix.to_owned().into()
    }
}

#[cfg(test)]
mod tests;
