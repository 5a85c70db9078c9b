//! Every way in which rows come in, with their values.

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fourfold::arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchIterator, StringArray,
};
use fourfold::arrow::compute::{cast, concat_batches};
use fourfold::arrow::datatypes::{DataType, Int64Type};
use fourfold::arrow::error::ArrowError;
use fourfold::arrow::ipc::writer::FileWriter;
use fourfold::arrow::json::LineDelimitedWriter;
use fourfold::data::{ReaderSource, Spans, TableSource};
use fourfold::datafusion::datasource::MemTable;
use fourfold::datafusion::execution::object_store::ObjectStoreUrl;
use fourfold::datafusion::object_store::memory::InMemory;
use fourfold::datafusion::object_store::{ObjectStoreExt, path::Path as StorePath};
use fourfold::datafusion::physical_plan::displayable;
use fourfold::datafusion::prelude::{DataFrame, col, lit};
use fourfold::prelude::*;
use fourfold::progress::Progress;

use crate::support::{parcels, write_csv, write_parquet};

async fn rows_of(source: &impl DataSource, engine: &Engine) -> RecordBatch {
    rows(source.read(engine).await.unwrap()).await
}

async fn rows(frame: DataFrame) -> RecordBatch {
    let schema = Arc::clone(frame.schema().inner());
    let batches = frame.collect().await.unwrap();
    let schema = batches.first().map_or(schema, RecordBatch::schema);
    concat_batches(&schema, &batches).unwrap()
}

fn ids(batch: &RecordBatch) -> Vec<i64> {
    let ids = batch.column_by_name("id").unwrap();
    let mut ids: Vec<i64> = ids.as_primitive::<Int64Type>().values().to_vec();
    ids.sort_unstable();
    ids
}

fn write_json(path: &Path, batch: &RecordBatch) {
    let mut writer = LineDelimitedWriter::new(std::fs::File::create(path).unwrap());
    writer.write(batch).unwrap();
    writer.finish().unwrap();
}

fn write_arrow(path: &Path, batch: &RecordBatch) {
    let file = std::fs::File::create(path).unwrap();
    let mut writer = FileWriter::try_new(file, &batch.schema()).unwrap();
    writer.write(batch).unwrap();
    writer.finish().unwrap();
}

fn id_batch(ids: impl IntoIterator<Item = i64>) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(ids));
    RecordBatch::try_from_iter([("id", ids)]).unwrap()
}

#[tokio::test]
async fn every_format_gives_the_same_rows() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let batch = parcels(300);
    write_csv(&path("rows.csv"), &batch);
    write_json(&path("rows.jsonl"), &batch);
    write_parquet(&path("rows.parquet"), std::slice::from_ref(&batch));
    write_arrow(&path("rows.arrow"), &batch);
    let lines = std::fs::read_to_string(path("rows.jsonl")).unwrap();
    let array = format!("[{}]\n", lines.trim_end().replace('\n', ",\n"));
    std::fs::write(path("rows.json"), array).unwrap();

    let engine = Engine::new().unwrap();
    for name in [
        "rows.csv",
        "rows.jsonl",
        "rows.json",
        "rows.parquet",
        "rows.arrow",
    ] {
        let source = FileSource::detect(path(name)).unwrap();
        let read = rows_of(&source, &engine).await;
        assert_eq!(read.num_rows(), 300, "{name}");
        for column in ["id", "kilograms", "road", "late"] {
            let read = read.column_by_name(column).unwrap();
            let wanted = batch.column_by_name(column).unwrap();
            let read = cast(read, wanted.data_type()).unwrap();
            assert_eq!(&read, wanted, "{name}: {column}");
        }
    }
    let source = FileSource::json(path("rows.jsonl")).label("late");
    let prepared = source
        .run(&engine, &path("examples"), &Progress::default())
        .await
        .unwrap();
    let n_rows: usize = prepared.splits().values().map(|split| split.n_rows()).sum();
    assert_eq!(n_rows, 300);

    let unknown = FileSource::detect({
        std::fs::write(path("rows.xls"), "x").unwrap();
        path("rows.xls")
    });
    assert_eq!(
        unknown.unwrap_err().to_string(),
        format!(
            "the format of `{}` cannot be told from its name, which must end in .csv, .tsv, .txt, .jsonl, .ndjson, \
             .json, .parquet, .pq, .arrow, .feather or .ipc",
            path("rows.xls").canonicalize().unwrap().display()
        )
    );
}

