//! Segments: Parquet files of older records.
//!
//! A segment holds records of one kind, sorted by their lookup key: executions by their key, runs by their id. It is named by
//! the digest of its bytes and never changes. A record is written into a segment before its own file is removed, so a reader
//! that reads the files first and the segments second finds every record at least once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, UInt64Array};
use arrow::datatypes::UInt64Type;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::{KeyValue, RowGroupMetaData};
use parquet::file::properties::WriterProperties;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Root;
use super::record::{Execution, Run, State};
use super::records::read_record;
use crate::error::{Error, ErrorKind, Result};
use crate::fingerprint::Fingerprint;
use crate::store;

/// A kind of record that segments hold.
pub(super) trait Record: Serialize + DeserializeOwned {
    /// The prefix of the names of its segments.
    const KIND: &'static str;
    /// The lookup key.
    fn key(&self) -> &str;
    fn id(&self) -> &str;
    fn started_ms(&self) -> u64;
}

impl Record for Execution {
    const KIND: &'static str = "executions";

    fn key(&self) -> &str {
        self.key.as_str()
    }

    fn id(&self) -> &str {
        &self.id
    }

    fn started_ms(&self) -> u64 {
        self.started_ms
    }
}

impl Record for Run {
    const KIND: &'static str = "runs";

    fn key(&self) -> &str {
        &self.id
    }

    fn id(&self) -> &str {
        &self.id
    }

    fn started_ms(&self) -> u64 {
        self.started_ms
    }
}

/// Segments that were read, by their names.
#[derive(Clone, Debug, Default)]
pub(super) struct Cache(Arc<Mutex<BTreeMap<String, Segment>>>);

#[derive(Clone, Debug)]
struct Segment {
    bytes: Bytes,
    metadata: ArrowReaderMetadata,
}

/// The columns of a segment.
const COLUMNS: [&str; 4] = ["key", "id", "started_ms", "record"];
const KEY: usize = 0;
const ID: usize = 1;
const RECORD: usize = 3;

/// The version of the format, in the metadata of the files.
const FORMAT_VERSION: u32 = 1;
const VERSION_KEY: &str = "fourfold.segment";

/// The maximum size of a segment in bytes.
const MAX_BYTES: u64 = 1 << 30;
/// The rows of a row group, which are read to look up one.
const ROWS_PER_GROUP: usize = 1_024;
/// Segments of fewer rows are merged with new records.
const SMALL: i64 = 20_000;
/// The number of settled records in files of their own that triggers a compaction.
const MANY_FILES: usize = 4_096;
/// The age at which a record has settled.
const SETTLED: Duration = Duration::from_secs(86_400);
/// The number of times a reader retries if a segment was replaced by a larger one in between.
const TRIES: usize = 8;

/// The result of [`Root::compact`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compacted {
    /// The number of executions that were moved into a segment.
    pub executions: usize,
    /// The number of runs that were moved into a segment.
    pub runs: usize,
}

impl Root {
    pub(super) fn segments_dir(&self) -> PathBuf {
        self.path().join("segments")
    }

