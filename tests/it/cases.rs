//! Files as people have them, after what is reported of readers of tables: each has the answer that it should have had.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fourfold::Result;
use fourfold::arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray,
};
use fourfold::arrow::compute::concat_batches;
use fourfold::arrow::datatypes::{
    DataType, Date32Type, Field, Float64Type, Int64Type, TimestampMicrosecondType,
};
use fourfold::arrow::ipc::writer::{FileWriter, StreamWriter};
use fourfold::data::{PreparedData, source_warnings};
use fourfold::prelude::*;
use fourfold::progress::Progress;
use fourfold::schema::{Field as SchemaField, FieldType, Schema};
use fourfold::statistics::{Statistics, StatisticsAccumulator};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use tempfile::TempDir;

use crate::support::{fitted, write_parquet};

fn case(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/cases");
    dir.join(name)
}

/// A file of a directory of its own, which is removed with it.
fn file(name: &str, content: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, content).unwrap();
    (dir, path)
}

async fn try_read(source: &FileSource) -> Result<(RecordBatch, Vec<String>)> {
    let engine = Engine::new()?;
    let rows = source.read(&engine).await?;
    let schema = Arc::new(rows.schema().as_arrow().clone());
    let told = source_warnings(&schema)
        .iter()
        .map(ToString::to_string)
        .collect();
    // In the order of the parts, which end in any.
    let parts = rows
        .collect_partitioned()
        .await
        .map_err(|error| source.explain(error.into(), &schema))?;
    let batches = parts.concat();
    let schema = batches.first().map_or(schema, RecordBatch::schema);
    Ok((concat_batches(&schema, &batches)?, told))
}

async fn read(source: &FileSource) -> (RecordBatch, Vec<String>) {
    try_read(source).await.unwrap()
}

async fn error(source: &FileSource) -> String {
    let error = try_read(source).await.unwrap_err().to_string();
    let path = source.path().to_string_lossy().into_owned();
    error.replace(&path, "<file>")
}

async fn rows_of(name: &str) -> (RecordBatch, Vec<String>) {
    read(&FileSource::detect(case(name)).unwrap()).await
}

/// `name type` of each column.
fn types(batch: &RecordBatch) -> Vec<String> {
    let schema = batch.schema();
    let of = |field: &Arc<Field>| format!("{} {}", field.name(), FieldType::of(field.data_type()));
    schema.fields().iter().map(of).collect()
}

fn floats(batch: &RecordBatch, name: &str) -> Vec<f64> {
    let column = batch.column_by_name(name).unwrap();
    column.as_primitive::<Float64Type>().values().to_vec()
}

fn texts<'a>(batch: &'a RecordBatch, name: &str) -> Vec<Option<&'a str>> {
    batch
        .column_by_name(name)
        .unwrap()
        .as_string::<i32>()
        .iter()
        .collect()
}

async fn prepare(source: FileSource, label: &str) -> (PreparedData, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let data = source.label(label);
    let prepared = data
        .run(&Engine::new().unwrap(), dir.path(), &Progress::default())
        .await;
    (prepared.unwrap(), dir)
}

/// The decisions and the metrics of a run.
async fn outcome(path: &Path, label: &str) -> (Vec<String>, String) {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = Pipeline::builder("case")
        .data(FileSource::detect(path).unwrap().label(label))
        .train(Linear::default())
        .evaluate(Thresholds::new().better_than_constant())
        .serve(ModelRepository::at(dir.path().join("models")))
        .root(dir.path().join("root"))
        .build()
        .unwrap();
    let outcome = pipeline.run().await.unwrap();
    let run = outcome.run();
    let decisions = run.decisions.iter().map(ToString::to_string).collect();
    (decisions, format!("{:?}", run.metrics.overall))
}

#[tokio::test]
async fn names_may_have_line_breaks_or_be_missing() {
    let (batch, _) = rows_of("header_line_break.csv").await;
    assert_eq!(
        types(&batch),
        ["site text", "Output\n(kWh) float", "tilt integer"]
    );
    assert_eq!(batch.num_rows(), 300);

    let (batch, told) = rows_of("pandas_index.csv").await;
    assert_eq!(types(&batch), ["x float", "y integer"]);
    assert_eq!(
        told,
        ["read: column `column_1`: it has no name and counts the rows: an index [column_left_out]"]
    );

    let (batch, told) = rows_of("trailing_delimiters.csv").await;
    assert_eq!(types(&batch), ["hours float", "sleep float", "grade text"]);
    assert_eq!(told.len(), 3);
    assert_eq!(
        told[0],
        "read: column `column_4`: it has neither a name nor a value [column_left_out]"
    );

    let (_dir, path) = file("named.csv", "a,,b\n1,x,2\n2,y,3\n");
    let (batch, told) = read(&FileSource::csv(path)).await;
    assert_eq!(types(&batch), ["a integer", "column_2 text", "b integer"]);
    assert_eq!(
        told,
        ["read: column `column_2`: column 2 of the file has no name [column_named]"]
    );

    let (_dir, path) = file("kept.csv", ",a\n0,5\n1,6\n");
    let kept = FileSource::csv(path).column_type("column_1", FieldType::Integer);
    assert_eq!(
        types(&read(&kept).await.0),
        ["column_1 integer", "a integer"]
    );

    let (batch, _) = rows_of("carriage_returns.csv").await;
    assert_eq!(types(&batch), ["k integer", "c text", "v float"]);
    assert_eq!(batch.num_rows(), 100);
}