#[tokio::test]
async fn folders_and_patterns_say_which_files() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, from: i64| {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        write_parquet(&path, &[id_batch(from..from + 10)]);
    };
    write("data/2013-01.parquet", 0);
    write("data/2013-02.parquet", 10);
    write("data/2014-01.parquet", 20);
    write("data/more/2013-03.parquet", 30);
    write("data/_temporary/2013-04.parquet", 40);
    write("data/.hidden.parquet", 50);
    std::fs::write(dir.path().join("data/_SUCCESS"), "").unwrap();
    std::fs::write(dir.path().join("data/notes.csv"), "a\n1\n").unwrap();

    let engine = Engine::new().unwrap();
    for (pattern, wanted) in [
        ("data", vec![0, 10, 20, 30]),
        ("data/", vec![0, 10, 20, 30]),
        ("data/2013-*.parquet", vec![0, 10]),
        ("data/**/2013-*.parquet", vec![0, 10, 30]),
        ("data/201[4-9]-??.parquet", vec![20]),
        ("data/m*", vec![30]),
        ("data/more/../2014-01.parquet", vec![20]),
    ] {
        let source = FileSource::parquet(dir.path().join(pattern));
        let read = ids(&rows_of(&source, &engine).await);
        let wanted: Vec<i64> = wanted.iter().flat_map(|from| *from..from + 10).collect();
        assert_eq!(read, wanted, "{pattern}");
    }
    let none = FileSource::parquet(dir.path().join("data/2015-*.parquet"));
    let error = none.read(&engine).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(
        error.to_string(),
        format!(
            "no file matches `{}`",
            dir.path().join("data/2015-*.parquet").display()
        )
    );
    // A name that looks like a pattern is a name if it is there.
    write("data/[x].parquet", 60);
    let literal = FileSource::parquet(dir.path().join("data/[x].parquet"));
    assert_eq!(
        ids(&rows_of(&literal, &engine).await),
        (60..70).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn files_that_differ_are_named() {
    let dir = tempfile::tempdir().unwrap();
    write_parquet(&dir.path().join("a.parquet"), &[id_batch(0..10)]);
    let text: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    write_parquet(
        &dir.path().join("b.parquet"),
        &[RecordBatch::try_from_iter([("id", text)]).unwrap()],
    );
    let error = FileSource::parquet(dir.path())
        .read(&Engine::new().unwrap())
        .await
        .unwrap_err();
    let root = dir.path().display();
    assert_eq!(
        error.to_string(),
        format!(
            "`{root}` cannot be read: column `id` is of type Int64 in `{root}/a.parquet` and of type Utf8 in \
             `{root}/b.parquet`"
        )
    );
}

#[tokio::test]
async fn a_column_that_is_there_twice_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let twice = RecordBatch::try_from_iter([("id", Arc::clone(&ids)), ("id", ids)]).unwrap();
    let parquet = dir.path().join("x.parquet");
    write_parquet(&parquet, std::slice::from_ref(&twice));
    let arrow = dir.path().join("x.arrow");
    write_arrow(&arrow, &twice);
    let engine = Engine::new().unwrap();
    for path in [parquet, arrow] {
        let source = FileSource::detect(&path).unwrap();
        assert_eq!(
            source.read(&engine).await.unwrap_err().to_string(),
            format!(
                "`{}` cannot be read: column name `id` is a duplicate; names must be unique",
                path.display()
            )
        );
    }
}

#[test]
fn a_folder_is_of_the_format_that_most_files_have() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str| std::fs::write(dir.path().join(name), "x").unwrap();
    write("a.csv");
    write("b.parquet");
    assert_eq!(
        FileSource::detect(dir.path()).unwrap_err().to_string(),
        format!(
            "`{}` has as many files like `a.csv` as like `b.parquet`; say which format is to be read",
            dir.path().display()
        )
    );
    write("c.parquet");
    let parquet = FileSource::parquet(dir.path());
    let found = FileSource::detect(dir.path()).unwrap();
    assert_eq!(format!("{found:?}"), format!("{parquet:?}"));
}

#[cfg(unix)]
#[tokio::test]
async fn links_that_lead_back_up_are_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (data, other) = (dir.path().join("data"), dir.path().join("other"));
    std::fs::create_dir_all(data.join("a")).unwrap();
    std::fs::create_dir(&other).unwrap();
    write_parquet(&data.join("a/1.parquet"), &[id_batch([1])]);
    write_parquet(&other.join("2.parquet"), &[id_batch([2])]);
    std::os::unix::fs::symlink(&data, data.join("a/up")).unwrap();
    std::os::unix::fs::symlink(&other, data.join("b")).unwrap();
    let engine = Engine::new().unwrap();
    let rows = rows_of(&FileSource::parquet(&data), &engine).await;
    assert_eq!(ids(&rows), [1, 2]);
}

fn hive(dir: &Path) {
    for (folder, from) in [
        ("year=2013/month=01", 0),
        ("year=2013/month=02", 10),
        ("year=2014/month=11", 20),
    ] {
        let folder = dir.join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        write_parquet(&folder.join("part.parquet"), &[id_batch(from..from + 10)]);
    }
}

