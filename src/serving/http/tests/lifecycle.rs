//! Versions that come and go, models that fail, and the end.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::*;
use crate::error::ErrorKind;

#[test]
fn a_new_version_is_taken_up_while_serving() {
    let server = Running::start();
    let (_, before) = server.infer("late", all_inputs());
    assert_eq!(before["model_version"], "1");
    late_model("late", 2.0)
        .save(&server.models.path().join("late/2"))
        .unwrap();
    let started = Instant::now();
    loop {
        let (status, answer) = server.infer("late", all_inputs());
        assert_eq!(status, 200, "no request fails meanwhile");
        if answer["model_version"] == "2" {
            assert_ne!(answer["outputs"][1]["data"], before["outputs"][1]["data"]);
            break;
        }
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "version 2 was not taken up"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(server.get("/v2/models/late").1["versions"], json!(["2"]));
}

#[test]
fn a_damaged_model_leaves_the_others_serving() {
    let server = Running::over(|root| {
        late_model("late", 0.1).save(&root.join("late/1")).unwrap();
        late_model("late", 0.2).save(&root.join("late/2")).unwrap();
        price().save(&root.join("price/1")).unwrap();
        for damaged in ["late/2", "price/1"] {
            let file = root.join(damaged).join("model/linear.json");
            let text = fs::read_to_string(&file).unwrap();
            fs::write(&file, text.replacen('0', "1", 1)).unwrap();
        }
    });
    let (status, answer) = server.infer("late", all_inputs());
    assert_eq!((status, &answer["model_version"]), (200, &json!("1")));
    let (status, answer) = server.infer("price", all_inputs());
    assert_eq!(status, 404);
    assert!(
        answer["error"].as_str().unwrap().contains("linear.json"),
        "{answer}"
    );
    assert_eq!(server.get("/v2/models/price/ready").0, 404);
    let (status, answer) = server.get("/v2/health/ready");
    assert_eq!((status, &answer["ready"]), (200, &json!(true)));
    assert!(
        answer["warning"]
            .as_str()
            .unwrap()
            .starts_with("model `price` is not available: "),
        "{answer}"
    );

    let (_, index) = server.post("/v2/repository/index", &json!({}));
    let states: Vec<String> = index
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            format!("{} {} {}", entry["name"], entry["version"], entry["state"]).replace('"', "")
        })
        .collect();
    assert_eq!(
        states,
        ["late 1 READY", "late 2 UNAVAILABLE", "price 1 UNAVAILABLE"]
    );
    assert!(
        index[2]["reason"]
            .as_str()
            .unwrap()
            .contains("was changed after it was written"),
        "{index}"
    );
    assert_eq!(index[0]["reason"], "");
    let (_, ready) = server.post("/v2/repository/index", &json!({"ready": true}));
    assert_eq!(ready.as_array().unwrap().len(), 1);
    assert_eq!(
        read_json(server.send("/v2/repository/index", &[], b"")).1,
        index
    );
    assert_eq!(
        server.post("/v2/repository/index", &json!({"ready": 1})).0,
        400
    );
}

#[test]
fn a_model_that_panics_is_a_500_and_nothing_more() {
    let server = Running::over(|root| {
        let target = Target::regression("y");
        candidate("panics", Panics, target)
            .save(&root.join("panics/1"))
            .unwrap();
        late_model("late", 0.1).save(&root.join("late/1")).unwrap();
    });
    let many = json!([tensor("age", "INT64", json!(vec![1; 20_000]))]);
    for inputs in [all_inputs(), many, all_inputs()] {
        let (status, answer) = server.infer("panics", inputs);
        assert_eq!(
            (status, answer),
            (500, json!({"error": "model `panics` panicked"}))
        );
    }
    assert_eq!(server.infer("late", all_inputs()).0, 200);
}

#[test]
fn a_shutdown_does_not_wait_for_idle_connections() {
    let mut server = Running::start();
    let address = server.url.trim_start_matches("http://").to_owned();
    let _idle = TcpStream::connect(&address).unwrap();
    let mut asked = TcpStream::connect(&address).unwrap();
    asked
        .write_all(b"GET /v2 HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    assert_eq!(server.get("/v2").0, 200);
    let started = Instant::now();
    server
        .runtime
        .block_on(server.handle.take().unwrap().shutdown())
        .unwrap();
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    assert!(TcpStream::connect(&address).is_err());
}

#[test]
fn dropping_the_handle_stops_the_server() {
    let mut server = Running::start();
    assert_eq!(server.get("/v2/health/live").0, 200);
    drop(server.handle.take());
    let address = server.url.trim_start_matches("http://");
    let started = Instant::now();
    while TcpStream::connect(address).is_ok() {
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "it goes on listening"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn waiting_serves_until_it_is_dropped() {
    let mut server = Running::start();
    let waiting = server.runtime.spawn(server.handle.take().unwrap().wait());
    assert_eq!(server.get("/v2/health/live").0, 200);
    assert!(!waiting.is_finished());
    waiting.abort();
}

#[test]
fn an_address_that_is_taken_and_no_runtime_are_errors() {
    let server = Running::start();
    let manager = || {
        let repository = ModelRepository::at(server.models.path());
        Arc::new(Manager::open(repository, Loaders::default()).unwrap())
    };
    let address = server.url.trim_start_matches("http://");
    let error = server
        .runtime
        .block_on(serve(manager(), address))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.to_string().contains(address), "{error}");
    let mut outside = std::pin::pin!(serve(manager(), "127.0.0.1:0"));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match outside.as_mut().poll(&mut context) {
        std::task::Poll::Ready(Err(error)) => assert_eq!(error.kind(), ErrorKind::Config),
        other => panic!("{other:?}"),
    }
}
