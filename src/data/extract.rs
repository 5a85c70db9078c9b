//! Reading a source once, and writing its labelled rows by split.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{BooleanArray, RecordBatch, UInt64Array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Schema as ArrowSchema, SchemaRef};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool};
use datafusion::physical_plan::execute_stream_partitioned;
use datafusion::prelude::DataFrame;
use futures_util::StreamExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::load::Load;
use super::source::check_names;
use super::split_writer::SplitWriter;
use super::text::{Remark, remarks_of};
use super::turns::{Keys, Turns};
use super::{Label, Split, TRAIN};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::examples::{ExampleFile, Examples, ROW_KEY, with_row_key, without_row_key};
use crate::model::{Target, load_json, save_json};
use crate::progress::RunningStep;
use crate::schema::{normalize_batch, normalized_schema};
use crate::store::{self, Aside, Place};

/// The splits of a source.
#[derive(Debug)]
pub(crate) struct Extracted {
    pub(super) splits: BTreeMap<String, Examples>,
    pub(super) note: Note,
    /// The directory that they are in.
    pub(super) dir: PathBuf,
}

impl Extracted {
    /// The directory that the splits are in.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }
}

/// Metadata of an extraction.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Note {
    /// Rows without a label.
    pub(super) n_unlabelled: u64,
    /// For how many rows of the data one of the `train` split stands, by class, if the classes were rebalanced.
    pub(super) rebalanced: BTreeMap<String, f64>,
    /// The remarks of the source about its columns.
    #[serde(default)]
    pub(super) remarks: Vec<Remark>,
}

impl Note {
    /// For how many rows of the data one row of each of the target's classes stands, if they were rebalanced.
    pub(super) fn stands_for(&self, target: &Target) -> Result<Option<Vec<f64>>> {
        if self.rebalanced.is_empty() || target.classes().is_empty() {
            return Ok(None);
        }
        // A number may be written in more than one way.
        let same = |one: &str, other: &str| {
            one == other
                || matches!((one.parse::<f64>(), other.parse::<f64>()), (Ok(a), Ok(b)) if a == b)
        };
        let of = |class: &String| {
            let mut classes = self.rebalanced.iter();
            let found = classes.find(|(other, _)| same(other, class));
            let found = found.map(|(_, stands_for)| *stands_for);
            found.ok_or_else(|| {
                Error::internal(format!(
                    "class `{class}` was not seen when classes were rebalanced"
                ))
            })
        };
        target
            .classes()
            .iter()
            .map(of)
            .collect::<Result<_>>()
            .map(Some)
    }
}

pub(super) const NOTE: &str = "examples.json";

/// The files written by one partition of the plan.
type PartFiles = Vec<(usize, ExampleFile)>;

/// Adds the source's knowledge to an error.
pub(super) type Explain<'a> = dyn Fn(Error, &ArrowSchema) -> Error + Send + Sync + 'a;

/// The reason why a part of the plan has stopped.
enum Stopped {
    /// The source failed, which can say more of it.
    Reading(Error),
    Dividing(Error),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Stopped::Dividing(error)
    }
}

/// The processing of rows on their way from the source: all that the output depends on besides the source and the
/// engine.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Division {
    pub(super) label: Option<Label>,
    pub(super) split: Split,
    pub(super) load: Load,
}

impl Division {
    pub(super) fn label(&self) -> Result<&Label> {
        let label = self.label.as_ref();
        label.ok_or_else(|| Error::config("there is no label; call `.label(\"column\")`"))
    }
}

struct Extraction {
    division: Division,
    raw: SchemaRef,
    /// The examples' columns, and the rows' keys.
    schema: SchemaRef,
    dir: PathBuf,
    pool: Arc<dyn MemoryPool>,
    n_read: AtomicU64,
    n_unlabelled: AtomicU64,
}

