//! Bad input gets a clear error that names the stage, the file, the column and the value; nothing half-written
//! stays.
//!
//! Each text is pinned with its [`ErrorKind`](fourfold::ErrorKind) before it.

use std::path::PathBuf;
use std::sync::Arc;

use fourfold::Result;
use fourfold::arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use fourfold::arrow::datatypes::{DataType, Field, Schema};
use fourfold::prelude::*;
use insta::assert_snapshot;
use tempfile::TempDir;

use crate::support::{parcels, tree, write_parquet};

/// A directory with bad files.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Place(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        std::fs::write(self.path(name), content).unwrap();
        self.path(name)
    }

    fn run<S: DataSource>(
        &self,
        data: DataPipeline<S>,
    ) -> Result<Outcome<fourfold::serving::PushedModel>> {
        Pipeline::builder("parcels")
            .data(data)
            .train(LogisticRegression::default())
            .evaluate(Thresholds::new().at_least("skill", -1.0))
            .serve(ModelRepository::at(self.path("models")))
            .root(self.path("root"))
            .build()?
            .run_blocking()
    }

    /// Runs a pipeline that must fail, and says how, with `<dir>` for this directory.
    fn refusal<S: DataSource>(&self, data: DataPipeline<S>) -> String {
        let error = self.run(data).expect_err("bad input was taken");
        let half_written = |path: &PathBuf| path.to_string_lossy().contains("/.writing-");
        assert_eq!(
            tree(&self.path("root"))
                .iter()
                .find(|path| half_written(path)),
            None
        );
        assert_eq!(tree(&self.path("models")), [] as [PathBuf; 0]);
        let dir = self.0.path().to_string_lossy().into_owned();
        format!("{:?} | {error}", error.kind()).replace(&dir, "<dir>")
    }
}

/// 300 lines of `kilograms,road,late`, each as `line` has it of its number.
fn csv(header: &str, line: impl Fn(usize) -> String) -> String {
    let lines: Vec<String> = (0..300).map(line).collect();
    format!("{header}\n{}\n", lines.join("\n"))
}

fn good_line(i: usize) -> String {
    let (road, late) = (["air", "road"][i % 2], ["no", "no", "yes"][i % 3]);
    format!("{}.5,{road},{late}", i % 40)
}

fn good_csv() -> String {
    csv("kilograms,road,late", good_line)
}

/// Good parcels with other kilograms.
fn parcels_weighing(kilograms: impl Fn(usize) -> Option<f64>) -> RecordBatch {
    let good = parcels(300);
    let mut columns = good.columns().to_vec();
    columns[1] = Arc::new(Float64Array::from_iter((0..300).map(kilograms)));
    let schema = good.schema();
    let names = schema.fields().iter().map(|field| field.name());
    RecordBatch::try_from_iter_with_nullable(
        names
            .zip(columns)
            .map(|(name, column)| (name, column, true)),
    )
    .unwrap()
}

fn in_memory(batch: RecordBatch) -> DataPipeline<BatchSource> {
    BatchSource::new("parcels", vec![batch]).label("late")
}

#[test]
fn a_missing_file_is_named() {
    let place = Place::new();
    assert_snapshot!(place.refusal(FileSource::csv(place.path("none.csv")).label("late")), @"NotFound | file: there is no file or directory `<dir>/none.csv`");
    assert_snapshot!(place.refusal(FileSource::parquet(place.path("none.parquet")).label("late")), @"NotFound | file: there is no file or directory `<dir>/none.parquet`");
}

#[test]
fn a_directory_with_nothing_to_read_is_named() {
    let place = Place::new();
    std::fs::create_dir(place.path("empty")).unwrap();
    assert_snapshot!(place.refusal(FileSource::csv(place.path("empty")).label("late")), @"NotFound | file: there is no file to read in directory `<dir>/empty`");
    assert_snapshot!(place.refusal(FileSource::parquet(place.path("empty")).label("late")), @"NotFound | file: there is no file to read in directory `<dir>/empty`");
    std::fs::write(place.path("empty/readme.txt"), "x").unwrap();
    assert_snapshot!(place.refusal(FileSource::parquet(place.path("empty")).label("late")), @"NotFound | file: there is no file to read in directory `<dir>/empty`");
}

#[test]
fn an_unknown_column_comes_with_the_near_name() {
    let place = Place::new();
    let file = place.file("parcels.csv", good_csv());
    let source = || FileSource::csv(&file);
    assert_snapshot!(place.refusal(source().label("lat")), @"Config | file: the label's column `lat` is not in the data; did you mean `late`?");
    assert_snapshot!(place.refusal(source().label("late").transform(Transform::new().z_score("kilogram"))), @"Config | transform: the transform reads column `kilogram`, which is not in the data; did you mean `kilograms`?");
    assert_snapshot!(place.refusal(source().label("late").exclude(["rod"])), @"Config | transform: column `rod` is excluded and not in the data; did you mean `road`?");
    let split = Split::by_hash(["Kilograms"], [("train", 8), ("eval", 2)]);
    assert_snapshot!(place.refusal(source().label("late").split(split)), @"Config | file: the split's key column `Kilograms` is not in the data; did you mean `kilograms`?");
}

