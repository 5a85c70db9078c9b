//! Files that are damaged: an error, and never the end of the process.
//!
//! They are read in a process of its own, whose memory is limited: what a file claims and nothing can catch would end it.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fourfold::Result;
use fourfold::arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int32Array, Int64Array, ListArray,
    RecordBatch, StringArray,
};
use fourfold::arrow::datatypes::{Int32Type, Schema};
use fourfold::arrow::ipc::writer::{FileWriter, StreamWriter};
use fourfold::datafusion::execution::object_store::ObjectStoreUrl;
use fourfold::datafusion::object_store::ObjectStoreExt;
use fourfold::datafusion::object_store::memory::InMemory;
use fourfold::prelude::*;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{WriterProperties, WriterVersion};

/// The directory whose files a child reads.
const DIR: &str = "FOURFOLD_DAMAGED";

/// For how many seconds fresh mutants are read, and their seed, if it is not the time.
const SECONDS: &str = "FOURFOLD_MUTATE_SECONDS";
const SEED: &str = "FOURFOLD_MUTATE_SEED";

/// How many mutants a child reads.
const AT_ONCE: usize = 200;

/// Kilobytes of addresses that a child may have.
const LIMIT: u64 = 4 << 20;

/// What the tests below run.
#[test]
#[ignore = "run by other tests, in a process of its own"]
fn child() {
    let Ok(dir) = std::env::var(DIR) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let mut paths: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort_unstable();
    let engine = Engine::with_partitions(2).unwrap();
    let store = Arc::new(InMemory::new());
    let url = ObjectStoreUrl::parse("memory://files").unwrap();
    let session = engine.session().runtime_env();
    session.register_object_store(url.as_ref(), Arc::<InMemory>::clone(&store));
    for path in paths {
        // The last one named is the one that ended the process.
        eprintln!("reading {}", path.display());
        let name = path.file_name().unwrap().to_str().unwrap();
        let read = async || {
            let here = read(&engine, &path).await;
            let bytes = std::fs::read(&path).unwrap();
            store.put(&name.into(), bytes.into()).await.unwrap();
            let url = format!("memory://files/{name}");
            let there = read(&engine, Path::new(&url)).await;
            (here, there)
        };
        let (here, there) = runtime.block_on(read());
        assert_eq!(here.as_ref().ok(), there.as_ref().ok(), "{name}");
        for error in [here.as_ref().err(), there.as_ref().err()] {
            let is_named = error.is_none_or(|error| error.to_string().contains(name));
            assert!(is_named, "{name} is not named: {error:?}");
        }
        match here {
            Ok(n_rows) => eprintln!("outcome: {n_rows} rows"),
            Err(error) => eprintln!("outcome: {error}"),
        }
    }
    eprintln!("outcome: all");
}

async fn read(engine: &Engine, path: &Path) -> Result<usize> {
    let source = FileSource::detect(path)?;
    let rows = source.read(engine).await?;
    let schema = rows.schema().as_arrow().clone();
    let batches = rows.collect().await;
    let batches = batches.map_err(|error| source.explain(error.into(), &schema))?;
    Ok(batches.iter().map(RecordBatch::num_rows).sum())
}

/// Reads the files of a directory in a child, and gives the outcome of each.
fn outcomes(dir: &Path) -> Vec<String> {
    let output = Command::new("sh")
        .args(["-c", &format!("ulimit -v {LIMIT}; exec \"$0\" \"$@\"")])
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "damaged::child",
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(DIR, dir)
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    let last: Vec<&str> = told.lines().rev().take(12).collect();
    assert!(output.status.success(), "{:?}: {last:#?}", output.status);
    let outcomes = told
        .lines()
        .filter_map(|line| line.strip_prefix("outcome: "));
    let mut outcomes: Vec<String> = outcomes.map(str::to_owned).collect();
    assert_eq!(outcomes.pop().as_deref(), Some("all"));
    outcomes
}

#[test]
fn damaged_files_are_errors() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/damaged");
    let outcomes = outcomes(&dir);
    assert_eq!(outcomes.len(), 5);
    for outcome in outcomes {
        assert!(outcome.contains(" cannot be read: "), "{outcome}");
    }
}

fn rows(n: i64) -> RecordBatch {
    let texts = (0..n).map(|i| (i % 7 != 0).then(|| format!("text {}", i % 23)));
    let lists = (0..n).map(|i| Some((0..i % 4).map(|item| Some(item as i32))));
    let columns: [(&str, ArrayRef); 7] = [
        ("id", Arc::new(Int64Array::from_iter_values(0..n))),
        (
            "small",
            Arc::new(Int32Array::from_iter(
                (0..n).map(|i| (i % 5 != 0).then_some(i as i32)),
            )),
        ),
        (
            "real",
            Arc::new(Float64Array::from_iter_values(
                (0..n).map(|i| i as f64 / 7.0),
            )),
        ),
        ("text", Arc::new(StringArray::from_iter(texts))),
        (
            "flag",
            Arc::new(BooleanArray::from_iter((0..n).map(|i| Some(i % 3 == 0)))),
        ),
        (
            "day",
            Arc::new(Date32Array::from_iter_values((0..n).map(|i| i as i32))),
        ),
        (
            "list",
            Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists)),
        ),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)))
        .unwrap()
}

