//! A transform as configured, to be planned for a trainer and fitted.
#![cfg_attr(
    not(feature = "datafusion"),
    allow(dead_code, reason = "only the data pipeline plans transforms")
)]

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use serde::Serialize;

use super::ops::Op;
use super::{AutoTransform, Decision, FittedTransform, InputColumn, Roles, Transform};
use crate::error::{Error, Result};
use crate::features::Takes;
use crate::statistics::Statistics;
use crate::warning::Warning;
use arrow::datatypes::Schema as ArrowSchema;

/// A [`Transform`], or an [`AutoTransform`] that chooses one.
#[derive(Clone, Debug, Serialize)]
pub enum TransformChoice {
    /// It is chosen, for the statistics and the trainer.
    Auto(AutoTransform),
    /// It is given, whatever the trainer.
    Given(Transform),
}

impl TransformChoice {
    /// The custom operations that it uses.
    #[cfg(feature = "datafusion")]
    pub(crate) fn operations(&self) -> super::Operations {
        match self {
            TransformChoice::Given(transform) => transform.operations(),
            TransformChoice::Auto(_) => super::Operations::new(),
        }
    }
}

impl From<Transform> for TransformChoice {
    fn from(transform: Transform) -> Self {
        TransformChoice::Given(transform)
    }
}

impl From<AutoTransform> for TransformChoice {
    fn from(auto: AutoTransform) -> Self {
        TransformChoice::Auto(auto)
    }
}

impl Default for TransformChoice {
    /// Chosen, with the default limits.
    fn default() -> Self {
        AutoTransform::default().into()
    }
}

/// A transform as configured, with what is known of the data. What it becomes depends on what the trainer
/// [takes](Takes); it is fitted on the rows that the trainer learns from, as often as these change: once for a training,
/// once a fold for a cross-validation.
#[derive(Clone, Debug)]
pub struct TransformPlan {
    choice: TransformChoice,
    statistics: Arc<Statistics>,
    columns: Vec<String>,
    optional: Vec<String>,
    left_out: Vec<Decision>,
}

/// A plan that was fitted. Cheap to clone.
#[derive(Clone, Debug)]
pub struct FittedPlan {
    transform: Arc<FittedTransform>,
    decisions: Arc<[Decision]>,
    plan: Option<Arc<TransformPlan>>,
}

impl TransformPlan {
    /// A plan for rows with these statistics. A chosen transform makes features of `columns` only; `optional` are those
    /// that may be missing although there is no gap in the rows.
    #[must_use]
    pub fn new(
        choice: impl Into<TransformChoice>,
        statistics: Arc<Statistics>,
        columns: Vec<String>,
        optional: Vec<String>,
    ) -> Self {
        TransformPlan {
            choice: choice.into(),
            statistics,
            columns,
            optional,
            left_out: Vec::new(),
        }
    }

    /// The same data with another transform.
    pub(crate) fn with_choice(&self, choice: TransformChoice) -> Self {
        TransformPlan {
            choice,
            ..self.clone()
        }
    }

    /// The same with columns that never came so far.
    pub(crate) fn with_left_out(mut self, decisions: Vec<Decision>) -> Self {
        self.left_out = decisions;
        self
    }

    /// The configuration, the columns that may be missing, and those that never came so far: with the statistics and
    /// [`TransformPlan::columns`], all that it is.
    #[cfg(feature = "datafusion")]
    pub(crate) fn parts(&self) -> (&TransformChoice, &[String], &[Decision]) {
        (&self.choice, &self.optional, &self.left_out)
    }

    /// The columns that a chosen transform may make features of.
    pub(crate) fn columns(&self) -> Vec<&str> {
        self.columns.iter().map(String::as_str).collect()
    }

    /// The transform for what a trainer takes, and what becomes of each column: why, if it was chosen. Of raw rows
    /// there is none.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](crate::ErrorKind::Data) if no column makes a feature, with the reasons.
    pub fn transform(&self, takes: Takes) -> Result<(Transform, Vec<Decision>)> {
        let auto = match &self.choice {
            TransformChoice::Given(transform) => {
                return Ok((transform.clone(), configured(transform)));
            }
            TransformChoice::Auto(auto) => auto,
        };
        let columns = self.columns();
        let optional: HashSet<&str> = self.optional.iter().map(String::as_str).collect();
        let optional = |name: &str| optional.contains(name);
        let (transform, decisions) = auto.plan(&self.statistics, &columns, optional, takes);
        match transform.steps().is_empty() {
            true => Err(self.no_feature(&decisions)),
            false => Ok((transform, decisions)),
        }
    }

    /// Checks that it can be fitted on rows of a schema, as far as that is known before.
    ///
    /// # Errors
    /// As [`Transform::fitting`].
    pub fn check(&self, schema: &ArrowSchema, roles: Roles<'_>) -> Result<()> {
        match &self.choice {
            TransformChoice::Given(transform) => transform.fitting(schema, roles).map(drop),
            TransformChoice::Auto(_) => Ok(()),
        }
    }

    /// The raw columns for a trainer that takes rows.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if a transform is given.
    pub(crate) fn rows(self: &Arc<Self>, schema: &ArrowSchema) -> Result<FittedPlan> {
        if let TransformChoice::Given(_) = self.choice {
            return Err(Error::config(
                "a transform is configured, but the trainer takes raw rows; remove the transform",
            ));
        }
        let mut inputs = Vec::new();
        let mut decisions = Vec::new();
        let mut next = 0;
        for name in &self.columns {
            let (action, reason) = match InputColumn::find(schema, name, &mut next) {
                Ok(input) => {
                    inputs.push(input);
                    ("raw", "the trainer takes raw rows".to_owned())
                }
                Err(error) => (Decision::DROPPED, error.message().to_owned()),
            };
            decisions.push(Decision {
                column: name.clone(),
                action: action.to_owned(),
                reason,
            });
        }
        if inputs.is_empty() {
            return Err(self.no_feature(&decisions));
        }
        Ok(self.fitted(FittedTransform::of_rows(inputs)?, decisions))
    }

