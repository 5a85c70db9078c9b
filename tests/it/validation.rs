//! The validation step of the data pipeline: policies, quarantine, drift; and the schema's files.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use fourfold::Result;
use fourfold::arrow::array::{
    ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray,
};
use fourfold::arrow::datatypes::{Float64Type, Int64Type};
use fourfold::data::{AnomalyPolicy, FeatureSkew, FeatureSkewReport, PreparedData, Quarantined};
use fourfold::prelude::*;
use fourfold::progress::Progress;
use fourfold::schema::{AnomalyKind, Bounds, Counts, Domain, Field, FieldType, Schema, Severity};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::support::{fitted, parcels, tree, write_parquet};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");

/// A schema of the parcels: kilograms from 0 to 99, by air or road.
fn schema() -> Schema {
    let mut label = Field::new("late", FieldType::Text).required();
    label
        .distribution
        .shares
        .insert("yes".to_owned(), Bounds::within(0.2, 0.6));
    Schema::new([
        Field::new("id", FieldType::Integer).required(),
        Field::new("kilograms", FieldType::Float)
            .required()
            .domain(Domain::Range {
                min: Some(0.0),
                max: Some(99.0),
            }),
        Field::new("road", FieldType::Text)
            .domain(Domain::Values(vec!["air".to_owned(), "road".to_owned()])),
        label,
    ])
}

/// Parcels of which every tenth has no weight, every thirtieth too much, and every twentieth an odd road.
fn dirty(n: usize) -> RecordBatch {
    let clean = parcels(n);
    let kilograms = clean.column(1).as_primitive::<Float64Type>();
    let kilograms: ArrayRef = Arc::new(Float64Array::from_iter((0..n).map(|i| match i {
        i if i % 30 == 7 => Some(1e6),
        i if i % 10 == 3 => None,
        i => Some(kilograms.value(i)),
    })));
    let road = clean.column(2).as_string::<i32>();
    let road: ArrayRef = Arc::new(StringArray::from_iter_values(
        (0..n).map(|i| if i % 20 == 3 { "sea" } else { road.value(i) }),
    ));
    let columns = [
        ("id", Arc::clone(clean.column(0))),
        ("kilograms", kilograms),
        ("road", road),
        ("late", Arc::clone(clean.column(3))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)))
        .unwrap()
}

fn pipeline_data(batch: &RecordBatch) -> DataPipeline<BatchSource> {
    BatchSource::new("parcels", vec![batch.clone()])
        .label("late")
        .schema(schema())
        .transform(Transform::new().z_score("kilograms").one_hot("road"))
}

async fn run<S: DataSource>(data: DataPipeline<S>, dir: &Path) -> Result<PreparedData> {
    data.run(&Engine::new()?, dir, &Progress::default()).await
}

fn ids(batch: &RecordBatch) -> Vec<i64> {
    let ids = batch.column_by_name("id").unwrap();
    ids.as_primitive::<Int64Type>().values().to_vec()
}

fn quarantined_rows(quarantined: &Quarantined) -> Vec<RecordBatch> {
    tree(&quarantined.place)
        .iter()
        .flat_map(|path| {
            let file = std::fs::File::open(path).unwrap();
            let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
            reader.build().unwrap().map(|batch| batch.unwrap())
        })
        .collect()
}

#[tokio::test]
async fn by_default_errors_stop_the_pipeline() {
    let dir = tempfile::tempdir().unwrap();
    let error = run(pipeline_data(&dirty(600)), dir.path())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Schema);
    let text = error.to_string();
    assert!(
        text.contains(
            "\n  column `kilograms`: has values up to 1000000, must be from 0 to 99 (split `train`)"
        ),
        "{text}"
    );
    assert_eq!(
        text.matches("column `kilograms`: has a value in").count(),
        3,
        "{text}"
    );
}