fn parquet_of(batch: &RecordBatch, compression: Compression, version: WriterVersion) -> Vec<u8> {
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .set_writer_version(version)
        .set_data_page_row_count_limit(200)
        .set_max_row_group_row_count(Some(400))
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    bytes
}

/// Whole files, by the ends of their names.
fn whole_files() -> Vec<(&'static str, Vec<u8>)> {
    let batch = rows(700);
    let zstd = Compression::ZSTD(ZstdLevel::try_new(1).unwrap());
    let schema: Arc<Schema> = batch.schema();
    let mut file = FileWriter::try_new(Vec::new(), &schema).unwrap();
    let mut stream = StreamWriter::try_new(Vec::new(), &schema).unwrap();
    for at in [0, 350] {
        file.write(&batch.slice(at, 350)).unwrap();
        stream.write(&batch.slice(at, 350)).unwrap();
    }
    vec![
        (
            "none.parquet",
            parquet_of(
                &batch,
                Compression::UNCOMPRESSED,
                WriterVersion::PARQUET_1_0,
            ),
        ),
        (
            "snappy.parquet",
            parquet_of(&batch, Compression::SNAPPY, WriterVersion::PARQUET_2_0),
        ),
        (
            "zstd.parquet",
            parquet_of(&batch, zstd, WriterVersion::PARQUET_1_0),
        ),
        (
            "lz4.parquet",
            parquet_of(&batch, Compression::LZ4_RAW, WriterVersion::PARQUET_2_0),
        ),
        ("file.arrow", file.into_inner().unwrap()),
        ("stream.arrow", stream.into_inner().unwrap()),
    ]
}

/// A generator of pseudo-random numbers (Knuth's, of 64 bits).
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % n.max(1)
    }

    /// A place in a file: half of them in its last part, where files tell of themselves.
    fn place(&mut self, n: usize) -> usize {
        match self.below(2) {
            0 => self.below(n),
            _ => n - 1 - self.below(n.min(4_096)),
        }
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(3) {
            let at = self.place(bytes.len());
            match self.below(6) {
                0 => bytes[at] ^= 1 << self.below(8),
                1 => bytes[at] = self.below(256) as u8,
                2 => {
                    let n = self.below(8) + 1;
                    let value = [0x00, 0xff, 0x7f, 0x80][self.below(4)];
                    let end = (at + n).min(bytes.len());
                    bytes[at..end].fill(value);
                }
                3 => {
                    let claims = [1_u64 << 60, 1 << 31, u64::MAX, 1 << 20, 1 << 40];
                    let claim = claims[self.below(5)].to_le_bytes();
                    for (byte, claim) in bytes[at..].iter_mut().zip(claim) {
                        *byte = claim;
                    }
                }
                4 => {
                    let n = self.below(32);
                    let from = self.place(bytes.len());
                    for i in 0..n {
                        if at + i < bytes.len() && from + i < bytes.len() {
                            bytes[at + i] = bytes[from + i];
                        }
                    }
                }
                _ => {
                    let end = (at + self.below(64)).min(bytes.len());
                    bytes.drain(at..end);
                }
            }
            if bytes.is_empty() {
                bytes.push(0);
            }
        }
    }
}

/// Reads mutants until so many were read and so much time is over.
fn read_mutants(at_least: usize, during: Duration, seed: u64) {
    let begin = Instant::now();
    let mut random = Random(seed);
    let whole = whole_files();
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in &whole {
        std::fs::write(dir.path().join(format!("whole-{name}")), bytes).unwrap();
    }
    assert!(
        outcomes(dir.path())
            .iter()
            .all(|outcome| outcome == "700 rows")
    );
    let mut n = 0;
    while n < at_least || begin.elapsed() < during {
        let dir = tempfile::tempdir().unwrap();
        for number in n..n + AT_ONCE {
            let (name, bytes) = &whole[random.below(whole.len())];
            let mut bytes = bytes.clone();
            random.mutate(&mut bytes);
            std::fs::write(dir.path().join(format!("{number:06}-{name}")), bytes).unwrap();
        }
        let outcomes = outcomes(dir.path());
        assert_eq!(outcomes.len(), AT_ONCE);
        n += AT_ONCE;
    }
    eprintln!("{n} mutants of seed {seed}: rows or errors");
}

#[test]
fn mutants_of_files_are_rows_or_errors() {
    read_mutants(200, Duration::ZERO, 1);
}

/// Fresh mutants at every run: a thousand, and as many as there is time for.
#[test]
#[ignore = "takes a minute"]
fn fresh_mutants_of_files_are_rows_or_errors() {
    let told = |name: &str| std::env::var(name).ok().and_then(|told| told.parse().ok());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = told(SEED).unwrap_or(now.as_secs());
    eprintln!("{SEED}={seed} reads the same mutants");
    let seconds = Duration::from_secs(told(SECONDS).unwrap_or(60));
    read_mutants(1_000, seconds, seed);
}
