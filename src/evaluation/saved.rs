//! A saved model on labelled raw rows, alone: without the pipeline that made it.

use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;

use super::{Evaluated, EvaluationPipeline, Validator};
use crate::blessing::{Candidate, Serving};
use crate::error::{Error, Result};
use crate::examples::Examples;
use crate::model::{AnyModel, Loaders, Servable};
use crate::progress::Progress;
use crate::schema::{normalize_batch, normalized_schema};

/// Raw rows as examples that a saved model can be evaluated on: labelled by the rule that is saved with it. Rows without a
/// label are left out.
///
/// # Errors
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if the model was saved before rules were;
/// [`ErrorKind::Data`](crate::ErrorKind::Data) if no row has a label; [`ErrorKind::Config`](crate::ErrorKind::Config) if the
/// label's column is not there.
pub fn labelled(servable: &Servable, rows: &[RecordBatch]) -> Result<Examples> {
    let label = servable.manifest().label.as_ref().ok_or_else(|| {
        Error::new(
            crate::ErrorKind::Unsupported,
            format!(
                "model `{}` was saved without its label's rule; retrain it to evaluate it on raw rows",
                servable.manifest().name
            ),
        )
    })?;
    let Some(first) = rows.first() else {
        return Err(Error::data("there is no row to evaluate with"));
    };
    let plain = normalized_schema(&first.schema());
    let schema = label.schema(&plain)?;
    let batches = rows
        .iter()
        .map(|rows| label.apply(&normalize_batch(rows, &plain)?, &schema));
    let examples = Examples::from_batches(Arc::clone(&schema), batches.collect::<Result<_>>()?)?;
    if examples.n_rows() == 0 {
        let n_rows: usize = rows.iter().map(RecordBatch::num_rows).sum();
        return Err(Error::data(format!(
            "label `{}` has no value in any of {n_rows} rows",
            label.name()
        )));
    }
    Ok(examples)
}

impl<V: Validator<AnyModel>> EvaluationPipeline<V> {
    /// Evaluates and validates the saved model of a directory on labelled raw rows (see [`labelled`]), against a
    /// [baseline](EvaluationPipeline::baseline) if one is set.
    ///
    /// # Errors
    /// As [`Servable::load`] and [`EvaluationPipeline::run`]; [`ErrorKind::Config`](crate::ErrorKind::Config) if what is
    /// configured does not fit the model or the rows.
    pub async fn run_saved(
        self,
        dir: &Path,
        loaders: &Loaders,
        rows: &[RecordBatch],
    ) -> Result<Evaluated<AnyModel>> {
        self.check::<AnyModel>()?;
        let candidate = Candidate::load(dir, loaders)?;
        let examples = labelled(candidate.servable(), rows)?;
        self.check_data::<AnyModel>(candidate.servable().target(), examples.schema())?;
        Arc::new(self)
            .run(
                candidate,
                &examples,
                Ok(Serving::Unknown),
                &Progress::default(),
            )
            .await
    }
}