#[tokio::test]
async fn numbers_are_read_as_they_are_written() {
    let (batch, told) = rows_of("blanks.csv").await;
    assert_eq!(
        types(&batch),
        [
            "income integer",
            "years integer",
            "debt float",
            "region text",
            "granted text"
        ]
    );
    assert_eq!(
        texts(&batch, "region")[..3],
        [Some("south"), Some("south"), None]
    );
    assert_eq!(told, [""; 0]);

    let (batch, told) = rows_of("decimal_comma.csv").await;
    assert_eq!(
        types(&batch),
        [
            "flaeche float",
            "zimmer integer",
            "lage text",
            "miete float"
        ]
    );
    assert_eq!(floats(&batch, "miete")[..2], [1867.82, 865.07]);
    assert_eq!(floats(&batch, "flaeche")[..2], [106.7, 53.5]);
    assert_eq!(told.len(), 2);

    let (batch, _) = rows_of("infinities.csv").await;
    assert_eq!(
        types(&batch)[..4],
        ["java float", "rlang float", "python float", "plus float"]
    );
    let infinite = floats(&batch, "java")
        .iter()
        .filter(|value| **value == f64::INFINITY)
        .count();
    let text = std::fs::read_to_string(case("infinities.csv")).unwrap();
    let spelled = text
        .lines()
        .filter(|line| line.to_lowercase().starts_with("inf"))
        .count();
    assert_eq!(infinite, spelled);
    assert_eq!(floats(&batch, "plus")[0], 0.1862);

    let (_dir, path) = file(
        "many.csv",
        "a,b,c,d\n\"1,234.5\",5 %,$3.50,\"1,5\"\n\"12\",12.5%,-$4,\"2,25\"\n",
    );
    let (batch, told) = read(&FileSource::csv(path)).await;
    assert_eq!(floats(&batch, "a"), [1234.5, 12.0]);
    assert_eq!(floats(&batch, "b"), [0.05, 0.125]);
    assert_eq!(floats(&batch, "c"), [3.5, -4.0]);
    assert_eq!(floats(&batch, "d"), [1.5, 2.25]);
    assert_eq!(
        told[0],
        "read: column `a`: read as numbers with commas between thousands (such as `1,234.5` in line 2) [column_reading]"
    );
}

#[tokio::test]
async fn codes_stay_text() {
    let (batch, told) = rows_of("codes.csv").await;
    assert_eq!(
        types(&batch),
        ["part text", "lot integer", "batch text", "faulty text"]
    );
    assert_eq!(texts(&batch, "part")[0], Some("888E050012"));
    assert_eq!(
        told,
        [
            "read: column `batch`: text, not numbers: it has codes with an `E` (`12E4` in line 2) [column_codes]"
        ]
    );

    let (_dir, path) = file("zip.csv", "zip,n\n02134,18446744073709551615\n12345,1\n");
    let (batch, told) = read(&FileSource::csv(&path)).await;
    assert_eq!(types(&batch), ["zip text", "n text"]);
    assert_eq!(texts(&batch, "zip"), [Some("02134"), Some("12345")]);
    assert_eq!(
        told[0],
        "read: column `zip`: text, not numbers: it has leading zeros (`02134` in line 2) [column_codes]"
    );
    let told = FileSource::csv(path).column_type("zip", FieldType::Integer);
    assert_eq!(types(&read(&told).await.0)[0], "zip integer");
}

#[tokio::test]
async fn times_are_read_as_they_are_written() {
    let (batch, _) = rows_of("no_seconds.csv").await;
    assert_eq!(types(&batch), ["when timestamp", "busy integer"]);
    let times = batch.column(0).as_primitive::<TimestampMicrosecondType>();
    assert_eq!(times.value(0), 1_683_599_280_000_000);

    let (batch, told) = rows_of("day_first.csv").await;
    assert_eq!(
        types(&batch),
        ["day date", "open boolean", "visitors integer"]
    );
    assert_eq!(
        batch.column(0).as_primitive::<Date32Type>().value(0),
        19_406
    );
    assert_eq!(
        told,
        [
            "read: column `day`: read as dates with the day first (such as `18/02/2023` in line 2) [column_reading]"
        ]
    );

    let (_dir, path) = file("either.csv", "day,n\n01/02/2023,1\n03/04/2023,2\n");
    let (batch, told) = read(&FileSource::csv(&path)).await;
    assert_eq!(types(&batch)[0], "day text");
    assert!(
        told[0].contains("may have the day or the month first"),
        "{told:?}"
    );
    let day_first = FileSource::csv(path).column_type("day", FieldType::Date);
    let (batch, _) = read(&day_first).await;
    assert_eq!(
        batch.column(0).as_primitive::<Date32Type>().value(0),
        19_389
    );
}