    /// The names of the segments of a kind.
    fn segment_names(&self, kind: &str) -> Result<Vec<String>> {
        let dir = self.segments_dir();
        let failed = |error| Error::io(format!("reading directory `{}`", dir.display()), error);
        let entries = match std::fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.map_err(failed)?.file_name();
            if let Some(name) = name.to_str()
                && digest_in(name, kind).is_some()
            {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// The records of a kind in segments, of one key or all.
    pub(super) fn in_segments<R: Record>(&self, key: Option<&str>) -> Result<Vec<R>> {
        let mut tries = 0;
        'again: loop {
            let mut found = Vec::new();
            for name in self.segment_names(R::KIND)? {
                match self.segment(&name, R::KIND) {
                    Ok(segment) => found.extend(segment.records::<R>(key, &name)?),
                    Err(error) if error.kind() == ErrorKind::NotFound && tries < TRIES => {
                        tries += 1;
                        continue 'again;
                    }
                    Err(error) => return Err(error),
                }
            }
            return Ok(found);
        }
    }

    /// A segment. Its digest is checked when it is first read.
    fn segment(&self, name: &str, kind: &str) -> Result<Segment> {
        let lock = || {
            self.segments()
                .0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        if let Some(known) = lock().get(name) {
            return Ok(known.clone());
        }
        let path = self.segments_dir().join(name);
        let bytes = store::read_bytes(&path, MAX_BYTES)
            .map_err(|error| Error::io(format!("reading `{}`", path.display()), error))?;
        if digest_in(name, kind) != Some(Fingerprint::of_bytes(&bytes)) {
            return Err(Error::corrupt(format!(
                "`{}` was changed after it was written",
                path.display()
            )));
        }
        let bytes = Bytes::from(bytes);
        let metadata = ArrowReaderMetadata::load(&bytes, Default::default())
            .map_err(|error| unreadable(name, error))?;
        let segment = Segment { bytes, metadata };
        segment.check_version(name)?;
        lock().insert(name.to_owned(), segment.clone());
        Ok(segment)
    }

    /// Moves records that are older than a duration from files of their own into Parquet files, which are faster to read.
    /// Answers do not change. Runs compact by themselves when there are thousands of records. Records can be read and written
    /// during a compaction, and one process compacts at a time.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if a file cannot be written or removed, without loss of records; as [`Root::runs`].
    pub fn compact(&self, older_than: Duration) -> Result<Compacted> {
        let dir = self.segments_dir();
        if !self.path().is_dir() {
            return Ok(Compacted::default());
        }
        let failed = |error| Error::io(format!("writing `{}`", dir.display()), error);
        store::create_dir(&dir, self.readers()).map_err(failed)?;
        let mut options = std::fs::File::options();
        options.create(true).truncate(false).write(true);
        let lock = options.open(dir.join("lock")).map_err(failed)?;
        if lock.try_lock().is_err() {
            // Another process compacts.
            return Ok(Compacted::default());
        }
        store::sweep(&dir);
        let older_ms = u64::try_from(older_than.as_millis()).unwrap_or(u64::MAX);
        let before_ms = self.clock().now_ms().saturating_sub(older_ms);
        let mut executions = Vec::new();
        for path in self.execution_files()? {
            let execution: Option<Execution> = read_record(&path, "execution")?;
            let old = execution.filter(|execution| execution.started_ms < before_ms);
            executions.extend(old.map(|execution| (path, execution)));
        }
        let mut runs = Vec::new();
        let mut files = self.run_files()?;
        // The next run compares its clock with the newest.
        files.pop();
        for path in files {
            let run = self.read_run(&path)?;
            // A run that has not ended may still be written.
            let ended = |run: &Run| !matches!(run.state, State::Running | State::Killed);
            let old = run.filter(|run| run.started_ms < before_ms && ended(run));
            runs.extend(old.map(|run| (path, run)));
        }
        Ok(Compacted {
            executions: self.to_segment(executions)?,
            runs: self.to_segment(runs)?,
        })
    }

    /// Compacts if there seem to be many settled records, judged by the directory of a key.
    pub(super) fn compact_if_many(&self, key: &Fingerprint) -> Result<()> {
        let now = SystemTime::now();
        let has_settled = |entry: &std::fs::DirEntry| {
            let modified = entry.metadata().and_then(|metadata| metadata.modified());
            let age = modified
                .ok()
                .and_then(|modified| now.duration_since(modified).ok());
            age.is_some_and(|age| age > SETTLED)
        };
        let Ok(entries) = std::fs::read_dir(self.key_dir(key)) else {
            return Ok(());
        };
        // Keys are distributed evenly over 256 directories.
        match entries.flatten().filter(has_settled).count() * 256 > MANY_FILES {
            true => self.compact(SETTLED).map(drop),
            false => Ok(()),
        }
    }

    /// Writes records into a segment, together with those of small segments, and removes the files that held them.
    fn to_segment<R: Record>(&self, records: Vec<(PathBuf, R)>) -> Result<usize> {
        let names = self.segment_names(R::KIND)?;
        let (mut known, mut small) = (BTreeSet::new(), Vec::new());
        for name in names {
            let segment = self.segment(&name, R::KIND)?;
            known.extend(segment.ids(&name)?);
            if segment.n_rows() < SMALL {
                small.push((name, segment));
            }
        }
        let mut all = Vec::new();
        let mut files = Vec::new();
        for (path, record) in records {
            // An interrupted compaction may have written some already.
            if !known.contains(record.id()) {
                all.push(Row::of(&record)?);
            }
            files.push(path);
        }
        let n = files.len();
        if !all.is_empty() {
            for (name, segment) in &small {
                all.extend(segment.rows(name)?);
            }
            all.sort_unstable_by(|a, b| (&a.key, &a.id).cmp(&(&b.key, &b.id)));
            all.dedup_by(|a, b| a.id == b.id && a.key == b.key);
            let bytes = to_parquet(&all)?;
            let name = format!("{}-{}.parquet", R::KIND, Fingerprint::of_bytes(&bytes));
            store::write_file_for(&self.segments_dir().join(&name), &bytes, self.readers())?;
            for (old, _) in small.iter().filter(|(old, _)| *old != name) {
                store::remove_file(&self.segments_dir().join(old))?;
                let mut cache = self
                    .segments()
                    .0
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                cache.remove(old);
            }
        }
        files
            .iter()
            .try_for_each(|path: &PathBuf| store::remove_file(path))?;
        Ok(n)
    }
}

/// The digest in the name of a segment.
fn digest_in(name: &str, kind: &str) -> Option<Fingerprint> {
    let digest = name.strip_prefix(kind)?.strip_prefix('-')?;
    Fingerprint::from_hex(digest.strip_suffix(".parquet")?)
}

fn unreadable(name: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::corrupt(format!("segment `{name}` cannot be read")).with_source(error)
}

/// A record as a row.
struct Row {
    key: String,
    id: String,
    started_ms: u64,
    record: String,
}

impl Row {
    fn of(record: &impl Record) -> Result<Self> {
        Ok(Row {
            key: record.key().to_owned(),
            id: record.id().to_owned(),
            started_ms: record.started_ms(),
            record: serde_json::to_string(record).map_err(|error| {
                Error::internal("a record cannot be written").with_source(error)
            })?,
        })
    }
}

fn to_parquet(rows: &[Row]) -> Result<Vec<u8>> {
    let text = |of: fn(&Row) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(of)))
    };
    let times = UInt64Array::from_iter_values(rows.iter().map(|row| row.started_ms));
    let columns: [ArrayRef; 4] = [
        text(|row| &row.key),
        text(|row| &row.id),
        Arc::new(times),
        text(|row| &row.record),
    ];
    let batch = RecordBatch::try_from_iter(COLUMNS.into_iter().zip(columns))?;
    let version = KeyValue::new(VERSION_KEY.to_owned(), FORMAT_VERSION.to_string());
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROWS_PER_GROUP))
        .set_key_value_metadata(Some(vec![version]))
        .build();
    let mut bytes = Vec::new();
    ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties))
        .and_then(|mut writer| {
            writer.write(&batch)?;
            writer.close()
        })
        .map_err(|error| Error::internal("a segment cannot be written").with_source(error))?;
    Ok(bytes)
}