#[tokio::test]
async fn a_warning_goes_on_and_is_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let rows = dirty(600);
    for (policy, severity) in [
        (AnomalyPolicy::Warn, Severity::Warning),
        (AnomalyPolicy::Proceed, Severity::Error),
    ] {
        let transform = Transform::new().impute("kilograms", Fill::Median);
        let data = pipeline_data(&rows).transform(transform).on_anomaly(policy);
        let prepared = run(data, dir.path()).await.unwrap();
        let found = &prepared.anomalies()["train"];
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found.iter().all(|anomaly| anomaly.severity == severity));
        assert!(prepared.quarantined().is_none());
    }
}

#[tokio::test]
async fn quarantine_sets_the_rows_aside_and_loses_none() {
    let dir = tempfile::tempdir().unwrap();
    let n = 6_000;
    let rows = dirty(n);
    let file = dir.path().join("rows.parquet");
    write_parquet(&file, std::slice::from_ref(&rows));
    let data = || {
        FileSource::parquet(&file)
            .label("late")
            .split(Split::by_hash(
                ["id"],
                [("train", 8), ("eval", 1), ("test", 1)],
            ))
            .schema(schema())
            .transform(Transform::new().z_score("kilograms").one_hot("road"))
            .on_anomaly(AnomalyPolicy::Quarantine)
    };
    let work = dir.path().join("work");
    let prepared = run(data(), &work).await.unwrap();
    assert!(prepared.anomalies().values().all(Vec::is_empty));

    let quarantined = prepared.quarantined().unwrap();
    let reasons: Vec<(&str, &str, u64)> = quarantined
        .reasons
        .iter()
        .map(|reason| (reason.column.as_str(), reason.kind.name(), reason.n_rows))
        .collect();
    assert_eq!(
        reasons,
        [
            ("kilograms", "FEATURE_TYPE_LOW_FRACTION_PRESENT", 600),
            ("kilograms", "FLOAT_TYPE_BIG_FLOAT", 200),
            ("road", "ENUM_TYPE_UNEXPECTED_STRING_VALUES", 300),
        ]
    );
    // An odd road goes with a missing weight.
    assert_eq!(quarantined.n_rows, 800);

    // Kept and quarantined rows together are those that were read, each once, each in its split.
    let mut seen = BTreeMap::new();
    for (name, examples) in prepared.splits() {
        for batch in examples.batches(&[]) {
            for id in ids(&batch.unwrap()) {
                assert!(seen.insert(id, name.clone()).is_none());
            }
        }
    }
    assert_eq!(seen.len(), n - 800);
    for batch in quarantined_rows(quarantined) {
        let split = batch.column_by_name("quarantine_split").unwrap();
        let reasons = batch.column_by_name("quarantine_reasons").unwrap();
        for (row, id) in ids(&batch).into_iter().enumerate() {
            let name = split.as_string::<i32>().value(row).to_owned();
            assert!(seen.insert(id, name).is_none());
            let reasons = reasons.as_list::<i32>().value(row);
            let reasons: Vec<&str> = reasons.as_string::<i32>().iter().flatten().collect();
            let expect: &[&str] = match id {
                id if id % 30 == 7 => &["kilograms: FLOAT_TYPE_BIG_FLOAT"],
                id if id % 20 == 3 => &[
                    "kilograms: FEATURE_TYPE_LOW_FRACTION_PRESENT",
                    "road: ENUM_TYPE_UNEXPECTED_STRING_VALUES",
                ],
                _ => &["kilograms: FEATURE_TYPE_LOW_FRACTION_PRESENT"],
            };
            assert_eq!(reasons, expect, "row {id}");
        }
    }
    let source_ids = ids(&rows);
    assert!(seen.keys().copied().eq(source_ids));

    // The splits are those that the rows would have had.
    let clean = FileSource::parquet(&file)
        .label("late")
        .split(Split::by_hash(
            ["id"],
            [("train", 8), ("eval", 1), ("test", 1)],
        ))
        .transform(Transform::new().one_hot("road"));
    let all = run(clean, &work).await.unwrap();
    for (name, examples) in all.splits() {
        for batch in examples.batches(&["id"]) {
            for id in ids(&batch.unwrap()) {
                assert_eq!(&seen[&id], name);
            }
        }
    }

    // A second run finds what the first has left.
    let before = tree(&work);
    let again = run(data(), &work).await.unwrap();
    assert_eq!(again.quarantined(), prepared.quarantined());
    assert_eq!(again.fingerprint(), prepared.fingerprint());
    assert_eq!(tree(&work), before);
}

