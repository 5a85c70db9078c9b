//! The checks of a configuration, before anything runs and before anything is trained.

use std::collections::BTreeMap;

use arrow::datatypes::Schema as ArrowSchema;

use super::{Detectable, EvaluationPipeline, Validator, WorstSlices};
use crate::error::{Error, Result, near_names};
use crate::features::Direction;
use crate::metrics::SliceBy;
use crate::model::{Model, Target};
use crate::stage::Stage;
use crate::statistics::ColumnStatistics;

impl<V: Stage> EvaluationPipeline<V> {
    /// Returns true if it compares with the model that is serving, which the server must then know.
    #[must_use]
    pub fn asks_for_serving<M: Model>(&self) -> bool
    where
        V: Validator<M>,
    {
        self.baseline.is_none() && self.validator.needs().is_compared()
    }

    /// Checks the configuration.
    ///
    /// # Errors
    /// As [`Stage::check`], naming the validator; [`ErrorKind::Config`](crate::ErrorKind::Config) if a metric that it
    /// needs is not there, or is compared with a bound that it cannot have.
    pub fn check<M: Model>(&self) -> Result<()>
    where
        V: Validator<M>,
    {
        self.validator
            .check()
            .and_then(|()| {
                let needs = self.validator.needs();
                needs.check(&self.catalogue, self.resampling.is_some())
            })
            .map_err(|error| error.in_stage(self.validator.name()))?;
        let computed =
            (self.compute.iter()).try_for_each(|name| self.catalogue.find(name).map(drop));
        (self.slice_by.iter())
            .chain(self.validator.needs().slices())
            .try_for_each(SliceBy::check)
            .and(computed)
            .and(self.catalogue.check())
            .and(self.trial.check())
            .and(
                self.worst_slices
                    .as_ref()
                    .map_or(Ok(()), WorstSlices::check),
            )
            .map_err(|error| error.in_stage("evaluate"))?;
        match &self.baseline {
            Some(dir) if !dir.is_dir() => Err(Error::config(format!(
                "`baseline` is `{}`, must be the directory of a saved model",
                dir.display()
            ))
            .in_stage("evaluate")),
            _ => Ok(()),
        }
    }

    /// Checks that the trainer keeps the [directions](EvaluationPipeline::monotone) that are wanted.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) naming the trainer, the feature and the direction.
    pub fn check_directions(
        &self,
        trainer: &str,
        kept: &BTreeMap<String, Direction>,
    ) -> Result<()> {
        let is_kept =
            |(feature, wanted): &(&String, &Direction)| kept.get(*feature) == Some(wanted);
        match self.directions.iter().find(|wanted| !is_kept(wanted)) {
            None => Ok(()),
            Some((feature, wanted)) => Err(Error::config(format!(
                "`monotone` wants predictions to be {wanted} with `{feature}`, which trainer `{trainer}` does not keep; \
                 boosting does, set by `GradientBoosting::monotone` or `Requirements::boosting`"
            ))
            .in_stage("evaluate")),
        }
    }

    /// Checks the configuration against the data, before anything is trained on it.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if a metric is none of the target's task, or a column to slice by
    /// is not there.
    pub fn check_data<M: Model>(&self, target: &Target, columns: &ArrowSchema) -> Result<()>
    where
        V: Validator<M>,
    {
        self.validator
            .needs()
            .check_task(&self.catalogue, target.task())
            .map_err(|error| error.in_stage(self.validator.name()))?;
        let known = || columns.fields().iter().map(|field| field.name().as_str());
        let needs = self.validator.needs();
        let slices = self.slice_by.iter().chain(needs.slices());
        let slices = slices
            .flat_map(SliceBy::columns)
            .map(|name| (name, "slice by"));
        let cluster = self.resampling.iter().flat_map(|by| by.cluster.as_deref());
        let protected = self
            .protected
            .iter()
            .map(|name| (name.as_str(), "compare by"));
        let asked = slices
            .chain(cluster.map(|name| (name, "cluster by")))
            .chain(protected)
            .chain((self.worst_slices.iter()).flat_map(|search| {
                search
                    .asked_columns()
                    .map(|name| (name, "search slices by"))
            }));
        let mut asked = asked.chain(
            (self.effects.iter().flatten()).map(|name| (name.as_str(), "find the effect of")),
        );
        match asked.find(|(column, _)| !known().any(|name| name == *column)) {
            Some((missing, what)) => Err(Error::config(format!(
                "column `{missing}` to {what} is not in the data{}",
                near_names(missing, known())
            ))
            .in_stage("evaluate")),
            None => (self.slice_by.iter())
                .chain(needs.slices())
                .try_for_each(|by| by.check_columns(columns))
                .map_err(|error| error.in_stage("evaluate")),
        }
    }

    /// The smallest change that the `eval` split is likely to show, for each metric that the validator compares or bounds, by
    /// the label's statistics on the split; before anything is trained. Metrics of which no assumption is made are left out.
    #[must_use]
    pub fn detectable<M: Model>(&self, target: &Target, label: &ColumnStatistics) -> Vec<Detectable>
    where
        V: Validator<M>,
    {
        let needs = self.validator.needs();
        let asked = needs.asked();
        asked
            .filter_map(|(metric, asked)| Detectable::new(metric, asked, target, label))
            .collect()
    }
}