impl Segment {
    fn n_rows(&self) -> i64 {
        self.metadata.metadata().file_metadata().num_rows()
    }

    fn check_version(&self, name: &str) -> Result<()> {
        let pairs = self
            .metadata
            .metadata()
            .file_metadata()
            .key_value_metadata();
        let version = pairs
            .into_iter()
            .flatten()
            .find(|pair| pair.key == VERSION_KEY);
        let version = version.and_then(|pair| pair.value.as_deref()?.parse::<u32>().ok());
        match version {
            Some(FORMAT_VERSION) => Ok(()),
            Some(other) => Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "segment `{name}` is of format version {other}, this build reads {FORMAT_VERSION}"
                ),
            )),
            None => Err(Error::corrupt(format!(
                "`{name}` is not a segment of records"
            ))),
        }
    }

    /// Some columns of the row groups that may hold a key, or of all row groups.
    fn read(&self, columns: &[usize], key: Option<&str>, name: &str) -> Result<Vec<RecordBatch>> {
        let metadata = self.metadata.metadata();
        let mask = ProjectionMask::roots(
            metadata.file_metadata().schema_descr(),
            columns.iter().copied(),
        );
        let groups = metadata.row_groups().iter().enumerate();
        let groups = groups.filter(|(_, group)| key.is_none_or(|key| may_hold(group, key)));
        let groups = groups.map(|(at, _)| at).collect();
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(
            self.bytes.clone(),
            self.metadata.clone(),
        )
        .with_projection(mask)
        .with_row_groups(groups)
        .with_batch_size(ROWS_PER_GROUP)
        .build()
        .map_err(|error| unreadable(name, error))?;
        let batches = reader.collect::<Result<Vec<_>, _>>();
        batches.map_err(|error| unreadable(name, error))
    }

    fn records<R: Record>(&self, key: Option<&str>, name: &str) -> Result<Vec<R>> {
        let mut found = Vec::new();
        for batch in self.read(&[KEY, RECORD], key, name)? {
            let (keys, records) = (texts(&batch, 0, name)?, texts(&batch, 1, name)?);
            for at in 0..batch.num_rows() {
                if key.is_none_or(|key| keys.value(at) == key) {
                    let record = serde_json::from_str(records.value(at));
                    found.push(record.map_err(|error| unreadable(name, error))?);
                }
            }
        }
        Ok(found)
    }

    fn ids(&self, name: &str) -> Result<Vec<String>> {
        let mut ids = Vec::new();
        for batch in self.read(&[ID], None, name)? {
            let column = texts(&batch, 0, name)?;
            ids.extend(column.iter().flatten().map(str::to_owned));
        }
        Ok(ids)
    }

    fn rows(&self, name: &str) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        for batch in self.read(&[0, 1, 2, 3], None, name)? {
            let (keys, ids) = (texts(&batch, KEY, name)?, texts(&batch, ID, name)?);
            let records = texts(&batch, RECORD, name)?;
            let times = batch.column(2).as_primitive_opt::<UInt64Type>();
            let times = times.ok_or_else(|| unreadable(name, "`started_ms` is not a number"))?;
            rows.extend((0..batch.num_rows()).map(|at| Row {
                key: keys.value(at).to_owned(),
                id: ids.value(at).to_owned(),
                started_ms: times.value(at),
                record: records.value(at).to_owned(),
            }));
        }
        Ok(rows)
    }
}

fn texts<'b>(batch: &'b RecordBatch, at: usize, name: &str) -> Result<&'b StringArray> {
    let column = batch.column(at).as_string_opt::<i32>();
    column
        .filter(|column| column.null_count() == 0)
        .ok_or_else(|| unreadable(name, "a column is not a string"))
}

/// Returns true if a row group, which is sorted by key, may hold a key.
fn may_hold(group: &RowGroupMetaData, key: &str) -> bool {
    let Some(statistics) = group.column(KEY).statistics() else {
        return true;
    };
    let bounds = statistics.min_bytes_opt().zip(statistics.max_bytes_opt());
    bounds.is_none_or(|(min, max)| min <= key.as_bytes() && key.as_bytes() <= max)
}