#[test]
fn a_file_without_rows_is_named() {
    let place = Place::new();
    let empty = place.file("empty.csv", "");
    assert_snapshot!(place.refusal(FileSource::csv(empty).label("late")), @"Data | file: `<dir>/empty.csv` is empty");
    let header = place.file("header.csv", "kilograms,road,late\n");
    assert_snapshot!(place.refusal(FileSource::csv(header).label("late")), @"Data | file: `<dir>/header.csv` cannot be read: there are no rows");
}

#[test]
fn a_label_that_cannot_be_learned_is_named() {
    let place = Place::new();
    let one_class = place.file("one.csv", csv("kilograms,late", |i| format!("{i},yes")));
    assert_snapshot!(place.refusal(FileSource::csv(one_class).label("late")), @"Data | label: label `late` has one class only, `yes` (242 rows); a classification needs at least two");
    let no_value = place.file("null.csv", csv("kilograms,late", |i| format!("{i},")));
    assert_snapshot!(place.refusal(FileSource::csv(no_value).label("late")), @"Data | validate: label `late` has no value in any of 300 rows");
    let good = place.file("parcels.csv", good_csv());
    let regression = FileSource::csv(&good).label("late").task(Task::Regression);
    assert_snapshot!(place.refusal(regression), @"Data | label: label `late` is of type text, a regression needs numbers");
    assert_snapshot!(place.refusal(FileSource::csv(good).label(Label::at_least("road", 1.0).named("far"))), @"Config | file: the label's column `road` is of type text, a threshold needs numbers");
}

#[test]
fn a_column_that_is_all_null_is_dropped_by_the_auto_transform_and_refused_by_a_given_one() {
    let place = Place::new();
    let file = place.file(
        "parcels.csv",
        csv("gap,kilograms,road,late", |i| format!(",{}", good_line(i))),
    );
    let source = || FileSource::csv(&file).label("late");
    assert_snapshot!(place.refusal(source().transform(Transform::new().z_score("gap"))), @"Config | transform: transform of `gap`: this step takes numbers, the column is of type text and NULL in every row");

    let batch = parcels_weighing(|_| None);
    let given = in_memory(batch.clone()).transform(Transform::new().z_score("kilograms"));
    assert_snapshot!(place.refusal(given), @"Data | transform: transform of `kilograms`: the training split has no finite value to learn from");
    let given = in_memory(batch).transform(Transform::new().impute("kilograms", Fill::Median));
    assert_snapshot!(place.refusal(given), @"Data | transform: transform of `kilograms`: the training split has no finite value to learn from");

    let outcome = place.run(source()).unwrap();
    assert_eq!(
        outcome.run().decisions[0].to_string(),
        "gap: dropped (all values are NULL)"
    );
}

#[test]
fn a_step_on_a_column_of_a_wrong_type_is_refused() {
    let place = Place::new();
    let file = place.file("parcels.csv", good_csv());
    let with = |transform| FileSource::csv(&file).label("late").transform(transform);
    assert_snapshot!(place.refusal(with(Transform::new().z_score("road"))), @"Config | transform: transform of `road`: this step takes numbers, the column is of type text");
    assert_snapshot!(place.refusal(with(Transform::new().one_hot("kilograms"))), @"Config | transform: transform of `kilograms`: this step takes text, whole numbers or booleans, the column is of type float; bucketize a column of floats first");
    assert_snapshot!(place.refusal(with(Transform::new().date_part("road", DatePart::Hour))), @"Config | transform: transform of `road`: this step takes a date or a timestamp, the column is of type text");
    assert_snapshot!(place.refusal(with(Transform::new().z_score("kilograms").z_score("late"))), @"Config | transform: the transform reads the label `late`; a feature must be known before the label is");
}

#[test]
fn a_csv_column_that_turns_to_text_after_the_inferred_rows_is_named_with_the_line() {
    let place = Place::new();
    let line = |i| match i {
        200 => "heavy,road,no".to_owned(),
        i => good_line(i),
    };
    let file = place.file("parcels.csv", csv("kilograms,road,late", line));
    assert_snapshot!(place.refusal(FileSource::csv(file).infer_rows(10).label("late")), @"Data | file: `<dir>/parcels.csv` cannot be read: column `kilograms` is `heavy` in line 202, must be of type float as the first 10 rows are; `infer_rows` says how many are looked at");
}