#[tokio::test]
async fn folders_of_hive_are_columns_and_a_filter_leaves_out_their_files() {
    let dir = tempfile::tempdir().unwrap();
    hive(dir.path());
    let engine = Engine::new().unwrap();
    let source = FileSource::parquet(dir.path());
    let all = source.read(&engine).await.unwrap();
    let names: Vec<_> = all
        .schema()
        .fields()
        .iter()
        .map(|field| (field.name().clone(), field.data_type().clone()))
        .collect();
    assert_eq!(
        names,
        [
            ("id", DataType::Int64),
            ("year", DataType::Int64),
            ("month", DataType::Int64)
        ]
        .map(|(name, data_type)| (name.to_owned(), data_type))
    );
    let february = all.clone().filter(col("month").eq(lit(2_i64))).unwrap();
    let plan = february.clone().create_physical_plan().await.unwrap();
    let plan = displayable(plan.as_ref()).indent(true).to_string();
    assert!(plan.contains("month=02/part.parquet"), "{plan}");
    assert!(
        !plan.contains("month=01") && !plan.contains("month=11"),
        "{plan}"
    );
    assert_eq!(ids(&rows(february).await), (10..20).collect::<Vec<_>>());
    // That the other files are not opened shows when they cannot be.
    std::fs::write(dir.path().join("year=2014/month=11/part.parquet"), "").unwrap();
    let later = all
        .filter(col("year").eq(lit(2013_i64)).and(col("id").gt(lit(14_i64))))
        .unwrap();
    assert_eq!(ids(&rows(later).await), (15..20).collect::<Vec<_>>());
}

#[tokio::test]
async fn values_of_hive_are_dates_text_or_null() {
    let dir = tempfile::tempdir().unwrap();
    let write = |folder: &str, name: &str, ids: std::ops::Range<i64>| {
        let folder = dir.path().join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        write_parquet(&folder.join(name), &[id_batch(ids)]);
    };
    write("day=2013-01-31/city=New%20York", "a.parquet", 0..3);
    write(
        "day=2013-02-01/city=__HIVE_DEFAULT_PARTITION__",
        "a.parquet",
        3..5,
    );
    let engine = Engine::new().unwrap();
    let source = FileSource::parquet(dir.path());
    let frame = source.read(&engine).await.unwrap();
    let read = rows(
        frame
            .clone()
            .sort(vec![col("id").sort(true, true)])
            .unwrap(),
    )
    .await;
    assert_eq!(
        read.column_by_name("day").unwrap().data_type(),
        &DataType::Date32
    );
    let city: Vec<Option<String>> = read
        .column_by_name("city")
        .unwrap()
        .as_string::<i32>()
        .iter()
        .map(|city| city.map(str::to_owned))
        .collect();
    let york = Some("New York".to_owned());
    assert_eq!(city, [york.clone(), york.clone(), york, None, None]);
    let unknown = frame.filter(col("city").is_null()).unwrap();
    assert_eq!(ids(&rows(unknown).await), [3, 4]);

    write("week=5", "a.parquet", 5..6);
    let error = source.read(&engine).await.unwrap_err().to_string();
    assert!(
        error.contains("is in folders of the keys [\"day\", \"city\"]")
            && error.contains("in folders of the keys [\"week\"]"),
        "{error}"
    );
    let twice = tempfile::tempdir().unwrap();
    std::fs::create_dir(twice.path().join("id=1")).unwrap();
    write_parquet(&twice.path().join("id=1/a.parquet"), &[id_batch(0..3)]);
    let error = FileSource::parquet(twice.path())
        .read(&engine)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "`{}` cannot be read: column `id` is in the files and in the names of their folders",
            twice.path().display()
        )
    );
}

#[tokio::test]
async fn a_late_value_of_a_column_with_marks_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("late.csv");
    let mut text = "miles,late\nNA,yes\n".to_owned();
    (0..50).for_each(|i| text.push_str(&format!("{i},no\n")));
    text.push_str("far,no\n");
    std::fs::write(&file, text).unwrap();
    let source = FileSource::csv(&file).infer_rows(20);
    let data = source.label("late");
    let error = data
        .run(&Engine::new().unwrap(), dir.path(), &Progress::default())
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "file: `{}` cannot be read: column `miles` is `far` in line 53, must be of type integer as the first 20 rows are; \
             `infer_rows` says how many are looked at",
            file.display()
        )
    );
}

#[tokio::test]
async fn types_of_csv_are_inferred() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("types.csv");
    let text = "whole,real,mixed,flag,day,time,both,word,none,quoted\n\
                1,1.5,1,true,2013-01-31,2013-01-31T05:00:00,2013-01-31,a,,\"x, \"\"y\"\"\"\n\
                -2,1e3,2.5,FALSE,2013-02-01,2013-01-31 05:00:00.25,2013-01-31T05:00:00Z,1,NA,\"two\nlines\"\n\
                NA,?,,null,,N/A,nan,None,,z\n";
    std::fs::write(&file, text).unwrap();
    let read = rows_of(&FileSource::csv(&file), &Engine::new().unwrap()).await;
    let types: Vec<String> = read
        .schema()
        .fields()
        .iter()
        .map(|field| field.data_type().to_string())
        .collect();
    assert_eq!(
        types,
        [
            "Int64",
            "Float64",
            "Float64",
            "Boolean",
            "Date32",
            "Timestamp(µs, \"UTC\")",
            "Timestamp(µs, \"UTC\")",
            "Utf8",
            "Utf8",
            "Utf8"
        ]
    );
    let nulls: Vec<usize> = read
        .columns()
        .iter()
        .map(|column| column.null_count())
        .collect();
    assert_eq!(nulls, [1, 1, 1, 1, 1, 1, 1, 1, 3, 0]);
    assert_eq!(read.column(9).as_string::<i32>().value(1), "two\nlines");
}

