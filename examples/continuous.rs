//! A year of flights in half a minute: `cargo run --example continuous`. Each month arrives on a virtual clock, is checked,
//! trained on and evaluated, while clients send requests to the service. In April distances are in kilometres, in July a
//! carrier is new, and half of the labels of September arrive a month late.
#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fourfold::Result;
use fourfold::arrow::array::RecordBatch;
use fourfold::arrow::datatypes::DataType;
use fourfold::clock::{Clock, VirtualClock};
use fourfold::continuous::{ContinuousPipeline, Step};
use fourfold::data::{RollingWindow, SpanBatches};
use fourfold::datafusion::logical_expr::{cast, col, lit, when};
use fourfold::datafusion::prelude::DataFrame;
use fourfold::metrics::Metrics;
use fourfold::prelude::*;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// The rows that arrive in a month.
async fn arrivals(engine: &Engine, month: i64) -> Result<DataFrame> {
    let file =
        |month: i64| FileSource::parquet(format!("examples/data/flights/2013-{month:02}.parquet"));
    let mut flights = file(month).read(engine).await?;
    if month < 7 {
        flights = flights.filter(col("carrier").not_eq(lit("VX")))?;
    }
    Ok(match month {
        4 => flights.with_column(
            "distance",
            cast(col("distance") * lit(1.609), DataType::Int32),
        )?,
        9 => {
            let is_known = when(col("day").lt_eq(lit(15)), col("arr_delay")).end()?;
            flights.with_column("arr_delay", is_known)?
        }
        10 => flights.union(file(9).read(engine).await?.filter(col("day").gt(lit(15)))?)?,
        _ => flights,
    })
}

/// Sends requests until `stop` is set, and returns the numbers of answers and of failed requests.
fn ask(flights: &Endpoint, rows: &RecordBatch, stop: &AtomicBool) -> (u64, u64) {
    let (mut answered, mut failed) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        let at = (answered as usize * 7) % (rows.num_rows() - 5);
        match flights.predict(&rows.slice(at, 5)) {
            Ok(_) => answered += 1,
            Err(_) => failed += 1,
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    (answered, failed)
}

fn auc(metrics: &Metrics) -> Option<f64> {
    metrics.get("auc").map(|auc| auc.value)
}

fn print(month: &str, step: &Step) {
    let shown =
        |metrics: &Metrics| auc(metrics).map_or("     ".to_owned(), |auc| format!("{auc:.3}"));
    let (served, candidate) = (shown(&step.serving_metrics), shown(&step.metrics));
    println!("{month:9}  {served}  {candidate}  {step}");
}

/// Prints the AUC of the serving model on the flights of each month, which it has not seen.
fn print_served(served: &[(&str, f64)]) {
    println!("\nAUC of the serving model, before it is replaced");
    for (month, auc) in served {
        let bar = "#".repeat(((auc - 0.5).max(0.0) * 200.0).round() as usize);
        println!("{month:9}  {auc:.3}  {bar}");
    }
    if let (Some((first, from)), Some((last, to))) = (served.first(), served.last()) {
        println!("from {from:.3} in {first} to {to:.3} in {last}\n");
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let engine = Engine::new()?;
    let months = SpanBatches::new("flights");
    let server = InProcess::new();
    let late = Label::at_least("arr_delay", 15.0).named("late");
    let features = Transform::new()
        .one_hot("hour")
        .one_hot("carrier")
        .one_hot("origin")
        .z_score("distance");
    let dir = tempfile::tempdir().map_err(|error| Error::io("making a directory", error))?;
    let pipeline = Pipeline::builder("late-flights")
        .data(
            RollingWindow::new(months.clone(), 3)
                .label(late)
                .transform(features),
        )
        .train(LogisticRegression::default())
        .evaluate(Thresholds::new().no_worse_than_baseline("auc", 0.01))
        .serve(server.clone())
        .root(dir.path())
        .build()?;
    let clock = VirtualClock::at_seconds(1_356_998_400); // 2013-01-01
    let new_year = clock.now();
    let loop_of_flights = ContinuousPipeline::of(pipeline)
        .clock(clock.clone())
        .build()?;
    let flights = server.open("late-flights").await?;

    println!("AUC        served candidate");
    let stop = Arc::new(AtomicBool::new(false));
    let (mut clients, mut served) = (None, Vec::new());
    for (month, name) in (1..).zip(MONTHS) {
        let rows = arrivals(&engine, month).await?.collect().await?;
        months.push(month, rows.clone());
        let at = new_year + Duration::from_secs(30 * 86_400 * month as u64);
        for step in loop_of_flights.replay([(month, at)], &clock).await? {
            print(name, &step);
            served.extend(auc(&step.serving_metrics).map(|auc| (name, auc)));
        }
        if clients.is_none() && flights.predictor().is_ok() {
            let (flights, rows, stop) = (flights.clone(), rows[0].clone(), Arc::clone(&stop));
            clients = Some(std::thread::spawn(move || ask(&flights, &rows, &stop)));
        }
    }
    print_served(&served);
    stop.store(true, Ordering::Relaxed);
    let (answered, failed) = clients
        .and_then(|clients| clients.join().ok())
        .unwrap_or_default();
    println!("{answered} requests were answered meanwhile, {failed} failed");
    match (answered, failed) {
        (1.., 0) => Ok(()),
        _ => Err(Error::new(
            ErrorKind::Other,
            "requests failed, or none were answered",
        )),
    }
}
