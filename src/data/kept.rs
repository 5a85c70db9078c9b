//! Prepared data as artifacts, and the steps of the data pipeline one by one: what a pipeline with a root runs.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::extract::{Extracted, reopen};
use super::key::{Configuration, described};
use super::policy::quarantined_in;
use super::prepare::KeptRows;
use super::{DataPipeline, DataSource, PreparedData, Quarantined, TRAIN};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::model::{Target, Weighting, load_json, save_json};
use crate::progress::{Progress, Step};
use crate::runs::{ArtifactId, InputFile, Root, Task};
use crate::schema::{Anomaly, Comparison, Schema};
use crate::statistics::Statistics;
use crate::store::Place;
use crate::transform::{Decision, Operations, TransformPlan};
use crate::warning::Warning;

/// The artifacts that prepared data is.
pub(crate) const EXAMPLES: &str = "examples";
pub(crate) const STATISTICS: &str = "statistics";
pub(crate) const SCHEMA: &str = "schema";
pub(crate) const ANOMALIES: &str = "anomalies";
pub(crate) const PREPARED: &str = "prepared";

/// Raised when the meaning of extracting or preparing changes while the formats do not.
const EXTRACT_VERSION: u32 = 1;
const PREPARE_VERSION: u32 = 1;

/// The version of the form of [`Prepared`] and [`Found`].
const FORMAT_VERSION: u32 = 1;

/// All of prepared data that is in no other artifact.
#[derive(Serialize, Deserialize)]
struct Prepared {
    format_version: u32,
    rows: BTreeMap<String, u64>,
    target: Target,
    weighting: Weighting,
    columns: Vec<String>,
    optional: Vec<String>,
    left_out: Vec<Decision>,
    n_unlabelled: u64,
    stands_for: Option<Vec<f64>>,
    /// The rest that training depends on: how rows were divided and labelled, and the configured transform. Kept so that
    /// another one is another artifact.
    configured: Value,
}

/// Facts about the data that no stage depends on.
#[derive(Serialize, Deserialize)]
struct Found {
    format_version: u32,
    anomalies: BTreeMap<String, Vec<Anomaly>>,
    comparisons: Vec<Comparison>,
    is_quarantined: bool,
    warnings: Vec<Warning>,
}

/// Prepared data in brief.
#[derive(Clone, Debug)]
pub(crate) struct DataFacts {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) rows: BTreeMap<String, u64>,
    pub(crate) n_unlabelled: u64,
    pub(crate) schema: Schema,
    /// The statistics of the `train` split, without sketches.
    pub(crate) statistics: Statistics,
    pub(crate) anomalies: BTreeMap<String, Vec<Anomaly>>,
    pub(crate) comparisons: Vec<Comparison>,
    pub(crate) quarantined: Option<Quarantined>,
    pub(crate) warnings: Vec<Warning>,
}

impl<S: DataSource> DataPipeline<S> {
    /// The fingerprint of the source and of its files; none for a source without a snapshot.
    pub(crate) async fn look(
        &self,
        engine: &Engine,
    ) -> Result<(Option<Vec<InputFile>>, Option<Fingerprint>)> {
        let in_source = |error: Error| error.in_stage(self.source.name());
        match self.source.files(engine).await.map_err(in_source)? {
            Some(files) => Ok((Some(files), None)),
            None => {
                let snapshot = self.source.snapshot(engine).await;
                Ok((None, snapshot.map_err(in_source)?))
            }
        }
    }

    /// The extraction as an execution, without the content of the source.
    pub(crate) fn extract_task(&self, engine: &Engine) -> Result<Task> {
        let division = Configuration::Division(&self.plan.division);
        let configuration = described(Some(&self.source), engine, division)?;
        let name = self.source.name();
        Ok(Task::new("extract", name, EXTRACT_VERSION, configuration))
    }

    /// The preparation as an execution.
    pub(crate) fn prepare_task(&self, engine: &Engine, examples: &ArtifactId) -> Result<Task> {
        let configuration = described(None::<&S>, engine, Configuration::Plan(&self.plan))?;
        let task = Task::new("prepare", "data_pipeline", PREPARE_VERSION, configuration);
        Ok(task.inputs([examples]))
    }

