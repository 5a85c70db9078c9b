//! Bounds on what a client sends or does not read.

use super::limits::large_head;
use super::*;

#[test]
fn names_cost_and_show_little() {
    let options = ServerOptions::default().max_header_bytes(1 << 20);
    let server = Running::with(&options, |root| {
        for n in 0..40 {
            let name = format!("{}-{n}", "m".repeat(200));
            late_model(&name, 0.1)
                .save(&root.join(name.clone()).join("1"))
                .unwrap();
        }
        late_model("late", 0.1).save(&root.join("late/1")).unwrap();
    });
    let long = "m".repeat(60_000);
    for (path, status) in [
        (format!("/v2/models/{long}/infer"), 404),
        (format!("/v2/models/late/labels/{long}/infer"), 404),
        (format!("/v2/models/late/versions/{long}/infer"), 400),
        (format!("/v1/models/{long}:predict"), 404),
        (format!("/v1/models/late/{long}:predict"), 400),
        (format!("/{long}"), 404),
    ] {
        let (was, answer) = server.post(&path, &json!({}));
        assert_eq!(was, status, "{}", &path[..40]);
        let text = answer["error"].as_str().unwrap();
        assert!(text.len() < 2100, "{} bytes", text.len());
    }
    let (status, answer) = server.post("/v2/models/lat/infer", &json!({}));
    assert_eq!(status, 404);
    assert!(
        answer.to_string().contains("did you mean `late`?"),
        "{answer}"
    );
    let mut inputs = all_inputs();
    inputs[0]["name"] = json!(long);
    let (status, answer) = server.infer("late", inputs);
    assert_eq!(status, 400);
    assert!(answer.to_string().len() < 2100);
    // An id comes back and stands in logs: it has a size.
    let ask = |id: &str| {
        let body = json!({"id": id, "inputs": all_inputs()});
        server.post("/v2/models/late/infer", &body).0
    };
    assert_eq!(ask(&"i".repeat(4096)), 200);
    assert_eq!(ask(&"i".repeat(4097)), 400);
}

#[test]
fn a_head_is_not_ambiguous() {
    let server = Running::with_one_model(&ServerOptions::default());
    for (headers, status) in [
        ("", "400"),
        ("Host: x\r\n", "200"),
        ("Host: x\r\nHost: x\r\n", "400"),
        ("Host: x\r\nHost: y\r\n", "400"),
        ("Host: x\r\nTransfer-Encoding: gzip, chunked\r\n", "400"),
        ("Host: x\r\nTransfer-Encoding: identity\r\n", "400"),
        ("Host: x\r\nTransfer-Encoding: chunked\r\n", "200"),
    ] {
        let mut connection = server.connect();
        let head = format!("GET /v2 HTTP/1.1\r\nConnection: close\r\n{headers}\r\n0\r\n\r\n");
        connection.write_all(head.as_bytes()).unwrap();
        let answer = rest(&mut connection);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{headers}: {answer}"
        );
    }
    let mut connection = server.connect();
    connection.write_all(b"GET /v2 HTTP/1.0\r\n\r\n").unwrap();
    assert!(rest(&mut connection).starts_with("HTTP/1.0 200"));
}

#[test]
fn a_path_has_a_size() {
    for (limit, length, status) in [
        (2000, 1500, "404"),
        (2000, 3000, "414"),
        (64 << 10, 60_000, "404"),
        (64 << 10, 66_000, "414"),
        (64 << 10, 140_000, "414"),
        (64 << 10, 200_000, "414"),
        (2000, 500_000, "414"),
        (64 << 10, 500_000, "414"),
    ] {
        let server = Running::with_one_model(&ServerOptions::default().max_header_bytes(limit));
        let mut connection = server.connect();
        let path = "a".repeat(length);
        let head = format!("GET /{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        // The server may close before it has read all of it.
        let _ = connection.write_all(head.as_bytes());
        let answer = rest(&mut connection);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{limit} {length}: {answer}"
        );
    }
}

#[test]
fn answers_that_nobody_reads_make_room() {
    let hour = Duration::from_secs(3600);
    let options = ServerOptions::default()
        .idle_timeout(hour)
        .max_body_bytes(1 << 20)
        .max_buffered_bytes(3 << 20);
    let server = Running::with_one_model(&options);
    let body = json!({"inputs": [tensor("age", "INT64", json!(vec![1; 100_000]))]}).to_string();
    let mut reading_nothing = Vec::new();
    for _ in 0..4 {
        let mut connection = server.connect();
        let request = post_bytes("/v2/models/late/infer", &body);
        // It asks until it is closed: whatever sockets hold, that is more.
        reading_nothing.push(std::thread::spawn(move || {
            while connection.write_all(&request).is_ok() {}
        }));
    }
    // Some of them are closed, so that a client that reads is answered.
    until(|| reading_nothing.iter().any(|thread| thread.is_finished()));
    until(|| {
        server
            .send("/v2/models/late/infer", &[], body.as_bytes())
            .status()
            == 200
    });
    // Beside them there is always room for a few rows.
    for _ in 0..20 {
        assert_eq!(server.infer("late", all_inputs()).0, 200);
    }
    drop(server);
    reading_nothing
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
}

#[test]
fn bodies_that_do_not_come_make_room() {
    let options = ServerOptions::default()
        .max_connections(2)
        .body_timeout(Duration::from_secs(3600));
    let server = Running::with_one_model(&options);
    let slow: Vec<TcpStream> = (0..2)
        .map(|_| {
            let mut connection = server.connect();
            connection
                .write_all(&large_head("/v2/models/late/infer", ""))
                .unwrap();
            connection.write_all(b"{").unwrap();
            connection
        })
        .collect();
    until(|| server.handle.as_ref().unwrap().n_connections() == 2);
    // A byte now and then is no help.
    until(|| {
        for mut connection in &slow {
            let _ = connection.write_all(b" ");
        }
        server.get("/v2").0 == 200
    });
}
