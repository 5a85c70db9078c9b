//! Structs of an application's own as a source.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fourfold::Result;
use fourfold::arrow::array::AsArray;
use fourfold::arrow::datatypes::{
    Date32Type, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use fourfold::arrow::{array::RecordBatch, compute::concat_batches, datatypes::DataType};
use fourfold::data::DataSource;
use fourfold::prelude::*;
use fourfold::schema::FieldType;
use serde::Serialize;

#[derive(Clone, Serialize)]
struct Order {
    id: u32,
    euros: Option<f32>,
    #[serde(rename = "when")]
    placed: String,
    day: Option<String>,
    paid: bool,
}

fn order(id: u32) -> Order {
    Order {
        id,
        euros: (!id.is_multiple_of(3)).then_some(id as f32 / 2.0),
        placed: format!("2013-01-31T{:02}:30:00.25Z", id % 24),
        day: id
            .is_multiple_of(2)
            .then(|| format!("2013-02-{:02}", 1 + id % 28)),
        paid: id.is_multiple_of(5),
    }
}

const COLUMNS: [(&str, FieldType); 5] = [
    ("when", FieldType::Timestamp),
    ("day", FieldType::Date),
    ("id", FieldType::Integer),
    ("euros", FieldType::Float),
    ("paid", FieldType::Boolean),
];

async fn read(source: &ReaderSource) -> Result<RecordBatch> {
    let frame = source.read(&Engine::new()?).await?;
    let schema = Arc::new(frame.schema().as_arrow().clone());
    let batches = frame.collect().await?;
    Ok(concat_batches(&schema, &batches)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_several_batches_come_in_order_with_times_and_nulls() {
    let opened = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&opened);
    let source = ReaderSource::from_rows("orders", COLUMNS, move || {
        counted.fetch_add(1, Ordering::SeqCst);
        Ok((0..20_000).map(order).map(Ok))
    });
    let rows = read(&source).await.unwrap();
    assert_eq!(rows.num_rows(), 20_000);
    assert_eq!(opened.load(Ordering::SeqCst), 2, "once for the columns");
    let schema = rows.schema();
    let of = |name: &str| schema.field_with_name(name).unwrap().data_type().clone();
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    assert_eq!((of("when"), of("day")), (utc, DataType::Date32));
    let ids = rows["id"].as_primitive::<Int64Type>();
    assert!(ids.values().iter().copied().eq(0..20_000));
    let euros = rows["euros"].as_primitive::<Float64Type>();
    assert_eq!(
        euros.iter().take(3).collect::<Vec<_>>(),
        [None, Some(0.5), Some(1.0)]
    );
    // 2013-01-31 is day 15,736 since 1970.
    let when = rows["when"].as_primitive::<TimestampMicrosecondType>();
    assert_eq!(
        when.value(25),
        (15_736 * 86_400 + 90 * 60) * 1_000_000 + 250_000
    );
    let day = rows["day"].as_primitive::<Date32Type>();
    assert_eq!(
        day.iter().take(3).collect::<Vec<_>>(),
        [Some(15_737), None, Some(15_739)]
    );
    assert_eq!(rows["paid"].as_boolean().true_count(), 4_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_named() {
    let message = async |columns: &[(&str, FieldType)], rows: Vec<Result<Order>>| {
        let rows = Arc::new(std::sync::Mutex::new(Some(rows)));
        let columns = columns.to_vec();
        let source = ReaderSource::from_rows("orders", columns, move || {
            // The first opening is for the columns.
            let rows = rows.lock().map(|mut rows| rows.take()).ok().flatten();
            let mut rows = rows.unwrap_or_default();
            if rows.is_empty() {
                rows.push(Ok(order(1)));
            }
            Ok(rows)
        });
        match read(&source).await {
            Ok(_) => String::new(),
            Err(error) => format!("{error:#}"),
        }
    };
    let misspelt = COLUMNS.map(|(name, of)| (if name == "euros" { "eurs" } else { name }, of));
    assert_eq!(
        message(&misspelt, vec![]).await,
        "the rows of `orders` have a field `euros`, which is none of the columns; did you mean `eurs`?"
    );
    let more = [&COLUMNS[..], &[("weight", FieldType::Float)]].concat();
    assert!(
        message(&more, vec![])
            .await
            .starts_with("the rows of `orders` have no field for column `weight`; ")
    );
    let wrong = COLUMNS.map(|(name, of)| {
        (
            name,
            if name == "day" {
                FieldType::Boolean
            } else {
                of
            },
        )
    });
    let said = message(&wrong, vec![]).await;
    assert!(
        said.is_empty() || said.starts_with("rows 0 to 0 of `orders` do not fit the columns: "),
        "{said}"
    );
    let twice = [("id", FieldType::Integer), ("id", FieldType::Integer)];
    assert!(
        message(&twice, vec![])
            .await
            .contains("column name `id` is a duplicate")
    );
    let other = [("id", FieldType::Other)];
    assert!(
        message(&other, vec![])
            .await
            .contains("column `id` is of type other")
    );
    assert!(message(&[], vec![]).await.contains("there are no columns"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_a_row_comes_with_its_cause() {
    let source = ReaderSource::from_rows("orders", COLUMNS, || {
        Ok((0..10_000).map(|id| match id {
            9_000 => Err(Error::other(
                "querying `orders`",
                std::io::Error::other("connection lost"),
            )),
            id => Ok(order(id)),
        }))
    });
    let error = read(&source).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Other);
    assert_eq!(format!("{error:#}"), "querying `orders`: connection lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_says_when_the_rows_are_others() {
    let engine = Engine::new().unwrap();
    let source = |version: &'static str| {
        let source = ReaderSource::from_rows("orders", COLUMNS, || Ok((0..3).map(order).map(Ok)));
        source.with_snapshot(move || Ok(Some(version.to_owned())))
    };
    let of = async |version| source(version).snapshot(&engine).await.unwrap();
    assert!(of("1").await.is_some());
    assert_eq!(of("1").await, of("1").await);
    assert_ne!(of("1").await, of("2").await);
    let none = ReaderSource::from_rows("orders", COLUMNS, || Ok((0..3).map(order).map(Ok)));
    assert!(none.snapshot(&engine).await.unwrap().is_none());
}