#[test]
fn a_feature_that_is_not_finite_is_named_with_its_row_unless_it_is_imputed() {
    let place = Place::new();
    for (odd, what) in [
        (Some(f64::NAN), "NaN"),
        (Some(f64::INFINITY), "inf"),
        (None, "NULL"),
    ] {
        let batch = parcels_weighing(|i| if i % 10 == 3 { odd } else { Some(i as f64) });
        let file = place.path("odd.parquet");
        write_parquet(&file, std::slice::from_ref(&batch));
        let source = || FileSource::parquet(&file).label("late").exclude(["id"]);
        let refusal = place
            .refusal(source().transform(Transform::new().z_score("kilograms").one_hot("road")));
        let named = format!("feature `kilograms`: is {what} in row ");
        assert!(refusal.contains(&named), "{refusal}");

        let outcome = place.run(source()).unwrap();
        let decision = outcome
            .run()
            .decisions
            .iter()
            .find(|decision| decision.column == "kilograms");
        assert!(
            decision.unwrap().action.contains("median imputed"),
            "{decision:?}"
        );
        std::fs::remove_dir_all(place.path("models")).unwrap();
    }
    let batch = parcels_weighing(|i| {
        Some(if i % 10 == 3 {
            f64::NEG_INFINITY
        } else {
            i as f64
        })
    });
    assert_snapshot!(place.refusal(in_memory(batch).transform(Transform::new().z_score("kilograms"))), @"Data | logistic_regression: feature `kilograms`: is -inf in row 2, must be a finite single-precision number; add `.impute(..)` or `.clip(..)`");
}

#[test]
fn a_column_name_that_is_there_twice_is_refused() {
    let place = Place::new();
    let file = place.file("twice.csv", csv("a,a,late", good_line));
    assert_snapshot!(place.refusal(FileSource::csv(file).label("late")), @"Data | file: `<dir>/twice.csv` cannot be read: column name `a` is a duplicate; names must be unique");

    let fields = ["a", "a", "late"].map(|name| Field::new(name, DataType::Int64, true));
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..300));
    let columns = vec![Arc::clone(&column), Arc::clone(&column), column];
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields.to_vec())), columns).unwrap();
    assert_snapshot!(place.refusal(in_memory(batch)), @"Data | parcels: column name `a` is a duplicate; names must be unique");
}

#[test]
fn a_csv_file_that_is_not_utf8_is_named() {
    let place = Place::new();
    let mut bytes = good_csv().into_bytes();
    bytes.extend(b"1.5,stra\xdfe,no\n");
    let file = place.file("latin1.csv", &bytes);
    assert_snapshot!(place.refusal(FileSource::csv(&file).label("late")), @"Data | file: `<dir>/latin1.csv` cannot be read: column `road` in line 302 is not UTF-8: byte 0xdf; if it is Latin-1 or Windows-1252, `iconv -f WINDOWS-1252 -t UTF-8` converts it");
    assert_snapshot!(place.refusal(FileSource::csv(&file).infer_rows(10).label("late")), @"Data | file: `<dir>/latin1.csv` cannot be read: column `road` in line 302 is not UTF-8: byte 0xdf; if it is Latin-1 or Windows-1252, `iconv -f WINDOWS-1252 -t UTF-8` converts it");
    let header = place.file("header.csv", b"stra\xdfe,late\n1,yes\n");
    assert_snapshot!(place.refusal(FileSource::csv(header).label("late")), @"Data | file: `<dir>/header.csv` cannot be read: the first line of `<dir>/header.csv` is not UTF-8");
}