#[cfg(feature = "compression")]
#[tokio::test]
async fn compressed_files_are_read() {
    use fourfold::datafusion::datasource::file_format::file_compression_type::FileCompressionType;
    use futures_util::TryStreamExt;
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::new().unwrap();
    write_csv(&dir.path().join("rows.csv"), &parcels(300));
    write_json(&dir.path().join("rows.json"), &parcels(300));
    for name in ["rows.csv", "rows.json"] {
        let plain = std::fs::read(dir.path().join(name)).unwrap();
        for (end, compression) in [
            ("gz", FileCompressionType::GZIP),
            ("bz2", FileCompressionType::BZIP2),
            ("xz", FileCompressionType::XZ),
            ("zst", FileCompressionType::ZSTD),
        ] {
            let bytes = plain.clone();
            let stream = Box::pin(futures_util::stream::once(async move { Ok(bytes.into()) }));
            let parts: Vec<_> = compression
                .convert_to_compress_stream(stream)
                .unwrap()
                .try_collect()
                .await
                .unwrap();
            let file = dir.path().join(format!("{name}.{end}"));
            std::fs::write(&file, parts.concat()).unwrap();
            let read = rows_of(&FileSource::detect(&file).unwrap(), &engine).await;
            assert_eq!(ids(&read), (0..300).collect::<Vec<_>>(), "{name}.{end}");
        }
    }
    let mixed = FileSource::csv(dir.path().join("rows.csv*"))
        .read(&engine)
        .await
        .unwrap_err()
        .to_string();
    assert!(mixed.ends_with("are compressed differently"), "{mixed}");
}

#[cfg(not(feature = "compression"))]
#[tokio::test]
async fn compressed_files_name_the_feature() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rows.csv.gz");
    std::fs::write(&file, b"\x1f\x8b").unwrap();
    let error = FileSource::detect(&file)
        .unwrap()
        .read(&Engine::new().unwrap())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(
        error.to_string(),
        format!(
            "`{}` is compressed: reading it needs the feature `compression` of fourfold, which this build is without",
            file.display()
        )
    );
}

#[cfg(not(feature = "gcp"))]
#[tokio::test]
async fn a_store_that_is_not_built_in_names_the_feature() {
    let engine = Engine::new().unwrap();
    let error = FileSource::csv("gs://bucket/x.csv")
        .read(&engine)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(
        error.to_string(),
        "`gs://bucket/` needs the feature `gcp` of fourfold, which this build is without"
    );
    let error = FileSource::csv("ftp://host/x.csv")
        .read(&engine)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "`ftp://host/` is in no known store: a URL must begin with s3://, gs://, az:// or file://, or its store be \
         registered with the engine's session"
    );
}

/// Copies a folder into a store in memory that the engine knows as `mem://bucket/`.
async fn upload(engine: &Engine, dir: &Path) {
    let store = InMemory::new();
    for path in crate::support::tree(dir)
        .iter()
        .filter(|path| path.is_file())
    {
        let key = path
            .strip_prefix(dir)
            .unwrap()
            .to_string_lossy()
            .into_owned();
        let bytes = std::fs::read(path).unwrap();
        store
            .put(&StorePath::parse(key).unwrap(), bytes.into())
            .await
            .unwrap();
    }
    let url = ObjectStoreUrl::parse("mem://bucket").unwrap();
    engine
        .session()
        .register_object_store(url.as_ref(), Arc::new(store));
}

#[tokio::test]
async fn object_stores_are_read_as_folders_are() {
    let dir = tempfile::tempdir().unwrap();
    hive(&dir.path().join("hive"));
    write_csv(&dir.path().join("rows.csv"), &parcels(300));
    let engine = Engine::new().unwrap();
    upload(&engine, dir.path()).await;
    let csv = FileSource::detect("mem://bucket/rows.csv").unwrap();
    assert_eq!(
        ids(&rows_of(&csv, &engine).await),
        (0..300).collect::<Vec<_>>()
    );
    for (pattern, n) in [
        ("hive", 30),
        ("hive/", 30),
        ("hive/year=2013/**", 20),
        ("hive/*/month=11/*.parquet", 10),
    ] {
        let source = FileSource::parquet(format!("mem://bucket/{pattern}"));
        assert_eq!(rows_of(&source, &engine).await.num_rows(), n, "{pattern}");
    }
    let before = csv.snapshot(&engine).await.unwrap();
    assert_eq!(csv.snapshot(&engine).await.unwrap(), before);
    // The same size, another content: the store's tag tells.
    let text = std::fs::read_to_string(dir.path().join("rows.csv")).unwrap();
    std::fs::write(dir.path().join("rows.csv"), text.replacen("yes", "yep", 1)).unwrap();
    upload(&engine, dir.path()).await;
    assert_ne!(csv.snapshot(&engine).await.unwrap(), before);
    let error = FileSource::parquet("mem://bucket/none")
        .read(&engine)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no file or directory `mem://bucket/none`"
    );
}