#[tokio::test]
async fn words_for_nothing_are_values_where_they_are_frequent() {
    let (prepared, _dir) = prepare(FileSource::csv(case("class_none.csv")), "damage").await;
    assert_eq!(prepared.target().classes(), ["Major", "Minor", "None"]);
    assert_eq!(prepared.n_unlabelled(), 0);
    let told: Vec<&str> = prepared
        .warnings()
        .iter()
        .map(|warning| warning.code.as_str())
        .collect();
    assert_eq!(told, ["mark_is_value", "mark_is_value"]);

    let marked = FileSource::csv(case("class_none.csv")).null_marks(["None"]);
    let (prepared, _dir) = prepare(marked, "damage").await;
    assert_eq!(
        (prepared.target().classes().len(), prepared.n_unlabelled()),
        (2, 279)
    );
    let told = prepared
        .warnings()
        .iter()
        .find(|warning| warning.code == "rows_unlabelled");
    assert!(told.unwrap().message.contains("279 rows"), "{told:?}");
}

#[tokio::test]
async fn json_is_read_as_csv_is() {
    let (batch, _) = rows_of("array.json").await;
    assert_eq!(
        (types(&batch), batch.num_rows()),
        (vec!["x float".to_owned(), "y integer".to_owned()], 60)
    );
    let (batch, _) = rows_of("bom.jsonl").await;
    assert_eq!(types(&batch), ["id integer", "v integer"]);
    let (batch, _) = rows_of("nan.jsonl").await;
    assert_eq!(types(&batch), ["x float", "y integer"]);
    assert_eq!(batch.column(0).null_count(), 1);
    let (batch, _) = rows_of("int_text.jsonl").await;
    assert_eq!(types(&batch), ["id integer", "code text", "v float"]);
    assert_eq!(texts(&batch, "code")[..2], [Some("x0"), Some("1")]);
    let (batch, told) = rows_of("scalar_list.jsonl").await;
    assert_eq!(
        texts(&batch, "tags")[..2],
        [Some("a"), Some("[\"a\", \"b\"]")]
    );
    assert!(told[0].contains("[column_mixed]"), "{told:?}");

    let (_dir, path) = file(
        "nested.json",
        "[{\"a\": {\"b\": [1, 2]}, \"c\": [\"x\"]},\n {\"a\": null, \"c\": []}]",
    );
    let (batch, _) = read(&FileSource::json(path)).await;
    assert!(matches!(batch.column(0).data_type(), DataType::Struct(_)));
    assert!(matches!(batch.column(1).data_type(), DataType::List(_)));

    // A word for no value is one beside objects, too.
    let text = "{\"a\": {\"b\": 1}}\n{\"a\": \"none\"}\n{\"a\": {\"b\": 2}}\n{\"a\": 7}\n";
    let (_dir, path) = file("late_number.jsonl", text);
    let source = FileSource::json(&path).infer_rows(3);
    assert_eq!(
        error(&source).await,
        "`<file>` cannot be read: column `a` is `7` before line 5, must be an object like those of the first rows; `infer_rows` says how many are looked at"
    );
    let (_dir, path) = file("marked.jsonl", &text[..text.len() - 9]);
    let (batch, _) = read(&FileSource::json(&path)).await;
    assert!(matches!(batch.column(0).data_type(), DataType::Struct(_)));
    assert_eq!((batch.num_rows(), batch.column(0).null_count()), (3, 1));

    let text = "{\"a\": 1}\n{\"a\": 2}\n{\"a\": [3]}\n{\"a\": 4, \"b\": 5}\n";
    let (_dir, path) = file("late.jsonl", text);
    let late = |n| FileSource::json(&path).infer_rows(n);
    assert_eq!(
        error(&late(2)).await,
        "`<file>` cannot be read: column `a` is `[3]` in line 3, must be of type integer as the first 2 rows are; `infer_rows` says how many are looked at"
    );
    assert_eq!(
        error(&late(3)).await,
        "`<file>` cannot be read: field `b` in line 4 is in none of the first 3 rows; `infer_rows` says how many are looked at"
    );
    assert_eq!(read(&late(4)).await.0.num_rows(), 4);
    let (_dir, path) = file(
        "left_out.jsonl",
        "{\"a\": 1, \"b\": 1}\n{\"a\": [3], \"b\": 2}\n",
    );
    let left_out = FileSource::json(path).infer_rows(1).leave_out(["a"]);
    assert_eq!(types(&read(&left_out).await.0), ["b integer"]);
}