#[test]
fn the_record_and_the_report_tell_of_quarantined_rows_and_of_drift() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = |data| {
        Pipeline::builder("parcels")
            .data(data)
            .train(LogisticRegression::default())
            .evaluate(Thresholds::new().at_least("skill", -1.0))
            .serve(InProcess::new())
            .root(dir.path())
            .build()
            .unwrap()
    };
    let first = pipeline(pipeline_data(&parcels(600)))
        .run_blocking()
        .unwrap();
    let yesterday = first.run().statistics.clone();
    let data = pipeline_data(&dirty(600))
        .on_anomaly(AnomalyPolicy::Quarantine)
        .previous_statistics(yesterday);
    let outcome = pipeline(data).run_blocking().unwrap();
    let run = outcome.run();
    assert_eq!(run.quarantined.as_ref().unwrap().n_rows, 80);
    assert_eq!(run.rows.values().sum::<u64>(), 520);
    assert_eq!(run.comparisons.len(), 4);
    let json = serde_json::to_string(run).unwrap();
    let read: fourfold::pipeline::RunRecord = serde_json::from_str(&json).unwrap();
    assert_eq!(&read, run);
    let page = fourfold::report::html(run);
    for part in ["set aside", "20 rows", "FLOAT_TYPE_BIG_FLOAT"] {
        assert!(page.contains(part), "{part} is not in: {page}");
    }
}

#[tokio::test]
async fn what_no_row_is_at_fault_for_stops_a_quarantine_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut strict = schema();
    strict
        .fields
        .push(Field::new("driver", FieldType::Text).required());
    let data = pipeline_data(&dirty(600))
        .schema(strict)
        .on_anomaly(AnomalyPolicy::Quarantine);
    let error = run(data, dir.path()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "validate: the data breaks its schema:\n  \
         column `driver`: is required but not in the data (split `eval`)\n  \
         column `driver`: is required but not in the data (split `test`)\n  \
         column `driver`: is required but not in the data (split `train`)"
    );
    // Nothing is copied for a rule that no row can break.
    let mut many = schema();
    many.fields[0].min_count = 1_000;
    let data = pipeline_data(&parcels(600))
        .schema(many)
        .on_anomaly(AnomalyPolicy::Quarantine);
    let dir_of_many = tempfile::tempdir().unwrap();
    let error = run(data, dir_of_many.path()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "validate: the data breaks its schema:\n  \
         column `id`: has a value in 600 rows, must be at least 1000 (all splits)"
    );
    assert_eq!(std::fs::read_dir(&dir_of_many).unwrap().count(), 1);
    // Not a row is good.
    let mut none = schema();
    none.fields[0].domain = Some(Domain::Range {
        min: Some(1e9),
        max: None,
    });
    let data = pipeline_data(&dirty(600))
        .schema(none)
        .on_anomaly(AnomalyPolicy::Quarantine);
    let error = run(data, dir.path()).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("validate: all 600 rows break the schema; they are in `"),
        "{text}"
    );
}

#[tokio::test]
async fn numbers_of_rows_are_held_against_all_splits_together() {
    let dir = tempfile::tempdir().unwrap();
    let mut counted = schema();
    counted.dataset.rows = Counts::within(500, 600);
    counted.fields[2].min_count = 600;
    let data = pipeline_data(&parcels(600)).schema(counted.clone());
    run(data, dir.path()).await.unwrap();
    counted.dataset.rows = Counts::within(500, 599);
    counted.fields[2].min_count = 601;
    let error = run(pipeline_data(&parcels(600)).schema(counted), dir.path())
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "validate: the data breaks its schema:\n  \
         there are 600 rows, must be from 500 to 599 (all splits)\n  \
         column `road`: has a value in 600 rows, must be at least 601 (all splits)"
    );
}

