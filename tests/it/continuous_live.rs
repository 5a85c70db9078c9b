//! The loop closes: requests are logged, their labels come later, and decide about canaries and train the next model.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fourfold::StageFn;
use fourfold::arrow::array::{
    ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use fourfold::arrow::compute::concat;
use fourfold::clock::{Clock, SystemClock, VirtualClock};
use fourfold::continuous::{
    Canary, ContinuousPipeline, Ended, LabelledRequests, Loss, SequentialTest, Signal, Step,
    Trigger,
};
use fourfold::data::{RollingWindow, SpanBatches, SpanSource};
use fourfold::model::ConstantModel;
use fourfold::prelude::*;
use fourfold::serving::http::{Admin, ServerOptions};
use fourfold::serving::observe::{
    DriftMonitor, DriftOptions, Metrics, RequestLog, RequestLogOptions,
};
use fourfold::training::Linear;

const HOUR: Duration = Duration::from_secs(3_600);

/// Rows of `x`, true above 60 of 100.
fn rows(n: i64) -> RecordBatch {
    let x: Vec<f64> = (0..400).map(|i| ((i * 37 + n * 11) % 100) as f64).collect();
    let y: BooleanArray = x.iter().map(|x| Some(*x > 60.0)).collect();
    let columns: [(&str, ArrayRef); 2] =
        [("x", Arc::new(Float64Array::from(x))), ("y", Arc::new(y))];
    RecordBatch::try_from_iter(columns).unwrap()
}

/// Labels that were known at a time.
fn labels(of: &[(String, bool)], known_at: SystemTime) -> RecordBatch {
    let micros = known_at.duration_since(UNIX_EPOCH).unwrap().as_micros() as i64;
    let known_at = TimestampMicrosecondArray::from(vec![micros; of.len()]).with_timezone("UTC");
    let ids = of.iter().map(|(id, _)| id.as_str());
    let columns: [(&str, ArrayRef); 3] = [
        ("request_id", Arc::new(StringArray::from_iter_values(ids))),
        (
            "y",
            Arc::new(of.iter().map(|(_, y)| Some(*y)).collect::<BooleanArray>()),
        ),
        ("known_at", Arc::new(known_at)),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

/// A service with its log, and what it has answered.
struct Service {
    endpoint: Endpoint,
    log: RequestLog,
    n: i64,
    /// Of each version: how often it answered, and its squared errors.
    answered: BTreeMap<u64, (u64, f64)>,
}

impl Service {
    async fn start(server: &InProcess, dir: &Path) -> Self {
        Service::start_on(server, dir, SystemClock).await
    }

    async fn start_on(server: &InProcess, dir: &Path, clock: impl Clock) -> Self {
        let options = RequestLogOptions::default().max_queued_bytes(1 << 30);
        Service {
            endpoint: server.open("loans").await.unwrap(),
            log: RequestLog::open(dir, options).unwrap().clock(clock),
            n: 0,
            answered: BTreeMap::new(),
        }
    }

    /// Answers so many requests; their ids, with what will turn out.
    fn ask(&mut self, n: i64) -> Vec<(String, bool)> {
        let mut asked = Vec::new();
        for _ in 0..n {
            self.n += 1;
            let x = (self.n * 41 % 100) as f64;
            let column: ArrayRef = Arc::new(Float64Array::from(vec![x]));
            let row = RecordBatch::try_from_iter([("x", column)]).unwrap();
            let id = format!("request-{}", self.n);
            let predictor = self.endpoint.predictor().unwrap();
            let answer = predictor
                .predict_observed(&row, Some(&id), &self.log)
                .unwrap();
            let y = x > 60.0;
            let of_version = self.answered.entry(predictor.version()).or_default();
            of_version.0 += 1;
            of_version.1 += (answer.outputs()[(0, 0)] - f64::from(u8::from(y))).powi(2);
            asked.push((id, y));
        }
        self.log.flush();
        asked
    }
}

/// Answers with what is next in the list.
fn answering(probabilities: &'static [f64]) -> impl Trainer<Model = ConstantModel> {
    let runs = AtomicU32::new(0);
    StageFn::new("constant", 1, move |args: &TrainArgs| {
        let at = runs.fetch_add(1, Ordering::Relaxed) as usize;
        let p = probabilities[at.min(probabilities.len() - 1)];
        Ok(ConstantModel::new(args.train().n_features(), vec![p]))
    })
}

fn loans<T: Trainer>(
    spans: &SpanBatches,
    trainer: T,
    server: &InProcess,
    root: &Path,
) -> Pipeline<RollingWindow<SpanBatches>, T, Thresholds, InProcess>
where
    Thresholds: Validator<T::Model>,
{
    Pipeline::builder("loans")
        .data(
            RollingWindow::new(spans.clone(), 3)
                .label("y")
                .transform(Transform::new().z_score("x")),
        )
        .train(trainer)
        .evaluate(Thresholds::new().at_most("brier", 1.0))
        .serve(server.clone())
        .root(root)
        .cache(false)
        .build()
        .unwrap()
}

fn ended(steps: &[Step]) -> Vec<Ended> {
    steps.iter().map(|step| step.ended.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn canaries_are_promoted_and_rolled_back_by_their_labels() {
    let (root, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = InProcess::new();
    let (spans, known) = (SpanBatches::new("loans"), SpanBatches::new("labels"));
    spans.push(1, [rows(1)]);
    let metrics = Metrics::new();
    let mut service = Service::start(&server, dir.path()).await;
    let endpoint = service.endpoint.clone();
    let open = |probabilities| {
        let canary = Canary::of(&endpoint).share(0.5).loss(Loss::Brier);
        let canary = canary.test(SequentialTest::new().alpha(0.001).margin(0.1));
        ContinuousPipeline::of(loans(
            &spans,
            answering(probabilities),
            &server,
            root.path(),
        ))
        .live(LabelledRequests::new(
            dir.path().join("loans"),
            known.clone(),
            "y",
            "known_at",
        ))
        .canary(canary)
        .metrics(&metrics)
        .build()
        .unwrap()
    };
    let loop_of_loans = open(&[0.9, 0.4, 0.95]);
    assert_eq!(
        ended(&loop_of_loans.look().await.unwrap()),
        [Ended::Deployed { version: Some(1) }]
    );
    assert_eq!(
        loop_of_loans.live(None).await.unwrap(),
        [],
        "nothing was asked"
    );
    service.ask(50);
    assert_eq!(service.answered.keys().copied().collect::<Vec<_>>(), [1]);

    // The second version is a canary, with its share of the traffic.
    spans.push(2, [rows(2)]);
    let began = Ended::CanaryBegan {
        version: 2,
        stable: 1,
    };
    assert_eq!(ended(&loop_of_loans.look().await.unwrap()), [began]);
    let asked = service.ask(400);
    let of_canary = service.answered[&2].0;
    assert!((140..=260).contains(&of_canary), "{of_canary} of 400");
    // No labels, no decision; what comes meanwhile is noted.
    spans.push(3, [rows(3)]);
    assert_eq!(ended(&loop_of_loans.look().await.unwrap()), [Ended::Noted]);
    assert_eq!(
        service
            .endpoint
            .manager()
            .state("loans")
            .unwrap()
            .versions
            .len(),
        2
    );

    // With the labels it is promoted, and the span that waited makes the next one, which does harm.
    known.push(1, [labels(&asked, SystemTime::now())]);
    let steps = loop_of_loans.look().await.unwrap();
    let began = Ended::CanaryBegan {
        version: 3,
        stable: 2,
    };
    assert_eq!(ended(&steps), [Ended::Promoted { version: 2 }, began]);
    let evidence = steps[0].evidence.unwrap();
    assert!(
        evidence.no_worse >= 1_000.0 && evidence.harm < 20.0,
        "{evidence}"
    );
    assert!(evidence.lower < evidence.upper, "{evidence}");
    assert_eq!(steps[1].reason, "spans that waited");
    let page = metrics.encode();
    for series in [
        r#"fourfold_continuous_steps_total{model="loans",ended="promoted"} 1"#,
        r#"fourfold_continuous_alerts_total{model="loans",kind="promoted"} 1"#,
        r#"fourfold_live_metric{model="loans",version="2",metric="brier",of="lower"}"#,
    ] {
        assert!(page.contains(series), "{series}: {page}");
    }

    // Another process goes on with it.
    drop(loop_of_loans);
    let loop_of_loans = open(&[0.4]);
    assert_eq!(loop_of_loans.look().await.unwrap(), []);
    let asked = service.ask(400);
    assert!(service.answered[&3].0 > 140, "{:?}", service.answered);
    known.push(2, [labels(&asked, SystemTime::now())]);
    let steps = loop_of_loans.look().await.unwrap();
    assert_eq!(ended(&steps), [Ended::RolledBack { version: 3, to: 2 }]);
    assert!(steps[0].to_string().contains("is harmful"), "{}", steps[0]);
    let before = service.answered[&2].0;
    service.ask(50);
    assert_eq!(
        service.answered[&2].0,
        before + 50,
        "all traffic is with version 2 again"
    );
    let labelled = loop_of_loans.live(None).await.unwrap();
    assert_eq!(labelled.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_shows_nothing_is_withdrawn() {
    let (root, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = InProcess::new();
    let (spans, known) = (SpanBatches::new("loans"), SpanBatches::new("labels"));
    spans.push(1, [rows(1)]);
    let mut service = Service::start(&server, dir.path()).await;
    // Superiority by 0.3, of a model that is as good.
    let canary = Canary::of(&service.endpoint).share(0.5).most_labels(30);
    let canary = canary.test(SequentialTest::new().alpha(0.001).margin(-0.3));
    let requests = LabelledRequests::new(dir.path().join("loans"), known.clone(), "y", "known_at");
    let of = loans(&spans, answering(&[0.4]), &server, root.path());
    let parcels = ContinuousPipeline::of(of)
        .live(requests)
        .canary(canary)
        .build()
        .unwrap();
    parcels.look().await.unwrap();
    spans.push(2, [rows(2)]);
    parcels.look().await.unwrap();
    let asked = service.ask(200);
    known.push(1, [labels(&asked, SystemTime::now())]);
    let steps = parcels.look().await.unwrap();
    assert_eq!(ended(&steps), [Ended::Undecided { version: 2, to: 1 }]);
    let before = service.answered[&1].0;
    service.ask(20);
    assert_eq!(service.answered[&1].0, before + 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_count_once_in_their_time_and_train_the_next_model() {
    let (root, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = InProcess::new();
    let (spans, known) = (SpanBatches::new("loans"), SpanBatches::new("labels"));
    spans.push(1, [rows(1)]);
    let mut service = Service::start(&server, dir.path()).await;
    let requests = LabelledRequests::new(dir.path().join("loans"), known.clone(), "y", "known_at");
    let requests = requests.within(HOUR);
    let of = loans(&spans, Linear::default(), &server, root.path());
    let first = ContinuousPipeline::of(of)
        .live(requests.clone())
        .build()
        .unwrap();
    first.look().await.unwrap();
    let asked = service.ask(300);
    let now = SystemTime::now();
    known.push(1, [labels(&asked[..200], now)]);
    // Too late, before the request, another label for a key that has one, and a request that nobody knows.
    known.push(2, [labels(&asked[200..220], now + HOUR * 2)]);
    known.push(2, [labels(&asked[220..240], now - HOUR)]);
    let turned: Vec<(String, bool)> = asked[..50].iter().map(|(id, y)| (id.clone(), !y)).collect();
    known.push(3, [labels(&turned, now + Duration::from_secs(5))]);
    known.push(3, [labels(&[("nobody".to_owned(), true)], now)]);

    let live = first.live(None).await.unwrap();
    assert_eq!(live.len(), 1);
    assert_eq!(live[0].version, 1);
    let count = live[0].metrics["example_count"].support;
    assert_eq!(count, 200);
    // The answers of the first 200 requests, by hand.
    let predictor = service.endpoint.predictor().unwrap();
    let x = (1..=200).map(|n| (n * 41 % 100) as f64);
    let column: ArrayRef = Arc::new(Float64Array::from_iter_values(x.clone()));
    let answers = predictor
        .predict(&RecordBatch::try_from_iter([("x", column)]).unwrap())
        .unwrap();
    let errors = answers.outputs().column(0).to_vec().into_iter().zip(x);
    let errors = errors.map(|(p, x)| (p - f64::from(u8::from(x > 60.0))).powi(2));
    let brier = errors.sum::<f64>() / 200.0;
    let found = live[0].metrics["brier"];
    assert!((found.value - brier).abs() < 1e-12, "{found:?} {brier}");
    assert!(found.lower.unwrap() < brier && brier < found.upper.unwrap());

    // What was served is the data of the next model: a span is the labels of a day.
    let engine = Engine::new().unwrap();
    let days = requests.clone().period(Duration::from_secs(86_400));
    let there = days.spans_there(&engine).await.unwrap();
    let today = now.duration_since(UNIX_EPOCH).unwrap().as_secs() as i64 / 86_400;
    assert_eq!(
        there.iter().map(|span| span.number).collect::<Vec<_>>(),
        [today]
    );
    let next_root = tempfile::tempdir().unwrap();
    let next = Pipeline::builder("loans")
        .data(
            RollingWindow::new(days, 2)
                .label("y")
                .transform(Transform::new().z_score("x")),
        )
        .train(Linear::default())
        .evaluate(Thresholds::new().at_least("auc", 0.9))
        .serve(server.clone())
        .root(next_root.path())
        .build()
        .unwrap();
    let next = ContinuousPipeline::of(next).live(requests).build().unwrap();
    let steps = next.look().await.unwrap();
    assert_eq!(ended(&steps), [Ended::Deployed { version: Some(2) }]);
    assert_eq!(steps[0].window, [today]);
    assert_eq!(service.endpoint.predictor().unwrap().version(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_in_serving_trains_anew() {
    let (root, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = InProcess::new();
    let spans = SpanBatches::new("loans");
    spans.push(1, [rows(1)]);
    let service = Service::start(&server, dir.path()).await;
    let signal = Signal::new();
    let of = loans(&spans, Linear::default(), &server, root.path());
    let of = ContinuousPipeline::of(of).trigger(Trigger::signal(&signal));
    let loop_of_loans = Arc::new(of.build().unwrap());
    loop_of_loans.look().await.unwrap();
    let options = DriftOptions::default().window_rows(200).min_rows(100);
    let monitor = DriftMonitor::start(options, signal.on_drift("loans")).unwrap();
    let ask = |from: i64, to: i64| {
        let x: ArrayRef = Arc::new(Float64Array::from_iter_values(
            (from..to).map(|x| (x % 100) as f64),
        ));
        let rows = RecordBatch::try_from_iter([("x", x)]).unwrap();
        let predictor = service.endpoint.predictor().unwrap();
        predictor.predict_observed(&rows, None, &monitor).unwrap();
        monitor.flush();
    };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let looping = Arc::clone(&loop_of_loans);
    let task = tokio::spawn(async move { looping.run_until(async { drop(stopped.await) }).await });
    // All values as in training, then the high ones only.
    ask(0, 200);
    for _ in 0..4 {
        ask(60, 100);
    }
    ask(60, 100);
    while loop_of_loans.steps(1).await.unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(stop);
    task.await.unwrap().unwrap();
    let step = &loop_of_loans.steps(1).await.unwrap()[0];
    assert!(
        step.reason
            .starts_with("drift in serving: model `loans` version 1"),
        "{}",
        step.reason
    );
    assert_eq!(step.window, [1]);
}

/// The files of a log, or of whatever lies below a directory.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found
}

/// Requests, labels and canaries go by the clock of the replay, and each look reads the files of the log that are new.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_is_whole_and_reads_the_log_once() {
    let (root, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // 2020, when no clock of a machine that runs this stands.
    let clock = VirtualClock::at_seconds(1_600_000_000);
    let server = InProcess::new();
    let (spans, known) = (SpanBatches::new("loans"), SpanBatches::new("labels"));
    for n in 1..=3 {
        spans.push(n, [rows(n)]);
    }
    let mut service = Service::start_on(&server, dir.path(), clock.clone()).await;
    let endpoint = service.endpoint.clone();
    let open = || {
        let canary = Canary::of(&endpoint).share(0.5);
        let canary = canary.test(SequentialTest::new().alpha(0.001).margin(0.1));
        ContinuousPipeline::of(loans(&spans, answering(&[0.9, 0.4]), &server, root.path()))
            .live(LabelledRequests::new(
                dir.path().join("loans"),
                known.clone(),
                "y",
                "known_at",
            ))
            .canary(canary)
            .clock(clock.clone())
            .build()
            .unwrap()
    };
    let loop_of_loans = open();
    // What the server's own metrics say, without anybody having given them to the loop.
    let counted = || {
        let page = service_metrics(&endpoint);
        let of = page.lines().filter(|line| {
            line.starts_with("fourfold_live_metric{")
                && line.contains("metric=\"example_count\",of=\"value\"")
        });
        let counts = of.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap());
        counts.sum::<f64>()
    };
    let day = HOUR * 24;
    let new_year = clock.now();
    let arrive = |n: u32| [(i64::from(n), new_year + day * n)];
    let steps = loop_of_loans.replay(arrive(1), &clock).await.unwrap();
    assert_eq!(ended(&steps), [Ended::Deployed { version: Some(1) }]);
    let began = Ended::CanaryBegan {
        version: 2,
        stable: 1,
    };
    let steps = loop_of_loans.replay(arrive(2), &clock).await.unwrap();
    assert_eq!(ended(&steps), [began]);

    // A few labels come an hour later, and decide nothing.
    let asked = service.ask(30);
    let folders = files(dir.path());
    assert!(
        folders
            .iter()
            .all(|file| file.to_string_lossy().contains("requested_on=2020-09-15")),
        "{folders:?}"
    );
    known.push(1, [labels(&asked[..20], clock.now() + HOUR)]);
    let steps = loop_of_loans.replay(arrive(3), &clock).await.unwrap();
    assert_eq!(ended(&steps), [Ended::Noted]);
    assert_eq!(counted(), 20.0);

    // The files that were read are gone, and what was in them counts; also the requests that were without a label.
    for file in files(dir.path()) {
        std::fs::remove_file(file).unwrap();
    }
    known.push(2, [labels(&asked[20..], clock.now() + HOUR)]);
    let later = service.ask(300);
    known.push(2, [labels(&later, clock.now() + HOUR)]);
    clock.advance(day);
    let steps = loop_of_loans.look().await.unwrap();
    assert_eq!(steps[0].ended, Ended::Promoted { version: 2 });
    assert_eq!(counted(), 330.0);
    let at = UNIX_EPOCH + Duration::from_millis(steps[0].at_ms);
    assert_eq!(at.duration_since(new_year).unwrap(), day * 4);

    // A process that begins again finds what is in the files that are there.
    drop(loop_of_loans);
    let loop_of_loans = open();
    loop_of_loans.look().await.unwrap();
    assert_eq!(counted(), 300.0);
    let live = loop_of_loans.live(None).await.unwrap();
    let found: f64 = live
        .iter()
        .map(|of| of.metrics["example_count"].value)
        .sum();
    assert_eq!(found, 300.0);
}

fn service_metrics(endpoint: &Endpoint) -> String {
    endpoint.core().metrics().encode()
}

/// Nobody has told the server of the loop, or the loop of the server.
#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_shows_live_metrics_and_alerts_by_itself() {
    let (root, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let options = ServerOptions::default().admin(Admin::SamePort);
    let server = InProcess::new()
        .listen("127.0.0.1:0")
        .options(options.dashboard());
    let (spans, known) = (SpanBatches::new("loans"), SpanBatches::new("labels"));
    spans.push(1, [rows(1)]);
    let of = loans(&spans, Linear::default(), &server, root.path());
    let requests = LabelledRequests::new(dir.path().join("loans"), known.clone(), "y", "known_at");
    let loop_of_loans = ContinuousPipeline::of(of).live(requests).build().unwrap();
    loop_of_loans.look().await.unwrap();
    // A span of one value.
    let one = rows(2).columns()[0].slice(0, 1);
    let x = concat(&[one.as_ref(); 400]).unwrap();
    let y = Arc::clone(rows(2).column(1));
    let bad = RecordBatch::try_from_iter([("x", x), ("y", y)]).unwrap();
    spans.push(2, [bad]);
    let mut service = Service::start(&server, dir.path()).await;
    let asked = service.ask(100);
    known.push(1, [labels(&asked, SystemTime::now())]);
    loop_of_loans.look().await.unwrap();

    let address = service.endpoint.address().unwrap();
    let page = tokio::task::spawn_blocking(move || {
        let mut connection = TcpStream::connect(address).unwrap();
        let ask = "GET /dashboard HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        connection.write_all(ask.as_bytes()).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        answer
    });
    let page = page.await.unwrap();
    let live = loop_of_loans.live(None).await.unwrap();
    let auc = live[0].metrics["auc"];
    let number = |x: f64| match x.fract() == 0.0 {
        true => format!("{x:.0}"),
        false => format!("{x:.4}"),
    };
    let [value, low, high] = [auc.value, auc.lower.unwrap(), auc.upper.unwrap()].map(number);
    let row = format!(
        "<bdi>auc</bdi></td><td class=\"n\">{value} <span class=\"muted\">{low} to {high}</span>"
    );
    for part in [row.as_str(), "loans: bad_span (span 2): "] {
        assert!(page.contains(part), "no {part} in {page}");
    }
}