/// Runs the plan; every part of it writes its own file of every split, so the order of rows is that of the source
/// whatever the number of threads.
pub(super) async fn extract(
    rows: DataFrame,
    explain: &Explain<'_>,
    division: &Division,
    engine: &Engine,
    place: &Place,
    step: &RunningStep,
) -> Result<Extracted> {
    let Division { split, load, .. } = division;
    let label = division.label()?;
    if rows.schema().fields().is_empty() {
        return Err(Error::data("the data has no columns"));
    }
    let names = rows.schema().fields().iter();
    let names: Vec<&str> = names
        .map(|field| field.name().as_str())
        .chain([ROW_KEY])
        .collect();
    check_names(names)?;
    let remarks = remarks_of(rows.schema().as_arrow());
    let raw = normalized_schema(rows.schema().as_arrow());
    let aside = Aside::to(place)?;
    for name in split.names() {
        let dir = aside.path().join(split_dir(name));
        std::fs::create_dir(&dir)
            .map_err(|error| Error::io(format!("writing `{}`", dir.display()), error))?;
    }
    let extraction = Arc::new(Extraction {
        division: division.clone(),
        schema: with_row_key(&label.schema(&raw)?),
        raw,
        dir: aside.path().to_owned(),
        pool: Arc::clone(&engine.session().runtime_env().memory_pool),
        n_read: AtomicU64::new(0),
        n_unlabelled: AtomicU64::new(0),
    });
    // The keys are checked before the first row is read.
    split.assign(&RecordBatch::new_empty(Arc::clone(&extraction.raw)))?;

    let plan = rows.create_physical_plan().await?;
    let streams = execute_stream_partitioned(plan, engine.session().task_ctx())?;
    let turns: Vec<Option<Turns>> = match split.counts_equal_rows() {
        true => Turns::of(streams.len(), engine)
            .into_iter()
            .map(Some)
            .collect(),
        false => streams.iter().map(|_| None).collect(),
    };
    let mut parts = tokio::task::JoinSet::new();
    for (number, (stream, turns)) in streams.into_iter().zip(turns).enumerate() {
        let extraction = Arc::clone(&extraction);
        parts.spawn(async move { (number, extraction.part(number, stream, turns).await) });
    }
    let mut written: BTreeMap<usize, PartFiles> = BTreeMap::new();
    while let Some(part) = parts.join_next().await {
        let part = match part {
            Ok((number, Ok(files))) => Ok((number, files)),
            Ok((_, Err(Stopped::Reading(error)))) => Err(explain(error, &extraction.raw)),
            Ok((_, Err(Stopped::Dividing(error)))) => Err(error),
            Err(error) => {
                Err(Error::internal("a part of the extraction stopped").with_source(error))
            }
        };
        let (number, files) = match part {
            Ok(part) => part,
            Err(error) => {
                // The folder is removed once there are no more writers.
                parts.shutdown().await;
                return Err(error);
            }
        };
        written.insert(number, files);
        step.advance(extraction.n_read.load(Ordering::Relaxed), None);
    }
    let n_read = extraction.n_read.load(Ordering::Relaxed);
    if n_read == 0 {
        return Err(explain(Error::data("there are no rows"), &extraction.raw));
    }
    let mut files: Vec<Vec<ExampleFile>> = vec![Vec::new(); split.names().count()];
    for (index, file) in written.into_values().flatten() {
        files[index].push(file);
    }
    let mut rebalanced = BTreeMap::new();
    if let Some(train) = split.names().position(|name| name == TRAIN) {
        let unbalanced = std::mem::take(&mut files[train]);
        (files[train], rebalanced) =
            load.rebalance(label.name(), &extraction.schema, unbalanced)?;
    }
    let n_unlabelled = extraction.n_unlabelled.load(Ordering::Relaxed);
    if files.iter().flatten().all(|file| file.n_rows == 0) {
        return Err(no_rows_left(label, load, n_read, n_unlabelled, &remarks));
    }
    let note = Note {
        n_unlabelled,
        rebalanced,
        remarks,
    };
    save_json(aside.path(), NOTE, &note)?;
    let committed = tokio::task::spawn_blocking(move || aside.commit());
    let place = committed
        .await
        .map_err(|error| Error::internal("writing examples panicked").with_source(error))??;

    for file in files.iter_mut().flatten() {
        if let Ok(relative) = file.path.strip_prefix(&extraction.dir) {
            file.path = place.join(relative);
        }
    }
    let schema = without_row_key(&extraction.schema);
    let splits = split
        .names()
        .zip(files)
        .map(|(name, files)| {
            (
                name.to_owned(),
                Examples::from_files(Arc::clone(&schema), files),
            )
        })
        .collect();
    Ok(Extracted {
        splits,
        note,
        dir: place,
    })
}