#[tokio::test]
async fn drift_from_the_previous_span_stops_the_pipeline() {
    let dir = tempfile::tempdir().unwrap();
    let first = run(pipeline_data(&parcels(1_000)), dir.path())
        .await
        .unwrap();
    let yesterday = first.statistics()["train"].clone();
    let mut held = schema();
    held.fields[2].drift.infinity_norm = Some(0.05);

    let same = pipeline_data(&parcels(1_000))
        .schema(held.clone())
        .previous_statistics(yesterday.clone());
    let prepared = run(same, dir.path()).await.unwrap();
    let comparison = prepared
        .comparisons()
        .iter()
        .find(|comparison| comparison.column == "road")
        .unwrap();
    assert_eq!(
        (comparison.measured, comparison.threshold),
        (0.0, Some(0.05))
    );
    // Numbers are measured without a threshold, too; the label is compared with the past.
    let names: Vec<&str> = prepared
        .comparisons()
        .iter()
        .map(|comparison| comparison.column.as_str())
        .collect();
    assert_eq!(names, ["id", "kilograms", "road", "late"]);

    let all_by_air = parcels(1_000);
    let air: ArrayRef = Arc::new(StringArray::from(vec!["air"; 1_000]));
    let columns = all_by_air
        .schema()
        .fields()
        .iter()
        .zip(all_by_air.columns())
        .map(|(field, column)| {
            let column = if field.name() == "road" { &air } else { column };
            (field.name().clone(), Arc::clone(column))
        })
        .collect::<Vec<_>>();
    let all_by_air = RecordBatch::try_from_iter(columns).unwrap();
    let moved = pipeline_data(&all_by_air)
        .schema(held)
        .previous_statistics(yesterday);
    let error = run(moved, dir.path()).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("column `road`: the L-infinity distance to the previous span is 0.6"),
        "{error}"
    );
}

#[test]
fn a_schema_that_contradicts_itself_is_refused_before_anything_is_read() {
    let mut schema = schema();
    schema.fields[1].drift.infinity_norm = Some(0.1);
    let error = pipeline_data(&parcels(10))
        .schema(schema)
        .check()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "validate: INVALID_SCHEMA_SPECIFICATION: field `kilograms` is of type float, drift.infinity_norm is of \
         categories; use jensen_shannon_divergence or kolmogorov_smirnov"
    );
}

#[tokio::test]
async fn a_chosen_transform_makes_no_feature_of_a_deprecated_column() {
    let dir = tempfile::tempdir().unwrap();
    let mut schema = schema();
    schema.fields[2].lifecycle = fourfold::schema::Lifecycle::Deprecated;
    let data = BatchSource::new("parcels", vec![parcels(600)])
        .label("late")
        .exclude(["id"])
        .schema(schema);
    let prepared = run(data, dir.path()).await.unwrap();
    let fitted = fitted(&prepared).await;
    let columns: Vec<&str> = fitted
        .decisions()
        .iter()
        .map(|decision| decision.column.as_str())
        .collect();
    assert_eq!(columns, ["kilograms", "id"]);
}

#[test]
fn every_format_of_the_schema_stays_readable() {
    let first = Schema::load(Path::new(FIXTURES).join("schema.v1.json")).unwrap();
    assert_eq!(first.format_version, Schema::FORMAT_VERSION);
    let expect = Schema::new([
        Field::new("fare", FieldType::Float)
            .required()
            .domain(Domain::Range {
                min: Some(0.0),
                max: None,
            }),
        Field::new("road", FieldType::Text)
            .domain(Domain::Values(vec!["air".to_owned(), "road".to_owned()])),
        Field::new("late", FieldType::Boolean).required(),
    ])
    .training_only(["late"]);
    assert_eq!(first, expect);
    assert!(first.field("late").unwrap().is_training_only());

    // Of the second version: JSON and TOML, with everything in it, say the same, and are written as they stand.
    let path = |name: &str| Path::new(FIXTURES).join(name);
    let (json, toml) = (
        Schema::load(path("schema.v2.json")).unwrap(),
        Schema::load(path("schema.v2.toml")).unwrap(),
    );
    assert_eq!(json, toml);
    let text = |name: &str| std::fs::read_to_string(path(name)).unwrap();
    assert_eq!(json.to_json().unwrap(), text("schema.v2.json"));
    assert_eq!(json.to_toml().unwrap(), text("schema.v2.toml"));
}

