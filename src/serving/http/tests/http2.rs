//! Limits on clients of HTTP/2.

use super::*;

/// The preface, and a frame of settings.
fn begin(server: &Running, settings: &[u8]) -> TcpStream {
    let mut connection = server.connect();
    connection
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .unwrap();
    connection.write_all(&frame(4, 0, 0, settings)).unwrap();
    connection
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0, 0, u8::try_from(payload.len()).unwrap(), kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// `GET` of a path, in the header compression's plainest form.
fn get(stream: u32, path: &str) -> Vec<u8> {
    let mut block = vec![0x82, 0x86, 0x04, u8::try_from(path.len()).unwrap()];
    block.extend(path.as_bytes());
    block.extend([0x01, 1, b'x']);
    frame(1, 0x5, stream, &block)
}

/// Reads until the server closes the connection.
fn closes(connection: &mut TcpStream) {
    let mut sink = Vec::new();
    if let Err(error) = connection.read_to_end(&mut sink) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
}

/// The initial window of streams is nothing: no answer can be sent.
const NO_WINDOW: [u8; 6] = [0, 4, 0, 0, 0, 0];

#[test]
fn an_answer_that_is_not_taken_is_not_kept() {
    let options = ServerOptions::default().idle_timeout(Duration::from_millis(200));
    let server = Running::with_one_model(&options);
    let mut connection = begin(&server, &NO_WINDOW);
    connection.write_all(&get(1, "/v2/health/live")).unwrap();
    // Pings are answered meanwhile, and are no progress.
    let mut pinging = connection.try_clone().unwrap();
    let pings = std::thread::spawn(move || {
        while pinging.write_all(&frame(6, 0, 0, &[7; 8])).is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    closes(&mut connection);
    let _ = connection.shutdown(std::net::Shutdown::Both);
    pings.join().unwrap();
    until(|| server.handle.as_ref().unwrap().n_connections() == 0);
}

#[test]
fn one_who_asks_for_more_has_not_read_its_answers() {
    let options = ServerOptions::default().idle_timeout(Duration::from_millis(200));
    let server = Running::with_one_model(&options);
    let mut connection = begin(&server, &NO_WINDOW);
    let mut asking = connection.try_clone().unwrap();
    // At most as many streams as a connection may have, and far longer than it is waited for.
    let asks = std::thread::spawn(move || {
        (0..250).any(|n| {
            std::thread::sleep(Duration::from_millis(50));
            let get = get(2 * n + 1, "/v2/health/live");
            asking.write_all(&get).is_err()
        })
    });
    closes(&mut connection);
    let _ = connection.shutdown(std::net::Shutdown::Both);
    assert!(asks.join().unwrap(), "it was closed while it asked");
    until(|| server.handle.as_ref().unwrap().n_connections() == 0);
}

#[test]
fn a_connection_whose_answer_is_not_taken_makes_room() {
    let server = Running::with_one_model(&ServerOptions::default().max_connections(1));
    let mut connection = begin(&server, &NO_WINDOW);
    connection.write_all(&get(1, "/v2/health/live")).unwrap();
    // It is refused for two ticks of the server's clock.
    until(|| server.get("/v2").0 == 200);
    closes(&mut connection);
}

#[test]
fn an_answer_that_is_taken_late_arrives() {
    let server = Running::with_one_model(&ServerOptions::default());
    let mut connection = begin(&server, &NO_WINDOW);
    connection.write_all(&get(1, "/v2/health/live")).unwrap();
    let wait_for = |connection: &mut TcpStream, what: &[u8]| {
        let mut seen: Vec<u8> = Vec::new();
        let mut bytes = [0; 1024];
        while !seen.windows(what.len()).any(|window| window == what) {
            let n = connection.read(&mut bytes).unwrap();
            assert!(n > 0, "closed");
            seen.extend(&bytes[..n]);
        }
    };
    // The head of the answer on stream 1 comes without the window.
    wait_for(&mut connection, &[1, 4, 0, 0, 0, 1]);
    connection
        .write_all(&frame(8, 0, 1, &[0, 0, 0, 100]))
        .unwrap();
    wait_for(&mut connection, br#"{"live":true}"#);
}
