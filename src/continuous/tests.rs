//! Loops that are stopped at any step of the store.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};

use super::{BackOff, ContinuousPipeline, Step};
use crate::clock::{Clock, VirtualClock};
use crate::data::{RollingWindow, SpanBatches};
use crate::error::Result;
use crate::evaluation::Thresholds;
use crate::pipeline::Pipeline;
use crate::serving::ModelRepository;
use crate::store::{Fault, SUMS, sub_directories};
use crate::training::DecisionTree;

const DAY: Duration = Duration::from_secs(86_400);

/// A hundred rows in which a number mostly determines the label; `unit` is the number's factor.
fn rows(n: i64, unit: i64) -> RecordBatch {
    let x = (0..100).map(|row| (row * 7 + n) % 25);
    let y = x
        .clone()
        .zip(0..)
        .map(|(x, row)| i64::from((x > 12) != (row % 19 == n % 19)));
    let x: ArrayRef = Arc::new(Int64Array::from_iter_values(x.map(|x| x * unit)));
    let y: ArrayRef = Arc::new(Int64Array::from_iter_values(y));
    RecordBatch::try_from_iter([("x", x), ("y", y)]).unwrap()
}

fn clock() -> VirtualClock {
    VirtualClock::at_seconds(1_800_000_000)
}

/// Days, the second of which is in another unit.
async fn three_days(dir: &Path) -> Result<Vec<Step>> {
    let (days, clock) = (SpanBatches::new("days"), clock());
    for (n, unit) in [(1, 1), (2, 1_000), (3, 1)] {
        days.push(n, [rows(n, unit)]);
    }
    let pipeline = Pipeline::builder("rows")
        .data(RollingWindow::new(days, 2).label("y"))
        .train(DecisionTree::default())
        .evaluate(Thresholds::new().at_least("accuracy", 0.0))
        .serve(ModelRepository::at(dir.join("models")))
        .root(dir.join("root"))
        .build()?;
    let days = ContinuousPipeline::of(pipeline)
        .clock(clock.clone())
        .back_off(BackOff::from(DAY / 100).attempts(2))
        .build()?;
    let began = clock.now();
    let arrivals = (1..=3).map(|n| (n, began + DAY * n as u32));
    days.replay(arrivals, &clock).await?;
    days.steps(0).await
}

/// A step without what differs from process to process.
fn settled(mut step: Step) -> Step {
    (step.at_ms, step.attempts, step.run) = (0, 0, None);
    step
}

/// The digests of each version of a model.
fn digests(models: &Path) -> Vec<(String, String)> {
    let versions = sub_directories(models).unwrap().into_iter();
    let sums = |version: &str| std::fs::read_to_string(models.join(version).join(SUMS)).unwrap();
    versions
        .map(|version| (version.clone(), sums(&version)))
        .collect()
}