#[tokio::test]
async fn a_late_value_is_named_with_its_line() {
    let mut text = "s,y\n".to_owned();
    (0..200_000).for_each(|i| writeln!(text, "{i},{}", i % 2).unwrap());
    text.push_str("3.5,0\n");
    let (_dir, path) = file("steps.csv", &text);
    assert_eq!(
        error(&FileSource::csv(&path)).await,
        "`<file>` cannot be read: column `s` is `3.5` in line 200002, must be of type integer as the first 100000 rows are; `infer_rows` says how many are looked at"
    );
    let (batch, _) = read(&FileSource::csv(&path).infer_rows(300_000)).await;
    assert_eq!(types(&batch)[0], "s float");
    let (batch, _) = read(&FileSource::csv(path).column_type("s", FieldType::Float)).await;
    assert_eq!(floats(&batch, "s").len(), 200_001);
}

#[tokio::test]
async fn large_files_are_read_in_parts_with_every_row_once() {
    // Quotes, line breaks within them, and quotes that open nothing, past every threshold of reading in parts.
    let n = 500_000;
    let mut csv = "id,text\n".to_owned();
    let (mut lines, mut array) = (String::new(), "[".to_owned());
    for i in 0..n {
        let text = match i % 4 {
            0 => "\"a\nb, \"\"c\"\"\"",
            1 => "6\" pipe",
            2 => "\"\"",
            _ => "plain, long enough to fill some bytes".trim_end_matches(','),
        };
        let quoted = if i % 4 == 3 {
            format!("\"{text}\"")
        } else {
            text.to_owned()
        };
        writeln!(csv, "{i},{quoted}").unwrap();
        writeln!(lines, "{{\"id\": {i}, \"text\": \"a\\n}} {{ \\\" {i}\"}}").unwrap();
        write!(
            array,
            "{}{{\"id\": {i}, \"text\": \"x}}\"}}",
            if i > 0 { ",\n" } else { "" }
        )
        .unwrap();
    }
    array.push(']');
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..n));
    let texts = (0..n).map(|i| format!("{i} and enough to fill some bytes"));
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values(texts));
    let batch = RecordBatch::try_from_iter([("id", ids), ("text", texts)]).unwrap();
    let schema = batch.schema();
    let mut arrow = FileWriter::try_new(Vec::new(), &schema).unwrap();
    let mut stream = StreamWriter::try_new(Vec::new(), &schema).unwrap();
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_max_row_group_row_count(Some(60_000))
        .build();
    let mut parquet = ArrowWriter::try_new(Vec::new(), schema, Some(properties)).unwrap();
    for at in (0..n as usize).step_by(50_000) {
        let rows = batch.slice(at, 50_000);
        arrow.write(&rows).unwrap();
        stream.write(&rows).unwrap();
        parquet.write(&rows).unwrap();
    }
    let files = [
        ("a.csv", csv.into_bytes()),
        ("a.jsonl", lines.into_bytes()),
        ("a.json", array.into_bytes()),
        ("a.arrow", arrow.into_inner().unwrap()),
        ("stream.arrow", stream.into_inner().unwrap()),
        ("a.parquet", parquet.into_inner().unwrap()),
    ];
    for (name, content) in files {
        // DataFusion splits files of 10 MB, fourfold's readers of text those of 8 MiB.
        assert!(content.len() > 10 << 20, "{name}: {}", content.len());
        let (_dir, path) = file(name, &content);
        let engine = Engine::new().unwrap();
        let rows = FileSource::detect(&path)
            .unwrap()
            .read(&engine)
            .await
            .unwrap();
        let batches = rows.collect_partitioned().await.unwrap().concat();
        let ids = batches.iter().flat_map(|batch| {
            let ids = batch.column_by_name("id").unwrap();
            ids.as_primitive::<Int64Type>().values().to_vec()
        });
        assert!(ids.eq(0..n), "{name}");
    }
}

#[tokio::test]
async fn typed_files_say_what_is_no_feature() {
    let (prepared, _dir) = prepare(FileSource::parquet(case("pandas_index.parquet")), "y").await;
    let left_out = fitted(&prepared)
        .await
        .decisions()
        .last()
        .unwrap()
        .to_string();
    assert_eq!(
        left_out,
        "__index_level_0__: left out (an index, as the file's metadata of pandas says)"
    );

    let (batch, told) = rows_of("unsigned.parquet").await;
    assert_eq!(types(&batch)[0], "hash text");
    assert_eq!(
        told,
        [
            "read: column `hash`: read as text: it has unsigned numbers past 2^63 [column_past_range]"
        ]
    );
    let without = FileSource::parquet(case("unsigned.parquet")).leave_out(["hash"]);
    assert_eq!(
        types(&read(&without).await.0),
        ["u32 integer", "u8 integer", "y boolean"]
    );
    let unknown = FileSource::parquet(case("unsigned.parquet")).leave_out(["hsh"]);
    assert!(error(&unknown).await.contains("did you mean `hash`?"));
}