    /// Reads the source and keeps its labelled rows by split.
    pub(crate) async fn extract_to(
        &self,
        root: &Root,
        engine: &Engine,
        progress: &Progress,
    ) -> Result<(Extracted, ArtifactId)> {
        let step = progress.step(Step::Read);
        let place = Place::ByDigest(root.kind_dir(EXAMPLES), root.readers());
        let extracted = self.extract(engine, &place, &step).await?;
        let id = ArtifactId::of_dir(EXAMPLES, extracted.dir())?;
        Ok((extracted, id))
    }

    /// The examples of an earlier extraction.
    pub(crate) fn reopen(&self, root: &Root, examples: &ArtifactId) -> Result<Extracted> {
        // Reopening checks the digests of the files.
        let found = reopen(&self.plan.division.split, &root.dir_of(examples))?;
        found.ok_or_else(|| {
            Error::not_found(format!(
                "artifact {} is not in `{}`, or has no rows",
                examples.short(),
                root.path().display()
            ))
        })
    }

    /// Analyses and validates examples.
    pub(crate) async fn prepare_in(
        &self,
        root: &Root,
        extracted: Extracted,
        engine: &Engine,
        progress: &Progress,
    ) -> Result<PreparedData> {
        let dir = root.kind_dir(EXAMPLES);
        let kept_rows = KeptRows {
            dir: &dir,
            extraction: None,
            readers: root.readers(),
        };
        // It is that of what comes out, once that is known.
        let fingerprint = Fingerprint::of_bytes("");
        self.plan
            .prepare(extracted, kept_rows, fingerprint, engine, progress)
            .await
    }

    /// Prepared data from its artifacts.
    pub(crate) fn load(&self, root: &Root, outputs: &[ArtifactId]) -> Result<PreparedData> {
        let of = |kind| find(outputs, kind);
        let extracted = self.reopen(root, of(EXAMPLES)?)?;
        let statistics: BTreeMap<String, Statistics> =
            load_json(&root.checked_dir(of(STATISTICS)?)?, STATISTICS_FILE)?;
        let prepared = Prepared::load(root, of(PREPARED)?)?;
        let facts = DataFacts::load(root, outputs)?;
        let train = statistics.get(TRAIN).cloned().unwrap_or_default();
        let transform = TransformPlan::new(
            self.plan.transform.clone(),
            Arc::new(train),
            prepared.columns,
            prepared.optional,
        );
        Ok(PreparedData {
            dir: extracted.dir().to_owned(),
            splits: extracted.splits,
            statistics,
            schema: facts.schema,
            anomalies: facts.anomalies,
            comparisons: facts.comparisons,
            quarantined: facts.quarantined,
            target: prepared.target,
            weighting: prepared.weighting,
            transform: Arc::new(transform.with_left_out(prepared.left_out)),
            n_unlabelled: prepared.n_unlabelled,
            warnings: facts.warnings,
            split: self.plan.division.split.clone(),
            stands_for: prepared.stands_for,
            fingerprint: facts.fingerprint,
        })
    }

    /// Keeps prepared data: its artifacts, those of the rows too.
    pub(crate) fn keep(&self, root: &Root, data: &mut PreparedData) -> Result<Vec<ArtifactId>> {
        let statistics = root.put_dir(STATISTICS, |dir| {
            save_json(dir, STATISTICS_FILE, &data.statistics)?;
            save_json(dir, SUMMARY_FILE, &summary(data))
        })?;
        let schema = root.put_dir(SCHEMA, |dir| save_json(dir, SCHEMA_FILE, &data.schema))?;
        let (choice, optional, left_out) = data.transform.parts();
        let division = &self.plan.division;
        let prepared = Prepared {
            format_version: FORMAT_VERSION,
            rows: rows(data),
            target: data.target.clone(),
            weighting: data.weighting.clone(),
            columns: data
                .transform
                .columns()
                .into_iter()
                .map(str::to_owned)
                .collect(),
            optional: optional.to_vec(),
            left_out: left_out.to_vec(),
            n_unlabelled: data.n_unlabelled,
            stands_for: data.stands_for.clone(),
            configured: crate::stage::Configuration::to_value(&(
                choice,
                &division.split,
                &division.label,
            ))?,
        };
        let prepared = root.put_dir(PREPARED, |dir| save_json(dir, PREPARED_FILE, &prepared))?;
        let found = Found {
            format_version: FORMAT_VERSION,
            anomalies: data.anomalies.clone(),
            comparisons: data.comparisons.clone(),
            is_quarantined: data.quarantined.is_some(),
            warnings: data.warnings.clone(),
        };
        let anomalies = root.put_dir(ANOMALIES, |dir| save_json(dir, FOUND_FILE, &found))?;
        let examples = ArtifactId::of_dir(EXAMPLES, &data.dir)?;
        let outputs = vec![examples, statistics, schema, anomalies, prepared];
        data.fingerprint = fingerprint(&outputs)?;
        Ok(outputs)
    }

