//! Running the data pipeline.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::Schema as ArrowSchema;
use serde::Serialize;

use super::doubts::{leaking_columns, near_equal_spellings};
use super::extract::{Extracted, extract, reopen};
use super::key::{Configuration, key_of};
use super::policy::{Quarantined, quarantine, rules_of_rows};
use super::telling::{left_out, parted_groups, warnings};
use super::validate::Validated;
use super::{AnomalyPolicy, DataPipeline, DataPlan, DataSource, Label, Split, TRAIN};
use crate::accumulate::Accumulate;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result, near_names};
use crate::examples::Examples;
use crate::features::Takes;
use crate::fingerprint::Fingerprint;
use crate::model::{Target, Weighting};
use crate::progress::{Event, Progress, RunningStep, Step};
use crate::schema::{Anomaly, Comparison, Field, Schema};
use crate::statistics::{Statistics, StatisticsAccumulator};
use crate::store::{Place, Readers};
use crate::transform::{FittedPlan, Roles, TransformPlan};
use crate::warning::Warning;

/// The output of the data pipeline: all that training and evaluation need.
#[derive(Debug)]
pub struct PreparedData {
    pub(super) splits: BTreeMap<String, Examples>,
    pub(super) statistics: BTreeMap<String, Statistics>,
    pub(super) schema: Schema,
    pub(super) anomalies: BTreeMap<String, Vec<Anomaly>>,
    pub(super) comparisons: Vec<Comparison>,
    pub(super) quarantined: Option<Quarantined>,
    pub(super) target: Target,
    pub(super) weighting: Weighting,
    pub(super) transform: Arc<TransformPlan>,
    pub(super) n_unlabelled: u64,
    pub(super) warnings: Vec<Warning>,
    pub(super) split: Split,
    pub(super) stands_for: Option<Vec<f64>>,
    pub(super) fingerprint: Fingerprint,
    /// The directory that the splits are in.
    pub(super) dir: PathBuf,
}

impl PreparedData {
    /// A split.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is none of that name, with the near ones.
    pub fn split(&self, name: &str) -> Result<&Examples> {
        self.splits.get(name).ok_or_else(|| {
            let near = near_names(name, self.splits.keys().map(String::as_str));
            Error::not_found(format!("there is no split `{name}`{near}"))
        })
    }

    /// All splits by name.
    #[must_use]
    pub fn splits(&self) -> &BTreeMap<String, Examples> {
        &self.splits
    }

    /// The statistics of each split.
    #[must_use]
    pub fn statistics(&self) -> &BTreeMap<String, Statistics> {
        &self.statistics
    }

    /// The schema that the splits fit.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The anomalies of each split that were let through; those of all rows together under `all splits`.
    #[must_use]
    pub fn anomalies(&self) -> &BTreeMap<String, Vec<Anomaly>> {
        &self.anomalies
    }

    /// The distances of the `train` split from the previous span and from the serving data, where these were given.
    #[must_use]
    pub fn comparisons(&self) -> &[Comparison] {
        &self.comparisons
    }

    /// The rows that were set aside, if there are any: see [`AnomalyPolicy::Quarantine`].
    #[must_use]
    pub fn quarantined(&self) -> Option<&Quarantined> {
        self.quarantined.as_ref()
    }

    /// The prediction target.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The weighting of rows in training.
    #[must_use]
    pub fn weighting(&self) -> &Weighting {
        &self.weighting
    }

    /// The transform as configured, to be [planned](TransformPlan) for a trainer and fitted on the `train` split.
    #[must_use]
    pub fn transform(&self) -> &Arc<TransformPlan> {
        &self.transform
    }

    /// Plans the transform for what a trainer takes, and fits it on the `train` split.
    ///
    /// # Errors
    /// As [`TransformPlan::fit`].
    pub async fn fit(&self, takes: Takes, engine: &Engine) -> Result<FittedPlan> {
        let train = self.split(TRAIN)?;
        self.transform
            .fit(takes, train, self.target.label(), engine)
            .await
            .map_err(|error| error.in_stage("transform"))
    }

    /// The number of rows without a label, which are in no split.
    #[must_use]
    pub fn n_unlabelled(&self) -> u64 {
        self.n_unlabelled
    }

    /// The decisions taken by default, such as columns left out.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The splitting of the rows.
    #[must_use]
    pub fn division(&self) -> &Split {
        &self.split
    }

    /// For how many rows of the data one row of the `train` split stands, by class in the target's order; `None` unless
    /// the classes were [rebalanced](super::DataPipeline::rebalance).
    #[must_use]
    pub fn stands_for(&self) -> Option<&[f64]> {
        self.stands_for.as_deref()
    }

    /// The key of the configuration and the data that this is the result of.
    #[must_use]
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }
}

