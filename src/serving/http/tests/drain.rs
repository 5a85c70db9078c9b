//! Stopping a server.

use super::*;
use crate::serving::transport::Admin;

fn waiting(options: &ServerOptions) -> (TempDir, Waits, Running) {
    let directory = tempfile::tempdir().unwrap();
    let waits = Waits {
        gate: directory.path().join("gate"),
    };
    let server = Running::with(options, |root| {
        let candidate = Waits::candidate(&waits.gate);
        candidate.save(&root.join("waits/1")).unwrap();
    });
    (directory, waits, server)
}

fn ask(server: &Running, waits: &Waits) -> TcpStream {
    let body = json!({"inputs": [tensor("age", "INT64", json!([1]))]}).to_string();
    let mut asking = server.connect();
    asking
        .write_all(&post_bytes("/v2/models/waits/infer", &body))
        .unwrap();
    until(|| waits.asked().exists());
    asking
}

#[test]
fn what_is_being_answered_is_finished() {
    let (_directory, waits, mut server) = waiting(&ServerOptions::default());
    let mut asking = ask(&server, &waits);
    let handle = server.handle.take().unwrap();
    let address = handle.address();
    let stopping = server.runtime.spawn(handle.shutdown());
    until(|| TcpStream::connect(address).is_err());
    assert!(!stopping.is_finished());
    waits.let_go();
    let answer = rest(&mut asking);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    server.runtime.block_on(stopping).unwrap().unwrap();
}

#[test]
fn readiness_goes_before_the_port_does() {
    let mut server = Running::with_one_model(
        &ServerOptions::default()
            .drain_delay(Duration::from_secs(3))
            .admin(Admin::Address("127.0.0.1:0".to_owned())),
    );
    assert_eq!(server.get("/v2/health/ready").0, 200);
    let handle = server.handle.take().unwrap();
    let address = handle.address();
    let stopping = server.runtime.spawn(handle.shutdown());
    until(|| server.get("/v2/health/ready").0 == 503);
    let (_, answer) = server.get("/v2/health/ready");
    assert_eq!(
        answer,
        json!({"ready": false, "error": "the server is stopping"})
    );
    assert_eq!(server.get("/v2/health/live").0, 200);
    assert_eq!(server.infer("late", all_inputs()).0, 200);
    server.runtime.block_on(stopping).unwrap().unwrap();
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn what_is_not_answered_in_time_is_dropped() {
    let options = ServerOptions::default().drain_timeout(Duration::from_millis(100));
    let (_directory, waits, mut server) = waiting(&options);
    let mut asking = ask(&server, &waits);
    let stopping = server
        .runtime
        .spawn(server.handle.take().unwrap().shutdown());
    // The model still waits: nothing but the limit ends this.
    let ended = server.runtime.block_on(stopping);
    ended.unwrap().unwrap();
    waits.let_go();
    assert_eq!(rest(&mut asking), "");
}

#[test]
fn a_kept_connection_is_closed() {
    let mut server = Running::with_one_model(&ServerOptions::default());
    let mut connection = server.connect();
    connection
        .write_all(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let mut answer = [0; 15];
    connection.read_exact(&mut answer).unwrap();
    server.shutdown();
    assert!(rest(&mut connection).ends_with(r#"{"live":true}"#));
}

#[test]
fn a_client_that_leaves_is_not_answered() {
    let options = ServerOptions::default().header_timeout(Duration::from_millis(100));
    let (_directory, waits, server) = waiting(&options);
    let asked = ask(&server, &waits);
    // A client that leaves at once may have closed only its half.
    std::thread::sleep(Duration::from_millis(1500));
    drop(asked);
    // The connection ends although the model still waits.
    until(|| server.handle.as_ref().unwrap().n_connections() == 0);
    assert!(!waits.gate.exists());
    waits.let_go();
    until(|| server.get("/v2/health/ready").0 == 200);
}

#[test]
fn a_client_that_closes_its_half_is_answered() {
    let (_directory, waits, server) = waiting(&ServerOptions::default());
    let mut asked = ask(&server, &waits);
    asked.shutdown(std::net::Shutdown::Write).unwrap();
    // One with an immediate answer, and one with an answer that takes a while and more than a buffer.
    let mut quick = server.connect();
    let rows = json!({"inputs": [tensor("age", "INT64", json!(vec![1; 100_000]))]}).to_string();
    quick
        .write_all(&post_bytes("/v2/models/waits/infer", &rows))
        .unwrap();
    quick.shutdown(std::net::Shutdown::Write).unwrap();
    waits.let_go();
    assert!(rest(&mut asked).starts_with("HTTP/1.1 200"));
    let answer = rest(&mut quick);
    assert!(answer.starts_with("HTTP/1.1 200"), "{}", &answer[..200]);
    assert!(answer.ends_with('}'), "it is whole");
    until(|| server.handle.as_ref().unwrap().n_connections() == 0);
    // The end may come with the request, and while the answer is still in a buffer.
    let small = json!({"inputs": [tensor("age", "INT64", json!([1]))]}).to_string();
    let post = post_bytes("/v2/models/waits/infer", &small);
    let get = b"GET /v2 HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec();
    for request in [post, get].iter().cycle().take(400) {
        let mut connection = server.connect();
        connection.write_all(request).unwrap();
        connection.shutdown(std::net::Shutdown::Write).unwrap();
        let answer = rest(&mut connection);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    // A body that is cut off is no request.
    let mut cut = server.connect();
    let bytes = post_bytes("/v2/models/waits/infer", &rows);
    cut.write_all(&bytes[..bytes.len() - 10]).unwrap();
    cut.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(!rest(&mut cut).starts_with("HTTP/1.1 200"));
}