#[test]
fn what_is_wrong_in_a_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let refusal = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        let error = Schema::load(&path).unwrap_err();
        let shown = dir.path().to_string_lossy().into_owned();
        format!("{:?} | {error}", error.kind()).replace(&shown, "<dir>")
    };
    let field = |rest: &str| {
        format!(
            "{{\"format_version\": 2, \"fields\": [{{\"name\": \"x\", \"type\": \"float\"{rest}}}]}}"
        )
    };
    insta::assert_snapshot!(refusal("s.json", &field(", \"domian\": {}")), @"Config | `<dir>/s.json`: the schema cannot be read: unknown field `domian` at line 1 column 72; did you mean `domain`?");
    insta::assert_snapshot!(refusal("s.json", &field(", \"domain\": {\"rang\": {}}")), @"Config | `<dir>/s.json`: the schema cannot be read: unknown variant `rang` at line 1 column 81; did you mean `range`?");
    insta::assert_snapshot!(refusal("s.json", &field(", \"drift\": {\"psi\": 0.1}")), @"Config | `<dir>/s.json`: the schema cannot be read: unknown field `psi` at line 1 column 79; there are `infinity_norm`, `jensen_shannon_divergence`, `normalized_abs_difference`, `population_stability_index`, `kolmogorov_smirnov`");
    insta::assert_snapshot!(refusal("s.json", &field(", \"severities\": {\"FLOAT_TYPE_HAS_NANS\": \"error\"}")), @"Config | `<dir>/s.json`: the schema cannot be read: unknown variant `FLOAT_TYPE_HAS_NANS` at line 1 column 100; did you mean `FLOAT_TYPE_HAS_NAN`?");
    insta::assert_snapshot!(refusal("s.json", &field(", \"min_fraction\": -1")), @"Config | `<dir>/s.json`: INVALID_SCHEMA_SPECIFICATION: field `x` has min_fraction -1, must be from 0 to 1");
    insta::assert_snapshot!(refusal("s.json", "{\"format_version\": 3, \"fields\": [], \"more\": 1}"), @"Unsupported | `<dir>/s.json`: the schema is of format version 3, this build reads 1 to 2");
    insta::assert_snapshot!(refusal("s.json", "{}"), @"Config | `<dir>/s.json`: the schema cannot be read: missing field `format_version` at line 1 column 2");
    insta::assert_snapshot!(refusal("s.toml", "format_version = 2\n[[fields]]\nname = \"x\"\ntype = \"flot\"\n"), @"Config | `<dir>/s.toml`: the schema cannot be read: unknown variant `flot` at line 4; did you mean `float`?");
    insta::assert_snapshot!(refusal("s.toml", "format_version = 2\n[[fields]]\nname = \n"), @"Config | `<dir>/s.toml`: the schema cannot be read: string values must be quoted, expected literal string at line 3");
    insta::assert_snapshot!(refusal("s.yaml", ""), @"Unsupported | the schema's file `<dir>/s.yaml` must end in `.json` or `.toml`");
    let error = Schema::load(dir.path().join("none.toml")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn an_unknown_kind_of_anomaly_is_none() {
    assert_eq!(AnomalyKind::ALL.len(), 45);
    for kind in AnomalyKind::ALL {
        let json = serde_json::to_string(kind).unwrap();
        assert_eq!(json, format!("\"{}\"", kind.name()));
    }
}

/// `id`, `fare` and `tags` of requests.
type Request<'a> = (Option<i64>, Option<f64>, Option<&'a str>);

fn requests(rows: &[Request<'_>]) -> RecordBatch {
    let ids = rows.iter().map(|row| row.0);
    let columns: [(&str, ArrayRef); 3] = [
        ("id", Arc::new(Int64Array::from_iter(ids))),
        (
            "fare",
            Arc::new(Float64Array::from_iter(rows.iter().map(|row| row.1))),
        ),
        (
            "tag",
            Arc::new(StringArray::from_iter(rows.iter().map(|row| row.2))),
        ),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)))
        .unwrap()
}

