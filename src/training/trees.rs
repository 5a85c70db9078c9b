//! Code that the trainers of trees share.

use fourfold_kernels::columns::Column;
use fourfold_kernels::trees::Examples;

use super::{Dataset, Table, Trained};
use crate::error::{Error, Result};
use crate::features::{Features, Takes};
use crate::model::{ForestColumn, ForestModel};

/// Rows as trees are trained on them.
pub(super) struct Rows {
    table: Table,
    labels: Vec<f64>,
    weights: Option<Vec<f64>>,
}

impl Rows {
    /// Reads all rows.
    pub(super) fn read(dataset: &Dataset) -> Result<Self> {
        let table = dataset.table(Takes::CODES)?;
        Ok(Rows {
            labels: table.labels().to_vec(),
            weights: table.weights().map(|weights| weights.to_vec()),
            table,
        })
    }

    pub(super) fn features(&self) -> &Features {
        self.table.features()
    }

    pub(super) fn labels(&self) -> &[f64] {
        &self.labels
    }

    pub(super) fn weights(&self) -> Option<&[f64]> {
        self.weights.as_deref()
    }

    /// Checks that labels are classes of the target.
    pub(super) fn check_classes(&self, n_classes: usize) -> Result<()> {
        let classes = self.table.classes()?;
        match classes.iter().find(|class| **class >= n_classes) {
            None => Ok(()),
            Some(class) => Err(Error::data(format!(
                "a label is class {class} of {n_classes}"
            ))),
        }
    }

    pub(super) fn examples<'a>(
        &'a self,
        columns: &'a [Column<'a>],
        base: Option<&'a [f64]>,
    ) -> Examples<'a> {
        Examples {
            columns,
            labels: &self.labels,
            weights: self.weights(),
            base,
        }
    }
}

/// The columns as a forest remembers them.
pub(super) fn shapes(columns: &[Column<'_>]) -> Result<Vec<ForestColumn>> {
    for column in columns {
        if let Column::Codes { n_categories, .. } = column
            && *n_categories > 1 << 24
        {
            return Err(Error::data(format!(
                "a feature of {n_categories} categories, trees take at most 2^24"
            )));
        }
    }
    Ok(columns.iter().map(ForestColumn::of).collect())
}

/// Adds the gain and the number of splits of each feature.
pub(super) fn with_importances(
    trained: Trained<ForestModel>,
    features: &Features,
) -> Result<Trained<ForestModel>> {
    let found = trained.model().importances(features)?;
    let names: Vec<String> = features
        .info()
        .iter()
        .map(|info| info.name.clone())
        .collect();
    let gains = names
        .iter()
        .zip(&found)
        .map(|(name, (_, gain))| (name.clone(), *gain));
    let splits = names
        .iter()
        .zip(&found)
        .map(|(name, (splits, _))| (name.clone(), *splits as f64));
    Ok(trained
        .with_importances("gain", gains)
        .with_importances("splits", splits))
}

/// Checks that a number is within a range, ends included.
pub(super) fn check_range<T: Copy + PartialOrd + std::fmt::Display>(
    name: &str,
    value: T,
    least: T,
    most: T,
) -> Result<()> {
    if value >= least && value <= most {
        return Ok(());
    }
    Err(Error::config(format!(
        "`{name}` is {value}, must be from {least} to {most}"
    )))
}

/// Checks that a number is above 0, up to a limit.
pub(super) fn check_positive(name: &str, value: f64, most: f64) -> Result<()> {
    if value > 0.0 && value <= most {
        return Ok(());
    }
    Err(Error::config(format!(
        "`{name}` is {value}, must be above 0 and at most {most}"
    )))
}
