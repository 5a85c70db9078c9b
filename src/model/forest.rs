//! Forests: many decision trees as one model.
#![cfg_attr(
    not(feature = "datafusion"),
    allow(dead_code, reason = "only trainers make forests of columns")
)]

use std::path::Path;

use fourfold_kernels::columns::{Column, MISSING_CODE};
use fourfold_kernels::trees::{Forest, ForestBuilder, Node, Places, Rule};
use ndarray::{Array2, Array3};
use serde::{Deserialize, Serialize};

use super::{
    Link, Loaders, Model, Predict, TreeModel, TreeNode, check_width, load_json, save_json,
};
use crate::error::{Error, Result};
use crate::features::{Features, Takes};

mod v1;

/// The way in which the outputs of a [`ForestModel`]'s trees are combined.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Combine {
    /// The mean of the trees' outputs: bagging, random forests.
    Mean,
    /// `link(base + sum of the trees' outputs)`: boosting.
    Sum {
        /// The initial value of each output.
        base: Vec<f64>,
        /// The function from sums to outputs.
        link: Link,
    },
}

/// Many decision trees as one model: a random forest ([`Combine::Mean`]) or boosted trees ([`Combine::Sum`]).
///
/// Trees that were trained here split by numbers, by sets of categories, and know which way missing values go; what they
/// were trained on is what they [take](Predict::takes). Trees of another trainer come as [`TreeModel`]s of a matrix: a
/// split goes below where the feature is at most the threshold (scikit-learn's and LightGBM's rule; XGBoost's "less
/// than" is the next lower threshold, `f32::next_down`).
///
/// It is saved as `forest.bin`, about 700 bytes for a tree of 31 leaves, with `forest.json` beside it. The JSON of the
/// older format, `fourfold.forest.v1`, is still loaded, with the same predictions bit by bit.
///
/// ```
/// use fourfold::model::{Combine, ForestModel, Link, Predict, TreeModel, TreeNode};
/// use fourfold::ndarray::array;
///
/// let tree = |threshold: f32, low: f64, high: f64| {
///     let leaf = |output| TreeNode::Leaf { outputs: vec![output] };
///     let root = TreeNode::Split { feature: 0, threshold, below: 1, above: 2 };
///     TreeModel::new(1, 1, vec![root, leaf(low), leaf(high)])
/// };
/// let trees = [tree(10.0, 0.0, 1.0)?, tree(20.0, 0.0, 1.0)?];
/// let forest = ForestModel::new(&trees, Combine::Mean)?;
/// assert_eq!(forest.predict(&array![[5.0_f32], [15.0], [25.0]].into())?, array![[0.0], [0.5], [1.0]]);
///
/// let boosted = ForestModel::new(&trees, Combine::Sum { base: vec![-1.0], link: Link::Logistic })?;
/// assert_eq!(boosted.predict(&array![[15.0_f32]].into())?, array![[0.5]]);
/// # Ok::<(), fourfold::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ForestModel {
    header: Header,
    forest: Forest,
    /// The places at which the forest finds the features of columns.
    places: Option<Places>,
}

/// All but the trees.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    /// Columns of the matrix of the features.
    n_features: usize,
    combine: Combine,
    /// The columns that it was trained on; `None` for the matrix.
    columns: Option<Vec<ForestColumn>>,
}

/// A column that a forest is trained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ForestColumn {
    Number,
    Category(u32),
    Sparse(u32),
}

impl ForestColumn {
    pub(crate) fn of(column: &Column<'_>) -> Self {
        match column {
            Column::Numbers(_) => ForestColumn::Number,
            Column::Codes { n_categories, .. } => ForestColumn::Category(*n_categories),
            Column::Sparse { width, .. } => ForestColumn::Sparse(*width),
        }
    }

    /// Columns of the matrix of the features.
    pub(crate) fn matrix_width(self) -> usize {
        match self {
            ForestColumn::Number => 1,
            ForestColumn::Category(n) | ForestColumn::Sparse(n) => n as usize,
        }
    }

    /// Features of the trees.
    pub(crate) fn width(self) -> usize {
        match self {
            ForestColumn::Number | ForestColumn::Category(_) => 1,
            ForestColumn::Sparse(n) => n as usize,
        }
    }
}

const HEADER: &str = "forest.json";
const TREES: &str = "forest.bin";

