//! The loop: spans that come, fail, are bad, are late; a process that stops at any point; canaries and live labels.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fourfold::Result;
use fourfold::StageFn;
use fourfold::arrow;
use fourfold::arrow::array::{
    ArrayRef, AsArray, BooleanArray, Float64Array, RecordBatch, StringArray,
};
use fourfold::arrow::datatypes::{DataType, Int64Type};
use fourfold::clock::{Clock, VirtualClock};
use fourfold::continuous::{
    Alert, AlertKind, BackOff, ContinuousBuilder, ContinuousPipeline, Ended, Signal, SpanCheck,
    Step, Trigger,
};
use fourfold::data::{RollingWindow, SpanBatches, SpanId, SpanSource};
use fourfold::datafusion::prelude::DataFrame;
use fourfold::model::ConstantModel;
use fourfold::prelude::*;
use fourfold::schema::Comparator;
use fourfold::training::Linear;
use serde::Serialize;

const DAY: Duration = Duration::from_secs(86_400);

/// A day of parcels: heavy ones by road are late, more or less. `unit` is what kilograms are multiplied by, `roads` the
/// values of another column.
fn day(n: i64, unit: f64, roads: &[&str]) -> RecordBatch {
    let noise = |i: i64, m: i64| ((i + n * 53) * 7_919 + 13) % 1_009 % m;
    let rows = 0..600;
    let kilograms = rows.clone().map(|i| noise(i, 100) as f64);
    let road = rows.clone().map(|i| roads[i as usize % roads.len()]);
    let late = rows.map(|i| Some((noise(i, 100) > 60) != (noise(i + 5, 23) == 0)));
    let columns: [(&str, ArrayRef); 3] = [
        (
            "kilograms",
            Arc::new(Float64Array::from_iter_values(kilograms.map(|k| k * unit))),
        ),
        ("road", Arc::new(StringArray::from_iter_values(road))),
        ("late", Arc::new(late.collect::<BooleanArray>())),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

const ROADS: &[&str] = &["road", "air", "road", "sea"];

fn days(numbers: impl IntoIterator<Item = i64>) -> SpanBatches {
    let days = SpanBatches::new("days");
    for n in numbers {
        days.push(n, [day(n, 1.0, ROADS)]);
    }
    days
}

fn features() -> Transform {
    Transform::new().z_score("kilograms").one_hot("road")
}

/// A pipeline over these days, with a trainer; in memory, with a root at a directory.
fn pipeline<T: Trainer>(
    days: &SpanBatches,
    trainer: T,
    auc: f64,
    server: &InProcess,
    root: &std::path::Path,
) -> Pipeline<RollingWindow<SpanBatches>, T, Thresholds, InProcess>
where
    Thresholds: Validator<T::Model>,
{
    Pipeline::builder("parcels")
        .data(
            RollingWindow::new(days.clone(), 3)
                .label("late")
                .transform(features()),
        )
        .train(trainer)
        .evaluate(Thresholds::new().at_least("auc", auc))
        .serve(server.clone())
        .root(root)
        .build()
        .unwrap()
}

type Alerts = Arc<Mutex<Vec<Alert>>>;

fn listening<S: SpanSource, T: Trainer, V: Validator<T::Model>, R: Server<T::Model>>(
    builder: ContinuousBuilder<S, T, V, R>,
) -> (ContinuousBuilder<S, T, V, R>, Alerts) {
    let alerts = Alerts::default();
    let heard = Arc::clone(&alerts);
    let builder = builder.on_alert(move |alert| heard.lock().unwrap().push(alert.clone()));
    (builder, alerts)
}

fn kinds(alerts: &Alerts) -> Vec<AlertKind> {
    alerts
        .lock()
        .unwrap()
        .iter()
        .map(|alert| alert.kind)
        .collect()
}

fn names(steps: &[Step]) -> Vec<&'static str> {
    steps.iter().map(|step| step.ended.name()).collect()
}

fn clock() -> VirtualClock {
    VirtualClock::at_seconds(1_800_000_000)
}

/// Days that arrive one after the other.
fn daily(clock: &VirtualClock, numbers: std::ops::RangeInclusive<i64>) -> Vec<(i64, SystemTime)> {
    let now = clock.now();
    numbers.map(|n| (n, now + DAY * n as u32)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_spans_and_new_values_are_told_and_the_loop_goes_on() {
    let (root, server, clock) = (tempfile::tempdir().unwrap(), InProcess::new(), clock());
    let days = days([1, 2, 4, 6]);
    days.push(3, [day(3, 2.2, ROADS)]); // pounds
    days.push(
        5,
        [day(
            5,
            1.0,
            &[
                "road", "air", "road", "sea", "road", "air", "road", "sea", "road", "air", "road",
                "rail",
            ],
        )],
    );
    let of = pipeline(&days, Linear::default(), 0.8, &server, root.path());
    let (builder, alerts) = listening(ContinuousPipeline::of(of).clock(clock.clone()));
    // A listener that panics stops nothing.
    let builder = builder.on_alert(|_| panic!("a listener"));
    let parcels = builder.build().unwrap();
    let steps = parcels.replay(daily(&clock, 1..=6), &clock).await.unwrap();

    let ended = [
        "deployed", "deployed", "bad_span", "deployed", "deployed", "deployed",
    ];
    assert_eq!(names(&steps), ended, "{steps:#?}");
    let windows: Vec<&[i64]> = steps.iter().map(|step| &step.window[..]).collect();
    let expected: [&[i64]; 6] = [&[1], &[1, 2], &[], &[1, 2, 4], &[2, 4, 5], &[4, 5, 6]];
    assert_eq!(windows, expected);
    assert!(
        steps[2].too_far.iter().all(|far| far.column == "kilograms"),
        "{:?}",
        steps[2].too_far
    );
    assert!(!steps[2].too_far.is_empty() && steps[2].to_string().contains("the previous span"));
    // `rail` is a twelfth of the values: new, told, and known from then on.
    assert_eq!(kinds(&alerts), [AlertKind::BadSpan, AlertKind::NewValues]);
    assert!(
        steps[4].accepted[0].contains("`rail` (50 rows)"),
        "{:?}",
        steps[4].accepted
    );
    assert!(steps[5].accepted.is_empty());
    // Both models were asked about the same new rows.
    assert!(steps[0].serving_metrics.is_empty());
    for step in [&steps[1], &steps[3], &steps[4], &steps[5]] {
        let rows = |metrics: &fourfold::metrics::Metrics| metrics["example_count"].support;
        assert!(step.metrics.contains_key("auc"));
        assert_eq!(rows(&step.metrics), rows(&step.serving_metrics));
        // A quarter of the newest day of 600 rows.
        assert!(
            (100..200).contains(&rows(&step.metrics)),
            "{}",
            rows(&step.metrics)
        );
    }
    let at = UNIX_EPOCH + Duration::from_millis(steps[5].at_ms);
    assert_eq!(
        at.duration_since(UNIX_EPOCH + Duration::from_secs(1_800_000_000))
            .unwrap(),
        DAY * 6
    );
    assert_eq!(parcels.steps(0).await.unwrap(), steps);
    assert_eq!(parcels.steps(4).await.unwrap(), steps[4..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_runs_and_rejected_models_leave_what_serves() {
    let (root, server, clock) = (tempfile::tempdir().unwrap(), InProcess::new(), clock());
    let days = days(1..=5);
    // The second run panics, the third one's model knows nothing.
    let runs = AtomicU32::new(0);
    let trainer = StageFn::new("moody", 1, move |args: &TrainArgs| {
        let p = match runs.fetch_add(1, Ordering::Relaxed) {
            1 => panic!("no"),
            2 => return Err(Error::new(ErrorKind::Data, "a row that nobody understands")),
            3 => 0.9,
            _ => 0.4,
        };
        Ok(ConstantModel::new(args.train().n_features(), vec![p]))
    });
    let of = Pipeline::builder("parcels")
        .data(
            RollingWindow::new(days, 3)
                .label("late")
                .transform(features()),
        )
        .train(trainer)
        .evaluate(Thresholds::new().at_most("brier", 0.3))
        .serve(server.clone())
        .root(root.path())
        .build()
        .unwrap();
    let (builder, alerts) = listening(ContinuousPipeline::of(of).clock(clock.clone()));
    let parcels = builder.build().unwrap();
    let endpoint = server.open("parcels").await.unwrap();
    let mut versions = Vec::new();
    let mut ended = Vec::new();
    for (n, at) in daily(&clock, 1..=5) {
        let steps = parcels.replay([(n, at)], &clock).await.unwrap();
        ended.extend(names(&steps));
        versions.push(endpoint.predictor().unwrap().version());
    }
    assert_eq!(
        ended,
        ["deployed", "failed", "failed", "rejected", "deployed"]
    );
    assert_eq!(versions, [1, 1, 1, 1, 2]);
    assert_eq!(
        kinds(&alerts),
        [
            AlertKind::RunFailed,
            AlertKind::RunFailed,
            AlertKind::Rejected
        ]
    );
    let steps = parcels.steps(0).await.unwrap();
    // Days whose run failed are good all the same.
    assert_eq!(steps[4].window, [3, 4, 5]);
    assert_eq!(steps[1].attempts, 1, "what does not pass is tried once");
    assert!(steps[1].to_string().contains("panicked"), "{}", steps[1]);
}

/// Days whose reading fails so often.
#[derive(Clone, Debug, Serialize)]
struct Flaky {
    days: SpanBatches,
    #[serde(skip)]
    failures: Arc<AtomicU32>,
}

impl Stage for Flaky {
    fn name(&self) -> &str {
        "flaky"
    }
}

impl DataSource for Flaky {
    async fn read(&self, engine: &Engine) -> Result<DataFrame> {
        let left = self
            .failures
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        match left {
            Ok(_) => Err(Error::new(ErrorKind::Unavailable, "the store is away")),
            Err(_) => self.days.read(engine).await,
        }
    }
}

impl SpanSource for Flaky {
    async fn spans_there(&self, engine: &Engine) -> Result<Vec<SpanId>> {
        self.days.spans_there(engine).await
    }

    fn of_spans(&self, numbers: &[i64]) -> Self {
        let days = self.days.of_spans(numbers);
        Flaky {
            days,
            ..self.clone()
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_pass_is_tried_again_after_longer_and_longer_waits() {
    let (root, clock) = (tempfile::tempdir().unwrap(), clock());
    let failures = Arc::new(AtomicU32::new(2));
    let source = Flaky {
        days: days(1..=3),
        failures: Arc::clone(&failures),
    };
    let of = Pipeline::builder("parcels")
        .data(
            RollingWindow::new(source, 3)
                .label("late")
                .transform(features()),
        )
        .train(Linear::default())
        .evaluate(Thresholds::new().at_least("auc", 0.8))
        .serve(InProcess::new())
        .root(root.path())
        .build()
        .unwrap();
    let (builder, alerts) = listening(ContinuousPipeline::of(of).clock(clock.clone()));
    let parcels = builder
        .back_off(BackOff::from(Duration::from_secs(60)))
        .build()
        .unwrap();
    let arrivals = daily(&clock, 1..=3);
    let began = arrivals[0].1;
    let steps = parcels.replay([arrivals[0]], &clock).await.unwrap();
    assert_eq!(names(&steps), ["deployed"]);
    assert_eq!(kinds(&alerts), [AlertKind::SourceFailed; 2]);
    assert_eq!(
        clock.now().duration_since(began).unwrap(),
        Duration::from_secs(60 + 120)
    );

    // Three failures are given up, and the next span is looked at.
    failures.store(3, Ordering::SeqCst);
    let steps = parcels
        .replay(arrivals[1..].iter().copied(), &clock)
        .await
        .unwrap();
    assert_eq!(names(&steps), ["failed", "deployed"]);
    assert_eq!(
        steps[1].window,
        [1, 3],
        "what could not be read is in no window"
    );

    // Reading works for the check and fails for the run.
    failures.store(0, Ordering::SeqCst);
    let step = parcels.retrain("an operator").await.unwrap();
    assert_eq!((step.ended.name(), step.attempts), ("deployed", 1));
    failures.store(2, Ordering::SeqCst);
    let step = parcels.retrain("an operator, again").await.unwrap();
    assert_eq!((step.ended.name(), step.attempts), ("deployed", 3));
    assert_eq!(step.reason, "an operator, again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_begins_again_goes_on_where_the_last_one_was() {
    let (root, models) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let clock = clock();
    let days = days(1..=2);
    let begun = Arc::new(AtomicBool::new(false));
    let hangs = Arc::new(AtomicBool::new(false));
    let open = |server: &InProcess| {
        let (begun, hangs) = (Arc::clone(&begun), Arc::clone(&hangs));
        let trainer = StageFn::new("slow", 1, move |args: &TrainArgs| {
            begun.store(true, Ordering::SeqCst);
            while hangs.load(Ordering::SeqCst) {
                args.cancellation().check()?;
                std::thread::sleep(Duration::from_millis(1));
            }
            Ok(ConstantModel::new(args.train().n_features(), vec![0.4]))
        });
        let of = Pipeline::builder("parcels")
            .data(
                RollingWindow::new(days.clone(), 3)
                    .label("late")
                    .transform(features()),
            )
            .train(trainer)
            .evaluate(Thresholds::new().at_most("brier", 0.5))
            .serve(server.clone())
            .root(root.path())
            .build()
            .unwrap();
        ContinuousPipeline::of(of).clock(clock.clone()).build()
    };
    let server = InProcess::at(models.path());
    let parcels = open(&server).unwrap();
    let arrivals = daily(&clock, 1..=4);
    parcels
        .replay(arrivals[..2].iter().copied(), &clock)
        .await
        .unwrap();
    // Another process must wait its turn.
    assert_eq!(open(&server).unwrap_err().kind(), ErrorKind::Unavailable);

    // It stops while day 3 is trained on.
    days.push(3, [day(3, 1.0, ROADS)]);
    hangs.store(true, Ordering::SeqCst);
    begun.store(false, Ordering::SeqCst);
    {
        let looking = parcels.look();
        let stopped = async {
            while !begun.load(Ordering::SeqCst) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            steps = looking => panic!("{steps:?}"),
            () = stopped => {}
        }
    }
    drop((parcels, server));
    hangs.store(false, Ordering::SeqCst);

    let server = InProcess::at(models.path());
    let parcels = open(&server).unwrap();
    assert_eq!(parcels.steps(0).await.unwrap().len(), 2);
    let steps = parcels.look().await.unwrap();
    assert_eq!(steps.len(), 1);
    let step = &steps[0];
    assert_eq!(
        (step.number, step.span, &step.window[..]),
        (2, Some(3), &[1, 2, 3][..])
    );
    assert_eq!(step.ended, Ended::Deployed { version: Some(3) });
    // What was done is not done again.
    let runs = fourfold::runs::Root::open(root.path()).unwrap();
    let run = runs.run(step.run.as_deref().unwrap()).unwrap();
    assert!(run.reused().any(|stage| stage == "prepare"), "{run:?}");
    assert_eq!(run.tags["span"], "3");
    // And what is on record is not looked at again.
    assert_eq!(parcels.look().await.unwrap(), []);
    assert_eq!(
        server
            .open("parcels")
            .await
            .unwrap()
            .predictor()
            .unwrap()
            .version(),
        3
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_that_come_together_are_checked_one_by_one_and_trained_on_once() {
    let (root, server, clock) = (tempfile::tempdir().unwrap(), InProcess::new(), clock());
    let days = days([1, 2, 4]);
    let of = pipeline(&days, Linear::default(), 0.8, &server, root.path());
    let parcels = ContinuousPipeline::of(of).clock(clock).build().unwrap();
    let steps = parcels.look().await.unwrap();
    assert_eq!(names(&steps), ["noted", "noted", "deployed"]);
    assert_eq!(steps[2].window, [1, 2, 4]);
    // Of the newest two the last is bad: the other is trained on.
    days.push(5, [day(5, 1.0, ROADS)]);
    days.push(6, [day(6, 2.2, ROADS)]);
    let steps = parcels.look().await.unwrap();
    assert_eq!(names(&steps), ["noted", "bad_span", "deployed"]);
    assert_eq!(
        (steps[2].span, &steps[2].window[..]),
        (None, &[2, 4, 5][..])
    );
    // One that is late and not among the newest is noted.
    days.push(0, [day(0, 1.0, ROADS)]);
    assert_eq!(names(&parcels.look().await.unwrap()), ["noted"]);
    assert_eq!(parcels.look().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_trains_by_the_schedule_and_when_it_is_told() {
    let (root, server, clock) = (tempfile::tempdir().unwrap(), InProcess::new(), clock());
    let days = days(1..=2);
    let of = pipeline(&days, Linear::default(), 0.8, &server, root.path());
    let signal = Signal::new();
    let parcels = ContinuousPipeline::of(of)
        .clock(clock.clone())
        .trigger(Trigger::schedule(DAY * 7))
        .trigger(Trigger::signal(&signal))
        .build()
        .unwrap();
    let began = clock.now();
    let arrivals = [(1, began + DAY), (2, began + DAY * 20)];
    let steps = parcels.replay(arrivals, &clock).await.unwrap();
    let reasons: Vec<&str> = steps.iter().map(|step| step.reason.as_str()).collect();
    assert_eq!(reasons, ["span 1", "schedule", "schedule", "span 2"]);
    let days_of = |step: &Step| (step.at_ms / 1_000 - 1_800_000_000) / 86_400;
    assert_eq!(
        steps.iter().map(days_of).collect::<Vec<_>>(),
        [1, 7, 14, 20]
    );

    // The loop itself, which is told twice and does it once.
    let parcels = Arc::new(parcels);
    signal.retrain("prices have changed");
    signal.retrain("and so have fares");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let looping = Arc::clone(&parcels);
    let task = tokio::spawn(async move { looping.run_until(async { drop(stopped.await) }).await });
    let told = |steps: &[Step]| {
        steps
            .iter()
            .any(|step| step.reason == "prices have changed")
    };
    while !told(&parcels.steps(4).await.unwrap()) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(stop);
    task.await.unwrap().unwrap();
    let steps = parcels.steps(4).await.unwrap();
    assert!(!steps.iter().any(|step| step.reason == "and so have fares"));
}

#[tokio::test]
async fn what_is_set_up_wrong_is_named() {
    let (root, server) = (tempfile::tempdir().unwrap(), InProcess::new());
    let days = days([1]);
    let of = || {
        ContinuousPipeline::of(pipeline(
            &days,
            Linear::default(),
            0.8,
            &server,
            root.path(),
        ))
    };
    let error = of()
        .trigger(Trigger::schedule(Duration::ZERO))
        .build()
        .unwrap_err();
    assert!(error.to_string().contains("an interval of 0 s"), "{error}");
    let error = of()
        .check(SpanCheck::new().new_values(1.5))
        .build()
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("`new_values` is 1.5, must be from 0 to 1"),
        "{error}"
    );
    let error = of()
        .back_off(BackOff::default().attempts(0))
        .build()
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("`attempts` is 0, must be at least 1"),
        "{error}"
    );
    let clock = clock();
    let parcels = of().build().unwrap();
    let error = parcels
        .replay(daily(&clock, 1..=1), &clock)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("on another clock"), "{error}");
    let error = RollingWindow::new(days.clone(), 3)
        .hold_out(1.0)
        .label("late")
        .check()
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("is 1, must be from 0.001 to 0.999"),
        "{error}"
    );
}

/// Public data with drift in the order of time: a year of New York's weather, month by month, seasons and all.
#[tokio::test(flavor = "multi_thread")]
async fn a_year_of_weather_is_followed() {
    let (root, server, clock) = (tempfile::tempdir().unwrap(), InProcess::new(), clock());
    let engine = Engine::new().unwrap();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/weather.parquet");
    let rows = FileSource::parquet(path).read(&engine).await.unwrap();
    let months = SpanBatches::new("weather");
    for batch in rows.collect().await.unwrap() {
        let of = arrow::compute::cast(batch.column_by_name("month").unwrap(), &DataType::Int64);
        let of = of.unwrap();
        for month in 1..=12 {
            let is_of = of
                .as_primitive::<Int64Type>()
                .iter()
                .map(|of| Some(of == Some(month)));
            let is_of: BooleanArray = is_of.collect();
            let rows = arrow::compute::filter_record_batch(&batch, &is_of).unwrap();
            if rows.num_rows() > 0 {
                months.push(month, [rows]);
            }
        }
    }
    // Rain is told by damp air, in every season.
    let measured = ["temp", "humid", "wind_speed"];
    let features = measured
        .into_iter()
        .fold(Transform::new(), |features, column| {
            features.impute(column, Fill::Mean).z_score(column)
        });
    let features = features.one_hot("origin");
    let pipeline = |check: SpanCheck, name: &str| {
        let of = Pipeline::builder(name)
            .data(
                RollingWindow::new(months.clone(), 3)
                    .label(Label::at_least("precip", 0.005).named("rain"))
                    .transform(features.clone()),
            )
            .train(LogisticRegression::default())
            .evaluate(Thresholds::new().at_least("auc", 0.6))
            .serve(server.clone())
            .root(root.path())
            .build()
            .unwrap();
        ContinuousPipeline::of(of)
            .check(check)
            .clock(clock.clone())
            .build()
            .unwrap()
    };
    // With the thresholds of steady data the seasons are too far from each other.
    let strict = pipeline(SpanCheck::new(), "strict");
    let now = clock.now();
    let steps = strict
        .replay((1..=6).map(|n| (n, now + DAY * 30 * n as u32)), &clock)
        .await
        .unwrap();
    let bad: Vec<&Step> = steps
        .iter()
        .filter(|step| step.ended == Ended::BadSpan)
        .collect();
    assert!(!bad.is_empty(), "{steps:#?}");
    assert!(
        bad.iter()
            .any(|step| step.too_far.iter().any(|far| far.column == "temp")),
        "{bad:#?}"
    );

    let mut numbers = Comparator::default();
    numbers.kolmogorov_smirnov = Some(0.7);
    let steady = pipeline(SpanCheck::new().numbers(numbers), "weather");
    let now = clock.now();
    let steps = steady
        .replay((1..=12).map(|n| (n, now + DAY * 30 * n as u32)), &clock)
        .await
        .unwrap();
    let deployed = steps
        .iter()
        .filter(|step| step.ended.name() == "deployed")
        .count();
    assert!(
        deployed >= 10,
        "{:#?}",
        steps.iter().map(ToString::to_string).collect::<Vec<_>>()
    );
    // In August rows lack a temperature, which the model of the summer before does not take.
    let served: Vec<f64> = steps
        .iter()
        .filter_map(|step| Some(step.serving_metrics.get("auc")?.value))
        .collect();
    let mean = served.iter().sum::<f64>() / served.len() as f64;
    assert!(served.len() >= 10 && mean > 0.7, "{served:?}");
}
