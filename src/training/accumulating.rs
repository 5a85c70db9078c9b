//! Mergeable analyses of features.

use super::{Dataset, Table};
use crate::error::Result;
use crate::features::Takes;
use crate::parallel::side_by_side;

/// Something learned from features, labels and weights, in parts that merge; as
/// [`Accumulate`](crate::accumulate::Accumulate) is from raw rows.
///
/// ```
/// use fourfold::Result;
/// use fourfold::features::Takes;
/// use fourfold::training::{AccumulateFeatures, Dataset, Table};
///
/// /// The sum of the labels, and how many there are.
/// #[derive(Clone, Debug, Default)]
/// struct Labels(f64, usize);
///
/// impl AccumulateFeatures for Labels {
///     fn update(&mut self, rows: &Table) -> Result<()> {
///         self.0 += rows.labels().sum();
///         self.1 += rows.labels().len();
///         Ok(())
///     }
///
///     fn merge(&mut self, other: Self) -> Result<()> {
///         self.0 += other.0;
///         self.1 += other.1;
///         Ok(())
///     }
/// }
///
/// fn mean(rows: &Dataset) -> Result<f64> {
///     let Labels(sum, n) = rows.accumulate(Takes::FINITE, Labels::default())?;
///     Ok(sum / n as f64)
/// }
/// ```
pub trait AccumulateFeatures: Clone + Send + Sync {
    /// Takes in some rows.
    ///
    /// # Errors
    /// If the rows are not what the analysis needs.
    fn update(&mut self, rows: &Table) -> Result<()>;

    /// Takes in what another part has learned from the rows behind.
    ///
    /// # Errors
    /// If the other part is of another configuration.
    fn merge(&mut self, other: Self) -> Result<()>;
}

impl Dataset {
    /// Runs an analysis over all rows in one pass, with features in the form that it takes: the prototype merged with what each part of the examples has taught,
    /// in their order. The parts, as many as the [engine](crate::engine::Engine::partitions) has cut, are read side by
    /// side, and only the columns that are needed; the result does not depend on the number of threads.
    ///
    /// # Errors
    /// Those of reading the rows and of the analysis.
    pub fn accumulate<A: AccumulateFeatures>(&self, takes: Takes, prototype: A) -> Result<A> {
        let columns = self.columns();
        let parts = side_by_side(self.threads, self.examples.parts(), |part| {
            let mut own = prototype.clone();
            for batch in self.selected(part, &columns) {
                own.update(&self.table_of(&batch?, takes)?)?;
            }
            Ok(own)
        })?;
        let mut whole = prototype;
        for part in parts {
            whole.merge(part)?;
        }
        Ok(whole)
    }
}
