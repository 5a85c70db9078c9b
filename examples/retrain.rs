//! A service that retrains its model while it answers, here for a minute: `cargo run --example retrain -- 60`, and
//! meanwhile `curl localhost:3000/late --json '{"hour": 19, "carrier": "UA"}'`.
#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use fourfold::prelude::*;
use tokio::{net::TcpListener, time};

#[derive(serde::Serialize, serde::Deserialize)]
struct Flight {
    hour: i64,
    carrier: String,
}

/// Returns the probability of a delay, by the version that is serving.
async fn predict_late(
    State(flights): State<Endpoint>,
    Json(flight): Json<Flight>,
) -> Result<Json<f64>, (StatusCode, String)> {
    let answer = (flights.predictor()).and_then(|now| now.typed()?.predict(&flight));
    let failed = |error: Error| (StatusCode::SERVICE_UNAVAILABLE, format!("{error:#}"));
    answer.map(Json).map_err(failed)
}

/// Trains a model of a month of flights, and deploys it unless it is worse than the one that is serving.
async fn retrain(server: &InProcess, month: u32) -> fourfold::Result<Outcome<Endpoint>> {
    let flights = format!("examples/data/flights/2013-{month:02}.parquet");
    let late = Label::at_least("arr_delay", 15.0).named("late");
    let features = Transform::new().one_hot("hour").one_hot("carrier");
    let pipeline = Pipeline::builder("late-flights")
        .data(FileSource::parquet(flights).label(late).transform(features))
        .train(LogisticRegression::default())
        .evaluate(Thresholds::new().no_worse_than_baseline("auc", 0.02))
        .serve(server.clone());
    pipeline.build()?.run().await
}

#[tokio::main]
async fn main() -> fourfold::Result<()> {
    let given = std::env::args().nth(1).unwrap_or_default();
    let duration = time::Duration::from_secs(given.parse().unwrap_or(20));
    let server = InProcess::at("target/retrain").keep_newest(3);
    let flights = server.open("late-flights").await?;
    let app = Router::new()
        .route("/late", post(predict_late))
        .with_state(flights);
    let service = axum::serve(TcpListener::bind("127.0.0.1:3000").await?, app)
        .with_graceful_shutdown(time::sleep(duration));
    let service = tokio::spawn(service.into_future());
    for month in (1..=12).cycle().take_while(|_| !service.is_finished()) {
        match retrain(&server, month).await {
            Ok(Outcome::Deployed { endpoint, .. }) => {
                println!("version {}", endpoint.predictor()?.version());
            }
            Ok(Outcome::Rejected { run }) => println!("{}", run.verdict),
            Err(error) => println!("{error:#}"), // what serves goes on
        }
    }
    Ok(())
}