#[tokio::test]
async fn the_chosen_transform_answers_for_every_number() {
    let dir = tempfile::tempdir().unwrap();
    let data = FileSource::csv(case("negative_later.csv")).label("churn");
    let prepared = data
        .run(&Engine::new().unwrap(), dir.path(), &Progress::default())
        .await
        .unwrap();
    let fitted = fitted(&prepared).await;
    assert_eq!(fitted.decisions()[0].action, "at least 0, log, z-score");
    let numbers = [-40.0, 0.0, 1e300, -1e300, f64::MAX, f64::INFINITY];
    let amount: ArrayRef = Arc::new(Float64Array::from(numbers.to_vec()));
    let age: ArrayRef = Arc::new(Int64Array::from(vec![i64::MAX, i64::MIN, 0, 1, 2, 3]));
    let rows = RecordBatch::try_from_iter([("amount", amount), ("age", age)]).unwrap();
    let features = fitted.transform().apply(&rows).unwrap();
    assert!(
        features.iter().all(|value| value.is_finite()),
        "{features:?}"
    );
    assert_eq!(features[(0, 0)], features[(1, 0)]);
}

#[tokio::test]
async fn spellings_and_leaks_are_warned_of() {
    let (prepared, _dir) = prepare(FileSource::csv(case("spellings.csv")), "is it").await;
    let told = prepared
        .warnings()
        .iter()
        .find(|warning| warning.code == "near_equal_values");
    let message = &told.unwrap().message;
    assert!(
        ["`Yes`", "`yes `", "`yes`", "` yes`"]
            .iter()
            .all(|class| message.contains(class)),
        "{message}"
    );

    let mut text = "x,member\n".to_owned();
    let spelled = ["yes", "no", "Y", "N", "1", "0", "true", "F"];
    (0..400).for_each(|i| writeln!(text, "{},{}", i % 7, spelled[i % 8]).unwrap());
    let (_file, path) = file("booleans.csv", &text);
    let (prepared, _dir) = prepare(FileSource::csv(path), "member").await;
    let told = prepared
        .warnings()
        .iter()
        .find(|warning| warning.code == "near_equal_values");
    let message = &told.unwrap().message;
    let (first, second) = message.rsplit_once(';').unwrap();
    for words in [
        ["`yes`", "`Y`", "`1`", "`true`"],
        ["`no`", "`N`", "`0`", "`F`"],
    ] {
        let has_all = |text: &str| words.iter().all(|word| text.contains(word));
        assert!(has_all(first) != has_all(second), "{message}");
    }

    let mut text = "leak,copy,honest,gone,y\n".to_owned();
    for i in 0..600_u32 {
        let y = (i * 7_919) % 10 < 3;
        let noise = (i * 104_729) % 97;
        let gone = if y { String::new() } else { noise.to_string() };
        let leak = f64::from(noise) / 100.0 + f64::from(u8::from(y));
        let copy = if y { "in" } else { "out" };
        let honest = noise + if y { 30 } else { 0 };
        writeln!(
            text,
            "{leak},{copy},{honest},{gone},{}",
            if y { "yes" } else { "no" }
        )
        .unwrap();
    }
    let (_file, path) = file("leaks.csv", &text);
    let (prepared, _dir) = prepare(FileSource::csv(path), "y").await;
    let leaks = prepared
        .warnings()
        .iter()
        .filter(|warning| warning.code == "column_leaks");
    let columns: Vec<&str> = leaks
        .filter_map(|warning| warning.column.as_deref())
        .collect();
    assert_eq!(columns, ["leak", "copy", "gone"]);

    let mut text = "metres,feet,other\n".to_owned();
    (0..300_u32).for_each(|i| {
        let metres = f64::from((i * 7_919) % 1_009);
        writeln!(
            text,
            "{metres},{},{}",
            (metres / 0.3048).round(),
            (i * 31) % 17
        )
        .unwrap();
    });
    let (_file, path) = file("feet.csv", &text);
    let (prepared, _dir) = prepare(FileSource::csv(path), "metres").await;
    let leaks = prepared
        .warnings()
        .iter()
        .filter(|warning| warning.code == "column_leaks");
    let columns: Vec<&str> = leaks
        .filter_map(|warning| warning.column.as_deref())
        .collect();
    assert_eq!(columns, ["feet"]);
}

async fn statistics(source: FileSource, pairs: bool) -> Statistics {
    let engine = Engine::new().unwrap();
    let rows = source.read(&engine).await.unwrap();
    let schema = rows.schema().as_arrow().clone();
    let accumulator = if pairs {
        Statistics::options()
            .all_pairs()
            .accumulator(&schema)
            .unwrap()
    } else {
        StatisticsAccumulator::new(&schema)
    };
    engine.accumulate(rows, accumulator).await.unwrap().finish()
}