    /// The custom operations of the configured transform.
    pub(crate) fn operations(&self) -> Operations {
        self.plan.transform.operations()
    }
}

const STATISTICS_FILE: &str = "statistics.json";
const SUMMARY_FILE: &str = "summary.json";
const SCHEMA_FILE: &str = "schema.json";
const PREPARED_FILE: &str = "prepared.json";
const FOUND_FILE: &str = "anomalies.json";

fn find<'a>(outputs: &'a [ArtifactId], kind: &str) -> Result<&'a ArtifactId> {
    let found = outputs.iter().find(|output| output.kind() == kind);
    found.ok_or_else(|| Error::internal(format!("prepared data without `{kind}`")))
}

/// The identity of the data that models record: its content, not its origin.
fn fingerprint(outputs: &[ArtifactId]) -> Result<Fingerprint> {
    let kinds = [EXAMPLES, STATISTICS, SCHEMA, PREPARED].map(|kind| find(outputs, kind));
    let digests = kinds.into_iter().map(|id| id.map(ArtifactId::digest));
    Fingerprint::of(&digests.collect::<Result<Vec<_>>>()?)
}

fn rows(data: &PreparedData) -> BTreeMap<String, u64> {
    let splits = data.splits.iter();
    splits
        .map(|(name, examples)| (name.clone(), examples.n_rows() as u64))
        .collect()
}

fn summary(data: &PreparedData) -> Statistics {
    let train = data.statistics.get(TRAIN);
    train.map(Statistics::without_sketches).unwrap_or_default()
}

impl Prepared {
    fn load(root: &Root, id: &ArtifactId) -> Result<Self> {
        let dir = root.checked_dir(id)?;
        let prepared: Prepared = load_json(&dir, PREPARED_FILE)?;
        check_version(&dir, prepared.format_version)?;
        Ok(prepared)
    }
}

fn check_version(dir: &Path, found: u32) -> Result<()> {
    if found == FORMAT_VERSION {
        return Ok(());
    }
    Err(Error::new(
        crate::ErrorKind::Unsupported,
        format!(
            "`{}` is of format version {found}, this build reads {FORMAT_VERSION}",
            dir.display()
        ),
    ))
}

impl DataFacts {
    pub(crate) fn of(data: &PreparedData) -> Self {
        DataFacts {
            fingerprint: data.fingerprint.clone(),
            rows: rows(data),
            n_unlabelled: data.n_unlabelled,
            schema: data.schema.clone(),
            statistics: summary(data),
            anomalies: data.anomalies.clone(),
            comparisons: data.comparisons.clone(),
            quarantined: data.quarantined.clone(),
            warnings: data.warnings.clone(),
        }
    }

    pub(crate) fn load(root: &Root, outputs: &[ArtifactId]) -> Result<Self> {
        let of = |kind| find(outputs, kind);
        let prepared = Prepared::load(root, of(PREPARED)?)?;
        let dir = root.checked_dir(of(ANOMALIES)?)?;
        let found: Found = load_json(&dir, FOUND_FILE)?;
        check_version(&dir, found.format_version)?;
        let quarantined = match found.is_quarantined {
            true => Some(quarantined_in(&root.dir_of(of(EXAMPLES)?))?),
            false => None,
        };
        Ok(DataFacts {
            fingerprint: fingerprint(outputs)?,
            rows: prepared.rows,
            n_unlabelled: prepared.n_unlabelled,
            schema: load_json(&root.checked_dir(of(SCHEMA)?)?, SCHEMA_FILE)?,
            statistics: load_json(&root.checked_dir(of(STATISTICS)?)?, SUMMARY_FILE)?,
            anomalies: found.anomalies,
            comparisons: found.comparisons,
            quarantined,
            warnings: found.warnings,
        })
    }
}