/// Stops the loop at every `stride` steps, and begins again; returns the number of steps.
async fn stopped_at_every(stride: usize) -> usize {
    let undisturbed = tempfile::tempdir().unwrap();
    let steps = three_days(undisturbed.path()).await.unwrap();
    let expected: Vec<Step> = steps.into_iter().map(settled).collect();
    let ended: Vec<&str> = expected.iter().map(|step| step.ended.name()).collect();
    assert_eq!(ended, ["deployed", "bad_span", "deployed"]);
    let models = digests(&undisturbed.path().join("models/rows"));
    assert_eq!(models.len(), 2);

    let mut at = 0;
    loop {
        let dir = tempfile::tempdir().unwrap();
        let fault = Fault::at(dir.path(), at);
        let disturbed = three_days(dir.path()).await;
        let stopped = fault.has_stopped();
        drop(fault);
        assert_eq!(disturbed.is_err(), stopped, "step {at}: {disturbed:?}");
        let steps = three_days(dir.path()).await.unwrap();
        let steps: Vec<Step> = steps.into_iter().map(settled).collect();
        assert_eq!(steps, expected, "step {at}");
        let found = digests(&dir.path().join("models/rows"));
        assert!(found == models, "step {at}: other models");
        if !stopped {
            return at;
        }
        at += stride;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_that_was_stopped_goes_on_as_if_it_had_not_been() {
    let n = stopped_at_every(29).await;
    assert!(n > 150, "{n} steps");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it runs a loop some hundred times"]
async fn a_loop_that_was_stopped_at_any_step_goes_on_as_if_it_had_not_been() {
    stopped_at_every(1).await;
}

/// A canary that was stopped at any step is out, or decided, as it would have been.
#[cfg(feature = "request-log")]
mod canaries {
    use arrow::array::{StringArray, TimestampMicrosecondArray};

    use super::*;
    use crate::continuous::{Canary, LabelledRequests, SequentialTest};
    use crate::serving::InProcess;
    use crate::serving::observe::{RequestLog, RequestLogOptions};

    /// The state of a canary: the recorded steps, the version that answers, and whether traffic is still shared.
    #[derive(Debug, PartialEq)]
    struct Found {
        ended: Vec<&'static str>,
        answering: String,
        is_shared: bool,
    }

    async fn a_canary(dir: &Path) -> Result<Found> {
        let (days, known, clock) = (SpanBatches::new("days"), SpanBatches::new("known"), clock());
        for n in 1..=2 {
            days.push(n, [rows(n, 1)]);
        }
        let server = InProcess::at(dir.join("models"));
        let endpoint = server.open("rows").await?;
        let log = dir.join("log");
        let log = RequestLog::open(&log, RequestLogOptions::default())?.clock(clock.clone());
        let pipeline = Pipeline::builder("rows")
            .data(RollingWindow::new(days, 2).label("y"))
            .train(DecisionTree::default())
            .evaluate(Thresholds::new().at_least("accuracy", 0.0))
            .serve(server.clone())
            .root(dir.join("root"))
            .build()?;
        let test = SequentialTest::new().alpha(0.1).margin(0.5);
        let days = ContinuousPipeline::of(pipeline)
            .clock(clock.clone())
            .back_off(BackOff::from(DAY / 100).attempts(1))
            .live(LabelledRequests::new(
                dir.join("log/rows"),
                known.clone(),
                "y",
                "known_at",
            ))
            .canary(Canary::of(&endpoint).share(0.5).test(test))
            .build()?;
        let began = clock.now();
        for n in 1..=2 {
            days.replay([(n, began + DAY * n as u32)], &clock).await?;
        }
        // Each process asks under names of its own.
        let process = days.steps(0).await?.len();
        let mut ids = Vec::new();
        let mut labels = Vec::new();
        for x in 0..150 {
            let id = format!("{process}-{x}");
            let column: ArrayRef = Arc::new(Int64Array::from(vec![x % 25]));
            let row = RecordBatch::try_from_iter([("x", column)])?;
            endpoint
                .predictor()?
                .predict_observed(&row, Some(&id), &log)?;
            ids.push(id);
            labels.push(i64::from(x % 25 > 12));
        }
        log.flush();
        let at = clock.now() + DAY / 24;
        let at = at.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let at = vec![i64::try_from(at.as_micros()).unwrap(); ids.len()];
        let columns: [(&str, ArrayRef); 3] = [
            ("request_id", Arc::new(StringArray::from(ids))),
            ("y", Arc::new(Int64Array::from(labels))),
            (
                "known_at",
                Arc::new(TimestampMicrosecondArray::from(at).with_timezone("UTC")),
            ),
        ];
        known.push(1, [RecordBatch::try_from_iter(columns)?]);
        clock.advance(DAY);
        days.look().await?;
        let steps = days.steps(0).await?;
        let answering = endpoint.predictor()?;
        let version = answering.version().to_string();
        let sums = dir.join("models/rows").join(version).join(SUMS);
        let control = ModelRepository::at(dir.join("models")).control("rows")?;
        Ok(Found {
            ended: steps.iter().map(|step| step.ended.name()).collect(),
            answering: std::fs::read_to_string(sums).unwrap(),
            is_shared: control.traffic().is_some(),
        })
    }

    async fn stopped_at_every(stride: usize) -> usize {
        let undisturbed = tempfile::tempdir().unwrap();
        let expected = a_canary(undisturbed.path()).await.unwrap();
        assert_eq!(expected.ended, ["deployed", "canary_began", "promoted"]);
        assert!(!expected.is_shared);
        let mut at = 0;
        loop {
            let dir = tempfile::tempdir().unwrap();
            let fault = Fault::at(dir.path(), at);
            let disturbed = a_canary(dir.path()).await;
            let stopped = fault.has_stopped();
            drop(fault);
            let found = a_canary(dir.path()).await.unwrap();
            assert_eq!(found, expected, "step {at}, after {disturbed:?}");
            if !stopped {
                return at;
            }
            at += stride;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn they_are_decided_all_the_same() {
        let n = stopped_at_every(31).await;
        assert!(n > 120, "{n} steps");
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "it runs a loop some hundred times"]
    async fn they_are_decided_all_the_same_at_any_step() {
        stopped_at_every(1).await;
    }
}
