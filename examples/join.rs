//! Flights, the weather they leave in and the aircraft they are flown with: three tables, one query, one model.
//!
//! ```sh
//! cargo run --example join --features sql
//! ```
//!
//! `examples/data` has a year of flights from New York, the weather of each hour at its airports, and the register of
//! aircraft. A SQL query joins them. It is a data source like any other: what it selects is split, analysed, validated
//! and transformed, and its result is extracted once for as long as query and files stay the same.

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use fourfold::Result;
use fourfold::data::SqlSource;
use fourfold::prelude::*;

/// One row per flight. The weather is that of the hour before the one of departure, which is known in time. Names of
/// columns in the output must be unique, so each is selected by name.
const QUERY: &str = "
    SELECT
        f.arr_delay, f.time_hour, f.carrier, f.flight, f.origin, f.month, f.hour, f.distance,
        w.wind_speed, w.visib, w.precip, w.pressure,
        f.year - p.year AS plane_age, p.seats
    FROM flights AS f
    LEFT JOIN weather AS w
        ON f.origin = w.origin AND f.time_hour = w.time_hour + INTERVAL '1 hour'
    LEFT JOIN planes AS p
        ON f.tailnum = p.tailnum
    WHERE f.month <= 6
";

fn main() -> Result<()> {
    let data = |name: &str| format!("{}/examples/data/{name}", env!("CARGO_MANIFEST_DIR"));

    // 1. The source: a query and its tables. Any source can be a table, so a CSV file of your own, rows in
    //    memory or another query can be joined too. The filter reaches the files: of the months from July on nothing is
    //    decoded.
    let flights = SqlSource::new(QUERY)
        .table("flights", FileSource::parquet(data("flights")))
        .table("weather", FileSource::parquet(data("weather.parquet")))
        .table("planes", FileSource::parquet(data("planes.parquet")));

    // 2. Half the flights have no pressure and some no aircraft: what is missing is filled in, and said to be missing.
    let transform = Transform::new()
        .cyclic("hour", 24.0)
        .cyclic("month", 12.0)
        .z_score("distance")
        .one_hot("carrier")
        .one_hot("origin")
        .impute("wind_speed", Fill::Median)
        .clip("wind_speed", 0.001, 0.999)
        .z_score("wind_speed")
        .impute("visib", Fill::Median)
        .z_score("visib")
        .impute("precip", Fill::Median)
        .z_score("precip")
        .missing_indicator("pressure")
        .impute("plane_age", Fill::Median)
        .z_score("plane_age");

    // 3. Flights of the past train, later ones judge: as it will be when the model is in use.
    let pipeline = Pipeline::builder("late-flights-joined")
        .data(
            flights
                .label(Label::at_least("arr_delay", 15.0).named("late"))
                .split(Split::by_time(
                    "time_hour",
                    [("train", "2013-05-15"), ("eval", "2013-06-08")],
                    "test",
                ))
                .transform(transform),
        )
        .train(LogisticRegression::default())
        .evaluate(
            Thresholds::new()
                .at_least("auc", 0.60)
                .better_than_constant(),
        )
        .serve(InProcess::new())
        .build()?;

    match pipeline.run_blocking()? {
        Outcome::Deployed { run, .. } => {
            for (split, rows) in &run.rows {
                println!("{split:6} {rows} flights");
            }
            for name in ["wind_speed", "seats"] {
                let column = run.statistics.column(name)?;
                println!(
                    "{name} is missing in {} of {}",
                    column.missing,
                    column.missing + column.count
                );
            }
            let auc = run.metrics.metric("auc")?;
            println!("AUC    {auc:.3}, with weather and aircraft");
            // 166,158 flights were to leave in half a year; those without an arrival have no label.
            let n_rows: u64 = run.rows.values().sum();
            assert_eq!(n_rows + run.unlabelled_rows, 166_158);
            assert!(auc > 0.6);
        }
        Outcome::Rejected { run } => println!("rejected: {}", run.verdict.reasons().join("; ")),
    }
    Ok(())
}