#[tokio::test]
async fn a_file_that_is_renamed_is_another_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::new().unwrap();
    write_parquet(&dir.path().join("a.parquet"), &[id_batch(0..10)]);
    let source = FileSource::parquet(dir.path());
    let before = source.snapshot(&engine).await.unwrap();
    std::fs::rename(dir.path().join("a.parquet"), dir.path().join("b.parquet")).unwrap();
    assert_ne!(source.snapshot(&engine).await.unwrap(), before);
}

#[tokio::test]
async fn spans_and_versions_are_chosen() {
    let dir = tempfile::tempdir().unwrap();
    let write = |folder: &str, id: i64| {
        let folder = dir.path().join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        write_parquet(&folder.join("part.parquet"), &[id_batch([id])]);
    };
    for (span, version, id) in [
        (1, 1, 11),
        (2, 1, 21),
        (2, 2, 22),
        (3, 1, 31),
        (10, 2, 102),
        (10, 10, 110),
    ] {
        // Names with and without zeros in front sort alike here.
        write(&format!("spans/span-{span:02}/v{version}"), id);
    }
    let engine = Engine::new().unwrap();
    let source = |spans: Spans| {
        FileSource::parquet(dir.path().join("spans/span-{SPAN}/v{VERSION}/*.parquet")).spans(spans)
    };
    for (spans, wanted) in [
        (Spans::latest(), vec![110]),
        (Spans::fixed(2), vec![22]),
        (Spans::fixed(2).version(1), vec![21]),
        (Spans::range(1..=3), vec![11, 22, 31]),
        (Spans::range(2..=99).exclude([3]), vec![22, 110]),
        (Spans::last(8), vec![31, 110]),
        (Spans::last(2).skip_recent(1), vec![22, 31]),
        (Spans::latest().skip_recent(2), vec![22]),
    ] {
        let source = source(spans.clone());
        assert_eq!(ids(&rows_of(&source, &engine).await), wanted, "{spans:?}");
    }
    let resolved = source(Spans::last(8)).resolve(&engine).await.unwrap();
    let resolved: Vec<_> = resolved
        .iter()
        .map(|span| (span.number, span.version, span.files.len()))
        .collect();
    assert_eq!(resolved, [(3, Some(1), 1), (10, Some(10), 1)]);

    let latest = source(Spans::latest());
    let before = latest.snapshot(&engine).await.unwrap();
    write("spans/span-11/v1", 111);
    assert_ne!(latest.snapshot(&engine).await.unwrap(), before);
    assert_eq!(ids(&rows_of(&latest, &engine).await), [111]);

    upload(&engine, dir.path()).await;
    let remote =
        FileSource::parquet("mem://bucket/spans/span-{SPAN:2}/v{VERSION}").spans(Spans::fixed(10));
    assert_eq!(ids(&rows_of(&remote, &engine).await), [110]);
}