#[tokio::test]
async fn estimates_stay_within_their_bounds() {
    let found = statistics(FileSource::csv(case("constants.csv")), true).await;
    let constant =
        |pair: &&fourfold::statistics::PairStatistics| pair.a == "konst" || pair.a == "big";
    assert!(found.pairs.iter().filter(constant).count() > 0);
    assert!(
        found
            .pairs
            .iter()
            .filter(constant)
            .all(|pair| pair.correlation.is_none())
    );

    // The estimate of a few of these sizes is above the number of rows.
    for n in [10_000_u32, 20_000, 39_400] {
        let mut text = "id\n".to_owned();
        (0..n).for_each(|i| writeln!(text, "k{}", i.wrapping_mul(2_654_435_761)).unwrap());
        let (_dir, path) = file("ids.csv", &text);
        let found = statistics(FileSource::csv(path), false).await;
        assert!(
            found.columns[0].distinct <= u64::from(n),
            "{n}: {}",
            found.columns[0].distinct
        );
    }
}

/// The fields of a simple CSV file as text, without blanks around them; an empty one is missing.
fn cells(path: &Path) -> (Vec<String>, Vec<Vec<Option<String>>>) {
    let text = std::fs::read_to_string(path).unwrap();
    let delimiter = if text.lines().next().unwrap().contains(';') {
        ';'
    } else {
        ','
    };
    let mut lines = text
        .lines()
        .map(|line| line.split(delimiter).map(|cell| cell.trim().to_owned()));
    let names = lines.next().unwrap().collect();
    let cell = |cell: String| (!cell.is_empty()).then_some(cell);
    (names, lines.map(|line| line.map(cell).collect()).collect())
}

#[tokio::test]
async fn the_same_rows_give_the_same_decisions_and_scores_from_every_format() {
    for (name, label) in [
        ("blanks.csv", "granted"),
        ("decimal_comma.csv", "miete"),
        ("infinities.csv", "churn"),
        ("no_seconds.csv", "busy"),
        ("day_first.csv", "open"),
        ("class_none.csv", "damage"),
        ("codes.csv", "faulty"),
        ("iso_times.csv", "busy"),
        ("negative_later.csv", "churn"),
    ] {
        let (names, rows) = cells(&case(name));
        let objects: Vec<String> = rows
            .iter()
            .map(|row| {
                let fields = names.iter().zip(row);
                let fields =
                    fields.map(|(name, cell)| format!("{name:?}: {}", serde_json::json!(cell)));
                format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
            })
            .collect();
        let columns = names.iter().enumerate().map(|(at, name)| {
            let column: StringArray = rows.iter().map(|row| row[at].clone()).collect();
            (name.as_str(), Arc::new(column) as ArrayRef, true)
        });
        let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("a.jsonl"), objects.join("\n")).unwrap();
        std::fs::write(path("a.json"), format!("[\n{}\n]", objects.join(",\n"))).unwrap();
        write_parquet(&path("a.parquet"), &[batch]);
        let wanted = outcome(&case(name), label).await;
        for other in ["a.jsonl", "a.json", "a.parquet"] {
            assert_eq!(
                outcome(&path(other), label).await,
                wanted,
                "{name} as {other}"
            );
        }
    }
    // And as JSON that has numbers.
    let csv = outcome(&case("iso_times.csv"), "busy").await;
    assert_eq!(outcome(&case("iso_times.jsonl"), "busy").await, csv);
}

#[tokio::test]
async fn tables_are_wide() {
    let n = 10_000;
    let names: Vec<String> = (0..n).map(|i| format!("c{i}")).collect();
    let row = |k: usize| {
        (0..n)
            .map(|i| (i * k % 7).to_string())
            .collect::<Vec<_>>()
            .join(",")
    };
    let text = format!("{}\n{}\n{}\n", names.join(","), row(1), row(2));
    let (_dir, path) = file("wide.csv", text);
    let (batch, _) = read(&FileSource::csv(path)).await;
    assert_eq!((batch.num_columns(), batch.num_rows()), (n, 2));

    let long = "x".repeat(70_000);
    let (_dir, path) = file("long.csv", format!("{long},b\n1,2\n"));
    assert_eq!(
        error(&FileSource::csv(path)).await,
        "`<file>` cannot be read: the name of column 1 has 70000 bytes, must have at most 16384"
    );
    let (_dir, path) = file("wider.csv", format!("{}\n", vec!["a"; 70_000].join(",")));
    assert_eq!(
        error(&FileSource::csv(path)).await,
        "`<file>` cannot be read: there are 70000 columns, must be at most 65536"
    );
}