impl<S: DataSource> DataPipeline<S> {
    /// Runs the pipeline. The splits are written below `dir`, into a folder named by their fingerprint; where the
    /// source can tell that it has not changed, an earlier extraction there is used again.
    ///
    /// # Errors
    /// Those of the source; [`ErrorKind::Data`] if a split that is needed is empty or the label cannot be learned;
    /// [`ErrorKind::Schema`] with all anomalies if the data breaks the schema. Nothing half-written stays.
    pub async fn run(
        &self,
        engine: &Engine,
        dir: &Path,
        progress: &Progress,
    ) -> Result<PreparedData> {
        self.check()?;
        let step = progress.step(Step::Read);
        let in_source = |error: Error| error.in_stage(self.source.name());
        let snapshot = self.source.snapshot(engine).await.map_err(in_source)?;
        let unchanged = snapshot.is_some();
        let snapshot = match snapshot {
            Some(snapshot) => snapshot,
            None => Fingerprint::unique()?,
        };
        let key = |configuration| key_of(&self.source, &snapshot, engine, configuration);
        let extraction = key(Configuration::Division(&self.plan.division))?;
        let fingerprint = key(Configuration::Plan(&self.plan))?;
        let place = dir.join(extraction.short());
        let earlier = if unchanged {
            reopen(&self.plan.division.split, &place)?
        } else {
            None
        };
        let extracted = match earlier {
            Some(extracted) => extracted,
            None => match self.extract(engine, &Place::At(place.clone()), &step).await {
                // Another run of the same extraction was faster.
                Err(error) if unchanged && error.kind() == ErrorKind::AlreadyExists => {
                    reopen(&self.plan.division.split, &place)?.ok_or(error)?
                }
                extracted => extracted?,
            },
        };
        drop(step);
        let aside = KeptRows {
            dir,
            extraction: Some(&extraction),
            readers: Readers::User,
        };
        self.plan
            .prepare(extracted, aside, fingerprint, engine, progress)
            .await
    }

    /// Reads the source and writes its labelled rows by split.
    pub(super) async fn extract(
        &self,
        engine: &Engine,
        place: &Place,
        step: &RunningStep,
    ) -> Result<Extracted> {
        let in_source = |error: Error| error.in_stage(self.source.name());
        let rows = self.source.read(engine).await.map_err(in_source)?;
        let explain = |error: Error, columns: &ArrowSchema| self.source.explain(error, columns);
        extract(rows, &explain, &self.plan.division, engine, place, step)
            .await
            .map_err(in_source)
    }
}

/// The destination of rows that are kept when others are set aside.
#[derive(Clone, Copy)]
pub(super) struct KeptRows<'a> {
    pub(super) dir: &'a Path,
    /// The key of what was extracted; without one, rows are kept by their digest.
    pub(super) extraction: Option<&'a Fingerprint>,
    pub(super) readers: Readers,
}

impl KeptRows<'_> {
    fn place(&self, of: &impl Serialize) -> Result<Place> {
        Ok(match self.extraction {
            Some(extraction) => {
                let kept = Fingerprint::of(&(extraction, of))?;
                Place::At(self.dir.join(format!("{}-kept", kept.short())))
            }
            None => Place::ByDigest(self.dir.to_owned(), self.readers),
        })
    }
}

