//! Files in a real S3 server, which `tests/clients/s3.sh` starts and fills.

use std::sync::Arc;

use fourfold::arrow::array::{AsArray, RecordBatch};
use fourfold::arrow::datatypes::Int64Type;
use fourfold::data::{Spans, SqlSource};
use fourfold::datafusion::execution::object_store::ObjectStoreUrl;
use fourfold::datafusion::object_store::ObjectStoreExt;
use fourfold::datafusion::object_store::path::Path as StorePath;
use fourfold::object_store::ObjectStore;
use fourfold::object_store::aws::AmazonS3Builder;
use fourfold::prelude::*;
use fourfold::serving::{Manager, ObjectStoreRepository};
use fourfold::training::Linear;

async fn rows_of(source: &impl DataSource, engine: &Engine) -> Vec<RecordBatch> {
    source.read(engine).await.unwrap().collect().await.unwrap()
}

async fn ids(source: &impl DataSource, engine: &Engine) -> Vec<i64> {
    let mut ids: Vec<i64> = Vec::new();
    for batch in rows_of(source, engine).await {
        let column = batch.column_by_name("id").unwrap();
        ids.extend(column.as_primitive::<Int64Type>().values());
    }
    ids.sort_unstable();
    ids
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: tests/clients/s3.sh"]
async fn files_are_read() {
    let engine = Engine::new().unwrap();
    let all: Vec<i64> = (0..600).collect();
    let csv = FileSource::detect("s3://fourfold/parcels.csv").unwrap();
    assert_eq!(ids(&csv, &engine).await, all);
    let packed = FileSource::csv("s3://fourfold/packed");
    assert_eq!(ids(&packed, &engine).await, all);
    let by_pattern = FileSource::csv("s3://fourfold/p*.csv");
    assert_eq!(ids(&by_pattern, &engine).await, all);
    let none = FileSource::csv("s3://fourfold/none.csv")
        .read(&engine)
        .await
        .unwrap_err();
    assert_eq!(
        format!("{:?} | {none}", none.kind()),
        "NotFound | there is no file or directory `s3://fourfold/none.csv`"
    );
    let no_bucket = FileSource::csv("s3://nobody/none.csv")
        .read(&engine)
        .await
        .unwrap_err();
    assert!(
        no_bucket.to_string().contains("s3://nobody/none.csv"),
        "{no_bucket}"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: tests/clients/s3.sh"]
async fn folders_of_hive_are_pruned_and_joined() {
    let engine = Engine::new().unwrap();
    let flights = || FileSource::parquet("s3://fourfold/flights/");
    let count = async |query: &str| {
        let source = SqlSource::new(query)
            .table("flights", flights())
            .table("parcels", FileSource::csv("s3://fourfold/parcels.csv"));
        let batches = rows_of(&source, &engine).await;
        batches[0].column(0).as_primitive::<Int64Type>().value(0)
    };
    // The README of the data has these numbers.
    assert_eq!(
        count("SELECT COUNT(carrier) FROM flights").await,
        27_004 + 24_951 + 28_834
    );
    assert_eq!(
        count("SELECT COUNT(carrier) FROM flights WHERE part = 2").await,
        24_951
    );
    assert_eq!(
        count("SELECT COUNT(*) FROM parcels p JOIN flights f ON f.day = p.id WHERE f.part = 1")
            .await,
        27_004
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: tests/clients/s3.sh"]
async fn spans_are_resolved() {
    let engine = Engine::new().unwrap();
    let days = |spans| {
        FileSource::csv("s3://fourfold/days/{YYYY}-{MM}-{DD}/v{VERSION}/*.csv").spans(spans)
    };
    let latest = days(Spans::latest()).resolve(&engine).await.unwrap();
    assert_eq!((latest[0].number, latest[0].version), (17_176, Some(1)));
    assert_eq!(
        latest[0].files,
        ["s3://fourfold/days/2017-01-10/v1/parcels.csv"]
    );
    let second = days(Spans::fixed(Spans::number_of_date("2017-01-02").unwrap()));
    assert_eq!(ids(&second, &engine).await, (900..910).collect::<Vec<_>>());
}

#[test]
#[ignore = "needs a server: tests/clients/s3.sh"]
fn a_pipeline_sees_when_an_object_has_changed() {
    let root = tempfile::tempdir().unwrap();
    let pipeline = Pipeline::builder("parcels")
        .data(FileSource::csv("s3://fourfold/changing.csv").label("late"))
        .train(LogisticRegression::default())
        .evaluate(Thresholds::new().at_least("auc", 0.5))
        .serve(InProcess::new())
        .root(root.path())
        .build()
        .unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // A copy, so that the other tests may run beside this one.
    let (engine, url) = (
        Engine::new().unwrap(),
        ObjectStoreUrl::parse("s3://fourfold").unwrap(),
    );
    runtime.block_on(ids(&FileSource::csv("s3://fourfold/parcels.csv"), &engine));
    let store = engine.session().runtime_env().object_store(&url).unwrap();
    let (from, to) = (
        StorePath::from("parcels.csv"),
        StorePath::from("changing.csv"),
    );
    runtime.block_on(store.copy(&from, &to)).unwrap();

    let first = pipeline
        .run_blocking()
        .unwrap()
        .run()
        .data_fingerprint
        .clone();
    assert_eq!(
        pipeline.run_blocking().unwrap().run().data_fingerprint,
        first
    );
    let text = runtime.block_on(async { store.get(&from).await.unwrap().bytes().await.unwrap() });
    let text = String::from_utf8(text.to_vec())
        .unwrap()
        .replacen("air", "sea", 1);
    runtime.block_on(store.put(&to, text.into())).unwrap();
    assert_ne!(
        pipeline.run_blocking().unwrap().run().data_fingerprint,
        first
    );
}

/// Pushed to the store by a pipeline, loaded from it by a server, swapped, and rolled back for every server.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: tests/clients/s3.sh"]
async fn models_are_pushed_found_and_rolled_back() {
    let store = AmazonS3Builder::from_env()
        .with_bucket_name("fourfold")
        .build()
        .unwrap();
    let store: Arc<dyn ObjectStore> = Arc::new(store);
    let cache = tempfile::tempdir().unwrap();
    let models = |cache: &str, of: &tempfile::TempDir| {
        ObjectStoreRepository::new(Arc::clone(&store), "models", of.path().join(cache)).unwrap()
    };
    let push = async || {
        let pipeline = Pipeline::builder("parcels")
            .data(FileSource::csv("s3://fourfold/parcels.csv").label("late"))
            .train(Linear::default())
            .evaluate(Thresholds::new().better_than_constant())
            .serve(models("pushed", &cache))
            .build()
            .unwrap();
        let outcome = pipeline.run().await.unwrap();
        assert!(outcome.is_deployed(), "{}", outcome.run().verdict);
    };
    push().await;
    let manager = Manager::builder(models("first", &cache))
        .poll_interval(None)
        .open()
        .unwrap();
    assert_eq!(manager.get("parcels", None).unwrap().version(), 1);
    push().await;
    assert!(manager.refresh().unwrap());
    assert_eq!(manager.get("parcels", None).unwrap().version(), 2);
    assert_eq!(manager.rollback("parcels").unwrap(), 1);
    // Another server, started later, knows it.
    let other = Manager::builder(models("second", &cache)).open().unwrap();
    assert_eq!(other.get("parcels", None).unwrap().version(), 1);
}