#[tokio::test]
async fn rows_are_read_as_a_model_was_trained() {
    let schema = Schema::new([
        SchemaField::new("zip", FieldType::Text),
        SchemaField::new("area", FieldType::Float),
        SchemaField::new("elsewhere", FieldType::Date),
    ]);
    let (_dir, path) = file("few.csv", "zip,area,n\n12345,3,1\n23456,4,2\n");
    let plain = FileSource::csv(&path);
    assert_eq!(
        types(&read(&plain).await.0),
        ["zip integer", "area integer", "n integer"]
    );
    let as_trained = plain.typed_as(&schema);
    assert_eq!(
        types(&read(&as_trained).await.0),
        ["zip text", "area float", "n integer"]
    );
    // What is said of a column counts more.
    let said = as_trained.column_type("zip", FieldType::Integer);
    assert_eq!(types(&read(&said).await.0)[0], "zip integer");

    let (batch, _) = read(&said).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("few.parquet");
    write_parquet(&path, &[batch]);
    let as_trained = FileSource::parquet(path).typed_as(&schema);
    assert_eq!(
        types(&read(&as_trained).await.0),
        ["zip text", "area float", "n integer"]
    );
}

#[tokio::test]
async fn doubtful_shapes_are_told() {
    let told = async |name: &str, text: &str| {
        let (_dir, path) = file(name, text);
        let source = FileSource::detect(&path).unwrap();
        let (batch, told) = read(&source).await;
        let shown = path.to_string_lossy().into_owned();
        let told = told.join("; ").replace(&shown, "<file>");
        (types(&batch).join(", "), batch.num_rows(), told)
    };
    let (columns, _, why) = told("short.csv", "a,b\nx,1,2\ny,3,4\n").await;
    assert_eq!(columns, "column_1 text, a integer, b integer");
    assert!(
        why.contains("the rows of `<file>` have 3 fields and the header has 2 names"),
        "{why}"
    );
    let (columns, _, why) = told("spaces.csv", "a b\n1 2\n3 4\n").await;
    assert_eq!(columns, "a b text");
    assert!(
        why.contains("every line has 2 fields between spaces"),
        "{why}"
    );
    let (columns, _, why) = told("iris.csv", "5.1,setosa\n4.9,virginica\n4.7,setosa\n").await;
    assert_eq!(columns, "5.1 float, setosa text");
    assert!(why.contains("[header_of_values]"), "{why}");
    let (columns, _, why) = told("unnamed.csv", "Unnamed: 0,a\n0,5\n1,6\n2,8\n").await;
    assert_eq!(columns, "a integer");
    assert!(why.contains("[column_left_out]"), "{why}");
    let (_, rows, why) = told("wrapped.json", r#"{"data": [{"a": 1}, {"a": 2}]}"#).await;
    assert_eq!(rows, 1);
    assert!(
        why.contains("`<file>` is one object and so one row, in which field `data` is a list"),
        "{why}"
    );

    let (_, _, why) = told("columns.json", r#"{"x": {"0": 1, "1": 2}, "y": 3}"#).await;
    assert!(why.contains("in which field `x` is an object"), "{why}");
    let (_dir, path) = file("empty.json", "[]");
    assert_eq!(
        error(&FileSource::json(path)).await,
        "`<file>` cannot be read: there are no rows"
    );

    let dir = tempfile::tempdir().unwrap();
    let rows = "1\n".repeat(20);
    std::fs::write(dir.path().join("a.csv"), format!("x\n{rows}")).unwrap();
    std::fs::write(dir.path().join("b.csv"), format!("x\n2\nabc\n{rows}")).unwrap();
    let (_, told_of_files) = read(&FileSource::csv(dir.path())).await;
    assert!(
        told_of_files[0].contains("the first that is not is `abc` in line 3 of `")
            && told_of_files[0].contains("b.csv`"),
        "{told_of_files:?}"
    );

    let (_dir, path) = file("marks.csv", "x,kind\n1,NA\n2,none\n3,NA\n");
    let dir = tempfile::tempdir().unwrap();
    let data = FileSource::csv(path).label("kind");
    let engine = Engine::new().unwrap();
    let refused = data.run(&engine, dir.path(), &Progress::default()).await;
    let refused = refused.map(drop).unwrap_err().to_string();
    assert!(
        refused.contains("label `kind` has no value in any of 3 rows; no value in 3 rows: `NA` (2), `none` (1) are taken as missing"),
        "{refused}"
    );
}

#[tokio::test]
async fn files_of_the_same_columns_in_another_order_are_read_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("a.csv", "x,kind,y\n1.5,a,2\n2.5,b,3\n");
    write("b.csv", "kind,y,x\nc,4,3.5\n");
    write("c.csv", "y,x,kind\n5,4.5,d\n");
    let source = FileSource::csv(dir.path());
    let (batch, _) = read(&source).await;
    assert_eq!(types(&batch), ["x float", "kind text", "y integer"]);
    assert_eq!(floats(&batch, "x"), [1.5, 2.5, 3.5, 4.5]);
    assert_eq!(
        texts(&batch, "kind"),
        [Some("a"), Some("b"), Some("c"), Some("d")]
    );
    let said = source.clone().column_type("kind", FieldType::Integer);
    let engine = Engine::new().unwrap();
    let rows = said.read(&engine).await.unwrap();
    let columns = rows.schema().as_arrow().clone();
    let rows = rows.select_columns(&["kind"]).unwrap();
    let error = said.explain(rows.collect().await.unwrap_err().into(), &columns);
    assert!(error.to_string().contains("column `kind` is"), "{error}");

    write("c.csv", "y,x\n5,4.5\n");
    assert!(
        error_of(&source)
            .await
            .contains("c.csv` has another header than")
    );
    write("c.csv", "x;kind;y\n5;d;2\n");
    let told = error_of(&source).await;
    assert!(
        told.ends_with("its delimiter is `;`, that of the other is `,`"),
        "{told}"
    );
}

async fn error_of(source: &FileSource) -> String {
    try_read(source).await.unwrap_err().to_string()
}

#[tokio::test]
async fn columns_of_files_that_declare_their_types_are_one() {
    let dir = tempfile::tempdir().unwrap();
    let x: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let kind: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
    let one = RecordBatch::try_from_iter([("x", x), ("kind", kind)]).unwrap();
    let x: ArrayRef = Arc::new(Float64Array::from(vec![Some(0.5), None]));
    let other = RecordBatch::try_from_iter_with_nullable([("x", x, true)]).unwrap();
    write_parquet(&dir.path().join("a.parquet"), std::slice::from_ref(&one));
    write_parquet(&dir.path().join("b.parquet"), std::slice::from_ref(&other));
    let source = FileSource::parquet(dir.path());
    let (batch, told) = read(&source).await;
    assert_eq!(types(&batch), ["x float", "kind text"]);
    let x = batch.column(0).as_primitive::<Float64Type>();
    assert_eq!(
        x.iter().collect::<Vec<_>>(),
        [Some(1.0), Some(2.0), Some(0.5), None]
    );
    assert_eq!(batch.column(1).null_count(), 2);
    assert!(told[0].contains("[column_widened]"), "{told:?}");
    assert!(told[1].contains("[column_missing]"), "{told:?}");
    let found = statistics(source, false).await;
    assert_eq!(found.column("x").unwrap().count, 3);

    // Arrow files would be read by the places of their columns.
    let swapped = one.project(&[1, 0]).unwrap();
    for (name, batch) in [("a.arrow", &one), ("b.arrow", &swapped)] {
        let mut writer = FileWriter::try_new(Vec::new(), &batch.schema()).unwrap();
        writer.write(batch).unwrap();
        std::fs::write(dir.path().join(name), writer.into_inner().unwrap()).unwrap();
    }
    let refused = error_of(&FileSource::arrow(dir.path().join("*.arrow"))).await;
    assert!(
        refused.contains("column 1 is `x` Int64 in `")
            && refused
                .ends_with("b.arrow`; Arrow files must have the same columns in the same order"),
        "{refused}"
    );
}

#[tokio::test]
async fn files_without_a_header_are_read() {
    let (_dir, path) = file("iris.csv", "5.1,setosa\n4.9,virginica\n");
    let (batch, told) = read(&FileSource::csv(&path).without_header()).await;
    assert_eq!(types(&batch), ["column_1 float", "column_2 text"]);
    assert_eq!((batch.num_rows(), told.len()), (2, 0));
    let bad = FileSource::json(&path).without_header().check();
    assert!(
        bad.unwrap_err()
            .to_string()
            .contains("only CSV files have one")
    );
    let typed = FileSource::csv(path)
        .without_header()
        .column_type("column_2", FieldType::Integer);
    assert_eq!(
        error(&typed).await,
        "`<file>` cannot be read: column `column_2` is `setosa` in line 1, must be of type integer as configured"
    );
}

#[tokio::test]
async fn files_of_other_formats_are_refused_by_name() {
    let (_dir, path) = file("a.jsonl", b"\xff\xfe{\0}\0");
    assert_eq!(
        error(&FileSource::json(path)).await,
        "`<file>` cannot be read: it is UTF-16, must be UTF-8; `iconv -f UTF-16 -t UTF-8` converts it"
    );
    let parquet = std::fs::read(case("lists.parquet")).unwrap();
    let (_dir, path) = file("a.csv", parquet);
    assert_eq!(
        error(&FileSource::csv(path)).await,
        "`<file>` cannot be read: it is a Parquet file"
    );
}

#[tokio::test]
async fn row_groups_without_rows_are_read() {
    // Written by Arrow C++ with groups of 0, 2, 0 and 1 rows.
    let (batch, _) = rows_of("empty_groups.parquet").await;
    assert_eq!(floats(&batch, "x"), [0.5, 1.5, 2.5]);
    assert_eq!(texts(&batch, "k"), [Some("a"), None, Some("b")]);
    let (batch, _) = rows_of("no_rows.parquet").await;
    assert_eq!(batch.num_rows(), 0);
    assert_eq!(types(&batch), ["x float", "k text"]);
}