impl ForestModel {
    /// The tag of forests that were saved as JSON alone.
    pub(super) const OLD_FORMAT: &'static str = "fourfold.forest.v1";

    /// A forest of trees that were trained on the same features.
    ///
    /// # Errors
    /// [`ErrorKind::Model`](crate::ErrorKind::Model) if there is no tree, if the trees differ in features or outputs,
    /// if a threshold is not finite, or if `base` has another number of outputs or one that is not finite.
    pub fn new(trees: &[TreeModel], combine: Combine) -> Result<Self> {
        let first = trees
            .first()
            .ok_or_else(|| Error::model("a forest without a tree"))?;
        let (n_features, n_outputs) = (first.n_features(), first.n_outputs());
        let mut builder = builder(n_features, n_outputs)?;
        for (number, tree) in trees.iter().enumerate() {
            if (tree.n_features(), tree.n_outputs()) != (n_features, n_outputs) {
                return Err(Error::model(format!(
                    "tree {number} of a forest has {} features and {} outputs, the first has {n_features} and \
                     {n_outputs}",
                    tree.n_features(),
                    tree.n_outputs()
                )));
            }
            push(&mut builder, tree.nodes())
                .map_err(|error| Error::model(format!("tree {number} of a forest: {error}")))?;
        }
        let header = Header {
            n_features,
            combine,
            columns: None,
        };
        ForestModel::of(header, builder.finish())
    }

    /// A forest that was trained on columns.
    pub(crate) fn of_columns(
        columns: Vec<ForestColumn>,
        combine: Combine,
        forest: Forest,
    ) -> Result<Self> {
        let header = Header {
            n_features: columns.iter().map(|column| column.matrix_width()).sum(),
            combine,
            columns: Some(columns),
        };
        ForestModel::of(header, forest)
    }

    fn of(header: Header, forest: Forest) -> Result<Self> {
        let width = match &header.columns {
            None => header.n_features,
            Some(columns) => {
                let width: usize = columns.iter().map(|column| column.matrix_width()).sum();
                if header.n_features != width {
                    return Err(Error::model(format!(
                        "a forest of {} features whose columns have {width}",
                        header.n_features
                    )));
                }
                columns.iter().map(|column| column.width()).sum()
            }
        };
        if forest.n_features() != width {
            return Err(Error::model(format!(
                "a forest whose trees look at {} features, must be {width}",
                forest.n_features()
            )));
        }
        match &header.combine {
            Combine::Mean if forest.n_trees() == 0 => {
                return Err(Error::model("a forest without a tree"));
            }
            Combine::Mean => {}
            Combine::Sum { base, .. } => {
                let n_outputs = forest.n_outputs();
                if base.len() != n_outputs || !base.iter().all(|base| base.is_finite()) {
                    return Err(Error::model(format!(
                        "the base of a forest is {base:?}, must be {n_outputs} finite numbers"
                    )));
                }
            }
        }
        let widths = |columns: &Vec<ForestColumn>| -> Vec<usize> {
            columns.iter().map(|column| column.width()).collect()
        };
        let places = header
            .columns
            .as_ref()
            .map(|columns| forest.places(&widths(columns)));
        Ok(ForestModel {
            header,
            forest,
            places,
        })
    }

    /// The number of trees.
    #[must_use]
    pub fn n_trees(&self) -> usize {
        self.forest.n_trees()
    }

    /// The way in which the trees' outputs are combined.
    #[must_use]
    pub fn combine(&self) -> &Combine {
        &self.header.combine
    }

    pub(crate) fn forest(&self) -> &Forest {
        &self.forest
    }

    /// The columns that it was trained on; `None` for a matrix.
    pub(crate) fn columns(&self) -> Option<&[ForestColumn]> {
        self.header.columns.as_deref()
    }

    /// For each of [`Features::info`], how many splits look at it and by how much they lower the training loss (0 of
    /// trees of another trainer, which do not say).
    ///
    /// # Errors
    /// [`ErrorKind::Model`](crate::ErrorKind::Model) if these are not the features that it was trained on.
    pub fn importances(&self, features: &Features) -> Result<Vec<(u64, f64)>> {
        self.check(features)?;
        let of_trees = self.forest.importances();
        let mut first = 0;
        let sums = self.widths(features).into_iter().map(|width| {
            first += width;
            let own = of_trees[first - width..first].iter();
            own.fold((0, 0.0), |all, one| (all.0 + one.0, all.1 + one.1))
        });
        Ok(sums.collect())
    }

