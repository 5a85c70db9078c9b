//! Limits on clients: size, time, number.

use super::*;
use crate::serving::requests::Limits;

fn milliseconds(n: u64) -> Duration {
    Duration::from_millis(n)
}

#[test]
fn a_body_has_a_size() {
    let server = Running::with_one_model(&ServerOptions::default().max_body_bytes(100));
    let (status, answer) = server.post("/v2/models/late/infer", &json!({"inputs": all_inputs()}));
    assert_eq!(
        (status, answer),
        (413, json!({"error": "the body is larger than 100 bytes"}))
    );
    assert_eq!(server.post("/v2/repository/index", &json!({})).0, 200);
}

#[test]
fn a_model_has_a_limit_of_its_own() {
    let server = Running::start();
    let manager = Arc::clone(server.handle.as_ref().unwrap().core().manager());
    let limits = Limits::default().max_body_bytes(50);
    let core = ServerCore::builder(manager).model_limits("late", limits);
    let options = ServerOptions::default();
    let serving = options.serve(core.build().unwrap(), "127.0.0.1:0");
    let handle = server.runtime.block_on(serving).unwrap();
    let body = json!({"inputs": all_inputs()}).to_string();
    for (path, status) in [
        ("/v2/models/late/infer", 413),
        ("/v1/models/late:predict", 413),
        ("/v2/models/price/infer", 200),
    ] {
        let request = ureq::post(format!("{}{path}", handle.url()))
            .config()
            .http_status_as_error(false)
            .build();
        let (was, answer) = read_json(request.send(body.as_bytes()).unwrap());
        assert_eq!(was, status, "{path}: {answer}");
        if status == 413 {
            assert_eq!(answer, json!({"error": "the body is larger than 50 bytes"}));
        }
    }
}

/// The head of a request with a large body, which does not come.
pub(super) fn large_head(path: &str, headers: &str) -> Vec<u8> {
    format!("POST {path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: 900000\r\n\r\n")
        .into_bytes()
}

#[test]
fn a_large_body_that_nobody_wants_is_not_waited_for() {
    let server =
        Running::with_one_model(&ServerOptions::default().body_timeout(Duration::from_secs(3600)));
    for (path, headers, status) in [
        ("/v2/models/none/infer", "", "HTTP/1.1 404"),
        ("/v2/models/late/versions/9/infer", "", "HTTP/1.1 404"),
        ("/v1/models/none:predict", "", "HTTP/1.1 404"),
        (
            "/v2/models/late/infer",
            "Request-Timeout: soon\r\n",
            "HTTP/1.1 400",
        ),
    ] {
        let mut connection = server.connect();
        connection.write_all(&large_head(path, headers)).unwrap();
        let answer = rest(&mut connection);
        assert!(answer.starts_with(status), "{path}: {answer}");
    }
}

#[test]
fn large_bodies_have_a_size_together() {
    let options = ServerOptions::default()
        .max_body_bytes(1 << 20)
        .max_buffered_bytes(1 << 20);
    let server = Running::with_one_model(&options);
    let path = "/v2/models/late/infer";
    let second = vec![b' '; 600_000];
    let mut first = None;
    until(|| {
        // One that has been waited for gives way to others, so it is a new one each time.
        drop(first.take());
        let mut connection = server.connect();
        let body = vec![b' '; 800_000];
        let written = connection.write_all(&large_head(path, ""));
        // It may be refused itself, while the one before is not gone.
        let _ = written.and_then(|()| connection.write_all(&body));
        first = Some(connection);
        // A refusal closes the connection, perhaps before all of the body is written.
        let Some(answer) = server.try_send(path, &[], &second) else {
            return false;
        };
        let is_too_much = answer.status() == 503;
        assert_eq!(answer.headers().contains_key("retry-after"), is_too_much);
        is_too_much
    });
    assert_eq!(server.infer("late", all_inputs()).0, 200);
    drop(first);
    let answers = || server.try_send(path, &[], &second);
    until(|| answers().is_some_and(|answer| answer.status() == 400));
    assert_eq!(server.send(path, &[], &second).status(), 400);
}