/// The error that no row is in any split.
fn no_rows_left(
    label: &Label,
    load: &Load,
    n_read: u64,
    n_unlabelled: u64,
    remarks: &[Remark],
) -> Error {
    match (n_unlabelled, load.sample) {
        (0, Some(fraction)) => Error::data(format!(
            "none of {n_read} rows is in the sample of {fraction} of the rows; make it larger"
        )),
        (0, None) => Error::data(format!("rebalancing leaves none of {n_read} rows")),
        _ => no_labels(label, n_unlabelled, remarks),
    }
}

pub(super) fn no_labels(label: &Label, n_rows: u64, remarks: &[Remark]) -> Error {
    let of_label = |remark: &&Remark| remark.column.as_deref() == Some(label.name());
    let remark = remarks.iter().find(of_label);
    let why = remark.map_or_else(String::new, |remark| format!("; {}", remark.message));
    Error::data(format!(
        "label `{}` has no value in any of {n_rows} rows{why}",
        label.name()
    ))
    .in_stage("validate")
}

/// The splits that an earlier extraction has left at `place`, if they are whole.
pub(super) fn reopen(split: &Split, place: &Path) -> Result<Option<Extracted>> {
    if !place.is_dir() {
        return Ok(None);
    }
    store::verify_dir(place)?;
    let mut found: Vec<(String, Vec<ExampleFile>)> = Vec::new();
    let mut schema = None;
    for name in split.names() {
        let dir = place.join(split_dir(name));
        let failed = |error| Error::io(format!("reading `{}`", dir.display()), error);
        let mut paths = std::fs::read_dir(&dir)
            .map_err(failed)?
            .map(|entry| Ok(entry?.path()))
            .collect::<std::io::Result<Vec<PathBuf>>>()
            .map_err(failed)?;
        paths.sort_unstable();
        let mut files = Vec::new();
        for path in paths {
            let file = File::open(&path).map_err(failed)?;
            let reader = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| {
                Error::corrupt(format!(
                    "`{}` is not a readable Parquet file",
                    path.display()
                ))
                .with_source(error)
            })?;
            let n_rows =
                usize::try_from(reader.metadata().file_metadata().num_rows()).unwrap_or_default();
            schema.get_or_insert_with(|| Arc::clone(reader.schema()));
            files.push(ExampleFile { path, n_rows });
        }
        found.push((name.to_owned(), files));
    }
    let note = load_json(place, NOTE)?;
    Ok(schema.map(|schema| {
        let schema = normalized_schema(&without_row_key(&schema));
        let examples = |files| Examples::from_files(Arc::clone(&schema), files);
        Extracted {
            splits: found
                .into_iter()
                .map(|(name, files)| (name, examples(files)))
                .collect(),
            note,
            dir: place.to_owned(),
        }
    }))
}

/// The directory of a split, as TFX names it.
pub(super) fn split_dir(name: &str) -> String {
    format!("Split-{name}")
}

/// The number of batches of a partition that are buffered before splitting.
const READ_AHEAD: usize = 2;

/// Rows, and their keys.
type ReadBatch = (RecordBatch, RowKeys);

enum RowKeys {
    Known(Vec<u64>),
    Counted(Keys),
}

