//! A log and a monitor behind a server: both see requests in process and over HTTP.

use std::sync::Arc;

use super::tests::{candidate, passengers};
use super::{DriftMonitor, DriftOptions, RequestLog, RequestLogOptions};
use crate::model::Loaders;
use crate::serving::metrics::{Metrics, parse};
use crate::serving::{Manager, ModelRepository, ServerCore, http};

const BODY: &str = r#"{"id": "seen", "inputs": [
    {"name": "age", "datatype": "INT64", "shape": [2], "data": [31, 44]},
    {"name": "fare", "datatype": "FP64", "shape": [2], "data": [7.5, 80.0]},
    {"name": "city", "datatype": "BYTES", "shape": [2], "data": ["Rome", "Oslo"]}
]}"#;

#[test]
fn requests_in_process_and_over_http_are_logged_and_watched() {
    let dir = tempfile::tempdir().unwrap();
    let models = dir.path().join("models");
    candidate("late").save(&models.join("late/1")).unwrap();
    let metrics = Metrics::new();
    let manager = Manager::builder(ModelRepository::at(&models))
        .loaders(Loaders::default())
        .listener(Arc::new(metrics.clone()))
        .open()
        .unwrap();
    let log = RequestLog::open(dir.path().join("log"), RequestLogOptions::default()).unwrap();
    let log = Arc::new(log.metrics(&metrics));
    let options = DriftOptions::default().window_rows(10).min_rows(5);
    let monitor = Arc::new(DriftMonitor::start(options, metrics.on_drift()).unwrap());
    let core = ServerCore::builder(Arc::new(manager))
        .metrics(metrics)
        .observer(Arc::<RequestLog>::clone(&log))
        .observer(Arc::<DriftMonitor>::clone(&monitor))
        .build()
        .unwrap();

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let rows = passengers(20..28);
    runtime.block_on(core.predict("late", None, rows)).unwrap();
    let server = runtime
        .block_on(http::serve(core.clone(), "127.0.0.1:0"))
        .unwrap();
    let url = server.url();
    let mut answer = ureq::post(format!("{url}/v2/models/late/infer"))
        .header("Content-Type", "application/json")
        .send(BODY)
        .unwrap();
    let answer = answer.body_mut().read_to_string().unwrap();
    assert!(answer.contains(r#""id":"seen""#), "{answer}");

    log.flush();
    monitor.flush();
    assert_eq!(log.counts().logged_rows, 10);
    assert_eq!(log.counts().files, 1);
    let report = monitor.report("late").unwrap();
    assert_eq!((report.version, report.n_rows), (1, 10));
    assert!(report.has_enough_rows);

    let mut page = ureq::get(format!("{url}/metrics")).call().unwrap();
    let page = parse::samples(&page.body_mut().read_to_string().unwrap());
    let of = |protocol: &str| {
        page[&format!(
            "fourfold_rows_total{{model=\"late\",version=\"1\",protocol=\"{protocol}\"}}"
        )]
    };
    assert_eq!((of("in_process"), of("http")), (8.0, 2.0));
    let loads = "fourfold_model_loads_total{model=\"late\",result=\"ok\"}";
    assert_eq!(page[loads], 1.0);
    runtime.block_on(server.shutdown()).unwrap();
}