impl DataPlan {
    pub(super) async fn prepare(
        &self,
        extracted: Extracted,
        kept_rows: KeptRows<'_>,
        fingerprint: Fingerprint,
        engine: &Engine,
        progress: &Progress,
    ) -> Result<PreparedData> {
        let label = self.division.label()?;
        let in_validate = |error: Error| error.in_stage("validate");
        let mut extracted = extracted;
        let step = progress.step(Step::Analyse);
        let (mut statistics, mut whole) = analyse(engine, &extracted.splits).await?;
        self.need_rows(label, &statistics, &whole, &extracted)
            .map_err(in_validate)?;
        let columns = [
            ("weights'", &self.weight_column),
            ("groups'", &self.group_column),
        ];
        for (whose, column) in columns {
            let Some(column) = column else { continue };
            let fields = extracted.splits[TRAIN].schema().fields().iter();
            let names = fields.map(|field| field.name().as_str());
            if !names.clone().any(|name| name == column) {
                return Err(Error::config(format!(
                    "the {whose} column `{column}` is not in the data{}",
                    near_names(column, names)
                ))
                .in_stage("label"));
            }
        }
        let schema = match &self.schema {
            Some(schema) => schema.clone(),
            None => Schema::infer(&whole),
        };
        let schema = schema.training_only([label.name()].into_iter().chain(self.not_features()));
        let mut found = self.validate(&schema, &statistics, &whole)?;
        let mut quarantined = None;
        let rules = rules_of_rows(&schema, found.anomalies.values().flatten());
        if self.on_anomaly == AnomalyPolicy::Quarantine && !rules.is_empty() {
            let place = kept_rows.place(&(&schema, &rules))?;
            let row_group = self.division.load.row_group_rows;
            let (rest, aside) = quarantine(
                extracted,
                &self.division.split,
                &schema,
                rules,
                row_group,
                &place,
            )
            .await
            .map_err(in_validate)?;
            extracted = rest;
            quarantined = (aside.n_rows > 0).then_some(aside);
            (statistics, whole) = analyse(engine, &extracted.splits).await?;
            self.need_rows(label, &statistics, &whole, &extracted)
                .map_err(in_validate)?;
            found = self.validate(&schema, &statistics, &whole)?;
        }
        let Validated {
            anomalies,
            comparisons,
        } = found.under(self.on_anomaly).map_err(in_validate)?;
        let Extracted { splits, note, dir } = extracted;
        let target = Target::infer(statistics[TRAIN].column(label.name())?, self.task)
            .and_then(|target| label.orient(target))
            .map_err(|error| error.in_stage("label"))?;
        let target = self.with_columns(target);
        let weighting = Weighting::new(
            self.class_weights.as_ref(),
            &target,
            statistics[TRAIN].column(label.name())?,
        )
        .map_err(|error| error.in_stage("weights"))?;
        let stands_for = note.stands_for(&target)?;
        drop(step);

        let transform = self
            .transform_plan(label, &schema, &splits[TRAIN], &statistics[TRAIN])
            .map_err(|error| error.in_stage("transform"))?
            .with_left_out([self.left_out(), left_out(&note.remarks)].concat());
        let mut warnings = warnings(label, &note, quarantined.as_ref());
        warnings.extend(parted_groups(&self.division.split, target.group()));
        warnings.extend(near_equal_spellings(&statistics[TRAIN]));
        let leaks = leaking_columns(&splits[TRAIN], &target, &transform.columns());
        warnings.extend(leaks.map_err(|error| error.in_stage("analyse"))?);
        for warning in &warnings {
            progress.tell(&Event::Warned(warning.clone()));
        }

        Ok(PreparedData {
            splits,
            statistics,
            schema,
            target,
            weighting,
            transform: Arc::new(transform),
            warnings,
            anomalies,
            comparisons,
            quarantined,
            n_unlabelled: note.n_unlabelled,
            split: self.division.split.clone(),
            stands_for,
            fingerprint,
            dir,
        })
    }

    /// The target with the columns that say something of each row's place.
    fn with_columns(&self, mut target: Target) -> Target {
        if let Some(column) = &self.weight_column {
            target = target.with_weight(column);
        }
        if let Some(column) = &self.group_column {
            target = target.with_group(column);
        }
        if let Some(column) = self.division.split.time_column() {
            target = target.with_time(column);
        }
        target
    }

    fn transform_plan(
        &self,
        label: &Label,
        schema: &Schema,
        examples: &Examples,
        train: &Statistics,
    ) -> Result<TransformPlan> {
        let columns = || train.columns.iter().filter(|column| !column.nested);
        let known = || columns().map(|column| column.name.as_str());
        for excluded in &self.exclude {
            if !known().any(|name| name == excluded) {
                return Err(Error::config(format!(
                    "column `{excluded}` is excluded and not in the data{}",
                    near_names(excluded, known())
                )));
            }
        }
        let fields: HashMap<&str, &Field> = (schema.fields.iter())
            .map(|field| (field.name.as_str(), field))
            .collect();
        let is_feature = |name: &&str| {
            *name != label.name()
                && !self.not_features().any(|other| other == *name)
                && !self.exclude.iter().any(|excluded| excluded == name)
                && (fields.get(name)).is_some_and(|field| field.lifecycle.is_feature())
        };
        let columns = known().filter(is_feature);
        let is_optional =
            |name: &&str| (fields.get(name)).is_some_and(|field| !field.is_required());
        let plan = TransformPlan::new(
            self.transform.clone(),
            Arc::new(train.clone()),
            columns.map(str::to_owned).collect(),
            known().filter(is_optional).map(str::to_owned).collect(),
        );
        plan.check(examples.schema(), Roles::label(label.name()))?;
        Ok(plan)
    }
}

/// The statistics of each split, and of all rows together.
async fn analyse(
    engine: &Engine,
    splits: &BTreeMap<String, Examples>,
) -> Result<(BTreeMap<String, Statistics>, Statistics)> {
    let mut statistics = BTreeMap::new();
    let mut whole: Option<StatisticsAccumulator> = None;
    for (name, examples) in splits {
        let part = examples
            .accumulate(engine, &[], StatisticsAccumulator::new(examples.schema()))
            .await
            .map_err(|error| error.in_stage("analyse"))?;
        statistics.insert(name.clone(), part.finish());
        match &mut whole {
            Some(whole) => whole.merge(part)?,
            None => whole = Some(part),
        }
    }
    let whole = whole.map(|whole| whole.finish()).unwrap_or_default();
    Ok((statistics, whole))
}