    /// The error that no column makes a feature, with what became of each.
    fn no_feature(&self, decisions: &[Decision]) -> Error {
        let decisions = decisions.iter().chain(&self.left_out);
        let reasons: String = decisions
            .map(|decision| format!("\n  {decision}"))
            .collect();
        Error::data(if reasons.is_empty() {
            "no column makes a feature: there is none beside the label".to_owned()
        } else {
            format!("no column makes a feature:{reasons}")
        })
    }

    /// The plan with what came of it.
    pub(crate) fn fitted(
        self: &Arc<Self>,
        transform: FittedTransform,
        mut decisions: Vec<Decision>,
    ) -> FittedPlan {
        if let TransformChoice::Auto(_) = self.choice {
            decisions.extend(self.left_out.iter().cloned());
        }
        FittedPlan {
            transform: Arc::new(transform),
            decisions: decisions.into(),
            plan: Some(Arc::clone(self)),
        }
    }
}

/// An operation's name, as in JSON.
fn name_of(op: &Op) -> String {
    let op = serde_json::to_value(op).unwrap_or_default();
    op["op"].as_str().unwrap_or("custom").to_owned()
}

/// The operations that a given transform applies to each column, in order.
fn configured(transform: &Transform) -> Vec<Decision> {
    let decisions = transform.inputs().into_iter().map(|column| {
        let mut reached = BTreeSet::from([column]);
        let mut actions = Vec::new();
        for step in transform.steps() {
            if step
                .inputs
                .iter()
                .any(|input| reached.contains(input.as_str()))
            {
                reached.extend(step.outputs.iter().map(String::as_str));
                actions.push(name_of(&step.op));
            }
        }
        Decision {
            column: column.to_owned(),
            action: actions.join(", "),
            reason: "as configured".to_owned(),
        }
    });
    decisions.collect()
}

impl FittedPlan {
    /// The transform.
    #[must_use]
    pub fn transform(&self) -> &Arc<FittedTransform> {
        &self.transform
    }

    /// The decision about each column, and its reason, if the transform was chosen.
    #[must_use]
    pub fn decisions(&self) -> &[Decision] {
        &self.decisions
    }

    /// The decisions, with another transform: one that passes raw columns on.
    pub(crate) fn with_transform(self, transform: FittedTransform) -> Self {
        FittedPlan {
            transform: Arc::new(transform),
            ..self
        }
    }

    /// The plan, to be fitted again; `None` for a transform that came fitted.
    #[must_use]
    pub fn plan(&self) -> Option<&Arc<TransformPlan>> {
        self.plan.as_ref()
    }

    /// The columns that make no feature, and those whose values share features.
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        let hashed = self
            .decisions
            .iter()
            .filter(|decision| decision.is_hashed());
        let hashed = hashed.map(|decision| {
            let message = format!("{}: {}", decision.action, decision.reason);
            Warning::new("transform", "column_hashed", message).of_column(&decision.column)
        });
        let dropped = self
            .decisions
            .iter()
            .filter(|decision| decision.is_dropped());
        let warning = |decision: &Decision| {
            let message = format!("it makes no feature: {}", decision.reason);
            Warning::new("transform", "column_dropped", message).of_column(&decision.column)
        };
        dropped.map(warning).chain(hashed).collect()
    }
}

/// A transform that was fitted elsewhere, without known decisions.
impl From<Arc<FittedTransform>> for FittedPlan {
    fn from(transform: Arc<FittedTransform>) -> Self {
        FittedPlan {
            transform,
            decisions: Arc::new([]),
            plan: None,
        }
    }
}

#[cfg(feature = "datafusion")]
mod on_rows {
    use super::{Arc, FittedPlan, FittedTransform, Result, Roles, Takes, Transform, TransformPlan};
    use crate::engine::Engine;
    use crate::examples::Examples;

    impl Transform {
        /// Fits on rows with a label, in as few passes as its chains need, reading its columns only.
        ///
        /// # Errors
        /// As [`Transform::fitting`], and [`ErrorKind::Data`](crate::ErrorKind::Data) if a step cannot learn from the
        /// rows.
        pub async fn fit_on(
            &self,
            rows: &Examples,
            label: &str,
            engine: &Engine,
        ) -> Result<FittedTransform> {
            let mut fitting = self.fitting(rows.schema(), Roles::label(label))?;
            while let Some(pass) = fitting.pass()? {
                let learned = rows.accumulate(engine, &fitting.columns(), pass).await?;
                fitting.absorb(learned)?;
            }
            fitting.finish()
        }
    }

    impl TransformPlan {
        /// Plans for what a trainer takes and fits on the rows that it learns from.
        ///
        /// # Errors
        /// As [`TransformPlan::transform`] and [`Transform::fit_on`];
        /// [`ErrorKind::Config`](crate::ErrorKind::Config) if the trainer takes raw rows and a transform is given.
        pub async fn fit(
            self: &Arc<Self>,
            takes: Takes,
            rows: &Examples,
            label: &str,
            engine: &Engine,
        ) -> Result<FittedPlan> {
            if takes.rows {
                return self.rows(rows.schema());
            }
            let (transform, decisions) = self.transform(takes)?;
            let transform = transform.fit_on(rows, label, engine).await?;
            Ok(self.fitted(transform, decisions))
        }
    }
}