#[tokio::test]
async fn spans_that_cannot_be_chosen_are_explained() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::new().unwrap();
    for span in ["1", "2", "4"] {
        std::fs::create_dir(dir.path().join(span)).unwrap();
        write_parquet(&dir.path().join(span).join("a.parquet"), &[id_batch([1])]);
    }
    let root = dir.path().display().to_string();
    let refusal = async |path: &str, spans: Spans| {
        let source = FileSource::parquet(dir.path().join(path)).spans(spans);
        let error = source.resolve(&engine).await.unwrap_err();
        format!("{:?} | {error}", error.kind()).replace(&root, "<dir>")
    };
    assert_eq!(
        refusal("{SPAN}", Spans::fixed(3)).await,
        "NotFound | 0 of the spans that are asked for of `<dir>/{SPAN}` are there, must be at least 1; there is \
         3 spans from 1 to 4"
    );
    assert_eq!(
        refusal("{SPAN}", Spans::last(3).at_least(3)).await,
        "NotFound | 2 of the spans that are asked for of `<dir>/{SPAN}` are there, must be at least 3; there is \
         3 spans from 1 to 4"
    );
    assert_eq!(
        refusal("{SPAN}", Spans::fixed(2).version(3)).await,
        "Config | a version is asked for, and `<dir>/{SPAN}` has no `{VERSION}`"
    );
    assert_eq!(
        refusal("1", Spans::fixed(2)).await,
        "Config | spans are chosen, and `<dir>/1` has no `{SPAN}` and no date"
    );
    assert_eq!(
        refusal("x{SPAN}", Spans::latest()).await,
        "NotFound | no file matches `<dir>/x{SPAN}`"
    );
    std::fs::create_dir(dir.path().join("02")).unwrap();
    write_parquet(&dir.path().join("02/b.parquet"), &[id_batch([1])]);
    assert_eq!(
        refusal("{SPAN}", Spans::latest()).await,
        "Data | span 2 is there under two names: `02/b.parquet` and `2/a.parquet`"
    );
    for (name, id) in [("versions/02/v1", 1), ("versions/2/v2", 2)] {
        let folder = dir.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        write_parquet(&folder.join("a.parquet"), &[id_batch([id])]);
    }
    assert_eq!(
        refusal("versions/{SPAN}/v{VERSION}", Spans::latest()).await,
        "Data | span 2 is there under two names: `02/v1/a.parquet` and `2/v2/a.parquet`"
    );
    std::fs::create_dir(dir.path().join("day-2013-02-30")).unwrap();
    write_parquet(
        &dir.path().join("day-2013-02-30/b.parquet"),
        &[id_batch([1])],
    );
    assert_eq!(
        refusal("day-{YYYY}-{MM}-{DD}", Spans::latest()).await,
        "Data | `2013-02-30` in `day-2013-02-30/b.parquet` is not a date"
    );
    let wrong = FileSource::parquet("x")
        .spans(Spans::range(RangeInclusive::new(3, 2)))
        .check()
        .unwrap_err();
    assert_eq!(
        wrong.to_string(),
        "the spans begin with 3 and end with 2, which is before it"
    );
}

#[tokio::test]
async fn days_are_spans() {
    let dir = tempfile::tempdir().unwrap();
    for (day, id) in [("2016-12-31", 1), ("2017-01-01", 2), ("2017-01-02", 3)] {
        write_parquet(
            &dir.path().join(format!("{day}.parquet")),
            &[id_batch([id])],
        );
    }
    let engine = Engine::new().unwrap();
    let source = FileSource::parquet(dir.path().join("{YYYY}-{MM}-{DD}.parquet"));
    let latest = source.resolve(&engine).await.unwrap();
    assert_eq!((latest[0].number, latest[0].version), (17_168, None));
    let day = Spans::fixed(Spans::number_of_date("2017-01-01").unwrap());
    assert_eq!(ids(&rows_of(&source.spans(day), &engine).await), [2]);
}

fn reader_of_ids(n: i64) -> ReaderSource {
    ReaderSource::new("ids", move || {
        let batches: Vec<_> = (0..n).map(|id| Ok(id_batch([id]))).collect();
        Ok(RecordBatchIterator::new(batches, id_batch([]).schema()))
    })
}

#[tokio::test]
async fn readers_are_opened_anew_and_tables_are_read() {
    let engine = Engine::new().unwrap();
    let source = reader_of_ids(100);
    for _ in 0..2 {
        assert_eq!(
            ids(&rows_of(&source, &engine).await),
            (0..100).collect::<Vec<_>>()
        );
    }
    let first = source
        .read(&engine)
        .await
        .unwrap()
        .limit(0, Some(3))
        .unwrap();
    assert_eq!(ids(&rows(first).await), [0, 1, 2]);
    let failing = ReaderSource::new("failing", || {
        let schema = id_batch([]).schema();
        let batches = vec![
            Ok(id_batch([1])),
            Err(ArrowError::ParseError("no more ink".into())),
        ];
        Ok(RecordBatchIterator::new(batches, schema))
    });
    let error = Error::from(
        failing
            .read(&engine)
            .await
            .unwrap()
            .collect()
            .await
            .unwrap_err(),
    );
    assert!(error.to_string().contains("no more ink"), "{error}");

    let opened = AtomicUsize::new(0);
    let changing = ReaderSource::new("changing", move || {
        let name = ["id", "kilograms"][opened.fetch_add(1, Ordering::Relaxed).min(1)];
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        let batch = RecordBatch::try_from_iter([(name, ids)]).unwrap();
        let schema = batch.schema();
        Ok(RecordBatchIterator::new([Ok(batch)], schema))
    });
    let frame = changing.read(&engine).await.unwrap();
    assert_eq!(
        Error::from(frame.collect().await.unwrap_err()).to_string(),
        "the reader was opened anew and has other columns than at first: (`id` Int64 not null) and then \
         (`kilograms` Int64 not null)"
    );

    let table = MemTable::try_new(id_batch([]).schema(), vec![vec![id_batch([7, 8])]]).unwrap();
    let source = TableSource::new("memory", Arc::new(table));
    assert_eq!(ids(&rows_of(&source, &engine).await), [7, 8]);
    assert_eq!(source.snapshot(&engine).await.unwrap(), None);
}