    /// The features of the trees for each of [`Features::info`].
    fn widths(&self, features: &Features) -> Vec<usize> {
        match &self.header.columns {
            Some(columns) => columns.iter().map(|column| column.width()).collect(),
            None => features
                .info()
                .iter()
                .map(|feature| feature.width)
                .collect(),
        }
    }

    /// Rows as the trees look at them, one after the other.
    fn rows(&self, features: &Features) -> Vec<f32> {
        let Some(columns) = &self.header.columns else {
            return features.matrix().iter().copied().collect();
        };
        let width = self.forest.n_features();
        let mut rows = vec![0.0; features.n_rows() * width];
        let mut first = 0;
        for (column, shape) in features.columns().iter().zip(columns) {
            for (row, cells) in rows.chunks_exact_mut(width.max(1)).enumerate() {
                match column {
                    Column::Numbers(values) => cells[first] = values[row],
                    Column::Codes { codes, .. } => {
                        cells[first] = match codes[row] {
                            MISSING_CODE => f32::NAN,
                            code => code as f32,
                        };
                    }
                    Column::Sparse {
                        offsets,
                        ids,
                        values,
                        ..
                    } => {
                        for place in offsets[row]..offsets[row + 1] {
                            cells[first + ids[place] as usize] = values[place];
                        }
                    }
                }
            }
            first += shape.width();
        }
        rows
    }

    /// The outputs before they are combined, `(n_rows, n_outputs)`: `base` and the sums of the trees.
    pub(crate) fn sums(&self, features: &Features, threads: usize) -> Result<Vec<f64>> {
        self.check(features)?;
        let zeros;
        let base = match &self.header.combine {
            Combine::Mean => {
                zeros = vec![0.0; self.n_outputs()];
                &zeros
            }
            Combine::Sum { base, .. } => base,
        };
        let n_rows = features.n_rows();
        if let Some(places) = &self.places {
            let columns = features.columns();
            return Ok(self
                .forest
                .sums_of_columns(&columns, places, n_rows, base, threads));
        }
        let matrix = features.matrix();
        let matrix = matrix.as_standard_layout();
        let rows = matrix.as_slice().unwrap_or_default();
        Ok(self.forest.sums_of_rows(rows, n_rows, base, threads))
    }

    /// Checks that these are the features that it was trained on.
    fn check(&self, features: &Features) -> Result<()> {
        check_width(self, features)?;
        let Some(columns) = &self.header.columns else {
            return Ok(());
        };
        let given = features.columns();
        let same = given.len() == columns.len()
            && given
                .iter()
                .zip(columns)
                .all(|(given, own)| ForestColumn::of(given) == *own);
        match same {
            true => Ok(()),
            false => Err(Error::model(
                "the columns of the features are not those that the forest was trained on",
            )),
        }
    }
}

/// An empty forest of a matrix.
fn builder(n_features: usize, n_outputs: usize) -> Result<ForestBuilder> {
    if n_outputs == 0 || n_outputs > 1 << 16 || n_features >= 1 << 30 {
        return Err(Error::model(format!(
            "a forest of {n_features} features and {n_outputs} outputs"
        )));
    }
    Ok(ForestBuilder::new(n_features, n_outputs, n_outputs))
}

/// Adds a tree of a matrix.
fn push(builder: &mut ForestBuilder, nodes: &[TreeNode]) -> Result<()> {
    let nodes = super::tree::nodes(nodes)?;
    let thresholds = nodes.iter().filter_map(|node| match node {
        Node::Split {
            rule: Rule::AtMost { threshold, .. },
            ..
        } => Some(threshold),
        Node::Split { .. } | Node::Leaf { .. } => None,
    });
    for threshold in thresholds {
        if !threshold.is_finite() {
            return Err(Error::model(format!(
                "a threshold is {threshold}, must be finite"
            )));
        }
    }
    builder
        .push(&nodes)
        .map_err(|error| Error::model(error.to_string()))
}

impl Predict for ForestModel {
    fn n_features(&self) -> usize {
        self.header.n_features
    }

    fn n_outputs(&self) -> usize {
        self.forest.n_outputs()
    }