#[test]
fn a_head_has_a_size() {
    let server = Running::with_one_model(&ServerOptions::default().max_header_bytes(2000));
    let head = |header: &str| format!("GET /v2 HTTP/1.1\r\nHost: x\r\nX-A: {header}\r\n\r\n");
    for (length, status) in [(1000, "HTTP/1.1 200"), (3000, "HTTP/1.1 431")] {
        let mut connection = server.connect();
        connection
            .write_all(head(&"a".repeat(length)).as_bytes())
            .unwrap();
        let mut answer = vec![0; status.len()];
        connection.read_exact(&mut answer).unwrap();
        assert_eq!(String::from_utf8(answer).unwrap(), status);
    }
    let many: String = (0..200).map(|n| format!("x-{n}: 1\r\n")).collect();
    let mut connection = server.connect();
    let head = format!("GET /v2 HTTP/1.1\r\nHost: x\r\n{many}\r\n");
    connection.write_all(head.as_bytes()).unwrap();
    assert!(rest(&mut connection).starts_with("HTTP/1.1 431"));
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for() {
    let server = Running::with_one_model(&ServerOptions::default().body_timeout(milliseconds(100)));
    let mut connection = server.connect();
    connection
        .write_all(b"POST /v2/models/late/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
        .unwrap();
    let answer = rest(&mut connection);
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("did not arrive within 100 ms"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
}

#[test]
fn a_connection_outlives_a_refusal() {
    let tokens = crate::serving::transport::BearerToken::new(["a long token"]);
    let open = Running::with_one_model(&ServerOptions::default());
    let closed = Running::with_one_model(&ServerOptions::default().auth(tokens));
    for (server, path) in [
        (&open, "/nowhere"),
        (&open, "/v1/foo"),
        (&open, "/v2/models/none/infer"),
        (&closed, "/v2/models/late/infer"),
    ] {
        let mut connection = server.connect();
        for _ in 0..20 {
            let bytes = post_bytes(path, "{\"inputs\": []}");
            let (head, body) = bytes.split_at(bytes.len() - 14);
            // The body comes later than its head, as many clients send it.
            connection.write_all(head).unwrap();
            std::thread::sleep(milliseconds(2));
            connection.write_all(body).unwrap();
            let mut answer = Vec::new();
            let mut byte = [0];
            while !answer.ends_with(b"}") {
                connection.read_exact(&mut byte).unwrap();
                answer.extend(byte);
            }
            assert!(answer.starts_with(b"HTTP/1.1 4"));
        }
        assert!(ask_if_alive(&mut connection).starts_with("HTTP/1.1 200"));
    }
    // A body too large to be discarded closes the connection, and the answer says so.
    let mut connection = open.connect();
    let body = "x".repeat(600 << 10);
    let mut writing = connection.try_clone().unwrap();
    let sending = std::thread::spawn(move || writing.write_all(&post_bytes("/nowhere", &body)));
    let answer = rest(&mut connection);
    assert!(answer.contains("connection: close"), "{answer}");
    let _ = sending.join();
}

#[test]
fn a_head_that_does_not_come_is_not_waited_for() {
    let options = ServerOptions::default().header_timeout(milliseconds(50));
    let server = Running::with_one_model(&options);
    for begun in [
        "",
        "P",
        "PRI",
        "GET /v2 HT",
        "GET /v2 HTTP/1.1\r\nHost: x\r\n",
    ] {
        let mut connection = server.connect();
        connection.write_all(begun.as_bytes()).unwrap();
        assert_eq!(rest(&mut connection), "", "{begun}");
    }
    // The second request of a connection, too.
    let mut connection = server.connect();
    assert!(ask_if_alive(&mut connection).starts_with("HTTP/1.1 200"));
    connection.write_all(b"GET /v2").unwrap();
    assert_eq!(rest(&mut connection), "");
    assert_eq!(server.get("/v2").0, 200);
}

#[test]
fn a_connection_without_requests_is_closed() {
    let options = ServerOptions::default().idle_timeout(milliseconds(50));
    let server = Running::with_one_model(&options);
    let mut connection = server.connect();
    for _ in 0..2 {
        assert!(ask_if_alive(&mut connection).starts_with("HTTP/1.1 200"));
    }
    // The server closes it, and not the time limit of the test.
    let mut byte = [0];
    assert!(matches!(connection.read(&mut byte), Ok(0)));
}

#[test]
fn a_client_that_reads_nothing_is_not_kept() {
    let options = ServerOptions::default().idle_timeout(milliseconds(200));
    let mut server = Running::with_one_model(&options);
    let body = json!({"inputs": [tensor("age", "INT64", json!(vec![1; 100_000]))]}).to_string();
    let connection = server.connect();
    let mut asking = connection.try_clone().unwrap();
    // It asks until it is closed: whatever sockets hold, that is more.
    let asking = std::thread::spawn(move || {
        let request = post_bytes("/v2/models/late/infer", &body);
        while asking.write_all(&request).is_ok() {}
    });
    // Nothing is read before that.
    until(|| server.handle.as_ref().unwrap().n_connections() == 0);
    asking.join().unwrap();
    server.shutdown();
}

#[test]
fn the_longest_idle_connection_makes_room() {
    let server = Running::with_one_model(&ServerOptions::default().max_connections(2));
    // There is room for two, and all are idle: each further one takes the place of another.
    let mut connections = Vec::new();
    for _ in 0..5 {
        let mut connection = server.connect();
        assert!(ask_if_alive(&mut connection).starts_with("HTTP/1.1 200"));
        connections.push(connection);
    }
    assert_eq!(server.handle.as_ref().unwrap().n_connections(), 2);
}

#[test]
fn too_many_busy_connections_are_told() {
    let gate = tempfile::tempdir().unwrap();
    let waits = Waits {
        gate: gate.path().join("gate"),
    };
    let options = ServerOptions::default().max_connections(1);
    let server = Running::with(&options, |root| {
        let candidate = Waits::candidate(&waits.gate);
        candidate.save(&root.join("waits/1")).unwrap();
    });
    let body = json!({"inputs": [tensor("age", "INT64", json!([1]))]}).to_string();
    let mut busy = server.connect();
    busy.write_all(&post_bytes("/v2/models/waits/infer", &body))
        .unwrap();
    until(|| waits.asked().exists());
    let (status, answer) = server.get("/v2");
    assert_eq!(
        (status, answer),
        (503, json!({"error": "the server has too many connections"}))
    );
    waits.let_go();
    let mut answer = [0; 15];
    busy.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    drop(busy);
    until(|| server.get("/v2").0 == 200);
}

#[test]
fn a_deadline_that_is_none_is_refused() {
    let server = Running::with_one_model(&ServerOptions::default());
    let body = json!({"inputs": all_inputs()}).to_string();
    for timeout in ["0", "-1", "NaN", "inf", "soon", "1e400"] {
        let headers = [("Request-Timeout", timeout)];
        let answer = server.send("/v2/models/late/infer", &headers, body.as_bytes());
        assert_eq!(answer.status(), 400, "{timeout}");
    }
    for timeout in ["30", "0.5e2", "1e300"] {
        let headers = [("Request-Timeout", timeout)];
        let answer = server.send("/v2/models/late/infer", &headers, body.as_bytes());
        assert_eq!(
            answer.status(),
            if timeout == "1e300" { 400 } else { 200 },
            "{timeout}"
        );
    }
}

#[test]
fn options_are_checked() {
    for (options, named) in [
        (ServerOptions::default().max_body_bytes(0), "max_body_bytes"),
        (
            ServerOptions::default().max_buffered_bytes(1000),
            "max_buffered_bytes",
        ),
        (
            ServerOptions::default().max_header_bytes(0),
            "max_header_bytes",
        ),
        (
            ServerOptions::default().max_connections(0),
            "max_connections",
        ),
        (
            ServerOptions::default().header_timeout(Duration::ZERO),
            "header_timeout_ms",
        ),
        (
            ServerOptions::default().body_timeout(Duration::ZERO),
            "body_timeout_ms",
        ),
        (
            ServerOptions::default().idle_timeout(Duration::ZERO),
            "idle_timeout_ms",
        ),
        (
            ServerOptions::default().request_timeout(Duration::ZERO),
            "request_timeout_ms",
        ),
    ] {
        let error = options.check().unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Config);
        assert!(error.to_string().contains(named), "{error}");
    }
    let options: ServerOptions = toml::from_str(
        "idle_timeout_ms = 5000\ntoken_file = \"tokens\"\n[admin]\naddress = \"127.0.0.1:9000\"",
    )
    .unwrap();
    options.check().unwrap();
    let written = serde_json::to_value(&options).unwrap();
    assert_eq!(written["idle_timeout_ms"], 5000);
    assert_eq!(written["admin"], json!({"address": "127.0.0.1:9000"}));
    assert!(toml::from_str::<ServerOptions>("idle_timeout = 5").is_err());
    assert!(toml::from_str::<ServerOptions>("admin = \"same_port\"").is_ok());
}

#[test]
fn too_many_requests_of_a_model_are_turned_away_and_others_answered() {
    let directory = tempfile::tempdir().unwrap();
    let waits = Waits {
        gate: directory.path().join("gate"),
    };
    let server = Running::over(|root| {
        let candidate = Waits::candidate(&waits.gate);
        candidate.save(&root.join("waits/1")).unwrap();
        late_model("late", 0.1).save(&root.join("late/1")).unwrap();
    });
    let manager = Arc::clone(server.handle.as_ref().unwrap().core().manager());
    let limits = Limits::default().max_concurrency(1).max_queue(1);
    let core = ServerCore::builder(manager).limits(limits).build().unwrap();
    let serving = ServerOptions::default();
    let handle = server
        .runtime
        .block_on(serving.serve(core, "127.0.0.1:0"))
        .unwrap();
    let body = json!({"inputs": [tensor("age", "INT64", json!([1]))]}).to_string();
    let ask = |headers: &str| {
        let mut connection = TcpStream::connect(handle.address()).unwrap();
        connection
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        let length = body.len();
        let text = format!(
            "POST /v2/models/waits/infer HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        );
        connection.write_all(text.as_bytes()).unwrap();
        connection
    };
    let mut answered = ask("");
    until(|| waits.asked().exists());
    // The first is being answered and the second waits: of the others, all but that one are too many.
    let mut others: Vec<TcpStream> = (0..5).map(|_| ask("Request-Timeout: 0.5\r\n")).collect();
    let answers: Vec<String> = others.iter_mut().map(rest).collect();
    let too_many = answers
        .iter()
        .filter(|answer| answer.starts_with("HTTP/1.1 429") && answer.contains("retry-after: "))
        .count();
    let too_late = answers
        .iter()
        .filter(|answer| answer.starts_with("HTTP/1.1 504"))
        .count();
    assert_eq!((too_many, too_late), (4, 1), "{answers:?}");
    assert_eq!(server.infer("late", all_inputs()).0, 200);
    waits.let_go();
    assert!(rest(&mut answered).starts_with("HTTP/1.1 200"));
    server.runtime.block_on(handle.shutdown()).unwrap();
}