async fn skew(
    skew: &FeatureSkew,
    base: &RecordBatch,
    test: &RecordBatch,
) -> Result<FeatureSkewReport> {
    let engine = Engine::new()?;
    let session = engine.session();
    let (base, test) = (
        session.read_batch(base.clone())?,
        session.read_batch(test.clone())?,
    );
    skew.run(&engine, base, test).await
}

#[tokio::test]
async fn rows_of_the_same_thing_are_compared() {
    let base = requests(&[
        (Some(1), Some(1.0), Some("a")),
        (Some(2), Some(2.0), None),
        (Some(3), Some(f64::NAN), Some("c")),
        (Some(4), Some(-0.0), Some("d")),
        (Some(5), None, Some("only here")),
        (Some(6), Some(6.0), Some("twice")),
        (Some(6), Some(6.0), Some("twice")),
        (None, Some(7.0), Some("nobody")),
    ]);
    let test = requests(&[
        (Some(6), Some(6.0), Some("twice")),
        (None, Some(7.0), Some("nobody")),
        (Some(4), Some(0.0), None),
        (Some(3), Some(f64::NAN), Some("C")),
        (Some(2), Some(2.004), None),
        (Some(1), Some(1.4), Some("a")),
        (Some(9), Some(1.4), Some("only there")),
    ]);
    let by_id = FeatureSkew::by(["id"]);
    let report = skew(&by_id, &base, &test).await.unwrap();
    assert_eq!(
        report.to_string(),
        "2 of 2 features differ in 4 pairs of rows\n  \
         `fare`: 2 mismatches, 0 in the base only, 0 in the test only\n  \
         `tag`: 1 mismatches, 1 in the base only, 0 in the test only"
    );
    let fare = &report.features[0];
    assert_eq!((fare.base, fare.test, fare.matches), (4, 4, 2));
    let samples: Vec<(&str, Option<&str>, Option<&str>)> = report
        .features
        .iter()
        .flat_map(|feature| &feature.samples)
        .map(|sample| {
            let id = sample.identifiers[0].as_str();
            (id, sample.base.as_deref(), sample.test.as_deref())
        })
        .collect();
    assert_eq!(
        samples,
        [
            ("1", Some("1.0"), Some("1.4")),
            ("2", Some("2.0"), Some("2.004")),
            ("3", Some("c"), Some("C")),
            ("4", Some("d"), None),
        ]
    );

    let rounded = by_id.clone().float_digits(2).features(["fare"]).samples(0);
    let report = skew(&rounded, &base, &test).await.unwrap();
    assert_eq!(report.features[0].mismatches, 1);
    assert!(report.features[0].samples.is_empty());

    let with_duplicates = skew(&by_id.allow_duplicates(), &base, &test).await.unwrap();
    assert_eq!(with_duplicates.n_pairs, 6);
}

#[tokio::test]
async fn rows_that_cannot_be_compared_are_refused() {
    let rows = requests(&[(Some(1), Some(1.0), Some("a"))]);
    let refusal = async |asked: FeatureSkew, test: &RecordBatch| {
        skew(&asked, &rows, test).await.unwrap_err().to_string()
    };
    let none: [&str; 0] = [];
    assert_eq!(
        refusal(FeatureSkew::by(none), &rows).await,
        "there are no identifiers to join rows by, there must be at least one"
    );
    assert_eq!(
        refusal(FeatureSkew::by(["ids"]), &rows).await,
        "column `ids` is not in the base rows; did you mean `id`?"
    );
    let fare: ArrayRef = Arc::new(StringArray::from(vec!["much"]));
    let id: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let other = RecordBatch::try_from_iter([("id", id), ("fare", fare)]).unwrap();
    assert_eq!(
        refusal(FeatureSkew::by(["id"]), &other).await,
        "column `fare` is of type Float64 in the base rows and of type Utf8 in the test rows, which do not compare"
    );
}