    fn takes(&self) -> Takes {
        match self.header.columns {
            Some(_) => Takes::CODES,
            None => Takes::FINITE,
        }
    }

    fn predict(&self, features: &Features) -> Result<Array2<f64>> {
        let mut sums = self.sums(features, 1)?;
        match &self.header.combine {
            Combine::Mean => {
                let n = self.n_trees() as f64;
                sums.iter_mut().for_each(|sum| *sum /= n);
            }
            Combine::Sum { link, .. } => {
                let rows = sums.chunks_exact_mut(self.n_outputs());
                rows.for_each(|row| link.apply(row));
            }
        }
        Array2::from_shape_vec((features.n_rows(), self.n_outputs()), sums)
            .map_err(|error| Error::internal("outputs of a wrong shape").with_source(error))
    }

    fn link(&self) -> Link {
        match self.header.combine {
            Combine::Mean => Link::Identity,
            Combine::Sum { link, .. } => link,
        }
    }

    /// The contribution of each feature to the outputs of each row before the link: exact Shapley values of the trees, by
    /// the share of the training rows that went each way (TreeSHAP; Lundberg, Erion, Lee: Consistent individualized
    /// feature attribution for tree ensembles, 2018).
    ///
    /// The shape is `(n_rows, n_outputs, n + 1)` for `n` of [`Features::info`]; the last is the mean over the training
    /// rows. Added up, they are the output before the link. A tree of depth `d` takes `d * d` steps a leaf: microseconds
    /// to milliseconds a row.
    ///
    /// # Errors
    /// [`ErrorKind::Model`](crate::ErrorKind::Model) if these are not the features that it was trained on, if it is of
    /// trees that do not say how many rows went each way, or if a tree is deeper than 512.
    fn contributions(&self, features: &Features) -> Result<Array3<f64>> {
        self.check(features)?;
        let (n_rows, n_outputs) = (features.n_rows(), self.n_outputs());
        let width = self.forest.n_features();
        let widths = self.widths(features);
        let rows = self.rows(features);
        let mut found = Vec::with_capacity(n_rows * n_outputs * (widths.len() + 1));
        let divisor = match &self.header.combine {
            Combine::Mean => self.n_trees() as f64,
            Combine::Sum { .. } => 1.0,
        };
        for row in 0..n_rows {
            let mut sums = vec![0.0; n_outputs * (width + 1)];
            self.forest
                .add_contributions(&rows[row * width..(row + 1) * width], &mut sums)
                .map_err(|error| Error::model(error.to_string()))?;
            for (output, sums) in sums.chunks_exact(width + 1).enumerate() {
                let mut first = 0;
                for width in &widths {
                    let own = &sums[first..first + width];
                    found.push(own.iter().sum::<f64>() / divisor);
                    first += width;
                }
                let base = match &self.header.combine {
                    Combine::Mean => 0.0,
                    Combine::Sum { base, .. } => base[output],
                };
                found.push(base + sums[width] / divisor);
            }
        }
        Array3::from_shape_vec((n_rows, n_outputs, widths.len() + 1), found)
            .map_err(|error| Error::internal("contributions of a wrong shape").with_source(error))
    }
}

impl Model for ForestModel {
    const FORMAT: &'static str = "fourfold.forest.v2";

    fn save(&self, dir: &Path) -> Result<()> {
        save_json(dir, HEADER, &self.header)?;
        let path = dir.join(TREES);
        std::fs::write(&path, self.forest.to_bytes())
            .map_err(|error| Error::io(format!("writing `{}`", path.display()), error))
    }

    fn load(dir: &Path, _: &Loaders) -> Result<Self> {
        let path = dir.join(TREES);
        if !path.exists() {
            return v1::load(dir);
        }
        let header: Header = load_json(dir, HEADER)?;
        let bytes = std::fs::read(&path)
            .map_err(|error| Error::io(format!("reading `{}`", path.display()), error))?;
        let corrupt =
            |error: Error| Error::corrupt(format!("`{TREES}` is not a forest")).with_source(error);
        let forest =
            Forest::from_bytes(&bytes).map_err(|error| corrupt(Error::model(error.to_string())))?;
        ForestModel::of(header, forest).map_err(corrupt)
    }
}

#[cfg(test)]
mod tests;