#[test]
fn a_csv_line_with_more_or_fewer_fields_than_the_header_is_named() {
    let place = Place::new();
    for (name, bad) in [("more.csv", "1.5,road,no,no"), ("fewer.csv", "1.5")] {
        let line = |i| match i {
            200 => bad.to_owned(),
            i => good_line(i),
        };
        let file = place.file(name, csv("kilograms,road,late", line));
        let refusals = [FileSource::INFER_ROWS, 10]
            .map(|n| place.refusal(FileSource::csv(&file).infer_rows(n).label("late")));
        match name {
            "more.csv" => assert_snapshot!(refusals.join("\n"), @r#"
            Data | file: `<dir>/more.csv` cannot be read: line 202 has 4 fields, must have 3 as the header has
            Data | file: `<dir>/more.csv` cannot be read: line 202 has 4 fields, must have 3 as the header has
            "#),
            _ => assert_snapshot!(refusals.join("\n"), @r#"
            Data | file: `<dir>/fewer.csv` cannot be read: line 202 has 1 field, must have 3 as the header has
            Data | file: `<dir>/fewer.csv` cannot be read: line 202 has 1 field, must have 3 as the header has
            "#),
        }
    }
}

#[test]
fn a_parquet_file_that_is_none_or_is_cut_short_is_named() {
    let place = Place::new();
    let whole = place.path("whole.parquet");
    write_parquet(&whole, &[parcels(300)]);
    let bytes = std::fs::read(&whole).unwrap();
    let cut = place.file("cut.parquet", &bytes[..bytes.len() - 100]);
    assert_snapshot!(place.refusal(FileSource::parquet(cut).label("late")), @"Data | file: `<dir>/cut.parquet` cannot be read: invalid Parquet file. Corrupt footer");
    let other = place.file("other.parquet", good_csv());
    assert_snapshot!(place.refusal(FileSource::parquet(other).label("late")), @"Data | file: `<dir>/other.parquet` cannot be read: invalid Parquet file. Corrupt footer");
    let empty = place.file("empty.parquet", "");
    assert_snapshot!(place.refusal(FileSource::parquet(empty).label("late")), @"Data | file: `<dir>/empty.parquet` is empty");
    // The footer is whole and the rows are not.
    let mut torn = bytes;
    let n = torn.len();
    torn[4..n / 2].fill(0xff);
    let torn = place.file("torn.parquet", torn);
    assert_snapshot!(place.refusal(FileSource::parquet(torn).label("late")), @"Data | file: `<dir>/torn.parquet` cannot be read: it is damaged: a page of column `id` has no header");
}

#[test]
fn files_of_different_columns_in_one_directory_are_told_apart() {
    let place = Place::new();
    std::fs::create_dir(place.path("mixed")).unwrap();
    place.file("mixed/a.csv", good_csv());
    place.file("mixed/b.csv", csv("stars,late", |i| format!("{i},yes")));
    assert_snapshot!(place.refusal(FileSource::csv(place.path("mixed")).label("late")), @"Data | file: `<dir>/mixed` cannot be read: `<dir>/mixed/b.csv` has another header than `<dir>/mixed/a.csv`: it has a column `stars` that the other has not");
}

#[test]
fn batches_of_different_columns_are_refused() {
    let place = Place::new();
    let other: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    let other = RecordBatch::try_from_iter([("other", other)]).unwrap();
    let data = BatchSource::new("parcels", vec![parcels(10), other]).label("late");
    assert_snapshot!(place.refusal(data), @"Config | parcels: the batches differ in schema: (`id` Int64 not null, `kilograms` Float64 not null, `road` Utf8 not null, `late` Utf8 not null) and (`other` Utf8 not null)");
    assert_snapshot!(place.refusal(BatchSource::new("parcels", vec![]).label("late")), @"Config | parcels: there are no batches, there must be at least one");
}

#[test]
fn json_that_cannot_be_read_is_named() {
    let place = Place::new();
    let line = |i: usize| {
        let (road, late) = (["air", "road"][i % 2], ["no", "no", "yes"][i % 3]);
        format!(
            r#"{{"kilograms": {}.5, "road": "{road}", "late": "{late}"}}"#,
            i % 40
        )
    };
    let with = |name: &str, odd: &str| {
        let lines: Vec<String> = (0..300)
            .map(|i| if i == 200 { odd.to_owned() } else { line(i) })
            .collect();
        FileSource::json(place.file(name, lines.join("\n"))).infer_rows(10)
    };
    assert!(
        place
            .run(with("good.jsonl", &line(1)).label("late"))
            .is_ok()
    );
    std::fs::remove_dir_all(place.path("models")).unwrap();
    assert_snapshot!(place.refusal(with("type.jsonl", r#"{"kilograms": "heavy", "road": "air", "late": "no"}"#).label("late")), @"Data | file: `<dir>/type.jsonl` cannot be read: column `kilograms` is `heavy` in line 201, must be of type float as the first 10 rows are; `infer_rows` says how many are looked at");
    assert_snapshot!(place.refusal(with("torn.jsonl", r#"{"kilograms": 1.5, "road": "#).label("late")), @"Data | file: `<dir>/torn.jsonl` cannot be read: line 201 is not valid JSON: the object is not closed");
    assert_snapshot!(place.refusal(with("early.jsonl", "x").infer_rows(1_000).label("late")), @"Data | file: `<dir>/early.jsonl` cannot be read: line 201 is not valid JSON of objects: unexpected `x`");
    assert_snapshot!(place.refusal(FileSource::json(place.file("empty.json", "")).label("late")), @"Data | file: `<dir>/empty.json` is empty");
    assert_snapshot!(place.refusal(FileSource::arrow(place.file("no.arrow", "x,y\n1,2\n")).label("late")), @"Data | file: `<dir>/no.arrow` cannot be read: not a readable Arrow IPC file");
}