#[derive(serde::Serialize)]
struct Parcel {
    id: i64,
    kilograms: Option<f64>,
    road: String,
    tags: Vec<String>,
    late: bool,
}

#[tokio::test]
async fn rows_of_structs_are_read() {
    let parcel = |id: i64| Parcel {
        id,
        kilograms: (id % 5 != 0).then_some(id as f64),
        road: ["air", "road"][id as usize % 2].to_owned(),
        tags: vec!["x".to_owned(); id as usize % 3],
        late: id % 4 == 0,
    };
    let parcels: Vec<Parcel> = (0..200).map(parcel).collect();
    let source = BatchSource::from_rows("parcels", &parcels).unwrap();
    let engine = Engine::new().unwrap();
    let read = rows_of(&source, &engine).await;
    let types: Vec<String> = read
        .schema()
        .fields()
        .iter()
        .map(|field| field.data_type().to_string())
        .collect();
    assert_eq!(types[..3], ["Int64", "Float64", "Utf8"]);
    assert_eq!(
        (types[3].as_str(), types[4].as_str()),
        ("List(non-null Utf8, field: 'element')", "Boolean")
    );
    assert_eq!(ids(&read), (0..200).collect::<Vec<_>>());
    assert_eq!(read.column(1).null_count(), 40);

    let error = BatchSource::from_rows("numbers", &[1, 2, 3]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    assert!(
        error
            .to_string()
            .starts_with("the rows of `numbers` do not make columns: "),
        "{error}"
    );
    let error = BatchSource::from_rows("nothing", &[] as &[Parcel]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "there are no rows of `nothing`, there must be at least one"
    );
}

#[cfg(feature = "sql")]
mod sql {
    use super::*;
    use fourfold::data::SqlSource;

    const FLIGHTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/flights");
    const WEATHER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/weather.parquet");
    const PLANES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/planes.parquet");

    fn joined(query: &str) -> SqlSource {
        SqlSource::new(query)
            .table("flights", FileSource::parquet(FLIGHTS))
            .table("weather", FileSource::parquet(WEATHER))
            .table("planes", FileSource::parquet(PLANES))
    }

    #[tokio::test]
    async fn joins_are_those_of_the_data() {
        let engine = Engine::new().unwrap();
        let source = joined(
            "SELECT COUNT(*) AS id, COUNT(w.origin) AS with_weather, COUNT(p.tailnum) AS with_plane
             FROM flights f
             LEFT JOIN weather w ON f.origin = w.origin AND f.time_hour = w.time_hour
             LEFT JOIN planes p ON f.tailnum = p.tailnum",
        );
        let read = rows_of(&source, &engine).await;
        let counts: Vec<i64> = read
            .columns()
            .iter()
            .map(|column| column.as_primitive::<Int64Type>().value(0))
            .collect();
        // The README of the data has these numbers.
        assert_eq!(counts, [336_776, 336_776 - 1_556, 336_776 - 2_512 - 50_094]);
        // The engine's own session has none of these tables.
        assert!(engine.session().table_provider("flights").await.is_err());
    }

    #[tokio::test]
    async fn filters_and_columns_are_pushed_down() {
        let dir = tempfile::tempdir().unwrap();
        hive(dir.path());
        let engine = Engine::new().unwrap();
        let source = SqlSource::new(
            "SELECT a.id FROM a JOIN b USING (id) WHERE a.year = 2013 AND a.month > 1",
        )
        .table("a", FileSource::parquet(dir.path()))
        .table("b", reader_of_ids(100));
        let frame = source.read(&engine).await.unwrap();
        let plan = frame.clone().create_physical_plan().await.unwrap();
        let plan = displayable(plan.as_ref()).indent(true).to_string();
        assert!(
            plan.contains("month=02/part.parquet")
                && !plan.contains("month=01")
                && !plan.contains("month=11"),
            "{plan}"
        );
        assert_eq!(ids(&rows(frame).await), (10..20).collect::<Vec<_>>());

        let frame = joined("SELECT carrier FROM flights WHERE distance > 4000")
            .read(&engine)
            .await
            .unwrap();
        let plan = frame.create_physical_plan().await.unwrap();
        let plan = displayable(plan.as_ref()).indent(true).to_string();
        let scan = plan
            .lines()
            .find(|line| line.contains("DataSourceExec"))
            .unwrap();
        assert!(
            scan.contains("projection=[carrier, distance]")
                || scan.contains("projection=[carrier]"),
            "{plan}"
        );
        assert!(
            scan.contains("predicate=distance@") && scan.contains("> 4000"),
            "{plan}"
        );
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn rows_come_in_the_same_order_in_every_run() {
        let queries = [
            "SELECT a.carrier, a.tailnum, COUNT(*) AS n, AVG(a.distance * 1.1) AS miles
             FROM flights a JOIN planes p ON a.tailnum = p.tailnum
             GROUP BY a.carrier, a.tailnum",
            // Rows of a side that is kept in memory, after all of the other have been seen.
            "SELECT p.tailnum, f.flight, f.time_hour
             FROM planes p LEFT JOIN flights f ON p.tailnum = f.tailnum AND f.distance > 1000",
            "SELECT * FROM planes p WHERE NOT EXISTS (SELECT 1 FROM flights f WHERE p.tailnum = f.tailnum AND f.distance > 1000)",
            "SELECT carrier, flight FROM flights WHERE dep_delay > 0 LIMIT 1000",
            "SELECT carrier, flight FROM flights ORDER BY carrier",
            "SELECT carrier, flight, time_hour FROM flights ORDER BY carrier LIMIT 1000",
            "SELECT DISTINCT tailnum, ROW_NUMBER() OVER (PARTITION BY tailnum) AS n FROM flights WHERE month < 3",
        ];
        for query in queries {
            let mut first = None;
            for _ in 0..4 {
                let engine = Engine::new().unwrap();
                let frame = joined(query).read(&engine).await.unwrap();
                let parts = frame.collect_partitioned().await.unwrap();
                let parts: Vec<RecordBatch> = parts
                    .iter()
                    .filter(|part| !part.is_empty())
                    .map(|part| concat_batches(&part[0].schema(), part).unwrap())
                    .collect();
                let n_rows: usize = parts.iter().map(RecordBatch::num_rows).sum();
                assert!(n_rows >= 400, "{n_rows} of {query}");
                assert_eq!(
                    parts,
                    *first.get_or_insert_with(|| parts.clone()),
                    "{query}"
                );
            }
        }
    }

    #[tokio::test]
    async fn queries_that_are_wrong_are_explained() {
        let engine = Engine::new().unwrap();
        let refusal = async |query: &str| {
            let error = joined(query).read(&engine).await.unwrap_err();
            format!("{:?} | {error}", error.kind())
        };
        assert_eq!(
            refusal("SELECT carier FROM flights").await,
            "Config | the query names column `carier`, which is not in its tables; did you mean `carrier`?"
        );
        assert_eq!(
            refusal("SELECT f.carier FROM flights f").await,
            "Config | the query names column `f.carier`, which is not in its tables; did you mean `carrier`?"
        );
        assert_eq!(
            refusal("SELECT * FROM flihgts").await,
            "Config | the query reads table `flihgts`, which the source does not have; did you mean `flights`?"
        );
        let others = [
            refusal("SELECT carrier FORM flights").await,
            refusal("DROP TABLE flights").await,
            refusal("COPY flights TO 'x.csv'").await,
        ];
        insta::assert_snapshot!(others.join("\n"), @r"
        Config | the query is not SQL: expected: end of statement, found: flights at Line: 1, Column: 21
        Config | the query is refused: DDL not supported: DropTable
        Config | the query is refused: DML not supported: COPY
        ");
        assert_eq!(refusal("  ").await, "Config | the query is empty");
        assert_eq!(
            refusal("SELECT * FROM flights WHERE random() < 0.1").await,
            "Config | the query calls `random`, whose result is another at every call"
        );
        let missing = SqlSource::new("SELECT * FROM t").table("t", FileSource::csv("/none.csv"));
        assert_eq!(
            missing.read(&engine).await.unwrap_err().to_string(),
            "table `t`: there is no file or directory `/none.csv`"
        );
        let twice = missing.table("t", FileSource::csv("/none.csv"));
        assert_eq!(
            twice.check().unwrap_err().to_string(),
            "duplicate table `t`"
        );
    }

    #[tokio::test]
    async fn a_query_is_a_source_of_a_pipeline() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("Parcels.csv");
        write_csv(&file, &parcels(300));
        let source = || {
            SqlSource::new(
                "SELECT id, kilograms * 2.2 AS Pounds, road, late FROM Parcels WHERE road <> 'sea'",
            )
            .table("Parcels", FileSource::csv(&file))
        };
        let engine = Engine::new().unwrap();
        let run = async || {
            let data = source().label("late");
            data.run(&engine, &dir.path().join("examples"), &Progress::default())
                .await
                .unwrap()
        };
        let first = run().await;
        assert!(first.schema().field("Pounds").is_ok());
        assert_eq!(run().await.fingerprint(), first.fingerprint());
        // Another file is another extraction; so is another query.
        write_csv(&file, &parcels(301));
        assert_ne!(run().await.fingerprint(), first.fingerprint());
        let other =
            SqlSource::new("SELECT * FROM Parcels").table("Parcels", FileSource::csv(&file));
        assert_ne!(
            serde_json::to_string(&other).unwrap(),
            serde_json::to_string(&source()).unwrap()
        );
        let memory = source().table("x", BatchSource::new("x", vec![parcels(3)]));
        assert_eq!(memory.snapshot(&engine).await.unwrap(), None);
    }
}