impl Extraction {
    /// Reads the rows of a part and says which keys they have, ahead of what is done with them.
    async fn read(
        &self,
        mut stream: SendableRecordBatchStream,
        mut turns: Option<Turns>,
        to: &mpsc::Sender<Result<ReadBatch, Stopped>>,
    ) -> Result<(), Stopped> {
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(|error| Stopped::Reading(error.into()))?;
            self.n_read
                .fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
            let batch = normalize_batch(&batch, &self.raw)?;
            let keys = self.division.split.key_hashes(&batch)?;
            let keys = match &mut turns {
                Some(turns) => RowKeys::Counted(turns.ask(keys).await?),
                None => RowKeys::Known(keys),
            };
            if to.send(Ok((batch, keys))).await.is_err() {
                // The part has failed.
                break;
            }
        }
        Ok(())
    }

    async fn part(
        self: Arc<Self>,
        number: usize,
        stream: SendableRecordBatchStream,
        turns: Option<Turns>,
    ) -> Result<PartFiles, Stopped> {
        let (to, mut batches) = mpsc::channel(READ_AHEAD);
        let reading = Arc::clone(&self);
        let reader = tokio::spawn(async move {
            if let Err(stopped) = reading.read(stream, turns, &to).await {
                // Unless the part has failed already.
                let _ = to.send(Err(stopped)).await;
            }
        });
        let mut writers: Vec<Option<SplitWriter>> =
            self.division.split.names().map(|_| None).collect();
        let buffered = MemoryConsumer::new("examples to be written").register(&self.pool);
        while let Some(read) = batches.recv().await {
            let (mut batch, keys) = read?;
            let mut keys = match keys {
                RowKeys::Known(keys) => keys,
                RowKeys::Counted(keys) => keys.counted().await?,
            };
            if let Some(within) = self.division.load.within_sample(&keys) {
                batch = filter_record_batch(&batch, &within).map_err(Error::from)?;
                keys = keys
                    .into_iter()
                    .zip(within.values())
                    .filter_map(|(key, within)| within.then_some(key))
                    .collect();
            }
            let assigned = self.division.split.place(&batch, &keys)?;
            let batch = keyed(&batch, keys)?;
            for (index, name) in self.division.split.names().enumerate() {
                let members: BooleanArray = assigned.iter().map(|at| Some(*at == index)).collect();
                let rows = filter_record_batch(&batch, &members).map_err(Error::from)?;
                let n_rows = rows.num_rows();
                let rows = self.division.label()?.apply(&rows, &self.schema)?;
                self.n_unlabelled
                    .fetch_add((n_rows - rows.num_rows()) as u64, Ordering::Relaxed);
                if rows.num_rows() == 0 {
                    continue;
                }
                let writer = match &mut writers[index] {
                    Some(writer) => writer,
                    empty => {
                        let file = format!("part-{number:05}.parquet");
                        let path = self.dir.join(split_dir(name)).join(file);
                        let row_group = self.division.load.row_group_rows;
                        empty.insert(SplitWriter::create(path, &self.schema, row_group)?)
                    }
                };
                writer.write(&rows)?;
            }
            let held = writers.iter().flatten().map(SplitWriter::held_bytes);
            buffered.try_resize(held.sum()).map_err(Error::from)?;
        }
        // Rows that were not read must not be taken for the end.
        reader
            .await
            .map_err(|error| Error::internal("reading a part stopped").with_source(error))?;
        writers
            .into_iter()
            .enumerate()
            .filter_map(|(index, writer)| Some((index, writer?)))
            .map(|(index, writer)| Ok((index, writer.finish()?)))
            .collect()
    }
}

/// A batch with the rows' keys behind its columns.
fn keyed(batch: &RecordBatch, keys: Vec<u64>) -> Result<RecordBatch> {
    let mut columns = batch.columns().to_vec();
    columns.push(Arc::new(UInt64Array::from(keys)));
    Ok(RecordBatch::try_new(
        with_row_key(&batch.schema()),
        columns,
    )?)
}
